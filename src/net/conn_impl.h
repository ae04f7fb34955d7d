/*
 * net/conn_impl.h - the inside of a connection, for the files of this folder
 */
#ifndef NET_CONN_IMPL_H
#define NET_CONN_IMPL_H

#include "net/conn.h"
#include "net/loop_impl.h"
#include "net/tls_session.h"

enum conn_state {
    CONN_DIALING,   /* looking up, connecting */
    CONN_HANDSHAKE, /* TLS */
    CONN_OPEN,
    CONN_FLUSHING, /* close was asked; output goes first */
    CONN_LINGER,   /* FIN is sent; the peer's is awaited */
    CONN_CLOSED,   /* freed at the end of the turn */
};

/*
 * Output that waits: slices that the connection owns.  The usual one, a small message or
 * the reply to a request, needs no memory; more than one do, while they wait.
 */
struct conn_queue {
    struct sio_slice *v; /* NULL: empty; or &one */
    uint32_t head;
    uint32_t n;
    uint32_t cap;
    size_t bytes;
    struct sio_slice one;
};

struct conn_dial;
struct net_listener;

struct net_conn {
    struct net_io io; /* fd -1 while there is none */
    struct net_loop *loop;
    const struct net_conn_ops *ops;
    void *user;
    struct list all;        /* loop->conns */
    struct net_task work;   /* flush; once closed: reap */
    struct net_task drain;  /* on_drain, in the next turn */
    struct net_timer timer; /* the phase's or the owner's deadline */

    enum conn_state state;
    bool paused : 1;
    bool eof : 1;      /* the peer's end was read */
    bool eof_told : 1; /* on_eof was called */
    bool blocked : 1;  /* a short write: EPOLLOUT tells when to go on */
    bool full : 1;     /* on_drain is due at the low mark */
    bool notified : 1; /* TLS: close_notify is sent */
    bool greeted : 1;  /* TLS: the first bytes of the handshake were read */

    uint32_t linger_ms;
    struct conn_queue out;
    size_t high;
    size_t low;
    uint64_t bytes_out;

    struct tls_session *tls;       /* NULL: plain */
    struct conn_dial *dial;        /* only while dialing and shaking hands */
    struct net_listener *listener; /* NULL: dialled */
    char *diag;                    /* NULL: nothing to say */
    struct net_addr peer;
};

static inline struct net_conn *conn_from_link(struct list *all)
{
    return container_of(all, struct net_conn, all);
}

/* NULL: out of memory. */
struct net_conn *conn_new(struct net_loop *loop);

/* Frees one that was never shown to anybody and has no descriptor. */
void conn_discard(struct net_conn *c);

/* Ends it: on_close, then reap. */
void conn_finish(struct net_conn *c, int error);

/* The same with the sentence for net_conn_diag. */
void conn_fail(struct net_conn *c, int error, const char *fmt, ...) SIOC_PRINTF(3, 4);

/* The same where a system call failed with err. */
void conn_fail_errno(struct net_conn *c, const char *what, int err);

/* conn_read.c: the descriptor's events. */
void conn_on_events(struct net_io *io, uint32_t events);

/* The descriptor is connected (or accepted): handshake if there is TLS, else open. */
void conn_connected(struct net_conn *c);

/* conn_write.c: what can be written now is; may end c. */
void conn_flush(struct net_conn *c);
void conn_on_flush(struct net_task *task);
void conn_on_drained(struct net_task *task);
void conn_queue_clear(struct conn_queue *q);

/* Asks for the events that are wanted.  One epoll_ctl, and only for a change. */
void conn_update_events(struct net_conn *c);

/* Sends TLS's scratch space; what is not taken is kept.  False: c has ended. */
bool conn_send_scratch(struct net_conn *c);

/* dial.c: drops what is left of dialling; NULL is allowed. */
void conn_dial_free(struct conn_dial *d);
/* The descriptor's events while dialling. */
void conn_dial_events(struct net_conn *c, uint32_t events);

/* listener.c: c is open (after TLS), or has ended. */
void listener_conn_open(struct net_listener *l, struct net_conn *c);
void listener_conn_ended(struct net_listener *l);

#endif
