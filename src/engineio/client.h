/*
 * engineio/client.h - Engine.IO 4, the side that dials: one session, once
 *
 * A client is one attempt: it opens, carries messages, and ends; who wants to come back
 * makes another one.  It begins on WebSocket or on polling, falls back from the one
 * or upgrades from the other.  Rules: Engine.IO protocol 4.
 */
#ifndef ENGINEIO_CLIENT_H
#define ENGINEIO_CLIENT_H

#include <sioc/engineio.h>

#include "http/cookies.h"
#include "http/proxy.h"
#include "net/conn.h"

struct eio_client;

enum eio_client_transports {
    EIO_CLIENT_DEFAULT,   /* WebSocket; polling where its handshake fails */
    EIO_CLIENT_UPGRADE,   /* polling, then WebSocket where the server offers it */
    EIO_CLIENT_WEBSOCKET, /* nothing else */
    EIO_CLIENT_POLLING,
};

/* All is copied. */
struct eio_client_options {
    const char *host;
    uint16_t port;
    struct net_tls *tls;      /* NULL: plain; a reference is taken */
    struct http_proxy *proxy; /* NULL: none; a reference is taken */
    const char *path;         /* begins and ends with '/' */
    const char *query;        /* encoded, without '?', or NULL */
    struct sio_str fields;    /* "Name: value\r\n..." */
    enum eio_client_transports transports;
    bool try_all; /* EIO_CLIENT_UPGRADE: WebSocket alone where polling fails */
    struct http_cookies *cookies; /* borrowed; outlives the client */
    struct eio_deflate_options deflate;
    const char *tls_name; /* NULL: host */
    size_t max_message;   /* bytes taken from the server in one message or reply */
    uint32_t connect_timeout_ms; /* until on_open */
};

struct eio_client_ops {
    void (*on_open)(struct eio_client *c, void *user);

    /* A message.  Hold the slice to keep it. */
    void (*on_message)(struct eio_client *c, bool text, struct sio_slice msg,
                       void *user);

    /* Everything that was sent is handed to the kernel (polling: answered). */
    void (*on_flushed)(struct eio_client *c, void *user);

    /*
     * The end, exactly once, unless it was freed before.  error: SIO_OK (we closed it),
     * or as net_conn_ops.on_close and SIO_ERR_PROTOCOL, _PARSE, _TOO_BIG.  reason: as
     * Socket.IO calls it ("transport close", "ping timeout", ...); why: a sentence for
     * an operator.
     */
    void (*on_close)(struct eio_client *c, int error, const char *reason,
                     const char *why, void *user);
};

/* Begins to connect; callbacks come later.  NULL: out of memory. */
struct eio_client *eio_client_new(struct net_loop *loop,
                                  const struct eio_client_options *opts,
                                  const struct eio_client_ops *ops, void *user);

/* Ends without a callback, also from inside one.  NULL is allowed. */
void eio_client_free(struct eio_client *c);

/*
 * Queues a message (a reference is taken); it leaves at the end of the turn.  SIO_OK,
 * SIO_ERR_NOMEM, SIO_ERR_CLOSED (not open).
 */
int eio_client_send(struct eio_client *c, struct eio_msg *msg);

/* Sends what waits and a close packet, then on_close, after 2 s at the latest. */
void eio_client_close(struct eio_client *c);

/* Ends at once with on_close. */
void eio_client_abort(struct eio_client *c, int error, const char *reason,
                      const char *why);

const char *eio_client_transport(const struct eio_client *c); /* "" until open */
size_t eio_client_pending(const struct eio_client *c);
size_t eio_client_max_payload(const struct eio_client *c); /* 0: unknown */

#endif
