#include <config.h>

#include "cluster/bus_impl.h"

#include <assert.h>

#include "base/mem.h"
#include "base/str.h"
#include "redis/slots.h"
#include "redis/tls.h"

#define LISTEN_IDLE \
    1000 /* ms; a listener that hears nothing asks whether Redis lives */
#define LISTEN_HANG   3000  /* so a hung one is noticed within 5 s */
#define RETRY_MS      200   /* what could not be said */
#define RETRY_SOON_MS 1000  /* what a cluster of Redis may take in a moment */
#define RETRY_LATE_MS 10000 /* what was refused */

/* Up and down. */

static bool are_connected(const struct cluster_bus *bus)
{
    return redis_nodes_is_whole(bus->publisher) &&
           (!bus->listener || redis_nodes_is_up(bus->listener));
}

/* A watcher may watch and unwatch, itself and others. */
static void tell_watchers(struct cluster_bus *bus, bool up)
{
    struct list waiting;

    list_init(&waiting);
    list_splice(&waiting, &bus->watchers);
    while (!list_empty(&waiting)) {
        struct cluster_bus_watcher *w =
            container_of(waiting.next, struct cluster_bus_watcher, link);
        void (*tell)(struct cluster_bus *, void *) =
            up ? w->ops->on_up : w->ops->on_down;

        list_remove(&w->link);
        list_append(&bus->watchers, &w->link);
        if (tell)
            tell(bus, w->user);
    }
}

static void on_look(struct net_task *task)
{
    struct cluster_bus *bus = container_of(task, struct cluster_bus, look);

    if (bus->up || bus->n_awaited > 0 || !are_connected(bus))
        return;
    bus->up = true;
    memset(bus->told_refused, 0, sizeof(bus->told_refused));
    tell_watchers(bus, true);
}

static void look_soon(struct cluster_bus *bus)
{
    if (!bus->up)
        net_loop_defer(bus->loop, &bus->look);
}

static void go_down(struct cluster_bus *bus)
{
    if (!bus->up)
        return;
    bus->up = false;
    tell_watchers(bus, false);
}

/* Once in each spell: others have thousands of rooms, and a user's rights seldom change. */
void cluster_bus_tell_refused(struct cluster_bus *bus, bool publishing,
                              const char *command, const struct redis_reply *reply)
{
    struct sio_str text = {"", 0};

    if (bus->told_refused[publishing])
        return;
    bus->told_refused[publishing] = true;
    redis_reply_text(reply, &text);
    log_error(net_loop_log(bus->loop), "redis refuses %s: %.*s%s", command,
              (int)(text.len < 150 ? text.len : 150), text.ptr,
              str_starts(text, SIO_STR("ERR unknown command"))
                  ? " (sharded channels need Redis 7)"
                  : "");
}

/* Channels: what is said to the listener follows what the topics want. */

static const char *const subscribe[CLUSTER_N_KINDS] = {"SUBSCRIBE", "PSUBSCRIBE",
                                                       "SSUBSCRIBE"};
static const char *const unsubscribe[CLUSTER_N_KINDS] = {"UNSUBSCRIBE", "PUNSUBSCRIBE",
                                                         "SUNSUBSCRIBE"};

static struct bus_channel *find_channel(const struct cluster_bus *bus,
                                        enum cluster_topic_kind kind,
                                        struct sio_str name)
{
    struct map_node *n = map_find(&bus->channels[kind], name);

    return n ? container_of(n, struct bus_channel, node) : NULL;
}

/* Frees it if there is no more to it. */
static void release_channel(struct bus_channel *ch)
{
    if (ch->topics || ch->asked || ch->n_open > 0 || ch->telling)
        return;
    map_remove(&ch->bus->channels[ch->kind], &ch->node);
    mem_free(ch);
}

static void stop_awaiting(struct bus_channel *ch)
{
    if (!ch->awaited)
        return;
    ch->awaited = false;
    ch->bus->n_awaited--;
    look_soon(ch->bus);
}

static void set_confirmed(struct bus_channel *ch, bool confirmed)
{
    for (struct cluster_topic *t = ch->topics; t; t = t->next)
        t->confirmed = confirmed;
}

static void retry_within(struct cluster_bus *bus, uint32_t ms)
{
    uint64_t due_ns = net_loop_now_ns(bus->loop) + (uint64_t)ms * 1000000;

    /* Out of memory: the next listen or the next connection says it. */
    if (!net_timer_running(&bus->retry) || bus->retry.due_ns > due_ns)
        (void)net_timer_start(&bus->retry, ms);
}

/* Where Redis is a cluster, it may be served in a moment. */
static uint32_t retry_after(const struct redis_reply *reply)
{
    struct sio_str text = {"", 0};

    redis_reply_text(reply, &text);
    return redis_error_passes(text) ? RETRY_SOON_MS : RETRY_LATE_MS;
}

static int say(struct bus_channel *ch, const char *word, redis_reply_cb cb)
{
    struct redis_nodes *listener = ch->bus->listener;
    const struct sio_slice args[2] = {redis_arg(sio_str_from(word)),
                                      redis_arg(ch->node.key)};
    const struct redis_request r = {.args = args, .n = 2};

    if (redis_nodes_unsent(listener) >= ch->bus->max_unsent)
        return SIO_ERR_FULL;
    if (!cb)
        return redis_nodes_request_at(listener, ch->at, &r, NULL, NULL);
    ch->at = redis_nodes_where(listener, cluster_bus_key(ch->kind, ch->node.key));
    return redis_nodes_request(listener, cluster_bus_key(ch->kind, ch->node.key), &r,
                               cb, ch);
}

static void on_subscribed(int status, const struct redis_reply *reply, void *user)
{
    struct bus_channel *ch = user;
    struct cluster_bus *bus = ch->bus;
    uint32_t was_at = ch->at;

    ch->n_open--;
    if (status == SIO_OK)
        ch->at = redis_nodes_speaker(bus->listener);
    else if (ch->n_open == 0)
        ch->asked = false;
    if (status == SIO_ERR_REFUSED) {
        cluster_bus_tell_refused(bus, false, subscribe[ch->kind], reply);
        retry_within(bus, retry_after(reply));
    } else if (status < 0) {
        retry_within(bus, RETRY_SOON_MS);
    } else if (!ch->asked && ch->at != was_at) {
        (void)say(ch, unsubscribe[ch->kind], NULL); /* which went elsewhere before */
    } else if (ch->n_open == 0 && ch->topics && ch->asked) {
        set_confirmed(ch, true);
        stop_awaiting(ch);
    }
    release_channel(ch);
}

/* Says what is to be said.  Where it cannot be, it is tried again later. */
static void settle(struct bus_channel *ch)
{
    bool wanted = ch->topics != NULL;
    int rv;

    if (wanted == ch->asked)
        return;
    rv = wanted ? say(ch, subscribe[ch->kind], on_subscribed)
                : say(ch, unsubscribe[ch->kind], NULL);
    if (rv == SIO_OK) {
        ch->asked = wanted;
        ch->n_open += wanted;
    } else if (rv != SIO_ERR_CLOSED) {
        retry_within(ch->bus, RETRY_MS);
    } else if (!wanted) {
        ch->asked = false; /* where it was listened to is no more */
    }
}

typedef void (*channel_fn)(struct bus_channel *ch);

static void each_channel(struct cluster_bus *bus, channel_fn fn)
{
    struct map_pos pos;

    for (size_t kind = 0; kind < CLUSTER_N_KINDS; kind++)
        for (struct map_node *n = map_first(&bus->channels[kind], &pos); n;
             n = map_next(&bus->channels[kind], &pos))
            fn(container_of(n, struct bus_channel, node));
}

static void settle_and_release(struct bus_channel *ch)
{
    settle(ch);
    release_channel(ch);
}

static void on_retry(struct net_timer *timer, void *user)
{
    (void)timer;
    each_channel(user, settle_and_release);
}

/*
 * Topics that come later are not awaited: where thousands of rooms come and go, there is
 * always one that is not confirmed yet.
 */
static void await(struct bus_channel *ch)
{
    if (ch->topics && !ch->awaited) {
        ch->awaited = true;
        ch->bus->n_awaited++;
    }
    settle(ch);
}

/* The new connection knows of nothing. */
static void forget(struct bus_channel *ch)
{
    ch->asked = false;
    set_confirmed(ch, false);
    stop_awaiting(ch);
    release_channel(ch);
}

/* Nothing comes any more from where it was listened to. */
static void listen_again(struct bus_channel *ch)
{
    ch->asked = false;
    set_confirmed(ch, false);
    await(ch);
}

/* A cluster of Redis has moved the channel. */
static void on_moved(struct cluster_bus *bus, uint32_t node, struct sio_str name)
{
    struct bus_channel *ch = find_channel(bus, CLUSTER_SHARD, name);

    if (!ch || !ch->topics || ch->n_open > 0 || ch->at != node)
        return;
    redis_nodes_doubt(bus->listener);
    redis_nodes_doubt(bus->publisher);
    listen_again(ch);
    go_down(bus);
}

/* The connections. */

/* Whoever is told may unlisten, itself and others. */
static void tell_topics(struct bus_channel *ch, struct sio_str channel,
                        struct sio_slice body)
{
    struct cluster_topic *t;

    ch->telling = true;
    for (ch->next = ch->topics; (t = ch->next);) {
        ch->next = t->next;
        t->cb(t, channel, body, t->user);
    }
    ch->telling = false;
    release_channel(ch);
}

static void on_push(struct redis_nodes *n, uint32_t node,
                    const struct redis_reply *reply, void *user)
{
    struct cluster_bus *bus = user;
    enum cluster_topic_kind kind = CLUSTER_CHANNEL;
    struct sio_str word, name, channel, body;
    size_t n_items = redis_reply_count(reply); /* 3 or more */
    struct bus_channel *ch;

    (void)n;
    if (!redis_reply_text(redis_reply_at(reply, 0), &word) ||
        !redis_reply_text(redis_reply_at(reply, 1), &name))
        return;
    if (str_eq_cstr(word, "sunsubscribe")) {
        on_moved(bus, node, name);
        return;
    }
    if (word.ptr[0] != 'm')
        kind = word.ptr[0] == 'p' ? CLUSTER_PATTERN : CLUSTER_SHARD;
    if (n_items != (kind == CLUSTER_PATTERN ? 4 : 3) ||
        !redis_reply_text(redis_reply_at(reply, n_items - 2), &channel) ||
        !redis_reply_text(redis_reply_at(reply, n_items - 1), &body))
        return;
    ch = find_channel(bus, kind, name);
    if (!ch || !ch->topics)
        return; /* it was on its way */
    bus->stats.n_heard++;
    tell_topics(ch, channel, redis_arg(body));
}

static void on_publisher_up(struct redis_nodes *n, void *user)
{
    (void)n;
    look_soon(user);
}

static void on_publisher_down(struct redis_nodes *n, void *user)
{
    (void)n;
    go_down(user);
}

/* What was said to it is lost; what is for others is still taken. */
static void on_publisher_lost(struct redis_nodes *n, uint32_t node, void *user)
{
    (void)n;
    (void)node;
    go_down(user);
    look_soon(user);
}

/* Who listens learns by itself only of what it loses. */
static void on_publisher_changed(struct redis_nodes *n, void *user)
{
    struct cluster_bus *bus = user;

    (void)n;
    if (bus->listener)
        redis_nodes_doubt(bus->listener);
    look_soon(bus);
}

static void on_listener_up(struct redis_nodes *n, void *user)
{
    (void)n;
    each_channel(user, await);
    look_soon(user);
}

static void on_listener_down(struct redis_nodes *n, void *user)
{
    struct cluster_bus *bus = user;

    (void)n;
    each_channel(bus, forget);
    net_timer_stop(&bus->retry);
    go_down(bus);
}

static void on_listener_lost(struct redis_nodes *n, uint32_t node, void *user)
{
    struct cluster_bus *bus = user;
    struct map_pos pos;
    bool any = false;

    (void)n;
    for (size_t kind = 0; kind < CLUSTER_N_KINDS; kind++)
        for (struct map_node *m = map_first(&bus->channels[kind], &pos); m;
             m = map_next(&bus->channels[kind], &pos)) {
            struct bus_channel *ch = container_of(m, struct bus_channel, node);

            if (!ch->asked || ch->at != node)
                continue;
            any |= ch->topics != NULL;
            listen_again(ch);
            release_channel(ch);
        }
    if (any)
        go_down(bus);
}

static void on_listener_changed(struct redis_nodes *n, void *user)
{
    (void)n;
    each_channel(user, settle_and_release);
}

/* Beginning and end. */

static int open_connections(struct cluster_bus *bus,
                            const struct cluster_bus_options *opts,
                            struct sio_diag *diag)
{
    static const struct redis_nodes_ops publisher_ops = {
        .on_up = on_publisher_up,
        .on_down = on_publisher_down,
        .on_lost = on_publisher_lost,
        .on_changed = on_publisher_changed,
    };
    static const struct redis_nodes_ops listener_ops = {
        .on_up = on_listener_up,
        .on_down = on_listener_down,
        .on_lost = on_listener_lost,
        .on_changed = on_listener_changed,
        .on_push = on_push,
    };
    struct redis_conn_options conn_opts = {
        .url = &bus->url,
        .name = "publisher",
        .max_reply = 65536, /* numbers, and errors */
    };
    int rv = redis_url_parse(opts->url, &bus->url, diag);

    if (rv == SIO_OK)
        rv = redis_tls_new(&bus->url, &conn_opts.tls, diag);
    if (rv < 0)
        return rv;
    bus->publisher = redis_nodes_new(bus->loop, &conn_opts, &publisher_ops, bus);
    conn_opts.name = "listener";
    conn_opts.max_reply =
        opts->max_message ? opts->max_message : CLUSTER_BUS_MAX_MESSAGE;
    conn_opts.idle_ms = LISTEN_IDLE;
    conn_opts.hang_ms = LISTEN_HANG;
    if (!opts->publish_only)
        bus->listener = redis_nodes_new(bus->loop, &conn_opts, &listener_ops, bus);
    net_tls_unref(conn_opts.tls);
    if (bus->publisher && (bus->listener || opts->publish_only))
        return SIO_OK;
    return sio_diag_set(diag, SIO_ERR_NOMEM, "out of memory");
}

struct cluster_bus *cluster_bus_new(struct net_loop *loop,
                                    const struct cluster_bus_options *opts,
                                    struct sio_diag *diag)
{
    struct cluster_bus *bus = mem_new(struct cluster_bus);

    if (!bus) {
        sio_diag_set(diag, SIO_ERR_NOMEM, "out of memory");
        return NULL;
    }
    bus->loop = loop;
    bus->max_unsent = opts->max_unsent ? opts->max_unsent : CLUSTER_BUS_MAX_UNSENT;
    for (size_t i = 0; i < CLUSTER_N_KINDS; i++)
        map_init(&bus->channels[i]);
    list_init(&bus->watchers);
    list_init(&bus->look.link);
    bus->look.run = on_look;
    net_timer_init(&bus->retry, loop, on_retry, bus);
    if (open_connections(bus, opts, diag) == SIO_OK)
        return bus;
    cluster_bus_free(bus);
    return NULL;
}

void cluster_bus_free(struct cluster_bus *bus)
{
    if (!bus)
        return;
    bus->up = false;
    redis_nodes_free(bus->publisher);
    redis_nodes_free(bus->listener);
    net_timer_stop(&bus->retry); /* an answer may have started it */
    list_remove(&bus->look.link);
    each_channel(bus, forget);
    for (size_t i = 0; i < CLUSTER_N_KINDS; i++) {
        assert(bus->channels[i].n_items == 0);
        map_fini(&bus->channels[i]);
    }
    redis_url_fini(&bus->url);
    mem_free(bus);
}

bool cluster_bus_is_up(const struct cluster_bus *bus)
{
    return bus->up && are_connected(bus);
}

uint64_t cluster_bus_silent_ms(const struct cluster_bus *bus)
{
    uint64_t publisher = redis_nodes_silent_ms(bus->publisher);
    uint64_t listener = bus->listener ? redis_nodes_silent_ms(bus->listener) : 0;

    return publisher > listener ? publisher : listener;
}

void cluster_bus_watch(struct cluster_bus *bus, struct cluster_bus_watcher *w)
{
    list_append(&bus->watchers, &w->link);
}

void cluster_bus_unwatch(struct cluster_bus_watcher *w)
{
    if (w->link.next)
        list_remove(&w->link);
}

/* Topics. */

static struct bus_channel *
make_channel(struct cluster_bus *bus, enum cluster_topic_kind kind, struct sio_str name)
{
    struct bus_channel *ch = mem_alloc(sizeof(*ch) + name.len);

    if (!ch)
        return NULL;
    ch->bus = bus;
    ch->kind = kind;
    memcpy(ch->name, name.ptr, name.len);
    if (map_add(&bus->channels[kind], &ch->node, (struct sio_str){ch->name, name.len}) <
        0) {
        mem_free(ch);
        return NULL;
    }
    return ch;
}

int cluster_bus_listen(struct cluster_bus *bus, struct cluster_topic *t,
                       enum cluster_topic_kind kind, struct sio_str name,
                       cluster_topic_cb cb, void *user)
{
    struct bus_channel *ch = find_channel(bus, kind, name);

    if (!bus->listener || t->channel || name.len == 0)
        return SIO_ERR_INVAL;
    if (!ch)
        ch = make_channel(bus, kind, name);
    if (!ch)
        return SIO_ERR_NOMEM;
    *t = (struct cluster_topic){.kind = kind,
                                .cb = cb,
                                .user = user,
                                .name = ch->node.key,
                                .channel = ch,
                                .next = ch->topics};
    ch->topics = t;
    t->confirmed =
        ch->asked && ch->n_open == 0; /* what ended it has not been said yet */
    settle(ch);
    return SIO_OK;
}

void cluster_bus_unlisten(struct cluster_bus *bus, struct cluster_topic *t)
{
    struct bus_channel *ch = t->channel;
    struct cluster_topic **at;

    (void)bus; /* the topic knows */
    if (!ch)
        return;
    for (at = &ch->topics; *at != t;)
        at = &(*at)->next;
    *at = t->next;
    if (ch->next == t)
        ch->next = t->next;
    *t = (struct cluster_topic){.channel = NULL};
    if (ch->topics)
        return;
    stop_awaiting(ch); /* it may have been all that was missing */
    settle_and_release(ch);
}
