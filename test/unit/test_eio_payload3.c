/*
 * The codec of Engine.IO 3 where it differs from 4's: packets and payloads.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/list.h"
#include "engineio/payload3.h"

#define EURO  "\xe2\x82\xac"     /* three bytes, one unit */
#define SMILE "\xf0\x9f\x98\x80" /* four bytes, two units */

typedef int (*next_packet)(struct sio_str *rest, struct eio_packet *out);

static struct sio_str str(const char *s)
{
    return sio_str_from(s);
}

/* The number of packets in a payload, or the error that stops it. */
static int count_packets(next_packet next, struct sio_str body)
{
    struct eio_packet p;
    int n = 0;
    int rv;

    while ((rv = next(&body, &p)) > 0)
        n++;
    return rv < 0 ? rv : n;
}

static void assert_data(const struct eio_packet *p, const void *want, size_t len)
{
    assert_int_equal(p->data.len, len);
    if (len > 0)
        assert_memory_equal(p->data.ptr, want, len);
}

static void reads_text_payloads(void **state)
{
    static const char body[] =
        "6:4hello10:b4AQIDBA==1:26:2probe2:4" EURO "4:4" SMILE "a";
    struct sio_str rest = str(body);
    struct eio_packet p;

    (void)state;
    assert_int_equal(eio_payload3_next(&rest, &p), 1);
    assert_int_equal(p.type, EIO_PACKET_MESSAGE);
    assert_false(p.base64 || p.binary);
    assert_data(&p, "hello", 5);
    assert_int_equal(eio_payload3_next(&rest, &p), 1);
    assert_int_equal(p.type, EIO_PACKET_MESSAGE);
    assert_true(p.base64);
    assert_data(&p, "AQIDBA==", 8);
    assert_int_equal(eio_payload3_next(&rest, &p), 1);
    assert_int_equal(p.type, EIO_PACKET_PING);
    assert_data(&p, "", 0);
    assert_int_equal(eio_payload3_next(&rest, &p), 1);
    assert_true(eio_packet_is_probe(&p));
    assert_int_equal(eio_payload3_next(&rest, &p), 1);
    assert_data(&p, EURO, 3);
    assert_int_equal(eio_payload3_next(&rest, &p), 1);
    assert_data(&p, SMILE "a", 5);
    assert_int_equal(eio_payload3_next(&rest, &p), 0);
}

static void rejects_bad_text_payloads(void **state)
{
    static const char *const bad[] = {
        "",
        "abc",
        ":",
        "1",
        "1:",
        "0:",
        "01:2",
        " 1:2",
        "+1:2",
        "1 :2",
        "-1:2",
        "2:2",
        "1:22",
        "1:2x",
        "1:7",
        "1:x",
        "1:b",
        "2:b3",
        "1:2\x1e"
        "1:2",
        "99999999999:4",
        "18446744073709551617:4",
        "4294967296:4",
        "2:4" SMILE,
        "3:4\xff\xff",
        "2:4\xc0\xaf",
        "2:4\xed\xa0\x80",
        "2:4\xe2\x82",
        "1:4" EURO,
        "3:4" SMILE "a",
    };

    (void)state;
    for (size_t i = 0; i < N_ELEMENTS(bad); i++)
        assert_int_equal(count_packets(eio_payload3_next, str(bad[i])), SIO_ERR_PARSE);
}

static void gives_the_packets_before_a_bad_one(void **state)
{
    struct sio_str rest = str("2:4a2:4b1:81:2");
    struct eio_packet p;

    (void)state;
    assert_int_equal(eio_payload3_next(&rest, &p), 1);
    assert_int_equal(eio_payload3_next(&rest, &p), 1);
    assert_data(&p, "b", 1);
    assert_int_equal(eio_payload3_next(&rest, &p), SIO_ERR_PARSE);
}

static const uint8_t binary_body[] = {
    0, 6, 255, '4', 'h',  'e',  'l',  'l', 'o', /* */
    1, 5, 255, 4,   1,    2,    3,    255,      /* */
    0, 4, 255, '4', 0xe2, 0x82, 0xac,           /* */
    1, 1, 255, 4,                               /* */
    0, 1, 2,   255, '4',  'x',  'x',  'x', 'x', 'x', 'x', 'x', 'x', 'x', 'x', 'x',
};

static struct sio_str bytes(const void *p, size_t len)
{
    return (struct sio_str){p, len};
}

static void reads_binary_payloads(void **state)
{
    struct sio_str rest = bytes(binary_body, sizeof(binary_body));
    struct eio_packet p;

    (void)state;
    assert_int_equal(eio_payload3_next_binary(&rest, &p), 1);
    assert_false(p.base64 || p.binary);
    assert_data(&p, "hello", 5);
    assert_int_equal(eio_payload3_next_binary(&rest, &p), 1);
    assert_true(p.binary && !p.base64);
    assert_data(&p, "\1\2\3\xff", 4);
    assert_int_equal(eio_payload3_next_binary(&rest, &p), 1);
    assert_data(&p, EURO, 3);
    assert_int_equal(eio_payload3_next_binary(&rest, &p), 1);
    assert_true(p.binary);
    assert_data(&p, "", 0);
    assert_int_equal(eio_payload3_next_binary(&rest, &p), 1);
    assert_data(&p, "xxxxxxxxxxx", 11);
    assert_int_equal(eio_payload3_next_binary(&rest, &p), 0);
}

static void rejects_bad_binary_payloads(void **state)
{
    static const struct sio_str bad[] = {
        SIO_STR_INIT(""),
        SIO_STR_INIT("\0"),
        SIO_STR_INIT("\0\1"),
        SIO_STR_INIT("\0\1\xff"),
        SIO_STR_INIT("\0\xff"
                     "4"),
        SIO_STR_INIT("\0\0\xff"),
        SIO_STR_INIT("\0\0\1\xff"
                     "4"),
        SIO_STR_INIT("\0\2\xff"
                     "4"),
        SIO_STR_INIT("\2\1\xff\4"),
        SIO_STR_INIT("\0\x0a\xff"
                     "4xxxxxxxxx"),
        SIO_STR_INIT("\0"
                     "1\xff"
                     "4"),
        SIO_STR_INIT("\1\1\xff\3"),
        SIO_STR_INIT("\1\1\xff"
                     "4"),
        SIO_STR_INIT("\0\1\xff\4"),
        SIO_STR_INIT("\0\3\xff"
                     "4\xe2\x82"),
        SIO_STR_INIT("\0\1\1\1\1\1\1\1\1\1\1\1\1\1\1\1\1\1\1\1\1\xff"
                     "4"),
        SIO_STR_INIT("6:4hello"),
    };

    (void)state;
    for (size_t i = 0; i < N_ELEMENTS(bad); i++)
        assert_int_equal(count_packets(eio_payload3_next_binary, bad[i]),
                         SIO_ERR_PARSE);
}

/* Cut short at each position: an error, unless the cut is between two packets. */
static void check_cuts(next_packet next, struct sio_str whole)
{
    struct sio_str rest = whole;
    struct eio_packet p;
    size_t end = 0;
    int n = 0;

    while (next(&rest, &p) > 0) {
        size_t from = end;

        end = rest.ptr ? (size_t)(rest.ptr - whole.ptr) : whole.len;
        for (size_t cut = from + 1; cut < end; cut++)
            assert_int_equal(count_packets(next, bytes(whole.ptr, cut)), SIO_ERR_PARSE);
        n++;
        assert_int_equal(count_packets(next, bytes(whole.ptr, end)), n);
    }
    assert_int_equal(end, whole.len);
}

static void may_be_cut_between_packets_only(void **state)
{
    (void)state;
    check_cuts(eio_payload3_next, str("6:4hello10:b4AQIDBA==2:4" EURO
                                      "12:4" SMILE SMILE SMILE SMILE SMILE "a1:2"));
    check_cuts(eio_payload3_next_binary, bytes(binary_body, sizeof(binary_body)));
}

/* The lengths that pieces have add up, wherever a text is cut. */
static void units_add_up(void **state)
{
    static const char text[] = "a" EURO SMILE "\xc3\xa9" SMILE "z";
    size_t len = sizeof(text) - 1;

    (void)state;
    for (size_t cut = 0; cut <= len; cut++)
        assert_int_equal(eio_payload3_units(text, cut) +
                             eio_payload3_units(text + cut, len - cut),
                         8);
}

static void writes_what_it_reads(void **state)
{
    static const size_t lens[] = {1, 9, 10, 99, 100, 1234567890};
    char head[EIO_PAYLOAD3_HEAD_MAX];

    (void)state;
    assert_int_equal(eio_payload3_head(head, 1234567890), 11);
    assert_memory_equal(head, "1234567890:", 11);
    assert_int_equal(eio_payload3_head_binary(head, true, 1234567890), 12);
    assert_memory_equal(head, "\0\1\2\3\4\5\6\7\10\11\0\xff", 12);
    for (size_t i = 0; i < N_ELEMENTS(lens); i++) {
        size_t n = eio_payload3_head_binary(head, false, lens[i]);

        assert_int_equal(head[0], 1);
        assert_int_equal((uint8_t)head[n - 1], 0xff);
        assert_true(n <= sizeof(head));
    }
    assert_true(eio_payload3_head(head, SIZE_MAX) <= sizeof(head));
    assert_true(eio_payload3_head_binary(head, true, SIZE_MAX) <= sizeof(head));
}

static void reads_frames(void **state)
{
    struct eio_packet p;

    (void)state;
    assert_int_equal(eio_packet3_parse(str("4b"), &p), SIO_OK);
    assert_false(p.base64 || p.binary);
    assert_int_equal(eio_packet3_parse(str("b4QQ=="), &p), SIO_OK);
    assert_true(p.base64);
    assert_int_equal(eio_packet3_parse(str("b4"), &p), SIO_OK);
    assert_int_equal(eio_packet3_parse(str("b"), &p), SIO_ERR_PARSE);
    assert_int_equal(eio_packet3_parse(str("bQQ=="), &p), SIO_ERR_PARSE);
    assert_int_equal(eio_packet3_parse(str(""), &p), SIO_ERR_PARSE);
    assert_int_equal(eio_packet3_parse_binary(bytes("\4\1", 2), &p), SIO_OK);
    assert_data(&p, "\1", 1);
    assert_int_equal(eio_packet3_parse_binary(bytes("", 0), &p), SIO_ERR_PARSE);
    assert_int_equal(eio_packet3_parse_binary(bytes("4a", 2), &p), SIO_ERR_PARSE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_text_payloads),
        cmocka_unit_test(rejects_bad_text_payloads),
        cmocka_unit_test(gives_the_packets_before_a_bad_one),
        cmocka_unit_test(reads_binary_payloads),
        cmocka_unit_test(rejects_bad_binary_payloads),
        cmocka_unit_test(may_be_cut_between_packets_only),
        cmocka_unit_test(units_add_up),
        cmocka_unit_test(writes_what_it_reads),
        cmocka_unit_test(reads_frames),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
