/*
 * sioc/bytes.h - text and bytes: borrowed, shared, and slices of what is shared
 */
#ifndef SIOC_BYTES_H
#define SIOC_BYTES_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <sioc/error.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Borrowed text: UTF-8 unless said otherwise, may hold NUL, does not end in NUL. */
struct sio_str {
    const char *ptr;
    size_t len;
};

/* A sio_str over a string literal, and over a NUL-terminated string. */
#define SIO_STR_INIT(literal)          \
    {                                  \
        (literal), sizeof(literal) - 1 \
    }
#ifndef __cplusplus
#define SIO_STR(literal) ((struct sio_str)SIO_STR_INIT(literal))
#endif

static inline struct sio_str sio_str_from(const char *s)
{
    struct sio_str r = {s, s ? strlen(s) : 0};

    return r;
}

/*
 * Bytes shared by reference count.  They are written before the buf is shared
 * and never after.  The count is not atomic: a buf belongs to one thread, and a
 * thread that hands over its only reference hands over the buf with it.
 */
struct sio_buf;

/*
 * Returns a buf of len bytes, contents undefined, with one reference that the
 * caller owns; NULL when out of memory or len > UINT32_MAX.
 */
SIOC_API struct sio_buf *sio_buf_new(size_t len);

/* The same with a copy of len bytes at p. */
SIOC_API struct sio_buf *sio_buf_copy(const void *p, size_t len);

/* Adds a reference and returns b. */
SIOC_API struct sio_buf *sio_buf_ref(struct sio_buf *b);

/* Drops the caller's reference; the last one frees.  NULL is allowed. */
SIOC_API void sio_buf_unref(struct sio_buf *b);

/* The bytes (borrowed; write only before sharing) and their number. */
SIOC_API uint8_t *sio_buf_data(struct sio_buf *b);
SIOC_API size_t sio_buf_len(const struct sio_buf *b);

/*
 * Some bytes, and the buf that keeps them alive.  buf == NULL says that the
 * bytes are borrowed: valid until the function that got the slice returns.
 * Passing a slice never moves a reference, unless a comment says so.
 */
struct sio_slice {
    struct sio_buf *buf;
    const uint8_t *ptr;
    size_t len;
};

/* A slice over all of b; no reference is taken. */
SIOC_API struct sio_slice sio_slice_of(struct sio_buf *b);

/*
 * Makes *out a slice that the caller owns: one more reference on in.buf, or,
 * for borrowed bytes, a copy.  Ends with sio_buf_unref(out->buf).
 * SIO_OK or SIO_ERR_NOMEM (then *out is empty).
 */
SIOC_API int sio_slice_hold(struct sio_slice in, struct sio_slice *out);

#ifdef __cplusplus
}
#endif
#endif
