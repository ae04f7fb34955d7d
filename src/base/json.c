#include <config.h>

#include "base/json.h"

#include <string.h>

#include "base/json_impl.h"

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
    while (s->p < s->end && json_is_space(*s->p))
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
        s->p = json_find_special(s->p, s->end);
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
