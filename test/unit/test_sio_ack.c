#include <config.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "socketio/ack.h"

/* One who waits, and what he was told. */
struct asker {
    struct sio_acks *acks;
    struct net_loop *loop;
    int n_told;
    int status;
    bool asks_again;
};

static void on_answer(int status, struct sio_event *e, void *user);

static uint64_t ask(struct asker *a, uint32_t timeout_ms)
{
    uint64_t id;

    assert_int_equal(sio_acks_add(a->acks, a->loop, timeout_ms, on_answer, a, &id),
                     SIO_OK);
    return id;
}

static void on_answer(int status, struct sio_event *e, void *user)
{
    struct asker *a = user;

    (void)e;
    a->n_told++;
    a->status = status;
    if (a->asks_again)
        ask(a, 0);
}

static void tells_each_once_in_any_order(void **state)
{
    struct sio_acks acks;
    struct asker a[3];
    uint64_t id[3];

    (void)state;
    sio_acks_init(&acks);
    for (int i = 0; i < 3; i++) {
        a[i] = (struct asker){.acks = &acks, .status = 1};
        id[i] = ask(&a[i], 0);
    }
    assert_true(sio_acks_answer(&acks, id[2], NULL));
    assert_true(sio_acks_answer(&acks, id[0], NULL));
    assert_false(sio_acks_answer(&acks, id[0], NULL));
    assert_false(sio_acks_answer(&acks, id[2] + 1, NULL));
    assert_false(sio_acks_answer(&acks, UINT64_MAX, NULL));
    sio_acks_end(&acks);
    for (int i = 0; i < 3; i++)
        assert_int_equal(a[i].n_told, 1);
    assert_int_equal(a[0].status, SIO_OK);
    assert_int_equal(a[1].status, SIO_ERR_CLOSED);
    assert_int_equal(acks.n, 0);
}

static void times_out_who_waits_too_long(void **state)
{
    struct sio_acks acks;
    struct asker a = {.acks = &acks};

    (void)state;
    a.loop = net_loop_new(NULL, NULL);
    sio_acks_init(&acks);
    ask(&a, 1);
    while (a.n_told == 0)
        net_loop_run_once(a.loop, -1);
    assert_int_equal(a.status, SIO_ERR_TIMEOUT);
    sio_acks_end(&acks);
    assert_int_equal(a.n_told, 1);
    net_loop_free(a.loop);
}

static void an_end_does_not_touch_what_its_callbacks_ask(void **state)
{
    struct sio_acks acks;
    struct asker a = {.acks = &acks, .asks_again = true};

    (void)state;
    sio_acks_init(&acks);
    ask(&a, 0);
    ask(&a, 0);
    sio_acks_end(&acks);
    assert_int_equal(a.n_told, 2);
    assert_int_equal(acks.n, 2);
    a.asks_again = false;
    sio_acks_end(&acks);
    assert_int_equal(a.n_told, 4);
    assert_int_equal(acks.n, 0);
}

static void forgets_what_was_not_sent(void **state)
{
    struct sio_acks acks;
    struct asker a = {.acks = &acks};

    (void)state;
    sio_acks_init(&acks);
    assert_true(sio_acks_drop(&acks, ask(&a, 0)));
    assert_false(sio_acks_drop(&acks, 77));
    sio_acks_end(&acks);
    assert_int_equal(a.n_told, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tells_each_once_in_any_order),
        cmocka_unit_test(times_out_who_waits_too_long),
        cmocka_unit_test(an_end_does_not_touch_what_its_callbacks_ask),
        cmocka_unit_test(forgets_what_was_not_sent),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
