/*
 * socketio/history.h - the events that a namespace has sent, for who missed some
 *
 * A ring of references to encoded messages, numbered without a gap, each with whom it
 * was addressed to.  An event's number travels in it as its offset, a text that says
 * also whose history it is of.  Bounded in packets and time, and in bytes together with
 * the server's other histories; the oldest go.
 */
#ifndef SOCKETIO_HISTORY_H
#define SOCKETIO_HISTORY_H

#include <sioc/server.h>

#include "base/list.h"
#include "base/map.h"
#include "base/random.h"
#include "base/str.h"

#define SIO_HISTORY_TAG_LEN    8
#define SIO_HISTORY_OFFSET_MAX (SIO_HISTORY_TAG_LEN + STR_U64_SIZE)

struct sio_history_entry;

/* What the histories of a server hold together. */
struct sio_history_pool {
    struct list histories; /* struct sio_history.link, of those that hold something */
    size_t n;              /* of them */
    size_t bytes;
    size_t max_bytes; /* not 0 */
};

struct sio_history {
    struct sio_history_pool *pool;
    struct list link;
    struct sio_history_entry *ring; /* cap of them; n, from first on, are in use */
    size_t cap;
    size_t first;
    size_t n;
    uint64_t next; /* the number of the next event */
    size_t bytes;  /* held by all */
    size_t max_packets;
    uint64_t hold_ms;
    char tag[SIO_HISTORY_TAG_LEN]; /* random: an offset of another history is none */
};

void sio_history_pool_init(struct sio_history_pool *pool, size_t max_bytes);

/* Allocates nothing.  The limits are not 0. */
void sio_history_init(struct sio_history *h, struct sio_history_pool *pool,
                      size_t max_packets, uint64_t hold_ms, struct random_pool *random);
void sio_history_fini(struct sio_history *h);

/* Forgets all: no offset given so far is known, except the newest. */
void sio_history_clear(struct sio_history *h);

/* Drops what is older than hold_ms. */
void sio_history_trim(struct sio_history *h, uint64_t now_ms);

/* When the oldest event is due to be dropped; UINT64_MAX: there is none. */
uint64_t sio_history_due(const struct sio_history *h);

/* The offset of the event that is added next.  Returns its length. */
size_t sio_history_offset(const struct sio_history *h,
                          char out[SIO_HISTORY_OFFSET_MAX]);

/*
 * Adds an event that was sent with that offset, and holds it.  target NULL: everybody.
 * Where the pool is full a history that has more than its share makes room.
 * Without memory for it all is forgotten, so that nobody is given events with a gap.
 */
void sio_history_add(struct sio_history *h, uint64_t now_ms,
                     const struct sio_target *target, struct eio_msg *msg);

/*
 * The number behind an offset.  False: none of this history's, or an event behind it
 * has been dropped.
 */
bool sio_history_find(const struct sio_history *h, struct sio_str offset,
                      uint64_t *number);

/* True if no event behind that number has been dropped. */
bool sio_history_covers(const struct sio_history *h, uint64_t number);

/*
 * The first event behind *number that somebody in rooms (its keys are their names)
 * was sent, and its number; borrowed.  NULL at the end.
 */
struct eio_msg *sio_history_next(const struct sio_history *h, const struct map *rooms,
                                 uint64_t *number);

#endif
