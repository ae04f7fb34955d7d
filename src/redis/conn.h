/*
 * redis/conn.h - one connection to a Redis that comes back by itself
 *
 * Commands are pipelined and answered in order.  Nothing waits: while there is no
 * connection a command fails at once, and one that is lost with its connection is
 * answered with SIO_ERR_CLOSED.  A Redis that owes an answer for too long counts as
 * gone.  The log gets one line when the connection is there and one when it is lost.
 *
 * The connection itself is of net/, reading its bytes of reply.h.
 */
#ifndef REDIS_CONN_H
#define REDIS_CONN_H

#include <stdbool.h>

#include <sioc/bytes.h>

#include "net/loop.h"
#include "net/tls.h"
#include "redis/reply.h"
#include "redis/request.h"
#include "redis/url.h"

struct redis_conn;

/*
 * The answer to one command: SIO_OK; SIO_ERR_REFUSED where it is an error, whose text is
 * the reply's; SIO_ERR_CLOSED with reply NULL.  Called once, never before
 * redis_conn_request returns.  May send commands, must not free the connection.
 */
typedef void (*redis_reply_cb)(int status, const struct redis_reply *reply, void *user);

struct redis_conn_ops {
    /*
     * Connected, logged in, database chosen: commands may be sent.  An error ends the
     * connection, if nothing was sent.
     */
    int (*on_up)(struct redis_conn *c, void *user);
    /* After on_up, once all commands have been answered with SIO_ERR_CLOSED. */
    void (*on_down)(struct redis_conn *c, void *user);
    /* It did not come up; another try follows.  NULL: nobody wants to know. */
    void (*on_failed)(struct redis_conn *c, void *user);
    /*
     * What comes without being asked for: messages of channels, and "sunsubscribe" where a
     * cluster of Redis moves a channel.  NULL: such a thing ends the connection.
     */
    void (*on_push)(struct redis_conn *c, const struct redis_reply *reply, void *user);
};

struct redis_conn_options {
    const struct redis_url *url; /* borrowed for the connection's life */
    struct net_tls *tls; /* redis/tls.h: as the URL says; a reference is taken */
    const char *name; /* tells several connections apart in the log; NULL: no lines */
    size_t max_reply; /* bytes; 0: 512 MiB, the most that a value can have */
    uint32_t idle_ms; /* nothing has come: ask whether it lives; 0: 5000 */
    uint32_t hang_ms; /* an answer is owed and nothing comes: gone; 0: 5000 */
};

/*
 * Begins to connect, and does so again, until it is freed.  ops is borrowed for its life.
 * NULL: out of memory.
 */
struct redis_conn *redis_conn_new(struct net_loop *loop,
                                  const struct redis_conn_options *opts,
                                  const struct redis_conn_ops *ops, void *user);

/* Answers what is open with SIO_ERR_CLOSED; on_down is not called.  NULL is allowed. */
void redis_conn_free(struct redis_conn *c);

bool redis_conn_is_up(const struct redis_conn *c);

/* It is up, and has said that it is one of a cluster (HELLO: Redis 6). */
bool redis_conn_is_cluster(const struct redis_conn *c);

/* For how long an answer has been owed without a sign of life; 0: none is. */
uint64_t redis_conn_silent_ms(const struct redis_conn *c);

/*
 * Sends one command.  SIO_OK: cb follows (it may be NULL); SIO_ERR_CLOSED: there is no
 * connection; SIO_ERR_INVAL, SIO_ERR_NOMEM.
 *
 * SUBSCRIBE and its like are commands as well, of one channel each: then they have one
 * answer, in turn.
 */
int redis_conn_request(struct redis_conn *c, const struct redis_request *r,
                       redis_reply_cb cb, void *user);

/* The same with what redis_request_encode made of one. */
int redis_conn_send(struct redis_conn *c, const struct sio_slice *slices, size_t n,
                    struct sio_str left, redis_reply_cb cb, void *user);

/* Bytes that are not yet with the kernel. */
size_t redis_conn_unsent(const struct redis_conn *c);

#endif
