/*
 * cluster/bus.h - channels of a Redis, for all of this process that wants to hear or say
 * something there
 *
 * One connection publishes, one listens, if anybody does; of a Redis Cluster one each to
 * every node that is needed.  They come back by themselves, and what was listened to is
 * listened to again, where it is now.  Nothing waits and nothing is kept for later:
 * what cannot be sent at once fails at once, and what is published is heard by whoever
 * listens at that moment.  So a Redis that is away or hangs delays nobody, and costs what
 * the others would have heard.
 */
#ifndef CLUSTER_BUS_H
#define CLUSTER_BUS_H

#include <stdbool.h>

#include <sioc/bytes.h>
#include <sioc/loop.h>

#include "base/list.h"

struct cluster_bus;
struct bus_channel;
struct cluster_topic;

enum cluster_topic_kind {
    CLUSTER_CHANNEL, /* SUBSCRIBE */
    CLUSTER_PATTERN, /* PSUBSCRIBE; the name may have *, ?, [ and \ of a glob */
    CLUSTER_SHARD,   /* SSUBSCRIBE: Redis 7 */
};

/*
 * Something was published: channel is where, body is borrowed and has no buf.  May publish,
 * listen and unlisten, this topic included.
 */
typedef void (*cluster_topic_cb)(struct cluster_topic *t, struct sio_str channel,
                                 struct sio_slice body, void *user);

/* In the struct of whoever listens; all zero before it does. */
struct cluster_topic {
    enum cluster_topic_kind kind;
    cluster_topic_cb cb;
    void *user;
    struct sio_str name; /* the bus's */
    bool confirmed;      /* Redis has said so on this connection */
    struct bus_channel *channel;
    struct cluster_topic *next; /* that listens there, too */
};

/* Both come from the loop, never out of a call to the bus, and may be NULL. */
struct cluster_bus_ops {
    /* From now on nothing is missed of what is published on confirmed topics. */
    void (*on_up)(struct cluster_bus *bus, void *user);
    /* After on_up. */
    void (*on_down)(struct cluster_bus *bus, void *user);
};

/* In the struct of whoever wants to know; any number of them. */
struct cluster_bus_watcher {
    struct list link;
    const struct cluster_bus_ops *ops;
    void *user;
};

#define CLUSTER_BUS_MAX_UNSENT  ((size_t)16 * 1024 * 1024)
#define CLUSTER_BUS_MAX_MESSAGE ((size_t)32 * 1024 * 1024)

struct cluster_bus_options {
    struct sio_str url; /* redis/url.h */
    /* Bytes for a Redis that does not take them; 0: CLUSTER_BUS_MAX_UNSENT. */
    size_t max_unsent;
    /*
     * Of what others publish; 0: CLUSTER_BUS_MAX_MESSAGE.  Something larger ends the
     * connection, and costs what is published until it is back.
     */
    size_t max_message;
    bool publish_only; /* one connection; nobody can listen */
};

/* Begins to connect.  NULL with a sentence in diag that shows nothing of the URL. */
struct cluster_bus *cluster_bus_new(struct net_loop *loop,
                                    const struct cluster_bus_options *opts,
                                    struct sio_diag *diag);
/*
 * Ends the connections; what is open is answered with SIO_ERR_CLOSED.  No topic and no
 * watcher is left.  Not out of a callback of the bus.  NULL is allowed.
 */
void cluster_bus_free(struct cluster_bus *bus);

/*
 * The connections are there, and all topics that there were when the one that listens
 * came, or whose node was lost or is another one now, have been confirmed since.  One that Redis refuses (it is older than 7, or the user
 * may not) keeps the bus from coming up; the log says so once, and it is asked again from
 * time to time.
 */
bool cluster_bus_is_up(const struct cluster_bus *bus);

/*
 * There is something to publish on; else cluster_bus_publish fails with SIO_ERR_CLOSED, and
 * what is for it need not be written.
 */
bool cluster_bus_can_publish(const struct cluster_bus *bus);

/* For how long Redis has owed an answer without a sign of life; 0: it owes none. */
uint64_t cluster_bus_silent_ms(const struct cluster_bus *bus);

void cluster_bus_watch(struct cluster_bus *bus, struct cluster_bus_watcher *w);
/* Nothing where it does not watch. */
void cluster_bus_unwatch(struct cluster_bus_watcher *w);

/*
 * Listens from now on, through losses of the connection.  name is copied; several topics
 * may have the same.  SIO_OK, also where there is no connection now; SIO_ERR_INVAL: t does
 * so already, the name is empty, or the bus is publish_only; SIO_ERR_NOMEM.
 */
int cluster_bus_listen(struct cluster_bus *bus, struct cluster_topic *t,
                       enum cluster_topic_kind kind, struct sio_str name,
                       cluster_topic_cb cb, void *user);
/* cb is not called any more.  Nothing where it does not listen. */
void cluster_bus_unlisten(struct cluster_bus *bus, struct cluster_topic *t);

/*
 * How many clients of Redis got it, or listen.  Of a Redis Cluster those that got it at the
 * node that took it: all of a sharded channel.
 * status as of redis_reply_cb.  Exactly once, never before the call returns.
 */
typedef void (*cluster_count_cb)(int status, uint64_t n, void *user);

/*
 * Publishes the parts as one message; those with a buf are not copied.  kind CLUSTER_SHARD:
 * SPUBLISH, else PUBLISH.  cb may be NULL.  SIO_OK; SIO_ERR_CLOSED: there is no connection;
 * SIO_ERR_FULL: too much waits already; SIO_ERR_NOMEM.  With an error cb is not called,
 * nobody heard anything.
 */
#define CLUSTER_MAX_PARTS 8
int cluster_bus_publish(struct cluster_bus *bus, enum cluster_topic_kind kind,
                        struct sio_str channel, const struct sio_slice *parts, size_t n,
                        cluster_count_cb cb, void *user);

/*
 * Asks how many listen to a channel (PUBSUB NUMSUB, SHARDNUMSUB).  Those that listen by
 * pattern do not count.  In order with what is published before and after.
 */
int cluster_bus_count(struct cluster_bus *bus, enum cluster_topic_kind kind,
                      struct sio_str channel, cluster_count_cb cb, void *user);

struct cluster_bus_stats {
    uint64_t n_published;
    uint64_t n_unsent; /* refused by cluster_bus_publish */
    uint64_t n_lost;   /* published, and the connection went before Redis said so */
    uint64_t n_heard;  /* by topics */
};
void cluster_bus_stats(const struct cluster_bus *bus, struct cluster_bus_stats *out);

#endif
