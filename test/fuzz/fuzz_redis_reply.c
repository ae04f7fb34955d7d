/*
 * What a Redis answers in two pieces, or in many, has the same effect as in one; each
 * command is answered once, whatever comes.  The first byte says how it is cut.
 */
#include <config.h>

#include <assert.h>
#include <stdlib.h>

#include "fake_redis.h"
#include "redis/conn.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define MAX_COMMANDS 40

struct run {
    struct redis_conn *conn;
    uint64_t hash; /* of all that happened */
    unsigned n_sent;
    unsigned n_answered;
    bool up;
};

static void fold(struct run *r, const void *p, size_t len)
{
    const uint8_t *bytes = p;

    for (size_t i = 0; i < len; i++)
        r->hash = (r->hash ^ bytes[i]) * 0x100000001b3u;
    r->hash = (r->hash ^ len) * 0x100000001b3u;
}

/* hiredis takes no more than nine levels. */
static void fold_reply(struct run *r, const struct redis_reply *reply)
{
    struct sio_str text = {"", 0};
    int64_t n = redis_reply_is_error(reply);

    fold(r, &n, sizeof(n));
    if (redis_reply_text(reply, &text))
        fold(r, text.ptr, text.len);
    if (redis_reply_integer(reply, &n))
        fold(r, &n, sizeof(n));
    fold(r, "", redis_reply_count(reply) % 2);
    for (size_t i = 0; i < redis_reply_count(reply); i++)
        fold_reply(r, redis_reply_at(reply, i));
}

static void send_one(struct run *r);

static void on_reply(int status, const struct redis_reply *reply, void *user)
{
    struct run *r = user;

    assert(!reply == (status == SIO_ERR_CLOSED));
    r->n_answered++;
    fold(r, &status, sizeof(status));
    fold_reply(r, reply);
    send_one(r);
}

/* Each of these is answered in another way. */
static void send_one(struct run *r)
{
    static const char *const words[] = {"GET", "SUBSCRIBE", "SUNSUBSCRIBE", "ping"};
    struct sio_str word = sio_str_from(words[r->n_sent % 4]);
    const struct sio_slice args[2] = {redis_arg(word), redis_arg(SIO_STR("x"))};
    const struct redis_request request = {args, 2, r->n_sent % 3 ? args : NULL,
                                          r->n_sent % 3};

    if (r->n_sent < MAX_COMMANDS &&
        redis_conn_request(r->conn, &request, on_reply, r) == SIO_OK)
        r->n_sent++;
}

static int on_up(struct redis_conn *c, void *user)
{
    struct run *r = user;

    r->conn = c;
    assert(!r->up);
    r->up = true;
    for (int i = 0; i < 5; i++)
        send_one(r);
    return SIO_OK;
}

static void on_down(struct redis_conn *c, void *user)
{
    struct run *r = user;

    (void)c;
    assert(r->up);
    assert(r->n_answered == r->n_sent);
    r->up = false;
    fold(r, "down", 4);
}

static void on_push(struct redis_conn *c, const struct redis_reply *reply, void *user)
{
    struct run *r = user;

    (void)c;
    assert(redis_reply_count(reply) >= 3);
    fold_reply(r, reply);
}

static uint64_t run(struct net_loop *loop, const uint8_t *data, size_t size, size_t cut)
{
    static const struct redis_conn_ops ops = {
        .on_up = on_up, .on_down = on_down, .on_push = on_push};
    const struct redis_url url = {.host = (char *)(uintptr_t) "h", /* never written */
                                  .user = (char *)(uintptr_t) "u",
                                  .password = (char *)(uintptr_t) "p",
                                  .port = 1,
                                  .db = 1};
    const struct redis_conn_options opts = {.url = &url, .name = "fuzz"};
    struct run r = {.hash = 1};

    r.conn = redis_conn_new(loop, &opts, &ops, &r);
    assert(r.conn);
    net_loop_run_once(loop, 0);
    fake_redis_open(fake_redis_conn(0));
    for (size_t at = 0; at < size; at += cut)
        fake_redis_feed(fake_redis_conn(0), data + at,
                        size - at < cut ? size - at : cut);
    redis_conn_free(r.conn);
    assert(r.n_answered == r.n_sent);
    fake_redis_reset();
    return r.hash;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct net_loop *loop = net_loop_new(NULL, NULL);
    size_t cut;

    if (loop && size > 1) {
        cut = data[0] < 20 ? data[0] + 1u : data[0] * (size - 1) / 256 + 1;
        if (run(loop, data + 1, size - 1, size) != run(loop, data + 1, size - 1, cut))
            abort();
    }
    net_loop_free(loop);
    return 0;
}
