#include <config.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/random.h"

static void formats_local_time_as_isoformat_does(void **state)
{
    char out[CLOCK_LOCAL_SIZE];

    (void)state;
    setenv("TZ", "<-05>5", 1);
    tzset();
    assert_int_equal(clock_format_local(1795921785033140, out), 26);
    assert_string_equal(out, "2026-11-28T22:09:45.033140");
    clock_format_local(1795921785000000, out);
    assert_string_equal(out, "2026-11-28T22:09:45");
    clock_format_local(-1, out);
    assert_string_equal(out, "1969-12-31T18:59:59.999999");
}

static void formats_and_reads_http_dates(void **state)
{
    char out[CLOCK_HTTP_SIZE];

    (void)state;
    assert_int_equal(clock_format_http(784111777, out), 29);
    assert_string_equal(out, "Sun, 06 Nov 1994 08:49:37 GMT");
    assert_int_equal(clock_parse_http(out, 29), 784111777);
    for (int64_t t = 0; t < 4000000000; t += 12345679) {
        assert_int_equal(clock_format_http(t, out), 29);
        assert_int_equal(clock_parse_http(out, 29), t);
    }
}

static void refuses_other_dates(void **state)
{
    static const char *const bad[] = {
        "",
        "Sunday, 06-Nov-94 08:49:37 GMT",
        "Sun Nov  6 08:49:37 1994",
        "Sun, 06 Nov 1994 08:49:37 UTC",
        "Sun, 00 Nov 1994 08:49:37 GMT",
        "Sun, 06 Nox 1994 08:49:37 GMT",
        "Sun, 06 Nov 1994 24:49:37 GMT",
        "Sun, 06 Nov 1994 08:4x:37 GMT",
        "Xun, 06 Nov 1994 08:49:37 GMT",
    };

    (void)state;
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        assert_int_equal(clock_parse_http(bad[i], strlen(bad[i])), -1);
}

static void makes_ids_that_differ(void **state)
{
    static const char allowed[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    struct random_pool pool = {.n_left = 0};
    char ids[64][RANDOM_ID_LEN + 1]; /* more than a pool holds */

    (void)state;
    for (size_t i = 0; i < 64; i++) {
        random_id(&pool, ids[i]);
        assert_int_equal(strlen(ids[i]), RANDOM_ID_LEN);
        assert_int_equal(strspn(ids[i], allowed), RANDOM_ID_LEN);
        for (size_t k = 0; k < i; k++)
            assert_string_not_equal(ids[i], ids[k]);
    }
    assert_true(random_u64() != random_u64());
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(formats_local_time_as_isoformat_does),
        cmocka_unit_test(formats_and_reads_http_dates),
        cmocka_unit_test(refuses_other_dates),
        cmocka_unit_test(makes_ids_that_differ),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
