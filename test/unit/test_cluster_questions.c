/*
 * What a server asks the others of a cluster, and what they ask of it, over a bus that is
 * the test's.
 */
#include <config.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "alloc_fail.h"
#include "cluster/codec.h"
#include "cluster/local.h"
#include "cluster/questions.h"
#include "cluster_world.h"
#include "socketio/namespace.h"

static struct sio_cluster *open_world(struct sio_world *w, uint32_t timeout_ms,
                                      bool direct)
{
    struct sio_cluster_options opts = {.request_timeout_ms = timeout_ms,
                                       .direct_answers = direct};

    return cluster_world_open(w, &opts, NULL);
}

static void open_two(struct two *t)
{
    two_open(t, SIO_CLUSTER_PUBSUB);
}

static void say(const char *channel, const char *text)
{
    fake_bus_say(channel, text, strlen(text));
    fake_bus_run();
}

/* Questions to clients */

static void answers_come_from_all_servers(void **state)
{
    struct sio_message *m = sio_message_new("q");
    struct eio_session *in_a, *b1, *b2;
    struct two t;

    (void)state;
    open_two(&t);
    in_a = sio_world_join(&t.a, "", NULL);
    b1 = sio_world_join(&t.b, "", NULL);
    b2 = sio_world_join(&t.b, "", NULL);
    assert_int_equal(sio_namespace_emit_ack(t.a.ns, NULL, m, 500, note_answers, &t.a),
                     SIO_OK);
    assert_string_equal(fake_bus_channel(), "socket.io-request#/#");
    fake_bus_run();
    assert_string_equal(fake_sent(in_a), "20[\"q\"]");
    assert_string_equal(fake_sent(b1), "20[\"q\"]");
    fake_text(b1, "30[\"b1\"]");
    fake_bus_run();
    fake_text(in_a, "30[\"a\"]");
    sio_world_expect(&t.a, "");
    fake_text(b2, "61-0[{\"_placeholder\":true,\"num\":0}]");
    fake_binary(b2, "xyz", 3);
    fake_bus_run();
    sio_world_expect(&t.a, "all(\"a\",\"b1\",{\"_placeholder\":true,\"num\":0})");
    assert_int_equal(stats_of(t.of_a).n_rejected, 0);
    assert_int_equal(stats_of(t.of_a).n_timeouts, 0);

    /* Nobody is there: the servers say so. */
    assert_int_equal(sio_namespace_emit_ack(
                         t.a.ns,
                         &(struct sio_target){.rooms = &SIO_STR("none"), .n_rooms = 1},
                         m, 500, note_answers, &t.a),
                     SIO_OK);
    fake_bus_run();
    sio_world_expect(&t.a, "all()");
    sio_message_free(m);
    two_close(&t);
}

static void who_is_silent_is_not_waited_for(void **state)
{
    struct sio_message *m = sio_message_new("q");
    struct eio_session *in_b;
    struct two t;

    (void)state;
    open_two(&t);
    in_b = sio_world_join(&t.b, "", NULL);
    sio_world_join(&t.b, "", NULL);
    sio_namespace_emit_ack(t.a.ns, NULL, m, 20, note_answers, &t.a);
    fake_bus_run();
    fake_text(in_b, "30[1]");
    fake_bus_run();
    run_until_noted(&t.a);
    sio_world_expect(&t.a, "timeout(1)");
    assert_int_equal(stats_of(t.of_a).n_timeouts, 1);
    net_loop_run_once(t.b.loop, 30); /* it has stopped waiting, too */
    sio_message_free(m);
    two_close(&t);
}

static void a_server_that_is_not_there_any_more_is_missed(void **state)
{
    struct sio_message *m = sio_message_new("q");
    struct two t;

    (void)state;
    cluster_world_close(&t.a, (t.of_a = open_world(&t.a, 0, false)));
    t.of_a = open_world(&t.a, 10, false);
    t.of_b = open_world(&t.b, 10, false);
    fake_bus_others(2);
    sio_namespace_side_emit(t.a.ns, m, 0, note_answers, &t.a);
    fake_bus_run();
    run_until_noted(&t.a);
    sio_world_expect(&t.a, "timeout()");
    assert_int_equal(stats_of(t.of_a).n_timeouts, 3);
    sio_message_free(m);
    two_close(&t);
}

/* Lists */

static void sockets_of_all_servers_are_listed(void **state)
{
    struct sio_socket *s;
    struct two t;

    (void)state;
    open_two(&t);
    sio_world_join(&t.a, "", NULL);
    sio_world_join(&t.b, "", &s);
    sio_socket_join(s, SIO_STR("r"));
    sio_socket_set_attributes(s, SIO_STR("{\"u\":1}"));
    sio_namespace_fetch(t.a.ns, NULL, note_fetched, &t.a);
    sio_world_expect(&t.a, "");
    fake_bus_run();
    sio_world_expect(&t.a, "all(here1,there2{\"u\":1})");
    two_close(&t);
}

/* Nobody is told before the subscription is there whether it counts. */
static void this_server_does_not_count_itself(void **state)
{
    struct two t;

    (void)state;
    fake_bus_confirm(false);
    open_two(&t);
    sio_namespace_fetch(t.a.ns, NULL, note_fetched, &t.a);
    fake_bus_run();
    sio_world_expect(&t.a, "all()");
    two_close(&t);
}

/* Side emits */

static void servers_speak_to_each_other(void **state)
{
    struct sio_message *m = sio_message_newf("hello", "i", 7);
    char text[200];
    struct two t;

    (void)state;
    open_two(&t);
    sio_namespace_on_side_emit(t.a.ns, note_side, &t.a);
    sio_namespace_on_side_emit(t.b.ns, note_side, &t.b);
    sio_namespace_side_emit(t.a.ns, m, 0, NULL, NULL);
    snprintf(text, sizeof(text),
             "{\"type\":6,\"uid\":\"%.20s\",\"data\":[\"hello\",7]}",
             sio_cluster_uid(t.of_a).ptr);
    expect_body(text);
    fake_bus_run();
    sio_world_expect(&t.b, "side(hello)");
    sio_world_expect(&t.a, "");
    assert_int_equal(fake_bus_n(), 1);
    sio_namespace_side_emit(t.a.ns, m, 0, note_answers, &t.a);
    fake_bus_run();
    sio_world_expect(&t.b, "side(hello)");
    sio_world_expect(&t.a, "all(\"here\")");

    /* As node asks, and answers without an argument. */
    say("socket.io-request#/#",
        "{\"uid\":\"n\",\"requestId\":\"q\",\"type\":6,\"data\":[\"e\",{\"a\":[1]}]}");
    sio_world_expect(&t.a, "side(e)");
    assert_string_equal(fake_bus_channel(), "socket.io-response#/#n#");
    expect_body("{\"type\":6,\"requestId\":\"q\",\"data\":\"here\"}");
    say("socket.io-request#/#", "{\"type\":6,\"uid\":\"n\",\"data\":[]}");
    say("socket.io-request#/#", "{\"type\":6,\"uid\":\"n\",\"data\":{}}");
    assert_int_equal(stats_of(t.of_a).n_rejected, 2);
    sio_message_free(m);
    two_close(&t);
}

static void take(struct sio_namespace *ns, struct sio_event *e, void *user)
{
    (void)ns;
    *(struct sio_ack **)user = sio_event_take_ack(e);
}

static void an_answer_may_come_later(void **state)
{
    struct sio_message *m = sio_message_new("");
    struct sio_ack *ack = NULL;
    struct two t;

    (void)state;
    open_two(&t);
    sio_namespace_on_side_emit(t.b.ns, take, &ack);
    sio_namespace_side_emit(t.a.ns, m, 0, note_answers, &t.a);
    fake_bus_run();
    assert_non_null(ack);
    assert_int_equal(sio_ack_send(ack, NULL), SIO_OK);
    fake_bus_run();
    sio_world_expect(&t.a, "all()");
    net_loop_run_once(t.b.loop, 10);

    /* Bytes are nothing that JSON can say. */
    sio_namespace_side_emit(t.a.ns, m, 0, note_answers, &t.a);
    fake_bus_run();
    sio_message_free(m);
    m = sio_message_newf("", "B", (struct sio_slice){NULL, (const uint8_t *)"x", 1});
    assert_int_equal(sio_ack_send(ack, m), SIO_ERR_UNSUPPORTED);
    assert_int_equal(sio_namespace_side_emit(t.a.ns, m, 0, NULL, NULL),
                     SIO_ERR_UNSUPPORTED);
    assert_int_equal(sio_namespace_side_emit(t.a.ns, m, 0, note_answers, &t.a),
                     SIO_ERR_UNSUPPORTED);
    sio_message_free(m);

    /* Asked when the server has ended. */
    m = sio_message_new("");
    sio_namespace_side_emit(t.a.ns, m, 0, note_answers, &t.a);
    fake_bus_run();
    cluster_world_close(&t.b, t.of_b);
    assert_int_equal(sio_ack_send(ack, m), SIO_ERR_CLOSED);
    t.of_b = open_world(&t.b, 0, false);
    sio_message_free(m);
    two_close(&t);
}

/* Redis */

static void without_redis_each_server_is_alone(void **state)
{
    struct sio_message *m = sio_message_new("m");
    struct eio_session *in_a;
    struct two t;

    (void)state;
    open_two(&t);
    in_a = sio_world_join(&t.a, "", NULL);

    /* It goes while questions are open. */
    sio_namespace_fetch(t.a.ns, NULL, note_fetched, &t.a);
    sio_namespace_emit_ack(t.a.ns, NULL, m, 0, note_answers, &t.a);
    fake_text(in_a, "30[1]");
    sio_world_expect(&t.a, "");
    fake_bus_down();
    sio_world_expect(&t.a, "closed(here1) closed(1)");
    fake_sent(in_a);

    assert_int_equal(sio_namespace_emit(t.a.ns, NULL, m), 1);
    assert_string_equal(fake_sent(in_a), "2[\"m\"]");
    assert_int_equal(stats_of(t.of_a).n_dropped, 1);
    sio_namespace_fetch(t.a.ns, NULL, note_fetched, &t.a);
    sio_namespace_side_emit(t.a.ns, m, 0, note_answers, &t.a);
    sio_world_expect(&t.a, "closed(here1) closed()");
    assert_int_equal(sio_namespace_join_all(t.a.ns, NULL, &SIO_STR("r"), 1),
                     SIO_ERR_CLOSED);
    assert_int_equal(sio_namespace_room_size(t.a.ns, SIO_STR("r")), 1);

    fake_bus_up();
    fake_bus_hang(1000);
    sio_namespace_fetch(t.a.ns, NULL, note_fetched, &t.a);
    sio_namespace_side_emit(t.a.ns, m, 0, note_answers, &t.a);
    sio_world_expect(&t.a, "timeout(here2) timeout()");
    fake_bus_hang(0);
    fake_bus_refuse(SIO_ERR_FULL);
    assert_int_equal(sio_namespace_emit(t.a.ns, NULL, m), 1);
    sio_namespace_fetch(t.a.ns, NULL, note_fetched, &t.a);
    sio_world_expect(&t.a, "full(here2)");
    fake_bus_refuse(SIO_OK);
    fake_bus_refuse_counts(true);
    sio_namespace_fetch(t.a.ns, NULL, note_fetched, &t.a);
    fake_bus_run();
    sio_world_expect(&t.a, "closed(here2)");
    sio_message_free(m);
    two_close(&t);
}

/* A server has not answered when Redis goes. */
static void who_waits_is_told_that_redis_has_gone(void **state)
{
    struct sio_message *m = sio_message_new("q");
    struct two t;

    (void)state;
    open_two(&t);
    fake_bus_others(1);
    sio_namespace_fetch(t.a.ns, NULL, note_fetched, &t.a);
    sio_namespace_side_emit(t.a.ns, m, 0, note_answers, &t.a);
    sio_namespace_emit_ack(t.a.ns, NULL, m, 0, note_answers, &t.a);
    fake_bus_run();
    sio_world_expect(&t.a, "");
    fake_bus_down();
    sio_world_expect(&t.a, "closed() closed() closed()");
    assert_int_equal(stats_of(t.of_a).n_timeouts, 0);
    sio_message_free(m);
    two_close(&t);
}

/* Others ask more than anybody here answers. */
static void what_others_ask_is_bounded(void **state)
{
    static const char question[] = "\x85\xa3uid\xa1n\xa9requestId\xa1q\xa4type\x07"
                                   "\xa6packet\x83\xa4type\x02\xa4"
                                   "data\x91\xa1q\xa3nsp\xa1/\xa4opts\x80";
    struct eio_session *in_a;
    struct two t;

    (void)state;
    open_two(&t);
    in_a = sio_world_join(&t.a, "", NULL);
    for (int i = 0; i < CLUSTER_MAX_FOREIGN + 1; i++)
        fake_bus_say("socket.io-request#/#", question, sizeof(question) - 1);
    fake_bus_run();
    assert_int_equal(stats_of(t.of_a).n_rejected, 1);
    fake_close(in_a, EIO_CLOSE_TRANSPORT_CLOSE);
    fake_bus_say("socket.io-request#/#", question, sizeof(question) - 1);
    fake_bus_run();
    assert_int_equal(stats_of(t.of_a).n_rejected, 1);
    two_close(&t);
}

static void questions_are_bounded(void **state)
{
    struct two t;

    (void)state;
    open_two(&t);
    for (int i = 0; i < CLUSTER_MAX_QUESTIONS; i++)
        sio_namespace_fetch(t.a.ns, NULL, note_fetched, &t.a);
    sio_world_expect(&t.a, "");
    sio_namespace_fetch(t.a.ns, NULL, note_fetched, &t.a);
    sio_world_expect(&t.a, "full()");
    sio_server_free(t.a.server);
    t.a.server = NULL;
    two_close(&t);
}

static void on_count(int status, const struct sio_answers *answers, void *user)
{
    (void)status;
    (void)answers;
    ++*(int *)user;
}

static void a_server_ends_with_questions_open(void **state)
{
    struct sio_message *m = sio_message_new("q");
    int count = 0;
    struct two t;

    (void)state;
    open_two(&t);
    sio_world_join(&t.b, "", NULL);
    sio_namespace_emit_ack(t.a.ns, NULL, m, 0, on_count, &count);
    sio_namespace_side_emit(t.a.ns, m, 0, on_count, &count);
    fake_bus_run();
    sio_namespace_emit_ack(t.a.ns, NULL, m, 0, on_count, &count);
    sio_server_free(t.a.server);
    sio_server_free(t.b.server);
    t.a.server = t.b.server = NULL;
    assert_int_equal(count, 3);
    sio_message_free(m);
    two_close(&t);
}

/* Answers that nobody can use, to questions that are open. */
static void strange_answers_are_counted(void **state)
{
    struct sio_message *m = sio_message_new("q");
    struct sio_cluster_msg read;
    char id[32], text[200];
    struct two t;

    (void)state;
    open_two(&t);
    fake_bus_others(1);
    sio_namespace_side_emit(t.a.ns, m, 0, note_answers, &t.a);
    assert_int_equal(sio_cluster_read_request(fake_bus_body(), &read), SIO_OK);
    snprintf(id, sizeof(id), "%.*s", (int)read.request_id.len, read.request_id.ptr);
    sio_cluster_msg_fini(&read);
    fake_bus_run();
    snprintf(text, sizeof(text), "{\"requestId\":\"%s\",\"type\":8,\"clientCount\":1}",
             id);
    say("socket.io-response#/#", text);
    snprintf(text, sizeof(text), "{\"requestId\":\"%s\",\"sockets\":[{\"id\":3}]}", id);
    say("socket.io-response#/#", text);
    assert_int_equal(stats_of(t.of_a).n_rejected, 2);
    say("socket.io-response#/#", "{\"requestId\":\"other\",\"type\":6}");
    assert_int_equal(stats_of(t.of_a).n_rejected, 2);
    sio_world_expect(&t.a, "");

    snprintf(text, sizeof(text), "{\"requestId\":\"%s\",\"type\":6,\"data\":null}", id);
    say("socket.io-response#/#", text);
    snprintf(text, sizeof(text), "{\"requestId\":\"%s\",\"type\":6,\"data\":2}", id);
    say("socket.io-response#/#", text);
    sio_world_expect(&t.a, "all(null,2)");
    sio_message_free(m);
    two_close(&t);
}

/* Memory */

static void on_list(int status, const struct sio_fetched *list, size_t n, void *user)
{
    (void)status;
    (void)list;
    (void)n;
    ++*(int *)user;
}

static void no_call_is_lost_without_memory(void **state)
{
    (void)state;
    alloc_fail_each(n)
    {
        struct sio_str room = SIO_STR_INIT("r");
        struct sio_message *m;
        struct eio_session *a, *b;
        int asked, sided, fetched, told = 0, listed = 0;
        struct two t;

        alloc_fail_pause();
        open_two(&t);
        sio_namespace_on_side_emit(t.b.ns, note_side, &t.b);
        a = sio_world_join(&t.a, "", NULL);
        b = sio_world_join(&t.b, "", NULL);
        m = sio_message_newf("q", "sB", "text",
                             (struct sio_slice){NULL, (const uint8_t *)"x", 1});
        alloc_fail_resume();
        sio_namespace_emit(t.a.ns, NULL, m);
        asked = sio_namespace_emit_ack(t.a.ns, NULL, m, 0, on_count, &told);
        fetched = sio_namespace_fetch(t.a.ns, NULL, on_list, &listed);
        sided = sio_namespace_side_emit(t.a.ns, m, 0, on_count, &told);
        assert_true(sided < 0);
        sio_namespace_join_all(t.a.ns, NULL, &room, 1);
        fake_bus_run();
        fake_text(a, "30[1]");
        fake_text(b, "30[2]");
        fake_bus_run();
        sio_namespace_leave_all(t.a.ns, NULL, &room, 1);
        alloc_fail_pause();
        sio_message_free(m);
        m = sio_message_new("s");
        alloc_fail_resume();
        sided = sio_namespace_side_emit(t.a.ns, m, 0, on_count, &told);
        fake_bus_run();
        say("socket.io-request#/#", "{\"type\":1,\"requestId\":\"q\",\"uid\":\"n\"}");
        alloc_fail_pause();
        sio_message_free(m);
        two_close(&t);
        assert_int_equal(told, (asked == SIO_OK) + (sided == SIO_OK));
        assert_int_equal(listed, fetched == SIO_OK);
        alloc_fail_resume();
    }
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(answers_come_from_all_servers),
        cmocka_unit_test(who_is_silent_is_not_waited_for),
        cmocka_unit_test(a_server_that_is_not_there_any_more_is_missed),
        cmocka_unit_test(sockets_of_all_servers_are_listed),
        cmocka_unit_test(this_server_does_not_count_itself),
        cmocka_unit_test(servers_speak_to_each_other),
        cmocka_unit_test(an_answer_may_come_later),
        cmocka_unit_test(without_redis_each_server_is_alone),
        cmocka_unit_test(who_waits_is_told_that_redis_has_gone),
        cmocka_unit_test(what_others_ask_is_bounded),
        cmocka_unit_test(questions_are_bounded),
        cmocka_unit_test(a_server_ends_with_questions_open),
        cmocka_unit_test(strange_answers_are_counted),
        cmocka_unit_test(no_call_is_lost_without_memory),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
