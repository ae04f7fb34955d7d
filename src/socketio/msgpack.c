#include <config.h>

#include "socketio/msgpack.h"

#include <math.h>

#include "base/str.h"

/*
 * Reading
 */

static uint64_t big_endian(const uint8_t *p, size_t n)
{
    uint64_t v = 0;

    while (n-- > 0)
        v = v << 8 | *p++;
    return v;
}

/* Takes a number of n bytes off the input. */
static bool take(struct sio_msgpack_reader *r, size_t n, uint64_t *out)
{
    if ((size_t)(r->end - r->p) < n)
        return false;
    *out = big_endian(r->p, n);
    r->p += n;
    return true;
}

static int take_uint(struct sio_msgpack_reader *r, struct sio_msgpack_token *t,
                     size_t n)
{
    t->kind = SIO_MSGPACK_UINT;
    return take(r, n, &t->u) ? SIO_OK : SIO_ERR_PARSE;
}

static int take_int(struct sio_msgpack_reader *r, struct sio_msgpack_token *t, size_t n)
{
    unsigned unused = 64 - 8 * (unsigned)n;
    uint64_t u;

    if (!take(r, n, &u))
        return SIO_ERR_PARSE;
    /* The sign moves up to where it belongs. */
    t->i = (int64_t)(u << unused) >> unused;
    t->kind = t->i < 0 ? SIO_MSGPACK_INT : SIO_MSGPACK_UINT;
    t->u = (uint64_t)t->i;
    return SIO_OK;
}

static int take_float(struct sio_msgpack_reader *r, struct sio_msgpack_token *t)
{
    uint64_t u;
    uint32_t bits;
    float f;

    if (!take(r, 4, &u))
        return SIO_ERR_PARSE;
    bits = (uint32_t)u;
    memcpy(&f, &bits, sizeof(f));
    t->kind = SIO_MSGPACK_DOUBLE;
    t->d = (double)f;
    return SIO_OK;
}

static int take_double(struct sio_msgpack_reader *r, struct sio_msgpack_token *t)
{
    uint64_t u;

    if (!take(r, 8, &u))
        return SIO_ERR_PARSE;
    t->kind = SIO_MSGPACK_DOUBLE;
    memcpy(&t->d, &u, sizeof(t->d));
    return SIO_OK;
}

static int take_bytes(struct sio_msgpack_reader *r, struct sio_msgpack_token *t,
                      enum sio_msgpack_kind kind, uint64_t len)
{
    if ((uint64_t)(r->end - r->p) < len)
        return SIO_ERR_PARSE;
    t->kind = kind;
    t->bytes = (struct sio_slice){r->buf, r->p, (size_t)len};
    r->p += len;
    return SIO_OK;
}

/* The same with a length of n bytes in front. */
static int take_long(struct sio_msgpack_reader *r, struct sio_msgpack_token *t,
                     enum sio_msgpack_kind kind, size_t n)
{
    uint64_t len;

    return take(r, n, &len) ? take_bytes(r, t, kind, len) : SIO_ERR_PARSE;
}

static int take_ext(struct sio_msgpack_reader *r, struct sio_msgpack_token *t,
                    uint64_t len, bool fixed)
{
    uint64_t type;

    if (!take(r, 1, &type))
        return SIO_ERR_PARSE;
    t->ext = (int8_t)type;
    t->fixed = fixed;
    return take_bytes(r, t, SIO_MSGPACK_EXT, len);
}

static int take_long_ext(struct sio_msgpack_reader *r, struct sio_msgpack_token *t,
                         size_t n)
{
    uint64_t len;

    return take(r, n, &len) ? take_ext(r, t, len, false) : SIO_ERR_PARSE;
}

/* No item is less than a byte: a count is believed as far as bytes are there. */
static int open_container(const struct sio_msgpack_reader *r,
                          struct sio_msgpack_token *t, enum sio_msgpack_kind kind,
                          uint64_t n)
{
    if ((kind == SIO_MSGPACK_MAP ? 2 * n : n) > (uint64_t)(r->end - r->p))
        return SIO_ERR_PARSE;
    t->kind = kind;
    t->n = (uint32_t)n;
    return SIO_OK;
}

static int take_container(struct sio_msgpack_reader *r, struct sio_msgpack_token *t,
                          enum sio_msgpack_kind kind, size_t n)
{
    uint64_t count;

    return take(r, n, &count) ? open_container(r, t, kind, count) : SIO_ERR_PARSE;
}

/* 0xc0 to 0xdf. */
static int take_by_code(struct sio_msgpack_reader *r, struct sio_msgpack_token *t,
                        uint8_t code)
{
    switch (code) {
    case 0xc0: t->kind = SIO_MSGPACK_NIL; return SIO_OK;
    case 0xc2:
    case 0xc3:
        t->kind = SIO_MSGPACK_BOOL;
        t->u = code & 1;
        return SIO_OK;
    case 0xc4: return take_long(r, t, SIO_MSGPACK_BINARY, 1);
    case 0xc5: return take_long(r, t, SIO_MSGPACK_BINARY, 2);
    case 0xc6: return take_long(r, t, SIO_MSGPACK_BINARY, 4);
    case 0xc7: return take_long_ext(r, t, 1);
    case 0xc8: return take_long_ext(r, t, 2);
    case 0xc9: return take_long_ext(r, t, 4);
    case 0xca: return take_float(r, t);
    case 0xcb: return take_double(r, t);
    case 0xcc:
    case 0xcd:
    case 0xce:
    case 0xcf: return take_uint(r, t, (size_t)1 << (code - 0xcc));
    case 0xd0:
    case 0xd1:
    case 0xd2:
    case 0xd3: return take_int(r, t, (size_t)1 << (code - 0xd0));
    case 0xd4:
    case 0xd5:
    case 0xd6:
    case 0xd7:
    case 0xd8: return take_ext(r, t, (uint64_t)1 << (code - 0xd4), true);
    case 0xd9: return take_long(r, t, SIO_MSGPACK_STRING, 1);
    case 0xda: return take_long(r, t, SIO_MSGPACK_STRING, 2);
    case 0xdb: return take_long(r, t, SIO_MSGPACK_STRING, 4);
    case 0xdc: return take_container(r, t, SIO_MSGPACK_ARRAY, 2);
    case 0xdd: return take_container(r, t, SIO_MSGPACK_ARRAY, 4);
    case 0xde: return take_container(r, t, SIO_MSGPACK_MAP, 2);
    case 0xdf: return take_container(r, t, SIO_MSGPACK_MAP, 4);
    default: return SIO_ERR_PARSE;
    }
}

int sio_msgpack_next(struct sio_msgpack_reader *r, struct sio_msgpack_token *t)
{
    uint8_t code;

    if (r->p == r->end)
        return SIO_ERR_PARSE;
    code = *r->p++;
    if (code < 0x80 || code >= 0xe0) {
        t->i = (int8_t)code;
        t->u = code;
        t->kind = code < 0x80 ? SIO_MSGPACK_UINT : SIO_MSGPACK_INT;
        return SIO_OK;
    }
    if (code < 0x90)
        return open_container(r, t, SIO_MSGPACK_MAP, code & 0x0f);
    if (code < 0xa0)
        return open_container(r, t, SIO_MSGPACK_ARRAY, code & 0x0f);
    if (code < 0xc0)
        return take_bytes(r, t, SIO_MSGPACK_STRING, code & 0x1f);
    return take_by_code(r, t, code);
}

int sio_msgpack_skip(struct sio_msgpack_reader *r)
{
    struct sio_msgpack_token t;
    uint64_t due = 1; /* never more than the bytes that came, and one */

    while (due > 0) {
        int rv = sio_msgpack_next(r, &t);

        if (rv < 0)
            return rv;
        due--;
        if (t.kind == SIO_MSGPACK_ARRAY)
            due += t.n;
        if (t.kind == SIO_MSGPACK_MAP)
            due += 2 * (uint64_t)t.n;
        if (due > (uint64_t)(r->end - r->p))
            return SIO_ERR_PARSE;
    }
    return SIO_OK;
}

#define EXACT_MAX 9007199254740992.0 /* 2^53: from here on doubles leave integers out */

bool sio_msgpack_uint(const struct sio_msgpack_token *t, uint64_t *out)
{
    if (t->kind == SIO_MSGPACK_UINT) {
        *out = t->u;
        return true;
    }
    if (t->kind != SIO_MSGPACK_DOUBLE || !(t->d >= 0 && t->d <= EXACT_MAX))
        return false;
    *out = (uint64_t)t->d;
    return (double)*out == t->d;
}

bool sio_msgpack_string_eq(const struct sio_msgpack_token *t, const char *text)
{
    struct sio_str s = {(const char *)t->bytes.ptr, t->bytes.len};

    return t->kind == SIO_MSGPACK_STRING && str_eq_cstr(s, text);
}

/*
 * Writing
 */

/* A code and a number of n bytes behind it. */
static void add_code(struct wbuf *w, uint8_t code, uint64_t v, size_t n)
{
    uint8_t *p = wbuf_extend(w, 1 + n);

    if (!p)
        return;
    p[0] = code;
    for (; n > 0; n--, v >>= 8)
        p[n] = (uint8_t)v;
}

/* Bytes that a length takes: 1, 2 or 4. */
static size_t len_bytes(uint32_t n)
{
    return n <= UINT8_MAX ? 1 : n <= UINT16_MAX ? 2 : 4;
}

void sio_msgpack_add_nil(struct wbuf *w)
{
    wbuf_add_byte(w, 0xc0);
}

void sio_msgpack_add_bool(struct wbuf *w, bool b)
{
    wbuf_add_byte(w, b ? 0xc3 : 0xc2);
}

void sio_msgpack_add_uint(struct wbuf *w, uint64_t n)
{
    if (n < 0x80)
        wbuf_add_byte(w, (uint8_t)n);
    else if (n <= UINT8_MAX)
        add_code(w, 0xcc, n, 1);
    else if (n <= UINT16_MAX)
        add_code(w, 0xcd, n, 2);
    else if (n <= UINT32_MAX)
        add_code(w, 0xce, n, 4);
    else
        add_code(w, 0xcf, n, 8);
}

void sio_msgpack_add_int(struct wbuf *w, int64_t n)
{
    if (n >= 0)
        sio_msgpack_add_uint(w, (uint64_t)n);
    else if (n >= -32)
        wbuf_add_byte(w, (uint8_t)n);
    else if (n >= INT8_MIN)
        add_code(w, 0xd0, (uint64_t)n, 1);
    else if (n >= INT16_MIN)
        add_code(w, 0xd1, (uint64_t)n, 2);
    else if (n >= INT32_MIN)
        add_code(w, 0xd2, (uint64_t)n, 4);
    else
        add_code(w, 0xd3, (uint64_t)n, 8);
}

void sio_msgpack_add_double(struct wbuf *w, double d)
{
    uint64_t bits;

    if (fabs(d) <= EXACT_MAX && d == (double)(int64_t)d && !(d == 0 && signbit(d))) {
        sio_msgpack_add_int(w, (int64_t)d);
        return;
    }
    memcpy(&bits, &d, sizeof(bits));
    add_code(w, 0xcb, bits, 8);
}

/* What stands in front of a text. */
static void add_string_head(struct wbuf *w, uint32_t len)
{
    if (len < 32)
        wbuf_add_byte(w, (uint8_t)(0xa0 | len));
    else
        add_code(w,
                 len <= UINT8_MAX    ? 0xd9
                 : len <= UINT16_MAX ? 0xda
                                     : 0xdb,
                 len, len_bytes(len));
}

void sio_msgpack_add_string(struct wbuf *w, struct sio_str utf8)
{
    if (utf8.len > UINT32_MAX) {
        w->error = SIO_ERR_TOO_BIG;
        return;
    }
    add_string_head(w, (uint32_t)utf8.len);
    wbuf_add_str(w, utf8);
}

void sio_msgpack_add_binary_head(struct wbuf *w, uint32_t len)
{
    add_code(w,
             len <= UINT8_MAX    ? 0xc4
             : len <= UINT16_MAX ? 0xc5
                                 : 0xc6,
             len, len_bytes(len));
}

void sio_msgpack_add_array(struct wbuf *w, uint32_t n)
{
    if (n < 16)
        wbuf_add_byte(w, (uint8_t)(0x90 | n));
    else
        add_code(w, n <= UINT16_MAX ? 0xdc : 0xdd, n, n <= UINT16_MAX ? 2 : 4);
}

void sio_msgpack_add_map(struct wbuf *w, uint32_t n)
{
    if (n < 16)
        wbuf_add_byte(w, (uint8_t)(0x80 | n));
    else
        add_code(w, n <= UINT16_MAX ? 0xde : 0xdf, n, n <= UINT16_MAX ? 2 : 4);
}
