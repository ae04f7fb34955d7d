/*
 * socketio/client_impl.h - the inside of sio_client and its sockets
 */
#ifndef SOCKETIO_CLIENT_IMPL_H
#define SOCKETIO_CLIENT_IMPL_H

#include <sioc/client.h>

#include "engineio/client.h"
#include "net/loop.h"
#include "socketio/ack.h"
#include "socketio/event.h"

enum sio_client_state {
    SIO_CLIENT_IDLE,    /* not asked to connect */
    SIO_CLIENT_DIALING, /* Engine.IO is opening */
    SIO_CLIENT_OPEN,
    SIO_CLIENT_WAITING, /* for the next attempt */
    SIO_CLIENT_CLOSING, /* by the application */
};

/* The options with everything that was left out filled in. */
struct sio_client_config {
    char *host;
    uint16_t port;
    struct net_tls *tls; /* NULL: plain */
    char *path;
    char *query;
    char *fields;
    enum sio_client_transports transports;
    enum sio_client_offline offline;
    size_t max_queue_bytes;
    size_t max_message;
    uint32_t connect_timeout_ms;
    uint32_t delay_ms;
    uint32_t delay_max_ms;
    bool no_reconnect;
    bool rejoin;
};

struct sio_client {
    struct net_loop *loop;
    struct sio_client_config config;
    void (*on_down)(struct sio_client *c, int error, const char *why,
                    uint32_t retry_in_ms, void *user);
    void *user;

    enum sio_client_state state;
    bool freed;
    struct eio_client *eio; /* NULL: idle, waiting */
    uint32_t n_attempts;    /* since a namespace was joined last */
    struct net_timer retry;
    struct list sockets;
    struct sio_codec codec;
    struct sio_assembly *assembly; /* attachments are due */
    size_t offline_bytes;          /* held by all sockets */
    struct list flush_waits;
    struct net_task check; /* whether all is flushed; once freed: reap */
    struct net_task closed;
    void (*close_cb)(void *user);
    void *close_user;
};

enum sio_client_socket_state {
    SIO_CLIENT_SOCKET_APART,   /* no connection, or about to try again */
    SIO_CLIENT_SOCKET_JOINING, /* CONNECT is sent */
    SIO_CLIENT_SOCKET_JOINED,
    SIO_CLIENT_SOCKET_OUT, /* the server does not want it: not tried again */
};

struct sio_client_socket {
    struct list link;
    struct sio_client *client;
    char *name;
    const struct sio_client_socket_ops *ops;
    void *user;
    enum sio_client_socket_state state;
    char *id;               /* NULL: not joined */
    uint32_t n_refusals;    /* in a row */
    struct net_timer timer; /* the answer to CONNECT; the next try */
    struct list handlers;
    struct list offline; /* emitted while not joined */
    struct list early;   /* received while joining: some servers answer CONNECT late */
    size_t early_bytes;
    struct sio_acks acks;
    struct sio_replier replier;
};

/* client.c */

/* min(delay_max, delay * 2^n), times 0.5 to 1.5. */
uint32_t sio_client_backoff(const struct sio_client *c, uint32_t n);
/* What the server sent breaks the protocol: the connection ends. */
void sio_client_violation(struct sio_client *c, int error, const char *why);

/* client_socket.c */
struct sio_client_socket *sio_client_socket_find(struct sio_client *c,
                                                 struct sio_str name);
/* A connection is there: asks to join. */
void sio_client_socket_join(struct sio_client_socket *s);
/* Apart from the connection, for the reason given.  Callbacks run. */
void sio_client_socket_leave(struct sio_client_socket *s, const char *reason);
/* A packet for s, with its attachments. */
void sio_client_socket_packet(struct sio_client_socket *s, const struct sio_packet *p,
                              struct sio_slice text,
                              const struct sio_slice *attachments);
/* Ends what waits (callbacks run), then frees. */
void sio_client_socket_end(struct sio_client_socket *s);
void sio_client_socket_free(struct sio_client_socket *s);

#endif
