/*
 * sioc/http.h - pages and other HTTP replies on the port of a server
 *
 * A Socket.IO server has an HTTP server inside; here it answers other paths too, so that
 * a small program needs no web server beside it:
 *
 *     sio_http_page(sio_server_http(server), "/", "text/html; charset=utf-8", html, len);
 *
 * HTTP/1.1 with keep-alive and pipelining, HTTP/1.0, and TLS where the server listens
 * with it.  What is not routed is answered with 404, a method that is not taken with 405.
 * Everything is called on the loop's thread, and calls back there.  (RFC 9110, RFC 9112)
 */
#ifndef SIOC_HTTP_H
#define SIOC_HTTP_H

#include <stdbool.h>

#include <sioc/bytes.h>

#ifdef __cplusplus
extern "C" {
#endif

/* The HTTP side of a server, from sio_server_http or eio_server_http; borrowed. */
struct sio_http;

/* A request; lives until it is answered, or until on_abort returns. */
struct sio_http_request;

enum sio_http_method {
    SIO_HTTP_DELETE = 1 << 0,
    SIO_HTTP_GET = 1 << 1, /* and HEAD; the body of its reply is left out for you */
    SIO_HTTP_HEAD = 1 << 2,
    SIO_HTTP_OPTIONS = 1 << 3,
    SIO_HTTP_PATCH = 1 << 4,
    SIO_HTTP_POST = 1 << 5,
    SIO_HTTP_PUT = 1 << 6,
    SIO_HTTP_OTHER = 1 << 7,
    SIO_HTTP_ANY = 0xff
};

/*
 * Answers GET and HEAD of path with len bytes, which are copied once, here.  The reply
 * has an ETag, and is 304 where the client has it already.  type is the Content-Type.
 * SIO_OK, SIO_ERR_NOMEM, SIO_ERR_INVAL (path does not begin with '/', or holds ':' or
 * '*').
 */
SIOC_API int sio_http_page(struct sio_http *http, const char *path, const char *type,
                           const void *bytes, size_t len);

/*
 * The same with a file, read here and not again, at most 64 MiB.  Also SIO_ERR_NOT_FOUND,
 * SIO_ERR_TOO_BIG, SIO_ERR_IO; diag, which may be NULL, then says which file.
 */
SIOC_API int sio_http_file(struct sio_http *http, const char *path, const char *type,
                           const char *file, struct sio_diag *diag);

struct sio_http_handler {
    /*
     * A request, whole with its body.  Answered with one of the sio_http_reply
     * functions, before this returns or later.
     */
    void (*on_request)(struct sio_http_request *r, void *user);

    /*
     * Whoever asked has gone, or the server ends, and r was not answered.  Needed by
     * who answers later, else NULL.
     */
    void (*on_abort)(struct sio_http_request *r, void *user);

    size_t max_body; /* bytes; above: 413 before on_request; 0: no body is taken */
};

/*
 * Adds a route.  pattern: "/status"; "/rooms/:/members", where ':' stands for one
 * non-empty segment (at most 4 of them); or "/files/" and '*', every path that begins
 * so.  methods: bits of enum sio_http_method.  The first route that matches wins; the
 * server's own path is the very first.  handler is borrowed until the server is freed.
 * SIO_OK, SIO_ERR_NOMEM, SIO_ERR_INVAL (pattern).
 */
SIOC_API int sio_http_route(struct sio_http *http, unsigned methods,
                            const char *pattern, const struct sio_http_handler *handler,
                            void *user);

/* Of a request.  Text is borrowed, and lives as long as the request. */

/* One bit; a HEAD is SIO_HTTP_HEAD. */
SIOC_API enum sio_http_method sio_http_request_method(const struct sio_http_request *r);
/* The path as it was sent, without the query. */
SIOC_API struct sio_str sio_http_request_path(const struct sio_http_request *r);
/* What the i-th ':' of the pattern stands for, percent-decoded; ptr NULL: none. */
SIOC_API struct sio_str sio_http_request_param(const struct sio_http_request *r,
                                               unsigned i);
/* Decoded value of the last query parameter of that name; false: not there. */
SIOC_API bool sio_http_request_query(struct sio_http_request *r, const char *name,
                                     struct sio_str *value);
/* A field, name in any case; several are joined by ", ".  ptr NULL: not there. */
SIOC_API struct sio_str sio_http_request_field(const struct sio_http_request *r,
                                               const char *name);
/* The body; a slice that may be held. */
SIOC_API struct sio_slice sio_http_request_body(const struct sio_http_request *r);
/* The application's pointer for this request, NULL at first. */
SIOC_API void sio_http_request_set_data(struct sio_http_request *r, void *data);
SIOC_API void *sio_http_request_data(const struct sio_http_request *r);

/*
 * Adds a field to the reply.  Content-Length, Date, Connection and the cross-origin
 * fields are the server's business.  SIO_OK, SIO_ERR_INVAL (CR, LF or NUL in name or
 * value); more than 16 KiB in all, or no memory, shows when the reply is made.
 */
SIOC_API int sio_http_reply_field(struct sio_http_request *r, const char *name,
                                  struct sio_str value);

/*
 * Answers; r is dead afterwards.  type NULL: no Content-Type.  A slice with a buf is
 * referenced, borrowed bytes are copied.  SIO_OK, SIO_ERR_CLOSED, SIO_ERR_NOMEM,
 * SIO_ERR_TOO_BIG (fields; after any error the connection has ended).
 */
SIOC_API int sio_http_reply(struct sio_http_request *r, int status, const char *type,
                            struct sio_slice body);

/* The same with len bytes at p, copied. */
SIOC_API int sio_http_reply_bytes(struct sio_http_request *r, int status,
                                  const char *type, const void *p, size_t len);

#ifdef __cplusplus
}
#endif
#endif
