/*
 * socketio/server.h - what the layers inside the tree need beside <sioc/server.h>
 */
#ifndef SOCKETIO_SERVER_H
#define SOCKETIO_SERVER_H

#include <sioc/server.h>

#include "base/map.h"
#include "http/server.h"
#include "net/loop.h"
#include "socketio/observer.h"
#include "socketio/parser.h"
#include "socketio/recovery.h"

struct sio_server {
    struct net_loop *loop;
    struct eio_server *engine; /* NULL: has ended */
    struct map namespaces;
    struct list parents; /* struct sio_family, in the order in which they are asked */
    uint32_t connect_timeout_ms;
    uint32_t max_namespaces;
    struct sio_codec codec;
    struct list requests; /* struct sio_request.link: results that are awaited */
    char *path;           /* of the engine */
    struct sio_recovery_common recovery;
    struct sio_adapter *(*make_adapter)(struct sio_namespace *ns, void *user);
    void *adapter_user;

    struct sio_observer *observer; /* NULL: nobody looks */
    struct sio_admin *admin;       /* ends with the server; or NULL */
    void (*free_admin)(struct sio_admin *admin);

    struct eio_server_options hooks; /* of the application: functions and user only */

    /*
     * While something is sent no handler runs: connections that end then are buried
     * at the end of the turn.
     */
    unsigned sending;
    struct list dying; /* struct sio_conn.link */
    struct net_task bury;

    struct log_limit violations;
};

/* As eio_server_attach. */
struct sio_server *sio_server_attach(struct net_loop *loop, struct http_server *http,
                                     const struct sio_server_options *opts,
                                     struct sio_diag *diag);

#endif
