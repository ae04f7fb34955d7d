#include <config.h>

#include "base/str.h"

#include <string.h>

bool str_eq(struct sio_str a, struct sio_str b)
{
    return a.len == b.len && (a.len == 0 || memcmp(a.ptr, b.ptr, a.len) == 0);
}

bool str_eq_cstr(struct sio_str a, const char *b)
{
    return str_eq(a, sio_str_from(b));
}

static char lower(char c)
{
    return c >= 'A' && c <= 'Z' ? (char)(c + 32) : c;
}

bool str_ieq(struct sio_str a, struct sio_str b)
{
    if (a.len != b.len)
        return false;
    for (size_t i = 0; i < a.len; i++)
        if (lower(a.ptr[i]) != lower(b.ptr[i]))
            return false;
    return true;
}

bool str_starts(struct sio_str s, struct sio_str prefix)
{
    if (s.len < prefix.len)
        return false;
    s.len = prefix.len;
    return str_eq(s, prefix);
}

static bool is_blank(char c)
{
    return c == ' ' || c == '\t';
}

struct sio_str str_trim(struct sio_str s)
{
    while (s.len > 0 && is_blank(s.ptr[0])) {
        s.ptr++;
        s.len--;
    }
    while (s.len > 0 && is_blank(s.ptr[s.len - 1]))
        s.len--;
    return s;
}

size_t str_find(struct sio_str s, char c)
{
    const char *p = s.len > 0 ? memchr(s.ptr, c, s.len) : NULL;

    return p ? (size_t)(p - s.ptr) : s.len;
}

struct sio_str str_cut(struct sio_str *rest, char sep)
{
    size_t at = str_find(*rest, sep);
    struct sio_str item = {rest->ptr, at};

    if (at == rest->len)
        *rest = (struct sio_str){NULL, 0};
    else
        *rest = (struct sio_str){rest->ptr + at + 1, rest->len - at - 1};
    return item;
}

bool str_list_has(struct sio_str list, struct sio_str token)
{
    while (list.ptr)
        if (str_ieq(str_trim(str_cut(&list, ',')), token))
            return true;
    return false;
}

size_t str_from_u64(uint64_t n, char out[STR_U64_SIZE])
{
    char digits[STR_U64_SIZE];
    size_t i = sizeof(digits);

    do {
        digits[--i] = (char)('0' + n % 10);
        n /= 10;
    } while (n > 0);
    memcpy(out, digits + i, sizeof(digits) - i);
    return sizeof(digits) - i;
}

int str_to_u64(struct sio_str s, uint64_t max, uint64_t *out)
{
    uint64_t n = 0;
    bool over = false;

    if (s.len == 0)
        return SIO_ERR_PARSE;
    for (size_t i = 0; i < s.len; i++) {
        if (s.ptr[i] < '0' || s.ptr[i] > '9')
            return SIO_ERR_PARSE;
        over = over || __builtin_mul_overflow(n, 10u, &n) ||
               __builtin_add_overflow(n, (uint64_t)(s.ptr[i] - '0'), &n);
    }
    if (over || n > max)
        return SIO_ERR_TOO_BIG;
    *out = n;
    return SIO_OK;
}

static int hex_value(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c = lower(c);
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    return -1;
}

size_t str_percent_decode(struct sio_str src, char *dst, bool plus_is_blank)
{
    size_t n = 0;

    for (size_t i = 0; i < src.len; i++) {
        char c = src.ptr[i];

        if (c == '%' && src.len - i > 2) {
            int high = hex_value(src.ptr[i + 1]);
            int low = hex_value(src.ptr[i + 2]);

            if (high >= 0 && low >= 0) {
                c = (char)(high << 4 | low);
                i += 2;
            }
        } else if (c == '+' && plus_is_blank) {
            c = ' ';
        }
        dst[n++] = c;
    }
    return n;
}
