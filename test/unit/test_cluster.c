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

/* More of it than is passed on without a copy. */
static void what_is_large_arrives_as_it_was(void **state)
{
    struct sio_message *m = sio_message_new("large");
    char expected[400];
    struct eio_session *in_b;
    struct two t;
    size_t len;

    (void)state;
    open_two(&t);
    in_b = sio_world_join(&t.b, "", NULL);
    len = (size_t)snprintf(expected, sizeof(expected), "55-[\"large\"");
    for (int i = 0; i < 5; i++) {
        struct sio_buf *buf = sio_buf_new(5000);

        memset(sio_buf_data(buf), 'a' + i, 5000);
        sio_message_add_binary(m, sio_slice_of(buf));
        sio_buf_unref(buf);
        len += (size_t)snprintf(expected + len, sizeof(expected) - len,
                                ",{\"_placeholder\":true,\"num\":%d}", i);
    }
    snprintf(expected + len, sizeof(expected) - len,
             "]|<5000 bytes>|<5000 bytes>|<5000 bytes>|<5000 bytes>|<5000 bytes>");
    sio_namespace_emit(t.a.ns, NULL, m);
    sio_message_free(m);
    fake_bus_run();
    assert_string_equal(fake_sent(in_b), expected);
    for (int i = 0; i < 5; i++) {
        char run[5001];

        memset(run, 'a' + i, 5000);
        run[5000] = '\0';
        assert_non_null(memmem(fake_bus_body().ptr, fake_bus_body().len, run, 5000));
    }
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
    sio_cluster_write_broadcast(&bytes, NULL, SIO_STR("x"), SIO_STR("/"), &target, m);
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
    struct eio_session *in_b;
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
    in_b = sio_world_join(&t.b, "", NULL);
    fake_bus_run();
    assert_string_equal(fake_sent(in_b), "2[\"m\"]");
    sio_message_free(m);
    two_close(&t);
}

/* The name of an event is a C string here. */
static void a_name_without_end_is_rejected(void **state)
{
    struct eio_session *in_a;
    struct two t;

    (void)state;
    open_two(&t);
    in_a = sio_world_join(&t.a, "", NULL);
    SAY_BYTES("socket.io#/#", "\x93\xa1u\x83\xa4type\x02\xa4"
                              "data\x91\xa3"
                              "a\0b\xa3nsp\xa1/\x80");
    assert_string_equal(fake_sent(in_a), "");
    assert_int_equal(stats_of(t.of_a).n_rejected, 1);
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

/* Memory */

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
        cmocka_unit_test(what_is_large_arrives_as_it_was),
        cmocka_unit_test(a_target_holds_on_all_servers),
        cmocka_unit_test(what_node_says_is_understood),
        cmocka_unit_test(a_room_that_nobody_is_in_costs_nothing),
        cmocka_unit_test(who_is_away_is_not_forgotten),
        cmocka_unit_test(flags_cross),
        cmocka_unit_test(a_name_without_end_is_rejected),
        cmocka_unit_test(names_are_literal_in_patterns),
        cmocka_unit_test(orders_are_carried_out_everywhere),
        cmocka_unit_test(old_orders_are_answered),
        cmocka_unit_test(sockets_and_rooms_are_listed),
        cmocka_unit_test(a_namespace_listens_while_it_is_there),
        cmocka_unit_test(a_cluster_serves_one_server),
        cmocka_unit_test(rubbish_is_counted),
        cmocka_unit_test(a_cluster_is_made_whole_or_not_at_all),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
