#include <config.h>

#include "socketio/namespace.h"

#include "base/mem.h"
#include "socketio/message.h"
#include "socketio/packet.h"
#include "socketio/recovery.h"
#include "socketio/server.h"
#include "socketio/socket.h"

struct handler {
    struct map_node node;
    sio_event_cb cb;
    void *user;
    char name[];
};

struct sio_namespace *sio_namespace_new(struct sio_server *server, struct sio_str name,
                                        const struct sio_namespace_ops *ops, void *user)
{
    struct sio_namespace *ns = mem_alloc(sizeof(*ns) + name.len + 1);

    if (!ns)
        return NULL;
    memcpy(ns->name, name.ptr, name.len);
    ns->name_len = name.len;
    ns->server = server;
    ns->ops = ops;
    ns->user = user;
    map_init(&ns->sockets);
    map_init(&ns->handlers);
    ns->adapter = sio_rooms_new(ns);
    if (server->recovery.options.max_away_ms > 0)
        ns->recovery = sio_recovery_new(ns);
    if (!ns->adapter || (server->recovery.options.max_away_ms > 0 && !ns->recovery)) {
        sio_namespace_free(ns);
        return NULL;
    }
    return ns;
}

void sio_namespace_free(struct sio_namespace *ns)
{
    struct map_pos pos;
    struct map_node *node;

    for (node = map_first(&ns->handlers, &pos); node;
         node = map_next(&ns->handlers, &pos)) {
        map_remove(&ns->handlers, node);
        mem_free(container_of(node, struct handler, node));
    }
    sio_recovery_free(ns->recovery);
    if (ns->adapter)
        ns->adapter->ops->free(ns->adapter);
    map_fini(&ns->handlers);
    map_fini(&ns->sockets);
    mem_free(ns);
}

static struct handler *find_handler(const struct sio_namespace *ns, struct sio_str name)
{
    struct map_node *node = map_find(&ns->handlers, name);

    return node ? container_of(node, struct handler, node) : NULL;
}

int sio_namespace_on(struct sio_namespace *ns, const char *event, sio_event_cb cb,
                     void *user)
{
    struct sio_str name = sio_str_from(event);
    struct handler *h = find_handler(ns, name);

    if (sio_event_name_reserved(name))
        return SIO_ERR_INVAL;
    if (!h) {
        h = mem_alloc(sizeof(*h) + name.len + 1);
        if (!h)
            return SIO_ERR_NOMEM;
        memcpy(h->name, name.ptr, name.len);
        name.ptr = h->name;
        if (map_add(&ns->handlers, &h->node, name) < 0) {
            mem_free(h);
            return SIO_ERR_NOMEM;
        }
    }
    h->cb = cb;
    h->user = user;
    return SIO_OK;
}

void sio_namespace_dispatch(struct sio_namespace *ns, struct sio_socket *s,
                            struct sio_event *e)
{
    struct handler *h = find_handler(ns, sio_event_name(e));

    if (h)
        h->cb(s, e, h->user);
    else if (ns->ops && ns->ops->on_event)
        ns->ops->on_event(s, e, ns->user);
}

struct sio_str sio_namespace_name(const struct sio_namespace *ns)
{
    return (struct sio_str){ns->name, ns->name_len};
}

size_t sio_namespace_n_sockets(const struct sio_namespace *ns)
{
    return ns->sockets.n_items;
}

struct sio_socket *sio_namespace_find(struct sio_namespace *ns, struct sio_str id)
{
    struct map_node *node = map_find(&ns->sockets, id);

    return node ? container_of(node, struct sio_socket, node) : NULL;
}

int sio_namespace_each(struct sio_namespace *ns,
                       bool (*fn)(struct sio_socket *s, void *user), void *user)
{
    return sio_namespace_each_of(ns, NULL, fn, user);
}

/* fn may change who is where, so the walk goes over a list made before. */
int sio_namespace_each_of(struct sio_namespace *ns, const struct sio_target *target,
                          bool (*fn)(struct sio_socket *s, void *user), void *user)
{
    struct sio_socket_list list = {0};
    int rv = ns->adapter->ops->sockets(ns->adapter, target, &list);

    if (rv == SIO_OK)
        for (size_t i = 0; i < list.n; i++)
            if (list.items[i]->state == SIO_SOCKET_JOINED && !fn(list.items[i], user))
                break;
    mem_free(list.items);
    return rv;
}

int sio_namespace_emit(struct sio_namespace *ns, const struct sio_target *target,
                       struct sio_message *m)
{
    if (ns->recovery && !sio_message_is_volatile(m))
        return sio_recovery_broadcast(ns, target, m);
    return ns->adapter->ops->broadcast(ns->adapter, target, m);
}

size_t sio_namespace_room_size(struct sio_namespace *ns, struct sio_str room)
{
    return ns->adapter->ops->room_size(ns->adapter, room);
}
