/*
 * sharded.c - the adapter of sharded channels, and what it sends
 */
#include <config.h>

#include "cluster/sharded.h"

#include "base/mem.h"
#include "base/str.h"
#include "cluster/questions.h"

static const struct sio_str no_answer;

/*
 * Going out
 */

void sharded_add_channel(struct wbuf *w, const struct sharded *s, struct sio_str name)
{
    wbuf_add_str(w, sharded_channel(s));
    wbuf_add_str(w, name);
    wbuf_add_byte(w, '#');
}

static int publish(struct sharded *s, struct wbuf *w,
                   const struct sio_cluster_refs *refs)
{
    return cluster_publish(s->base.cluster, CLUSTER_SHARD, sharded_channel(s), w, refs);
}

static int publish_to(struct sharded *s, struct sio_str name, struct wbuf *w,
                      const struct sio_cluster_refs *refs)
{
    struct wbuf channel;
    int rv;

    wbuf_init(&channel, UINT32_MAX);
    sharded_add_channel(&channel, s, name);
    rv = channel.error < 0 ? channel.error
                           : cluster_publish(s->base.cluster, CLUSTER_SHARD,
                                             wbuf_str(&channel), w, refs);
    wbuf_fini(&channel);
    return rv;
}

/*
 * Sockets here have it before Redis does: it may be away, or hang.  What it does not take
 * is lost for the others, and counted.
 */
static int broadcast(struct sio_adapter *a, const struct sio_target *target,
                     struct sio_message *m)
{
    struct sharded *s = sharded_of(a);
    const struct sio_sharded_sender me = sharded_me(s);
    struct sio_cluster_refs refs = {.n = 0};
    int n = sio_rooms_broadcast(a, target, m);
    struct wbuf w;
    int rv;

    if (n < 0 || (target && target->local))
        return n;
    wbuf_init(&w, UINT32_MAX);
    rv = sio_sharded_write_broadcast(&w, &refs, &me, no_answer, target, m, 0);
    if (rv == SIO_OK) {
        if (target && target->n_rooms == 1 && sharded_has_channel(s, target->rooms[0]))
            (void)publish_to(s, target->rooms[0], &w, &refs);
        else
            (void)publish(s, &w, &refs);
    }
    sio_cluster_refs_fini(&refs);
    wbuf_fini(&w);
    return rv < 0 ? rv : n;
}

static int order(struct sharded *s, enum sio_sharded_type type,
                 const struct sio_target *target, const struct sio_str *names, size_t n,
                 bool close)
{
    const struct sio_sharded_sender me = sharded_me(s);
    struct wbuf w;
    int rv;

    wbuf_init(&w, UINT32_MAX);
    rv = sio_sharded_write_request(&w, &me, type, no_answer, target, names, n, close);
    if (rv == SIO_OK)
        rv = publish(s, &w, NULL);
    wbuf_fini(&w);
    return rv;
}

static int remote_join(struct sio_adapter *a, const struct sio_target *target,
                       const struct sio_str *rooms, size_t n)
{
    struct sharded *s = sharded_of(a);

    sharded_rooms_joined(s, rooms, n);
    return order(s, SIO_SHARDED_JOIN, target, rooms, n, false);
}

static int remote_leave(struct sio_adapter *a, const struct sio_target *target,
                        const struct sio_str *rooms, size_t n)
{
    return order(sharded_of(a), SIO_SHARDED_LEAVE, target, rooms, n, false);
}

static int remote_disconnect(struct sio_adapter *a, const struct sio_target *target,
                             bool close)
{
    return order(sharded_of(a), SIO_SHARDED_DISCONNECT, target, NULL, 0, close);
}

static int question_new(struct sharded *s, enum cluster_question_kind kind,
                        uint32_t timeout_ms, struct cluster_question **q)
{
    return cluster_question_new(&s->base, kind, timeout_ms, CLUSTER_SHARD,
                                sharded_channel(s), s->all.confirmed, q);
}

/* Publishes a question that was written with status rv; it starts, or goes. */
static int ask(struct sharded *s, struct cluster_question *q, struct wbuf *w, int rv,
               struct sio_answers *answers, struct sio_fetch *fetch)
{
    if (rv == SIO_OK)
        rv = publish(s, w, NULL);
    wbuf_fini(w);
    if (rv == SIO_OK)
        cluster_question_start(q, answers, fetch);
    else
        cluster_question_cancel(q);
    return rv;
}

/* To all, also where it is for one room: all are counted, and all say how many they ask. */
static int remote_ask(struct sio_adapter *a, const struct sio_target *target,
                      struct sio_message *m, uint32_t timeout_ms,
                      struct sio_answers *answers)
{
    struct sharded *s = sharded_of(a);
    const struct sio_sharded_sender me = sharded_me(s);
    struct cluster_question *q;
    struct wbuf w;
    int rv;

    if (timeout_ms == 0)
        timeout_ms = s->base.cluster->request_timeout_ms;
    rv = question_new(s, CLUSTER_ASK, timeout_ms, &q);
    if (rv < 0)
        return rv;
    wbuf_init(&w, UINT32_MAX);
    rv = sio_sharded_write_broadcast(&w, NULL, &me, cluster_question_id(q), target, m,
                                     timeout_ms);
    return ask(s, q, &w, rv, answers, NULL);
}

static int remote_fetch(struct sio_adapter *a, const struct sio_target *target,
                        struct sio_fetch *fetch)
{
    struct sharded *s = sharded_of(a);
    const struct sio_sharded_sender me = sharded_me(s);
    struct cluster_question *q;
    struct wbuf w;
    int rv = question_new(s, CLUSTER_FETCH, 0, &q);

    if (rv < 0)
        return rv;
    wbuf_init(&w, UINT32_MAX);
    rv = sio_sharded_write_request(&w, &me, SIO_SHARDED_FETCH, cluster_question_id(q),
                                   target, NULL, 0, false);
    return ask(s, q, &w, rv, NULL, fetch);
}

static int remote_side_emit(struct sio_adapter *a, struct sio_message *m,
                            uint32_t timeout_ms, struct sio_answers *answers)
{
    struct sharded *s = sharded_of(a);
    const struct sio_sharded_sender me = sharded_me(s);
    struct cluster_question *q = NULL;
    struct wbuf w;
    int rv = SIO_OK;

    if (answers)
        rv = question_new(s, CLUSTER_SIDE, timeout_ms, &q);
    if (rv < 0)
        return rv;
    wbuf_init(&w, UINT32_MAX);
    rv =
        sio_sharded_write_side_emit(&w, &me, q ? cluster_question_id(q) : no_answer, m);
    if (q)
        return ask(s, q, &w, rv, answers, NULL);
    if (rv == SIO_OK)
        rv = publish(s, &w, NULL);
    wbuf_fini(&w);
    return rv;
}

/*
 * Answers to others
 */

void sharded_say(struct sharded *s, const struct cluster_origin *to, struct wbuf *w)
{
    (void)publish_to(s, to->uid, w, NULL);
}

static void say_count(struct cluster_adapter *a, const struct cluster_origin *to,
                      uint32_t n)
{
    struct sharded *s = container_of(a, struct sharded, base);
    const struct sio_sharded_sender me = sharded_me(s);
    struct wbuf w;

    wbuf_init(&w, UINT32_MAX);
    if (sio_sharded_write_count(&w, &me, to->request_id, n) == SIO_OK)
        sharded_say(s, to, &w);
    wbuf_fini(&w);
}

static int say(struct cluster_adapter *a, enum sio_sharded_type type,
               const struct cluster_origin *to, struct sio_event *e)
{
    struct sharded *s = container_of(a, struct sharded, base);
    const struct sio_sharded_sender me = sharded_me(s);
    struct wbuf w;
    int rv;

    wbuf_init(&w, UINT32_MAX);
    rv = sio_sharded_write_answer(&w, &me, type, to->request_id, e);
    if (rv == SIO_OK)
        sharded_say(s, to, &w);
    wbuf_fini(&w);
    return rv;
}

static void say_ack(struct cluster_adapter *a, const struct cluster_origin *to,
                    struct sio_event *e)
{
    (void)say(a, SIO_SHARDED_ACK, to, e);
}

static int say_side(struct cluster_adapter *a, const struct cluster_origin *to,
                    struct sio_event *e)
{
    return say(a, SIO_SHARDED_SIDE_ANSWER, to, e);
}

static const struct cluster_answer_ops answer_ops = {say_count, say_ack, say_side};

/*
 * The adapter
 */

static int listen_own(struct sharded *s)
{
    struct cluster_bus *bus = s->base.cluster->bus;
    struct wbuf w;
    int rv;

    wbuf_init(&w, UINT32_MAX);
    sharded_add_channel(&w, s, sio_cluster_uid(s->base.cluster));
    rv = w.error < 0 ? w.error
                     : cluster_bus_listen(bus, &s->own, CLUSTER_SHARD, wbuf_str(&w),
                                          sharded_on_message, s);
    wbuf_fini(&w);
    return rv;
}

/* The channel of all last: once a question is heard, so is its answer. */
static int listen_all(struct sharded *s)
{
    int rv = listen_own(s);

    return rv < 0 ? rv
                  : cluster_bus_listen(s->base.cluster->bus, &s->all, CLUSTER_SHARD,
                                       sharded_channel(s), sharded_on_message, s);
}

static int write_tails(struct sharded *s)
{
    const struct sio_sharded_sender me = sharded_me(s);

    sio_sharded_write_tail(&s->tails, &me, false);
    s->json_tail_len = s->tails.len;
    return sio_sharded_write_tail(&s->tails, &me, true);
}

static void sharded_free(struct sio_adapter *a)
{
    struct sharded *s = sharded_of(a);
    struct cluster_bus *bus = s->base.cluster->bus;

    sharded_rooms_fini(s);
    cluster_bus_unlisten(bus, &s->all);
    cluster_bus_unlisten(bus, &s->own);
    wbuf_fini(&s->tails);
    cluster_adapter_fini(&s->base);
    mem_free(s);
}

static const struct sio_adapter_ops adapter_ops = {
    .free = sharded_free,
    .join = sio_rooms_join,
    .leave = sio_rooms_leave,
    .leave_all = sio_rooms_leave_all,
    .in = sio_rooms_in,
    .room_size = sio_rooms_size,
    .broadcast = broadcast,
    .sockets = sio_rooms_sockets,
    .rooms = sio_rooms_of_socket,
    .remote_join = remote_join,
    .remote_leave = remote_leave,
    .remote_disconnect = remote_disconnect,
    .remote_ask = remote_ask,
    .remote_fetch = remote_fetch,
    .remote_side_emit = remote_side_emit,
};

/*
 * "/a#b" would have the channel of the room "b" in "/a", and clients may choose names: who
 * listens to one would not hear the other.
 */
static bool is_clear(const struct sio_cluster *c, struct sio_str name)
{
    if (!memchr(name.ptr, '#', name.len))
        return true;
    log_debug(net_loop_log(c->loop),
              "cluster: namespace=%.*s why=\"no '#' in the name of a namespace where "
              "channels are sharded\"",
              STR_ARG(name));
    return false;
}

static struct sharded *sharded_alloc(const struct sio_cluster *c, struct sio_str name)
{
    size_t key_len = strlen(c->key);
    struct sharded *s = mem_alloc(sizeof(*s) + key_len + name.len + 2);

    if (!s)
        return NULL;
    s->channel_len = key_len + name.len + 2;
    memcpy(s->channel, c->key, key_len);
    s->channel[key_len] = '#';
    memcpy(s->channel + key_len + 1, name.ptr, name.len);
    s->channel[key_len + 1 + name.len] = '#';
    wbuf_init(&s->tails, UINT32_MAX);
    return s;
}

struct sio_adapter *cluster_sharded_new(struct sio_cluster *c, struct sio_namespace *ns)
{
    struct sio_str name = sio_namespace_name(ns);
    struct sharded *s = is_clear(c, name) ? sharded_alloc(c, name) : NULL;

    if (!s)
        return NULL;
    if (cluster_adapter_init(&s->base, c, &adapter_ops, &answer_ops, ns) < 0) {
        mem_free(s);
        return NULL;
    }
    sharded_rooms_init(s);
    if (write_tails(s) < 0 || listen_all(s) < 0) {
        sharded_free(&s->base.rooms.base);
        return NULL;
    }
    return &s->base.rooms.base;
}
