#include <config.h>

#include "socketio/client_impl.h"

#include <stdio.h>

#include "base/buf.h"
#include "base/mem.h"
#include "base/random.h"
#include "base/str.h"
#include "http/url.h"

#define DEFAULT_BYTES      (16 * 1024 * 1024)
#define DEFAULT_TIMEOUT_MS 20000
#define DEFAULT_DELAY_MS   1000
#define DEFAULT_MAX_MS     5000
#define MAX_ATTACHMENTS    256
#define MAX_FIELDS_BYTES   16384

struct flush_wait {
    struct list link;
    void (*cb)(int status, void *user);
    void *user;
};

static void dial(struct sio_client *c);

/* Options. */

/* Bytes that may stand in a request line. */
static bool is_visible(const char *s)
{
    for (; *s; s++)
        if (*s <= ' ' || *s > '~' || *s == '#')
            return false;
    return true;
}

static int set_address(struct sio_client_config *g, const char *text,
                       struct sio_diag *diag)
{
    struct http_url url;

    if (!text || http_url_parse(sio_str_from(text), &url, diag) < 0)
        return text ? SIO_ERR_INVAL : sio_diag_set(diag, SIO_ERR_INVAL, "no URL given");
    if (!str_ieq(url.scheme, SIO_STR("http")) &&
        !str_ieq(url.scheme, SIO_STR("https")) && !str_ieq(url.scheme, SIO_STR("ws")) &&
        !str_ieq(url.scheme, SIO_STR("wss")))
        return sio_diag_set(diag, SIO_ERR_INVAL,
                            "the URL must begin with http, https, ws or wss");
    if (url.user.ptr)
        return sio_diag_set(diag, SIO_ERR_INVAL, "the URL must not hold a user name");
    if (url.path.len > 1 || url.query.ptr)
        return sio_diag_set(diag, SIO_ERR_INVAL,
                            "the URL must end behind the host and port");
    g->port = url.port;
    g->host = mem_strndup(url.host.ptr, url.host.len);
    return g->host ? SIO_OK : sio_diag_set(diag, SIO_ERR_NOMEM, "out of memory");
}

static int set_tls(struct sio_client_config *g, const struct sio_client_options *o,
                   struct sio_diag *diag)
{
    struct net_tls_client_options t = {
        .ca_file = o->tls_ca_file,
        .cert_file = o->tls_cert_file,
        .key_file = o->tls_key_file,
        .insecure = o->tls_insecure,
    };
    struct http_url url;

    if (http_url_parse(sio_str_from(o->url), &url, diag) < 0)
        return SIO_ERR_INVAL;
    if (!url.tls)
        return SIO_OK;
    g->tls = net_tls_client_new(&t, diag);
    return g->tls ? SIO_OK : SIO_ERR_TLS;
}

/* The extra fields as lines. */
static int set_fields(struct sio_client_config *g, const char *const *fields,
                      struct sio_diag *diag)
{
    struct wbuf w;
    struct sio_str lines;

    wbuf_init(&w, MAX_FIELDS_BYTES);
    for (; fields && *fields; fields++) {
        const char *colon = strchr(*fields, ':');

        if (!colon || colon == *fields || strpbrk(*fields, "\r\n")) {
            wbuf_fini(&w);
            return sio_diag_set(diag, SIO_ERR_INVAL,
                                "extra field: not \"Name: value\"");
        }
        wbuf_addf(&w, "%s\r\n", *fields);
    }
    lines = wbuf_str(&w);
    if (w.error == SIO_OK)
        g->fields = mem_strndup(lines.len ? lines.ptr : "", lines.len);
    wbuf_fini(&w);
    return g->fields ? SIO_OK
                     : sio_diag_set(diag, SIO_ERR_NOMEM, "extra fields: too much");
}

static int set_target(struct sio_client_config *g, const struct sio_client_options *o,
                      struct sio_diag *diag)
{
    const char *path = o->path ? o->path : "/socket.io/";
    size_t len = strlen(path);

    if (len < 1 || path[0] != '/' || path[len - 1] != '/' || !is_visible(path) ||
        strchr(path, '?'))
        return sio_diag_set(diag, SIO_ERR_INVAL,
                            "the path must begin and end with '/'");
    if (o->query && !is_visible(o->query))
        return sio_diag_set(diag, SIO_ERR_INVAL, "the query is not encoded");
    g->path = mem_strndup(path, len);
    g->query = mem_strndup(o->query ? o->query : "", o->query ? strlen(o->query) : 0);
    return g->path && g->query ? SIO_OK
                               : sio_diag_set(diag, SIO_ERR_NOMEM, "out of memory");
}

static int set_config(struct sio_client_config *g, const struct sio_client_options *o,
                      struct sio_diag *diag)
{
    int rv = set_address(g, o->url, diag);

    if (rv == SIO_OK)
        rv = set_target(g, o, diag);
    if (rv == SIO_OK)
        rv = set_fields(g, o->extra_fields, diag);
    if (rv == SIO_OK)
        rv = set_tls(g, o, diag);
    g->transports = o->transports;
    g->offline = o->offline;
    g->max_queue_bytes = o->max_queue_bytes ? o->max_queue_bytes : DEFAULT_BYTES;
    g->max_message = o->max_message ? o->max_message : DEFAULT_BYTES;
    g->connect_timeout_ms =
        o->connect_timeout_ms ? o->connect_timeout_ms : DEFAULT_TIMEOUT_MS;
    g->delay_ms = o->reconnect_delay_ms ? o->reconnect_delay_ms : DEFAULT_DELAY_MS;
    g->delay_max_ms =
        o->reconnect_delay_max_ms ? o->reconnect_delay_max_ms : DEFAULT_MAX_MS;
    g->no_reconnect = o->no_reconnect;
    g->rejoin = o->reconnect_after_server_disconnect;
    return rv;
}

static void free_config(struct sio_client_config *g)
{
    net_tls_unref(g->tls);
    mem_free(g->host);
    mem_free(g->path);
    mem_free(g->query);
    mem_free(g->fields);
}

/* What waits for all to be flushed. */

static void tell_flushed(struct sio_client *c, int status)
{
    struct list now;

    list_init(&now);
    list_splice(&now, &c->flush_waits);
    while (!list_empty(&now)) {
        struct flush_wait *w = container_of(now.next, struct flush_wait, link);
        void (*cb)(int status, void *user) = w->cb;
        void *user = w->user;

        list_remove(&w->link);
        mem_free(w);
        cb(status, user);
    }
}

static void on_check(struct net_task *task)
{
    struct sio_client *c = container_of(task, struct sio_client, check);

    if (c->eio && eio_client_pending(c->eio) == 0)
        tell_flushed(c, SIO_OK);
}

int sio_client_on_flushed(struct sio_client *c, void (*cb)(int status, void *user),
                          void *user)
{
    struct flush_wait *w;

    if (c->state != SIO_CLIENT_OPEN)
        return SIO_ERR_CLOSED;
    w = mem_new(struct flush_wait);
    if (!w)
        return SIO_ERR_NOMEM;
    w->cb = cb;
    w->user = user;
    list_append(&c->flush_waits, &w->link);
    net_loop_defer(c->loop, &c->check);
    return SIO_OK;
}

/* The connection's life. */

uint32_t sio_client_backoff(const struct sio_client *c, uint32_t n)
{
    uint64_t delay = c->config.delay_ms;
    uint64_t max = c->config.delay_max_ms;

    for (; n > 0 && delay < max; n--)
        delay *= 2;
    if (delay > max)
        delay = max;
    delay = delay / 2 + random_u64() % (delay + 1);
    return delay > UINT32_MAX ? UINT32_MAX : (uint32_t)delay;
}

static void wait_and_dial(struct sio_client *c, int error, const char *why)
{
    uint32_t delay = 0;

    if (c->config.no_reconnect) {
        c->state = SIO_CLIENT_IDLE;
    } else {
        delay = sio_client_backoff(c, c->n_attempts++);
        c->state = SIO_CLIENT_WAITING;
        if (net_timer_start(&c->retry, delay) < 0) {
            c->state = SIO_CLIENT_IDLE;
            error = SIO_ERR_NOMEM;
            delay = 0;
        }
    }
    if (c->on_down)
        c->on_down(c, error, why, delay, c->user);
}

static void on_retry(struct net_timer *timer, void *user)
{
    (void)timer;
    dial(user);
}

/* All sockets are apart from now on.  False: c was freed meanwhile. */
static bool part_sockets(struct sio_client *c, const char *reason)
{
    struct sio_client_socket *s;

    list_for_each (s, struct sio_client_socket, link, &c->sockets) {
        if (s->state != SIO_CLIENT_SOCKET_OUT)
            sio_client_socket_leave(s, reason);
        if (c->freed)
            return false;
    }
    return true;
}

static void forget_connection(struct sio_client *c)
{
    eio_client_free(c->eio);
    c->eio = NULL;
    sio_assembly_free(c->assembly);
    c->assembly = NULL;
}

static void on_close(struct eio_client *eio, int error, const char *reason,
                     const char *why, void *user)
{
    struct sio_client *c = user;
    enum sio_client_state before = c->state;

    (void)eio;
    if (before != SIO_CLIENT_CLOSING)
        c->state = SIO_CLIENT_WAITING;
    /* `why` may be the connection's: it is told before that is freed. */
    if (before == SIO_CLIENT_OPEN && !part_sockets(c, reason))
        return;
    if (c->state == SIO_CLIENT_WAITING)
        wait_and_dial(c, error, why);
    if (c->freed)
        return;
    forget_connection(c);
    if (c->state == SIO_CLIENT_CLOSING) /* by now, or by one of the callbacks */
        net_loop_defer(c->loop, &c->closed);
    tell_flushed(c, SIO_ERR_CLOSED);
}

static void on_open(struct eio_client *eio, void *user)
{
    struct sio_client *c = user;
    struct sio_client_socket *s;

    (void)eio;
    c->state = SIO_CLIENT_OPEN;
    list_for_each (s, struct sio_client_socket, link, &c->sockets) {
        if (s->state == SIO_CLIENT_SOCKET_APART)
            sio_client_socket_join(s);
        if (c->state != SIO_CLIENT_OPEN)
            return;
    }
}

static void on_flushed(struct eio_client *eio, void *user)
{
    (void)eio;
    tell_flushed(user, SIO_OK);
}

/* Packets. */

void sio_client_violation(struct sio_client *c, int error, const char *why)
{
    if (c->eio)
        eio_client_abort(c->eio, error, "parse error", why);
}

static void dispatch(struct sio_client *c, const struct sio_packet *p,
                     struct sio_slice text, const struct sio_slice *attachments)
{
    struct sio_client_socket *s = sio_client_socket_find(c, p->nsp);

    /* A namespace that was never asked for, or has been left: late, and harmless. */
    if (s)
        sio_client_socket_packet(s, p, text, attachments);
}

static void on_message(struct eio_client *eio, bool text, struct sio_slice msg,
                       void *user)
{
    struct sio_client *c = user;
    struct sio_incoming in;
    int rv = sio_codec_decode(&c->codec, &c->assembly, text, msg, &in);

    (void)eio;
    if (rv < 0)
        sio_client_violation(c, rv, in.why ? in.why : sio_strerror(rv));
    else if (rv > 0)
        dispatch(c, in.packet, in.text, in.attachments);
    sio_incoming_fini(&in);
}

static const struct eio_client_ops eio_ops = {
    .on_open = on_open,
    .on_message = on_message,
    .on_flushed = on_flushed,
    .on_close = on_close,
};

static enum eio_client_transports transports_of(enum sio_client_transports t)
{
    switch (t) {
    case SIO_TRANSPORTS_DEFAULT: return EIO_CLIENT_DEFAULT;
    case SIO_TRANSPORTS_UPGRADE: return EIO_CLIENT_UPGRADE;
    case SIO_TRANSPORTS_WEBSOCKET: return EIO_CLIENT_WEBSOCKET;
    case SIO_TRANSPORTS_POLLING: return EIO_CLIENT_POLLING;
    }
    return EIO_CLIENT_DEFAULT;
}

static void dial(struct sio_client *c)
{
    const struct sio_client_config *g = &c->config;
    struct eio_client_options o = {
        .host = g->host,
        .port = g->port,
        .tls = g->tls,
        .path = g->path,
        .query = g->query,
        .fields = sio_str_from(g->fields),
        .transports = transports_of(g->transports),
        .max_message = g->max_message,
        .connect_timeout_ms = g->connect_timeout_ms,
    };

    c->state = SIO_CLIENT_DIALING;
    c->eio = eio_client_new(c->loop, &o, &eio_ops, c);
    if (!c->eio)
        wait_and_dial(c, SIO_ERR_NOMEM, "out of memory");
}

int sio_client_connect(struct sio_client *c)
{
    struct sio_client_socket *s;

    if (c->state == SIO_CLIENT_CLOSING)
        return SIO_ERR_CLOSED;
    list_for_each (s, struct sio_client_socket, link, &c->sockets)
        if (s->state == SIO_CLIENT_SOCKET_OUT) {
            s->state = SIO_CLIENT_SOCKET_APART;
            if (c->state == SIO_CLIENT_OPEN)
                sio_client_socket_join(s);
        }
    if (c->state != SIO_CLIENT_IDLE)
        return SIO_OK;
    /* Dialled by the timer: on_down is never called before this returns. */
    if (net_timer_start(&c->retry, 0) < 0)
        return SIO_ERR_NOMEM;
    c->n_attempts = 0;
    c->state = SIO_CLIENT_WAITING;
    return SIO_OK;
}

static void on_closed(struct net_task *task)
{
    struct sio_client *c = container_of(task, struct sio_client, closed);
    void (*cb)(void *user) = c->close_cb;

    c->state = SIO_CLIENT_IDLE;
    c->close_cb = NULL;
    if (cb)
        cb(c->close_user);
}

static void send_disconnect(struct sio_client *c, struct sio_client_socket *s)
{
    struct eio_msg *msg =
        sio_packet_msg(c->codec.parser, SIO_PACKET_DISCONNECT, sio_str_from(s->name),
                       false, 0, (struct sio_str){NULL, 0});

    if (msg)
        (void)eio_client_send(c->eio, msg);
    eio_msg_unref(msg);
}

void sio_client_close(struct sio_client *c, void (*cb)(void *user), void *user)
{
    struct sio_client_socket *s;
    bool open = c->state == SIO_CLIENT_OPEN;

    c->close_cb = cb;
    c->close_user = user;
    if (c->state == SIO_CLIENT_CLOSING)
        return;
    c->state = SIO_CLIENT_CLOSING;
    net_timer_stop(&c->retry);
    list_for_each (s, struct sio_client_socket, link, &c->sockets)
        if (open && s->state == SIO_CLIENT_SOCKET_JOINED)
            send_disconnect(c, s);
    if (c->eio)
        eio_client_close(c->eio);
    else
        net_loop_defer(c->loop, &c->closed);
    if (!part_sockets(c, "io client disconnect"))
        return;
    tell_flushed(c, SIO_ERR_CLOSED);
}

/* Beginning and end. */

struct sio_client *sio_client_new(struct net_loop *loop,
                                  const struct sio_client_options *opts,
                                  struct sio_diag *diag)
{
    struct sio_client *c = mem_new(struct sio_client);

    if (!c) {
        sio_diag_set(diag, SIO_ERR_NOMEM, "out of memory");
        return NULL;
    }
    if (set_config(&c->config, opts, diag) < 0) {
        free_config(&c->config);
        mem_free(c);
        return NULL;
    }
    c->loop = loop;
    c->codec.parser = &sio_parser_json;
    c->codec.max_attachments = MAX_ATTACHMENTS;
    c->codec.max_bytes = c->config.max_message;
    c->on_down = opts->on_down;
    c->user = opts->user;
    list_init(&c->sockets);
    list_init(&c->flush_waits);
    list_init(&c->check.link);
    list_init(&c->closed.link);
    c->check.run = on_check;
    c->closed.run = on_closed;
    net_timer_init(&c->retry, loop, on_retry, c);
    return c;
}

static void on_reap(struct net_task *task)
{
    struct sio_client *c = container_of(task, struct sio_client, check);
    struct sio_client_socket *s;

    list_for_each (s, struct sio_client_socket, link, &c->sockets)
        sio_client_socket_free(s);
    free_config(&c->config);
    mem_free(c);
}

void sio_client_free(struct sio_client *c)
{
    struct sio_client_socket *s;

    if (!c || c->freed)
        return;
    c->freed = true;
    c->state = SIO_CLIENT_CLOSING;
    net_timer_stop(&c->retry);
    forget_connection(c);
    list_for_each (s, struct sio_client_socket, link, &c->sockets)
        sio_client_socket_end(s);
    tell_flushed(c, SIO_ERR_CLOSED);
    list_remove(&c->closed.link);
    list_remove(&c->check.link);
    c->check.run = on_reap;
    net_loop_reap(c->loop, &c->check);
}

bool sio_client_connected(const struct sio_client *c)
{
    return c->state == SIO_CLIENT_OPEN;
}

const char *sio_client_transport(const struct sio_client *c)
{
    return c->eio ? eio_client_transport(c->eio) : "";
}

size_t sio_client_pending(const struct sio_client *c)
{
    return c->offline_bytes + (c->eio ? eio_client_pending(c->eio) : 0);
}

size_t sio_client_max_payload(const struct sio_client *c)
{
    return c->eio ? eio_client_max_payload(c->eio) : 0;
}
