#include <config.h>

#include "base/utf8.h"

#include <string.h>

#if defined(__SSE2__)
#include <emmintrin.h>
#endif

/* The first byte at or behind p, or end, from which on it may not be ASCII. */
static const uint8_t *skip_ascii(const uint8_t *p, const uint8_t *end)
{
#if defined(__SSE2__)
    for (; end - p >= 64; p += 64) {
        const __m128i *v = (const __m128i *)(const void *)p;
        __m128i a = _mm_or_si128(_mm_loadu_si128(v), _mm_loadu_si128(v + 1));
        __m128i b = _mm_or_si128(_mm_loadu_si128(v + 2), _mm_loadu_si128(v + 3));

        if (_mm_movemask_epi8(_mm_or_si128(a, b)) != 0)
            break;
    }
#endif
    for (; end - p >= 8; p += 8) {
        uint64_t word;

        memcpy(&word, p, 8);
        if (word & 0x8080808080808080u)
            break;
    }
    while (p < end && *p < 0x80)
        p++;
    return p;
}

/* Bounds of what follows a lead byte (Unicode, table 3-7); false if it is none. */
static bool begin(struct utf8 *u, uint8_t c)
{
    u->lower = 0x80;
    u->upper = 0xbf;
    if (c >= 0xc2 && c <= 0xdf) {
        u->need = 1;
    } else if (c >= 0xe0 && c <= 0xef) {
        u->need = 2;
        if (c == 0xe0)
            u->lower = 0xa0;
        if (c == 0xed)
            u->upper = 0x9f; /* no surrogates */
    } else if (c >= 0xf0 && c <= 0xf4) {
        u->need = 3;
        if (c == 0xf0)
            u->lower = 0x90;
        if (c == 0xf4)
            u->upper = 0x8f; /* U+10FFFF is the last */
    } else {
        return false;
    }
    return true;
}

bool utf8_feed(struct utf8 *u, const void *bytes, size_t len)
{
    const uint8_t *p = bytes;
    const uint8_t *end = len > 0 ? p + len : p;

    while (p < end) {
        if (u->need > 0) {
            if (*p < u->lower || *p > u->upper)
                return false;
            u->lower = 0x80;
            u->upper = 0xbf;
            u->need--;
            p++;
        } else if (*p >= 0x80) {
            if (!begin(u, *p++))
                return false;
        } else {
            p = skip_ascii(p, end);
        }
    }
    return true;
}

bool utf8_check(const void *p, size_t len)
{
    struct utf8 u = {0};

    return utf8_feed(&u, p, len) && utf8_done(&u);
}
