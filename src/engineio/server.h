/*
 * engineio/server.h - what the layers inside the tree need beside <sioc/engineio.h>
 */
#ifndef ENGINEIO_SERVER_H
#define ENGINEIO_SERVER_H

#include <sioc/engineio.h>

#include "http/server.h"

/*
 * Serves path on an HTTP server that somebody else owns and that has other routes too
 * (the hub's).  The http server must outlive the eio server, and handle no request of
 * path after it: free both, or end the loop, in one go.
 */
struct eio_server *eio_server_attach(struct net_loop *loop, struct http_server *http,
                                     const struct eio_server_options *opts,
                                     struct sio_diag *diag);

/*
 * Called when a session has gone over to WebSocket, with what its ops are called with;
 * must not end it.  NULL: nobody wants to know.
 */
typedef void (*eio_upgrade_cb)(struct eio_session *s, void *user);
void eio_server_on_upgrade(struct eio_server *server, eio_upgrade_cb cb);

/* The sid: a secret of the client's.  For what the protocol makes of it; not for logs. */
struct sio_str eio_session_sid(const struct eio_session *s);

#endif
