/*
 * http/ws_deflate.h - permessage-deflate (RFC 7692): what is agreed, and its use
 *
 * A message is compressed as a whole and marked by the first reserved bit of its first
 * frame.  With context takeover each message is compressed with those before it in mind:
 * a compressor lives as long as the connection.  Without, it lives for one message, and
 * what a server sends to many is compressed once (ws_deflate_frame).
 */
#ifndef HTTP_WS_DEFLATE_H
#define HTTP_WS_DEFLATE_H

#include "base/buf.h"
#include "http/websocket.h"

/* What was agreed, from the view of this side. */
struct ws_deflate_params {
    uint8_t
        out_bits; /* window of what we send, 9 to 15; 0: we send nothing compressed */
    uint8_t in_bits; /* of what we receive, 8 to 15 */
    uint8_t level;
    bool out_no_takeover;
    bool in_no_takeover;
};

/* What this side asks for. */
struct ws_deflate_options {
    bool server_no_context_takeover;
    bool client_no_context_takeover;
    uint8_t level;       /* 1 to 9 */
    uint8_t window_bits; /* 9 to 15, both ways where we have a say */
};

/*
 * Server: takes the first offer that can be met (RFC 7692, 5).  offers is the value of
 * Sec-WebSocket-Extensions.  1: agreed, p is set and the answer's value is in w; 0: none of
 * them; SIO_ERR_PARSE: not a list of extensions, the handshake is to be refused.
 */
int ws_deflate_accept(struct sio_str offers, const struct ws_deflate_options *opts,
                      struct ws_deflate_params *p, struct wbuf *w);

/* Client: the value of its offer. */
void ws_deflate_offer(const struct ws_deflate_options *opts, struct wbuf *w);

/*
 * Client: reads the server's answer to the offer.  SIO_OK; SIO_ERR_PARSE: the server
 * must not answer so, the connection is to fail (RFC 7692, 5.1).
 */
int ws_deflate_answer(struct sio_str answer, const struct ws_deflate_options *opts,
                      struct ws_deflate_params *p);

/* Of one connection; the (de)compressors are made when they are needed. */
struct ws_deflate;

struct ws_deflate *ws_deflate_new(const struct ws_deflate_params *p); /* p is copied */
void ws_deflate_free(struct ws_deflate *d);
const struct ws_deflate_params *ws_deflate_params(const struct ws_deflate *d);

/*
 * Makes the frame of a compressed message: room for a header of WS_FRAME_HEAD_MAX bytes,
 * then the payload.  The caller owns it.  SIO_ERR_TOO_BIG: it would not be smaller;
 * SIO_ERR_NOMEM.
 */
int ws_deflate_pack(struct ws_deflate *d, const struct sio_slice *slices, size_t n,
                    struct sio_buf **frame);

/*
 * The same with a compressor of its own, header included, for a server: the frame may
 * go to every connection whose out_bits are not below `bits`.
 */
int ws_deflate_frame(int level, int bits, enum ws_opcode opcode,
                     const struct sio_slice *slices, size_t n, struct sio_slice *frame);

/* Takes a piece of a message, then its end: as inflater_feed, inflater_end. */
int ws_deflate_unpack(struct ws_deflate *d, const uint8_t *p, size_t len,
                      struct wbuf *out);
int ws_deflate_unpack_end(struct ws_deflate *d, struct wbuf *out);

#endif
