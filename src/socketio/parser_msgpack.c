#include <config.h>

#include "base/mem.h"
#include "base/utf8.h"
#include "engineio/msg.h"
#include "socketio/msgpack.h"
#include "socketio/parser.h"

/*
 * A packet is one binary message, a map:
 *
 *     {"type": 0 to 4, "nsp": "/name", "data": payload, "id": number}
 *
 * where data and id may be left out, and bytes stand where they belong.  Other keys
 * are passed.  (The wire format of the npm package socket.io-msgpack-parser 3.)
 */

struct fields {
    bool has_type;
    uint64_t type;
    struct sio_slice nsp; /* ptr NULL: not given */
    bool has_id;
    uint64_t id;
    bool has_data;
    struct sio_msgpack_reader data; /* in front of it */
};

/* nil and `undefined` are what some peers write for a field that is not there. */
static bool is_absent(const struct sio_msgpack_token *t)
{
    return t->kind == SIO_MSGPACK_NIL ||
           (t->kind == SIO_MSGPACK_EXT && t->ext == 0 && t->fixed && t->bytes.len == 1);
}

static int read_data(struct sio_msgpack_reader *r, struct fields *f)
{
    struct sio_msgpack_token t;
    struct sio_msgpack_reader before = *r;
    int rv = sio_msgpack_skip(r);

    if (rv < 0)
        return rv;
    f->data = before;
    sio_msgpack_next(&before, &t);
    f->has_data = !is_absent(&t);
    /* Others are no packet's payload, and a number would look like an id. */
    if (f->has_data && t.kind != SIO_MSGPACK_MAP && t.kind != SIO_MSGPACK_ARRAY &&
        t.kind != SIO_MSGPACK_STRING)
        return SIO_ERR_PARSE;
    return SIO_OK;
}

/* The value of a key that is none of ours may be anything. */
static int read_field(struct sio_msgpack_reader *r, const struct sio_msgpack_token *key,
                      struct fields *f)
{
    struct sio_msgpack_token t;
    bool type = sio_msgpack_string_eq(key, "type");
    bool nsp = sio_msgpack_string_eq(key, "nsp");
    bool id = sio_msgpack_string_eq(key, "id");
    int rv;

    if (sio_msgpack_string_eq(key, "data"))
        return read_data(r, f);
    if (!type && !nsp && !id)
        return sio_msgpack_skip(r);
    rv = sio_msgpack_next(r, &t);
    if (rv < 0)
        return rv;
    if (type) {
        f->has_type = sio_msgpack_uint(&t, &f->type);
        return f->has_type ? SIO_OK : SIO_ERR_PARSE;
    }
    if (nsp) {
        if (is_absent(&t))
            return SIO_OK;
        f->nsp = t.bytes;
        return t.kind == SIO_MSGPACK_STRING ? SIO_OK : SIO_ERR_PARSE;
    }
    f->has_id = sio_msgpack_uint(&t, &f->id);
    return f->has_id || is_absent(&t) ? SIO_OK : SIO_ERR_PARSE;
}

static int read_fields(struct sio_slice msg, bool nsp_optional, struct fields *f)
{
    struct sio_msgpack_reader r = sio_msgpack_reader(msg);
    struct sio_msgpack_token map, key;
    int rv = sio_msgpack_next(&r, &map);

    if (rv < 0 || map.kind != SIO_MSGPACK_MAP)
        return SIO_ERR_PARSE;
    for (uint32_t i = 0; i < map.n; i++) {
        struct sio_msgpack_reader before = r;

        rv = sio_msgpack_skip(&r);
        if (rv < 0)
            return rv;
        sio_msgpack_next(&before, &key);
        rv = read_field(&r, &key, f);
        if (rv < 0)
            return rv;
    }
    if (!sio_msgpack_at_end(&r) || !f->has_type || f->type > SIO_PACKET_CONNECT_ERROR)
        return SIO_ERR_PARSE;
    if (!f->nsp.ptr && nsp_optional)
        f->nsp = (struct sio_slice){NULL, (const uint8_t *)"/", 1};
    if (!f->nsp.ptr ||
        !sio_nsp_valid((struct sio_str){(const char *)f->nsp.ptr, f->nsp.len}) ||
        !utf8_check(f->nsp.ptr, f->nsp.len))
        return SIO_ERR_PARSE;
    /* python-socketio 5 leaves an id of 0 out, and no ack is without one. */
    if (f->type == SIO_PACKET_ACK && !f->has_id) {
        f->has_id = true;
        f->id = 0;
    }
    return SIO_OK;
}

/*
 * Beside bytes, a map that is no placeholder but reads like one could no longer be
 * told from one: the default encoding cannot say it.
 */
static bool ours_alone(struct sio_str json, uint32_t n)
{
    struct sio_placeholder_walk walk;
    struct sio_str num;
    uint32_t index;

    sio_placeholder_walk_init(&walk, json);
    for (uint32_t i = 0; i < n; i++)
        if (sio_placeholder_next(&walk, &num, &index) != 1 || index != i)
            return false;
    return sio_placeholder_next(&walk, &num, &index) == 0;
}

/* The type in the default encoding, where an event or an ack with bytes is another. */
static enum sio_packet_type inner_type(const struct fields *f, bool binary)
{
    enum sio_packet_type type = (enum sio_packet_type)f->type;

    if (binary)
        type =
            type == SIO_PACKET_EVENT ? SIO_PACKET_BINARY_EVENT : SIO_PACKET_BINARY_ACK;
    return type;
}

static bool may_hold_bytes(const struct fields *f)
{
    return f->type == SIO_PACKET_EVENT || f->type == SIO_PACKET_ACK;
}

/*
 * Puts what stands in front of the JSON there: its size is known only when all
 * attachments are, so w begins with `room` for it.
 */
static void write_head(uint8_t *json, struct sio_packet_head *head,
                       struct sio_slice *text)
{
    size_t len = 0;

    for (size_t i = 0; i < head->n_slices; i++)
        len += head->slices[i].len;
    text->ptr = json - len;
    text->len += len;
    json -= len;
    for (size_t i = 0; i < head->n_slices; i++) {
        memcpy(json, head->slices[i].ptr, head->slices[i].len);
        json += head->slices[i].len;
    }
}

static int write_text(struct fields *f, size_t room, struct wbuf *w,
                      struct sio_msgpack_bins *bins, struct sio_slice *text)
{
    struct sio_str nsp = {(const char *)f->nsp.ptr, f->nsp.len};
    struct sio_packet_head head;
    int rv = SIO_OK;

    if (!wbuf_extend(w, room))
        return w->error;
    if (f->has_data)
        rv = sio_msgpack_to_json(&f->data, w, bins);
    if (rv == SIO_OK && bins->n > 0 && !may_hold_bytes(f))
        rv = SIO_ERR_PROTOCOL;
    if (rv < 0)
        return rv;
    text->len = w->len - room;
    text->buf = wbuf_take(w);
    if (!text->buf)
        return SIO_ERR_NOMEM;
    text->ptr = sio_buf_data(text->buf) + room;
    if (bins->n > 0 && bins->lookalike &&
        !ours_alone((struct sio_str){(const char *)text->ptr, text->len}, bins->n))
        return SIO_ERR_PROTOCOL;
    sio_packet_head_make(&head, inner_type(f, bins->n > 0), bins->n, nsp, f->has_id,
                         f->id);
    write_head(sio_buf_data(text->buf) + room, &head, text);
    return SIO_OK;
}

static int decode(const struct sio_codec *c, struct sio_slice msg,
                  struct sio_incoming *in)
{
    struct sio_msgpack_bins bins = {.max = c->max_attachments};
    struct fields f = {0};
    struct wbuf w;
    size_t room;
    int rv = read_fields(msg, c->nsp_optional, &f);

    if (rv < 0)
        return rv;
    room = sizeof(((struct sio_packet_head *)0)->type) + f.nsp.len +
           sizeof(((struct sio_packet_head *)0)->id);
    wbuf_init(&w, c->max_bytes < UINT32_MAX - room ? c->max_bytes + room : UINT32_MAX);
    rv = write_text(&f, room, &w, &bins, &in->text);
    wbuf_fini(&w);
    in->owned_text = in->text.buf;
    in->owned_parts = bins.items;
    if (rv < 0)
        return rv;
    in->attachments = bins.items;
    in->packet = &in->parsed;
    return sio_packet_parse((struct sio_str){(const char *)in->text.ptr, in->text.len},
                            bins.n, &in->parsed);
}

static int msgpack_decode(const struct sio_codec *c, struct sio_assembly **pending,
                          bool text, struct sio_slice msg, struct sio_incoming *in)
{
    int rv = text ? SIO_ERR_PARSE : decode(c, msg, in);

    (void)pending; /* a message is a whole packet */
    if (rv < 0) {
        in->why = "the peer sent a packet that is not valid";
        return rv;
    }
    return 1;
}

/* The payload in one piece, borrowed or in joined. */
static int join(const struct sio_outgoing *o, struct wbuf *joined, struct sio_str *json)
{
    if (o->n_json == 1) {
        *json = (struct sio_str){(const char *)o->json[0].ptr, o->json[0].len};
        return SIO_OK;
    }
    for (size_t i = 0; i < o->n_json; i++)
        wbuf_add(joined, o->json[i].ptr, o->json[i].len);
    *json = wbuf_str(joined);
    return joined->error;
}

static int write_packet(struct sio_msgpack_writer *w, const struct sio_outgoing *o)
{
    struct wbuf joined;
    struct sio_str json;
    int rv = SIO_OK;

    sio_msgpack_add_map(&w->bytes, 2 + (o->n_json > 0) + o->has_id);
    sio_msgpack_add_string(&w->bytes, SIO_STR("type"));
    sio_msgpack_add_uint(&w->bytes, o->type);
    sio_msgpack_add_string(&w->bytes, SIO_STR("nsp"));
    sio_msgpack_add_string(&w->bytes, o->nsp);
    if (o->has_id) {
        sio_msgpack_add_string(&w->bytes, SIO_STR("id"));
        sio_msgpack_add_uint(&w->bytes, o->id);
    }
    if (o->n_json > 0) {
        sio_msgpack_add_string(&w->bytes, SIO_STR("data"));
        wbuf_init(&joined, UINT32_MAX);
        rv = join(o, &joined, &json);
        if (rv == SIO_OK)
            rv = sio_msgpack_add_json(w, json, o->attachments, o->n_attachments);
        wbuf_fini(&joined);
    }
    return rv < 0 ? rv : w->bytes.error;
}

/* A message with few attachments that are not copied needs no allocation. */
enum { FEW_SLICES = 17 };

static int make_msg(struct sio_msgpack_writer *w, const struct sio_outgoing *o,
                    struct eio_msg **msg)
{
    struct sio_slice few[FEW_SLICES];
    struct sio_slice *slices = few;
    size_t n = 2 * (size_t)w->n_refs + 1;
    struct eio_part part = {.text = false};
    struct sio_buf *bytes = wbuf_take(&w->bytes);

    if (n > FEW_SLICES)
        slices = mem_array(n, sizeof(*slices));
    *msg = NULL;
    if (bytes && slices) {
        part.n_slices = sio_msgpack_slices(w, bytes, slices);
        part.slices = slices;
        *msg = eio_msg_new(&part, 1, o->options);
    }
    if (slices != few)
        mem_free(slices);
    sio_buf_unref(bytes);
    return *msg ? SIO_OK : SIO_ERR_NOMEM;
}

static int msgpack_encode(const struct sio_outgoing *o, struct eio_msg **msg)
{
    struct sio_msgpack_writer w;
    int rv;

    sio_msgpack_writer_init(&w, EIO_MSG_COPY_MAX);
    rv = write_packet(&w, o);
    if (rv == SIO_OK)
        rv = make_msg(&w, o, msg);
    sio_msgpack_writer_fini(&w);
    return rv;
}

const struct sio_parser sio_parser_msgpack = {"msgpack", msgpack_decode,
                                              msgpack_encode};
