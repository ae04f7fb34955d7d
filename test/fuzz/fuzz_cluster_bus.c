/*
 * A bus whose users and whose Redis do what the input says: every question is answered
 * once, up and down take turns, and only who listens hears.
 *
 * The input is a series of steps: a byte for what is done, one for with what, and for what
 * Redis says as many bytes as that says.
 */
#include <config.h>

#include <assert.h>
#include <stdlib.h>

#include "base/str.h"
#include "cluster/bus.h"
#include "fake_redis.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define N_TOPICS  12
#define MAX_STEPS 400

struct run {
    struct cluster_bus *bus;
    struct cluster_topic topics[N_TOPICS];
    unsigned n_asked;
    unsigned n_answered;
    bool up;
};

static void on_up(struct cluster_bus *bus, void *user)
{
    struct run *r = user;

    assert(!r->up && cluster_bus_is_up(bus));
    r->up = true;
}

static void on_down(struct cluster_bus *bus, void *user)
{
    struct run *r = user;

    assert(r->up && !cluster_bus_is_up(bus));
    r->up = false;
}

static void on_count(int status, uint64_t n, void *user)
{
    struct run *r = user;

    assert(status == SIO_OK || n == 0);
    r->n_answered++;
}

static void toggle(struct run *r, unsigned i);

static void on_message(struct cluster_topic *t, struct sio_str channel,
                       struct sio_slice body, void *user)
{
    struct run *r = user;

    assert(t->channel && t->name.len > 0);
    if (t->kind != CLUSTER_PATTERN)
        assert(str_eq(t->name, channel));
    if (body.len > 0 && body.ptr[0] % 4 == 0) /* itself, or another */
        toggle(r, body.ptr[0] / 4u % N_TOPICS);
}

static void toggle(struct run *r, unsigned i)
{
    struct cluster_topic *t = &r->topics[i];
    char name = (char)('a' + i % 4);

    if (t->channel)
        cluster_bus_unlisten(r->bus, t);
    else
        assert(cluster_bus_listen(r->bus, t, i / 4 % 3, (struct sio_str){&name, 1},
                                  on_message, r) == SIO_OK);
}

static void ask(struct run *r, uint8_t with)
{
    struct sio_slice parts[2] = {
        {NULL, (const uint8_t *)"body", 4},
        {NULL, (const uint8_t *)"tail", with % 5},
    };
    enum cluster_topic_kind kind = with & 64 ? CLUSTER_SHARD : CLUSTER_CHANNEL;
    int rv;

    if (with & 128)
        rv = cluster_bus_count(r->bus, kind, SIO_STR("a"), on_count, r);
    else
        rv = cluster_bus_publish(r->bus, kind, SIO_STR("a"), parts, with % 3,
                                 with & 32 ? on_count : NULL, r);
    if (rv == SIO_OK && with & (128 | 32))
        r->n_asked++;
}

/* Returns how many bytes it has used. */
static size_t step(struct run *r, struct net_loop *loop, const uint8_t *data,
                   size_t size)
{
    uint8_t what = data[0] % 8, with = data[1];
    size_t len = with < size - 2 ? with : size - 2;

    switch (what) {
    case 0:
    case 1: fake_redis_feed(fake_redis_conn(what), data + 2, len); return 2 + len;
    case 2: toggle(r, with % N_TOPICS); break;
    case 3: ask(r, with); break;
    case 4: fake_redis_close(fake_redis_conn(with % 2)); break;
    case 5:
        fake_redis_open(fake_redis_conn(with % 2));
        fake_redis_feed(fake_redis_conn(with % 2), "-ERR\r\n+PONG\r\n", 13);
        break;
    case 6: fake_redis_hold(with < 200 ? 0 : 100000000); break;
    default: net_loop_run_once(loop, 0); break;
    }
    return 2;
}

static void run(struct net_loop *loop, const uint8_t *data, size_t size)
{
    static const struct cluster_bus_ops ops = {on_up, on_down};
    const struct cluster_bus_options opts = {.url = SIO_STR("redis://h")};
    struct run r = {.bus = cluster_bus_new(loop, &opts, NULL)};
    struct cluster_bus_watcher watcher = {.ops = &ops, .user = &r};
    size_t at = 0;

    assert(r.bus);
    cluster_bus_watch(r.bus, &watcher);
    net_loop_run_once(loop, 0);
    for (int i = 0; i < MAX_STEPS && size - at >= 2; i++)
        at += step(&r, loop, data + at, size - at);
    for (unsigned i = 0; i < N_TOPICS; i++)
        cluster_bus_unlisten(r.bus, &r.topics[i]);
    cluster_bus_unwatch(&watcher);
    cluster_bus_free(r.bus);
    assert(r.n_answered == r.n_asked);
    fake_redis_reset();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct net_loop *loop = net_loop_new(NULL, NULL);

    if (loop)
        run(loop, data, size);
    net_loop_free(loop);
    return 0;
}
