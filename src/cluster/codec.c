#include <config.h>

#include "cluster/codec.h"

#include "base/json.h"
#include "base/list.h"
#include "base/mem.h"
#include "base/str.h"
#include "base/utf8.h"
#include "socketio/event.h"
#include "socketio/msgpack.h"
#include "socketio/parser.h"

/* Attachments of one packet: what a sio_message may hold. */
#define MAX_ATTACHMENTS (UINT16_MAX - 1)

/*
 * MessagePack becomes JSON, all but a packet, so that there is one reader of fields.
 */

static int keep_packet(struct sio_msgpack_reader *r, struct sio_slice *packet)
{
    const uint8_t *from = r->p;
    int rv = sio_msgpack_skip(r);

    *packet = (struct sio_slice){r->buf, from, (size_t)(r->p - from)};
    return rv;
}

/* Binary values are nothing that belongs into any field. */
static int add_value(struct sio_msgpack_reader *r, struct wbuf *json)
{
    struct sio_msgpack_bins none = {.max = 0};
    int rv = sio_msgpack_to_json(r, json, &none);

    sio_msgpack_bins_fini(&none);
    return rv;
}

static int map_to_json(struct sio_msgpack_reader *r, uint32_t n,
                       struct sio_cluster_msg *out)
{
    struct wbuf *json = &out->json;
    struct sio_msgpack_token key;
    int rv = SIO_OK;

    wbuf_add_byte(json, '{');
    for (uint32_t i = 0; i < n && rv == SIO_OK; i++) {
        rv = sio_msgpack_next(r, &key);
        if (rv < 0 || key.kind != SIO_MSGPACK_STRING)
            return SIO_ERR_PARSE;
        if (sio_msgpack_string_eq(&key, "packet")) {
            rv = keep_packet(r, &out->packet);
            continue;
        }
        if (json->len > 1)
            wbuf_add_byte(json, ',');
        json_write_string(json,
                          (struct sio_str){(const char *)key.bytes.ptr, key.bytes.len});
        wbuf_add_byte(json, ':');
        rv = add_value(r, json);
    }
    wbuf_add_byte(json, '}');
    return rv < 0 ? rv : json->error;
}

/*
 * Fields.
 */

/* Text without escapes stays where it is. */
static int take_string(struct sio_cluster_msg *m, struct sio_str raw,
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

static int take_text(struct sio_cluster_msg *m, struct sio_str value,
                     struct sio_str *out)
{
    *out = (struct sio_str){NULL, 0};
    if (json_type(value) == JSON_NULL)
        return SIO_OK;
    return json_type(value) == JSON_STRING ? take_string(m, value, out) : SIO_ERR_PARSE;
}

static int take_id(struct sio_cluster_msg *m, struct sio_str value, struct sio_str *out)
{
    int rv = take_text(m, value, out);

    return rv == SIO_OK && out->len > SIO_CLUSTER_MAX_ID ? SIO_ERR_PARSE : rv;
}

/* A room of node's may be a number. */
static int take_name(struct sio_cluster_msg *m, struct sio_str value,
                     struct sio_str *out)
{
    if (json_type(value) == JSON_STRING)
        return take_string(m, value, out);
    *out = value;
    return json_type(value) == JSON_NUMBER ? SIO_OK : SIO_ERR_PARSE;
}

static int take_number(struct sio_str value, uint32_t max, uint32_t *out)
{
    double d;

    if (!json_number(value, &d) || !(d >= 0 && d <= max))
        return SIO_ERR_PARSE;
    *out = (uint32_t)d;
    return (double)*out == d ? SIO_OK : SIO_ERR_PARSE;
}

static void names_fini(struct sio_cluster_names *names)
{
    mem_free(names->items);
    *names = (struct sio_cluster_names){NULL, 0};
}

static int take_names(struct sio_cluster_msg *m, struct sio_str value,
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

static int take_opts(struct sio_cluster_msg *m, struct sio_str opts)
{
    struct sio_str value;
    int rv = SIO_OK;

    if (json_type(opts) != JSON_OBJECT)
        return SIO_ERR_PARSE;
    m->has_opts = true;
    if (json_get(opts, "rooms", &value))
        rv = take_names(m, value, &m->rooms);
    if (rv == SIO_OK && json_get(opts, "except", &value))
        rv = take_names(m, value, &m->except);
    if (json_get(opts, "flags", &value) && json_type(value) == JSON_OBJECT)
        take_flags(m, value);
    return rv;
}

static int take_type(struct sio_cluster_msg *m, struct sio_str value)
{
    m->has_type = true;
    return take_number(value, SIO_CLUSTER_ACK, &m->type);
}

static int take_opts_or_null(struct sio_cluster_msg *m, struct sio_str value)
{
    return json_type(value) == JSON_NULL ? SIO_OK : take_opts(m, value);
}

static int take_rooms(struct sio_cluster_msg *m, struct sio_str value)
{
    return take_names(m, value, &m->names);
}

static int take_uid(struct sio_cluster_msg *m, struct sio_str value)
{
    return take_id(m, value, &m->uid);
}

static int take_request_id(struct sio_cluster_msg *m, struct sio_str value)
{
    return take_id(m, value, &m->request_id);
}

static int take_sid(struct sio_cluster_msg *m, struct sio_str value)
{
    return take_text(m, value, &m->sid);
}

static int take_room(struct sio_cluster_msg *m, struct sio_str value)
{
    return take_text(m, value, &m->room);
}

static int take_close(struct sio_cluster_msg *m, struct sio_str value)
{
    m->close = json_type(value) == JSON_TRUE;
    return SIO_OK;
}

static int take_count(struct sio_cluster_msg *m, struct sio_str value)
{
    m->has_client_count = true;
    return take_number(value, INT32_MAX, &m->client_count);
}

static int take_data(struct sio_cluster_msg *m, struct sio_str value)
{
    m->data = value;
    return SIO_OK;
}

static int take_sockets(struct sio_cluster_msg *m, struct sio_str value)
{
    m->sockets = value;
    return json_type(value) == JSON_ARRAY ? SIO_OK : SIO_ERR_PARSE;
}

static const struct {
    struct sio_str name;
    int (*take)(struct sio_cluster_msg *m, struct sio_str value);
} fields[] = {
    {SIO_STR_INIT("type"), take_type},
    {SIO_STR_INIT("uid"), take_uid},
    {SIO_STR_INIT("requestId"), take_request_id},
    {SIO_STR_INIT("opts"), take_opts_or_null},
    {SIO_STR_INIT("rooms"), take_rooms},
    {SIO_STR_INIT("sid"), take_sid},
    {SIO_STR_INIT("room"), take_room},
    {SIO_STR_INIT("close"), take_close},
    {SIO_STR_INIT("clientCount"), take_count},
    {SIO_STR_INIT("data"), take_data},
    {SIO_STR_INIT("sockets"), take_sockets},
};

/* Others are passed: later versions may have more. */
static int take_field(struct sio_cluster_msg *m, struct sio_str key,
                      struct sio_str value)
{
    for (size_t i = 0; i < N_ELEMENTS(fields); i++)
        if (json_string_eq(key, fields[i].name))
            return fields[i].take(m, value);
    return SIO_OK;
}

/* No text grows when its escapes are decoded. */
static int make_text_room(struct sio_cluster_msg *m, struct sio_str json)
{
    if (!memchr(json.ptr, '\\', json.len))
        return SIO_OK;
    return wbuf_reserve(&m->text, json.len);
}

static int take_object(struct sio_cluster_msg *m, struct sio_str object)
{
    struct json_iter it = json_iter(object);
    struct sio_str key, value;
    int rv = make_text_room(m, object);

    while (rv == SIO_OK && json_next(&it, &key, &value))
        rv = take_field(m, key, value);
    return rv;
}

/*
 * Reading.
 */

static void begin(struct sio_cluster_msg *out)
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

int sio_cluster_read_broadcast(struct sio_slice in, struct sio_cluster_msg *out)
{
    struct sio_msgpack_reader r = sio_msgpack_reader(in);
    struct sio_msgpack_token t;
    int rv;

    begin(out);
    if (sio_msgpack_next(&r, &t) < 0 || t.kind != SIO_MSGPACK_ARRAY || t.n != 3)
        return SIO_ERR_PARSE;
    if (sio_msgpack_next(&r, &t) < 0 || t.kind != SIO_MSGPACK_STRING ||
        t.bytes.len > SIO_CLUSTER_MAX_ID)
        return SIO_ERR_PARSE;
    out->uid = (struct sio_str){(const char *)t.bytes.ptr, t.bytes.len};
    rv = keep_packet(&r, &out->packet);
    if (rv == SIO_OK)
        rv = add_value(&r, &out->json);
    if (rv < 0)
        return rv;
    if (!sio_msgpack_at_end(&r))
        return SIO_ERR_PARSE;
    rv = make_text_room(out, wbuf_str(&out->json));
    return rv < 0 ? rv : take_opts(out, wbuf_str(&out->json));
}

static int read_json(struct sio_str json, struct sio_cluster_msg *out)
{
    int rv;

    if (!utf8_check(json.ptr, json.len))
        return SIO_ERR_PARSE;
    rv = json_check(json);
    if (rv < 0)
        return rv;
    return json_type(json) == JSON_OBJECT ? take_object(out, json) : SIO_ERR_PARSE;
}

static int read_map(struct sio_slice in, struct sio_cluster_msg *out)
{
    struct sio_msgpack_reader r = sio_msgpack_reader(in);
    struct sio_msgpack_token t;
    int rv;

    if (sio_msgpack_next(&r, &t) < 0 || t.kind != SIO_MSGPACK_MAP)
        return SIO_ERR_PARSE;
    rv = map_to_json(&r, t.n, out);
    if (rv < 0)
        return rv;
    return sio_msgpack_at_end(&r) ? take_object(out, wbuf_str(&out->json))
                                  : SIO_ERR_PARSE;
}

static int read_either(struct sio_slice in, struct sio_cluster_msg *out)
{
    begin(out);
    if (in.len > 0 && in.ptr[0] == '{')
        return read_json((struct sio_str){(const char *)in.ptr, in.len}, out);
    return read_map(in, out);
}

/* What a request of a type cannot do without. */
static bool request_is_whole(const struct sio_cluster_msg *m)
{
    switch ((enum sio_cluster_type)m->type) {
    case SIO_CLUSTER_SOCKETS:
    case SIO_CLUSTER_ALL_ROOMS: return m->request_id.ptr != NULL;
    case SIO_CLUSTER_JOIN:
    case SIO_CLUSTER_LEAVE:
        return m->has_opts || (m->sid.ptr && m->room.ptr && m->request_id.ptr);
    case SIO_CLUSTER_DISCONNECT:
        return m->has_opts || (m->sid.ptr && m->request_id.ptr);
    case SIO_CLUSTER_FETCH: return m->has_opts && m->request_id.ptr;
    case SIO_CLUSTER_SIDE_EMIT: return m->data.ptr != NULL;
    case SIO_CLUSTER_BROADCAST:
        return m->has_opts && m->request_id.ptr && m->packet.len > 0;
    case SIO_CLUSTER_CLIENT_COUNT:
    case SIO_CLUSTER_ACK: break;
    }
    return false;
}

int sio_cluster_read_request(struct sio_slice in, struct sio_cluster_msg *out)
{
    int rv = read_either(in, out);

    if (rv < 0)
        return rv;
    return out->has_type && request_is_whole(out) ? SIO_OK : SIO_ERR_PARSE;
}

int sio_cluster_read_response(struct sio_slice in, struct sio_cluster_msg *out)
{
    int rv = read_either(in, out);

    if (rv < 0)
        return rv;
    if (!out->request_id.ptr ||
        (out->has_type && out->type == SIO_CLUSTER_CLIENT_COUNT &&
         !out->has_client_count) ||
        (out->has_type && out->type == SIO_CLUSTER_ACK && out->packet.len == 0))
        return SIO_ERR_PARSE;
    return SIO_OK;
}

/*
 * Events inside.
 */

struct shown {
    bool (*fits)(const struct sio_packet *packet, struct sio_str nsp);
    struct sio_str nsp;
    void (*fn)(struct sio_event *e, void *user);
    void *user;
};

static int show(const struct sio_parser *parser, bool text, struct sio_slice bytes,
                const struct shown *s)
{
    const struct sio_codec codec = {parser, MAX_ATTACHMENTS, UINT32_MAX};
    struct sio_assembly *pending = NULL;
    struct sio_incoming in = {0};
    struct sio_event e;
    int rv = sio_codec_decode(&codec, &pending, text, bytes, &in);

    if (rv == 0 || (rv > 0 && !s->fits(in.packet, s->nsp)))
        rv = SIO_ERR_PROTOCOL;
    if (rv > 0) {
        rv = sio_event_init(&e, in.packet, in.text, in.attachments, NULL);
        if (rv == SIO_OK)
            s->fn(&e, s->user);
        sio_event_fini(&e);
    }
    sio_incoming_fini(&in);
    sio_assembly_free(pending);
    return rv;
}

static bool is_event_here(const struct sio_packet *p, struct sio_str nsp)
{
    return (p->type == SIO_PACKET_EVENT || p->type == SIO_PACKET_BINARY_EVENT) &&
           str_eq(p->nsp, nsp);
}

static bool is_ack(const struct sio_packet *p, struct sio_str nsp)
{
    (void)nsp;
    return p->type == SIO_PACKET_ACK || p->type == SIO_PACKET_BINARY_ACK;
}

int sio_cluster_show_packet(struct sio_slice packet, struct sio_str nsp,
                            void (*fn)(struct sio_event *e, void *user), void *user)
{
    struct shown s = {is_event_here, nsp, fn, user};

    return show(&sio_parser_msgpack, false, packet, &s);
}

int sio_cluster_show_ack(struct sio_slice packet,
                         void (*fn)(struct sio_event *e, void *user), void *user)
{
    struct shown s = {is_ack, {NULL, 0}, fn, user};
    struct wbuf w;
    int rv;

    wbuf_init(&w, UINT32_MAX);
    sio_msgpack_add_map(&w, 4);
    sio_msgpack_add_string(&w, SIO_STR("type"));
    sio_msgpack_add_uint(&w, SIO_PACKET_ACK);
    sio_msgpack_add_string(&w, SIO_STR("nsp"));
    sio_msgpack_add_string(&w, SIO_STR("/"));
    sio_msgpack_add_string(&w, SIO_STR("id"));
    sio_msgpack_add_uint(&w, 0);
    sio_msgpack_add_string(&w, SIO_STR("data"));
    sio_msgpack_add_array(&w, 1);
    wbuf_add(&w, packet.ptr, packet.len);
    rv = w.error;
    if (rv == SIO_OK)
        rv = show(&sio_parser_msgpack, false,
                  (struct sio_slice){w.buf, w.buf->data, w.len}, &s);
    wbuf_fini(&w);
    return rv;
}

int sio_cluster_show_answer(struct sio_str json,
                            void (*fn)(struct sio_event *e, void *user), void *user)
{
    struct shown s = {is_ack, {NULL, 0}, fn, user};
    struct wbuf w;
    int rv;

    wbuf_init(&w, UINT32_MAX);
    wbuf_add_cstr(&w, "30[");
    wbuf_add_str(&w, json);
    wbuf_add_byte(&w, ']');
    rv = w.error;
    if (rv == SIO_OK)
        rv = show(&sio_parser_json, true, (struct sio_slice){w.buf, w.buf->data, w.len},
                  &s);
    wbuf_fini(&w);
    return rv;
}

/*
 * Sockets that were fetched.
 */

static int take_socket(struct sio_cluster_msg *m, struct sio_str value,
                       struct sio_fetched *s)
{
    struct sio_str field;
    int rv;

    if (json_type(value) != JSON_OBJECT || !json_get(value, "id", &field) ||
        json_type(field) != JSON_STRING)
        return SIO_ERR_PARSE;
    rv = take_string(m, field, &s->id);
    if (rv == SIO_OK && json_get(value, "rooms", &field))
        rv = take_names(m, field, &m->names);
    s->rooms = m->names.items;
    s->n_rooms = m->names.n;
    s->handshake = SIO_STR("{}");
    if (json_get(value, "handshake", &field) && json_type(field) == JSON_OBJECT)
        s->handshake = field;
    if (json_get(value, "data", &field))
        s->attributes = field;
    return rv;
}

int sio_cluster_each_socket(struct sio_str sockets, struct sio_str nsp,
                            int (*fn)(const struct sio_fetched *s, void *user),
                            void *user)
{
    struct json_iter it = json_iter(sockets);
    struct sio_str key, value;
    int rv = SIO_OK;

    while (rv == SIO_OK && json_next(&it, &key, &value)) {
        struct sio_fetched s = {.nsp = nsp};
        struct sio_cluster_msg m;

        begin(&m);
        rv = make_text_room(&m, value);
        if (rv == SIO_OK)
            rv = take_socket(&m, value, &s);
        if (rv == SIO_OK)
            rv = fn(&s, user);
        sio_cluster_msg_fini(&m);
    }
    return rv;
}
