/*
 * base/str.h - borrowed text
 */
#ifndef BASE_STR_H
#define BASE_STR_H

#include <stdbool.h>
#include <stdint.h>

#include <sioc/bytes.h>

/* printf("%.*s", STR_ARG(s)) */
#define STR_ARG(s) (int)(s).len, (s).ptr

bool str_eq(struct sio_str a, struct sio_str b);
bool str_eq_cstr(struct sio_str a, const char *b);
bool str_ieq(struct sio_str a, struct sio_str b); /* ASCII case ignored */
bool str_starts(struct sio_str s, struct sio_str prefix);
struct sio_str str_trim(struct sio_str s); /* blanks and tabs at both ends */

/* Index of c, or s.len. */
size_t str_find(struct sio_str s, char c);

/*
 * Cuts the text before the first sep off *rest and returns it; *rest is what
 * is behind sep, or has a NULL ptr when there was none left.
 * Walk: `for (rest = s; rest.ptr; ) { item = str_cut(&rest, ','); ... }`
 */
struct sio_str str_cut(struct sio_str *rest, char sep);

/* True if a comma-separated list (HTTP field) holds token, case ignored. */
bool str_list_has(struct sio_str list, struct sio_str token);

/*
 * Digits only, no sign, no blanks, at most max.  SIO_OK, SIO_ERR_PARSE,
 * SIO_ERR_TOO_BIG.
 */
int str_to_u64(struct sio_str s, uint64_t max, uint64_t *out);

/* Writes n in decimal, no NUL.  Returns the length, at most STR_U64_SIZE. */
#define STR_U64_SIZE 20
size_t str_from_u64(uint64_t n, char out[STR_U64_SIZE]);

/*
 * Percent-decodes src into dst (room for src.len bytes) and returns the length.
 * A '%' without two hex digits stays as it is.  plus_is_blank for queries.
 */
size_t str_percent_decode(struct sio_str src, char *dst, bool plus_is_blank);

#endif
