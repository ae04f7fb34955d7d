#include <config.h>

#include "engineio/msg.h"

#include <assert.h>

#include "base/base64.h"
#include "base/list.h"
#include "base/mem.h"
#include "engineio/packet.h"
#include "engineio/payload3.h"
#include "http/websocket.h"

static bool is_large(const struct sio_slice *s)
{
    return s->buf && s->len > EIO_MSG_COPY_MAX;
}

/* What a message will need, counted before anything is allocated. */
struct measure {
    bool typed; /* texts get their type character; else they have it */
    size_t n_slices;
    size_t head_bytes;
    size_t bytes; /* of all frames */
};

static size_t part_len(const struct eio_part *part, bool typed)
{
    size_t len = part->text && typed ? 1 : 0;

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
    size_t len = part_len(part, m->typed);
    size_t head_len;
    bool in_head = true;

    if (len == SIZE_MAX || m->bytes + len > UINT32_MAX - WS_HEAD_MAX)
        return SIO_ERR_TOO_BIG;
    head_len = ws_frame_head(head, part->text ? WS_TEXT : WS_BINARY, len);
    m->bytes += head_len + len;
    m->head_bytes += head_len + (part->text && m->typed);
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
    bool typed;
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
    out->ws_head = (uint8_t)ws_frame_head(w->p, part->text ? WS_TEXT : WS_BINARY,
                                          part_len(part, w->typed));
    w->p += out->ws_head;
    if (part->text && w->typed)
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

static struct eio_msg *make_msg(const struct eio_part *parts, size_t n, bool typed,
                                const struct eio_msg_options *opts)
{
    struct measure need = {.typed = typed};
    struct writer w = {.typed = typed};

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

struct eio_msg *eio_msg_new(const struct eio_part *parts, size_t n,
                            const struct eio_msg_options *opts)
{
    return make_msg(parts, n, true, opts);
}

static struct eio_msg *msg_of_one(bool text, bool typed, const void *p, size_t len)
{
    struct sio_slice s = {NULL, p, len};
    struct eio_part part = {.text = text, .slices = &s, .n_slices = 1};

    return make_msg(&part, 1, typed, NULL);
}

struct eio_msg *eio_msg_text(const char *p, size_t len)
{
    return msg_of_one(true, true, p, len);
}

struct eio_msg *eio_msg_binary(const void *p, size_t len)
{
    return msg_of_one(false, true, p, len);
}

struct eio_msg *eio_msg_packet(struct sio_str packet)
{
    return msg_of_one(true, false, packet.ptr, packet.len);
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
    http_coded_fini(&msg->coded);
    eio_msg_unref(msg->other); /* a form of a form of this one, and no more */
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

/* The slices of a binary part in one of protocol 3's forms.  0: out of memory. */
static size_t form_slices(struct eio_msg *msg, uint32_t part, enum eio_form form,
                          struct sio_slice *out)
{
    static const uint8_t type[] = {EIO_PAYLOAD3_MESSAGE};
    static const uint8_t base64_type[] = {EIO_PACKET_BASE64, '0' + EIO_PACKET_MESSAGE};
    size_t n;

    if (form == EIO_FORM_3) {
        out[0] = (struct sio_slice){NULL, type, sizeof(type)};
        return 1 + eio_msg_body(msg, part, &out[1]);
    }
    if (eio_msg_payload(msg, part, &out[1], &n) < 0)
        return 0;
    out[0] = (struct sio_slice){NULL, base64_type, sizeof(base64_type)};
    out[1].ptr++; /* its own 'b' */
    out[1].len--;
    return 1 + n;
}

static struct eio_msg *make_form(struct eio_msg *msg, enum eio_form form,
                                 struct sio_slice *slices, struct eio_part *parts)
{
    const struct eio_msg_options opts = {.replace_key = msg->replace_key,
                                         .is_volatile = msg->is_volatile,
                                         .no_compress = msg->no_compress};
    struct eio_msg *made;

    for (uint32_t i = 0; i < msg->n_parts; i++) {
        struct eio_part *part = &parts[i];

        part->text = msg->parts[i].text || form == EIO_FORM_3_BASE64;
        part->slices = slices;
        part->n_slices = msg->parts[i].text ? eio_msg_body(msg, i, slices)
                                            : form_slices(msg, i, form, slices);
        if (part->n_slices == 0)
            return NULL;
        slices += part->n_slices;
    }
    made = make_msg(parts, msg->n_parts, false, &opts);
    if (made)
        made->form = (uint8_t)form;
    return made;
}

static bool has_binary(const struct eio_msg *msg)
{
    for (uint32_t i = 0; i < msg->n_parts; i++)
        if (!msg->parts[i].text)
            return true;
    return false;
}

struct eio_msg *eio_msg_form(struct eio_msg *msg, enum eio_form form)
{
    struct sio_slice *slices;
    struct eio_part *parts;
    struct eio_msg *found = msg;

    if (form == EIO_FORM_4 || !has_binary(msg))
        return msg;
    while (found && found->form != form)
        found = found->other;
    if (found)
        return found;
    slices = mem_array(msg->n_slices + msg->n_parts, sizeof(*slices));
    parts = mem_array(msg->n_parts, sizeof(*parts));
    if (slices && parts)
        found = make_form(msg, form, slices, parts);
    mem_free(slices);
    mem_free(parts);
    if (found) {
        found->other = msg->other;
        msg->other = found;
    }
    return found;
}

size_t eio_msg_body_len(const struct eio_msg *msg, uint32_t part)
{
    const struct eio_msg_part *p = &msg->parts[part];
    size_t len = 0;

    for (uint32_t i = 0; i < p->n_slices; i++)
        len += msg->slices[p->first + i].len;
    return len - p->ws_head;
}

size_t eio_msg_body_units(struct eio_msg *msg, uint32_t part)
{
    struct eio_msg_part *p = &msg->parts[part];
    const struct sio_slice *s = &msg->slices[p->first];
    size_t n;

    if (p->units == 0) {
        n = eio_payload3_units(s[0].ptr + p->ws_head, s[0].len - p->ws_head);
        for (uint32_t i = 1; i < p->n_slices; i++)
            n += eio_payload3_units(s[i].ptr, s[i].len);
        p->units = (uint32_t)n;
    }
    return p->units;
}
