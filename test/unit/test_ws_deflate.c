/*
 * permessage-deflate: what is agreed for which offer, and messages there and back, whole
 * and in pieces, good and broken.
 */
#include <config.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "alloc_fail.h"
#include "base/list.h"
#include "http/deflate.h"
#include "http/frame.h"
#include "http/ws_deflate.h"

static const struct ws_deflate_options plain = {.level = 1, .window_bits = 15};
static const struct ws_deflate_options frugal = {.server_no_context_takeover = true,
                                                 .client_no_context_takeover = true,
                                                 .level = 1,
                                                 .window_bits = 12};

/* What the server says to an offer: its answer, "" (none), or "!" (refused). */
static const char *accepted(const char *offer, const struct ws_deflate_options *opts,
                            struct ws_deflate_params *p)
{
    static char text[256];
    struct wbuf w;
    int rv;

    wbuf_init(&w, sizeof(text));
    rv = ws_deflate_accept(sio_str_from(offer), opts, p, &w);
    assert_true(rv == 0 || rv == 1 || rv == SIO_ERR_PARSE);
    snprintf(text, sizeof(text), "%.*s", (int)w.len, wbuf_str(&w).ptr);
    wbuf_fini(&w);
    return rv < 0 ? "!" : rv == 0 ? "" : text;
}

#define PMD "permessage-deflate"

static void answers_each_offer_with_what_it_will_do(void **state)
{
    static const struct {
        const char *offer, *plain, *frugal;
    } cases[] = {
        {PMD, PMD,
         PMD "; server_no_context_takeover; client_no_context_takeover; "
             "server_max_window_bits=12"},
        {PMD "; client_max_window_bits", PMD,
         PMD "; server_no_context_takeover; client_no_context_takeover; "
             "server_max_window_bits=12; client_max_window_bits=12"},
        {PMD "; client_max_window_bits=10", PMD "; client_max_window_bits=10",
         PMD "; server_no_context_takeover; client_no_context_takeover; "
             "server_max_window_bits=12; client_max_window_bits=10"},
        {PMD "; server_max_window_bits=9;server_no_context_takeover",
         PMD "; server_no_context_takeover; server_max_window_bits=9",
         PMD "; server_no_context_takeover; client_no_context_takeover; "
             "server_max_window_bits=9"},
        {PMD ";client_no_context_takeover;server_max_window_bits=\"15\"",
         PMD "; client_no_context_takeover; server_max_window_bits=15", NULL},
        {"x-other; a=\"b\", " PMD, PMD, NULL},
        {", ," PMD ",", PMD, NULL},
        {"Permessage-Deflate", PMD, NULL},
        /* The first that can be met. */
        {PMD "; server_max_window_bits=8, " PMD "; server_max_window_bits=10",
         PMD "; server_max_window_bits=10", NULL},
        {PMD "; strange, " PMD "; client_no_context_takeover",
         PMD "; client_no_context_takeover", NULL},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct ws_deflate_params p;

        assert_string_equal(accepted(cases[i].offer, &plain, &p), cases[i].plain);
        if (cases[i].frugal)
            assert_string_equal(accepted(cases[i].offer, &frugal, &p), cases[i].frugal);
    }
}

static void declines_offers_that_are_not_well_formed(void **state)
{
    static const char *const declined[] = {
        "x-webkit-deflate-frame",
        PMD "; server_max_window_bits",
        PMD "; server_max_window_bits=8",
        PMD "; server_max_window_bits=7",
        PMD "; server_max_window_bits=16",
        PMD "; server_max_window_bits=09",
        PMD "; server_max_window_bits=+9",
        PMD "; server_max_window_bits=99999999999999999999",
        PMD "; server_max_window_bits=9; server_max_window_bits=9",
        PMD "; client_max_window_bits=7",
        PMD "; client_max_window_bits=x",
        PMD "; client_max_window_bits; client_max_window_bits",
        PMD "; server_no_context_takeover=1",
        PMD "; server_no_context_takeover; server_no_context_takeover",
        PMD "; client_no_context_takeover=\"true\"",
        PMD "; level=9",
        "permessage-deflat",
        "permessage-deflate2",
        "",
        ",",
    };
    static const char *const broken[] = {
        ";",
        PMD ";",
        PMD "; =9",
        PMD "; a=",
        PMD "; a=\"",
        PMD "; a=\"b",
        PMD "; a=\"b c\"",
        PMD " x",
        PMD "; a b",
        "a=b",
        PMD ", /",
        PMD "; server_max_window_bits=\"\"",
    };
    struct ws_deflate_params p;

    (void)state;
    for (size_t i = 0; i < sizeof(declined) / sizeof(declined[0]); i++)
        assert_string_equal(accepted(declined[i], &plain, &p), "");
    for (size_t i = 0; i < sizeof(broken) / sizeof(broken[0]); i++)
        assert_string_equal(accepted(broken[i], &plain, &p), "!");
}

static void a_client_takes_only_answers_to_its_offer(void **state)
{
    static const struct {
        const char *answer;
        bool plain, frugal;
        uint8_t out_bits, in_bits; /* plain */
    } cases[] = {
        {PMD, true, false, 15, 15},
        {PMD "; server_no_context_takeover; server_max_window_bits=10", true, true, 15,
         10},
        {PMD "; server_no_context_takeover; server_max_window_bits=13", true, false, 15,
         13},
        {PMD "; client_max_window_bits=9", true, false, 9, 15},
        {PMD "; client_max_window_bits=8", true, false, 0, 15},
        {PMD "; client_max_window_bits", false, false, 0, 0},
        {PMD "; client_max_window_bits=16", false, false, 0, 0},
        {PMD "; unknown", false, false, 0, 0},
        {PMD ", " PMD, false, false, 0, 0},
        {"x-other", false, false, 0, 0},
        {"", false, false, 0, 0},
        {PMD "; client_no_context_takeover; client_no_context_takeover", false, false,
         0, 0},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct sio_str answer = sio_str_from(cases[i].answer);
        struct ws_deflate_params p;

        assert_int_equal(ws_deflate_answer(answer, &frugal, &p) == SIO_OK,
                         cases[i].frugal);
        assert_int_equal(ws_deflate_answer(answer, &plain, &p) == SIO_OK,
                         cases[i].plain);
        if (!cases[i].plain)
            continue;
        assert_int_equal(p.out_bits, cases[i].out_bits);
        assert_int_equal(p.in_bits, cases[i].in_bits);
    }
}

static void what_a_client_offers_a_server_accepts(void **state)
{
    static const struct ws_deflate_options *const sides[] = {&plain, &frugal};

    (void)state;
    for (size_t i = 0; i < 4; i++) {
        const struct ws_deflate_options *client = sides[i & 1], *server = sides[i >> 1];
        struct ws_deflate_params there, here;
        struct wbuf offer;
        char text[256];
        const char *answer;

        wbuf_init(&offer, sizeof(text));
        ws_deflate_offer(client, &offer);
        snprintf(text, sizeof(text), "%.*s", (int)offer.len, wbuf_str(&offer).ptr);
        wbuf_fini(&offer);
        answer = accepted(text, server, &there);
        assert_int_equal(ws_deflate_answer(sio_str_from(answer), client, &here),
                         SIO_OK);
        assert_int_equal(here.in_bits, there.out_bits);
        assert_true(here.out_bits <= there.in_bits);
        assert_int_equal(here.in_no_takeover, there.out_no_takeover);
        assert_int_equal(here.out_no_takeover, there.in_no_takeover);
    }
}

/* Messages there and back. */

#define N_BYTES 60000

/* Text with repetitions, or noise. */
static uint8_t *make_bytes(bool noise, unsigned seed)
{
    static const char *const words[] = {"{\"camera\":", "\"entrada\"", "[1,2,3]", " ",
                                        "é"};
    uint8_t *p = malloc(N_BYTES + 16);
    size_t len = 0;

    srand(seed);
    while (len < N_BYTES) {
        const char *word = words[(size_t)rand() % 5];

        if (noise)
            p[len++] = (uint8_t)rand();
        else
            len += (size_t)sprintf((char *)p + len, "%s", word);
    }
    return p;
}

struct pair {
    struct ws_deflate *from, *to;
};

static struct pair new_pair(int bits, bool no_takeover)
{
    const struct ws_deflate_params p = {.out_bits = (uint8_t)bits,
                                        .in_bits = (uint8_t)bits,
                                        .level = 6,
                                        .out_no_takeover = no_takeover,
                                        .in_no_takeover = no_takeover};

    return (struct pair){ws_deflate_new(&p), ws_deflate_new(&p)};
}

static void free_pair(struct pair *pair)
{
    ws_deflate_free(pair->from);
    ws_deflate_free(pair->to);
}

/* Unpacks in pieces of at most `piece` bytes. */
static int unpack(struct ws_deflate *d, const uint8_t *p, size_t len, size_t piece,
                  struct wbuf *out)
{
    int rv = SIO_OK;

    for (size_t at = 0; at < len && rv == SIO_OK; at += piece)
        rv = ws_deflate_unpack(d, p + at, len - at < piece ? len - at : piece, out);
    return rv < 0 ? rv : ws_deflate_unpack_end(d, out);
}

/* Returns the compressed size; 0: not worth it. */
static size_t round_trip(struct pair *pair, const uint8_t *bytes, size_t len,
                         size_t piece)
{
    const struct sio_slice parts[] = {{NULL, bytes, len / 3},
                                      {NULL, bytes + len / 3, len - len / 3}};
    struct sio_buf *frame;
    struct wbuf out;
    size_t packed;
    int rv = ws_deflate_pack(pair->from, parts, 2, &frame);

    if (rv == SIO_ERR_TOO_BIG)
        return 0;
    assert_int_equal(rv, SIO_OK);
    packed = sio_buf_len(frame) - WS_FRAME_HEAD_MAX;
    wbuf_init(&out, len);
    assert_int_equal(
        unpack(pair->to, sio_buf_data(frame) + WS_FRAME_HEAD_MAX, packed, piece, &out),
        SIO_OK);
    assert_int_equal(out.len, len);
    assert_memory_equal(wbuf_str(&out).ptr, bytes, len);
    wbuf_fini(&out);
    sio_buf_unref(frame);
    return packed;
}

static void messages_come_back_as_they_were(void **state)
{
    static const size_t sizes[] = {1, 2, 16, 64, 256, 1024, 4096, 32768, N_BYTES};
    uint8_t *text = make_bytes(false, 1);
    uint8_t *noise = make_bytes(true, 2);

    (void)state;
    for (int bits = 9; bits <= 15; bits++) {
        for (int alone = 0; alone < 2; alone++) {
            struct pair pair = new_pair(bits, alone);

            for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
                assert_true(round_trip(&pair, text, sizes[i], 1000) < sizes[i]);
                round_trip(&pair, noise, sizes[i], SIZE_MAX);
                round_trip(&pair, text + 7, sizes[i] / 2, 1);
            }
            free_pair(&pair);
        }
    }
    free(text);
    free(noise);
}

static void takeover_remembers_former_messages(void **state)
{
    uint8_t *text = make_bytes(false, 3);
    struct pair pair = new_pair(15, false);
    size_t first = round_trip(&pair, text, 4096, SIZE_MAX);

    (void)state;
    assert_true(round_trip(&pair, text, 4096, SIZE_MAX) < first / 4);
    free_pair(&pair);
    pair = new_pair(15, true);
    assert_int_equal(round_trip(&pair, text, 4096, SIZE_MAX), first);
    assert_int_equal(round_trip(&pair, text, 4096, SIZE_MAX), first);
    free_pair(&pair);
    free(text);
}

/* The bytes of RFC 7692, 7.2.3, and then more on the same connection. */
static void reads_the_examples_of_the_standard(void **state)
{
    static const struct {
        const char *bytes;
        size_t len;
    } hello[] = {
        {"\xf2\x48\xcd\xc9\xc9\x07\x00", 7},
        {"\x00\x05\x00\xfa\xff\x48\x65\x6c\x6c\x6f\x00", 11}, /* a stored block */
        {"\xf3\x48\xcd\xc9\xc9\x07\x00\x00", 8},              /* a last block */
        {"\xf3\x48\xcd\xc9\xc9\x07\x00", 7}, /* and nothing behind it */
        {"\xf2\x48\x05\x00\x00\x00\xff\xff\xca\xc9\xc9\x07\x00", 13}, /* two blocks */
        {"\xf2\x00\x11\x00\x00", 5}, /* of the one before */
    };
    struct pair pair = new_pair(15, false);

    (void)state;
    for (size_t i = 0; i < sizeof(hello) / sizeof(hello[0]); i++) {
        for (size_t piece = 1; piece <= 13; piece += 4) {
            struct wbuf out;

            wbuf_init(&out, 5);
            assert_int_equal(unpack(pair.to, (const uint8_t *)hello[i].bytes,
                                    hello[i].len, piece, &out),
                             SIO_OK);
            assert_int_equal(out.len, 5);
            assert_memory_equal(wbuf_str(&out).ptr, "Hello", 5);
            wbuf_fini(&out);
        }
    }
    free_pair(&pair);
}

static int unpack_once(const void *p, size_t len, size_t max, size_t *got)
{
    struct pair pair = new_pair(15, true);
    struct wbuf out;
    int rv;

    wbuf_init(&out, max);
    rv = unpack(pair.to, p, len, SIZE_MAX, &out);
    assert_true(out.len <= max && out.cap <= max);
    *got = out.len;
    wbuf_fini(&out);
    free_pair(&pair);
    return rv;
}

static void broken_data_is_an_error(void **state)
{
    static const struct {
        const char *bytes;
        size_t len;
    } bad[] = {
        {"\xf2\x48\xcd", 3},         /* cut off */
        {"\x06", 1},                 /* a block of type 3 */
        {"\x00\x05\x00\x00\x00", 5}, /* length and its complement */
        {"\xf2\x00\x11\x00\x00", 5}, /* a distance before the start */
        {"\x05\xe0\x81\x91\x24\xcb\xb2\x2c\x49",
         9}, /* codes that are over-subscribed */
    };
    size_t got;

    (void)state;
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        assert_int_equal(unpack_once(bad[i].bytes, bad[i].len, 1000, &got),
                         SIO_ERR_PARSE);
    assert_int_equal(unpack_once("", 0, 1000, &got), SIO_OK);
}

static void a_message_that_grows_too_large_takes_no_memory(void **state)
{
    const size_t size = 10000000;
    uint8_t *zeros = calloc(1, size);
    const struct sio_slice slice = {NULL, zeros, size};
    struct pair pair = new_pair(15, false);
    struct sio_buf *frame;
    const uint8_t *p;
    size_t len, got;

    (void)state;
    assert_int_equal(ws_deflate_pack(pair.from, &slice, 1, &frame), SIO_OK);
    p = sio_buf_data(frame) + WS_FRAME_HEAD_MAX;
    len = sio_buf_len(frame) - WS_FRAME_HEAD_MAX;
    assert_int_equal(unpack_once(p, len, size, &got), SIO_OK);
    assert_int_equal(unpack_once(p, len, size - 1, &got), SIO_ERR_TOO_BIG);
    assert_int_equal(unpack_once(p, len, 0, &got), SIO_ERR_TOO_BIG);
    assert_int_equal(unpack_once(p, len, 1, &got), SIO_ERR_TOO_BIG);
    sio_buf_unref(frame);
    free_pair(&pair);
    free(zeros);
}

static void running_out_of_memory_is_an_error(void **state)
{
    uint8_t *text = make_bytes(false, 4);
    const struct sio_slice slice = {NULL, text, 4096};

    (void)state;
    alloc_fail_each(n)
    {
        struct pair pair = {NULL, NULL};
        struct sio_buf *frame = NULL;
        struct wbuf out;
        int rv = SIO_ERR_NOMEM;

        wbuf_init(&out, N_BYTES);
        pair = new_pair(15, true);
        if (pair.from && pair.to)
            rv = ws_deflate_pack(pair.from, &slice, 1, &frame);
        if (rv == SIO_OK)
            rv = unpack(pair.to, sio_buf_data(frame) + WS_FRAME_HEAD_MAX,
                        sio_buf_len(frame) - WS_FRAME_HEAD_MAX, 100, &out);
        assert_true(rv == SIO_OK || rv == SIO_ERR_NOMEM);
        if (rv == SIO_OK)
            assert_memory_equal(wbuf_str(&out).ptr, text, slice.len);
        wbuf_fini(&out);
        sio_buf_unref(frame);
        free_pair(&pair);
    }
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(answers_each_offer_with_what_it_will_do),
        cmocka_unit_test(declines_offers_that_are_not_well_formed),
        cmocka_unit_test(a_client_takes_only_answers_to_its_offer),
        cmocka_unit_test(what_a_client_offers_a_server_accepts),
        cmocka_unit_test(messages_come_back_as_they_were),
        cmocka_unit_test(takeover_remembers_former_messages),
        cmocka_unit_test(reads_the_examples_of_the_standard),
        cmocka_unit_test(broken_data_is_an_error),
        cmocka_unit_test(a_message_that_grows_too_large_takes_no_memory),
        cmocka_unit_test(running_out_of_memory_is_an_error),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
