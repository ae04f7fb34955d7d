/*
 * base/clock.h - time
 */
#ifndef BASE_CLOCK_H
#define BASE_CLOCK_H

#include <stddef.h>
#include <stdint.h>

uint64_t clock_mono_ns(void);
int64_t clock_wall_us(void); /* since 1970 */

#define CLOCK_LOCAL_SIZE 32
#define CLOCK_HTTP_SIZE  32

/*
 * Local time without a zone, `2026-01-31T03:09:45.033140`; the fraction is left
 * out when it is 0, as Python's isoformat does.  Returns the length.
 */
size_t clock_format_local(int64_t wall_us, char out[CLOCK_LOCAL_SIZE]);

/* IMF-fixdate (RFC 9110, 5.6.7).  Returns the length.  And back: -1 if it is none. */
size_t clock_format_http(int64_t unix_s, char out[CLOCK_HTTP_SIZE]);
int64_t clock_parse_http(const char *s, size_t len);

#endif
