#include <config.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <pthread.h>

#include "agent/logins.h"
#include "base/clock.h"

#define MINUTE UINT64_C(60000)

struct fixture {
    struct agent_logins *logins;
    atomic_bool cancel;
    struct agent_capture capture;
};

static void set_up(struct fixture *f)
{
    memset(f, 0, sizeof(*f));
    f->logins = agent_logins_new();
    assert_non_null(f->logins);
    f->capture = (struct agent_capture){
        .target = {.host = "192.0.2.7", .port = 80, .user = "admin", .password = "x"},
        .deadline_ns = clock_mono_ns() + 60 * 1000 * UINT64_C(1000000),
        .cancel = &f->cancel,
    };
}

static uint64_t ask(struct fixture *f)
{
    return agent_logins_ask(f->logins, &f->capture);
}

static void tell(struct fixture *f, enum agent_outcome outcome)
{
    agent_logins_tell(f->logins, &f->capture.target, outcome);
}

static void pauses_grow_to_an_hour(void **state)
{
    (void)state;
    assert_int_equal(agent_logins_pause_ms(1), 10 * MINUTE);
    assert_int_equal(agent_logins_pause_ms(2), 20 * MINUTE);
    assert_int_equal(agent_logins_pause_ms(3), 40 * MINUTE);
    assert_int_equal(agent_logins_pause_ms(4), 60 * MINUTE);
    assert_int_equal(agent_logins_pause_ms(UINT32_MAX), 60 * MINUTE);
}

static void a_refusal_holds_for_all_cameras_of_that_login(void **state)
{
    struct fixture f;

    (void)state;
    set_up(&f);
    assert_int_equal(ask(&f), 0);
    tell(&f, AGENT_REFUSED);
    assert_in_range(ask(&f), 9 * MINUTE, 10 * MINUTE);
    f.capture.target.password = "y";
    assert_int_equal(ask(&f), 0);
    f.capture.target.password = "x";
    f.capture.target.port = 554;
    assert_int_equal(ask(&f), 0);
    agent_logins_free(f.logins);
}

static void a_proven_login_is_not_lost_by_one_refusal(void **state)
{
    struct fixture f;

    (void)state;
    set_up(&f);
    assert_int_equal(ask(&f), 0);
    tell(&f, AGENT_PICTURE);
    assert_int_equal(ask(&f), 0);
    tell(&f, AGENT_REFUSED);
    assert_int_equal(ask(&f), 0);
    tell(&f, AGENT_REFUSED);
    assert_true(ask(&f) > 0);
    agent_logins_free(f.logins);
}

static void what_says_nothing_of_the_login_leaves_it_unproven(void **state)
{
    struct fixture f;

    (void)state;
    set_up(&f);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(ask(&f), 0);
        tell(&f, i == 0 ? AGENT_NO_PICTURE : AGENT_TIMEOUT);
    }
    agent_logins_free(f.logins);
}

struct asker {
    struct fixture *f;
    pthread_t thread;
    uint64_t answer;
};

static void *ask_in_thread(void *arg)
{
    struct asker *a = arg;

    a->answer = ask(a->f);
    if (a->answer == 0)
        tell(a->f, AGENT_REFUSED);
    return NULL;
}

/* The first refusal is the answer for all that ask meanwhile. */
static void an_unproven_login_is_tried_by_one_thread_only(void **state)
{
    struct asker askers[16];
    struct fixture f;
    unsigned n_tried = 0;

    (void)state;
    set_up(&f);
    for (size_t i = 0; i < 16; i++) {
        askers[i].f = &f;
        assert_int_equal(
            pthread_create(&askers[i].thread, NULL, ask_in_thread, &askers[i]), 0);
    }
    for (size_t i = 0; i < 16; i++) {
        pthread_join(askers[i].thread, NULL);
        n_tried += askers[i].answer == 0;
    }
    assert_int_equal(n_tried, 1);
    agent_logins_free(f.logins);
}

static void the_end_of_the_agent_ends_the_wait(void **state)
{
    struct fixture f;

    (void)state;
    set_up(&f);
    assert_int_equal(ask(&f), 0); /* and nothing is told */
    atomic_store(&f.cancel, true);
    assert_int_equal(ask(&f), 0);
    agent_logins_free(f.logins);
}

static void many_logins_are_forgotten_again(void **state)
{
    struct fixture f;
    char host[32];

    (void)state;
    set_up(&f);
    f.capture.target.host = host;
    for (int i = 0; i < 5000; i++) {
        snprintf(host, sizeof(host), "h%d.example.test", i);
        assert_int_equal(ask(&f), 0);
        tell(&f, AGENT_PICTURE);
    }
    agent_logins_free(f.logins);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(pauses_grow_to_an_hour),
        cmocka_unit_test(a_refusal_holds_for_all_cameras_of_that_login),
        cmocka_unit_test(a_proven_login_is_not_lost_by_one_refusal),
        cmocka_unit_test(what_says_nothing_of_the_login_leaves_it_unproven),
        cmocka_unit_test(an_unproven_login_is_tried_by_one_thread_only),
        cmocka_unit_test(the_end_of_the_agent_ends_the_wait),
        cmocka_unit_test(many_logins_are_forgotten_again),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
