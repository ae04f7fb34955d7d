#include <config.h>

#include "agent/feed.h"

#include <pthread.h>
#include <time.h>

#include <libavutil/frame.h>

#include "agent/overlay.h"
#include "agent/probe.h"
#include "agent/video.h"
#include "base/clock.h"
#include "base/mem.h"
#include "base/str.h"

#define STACK_BYTES  (1024 * 1024)
#define OPEN_MS      12000
#define PAUSE_MIN_MS 1000
#define PAUSE_MAX_MS 5000 /* somebody looks, or may want a picture at once */
#define NS_PER_MS    UINT64_C(1000000)

struct agent_feed {
    /* The loop's. */
    struct net_loop *loop;
    struct agent_feed_options opts;
    pthread_t thread;
    bool started;

    /* The thread's. */
    struct agent_overlay *overlay;
    uint64_t next_ns; /* no picture before */
    uint16_t slow;    /* bit per attempt that timed out: the others come first */

    /* Both threads', under the mutex. */
    pthread_mutex_t mutex;
    pthread_cond_t wake;
    struct agent_feed_shape shape;
    struct sio_buf *slot;
    int64_t slot_us;
    struct sio_diag error;
    bool has_error;
    bool wanted;
    bool playing;
    bool posted;
    bool freed;       /* but for what waits in the loop */
    uint32_t n_posts; /* that wait there */
    bool ending;
    bool owned; /* nobody else frees it: the last post does */

    atomic_bool cancel;
};

/*
 * To the loop.
 */

static bool is_ending(struct agent_feed *f)
{
    return atomic_load(&f->cancel);
}

static void destroy(struct agent_feed *f)
{
    pthread_cond_destroy(&f->wake);
    pthread_mutex_destroy(&f->mutex);
    mem_free(f);
}

/* A post has come out of the loop.  False: the feed was freed, it came too late. */
static bool receive(struct agent_feed *f)
{
    bool freed, last;

    pthread_mutex_lock(&f->mutex);
    last = --f->n_posts == 0;
    freed = f->freed;
    pthread_mutex_unlock(&f->mutex);
    if (freed && last)
        destroy(f);
    return !freed;
}

static void on_posted(void *arg)
{
    struct agent_feed *f = arg;
    struct sio_diag error = {""};
    bool picture, failed;

    if (!receive(f))
        return;
    pthread_mutex_lock(&f->mutex);
    f->posted = false;
    picture = f->slot && !f->ending;
    failed = f->has_error && !f->ending;
    error = f->error;
    f->has_error = false;
    pthread_mutex_unlock(&f->mutex);
    if (failed)
        f->opts.on_error(f, error.text, f->opts.user);
    if (picture && !is_ending(f))
        f->opts.on_picture(f, f->opts.user);
}

/* Called with the mutex held. */
static bool post(struct agent_feed *f, void (*fn)(void *arg))
{
    if (net_loop_post(f->loop, fn, f) < 0)
        return false;
    f->n_posts++;
    return true;
}

/* The same; once is enough until the loop has seen it. */
static void tell(struct agent_feed *f)
{
    if (!f->posted)
        f->posted = post(f, on_posted);
}

static void put_picture(struct agent_feed *f, struct sio_buf *jpeg)
{
    pthread_mutex_lock(&f->mutex);
    sio_buf_unref(f->slot);
    f->slot = jpeg;
    f->slot_us = clock_wall_us();
    tell(f);
    if (!f->posted) /* no memory: the next one tells */
        f->wanted = true;
    pthread_mutex_unlock(&f->mutex);
}

static void put_error(struct agent_feed *f, const struct sio_diag *why)
{
    pthread_mutex_lock(&f->mutex);
    f->playing = false;
    f->error = *why;
    f->has_error = true;
    tell(f);
    pthread_mutex_unlock(&f->mutex);
}

/* Called with the mutex held.  Returns at that time, or sooner. */
static void wait_until(struct agent_feed *f, uint64_t ns)
{
    struct timespec until = {.tv_sec = (time_t)(ns / (1000 * NS_PER_MS)),
                             .tv_nsec = (long)(ns % (1000 * NS_PER_MS))};

    pthread_cond_timedwait(&f->wake, &f->mutex, &until);
}

/* Waits for ms, or until it ends. */
static void pause_for(struct agent_feed *f, uint64_t ms)
{
    uint64_t until = clock_mono_ns() + ms * NS_PER_MS;

    pthread_mutex_lock(&f->mutex);
    while (!f->ending && clock_mono_ns() < until)
        wait_until(f, until);
    pthread_mutex_unlock(&f->mutex);
}

/*
 * Pictures.
 */

/* Takes the wish, if there is one and it is time. */
static bool take_wish(struct agent_feed *f, struct agent_feed_shape *shape)
{
    uint64_t now = clock_mono_ns();
    bool wanted;

    pthread_mutex_lock(&f->mutex);
    f->playing = true;
    wanted = f->wanted && now >= f->next_ns;
    if (wanted) {
        f->wanted = false;
        *shape = f->shape;
    }
    pthread_mutex_unlock(&f->mutex);
    /* A little early is on time: pictures come with a jitter of their own. */
    if (wanted)
        f->next_ns = now + 1000 * NS_PER_MS / shape->fps - 5 * NS_PER_MS;
    return wanted;
}

static struct agent_jpeg_limits limits_of(const struct agent_feed_shape *s)
{
    return (struct agent_jpeg_limits){s->max_width, s->quality, s->max_bytes};
}

/* Makes the frame a JPEG if one is wanted; a frame that cannot be one is left out. */
static void offer_frame(struct agent_feed *f, AVFrame *frame)
{
    struct agent_feed_shape shape;
    struct agent_jpeg_limits limits;
    struct sio_buf *jpeg;
    AVFrame *mine;

    if (!take_wish(f, &shape))
        return;
    limits = limits_of(&shape);
    mine = av_frame_clone(frame);
    if (mine && f->overlay)
        mine = agent_overlay_draw(f->overlay, mine, shape.max_width);
    if (mine && agent_jpeg_encode_frame(mine, &limits, &jpeg) == SIO_OK)
        put_picture(f, jpeg);
    else
        agent_feed_want(f);
}

static void set_deadline(struct agent_capture *c, uint64_t ms)
{
    c->deadline_ns = clock_mono_ns() + ms * NS_PER_MS;
}

/* False: not with this login.  True: agent_logins_tell is due. */
static bool may_log_in(struct agent_feed *f, struct agent_capture *c,
                       enum agent_outcome *outcome, struct sio_diag *why)
{
    set_deadline(c, OPEN_MS);
    if (c->target.user[0] && agent_logins_ask(f->opts.logins, c) > 0) {
        sio_diag_set(why, SIO_ERR_REFUSED, "the login was refused before");
        *outcome = AGENT_REFUSED;
        return false;
    }
    set_deadline(c, OPEN_MS);
    return true;
}

/* Plays until the session is over.  True if there were pictures. */
static bool play_video(struct agent_feed *f, struct agent_capture *c,
                       enum agent_outcome *outcome, struct sio_diag *why)
{
    struct agent_video *v = NULL;
    AVFrame *frame = av_frame_alloc();
    bool shown = false;

    *outcome = frame ? agent_video_open(c, &v, why) : AGENT_NO_MEMORY;
    if (c->target.user[0])
        agent_logins_tell(f->opts.logins, &c->target, *outcome);
    while (*outcome == AGENT_PICTURE && !is_ending(f)) {
        *outcome = agent_video_next(v, frame, why);
        if (*outcome != AGENT_PICTURE)
            break;
        shown = true;
        offer_frame(f, frame);
        av_frame_unref(frame);
    }
    agent_video_close(v);
    av_frame_free(&frame);
    return shown;
}

/* Waits until a picture is wanted and it is time for one; false: the end. */
static bool wait_for_wish(struct agent_feed *f, struct agent_feed_shape *shape)
{
    while (!is_ending(f)) {
        if (take_wish(f, shape))
            return true;
        pthread_mutex_lock(&f->mutex);
        if (f->wanted && !f->ending)
            wait_until(f, f->next_ns);
        else if (!f->ending)
            pthread_cond_wait(&f->wake, &f->mutex);
        pthread_mutex_unlock(&f->mutex);
    }
    return false;
}

/* A camera without video: one picture after the other. */
static bool play_pictures(struct agent_feed *f, const struct capture_ops *ops,
                          struct agent_capture *c, enum agent_outcome *outcome,
                          struct sio_diag *why)
{
    struct agent_feed_shape shape;
    bool shown = false;

    while (wait_for_wish(f, &shape)) {
        struct sio_buf *jpeg = NULL;

        /* Not before the wish: who asks keeps others waiting until it tells. */
        if (!may_log_in(f, c, outcome, why)) {
            agent_feed_want(f);
            return shown;
        }
        c->limits = limits_of(&shape);
        set_deadline(c, ops->timeout_ms);
        *outcome = ops->take(c, &jpeg, why);
        if (c->target.user[0])
            agent_logins_tell(f->opts.logins, &c->target, *outcome);
        if (*outcome != AGENT_PICTURE) {
            agent_feed_want(f);
            return shown;
        }
        put_picture(f, jpeg);
        shown = true;
    }
    return shown;
}

/*
 * Attempts: video first, the small one in front where that is preferred, and what was slow
 * last.
 */

enum { RANKS = 3 };

struct place {
    size_t attempt;
    enum agent_service service;
    const char *path;
};

static int rank(const struct agent_feed *f, const struct place *p)
{
    int slow = f->slow >> p->attempt & 1 ? RANKS : 0;

    if (p->service != AGENT_SERVICE_RTSP)
        return slow + 2;
    return slow + (f->opts.prefer_small && agent_source_is_small(p->path) ? 0 : 1);
}

/* Tries one; true if there were pictures. */
static bool try_attempt(struct agent_feed *f, const struct place *p,
                        enum agent_outcome *outcome, struct sio_diag *why)
{
    struct agent_capture c = {
        .target = agent_source_target(f->opts.source, p->attempt),
        .cancel = &f->cancel,
    };

    *outcome = AGENT_PICTURE;
    if (p->service != AGENT_SERVICE_TEST) {
        set_deadline(&c, AGENT_PROBE_TIMEOUT_MS);
        *outcome = agent_probe(&c, why);
    }
    if (*outcome != AGENT_PICTURE)
        return false;
    if (p->service != AGENT_SERVICE_RTSP)
        return play_pictures(f, agent_capture_ops(p->service), &c, outcome, why);
    return may_log_in(f, &c, outcome, why) && play_video(f, &c, outcome, why);
}

/* When all of them are, each has its turn again. */
static void note_slow(struct agent_feed *f, size_t attempt)
{
    uint16_t bit = (uint16_t)(1u << attempt);

    if (f->slow & bit)
        f->slow = 0;
    f->slow |= bit;
}

/* One round over all attempts, until one gives pictures. */
static bool play(struct agent_feed *f, struct sio_diag *why)
{
    const struct agent_source *s = f->opts.source;
    uint32_t dead = 0; /* bit per endpoint */

    for (int wanted = 0; wanted < 2 * RANKS; wanted++) {
        for (size_t i = 0; i < s->n_attempts && !is_ending(f); i++) {
            uint8_t endpoint = s->attempts[i].endpoint;
            struct place p = {i, s->endpoints[endpoint].service, s->attempts[i].path};
            enum agent_outcome outcome;

            if (rank(f, &p) != wanted || (dead & 1u << endpoint))
                continue;
            if (try_attempt(f, &p, &outcome, why))
                return true;
            if (outcome == AGENT_TIMEOUT)
                note_slow(f, i);
            if (outcome == AGENT_SILENT || outcome == AGENT_CLOSED ||
                outcome == AGENT_REFUSED || outcome == AGENT_TIMEOUT)
                dead |= 1u << endpoint;
        }
    }
    return false;
}

static void on_thread_end(void *arg)
{
    struct agent_feed *f = arg;
    bool owned;

    if (!receive(f))
        return;
    pthread_mutex_lock(&f->mutex);
    owned = f->owned;
    pthread_mutex_unlock(&f->mutex);
    if (!owned)
        return;
    if (f->opts.on_end)
        f->opts.on_end(f, f->opts.user);
    agent_feed_free(f);
}

static void *run(void *arg)
{
    struct agent_feed *f = arg;
    uint64_t pause_ms = 0;

    if (f->opts.text) /* here, since loading it takes a while */
        f->overlay = agent_overlay_new(f->opts.source->id);
    while (!is_ending(f)) {
        struct sio_diag why = {"no picture"};
        bool shown = play(f, &why);

        if (is_ending(f))
            break;
        put_error(f, &why);
        pause_ms = shown || pause_ms == 0 ? PAUSE_MIN_MS : pause_ms * 2;
        if (pause_ms > PAUSE_MAX_MS)
            pause_ms = PAUSE_MAX_MS;
        pause_for(f, pause_ms);
    }
    /* If this fails there is no memory: the feed is lost, and found at the end. */
    pthread_mutex_lock(&f->mutex);
    post(f, on_thread_end);
    pthread_mutex_unlock(&f->mutex);
    return NULL;
}

static int start_thread(struct agent_feed *f)
{
    pthread_attr_t attr;
    int rv = pthread_attr_init(&attr);

    if (rv != 0)
        return rv;
    pthread_attr_setstacksize(&attr, STACK_BYTES);
    rv = pthread_create(&f->thread, &attr, run, f);
    pthread_attr_destroy(&attr);
    f->started = rv == 0;
    return rv;
}

struct agent_feed *agent_feed_new(struct net_loop *loop,
                                  const struct agent_feed_options *opts,
                                  struct sio_diag *diag)
{
    struct agent_feed *f = mem_new(struct agent_feed);
    pthread_condattr_t attr;

    if (!f) {
        sio_diag_set(diag, SIO_ERR_NOMEM, "out of memory");
        return NULL;
    }
    f->loop = loop;
    f->opts = *opts;
    f->shape = opts->shape;
    atomic_init(&f->cancel, false);
    pthread_mutex_init(&f->mutex, NULL);
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&f->wake, &attr);
    pthread_condattr_destroy(&attr);
    if (start_thread(f) != 0) {
        sio_diag_set(diag, SIO_ERR_IO, "no thread for camera %s", opts->source->id);
        agent_feed_free(f);
        return NULL;
    }
    return f;
}

void agent_feed_want(struct agent_feed *f)
{
    pthread_mutex_lock(&f->mutex);
    f->wanted = true;
    pthread_cond_signal(&f->wake);
    pthread_mutex_unlock(&f->mutex);
}

struct sio_buf *agent_feed_take(struct agent_feed *f, int64_t *wall_us)
{
    struct sio_buf *jpeg;

    pthread_mutex_lock(&f->mutex);
    jpeg = f->slot;
    *wall_us = f->slot_us;
    f->slot = NULL;
    pthread_mutex_unlock(&f->mutex);
    return jpeg;
}

void agent_feed_set_shape(struct agent_feed *f, const struct agent_feed_shape *shape)
{
    pthread_mutex_lock(&f->mutex);
    f->shape = *shape;
    pthread_mutex_unlock(&f->mutex);
}

bool agent_feed_is_playing(struct agent_feed *f)
{
    bool playing;

    pthread_mutex_lock(&f->mutex);
    playing = f->playing;
    pthread_mutex_unlock(&f->mutex);
    return playing;
}

static void tell_to_end(struct agent_feed *f, bool owned)
{
    atomic_store(&f->cancel, true);
    pthread_mutex_lock(&f->mutex);
    f->ending = true;
    f->owned = owned;
    pthread_cond_signal(&f->wake);
    pthread_mutex_unlock(&f->mutex);
}

void agent_feed_end(struct agent_feed *f)
{
    tell_to_end(f, true);
}

void agent_feed_stop(struct agent_feed *f)
{
    tell_to_end(f, false);
    if (f->started)
        pthread_join(f->thread, NULL);
    f->started = false;
}

void agent_feed_free(struct agent_feed *f)
{
    if (!f)
        return;
    if (f->started)
        pthread_join(f->thread, NULL);
    sio_buf_unref(f->slot);
    agent_overlay_free(f->overlay);
    f->freed = true;
    if (f->n_posts == 0)
        destroy(f);
}
