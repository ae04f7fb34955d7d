/*
 * bus_world.h - channels without a Redis, for tests of what stands on cluster/bus.h
 *
 * Linked with -Wl,--wrap for the functions of the bus.  What is published waits until it is
 * delivered, in order, to every bus that is up and listens then; its own included.
 */
#ifndef TEST_BUS_WORLD_H
#define TEST_BUS_WORLD_H

#include "cluster/bus.h"

#define FAKE_TOPICS 8

struct fake_bus {
    bool up;
    bool deaf; /* what is delivered does not reach it */
    struct cluster_topic *topics[FAKE_TOPICS];
    struct cluster_bus_watcher *watcher;
    unsigned n_published;
};

static inline struct cluster_bus *fake_bus(struct fake_bus *f)
{
    return (struct cluster_bus *)(void *)f;
}

/* All that take part; at most 8. */
void fake_bus_add(struct fake_bus *f);
void fake_bus_remove(struct fake_bus *f);
/* Tells the watcher. */
void fake_bus_set_up(struct fake_bus *f, bool up);

/* Until nothing is left, what is published meanwhile included. */
void fake_bus_deliver(void);
/* Loses what waits; returns how much. */
unsigned fake_bus_lose(void);
/* As if somebody else had published it. */
void fake_bus_inject(const char *channel, const void *body, size_t len);

#endif
