/*
 * bus_publish.c - what is published, and who hears it
 */
#include <config.h>

#include "cluster/bus_impl.h"

#include "base/mem.h"

bool cluster_bus_can_publish(const struct cluster_bus *bus)
{
    return redis_nodes_is_up(bus->publisher);
}

/* Who waits for a number. */
struct count {
    struct cluster_bus *bus;
    cluster_count_cb cb;
    void *user;
    size_t n_open; /* nodes that are asked */
    uint64_t sum;  /* of those that have answered */
    int status;    /* SIO_OK: one has; else why the last one has not */
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
    struct count *count = user;
    uint64_t n;

    status = read_count(status, reply, &n);
    count->sum += n;
    if (status == SIO_OK || count->status != SIO_OK)
        count->status = status;
    if (--count->n_open > 0)
        return;
    count->cb(count->status, count->sum, count->user);
    mem_free(count);
}

static void note_published(struct cluster_bus *bus, int status,
                           const struct redis_reply *reply)
{
    if (status == SIO_ERR_CLOSED)
        bus->stats.n_lost++;
    else if (status == SIO_ERR_REFUSED)
        cluster_bus_tell_refused(bus, true, "PUBLISH or SPUBLISH", reply);
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
    size_t unsent = redis_nodes_unsent(bus->publisher);
    size_t len = channel.len;

    for (size_t i = 0; i < n; i++)
        len += parts[i].len;
    return unsent < bus->max_unsent && len <= bus->max_unsent - unsent;
}

static struct count *new_count(struct cluster_bus *bus, cluster_count_cb cb, void *user)
{
    struct count *count = mem_new(struct count);

    if (count)
        *count = (struct count){bus, cb, user, .status = SIO_ERR_CLOSED};
    return count;
}

static int publish_counted(struct cluster_bus *bus, struct sio_str key,
                           const struct redis_request *r, cluster_count_cb cb,
                           void *user)
{
    struct count *count = new_count(bus, cb, user);
    int rv;

    if (!count)
        return SIO_ERR_NOMEM;
    count->n_open = 1;
    rv = redis_nodes_request(bus->publisher, key, r, on_published_counted, count);
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
    const struct redis_request r = {args, 2, n > 0 ? parts : &nothing, n > 0 ? n : 1};
    struct sio_str key = cluster_bus_key(kind, channel);
    int rv;

    if (n > CLUSTER_MAX_PARTS)
        return SIO_ERR_INVAL;
    if (!cluster_bus_can_publish(bus))
        rv = SIO_ERR_CLOSED;
    else if (!has_room(bus, channel, r.parts, r.n_parts))
        rv = SIO_ERR_FULL;
    else if (cb)
        rv = publish_counted(bus, key, &r, cb, user);
    else
        rv = redis_nodes_request(bus->publisher, key, &r, on_published, bus);
    if (rv == SIO_OK)
        bus->stats.n_published++;
    else
        bus->stats.n_unsent++;
    return rv;
}

/* Sharded channels are listened to at one node, others anywhere. */
static int ask(struct cluster_bus *bus, enum cluster_topic_kind kind,
               const struct redis_request *r, struct sio_str channel,
               struct count *count)
{
    struct redis_nodes *nodes = bus->publisher;
    uint32_t node = redis_nodes_next(nodes, REDIS_NO_NODE, true);
    int rv = SIO_ERR_CLOSED;

    if (kind == CLUSTER_SHARD || node == REDIS_NO_NODE) {
        count->n_open = 1;
        return redis_nodes_request_at(
            nodes, redis_nodes_where(nodes, cluster_bus_key(kind, channel)), r,
            on_counted, count);
    }
    for (; node != REDIS_NO_NODE; node = redis_nodes_next(nodes, node, true)) {
        rv = redis_nodes_request_at(nodes, node, r, on_counted, count);
        count->n_open += rv == SIO_OK;
    }
    return count->n_open > 0 ? SIO_OK : rv;
}

int cluster_bus_count(struct cluster_bus *bus, enum cluster_topic_kind kind,
                      struct sio_str channel, cluster_count_cb cb, void *user)
{
    struct sio_str word =
        kind == CLUSTER_SHARD ? SIO_STR("SHARDNUMSUB") : SIO_STR("NUMSUB");
    const struct sio_slice args[3] = {redis_arg(SIO_STR("PUBSUB")), redis_arg(word),
                                      redis_arg(channel)};
    const struct redis_request r = {.args = args, .n = 3};
    struct count *count;
    int rv;

    if (!cluster_bus_can_publish(bus))
        return SIO_ERR_CLOSED;
    if (!has_room(bus, channel, NULL, 0))
        return SIO_ERR_FULL;
    count = new_count(bus, cb, user);
    if (!count)
        return SIO_ERR_NOMEM;
    rv = ask(bus, kind, &r, channel, count);
    if (rv < 0)
        mem_free(count);
    return rv;
}

void cluster_bus_stats(const struct cluster_bus *bus, struct cluster_bus_stats *out)
{
    *out = bus->stats;
}
