/*
 * fields.c - the parts that messages between servers are made of
 */
#include <config.h>

#include "cluster/fields.h"

#include "base/json.h"
#include "base/mem.h"
#include "base/utf8.h"

static void names_fini(struct sio_cluster_names *names)
{
    mem_free(names->items);
    *names = (struct sio_cluster_names){NULL, 0};
}

void sio_cluster_msg_init(struct sio_cluster_msg *out)
{
    memset(out, 0, sizeof(*out));
    wbuf_init(&out->json, UINT32_MAX);
    wbuf_init(&out->text, UINT32_MAX);
}

void sio_cluster_msg_fini(struct sio_cluster_msg *m)
{
    names_fini(&m->rooms);
    names_fini(&m->except);
    names_fini(&m->names);
    wbuf_fini(&m->json);
    wbuf_fini(&m->text);
}

/*
 * MessagePack becomes JSON, all but a packet, so that there is one reader of fields.
 */

int sio_cluster_keep(struct sio_msgpack_reader *r, struct sio_slice *packet)
{
    const uint8_t *from = r->p;
    int rv = sio_msgpack_skip(r);

    *packet = (struct sio_slice){r->buf, from, (size_t)(r->p - from)};
    return rv;
}

/* No field is made of bytes, but what applications keep with a socket may have some. */
int sio_cluster_add_value(struct sio_msgpack_reader *r, struct wbuf *json)
{
    struct sio_msgpack_bins bins = {.max = SIO_CLUSTER_MAX_ATTACHMENTS};
    int rv = sio_msgpack_to_json(r, json, &bins);

    sio_msgpack_bins_fini(&bins);
    return rv;
}

int sio_cluster_map_to_json(struct sio_msgpack_reader *r, uint32_t n,
                            struct sio_cluster_msg *out)
{
    struct wbuf *json = &out->json;
    struct sio_msgpack_token key;
    bool first = true;
    int rv = SIO_OK;

    wbuf_add_byte(json, '{');
    for (uint32_t i = 0; i < n && rv == SIO_OK; i++) {
        rv = sio_msgpack_next(r, &key);
        if (rv < 0 || key.kind != SIO_MSGPACK_STRING)
            return SIO_ERR_PARSE;
        if (sio_msgpack_string_eq(&key, "packet")) {
            rv = sio_cluster_keep(r, &out->packet);
            continue;
        }
        if (!first)
            wbuf_add_byte(json, ',');
        first = false;
        json_write_string(json,
                          (struct sio_str){(const char *)key.bytes.ptr, key.bytes.len});
        wbuf_add_byte(json, ':');
        rv = sio_cluster_add_value(r, json);
    }
    wbuf_add_byte(json, '}');
    return rv < 0 ? rv : json->error;
}

/* No text grows when its escapes are decoded. */
int sio_cluster_text_room(struct sio_cluster_msg *m, struct sio_str json)
{
    if (!memchr(json.ptr, '\\', json.len))
        return SIO_OK;
    return wbuf_reserve(&m->text, json.len);
}

/*
 * Fields.
 */

/* Text without escapes stays where it is. */
int sio_cluster_take_string(struct sio_cluster_msg *m, struct sio_str raw,
                            struct sio_str *out)
{
    size_t at = m->text.len;

    if (json_string_plain(raw, out))
        return SIO_OK;
    /* Room for all texts was made at the start: none moves. */
    json_string_decode(raw, &m->text);
    if (m->text.error < 0)
        return m->text.error;
    *out = wbuf_str(&m->text);
    out->ptr += at;
    out->len -= at;
    return SIO_OK;
}

int sio_cluster_take_text(struct sio_cluster_msg *m, struct sio_str value,
                          struct sio_str *out)
{
    *out = (struct sio_str){NULL, 0};
    if (json_type(value) == JSON_NULL)
        return SIO_OK;
    return json_type(value) == JSON_STRING ? sio_cluster_take_string(m, value, out)
                                           : SIO_ERR_PARSE;
}

static int take_id(struct sio_cluster_msg *m, struct sio_str value, struct sio_str *out)
{
    int rv = sio_cluster_take_text(m, value, out);

    return rv == SIO_OK && out->len > SIO_CLUSTER_MAX_ID ? SIO_ERR_PARSE : rv;
}

/* A room of node's may be a number. */
static int take_name(struct sio_cluster_msg *m, struct sio_str value,
                     struct sio_str *out)
{
    if (json_type(value) == JSON_STRING)
        return sio_cluster_take_string(m, value, out);
    *out = value;
    return json_type(value) == JSON_NUMBER ? SIO_OK : SIO_ERR_PARSE;
}

int sio_cluster_take_number(struct sio_str value, uint32_t max, uint32_t *out)
{
    double d;

    if (!json_number(value, &d) || !(d >= 0 && d <= max))
        return SIO_ERR_PARSE;
    *out = (uint32_t)d;
    return (double)*out == d ? SIO_OK : SIO_ERR_PARSE;
}

int sio_cluster_take_names(struct sio_cluster_msg *m, struct sio_str value,
                           struct sio_cluster_names *out)
{
    struct json_iter it = json_iter(value);
    struct sio_str key, item;
    size_t n = 0;
    int rv = SIO_OK;

    names_fini(out);
    if (json_type(value) == JSON_NULL)
        return SIO_OK;
    if (json_type(value) != JSON_ARRAY)
        return SIO_ERR_PARSE;
    while (json_next(&it, &key, &item))
        n++;
    if (n > SIO_CLUSTER_MAX_NAMES)
        return SIO_ERR_TOO_BIG;
    if (n == 0)
        return SIO_OK;
    out->items = mem_array(n, sizeof(*out->items));
    if (!out->items)
        return SIO_ERR_NOMEM;
    it = json_iter(value);
    while (rv == SIO_OK && json_next(&it, &key, &item))
        rv = take_name(m, item, &out->items[out->n++]);
    return rv;
}

/* Flags are wishes: what is not understood is none. */
static void take_flags(struct sio_cluster_msg *m, struct sio_str flags)
{
    struct sio_str value;
    double ms;

    if (json_get(flags, "volatile", &value))
        m->is_volatile = json_type(value) == JSON_TRUE;
    if (json_get(flags, "compress", &value))
        m->no_compress = json_type(value) == JSON_FALSE;
    if (json_get(flags, "timeout", &value) && json_number(value, &ms) && ms >= 1)
        m->timeout_ms = ms < INT32_MAX ? (uint32_t)ms : INT32_MAX;
}

int sio_cluster_take_opts(struct sio_cluster_msg *m, struct sio_str opts)
{
    struct sio_str value;
    int rv = SIO_OK;

    if (json_type(opts) != JSON_OBJECT)
        return SIO_ERR_PARSE;
    m->has_opts = true;
    if (json_get(opts, "rooms", &value))
        rv = sio_cluster_take_names(m, value, &m->rooms);
    if (rv == SIO_OK && json_get(opts, "except", &value))
        rv = sio_cluster_take_names(m, value, &m->except);
    if (json_get(opts, "flags", &value) && json_type(value) == JSON_OBJECT)
        take_flags(m, value);
    return rv;
}

int sio_cluster_take_opts_or_null(struct sio_cluster_msg *m, struct sio_str value)
{
    return json_type(value) == JSON_NULL ? SIO_OK : sio_cluster_take_opts(m, value);
}

int sio_cluster_take_rooms(struct sio_cluster_msg *m, struct sio_str value)
{
    return sio_cluster_take_names(m, value, &m->names);
}

int sio_cluster_take_uid(struct sio_cluster_msg *m, struct sio_str value)
{
    return take_id(m, value, &m->uid);
}

int sio_cluster_take_request_id(struct sio_cluster_msg *m, struct sio_str value)
{
    return take_id(m, value, &m->request_id);
}

int sio_cluster_take_close(struct sio_cluster_msg *m, struct sio_str value)
{
    m->close = json_type(value) == JSON_TRUE;
    return SIO_OK;
}

int sio_cluster_take_count(struct sio_cluster_msg *m, struct sio_str value)
{
    m->has_client_count = true;
    return sio_cluster_take_number(value, INT32_MAX, &m->client_count);
}

int sio_cluster_take_sockets(struct sio_cluster_msg *m, struct sio_str value)
{
    m->sockets = value;
    return json_type(value) == JSON_ARRAY ? SIO_OK : SIO_ERR_PARSE;
}

/* Others are passed: later versions may have more. */
static int take_field(struct sio_cluster_msg *m, struct sio_str key,
                      struct sio_str value, const struct sio_cluster_field *fields)
{
    for (; fields->take; fields++)
        if (json_string_eq(key, fields->name))
            return fields->take(m, value);
    return SIO_OK;
}

int sio_cluster_take_object(struct sio_cluster_msg *m, struct sio_str object,
                            const struct sio_cluster_field *fields)
{
    struct json_iter it = json_iter(object);
    struct sio_str key, value;
    int rv = SIO_OK;

    while (rv == SIO_OK && json_next(&it, &key, &value))
        rv = take_field(m, key, value, fields);
    return rv;
}

int sio_cluster_check_object(struct sio_str json)
{
    int rv;

    if (!utf8_check(json.ptr, json.len))
        return SIO_ERR_PARSE;
    rv = json_check(json);
    if (rv < 0)
        return rv;
    return json_type(json) == JSON_OBJECT ? SIO_OK : SIO_ERR_PARSE;
}
