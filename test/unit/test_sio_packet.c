#include <config.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "alloc_fail.h"
#include "base/list.h"
#include "base/str.h"
#include "engineio/msg.h"
#include "socketio/parser.h"

#define MAX_ATTACHMENTS 10

static int parse(const char *text, struct sio_packet *p)
{
    return sio_packet_parse(sio_str_from(text), MAX_ATTACHMENTS, p);
}

#define assert_str(s, literal)                                      \
    do {                                                            \
        assert_int_equal((s).len, sizeof(literal) - 1);             \
        assert_memory_equal((s).ptr, literal, sizeof(literal) - 1); \
    } while (0)

static void reads_every_field(void **state)
{
    struct sio_packet p;

    (void)state;
    assert_int_equal(parse("52-/custom,17[\"e\", {\"_placeholder\":true,\"num\":1},"
                           "{\"num\":0,\"_placeholder\":true}]",
                           &p),
                     SIO_OK);
    assert_int_equal(p.type, SIO_PACKET_BINARY_EVENT);
    assert_int_equal(p.n_attachments, 2);
    assert_str(p.nsp, "/custom");
    assert_true(p.has_id);
    assert_int_equal(p.id, 17);
    assert_int_equal(p.n_items, 3);
    assert_str(p.items[0], "\"e\"");
    assert_str(p.items[2], "{\"num\":0,\"_placeholder\":true}");
}

static void accepts_what_the_protocol_allows(void **state)
{
    static const char *const good[] = {
        "0",
        "0{}",
        "0{\"token\":\"x\"}",
        "0/custom",
        "0/custom,",
        "0/custom,{\"a\":1}",
        "0/custom?token=1,{}",
        "1",
        "1/custom",
        "1/custom,",
        "2[\"a\"]",
        "2[1]",
        "2[1.5e3,2]",
        "20[\"a\"]",
        "2123456789012[\"a\"]",
        "218446744073709551615[\"a\"]",
        "2/x,[\"a\"]",
        "2/x,9[\"a\"]",
        "2 [ \"a\" , null ] ",
        "2[\"connect_\"]",
        "2[\"Connect\"]",
        "2[\"\\u0000\"]",
        "3[]",
        "30[]",
        "31[1,2]",
        "3/x,1[null]",
        "50-[\"a\"]",
        "60-7[]",
        "51-[\"a\"]",
        "510-[\"a\"]",
        "51-[\"a\",{\"_placeholder\":true,\"num\":0}]",
        "51-[\"a\",{\"_placeholder\":true,\"num\":0.0}]",
        "51-[\"a\",{\"_placeholder\":false,\"num\":7}]",
        "51-[\"a\",{\"_placeholder\":1,\"num\":7}]",
        "51-[\"a\",{\"num\":7}]",
        "51-[\"a\",[\"_placeholder\",true,\"num\",9]]",
        "51-[\"a\",{\"_placeholder\":true,\"num\":9,\"_placeholder\":false}]",
        "51-[\"a\",{\"_placeholder\":true,\"_placeholder\":{},\"num\":9}]",
        "51-[\"a\",{\"x\":\"_placeholder\",\"y\":true,\"num\":9}]",
        "2[\"a\",{\"_placeholder\":true,\"num\":99}]",
        "61-4[{\"_placeholder\":true,\"num\":0}]",
        "4{\"message\":\"no\"}",
        "4\"no\"",
        "4/x,{\"message\":\"no\"}",
    };

    (void)state;
    for (size_t i = 0; i < N_ELEMENTS(good); i++) {
        struct sio_packet p;

        if (parse(good[i], &p) != SIO_OK)
            fail_msg("refused: %s", good[i]);
    }
}

static void refuses_what_the_protocol_does_not_know(void **state)
{
    static const char *const bad[] = {
        "",
        "7",
        "9",
        "x",
        "\x1e",
        "-",
        "0[]",
        "0\"a\"",
        "0null",
        "0 ",
        "0{",
        "0{}x",
        "0{\"a\":}",
        "0/x,[]",
        "1{}",
        "1[]",
        "1/x,{}",
        "2",
        "2{}",
        "2\"a\"",
        "2[]",
        "2[null]",
        "2[true]",
        "2[[\"a\"]]",
        "2[{}]",
        "2[\"a\"",
        "2[\"a\",]",
        "2[\"a\"]x",
        "2[\"a\"][\"b\"]",
        "2[NaN]",
        "2[\"a\",NaN]",
        "2['a']",
        "2-1[\"a\"]",
        "2/x[\"a\"]",
        "2/x",
        "2/x,",
        "21",
        "218446744073709551616[\"a\"]",
        "2111111111111111111111111111111111111[\"a\"]",
        "3",
        "3{}",
        "3\"a\"",
        "31",
        "31{}",
        "5[\"a\"]",
        "5-[\"a\"]",
        "51[\"a\"]",
        "5a-[\"a\"]",
        "5-1-[\"a\"]",
        "5+1-[\"a\"]",
        "5 1-[\"a\"]",
        "51.0-[\"a\"]",
        "54294967296-[\"a\"]",
        "51-",
        "51-{}",
        "51-[]",
        "6[]",
        "61-{}",
        "4",
        "4[]",
        "41",
        "4null",
        "2[\"a\\x\"]",
        "2[\"a\n\"]",
        "2[\"\\ud8\"]",
    };

    (void)state;
    for (size_t i = 0; i < N_ELEMENTS(bad); i++) {
        struct sio_packet p;

        if (parse(bad[i], &p) != SIO_ERR_PARSE)
            fail_msg("not refused: %s", bad[i]);
    }
}

static void refuses_reserved_names_however_they_are_written(void **state)
{
    static const char *const bad[] = {
        "2[\"connect\"]",
        "2[\"connect_error\"]",
        "2[\"disconnect\"]",
        "2[\"disconnecting\",1]",
        "2[\"newListener\"]",
        "2[\"removeListener\"]",
        "50-[\"connect\"]",
        "2[\"\\u0063onnect\"]",
        "2["
        "\"\\u0072\\u0065\\u006d\\u006f\\u0076\\u0065\\u004c\\u0069\\u0073\\u0074\\u006"
        "5"
        "\\u006e\\u0065\\u0072\"]",
    };

    (void)state;
    for (size_t i = 0; i < N_ELEMENTS(bad); i++) {
        struct sio_packet p;

        assert_int_equal(parse(bad[i], &p), SIO_ERR_PROTOCOL);
    }
}

static void refuses_placeholders_that_have_no_attachment(void **state)
{
    static const char *const nums[] = {
        "1",   "-1",          "0.5", "\"0\"", "null",  "true",
        "1e9", "99999999999", "[0]", "{}",    "1e999",
    };
    struct sio_packet p;

    (void)state;
    for (size_t i = 0; i < N_ELEMENTS(nums); i++) {
        char text[128];

        snprintf(text, sizeof(text), "51-[\"a\",{\"_placeholder\":true,\"num\":%s}]",
                 nums[i]);
        assert_int_equal(parse(text, &p), SIO_ERR_PROTOCOL);
        snprintf(text, sizeof(text),
                 "51-[\"a\",[{\"x\":{\"num\":%s,\"_placeholder\":true}}]]", nums[i]);
        assert_int_equal(parse(text, &p), SIO_ERR_PROTOCOL);
    }
    assert_int_equal(parse("51-[\"a\",{\"_placeholder\":true}]", &p), SIO_ERR_PROTOCOL);
    assert_int_equal(parse("50-[\"a\",{\"_placeholder\":true,\"num\":0}]", &p),
                     SIO_ERR_PROTOCOL);
    assert_int_equal(parse("51-[\"a\",{\"\\u005fplaceholder\":true,\"num\":1}]", &p),
                     SIO_ERR_PROTOCOL);
    assert_int_equal(parse("51-[\"a\",{\"x\":{\"_placeholder\":true,\"num\":0},"
                           "\"_placeholder\":true,\"num\":0}]",
                           &p),
                     SIO_ERR_PROTOCOL);
}

static void refuses_more_attachments_than_the_limit(void **state)
{
    struct sio_packet p;

    (void)state;
    assert_int_equal(parse("510-[\"a\"]", &p), SIO_OK);
    assert_int_equal(parse("511-[\"a\"]", &p), SIO_ERR_TOO_BIG);
    assert_int_equal(parse("54000000000-[\"a\"]", &p), SIO_ERR_TOO_BIG);
}

static void bounds_nesting(void **state)
{
    char text[4 * JSON_MAX_DEPTH];
    struct sio_packet p;

    (void)state;
    for (int depth = JSON_MAX_DEPTH - 1; depth <= JSON_MAX_DEPTH + 1; depth++) {
        int n = snprintf(text, sizeof(text), "51-[\"a\",");

        /* The event's own array is one level. */
        for (int i = 1; i < depth; i++)
            text[n++] = '[';
        for (int i = 0; i < depth; i++)
            text[n++] = ']';
        text[n] = '\0';
        assert_int_equal(parse(text, &p),
                         depth <= JSON_MAX_DEPTH ? SIO_OK : SIO_ERR_TOO_BIG);
    }
}

static void cuts_the_first_items_and_counts_all(void **state)
{
    struct sio_packet p;

    (void)state;
    assert_int_equal(parse("2[\"e\",1,2,3,4,5,6,7,8,9,10]", &p), SIO_OK);
    assert_int_equal(p.n_items, 11);
    assert_str(p.items[SIO_PACKET_ITEMS - 1], "7");
}

/* Whatever is cut off the end, no byte behind it is read (sanitizers and valgrind watch). */
static void survives_a_cut_at_every_byte(void **state)
{
    static const char whole[] =
        "52-/custom,17[\"e\\u0041\", {\"_placeholder\":true,\"num\":1},"
        "[{\"num\":0,\"_placeholder\":true}, 1.5e-3, \"x\\\"y\"]]";

    (void)state;
    for (size_t len = 0; len < sizeof(whole) - 1; len++) {
        char *copy = malloc(len + 1);
        struct sio_packet p;

        assert_non_null(copy);
        memcpy(copy, whole, len);
        assert_int_not_equal(sio_packet_parse((struct sio_str){copy, len}, 10, &p),
                             SIO_OK);
        free(copy);
    }
}

static void writes_heads(void **state)
{
    static const struct {
        enum sio_packet_type type;
        uint32_t n;
        const char *nsp;
        bool has_id;
        uint64_t id;
        const char *json;
        const char *text;
    } cases[] = {
        {SIO_PACKET_CONNECT, 0, "/", false, 0, "{}", "40{}"},
        {SIO_PACKET_DISCONNECT, 0, "/x", false, 0, NULL, "41/x,"},
        {SIO_PACKET_EVENT, 0, "/x", true, 0, "[\"a\"]", "42/x,0[\"a\"]"},
        {SIO_PACKET_ACK, 0, "/", true, UINT64_MAX, "[]", "4318446744073709551615[]"},
    };

    (void)state;
    for (size_t i = 0; i < N_ELEMENTS(cases); i++) {
        struct sio_slice slices[4];
        struct eio_msg *msg =
            sio_packet_msg(&sio_parser_json, cases[i].type, sio_str_from(cases[i].nsp),
                           cases[i].has_id, cases[i].id, sio_str_from(cases[i].json));

        assert_non_null(msg);
        assert_int_equal(eio_msg_body(msg, 0, slices), 1);
        assert_int_equal(slices[0].len, strlen(cases[i].text));
        assert_memory_equal(slices[0].ptr, cases[i].text, slices[0].len);
        eio_msg_unref(msg);
    }
}

static struct sio_slice bytes(const char *s)
{
    return (struct sio_slice){NULL, (const uint8_t *)s, strlen(s)};
}

static void collects_attachments_up_to_its_bound(void **state)
{
    static const char text[] = "52-[\"a\"]";
    struct sio_assembly *a;

    (void)state;
    assert_int_equal(sio_assembly_new(bytes(text), 10, strlen(text) + 5, &a), SIO_OK);
    assert_false(sio_assembly_complete(a));
    assert_int_equal(sio_assembly_add(a, bytes("123")), SIO_OK);
    assert_int_equal(sio_assembly_add(a, bytes("456")), SIO_ERR_TOO_BIG);
    assert_int_equal(sio_assembly_add(a, bytes("")), SIO_OK);
    assert_true(sio_assembly_complete(a));
    assert_memory_equal(a->parts[0].ptr, "123", 3);
    sio_assembly_free(a);
}

static void holds_a_shared_text_without_a_copy(void **state)
{
    static const char text[] = "51-[\"a\"]";
    struct sio_buf *b = sio_buf_copy(text, strlen(text));
    struct sio_assembly *a;

    (void)state;
    assert_int_equal(sio_assembly_new(sio_slice_of(b), 10, 100, &a), SIO_OK);
    assert_ptr_equal(a->text.ptr, sio_buf_data(b));
    sio_buf_unref(b);
    assert_memory_equal(a->packet.items[0].ptr, "\"a\"", 3);
    sio_assembly_free(a);
}

static void is_without_attachments_complete_at_once(void **state)
{
    struct sio_assembly *a;

    (void)state;
    assert_int_equal(sio_assembly_new(bytes("50-[\"a\"]"), 10, 100, &a), SIO_OK);
    assert_true(sio_assembly_complete(a));
    sio_assembly_free(a);
}

static void reports_memory_that_is_not_there(void **state)
{
    (void)state;
    alloc_fail_each(n)
    {
        struct sio_assembly *a;
        int rv = sio_assembly_new(bytes("51-[\"a\"]"), 10, 100, &a);

        if (rv == SIO_OK) {
            rv = sio_assembly_add(a, bytes("x"));
            sio_assembly_free(a);
        }
        assert_true(rv == SIO_OK || rv == SIO_ERR_NOMEM);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_every_field),
        cmocka_unit_test(accepts_what_the_protocol_allows),
        cmocka_unit_test(refuses_what_the_protocol_does_not_know),
        cmocka_unit_test(refuses_reserved_names_however_they_are_written),
        cmocka_unit_test(refuses_placeholders_that_have_no_attachment),
        cmocka_unit_test(refuses_more_attachments_than_the_limit),
        cmocka_unit_test(bounds_nesting),
        cmocka_unit_test(cuts_the_first_items_and_counts_all),
        cmocka_unit_test(survives_a_cut_at_every_byte),
        cmocka_unit_test(writes_heads),
        cmocka_unit_test(collects_attachments_up_to_its_bound),
        cmocka_unit_test(holds_a_shared_text_without_a_copy),
        cmocka_unit_test(is_without_attachments_complete_at_once),
        cmocka_unit_test(reports_memory_that_is_not_there),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
