#include <config.h>

#include "engineio/msg.h"

#include <assert.h>

#include "base/base64.h"
#include "base/list.h"
#include "base/mem.h"
#include "engineio/packet.h"
#include "http/websocket.h"

static bool is_large(const struct sio_slice *s)
{
    return s->buf && s->len > EIO_MSG_COPY_MAX;
}

/* What a message will need, counted before anything is allocated. */
struct measure {
    size_t n_slices;
    size_t head_bytes;
    size_t bytes; /* of all frames */
};

static size_t part_len(const struct eio_part *part)
{
    size_t len = part->text ? 1 : 0;

    for (size_t i = 0; i < part->n_slices; i++) {
        if (part->slices[i].len > UINT32_MAX - len)
            return SIZE_MAX;
        len += part->slices[i].len;
    }
    return len;
}

static int measure_part(struct measure *m, const struct eio_part *part)
{
    uint8_t head[WS_HEAD_MAX];
    size_t len = part_len(part);
    size_t head_len;
    bool in_head = true;

    if (len == SIZE_MAX || m->bytes + len > UINT32_MAX - WS_HEAD_MAX)
        return SIO_ERR_TOO_BIG;
    head_len = ws_frame_head(head, part->text ? WS_TEXT : WS_BINARY, len);
    m->bytes += head_len + len;
    m->head_bytes += head_len + part->text;
    m->n_slices++;
    for (size_t i = 0; i < part->n_slices; i++) {
        const struct sio_slice *s = &part->slices[i];

        if (is_large(s)) {
            m->n_slices++;
            in_head = false;
        } else if (s->len > 0) {
            m->n_slices += !in_head;
            m->head_bytes += s->len;
            in_head = true;
        }
    }
    return SIO_OK;
}

/*
 * Writes the parts behind each other: small bytes into head, large ones as
 * references.
 */
struct writer {
    struct eio_msg *msg;
    struct sio_buf *head;
    uint8_t *p; /* next free byte of head */
};

static struct sio_slice *add_slice(struct writer *w, struct sio_buf *buf,
                                   const uint8_t *p, size_t len)
{
    struct sio_slice *s = &w->msg->slices[w->msg->n_slices++];

    s->buf = sio_buf_ref(buf);
    s->ptr = p;
    s->len = len;
    return s;
}

static void write_part(struct writer *w, struct eio_msg_part *out,
                       const struct eio_part *part)
{
    struct sio_slice *run = add_slice(w, w->head, w->p, 0);

    out->first = w->msg->n_slices - 1;
    out->text = part->text;
    out->ws_head =
        (uint8_t)ws_frame_head(w->p, part->text ? WS_TEXT : WS_BINARY, part_len(part));
    w->p += out->ws_head;
    if (part->text)
        *w->p++ = '0' + EIO_PACKET_MESSAGE;
    run->len = (size_t)(w->p - run->ptr);
    for (size_t i = 0; i < part->n_slices; i++) {
        const struct sio_slice *s = &part->slices[i];

        if (is_large(s)) {
            add_slice(w, s->buf, s->ptr, s->len);
            run = NULL;
        } else if (s->len > 0) {
            if (!run)
                run = add_slice(w, w->head, w->p, 0);
            memcpy(w->p, s->ptr, s->len);
            w->p += s->len;
            run->len += s->len;
        }
    }
    out->n_slices = w->msg->n_slices - out->first;
}

static struct eio_msg *msg_alloc(size_t n_parts, size_t n_slices)
{
    struct eio_msg *msg;
    size_t parts_bytes;

    if (n_parts > UINT16_MAX || n_slices > UINT32_MAX / sizeof(struct sio_slice))
        return NULL;
    parts_bytes = sizeof(*msg) + n_parts * sizeof(msg->parts[0]);
    msg = mem_alloc(parts_bytes + n_slices * sizeof(struct sio_slice));
    if (msg)
        msg->slices = (struct sio_slice *)(void *)((char *)msg + parts_bytes);
    return msg;
}

struct eio_msg *eio_msg_new(const struct eio_part *parts, size_t n,
                            const struct eio_msg_options *opts)
{
    struct measure need = {0};
    struct writer w;

    assert(n > 0);
    for (size_t i = 0; i < n; i++)
        if (measure_part(&need, &parts[i]) < 0)
            return NULL;

    w.head = sio_buf_new(need.head_bytes);
    if (!w.head)
        return NULL;
    w.p = sio_buf_data(w.head);
    w.msg = msg_alloc(n, need.n_slices);
    if (!w.msg) {
        sio_buf_unref(w.head);
        return NULL;
    }
    w.msg->refs = 1;
    w.msg->n_parts = (uint32_t)n;
    w.msg->bytes = need.bytes;
    if (opts) {
        w.msg->replace_key = opts->replace_key;
        w.msg->is_volatile = opts->is_volatile;
        w.msg->no_compress = opts->no_compress;
    }
    for (size_t i = 0; i < n; i++)
        write_part(&w, &w.msg->parts[i], &parts[i]);
    assert(w.msg->n_slices == need.n_slices);
    sio_buf_unref(w.head);
    return w.msg;
}

static struct eio_msg *msg_of_one(bool text, const void *p, size_t len)
{
    struct sio_slice s = {NULL, p, len};
    struct eio_part part = {.text = text, .slices = &s, .n_slices = 1};

    return eio_msg_new(&part, 1, NULL);
}

struct eio_msg *eio_msg_text(const char *p, size_t len)
{
    return msg_of_one(true, p, len);
}

struct eio_msg *eio_msg_binary(const void *p, size_t len)
{
    return msg_of_one(false, p, len);
}

struct eio_msg *eio_msg_ref(struct eio_msg *msg)
{
    msg->refs++;
    return msg;
}

void eio_msg_unref(struct eio_msg *msg)
{
    if (!msg || --msg->refs > 0)
        return;
    for (uint32_t i = 0; i < msg->n_slices; i++)
        sio_buf_unref(msg->slices[i].buf);
    for (uint32_t i = 0; i < msg->n_parts; i++)
        sio_buf_unref(msg->parts[i].base64);
    eio_msg_packed_free(msg);
    mem_free(msg);
}

const struct sio_slice *eio_msg_frames(const struct eio_msg *msg, uint32_t from,
                                       size_t *n)
{
    uint32_t first = msg->parts[from].first;

    *n = msg->n_slices - first;
    return &msg->slices[first];
}

size_t eio_msg_body(const struct eio_msg *msg, uint32_t part, struct sio_slice *out)
{
    const struct eio_msg_part *p = &msg->parts[part];

    memcpy(out, &msg->slices[p->first], p->n_slices * sizeof(*out));
    out[0].ptr += p->ws_head;
    out[0].len -= p->ws_head;
    return p->n_slices;
}

/* Encodes bytes that come in pieces: three at a time, whatever the pieces' borders. */
struct base64_stream {
    char *dst;
    uint8_t carry[3];
    size_t n_carry;
};

static void base64_feed(struct base64_stream *b, const uint8_t *p, size_t len)
{
    size_t whole;

    while (b->n_carry > 0 && len > 0) {
        b->carry[b->n_carry++] = *p++;
        len--;
        if (b->n_carry == 3) {
            base64_encode(b->carry, 3, b->dst);
            b->dst += 4;
            b->n_carry = 0;
        }
    }
    whole = len - len % 3;
    base64_encode(p, whole, b->dst);
    b->dst += whole / 3 * 4;
    while (whole < len)
        b->carry[b->n_carry++] = p[whole++];
}

static struct sio_buf *encode_binary(const struct eio_msg *msg,
                                     const struct eio_msg_part *part)
{
    const struct sio_slice *s = &msg->slices[part->first];
    struct base64_stream stream = {0};
    struct sio_buf *b;
    size_t len = 0;

    for (uint32_t i = 0; i < part->n_slices; i++)
        len += s[i].len;
    len -= part->ws_head;
    b = sio_buf_new(1 + base64_encoded_len(len));
    if (!b)
        return NULL;
    stream.dst = (char *)sio_buf_data(b);
    *stream.dst++ = EIO_PACKET_BASE64;
    base64_feed(&stream, s[0].ptr + part->ws_head, s[0].len - part->ws_head);
    for (uint32_t i = 1; i < part->n_slices; i++)
        base64_feed(&stream, s[i].ptr, s[i].len);
    base64_encode(stream.carry, stream.n_carry, stream.dst);
    return b;
}

int eio_msg_payload(struct eio_msg *msg, uint32_t part, struct sio_slice *out,
                    size_t *n)
{
    struct eio_msg_part *p = &msg->parts[part];

    if (p->text) {
        *n = eio_msg_body(msg, part, out);
        return SIO_OK;
    }
    if (!p->base64) {
        p->base64 = encode_binary(msg, p);
        if (!p->base64)
            return SIO_ERR_NOMEM;
    }
    out[0] = sio_slice_of(p->base64);
    *n = 1;
    return SIO_OK;
}
