#include <config.h>

#include "socketio/client_impl.h"

#include "base/mem.h"
#include "base/random.h"

#define MAX_ATTACHMENTS 256

struct flush_wait {
    struct list link;
    void (*cb)(int status, void *user);
    void *user;
};

static void dial(struct sio_client *c);

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
    uint64_t spread;

    for (; n > 0 && delay < max; n--)
        delay *= 2;
    if (delay > max)
        delay = max;
    spread = delay * c->config.jitter_percent / 100;
    delay += random_u64() % (2 * spread + 1);
    delay -= spread;
    if (delay == 0)
        delay = 1; /* 0 tells on_down that there is no next attempt */
    return delay > UINT32_MAX ? UINT32_MAX : (uint32_t)delay;
}

static void wait_and_dial(struct sio_client *c, int error, const char *why)
{
    const struct sio_client_config *g = &c->config;
    uint32_t delay = 0;

    if (g->no_reconnect || (g->max_attempts && c->n_attempts >= g->max_attempts)) {
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
        else
            s->asked = false;
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
    if (c->on_up)
        c->on_up(c, c->user);
    if (c->state != SIO_CLIENT_OPEN)
        return;
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

void sio_client_no_memory(struct sio_client *c)
{
    if (c->eio)
        eio_client_abort(c->eio, SIO_ERR_NOMEM, "transport error", "out of memory");
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
        .tls_name = g->tls_name,
        .proxy = g->proxy,
        .cookies = c->cookies,
        .deflate = g->deflate,
        .try_all = g->try_all,
        .path = g->path,
        .query = g->query,
        .fields = sio_str_from(g->fields),
        .transports = transports_of(g->transports),
        .max_message = g->max_message,
        .connect_timeout_ms = g->connect_timeout_ms,
    };

    if (c->on_attempt)
        c->on_attempt(c, c->n_attempts, c->user);
    if (c->state != SIO_CLIENT_WAITING) /* by its callback */
        return;
    c->state = SIO_CLIENT_DIALING;
    c->eio = eio_client_new(c->loop, &o, &eio_ops, c);
    if (!c->eio)
        wait_and_dial(c, SIO_ERR_NOMEM, "out of memory");
}

int sio_client_begin(struct sio_client *c)
{
    if (c->state != SIO_CLIENT_IDLE)
        return SIO_OK;
    /* Dialled by the timer: on_down is never called before this returns. */
    if (net_timer_start(&c->retry, 0) < 0)
        return SIO_ERR_NOMEM;
    c->n_attempts = 0;
    c->state = SIO_CLIENT_WAITING;
    return SIO_OK;
}

int sio_client_connect(struct sio_client *c)
{
    struct sio_client_socket *s;

    if (c->state == SIO_CLIENT_CLOSING)
        return SIO_ERR_CLOSED;
    list_for_each (s, struct sio_client_socket, link, &c->sockets)
        if (sio_client_socket_revive(s) < 0)
            return SIO_ERR_NOMEM;
    return sio_client_begin(c);
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
            sio_client_socket_say_goodbye(s);
    if (c->eio)
        eio_client_close(c->eio);
    else
        net_loop_defer(c->loop, &c->closed);
    if (!part_sockets(c, "io client disconnect"))
        return;
    tell_flushed(c, SIO_ERR_CLOSED);
}

/* Beginning and end. */

static void free_client(struct sio_client *c)
{
    http_cookies_free(c->cookies);
    sio_client_config_fini(&c->config);
    mem_free(c);
}

struct sio_client *sio_client_new(struct net_loop *loop,
                                  const struct sio_client_options *opts,
                                  struct sio_diag *diag)
{
    struct sio_client *c = mem_new(struct sio_client);

    if (!c) {
        sio_diag_set(diag, SIO_ERR_NOMEM, "out of memory");
        return NULL;
    }
    c->cookies = http_cookies_new();
    if (!c->cookies)
        sio_diag_set(diag, SIO_ERR_NOMEM, "out of memory");
    if (!c->cookies || sio_client_config_set(&c->config, opts, diag) < 0) {
        free_client(c);
        return NULL;
    }
    c->loop = loop;
    c->codec.parser = sio_parser_of(opts->parser);
    c->codec.max_attachments = MAX_ATTACHMENTS;
    c->codec.max_bytes = c->config.max_message;
    c->on_down = opts->on_down;
    c->on_attempt = opts->on_attempt;
    c->on_up = opts->on_up;
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
    free_client(c);
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
    return c->held_bytes + (c->eio ? eio_client_pending(c->eio) : 0);
}

size_t sio_client_max_payload(const struct sio_client *c)
{
    return c->eio ? eio_client_max_payload(c->eio) : 0;
}
