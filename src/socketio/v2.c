#include <config.h>

#include "socketio/v2.h"

#include <string.h>

#include "base/json.h"
#include "base/str.h"
#include "engineio/server.h"
#include "socketio/client_conn.h"
#include "socketio/namespace.h"
#include "socketio/query.h"

struct sio_str sio_v2_name(struct sio_str nsp)
{
    return str_cut(&nsp, '?');
}

int sio_v2_auth(struct sio_str nsp, struct wbuf *w)
{
    str_cut(&nsp, '?');
    return nsp.ptr ? sio_query_write(nsp, w) : SIO_OK;
}

void sio_v2_refusal(struct wbuf *w, const char *message, struct sio_str data)
{
    if (data.ptr)
        wbuf_add_str(w, data);
    else
        json_write_string(w, sio_str_from(message));
}

/* What stands before the sid: nothing in "/". */
static size_t head_len(const struct sio_namespace *ns)
{
    struct sio_str name = sio_namespace_name(ns);

    return name.len > 1 ? name.len + 1 : 0;
}

size_t sio_v2_id_room(const struct sio_conn *conn, const struct sio_namespace *ns)
{
    size_t len = head_len(ns) + eio_session_sid(conn->session).len;

    return len > RANDOM_ID_LEN ? len : 0;
}

void sio_v2_id_set(struct sio_socket *s)
{
    struct sio_str name = sio_namespace_name(s->ns);
    struct sio_str sid = eio_session_sid(s->conn->session);
    size_t at = head_len(s->ns);

    if (sio_v2_id_room(s->conn, s->ns) == 0) {
        memcpy(s->id, sid.ptr, sid.len);
        return;
    }
    if (at > 0) {
        memcpy(s->v2_id, name.ptr, name.len);
        s->v2_id[name.len] = '#';
    }
    memcpy(s->v2_id + at, sid.ptr, sid.len);
    s->v2_sid_len = (uint8_t)sid.len;
}

struct sio_str sio_v2_id(const struct sio_socket *s)
{
    return (struct sio_str){s->v2_id, head_len(s->ns) + s->v2_sid_len};
}
