/*
 * sioc/client.h - Socket.IO client: one connection that comes back by itself
 *
 * A client dials a server, over WebSocket or polling, and joins namespaces on it,
 * each of which is a socket.  When the connection is lost it dials again, for ever
 * unless told otherwise, with a growing, random delay, and joins again.  Everything runs on the loop's
 * thread.  Any callback may close or free the client; no callback runs before the call
 * that asks for it has returned, unless said otherwise.
 * (Socket.IO protocol 5, Engine.IO protocol 4)
 */
#ifndef SIOC_CLIENT_H
#define SIOC_CLIENT_H

#include <sioc/engineio.h>
#include <sioc/message.h>
#include <sioc/parser.h>

#ifdef __cplusplus
extern "C" {
#endif

struct sio_client;
struct sio_client_socket; /* a namespace of a client */

enum sio_client_transports {
    SIO_TRANSPORTS_DEFAULT,   /* WebSocket; polling where its handshake fails */
    SIO_TRANSPORTS_UPGRADE,   /* polling, then WebSocket where the server offers it */
    SIO_TRANSPORTS_WEBSOCKET, /* nothing else */
    SIO_TRANSPORTS_POLLING,
};

enum sio_tls_version {
    SIO_TLS_DEFAULT, /* 1.2 and later */
    SIO_TLS_1_3,     /* and later */
};

/* What happens to an event that is emitted while its namespace is not joined. */
enum sio_client_offline {
    SIO_OFFLINE_KEEP,   /* all, in order, up to max_queue_bytes, then SIO_ERR_FULL */
    SIO_OFFLINE_NEWEST, /* the same, but the oldest makes room */
    SIO_OFFLINE_DROP,   /* SIO_ERR_CLOSED */
};

/* Zero is the default of each.  All text is copied. */
struct sio_client_options {
    /* http://, https://, ws:// or wss://, a host and maybe a port; no path, no user. */
    const char *url;
    const char *path;                /* begins and ends with '/'; NULL: "/socket.io/" */
    const char *query;               /* "a=b&c=d", percent-encoded, or NULL */
    const char *const *extra_fields; /* "Name: value", NULL-terminated, or NULL */
    enum sio_client_transports transports;
    /* With SIO_TRANSPORTS_UPGRADE: WebSocket alone where polling fails. */
    bool try_all_transports;
    enum sio_client_offline offline;
    size_t max_queue_bytes; /* waiting to be sent, connected or not; 0: 16 MiB */
    size_t max_message; /* bytes, accepted from the server in one message; 0: 16 MiB */
    enum sio_parser_kind parser; /* what the server uses; 0: SIO_PARSER_JSON */

    /*
     * An HTTP proxy, "http://[user:password@]host[:port]" with what is special in user and
     * password percent-encoded, through which every connection goes by CONNECT, plain ones
     * too.  NULL: as the environment says (https_proxy and HTTPS_PROXY for TLS, else
     * http_proxy and HTTP_PROXY; all_proxy and ALL_PROXY; and no_proxy and NO_PROXY: a list
     * of *, names, which stand for those below them too, addresses and networks as
     * 192.0.2.0/24, maybe with a port).  "": none.  The server's name is then looked up by
     * the proxy.
     */
    const char *proxy;

    /*
     * Events that are sent again until the server acknowledges them, volatile ones
     * excepted: each is tried at most 1 + retries times, one at a time and in order, and
     * survives reconnections.  It may arrive more than once.  0: sent once.
     */
    uint32_t retries;
    /*
     * For sio_client_socket_emit_ack without a time of its own, and for each try; 0:
     * never, with retries 10 s.
     */
    uint32_t ack_timeout_ms;

    uint32_t connect_timeout_ms; /* of one attempt, and to join a namespace; 0: 20 s */
    bool no_reconnect;

    /*
     * Also join again, after the same delays, when the server has sent DISCONNECT or
     * CONNECT_ERROR for a namespace.  Without it that is the end of the namespace until
     * the next sio_client_connect, as with other clients.
     */
    bool reconnect_after_server_disconnect;
    uint32_t reconnect_delay_ms;     /* the first; 0: 1 s; each one doubles */
    uint32_t reconnect_delay_max_ms; /* 0: 5 s */
    int reconnect_jitter_percent;    /* each, more or less at random; 0: 50; <0: none */
    uint32_t reconnect_attempts;     /* then it gives up; 0: never */

    const char *tls_ca_file;     /* PEM; trusted instead of the system's CAs, or NULL */
    const char *tls_cert_file;   /* PEM; the client's certificate, or NULL */
    const char *tls_key_file;    /* PEM; NULL: in tls_cert_file */
    const char *tls_server_name; /* SNI, and the name to verify; NULL: the URL's host */
    enum sio_tls_version tls_min_version;
    bool tls_insecure; /* no verification at all: for tests */

    /* permessage-deflate on WebSocket, offered where enabled. */
    struct eio_deflate_options deflate;

    /*
     * An attempt failed, or the connection was lost: why in one sentence (borrowed),
     * and in how many milliseconds the next attempt is made; 0: none is.  error:
     * SIO_ERR_RESOLVE, _REFUSED, _TIMEOUT, _TLS (handshake, certificate), _IO, _CLOSED
     * (by the server), _PROTOCOL, _PARSE, _TOO_BIG (what the server sent), _NOMEM.  May
     * be NULL.
     */
    void (*on_down)(struct sio_client *c, int error, const char *why,
                    uint32_t retry_in_ms, void *user);
    /*
     * An attempt begins: n is how many have failed since a namespace was joined last.
     * May be NULL.
     */
    void (*on_attempt)(struct sio_client *c, uint32_t n, void *user);
    /* A connection is there; namespaces are joined next.  May be NULL. */
    void (*on_up)(struct sio_client *c, void *user);
    void *user;
};

/*
 * Checks the options and reads the TLS files; nothing is dialled yet.  NULL with diag
 * (may be NULL) filled.  The caller frees it before the loop.
 */
SIOC_API struct sio_client *sio_client_new(struct net_loop *loop,
                                           const struct sio_client_options *opts,
                                           struct sio_diag *diag);

/*
 * Ends at once and frees, its sockets too.  Acks and flushed callbacks that wait are
 * told SIO_ERR_CLOSED before this returns; nothing else is called any more.  NULL is
 * allowed.
 */
SIOC_API void sio_client_free(struct sio_client *c);

/* Each may be NULL. */
struct sio_client_socket_ops {
    /* Joined, each time.  What was kept while not joined leaves after this returns. */
    void (*on_connect)(struct sio_client_socket *s, void *user);

    /*
     * Refused by the server: its message, and its data as JSON (ptr NULL: none);
     * borrowed.
     */
    void (*on_connect_error)(struct sio_client_socket *s, struct sio_str message,
                             struct sio_str data, void *user);

    /*
     * No longer joined, once for each on_connect: "io server disconnect", "io client
     * disconnect", "transport close", "transport error", "ping timeout", "parse error".
     * Acks that waited have been told before.
     */
    void (*on_disconnect)(struct sio_client_socket *s, const char *reason, void *user);

    /* An event that no sio_client_socket_on handler takes.  e is borrowed. */
    void (*on_event)(struct sio_client_socket *s, struct sio_event *e, void *user);

    /*
     * The auth payload, a JSON object, asked for before each join; borrowed until the
     * next call. ptr NULL: none.  NULL: what sio_client_socket_set_auth said.
     */
    struct sio_str (*auth)(struct sio_client_socket *s, void *user);

    /*
     * The same where it takes time, and instead of auth: answered at once or later by
     * sio_client_socket_give_auth, within connect_timeout_ms.
     */
    void (*auth_later)(struct sio_client_socket *s, void *user);
};

/*
 * Adds a namespace, "/" or "/name", which is joined on each connection.  ops are
 * borrowed; the socket is the client's and lives as long.  NULL: bad name, added
 * already, out of memory.
 */
SIOC_API struct sio_client_socket *
sio_client_join(struct sio_client *c, const char *name,
                const struct sio_client_socket_ops *ops, void *user);

/*
 * Leaves the namespace: on_disconnect ("io client disconnect") runs before this returns.
 * The connection and other namespaces stay, and it is not joined again until
 * sio_client_socket_connect or sio_client_connect.
 */
SIOC_API void sio_client_socket_disconnect(struct sio_client_socket *s);

/*
 * Joins a namespace that was left, refused or disconnected, connecting if need be.
 * Errors as sio_client_connect.
 */
SIOC_API int sio_client_socket_connect(struct sio_client_socket *s);

/*
 * The auth payload by value, a JSON object (copied), for the next joins; ptr NULL: none.
 * SIO_OK, SIO_ERR_INVAL (no object), SIO_ERR_NOMEM.
 */
SIOC_API int sio_client_socket_set_auth(struct sio_client_socket *s,
                                        struct sio_str json);

/*
 * Answers auth_later, once each time.  SIO_OK, SIO_ERR_INVAL (no object: answer again),
 * SIO_ERR_CLOSED (nobody asks any more).
 */
SIOC_API int sio_client_socket_give_auth(struct sio_client_socket *s,
                                         struct sio_str json);

/*
 * Begins to connect; harmless when it has begun.  Also joins again what the server had
 * disconnected or refused.  SIO_OK, SIO_ERR_NOMEM, SIO_ERR_CLOSED (it is just closing).
 */
SIOC_API int sio_client_connect(struct sio_client *c);

/*
 * Sends what waits, DISCONNECT and a close packet, for at most 2 s, then calls cb (may
 * be NULL) once.  on_disconnect runs before this returns.  No reconnection, until
 * sio_client_connect.
 */
SIOC_API void sio_client_close(struct sio_client *c, void (*cb)(void *user),
                               void *user);

/* True while there is a connection, joined or not. */
SIOC_API bool sio_client_connected(const struct sio_client *c);

/* "websocket" or "polling"; "" while there is no connection. */
SIOC_API const char *sio_client_transport(const struct sio_client *c);

/* Bytes that wait to be sent: kept ones, and those the kernel has not taken. */
SIOC_API size_t sio_client_pending(const struct sio_client *c);

/* The largest message in bytes that the server says it takes; 0: unknown. */
SIOC_API size_t sio_client_max_payload(const struct sio_client *c);

/* True while joined. */
SIOC_API bool sio_client_socket_connected(const struct sio_client_socket *s);

/*
 * Whether the server took up the socket where it was lost: the same id and rooms, and
 * what was missed follows.  That is up to the server; the client always asks.  The last
 * argument of each event is then the server's offset, as other clients see it too.
 * (Socket.IO, "Connection state recovery")
 */
SIOC_API bool sio_client_socket_recovered(const struct sio_client_socket *s);

/* The public id that the server gave; empty while not joined. */
SIOC_API struct sio_str sio_client_socket_id(const struct sio_client_socket *s);

/* e is borrowed. */
typedef void (*sio_client_event_cb)(struct sio_client_socket *s, struct sio_event *e,
                                    void *user);

/*
 * A handler for one event name; a second one replaces the first.  SIO_OK,
 * SIO_ERR_NOMEM, SIO_ERR_INVAL (a name reserved by the protocol: see
 * sio_client_socket_ops).
 */
SIOC_API int sio_client_socket_on(struct sio_client_socket *s, const char *event,
                                  sio_client_event_cb cb, void *user);

/* Takes it off; harmless when there is none. */
SIOC_API void sio_client_socket_off(struct sio_client_socket *s, const char *event);

/*
 * A listener to every event that comes in, called before its handler, whether or not
 * there is one; behind (or in front of, prepend) those that listen already.  Off takes off
 * that of the same cb and user, or all for a NULL cb, also during a call.  SIO_OK,
 * SIO_ERR_NOMEM.
 */
SIOC_API int sio_client_socket_on_any(struct sio_client_socket *s,
                                      sio_client_event_cb cb, void *user);
SIOC_API int sio_client_socket_prepend_any(struct sio_client_socket *s,
                                           sio_client_event_cb cb, void *user);
SIOC_API void sio_client_socket_off_any(struct sio_client_socket *s,
                                        sio_client_event_cb cb, void *user);

/*
 * The same for every event that is sent, at the moment when it is queued to the
 * connection: inside sio_client_socket_emit, or later for what was kept.  Answers to acks
 * are not told.
 */
SIOC_API int sio_client_socket_on_any_outgoing(struct sio_client_socket *s,
                                               sio_client_event_cb cb, void *user);
SIOC_API int sio_client_socket_prepend_any_outgoing(struct sio_client_socket *s,
                                                    sio_client_event_cb cb, void *user);
SIOC_API void sio_client_socket_off_any_outgoing(struct sio_client_socket *s,
                                                 sio_client_event_cb cb, void *user);

/*
 * Emits m, which stays the caller's and may be sent again.  SIO_OK: on its way, or kept
 * (enum sio_client_offline).  SIO_ERR_FULL: max_queue_bytes reached.  SIO_ERR_AGAIN:
 * volatile, and it would have to wait.  SIO_ERR_CLOSED, SIO_ERR_NOMEM, or the message's
 * own error.
 */
SIOC_API int sio_client_socket_emit(struct sio_client_socket *s, struct sio_message *m);

/* Makes a message (see sio_message_newf), emits it and frees it. */
SIOC_API int sio_client_socket_emitf(struct sio_client_socket *s, const char *event,
                                     const char *format, ...);

/*
 * sio_client_socket_emit with an ack: unless an error is returned, cb is called exactly
 * once, with the answer, SIO_ERR_TIMEOUT (timeout_ms 0: as ack_timeout_ms; what was still
 * kept is then not sent), SIO_ERR_CLOSED (disconnected), or SIO_ERR_FULL (dropped from the
 * kept ones).
 * With retries the time is that of each try, and only the last one's failure is told.
 */
SIOC_API int sio_client_socket_emit_ack(struct sio_client_socket *s,
                                        struct sio_message *m, uint32_t timeout_ms,
                                        sio_ack_cb cb, void *user);

/*
 * Calls cb once: SIO_OK when all that was emitted so far is handed to the kernel
 * (polling: answered by the server), SIO_ERR_CLOSED when the connection is lost before.
 * What is kept until its namespace is joined is not waited for.  For pacing large
 * messages.  SIO_OK, SIO_ERR_CLOSED (there is no connection; cb is not called),
 * SIO_ERR_NOMEM.
 */
SIOC_API int sio_client_on_flushed(struct sio_client *c,
                                   void (*cb)(int status, void *user), void *user);

#ifdef __cplusplus
}
#endif
#endif
