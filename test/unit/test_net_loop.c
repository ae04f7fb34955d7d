#include <config.h>

#include <poll.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <unistd.h>

#include <cmocka.h>

#include "alloc_fail.h"
#include "base/clock.h"
#include "net/loop.h"

#define N_TIMERS 1000

static struct net_loop *new_loop(void)
{
    struct net_loop *loop = net_loop_new(NULL, NULL);

    assert_non_null(loop);
    return loop;
}

static int setup(void **state)
{
    *state = new_loop();
    return 0;
}

static int teardown(void **state)
{
    net_loop_free(*state);
    return 0;
}

/* Timers. */

struct ring {
    struct net_timer timer;
    uint64_t asked_ns; /* when it may ring at the earliest */
    unsigned n;
};

static uint64_t last_due;
static unsigned n_rung;

static void on_ring(struct net_timer *timer, void *user)
{
    struct ring *r = user;

    assert_false(net_timer_running(timer));
    assert_true(net_loop_now_ns(timer->loop) >= r->asked_ns);
    assert_true(timer->due_ns >= last_due);
    last_due = timer->due_ns;
    r->n++;
    n_rung++;
}

static void timers_ring_once_in_order_and_never_early(void **state)
{
    static struct ring rings[N_TIMERS];

    last_due = 0;
    n_rung = 0;
    for (unsigned i = 0; i < N_TIMERS; i++) {
        uint64_t ms = (i * 7919) % 23;

        rings[i].n = 0;
        net_timer_init(&rings[i].timer, *state, on_ring, &rings[i]);
        rings[i].asked_ns = clock_mono_ns() + ms * 1000000;
        assert_int_equal(net_timer_start(&rings[i].timer, ms), SIO_OK);
    }
    for (unsigned i = 0; i < N_TIMERS; i += 3)
        net_timer_stop(&rings[i].timer);
    while (n_rung < N_TIMERS - (N_TIMERS + 2) / 3)
        assert_int_equal(net_loop_run_once(*state, -1), SIO_OK);
    for (unsigned i = 0; i < N_TIMERS; i++)
        assert_int_equal(rings[i].n, i % 3 ? 1 : 0);
}

static void a_restarted_timer_rings_at_its_last_time(void **state)
{
    struct ring a = {.n = 0}, b = {.n = 0};

    last_due = 0;
    net_timer_init(&a.timer, *state, on_ring, &a);
    net_timer_init(&b.timer, *state, on_ring, &b);
    net_timer_start(&a.timer, 1);
    net_timer_start(&b.timer, 5);
    net_timer_start(&a.timer, 10);
    while (!a.n)
        net_loop_run_once(*state, -1);
    assert_int_equal(b.n, 1);
    net_timer_stop(&a.timer); /* harmless */
}

static void on_ring_again(struct net_timer *timer, void *user)
{
    unsigned *n = user;

    ++*n;
    net_timer_start(timer, 0);
}

static void a_timer_without_delay_waits_for_the_next_turn(void **state)
{
    struct net_timer timer, others[3];
    unsigned n = 0;

    for (size_t i = 0; i < N_ELEMENTS(others); i++) {
        net_timer_init(&others[i], *state, on_ring_again, NULL);
        net_timer_start(&others[i], 1000000);
    }
    net_timer_init(&timer, *state, on_ring_again, &n);
    net_timer_start(&timer, 0);
    net_loop_run_once(*state, -1);
    assert_int_equal(n, 1);
    net_loop_run_once(*state, -1);
    assert_int_equal(n, 2);
    net_timer_stop(&timer);
    for (size_t i = 0; i < N_ELEMENTS(others); i++)
        net_timer_stop(&others[i]);
}

static void on_ring_stop_other(struct net_timer *timer, void *user)
{
    (void)timer;
    net_timer_stop(user);
}

static void a_timer_may_stop_one_that_is_due(void **state)
{
    struct ring other = {.n = 0};
    struct net_timer first;

    net_timer_init(&first, *state, on_ring_stop_other, &other.timer);
    net_timer_init(&other.timer, *state, on_ring, &other);
    net_timer_start(&first, 0);
    net_timer_start(&other.timer, 0);
    net_loop_run_once(*state, 0);
    net_loop_run_once(*state, 0);
    assert_int_equal(other.n, 0);
}

static void an_endless_delay_does_not_overflow(void **state)
{
    struct ring r = {.n = 0};

    net_timer_init(&r.timer, *state, on_ring, &r);
    assert_int_equal(net_timer_start(&r.timer, UINT64_MAX), SIO_OK);
    net_loop_run_once(*state, 0);
    assert_int_equal(r.n, 0);
    assert_true(net_timer_running(&r.timer));
    net_timer_stop(&r.timer);
}

/* Tasks and posts. */

struct step {
    struct net_task task;
    struct net_loop *loop;
    struct step *next;
    int *counter;
    int order;
};

static void on_step(struct net_task *task)
{
    struct step *s = container_of(task, struct step, task);

    s->order = ++*s->counter;
    if (s->next)
        net_loop_defer(s->loop, &s->next->task);
}

static void tasks_run_in_order_in_one_turn_and_reap_comes_last(void **state)
{
    int counter = 0;
    struct step steps[4];

    for (int i = 0; i < 4; i++) {
        steps[i] = (struct step){.loop = *state, .counter = &counter};
        steps[i].task.run = on_step;
        list_init(&steps[i].task.link);
    }
    steps[0].next = &steps[2]; /* a task queued by a task runs in the same turn */
    net_loop_reap(*state, &steps[3].task);
    net_loop_defer(*state, &steps[0].task);
    net_loop_defer(*state, &steps[1].task);
    net_loop_defer(*state, &steps[0].task); /* stays where it is */
    net_loop_run_once(*state, -1);
    for (int i = 0; i < 4; i++)
        assert_int_equal(steps[i].order, i + 1);
}

#define N_POSTS 10000

struct posted {
    struct net_loop *loop;
    unsigned n;
    unsigned last;
    bool in_order;
};

struct post {
    struct posted *to;
    unsigned number;
};

static void on_post(void *arg)
{
    struct post *p = arg;

    if (p->number != p->to->last + 1)
        p->to->in_order = false;
    p->to->last = p->number;
    p->to->n++;
    free(p);
}

static void *post_many(void *arg)
{
    struct posted *to = arg;

    for (unsigned i = 1; i <= N_POSTS; i++) {
        struct post *p = malloc(sizeof(*p));

        if (!p)
            abort();
        *p = (struct post){.to = to, .number = i};
        if (net_loop_post(to->loop, on_post, p) < 0)
            abort();
    }
    return NULL;
}

static void posts_from_threads_arrive_in_order(void **state)
{
    struct posted to[2];
    pthread_t threads[2];

    for (int i = 0; i < 2; i++) {
        to[i] = (struct posted){.loop = *state, .in_order = true};
        assert_int_equal(pthread_create(&threads[i], NULL, post_many, &to[i]), 0);
    }
    while (to[0].n < N_POSTS || to[1].n < N_POSTS)
        net_loop_run_once(*state, -1);
    for (int i = 0; i < 2; i++) {
        pthread_join(threads[i], NULL);
        assert_true(to[i].in_order);
    }
}

static void what_is_posted_runs_before_the_loop_is_freed(void **state)
{
    struct net_loop *loop = new_loop();
    struct posted to = {.loop = loop, .in_order = true};

    (void)state;
    post_many(&to);
    net_loop_free(loop);
    assert_int_equal(to.n, N_POSTS);
}

/* Descriptors. */

struct pair {
    struct net_io io[2];
    struct net_loop *loop;
    int n_calls;
};

static struct pair *pair_of_test;

static void on_first_removes_both(struct net_io *io, uint32_t events)
{
    struct pair *p = pair_of_test;

    (void)io;
    (void)events;
    p->n_calls++;
    net_io_remove(p->loop, &p->io[0]);
    net_io_remove(p->loop, &p->io[1]);
}

static void a_removed_io_gets_no_event_of_the_same_turn(void **state)
{
    struct pair p = {.loop = *state};
    int fds[2][2];

    pair_of_test = &p;
    for (int i = 0; i < 2; i++) {
        assert_int_equal(pipe(fds[i]), 0);
        assert_int_equal(write(fds[i][1], "x", 1), 1);
        p.io[i].fd = fds[i][0];
        p.io[i].on_events = on_first_removes_both;
        assert_int_equal(net_io_add(*state, &p.io[i], EPOLLIN), SIO_OK);
    }
    net_loop_run_once(*state, -1);
    net_loop_run_once(*state, 0);
    assert_int_equal(p.n_calls, 1);
    for (int i = 0; i < 2; i++) {
        close(fds[i][0]);
        close(fds[i][1]);
    }
}

/* Signals. */

static void on_signal(int signo, void *user)
{
    *(int *)user = signo;
}

static void signals_are_told_on_the_loop(void **state)
{
    static const int signals[] = {SIGUSR1, SIGUSR2};
    int got = 0;

    assert_int_equal(net_loop_signals(*state, signals, 2, on_signal, &got), SIO_OK);
    assert_int_equal(net_loop_signals(*state, signals, 2, on_signal, &got),
                     SIO_ERR_EXISTS);
    raise(SIGUSR2);
    net_loop_run_once(*state, -1);
    assert_int_equal(got, SIGUSR2);
}

/* Inside another loop. */

static unsigned n_pipe_reads;

static void on_pipe(struct net_io *io, uint32_t events)
{
    char byte;

    assert_true(events & EPOLLIN);
    assert_int_equal(read(io->fd, &byte, 1), 1);
    n_pipe_reads++;
}

static bool readable(int fd, int timeout_ms)
{
    struct pollfd p = {.fd = fd, .events = POLLIN};

    return poll(&p, 1, timeout_ms) == 1;
}

static void the_fd_tells_a_foreign_loop_when_to_run(void **state)
{
    struct ring r = {.n = 0};
    struct posted to = {.loop = *state};
    int fd = net_loop_fd(*state);

    assert_true(fd >= 0);
    assert_int_equal(net_loop_fd(*state), fd);
    net_loop_run_once(*state, 0);
    assert_false(readable(fd, 0));

    last_due = 0;
    net_timer_init(&r.timer, *state, on_ring, &r);
    net_timer_start(&r.timer, 5);
    while (!r.n) {
        assert_true(readable(fd, 10000));
        net_loop_run_once(*state, 0);
    }
    net_loop_run_once(*state, 0);
    assert_false(readable(fd, 0));

    post_many(&to);
    assert_true(readable(fd, 0));
    net_loop_run_once(*state, 0);
    assert_int_equal(to.n, N_POSTS);
    assert_false(readable(fd, 0));
}

/* Turns as a foreign loop makes them: only while the fd is readable. */
static unsigned turns_until_quiet(struct net_loop *loop)
{
    unsigned n = 0;

    while (readable(net_loop_fd(loop), 0)) {
        assert_true(++n < 100);
        assert_int_equal(net_loop_run_once(loop, 0), SIO_OK);
    }
    return n;
}

static void the_fd_follows_timers_that_change_between_turns(void **state)
{
    struct ring far = {.n = 0}, near = {.n = 0};
    int fd = net_loop_fd(*state);

    last_due = 0;
    net_timer_init(&far.timer, *state, on_ring, &far);
    net_timer_init(&near.timer, *state, on_ring, &near);
    net_timer_start(&far.timer, 60000);
    assert_int_equal(turns_until_quiet(*state), 0);

    /* An earlier one, and an old one that moves to the front. */
    net_timer_start(&near.timer, 1);
    assert_true(readable(fd, 10000));
    while (!near.n)
        turns_until_quiet(*state);
    net_timer_start(&far.timer, 1);
    assert_true(readable(fd, 10000));
    while (!far.n)
        turns_until_quiet(*state);

    /* One that was stopped costs a turn at most. */
    net_timer_start(&near.timer, 0);
    net_timer_stop(&near.timer);
    assert_true(turns_until_quiet(*state) <= 1);
    assert_int_equal(near.n, 1);
    assert_false(readable(fd, 0));
}

static void the_fd_stays_readable_while_a_timer_starts_itself_again(void **state)
{
    struct net_timer timer;
    unsigned n = 0;

    net_loop_fd(*state);
    net_timer_init(&timer, *state, on_ring_again, &n);
    net_timer_start(&timer, 0);
    for (unsigned i = 1; i <= 5; i++) {
        assert_true(readable(net_loop_fd(*state), 10000));
        net_loop_run_once(*state, 0);
        assert_int_equal(n, i);
    }
    net_timer_stop(&timer);
    assert_true(turns_until_quiet(*state) <= 1);
}

struct note {
    struct net_task task;
    unsigned n;
};

static void on_note(struct net_task *task)
{
    container_of(task, struct note, task)->n++;
}

static void the_fd_tells_of_work_that_was_deferred_between_turns(void **state)
{
    struct note deferred = {.task.run = on_note}, reaped = {.task.run = on_note};

    net_loop_fd(*state);
    list_init(&deferred.task.link);
    list_init(&reaped.task.link);
    net_loop_defer(*state, &deferred.task);
    assert_int_equal(turns_until_quiet(*state), 1);
    assert_int_equal(deferred.n, 1);
    net_loop_reap(*state, &reaped.task);
    assert_int_equal(turns_until_quiet(*state), 1);
    assert_int_equal(reaped.n, 1);
}

/* More than a turn takes: what is left is not forgotten. */
static void the_fd_stays_readable_until_every_descriptor_had_its_turn(void **state)
{
    enum { N_PIPES = 300 };
    static struct pipe_io {
        struct net_io io;
        int fds[2];
    } pipes[N_PIPES];
    unsigned turns = 0;

    net_loop_fd(*state);
    n_pipe_reads = 0;
    for (unsigned i = 0; i < N_PIPES; i++) {
        assert_int_equal(pipe(pipes[i].fds), 0);
        pipes[i].io = (struct net_io){.fd = pipes[i].fds[0], .on_events = on_pipe};
        assert_int_equal(net_io_add(*state, &pipes[i].io, EPOLLIN), SIO_OK);
        assert_int_equal(write(pipes[i].fds[1], "x", 1), 1);
    }
    turns = turns_until_quiet(*state);
    assert_int_equal(n_pipe_reads, N_PIPES);
    assert_true(turns <= 3);
    for (unsigned i = 0; i < N_PIPES; i++) {
        net_io_remove(*state, &pipes[i].io);
        close(pipes[i].fds[0]);
        close(pipes[i].fds[1]);
    }
}

static void ask_for_fd(struct net_timer *timer, void *user)
{
    *(int *)user = net_loop_fd(timer->loop);
}

static void the_fd_may_be_asked_for_in_a_callback(void **state)
{
    struct ring later = {.n = 0};
    struct net_timer timer;
    int fd = -1;

    last_due = 0;
    net_timer_init(&timer, *state, ask_for_fd, &fd);
    net_timer_init(&later.timer, *state, on_ring, &later);
    net_timer_start(&timer, 0);
    net_timer_start(&later.timer, 3);
    while (fd < 0)
        net_loop_run_once(*state, 10000);
    while (!later.n) {
        assert_true(readable(fd, 10000));
        net_loop_run_once(*state, 0);
    }
    assert_int_equal(turns_until_quiet(*state), 0);
}

static void out_of_memory_is_returned(void **state)
{
    (void)state;
    alloc_fail_each(n)
    {
        struct net_loop *loop = net_loop_new(NULL, NULL);
        struct ring r = {.n = 0};

        if (!loop)
            continue;
        net_timer_init(&r.timer, loop, on_ring, &r);
        last_due = 0;
        if (net_timer_start(&r.timer, 0) == SIO_OK)
            net_loop_run_once(loop, -1);
        else
            assert_false(net_timer_running(&r.timer));
        net_loop_free(loop);
    }
}

static void on_stop(struct net_timer *timer, void *user)
{
    (void)user;
    net_loop_stop(timer->loop);
}

static void run_returns_after_stop(void **state)
{
    struct net_timer timer;

    net_timer_init(&timer, *state, on_stop, NULL);
    net_timer_start(&timer, 1);
    assert_int_equal(net_loop_run(*state), SIO_OK);
    net_timer_start(&timer, 1);
    assert_int_equal(net_loop_run(*state), SIO_OK);
}

static void the_date_is_that_of_the_clock(void **state)
{
    int64_t before = clock_wall_us() / 1000000;
    int64_t got = net_loop_wall_s(*state);
    int64_t parsed = clock_parse_http(net_loop_http_date(*state), 29);

    assert_true(got >= before && got <= clock_wall_us() / 1000000);
    assert_true(parsed >= got);
}

#define WITH_LOOP(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_LOOP(timers_ring_once_in_order_and_never_early),
        WITH_LOOP(a_restarted_timer_rings_at_its_last_time),
        WITH_LOOP(a_timer_without_delay_waits_for_the_next_turn),
        WITH_LOOP(a_timer_may_stop_one_that_is_due),
        WITH_LOOP(an_endless_delay_does_not_overflow),
        WITH_LOOP(tasks_run_in_order_in_one_turn_and_reap_comes_last),
        WITH_LOOP(posts_from_threads_arrive_in_order),
        cmocka_unit_test(what_is_posted_runs_before_the_loop_is_freed),
        WITH_LOOP(a_removed_io_gets_no_event_of_the_same_turn),
        WITH_LOOP(signals_are_told_on_the_loop),
        WITH_LOOP(the_fd_tells_a_foreign_loop_when_to_run),
        WITH_LOOP(the_fd_follows_timers_that_change_between_turns),
        WITH_LOOP(the_fd_stays_readable_while_a_timer_starts_itself_again),
        WITH_LOOP(the_fd_tells_of_work_that_was_deferred_between_turns),
        WITH_LOOP(the_fd_stays_readable_until_every_descriptor_had_its_turn),
        WITH_LOOP(the_fd_may_be_asked_for_in_a_callback),
        WITH_LOOP(run_returns_after_stop),
        WITH_LOOP(the_date_is_that_of_the_clock),
        cmocka_unit_test(out_of_memory_is_returned),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
