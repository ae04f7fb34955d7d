#include <config.h>

#include "http/mask.h"

#include <string.h>

#ifdef __SSE2__
#include <emmintrin.h>
#endif

#define HIGH_BITS 0x8080808080808080u
/* Text is masked and then checked in pieces that stay in the first cache. */
#define PIECE 8192

/* The mask as seen from byte `at`, twice. */
static uint64_t mask_word(const uint8_t mask[4], uint64_t at)
{
    uint8_t turned[8];
    uint64_t word;

    for (size_t i = 0; i < sizeof(turned); i++)
        turned[i] = mask[(at + i) & 3];
    memcpy(&word, turned, sizeof(word));
    return word;
}

/* Returns not 0 if a byte above 0x7f came out. */
static uint64_t mask_run(uint8_t *dst, const uint8_t *src, size_t len, uint64_t word)
{
    uint64_t seen = 0;
    size_t i = 0;
    uint8_t bytes[8];

#ifdef __SSE2__
    __m128i wide = _mm_set1_epi64x((long long)word);
    __m128i any = _mm_setzero_si128();

    for (; len - i >= 32; i += 32) {
        __m128i a = _mm_loadu_si128((const __m128i *)(const void *)(src + i));
        __m128i b = _mm_loadu_si128((const __m128i *)(const void *)(src + i + 16));

        a = _mm_xor_si128(a, wide);
        b = _mm_xor_si128(b, wide);
        any = _mm_or_si128(any, _mm_or_si128(a, b));
        _mm_storeu_si128((__m128i *)(void *)(dst + i), a);
        _mm_storeu_si128((__m128i *)(void *)(dst + i + 16), b);
    }
    seen = _mm_movemask_epi8(any) ? HIGH_BITS : 0;
#endif
    for (; len - i >= 8; i += 8) {
        uint64_t v;

        memcpy(&v, src + i, 8);
        v ^= word;
        seen |= v;
        memcpy(dst + i, &v, 8);
    }
    memcpy(bytes, &word, 8);
    for (size_t k = 0; i < len; i++, k++) {
        dst[i] = src[i] ^ bytes[k];
        seen |= dst[i];
    }
    return seen & HIGH_BITS;
}

void ws_mask(uint8_t *dst, const uint8_t *src, size_t len, const uint8_t mask[4],
             uint64_t at)
{
    mask_run(dst, src, len, mask_word(mask, at));
}

bool ws_unmask_text(uint8_t *dst, const uint8_t *src, size_t len, const uint8_t mask[4],
                    uint64_t at, struct utf8 *u)
{
    uint64_t word = mask_word(mask, at); /* PIECE is a multiple of 4: it stays */

    for (size_t i = 0; i < len; i += PIECE) {
        size_t n = len - i < PIECE ? len - i : PIECE;
        uint64_t high = mask_run(dst + i, src + i, n, word);

        if ((high || !utf8_done(u)) && !utf8_feed(u, dst + i, n))
            return false;
    }
    return true;
}
