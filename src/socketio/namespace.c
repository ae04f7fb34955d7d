#include <config.h>

#include "socketio/namespace.h"

#include "base/mem.h"
#include "socketio/message.h"
#include "socketio/packet.h"
#include "socketio/parent.h"
#include "socketio/readback.h"
#include "socketio/recovery.h"
#include "socketio/rooms.h"
#include "socketio/server.h"
#include "socketio/socket.h"

struct sio_namespace *sio_namespace_new(struct sio_server *server, struct sio_str name,
                                        const struct sio_namespace_ops *ops, void *user,
                                        bool parent)
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
    list_init(&ns->siblings);
    list_init(&ns->reap.link);
    if (parent)
        return ns;
    ns->adapter = server->make_adapter ? server->make_adapter(ns, server->adapter_user)
                                       : sio_rooms_new(ns);
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
    list_remove(&ns->reap.link);
    sio_family_leave(ns); /* what ends now finds no child that could go */
    sio_hooks_free(ns->hooks);
    sio_family_free(ns->family);
    sio_recovery_free(ns->recovery);
    if (ns->adapter)
        ns->adapter->ops->free(ns->adapter);
    map_fini(&ns->sockets);
    mem_free(ns);
}

/* Handlers, middleware, listeners. */

int sio_namespace_on(struct sio_namespace *ns, const char *event, sio_event_cb cb,
                     void *user)
{
    return sio_hooks_on(&ns->hooks, event, cb, user);
}

void sio_namespace_off(struct sio_namespace *ns, const char *event)
{
    sio_hooks_off(ns->hooks, event);
}

int sio_namespace_use(struct sio_namespace *ns, sio_join_cb cb, void *user)
{
    struct sio_hook hook = {.cb.join = cb, .user = user};

    return sio_hooks_add(&ns->hooks, SIO_CHAIN_JOIN, false, hook);
}

int sio_namespace_use_event(struct sio_namespace *ns, sio_use_event_cb cb, void *user)
{
    struct sio_hook hook = {.cb.use = cb, .user = user};

    return sio_hooks_add(&ns->hooks, SIO_CHAIN_EVENT, false, hook);
}

static int listen_to(struct sio_namespace *ns, enum sio_chain chain, bool in_front,
                     sio_event_cb cb, void *user)
{
    struct sio_hook hook = {.cb.any = cb, .user = user};
    int rv = sio_hooks_add(&ns->hooks, chain, in_front, hook);

    ns->n_out += rv == SIO_OK && chain == SIO_CHAIN_ANY_OUT;
    return rv;
}

int sio_namespace_on_any(struct sio_namespace *ns, sio_event_cb cb, void *user)
{
    return listen_to(ns, SIO_CHAIN_ANY, false, cb, user);
}

int sio_namespace_prepend_any(struct sio_namespace *ns, sio_event_cb cb, void *user)
{
    return listen_to(ns, SIO_CHAIN_ANY, true, cb, user);
}

void sio_namespace_off_any(struct sio_namespace *ns, sio_event_cb cb, void *user)
{
    sio_hooks_off_any(ns->hooks, SIO_CHAIN_ANY, cb, user);
}

int sio_namespace_on_any_outgoing(struct sio_namespace *ns, sio_event_cb cb, void *user)
{
    return listen_to(ns, SIO_CHAIN_ANY_OUT, false, cb, user);
}

int sio_namespace_prepend_any_outgoing(struct sio_namespace *ns, sio_event_cb cb,
                                       void *user)
{
    return listen_to(ns, SIO_CHAIN_ANY_OUT, true, cb, user);
}

void sio_namespace_off_any_outgoing(struct sio_namespace *ns, sio_event_cb cb,
                                    void *user)
{
    ns->n_out -= (unsigned)sio_hooks_off_any(ns->hooks, SIO_CHAIN_ANY_OUT, cb, user);
}

static inline bool run_one(struct sio_hooks *h, enum sio_chain chain,
                           struct sio_socket *s, struct sio_event *e)
{
    return !sio_hooks_has(h, chain) || sio_hooks_run(h, chain, s, e);
}

/* Through a chain of the parent, of the namespace and of the socket. */
static bool run(struct sio_namespace *ns, enum sio_chain chain, struct sio_socket *s,
                struct sio_event *e)
{
    return (!ns->parent || run_one(ns->parent->hooks, chain, s, e)) &&
           run_one(ns->hooks, chain, s, e) && run_one(s->hooks, chain, s, e);
}

static const struct sio_handler *find_handler(const struct sio_namespace *ns,
                                              const struct sio_socket *s,
                                              struct sio_str event)
{
    const struct sio_handler *h = sio_hooks_handler(s->hooks, event);

    if (!h)
        h = sio_hooks_handler(ns->hooks, event);
    if (!h && ns->parent)
        h = sio_hooks_handler(ns->parent->hooks, event);
    return h;
}

void sio_namespace_dispatch(struct sio_namespace *ns, struct sio_socket *s,
                            struct sio_event *e)
{
    const struct sio_handler *h;

    if (!run(ns, SIO_CHAIN_ANY, s, e) || !run(ns, SIO_CHAIN_EVENT, s, e))
        return;
    h = find_handler(ns, s, sio_event_name(e));
    if (h)
        h->cb(s, e, h->user);
    else if (ns->ops && ns->ops->on_event)
        ns->ops->on_event(s, e, ns->user);
}

/* Whom something goes to that listeners are told of. */
struct told {
    struct sio_namespace *ns;
    const struct sio_socket_list *list;
};

static void tell(struct sio_event *e, void *user)
{
    const struct told *t = user;

    for (size_t i = 0; i < t->list->n; i++)
        if (t->list->items[i]->state == SIO_SOCKET_JOINED)
            run(t->ns, SIO_CHAIN_ANY_OUT, t->list->items[i], e);
}

/* They are told nothing of what cannot be read back for want of memory. */
void sio_namespace_tell(struct sio_namespace *ns, const struct sio_socket_list *list,
                        const struct eio_msg *msg)
{
    struct told t = {ns, list};

    (void)sio_readback(msg, ns->server->codec.parser, tell, &t);
}

static int tell_all(struct sio_namespace *ns, const struct sio_target *target,
                    struct sio_message *m)
{
    struct sio_socket_list list = {0};
    struct eio_msg *msg;
    int rv = sio_message_encode(m, ns->server->codec.parser, SIO_PACKET_EVENT,
                                sio_namespace_name(ns), false, 0, &msg);

    if (rv < 0)
        return rv;
    rv = ns->adapter->ops->sockets(ns->adapter, target, &list);
    if (rv == SIO_OK)
        sio_namespace_tell(ns, &list, msg);
    mem_free(list.items);
    eio_msg_unref(msg);
    return rv;
}

/* Who is there, and who is told. */

struct sio_str sio_namespace_name(const struct sio_namespace *ns)
{
    return (struct sio_str){ns->name, ns->name_len};
}

size_t sio_namespace_n_sockets(const struct sio_namespace *ns)
{
    const struct sio_namespace *at;
    size_t n = 0;

    for (at = sio_namespace_next(ns, NULL); at; at = sio_namespace_next(ns, at))
        n += at->sockets.n_items;
    return n;
}

struct sio_socket *sio_namespace_find(struct sio_namespace *ns, struct sio_str id)
{
    struct sio_namespace *at;
    struct map_node *node = NULL;

    for (at = sio_namespace_next(ns, NULL); at && !node;
         at = sio_namespace_next(ns, at))
        node = map_find(&at->sockets, id);
    return node ? container_of(node, struct sio_socket, node) : NULL;
}

int sio_namespace_list(struct sio_namespace *ns, const struct sio_target *target,
                       struct sio_socket_list *list)
{
    struct sio_namespace *at;
    int rv = SIO_OK;

    for (at = sio_namespace_next(ns, NULL); at && rv == SIO_OK;
         at = sio_namespace_next(ns, at))
        rv = at->adapter->ops->sockets(at->adapter, target, list);
    return rv;
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
    int rv = sio_namespace_list(ns, target, &list);

    if (rv == SIO_OK)
        for (size_t i = 0; i < list.n; i++)
            if (list.items[i]->state == SIO_SOCKET_JOINED && !fn(list.items[i], user))
                break;
    mem_free(list.items);
    return rv;
}

static int emit(struct sio_namespace *ns, const struct sio_target *target,
                struct sio_message *m)
{
    if (sio_namespace_listens(ns)) {
        int rv = tell_all(ns, target, m);

        if (rv < 0)
            return rv;
    }
    if (ns->recovery && !sio_message_is_volatile(m))
        return sio_recovery_broadcast(ns, target, m);
    return ns->adapter->ops->broadcast(ns->adapter, target, m);
}

int sio_namespace_emit(struct sio_namespace *ns, const struct sio_target *target,
                       struct sio_message *m)
{
    struct sio_namespace *at;
    int n = 0;

    if (!ns->family)
        return emit(ns, target, m);
    for (at = sio_namespace_next(ns, NULL); at; at = sio_namespace_next(ns, at)) {
        int rv = emit(at, target, m);

        if (rv < 0)
            return rv;
        n += rv;
    }
    return n;
}

size_t sio_namespace_room_size(struct sio_namespace *ns, struct sio_str room)
{
    struct sio_namespace *at;
    size_t n = 0;

    for (at = sio_namespace_next(ns, NULL); at; at = sio_namespace_next(ns, at))
        n += at->adapter->ops->room_size(at->adapter, room);
    return n;
}
