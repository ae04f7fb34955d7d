/*
 * pubsub_in.c - what the adapter of classic channels receives
 */
#include <config.h>

#include "base/json.h"
#include "base/mem.h"
#include "base/str.h"
#include "cluster/codec.h"
#include "cluster/local.h"
#include "cluster/pubsub.h"
#include "cluster/questions.h"
#include "socketio/recovery.h"

/* False: it is too big, and rejected. */
static bool receive(struct pubsub *p, struct sio_str channel, struct sio_slice body,
                    size_t max)
{
    p->base.cluster->stats.n_received++;
    if (body.len <= max)
        return true;
    cluster_reject(p->base.cluster, channel, SIO_ERR_TOO_BIG);
    return false;
}

struct received {
    struct pubsub *p;
    struct sio_cluster_msg msg;
    int status;
};

static void on_event(struct sio_event *e, void *user)
{
    struct received *r = user;

    r->status = cluster_local_emit(pubsub_ns(r->p), &r->msg, e);
}

/*
 * True if the channel names a room that nobody here is in.  Who may come back to one
 * misses what is not kept for him.
 */
static bool is_elsewhere(struct pubsub *p, struct sio_str channel)
{
    const struct sio_recovery *recovery = pubsub_ns(p)->recovery;
    struct sio_str room = {channel.ptr + pubsub_channel(p).len,
                           channel.len - pubsub_channel(p).len};

    if (room.len == 0 || (recovery && recovery->n_tickets > recovery->n_present))
        return false;
    room.len--; /* the '#' */
    return sio_rooms_size(&p->base.rooms.base, room) == 0;
}

void pubsub_on_broadcast(struct cluster_topic *t, struct sio_str channel,
                         struct sio_slice body, void *user)
{
    struct received r = {.p = user};
    struct sio_cluster *c = r.p->base.cluster;
    int rv;

    (void)t;
    if (!receive(r.p, channel, body, cluster_max_message(&r.p->base)))
        return;
    if (!str_starts(channel, pubsub_channel(r.p)) || is_elsewhere(r.p, channel))
        return;
    if (sio_cluster_is_from(body, pubsub_uid(r.p))) {
        c->stats.n_foreign++;
        return;
    }
    rv = sio_cluster_read_broadcast(body, &r.msg);
    if (rv == SIO_OK)
        rv = sio_cluster_show_packet(r.msg.packet, pubsub_nsp(r.p), on_event, &r);
    if (rv == SIO_ERR_PROTOCOL)
        c->stats.n_foreign++;
    else if (rv < 0 || r.status < 0)
        cluster_reject(c, channel, rv < 0 ? rv : r.status);
    sio_cluster_msg_fini(&r.msg);
}

/* Requests */

/* A list of JSON values that fn writes, with the commas between. */
struct list_writer {
    struct wbuf w;
    bool more;
};

static void begin_item(struct list_writer *l)
{
    if (l->more)
        wbuf_add_byte(&l->w, ',');
    l->more = true;
}

static void add_name(struct list_writer *l, struct sio_str name)
{
    begin_item(l);
    json_write_string(&l->w, name);
}

static void list_begin(struct list_writer *l, const struct cluster_origin *to,
                       const char *key)
{
    l->more = false;
    wbuf_init(&l->w, UINT32_MAX);
    sio_cluster_write_list(&l->w, to->request_id, key);
}

static void list_end(struct list_writer *l, struct pubsub *p,
                     const struct cluster_origin *to)
{
    wbuf_add_cstr(&l->w, "]}");
    if (l->w.error == SIO_OK)
        pubsub_say(p, to, &l->w);
    wbuf_fini(&l->w);
}

static void answer_sockets(struct pubsub *p, const struct cluster_origin *to,
                           const struct sio_cluster_msg *msg)
{
    struct sio_target target = {
        .rooms = msg->names.items, .n_rooms = msg->names.n, .local = true};
    struct sio_socket_list sockets = {0};
    struct list_writer l;

    if (sio_rooms_sockets(&p->base.rooms.base, &target, &sockets) == SIO_OK) {
        list_begin(&l, to, "sockets");
        for (size_t i = 0; i < sockets.n; i++)
            add_name(&l, sio_socket_id(sockets.items[i]));
        list_end(&l, p, to);
    }
    mem_free(sockets.items);
}

/* A socket's id is the name of a room, too. */
static void answer_all_rooms(struct pubsub *p, const struct cluster_origin *to)
{
    const struct map *maps[] = {&pubsub_ns(p)->sockets, &p->base.rooms.rooms};
    struct list_writer l;
    struct map_node *node;
    struct map_pos pos;

    list_begin(&l, to, "rooms");
    for (size_t i = 0; i < N_ELEMENTS(maps); i++)
        for (node = map_first(maps[i], &pos); node; node = map_next(maps[i], &pos))
            add_name(&l, node->key);
    list_end(&l, p, to);
}

struct fetching {
    struct pubsub *p;
    const struct cluster_origin *to;
};

static void on_fetched(int status, const struct sio_fetched *list, size_t n, void *user)
{
    const struct fetching *f = user;
    struct list_writer l;

    if (status < 0)
        return;
    list_begin(&l, f->to, "sockets");
    for (size_t i = 0; i < n; i++) {
        begin_item(&l);
        sio_cluster_write_socket(&l.w, &list[i]);
    }
    list_end(&l, f->p, f->to);
}

static int answer_fetch(struct pubsub *p, const struct cluster_origin *to,
                        const struct sio_cluster_msg *msg)
{
    struct sio_target target = cluster_local_target(msg);
    struct fetching f = {p, to};

    return sio_namespace_fetch(pubsub_ns(p), &target, on_fetched, &f);
}

/* Of older peers: one socket and one room, and an answer that it was done. */
static void obey_old(struct pubsub *p, const struct cluster_origin *from,
                     const struct sio_cluster_msg *msg)
{
    struct sio_socket *s = sio_namespace_find(pubsub_ns(p), msg->sid);
    struct wbuf w;

    if (!s)
        return;
    if (msg->type == SIO_CLUSTER_JOIN)
        (void)sio_socket_join(s, msg->room);
    else if (msg->type == SIO_CLUSTER_LEAVE)
        sio_socket_leave(s, msg->room);
    else
        sio_socket_disconnect(s, msg->close);
    wbuf_init(&w, UINT32_MAX);
    wbuf_add_cstr(&w, "{\"requestId\":");
    json_write_string(&w, from->request_id);
    wbuf_add_byte(&w, '}');
    if (w.error == SIO_OK)
        pubsub_say(p, from, &w);
    wbuf_fini(&w);
}

static int obey(struct pubsub *p, const struct cluster_origin *from,
                const struct sio_cluster_msg *msg)
{
    struct sio_target target = cluster_local_target(msg);

    if (!msg->has_opts) {
        obey_old(p, from, msg);
        return SIO_OK;
    }
    switch (msg->type) {
    case SIO_CLUSTER_JOIN:
        return sio_namespace_join_all(pubsub_ns(p), &target, msg->names.items,
                                      msg->names.n);
    case SIO_CLUSTER_LEAVE:
        return sio_namespace_leave_all(pubsub_ns(p), &target, msg->names.items,
                                       msg->names.n);
    default: return sio_namespace_disconnect_all(pubsub_ns(p), &target, msg->close);
    }
}

static struct cluster_origin origin_of(const struct sio_cluster_msg *msg)
{
    struct cluster_origin from = {msg->uid, msg->request_id};

    return from;
}

static void on_question(struct sio_event *e, void *user)
{
    struct received *r = user;
    struct cluster_origin from = origin_of(&r->msg);

    r->status = cluster_local_ask(&r->p->base, &from, &r->msg, e);
}

static void on_side(struct sio_event *e, void *user)
{
    struct received *r = user;
    struct cluster_origin from = origin_of(&r->msg);

    cluster_local_side(&r->p->base, from.request_id.ptr ? &from : NULL, e);
}

static int carry_out(struct received *r)
{
    const struct sio_cluster_msg *msg = &r->msg;
    struct cluster_origin from = origin_of(msg);

    switch ((enum sio_cluster_type)msg->type) {
    case SIO_CLUSTER_SOCKETS: answer_sockets(r->p, &from, msg); break;
    case SIO_CLUSTER_ALL_ROOMS: answer_all_rooms(r->p, &from); break;
    case SIO_CLUSTER_JOIN:
    case SIO_CLUSTER_LEAVE:
    case SIO_CLUSTER_DISCONNECT: return obey(r->p, &from, msg);
    case SIO_CLUSTER_FETCH: return answer_fetch(r->p, &from, msg);
    case SIO_CLUSTER_SIDE_EMIT: return sio_cluster_show_event(msg->data, on_side, r);
    case SIO_CLUSTER_BROADCAST:
        return sio_cluster_show_packet(msg->packet, pubsub_nsp(r->p), on_question, r);
    case SIO_CLUSTER_CLIENT_COUNT:
    case SIO_CLUSTER_ACK: break; /* not read as requests */
    }
    return SIO_OK;
}

static void come_back(struct pubsub *p, struct sio_str request_id)
{
    struct cluster_question *q = NULL;

    p->base.cluster->stats.n_foreign++;
    if (request_id.ptr)
        q = cluster_question_find(&p->base, request_id);
    if (q)
        cluster_question_echo(q);
}

void pubsub_on_request(struct cluster_topic *t, struct sio_str channel,
                       struct sio_slice body, void *user)
{
    struct received r = {.p = user};
    struct sio_cluster *c = r.p->base.cluster;
    int rv;

    (void)t;
    if (!receive(r.p, channel, body, cluster_max_message(&r.p->base)))
        return;
    rv = sio_cluster_read_request(body, &r.msg);
    if (rv == SIO_OK && str_eq(r.msg.uid, pubsub_uid(r.p)))
        come_back(r.p, r.msg.request_id);
    else if (rv == SIO_OK)
        rv = carry_out(&r);
    if (rv < 0 || r.status < 0)
        cluster_reject(c, channel, rv < 0 ? rv : r.status);
    sio_cluster_msg_fini(&r.msg);
}

/* Responses */

static int add_socket(const struct sio_fetched *s, void *user)
{
    return sio_fetch_add(user, s);
}

static void on_ack(struct sio_event *e, void *user)
{
    cluster_question_ack(user, SIO_OK, e);
}

static void on_side_answer(struct sio_event *e, void *user)
{
    sio_answers_add(user, SIO_STR(""), SIO_OK, e);
}

static int take_fetched(struct pubsub *p, struct cluster_question *q,
                        const struct sio_cluster_msg *msg)
{
    int rv;

    if (!msg->sockets.ptr)
        return SIO_ERR_PROTOCOL;
    rv = sio_cluster_each_socket(msg->sockets, pubsub_nsp(p), add_socket, q->to.fetch);
    cluster_question_answered(q, 0);
    return rv;
}

static int take_side(struct cluster_question *q, const struct sio_cluster_msg *msg)
{
    int rv;

    if (!msg->has_type || msg->type != SIO_CLUSTER_SIDE_EMIT)
        return SIO_ERR_PROTOCOL;
    rv = sio_cluster_show_answer(msg->data, on_side_answer, q->to.answers);
    if (rv < 0)
        sio_answers_add(q->to.answers, SIO_STR(""), rv, NULL);
    cluster_question_answered(q, 0);
    return rv;
}

static int take_asked(struct cluster_question *q, const struct sio_cluster_msg *msg)
{
    int rv;

    if (msg->has_type && msg->type == SIO_CLUSTER_CLIENT_COUNT) {
        cluster_question_answered(q, msg->client_count);
        return SIO_OK;
    }
    if (!msg->has_type || msg->type != SIO_CLUSTER_ACK)
        return SIO_ERR_PROTOCOL;
    rv = sio_cluster_show_ack(msg->packet, on_ack, q);
    if (rv < 0)
        cluster_question_ack(q, rv, NULL);
    return rv;
}

static int take_answer(struct pubsub *p, struct cluster_question *q,
                       const struct sio_cluster_msg *msg)
{
    switch (q->kind) {
    case CLUSTER_FETCH: return take_fetched(p, q, msg);
    case CLUSTER_SIDE: return take_side(q, msg);
    case CLUSTER_ASK: return take_asked(q, msg);
    }
    return SIO_OK;
}

void pubsub_on_response(struct cluster_topic *t, struct sio_str channel,
                        struct sio_slice body, void *user)
{
    struct pubsub *p = user;
    struct cluster_question *q;
    struct sio_cluster_msg msg;
    int rv;

    (void)t;
    if (!receive(p, channel, body, CLUSTER_MAX_ANSWER))
        return;
    /* What others asked need not be read. */
    if (list_empty(&p->base.questions)) {
        p->base.cluster->stats.n_foreign++;
        return;
    }
    rv = sio_cluster_read_response(body, &msg);
    if (rv == SIO_OK) {
        q = cluster_question_find(&p->base, msg.request_id);
        if (q)
            rv = take_answer(p, q, &msg);
        else
            p->base.cluster->stats.n_foreign++;
    }
    if (rv < 0)
        cluster_reject(p->base.cluster, channel, rv);
    sio_cluster_msg_fini(&msg);
}
