/*
 * cluster/message.h - the cluster message: what servers with the sharded adapter say
 *
 *     {type, data: {...}, uid, nsp}
 *
 * as JSON, or as MessagePack where bytes are inside: a first byte `{` tells which.  Reads
 * bytes and gives values, writes values; no I/O.  A message is read into the same struct
 * as those of the classic adapter, and has the same parts (codec.h).
 *
 * (The wire format of ClusterAdapter in the npm package socket.io-adapter 2, as
 * createShardedAdapter of @socket.io/redis-adapter 8.3 sends it)
 */
#ifndef CLUSTER_MESSAGE_H
#define CLUSTER_MESSAGE_H

#include <sioc/cluster.h>

#include "cluster/codec.h"

/* On the wire.  Heartbeats and CLOSE are other adapters', and have no data. */
enum sio_sharded_type {
    SIO_SHARDED_FIRST_HEARTBEAT = 1,
    SIO_SHARDED_HEARTBEAT,
    SIO_SHARDED_BROADCAST, /* opts, packet {type, data}; a question has request_id */
    SIO_SHARDED_JOIN,      /* opts, names */
    SIO_SHARDED_LEAVE,
    SIO_SHARDED_DISCONNECT, /* opts, close */
    SIO_SHARDED_FETCH,      /* opts, request_id */
    SIO_SHARDED_SOCKETS,    /* the answer: request_id, sockets */
    SIO_SHARDED_SIDE_EMIT,  /* packet: an array; request_id where an answer is wanted */
    SIO_SHARDED_SIDE_ANSWER,  /* request_id; packet: a value, none for undefined */
    SIO_SHARDED_CLIENT_COUNT, /* request_id, client_count */
    SIO_SHARDED_ACK,          /* request_id; packet: a value, none for undefined */
    SIO_SHARDED_CLOSE,
};

/*
 * Reads one message; sio_cluster_msg_fini ends it, whatever came out.  uid and nsp are
 * there, and what its type cannot do without.  SIO_OK; SIO_ERR_PARSE: it is none, or of
 * no type above; SIO_ERR_TOO_BIG: nested too deeply, more than SIO_CLUSTER_MAX_NAMES;
 * SIO_ERR_NOMEM.
 */
int sio_sharded_read(struct sio_slice in, struct sio_cluster_msg *out);

/*
 * Shows the event of a BROADCAST or a SIDE_EMIT, and what an ACK or a SIDE_ANSWER says
 * as an event without a name.  As sio_cluster_show_packet.
 */
int sio_sharded_show(const struct sio_cluster_msg *msg,
                     void (*fn)(struct sio_event *e, void *user), void *user);

/* Who writes. */
struct sio_sharded_sender {
    struct sio_str uid;
    struct sio_str nsp;
};

/*
 * Writing, behind what w holds: MessagePack where there are bytes.  request_id ptr NULL:
 * no answer is wanted.  refs as in codec.h.  SIO_OK, SIO_ERR_NOMEM, or what went wrong
 * when m was built.
 */
int sio_sharded_write_broadcast(struct wbuf *w, struct sio_cluster_refs *refs,
                                const struct sio_sharded_sender *from,
                                struct sio_str request_id,
                                const struct sio_target *target, struct sio_message *m,
                                uint32_t timeout_ms);
/* JOIN, LEAVE with names; DISCONNECT with close; FETCH with request_id. */
int sio_sharded_write_request(struct wbuf *w, const struct sio_sharded_sender *from,
                              enum sio_sharded_type type, struct sio_str request_id,
                              const struct sio_target *target,
                              const struct sio_str *names, size_t n, bool close);
int sio_sharded_write_side_emit(struct wbuf *w, const struct sio_sharded_sender *from,
                                struct sio_str request_id, struct sio_message *m);

/* ACK and SIDE_ANSWER: the first argument of e. */
int sio_sharded_write_answer(struct wbuf *w, const struct sio_sharded_sender *from,
                             enum sio_sharded_type type, struct sio_str request_id,
                             struct sio_event *e);
int sio_sharded_write_count(struct wbuf *w, const struct sio_sharded_sender *from,
                            struct sio_str request_id, uint32_t n);

/*
 * SOCKETS: begins; each is one sio_cluster_write_socket, with a ',' in between; ends.
 * Those that return nothing leave their failure to w->error.
 */
void sio_sharded_begin_sockets(struct wbuf *w, struct sio_str request_id);
int sio_sharded_end_sockets(struct wbuf *w, const struct sio_sharded_sender *from);

/*
 * Channels of rooms, a socket's id being one.  True if servers send there what is for the
 * room alone: so who has it listens.  With SIO_CLUSTER_DYNAMIC node's servers do not where
 * a name has the length of an id.
 */
bool sio_sharded_is_heard(enum sio_cluster_subscriptions subscriptions,
                          struct sio_str room);
/*
 * True if all who have it listen.  With SIO_CLUSTER_DYNAMIC node's servers do not for ids,
 * of which those of clients of Socket.IO 2 may be longer: "/nsp#SID", "name.SID".
 */
bool sio_sharded_has_channel(enum sio_cluster_subscriptions subscriptions,
                             struct sio_str room);

/* How each of from's messages ends. */
int sio_sharded_write_tail(struct wbuf *w, const struct sio_sharded_sender *from,
                           bool msgpack);

#endif
