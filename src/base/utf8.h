/*
 * base/utf8.h - is it UTF-8?  (RFC 3629; words at a time while it is ASCII)
 */
#ifndef BASE_UTF8_H
#define BASE_UTF8_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * State between pieces of one text; zero at the start and after each whole character.
 */
struct utf8 {
    uint8_t need;  /* continuation bytes still due */
    uint8_t lower; /* bounds of the next one */
    uint8_t upper;
};

/* Feeds a piece; false at the first byte that cannot be. */
bool utf8_feed(struct utf8 *u, const void *p, size_t len);

/* True if no character is cut off. */
static inline bool utf8_done(const struct utf8 *u)
{
    return u->need == 0;
}

/* A whole text. */
bool utf8_check(const void *p, size_t len);

#endif
