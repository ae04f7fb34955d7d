#include <config.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/log.h"

struct sink {
    char line[2048];
    size_t len;
    int n;
};

static void keep(enum sio_log_level level, const char *line, size_t len, void *user)
{
    struct sink *sink = user;

    (void)level;
    assert_true(len < sizeof(sink->line));
    memcpy(sink->line, line, len);
    sink->line[len] = '\0';
    sink->len = len;
    sink->n++;
}

static void leaves_out_what_is_above_its_level(void **state)
{
    struct sink sink = {.n = 0};
    struct log log = {SIO_LOG_WARN, keep, &sink};
    struct log silent = {.level = SIO_LOG_DEBUG};

    (void)state;
    log_info(&log, "info");
    assert_int_equal(sink.n, 0);
    log_warn(&log, "n=%d", 5);
    assert_string_equal(sink.line, "n=5");
    log_error(&log, "error");
    assert_int_equal(sink.n, 2);
    log_error(&silent, "nobody listens");
    log_error(NULL, "nobody listens");
}

static void a_line_stays_one_line(void **state)
{
    struct sink sink = {.n = 0};
    struct log log = {SIO_LOG_DEBUG, keep, &sink};

    (void)state;
    log_info(&log, "id=%s", "a\nb\x1b[1m\x7f\xc3\xa9");
    assert_string_equal(sink.line, "id=a?b?[1m?\xc3\xa9");
}

static void a_line_is_cut_where_it_does_not_fit(void **state)
{
    struct sink sink = {.n = 0};
    struct log log = {SIO_LOG_DEBUG, keep, &sink};

    (void)state;
    log_info(&log, "%5000s", "x");
    assert_int_equal(sink.len, 1023);
}

static void limits_lines_a_minute(void **state)
{
    struct log_limit limit = {0};

    (void)state;
    assert_true(log_limit(&limit, 0, 2));
    assert_true(log_limit(&limit, 59999, 2));
    assert_false(log_limit(&limit, 59999, 2));
    assert_int_equal(limit.suppressed, 1);
    assert_true(log_limit(&limit, 60000, 2));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(leaves_out_what_is_above_its_level),
        cmocka_unit_test(a_line_stays_one_line),
        cmocka_unit_test(a_line_is_cut_where_it_does_not_fit),
        cmocka_unit_test(limits_lines_a_minute),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
