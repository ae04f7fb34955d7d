#include <config.h>

#include "socketio/socket.h"

#include <assert.h>

#include "base/mem.h"
#include "socketio/client_conn.h"
#include "socketio/join.h"
#include "socketio/message.h"
#include "socketio/namespace.h"
#include "socketio/parent.h"
#include "socketio/recovery.h"
#include "socketio/server.h"
#include "socketio/v2.h"

/* Rows are from, columns to. */
static const bool may_go[3][3] = {
    [SIO_SOCKET_JOINING] = {[SIO_SOCKET_JOINED] = true, [SIO_SOCKET_ENDED] = true},
    [SIO_SOCKET_JOINED] = {[SIO_SOCKET_ENDED] = true},
};

static void set_state(struct sio_socket *s, enum sio_socket_state to)
{
    assert(may_go[s->state][to]);
    s->state = (uint8_t)to;
}

static struct sio_socket *socket_of(struct sio_replier *r)
{
    return container_of(r, struct sio_socket, replier);
}

static int reply_send(struct sio_replier *r, struct eio_msg *msg)
{
    struct sio_socket *s = socket_of(r);

    if (s->state != SIO_SOCKET_JOINED)
        return SIO_ERR_CLOSED;
    return sio_conn_send(s->conn, msg);
}

static struct sio_str reply_nsp(struct sio_replier *r)
{
    return sio_namespace_name(socket_of(r)->ns);
}

static const struct sio_parser *parser_of(const struct sio_socket *s)
{
    return s->ns->server->codec.parser;
}

static const struct sio_parser *reply_parser(struct sio_replier *r)
{
    return parser_of(socket_of(r));
}

static const struct sio_replier_ops replier_ops = {reply_send, reply_nsp, reply_parser};

static void on_reap(struct net_task *task)
{
    struct sio_socket *s = container_of(task, struct sio_socket, reap);

    sio_hooks_free(s->hooks);
    mem_free(s);
}

struct sio_socket *sio_socket_new(struct sio_conn *conn, struct sio_namespace *ns)
{
    size_t room = conn->v2 ? sio_v2_id_room(conn, ns) : 0;
    struct sio_socket *s = mem_alloc(sizeof(*s) + room);

    if (!s)
        return NULL;
    s->conn = conn;
    s->ns = ns;
    if (conn->v2)
        sio_v2_id_set(s);
    else
        random_id(net_loop_random(conn->server->loop), s->id);
    list_init(&s->link);
    list_init(&s->rooms);
    list_init(&s->reap.link);
    s->reap.run = on_reap;
    sio_replier_init(&s->replier, &replier_ops);
    sio_acks_init(&s->acks);
    list_append(&conn->sockets, &s->link);
    conn->n_sockets++;
    sio_namespace_hold(ns);
    return s;
}

static void let_go(struct sio_socket *s)
{
    sio_socket_set_data(s, NULL, NULL);
    net_loop_reap(s->ns->server->loop, &s->reap);
    sio_namespace_release(s->ns);
}

static void leave_conn(struct sio_socket *s)
{
    list_remove(&s->link);
    s->conn->n_sockets--;
}

void sio_socket_discard(struct sio_socket *s)
{
    set_state(s, SIO_SOCKET_ENDED);
    if (s->ticket)
        sio_recovery_abandon(s);
    if (s->join)
        sio_join_detach(s->join);
    leave_conn(s);
    let_go(s);
}

/* Into its namespace, and into the rooms that it had before. */
static int enter(struct sio_socket *s)
{
    struct sio_adapter *a = s->ns->adapter;
    int rv = a->ops->enter ? a->ops->enter(a, s) : SIO_OK;

    if (rv < 0 || !s->ticket)
        return rv;
    rv = sio_recovery_enter(s);
    if (rv < 0)
        a->ops->leave_all(a, s);
    return rv;
}

int sio_socket_admit(struct sio_socket *s)
{
    int rv = map_add(&s->ns->sockets, &s->node, sio_socket_id(s));

    if (rv < 0)
        return rv;
    rv = enter(s);
    if (rv < 0) {
        map_remove(&s->ns->sockets, &s->node);
        return rv;
    }
    set_state(s, SIO_SOCKET_JOINED);
    s->ns->was_joined = true;
    s->ns->n_out += (unsigned)sio_hooks_n(s->hooks, SIO_CHAIN_ANY_OUT);
    return SIO_OK;
}

void sio_socket_end(struct sio_socket *s, enum sio_disconnect_reason reason)
{
    struct sio_namespace *ns = s->ns;

    if (s->state == SIO_SOCKET_JOINING)
        sio_socket_discard(s);
    if (s->state != SIO_SOCKET_JOINED)
        return;
    set_state(s, SIO_SOCKET_ENDED);
    map_remove(&ns->sockets, &s->node);
    ns->n_out -= (unsigned)sio_hooks_n(s->hooks, SIO_CHAIN_ANY_OUT);
    leave_conn(s);
    if (s->ticket)
        sio_recovery_leave(s);
    sio_replier_end(&s->replier);
    sio_acks_end(&s->acks);
    if (ns->ops && ns->ops->on_disconnect)
        ns->ops->on_disconnect(s, reason, ns->user);
    if (s->ticket)
        sio_recovery_close(s, reason);
    if (ns->server->observer)
        ns->server->observer->ops->ended(ns->server->observer, s, reason);
    ns->adapter->ops->leave_all(ns->adapter, s);
    let_go(s);
}

struct sio_str sio_socket_id(const struct sio_socket *s)
{
    if (s->v2_sid_len > 0)
        return sio_v2_id(s);
    return (struct sio_str){s->id, RANDOM_ID_LEN};
}

struct sio_namespace *sio_socket_namespace(const struct sio_socket *s)
{
    return s->ns;
}

struct eio_session *sio_socket_session(const struct sio_socket *s)
{
    return s->conn->session;
}

void sio_socket_set_data(struct sio_socket *s, void *data, void (*destroy)(void *data))
{
    void *old = s->data;
    void (*destroy_old)(void *data) = s->destroy_data;

    s->data = data;
    s->destroy_data = destroy;
    if (destroy_old && old != data)
        destroy_old(old);
}

void *sio_socket_data(const struct sio_socket *s)
{
    return s->data;
}

int sio_socket_set_attributes(struct sio_socket *s, struct sio_str json)
{
    struct sio_buf *copy = NULL;
    int rv = json.ptr ? json_check(json) : SIO_OK;

    if (rv < 0)
        return rv;
    if (!json.ptr && !s->hooks)
        return SIO_OK;
    if (json.ptr)
        copy = sio_buf_copy(json.ptr, json.len);
    if ((json.ptr && !copy) || !sio_hooks_need(&s->hooks)) {
        sio_buf_unref(copy);
        return SIO_ERR_NOMEM;
    }
    sio_buf_unref(s->hooks->attributes);
    s->hooks->attributes = copy;
    return SIO_OK;
}

struct sio_str sio_socket_attributes(const struct sio_socket *s)
{
    struct sio_buf *json = s->hooks ? s->hooks->attributes : NULL;

    if (!json)
        return (struct sio_str){NULL, 0};
    return (struct sio_str){(const char *)sio_buf_data(json), sio_buf_len(json)};
}

bool sio_socket_recovered(const struct sio_socket *s)
{
    return s->recovered;
}

/* Tells listeners what is about to be sent; they may end it. */
static int before_emit(struct sio_socket *s, struct sio_message *m)
{
    struct sio_socket_list one = {.items = &s, .n = 1};
    struct eio_msg *msg;
    int rv;

    if (s->state != SIO_SOCKET_JOINED)
        return SIO_ERR_CLOSED;
    if (!sio_namespace_listens(s->ns))
        return SIO_OK;
    rv = sio_message_encode(m, parser_of(s), SIO_PACKET_EVENT,
                            sio_namespace_name(s->ns), false, 0, &msg);
    if (rv < 0)
        return rv;
    sio_namespace_tell(s->ns, &one, msg);
    eio_msg_unref(msg);
    return s->state == SIO_SOCKET_JOINED ? SIO_OK : SIO_ERR_CLOSED;
}

static int send_event(struct sio_socket *s, struct sio_message *m, bool has_id,
                      uint64_t id)
{
    struct eio_msg *msg;
    int rv = sio_message_encode(m, parser_of(s), SIO_PACKET_EVENT,
                                sio_namespace_name(s->ns), has_id, id, &msg);

    if (rv < 0)
        return rv;
    rv = sio_conn_send(s->conn, msg);
    eio_msg_unref(msg);
    return rv;
}

int sio_socket_emit(struct sio_socket *s, struct sio_message *m)
{
    int rv = before_emit(s, m);

    if (rv < 0)
        return rv;
    if (s->ns->recovery && !sio_message_is_volatile(m))
        return sio_recovery_emit(s, m);
    return send_event(s, m, false, 0);
}

int sio_socket_emit_ack(struct sio_socket *s, struct sio_message *m,
                        uint32_t timeout_ms, sio_ack_cb cb, void *user)
{
    uint64_t id;
    int rv = before_emit(s, m);

    if (rv < 0)
        return rv;
    rv = sio_acks_add(&s->acks, s->ns->server->loop, timeout_ms, cb, user, &id);
    if (rv < 0)
        return rv;
    rv = send_event(s, m, true, id);
    if (rv < 0)
        sio_acks_drop(&s->acks, id);
    return rv;
}

void sio_socket_disconnect(struct sio_socket *s, bool close)
{
    if (close) {
        sio_conn_close(s->conn, false);
        return;
    }
    if (s->state != SIO_SOCKET_JOINED)
        return;
    sio_conn_send_packet(s->conn, SIO_PACKET_DISCONNECT, sio_namespace_name(s->ns),
                         (struct sio_str){NULL, 0});
    sio_socket_end(s, SIO_DISCONNECT_SERVER);
}

void sio_socket_abort(struct sio_socket *s)
{
    sio_conn_close(s->conn, true);
}

/* Handlers, middleware, listeners. */

int sio_socket_on(struct sio_socket *s, const char *event, sio_event_cb cb, void *user)
{
    return sio_hooks_on(&s->hooks, event, cb, user);
}

void sio_socket_off(struct sio_socket *s, const char *event)
{
    sio_hooks_off(s->hooks, event);
}

int sio_socket_use_event(struct sio_socket *s, sio_use_event_cb cb, void *user)
{
    struct sio_hook hook = {.cb.use = cb, .user = user};

    return sio_hooks_add(&s->hooks, SIO_CHAIN_EVENT, false, hook);
}

static int listen_to(struct sio_socket *s, enum sio_chain chain, bool in_front,
                     sio_event_cb cb, void *user)
{
    struct sio_hook hook = {.cb.any = cb, .user = user};
    int rv = sio_hooks_add(&s->hooks, chain, in_front, hook);

    if (rv == SIO_OK && chain == SIO_CHAIN_ANY_OUT && s->state == SIO_SOCKET_JOINED)
        s->ns->n_out++;
    return rv;
}

int sio_socket_on_any(struct sio_socket *s, sio_event_cb cb, void *user)
{
    return listen_to(s, SIO_CHAIN_ANY, false, cb, user);
}

int sio_socket_prepend_any(struct sio_socket *s, sio_event_cb cb, void *user)
{
    return listen_to(s, SIO_CHAIN_ANY, true, cb, user);
}

void sio_socket_off_any(struct sio_socket *s, sio_event_cb cb, void *user)
{
    sio_hooks_off_any(s->hooks, SIO_CHAIN_ANY, cb, user);
}

int sio_socket_on_any_outgoing(struct sio_socket *s, sio_event_cb cb, void *user)
{
    return listen_to(s, SIO_CHAIN_ANY_OUT, false, cb, user);
}

int sio_socket_prepend_any_outgoing(struct sio_socket *s, sio_event_cb cb, void *user)
{
    return listen_to(s, SIO_CHAIN_ANY_OUT, true, cb, user);
}

void sio_socket_off_any_outgoing(struct sio_socket *s, sio_event_cb cb, void *user)
{
    size_t n = sio_hooks_off_any(s->hooks, SIO_CHAIN_ANY_OUT, cb, user);

    if (s->state == SIO_SOCKET_JOINED)
        s->ns->n_out -= (unsigned)n;
}

/* Rooms. */

int sio_socket_join(struct sio_socket *s, struct sio_str room)
{
    if (s->state != SIO_SOCKET_JOINED)
        return SIO_ERR_CLOSED;
    return s->ns->adapter->ops->join(s->ns->adapter, s, room);
}

void sio_socket_leave(struct sio_socket *s, struct sio_str room)
{
    if (s->state == SIO_SOCKET_JOINED)
        s->ns->adapter->ops->leave(s->ns->adapter, s, room);
}

bool sio_socket_in(const struct sio_socket *s, struct sio_str room)
{
    return s->ns->adapter->ops->in(s->ns->adapter, s, room);
}

size_t sio_socket_rooms(const struct sio_socket *s, struct sio_str *out, size_t max)
{
    size_t n = 1;

    if (max > 0)
        out[0] = sio_socket_id(s);
    n += (size_t)s->ns->adapter->ops->rooms(s->ns->adapter, s, max > 0 ? out + 1 : NULL,
                                            max > 0 ? max - 1 : 0);
    return n;
}
