#include <config.h>

#include "base/base64.h"

#include <string.h>

#include <sioc/error.h>

#if defined(__SSE2__)
#include <emmintrin.h>
#endif

/* clang-format off */
/* Two characters for each 12 bits: one look-up where six bits at a time need two. */
#define ROW(c)                                                  \
    {c, 'A'}, {c, 'B'}, {c, 'C'}, {c, 'D'}, {c, 'E'}, {c, 'F'}, \
    {c, 'G'}, {c, 'H'}, {c, 'I'}, {c, 'J'}, {c, 'K'}, {c, 'L'}, \
    {c, 'M'}, {c, 'N'}, {c, 'O'}, {c, 'P'}, {c, 'Q'}, {c, 'R'}, \
    {c, 'S'}, {c, 'T'}, {c, 'U'}, {c, 'V'}, {c, 'W'}, {c, 'X'}, \
    {c, 'Y'}, {c, 'Z'}, {c, 'a'}, {c, 'b'}, {c, 'c'}, {c, 'd'}, \
    {c, 'e'}, {c, 'f'}, {c, 'g'}, {c, 'h'}, {c, 'i'}, {c, 'j'}, \
    {c, 'k'}, {c, 'l'}, {c, 'm'}, {c, 'n'}, {c, 'o'}, {c, 'p'}, \
    {c, 'q'}, {c, 'r'}, {c, 's'}, {c, 't'}, {c, 'u'}, {c, 'v'}, \
    {c, 'w'}, {c, 'x'}, {c, 'y'}, {c, 'z'}, {c, '0'}, {c, '1'}, \
    {c, '2'}, {c, '3'}, {c, '4'}, {c, '5'}, {c, '6'}, {c, '7'}, \
    {c, '8'}, {c, '9'}, {c, '+'}, {c, '/'}
static const char pairs[4096][2] = {
    ROW('A'), ROW('B'), ROW('C'), ROW('D'), ROW('E'), ROW('F'), ROW('G'), ROW('H'),
    ROW('I'), ROW('J'), ROW('K'), ROW('L'), ROW('M'), ROW('N'), ROW('O'), ROW('P'),
    ROW('Q'), ROW('R'), ROW('S'), ROW('T'), ROW('U'), ROW('V'), ROW('W'), ROW('X'),
    ROW('Y'), ROW('Z'), ROW('a'), ROW('b'), ROW('c'), ROW('d'), ROW('e'), ROW('f'),
    ROW('g'), ROW('h'), ROW('i'), ROW('j'), ROW('k'), ROW('l'), ROW('m'), ROW('n'),
    ROW('o'), ROW('p'), ROW('q'), ROW('r'), ROW('s'), ROW('t'), ROW('u'), ROW('v'),
    ROW('w'), ROW('x'), ROW('y'), ROW('z'), ROW('0'), ROW('1'), ROW('2'), ROW('3'),
    ROW('4'), ROW('5'), ROW('6'), ROW('7'), ROW('8'), ROW('9'), ROW('+'), ROW('/'),
};
/* clang-format on */

#define GOOD 0x40

/* GOOD and six bits, or 0. */
static const uint8_t values[256] = {
    ['A'] = 64,  ['B'] = 65,  ['C'] = 66,  ['D'] = 67,  ['E'] = 68,  ['F'] = 69,
    ['G'] = 70,  ['H'] = 71,  ['I'] = 72,  ['J'] = 73,  ['K'] = 74,  ['L'] = 75,
    ['M'] = 76,  ['N'] = 77,  ['O'] = 78,  ['P'] = 79,  ['Q'] = 80,  ['R'] = 81,
    ['S'] = 82,  ['T'] = 83,  ['U'] = 84,  ['V'] = 85,  ['W'] = 86,  ['X'] = 87,
    ['Y'] = 88,  ['Z'] = 89,  ['a'] = 90,  ['b'] = 91,  ['c'] = 92,  ['d'] = 93,
    ['e'] = 94,  ['f'] = 95,  ['g'] = 96,  ['h'] = 97,  ['i'] = 98,  ['j'] = 99,
    ['k'] = 100, ['l'] = 101, ['m'] = 102, ['n'] = 103, ['o'] = 104, ['p'] = 105,
    ['q'] = 106, ['r'] = 107, ['s'] = 108, ['t'] = 109, ['u'] = 110, ['v'] = 111,
    ['w'] = 112, ['x'] = 113, ['y'] = 114, ['z'] = 115, ['0'] = 116, ['1'] = 117,
    ['2'] = 118, ['3'] = 119, ['4'] = 120, ['5'] = 121, ['6'] = 122, ['7'] = 123,
    ['8'] = 124, ['9'] = 125, ['+'] = 126, ['/'] = 127,
};

void base64_encode(const uint8_t *src, size_t len, char *dst)
{
    for (; len >= 3; src += 3, dst += 4, len -= 3) {
        uint32_t word = (uint32_t)src[0] << 16 | (uint32_t)src[1] << 8 | src[2];

        memcpy(dst, pairs[word >> 12], 2);
        memcpy(dst + 2, pairs[word & 0xfff], 2);
    }
    if (len == 1) {
        memcpy(dst, pairs[src[0] << 4], 2);
        memcpy(dst + 2, "==", 2);
    } else if (len == 2) {
        uint32_t word = (uint32_t)src[0] << 16 | (uint32_t)src[1] << 8;

        memcpy(dst, pairs[word >> 12], 2);
        dst[2] = pairs[word & 0xfff][0];
        dst[3] = '=';
    }
}

size_t base64url_encode(const uint8_t *src, size_t len, char *dst)
{
    size_t n = base64_encoded_len(len);

    base64_encode(src, len, dst);
    while (n > 0 && dst[n - 1] == '=')
        n--;
    for (size_t i = 0; i < n; i++) {
        if (dst[i] == '+')
            dst[i] = '-';
        else if (dst[i] == '/')
            dst[i] = '_';
    }
    return n;
}

/* Characters of the text without its padding; SIZE_MAX if it cannot be base64. */
static size_t unpadded_len(const char *src, size_t len)
{
    if (len % 4 != 0)
        return SIZE_MAX;
    if (len > 0 && src[len - 1] == '=')
        len--;
    if (len > 0 && len % 4 == 3 && src[len - 1] == '=')
        len--;
    return len;
}

int base64_decode(const char *src, size_t src_len, uint8_t *dst, size_t *dst_len)
{
    const uint8_t *p = (const uint8_t *)src;
    size_t left = unpadded_len(src, src_len);
    uint8_t *to = dst;
    uint8_t good = GOOD;

    if (left == SIZE_MAX)
        return SIO_ERR_PARSE;
    for (; left >= 4; p += 4, to += 3, left -= 4) {
        uint8_t a = values[p[0]], b = values[p[1]], c = values[p[2]], d = values[p[3]];

        good &= a & b & c & d;
        to[0] = (uint8_t)(a << 2 | (b >> 4 & 0x03));
        to[1] = (uint8_t)(b << 4 | (c >> 2 & 0x0f));
        to[2] = (uint8_t)(c << 6 | (d & 0x3f));
    }
    if (left > 0) { /* two or three: unpadded_len */
        uint8_t a = values[p[0]], b = values[p[1]], c = left == 3 ? values[p[2]] : GOOD;

        good &= a & b & c;
        *to++ = (uint8_t)(a << 2 | (b >> 4 & 0x03));
        if (left == 3)
            *to++ = (uint8_t)(b << 4 | (c >> 2 & 0x0f));
    }
    if (!good)
        return SIO_ERR_PARSE;
    *dst_len = (size_t)(to - dst);
    return SIO_OK;
}

#if defined(__SSE2__)
/* 0xff where the byte is in the alphabet; bytes above 0x7f are negative here. */
static __m128i in_alphabet(__m128i v)
{
    __m128i low = _mm_or_si128(v, _mm_set1_epi8(0x20));
    __m128i alpha = _mm_and_si128(_mm_cmpgt_epi8(low, _mm_set1_epi8('a' - 1)),
                                  _mm_cmplt_epi8(low, _mm_set1_epi8('z' + 1)));
    /* '/' stands right before '0'. */
    __m128i digit = _mm_and_si128(_mm_cmpgt_epi8(v, _mm_set1_epi8('/' - 1)),
                                  _mm_cmplt_epi8(v, _mm_set1_epi8('9' + 1)));
    __m128i plus = _mm_cmpeq_epi8(v, _mm_set1_epi8('+'));

    return _mm_or_si128(_mm_or_si128(alpha, digit), plus);
}
#endif

bool base64_check(const char *src, size_t src_len)
{
    const uint8_t *p = (const uint8_t *)src;
    size_t left = unpadded_len(src, src_len);
    uint8_t good = GOOD;

    if (left == SIZE_MAX)
        return false;
#if defined(__SSE2__)
    for (; left >= 32; p += 32, left -= 32) {
        const __m128i *v = (const __m128i *)(const void *)p;

        __m128i a = in_alphabet(_mm_loadu_si128(v));
        __m128i b = in_alphabet(_mm_loadu_si128(v + 1));

        if (_mm_movemask_epi8(_mm_and_si128(a, b)) != 0xffff)
            return false;
    }
#endif
    for (; left > 0; p++, left--)
        good &= values[*p];
    return good != 0;
}
