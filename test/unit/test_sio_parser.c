#include <config.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "alloc_fail.h"
#include "base/list.h"
#include "engineio/msg.h"
#include "hex.h"
#include "socketio/message.h"
#include "socketio/msgpack.h"

static const struct sio_codec codec = {&sio_parser_msgpack, 3, 10000, false};

/* Keys: type, nsp, data, id. */
#define TYPE "a474797065"
#define NSP  "a36e7370"
#define DATA "a464617461"
#define ID   "a26964"

/* A packet of some bytes; ends with done.  Returns what decoding returned. */
struct input {
    uint8_t *bytes;
    struct sio_assembly *pending;
    struct sio_incoming in;
};

static int decode(struct input *i, const char *hex)
{
    size_t n;

    i->bytes = hex_bytes(hex, &n);
    i->pending = NULL;
    return sio_codec_decode(&codec, &i->pending, false,
                            (struct sio_slice){NULL, i->bytes, n}, &i->in);
}

static void done(struct input *i)
{
    assert_null(i->pending);
    sio_incoming_fini(&i->in);
    free(i->bytes);
}

static void expect_text(const char *hex, const char *wanted)
{
    struct input i;

    assert_int_equal(decode(&i, hex), 1);
    assert_int_equal(i.in.text.len, strlen(wanted));
    assert_memory_equal(i.in.text.ptr, wanted, strlen(wanted));
    done(&i);
}

static void reads_packets_of_each_type(void **state)
{
    static const char *const cases[][2] = {
        {"82" TYPE "00" NSP "a12f", "0"},
        {"82" NSP "a22f78" TYPE "00", "0/x,"},
        {"83" TYPE "00" NSP "a12f" DATA "80", "0{}"},
        {"83" TYPE "00" NSP "a22f78" DATA "81a16101", "0/x,{\"a\":1}"},
        {"83" TYPE "00" NSP "a12f" DATA "c0", "0"},     /* python's None */
        {"83" TYPE "01" NSP "a12f" DATA "d40000", "1"}, /* undefined */
        {"82" TYPE "01" NSP "a22f78", "1/x,"},
        {"83" TYPE "02" NSP "a12f" DATA "92a16101", "2[\"a\",1]"},
        {"83" TYPE "02" NSP "a12f" DATA "9107", "2[7]"},
        {"84" DATA "91a161" ID "0c" NSP "a22f78" TYPE "02", "2/x,12[\"a\"]"},
        {"84" TYPE "02" NSP "a12f" DATA "91a161" ID "d40000", "2[\"a\"]"},
        {"84" TYPE "02" NSP "a12f" DATA "91a161" ID "c0", "2[\"a\"]"},
        {"84" TYPE "cb4000000000000000" NSP "a12f" DATA "91a161" ID
         "cb0000000000000000",
         "20[\"a\"]"},
        {"84" TYPE "03" NSP "a12f" DATA "90" ID "00", "30[]"},
        {"83" TYPE "03" NSP "a12f" DATA "90", "30[]"}, /* python's, of 0 */
        {"83" TYPE "04" NSP "a12f" DATA "a178", "4\"x\""},
        {"83" TYPE "04" NSP "a12f" DATA "81a16101", "4{\"a\":1}"},
        /* what else is in it: options, a key that is no text, something twice */
        {"86 a76f7074696f6e73 81a8636f6d7072657373c3 9101 05" TYPE "03" TYPE "02" NSP
         "a12f" DATA "91a161",
         "2[\"a\"]"},
        {"84" TYPE "02" NSP "a12f" DATA "91a161" ID "cfffffffffffffffff",
         "218446744073709551615[\"a\"]"},
    };

    (void)state;
    for (size_t i = 0; i < N_ELEMENTS(cases); i++)
        expect_text(cases[i][0], cases[i][1]);
}

static void reads_bytes_in_events_and_acks(void **state)
{
    struct input i;

    (void)state;
    assert_int_equal(
        decode(&i, "83" TYPE "02" NSP "a22f78" DATA "93a161c4020102c7010003"), 1);
    assert_memory_equal(i.in.text.ptr,
                        "52-/x,[\"a\",{\"_placeholder\":true,\"num\":0},"
                        "{\"_placeholder\":true,\"num\":1}]",
                        i.in.text.len);
    assert_int_equal(i.in.packet->type, SIO_PACKET_BINARY_EVENT);
    assert_int_equal(i.in.packet->n_attachments, 2);
    assert_int_equal(i.in.attachments[0].len, 2);
    assert_int_equal(*i.in.attachments[1].ptr, 3);
    done(&i);
    expect_text("84" TYPE "03" NSP "a12f" DATA "91c400" ID "05",
                "61-5[{\"_placeholder\":true,\"num\":0}]");
    /* Without bytes a map like that is a map. */
    expect_text("83" TYPE "02" NSP "a12f" DATA
                "92a16182ac5f706c616365686f6c646572c3a36e756d00",
                "2[\"a\",{\"_placeholder\":true,\"num\":0}]");
}

static void closes_on_what_is_no_packet(void **state)
{
    static const struct {
        const char *hex;
        int error;
    } cases[] = {
        {"", SIO_ERR_PARSE},
        {"c0", SIO_ERR_PARSE},
        {"90", SIO_ERR_PARSE},
        {"80", SIO_ERR_PARSE},
        {"81" TYPE "00", SIO_ERR_PARSE},
        {"81" NSP "a12f", SIO_ERR_PARSE},
        {"82" TYPE "05" NSP "a12f", SIO_ERR_PARSE},
        {"82" TYPE "ff" NSP "a12f", SIO_ERR_PARSE},
        {"82" TYPE "a130" NSP "a12f", SIO_ERR_PARSE},
        {"82" TYPE "cb3fe0000000000000" NSP "a12f", SIO_ERR_PARSE},
        {"82" TYPE "00" NSP "00", SIO_ERR_PARSE},
        {"82" TYPE "00" NSP "a0", SIO_ERR_PARSE},
        {"82" TYPE "00" NSP "a178", SIO_ERR_PARSE},
        {"82" TYPE "00" NSP "a32f2c78", SIO_ERR_PARSE}, /* "/,x" */
        {"82" TYPE "00" NSP "a22fff", SIO_ERR_PARSE},   /* not UTF-8 */
        {"82" TYPE "00" NSP "a12f 00", SIO_ERR_PARSE},  /* more behind it */
        {"83" TYPE "00" NSP "a12f" DATA "90", SIO_ERR_PARSE},
        {"83" TYPE "00" NSP "a12f" DATA "a178", SIO_ERR_PARSE},
        {"83" TYPE "00" NSP "a12f" DATA "07", SIO_ERR_PARSE}, /* would read as an id */
        {"83" TYPE "00" NSP "a12f" DATA "c3", SIO_ERR_PARSE},
        {"83" TYPE "01" NSP "a12f" DATA "80", SIO_ERR_PARSE},
        {"82" TYPE "02" NSP "a12f", SIO_ERR_PARSE},
        {"83" TYPE "02" NSP "a12f" DATA "c0", SIO_ERR_PARSE},
        {"83" TYPE "02" NSP "a12f" DATA "80", SIO_ERR_PARSE},
        {"83" TYPE "02" NSP "a12f" DATA "90", SIO_ERR_PARSE},
        {"83" TYPE "02" NSP "a12f" DATA "91c0", SIO_ERR_PARSE},
        {"83" TYPE "02" NSP "a12f" DATA "9191a161", SIO_ERR_PARSE},
        {"83" TYPE "02" NSP "a12f" DATA "91d7000000000000000000", SIO_OK}, /* a date */
        {"83" TYPE "03" NSP "a12f" DATA "80", SIO_ERR_PARSE},
        {"82" TYPE "04" NSP "a12f", SIO_ERR_PARSE},
        {"84" TYPE "02" NSP "a12f" DATA "91a161" ID "ff", SIO_ERR_PARSE},
        {"84" TYPE "02" NSP "a12f" DATA "91a161" ID "a131", SIO_ERR_PARSE},
        {"84" TYPE "02" NSP "a12f" DATA "91a161" ID "cb3ff8000000000000",
         SIO_ERR_PARSE},
        /* reserved */
        {"83" TYPE "02" NSP "a12f" DATA "91a7636f6e6e656374", SIO_ERR_PROTOCOL},
        {"83" TYPE "02" NSP "a12f" DATA "91aa646973636f6e6e656374", SIO_ERR_PROTOCOL},
        /* bytes where none may be, too many, beside what looks like them */
        {"83" TYPE "00" NSP "a12f" DATA "81a161c400", SIO_ERR_PROTOCOL},
        {"83" TYPE "04" NSP "a12f" DATA "81a161c400", SIO_ERR_PROTOCOL},
        {"83" TYPE "02" NSP "a12f" DATA "95a161c400c400c400c400", SIO_ERR_TOO_BIG},
        {"83" TYPE "02" NSP "a12f" DATA "91c400", SIO_ERR_PARSE},
        {"83" TYPE "02" NSP "a12f" DATA
         "93a161c40082ac5f706c616365686f6c646572c3a36e756d00",
         SIO_ERR_PROTOCOL},
        {"83" TYPE "02" NSP "a12f" DATA
         "93a16182ac5f706c616365686f6c646572c3a36e756dc400c0",
         SIO_ERR_PROTOCOL},
    };

    (void)state;
    for (size_t i = 0; i < N_ELEMENTS(cases); i++) {
        struct input in;
        int rv = decode(&in, cases[i].hex);

        if (cases[i].error == SIO_OK)
            assert_int_equal(rv, 1);
        else
            assert_int_equal(rv, cases[i].error);
        assert_true((rv < 0) == (in.in.why != NULL));
        done(&in);
    }
}

static void takes_no_text(void **state)
{
    struct sio_assembly *pending = NULL;
    struct sio_incoming in;

    (void)state;
    assert_int_equal(sio_codec_decode(&codec, &pending, true,
                                      (struct sio_slice){NULL, (const uint8_t *)"0", 1},
                                      &in),
                     SIO_ERR_PARSE);
    sio_incoming_fini(&in);
}

static void references_bytes_of_a_message_in_a_buf(void **state)
{
    size_t n;
    uint8_t *bytes = hex_bytes("83" TYPE "02" NSP "a12f" DATA "92a161c4020102", &n);
    struct sio_buf *buf = sio_buf_copy(bytes, n);
    struct sio_assembly *pending = NULL;
    struct sio_incoming in;

    (void)state;
    assert_int_equal(sio_codec_decode(&codec, &pending, false, sio_slice_of(buf), &in),
                     1);
    assert_ptr_equal(in.attachments[0].buf, buf);
    assert_ptr_equal(in.attachments[0].ptr, sio_buf_data(buf) + n - 2);
    assert_non_null(in.text.buf);
    sio_incoming_fini(&in);
    sio_buf_unref(buf);
    free(bytes);
}

/* The bytes of a message's only part, in hex; the caller frees. */
static char *body_hex(const struct eio_msg *msg)
{
    struct sio_slice slices[16];
    size_t n = eio_msg_body(msg, 0, slices);
    struct wbuf w;
    char *hex;

    assert_int_equal(msg->n_parts, 1);
    assert_false(msg->parts[0].text);
    assert_true(n <= N_ELEMENTS(slices));
    wbuf_init(&w, 1 << 24);
    for (size_t i = 0; i < n; i++)
        wbuf_add(&w, slices[i].ptr, slices[i].len);
    hex = hex_text(wbuf_str(&w).ptr, wbuf_str(&w).len);
    wbuf_fini(&w);
    return hex;
}

static void expect_message(struct sio_message *m, enum sio_packet_type type,
                           const char *nsp, bool has_id, const char *wanted)
{
    struct eio_msg *msg;
    char *hex;

    assert_int_equal(sio_message_encode(m, &sio_parser_msgpack, type, sio_str_from(nsp),
                                        has_id, 7, &msg),
                     SIO_OK);
    hex = body_hex(msg);
    assert_string_equal(hex, wanted);
    free(hex);
    eio_msg_unref(msg);
}

static void writes_events_and_acks(void **state)
{
    struct sio_message *m = sio_message_new("e");
    static const struct sio_slice bytes = {NULL, (const uint8_t *)"\1\2", 2};

    (void)state;
    sio_message_add_raw(m, SIO_STR("{\"k\":[1,-1,1.5,\"\\n\"]}"));
    sio_message_add_binary(m, bytes);
    expect_message(m, SIO_PACKET_EVENT, "/", false,
                   "83" TYPE "02" NSP "a12f" DATA
                   "93a16581a16b9401ffcb3ff8000000000000a10ac4020102");
    expect_message(m, SIO_PACKET_EVENT, "/x", true,
                   "84" TYPE "02" NSP "a22f78" ID "07" DATA
                   "93a16581a16b9401ffcb3ff8000000000000a10ac4020102");
    expect_message(m, SIO_PACKET_ACK, "/", true,
                   "84" TYPE "03" NSP "a12f" ID "07" DATA
                   "9281a16b9401ffcb3ff8000000000000a10ac4020102");
    expect_message(NULL, SIO_PACKET_ACK, "/", true,
                   "84" TYPE "03" NSP "a12f" ID "07" DATA "90");
    sio_message_free(m);
}

static void writes_packets_without_arguments(void **state)
{
    struct sio_str none = {NULL, 0};
    struct eio_msg *msg = sio_packet_msg(&sio_parser_msgpack, SIO_PACKET_DISCONNECT,
                                         SIO_STR("/x"), false, 0, none);
    char *hex;

    (void)state;
    hex = body_hex(msg);
    assert_string_equal(hex, "82" TYPE "01" NSP "a22f78");
    free(hex);
    eio_msg_unref(msg);
    msg = sio_packet_msg(&sio_parser_msgpack, SIO_PACKET_CONNECT_ERROR, SIO_STR("/"),
                         false, 0, SIO_STR("{\"message\":\"no\"}"));
    hex = body_hex(msg);
    assert_string_equal(hex, "83" TYPE "04" NSP "a12f" DATA "81a76d657373616765a26e6f");
    free(hex);
    eio_msg_unref(msg);
}

static void is_encoded_once_for_a_parser(void **state)
{
    struct sio_message *m = sio_message_new("e");
    struct eio_msg *a, *b, *c;

    (void)state;
    sio_message_encode(m, &sio_parser_msgpack, SIO_PACKET_EVENT, SIO_STR("/"), false, 0,
                       &a);
    sio_message_encode(m, &sio_parser_msgpack, SIO_PACKET_EVENT, SIO_STR("/"), false, 0,
                       &b);
    sio_message_encode(m, &sio_parser_json, SIO_PACKET_EVENT, SIO_STR("/"), false, 0,
                       &c);
    assert_ptr_equal(a, b);
    assert_ptr_not_equal(a, c);
    assert_true(c->parts[0].text);
    eio_msg_unref(a);
    eio_msg_unref(b);
    eio_msg_unref(c);
    sio_message_free(m);
}

static void large_attachments_are_not_copied(void **state)
{
    struct sio_buf *large = sio_buf_new(100000);
    struct sio_message *m = sio_message_new("e");
    struct eio_msg *msg;
    size_t n;
    const struct sio_slice *frames;

    (void)state;
    memset(sio_buf_data(large), 7, 100000);
    sio_message_add_binary(m, sio_slice_of(large));
    sio_message_add_raw(m, SIO_STR("1"));
    assert_int_equal(sio_message_encode(m, &sio_parser_msgpack, SIO_PACKET_EVENT,
                                        SIO_STR("/"), false, 0, &msg),
                     SIO_OK);
    frames = eio_msg_frames(msg, 0, &n);
    assert_int_equal(n, 3);
    assert_ptr_equal(frames[1].ptr, sio_buf_data(large));
    assert_int_equal(frames[2].len, 1);
    eio_msg_unref(msg);
    sio_message_free(m);
    sio_buf_unref(large);
}

static void says_that_an_argument_is_not_json(void **state)
{
    struct sio_message *m = sio_message_new("e");
    struct eio_msg *msg = NULL;

    (void)state;
    sio_message_add_raw(m, SIO_STR("{"));
    assert_int_equal(sio_message_encode(m, &sio_parser_msgpack, SIO_PACKET_EVENT,
                                        SIO_STR("/"), false, 0, &msg),
                     SIO_ERR_PARSE);
    assert_null(msg);
    sio_message_free(m);
}

static void survives_failing_allocations(void **state)
{
    struct sio_buf *large = sio_buf_new(5000);
    size_t n;
    uint8_t *bytes = hex_bytes("83" TYPE "02" NSP "a12f" DATA "93a1610ac4020102", &n);

    (void)state;
    memset(sio_buf_data(large), 7, 5000);
    alloc_fail_each(at)
    {
        struct sio_message *m = sio_message_new("e");
        struct sio_assembly *pending = NULL;
        struct sio_incoming in;
        struct eio_msg *msg = NULL;
        int rv = SIO_ERR_NOMEM;

        if (m) {
            for (int i = 0; i < 20; i++)
                sio_message_add_binary(m, sio_slice_of(large));
            rv = sio_message_encode(m, &sio_parser_msgpack, SIO_PACKET_ACK,
                                    SIO_STR("/"), true, 0, &msg);
        }
        assert_true(rv == SIO_OK || rv == SIO_ERR_NOMEM);
        assert_true((rv == SIO_OK) == (msg != NULL));
        eio_msg_unref(msg);
        sio_message_free(m);
        rv = sio_codec_decode(&codec, &pending, false,
                              (struct sio_slice){NULL, bytes, n}, &in);
        assert_true(rv == 1 || rv == SIO_ERR_NOMEM);
        sio_incoming_fini(&in);
    }
    free(bytes);
    sio_buf_unref(large);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_packets_of_each_type),
        cmocka_unit_test(reads_bytes_in_events_and_acks),
        cmocka_unit_test(closes_on_what_is_no_packet),
        cmocka_unit_test(takes_no_text),
        cmocka_unit_test(references_bytes_of_a_message_in_a_buf),
        cmocka_unit_test(writes_events_and_acks),
        cmocka_unit_test(writes_packets_without_arguments),
        cmocka_unit_test(is_encoded_once_for_a_parser),
        cmocka_unit_test(large_attachments_are_not_copied),
        cmocka_unit_test(says_that_an_argument_is_not_json),
        cmocka_unit_test(survives_failing_allocations),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
