/*
 * Feeds of the test pattern, each with its thread; and what the agent says of its network.
 */
#include <config.h>

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include <cmocka.h>

#include "agent/capture.h"
#include "agent/feed.h"
#include "agent/network.h"
#include "alloc_fail.h"
#include "base/buf.h"
#include "net/loop.h"

#define TURNS   400
#define TURN_MS 25

struct fixture {
    struct net_loop *loop;
    struct agent_source source;
    struct agent_logins *logins;
    struct agent_feed_options opts;
    unsigned n_pictures; /* told of */
    bool ended;
};

static void on_picture(struct agent_feed *feed, void *user)
{
    struct fixture *f = user;

    (void)feed;
    f->n_pictures++;
}

static void on_error(struct agent_feed *feed, const char *why, void *user)
{
    (void)feed;
    (void)user;
    fail_msg("%s", why);
}

static void on_end(struct agent_feed *feed, void *user)
{
    struct fixture *f = user;

    (void)feed;
    f->ended = true;
}

static void set_up(struct fixture *f)
{
    const struct camera_entry entry = {.id = SIO_STR_INIT("a"),
                                       .url = SIO_STR_INIT("test://")};

    memset(f, 0, sizeof(*f));
    assert_int_equal(agent_source_init(&f->source, &entry, "", "", NULL), SIO_OK);
    f->loop = net_loop_new(NULL, NULL);
    f->logins = agent_logins_new();
    assert_non_null(f->loop);
    assert_non_null(f->logins);
    f->opts = (struct agent_feed_options){
        .source = &f->source,
        .logins = f->logins,
        .shape = {.max_width = 320, .quality = 70, .fps = 30, .max_bytes = 1000000},
        .on_picture = on_picture,
        .on_error = on_error,
        .on_end = on_end,
        .user = f,
    };
}

static void tear_down(struct fixture *f)
{
    net_loop_free(f->loop);
    agent_logins_free(f->logins);
    agent_source_fini(&f->source);
}

static struct sio_buf *next_picture(struct fixture *f, struct agent_feed *feed)
{
    struct sio_buf *jpeg = NULL;
    int64_t wall_us;

    agent_feed_want(feed);
    for (int i = 0; i < TURNS && !jpeg; i++) {
        net_loop_run_once(f->loop, TURN_MS);
        jpeg = agent_feed_take(feed, &wall_us);
    }
    return jpeg;
}

static void a_picture_comes_for_each_wish(void **state)
{
    struct agent_feed *feed;
    struct fixture f;

    (void)state;
    set_up(&f);
    feed = agent_feed_new(f.loop, &f.opts, NULL);
    assert_non_null(feed);
    for (int i = 0; i < 3; i++) {
        struct sio_buf *jpeg = next_picture(&f, feed);

        assert_non_null(jpeg);
        assert_memory_equal(sio_buf_data(jpeg), "\xff\xd8", 2);
        sio_buf_unref(jpeg);
    }
    agent_feed_end(feed);
    for (int i = 0; i < TURNS && !f.ended; i++)
        net_loop_run_once(f.loop, TURN_MS);
    assert_true(f.ended);
    tear_down(&f);
}

static long n_waits(void)
{
    struct rusage usage;

    getrusage(RUSAGE_SELF, &usage);
    return usage.ru_nvcsw;
}

static void a_feed_of_which_nothing_is_wanted_sleeps(void **state)
{
    struct agent_feed *feed;
    struct fixture f;
    long before;

    (void)state;
    set_up(&f);
    feed = agent_feed_new(f.loop, &f.opts, NULL);
    assert_non_null(feed);
    sio_buf_unref(next_picture(&f, feed));
    before = n_waits();
    usleep(500000);
    assert_true(n_waits() - before < 10);
    agent_feed_stop(feed);
    agent_feed_free(feed);
    tear_down(&f);
}

/* Where the agent cannot start it is freed before the loop, which still has its posts. */
static void what_the_loop_still_has_of_a_freed_feed_does_no_harm(void **state)
{
    struct agent_feed *feed;
    struct fixture f;

    (void)state;
    set_up(&f);
    for (int i = 0; i < 2; i++) {
        feed = agent_feed_new(f.loop, &f.opts, NULL);
        assert_non_null(feed);
        if (i == 0)
            sio_buf_unref(next_picture(&f, feed));
        f.n_pictures = 0;
        agent_feed_want(feed);
        agent_feed_stop(feed);
        agent_feed_free(feed);
    }
    tear_down(&f);
    assert_int_equal(f.n_pictures, 0);
    assert_false(f.ended);
}

static void without_memory_there_is_no_feed(void **state)
{
    struct sio_diag diag = {""};
    struct fixture f;

    (void)state;
    set_up(&f);
    alloc_fail_at(1);
    assert_null(agent_feed_new(f.loop, &f.opts, &diag));
    assert_true(alloc_fail_done());
    assert_string_equal(diag.text, "out of memory");
    tear_down(&f);
}

static void a_network_is_told_with_an_address_of_it_or_not_at_all(void **state)
{
    static const char *const hosts[] = {"", "camera.example.test", "::1", "192.0.2.7"};
    struct agent_network n;

    (void)state;
    agent_network_find(&n, NULL, 0);
    assert_int_equal(n.address[0] == '\0', n.network[0] == '\0');
    agent_network_find(&n, hosts, sizeof(hosts) / sizeof(hosts[0]));
    assert_int_equal(n.address[0] == '\0', n.network[0] == '\0');
    if (n.network[0])
        assert_non_null(strchr(n.network, '/'));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_picture_comes_for_each_wish),
        cmocka_unit_test(a_feed_of_which_nothing_is_wanted_sleeps),
        cmocka_unit_test(what_the_loop_still_has_of_a_freed_feed_does_no_harm),
        cmocka_unit_test(without_memory_there_is_no_feed),
        cmocka_unit_test(a_network_is_told_with_an_address_of_it_or_not_at_all),
    };

    agent_capture_setup();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
