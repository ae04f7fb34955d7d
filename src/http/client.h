/*
 * http/client.h - HTTP/1.1 client: an origin, one connection kept alive, one request at
 * a time
 *
 * Everything a server can send is bounded.  Redirects are not followed: they are
 * replies like any other.
 */
#ifndef HTTP_CLIENT_H
#define HTTP_CLIENT_H

#include "http/parser.h"
#include "http/proxy.h"
#include "net/conn.h"

struct http_client;

struct http_client_options {
    const char *host;     /* name or address; copied */
    const char *tls_name; /* SNI and the name to verify; copied; NULL: host */
    uint16_t port;
    struct net_tls *tls;      /* NULL: plain; a reference is taken */
    struct http_proxy *proxy; /* NULL: none; a reference is taken */
    size_t max_body;          /* bytes of a reply's body */
};

/* NULL: out of memory.  Nothing is dialled yet. */
struct http_client *http_client_new(struct net_loop *loop,
                                    const struct http_client_options *opts);

/*
 * Drops the request (its callback is not called) and the connection.  NULL is allowed.
 */
void http_client_free(struct http_client *c);

struct http_client_reply {
    int status;
    const struct http_head *head;
    struct sio_slice body; /* hold it to keep it */
};

/*
 * The end of a request, exactly once.  reply NULL: error says what went wrong (as
 * net_conn_ops.on_close, SIO_ERR_PARSE, _TOO_BIG, _NOMEM, _TIMEOUT) and why in a
 * sentence. All is borrowed.  c is idle again: the callback may send the next request,
 * or free c.
 */
typedef void (*http_client_cb)(struct http_client *c,
                               const struct http_client_reply *reply, int error,
                               const char *why, void *user);

struct http_client_request {
    const char *method;
    struct sio_str target;
    struct sio_str fields; /* whole lines: "Name: value\r\n..."; Host among them */
    const char *type;      /* of the body; NULL: there is no body */
    const struct sio_slice *body;
    size_t n_body;
    uint32_t timeout_ms; /* of the whole; 0: none */
    bool upgrade;        /* a 101 is welcome; else it is an error */
};

/*
 * Begins a request; c is idle.  Text is copied, slices are referenced.  SIO_OK, or
 * SIO_ERR_NOMEM (then the callback is not called).  It is never called before this
 * returns.
 */
int http_client_send(struct http_client *c, const struct http_client_request *r,
                     http_client_cb cb, void *user);

bool http_client_busy(const struct http_client *c);

/* Whether the last request found an open connection, or got one. */
bool http_client_reached(const struct http_client *c);

/*
 * In the callback of a 101: the connection becomes the caller's, who sets its ops at
 * once. *rest are the bytes behind the head, borrowed until the callback returns.
 */
struct net_conn *http_client_take_conn(struct http_client *c, struct sio_str *rest);

#endif
