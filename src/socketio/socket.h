/*
 * socketio/socket.h - a client's presence in a namespace
 *
 *     JOINING -> JOINED -> ENDED
 *
 * Its connection owns it.  An ended socket has left everything, and its memory lives
 * to the end of the turn: a handler may end any socket, its own included.
 */
#ifndef SOCKETIO_SOCKET_H
#define SOCKETIO_SOCKET_H

#include <sioc/server.h>

#include "base/map.h"
#include "base/random.h"
#include "net/loop.h"
#include "socketio/ack.h"
#include "socketio/event.h"
#include "socketio/hooks.h"

enum sio_socket_state { SIO_SOCKET_JOINING, SIO_SOCKET_JOINED, SIO_SOCKET_ENDED };

struct sio_socket {
    struct map_node node; /* in its namespace, by id */
    char id[RANDOM_ID_LEN + 1];
    uint8_t state;
    bool recovered;
    uint8_t v2_sid_len; /* of the sid in v2_id; 0: that is not the id; socketio/v2.h */
    struct sio_conn *conn;
    struct sio_namespace *ns;
    struct list link;  /* in its connection */
    struct list rooms; /* the adapter's: where it is a member */
    uint64_t stamp;    /* the adapter's: the last broadcast that saw it */
    struct sio_replier replier;
    struct sio_acks acks;
    void *data;
    void (*destroy_data)(void *data); /* or NULL */
    struct sio_ticket *ticket;        /* to be recovered with, or NULL */
    struct sio_hooks *hooks;          /* or NULL */
    struct sio_join *join;            /* that decides about it; NULL: none */
    struct net_task reap;
    char v2_id[]; /* "<namespace>#<sid>", or a sid that is too long for id */
};

/* JOINING: known to its connection.  NULL: out of memory. */
struct sio_socket *sio_socket_new(struct sio_conn *conn, struct sio_namespace *ns);

/* JOINING -> ENDED: refused. */
void sio_socket_discard(struct sio_socket *s);

/*
 * JOINING -> JOINED: can be found and sent to.  SIO_OK or SIO_ERR_NOMEM (it is still
 * JOINING).
 */
int sio_socket_admit(struct sio_socket *s);

/* -> ENDED, on_disconnect included if it was JOINED.  Harmless once ENDED. */
void sio_socket_end(struct sio_socket *s, enum sio_disconnect_reason reason);

#endif
