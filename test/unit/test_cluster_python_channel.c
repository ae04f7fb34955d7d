/*
 * What processes with python-socketio say, carried out on a server whose bus is the
 * test's.
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
#include "base/str.h"
#include "cluster/local.h"
#include "fake_bus.h"
#include "sio_world.h"

struct fixture {
    struct sio_world w;
    struct sio_cluster *cluster;
    struct eio_session *in_1, *in_2;
    struct sio_socket *s1, *s2;
    size_t n_ours; /* messages that were the test's */
};

static int set_up(void **state)
{
    static struct fixture f;
    struct sio_cluster_options opts = {.redis_url = "redis://localhost",
                                       .python_channel = "socketio"};
    struct sio_server_options server = {.adapter = sio_cluster_adapter};

    memset(&f, 0, sizeof(f));
    f.w.loop = net_loop_new(NULL, NULL);
    f.cluster = sio_cluster_new(f.w.loop, &opts, NULL);
    assert_non_null(f.cluster);
    server.adapter_user = f.cluster;
    f.w.server = sio_server_new(f.w.loop, &server, NULL);
    f.w.ns = sio_server_namespace(f.w.server, "/", &sio_world_ops, &f.w);
    assert_non_null(f.w.ns);
    assert_non_null(sio_server_namespace(f.w.server, "/chat", &sio_world_ops, &f.w));
    f.in_1 = sio_world_join(&f.w, "", &f.s1);
    f.in_2 = sio_world_join(&f.w, "", &f.s2);
    *state = &f;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *f = *state;

    sio_server_free(f->w.server);
    sio_cluster_free(f->cluster);
    net_loop_run_once(f->w.loop, 0);
    net_loop_free(f->w.loop);
    assert_int_equal(fake_bus_n_topics(), 0);
    fake_bus_reset();
    fake_reset();
    return 0;
}

static void say_bytes(struct fixture *f, const void *bytes, size_t len)
{
    f->n_ours++;
    fake_bus_say("socketio", bytes, len);
    fake_bus_run();
}

/* %1 and %2 are the ids of the two sockets. */
static void say(struct fixture *f, const char *format)
{
    char text[4096];
    size_t n = 0;

    for (; *format && n < sizeof(text) - 64; format++) {
        if (format[0] == '%') {
            struct sio_str id = sio_socket_id(*++format == '1' ? f->s1 : f->s2);

            memcpy(text + n, id.ptr, id.len);
            n += id.len;
        } else {
            text[n++] = *format;
        }
    }
    say_bytes(f, text, n);
}

static struct sio_cluster_stats stats_of(const struct fixture *f)
{
    struct sio_cluster_stats stats;

    sio_cluster_stats(f->cluster, &stats);
    return stats;
}

#define EMIT "{\"method\": \"emit\", \"event\": \"e\", \"data\": [1], \"binary\": false"

static void emits_to_whom_it_is_for(void **state)
{
    struct fixture *f = *state;

    sio_socket_join(f->s1, SIO_STR("r"));
    say(f, EMIT ", \"namespace\": \"/\", \"room\": null}");
    assert_string_equal(fake_sent(f->in_1), "2[\"e\",1]");
    assert_string_equal(fake_sent(f->in_2), "2[\"e\",1]");
    say(f, EMIT ", \"room\": \"r\"}");
    assert_string_equal(fake_sent(f->in_1), "2[\"e\",1]");
    assert_string_equal(fake_sent(f->in_2), "");
    say(f, EMIT ", \"room\": [\"r\", \"%2\"]}");
    assert_string_equal(fake_sent(f->in_1), "2[\"e\",1]");
    assert_string_equal(fake_sent(f->in_2), "2[\"e\",1]");
    say(f, EMIT ", \"skip_sid\": [\"%2\", null]}"); /* refused as a whole */
    say(f, EMIT ", \"skip_sid\": [\"%2\", \"x\"]}");
    assert_string_equal(fake_sent(f->in_1), "2[\"e\",1]");
    assert_string_equal(fake_sent(f->in_2), "");
    /* Only sockets are skipped. */
    say(f, EMIT ", \"skip_sid\": \"r\"}");
    assert_string_equal(fake_sent(f->in_1), "2[\"e\",1]");
    assert_string_equal(fake_sent(f->in_2), "2[\"e\",1]");
    say(f, EMIT ", \"namespace\": \"/chat\"}");
    assert_string_equal(fake_sent(f->in_1), "");
    say(f, "{\"method\": \"emit\", \"event\": \"e\", \"data\": [[{\"_placeholder\": "
           "true, \"num\": 0}], \"AAEC\"], \"binary\": true, \"room\": \"%1\"}");
    assert_string_equal(fake_sent(f->in_1),
                        "51-[\"e\",{\"_placeholder\": true, \"num\": 0}]|<3 bytes>");
    /* Nothing of it went on to the others. */
    assert_int_equal(fake_bus_n(), 0);
    assert_int_equal(stats_of(f).n_sent, 0);
    assert_int_equal(stats_of(f).n_rejected, 1);
    assert_int_equal(stats_of(f).n_received, f->n_ours);
}

static void moves_sockets_between_rooms(void **state)
{
    struct fixture *f = *state;

    say(f, "{\"method\": \"enter_room\", \"sid\": \"%1\", \"namespace\": \"/\", "
           "\"room\": \"r\"}");
    say(f, "{\"method\": \"enter_room\", \"sid\": \"%2\", \"room\": \"r\"}");
    assert_int_equal(sio_namespace_room_size(f->w.ns, SIO_STR("r")), 2);
    say(f, "{\"method\": \"leave_room\", \"sid\": \"%1\", \"room\": \"r\"}");
    assert_false(sio_socket_in(f->s1, SIO_STR("r")));
    assert_true(sio_socket_in(f->s2, SIO_STR("r")));
    say(f, "{\"method\": \"enter_room\", \"sid\": \"%1\", \"room\": \"r\"}");
    say(f, "{\"method\": \"close_room\", \"room\": \"r\", \"namespace\": \"/\"}");
    assert_int_equal(sio_namespace_room_size(f->w.ns, SIO_STR("r")), 0);
    /* Of nobody, of another server's. */
    say(f, "{\"method\": \"enter_room\", \"sid\": \"gone\", \"room\": \"r\"}");
    say(f, "{\"method\": \"leave_room\", \"sid\": \"gone\", \"room\": \"r\"}");
    say(f, "{\"method\": \"close_room\", \"room\": \"none\"}");
    /* A socket stays in its own. */
    say(f, "{\"method\": \"close_room\", \"room\": \"%1\"}");
    assert_true(sio_socket_in(f->s1, sio_socket_id(f->s1)));
    assert_int_equal(stats_of(f).n_rejected, 0);
    assert_int_equal(stats_of(f).n_sent, 0);
}

static void disconnects_from_the_namespace(void **state)
{
    struct fixture *f = *state;

    say(f, "{\"method\": \"disconnect\", \"sid\": \"%1\", \"namespace\": \"/\"}");
    assert_string_equal(fake_sent(f->in_1), "1");
    sio_world_expect(&f->w, "disconnect(server namespace disconnect)");
    say(f, "{\"method\": \"disconnect\", \"sid\": \"gone\"}");
    assert_int_equal(sio_namespace_n_sockets(f->w.ns), 1);
    assert_int_equal(stats_of(f).n_rejected, 0);
}

static void answers_whoever_asked(void **state)
{
    struct fixture *f = *state;
    struct sio_slice body;
    static const char expected[] =
        "{\"method\":\"callback\",\"host_id\":\"9b4c\",\"sid\":\"r\",\"namespace\":"
        "\"/\",\"id\":7,\"args\":[\"ok\", {\"a\": [1]}]}";

    sio_socket_join(f->s1, SIO_STR("r"));
    sio_socket_join(f->s2, SIO_STR("r"));
    say(f, EMIT ", \"room\": \"r\", \"callback\": [\"r\", \"/\", 7], "
                "\"host_id\": \"9b4c\"}");
    assert_string_equal(fake_sent(f->in_1), "20[\"e\",1]");
    assert_string_equal(fake_sent(f->in_2), "20[\"e\",1]");
    fake_text(f->in_2, "30[\"ok\", {\"a\": [1]}]");
    assert_string_equal(fake_bus_channel(), "socketio");
    body = fake_bus_body();
    assert_int_equal(body.len, sizeof(expected) - 1);
    assert_memory_equal(body.ptr, expected, body.len);
    /* It comes back to us, too, and is nobody's here; nor is a second answer said. */
    fake_bus_run();
    fake_text(f->in_1, "30[\"late\"]");
    assert_int_equal(fake_bus_n(), 1);
    assert_int_equal(stats_of(f).n_sent, 1);
    assert_int_equal(stats_of(f).n_foreign, 1);
    assert_int_equal(stats_of(f).n_rejected, 0);
}

static void says_nothing_that_cannot_be_said(void **state)
{
    struct fixture *f = *state;

    say(f, EMIT ", \"room\": \"%1\", \"callback\": [\"%1\", \"/\", 7], "
                "\"host_id\": \"9b4c\"}");
    assert_string_equal(fake_sent(f->in_1), "20[\"e\",1]");
    fake_text(f->in_1, "61-0[{\"_placeholder\":true,\"num\":0}]");
    fake_binary(f->in_1, "x", 1);
    assert_int_equal(fake_bus_n(), 0);
    /* Without a name of who asks there is nobody to tell. */
    say(f, EMIT ", \"room\": \"%1\", \"callback\": [\"%1\", \"/\", 7]}");
    assert_string_equal(fake_sent(f->in_1), "2[\"e\",1]");
    /* Who is asked and goes says nothing. */
    say(f, EMIT ", \"room\": \"%1\", \"callback\": [\"%1\", \"/\", 7], "
                "\"host_id\": \"9b4c\"}");
    fake_close(f->in_1, EIO_CLOSE_TRANSPORT_CLOSE);
    sio_world_turn(&f->w);
    assert_int_equal(fake_bus_n(), 0);
}

static void an_event_counts_for_more_than_its_answer(void **state)
{
    struct fixture *f = *state;

    for (unsigned i = 0; i < CLUSTER_MAX_FOREIGN; i++)
        say(f, EMIT ", \"room\": \"%1\", \"callback\": [\"%1\", \"/\", 7], "
                    "\"host_id\": \"9b4c\"}");
    (void)fake_sent(f->in_1);
    say(f, EMIT ", \"room\": \"%2\", \"callback\": [\"%2\", \"/\", 7], "
                "\"host_id\": \"9b4c\"}");
    assert_string_equal(fake_sent(f->in_2), "2[\"e\",1]");
    /* Nor do other servers go without one. */
    assert_int_equal(f->cluster->n_foreign, CLUSTER_MAX_FOREIGN / 2);
}

static void counts_what_is_not_for_it(void **state)
{
    struct fixture *f = *state;
    char own[256];
    struct sio_str uid = sio_cluster_uid(f->cluster);

    say(f, EMIT ", \"namespace\": \"/none\"}");
    say(f, "{\"method\": \"callback\", \"host_id\": \"x\", \"id\": 1, \"args\": []}");
    snprintf(own, sizeof(own), EMIT ", \"host_id\": \"%.*s\"}", STR_ARG(uid));
    say(f, own);
    assert_string_equal(fake_sent(f->in_1), "");
    assert_int_equal(stats_of(f).n_foreign, 3);
    assert_int_equal(stats_of(f).n_rejected, 0);
}

static void counts_what_it_does_not_understand(void **state)
{
    struct fixture *f = *state;
    char *large = malloc(8 << 20);

    say_bytes(f, "\x80\x04\x95\x10\x00\x00\x00", 7); /* pickle */
    say(f, "{\"method\": \"eval\"}");
    say(f, "{\"method\": \"emit\", \"event\": \"disconnect\", \"data\": []}");
    say(f, "");
    memset(large, ' ', 8 << 20);
    large[0] = '{';
    say_bytes(f, large, 8 << 20);
    free(large);
    assert_int_equal(stats_of(f).n_rejected, 5);
    assert_int_equal(stats_of(f).n_received, 5);
    assert_string_equal(fake_sent(f->in_1), "");
}

static void survives_want_of_memory(void **state)
{
    struct fixture *f = *state;
    static const char *const texts[] = {
        EMIT ", \"room\": [\"%1\", \"\\n\"], \"skip_sid\": [\"%2\"]}",
        EMIT ", \"room\": \"%1\", \"callback\": [\"%1\", \"/\", 7], \"host_id\": "
             "\"9b4c\"}",
        "{\"method\": \"enter_room\", \"sid\": \"%1\", \"room\": \"r\"}",
        "{\"method\": \"close_room\", \"room\": \"r\"}",
    };

    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
        alloc_fail_each(n) say(f, texts[i]);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(emits_to_whom_it_is_for),
        TEST(moves_sockets_between_rooms),
        TEST(disconnects_from_the_namespace),
        TEST(answers_whoever_asked),
        TEST(says_nothing_that_cannot_be_said),
        TEST(an_event_counts_for_more_than_its_answer),
        TEST(counts_what_is_not_for_it),
        TEST(counts_what_it_does_not_understand),
        TEST(survives_want_of_memory),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
