/*
 * socketio/namespace.h - a namespace: its sockets, its hooks, its adapter
 *
 * A parent is a namespace without sockets that has children; a child goes once nobody
 * uses it any more.
 */
#ifndef SOCKETIO_NAMESPACE_H
#define SOCKETIO_NAMESPACE_H

#include <sioc/server.h>

#include "base/map.h"
#include "net/loop.h"
#include "socketio/adapter.h"
#include "socketio/hooks.h"

struct sio_namespace {
    struct map_node node; /* in the server, by name; not of a parent */
    struct sio_server *server;
    const struct sio_namespace_ops *ops;
    void *user;
    struct map sockets;          /* joined ones, by id */
    struct sio_hooks *hooks;     /* or NULL */
    unsigned n_out;              /* listeners to what goes out, its sockets' included */
    struct sio_adapter *adapter; /* NULL: a parent */
    sio_side_cb on_side;
    void *side_user;
    struct sio_recovery *recovery; /* NULL: off */

    struct sio_namespace *parent; /* of a child, else NULL */
    struct list siblings;         /* in the parent's children */
    struct sio_family *family;    /* of a parent, else NULL */
    uint32_t n_users;             /* sockets, joined or not, and holds */
    bool was_joined;
    struct net_task reap;

    size_t name_len;
    char name[];
};

/* NULL: out of memory.  Not yet in the server's map.  A parent has no adapter. */
struct sio_namespace *sio_namespace_new(struct sio_server *server, struct sio_str name,
                                        const struct sio_namespace_ops *ops, void *user,
                                        bool parent);

/* Its sockets have ended. */
void sio_namespace_free(struct sio_namespace *ns);

/* An event has come: listeners, middleware, and its handler, or on_event. */
void sio_namespace_dispatch(struct sio_namespace *ns, struct sio_socket *s,
                            struct sio_event *e);

/* True if somebody listens to what goes out. */
static inline bool sio_namespace_listens(const struct sio_namespace *ns)
{
    return ns->n_out > 0 || (ns->parent && ns->parent->n_out > 0);
}

/* Appends whom a target names, of all children of a parent.  SIO_OK, SIO_ERR_NOMEM. */
int sio_namespace_list(struct sio_namespace *ns, const struct sio_target *target,
                       struct sio_socket_list *list);

/*
 * Tells the listeners what is about to go to some of its sockets, in its encoding.
 * They may end any.
 */
void sio_namespace_tell(struct sio_namespace *ns, const struct sio_socket_list *list,
                        const struct eio_msg *msg);

#endif
