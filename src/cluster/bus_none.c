/*
 * bus_none.c - in place of the bus where there is no hiredis, or nobody wants it: nobody
 * can have one, so nothing here is ever called
 */
#include <config.h>

#include "cluster/cluster.h"

struct cluster_bus *sio_cluster_bus(struct sio_cluster *c)
{
    (void)c;
    return NULL;
}

bool cluster_bus_is_up(const struct cluster_bus *bus)
{
    (void)bus;
    return false;
}

void cluster_bus_watch(struct cluster_bus *bus, struct cluster_bus_watcher *w)
{
    (void)bus;
    (void)w;
}

void cluster_bus_unwatch(struct cluster_bus_watcher *w)
{
    (void)w;
}

int cluster_bus_listen(struct cluster_bus *bus, struct cluster_topic *t,
                       enum cluster_topic_kind kind, struct sio_str name,
                       cluster_topic_cb cb, void *user)
{
    (void)bus;
    (void)t;
    (void)kind;
    (void)name;
    (void)cb;
    (void)user;
    return SIO_ERR_UNSUPPORTED;
}

void cluster_bus_unlisten(struct cluster_bus *bus, struct cluster_topic *t)
{
    (void)bus;
    (void)t;
}

int cluster_bus_publish(struct cluster_bus *bus, enum cluster_topic_kind kind,
                        struct sio_str channel, const struct sio_slice *parts, size_t n,
                        cluster_count_cb cb, void *user)
{
    (void)bus;
    (void)kind;
    (void)channel;
    (void)parts;
    (void)n;
    (void)cb;
    (void)user;
    return SIO_ERR_UNSUPPORTED;
}
