/*
 * The store in Redis, whose users and whose Redis do what the input says: who asks gets one
 * answer, and what is in memory stays JSON.
 *
 * The input is a series of steps as in fuzz_cluster_bus.c.
 */
#include <config.h>

#include <assert.h>
#include <stdlib.h>

#include "base/json.h"
#include "base/list.h"
#include "fake_redis.h"
#include "store/store.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define MAX_STEPS 400

struct run {
    struct store *store;
    unsigned n_asked;
    unsigned n_answered;
};

static struct sio_str key_of(uint8_t with)
{
    static const char *const keys[] = {"pic:a", "pic:b", "err:a", "pic:", "who:a"};

    return sio_str_from(keys[with % N_ELEMENTS(keys)]);
}

static void check_entry(const struct store_entry *entry)
{
    struct sio_str text = {(const char *)entry->value.ptr, entry->value.len};

    assert(json_check(text) == SIO_OK);
}

static void on_get(int status, const struct store_entry *entry, void *user)
{
    struct run *r = user;

    assert(!entry == (status != SIO_OK));
    if (entry)
        check_entry(entry);
    r->n_answered++;
}

static void on_list(int status, const struct store_entry *entry, void *user)
{
    struct run *r = user;

    (void)status;
    if (entry)
        check_entry(entry);
    else
        r->n_answered++;
}

/* Others are told, and may look. */
static void on_written(struct sio_str key, void *user)
{
    struct run *r = user;

    r->n_asked++;
    store_get(r->store, key, on_get, r);
}

static void put(struct run *r, uint8_t with)
{
    static const char *const values[] = {"1", "\"two\"", "[3]", "{}"};
    struct sio_str value = sio_str_from(values[with / 8 % N_ELEMENTS(values)]);

    (void)store_put(r->store, key_of(with),
                    (struct sio_slice){NULL, (const uint8_t *)value.ptr, value.len},
                    300);
}

/* Returns how many bytes it has used. */
static size_t step(struct run *r, struct net_loop *loop, const uint8_t *data,
                   size_t size)
{
    uint8_t what = data[0] % 9, with = data[1];
    size_t len = with < size - 2 ? with : size - 2;

    switch (what) {
    case 0: fake_redis_feed(fake_redis_conn(0), data + 2, len); return 2 + len;
    case 1: put(r, with); break;
    case 2:
    case 3: store_stale(r->store, key_of(with)); break;
    case 4:
        r->n_asked++;
        store_get(r->store, key_of(with), on_get, r);
        break;
    case 5:
        r->n_asked++;
        store_list(r->store, with % 2 ? SIO_STR("pic:") : SIO_STR("err:"), on_list, r);
        break;
    case 6: fake_redis_close(fake_redis_conn(0)); break;
    case 7:
        fake_redis_open(fake_redis_conn(0));
        fake_redis_feed(fake_redis_conn(0), "-ERR\r\n+PONG\r\n", 13);
        break;
    default: net_loop_run_once(loop, 0); break;
    }
    return 2;
}

static void run(struct net_loop *loop, const uint8_t *data, size_t size)
{
    static const struct store_redis_kind kinds[] = {
        {SIO_STR_INIT("pic:"), 300},
        {SIO_STR_INIT("err:"), 300},
    };
    struct run r = {.n_asked = 0};
    const struct store_redis_options opts = {
        .url = SIO_STR("redis://h"),
        .kinds = kinds,
        .n_kinds = N_ELEMENTS(kinds),
        .max_bytes = 4096,
        .max_value = 100,
        .max_keys = 10,
        .on_written = on_written,
        .user = &r,
    };
    size_t at = 0;

    r.store = store_redis_new(loop, &opts, NULL);
    assert(r.store);
    net_loop_run_once(loop, 0);
    for (int i = 0; i < MAX_STEPS && size - at >= 2; i++)
        at += step(&r, loop, data + at, size - at);
    store_free(r.store);
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
