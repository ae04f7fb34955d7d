/*
 * socketio/client_conn.h - one client: an Engine.IO session and the sockets on it
 *
 * Takes packets apart and joins namespaces.  A violation of the protocol ends the
 * session.  Nothing that a handler does inside a callback pulls this away: memory
 * lives to the end of the turn.
 */
#ifndef SOCKETIO_CLIENT_CONN_H
#define SOCKETIO_CLIENT_CONN_H

#include <sioc/server.h>

#include "net/loop.h"
#include "socketio/packet.h"

struct sio_conn {
    struct sio_server *server;
    struct eio_session *session; /* good to the end of the turn in which it closed */
    struct list sockets;         /* struct sio_socket.link; JOINING ones too */
    struct list joins;           /* struct sio_join.link: undecided, socket or not */
    uint32_t n_sockets;
    bool v2;        /* a client of Socket.IO 2; see socketio/v2.h */
    bool closed;    /* nothing can be sent */
    bool forced;    /* by the application: sio_socket_disconnect, sio_socket_abort */
    bool dismissed; /* by the first of these: its clients are not to be recovered */
    uint8_t reason; /* enum sio_disconnect_reason, once closed */
    struct sio_assembly *assembly; /* a packet that waits for attachments, or NULL */
    struct net_timer deadline;     /* to join a namespace */
    struct list link;              /* in the server's dying */
    struct net_task reap;
};

/* A session has opened. */
void sio_conn_open(struct sio_server *server, struct eio_session *session);

/* Ends the sockets of a closed connection, and itself. */
void sio_conn_bury(struct sio_conn *c);

/* Queues a reference.  Errors as eio_session_send.  Calls no handler. */
int sio_conn_send(struct sio_conn *c, struct eio_msg *msg);

/* A packet without attachments. */
int sio_conn_send_packet(struct sio_conn *c, enum sio_packet_type type,
                         struct sio_str nsp, struct sio_str json);

/* Ends the session for a peer's violation, or for want of memory (SIO_ERR_NOMEM). */
void sio_conn_fail(struct sio_conn *c, int error);

/* The application ends the session: namespace by namespace, or without a word. */
void sio_conn_close(struct sio_conn *c, bool cut);

#endif
