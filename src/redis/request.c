#include <config.h>

#include "redis/request.h"

#include "base/str.h"

static void add_count(struct wbuf *w, char kind, size_t n)
{
    wbuf_add_byte(w, (uint8_t)kind);
    wbuf_add_u64(w, n);
    wbuf_add_cstr(w, "\r\n");
}

/* What was written since becomes a slice; its place is known once all is written. */
static void cut_text(struct redis_encoding *e)
{
    if (e->text.len == e->begin)
        return;
    e->slices[e->n++] = (struct sio_slice){NULL, NULL, e->text.len - e->begin};
    e->begin = e->text.len;
}

static void encode_argument(struct redis_encoding *e, const struct sio_slice *parts,
                            size_t n)
{
    size_t len = 0;

    for (size_t i = 0; i < n; i++)
        len += parts[i].len;
    add_count(&e->text, '$', len);
    for (size_t i = 0; i < n; i++) {
        if (parts[i].buf && parts[i].len > 0) {
            cut_text(e);
            e->slices[e->n++] = parts[i];
        } else {
            wbuf_add(&e->text, parts[i].ptr, parts[i].len);
        }
    }
    wbuf_add_cstr(&e->text, "\r\n");
}

/* The last argument is the end of the text, but for its line end. */
static void note_left(struct redis_encoding *e, const struct redis_request *r)
{
    const struct sio_slice *last = &e->slices[e->n - 1];
    struct sio_str word = {(const char *)r->args[0].ptr, r->args[0].len};

    e->left = (struct sio_str){NULL, 0};
    if (r->n == 2 && !r->parts && str_ieq(word, SIO_STR("sunsubscribe")))
        e->left = (struct sio_str){
            (const char *)last->ptr + last->len - 2 - r->args[1].len, r->args[1].len};
}

int redis_request_encode(struct redis_encoding *e, const struct redis_request *r)
{
    size_t at = 0;

    wbuf_init(&e->text, UINT32_MAX);
    e->n = e->begin = 0;
    if (r->n == 0 || r->n + r->n_parts > REDIS_MAX_ARGS)
        return SIO_ERR_INVAL;
    add_count(&e->text, '*', r->n + (r->parts ? 1 : 0));
    for (size_t i = 0; i < r->n; i++)
        encode_argument(e, &r->args[i], 1);
    if (r->parts)
        encode_argument(e, r->parts, r->n_parts);
    cut_text(e);
    if (e->text.error < 0)
        return e->text.error;
    for (size_t i = 0; i < e->n; i++) {
        if (e->slices[i].ptr)
            continue;
        e->slices[i].buf = e->text.buf;
        e->slices[i].ptr = e->text.buf->data + at;
        at += e->slices[i].len;
    }
    note_left(e, r);
    return SIO_OK;
}

void redis_encoding_fini(struct redis_encoding *e)
{
    wbuf_fini(&e->text);
}
