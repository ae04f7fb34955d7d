/*
 * socketio/join.h - a client wants to join a namespace
 *
 *     middleware of the parent, of the namespace, on_join, admitted or refused
 *
 * A namespace without middleware decides at once, and nothing is kept.  Else a
 * sio_join goes from one middleware to the next; it belongs to whoever has to decide,
 * and outlives its socket if that ends before.
 */
#ifndef SOCKETIO_JOIN_H
#define SOCKETIO_JOIN_H

#include <sioc/server.h>

#include "socketio/client_conn.h"

/* A CONNECT packet for ns, which c has not joined yet. */
void sio_join_begin(struct sio_conn *c, struct sio_namespace *ns, struct sio_str auth);

/* The socket that waits has ended: its join decides nothing any more. */
void sio_join_detach(struct sio_join *j);

/* Answers a CONNECT with the reason why not; data ptr NULL: none. */
void sio_conn_refuse(struct sio_conn *c, struct sio_str nsp, const char *message,
                     struct sio_str data);

#endif
