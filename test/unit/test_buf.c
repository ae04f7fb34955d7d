#include <config.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "alloc_fail.h"
#include "base/buf.h"
#include "base/str.h"

static void is_freed_with_its_last_reference(void **state)
{
    struct sio_buf *b = sio_buf_copy("abc", 3);

    (void)state;
    assert_non_null(b);
    assert_int_equal(sio_buf_len(b), 3);
    assert_ptr_equal(sio_buf_ref(b), b);
    sio_buf_unref(b);
    assert_memory_equal(sio_buf_data(b), "abc", 3);
    sio_buf_unref(b);
    sio_buf_unref(NULL);
}

static void refuses_a_length_that_does_not_fit(void **state)
{
    (void)state;
    assert_null(sio_buf_new((size_t)UINT32_MAX + 1));
}

static void holds_a_slice_without_a_copy(void **state)
{
    struct sio_buf *b = sio_buf_copy("abcdef", 6);
    struct sio_slice part = {b, b->data + 2, 3};
    struct sio_slice held;

    (void)state;
    assert_int_equal(sio_slice_hold(part, &held), SIO_OK);
    sio_buf_unref(b);
    assert_ptr_equal(held.ptr, part.ptr);
    assert_memory_equal(held.ptr, "cde", 3);
    sio_buf_unref(held.buf);
}

static void copies_borrowed_bytes_to_hold_them(void **state)
{
    char bytes[] = "abc";
    struct sio_slice held;

    (void)state;
    assert_int_equal(
        sio_slice_hold((struct sio_slice){NULL, (uint8_t *)bytes, 3}, &held), SIO_OK);
    bytes[0] = 'x';
    assert_memory_equal(held.ptr, "abc", 3);
    sio_buf_unref(held.buf);
    alloc_fail_at(1);
    assert_int_equal(
        sio_slice_hold((struct sio_slice){NULL, (uint8_t *)bytes, 3}, &held),
        SIO_ERR_NOMEM);
    assert_null(held.buf);
    assert_int_equal(held.len, 0);
}

static void writes_and_gives_the_bytes_away(void **state)
{
    struct wbuf w;
    struct sio_buf *b;

    (void)state;
    wbuf_init(&w, 1000);
    wbuf_add_cstr(&w, "n=");
    wbuf_add_u64(&w, 0);
    wbuf_add_byte(&w, ',');
    wbuf_add_u64(&w, UINT64_MAX);
    wbuf_addf(&w, " %s-%d", "x", -5);
    wbuf_addf(&w, "%300s|", "long");
    assert_int_equal(w.error, SIO_OK);
    b = wbuf_take(&w);
    assert_non_null(b);
    assert_int_equal(sio_buf_len(b), 2 + 1 + 1 + 20 + 5 + 301);
    assert_memory_equal(sio_buf_data(b), "n=0,18446744073709551615 x--5", 29);
    assert_int_equal(w.len, 0);
    sio_buf_unref(b);
}

static void gives_an_empty_buf_for_nothing(void **state)
{
    struct wbuf w;
    struct sio_buf *b;

    (void)state;
    wbuf_init(&w, 10);
    wbuf_add(&w, NULL, 0);
    assert_int_equal(wbuf_str(&w).len, 0);
    b = wbuf_take(&w);
    assert_int_equal(sio_buf_len(b), 0);
    sio_buf_unref(b);
    wbuf_fini(&w);
}

static void stops_at_its_bound(void **state)
{
    struct wbuf w;

    (void)state;
    wbuf_init(&w, 5);
    wbuf_add_cstr(&w, "abc");
    wbuf_add_cstr(&w, "def");
    assert_int_equal(w.error, SIO_ERR_TOO_BIG);
    wbuf_add_cstr(&w, "g");
    assert_true(str_eq_cstr(wbuf_str(&w), "abc"));
    assert_null(wbuf_extend(&w, 1));
    assert_null(wbuf_take(&w));
    wbuf_fini(&w);
    wbuf_add_cstr(&w, "abcde");
    assert_int_equal(w.error, SIO_OK);
    wbuf_fini(&w);
}

static void keeps_the_first_error_when_memory_ends(void **state)
{
    (void)state;
    alloc_fail_each(n)
    {
        struct wbuf w;
        struct sio_buf *b;

        wbuf_init(&w, 100000);
        for (int i = 0; i < 500; i++)
            wbuf_addf(&w, "%d %300s", i, "x");
        b = wbuf_take(&w);
        assert_true(b || w.error == SIO_ERR_TOO_BIG || w.error == SIO_ERR_NOMEM);
        sio_buf_unref(b);
        wbuf_fini(&w);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(is_freed_with_its_last_reference),
        cmocka_unit_test(refuses_a_length_that_does_not_fit),
        cmocka_unit_test(holds_a_slice_without_a_copy),
        cmocka_unit_test(copies_borrowed_bytes_to_hold_them),
        cmocka_unit_test(writes_and_gives_the_bytes_away),
        cmocka_unit_test(gives_an_empty_buf_for_nothing),
        cmocka_unit_test(stops_at_its_bound),
        cmocka_unit_test(keeps_the_first_error_when_memory_ends),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
