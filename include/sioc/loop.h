/*
 * sioc/loop.h - the event loop
 *
 * One thread, one loop.  Everything made on a loop is used on the loop's thread
 * only; net_loop_post is the one call that other threads may make.
 *
 * Each turn: wait for events; run due timers; read and handle; run deferred
 * tasks; flush what the handlers queued, one system call a connection; free
 * what was closed.  So a handler may close anything, itself included, and no
 * pointer dies in the middle of a turn.
 */
#ifndef SIOC_LOOP_H
#define SIOC_LOOP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <sioc/error.h>

#ifdef __cplusplus
extern "C" {
#endif

struct net_loop;

enum sio_log_level { SIO_LOG_ERROR, SIO_LOG_WARN, SIO_LOG_INFO, SIO_LOG_DEBUG };

/*
 * Gets one line without its end, already formatted.  Called on the loop's
 * thread; must not call back into the library.
 */
typedef void (*sio_log_cb)(enum sio_log_level level, const char *line, size_t len,
                           void *user);

struct net_loop_options {
    sio_log_cb log; /* NULL: silent */
    void *log_user;
    enum sio_log_level log_level; /* what is above is not formatted at all */
};

/* opts may be NULL.  NULL on failure, with diag (may be NULL) filled. */
SIOC_API struct net_loop *net_loop_new(const struct net_loop_options *opts,
                                       struct sio_diag *diag);

/*
 * Ends every connection that is left (on_close is called) and frees the loop.  NULL is
 * allowed.
 */
SIOC_API void net_loop_free(struct net_loop *loop);

/* Runs turns until net_loop_stop.  SIO_OK, or SIO_ERR_IO when epoll fails. */
SIOC_API int net_loop_run(struct net_loop *loop);

/*
 * One turn: waits at most timeout_ms (-1: until something happens, 0: not at
 * all).  Returns as net_loop_run.  Not from a callback of the loop's.
 */
SIOC_API int net_loop_run_once(struct net_loop *loop, int timeout_ms);

/* Lets net_loop_run return after the current turn. */
SIOC_API void net_loop_stop(struct net_loop *loop);

/*
 * For use inside another loop: a descriptor that polls readable (level) whenever the loop
 * has something to do, timers and what was queued outside of a turn included.  Whoever
 * watches it calls net_loop_run_once(loop, 0) then, and need not care about time-outs.
 * Borrowed: stop watching before net_loop_free.  -1: no descriptors are left.
 */
SIOC_API int net_loop_fd(struct net_loop *loop);

/*
 * Runs fn(arg) on the loop's thread, soon.  Any thread may call this while the
 * loop exists.  What is left when the loop is freed is called then.
 * SIO_OK or SIO_ERR_NOMEM (fn is not called).
 */
SIOC_API int net_loop_post(struct net_loop *loop, void (*fn)(void *arg), void *arg);

/*
 * Calls cb(signo, user) on the loop's thread for each of the n signals, until the loop is
 * freed.  Blocks them for the calling thread first, so call it before threads are made.
 * Once per loop.  SIO_OK, SIO_ERR_EXISTS (called before), SIO_ERR_NOMEM, SIO_ERR_IO.
 */
SIOC_API int net_loop_signals(struct net_loop *loop, const int *signals, size_t n,
                              void (*cb)(int signo, void *user), void *user);

/* Monotonic milliseconds and nanoseconds, read once a turn. */
SIOC_API uint64_t net_loop_now_ms(const struct net_loop *loop);
SIOC_API uint64_t net_loop_now_ns(const struct net_loop *loop);

/*
 * A timer lives in its user's struct.  It fires once, on the loop's thread, never
 * early, and may be started again from its callback.
 */
struct net_timer;
typedef void (*net_timer_cb)(struct net_timer *timer, void *user);

struct net_timer {
    struct net_loop *loop;
    net_timer_cb cb;
    void *user;
    uint64_t due_ns;
    uint32_t heap_slot; /* 0: not running */
};

/* Makes a timer that does not run yet.  The storage stays the caller's; cb gets user. */
SIOC_API void net_timer_init(struct net_timer *timer, struct net_loop *loop,
                             net_timer_cb cb, void *user);

/*
 * (Re)starts: due delay_ms after the loop's present time.  SIO_OK or SIO_ERR_NOMEM
 * (then it does not run; cannot happen for a timer that is already running).
 */
SIOC_API int net_timer_start(struct net_timer *timer, uint64_t delay_ms);

/* Stops; harmless when it is not running. */
SIOC_API void net_timer_stop(struct net_timer *timer);

static inline bool net_timer_running(const struct net_timer *timer)
{
    return timer->heap_slot != 0;
}

#ifdef __cplusplus
}
#endif
#endif
