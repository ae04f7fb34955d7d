#include <config.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/list.h"
#include "http/frame.h"
#include "http/mask.h"

static const struct ws_frame_rules server = {0};
static const struct ws_frame_rules client = {.client = true};
static const struct ws_frame_rules in_message = {.in_message = true};

#define PROTOCOL (-WS_CLOSE_PROTOCOL)

struct frame_case {
    const struct ws_frame_rules *rules;
    const char *bytes;
    size_t n;
    int result; /* length, or the code */
};

#define CASE(rules, literal, result)                   \
    {                                                  \
        &(rules), literal, sizeof(literal) - 1, result \
    }

static const struct frame_case cases[] = {
    CASE(server, "\x81\x85mask", 6),
    CASE(server, "\x82\x80mask", 6),
    CASE(server, "\x01\x85mask", 6),
    CASE(server, "\x89\xfdmask", 6),
    CASE(server, "\x88\x80mask", 6),
    CASE(server, "\x88\x82mask", 6),
    CASE(server, "\x81\xfe\x00\x7emask", 8),
    CASE(server, "\x81\xfe\xff\xffmask", 8),
    CASE(server, "\x81\xff\0\0\0\0\0\x01\0\0mask", 14),
    CASE(server, "\x81\xff\x7f\xff\xff\xff\xff\xff\xff\xffmask", 14),
    CASE(in_message, "\x80\x85mask", 6),
    CASE(in_message, "\x00\x85mask", 6),
    CASE(in_message, "\x8a\x80mask", 6),
    CASE(client, "\x81\x05", 2),
    CASE(client, "\x81\x7e\x00\x7e", 4),

    CASE(server, "\x81\x05mask", PROTOCOL), /* not masked */
    CASE(client, "\x81\x85mask", PROTOCOL), /* masked */
    CASE(server, "\xc1\x85mask", PROTOCOL), /* RSV1 */
    CASE(server, "\xa1\x85mask", PROTOCOL), /* RSV2 */
    CASE(server, "\x91\x85mask", PROTOCOL), /* RSV3 */
    CASE(server, "\x83\x85mask", PROTOCOL), /* reserved opcodes */
    CASE(server, "\x87\x85mask", PROTOCOL),
    CASE(server, "\x8b\x85mask", PROTOCOL),
    CASE(server, "\x8f\x85mask", PROTOCOL),
    CASE(server, "\x09\x85mask", PROTOCOL), /* fragmented control frames */
    CASE(server, "\x08\x80mask", PROTOCOL),
    CASE(server, "\x89\xfe\x00\x7emask", PROTOCOL), /* over-long control frames */
    CASE(server, "\x88\xff\0\0\0\0\0\x01\0\0mask", PROTOCOL),
    CASE(server, "\x88\x81mask", PROTOCOL),     /* a close payload of one byte */
    CASE(server, "\x80\x85mask", PROTOCOL),     /* a continuation of nothing */
    CASE(in_message, "\x81\x85mask", PROTOCOL), /* a message inside a message */
    CASE(in_message, "\x02\x85mask", PROTOCOL),
    CASE(server, "\x81\xfe\x00\x7dmask", PROTOCOL), /* lengths that are too long */
    CASE(server, "\x81\xff\0\0\0\0\0\0\xff\xffmask", PROTOCOL),
    CASE(server, "\x81\xff\x80\0\0\0\0\0\0\0mask", PROTOCOL), /* the top bit */
};

/* Short of the verdict nothing is decided, and the verdict never changes. */
static void gives_the_same_verdict_for_every_prefix(void **state)
{
    (void)state;
    for (size_t i = 0; i < N_ELEMENTS(cases); i++) {
        const struct frame_case *c = &cases[i];
        struct ws_frame f;
        int last = 0;

        for (size_t n = 0; n <= c->n; n++) {
            uint8_t *copy = malloc(n ? n : 1);
            int rv;

            memcpy(copy, c->bytes, n);
            rv = ws_frame_parse(c->rules, copy, n, &f);
            free(copy);
            if (last != 0)
                assert_int_equal(rv, last);
            if (rv > 0)
                assert_int_equal(n, c->n);
            last = rv;
        }
        if (last != c->result)
            fail_msg("case %zu: %d", i, last);
    }
}

static void refuses_as_early_as_the_bytes_show_it(void **state)
{
    struct ws_frame f;

    (void)state;
    assert_int_equal(ws_frame_parse(&server, (const uint8_t *)"\xf1", 1, &f), PROTOCOL);
    assert_int_equal(ws_frame_parse(&server, (const uint8_t *)"\x81\x05", 2, &f),
                     PROTOCOL);
}

static void reads_what_is_in_the_header(void **state)
{
    static const uint8_t bytes[] = {0x02, 0xfe, 0x12, 0x34, 'm', 'a', 's', 'k'};
    struct ws_frame f;

    (void)state;
    assert_int_equal(ws_frame_parse(&server, bytes, sizeof(bytes), &f), 8);
    assert_false(f.fin);
    assert_int_equal(f.opcode, WS_BINARY);
    assert_int_equal(f.len, 0x1234);
    assert_memory_equal(f.mask, "mask", 4);
}

static void writes_the_shortest_header_and_reads_it_back(void **state)
{
    static const struct {
        uint64_t len;
        size_t head;
    } sizes[] = {{0, 2},     {1, 2},      {125, 2},       {126, 4},
                 {65535, 4}, {65536, 10}, {1u << 24, 10}, {UINT64_C(1) << 40, 10}};

    (void)state;
    for (size_t i = 0; i < N_ELEMENTS(sizes); i++) {
        uint8_t head[WS_HEAD_MAX];
        struct ws_frame f;

        assert_int_equal(ws_frame_head(head, WS_TEXT, sizes[i].len), sizes[i].head);
        assert_int_equal(ws_frame_parse(&client, head, sizes[i].head, &f),
                         sizes[i].head);
        assert_true(f.fin);
        assert_int_equal(f.len, sizes[i].len);
        assert_int_equal(f.opcode, WS_TEXT);
    }
}

static const uint8_t mask[4] = {0x12, 0xff, 0x80, 0x07};

static void masks_as_byte_by_byte_at_every_offset_and_length(void **state)
{
    (void)state;
    for (size_t len = 0; len < 150; len++) {
        for (uint64_t at = 0; at < 8; at++) {
            uint8_t *src = malloc(len + 1);
            uint8_t *dst = malloc(len ? len : 1);

            for (size_t i = 0; i < len; i++)
                src[i] = (uint8_t)(i * 37 + at);
            ws_mask(dst, src, len, mask, at);
            for (size_t i = 0; i < len; i++)
                assert_int_equal(dst[i], (uint8_t)(i * 37 + at) ^ mask[(at + i) & 3]);
            ws_mask(src, src, len, mask, at);
            assert_memory_equal(src, dst, len);
            free(src);
            free(dst);
        }
    }
}

/* Masks text, then unmasks it in two pieces. */
static bool unmask(const uint8_t *text, size_t len, size_t cut, bool *whole)
{
    uint8_t *wire = malloc(len ? len : 1);
    struct utf8 u = {0};
    bool good;

    ws_mask(wire, text, len, mask, 0);
    good = ws_unmask_text(wire, wire, cut, mask, 0, &u) &&
           ws_unmask_text(wire + cut, wire + cut, len - cut, mask, cut, &u);
    *whole = utf8_done(&u);
    if (good)
        assert_memory_equal(wire, text, len);
    free(wire);
    return good;
}

static void checks_utf8_over_the_borders_of_pieces(void **state)
{
    uint8_t text[20000];
    bool whole;

    (void)state;
    memset(text, 'a', sizeof(text));
    assert_true(unmask(text, sizeof(text), 9000, &whole));
    assert_true(whole);
    memcpy(text + 8190, "\xf0\x9f\x98\x80", 4); /* over the border of a block */
    for (size_t cut = 8185; cut < 8200; cut++) {
        assert_true(unmask(text, sizeof(text), cut, &whole));
        assert_true(whole);
    }
    assert_true(unmask(text, 8192, 10, &whole));
    assert_false(whole);
    text[8193] = 'a';
    assert_false(unmask(text, sizeof(text), 8191, &whole));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(gives_the_same_verdict_for_every_prefix),
        cmocka_unit_test(refuses_as_early_as_the_bytes_show_it),
        cmocka_unit_test(reads_what_is_in_the_header),
        cmocka_unit_test(writes_the_shortest_header_and_reads_it_back),
        cmocka_unit_test(masks_as_byte_by_byte_at_every_offset_and_length),
        cmocka_unit_test(checks_utf8_over_the_borders_of_pieces),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
