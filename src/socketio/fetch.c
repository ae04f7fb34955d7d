/*
 * fetch.c - lists sockets, of this server and of others
 */
#include <config.h>

#include "base/mem.h"
#include "socketio/describe.h"
#include "socketio/namespace.h"
#include "socketio/parent.h"
#include "socketio/request.h"
#include "socketio/server.h"
#include "socketio/socket.h"

struct sio_fetch {
    struct sio_request request;
    sio_fetch_cb cb;
    void *user;
    struct sio_fetched *items; /* each with a block of its own, which begins at rooms */
    size_t n;
    size_t cap;
    bool later; /* sockets of this server may have gone since they were listed */
};

static struct sio_fetch *fetch_of(struct sio_request *r)
{
    return container_of(r, struct sio_fetch, request);
}

static void item_fini(struct sio_fetched *item)
{
    mem_free((void *)item->rooms);
}

/* Another socket may have its id: one that was recovered, or has joined again. */
static bool is_there(const struct sio_fetch *f, const struct sio_fetched *item)
{
    struct sio_namespace *ns = sio_server_find(f->request.ns->server, item->nsp);

    return ns && sio_namespace_find(ns, item->id) == item->socket;
}

static void drop_gone(struct sio_fetch *f)
{
    size_t n = 0;

    for (size_t i = 0; i < f->n; i++) {
        struct sio_fetched *item = &f->items[i];

        if (item->socket && !is_there(f, item))
            item_fini(item);
        else
            f->items[n++] = *item;
    }
    f->n = n;
}

static void tell(struct sio_request *r, int status)
{
    struct sio_fetch *f = fetch_of(r);

    if (f->later)
        drop_gone(f);
    f->cb(status, f->items, f->n, f->user);
}

static void fetch_free(struct sio_request *r)
{
    struct sio_fetch *f = fetch_of(r);

    for (size_t i = 0; i < f->n; i++)
        item_fini(&f->items[i]);
    mem_free(f->items);
    mem_free(f);
}

static const struct sio_request_ops request_ops = {tell, fetch_free};

void sio_fetch_begin(struct sio_fetch *f)
{
    sio_request_begin(&f->request);
}

void sio_fetch_end(struct sio_fetch *f, int status)
{
    sio_request_end(&f->request, status);
}

static bool grow(struct sio_fetch *f)
{
    size_t cap = f->cap + f->cap / 2 + 16;
    struct sio_fetched *items;

    if (f->n < f->cap)
        return true;
    items = mem_resize(f->items, cap, sizeof(*items));
    if (!items)
        return false;
    f->items = items;
    f->cap = cap;
    return true;
}

static struct sio_str put(struct sio_str s, char **p)
{
    struct sio_str copy = {s.ptr ? *p : NULL, s.len};

    if (s.len > 0)
        memcpy(*p, s.ptr, s.len);
    *p += s.len;
    return copy;
}

/* A copy in one block: the array of rooms, then all text. */
static int copy_item(const struct sio_fetched *from, struct sio_fetched *to)
{
    size_t size = from->n_rooms * sizeof(struct sio_str) + from->id.len +
                  from->nsp.len + from->handshake.len + from->attributes.len;
    struct sio_str *rooms;
    char *p;

    for (size_t i = 0; i < from->n_rooms; i++)
        size += from->rooms[i].len;
    rooms = mem_raw(size + 1);
    if (!rooms)
        return SIO_ERR_NOMEM;
    *to = *from;
    to->rooms = rooms;
    p = (char *)(rooms + from->n_rooms);
    for (size_t i = 0; i < from->n_rooms; i++)
        rooms[i] = put(from->rooms[i], &p);
    to->id = put(from->id, &p);
    to->nsp = put(from->nsp, &p);
    to->handshake = put(from->handshake, &p);
    to->attributes = put(from->attributes, &p);
    return SIO_OK;
}

static int add(struct sio_fetch *f, const struct sio_fetched *socket)
{
    int rv = grow(f) ? copy_item(socket, &f->items[f->n]) : SIO_ERR_NOMEM;

    f->n += rv == SIO_OK;
    if (rv < 0 && f->request.status == SIO_OK)
        f->request.status = rv;
    return rv;
}

int sio_fetch_add(struct sio_fetch *f, const struct sio_fetched *socket)
{
    struct sio_fetched remote = *socket;

    if (f->request.told)
        return SIO_OK;
    remote.socket = NULL;
    return add(f, &remote);
}

static int add_socket(struct sio_fetch *f, struct sio_socket *s)
{
    size_t n_rooms = sio_socket_rooms(s, NULL, 0);
    struct sio_str *rooms = mem_array(n_rooms, sizeof(*rooms));
    struct sio_fetched item = {.rooms = rooms, .n_rooms = n_rooms, .socket = s};
    struct wbuf handshake;
    int rv;

    if (!rooms)
        return SIO_ERR_NOMEM;
    wbuf_init(&handshake, UINT32_MAX);
    rv = sio_describe_handshake(&handshake, sio_socket_session(s), s->ns->server->path,
                                false);
    if (rv == SIO_OK) {
        sio_socket_rooms(s, rooms, n_rooms);
        item.id = sio_socket_id(s);
        item.nsp = sio_namespace_name(s->ns);
        item.handshake = wbuf_str(&handshake);
        item.attributes = sio_socket_attributes(s);
        rv = add(f, &item);
    }
    wbuf_fini(&handshake);
    mem_free(rooms);
    return rv;
}

static int list_local(struct sio_fetch *f, const struct sio_target *target)
{
    struct sio_socket_list list = {0};
    int rv = sio_namespace_list(f->request.ns, target, &list);

    for (size_t i = 0; i < list.n && rv == SIO_OK; i++)
        rv = add_socket(f, list.items[i]);
    mem_free(list.items);
    return rv;
}

static int list_remote(struct sio_fetch *f, const struct sio_target *target)
{
    struct sio_namespace *ns = f->request.ns, *at;
    int rv = SIO_OK;

    if (target && target->local)
        return SIO_OK;
    for (at = sio_namespace_next(ns, NULL); at && rv == SIO_OK;
         at = sio_namespace_next(ns, at))
        if (at->adapter->ops->remote_fetch)
            rv = at->adapter->ops->remote_fetch(at->adapter, target, f);
    return rv;
}

int sio_namespace_fetch(struct sio_namespace *ns, const struct sio_target *target,
                        sio_fetch_cb cb, void *user)
{
    struct sio_fetch *f;
    int rv;

    if (!ns->server->engine)
        return SIO_ERR_CLOSED;
    f = mem_new(struct sio_fetch);
    if (!f)
        return SIO_ERR_NOMEM;
    f->cb = cb;
    f->user = user;
    sio_request_init(&f->request, ns, &request_ops);
    rv = list_local(f, target); /* the adapter has a time for the others */
    if (rv < 0) {
        sio_request_drop(&f->request);
        return rv;
    }
    rv = list_remote(f, target);
    f->later = f->request.n_parts > 1;
    sio_request_end(&f->request, rv);
    return SIO_OK;
}
