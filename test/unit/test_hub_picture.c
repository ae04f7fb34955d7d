#include <config.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/base64.h"
#include "base/buf.h"
#include "base/list.h"
#include "base/str.h"
#include "hub/picture.h"

static void reads_members_wherever_they_stand(void **state)
{
    struct hub_picture p;

    (void)state;
    hub_picture_read(SIO_STR("{ \"image\":\"x\", \"ip\" : 5,\"nuc_id\":null,"
                             "\"timestamp\":\"t\",\"est\\u0061do\":\"activa\"}"),
                     &p);
    assert_true(str_eq_cstr(p.image, "\"x\"") && str_eq_cstr(p.ip, "5"));
    assert_true(str_eq_cstr(p.nuc_id, "null") && str_eq_cstr(p.timestamp, "\"t\""));
    assert_true(str_eq_cstr(p.estado, "\"activa\""));
    assert_true(p.exact);
    hub_picture_read(SIO_STR("{\"ip\":1,\"ip\":2}"), &p);
    assert_true(str_eq_cstr(p.ip, "2"));
    assert_false(p.exact);
    hub_picture_read(SIO_STR("{\"other\":1}"), &p);
    assert_null(p.image.ptr);
    assert_false(p.exact);
    hub_picture_read(SIO_STR("[1]"), &p);
    assert_null(p.ip.ptr);
}

static void finds_the_base64_behind_a_prefix(void **state)
{
    (void)state;
    assert_true(str_eq_cstr(hub_image_base64(SIO_STR("AAAA")), "AAAA"));
    assert_true(
        str_eq_cstr(hub_image_base64(SIO_STR("data:image/jpeg;base64,AAAA")), "AAAA"));
    assert_true(str_eq_cstr(hub_image_base64(SIO_STR("data:;base64,AA")), "AA"));
    assert_true(str_eq_cstr(hub_image_base64(SIO_STR("data:image/jpeg,AA")),
                            "data:image/jpeg,AA"));
    assert_true(str_eq_cstr(hub_image_base64(SIO_STR("data:,")), "data:,"));
}

static bool accepts(const char *prefix, size_t n, const char *end)
{
    char text[256] = "";

    strcat(text, prefix);
    memset(text + strlen(text), 'A', n);
    strcat(text, end);
    return hub_image_check(sio_str_from(text));
}

static void accepts_base64_of_a_hundred_characters(void **state)
{
    (void)state;
    assert_true(accepts("", 100, ""));
    assert_false(accepts("", 99, ""));
    assert_true(accepts("", 102, "=="));
    assert_true(accepts("", 102, "")); /* as browsers do */
    assert_true(accepts("", 103, ""));
    assert_false(accepts("", 101, "")); /* no number of bytes has that many */
    assert_false(accepts("", 100, "=="));
    assert_false(accepts("", 102, "="));
    assert_false(accepts("", 102, "==A"));
    assert_true(accepts("data:image/jpeg;base64,", 100, ""));
    assert_false(accepts("data:text/plain,", 100, ""));
    assert_false(accepts("", 99, " "));
    assert_false(accepts("", 99, "-"));
    assert_false(accepts("data:image/jpeg;base64,", 0, ""));
}

static void gives_the_jpeg_of_every_length(void **state)
{
    uint8_t bytes[80] = {0xff, 0xd8, 0xff};
    char text[112];

    (void)state;
    for (size_t len = 70; len < sizeof(bytes); len++) {
        size_t n = base64_encoded_len(len);

        base64_encode(bytes, len, text);
        for (; n > 0 && (text[n - 1] == '=' || n == base64_encoded_len(len)); n--) {
            struct sio_str image = {text, n};
            int error = SIO_OK;
            struct sio_buf *b;

            if (n % 4 == 1 || (n % 4 == 3 && text[n - 1] == '='))
                continue;
            b = hub_image_jpeg(image, &error);
            if (n == base64_encoded_len(len) || text[n] == '=') {
                assert_non_null(b);
                assert_int_equal(b->len, len);
                assert_memory_equal(b->data, bytes, len);
            }
            sio_buf_unref(b);
            if (text[n - 1] != '=')
                break;
        }
    }
}

static void gives_nothing_that_is_no_jpeg(void **state)
{
    struct sio_str png = SIO_STR("iVBORw0KGgoAAAANSUhEUgAA");
    int error = SIO_OK;

    (void)state;
    assert_null(hub_image_jpeg(png, &error));
    assert_int_equal(error, SIO_ERR_PARSE);
    assert_null(hub_image_jpeg(SIO_STR(""), &error));
    assert_int_equal(error, SIO_ERR_PARSE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_members_wherever_they_stand),
        cmocka_unit_test(finds_the_base64_behind_a_prefix),
        cmocka_unit_test(accepts_base64_of_a_hundred_characters),
        cmocka_unit_test(gives_the_jpeg_of_every_length),
        cmocka_unit_test(gives_nothing_that_is_no_jpeg),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
