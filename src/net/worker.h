/*
 * net/worker.h - work that blocks, on a thread of its own
 *
 * A job belongs to its thread until that has posted it to the loop, and to the loop's
 * thread from then on.  It cannot be interrupted; it may outlive the loop.
 */
#ifndef NET_WORKER_H
#define NET_WORKER_H

#include "net/loop.h"

#define NET_JOBS_MAX 16 /* at a time, of a loop */

/* Work from another thread. */
struct net_post {
    struct net_post *next;
    void (*fn)(void *arg);
    void *arg;
    bool allocated; /* by net_loop_post */
};

struct loop_workers;

/* Lies in its maker's struct. */
struct net_job {
    void (*work)(struct net_job *job); /* on the thread; touches nothing of the loop */
    void (*done)(struct net_job *job); /* on the loop's thread, later: frees */
    void (*drop)(struct net_job *job); /* instead, on the thread: the loop has gone */
    struct net_post post;
    struct loop_workers *workers;
};

/*
 * work, done and drop are set.  SIO_OK; SIO_ERR_FULL: NET_JOBS_MAX are running;
 * SIO_ERR_NOMEM.  After an error the job is the caller's as before.
 */
int net_job_start(struct net_loop *loop, struct net_job *job);

#endif
