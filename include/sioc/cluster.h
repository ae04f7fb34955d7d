/*
 * sioc/cluster.h - many servers that act as one, through Redis
 *
 * Broadcasts, rooms, acks, and the calls on sockets of all servers reach the clients of
 * every server that stands on the same Redis with the same key: servers of this library,
 * servers of Node with @socket.io/redis-adapter, processes with @socket.io/redis-emitter,
 * and Python processes with python-socketio's Redis manager.
 *
 *     struct sio_cluster *cluster = sio_cluster_new(loop, &cluster_options, &diag);
 *     struct sio_server_options options = {.adapter = sio_cluster_adapter,
 *                                          .adapter_user = cluster};
 *
 * A server's own clients never wait for Redis.  What the others should have got while
 * Redis is away or does not answer is lost and counted (Redis keeps no message for who
 * does not listen); calls that collect answers then end at once with what is known here.
 *
 * A message between servers is at most as large as all that a client may send
 * (sio_server_options.max_binary_bytes, and 64 KiB), as max_unsent below, and as 32 MiB.
 * What is larger reaches this server's own clients only: it is not sent to the others, of
 * Node neither, but counted, and told of in the log; from another server it is rejected.
 * Servers that send more to clients than they take from them raise that limit, all of them.
 *
 * Whoever may publish on this Redis may send to every client and disconnect them: keep it
 * where only servers reach it, or give it users with rights (ACL) on channels.
 *
 * All of it belongs to the loop's thread.
 */
#ifndef SIOC_CLUSTER_H
#define SIOC_CLUSTER_H

#include <sioc/loop.h>
#include <sioc/message.h>
#include <sioc/server.h>

#ifdef __cplusplus
extern "C" {
#endif

struct sio_cluster;

enum sio_cluster_mode {
    /* createAdapter of the npm package @socket.io/redis-adapter: any Redis. */
    SIO_CLUSTER_PUBSUB,
    /*
     * createShardedAdapter, Redis 7 and later: a server hears only of rooms that it has
     * sockets in.
     */
    SIO_CLUSTER_SHARDED,
};

/*
 * Which rooms have a channel of their own with SIO_CLUSTER_SHARDED; what is for the others
 * goes to all servers.  It has to be the same on all of them, where Node calls it
 * subscriptionMode.
 */
enum sio_cluster_subscriptions {
    SIO_CLUSTER_DYNAMIC,         /* all but those of ids: "dynamic", Node's default */
    SIO_CLUSTER_STATIC,          /* none: "static"; where many rooms come and go */
    SIO_CLUSTER_DYNAMIC_PRIVATE, /* also each socket's id: "dynamic-private" */
};

struct sio_cluster_options {
    /*
     * redis://[user][:password@]host[:port], rediss:// the same with TLS,
     * unix://[user][:password@]/path/of/socket.  The certificate must be of one of the
     * system's CAs and for that host, unless the query says otherwise: ssl_ca_certs=FILE,
     * ssl_check_hostname=false, ssl_cert_reqs=none; ssl_certfile=FILE and ssl_keyfile=FILE
     * are a certificate of ours.  Of a Redis Cluster any node (Redis 6): the others are
     * asked for, and get the same user and password.
     */
    const char *redis_url;
    const char *key; /* the beginning of all channels; NULL: "socket.io" */
    enum sio_cluster_mode mode;
    enum sio_cluster_subscriptions subscriptions;
    /* For the answers of other servers where a call names no time; 0: 5000. */
    uint32_t request_timeout_ms;
    /* Bytes that wait for a Redis that does not take them; more are dropped; 0: 16 MiB. */
    size_t max_unsent;
    /*
     * A channel of python-socketio's manager: what is emitted there as JSON goes to this
     * server's clients ("socketio" is that package's own default, "flask-socketio" is
     * Flask-SocketIO's).  Messages in pickle are not read.  NULL: none.
     */
    const char *python_channel;
    /*
     * Answers go only to the server that asked, as with node's option
     * publishOnSpecificResponseChannel; else to all, who pass over what they did not ask.
     * Of SIO_CLUSTER_PUBSUB; for clusters whose servers all hear that (since version 7.1).
     */
    bool direct_answers;
};

/*
 * Begins to connect; the server starts whether Redis is there or not.  opts is copied.
 * NULL with diag filled: the URL is wrong, out of memory, or built without Redis.
 */
SIOC_API struct sio_cluster *sio_cluster_new(struct net_loop *loop,
                                             const struct sio_cluster_options *opts,
                                             struct sio_diag *diag);
/* After the server that uses it, and not from a handler.  NULL is allowed. */
SIOC_API void sio_cluster_free(struct sio_cluster *c);

/*
 * For sio_server_options.adapter, with the cluster as adapter_user.  A cluster serves one
 * server: a second namespace of the same name is refused.
 */
SIOC_API struct sio_adapter *sio_cluster_adapter(struct sio_namespace *ns,
                                                 void *cluster);

/* Redis is there, and what others say is heard. */
SIOC_API bool sio_cluster_is_up(const struct sio_cluster *c);
/* Its name among the servers: random, new with each start; borrowed. */
SIOC_API struct sio_str sio_cluster_uid(const struct sio_cluster *c);

struct sio_cluster_stats {
    uint64_t n_sent;    /* to Redis */
    uint64_t n_dropped; /* for want of a Redis that takes them */
    uint64_t n_too_big; /* larger than other servers take: not sent */
    uint64_t n_lost;    /* sent, and the connection went before Redis had said so */
    uint64_t n_received;
    uint64_t n_rejected; /* of these: no message that this library understands */
    uint64_t n_foreign;  /* of these: of another namespace, or of this server itself */
    uint64_t n_timeouts; /* answers of other servers that did not come in time */
};
SIOC_API void sio_cluster_stats(const struct sio_cluster *c,
                                struct sio_cluster_stats *out);

/*
 * Who only sends: to clients of all servers, without being one.
 */
struct sio_emitter;

struct sio_emitter_options {
    const char *redis_url;
    const char *key; /* this and the rest as the servers' */
    enum sio_cluster_mode mode;
    enum sio_cluster_subscriptions subscriptions;
};

/* As sio_cluster_new. */
SIOC_API struct sio_emitter *sio_emitter_new(struct net_loop *loop,
                                             const struct sio_emitter_options *opts,
                                             struct sio_diag *diag);
/*
 * What has not been taken by Redis is lost: sio_emitter_flush, whose callback is called
 * here with SIO_ERR_CLOSED if it has not been.  NULL is allowed.
 */
SIOC_API void sio_emitter_free(struct sio_emitter *e);

/*
 * To the clients of namespace nsp ("/") whom target names (NULL: all; except_socket and
 * local are not for emitters).  m stays the caller's.  What is sent while Redis is not
 * there yet waits, 1 MiB at most or one message.  SIO_OK; SIO_ERR_FULL: too much waits;
 * SIO_ERR_TOO_BIG: more than 16 MiB, which never goes (servers may take less, see above);
 * SIO_ERR_INVAL: not a name of a namespace; SIO_ERR_NOMEM; what went wrong when m was built.
 */
SIOC_API int sio_emitter_emit(struct sio_emitter *e, struct sio_str nsp,
                              const struct sio_target *target, struct sio_message *m);
SIOC_API int sio_emitter_join(struct sio_emitter *e, struct sio_str nsp,
                              const struct sio_target *target,
                              const struct sio_str *rooms, size_t n);
SIOC_API int sio_emitter_leave(struct sio_emitter *e, struct sio_str nsp,
                               const struct sio_target *target,
                               const struct sio_str *rooms, size_t n);
SIOC_API int sio_emitter_disconnect(struct sio_emitter *e, struct sio_str nsp,
                                    const struct sio_target *target, bool close);
/*
 * To the servers: sio_namespace_on_side_emit.  SIO_ERR_UNSUPPORTED: m has bytes, which
 * SIO_CLUSTER_PUBSUB cannot say.
 */
SIOC_API int sio_emitter_side_emit(struct sio_emitter *e, struct sio_str nsp,
                                   struct sio_message *m);

/*
 * Calls cb once Redis has taken what was sent so far: SIO_OK; else SIO_ERR_TIMEOUT after
 * timeout_ms, SIO_ERR_CLOSED when the connection was lost with some of it, SIO_ERR_REFUSED
 * where Redis did not want it.  cb may free e.  SIO_ERR_AGAIN: another flush is under way;
 * SIO_ERR_NOMEM.
 */
SIOC_API int sio_emitter_flush(struct sio_emitter *e, uint32_t timeout_ms,
                               void (*cb)(int status, void *user), void *user);

/*
 * How many messages Redis has taken that nobody listened to: another key, another mode, no
 * server at all; with SIO_CLUSTER_SHARDED also an empty room.  With SIO_CLUSTER_PUBSUB only
 * those of a Redis Cluster count that listen at the node that took it.
 */
SIOC_API uint64_t sio_emitter_unheard(const struct sio_emitter *e);

#ifdef __cplusplus
}
#endif
#endif
