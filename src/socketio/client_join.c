/*
 * client_join.c - asking to join a namespace: the auth payload, and what a server needs to
 * recover the socket
 */
#include <config.h>

#include "socketio/client_impl.h"

#include "base/buf.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/str.h"
#include "engineio/msg.h"

#define MAX_AUTH (1024 * 1024)

static bool is_object(struct sio_str json)
{
    return json_check(json) == SIO_OK && json_type(json) == JSON_OBJECT;
}

static struct sio_str auth_of(struct sio_client_socket *s)
{
    struct sio_str none = {NULL, 0}, auth;

    if (!s->ops->auth)
        return s->auth ? sio_str_from(s->auth) : none;
    auth = s->ops->auth(s, s->user);
    if (!auth.ptr || is_object(auth))
        return auth;
    log_error(net_loop_log(s->client->loop),
              "client: auth is no JSON object, not sent");
    return none;
}

/*
 * What the server needs to recover the socket stands in front of the auth's members,
 * which win.
 */
static void write_payload(const struct sio_client_socket *s, struct sio_str auth,
                          struct wbuf *w)
{
    struct json_iter members = json_iter(auth.ptr ? auth : SIO_STR("{}"));
    struct sio_str key, value;

    wbuf_add_cstr(w, "{\"pid\":");
    wbuf_add_cstr(w, s->pid);
    if (s->offset) {
        wbuf_add_cstr(w, ",\"offset\":");
        wbuf_add_cstr(w, s->offset);
    }
    while (json_next(&members, &key, &value)) {
        wbuf_add_byte(w, ',');
        wbuf_add_str(w, key);
        wbuf_add_byte(w, ':');
        wbuf_add_str(w, value);
    }
    wbuf_add_byte(w, '}');
}

static int send_connect(struct sio_client_socket *s, struct sio_str auth)
{
    struct eio_msg *msg = NULL;
    struct wbuf w;
    int rv;

    wbuf_init(&w, MAX_AUTH);
    if (s->pid)
        write_payload(s, auth, &w);
    rv = w.error;
    if (rv == SIO_OK) {
        msg = sio_packet_msg(s->client->codec.parser, SIO_PACKET_CONNECT,
                             sio_str_from(s->name), false, 0,
                             s->pid ? wbuf_str(&w) : auth);
        rv = msg ? eio_client_send(s->client->eio, msg) : SIO_ERR_NOMEM;
    }
    if (rv == SIO_OK)
        rv = net_timer_start(&s->timer, s->client->config.connect_timeout_ms);
    s->asked = rv == SIO_OK;
    eio_msg_unref(msg);
    wbuf_fini(&w);
    return rv;
}

static void join_with(struct sio_client_socket *s, struct sio_str auth)
{
    int rv = send_connect(s, auth);

    if (rv < 0)
        eio_client_abort(s->client->eio, rv, "transport error", sio_strerror(rv));
    else
        s->state = SIO_CLIENT_SOCKET_JOINING;
}

void sio_client_socket_join(struct sio_client_socket *s)
{
    struct sio_client *c = s->client;
    struct sio_str auth;

    if (s->ops->auth_later) {
        if (net_timer_start(&s->timer, c->config.connect_timeout_ms) < 0) {
            sio_client_no_memory(c);
            return;
        }
        s->state = SIO_CLIENT_SOCKET_ASKING;
        s->ops->auth_later(s, s->user);
        return;
    }
    auth = auth_of(s);
    if (c->state == SIO_CLIENT_OPEN) /* auth's callback may have closed */
        join_with(s, auth);
}

int sio_client_socket_give_auth(struct sio_client_socket *s, struct sio_str json)
{
    if (json.ptr && !is_object(json))
        return SIO_ERR_INVAL;
    if (s->state != SIO_CLIENT_SOCKET_ASKING || s->client->state != SIO_CLIENT_OPEN)
        return SIO_ERR_CLOSED;
    join_with(s, json);
    return SIO_OK;
}

int sio_client_socket_set_auth(struct sio_client_socket *s, struct sio_str json)
{
    char *copy = NULL;

    if (json.ptr && !is_object(json))
        return SIO_ERR_INVAL;
    if (json.ptr) {
        copy = mem_strndup(json.ptr, json.len);
        if (!copy)
            return SIO_ERR_NOMEM;
    }
    mem_free(s->auth);
    s->auth = copy;
    return SIO_OK;
}
