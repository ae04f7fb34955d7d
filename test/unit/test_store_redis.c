/*
 * The store in Redis against a Redis of the test's own, which says what it is told to.
 */
#include <config.h>

#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/list.h"
#include "net/loop.h"
#include "store/store.h"

#define LIFETIME_S 300
/* What a Redis 5 answers to HELLO and PING. */
#define GREETED "-ERR unknown command 'HELLO'\r\n+PONG\r\n"

static const struct store_redis_kind kinds[] = {
    {SIO_STR_INIT("pic:"), LIFETIME_S},
    {SIO_STR_INIT("err:"), LIFETIME_S},
};

struct fixture {
    int n_written;
    char written[64]; /* the last key that Redis has confirmed */
    struct net_loop *loop;
    struct store *store;
    int listener;
    int peer; /* -1: nobody is connected */
    char heard[65536];
    size_t n_heard;
};

/* Runs the loop and listens until what was heard since holds text. */
static void hear(struct fixture *f, const char *text)
{
    for (int i = 0; i < 5000; i++) {
        ssize_t n;

        assert_int_equal(net_loop_run_once(f->loop, 2), SIO_OK);
        if (f->peer < 0)
            f->peer = accept4(f->listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
        n = f->peer < 0 ? -1
                        : recv(f->peer, f->heard + f->n_heard,
                               sizeof(f->heard) - 1 - f->n_heard, 0);
        if (n > 0)
            f->n_heard += (size_t)n;
        f->heard[f->n_heard] = '\0';
        if (strstr(f->heard, text)) {
            f->n_heard = 0;
            return;
        }
    }
    fail_msg("waited in vain for %s", text);
}

static void say(struct fixture *f, const char *text)
{
    assert_int_equal(send(f->peer, text, strlen(text), MSG_NOSIGNAL), strlen(text));
}

static void run_until(struct fixture *f, enum store_state state)
{
    for (int i = 0; i < 5000 && store_state(f->store) != state; i++)
        assert_int_equal(net_loop_run_once(f->loop, 2), SIO_OK);
    assert_int_equal(store_state(f->store), state);
}

static void connect_up(struct fixture *f)
{
    hear(f, "PING");
    say(f, GREETED);
    run_until(f, STORE_UP);
}

static void hang_up(struct fixture *f)
{
    close(f->peer);
    f->peer = -1;
}

static void on_written(struct sio_str key, void *user)
{
    struct fixture *f = user;

    f->n_written++;
    snprintf(f->written, sizeof(f->written), "%.*s", (int)key.len, key.ptr);
}

static int set_up(void **state)
{
    static struct fixture f;
    struct sockaddr_in in = {.sin_family = AF_INET};
    socklen_t len = sizeof(in);
    char url[64];
    struct store_redis_options opts = {
        .kinds = kinds,
        .n_kinds = N_ELEMENTS(kinds),
        .max_bytes = 1 << 20,
        .max_value = 1000,
        .max_keys = 10,
        .on_written = on_written,
        .user = &f,
    };

    memset(&f, 0, sizeof(f));
    f.peer = -1;
    in.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    f.listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (bind(f.listener, (struct sockaddr *)&in, sizeof(in)) < 0 ||
        listen(f.listener, 8) < 0 ||
        getsockname(f.listener, (struct sockaddr *)&in, &len) < 0)
        return -1;
    snprintf(url, sizeof(url), "redis://127.0.0.1:%d", ntohs(in.sin_port));
    opts.url = sio_str_from(url);
    f.loop = net_loop_new(NULL, NULL);
    f.store = store_redis_new(f.loop, &opts, NULL);
    *state = &f;
    return f.loop && f.store ? 0 : -1;
}

static int tear_down(void **state)
{
    struct fixture *f = *state;

    store_free(f->store);
    net_loop_free(f->loop);
    if (f->peer >= 0)
        close(f->peer);
    close(f->listener);
    return 0;
}

static void put(struct fixture *f, const char *key, const char *value)
{
    struct sio_slice slice = {NULL, (const uint8_t *)value, strlen(value)};

    assert_int_equal(store_put(f->store, sio_str_from(key), slice, LIFETIME_S), SIO_OK);
}

struct answer {
    int n;
    int status;
    char value[256];
    uint32_t age_ms;
};

static void on_get(int status, const struct store_entry *entry, void *user)
{
    struct answer *a = user;

    a->n++;
    a->status = status;
    if (entry) {
        snprintf(a->value, sizeof(a->value), "%.*s", (int)entry->value.len,
                 (const char *)entry->value.ptr);
        a->age_ms = entry->age_ms;
    }
}

static void wait_answer(struct fixture *f, const struct answer *a)
{
    for (int i = 0; i < 5000 && a->n == 0; i++)
        assert_int_equal(net_loop_run_once(f->loop, 2), SIO_OK);
    assert_int_equal(a->n, 1);
}

static void answers_from_memory_while_it_is_away(void **state)
{
    struct fixture *f = *state;
    struct answer a = {0}, b = {0};

    put(f, "pic:a", "1");
    store_get(f->store, SIO_STR("pic:a"), on_get, &a);
    store_get(f->store, SIO_STR("pic:b"), on_get, &b);
    assert_int_equal(a.n, 1);
    assert_string_equal(a.value, "1");
    assert_int_equal(b.status, SIO_ERR_NOT_FOUND);
    assert_int_equal(store_state(f->store), STORE_DOWN);
}

static void writes_the_newest_only(void **state)
{
    struct fixture *f = *state;

    connect_up(f);
    put(f, "pic:a", "\"one\"");
    hear(f, "*5\r\n$3\r\nSET\r\n$5\r\npic:a\r\n$5\r\n\"one\"");
    put(f, "pic:a", "\"two\"");
    put(f, "pic:a", "\"three\"");
    say(f, "+OK\r\n");
    hear(f, "\"three\"");
    assert_null(strstr(f->heard, "two"));
    say(f, "+OK\r\n");
}

static void tells_what_is_written(void **state)
{
    struct fixture *f = *state;

    connect_up(f);
    put(f, "pic:a", "1");
    hear(f, "*5\r\n$3\r\nSET");
    assert_int_equal(f->n_written, 0);
    say(f, "+OK\r\n");
    for (int i = 0; i < 5000 && f->n_written == 0; i++)
        assert_int_equal(net_loop_run_once(f->loop, 2), SIO_OK);
    assert_string_equal(f->written, "pic:a");
    put(f, "pic:b", "1");
    hear(f, "*5\r\n$3\r\nSET");
    say(f, "-OOM no\r\n");
    run_until(f, STORE_REFUSED);
    hear(f, "pic:b"); /* again */
    hang_up(f);
    run_until(f, STORE_DOWN);
    assert_int_equal(f->n_written, 1);
}

static void wait_value(struct fixture *f, const struct answer *a, const char *value)
{
    wait_answer(f, a);
    assert_string_equal(a->value, value);
}

static void fetches_what_is_stale(void **state)
{
    struct fixture *f = *state;
    struct answer a = {0}, b = {0}, c = {0}, d = {0};

    connect_up(f);
    put(f, "pic:a", "1");
    hear(f, "*5\r\n$3\r\nSET");
    store_stale(f->store, SIO_STR("pic:a"));
    store_stale(f->store, SIO_STR("pic:unknown"));
    say(f, "+OK\r\n");
    store_get(f->store, SIO_STR("pic:a"), on_get, &a);
    store_get(f->store, SIO_STR("pic:a"), on_get, &b);
    hear(f, "PTTL");
    say(f, "$1\r\n2\r\n:200000\r\n");
    wait_value(f, &a, "2");
    wait_value(f, &b, "2");
    store_get(f->store, SIO_STR("pic:a"), on_get, &c);
    assert_int_equal(c.n, 1);
    /* Our own put is newer than what was said before it. */
    store_stale(f->store, SIO_STR("pic:a"));
    put(f, "pic:a", "3");
    store_get(f->store, SIO_STR("pic:a"), on_get, &d);
    wait_value(f, &d, "3");
}

/* Said while a fetch is under way: that one may have been too early. */
static void fetches_again_for_who_waits(void **state)
{
    struct fixture *f = *state;
    struct answer a = {0}, b = {0};

    connect_up(f);
    store_get(f->store, SIO_STR("pic:a"), on_get, &a);
    hear(f, "PTTL");
    store_stale(f->store, SIO_STR("pic:a"));
    store_get(f->store, SIO_STR("pic:a"), on_get, &b);
    say(f, "$1\r\n1\r\n:200000\r\n");
    hear(f, "PTTL");
    assert_int_equal(a.n + b.n, 0);
    say(f, "$1\r\n2\r\n:200000\r\n");
    wait_value(f, &a, "2");
    wait_value(f, &b, "2");
}

/* Fetches 1 from a Redis that then loses it, and hears it written back. */
static void write_back(struct fixture *f)
{
    struct answer a = {0};

    connect_up(f);
    store_get(f->store, SIO_STR("pic:a"), on_get, &a);
    hear(f, "PTTL");
    say(f, "$1\r\n1\r\n:200000\r\n");
    wait_value(f, &a, "1");
    hang_up(f);
    run_until(f, STORE_DOWN);
    connect_up(f);
    hear(f, "PTTL");
    say(f, ":-2\r\n");
    hear(f, "NX");
}

/* What somebody else had put must not replace his newer one. */
static void what_was_fetched_replaces_nothing(void **state)
{
    struct fixture *f = *state;
    struct answer b = {0};

    write_back(f);
    say(f, "$-1\r\n"); /* there is something again */
    for (int i = 0; i < 20; i++)
        assert_int_equal(net_loop_run_once(f->loop, 2), SIO_OK);
    store_get(f->store, SIO_STR("pic:a"), on_get, &b);
    hear(f, "PTTL");
    say(f, "$1\r\n2\r\n:250000\r\n");
    wait_value(f, &b, "2");
    assert_int_equal(f->n_written, 0);
}

static void what_is_put_meanwhile_is_the_newest(void **state)
{
    struct fixture *f = *state;
    struct answer a = {0};

    write_back(f);
    put(f, "pic:a", "2");
    say(f, "$-1\r\n"); /* there was something, and 2 takes its place */
    hear(f, "*5\r\n$3\r\nSET");
    store_get(f->store, SIO_STR("pic:a"), on_get, &a);
    assert_int_equal(a.n, 1);
    assert_string_equal(a.value, "2");
}

/* Redis had no word of it, so what it has is older, however close. */
static void what_was_put_meanwhile_is_written(void **state)
{
    struct fixture *f = *state;
    char reply[32];

    connect_up(f);
    hang_up(f);
    run_until(f, STORE_DOWN);
    put(f, "pic:a", "1");
    connect_up(f);
    hear(f, "PTTL");
    snprintf(reply, sizeof(reply), ":%d\r\n", LIFETIME_S * 1000);
    say(f, reply);
    hear(f, "*5\r\n$3\r\nSET");
    say(f, "+OK\r\n");
}

static void fetches_once_for_all(void **state)
{
    struct fixture *f = *state;
    struct answer a = {0}, b = {0}, c = {0};

    connect_up(f);
    store_get(f->store, SIO_STR("pic:a"), on_get, &a);
    store_get(f->store, SIO_STR("pic:a"), on_get, &b);
    hear(f, "PTTL");
    say(f, "$6\r\n \n\"x\"\t\r\n:200000\r\n");
    wait_answer(f, &a);
    wait_answer(f, &b);
    assert_string_equal(a.value, "\"x\"");
    assert_string_equal(b.value, "\"x\"");
    assert_in_range(a.age_ms, 100000, 101000);
    store_get(f->store, SIO_STR("pic:a"), on_get, &c); /* in memory now */
    assert_int_equal(c.n, 1);
}

static void takes_nothing_that_is_no_json(void **state)
{
    static const struct {
        const char *reply;
        int status;
    } cases[] = {
        {"$3\r\n{\"x\r\n:1000\r\n", SIO_ERR_PARSE},
        {"$3\r\n\"\xff\"\r\n:1000\r\n", SIO_ERR_PARSE},
        {"$0\r\n\r\n:-2\r\n", SIO_ERR_NOT_FOUND},
        {"$1\r\n1\r\n:-2\r\n", SIO_ERR_NOT_FOUND},
        {"$1\r\n1\r\n$1\r\n1\r\n", SIO_ERR_NOT_FOUND},
        {"-WRONGTYPE\r\n:1000\r\n", SIO_ERR_PARSE},
        {"*1\r\n$1\r\nx\r\n:1000\r\n", SIO_ERR_PARSE},
        {":5\r\n:1000\r\n", SIO_ERR_PARSE},
        {"$-1\r\n:1000\r\n", SIO_ERR_PARSE},
        {"-NOPERM\r\n-NOPERM\r\n", SIO_ERR_NOT_FOUND},
    };
    struct fixture *f = *state;

    connect_up(f);
    for (size_t i = 0; i < N_ELEMENTS(cases); i++) {
        struct answer a = {0};

        store_get(f->store, SIO_STR("pic:a"), on_get, &a);
        hear(f, "PTTL");
        say(f, cases[i].reply);
        wait_answer(f, &a);
        assert_int_equal(a.status, cases[i].status);
    }
    assert_int_equal(store_state(f->store), STORE_UP);
}

static void lives_through_rubbish(void **state)
{
    static const char *const rubbish[] = {
        "HTTP/1.1 400 Bad Request\r\n\r\n",
        "+OK\r\n+OK\r\n",
        "$-5\r\n",
        "*-9\r\n",
        "*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n",
        "$99999999999999999999\r\n",
        "*99999999999\r\n",
        ":x\r\n:x\r\n",
        "\r\n\r\n",
    };
    struct fixture *f = *state;

    for (size_t i = 0; i < N_ELEMENTS(rubbish); i++) {
        struct answer a = {0};

        connect_up(f);
        store_get(f->store, SIO_STR("pic:a"), on_get, &a);
        hear(f, "PTTL");
        say(f, rubbish[i]);
        hang_up(f);
        run_until(f, STORE_DOWN);
        assert_int_equal(a.n, 1);
        assert_true(a.status < 0);
    }
}

static void says_what_it_lacks_again(void **state)
{
    struct fixture *f = *state;

    connect_up(f);
    put(f, "pic:a", "\"one\"");
    hear(f, "\"one\"");
    say(f, "+OK\r\n");
    assert_int_equal(net_loop_run_once(f->loop, 10), SIO_OK);
    hang_up(f);
    run_until(f, STORE_DOWN);
    put(f, "pic:b", "\"two\"");
    connect_up(f);
    hear(f, "PTTL\r\n$5\r\npic:b");
    say(f, ":-2\r\n:-2\r\n");
    hear(f, "\"one\"");
    say(f, "+OK\r\n+OK\r\n");
}

static void keeps_what_is_refused(void **state)
{
    struct fixture *f = *state;

    connect_up(f);
    put(f, "pic:a", "\"one\"");
    hear(f, "\"one\"");
    say(f, "-OOM command not allowed\r\n");
    run_until(f, STORE_REFUSED);
    hear(f, "\"one\"");
    say(f, "+OK\r\n");
    run_until(f, STORE_UP);
}

struct listing {
    int n;
    int n_ends;
    int status;
};

static void on_list(int status, const struct store_entry *entry, void *user)
{
    struct listing *l = user;

    if (entry) {
        l->n++;
    } else {
        l->n_ends++;
        l->status = status;
    }
}

static void lists_both(void **state)
{
    struct fixture *f = *state;
    struct listing l = {0};

    connect_up(f);
    put(f, "pic:a", "1");
    hear(f, "*5\r\n$3\r\nSET");
    say(f, "+OK\r\n");
    store_list(f->store, SIO_STR("pic:"), on_list, &l);
    hear(f, "pic:*");
    say(f, "*2\r\n$1\r\n7\r\n*2\r\n$5\r\npic:a\r\n$5\r\npic:b\r\n");
    hear(f, "PTTL"); /* behind the next SCAN */
    say(f, "*2\r\n$1\r\n0\r\n*1\r\n$5\r\nerr:x\r\n$1\r\n2\r\n:1000\r\n");
    for (int i = 0; i < 5000 && l.n_ends == 0; i++)
        assert_int_equal(net_loop_run_once(f->loop, 2), SIO_OK);
    assert_int_equal(l.n, 2);
    assert_int_equal(l.n_ends, 1);
}

static void lists_what_is_stale(void **state)
{
    struct fixture *f = *state;
    struct listing l = {0}, m = {0};
    struct answer a = {0};

    connect_up(f);
    put(f, "pic:a", "1");
    hear(f, "*5\r\n$3\r\nSET");
    say(f, "+OK\r\n");
    store_list(f->store, SIO_STR("pic:"), on_list, &l);
    hear(f, "SCAN");
    say(f, "*2\r\n$1\r\n0\r\n*0\r\n");
    for (int i = 0; i < 5000 && l.n_ends == 0; i++)
        assert_int_equal(net_loop_run_once(f->loop, 2), SIO_OK);
    store_stale(f->store, SIO_STR("pic:a"));
    store_list(f->store, SIO_STR("pic:"), on_list, &m);
    hear(f, "PTTL"); /* no walk a moment after another */
    assert_null(strstr(f->heard, "SCAN"));
    assert_int_equal(m.n_ends, 0);
    say(f, "$1\r\n2\r\n:1000\r\n");
    for (int i = 0; i < 5000 && m.n_ends == 0; i++)
        assert_int_equal(net_loop_run_once(f->loop, 2), SIO_OK);
    assert_int_equal(m.n, 1);
    store_get(f->store, SIO_STR("pic:a"), on_get, &a);
    assert_string_equal(a.value, "2");
}

static void answers_who_waits_at_its_end(void **state)
{
    struct fixture *f = *state;
    struct answer a = {0};
    struct listing l = {0};

    connect_up(f);
    store_get(f->store, SIO_STR("pic:a"), on_get, &a);
    store_list(f->store, SIO_STR("pic:"), on_list, &l);
    store_free(f->store);
    f->store = NULL;
    assert_int_equal(a.status, SIO_ERR_CLOSED);
    assert_int_equal(l.n_ends, 1);
    assert_int_equal(l.status, SIO_ERR_CLOSED);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(answers_from_memory_while_it_is_away, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(writes_the_newest_only, set_up, tear_down),
        cmocka_unit_test_setup_teardown(fetches_once_for_all, set_up, tear_down),
        cmocka_unit_test_setup_teardown(tells_what_is_written, set_up, tear_down),
        cmocka_unit_test_setup_teardown(fetches_what_is_stale, set_up, tear_down),
        cmocka_unit_test_setup_teardown(fetches_again_for_who_waits, set_up, tear_down),
        cmocka_unit_test_setup_teardown(what_was_fetched_replaces_nothing, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(what_is_put_meanwhile_is_the_newest, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(what_was_put_meanwhile_is_written, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(lists_what_is_stale, set_up, tear_down),
        cmocka_unit_test_setup_teardown(takes_nothing_that_is_no_json, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(lives_through_rubbish, set_up, tear_down),
        cmocka_unit_test_setup_teardown(says_what_it_lacks_again, set_up, tear_down),
        cmocka_unit_test_setup_teardown(keeps_what_is_refused, set_up, tear_down),
        cmocka_unit_test_setup_teardown(lists_both, set_up, tear_down),
        cmocka_unit_test_setup_teardown(answers_who_waits_at_its_end, set_up,
                                        tear_down),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
