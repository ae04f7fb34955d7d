/*
 * http/server.h - HTTP/1.1 server (RFC 9112): requests, routes, replies
 *
 * One request of a connection is handled at a time; pipelined ones wait in the
 * connection (bounded), in order.  A reply may come at once, later, or as a stream.
 * A request ends exactly once: answered, or on_abort.  After either the pointer is dead.
 */
#ifndef HTTP_SERVER_H
#define HTTP_SERVER_H

#include <stdbool.h>

#include <sioc/bytes.h>

#include "net/listener.h"

struct http_server;
struct http_request;
struct http_coded; /* http/coding.h */

enum http_method {
    HTTP_DELETE = 1 << 0,
    HTTP_GET = 1 << 1, /* and HEAD; the body of its reply is left out for you */
    HTTP_HEAD = 1 << 2,
    HTTP_OPTIONS = 1 << 3,
    HTTP_PATCH = 1 << 4,
    HTTP_POST = 1 << 5,
    HTTP_PUT = 1 << 6,
    HTTP_OTHER = 1 << 7,
    HTTP_ANY = 0xff,
};

/*
 * Cross-origin rules (Fetch standard, "CORS protocol").  A preflight is answered by the
 * server, for every known path, before any handler: 204, with whatever fields were asked
 * for.  A plain OPTIONS gets 200 and Allow.
 */
struct http_cors {
    bool enabled;
    bool credentials; /* Access-Control-Allow-Credentials: true */
    /* NULL-terminated; NULL: any (reflected, with Vary; `*` without Origin). */
    const char *const *origins;
    uint32_t max_age_s;
};

struct http_server_options {
    uint32_t max_head_bytes;   /* line and fields; 0: 16 KiB; above: 431 (line: 414) */
    uint32_t max_fields;       /* 0: 100; above: 431 */
    uint32_t head_timeout_ms;  /* first byte of a head to its end; 0: 10 s; then 408 */
    uint32_t body_timeout_ms;  /* for each started 64 KiB of it; 0: 20 s; then 408 */
    uint32_t idle_timeout_ms;  /* keep-alive between requests; 0: 75 s */
    uint32_t write_timeout_ms; /* reply bytes waiting without any progress; 0: 60 s */
    struct http_cors cors;     /* for routes that have none of their own, 404, 405 */
    bool no_compression;       /* http_reply_compress does nothing */
    /*
     * The JSON body of an error made by the server itself; NULL: English
     * {"success":false,"error":...}.
     */
    struct sio_str (*error_body)(int status);
};

struct http_server *http_server_new(struct net_loop *loop,
                                    const struct http_server_options *opts);
/* Ends all connections (on_abort) and frees. */
void http_server_free(struct http_server *s);

/* One more listener.  Several are allowed.  Returns the port, or an error. */
int http_server_listen(struct http_server *s, const struct net_listen_options *opts,
                       struct sio_diag *diag);

/* As net_listener_set_tls, for all of them. */
void http_server_set_tls(struct http_server *s, struct net_tls *tls);

/*
 * Graceful end: stops listening, idle connections close now, others after their
 * reply (Connection: close).  cb once, when none is left.  Then free.
 */
void http_server_drain(struct http_server *s, void (*cb)(void *user), void *user);

struct http_handler {
    /*
     * The head is complete and the body not yet read.  May answer at once.  May be
     * NULL.  Not answered: the body follows.
     */
    void (*on_head)(struct http_request *r, void *user);

    /* The request is complete with its body. */
    void (*on_request)(struct http_request *r, void *user);

    /*
     * After on_head or on_request, the end without a reply of the handler's: the client went
     * away before the reply was handed over, or the server had to answer by itself
     * (http_request_abort_status).  May be NULL.
     */
    void (*on_abort)(struct http_request *r, void *user);

    size_t max_body; /* above: 413, as soon as announced or counted; 0: none is taken */
    const struct http_cors *cors; /* NULL: the server's */
    bool raw_options; /* OPTIONS reaches the handler (no automatic preflight) */
};

/*
 * Adds a route.  pattern: "/api/status"; "/api/camaras/:/snapshot", where ':' stands for
 * one non-empty segment that is percent-decoded (an encoded '/' does not match); or
 * "/socket.io/" + '*', every path that begins so.  methods: bits of http_method; others get
 * 405 with Allow.  handler is borrowed and stays.  First match wins.  SIO_OK or
 * SIO_ERR_NOMEM.
 */
int http_server_route(struct http_server *s, unsigned methods, const char *pattern,
                      const struct http_handler *handler, void *user);

/* The same, but before the routes that are there. */
int http_server_route_first(struct http_server *s, unsigned methods,
                            const char *pattern, const struct http_handler *handler,
                            void *user);

/* Of a request.  All text is borrowed and lives as long as the request. */
enum http_method http_request_method(const struct http_request *r);
bool http_request_is_head(const struct http_request *r);
/* As sent: the path without the query, the query without '?'. */
struct sio_str http_request_path(const struct http_request *r);
struct sio_str http_request_query(const struct http_request *r);
/* What the i-th ':' stands for, decoded. */
struct sio_str http_request_param(const struct http_request *r, unsigned i);
/* A field's value, case of name ignored; several are joined by ", ".  ptr NULL: none. */
struct sio_str http_request_field(const struct http_request *r, const char *name);
/* All fields in order; false past the end. */
bool http_request_field_at(const struct http_request *r, size_t i, struct sio_str *name,
                           struct sio_str *value);
/* Of the query: decoded value of the last parameter of that name; false: not there. */
bool http_request_query_get(struct http_request *r, const char *name,
                            struct sio_str *value);
/* The body; a slice that may be held. */
struct sio_slice http_request_body(const struct http_request *r);
bool http_request_wants_upgrade(const struct http_request *r, const char *protocol);
struct net_conn *http_request_conn(struct http_request *r);

/*
 * In on_abort: what the server has answered by itself, 413 (body over max_body), 408 (too
 * slow), 400 (syntax of the body); 0: nothing, the client went away.
 */
int http_request_abort_status(const struct http_request *r);

/* The handler's own pointer for this request. */
void http_request_set_data(struct http_request *r, void *data);
void *http_request_data(const struct http_request *r);

/*
 * A reply.  Fields are added first, then one of the endings.  Content-Length, Date,
 * Connection and CORS are the server's business.  A name or value with CR, LF or NUL is
 * refused (SIO_ERR_INVAL); what has no room (max_head_bytes, or memory) shows in the ending's
 * result, and the connection has ended.
 */
int http_reply_field(struct http_request *r, const char *name, struct sio_str value);

/*
 * The body of the reply may be compressed, from min_bytes on, where the client takes that
 * (Accept-Encoding); a client that refuses it as it is gets it so below, too.  The fields
 * for it are the server's business.  kept holds the forms of a body that is sent more than
 * once, borrowed until the reply, or NULL.  An ETag has to be a weak one.
 */
void http_reply_compress(struct http_request *r, size_t min_bytes,
                         struct http_coded *kept);

/* Closes the connection after this reply. */
void http_reply_close(struct http_request *r);

/* Ending: a whole body made of slices (references are taken).  type NULL: no Content-Type. */
int http_reply(struct http_request *r, int status, const char *type,
               const struct sio_slice *body, size_t n);
int http_reply_bytes(struct http_request *r, int status, const char *type,
                     const void *p, size_t len);

/* Ending: JSON error {"success":false,"error":text}. */
int http_reply_error(struct http_request *r, int status, const char *text);

/*
 * Ending as a stream: chunked (HTTP/1.0: until close).  on_drain tells that the queue has
 * room again; on_abort, unless http_stream_end or _cut came first, that it is over.
 * SIO_ERR_CLOSED: the request was a HEAD, it has been answered.  After any error r is dead,
 * without on_abort.
 */
int http_stream_begin(struct http_request *r, int status, const char *type,
                      void (*on_drain)(struct http_request *r, void *user), void *user);
/*
 * The same with Content-Length instead of chunks: the whole of length bytes is then to be
 * sent before http_stream_end; what ends short of it is cut.
 */
int http_stream_begin_sized(struct http_request *r, int status, const char *type,
                            uint64_t length,
                            void (*on_drain)(struct http_request *r, void *user),
                            void *user);
/*
 * SIO_OK; SIO_ERR_TOO_BIG (more than was promised: nothing is sent); after any other error
 * the connection has ended and on_abort was called.
 */
int http_stream_send(struct http_request *r, const struct sio_slice *slices, size_t n);
size_t http_stream_pending(const struct http_request *r);
void http_stream_end(struct http_request *r);
void http_stream_cut(struct http_request *r); /* closes without the last chunk */

/*
 * Takes the connection out of HTTP (after 101 was queued by the caller with net_conn_send):
 * the request is dead, bytes that came behind the head are given in *rest (borrowed until
 * the caller returns to the loop), ops are to be set by the caller.
 */
struct net_conn *http_request_take_conn(struct http_request *r, struct sio_str *rest);

/* Constant reason phrase. */
const char *http_status_text(int status);

struct http_server_stats {
    uint64_t n_requests;
    uint64_t n_accepted;
    size_t n_conns;
};
void http_server_stats(const struct http_server *s, struct http_server_stats *out);

#endif
