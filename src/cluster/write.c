/*
 * write.c - messages between servers, on their way out
 */
#include <config.h>

#include "base/json.h"
#include "base/mem.h"
#include "cluster/fields.h"
#include "engineio/msg.h"
#include "socketio/event.h"
#include "socketio/message.h"
#include "socketio/msgpack.h"

/* For what follows a packet: mostly enough. */
#define ROOM 256

void sio_cluster_refs_fini(struct sio_cluster_refs *refs)
{
    for (size_t i = 0; i < refs->n; i++)
        sio_buf_unref(refs->items[i].slice.buf);
    refs->n = 0;
}

size_t sio_cluster_slices(const struct sio_cluster_refs *refs, struct sio_buf *bytes,
                          struct sio_slice out[SIO_CLUSTER_MAX_SLICES])
{
    struct sio_slice all = sio_slice_of(bytes);
    size_t at = 0, n = 0;

    for (size_t i = 0; refs && i < refs->n; i++) {
        out[n++] = (struct sio_slice){bytes, all.ptr + at, refs->items[i].at - at};
        out[n++] = refs->items[i].slice;
        at = refs->items[i].at;
    }
    out[n++] = (struct sio_slice){bytes, all.ptr + at, all.len - at};
    return n;
}

static void add_slice(struct wbuf *w, struct sio_cluster_refs *refs, struct sio_slice s)
{
    if (!refs || !s.buf || s.len <= EIO_MSG_COPY_MAX ||
        refs->n == SIO_CLUSTER_MAX_REFS) {
        wbuf_add(w, s.ptr, s.len);
        return;
    }
    sio_buf_ref(s.buf);
    refs->items[refs->n].at = w->len;
    refs->items[refs->n].slice = s;
    refs->n++;
}

/* The bytes of a message with one part, without Engine.IO's type. */
static int add_msg(struct wbuf *w, struct sio_cluster_refs *refs,
                   const struct eio_msg *msg)
{
    const struct eio_msg_part *part = &msg->parts[0];
    struct sio_slice *slices = mem_array(part->n_slices, sizeof(*slices));
    size_t skip = part->text;
    size_t total = ROOM;
    size_t n;

    if (!slices)
        return SIO_ERR_NOMEM;
    n = eio_msg_body(msg, 0, slices);
    for (size_t i = 0; i < n && !refs; i++)
        total += slices[i].len;
    wbuf_reserve(w, total);
    for (size_t i = 0; i < n; i++) {
        size_t left_out = skip < slices[i].len ? skip : slices[i].len;

        slices[i].ptr += left_out;
        slices[i].len -= left_out;
        add_slice(w, refs, slices[i]);
        skip -= left_out;
    }
    mem_free(slices);
    return w->error;
}

int sio_cluster_add_encoded(struct wbuf *w, struct sio_cluster_refs *refs,
                            struct sio_str nsp, struct sio_message *m,
                            const struct sio_parser *parser)
{
    struct eio_msg *msg;
    int rv = sio_message_encode_plain(m, parser, nsp, &msg);

    if (rv < 0)
        return rv;
    rv = add_msg(w, refs, msg);
    eio_msg_unref(msg);
    return rv;
}

/*
 * MessagePack.
 */

static size_t n_excepted(const struct sio_target *target)
{
    return target->n_except + (target->except_socket != NULL);
}

void sio_cluster_add_opts(struct wbuf *w, const struct sio_target *target,
                          const struct sio_message *m, uint32_t timeout_ms)
{
    static const struct sio_target everybody;
    const struct sio_target *t = target ? target : &everybody;
    bool is_volatile = sio_message_is_volatile(m);
    bool no_compress = sio_message_no_compress(m);

    sio_msgpack_add_map(w, 3);
    sio_msgpack_add_string(w, SIO_STR("rooms"));
    sio_msgpack_add_array(w, (uint32_t)t->n_rooms);
    for (size_t i = 0; i < t->n_rooms; i++)
        sio_msgpack_add_string(w, t->rooms[i]);
    sio_msgpack_add_string(w, SIO_STR("except"));
    sio_msgpack_add_array(w, (uint32_t)n_excepted(t));
    for (size_t i = 0; i < t->n_except; i++)
        sio_msgpack_add_string(w, t->except[i]);
    if (t->except_socket)
        sio_msgpack_add_string(w, sio_socket_id(t->except_socket));
    sio_msgpack_add_string(w, SIO_STR("flags"));
    sio_msgpack_add_map(w, is_volatile + no_compress + (timeout_ms > 0));
    if (is_volatile) {
        sio_msgpack_add_string(w, SIO_STR("volatile"));
        sio_msgpack_add_bool(w, true);
    }
    if (no_compress) {
        sio_msgpack_add_string(w, SIO_STR("compress"));
        sio_msgpack_add_bool(w, false);
    }
    if (timeout_ms > 0) {
        sio_msgpack_add_string(w, SIO_STR("timeout"));
        sio_msgpack_add_uint(w, timeout_ms);
    }
}

int sio_cluster_write_broadcast(struct wbuf *w, struct sio_cluster_refs *refs,
                                struct sio_str uid, struct sio_str nsp,
                                const struct sio_target *target, struct sio_message *m)
{
    int rv;

    sio_msgpack_add_array(w, 3);
    sio_msgpack_add_string(w, uid);
    rv = sio_cluster_add_encoded(w, refs, nsp, m, &sio_parser_msgpack);
    if (rv < 0)
        return rv;
    sio_cluster_add_opts(w, target, m, 0);
    return w->error;
}

int sio_cluster_write_ask(struct wbuf *w, struct sio_str uid, struct sio_str request_id,
                          struct sio_str nsp, const struct sio_target *target,
                          struct sio_message *m, uint32_t timeout_ms)
{
    int rv;

    sio_msgpack_add_map(w, 5);
    sio_msgpack_add_string(w, SIO_STR("uid"));
    sio_msgpack_add_string(w, uid);
    sio_msgpack_add_string(w, SIO_STR("requestId"));
    sio_msgpack_add_string(w, request_id);
    sio_msgpack_add_string(w, SIO_STR("type"));
    sio_msgpack_add_uint(w, SIO_CLUSTER_BROADCAST);
    sio_msgpack_add_string(w, SIO_STR("packet"));
    rv = sio_cluster_add_encoded(w, NULL, nsp, m, &sio_parser_msgpack);
    if (rv < 0)
        return rv;
    sio_msgpack_add_string(w, SIO_STR("opts"));
    sio_cluster_add_opts(w, target, m, timeout_ms);
    return w->error;
}

int sio_cluster_add_argument(struct wbuf *w, struct sio_event *e)
{
    struct sio_msgpack_writer mw;
    struct sio_slice *attachments = NULL;
    size_t n = sio_event_n_attachments(e);
    int rv = SIO_ERR_NOMEM;

    sio_msgpack_writer_init(&mw, SIZE_MAX); /* copies all */
    attachments = mem_array(n + 1, sizeof(*attachments));
    if (attachments) {
        for (size_t i = 0; i < n; i++)
            attachments[i] = sio_event_attachment(e, i);
        rv = sio_msgpack_add_json(&mw, sio_event_arg(e, 0), attachments, (uint32_t)n);
    }
    if (rv == SIO_OK)
        wbuf_add_str(w, wbuf_str(&mw.bytes));
    mem_free(attachments);
    sio_msgpack_writer_fini(&mw);
    return rv < 0 ? rv : w->error;
}

int sio_cluster_write_ack(struct wbuf *w, struct sio_str request_id,
                          struct sio_event *e)
{
    sio_msgpack_add_map(w, 3);
    sio_msgpack_add_string(w, SIO_STR("type"));
    sio_msgpack_add_uint(w, SIO_CLUSTER_ACK);
    sio_msgpack_add_string(w, SIO_STR("requestId"));
    sio_msgpack_add_string(w, request_id);
    sio_msgpack_add_string(w, SIO_STR("packet"));
    if (sio_event_n_args(e) > 0)
        return sio_cluster_add_argument(w, e);
    sio_msgpack_add_nil(w);
    return w->error;
}

/*
 * JSON.
 */

void sio_cluster_add_names(struct wbuf *w, const struct sio_str *names, size_t n)
{
    wbuf_add_byte(w, '[');
    for (size_t i = 0; i < n; i++) {
        if (i > 0)
            wbuf_add_byte(w, ',');
        json_write_string(w, names[i]);
    }
}

void sio_cluster_add_target(struct wbuf *w, const struct sio_target *target)
{
    static const struct sio_target everybody;
    const struct sio_target *t = target ? target : &everybody;

    wbuf_add_cstr(w, "\"rooms\":");
    sio_cluster_add_names(w, t->rooms, t->n_rooms);
    wbuf_add_cstr(w, "],\"except\":");
    sio_cluster_add_names(w, t->except, t->n_except);
    if (t->except_socket) {
        if (t->n_except > 0)
            wbuf_add_byte(w, ',');
        json_write_string(w, sio_socket_id(t->except_socket));
    }
    wbuf_add_byte(w, ']');
}

static void begin_request(struct wbuf *w, enum sio_cluster_type type,
                          struct sio_str uid, struct sio_str request_id)
{
    wbuf_addf(w, "{\"type\":%d,\"uid\":", (int)type);
    json_write_string(w, uid);
    if (!request_id.ptr)
        return;
    wbuf_add_cstr(w, ",\"requestId\":");
    json_write_string(w, request_id);
}

int sio_cluster_write_request(struct wbuf *w, enum sio_cluster_type type,
                              struct sio_str uid, struct sio_str request_id,
                              const struct sio_target *target,
                              const struct sio_str *names, size_t n, bool close)
{
    begin_request(w, type, uid, request_id);
    wbuf_add_cstr(w, ",\"opts\":{");
    sio_cluster_add_target(w, target);
    wbuf_add_byte(w, '}');
    if (type == SIO_CLUSTER_JOIN || type == SIO_CLUSTER_LEAVE) {
        wbuf_add_cstr(w, ",\"rooms\":");
        sio_cluster_add_names(w, names, n);
        wbuf_add_byte(w, ']');
    }
    if (type == SIO_CLUSTER_DISCONNECT)
        wbuf_addf(w, ",\"close\":%s", close ? "true" : "false");
    wbuf_add_byte(w, '}');
    return w->error;
}

/* A parser that writes the payload of an event and nothing else. */
static int payload_encode(const struct sio_outgoing *o, struct eio_msg **msg)
{
    struct eio_part part = {true, o->json, o->n_json};

    if (o->n_attachments > 0)
        return SIO_ERR_UNSUPPORTED;
    *msg = eio_msg_new(&part, 1, NULL);
    return *msg ? SIO_OK : SIO_ERR_NOMEM;
}

const struct sio_parser sio_cluster_payload_parser = {.name = "payload",
                                                      .encode = payload_encode};

int sio_cluster_write_side_emit(struct wbuf *w, struct sio_str uid,
                                struct sio_str request_id, struct sio_message *m)
{
    int rv;

    begin_request(w, SIO_CLUSTER_SIDE_EMIT, uid, request_id);
    wbuf_add_cstr(w, ",\"data\":");
    rv = sio_cluster_add_encoded(w, NULL, SIO_STR("/"), m, &sio_cluster_payload_parser);
    wbuf_add_byte(w, '}');
    return rv < 0 ? rv : w->error;
}

int sio_cluster_write_list(struct wbuf *w, struct sio_str request_id, const char *key)
{
    wbuf_add_cstr(w, "{\"requestId\":");
    json_write_string(w, request_id);
    wbuf_addf(w, ",\"%s\":[", key);
    return w->error;
}

void sio_cluster_write_socket(struct wbuf *w, const struct sio_fetched *s)
{
    wbuf_add_cstr(w, "{\"id\":");
    json_write_string(w, s->id);
    wbuf_add_cstr(w, ",\"handshake\":");
    wbuf_add_str(w, s->handshake);
    wbuf_add_cstr(w, ",\"rooms\":");
    sio_cluster_add_names(w, s->rooms, s->n_rooms);
    wbuf_add_cstr(w, "],\"data\":");
    if (s->attributes.ptr)
        wbuf_add_str(w, s->attributes);
    else
        wbuf_add_cstr(w, "{}");
    wbuf_add_byte(w, '}');
}

int sio_cluster_write_count(struct wbuf *w, struct sio_str request_id, uint32_t n)
{
    wbuf_addf(w, "{\"type\":%d,\"requestId\":", SIO_CLUSTER_CLIENT_COUNT);
    json_write_string(w, request_id);
    wbuf_addf(w, ",\"clientCount\":%u}", (unsigned)n);
    return w->error;
}

int sio_cluster_write_answer(struct wbuf *w, struct sio_str request_id,
                             struct sio_str json)
{
    wbuf_addf(w, "{\"type\":%d,\"requestId\":", SIO_CLUSTER_SIDE_EMIT);
    json_write_string(w, request_id);
    if (json.ptr) {
        wbuf_add_cstr(w, ",\"data\":");
        wbuf_add_str(w, json);
    }
    wbuf_add_byte(w, '}');
    return w->error;
}
