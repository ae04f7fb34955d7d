/*
 * redis/request.h - commands as the bytes that Redis reads
 */
#ifndef REDIS_REQUEST_H
#define REDIS_REQUEST_H

#include <sioc/bytes.h>

#include "base/buf.h"

#define REDIS_MAX_ARGS 32

/*
 * A command: at most REDIS_MAX_ARGS arguments, the last of them in parts, one behind the
 * other, if there are any.  All of it is borrowed.
 */
struct redis_request {
    const struct sio_slice *args;
    size_t n;
    const struct sio_slice *parts; /* NULL: none */
    size_t n_parts;
};

/* An argument of borrowed text. */
static inline struct sio_slice redis_arg(struct sio_str s)
{
    return (struct sio_slice){NULL, (const uint8_t *)s.ptr, s.len};
}

/* Its bytes.  Each slice has a buf: those of arguments that have one are not copied. */
struct redis_encoding {
    struct sio_slice slices[2 * REDIS_MAX_ARGS + 1];
    size_t n;
    struct sio_str left; /* the channel of SUNSUBSCRIBE; ptr NULL: another command */
    struct wbuf text;
    size_t begin; /* of the text that no slice has yet */
};

/*
 * SIO_OK; SIO_ERR_INVAL: too many arguments; SIO_ERR_NOMEM.  The caller ends e with
 * redis_encoding_fini in any case; the slices are good until then.
 */
int redis_request_encode(struct redis_encoding *e, const struct redis_request *r);
void redis_encoding_fini(struct redis_encoding *e);

#endif
