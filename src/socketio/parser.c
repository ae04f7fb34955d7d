#include <config.h>

#include "socketio/parser.h"

#include "base/list.h"
#include "base/mem.h"

/*
 * The default encoding.
 */

static int fault(struct sio_incoming *in, int error, const char *why)
{
    in->why = why;
    return error;
}

static int bad_packet(struct sio_incoming *in, int error)
{
    return fault(in, error, "the peer sent a packet that is not valid");
}

/* What waited goes over to *in once nothing is due any more. */
static int complete(struct sio_assembly **pending, struct sio_incoming *in)
{
    struct sio_assembly *a = *pending;

    if (!sio_assembly_complete(a))
        return 0;
    *pending = NULL;
    in->assembly = a;
    in->packet = &a->packet;
    in->text = a->text;
    in->attachments = a->parts;
    return 1;
}

static int decode_text(const struct sio_codec *c, struct sio_assembly **pending,
                       struct sio_slice msg, struct sio_incoming *in)
{
    struct sio_str text = {(const char *)msg.ptr, msg.len};
    int rv;

    if (*pending)
        return fault(in, SIO_ERR_PROTOCOL,
                     "the peer sent text where an attachment was due");
    if (sio_packet_is_binary(text)) {
        rv = sio_assembly_new(msg, c->max_attachments, c->max_bytes, pending);
        return rv < 0 ? bad_packet(in, rv) : complete(pending, in);
    }
    rv = sio_packet_parse(text, c->max_attachments, &in->parsed);
    if (rv < 0)
        return bad_packet(in, rv);
    in->packet = &in->parsed;
    in->text = msg;
    return 1;
}

static int json_decode(const struct sio_codec *c, struct sio_assembly **pending,
                       bool text, struct sio_slice msg, struct sio_incoming *in)
{
    int rv;

    if (text)
        return decode_text(c, pending, msg, in);
    if (!*pending)
        return fault(in, SIO_ERR_PROTOCOL,
                     "the peer sent bytes that belong to no packet");
    rv = sio_assembly_add(*pending, msg);
    return rv < 0 ? bad_packet(in, rv) : complete(pending, in);
}

/*
 * Slices and parts of a message with few pieces and attachments need no allocation.
 */
enum { FEW_SLICES = 24, FEW_PARTS = 12 };

static struct eio_msg *make_msg(const struct sio_outgoing *o,
                                const struct sio_packet_head *head,
                                struct sio_slice *slices, struct eio_part *parts)
{
    memcpy(slices, head->slices, head->n_slices * sizeof(*slices));
    if (o->n_json > 0)
        memcpy(slices + head->n_slices, o->json, o->n_json * sizeof(*slices));
    parts[0].text = true;
    parts[0].slices = slices;
    parts[0].n_slices = head->n_slices + o->n_json;
    for (uint32_t i = 0; i < o->n_attachments; i++) {
        parts[1 + i].text = false;
        parts[1 + i].slices = &o->attachments[i];
        parts[1 + i].n_slices = 1;
    }
    return eio_msg_new(parts, 1 + (size_t)o->n_attachments, o->options);
}

/* An event or an ack with attachments has a type of its own. */
static enum sio_packet_type wire_type(const struct sio_outgoing *o)
{
    if (o->n_attachments == 0)
        return o->type;
    return o->type == SIO_PACKET_EVENT ? SIO_PACKET_BINARY_EVENT
                                       : SIO_PACKET_BINARY_ACK;
}

static int json_encode(const struct sio_outgoing *o, struct eio_msg **msg)
{
    struct sio_packet_head head;
    struct sio_slice few_slices[FEW_SLICES];
    struct eio_part few_parts[FEW_PARTS];
    struct sio_slice *slices = few_slices;
    struct eio_part *parts = few_parts;
    size_t n_slices = N_ELEMENTS(head.slices) + o->n_json;
    size_t n_parts = 1 + (size_t)o->n_attachments;

    sio_packet_head_make(&head, wire_type(o), o->n_attachments, o->nsp, o->has_id,
                         o->id);
    if (n_slices > FEW_SLICES)
        slices = mem_array(n_slices, sizeof(*slices));
    if (n_parts > FEW_PARTS)
        parts = mem_array(n_parts, sizeof(*parts));
    *msg = slices && parts ? make_msg(o, &head, slices, parts) : NULL;
    if (slices != few_slices)
        mem_free(slices);
    if (parts != few_parts)
        mem_free(parts);
    return *msg ? SIO_OK : SIO_ERR_NOMEM;
}

const struct sio_parser sio_parser_json = {"json", json_decode, json_encode};

/*
 * Any encoding.
 */

int sio_codec_decode(const struct sio_codec *c, struct sio_assembly **pending,
                     bool text, struct sio_slice msg, struct sio_incoming *in)
{
    /* The packet's fields are set as it is parsed: no need to clear them all. */
    in->packet = NULL;
    in->text = (struct sio_slice){0};
    in->attachments = NULL;
    in->why = NULL;
    in->assembly = NULL;
    in->owned_text = NULL;
    in->owned_parts = NULL;
    return c->parser->decode(c, pending, text, msg, in);
}

void sio_incoming_fini(struct sio_incoming *in)
{
    sio_assembly_free(in->assembly);
    sio_buf_unref(in->owned_text);
    mem_free(in->owned_parts);
}

const struct sio_parser *sio_parser_of(enum sio_parser_kind kind)
{
    switch (kind) {
    case SIO_PARSER_JSON: return &sio_parser_json;
    case SIO_PARSER_MSGPACK: return &sio_parser_msgpack;
    }
    return &sio_parser_json;
}

struct eio_msg *sio_packet_msg(const struct sio_parser *parser,
                               enum sio_packet_type type, struct sio_str nsp,
                               bool has_id, uint64_t id, struct sio_str json)
{
    struct sio_slice piece = {NULL, (const uint8_t *)json.ptr, json.len};
    struct sio_outgoing o = {.type = type, .nsp = nsp, .has_id = has_id, .id = id};
    struct eio_msg *msg;

    if (json.ptr) {
        o.json = &piece;
        o.n_json = 1;
    }
    return parser->encode(&o, &msg) == SIO_OK ? msg : NULL;
}
