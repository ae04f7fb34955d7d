/*
 * http/ws_reader.h - a control frame, read and answered by wslay
 *
 * A reader exists from the header of a control frame to its last byte, so that an idle
 * WebSocket does not pay for wslay's buffers.  wslay answers pings and close frames, and
 * close frames that break the protocol.  What version 1.1.1 gets wrong is kept from it:
 * each header has passed ws_frame_parse before; a frame is shown to it whole, for it
 * checks the reason of a close frame only then; close codes registered after it
 * was written (1012 to 1014) are answered here.
 */
#ifndef HTTP_WS_READER_H
#define HTTP_WS_READER_H

#include "http/frame.h"

struct ws_reader;

/* Queues bytes of a frame for the peer.  SIO_OK or an error. */
typedef int (*ws_reader_send_cb)(const uint8_t *p, size_t len, void *user);

/* f is the frame, head its header as it came.  NULL: out of memory. */
struct ws_reader *ws_reader_new(bool client, const struct ws_frame *f,
                                const uint8_t *head, size_t head_len,
                                ws_reader_send_cb send, void *user);
void ws_reader_free(struct ws_reader *r);

/* Takes the bytes of its payload as they came, never more than the frame's. */
void ws_reader_feed(struct ws_reader *r, const uint8_t *p, size_t len);

/*
 * The frame is whole.  0, or how the connection ends: the code of a close frame that was
 * received and answered, or was sent for an error, which *broken tells; SIO_ERR_NOMEM or
 * what send returned.
 */
int ws_reader_end(struct ws_reader *r, bool *broken);

#endif
