/*
 * What a server asks the others of a cluster, and what they ask of it, over a bus that is
 * the test's, with each kind of channels.
 */
#include <config.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "cluster/local.h"
#include "cluster/questions.h"
#include "cluster_world.h"

/* Questions to clients */

static void answers_come_from_all_servers(void **state)
{
    const struct cluster_kind *kind = *state;
    struct sio_str room = SIO_STR_INIT("none");
    struct sio_target target = {.rooms = &room, .n_rooms = 1};
    struct sio_message *m = sio_message_new("q");
    struct eio_session *in_a, *b1, *b2;
    struct two t;

    two_open(&t, &kind->opts);
    in_a = sio_world_join(&t.a, "", NULL);
    b1 = sio_world_join(&t.b, "", NULL);
    b2 = sio_world_join(&t.b, "", NULL);
    assert_int_equal(sio_namespace_emit_ack(t.a.ns, NULL, m, 500, note_answers, &t.a),
                     SIO_OK);
    assert_string_equal(fake_bus_channel(), kind->to_all);
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
    assert_int_equal(
        sio_namespace_emit_ack(t.a.ns, &target, m, 500, note_answers, &t.a), SIO_OK);
    assert_string_equal(fake_bus_channel(), kind->to_all);
    fake_bus_run();
    sio_world_expect(&t.a, "all()");
    sio_message_free(m);
    two_close(&t);
}

static void who_is_silent_is_not_waited_for(void **state)
{
    const struct cluster_kind *kind = *state;
    struct sio_message *m = sio_message_new("q");
    struct eio_session *in_b;
    struct two t;

    two_open(&t, &kind->opts);
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
    const struct cluster_kind *kind = *state;
    struct sio_cluster_options opts = kind->opts;
    struct sio_message *m = sio_message_new("q");
    struct two t;

    cluster_world_close(&t.a, (t.of_a = cluster_world_open(&t.a, &opts, NULL)));
    opts.request_timeout_ms = 10;
    two_open(&t, &opts);
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
    const struct cluster_kind *kind = *state;
    struct sio_socket *s;
    struct two t;

    two_open(&t, &kind->opts);
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
    const struct cluster_kind *kind = *state;
    struct two t;

    fake_bus_confirm(false);
    two_open(&t, &kind->opts);
    sio_namespace_fetch(t.a.ns, NULL, note_fetched, &t.a);
    fake_bus_run();
    sio_world_expect(&t.a, "all()");
    two_close(&t);
}

/* Side emits */

static void servers_speak_to_each_other(void **state)
{
    const struct cluster_kind *kind = *state;
    struct sio_message *m = sio_message_newf("hello", "i", 7);
    struct two t;

    two_open(&t, &kind->opts);
    sio_namespace_on_side_emit(t.a.ns, note_side, &t.a);
    sio_namespace_on_side_emit(t.b.ns, note_side, &t.b);
    sio_namespace_side_emit(t.a.ns, m, 0, NULL, NULL);
    fake_bus_run();
    sio_world_expect(&t.b, "side(hello)");
    sio_world_expect(&t.a, "");
    assert_int_equal(fake_bus_n(), 1);
    sio_namespace_side_emit(t.a.ns, m, 0, note_answers, &t.a);
    fake_bus_run();
    sio_world_expect(&t.b, "side(hello)");
    sio_world_expect(&t.a, "all(\"here\")");
    assert_int_equal(stats_of(t.of_a).n_rejected, 0);
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
    const struct cluster_kind *kind = *state;
    struct sio_message *m = sio_message_new("");
    struct sio_ack *ack = NULL;
    struct two t;

    two_open(&t, &kind->opts);
    sio_namespace_on_side_emit(t.b.ns, take, &ack);
    sio_namespace_side_emit(t.a.ns, m, 0, note_answers, &t.a);
    fake_bus_run();
    assert_non_null(ack);
    assert_int_equal(sio_ack_send(ack, NULL), SIO_OK);
    fake_bus_run();
    sio_world_expect(&t.a, "all()");
    net_loop_run_once(t.b.loop, 10);

    /* Asked when the server has ended. */
    sio_namespace_side_emit(t.a.ns, m, 0, note_answers, &t.a);
    fake_bus_run();
    cluster_world_close(&t.b, t.of_b);
    assert_int_equal(sio_ack_send(ack, m), SIO_ERR_CLOSED);
    t.of_b = cluster_world_open(&t.b, &kind->opts, NULL);
    sio_message_free(m);
    two_close(&t);
}

static void servers_say_bytes_where_they_can(void **state)
{
    const struct cluster_kind *kind = *state;
    int said = kind->side_bytes ? SIO_OK : SIO_ERR_UNSUPPORTED;
    struct sio_message *m = sio_message_new("");
    struct sio_message *bytes = bytes_message("b");
    struct sio_ack *ack = NULL;
    struct two t;

    two_open(&t, &kind->opts);
    sio_namespace_on_side_emit(t.a.ns, note_side, &t.a);
    sio_namespace_on_side_emit(t.b.ns, take, &ack);
    sio_namespace_side_emit(t.a.ns, m, 0, note_answers, &t.a);
    fake_bus_run();
    assert_int_equal(sio_ack_send(ack, bytes), said);
    fake_bus_run();
    sio_world_expect(&t.a,
                     said == SIO_OK ? "all({\"_placeholder\":true,\"num\":0})" : "");
    assert_int_equal(sio_namespace_side_emit(t.b.ns, bytes, 0, NULL, NULL), said);
    fake_bus_run();
    sio_world_expect(&t.a, said == SIO_OK ? "side(b)" : "");
    assert_int_equal(sio_namespace_side_emit(t.b.ns, bytes, 0, note_answers, &t.b),
                     said);
    fake_bus_run();
    sio_world_expect(&t.b, said == SIO_OK ? "all(\"here\")" : "");
    assert_int_equal(stats_of(t.of_a).n_rejected, 0);
    sio_message_free(m);
    sio_message_free(bytes);
    two_close(&t);
}

/* Redis */

static void without_redis_each_server_is_alone(void **state)
{
    const struct cluster_kind *kind = *state;
    struct sio_str room = SIO_STR_INIT("r"), other = SIO_STR_INIT("o");
    struct sio_target target = {.rooms = &room, .n_rooms = 1};
    struct sio_message *m = sio_message_new("m");
    struct eio_session *in_a;
    struct sio_socket *s;
    struct two t;

    two_open(&t, &kind->opts);
    in_a = sio_world_join(&t.a, "", &s);

    /* It goes while questions are open. */
    sio_namespace_fetch(t.a.ns, NULL, note_fetched, &t.a);
    sio_namespace_emit_ack(t.a.ns, NULL, m, 0, note_answers, &t.a);
    fake_text(in_a, "30[1]");
    sio_world_expect(&t.a, "");
    fake_bus_down();
    sio_world_expect(&t.a, "closed(here1) closed(1)");
    fake_sent(in_a);

    sio_socket_join(s, room);
    assert_int_equal(sio_namespace_emit(t.a.ns, NULL, m), 1);
    assert_string_equal(fake_sent(in_a), "2[\"m\"]");
    assert_int_equal(stats_of(t.of_a).n_dropped, 1);
    assert_int_equal(sio_namespace_emit(t.a.ns, &target, m), 1);
    assert_string_equal(fake_sent(in_a), "2[\"m\"]");
    assert_int_equal(stats_of(t.of_a).n_dropped, 2);
    sio_socket_leave(s, room);
    sio_namespace_fetch(t.a.ns, NULL, note_fetched, &t.a);
    sio_namespace_side_emit(t.a.ns, m, 0, note_answers, &t.a);
    sio_world_expect(&t.a, "closed(here1) closed()");
    assert_int_equal(sio_namespace_join_all(t.a.ns, NULL, &other, 1), SIO_ERR_CLOSED);
    assert_int_equal(sio_namespace_room_size(t.a.ns, other), 1);

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
    const struct cluster_kind *kind = *state;
    struct sio_message *m = sio_message_new("q");
    struct two t;

    two_open(&t, &kind->opts);
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

/* Bounds */

/* Others ask more than anybody here answers. */
static void what_others_ask_is_bounded(void **state)
{
    const struct cluster_kind *kind = *state;
    struct eio_session *in_a;
    struct two t;

    two_open(&t, &kind->opts);
    in_a = sio_world_join(&t.a, "", NULL);
    for (int i = 0; i < CLUSTER_MAX_FOREIGN + 1; i++)
        kind_say_later(kind, kind->asks);
    fake_bus_run();
    assert_int_equal(stats_of(t.of_a).n_rejected, 1);
    fake_close(in_a, EIO_CLOSE_TRANSPORT_CLOSE);
    kind_say_later(kind, kind->asks);
    fake_bus_run();
    assert_int_equal(stats_of(t.of_a).n_rejected, 1);
    two_close(&t);
}

static void questions_are_bounded(void **state)
{
    const struct cluster_kind *kind = *state;
    struct two t;

    two_open(&t, &kind->opts);
    for (int i = 0; i < CLUSTER_MAX_QUESTIONS; i++)
        sio_namespace_fetch(t.a.ns, NULL, note_fetched, &t.a);
    sio_world_expect(&t.a, "");
    sio_namespace_fetch(t.a.ns, NULL, note_fetched, &t.a);
    sio_world_expect(&t.a, "full()");
    sio_server_free(t.a.server);
    t.a.server = NULL;
    two_close(&t);
}

/* Ends */

static void on_count(int status, const struct sio_answers *answers, void *user)
{
    (void)status;
    (void)answers;
    ++*(int *)user;
}

static void a_server_ends_with_questions_open(void **state)
{
    const struct cluster_kind *kind = *state;
    struct sio_message *m = sio_message_new("q");
    int count = 0;
    struct two t;

    two_open(&t, &kind->opts);
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

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(answers_come_from_all_servers),
        CASE(who_is_silent_is_not_waited_for),
        CASE(a_server_that_is_not_there_any_more_is_missed),
        CASE(sockets_of_all_servers_are_listed),
        CASE(this_server_does_not_count_itself),
        CASE(servers_speak_to_each_other),
        CASE(an_answer_may_come_later),
        CASE(servers_say_bytes_where_they_can),
        CASE(without_redis_each_server_is_alone),
        CASE(who_waits_is_told_that_redis_has_gone),
        CASE(what_others_ask_is_bounded),
        CASE(questions_are_bounded),
        CASE(a_server_ends_with_questions_open),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
