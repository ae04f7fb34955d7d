#include <config.h>

#include "engineio/server_impl.h"

#include <stdio.h>

#include "base/buf.h"
#include "base/mem.h"
#include "base/str.h"
#include "engineio/cookie.h"
#include "engineio/handshake.h"
#include "engineio/probe.h"
#include "http/websocket.h"

/* What the application and the options add to the reply of a request that is let in. */
static void add_fields(const struct eio_server *server, struct eio_request *q)
{
    if (server->opts.on_headers)
        server->opts.on_headers(q, !q->session, server->opts.user);
}

/* A session for q, not open yet.  NULL: out of memory. */
static struct eio_session *new_session(struct eio_server *server, struct eio_request *q)
{
    struct eio_session *s = eio_session_new(&server->sessions, q->form);
    bool secure = net_conn_is_tls(http_request_conn(q->http));
    struct sio_str address = eio_request_address(q);

    if (!s)
        return NULL;
    if (eio_handshake_copy(s, q->http, address, secure) < 0 ||
        (server->opts.max_sessions_per_address > 0 &&
         eio_address_take(&server->sessions.addresses, address, &s->address) < 0)) {
        eio_session_discard(s);
        return NULL;
    }
    if (server->cookie)
        eio_cookie_add(q->http, server->cookie, s->sid);
    return s;
}

static void announce(struct eio_server *server, struct eio_session *s,
                     struct eio_transport *t)
{
    eio_session_opened(s, t);
    if (server->opts.on_session)
        server->opts.on_session(s, server->opts.user);
}

/* The open packet is the whole reply; messages of on_session go with the next poll. */
static int reply_open(struct eio_server *server, struct eio_request *q,
                      struct eio_session *s, struct eio_transport *t)
{
    struct wbuf w;
    int rv;

    wbuf_init(&w, 512);
    eio_session_write_open(s, !server->opts.no_upgrade && !server->opts.no_websocket,
                           &w);
    rv = w.error;
    if (rv < 0)
        http_reply_error(q->http, 500, "Out of memory");
    else
        rv = eio_polling_open(t, q->http, wbuf_str(&w));
    wbuf_fini(&w);
    return rv;
}

static void open_polling(struct eio_server *server, struct eio_request *q)
{
    struct eio_session *s = new_session(server, q);
    struct eio_transport *t =
        s ? eio_polling_new(s, q->jsonp ? &q->script : NULL) : NULL;

    if (!t) {
        if (s)
            eio_session_discard(s);
        http_reply_error(q->http, 500, "Out of memory");
        return;
    }
    if (reply_open(server, q, s, t) < 0) {
        t->ops->close(t, EIO_CLOSE_TRANSPORT_ERROR);
        eio_session_discard(s);
        return;
    }
    announce(server, s, t);
}

/* The open packet goes out first, or waits first in the queue. */
static int send_open(struct eio_session *s, struct eio_transport *t)
{
    struct wbuf w;
    int rv;

    wbuf_init(&w, 512);
    eio_session_write_open(s, false, &w);
    rv = w.error;
    if (rv == SIO_OK && eio_session_protocol(s) == 3)
        rv = eio_session_hold(s, wbuf_str(&w));
    else if (rv == SIO_OK)
        rv = eio_websocket_packet(t, wbuf_str(&w));
    wbuf_fini(&w);
    return rv;
}

static void open_websocket(struct eio_server *server, struct eio_request *q)
{
    struct eio_session *s = new_session(server, q);
    struct eio_transport *t;

    if (!s) {
        http_reply_close(q->http);
        http_reply_error(q->http, 500, "Out of memory");
        return;
    }
    t = eio_websocket_new(s, q->http);
    if (!t) {
        eio_session_discard(s);
        return;
    }
    if (send_open(s, t) < 0) {
        t->ops->abort(t);
        eio_session_discard(s);
    } else {
        announce(server, s, t);
    }
}

/*
 * One WebSocket in a session's life, so that nobody who learns a sid takes it over.
 * Another one is opened and closed, as the protocol's clients expect.  (Engine.IO
 * protocol 4, "Upgrade")
 */
static bool may_upgrade(const struct eio_session *s)
{
    return s->state == EIO_OPEN && s->upgrade == EIO_UPGRADE_NONE &&
           s->transport->ops == &eio_polling_ops;
}

static void turn_away(struct eio_request *q)
{
    struct eio_transport *t = eio_websocket_new(q->session, q->http);

    if (t)
        t->ops->close(t, EIO_CLOSE_FORCED);
}

static void take_upgrade(struct eio_server *server, struct eio_request *q)
{
    struct eio_verdict v = {400, EIO_REFUSE_REQUEST, NULL};

    v.text = ws_handshake_check(q->http, &v.status);
    if (v.text) {
        eio_request_refuse(server, q, &v);
        return;
    }
    add_fields(server, q);
    if (q->session && !may_upgrade(q->session))
        turn_away(q);
    else if (q->session)
        eio_probe_begin(q->session, q->http);
    else
        open_websocket(server, q);
}

/* A POST is judged before its body is read; all else has none to speak of. */
static void on_head(struct http_request *r, void *user)
{
    struct eio_server *server = user;
    struct eio_request q = {.http = r};
    struct eio_verdict v;

    if (http_request_method(r) != HTTP_POST)
        return;
    v = eio_judge(server, &q);
    if (v.status != 0) {
        eio_request_refuse(server, &q, &v);
    } else {
        add_fields(server, &q);
        eio_polling_post_head(q.session->transport, r);
    }
}

/*
 * A preflight, or what passes for one: answered before any check, sid or not.  Who may
 * ask is in the fields that the HTTP server adds to every reply.
 */
static void reply_options(const struct eio_server *server, struct http_request *r)
{
    struct sio_str asked = http_request_field(r, "Access-Control-Request-Headers");
    char seconds[16];

    http_reply_field(r, "Access-Control-Allow-Methods", SIO_STR("OPTIONS, GET, POST"));
    if (asked.len > 0)
        http_reply_field(r, "Access-Control-Allow-Headers", asked);
    snprintf(seconds, sizeof(seconds), "%u", server->cors.max_age_s);
    http_reply_field(r, "Access-Control-Max-Age", sio_str_from(seconds));
    http_reply_bytes(r, 204, NULL, NULL, 0);
}

static void on_request(struct http_request *r, void *user)
{
    struct eio_server *server = user;
    struct eio_request q = {.http = r};
    struct eio_verdict v;

    if (http_request_method(r) == HTTP_POST) {
        eio_polling_post(r);
        return;
    }
    if (http_request_method(r) == HTTP_OPTIONS && server->cors.enabled) {
        reply_options(server, r);
        return;
    }
    v = eio_judge(server, &q);
    if (v.status == 405)
        http_reply_field(r, "Allow", SIO_STR("GET, POST"));
    if (v.status != 0) {
        eio_request_refuse(server, &q, &v);
        return;
    }
    if (q.upgrade) {
        take_upgrade(server, &q);
        return;
    }
    add_fields(server, &q);
    if (q.session)
        eio_polling_get(q.session->transport, r);
    else
        open_polling(server, &q);
}

static void on_abort(struct http_request *r, void *user)
{
    (void)user;
    eio_polling_aborted(r);
}

/* The graceful end is over. */
static void done(struct eio_server *server)
{
    void (*cb)(void *user) = server->on_done;

    server->on_done = NULL;
    net_timer_stop(&server->deadline);
    if (cb)
        cb(server->done_user);
}

static void on_drained(void *user)
{
    done(user);
}

/*
 * Sessions first, so that polling clients can still fetch their close packet; then
 * HTTP.
 */
static void on_check(struct net_task *task)
{
    struct eio_server *server = container_of(task, struct eio_server, check);

    if (!server->on_done || !eio_sessions_idle(&server->sessions))
        return;
    if (server->owns_http)
        http_server_drain(server->http, on_drained, server);
    else
        done(server);
}

static void on_gone(struct eio_sessions *table)
{
    struct eio_server *server = container_of(table, struct eio_server, sessions);

    if (server->on_done)
        net_loop_defer(table->loop, &server->check);
}

/* Cuts whatever sessions and WebSockets there are. */
static void cut_all(struct eio_sessions *table)
{
    while (!list_empty(&table->open))
        eio_session_abort(container_of(table->open.next, struct eio_session, link),
                          EIO_CLOSE_SHUTDOWN);
    while (!list_empty(&table->closing))
        eio_session_abort(container_of(table->closing.next, struct eio_session, link),
                          EIO_CLOSE_SHUTDOWN);
    eio_websocket_cut_lingering(table);
}

static void on_deadline(struct net_timer *timer, void *user)
{
    struct eio_server *server = user;

    (void)timer;
    cut_all(&server->sessions);
    done(server);
}

#define DEFAULT_PATH "/engine.io/"

/* Nothing that a balancer's rule, a query or a cookie would read otherwise. */
static bool is_sid_prefix(const char *text)
{
    static const char allowed[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
                                  "abcdefghijklmnopqrstuvwxyz0123456789-_";
    size_t len = strlen(text);

    return len > 0 && len <= EIO_SID_PREFIX_MAX && strspn(text, allowed) == len;
}

static int check_options(const struct eio_server_options *o, struct sio_diag *diag)
{
    size_t len = o->path ? strlen(o->path) : 0;

    if (o->path && (len == 0 || o->path[0] != '/' || o->path[len - 1] != '/'))
        return sio_diag_set(diag, SIO_ERR_INVAL,
                            "path \"%s\" has to begin and end with '/'", o->path);
    if (o->no_polling && o->no_websocket)
        return sio_diag_set(diag, SIO_ERR_INVAL, "no transport is left");
    if (o->max_payload > UINT32_MAX)
        return sio_diag_set(diag, SIO_ERR_INVAL, "max_payload has to be below 4 GiB");
    if (o->deflate.level < 0 || o->deflate.level > 9)
        return sio_diag_set(diag, SIO_ERR_INVAL, "deflate.level has to be 1 to 9");
    if (o->deflate.window_bits != 0 &&
        (o->deflate.window_bits < 9 || o->deflate.window_bits > 15))
        return sio_diag_set(diag, SIO_ERR_INVAL,
                            "deflate.window_bits has to be 9 to 15");
    if (o->sid_prefix && !is_sid_prefix(o->sid_prefix))
        return sio_diag_set(diag, SIO_ERR_INVAL,
                            "sid_prefix has to be 1 to 32 of A-Z, a-z, 0-9, - and _");
    if (o->refuse_origins && !o->origins)
        return sio_diag_set(diag, SIO_ERR_INVAL, "refuse_origins needs origins");
    return SIO_OK;
}

static void fill_deflate(struct eio_sessions *table,
                         const struct eio_deflate_options *o)
{
    table->deflate = o->enabled;
    table->deflate_min_bytes = o->min_bytes ? o->min_bytes : 1024;
    table->deflate_opts = (struct ws_deflate_options){
        .server_no_context_takeover = o->server_no_context_takeover,
        .client_no_context_takeover = o->client_no_context_takeover,
        .level = (uint8_t)(o->level ? o->level : 1),
        .window_bits = (uint8_t)(o->window_bits ? o->window_bits : 15),
    };
}

static void fill_defaults(struct eio_server *server,
                          const struct eio_server_options *opts)
{
    struct eio_server_options *o = &server->opts;
    struct eio_sessions *table = &server->sessions;

    *o = *opts;
    if (!o->max_sessions)
        o->max_sessions = 100000;
    table->ping_interval_ms = o->ping_interval_ms ? o->ping_interval_ms : 25000;
    table->ping_timeout_ms = o->ping_timeout_ms ? o->ping_timeout_ms : 20000;
    table->upgrade_timeout_ms = o->upgrade_timeout_ms ? o->upgrade_timeout_ms : 10000;
    table->max_payload = o->max_payload ? o->max_payload : 1000000;
    table->max_queue_bytes = o->max_queue_bytes ? o->max_queue_bytes : 4 << 20;
    if (!o->no_poll_compression)
        table->poll_compress_min =
            o->poll_compress_min_bytes ? o->poll_compress_min_bytes : 1024;
    fill_deflate(table, &o->deflate);
    if (o->sid_prefix)
        table->sid_prefix_len = (uint8_t)snprintf(
            table->sid_prefix, sizeof(table->sid_prefix), "%s.", o->sid_prefix);
    server->cors = (struct http_cors){
        .enabled = o->cors,
        .credentials = o->cors_credentials,
        .origins = o->origins,
        .max_age_s = 600,
    };
    server->handler = (struct http_handler){
        .on_head = on_head,
        .on_request = on_request,
        .on_abort = on_abort,
        .max_body = table->max_payload,
        .cors = &server->cors,
        .raw_options = true,
    };
}

static char *make_pattern(const char *path)
{
    size_t len = strlen(path);
    char *pattern = mem_alloc(len + 2);

    if (pattern) {
        memcpy(pattern, path, len);
        pattern[len] = '*';
    }
    return pattern;
}

struct eio_server *eio_server_attach(struct net_loop *loop, struct http_server *http,
                                     const struct eio_server_options *opts,
                                     struct sio_diag *diag)
{
    struct eio_server *server;

    if (check_options(opts, diag) < 0)
        return NULL;
    server = mem_new(struct eio_server);
    if (!server) {
        sio_diag_set(diag, SIO_ERR_NOMEM, "out of memory");
        return NULL;
    }
    eio_sessions_init(&server->sessions, loop);
    server->sessions.on_gone = on_gone;
    fill_defaults(server, opts);
    server->http = http;
    sio_http_init(&server->routes, http);
    net_timer_init(&server->deadline, loop, on_deadline, server);
    list_init(&server->check.link);
    server->check.run = on_check;
    if (opts->cookie && eio_cookie_make(opts->cookie, &server->cookie, diag) < 0)
        goto free_server;
    server->pattern = make_pattern(opts->path ? opts->path : DEFAULT_PATH);
    if (!server->pattern)
        goto free_cookie;
    if (http_server_route(http, HTTP_ANY, server->pattern, &server->handler, server) <
        0)
        goto free_pattern;
    return server;

free_pattern:
    mem_free(server->pattern);
free_cookie:
    mem_free(server->cookie);
    sio_diag_set(diag, SIO_ERR_NOMEM, "out of memory");
free_server:
    mem_free(server);
    return NULL;
}

struct eio_server *eio_server_new(struct net_loop *loop,
                                  const struct eio_server_options *opts,
                                  struct sio_diag *diag)
{
    struct http_server_options http_opts = {
        .cors = {.enabled = opts->cors, .origins = opts->origins}};
    struct http_server *http = http_server_new(loop, &http_opts);
    struct eio_server *server;

    if (!http) {
        sio_diag_set(diag, SIO_ERR_NOMEM, "out of memory");
        return NULL;
    }
    server = eio_server_attach(loop, http, opts, diag);
    if (!server) {
        http_server_free(http);
        return NULL;
    }
    server->owns_http = true;
    return server;
}

int eio_server_listen(struct eio_server *server, const struct eio_listen_options *opts,
                      struct sio_diag *diag)
{
    struct net_listen_options listen = {.host = opts->host, .port = opts->port};
    int rv;

    if (!server->owns_http)
        return sio_diag_set(diag, SIO_ERR_INVAL, "the server is part of another one");
    if (!opts->tls_cert_file != !opts->tls_key_file)
        return sio_diag_set(diag, SIO_ERR_INVAL,
                            "TLS takes a certificate file and a key file");
    if (opts->tls_cert_file) {
        listen.tls = net_tls_server_new(opts->tls_cert_file, opts->tls_key_file, diag);
        if (!listen.tls)
            return SIO_ERR_TLS;
    }
    rv = http_server_listen(server->http, &listen, diag);
    net_tls_unref(listen.tls);
    return rv;
}

int eio_server_set_certificate(struct eio_server *server, const char *tls_cert_file,
                               const char *tls_key_file, struct sio_diag *diag)
{
    struct net_tls *tls = net_tls_server_new(tls_cert_file, tls_key_file, diag);

    if (!tls)
        return SIO_ERR_TLS;
    http_server_set_tls(server->http, tls);
    net_tls_unref(tls);
    return SIO_OK;
}

struct sio_http *eio_server_http(struct eio_server *server)
{
    return &server->routes;
}

void eio_server_shutdown(struct eio_server *server, uint32_t timeout_ms,
                         void (*cb)(void *user), void *user)
{
    struct eio_sessions *table = &server->sessions;

    server->draining = true;
    server->on_done = cb;
    server->done_user = user;
    while (!list_empty(&table->open))
        eio_session_close(container_of(table->open.next, struct eio_session, link),
                          EIO_CLOSE_SHUTDOWN);
    /* Without a timer the end would be without a bound: then it comes at once. */
    if (net_timer_start(&server->deadline, timeout_ms) < 0)
        cut_all(table);
    net_loop_defer(table->loop, &server->check);
}

void eio_server_free(struct eio_server *server)
{
    if (!server)
        return;
    server->on_done = NULL;
    server->draining = true;
    cut_all(&server->sessions);
    net_timer_stop(&server->deadline);
    list_remove(&server->check.link);
    if (server->owns_http)
        http_server_free(server->http);
    sio_http_fini(&server->routes);
    eio_sessions_fini(&server->sessions);
    mem_free(server->pattern);
    mem_free(server->cookie);
    mem_free(server);
}

void eio_server_on_upgrade(struct eio_server *server, eio_upgrade_cb cb)
{
    server->sessions.on_upgrade = cb;
}

void eio_server_stats(const struct eio_server *server, struct eio_server_stats *out)
{
    *out = server->sessions.stats;
}
