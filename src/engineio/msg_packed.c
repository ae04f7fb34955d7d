#include <config.h>

#include "engineio/msg.h"

#include "base/mem.h"
#include "http/ws_deflate.h"

/* The frames of a message for one window size.  At most seven sizes are asked for. */
struct eio_msg_packed {
    struct eio_msg_packed *next;
    int bits;
    uint32_t n_slices;
    uint32_t *first; /* slice of each part */
    struct sio_slice slices[];
};

static size_t length(const struct sio_slice *slices, size_t n)
{
    size_t len = 0;

    for (size_t i = 0; i < n; i++)
        len += slices[i].len;
    return len;
}

/* The compressed frame of a part; false: it stays as it is. */
static bool pack_part(const struct eio_msg *msg, uint32_t part,
                      const struct eio_msg_pack *how, struct sio_slice *frame)
{
    const struct eio_msg_part *p = &msg->parts[part];
    const struct sio_slice *s = &msg->slices[p->first];
    enum ws_opcode opcode = p->text ? WS_TEXT : WS_BINARY;
    struct sio_slice few[8];
    struct sio_slice *body = few;
    size_t n;
    int rv;

    if (length(s, p->n_slices) < how->min_bytes + p->ws_head)
        return false;
    if (p->n_slices > sizeof(few) / sizeof(few[0]))
        body = mem_array(p->n_slices, sizeof(*body));
    if (!body)
        return false;
    n = eio_msg_body(msg, part, body);
    rv = ws_deflate_frame(how->level, how->bits, opcode, body, n, frame);
    if (body != few)
        mem_free(body);
    return rv == SIO_OK;
}

static void fill(struct eio_msg_packed *packed, const struct eio_msg *msg,
                 const struct eio_msg_pack *how)
{
    for (uint32_t i = 0; i < msg->n_parts; i++) {
        const struct eio_msg_part *p = &msg->parts[i];
        struct sio_slice *to = &packed->slices[packed->n_slices];

        packed->first[i] = packed->n_slices;
        if (pack_part(msg, i, how, to)) {
            packed->n_slices++;
            continue;
        }
        for (uint32_t j = 0; j < p->n_slices; j++) {
            to[j] = msg->slices[p->first + j];
            sio_buf_ref(to[j].buf);
        }
        packed->n_slices += p->n_slices;
    }
}

static struct eio_msg_packed *make(struct eio_msg *msg, const struct eio_msg_pack *how)
{
    size_t slices_bytes = msg->n_slices * sizeof(struct sio_slice);
    struct eio_msg_packed *packed =
        mem_alloc(sizeof(*packed) + slices_bytes + msg->n_parts * sizeof(uint32_t));

    if (!packed)
        return NULL;
    packed->bits = how->bits;
    packed->first = (uint32_t *)(void *)&packed->slices[msg->n_slices];
    fill(packed, msg, how);
    packed->next = msg->packed;
    msg->packed = packed;
    return packed;
}

const struct sio_slice *eio_msg_packed_frames(struct eio_msg *msg, uint32_t from,
                                              const struct eio_msg_pack *how, size_t *n)
{
    struct eio_msg_packed *packed = msg->packed;

    while (packed && packed->bits != how->bits)
        packed = packed->next;
    if (!packed)
        packed = make(msg, how);
    if (!packed)
        return NULL;
    *n = packed->n_slices - packed->first[from];
    return &packed->slices[packed->first[from]];
}

void eio_msg_packed_free(struct eio_msg *msg)
{
    while (msg->packed) {
        struct eio_msg_packed *packed = msg->packed;

        msg->packed = packed->next;
        for (uint32_t i = 0; i < packed->n_slices; i++)
            sio_buf_unref(packed->slices[i].buf);
        mem_free(packed);
    }
}
