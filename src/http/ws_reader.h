/*
 * http/ws_reader.h - control frames and fragmented messages, read by wslay
 *
 * A reader exists from the first frame that needs one to the end of its message, so
 * that an idle WebSocket does not pay for wslay's buffers.  wslay answers pings and close
 * frames, and what breaks the protocol.  What version 1.1.1 gets wrong is kept from it:
 * each header has passed ws_frame_parse before; a control frame is shown to it whole, for it
 * checks the reason of a close frame only then; close codes registered after it
 * was written (1012 to 1014) are answered here.
 */
#ifndef HTTP_WS_READER_H
#define HTTP_WS_READER_H

#include "http/frame.h"

struct ws_reader;

/* Queues bytes of a frame for the peer.  SIO_OK or an error. */
typedef int (*ws_reader_send_cb)(const uint8_t *p, size_t len, void *user);

/* opts is borrowed.  NULL: out of memory. */
struct ws_reader *ws_reader_new(bool client, const struct ws_options *opts,
                                ws_reader_send_cb send, void *user);
void ws_reader_free(struct ws_reader *r);

/* A fragmented message has begun and not ended.  r may be NULL. */
bool ws_reader_in_message(const struct ws_reader *r);

/*
 * Begins a frame with its header, then takes the bytes of its payload as they came, never
 * more than the frame's.  Both return 0, or how the connection ends:
 * ws_reader_begin the code to close with (too many fragments, too many bytes: nothing was
 * sent), as -code; both the code of a close frame that was received and answered, or
 * was sent for an error; SIO_ERR_NOMEM or what send returned.
 */
int ws_reader_begin(struct ws_reader *r, const struct ws_frame *f, const uint8_t *head,
                    size_t head_len);
int ws_reader_feed(struct ws_reader *r, const uint8_t *p, size_t len);

/* After the last byte of a message: it becomes the caller's.  NULL: out of memory. */
struct sio_buf *ws_reader_take(struct ws_reader *r, bool *text);

#endif
