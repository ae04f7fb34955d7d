#include <config.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "agent/capture.h"
#include "agent/jpeg.h"
#include "base/clock.h"
#include "base/list.h"

static const struct agent_jpeg_limits wide = {1920, 85, 10 * 1000 * 1000};

/* A picture with detail everywhere. */
static struct sio_buf *make_jpeg(uint32_t width, uint32_t height,
                                 const struct agent_jpeg_limits *limits)
{
    size_t n = (size_t)width * height;
    uint8_t *pixels = malloc(n * 3 / 2);
    struct agent_image im = {
        .width = width,
        .height = height,
        .plane = {pixels, pixels + n, pixels + n + n / 4},
        .stride = {width, width / 2, width / 2},
    };
    struct sio_buf *jpeg = NULL;

    assert_non_null(pixels);
    for (size_t i = 0; i < n * 3 / 2; i++)
        pixels[i] = (uint8_t)(i * 7 + i / width * 13 + (i * i >> 9));
    assert_int_equal(agent_jpeg_encode_image(&im, limits, &jpeg), SIO_OK);
    free(pixels);
    return jpeg;
}

static int check(struct sio_buf *b, size_t len, struct agent_jpeg_shape *shape)
{
    uint8_t *copy = malloc(len > 0 ? len : 1);
    int rv;

    assert_non_null(copy);
    memcpy(copy, sio_buf_data(b), len);
    rv = agent_jpeg_check(copy, len, shape);
    free(copy);
    return rv;
}

static void what_we_encode_is_a_jpeg(void **state)
{
    struct sio_buf *b = make_jpeg(320, 180, &wide);
    struct agent_jpeg_shape shape;

    (void)state;
    assert_int_equal(check(b, sio_buf_len(b), &shape), SIO_OK);
    assert_int_equal(shape.width, 320);
    assert_int_equal(shape.height, 180);
    assert_int_equal(shape.len, sio_buf_len(b));
    assert_memory_equal(sio_buf_data(b), "\xff\xd8\xff\xe0\x00\x10JFIF\x00", 11);
    sio_buf_unref(b);
}

static void a_jpeg_that_is_cut_off_anywhere_is_none(void **state)
{
    struct sio_buf *b = make_jpeg(64, 64, &wide);
    struct agent_jpeg_shape shape;

    (void)state;
    for (size_t len = 0; len < sio_buf_len(b); len++)
        assert_int_equal(check(b, len, &shape), SIO_ERR_PARSE);
    sio_buf_unref(b);
}

static void what_follows_the_end_is_not_counted(void **state)
{
    struct sio_buf *b = make_jpeg(64, 64, &wide);
    size_t len = sio_buf_len(b);
    uint8_t *more = calloc(1, len + 100);
    struct agent_jpeg_shape shape;

    (void)state;
    assert_non_null(more);
    memcpy(more, sio_buf_data(b), len);
    assert_int_equal(agent_jpeg_check(more, len + 100, &shape), SIO_OK);
    assert_int_equal(shape.len, len);
    free(more);
    sio_buf_unref(b);
}

static void other_files_are_no_jpeg(void **state)
{
    static const struct sio_str bad[] = {
        SIO_STR_INIT(""),
        SIO_STR_INIT("<html>not a picture</html>"),
        SIO_STR_INIT("\xff\xd8"),
        SIO_STR_INIT("\xff\xd8\xff\xd9"),
        SIO_STR_INIT("\xff\xd8\xff\xff\xff\xff\xff\xff"),
        SIO_STR_INIT("\xff\xd8\xff\xe0\0\0JFIF\xff\xd9"),
        SIO_STR_INIT("\xff\xd8\xff\xe0\xff\xffJFIF\xff\xd9"),
        SIO_STR_INIT("\xff\xd8\xff\xda\0\x02\xff\xd9"), /* no frame header */
        SIO_STR_INIT("\xff\xd8\xff\xc0\0\x08\x08\0\0\0\x10\x01\xff\xda\0\x02\xff\xd9"),
        SIO_STR_INIT("\xff\xd8\xff\xc0\0\x04\x08\0\xff\xda\0\x02\xff\xd9"),
    };
    struct agent_jpeg_shape shape;

    (void)state;
    for (size_t i = 0; i < N_ELEMENTS(bad); i++)
        assert_int_equal(
            agent_jpeg_check((const uint8_t *)bad[i].ptr, bad[i].len, &shape),
            SIO_ERR_PARSE);
}

/* Values that the IJG library writes for quality 85 and 50. */
static void qualities_are_those_of_the_ijg_library(void **state)
{
    uint16_t luma[64];
    uint16_t chroma[64];

    (void)state;
    agent_jpeg_tables(85, luma, chroma);
    assert_int_equal(luma[0], 5);
    assert_int_equal(luma[1], 3);
    assert_int_equal(luma[63], 30);
    assert_int_equal(chroma[0], 5);
    assert_int_equal(chroma[63], 30);
    agent_jpeg_tables(50, luma, chroma);
    assert_int_equal(luma[0], 16);
    assert_int_equal(luma[63], 99);
    agent_jpeg_tables(100, luma, chroma);
    assert_int_equal(luma[5], 1);
}

static void a_picture_within_the_limits_is_passed_as_it_is(void **state)
{
    struct sio_buf *b = make_jpeg(320, 180, &wide);
    struct sio_buf *before = b;
    struct agent_jpeg_shape shape;

    (void)state;
    assert_int_equal(check(b, sio_buf_len(b), &shape), SIO_OK);
    assert_int_equal(agent_jpeg_fit(&b, &shape, &wide), SIO_OK);
    assert_ptr_equal(b, before);
    sio_buf_unref(b);
}

static void a_wide_picture_is_scaled(void **state)
{
    static const struct agent_jpeg_limits narrow = {640, 85, 10 * 1000 * 1000};
    struct sio_buf *b = make_jpeg(1280, 720, &wide);
    struct agent_jpeg_shape shape;

    (void)state;
    assert_int_equal(check(b, sio_buf_len(b), &shape), SIO_OK);
    assert_int_equal(agent_jpeg_fit(&b, &shape, &narrow), SIO_OK);
    assert_int_equal(check(b, sio_buf_len(b), &shape), SIO_OK);
    assert_int_equal(shape.width, 640);
    assert_int_equal(shape.height, 360);
    sio_buf_unref(b);
}

static void a_picture_over_the_byte_limit_gets_smaller(void **state)
{
    static const struct agent_jpeg_limits few = {1920, 85, 30 * 1000};
    struct sio_buf *b = make_jpeg(1280, 720, &wide);
    struct agent_jpeg_shape shape;

    (void)state;
    assert_true(sio_buf_len(b) > 30 * 1000);
    assert_int_equal(check(b, sio_buf_len(b), &shape), SIO_OK);
    assert_int_equal(agent_jpeg_fit(&b, &shape, &few), SIO_OK);
    assert_true(sio_buf_len(b) <= 30 * 1000);
    assert_int_equal(check(b, sio_buf_len(b), &shape), SIO_OK);
    sio_buf_unref(b);
}

static void a_limit_that_cannot_be_met_is_an_error(void **state)
{
    static const struct agent_jpeg_limits none = {1920, 85, 100};
    struct sio_buf *b = make_jpeg(320, 180, &wide);
    struct sio_buf *before = b;
    struct agent_jpeg_shape shape;

    (void)state;
    assert_int_equal(check(b, sio_buf_len(b), &shape), SIO_OK);
    assert_int_equal(agent_jpeg_fit(&b, &shape, &none), SIO_ERR_TOO_BIG);
    assert_ptr_equal(b, before);
    sio_buf_unref(b);
}

static void the_test_pattern_is_a_picture(void **state)
{
    atomic_bool cancel = false;
    struct agent_capture c = {
        .target = {.camera = "Patio:1_a-b.c"},
        .limits = wide,
        .cancel = &cancel,
    };
    struct sio_buf *b = NULL;
    struct agent_jpeg_shape shape;

    (void)state;
    assert_int_equal(agent_capture_test.take(&c, &b, NULL), AGENT_PICTURE);
    assert_int_equal(check(b, sio_buf_len(b), &shape), SIO_OK);
    assert_int_equal(shape.width, 640);
    sio_buf_unref(b);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_we_encode_is_a_jpeg),
        cmocka_unit_test(a_jpeg_that_is_cut_off_anywhere_is_none),
        cmocka_unit_test(what_follows_the_end_is_not_counted),
        cmocka_unit_test(other_files_are_no_jpeg),
        cmocka_unit_test(qualities_are_those_of_the_ijg_library),
        cmocka_unit_test(a_picture_within_the_limits_is_passed_as_it_is),
        cmocka_unit_test(a_wide_picture_is_scaled),
        cmocka_unit_test(a_picture_over_the_byte_limit_gets_smaller),
        cmocka_unit_test(a_limit_that_cannot_be_met_is_an_error),
        cmocka_unit_test(the_test_pattern_is_a_picture),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
