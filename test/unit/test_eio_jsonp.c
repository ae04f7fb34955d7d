/*
 * Polling by scripts: what a page runs, and what its form sends.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "alloc_fail.h"
#include "base/list.h"
#include "engineio/jsonp.h"

static void reads_indexes(void **state)
{
    static const char *const bad[] = {"", "x", "-1", "1.0", " 1", "1)", "1000000000"};
    uint32_t index;

    (void)state;
    assert_true(eio_jsonp_index(SIO_STR("0"), &index));
    assert_int_equal(index, 0);
    assert_true(eio_jsonp_index(SIO_STR("999999999"), &index));
    assert_int_equal(index, 999999999);
    for (size_t i = 0; i < N_ELEMENTS(bad); i++)
        assert_false(eio_jsonp_index(sio_str_from(bad[i]), &index));
}

static const struct {
    struct sio_str payload, script;
} scripts[] = {
    {SIO_STR_INIT(""), SIO_STR_INIT("___eio[7](\"\");")},
    {SIO_STR_INIT("2:4a"), SIO_STR_INIT("___eio[7](\"2:4a\");")},
    {SIO_STR_INIT("4[\"a\\\"\"]"),
     SIO_STR_INIT("___eio[7](\"4[\\\"a\\\\\\\"\\\"]\");")},
    {SIO_STR_INIT("\n\r\t\0\x1e\x7f"),
     SIO_STR_INIT("___eio[7](\"\\n\\r\\t\\u0000\\u001e\x7f\");")},
    {SIO_STR_INIT("\xe2\x80\xa7\xe2\x80\xa8\xe2\x80\xa9\xe2\x82\xac\xe2\x80\xaa"),
     SIO_STR_INIT(
         "___eio[7](\"\xe2\x80\xa7\\u2028\\u2029\xe2\x82\xac\xe2\x80\xaa\");")},
    {SIO_STR_INIT("</script><!--<</"),
     SIO_STR_INIT("___eio[7](\"<\\/script><!--<<\\/\");")},
    {SIO_STR_INIT("<"), SIO_STR_INIT("___eio[7](\"<\");")},
    {SIO_STR_INIT("\xe2\x80"), SIO_STR_INIT("___eio[7](\"\xe2\x80\");")},
};

/* The payload comes in slices, whose borders say nothing. */
static void writes_scripts_of_slices(void **state)
{
    (void)state;
    for (size_t i = 0; i < N_ELEMENTS(scripts); i++) {
        struct sio_str p = scripts[i].payload;

        for (size_t a = 0; a <= p.len; a++) {
            for (size_t b = a; b <= p.len; b++) {
                const uint8_t *c = (const uint8_t *)p.ptr;
                struct sio_slice slices[] = {
                    {NULL, c, a}, {NULL, c + a, b - a}, {NULL, c + b, p.len - b}};
                struct wbuf w;
                struct sio_str got;

                wbuf_init(&w, 1000);
                eio_jsonp_write(&w, 7, slices, 3);
                assert_int_equal(w.error, SIO_OK);
                got = wbuf_str(&w);
                assert_int_equal(got.len, scripts[i].script.len);
                assert_memory_equal(got.ptr, scripts[i].script.ptr, got.len);
                wbuf_fini(&w);
            }
        }
    }
}

static void reads_forms(void **state)
{
    static const struct {
        const char *form;
        const char *payload; /* NULL: refused */
    } forms[] = {
        {"d=6%3A4hello", "6:4hello"},
        {"d=a+b%20c%2B", "a b c+"},
        {"x=1&d=2%3A4a&y", "2:4a"},
        {"d=", ""},
        {"d=1=2", "1=2"},
        {"d=a\\nb", "a\nb"},
        {"d=a%5Cnb", "a\nb"},
        {"d=a%5C%5Cnb", "a\\nb"},
        {"d=a%5C%5C%5Cnb", "a\\\\nb"},
        {"d=%5C%5Cx%5C%5C", "\\\\x\\\\"},
        {"d=%5Cn%5Cn", "\n\n"},
        {"d=n%5Cxn", "n\\xn"},
        {"d=%E2%82%AC", "\xe2\x82\xac"},
        {"", NULL},
        {"d", NULL},
        {"e=1", NULL},
        {"dd=1", NULL},
        {"d=%ff", NULL},
        {"d=%E2%82", NULL},
    };

    (void)state;
    for (size_t i = 0; i < N_ELEMENTS(forms); i++) {
        struct sio_buf *b = NULL;
        int rv = eio_jsonp_form(sio_str_from(forms[i].form), &b);

        if (!forms[i].payload) {
            assert_int_equal(rv, SIO_ERR_PARSE);
            continue;
        }
        assert_int_equal(rv, SIO_OK);
        assert_int_equal(sio_buf_len(b), strlen(forms[i].payload));
        assert_memory_equal(sio_buf_data(b), forms[i].payload, sio_buf_len(b));
        sio_buf_unref(b);
    }
}

static void says_when_memory_is_short(void **state)
{
    struct sio_buf *b;

    (void)state;
    alloc_fail_at(1);
    assert_int_equal(eio_jsonp_form(SIO_STR("d=x"), &b), SIO_ERR_NOMEM);
    alloc_fail_at(0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_indexes),
        cmocka_unit_test(writes_scripts_of_slices),
        cmocka_unit_test(reads_forms),
        cmocka_unit_test(says_when_memory_is_short),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
