#include <config.h>

#include "http/client.h"

#include <assert.h>

#include "base/buf.h"
#include "base/mem.h"

#define MAX_HEAD     (16 * 1024)
#define MAX_FIELDS   100
#define MAX_INTERIM  8 /* 1xx replies before the real one */
#define REQUEST_HEAD 8192
/*
 * Servers close idle connections (node after 5 s).  One that is closed just when the
 * next request is under way leaves us not knowing whether the request was handled, so
 * we are the first to close.
 */
#define IDLE_MS 4000

struct http_client {
    struct net_loop *loop;
    char *host;
    char *tls_name;
    uint16_t port;
    struct net_tls *tls;
    struct http_proxy *proxy; /* NULL: none */
    size_t max_body;

    struct net_conn *conn; /* NULL: none */
    bool reached;          /* it was open */
    struct http_parser *parser;
    struct wbuf body;
    struct sio_str rest; /* behind the head of a 101 */
    unsigned n_interim;
    bool upgrade;
    bool closes; /* the connection ends with this reply */

    http_client_cb cb; /* NULL: idle */
    void *user;
    struct net_timer timer; /* the request's */
};

static void drop_conn(struct http_client *c)
{
    struct net_conn *conn = c->conn;

    c->conn = NULL;
    if (!conn)
        return;
    net_conn_set_ops(conn, NULL, NULL);
    net_conn_abort(conn, SIO_OK);
}

static void drop_parser(struct http_client *c)
{
    http_parser_free(c->parser);
    c->parser = NULL;
}

/* Tells the end; c may be gone afterwards. */
static void finish(struct http_client *c, const struct http_client_reply *reply,
                   int error, const char *why)
{
    http_client_cb cb = c->cb;

    c->cb = NULL;
    net_timer_stop(&c->timer);
    cb(c, reply, error, why, c->user);
}

static void fail(struct http_client *c, int error, const char *why)
{
    drop_conn(c);
    drop_parser(c);
    wbuf_fini(&c->body);
    if (c->cb)
        finish(c, NULL, error, why);
}

static void on_timer(struct net_timer *timer, void *user)
{
    struct http_client *c = user;

    (void)timer;
    fail(c, SIO_ERR_TIMEOUT, "the server did not answer in time");
}

static int on_body(const uint8_t *data, size_t len, void *user)
{
    struct http_client *c = user;

    wbuf_add(&c->body, data, len);
    return c->body.error;
}

static int new_parser(struct http_client *c)
{
    static const struct http_parser_limits limits = {.max_head = MAX_HEAD,
                                                     .max_fields = MAX_FIELDS};

    drop_parser(c);
    c->parser = http_parser_new(true, &limits, on_body, c);
    return c->parser ? SIO_OK : SIO_ERR_NOMEM;
}

/* The reply is complete.  The connection stays, unless it says otherwise. */
static void complete(struct http_client *c)
{
    struct http_parser *parser = c->parser;
    const struct http_head *head = http_parser_head(parser);
    struct sio_buf *body = wbuf_take(&c->body);
    struct http_client_reply reply = {.status = head->status, .head = head};

    if (!body) {
        fail(c, SIO_ERR_NOMEM, "out of memory");
        return;
    }
    reply.body = sio_slice_of(body);
    c->parser = NULL;
    if (c->closes)
        drop_conn(c);
    else if (c->conn && head->status != 101)
        (void)net_conn_deadline(c->conn, IDLE_MS);
    finish(c, &reply, SIO_OK, "");
    http_parser_free(parser);
    sio_buf_unref(body);
}

enum verdict { GO_ON, ENDED };

/* A head was read; rest is what came behind it. */
static enum verdict on_head(struct http_client *c, struct sio_str rest)
{
    const struct http_head *h = http_parser_head(c->parser);

    if (h->status == 101) {
        if (!c->upgrade || !h->upgrade) {
            fail(c, SIO_ERR_PROTOCOL,
                 "the server changed the protocol without being asked");
            return ENDED;
        }
        c->rest = rest;
        complete(c);
        return ENDED;
    }
    if (h->status >= 100 && h->status < 200) {
        http_parser_skip_body(c->parser); /* whatever its fields say */
        return GO_ON;
    }
    if (h->has_length && h->content_length > c->max_body) {
        fail(c, SIO_ERR_TOO_BIG, "the reply is too large");
        return ENDED;
    }
    c->closes = !h->keep_alive || c->upgrade;
    return GO_ON;
}

static const char *parser_why(const struct http_client *c)
{
    switch (http_parser_error(c->parser)) {
    case SIO_ERR_TOO_BIG: return "the reply is too large";
    case SIO_ERR_NOMEM: return "out of memory";
    default: return "the reply is not HTTP/1.1";
    }
}

/* A message has ended: an interim reply is followed by another, a final one is told. */
static enum verdict on_done(struct http_client *c, size_t left)
{
    int status = http_parser_head(c->parser)->status;

    if (status >= 100 && status < 200) {
        if (++c->n_interim > MAX_INTERIM) {
            fail(c, SIO_ERR_TOO_BIG, "the server sent too many interim replies");
            return ENDED;
        }
        if (new_parser(c) < 0) {
            fail(c, SIO_ERR_NOMEM, "out of memory");
            return ENDED;
        }
        return GO_ON;
    }
    if (left > 0) /* nobody asked for more */
        c->closes = true;
    complete(c);
    return ENDED;
}

static enum verdict on_step(struct http_client *c, enum http_parser_step step,
                            struct sio_str rest)
{
    switch (step) {
    case HTTP_PARSER_MORE: return GO_ON;
    case HTTP_PARSER_HEAD: return on_head(c, rest);
    case HTTP_PARSER_DONE: return on_done(c, rest.len);
    case HTTP_PARSER_FAILED:
        fail(c, http_parser_error(c->parser), parser_why(c));
        return ENDED;
    }
    return ENDED;
}

static void on_data(struct net_conn *conn, uint8_t *data, size_t len, void *user)
{
    struct http_client *c = user;
    enum http_parser_step step;

    (void)conn;
    if (!c->cb) { /* a reply to nothing */
        drop_conn(c);
        return;
    }
    do {
        struct sio_str rest;
        size_t used;

        step = http_parser_feed(c->parser, data, len, &used);
        data += used;
        len -= used;
        rest = (struct sio_str){(const char *)data, len};
        if (on_step(c, step, rest) == ENDED)
            return;
    } while (len > 0 || step == HTTP_PARSER_HEAD);
}

static void on_eof(struct net_conn *conn, void *user)
{
    struct http_client *c = user;

    (void)conn;
    if (!c->cb) {
        drop_conn(c);
        return;
    }
    c->closes = true;
    if (http_parser_finish(c->parser) == HTTP_PARSER_DONE)
        complete(c);
    else
        fail(c, SIO_ERR_CLOSED,
             "the server closed the connection without a whole reply");
}

static void on_close(struct net_conn *conn, int error, void *user)
{
    struct http_client *c = user;

    c->conn = NULL;
    fail(c, error, net_conn_diag(conn));
}

static void on_open(struct net_conn *conn, void *user)
{
    struct http_client *c = user;

    (void)conn;
    c->reached = true;
}

static const struct net_conn_ops conn_ops = {
    .on_open = on_open,
    .on_data = on_data,
    .on_eof = on_eof,
    .on_close = on_close,
};

struct http_client *http_client_new(struct net_loop *loop,
                                    const struct http_client_options *opts)
{
    const char *name = opts->tls_name ? opts->tls_name : opts->host;
    struct http_client *c = mem_new(struct http_client);

    if (!c)
        return NULL;
    c->host = mem_strndup(opts->host, strlen(opts->host));
    c->tls_name = mem_strndup(name, strlen(name));
    if (!c->host || !c->tls_name) {
        mem_free(c->host);
        mem_free(c->tls_name);
        mem_free(c);
        return NULL;
    }
    c->loop = loop;
    c->port = opts->port;
    c->max_body = opts->max_body;
    if (opts->tls)
        c->tls = net_tls_ref(opts->tls);
    if (opts->proxy)
        c->proxy = http_proxy_ref(opts->proxy);
    wbuf_init(&c->body, c->max_body);
    net_timer_init(&c->timer, loop, on_timer, c);
    return c;
}

void http_client_free(struct http_client *c)
{
    if (!c)
        return;
    net_timer_stop(&c->timer);
    drop_conn(c);
    drop_parser(c);
    wbuf_fini(&c->body);
    net_tls_unref(c->tls);
    http_proxy_unref(c->proxy);
    mem_free(c->host);
    mem_free(c->tls_name);
    mem_free(c);
}

static int dial(struct http_client *c)
{
    struct net_connect_options o = {
        .host = c->host, .port = c->port, .tls = c->tls, .tls_name = c->tls_name};

    if (c->conn) {
        (void)net_conn_deadline(c->conn, 0);
        return SIO_OK;
    }
    if (c->proxy) {
        o.host = http_proxy_host(c->proxy);
        o.port = http_proxy_port(c->proxy);
        o.tunnel = http_proxy_tunnel(c->proxy, c->host, c->port);
        if (!o.tunnel)
            return SIO_ERR_NOMEM;
    }
    c->reached = false;
    c->conn = net_conn_connect(c->loop, &o, &conn_ops, c);
    return c->conn ? SIO_OK : SIO_ERR_NOMEM;
}

/* The request waits in the connection until that is open. */
static int send_request(struct http_client *c, const struct http_client_request *r)
{
    struct wbuf w;
    size_t body_len = 0;
    int rv;

    for (size_t i = 0; i < r->n_body; i++)
        body_len += r->body[i].len;
    wbuf_init(&w, REQUEST_HEAD + r->target.len + r->fields.len);
    wbuf_addf(&w, "%s ", r->method);
    wbuf_add_str(&w, r->target);
    wbuf_add_cstr(&w, " HTTP/1.1\r\n");
    wbuf_add_str(&w, r->fields);
    if (r->type)
        wbuf_addf(&w, "Content-Type: %s\r\nContent-Length: %zu\r\n", r->type, body_len);
    wbuf_add_cstr(&w, "\r\n");
    rv = w.error;
    if (rv == SIO_OK) {
        struct sio_str head = wbuf_str(&w);

        rv = net_conn_send_bytes(c->conn, head.ptr, head.len);
    }
    if (rv == SIO_OK && r->n_body)
        rv = net_conn_send(c->conn, r->body, r->n_body);
    wbuf_fini(&w);
    return rv;
}

int http_client_send(struct http_client *c, const struct http_client_request *r,
                     http_client_cb cb, void *user)
{
    assert(!c->cb);
    net_timer_stop(&c->timer);
    if (new_parser(c) < 0 || dial(c) < 0)
        return SIO_ERR_NOMEM;
    wbuf_init(&c->body, c->max_body);
    c->n_interim = 0;
    c->upgrade = r->upgrade;
    c->closes = false;
    if (send_request(c, r) < 0 ||
        (r->timeout_ms && net_timer_start(&c->timer, r->timeout_ms) < 0)) {
        drop_conn(c);
        return SIO_ERR_NOMEM;
    }
    c->cb = cb;
    c->user = user;
    return SIO_OK;
}

bool http_client_busy(const struct http_client *c)
{
    return c->cb != NULL;
}

bool http_client_reached(const struct http_client *c)
{
    return c->reached;
}

struct net_conn *http_client_take_conn(struct http_client *c, struct sio_str *rest)
{
    struct net_conn *conn = c->conn;

    *rest = c->rest;
    c->conn = NULL;
    return conn;
}
