/*
 * Content codings: what a client takes, and forms that are kept.
 */
#include <config.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/list.h"
#include "http/coding.h"

static void takes_what_the_client_likes_best(void **state)
{
    static const struct {
        const char *accept; /* NULL: no field */
        enum http_coding best;
        bool no_identity;
    } cases[] = {
        {NULL, HTTP_IDENTITY, false},
        {"", HTTP_IDENTITY, false},
        {"gzip", HTTP_GZIP, false},
        {"GZIP", HTTP_GZIP, false},
        {"x-gzip", HTTP_GZIP, false},
        {"deflate", HTTP_DEFLATE, false},
        {"gzip, deflate, br", HTTP_GZIP, false},
        {"br", HTTP_IDENTITY, false},
        {"deflate;q=0.8, gzip;q=0.5", HTTP_DEFLATE, false},
        {"gzip;q=0, deflate;q=0", HTTP_IDENTITY, false},
        {"gzip;q=0.000", HTTP_IDENTITY, false},
        {"gzip;q=0.001", HTTP_GZIP, false},
        {"gzip ; Q = 1.000", HTTP_GZIP, false},
        {"*", HTTP_GZIP, false},
        {"*;q=0", HTTP_IDENTITY, true},
        {"*;q=0, gzip", HTTP_GZIP, true},
        {"*;q=0, identity", HTTP_IDENTITY, false},
        {"gzip;q=0, *", HTTP_DEFLATE, false},
        {"identity;q=0, gzip;q=0.1", HTTP_GZIP, true},
        {"identity;q=0", HTTP_IDENTITY, true},
        {"identity, gzip;q=0.5", HTTP_IDENTITY, false},
        {"identity;q=0.5, gzip;q=0.5", HTTP_GZIP, false},
        {",, gzip ,", HTTP_GZIP, false},
        /* Not well-formed: refused. */
        {"gzip;q=1.001", HTTP_IDENTITY, false},
        {"gzip;q=2", HTTP_IDENTITY, false},
        {"gzip;q=-1", HTTP_IDENTITY, false},
        {"gzip;q=0.1234", HTTP_IDENTITY, false},
        {"gzip;q=", HTTP_IDENTITY, false},
        {"gzip;q", HTTP_IDENTITY, false},
        {"gzip;level=1", HTTP_IDENTITY, false},
        {"gzip;q=1;q=0", HTTP_IDENTITY, false},
        {"gzip;q=.5, deflate", HTTP_DEFLATE, false},
    };

    (void)state;
    for (size_t i = 0; i < N_ELEMENTS(cases); i++) {
        struct sio_str field = {0};
        struct http_codings c;

        if (cases[i].accept)
            field = sio_str_from(cases[i].accept);
        c = http_codings_parse(field);
        if (c.best != cases[i].best || c.no_identity != cases[i].no_identity)
            fail_msg("%s: %s", cases[i].accept, http_coding_name(c.best));
    }
}

static void a_kept_form_is_made_once(void **state)
{
    static char text[5000];
    struct sio_slice body = {NULL, (const uint8_t *)text, sizeof(text)};
    struct http_coded kept = {{NULL}};
    struct sio_buf *a, *b, *c;

    (void)state;
    memset(text, 'x', sizeof(text));
    a = http_code(HTTP_GZIP, &body, 1, &kept);
    b = http_code(HTTP_GZIP, &body, 1, &kept);
    c = http_code(HTTP_DEFLATE, &body, 1, &kept);
    assert_non_null(a);
    assert_ptr_equal(a, b);
    assert_ptr_not_equal(a, c);
    assert_true(sio_buf_len(a) < 100 && sio_buf_len(c) < 100);
    assert_memory_equal(sio_buf_data(a), "\x1f\x8b\x08", 3); /* RFC 1952 */
    assert_int_equal(sio_buf_data(c)[0] & 0x0f, 8);          /* RFC 1950 */
    http_coded_fini(&kept);
    sio_buf_unref(a);
    sio_buf_unref(b);
    sio_buf_unref(c);
}

static void what_would_not_shrink_stays(void **state)
{
    struct sio_slice body = {NULL, (const uint8_t *)"abc", 3};

    (void)state;
    assert_null(http_code(HTTP_GZIP, &body, 1, NULL));
    assert_null(http_code(HTTP_GZIP, &body, 0, NULL));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(takes_what_the_client_likes_best),
        cmocka_unit_test(a_kept_form_is_made_once),
        cmocka_unit_test(what_would_not_shrink_stays),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
