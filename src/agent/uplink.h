/*
 * agent/uplink.h - the cameras' results on their way to the hub
 *
 * Registers on every connection, asks each listed camera for a picture at once and
 * then at every interval, each at its own time within it.  Sends one picture at a time:
 * the next when the kernel has taken the last one.  A camera whose picture could not be
 * sent in time offers a newer one instead, so a slow link gets fewer pictures and no queue
 * grows.
 */
#ifndef AGENT_UPLINK_H
#define AGENT_UPLINK_H

#include <sioc/loop.h>

#include "agent/config.h"

struct agent_uplink;

/*
 * Makes the client and a camera for each source of config (moved out of it); nothing
 * is dialled yet.  config outlives the uplink.  NULL with diag.
 */
struct agent_uplink *agent_uplink_new(struct net_loop *loop,
                                      struct agent_config *config,
                                      struct sio_diag *diag);

/* Begins to connect, for ever, and to play what is kept warm.  An enum sio_error. */
int agent_uplink_connect(struct agent_uplink *u, struct sio_diag *diag);

/* Says good-bye to the hub; then on_closed once, on the loop. */
void agent_uplink_close(struct agent_uplink *u, void (*on_closed)(void *user),
                        void *user);

/* Ends the capture threads and frees the client; the loop is still there. */
void agent_uplink_stop(struct agent_uplink *u);

/* Frees what agent_uplink_stop left, once the loop has been freed.  NULL is allowed. */
void agent_uplink_free(struct agent_uplink *u);

#endif
