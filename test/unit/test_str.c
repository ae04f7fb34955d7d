#include <config.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/str.h"

static void compares(void **state)
{
    struct sio_str none = {NULL, 0};

    (void)state;
    assert_true(str_eq(none, SIO_STR("")));
    assert_true(str_eq_cstr(SIO_STR("ab"), "ab"));
    assert_false(str_eq_cstr(SIO_STR("ab\0"), "ab"));
    assert_true(str_ieq(SIO_STR("Content-TYPE"), SIO_STR("content-type")));
    assert_false(str_ieq(SIO_STR("a["), SIO_STR("a{"))); /* 32 apart, no letters */
    assert_true(str_starts(SIO_STR("abc"), SIO_STR("ab")));
    assert_true(str_starts(none, SIO_STR("")));
    assert_false(str_starts(SIO_STR("a"), SIO_STR("ab")));
}

static void trims_blanks_and_tabs(void **state)
{
    (void)state;
    assert_true(str_eq_cstr(str_trim(SIO_STR(" \t a b\t ")), "a b"));
    assert_int_equal(str_trim(SIO_STR(" \t")).len, 0);
}

static void cuts_at_each_separator(void **state)
{
    static const char *const expect[] = {"a", "", "b", ""};
    struct sio_str rest = SIO_STR("a,,b,");
    size_t n = 0;

    (void)state;
    while (rest.ptr)
        assert_true(str_eq_cstr(str_cut(&rest, ','), expect[n++]));
    assert_int_equal(n, 4);
}

static void finds_a_token_in_a_list(void **state)
{
    (void)state;
    assert_true(str_list_has(SIO_STR("keep-alive, Upgrade"), SIO_STR("upgrade")));
    assert_true(str_list_has(SIO_STR(" upgrade ,"), SIO_STR("upgrade")));
    assert_false(str_list_has(SIO_STR("upgraded"), SIO_STR("upgrade")));
    assert_false(str_list_has(SIO_STR(""), SIO_STR("upgrade")));
}

static void reads_digits_only(void **state)
{
    uint64_t n = 7;

    (void)state;
    assert_int_equal(str_to_u64(SIO_STR("0"), 10, &n), SIO_OK);
    assert_int_equal(n, 0);
    assert_int_equal(str_to_u64(SIO_STR("18446744073709551615"), UINT64_MAX, &n),
                     SIO_OK);
    assert_true(n == UINT64_MAX);
    assert_int_equal(str_to_u64(SIO_STR("18446744073709551616"), UINT64_MAX, &n),
                     SIO_ERR_TOO_BIG);
    assert_int_equal(str_to_u64(SIO_STR("11"), 10, &n), SIO_ERR_TOO_BIG);
    assert_int_equal(str_to_u64(SIO_STR(""), 10, &n), SIO_ERR_PARSE);
    assert_int_equal(str_to_u64(SIO_STR("+1"), 10, &n), SIO_ERR_PARSE);
    assert_int_equal(str_to_u64(SIO_STR(" 1"), 10, &n), SIO_ERR_PARSE);
    assert_int_equal(str_to_u64(SIO_STR("99999999999999999999x"), 10, &n),
                     SIO_ERR_PARSE);
}

static void assert_decoded(const char *src, bool plus_is_blank, const char *expect)
{
    char out[64];
    size_t n = str_percent_decode(sio_str_from(src), out, plus_is_blank);

    assert_int_equal(n, strlen(expect));
    assert_memory_equal(out, expect, n);
}

static void decodes_percents_and_leaves_what_is_none(void **state)
{
    (void)state;
    assert_decoded("a%20b%c3%A9", false, "a b\xc3\xa9");
    assert_decoded("a+b", false, "a+b");
    assert_decoded("a+b", true, "a b");
    assert_decoded("100%", true, "100%");
    assert_decoded("%4", true, "%4");
    assert_decoded("%zz%41", true, "%zzA");
    assert_decoded("%%41", true, "%A");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(compares),
        cmocka_unit_test(trims_blanks_and_tabs),
        cmocka_unit_test(cuts_at_each_separator),
        cmocka_unit_test(finds_a_token_in_a_list),
        cmocka_unit_test(reads_digits_only),
        cmocka_unit_test(decodes_percents_and_leaves_what_is_none),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
