/*
 * socketio/adapter.h - who is in which room, and how a broadcast gets there
 *
 * A namespace has one.  The memory adapter knows this server's sockets; another one
 * may also tell other servers.
 */
#ifndef SOCKETIO_ADAPTER_H
#define SOCKETIO_ADAPTER_H

#include <sioc/server.h>

#include "base/list.h"

struct sio_adapter;

/* Sockets that a target names; they live at least to the end of the turn. */
struct sio_socket_list {
    struct sio_socket **items;
    size_t n;
    size_t cap;
};

struct sio_adapter_ops {
    void (*free)(struct sio_adapter *a);

    /* SIO_OK, also for a socket that is in the room already; SIO_ERR_NOMEM. */
    int (*join)(struct sio_adapter *a, struct sio_socket *s, struct sio_str room);
    void (*leave)(struct sio_adapter *a, struct sio_socket *s, struct sio_str room);
    void (*leave_all)(struct sio_adapter *a, struct sio_socket *s);
    bool (*in)(struct sio_adapter *a, const struct sio_socket *s, struct sio_str room);
    size_t (*room_size)(struct sio_adapter *a, struct sio_str room);

    /* Calls no handler.  Returns the number of sockets reached, or an error. */
    int (*broadcast)(struct sio_adapter *a, const struct sio_target *target,
                     struct sio_message *m);

    /* Appends to out, whose items the caller frees.  SIO_OK or SIO_ERR_NOMEM. */
    int (*sockets)(struct sio_adapter *a, const struct sio_target *target,
                   struct sio_socket_list *out);

    /* Appends the names of the rooms of s, which live as long as it is in them. */
    int (*rooms)(struct sio_adapter *a, const struct sio_socket *s, struct sio_str *out,
                 size_t max);
};

struct sio_adapter {
    const struct sio_adapter_ops *ops;
    struct sio_namespace *ns;
};

/* The memory adapter.  NULL: out of memory. */
struct sio_adapter *sio_rooms_new(struct sio_namespace *ns);

#endif
