/*
 * agent/feed.h - a camera that is looked at all the time: a thread that holds its video
 *
 * The thread decodes what comes and makes a JPEG only when one is wanted, of the newest
 * picture; so nobody's slowness makes a queue.  Where a camera has no RTSP, pictures are
 * taken one by one.  When the video ends it is opened again, after growing pauses.  All
 * functions are for the loop's thread.
 */
#ifndef AGENT_FEED_H
#define AGENT_FEED_H

#include <sioc/loop.h>

#include "agent/logins.h"
#include "agent/source.h"

struct agent_feed;

struct agent_feed_shape {
    uint32_t max_width; /* pixels */
    uint32_t quality;   /* JPEG */
    uint32_t fps;       /* at most so many a second */
    size_t max_bytes;
};

struct agent_feed_options {
    const struct agent_source *source; /* borrowed, outlives the feed */
    struct agent_logins *logins;       /* the same */
    struct agent_feed_shape shape;
    bool prefer_small; /* the sub-stream, where a camera has one */
    bool text;         /* draw date, time and name */

    /* A picture waits, or what went wrong; called on the loop's thread. */
    void (*on_picture)(struct agent_feed *f, void *user);
    void (*on_error)(struct agent_feed *f, const char *why, void *user);
    /* After agent_feed_end: the feed is about to be freed.  May be NULL. */
    void (*on_end)(struct agent_feed *f, void *user);
    void *user;
};

/* Starts the thread.  NULL with diag. */
struct agent_feed *agent_feed_new(struct net_loop *loop,
                                  const struct agent_feed_options *opts,
                                  struct sio_diag *diag);

/* Wants one picture; wanting again before it has come is the same. */
void agent_feed_want(struct agent_feed *f);

/* The picture that waits, the caller's; NULL: none. */
struct sio_buf *agent_feed_take(struct agent_feed *f, int64_t *wall_us);

void agent_feed_set_shape(struct agent_feed *f, const struct agent_feed_shape *shape);

/* True while pictures come. */
bool agent_feed_is_playing(struct agent_feed *f);

/*
 * Ends it, without waiting; on_picture and on_error are not called any more.  It frees
 * itself when its thread has ended.
 */
void agent_feed_end(struct agent_feed *f);

/*
 * The same, and waits: for the end of the program, where agent_feed_end comes first for all
 * feeds.  Then agent_feed_free.
 */
void agent_feed_stop(struct agent_feed *f);
void agent_feed_free(struct agent_feed *f);

#endif
