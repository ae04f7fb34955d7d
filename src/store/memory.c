#include <config.h>

#include "store/store.h"

#include "base/list.h"
#include "base/map.h"
#include "base/mem.h"
#include "base/str.h"
#include "net/loop.h"

#define SWEEP_INTERVAL_MS 10000

struct item {
    struct map_node node;
    struct list link; /* in memory.by_age */
    struct sio_slice value;
    uint64_t version;
    uint64_t put_ms;
    uint64_t expires_ms;
    int64_t put_s; /* since 1970 */
    size_t bytes;
    char key[];
};

struct memory {
    struct store base;
    struct net_loop *loop;
    struct map items;
    struct list by_age; /* oldest first */
    struct net_timer sweep;
    size_t bytes;
    size_t max_bytes;
    uint64_t n_puts;
    uint64_t n_dropped;
};

static struct memory *memory_of(struct store *s)
{
    return container_of(s, struct memory, base);
}

static void drop(struct memory *m, struct item *item)
{
    map_remove(&m->items, &item->node);
    list_remove(&item->link);
    m->bytes -= item->bytes;
    sio_buf_unref(item->value.buf);
    mem_free(item);
}

static struct item *find(struct memory *m, struct sio_str key)
{
    struct map_node *n = map_find(&m->items, key);

    return n ? container_of(n, struct item, node) : NULL;
}

static bool expired(const struct memory *m, const struct item *item)
{
    return net_loop_now_ms(m->loop) >= item->expires_ms;
}

static void on_sweep(struct net_timer *timer, void *user)
{
    struct memory *m = user;
    struct item *item;

    list_for_each (item, struct item, link, &m->by_age) {
        if (expired(m, item))
            drop(m, item);
    }
    if (!list_empty(&m->by_age))
        net_timer_start(timer, SWEEP_INTERVAL_MS);
}

/*
 * A reference keeps all of a buf alive, also what stands around the value; where that
 * is the larger part, the value is copied out.
 */
static int hold(struct sio_slice value, struct sio_slice *out)
{
    if (value.buf && sio_buf_len(value.buf) / 2 > value.len)
        value.buf = NULL;
    return sio_slice_hold(value, out);
}

int store_memory_put_aged(struct store *s, struct sio_str key, struct sio_slice value,
                          uint32_t lifetime_s, uint32_t age_ms)
{
    struct memory *m = memory_of(s);
    struct item *old = find(m, key);
    struct item *item;
    int rv;

    if (age_ms >= (uint64_t)lifetime_s * 1000 && age_ms > 0)
        return SIO_ERR_NOT_FOUND;
    if (old)
        drop(m, old);
    item = mem_alloc(sizeof(*item) + key.len);
    if (!item)
        return SIO_ERR_NOMEM;
    rv = hold(value, &item->value);
    if (rv < 0)
        goto free_item;
    memcpy(item->key, key.ptr, key.len);
    item->bytes = sizeof(*item) + key.len + sio_buf_len(item->value.buf);
    rv = item->bytes > m->max_bytes ? SIO_ERR_TOO_BIG : SIO_OK;
    if (rv < 0)
        goto unref_value;
    rv = map_add(&m->items, &item->node, (struct sio_str){item->key, key.len});
    if (rv < 0)
        goto unref_value;
    item->version = ++m->n_puts;
    /* May lie before the clock's zero: then it wraps, and so does the age. */
    item->put_ms = net_loop_now_ms(m->loop) - age_ms;
    item->expires_ms = item->put_ms + (uint64_t)lifetime_s * 1000;
    item->put_s = net_loop_wall_s(m->loop) - age_ms / 1000;
    list_append(&m->by_age, &item->link);
    m->bytes += item->bytes;
    while (m->bytes > m->max_bytes) {
        drop(m, container_of(m->by_age.next, struct item, link));
        m->n_dropped++;
    }
    /* Not started for want of memory: readers look at the time themselves. */
    if (!net_timer_running(&m->sweep))
        net_timer_start(&m->sweep, SWEEP_INTERVAL_MS);
    return SIO_OK;

unref_value:
    sio_buf_unref(item->value.buf);
free_item:
    mem_free(item);
    return rv;
}

static int memory_put(struct store *s, struct sio_str key, struct sio_slice value,
                      uint32_t lifetime_s)
{
    return store_memory_put_aged(s, key, value, lifetime_s, 0);
}

static struct store_entry entry_of(const struct memory *m, const struct item *item)
{
    return (struct store_entry){
        .key = item->node.key,
        .value = item->value,
        .version = item->version,
        .age_ms = (uint32_t)(net_loop_now_ms(m->loop) - item->put_ms),
        .time_s = item->put_s,
    };
}

static void memory_get(struct store *s, struct sio_str key, store_get_cb cb, void *user)
{
    struct memory *m = memory_of(s);
    struct item *item = find(m, key);
    struct store_entry entry;

    if (!item || expired(m, item)) {
        cb(SIO_ERR_NOT_FOUND, NULL, user);
        return;
    }
    entry = entry_of(m, item);
    cb(SIO_OK, &entry, user);
}

static void memory_list(struct store *s, struct sio_str prefix, store_list_cb cb,
                        void *user)
{
    struct memory *m = memory_of(s);
    struct item *item;

    list_for_each (item, struct item, link, &m->by_age) {
        struct store_entry entry = entry_of(m, item);

        if (str_starts(entry.key, prefix) && !expired(m, item))
            cb(SIO_OK, &entry, user);
    }
    cb(SIO_OK, NULL, user);
}

static enum store_state memory_state(const struct store *s)
{
    (void)s;
    return STORE_LOCAL;
}

static void memory_free(struct store *s)
{
    struct memory *m = memory_of(s);
    struct item *item;

    net_timer_stop(&m->sweep);
    list_for_each (item, struct item, link, &m->by_age)
        drop(m, item);
    map_fini(&m->items);
    mem_free(m);
}

static const struct store_ops memory_ops = {
    .name = "memory",
    .put = memory_put,
    .get = memory_get,
    .list = memory_list,
    .state = memory_state,
    .free = memory_free,
};

struct store *store_memory_new(struct net_loop *loop, size_t max_bytes)
{
    struct memory *m = mem_new(struct memory);

    if (!m)
        return NULL;
    m->base.ops = &memory_ops;
    m->loop = loop;
    m->max_bytes = max_bytes;
    map_init(&m->items);
    list_init(&m->by_age);
    net_timer_init(&m->sweep, loop, on_sweep, m);
    return &m->base;
}

void store_memory_stats(const struct store *s, struct store_memory_stats *out)
{
    const struct memory *m = (const struct memory *)(const void *)s;

    *out = (struct store_memory_stats){m->items.n_items, m->bytes, m->n_dropped};
}
