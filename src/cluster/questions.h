/*
 * cluster/questions.h - questions of this server to the others, until they are answered
 *
 *     cluster_question_new, then publish it; on failure cluster_question_cancel, else
 *     cluster_question_start.
 *
 * A question ends by itself: when as many servers as listened have answered, when its
 * time is over, when the connection to Redis is lost, or with its adapter.  What has come
 * until then counts.
 */
#ifndef CLUSTER_QUESTIONS_H
#define CLUSTER_QUESTIONS_H

#include "cluster/cluster.h"

/* Open ones of a cluster. */
#define CLUSTER_MAX_QUESTIONS 4096

enum cluster_question_kind {
    CLUSTER_ASK,   /* clients; each server says how many, and each answers */
    CLUSTER_FETCH, /* lists of sockets */
    CLUSTER_SIDE,  /* servers */
};

struct cluster_question {
    struct map_node node; /* in the cluster, by id */
    struct list in_cluster;
    struct list in_adapter;
    struct cluster_adapter *adapter; /* NULL: has ended, a count is still under way */
    enum cluster_question_kind kind;
    union {
        struct sio_answers *answers;
        struct sio_fetch *fetch;
    } to;          /* all NULL until it has started */
    bool counting; /* Redis has been asked how many listen */
    bool counted;
    bool heard_self;    /* this server is one of them */
    uint32_t n_servers; /* that have to answer, once counted */
    uint32_t n_answered;
    uint64_t n_asked; /* clients, CLUSTER_ASK */
    uint64_t n_acks;
    struct net_timer timer;
    char id[RANDOM_ID_LEN + 1];
};

/*
 * Also asks Redis how many listen to channel: they are the servers.  self: this server
 * does so, confirmed (else its own message, when it comes back, tells:
 * cluster_question_echo).  timeout_ms 0: the cluster's.  SIO_OK; SIO_ERR_CLOSED: Redis is
 * not there; SIO_ERR_TIMEOUT: it hangs; SIO_ERR_FULL: too many are open; SIO_ERR_NOMEM.
 */
int cluster_question_new(struct cluster_adapter *a, enum cluster_question_kind kind,
                         uint32_t timeout_ms, enum cluster_topic_kind channel_kind,
                         struct sio_str channel, bool self,
                         struct cluster_question **out);
/* It was not published. */
void cluster_question_cancel(struct cluster_question *q);
/* It was: takes a part in the collection that belongs to its kind; the other is NULL. */
void cluster_question_start(struct cluster_question *q, struct sio_answers *answers,
                            struct sio_fetch *fetch);

static inline struct sio_str cluster_question_id(const struct cluster_question *q)
{
    return (struct sio_str){q->id, RANDOM_ID_LEN};
}

/* The adapter's open one of that id, or NULL. */
struct cluster_question *cluster_question_find(struct cluster_adapter *a,
                                               struct sio_str id);

/*
 * What came.  Each may end the question, and call whoever waits for it.
 */

/* Our own question has come back to us. */
void cluster_question_echo(struct cluster_question *q);
/* A server has answered: of CLUSTER_ASK, with the number of clients it asks, else 0. */
void cluster_question_answered(struct cluster_question *q, uint32_t n_clients);
/* One answer of a CLUSTER_ASK; e NULL: status says why it cannot be shown. */
void cluster_question_ack(struct cluster_question *q, int status,
                          const struct sio_event *e);

/* Redis is away, or the adapter ends: all end with SIO_ERR_CLOSED. */
void cluster_questions_close(struct sio_cluster *c);
void cluster_questions_end(struct cluster_adapter *a);

#endif
