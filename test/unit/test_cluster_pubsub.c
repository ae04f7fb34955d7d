/*
 * Servers that act as one over classic channels: what each says on which channel, and
 * what is made of what node says.
 */
#include <config.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "cluster/codec.h"
#include "cluster_world.h"

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

/* Broadcasts */

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
    two_open(&t, NULL);
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
    two_open(&t, NULL);
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

static void flags_cross(void **state)
{
    struct sio_message *m = sio_message_new("m");
    struct sio_cluster_msg read;
    struct eio_session *in_b;
    struct two t;

    (void)state;
    two_open(&t, NULL);
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
    two_open(&t, NULL);
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
    struct sio_cluster_options opts = {.key = "k*[a]?\\"};
    struct eio_session *session;
    struct sio_cluster *c;
    struct sio_world w;

    (void)state;
    c = cluster_world_open(&w, &opts, NULL);
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

/* Peers of version 5 and before name one socket and one room. */
static void old_orders_are_answered(void **state)
{
    struct sio_socket *s;
    char text[200];
    struct two t;

    (void)state;
    two_open(&t, NULL);
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
    two_open(&t, NULL);
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
    t.of_a = cluster_world_open(&t.a, NULL, NULL);
    two_close(&t);
}

/* Side emits */

static void side_emits_are_said_as_node_says_them(void **state)
{
    struct sio_message *m = sio_message_newf("hello", "i", 7);
    char text[200];
    struct two t;

    (void)state;
    two_open(&t, NULL);
    sio_namespace_on_side_emit(t.a.ns, note_side, &t.a);
    sio_namespace_on_side_emit(t.b.ns, note_side, &t.b);
    sio_namespace_side_emit(t.a.ns, m, 0, NULL, NULL);
    snprintf(text, sizeof(text),
             "{\"type\":6,\"uid\":\"%.20s\",\"data\":[\"hello\",7]}",
             sio_cluster_uid(t.of_a).ptr);
    expect_body(text);
    fake_bus_run();

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
    two_open(&t, NULL);
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

static void strange_answers_are_counted(void **state)
{
    struct sio_message *m = sio_message_new("q");
    struct sio_cluster_msg read;
    char id[32], text[200];
    struct two t;

    (void)state;
    two_open(&t, NULL);
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

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_node_says_is_understood),
        cmocka_unit_test(a_room_that_nobody_is_in_costs_nothing),
        cmocka_unit_test(flags_cross),
        cmocka_unit_test(a_name_without_end_is_rejected),
        cmocka_unit_test(names_are_literal_in_patterns),
        cmocka_unit_test(old_orders_are_answered),
        cmocka_unit_test(sockets_and_rooms_are_listed),
        cmocka_unit_test(side_emits_are_said_as_node_says_them),
        cmocka_unit_test(rubbish_is_counted),
        cmocka_unit_test(strange_answers_are_counted),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
