/*
 * sharded_in.c - what the adapter of sharded channels receives
 */
#include <config.h>

#include "base/str.h"
#include "cluster/local.h"
#include "cluster/questions.h"
#include "cluster/sharded.h"

struct received {
    struct sharded *s;
    struct sio_cluster_msg msg;
    int status;
};

static struct cluster_origin origin_of(const struct sio_cluster_msg *msg)
{
    struct cluster_origin from = {msg->uid, msg->request_id};

    return from;
}

/*
 * What others want done here
 */

static void on_broadcast(struct sio_event *e, void *user)
{
    struct received *r = user;
    struct cluster_origin from = origin_of(&r->msg);

    r->status = from.request_id.ptr ? cluster_local_ask(&r->s->base, &from, &r->msg, e)
                                    : cluster_local_emit(sharded_ns(r->s), &r->msg, e);
}

static void on_side(struct sio_event *e, void *user)
{
    struct received *r = user;
    struct cluster_origin from = origin_of(&r->msg);

    cluster_local_side(&r->s->base, from.request_id.ptr ? &from : NULL, e);
}

static void on_fetched(int status, const struct sio_fetched *list, size_t n, void *user)
{
    struct received *r = user;
    struct cluster_origin to = origin_of(&r->msg);
    const struct sio_sharded_sender me = sharded_me(r->s);
    struct wbuf w;

    r->status = status;
    if (status < 0)
        return;
    wbuf_init(&w, UINT32_MAX);
    sio_sharded_begin_sockets(&w, to.request_id);
    for (size_t i = 0; i < n; i++) {
        if (i > 0)
            wbuf_add_byte(&w, ',');
        sio_cluster_write_socket(&w, &list[i]);
    }
    r->status = sio_sharded_end_sockets(&w, &me);
    if (r->status == SIO_OK)
        sharded_say(r->s, &to, &w);
    wbuf_fini(&w);
}

static int make_join(struct received *r, const struct sio_target *target)
{
    const struct sio_cluster_names *names = &r->msg.names;

    /* Another server may do so later than this one. */
    sharded_rooms_joined(r->s, names->items, names->n);
    return sio_namespace_join_all(sharded_ns(r->s), target, names->items, names->n);
}

static int carry_out(struct received *r)
{
    struct sio_namespace *ns = sharded_ns(r->s);
    const struct sio_cluster_msg *msg = &r->msg;
    struct sio_target target = cluster_local_target(msg);

    switch ((enum sio_sharded_type)msg->type) {
    case SIO_SHARDED_BROADCAST: return sio_sharded_show(msg, on_broadcast, r);
    case SIO_SHARDED_JOIN: return make_join(r, &target);
    case SIO_SHARDED_LEAVE:
        return sio_namespace_leave_all(ns, &target, msg->names.items, msg->names.n);
    case SIO_SHARDED_DISCONNECT:
        return sio_namespace_disconnect_all(ns, &target, msg->close);
    case SIO_SHARDED_FETCH: return sio_namespace_fetch(ns, &target, on_fetched, r);
    case SIO_SHARDED_SIDE_EMIT: return sio_sharded_show(msg, on_side, r);
    case SIO_SHARDED_FIRST_HEARTBEAT:
    case SIO_SHARDED_HEARTBEAT:
    case SIO_SHARDED_CLOSE:
    case SIO_SHARDED_SOCKETS:
    case SIO_SHARDED_SIDE_ANSWER:
    case SIO_SHARDED_CLIENT_COUNT:
    case SIO_SHARDED_ACK: break;
    }
    return SIO_OK;
}

/*
 * Answers
 */

static bool is_answer(const struct sio_cluster_msg *msg)
{
    return msg->type == SIO_SHARDED_SOCKETS || msg->type == SIO_SHARDED_SIDE_ANSWER ||
           msg->type == SIO_SHARDED_CLIENT_COUNT || msg->type == SIO_SHARDED_ACK;
}

/* What a question of a kind is answered with. */
static bool answers(const struct sio_cluster_msg *msg, const struct cluster_question *q)
{
    switch (q->kind) {
    case CLUSTER_FETCH: return msg->type == SIO_SHARDED_SOCKETS;
    case CLUSTER_SIDE: return msg->type == SIO_SHARDED_SIDE_ANSWER;
    case CLUSTER_ASK:
        return msg->type == SIO_SHARDED_CLIENT_COUNT || msg->type == SIO_SHARDED_ACK;
    }
    return false;
}

static int add_socket(const struct sio_fetched *s, void *user)
{
    return sio_fetch_add(user, s);
}

static void on_ack(struct sio_event *e, void *user)
{
    cluster_question_ack(user, SIO_OK, e);
}

/* A server that answers, for its name. */
struct answering {
    struct cluster_question *q;
    struct sio_str uid;
};

static void on_side_answer(struct sio_event *e, void *user)
{
    struct answering *a = user;

    (void)sio_answers_add(a->q->to.answers, a->uid, SIO_OK, e);
}

static int take_side(struct cluster_question *q, const struct sio_cluster_msg *msg)
{
    struct answering a = {q, msg->uid};
    int rv = sio_sharded_show(msg, on_side_answer, &a);

    if (rv < 0)
        (void)sio_answers_add(q->to.answers, msg->uid, rv, NULL);
    cluster_question_answered(q, 0);
    return rv;
}

static int take_ack(struct cluster_question *q, const struct sio_cluster_msg *msg)
{
    int rv = sio_sharded_show(msg, on_ack, q);

    if (rv < 0)
        cluster_question_ack(q, rv, NULL);
    return rv;
}

static int take_answer(struct received *r)
{
    const struct sio_cluster_msg *msg = &r->msg;
    struct cluster_question *q = cluster_question_find(&r->s->base, msg->request_id);
    int rv = SIO_OK;

    if (!q) { /* its time was over */
        r->s->base.cluster->stats.n_foreign++;
        return SIO_OK;
    }
    if (!answers(msg, q))
        return SIO_ERR_PROTOCOL;
    switch (q->kind) {
    case CLUSTER_FETCH:
        rv = sio_cluster_each_socket(msg->sockets, msg->nsp, add_socket, q->to.fetch);
        cluster_question_answered(q, 0);
        break;
    case CLUSTER_SIDE: rv = take_side(q, msg); break;
    case CLUSTER_ASK:
        if (msg->type == SIO_SHARDED_ACK)
            return take_ack(q, msg);
        cluster_question_answered(q, msg->client_count);
        break;
    }
    return rv;
}

/*
 * Messages
 */

static bool ends_with(struct sio_slice body, struct sio_str tail)
{
    return body.len >= tail.len &&
           memcmp(body.ptr + body.len - tail.len, tail.ptr, tail.len) == 0;
}

/*
 * All that this server publishes for all comes back to it.  Unless a question waits to be
 * seen again, nothing of it needs to be read.
 */
static bool is_own(const struct sharded *s, struct sio_slice body)
{
    struct sio_str tails = wbuf_str(&s->tails);
    struct sio_str json = {tails.ptr, s->json_tail_len};
    struct sio_str msgpack = {tails.ptr + json.len, tails.len - json.len};

    return list_empty(&s->base.questions) &&
           (ends_with(body, json) || ends_with(body, msgpack));
}

static void come_back(struct received *r)
{
    struct cluster_question *q = NULL;

    r->s->base.cluster->stats.n_foreign++;
    if (r->msg.request_id.ptr && !is_answer(&r->msg))
        q = cluster_question_find(&r->s->base, r->msg.request_id);
    if (q)
        cluster_question_echo(q);
}

static int handle(struct received *r, bool for_us)
{
    struct sharded *s = r->s;
    const struct sio_sharded_sender me = sharded_me(s);

    if (str_eq(r->msg.uid, me.uid)) {
        come_back(r);
        return SIO_OK;
    }
    if (!str_eq(r->msg.nsp, me.nsp)) {
        s->base.cluster->stats.n_foreign++;
        return SIO_OK;
    }
    if (is_answer(&r->msg))
        return take_answer(r);
    return for_us ? SIO_ERR_PROTOCOL : carry_out(r);
}

void sharded_on_message(struct cluster_topic *t, struct sio_str channel,
                        struct sio_slice body, void *user)
{
    struct received r = {.s = user};
    struct sio_cluster *c = r.s->base.cluster;
    bool for_us = t == &r.s->own;
    int rv;

    c->stats.n_received++;
    if (body.len > (for_us ? CLUSTER_MAX_ANSWER : cluster_max_message(&r.s->base))) {
        cluster_reject(c, channel, SIO_ERR_TOO_BIG);
        return;
    }
    if (is_own(r.s, body)) {
        c->stats.n_foreign++;
        return;
    }
    rv = sio_sharded_read(body, &r.msg);
    if (rv == SIO_OK)
        rv = handle(&r, for_us);
    if (rv < 0 || r.status < 0)
        cluster_reject(c, channel, rv < 0 ? rv : r.status);
    sio_cluster_msg_fini(&r.msg);
}
