/*
 * cluster/bus_impl.h - the inside of the bus: bus.c listens, bus_publish.c publishes
 */
#ifndef CLUSTER_BUS_IMPL_H
#define CLUSTER_BUS_IMPL_H

#include "base/map.h"
#include "cluster/bus.h"
#include "net/loop.h"
#include "redis/nodes.h"

#define CLUSTER_N_KINDS 3

/*
 * What this process has to do with a channel of Redis: it outlives its topics while an
 * answer is due, for what is said about one name is answered in turn.
 */
struct bus_channel {
    struct map_node node;
    struct cluster_bus *bus;
    struct cluster_topic *topics; /* NULL: nobody listens any more */
    struct cluster_topic *next;   /* who hears next what has just come */
    enum cluster_topic_kind kind;
    uint32_t at;     /* the node (redis/nodes.h) where that was said last */
    unsigned n_open; /* SUBSCRIBEs whose answers are due */
    bool asked;      /* SUBSCRIBE was said, and no UNSUBSCRIBE since */
    bool awaited;    /* the bus is not up before the topics are confirmed */
    bool telling;    /* them of what has come */
    char name[];
};

struct cluster_bus {
    struct net_loop *loop;
    struct redis_url url;
    struct redis_nodes *publisher;
    struct redis_nodes *listener; /* NULL: nobody will listen */
    struct map channels[CLUSTER_N_KINDS];
    struct list watchers;
    struct net_task look;   /* whether it is up now */
    struct net_timer retry; /* what has still to be said to the listener */
    size_t n_awaited;       /* channels */
    size_t max_unsent;
    struct cluster_bus_stats stats;
    bool up;
    bool told_refused[2]; /* the log has it: of listening, of publishing */
};

/* The log has it once in each spell. */
void cluster_bus_tell_refused(struct cluster_bus *bus, bool publishing,
                              const char *command, const struct redis_reply *reply);

/* What a command of this kind is sent by: sharded channels are where their slots are. */
static inline struct sio_str cluster_bus_key(enum cluster_topic_kind kind,
                                             struct sio_str channel)
{
    return kind == CLUSTER_SHARD ? channel : (struct sio_str){NULL, 0};
}

#endif
