/*
 * show.c - events and sockets inside messages between servers
 */
#include <config.h>

#include "base/json.h"
#include "base/list.h"
#include "base/str.h"
#include "cluster/fields.h"
#include "socketio/event.h"
#include "socketio/msgpack.h"
#include "socketio/parser.h"

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
    const struct sio_codec codec = {.parser = parser,
                                    .max_attachments = SIO_CLUSTER_MAX_ATTACHMENTS,
                                    .max_bytes = UINT32_MAX,
                                    .nsp_optional = true};
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

/* An event or an answer as MessagePack, up to its data. */
static void begin_map(struct wbuf *w, enum sio_packet_type type)
{
    wbuf_init(w, UINT32_MAX);
    sio_msgpack_add_map(w, 4);
    sio_msgpack_add_string(w, SIO_STR("type"));
    sio_msgpack_add_uint(w, type);
    sio_msgpack_add_string(w, SIO_STR("nsp"));
    sio_msgpack_add_string(w, SIO_STR("/"));
    sio_msgpack_add_string(w, SIO_STR("id"));
    if (type == SIO_PACKET_ACK)
        sio_msgpack_add_uint(w, 0);
    else
        sio_msgpack_add_nil(w);
    sio_msgpack_add_string(w, SIO_STR("data"));
}

static int show_written(struct wbuf *w, bool json, const struct shown *s)
{
    int rv = w->error;

    if (rv == SIO_OK)
        rv = show(json ? &sio_parser_json : &sio_parser_msgpack, json,
                  (struct sio_slice){w->buf, w->buf->data, w->len}, s);
    wbuf_fini(w);
    return rv;
}

int sio_cluster_show_ack(struct sio_slice packet,
                         void (*fn)(struct sio_event *e, void *user), void *user)
{
    struct shown s = {is_ack, {NULL, 0}, fn, user};
    struct wbuf w;

    begin_map(&w, SIO_PACKET_ACK);
    sio_msgpack_add_array(&w, 1);
    wbuf_add(&w, packet.ptr, packet.len);
    return show_written(&w, false, &s);
}

/* A packet of the default encoding: what is in front of json, json, what is behind it. */
static int show_json(const char *head, struct sio_str json, const char *tail,
                     const struct shown *s)
{
    struct wbuf w;

    wbuf_init(&w, UINT32_MAX);
    wbuf_reserve(&w, json.len + 8);
    wbuf_add_cstr(&w, head);
    wbuf_add_str(&w, json);
    wbuf_add_cstr(&w, tail);
    return show_written(&w, true, s);
}

int sio_cluster_show_answer(struct sio_str json,
                            void (*fn)(struct sio_event *e, void *user), void *user)
{
    struct shown s = {is_ack, {NULL, 0}, fn, user};

    return show_json("30[", json, "]", &s);
}

int sio_cluster_show_event(struct sio_str json,
                           void (*fn)(struct sio_event *e, void *user), void *user)
{
    struct shown s = {is_event_here, SIO_STR_INIT("/"), fn, user};

    return json_type(json) == JSON_ARRAY ? show_json("2", json, "", &s)
                                         : SIO_ERR_PROTOCOL;
}

int sio_cluster_show_array(struct sio_slice array,
                           void (*fn)(struct sio_event *e, void *user), void *user)
{
    struct shown s = {is_event_here, SIO_STR_INIT("/"), fn, user};
    struct wbuf w;

    begin_map(&w, SIO_PACKET_EVENT);
    wbuf_reserve(&w, array.len);
    wbuf_add(&w, array.ptr, array.len);
    return show_written(&w, false, &s);
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
    rv = sio_cluster_take_string(m, field, &s->id);
    if (rv == SIO_OK && json_get(value, "rooms", &field))
        rv = sio_cluster_take_names(m, field, &m->names);
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

        sio_cluster_msg_init(&m);
        rv = sio_cluster_text_room(&m, value);
        if (rv == SIO_OK)
            rv = take_socket(&m, value, &s);
        if (rv == SIO_OK)
            rv = fn(&s, user);
        sio_cluster_msg_fini(&m);
    }
    return rv;
}
