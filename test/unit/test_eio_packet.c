/*
 * The codec of Engine.IO 4: packets, payloads, the open packet.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/list.h"
#include "engineio/packet.h"

static struct sio_str str(const char *s)
{
    return sio_str_from(s);
}

/* The number of packets in a payload, or the error that stops it. */
static int count_packets(struct sio_str body)
{
    struct eio_packet p;
    int n = 0;
    int rv;

    while ((rv = eio_payload_next(&body, &p)) > 0)
        n++;
    return rv < 0 ? rv : n;
}

static void reads_a_packet_of_each_type(void **state)
{
    static const char *const text[] = {"0{}", "1", "2probe", "3", "4hello", "5", "6"};
    static const char *const data[] = {"{}", "", "probe", "", "hello", "", ""};

    (void)state;
    for (size_t i = 0; i < N_ELEMENTS(text); i++) {
        struct eio_packet p;

        assert_int_equal(eio_packet_parse(str(text[i]), &p), SIO_OK);
        assert_int_equal(p.type, i);
        assert_false(p.base64);
        assert_int_equal(p.data.len, strlen(data[i]));
        assert_memory_equal(p.data.ptr, data[i], p.data.len);
    }
}

static void rejects_what_the_protocol_does_not_know(void **state)
{
    static const char *const bad[] = {"",
                                      "\x1e",
                                      "7",
                                      "9",
                                      "x",
                                      "4a\x1e",
                                      "\x1e"
                                      "4a",
                                      "4a\x1e\x1e"
                                      "4b",
                                      "/",
                                      "bQQ==\x1e",
                                      "4\xff",
                                      "4\xc0\xaf",
                                      "4\xed\xa0\x80",
                                      "4\xe2\x82"};

    (void)state;
    for (size_t i = 0; i < N_ELEMENTS(bad); i++)
        assert_int_equal(count_packets(str(bad[i])), SIO_ERR_PARSE);
}

static void gives_the_packets_before_a_bad_one(void **state)
{
    struct sio_str body = str("4a\x1e"
                              "4b\x1e"
                              "8\x1e"
                              "4c");
    struct eio_packet p;

    (void)state;
    assert_int_equal(eio_payload_next(&body, &p), 1);
    assert_int_equal(eio_payload_next(&body, &p), 1);
    assert_memory_equal(p.data.ptr, "b", 1);
    assert_int_equal(eio_payload_next(&body, &p), SIO_ERR_PARSE);
}

static void keeps_nul_and_separators_apart(void **state)
{
    static const char text[] = "4a\0b\x1e"
                               "4";
    struct sio_str body = {text, sizeof(text) - 1};
    struct eio_packet p;

    (void)state;
    assert_int_equal(eio_payload_next(&body, &p), 1);
    assert_int_equal(p.data.len, 3);
    assert_memory_equal(p.data.ptr, "a\0b", 3);
    assert_int_equal(eio_payload_next(&body, &p), 1);
    assert_int_equal(p.data.len, 0);
    assert_int_equal(eio_payload_next(&body, &p), 0);
}

/*
 * Cut short at each position: whole packets stay; behind a separator and in a
 * character it is an error.
 */
static void may_be_cut_short_anywhere(void **state)
{
    static const char text[] = "4one\x1e"
                               "bAQID\x1e"
                               "3\x1e"
                               "4\xe2\x82\xac";
    static const int want[] = {
        [1] = 1,
        1,
        1,
        1,
        SIO_ERR_PARSE, /* 4one */
        2,
        2,
        2,
        2,
        2,
        SIO_ERR_PARSE, /* bAQID */
        3,
        SIO_ERR_PARSE, /* 3 */
        4,
        SIO_ERR_PARSE,
        SIO_ERR_PARSE,
        4, /* 4 and U+20AC */
    };

    (void)state;
    assert_int_equal(N_ELEMENTS(want), sizeof(text));
    for (size_t len = 1; len < sizeof(text); len++)
        assert_int_equal(count_packets((struct sio_str){text, len}), want[len]);
}

static void decodes_a_binary_packet(void **state)
{
    static const struct {
        const char *text;
        const char *bytes;
        size_t len;
    } good[] = {
        {"b", "", 0}, {"bAA==", "\0", 1}, {"bAAE=", "\0\1", 2}, {"bAAEC", "\0\1\2", 3}};

    (void)state;
    for (size_t i = 0; i < N_ELEMENTS(good); i++) {
        struct sio_str body = str(good[i].text);
        struct sio_buf *b;
        struct eio_packet p;

        assert_int_equal(eio_payload_next(&body, &p), 1);
        assert_int_equal(p.type, EIO_PACKET_MESSAGE);
        assert_true(p.base64);
        assert_int_equal(eio_packet_decode(&p, &b), SIO_OK);
        assert_int_equal(sio_buf_len(b), good[i].len);
        assert_memory_equal(sio_buf_data(b), good[i].bytes, good[i].len);
        sio_buf_unref(b);
    }
}

static void rejects_bad_base64(void **state)
{
    static const char *const bad[] = {
        "bA",    "bAA",       "bAA=",   "bA===",
        "b====", "bAA==AA==", "bA\nAA", "b\xff\xff\xff\xff",
        "bAA-_"};

    (void)state;
    for (size_t i = 0; i < N_ELEMENTS(bad); i++) {
        struct sio_str body = str(bad[i]);
        struct sio_buf *b;
        struct eio_packet p;

        assert_int_equal(eio_payload_next(&body, &p), 1);
        assert_int_equal(eio_packet_decode(&p, &b), SIO_ERR_PARSE);
    }
}

static void knows_a_probe(void **state)
{
    struct eio_packet p;

    (void)state;
    assert_int_equal(eio_packet_parse(str("2probe"), &p), SIO_OK);
    assert_true(eio_packet_is_probe(&p));
    assert_int_equal(eio_packet_parse(str("3probe"), &p), SIO_OK);
    assert_true(eio_packet_is_probe(&p));
    assert_int_equal(eio_packet_parse(str("2"), &p), SIO_OK);
    assert_false(eio_packet_is_probe(&p));
    assert_int_equal(eio_packet_parse(str("4probe"), &p), SIO_OK);
    assert_false(eio_packet_is_probe(&p));
}

static void writes_an_open_packet_that_it_reads(void **state)
{
    struct eio_open o = {str("8l5M9Lr4bWIh07n5-_AA"), true, 300, 200, 1000000};
    struct eio_open back;
    struct sio_str text;
    struct wbuf w;

    (void)state;
    wbuf_init(&w, 1000);
    eio_open_write(&w, &o);
    assert_int_equal(w.error, SIO_OK);
    text = wbuf_str(&w);
    assert_int_equal(text.len, strlen("0{\"sid\":\"8l5M9Lr4bWIh07n5-_AA\",\"upgrades\":"
                                      "[\"websocket\"],\"pingInterval\":300,"
                                      "\"pingTimeout\":200,\"maxPayload\":1000000}"));
    text.ptr++;
    text.len--;
    assert_int_equal(eio_open_parse(text, &back), SIO_OK);
    assert_int_equal(back.sid.len, 20);
    assert_memory_equal(back.sid.ptr, o.sid.ptr, 20);
    assert_true(back.can_upgrade);
    assert_int_equal(back.ping_interval_ms, 300);
    assert_int_equal(back.ping_timeout_ms, 200);
    assert_int_equal(back.max_payload, 1000000);
    wbuf_fini(&w);
}

static void reads_open_packets_of_other_servers(void **state)
{
    static const char *const good[] = {
        "{\"sid\":\"a\",\"upgrades\":[],\"pingTimeout\":20000,\"pingInterval\":25000}",
        " { \"x\":[{}], \"upgrades\" : [\"polling\"],\"sid\":\"a\",\"pingTimeout\":2e4,"
        "\"pingInterval\":25000.0,\"maxPayload\":4294967295} ",
    };
    struct eio_open o;

    (void)state;
    for (size_t i = 0; i < N_ELEMENTS(good); i++) {
        assert_int_equal(eio_open_parse(str(good[i]), &o), SIO_OK);
        assert_false(o.can_upgrade);
        assert_int_equal(o.ping_timeout_ms, 20000);
        assert_int_equal(o.ping_interval_ms, 25000);
    }
}

static void refuses_hostile_open_packets(void **state)
{
    static const char *const bad[] = {
        "",
        "[]",
        "{}",
        "{\"sid\":\"a\"",
        "{\"sid\":1,\"upgrades\":[],\"pingInterval\":1,\"pingTimeout\":1}",
        "{\"sid\":\"\",\"upgrades\":[],\"pingInterval\":1,\"pingTimeout\":1}",
        "{\"sid\":\"a b\",\"upgrades\":[],\"pingInterval\":1,\"pingTimeout\":1}",
        "{\"sid\":\"a\\r\\n\",\"upgrades\":[],\"pingInterval\":1,\"pingTimeout\":1}",
        "{\"sid\":\"\xc3\xa1\",\"upgrades\":[],\"pingInterval\":1,\"pingTimeout\":1}",
        "{\"sid\":\"a\",\"upgrades\":{},\"pingInterval\":1,\"pingTimeout\":1}",
        "{\"sid\":\"a\",\"upgrades\":[1],\"pingInterval\":1,\"pingTimeout\":1}",
        "{\"sid\":\"a\",\"upgrades\":[],\"pingInterval\":0,\"pingTimeout\":1}",
        "{\"sid\":\"a\",\"upgrades\":[],\"pingInterval\":-1,\"pingTimeout\":1}",
        "{\"sid\":\"a\",\"upgrades\":[],\"pingInterval\":1.5,\"pingTimeout\":1}",
        "{\"sid\":\"a\",\"upgrades\":[],\"pingInterval\":1e300,\"pingTimeout\":1}",
        "{\"sid\":\"a\",\"upgrades\":[],\"pingInterval\":\"1\",\"pingTimeout\":1}",
        "{\"sid\":\"a\",\"upgrades\":[],\"pingInterval\":1}",
        "{\"sid\":\"a\",\"upgrades\":[],\"pingInterval\":1,\"pingTimeout\":1,"
        "\"maxPayload\":-5}",
        "{\"sid\":\"a\",\"upgrades\":[],\"pingInterval\":1,\"pingTimeout\":1,"
        "\"maxPayload\":null}",
    };
    struct eio_open o;

    (void)state;
    for (size_t i = 0; i < N_ELEMENTS(bad); i++)
        assert_int_equal(eio_open_parse(str(bad[i]), &o), SIO_ERR_PARSE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_a_packet_of_each_type),
        cmocka_unit_test(rejects_what_the_protocol_does_not_know),
        cmocka_unit_test(gives_the_packets_before_a_bad_one),
        cmocka_unit_test(keeps_nul_and_separators_apart),
        cmocka_unit_test(may_be_cut_short_anywhere),
        cmocka_unit_test(decodes_a_binary_packet),
        cmocka_unit_test(rejects_bad_base64),
        cmocka_unit_test(knows_a_probe),
        cmocka_unit_test(writes_an_open_packet_that_it_reads),
        cmocka_unit_test(reads_open_packets_of_other_servers),
        cmocka_unit_test(refuses_hostile_open_packets),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
