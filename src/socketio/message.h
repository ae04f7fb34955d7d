/*
 * socketio/message.h - the inside of sio_message: an event on its way out
 *
 * Small text gathers in one buf; large bytes stay where they are and are remembered
 * with the place where they belong.  The first encoding ends the building.
 */
#ifndef SOCKETIO_MESSAGE_H
#define SOCKETIO_MESSAGE_H

#include <sioc/message.h>

#include "socketio/parser.h"

/*
 * The message as a packet: type SIO_PACKET_EVENT, or SIO_PACKET_ACK (without the
 * event's name), as parser writes it.  m NULL: no arguments.  An event without id is
 * encoded once for a parser and a namespace, later calls give the same.  The caller
 * owns *out.  SIO_OK, SIO_ERR_NOMEM, what the parser says of the payload, or what went
 * wrong when arguments were added.
 */
int sio_message_encode(struct sio_message *m, const struct sio_parser *parser,
                       enum sio_packet_type type, struct sio_str nsp, bool has_id,
                       uint64_t id, struct eio_msg **out);

/*
 * The same for other servers: as an event without id and without offset, and not kept.
 */
int sio_message_encode_plain(struct sio_message *m, const struct sio_parser *parser,
                             struct sio_str nsp, struct eio_msg **out);

/* As sio_message_set_volatile, _set_no_compress left it. */
bool sio_message_is_volatile(const struct sio_message *m);
bool sio_message_no_compress(const struct sio_message *m);

/*
 * Events without id that are encoded from now on have one more argument, behind all
 * others: a text without characters to escape; len 0: none any more.  Borrowed until
 * then.
 */
void sio_message_set_offset(struct sio_message *m, struct sio_str offset);

/* True if m was encoded as an event without id since its offset was set. */
bool sio_message_encoded(const struct sio_message *m);

#endif
