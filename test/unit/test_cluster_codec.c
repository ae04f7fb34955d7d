/*
 * What servers say to each other: bytes of node's adapter and emitter, ours, rubbish.
 */
#include <config.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "alloc_fail.h"
#include "base/str.h"
#include "cluster/codec.h"

#define BYTES(literal) \
    ((struct sio_slice){NULL, (const uint8_t *)(literal), sizeof(literal) - 1})

static struct sio_slice bytes_of(const struct wbuf *w)
{
    struct sio_str s = wbuf_str(w);

    return (struct sio_slice){NULL, (const uint8_t *)s.ptr, s.len};
}

#define assert_text(str, text) assert_true(str_eq_cstr((str), (text)))

/* An event as "name|arg|arg|n attachments". */
static void note(struct sio_event *e, void *user)
{
    char *log = user;
    struct sio_str name = sio_event_name(e);
    size_t n = (size_t)snprintf(log, 512, "%.*s", STR_ARG(name));

    for (size_t i = 0; i < sio_event_n_args(e); i++) {
        struct sio_str arg = sio_event_arg(e, i);

        n += (size_t)snprintf(log + n, 512 - n, "|%.*s", STR_ARG(arg));
    }
    snprintf(log + n, 512 - n, "|%zu", sio_event_n_attachments(e));
}

/* As @socket.io/redis-emitter 5 writes it. */
#define EMITTED                                                            \
    "\x93\xa7"                                                             \
    "emitter\x83\xa4type\x02\xa4"                                          \
    "data\x93\xa1"                                                         \
    "e\x81\xa1"                                                            \
    "a\xc4\x03\x00\x01\x02\xa1x\xa3nsp\xa1/\x83\xa5rooms\x92\xa1r\x07\xa5" \
    "flags\x82\xa8volatile\xc3\xa8"                                        \
    "compress\xc2\xa6"                                                     \
    "except\x91\xa3s\"q"

static void test_emitter(void **state)
{
    struct sio_cluster_msg m;
    char log[512] = "";

    (void)state;
    assert_int_equal(sio_cluster_read_broadcast(BYTES(EMITTED), &m), SIO_OK);
    assert_text(m.uid, "emitter");
    assert_int_equal(m.rooms.n, 2);
    assert_text(m.rooms.items[0], "r");
    assert_text(m.rooms.items[1], "7");
    assert_int_equal(m.except.n, 1);
    assert_text(m.except.items[0], "s\"q");
    assert_true(m.is_volatile && m.no_compress);
    assert_int_equal(sio_cluster_show_packet(m.packet, SIO_STR("/"), note, log),
                     SIO_OK);
    assert_string_equal(log, "e|{\"a\":{\"_placeholder\":true,\"num\":0}}|\"x\"|1");
    log[0] = '\0';
    assert_int_equal(sio_cluster_show_packet(m.packet, SIO_STR("/x"), note, log),
                     SIO_ERR_PROTOCOL);
    assert_string_equal(log, "");
    sio_cluster_msg_fini(&m);
}

/* As @socket.io/redis-adapter 8 writes them. */
static void test_node_requests(void **state)
{
    struct sio_cluster_msg m;
    char log[512] = "";

    (void)state;
    assert_int_equal(
        sio_cluster_read_request(
            BYTES("\x85\xa3uid\xa6"
                  "abc123\xa9requestId\xa2q1\xa4type\x07\xa6packet\x83\xa4type\x02\xa4"
                  "data\x92\xa8question\xa4room\xa3nsp\xa1/\xa4opts\x83\xa5rooms\x91"
                  "\xa1r\xa6"
                  "except\x90\xa5"
                  "flags\x82\xa7timeout\xcd\x01\xf4\xb4"
                  "expectSingleResponse\xc2"),
            &m),
        SIO_OK);
    assert_int_equal(m.type, SIO_CLUSTER_BROADCAST);
    assert_text(m.request_id, "q1");
    assert_int_equal(m.timeout_ms, 500);
    assert_int_equal(sio_cluster_show_packet(m.packet, SIO_STR("/"), note, log),
                     SIO_OK);
    assert_string_equal(log, "question|\"room\"|0");
    sio_cluster_msg_fini(&m);

    assert_int_equal(
        sio_cluster_read_request(BYTES("{\"type\":2,\"opts\":{\"rooms\":[\"a\\n\"],"
                                       "\"except\":[]},\"rooms\":[\"b\",\"\\u00e9\"]}"),
                                 &m),
        SIO_OK);
    assert_true(m.uid.ptr == NULL);
    assert_text(m.rooms.items[0], "a\n");
    assert_int_equal(m.names.n, 2);
    assert_text(m.names.items[1], "\xc3\xa9");
    sio_cluster_msg_fini(&m);
}

static void test_node_responses(void **state)
{
    struct sio_cluster_msg m;
    char log[512] = "";

    (void)state;
    assert_int_equal(sio_cluster_read_response(
                         BYTES("\x83\xa4type\x09\xa9requestId\xa2q1\xa6packet\x81\xa1"
                               "b\xc4\x01\x09"),
                         &m),
                     SIO_OK);
    assert_int_equal(sio_cluster_show_ack(m.packet, note, log), SIO_OK);
    assert_string_equal(log, "|{\"b\":{\"_placeholder\":true,\"num\":0}}|1");
    sio_cluster_msg_fini(&m);

    /* ack(undefined) */
    assert_int_equal(
        sio_cluster_read_response(
            BYTES("\x83\xa4type\x09\xa9requestId\xa2q1\xa6packet\xd4\x00\x00"), &m),
        SIO_OK);
    assert_int_equal(sio_cluster_show_ack(m.packet, note, log), SIO_OK);
    assert_string_equal(log, "|null|0");
    sio_cluster_msg_fini(&m);

    assert_int_equal(
        sio_cluster_read_response(
            BYTES("{\"type\":8,\"requestId\":\"q1\",\"clientCount\":3}"), &m),
        SIO_OK);
    assert_int_equal(m.client_count, 3);
    sio_cluster_msg_fini(&m);

    assert_int_equal(
        sio_cluster_read_response(BYTES("{\"type\":6,\"requestId\":\"q1\"}"), &m),
        SIO_OK);
    assert_int_equal(sio_cluster_show_answer(m.data, note, log), SIO_OK);
    assert_string_equal(log, "|0");
    sio_cluster_msg_fini(&m);
}

static struct sio_message *message(void)
{
    struct sio_message *m = sio_message_newf("news", "iB", 1, BYTES("\x00\xff"));

    assert_non_null(m);
    sio_message_set_volatile(m);
    return m;
}

static void test_ours(void **state)
{
    struct sio_str rooms[] = {SIO_STR("a"), SIO_STR("b\"")};
    struct sio_target target = {
        .rooms = rooms, .n_rooms = 2, .except = rooms + 1, .n_except = 1};
    struct sio_message *m = message();
    struct sio_cluster_msg in;
    struct wbuf w;
    char log[512] = "";

    (void)state;
    wbuf_init(&w, UINT32_MAX);
    assert_int_equal(
        sio_cluster_write_broadcast(&w, NULL, SIO_STR("me"), SIO_STR("/x"), &target, m),
        SIO_OK);
    assert_int_equal(sio_cluster_read_broadcast(bytes_of(&w), &in), SIO_OK);
    assert_text(in.uid, "me");
    assert_text(in.rooms.items[1], "b\"");
    assert_text(in.except.items[0], "b\"");
    assert_true(in.is_volatile);
    assert_false(in.no_compress);
    assert_int_equal(sio_cluster_show_packet(in.packet, SIO_STR("/x"), note, log),
                     SIO_OK);
    assert_string_equal(log, "news|1|{\"_placeholder\":true,\"num\":0}|1");
    sio_cluster_msg_fini(&in);
    wbuf_fini(&w);

    wbuf_init(&w, UINT32_MAX);
    assert_int_equal(sio_cluster_write_request(&w, SIO_CLUSTER_LEAVE, SIO_STR("me"),
                                               (struct sio_str){NULL, 0}, &target,
                                               rooms, 2, false),
                     SIO_OK);
    assert_text(wbuf_str(&w),
                "{\"type\":3,\"uid\":\"me\",\"opts\":{\"rooms\":[\"a\",\"b\\\"\"],"
                "\"except\":[\"b\\\"\"]},\"rooms\":[\"a\",\"b\\\"\"]}");
    wbuf_fini(&w);

    /* JSON has no bytes. */
    wbuf_init(&w, UINT32_MAX);
    assert_int_equal(sio_cluster_write_side_emit(&w, SIO_STR("me"), SIO_STR("q"), m),
                     SIO_ERR_UNSUPPORTED);
    wbuf_fini(&w);
    sio_message_free(m);
}

static int note_socket(const struct sio_fetched *s, void *user)
{
    char *log = user;
    size_t n = strlen(log);

    snprintf(log + n, 512 - n, "%.*s %zu %.*s %.*s;", STR_ARG(s->id), s->n_rooms,
             STR_ARG(s->handshake), STR_ARG(s->attributes));
    return SIO_OK;
}

static void test_sockets(void **state)
{
    struct sio_str rooms[] = {SIO_STR("i"), SIO_STR("r")};
    struct sio_fetched s = {.id = SIO_STR("i"),
                            .rooms = rooms,
                            .n_rooms = 2,
                            .handshake = SIO_STR("{\"t\":1}"),
                            .attributes = SIO_STR("[2]")};
    struct sio_cluster_msg in;
    struct wbuf w;
    char log[512] = "";

    (void)state;
    wbuf_init(&w, UINT32_MAX);
    sio_cluster_write_list(&w, SIO_STR("q"), "sockets");
    sio_cluster_write_socket(&w, &s);
    wbuf_add_cstr(&w, "]}");
    assert_int_equal(sio_cluster_read_response(bytes_of(&w), &in), SIO_OK);
    assert_int_equal(
        sio_cluster_each_socket(in.sockets, SIO_STR("/"), note_socket, log), SIO_OK);
    assert_string_equal(log, "i 2 {\"t\":1} [2];");
    sio_cluster_msg_fini(&in);
    wbuf_fini(&w);
    assert_int_equal(sio_cluster_each_socket(SIO_STR("[{\"id\":1}]"), SIO_STR("/"),
                                             note_socket, log),
                     SIO_ERR_PARSE);
}

static void test_rubbish(void **state)
{
    static const struct {
        const char *bytes;
        size_t len;
    } bad[] = {
#define BAD(literal) {literal, sizeof(literal) - 1}
        BAD(""),
        BAD("\x80\x04\x95\x10"), /* a pickle */
        BAD("{"),
        BAD("{}"),
        BAD("{\"type\":99,\"requestId\":\"q\"}"),
        BAD("{\"type\":5,\"requestId\":5,\"opts\":{}}"),
        BAD("{\"type\":2,\"opts\":[]}"),
        BAD("{\"type\":2,\"opts\":{\"rooms\":[{}]}}"),
        BAD("{\"type\":7,\"requestId\":\"q\",\"opts\":{}}"),
        BAD("{\"type\":6,\"data\":\"\xff\"}"),
        BAD("\xdd\xff\xff\xff\xff"),
        BAD("\xdf\xff\xff\xff\xff\xa1q"),
        BAD("\x93\xa1u\xc0"),
        BAD("\x93\x01\xc0\x80"),
#undef BAD
    };
    struct sio_cluster_msg m;

    (void)state;
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        struct sio_slice in = {NULL, (const uint8_t *)bad[i].bytes, bad[i].len};

        assert_true(sio_cluster_read_request(in, &m) < 0);
        sio_cluster_msg_fini(&m);
        assert_true(sio_cluster_read_broadcast(in, &m) < 0);
        sio_cluster_msg_fini(&m);
    }
}

/* Every cut of a good message is none. */
static void test_cuts(void **state)
{
    struct sio_slice all = BYTES(EMITTED);
    struct sio_cluster_msg m;

    (void)state;
    for (size_t len = 0; len < all.len; len++) {
        struct sio_slice cut = {NULL, all.ptr, len};

        assert_int_equal(sio_cluster_read_broadcast(cut, &m), SIO_ERR_PARSE);
        sio_cluster_msg_fini(&m);
    }
}

static void test_no_memory(void **state)
{
    (void)state;
    alloc_fail_each(n)
    {
        struct sio_cluster_msg m;
        char log[512] = "";
        int rv = sio_cluster_read_broadcast(BYTES(EMITTED), &m);

        if (rv == SIO_OK)
            rv = sio_cluster_show_packet(m.packet, SIO_STR("/"), note, log);
        assert_true(rv == SIO_OK || rv == SIO_ERR_NOMEM);
        sio_cluster_msg_fini(&m);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_emitter),        cmocka_unit_test(test_node_requests),
        cmocka_unit_test(test_node_responses), cmocka_unit_test(test_ours),
        cmocka_unit_test(test_sockets),        cmocka_unit_test(test_rubbish),
        cmocka_unit_test(test_cuts),           cmocka_unit_test(test_no_memory),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
