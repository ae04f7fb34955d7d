/*
 * agent/live.h - live view: a feed for each camera that somebody looks at
 *
 * A picture is made only when the hub has answered for an earlier one, so a slow link
 * gets fewer, and none of them is old when it arrives.
 */
#ifndef AGENT_LIVE_H
#define AGENT_LIVE_H

#include <sioc/client.h>

#include "agent/feed.h"

struct agent_live;

struct agent_live_options {
    const char *nuc_id; /* borrowed */
    struct sio_client_socket *socket;
    struct agent_logins *logins;
    bool text;          /* date, time and name in the pictures */
    uint32_t max_width; /* whatever the hub asks for */
};

/* NULL: out of memory. */
struct agent_live *agent_live_new(struct net_loop *loop,
                                  const struct agent_live_options *opts);

/*
 * Begins, or goes on in another shape.  source outlives the stream.  SIO_OK;
 * SIO_ERR_FULL: too many; SIO_ERR_NOMEM, SIO_ERR_IO.
 */
int agent_live_start(struct agent_live *l, const struct agent_source *source,
                     const struct agent_feed_shape *shape);

/* Harmless for a camera that is not streamed. */
void agent_live_stop(struct agent_live *l, const char *id);
void agent_live_stop_all(struct agent_live *l);

/* True while the source may not go away. */
bool agent_live_uses(const struct agent_live *l, const struct agent_source *source);

/* Ends all threads and waits; then agent_live_free.  NULL is allowed. */
void agent_live_end(struct agent_live *l);
void agent_live_free(struct agent_live *l);

#endif
