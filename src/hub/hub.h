/*
 * hub/hub.h - the hub: everything that one server program holds
 *
 * No state is anywhere else, so two hubs can run in one process.
 */
#ifndef HUB_HUB_H
#define HUB_HUB_H

#include <sioc/loop.h>

#include "hub/config.h"

struct hub;

/*
 * Makes a hub that listens.  config is borrowed for the hub's life.  NULL with diag
 * filled.
 */
struct hub *hub_new(struct net_loop *loop, const struct hub_config *config,
                    struct sio_diag *diag);

/*
 * What hub_new would say of the settings and of the files that they name, without a port,
 * a folder that is made, or a word to Redis.
 */
int hub_check(struct net_loop *loop, const struct hub_config *config,
              struct sio_diag *diag);

/* Ends what is left and frees.  NULL is allowed. */
void hub_free(struct hub *hub);

/* The TCP port: the configured one, or what the kernel chose. */
int hub_port(const struct hub *hub);

/*
 * Reads the certificate and its key again; connections that are there keep the old one.
 * What goes wrong is logged, and the old one stays.  Nothing without TLS.
 */
void hub_reload(struct hub *hub);

/*
 * Graceful end: no new connections; agents are cut off, since an existing agent ends
 * for good when a server says goodbye, but comes back after a cut; viewers get a close
 * packet; replies are finished.  cb once, after at most timeout_ms.
 */
void hub_shutdown(struct hub *hub, uint32_t timeout_ms, void (*cb)(void *user),
                  void *user);

#endif
