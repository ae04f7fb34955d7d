/*
 * redis/nodes.h - one Redis, or a cluster of them: connections to where each key is
 *
 * What the URL names is connected to (conn.h).  One Redis has this connection, and each
 * function here is one of conn.h's.  One that says that it is of a cluster (HELLO: Redis 6)
 * is asked where the 16384 slots of keys are, and each node is connected to, with the URL's
 * user, password and TLS, when something is for it first.
 *
 * A command goes to the node of its key.  Where that refuses it because the key is
 * elsewhere (MOVED, ASK), which means that it was not done, it follows, at most 5 times.
 * Nothing else is said twice.  It waits only for a node that is being connected to for the
 * first time; one that was lost answers with SIO_ERR_CLOSED at once.  Where slots are is
 * asked again when something moved or was lost, at most once a second while there is
 * anybody to send to, of one node after the other, on a connection for that.
 *
 * Whoever answers for a cluster is trusted with the password, as it names the other nodes.
 */
#ifndef REDIS_NODES_H
#define REDIS_NODES_H

#include "redis/conn.h"

struct redis_nodes;

/* A node has a number while it is known; of one Redis it is 0. */
#define REDIS_NO_NODE UINT32_MAX

/* All but on_up and on_down may be NULL, and are not called of one Redis but for on_push. */
struct redis_nodes_ops {
    /* Commands may be sent. */
    void (*on_up)(struct redis_nodes *n, void *user);
    /* After on_up, once all commands have been answered: no node is there. */
    void (*on_down)(struct redis_nodes *n, void *user);
    /* While it is up: a node is away; its commands have been answered. */
    void (*on_lost)(struct redis_nodes *n, uint32_t node, void *user);
    /*
     * While it is up: some keys are at another node than before, or one that was lost is
     * there again.  What was written there may be missing.
     */
    void (*on_changed)(struct redis_nodes *n, void *user);
    /* As of redis_conn_ops. */
    void (*on_push)(struct redis_nodes *n, uint32_t node,
                    const struct redis_reply *reply, void *user);
};

/*
 * As redis_conn_new.  opts, but for the URL, is copied; ops is borrowed.  NULL: out of
 * memory.
 */
struct redis_nodes *redis_nodes_new(struct net_loop *loop,
                                    const struct redis_conn_options *opts,
                                    const struct redis_nodes_ops *ops, void *user);

/*
 * Answers what is open with SIO_ERR_CLOSED; on_down is not called.  Not out of a callback.
 * NULL is allowed.
 */
void redis_nodes_free(struct redis_nodes *n);

bool redis_nodes_is_up(const struct redis_nodes *n);
/* It is up, and no node is lost that has keys and was asked for some. */
bool redis_nodes_is_whole(const struct redis_nodes *n);

/* The longest of all connections (conn.h). */
uint64_t redis_nodes_silent_ms(const struct redis_nodes *n);
/* Of all connections, and what waits for them. */
size_t redis_nodes_unsent(const struct redis_nodes *n);

/*
 * Sends one command to the node of this key; key.ptr NULL: any node will do, and it is the
 * same one until it is lost.  As redis_conn_request; SIO_ERR_CLOSED also where that node is
 * away.  The order of commands for one key is kept, but for those that meet a slot while it
 * moves.
 */
int redis_nodes_request(struct redis_nodes *n, struct sio_str key,
                        const struct redis_request *r, redis_reply_cb cb, void *user);
/* To this node, and no other. */
int redis_nodes_request_at(struct redis_nodes *n, uint32_t node,
                           const struct redis_request *r, redis_reply_cb cb,
                           void *user);

/* Where a command for this key would go now. */
uint32_t redis_nodes_where(const struct redis_nodes *n, struct sio_str key);
/* Within a redis_reply_cb that got an answer: of which node. */
uint32_t redis_nodes_speaker(const struct redis_nodes *n);
/*
 * Walks the nodes that have keys, or these and their replicas: the one behind that number,
 * REDIS_NO_NODE for the first; REDIS_NO_NODE at the end.
 */
uint32_t redis_nodes_next(const struct redis_nodes *n, uint32_t node, bool replicas);

/* Keys may have moved: asks again where they are. */
void redis_nodes_doubt(struct redis_nodes *n);

#endif
