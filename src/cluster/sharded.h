/*
 * cluster/sharded.h - the inside of the adapter of sharded channels (Redis 7)
 *
 *     KEY#NSP#         broadcasts, questions and orders, to all
 *     KEY#NSP#ROOM#    broadcasts to this one room, or socket: heard where it has members
 *     KEY#NSP#UID#     answers, to one server
 *
 * The room "b" of "/a" has the channel of "/a#b": the message says whose it is.
 *
 * sharded.c is the adapter and what it sends, sharded_in.c what it receives, rooms with
 * their channels are sharded_rooms.c.  (The channels and the messages, message.h, of
 * createShardedAdapter in the npm package @socket.io/redis-adapter 8.3)
 */
#ifndef CLUSTER_SHARDED_H
#define CLUSTER_SHARDED_H

#include "cluster/cluster.h"
#include "cluster/message.h"
#include "socketio/namespace.h"

/* Rooms in which others were made members a moment ago. */
#define SHARDED_LATELY 32

struct sharded {
    struct cluster_adapter base;
    struct cluster_topic all; /* KEY#NSP# */
    struct cluster_topic own; /* KEY#NSP#UID# */

    struct map rooms; /* that are listened to: struct sharded_room.node, by name */
    /* Of these: they have lost their members, and are heard for who may come back. */
    struct list resting; /* the next one to be forgotten first */
    uint32_t n_resting;
    struct net_timer timer;

    /* Where somebody may not listen yet. */
    struct {
        uint32_t hash;
        uint64_t until_ms;
    } lately[SHARDED_LATELY];
    uint32_t next_lately;
    uint64_t all_lately_until_ms; /* there were too many */

    struct wbuf tails; /* how our own messages end: JSON, then MessagePack */
    size_t json_tail_len;
};

static inline struct sharded *sharded_of(struct sio_adapter *a)
{
    return container_of(cluster_adapter_of(a), struct sharded, base);
}

static inline struct sio_namespace *sharded_ns(const struct sharded *s)
{
    return s->base.rooms.base.ns;
}

static inline struct sio_sharded_sender sharded_me(const struct sharded *s)
{
    struct sio_sharded_sender me = {sio_cluster_uid(s->base.cluster),
                                    sio_namespace_name(sharded_ns(s))};

    return me;
}

static inline struct sio_str sharded_channel(const struct sharded *s)
{
    return s->base.channel;
}

/* Publishes an answer, which w holds. */
void sharded_say(struct sharded *s, const struct cluster_origin *to, struct wbuf *w);

/* For the topics; user is the adapter. */
void sharded_on_message(struct cluster_topic *t, struct sio_str channel,
                        struct sio_slice body, void *user);

/*
 * Rooms.
 */

void sharded_rooms_init(struct sharded *s);
void sharded_rooms_fini(struct sharded *s);

/*
 * True if what is for this room alone goes to its own channel: all who have members there
 * listen.
 */
bool sharded_has_channel(const struct sharded *s, struct sio_str room);

/* A socket comes, and goes: its id is a room.  SIO_OK or SIO_ERR_NOMEM. */
int sharded_rooms_enter(struct sharded *s, struct sio_str id);
void sharded_rooms_leave(struct sharded *s, struct sio_str id);

/* Servers are making members in these rooms: they do not listen there at once. */
void sharded_rooms_joined(struct sharded *s, const struct sio_str *rooms, size_t n);

#endif
