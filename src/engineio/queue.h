/*
 * engineio/queue.h - what waits in a session, in order and bounded
 *
 * A ring of references, empty and without memory while the transport keeps up.
 */
#ifndef ENGINEIO_QUEUE_H
#define ENGINEIO_QUEUE_H

#include "engineio/msg.h"

struct eio_queue_entry;

struct eio_queue {
    struct eio_queue_entry *ring; /* NULL until the first message */
    uint32_t cap;                 /* a power of two, or 0 */
    uint32_t head;                /* index of the oldest entry */
    uint32_t n;                   /* entries, replaced ones included */
    uint32_t n_replaced;          /* entries whose message was replaced */
    uint32_t n_keyed;             /* messages with a replace key */
    uint32_t n_parts_sent;        /* of the front message */
    size_t bytes;
};

/* Zeroed memory is an empty queue. */
void eio_queue_fini(struct eio_queue *q);

bool eio_queue_empty(const struct eio_queue *q);

/*
 * Adds a reference to msg at the end.  A message with the same replace key is
 * dropped, unless it is already sent in part; *n_dropped counts it.  SIO_OK;
 * SIO_ERR_FULL when the bytes would pass max_bytes (a message that finds the queue
 * empty always goes in); SIO_ERR_NOMEM.
 */
int eio_queue_push(struct eio_queue *q, struct eio_msg *msg, size_t max_bytes,
                   uint64_t *n_dropped);

/*
 * The oldest message, borrowed, and the first of its parts that is still to be
 * sent.  NULL: empty.
 */
struct eio_msg *eio_queue_front(const struct eio_queue *q, uint32_t *part);

/* n more parts of the front message are sent; the last one takes it out. */
void eio_queue_sent(struct eio_queue *q, uint32_t n);

/*
 * Walks from the front: `for (it = 0; (msg = eio_queue_walk(q, &it, &part)); )`.
 * part is the first unsent one.  The queue is not changed meanwhile.
 */
struct eio_msg *eio_queue_walk(const struct eio_queue *q, uint32_t *it, uint32_t *part);

#endif
