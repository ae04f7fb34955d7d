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
    struct net_tls *tls;      /* NULL: plain */
    struct http_proxy *proxy; /* NULL: none */
    char *tls_name;           /* NULL: host */
    char *path;
    char *query;
    char *fields;
    enum sio_client_transports transports;
    bool try_all;
    struct eio_deflate_options deflate;
    enum sio_client_offline offline;
    size_t max_queue_bytes;
    size_t max_message;
    uint32_t connect_timeout_ms;
    uint32_t delay_ms;
    uint32_t delay_max_ms;
    uint32_t jitter_percent;
    uint32_t max_attempts; /* 0: without end */
    uint32_t ack_timeout_ms;
    uint32_t retries;
    bool no_reconnect;
    bool rejoin;
};

struct sio_client {
    struct net_loop *loop;
    struct sio_client_config config;
    void (*on_down)(struct sio_client *c, int error, const char *why,
                    uint32_t retry_in_ms, void *user);
    void (*on_attempt)(struct sio_client *c, uint32_t n, void *user);
    void (*on_up)(struct sio_client *c, void *user);
    void *user;

    enum sio_client_state state;
    bool freed;
    struct http_cookies *cookies;
    struct eio_client *eio; /* NULL: idle, waiting */
    uint32_t n_attempts;    /* since a namespace was joined last */
    struct net_timer retry;
    struct list sockets;
    struct sio_codec codec;
    struct sio_assembly *assembly; /* attachments are due */
    size_t held_bytes;             /* by all sockets, to be sent or answered */
    struct list flush_waits;
    struct net_task check; /* whether all is flushed; once freed: reap */
    struct net_task closed;
    void (*close_cb)(void *user);
    void *close_user;
};

enum sio_client_socket_state {
    SIO_CLIENT_SOCKET_APART,   /* no connection, or about to try again */
    SIO_CLIENT_SOCKET_ASKING,  /* the application, for its auth */
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
    bool asked;   /* CONNECT is sent and not answered, whatever became of s */
    char *id;     /* NULL: not joined */
    char *auth;   /* by value; NULL: none */
    char *pid;    /* as a JSON string; NULL: the server does not recover */
    char *offset; /* of the last event, as a JSON string, or NULL */
    bool recovered;
    uint32_t n_refusals;    /* in a row */
    struct net_timer timer; /* the answer to CONNECT; the next try */
    struct list handlers;
    struct list any; /* listeners to every event, in and out */
    struct list any_out;
    unsigned n_walks;    /* over those two, under way */
    struct list offline; /* emitted while not joined */
    struct list unacked; /* with retries: the first one is tried */
    struct net_timer try_timer;
    bool trying;
    struct list early; /* received while joining: some servers answer CONNECT late */
    size_t early_bytes;
    struct sio_acks acks;
    struct sio_replier replier;
};

/* client_config.c */
int sio_client_config_set(struct sio_client_config *g,
                          const struct sio_client_options *o, struct sio_diag *diag);
void sio_client_config_fini(struct sio_client_config *g);

/* client.c */

/* Dials unless it has begun.  SIO_OK, SIO_ERR_NOMEM. */
int sio_client_begin(struct sio_client *c);
/* min(delay_max, delay * 2^n), more or less by the jitter; never 0. */
uint32_t sio_client_backoff(const struct sio_client *c, uint32_t n);
/* What the server sent breaks the protocol: the connection ends. */
void sio_client_violation(struct sio_client *c, int error, const char *why);
/* The same for want of memory. */
void sio_client_no_memory(struct sio_client *c);

/* client_socket.c */
struct sio_client_socket *sio_client_socket_find(struct sio_client *c,
                                                 struct sio_str name);
/* The application wants it again. */
int sio_client_socket_revive(struct sio_client_socket *s);
/* A connection is there: asks to join. */
void sio_client_socket_join(struct sio_client_socket *s);
/* Apart from the connection, for the reason given.  Callbacks run. */
void sio_client_socket_leave(struct sio_client_socket *s, const char *reason);
/* Sends DISCONNECT for a joined socket. */
void sio_client_socket_say_goodbye(struct sio_client_socket *s);
/* A packet for s, with its attachments. */
void sio_client_socket_packet(struct sio_client_socket *s, const struct sio_packet *p,
                              struct sio_slice text,
                              const struct sio_slice *attachments);
/* An event or an answer to an ack, of a socket that is joining or joined. */
void sio_client_socket_event(struct sio_client_socket *s, const struct sio_packet *p,
                             struct sio_slice text,
                             const struct sio_slice *attachments);
/* An event goes to the connection; listeners hear of it.  As eio_client_send. */
int sio_client_socket_send(struct sio_client_socket *s, struct eio_msg *msg);
/* Ends what waits (callbacks run), then frees. */
void sio_client_socket_end(struct sio_client_socket *s);
void sio_client_socket_free(struct sio_client_socket *s);

/* client_listen.c */
void sio_client_listen_init(struct sio_client_socket *s);
void sio_client_listen_fini(struct sio_client_socket *s);
/* Tells every listener, then the handler of that name. */
void sio_client_listen_event(struct sio_client_socket *s, struct sio_event *e);
void sio_client_listen_outgoing(struct sio_client_socket *s, const struct eio_msg *msg);

/* client_queue.c */
bool sio_client_has_room(const struct sio_client *c, const struct eio_msg *msg);
/*
 * Keeps an event until s is joined.  SIO_OK, SIO_ERR_NOMEM, _FULL, _CLOSED and _AGAIN
 * as sio_client_socket_emit.
 */
int sio_client_hold(struct sio_client_socket *s, struct eio_msg *msg, bool has_ack,
                    uint64_t id);
/* Joined: what was held goes out in order. */
void sio_client_send_held(struct sio_client_socket *s);
void sio_client_drop_held(struct sio_client_socket *s);
/* Nobody waits for this answer any more: what asks for it is not sent, if it is held. */
void sio_client_forget_held(struct sio_client_socket *s, uint64_t ack_id);
/* Keeps an event that came while s is joining.  SIO_OK, _NOMEM, _TOO_BIG. */
int sio_client_hold_early(struct sio_client_socket *s, const struct sio_packet *p,
                          struct sio_slice text, const struct sio_slice *attachments);
/* Joined: handles what came early. */
void sio_client_handle_early(struct sio_client_socket *s);
void sio_client_drop_early(struct sio_client_socket *s);

/* client_retry.c */
void sio_client_retry_init(struct sio_client_socket *s);
/*
 * Queues an event that is sent until it is answered; cb may be NULL.  Errors as
 * sio_client_hold.
 */
int sio_client_retry_add(struct sio_client_socket *s, struct eio_msg *msg, uint64_t id,
                         uint32_t timeout_ms, sio_ack_cb cb, void *user);
/* An answer.  False: it is none to what is tried. */
bool sio_client_retry_answer(struct sio_client_socket *s, uint64_t id,
                             struct sio_event *e);
/* Joined: goes on with the first one. */
void sio_client_retry_resume(struct sio_client_socket *s);
/* No longer joined: the try has failed. */
void sio_client_retry_pause(struct sio_client_socket *s);
/* Tells all that wait that they wait in vain. */
void sio_client_retry_end(struct sio_client_socket *s);

#endif
