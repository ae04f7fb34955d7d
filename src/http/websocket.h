/*
 * http/websocket.h - WebSocket (RFC 6455) on a connection, both roles
 *
 * A whole data frame is unmasked, and checked for UTF-8, where it lies, in words.  What
 * fragments and compressed messages (RFC 7692) need, and wslay, which reads control frames,
 * exists only meanwhile, so that an idle connection costs no buffer.
 */
#ifndef HTTP_WEBSOCKET_H
#define HTTP_WEBSOCKET_H

#include "http/server.h"

struct ws;

enum ws_opcode { WS_TEXT = 1, WS_BINARY = 2, WS_CLOSE = 8, WS_PING = 9, WS_PONG = 10 };

enum ws_close_code {
    WS_CLOSE_NORMAL = 1000,
    WS_CLOSE_GOING_AWAY = 1001,
    WS_CLOSE_PROTOCOL = 1002,
    WS_CLOSE_NONE = 1005,     /* a close frame without a code; never sent */
    WS_CLOSE_ABNORMAL = 1006, /* the connection was lost; never sent */
    WS_CLOSE_UTF8 = 1007,
    WS_CLOSE_POLICY = 1008,
    WS_CLOSE_TOO_BIG = 1009,
    WS_CLOSE_INTERNAL = 1011,
};

struct ws_ops {
    /* A whole message, checked.  Hold the slice to keep it.  May close ws. */
    void (*on_message)(struct ws *ws, bool text, struct sio_slice msg, void *user);

    /* Room again after ws_full was true.  May be NULL. */
    void (*on_drain)(struct ws *ws, void *user);

    /* The end, exactly once; then the pointer is dead.  code as received or sent, or 1006. */
    void (*on_close)(struct ws *ws, int code, void *user);
};

struct ws_deflate_params; /* http/ws_deflate.h */

struct ws_options {
    size_t max_message;     /* bytes; above: 1009, decided on the announced length */
    uint32_t max_fragments; /* of one message; 0: 16384; above: 1008 */
    /*
     * For the peer's answer to our close frame; 0: 5 s.  It is counted from when ws_full
     * ends, for which there are 30 s.
     */
    uint32_t close_timeout_ms;
    const struct ws_deflate_params *deflate; /* agreed; copied.  NULL: none */
};

/*
 * Server: checks the handshake of r (RFC 6455, 4.2.1).  Returns NULL if it is good, else the
 * sentence to refuse it with (status 400, or 426 with the version in *status).
 */
const char *ws_handshake_check(const struct http_request *r, int *status);

/*
 * Server: answers 101, with the fields that http_reply_field has added, and takes the
 * connection.  NULL: out of memory; the connection is gone and r is dead either way.
 * The bytes behind the head are handled before the loop waits again, never in this call.
 */
struct ws *ws_accept(struct http_request *r, const struct ws_options *opts,
                     const struct ws_ops *ops, void *user);

/* Server: the same on a connection whose handshake others have made; rest as for a client. */
struct ws *ws_server_new(struct net_conn *c, struct sio_str rest,
                         const struct ws_options *opts, const struct ws_ops *ops,
                         void *user);

/* Client: takes an open connection after its 101; rest: bytes that came behind the head. */
struct ws *ws_client_new(struct net_conn *c, struct sio_str rest,
                         const struct ws_options *opts, const struct ws_ops *ops,
                         void *user);

/* Writes the header of an unmasked final frame (shortest form); returns 2, 4 or 10. */
#define WS_HEAD_MAX 10
size_t ws_frame_head(uint8_t out[WS_HEAD_MAX], enum ws_opcode opcode, uint64_t len);

/*
 * Server: queues frames that are encoded already (heads by ws_frame_head).  The path of a
 * broadcast: references only.
 */
int ws_send_frames(struct ws *ws, const struct sio_slice *slices, size_t n);

/* Queues one message; a client masks a copy. */
int ws_send(struct ws *ws, enum ws_opcode opcode, const struct sio_slice *slices,
            size_t n);

/* The same, compressed where that was agreed and makes it smaller. */
int ws_send_deflated(struct ws *ws, enum ws_opcode opcode,
                     const struct sio_slice *slices, size_t n);

/* In on_close: this side has ended it, for what the peer sent or for want of memory. */
bool ws_failed(const struct ws *ws);

/* What was agreed about compression, borrowed; NULL: none. */
const struct ws_deflate_params *ws_deflated_how(const struct ws *ws);

bool ws_full(const struct ws *ws);
size_t ws_pending(const struct ws *ws);

/*
 * Sends a close frame, waits a moment for the peer's, closes.  reason at most 123 bytes or
 * NULL.  on_message is not called any more.
 */
void ws_close(struct ws *ws, int code, const char *reason);

/* Ends the connection at once; on_close runs before this returns. */
void ws_abort(struct ws *ws);

/* sec-websocket-accept for a key (28 characters and NUL). */
int ws_accept_key(struct sio_str key, char out[29]);

#endif
