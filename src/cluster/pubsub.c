/*
 * pubsub.c - the adapter of classic channels, and what it sends
 */
#include <config.h>

#include "cluster/pubsub.h"

#include "base/mem.h"
#include "base/str.h"
#include "cluster/calls.h"

static struct pubsub *pubsub_of(struct cluster_adapter *a)
{
    return container_of(a, struct pubsub, base);
}

static struct sio_str uid_of(const struct cluster_adapter *a)
{
    return sio_cluster_uid(a->cluster);
}

static struct sio_str nsp_of(const struct cluster_adapter *a)
{
    return sio_namespace_name(a->rooms.base.ns);
}

/*
 * Words
 */

static const struct cluster_topic *all_servers(const struct cluster_adapter *a)
{
    return &container_of(a, const struct pubsub, base)->requests;
}

/* Who does not have the room sees so by the channel. */
static bool has_channel(const struct cluster_adapter *a, struct sio_str room)
{
    (void)a;
    (void)room;
    return true;
}

static int write_broadcast(const struct cluster_adapter *a, struct wbuf *w,
                           struct sio_cluster_refs *refs,
                           const struct sio_target *target, struct sio_message *m)
{
    return sio_cluster_write_broadcast(w, refs, uid_of(a), nsp_of(a), target, m);
}

static int write_ask(const struct cluster_adapter *a, struct wbuf *w, struct sio_str id,
                     const struct sio_target *target, struct sio_message *m,
                     uint32_t timeout_ms)
{
    return sio_cluster_write_ask(w, uid_of(a), id, nsp_of(a), target, m, timeout_ms);
}

static int write_order(const struct cluster_adapter *a, struct wbuf *w,
                       enum cluster_order what, struct sio_str id,
                       const struct sio_target *target, const struct sio_str *rooms,
                       size_t n, bool close)
{
    static const enum sio_cluster_type types[] = {
        [CLUSTER_JOIN] = SIO_CLUSTER_JOIN,
        [CLUSTER_LEAVE] = SIO_CLUSTER_LEAVE,
        [CLUSTER_DISCONNECT] = SIO_CLUSTER_DISCONNECT,
        [CLUSTER_LIST] = SIO_CLUSTER_FETCH,
    };

    return sio_cluster_write_request(w, types[what], uid_of(a), id, target, rooms, n,
                                     close);
}

static int write_side(const struct cluster_adapter *a, struct wbuf *w,
                      struct sio_str id, struct sio_message *m)
{
    return sio_cluster_write_side_emit(w, uid_of(a), id, m);
}

static const struct cluster_words words = {
    .kind = CLUSTER_CHANNEL,
    .all = all_servers,
    .has_channel = has_channel,
    .broadcast = write_broadcast,
    .ask = write_ask,
    .order = write_order,
    .side = write_side,
};

/*
 * Answers to others
 */

static void publish_answer(struct pubsub *p, struct sio_str channel, struct wbuf *w)
{
    (void)cluster_publish(p->base.cluster, CLUSTER_CHANNEL, channel, w, NULL,
                          CLUSTER_MAX_ANSWER);
}

void pubsub_say(struct pubsub *p, const struct cluster_origin *to, struct wbuf *w)
{
    struct wbuf channel;

    if (!p->base.cluster->direct_answers || to->uid.len == 0) {
        publish_answer(p, p->responses.name, w);
        return;
    }
    wbuf_init(&channel, UINT32_MAX);
    wbuf_add_str(&channel, p->responses.name);
    wbuf_add_str(&channel, to->uid);
    wbuf_add_byte(&channel, '#');
    if (channel.error == SIO_OK)
        publish_answer(p, wbuf_str(&channel), w);
    wbuf_fini(&channel);
}

static void say_count(struct cluster_adapter *a, const struct cluster_origin *to,
                      uint32_t n)
{
    struct wbuf w;

    wbuf_init(&w, UINT32_MAX);
    if (sio_cluster_write_count(&w, to->request_id, n) == SIO_OK)
        pubsub_say(pubsub_of(a), to, &w);
    wbuf_fini(&w);
}

static void say_ack(struct cluster_adapter *a, const struct cluster_origin *to,
                    struct sio_event *e)
{
    struct wbuf w;

    wbuf_init(&w, UINT32_MAX);
    if (sio_cluster_write_ack(&w, to->request_id, e) == SIO_OK)
        pubsub_say(pubsub_of(a), to, &w);
    wbuf_fini(&w);
}

static int say_side(struct cluster_adapter *a, const struct cluster_origin *to,
                    struct sio_event *e)
{
    struct wbuf w;
    int rv;

    if (sio_event_n_attachments(e) > 0)
        return SIO_ERR_UNSUPPORTED; /* it is JSON */
    wbuf_init(&w, UINT32_MAX);
    rv = sio_cluster_write_answer(&w, to->request_id, sio_event_arg(e, 0));
    if (rv == SIO_OK)
        pubsub_say(pubsub_of(a), to, &w);
    wbuf_fini(&w);
    return rv;
}

static const struct cluster_answer_ops answer_ops = {say_count, say_ack, say_side};

/*
 * The adapter
 */

/* Characters that mean something in a glob mean themselves. */
static void add_literal(struct wbuf *w, struct sio_str text)
{
    for (size_t i = 0; i < text.len; i++) {
        if (strchr("*?[]\\^-", text.ptr[i]) && text.ptr[i] != '\0')
            wbuf_add_byte(w, '\\');
        wbuf_add_byte(w, (uint8_t)text.ptr[i]);
    }
}

static int listen_broadcasts(struct pubsub *p)
{
    struct wbuf w;
    int rv;

    wbuf_init(&w, UINT32_MAX);
    add_literal(&w, pubsub_channel(p));
    wbuf_add_byte(&w, '*');
    rv = w.error < 0
             ? w.error
             : cluster_bus_listen(p->base.cluster->bus, &p->broadcasts, CLUSTER_PATTERN,
                                  wbuf_str(&w), pubsub_on_broadcast, p);
    wbuf_fini(&w);
    return rv;
}

/* KEY what #NSP# uid, where uid ends in '#' if there is one. */
static int listen_to(struct pubsub *p, struct cluster_topic *t, const char *what,
                     struct sio_str uid, cluster_topic_cb cb)
{
    struct wbuf w;
    int rv;

    wbuf_init(&w, UINT32_MAX);
    wbuf_add_cstr(&w, p->base.cluster->key);
    wbuf_add_cstr(&w, what);
    wbuf_add_str(&w, pubsub_nsp(p));
    wbuf_add_byte(&w, '#');
    wbuf_add_str(&w, uid);
    if (uid.len > 0)
        wbuf_add_byte(&w, '#');
    rv = w.error < 0 ? w.error
                     : cluster_bus_listen(p->base.cluster->bus, t, CLUSTER_CHANNEL,
                                          wbuf_str(&w), cb, p);
    wbuf_fini(&w);
    return rv;
}

/* Requests last: once they are heard, so is what is answered. */
static int listen_all(struct pubsub *p)
{
    int rv = listen_broadcasts(p);

    if (rv == SIO_OK)
        rv = listen_to(p, &p->responses, "-response#", SIO_STR(""), pubsub_on_response);
    if (rv == SIO_OK)
        rv = listen_to(p, &p->own_responses, "-response#", pubsub_uid(p),
                       pubsub_on_response);
    if (rv == SIO_OK)
        rv = listen_to(p, &p->requests, "-request#", SIO_STR(""), pubsub_on_request);
    return rv;
}

static void pubsub_free(struct sio_adapter *a)
{
    struct pubsub *p = pubsub_of(cluster_adapter_of(a));
    struct cluster_bus *bus = p->base.cluster->bus;

    cluster_bus_unlisten(bus, &p->broadcasts);
    cluster_bus_unlisten(bus, &p->requests);
    cluster_bus_unlisten(bus, &p->responses);
    cluster_bus_unlisten(bus, &p->own_responses);
    cluster_adapter_fini(&p->base);
    mem_free(p);
}

static const struct sio_adapter_ops adapter_ops = {
    .free = pubsub_free,
    .join = sio_rooms_join,
    .leave = sio_rooms_leave,
    .leave_all = sio_rooms_leave_all,
    .in = sio_rooms_in,
    .room_size = sio_rooms_size,
    .broadcast = cluster_broadcast,
    .sockets = sio_rooms_sockets,
    .rooms = sio_rooms_of_socket,
    .remote_join = cluster_remote_join,
    .remote_leave = cluster_remote_leave,
    .remote_disconnect = cluster_remote_disconnect,
    .remote_ask = cluster_remote_ask,
    .remote_fetch = cluster_remote_fetch,
    .remote_side_emit = cluster_remote_side_emit,
};

struct sio_adapter *cluster_pubsub_new(struct sio_cluster *c, struct sio_namespace *ns)
{
    struct pubsub *p = mem_new(struct pubsub);

    if (!p)
        return NULL;
    if (cluster_adapter_init(&p->base, c, &adapter_ops, &words, &answer_ops, ns) < 0) {
        mem_free(p);
        return NULL;
    }
    if (listen_all(p) < 0) {
        pubsub_free(&p->base.rooms.base);
        return NULL;
    }
    return &p->base.rooms.base;
}
