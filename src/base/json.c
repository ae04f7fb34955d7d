#include <config.h>

#include "base/json.h"

#include <float.h>
#include <locale.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#if defined(__SSE2__)
#include <emmintrin.h>
#endif

#include "base/mem.h"
#include "base/str.h"
#include "base/utf8.h"

/*
 * Searching a string's end: the first '"', '\\' or control character.
 */

#if defined(__SSE2__)
/* Not 0 where a byte is one of them. */
static __m128i special_16(const uint8_t *p)
{
    __m128i v = _mm_loadu_si128((const __m128i *)(const void *)p);
    __m128i control = _mm_cmpeq_epi8(_mm_min_epu8(v, _mm_set1_epi8(0x1f)), v);
    __m128i quote = _mm_cmpeq_epi8(v, _mm_set1_epi8('"'));
    __m128i escape = _mm_cmpeq_epi8(v, _mm_set1_epi8('\\'));

    return _mm_or_si128(control, _mm_or_si128(quote, escape));
}

static const uint8_t *skip_wide(const uint8_t *p, const uint8_t *end)
{
    for (; end - p >= 64; p += 64) {
        __m128i a = _mm_or_si128(special_16(p), special_16(p + 16));
        __m128i b = _mm_or_si128(special_16(p + 32), special_16(p + 48));

        if (_mm_movemask_epi8(_mm_or_si128(a, b)) != 0)
            break;
    }
    for (; end - p >= 16; p += 16) {
        unsigned mask = (unsigned)_mm_movemask_epi8(special_16(p));

        if (mask != 0)
            return p + __builtin_ctz(mask);
    }
    return p;
}
#else
#define EACH(byte) ((byte)*0x0101010101010101u)

/* Not 0 if one of the word's bytes is 0. */
static uint64_t has_zero(uint64_t word)
{
    return (word - EACH(0x01)) & ~word & EACH(0x80);
}

static const uint8_t *skip_wide(const uint8_t *p, const uint8_t *end)
{
    for (; end - p >= 8; p += 8) {
        uint64_t word;
        uint64_t control;

        memcpy(&word, p, 8);
        control = (word - EACH(0x20)) & ~word & EACH(0x80);
        if (control | has_zero(word ^ EACH('"')) | has_zero(word ^ EACH('\\')))
            break;
    }
    return p;
}
#endif

static const uint8_t *find_special(const uint8_t *p, const uint8_t *end)
{
    p = skip_wide(p, end);
    while (p < end && *p >= 0x20 && *p != '"' && *p != '\\')
        p++;
    return p;
}

/*
 * The scanner.  It stands in front of something and knows what may come; the
 * kinds of the open containers are a bit each.
 */

enum want {
    WANT_VALUE,
    WANT_FIRST_ITEM, /* or ']' */
    WANT_FIRST_KEY,  /* or '}' */
    WANT_KEY,
    WANT_NEXT, /* ',' or the end of the container */
    WANT_NOTHING,
};

struct scan {
    const uint8_t *p;
    const uint8_t *end;
    unsigned depth;
    unsigned floor; /* the value is complete when depth is back here */
    uint64_t objects[JSON_MAX_DEPTH / 64];
};

static void scan_init(struct scan *s, struct sio_str text)
{
    *s = (struct scan){.p = (const uint8_t *)text.ptr};
    s->end = text.len > 0 ? s->p + text.len : s->p;
}

static bool is_space(uint8_t c)
{
    return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

static bool is_digit(uint8_t c)
{
    return c >= '0' && c <= '9';
}

static bool is_hex(uint8_t c)
{
    return is_digit(c) || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
}

/* Moves to the next character that is no white space; false at the end. */
static bool skip_space(struct scan *s)
{
    while (s->p < s->end && is_space(*s->p))
        s->p++;
    return s->p < s->end;
}

static int scan_escape(struct scan *s)
{
    if (s->end - s->p < 2)
        return SIO_ERR_PARSE;
    switch (s->p[1]) {
    case '"':
    case '\\':
    case '/':
    case 'b':
    case 'f':
    case 'n':
    case 'r':
    case 't': s->p += 2; return SIO_OK;
    case 'u':
        if (s->end - s->p < 6)
            return SIO_ERR_PARSE;
        for (int i = 2; i < 6; i++)
            if (!is_hex(s->p[i]))
                return SIO_ERR_PARSE;
        s->p += 6;
        return SIO_OK;
    default: return SIO_ERR_PARSE;
    }
}

static int scan_string(struct scan *s)
{
    s->p++;
    for (;;) {
        s->p = find_special(s->p, s->end);
        if (s->p == s->end)
            return SIO_ERR_PARSE;
        if (*s->p == '"') {
            s->p++;
            return SIO_OK;
        }
        if (*s->p != '\\' || scan_escape(s) < 0)
            return SIO_ERR_PARSE;
    }
}

/* At least one digit. */
static int scan_digits(struct scan *s)
{
    if (s->p == s->end || !is_digit(*s->p))
        return SIO_ERR_PARSE;
    while (s->p < s->end && is_digit(*s->p))
        s->p++;
    return SIO_OK;
}

static int scan_number(struct scan *s)
{
    if (*s->p == '-')
        s->p++;
    if (s->p < s->end && *s->p == '0')
        s->p++; /* nothing but a fraction or an exponent may follow */
    else if (scan_digits(s) < 0)
        return SIO_ERR_PARSE;
    if (s->p < s->end && *s->p == '.') {
        s->p++;
        if (scan_digits(s) < 0)
            return SIO_ERR_PARSE;
    }
    if (s->p < s->end && (*s->p == 'e' || *s->p == 'E')) {
        s->p++;
        if (s->p < s->end && (*s->p == '+' || *s->p == '-'))
            s->p++;
        return scan_digits(s);
    }
    return SIO_OK;
}

static int scan_word(struct scan *s, const char *word, size_t len)
{
    if ((size_t)(s->end - s->p) < len || memcmp(s->p, word, len) != 0)
        return SIO_ERR_PARSE;
    s->p += len;
    return SIO_OK;
}

static int scan_scalar(struct scan *s)
{
    switch (*s->p) {
    case '"': return scan_string(s);
    case 't': return scan_word(s, "true", 4);
    case 'f': return scan_word(s, "false", 5);
    case 'n': return scan_word(s, "null", 4);
    default: return scan_number(s);
    }
}

static bool in_object(const struct scan *s)
{
    unsigned at = s->depth - 1;

    return s->objects[at / 64] >> at % 64 & 1;
}

static enum want after_value(const struct scan *s)
{
    return s->depth == s->floor ? WANT_NOTHING : WANT_NEXT;
}

static int scan_open(struct scan *s, enum want *want)
{
    bool object = *s->p == '{';
    uint64_t bit = (uint64_t)1 << s->depth % 64;

    if (s->depth == JSON_MAX_DEPTH)
        return SIO_ERR_TOO_BIG;
    if (object)
        s->objects[s->depth / 64] |= bit;
    else
        s->objects[s->depth / 64] &= ~bit;
    s->depth++;
    s->p++;
    *want = object ? WANT_FIRST_KEY : WANT_FIRST_ITEM;
    return SIO_OK;
}

static int scan_close(struct scan *s, enum want *want)
{
    s->p++;
    s->depth--;
    *want = after_value(s);
    return SIO_OK;
}

static int scan_item(struct scan *s, enum want *want)
{
    if (*s->p == '{' || *s->p == '[')
        return scan_open(s, want);
    *want = after_value(s);
    return scan_scalar(s);
}

static int scan_key(struct scan *s, enum want *want)
{
    if (*s->p != '"' || scan_string(s) < 0 || !skip_space(s) || *s->p != ':')
        return SIO_ERR_PARSE;
    s->p++;
    *want = WANT_VALUE;
    return SIO_OK;
}

static int scan_next(struct scan *s, enum want *want)
{
    bool object = in_object(s);

    if (*s->p == ',') {
        s->p++;
        *want = object ? WANT_KEY : WANT_VALUE;
        return SIO_OK;
    }
    if (*s->p == (object ? '}' : ']'))
        return scan_close(s, want);
    return SIO_ERR_PARSE;
}

static int scan_step(struct scan *s, enum want *want)
{
    switch (*want) {
    case WANT_FIRST_ITEM:
        if (*s->p == ']')
            return scan_close(s, want);
        return scan_item(s, want);
    case WANT_VALUE: return scan_item(s, want);
    case WANT_FIRST_KEY:
        if (*s->p == '}')
            return scan_close(s, want);
        return scan_key(s, want);
    case WANT_KEY: return scan_key(s, want);
    case WANT_NEXT: return scan_next(s, want);
    case WANT_NOTHING: break;
    }
    return SIO_ERR_PARSE;
}

/* Passes one value, white space in front of it included. */
static int scan_value(struct scan *s)
{
    enum want want = WANT_VALUE;

    while (want != WANT_NOTHING) {
        int rv;

        if (!skip_space(s))
            return SIO_ERR_PARSE;
        rv = scan_step(s, &want);
        if (rv < 0)
            return rv;
    }
    return SIO_OK;
}

int json_check(struct sio_str text)
{
    struct scan s;
    int rv;

    scan_init(&s, text);
    rv = scan_value(&s);
    if (rv < 0)
        return rv;
    return skip_space(&s) ? SIO_ERR_PARSE : SIO_OK;
}

int json_array_cut(struct sio_str text, struct sio_str *items, size_t max, size_t *n)
{
    enum want want = WANT_VALUE;
    struct scan s;
    int rv;

    *n = 0;
    scan_init(&s, text);
    if (!skip_space(&s) || *s.p != '[')
        return SIO_ERR_PARSE;
    scan_open(&s, &want);
    s.floor = 1;
    if (!skip_space(&s))
        return SIO_ERR_PARSE;
    if (*s.p == ']') {
        s.p++;
        return skip_space(&s) ? SIO_ERR_PARSE : SIO_OK;
    }
    for (;;) {
        const uint8_t *start;

        if (!skip_space(&s))
            return SIO_ERR_PARSE;
        start = s.p;
        rv = scan_value(&s);
        if (rv < 0)
            return rv;
        if (*n < max)
            items[*n] = (struct sio_str){(const char *)start, (size_t)(s.p - start)};
        ++*n;
        if (!skip_space(&s) || (*s.p != ',' && *s.p != ']'))
            return SIO_ERR_PARSE;
        if (*s.p++ == ']')
            return skip_space(&s) ? SIO_ERR_PARSE : SIO_OK;
    }
}

/*
 * Reading what the scanner has passed: syntax is not looked at again.
 */

enum json_type json_type(struct sio_str value)
{
    switch (value.len > 0 ? value.ptr[0] : 'n') {
    case '{': return JSON_OBJECT;
    case '[': return JSON_ARRAY;
    case '"': return JSON_STRING;
    case 't': return JSON_TRUE;
    case 'f': return JSON_FALSE;
    case 'n': return JSON_NULL;
    default: return JSON_NUMBER;
    }
}

/* p is on the opening quote; returns the place behind the closing one. */
static const char *pass_string(const char *p, const char *end)
{
    const char *start = ++p;

    while (p < end) {
        const char *quote = memchr(p, '"', (size_t)(end - p));
        const char *q = quote;

        if (!quote)
            break;
        while (q > start && q[-1] == '\\')
            q--;
        if ((quote - q) % 2 == 0)
            return quote + 1;
        p = quote + 1;
    }
    return end;
}

static const char *pass_container(const char *p, const char *end)
{
    unsigned depth = 0;

    while (p < end) {
        char c = *p;

        if (c == '"') {
            p = pass_string(p, end);
            continue;
        }
        p++;
        if (c == '{' || c == '[')
            depth++;
        else if ((c == '}' || c == ']') && --depth == 0)
            break;
    }
    return p;
}

static const char *pass_value(const char *p, const char *end)
{
    if (p == end)
        return p;
    if (*p == '"')
        return pass_string(p, end);
    if (*p == '{' || *p == '[')
        return pass_container(p, end);
    while (p < end && *p != ',' && *p != '}' && *p != ']' && !is_space((uint8_t)*p))
        p++;
    return p;
}

/* Passes white space and one of sep, if it is there. */
static const char *pass_gap(const char *p, const char *end, char sep)
{
    while (p < end && is_space((uint8_t)*p))
        p++;
    if (p < end && *p == sep)
        p++;
    while (p < end && is_space((uint8_t)*p))
        p++;
    return p;
}

struct json_iter json_iter(struct sio_str value)
{
    enum json_type type = json_type(value);
    struct json_iter it = {value.ptr, value.ptr, type == JSON_OBJECT};

    if (type == JSON_OBJECT || type == JSON_ARRAY) {
        it.p = value.ptr + 1;
        it.end = value.ptr + value.len;
    }
    return it;
}

bool json_next(struct json_iter *it, struct sio_str *key, struct sio_str *value)
{
    const char *p = it->p == it->end ? it->p : pass_gap(it->p, it->end, ',');
    const char *start = p;

    if (p == it->end || *p == '}' || *p == ']') {
        it->p = it->end;
        return false;
    }
    *key = (struct sio_str){NULL, 0};
    if (it->object) {
        p = pass_string(p, it->end);
        *key = (struct sio_str){start, (size_t)(p - start)};
        p = pass_gap(p, it->end, ':');
        start = p;
    }
    p = pass_value(p, it->end);
    *value = (struct sio_str){start, (size_t)(p - start)};
    it->p = p;
    return true;
}

static bool is_separator(char c)
{
    return c == ',' || c == ':' || is_space((uint8_t)c);
}

bool json_token(struct sio_str *rest, struct sio_str *token)
{
    const char *p = rest->ptr;
    const char *end = p + rest->len;
    const char *start;

    while (p < end && is_separator(*p))
        p++;
    start = p;
    if (p < end) {
        switch (*p) {
        case '[':
        case ']':
        case '{':
        case '}': p++; break;
        default: p = pass_value(p, end); break;
        }
    }
    *token = (struct sio_str){start, (size_t)(p - start)};
    *rest = (struct sio_str){p, (size_t)(end - p)};
    return token->len > 0;
}

bool json_get(struct sio_str object, const char *name, struct sio_str *value)
{
    struct json_iter it = json_iter(object);
    struct sio_str wanted = sio_str_from(name);
    struct sio_str key, v;
    bool found = false;

    if (!it.object)
        return false;
    while (json_next(&it, &key, &v)) {
        if (json_string_eq(key, wanted)) {
            *value = v;
            found = true;
        }
    }
    return found;
}

/* The text between the quotes, escapes and all. */
static struct sio_str inside(struct sio_str raw)
{
    if (raw.len < 2)
        return (struct sio_str){"", 0};
    return (struct sio_str){raw.ptr + 1, raw.len - 2};
}

bool json_string_plain(struct sio_str raw, struct sio_str *out)
{
    *out = inside(raw);
    return raw.len >= 2 && !memchr(out->ptr, '\\', out->len);
}

static uint32_t hex4(const char *p)
{
    uint32_t n = 0;

    for (int i = 0; i < 4; i++) {
        char c = p[i];

        n = n << 4 | (uint32_t)(c <= '9' ? c - '0' : (c | 0x20) - 'a' + 10);
    }
    return n;
}

/* p is behind "\u"; a lone surrogate gives U+FFFD. */
static uint32_t take_unicode(const char **p, const char *end)
{
    uint32_t c = hex4(*p);

    *p += 4;
    if (c < 0xd800 || c > 0xdfff)
        return c;
    if (c < 0xdc00 && end - *p >= 6 && (*p)[0] == '\\' && (*p)[1] == 'u') {
        uint32_t low = hex4(*p + 2);

        if (low >= 0xdc00 && low <= 0xdfff) {
            *p += 6;
            return 0x10000 + ((c - 0xd800) << 10) + (low - 0xdc00);
        }
    }
    return 0xfffd;
}

/* p is on the backslash and moves behind the escape. */
static uint32_t take_escape(const char **p, const char *end)
{
    char c = (*p)[1];

    *p += 2;
    switch (c) {
    case 'b': return '\b';
    case 'f': return '\f';
    case 'n': return '\n';
    case 'r': return '\r';
    case 't': return '\t';
    case 'u': return take_unicode(p, end);
    default: return (uint8_t)c;
    }
}

static size_t encode_utf8(uint32_t c, char out[4])
{
    if (c < 0x80) {
        out[0] = (char)c;
        return 1;
    }
    if (c < 0x800) {
        out[0] = (char)(0xc0 | c >> 6);
        out[1] = (char)(0x80 | (c & 0x3f));
        return 2;
    }
    if (c < 0x10000) {
        out[0] = (char)(0xe0 | c >> 12);
        out[1] = (char)(0x80 | (c >> 6 & 0x3f));
        out[2] = (char)(0x80 | (c & 0x3f));
        return 3;
    }
    out[0] = (char)(0xf0 | c >> 18);
    out[1] = (char)(0x80 | (c >> 12 & 0x3f));
    out[2] = (char)(0x80 | (c >> 6 & 0x3f));
    out[3] = (char)(0x80 | (c & 0x3f));
    return 4;
}

/* Cuts the next run of decoded characters off *text; scratch is for an escape. */
static struct sio_str next_run(struct sio_str *text, char scratch[4])
{
    const char *p = text->ptr;
    const char *end = p + text->len;
    struct sio_str run;

    if (*p == '\\') {
        run = (struct sio_str){scratch, encode_utf8(take_escape(&p, end), scratch)};
    } else {
        p += str_find(*text, '\\');
        run = (struct sio_str){text->ptr, (size_t)(p - text->ptr)};
    }
    *text = (struct sio_str){p, (size_t)(end - p)};
    return run;
}

bool json_string_eq(struct sio_str raw, struct sio_str text)
{
    struct sio_str rest = inside(raw);
    char scratch[4];

    while (rest.len > 0) {
        struct sio_str run = next_run(&rest, scratch);

        if (!str_starts(text, run))
            return false;
        text.ptr += run.len;
        text.len -= run.len;
    }
    return text.len == 0;
}

void json_string_decode(struct sio_str raw, struct wbuf *w)
{
    struct sio_str rest = inside(raw);
    char scratch[4];

    while (rest.len > 0)
        wbuf_add_str(w, next_run(&rest, scratch));
}

/*
 * Numbers.
 */

/*
 * Up to 15 digits fit a double as they are, and so does a power of ten up to 10^22: one
 * division of the two is rounded once, as strtod would.  Not where the processor counts
 * with more bits than a double has.
 */
#define EXACT_DIGITS 15
#define DIVIDES_ONCE (FLT_EVAL_METHOD == 0)
static const double power_of_10[EXACT_DIGITS + 1] = {
    1e0, 1e1, 1e2,  1e3,  1e4,  1e5,  1e6,  1e7,
    1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15,
};

/* Digits, maybe a sign and a point; no exponent. */
static bool small_decimal(struct sio_str value, double *out)
{
    bool negative = value.ptr[0] == '-';
    size_t n_digits = 0, n_behind = 0;
    bool point = false;
    uint64_t n = 0;
    double d;

    for (size_t i = negative; i < value.len; i++) {
        char c = value.ptr[i];

        if (c == '.') {
            point = true;
            continue;
        }
        if (c < '0' || c > '9' || n_digits == EXACT_DIGITS)
            return false;
        n = n * 10 + (uint64_t)(c - '0');
        n_digits++;
        n_behind += point;
    }
    if (point && !DIVIDES_ONCE)
        return false;
    d = (double)n / power_of_10[n_behind];
    *out = negative ? -d : d;
    return true;
}

bool json_number(struct sio_str value, double *out)
{
    char small[64];
    char *copy = small;
    locale_t c_locale;

    if (value.len == 0 || json_type(value) != JSON_NUMBER)
        return false;
    if (small_decimal(value, out))
        return true;
    if (value.len < sizeof(small)) {
        memcpy(small, value.ptr, value.len);
        small[value.len] = '\0';
    } else {
        copy = mem_strndup(value.ptr, value.len);
        if (!copy)
            return false;
    }
    /* The process may have a locale with another decimal point. */
    c_locale = newlocale(LC_ALL_MASK, "C", (locale_t)0);
    *out = c_locale ? strtod_l(copy, NULL, c_locale) : strtod(copy, NULL);
    if (c_locale)
        freelocale(c_locale);
    if (copy != small)
        mem_free(copy);
    return true;
}

/*
 * The fewest digits (at most 17) that read back as d > 0: d = 0.DIGITS * 10^exp.
 * Returns their number.
 */
static int shortest_digits(double d, char digits[18], int *exp)
{
    char text[32];
    int n = 0;

    /*
     * 15 digits survive the way through a double, so with zeros off they are the
     * shortest; the smallest numbers have fewer to begin with.
     */
    for (int precision = d < DBL_MIN ? 1 : 15; precision <= 17; precision++) {
        snprintf(text, sizeof(text), "%.*e", precision - 1, d);
        if (strtod(text, NULL) == d)
            break;
    }
    for (const char *p = text; *p && *p != 'e'; p++)
        if (*p >= '0' && *p <= '9' && n < 17)
            digits[n++] = *p;
    while (n > 1 && digits[n - 1] == '0')
        n--;
    *exp = atoi(strchr(text, 'e') + 1) + 1;
    return n;
}

static void add_zeros(struct wbuf *w, int n)
{
    while (n-- > 0)
        wbuf_add_byte(w, '0');
}

/*
 * Most numbers have few decimals.  If n / 10^k gives d > 0 back, these are its digits,
 * and with the least k they are the fewest.
 */
static bool write_short(struct wbuf *w, double d)
{
    for (int k = 1; DIVIDES_ONCE && k <= 6; k++) {
        double scaled = d * power_of_10[k] + 0.5;
        char digits[STR_U64_SIZE];
        size_t len, whole;
        uint64_t n;

        if (scaled >= 1e15)
            return false;
        n = (uint64_t)scaled;
        if ((double)n / power_of_10[k] != d)
            continue;
        len = str_from_u64(n, digits);
        whole = len > (size_t)k ? len - (size_t)k : 0;
        wbuf_add(w, digits, whole);
        wbuf_add_cstr(w, whole > 0 ? "." : "0.");
        if (whole == 0)
            add_zeros(w, k - (int)len);
        wbuf_add(w, digits + whole, len - whole);
        return true;
    }
    return false;
}

/* In the form of ECMA-262, "Number::toString", but for -0. */
void json_write_double(struct wbuf *w, double d)
{
    char digits[18];
    int n, exp;

    if (!isfinite(d)) {
        wbuf_add_cstr(w, "null");
        return;
    }
    if (signbit(d)) {
        wbuf_add_byte(w, '-');
        d = -d;
    }
    if (d < 1e15 && d == (double)(uint64_t)d) {
        wbuf_add_u64(w, (uint64_t)d);
        return;
    }
    if (write_short(w, d))
        return;
    n = shortest_digits(d, digits, &exp);
    if (exp > 21 || exp < -5) {
        wbuf_add(w, digits, 1);
        if (n > 1)
            wbuf_add_byte(w, '.');
        wbuf_add(w, digits + 1, (size_t)n - 1);
        wbuf_addf(w, "e%+d", exp - 1);
    } else if (exp <= 0) {
        wbuf_add_cstr(w, "0.");
        add_zeros(w, -exp);
        wbuf_add(w, digits, (size_t)n);
    } else if (exp >= n) {
        wbuf_add(w, digits, (size_t)n);
        add_zeros(w, exp - n);
    } else {
        wbuf_add(w, digits, (size_t)exp);
        wbuf_add_byte(w, '.');
        wbuf_add(w, digits + exp, (size_t)(n - exp));
    }
}

/*
 * Strings out.
 */

static void write_special(struct wbuf *w, uint8_t c)
{
    switch (c) {
    case '"': wbuf_add(w, "\\\"", 2); break;
    case '\\': wbuf_add(w, "\\\\", 2); break;
    case '\b': wbuf_add(w, "\\b", 2); break;
    case '\f': wbuf_add(w, "\\f", 2); break;
    case '\n': wbuf_add(w, "\\n", 2); break;
    case '\r': wbuf_add(w, "\\r", 2); break;
    case '\t': wbuf_add(w, "\\t", 2); break;
    default: wbuf_addf(w, "\\u%04x", c); break;
    }
}

static void write_valid(struct wbuf *w, const uint8_t *p, const uint8_t *end)
{
    while (p < end) {
        const uint8_t *q = find_special(p, end);

        wbuf_add(w, p, (size_t)(q - p));
        if (q < end)
            write_special(w, *q++);
        p = q;
    }
}

/* Length of the whole character at p, 0 if there is none. */
static size_t char_len(const uint8_t *p, const uint8_t *end)
{
    size_t len = *p < 0x80 ? 1 : *p < 0xe0 ? 2 : *p < 0xf0 ? 3 : 4;

    if (len > (size_t)(end - p) || !utf8_check(p, len))
        return 0;
    return len;
}

void json_write_string(struct wbuf *w, struct sio_str text)
{
    const uint8_t *p = (const uint8_t *)text.ptr;
    const uint8_t *end = text.len > 0 ? p + text.len : p;

    wbuf_add_byte(w, '"');
    if (utf8_check(p, text.len)) {
        write_valid(w, p, end);
        p = end;
    }
    while (p < end) {
        size_t len = char_len(p, end);

        if (len > 0)
            write_valid(w, p, p + len);
        else
            wbuf_add(w, "\xef\xbf\xbd", 3);
        p += len > 0 ? len : 1;
    }
    wbuf_add_byte(w, '"');
}
