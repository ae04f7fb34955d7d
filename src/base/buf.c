#include <config.h>

#include "base/buf.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>

#include "base/mem.h"
#include "base/str.h"

#define WBUF_FIRST_CAP    128
#define WBUF_NEVER_SHRUNK 1024u /* giving less back is not worth the call */

struct sio_buf *sio_buf_new(size_t len)
{
    struct sio_buf *b;

    if (len > UINT32_MAX)
        return NULL;
    b = mem_raw(sizeof(*b) + len);
    if (!b)
        return NULL;
    b->refs = 1;
    b->len = (uint32_t)len;
    return b;
}

struct sio_buf *sio_buf_copy(const void *p, size_t len)
{
    struct sio_buf *b = sio_buf_new(len);

    if (b && len > 0)
        memcpy(b->data, p, len);
    return b;
}

struct sio_buf *sio_buf_ref(struct sio_buf *b)
{
    assert(b->refs > 0 && b->refs < UINT32_MAX);
    b->refs++;
    return b;
}

void sio_buf_unref(struct sio_buf *b)
{
    if (!b)
        return;
    assert(b->refs > 0);
    if (--b->refs == 0)
        mem_free(b);
}

uint8_t *sio_buf_data(struct sio_buf *b)
{
    return b->data;
}

size_t sio_buf_len(const struct sio_buf *b)
{
    return b->len;
}

struct sio_slice sio_slice_of(struct sio_buf *b)
{
    return (struct sio_slice){b, b->data, b->len};
}

int sio_slice_hold(struct sio_slice in, struct sio_slice *out)
{
    if (in.buf) {
        sio_buf_ref(in.buf);
        *out = in;
        return SIO_OK;
    }
    *out = (struct sio_slice){0};
    out->buf = sio_buf_copy(in.ptr, in.len);
    if (!out->buf)
        return SIO_ERR_NOMEM;
    *out = sio_slice_of(out->buf);
    return SIO_OK;
}

void wbuf_init(struct wbuf *w, size_t max)
{
    *w = (struct wbuf){.max = max < UINT32_MAX ? max : UINT32_MAX};
}

void wbuf_fini(struct wbuf *w)
{
    sio_buf_unref(w->buf);
    wbuf_init(w, w->max);
}

/* len of the buf stays 0 while it is written: only wbuf_take sets it. */
static int set_cap(struct wbuf *w, size_t cap)
{
    struct sio_buf *b = mem_resize(w->buf, 1, sizeof(*b) + cap);

    if (!b)
        return w->error = SIO_ERR_NOMEM;
    b->refs = 1;
    b->len = 0;
    w->buf = b;
    w->cap = cap;
    return SIO_OK;
}

int wbuf_reserve(struct wbuf *w, size_t more)
{
    size_t cap;

    if (w->error || more <= w->cap - w->len)
        return w->error;
    if (more > w->max - w->len)
        return w->error = SIO_ERR_TOO_BIG;
    cap = w->cap ? w->cap + w->cap / 2 : WBUF_FIRST_CAP;
    if (cap < w->len + more)
        cap = w->len + more;
    if (cap > w->max)
        cap = w->max;
    return set_cap(w, cap);
}

uint8_t *wbuf_extend(struct wbuf *w, size_t len)
{
    uint8_t *p;

    if (wbuf_reserve(w, len) < 0)
        return NULL;
    if (!w->buf && set_cap(w, w->max < WBUF_FIRST_CAP ? w->max : WBUF_FIRST_CAP) < 0)
        return NULL;
    p = w->buf->data + w->len;
    w->len += len;
    return p;
}

void wbuf_add(struct wbuf *w, const void *p, size_t len)
{
    uint8_t *to = len > 0 ? wbuf_extend(w, len) : NULL;

    if (to)
        memcpy(to, p, len);
}

void wbuf_add_str(struct wbuf *w, struct sio_str s)
{
    wbuf_add(w, s.ptr, s.len);
}

void wbuf_add_cstr(struct wbuf *w, const char *s)
{
    wbuf_add(w, s, strlen(s));
}

void wbuf_add_byte(struct wbuf *w, uint8_t c)
{
    wbuf_add(w, &c, 1);
}

void wbuf_add_u64(struct wbuf *w, uint64_t n)
{
    char digits[STR_U64_SIZE];

    wbuf_add(w, digits, str_from_u64(n, digits));
}

void wbuf_addf(struct wbuf *w, const char *fmt, ...)
{
    char small[256];
    va_list ap;
    int n;

    if (w->error)
        return;
    va_start(ap, fmt);
    n = vsnprintf(small, sizeof(small), fmt, ap);
    va_end(ap);
    if (n < 0) {
        w->error = SIO_ERR_NOMEM;
        return;
    }
    if ((size_t)n < sizeof(small)) {
        wbuf_add(w, small, (size_t)n);
        return;
    }
    /* The NUL that vsnprintf adds needs a place too. */
    if (wbuf_reserve(w, (size_t)n + 1) < 0)
        return;
    va_start(ap, fmt);
    vsnprintf((char *)w->buf->data + w->len, (size_t)n + 1, fmt, ap);
    va_end(ap);
    w->len += (size_t)n;
}

struct sio_buf *wbuf_take(struct wbuf *w)
{
    struct sio_buf *b = w->buf;

    if (w->error)
        return NULL;
    if (!b)
        return sio_buf_new(0);
    if (w->cap > WBUF_NEVER_SHRUNK && w->len < w->cap - w->cap / 4) {
        struct sio_buf *smaller = mem_resize(b, 1, sizeof(*b) + w->len);

        if (smaller)
            b = smaller;
    }
    b->len = (uint32_t)w->len;
    wbuf_init(w, w->max);
    return b;
}

struct sio_str wbuf_str(const struct wbuf *w)
{
    if (!w->buf)
        return (struct sio_str){"", 0};
    return (struct sio_str){(const char *)w->buf->data, w->len};
}
