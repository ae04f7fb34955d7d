/*
 * socketio/recovery.h - lets a client that lost its connection go on where it was
 *
 * Every socket has a ticket, whose secret (`pid`) its client learns.  When the socket
 * ends by a fault of the connection, the ticket keeps what it was: id, rooms, data.  A
 * client that presents the ticket in time gets it back, and the events that it missed.
 *
 *     held by a socket -> waiting -> held by the next socket, or expired
 *
 * Belongs to a namespace, and is not there when recovery is off.
 * (Socket.IO, "Connection state recovery")
 */
#ifndef SOCKETIO_RECOVERY_H
#define SOCKETIO_RECOVERY_H

#include <sioc/server.h>

#include "base/list.h"
#include "base/map.h"
#include "base/random.h"
#include "socketio/history.h"

struct sio_recovery {
    struct sio_namespace *ns;
    struct sio_history history;
    struct map waiting;     /* struct sio_ticket.node, by pid */
    struct list by_expiry;  /* struct sio_ticket.link, the next one first */
    struct net_timer timer; /* for what is due to be dropped */
    uint64_t timer_due_ms;
    uint32_t n_tickets; /* waiting, or held by a socket */
    uint32_t n_present; /* held by a socket that has joined */
};

struct sio_ticket {
    struct map_node node;
    struct list link;
    struct list in_server; /* in the server's, while it waits */
    struct sio_recovery *recovery;
    char pid[RANDOM_ID_LEN + 1];

    /* Of the socket that ended. */
    char id[RANDOM_ID_LEN + 1];
    uint64_t expires_ms;
    struct map_node *room_nodes; /* n_rooms, in one block with their names; or NULL */
    size_t n_rooms;
    void *data;
    void (*destroy_data)(void *data); /* NULL: no data was kept */
    struct sio_buf *attributes;       /* or NULL */

    /* Of the socket that goes on, until it has what it missed. */
    struct map rooms; /* the nodes, by name */
    uint64_t last;    /* the number of the last event that its client has */
};

/* What the namespaces of a server have in common. */
struct sio_recovery_common {
    struct sio_recovery_options options; /* defaults filled in; max_away_ms 0: off */
    uint64_t hold_ms;                    /* how long events are kept */
    size_t max_replay_bytes; /* what a client that comes back may have missed */
    struct sio_history_pool pool;
    struct list waiting; /* struct sio_ticket.in_server, the first one longest */
    uint32_t n_waiting;
};
void sio_recovery_common_init(struct sio_recovery_common *common,
                              const struct sio_server_options *opts);

/* NULL: out of memory. */
struct sio_recovery *sio_recovery_new(struct sio_namespace *ns);
/* No socket is left.  Waiting tickets expire.  NULL is allowed. */
void sio_recovery_free(struct sio_recovery *r);

/*
 * A socket wants to join (JOINING); auth is its CONNECT's payload.  Gives it a ticket:
 * the one that it presents, and with it id and data, or a new one.  SIO_OK or
 * SIO_ERR_NOMEM.
 */
int sio_recovery_open(struct sio_socket *s, struct sio_str auth);

/* It was refused, or its connection has ended: the ticket goes back where it was. */
void sio_recovery_abandon(struct sio_socket *s);

/* It is about to be JOINED: enters its rooms.  SIO_OK or SIO_ERR_NOMEM. */
int sio_recovery_enter(struct sio_socket *s);

/* It has joined, and its client was told: sends what it missed. */
void sio_recovery_replay(struct sio_socket *s);

/*
 * It has ended.  Before on_disconnect: from now on it misses events.  After it, while
 * it is still in its rooms: the ticket waits, or goes.
 */
void sio_recovery_leave(struct sio_socket *s);
void sio_recovery_close(struct sio_socket *s, enum sio_disconnect_reason reason);

/* As sio_socket_emit, and sio_namespace_emit, of a message that is not volatile. */
int sio_recovery_emit(struct sio_socket *s, struct sio_message *m);
int sio_recovery_broadcast(struct sio_namespace *ns, const struct sio_target *target,
                           struct sio_message *m);

#endif
