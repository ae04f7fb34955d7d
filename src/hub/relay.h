/*
 * hub/relay.h - what crosses between hubs that act as one
 *
 * A picture is put into Redis by the hub that its agent is connected to; the others are
 * told that there is a newer one, and fetch it only where somebody wants it.  So it goes to
 * Redis once, and once to each hub with viewers.  Live pictures go to the hubs that have
 * asked for them, each once.  Nothing here is kept for a hub that does not listen, and none
 * of this hub's clients waits for another one.
 *
 * All functions do nothing, at the cost of a test, where the hub is alone.
 */
#ifndef HUB_RELAY_H
#define HUB_RELAY_H

#include <sioc/bytes.h>
#include <sioc/error.h>

#include "hub/peers.h"

struct hub;
struct hub_live_camera;
struct hub_nuc;

/* Another hub that looks at a camera of an agent of this one. */
struct hub_lease {
    struct list link; /* in hub_live_camera.leases */
    struct hub_peer *peer;
    uint64_t until_ms;
};

/* A camera that is looked at here, of another hub's agent. */
struct hub_live_remote {
    struct hub *hub;
    struct hub_live_camera *camera;
    struct hub_peer *owner; /* where its pictures come from; NULL: it has gone */
    struct cluster_topic topic;
    uint64_t watched_ms; /* when the owner was told last; 0: is to be told */
};

/*
 * The connection to the other hubs, before the servers; the rest, after them.  SIO_OK, or
 * an error with diag filled; stop and fini are due in any case.
 */
int hub_relay_connect(struct hub *hub, struct sio_diag *diag);
int hub_relay_begin(struct hub *hub, struct sio_diag *diag);
/* Says bye. */
void hub_relay_stop(struct hub *hub);
/* After servers and live view, before the store: no other hub is known any more. */
void hub_relay_fini(struct hub *hub);

/* A NUC has come to this hub, or registered; its last socket here goes. */
void hub_relay_nuc(struct hub *hub, const struct hub_nuc *nuc);
void hub_relay_nuc_goes(struct hub *hub, const struct hub_nuc *nuc);

/* For the store: it has written the value of that key to Redis. */
void hub_relay_written(struct sio_str key, void *hub);

/* Has the hub of a remote NUC ask it for a picture.  SIO_OK, or why it was not told. */
int hub_relay_capture(struct hub *hub, const struct hub_nuc *nuc, struct sio_str ip);

/*
 * Live view (relay_live.c).  hub_relay_watch: the hub of a remote NUC is told, now and then,
 * that somebody looks here; hub_relay_unwatch: nobody any more.  hub_relay_is_watched: other
 * hubs look; hub_relay_show: they are sent what is shown now.  hub_relay_end: the camera
 * ends.
 */
void hub_relay_watch(struct hub *hub, struct hub_live_camera *c, struct hub_nuc *nuc);
void hub_relay_unwatch(struct hub *hub, struct hub_live_camera *c);
bool hub_relay_is_watched(struct hub *hub, struct hub_live_camera *c);
void hub_relay_show(struct hub *hub, struct hub_live_camera *c);
void hub_relay_end(struct hub *hub, struct hub_live_camera *c);

/* For relay.c: a message about live view has come; a hub, or an agent's place, has gone. */
void hub_relay_live_message(struct hub *hub, struct hub_peer *from,
                            const struct hub_wire_msg *m);
void hub_relay_live_gone(struct hub *hub, const struct hub_peer *peer);
void hub_relay_live_moved(struct hub *hub, const struct hub_nuc *nuc);

#endif
