#include <config.h>

#include "http/deflate.h"

#include <zlib.h>

#include "base/mem.h"

#define STEP 4096 /* at least this much room is made at once */

/* What Z_SYNC_FLUSH ends with, and permessage-deflate leaves out. */
static const uint8_t flush_tail[4] = {0x00, 0x00, 0xff, 0xff};

/* Bits of z_stream.data_type after inflate. */
#define BETWEEN_BLOCKS 128

struct deflater {
    z_stream z;
};

struct inflater {
    z_stream z;
    bool ended; /* by a last block: another stream may follow in the message */
    bool fed;   /* bytes of the present message */
};

static void *z_alloc(void *opaque, unsigned n, unsigned size)
{
    (void)opaque;
    return mem_raw((size_t)n * size);
}

static void z_free(void *opaque, void *p)
{
    (void)opaque;
    mem_free(p);
}

/* zlib reads through a pointer that is not const. */
static void set_input(z_stream *z, const void *p, size_t len)
{
    z->next_in = (Bytef *)(uintptr_t)p;
    z->avail_in = (uInt)len;
}

/* Lets z write behind what out has; at least a byte, or out's error. */
static int set_room(z_stream *z, struct wbuf *out)
{
    size_t left = out->max - out->len;
    int rv = wbuf_reserve(out, left == 0 ? 1 : left < STEP ? left : STEP);

    if (rv < 0)
        return rv;
    z->next_out = out->buf->data + out->len;
    z->avail_out = (uInt)(out->cap - out->len);
    return SIO_OK;
}

/* A hash table that fits the window: zlib's own default for 15 bits. */
static int mem_level(int window_bits)
{
    return window_bits - 7;
}

/* What is above 15 bits, or negative, chooses the wrapping. */
static int start(z_stream *z, int level, int window_bits, int wrapped_bits)
{
    *z = (z_stream){.zalloc = z_alloc, .zfree = z_free};
    return deflateInit2(z, level, Z_DEFLATED, wrapped_bits, mem_level(window_bits),
                        Z_DEFAULT_STRATEGY) == Z_OK
               ? SIO_OK
               : SIO_ERR_NOMEM;
}

/* Compresses a piece; last: to the end of what flush asks for. */
static int write_piece(z_stream *z, const struct sio_slice *s, int flush,
                       struct wbuf *out)
{
    set_input(z, s->ptr, s->len);
    do {
        int rv = set_room(z, out);
        size_t room = z->avail_out;

        if (rv < 0)
            return rv;
        deflate(z, flush); /* only ever says that it needs more room */
        out->len += room - z->avail_out;
    } while (z->avail_out == 0);
    return SIO_OK;
}

static int write_slices(z_stream *z, const struct sio_slice *slices, size_t n,
                        int flush, struct wbuf *out)
{
    static const struct sio_slice nothing = {NULL, (const uint8_t *)"", 0};
    int rv = SIO_OK;

    for (size_t i = 0; i < n && rv == SIO_OK; i++)
        rv = write_piece(z, &slices[i], Z_NO_FLUSH, out);
    return rv < 0 ? rv : write_piece(z, &nothing, flush, out);
}

struct sio_buf *deflate_whole(enum deflate_form form, int level,
                              const struct sio_slice *slices, size_t n)
{
    int bits = form == DEFLATE_GZIP ? DEFLATE_MAX_BITS + 16 : DEFLATE_MAX_BITS;
    struct sio_buf *b = NULL;
    struct wbuf out;
    size_t total = 0;
    z_stream z;

    for (size_t i = 0; i < n; i++)
        total += slices[i].len;
    if (total == 0 || total > UINT32_MAX ||
        start(&z, level, DEFLATE_MAX_BITS, bits) < 0)
        return NULL;
    wbuf_init(&out, total - 1);
    wbuf_reserve(&out, total / 4);
    if (write_slices(&z, slices, n, Z_FINISH, &out) == SIO_OK)
        b = wbuf_take(&out);
    wbuf_fini(&out);
    deflateEnd(&z);
    return b;
}

struct deflater *deflater_new(int level, int window_bits)
{
    struct deflater *d = mem_new(struct deflater);

    if (d && start(&d->z, level, window_bits, -window_bits) < 0) {
        mem_free(d);
        return NULL;
    }
    return d;
}

void deflater_free(struct deflater *d)
{
    if (!d)
        return;
    deflateEnd(&d->z);
    mem_free(d);
}

int deflater_message(struct deflater *d, const struct sio_slice *slices, size_t n,
                     struct wbuf *out)
{
    int rv = write_slices(&d->z, slices, n, Z_SYNC_FLUSH, out);

    if (rv < 0) {
        deflateReset(&d->z);
        return rv;
    }
    out->len -= sizeof(flush_tail);
    return SIO_OK;
}

struct inflater *inflater_new(int window_bits)
{
    struct inflater *in = mem_new(struct inflater);

    if (!in)
        return NULL;
    in->z.zalloc = z_alloc;
    in->z.zfree = z_free;
    if (inflateInit2(&in->z, -window_bits) != Z_OK) {
        mem_free(in);
        return NULL;
    }
    return in;
}

void inflater_free(struct inflater *in)
{
    if (!in)
        return;
    inflateEnd(&in->z);
    mem_free(in);
}

/*
 * One call of zlib, into the room that out still has: where that is none, into a byte
 * that must stay unused.
 */
static int inflate_some(struct inflater *in, struct wbuf *out)
{
    z_stream *z = &in->z;
    uint8_t spare;
    bool full = out->len == out->max;
    size_t room;
    int rv;

    if (full) {
        z->next_out = &spare;
        z->avail_out = 1;
    } else if ((rv = set_room(z, out)) < 0) {
        return rv;
    }
    room = z->avail_out;
    rv = inflate(z, Z_SYNC_FLUSH);
    if (full && z->avail_out == 0)
        return SIO_ERR_TOO_BIG;
    if (!full)
        out->len += room - z->avail_out;
    switch (rv) {
    case Z_STREAM_END: in->ended = true; return SIO_OK;
    case Z_OK:
    case Z_BUF_ERROR: return SIO_OK; /* no more input */
    case Z_MEM_ERROR: return SIO_ERR_NOMEM;
    default: return SIO_ERR_PARSE;
    }
}

/* A last block ends a stream, not the message (RFC 7692, 7.2.3.4); the window stays. */
static int inflate_all(struct inflater *in, const void *p, size_t len, struct wbuf *out)
{
    z_stream *z = &in->z;

    set_input(z, p, len);
    do {
        int rv;

        if (in->ended && inflateResetKeep(z) != Z_OK)
            return SIO_ERR_PARSE;
        in->ended = false;
        rv = inflate_some(in, out);
        if (rv < 0)
            return rv;
    } while (z->avail_in > 0 || (z->avail_out == 0 && !in->ended));
    return SIO_OK;
}

int inflater_feed(struct inflater *in, const void *p, size_t len, struct wbuf *out)
{
    if (len == 0)
        return SIO_OK;
    in->fed = true;
    return inflate_all(in, p, len, out);
}

int inflater_end(struct inflater *in, struct wbuf *out)
{
    bool fed = in->fed;
    int rv;

    in->fed = false;
    if (!fed || in->ended)
        return SIO_OK;
    rv = inflate_all(in, flush_tail, sizeof(flush_tail), out);
    if (rv < 0)
        return rv;
    return in->z.data_type & BETWEEN_BLOCKS ? SIO_OK : SIO_ERR_PARSE;
}
