/*
 * engineio/payload3.h - the codec of Engine.IO 3 where it differs from 4's
 *
 * A text packet is the same in both, but a binary message is "b4" and base64 where it
 * has to be text, and begins with the byte 4 where it is binary.  A payload gives each
 * packet its length in front, in one of two shapes:
 *
 *     text    <length>:<packet>            length in UTF-16 units, as digits
 *     binary  <0 text, 1 binary><length>ff<packet>
 *                                          length in bytes, a byte 0 to 9 for a digit
 *
 * Reads bytes and gives values; no I/O.  (Engine.IO protocol 3, "Encoding")
 */
#ifndef ENGINEIO_PAYLOAD3_H
#define ENGINEIO_PAYLOAD3_H

#include "engineio/packet.h"

/* First byte of a binary message, in a binary payload and in a WebSocket frame. */
#define EIO_PAYLOAD3_MESSAGE 4

/* A packet as a text frame carries it.  UTF-8 is the caller's to check. */
int eio_packet3_parse(struct sio_str text, struct eio_packet *out);

/* A binary WebSocket frame, or a binary packet of a payload: SIO_OK, SIO_ERR_PARSE. */
int eio_packet3_parse_binary(struct sio_str bytes, struct eio_packet *out);

/*
 * Walk the packets of a payload, each shape its own; texts are checked for UTF-8.  Set
 * `rest` to the body, then call until it does not return 1.  0: the end.
 * SIO_ERR_PARSE: this packet is bad (an empty body is too); those before it were good.
 */
int eio_payload3_next(struct sio_str *rest, struct eio_packet *out);
int eio_payload3_next_binary(struct sio_str *rest, struct eio_packet *out);

/* UTF-16 units of a text, or of any piece of it: pieces add up wherever it is cut. */
size_t eio_payload3_units(const void *p, size_t len);

/* What stands in front of a packet.  Returns its length. */
#define EIO_PAYLOAD3_HEAD_MAX 24
size_t eio_payload3_head(char out[EIO_PAYLOAD3_HEAD_MAX], size_t units);
size_t eio_payload3_head_binary(char out[EIO_PAYLOAD3_HEAD_MAX], bool text,
                                size_t bytes);

#endif
