/*
 * emitter.c - who only sends to the clients of all servers
 *
 * What Redis cannot be given at once waits, in order.  Answers of Redis come in the same
 * order, so counting them tells which messages it has taken.
 */
#include <config.h>

#include <sioc/cluster.h>

#include "base/list.h"
#include "base/mem.h"
#include "cluster/bus.h"
#include "cluster/codec.h"
#include "cluster/message.h"
#include "net/loop.h"
#include "socketio/packet.h"

#define DEFAULT_KEY "socket.io"
#define MAX_WAITING ((size_t)1024 * 1024)
/* Of all that Redis has not taken; so of one message, too, which else would wait forever. */
#define MAX_UNSENT ((size_t)16 * 1024 * 1024)
/* A server that was told to make members of a room listens to it within this time. */
#define JOINING_MS 1000

/* The name that node's emitter has; no server has it. */
static const struct sio_str uid = SIO_STR_INIT("emitter");
static const struct sio_str no_id = {NULL, 0};

struct sio_emitter {
    struct net_loop *loop;
    struct cluster_bus *bus;
    struct cluster_bus_watcher watcher;
    enum sio_cluster_mode mode;
    enum sio_cluster_subscriptions subscriptions;
    struct list waiting;
    size_t n_waiting;    /* bytes */
    uint64_t n_accepted; /* messages */
    uint64_t n_settled;  /* of these: Redis has them, or they are lost */
    uint64_t n_unheard;
    int status;        /* the first failure since a flush was told */
    uint64_t flush_at; /* the flush is over when as many are settled */
    int flush_status;
    void (*on_flush)(int status, void *user);
    void *flush_user;
    struct net_timer flush_timer;
    struct net_task tell;
    bool ending;
    uint64_t joining_until_ms; /* sockets have just been told to enter rooms */
    char key[];
};

/* A message that waits for Redis. */
struct waiting {
    struct list link;
    struct sio_buf *channel;
    struct sio_buf *body;
};

/* Flushing: whoever is told may free the emitter, so nobody is told below its feet. */

static void on_tell(struct net_task *task)
{
    struct sio_emitter *e = container_of(task, struct sio_emitter, tell);
    void (*cb)(int, void *) = e->on_flush;

    net_timer_stop(&e->flush_timer);
    e->on_flush = NULL;
    if (cb)
        cb(e->flush_status, e->flush_user);
}

static void end_flush(struct sio_emitter *e, int status)
{
    e->flush_status = status;
    e->status = SIO_OK;
    net_timer_stop(&e->flush_timer);
    net_loop_defer(e->loop, &e->tell);
}

static bool flush_is_open(const struct sio_emitter *e)
{
    return e->on_flush && list_empty(&e->tell.link);
}

static void on_flush_timeout(struct net_timer *timer, void *user)
{
    struct sio_emitter *e = user;

    (void)timer;
    if (flush_is_open(e))
        end_flush(e, SIO_ERR_TIMEOUT);
}

static void look_at_flush(struct sio_emitter *e)
{
    if (flush_is_open(e) && e->n_settled >= e->flush_at)
        end_flush(e, e->status);
}

static void settle(struct sio_emitter *e, int status)
{
    e->n_settled++;
    if (e->status == SIO_OK)
        e->status = status;
    look_at_flush(e);
}

int sio_emitter_flush(struct sio_emitter *e, uint32_t timeout_ms,
                      void (*cb)(int status, void *user), void *user)
{
    int rv;

    if (e->on_flush)
        return SIO_ERR_AGAIN;
    rv = net_timer_start(&e->flush_timer, timeout_ms);
    if (rv < 0)
        return rv;
    e->on_flush = cb;
    e->flush_user = user;
    e->flush_at = e->n_accepted;
    look_at_flush(e);
    return SIO_OK;
}

/* Sending. */

static void waiting_free(struct sio_emitter *e, struct waiting *w)
{
    list_remove(&w->link);
    e->n_waiting -= w->channel->len + w->body->len;
    sio_buf_unref(w->channel);
    sio_buf_unref(w->body);
    mem_free(w);
}

static void on_published(int status, uint64_t n, void *user)
{
    struct sio_emitter *e = user;

    if (status == SIO_OK && n == 0)
        e->n_unheard++;
    settle(e, status);
}

static int publish(struct sio_emitter *e, struct sio_buf *channel, struct sio_buf *body)
{
    struct sio_str name = {(const char *)channel->data, channel->len};
    struct sio_slice part = sio_slice_of(body);

    return cluster_bus_publish(
        e->bus, e->mode == SIO_CLUSTER_SHARDED ? CLUSTER_SHARD : CLUSTER_CHANNEL, name,
        &part, 1, on_published, e);
}

/* A message that never can be sent is lost: those behind it need not be. */
static void drain(struct sio_emitter *e)
{
    while (!list_empty(&e->waiting) && cluster_bus_is_up(e->bus)) {
        struct waiting *w = container_of(e->waiting.next, struct waiting, link);
        int rv = publish(e, w->channel, w->body);

        if (rv == SIO_ERR_CLOSED || rv == SIO_ERR_FULL)
            return;
        waiting_free(e, w);
        if (rv < 0)
            settle(e, rv);
    }
}

static int wait_for_redis(struct sio_emitter *e, struct sio_buf *channel,
                          struct sio_buf *body)
{
    size_t size = (size_t)channel->len + body->len;
    struct waiting *w;

    if (!list_empty(&e->waiting) && e->n_waiting + size > MAX_WAITING)
        return SIO_ERR_FULL;
    w = mem_new(struct waiting);
    if (!w)
        return SIO_ERR_NOMEM;
    w->channel = sio_buf_ref(channel);
    w->body = sio_buf_ref(body);
    list_append(&e->waiting, &w->link);
    e->n_waiting += size;
    return SIO_OK;
}

static int send_bufs(struct sio_emitter *e, struct sio_buf *channel,
                     struct sio_buf *body)
{
    int rv = SIO_ERR_CLOSED;

    if ((size_t)channel->len + body->len > MAX_UNSENT)
        return SIO_ERR_TOO_BIG;
    drain(e);
    if (list_empty(&e->waiting) && cluster_bus_is_up(e->bus))
        rv = publish(e, channel, body);
    if (rv == SIO_ERR_CLOSED)
        rv = wait_for_redis(e, channel, body);
    if (rv == SIO_OK)
        e->n_accepted++;
    return rv;
}

/* A message while it is written. */
struct outgoing {
    struct wbuf channel;
    struct wbuf body;
};

/* Takes what o holds, unless something went wrong before. */
static int send_out(struct sio_emitter *e, struct outgoing *o, int rv)
{
    struct sio_buf *channel = NULL;
    struct sio_buf *body = NULL;

    if (rv == SIO_OK)
        rv = o->channel.error;
    if (rv == SIO_OK) {
        channel = wbuf_take(&o->channel);
        body = wbuf_take(&o->body);
        rv = channel && body ? send_bufs(e, channel, body) : SIO_ERR_NOMEM;
    }
    sio_buf_unref(channel);
    sio_buf_unref(body);
    wbuf_fini(&o->channel);
    wbuf_fini(&o->body);
    return rv;
}

/* suffix: of the classic adapter, which has a channel of its own for requests. */
static void begin(const struct sio_emitter *e, struct outgoing *o, const char *suffix,
                  struct sio_str nsp)
{
    wbuf_init(&o->channel, UINT32_MAX);
    wbuf_init(&o->body, UINT32_MAX);
    wbuf_add_cstr(&o->channel, e->key);
    if (e->mode == SIO_CLUSTER_PUBSUB)
        wbuf_add_cstr(&o->channel, suffix);
    wbuf_add_byte(&o->channel, '#');
    wbuf_add_str(&o->channel, nsp);
    wbuf_add_byte(&o->channel, '#');
}

/*
 * All servers of a namespace hear what is on its channel, but some only just begin to
 * listen to that of a room; and not every room has one.
 */
static bool sharded_hear_room(const struct sio_emitter *e, struct sio_str room)
{
    return sio_sharded_has_channel(e->subscriptions, room) &&
           net_loop_now_ms(e->loop) >= e->joining_until_ms;
}

/* What is for one room only has a channel that says so. */
static void add_room(const struct sio_emitter *e, struct wbuf *w,
                     const struct sio_target *target)
{
    if (target->n_rooms != 1 ||
        (e->mode == SIO_CLUSTER_SHARDED && !sharded_hear_room(e, target->rooms[0])))
        return;
    wbuf_add_str(w, target->rooms[0]);
    wbuf_add_byte(w, '#');
}

/* What of a target is meant for emitters. */
static struct sio_target plain(const struct sio_target *target)
{
    struct sio_target t = {.rooms = NULL};

    if (target)
        t = *target;
    t.except_socket = NULL;
    return t;
}

int sio_emitter_emit(struct sio_emitter *e, struct sio_str nsp,
                     const struct sio_target *target, struct sio_message *m)
{
    struct sio_sharded_sender from = {uid, nsp};
    struct sio_target t = plain(target);
    struct outgoing o;
    int rv;

    if (!sio_nsp_valid(nsp))
        return SIO_ERR_INVAL;
    begin(e, &o, "", nsp);
    add_room(e, &o.channel, &t);
    if (e->mode == SIO_CLUSTER_SHARDED)
        rv = sio_sharded_write_broadcast(&o.body, NULL, &from, no_id, &t, m, 0);
    else
        rv = sio_cluster_write_broadcast(&o.body, NULL, uid, nsp, &t, m);
    return send_out(e, &o, rv);
}

/* A request as both adapters call it. */
struct request {
    enum sio_cluster_type type;
    enum sio_sharded_type sharded;
    const struct sio_str *rooms;
    size_t n;
    bool close;
};

static int request(struct sio_emitter *e, struct sio_str nsp,
                   const struct sio_target *target, const struct request *r)
{
    struct sio_sharded_sender from = {uid, nsp};
    struct sio_target t = plain(target);
    struct outgoing o;
    int rv;

    if (!sio_nsp_valid(nsp))
        return SIO_ERR_INVAL;
    begin(e, &o, "-request", nsp);
    if (e->mode == SIO_CLUSTER_SHARDED)
        rv = sio_sharded_write_request(&o.body, &from, r->sharded, no_id, &t, r->rooms,
                                       r->n, r->close);
    else
        rv = sio_cluster_write_request(&o.body, r->type, uid, no_id, &t, r->rooms, r->n,
                                       r->close);
    return send_out(e, &o, rv);
}

int sio_emitter_join(struct sio_emitter *e, struct sio_str nsp,
                     const struct sio_target *target, const struct sio_str *rooms,
                     size_t n)
{
    struct request r = {SIO_CLUSTER_JOIN, SIO_SHARDED_JOIN, rooms, n, false};

    e->joining_until_ms = net_loop_now_ms(e->loop) + JOINING_MS;
    return request(e, nsp, target, &r);
}

int sio_emitter_leave(struct sio_emitter *e, struct sio_str nsp,
                      const struct sio_target *target, const struct sio_str *rooms,
                      size_t n)
{
    struct request r = {SIO_CLUSTER_LEAVE, SIO_SHARDED_LEAVE, rooms, n, false};

    return request(e, nsp, target, &r);
}

int sio_emitter_disconnect(struct sio_emitter *e, struct sio_str nsp,
                           const struct sio_target *target, bool close)
{
    struct request r = {SIO_CLUSTER_DISCONNECT, SIO_SHARDED_DISCONNECT, NULL, 0, close};

    return request(e, nsp, target, &r);
}

int sio_emitter_side_emit(struct sio_emitter *e, struct sio_str nsp,
                          struct sio_message *m)
{
    struct sio_sharded_sender from = {uid, nsp};
    struct outgoing o;
    int rv;

    if (!sio_nsp_valid(nsp))
        return SIO_ERR_INVAL;
    begin(e, &o, "-request", nsp);
    if (e->mode == SIO_CLUSTER_SHARDED)
        rv = sio_sharded_write_side_emit(&o.body, &from, no_id, m);
    else
        rv = sio_cluster_write_side_emit(&o.body, uid, no_id, m);
    return send_out(e, &o, rv);
}

uint64_t sio_emitter_unheard(const struct sio_emitter *e)
{
    return e->n_unheard;
}

/* Beginning and end. */

static void on_up(struct cluster_bus *bus, void *user)
{
    (void)bus;
    drain(user);
}

static const struct cluster_bus_ops watch = {.on_up = on_up};

struct sio_emitter *sio_emitter_new(struct net_loop *loop,
                                    const struct sio_emitter_options *opts,
                                    struct sio_diag *diag)
{
    struct cluster_bus_options bus = {.url = sio_str_from(opts->redis_url),
                                      .max_unsent = MAX_UNSENT,
                                      .publish_only = true};
    struct sio_str key = sio_str_from(opts->key ? opts->key : DEFAULT_KEY);
    struct sio_emitter *e = mem_alloc(sizeof(*e) + key.len + 1);

    if (!e) {
        sio_diag_set(diag, SIO_ERR_NOMEM, "out of memory");
        return NULL;
    }
    memcpy(e->key, key.ptr, key.len);
    e->loop = loop;
    e->mode = opts->mode;
    e->subscriptions = opts->subscriptions;
    list_init(&e->waiting);
    list_init(&e->watcher.link);
    list_init(&e->tell.link);
    e->tell.run = on_tell;
    net_timer_init(&e->flush_timer, loop, on_flush_timeout, e);
    e->bus = cluster_bus_new(loop, &bus, diag);
    if (!e->bus) {
        mem_free(e);
        return NULL;
    }
    e->watcher.ops = &watch;
    e->watcher.user = e;
    cluster_bus_watch(e->bus, &e->watcher);
    return e;
}

void sio_emitter_free(struct sio_emitter *e)
{
    void (*cb)(int, void *);

    if (!e || e->ending) /* who is told of the end may want to free it, too */
        return;
    e->ending = true;
    cb = e->on_flush;
    e->on_flush = NULL;
    cluster_bus_unwatch(&e->watcher);
    cluster_bus_free(e->bus);
    while (!list_empty(&e->waiting))
        waiting_free(e, container_of(e->waiting.next, struct waiting, link));
    net_timer_stop(&e->flush_timer);
    list_remove(&e->tell.link);
    if (cb)
        cb(SIO_ERR_CLOSED, e->flush_user);
    mem_free(e);
}
