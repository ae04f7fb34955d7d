/*
 * client_socket.c - a namespace of a client: joining, leaving, and what is said in it
 */
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

/* Sending. */

int sio_client_socket_send(struct sio_client_socket *s, struct eio_msg *msg)
{
    if (!list_empty(&s->any_out))
        sio_client_listen_outgoing(s, msg);
    if (s->state != SIO_CLIENT_SOCKET_JOINED) /* or left by a listener */
        return SIO_ERR_CLOSED;
    return eio_client_send(s->client->eio, msg);
}

static int send_msg(struct sio_client_socket *s, struct eio_msg *msg, bool has_ack,
                    uint64_t id)
{
    if (s->client->freed)
        return SIO_ERR_CLOSED;
    if (s->state != SIO_CLIENT_SOCKET_JOINED)
        return sio_client_hold(s, msg, has_ack, id);
    if (msg->is_volatile && eio_client_pending(s->client->eio) > 0)
        return SIO_ERR_AGAIN;
    if (!sio_client_has_room(s->client, msg))
        return SIO_ERR_FULL;
    return sio_client_socket_send(s, msg);
}

static int encode(struct sio_client_socket *s, struct sio_message *m, bool has_ack,
                  uint64_t id, struct eio_msg **msg)
{
    return sio_message_encode(m, s->client->codec.parser, SIO_PACKET_EVENT,
                              sio_str_from(s->name), has_ack, id, msg);
}

static int emit(struct sio_client_socket *s, struct sio_message *m, bool has_ack,
                uint64_t id)
{
    struct eio_msg *msg;
    int rv = encode(s, m, has_ack, id, &msg);

    if (rv < 0)
        return rv;
    rv = send_msg(s, msg, has_ack, id);
    eio_msg_unref(msg);
    return rv;
}

static bool is_retried(const struct sio_client_socket *s, const struct sio_message *m)
{
    return s->client->config.retries > 0 && !sio_message_is_volatile(m);
}

static int emit_until_acked(struct sio_client_socket *s, struct sio_message *m,
                            uint32_t timeout_ms, sio_ack_cb cb, void *user)
{
    uint64_t id = sio_acks_reserve(&s->acks);
    struct eio_msg *msg;
    int rv = s->client->freed ? SIO_ERR_CLOSED : encode(s, m, true, id, &msg);

    if (rv < 0)
        return rv;
    rv = sio_client_retry_add(s, msg, id, timeout_ms, cb, user);
    eio_msg_unref(msg);
    return rv;
}

int sio_client_socket_emit(struct sio_client_socket *s, struct sio_message *m)
{
    if (is_retried(s, m))
        return emit_until_acked(s, m, s->client->config.ack_timeout_ms, NULL, NULL);
    return emit(s, m, false, 0);
}

int sio_client_socket_emit_ack(struct sio_client_socket *s, struct sio_message *m,
                               uint32_t timeout_ms, sio_ack_cb cb, void *user)
{
    uint64_t id;
    int rv;

    if (!timeout_ms)
        timeout_ms = s->client->config.ack_timeout_ms;
    if (is_retried(s, m))
        return emit_until_acked(s, m, timeout_ms, cb, user);
    rv = sio_acks_add(&s->acks, s->client->loop, timeout_ms, cb, user, &id);
    if (rv < 0)
        return rv;
    rv = emit(s, m, true, id);
    /* A listener may have left the namespace, which tells cb. */
    return rv < 0 && sio_acks_drop(&s->acks, id) ? rv : SIO_OK;
}

static int replier_send(struct sio_replier *r, struct eio_msg *msg)
{
    struct sio_client_socket *s = container_of(r, struct sio_client_socket, replier);

    if (s->state != SIO_CLIENT_SOCKET_JOINED)
        return SIO_ERR_CLOSED;
    return sio_client_has_room(s->client, msg) ? eio_client_send(s->client->eio, msg)
                                               : SIO_ERR_FULL;
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

static void on_ack_timeout(struct sio_acks *acks, uint64_t id)
{
    sio_client_forget_held(container_of(acks, struct sio_client_socket, acks), id);
}

/* Leaving. */

static void on_timer(struct net_timer *timer, void *user)
{
    struct sio_client_socket *s = user;

    (void)timer;
    if (s->state == SIO_CLIENT_SOCKET_ASKING)
        eio_client_abort(s->client->eio, SIO_ERR_TIMEOUT, "timeout",
                         "the application gave no auth in time");
    else if (s->state == SIO_CLIENT_SOCKET_JOINING)
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
    s->asked = false;
    mem_free(s->id);
    s->id = NULL;
    s->recovered = false;
    sio_client_drop_early(s);
    if (!joined)
        return;
    sio_replier_end(&s->replier);
    sio_replier_init(&s->replier, &replier_ops);
    sio_acks_end(&s->acks);
    sio_client_retry_pause(s);
    if (!s->client->freed && s->ops->on_disconnect)
        s->ops->on_disconnect(s, reason, s->user);
}

void sio_client_socket_say_goodbye(struct sio_client_socket *s)
{
    struct eio_msg *msg =
        sio_packet_msg(s->client->codec.parser, SIO_PACKET_DISCONNECT,
                       sio_str_from(s->name), false, 0, (struct sio_str){NULL, 0});

    if (msg)
        (void)eio_client_send(s->client->eio, msg);
    eio_msg_unref(msg);
}

void sio_client_socket_disconnect(struct sio_client_socket *s)
{
    bool asked = s->asked;

    if (s->state == SIO_CLIENT_SOCKET_OUT)
        return;
    if (s->state == SIO_CLIENT_SOCKET_JOINED)
        sio_client_socket_say_goodbye(s);
    sio_client_socket_leave(s, "io client disconnect");
    if (s->state != SIO_CLIENT_SOCKET_APART) /* by a callback */
        return;
    s->state = SIO_CLIENT_SOCKET_OUT;
    s->asked = asked;
}

int sio_client_socket_revive(struct sio_client_socket *s)
{
    struct sio_client *c = s->client;

    if (s->state != SIO_CLIENT_SOCKET_OUT)
        return SIO_OK;
    s->state = s->asked ? SIO_CLIENT_SOCKET_JOINING : SIO_CLIENT_SOCKET_APART;
    if (c->state != SIO_CLIENT_OPEN)
        return SIO_OK;
    return net_timer_start(&s->timer, s->asked ? c->config.connect_timeout_ms : 0);
}

int sio_client_socket_connect(struct sio_client_socket *s)
{
    struct sio_client *c = s->client;

    if (c->state == SIO_CLIENT_CLOSING)
        return SIO_ERR_CLOSED;
    if (sio_client_socket_revive(s) < 0)
        return SIO_ERR_NOMEM;
    return sio_client_begin(c);
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
        sio_client_no_memory(c);
}

/* Packets. */

static void on_refused(struct sio_client_socket *s, const struct sio_packet *p)
{
    struct sio_str value, data = {NULL, 0};
    struct wbuf message;

    s->asked = false;
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

/* Copies a JSON string, quotes included, unless it is longer than sane. */
static int keep_string(char **to, struct sio_str raw)
{
    char *copy;

    if (raw.len > MAX_ID)
        return SIO_ERR_TOO_BIG;
    copy = mem_strndup(raw.ptr, raw.len);
    if (!copy)
        return SIO_ERR_NOMEM;
    mem_free(*to);
    *to = copy;
    return SIO_OK;
}

/*
 * A server that recovers puts an offset behind the arguments of each event that wants no
 * answer; like other clients we leave it there for the handlers to see.
 */
static void remember_offset(struct sio_client_socket *s, struct sio_event *e)
{
    size_t n = sio_event_n_args(e);
    struct sio_str last;

    if (!s->pid || !n || sio_event_wants_ack(e))
        return;
    last = sio_event_arg(e, n - 1);
    /* One that cannot be kept costs a message that comes twice, or no recovery. */
    if (last.ptr && json_type(last) == JSON_STRING)
        (void)keep_string(&s->offset, last);
}

static void handle_event(struct sio_client_socket *s, const struct sio_packet *p,
                         struct sio_slice text, const struct sio_slice *attachments)
{
    bool answer = p->type == SIO_PACKET_ACK || p->type == SIO_PACKET_BINARY_ACK;
    struct sio_event e;

    if (sio_event_init(&e, p, text, attachments, &s->replier) < 0) {
        sio_client_no_memory(s->client);
    } else if (!answer) {
        remember_offset(s, &e);
        sio_client_listen_event(s, &e);
    } else if (p->has_id && !sio_client_retry_answer(s, p->id, &e)) {
        (void)sio_acks_answer(&s->acks, p->id, &e); /* unknown ids are ignored */
    }
    sio_event_fini(&e);
}

void sio_client_socket_event(struct sio_client_socket *s, const struct sio_packet *p,
                             struct sio_slice text, const struct sio_slice *attachments)
{
    bool answer = p->type == SIO_PACKET_ACK || p->type == SIO_PACKET_BINARY_ACK;
    int rv;

    if (s->state == SIO_CLIENT_SOCKET_JOINED) {
        handle_event(s, p, text, attachments);
        return;
    }
    if (s->state != SIO_CLIENT_SOCKET_JOINING || answer)
        return;
    rv = sio_client_hold_early(s, p, text, attachments);
    if (rv < 0)
        sio_client_violation(s->client, rv,
                             "the server sent too much before it let us join");
}

/* The plain text of a member that is a short string.  False: it is none. */
static bool get_id(const struct sio_packet *p, const char *name, struct sio_str *raw,
                   struct sio_str *id)
{
    return p->json.ptr && json_get(p->json, name, raw) &&
           json_type(*raw) == JSON_STRING && json_string_plain(*raw, id) && id->len &&
           id->len <= MAX_ID;
}

static int keep_ids(struct sio_client_socket *s, const struct sio_packet *p,
                    struct sio_str id)
{
    struct sio_str raw, pid;
    bool has_pid = get_id(p, "pid", &raw, &pid);

    s->id = mem_strndup(id.ptr, id.len);
    if (!s->id)
        return SIO_ERR_NOMEM;
    s->recovered = has_pid && s->pid && str_eq_cstr(raw, s->pid);
    if (has_pid && keep_string(&s->pid, raw) == SIO_ERR_NOMEM)
        return SIO_ERR_NOMEM;
    if (!has_pid) {
        mem_free(s->pid);
        s->pid = NULL;
    }
    return SIO_OK;
}

static void on_connected(struct sio_client_socket *s, const struct sio_packet *p)
{
    struct sio_str raw, id;

    if (s->state == SIO_CLIENT_SOCKET_OUT && s->asked) { /* it was taken back */
        s->asked = false;
        sio_client_socket_say_goodbye(s);
        return;
    }
    if (s->state != SIO_CLIENT_SOCKET_JOINING) {
        sio_client_violation(s->client, SIO_ERR_PROTOCOL,
                             "the server connected a namespace twice");
        return;
    }
    if (!get_id(p, "sid", &raw, &id)) {
        sio_client_violation(
            s->client, SIO_ERR_PROTOCOL,
            "the server gave no socket id: is it a Socket.IO 2 server?");
        return;
    }
    if (keep_ids(s, p, id) < 0) {
        sio_client_no_memory(s->client);
        return;
    }
    net_timer_stop(&s->timer);
    s->asked = false;
    s->state = SIO_CLIENT_SOCKET_JOINED;
    s->n_refusals = 0;
    s->client->n_attempts = 0;
    /* First what the application does on each connection, then what it said before. */
    if (s->ops->on_connect)
        s->ops->on_connect(s, s->user);
    if (s->state == SIO_CLIENT_SOCKET_JOINED)
        sio_client_send_held(s);
    sio_client_retry_resume(s);
    sio_client_handle_early(s);
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
    case SIO_PACKET_BINARY_ACK: sio_client_socket_event(s, p, text, attachments); break;
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

struct sio_client_socket *sio_client_join(struct sio_client *c, const char *name,
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
    list_init(&s->offline);
    list_init(&s->early);
    sio_client_listen_init(s);
    sio_client_retry_init(s);
    sio_acks_init(&s->acks);
    s->acks.on_timeout = on_ack_timeout;
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
    sio_client_retry_end(s);
}

void sio_client_socket_free(struct sio_client_socket *s)
{
    sio_client_drop_early(s);
    sio_client_drop_held(s);
    sio_client_listen_fini(s);
    mem_free(s->pid);
    mem_free(s->offset);
    mem_free(s->auth);
    mem_free(s->id);
    mem_free(s->name);
    mem_free(s);
}

bool sio_client_socket_connected(const struct sio_client_socket *s)
{
    return s->state == SIO_CLIENT_SOCKET_JOINED;
}

bool sio_client_socket_recovered(const struct sio_client_socket *s)
{
    return s->recovered;
}

struct sio_str sio_client_socket_id(const struct sio_client_socket *s)
{
    return sio_str_from(s->id ? s->id : "");
}
