#include <config.h>

#include "socketio/rooms.h"

#include "base/mem.h"
#include "base/str.h"
#include "socketio/client_conn.h"
#include "socketio/message.h"
#include "socketio/namespace.h"
#include "socketio/server.h"
#include "socketio/socket.h"

struct room {
    struct map_node node;
    struct list members; /* struct member.in_room */
    uint32_t n;
    uint64_t stamp; /* of the last walk that leaves its members out */
    void *data;     /* the adapter's */
    char name[];
};

/* One socket in one room. */
struct member {
    struct list in_room;
    struct list in_socket;
    struct room *room;
    struct sio_socket *socket;
};

static struct sio_rooms *rooms_of(struct sio_adapter *a)
{
    return container_of(a, struct sio_rooms, base);
}

static struct room *find_room(const struct sio_rooms *r, struct sio_str name)
{
    struct map_node *node = map_find(&r->rooms, name);

    return node ? container_of(node, struct room, node) : NULL;
}

static struct room *room_new(struct sio_rooms *r, struct sio_str name)
{
    struct room *room = mem_alloc(sizeof(*room) + name.len + 1);

    if (!room)
        return NULL;
    list_init(&room->members);
    memcpy(room->name, name.ptr, name.len);
    name.ptr = room->name;
    if (map_add(&r->rooms, &room->node, name) < 0) {
        mem_free(room);
        return NULL;
    }
    if (r->hooks && r->hooks->opened(r, name, &room->data) < 0) {
        map_remove(&r->rooms, &room->node);
        mem_free(room);
        return NULL;
    }
    return room;
}

static void room_free_if_empty(struct sio_rooms *r, struct room *room)
{
    if (room->n > 0)
        return;
    if (r->hooks)
        r->hooks->closed(r, room->data);
    map_remove(&r->rooms, &room->node);
    mem_free(room);
}

/* Steps through both lists at once, so that it costs no more than the shorter one. */
static struct member *find_member(const struct sio_socket *s, const struct room *room)
{
    struct list *a = s->rooms.next;
    struct list *b = room->members.next;

    while (a != &s->rooms && b != &room->members) {
        struct member *of_socket = container_of(a, struct member, in_socket);
        struct member *of_room = container_of(b, struct member, in_room);

        if (of_socket->room == room)
            return of_socket;
        if (of_room->socket == s)
            return of_room;
        a = a->next;
        b = b->next;
    }
    return NULL;
}

static void tell(const struct sio_rooms *r, const struct member *m, bool joined)
{
    struct sio_observer *o = r->base.ns->server->observer;

    if (o)
        o->ops->room(o, m->socket, m->room->node.key, joined);
}

static void member_free(struct sio_rooms *r, struct member *m)
{
    tell(r, m, false);
    list_remove(&m->in_room);
    list_remove(&m->in_socket);
    m->room->n--;
    room_free_if_empty(r, m->room);
    mem_free(m);
}

/*
 * Every socket is in the room of its own id; that costs nothing, ids are found by the
 * namespace.
 */
static bool is_own_room(const struct sio_socket *s, struct sio_str room)
{
    return str_eq(sio_socket_id(s), room);
}

int sio_rooms_join(struct sio_adapter *a, struct sio_socket *s, struct sio_str name)
{
    struct sio_rooms *r = rooms_of(a);
    struct room *room;
    struct member *m;

    if (is_own_room(s, name))
        return SIO_OK;
    room = find_room(r, name);
    if (room && find_member(s, room))
        return SIO_OK;
    if (!room)
        room = room_new(r, name);
    if (!room)
        return SIO_ERR_NOMEM;
    m = mem_new(struct member);
    if (!m) {
        room_free_if_empty(r, room);
        return SIO_ERR_NOMEM;
    }
    m->room = room;
    m->socket = s;
    list_append(&room->members, &m->in_room);
    list_append(&s->rooms, &m->in_socket);
    room->n++;
    tell(r, m, true);
    return SIO_OK;
}

void sio_rooms_leave(struct sio_adapter *a, struct sio_socket *s, struct sio_str name)
{
    struct sio_rooms *r = rooms_of(a);
    struct room *room = find_room(r, name);
    struct member *m = room ? find_member(s, room) : NULL;

    if (m)
        member_free(r, m);
}

void sio_rooms_leave_all(struct sio_adapter *a, struct sio_socket *s)
{
    while (!list_empty(&s->rooms))
        member_free(rooms_of(a), container_of(s->rooms.next, struct member, in_socket));
}

bool sio_rooms_in(struct sio_adapter *a, const struct sio_socket *s,
                  struct sio_str name)
{
    struct room *room;

    if (is_own_room(s, name))
        return true;
    room = find_room(rooms_of(a), name);
    return room && find_member(s, room);
}

int sio_rooms_of_socket(struct sio_adapter *a, const struct sio_socket *s,
                        struct sio_str *out, size_t max)
{
    struct member *m;
    size_t n = 0;

    (void)a;
    list_for_each (m, struct member, in_socket, &s->rooms) {
        if (n < max)
            out[n] = m->room->node.key;
        n++;
    }
    return (int)n;
}

size_t sio_rooms_size(struct sio_adapter *a, struct sio_str name)
{
    struct room *room = find_room(rooms_of(a), name);
    size_t own = sio_namespace_find(a->ns, name) ? 1 : 0;

    return own + (room ? room->n : 0);
}

/* One walk over whom a target names.  fn returning less than 0 ends it. */
struct walk {
    struct sio_rooms *rooms;
    uint64_t stamp;
    bool skips_rooms; /* some room's members are left out */
    int (*fn)(struct walk *w, struct sio_socket *s);

    /* Of a broadcast. */
    struct sio_message *message;
    struct eio_msg *msg; /* encoded when the first receiver is met */
    int n_sent;

    /* Of a list. */
    struct sio_socket_list *list;
};

/* Marks who is left out: sockets themselves, and rooms, whose members may be many. */
static void mark_excepted(struct walk *w, const struct sio_target *target)
{
    struct sio_namespace *ns = w->rooms->base.ns;

    /* The stamp is ours to write on a socket that the caller only shows. */
    if (target->except_socket) {
        struct sio_socket *s =
            sio_namespace_find(ns, sio_socket_id(target->except_socket));

        if (s)
            s->stamp = w->stamp;
    }
    for (size_t i = 0; i < target->n_except; i++) {
        struct sio_socket *s = sio_namespace_find(ns, target->except[i]);
        struct room *room = find_room(w->rooms, target->except[i]);

        if (s)
            s->stamp = w->stamp;
        if (room) {
            room->stamp = w->stamp;
            w->skips_rooms = true;
        }
    }
}

static bool is_excepted(const struct walk *w, const struct sio_socket *s)
{
    struct member *m;

    if (w->skips_rooms)
        list_for_each (m, struct member, in_socket, &s->rooms)
            if (m->room->stamp == w->stamp)
                return true;
    return false;
}

/* Each socket once, however many rooms lead to it. */
static int visit(struct walk *w, struct sio_socket *s)
{
    if (s->state != SIO_SOCKET_JOINED || s->stamp == w->stamp)
        return SIO_OK;
    s->stamp = w->stamp;
    return is_excepted(w, s) ? SIO_OK : w->fn(w, s);
}

static int visit_all(struct walk *w)
{
    struct map *sockets = &w->rooms->base.ns->sockets;
    struct map_pos pos;
    struct map_node *node;
    int rv = SIO_OK;

    for (node = map_first(sockets, &pos); node && rv == SIO_OK;
         node = map_next(sockets, &pos))
        rv = visit(w, container_of(node, struct sio_socket, node));
    return rv;
}

static int visit_room(struct walk *w, struct sio_str name)
{
    struct sio_socket *own = sio_namespace_find(w->rooms->base.ns, name);
    struct room *room = find_room(w->rooms, name);
    struct member *m;
    int rv = own ? visit(w, own) : SIO_OK;

    if (room && rv == SIO_OK)
        list_for_each (m, struct member, in_room, &room->members) {
            rv = visit(w, m->socket);
            if (rv < 0)
                break;
        }
    return rv;
}

static int walk_run(struct walk *w, const struct sio_target *target)
{
    int rv = SIO_OK;

    w->stamp = ++w->rooms->stamp;
    if (target)
        mark_excepted(w, target);
    if (!target || target->n_rooms == 0)
        return visit_all(w);
    for (size_t i = 0; i < target->n_rooms && rv == SIO_OK; i++)
        rv = visit_room(w, target->rooms[i]);
    return rv;
}

static int send_to(struct walk *w, struct sio_socket *s)
{
    if (!w->msg) {
        struct sio_namespace *ns = w->rooms->base.ns;
        int rv =
            sio_message_encode(w->message, ns->server->codec.parser, SIO_PACKET_EVENT,
                               sio_namespace_name(ns), false, 0, &w->msg);

        if (rv < 0)
            return rv;
    }
    /* One receiver's failure is its own. */
    if (sio_conn_send(s->conn, w->msg) == SIO_OK)
        w->n_sent++;
    return SIO_OK;
}

int sio_rooms_broadcast(struct sio_adapter *a, const struct sio_target *target,
                        struct sio_message *m)
{
    struct walk w = {.rooms = rooms_of(a), .fn = send_to, .message = m};
    int rv = walk_run(&w, target);

    eio_msg_unref(w.msg);
    return rv < 0 ? rv : w.n_sent;
}

static int list_socket(struct walk *w, struct sio_socket *s)
{
    struct sio_socket_list *list = w->list;

    if (list->n == list->cap) {
        size_t cap = list->cap * 2 + 16;
        struct sio_socket **items =
            mem_resize(list->items, cap, sizeof(struct sio_socket *));

        if (!items)
            return SIO_ERR_NOMEM;
        list->items = items;
        list->cap = cap;
    }
    list->items[list->n++] = s;
    return SIO_OK;
}

int sio_rooms_sockets(struct sio_adapter *a, const struct sio_target *target,
                      struct sio_socket_list *out)
{
    struct walk w = {.rooms = rooms_of(a), .fn = list_socket, .list = out};

    return walk_run(&w, target);
}

void sio_rooms_init(struct sio_rooms *r, const struct sio_adapter_ops *ops,
                    struct sio_namespace *ns)
{
    r->base.ops = ops;
    r->base.ns = ns;
    r->hooks = NULL;
    r->stamp = 0;
    map_init(&r->rooms);
}

void sio_rooms_fini(struct sio_rooms *r)
{
    map_fini(&r->rooms);
}

static void rooms_free(struct sio_adapter *a)
{
    sio_rooms_fini(rooms_of(a));
    mem_free(rooms_of(a));
}

static const struct sio_adapter_ops alone_ops = {
    .free = rooms_free,
    .join = sio_rooms_join,
    .leave = sio_rooms_leave,
    .leave_all = sio_rooms_leave_all,
    .in = sio_rooms_in,
    .room_size = sio_rooms_size,
    .broadcast = sio_rooms_broadcast,
    .sockets = sio_rooms_sockets,
    .rooms = sio_rooms_of_socket,
};

struct sio_adapter *sio_rooms_new(struct sio_namespace *ns)
{
    struct sio_rooms *r = mem_new(struct sio_rooms);

    if (!r)
        return NULL;
    sio_rooms_init(r, &alone_ops, ns);
    return &r->base;
}
