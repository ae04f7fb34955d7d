/*
 * cluster/local.h - what another server wants done with this server's sockets
 *
 * Nothing of it goes out to the others again.  All arguments are borrowed.  (Rooms to
 * enter and leave, lists and the like are calls of sio_namespace_* with a target that is
 * local.)
 */
#ifndef CLUSTER_LOCAL_H
#define CLUSTER_LOCAL_H

#include "cluster/cluster.h"
#include "cluster/codec.h"

/* Questions of others that wait for answers here, all namespaces together. */
#define CLUSTER_MAX_FOREIGN 4096

/* Whom a message is for, of this server's sockets; borrowed from msg. */
struct sio_target cluster_local_target(const struct sio_cluster_msg *msg);

/*
 * The event as a message to send on, with msg's flags; the caller frees *out.  SIO_OK;
 * SIO_ERR_PROTOCOL: the event's name has a NUL; SIO_ERR_NOMEM.
 */
int cluster_local_message(const struct sio_cluster_msg *msg, const struct sio_event *e,
                          struct sio_message **out);

/*
 * Emits the event to whom msg is for, with its flags.  As sio_namespace_emit, and
 * SIO_ERR_PROTOCOL: the event's name has a NUL.
 */
int cluster_local_emit(struct sio_namespace *ns, const struct sio_cluster_msg *msg,
                       const struct sio_event *e);

/*
 * Asks them, for msg's timeout; answers go through the adapter's count and ack.  SIO_OK,
 * errors as above, SIO_ERR_FULL.
 */
int cluster_local_ask(struct cluster_adapter *a, const struct cluster_origin *from,
                      const struct sio_cluster_msg *msg, const struct sio_event *e);

/*
 * An event for the server itself; from NULL: no answer is wanted, else it goes through
 * the adapter's side, now or, for some time, later.
 */
void cluster_local_side(struct cluster_adapter *a, const struct cluster_origin *from,
                        struct sio_event *e);
/* The adapter ends: later answers reach nobody. */
void cluster_local_end(struct cluster_adapter *a);

#endif
