#include <config.h>

#include "cluster/questions.h"

#include "base/mem.h"
#include "net/loop.h"

/* A Redis that has owed an answer for so long is not asked for more. */
#define HANGS_MS 1000

static void question_free(struct cluster_question *q)
{
    net_timer_stop(&q->timer);
    list_remove(&q->in_cluster);
    list_remove(&q->in_adapter);
    mem_free(q);
}

/* Nobody finds it any more; its memory waits for the count that is under way. */
static void forget(struct cluster_question *q)
{
    map_remove(&q->adapter->cluster->questions, &q->node);
    net_timer_stop(&q->timer);
    list_remove(&q->in_cluster);
    list_remove(&q->in_adapter);
    q->adapter = NULL;
    if (!q->counting)
        question_free(q);
}

static void end(struct cluster_question *q, int status)
{
    struct sio_answers *answers = q->kind == CLUSTER_FETCH ? NULL : q->to.answers;
    struct sio_fetch *fetch = q->kind == CLUSTER_FETCH ? q->to.fetch : NULL;

    if (status == SIO_ERR_TIMEOUT)
        q->adapter->cluster->stats.n_timeouts +=
            q->n_servers > q->n_answered ? q->n_servers - q->n_answered : 1;
    forget(q);
    if (fetch)
        sio_fetch_end(fetch, status);
    if (answers)
        sio_answers_end(answers, status);
}

static void end_if_done(struct cluster_question *q)
{
    if (q->counted && q->n_answered >= q->n_servers && q->n_acks >= q->n_asked)
        end(q, SIO_OK);
}

static void on_timeout(struct net_timer *timer, void *user)
{
    (void)timer;
    end(user, SIO_ERR_TIMEOUT);
}

static void on_count(int status, uint64_t n, void *user)
{
    struct cluster_question *q = user;

    q->counting = false;
    if (!q->adapter) {
        question_free(q);
        return;
    }
    if (status < 0) {
        end(q, status);
        return;
    }
    if (q->heard_self && n > 0)
        n--;
    q->n_servers = n < UINT32_MAX ? (uint32_t)n : UINT32_MAX;
    q->counted = true;
    end_if_done(q);
}

static int add(struct cluster_question *q, struct cluster_adapter *a,
               uint32_t timeout_ms)
{
    struct sio_cluster *c = a->cluster;
    int rv;

    random_id(net_loop_random(c->loop), q->id);
    rv = map_add(&c->questions, &q->node, cluster_question_id(q));
    if (rv < 0)
        return SIO_ERR_NOMEM;
    rv = net_timer_start(&q->timer, timeout_ms ? timeout_ms : c->request_timeout_ms);
    if (rv < 0) {
        map_remove(&c->questions, &q->node);
        return rv;
    }
    list_append(&c->open, &q->in_cluster);
    list_append(&a->questions, &q->in_adapter);
    return SIO_OK;
}

int cluster_question_new(struct cluster_adapter *a, enum cluster_question_kind kind,
                         uint32_t timeout_ms, enum cluster_topic_kind channel_kind,
                         struct sio_str channel, bool self,
                         struct cluster_question **out)
{
    struct sio_cluster *c = a->cluster;
    struct cluster_question *q;
    int rv;

    if (!cluster_bus_is_up(c->bus))
        return SIO_ERR_CLOSED;
    if (cluster_bus_silent_ms(c->bus) >= HANGS_MS)
        return SIO_ERR_TIMEOUT;
    if (c->questions.n_items >= CLUSTER_MAX_QUESTIONS)
        return SIO_ERR_FULL;
    q = mem_new(struct cluster_question);
    if (!q)
        return SIO_ERR_NOMEM;
    list_init(&q->in_cluster);
    list_init(&q->in_adapter);
    net_timer_init(&q->timer, c->loop, on_timeout, q);
    q->adapter = a;
    q->kind = kind;
    q->heard_self = self;
    rv = add(q, a, timeout_ms);
    if (rv < 0) {
        question_free(q);
        return rv;
    }
    rv = cluster_bus_count(c->bus, channel_kind, channel, on_count, q);
    if (rv < 0) {
        forget(q);
        return rv;
    }
    q->counting = true;
    *out = q;
    return SIO_OK;
}

void cluster_question_cancel(struct cluster_question *q)
{
    forget(q);
}

void cluster_question_start(struct cluster_question *q, struct sio_answers *answers,
                            struct sio_fetch *fetch)
{
    if (q->kind == CLUSTER_FETCH) {
        sio_fetch_begin(fetch);
        q->to.fetch = fetch;
    } else {
        sio_answers_begin(answers);
        q->to.answers = answers;
    }
}

struct cluster_question *cluster_question_find(struct cluster_adapter *a,
                                               struct sio_str id)
{
    struct map_node *node = map_find(&a->cluster->questions, id);
    struct cluster_question *q =
        node ? container_of(node, struct cluster_question, node) : NULL;

    return q && q->adapter == a ? q : NULL;
}

void cluster_question_echo(struct cluster_question *q)
{
    if (q->heard_self)
        return;
    q->heard_self = true;
    if (!q->counted || q->n_servers == 0)
        return;
    q->n_servers--;
    end_if_done(q);
}

void cluster_question_answered(struct cluster_question *q, uint32_t n_clients)
{
    q->n_answered++;
    q->n_asked += n_clients;
    end_if_done(q);
}

void cluster_question_ack(struct cluster_question *q, int status,
                          const struct sio_event *e)
{
    q->n_acks++;
    (void)sio_answers_add(q->to.answers, SIO_STR(""), status, e);
    end_if_done(q);
}

void cluster_questions_close(struct sio_cluster *c)
{
    struct list going;

    /* Who is told may ask again. */
    list_init(&going);
    list_splice(&going, &c->open);
    while (!list_empty(&going))
        end(container_of(going.next, struct cluster_question, in_cluster),
            SIO_ERR_CLOSED);
}

void cluster_questions_end(struct cluster_adapter *a)
{
    while (!list_empty(&a->questions))
        end(container_of(a->questions.next, struct cluster_question, in_adapter),
            SIO_ERR_CLOSED);
}
