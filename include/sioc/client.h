/*
 * sioc/client.h - Socket.IO client: one connection that comes back by itself
 */
#ifndef SIOC_CLIENT_H
#define SIOC_CLIENT_H

#include <sioc/message.h>

#ifdef __cplusplus
extern "C" {
#endif

struct sio_client;
struct sio_client_socket; /* a namespace of a client */

enum sio_client_transports {
    SIO_TRANSPORTS_DEFAULT,   /* WebSocket; polling where that fails */
    SIO_TRANSPORTS_UPGRADE,   /* polling, then upgrade to WebSocket */
    SIO_TRANSPORTS_WEBSOCKET, /* nothing else */
    SIO_TRANSPORTS_POLLING,
};

/* What happens to an event that is emitted while there is no connection. */
enum sio_client_offline {
    SIO_OFFLINE_KEEP,   /* all, in order, up to max_queue_bytes, then SIO_ERR_FULL */
    SIO_OFFLINE_NEWEST, /* the same, but the oldest makes room */
    SIO_OFFLINE_DROP,
};

struct sio_client_options {
    const char *
        url; /* http://, https://, ws://, wss://; host, port; a path other than "/" is refused */
    const char *path;                /* NULL: "/socket.io/" */
    const char *query;               /* "a=b&c=d" already encoded, or NULL */
    const char *const *extra_fields; /* "Name: value", NULL-terminated, or NULL */
    enum sio_client_transports transports;
    enum sio_client_offline offline;
    size_t max_queue_bytes;      /* 0: 16 MiB */
    size_t max_message;          /* accepted from the server; 0: 16 MiB */
    uint32_t connect_timeout_ms; /* of one attempt; 0: 20000 */
    bool no_reconnect;
    bool
        reconnect_after_server_disconnect; /* also after the server's DISCONNECT packet */
    uint32_t reconnect_delay_ms;           /* first; 0: 1000; doubles */
    uint32_t reconnect_delay_max_ms; /* 0: 5000; each times 0.5 to 1.5 at random */
    const char *tls_ca_file;         /* instead of the system's, or NULL */
    const char *tls_cert_file;       /* client certificate */
    const char *tls_key_file;
    bool tls_insecure; /* no verification: for tests */

    /* A connection attempt failed or a connection was lost: one sentence, and when the next attempt is. */
    void (*on_down)(struct sio_client *c, int error, const char *why,
                    uint32_t retry_in_ms, void *user);
    void *user;
};

/* Checks the options; nothing is dialled yet.  NULL with diag filled. */
SIOC_API struct sio_client *sio_client_new(struct net_loop *loop,
                                           const struct sio_client_options *opts,
                                           struct sio_diag *diag);
SIOC_API void sio_client_free(struct sio_client *c);

struct sio_client_socket_ops {
    void (*on_connect)(struct sio_client_socket *s, void *user); /* joined, each time */
    /* Refused by the server: its message and data (raw JSON object). */
    void (*on_connect_error)(struct sio_client_socket *s, struct sio_str message,
                             struct sio_str data, void *user);
    void (*on_disconnect)(struct sio_client_socket *s, const char *reason, void *user);
    void (*on_event)(struct sio_client_socket *s, struct sio_event *e, void *user);

    /* The auth object as raw JSON for each connection (borrowed until the next call); NULL: none. */
    struct sio_str (*auth)(struct sio_client_socket *s, void *user);
};

/* Adds a namespace ("/" or "/name"), joined on each connection.  NULL: bad name, twice, memory. */
SIOC_API struct sio_client_socket *
sio_client_socket(struct sio_client *c, const char *name,
                  const struct sio_client_socket_ops *ops, void *user);

/* Begins to connect, for ever unless no_reconnect. */
SIOC_API int sio_client_connect(struct sio_client *c);

/* Sends DISCONNECT and a close packet, then cb once (NULL allowed).  No reconnection. */
SIOC_API void sio_client_close(struct sio_client *c, void (*cb)(void *user),
                               void *user);

SIOC_API bool sio_client_connected(const struct sio_client *c);
SIOC_API const char *
sio_client_transport(const struct sio_client *c); /* "" while there is none */
/* Bytes that wait to be sent: offline queue and connection. */
SIOC_API size_t sio_client_pending(const struct sio_client *c);
/* maxPayload as the server announced; 0: unknown. */
SIOC_API size_t sio_client_max_payload(const struct sio_client *c);

SIOC_API bool sio_client_socket_connected(const struct sio_client_socket *s);
SIOC_API struct sio_str sio_client_socket_id(const struct sio_client_socket *s);
typedef void (*sio_client_event_cb)(struct sio_client_socket *s, struct sio_event *e,
                                    void *user);
SIOC_API int sio_client_socket_on(struct sio_client_socket *s, const char *event,
                                  sio_client_event_cb cb, void *user);
SIOC_API int sio_client_socket_emit(struct sio_client_socket *s, struct sio_message *m);
SIOC_API int sio_client_socket_emit_ack(struct sio_client_socket *s,
                                        struct sio_message *m, uint32_t timeout_ms,
                                        sio_ack_cb cb, void *user);
/*
 * Calls cb once when all that was emitted so far has been handed to the kernel; SIO_ERR_CLOSED when
 * the connection was lost before.  Pacing for senders of large messages.
 */
SIOC_API int sio_client_on_flushed(struct sio_client *c,
                                   void (*cb)(int status, void *user), void *user);

#ifdef __cplusplus
}
#endif
#endif
