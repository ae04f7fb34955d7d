/*
 * sharded.c - the adapter of sharded channels, and what it sends
 */
#include <config.h>

#include "cluster/sharded.h"

#include "base/mem.h"
#include "base/str.h"
#include "cluster/calls.h"

static const struct sio_str no_answer;

static const struct sharded *const_sharded(const struct cluster_adapter *a)
{
    return container_of(a, const struct sharded, base);
}

/*
 * Words
 */

static const struct cluster_topic *all_servers(const struct cluster_adapter *a)
{
    return &const_sharded(a)->all;
}

static bool has_channel(const struct cluster_adapter *a, struct sio_str room)
{
    return sharded_has_channel(const_sharded(a), room);
}

static int write_broadcast(const struct cluster_adapter *a, struct wbuf *w,
                           struct sio_cluster_refs *refs,
                           const struct sio_target *target, struct sio_message *m)
{
    const struct sio_sharded_sender me = sharded_me(const_sharded(a));

    return sio_sharded_write_broadcast(w, refs, &me, no_answer, target, m, 0);
}

static int write_ask(const struct cluster_adapter *a, struct wbuf *w, struct sio_str id,
                     const struct sio_target *target, struct sio_message *m,
                     uint32_t timeout_ms)
{
    const struct sio_sharded_sender me = sharded_me(const_sharded(a));

    return sio_sharded_write_broadcast(w, NULL, &me, id, target, m, timeout_ms);
}

static int write_order(const struct cluster_adapter *a, struct wbuf *w,
                       enum cluster_order what, struct sio_str id,
                       const struct sio_target *target, const struct sio_str *rooms,
                       size_t n, bool close)
{
    static const enum sio_sharded_type types[] = {
        [CLUSTER_JOIN] = SIO_SHARDED_JOIN,
        [CLUSTER_LEAVE] = SIO_SHARDED_LEAVE,
        [CLUSTER_DISCONNECT] = SIO_SHARDED_DISCONNECT,
        [CLUSTER_LIST] = SIO_SHARDED_FETCH,
    };
    const struct sio_sharded_sender me = sharded_me(const_sharded(a));

    return sio_sharded_write_request(w, &me, types[what], id, target, rooms, n, close);
}

static int write_side(const struct cluster_adapter *a, struct wbuf *w,
                      struct sio_str id, struct sio_message *m)
{
    const struct sio_sharded_sender me = sharded_me(const_sharded(a));

    return sio_sharded_write_side_emit(w, &me, id, m);
}

static const struct cluster_words words = {
    .kind = CLUSTER_SHARD,
    .all = all_servers,
    .has_channel = has_channel,
    .broadcast = write_broadcast,
    .ask = write_ask,
    .order = write_order,
    .side = write_side,
};

static int remote_join(struct sio_adapter *a, const struct sio_target *target,
                       const struct sio_str *rooms, size_t n)
{
    sharded_rooms_joined(sharded_of(a), rooms, n);
    return cluster_remote_join(a, target, rooms, n);
}

/*
 * Answers to others
 */

void sharded_say(struct sharded *s, const struct cluster_origin *to, struct wbuf *w)
{
    (void)cluster_publish_to(&s->base, CLUSTER_SHARD, to->uid, w, NULL,
                             CLUSTER_MAX_ANSWER);
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
    cluster_add_channel(&w, &s->base, sio_cluster_uid(s->base.cluster));
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

static int enter(struct sio_adapter *a, struct sio_socket *socket)
{
    return sharded_rooms_enter(sharded_of(a), sio_socket_id(socket));
}

static void leave_all(struct sio_adapter *a, struct sio_socket *socket)
{
    sio_rooms_leave_all(a, socket);
    sharded_rooms_leave(sharded_of(a), sio_socket_id(socket));
}

static const struct sio_adapter_ops adapter_ops = {
    .free = sharded_free,
    .enter = enter,
    .join = sio_rooms_join,
    .leave = sio_rooms_leave,
    .leave_all = leave_all,
    .in = sio_rooms_in,
    .room_size = sio_rooms_size,
    .broadcast = cluster_broadcast,
    .sockets = sio_rooms_sockets,
    .rooms = sio_rooms_of_socket,
    .remote_join = remote_join,
    .remote_leave = cluster_remote_leave,
    .remote_disconnect = cluster_remote_disconnect,
    .remote_ask = cluster_remote_ask,
    .remote_fetch = cluster_remote_fetch,
    .remote_side_emit = cluster_remote_side_emit,
};

struct sio_adapter *cluster_sharded_new(struct sio_cluster *c, struct sio_namespace *ns)
{
    struct sharded *s = mem_new(struct sharded);

    if (!s)
        return NULL;
    if (cluster_adapter_init(&s->base, c, &adapter_ops, &words, &answer_ops, ns) < 0) {
        mem_free(s);
        return NULL;
    }
    wbuf_init(&s->tails, UINT32_MAX);
    sharded_rooms_init(s);
    if (write_tails(s) < 0 || listen_all(s) < 0) {
        sharded_free(&s->base.rooms.base);
        return NULL;
    }
    return &s->base.rooms.base;
}
