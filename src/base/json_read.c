#include <config.h>

#include "base/json.h"

#include <string.h>

#include "base/json_impl.h"
#include "base/str.h"

/*
 * Reading what the scanner has passed: syntax is not looked at again.
 */

struct sio_str json_trim(struct sio_str text)
{
    while (text.len > 0 && json_is_space((uint8_t)text.ptr[0])) {
        text.ptr++;
        text.len--;
    }
    while (text.len > 0 && json_is_space((uint8_t)text.ptr[text.len - 1]))
        text.len--;
    return text;
}

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
    while (p < end && *p != ',' && *p != '}' && *p != ']' &&
           !json_is_space((uint8_t)*p))
        p++;
    return p;
}

/* Passes white space and one of sep, if it is there. */
static const char *pass_gap(const char *p, const char *end, char sep)
{
    while (p < end && json_is_space((uint8_t)*p))
        p++;
    if (p < end && *p == sep)
        p++;
    while (p < end && json_is_space((uint8_t)*p))
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
    return c == ',' || c == ':' || json_is_space((uint8_t)c);
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
