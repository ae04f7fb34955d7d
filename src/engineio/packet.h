/*
 * engineio/packet.h - the codec of Engine.IO 4: packets, payloads, the open packet
 *
 * Used by server and client.  Reads bytes and gives values; no I/O.  What is
 * returned are slices of the input.  (Engine.IO protocol 4, "Packet encoding")
 */
#ifndef ENGINEIO_PACKET_H
#define ENGINEIO_PACKET_H

#include <stdbool.h>

#include <sioc/bytes.h>

#include "base/buf.h"

/* On the wire: '0' + type. */
enum eio_packet_type {
    EIO_PACKET_OPEN,
    EIO_PACKET_CLOSE,
    EIO_PACKET_PING,
    EIO_PACKET_PONG,
    EIO_PACKET_MESSAGE,
    EIO_PACKET_UPGRADE,
    EIO_PACKET_NOOP,
};

#define EIO_PACKET_BASE64    'b'  /* first character of a binary message in a payload */
#define EIO_PACKET_SEPARATOR 0x1e /* between the packets of a payload */

/* Packets in one poll reply: Python clients refuse a payload that holds more. */
#define EIO_PAYLOAD_MAX_PACKETS 16

struct eio_packet {
    enum eio_packet_type type;
    bool base64;         /* a binary message as text: data is its base64 */
    bool binary;         /* a binary message: data is its bytes (protocol 3) */
    struct sio_str data; /* behind the type character */
};

/*
 * A packet as a text frame carries it.  UTF-8 is the caller's to check.
 * SIO_OK, SIO_ERR_PARSE (empty, unknown type).
 */
int eio_packet_parse(struct sio_str text, struct eio_packet *out);

/* True for a ping or pong with the data "probe". */
bool eio_packet_is_probe(const struct eio_packet *p);

/*
 * Walks the packets of a polling payload, checking each for UTF-8: set `rest` to
 * the body, then call until it does not return 1.  0: the end.  SIO_ERR_PARSE: this
 * packet is bad (an empty body is one empty packet); those before it were good.
 */
int eio_payload_next(struct sio_str *rest, struct eio_packet *out);

/*
 * The bytes of a base64 packet, owned by the caller.  SIO_OK, SIO_ERR_PARSE,
 * SIO_ERR_NOMEM.
 */
int eio_packet_decode(const struct eio_packet *p, struct sio_buf **out);

/* What the open packet says. */
#define EIO_SID_MAX 128
struct eio_open {
    struct sio_str sid; /* visible ASCII, 1 to EIO_SID_MAX bytes, no '"' and no '\' */
    bool can_upgrade;   /* "websocket" is in upgrades */
    uint32_t ping_interval_ms;
    uint32_t ping_timeout_ms;
    uint32_t max_payload; /* bytes; 0: the server does not say */
};

/* Writes the packet, its type character included. */
void eio_open_write(struct wbuf *w, const struct eio_open *o);

/*
 * Reads the JSON of an open packet, which a server sent: all fields of the right
 * kind and in sane bounds (times from 1 ms to 24 days), maxPayload may be missing,
 * others are ignored. sid is a slice of json.  SIO_OK, SIO_ERR_PARSE.
 */
int eio_open_parse(struct sio_str json, struct eio_open *out);

#endif
