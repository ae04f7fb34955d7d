#include <config.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "alloc_fail.h"
#include "base/list.h"
#include "engineio/msg.h"
#include "socketio/history.h"

#define HOLD_MS 1000

static struct random_pool randoms;
static struct sio_history_pool pool;

/* One of its own, or in the pool that there is. */
static void open_another(struct sio_history *h, size_t max_packets)
{
    sio_history_init(h, &pool, max_packets, HOLD_MS, &randoms);
}

static void open_history(struct sio_history *h, size_t max_packets, size_t max_bytes)
{
    sio_history_pool_init(&pool, max_bytes);
    open_another(h, max_packets);
}

/* Adds an event of one letter for the rooms and all but those, given as letters. */
static void add(struct sio_history *h, uint64_t now_ms, char letter, const char *to,
                const char *except)
{
    struct sio_str rooms[8], out[8];
    struct sio_target target = {.rooms = rooms, .except = out};
    struct eio_msg *msg;

    for (; to[target.n_rooms]; target.n_rooms++)
        rooms[target.n_rooms] = (struct sio_str){&to[target.n_rooms], 1};
    for (; except[target.n_except]; target.n_except++)
        out[target.n_except] = (struct sio_str){&except[target.n_except], 1};
    alloc_fail_pause();
    msg = eio_msg_text(&letter, 1);
    alloc_fail_resume();
    assert_non_null(msg);
    sio_history_add(h, now_ms, &target, msg);
    eio_msg_unref(msg);
}

/* The letters of what somebody in these rooms was sent behind a number. */
static const char *missed(const struct sio_history *h, const char *rooms,
                          uint64_t number)
{
    static char out[64];
    struct map_node nodes[8];
    struct eio_msg *msg;
    struct map in;
    size_t n = 0;

    map_init(&in);
    for (size_t i = 0; rooms[i]; i++)
        assert_int_equal(map_add(&in, &nodes[i], (struct sio_str){&rooms[i], 1}),
                         SIO_OK);
    while ((msg = sio_history_next(h, &in, &number)) && n < sizeof(out) - 1) {
        struct sio_slice s[2];

        assert_int_equal(eio_msg_body(msg, 0, s), 1);
        out[n++] = (char)s[0].ptr[1]; /* behind the '4' */
    }
    out[n] = '\0';
    map_fini(&in);
    return out;
}

static void gives_what_somebody_was_sent_in_order(void **state)
{
    struct sio_history h;

    (void)state;
    open_history(&h, 100, 100000);
    add(&h, 0, 'a', "", "");
    add(&h, 0, 'b', "r", "");
    add(&h, 0, 'c', "rs", "");
    add(&h, 0, 'd', "", "r");
    add(&h, 0, 'e', "s", "t");
    add(&h, 0, 'f', "q", "");
    assert_string_equal(missed(&h, "", 0), "d");
    assert_string_equal(missed(&h, "r", 0), "bc");
    assert_string_equal(missed(&h, "s", 0), "cde");
    assert_string_equal(missed(&h, "st", 0), "cd");
    assert_string_equal(missed(&h, "rsq", 2), "ef");
    assert_string_equal(missed(&h, "rsq", 5), "");
    sio_history_fini(&h);
}

static bool knows(const struct sio_history *h, const char *tag, const char *digits)
{
    char text[64];
    uint64_t number;

    snprintf(text, sizeof(text), "%.*s%s", SIO_HISTORY_TAG_LEN, tag, digits);
    return sio_history_find(h, sio_str_from(text), &number);
}

static void finds_its_own_offsets_only(void **state)
{
    static const char *const bad[] = {"",
                                      "2",
                                      "00",
                                      "-1",
                                      "+1",
                                      " 1",
                                      "1 ",
                                      "1x",
                                      "18446744073709551615",
                                      "18446744073709551616",
                                      "99999999999999999999999999999"};
    char offset[SIO_HISTORY_OFFSET_MAX];
    struct sio_history h, other;
    uint64_t number;
    size_t len;

    (void)state;
    open_history(&h, 100, 100000);
    open_another(&other, 100);
    add(&h, 0, 'a', "", "");
    len = sio_history_offset(&h, offset);
    assert_false(sio_history_find(&h, (struct sio_str){offset, len}, &number));
    add(&h, 0, 'b', "", "");
    assert_true(sio_history_find(&h, (struct sio_str){offset, len}, &number));
    assert_int_equal(number, 1);
    assert_false(sio_history_find(&h, (struct sio_str){offset, len - 1}, &number));

    assert_true(knows(&h, h.tag, "0"));
    for (size_t i = 0; i < N_ELEMENTS(bad); i++)
        assert_false(knows(&h, h.tag, bad[i]));
    assert_false(knows(&h, other.tag, "0"));
    assert_false(knows(&h, "", "0"));
    sio_history_fini(&h);
    sio_history_fini(&other);
}

static void drops_the_oldest(void **state)
{
    struct sio_history h;

    (void)state;
    open_history(&h, 3, 100000);
    for (char c = 'a'; c <= 'k'; c++)
        add(&h, 0, c, "", "");
    assert_int_equal(h.n, 3);
    assert_false(sio_history_covers(&h, 6));
    assert_true(sio_history_covers(&h, 7)); /* itself dropped, nothing behind it */
    assert_string_equal(missed(&h, "", 7), "ijk");
    sio_history_fini(&h);

    /* By bytes; one that is too large takes all with it. */
    open_history(&h, 100, 2000);
    for (unsigned i = 0; i < 200; i++) {
        add(&h, 0, 'a', i % 2 ? "r" : "", "");
        assert_true(h.bytes <= 2000);
    }
    assert_true(h.n > 2 && h.n < 100);
    assert_true(sio_history_covers(&h, h.next - h.n - 1));
    assert_false(sio_history_covers(&h, h.next - h.n - 2));
    pool.max_bytes = 10;
    add(&h, 0, 'z', "", "");
    assert_int_equal(h.n, 0);
    assert_int_equal(h.bytes, 0);
    assert_true(sio_history_covers(&h, h.next - 1));
    assert_false(sio_history_covers(&h, h.next - 2));
    sio_history_fini(&h);
}

static void shares_a_pool(void **state)
{
    struct sio_history calm, loud[2];
    size_t one;

    (void)state;
    open_history(&calm, 1000, 100000);
    open_another(&loud[0], 1000);
    open_another(&loud[1], 1000);
    add(&calm, 0, 'a', "", "");
    one = calm.bytes;
    pool.max_bytes = 30 * one;
    for (unsigned i = 0; i < 100; i++)
        add(&loud[0], 0, 'a', "", "");
    assert_int_equal(loud[0].n, 29); /* what nobody else needs */
    for (unsigned i = 0; i < 100; i++) {
        add(&loud[i % 2], 0, 'a', "", "");
        assert_int_equal(calm.n, 1);
        assert_true(pool.bytes <= pool.max_bytes);
    }
    assert_in_range(loud[0].n, 10, 19);
    assert_in_range(loud[1].n, 10, 19);
    sio_history_clear(&loud[0]);
    for (unsigned i = 0; i < 100; i++)
        add(&calm, 0, 'a', "", "");
    assert_int_equal(calm.n + loud[1].n, 30);
    assert_in_range(calm.n, 15, 29);

    sio_history_fini(&calm);
    sio_history_fini(&loud[0]);
    sio_history_fini(&loud[1]);
    assert_int_equal(pool.bytes, 0);
    assert_int_equal(pool.n, 0);
    assert_true(list_empty(&pool.histories));
}

static void drops_what_is_old(void **state)
{
    struct sio_history h;

    (void)state;
    open_history(&h, 100, 100000);
    assert_true(sio_history_due(&h) == UINT64_MAX);
    add(&h, 50, 'a', "", "");
    add(&h, 60, 'b', "", "");
    assert_int_equal(sio_history_due(&h), 50 + HOLD_MS);
    sio_history_trim(&h, 49 + HOLD_MS);
    assert_int_equal(h.n, 2);
    sio_history_trim(&h, 50 + HOLD_MS);
    assert_int_equal(h.n, 1);
    assert_int_equal(sio_history_due(&h), 60 + HOLD_MS);
    add(&h, 5000, 'c', "", "");
    assert_int_equal(h.n, 1);
    assert_string_equal(missed(&h, "", 1), "c");
    sio_history_fini(&h);
}

static void holds_references_not_copies(void **state)
{
    struct sio_history h;
    struct eio_msg *msg = eio_msg_text("x", 1);

    (void)state;
    open_history(&h, 100, 100000);
    sio_history_add(&h, 0, NULL, msg);
    assert_int_equal(msg->refs, 2);
    sio_history_clear(&h);
    assert_int_equal(msg->refs, 1);
    assert_int_equal(h.bytes, 0);
    eio_msg_unref(msg);
    sio_history_fini(&h);
}

/* Whatever fails, nobody is given events with a gap. */
static void forgets_rather_than_leave_a_gap(void **state)
{
    static const char letters[] = "abcdefghijklmnopqrst";

    (void)state;
    alloc_fail_each(n)
    {
        struct sio_history h;
        uint64_t from;

        open_history(&h, 100, 100000);
        for (const char *c = letters; *c; c++)
            add(&h, 0, *c, *c % 2 ? "r" : "", "");
        alloc_fail_pause();
        assert_int_equal(h.next, strlen(letters));
        from = h.n < h.next ? h.next - h.n - 1 : 0;
        assert_string_equal(missed(&h, "r", from), letters + from + 1);
        alloc_fail_resume();
        sio_history_fini(&h);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(gives_what_somebody_was_sent_in_order),
        cmocka_unit_test(finds_its_own_offsets_only),
        cmocka_unit_test(drops_the_oldest),
        cmocka_unit_test(shares_a_pool),
        cmocka_unit_test(drops_what_is_old),
        cmocka_unit_test(holds_references_not_copies),
        cmocka_unit_test(forgets_rather_than_leave_a_gap),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
