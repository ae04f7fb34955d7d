/*
 * socketio/packet.h - the codec of Socket.IO 5, shared by server and client
 *
 *     <type>[<attachments>-][<namespace>,][<ack id>][JSON]
 *
 * Reads bytes and gives values, slices of the input; no I/O.  The JSON of an event
 * is gone through once, checked and cut in the same pass.
 * (Socket.IO protocol 5, "Packet encoding")
 */
#ifndef SOCKETIO_PACKET_H
#define SOCKETIO_PACKET_H

#include <stdbool.h>

#include <sioc/engineio.h>

#include "base/json.h"

/* On the wire: '0' + type. */
enum sio_packet_type {
    SIO_PACKET_CONNECT,
    SIO_PACKET_DISCONNECT,
    SIO_PACKET_EVENT,
    SIO_PACKET_ACK,
    SIO_PACKET_CONNECT_ERROR,
    SIO_PACKET_BINARY_EVENT,
    SIO_PACKET_BINARY_ACK,
};

/* Items of an event that are cut in the first pass; later ones are walked to. */
#define SIO_PACKET_ITEMS 8

struct sio_packet {
    enum sio_packet_type type;
    bool has_id;
    uint32_t n_attachments; /* that follow */
    uint64_t id;
    struct sio_str nsp;  /* "/" where the packet names none */
    struct sio_str json; /* without white space around it; ptr NULL: none */

    /*
     * EVENT, ACK and their binary forms: the first items of the array, and the number
     * of all.
     */
    struct sio_str items[SIO_PACKET_ITEMS];
    size_t n_items;
};

/*
 * Parses a text, checks its payload's shape against its type, refuses reserved event
 * names and placeholders that do not fit.  Text is valid UTF-8.  SIO_OK;
 * SIO_ERR_PARSE; SIO_ERR_PROTOCOL: a reserved name, or a placeholder without its
 * attachment; SIO_ERR_TOO_BIG: more than max_attachments, or JSON nested too deeply.
 */
int sio_packet_parse(struct sio_str text, uint32_t max_attachments,
                     struct sio_packet *out);
/* Of p->json, which is checked.  SIO_OK; SIO_ERR_PROTOCOL: one has no attachment. */
int sio_packet_check_placeholders(const struct sio_packet *p);

/* True for a text that begins like a packet whose attachments follow. */
static inline bool sio_packet_is_binary(struct sio_str text)
{
    return text.len > 0 && (text.ptr[0] == '0' + SIO_PACKET_BINARY_EVENT ||
                            text.ptr[0] == '0' + SIO_PACKET_BINARY_ACK);
}

/* Names that the library's own events have: no peer may send them. */
bool sio_event_name_reserved(struct sio_str name);

/* "/" or '/' and more, without ','. */
bool sio_nsp_valid(struct sio_str name);

/*
 * What stands in front of the JSON, as borrowed slices: good as long as h and nsp.
 * Nothing is allocated.
 */
struct sio_packet_head {
    char type[24]; /* type, count, '-' */
    char id[24];   /* ',', ack id */
    struct sio_slice slices[3];
    size_t n_slices;
};
void sio_packet_head_make(struct sio_packet_head *h, enum sio_packet_type type,
                          uint32_t n_attachments, struct sio_str nsp, bool has_id,
                          uint64_t id);

/*
 * Walks the placeholders in checked JSON, one value or several joined by ',', in
 * order of appearance: call until it does not return 1.  *num is the value of "num"
 * as it stands in the text, *index what it says.  SIO_ERR_PROTOCOL: not an index, or
 * a placeholder with another one inside.
 */
struct sio_placeholder_frame {
    bool object;
    bool marked;   /* "_placeholder": true */
    bool occupied; /* some value inside is a placeholder */
    struct sio_str num;
};
struct sio_placeholder_walk {
    struct sio_str rest;
    uint32_t depth;
    bool at_key; /* a string that comes now is a member's name */
    uint8_t key; /* which member's value comes now */
    struct sio_placeholder_frame frames[JSON_MAX_DEPTH + 1];
};
void sio_placeholder_walk_init(struct sio_placeholder_walk *w, struct sio_str json);
int sio_placeholder_next(struct sio_placeholder_walk *w, struct sio_str *num,
                         uint32_t *index);

/* What a placeholder's member "num" says (ptr NULL: there is none), if an index. */
bool sio_placeholder_num(struct sio_str num, uint32_t *index);

/* The index that a checked value says if it is a placeholder, else -1. */
int64_t sio_placeholder_index(struct sio_str value);

/*
 * A binary packet that waits for its attachments.
 */
struct sio_assembly {
    struct sio_packet packet; /* slices of text */
    struct sio_slice text;    /* owned */
    size_t bytes;             /* of text and parts */
    size_t max_bytes;
    uint32_t n_parts;
    struct sio_slice parts[]; /* owned; packet.n_attachments of them */
};

/*
 * Begins with a text for which sio_packet_is_binary says true, and holds it.  *out is
 * complete at once if no attachment is due.  Errors as sio_packet_parse,
 * SIO_ERR_NOMEM.
 */
int sio_assembly_new(struct sio_slice text, uint32_t max_attachments, size_t max_bytes,
                     struct sio_assembly **out);
void sio_assembly_free(struct sio_assembly *a); /* NULL is allowed */

static inline bool sio_assembly_complete(const struct sio_assembly *a)
{
    return a->n_parts == a->packet.n_attachments;
}

/*
 * Takes (holds) the next attachment.  SIO_OK, SIO_ERR_NOMEM, SIO_ERR_TOO_BIG
 * (max_bytes).
 */
int sio_assembly_add(struct sio_assembly *a, struct sio_slice part);

#endif
