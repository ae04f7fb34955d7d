/*
 * What the MessagePack parser accepts, it writes so that it reads back the same.
 *
 * The first byte says whether the message lies in a buf or is borrowed.
 */
#include <config.h>

#include <assert.h>
#include <stdlib.h>

#include "base/str.h"
#include "engineio/msg.h"
#include "socketio/parser.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { MAX_ATTACHMENTS = 10 };

static const struct sio_codec codec = {&sio_parser_msgpack, MAX_ATTACHMENTS, 1 << 20,
                                       false};

static struct eio_msg *encode(const struct sio_incoming *in)
{
    const struct sio_packet *p = in->packet;
    struct sio_slice json = {NULL, (const uint8_t *)p->json.ptr, p->json.len};
    struct sio_outgoing o = {.type = p->type,
                             .nsp = p->nsp,
                             .has_id = p->has_id,
                             .id = p->id,
                             .json = &json,
                             .n_json = p->json.ptr ? 1 : 0,
                             .attachments = in->attachments,
                             .n_attachments = p->n_attachments};
    struct eio_msg *msg;

    if (p->type == SIO_PACKET_BINARY_EVENT)
        o.type = SIO_PACKET_EVENT;
    if (p->type == SIO_PACKET_BINARY_ACK)
        o.type = SIO_PACKET_ACK;
    assert(sio_parser_msgpack.encode(&o, &msg) == SIO_OK);
    return msg;
}

/* The message's bytes in one buf. */
static struct sio_buf *body_of(const struct eio_msg *msg)
{
    struct sio_slice slices[2 * MAX_ATTACHMENTS + 4];
    size_t n = eio_msg_body(msg, 0, slices);
    struct wbuf w;
    struct sio_buf *b;

    assert(n <= sizeof(slices) / sizeof(slices[0]));
    wbuf_init(&w, UINT32_MAX);
    for (size_t i = 0; i < n; i++)
        wbuf_add(&w, slices[i].ptr, slices[i].len);
    b = wbuf_take(&w);
    assert(b);
    return b;
}

static void check_same(const struct sio_incoming *a, const struct sio_incoming *b)
{
    struct sio_str x = {(const char *)a->text.ptr, a->text.len};
    struct sio_str y = {(const char *)b->text.ptr, b->text.len};

    assert(str_eq(x, y));
    assert(a->packet->n_attachments == b->packet->n_attachments);
    for (uint32_t i = 0; i < a->packet->n_attachments; i++) {
        const struct sio_slice *s = &a->attachments[i], *t = &b->attachments[i];

        assert(s->len == t->len && memcmp(s->ptr, t->ptr, s->len) == 0);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct sio_assembly *pending = NULL;
    struct sio_incoming in, again;
    struct sio_slice msg = {NULL, data, size};
    struct sio_buf *buf = NULL, *body;
    struct eio_msg *out;

    if (size == 0)
        return 0;
    msg.ptr++;
    msg.len--;
    if (data[0] & 1) {
        buf = sio_buf_copy(msg.ptr, msg.len);
        assert(buf);
        msg = sio_slice_of(buf);
    }
    if (sio_codec_decode(&codec, &pending, false, msg, &in) == 1) {
        out = encode(&in);
        body = body_of(out);
        assert(sio_codec_decode(&codec, &pending, false, sio_slice_of(body), &again) ==
               1);
        check_same(&in, &again);
        sio_incoming_fini(&again);
        sio_buf_unref(body);
        eio_msg_unref(out);
    }
    assert(!pending);
    sio_incoming_fini(&in);
    sio_buf_unref(buf);
    return 0;
}
