/*
 * socketio/server.h - what the layers inside the tree need beside <sioc/server.h>
 */
#ifndef SOCKETIO_SERVER_H
#define SOCKETIO_SERVER_H

#include <sioc/server.h>

#include "http/server.h"

/* As eio_server_attach. */
struct sio_server *sio_server_attach(struct net_loop *loop, struct http_server *http,
                                     const struct sio_server_options *opts,
                                     struct sio_diag *diag);

#endif
