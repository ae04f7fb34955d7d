#include <config.h>

#include "cluster/codec.h"

#include "base/json.h"
#include "base/str.h"
#include "cluster/fields.h"

/*
 * Fields.
 */

static int take_type(struct sio_cluster_msg *m, struct sio_str value)
{
    m->has_type = true;
    return sio_cluster_take_number(value, SIO_CLUSTER_ACK, &m->type);
}

static int take_sid(struct sio_cluster_msg *m, struct sio_str value)
{
    return sio_cluster_take_text(m, value, &m->sid);
}

static int take_room(struct sio_cluster_msg *m, struct sio_str value)
{
    return sio_cluster_take_text(m, value, &m->room);
}

static int take_data(struct sio_cluster_msg *m, struct sio_str value)
{
    m->data = value;
    return SIO_OK;
}

static const struct sio_cluster_field fields[] = {
    {SIO_STR_INIT("type"), take_type},
    {SIO_STR_INIT("uid"), sio_cluster_take_uid},
    {SIO_STR_INIT("requestId"), sio_cluster_take_request_id},
    {SIO_STR_INIT("opts"), sio_cluster_take_opts_or_null},
    {SIO_STR_INIT("rooms"), sio_cluster_take_rooms},
    {SIO_STR_INIT("sid"), take_sid},
    {SIO_STR_INIT("room"), take_room},
    {SIO_STR_INIT("close"), sio_cluster_take_close},
    {SIO_STR_INIT("clientCount"), sio_cluster_take_count},
    {SIO_STR_INIT("data"), take_data},
    {SIO_STR_INIT("sockets"), sio_cluster_take_sockets},
    {{NULL, 0}, NULL},
};

static int take_all(struct sio_cluster_msg *m, struct sio_str object)
{
    int rv = sio_cluster_text_room(m, object);

    return rv < 0 ? rv : sio_cluster_take_object(m, object, fields);
}

/*
 * Reading.
 */

int sio_cluster_read_broadcast(struct sio_slice in, struct sio_cluster_msg *out)
{
    struct sio_msgpack_reader r = sio_msgpack_reader(in);
    struct sio_msgpack_token t;
    int rv;

    sio_cluster_msg_init(out);
    if (sio_msgpack_next(&r, &t) < 0 || t.kind != SIO_MSGPACK_ARRAY || t.n != 3)
        return SIO_ERR_PARSE;
    if (sio_msgpack_next(&r, &t) < 0 || t.kind != SIO_MSGPACK_STRING ||
        t.bytes.len > SIO_CLUSTER_MAX_ID)
        return SIO_ERR_PARSE;
    out->uid = (struct sio_str){(const char *)t.bytes.ptr, t.bytes.len};
    rv = sio_cluster_keep(&r, &out->packet);
    if (rv == SIO_OK)
        rv = sio_cluster_add_value(&r, &out->json);
    if (rv < 0)
        return rv;
    if (!sio_msgpack_at_end(&r))
        return SIO_ERR_PARSE;
    rv = sio_cluster_text_room(out, wbuf_str(&out->json));
    return rv < 0 ? rv : sio_cluster_take_opts(out, wbuf_str(&out->json));
}

bool sio_cluster_is_from(struct sio_slice broadcast, struct sio_str uid)
{
    struct sio_msgpack_reader r = sio_msgpack_reader(broadcast);
    struct sio_msgpack_token t;

    return sio_msgpack_next(&r, &t) == SIO_OK && t.kind == SIO_MSGPACK_ARRAY &&
           sio_msgpack_next(&r, &t) == SIO_OK && t.kind == SIO_MSGPACK_STRING &&
           str_eq((struct sio_str){(const char *)t.bytes.ptr, t.bytes.len}, uid);
}

static int read_json(struct sio_str json, struct sio_cluster_msg *out)
{
    int rv = sio_cluster_check_object(json);

    return rv < 0 ? rv : take_all(out, json);
}

static int read_map(struct sio_slice in, struct sio_cluster_msg *out)
{
    struct sio_msgpack_reader r = sio_msgpack_reader(in);
    struct sio_msgpack_token t;
    int rv;

    if (sio_msgpack_next(&r, &t) < 0 || t.kind != SIO_MSGPACK_MAP)
        return SIO_ERR_PARSE;
    rv = sio_cluster_map_to_json(&r, t.n, out);
    if (rv < 0)
        return rv;
    return sio_msgpack_at_end(&r) ? take_all(out, wbuf_str(&out->json)) : SIO_ERR_PARSE;
}

static int read_either(struct sio_slice in, struct sio_cluster_msg *out)
{
    sio_cluster_msg_init(out);
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
