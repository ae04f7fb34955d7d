#include <config.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "alloc_fail.h"
#include "base/json.h"
#include "base/list.h"
#include "hex.h"
#include "socketio/msgpack.h"

enum { MAX_BINS = 3 };

/* Converts all of the bytes; *text is NUL-terminated, the caller frees. */
static int to_json(const uint8_t *bytes, size_t n, char **text,
                   struct sio_msgpack_bins *bins)
{
    struct sio_msgpack_reader r =
        sio_msgpack_reader((struct sio_slice){NULL, bytes, n});
    struct wbuf w;
    int rv;

    wbuf_init(&w, 1 << 20);
    *bins = (struct sio_msgpack_bins){.max = MAX_BINS};
    rv = sio_msgpack_to_json(&r, &w, bins);
    if (rv == SIO_OK)
        assert_true(sio_msgpack_at_end(&r));
    *text = strndup(wbuf_str(&w).ptr, wbuf_str(&w).len);
    wbuf_fini(&w);
    return rv;
}

static void expect_json(const char *hex, const char *wanted)
{
    struct sio_msgpack_bins bins;
    size_t n;
    uint8_t *bytes = hex_bytes(hex, &n);
    char *text;

    assert_int_equal(to_json(bytes, n, &text, &bins), SIO_OK);
    assert_string_equal(text, wanted);
    assert_int_equal(json_check(sio_str_from(text)), SIO_OK);
    sio_msgpack_bins_fini(&bins);
    free(text);
    free(bytes);
}

static void reads_every_format(void **state)
{
    static const char *const cases[][2] = {
        {"c0", "null"},
        {"c2", "false"},
        {"c3", "true"},
        {"00", "0"},
        {"7f", "127"},
        {"ff", "-1"},
        {"e0", "-32"},
        {"cc 80", "128"},
        {"cd 01 00", "256"},
        {"ce ff ff ff ff", "4294967295"},
        {"cf ff ff ff ff ff ff ff ff", "18446744073709551615"},
        {"d0 80", "-128"},
        {"d0 7f", "127"},
        {"d1 80 00", "-32768"},
        {"d2 80 00 00 00", "-2147483648"},
        {"d3 80 00 00 00 00 00 00 00", "-9223372036854775808"},
        {"d3 00 00 00 00 00 00 00 05", "5"},
        {"ca 3f c0 00 00", "1.5"},
        {"cb 3f f8 00 00 00 00 00 00", "1.5"},
        {"cb 3e 7a d7 f2 9a bc af 48", "1e-7"},
        {"cb 80 00 00 00 00 00 00 00", "-0"},
        {"cb 7f f8 00 00 00 00 00 00", "null"},
        {"cb 7f f0 00 00 00 00 00 00", "null"},
        {"a0", "\"\""},
        {"a3 61 22 0a", "\"a\\\"\\n\""},
        {"d9 01 61", "\"a\""},
        {"da 00 01 61", "\"a\""},
        {"db 00 00 00 01 61", "\"a\""},
        {"90", "[]"},
        {"93 01 90 91 c0", "[1,[],[null]]"},
        {"dc 00 01 c0", "[null]"},
        {"dd 00 00 00 01 c0", "[null]"},
        {"80", "{}"},
        {"82 a1 61 01 a1 62 80", "{\"a\":1,\"b\":{}}"},
        {"de 00 01 a1 61 01", "{\"a\":1}"},
        {"df 00 00 00 01 a1 61 01", "{\"a\":1}"},
    };

    (void)state;
    for (size_t i = 0; i < N_ELEMENTS(cases); i++)
        expect_json(cases[i][0], cases[i][1]);
}

static void makes_of_the_rest_what_javascript_makes_of_it(void **state)
{
    static const char *const cases[][2] = {
        /* undefined: null, but no member */
        {"d4 00 00", "null"},
        {"92 d4 00 00 01", "[null,1]"},
        {"83 a1 61 d4 00 00 a1 62 01 a1 63 d4 00 07", "{\"b\":1}"},
        /* dates: the peers' own, and the specification's */
        {"d7 00 00 00 00 00 00 00 00 00", "\"1970-01-01T00:00:00.000Z\""},
        {"d7 00 ff ff ff ff ff ff ff ff", "\"1969-12-31T23:59:59.999Z\""},
        {"d7 00 00 1e b2 08 c2 dc 00 00", "\"+275760-09-13T00:00:00.000Z\""},
        {"d7 00 00 1e b2 08 c2 dc 00 01", "null"},
        {"d7 00 7f ff ff ff ff ff ff ff", "null"},
        {"d7 00 80 00 00 00 00 00 00 00", "null"},
        {"d6 ff 00 00 00 01", "\"1970-01-01T00:00:01.000Z\""},
        {"d7 ff 77 35 94 00 00 00 00 02", "\"1970-01-01T00:00:02.500Z\""},
        {"c7 0c ff 00 0f 42 40 ff ff ff ff ff ff ff ff",
         "\"1969-12-31T23:59:59.001Z\""},
        /* keys */
        {"85 01 c0 ff c0 c3 c0 c0 c0 cb 3f f8 00 00 00 00 00 00 c0",
         "{\"1\":null,\"-1\":null,\"true\":null,\"null\":null,\"1.5\":null}"},
        {"82 a1 61 01 a1 61 02", "{\"a\":1,\"a\":2}"},
        /* text that is none */
        {"a3 61 ff 62", "\"a\xef\xbf\xbd"
                        "b\""},
    };

    (void)state;
    for (size_t i = 0; i < N_ELEMENTS(cases); i++)
        expect_json(cases[i][0], cases[i][1]);
}

static void gives_bytes_where_they_lie(void **state)
{
    struct sio_msgpack_bins bins;
    size_t n;
    uint8_t *bytes = hex_bytes("93 c4 02 0102 81 a1 61 c7 01 00 03 d5 05 0405", &n);
    char *text;

    (void)state;
    assert_int_equal(to_json(bytes, n, &text, &bins), SIO_OK);
    assert_string_equal(text, "[{\"_placeholder\":true,\"num\":0},"
                              "{\"a\":{\"_placeholder\":true,\"num\":1}},"
                              "[5,{\"_placeholder\":true,\"num\":2}]]");
    assert_int_equal(bins.n, 3);
    assert_false(bins.lookalike);
    assert_ptr_equal(bins.items[0].ptr, bytes + 3);
    assert_int_equal(bins.items[0].len, 2);
    assert_int_equal(*bins.items[1].ptr, 3);
    assert_int_equal(bins.items[2].len, 2);
    sio_msgpack_bins_fini(&bins);
    free(text);
    free(bytes);
}

static void sees_what_could_be_taken_for_bytes(void **state)
{
    struct sio_msgpack_bins bins;
    size_t n;
    uint8_t *bytes = hex_bytes("81 ac 5f706c616365686f6c646572 c3", &n);
    char *text;

    (void)state;
    assert_int_equal(to_json(bytes, n, &text, &bins), SIO_OK);
    assert_string_equal(text, "{\"_placeholder\":true}");
    assert_true(bins.lookalike);
    free(text);
    free(bytes);
}

static int error_of(const char *hex)
{
    struct sio_msgpack_bins bins;
    size_t n;
    uint8_t *bytes = hex_bytes(hex, &n);
    char *text;
    int rv = to_json(bytes, n, &text, &bins);

    sio_msgpack_bins_fini(&bins);
    free(text);
    free(bytes);
    return rv;
}

static void rejects_what_means_nothing(void **state)
{
    static const char *const bad[] = {
        "",
        "c1",
        "dd ff ff ff ff",       /* more items than there are bytes */
        "df 80 00 00 00 01 01", /* twice the number is 2^32 */
        "db ff ff ff ff 61",
        "c6 ff ff ff ff 61",
        "c9 ff ff ff ff 00 61",
        "92 01",
        "81 a1 61",
        "81 90 01", /* a key that has no text */
        "81 80 01",
        "81 c4 01 61 01",
        "81 d4 05 00 01",
        "82 90 d4 00 00 a1 61 01", /* neither has one whose value is passed */
    };

    (void)state;
    for (size_t i = 0; i < N_ELEMENTS(bad); i++)
        assert_int_equal(error_of(bad[i]), SIO_ERR_PARSE);
}

static const char everything[] =
    "8f a1 61 dc 0002 01 cd 0100 a1 62 c4 03 010203 a1 63 d9 02 6162 a1 64 da 0001 61"
    "a1 65 db 00000001 61 a1 66 c5 0001 07 a1 67 c6 00000001 08 a1 68 cb "
    "3ff8000000000000"
    "a1 69 ca 3fc00000 a1 6a d3 ffffffffffffff00 a1 6b de 0001 01 d4 0000 a1 6c d8 05"
    "00000000000000000000000000000000 a1 6d d7 00 0000000000000000 a1 6e df 00000001 c3"
    "dd 00000001 c8 0001 05 09 a1 6f ce 00010000";

static void rejects_every_part_of_a_value(void **state)
{
    size_t n;
    uint8_t *bytes = hex_bytes(everything, &n);

    (void)state;
    for (size_t len = 0; len <= n; len++) {
        uint8_t *part = malloc(len > 0 ? len : 1);
        struct sio_msgpack_bins bins = {.max = 10};
        struct sio_msgpack_reader r, skip;
        struct wbuf w;

        memcpy(part, bytes, len);
        r = skip = sio_msgpack_reader((struct sio_slice){NULL, part, len});
        wbuf_init(&w, 1 << 20);
        assert_int_equal(sio_msgpack_to_json(&r, &w, &bins),
                         len < n ? SIO_ERR_PARSE : SIO_OK);
        assert_int_equal(sio_msgpack_skip(&skip), len < n ? SIO_ERR_PARSE : SIO_OK);
        assert_true(len < n || (sio_msgpack_at_end(&r) && sio_msgpack_at_end(&skip)));
        wbuf_fini(&w);
        sio_msgpack_bins_fini(&bins);
        free(part);
    }
    free(bytes);
}

static int depth_error(uint8_t opening, size_t step, size_t depth)
{
    uint8_t *bytes = calloc(1, depth * step + 1);
    struct sio_msgpack_reader r, skip;
    struct sio_msgpack_bins bins = {.max = 1};
    struct wbuf w;
    int rv;

    for (size_t i = 0; i < depth; i++)
        bytes[i * step] = opening;
    bytes[depth * step] = 0xc0;
    r = skip = sio_msgpack_reader((struct sio_slice){NULL, bytes, depth * step + 1});
    wbuf_init(&w, 1 << 20);
    rv = sio_msgpack_to_json(&r, &w, &bins);
    assert_true(rv < 0 || json_check(wbuf_str(&w)) == SIO_OK);
    assert_int_equal(sio_msgpack_skip(&skip), SIO_OK);
    wbuf_fini(&w);
    free(bytes);
    return rv;
}

static void bounds_depth_bytes_and_text(void **state)
{
    (void)state;
    assert_int_equal(depth_error(0x91, 1, JSON_MAX_DEPTH), SIO_OK);
    assert_int_equal(depth_error(0x91, 1, JSON_MAX_DEPTH + 1), SIO_ERR_TOO_BIG);
    assert_int_equal(depth_error(0x81, 2, JSON_MAX_DEPTH), SIO_OK);
    assert_int_equal(depth_error(0x81, 2, JSON_MAX_DEPTH + 1), SIO_ERR_TOO_BIG);
    assert_int_equal(depth_error(0x91, 1, 100000), SIO_ERR_TOO_BIG);
    assert_int_equal(error_of("93 c400 c400 c400"), SIO_OK);
    assert_int_equal(error_of("94 c400 c400 c400 c400"), SIO_ERR_TOO_BIG);
}

static void a_text_may_not_grow_over_its_bound(void **state)
{
    struct sio_msgpack_bins bins = {.max = 1};
    size_t n;
    uint8_t *bytes = hex_bytes("94 c0 c0 c0 c0", &n);

    (void)state;
    for (size_t max = 0; max <= 21; max++) {
        struct sio_msgpack_reader r =
            sio_msgpack_reader((struct sio_slice){NULL, bytes, n});
        struct wbuf w;

        wbuf_init(&w, max);
        assert_int_equal(sio_msgpack_to_json(&r, &w, &bins),
                         max < 21 ? SIO_ERR_TOO_BIG : SIO_OK);
        wbuf_fini(&w);
    }
    free(bytes);
}

/* What json becomes, in hex; the caller frees.  Attachments are "\1", "\2\2". */
static char *packed(const char *json, uint32_t n_attachments)
{
    static const struct sio_slice attachments[] = {
        {NULL, (const uint8_t *)"\1", 1},
        {NULL, (const uint8_t *)"\2\2", 2},
    };
    struct sio_msgpack_writer w;
    struct sio_str out;
    char *hex;

    sio_msgpack_writer_init(&w, SIZE_MAX);
    assert_int_equal(
        sio_msgpack_add_json(&w, sio_str_from(json), attachments, n_attachments),
        SIO_OK);
    out = wbuf_str(&w.bytes);
    hex = hex_text(out.ptr, out.len);
    sio_msgpack_writer_fini(&w);
    return hex;
}

static void expect_packed(const char *json, uint32_t n_attachments, const char *hex)
{
    size_t n;
    uint8_t *wanted = hex_bytes(hex, &n);
    char *b = hex_text(wanted, n);
    char *a = packed(json, n_attachments);

    assert_string_equal(a, b);
    free(a);
    free(b);
    free(wanted);
}

static void writes_the_shortest_form(void **state)
{
    static const char *const cases[][2] = {
        {"null", "c0"},
        {" true ", "c3"},
        {"false", "c2"},
        {"0", "00"},
        {"127", "7f"},
        {"128", "cc 80"},
        {"255", "cc ff"},
        {"256", "cd 0100"},
        {"65536", "ce 00010000"},
        {"4294967296", "cf 0000000100000000"},
        {"18446744073709551615", "cf ffffffffffffffff"},
        {"18446744073709551616", "cb 43f0000000000000"},
        {"-1", "ff"},
        {"-32", "e0"},
        {"-33", "d0 df"},
        {"-128", "d0 80"},
        {"-129", "d1 ff7f"},
        {"-32769", "d2 ffff7fff"},
        {"-2147483649", "d3 ffffffff7fffffff"},
        {"-9223372036854775808", "d3 8000000000000000"},
        {"-9223372036854775809", "cb c3e0000000000000"},
        {"-0", "cb 8000000000000000"},
        {"1.0", "01"},
        {"1e3", "cd 03e8"},
        {"-2.50e1", "e7"},
        {"1.5", "cb 3ff8000000000000"},
        {"1e300", "cb 7e37e43c8800759c"},
        {"1e999", "cb 7ff0000000000000"},
        {"\"\"", "a0"},
        {"\"a\\\"\\u0000\\u00e9\"", "a5 61 22 00 c3a9"},
        {"\"\\ud800\"", "a3 efbfbd"},
        {"[]", "90"},
        {"[1,[2],{}]", "93 01 91 02 80"},
        {"{ \"a\" : [ ] , \"b\" : { \"c\" : null } }", "82 a161 90 a162 81 a163 c0"},
        {"[0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0]",
         "dc 0010 00000000000000000000000000000000"},
        {"{\"_placeholder\":true,\"num\":0}", "82 ac 5f706c616365686f6c646572 c3"
                                              "a3 6e756d 00"},
    };

    (void)state;
    for (size_t i = 0; i < N_ELEMENTS(cases); i++)
        expect_packed(cases[i][0], 0, cases[i][1]);
}

static void writes_bytes_for_their_placeholders(void **state)
{
    static const char *const cases[][2] = {
        {"[{\"_placeholder\":true,\"num\":1},{\"_placeholder\":true,\"num\":0}]",
         "92 c4020202 c40101"},
        /* more in it, the last of a name, escapes in a name */
        {"[{\"x\":[{\"y\":[]}],\"num\":1,\"num\":0,\"\\u005fplaceholder\":false,"
         "\"_placeholder\":true},7]",
         "92 c40101 07"},
        /* what is none */
        {"[{\"_placeholder\":1,\"num\":0},{\"_placeholder\":true},"
         "{\"_placeholder\":true,\"num\":[]},{\"num\":0},"
         "{\"_placeholder\":true,\"num\":2},"
         "{\"_placeholder\":true,\"num\":1,\"_placeholder\":{}}]",
         "96 82 ac5f706c616365686f6c646572 01 a36e756d 00"
         "81 ac5f706c616365686f6c646572 c3"
         "82 ac5f706c616365686f6c646572 c3 a36e756d 90"
         "81 a36e756d 00"
         "82 ac5f706c616365686f6c646572 c3 a36e756d 02"
         "83 ac5f706c616365686f6c646572 c3 a36e756d 01 ac5f706c616365686f6c646572 80"},
    };

    (void)state;
    for (size_t i = 0; i < N_ELEMENTS(cases); i++)
        expect_packed(cases[i][0], 2, cases[i][1]);
}

static int pack_error(const char *json, uint32_t n_attachments)
{
    static const struct sio_slice one = {NULL, (const uint8_t *)"\1", 1};
    struct sio_msgpack_writer w;
    int rv;

    sio_msgpack_writer_init(&w, SIZE_MAX);
    rv = sio_msgpack_add_json(&w, sio_str_from(json), &one, n_attachments);
    sio_msgpack_writer_fini(&w);
    return rv;
}

static void packs_nothing_that_is_not_json(void **state)
{
    char deep[2 * (JSON_MAX_DEPTH + 1) + 1] = "";

    (void)state;
    assert_int_equal(pack_error("", 0), SIO_ERR_PARSE);
    assert_int_equal(pack_error("[1,]", 0), SIO_ERR_PARSE);
    assert_int_equal(pack_error("1 2", 0), SIO_ERR_PARSE);
    memset(deep, '[', JSON_MAX_DEPTH + 1);
    memset(deep + JSON_MAX_DEPTH + 1, ']', JSON_MAX_DEPTH + 1);
    assert_int_equal(pack_error(deep, 0), SIO_ERR_TOO_BIG);
    deep[2 * JSON_MAX_DEPTH + 1] = '\0';
    assert_int_equal(pack_error(deep + 1, 0), SIO_OK);
    /* An attachment that stands in two places would grow. */
    assert_int_equal(pack_error("[{\"_placeholder\":true,\"num\":0},"
                                "{\"_placeholder\":true,\"num\":0}]",
                                1),
                     SIO_ERR_PROTOCOL);
}

static void references_large_attachments(void **state)
{
    struct sio_buf *large = sio_buf_new(100000);
    struct sio_slice attachments[] = {sio_slice_of(large), {large, NULL, 10}};
    struct sio_msgpack_writer w;
    struct sio_slice slices[3];
    struct sio_buf *bytes;
    char *hex;

    (void)state;
    memset(sio_buf_data(large), 7, 100000);
    attachments[1].ptr = sio_buf_data(large);
    sio_msgpack_writer_init(&w, 1000);
    assert_int_equal(
        sio_msgpack_add_json(&w,
                             SIO_STR("[{\"_placeholder\":true,\"num\":0},"
                                     "{\"_placeholder\":true,\"num\":1},1]"),
                             attachments, 2),
        SIO_OK);
    assert_int_equal(w.n_refs, 1);
    bytes = wbuf_take(&w.bytes);
    assert_int_equal(sio_msgpack_slices(&w, bytes, slices), 3);
    hex = hex_text(slices[0].ptr, slices[0].len);
    assert_string_equal(hex, "93c6000186a0");
    free(hex);
    assert_ptr_equal(slices[1].ptr, sio_buf_data(large));
    assert_int_equal(slices[1].len, 100000);
    hex = hex_text(slices[2].ptr, slices[2].len);
    assert_string_equal(hex, "c40a0707070707070707070701");
    free(hex);
    sio_buf_unref(bytes);
    sio_msgpack_writer_fini(&w);
    sio_buf_unref(large);
}

/* A container of n nulls, and back. */
static void round_trip(size_t n, bool map)
{
    struct sio_msgpack_writer w;
    struct sio_msgpack_reader r;
    struct sio_msgpack_bins bins = {.max = 1};
    struct wbuf json, back;

    wbuf_init(&json, 1 << 24);
    wbuf_init(&back, 1 << 24);
    wbuf_add_byte(&json, map ? '{' : '[');
    for (size_t i = 0; i < n; i++)
        wbuf_addf(&json, map ? "%s\"%zu\":null" : "%snull", i ? "," : "", i);
    wbuf_add_byte(&json, map ? '}' : ']');
    sio_msgpack_writer_init(&w, SIZE_MAX);
    assert_int_equal(sio_msgpack_add_json(&w, wbuf_str(&json), NULL, 0), SIO_OK);
    r = sio_msgpack_reader(
        (struct sio_slice){NULL, (const uint8_t *)wbuf_str(&w.bytes).ptr, w.bytes.len});
    assert_int_equal(sio_msgpack_to_json(&r, &back, &bins), SIO_OK);
    assert_int_equal(json.len, back.len);
    assert_memory_equal(wbuf_str(&json).ptr, wbuf_str(&back).ptr, json.len);
    wbuf_fini(&json);
    wbuf_fini(&back);
    sio_msgpack_writer_fini(&w);
}

static void sizes_survive_the_way_there_and_back(void **state)
{
    static const size_t sizes[] = {0, 1, 15, 16, 17, 255, 256, 65535, 65536, 70000};

    (void)state;
    for (size_t i = 0; i < N_ELEMENTS(sizes); i++) {
        round_trip(sizes[i], false);
        round_trip(sizes[i], true);
    }
}

static void lengths_of_text_survive_too(void **state)
{
    static const size_t sizes[] = {31, 32, 255, 256, 65535, 65536};

    (void)state;
    for (size_t i = 0; i < N_ELEMENTS(sizes); i++) {
        char *text = malloc(sizes[i] + 3);
        struct sio_msgpack_bins bins;
        char *hex, *back;
        uint8_t *bytes;
        size_t n;

        memset(text, 'x', sizes[i] + 2);
        text[0] = text[sizes[i] + 1] = '"';
        text[sizes[i] + 2] = '\0';
        hex = packed(text, 0);
        bytes = hex_bytes(hex, &n);
        assert_int_equal(to_json(bytes, n, &back, &bins), SIO_OK);
        assert_string_equal(text, back);
        free(bytes);
        free(back);
        free(hex);
        free(text);
    }
}

static void a_count_may_be_a_double(void **state)
{
    struct sio_msgpack_token t = {.kind = SIO_MSGPACK_DOUBLE, .d = 3};
    uint64_t n;

    (void)state;
    assert_true(sio_msgpack_uint(&t, &n));
    assert_int_equal(n, 3);
    t.d = 3.5;
    assert_false(sio_msgpack_uint(&t, &n));
    t.d = -1;
    assert_false(sio_msgpack_uint(&t, &n));
    t.d = 1e300;
    assert_false(sio_msgpack_uint(&t, &n));
    t.kind = SIO_MSGPACK_INT;
    assert_false(sio_msgpack_uint(&t, &n));
}

static void survives_failing_allocations(void **state)
{
    size_t n;
    uint8_t *bytes = hex_bytes(everything, &n);

    (void)state;
    alloc_fail_each(at)
    {
        struct sio_msgpack_reader r =
            sio_msgpack_reader((struct sio_slice){NULL, bytes, n});
        struct sio_msgpack_bins bins = {.max = 10};
        struct sio_msgpack_writer w;
        struct wbuf json;
        int rv;

        wbuf_init(&json, 1 << 20);
        sio_msgpack_writer_init(&w, 0);
        rv = sio_msgpack_to_json(&r, &json, &bins);
        if (rv == SIO_OK) {
            wbuf_add_cstr(&json, " ");
            rv = json.error;
        }
        if (rv == SIO_OK)
            rv = sio_msgpack_add_json(&w, wbuf_str(&json), bins.items, bins.n);
        assert_true(rv == SIO_OK || rv == SIO_ERR_NOMEM);
        sio_msgpack_writer_fini(&w);
        sio_msgpack_bins_fini(&bins);
        wbuf_fini(&json);
    }
    free(bytes);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_every_format),
        cmocka_unit_test(makes_of_the_rest_what_javascript_makes_of_it),
        cmocka_unit_test(gives_bytes_where_they_lie),
        cmocka_unit_test(sees_what_could_be_taken_for_bytes),
        cmocka_unit_test(rejects_what_means_nothing),
        cmocka_unit_test(rejects_every_part_of_a_value),
        cmocka_unit_test(bounds_depth_bytes_and_text),
        cmocka_unit_test(a_text_may_not_grow_over_its_bound),
        cmocka_unit_test(writes_the_shortest_form),
        cmocka_unit_test(writes_bytes_for_their_placeholders),
        cmocka_unit_test(packs_nothing_that_is_not_json),
        cmocka_unit_test(references_large_attachments),
        cmocka_unit_test(sizes_survive_the_way_there_and_back),
        cmocka_unit_test(lengths_of_text_survive_too),
        cmocka_unit_test(a_count_may_be_a_double),
        cmocka_unit_test(survives_failing_allocations),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
