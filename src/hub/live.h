/*
 * hub/live.h - live view: the newest picture of a camera, to everybody who looks at it
 *
 * A camera is live while somebody looks, over HTTP (multipart) or in a Socket.IO room, and
 * for a short grace after.  Its pictures come from an agent that streams, from asking an
 * older agent again and again, or from what is pushed anyway; whichever, they arrive at
 * hub_live_frame, and the newest goes to each viewer as soon as that one has taken the
 * last.  Nothing is queued: who is slow sees fewer pictures, never old ones.
 */
#ifndef HUB_LIVE_H
#define HUB_LIVE_H

#include <sioc/server.h>

#include "base/list.h"
#include "base/map.h"
#include "http/server.h"
#include "hub/config.h"
#include "net/loop.h"

struct hub;
struct hub_nuc;

enum hub_live_view {
    HUB_LIVE_WAITING, /* no picture so far */
    HUB_LIVE_SHOWN,
    HUB_LIVE_LOST, /* the picture that says so is shown */
};

struct hub_live_camera {
    struct map_node node;
    struct list link;
    struct list streams; /* struct hub_stream.in_camera */
    enum hub_live_view view;
    struct sio_buf *frame; /* shown now: JPEG */
    uint64_t number;       /* of that; grows */
    uint64_t frame_ms;     /* the last real picture; 0: none so far */
    uint64_t shown_ms;
    uint64_t started_ms;            /* the agent was told to stream; 0: was not */
    uint64_t left_ms;               /* since when nobody looks; 0: somebody does */
    uint64_t asked_ms;              /* capture_snapshot is under way since; 0: is not */
    struct list leases;             /* struct hub_lease: other hubs look too */
    struct hub_live_remote *remote; /* its agent is another hub's; NULL: it is not */
    uint64_t published;             /* the last number that other hubs were sent */
    bool publishing;                /* Redis has not taken that yet */
    bool streamed;                  /* the last picture came while the agent streamed */
    bool unknown;                   /* to the registry, when it was made */
    size_t ip_len;
    char ip[];
};

struct hub_live {
    struct map by_ip;
    struct list cameras;
    struct map viewers; /* struct hub_viewer, by key */
    struct map given;   /* struct hub_stream, by the cookie that it was given */
    size_t n_streams;
    size_t n_unknown;           /* cameras that no agent had */
    struct sio_buf *connecting; /* pictures of our own */
    struct sio_buf *lost;
    struct net_timer tick; /* runs while a camera is live */
};

/* SIO_OK or SIO_ERR_NOMEM; routes and events included. */
int hub_live_init(struct hub *hub);

/* The hub ends: cuts all streams. */
void hub_live_cut(struct hub *hub);

/* After the servers: nobody looks any more. */
void hub_live_fini(struct hub *hub);

/* The live camera of that ip, or NULL: nobody looks. */
struct hub_live_camera *hub_live_find(struct hub *hub, struct sio_str ip);

/*
 * The same, made if it is new; it ends by itself when nobody looks.  NULL: no memory, or
 * there are too many that no agent has.
 */
struct hub_live_camera *hub_live_open(struct hub *hub, struct sio_str ip);

/*
 * A picture has come, from wherever; jpeg is referenced.  False if nobody looks.
 */
bool hub_live_frame(struct hub *hub, struct sio_str ip, struct sio_buf *jpeg);

/* The same with the base64 text of a snapshot, which is decoded only if somebody looks. */
void hub_live_snapshot(struct hub *hub, struct sio_str ip, struct sio_str image);

/* The camera cannot be reached now. */
void hub_live_lost(struct hub *hub, struct sio_str ip);

/* It gave no snapshot, which says nothing about one whose live pictures come. */
void hub_live_snapshot_failed(struct hub *hub, struct sio_str ip);

/* An agent has registered or left: agents are told anew what to send. */
void hub_live_agents_changed(struct hub *hub);

/*
 * Of the HTTP side (live_http.c): shows the camera's picture to its streams.
 */
int hub_live_http_init(struct hub *hub);
void hub_live_http_fini(struct hub *hub);
void hub_live_http_show(struct hub_live_camera *c);

/*
 * A page of ours begins: whoever has none gets the cookie that tells viewers apart, with
 * the reply to r.  So all streams of that page come with it, in whatever order.
 */
void hub_live_http_greet(struct hub *hub, struct http_request *r);

/* Of the Socket.IO side (live_events.c). */
int hub_live_events_init(struct hub *hub);
void hub_live_events_show(struct hub *hub, struct hub_live_camera *c);
bool hub_live_events_watched(struct hub *hub, const struct hub_live_camera *c);
int hub_live_send_start(struct hub *hub, struct hub_nuc *nuc,
                        const struct hub_live_camera *c);
void hub_live_send_stop(struct hub *hub, struct hub_nuc *nuc, struct sio_str ip);
int hub_live_send_capture(struct hub *hub, struct hub_nuc *nuc, struct sio_str ip);

#endif
