/*
 * cluster/cluster.h - the inside of sio_cluster: what its adapters share
 *
 * A cluster serves one server, with an adapter for each of its namespaces, of one of two
 * kinds: pubsub.c or sharded.c.  Both
 *
 *     begin with a cluster_adapter, whose functions towards the namespace are those of
 *     rooms.h, and for other servers those of calls.h, in words of their own;
 *     listen and publish on the cluster's bus (bus.h);
 *     keep what they ask the other servers among the questions (questions.h);
 *     do what the others want done here with local.h, whose answers come back through
 *     cluster_answer_ops, in words of their own.
 */
#ifndef CLUSTER_CLUSTER_H
#define CLUSTER_CLUSTER_H

#include <sioc/cluster.h>

#include "base/buf.h"
#include "base/log.h"
#include "base/random.h"
#include "cluster/bus.h"
#include "socketio/rooms.h"

struct cluster_adapter;
struct cluster_python;

struct sio_cluster {
    struct net_loop *loop;
    struct cluster_bus *bus;
    struct cluster_bus_watcher watcher;
    enum sio_cluster_mode mode;
    enum sio_cluster_subscriptions subscriptions;
    char *key;
    char uid[RANDOM_ID_LEN + 1];
    uint32_t request_timeout_ms;
    bool direct_answers;
    size_t max_sent;      /* bytes that any message may have: the bus takes no more */
    struct map adapters;  /* struct cluster_adapter.node, by name of the namespace */
    struct map questions; /* struct cluster_question.node, by id */
    struct list open;     /* the same ones, struct cluster_question.in_cluster */
    uint32_t n_foreign;   /* questions of others that are not yet answered: local.h */
    struct sio_cluster_stats stats;
    struct log_limit complaints;
    struct log_limit too_big;
    struct cluster_python *python; /* NULL: no channel was named */
};

/* The bus, for other channels of the same Redis; borrowed. */
struct cluster_bus *sio_cluster_bus(struct sio_cluster *c);

/* A server that asks; borrowed, uid may be empty. */
struct cluster_origin {
    struct sio_str uid;
    struct sio_str request_id;
};

/* What local.h answers with.  e is borrowed. */
struct cluster_answer_ops {
    /* First, to a question to clients: n of this server's are asked. */
    void (*count)(struct cluster_adapter *a, const struct cluster_origin *to,
                  uint32_t n);
    /* Then each answer of one of them. */
    void (*ack)(struct cluster_adapter *a, const struct cluster_origin *to,
                struct sio_event *e);
    /* To a side emit.  SIO_OK, or why it cannot be said. */
    int (*side)(struct cluster_adapter *a, const struct cluster_origin *to,
                struct sio_event *e);
};

struct cluster_words; /* calls.h */

struct cluster_adapter {
    struct sio_rooms rooms; /* first */
    struct sio_cluster *cluster;
    const struct cluster_words *words;
    const struct cluster_answer_ops *answers;
    struct sio_str channel; /* KEY#NSP#, the adapter's own */
    struct map_node node;   /* in the cluster */
    struct list questions;  /* struct cluster_question.in_adapter */
    struct list sides;      /* side emits of others that wait for an answer: local.c */
};

static inline struct cluster_adapter *cluster_adapter_of(struct sio_adapter *a)
{
    return container_of(container_of(a, struct sio_rooms, base), struct cluster_adapter,
                        rooms);
}

/*
 * SIO_OK; with SIO_ERR_EXISTS (the cluster has one for that name already) and
 * SIO_ERR_NOMEM nothing is to be ended.
 */
int cluster_adapter_init(struct cluster_adapter *a, struct sio_cluster *c,
                         const struct sio_adapter_ops *ops,
                         const struct cluster_words *words,
                         const struct cluster_answer_ops *answers,
                         struct sio_namespace *ns);
/* Ends what it still owes, its questions among that. */
void cluster_adapter_fini(struct cluster_adapter *a);

/* The kinds.  NULL: out of memory, or the namespace has one already. */
struct sio_adapter *cluster_pubsub_new(struct sio_cluster *c, struct sio_namespace *ns);
struct sio_adapter *cluster_sharded_new(struct sio_cluster *c,
                                        struct sio_namespace *ns);

/* This server's namespace of that name, or NULL. */
struct sio_namespace *cluster_namespace(const struct sio_cluster *c,
                                        struct sio_str name);

/*
 * Publishes what w holds, which is empty then, with refs (codec.h) or NULL.  Counts: sent,
 * dropped or too big.  As cluster_bus_publish; w's own error; SIO_ERR_TOO_BIG: more bytes
 * than max, which those who listen there take.
 */
struct sio_cluster_refs;
int cluster_publish(struct sio_cluster *c, enum cluster_topic_kind kind,
                    struct sio_str channel, struct wbuf *w,
                    const struct sio_cluster_refs *refs, size_t max);

/* KEY#NSP#name#, behind what w holds. */
void cluster_add_channel(struct wbuf *w, const struct cluster_adapter *a,
                         struct sio_str name);
/* cluster_publish there. */
int cluster_publish_to(struct cluster_adapter *a, enum cluster_topic_kind kind,
                       struct sio_str name, struct wbuf *w,
                       const struct sio_cluster_refs *refs, size_t max);

/*
 * The most bytes that a message from another server may have: whatever a client may send
 * to that one has room.
 */
size_t cluster_max_message(const struct cluster_adapter *a);
/* An answer to a question may be a list of many sockets. */
#define CLUSTER_MAX_ANSWER CLUSTER_BUS_MAX_MESSAGE

/*
 * Something has come that is none of our messages: counts it, and tells the log, some
 * times a minute.
 */
void cluster_reject(struct sio_cluster *c, struct sio_str channel, int why);

/*
 * python_channel.c: what python-socketio's manager publishes on a channel.  NULL with
 * diag filled.  Ends after all that it has asked clients has ended: after the server.
 */
struct cluster_python *cluster_python_new(struct sio_cluster *c, const char *channel,
                                          struct sio_diag *diag);
void cluster_python_free(struct cluster_python *p); /* NULL is allowed */

#endif
