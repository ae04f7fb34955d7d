/*
 * cluster/pubsub.h - the inside of the adapter of classic channels
 *
 *     KEY#NSP#              broadcasts, to all           PSUBSCRIBE KEY#NSP#*
 *     KEY#NSP#ROOM#         broadcasts, to one room
 *     KEY-request#NSP#      questions and orders
 *     KEY-response#NSP#     answers, or to one server: KEY-response#NSP#UID#
 *
 * pubsub.c is the adapter and what it sends, pubsub_in.c what it receives.  (The wire
 * format of the npm package @socket.io/redis-adapter 8: codec.h.)
 */
#ifndef CLUSTER_PUBSUB_H
#define CLUSTER_PUBSUB_H

#include "cluster/cluster.h"
#include "socketio/namespace.h"

struct pubsub {
    struct cluster_adapter base;
    struct cluster_topic broadcasts;
    struct cluster_topic requests;
    struct cluster_topic responses;
    struct cluster_topic own_responses;
};

static inline struct sio_str pubsub_uid(const struct pubsub *p)
{
    return sio_cluster_uid(p->base.cluster);
}

static inline struct sio_namespace *pubsub_ns(const struct pubsub *p)
{
    return p->base.rooms.base.ns;
}

static inline struct sio_str pubsub_nsp(const struct pubsub *p)
{
    return sio_namespace_name(pubsub_ns(p));
}

static inline struct sio_str pubsub_channel(const struct pubsub *p)
{
    return p->base.channel;
}

/* Publishes an answer, which w holds. */
void pubsub_say(struct pubsub *p, const struct cluster_origin *to, struct wbuf *w);

/* For the four topics; user is the adapter. */
void pubsub_on_broadcast(struct cluster_topic *t, struct sio_str channel,
                         struct sio_slice body, void *user);
void pubsub_on_request(struct cluster_topic *t, struct sio_str channel,
                       struct sio_slice body, void *user);
void pubsub_on_response(struct cluster_topic *t, struct sio_str channel,
                        struct sio_slice body, void *user);

#endif
