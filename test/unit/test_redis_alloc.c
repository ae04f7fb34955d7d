/*
 * What stands on a Redis, with each allocation failing once: who asked is answered, and all
 * of it comes up and works.  The Redis is the test's own, and allocates nothing.
 */
#include <config.h>

#include <ctype.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "alloc_fail.h"
#include "base/str.h"
#include "cluster/bus.h"
#include "net/loop.h"
#include "store/store.h"

#define MAX_TURNS 5000
#define N_CLIENTS 12
#define MAX_ARGS  8

#define TEXT(literal) \
    ((struct sio_slice){NULL, (const uint8_t *)(literal), sizeof(literal) - 1})

struct client {
    int fd; /* -1: none */
    bool subscribed;
    size_t n;
    char in[16384];
};

struct world {
    struct net_loop *loop;
    int listener;
    int second; /* at another address: of a cluster, the other node; -1: none */
    char url[64];
    char slots[128];
    struct client clients[N_CLIENTS];
};

/* The Redis. */

/* A number behind one character, with its line end.  NULL: it is not complete. */
static const char *read_number(const char *p, const char *end, size_t *out)
{
    const char *line_end = p < end ? memchr(p, '\n', (size_t)(end - p)) : NULL;

    *out = line_end ? strtoul(p + 1, NULL, 10) : 0;
    return line_end ? line_end + 1 : NULL;
}

/* One command.  Returns its length; 0: it is not complete. */
static size_t read_command(const struct client *c, struct sio_str args[MAX_ARGS])
{
    const char *end = c->in + c->n;
    size_t n, len;
    const char *p = read_number(c->in, end, &n);

    memset(args, 0, MAX_ARGS * sizeof(*args));
    assert_true(n <= MAX_ARGS);
    for (size_t i = 0; p && i < n; i++) {
        p = read_number(p, end, &len);
        if (!p || (size_t)(end - p) < len + 2)
            return 0;
        args[i] = (struct sio_str){p, len};
        p += len + 2;
    }
    return p ? (size_t)(p - c->in) : 0;
}

static void subscribed(struct client *c, const struct sio_str args[2], char out[512])
{
    char word[32];
    size_t i = 0;

    for (; i < args[0].len; i++)
        word[i] = (char)tolower((unsigned char)args[0].ptr[i]);
    word[i] = '\0';
    c->subscribed = true;
    snprintf(out, 512, "*3\r\n$%zu\r\n%s\r\n$%zu\r\n%.*s\r\n:1\r\n", strlen(word), word,
             args[1].len, STR_ARG(args[1]));
}

static void answer(const struct world *w, struct client *c,
                   const struct sio_str args[MAX_ARGS])
{
    const struct {
        const char *word, *answer;
    } answers[] = {
        {"HELLO", w->second < 0 ? "-ERR unknown command\r\n"
                                : "*2\r\n$4\r\nmode\r\n$7\r\ncluster\r\n"},
        {"CLUSTER", w->slots},
        {"PUBLISH", ":1\r\n"},
        {"PUBSUB", "*2\r\n$1\r\nx\r\n:1\r\n"},
        {"GETRANGE", "$1\r\n5\r\n"},
        {"PTTL", ":100000\r\n"},
        {"SCAN", "*2\r\n$1\r\n0\r\n*1\r\n$5\r\npic:z\r\n"},
    };
    char out[512] = "+OK\r\n";

    if (args[0].len > 9 || str_eq_cstr(args[0], "SUBSCRIBE"))
        subscribed(c, args, out);
    else if (str_eq_cstr(args[0], "PING"))
        strcpy(out, c->subscribed ? "*2\r\n$4\r\npong\r\n$0\r\n\r\n" : "+PONG\r\n");
    for (size_t i = 0; i < N_ELEMENTS(answers); i++)
        if (str_eq_cstr(args[0], answers[i].word))
            strcpy(out, answers[i].answer);
    assert_int_equal(send(c->fd, out, strlen(out), MSG_NOSIGNAL), strlen(out));
}

static void serve_client(struct world *w, struct client *c)
{
    struct sio_str args[MAX_ARGS];
    ssize_t n;
    size_t len;

    if (c->fd < 0) {
        *c = (struct client){
            .fd = accept4(w->listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)};
        if (c->fd < 0 && w->second >= 0)
            c->fd = accept4(w->second, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
        return;
    }
    n = recv(c->fd, c->in + c->n, sizeof(c->in) - 1 - c->n, 0);
    if (n == 0) {
        close(c->fd);
        c->fd = -1;
        return;
    }
    c->n += n > 0 ? (size_t)n : 0;
    c->in[c->n] = '\0';
    while ((len = read_command(c, args)) > 0) {
        answer(w, c, args);
        c->n -= len;
        memmove(c->in, c->in + len, c->n + 1);
    }
}

/* A turn of the loop, and all that Redis has to do. */
static void turn(struct world *w)
{
    assert_int_equal(net_loop_run_once(w->loop, 2), SIO_OK);
    for (size_t i = 0; i < N_CLIENTS; i++)
        serve_client(w, &w->clients[i]);
}

#define TURN_WHILE(w, condition)              \
    do {                                      \
        for (int i_ = 0; (condition); i_++) { \
            assert_true(i_ < MAX_TURNS);      \
            turn(w);                          \
        }                                     \
    } while (0)

static int open_listener(uint32_t address, uint16_t *port)
{
    struct sockaddr_in in = {.sin_family = AF_INET, .sin_port = htons(*port)};
    socklen_t len = sizeof(in);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

    in.sin_addr.s_addr = htonl(address);
    assert_int_equal(bind(fd, (struct sockaddr *)&in, sizeof(in)), 0);
    assert_int_equal(listen(fd, 8), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&in, &len), 0);
    *port = ntohs(in.sin_port);
    return fd;
}

static int set_up(void **state)
{
    static struct world w;
    uint16_t port = 0;

    memset(&w, 0, sizeof(w));
    for (size_t i = 0; i < N_CLIENTS; i++)
        w.clients[i].fd = -1;
    w.listener = open_listener(INADDR_LOOPBACK, &port);
    w.second = -1;
    snprintf(w.url, sizeof(w.url), "redis://u:p@127.0.0.1:%d/1", port);
    w.loop = net_loop_new(NULL, NULL);
    *state = &w;
    return w.loop ? 0 : -1;
}

/* "x" and half of the keys are at 127.0.0.2. */
static int set_up_cluster(void **state)
{
    struct world *w;
    uint16_t port;
    int rv = set_up(state);

    w = *state;
    port = (uint16_t)strtoul(strrchr(w->url, ':') + 1, NULL, 10);
    w->second = open_listener(INADDR_LOOPBACK + 1, &port);
    snprintf(w->slots, sizeof(w->slots),
             "*2\r\n*3\r\n:0\r\n:8191\r\n*2\r\n$0\r\n\r\n:%d\r\n"
             "*3\r\n:8192\r\n:16383\r\n*2\r\n$9\r\n127.0.0.2\r\n:%d\r\n",
             port, port);
    return rv;
}

static int tear_down(void **state)
{
    struct world *w = *state;

    net_loop_free(w->loop);
    for (size_t i = 0; i < N_CLIENTS; i++)
        if (w->clients[i].fd >= 0)
            close(w->clients[i].fd);
    close(w->listener);
    if (w->second >= 0)
        close(w->second);
    return 0;
}

/* The bus. */

static void on_message(struct cluster_topic *t, struct sio_str channel,
                       struct sio_slice body, void *user)
{
    (void)t;
    (void)channel;
    (void)body;
    (void)user;
}

static void on_count(int status, uint64_t n, void *user)
{
    int *n_answers = user;

    assert_int_equal(status, SIO_OK);
    assert_true(n == 1 || n == 2); /* in a cluster: of each node */
    ++*n_answers;
}

static void use_bus(struct world *w, struct cluster_bus *bus)
{
    const struct sio_slice part = TEXT("body");
    struct cluster_topic topics[3] = {{.cb = NULL}};
    int n_asked = 0, n_answers = 0;

    for (unsigned i = 0; i < 3; i++)
        (void)cluster_bus_listen(bus, &topics[i], i, SIO_STR("x"), on_message, w);
    TURN_WHILE(w, !cluster_bus_is_up(bus));
    for (unsigned i = 0; i < 3; i++)
        assert_int_equal(topics[i].confirmed, topics[i].channel != NULL);
    n_asked += cluster_bus_publish(bus, CLUSTER_CHANNEL, SIO_STR("x"), &part, 1,
                                   on_count, &n_answers) == SIO_OK;
    n_asked += cluster_bus_publish(bus, CLUSTER_CHANNEL, SIO_STR("x"), &part, 1, NULL,
                                   NULL) < 0;
    n_asked += cluster_bus_count(bus, CLUSTER_CHANNEL, SIO_STR("x"), on_count,
                                 &n_answers) == SIO_OK;
    assert_true(n_asked >= 1);
    TURN_WHILE(w, n_answers < n_asked && n_answers < 2 && cluster_bus_is_up(bus));
    for (unsigned i = 0; i < 3; i++)
        cluster_bus_unlisten(bus, &topics[i]);
}

static void a_bus_comes_up_and_works(void **state)
{
    struct world *w = *state;
    const struct cluster_bus_options opts = {.url = sio_str_from(w->url)};

    alloc_fail_each(n)
    {
        struct cluster_bus *bus = cluster_bus_new(w->loop, &opts, NULL);

        if (bus)
            use_bus(w, bus);
        cluster_bus_free(bus);
    }
}

/* The store. */

struct answers {
    int n;
    int n_found;
};

static void on_get(int status, const struct store_entry *entry, void *user)
{
    struct answers *a = user;

    a->n++;
    a->n_found += status == SIO_OK && entry != NULL;
}

static void on_list(int status, const struct store_entry *entry, void *user)
{
    struct answers *a = user;

    (void)status;
    a->n += entry == NULL;
}

static void on_written(struct sio_str key, void *user)
{
    (void)key;
    ++*(int *)user;
}

static void use_store(struct world *w, struct store *s, const int *n_written)
{
    const struct sio_slice value = TEXT("\"v\"");
    struct answers got = {0}, listed = {0};
    bool put;

    put = store_put(s, SIO_STR("pic:a"), value, 300) == SIO_OK;
    TURN_WHILE(w, store_state(s) != STORE_UP);
    put = store_put(s, SIO_STR("pic:b"), value, 300) == SIO_OK && put;
    store_get(s, SIO_STR("pic:b"), on_get, &got);
    store_get(s, SIO_STR("pic:q"), on_get, &got);
    store_stale(s, SIO_STR("pic:a"));
    store_get(s, SIO_STR("pic:a"), on_get, &got);
    store_list(s, SIO_STR("pic:"), on_list, &listed);
    TURN_WHILE(w, got.n < 3 || listed.n < 1);
    assert_true(got.n_found >= 1);
    if (put) /* what a lost connection has cost is written again */
        TURN_WHILE(w, *n_written < 1);
    assert_int_equal(got.n, 3);
    assert_int_equal(listed.n, 1);
}

static void a_store_comes_up_and_works(void **state)
{
    static const struct store_redis_kind kinds[] = {{SIO_STR_INIT("pic:"), 300}};
    struct world *w = *state;
    int n_written = 0;
    const struct store_redis_options opts = {
        .url = sio_str_from(w->url),
        .kinds = kinds,
        .n_kinds = 1,
        .max_bytes = 1 << 20,
        .max_value = 1000,
        .max_keys = 10,
        .on_written = on_written,
        .user = &n_written,
    };

    alloc_fail_each(n)
    {
        struct store *s = store_redis_new(w->loop, &opts, NULL);

        n_written = 0;
        if (s)
            use_store(w, s, &n_written);
        store_free(s);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_bus_comes_up_and_works, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_store_comes_up_and_works, set_up, tear_down),
        {"a_bus_of_a_cluster", a_bus_comes_up_and_works, set_up_cluster, tear_down,
         NULL},
        {"a_store_in_a_cluster", a_store_comes_up_and_works, set_up_cluster, tear_down,
         NULL},
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
