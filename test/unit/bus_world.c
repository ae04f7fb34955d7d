#include <config.h>

#include "bus_world.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "alloc_fail.h"
#include "base/str.h"

#define MAX_BUSES   8
#define MAX_WAITING 4096

/* A test is one thread, and one world. */
static struct fake_bus *buses[MAX_BUSES];
static struct waiting {
    char channel[256];
    char *body;
    size_t len;
} waiting[MAX_WAITING];
static size_t first_waiting, n_waiting;

void fake_bus_add(struct fake_bus *f)
{
    for (size_t i = 0; i < MAX_BUSES; i++) {
        if (buses[i])
            continue;
        buses[i] = f;
        return;
    }
    fail();
}

void fake_bus_remove(struct fake_bus *f)
{
    for (size_t i = 0; i < MAX_BUSES; i++)
        if (buses[i] == f)
            buses[i] = NULL;
}

void fake_bus_set_up(struct fake_bus *f, bool up)
{
    if (f->up == up)
        return;
    f->up = up;
    if (f->watcher)
        (up ? f->watcher->ops->on_up : f->watcher->ops->on_down)(fake_bus(f),
                                                                 f->watcher->user);
}

void fake_bus_inject(const char *channel, const void *body, size_t len)
{
    struct waiting *w = &waiting[n_waiting++];

    assert_true(n_waiting < MAX_WAITING);
    alloc_fail_pause();
    assert_true(strlen(channel) < sizeof(w->channel));
    memcpy(w->channel, channel, strlen(channel) + 1);
    w->len = len;
    w->body = malloc(len + 1);
    memcpy(w->body, body, len);
    alloc_fail_resume();
}

static void hand_over(struct fake_bus *f, const struct waiting *w)
{
    struct sio_slice body = {NULL, (const uint8_t *)w->body, w->len};

    for (size_t i = 0; i < FAKE_TOPICS; i++) {
        struct cluster_topic *t = f->topics[i];

        if (t && str_eq_cstr(t->name, w->channel))
            t->cb(t, sio_str_from(w->channel), body, t->user);
    }
}

void fake_bus_deliver(void)
{
    while (first_waiting < n_waiting) {
        struct waiting first = waiting[first_waiting++];

        if (first_waiting == n_waiting)
            first_waiting = n_waiting = 0;
        for (size_t i = 0; i < MAX_BUSES; i++)
            if (buses[i] && buses[i]->up && !buses[i]->deaf)
                hand_over(buses[i], &first);
        free(first.body);
    }
}

unsigned fake_bus_lose(void)
{
    unsigned n = (unsigned)(n_waiting - first_waiting);

    while (n_waiting > first_waiting)
        free(waiting[--n_waiting].body);
    first_waiting = n_waiting = 0;
    return n;
}

/*
 * In place of the bus.
 */

static struct fake_bus *fake_of(const struct cluster_bus *bus)
{
    return (struct fake_bus *)(void *)(uintptr_t)bus;
}

int __wrap_cluster_bus_publish(struct cluster_bus *bus, enum cluster_topic_kind kind,
                               struct sio_str channel, const struct sio_slice *parts,
                               size_t n, cluster_count_cb cb, void *user);
int __wrap_cluster_bus_publish(struct cluster_bus *bus, enum cluster_topic_kind kind,
                               struct sio_str channel, const struct sio_slice *parts,
                               size_t n, cluster_count_cb cb, void *user)
{
    struct fake_bus *f = fake_of(bus);
    char name[256];

    (void)user;
    assert_int_equal(kind, CLUSTER_CHANNEL);
    assert_null(cb);
    assert_int_equal(n, 1);
    if (!f->up)
        return SIO_ERR_CLOSED;
    assert_true(channel.len < sizeof(name));
    memcpy(name, channel.ptr, channel.len);
    name[channel.len] = '\0';
    f->n_published++;
    fake_bus_inject(name, parts[0].ptr, parts[0].len);
    return SIO_OK;
}

int __wrap_cluster_bus_listen(struct cluster_bus *bus, struct cluster_topic *t,
                              enum cluster_topic_kind kind, struct sio_str name,
                              cluster_topic_cb cb, void *user);
int __wrap_cluster_bus_listen(struct cluster_bus *bus, struct cluster_topic *t,
                              enum cluster_topic_kind kind, struct sio_str name,
                              cluster_topic_cb cb, void *user)
{
    struct fake_bus *f = fake_of(bus);
    char *copy;

    t->kind = kind;
    t->cb = cb;
    t->user = user;
    copy = malloc(name.len);
    if (!copy)
        return SIO_ERR_NOMEM;
    memcpy(copy, name.ptr, name.len);
    t->name = (struct sio_str){copy, name.len};
    for (size_t i = 0; i < FAKE_TOPICS; i++) {
        if (f->topics[i])
            continue;
        f->topics[i] = t;
        return SIO_OK;
    }
    fail();
    return SIO_ERR_FULL;
}

void __wrap_cluster_bus_unlisten(struct cluster_bus *bus, struct cluster_topic *t);
void __wrap_cluster_bus_unlisten(struct cluster_bus *bus, struct cluster_topic *t)
{
    struct fake_bus *f = fake_of(bus);

    for (size_t i = 0; i < FAKE_TOPICS; i++)
        if (f->topics[i] == t)
            f->topics[i] = NULL;
    free((void *)(uintptr_t)t->name.ptr);
    t->name = (struct sio_str){NULL, 0};
}

void __wrap_cluster_bus_watch(struct cluster_bus *bus, struct cluster_bus_watcher *w);
void __wrap_cluster_bus_watch(struct cluster_bus *bus, struct cluster_bus_watcher *w)
{
    fake_of(bus)->watcher = w;
}

void __wrap_cluster_bus_unwatch(struct cluster_bus_watcher *w);
void __wrap_cluster_bus_unwatch(struct cluster_bus_watcher *w)
{
    for (size_t i = 0; i < MAX_BUSES; i++)
        if (buses[i] && buses[i]->watcher == w)
            buses[i]->watcher = NULL;
}

bool __wrap_cluster_bus_is_up(const struct cluster_bus *bus);
bool __wrap_cluster_bus_is_up(const struct cluster_bus *bus)
{
    return fake_of(bus)->up;
}
