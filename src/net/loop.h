/*
 * net/loop.h - what the other layers need of the loop beside <sioc/loop.h>
 */
#ifndef NET_LOOP_H
#define NET_LOOP_H

#include <sioc/loop.h>

#include "base/list.h"
#include "base/log.h"
#include "base/random.h"

/* A descriptor that the loop watches (level triggered). */
struct net_io {
    int fd;
    uint32_t events; /* EPOLLIN, ...; 0 and fd >= 0: added, but silent */
    void (*on_events)(struct net_io *io, uint32_t events);
};

/* SIO_OK, SIO_ERR_IO, SIO_ERR_NOMEM.  The fd stays the caller's. */
int net_io_add(struct net_loop *loop, struct net_io *io, uint32_t events);
/* One epoll_ctl if events changed, else nothing. */
int net_io_change(struct net_loop *loop, struct net_io *io, uint32_t events);
/* The io is not called again, even for events of this turn. */
void net_io_remove(struct net_loop *loop, struct net_io *io);

/*
 * Work for the end of this turn: after the handlers, before the flush.  A task that
 * is queued already stays where it is.  A task queued by a task runs in the same turn.
 */
struct net_task {
    struct list link; /* list_init at the start */
    void (*run)(struct net_task *task);
};
void net_loop_defer(struct net_loop *loop, struct net_task *task);

/* Work for the end of the turn after the flush: frees what was closed. */
void net_loop_reap(struct net_loop *loop, struct net_task *task);

/* The size of the receive buffer that all connections share. */
#define NET_LOOP_BUFFER_SIZE (128 * 1024)

/* The log, and random bytes.  Borrowed. */
const struct log *net_loop_log(const struct net_loop *loop);
struct random_pool *net_loop_random(struct net_loop *loop);

/* Wall clock seconds and `Date:` text, made once a second at most. */
struct sio_str;
int64_t net_loop_wall_s(struct net_loop *loop);
const char *net_loop_http_date(struct net_loop *loop); /* 29 characters, NUL */

#endif
