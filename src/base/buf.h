/*
 * base/buf.h - the inside of sio_buf, and the writer that fills one
 */
#ifndef BASE_BUF_H
#define BASE_BUF_H

#include <stdbool.h>
#include <stdint.h>

#include <sioc/bytes.h>

struct sio_buf {
    uint32_t refs;
    uint32_t len; /* bytes in data[] */
    uint8_t data[];
};

/*
 * A growing run of bytes with a bound.  A failed write (out of memory, bound
 * reached) sets error once; later writes do nothing, so a caller checks once at
 * the end.  The bytes lie in a sio_buf from the start: taking costs no copy.
 */
struct wbuf {
    struct sio_buf *buf; /* NULL until the first byte */
    size_t len;
    size_t cap;
    size_t max;
    int error; /* SIO_OK, SIO_ERR_NOMEM or SIO_ERR_TOO_BIG */
};

/* max is the bound in bytes (at most UINT32_MAX).  Never allocates. */
void wbuf_init(struct wbuf *w, size_t max);

/* Drops w's reference: slices of w->buf that others hold stay good. */
void wbuf_fini(struct wbuf *w);

/* Makes room for more bytes at once.  Returns w->error. */
int wbuf_reserve(struct wbuf *w, size_t more);

void wbuf_add(struct wbuf *w, const void *p, size_t len);
void wbuf_add_str(struct wbuf *w, struct sio_str s);
void wbuf_add_cstr(struct wbuf *w, const char *s);
void wbuf_add_byte(struct wbuf *w, uint8_t c);
void wbuf_add_u64(struct wbuf *w, uint64_t n);
void wbuf_addf(struct wbuf *w, const char *fmt, ...) SIOC_PRINTF(2, 3);

/*
 * Room for len bytes that the caller fills, counted as written at once; NULL on
 * error.  The pointer is good until the next call.
 */
uint8_t *wbuf_extend(struct wbuf *w, size_t len);

/*
 * The bytes as a buf that the caller owns; w is as after wbuf_init.  NULL when
 * w->error is set (read it first) or out of memory; an empty writer gives an
 * empty buf.  More than a quarter of unused room is given back, if it is large.
 */
struct sio_buf *wbuf_take(struct wbuf *w);

/* What was written so far, borrowed until the next call. */
struct sio_str wbuf_str(const struct wbuf *w);

#endif
