#include <config.h>

#include "socketio/client_impl.h"

#include "base/buf.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/str.h"
#include "engineio/msg.h"
#include "socketio/message.h"

#define MAX_ID        256
#define MAX_TEXT      4096 /* of a refusal */
#define MAX_BACKOFF_N 16

struct handler {
    struct list link;
    char *event;
    sio_client_event_cb cb;
    void *user;
};

/* An event that waits for the namespace to be joined. */
struct held {
    struct list link;
    struct eio_msg *msg;
    bool has_ack;
    uint64_t ack_id;
};

/* An event that came before the answer to CONNECT. */
struct early {
    struct list link;
    struct sio_slice text; /* owned, as the parts */
    uint32_t n_parts;
    struct sio_slice parts[];
};

/* Events emitted while not joined. */

static void free_held(struct sio_client_socket *s, struct held *h)
{
    s->client->offline_bytes -= h->msg->bytes;
    list_remove(&h->link);
    eio_msg_unref(h->msg);
    mem_free(h);
}

/* Its answer will never come; whoever waits for it is told. */
static void drop_held(struct sio_client_socket *s, struct held *h)
{
    bool has_ack = h->has_ack;
    uint64_t id = h->ack_id;

    free_held(s, h);
    if (has_ack)
        sio_acks_fail(&s->acks, id, SIO_ERR_FULL);
}

static void drop_replaced(struct sio_client_socket *s, uint64_t key)
{
    struct held *h;

    if (!key)
        return;
    list_for_each (h, struct held, link, &s->offline)
        if (h->msg->replace_key == key) {
            drop_held(s, h);
            return;
        }
}

static bool has_room(const struct sio_client_socket *s, const struct eio_msg *msg)
{
    size_t max = s->client->config.max_queue_bytes;
    size_t used = sio_client_pending(s->client);

    return used <= max && msg->bytes <= max - used;
}

static int hold(struct sio_client_socket *s, struct eio_msg *msg, bool has_ack,
                uint64_t id)
{
    const struct sio_client_config *g = &s->client->config;
    struct held *h;

    if (g->offline == SIO_OFFLINE_DROP)
        return SIO_ERR_CLOSED;
    if (msg->is_volatile)
        return SIO_ERR_AGAIN;
    if (msg->bytes > g->max_queue_bytes)
        return SIO_ERR_FULL;
    h = mem_new(struct held);
    if (!h)
        return SIO_ERR_NOMEM;
    drop_replaced(s, msg->replace_key);
    while (g->offline == SIO_OFFLINE_NEWEST && !has_room(s, msg) &&
           !list_empty(&s->offline))
        drop_held(s, container_of(s->offline.next, struct held, link));
    if (!has_room(s, msg)) {
        mem_free(h);
        return SIO_ERR_FULL;
    }
    h->msg = eio_msg_ref(msg);
    h->has_ack = has_ack;
    h->ack_id = id;
    list_append(&s->offline, &h->link);
    s->client->offline_bytes += msg->bytes;
    return SIO_OK;
}

/* Joined: what was held goes out in order. */
static void send_held(struct sio_client_socket *s)
{
    while (!list_empty(&s->offline)) {
        struct held *h = container_of(s->offline.next, struct held, link);

        if (eio_client_send(s->client->eio, h->msg) < 0)
            return;
        free_held(s, h);
    }
}

/* Sending. */

static int send_msg(struct sio_client_socket *s, struct eio_msg *msg, bool has_ack,
                    uint64_t id)
{
    struct eio_client *eio = s->client->eio;

    if (s->state != SIO_CLIENT_SOCKET_JOINED)
        return hold(s, msg, has_ack, id);
    if (msg->is_volatile && eio_client_pending(eio) > 0)
        return SIO_ERR_AGAIN;
    if (!has_room(s, msg))
        return SIO_ERR_FULL;
    return eio_client_send(eio, msg);
}

static int emit(struct sio_client_socket *s, struct sio_message *m, bool has_ack,
                uint64_t id)
{
    struct eio_msg *msg;
    int rv = sio_message_encode(m, s->client->codec.parser, SIO_PACKET_EVENT,
                                sio_str_from(s->name), has_ack, id, &msg);

    if (rv < 0)
        return rv;
    rv = s->client->freed ? SIO_ERR_CLOSED : send_msg(s, msg, has_ack, id);
    eio_msg_unref(msg);
    return rv;
}

int sio_client_socket_emit(struct sio_client_socket *s, struct sio_message *m)
{
    return emit(s, m, false, 0);
}

int sio_client_socket_emit_ack(struct sio_client_socket *s, struct sio_message *m,
                               uint32_t timeout_ms, sio_ack_cb cb, void *user)
{
    uint64_t id;
    int rv = sio_acks_add(&s->acks, s->client->loop, timeout_ms, cb, user, &id);

    if (rv < 0)
        return rv;
    rv = emit(s, m, true, id);
    if (rv < 0)
        sio_acks_drop(&s->acks, id);
    return rv;
}

static int replier_send(struct sio_replier *r, struct eio_msg *msg)
{
    struct sio_client_socket *s = container_of(r, struct sio_client_socket, replier);

    if (s->state != SIO_CLIENT_SOCKET_JOINED)
        return SIO_ERR_CLOSED;
    return has_room(s, msg) ? eio_client_send(s->client->eio, msg) : SIO_ERR_FULL;
}

static struct sio_str replier_nsp(struct sio_replier *r)
{
    return sio_str_from(container_of(r, struct sio_client_socket, replier)->name);
}

static const struct sio_parser *replier_parser(struct sio_replier *r)
{
    return container_of(r, struct sio_client_socket, replier)->client->codec.parser;
}

static const struct sio_replier_ops replier_ops = {
    .send = replier_send,
    .nsp = replier_nsp,
    .parser = replier_parser,
};

/* Events received while joining. */

static void free_early(struct sio_client_socket *s, struct early *e)
{
    list_remove(&e->link);
    s->early_bytes -= sizeof(*e) + e->text.len;
    for (uint32_t i = 0; i < e->n_parts; i++) {
        s->early_bytes -= e->parts[i].len;
        sio_buf_unref(e->parts[i].buf);
    }
    sio_buf_unref(e->text.buf);
    mem_free(e);
}

static void drop_early(struct sio_client_socket *s)
{
    struct early *e;

    list_for_each (e, struct early, link, &s->early)
        free_early(s, e);
}

static int hold_early(struct sio_client_socket *s, const struct sio_packet *p,
                      struct sio_slice text, const struct sio_slice *attachments)
{
    struct early *e = mem_alloc(sizeof(*e) + p->n_attachments * sizeof(e->parts[0]));
    int rv;

    if (!e)
        return SIO_ERR_NOMEM;
    list_init(&e->link);
    text.buf = NULL; /* copied: a reference could keep a much larger poll alive */
    rv = sio_slice_hold(text, &e->text);
    s->early_bytes += sizeof(*e) + e->text.len;
    for (; rv == SIO_OK && e->n_parts < p->n_attachments; e->n_parts++) {
        rv = sio_slice_hold(attachments[e->n_parts], &e->parts[e->n_parts]);
        s->early_bytes += e->parts[e->n_parts].len;
    }
    if (rv == SIO_OK && s->early_bytes > s->client->config.max_message)
        rv = SIO_ERR_TOO_BIG;
    if (rv < 0)
        free_early(s, e);
    else
        list_append(&s->early, &e->link);
    return rv;
}

/* Joining and leaving. */

/* The auth payload, if there is one and it is an object. */
static struct sio_str auth_of(struct sio_client_socket *s)
{
    struct sio_str none = {NULL, 0}, auth;

    if (!s->ops->auth)
        return none;
    auth = s->ops->auth(s, s->user);
    if (!auth.ptr)
        return none;
    if (json_check(auth) == SIO_OK && json_type(auth) == JSON_OBJECT)
        return auth;
    log_error(net_loop_log(s->client->loop),
              "client: auth is no JSON object, not sent");
    return none;
}

void sio_client_socket_join(struct sio_client_socket *s)
{
    struct sio_client *c = s->client;
    struct sio_str auth = auth_of(s);
    struct eio_msg *msg;
    int rv = SIO_ERR_NOMEM;

    if (c->state != SIO_CLIENT_OPEN) /* auth's callback may have closed */
        return;
    msg = sio_packet_msg(c->codec.parser, SIO_PACKET_CONNECT, sio_str_from(s->name),
                         false, 0, auth);
    if (msg)
        rv = eio_client_send(c->eio, msg);
    if (rv == SIO_OK)
        rv = net_timer_start(&s->timer, c->config.connect_timeout_ms);
    eio_msg_unref(msg);
    if (rv < 0)
        eio_client_abort(c->eio, rv, "transport error", sio_strerror(rv));
    else
        s->state = SIO_CLIENT_SOCKET_JOINING;
}

static void on_timer(struct net_timer *timer, void *user)
{
    struct sio_client_socket *s = user;

    (void)timer;
    if (s->state == SIO_CLIENT_SOCKET_JOINING)
        eio_client_abort(s->client->eio, SIO_ERR_TIMEOUT, "timeout",
                         "the server did not answer the request to join a namespace");
    else if (s->state == SIO_CLIENT_SOCKET_APART && s->client->state == SIO_CLIENT_OPEN)
        sio_client_socket_join(s);
}

void sio_client_socket_leave(struct sio_client_socket *s, const char *reason)
{
    bool joined = s->state == SIO_CLIENT_SOCKET_JOINED;

    net_timer_stop(&s->timer);
    s->state = SIO_CLIENT_SOCKET_APART;
    mem_free(s->id);
    s->id = NULL;
    drop_early(s);
    if (!joined)
        return;
    sio_replier_end(&s->replier);
    sio_replier_init(&s->replier, &replier_ops);
    sio_acks_end(&s->acks);
    if (!s->client->freed && s->ops->on_disconnect)
        s->ops->on_disconnect(s, reason, s->user);
}

/* The server does not want us now: later, if the application says so. */
static void try_later(struct sio_client_socket *s)
{
    struct sio_client *c = s->client;

    if (s->state != SIO_CLIENT_SOCKET_APART || c->state != SIO_CLIENT_OPEN)
        return;
    if (!c->config.rejoin) {
        s->state = SIO_CLIENT_SOCKET_OUT;
        return;
    }
    if (s->n_refusals < MAX_BACKOFF_N)
        s->n_refusals++;
    if (net_timer_start(&s->timer, sio_client_backoff(c, s->n_refusals - 1)) < 0)
        eio_client_abort(c->eio, SIO_ERR_NOMEM, "transport error", "out of memory");
}

/* Packets. */

static void on_refused(struct sio_client_socket *s, const struct sio_packet *p)
{
    struct sio_str value, data = {NULL, 0};
    struct wbuf message;

    if (s->state != SIO_CLIENT_SOCKET_JOINING)
        return;
    net_timer_stop(&s->timer);
    s->state = SIO_CLIENT_SOCKET_APART;
    wbuf_init(&message, MAX_TEXT);
    if (p->json.ptr && json_type(p->json) == JSON_OBJECT) {
        if (json_get(p->json, "message", &value) && json_type(value) == JSON_STRING)
            json_string_decode(value, &message);
        (void)json_get(p->json, "data", &data);
    }
    if (s->ops->on_connect_error)
        s->ops->on_connect_error(s, wbuf_str(&message), data, s->user);
    wbuf_fini(&message);
    if (!s->client->freed)
        try_later(s);
}

static void on_disconnected(struct sio_client_socket *s)
{
    if (s->state != SIO_CLIENT_SOCKET_JOINED)
        return;
    sio_client_socket_leave(s, "io server disconnect");
    if (!s->client->freed)
        try_later(s);
}

static struct handler *find_handler(struct sio_client_socket *s, struct sio_str event)
{
    struct handler *h;

    list_for_each (h, struct handler, link, &s->handlers)
        if (str_eq_cstr(event, h->event))
            return h;
    return NULL;
}

static void on_event(struct sio_client_socket *s, struct sio_event *e)
{
    struct handler *h = find_handler(s, sio_event_name(e));

    if (h)
        h->cb(s, e, h->user);
    else if (s->ops->on_event)
        s->ops->on_event(s, e, s->user);
}

static void on_event_packet(struct sio_client_socket *s, const struct sio_packet *p,
                            struct sio_slice text, const struct sio_slice *attachments)
{
    struct sio_event e;
    bool answer = p->type == SIO_PACKET_ACK || p->type == SIO_PACKET_BINARY_ACK;

    if (s->state == SIO_CLIENT_SOCKET_JOINING && !answer) {
        int rv = hold_early(s, p, text, attachments);

        if (rv < 0)
            sio_client_violation(s->client, rv,
                                 "the server sent too much before it let us join");
        return;
    }
    if (s->state != SIO_CLIENT_SOCKET_JOINED)
        return;
    if (sio_event_init(&e, p, text, attachments, &s->replier) < 0) {
        eio_client_abort(s->client->eio, SIO_ERR_NOMEM, "transport error",
                         "out of memory");
    } else if (answer) {
        (void)sio_acks_answer(&s->acks, p->id, &e); /* unknown ids are ignored */
    } else {
        on_event(s, &e);
    }
    sio_event_fini(&e);
}

static void handle_early(struct sio_client_socket *s)
{
    while (s->state == SIO_CLIENT_SOCKET_JOINED && !list_empty(&s->early)) {
        struct early *e = container_of(s->early.next, struct early, link);
        struct sio_str text = {(const char *)e->text.ptr, e->text.len};
        struct sio_packet p;

        list_remove(&e->link); /* its handler may leave, which drops the rest */
        /* It was parsed once already. */
        if (sio_packet_parse(text, e->n_parts, &p) == SIO_OK)
            on_event_packet(s, &p, e->text, e->parts);
        free_early(s, e);
    }
}

static void on_connected(struct sio_client_socket *s, const struct sio_packet *p)
{
    struct sio_str value, id;

    if (s->state != SIO_CLIENT_SOCKET_JOINING) {
        sio_client_violation(s->client, SIO_ERR_PROTOCOL,
                             "the server connected a namespace twice");
        return;
    }
    if (!p->json.ptr || !json_get(p->json, "sid", &value) ||
        json_type(value) != JSON_STRING || !json_string_plain(value, &id) || !id.len ||
        id.len > MAX_ID) {
        sio_client_violation(
            s->client, SIO_ERR_PROTOCOL,
            "the server gave no socket id: is it a Socket.IO 2 server?");
        return;
    }
    s->id = mem_strndup(id.ptr, id.len);
    if (!s->id) {
        eio_client_abort(s->client->eio, SIO_ERR_NOMEM, "transport error",
                         "out of memory");
        return;
    }
    net_timer_stop(&s->timer);
    s->state = SIO_CLIENT_SOCKET_JOINED;
    s->n_refusals = 0;
    s->client->n_attempts = 0;
    /* First what the application does on each connection, then what it said before. */
    if (s->ops->on_connect)
        s->ops->on_connect(s, s->user);
    if (s->state == SIO_CLIENT_SOCKET_JOINED)
        send_held(s);
    handle_early(s);
}

void sio_client_socket_packet(struct sio_client_socket *s, const struct sio_packet *p,
                              struct sio_slice text,
                              const struct sio_slice *attachments)
{
    switch (p->type) {
    case SIO_PACKET_CONNECT: on_connected(s, p); break;
    case SIO_PACKET_DISCONNECT: on_disconnected(s); break;
    case SIO_PACKET_CONNECT_ERROR: on_refused(s, p); break;
    case SIO_PACKET_EVENT:
    case SIO_PACKET_ACK:
    case SIO_PACKET_BINARY_EVENT:
    case SIO_PACKET_BINARY_ACK: on_event_packet(s, p, text, attachments); break;
    }
}

/* Beginning and end. */

struct sio_client_socket *sio_client_socket_find(struct sio_client *c,
                                                 struct sio_str name)
{
    struct sio_client_socket *s;

    list_for_each (s, struct sio_client_socket, link, &c->sockets)
        if (str_eq_cstr(name, s->name))
            return s;
    return NULL;
}

struct sio_client_socket *sio_client_socket(struct sio_client *c, const char *name,
                                            const struct sio_client_socket_ops *ops,
                                            void *user)
{
    struct sio_client_socket *s;

    if (!sio_nsp_valid(sio_str_from(name)) ||
        sio_client_socket_find(c, sio_str_from(name)))
        return NULL;
    s = mem_new(struct sio_client_socket);
    if (!s)
        return NULL;
    s->name = mem_strndup(name, strlen(name));
    if (!s->name) {
        mem_free(s);
        return NULL;
    }
    s->client = c;
    s->ops = ops;
    s->user = user;
    list_init(&s->handlers);
    list_init(&s->offline);
    list_init(&s->early);
    sio_acks_init(&s->acks);
    sio_replier_init(&s->replier, &replier_ops);
    net_timer_init(&s->timer, c->loop, on_timer, s);
    list_append(&c->sockets, &s->link);
    if (c->state == SIO_CLIENT_OPEN)
        sio_client_socket_join(s);
    return s;
}

void sio_client_socket_end(struct sio_client_socket *s)
{
    net_timer_stop(&s->timer);
    s->state = SIO_CLIENT_SOCKET_OUT;
    sio_replier_end(&s->replier);
    sio_acks_end(&s->acks);
}

void sio_client_socket_free(struct sio_client_socket *s)
{
    struct handler *h;
    struct held *held;

    drop_early(s);
    list_for_each (held, struct held, link, &s->offline)
        free_held(s, held);
    list_for_each (h, struct handler, link, &s->handlers) {
        mem_free(h->event);
        mem_free(h);
    }
    mem_free(s->id);
    mem_free(s->name);
    mem_free(s);
}

int sio_client_socket_on(struct sio_client_socket *s, const char *event,
                         sio_client_event_cb cb, void *user)
{
    struct handler *h = find_handler(s, sio_str_from(event));

    if (!h) {
        h = mem_new(struct handler);
        if (!h)
            return SIO_ERR_NOMEM;
        h->event = mem_strndup(event, strlen(event));
        if (!h->event) {
            mem_free(h);
            return SIO_ERR_NOMEM;
        }
        list_append(&s->handlers, &h->link);
    }
    h->cb = cb;
    h->user = user;
    return SIO_OK;
}

bool sio_client_socket_connected(const struct sio_client_socket *s)
{
    return s->state == SIO_CLIENT_SOCKET_JOINED;
}

struct sio_str sio_client_socket_id(const struct sio_client_socket *s)
{
    return sio_str_from(s->id ? s->id : "");
}
