/*
 * Servers that act as one, over a bus that is the test's: what each says on which
 * channel, and what is made of what others say.
 */
#include <config.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "alloc_fail.h"
#include "base/mem.h"
#include "cluster/codec.h"
#include "cluster/questions.h"
#include "cluster_world.h"
#include "socketio/namespace.h"
#include "socketio/recovery.h"

#define N_TOPICS 4 /* of a namespace */

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

#define SAY_BYTES(channel, literal)                              \
    do {                                                         \
        fake_bus_say((channel), (literal), sizeof(literal) - 1); \
        fake_bus_run();                                          \
    } while (0)

/* A cluster */

static void a_cluster_needs_a_url(void **state)
{
    struct sio_cluster_options opts = {.redis_url = "http://localhost"};
    struct sio_diag diag = {""};
    struct net_loop *loop = net_loop_new(NULL, NULL);

    (void)state;
    assert_null(sio_cluster_new(loop, &opts, &diag));
    assert_string_equal(diag.text, "not a URL");
    opts.redis_url = NULL;
    assert_null(sio_cluster_new(loop, &opts, &diag));
    assert_string_equal(diag.text, "a cluster needs the URL of a Redis");
    sio_cluster_free(NULL);
    net_loop_free(loop);
    fake_bus_reset();
}

static void servers_have_names(void **state)
{
    struct two t;
    struct sio_str a, b;

    (void)state;
    open_two(&t);
    a = sio_cluster_uid(t.of_a);
    b = sio_cluster_uid(t.of_b);
    assert_int_equal(a.len, 20);
    assert_memory_not_equal(a.ptr, b.ptr, 20);
    assert_true(sio_cluster_is_up(t.of_a));
    fake_bus_down();
    assert_false(sio_cluster_is_up(t.of_a));
    two_close(&t);
}

/* Broadcasts */

static void a_broadcast_reaches_each_client_once(void **state)
{
    struct sio_message *m = sio_message_new("news");
    struct eio_session *in_a, *in_b;
    struct two t;

    (void)state;
    open_two(&t);
    in_a = sio_world_join(&t.a, "", NULL);
    in_b = sio_world_join(&t.b, "", NULL);
    sio_message_add_binary(m, (struct sio_slice){NULL, (const uint8_t *)"xyz", 3});
    assert_int_equal(sio_namespace_emit(t.a.ns, NULL, m), 1);
    assert_string_equal(fake_bus_channel(), "socket.io#/#");
    assert_string_equal(fake_sent(in_a),
                        "51-[\"news\",{\"_placeholder\":true,\"num\":0}]|<3 bytes>");
    assert_string_equal(fake_sent(in_b), "");
    assert_int_equal(fake_bus_run(), 1);
    assert_string_equal(fake_sent(in_a), "");
    assert_string_equal(fake_sent(in_b),
                        "51-[\"news\",{\"_placeholder\":true,\"num\":0}]|<3 bytes>");
    assert_int_equal(stats_of(t.of_a).n_sent, 1);
    assert_int_equal(stats_of(t.of_a).n_foreign, 1);
    assert_int_equal(stats_of(t.of_a).n_received, 1);
    assert_int_equal(stats_of(t.of_b).n_received, 1);
    assert_int_equal(stats_of(t.of_b).n_foreign, 0);
    sio_message_free(m);
    two_close(&t);
}

static void a_target_holds_on_all_servers(void **state)
{
    struct sio_str rooms[] = {SIO_STR("r"), SIO_STR("s")};
    struct sio_target target = {.rooms = rooms, .n_rooms = 1};
    struct sio_message *m = sio_message_new("m");
    struct eio_session *b1, *b2;
    struct sio_socket *s1, *s2, *sender;
    struct two t;

    (void)state;
    open_two(&t);
    sio_world_join(&t.a, "", &sender);
    b1 = sio_world_join(&t.b, "", &s1);
    b2 = sio_world_join(&t.b, "", &s2);
    sio_socket_join(s1, rooms[0]);
    sio_socket_join(s2, rooms[1]);
    sio_socket_join(sender, rooms[0]);

    target.except_socket = sender;
    assert_int_equal(sio_namespace_emit(t.a.ns, &target, m), 0);
    assert_string_equal(fake_bus_channel(), "socket.io#/#r#");
    fake_bus_run();
    assert_string_equal(fake_sent(b1), "2[\"m\"]");
    assert_string_equal(fake_sent(b2), "");

    target.n_rooms = 2;
    target.except = rooms;
    target.n_except = 1;
    sio_namespace_emit(t.a.ns, &target, m);
    assert_string_equal(fake_bus_channel(), "socket.io#/#");
    fake_bus_run();
    assert_string_equal(fake_sent(b1), "");
    assert_string_equal(fake_sent(b2), "2[\"m\"]");

    /* An id is a room. */
    rooms[0] = sio_socket_id(s2);
    target = (struct sio_target){.rooms = rooms, .n_rooms = 1};
    sio_namespace_emit(t.a.ns, &target, m);
    fake_bus_run();
    assert_string_equal(fake_sent(b2), "2[\"m\"]");

    target.local = true;
    sio_namespace_emit(t.a.ns, &target, m);
    assert_int_equal(fake_bus_run(), 0);
    sio_message_free(m);
    two_close(&t);
}

/* What the emitter of node writes: ["emitter", {type: 2, data: ["n", 1], nsp}, opts]. */
#define EMITTED                                          \
    "\x93\xa7"                                           \
    "emitter\x83\xa4type\x02\xa4"                        \
    "data\x92\xa1n\x01\xa3nsp\xa1/\x83\xa5rooms\x90\xa5" \
    "flags\x80\xa6"                                      \
    "except\x90"
#define WITHOUT_NSP                          \
    "\x93\xa7"                               \
    "emitter\x82\xa4type\x02\xa4"            \
    "data\x92\xa1n\x01\x83\xa5rooms\x90\xa5" \
    "flags\x80\xa6"                          \
    "except\x90"

static void what_node_says_is_understood(void **state)
{
    struct sio_namespace *other;
    struct eio_session *in_a, *in_other;
    struct two t;

    (void)state;
    open_two(&t);
    other = sio_server_namespace(t.a.server, "/other", &sio_world_ops, &t.a);
    assert_non_null(other);
    in_a = sio_world_join(&t.a, "", NULL);
    in_other = sio_world_join(&t.a, "/other", NULL);
    SAY_BYTES("socket.io#/#", EMITTED);
    assert_string_equal(fake_sent(in_a), "2[\"n\",1]");
    SAY_BYTES("socket.io#/#", WITHOUT_NSP);
    assert_string_equal(fake_sent(in_a), "2[\"n\",1]");
    assert_int_equal(stats_of(t.of_a).n_foreign, 0);

    /* Another namespace's, on this one's channel. */
    SAY_BYTES("socket.io#/other#", EMITTED);
    SAY_BYTES("socket.io#/other#", WITHOUT_NSP);
    assert_string_equal(fake_sent(in_a), "");
    assert_string_equal(fake_sent(in_other), "");
    assert_int_equal(stats_of(t.of_a).n_foreign, 2);
    assert_int_equal(stats_of(t.of_a).n_rejected, 0);
    two_close(&t);
}

static void a_room_that_nobody_is_in_costs_nothing(void **state)
{
    struct sio_socket *s;
    char channel[100];
    struct two t;

    (void)state;
    open_two(&t);
    sio_world_join(&t.a, "", &s);
    say("socket.io#/#r#", "rubbish");
    assert_int_equal(stats_of(t.of_a).n_received, 1);
    assert_int_equal(stats_of(t.of_a).n_rejected, 0);
    sio_socket_join(s, SIO_STR("r"));
    say("socket.io#/#r#", "rubbish");
    assert_int_equal(stats_of(t.of_a).n_rejected, 1);
    snprintf(channel, sizeof(channel), "socket.io#/#%.*s#", (int)sio_socket_id(s).len,
             sio_socket_id(s).ptr);
    say(channel, "rubbish");
    assert_int_equal(stats_of(t.of_a).n_rejected, 2);
    two_close(&t);
}

/* Who may come back to a room gets what came meanwhile. */
static void who_is_away_is_not_forgotten(void **state)
{
    struct sio_cluster_options opts = {.redis_url = "redis://localhost"};
    struct sio_server_options server = {.adapter = sio_cluster_adapter,
                                        .recovery = {.max_away_ms = 10000}};
    struct sio_str room = SIO_STR_INIT("r");
    struct sio_target target = {.rooms = &room, .n_rooms = 1};
    struct sio_message *m = sio_message_new("missed");
    struct eio_session *session;
    struct sio_cluster *c;
    struct sio_socket *s;
    struct sio_world w;
    struct wbuf bytes;

    (void)state;
    memset(&w, 0, sizeof(w));
    w.loop = net_loop_new(NULL, NULL);
    c = sio_cluster_new(w.loop, &opts, NULL);
    server.adapter_user = c;
    w.server = sio_server_new(w.loop, &server, NULL);
    w.ns = sio_server_namespace(w.server, "/", &sio_world_ops, &w);
    session = sio_world_join(&w, "", &s);
    sio_socket_join(s, room);
    fake_close(session, EIO_CLOSE_TRANSPORT_CLOSE);
    wbuf_init(&bytes, UINT32_MAX);
    sio_cluster_write_broadcast(&bytes, SIO_STR("x"), SIO_STR("/"), &target, m);
    fake_bus_say("socket.io#/#r#", wbuf_str(&bytes).ptr, bytes.len);
    wbuf_fini(&bytes);
    fake_bus_run();
    assert_int_equal(w.ns->recovery->history.n, 1);
    sio_message_free(m);
    cluster_world_close(&w, c);
    fake_bus_reset();
    fake_reset();
}

static void flags_cross(void **state)
{
    struct sio_message *m = sio_message_new("m");
    struct sio_cluster_msg read;
    struct two t;

    (void)state;
    open_two(&t);
    sio_message_set_volatile(m);
    sio_message_set_no_compress(m);
    sio_namespace_emit(t.a.ns, NULL, m);
    assert_int_equal(sio_cluster_read_broadcast(fake_bus_body(), &read), SIO_OK);
    assert_true(read.is_volatile);
    assert_true(read.no_compress);
    sio_cluster_msg_fini(&read);
    sio_message_free(m);
    two_close(&t);
}

static void names_are_literal_in_patterns(void **state)
{
    struct sio_cluster_options opts = {.redis_url = "redis://localhost",
                                       .key = "k*[a]?\\"};
    struct sio_server_options server = {.adapter = sio_cluster_adapter};
    struct eio_session *session;
    struct sio_cluster *c;
    struct sio_world w;

    (void)state;
    memset(&w, 0, sizeof(w));
    w.loop = net_loop_new(NULL, NULL);
    c = sio_cluster_new(w.loop, &opts, NULL);
    server.adapter_user = c;
    w.server = sio_server_new(w.loop, &server, NULL);
    w.ns = sio_server_namespace(w.server, "/", &sio_world_ops, &w);
    session = sio_world_join(&w, "", NULL);
    SAY_BYTES("kkk[a]?\\#/#", EMITTED);
    assert_int_equal(stats_of(c).n_received, 0);
    SAY_BYTES("k*[a]?\\#/#", EMITTED);
    assert_string_equal(fake_sent(session), "2[\"n\",1]");
    cluster_world_close(&w, c);
    fake_bus_reset();
    fake_reset();
}

/* Orders */

static void orders_are_carried_out_everywhere(void **state)
{
    struct sio_str room = SIO_STR_INIT("r"), other = SIO_STR_INIT("o");
    struct sio_target target = {.rooms = &room, .n_rooms = 1};
    struct sio_socket *in_a, *in_b;
    struct eio_session *session;
    struct two t;

    (void)state;
    open_two(&t);
    sio_world_join(&t.a, "", &in_a);
    session = sio_world_join(&t.b, "", &in_b);
    assert_int_equal(sio_namespace_join_all(t.a.ns, NULL, &room, 1), SIO_OK);
    assert_string_equal(fake_bus_channel(), "socket.io-request#/#");
    fake_bus_run();
    assert_true(sio_socket_in(in_a, room));
    assert_true(sio_socket_in(in_b, room));
    sio_namespace_join_all(t.b.ns, &target, &other, 1);
    fake_bus_run();
    assert_true(sio_socket_in(in_a, other));
    sio_namespace_leave_all(t.b.ns, &target, &other, 1);
    fake_bus_run();
    assert_false(sio_socket_in(in_a, other));

    /* As the emitter says it. */
    say("socket.io-request#/#",
        "{\"type\":2,\"opts\":{\"rooms\":[\"r\"],\"except\":[]},"
        "\"rooms\":[\"x\",\"y\"]}");
    assert_true(sio_socket_in(in_a, SIO_STR("y")));
    say("socket.io-request#/#", "{\"type\":3,\"opts\":{\"rooms\":[],\"except\":[]},"
                                "\"rooms\":[\"y\"]}");
    assert_false(sio_socket_in(in_a, SIO_STR("y")));
    t.a.log[0] = t.b.log[0] = '\0';
    sio_namespace_disconnect_all(t.a.ns, &target, true);
    fake_bus_run();
    sio_world_expect(&t.a, "disconnect(forced server close)");
    sio_world_expect(&t.b, "disconnect(forced server close)");
    assert_int_equal(fake_closed(session), EIO_CLOSE_FORCED);
    assert_int_equal(stats_of(t.of_a).n_rejected, 0);
    two_close(&t);
}

/* Peers of version 5 and before name one socket and one room. */
static void old_orders_are_answered(void **state)
{
    struct sio_socket *s;
    char text[200];
    struct two t;

    (void)state;
    open_two(&t);
    sio_world_join(&t.a, "", &s);
    snprintf(text, sizeof(text),
             "{\"type\":2,\"requestId\":\"q\",\"uid\":\"old\",\"sid\":\"%.*s\","
             "\"room\":\"r\"}",
             (int)sio_socket_id(s).len, sio_socket_id(s).ptr);
    say("socket.io-request#/#", text);
    assert_true(sio_socket_in(s, SIO_STR("r")));
    assert_string_equal(fake_bus_channel(), "socket.io-response#/#");
    expect_body("{\"requestId\":\"q\"}");
    text[8] = '3';
    say("socket.io-request#/#", text);
    assert_false(sio_socket_in(s, SIO_STR("r")));
    assert_int_equal(fake_bus_n(), 2);
    text[8] = '4';
    say("socket.io-request#/#", text);
    assert_int_equal(sio_namespace_n_sockets(t.a.ns), 0);
    say("socket.io-request#/#", text); /* it is not there */
    assert_int_equal(fake_bus_n(), 3);
    two_close(&t);
}

static void sockets_and_rooms_are_listed(void **state)
{
    struct sio_socket *s;
    char text[200], id[32];
    struct two t;

    (void)state;
    open_two(&t);
    sio_world_join(&t.b, "", &s);
    snprintf(id, sizeof(id), "%.*s", (int)sio_socket_id(s).len, sio_socket_id(s).ptr);
    sio_socket_join(s, SIO_STR("r"));
    cluster_world_close(&t.a, t.of_a);
    say("socket.io-request#/#",
        "{\"type\":0,\"requestId\":\"q\",\"uid\":\"n\",\"rooms\":[\"r\"]}");
    snprintf(text, sizeof(text), "{\"requestId\":\"q\",\"sockets\":[\"%s\"]}", id);
    expect_body(text);
    assert_string_equal(fake_bus_channel(), "socket.io-response#/#n#");
    say("socket.io-request#/#", "{\"type\":1,\"requestId\":\"q\",\"uid\":\"n\"}");
    snprintf(text, sizeof(text), "{\"requestId\":\"q\",\"rooms\":[\"%s\",\"r\"]}", id);
    expect_body(text);
    t.of_a = open_world(&t.a, 5000, false);
    two_close(&t);
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

/* Namespaces */

static void a_namespace_listens_while_it_is_there(void **state)
{
    struct sio_namespace *parent;
    struct eio_session *s;
    struct two t;

    (void)state;
    open_two(&t);
    assert_int_equal(fake_bus_n_topics(), 2 * N_TOPICS);
    parent = sio_server_pattern(t.a.server, "^/d", &sio_world_ops, &t.a);
    sio_namespace_set_children(parent, 10, true);
    assert_int_equal(fake_bus_n_topics(), 2 * N_TOPICS);
    s = sio_world_join(&t.a, "/d1", NULL);
    assert_int_equal(fake_bus_n_topics(), 3 * N_TOPICS);
    fake_close(s, EIO_CLOSE_TRANSPORT_CLOSE);
    sio_world_turn(&t.a);
    assert_int_equal(fake_bus_n_topics(), 2 * N_TOPICS);
    two_close(&t);
}

static void a_cluster_serves_one_server(void **state)
{
    struct sio_server_options opts = {.adapter = sio_cluster_adapter};
    struct sio_server *second;
    struct two t;

    (void)state;
    open_two(&t);
    opts.adapter_user = t.of_a;
    second = sio_server_new(t.a.loop, &opts, NULL);
    assert_null(sio_server_namespace(second, "/", &sio_world_ops, &t.a));
    sio_server_free(second);
    two_close(&t);
}

/* Rubbish */

static void rubbish_is_counted(void **state)
{
    static const char *const channels[] = {"socket.io#/#", "socket.io-request#/#",
                                           "socket.io-response#/#"};
    static const struct {
        const char *bytes;
        size_t len;
    } rubbish[] = {
#define BAD(literal) {literal, sizeof(literal) - 1}
        BAD(""),
        BAD("\x80\x04\x95\x10\x00"), /* pickle */
        BAD("{\"type\":5"),
        BAD("{\"type\":10,\"requestId\":\"q\"}"),
        BAD("\xdd\xff\xff\xff\xff"), /* an array of 4 G items */
        BAD("\x91\x91\x91\x91\x91\x91\x91"),
        BAD("\x93\xa1u\x81\xa4type\x02\x80"),
#undef BAD
    };
    struct two t;
    char *big;

    (void)state;
    open_two(&t);
    sio_world_join(&t.a, "", NULL);
    sio_namespace_fetch(t.a.ns, NULL, note_fetched, &t.a);
    fake_bus_others(1);
    fake_bus_run();
    assert_int_equal(stats_of(t.of_a).n_rejected, 0);
    for (size_t i = 0; i < 3; i++)
        for (size_t k = 0; k < sizeof(rubbish) / sizeof(rubbish[0]); k++)
            fake_bus_say(channels[i], rubbish[k].bytes, rubbish[k].len);
    fake_bus_run();
    assert_int_equal(stats_of(t.of_a).n_rejected,
                     3 * sizeof(rubbish) / sizeof(rubbish[0]));
    assert_int_equal(stats_of(t.of_b).n_rejected,
                     2 * sizeof(rubbish) / sizeof(rubbish[0]));

    big = calloc(1, 5000000);
    fake_bus_say(channels[0], big, 5000000);
    fake_bus_say(channels[1], big, 5000000);
    fake_bus_run();
    free(big);
    assert_int_equal(stats_of(t.of_a).n_rejected,
                     2 + 3 * sizeof(rubbish) / sizeof(rubbish[0]));
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

static void a_cluster_is_made_whole_or_not_at_all(void **state)
{
    (void)state;
    alloc_fail_each(n)
    {
        struct sio_cluster_options opts = {.redis_url = "redis://localhost"};
        struct sio_server_options server = {.adapter = sio_cluster_adapter};
        struct sio_server *s;
        struct net_loop *loop;
        struct sio_cluster *c;

        alloc_fail_pause();
        loop = net_loop_new(NULL, NULL);
        alloc_fail_resume();
        c = sio_cluster_new(loop, &opts, NULL);
        alloc_fail_pause();
        server.adapter_user = c;
        s = c ? sio_server_new(loop, &server, NULL) : NULL;
        alloc_fail_resume();
        if (s)
            sio_server_namespace(s, "/", &sio_world_ops, NULL);
        alloc_fail_pause();
        sio_server_free(s);
        assert_int_equal(fake_bus_n_topics(), 0);
        sio_cluster_free(c);
        net_loop_free(loop);
        fake_bus_reset();
        alloc_fail_resume();
    }
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_cluster_needs_a_url),
        cmocka_unit_test(servers_have_names),
        cmocka_unit_test(a_broadcast_reaches_each_client_once),
        cmocka_unit_test(a_target_holds_on_all_servers),
        cmocka_unit_test(what_node_says_is_understood),
        cmocka_unit_test(a_room_that_nobody_is_in_costs_nothing),
        cmocka_unit_test(who_is_away_is_not_forgotten),
        cmocka_unit_test(flags_cross),
        cmocka_unit_test(names_are_literal_in_patterns),
        cmocka_unit_test(orders_are_carried_out_everywhere),
        cmocka_unit_test(old_orders_are_answered),
        cmocka_unit_test(sockets_and_rooms_are_listed),
        cmocka_unit_test(answers_come_from_all_servers),
        cmocka_unit_test(who_is_silent_is_not_waited_for),
        cmocka_unit_test(a_server_that_is_not_there_any_more_is_missed),
        cmocka_unit_test(sockets_of_all_servers_are_listed),
        cmocka_unit_test(this_server_does_not_count_itself),
        cmocka_unit_test(servers_speak_to_each_other),
        cmocka_unit_test(an_answer_may_come_later),
        cmocka_unit_test(without_redis_each_server_is_alone),
        cmocka_unit_test(questions_are_bounded),
        cmocka_unit_test(a_server_ends_with_questions_open),
        cmocka_unit_test(a_namespace_listens_while_it_is_there),
        cmocka_unit_test(a_cluster_serves_one_server),
        cmocka_unit_test(rubbish_is_counted),
        cmocka_unit_test(strange_answers_are_counted),
        cmocka_unit_test(no_call_is_lost_without_memory),
        cmocka_unit_test(a_cluster_is_made_whole_or_not_at_all),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
