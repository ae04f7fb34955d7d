/*
 * all.c - what is done to all sockets that a target names, here and on other servers
 *
 * The other servers are told first: a target may be made of names of rooms that go
 * while it is carried out here.
 */
#include <config.h>

#include "base/mem.h"
#include "socketio/namespace.h"
#include "socketio/parent.h"
#include "socketio/socket.h"

enum what { JOIN, LEAVE, DISCONNECT };

struct order {
    enum what what;
    const struct sio_str *rooms;
    size_t n_rooms;
    bool close;
};

static int tell_others(struct sio_namespace *ns, const struct sio_target *target,
                       const struct order *o)
{
    const struct sio_adapter_ops *ops = ns->adapter->ops;

    switch (o->what) {
    case JOIN:
        return ops->remote_join
                   ? ops->remote_join(ns->adapter, target, o->rooms, o->n_rooms)
                   : SIO_OK;
    case LEAVE:
        return ops->remote_leave
                   ? ops->remote_leave(ns->adapter, target, o->rooms, o->n_rooms)
                   : SIO_OK;
    case DISCONNECT:
        return ops->remote_disconnect
                   ? ops->remote_disconnect(ns->adapter, target, o->close)
                   : SIO_OK;
    }
    return SIO_OK;
}

static int carry_out(struct sio_socket *s, const struct order *o)
{
    int rv = SIO_OK;

    if (s->state != SIO_SOCKET_JOINED)
        return SIO_OK;
    switch (o->what) {
    case JOIN:
        for (size_t i = 0; i < o->n_rooms && rv == SIO_OK; i++)
            rv = sio_socket_join(s, o->rooms[i]);
        break;
    case LEAVE:
        for (size_t i = 0; i < o->n_rooms; i++)
            sio_socket_leave(s, o->rooms[i]);
        break;
    case DISCONNECT: sio_socket_disconnect(s, o->close); break;
    }
    return rv;
}

static int to_all(struct sio_namespace *ns, const struct sio_target *target,
                  const struct order *o)
{
    struct sio_socket_list list = {0};
    struct sio_namespace *at;
    int rv = SIO_OK;
    int local;

    if (!target || !target->local)
        for (at = sio_namespace_next(ns, NULL); at && rv == SIO_OK;
             at = sio_namespace_next(ns, at))
            rv = tell_others(at, target, o);
    local = sio_namespace_list(ns, target, &list);
    if (rv == SIO_OK)
        rv = local;
    for (size_t i = 0; i < list.n && local == SIO_OK; i++) {
        int one = carry_out(list.items[i], o);

        if (rv == SIO_OK)
            rv = one;
    }
    mem_free(list.items);
    return rv;
}

int sio_namespace_join_all(struct sio_namespace *ns, const struct sio_target *target,
                           const struct sio_str *rooms, size_t n)
{
    struct order o = {.what = JOIN, .rooms = rooms, .n_rooms = n};

    return to_all(ns, target, &o);
}

/* Names in one block: a room's own name goes with the last that leaves it. */
static struct sio_str *copy_names(const struct sio_str *names, size_t n)
{
    size_t size = n * sizeof(*names);
    struct sio_str *copy;
    char *p;

    for (size_t i = 0; i < n; i++)
        size += names[i].len;
    copy = mem_raw(size + 1);
    if (!copy)
        return NULL;
    p = (char *)(copy + n);
    for (size_t i = 0; i < n; i++) {
        memcpy(p, names[i].ptr, names[i].len);
        copy[i] = (struct sio_str){p, names[i].len};
        p += names[i].len;
    }
    return copy;
}

int sio_namespace_leave_all(struct sio_namespace *ns, const struct sio_target *target,
                            const struct sio_str *rooms, size_t n)
{
    struct sio_str *copy = copy_names(rooms, n);
    struct order o = {.what = LEAVE, .rooms = copy, .n_rooms = n};
    int rv = copy ? to_all(ns, target, &o) : SIO_ERR_NOMEM;

    mem_free(copy);
    return rv;
}

int sio_namespace_disconnect_all(struct sio_namespace *ns,
                                 const struct sio_target *target, bool close)
{
    struct order o = {.what = DISCONNECT, .close = close};

    return to_all(ns, target, &o);
}
