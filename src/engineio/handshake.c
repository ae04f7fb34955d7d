#include <config.h>

#include "engineio/handshake.h"

#include "base/clock.h"
#include "base/str.h"

/*
 * The copy: the query as sent, the address, then two runs of pairs, decoded
 * parameters and fields.  A pair is two lengths and the two texts.  More than 64
 * KiB of one text cannot be.
 */
struct pair_head {
    uint16_t name_len;
    uint16_t value_len;
};

static void write_pair(struct wbuf *w, struct sio_str name, struct sio_str value)
{
    struct pair_head head = {(uint16_t)name.len, (uint16_t)value.len};

    if (name.len > UINT16_MAX || value.len > UINT16_MAX)
        return;
    wbuf_add(w, &head, sizeof(head));
    wbuf_add_str(w, name);
    wbuf_add_str(w, value);
}

/* Cuts the pair at the start off *rest; false at the end. */
static bool next_pair(struct sio_str *rest, struct sio_str *name, struct sio_str *value)
{
    struct pair_head head;

    if (rest->len == 0)
        return false;
    memcpy(&head, rest->ptr, sizeof(head));
    *name = (struct sio_str){rest->ptr + sizeof(head), head.name_len};
    *value = (struct sio_str){name->ptr + head.name_len, head.value_len};
    rest->len -= sizeof(head) + name->len + value->len;
    rest->ptr = value->ptr + value->len;
    return true;
}

static void write_parameter(struct wbuf *w, struct sio_str text)
{
    struct sio_str value = text;
    struct sio_str name = str_cut(&value, '=');
    struct pair_head head;
    char *p;

    if (text.len == 0 || name.len > UINT16_MAX || value.len > UINT16_MAX)
        return;
    /* Decoding only shortens: room for the raw texts, then the rest is given back. */
    p = (char *)wbuf_extend(w, sizeof(head) + text.len);
    if (!p)
        return;
    head.name_len = (uint16_t)str_percent_decode(name, p + sizeof(head), true);
    head.value_len = 0;
    if (value.ptr)
        head.value_len =
            (uint16_t)str_percent_decode(value, p + sizeof(head) + head.name_len, true);
    memcpy(p, &head, sizeof(head));
    w->len -= text.len - head.name_len - head.value_len;
}

int eio_handshake_copy(struct eio_session *s, const struct http_request *r,
                       struct sio_str address, bool secure)
{
    struct sio_str query = http_request_query(r);
    struct sio_str rest = query;
    struct sio_str name, value;
    struct wbuf w;
    size_t fields_at;
    const char *p;

    wbuf_init(&w, UINT32_MAX);
    wbuf_add_str(&w, query);
    wbuf_add_str(&w, address);
    while (rest.ptr)
        write_parameter(&w, str_cut(&rest, '&'));
    fields_at = w.len;
    for (size_t i = 0; http_request_field_at(r, i, &name, &value); i++)
        write_pair(&w, name, value);
    s->request = wbuf_take(&w);
    wbuf_fini(&w);
    if (!s->request)
        return SIO_ERR_NOMEM;
    p = (const char *)sio_buf_data(s->request);
    s->handshake.query = (struct sio_str){p, query.len};
    s->handshake.address = (struct sio_str){p + query.len, address.len};
    s->handshake.secure = secure;
    s->handshake.time_ms = clock_wall_us() / 1000;
    s->fields_at = (uint32_t)fields_at;
    return SIO_OK;
}

bool eio_session_query(const struct eio_session *s, const char *name,
                       struct sio_str *value)
{
    const struct sio_str *address = &s->handshake.address;
    const char *p = address->ptr + address->len;
    const char *end = (const char *)sio_buf_data(s->request) + s->fields_at;
    struct sio_str rest = {p, (size_t)(end - p)};
    struct sio_str key, text;
    bool found = false;

    while (next_pair(&rest, &key, &text)) {
        if (str_eq_cstr(key, name)) {
            *value = text;
            found = true;
        }
    }
    return found;
}

static struct sio_str fields_of(const struct eio_session *s)
{
    const char *p = (const char *)sio_buf_data(s->request);

    return (struct sio_str){p + s->fields_at, sio_buf_len(s->request) - s->fields_at};
}

struct sio_str eio_session_field(const struct eio_session *s, const char *name)
{
    struct sio_str rest = fields_of(s);
    struct sio_str found, value;

    while (next_pair(&rest, &found, &value))
        if (str_ieq(found, sio_str_from(name)))
            return value;
    return (struct sio_str){NULL, 0};
}

bool eio_session_field_at(const struct eio_session *s, size_t i, struct sio_str *name,
                          struct sio_str *value)
{
    struct sio_str rest = fields_of(s);

    while (next_pair(&rest, name, value))
        if (i-- == 0)
            return true;
    return false;
}
