/*
 * The bus on a real redis-server, which the test starts, stops and kills.
 */
#include <config.h>

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/str.h"
#include "cluster/bus.h"
#include "loopback.h"
#include "net/loop.h"

#define N_BUSES 2
#define BIG     ((size_t)8 * 1024 * 1024)

struct world {
    struct net_loop *loop;
    char folder[64];
    char url[128];
    pid_t redis;
    struct cluster_bus *buses[N_BUSES];
    struct cluster_topic topics[N_BUSES][3];
    int n_heard[N_BUSES][3];
    size_t n_bytes;
    uint64_t count;
    int n_counts;
};

static pid_t start_redis(const char *folder)
{
    char path[128];
    pid_t pid;

    snprintf(path, sizeof(path), "%s/sock", folder);
    pid = fork();
    if (pid == 0) {
        if (!freopen("/dev/null", "w", stdout))
            _exit(126);
        execlp("redis-server", "redis-server", "--port", "0", "--unixsocket", path,
               "--dir", folder, "--save", "", (char *)NULL);
        _exit(127);
    }
    return pid;
}

static void end_redis(struct world *w)
{
    kill(w->redis, SIGKILL);
    assert_int_equal(waitpid(w->redis, NULL, 0), w->redis);
}

static void on_message(struct cluster_topic *t, struct sio_str channel,
                       struct sio_slice body, void *user)
{
    struct world *w = user;

    (void)channel;
    for (int i = 0; i < N_BUSES; i++)
        if (t >= w->topics[i] && t < w->topics[i] + 3)
            w->n_heard[i][t->kind]++;
    w->n_bytes += body.len;
}

static void on_count(int status, uint64_t n, void *user)
{
    struct world *w = user;

    assert_int_equal(status, SIO_OK);
    w->count = n;
    w->n_counts++;
}

static void wait_up(struct world *w)
{
    for (int i = 0; i < N_BUSES; i++)
        RUN_WHILE(w->loop, !cluster_bus_is_up(w->buses[i]));
}

static int set_up(void **state)
{
    static struct world w;
    static const struct sio_str names[] = {
        SIO_STR_INIT("plain#/#"), SIO_STR_INIT("p[a]t?n#*"), SIO_STR_INIT("s#/")};
    struct cluster_bus_options opts = {.max_unsent = 2 * BIG};

    memset(&w, 0, sizeof(w));
    strcpy(w.folder, "/tmp/test_bus_XXXXXX");
    if (!mkdtemp(w.folder))
        return -1;
    snprintf(w.url, sizeof(w.url), "unix://%s/sock", w.folder);
    w.redis = start_redis(w.folder);
    w.loop = net_loop_new(NULL, NULL);
    opts.url = sio_str_from(w.url);
    for (int i = 0; i < N_BUSES; i++) {
        w.buses[i] = cluster_bus_new(w.loop, &opts, NULL);
        assert_non_null(w.buses[i]);
        for (int k = 0; k < 3; k++)
            assert_int_equal(cluster_bus_listen(w.buses[i], &w.topics[i][k],
                                                (enum cluster_topic_kind)k, names[k],
                                                on_message, &w),
                             SIO_OK);
    }
    *state = &w;
    return 0;
}

static int tear_down(void **state)
{
    struct world *w = *state;
    char path[128];

    for (int i = 0; i < N_BUSES; i++) {
        for (int k = 0; k < 3; k++)
            cluster_bus_unlisten(w->buses[i], &w->topics[i][k]);
        cluster_bus_free(w->buses[i]);
    }
    net_loop_free(w->loop);
    end_redis(w);
    snprintf(path, sizeof(path), "%s/sock", w->folder);
    unlink(path);
    return rmdir(w->folder);
}

static void publish(struct world *w, enum cluster_topic_kind kind, const char *channel,
                    struct sio_slice body)
{
    int n = w->n_counts + 1;

    assert_int_equal(cluster_bus_publish(w->buses[0], kind, sio_str_from(channel),
                                         &body, 1, on_count, w),
                     SIO_OK);
    RUN_WHILE(w->loop, w->n_counts < n);
}

static void all_kinds_are_heard_by_all(void **state)
{
    struct world *w = *state;
    const struct sio_slice body = {NULL, (const uint8_t *)"x", 1};
    static const char *const channels[] = {"plain#/#", "paten#1", "s#/"};

    wait_up(w);
    for (int k = 0; k < 3; k++) {
        publish(w, (enum cluster_topic_kind)k, channels[k], body);
        assert_int_equal(w->count, N_BUSES);
        RUN_WHILE(w->loop, w->n_heard[0][k] < 1 || w->n_heard[1][k] < 1);
    }
    publish(w, CLUSTER_CHANNEL, "ptn#1", body); /* no such name */
    assert_int_equal(w->count, 0);
    cluster_bus_unlisten(w->buses[1], &w->topics[1][2]);
    w->count = N_BUSES;
    for (int i = 0; i < 1000 && w->count != 1;
         i++) { /* Redis need not have read it yet */
        int n = w->n_counts + 1;

        assert_int_equal(
            cluster_bus_count(w->buses[0], CLUSTER_SHARD, SIO_STR("s#/"), on_count, w),
            SIO_OK);
        RUN_WHILE(w->loop, w->n_counts < n);
    }
    assert_int_equal(w->count, 1);
}

static void large_messages_pass(void **state)
{
    struct world *w = *state;
    struct sio_buf *buf = sio_buf_new(BIG);

    memset(sio_buf_data(buf), 'x', BIG);
    wait_up(w);
    publish(w, CLUSTER_CHANNEL, "plain#/#", sio_slice_of(buf));
    RUN_WHILE(w->loop, w->n_bytes < N_BUSES * BIG);
    assert_int_equal(w->n_bytes, N_BUSES * BIG);
    sio_buf_unref(buf);
}

static void a_killed_redis_is_used_again(void **state)
{
    struct world *w = *state;
    const struct sio_slice body = {NULL, (const uint8_t *)"x", 1};

    wait_up(w);
    end_redis(w);
    RUN_WHILE(w->loop,
              cluster_bus_is_up(w->buses[0]) || cluster_bus_is_up(w->buses[1]));
    w->redis = start_redis(w->folder);
    wait_up(w);
    publish(w, CLUSTER_SHARD, "s#/", body);
    assert_int_equal(w->count, N_BUSES);
    RUN_WHILE(w->loop, w->n_heard[0][2] < 1 || w->n_heard[1][2] < 1);
}

static void a_hung_redis_is_noticed(void **state)
{
    struct world *w = *state;
    const struct sio_slice body = {NULL, (const uint8_t *)"x", 1};

    wait_up(w);
    kill(w->redis, SIGSTOP);
    RUN_WHILE(w->loop,
              cluster_bus_is_up(w->buses[0]) || cluster_bus_is_up(w->buses[1]));
    kill(w->redis, SIGCONT);
    wait_up(w);
    publish(w, CLUSTER_CHANNEL, "plain#/#", body);
    RUN_WHILE(w->loop, w->n_heard[0][0] < 1 || w->n_heard[1][0] < 1);
}

/* 1: there is no redis-server. */
static int look_for_redis(void)
{
    return system("redis-server --version >/dev/null 2>&1") != 0; /* NOLINT */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(all_kinds_are_heard_by_all, set_up, tear_down),
        cmocka_unit_test_setup_teardown(large_messages_pass, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_killed_redis_is_used_again, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(a_hung_redis_is_noticed, set_up, tear_down),
    };

    if (look_for_redis())
        return 77;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
