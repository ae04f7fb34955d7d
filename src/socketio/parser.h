/*
 * socketio/parser.h - how packets are written in Engine.IO messages
 *
 * Inside, a packet is always the default encoding's text and its attachments
 * (socketio/packet.h), whatever the other side speaks: handlers, relays and acks know
 * one form.  A parser is what stands between that and the wire; a server or a client
 * has one for all its connections.
 */
#ifndef SOCKETIO_PARSER_H
#define SOCKETIO_PARSER_H

#include <sioc/parser.h>

#include "socketio/packet.h"

struct sio_parser;

/* A parser with its bounds, of a server or of a client. */
struct sio_codec {
    const struct sio_parser *parser;
    uint32_t max_attachments; /* of a packet */
    size_t max_bytes;  /* of a packet and those of its attachments that are there */
    bool nsp_optional; /* a packet that names no namespace is of "/", in any encoding */
};

/* A packet that has come, with its attachments. */
struct sio_incoming {
    const struct sio_packet *packet; /* slices of text */
    struct sio_slice text;           /* in the default encoding */
    const struct sio_slice *attachments;
    const char *why; /* what the peer did wrong, where decoding failed */

    /* Where the three lie; not for the reader. */
    struct sio_packet parsed;
    struct sio_assembly *assembly;
    struct sio_buf *owned_text;
    struct sio_slice *owned_parts; /* the array; the bytes are the message's */
};

/* A packet on its way out.  All is borrowed. */
struct sio_outgoing {
    enum sio_packet_type type; /* never one of the binary forms */
    struct sio_str nsp;
    bool has_id;
    uint64_t id;
    const struct sio_slice *json; /* the payload in pieces; none: there is none */
    size_t n_json;
    const struct sio_slice *attachments;
    uint32_t n_attachments;
    const struct eio_msg_options *options; /* or NULL */
};

struct sio_parser {
    const char *name;

    /* As sio_codec_decode. */
    int (*decode)(const struct sio_codec *c, struct sio_assembly **pending, bool text,
                  struct sio_slice msg, struct sio_incoming *in);

    /*
     * The whole packet as one message, which the caller owns.  SIO_OK, SIO_ERR_NOMEM;
     * SIO_ERR_PARSE, SIO_ERR_PROTOCOL, SIO_ERR_TOO_BIG: the payload is not what this
     * encoding can say.
     */
    int (*encode)(const struct sio_outgoing *out, struct eio_msg **msg);
};

/* The protocol's own: text, each attachment a message behind it. */
extern const struct sio_parser sio_parser_json;

/* One binary message, a map. */
extern const struct sio_parser sio_parser_msgpack;

const struct sio_parser *sio_parser_of(enum sio_parser_kind kind);

/*
 * Takes one message; sio_incoming_fini ends what it gave, whatever that was.  1: a
 * packet is complete, in *in.  0: it waits in *pending for the rest (start with NULL, end with sio_assembly_free).
 * Else in->why says what was wrong: errors as sio_packet_parse, SIO_ERR_PROTOCOL where
 * the message is out of place, SIO_ERR_TOO_BIG over max_bytes, SIO_ERR_NOMEM.
 */
int sio_codec_decode(const struct sio_codec *c, struct sio_assembly **pending,
                     bool text, struct sio_slice msg, struct sio_incoming *in);
void sio_incoming_fini(struct sio_incoming *in);

/*
 * A packet without attachments as a message; json ptr NULL: none.  NULL: out of
 * memory.
 */
struct eio_msg *sio_packet_msg(const struct sio_parser *parser,
                               enum sio_packet_type type, struct sio_str nsp,
                               bool has_id, uint64_t id, struct sio_str json);

#endif
