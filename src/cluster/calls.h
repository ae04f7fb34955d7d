/*
 * cluster/calls.h - what the adapters of a cluster say to the other servers
 *
 * The functions of sio_adapter_ops that reach them, for both kinds.  What differs is how a
 * message is written, and where it goes.
 */
#ifndef CLUSTER_CALLS_H
#define CLUSTER_CALLS_H

#include "cluster/cluster.h"
#include "cluster/codec.h"

enum cluster_order { CLUSTER_JOIN, CLUSTER_LEAVE, CLUSTER_DISCONNECT, CLUSTER_LIST };

struct cluster_words {
    enum cluster_topic_kind kind;

    /* Where all listen to questions and orders: its listeners are the servers. */
    const struct cluster_topic *(*all)(const struct cluster_adapter *a);
    /* Whether what is for this room alone has a channel of its own. */
    bool (*has_channel)(const struct cluster_adapter *a, struct sio_str room);

    /*
     * These write, behind what w holds.  id ptr NULL: no answer is wanted.  SIO_OK, or an
     * error: then what w holds is of no use.
     */
    int (*broadcast)(const struct cluster_adapter *a, struct wbuf *w,
                     struct sio_cluster_refs *refs, const struct sio_target *target,
                     struct sio_message *m);
    int (*ask)(const struct cluster_adapter *a, struct wbuf *w, struct sio_str id,
               const struct sio_target *target, struct sio_message *m,
               uint32_t timeout_ms);
    /* JOIN, LEAVE with rooms; DISCONNECT with close; LIST with id. */
    int (*order)(const struct cluster_adapter *a, struct wbuf *w,
                 enum cluster_order what, struct sio_str id,
                 const struct sio_target *target, const struct sio_str *rooms, size_t n,
                 bool close);
    int (*side)(const struct cluster_adapter *a, struct wbuf *w, struct sio_str id,
                struct sio_message *m);
};

int cluster_broadcast(struct sio_adapter *a, const struct sio_target *target,
                      struct sio_message *m);
int cluster_remote_join(struct sio_adapter *a, const struct sio_target *target,
                        const struct sio_str *rooms, size_t n);
int cluster_remote_leave(struct sio_adapter *a, const struct sio_target *target,
                         const struct sio_str *rooms, size_t n);
int cluster_remote_disconnect(struct sio_adapter *a, const struct sio_target *target,
                              bool close);
int cluster_remote_ask(struct sio_adapter *a, const struct sio_target *target,
                       struct sio_message *m, uint32_t timeout_ms,
                       struct sio_answers *answers);
int cluster_remote_fetch(struct sio_adapter *a, const struct sio_target *target,
                         struct sio_fetch *fetch);
int cluster_remote_side_emit(struct sio_adapter *a, struct sio_message *m,
                             uint32_t timeout_ms, struct sio_answers *answers);

#endif
