/*
 * sharded_rooms.c - a channel for each room that has members here, ids among them
 */
#include <config.h>

#include "cluster/sharded.h"

#include "base/mem.h"
#include "base/str.h"
#include "socketio/recovery.h"
#include "socketio/server.h"

/* A server that was told to make members listens to their room within this time. */
#define LATELY_MS     1000

#define MAX_RESTING   16384
#define RESTING_TO_MS 1000 /* beyond the time in which a client may come back */

struct sharded_room {
    struct cluster_topic topic;
    struct map_node node;
    uint32_t n; /* what it is here: a room with members, a socket's id; 0: it rests */
    struct list link; /* among those that rest */
    uint64_t expires_ms;
};

static uint64_t now_ms(const struct sharded *s)
{
    return net_loop_now_ms(s->base.cluster->loop);
}

/*
 * Lately: what is for a room goes to all while some may not listen to its channel yet.
 */

static uint32_t hash(struct sio_str name)
{
    uint32_t h = 2166136261u; /* FNV-1a; two names with one hash only cost a little */

    for (size_t i = 0; i < name.len; i++)
        h = (h ^ (uint8_t)name.ptr[i]) * 16777619u;
    return h;
}

void sharded_rooms_joined(struct sharded *s, const struct sio_str *rooms, size_t n)
{
    uint64_t now = now_ms(s);

    if (n > SHARDED_LATELY) {
        s->all_lately_until_ms = now + LATELY_MS;
        return;
    }
    for (size_t i = 0; i < n; i++) {
        uint32_t at = s->next_lately++ % SHARDED_LATELY;

        if (s->lately[at].until_ms > s->all_lately_until_ms)
            s->all_lately_until_ms = s->lately[at].until_ms;
        s->lately[at].hash = hash(rooms[i]);
        s->lately[at].until_ms = now + LATELY_MS;
    }
}

static bool was_joined_lately(const struct sharded *s, struct sio_str room)
{
    uint64_t now;
    uint32_t h;

    if (s->next_lately == 0 && s->all_lately_until_ms == 0)
        return false;
    now = now_ms(s);
    if (s->all_lately_until_ms > now)
        return true;
    h = hash(room);
    for (size_t i = 0; i < SHARDED_LATELY; i++)
        if (s->lately[i].hash == h && s->lately[i].until_ms > now)
            return true;
    return false;
}

bool sharded_has_channel(const struct sharded *s, struct sio_str room)
{
    return sio_sharded_has_channel(s->base.cluster->subscriptions, room) &&
           !was_joined_lately(s, room);
}

/*
 * Members come and go.
 */

static struct sharded_room *find_room(const struct sharded *s, struct sio_str name)
{
    struct map_node *node = map_find(&s->rooms, name);

    return node ? container_of(node, struct sharded_room, node) : NULL;
}

static void wake(struct sharded *s, struct sharded_room *room)
{
    list_remove(&room->link);
    s->n_resting--;
}

static void room_free(struct sharded *s, struct sharded_room *room)
{
    map_remove(&s->rooms, &room->node);
    cluster_bus_unlisten(s->base.cluster->bus, &room->topic);
    mem_free(room);
}

static struct sharded_room *next_to_expire(struct sharded *s)
{
    if (list_empty(&s->resting))
        return NULL;
    return container_of(s->resting.next, struct sharded_room, link);
}

static void forget(struct sharded *s, struct sharded_room *room)
{
    wake(s, room);
    room_free(s, room);
}

static void start_timer(struct sharded *s)
{
    struct sharded_room *next = next_to_expire(s);
    uint64_t now = now_ms(s);

    net_timer_stop(&s->timer);
    /* Out of memory: the next room that rests starts it. */
    if (next)
        (void)net_timer_start(
            &s->timer, next->expires_ms > now ? (uint32_t)(next->expires_ms - now) : 0);
}

static void on_timer(struct net_timer *timer, void *user)
{
    struct sharded *s = user;
    struct sharded_room *room;

    (void)timer;
    while ((room = next_to_expire(s)) && room->expires_ms <= now_ms(s))
        forget(s, room);
    start_timer(s);
}

/*
 * A client that comes back gets what its rooms were sent meanwhile: so that must be
 * heard.  True if the room rests now.
 */
static bool rest(struct sharded *s, struct sharded_room *room)
{
    const struct sio_recovery *recovery = sharded_ns(s)->recovery;

    if (!recovery || recovery->n_tickets <= recovery->n_present)
        return false;
    if (s->n_resting >= MAX_RESTING)
        forget(s, next_to_expire(s));
    list_append(&s->resting, &room->link);
    s->n_resting++;
    room->expires_ms =
        now_ms(s) + RESTING_TO_MS + sharded_ns(s)->server->recovery.options.max_away_ms;
    if (!net_timer_running(&s->timer))
        start_timer(s);
    return true;
}

/*
 * Until Redis has confirmed the channel, what others send to it does not come: nobody
 * waits for that, as nobody waits for a member that comes a moment later.
 */
static int listen_to(struct sharded *s, struct sharded_room *room, struct sio_str name)
{
    struct cluster_bus *bus = s->base.cluster->bus;
    struct wbuf w;
    int rv;

    wbuf_init(&w, UINT32_MAX);
    cluster_add_channel(&w, &s->base, name);
    rv = w.error;
    if (rv == SIO_OK)
        rv = cluster_bus_listen(bus, &room->topic, CLUSTER_SHARD, wbuf_str(&w),
                                sharded_on_message, s);
    wbuf_fini(&w);
    return rv;
}

static int room_new(struct sharded *s, struct sio_str name, struct sharded_room **out)
{
    struct sharded_room *room = mem_new(struct sharded_room);
    int rv;

    if (!room)
        return SIO_ERR_NOMEM;
    list_init(&room->link);
    rv = listen_to(s, room, name);
    if (rv == SIO_OK) {
        name.ptr = room->topic.name.ptr + sharded_channel(s).len;
        rv = map_add(&s->rooms, &room->node, name);
    }
    if (rv < 0) {
        cluster_bus_unlisten(s->base.cluster->bus, &room->topic);
        mem_free(room);
        return rv;
    }
    *out = room;
    return SIO_OK;
}

/* *out NULL: it has no channel. */
static int open_room(struct sharded *s, struct sio_str name, struct sharded_room **out)
{
    const struct sio_cluster *c = s->base.cluster;
    struct sharded_room *room = find_room(s, name);
    int rv = SIO_OK;

    *out = NULL;
    /* What is on the channel that this server's own name would have are answers. */
    if (!sio_sharded_is_heard(c->subscriptions, name) ||
        str_eq(name, sio_cluster_uid(c)))
        return SIO_OK;
    if (!room)
        rv = room_new(s, name, &room);
    else if (room->n == 0)
        wake(s, room);
    if (rv < 0)
        return rv;
    room->n++;
    *out = room;
    return SIO_OK;
}

static void close_room(struct sharded *s, struct sharded_room *room)
{
    room->n--;
    if (room->n == 0 && !rest(s, room))
        room_free(s, room);
}

int sharded_rooms_enter(struct sharded *s, struct sio_str id)
{
    struct sharded_room *room;

    return open_room(s, id, &room);
}

void sharded_rooms_leave(struct sharded *s, struct sio_str id)
{
    struct sharded_room *room = find_room(s, id);

    if (room)
        close_room(s, room);
}

static int on_opened(struct sio_rooms *r, struct sio_str name, void **data)
{
    struct sharded_room *room;
    int rv = open_room(sharded_of(&r->base), name, &room);

    *data = room;
    return rv;
}

static void on_closed(struct sio_rooms *r, void *data)
{
    if (data)
        close_room(sharded_of(&r->base), data);
}

static const struct sio_rooms_hooks hooks = {on_opened, on_closed};

void sharded_rooms_init(struct sharded *s)
{
    s->base.rooms.hooks = &hooks;
    map_init(&s->rooms);
    list_init(&s->resting);
    net_timer_init(&s->timer, s->base.cluster->loop, on_timer, s);
}

void sharded_rooms_fini(struct sharded *s)
{
    struct sharded_room *room;

    while ((room = next_to_expire(s)))
        forget(s, room);
    net_timer_stop(&s->timer);
    map_fini(&s->rooms);
}
