/*
 * agent/uplink_impl.h - the inside of the uplink: its cameras (channel.c), what the hub
 * asks for (requests.c), and the connection (uplink.c)
 */
#ifndef AGENT_UPLINK_IMPL_H
#define AGENT_UPLINK_IMPL_H

#include "agent/camera.h"
#include "agent/feed.h"
#include "agent/live.h"
#include "agent/uplink.h"
#include "base/list.h"
#include "net/loop.h"

/* What the uplink knows of a camera. */
struct channel {
    struct agent_uplink *uplink;
    struct agent_camera *camera;
    struct list link;    /* in uplink->channels */
    struct list ready;   /* in uplink->ready while its slot is full */
    struct list waiting; /* struct waiting: acks due with the next result */
    struct net_timer timer;
    struct agent_feed *warm;    /* its video is held open; or NULL */
    struct agent_result *fresh; /* of that, while it waits to be sent */
    struct net_timer warm_timer;
    uint64_t asked_ms; /* of a guest: the one asked longest ago makes room */
    uint8_t n_waiting;
    bool guest;
    enum { CHANNEL_NEW, CHANNEL_GOOD, CHANNEL_BAD } state; /* as logged last */
};

struct waiting {
    struct list link;
    struct sio_ack *ack;
};

struct agent_uplink {
    struct net_loop *loop;
    struct agent_config *config;
    struct sio_client *client;
    struct sio_client_socket *socket;
    struct agent_live *live;
    struct agent_logins *logins;
    struct sio_buf *auth;
    char *hub; /* the URL as it may be shown */
    struct list channels;
    struct list ready;
    size_t n_channels;
    size_t n_guests;
    size_t max_jpeg;
    bool joined;
    bool sending; /* a picture is on its way to the kernel */
    bool closing;
    struct log_limit limit;
    struct log_limit down_limit;
};

static inline const struct log *uplink_log(const struct agent_uplink *u)
{
    return net_loop_log(u->loop);
}

/* True if one more line that the hub or a camera can cause may be written. */
static inline bool uplink_may_log(struct agent_uplink *u)
{
    return log_limit(&u->limit, net_loop_now_ms(u->loop), 60);
}

/* m is freed.  False if it could not be queued. */
bool uplink_emit(struct agent_uplink *u, struct sio_message *m);

/* A result waits: sends what can be sent now. */
void uplink_pump(struct agent_uplink *u);

/* Of requests.c. */
void uplink_on_event(struct sio_client_socket *s, struct sio_event *e, void *user);
void uplink_send_error(struct agent_uplink *u, const char *id, struct sio_str text,
                       int64_t wall_us);

/* Cameras.  source is moved.  NULL with diag. */
struct channel *channel_new(struct agent_uplink *u, struct agent_source *source,
                            bool guest, struct sio_diag *diag);
void channel_free(struct channel *ch);
struct channel *channel_find(struct agent_uplink *u, struct sio_str id);

/* One that is not in the list, for the hub; NULL with a reason for it. */
struct channel *channel_new_guest(struct agent_uplink *u, struct sio_str id,
                                  const char **reason);

/* Holds the camera's video open.  SIO_OK or SIO_ERR_IO. */
int channel_keep_warm(struct channel *ch, struct sio_diag *diag);

/*
 * The hub is there: takes a picture, no larger than it takes them, the next one after
 * again_ms, and then one at every interval.  A guest only when it is asked for.
 */
void channel_start(struct channel *ch, uint32_t again_ms);

/* The hub has gone: drops what is under way. */
void channel_stop(struct channel *ch);

/* Wants a picture; its result comes to the uplink's ready list. */
void channel_request(struct channel *ch);

/* The result that waits, the caller's, or NULL. */
struct agent_result *channel_take(struct channel *ch);

/* Answers the acks that wait for a result. */
void channel_answer(struct channel *ch);

#endif
