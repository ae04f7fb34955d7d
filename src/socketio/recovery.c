#include <config.h>

#include "socketio/recovery.h"

#include <assert.h>

#include "base/json.h"
#include "base/mem.h"
#include "engineio/msg.h"
#include "socketio/client_conn.h"
#include "socketio/message.h"
#include "socketio/namespace.h"
#include "socketio/server.h"
#include "socketio/socket.h"

#define DEFAULT_MAX_BYTES        (16 * 1024 * 1024)
#define DEFAULT_MAX_PACKETS      10000
#define DEFAULT_MAX_WAITING      10000
#define DEFAULT_PING_INTERVAL_MS 25000
#define DEFAULT_PING_TIMEOUT_MS  20000
#define DEFAULT_QUEUE_BYTES      (4 * 1024 * 1024)

void sio_recovery_common_init(struct sio_recovery_common *common,
                              const struct sio_server_options *opts)
{
    const struct eio_server_options *engine = &opts->engine;
    struct sio_recovery_options *o = &common->options;

    *o = opts->recovery;
    if (o->max_bytes == 0)
        o->max_bytes = DEFAULT_MAX_BYTES;
    if (o->max_packets == 0)
        o->max_packets = DEFAULT_MAX_PACKETS;
    if (o->max_waiting == 0)
        o->max_waiting = DEFAULT_MAX_WAITING;

    /* A connection may be dead for as long before its heartbeat tells. */
    common->hold_ms = o->max_away_ms;
    common->hold_ms +=
        engine->ping_interval_ms ? engine->ping_interval_ms : DEFAULT_PING_INTERVAL_MS;
    common->hold_ms +=
        engine->ping_timeout_ms ? engine->ping_timeout_ms : DEFAULT_PING_TIMEOUT_MS;
    common->max_replay_bytes =
        engine->max_queue_bytes ? engine->max_queue_bytes : DEFAULT_QUEUE_BYTES;
    sio_history_pool_init(&common->pool, o->max_bytes);
    list_init(&common->waiting);
    common->n_waiting = 0;
}

static struct net_loop *loop_of(const struct sio_recovery *r)
{
    return r->ns->server->loop;
}

static struct sio_recovery_common *common_of(const struct sio_recovery *r)
{
    return &r->ns->server->recovery;
}

/* Tickets */

static struct sio_ticket *ticket_new(struct sio_recovery *r)
{
    struct sio_ticket *t = mem_new(struct sio_ticket);

    if (!t)
        return NULL;
    t->recovery = r;
    list_init(&t->link);
    list_init(&t->in_server);
    random_id(net_loop_random(loop_of(r)), t->pid);
    r->n_tickets++;
    sio_namespace_hold(r->ns);
    return t;
}

static void forget_rooms(struct sio_ticket *t)
{
    map_fini(&t->rooms);
    mem_free(t->room_nodes);
    t->room_nodes = NULL;
    t->n_rooms = 0;
}

/* The application is told last: it may do anything. */
static void ticket_free(struct sio_ticket *t)
{
    struct sio_recovery *r = t->recovery;
    void (*destroy)(void *data) = t->destroy_data;
    void *data = t->data;

    forget_rooms(t);
    sio_buf_unref(t->attributes);
    mem_free(t);
    if (--r->n_tickets == 0)
        sio_history_clear(&r->history);
    sio_namespace_release(r->ns);
    if (destroy)
        destroy(data);
}

static struct sio_ticket *first_to_expire(const struct sio_recovery *r)
{
    return list_empty(&r->by_expiry)
               ? NULL
               : container_of(r->by_expiry.next, struct sio_ticket, link);
}

/* waiting -> held by nobody. */
static void take_out(struct sio_ticket *t)
{
    map_remove(&t->recovery->waiting, &t->node);
    list_remove(&t->link);
    list_remove(&t->in_server);
    common_of(t->recovery)->n_waiting--;
    sio_namespace_release(t->recovery->ns);
}

static void expire(struct sio_ticket *t)
{
    take_out(t);
    ticket_free(t);
}

/* Lets the timer run for what is due first.  SIO_OK or SIO_ERR_NOMEM. */
static int arm(struct sio_recovery *r)
{
    const struct sio_ticket *first = first_to_expire(r);
    uint64_t now_ms = net_loop_now_ms(loop_of(r));
    uint64_t due_ms = sio_history_due(&r->history);

    if (first && first->expires_ms < due_ms)
        due_ms = first->expires_ms;
    if (due_ms == UINT64_MAX ||
        (net_timer_running(&r->timer) && r->timer_due_ms <= due_ms))
        return SIO_OK;
    r->timer_due_ms = due_ms;
    return net_timer_start(&r->timer, due_ms > now_ms ? due_ms - now_ms : 0);
}

static void on_due(struct net_timer *timer, void *user)
{
    struct sio_recovery *r = user;
    uint64_t now_ms = net_loop_now_ms(loop_of(r));
    struct sio_ticket *t;

    (void)timer;
    while ((t = first_to_expire(r)) != NULL && t->expires_ms <= now_ms)
        expire(t);
    sio_history_trim(&r->history, now_ms);
    arm(r);
}

/*
 * held -> waiting, until its time.  A ticket that was refused has an earlier time than
 * the newest ones.
 */
static void wait_for_client(struct sio_ticket *t)
{
    struct sio_recovery *r = t->recovery;
    struct sio_recovery_common *common = common_of(r);
    struct list *before = r->by_expiry.prev;

    if (map_add(&r->waiting, &t->node, (struct sio_str){t->pid, RANDOM_ID_LEN}) < 0) {
        ticket_free(t);
        return;
    }
    sio_namespace_hold(r->ns);
    while (before != &r->by_expiry &&
           container_of(before, struct sio_ticket, link)->expires_ms > t->expires_ms)
        before = before->prev;
    list_prepend(before, &t->link);
    list_append(&common->waiting, &t->in_server);
    common->n_waiting++;
    if (arm(r) < 0)
        expire(t);
    else if (common->n_waiting > common->options.max_waiting)
        expire(container_of(common->waiting.next, struct sio_ticket, in_server));
}

/* Names a socket's rooms, its own among them, in one block. */
static int keep_rooms(struct sio_ticket *t, const struct sio_socket *s)
{
    size_t n = sio_socket_rooms(s, NULL, 0);
    struct sio_str *names = mem_array(n, sizeof(*names));
    size_t size = n * sizeof(struct map_node);
    char *text;

    if (!names)
        return SIO_ERR_NOMEM;
    sio_socket_rooms(s, names, n);
    for (size_t i = 0; i < n; i++)
        size += names[i].len;
    t->room_nodes = mem_alloc(size);
    if (t->room_nodes) {
        text = (char *)(t->room_nodes + n);
        for (size_t i = 0; i < n; i++) {
            memcpy(text, names[i].ptr, names[i].len);
            t->room_nodes[i].key = (struct sio_str){text, names[i].len};
            text += names[i].len;
        }
        t->n_rooms = n;
    }
    mem_free(names);
    return t->room_nodes ? SIO_OK : SIO_ERR_NOMEM;
}

/* Attributes and the data that has a destructor change hands. */
static void keep_state(struct sio_ticket *t, struct sio_socket *s)
{
    if (s->hooks) {
        t->attributes = s->hooks->attributes;
        s->hooks->attributes = NULL;
    }
    if (!s->destroy_data)
        return;
    t->data = s->data;
    t->destroy_data = s->destroy_data;
    s->data = NULL;
    s->destroy_data = NULL;
}

static int give_state(struct sio_ticket *t, struct sio_socket *s)
{
    if (t->attributes) {
        if (!sio_hooks_need(&s->hooks))
            return SIO_ERR_NOMEM;
        s->hooks->attributes = t->attributes;
        t->attributes = NULL;
    }
    s->data = t->data;
    s->destroy_data = t->destroy_data;
    t->data = NULL;
    t->destroy_data = NULL;
    return SIO_OK;
}

/* Makes its rooms findable. */
static int index_rooms(struct sio_ticket *t)
{
    map_init(&t->rooms);
    for (size_t i = 0; i < t->n_rooms; i++)
        if (map_add(&t->rooms, &t->room_nodes[i], t->room_nodes[i].key) < 0) {
            map_fini(&t->rooms);
            return SIO_ERR_NOMEM;
        }
    return SIO_OK;
}

/* The recovery */

struct sio_recovery *sio_recovery_new(struct sio_namespace *ns)
{
    struct sio_recovery *r = mem_new(struct sio_recovery);
    struct sio_recovery_common *common;

    if (!r)
        return NULL;
    r->ns = ns;
    common = common_of(r);
    sio_history_init(&r->history, &common->pool, common->options.max_packets,
                     common->hold_ms, net_loop_random(loop_of(r)));
    map_init(&r->waiting);
    list_init(&r->by_expiry);
    net_timer_init(&r->timer, loop_of(r), on_due, r);
    return r;
}

void sio_recovery_free(struct sio_recovery *r)
{
    if (!r)
        return;
    while (!list_empty(&r->by_expiry))
        expire(first_to_expire(r));
    assert(r->n_tickets == 0);
    net_timer_stop(&r->timer);
    sio_history_fini(&r->history);
    map_fini(&r->waiting);
    mem_free(r);
}

/* A member of auth that is a text without escapes. */
static bool get_text(struct sio_str auth, const char *name, struct sio_str *out)
{
    struct sio_str raw;

    return json_get(auth, name, &raw) && json_type(raw) == JSON_STRING &&
           json_string_plain(raw, out);
}

/* What a client would be sent at once must fit into its queue. */
static bool may_replay(const struct sio_ticket *t)
{
    size_t left = common_of(t->recovery)->max_replay_bytes;
    uint64_t number = t->last;
    const struct eio_msg *msg;

    while ((msg = sio_history_next(&t->recovery->history, &t->rooms, &number))) {
        if (msg->bytes > left)
            return false;
        left -= msg->bytes;
    }
    return true;
}

/* The ticket that auth presents, if its client can go on where it was; else NULL. */
static struct sio_ticket *find_ticket(struct sio_recovery *r, struct sio_str auth)
{
    struct sio_str pid, offset;
    struct map_node *node;
    struct sio_ticket *t;
    uint64_t last;

    if (!auth.ptr || !get_text(auth, "pid", &pid) || !get_text(auth, "offset", &offset))
        return NULL;
    node = map_find(&r->waiting, pid);
    if (!node || !sio_history_find(&r->history, offset, &last))
        return NULL;
    t = container_of(node, struct sio_ticket, node);
    if (t->expires_ms <= net_loop_now_ms(loop_of(r)) || index_rooms(t) < 0)
        return NULL;
    t->last = last;
    if (may_replay(t))
        return t;
    map_fini(&t->rooms);
    return NULL;
}

int sio_recovery_open(struct sio_socket *s, struct sio_str auth)
{
    struct sio_recovery *r = s->ns->recovery;
    struct sio_ticket *t = find_ticket(r, auth);

    if (!t) {
        s->ticket = ticket_new(r);
        return s->ticket ? SIO_OK : SIO_ERR_NOMEM;
    }
    if (give_state(t, s) < 0) {
        map_fini(&t->rooms);
        return SIO_ERR_NOMEM;
    }
    take_out(t);
    memcpy(s->id, t->id, sizeof(s->id));
    s->recovered = true;
    s->ticket = t;
    return SIO_OK;
}

void sio_recovery_abandon(struct sio_socket *s)
{
    struct sio_ticket *t = s->ticket;

    s->ticket = NULL;
    if (!s->recovered) {
        ticket_free(t);
        return;
    }
    keep_state(t, s);
    map_fini(&t->rooms);
    wait_for_client(t);
}

/* Too much was sent while it was asked whether it may join. */
static void give_up(struct sio_socket *s)
{
    forget_rooms(s->ticket);
    random_id(net_loop_random(loop_of(s->ticket->recovery)), s->ticket->pid);
    s->recovered = false;
}

int sio_recovery_enter(struct sio_socket *s)
{
    struct sio_ticket *t = s->ticket;
    struct sio_adapter *a = s->ns->adapter;

    if (s->recovered && !sio_history_covers(&t->recovery->history, t->last))
        give_up(s);
    for (size_t i = 0; i < t->n_rooms; i++) {
        int rv = a->ops->join(a, s, t->room_nodes[i].key);

        if (rv < 0)
            return rv;
    }
    t->recovery->n_present++;
    return SIO_OK;
}

void sio_recovery_replay(struct sio_socket *s)
{
    struct sio_ticket *t = s->ticket;
    struct eio_msg *msg;

    if (!s->recovered)
        return;
    while ((msg = sio_history_next(&t->recovery->history, &t->rooms, &t->last)))
        if (sio_conn_send(s->conn, msg) < 0)
            break;
    forget_rooms(t);
}

void sio_recovery_leave(struct sio_socket *s)
{
    s->ticket->recovery->n_present--;
}

static bool is_recoverable(enum sio_disconnect_reason reason)
{
    switch (reason) {
    case SIO_DISCONNECT_TRANSPORT_CLOSE:
    case SIO_DISCONNECT_TRANSPORT_ERROR:
    case SIO_DISCONNECT_PING_TIMEOUT:
    case SIO_DISCONNECT_FORCED:
    case SIO_DISCONNECT_FORCED_SERVER:
    case SIO_DISCONNECT_SHUTDOWN: return true;
    case SIO_DISCONNECT_CLIENT:
    case SIO_DISCONNECT_SERVER:
    case SIO_DISCONNECT_PARSE_ERROR: return false;
    }
    return false;
}

void sio_recovery_close(struct sio_socket *s, enum sio_disconnect_reason reason)
{
    struct sio_ticket *t = s->ticket;
    struct sio_recovery *r = t->recovery;

    s->ticket = NULL;
    if (!is_recoverable(reason) || s->conn->dismissed || keep_rooms(t, s) < 0) {
        ticket_free(t);
        return;
    }
    memcpy(t->id, s->id, sizeof(t->id));
    keep_state(t, s);
    t->expires_ms = net_loop_now_ms(loop_of(r)) + common_of(r)->options.max_away_ms;
    wait_for_client(t);
}

/* Sending */

static int encode(struct sio_recovery *r, struct sio_message *m, struct eio_msg **msg)
{
    return sio_message_encode(m, r->ns->server->codec.parser, SIO_PACKET_EVENT,
                              sio_namespace_name(r->ns), false, 0, msg);
}

static void remember(struct sio_recovery *r, const struct sio_target *target,
                     struct eio_msg *msg)
{
    sio_history_add(&r->history, net_loop_now_ms(loop_of(r)), target, msg);
    arm(r); /* if it cannot, the next event trims */
}

int sio_recovery_emit(struct sio_socket *s, struct sio_message *m)
{
    struct sio_recovery *r = s->ns->recovery;
    struct sio_str id = sio_socket_id(s);
    struct sio_target target = {.rooms = &id, .n_rooms = 1};
    char offset[SIO_HISTORY_OFFSET_MAX];
    struct eio_msg *msg;
    int rv;

    sio_message_set_offset(
        m, (struct sio_str){offset, sio_history_offset(&r->history, offset)});
    rv = encode(r, m, &msg);
    if (rv == SIO_OK) {
        rv = sio_conn_send(s->conn, msg);
        if (s->ticket)
            remember(r, &target, msg);
        eio_msg_unref(msg);
    }
    sio_message_set_offset(m, (struct sio_str){NULL, 0});
    return rv;
}

/*
 * What was sent to nobody is kept for those that are away; without any it was not even
 * encoded.
 */
static void remember_broadcast(struct sio_recovery *r, const struct sio_target *target,
                               struct sio_message *m)
{
    struct eio_msg *msg;

    if (r->n_tickets == 0 || (r->n_tickets == r->n_present && !sio_message_encoded(m)))
        return;
    if (encode(r, m, &msg) < 0) {
        sio_history_clear(&r->history);
        return;
    }
    remember(r, target, msg);
    eio_msg_unref(msg);
}

int sio_recovery_broadcast(struct sio_namespace *ns, const struct sio_target *target,
                           struct sio_message *m)
{
    struct sio_recovery *r = ns->recovery;
    char offset[SIO_HISTORY_OFFSET_MAX];
    int rv;

    sio_message_set_offset(
        m, (struct sio_str){offset, sio_history_offset(&r->history, offset)});
    rv = ns->adapter->ops->broadcast(ns->adapter, target, m);
    if (rv >= 0)
        remember_broadcast(r, target, m);
    sio_message_set_offset(m, (struct sio_str){NULL, 0});
    return rv;
}
