/*
 * Servers that act as one over sharded channels: what each says on which channel, who
 * listens there, and what is made of what node says.
 */
#include <config.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "alloc_fail.h"
#include "base/list.h"
#include "cluster/message.h"
#include "cluster/questions.h"
#include "cluster_world.h"
#include "socketio/namespace.h"
#include "socketio/recovery.h"

#define N_TOPICS 2 /* of a namespace without rooms */

static void open_two(struct two *t)
{
    two_open(t, SIO_CLUSTER_SHARDED);
}

static void say(const char *channel, const char *text)
{
    fake_bus_say_shard(channel, text, strlen(text));
    fake_bus_run();
}

#define SAY_BYTES(channel, literal)                                    \
    do {                                                               \
        fake_bus_say_shard((channel), (literal), sizeof(literal) - 1); \
        fake_bus_run();                                                \
    } while (0)

/* A message of some node server. */
#define NODE(type, data) \
    "{\"type\":" #type ",\"data\":{" data "},\"uid\":\"n\",\"nsp\":\"/\"}"
#define OPTS(rooms) "\"opts\":{\"rooms\":[" rooms "],\"except\":[],\"flags\":{}}"
#define EVENT(text) "\"packet\":{\"type\":2,\"data\":[" text "]}"

static struct sio_target to_room(const struct sio_str *room)
{
    struct sio_target target = {.rooms = room, .n_rooms = 1};

    return target;
}

/* Broadcasts */

static void a_broadcast_reaches_each_client_once(void **state)
{
    struct sio_message *m = sio_message_newf("news", "i", 1);
    struct sio_message *bytes =
        sio_message_newf("b", "B", (struct sio_slice){NULL, (const uint8_t *)"xyz", 3});
    struct eio_session *in_a, *in_b;
    char text[300];
    struct two t;

    (void)state;
    open_two(&t);
    in_a = sio_world_join(&t.a, "", NULL);
    in_b = sio_world_join(&t.b, "", NULL);
    assert_int_equal(sio_namespace_emit(t.a.ns, NULL, m), 1);
    assert_string_equal(fake_bus_channel(), "socket.io#/#");
    snprintf(text, sizeof(text),
             "{\"type\":3,\"data\":{\"packet\":{\"type\":2,\"data\":[\"news\",1]},"
             "\"opts\":{\"rooms\":[],\"except\":[],\"flags\":{}}},\"uid\":\"%.20s\","
             "\"nsp\":\"/\"}",
             sio_cluster_uid(t.of_a).ptr);
    expect_body(text);
    /* Those here do not wait for Redis. */
    assert_string_equal(fake_sent(in_a), "2[\"news\",1]");
    assert_string_equal(fake_sent(in_b), "");
    assert_int_equal(fake_bus_run(), 1);
    assert_string_equal(fake_sent(in_a), "");
    assert_string_equal(fake_sent(in_b), "2[\"news\",1]");

    sio_namespace_emit(t.b.ns, NULL, bytes);
    assert_int_equal(fake_bus_body().ptr[0], 0x84);
    fake_bus_run();
    assert_string_equal(fake_sent(in_a),
                        "51-[\"b\",{\"_placeholder\":true,\"num\":0}]|<3 bytes>");
    assert_string_equal(fake_sent(in_b),
                        "51-[\"b\",{\"_placeholder\":true,\"num\":0}]|<3 bytes>");
    assert_int_equal(stats_of(t.of_a).n_sent, 1);
    assert_int_equal(stats_of(t.of_a).n_foreign, 1);
    assert_int_equal(stats_of(t.of_a).n_received, 2);
    assert_int_equal(stats_of(t.of_a).n_rejected, 0);
    sio_message_free(m);
    sio_message_free(bytes);
    two_close(&t);
}

static struct sio_slice filled(size_t len, char c)
{
    struct sio_buf *buf = sio_buf_new(len);

    assert_non_null(buf);
    memset(sio_buf_data(buf), c, len);
    return sio_slice_of(buf);
}

/* Adds a text of 5000 letters, in pieces. */
static void add_text(struct sio_message *m, char c)
{
    struct sio_slice text = filled(5000, c);

    sio_message_begin(m);
    sio_message_text(m, SIO_STR("\""));
    sio_message_slice(m, text);
    sio_message_text(m, SIO_STR("\""));
    assert_int_equal(sio_message_end(m), SIO_OK);
    sio_buf_unref(text.buf);
}

static size_t expect_run(const char *text, char c, size_t len)
{
    for (size_t i = 0; i < len; i++)
        assert_int_equal(text[i], c);
    return len;
}

/* More of it than is passed on without a copy. */
static void what_is_large_arrives_as_it_was(void **state)
{
    struct sio_message *texts = sio_message_new("texts");
    struct sio_message *bytes = sio_message_new("bytes");
    struct eio_session *in_b;
    const char *sent;
    struct two t;

    (void)state;
    open_two(&t);
    in_b = sio_world_join(&t.b, "", NULL);
    for (char c = 'a'; c < 'f'; c++)
        add_text(texts, c);
    sio_namespace_emit(t.a.ns, NULL, texts);
    sio_message_free(texts);
    fake_bus_run();
    sent = fake_sent(in_b);
    assert_int_equal(strncmp(sent, "2[\"texts\"", 9), 0);
    sent += 9;
    for (char c = 'a'; c < 'f'; c++) {
        assert_int_equal(strncmp(sent, ",\"", 2), 0);
        sent += 2 + expect_run(sent + 2, c, 5000);
        assert_int_equal(*sent++, '"');
    }
    assert_string_equal(sent, "]");

    for (char c = 'a'; c < 'f'; c++) {
        struct sio_slice slice = filled(5000, c);

        sio_message_add_binary(bytes, slice);
        sio_buf_unref(slice.buf);
    }
    sio_namespace_emit(t.a.ns, NULL, bytes);
    sio_message_free(bytes);
    fake_bus_run();
    assert_non_null(strstr(fake_sent(in_b), "|<5000 bytes>|<5000 bytes>|<5000 bytes>"));
    for (char c = 'a'; c < 'f'; c++) {
        char run[5001];

        memset(run, c, 5000);
        run[5000] = '\0';
        assert_non_null(memmem(fake_bus_body().ptr, fake_bus_body().len, run, 5000));
    }
    two_close(&t);
}

static void a_room_is_heard_where_it_has_members(void **state)
{
    struct sio_str room = SIO_STR_INIT("r");
    struct sio_target target = to_room(&room);
    struct sio_message *m = sio_message_new("m");
    struct sio_socket *one, *two;
    struct eio_session *b;
    struct two t;

    (void)state;
    open_two(&t);
    b = sio_world_join(&t.b, "", &one);
    sio_world_join(&t.b, "", &two);
    assert_int_equal(fake_bus_n_topics(), 2 * N_TOPICS);

    sio_namespace_emit(t.a.ns, &target, m);
    assert_string_equal(fake_bus_channel(), "socket.io#/#r#");
    fake_bus_run();
    assert_int_equal(stats_of(t.of_a).n_received, 0);
    assert_int_equal(stats_of(t.of_b).n_received, 0);

    sio_socket_join(one, room);
    sio_socket_join(two, room);
    assert_int_equal(fake_bus_n_topics(), 2 * N_TOPICS + 1);
    sio_namespace_emit(t.a.ns, &target, m);
    fake_bus_run();
    assert_string_equal(fake_sent(b), "2[\"m\"]");
    assert_int_equal(stats_of(t.of_b).n_received, 1);
    assert_int_equal(stats_of(t.of_a).n_received, 0);

    sio_socket_leave(two, room);
    assert_int_equal(fake_bus_n_topics(), 2 * N_TOPICS + 1);
    fake_close(b, EIO_CLOSE_TRANSPORT_CLOSE);
    sio_world_turn(&t.b);
    assert_int_equal(fake_bus_n_topics(), 2 * N_TOPICS);
    sio_socket_join(two, room);
    assert_int_equal(fake_bus_n_topics(), 2 * N_TOPICS + 1);
    sio_message_free(m);
    two_close(&t);
}

/* Clients of Socket.IO 2 have ids with something in front, for which nobody listens. */
static void a_longer_id_has_no_channel_either(void **state)
{
    struct sio_str id = SIO_STR("/x#sid-of-twenty-chars-");
    struct sio_target target = to_room(&id);
    struct sio_message *m = sio_message_new("m");
    struct sio_namespace *x;
    struct eio_session *b;
    struct two t;

    (void)state;
    open_two(&t);
    x = sio_server_namespace(t.a.server, "/x", &sio_world_ops, &t.a);
    sio_server_namespace(t.b.server, "/x", &sio_world_ops, &t.b);
    b = fake_open_3(sio_server_engine(t.b.server));
    fake_text(b, "0/x,");
    (void)fake_sent(b);
    sio_namespace_emit(x, &target, m);
    assert_string_equal(fake_bus_channel(), "socket.io#/x#");
    fake_bus_run();
    assert_string_equal(fake_sent(b), "2/x,[\"m\"]");
    /* Of "/", where the server gives its sids a name. */
    id = SIO_STR("hub-1.sid-of-twenty-chars-");
    sio_namespace_emit(t.a.ns, &target, m);
    assert_string_equal(fake_bus_channel(), "socket.io#/#");
    id = SIO_STR("not-twenty.sid-of-twenty-chars");
    sio_namespace_emit(t.a.ns, &target, m);
    assert_string_equal(fake_bus_channel(),
                        "socket.io#/#not-twenty.sid-of-twenty-chars#");
    sio_message_free(m);
    two_close(&t);
}

/* Node takes what has an id's length for one, in UTF-16: nobody sends to its channel. */
static void an_id_has_no_channel(void **state)
{
    struct sio_str twenty[] = {
        SIO_STR("12345678901234567890"),
        SIO_STR("123456789012345678\xf0\x9f\x98\x80"),
        SIO_STR("1234567890123456789\xc3\xa9"),
    };
    struct sio_str others[] = {
        SIO_STR("1234567890123456789"),
        SIO_STR("123456789012345678901"),
        SIO_STR("123456789012345678\xc3\xa9"),
        SIO_STR("1234567890123456789\xf0\x9f\x98\x80"),
    };
    struct sio_message *m = sio_message_new("m");
    struct eio_session *b;
    struct sio_target target;
    struct sio_socket *s;
    struct sio_str id;
    struct two t;

    (void)state;
    open_two(&t);
    b = sio_world_join(&t.b, "", &s);
    id = sio_socket_id(s);
    target = to_room(&id);
    sio_namespace_emit(t.a.ns, &target, m);
    assert_string_equal(fake_bus_channel(), "socket.io#/#");
    fake_bus_run();
    assert_string_equal(fake_sent(b), "2[\"m\"]");
    for (size_t i = 0; i < N_ELEMENTS(twenty); i++) {
        sio_socket_join(s, twenty[i]);
        target = to_room(&twenty[i]);
        assert_int_equal(fake_bus_n_topics(), 2 * N_TOPICS);
        sio_namespace_emit(t.a.ns, &target, m);
        assert_string_equal(fake_bus_channel(), "socket.io#/#");
        fake_bus_run();
        assert_string_equal(fake_sent(b), "2[\"m\"]");
    }
    for (size_t i = 0; i < N_ELEMENTS(others); i++) {
        sio_socket_join(s, others[i]);
        assert_int_equal(fake_bus_n_topics(), 2 * N_TOPICS + i + 1);
        target = to_room(&others[i]);
        sio_namespace_emit(t.a.ns, &target, m);
        fake_bus_run();
        assert_string_equal(fake_sent(b), "2[\"m\"]");
    }
    sio_message_free(m);
    two_close(&t);
}

static void a_target_holds_on_all_servers(void **state)
{
    struct sio_str rooms[] = {SIO_STR("r"), SIO_STR("s")};
    struct sio_target target = {
        .rooms = rooms, .n_rooms = 2, .except = rooms, .n_except = 1};
    struct sio_message *m = sio_message_new("m");
    struct eio_session *b1, *b2;
    struct sio_socket *s1, *s2;
    struct two t;

    (void)state;
    open_two(&t);
    b1 = sio_world_join(&t.b, "", &s1);
    b2 = sio_world_join(&t.b, "", &s2);
    sio_socket_join(s1, rooms[0]);
    sio_socket_join(s2, rooms[1]);
    sio_namespace_emit(t.a.ns, &target, m);
    assert_string_equal(fake_bus_channel(), "socket.io#/#");
    fake_bus_run();
    assert_string_equal(fake_sent(b1), "");
    assert_string_equal(fake_sent(b2), "2[\"m\"]");

    target.local = true;
    sio_namespace_emit(t.a.ns, &target, m);
    assert_int_equal(fake_bus_run(), 0);
    sio_message_free(m);
    two_close(&t);
}

static void what_node_says_is_understood(void **state)
{
    struct eio_session *in_a;
    struct sio_socket *s;
    struct two t;

    (void)state;
    open_two(&t);
    in_a = sio_world_join(&t.a, "", &s);
    say("socket.io#/#", NODE(3, EVENT("\"n\",1") "," OPTS("")));
    assert_string_equal(fake_sent(in_a), "2[\"n\",1]");
    say("socket.io#/#", NODE(3, EVENT("\"n\"") "," OPTS("\"r\"")));
    assert_string_equal(fake_sent(in_a), "");
    sio_socket_join(s, SIO_STR("r"));
    sio_socket_join(s, SIO_STR("7"));
    say("socket.io#/#r#", NODE(3, EVENT("\"n\"") "," OPTS("\"r\"")));
    say("socket.io#/#7#", NODE(3, EVENT("\"n\",2") "," OPTS("7")));
    assert_string_equal(fake_sent(in_a), "2[\"n\"]|2[\"n\",2]");
    SAY_BYTES("socket.io#/#r#",
              "\x84\xa4type\x03\xa4"
              "data\x82\xa6packet\x82\xa4type\x02\xa4"
              "data\x92\xa3one\xc4\x03\x00\x01\x02\xa4opts\x83\xa5rooms\x91\xa1r\xa6"
              "except\x90\xa5"
              "flags\x80\xa3uid\xa1n\xa3nsp\xa1/");
    assert_string_equal(fake_sent(in_a),
                        "51-[\"one\",{\"_placeholder\":true,\"num\":0}]|<3 bytes>");
    assert_int_equal(stats_of(t.of_a).n_foreign, 0);
    /* Another namespace's, on this one's channel. */
    say("socket.io#/#", "{\"type\":3,\"data\":{" EVENT("\"n\"") "," OPTS(
                            "") "},\"uid\":\"n\",\"nsp\":\"/other\"}");
    assert_string_equal(fake_sent(in_a), "");
    assert_int_equal(stats_of(t.of_a).n_foreign, 1);
    /* Heartbeats of other adapters. */
    say("socket.io#/#", "{\"type\":1,\"uid\":\"n\",\"nsp\":\"/\"}");
    say("socket.io#/#", "{\"type\":2,\"uid\":\"n\",\"nsp\":\"/\"}");
    say("socket.io#/#", "{\"type\":13,\"uid\":\"n\",\"nsp\":\"/\"}");
    assert_int_equal(stats_of(t.of_a).n_rejected, 0);
    two_close(&t);
}

/* Orders */

static void orders_are_carried_out_everywhere(void **state)
{
    struct sio_str room = SIO_STR_INIT("r"), other = SIO_STR_INIT("o");
    struct sio_target target = to_room(&room);
    struct sio_socket *in_a, *in_b;
    struct eio_session *session;
    struct two t;

    (void)state;
    open_two(&t);
    sio_world_join(&t.a, "", &in_a);
    session = sio_world_join(&t.b, "", &in_b);
    assert_int_equal(sio_namespace_join_all(t.a.ns, NULL, &room, 1), SIO_OK);
    assert_string_equal(fake_bus_channel(), "socket.io#/#");
    fake_bus_run();
    assert_true(sio_socket_in(in_a, room));
    assert_true(sio_socket_in(in_b, room));
    sio_namespace_join_all(t.b.ns, &target, &other, 1);
    fake_bus_run();
    assert_true(sio_socket_in(in_a, other));
    sio_namespace_leave_all(t.b.ns, &target, &other, 1);
    fake_bus_run();
    assert_false(sio_socket_in(in_a, other));

    say("socket.io#/#", NODE(4, OPTS("\"r\"") ",\"rooms\":[\"x\",\"y\"]"));
    assert_true(sio_socket_in(in_a, SIO_STR("y")));
    say("socket.io#/#", NODE(5, OPTS("") ",\"rooms\":[\"y\"]"));
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

/*
 * Whoever was told to make members listens to their room a moment later: until then what
 * is for the room goes to all.
 */
static void new_members_miss_nothing(void **state)
{
    struct sio_str rooms[40], room = SIO_STR_INIT("r"), far = SIO_STR_INIT("far");
    struct sio_target target = to_room(&room), to_far = to_room(&far);
    struct sio_message *m = sio_message_new("m");
    struct two t;

    (void)state;
    open_two(&t);
    for (size_t i = 0; i < N_ELEMENTS(rooms); i++)
        rooms[i] = room;
    sio_namespace_join_all(t.a.ns, NULL, &room, 1);
    sio_namespace_emit(t.a.ns, &target, m);
    assert_string_equal(fake_bus_channel(), "socket.io#/#");
    sio_namespace_emit(t.a.ns, &to_far, m);
    assert_string_equal(fake_bus_channel(), "socket.io#/#far#");
    fake_bus_run();
    sio_namespace_emit(t.b.ns, &target, m);
    assert_string_equal(fake_bus_channel(), "socket.io#/#");
    sio_namespace_emit(t.b.ns, &to_far, m);
    assert_string_equal(fake_bus_channel(), "socket.io#/#far#");

    /* Too many to remember. */
    sio_namespace_join_all(t.a.ns, NULL, rooms, N_ELEMENTS(rooms));
    sio_namespace_emit(t.a.ns, &to_far, m);
    assert_string_equal(fake_bus_channel(), "socket.io#/#");
    for (int i = 0; i < 40; i++)
        sio_namespace_join_all(t.b.ns, NULL, &room, 1);
    sio_namespace_emit(t.b.ns, &to_far, m);
    assert_string_equal(fake_bus_channel(), "socket.io#/#");

    /* By then all listen. */
    net_loop_run_once(t.a.loop, 1100);
    sio_namespace_emit(t.a.ns, &target, m);
    assert_string_equal(fake_bus_channel(), "socket.io#/#r#");
    sio_message_free(m);
    two_close(&t);
}

/* Questions */

static void answers_come_from_all_servers(void **state)
{
    struct sio_message *m = sio_message_new("q");
    struct sio_str room = SIO_STR_INIT("none");
    struct sio_target target = to_room(&room);
    struct eio_session *in_a, *b1, *b2;
    struct two t;

    (void)state;
    open_two(&t);
    in_a = sio_world_join(&t.a, "", NULL);
    b1 = sio_world_join(&t.b, "", NULL);
    b2 = sio_world_join(&t.b, "", NULL);
    assert_int_equal(sio_namespace_emit_ack(t.a.ns, NULL, m, 500, note_answers, &t.a),
                     SIO_OK);
    assert_string_equal(fake_bus_channel(), "socket.io#/#");
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

    /* Nobody is there: the servers say so. */
    sio_namespace_emit_ack(t.a.ns, &target, m, 500, note_answers, &t.a);
    assert_string_equal(fake_bus_channel(), "socket.io#/#");
    fake_bus_run();
    sio_world_expect(&t.a, "all()");
    sio_message_free(m);
    two_close(&t);
}

static void node_is_answered(void **state)
{
    struct eio_session *in_a;
    char text[1000];
    struct two t;

    (void)state;
    open_two(&t);
    cluster_world_close(&t.b, t.of_b);
    in_a = sio_world_join(&t.a, "", NULL);
    say("socket.io#/#", NODE(3, EVENT("\"ask\"") ",\"requestId\":\"q\"," OPTS("")));
    assert_string_equal(fake_bus_channel(), "socket.io#/#n#");
    snprintf(text, sizeof(text),
             "{\"type\":11,\"data\":{\"requestId\":\"q\",\"clientCount\":1},\"uid\":"
             "\"%.20s\",\"nsp\":\"/\"}",
             sio_cluster_uid(t.of_a).ptr);
    expect_body(text);
    assert_string_equal(fake_sent(in_a), "20[\"ask\"]");
    fake_text(in_a, "30[{\"v\":1}]");
    assert_string_equal(fake_bus_channel(), "socket.io#/#n#");
    snprintf(text, sizeof(text),
             "{\"type\":12,\"data\":{\"requestId\":\"q\",\"packet\":{\"v\":1}},\"uid\":"
             "\"%.20s\",\"nsp\":\"/\"}",
             sio_cluster_uid(t.of_a).ptr);
    expect_body(text);

    sio_namespace_on_side_emit(t.a.ns, note_side, &t.a);
    say("socket.io#/#", NODE(9, "\"requestId\":\"q\",\"packet\":[\"hello\",1]"));
    sio_world_expect(&t.a, "side(hello)");
    snprintf(text, sizeof(text),
             "{\"type\":10,\"data\":{\"requestId\":\"q\",\"packet\":\"here\"},\"uid\":"
             "\"%.20s\",\"nsp\":\"/\"}",
             sio_cluster_uid(t.of_a).ptr);
    expect_body(text);
    say("socket.io#/#", NODE(9, "\"packet\":[\"hi\"]"));
    sio_world_expect(&t.a, "side(hi)");
    expect_body(text);
    say("socket.io#/#", NODE(7, "\"requestId\":\"q\"," OPTS("\"none\"")));
    snprintf(text, sizeof(text),
             "{\"type\":8,\"data\":{\"requestId\":\"q\",\"sockets\":[]},\"uid\":"
             "\"%.20s\",\"nsp\":\"/\"}",
             sio_cluster_uid(t.of_a).ptr);
    expect_body(text);
    t.of_b = cluster_world_open(&t.b, NULL, NULL);
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

    /* Before the subscription is there nobody knows whether it counts. */
    two_close(&t);
    fake_bus_confirm(false);
    open_two(&t);
    sio_namespace_fetch(t.a.ns, NULL, note_fetched, &t.a);
    fake_bus_run();
    sio_world_expect(&t.a, "all()");
    two_close(&t);
}

static void servers_speak_to_each_other(void **state)
{
    struct sio_message *m = sio_message_newf("hello", "i", 7);
    struct sio_message *bytes =
        sio_message_newf("b", "B", (struct sio_slice){NULL, (const uint8_t *)"x", 1});
    struct two t;

    (void)state;
    open_two(&t);
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
    sio_namespace_side_emit(t.b.ns, bytes, 0, note_answers, &t.b);
    fake_bus_run();
    sio_world_expect(&t.a, "side(b)");
    sio_world_expect(&t.b, "all(\"here\")");
    assert_int_equal(stats_of(t.of_a).n_rejected, 0);
    sio_message_free(m);
    sio_message_free(bytes);
    two_close(&t);
}

/* Redis */

static void without_redis_each_server_is_alone(void **state)
{
    struct sio_str room = SIO_STR_INIT("r");
    struct sio_target target = to_room(&room);
    struct sio_message *m = sio_message_new("m");
    struct eio_session *in_a;
    struct sio_socket *s;
    struct two t;

    (void)state;
    open_two(&t);
    in_a = sio_world_join(&t.a, "", &s);
    sio_namespace_fetch(t.a.ns, NULL, note_fetched, &t.a);
    fake_bus_down();
    sio_world_expect(&t.a, "closed(here1)");

    sio_socket_join(s, room);
    assert_int_equal(sio_namespace_emit(t.a.ns, &target, m), 1);
    assert_string_equal(fake_sent(in_a), "2[\"m\"]");
    assert_int_equal(stats_of(t.of_a).n_dropped, 1);
    sio_namespace_side_emit(t.a.ns, m, 0, note_answers, &t.a);
    sio_world_expect(&t.a, "closed()");
    assert_int_equal(sio_namespace_join_all(t.a.ns, NULL, &room, 1), SIO_ERR_CLOSED);
    sio_socket_leave(s, room);
    fake_bus_up();
    fake_bus_refuse(SIO_ERR_FULL);
    assert_int_equal(sio_namespace_emit(t.a.ns, NULL, m), 1);
    fake_bus_refuse(SIO_OK);
    sio_message_free(m);
    two_close(&t);
}

/* Recovery */

static void open_recovering(struct sio_world *w, struct sio_cluster **c,
                            uint32_t max_away_ms)
{
    struct sio_cluster_options opts = {.mode = SIO_CLUSTER_SHARDED};
    struct sio_server_options server = {.recovery = {.max_away_ms = max_away_ms}};

    *c = cluster_world_open(w, &opts, &server);
}

/* Who may come back to a room gets what came meanwhile. */
static void who_is_away_is_not_forgotten(void **state)
{
    struct eio_session *session;
    struct sio_cluster *c;
    struct sio_socket *s;
    struct sio_world w;

    (void)state;
    open_recovering(&w, &c, 10000);
    session = sio_world_join(&w, "", &s);
    sio_socket_join(s, SIO_STR("r"));
    sio_socket_join(s, SIO_STR("left"));
    sio_socket_leave(s, SIO_STR("left"));
    assert_int_equal(fake_bus_n_topics(), N_TOPICS + 1);
    fake_close(session, EIO_CLOSE_TRANSPORT_CLOSE);
    sio_world_turn(&w);
    assert_int_equal(fake_bus_n_topics(), N_TOPICS + 1);
    say("socket.io#/#r#", NODE(3, EVENT("\"missed\"") "," OPTS("\"r\"")));
    assert_int_equal(w.ns->recovery->history.n, 1);

    /* Another member comes, and goes for good: the first may still come back. */
    session = sio_world_join(&w, "", &s);
    sio_socket_join(s, SIO_STR("r"));
    sio_socket_leave(s, SIO_STR("r"));
    assert_int_equal(fake_bus_n_topics(), N_TOPICS + 1);
    cluster_world_close(&w, c);
    assert_int_equal(fake_bus_n_topics(), 0);
    fake_bus_reset();
    fake_reset();
}

static void who_is_away_too_long_is_forgotten(void **state)
{
    struct eio_session *session;
    struct sio_cluster *c;
    struct sio_socket *s;
    struct sio_world w;

    (void)state;
    open_recovering(&w, &c, 10);
    session = sio_world_join(&w, "", &s);
    sio_socket_join(s, SIO_STR("r"));
    sio_socket_join(s, SIO_STR("s"));
    fake_close(session, EIO_CLOSE_TRANSPORT_CLOSE);
    sio_world_turn(&w);
    assert_int_equal(fake_bus_n_topics(), N_TOPICS + 2);
    while (fake_bus_n_topics() > N_TOPICS)
        net_loop_run_once(w.loop, -1);
    cluster_world_close(&w, c);
    fake_bus_reset();
    fake_reset();
}

/* Namespaces */

static void a_namespace_listens_while_it_is_there(void **state)
{
    struct sio_namespace *parent;
    struct eio_session *s;
    struct sio_socket *socket;
    struct two t;

    (void)state;
    open_two(&t);
    parent = sio_server_pattern(t.a.server, "^/d", &sio_world_ops, &t.a);
    sio_namespace_set_children(parent, 10, true);
    assert_int_equal(fake_bus_n_topics(), 2 * N_TOPICS);
    s = sio_world_join(&t.a, "/d1", &socket);
    assert_int_equal(fake_bus_n_topics(), 3 * N_TOPICS);
    sio_socket_join(socket, SIO_STR("r"));
    assert_int_equal(fake_bus_n_topics(), 3 * N_TOPICS + 1);
    fake_close(s, EIO_CLOSE_TRANSPORT_CLOSE);
    sio_world_turn(&t.a);
    assert_int_equal(fake_bus_n_topics(), 2 * N_TOPICS);
    two_close(&t);
}

/* "/a" with the room "b" has the channel that "/a#b" would have. */
static void names_do_not_collide(void **state)
{
    struct sio_socket *s;
    struct two t;

    (void)state;
    open_two(&t);
    assert_null(sio_server_namespace(t.a.server, "/a#b", &sio_world_ops, &t.a));
    assert_int_equal(fake_bus_n_topics(), 2 * N_TOPICS);
    assert_non_null(sio_server_namespace(t.a.server, "/a", &sio_world_ops, &t.a));
    sio_world_join(&t.a, "/a", &s);
    assert_int_equal(sio_socket_join(s, SIO_STR("b")), SIO_OK);
    assert_int_equal(fake_bus_n_topics(), 3 * N_TOPICS + 1);
    assert_int_equal(sio_socket_join(s, SIO_STR("#")), SIO_OK);
    assert_int_equal(fake_bus_n_topics(), 3 * N_TOPICS + 2);
    two_close(&t);
}

/* Rubbish */

static void rubbish_is_counted(void **state)
{
    static const struct sio_slice rubbish[] = {
#define BAD(literal) {NULL, (const uint8_t *)(literal), sizeof(literal) - 1}
        BAD(""),
        BAD("\x80\x04\x95\x10\x00"), /* pickle */
        BAD("{\"type\":5"),
        BAD("{\"type\":10,\"data\":{},\"uid\":\"n\",\"nsp\":\"/\"}"),
        BAD("\xdd\xff\xff\xff\xff"), /* an array of 4 G items */
        BAD("\x91\x91\x91\x91\x91\x91\x91"),
        BAD(NODE(3, OPTS("") ",\"packet\":{\"type\":2,\"data\":[\"disconnect\"]}")),
        BAD(NODE(3, OPTS("") ",\"packet\":{\"type\":2,\"data\":[\"a\\u0000\"]}")),
        BAD(NODE(9, "\"packet\":[]")),
#undef BAD
    };
    char own[64];
    struct two t;
    char *big;

    (void)state;
    open_two(&t);
    snprintf(own, sizeof(own), "socket.io#/#%.20s#", sio_cluster_uid(t.of_a).ptr);
    sio_world_join(&t.a, "", NULL);
    for (size_t i = 0; i < N_ELEMENTS(rubbish); i++) {
        fake_bus_say_shard("socket.io#/#", rubbish[i].ptr, rubbish[i].len);
        fake_bus_say_shard(own, rubbish[i].ptr, rubbish[i].len);
    }
    /* Only answers come there. */
    fake_bus_say_shard(own, NODE(5, OPTS("") ",\"rooms\":[\"y\"]"),
                       strlen(NODE(5, OPTS("") ",\"rooms\":[\"y\"]")));
    fake_bus_run();
    assert_int_equal(stats_of(t.of_a).n_rejected, 2 * N_ELEMENTS(rubbish) + 1);
    assert_int_equal(stats_of(t.of_b).n_rejected, N_ELEMENTS(rubbish));
    big = calloc(1, 5000000);
    fake_bus_say_shard("socket.io#/#", big, 5000000);
    fake_bus_run();
    free(big);
    assert_int_equal(stats_of(t.of_b).n_rejected, N_ELEMENTS(rubbish) + 1);
    two_close(&t);
}

static void strange_answers_are_counted(void **state)
{
    struct sio_message *m = sio_message_new("q");
    struct sio_cluster_msg read;
    char own[64], id[32], text[300];
    struct two t;

    (void)state;
    open_two(&t);
    snprintf(own, sizeof(own), "socket.io#/#%.20s#", sio_cluster_uid(t.of_a).ptr);
    fake_bus_others(1);
    sio_namespace_side_emit(t.a.ns, m, 0, note_answers, &t.a);
    assert_int_equal(sio_sharded_read(fake_bus_body(), &read), SIO_OK);
    snprintf(id, sizeof(id), "%.*s", (int)read.request_id.len, read.request_id.ptr);
    sio_cluster_msg_fini(&read);
    fake_bus_run();
#define ANSWER(type, more)                                                         \
    do {                                                                           \
        snprintf(text, sizeof(text), NODE(type, "\"requestId\":\"%s\"" more), id); \
        say(own, text);                                                            \
    } while (0)
    ANSWER(11, ",\"clientCount\":1");
    ANSWER(8, ",\"sockets\":[{\"id\":3}]");
    ANSWER(12, "");
    assert_int_equal(stats_of(t.of_a).n_rejected, 3);
    say(own, NODE(10, "\"requestId\":\"other\""));
    assert_int_equal(stats_of(t.of_a).n_rejected, 3);
    sio_world_expect(&t.a, "");
    ANSWER(10, ",\"packet\":null");
    ANSWER(10, "");
    sio_world_expect(&t.a, "all(null,)");
#undef ANSWER
    sio_message_free(m);
    two_close(&t);
}

/* Memory */

static void on_count(int status, const struct sio_answers *answers, void *user)
{
    (void)status;
    (void)answers;
    ++*(int *)user;
}

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
        struct sio_target target = to_room(&room);
        struct sio_message *m;
        struct sio_slice large;
        struct eio_session *a, *b;
        int asked, sided, fetched, told = 0, listed = 0;
        struct two t;

        alloc_fail_pause();
        open_two(&t);
        sio_namespace_on_side_emit(t.b.ns, note_side, &t.b);
        a = sio_world_join(&t.a, "", NULL);
        b = sio_world_join(&t.b, "", NULL);
        large = filled(5000, 'z');
        m = sio_message_newf("q", "sB", "text", large);
        sio_buf_unref(large.buf);
        alloc_fail_resume();
        sio_namespace_emit(t.a.ns, NULL, m);
        asked = sio_namespace_emit_ack(t.a.ns, NULL, m, 0, on_count, &told);
        fetched = sio_namespace_fetch(t.a.ns, NULL, on_list, &listed);
        sided = sio_namespace_side_emit(t.a.ns, m, 0, on_count, &told);
        sio_namespace_join_all(t.a.ns, NULL, &room, 1);
        fake_bus_run();
        fake_text(a, "30[1]");
        fake_text(b, "30[2]");
        sio_namespace_emit(t.a.ns, &target, m);
        fake_bus_run();
        sio_namespace_leave_all(t.a.ns, NULL, &room, 1);
        fake_bus_run();
        alloc_fail_pause();
        sio_message_free(m);
        two_close(&t);
        assert_int_equal(told, (asked == SIO_OK) + (sided == SIO_OK));
        assert_int_equal(listed, fetched == SIO_OK);
        alloc_fail_resume();
    }
}

static void an_adapter_is_made_whole_or_not_at_all(void **state)
{
    (void)state;
    alloc_fail_each(n)
    {
        struct sio_cluster_options opts = {.redis_url = "redis://localhost",
                                           .mode = SIO_CLUSTER_SHARDED};
        struct sio_server_options server = {.adapter = sio_cluster_adapter};
        struct sio_server *s;
        struct net_loop *loop;
        struct sio_cluster *c;

        alloc_fail_pause();
        loop = net_loop_new(NULL, NULL);
        c = sio_cluster_new(loop, &opts, NULL);
        server.adapter_user = c;
        s = sio_server_new(loop, &server, NULL);
        alloc_fail_resume();
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
        cmocka_unit_test(a_broadcast_reaches_each_client_once),
        cmocka_unit_test(what_is_large_arrives_as_it_was),
        cmocka_unit_test(a_room_is_heard_where_it_has_members),
        cmocka_unit_test(an_id_has_no_channel),
        cmocka_unit_test(a_longer_id_has_no_channel_either),
        cmocka_unit_test(a_target_holds_on_all_servers),
        cmocka_unit_test(what_node_says_is_understood),
        cmocka_unit_test(orders_are_carried_out_everywhere),
        cmocka_unit_test(new_members_miss_nothing),
        cmocka_unit_test(answers_come_from_all_servers),
        cmocka_unit_test(node_is_answered),
        cmocka_unit_test(who_is_silent_is_not_waited_for),
        cmocka_unit_test(sockets_of_all_servers_are_listed),
        cmocka_unit_test(servers_speak_to_each_other),
        cmocka_unit_test(without_redis_each_server_is_alone),
        cmocka_unit_test(who_is_away_is_not_forgotten),
        cmocka_unit_test(who_is_away_too_long_is_forgotten),
        cmocka_unit_test(a_namespace_listens_while_it_is_there),
        cmocka_unit_test(names_do_not_collide),
        cmocka_unit_test(rubbish_is_counted),
        cmocka_unit_test(strange_answers_are_counted),
        cmocka_unit_test(no_call_is_lost_without_memory),
        cmocka_unit_test(an_adapter_is_made_whole_or_not_at_all),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
