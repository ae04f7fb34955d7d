/*
 * worker.c - one detached thread a job
 *
 * Between the threads and the loop stands loop_workers, which is counted because
 * threads may outlive the loop: its `loop` is NULL by then.
 */
#include <config.h>

#include "net/worker.h"

#include <signal.h>

#include "base/mem.h"
#include "net/loop_impl.h"

#define STACK_SIZE (256 * 1024)

struct loop_workers {
    pthread_mutex_t lock;
    struct net_loop *loop; /* NULL: freed */
    unsigned refs;         /* the loop and each thread */
};

static void workers_unref(struct loop_workers *w)
{
    bool last;

    pthread_mutex_lock(&w->lock);
    last = --w->refs == 0;
    pthread_mutex_unlock(&w->lock);
    if (!last)
        return;
    pthread_mutex_destroy(&w->lock);
    mem_free(w);
}

static struct loop_workers *workers_new(struct net_loop *loop)
{
    struct loop_workers *w = mem_new(struct loop_workers);

    if (!w)
        return NULL;
    pthread_mutex_init(&w->lock, NULL);
    w->loop = loop;
    w->refs = 1;
    return w;
}

/* False: too many threads. */
static bool workers_ref(struct loop_workers *w)
{
    bool room;

    pthread_mutex_lock(&w->lock);
    room = w->refs <= NET_JOBS_MAX;
    if (room)
        w->refs++;
    pthread_mutex_unlock(&w->lock);
    return room;
}

void loop_workers_free(struct net_loop *loop)
{
    struct loop_workers *w = loop->workers;

    if (!w)
        return;
    pthread_mutex_lock(&w->lock);
    w->loop = NULL;
    pthread_mutex_unlock(&w->lock);
    loop->workers = NULL;
    workers_unref(w);
}

static void on_posted(void *arg)
{
    struct net_job *job = arg;

    job->done(job);
}

static void *run(void *arg)
{
    struct net_job *job = arg;
    struct loop_workers *w = job->workers;

    job->work(job);
    pthread_mutex_lock(&w->lock);
    if (w->loop)
        loop_post(w->loop, &job->post);
    else
        job->drop(job);
    pthread_mutex_unlock(&w->lock);
    workers_unref(w);
    return NULL;
}

/* Signals are for the threads that asked for them. */
static int start_thread(struct net_job *job)
{
    pthread_attr_t attr;
    pthread_t thread;
    sigset_t all, before;
    int rv;

    if (pthread_attr_init(&attr) != 0)
        return SIO_ERR_NOMEM;
    pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
    pthread_attr_setstacksize(&attr, STACK_SIZE);
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    rv = pthread_create(&thread, &attr, run, job);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    pthread_attr_destroy(&attr);
    return rv == 0 ? SIO_OK : SIO_ERR_NOMEM;
}

int net_job_start(struct net_loop *loop, struct net_job *job)
{
    int rv;

    if (!loop->workers)
        loop->workers = workers_new(loop);
    if (!loop->workers)
        return SIO_ERR_NOMEM;
    if (!workers_ref(loop->workers))
        return SIO_ERR_FULL;
    job->workers = loop->workers;
    job->post = (struct net_post){.fn = on_posted, .arg = job};
    rv = start_thread(job);
    if (rv < 0)
        workers_unref(loop->workers);
    return rv;
}
