/*
 * socketio/ack.h - the answers that a socket waits for
 *
 * Each is told exactly once: answered, timed out, or ended with its socket.
 */
#ifndef SOCKETIO_ACK_H
#define SOCKETIO_ACK_H

#include <sioc/message.h>

#include "base/list.h"

/* Answers that one socket may wait for. */
#define SIO_ACKS_MAX 4096

struct sio_acks {
    struct list waiting; /* by id, lowest first */
    uint64_t next_id;
    uint32_t n;
    /* NULL, or told of each whose time is over, before who waits is. */
    void (*on_timeout)(struct sio_acks *acks, uint64_t id);
};

/* One answer that is awaited, in memory of whoever waits. */
struct sio_waiting {
    struct list link;
    struct sio_acks *acks;
    uint64_t id;
    sio_ack_cb cb;
    void *user;
    bool timed; /* sio_acks_add's, which frees it */
};

void sio_acks_init(struct sio_acks *acks);

/*
 * Waits for one more answer; its id is in *id.  timeout_ms 0: for ever.  SIO_OK,
 * SIO_ERR_NOMEM, SIO_ERR_FULL.  cb is not called before this returns.
 */
int sio_acks_add(struct sio_acks *acks, struct net_loop *loop, uint32_t timeout_ms,
                 sio_ack_cb cb, void *user, uint64_t *id);

/*
 * Waits with *w, whose cb and user are set, for the answer to an id that the caller
 * chose, next_id or higher.  SIO_OK, SIO_ERR_FULL.
 */
int sio_acks_put(struct sio_acks *acks, struct sio_waiting *w, uint64_t id);

/* *w waits no more, without a call. */
void sio_acks_take(struct sio_waiting *w);

/* An id for an answer that is awaited elsewhere. */
uint64_t sio_acks_reserve(struct sio_acks *acks);

/*
 * The packet with this id could not be sent: forgets it without a call.  False: who
 * waited was told meanwhile.
 */
bool sio_acks_drop(struct sio_acks *acks, uint64_t id);

/* An answer has come.  False: nobody waits for it. */
bool sio_acks_answer(struct sio_acks *acks, uint64_t id, struct sio_event *e);

/* The question will never be sent: tells who waits for it. */
void sio_acks_fail(struct sio_acks *acks, uint64_t id, int status);

/*
 * The socket has ended: tells all that wait, with SIO_ERR_CLOSED.  What their
 * callbacks add waits for the next end (a client's socket lives on).
 */
void sio_acks_end(struct sio_acks *acks);

#endif
