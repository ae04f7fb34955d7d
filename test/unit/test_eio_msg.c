/*
 * A message in the forms that both transports send.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "alloc_fail.h"
#include "base/list.h"
#include "engineio/msg.h"

static struct wbuf joined;

/* The slices joined, in `joined`. */
static struct sio_str join(const struct sio_slice *s, size_t n)
{
    wbuf_fini(&joined);
    wbuf_init(&joined, 1 << 24);
    for (size_t i = 0; i < n; i++)
        wbuf_add(&joined, s[i].ptr, s[i].len);
    assert_int_equal(joined.error, SIO_OK);
    return wbuf_str(&joined);
}

static void assert_bytes(struct sio_str got, const void *want, size_t len)
{
    assert_int_equal(got.len, len);
    if (len > 0)
        assert_memory_equal(got.ptr, want, len);
}

static struct sio_str frames_of(const struct eio_msg *msg, uint32_t from)
{
    size_t n;
    const struct sio_slice *s = eio_msg_frames(msg, from, &n);

    return join(s, n);
}

static struct sio_str payload_of(struct eio_msg *msg, uint32_t part)
{
    struct sio_slice s[16];
    size_t n = N_ELEMENTS(s);

    assert_true(msg->parts[part].n_slices <= N_ELEMENTS(s));
    assert_int_equal(eio_msg_payload(msg, part, s, &n), SIO_OK);
    return join(s, n);
}

static struct sio_str body_of(const struct eio_msg *msg, uint32_t part)
{
    struct sio_slice s[16];

    return join(s, eio_msg_body(msg, part, s));
}

static struct sio_buf *numbered(size_t len)
{
    struct sio_buf *b = sio_buf_new(len);

    assert_non_null(b);
    for (size_t i = 0; i < len; i++)
        sio_buf_data(b)[i] = (uint8_t)(i * 7 + i / 256);
    return b;
}

static void a_small_text_is_one_slice_for_both_transports(void **state)
{
    struct eio_msg *msg = eio_msg_text("hello", 5);

    (void)state;
    assert_non_null(msg);
    assert_int_equal(msg->n_slices, 1);
    assert_bytes(frames_of(msg, 0),
                 "\x81\x06"
                 "4hello",
                 8);
    assert_bytes(payload_of(msg, 0), "4hello", 6);
    assert_bytes(body_of(msg, 0), "4hello", 6);
    eio_msg_unref(msg);
}

static void a_small_binary_has_no_type_on_websocket(void **state)
{
    struct eio_msg *msg = eio_msg_binary("\1\2\3\4", 4);

    (void)state;
    assert_bytes(frames_of(msg, 0), "\x82\x04\1\2\3\4", 6);
    assert_bytes(payload_of(msg, 0), "bAQIDBA==", 9);
    assert_bytes(body_of(msg, 0), "\1\2\3\4", 4);
    eio_msg_unref(msg);
}

static void empty_messages_keep_their_form(void **state)
{
    struct eio_msg *text = eio_msg_text("", 0);
    struct eio_msg *binary = eio_msg_binary("", 0);

    (void)state;
    assert_bytes(frames_of(text, 0),
                 "\x81\x01"
                 "4",
                 3);
    assert_bytes(payload_of(text, 0), "4", 1);
    assert_bytes(frames_of(binary, 0), "\x82\x00", 2);
    assert_bytes(payload_of(binary, 0), "b", 1);
    eio_msg_unref(text);
    eio_msg_unref(binary);
}

static void a_large_buf_is_shared_between_small_pieces(void **state)
{
    struct sio_buf *b = numbered(70000);
    struct sio_slice s[] = {
        {NULL, (const uint8_t *)"[\"", 2},
        {b, sio_buf_data(b) + 100, 66000},
        {NULL, (const uint8_t *)"\"", 1},
        {NULL, (const uint8_t *)"]", 1},
    };
    struct eio_part part = {.text = true, .slices = s, .n_slices = 4};
    struct eio_msg *msg = eio_msg_new(&part, 1, NULL);
    struct sio_str got;

    (void)state;
    assert_int_equal(msg->n_slices, 3);
    assert_ptr_equal(msg->slices[1].ptr, sio_buf_data(b) + 100);
    sio_buf_unref(b); /* the message keeps it */
    got = frames_of(msg, 0);
    assert_int_equal(got.len, 10 + 1 + 66004);
    assert_memory_equal(got.ptr,
                        "\x81\x7f\0\0\0\0\0\1\x01\xd5"
                        "4[\"",
                        13);
    assert_memory_equal(got.ptr + got.len - 2, "\"]", 2);
    assert_memory_equal(got.ptr + 13, sio_buf_data(b) + 100, 66000);
    assert_memory_equal(payload_of(msg, 0).ptr, "4[\"", 3);
    eio_msg_unref(msg);
}

static void a_small_slice_of_a_buf_is_copied(void **state)
{
    struct sio_buf *b = numbered(1 << 20);
    struct sio_slice s = {b, sio_buf_data(b), EIO_MSG_COPY_MAX};
    struct eio_part part = {.slices = &s, .n_slices = 1};
    struct eio_msg *msg = eio_msg_new(&part, 1, NULL);

    (void)state;
    assert_int_equal(msg->n_slices, 1);
    assert_int_equal(b->refs, 1);
    eio_msg_unref(msg);
    sio_buf_unref(b);
}

static void attachments_follow_their_text(void **state)
{
    struct sio_buf *b = numbered(5000);
    struct sio_slice text = {NULL, (const uint8_t *)"51-", 3};
    struct sio_slice large = sio_slice_of(b);
    struct sio_slice small = {NULL, (const uint8_t *)"xy", 2};
    struct eio_part parts[] = {
        {true, &text, 1}, {false, &large, 1}, {false, &small, 1}};
    struct eio_msg *msg = eio_msg_new(parts, 3, NULL);
    struct sio_str got;

    (void)state;
    got = frames_of(msg, 0);
    assert_int_equal(got.len, 2 + 4 + 4 + 5000 + 2 + 2);
    assert_memory_equal(got.ptr,
                        "\x81\x04"
                        "451-\x82\x7e\x13\x88",
                        10);
    assert_memory_equal(got.ptr + 10, sio_buf_data(b), 5000);
    assert_memory_equal(got.ptr + 5010, "\x82\x02xy", 4);
    assert_bytes(frames_of(msg, 2), "\x82\x02xy", 4);
    assert_bytes(payload_of(msg, 0), "451-", 4);
    assert_bytes(payload_of(msg, 2), "beHk=", 5);
    eio_msg_unref(msg);
    assert_int_equal(b->refs, 1);
    sio_buf_unref(b);
}

/* base64 over pieces of every small length, cut anywhere, is that of the whole. */
static void base64_does_not_see_the_borders_of_slices(void **state)
{
    struct sio_buf *b = numbered(3 * (EIO_MSG_COPY_MAX + 8));
    uint8_t *p = sio_buf_data(b);

    (void)state;
    for (size_t i = 0; i < 7; i++) {
        for (size_t j = 0; j < 7; j++) {
            size_t a = EIO_MSG_COPY_MAX + 1 + i;
            size_t c = EIO_MSG_COPY_MAX + 1 + j;
            struct sio_slice s[] = {
                {b, p, j}, {b, p + j, a}, {b, p + j + a, i}, {b, p + j + a + i, c}};
            struct eio_part pieces = {.slices = s, .n_slices = 4};
            struct sio_slice all = {NULL, p, j + a + i + c};
            struct eio_part whole = {.slices = &all, .n_slices = 1};
            struct eio_msg *m1 = eio_msg_new(&pieces, 1, NULL);
            struct eio_msg *m2 = eio_msg_new(&whole, 1, NULL);

            assert_true(payload_of(m1, 0).len > 0);
            assert_int_equal(sio_buf_len(m1->parts[0].base64), payload_of(m2, 0).len);
            assert_memory_equal(sio_buf_data(m1->parts[0].base64), joined.buf->data,
                                joined.len);
            eio_msg_unref(m1);
            eio_msg_unref(m2);
        }
    }
    sio_buf_unref(b);
}

static void base64_is_made_once(void **state)
{
    struct eio_msg *msg = eio_msg_binary("abc", 3);
    struct sio_slice a, b;
    size_t n;

    (void)state;
    assert_null(msg->parts[0].base64);
    assert_int_equal(eio_msg_payload(msg, 0, &a, &n), SIO_OK);
    assert_int_equal(eio_msg_payload(msg, 0, &b, &n), SIO_OK);
    assert_ptr_equal(a.ptr, b.ptr);
    eio_msg_unref(msg);
}

static void frame_headers_take_the_shortest_form(void **state)
{
    static const size_t lens[] = {0, 124, 125, 126, 65534, 65535, 65536};
    static const size_t heads[] = {2, 2,  4, 4,
                                   4, 10, 10}; /* the type is one byte more */
    struct sio_buf *b = numbered(65536);

    (void)state;
    for (size_t i = 0; i < N_ELEMENTS(lens); i++) {
        struct eio_msg *msg = eio_msg_text((const char *)sio_buf_data(b), lens[i]);

        assert_int_equal(msg->parts[0].ws_head, heads[i]);
        assert_int_equal(frames_of(msg, 0).len, heads[i] + 1 + lens[i]);
        eio_msg_unref(msg);
    }
    sio_buf_unref(b);
}

static void survives_each_failing_allocation(void **state)
{
    struct sio_buf *b = numbered(10000);
    struct sio_slice s = sio_slice_of(b);
    struct eio_part parts[] = {{true, &s, 1}, {false, &s, 1}};
    struct eio_msg *msg = NULL;
    struct sio_slice out[4];
    size_t n;

    (void)state;
    alloc_fail_each(i)
    {
        msg = eio_msg_new(parts, 2, NULL);
        assert_int_equal(b->refs, msg ? 3 : 1);
    }
    assert_non_null(msg);
    alloc_fail_at(1);
    assert_int_equal(eio_msg_payload(msg, 1, out, &n), SIO_ERR_NOMEM);
    assert_int_equal(eio_msg_payload(msg, 1, out, &n), SIO_OK);
    eio_msg_unref(msg);
    assert_int_equal(b->refs, 1);
    sio_buf_unref(b);
}

static int fini(void **state)
{
    (void)state;
    wbuf_fini(&joined);
    return 0;
}

static struct eio_msg *text_and_bytes(struct sio_buf *large)
{
    struct sio_slice text[] = {{NULL, (const uint8_t *)"\xe2\x82\xac", 2},
                               {NULL, (const uint8_t *)"\xac\xf0\x9f\x98\x80", 5}};
    struct sio_slice small = {NULL, (const uint8_t *)"\1\2\3", 3};
    struct sio_slice big = sio_slice_of(large);
    struct eio_part parts[] = {{true, text, 2}, {false, &small, 1}, {false, &big, 1}};
    struct eio_msg_options opts = {.replace_key = 9, .is_volatile = true};

    return eio_msg_new(parts, 3, &opts);
}

static void protocol_3_puts_the_type_before_bytes(void **state)
{
    struct sio_buf *large = numbered(5000);
    struct eio_msg *msg = text_and_bytes(large);
    struct eio_msg *form = eio_msg_form(msg, EIO_FORM_3);
    struct sio_str frames;

    (void)state;
    assert_non_null(form);
    assert_ptr_not_equal(form, msg);
    assert_ptr_equal(eio_msg_form(msg, EIO_FORM_3), form);
    assert_int_equal(form->n_parts, 3);
    assert_int_equal(form->replace_key, 9);
    assert_true(form->is_volatile);
    frames = frames_of(form, 0);
    assert_int_equal(frames.len, 2 + 8 + 2 + 4 + 4 + 5001);
    assert_memory_equal(frames.ptr,
                        "\x81\x08"
                        "4\xe2\x82\xac\xf0\x9f\x98\x80",
                        10);
    assert_memory_equal(frames.ptr + 10, "\x82\4\4\1\2\3", 6);
    assert_memory_equal(frames.ptr + 16, "\x82\x7e\x13\x89\4", 5);
    assert_memory_equal(frames.ptr + 21, sio_buf_data(large), 5000);
    assert_int_equal(eio_msg_body_len(form, 0), 8);
    assert_int_equal(eio_msg_body_units(form, 0), 4);
    assert_int_equal(eio_msg_body_units(form, 0), 4);
    assert_int_equal(eio_msg_body_len(form, 2), 5001);
    sio_buf_unref(large);
    eio_msg_unref(msg);
}

static void protocol_3_makes_texts_of_bytes_where_asked(void **state)
{
    struct sio_buf *large = numbered(5000);
    struct eio_msg *msg = text_and_bytes(large);
    struct eio_msg *form = eio_msg_form(msg, EIO_FORM_3_BASE64);

    (void)state;
    assert_non_null(form);
    assert_ptr_not_equal(eio_msg_form(msg, EIO_FORM_3), form);
    assert_ptr_equal(eio_msg_form(msg, EIO_FORM_3_BASE64), form);
    assert_true(form->parts[1].text && form->parts[2].text);
    assert_bytes(body_of(form, 1), "b4AQID", 6);
    assert_int_equal(eio_msg_body_units(form, 2), 2 + 6668);
    assert_bytes(payload_of(msg, 1), "bAQID", 5);
    /* It may outlive the message that it was made of. */
    eio_msg_ref(form);
    eio_msg_unref(msg);
    assert_bytes(body_of(form, 1), "b4AQID", 6);
    eio_msg_unref(form);
    sio_buf_unref(large);
}

static void what_has_no_bytes_is_the_same_in_all_forms(void **state)
{
    struct eio_msg *msg = eio_msg_text("hello", 5);

    (void)state;
    assert_ptr_equal(eio_msg_form(msg, EIO_FORM_3), msg);
    assert_ptr_equal(eio_msg_form(msg, EIO_FORM_3_BASE64), msg);
    assert_int_equal(eio_msg_body_units(msg, 0), 6);
    eio_msg_unref(msg);
    msg = eio_msg_packet(SIO_STR("0{}"));
    assert_bytes(frames_of(msg, 0),
                 "\x81\x03"
                 "0{}",
                 5);
    eio_msg_unref(msg);
}

static void forms_survive_each_failing_allocation(void **state)
{
    struct sio_buf *large = numbered(5000);

    (void)state;
    for (int f = EIO_FORM_3; f <= EIO_FORM_3_BASE64; f++) {
        alloc_fail_each(i)
        {
            struct eio_msg *msg, *form;

            alloc_fail_pause();
            msg = text_and_bytes(large);
            alloc_fail_resume();
            form = eio_msg_form(msg, (enum eio_form)f);
            if (form)
                assert_int_equal(form->n_parts, 3);
            eio_msg_unref(msg);
        }
    }
    sio_buf_unref(large);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_small_text_is_one_slice_for_both_transports),
        cmocka_unit_test(a_small_binary_has_no_type_on_websocket),
        cmocka_unit_test(empty_messages_keep_their_form),
        cmocka_unit_test(a_large_buf_is_shared_between_small_pieces),
        cmocka_unit_test(a_small_slice_of_a_buf_is_copied),
        cmocka_unit_test(attachments_follow_their_text),
        cmocka_unit_test(base64_does_not_see_the_borders_of_slices),
        cmocka_unit_test(base64_is_made_once),
        cmocka_unit_test(frame_headers_take_the_shortest_form),
        cmocka_unit_test(survives_each_failing_allocation),
        cmocka_unit_test(protocol_3_puts_the_type_before_bytes),
        cmocka_unit_test(protocol_3_makes_texts_of_bytes_where_asked),
        cmocka_unit_test(what_has_no_bytes_is_the_same_in_all_forms),
        cmocka_unit_test(forms_survive_each_failing_allocation),
    };

    return cmocka_run_group_tests(tests, NULL, fini);
}
