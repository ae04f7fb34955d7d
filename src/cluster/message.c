#include <config.h>

#include "cluster/message.h"

#include "base/json.h"
#include "base/mem.h"
#include "base/random.h"
#include "cluster/fields.h"
#include "engineio/msg.h"
#include "socketio/event.h"
#include "socketio/message.h"
#include "socketio/msgpack.h"

/*
 * Reading.
 */

static int take_type(struct sio_cluster_msg *m, struct sio_str value)
{
    m->has_type = true;
    return sio_cluster_take_number(value, SIO_SHARDED_CLOSE, &m->type);
}

static int take_nsp(struct sio_cluster_msg *m, struct sio_str value)
{
    return sio_cluster_take_text(m, value, &m->nsp);
}

static int take_packet(struct sio_cluster_msg *m, struct sio_str value)
{
    m->packet = (struct sio_slice){NULL, (const uint8_t *)value.ptr, value.len};
    m->packet_is_json = true;
    return SIO_OK;
}

static const struct sio_cluster_field data_fields[] = {
    {SIO_STR_INIT("requestId"), sio_cluster_take_request_id},
    {SIO_STR_INIT("opts"), sio_cluster_take_opts},
    {SIO_STR_INIT("rooms"), sio_cluster_take_rooms},
    {SIO_STR_INIT("close"), sio_cluster_take_close},
    {SIO_STR_INIT("clientCount"), sio_cluster_take_count},
    {SIO_STR_INIT("sockets"), sio_cluster_take_sockets},
    {SIO_STR_INIT("packet"), take_packet},
    {{NULL, 0}, NULL},
};

static int take_data(struct sio_cluster_msg *m, struct sio_str value)
{
    if (json_type(value) != JSON_OBJECT)
        return SIO_ERR_PARSE;
    return sio_cluster_take_object(m, value, data_fields);
}

static const struct sio_cluster_field fields[] = {
    {SIO_STR_INIT("type"), take_type},
    {SIO_STR_INIT("data"), take_data},
    {SIO_STR_INIT("uid"), sio_cluster_take_uid},
    {SIO_STR_INIT("nsp"), take_nsp},
    {{NULL, 0}, NULL},
};

static int take_all(struct sio_cluster_msg *m, struct sio_str object)
{
    int rv = sio_cluster_text_room(m, object);

    return rv < 0 ? rv : sio_cluster_take_object(m, object, fields);
}

/* `data` is a map of which the packet stays as it is; the others are small. */
static int add_member(struct sio_msgpack_reader *r, const struct sio_msgpack_token *key,
                      struct sio_cluster_msg *out)
{
    struct sio_msgpack_token t;

    json_write_string(&out->json,
                      (struct sio_str){(const char *)key->bytes.ptr, key->bytes.len});
    wbuf_add_byte(&out->json, ':');
    if (!sio_msgpack_string_eq(key, "data"))
        return sio_cluster_add_value(r, &out->json);
    if (sio_msgpack_next(r, &t) < 0 || t.kind != SIO_MSGPACK_MAP)
        return SIO_ERR_PARSE;
    return sio_cluster_map_to_json(r, t.n, out);
}

static int map_to_json(struct sio_msgpack_reader *r, struct sio_cluster_msg *out)
{
    struct sio_msgpack_token map, key;
    int rv = SIO_OK;

    if (sio_msgpack_next(r, &map) < 0 || map.kind != SIO_MSGPACK_MAP)
        return SIO_ERR_PARSE;
    wbuf_add_byte(&out->json, '{');
    for (uint32_t i = 0; i < map.n && rv == SIO_OK; i++) {
        if (sio_msgpack_next(r, &key) < 0 || key.kind != SIO_MSGPACK_STRING)
            return SIO_ERR_PARSE;
        if (i > 0)
            wbuf_add_byte(&out->json, ',');
        rv = add_member(r, &key, out);
    }
    wbuf_add_byte(&out->json, '}');
    if (rv < 0)
        return rv;
    return sio_msgpack_at_end(r) ? out->json.error : SIO_ERR_PARSE;
}

static int read_fields(struct sio_slice in, struct sio_cluster_msg *out)
{
    struct sio_str json = {(const char *)in.ptr, in.len};
    struct sio_msgpack_reader r = sio_msgpack_reader(in);
    int rv;

    if (in.len > 0 && in.ptr[0] == '{') {
        rv = sio_cluster_check_object(json);
    } else {
        rv = map_to_json(&r, out);
        json = wbuf_str(&out->json);
    }
    return rv < 0 ? rv : take_all(out, json);
}

/* What a message of a type cannot do without. */
static bool is_whole(const struct sio_cluster_msg *m)
{
    switch ((enum sio_sharded_type)m->type) {
    case SIO_SHARDED_FIRST_HEARTBEAT:
    case SIO_SHARDED_HEARTBEAT:
    case SIO_SHARDED_CLOSE: return true;
    case SIO_SHARDED_BROADCAST: return m->has_opts && m->packet.len > 0;
    case SIO_SHARDED_JOIN:
    case SIO_SHARDED_LEAVE:
    case SIO_SHARDED_DISCONNECT: return m->has_opts;
    case SIO_SHARDED_FETCH: return m->has_opts && m->request_id.ptr;
    case SIO_SHARDED_SOCKETS: return m->request_id.ptr && m->sockets.ptr;
    case SIO_SHARDED_SIDE_EMIT: return m->packet.len > 0;
    case SIO_SHARDED_CLIENT_COUNT: return m->request_id.ptr && m->has_client_count;
    case SIO_SHARDED_SIDE_ANSWER:
    case SIO_SHARDED_ACK: return m->request_id.ptr != NULL;
    }
    return false;
}

int sio_sharded_read(struct sio_slice in, struct sio_cluster_msg *out)
{
    int rv;

    sio_cluster_msg_init(out);
    rv = read_fields(in, out);
    if (rv < 0)
        return rv;
    return out->has_type && out->uid.ptr && out->nsp.ptr && is_whole(out)
               ? SIO_OK
               : SIO_ERR_PARSE;
}

/*
 * Showing.
 */

/* The data of a packet that is an event. */
static int json_data(struct sio_slice packet, struct sio_slice *data)
{
    struct sio_str object = {(const char *)packet.ptr, packet.len};
    struct sio_str type, value;
    uint32_t n;

    if (json_type(object) != JSON_OBJECT || !json_get(object, "type", &type) ||
        !json_get(object, "data", &value))
        return SIO_ERR_PARSE;
    if (sio_cluster_take_number(type, UINT8_MAX, &n) < 0 || n != SIO_PACKET_EVENT)
        return SIO_ERR_PROTOCOL;
    *data = (struct sio_slice){packet.buf, (const uint8_t *)value.ptr, value.len};
    return SIO_OK;
}

static int msgpack_data(struct sio_slice packet, struct sio_slice *data)
{
    struct sio_msgpack_reader r = sio_msgpack_reader(packet);
    struct sio_msgpack_token map, key, value;
    uint64_t type = UINT64_MAX;
    int rv = sio_msgpack_next(&r, &map);

    if (rv < 0 || map.kind != SIO_MSGPACK_MAP)
        return SIO_ERR_PARSE;
    *data = (struct sio_slice){NULL, NULL, 0};
    for (uint32_t i = 0; i < map.n && rv == SIO_OK; i++) {
        struct sio_slice kept;
        struct sio_msgpack_reader at;

        /* The whole packet has been passed once: it is whole. */
        at = r;
        rv = sio_msgpack_skip(&r);
        sio_msgpack_next(&at, &key);
        if (rv == SIO_OK)
            rv = sio_cluster_keep(&r, &kept);
        if (rv < 0)
            return rv;
        at = sio_msgpack_reader(kept);
        if (sio_msgpack_string_eq(&key, "data"))
            *data = kept;
        else if (sio_msgpack_string_eq(&key, "type") &&
                 (sio_msgpack_next(&at, &value) < 0 ||
                  !sio_msgpack_uint(&value, &type)))
            return SIO_ERR_PARSE;
    }
    if (!data->ptr)
        return SIO_ERR_PARSE;
    return type == SIO_PACKET_EVENT ? SIO_OK : SIO_ERR_PROTOCOL;
}

static int show_event(struct sio_slice array, bool json,
                      void (*fn)(struct sio_event *e, void *user), void *user)
{
    struct sio_str text = {(const char *)array.ptr, array.len};

    return json ? sio_cluster_show_event(text, fn, user)
                : sio_cluster_show_array(array, fn, user);
}

static int show_broadcast(const struct sio_cluster_msg *m,
                          void (*fn)(struct sio_event *e, void *user), void *user)
{
    struct sio_slice data;
    int rv = m->packet_is_json ? json_data(m->packet, &data)
                               : msgpack_data(m->packet, &data);

    return rv < 0 ? rv : show_event(data, m->packet_is_json, fn, user);
}

int sio_sharded_show(const struct sio_cluster_msg *m,
                     void (*fn)(struct sio_event *e, void *user), void *user)
{
    if (m->type == SIO_SHARDED_BROADCAST)
        return show_broadcast(m, fn, user);
    if (m->type == SIO_SHARDED_SIDE_EMIT)
        return show_event(m->packet, m->packet_is_json, fn, user);
    if (m->packet_is_json || !m->packet.ptr)
        return sio_cluster_show_answer(
            (struct sio_str){(const char *)m->packet.ptr, m->packet.len}, fn, user);
    return sio_cluster_show_ack(m->packet, fn, user);
}

/*
 * Writing.  What has bytes is tried as JSON first: few have.
 */

static void begin_json(struct wbuf *w, enum sio_sharded_type type)
{
    wbuf_addf(w, "{\"type\":%d,\"data\":{", (int)type);
}

static void add_json_id(struct wbuf *w, struct sio_str request_id)
{
    wbuf_add_cstr(w, "\"requestId\":");
    json_write_string(w, request_id);
}

static int end_json(struct wbuf *w, const struct sio_sharded_sender *from)
{
    wbuf_add_cstr(w, "},\"uid\":");
    json_write_string(w, from->uid);
    wbuf_add_cstr(w, ",\"nsp\":");
    json_write_string(w, from->nsp);
    wbuf_add_byte(w, '}');
    return w->error;
}

static void add_key(struct wbuf *w, const char *key)
{
    sio_msgpack_add_string(w, (struct sio_str){key, strlen(key)});
}

/* n: members of data. */
static void begin_msgpack(struct wbuf *w, enum sio_sharded_type type, uint32_t n)
{
    sio_msgpack_add_map(w, 4);
    add_key(w, "type");
    sio_msgpack_add_uint(w, type);
    add_key(w, "data");
    sio_msgpack_add_map(w, n);
}

static void add_msgpack_id(struct wbuf *w, struct sio_str request_id)
{
    add_key(w, "requestId");
    sio_msgpack_add_string(w, request_id);
}

static int end_msgpack(struct wbuf *w, const struct sio_sharded_sender *from)
{
    add_key(w, "uid");
    sio_msgpack_add_string(w, from->uid);
    add_key(w, "nsp");
    sio_msgpack_add_string(w, from->nsp);
    return w->error;
}

static int write_array(struct sio_msgpack_writer *mw, const struct sio_outgoing *o)
{
    struct wbuf json;
    int rv;

    wbuf_init(&json, UINT32_MAX);
    for (size_t i = 0; i < o->n_json; i++)
        wbuf_add(&json, o->json[i].ptr, o->json[i].len);
    rv = json.error;
    if (rv == SIO_OK)
        rv =
            sio_msgpack_add_json(mw, wbuf_str(&json), o->attachments, o->n_attachments);
    wbuf_fini(&json);
    return rv;
}

/* A parser that writes an event's array as MessagePack and nothing else. */
static int array_encode(const struct sio_outgoing *o, struct eio_msg **msg)
{
    struct sio_msgpack_writer mw;
    struct eio_part part = {.text = false};
    struct sio_slice *slices = NULL;
    struct sio_buf *bytes = NULL;
    int rv;

    *msg = NULL;
    sio_msgpack_writer_init(&mw, EIO_MSG_COPY_MAX);
    rv = write_array(&mw, o);
    if (rv == SIO_OK) {
        bytes = wbuf_take(&mw.bytes);
        slices = mem_array(2 * (size_t)mw.n_refs + 1, sizeof(*slices));
    }
    if (bytes && slices) {
        part.n_slices = sio_msgpack_slices(&mw, bytes, slices);
        part.slices = slices;
        *msg = eio_msg_new(&part, 1, NULL);
    }
    mem_free(slices);
    sio_buf_unref(bytes);
    sio_msgpack_writer_fini(&mw);
    if (rv < 0)
        return rv;
    return *msg ? SIO_OK : SIO_ERR_NOMEM;
}

static const struct sio_parser array_parser = {.name = "array", .encode = array_encode};

static int add_json_event(struct wbuf *w, struct sio_cluster_refs *refs,
                          struct sio_message *m)
{
    return sio_cluster_add_encoded(w, refs, SIO_STR("/"), m,
                                   &sio_cluster_payload_parser);
}

static int add_msgpack_event(struct wbuf *w, struct sio_cluster_refs *refs,
                             struct sio_message *m)
{
    return sio_cluster_add_encoded(w, refs, SIO_STR("/"), m, &array_parser);
}

static void add_json_flags(struct wbuf *w, const struct sio_message *m,
                           uint32_t timeout_ms)
{
    const char *comma = "";

    wbuf_add_cstr(w, ",\"flags\":{");
    if (m && sio_message_is_volatile(m)) {
        wbuf_add_cstr(w, "\"volatile\":true");
        comma = ",";
    }
    if (m && sio_message_no_compress(m)) {
        wbuf_addf(w, "%s\"compress\":false", comma);
        comma = ",";
    }
    if (timeout_ms > 0)
        wbuf_addf(w, "%s\"timeout\":%u", comma, (unsigned)timeout_ms);
    wbuf_add_byte(w, '}');
}

static int json_broadcast(struct wbuf *w, struct sio_cluster_refs *refs,
                          const struct sio_sharded_sender *from,
                          struct sio_str request_id, const struct sio_target *target,
                          struct sio_message *m, uint32_t timeout_ms)
{
    int rv;

    begin_json(w, SIO_SHARDED_BROADCAST);
    wbuf_addf(w, "\"packet\":{\"type\":%d,\"data\":", SIO_PACKET_EVENT);
    rv = add_json_event(w, refs, m);
    if (rv < 0)
        return rv;
    wbuf_add_cstr(w, "},");
    if (request_id.ptr) {
        add_json_id(w, request_id);
        wbuf_add_byte(w, ',');
    }
    wbuf_add_cstr(w, "\"opts\":{");
    sio_cluster_add_target(w, target);
    add_json_flags(w, m, timeout_ms);
    wbuf_add_byte(w, '}');
    return end_json(w, from);
}

static int msgpack_broadcast(struct wbuf *w, struct sio_cluster_refs *refs,
                             const struct sio_sharded_sender *from,
                             struct sio_str request_id, const struct sio_target *target,
                             struct sio_message *m, uint32_t timeout_ms)
{
    int rv;

    begin_msgpack(w, SIO_SHARDED_BROADCAST, request_id.ptr ? 3 : 2);
    add_key(w, "packet");
    sio_msgpack_add_map(w, 2);
    add_key(w, "type");
    sio_msgpack_add_uint(w, SIO_PACKET_EVENT);
    add_key(w, "data");
    rv = add_msgpack_event(w, refs, m);
    if (rv < 0)
        return rv;
    if (request_id.ptr)
        add_msgpack_id(w, request_id);
    add_key(w, "opts");
    sio_cluster_add_opts(w, target, m, timeout_ms);
    return end_msgpack(w, from);
}

int sio_sharded_write_broadcast(struct wbuf *w, struct sio_cluster_refs *refs,
                                const struct sio_sharded_sender *from,
                                struct sio_str request_id,
                                const struct sio_target *target, struct sio_message *m,
                                uint32_t timeout_ms)
{
    size_t before = w->len;
    int rv = json_broadcast(w, refs, from, request_id, target, m, timeout_ms);

    if (rv != SIO_ERR_UNSUPPORTED)
        return rv;
    w->len = before;
    return msgpack_broadcast(w, refs, from, request_id, target, m, timeout_ms);
}

int sio_sharded_write_request(struct wbuf *w, const struct sio_sharded_sender *from,
                              enum sio_sharded_type type, struct sio_str request_id,
                              const struct sio_target *target,
                              const struct sio_str *names, size_t n, bool close)
{
    begin_json(w, type);
    wbuf_add_cstr(w, "\"opts\":{");
    sio_cluster_add_target(w, target);
    add_json_flags(w, NULL, 0);
    wbuf_add_byte(w, '}');
    if (type == SIO_SHARDED_JOIN || type == SIO_SHARDED_LEAVE) {
        wbuf_add_cstr(w, ",\"rooms\":");
        sio_cluster_add_names(w, names, n);
        wbuf_add_byte(w, ']');
    }
    if (type == SIO_SHARDED_DISCONNECT)
        wbuf_addf(w, ",\"close\":%s", close ? "true" : "false");
    if (request_id.ptr) {
        wbuf_add_byte(w, ',');
        add_json_id(w, request_id);
    }
    return end_json(w, from);
}

static int json_side_emit(struct wbuf *w, const struct sio_sharded_sender *from,
                          struct sio_str request_id, struct sio_message *m)
{
    int rv;

    begin_json(w, SIO_SHARDED_SIDE_EMIT);
    if (request_id.ptr) {
        add_json_id(w, request_id);
        wbuf_add_byte(w, ',');
    }
    wbuf_add_cstr(w, "\"packet\":");
    rv = add_json_event(w, NULL, m);
    return rv < 0 ? rv : end_json(w, from);
}

int sio_sharded_write_side_emit(struct wbuf *w, const struct sio_sharded_sender *from,
                                struct sio_str request_id, struct sio_message *m)
{
    size_t before = w->len;
    int rv = json_side_emit(w, from, request_id, m);

    if (rv != SIO_ERR_UNSUPPORTED)
        return rv;
    w->len = before;
    begin_msgpack(w, SIO_SHARDED_SIDE_EMIT, request_id.ptr ? 2 : 1);
    if (request_id.ptr)
        add_msgpack_id(w, request_id);
    add_key(w, "packet");
    rv = add_msgpack_event(w, NULL, m);
    return rv < 0 ? rv : end_msgpack(w, from);
}

int sio_sharded_write_answer(struct wbuf *w, const struct sio_sharded_sender *from,
                             enum sio_sharded_type type, struct sio_str request_id,
                             struct sio_event *e)
{
    int rv;

    if (sio_event_n_attachments(e) > 0) {
        begin_msgpack(w, type, 2);
        add_msgpack_id(w, request_id);
        add_key(w, "packet");
        rv = sio_cluster_add_argument(w, e);
        return rv < 0 ? rv : end_msgpack(w, from);
    }
    begin_json(w, type);
    add_json_id(w, request_id);
    if (sio_event_n_args(e) > 0) {
        wbuf_add_cstr(w, ",\"packet\":");
        wbuf_add_str(w, sio_event_arg(e, 0));
    }
    return end_json(w, from);
}

int sio_sharded_write_count(struct wbuf *w, const struct sio_sharded_sender *from,
                            struct sio_str request_id, uint32_t n)
{
    begin_json(w, SIO_SHARDED_CLIENT_COUNT);
    add_json_id(w, request_id);
    wbuf_addf(w, ",\"clientCount\":%u", (unsigned)n);
    return end_json(w, from);
}

void sio_sharded_begin_sockets(struct wbuf *w, struct sio_str request_id)
{
    begin_json(w, SIO_SHARDED_SOCKETS);
    add_json_id(w, request_id);
    wbuf_add_cstr(w, ",\"sockets\":[");
}

int sio_sharded_end_sockets(struct wbuf *w, const struct sio_sharded_sender *from)
{
    wbuf_add_byte(w, ']');
    return end_json(w, from);
}

int sio_sharded_write_tail(struct wbuf *w, const struct sio_sharded_sender *from,
                           bool msgpack)
{
    return msgpack ? end_msgpack(w, from) : end_json(w, from);
}

/* Of UTF-16, in which JavaScript counts. */
#define ID_UNITS 20

static bool has_length_of_id(struct sio_str room)
{
    size_t units = 0;

    for (size_t i = 0; i < room.len && units <= ID_UNITS; i++) {
        uint8_t c = (uint8_t)room.ptr[i];

        units += (c & 0xc0) != 0x80; /* begins a character */
        units += c >= 0xf0;          /* of two units */
    }
    return units == ID_UNITS;
}

static bool ends_in_id(struct sio_str room)
{
    char before;

    if (room.len <= RANDOM_ID_LEN)
        return false;
    before = room.ptr[room.len - RANDOM_ID_LEN - 1];
    return before == '#' || before == '.';
}

bool sio_sharded_is_heard(enum sio_cluster_subscriptions subscriptions,
                          struct sio_str room)
{
    switch (subscriptions) {
    case SIO_CLUSTER_DYNAMIC: return !has_length_of_id(room);
    case SIO_CLUSTER_STATIC: return false;
    case SIO_CLUSTER_DYNAMIC_PRIVATE: return true;
    }
    return false;
}

bool sio_sharded_has_channel(enum sio_cluster_subscriptions subscriptions,
                             struct sio_str room)
{
    return sio_sharded_is_heard(subscriptions, room) &&
           (subscriptions != SIO_CLUSTER_DYNAMIC || !ends_in_id(room));
}
