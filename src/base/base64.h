/*
 * base/base64.h - RFC 4648 section 4, with padding
 */
#ifndef BASE_BASE64_H
#define BASE_BASE64_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

static inline size_t base64_encoded_len(size_t len)
{
    return (len + 2) / 3 * 4;
}

/* Writes base64_encoded_len(len) characters, no NUL. */
void base64_encode(const uint8_t *src, size_t len, char *dst);

/* The same with '-' and '_' and without padding (section 5); returns the length. */
size_t base64url_encode(const uint8_t *src, size_t len, char *dst);

/*
 * Strict: padded, no white space, no stray bits at the end required to be zero.
 * dst has room for src_len / 4 * 3 bytes.  SIO_OK or SIO_ERR_PARSE.
 */
int base64_decode(const char *src, size_t src_len, uint8_t *dst, size_t *dst_len);

/* True if base64_decode would accept it; wide instructions where there are any. */
bool base64_check(const char *src, size_t src_len);

#endif
