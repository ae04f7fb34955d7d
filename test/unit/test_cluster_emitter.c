/*
 * The emitter over a bus of the test's own: what it publishes, what waits, what a flush
 * tells.
 */
#include <config.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <sioc/cluster.h>

#include "alloc_fail.h"
#include "base/buf.h"
#include "base/mem.h"
#include "base/str.h"
#include "cluster/bus.h"
#include "cluster/codec.h"
#include "cluster/message.h"
#include "net/loop.h"

#define MAX_SENT 64

/* The bus. */

struct sent {
    enum cluster_topic_kind kind;
    char channel[64];
    struct sio_buf *body;
    cluster_count_cb cb;
    void *user;
};

static struct {
    bool up;
    int refuses; /* what publishing returns */
    struct cluster_bus_watcher *watcher;
    struct sent sent[MAX_SENT];
    size_t n;
    size_t n_answered;
} bus;

struct cluster_bus *__wrap_cluster_bus_new(struct net_loop *loop,
                                           const struct cluster_bus_options *opts,
                                           struct sio_diag *diag);
void __wrap_cluster_bus_free(struct cluster_bus *b);
bool __wrap_cluster_bus_is_up(const struct cluster_bus *b);
void __wrap_cluster_bus_watch(struct cluster_bus *b, struct cluster_bus_watcher *w);
void __wrap_cluster_bus_unwatch(struct cluster_bus_watcher *w);
int __wrap_cluster_bus_publish(struct cluster_bus *b, enum cluster_topic_kind kind,
                               struct sio_str channel, const struct sio_slice *parts,
                               size_t n, cluster_count_cb cb, void *user);

struct cluster_bus *__wrap_cluster_bus_new(struct net_loop *loop,
                                           const struct cluster_bus_options *opts,
                                           struct sio_diag *diag)
{
    (void)loop;
    assert_true(opts->publish_only);
    memset(&bus, 0, sizeof(bus));
    if (str_eq_cstr(opts->url, "bad")) {
        sio_diag_set(diag, SIO_ERR_PARSE, "a bad URL");
        return NULL;
    }
    return (struct cluster_bus *)(void *)&bus;
}

static void answer(int status, uint64_t n)
{
    struct sent *s = &bus.sent[bus.n_answered++];

    s->cb(status, n, s->user);
}

void __wrap_cluster_bus_free(struct cluster_bus *b)
{
    (void)b;
    while (bus.n_answered < bus.n)
        answer(SIO_ERR_CLOSED, 0);
    for (size_t i = 0; i < bus.n; i++)
        sio_buf_unref(bus.sent[i].body);
    bus.n = 0;
}

bool __wrap_cluster_bus_is_up(const struct cluster_bus *b)
{
    (void)b;
    return bus.up;
}

void __wrap_cluster_bus_watch(struct cluster_bus *b, struct cluster_bus_watcher *w)
{
    (void)b;
    bus.watcher = w;
}

void __wrap_cluster_bus_unwatch(struct cluster_bus_watcher *w)
{
    assert_ptr_equal(w, bus.watcher);
    bus.watcher = NULL;
}

int __wrap_cluster_bus_publish(struct cluster_bus *b, enum cluster_topic_kind kind,
                               struct sio_str channel, const struct sio_slice *parts,
                               size_t n, cluster_count_cb cb, void *user)
{
    struct sent *s = &bus.sent[bus.n];

    (void)b;
    assert_int_equal(n, 1);
    assert_non_null(parts[0].buf); /* nothing is copied */
    assert_true(bus.n < MAX_SENT);
    if (bus.refuses)
        return bus.refuses;
    s->kind = kind;
    snprintf(s->channel, sizeof(s->channel), "%.*s", STR_ARG(channel));
    s->body = sio_buf_ref(parts[0].buf);
    s->cb = cb;
    s->user = user;
    bus.n++;
    return SIO_OK;
}

static void come_up(void)
{
    bus.up = true;
    bus.watcher->ops->on_up(NULL, bus.watcher->user);
}

static void assert_sent(size_t i, const char *channel, const void *body, size_t len)
{
    assert_true(i < bus.n);
    assert_string_equal(bus.sent[i].channel, channel);
    assert_int_equal(sio_buf_len(bus.sent[i].body), len);
    assert_memory_equal(sio_buf_data(bus.sent[i].body), body, len);
}
#define assert_sent_text(i, channel, text) \
    assert_sent((i), (channel), (text), sizeof(text) - 1)

/* The emitter. */

struct fixture {
    struct net_loop *loop;
    struct sio_emitter *emitter;
    int status;
    unsigned n_flushed;
    bool free_it;
};

static int begin(void **state, enum sio_cluster_mode mode, const char *key)
{
    static struct fixture f;
    struct sio_emitter_options opts = {
        .redis_url = "redis://127.0.0.1", .key = key, .mode = mode};

    memset(&f, 0, sizeof(f));
    f.loop = net_loop_new(NULL, NULL);
    f.emitter = sio_emitter_new(f.loop, &opts, NULL);
    *state = &f;
    return f.loop && f.emitter ? 0 : -1;
}

static int set_up(void **state)
{
    return begin(state, SIO_CLUSTER_PUBSUB, NULL);
}

static int tear_down(void **state)
{
    struct fixture *f = *state;

    sio_emitter_free(f->emitter);
    net_loop_free(f->loop);
    return 0;
}

static void on_flush(int status, void *user)
{
    struct fixture *f = user;

    f->status = status;
    f->n_flushed++;
    if (f->free_it) {
        sio_emitter_free(f->emitter);
        f->emitter = NULL;
    }
}

static int emitf(struct fixture *f, const struct sio_target *target, const char *event)
{
    struct sio_message *m = sio_message_newf(event, "i", 7);
    int rv;

    assert_non_null(m);
    rv = sio_emitter_emit(f->emitter, SIO_STR("/"), target, m);
    sio_message_free(m);
    return rv;
}

static void turn(struct fixture *f)
{
    assert_int_equal(net_loop_run_once(f->loop, 0), SIO_OK);
}

/* What @socket.io/redis-emitter 5 publishes, but for the order of keys in a map. */
static void publishes_events(void **state)
{
    struct fixture *f = *state;
    struct sio_str rooms[] = {SIO_STR("r"), SIO_STR("q")};
    struct sio_target one = {.rooms = rooms, .n_rooms = 1};
    struct sio_target target = {
        .rooms = rooms, .n_rooms = 2, .except = rooms, .n_except = 1};
    struct sio_cluster_msg msg;

    come_up();
    assert_int_equal(emitf(f, NULL, "e"), SIO_OK);
    assert_int_equal(bus.sent[0].kind, CLUSTER_CHANNEL);
    assert_int_equal(emitf(f, &one, "e"), SIO_OK);
    assert_int_equal(emitf(f, &target, "e"), SIO_OK);
    assert_string_equal(bus.sent[0].channel, "socket.io#/#");
    assert_string_equal(bus.sent[1].channel, "socket.io#/#r#");
    assert_string_equal(bus.sent[2].channel, "socket.io#/#");
    assert_int_equal(sio_cluster_read_broadcast(sio_slice_of(bus.sent[2].body), &msg),
                     SIO_OK);
    assert_true(str_eq_cstr(msg.uid, "emitter"));
    assert_int_equal(msg.rooms.n, 2);
    assert_int_equal(msg.except.n, 1);
    sio_cluster_msg_fini(&msg);
    assert_sent_text(0, "socket.io#/#",
                     "\x93\xa7"
                     "emitter\x83\xa4type\x02\xa3nsp\xa1/\xa4"
                     "data\x92\xa1"
                     "e\x07\x83\xa5rooms\x90\xa6"
                     "except\x90\xa5"
                     "flags\x80");
}

static void publishes_requests(void **state)
{
    struct fixture *f = *state;
    struct sio_str rooms[] = {SIO_STR("a"), SIO_STR("b\"")};
    struct sio_target target = {.rooms = rooms, .n_rooms = 1};
    struct sio_message *m = sio_message_newf("hello", "s", "x");

    come_up();
    assert_int_equal(sio_emitter_join(f->emitter, SIO_STR("/chat"), &target, rooms, 2),
                     SIO_OK);
    assert_sent_text(0, "socket.io-request#/chat#",
                     "{\"type\":2,\"uid\":\"emitter\",\"opts\":{\"rooms\":[\"a\"],"
                     "\"except\":[]},\"rooms\":[\"a\",\"b\\\"\"]}");
    assert_int_equal(sio_emitter_leave(f->emitter, SIO_STR("/"), NULL, rooms, 1),
                     SIO_OK);
    assert_sent_text(1, "socket.io-request#/#",
                     "{\"type\":3,\"uid\":\"emitter\",\"opts\":{\"rooms\":[],"
                     "\"except\":[]},\"rooms\":[\"a\"]}");
    assert_int_equal(sio_emitter_disconnect(f->emitter, SIO_STR("/"), &target, true),
                     SIO_OK);
    assert_sent_text(2, "socket.io-request#/#",
                     "{\"type\":4,\"uid\":\"emitter\",\"opts\":{\"rooms\":[\"a\"],"
                     "\"except\":[]},\"close\":true}");
    assert_int_equal(sio_emitter_side_emit(f->emitter, SIO_STR("/"), m), SIO_OK);
    assert_sent_text(3, "socket.io-request#/#",
                     "{\"type\":6,\"uid\":\"emitter\",\"data\":[\"hello\",\"x\"]}");
    sio_message_free(m);
}

static int set_up_sharded(void **state)
{
    return begin(state, SIO_CLUSTER_SHARDED, "app");
}

/* What node's sharded adapter publishes. */
static void publishes_to_the_sharded_adapter(void **state)
{
    struct fixture *f = *state;
    struct sio_str rooms[] = {SIO_STR("r"), SIO_STR("aaaaaaaaaaaaaaaaaaaa"),
                              SIO_STR("\xc3\xa9"
                                      "aaaaaaaaaaaaaaaaaaa"),
                              SIO_STR("\xf0\x9f\x98\x80"
                                      "aaaaaaaaaaaaaaaa")};
    static const char *const channels[] = {"app#/#r#", "app#/#", "app#/#",
                                           ("app#/#\xf0\x9f\x98\x80"
                                            "aaaaaaaaaaaaaaaa#")};
    struct sio_cluster_msg msg;
    struct sio_message *m = sio_message_newf("hello", "s", "x");

    come_up();
    for (size_t i = 0; i < 4; i++) {
        struct sio_target target = {.rooms = rooms + i, .n_rooms = 1};

        assert_int_equal(emitf(f, &target, "e"), SIO_OK);
        assert_string_equal(bus.sent[i].channel, channels[i]);
        assert_int_equal(bus.sent[i].kind, CLUSTER_SHARD);
    }
    assert_int_equal(sio_sharded_read(sio_slice_of(bus.sent[0].body), &msg), SIO_OK);
    assert_int_equal(msg.type, SIO_SHARDED_BROADCAST);
    assert_true(str_eq_cstr(msg.uid, "emitter"));
    assert_null(msg.request_id.ptr);
    assert_int_equal(msg.rooms.n, 1);
    sio_cluster_msg_fini(&msg);
    assert_int_equal(sio_emitter_join(f->emitter, SIO_STR("/"), NULL, rooms, 1),
                     SIO_OK);
    assert_string_equal(bus.sent[4].channel, "app#/#");
    assert_int_equal(sio_sharded_read(sio_slice_of(bus.sent[4].body), &msg), SIO_OK);
    assert_int_equal(msg.type, SIO_SHARDED_JOIN);
    assert_int_equal(msg.names.n, 1);
    sio_cluster_msg_fini(&msg);
    assert_int_equal(sio_emitter_side_emit(f->emitter, SIO_STR("/"), m), SIO_OK);
    assert_int_equal(sio_sharded_read(sio_slice_of(bus.sent[5].body), &msg), SIO_OK);
    assert_int_equal(msg.type, SIO_SHARDED_SIDE_EMIT);
    sio_cluster_msg_fini(&msg);
    /* Those who have just entered the room may be on servers that do not listen yet. */
    assert_int_equal(emitf(f, &(struct sio_target){.rooms = rooms, .n_rooms = 1}, "e"),
                     SIO_OK);
    assert_string_equal(bus.sent[6].channel, "app#/#");
    sio_message_free(m);
}

/* Which rooms have a channel is for the servers to say. */
static void sends_where_the_servers_listen(void **state)
{
    static const struct {
        enum sio_cluster_subscriptions subscriptions;
        const char *room, *id;
    } cases[] = {
        {SIO_CLUSTER_DYNAMIC, "app#/#r#", "app#/#"},
        {SIO_CLUSTER_STATIC, "app#/#", "app#/#"},
        {SIO_CLUSTER_DYNAMIC_PRIVATE, "app#/#r#", "app#/#aaaaaaaaaaaaaaaaaaaa#"},
    };
    struct fixture *f = *state;
    const struct sio_str room = SIO_STR_INIT("r");
    const struct sio_str id = SIO_STR_INIT("aaaaaaaaaaaaaaaaaaaa");
    const struct sio_target to_room = {.rooms = &room, .n_rooms = 1};
    const struct sio_target to_id = {.rooms = &id, .n_rooms = 1};

    for (size_t i = 0; i < N_ELEMENTS(cases); i++) {
        const struct sio_emitter_options opts = {.redis_url = "redis://localhost",
                                                 .key = "app",
                                                 .mode = SIO_CLUSTER_SHARDED,
                                                 .subscriptions =
                                                     cases[i].subscriptions};

        sio_emitter_free(f->emitter);
        f->emitter = sio_emitter_new(f->loop, &opts, NULL);
        come_up();
        emitf(f, &to_room, "e");
        emitf(f, &to_id, "e");
        assert_string_equal(bus.sent[0].channel, cases[i].room);
        assert_string_equal(bus.sent[1].channel, cases[i].id);
    }
}

static void refuses_what_cannot_be_sent(void **state)
{
    static const uint8_t byte = 1;
    struct fixture *f = *state;
    struct sio_message *m =
        sio_message_newf("e", "B", (struct sio_slice){NULL, &byte, 1});

    come_up();
    assert_int_equal(sio_emitter_emit(f->emitter, SIO_STR("chat"), NULL, m),
                     SIO_ERR_INVAL);
    assert_int_equal(sio_emitter_join(f->emitter, SIO_STR(""), NULL, NULL, 0),
                     SIO_ERR_INVAL);
    assert_int_equal(sio_emitter_side_emit(f->emitter, SIO_STR("/"), m),
                     SIO_ERR_UNSUPPORTED);
    assert_int_equal(bus.n, 0);
    sio_message_free(m);
}

static void emit_to(struct fixture *f, char digit)
{
    struct sio_str room = {&digit, 1};
    struct sio_target target = {.rooms = &room, .n_rooms = 1};

    assert_int_equal(emitf(f, &target, "e"), SIO_OK);
}

static void keeps_the_order_of_what_waits(void **state)
{
    struct fixture *f = *state;

    emit_to(f, '0');
    emit_to(f, '1');
    assert_int_equal(bus.n, 0);
    /* Redis is there, but what waits cannot go yet: what comes later waits behind it. */
    bus.refuses = SIO_ERR_FULL;
    come_up();
    emit_to(f, '2');
    bus.refuses = SIO_OK;
    emit_to(f, '3');
    assert_int_equal(bus.n, 4);
    for (size_t i = 0; i < 4; i++) {
        char channel[32];

        snprintf(channel, sizeof(channel), "socket.io#/#%zu#", i);
        assert_string_equal(bus.sent[i].channel, channel);
    }
}

static struct sio_message *large(size_t len)
{
    struct sio_buf *buf = sio_buf_new(len);
    struct sio_message *m = sio_message_new("large");

    memset(sio_buf_data(buf), 'x', len);
    assert_int_equal(sio_message_add_binary(m, sio_slice_of(buf)), SIO_OK);
    sio_buf_unref(buf);
    return m;
}

static void bounds_what_waits(void **state)
{
    struct fixture *f = *state;
    struct sio_message *two = large(2 << 20);
    struct sio_message *half = large(400 << 10);

    assert_int_equal(sio_emitter_emit(f->emitter, SIO_STR("/"), NULL, two), SIO_OK);
    assert_int_equal(emitf(f, NULL, "e"), SIO_ERR_FULL);
    come_up();
    assert_int_equal(bus.n, 1);
    bus.up = false;
    for (int i = 0; i < 2; i++)
        assert_int_equal(sio_emitter_emit(f->emitter, SIO_STR("/"), NULL, half),
                         SIO_OK);
    assert_int_equal(sio_emitter_emit(f->emitter, SIO_STR("/"), NULL, half),
                     SIO_ERR_FULL);
    assert_int_equal(emitf(f, NULL, "e"), SIO_OK);
    come_up();
    assert_int_equal(bus.n, 4);
    bus.refuses = SIO_ERR_FULL;
    assert_int_equal(emitf(f, NULL, "e"), SIO_ERR_FULL);
    sio_message_free(two);
    sio_message_free(half);
}

/* It would wait for ever, and all others behind it. */
static void refuses_what_redis_is_never_given(void **state)
{
    struct fixture *f = *state;
    struct sio_message *m = large(16 << 20);

    assert_int_equal(sio_emitter_emit(f->emitter, SIO_STR("/"), NULL, m),
                     SIO_ERR_TOO_BIG);
    assert_int_equal(emitf(f, NULL, "e"), SIO_OK);
    come_up();
    assert_int_equal(bus.n, 1);
    sio_message_free(m);
}

static void flushes_when_redis_has_all(void **state)
{
    struct fixture *f = *state;

    assert_int_equal(emitf(f, NULL, "e"), SIO_OK);
    assert_int_equal(sio_emitter_flush(f->emitter, 60000, on_flush, f), SIO_OK);
    assert_int_equal(sio_emitter_flush(f->emitter, 60000, on_flush, f), SIO_ERR_AGAIN);
    come_up();
    assert_int_equal(emitf(f, NULL, "later"), SIO_OK);
    turn(f);
    assert_int_equal(f->n_flushed, 0);
    answer(SIO_OK, 2);
    assert_int_equal(f->n_flushed, 0); /* not below the bus's feet */
    turn(f);
    assert_int_equal(f->n_flushed, 1);
    assert_int_equal(f->status, SIO_OK);

    assert_int_equal(sio_emitter_flush(f->emitter, 60000, on_flush, f), SIO_OK);
    turn(f);
    assert_int_equal(f->n_flushed, 1);
    answer(SIO_OK, 0);
    turn(f);
    assert_int_equal(f->n_flushed, 2);
    assert_int_equal(sio_emitter_unheard(f->emitter), 1);

    /* Nothing is open: at once, but not before it returns. */
    assert_int_equal(sio_emitter_flush(f->emitter, 60000, on_flush, f), SIO_OK);
    assert_int_equal(f->n_flushed, 2);
    turn(f);
    assert_int_equal(f->n_flushed, 3);
}

static void tells_what_went_wrong_once(void **state)
{
    struct fixture *f = *state;

    come_up();
    for (int i = 0; i < 3; i++)
        assert_int_equal(emitf(f, NULL, "e"), SIO_OK);
    answer(SIO_OK, 1);
    answer(SIO_ERR_REFUSED, 0);
    answer(SIO_OK, 1);
    assert_int_equal(sio_emitter_flush(f->emitter, 60000, on_flush, f), SIO_OK);
    turn(f);
    assert_int_equal(f->status, SIO_ERR_REFUSED);
    assert_int_equal(sio_emitter_flush(f->emitter, 60000, on_flush, f), SIO_OK);
    turn(f);
    assert_int_equal(f->status, SIO_OK);
    assert_int_equal(emitf(f, NULL, "e"), SIO_OK);
    assert_int_equal(sio_emitter_flush(f->emitter, 60000, on_flush, f), SIO_OK);
    answer(SIO_ERR_CLOSED, 0);
    turn(f);
    assert_int_equal(f->status, SIO_ERR_CLOSED);
    assert_int_equal(f->n_flushed, 3);
    assert_int_equal(sio_emitter_unheard(f->emitter), 0);
}

static void gives_up_in_time(void **state)
{
    struct fixture *f = *state;

    assert_int_equal(emitf(f, NULL, "e"), SIO_OK);
    assert_int_equal(sio_emitter_flush(f->emitter, 1, on_flush, f), SIO_OK);
    for (int i = 0; i < 1000 && f->n_flushed == 0; i++)
        assert_int_equal(net_loop_run_once(f->loop, 10), SIO_OK);
    assert_int_equal(f->n_flushed, 1);
    assert_int_equal(f->status, SIO_ERR_TIMEOUT);
    /* It still waits. */
    come_up();
    assert_int_equal(bus.n, 1);
}

static void a_flush_may_free_the_emitter(void **state)
{
    struct fixture *f = *state;

    f->free_it = true;
    come_up();
    assert_int_equal(emitf(f, NULL, "e"), SIO_OK);
    assert_int_equal(emitf(f, NULL, "e"), SIO_OK);
    answer(SIO_OK, 1);
    assert_int_equal(sio_emitter_flush(f->emitter, 60000, on_flush, f), SIO_OK);
    answer(SIO_OK, 1);
    assert_non_null(f->emitter);
    turn(f);
    assert_null(f->emitter);
    assert_int_equal(f->status, SIO_OK);
}

static void freeing_ends_a_flush(void **state)
{
    struct fixture *f = *state;

    assert_int_equal(emitf(f, NULL, "waits"), SIO_OK);
    assert_int_equal(sio_emitter_flush(f->emitter, 60000, on_flush, f), SIO_OK);
    sio_emitter_free(f->emitter);
    f->emitter = NULL;
    assert_int_equal(f->n_flushed, 1);
    assert_int_equal(f->status, SIO_ERR_CLOSED);
}

static void freeing_in_the_flush_that_freeing_ends(void **state)
{
    struct fixture *f = *state;

    f->free_it = true;
    assert_int_equal(emitf(f, NULL, "waits"), SIO_OK);
    assert_int_equal(sio_emitter_flush(f->emitter, 60000, on_flush, f), SIO_OK);
    sio_emitter_free(f->emitter);
    assert_null(f->emitter);
    assert_int_equal(f->n_flushed, 1);
    assert_int_equal(f->status, SIO_ERR_CLOSED);
}

static void refuses_a_bad_url(void **state)
{
    struct sio_emitter_options opts = {.redis_url = "bad"};
    struct sio_diag diag = {""};
    struct net_loop *loop = net_loop_new(NULL, NULL);

    (void)state;
    assert_null(sio_emitter_new(loop, &opts, &diag));
    assert_string_equal(diag.text, "a bad URL");
    net_loop_free(loop);
}

static void survives_want_of_memory(void **state)
{
    struct fixture *f = *state;
    struct sio_str room = SIO_STR("r");
    struct sio_target target = {.rooms = &room, .n_rooms = 1};
    struct sio_message *m = sio_message_newf("e", "s", "x");
    unsigned n_sent = 0;

    alloc_fail_each(n)
    {
        int rv = sio_emitter_emit(f->emitter, SIO_STR("/"), &target, m);

        assert_true(rv == SIO_OK || rv == SIO_ERR_NOMEM);
        n_sent += rv == SIO_OK;
    }
    alloc_fail_each(n)
    {
        int rv = sio_emitter_join(f->emitter, SIO_STR("/"), &target, &room, 1);

        assert_true(rv == SIO_OK || rv == SIO_ERR_NOMEM);
        n_sent += rv == SIO_OK;
    }
    come_up();
    assert_int_equal(bus.n, n_sent);
    sio_message_free(m);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(publishes_events),
        TEST(publishes_requests),
        cmocka_unit_test_setup_teardown(publishes_to_the_sharded_adapter,
                                        set_up_sharded, tear_down),
        cmocka_unit_test_setup_teardown(sends_where_the_servers_listen, set_up_sharded,
                                        tear_down),
        TEST(refuses_what_cannot_be_sent),
        TEST(keeps_the_order_of_what_waits),
        TEST(bounds_what_waits),
        TEST(refuses_what_redis_is_never_given),
        TEST(flushes_when_redis_has_all),
        TEST(tells_what_went_wrong_once),
        TEST(gives_up_in_time),
        TEST(a_flush_may_free_the_emitter),
        TEST(freeing_ends_a_flush),
        TEST(freeing_in_the_flush_that_freeing_ends),
        cmocka_unit_test(refuses_a_bad_url),
        TEST(survives_want_of_memory),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
