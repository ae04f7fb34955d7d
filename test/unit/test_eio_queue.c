/*
 * What waits in a session: order, bound, replacement.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "alloc_fail.h"
#include "base/list.h"
#include "engineio/queue.h"

#define NO_LIMIT SIZE_MAX

static struct eio_queue queue;
static uint64_t n_dropped;

static int setup(void **state)
{
    (void)state;
    queue = (struct eio_queue){0};
    n_dropped = 0;
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    eio_queue_fini(&queue);
    return 0;
}

/* Pushes a one-character message and lets go of it. */
static int push(char c, uint64_t key, size_t max)
{
    struct sio_slice s = {NULL, (const uint8_t *)&c, 1};
    struct eio_part part = {true, &s, 1};
    struct eio_msg_options opts = {.replace_key = key};
    struct eio_msg *msg = eio_msg_new(&part, 1, &opts);
    int rv = eio_queue_push(&queue, msg, max, &n_dropped);

    eio_msg_unref(msg);
    return rv;
}

static char char_of(const struct eio_msg *msg)
{
    return (char)msg->slices[0].ptr[msg->slices[0].len - 1];
}

static char pop(void)
{
    uint32_t part;
    struct eio_msg *msg = eio_queue_front(&queue, &part);
    char c;

    if (!msg)
        return 0;
    c = char_of(msg);
    eio_queue_sent(&queue, msg->n_parts - part);
    return c;
}

static void assert_pops(const char *chars)
{
    for (; *chars; chars++)
        assert_int_equal(pop(), *chars);
    assert_true(eio_queue_empty(&queue));
    assert_int_equal(pop(), 0);
    assert_int_equal(queue.bytes, 0);
}

static void gives_messages_in_order(void **state)
{
    (void)state;
    assert_true(eio_queue_empty(&queue));
    for (char c = 'a'; c <= 'z'; c++)
        assert_int_equal(push(c, 0, NO_LIMIT), SIO_OK);
    assert_int_equal(pop(), 'a');
    assert_int_equal(pop(), 'b');
    for (char c = 'A'; c <= 'C'; c++)
        assert_int_equal(push(c, 0, NO_LIMIT), SIO_OK);
    assert_pops("cdefghijklmnopqrstuvwxyzABC");
}

static void a_newer_message_replaces_the_waiting_one_of_its_key(void **state)
{
    (void)state;
    push('a', 1, NO_LIMIT);
    push('x', 0, NO_LIMIT);
    push('b', 2, NO_LIMIT);
    push('c', 1, NO_LIMIT);
    push('y', 0, NO_LIMIT);
    push('d', 2, NO_LIMIT);
    assert_int_equal(n_dropped, 2);
    assert_pops("xcyd");
}

static void a_message_in_the_front_can_be_replaced_until_it_is_begun(void **state)
{
    static const struct sio_slice s = {NULL, (const uint8_t *)"p", 1};
    const struct eio_part parts[] = {{true, &s, 1}, {false, &s, 1}};
    const struct eio_msg_options opts = {.replace_key = 7};
    struct eio_msg *msg = eio_msg_new(parts, 2, &opts);
    uint32_t part;

    (void)state;
    eio_queue_push(&queue, msg, NO_LIMIT, &n_dropped);
    eio_queue_push(&queue, msg, NO_LIMIT, &n_dropped);
    assert_int_equal(n_dropped, 1);
    eio_queue_sent(&queue, 1); /* its text has gone: the attachment has to follow */
    eio_queue_push(&queue, msg, NO_LIMIT, &n_dropped);
    eio_queue_push(&queue, msg, NO_LIMIT, &n_dropped);
    assert_int_equal(n_dropped, 2);
    assert_ptr_equal(eio_queue_front(&queue, &part), msg);
    assert_int_equal(part, 1);
    eio_queue_sent(&queue, 1);
    assert_ptr_equal(eio_queue_front(&queue, &part), msg);
    assert_int_equal(part, 0);
    eio_queue_sent(&queue, 2);
    assert_true(eio_queue_empty(&queue));
    assert_int_equal(msg->refs, 1);
    eio_msg_unref(msg);
}

/* A client that never reads: the ring does not grow by what was replaced. */
static void endless_replacement_takes_no_memory(void **state)
{
    (void)state;
    push('x', 0, NO_LIMIT);
    for (int i = 0; i < 100000; i++)
        assert_int_equal(push((char)('a' + i % 4), 1 + (uint64_t)i % 4, NO_LIMIT),
                         SIO_OK);
    assert_true(queue.cap <= 32);
    assert_int_equal(n_dropped, 99996);
    assert_pops("xabcd");
}

static void bytes_are_bounded(void **state)
{
    size_t one;

    (void)state;
    push('a', 0, NO_LIMIT);
    one = queue.bytes;
    assert_true(one > 0);
    assert_int_equal(push('b', 0, 3 * one - 1), SIO_OK);
    assert_int_equal(push('c', 0, 3 * one - 1), SIO_ERR_FULL);
    assert_int_equal(queue.bytes, 2 * one);
    assert_int_equal(pop(), 'a');
    assert_int_equal(push('c', 0, 3 * one - 1), SIO_OK);
    assert_pops("bc");
}

static void a_message_always_fits_in_an_empty_queue(void **state)
{
    (void)state;
    assert_int_equal(push('a', 0, 1), SIO_OK);
    assert_int_equal(push('b', 0, 1), SIO_ERR_FULL);
    assert_pops("a");
}

static void replacing_makes_room_before_the_bound_is_asked(void **state)
{
    (void)state;
    push('a', 5, NO_LIMIT);
    push('b', 6, NO_LIMIT);
    assert_int_equal(push('c', 6, queue.bytes), SIO_OK);
    assert_pops("ac");
}

static void an_emptied_large_ring_is_given_back(void **state)
{
    (void)state;
    for (int i = 0; i < 1000; i++)
        push('a', 0, NO_LIMIT);
    while (pop())
        ;
    assert_null(queue.ring);
    push('b', 0, NO_LIMIT);
    assert_pops("b");
}

static void walks_without_taking(void **state)
{
    struct eio_msg *msg;
    uint32_t it = 0;
    uint32_t part;
    char seen[8] = "";
    size_t n = 0;

    (void)state;
    push('a', 1, NO_LIMIT);
    push('b', 2, NO_LIMIT);
    push('c', 0, NO_LIMIT);
    push('d', 2, NO_LIMIT);
    while ((msg = eio_queue_walk(&queue, &it, &part)))
        seen[n++] = char_of(msg);
    assert_string_equal(seen, "acd");
    assert_pops("acd");
}

static void references_are_given_back(void **state)
{
    struct eio_msg *msg = eio_msg_text("x", 1);

    (void)state;
    for (int i = 0; i < 20; i++)
        eio_queue_push(&queue, msg, NO_LIMIT, &n_dropped);
    assert_int_equal(msg->refs, 21);
    eio_queue_sent(&queue, 1);
    assert_int_equal(msg->refs, 20);
    eio_queue_fini(&queue);
    assert_int_equal(msg->refs, 1);
    eio_msg_unref(msg);
}

static void a_failing_allocation_changes_nothing(void **state)
{
    struct eio_msg *msg = eio_msg_text("x", 1);

    (void)state;
    for (int i = 0; i < 8; i++)
        eio_queue_push(&queue, msg, NO_LIMIT, &n_dropped);
    alloc_fail_at(1);
    assert_int_equal(eio_queue_push(&queue, msg, NO_LIMIT, &n_dropped), SIO_ERR_NOMEM);
    assert_int_equal(msg->refs, 9);
    eio_msg_unref(msg);
    assert_pops("xxxxxxxx");
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(gives_messages_in_order),
        TEST(a_newer_message_replaces_the_waiting_one_of_its_key),
        TEST(a_message_in_the_front_can_be_replaced_until_it_is_begun),
        TEST(endless_replacement_takes_no_memory),
        TEST(bytes_are_bounded),
        TEST(a_message_always_fits_in_an_empty_queue),
        TEST(replacing_makes_room_before_the_bound_is_asked),
        TEST(an_emptied_large_ring_is_given_back),
        TEST(walks_without_taking),
        TEST(references_are_given_back),
        TEST(a_failing_allocation_changes_nothing),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
