#include <config.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/json.h"
#include "base/list.h"
#include "base/mem.h"
#include "base/str.h"

static struct sio_str str(const char *s)
{
    return sio_str_from(s);
}

/* On a copy of exactly that size, so that a read past the end is seen. */
static int check_copy(const char *text, size_t len)
{
    char *copy = mem_raw(len);
    int rv;

    assert_non_null(copy);
    memcpy(copy, text, len);
    rv = json_check((struct sio_str){copy, len});
    mem_free(copy);
    return rv;
}

static void accepts_what_the_rfc_allows(void **state)
{
    static const char *const good[] = {
        "0",
        "-0",
        "1.5",
        "-1e9",
        "1E+2",
        "0.1e-7",
        "123456789012345678901234567890",
        "true",
        "false",
        "null",
        " \t\r\n null \n",
        "\"\"",
        "\"\\u0000\"",
        "\"\\ud800\"",
        "\"\\\"\\\\\\/\\b\\f\\n\\r\\t\"",
        "[]",
        "{}",
        "[ ]",
        "{ }",
        "[1,2 , 3]",
        "{\"a\":1,\"a\":2}",
        "{\"a\" : [ {} , [ ] ] }",
        "[[[[]]]]",
        "\"\x7f\xe2\x80\xa8\"",
    };

    (void)state;
    for (size_t i = 0; i < N_ELEMENTS(good); i++)
        if (check_copy(good[i], strlen(good[i])) != SIO_OK)
            fail_msg("refused: %s", good[i]);
}

static void refuses_everything_else(void **state)
{
    static const char *const bad[] = {
        "",
        " ",
        "NaN",
        "Infinity",
        "-",
        "+1",
        "01",
        "-01",
        "1.",
        ".5",
        "1e",
        "1e+",
        "0x10",
        "tru",
        "nulll",
        "TRUE",
        "\"",
        "\"\\",
        "\"\\x\"",
        "\"\\u12\"",
        "\"\\u12g4\"",
        "\"a\tb\"",
        "\"a\nb\"",
        "'a'",
        "[",
        "]",
        "[1",
        "[1,",
        "[1,]",
        "[,1]",
        "[1 2]",
        "[1}",
        "{",
        "}",
        "{]",
        "{\"a\"}",
        "{\"a\":}",
        "{\"a\":1,}",
        "{a:1}",
        "{1:2}",
        "{\"a\":1 \"b\":2}",
        "1 2",
        "[] []",
        "null,",
        "/**/1",
        "[1]x",
    };

    (void)state;
    for (size_t i = 0; i < N_ELEMENTS(bad); i++)
        if (check_copy(bad[i], strlen(bad[i])) != SIO_ERR_PARSE)
            fail_msg("accepted: %s", bad[i]);
    assert_int_equal(check_copy("1\0", 2), SIO_ERR_PARSE);
    assert_int_equal(check_copy("\"a\0b\"", 5), SIO_ERR_PARSE);
}

/* No proper beginning of a document is a document. */
static void refuses_a_text_cut_anywhere(void **state)
{
    static const char text[] = "{\"key\\n\":[1.5e-3,true,false,null,\"\\u00e9 and a "
                               "longer text without escapes, "
                               "so that the wide loops run over it and past it; more "
                               "of it and more\"],\"b\":{}}";

    (void)state;
    assert_int_equal(check_copy(text, sizeof(text) - 1), SIO_OK);
    for (size_t len = 0; len < sizeof(text) - 1; len++)
        assert_int_equal(check_copy(text, len), SIO_ERR_PARSE);
}

/* Each of them at each place of a text around the width of every loop. */
static void finds_what_ends_a_string_at_every_place(void **state)
{
    static const char special[] = {'"', '\\', '\0', '\n', 0x1f};
    char text[202];

    (void)state;
    for (size_t len = 2; len < sizeof(text); len += 1 + len / 40) {
        for (size_t at = 1; at < len - 1; at++) {
            for (size_t i = 0; i < sizeof(special); i++) {
                memset(text, (int)('g' + at % 7), len);
                text[0] = text[len - 1] = '"';
                text[at] = special[i];
                assert_int_equal(check_copy(text, len), SIO_ERR_PARSE);
            }
            memset(text, 0x20 + (int)(at % 2) * 0xdf, len); /* 0x20 and 0xff */
            text[0] = text[len - 1] = '"';
            assert_int_equal(check_copy(text, len), SIO_OK);
        }
    }
}

static void bounds_nesting(void **state)
{
    char text[2 * (JSON_MAX_DEPTH + 1)];
    size_t n = JSON_MAX_DEPTH;

    (void)state;
    memset(text, '[', n);
    memset(text + n, ']', n);
    assert_int_equal(check_copy(text, 2 * n), SIO_OK);
    n++;
    memset(text, '[', n);
    memset(text + n, ']', n);
    assert_int_equal(check_copy(text, 2 * n), SIO_ERR_TOO_BIG);
    memset(text, '[', sizeof(text));
    assert_int_equal(check_copy(text, sizeof(text)), SIO_ERR_TOO_BIG);
}

/* The kinds of open containers are bits in two words: mix them over the border. */
static void remembers_which_container_is_open(void **state)
{
    struct wbuf w;

    (void)state;
    wbuf_init(&w, 4096);
    for (int i = 0; i < 60; i++)
        wbuf_add_cstr(&w, "[{\"a\":");
    wbuf_add_cstr(&w, "1");
    for (int i = 0; i < 60; i++)
        wbuf_add_cstr(&w, "}]");
    assert_int_equal(json_check(wbuf_str(&w)), SIO_OK);
    w.buf->data[w.len - 1] = '}';
    assert_int_equal(json_check(wbuf_str(&w)), SIO_ERR_PARSE);
    wbuf_fini(&w);
}

static void cuts_an_array_into_its_items(void **state)
{
    struct sio_str items[3];
    size_t n;

    (void)state;
    assert_int_equal(
        json_array_cut(str(" [\"ev\" , {\"a\":[1,2]},\t3.5 ] "), items, 3, &n), SIO_OK);
    assert_int_equal(n, 3);
    assert_true(str_eq_cstr(items[0], "\"ev\""));
    assert_true(str_eq_cstr(items[1], "{\"a\":[1,2]}"));
    assert_true(str_eq_cstr(items[2], "3.5"));
    assert_int_equal(json_array_cut(str("[1,2,3,4]"), items, 2, &n), SIO_OK);
    assert_int_equal(n, 4);
    assert_true(str_eq_cstr(items[1], "2"));
    assert_int_equal(json_array_cut(str(" [ ] "), items, 3, &n), SIO_OK);
    assert_int_equal(n, 0);
    assert_int_equal(json_array_cut(str("[]"), NULL, 0, &n), SIO_OK);
}

static void cuts_nothing_that_is_not_one_array(void **state)
{
    static const char *const bad[] = {"",     "{}",   "1",      "[",    "[1",
                                      "[1,",  "[1,]", "[1 2]",  "[1]]", "[1]x",
                                      "[1},", "[}",   "\"[]\"", "[,]"};
    struct sio_str items[2];
    size_t n;

    (void)state;
    for (size_t i = 0; i < N_ELEMENTS(bad); i++)
        assert_int_equal(json_array_cut(str(bad[i]), items, 2, &n), SIO_ERR_PARSE);
}

static void walks_members_and_items(void **state)
{
    struct json_iter it =
        json_iter(str("{ \"a\" : 1 , \"b\\\"\":[\"]\",{}], \"\":null}"));
    struct sio_str key, value;

    (void)state;
    assert_true(json_next(&it, &key, &value));
    assert_true(str_eq_cstr(key, "\"a\"") && str_eq_cstr(value, "1"));
    assert_true(json_next(&it, &key, &value));
    assert_true(str_eq_cstr(key, "\"b\\\"\"") && str_eq_cstr(value, "[\"]\",{}]"));
    assert_true(json_next(&it, &key, &value));
    assert_true(str_eq_cstr(key, "\"\"") && str_eq_cstr(value, "null"));
    assert_false(json_next(&it, &key, &value));
    assert_false(json_next(&it, &key, &value));

    it = json_iter(str("[ \"\\\\\" , [1,[2]] ,true]"));
    assert_true(json_next(&it, &key, &value));
    assert_null(key.ptr);
    assert_true(str_eq_cstr(value, "\"\\\\\""));
    assert_true(json_next(&it, &key, &value));
    assert_true(str_eq_cstr(value, "[1,[2]]"));
    assert_true(json_next(&it, &key, &value));
    assert_true(str_eq_cstr(value, "true"));
    assert_false(json_next(&it, &key, &value));
}

static void finds_no_members_in_a_scalar(void **state)
{
    static const char *const none[] = {"1",  "\"{}\"", "null", "true",
                                       "[]", "{}",     "{ }"};
    struct sio_str key, value;

    (void)state;
    for (size_t i = 0; i < N_ELEMENTS(none); i++) {
        struct json_iter it = json_iter(str(none[i]));

        assert_false(json_next(&it, &key, &value));
    }
}

static void gets_the_last_member_of_a_name(void **state)
{
    struct sio_str object = str("{\"a\":1,\"b\":2,\"\\u0061\":3}");
    struct sio_str value;

    (void)state;
    assert_true(json_get(object, "a", &value));
    assert_true(str_eq_cstr(value, "3"));
    assert_false(json_get(object, "c", &value));
    assert_false(json_get(str("[1]"), "a", &value));
}

static void decodes_escapes(void **state)
{
    static const char expect[] =
        "a\0\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80\n\"\\/\xef\xbf\xbdz";
    struct sio_str raw =
        str("\"a\\u0000\\u00e9\\u20AC\\uD83D\\ude00\\n\\\"\\\\\\/\\ud800z\"");
    struct sio_str plain;
    struct wbuf w;

    (void)state;
    assert_int_equal(json_check(raw), SIO_OK);
    wbuf_init(&w, 1024);
    json_string_decode(raw, &w);
    assert_int_equal(w.error, SIO_OK);
    assert_int_equal(w.len, sizeof(expect) - 1);
    assert_memory_equal(w.buf->data, expect, w.len);
    assert_true(json_string_eq(raw, wbuf_str(&w)));
    assert_false(json_string_eq(raw, str("a")));
    assert_false(json_string_plain(raw, &plain));
    assert_true(json_string_plain(str("\"ab\""), &plain));
    assert_true(str_eq_cstr(plain, "ab"));
    assert_false(json_string_eq(str("\"ab\""), str("abc")));
    assert_false(json_string_eq(str("\"abc\""), str("ab")));
    wbuf_fini(&w);
}

static void turns_lone_surrogates_into_the_replacement_character(void **state)
{
    static const char *const lone[] = {"\"\\udc00\"",        "\"\\ud800\"",
                                       "\"\\ud800x\"",       "\"\\ud800\\n\"",
                                       "\"\\ud800\\u0041\"", "\"\\ud800\\ud800\""};
    struct wbuf w;

    (void)state;
    for (size_t i = 0; i < N_ELEMENTS(lone); i++) {
        wbuf_init(&w, 64);
        json_string_decode(str(lone[i]), &w);
        assert_memory_equal(w.buf->data, "\xef\xbf\xbd", 3);
        wbuf_fini(&w);
    }
}

static void reads_numbers(void **state)
{
    double d;

    (void)state;
    assert_true(json_number(str("-17"), &d) && d == -17);
    assert_true(json_number(str("0.1"), &d) && d == 0.1);
    assert_true(json_number(str("-123456789.012345"), &d) && d == -123456789.012345);
    assert_true(json_number(str("1234567890.0123456"), &d) && d == 1234567890.0123456);
    assert_true(json_number(str("0.000000000000001"), &d) && d == 1e-15);
    assert_true(json_number(str("1e400"), &d) && d > 1e308);
    assert_true(
        json_number(str("1797693134862315708145274237317043567980705675258449965989"
                        "17476803157260780028538760589558632766878"),
                    &d));
    assert_true(d > 1.79e98 && d < 1.8e98);
    assert_false(json_number(str("\"1\""), &d));
    assert_false(json_number(str("null"), &d));
    assert_false(json_number(str(""), &d));
}

static void assert_written(double d, const char *expect)
{
    struct wbuf w;

    wbuf_init(&w, 64);
    json_write_double(&w, d);
    wbuf_add_byte(&w, '\0');
    assert_string_equal(wbuf_str(&w).ptr, expect);
    wbuf_fini(&w);
}

static void writes_the_shortest_number(void **state)
{
    (void)state;
    assert_written(0, "0");
    assert_written(-0.0, "-0");
    assert_written(12.5, "12.5");
    assert_written(-0.1, "-0.1");
    assert_written(1e-7, "1e-7");
    assert_written(1.5e-7, "1.5e-7");
    assert_written(1e-6, "0.000001");
    assert_written(123456789012, "123456789012");
    assert_written(1e15, "1000000000000000");
    assert_written(1e20, "100000000000000000000");
    assert_written(1e21, "1e+21");
    assert_written(1e22, "1e+22");
    assert_written(0.1 + 0.2, "0.30000000000000004");
    assert_written(5e-324, "5e-324");
    assert_written(1.7976931348623157e308, "1.7976931348623157e+308");
    assert_written(1e308 * 10, "null");
    assert_written(123456.789, "123456.789");
    assert_written(0.000012, "0.000012");
    assert_written(0.25, "0.25");
    assert_written(99999999.000001, "99999999.000001");
    assert_written(100000000.5, "100000000.5");
    assert_written(123456789012345.5, "123456789012345.5");
}

/* A few digits behind the point, and their neighbours. */
static void reads_and_writes_decimals_as_the_c_library_does(void **state)
{
    (void)state;
    for (unsigned i = 1; i < 200000; i += 37) {
        for (int k = 0; k <= 8; k++) {
            char text[40];
            struct wbuf w;
            double d;

            snprintf(text, sizeof(text), "%u.%s%u", i % 1000, &"00000000"[k], i % 10);
            assert_true(json_number(sio_str_from(text), &d));
            assert_true(d == strtod(text, NULL));
            d += d * (i % 3) * 2.220446049250313e-16;
            wbuf_init(&w, 64);
            json_write_double(&w, d);
            wbuf_add_byte(&w, '\0');
            assert_true(strtod(wbuf_str(&w).ptr, NULL) == d);
            wbuf_fini(&w);
        }
    }
}

static void gives_one_token_after_another(void **state)
{
    static const char *const wanted[] = {
        "{", "\"a,\\\"\"", "[", "1.5e3", "null", "{", "}", "]", "\"b\"", "true", "}"};
    struct sio_str rest = str(" {\"a,\\\"\" : [ 1.5e3,null ,{}], \"b\":true}\n");
    struct sio_str token;

    (void)state;
    for (size_t i = 0; i < N_ELEMENTS(wanted); i++) {
        assert_true(json_token(&rest, &token));
        assert_true(str_eq_cstr(token, wanted[i]));
    }
    assert_false(json_token(&rest, &token));
}

static void writes_numbers_that_read_back_the_same(void **state)
{
    uint64_t bits = 88172645463325252u;

    (void)state;
    for (int i = 0; i < 20000; i++) {
        struct wbuf w;
        double d, back;

        bits ^= bits << 13;
        bits ^= bits >> 7;
        bits ^= bits << 17;
        memcpy(&d, &bits, sizeof(d));
        if (d != d || d - d != 0)
            continue;
        wbuf_init(&w, 64);
        json_write_double(&w, d);
        assert_int_equal(json_check(wbuf_str(&w)), SIO_OK);
        assert_true(json_number(wbuf_str(&w), &back));
        assert_true(back == d);
        wbuf_fini(&w);
    }
}

static void writes_strings(void **state)
{
    struct sio_str text = {"a\"\\\n\x01\0\xc3\xa9 \xff\xe2\x82", 12};
    struct wbuf w;

    (void)state;
    wbuf_init(&w, 1024);
    json_write_string(&w, text);
    wbuf_add_byte(&w, '\0');
    assert_string_equal(wbuf_str(&w).ptr,
                        "\"a\\\"\\\\\\n\\u0001\\u0000\xc3\xa9 \xef\xbf\xbd\xef\xbf\xbd"
                        "\xef\xbf\xbd\"");
    wbuf_fini(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(accepts_what_the_rfc_allows),
        cmocka_unit_test(refuses_everything_else),
        cmocka_unit_test(refuses_a_text_cut_anywhere),
        cmocka_unit_test(finds_what_ends_a_string_at_every_place),
        cmocka_unit_test(bounds_nesting),
        cmocka_unit_test(remembers_which_container_is_open),
        cmocka_unit_test(cuts_an_array_into_its_items),
        cmocka_unit_test(cuts_nothing_that_is_not_one_array),
        cmocka_unit_test(walks_members_and_items),
        cmocka_unit_test(finds_no_members_in_a_scalar),
        cmocka_unit_test(gets_the_last_member_of_a_name),
        cmocka_unit_test(decodes_escapes),
        cmocka_unit_test(turns_lone_surrogates_into_the_replacement_character),
        cmocka_unit_test(reads_numbers),
        cmocka_unit_test(writes_the_shortest_number),
        cmocka_unit_test(writes_numbers_that_read_back_the_same),
        cmocka_unit_test(reads_and_writes_decimals_as_the_c_library_does),
        cmocka_unit_test(gives_one_token_after_another),
        cmocka_unit_test(writes_strings),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
