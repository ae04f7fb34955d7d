/*
 * redis/slots.h - how a cluster of Redis says where keys are
 *
 * A key has one of 16384 slots, and each slot is at one master.  Pure functions; what they
 * read is hostile.  (redis.io, "Redis cluster specification"; CLUSTER SLOTS)
 */
#ifndef REDIS_SLOTS_H
#define REDIS_SLOTS_H

#include <stdbool.h>

#include <sioc/bytes.h>

#include "redis/reply.h"

#define REDIS_N_SLOTS 16384

/* CRC-16/XMODEM of the key, or of what is in its first {...}, if that is not empty. */
uint16_t redis_slot_of(struct sio_str key);

/* Where a node is; host "" is that of the node which says so. */
struct redis_place {
    struct sio_str host; /* a name or an address, at most 253 bytes */
    uint16_t port;
};

/* "MOVED 3999 192.0.2.1:6381", or ASK, as an error says it. */
struct redis_redirect {
    struct redis_place to;
    uint16_t slot;
    bool ask; /* for this command only */
};
bool redis_redirect_read(struct sio_str error, struct redis_redirect *out);

/* "CLUSTERDOWN ...", "TRYAGAIN ..." and their like: it may be served in a moment. */
bool redis_error_passes(struct sio_str error);

/* An item of what CLUSTER SLOTS answers: borrowed as the reply is. */
struct redis_range {
    uint16_t first;
    uint16_t last;
    const struct redis_reply *item;
};
/* False: it is none. */
bool redis_range_read(const struct redis_reply *item, struct redis_range *out);
/* Its master is node 0, the others are its replicas.  False: there is none, or no place. */
size_t redis_range_count(const struct redis_range *r);
bool redis_range_node(const struct redis_range *r, size_t i, struct redis_place *out);

#endif
