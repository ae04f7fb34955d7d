/*
 * http/frame.h - the header of a WebSocket frame (RFC 6455, 5.2), without I/O
 *
 * Every frame passes here first, whoever reads its payload afterwards.
 */
#ifndef HTTP_FRAME_H
#define HTTP_FRAME_H

#include "http/websocket.h"

#define WS_FRAME_HEAD_MAX 14  /* with a mask */
#define WS_CONTROL_MAX    125 /* payload of a control frame (5.5) */
#define WS_CONTINUATION   0
#define WS_FRAME_PACKED   0x40 /* RSV1 of the first byte: compressed (RFC 7692, 6) */

struct ws_frame {
    uint64_t len;    /* of the payload */
    uint8_t mask[4]; /* 0 where there is none */
    uint8_t opcode;
    bool fin;
    bool masked;
    bool packed; /* the first frame of a compressed message */
};

/* What is known before the frame: who we are, and whether a message is unfinished. */
struct ws_frame_rules {
    bool client;     /* we are the client: the peer must not mask; else it must */
    bool in_message; /* a fragmented message has begun */
    bool may_pack;   /* permessage-deflate was agreed */
};

static inline bool ws_frame_is_control(const struct ws_frame *f)
{
    return (f->opcode & 8) != 0;
}

/*
 * Reads a header from the first n bytes at p.  Returns its length, 0 if more bytes are
 * needed, or -WS_CLOSE_PROTOCOL, as early as the bytes show it: reserved bits or opcodes, a
 * fragmented or over-long control frame, a close payload of one byte, the wrong masking,
 * a length that is not in its shortest form or has the top bit, a continuation of
 * nothing, a new message inside another.
 */
int ws_frame_parse(const struct ws_frame_rules *rules, const uint8_t *p, size_t n,
                   struct ws_frame *f);

#endif
