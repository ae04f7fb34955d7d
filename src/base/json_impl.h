/*
 * base/json_impl.h - what the scanner, the readers and the writers of JSON share
 */
#ifndef BASE_JSON_IMPL_H
#define BASE_JSON_IMPL_H

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#if defined(__SSE2__)
#include <emmintrin.h>
#endif

static inline bool json_is_space(uint8_t c)
{
    return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

/*
 * Searching a string's end: the first '"', '\\' or control character.
 */

#if defined(__SSE2__)
/* Not 0 where a byte is one of them. */
static inline __m128i json_special_16(const uint8_t *p)
{
    __m128i v = _mm_loadu_si128((const __m128i *)(const void *)p);
    __m128i control = _mm_cmpeq_epi8(_mm_min_epu8(v, _mm_set1_epi8(0x1f)), v);
    __m128i quote = _mm_cmpeq_epi8(v, _mm_set1_epi8('"'));
    __m128i escape = _mm_cmpeq_epi8(v, _mm_set1_epi8('\\'));

    return _mm_or_si128(control, _mm_or_si128(quote, escape));
}

static inline const uint8_t *json_skip_wide(const uint8_t *p, const uint8_t *end)
{
    for (; end - p >= 64; p += 64) {
        __m128i a = _mm_or_si128(json_special_16(p), json_special_16(p + 16));
        __m128i b = _mm_or_si128(json_special_16(p + 32), json_special_16(p + 48));

        if (_mm_movemask_epi8(_mm_or_si128(a, b)) != 0)
            break;
    }
    for (; end - p >= 16; p += 16) {
        unsigned mask = (unsigned)_mm_movemask_epi8(json_special_16(p));

        if (mask != 0)
            return p + __builtin_ctz(mask);
    }
    return p;
}
#else
#define JSON_EACH(byte) ((byte)*0x0101010101010101u)

/* Not 0 if one of the word's bytes is 0. */
static inline uint64_t json_has_zero(uint64_t word)
{
    return (word - JSON_EACH(0x01)) & ~word & JSON_EACH(0x80);
}

static inline const uint8_t *json_skip_wide(const uint8_t *p, const uint8_t *end)
{
    for (; end - p >= 8; p += 8) {
        uint64_t word;
        uint64_t control;

        memcpy(&word, p, 8);
        control = (word - JSON_EACH(0x20)) & ~word & JSON_EACH(0x80);
        if (control | json_has_zero(word ^ JSON_EACH('"')) |
            json_has_zero(word ^ JSON_EACH('\\')))
            break;
    }
    return p;
}
#endif

static inline const uint8_t *json_find_special(const uint8_t *p, const uint8_t *end)
{
    p = json_skip_wide(p, end);
    while (p < end && *p >= 0x20 && *p != '"' && *p != '\\')
        p++;
    return p;
}

#endif
