#include <config.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "alloc_fail.h"
#include "base/str.h"
#include "hub/peers_wire.h"

#define ID  "abcdefghijklmnop-_89"
#define HUB "\"hub\":\"" ID "\""

static int read_text(const char *text, struct hub_wire_msg *m)
{
    return hub_wire_read(sio_str_from(text), m);
}

static void reads_what_it_writes(void **state)
{
    struct hub_wire_msg m;
    struct wbuf w;

    (void)state;
    wbuf_init(&w, HUB_WIRE_MAX);
    hub_wire_begin(&w, HUB_WIRE_BEAT, ID);
    hub_wire_text(&w, "name", "norte");
    hub_wire_number(&w, "config", 5);
    hub_wire_number(&w, "version", HUB_WIRE_MAX_INT);
    hub_wire_true(&w, "hello");
    wbuf_add_cstr(&w, ",\"heard\":[");
    hub_wire_heard(&w, "sede \"1\"", 1700000000000001);
    wbuf_add_cstr(&w, "]");
    hub_wire_end(&w);
    assert_int_equal(hub_wire_read(wbuf_str(&w), &m), SIO_OK);
    assert_int_equal(m.type, HUB_WIRE_BEAT);
    assert_string_equal(m.hub, ID);
    assert_string_equal(m.name, "norte");
    assert_int_equal(m.version, HUB_WIRE_MAX_INT);
    assert_int_equal(m.config, 5);
    assert_true(m.hello);
    assert_null(m.nucs.ptr);
    {
        struct json_iter it = json_iter(m.heard);
        struct sio_str key, item;
        char id[HUB_ID_MAX + 1];
        uint64_t us;

        assert_true(json_next(&it, &key, &item));
        assert_int_equal(hub_wire_read_heard(item, id, &us), SIO_OK);
        assert_string_equal(id, "sede \"1\"");
        assert_int_equal(us, 1700000000000001);
        assert_false(json_next(&it, &key, &item));
    }
    wbuf_fini(&w);
}

static void a_claim_comes_back_as_it_was(void **state)
{
    struct sio_buf *camaras = sio_buf_copy("[\"192.0.2.1\",{\"a\":[1]}]", 23);
    struct hub_claim c = {.epoch = HUB_EPOCH_MAX,
                          .connected_us = 5,
                          .heartbeat_us = 7,
                          .streams = true,
                          .ip_local = "192.0.2.9",
                          .red = "192.0.2.0/24",
                          .camaras = camaras};
    struct hub_wire_nuc nuc;
    struct wbuf w;

    (void)state;
    wbuf_init(&w, HUB_WIRE_MAX);
    hub_wire_nuc(&w, "sede", &c);
    assert_int_equal(json_check(wbuf_str(&w)), SIO_OK);
    assert_int_equal(hub_wire_read_nuc(wbuf_str(&w), &nuc), SIO_OK);
    assert_string_equal(nuc.id, "sede");
    assert_int_equal(nuc.epoch, HUB_EPOCH_MAX);
    assert_int_equal(nuc.connected_us, 5);
    assert_int_equal(nuc.heartbeat_us, 7);
    assert_true(nuc.streams);
    assert_string_equal(nuc.ip_local, "192.0.2.9");
    assert_string_equal(nuc.red, "192.0.2.0/24");
    assert_int_equal(nuc.camaras.len, camaras->len);
    wbuf_fini(&w);
    sio_buf_unref(camaras);
}

/* An agent must not make all that its hub tells unreadable. */
static void a_list_that_nests_too_deep_is_left_out(void **state)
{
    char deep[2 * JSON_MAX_DEPTH + 1] = "";
    struct hub_claim c = {.epoch = 1};
    struct hub_wire_nuc nuc;
    struct wbuf w;

    (void)state;
    memset(deep, '[', JSON_MAX_DEPTH);
    memset(deep + JSON_MAX_DEPTH, ']', JSON_MAX_DEPTH);
    assert_int_equal(json_check(sio_str_from(deep)), SIO_OK);
    c.camaras = sio_buf_copy(deep, strlen(deep));
    wbuf_init(&w, HUB_WIRE_MAX);
    hub_wire_nuc(&w, "sede", &c);
    assert_int_equal(json_check(wbuf_str(&w)), SIO_OK);
    assert_int_equal(hub_wire_read_nuc(wbuf_str(&w), &nuc), SIO_OK);
    assert_null(nuc.camaras.ptr);
    wbuf_fini(&w);
    sio_buf_unref(c.camaras);
}

static void refuses_what_is_no_message(void **state)
{
    static const char *const bad[] = {
        "",
        "{}",
        "[]",
        "null",
        "{" HUB "}",
        "{\"type\":\"beat\"}",
        "{\"type\":\"beat\",\"hub\":\"short\"}",
        "{\"type\":\"beat\",\"hub\":\"abcdefghijklmnop*_89\"}",
        "{\"type\":\"beat\",\"hub\":5}",
        "{\"type\":5," HUB "}",
        "{\"type\":\"other\"," HUB "}",
        "{\"type\":\"beat\"," HUB ",\"version\":-1}",
        "{\"type\":\"beat\"," HUB ",\"version\":1.5}",
        "{\"type\":\"beat\"," HUB ",\"version\":9007199254740993}",
        "{\"type\":\"beat\"," HUB ",\"version\":\"1\"}",
        "{\"type\":\"beat\"," HUB ",\"hello\":1}",
        "{\"type\":\"beat\"," HUB ",\"heard\":{}}",
        "{\"type\":\"beat\"," HUB ",\"name\":\"a\\u0000b\"}",
        "{\"type\":\"beat\"," HUB ",\"name\":\"a\\nb\"}",
        "{\"type\":\"beat\"," HUB ",\"name\":\"123456789012345678901234567890123\"}",
        "{\"type\":\"beat\"," HUB "} x",
        " {\"type\":\"beat\"," HUB "}",
        "{\"type\":\"beat\"," HUB ",\"name\":\"\xff\"}",
        "{\"type\":\"nuc\"," HUB ",\"version\":1}",
        "{\"type\":\"gone\"," HUB ",\"version\":1}",
        "{\"type\":\"state\"," HUB ",\"version\":1,\"nucs\":[]}",
        "{\"type\":\"state\"," HUB ",\"version\":1,\"part\":1,\"parts\":1,\"nucs\":[]}",
        "{\"type\":\"state\"," HUB ",\"part\":1,\"parts\":99999,\"nucs\":[]}",
        "{\"type\":\"capture\"," HUB ",\"nuc\":\"a\"}",
        "{\"type\":\"capture\"," HUB ",\"ip\":\"a\"}",
        "{\"type\":\"watch\"," HUB ",\"ip\":\"a/b\"}",
        "{\"type\":\"picture\"," HUB "}",
        "{\"type\":\"error\"," HUB ",\"ip\":\"a\",\"error\":5}",
        "{\"type\":\"frame\"," HUB "}",
    };
    struct hub_wire_msg m;

    (void)state;
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        if (read_text(bad[i], &m) == SIO_OK)
            fail_msg("taken: %s", bad[i]);
}

static void passes_over_what_it_does_not_know(void **state)
{
    struct hub_wire_msg m;

    (void)state;
    assert_int_equal(
        read_text("{\"later\":[{}],\"type\":\"error\"," HUB
                  ",\"ip\":\"patio\",\"error\":\"no\\u00e9\",\"nuc\":\"s\"}",
                  &m),
        SIO_OK);
    assert_int_equal(m.type, HUB_WIRE_ERROR);
    assert_string_equal(m.ip, "patio");
    assert_string_equal(m.nuc, "s");
    assert_true(str_eq_cstr(m.error, "\"no\\u00e9\""));
}

static void a_message_has_a_bound(void **state)
{
    struct sio_buf *b = sio_buf_new(HUB_WIRE_MAX + 1);
    struct hub_wire_msg m;

    (void)state;
    memset(b->data, ' ', b->len);
    assert_int_equal(hub_wire_read((struct sio_str){(char *)b->data, b->len}, &m),
                     SIO_ERR_TOO_BIG);
    sio_buf_unref(b);
}

static int read_frame(const char *text, size_t len, struct sio_slice *jpeg)
{
    struct sio_slice body = {NULL, (const uint8_t *)text, len};
    struct hub_wire_msg m;

    return hub_wire_read_frame(body, &m, jpeg);
}

static void a_frame_is_a_line_and_bytes(void **state)
{
    static const char good[] = "{\"type\":\"frame\"," HUB "}\n\xff\xd8\n\0x";
    static const char lost[] = "{\"type\":\"lost\"," HUB "}\n";
    static const char no_line[] = "{\"type\":\"frame\"," HUB "}";
    static const char other[] = "{\"type\":\"bye\"," HUB "}\n";
    char large[HUB_WIRE_HEAD_MAX + 8];
    struct sio_slice jpeg;

    (void)state;
    assert_int_equal(read_frame(good, sizeof(good) - 1, &jpeg), SIO_OK);
    assert_int_equal(jpeg.len, 5);
    assert_memory_equal(jpeg.ptr, "\xff\xd8\n\0x", 5);
    assert_int_equal(read_frame(lost, sizeof(lost) - 1, &jpeg), SIO_OK);
    assert_int_equal(jpeg.len, 0);
    assert_int_not_equal(read_frame(no_line, sizeof(no_line) - 1, &jpeg), SIO_OK);
    assert_int_not_equal(read_frame(other, sizeof(other) - 1, &jpeg), SIO_OK);
    assert_int_not_equal(read_frame("", 0, &jpeg), SIO_OK);
    memset(large, ' ', sizeof(large));
    large[sizeof(large) - 1] = '\n';
    assert_int_not_equal(read_frame(large, sizeof(large), &jpeg), SIO_OK);
}

static void refuses_items_that_are_none(void **state)
{
    static const char *const nucs[] = {
        "5",
        "{}",
        "{\"nuc\":\"\"}",
        "{\"nuc\":5}",
        "{\"nuc\":\"a\",\"epoch\":true}",
        "{\"nuc\":\"a\",\"epoch\":4503599627370497}",
        "{\"nuc\":\"a\",\"streams\":0}",
        "{\"nuc\":\"a\",\"red\":[]}",
    };
    static const char *const heard[] = {
        "5", "[]", "[\"a\"]", "[5,5]", "[\"a\",\"b\"]", "[\"a\",-1]"};
    struct hub_wire_nuc nuc;
    char id[HUB_ID_MAX + 1];
    uint64_t us;

    (void)state;
    for (size_t i = 0; i < sizeof(nucs) / sizeof(nucs[0]); i++)
        assert_int_not_equal(hub_wire_read_nuc(sio_str_from(nucs[i]), &nuc), SIO_OK);
    for (size_t i = 0; i < sizeof(heard) / sizeof(heard[0]); i++)
        assert_int_not_equal(hub_wire_read_heard(sio_str_from(heard[i]), id, &us),
                             SIO_OK);
}

static void survives_the_want_of_memory(void **state)
{
    (void)state;
    alloc_fail_each(n)
    {
        struct hub_wire_msg m;

        read_text("{\"type\":\"capture\"," HUB ",\"ip\":\"patio\",\"nuc\":\"sede\"}",
                  &m);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_what_it_writes),
        cmocka_unit_test(a_claim_comes_back_as_it_was),
        cmocka_unit_test(a_list_that_nests_too_deep_is_left_out),
        cmocka_unit_test(refuses_what_is_no_message),
        cmocka_unit_test(passes_over_what_it_does_not_know),
        cmocka_unit_test(a_message_has_a_bound),
        cmocka_unit_test(a_frame_is_a_line_and_bytes),
        cmocka_unit_test(refuses_items_that_are_none),
        cmocka_unit_test(survives_the_want_of_memory),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
