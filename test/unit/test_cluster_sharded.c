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
#include "cluster_world.h"

#define N_TOPICS 2 /* of a namespace without rooms */

static void open_two(struct two *t)
{
    struct sio_cluster_options opts = {.mode = SIO_CLUSTER_SHARDED};

    two_open(t, &opts);
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

static void a_broadcast_is_said_as_node_says_it(void **state)
{
    struct sio_message *m = sio_message_newf("news", "i", 1);
    struct sio_message *bytes = bytes_message("b");
    char text[300];
    struct two t;

    (void)state;
    open_two(&t);
    sio_namespace_emit(t.a.ns, NULL, m);
    snprintf(text, sizeof(text),
             "{\"type\":3,\"data\":{\"packet\":{\"type\":2,\"data\":[\"news\",1]},"
             "\"opts\":{\"rooms\":[],\"except\":[],\"flags\":{}}},\"uid\":\"%.20s\","
             "\"nsp\":\"/\"}",
             sio_cluster_uid(t.of_a).ptr);
    expect_body(text);
    sio_namespace_emit(t.b.ns, NULL, bytes);
    assert_int_equal(fake_bus_body().ptr[0], 0x84);
    sio_message_free(m);
    sio_message_free(bytes);
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

/*
 * Clients of Socket.IO 2 have ids with something in front, for which node's servers listen
 * no more than for others; but they send there.
 */
static void a_longer_id_is_sent_to_all(void **state)
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
    say("socket.io#/x#/x#sid-of-twenty-chars-#",
        "{\"type\":3,\"data\":{" EVENT("\"n\"") "," OPTS(
            "\"/x#sid-of-twenty-chars-\"") "},\"uid\":\"n\",\"nsp\":\"/x\"}");
    assert_string_equal(fake_sent(b), "2/x,[\"n\"]");
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

static void open_private(struct two *t)
{
    struct sio_cluster_options opts = {.mode = SIO_CLUSTER_SHARDED,
                                       .subscriptions = SIO_CLUSTER_DYNAMIC_PRIVATE};

    two_open(t, &opts);
}

static void an_id_has_a_channel_where_that_is_wanted(void **state)
{
    struct sio_message *m = sio_message_new("m");
    struct eio_session *a, *b, *old;
    struct sio_socket *s, *other;
    struct sio_target target;
    struct sio_str id;
    char channel[64];
    struct two t;

    (void)state;
    open_private(&t);
    b = sio_world_join(&t.b, "", &s);
    id = sio_socket_id(s);
    target = to_room(&id);
    snprintf(channel, sizeof(channel), "socket.io#/#%.20s#", id.ptr);
    assert_int_equal(fake_bus_n_topics(), 2 * N_TOPICS + 1);
    sio_namespace_emit(t.a.ns, &target, m);
    assert_string_equal(fake_bus_channel(), channel);
    fake_bus_run();
    assert_string_equal(fake_sent(b), "2[\"m\"]");
    assert_int_equal(stats_of(t.of_a).n_received, 0);
    assert_int_equal(stats_of(t.of_b).n_received, 1);

    /* It is a room that others may be in, and stay in. */
    a = sio_world_join(&t.b, "", &other);
    sio_socket_join(other, id);
    assert_int_equal(fake_bus_n_topics(), 2 * N_TOPICS + 2);
    sio_namespace_emit(t.a.ns, &target, m);
    fake_bus_run();
    assert_string_equal(fake_sent(b), "2[\"m\"]");
    assert_string_equal(fake_sent(a), "2[\"m\"]");
    id = SIO_STR("");
    fake_close(b, EIO_CLOSE_TRANSPORT_CLOSE);
    sio_world_turn(&t.b);
    assert_int_equal(fake_bus_n_topics(), 2 * N_TOPICS + 2);
    say(channel, NODE(3, EVENT("\"n\"") "," OPTS("")));
    assert_string_equal(fake_sent(a), "2[\"n\"]");
    fake_close(a, EIO_CLOSE_TRANSPORT_CLOSE);
    sio_world_turn(&t.b);
    assert_int_equal(fake_bus_n_topics(), 2 * N_TOPICS);

    /* Also that of a client of Socket.IO 2. */
    old = fake_open_3(sio_server_engine(t.b.server));
    (void)fake_sent(old);
    id = SIO_STR("sid-of-twenty-chars-");
    assert_int_equal(fake_bus_n_topics(), 2 * N_TOPICS + 1);
    sio_namespace_emit(t.a.ns, &target, m);
    fake_bus_run();
    assert_string_equal(fake_sent(old), "2[\"m\"]");
    sio_message_free(m);
    two_close(&t);
}

/* What is on the channel of a room with that name are answers. */
static void a_room_with_a_servers_name_is_not_heard(void **state)
{
    struct sio_message *m = sio_message_newf("hello", "i", 7);
    struct sio_socket *s;
    struct two t;

    (void)state;
    open_private(&t);
    sio_world_join(&t.a, "", &s);
    sio_namespace_on_side_emit(t.b.ns, note_side, &t.b);
    assert_int_equal(sio_socket_join(s, sio_cluster_uid(t.of_a)), SIO_OK);
    assert_int_equal(fake_bus_n_topics(), 2 * N_TOPICS + 1);
    fake_bus_others(1);
    sio_namespace_side_emit(t.a.ns, m, 0, note_answers, &t.a);
    fake_bus_run();
    sio_world_expect(&t.a, ""); /* the other one has still to answer */
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

/* Recovery */

static void open_recovering(struct sio_world *w, struct sio_cluster **c,
                            uint32_t max_away_ms)
{
    struct sio_cluster_options opts = {.mode = SIO_CLUSTER_SHARDED};
    struct sio_server_options server = {.recovery = {.max_away_ms = max_away_ms}};

    *c = cluster_world_open(w, &opts, &server);
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

/* The room "b" of "/a" has the channel of "/a#b". */
static void names_do_not_collide(void **state)
{
    struct sio_namespace *plain, *odd;
    struct sio_str room = SIO_STR_INIT("b");
    struct sio_target target = to_room(&room);
    struct sio_message *m = sio_message_new("m");
    struct eio_session *in_plain, *in_odd;
    struct sio_socket *s;
    struct two t;

    (void)state;
    open_two(&t);
    plain = sio_server_namespace(t.a.server, "/a", &sio_world_ops, &t.a);
    odd = sio_server_namespace(t.a.server, "/a#b", &sio_world_ops, &t.a);
    assert_non_null(odd);
    sio_server_namespace(t.b.server, "/a#b", &sio_world_ops, &t.b);
    sio_server_namespace(t.b.server, "/a", &sio_world_ops, &t.b);
    in_odd = sio_world_join(&t.b, "/a#b", NULL);
    in_plain = sio_world_join(&t.b, "/a", &s);
    assert_int_equal(sio_socket_join(s, room), SIO_OK);

    sio_namespace_emit(plain, &target, m);
    assert_string_equal(fake_bus_channel(), "socket.io#/a#b#");
    fake_bus_run();
    assert_string_equal(fake_sent(in_plain), "2/a,[\"m\"]");
    assert_string_equal(fake_sent(in_odd), "");
    sio_namespace_emit(odd, NULL, m);
    assert_string_equal(fake_bus_channel(), "socket.io#/a#b#");
    fake_bus_run();
    assert_string_equal(fake_sent(in_plain), "");
    assert_string_equal(fake_sent(in_odd), "2/a#b,[\"m\"]");
    sio_namespace_emit_ack(odd, NULL, m, 500, note_answers, &t.a);
    fake_bus_run();
    fake_text(in_odd, "3/a#b,0[1]");
    fake_bus_run();
    sio_world_expect(&t.a, "all(1)");

    /* The room goes, the namespace stays. */
    sio_socket_leave(s, room);
    sio_namespace_emit(odd, NULL, m);
    fake_bus_run();
    assert_string_equal(fake_sent(in_odd), "2/a#b,0[\"m\"]|2/a#b,[\"m\"]");
    assert_int_equal(stats_of(t.of_b).n_rejected, 0);
    sio_message_free(m);
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

static void come_without_memory(uint32_t max_away_ms)
{
    const struct sio_cluster_options opts = {
        .mode = SIO_CLUSTER_SHARDED, .subscriptions = SIO_CLUSTER_DYNAMIC_PRIVATE};
    const struct sio_server_options server = {.recovery = {.max_away_ms = max_away_ms}};

    alloc_fail_each(n)
    {
        struct eio_session *s;
        struct sio_cluster *c;
        struct sio_world w;
        size_t n_here;

        alloc_fail_pause();
        c = cluster_world_open(&w, &opts, &server);
        s = fake_open(sio_server_engine(w.server));
        alloc_fail_resume();
        fake_text(s, "0");
        alloc_fail_pause();
        n_here = sio_namespace_n_sockets(w.ns);
        if (max_away_ms == 0) /* else one that is lost at once may come back */
            assert_int_equal(fake_bus_n_topics(), N_TOPICS + n_here);
        cluster_world_close(&w, c);
        assert_int_equal(fake_bus_n_topics(), 0);
        fake_bus_reset();
        fake_reset();
        alloc_fail_resume();
    }
}

static void a_socket_comes_with_its_channel_or_not_at_all(void **state)
{
    (void)state;
    come_without_memory(0);
    come_without_memory(10000);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_broadcast_is_said_as_node_says_it),
        cmocka_unit_test(a_room_is_heard_where_it_has_members),
        cmocka_unit_test(an_id_has_no_channel),
        cmocka_unit_test(an_id_has_a_channel_where_that_is_wanted),
        cmocka_unit_test(a_room_with_a_servers_name_is_not_heard),
        cmocka_unit_test(a_longer_id_is_sent_to_all),
        cmocka_unit_test(what_node_says_is_understood),
        cmocka_unit_test(new_members_miss_nothing),
        cmocka_unit_test(node_is_answered),
        cmocka_unit_test(who_is_away_too_long_is_forgotten),
        cmocka_unit_test(names_do_not_collide),
        cmocka_unit_test(rubbish_is_counted),
        cmocka_unit_test(strange_answers_are_counted),
        cmocka_unit_test(a_socket_comes_with_its_channel_or_not_at_all),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
