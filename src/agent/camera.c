#include <config.h>

#include "agent/camera.h"

#include <pthread.h>

#include "agent/plan.h"
#include "agent/probe.h"
#include "base/clock.h"
#include "base/mem.h"

#define STACK_BYTES     (1024 * 1024)
#define ERROR_MAX_BYTES 4096
#define WHY_MAX_BYTES   (32 * 1024)
#define REFUSED_BEFORE  "the login was refused before"

struct agent_camera {
    /* The loop's. */
    struct net_loop *loop;
    struct agent_logins *logins; /* both threads' */
    agent_camera_cb on_result;
    void *user;
    void *data;
    pthread_t thread;
    bool started;

    /* The thread's. */
    struct agent_source source; /* unchanged */
    struct agent_memory memory;
    struct agent_jpeg_limits limits;

    /* Both threads', under the mutex. */
    pthread_mutex_t mutex;
    pthread_cond_t wake;
    struct agent_result *slot;
    size_t max_bytes;
    bool wanted;
    bool working;
    bool posted; /* a call of on_result is on its way */
    bool ending;

    atomic_bool cancel;
};

void agent_result_free(struct agent_result *r)
{
    if (!r)
        return;
    sio_buf_unref(r->jpeg);
    sio_buf_unref(r->error);
    sio_buf_unref(r->why);
    mem_free(r);
}

static uint64_t now_ms(void)
{
    return clock_mono_ns() / 1000000;
}

static void set_deadline(struct agent_capture *capture, uint32_t ms)
{
    capture->deadline_ns = clock_mono_ns() + ms * UINT64_C(1000000);
}

/* Sends the login only if it may be sent; *wait_ms > 0: it may not. */
static enum agent_outcome take(struct agent_camera *c, const struct capture_ops *ops,
                               struct agent_capture *capture, struct sio_buf **jpeg,
                               struct sio_diag *why, uint64_t *wait_ms)
{
    bool login = capture->target.user[0] != '\0';
    enum agent_outcome outcome;

    set_deadline(capture, ops->timeout_ms);
    *wait_ms = login ? agent_logins_ask(c->logins, capture) : 0;
    if (*wait_ms > 0) {
        sio_diag_set(why, SIO_ERR_REFUSED, REFUSED_BEFORE);
        return AGENT_REFUSED;
    }
    set_deadline(capture, ops->timeout_ms);
    outcome = ops->take(capture, jpeg, why);
    if (login)
        agent_logins_tell(c->logins, &capture->target, outcome);
    return outcome;
}

static void try_attempt(struct agent_camera *c, struct agent_plan *plan, int attempt,
                        struct sio_buf **jpeg, struct wbuf *log)
{
    const struct agent_endpoint *e =
        &c->source.endpoints[c->source.attempts[attempt].endpoint];
    struct agent_capture capture = {
        .target = agent_source_target(&c->source, (size_t)attempt),
        .limits = c->limits,
        .cancel = &c->cancel,
    };
    enum agent_outcome outcome = AGENT_PICTURE;
    struct sio_diag why = {""};
    uint64_t wait_ms = 0;

    if (e->service != AGENT_SERVICE_TEST && !agent_plan_is_proven(plan, attempt)) {
        set_deadline(&capture, AGENT_PROBE_TIMEOUT_MS);
        outcome = agent_probe(&capture, &why);
    }
    if (outcome == AGENT_PICTURE)
        outcome =
            take(c, agent_capture_ops(e->service), &capture, jpeg, &why, &wait_ms);
    if (wait_ms > 0)
        agent_plan_lock(plan, attempt, wait_ms);
    else
        agent_plan_result(plan, attempt, outcome, now_ms());
    if (outcome == AGENT_PICTURE)
        return;
    wbuf_add_cstr(log, log->len > 0 ? "; " : "");
    agent_source_show(&c->source, (size_t)attempt, log);
    wbuf_addf(log, ": %s", why.text);
}

static struct sio_buf *take_text(struct wbuf *w)
{
    struct sio_buf *b = w->len > 0 ? wbuf_take(w) : NULL;

    wbuf_fini(w);
    return b;
}

static void make_round(struct agent_camera *c, struct agent_result *r)
{
    struct agent_plan plan;
    struct wbuf error, log;
    int attempt;

    wbuf_init(&log, WHY_MAX_BYTES);
    agent_plan_init(&plan, &c->source, &c->memory, now_ms());
    if (plan.round.n_refused > 0)
        wbuf_add_cstr(&log, REFUSED_BEFORE);
    while ((attempt = agent_plan_next(&plan)) >= 0)
        try_attempt(c, &plan, attempt, &r->jpeg, &log);
    r->wall_us = clock_wall_us();
    r->why = take_text(&log);
    if (r->jpeg)
        return;
    wbuf_init(&error, ERROR_MAX_BYTES);
    agent_plan_error(&plan, &error);
    r->error = take_text(&error);
}

static void on_posted(void *arg)
{
    struct agent_camera *c = arg;
    bool tell;

    pthread_mutex_lock(&c->mutex);
    c->posted = false;
    tell = c->slot && !c->ending;
    pthread_mutex_unlock(&c->mutex);
    if (tell)
        c->on_result(c, c->user);
}

/* Called with the mutex held. */
static void put_result(struct agent_camera *c, struct agent_result *r)
{
    agent_result_free(c->slot);
    c->slot = r;
    if (!c->posted && net_loop_post(c->loop, on_posted, c) == SIO_OK)
        c->posted = true;
}

static void *run(void *arg)
{
    struct agent_camera *c = arg;

    pthread_mutex_lock(&c->mutex);
    while (!c->ending) {
        struct agent_result *r;

        if (!c->wanted) {
            pthread_cond_wait(&c->wake, &c->mutex);
            continue;
        }
        c->wanted = false;
        c->working = true;
        c->limits.max_bytes = c->max_bytes;
        pthread_mutex_unlock(&c->mutex);
        r = mem_new(struct agent_result);
        if (r)
            make_round(c, r);
        pthread_mutex_lock(&c->mutex);
        c->working = false;
        if (r)
            put_result(c, r);
    }
    pthread_mutex_unlock(&c->mutex);
    return NULL;
}

static int start_thread(struct agent_camera *c)
{
    pthread_attr_t attr;
    int rv = pthread_attr_init(&attr);

    if (rv != 0)
        return rv;
    pthread_attr_setstacksize(&attr, STACK_BYTES);
    rv = pthread_create(&c->thread, &attr, run, c);
    pthread_attr_destroy(&attr);
    c->started = rv == 0;
    return rv;
}

struct agent_camera *agent_camera_new(struct net_loop *loop,
                                      struct agent_source *source,
                                      const struct agent_camera_options *opts,
                                      struct sio_diag *diag)
{
    struct agent_camera *c = mem_new(struct agent_camera);

    if (!c) {
        agent_source_fini(source);
        sio_diag_set(diag, SIO_ERR_NOMEM, "out of memory");
        return NULL;
    }
    c->loop = loop;
    c->logins = opts->logins;
    c->on_result = opts->on_result;
    c->user = opts->user;
    c->limits = opts->limits;
    c->max_bytes = opts->limits.max_bytes;
    c->source = *source;
    *source = (struct agent_source){0};
    atomic_init(&c->cancel, false);
    pthread_mutex_init(&c->mutex, NULL);
    pthread_cond_init(&c->wake, NULL);
    if (start_thread(c) != 0) {
        sio_diag_set(diag, SIO_ERR_IO, "no thread for camera %s", c->source.id);
        agent_camera_free(c);
        return NULL;
    }
    return c;
}

void agent_camera_request(struct agent_camera *c)
{
    pthread_mutex_lock(&c->mutex);
    if (!c->working && !c->wanted) {
        c->wanted = true;
        pthread_cond_signal(&c->wake);
    }
    pthread_mutex_unlock(&c->mutex);
}

struct agent_result *agent_camera_take(struct agent_camera *c)
{
    struct agent_result *r;

    pthread_mutex_lock(&c->mutex);
    r = c->slot;
    c->slot = NULL;
    pthread_mutex_unlock(&c->mutex);
    return r;
}

void agent_camera_set_max_bytes(struct agent_camera *c, size_t max_bytes)
{
    pthread_mutex_lock(&c->mutex);
    c->max_bytes = max_bytes;
    pthread_mutex_unlock(&c->mutex);
}

bool agent_camera_is_busy(struct agent_camera *c)
{
    bool busy;

    pthread_mutex_lock(&c->mutex);
    busy = c->wanted || c->working || c->posted || c->slot;
    pthread_mutex_unlock(&c->mutex);
    return busy;
}

const struct agent_source *agent_camera_source(const struct agent_camera *c)
{
    return &c->source;
}

const char *agent_camera_id(const struct agent_camera *c)
{
    return c->source.id;
}

void agent_camera_set_data(struct agent_camera *c, void *data)
{
    c->data = data;
}

void *agent_camera_data(const struct agent_camera *c)
{
    return c->data;
}

void agent_camera_cancel(struct agent_camera *c)
{
    atomic_store(&c->cancel, true);
}

void agent_camera_stop(struct agent_camera *c)
{
    if (!c->started)
        return;
    agent_camera_cancel(c);
    pthread_mutex_lock(&c->mutex);
    c->ending = true;
    pthread_cond_signal(&c->wake);
    pthread_mutex_unlock(&c->mutex);
    pthread_join(c->thread, NULL);
    c->started = false;
}

void agent_camera_free(struct agent_camera *c)
{
    if (!c)
        return;
    agent_camera_stop(c);
    agent_result_free(c->slot);
    pthread_cond_destroy(&c->wake);
    pthread_mutex_destroy(&c->mutex);
    agent_source_fini(&c->source);
    mem_free(c);
}
