/*
 * http/ws_impl.h - the inside of a WebSocket: its life and what it sends (websocket.c), and
 * what comes, from bytes to messages (ws_receive.c)
 */
#ifndef HTTP_WS_IMPL_H
#define HTTP_WS_IMPL_H

#include "base/list.h"
#include "base/utf8.h"
#include "http/frame.h"
#include "http/ws_deflate.h"
#include "http/ws_message.h"
#include "http/ws_reader.h"

enum ws_state {
    WS_OPEN,
    WS_CLOSING, /* our close frame is out; the peer's is awaited */
    WS_ENDED,
};

/* What becomes of the payload of the present frame. */
enum ws_payload {
    WS_PAYLOAD_NONE, /* between frames */
    WS_PAYLOAD_FAST, /* a whole message as it is: unmasked where it lies */
    WS_PAYLOAD_MESSAGE,
    WS_PAYLOAD_CONTROL,
    WS_PAYLOAD_DROPPED,
};

struct ws {
    struct net_conn *conn; /* NULL when ended */
    const struct ws_ops *ops;
    void *user;
    struct ws_deflate *deflate; /* NULL: not agreed */
    struct sio_buf *rest;       /* what came behind the handshake */
    struct net_task begin;      /* handles rest */
    struct net_task reap;
    enum ws_state state;
    uint32_t close_timeout_ms;
    uint16_t close_code; /* that we sent */
    bool client;
    bool failed;

    /* What comes. */
    uint8_t head_len;
    uint8_t head[WS_FRAME_HEAD_MAX]; /* of a header cut by the end of the input */
    enum ws_payload payload;
    struct ws_frame frame;
    struct utf8 utf8;
    uint64_t got;               /* bytes of its payload */
    struct sio_buf *buf;        /* a message that did not come at once */
    struct ws_message *message; /* in the making, or NULL */
    struct ws_reader *reader;   /* of the present control frame, or NULL */
    struct ws_message_limits limits;
};

/* The peer broke a rule, or we cannot go on: says so if that may still be said. */
void ws_fail(struct ws *ws, int code);

/* The close handshake is over, or an error was answered. */
void ws_finish(struct ws *ws, int code);

/* Bytes from the peer, which may be changed in place.  ws may have ended afterwards. */
void ws_receive(struct ws *ws, uint8_t *p, size_t len);

#endif
