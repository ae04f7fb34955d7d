/*
 * redis/nodes_impl.h - the inside of redis/nodes.h: nodes.c has the connections and sends,
 * nodes_map.c finds out where slots are
 */
#ifndef REDIS_NODES_IMPL_H
#define REDIS_NODES_IMPL_H

#include "base/list.h"
#include "net/loop.h"
#include "redis/nodes.h"
#include "redis/slots.h"

#define REDIS_MAX_NODES 256

struct redis_node {
    struct redis_nodes *nodes;
    struct redis_conn *conn; /* NULL: nothing was for it yet */
    struct redis_url url;    /* the host is its own, the rest is the user's URL */
    struct list held; /* commands that wait until it is there for the first time */
    size_t held_bytes;
    uint64_t seen_ms; /* when the cluster named it last */
    uint32_t id;
    uint32_t n_slots;
    bool known; /* what was learnt last has it */
    bool lost;
    bool keyed;   /* something was for a key of it */
    bool demoted; /* it has no keys any more */
};

/* What there is for a cluster only. */
struct redis_map {
    struct redis_node *nodes[REDIS_MAX_NODES]; /* by number; NULL: free */
    uint32_t end;                              /* no number is as high */
    uint16_t *owner;            /* of each slot: number, or REDIS_MAX_NODES: unknown */
    struct redis_conn *learner; /* NULL: nobody is being asked */
    uint32_t asked;             /* the node that is, or was last */
    uint64_t asked_ms;
    uint64_t learned_ms;
    struct net_timer care;
    struct net_task tend;
    bool answered; /* the learner's work is done */
    bool learned;  /* once at least */
    bool doubt;    /* what is known may be wrong */
    bool changed;  /* and the user does not know it */
    bool told;     /* the log has it that CLUSTER SLOTS is refused */
};

struct redis_nodes {
    struct net_loop *loop;
    struct redis_conn_options opts;
    const struct redis_nodes_ops *ops;
    void *user;
    struct redis_map *map; /* NULL: it is one Redis */
    uint32_t home;         /* gets what may go anywhere */
    uint32_t speaker;
    bool up;
    struct redis_node seed; /* what the URL names; number 0 */
};

/* nodes.c */

/* Begins to connect, if nobody has. */
int redis_node_open(struct redis_node *node);
static inline bool redis_node_is_up(const struct redis_node *node)
{
    return node->conn && redis_conn_is_up(node->conn);
}
/* The first one from home on that is there becomes home, and it is up. */
void redis_nodes_look_for_home(struct redis_nodes *n);
/* As if its connection had been lost; the next command makes another one. */
void redis_node_drop(struct redis_node *node);
/* Its commands are answered, and whoever uses it is told.  It is not in the map any more. */
void redis_node_free(struct redis_node *node);

/* nodes_map.c */

/* SIO_OK or SIO_ERR_NOMEM. */
int redis_map_new(struct redis_nodes *n);
void redis_map_free(struct redis_nodes *n);
/* Finds or makes; base is who named it.  NULL: out of memory, or too many. */
struct redis_node *redis_map_node(struct redis_nodes *n,
                                  const struct redis_place *place,
                                  struct redis_node *base);
/* A node says that a slot is there. */
void redis_map_move(struct redis_nodes *n, uint16_t slot, struct redis_node *to);
/* Looks after everything at the end of this turn. */
void redis_map_tend(struct redis_nodes *n);

static inline struct redis_node *redis_nodes_get(const struct redis_nodes *n,
                                                 uint32_t id)
{
    return n->map && id < REDIS_MAX_NODES ? n->map->nodes[id] : NULL;
}

#endif
