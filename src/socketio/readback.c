#include <config.h>

#include "socketio/readback.h"

#include "base/buf.h"
#include "base/mem.h"
#include "engineio/msg.h"

/* The bytes of a part in one piece, without Engine.IO's type; the caller owns them. */
static int join_part(const struct eio_msg *msg, uint32_t part, struct sio_slice *out)
{
    const struct eio_msg_part *p = &msg->parts[part];
    struct sio_slice *slices = mem_array(p->n_slices, sizeof(*slices));
    struct sio_buf *joined;
    struct wbuf w;
    size_t n;

    if (!slices)
        return SIO_ERR_NOMEM;
    wbuf_init(&w, UINT32_MAX);
    n = eio_msg_body(msg, part, slices);
    for (size_t i = 0; i < n; i++)
        wbuf_add(&w, slices[i].ptr, slices[i].len);
    mem_free(slices);
    joined = wbuf_take(&w);
    wbuf_fini(&w); /* what was written where taking failed */
    if (!joined)
        return SIO_ERR_NOMEM;
    *out = sio_slice_of(joined);
    out->ptr += p->text;
    out->len -= p->text;
    return SIO_OK;
}

static int show(const struct sio_incoming *in,
                void (*fn)(struct sio_event *e, void *user), void *user)
{
    struct sio_event e;
    int rv = sio_event_init(&e, in->packet, in->text, in->attachments, NULL);

    if (rv == SIO_OK)
        fn(&e, user);
    sio_event_fini(&e);
    return rv;
}

int sio_readback(const struct eio_msg *msg, const struct sio_parser *parser,
                 void (*fn)(struct sio_event *e, void *user), void *user)
{
    struct sio_codec codec = {
        .parser = parser, .max_attachments = UINT32_MAX, .max_bytes = SIZE_MAX};
    struct sio_assembly *pending = NULL;
    int rv = 0;

    for (uint32_t i = 0; rv == 0 && i < msg->n_parts; i++) {
        struct sio_incoming in;
        struct sio_slice part;

        rv = join_part(msg, i, &part);
        if (rv < 0)
            break;
        rv = sio_codec_decode(&codec, &pending, msg->parts[i].text, part, &in);
        if (rv > 0) {
            int shown = show(&in, fn, user);

            rv = shown < 0 ? shown : rv;
        }
        sio_incoming_fini(&in);
        sio_buf_unref(part.buf);
    }
    sio_assembly_free(pending);
    return rv < 0 ? rv : SIO_OK;
}
