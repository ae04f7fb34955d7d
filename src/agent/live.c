#include <config.h>

#include "agent/live.h"

#include <stdio.h>

#include "agent/messages.h"
#include "base/clock.h"
#include "base/list.h"
#include "base/mem.h"
#include "net/loop.h"

#define MAX_STREAMS 64
/* Pictures under way to a hub that answers soon; to another one, one at a time. */
#define WINDOW         3
#define SOON_MS        300
#define ACK_TIMEOUT_MS 10000

struct stream {
    struct list link; /* in live->streams, or in live->ending */
    struct agent_live *live;
    const struct agent_source *source;
    struct agent_feed *feed;
    uint32_t n_away;    /* pictures that are not answered for */
    uint32_t answer_ms; /* that the last one took */
    bool failed;        /* said so to the log */
    uint32_t n_refs;    /* answers that are still to come, and the feed */
};

/* What an answer comes back to: the stream may have ended meanwhile. */
struct away {
    struct stream *stream;
    uint64_t sent_ms;
};

struct agent_live {
    struct net_loop *loop;
    struct agent_live_options opts;
    struct list streams;
    struct list ending;
    size_t n_streams; /* of both */
};

static void unref(struct stream *s)
{
    if (--s->n_refs == 0)
        mem_free(s);
}

static void want_next(struct stream *s)
{
    if (s->n_away < (s->answer_ms <= SOON_MS ? WINDOW : 1))
        agent_feed_want(s->feed);
}

static void on_answer(int status, struct sio_event *e, void *user)
{
    struct away *away = user;
    struct stream *s = away->stream;
    struct agent_live *l = s->live;

    (void)e;
    if (s->feed && l) {
        s->n_away--;
        if (status == SIO_OK)
            s->answer_ms = (uint32_t)(net_loop_now_ms(l->loop) - away->sent_ms);
        else
            s->answer_ms = ACK_TIMEOUT_MS;
        if (status != SIO_ERR_CLOSED)
            want_next(s);
    }
    unref(s);
    mem_free(away);
}

static void send_picture(struct stream *s, struct sio_buf *jpeg, int64_t wall_us)
{
    struct agent_live *l = s->live;
    struct away *away = mem_new(struct away);
    struct sio_message *m =
        agent_message_frame(l->opts.nuc_id, s->source->id, jpeg, wall_us);
    int rv = SIO_ERR_NOMEM;

    if (away && m) {
        *away = (struct away){s, net_loop_now_ms(l->loop)};
        rv = sio_client_socket_emit_ack(l->opts.socket, m, ACK_TIMEOUT_MS, on_answer,
                                        away);
    }
    sio_message_free(m);
    if (rv < 0) {
        mem_free(away);
        return;
    }
    s->n_refs++;
    s->n_away++;
}

static void on_picture(struct agent_feed *f, void *user)
{
    struct stream *s = user;
    int64_t wall_us;
    struct sio_buf *jpeg = agent_feed_take(f, &wall_us);

    if (!jpeg)
        return;
    s->failed = false;
    send_picture(s, jpeg, wall_us);
    sio_buf_unref(jpeg);
    want_next(s);
}

static void on_error(struct agent_feed *f, const char *why, void *user)
{
    struct stream *s = user;
    struct agent_live *l = s->live;
    char text[64 + CAMERA_ID_MAX];
    struct sio_message *m;

    (void)f;
    if (!s->failed)
        log_warn(net_loop_log(l->loop), "camera=%s live why=\"%s\"", s->source->id,
                 why);
    s->failed = true;
    snprintf(text, sizeof(text), "No se pudo conectar a la cámara %s", s->source->id);
    m = agent_message_error("stream_error", l->opts.nuc_id, s->source->id,
                            sio_str_from(text), clock_wall_us());
    if (m)
        sio_client_socket_emit(l->opts.socket, m);
    sio_message_free(m);
}

/* The feed is about to be freed. */
static void on_end(struct agent_feed *f, void *user)
{
    struct stream *s = user;

    (void)f;
    list_remove(&s->link);
    s->live->n_streams--;
    s->feed = NULL;
    s->live = NULL;
    unref(s);
}

static struct stream *find(const struct agent_live *l, const char *id)
{
    struct stream *s;

    list_for_each (s, struct stream, link, &l->streams)
        if (strcmp(s->source->id, id) == 0)
            return s;
    return NULL;
}

struct agent_live *agent_live_new(struct net_loop *loop,
                                  const struct agent_live_options *opts)
{
    struct agent_live *l = mem_new(struct agent_live);

    if (!l)
        return NULL;
    l->loop = loop;
    l->opts = *opts;
    list_init(&l->streams);
    list_init(&l->ending);
    return l;
}

static int start_feed(struct stream *s, const struct agent_feed_shape *shape)
{
    const struct agent_live *l = s->live;
    struct agent_feed_options opts = {
        .source = s->source,
        .logins = l->opts.logins,
        .shape = *shape,
        .prefer_small = true,
        .text = l->opts.text,
        .on_picture = on_picture,
        .on_error = on_error,
        .on_end = on_end,
        .user = s,
    };

    s->feed = agent_feed_new(l->loop, &opts, NULL);
    return s->feed ? SIO_OK : SIO_ERR_IO;
}

int agent_live_start(struct agent_live *l, const struct agent_source *source,
                     const struct agent_feed_shape *shape)
{
    struct agent_feed_shape fit = *shape;
    struct stream *s = find(l, source->id);

    if (fit.max_width > l->opts.max_width)
        fit.max_width = l->opts.max_width;
    if (s) {
        agent_feed_set_shape(s->feed, &fit);
        want_next(s);
        return SIO_OK;
    }
    if (l->n_streams >= MAX_STREAMS)
        return SIO_ERR_FULL;
    s = mem_new(struct stream);
    if (!s)
        return SIO_ERR_NOMEM;
    s->live = l;
    s->source = source;
    s->n_refs = 1;
    if (start_feed(s, &fit) < 0) {
        mem_free(s);
        return SIO_ERR_IO;
    }
    list_append(&l->streams, &s->link);
    l->n_streams++;
    log_info(net_loop_log(l->loop), "camera=%s live begins", source->id);
    want_next(s);
    return SIO_OK;
}

static void end_stream(struct stream *s)
{
    struct agent_live *l = s->live;

    log_info(net_loop_log(l->loop), "camera=%s live ends", s->source->id);
    list_remove(&s->link);
    list_append(&l->ending, &s->link);
    agent_feed_end(s->feed);
}

void agent_live_stop(struct agent_live *l, const char *id)
{
    struct stream *s = find(l, id);

    if (s)
        end_stream(s);
}

void agent_live_stop_all(struct agent_live *l)
{
    while (!list_empty(&l->streams))
        end_stream(container_of(l->streams.next, struct stream, link));
}

static bool list_uses(const struct list *streams, const struct agent_source *source)
{
    const struct stream *s;

    list_for_each (s, struct stream, link, streams)
        if (s->source == source)
            return true;
    return false;
}

bool agent_live_uses(const struct agent_live *l, const struct agent_source *source)
{
    return list_uses(&l->streams, source) || list_uses(&l->ending, source);
}

void agent_live_end(struct agent_live *l)
{
    struct stream *s;

    if (!l)
        return;
    agent_live_stop_all(l);
    list_for_each (s, struct stream, link, &l->ending)
        agent_feed_stop(s->feed);
}

void agent_live_free(struct agent_live *l)
{
    if (!l)
        return;
    while (!list_empty(&l->ending)) {
        struct stream *s = container_of(l->ending.next, struct stream, link);

        agent_feed_free(s->feed);
        on_end(NULL, s);
    }
    mem_free(l);
}
