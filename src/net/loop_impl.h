/*
 * net/loop_impl.h - the inside of the loop, for the files of this folder
 */
#ifndef NET_LOOP_IMPL_H
#define NET_LOOP_IMPL_H

#include <pthread.h>
#include <sys/epoll.h>

#include "base/clock.h"
#include "net/loop.h"
#include "net/worker.h"

#define LOOP_MAX_EVENTS     256
#define LOOP_MAX_HANDSHAKES 8 /* begun per turn */

/*
 * Ciphertext read at once: with one record that was cut off it fits the loop's buffer.
 */
#define LOOP_TLS_IN_SIZE    (96 * 1024)
#define LOOP_TLS_OUT_SIZE   (128 * 1024) /* ciphertext sent at once */
#define LOOP_TLS_PLAIN_SIZE (16 * 1024)  /* one record */

/* Scratch space of TLS, made with the first TLS connection. */
struct loop_tls {
    uint8_t in[LOOP_TLS_IN_SIZE];
    uint8_t out[LOOP_TLS_OUT_SIZE];
    uint8_t plain[LOOP_TLS_PLAIN_SIZE];
    size_t out_len; /* 0 whenever no connection is at work */
};

struct net_loop {
    int epoll_fd;
    bool in_turn;
    bool stop;
    uint64_t now_ns;

    struct net_io alarm; /* timerfd for net_loop_fd; -1 until then */
    uint64_t alarm_ns;   /* what it is set to; 0: nothing */

    struct net_timer **heap; /* heap[1] is due first */
    uint32_t n_timers;
    uint32_t cap_timers;

    struct list ready; /* net_task: things to do in the next turn */
    struct list tasks; /* net_task: net_loop_defer */
    struct list flush; /* net_task: connections with output */
    struct list reap;  /* net_task: net_loop_reap */
    struct list conns; /* net_conn.all */

    struct epoll_event events[LOOP_MAX_EVENTS];
    int n_events; /* of this turn */
    int i_event;  /* the one being handled */
    unsigned n_handshakes;

    struct net_io wake; /* eventfd */
    pthread_mutex_t lock;
    struct net_post *posts; /* under lock */
    struct net_post **posts_end;

    struct net_io signals;
    void (*on_signal)(int signo, void *user);
    void *signal_user;

    struct loop_workers *workers; /* NULL until the first job */
    struct loop_tls *tls;         /* NULL until the first TLS connection */
    uint8_t *buffer;
    struct log log;
    struct random_pool random;

    uint64_t date_ns; /* when wall_s was read; 0: never */
    int64_t wall_s;
    int64_t date_s;
    char date[CLOCK_HTTP_SIZE];
};

/* Queues a task for the next turn, which then does not wait. */
void loop_ready(struct net_loop *loop, struct net_task *task);

/* Queues a connection's work for the flush. */
void loop_flush(struct net_loop *loop, struct net_task *task);

/* As net_io_remove for a descriptor that is closed next: saves the system call. */
void loop_io_forget(struct net_loop *loop, struct net_io *io);

/*
 * net_loop_post with the caller's storage, which must live until fn runs: cannot fail.
 */
void loop_post(struct net_loop *loop, struct net_post *post);

/* The scratch space, or NULL when out of memory. */
struct loop_tls *loop_tls(struct net_loop *loop);

/* timer.c */
void loop_timers_run(struct net_loop *loop);
uint64_t loop_timers_next(const struct net_loop *loop); /* due_ns; UINT64_MAX: none */

/* Sets the alarm after a change from outside a turn. */
void loop_changed(struct net_loop *loop);

/* worker.c: jobs still running become nobody's. */
void loop_workers_free(struct net_loop *loop);

#endif
