#include <config.h>

#include "http/ws_message.h"

#include "base/mem.h"
#include "base/utf8.h"

struct ws_message {
    struct ws_deflate *deflate; /* NULL: not compressed */
    struct wbuf bytes;
    struct utf8 utf8;
    bool text;
    uint32_t n_fragments;
    uint32_t max_fragments;
    uint64_t left; /* bytes that its frames may still announce */
};

struct ws_message *ws_message_new(const struct ws_frame *f,
                                  const struct ws_message_limits *limits,
                                  struct ws_deflate *deflate)
{
    struct ws_message *m = mem_new(struct ws_message);

    if (!m)
        return NULL;
    m->text = f->opcode == WS_TEXT;
    m->max_fragments = limits->max_fragments;
    m->left = limits->max_bytes;
    if (f->packed) {
        m->deflate = deflate;
        m->left += m->left / 8 + 64; /* zlib adds less to what it cannot compress */
    }
    wbuf_init(&m->bytes, limits->max_bytes);
    return m;
}

void ws_message_free(struct ws_message *m)
{
    if (!m)
        return;
    wbuf_fini(&m->bytes);
    mem_free(m);
}

int ws_message_begin(struct ws_message *m, const struct ws_frame *f)
{
    if (f->len > m->left)
        return WS_CLOSE_TOO_BIG;
    m->left -= f->len;
    return ++m->n_fragments > m->max_fragments ? WS_CLOSE_POLICY : 0;
}

/* The code for an error of the (de)compressor, or for text behind `from` that is none. */
static int judge(struct ws_message *m, int rv, size_t from)
{
    struct sio_str all = wbuf_str(&m->bytes);

    switch (rv) {
    case SIO_OK: break;
    case SIO_ERR_TOO_BIG: return WS_CLOSE_TOO_BIG;
    case SIO_ERR_PARSE:
        return WS_CLOSE_UTF8; /* "inconsistent data" (RFC 6455, 7.4.1) */
    default: return WS_CLOSE_INTERNAL;
    }
    if (m->text && !utf8_feed(&m->utf8, all.ptr + from, all.len - from))
        return WS_CLOSE_UTF8;
    return 0;
}

int ws_message_feed(struct ws_message *m, const uint8_t *p, size_t len)
{
    size_t from = m->bytes.len;
    int rv;

    if (m->deflate) {
        rv = ws_deflate_unpack(m->deflate, p, len, &m->bytes);
    } else {
        wbuf_add(&m->bytes, p, len);
        rv = m->bytes.error;
    }
    return judge(m, rv, from);
}

int ws_message_end(struct ws_message *m)
{
    size_t from = m->bytes.len;
    int rv = m->deflate ? ws_deflate_unpack_end(m->deflate, &m->bytes) : SIO_OK;
    int code = judge(m, rv, from);

    if (code == 0 && m->text && !utf8_done(&m->utf8))
        code = WS_CLOSE_UTF8;
    return code;
}

struct sio_buf *ws_message_take(struct ws_message *m, bool *text)
{
    *text = m->text;
    return wbuf_take(&m->bytes);
}
