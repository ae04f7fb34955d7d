/*
 * hex.h - bytes as a test writes them: "82 a1 61", blanks where it likes
 */
#ifndef TEST_HEX_H
#define TEST_HEX_H

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/*
 * The bytes in a block of just their number, so that a sanitizer sees what is read
 * behind it.  The caller frees.
 */
static inline uint8_t *hex_bytes(const char *hex, size_t *n)
{
    uint8_t *out = malloc(strlen(hex) / 2 + 1);
    unsigned byte;
    int used;

    *n = 0;
    while (sscanf(hex, " %2x%n", &byte, &used) == 1) {
        out[(*n)++] = (uint8_t)byte;
        hex += used;
    }
    return realloc(out, *n > 0 ? *n : 1);
}

/* "82a161", NUL-terminated.  The caller frees. */
static inline char *hex_text(const void *bytes, size_t n)
{
    char *out = malloc(2 * n + 1);

    for (size_t i = 0; i < n; i++)
        snprintf(out + 2 * i, 3, "%02x", ((const uint8_t *)bytes)[i]);
    out[2 * n] = '\0';
    return out;
}

#endif
