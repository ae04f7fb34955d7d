/*
 * http/deflate.h - DEFLATE (RFC 1951): bodies of replies, messages of WebSockets
 *
 * The only file that knows zlib.  Its memory is counted as ours is (base/mem.h).
 */
#ifndef HTTP_DEFLATE_H
#define HTTP_DEFLATE_H

#include "base/buf.h"

#define DEFLATE_MIN_BITS 9 /* of a window that zlib can compress with */
#define DEFLATE_MAX_BITS 15

enum deflate_form {
    DEFLATE_ZLIB, /* RFC 1950: what HTTP calls "deflate" */
    DEFLATE_GZIP, /* RFC 1952 */
};

/*
 * The bytes of the slices as one stream of that form.  level 1 to 9.  The caller owns the
 * result; NULL: it would not be smaller, or out of memory.
 */
struct sio_buf *deflate_whole(enum deflate_form form, int level,
                              const struct sio_slice *slices, size_t n);

/* Compresses messages one after another, each with what came before it in mind. */
struct deflater;

/*
 * window_bits as above; the smaller, the less memory (15: 268 kB, 9: 10 kB).  NULL: out of
 * memory.
 */
struct deflater *deflater_new(int level, int window_bits);
void deflater_free(struct deflater *d);

/*
 * Appends a message to out, without the 00 00 ff ff of its end (RFC 7692, 7.2.1).
 * SIO_OK; SIO_ERR_TOO_BIG: out's bound was reached; SIO_ERR_NOMEM.  After an error d has
 * forgotten all messages, as the peer never saw this one.
 */
int deflater_message(struct deflater *d, const struct sio_slice *slices, size_t n,
                     struct wbuf *out);

/* The way back. */
struct inflater;

/* window_bits 8 to 15: of the peer's window, at least.  NULL: out of memory. */
struct inflater *inflater_new(int window_bits);
void inflater_free(struct inflater *in);

/*
 * Takes a piece of a message and appends what comes out of it to out.  SIO_OK;
 * SIO_ERR_PARSE; SIO_ERR_TOO_BIG: out's bound, seen before memory is taken for more;
 * SIO_ERR_NOMEM.  After an error `in` can only be freed.
 */
int inflater_feed(struct inflater *in, const void *p, size_t len, struct wbuf *out);

/* The message has ended.  SIO_ERR_PARSE: in the middle of something. */
int inflater_end(struct inflater *in, struct wbuf *out);

#endif
