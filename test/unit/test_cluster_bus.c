/*
 * The bus against a Redis of the test's own, which says what it is told to.
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

#include "base/str.h"
#include "cluster/bus.h"
#include "net/loop.h"

#define MAX_TURNS 5000
/* What a Redis 5 answers to HELLO and PING. */
#define GREETED "-ERR unknown command 'HELLO'\r\n+PONG\r\n"

/* A connection, as Redis sees it. */
struct peer {
    int fd; /* -1: none */
    size_t n;
    char heard[65536];
};

struct fixture {
    struct net_loop *loop;
    struct cluster_bus *bus;
    struct cluster_bus_watcher watcher;
    struct cluster_topic base; /* listened to in all tests */
    int listener;
    struct peer a; /* the first to connect */
    struct peer b;
    struct peer *pub;
    struct peer *sub;
    int n_up;
    int n_down;
    int n_lines; /* of the log, that say "refuses" */
    int n_heard;
    char heard[256]; /* the last message: channel, blank, body */
};

static void note_log(enum sio_log_level level, const char *line, size_t len, void *user)
{
    struct fixture *f = user;
    struct sio_str rest = {line, len};

    (void)level;
    while (rest.len > 0 && !str_starts(rest, SIO_STR("refuses")))
        rest = (struct sio_str){rest.ptr + 1, rest.len - 1};
    f->n_lines += rest.len > 0;
}

static void on_up(struct cluster_bus *bus, void *user)
{
    struct fixture *f = user;

    assert_true(cluster_bus_is_up(bus));
    f->n_up++;
}

static void on_down(struct cluster_bus *bus, void *user)
{
    struct fixture *f = user;

    assert_false(cluster_bus_is_up(bus));
    f->n_down++;
}

static const struct cluster_bus_ops watch_ops = {.on_up = on_up, .on_down = on_down};

static void on_message(struct cluster_topic *t, struct sio_str channel,
                       struct sio_slice body, void *user)
{
    struct fixture *f = user;

    (void)t;
    assert_null(body.buf);
    f->n_heard++;
    snprintf(f->heard, sizeof(f->heard), "%.*s %.*s", STR_ARG(channel), (int)body.len,
             (const char *)body.ptr);
}

/* The fake Redis. */

static void turn(struct fixture *f)
{
    assert_int_equal(net_loop_run_once(f->loop, 2), SIO_OK);
}

static void take(struct fixture *f, struct peer *p)
{
    ssize_t n;

    if (p->fd < 0)
        p->fd = accept4(f->listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    n = p->fd < 0 ? -1 : recv(p->fd, p->heard + p->n, sizeof(p->heard) - 1 - p->n, 0);
    if (n > 0)
        p->n += (size_t)n;
    p->heard[p->n] = '\0';
}

static void say(struct peer *p, const char *text)
{
    assert_int_equal(send(p->fd, text, strlen(text), MSG_NOSIGNAL), strlen(text));
}

/* Forgets what was heard up to end, once each PING in it has its answer. */
static void answer_pings(struct fixture *f, struct peer *p, char *end)
{
    for (char *at = p->heard; (at = strstr(at, "\r\nPING\r\n")) && at + 2 < end; at++)
        say(p, p == f->sub ? "*2\r\n$4\r\npong\r\n$0\r\n\r\n" : "+PONG\r\n");
    p->n -= (size_t)(end - p->heard);
    memmove(p->heard, end, p->n + 1);
}

/* Runs the loop and listens until what was heard since holds text. */
static void hear(struct fixture *f, struct peer *p, const char *text)
{
    for (int i = 0; i < MAX_TURNS; i++) {
        char *at;

        turn(f);
        take(f, p);
        at = strstr(p->heard, text);
        if (at) {
            answer_pings(f, p, at);
            p->n -= strlen(text);
            memmove(p->heard, p->heard + strlen(text), p->n + 1);
            return;
        }
    }
    fail_msg("waited in vain for %s; came: %s", text, p->heard);
}

static void hang_up(struct peer *p)
{
    close(p->fd);
    p->fd = -1;
    p->n = 0;
}

static void run_until(struct fixture *f, const int *counter, int n)
{
    for (int i = 0; i < MAX_TURNS && *counter < n; i++)
        turn(f);
    assert_int_equal(*counter, n);
}

/* Time enough for all that has been said. */
static void settle(struct fixture *f)
{
    for (int i = 0; i < 20; i++)
        turn(f);
}

/* The first words of the one that listens tell which one it is. */
static void greet_both(struct fixture *f)
{
    hear(f, &f->a, "PING");
    hear(f, &f->b, "PING");
    say(&f->a, GREETED);
    say(&f->b, GREETED);
    f->sub = NULL;
    for (int i = 0; i < MAX_TURNS && !f->sub; i++) {
        turn(f);
        take(f, &f->a);
        take(f, &f->b);
        if (strstr(f->a.heard, "\r\nbase\r\n"))
            f->sub = &f->a;
        else if (strstr(f->b.heard, "\r\nbase\r\n"))
            f->sub = &f->b;
    }
    assert_non_null(f->sub);
    f->pub = f->sub == &f->a ? &f->b : &f->a;
}

static void come_up(struct fixture *f)
{
    int n = f->n_up + 1;

    greet_both(f);
    assert_int_equal(f->n_up, n - 1);
    f->sub->n = 0;
    say(f->sub, "*3\r\n$9\r\nsubscribe\r\n$4\r\nbase\r\n:1\r\n");
    run_until(f, &f->n_up, n);
}

static int open_listener(struct fixture *f, char url[64])
{
    struct sockaddr_in in = {.sin_family = AF_INET};
    socklen_t len = sizeof(in);

    in.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    f->listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (bind(f->listener, (struct sockaddr *)&in, sizeof(in)) < 0 ||
        listen(f->listener, 8) < 0 ||
        getsockname(f->listener, (struct sockaddr *)&in, &len) < 0)
        return -1;
    snprintf(url, 64, "redis://127.0.0.1:%d", ntohs(in.sin_port));
    return 0;
}

static int open_bus(void **state, bool publish_only)
{
    static struct fixture f;
    const struct net_loop_options loop_opts = {
        .log = note_log, .log_user = &f, .log_level = SIO_LOG_INFO};
    struct cluster_bus_options opts = {
        .max_unsent = 100000, .max_message = 100000, .publish_only = publish_only};
    char url[64];

    memset(&f, 0, sizeof(f));
    f.a.fd = f.b.fd = -1;
    if (open_listener(&f, url) < 0)
        return -1;
    opts.url = sio_str_from(url);
    f.loop = net_loop_new(&loop_opts, NULL);
    f.bus = cluster_bus_new(f.loop, &opts, NULL);
    if (!f.loop || !f.bus)
        return -1;
    f.watcher.ops = &watch_ops;
    f.watcher.user = &f;
    cluster_bus_watch(f.bus, &f.watcher);
    *state = &f;
    return 0;
}

static int set_up(void **state)
{
    int rv = open_bus(state, false);
    struct fixture *f = *state;

    return rv < 0 ? rv
                  : cluster_bus_listen(f->bus, &f->base, CLUSTER_CHANNEL,
                                       SIO_STR("base"), on_message, f);
}

static int set_up_publisher(void **state)
{
    return open_bus(state, true);
}

static int tear_down(void **state)
{
    struct fixture *f = *state;

    if (f->bus) {
        cluster_bus_unlisten(f->bus, &f->base);
        cluster_bus_unwatch(&f->watcher);
    }
    cluster_bus_free(f->bus);
    net_loop_free(f->loop);
    if (f->a.fd >= 0)
        close(f->a.fd);
    if (f->b.fd >= 0)
        close(f->b.fd);
    close(f->listener);
    return 0;
}

/* Tests. */

static void refuses_a_wrong_url(void **state)
{
    struct fixture *f = *state;
    const struct cluster_bus_options opts = {.url = SIO_STR("http://u:secret@h")};
    struct sio_diag diag;

    assert_null(cluster_bus_new(f->loop, &opts, &diag));
    assert_null(strstr(diag.text, "secret"));
}

static void is_up_when_all_is_confirmed(void **state)
{
    struct fixture *f = *state;
    struct cluster_topic more = {.cb = NULL}, none = {.cb = NULL};

    assert_false(cluster_bus_is_up(f->bus));
    assert_int_equal(cluster_bus_listen(f->bus, &more, CLUSTER_PATTERN, SIO_STR("p*"),
                                        on_message, f),
                     SIO_OK);
    assert_int_equal(cluster_bus_listen(f->bus, &more, CLUSTER_PATTERN, SIO_STR("q*"),
                                        on_message, f),
                     SIO_ERR_INVAL);
    assert_int_equal(
        cluster_bus_listen(f->bus, &none, CLUSTER_SHARD, SIO_STR(""), on_message, f),
        SIO_ERR_INVAL);
    greet_both(f);
    hear(f, f->sub, "*2\r\n$10\r\nPSUBSCRIBE\r\n$2\r\np*\r\n");
    say(f->sub, "*3\r\n$9\r\nsubscribe\r\n$4\r\nbase\r\n:1\r\n");
    settle(f);
    assert_int_equal(f->n_up, 0);
    assert_true(f->base.confirmed);
    assert_false(more.confirmed);
    say(f->sub, "*3\r\n$10\r\npsubscribe\r\n$2\r\np*\r\n:2\r\n");
    run_until(f, &f->n_up, 1);
    cluster_bus_unlisten(f->bus, &more);
    cluster_bus_unlisten(f->bus, &more);
    hear(f, f->sub, "PUNSUBSCRIBE\r\n$2\r\np*\r\n");
    assert_int_equal(f->n_down, 0);
}

/* Where rooms come and go there is always one that is not confirmed yet. */
static void does_not_wait_for_later_topics(void **state)
{
    struct fixture *f = *state;
    struct cluster_topic later = {.cb = NULL};

    greet_both(f);
    cluster_bus_listen(f->bus, &later, CLUSTER_SHARD, SIO_STR("room"), on_message, f);
    hear(f, f->sub, "SSUBSCRIBE\r\n$4\r\nroom\r\n");
    assert_int_equal(f->n_up, 0);
    say(f->sub, "*3\r\n$9\r\nsubscribe\r\n$4\r\nbase\r\n:1\r\n");
    run_until(f, &f->n_up, 1);
    assert_false(later.confirmed);
    say(f->sub, "*3\r\n$10\r\nssubscribe\r\n$4\r\nroom\r\n:1\r\n");
    for (int i = 0; i < MAX_TURNS && !later.confirmed; i++)
        turn(f);
    assert_true(later.confirmed);
    /* A new connection has to have it. */
    hang_up(f->sub);
    run_until(f, &f->n_down, 1);
    hear(f, f->sub, "PING");
    say(f->sub, GREETED);
    hear(f, f->sub, "SSUBSCRIBE\r\n$4\r\nroom\r\n");
    say(f->sub, "*3\r\n$9\r\nsubscribe\r\n$4\r\nbase\r\n:1\r\n");
    for (int i = 0; i < MAX_TURNS && !f->base.confirmed; i++)
        turn(f);
    settle(f);
    assert_int_equal(f->n_up, 1);
    cluster_bus_unlisten(f->bus, &later);
    run_until(f, &f->n_up, 2);
}

static void hears_what_is_published(void **state)
{
    struct fixture *f = *state;
    struct cluster_topic p = {.cb = NULL}, s = {.cb = NULL};
    struct cluster_bus_stats stats;

    come_up(f);
    cluster_bus_listen(f->bus, &p, CLUSTER_PATTERN, SIO_STR("p*"), on_message, f);
    cluster_bus_listen(f->bus, &s, CLUSTER_SHARD, SIO_STR("sh"), on_message, f);
    hear(f, f->sub, "SSUBSCRIBE\r\n$2\r\nsh\r\n");
    say(f->sub, "*3\r\n$7\r\nmessage\r\n$4\r\nbase\r\n$3\r\none\r\n");
    run_until(f, &f->n_heard, 1);
    assert_string_equal(f->heard, "base one");
    /* Between the answers, and in pieces. */
    say(f->sub, "*3\r\n$10\r\npsubscribe\r\n$2\r\np*\r\n:2\r\n*4\r\n$8\r\npmess");
    settle(f);
    say(f->sub, "age\r\n$2\r\np*\r\n$2\r\npq\r\n$3\r\ntwo\r\n"
                "*3\r\n$10\r\nssubscribe\r\n$2\r\nsh\r\n:1\r\n");
    run_until(f, &f->n_heard, 2);
    assert_string_equal(f->heard, "pq two");
    say(f->sub, "*3\r\n$8\r\nsmessage\r\n$2\r\nsh\r\n$0\r\n\r\n");
    run_until(f, &f->n_heard, 3);
    assert_string_equal(f->heard, "sh ");
    assert_true(p.confirmed && s.confirmed);
    cluster_bus_unlisten(f->bus, &p);
    cluster_bus_unlisten(f->bus, &s);
    /* It was on its way. */
    say(f->sub, "*3\r\n$8\r\nsmessage\r\n$2\r\nsh\r\n$0\r\n\r\n"
                "*3\r\n$12\r\npunsubscribe\r\n$2\r\np*\r\n:1\r\n"
                "*3\r\n$12\r\nsunsubscribe\r\n$2\r\nsh\r\n:0\r\n");
    settle(f);
    cluster_bus_stats(f->bus, &stats);
    assert_int_equal(stats.n_heard, 3);
    assert_int_equal(f->n_down, 0);
}

static void end_and_begin(struct cluster_topic *t, struct sio_str channel,
                          struct sio_slice body, void *user)
{
    struct fixture *f = user;
    struct sio_slice part = {NULL, (const uint8_t *)"x", 1};

    (void)channel;
    (void)body;
    cluster_bus_unlisten(f->bus, t);
    assert_int_equal(
        cluster_bus_listen(f->bus, t, CLUSTER_CHANNEL, SIO_STR("base"), on_message, f),
        SIO_OK);
    assert_int_equal(cluster_bus_publish(f->bus, CLUSTER_CHANNEL, SIO_STR("base"),
                                         &part, 1, NULL, NULL),
                     SIO_OK);
}

/* SUBSCRIBE, UNSUBSCRIBE, SUBSCRIBE of one name: the last answer counts. */
static void topics_change_under_way(void **state)
{
    struct fixture *f = *state;

    come_up(f);
    cluster_bus_unlisten(f->bus, &f->base);
    cluster_bus_listen(f->bus, &f->base, CLUSTER_CHANNEL, SIO_STR("base"),
                       end_and_begin, f);
    cluster_bus_unlisten(f->bus, &f->base);
    cluster_bus_listen(f->bus, &f->base, CLUSTER_CHANNEL, SIO_STR("base"),
                       end_and_begin, f);
    hear(f, f->sub,
         "SUBSCRIBE\r\n$4\r\nbase\r\n*2\r\n$11\r\nUNSUBSCRIBE\r\n$4\r\nbase\r\n"
         "*2\r\n$9\r\nSUBSCRIBE\r\n$4\r\nbase\r\n");
    say(f->sub, "*3\r\n$11\r\nunsubscribe\r\n$4\r\nbase\r\n:0\r\n"
                "*3\r\n$9\r\nsubscribe\r\n$4\r\nbase\r\n:1\r\n");
    settle(f);
    assert_false(f->base.confirmed);
    say(f->sub, "*3\r\n$11\r\nunsubscribe\r\n$4\r\nbase\r\n:0\r\n"
                "*3\r\n$9\r\nsubscribe\r\n$4\r\nbase\r\n:1\r\n");
    settle(f);
    assert_true(f->base.confirmed);
    say(f->sub, "*3\r\n$7\r\nmessage\r\n$4\r\nbase\r\n$3\r\none\r\n");
    hear(f, f->pub, "PUBLISH\r\n$4\r\nbase\r\n$1\r\nx\r\n");
    say(f->sub, "*3\r\n$11\r\nunsubscribe\r\n$4\r\nbase\r\n:0\r\n"
                "*3\r\n$9\r\nsubscribe\r\n$4\r\nbase\r\n:1\r\n"
                "*3\r\n$7\r\nmessage\r\n$4\r\nbase\r\n$3\r\ntwo\r\n");
    run_until(f, &f->n_heard, 1);
    assert_string_equal(f->heard, "base two");
    assert_int_equal(f->n_up, 1);
    assert_int_equal(f->n_down, 0);
}

struct several {
    struct fixture *f;
    struct cluster_topic one, two;
    int n_one, n_two;
    bool ends;
};

static void on_one(struct cluster_topic *t, struct sio_str channel,
                   struct sio_slice body, void *user)
{
    struct several *s = user;

    (void)t;
    (void)channel;
    (void)body;
    s->n_one++;
}

static void on_two(struct cluster_topic *t, struct sio_str channel,
                   struct sio_slice body, void *user)
{
    struct several *s = user;

    (void)channel;
    (void)body;
    s->n_two++;
    if (!s->ends)
        return;
    cluster_bus_unlisten(s->f->bus, &s->one);
    cluster_bus_unlisten(s->f->bus, t);
}

static void a_channel_has_several_topics(void **state)
{
    static const char message[] = "*3\r\n$8\r\nsmessage\r\n$2\r\nsh\r\n$0\r\n\r\n";
    struct fixture *f = *state;
    struct several s = {.f = f};

    come_up(f);
    cluster_bus_listen(f->bus, &s.one, CLUSTER_SHARD, SIO_STR("sh"), on_one, &s);
    hear(f, f->sub, "SSUBSCRIBE\r\n$2\r\nsh\r\n");
    cluster_bus_listen(f->bus, &s.two, CLUSTER_SHARD, SIO_STR("sh"), on_two, &s);
    assert_false(s.two.confirmed);
    say(f->sub, "*3\r\n$10\r\nssubscribe\r\n$2\r\nsh\r\n:1\r\n");
    say(f->sub, message);
    run_until(f, &s.n_one, 1);
    assert_int_equal(s.n_two, 1);
    assert_true(s.one.confirmed && s.two.confirmed);

    /* It is said once, and ended with the last of them. */
    cluster_bus_unlisten(f->bus, &s.one);
    cluster_bus_listen(f->bus, &s.one, CLUSTER_SHARD, SIO_STR("sh"), on_one, &s);
    assert_true(s.one.confirmed);
    take(f, f->sub);
    assert_null(strstr(f->sub->heard, "SUBSCRIBE"));
    cluster_bus_unlisten(f->bus, &s.two);
    cluster_bus_listen(f->bus, &s.two, CLUSTER_SHARD, SIO_STR("sh"), on_two, &s);
    s.ends = true;
    say(f->sub, message);
    hear(f, f->sub, "SUNSUBSCRIBE\r\n$2\r\nsh\r\n");
    assert_int_equal(s.n_one, 1); /* the other one was told first, and ended it */
    assert_int_equal(s.n_two, 2);
}

static void listens_again(void **state)
{
    struct fixture *f = *state;

    come_up(f);
    hang_up(f->sub);
    run_until(f, &f->n_down, 1);
    assert_false(f->base.confirmed);
    hear(f, f->sub, "PING");
    say(f->sub, GREETED);
    hear(f, f->sub, "SUBSCRIBE\r\n$4\r\nbase\r\n");
    assert_int_equal(f->n_up, 1);
    say(f->sub, "*3\r\n$9\r\nsubscribe\r\n$4\r\nbase\r\n:1\r\n");
    run_until(f, &f->n_up, 2);
    hang_up(f->pub);
    run_until(f, &f->n_down, 2);
    assert_true(f->base.confirmed);
    hear(f, f->pub, "PING");
    say(f->pub, GREETED);
    run_until(f, &f->n_up, 3);
}

struct count {
    int n_calls;
    int status;
    uint64_t n;
};

static void on_count(int status, uint64_t n, void *user)
{
    struct count *c = user;

    c->n_calls++;
    c->status = status;
    c->n = n;
}

static void publishes_parts_as_one(void **state)
{
    struct fixture *f = *state;
    struct sio_buf *big = sio_buf_copy("-shared-", 8);
    struct sio_slice parts[4] = {
        {NULL, (const uint8_t *)"begin", 5},
        sio_slice_of(big),
        {big, NULL, 0},
        {NULL, (const uint8_t *)"end", 3},
    };
    struct count a = {0}, b = {0}, c = {0}, d = {0};

    parts[2].ptr = parts[1].ptr;
    assert_int_equal(cluster_bus_publish(f->bus, CLUSTER_CHANNEL, SIO_STR("x"), parts,
                                         4, on_count, &a),
                     SIO_ERR_CLOSED);
    come_up(f);
    assert_int_equal(cluster_bus_publish(f->bus, CLUSTER_CHANNEL, SIO_STR("x"), parts,
                                         4, on_count, &a),
                     SIO_OK);
    assert_int_equal(
        cluster_bus_publish(f->bus, CLUSTER_SHARD, SIO_STR("y"), NULL, 0, on_count, &b),
        SIO_OK);
    assert_int_equal(
        cluster_bus_count(f->bus, CLUSTER_CHANNEL, SIO_STR("x"), on_count, &c), SIO_OK);
    assert_int_equal(
        cluster_bus_count(f->bus, CLUSTER_SHARD, SIO_STR("y"), on_count, &d), SIO_OK);
    sio_buf_unref(big);
    hear(f, f->pub,
         "*3\r\n$7\r\nPUBLISH\r\n$1\r\nx\r\n$16\r\nbegin-shared-end\r\n"
         "*3\r\n$8\r\nSPUBLISH\r\n$1\r\ny\r\n$0\r\n\r\n"
         "*3\r\n$6\r\nPUBSUB\r\n$6\r\nNUMSUB\r\n$1\r\nx\r\n"
         "*3\r\n$6\r\nPUBSUB\r\n$11\r\nSHARDNUMSUB\r\n$1\r\ny\r\n");
    say(f->pub, ":3\r\n-NOPERM no\r\n*2\r\n$1\r\nx\r\n:7\r\n*0\r\n");
    run_until(f, &d.n_calls, 1);
    assert_int_equal(a.status, SIO_OK);
    assert_int_equal(a.n, 3);
    assert_int_equal(b.status, SIO_ERR_REFUSED);
    assert_int_equal(c.status, SIO_OK);
    assert_int_equal(c.n, 7);
    assert_int_equal(d.status, SIO_ERR_REFUSED);
    assert_int_equal(f->n_lines, 1);
}

static void counts_what_is_lost(void **state)
{
    struct fixture *f = *state;
    struct sio_slice part = {NULL, (const uint8_t *)"x", 1};
    struct cluster_bus_stats stats;
    struct count a = {0}, b = {0};

    come_up(f);
    cluster_bus_publish(f->bus, CLUSTER_CHANNEL, SIO_STR("x"), &part, 1, on_count, &a);
    cluster_bus_publish(f->bus, CLUSTER_CHANNEL, SIO_STR("x"), &part, 1, NULL, NULL);
    hear(f, f->pub, "x\r\n*3\r\n");
    hang_up(f->pub);
    run_until(f, &f->n_down, 1);
    assert_int_equal(a.n_calls, 1);
    assert_int_equal(a.status, SIO_ERR_CLOSED);
    assert_int_equal(cluster_bus_publish(f->bus, CLUSTER_CHANNEL, SIO_STR("x"), &part,
                                         1, on_count, &b),
                     SIO_ERR_CLOSED);
    assert_int_equal(b.n_calls, 0);
    cluster_bus_stats(f->bus, &stats);
    assert_int_equal(stats.n_published, 2);
    assert_int_equal(stats.n_lost, 2);
    assert_int_equal(stats.n_unsent, 1);
}

static void holds_back_no_more_than_allowed(void **state)
{
    struct fixture *f = *state;
    struct sio_buf *buf = sio_buf_new(60000);
    struct sio_slice part = sio_slice_of(buf);
    struct cluster_bus_stats stats;
    struct count a = {0};
    int rv = SIO_OK;

    memset(sio_buf_data(buf), 'x', 60000);
    come_up(f);
    assert_int_equal(cluster_bus_publish(f->bus, CLUSTER_CHANNEL, SIO_STR("x"), &part,
                                         1, on_count, &a),
                     SIO_OK);
    assert_int_equal(cluster_bus_publish(f->bus, CLUSTER_CHANNEL, SIO_STR("x"), &part,
                                         1, on_count, &a),
                     SIO_ERR_FULL);
    /* Then the kernel's room is full as well. */
    for (int i = 0; i < MAX_TURNS && rv == SIO_OK; i++) {
        settle(f);
        rv = cluster_bus_publish(f->bus, CLUSTER_CHANNEL, SIO_STR("x"), &part, 1, NULL,
                                 NULL);
    }
    assert_int_equal(rv, SIO_ERR_FULL);
    assert_int_equal(
        cluster_bus_count(f->bus, CLUSTER_CHANNEL, SIO_STR("x"), on_count, &a), SIO_OK);
    cluster_bus_stats(f->bus, &stats);
    assert_int_equal(stats.n_unsent, 2);
    sio_buf_unref(buf);
    cluster_bus_unlisten(f->bus, &f->base);
    cluster_bus_unwatch(&f->watcher);
    cluster_bus_free(f->bus);
    f->bus = NULL;
    assert_int_equal(a.n_calls, 2);
    assert_int_equal(a.status, SIO_ERR_CLOSED);
}

static void says_once_what_is_refused(void **state)
{
    struct fixture *f = *state;
    struct cluster_topic s[3] = {{.cb = NULL}};

    for (int i = 0; i < 3; i++)
        cluster_bus_listen(f->bus, &s[i], CLUSTER_SHARD, (struct sio_str){&"abc"[i], 1},
                           on_message, f);
    greet_both(f);
    hear(f, f->sub, "SSUBSCRIBE\r\n$1\r\na\r\n");
    say(f->sub, "*3\r\n$9\r\nsubscribe\r\n$4\r\nbase\r\n:1\r\n"
                "-ERR unknown command 'SSUBSCRIBE'\r\n"
                "-ERR unknown command 'SSUBSCRIBE'\r\n"
                "-ERR unknown command 'SSUBSCRIBE'\r\n");
    settle(f);
    f->sub->n = 0;
    settle(f);
    take(f, f->sub);
    assert_null(strstr(f->sub->heard, "SUBSCRIBE")); /* not at once */
    assert_int_equal(f->n_lines, 1);
    assert_int_equal(f->n_up, 0);
    for (int i = 0; i < 3; i++)
        cluster_bus_unlisten(f->bus, &s[i]);
    run_until(f, &f->n_up, 1); /* nothing is missing now */
    assert_int_equal(f->n_lines, 1);
}

/* A cluster of Redis takes a channel away: it is asked for again. */
static void follows_a_moved_channel(void **state)
{
    struct fixture *f = *state;
    struct cluster_topic s = {.cb = NULL};

    come_up(f);
    cluster_bus_listen(f->bus, &s, CLUSTER_SHARD, SIO_STR("sh"), on_message, f);
    hear(f, f->sub, "SSUBSCRIBE\r\n$2\r\nsh\r\n");
    say(f->sub, "*3\r\n$10\r\nssubscribe\r\n$2\r\nsh\r\n:1\r\n"
                "*3\r\n$12\r\nsunsubscribe\r\n$2\r\nsh\r\n:0\r\n");
    hear(f, f->sub, "SSUBSCRIBE\r\n$2\r\nsh\r\n");
    say(f->sub, "*3\r\n$10\r\nssubscribe\r\n$2\r\nsh\r\n:1\r\n");
    run_until(f, &f->n_up, 2);
    assert_int_equal(f->n_down, 1); /* what was said meanwhile was missed */
    cluster_bus_unlisten(f->bus, &s);
}

/* One channel moves while another is left: the push is not the answer. */
static void tells_a_push_from_an_answer(void **state)
{
    struct fixture *f = *state;
    struct cluster_topic moved = {.cb = NULL}, left = {.cb = NULL};

    come_up(f);
    cluster_bus_listen(f->bus, &moved, CLUSTER_SHARD, SIO_STR("mo"), on_message, f);
    cluster_bus_listen(f->bus, &left, CLUSTER_SHARD, SIO_STR("le"), on_message, f);
    hear(f, f->sub, "SSUBSCRIBE\r\n$2\r\nle\r\n");
    say(f->sub, "*3\r\n$10\r\nssubscribe\r\n$2\r\nmo\r\n:1\r\n"
                "*3\r\n$10\r\nssubscribe\r\n$2\r\nle\r\n:2\r\n");
    settle(f);
    cluster_bus_unlisten(f->bus, &left);
    hear(f, f->sub, "SUNSUBSCRIBE\r\n$2\r\nle\r\n");
    say(f->sub, "*3\r\n$12\r\nsunsubscribe\r\n$2\r\nmo\r\n:1\r\n");
    hear(f, f->sub, "SSUBSCRIBE\r\n$2\r\nmo\r\n");
    assert_false(moved.confirmed);
    say(f->sub, "*3\r\n$12\r\nsunsubscribe\r\n$2\r\nle\r\n:0\r\n"
                "*3\r\n$10\r\nssubscribe\r\n$2\r\nmo\r\n:1\r\n");
    run_until(f, &f->n_up, 2);
    assert_true(moved.confirmed);
    cluster_bus_unlisten(f->bus, &moved);
}

/* The same channel: nobody can tell, but that an error follows tells that something is wrong. */
static void begins_anew_where_it_cannot_tell(void **state)
{
    struct fixture *f = *state;
    struct cluster_topic s = {.cb = NULL};

    come_up(f);
    cluster_bus_listen(f->bus, &s, CLUSTER_SHARD, SIO_STR("sh"), on_message, f);
    hear(f, f->sub, "SSUBSCRIBE\r\n$2\r\nsh\r\n");
    say(f->sub, "*3\r\n$10\r\nssubscribe\r\n$2\r\nsh\r\n:1\r\n");
    settle(f);
    cluster_bus_unlisten(f->bus, &s);
    cluster_bus_listen(f->bus, &s, CLUSTER_SHARD, SIO_STR("sh"), on_message, f);
    hear(f, f->sub, "SSUBSCRIBE\r\n$2\r\nsh\r\n");
    say(f->sub, "*3\r\n$12\r\nsunsubscribe\r\n$2\r\nsh\r\n:0\r\n"
                "-MOVED 1 192.0.2.1:6379\r\n");
    run_until(f, &f->n_down, 1);
    cluster_bus_unlisten(f->bus, &s);
}

/* It is there, but says nothing. */
static void notices_a_hung_redis(void **state)
{
    struct fixture *f = *state;

    come_up(f);
    hear(f, f->sub, "PING");
    say(f->sub, "*2\r\n$4\r\npong\r\n$0\r\n\r\n");
    hear(f, f->sub, "PING");
    run_until(f, &f->n_down, 1);
}

static void lives_through_rubbish(void **state)
{
    static const char *const rubbish[] = {
        "HTTP/1.1 400 Bad Request\r\n\r\n",
        "+OK\r\n",
        "-ERR nobody asked\r\n",
        ":1\r\n",
        "*3\r\n$9\r\nsubscribe\r\n$4\r\nbase\r\n:1\r\n",
        "*3\r\n:7\r\n:7\r\n:7\r\n",
        "*70000\r\n",
        "*2147483647\r\n",
        "*30000\r\n*30000\r\n*30000\r\n",
        "*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n",
        "$-5\r\n",
    };
    struct fixture *f = *state;

    for (size_t i = 0; i < N_ELEMENTS(rubbish); i++) {
        if (i == 0)
            come_up(f);
        say(f->sub, rubbish[i]);
        run_until(f, &f->n_down, (int)i + 1);
        hang_up(f->sub);
        hear(f, f->sub, "PING");
        say(f->sub, GREETED);
        hear(f, f->sub, "SUBSCRIBE\r\n$4\r\nbase\r\n");
        say(f->sub, "*3\r\n$9\r\nsubscribe\r\n$4\r\nbase\r\n:1\r\n");
        run_until(f, &f->n_up, (int)i + 2);
    }
    /* These are messages, of a kind. */
    say(f->sub, "*3\r\n$7\r\nmessage\r\n$4\r\nbase\r\n:5\r\n"
                "*3\r\n$7\r\nmessage\r\n*0\r\n$1\r\nx\r\n"
                "*3\r\n$8\r\npmessage\r\n$4\r\nbase\r\n$1\r\nx\r\n"
                "*4\r\n$7\r\nmessage\r\n$4\r\nbase\r\n$1\r\nx\r\n$1\r\nx\r\n"
                "*3\r\n$12\r\nsunsubscribe\r\n$4\r\nbase\r\n$-1\r\n"
                "*3\r\n$7\r\nmessage\r\n$3\r\nwho\r\n$1\r\nx\r\n");
    settle(f);
    assert_int_equal(f->n_heard, 0);
    assert_int_equal(f->n_down, N_ELEMENTS(rubbish));
}

static void ends_at_a_message_too_large(void **state)
{
    struct fixture *f = *state;
    char block[1000];

    come_up(f);
    say(f->sub, "*3\r\n$7\r\nmessage\r\n$4\r\nbase\r\n$200000\r\n");
    memset(block, 'x', sizeof(block));
    for (int i = 0; i < 300 && f->n_down == 0; i++) {
        assert_true(i < 250);
        (void)send(f->sub->fd, block, sizeof(block), MSG_NOSIGNAL);
        turn(f);
    }
    assert_int_equal(f->n_down, 1);
    assert_int_equal(f->n_heard, 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

/* Who never listens has one connection. */
static void who_only_publishes_has_one_connection(void **state)
{
    struct fixture *f = *state;
    const struct sio_slice part = {NULL, (const uint8_t *)"body", 4};
    struct cluster_topic topic = {.cb = NULL};

    assert_int_equal(cluster_bus_listen(f->bus, &topic, CLUSTER_CHANNEL, SIO_STR("x"),
                                        on_message, f),
                     SIO_ERR_INVAL);
    hear(f, &f->a, "PING");
    say(&f->a, GREETED);
    run_until(f, &f->n_up, 1);
    cluster_bus_publish(f->bus, CLUSTER_CHANNEL, SIO_STR("x"), &part, 1, NULL, NULL);
    hear(f, &f->a, "PUBLISH\r\n$1\r\nx\r\n$4\r\nbody\r\n");
    assert_true(cluster_bus_silent_ms(f->bus) < 60000);
    take(f, &f->b);
    assert_true(f->b.fd < 0);
    hang_up(&f->a);
    run_until(f, &f->n_down, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(refuses_a_wrong_url),
        TEST(is_up_when_all_is_confirmed),
        TEST(does_not_wait_for_later_topics),
        TEST(hears_what_is_published),
        TEST(topics_change_under_way),
        TEST(a_channel_has_several_topics),
        TEST(listens_again),
        TEST(publishes_parts_as_one),
        TEST(counts_what_is_lost),
        TEST(holds_back_no_more_than_allowed),
        TEST(says_once_what_is_refused),
        TEST(follows_a_moved_channel),
        TEST(tells_a_push_from_an_answer),
        TEST(begins_anew_where_it_cannot_tell),
        TEST(notices_a_hung_redis),
        TEST(lives_through_rubbish),
        TEST(ends_at_a_message_too_large),
        cmocka_unit_test_setup_teardown(who_only_publishes_has_one_connection,
                                        set_up_publisher, tear_down),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
