/*
 * socketio/namespace.h - a namespace: its sockets, its handlers, its adapter
 */
#ifndef SOCKETIO_NAMESPACE_H
#define SOCKETIO_NAMESPACE_H

#include <sioc/server.h>

#include "base/map.h"
#include "socketio/adapter.h"

struct sio_namespace {
    struct map_node node; /* in the server, by name */
    struct sio_server *server;
    const struct sio_namespace_ops *ops;
    void *user;
    struct map sockets;  /* joined ones, by id */
    struct map handlers; /* by event name */
    struct sio_adapter *adapter;
    struct sio_recovery *recovery; /* NULL: off */
    size_t name_len;
    char name[];
};

/* NULL: out of memory.  Not yet in the server's map. */
struct sio_namespace *sio_namespace_new(struct sio_server *server, struct sio_str name,
                                        const struct sio_namespace_ops *ops,
                                        void *user);

/* Its sockets have ended. */
void sio_namespace_free(struct sio_namespace *ns);

/* Calls the event's handler; an event that has none goes to on_event, or nowhere. */
void sio_namespace_dispatch(struct sio_namespace *ns, struct sio_socket *s,
                            struct sio_event *e);

#endif
