#include <config.h>

#include "fake_bus.h"

#include <fnmatch.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "alloc_fail.h"
#include "base/buf.h"
#include "base/map.h"
#include "base/mem.h"

struct bus_channel {
    struct map_node node;
    struct cluster_topic *topics;
    struct cluster_topic *next; /* who hears next what is being delivered */
    bool busy;
    char name[];
};

struct cluster_bus {
    struct list link;
    struct map topics[3]; /* by kind */
    struct list watchers;
};

/* A message on its way, or a count that was asked for. */
struct item {
    struct list link;
    enum cluster_topic_kind kind;
    char *channel;
    uint8_t *body; /* NULL: a count */
    size_t len;
    struct cluster_bus *bus; /* whose count */
    cluster_count_cb cb;
    void *user;
};

static struct {
    bool ready;
    struct list buses;
    struct list items;
    bool down;
    int refusal;
    bool refuses_counts;
    bool unconfirmed;
    uint64_t silent_ms;
    uint64_t n_others;
    size_t n_published;
    char channel[512];
    struct sio_buf *body;
} broker;

static void make_ready(void)
{
    if (broker.ready)
        return;
    broker.ready = true;
    list_init(&broker.buses);
    list_init(&broker.items);
}

static struct bus_channel *
find_channel(struct cluster_bus *bus, enum cluster_topic_kind kind, struct sio_str name)
{
    struct map_node *node = map_find(&bus->topics[kind], name);

    return node ? container_of(node, struct bus_channel, node) : NULL;
}

/* The test's own memory does not count. */
static void item_add(struct item *item)
{
    list_append(&broker.items, &item->link);
}

static struct item *item_new(enum cluster_topic_kind kind, struct sio_str channel)
{
    struct item *item;

    alloc_fail_pause();
    item = calloc(1, sizeof(*item));
    item->kind = kind == CLUSTER_SHARD ? CLUSTER_SHARD : CLUSTER_CHANNEL;
    item->channel = strndup(channel.ptr, channel.len);
    alloc_fail_resume();
    return item;
}

static void item_free(struct item *item)
{
    list_remove(&item->link);
    free(item->channel);
    free(item->body);
    free(item);
}

struct cluster_bus *cluster_bus_new(struct net_loop *loop,
                                    const struct cluster_bus_options *opts,
                                    struct sio_diag *diag)
{
    struct cluster_bus *bus;

    (void)loop;
    make_ready();
    if (opts->url.len < 8 || memcmp(opts->url.ptr, "redis://", 8) != 0) {
        sio_diag_set(diag, SIO_ERR_INVAL, "not a URL");
        return NULL;
    }
    bus = mem_new(struct cluster_bus);
    if (!bus)
        return NULL;
    for (int i = 0; i < 3; i++)
        map_init(&bus->topics[i]);
    list_init(&bus->watchers);
    list_append(&broker.buses, &bus->link);
    return bus;
}

void cluster_bus_free(struct cluster_bus *bus)
{
    struct item *item;

    if (!bus)
        return;
    list_for_each (item, struct item, link, &broker.items)
        if (item->bus == bus) {
            item->cb(SIO_ERR_CLOSED, 0, item->user);
            item_free(item);
        }
    for (int i = 0; i < 3; i++) {
        if (bus->topics[i].n_items > 0 || !list_empty(&bus->watchers))
            abort();
        map_fini(&bus->topics[i]);
    }
    list_remove(&bus->link);
    mem_free(bus);
}

bool cluster_bus_is_up(const struct cluster_bus *bus)
{
    (void)bus;
    return !broker.down;
}

bool cluster_bus_can_publish(const struct cluster_bus *bus)
{
    return cluster_bus_is_up(bus);
}

uint64_t cluster_bus_silent_ms(const struct cluster_bus *bus)
{
    (void)bus;
    return broker.silent_ms;
}

void cluster_bus_watch(struct cluster_bus *bus, struct cluster_bus_watcher *w)
{
    list_append(&bus->watchers, &w->link);
}

void cluster_bus_unwatch(struct cluster_bus_watcher *w)
{
    list_remove(&w->link);
}

static struct bus_channel *
channel_new(struct cluster_bus *bus, enum cluster_topic_kind kind, struct sio_str name)
{
    struct bus_channel *ch = mem_alloc(sizeof(*ch) + name.len + 1);

    if (!ch)
        return NULL;
    memcpy(ch->name, name.ptr, name.len);
    name.ptr = ch->name;
    if (map_add(&bus->topics[kind], &ch->node, name) == 0)
        return ch;
    mem_free(ch);
    return NULL;
}

int cluster_bus_listen(struct cluster_bus *bus, struct cluster_topic *t,
                       enum cluster_topic_kind kind, struct sio_str name,
                       cluster_topic_cb cb, void *user)
{
    struct bus_channel *ch = find_channel(bus, kind, name);

    if (t->channel || name.len == 0)
        return SIO_ERR_INVAL;
    if (!ch)
        ch = channel_new(bus, kind, name);
    if (!ch)
        return SIO_ERR_NOMEM;
    *t = (struct cluster_topic){.kind = kind,
                                .cb = cb,
                                .user = user,
                                .name = ch->node.key,
                                .confirmed = !broker.unconfirmed,
                                .channel = ch,
                                .next = ch->topics};
    ch->topics = t;
    return SIO_OK;
}

static void release_channel(struct cluster_bus *bus, enum cluster_topic_kind kind,
                            struct bus_channel *ch)
{
    if (ch->topics || ch->busy)
        return;
    map_remove(&bus->topics[kind], &ch->node);
    mem_free(ch);
}

void cluster_bus_unlisten(struct cluster_bus *bus, struct cluster_topic *t)
{
    struct bus_channel *ch = t->channel;
    struct cluster_topic **at;

    if (!ch)
        return;
    for (at = &ch->topics; *at != t;)
        at = &(*at)->next;
    *at = t->next;
    if (ch->next == t)
        ch->next = t->next;
    t->channel = NULL;
    release_channel(bus, t->kind, ch);
}

static void note(struct sio_str channel, const uint8_t *body, size_t len)
{
    broker.n_published++;
    snprintf(broker.channel, sizeof(broker.channel), "%.*s", (int)channel.len,
             channel.ptr);
    sio_buf_unref(broker.body);
    broker.body = sio_buf_copy(body, len);
}

int cluster_bus_publish(struct cluster_bus *bus, enum cluster_topic_kind kind,
                        struct sio_str channel, const struct sio_slice *parts, size_t n,
                        cluster_count_cb cb, void *user)
{
    struct item *item;
    size_t len = 0;

    (void)bus;
    (void)user;
    if (broker.down)
        return SIO_ERR_CLOSED;
    if (broker.refusal < 0)
        return broker.refusal;
    if (cb)
        abort(); /* nobody needs it so far */
    item = item_new(kind, channel);
    alloc_fail_pause();
    for (size_t i = 0; i < n; i++)
        len += parts[i].len;
    item->body = malloc(len + 1);
    for (size_t i = 0; i < n; i++) {
        memcpy(item->body + item->len, parts[i].ptr, parts[i].len);
        item->len += parts[i].len;
    }
    note(channel, item->body, len);
    alloc_fail_resume();
    item_add(item);
    return SIO_OK;
}

int cluster_bus_count(struct cluster_bus *bus, enum cluster_topic_kind kind,
                      struct sio_str channel, cluster_count_cb cb, void *user)
{
    struct item *item;

    if (broker.down)
        return SIO_ERR_CLOSED;
    if (broker.refusal < 0)
        return broker.refusal;
    item = item_new(kind, channel);
    item->bus = bus;
    item->cb = cb;
    item->user = user;
    item_add(item);
    return SIO_OK;
}

void cluster_bus_stats(const struct cluster_bus *bus, struct cluster_bus_stats *out)
{
    (void)bus;
    memset(out, 0, sizeof(*out));
}

static void run_count(const struct item *item)
{
    struct sio_str name = sio_str_from(item->channel);
    struct cluster_bus *bus;
    uint64_t n = broker.n_others;

    list_for_each (bus, struct cluster_bus, link, &broker.buses)
        n += map_find(&bus->topics[item->kind], name) != NULL;
    if (broker.refuses_counts)
        item->cb(SIO_ERR_CLOSED, 0, item->user);
    else
        item->cb(SIO_OK, n, item->user);
}

static void hear(struct cluster_bus *bus, enum cluster_topic_kind kind,
                 struct bus_channel *ch, const struct item *item)
{
    struct sio_slice body = {NULL, item->body, item->len};
    struct cluster_topic *t;

    ch->busy = true;
    for (ch->next = ch->topics; (t = ch->next);) {
        ch->next = t->next;
        t->cb(t, sio_str_from(item->channel), body, t->user);
    }
    ch->busy = false;
    release_channel(bus, kind, ch);
}

static void hear_patterns(struct cluster_bus *bus, const struct item *item)
{
    struct map_node *node;
    struct map_pos pos;

    for (node = map_first(&bus->topics[CLUSTER_PATTERN], &pos); node;
         node = map_next(&bus->topics[CLUSTER_PATTERN], &pos)) {
        struct bus_channel *ch = container_of(node, struct bus_channel, node);

        if (fnmatch(ch->name, item->channel, 0) == 0)
            hear(bus, CLUSTER_PATTERN, ch, item);
    }
}

static void run_message(const struct item *item)
{
    struct cluster_bus *bus;

    list_for_each (bus, struct cluster_bus, link, &broker.buses) {
        struct bus_channel *ch =
            find_channel(bus, item->kind, sio_str_from(item->channel));

        if (ch)
            hear(bus, item->kind, ch, item);
        if (item->kind == CLUSTER_CHANNEL)
            hear_patterns(bus, item);
    }
}

size_t fake_bus_run(void)
{
    size_t n = 0;

    make_ready();
    while (!list_empty(&broker.items)) {
        struct item *item = container_of(broker.items.next, struct item, link);

        list_remove(&item->link);
        if (item->body)
            run_message(item);
        else
            run_count(item);
        n += item->body != NULL;
        item_free(item);
    }
    return n;
}

static void say(enum cluster_topic_kind kind, const char *channel, const void *body,
                size_t len)
{
    struct item *item = item_new(kind, sio_str_from(channel));

    make_ready();
    alloc_fail_pause();
    item->body = malloc(len + 1);
    alloc_fail_resume();
    memcpy(item->body, body, len);
    item->len = len;
    item_add(item);
}

void fake_bus_say(const char *channel, const void *body, size_t len)
{
    say(CLUSTER_CHANNEL, channel, body, len);
}

void fake_bus_say_shard(const char *channel, const void *body, size_t len)
{
    say(CLUSTER_SHARD, channel, body, len);
}

const char *fake_bus_channel(void)
{
    return broker.channel;
}

struct sio_slice fake_bus_body(void)
{
    return sio_slice_of(broker.body);
}

size_t fake_bus_n(void)
{
    return broker.n_published;
}

static void tell_watchers_of(struct cluster_bus *bus, bool up)
{
    struct cluster_bus_watcher *w;

    list_for_each (w, struct cluster_bus_watcher, link, &bus->watchers) {
        void (*tell)(struct cluster_bus *, void *) =
            up ? w->ops->on_up : w->ops->on_down;

        if (tell)
            tell(bus, w->user);
    }
}

static void tell_watchers(bool up)
{
    struct cluster_bus *bus;

    list_for_each (bus, struct cluster_bus, link, &broker.buses)
        tell_watchers_of(bus, up);
}

void fake_bus_down(void)
{
    struct list lost;

    make_ready();
    list_init(&lost);
    list_splice(&lost, &broker.items);
    broker.down = true;
    while (!list_empty(&lost)) {
        struct item *item = container_of(lost.next, struct item, link);

        if (item->cb)
            item->cb(SIO_ERR_CLOSED, 0, item->user);
        item_free(item);
    }
    tell_watchers(false);
}

void fake_bus_up(void)
{
    broker.down = false;
    tell_watchers(true);
}

void fake_bus_refuse(int error)
{
    broker.refusal = error;
}

void fake_bus_refuse_counts(bool refuse)
{
    broker.refuses_counts = refuse;
}

void fake_bus_hang(uint64_t ms)
{
    broker.silent_ms = ms;
}

void fake_bus_confirm(bool at_once)
{
    broker.unconfirmed = !at_once;
}

void fake_bus_others(uint64_t n)
{
    broker.n_others = n;
}

size_t fake_bus_n_topics(void)
{
    struct cluster_bus *bus;
    size_t n = 0;

    make_ready();
    list_for_each (bus, struct cluster_bus, link, &broker.buses)
        for (int i = 0; i < 3; i++)
            n += bus->topics[i].n_items;
    return n;
}

void fake_bus_reset(void)
{
    make_ready();
    while (!list_empty(&broker.items))
        item_free(container_of(broker.items.next, struct item, link));
    sio_buf_unref(broker.body);
    if (!list_empty(&broker.buses))
        abort();
    memset(&broker, 0, sizeof(broker));
}
