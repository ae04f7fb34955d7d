/*
 * pubsub.c - the adapter of classic channels, and what it sends
 */
#include <config.h>

#include "cluster/pubsub.h"

#include "base/mem.h"
#include "base/str.h"
#include "cluster/codec.h"
#include "cluster/questions.h"

static struct pubsub *pubsub_of(struct sio_adapter *a)
{
    return container_of(cluster_adapter_of(a), struct pubsub, base);
}

static struct sio_str request_channel(const struct pubsub *p)
{
    return p->requests.name;
}

/*
 * Going out
 */

static int publish(struct pubsub *p, struct sio_str channel, struct wbuf *w)
{
    return cluster_publish(p->base.cluster, CLUSTER_CHANNEL, channel, w, NULL);
}

/* Where exactly one room is meant, servers that do not have it see so by the channel. */
static int publish_broadcast(struct pubsub *p, const struct sio_target *target,
                             struct wbuf *w, const struct sio_cluster_refs *refs)
{
    struct sio_cluster *c = p->base.cluster;
    struct wbuf channel;
    int rv;

    if (!target || target->n_rooms != 1)
        return cluster_publish(c, CLUSTER_CHANNEL, pubsub_channel(p), w, refs);
    wbuf_init(&channel, UINT32_MAX);
    wbuf_add_str(&channel, pubsub_channel(p));
    wbuf_add_str(&channel, target->rooms[0]);
    wbuf_add_byte(&channel, '#');
    rv = channel.error;
    if (rv == SIO_OK)
        rv = cluster_publish(c, CLUSTER_CHANNEL, wbuf_str(&channel), w, refs);
    wbuf_fini(&channel);
    return rv;
}

/* What Redis does not take is lost for the others, and counted; it was sent here. */
static int broadcast(struct sio_adapter *a, const struct sio_target *target,
                     struct sio_message *m)
{
    struct pubsub *p = pubsub_of(a);
    struct sio_cluster_refs refs = {.n = 0};
    int n = sio_rooms_broadcast(a, target, m);
    struct wbuf w;
    int rv;

    if (n < 0 || (target && target->local))
        return n;
    wbuf_init(&w, UINT32_MAX);
    rv =
        sio_cluster_write_broadcast(&w, &refs, pubsub_uid(p), pubsub_nsp(p), target, m);
    if (rv == SIO_OK)
        (void)publish_broadcast(p, target, &w, &refs);
    sio_cluster_refs_fini(&refs);
    wbuf_fini(&w);
    return rv < 0 ? rv : n;
}

static int order(struct sio_adapter *a, enum sio_cluster_type type,
                 const struct sio_target *target, const struct sio_str *names, size_t n,
                 bool close)
{
    static const struct sio_str no_answer;
    struct pubsub *p = pubsub_of(a);
    struct wbuf w;
    int rv;

    wbuf_init(&w, UINT32_MAX);
    rv = sio_cluster_write_request(&w, type, pubsub_uid(p), no_answer, target, names, n,
                                   close);
    if (rv == SIO_OK)
        rv = publish(p, request_channel(p), &w);
    wbuf_fini(&w);
    return rv;
}

static int remote_join(struct sio_adapter *a, const struct sio_target *target,
                       const struct sio_str *rooms, size_t n)
{
    return order(a, SIO_CLUSTER_JOIN, target, rooms, n, false);
}

static int remote_leave(struct sio_adapter *a, const struct sio_target *target,
                        const struct sio_str *rooms, size_t n)
{
    return order(a, SIO_CLUSTER_LEAVE, target, rooms, n, false);
}

static int remote_disconnect(struct sio_adapter *a, const struct sio_target *target,
                             bool close)
{
    return order(a, SIO_CLUSTER_DISCONNECT, target, NULL, 0, close);
}

static int question_new(struct pubsub *p, enum cluster_question_kind kind,
                        uint32_t timeout_ms, struct cluster_question **q)
{
    return cluster_question_new(&p->base, kind, timeout_ms, CLUSTER_CHANNEL,
                                request_channel(p), p->requests.confirmed, q);
}

/* Publishes a question that was written with status rv; it starts, or goes. */
static int ask(struct pubsub *p, struct cluster_question *q, struct wbuf *w, int rv,
               struct sio_answers *answers, struct sio_fetch *fetch)
{
    if (rv == SIO_OK)
        rv = publish(p, request_channel(p), w);
    wbuf_fini(w);
    if (rv == SIO_OK)
        cluster_question_start(q, answers, fetch);
    else
        cluster_question_cancel(q);
    return rv;
}

static int remote_ask(struct sio_adapter *a, const struct sio_target *target,
                      struct sio_message *m, uint32_t timeout_ms,
                      struct sio_answers *answers)
{
    struct pubsub *p = pubsub_of(a);
    struct cluster_question *q;
    struct wbuf w;
    int rv;

    if (timeout_ms == 0)
        timeout_ms = p->base.cluster->request_timeout_ms;
    rv = question_new(p, CLUSTER_ASK, timeout_ms, &q);
    if (rv < 0)
        return rv;
    wbuf_init(&w, UINT32_MAX);
    rv = sio_cluster_write_ask(&w, pubsub_uid(p), cluster_question_id(q), pubsub_nsp(p),
                               target, m, timeout_ms);
    return ask(p, q, &w, rv, answers, NULL);
}

static int remote_fetch(struct sio_adapter *a, const struct sio_target *target,
                        struct sio_fetch *fetch)
{
    struct pubsub *p = pubsub_of(a);
    struct cluster_question *q;
    struct wbuf w;
    int rv = question_new(p, CLUSTER_FETCH, 0, &q);

    if (rv < 0)
        return rv;
    wbuf_init(&w, UINT32_MAX);
    rv = sio_cluster_write_request(&w, SIO_CLUSTER_FETCH, pubsub_uid(p),
                                   cluster_question_id(q), target, NULL, 0, false);
    return ask(p, q, &w, rv, NULL, fetch);
}

static int remote_side_emit(struct sio_adapter *a, struct sio_message *m,
                            uint32_t timeout_ms, struct sio_answers *answers)
{
    struct pubsub *p = pubsub_of(a);
    struct sio_str id = {NULL, 0};
    struct cluster_question *q = NULL;
    struct wbuf w;
    int rv = SIO_OK;

    if (answers)
        rv = question_new(p, CLUSTER_SIDE, timeout_ms, &q);
    if (rv < 0)
        return rv;
    if (q)
        id = cluster_question_id(q);
    wbuf_init(&w, UINT32_MAX);
    rv = sio_cluster_write_side_emit(&w, pubsub_uid(p), id, m);
    if (q)
        return ask(p, q, &w, rv, answers, NULL);
    if (rv == SIO_OK)
        rv = publish(p, request_channel(p), &w);
    wbuf_fini(&w);
    return rv;
}

/*
 * Answers to others
 */

void pubsub_say(struct pubsub *p, const struct cluster_origin *to, struct wbuf *w)
{
    struct wbuf channel;

    if (!p->base.cluster->direct_answers || to->uid.len == 0) {
        (void)publish(p, p->responses.name, w);
        return;
    }
    wbuf_init(&channel, UINT32_MAX);
    wbuf_add_str(&channel, p->responses.name);
    wbuf_add_str(&channel, to->uid);
    wbuf_add_byte(&channel, '#');
    if (channel.error == SIO_OK)
        (void)publish(p, wbuf_str(&channel), w);
    wbuf_fini(&channel);
}

static void say_count(struct cluster_adapter *a, const struct cluster_origin *to,
                      uint32_t n)
{
    struct wbuf w;

    wbuf_init(&w, UINT32_MAX);
    if (sio_cluster_write_count(&w, to->request_id, n) == SIO_OK)
        pubsub_say(container_of(a, struct pubsub, base), to, &w);
    wbuf_fini(&w);
}

static void say_ack(struct cluster_adapter *a, const struct cluster_origin *to,
                    struct sio_event *e)
{
    struct wbuf w;

    wbuf_init(&w, UINT32_MAX);
    if (sio_cluster_write_ack(&w, to->request_id, e) == SIO_OK)
        pubsub_say(container_of(a, struct pubsub, base), to, &w);
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
        pubsub_say(container_of(a, struct pubsub, base), to, &w);
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
    struct pubsub *p = pubsub_of(a);
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

struct sio_adapter *cluster_pubsub_new(struct sio_cluster *c, struct sio_namespace *ns)
{
    struct sio_str name = sio_namespace_name(ns);
    size_t key_len = strlen(c->key);
    struct pubsub *p = mem_alloc(sizeof(*p) + key_len + name.len + 3);

    if (!p)
        return NULL;
    p->channel_len = key_len + name.len + 2;
    memcpy(p->channel, c->key, key_len);
    p->channel[key_len] = '#';
    memcpy(p->channel + key_len + 1, name.ptr, name.len);
    p->channel[key_len + 1 + name.len] = '#';
    if (cluster_adapter_init(&p->base, c, &adapter_ops, &answer_ops, ns) < 0) {
        mem_free(p);
        return NULL;
    }
    if (listen_all(p) < 0) {
        pubsub_free(&p->base.rooms.base);
        return NULL;
    }
    return &p->base.rooms.base;
}
