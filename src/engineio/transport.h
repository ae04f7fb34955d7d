/*
 * engineio/transport.h - how a session reaches its client: polling or WebSocket
 *
 * A transport belongs to its session, which has one, and a second one while an
 * upgrade is being probed.  It ends by close, finish or abort, or by the session's
 * move to another one; it is not used after that.
 */
#ifndef ENGINEIO_TRANSPORT_H
#define ENGINEIO_TRANSPORT_H

#include "engineio/msg.h"
#include "http/server.h"

struct eio_sessions;
struct eio_transport;

struct eio_transport_ops {
    const char *name; /* as on the wire */

    /* True if a message that is queued now leaves with this turn. */
    bool (*writable)(const struct eio_transport *t);

    /*
     * Takes msg past the session's queue, which is empty.  SIO_ERR_AGAIN: it has to
     * be queued.
     */
    int (*send)(struct eio_transport *t, struct eio_msg *msg);

    /*
     * Sends what it can take of the session's queue.  SIO_OK (a session that is closing
     * may have ended); an error: the caller is to end the session.
     */
    int (*flush)(struct eio_transport *t);

    /* Sends the server's part of the heartbeat: a ping, in protocol 3 a pong. */
    void (*heartbeat)(struct eio_transport *t);

    /*
     * Sends all that waits and a close packet, and then calls eio_session_drained,
     * now or later.
     */
    void (*finish)(struct eio_transport *t, enum eio_close_reason reason);

    /*
     * Tells the client in the transport's way, if that is possible at once.  t is
     * gone.
     */
    void (*close)(struct eio_transport *t, enum eio_close_reason reason);

    /* Cuts the connections.  t is gone. */
    void (*abort)(struct eio_transport *t);

    /* Bytes handed over by the session and not yet taken by the kernel. */
    size_t (*pending)(const struct eio_transport *t);
};

struct eio_transport {
    const struct eio_transport_ops *ops;
    struct eio_session *session; /* NULL: left behind by it */
};

extern const struct eio_transport_ops eio_polling_ops;
extern const struct eio_transport_ops eio_websocket_ops;

/* Refusals (Engine.IO's error codes). */
enum eio_refusal {
    EIO_REFUSE_TRANSPORT,
    EIO_REFUSE_SID,
    EIO_REFUSE_METHOD,
    EIO_REFUSE_REQUEST,
    EIO_REFUSE_FORBIDDEN,
    EIO_REFUSE_VERSION,
};

/* Answers r with the JSON body of a refusal, no-store.  text NULL: the code's own. */
void eio_refuse(struct http_request *r, int status, enum eio_refusal code,
                const char *text);

/* A WebSocket request is refused in plain text, and its connection closed. */
void eio_refuse_upgrade(struct http_request *r, int status, const char *text);
const char *eio_refusal_text(enum eio_refusal code);

/* What r's `b64` says of binary messages, protocol 3. */
enum eio_form eio_form_3_of(struct http_request *r);

/*
 * Polling.  script: NULL, or the index of the callback that replies are to call (JSONP).
 * NULL: out of memory.
 */
struct eio_transport *eio_polling_new(struct eio_session *s, const uint32_t *script);

/*
 * Answers the GET that opened the session with the open packet.  An error: the
 * connection is gone, or there was no memory; r is dead either way.
 */
int eio_polling_open(struct eio_transport *t, struct http_request *r,
                     struct sio_str packet);

/*
 * A GET: answered at once if something waits, else held.  A second one ends the
 * session.
 */
void eio_polling_get(struct eio_transport *t, struct http_request *r);

/* The head of a POST: refused (the session ends), or its body is awaited. */
void eio_polling_post_head(struct eio_transport *t, struct http_request *r);

/* The end of a POST or GET that a transport of this kind holds (http_request_data). */
void eio_polling_post(struct http_request *r);
void eio_polling_aborted(struct http_request *r);

/* Answers a waiting GET with what is queued, or else with a noop. */
void eio_polling_release(struct eio_transport *t);

/*
 * Ends t after an upgrade: the waiting GET gets a noop.  t is gone.  True if a ping was
 * still waiting for a poll: the next transport has to send it.
 */
bool eio_polling_retire(struct eio_transport *t);

/*
 * WebSocket: takes r, which asks for one and has been checked.  NULL: out of memory
 * or the connection is gone; r is dead either way.
 */
struct eio_transport *eio_websocket_new(struct eio_session *s, struct http_request *r);

/*
 * Sends a text frame of a few bytes: a packet that is no message.  SIO_OK; SIO_ERR_FULL:
 * the client does not read; SIO_ERR_NOMEM, SIO_ERR_CLOSED.
 */
int eio_websocket_packet(struct eio_transport *t, struct sio_str packet);

/* Cuts what was left behind by sessions and still waits for its client's close. */
void eio_websocket_cut_lingering(struct eio_sessions *table);

#endif
