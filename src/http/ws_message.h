/*
 * http/ws_message.h - a WebSocket message that needs to be put together: fragmented, or
 * compressed, or both
 *
 * One exists from the first frame of the message to its last.
 */
#ifndef HTTP_WS_MESSAGE_H
#define HTTP_WS_MESSAGE_H

#include "http/frame.h"
#include "http/ws_deflate.h"

struct ws_message;

struct ws_message_limits {
    size_t max_bytes; /* decompressed */
    uint32_t max_fragments;
};

/* f is its first frame; deflate is for a packed one, borrowed.  NULL: out of memory. */
struct ws_message *ws_message_new(const struct ws_frame *f,
                                  const struct ws_message_limits *limits,
                                  struct ws_deflate *deflate);
void ws_message_free(struct ws_message *m);

/*
 * Begins a frame, the first one included; takes the unmasked bytes of its payload; ends
 * the message.  Each returns 0 or the code to close with.
 */
int ws_message_begin(struct ws_message *m, const struct ws_frame *f);
int ws_message_feed(struct ws_message *m, const uint8_t *p, size_t len);
int ws_message_end(struct ws_message *m);

/* After the end: the bytes become the caller's.  NULL: out of memory. */
struct sio_buf *ws_message_take(struct ws_message *m, bool *text);

#endif
