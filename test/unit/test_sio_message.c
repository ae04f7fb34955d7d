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
#include "socketio/event.h"
#include "socketio/message.h"

/* The text part of a message, NUL-terminated; the caller frees. */
static char *text_of(const struct eio_msg *msg)
{
    struct sio_slice slices[64];
    size_t n = eio_msg_body(msg, 0, slices);
    char *text = NULL;
    size_t len;
    FILE *f = open_memstream(&text, &len);

    for (size_t i = 0; i < n; i++)
        fwrite(slices[i].ptr, 1, slices[i].len, f);
    fclose(f);
    return text;
}

static void expect(struct sio_message *m, enum sio_packet_type type, const char *nsp,
                   bool has_id, uint64_t id, const char *text)
{
    struct eio_msg *msg;
    char *got;

    assert_int_equal(sio_message_encode(m, &sio_parser_json, type, sio_str_from(nsp),
                                        has_id, id, &msg),
                     SIO_OK);
    got = text_of(msg);
    assert_string_equal(got, text);
    free(got);
    eio_msg_unref(msg);
}

static void encodes_an_event_and_an_ack(void **state)
{
    struct sio_message *m = sio_message_new("e\"\n");

    (void)state;
    expect(m, SIO_PACKET_EVENT, "/", false, 0, "42[\"e\\\"\\n\"]");
    expect(m, SIO_PACKET_EVENT, "/x", true, 7, "42/x,7[\"e\\\"\\n\"]");
    expect(m, SIO_PACKET_ACK, "/", true, 7, "437[]");
    expect(NULL, SIO_PACKET_ACK, "/x", true, 0, "43/x,0[]");
    sio_message_free(m);
}

static void joins_arguments_of_every_kind(void **state)
{
    static const char bytes[] = {0, 1, 2};
    struct sio_slice three = {NULL, (const uint8_t *)bytes, 3};
    struct sio_message *m = sio_message_new("e");
    cJSON *tree =
        cJSON_Parse("{\"a\":[1,1e-7,12.5,123456789012,\"\\u00e9\"],\"b\":{},\"c\":"
                    "[],\"d\":null}");

    (void)state;
    sio_message_add_json(m, tree);
    sio_message_add_raw(m, SIO_STR("{\"x\":1}"));
    sio_message_add_string(m, SIO_STR("q\"\0z"));
    sio_message_add_binary(m, three);
    sio_message_begin(m);
    sio_message_text(m, SIO_STR("{\"k\":"));
    sio_message_attachment(m, three);
    sio_message_text(m, SIO_STR("}"));
    assert_int_equal(sio_message_end(m), SIO_OK);
    expect(
        m, SIO_PACKET_EVENT, "/", false, 0,
        "452-[\"e\",{\"a\":[1,1e-7,12.5,123456789012,\"\xc3\xa9\"],\"b\":{},\"c\":[],"
        "\"d\":null},{\"x\":1},\"q\\\"\\u0000z\",{\"_placeholder\":true,\"num\":0},"
        "{\"k\":{\"_placeholder\":true,\"num\":1}}]");
    expect(m, SIO_PACKET_ACK, "/", true, 1,
           "462-1[{\"a\":[1,1e-7,12.5,123456789012,\"\xc3\xa9\"],\"b\":{},\"c\":[],"
           "\"d\":null},{\"x\":1},\"q\\\"\\u0000z\",{\"_placeholder\":true,\"num\":0},"
           "{\"k\":{\"_placeholder\":true,\"num\":1}}]");
    cJSON_Delete(tree);
    sio_message_free(m);
}

static void makes_a_message_of_a_format(void **state)
{
    static const char bytes[] = {0, 1, 2};
    struct sio_slice three = {NULL, (const uint8_t *)bytes, 3};
    cJSON *tree = cJSON_Parse("[1]");
    struct sio_message *m = sio_message_newf("e", "s S r  iI", "q\"", SIO_STR("w"),
                                             SIO_STR("{\"x\":1}"), -5, INT64_MIN);

    (void)state;
    assert_non_null(m);
    assert_int_equal(sio_message_addf(m, "fbbnjBs", 1.5, 7, 0, tree, three, NULL), 0);
    expect(
        m, SIO_PACKET_EVENT, "/", false, 0,
        "451-[\"e\",\"q\\\"\",\"w\",{\"x\":1},-5,-9223372036854775808,1.5,true,false,"
        "null,[1],{\"_placeholder\":true,\"num\":0},null]");
    sio_message_free(m);
    cJSON_Delete(tree);

    m = sio_message_newf("e", "");
    expect(m, SIO_PACKET_EVENT, "/", false, 0, "42[\"e\"]");
    assert_int_equal(sio_message_addf(m, "?"), SIO_ERR_INVAL);
    sio_message_free(m);
    assert_null(sio_message_newf("e", "i%", 1));
}

static void is_encoded_once_for_a_namespace(void **state)
{
    struct sio_message *m = sio_message_new("e");
    struct eio_msg *a, *b, *c;

    (void)state;
    assert_int_equal(sio_message_encode(m, &sio_parser_json, SIO_PACKET_EVENT,
                                        SIO_STR("/"), false, 0, &a),
                     0);
    assert_int_equal(sio_message_encode(m, &sio_parser_json, SIO_PACKET_EVENT,
                                        SIO_STR("/"), false, 0, &b),
                     0);
    assert_int_equal(sio_message_encode(m, &sio_parser_json, SIO_PACKET_EVENT,
                                        SIO_STR("/x"), false, 0, &c),
                     0);
    assert_ptr_equal(a, b);
    assert_ptr_not_equal(a, c);
    eio_msg_unref(a);
    eio_msg_unref(b);
    eio_msg_unref(c);
    sio_message_free(m);
}

static void references_large_bytes_and_copies_small_ones(void **state)
{
    struct sio_buf *large = sio_buf_new(100000);
    struct sio_buf *small = sio_buf_copy("\"b\"", 3);
    struct sio_message *m = sio_message_new("e");
    struct sio_slice slices[16];
    struct eio_msg *msg;
    bool found = false;

    (void)state;
    memset(sio_buf_data(large), 'a', 100000);
    sio_message_begin(m);
    sio_message_text(m, SIO_STR("\""));
    sio_message_slice(m, sio_slice_of(large));
    sio_message_text(m, SIO_STR("\""));
    sio_message_end(m);
    sio_message_begin(m);
    sio_message_slice(m, sio_slice_of(small));
    sio_message_end(m);
    sio_buf_unref(small);
    sio_buf_unref(large);
    assert_int_equal(sio_message_encode(m, &sio_parser_json, SIO_PACKET_ACK,
                                        SIO_STR("/"), true, 3, &msg),
                     0);
    sio_message_free(m);

    assert_int_equal(eio_msg_body(msg, 0, slices), 3);
    assert_memory_equal(slices[0].ptr, "433[\"", slices[0].len);
    for (size_t i = 0; i < 3; i++)
        found = found || (slices[i].buf == large && slices[i].len == 100000);
    assert_true(found);
    assert_memory_equal(slices[2].ptr, "\",\"b\"]", slices[2].len);
    eio_msg_unref(msg);
}

static void refuses_arguments_once_it_was_sent(void **state)
{
    struct sio_message *m = sio_message_new("e");
    struct eio_msg *msg;

    (void)state;
    expect(m, SIO_PACKET_EVENT, "/", false, 0, "42[\"e\"]");
    assert_int_equal(sio_message_add_raw(m, SIO_STR("1")), SIO_ERR_INVAL);
    assert_int_equal(sio_message_encode(m, &sio_parser_json, SIO_PACKET_EVENT,
                                        SIO_STR("/"), false, 0, &msg),
                     SIO_ERR_INVAL);
    sio_message_free(m);
}

static void keeps_an_error_for_whoever_sends(void **state)
{
    struct sio_message *m = sio_message_new("e");
    struct eio_msg *msg;
    cJSON *deep = NULL;

    (void)state;
    for (int i = 0; i < JSON_MAX_DEPTH + 1; i++) {
        cJSON *outer = cJSON_CreateArray();

        if (deep)
            cJSON_AddItemToArray(outer, deep);
        deep = outer;
    }
    assert_int_equal(sio_message_add_json(m, deep), SIO_ERR_TOO_BIG);
    sio_message_add_raw(m, SIO_STR("1"));
    assert_int_equal(sio_message_encode(m, &sio_parser_json, SIO_PACKET_EVENT,
                                        SIO_STR("/"), false, 0, &msg),
                     SIO_ERR_TOO_BIG);
    sio_message_free(m);
    cJSON_Delete(deep);

    m = sio_message_new("e");
    assert_int_equal(sio_message_add_json(m, NULL), SIO_ERR_INVAL);
    sio_message_free(m);

    /* Who gets this would hang up. */
    m = sio_message_new("disconnect");
    assert_int_equal(sio_message_encode(m, &sio_parser_json, SIO_PACKET_EVENT,
                                        SIO_STR("/"), false, 0, &msg),
                     SIO_ERR_INVAL);
    sio_message_free(m);
}

/* Parses text as a packet with n attachments of 1, 2, ... bytes, and calls fn with its event. */
static void with_event(const char *text, void (*fn)(struct sio_event *e))
{
    static const uint8_t bytes[16];
    struct sio_slice slice = {NULL, (const uint8_t *)text, strlen(text)};
    struct sio_slice attachments[10];
    struct sio_packet p;
    struct sio_event e;

    for (size_t i = 0; i < N_ELEMENTS(attachments); i++)
        attachments[i] = (struct sio_slice){NULL, bytes, i + 1};
    assert_int_equal(sio_packet_parse(sio_str_from(text), 10, &p), SIO_OK);
    assert_int_equal(sio_event_init(&e, &p, slice, attachments, NULL), SIO_OK);
    fn(&e);
    sio_event_fini(&e);
}

static void expect_relay(struct sio_event *e)
{
    struct sio_slice own = {NULL, (const uint8_t *)"own", 3};
    struct sio_message *m = sio_message_new("r");

    sio_message_add_binary(m, own);
    sio_message_add_event(m, e, 1);
    expect(m, SIO_PACKET_EVENT, "/", false, 0,
           "453-[\"r\",{\"_placeholder\":true,\"num\":0},{\"_placeholder\":true,"
           "\"num\":2},"
           "[{\"num\":1,\"_placeholder\":true}], 3 ]");
    sio_message_free(m);

    m = sio_message_new("r");
    sio_message_add_event(m, e, 0);
    sio_message_add_event(m, e, 9);
    expect(m, SIO_PACKET_EVENT, "/", false, 0,
           "452-[\"r\",\"skipped\",{\"_placeholder\":true,\"num\":1},"
           "[{\"num\":0,\"_placeholder\":true}], 3 ]");
    sio_message_free(m);
}

static void relays_an_event_with_its_attachments(void **state)
{
    (void)state;
    with_event("52-[\"e\",\"skipped\",{\"_placeholder\":true,\"num\":1},"
               "[{\"num\":0,\"_placeholder\":true}], 3 ]",
               expect_relay);
}

static void expect_lookalike(struct sio_event *e)
{
    struct sio_message *m = sio_message_new("r");
    struct eio_msg *msg;

    sio_message_add_event(m, e, 0);
    expect(m, SIO_PACKET_EVENT, "/", false, 0,
           "42[\"r\",{\"\\u005fplaceholder\":true,\"num\":1}]");
    sio_message_free(m);

    m = sio_message_new("r");
    sio_message_add_event(m, e, 0);
    sio_message_add_binary(m, (struct sio_slice){NULL, (const uint8_t *)"x", 1});
    assert_int_equal(sio_message_encode(m, &sio_parser_json, SIO_PACKET_EVENT,
                                        SIO_STR("/"), false, 0, &msg),
                     SIO_ERR_PROTOCOL);
    sio_message_free(m);
}

static void sends_no_forged_placeholder_beside_attachments(void **state)
{
    (void)state;
    with_event("2[\"e\",{\"\\u005fplaceholder\":true,\"num\":1}]", expect_lookalike);
}

static void expect_arguments(struct sio_event *e)
{
    char number[8];
    struct sio_str arg;

    assert_int_equal(sio_event_n_args(e), 12);
    for (size_t round = 0; round < 2; round++)
        for (size_t i = 0; i < 12; i++) {
            arg = sio_event_arg(e, i);
            snprintf(number, sizeof(number), "%zu", i);
            assert_int_equal(arg.len, strlen(number));
            assert_memory_equal(arg.ptr, number, arg.len);
        }
    arg = sio_event_arg(e, 9);
    assert_memory_equal(arg.ptr, "9", 1);
    arg = sio_event_arg(e, 9);
    assert_memory_equal(arg.ptr, "9", 1);
    assert_null(sio_event_arg(e, 12).ptr);
    assert_null(sio_event_json(e, 12));
    assert_int_equal(sio_event_json(e, 11)->valueint, 11);
    assert_int_equal(sio_event_args(e, 10).len, strlen("10,11"));
}

static void gives_arguments_in_any_order(void **state)
{
    (void)state;
    with_event("2[\"e\",0,1,2,3,4,5,6,7,8,9,10,11]", expect_arguments);
}

static void expect_escaped_name(struct sio_event *e)
{
    assert_int_equal(sio_event_name(e).len, 3);
    assert_memory_equal(sio_event_name(e).ptr, "a\0b", 3);
    assert_int_equal(sio_event_n_args(e), 0);
    assert_null(sio_event_arg(e, 0).ptr);
}

static void expect_number_name(struct sio_event *e)
{
    assert_int_equal(sio_event_name(e).len, 2);
    assert_memory_equal(sio_event_name(e).ptr, "17", 2);
}

static void decodes_names(void **state)
{
    (void)state;
    with_event("2[\"a\\u0000b\"]", expect_escaped_name);
    with_event("2[17]", expect_number_name);
}

static void expect_placeholders(struct sio_event *e)
{
    assert_int_equal(sio_event_placeholder(e, sio_event_arg(e, 0)), 0);
    assert_int_equal(sio_event_placeholder(e, sio_event_arg(e, 1)), -1);
    assert_int_equal(sio_event_placeholder(e, sio_event_arg(e, 2)), -1);
    assert_int_equal(sio_event_attachment(e, 0).len, 1);
    assert_int_equal(sio_event_attachment(e, 1).len, 0);
}

static void tells_placeholders_from_data(void **state)
{
    (void)state;
    with_event("51-[\"e\",{\"_placeholder\":true,\"num\":0},{\"num\":0},1]",
               expect_placeholders);
}

/* Every allocation of a relay fails once; nothing leaks, the error shows. */
static void reports_memory_that_is_not_there(void **state)
{
    static const char text[] = "51-[\"e\",{\"_placeholder\":true,\"num\":0},"
                               "\"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\"]";
    struct sio_slice slice = {NULL, (const uint8_t *)text, strlen(text)};
    struct sio_slice attachment = {NULL, (const uint8_t *)"x", 1};
    struct sio_packet p;

    (void)state;
    assert_int_equal(sio_packet_parse(sio_str_from(text), 10, &p), SIO_OK);
    alloc_fail_each(n)
    {
        struct sio_event e;
        struct eio_msg *msg = NULL;
        struct sio_message *m = sio_message_new("e");
        int rv = SIO_ERR_NOMEM;

        assert_int_equal(sio_event_init(&e, &p, slice, &attachment, NULL), SIO_OK);
        if (m) {
            sio_message_add_binary(m, attachment);
            sio_message_add_event(m, &e, 0);
            rv = sio_message_encode(m, &sio_parser_json, SIO_PACKET_EVENT,
                                    SIO_STR("/x"), false, 0, &msg);
        }
        assert_true(rv == SIO_OK || rv == SIO_ERR_NOMEM);
        assert_true((rv == SIO_OK) == (msg != NULL));
        eio_msg_unref(msg);
        sio_message_free(m);
        sio_event_fini(&e);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(encodes_an_event_and_an_ack),
        cmocka_unit_test(joins_arguments_of_every_kind),
        cmocka_unit_test(makes_a_message_of_a_format),
        cmocka_unit_test(is_encoded_once_for_a_namespace),
        cmocka_unit_test(references_large_bytes_and_copies_small_ones),
        cmocka_unit_test(refuses_arguments_once_it_was_sent),
        cmocka_unit_test(keeps_an_error_for_whoever_sends),
        cmocka_unit_test(relays_an_event_with_its_attachments),
        cmocka_unit_test(sends_no_forged_placeholder_beside_attachments),
        cmocka_unit_test(gives_arguments_in_any_order),
        cmocka_unit_test(decodes_names),
        cmocka_unit_test(tells_placeholders_from_data),
        cmocka_unit_test(reports_memory_that_is_not_there),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
