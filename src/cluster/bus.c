#include <config.h>

#include "cluster/bus.h"

#include <assert.h>

#include "base/map.h"
#include "base/mem.h"
#include "base/str.h"
#include "redis/conn.h"
#include "redis/tls.h"

#define LISTEN_IDLE \
    1000 /* ms; a listener that hears nothing asks whether Redis lives */
#define LISTEN_HANG   3000  /* so a hung one is noticed within 5 s */
#define RETRY_MS      1000  /* what could not be said */
#define RETRY_LATE_MS 10000 /* what was refused */
#define N_KINDS       3

/*
 * What this process has to do with a channel of Redis: it outlives its topics while an
 * answer is due, for what is said about one name is answered in turn.
 */
struct bus_channel {
    struct map_node node;
    struct cluster_bus *bus;
    struct cluster_topic *topics; /* NULL: nobody listens any more */
    struct cluster_topic *next;   /* who hears next what has just come */
    enum cluster_topic_kind kind;
    unsigned n_open; /* SUBSCRIBEs whose answers are due */
    bool asked;      /* SUBSCRIBE was said, and no UNSUBSCRIBE since */
    bool awaited;    /* the bus is not up before the topics are confirmed */
    bool telling;    /* them of what has come */
    char name[];
};

struct cluster_bus {
    struct net_loop *loop;
    struct redis_url url;
    struct redis_conn *publisher;
    struct redis_conn *listener; /* NULL: nobody will listen */
    struct map channels[N_KINDS];
    struct list watchers;
    struct net_task look;   /* whether it is up now */
    struct net_timer retry; /* what has still to be said to the listener */
    size_t n_awaited;       /* channels */
    size_t max_unsent;
    struct cluster_bus_stats stats;
    bool up;
    bool told_refused[2]; /* the log has it: of listening, of publishing */
};

/* Up and down. */

static bool are_connected(const struct cluster_bus *bus)
{
    return redis_conn_is_up(bus->publisher) &&
           (!bus->listener || redis_conn_is_up(bus->listener));
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
static void tell_refused(struct cluster_bus *bus, bool publishing, const char *command,
                         const struct redis_reply *reply)
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

static const char *const subscribe[N_KINDS] = {"SUBSCRIBE", "PSUBSCRIBE", "SSUBSCRIBE"};
static const char *const unsubscribe[N_KINDS] = {"UNSUBSCRIBE", "PUNSUBSCRIBE",
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

static void on_subscribed(int status, const struct redis_reply *reply, void *user)
{
    struct bus_channel *ch = user;
    struct cluster_bus *bus = ch->bus;

    ch->n_open--;
    if (status == SIO_ERR_REFUSED) {
        tell_refused(bus, false, subscribe[ch->kind], reply);
        if (ch->n_open == 0)
            ch->asked = false;
        retry_within(bus, RETRY_LATE_MS);
    } else if (status == SIO_OK && ch->n_open == 0 && ch->topics && ch->asked) {
        set_confirmed(ch, true);
        stop_awaiting(ch);
    }
    release_channel(ch);
}

/* Says what is to be said.  Where it cannot be, it is tried again later. */
static void settle(struct bus_channel *ch)
{
    struct cluster_bus *bus = ch->bus;
    bool wanted = ch->topics != NULL;
    const char *word = wanted ? subscribe[ch->kind] : unsubscribe[ch->kind];
    const struct sio_slice args[2] = {redis_arg(sio_str_from(word)),
                                      redis_arg(ch->node.key)};
    int rv = SIO_ERR_FULL;

    if (wanted == ch->asked)
        return;
    if (redis_conn_unsent(bus->listener) < bus->max_unsent)
        rv = redis_conn_command(bus->listener, args, 2, wanted ? on_subscribed : NULL,
                                ch);
    if (rv == SIO_OK) {
        ch->asked = wanted;
        ch->n_open += wanted;
    } else if (rv != SIO_ERR_CLOSED) {
        retry_within(bus, RETRY_MS);
    }
}

typedef void (*channel_fn)(struct bus_channel *ch);

static void each_channel(struct cluster_bus *bus, channel_fn fn)
{
    struct map_pos pos;

    for (size_t kind = 0; kind < N_KINDS; kind++)
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
    if (ch->topics) {
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

/* A cluster of Redis has moved the channel: nothing comes from here any more. */
static void on_moved(struct cluster_bus *bus, struct sio_str name)
{
    struct bus_channel *ch = find_channel(bus, CLUSTER_SHARD, name);

    if (!ch || !ch->topics || ch->n_open > 0)
        return;
    ch->asked = false;
    retry_within(bus, RETRY_MS);
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

static void on_push(struct redis_conn *c, const struct redis_reply *reply, void *user)
{
    struct cluster_bus *bus = user;
    enum cluster_topic_kind kind = CLUSTER_CHANNEL;
    struct sio_str word, name, channel, body;
    size_t n = redis_reply_count(reply); /* 3 or more */
    struct bus_channel *ch;

    (void)c;
    if (!redis_reply_text(redis_reply_at(reply, 0), &word) ||
        !redis_reply_text(redis_reply_at(reply, 1), &name))
        return;
    if (str_eq_cstr(word, "sunsubscribe")) {
        on_moved(bus, name);
        return;
    }
    if (word.ptr[0] != 'm')
        kind = word.ptr[0] == 'p' ? CLUSTER_PATTERN : CLUSTER_SHARD;
    if (n != (kind == CLUSTER_PATTERN ? 4 : 3) ||
        !redis_reply_text(redis_reply_at(reply, n - 2), &channel) ||
        !redis_reply_text(redis_reply_at(reply, n - 1), &body))
        return;
    ch = find_channel(bus, kind, name);
    if (!ch || !ch->topics)
        return; /* it was on its way */
    bus->stats.n_heard++;
    tell_topics(ch, channel, redis_arg(body));
}

static void on_publisher_up(struct redis_conn *c, void *user)
{
    (void)c;
    look_soon(user);
}

static void on_publisher_down(struct redis_conn *c, void *user)
{
    (void)c;
    go_down(user);
}

static void on_listener_up(struct redis_conn *c, void *user)
{
    (void)c;
    each_channel(user, await);
    look_soon(user);
}

static void on_listener_down(struct redis_conn *c, void *user)
{
    struct cluster_bus *bus = user;

    (void)c;
    each_channel(bus, forget);
    net_timer_stop(&bus->retry);
    go_down(bus);
}

/* Beginning and end. */

static int open_connections(struct cluster_bus *bus,
                            const struct cluster_bus_options *opts,
                            struct sio_diag *diag)
{
    static const struct redis_conn_ops publisher_ops = {
        .on_up = on_publisher_up,
        .on_down = on_publisher_down,
    };
    static const struct redis_conn_ops listener_ops = {
        .on_up = on_listener_up,
        .on_down = on_listener_down,
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
    bus->publisher = redis_conn_new(bus->loop, &conn_opts, &publisher_ops, bus);
    conn_opts.name = "listener";
    conn_opts.max_reply =
        opts->max_message ? opts->max_message : CLUSTER_BUS_MAX_MESSAGE;
    conn_opts.idle_ms = LISTEN_IDLE;
    conn_opts.hang_ms = LISTEN_HANG;
    if (!opts->publish_only)
        bus->listener = redis_conn_new(bus->loop, &conn_opts, &listener_ops, bus);
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
    for (size_t i = 0; i < N_KINDS; i++)
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
    redis_conn_free(bus->publisher);
    redis_conn_free(bus->listener);
    net_timer_stop(&bus->retry); /* an answer may have started it */
    list_remove(&bus->look.link);
    each_channel(bus, forget);
    for (size_t i = 0; i < N_KINDS; i++) {
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

bool cluster_bus_can_publish(const struct cluster_bus *bus)
{
    return redis_conn_is_up(bus->publisher);
}

uint64_t cluster_bus_silent_ms(const struct cluster_bus *bus)
{
    uint64_t publisher = redis_conn_silent_ms(bus->publisher);
    uint64_t listener = bus->listener ? redis_conn_silent_ms(bus->listener) : 0;

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

/* Publishing and counting. */

/* Who waits for a number. */
struct count {
    struct cluster_bus *bus;
    cluster_count_cb cb;
    void *user;
};

/* The number is the reply, or the last of its items.  Returns the status. */
static int read_count(int status, const struct redis_reply *reply, uint64_t *out)
{
    size_t n = redis_reply_count(reply);
    int64_t value = 0;

    *out = 0;
    if (status < 0)
        return status;
    if (!redis_reply_integer(n > 0 ? redis_reply_at(reply, n - 1) : reply, &value) ||
        value < 0)
        return SIO_ERR_REFUSED;
    *out = (uint64_t)value;
    return SIO_OK;
}

static void on_counted(int status, const struct redis_reply *reply, void *user)
{
    struct count count = *(struct count *)user;
    uint64_t n;

    mem_free(user);
    status = read_count(status, reply, &n);
    count.cb(status, n, count.user);
}

static void note_published(struct cluster_bus *bus, int status,
                           const struct redis_reply *reply)
{
    if (status == SIO_ERR_CLOSED)
        bus->stats.n_lost++;
    else if (status == SIO_ERR_REFUSED)
        tell_refused(bus, true, "PUBLISH or SPUBLISH", reply);
}

static void on_published(int status, const struct redis_reply *reply, void *user)
{
    note_published(user, status, reply);
}

static void on_published_counted(int status, const struct redis_reply *reply,
                                 void *user)
{
    note_published(((struct count *)user)->bus, status, reply);
    on_counted(status, reply, user);
}

/* With what is said too late: nobody would hear it in time. */
static bool has_room(const struct cluster_bus *bus, struct sio_str channel,
                     const struct sio_slice *parts, size_t n)
{
    size_t unsent = redis_conn_unsent(bus->publisher);
    size_t len = channel.len;

    for (size_t i = 0; i < n; i++)
        len += parts[i].len;
    return unsent < bus->max_unsent && len <= bus->max_unsent - unsent;
}

static int say(struct cluster_bus *bus, const struct sio_slice *args, size_t n_args,
               const struct sio_slice *parts, size_t n, redis_reply_cb on_reply,
               cluster_count_cb cb, void *user)
{
    struct count *count = mem_new(struct count);
    int rv = SIO_ERR_NOMEM;

    if (count) {
        *count = (struct count){bus, cb, user};
        rv = redis_conn_command_parts(bus->publisher, args, n_args, parts, n, on_reply,
                                      count);
    }
    if (rv < 0)
        mem_free(count);
    return rv;
}

int cluster_bus_publish(struct cluster_bus *bus, enum cluster_topic_kind kind,
                        struct sio_str channel, const struct sio_slice *parts, size_t n,
                        cluster_count_cb cb, void *user)
{
    struct sio_str word =
        kind == CLUSTER_SHARD ? SIO_STR("SPUBLISH") : SIO_STR("PUBLISH");
    const struct sio_slice args[2] = {redis_arg(word), redis_arg(channel)};
    const struct sio_slice nothing = redis_arg(SIO_STR(""));
    int rv;

    if (n > CLUSTER_MAX_PARTS)
        return SIO_ERR_INVAL;
    if (n == 0) {
        parts = &nothing;
        n = 1;
    }
    if (!cluster_bus_can_publish(bus))
        rv = SIO_ERR_CLOSED;
    else if (!has_room(bus, channel, parts, n))
        rv = SIO_ERR_FULL;
    else if (cb)
        rv = say(bus, args, 2, parts, n, on_published_counted, cb, user);
    else
        rv = redis_conn_command_parts(bus->publisher, args, 2, parts, n, on_published,
                                      bus);
    if (rv == SIO_OK)
        bus->stats.n_published++;
    else
        bus->stats.n_unsent++;
    return rv;
}

int cluster_bus_count(struct cluster_bus *bus, enum cluster_topic_kind kind,
                      struct sio_str channel, cluster_count_cb cb, void *user)
{
    struct sio_str word =
        kind == CLUSTER_SHARD ? SIO_STR("SHARDNUMSUB") : SIO_STR("NUMSUB");
    const struct sio_slice args[3] = {redis_arg(SIO_STR("PUBSUB")), redis_arg(word),
                                      redis_arg(channel)};

    if (!cluster_bus_can_publish(bus))
        return SIO_ERR_CLOSED;
    if (!has_room(bus, channel, NULL, 0))
        return SIO_ERR_FULL;
    return say(bus, args, 3, NULL, 0, on_counted, cb, user);
}

void cluster_bus_stats(const struct cluster_bus *bus, struct cluster_bus_stats *out)
{
    *out = bus->stats;
}
