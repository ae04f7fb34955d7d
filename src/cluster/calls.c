#include <config.h>

#include "cluster/calls.h"

#include "cluster/questions.h"

static const struct sio_str no_answer;

/* To where all listen. */
static int publish(struct cluster_adapter *a, struct wbuf *w)
{
    return cluster_publish(a->cluster, a->words->kind, a->words->all(a)->name, w, NULL,
                           cluster_max_message(a));
}

static int publish_broadcast(struct cluster_adapter *a, const struct sio_target *target,
                             struct wbuf *w, const struct sio_cluster_refs *refs)
{
    const struct cluster_words *words = a->words;
    size_t max = cluster_max_message(a);

    if (target && target->n_rooms == 1 && words->has_channel(a, target->rooms[0]))
        return cluster_publish_to(a, words->kind, target->rooms[0], w, refs, max);
    return cluster_publish(a->cluster, words->kind, a->channel, w, refs, max);
}

/* SIO_OK also where it is not taken: then it is lost for the others, and counted. */
static int broadcast_to_others(struct cluster_adapter *a,
                               const struct sio_target *target, struct sio_message *m)
{
    struct sio_cluster_refs refs = {.n = 0};
    struct wbuf w;
    int rv;

    if (!cluster_bus_can_publish(a->cluster->bus)) {
        a->cluster->stats.n_dropped++;
        return SIO_OK;
    }
    wbuf_init(&w, UINT32_MAX);
    rv = a->words->broadcast(a, &w, &refs, target, m);
    if (rv == SIO_OK)
        (void)publish_broadcast(a, target, &w, &refs);
    sio_cluster_refs_fini(&refs);
    wbuf_fini(&w);
    return rv;
}

/* Sockets here have it before Redis does: it may be away, or hang. */
int cluster_broadcast(struct sio_adapter *adapter, const struct sio_target *target,
                      struct sio_message *m)
{
    int n = sio_rooms_broadcast(adapter, target, m);
    int rv;

    if (n < 0 || (target && target->local))
        return n;
    rv = broadcast_to_others(cluster_adapter_of(adapter), target, m);
    return rv < 0 ? rv : n;
}

/* Orders, which are not answered. */

static int order(struct sio_adapter *adapter, enum cluster_order what,
                 const struct sio_target *target, const struct sio_str *rooms, size_t n,
                 bool close)
{
    struct cluster_adapter *a = cluster_adapter_of(adapter);
    struct wbuf w;
    int rv;

    wbuf_init(&w, UINT32_MAX);
    rv = a->words->order(a, &w, what, no_answer, target, rooms, n, close);
    if (rv == SIO_OK)
        rv = publish(a, &w);
    wbuf_fini(&w);
    return rv;
}

int cluster_remote_join(struct sio_adapter *a, const struct sio_target *target,
                        const struct sio_str *rooms, size_t n)
{
    return order(a, CLUSTER_JOIN, target, rooms, n, false);
}

int cluster_remote_leave(struct sio_adapter *a, const struct sio_target *target,
                         const struct sio_str *rooms, size_t n)
{
    return order(a, CLUSTER_LEAVE, target, rooms, n, false);
}

int cluster_remote_disconnect(struct sio_adapter *a, const struct sio_target *target,
                              bool close)
{
    return order(a, CLUSTER_DISCONNECT, target, NULL, 0, close);
}

/* Questions */

static int question_new(struct cluster_adapter *a, enum cluster_question_kind kind,
                        uint32_t timeout_ms, struct cluster_question **q)
{
    const struct cluster_topic *all = a->words->all(a);

    return cluster_question_new(a, kind, timeout_ms, a->words->kind, all->name,
                                all->confirmed, q);
}

/* Publishes a question that was written with status rv; it starts, or goes. */
static int ask(struct cluster_adapter *a, struct cluster_question *q, struct wbuf *w,
               int rv, struct sio_answers *answers, struct sio_fetch *fetch)
{
    if (rv == SIO_OK)
        rv = publish(a, w);
    wbuf_fini(w);
    if (rv == SIO_OK)
        cluster_question_start(q, answers, fetch);
    else
        cluster_question_cancel(q);
    return rv;
}

/* To all, also where it is for one room: all are counted, and all say how many they ask. */
int cluster_remote_ask(struct sio_adapter *adapter, const struct sio_target *target,
                       struct sio_message *m, uint32_t timeout_ms,
                       struct sio_answers *answers)
{
    struct cluster_adapter *a = cluster_adapter_of(adapter);
    struct cluster_question *q;
    struct wbuf w;
    int rv;

    if (timeout_ms == 0)
        timeout_ms = a->cluster->request_timeout_ms;
    rv = question_new(a, CLUSTER_ASK, timeout_ms, &q);
    if (rv < 0)
        return rv;
    wbuf_init(&w, UINT32_MAX);
    rv = a->words->ask(a, &w, cluster_question_id(q), target, m, timeout_ms);
    return ask(a, q, &w, rv, answers, NULL);
}

int cluster_remote_fetch(struct sio_adapter *adapter, const struct sio_target *target,
                         struct sio_fetch *fetch)
{
    struct cluster_adapter *a = cluster_adapter_of(adapter);
    struct cluster_question *q;
    struct wbuf w;
    int rv = question_new(a, CLUSTER_FETCH, 0, &q);

    if (rv < 0)
        return rv;
    wbuf_init(&w, UINT32_MAX);
    rv = a->words->order(a, &w, CLUSTER_LIST, cluster_question_id(q), target, NULL, 0,
                         false);
    return ask(a, q, &w, rv, NULL, fetch);
}

int cluster_remote_side_emit(struct sio_adapter *adapter, struct sio_message *m,
                             uint32_t timeout_ms, struct sio_answers *answers)
{
    struct cluster_adapter *a = cluster_adapter_of(adapter);
    struct cluster_question *q = NULL;
    struct wbuf w;
    int rv = SIO_OK;

    if (answers)
        rv = question_new(a, CLUSTER_SIDE, timeout_ms, &q);
    if (rv < 0)
        return rv;
    wbuf_init(&w, UINT32_MAX);
    rv = a->words->side(a, &w, q ? cluster_question_id(q) : no_answer, m);
    if (q)
        return ask(a, q, &w, rv, answers, NULL);
    if (rv == SIO_OK)
        rv = publish(a, &w);
    wbuf_fini(&w);
    return rv;
}
