/*
 * loop.c - the turn: wait, timers, events, tasks, flush, reap
 */
#include <config.h>

#include "net/loop_impl.h"

#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <sys/signalfd.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "base/mem.h"
#include "net/conn_impl.h"

#define NS_PER_S      UINT64_C(1000000000)
#define NS_PER_MS     UINT64_C(1000000)
#define DATE_EVERY_NS (NS_PER_S / 4)

/* Descriptors. */

static int control(struct net_loop *loop, int op, struct net_io *io, uint32_t events)
{
    struct epoll_event ev = {.events = events, .data.ptr = io};

    if (epoll_ctl(loop->epoll_fd, op, io->fd, &ev) < 0)
        return errno == ENOMEM || errno == ENOSPC ? SIO_ERR_NOMEM : SIO_ERR_IO;
    io->events = events;
    return SIO_OK;
}

int net_io_add(struct net_loop *loop, struct net_io *io, uint32_t events)
{
    return control(loop, EPOLL_CTL_ADD, io, events);
}

int net_io_change(struct net_loop *loop, struct net_io *io, uint32_t events)
{
    return io->events == events ? SIO_OK : control(loop, EPOLL_CTL_MOD, io, events);
}

void loop_io_forget(struct net_loop *loop, struct net_io *io)
{
    for (int i = loop->i_event + 1; i < loop->n_events; i++)
        if (loop->events[i].data.ptr == io)
            loop->events[i].data.ptr = NULL;
}

void net_io_remove(struct net_loop *loop, struct net_io *io)
{
    (void)control(loop, EPOLL_CTL_DEL, io, 0);
    loop_io_forget(loop, io);
}

/* Tasks. */

static void queue_task(struct net_loop *loop, struct list *queue, struct net_task *task)
{
    if (list_linked(&task->link))
        return;
    list_append(queue, &task->link);
    loop_changed(loop);
}

void net_loop_defer(struct net_loop *loop, struct net_task *task)
{
    queue_task(loop, &loop->tasks, task);
}

void net_loop_reap(struct net_loop *loop, struct net_task *task)
{
    queue_task(loop, &loop->reap, task);
}

void loop_ready(struct net_loop *loop, struct net_task *task)
{
    queue_task(loop, &loop->ready, task);
}

void loop_flush(struct net_loop *loop, struct net_task *task)
{
    queue_task(loop, &loop->flush, task);
}

static void run_tasks(struct list *queue)
{
    while (!list_empty(queue)) {
        struct net_task *task = container_of(queue->next, struct net_task, link);

        list_remove(&task->link);
        task->run(task);
    }
}

/* Work from other threads. */

void loop_post(struct net_loop *loop, struct net_post *post)
{
    static const uint64_t one = 1;
    ssize_t n = 0;
    bool first;

    post->next = NULL;
    pthread_mutex_lock(&loop->lock);
    first = !loop->posts;
    *loop->posts_end = post;
    loop->posts_end = &post->next;
    /* Under the lock: the loop may be freed as soon as it has run what was posted. */
    if (first)
        n = write(loop->wake.fd, &one, sizeof(one));
    (void)n; /* fails only at 2^64 - 1 */
    pthread_mutex_unlock(&loop->lock);
}

int net_loop_post(struct net_loop *loop, void (*fn)(void *arg), void *arg)
{
    struct net_post *post = mem_new(struct net_post);

    if (!post)
        return SIO_ERR_NOMEM;
    post->fn = fn;
    post->arg = arg;
    post->allocated = true;
    loop_post(loop, post);
    return SIO_OK;
}

static void run_posts(struct net_loop *loop)
{
    struct net_post *post;

    pthread_mutex_lock(&loop->lock);
    post = loop->posts;
    loop->posts = NULL;
    loop->posts_end = &loop->posts;
    pthread_mutex_unlock(&loop->lock);

    while (post) {
        struct net_post *next = post->next;
        void (*fn)(void *arg) = post->fn;
        void *arg = post->arg;

        if (post->allocated)
            mem_free(post);
        fn(arg);
        post = next;
    }
}

static void on_wake(struct net_io *io, uint32_t events)
{
    struct net_loop *loop = container_of(io, struct net_loop, wake);
    uint64_t n;

    (void)events;
    if (read(io->fd, &n, sizeof(n)) == (ssize_t)sizeof(n))
        run_posts(loop);
}

/* Signals. */

static void on_signalfd(struct net_io *io, uint32_t events)
{
    struct net_loop *loop = container_of(io, struct net_loop, signals);
    struct signalfd_siginfo si;

    (void)events;
    if (read(io->fd, &si, sizeof(si)) == (ssize_t)sizeof(si))
        loop->on_signal((int)si.ssi_signo, loop->signal_user);
}

int net_loop_signals(struct net_loop *loop, const int *signals, size_t n,
                     void (*cb)(int signo, void *user), void *user)
{
    sigset_t set;
    int rv;

    if (loop->signals.fd >= 0)
        return SIO_ERR_EXISTS;
    sigemptyset(&set);
    for (size_t i = 0; i < n; i++)
        sigaddset(&set, signals[i]);
    if (pthread_sigmask(SIG_BLOCK, &set, NULL) != 0)
        return SIO_ERR_IO;
    loop->signals.fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
    if (loop->signals.fd < 0)
        return SIO_ERR_IO;
    loop->on_signal = cb;
    loop->signal_user = user;
    loop->signals.on_events = on_signalfd;
    rv = net_io_add(loop, &loop->signals, EPOLLIN);
    if (rv < 0) {
        close(loop->signals.fd);
        loop->signals.fd = -1;
    }
    return rv;
}

/* The turn. */

/* True if the next turn has something to do without any event. */
static bool has_work(const struct net_loop *loop)
{
    return !list_empty(&loop->ready) || !list_empty(&loop->tasks) ||
           !list_empty(&loop->flush) || !list_empty(&loop->reap);
}

static int wait_ms(const struct net_loop *loop, int timeout_ms)
{
    uint64_t due = loop_timers_next(loop);
    uint64_t now, ms;

    if (timeout_ms == 0 || has_work(loop))
        return 0;
    if (due == UINT64_MAX)
        return timeout_ms;
    now = clock_mono_ns();
    if (due <= now)
        return 0;
    ms = (due - now + NS_PER_MS - 1) / NS_PER_MS; /* rounded up: never early */
    if (timeout_ms > 0 && (uint64_t)timeout_ms < ms)
        return timeout_ms;
    return ms > INT_MAX ? INT_MAX : (int)ms;
}

static void handle_events(struct net_loop *loop)
{
    for (loop->i_event = 0; loop->i_event < loop->n_events; loop->i_event++) {
        const struct epoll_event *ev = &loop->events[loop->i_event];
        struct net_io *io = ev->data.ptr;

        if (io)
            io->on_events(io, ev->events);
    }
    loop->n_events = 0;
}

static void handle_ready(struct net_loop *loop)
{
    struct list now;

    list_init(&now);
    list_splice(&now, &loop->ready);
    run_tasks(&now);
}

/* What the end of a turn does; handlers of a lost connection may ask for more of it. */
static void finish_turn(struct net_loop *loop)
{
    do {
        run_tasks(&loop->tasks);
        run_tasks(&loop->flush);
    } while (!list_empty(&loop->tasks));
    run_tasks(&loop->reap);
}

/* Sets the alarm to when the loop has to run next. */
static void arm(struct net_loop *loop)
{
    uint64_t due = has_work(loop) ? 1 : loop_timers_next(loop);
    struct itimerspec when = {0};

    if (due == UINT64_MAX)
        due = 0;
    if (due == loop->alarm_ns)
        return;
    when.it_value.tv_sec = (time_t)(due / NS_PER_S);
    when.it_value.tv_nsec = (long)(due % NS_PER_S);
    (void)timerfd_settime(loop->alarm.fd, TFD_TIMER_ABSTIME, &when, NULL);
    loop->alarm_ns = due;
}

void loop_changed(struct net_loop *loop)
{
    if (loop->alarm.fd >= 0 && !loop->in_turn)
        arm(loop);
}

int net_loop_run_once(struct net_loop *loop, int timeout_ms)
{
    int n = epoll_wait(loop->epoll_fd, loop->events, LOOP_MAX_EVENTS,
                       wait_ms(loop, timeout_ms));

    if (n < 0 && errno != EINTR)
        return SIO_ERR_IO;
    loop->n_events = n < 0 ? 0 : n;
    loop->i_event = -1;
    loop->n_handshakes = 0;
    loop->in_turn = true;
    loop->now_ns = clock_mono_ns();
    loop_timers_run(loop);
    handle_events(loop);
    handle_ready(loop);
    finish_turn(loop);
    loop->in_turn = false;
    if (loop->alarm.fd >= 0)
        arm(loop);
    return SIO_OK;
}

int net_loop_run(struct net_loop *loop)
{
    int rv = SIO_OK;

    loop->stop = false;
    while (rv == SIO_OK && !loop->stop)
        rv = net_loop_run_once(loop, -1);
    return rv;
}

void net_loop_stop(struct net_loop *loop)
{
    loop->stop = true;
}

/* An expired timerfd stays readable until it is read or set again. */
static void on_alarm(struct net_io *io, uint32_t events)
{
    (void)io;
    (void)events;
}

int net_loop_fd(struct net_loop *loop)
{
    if (loop->alarm.fd >= 0)
        return loop->epoll_fd;
    loop->alarm.on_events = on_alarm;
    loop->alarm.fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
    if (loop->alarm.fd < 0)
        return -1;
    if (net_io_add(loop, &loop->alarm, EPOLLIN) < 0) {
        close(loop->alarm.fd);
        loop->alarm.fd = -1;
        return -1;
    }
    loop_changed(loop);
    return loop->epoll_fd;
}

/* What others need. */

uint64_t net_loop_now_ns(const struct net_loop *loop)
{
    return loop->now_ns;
}

uint64_t net_loop_now_ms(const struct net_loop *loop)
{
    return loop->now_ns / NS_PER_MS;
}

struct random_pool *net_loop_random(struct net_loop *loop)
{
    return &loop->random;
}

const struct log *net_loop_log(const struct net_loop *loop)
{
    return &loop->log;
}

int64_t net_loop_wall_s(struct net_loop *loop)
{
    if (!loop->date_ns || loop->now_ns - loop->date_ns >= DATE_EVERY_NS) {
        loop->wall_s = clock_wall_us() / 1000000;
        loop->date_ns = loop->now_ns;
    }
    return loop->wall_s;
}

const char *net_loop_http_date(struct net_loop *loop)
{
    int64_t now = net_loop_wall_s(loop);

    if (now != loop->date_s) {
        clock_format_http(now, loop->date);
        loop->date_s = now;
    }
    return loop->date;
}

struct loop_tls *loop_tls(struct net_loop *loop)
{
    if (!loop->tls)
        loop->tls = mem_new(struct loop_tls);
    return loop->tls;
}

/* Beginning and end. */

static int open_wake(struct net_loop *loop)
{
    int rv;

    loop->wake.fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (loop->wake.fd < 0)
        return SIO_ERR_IO;
    loop->wake.on_events = on_wake;
    rv = net_io_add(loop, &loop->wake, EPOLLIN);
    if (rv < 0)
        close(loop->wake.fd);
    return rv;
}

static void init_fields(struct net_loop *loop, const struct net_loop_options *opts)
{
    loop->alarm.fd = -1;
    loop->signals.fd = -1;
    loop->now_ns = clock_mono_ns();
    loop->date_s = -1;
    list_init(&loop->ready);
    list_init(&loop->tasks);
    list_init(&loop->flush);
    list_init(&loop->reap);
    list_init(&loop->conns);
    loop->posts_end = &loop->posts;
    if (opts) {
        loop->log.write = opts->log;
        loop->log.user = opts->log_user;
        loop->log.level = opts->log_level;
    }
}

struct net_loop *net_loop_new(const struct net_loop_options *opts,
                              struct sio_diag *diag)
{
    struct net_loop *loop = mem_new(struct net_loop);

    if (!loop)
        goto no_memory;
    init_fields(loop, opts);
    loop->buffer = mem_alloc(NET_LOOP_BUFFER_SIZE);
    if (!loop->buffer)
        goto free_loop;
    loop->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    if (loop->epoll_fd < 0) {
        sio_diag_errno(diag, SIO_ERR_IO, "epoll");
        goto free_buffer;
    }
    if (open_wake(loop) < 0) {
        sio_diag_errno(diag, SIO_ERR_IO, "eventfd");
        goto close_epoll;
    }
    pthread_mutex_init(&loop->lock, NULL);
    return loop;

close_epoll:
    close(loop->epoll_fd);
free_buffer:
    mem_free(loop->buffer);
    mem_free(loop);
    return NULL;
free_loop:
    mem_free(loop);
no_memory:
    sio_diag_set(diag, SIO_ERR_NOMEM, "out of memory");
    return NULL;
}

static void end_conns(struct net_loop *loop)
{
    while (!list_empty(&loop->conns)) {
        struct list *first = loop->conns.next;

        net_conn_abort(conn_from_link(first), SIO_ERR_CLOSED);
    }
}

void net_loop_free(struct net_loop *loop)
{
    if (!loop)
        return;
    loop_workers_free(loop);
    /* What runs now may queue more, but a connection that ends makes no new one. */
    do {
        end_conns(loop);
        run_posts(loop);
        handle_ready(loop);
        finish_turn(loop);
    } while (has_work(loop) || loop->posts || !list_empty(&loop->conns));
    if (loop->signals.fd >= 0)
        close(loop->signals.fd);
    if (loop->alarm.fd >= 0)
        close(loop->alarm.fd);
    close(loop->wake.fd);
    close(loop->epoll_fd);
    pthread_mutex_destroy(&loop->lock);
    mem_free(loop->heap);
    mem_free(loop->tls);
    mem_free(loop->buffer);
    mem_free(loop);
}
