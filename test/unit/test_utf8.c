#include <config.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/list.h"
#include "base/mem.h"
#include "base/utf8.h"

/*
 * Whole, byte by byte and in two pieces cut everywhere: the same answer, which is
 * returned.
 */
static bool check_all_ways(const char *text, size_t len)
{
    bool whole = utf8_check(text, len);
    struct utf8 u = {0};
    bool ok = true;

    for (size_t i = 0; i < len && ok; i++)
        ok = utf8_feed(&u, text + i, 1);
    assert_int_equal(ok && utf8_done(&u), whole);
    for (size_t cut = 0; cut <= len; cut++) {
        u = (struct utf8){0};
        ok = utf8_feed(&u, text, cut) && utf8_feed(&u, text + cut, len - cut);
        assert_int_equal(ok && utf8_done(&u), whole);
    }
    return whole;
}

static void accepts_every_length_of_character(void **state)
{
    static const char *const good[] = {
        "",
        "a",
        "\x7f",
        "\xc2\x80",
        "\xdf\xbf",
        "\xe0\xa0\x80",
        "\xed\x9f\xbf",
        "\xee\x80\x80",
        "\xef\xbf\xbf",
        "\xf0\x90\x80\x80",
        "\xf4\x8f\xbf\xbf",
        "a\xc3\xa9"
        "b\xe2\x82\xac"
        "c\xf0\x9f\x98\x80"
        "d",
    };

    (void)state;
    for (size_t i = 0; i < N_ELEMENTS(good); i++)
        assert_true(check_all_ways(good[i], strlen(good[i])));
    assert_true(check_all_ways("a\0b", 3));
}

static void refuses_what_is_not_utf8(void **state)
{
    static const char *const bad[] = {
        "\x80",
        "\xbf",
        "\xc0\x80",
        "\xc1\xbf",
        "\xc2",
        "\xc2\x41",
        "\xc2\xc2",
        "\xe0\x80\x80",
        "\xe0\x9f\xbf",
        "\xe2\x82",
        "\xe2\x82\x41",
        "\xed\xa0\x80",
        "\xed\xbf\xbf",
        "\xf0\x80\x80\x80",
        "\xf0\x8f\xbf\xbf",
        "\xf0\x9f\x98",
        "\xf4\x90\x80\x80",
        "\xf5\x80\x80\x80",
        "\xfe",
        "\xff",
        "a\xc3\xa9\x80",
    };

    (void)state;
    for (size_t i = 0; i < N_ELEMENTS(bad); i++)
        if (check_all_ways(bad[i], strlen(bad[i])))
            fail_msg("accepted number %zu", i);
}

static void stops_at_the_first_byte_that_cannot_be(void **state)
{
    struct utf8 u = {0};

    (void)state;
    assert_true(utf8_feed(&u, "\xf0", 1));
    assert_false(utf8_done(&u));
    assert_false(utf8_feed(&u, "\x8f", 1));
}

static void sees_one_bad_byte_at_every_place(void **state)
{
    enum { SIZE = 200 };
    char *text = mem_raw(SIZE);

    (void)state;
    assert_non_null(text);
    for (size_t at = 0; at < SIZE; at++) {
        memset(text, 'x', SIZE);
        text[at] = (char)0xff;
        assert_false(utf8_check(text, SIZE));
        text[at] = (char)0xc3;
        assert_false(utf8_check(text, SIZE));
        if (at + 1 < SIZE) {
            text[at + 1] = (char)0xa9;
            assert_true(utf8_check(text, SIZE));
        }
    }
    mem_free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(accepts_every_length_of_character),
        cmocka_unit_test(refuses_what_is_not_utf8),
        cmocka_unit_test(stops_at_the_first_byte_that_cannot_be),
        cmocka_unit_test(sees_one_bad_byte_at_every_place),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
