/*
 * redis/conn.h - one connection to a Redis that comes back by itself
 *
 * Commands are pipelined and answered in order.  Nothing waits: while there is no
 * connection a command fails at once, and one that is lost with its connection is
 * answered with SIO_ERR_CLOSED.  A Redis that owes an answer for too long counts as
 * gone.  The log gets one line when the connection is there and one when it is lost.
 *
 * hiredis reads the answers; the connection itself is of net/.
 */
#ifndef REDIS_CONN_H
#define REDIS_CONN_H

#include <stdbool.h>

#include <sioc/bytes.h>

#include "net/loop.h"
#include "redis/url.h"

struct redis_conn;

/* An answer; borrowed until the callback returns. */
struct redis_reply;

bool redis_reply_is_error(const struct redis_reply *r);
/* Text of a string, status or error; false: it is something else. */
bool redis_reply_text(const struct redis_reply *r, struct sio_str *out);
bool redis_reply_integer(const struct redis_reply *r, int64_t *out);
/* Items of an array; 0: none, or no array. */
size_t redis_reply_count(const struct redis_reply *r);
const struct redis_reply *redis_reply_at(const struct redis_reply *r, size_t i);

/*
 * The answer to one command: SIO_OK; SIO_ERR_REFUSED where it is an error, whose text is
 * the reply's; SIO_ERR_CLOSED with reply NULL.  Called once, never before
 * redis_conn_command returns.  May send commands, must not free the connection.
 */
typedef void (*redis_reply_cb)(int status, const struct redis_reply *reply, void *user);

struct redis_conn_ops {
    /* Connected, logged in, database chosen: commands may be sent. */
    void (*on_up)(struct redis_conn *c, void *user);
    /* After on_up, once all commands have been answered with SIO_ERR_CLOSED. */
    void (*on_down)(struct redis_conn *c, void *user);
    /*
     * What comes without being asked for: messages of channels, what subscribing is
     * answered with, errors of redis_conn_tell.  NULL: such a thing ends the connection.
     */
    void (*on_push)(struct redis_conn *c, const struct redis_reply *reply, void *user);
};

/*
 * Begins to connect, and does so again, until it is freed.  url and ops are borrowed for
 * its life; name tells several connections apart in the log.  NULL: out of memory.
 */
struct redis_conn *redis_conn_new(struct net_loop *loop, const struct redis_url *url,
                                  const char *name, const struct redis_conn_ops *ops,
                                  void *user);

/* Answers what is open with SIO_ERR_CLOSED; on_down is not called.  NULL is allowed. */
void redis_conn_free(struct redis_conn *c);

bool redis_conn_is_up(const struct redis_conn *c);

/* For how long an answer has been owed without a sign of life; 0: none is. */
uint64_t redis_conn_silent_ms(const struct redis_conn *c);

/*
 * Sends one command.  An argument with a buf is not copied.  SIO_OK: cb follows;
 * SIO_ERR_CLOSED: there is no connection; SIO_ERR_INVAL, SIO_ERR_NOMEM.
 */
#define REDIS_MAX_ARGS 32
int redis_conn_command(struct redis_conn *c, const struct sio_slice *args, size_t n,
                       redis_reply_cb cb, void *user);

/* The same for what is not answered in turn: SUBSCRIBE and the like. */
int redis_conn_tell(struct redis_conn *c, const struct sio_slice *args, size_t n);

/* An argument of borrowed text. */
static inline struct sio_slice redis_arg(struct sio_str s)
{
    return (struct sio_slice){NULL, (const uint8_t *)s.ptr, s.len};
}

/* Bytes that are not yet with the kernel. */
size_t redis_conn_unsent(const struct redis_conn *c);

#endif
