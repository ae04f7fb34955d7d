/*
 * admin_commands.c - what the admin UI asks for
 *
 *     emit        namespace, filter, event, arguments...
 *     join, leave namespace, room, filter
 *     _disconnect namespace, close, filter
 *
 * A filter is a room or a socket's id; null, empty or not there: everybody.
 */
#include <config.h>

#include "base/json.h"
#include "socketio/admin_impl.h"
#include "socketio/event.h"
#include "socketio/packet.h"

/* The texts of a command, decoded; none has a NUL inside. */
struct command {
    struct sio_event *e;
    struct wbuf texts;
    struct sio_namespace *ns;
    struct sio_str filter;
    struct sio_target target;
};

/* The i-th argument behind what texts holds, NUL-terminated.  False: not a text. */
static bool get_text(struct command *c, size_t i, struct sio_str *out)
{
    struct sio_str raw = sio_event_arg(c->e, i);
    size_t from = c->texts.len;

    if (!raw.ptr || json_type(raw) != JSON_STRING)
        return false;
    json_string_decode(raw, &c->texts);
    wbuf_add_byte(&c->texts, '\0');
    if (c->texts.error < 0)
        return false;
    out->ptr = wbuf_str(&c->texts).ptr + from;
    out->len = c->texts.len - from - 1;
    return !memchr(out->ptr, '\0', out->len);
}

/* False: it says nobody that we know, and means somebody. */
static bool get_filter(struct command *c, size_t i)
{
    struct sio_str raw = sio_event_arg(c->e, i);

    c->target.rooms = &c->filter;
    if (!raw.ptr || json_type(raw) == JSON_NULL)
        return true;
    if (!get_text(c, i, &c->filter))
        return false;
    c->target.n_rooms = c->filter.len > 0;
    return true;
}

/* Room for all texts at once, so that they stay where they are. */
static bool begin(struct command *c, struct sio_admin *a, struct sio_event *e,
                  size_t filter_at)
{
    struct sio_str nsp;

    *c = (struct command){.e = e};
    wbuf_init(&c->texts, UINT32_MAX);
    if (wbuf_reserve(&c->texts, e->packet->json.len + 4) < 0 || !get_text(c, 0, &nsp))
        return false;
    c->ns = sio_server_find(a->server, nsp);
    return c->ns && get_filter(c, filter_at);
}

static void end(struct command *c)
{
    wbuf_fini(&c->texts);
}

static void on_emit(struct sio_socket *s, struct sio_event *e, void *user)
{
    struct sio_message *m = NULL;
    struct command c;
    struct sio_str name;

    (void)s;
    if (begin(&c, user, e, 1) && get_text(&c, 2, &name))
        m = sio_message_new(name.ptr);
    if (m) {
        sio_message_add_event(m, e, 3);
        sio_namespace_emit(c.ns, &c.target, m);
    }
    sio_message_free(m);
    end(&c);
}

static void on_join_room(struct sio_socket *s, struct sio_event *e, void *user)
{
    struct command c;
    struct sio_str room;

    (void)s;
    if (begin(&c, user, e, 2) && get_text(&c, 1, &room))
        sio_namespace_join_all(c.ns, &c.target, &room, 1);
    end(&c);
}

static void on_leave_room(struct sio_socket *s, struct sio_event *e, void *user)
{
    struct command c;
    struct sio_str room;

    (void)s;
    if (begin(&c, user, e, 2) && get_text(&c, 1, &room))
        sio_namespace_leave_all(c.ns, &c.target, &room, 1);
    end(&c);
}

static void on_disconnect_them(struct sio_socket *s, struct sio_event *e, void *user)
{
    struct sio_str close = sio_event_arg(e, 1);
    struct command c;

    (void)s;
    if (begin(&c, user, e, 2))
        sio_namespace_disconnect_all(c.ns, &c.target,
                                     close.ptr && json_type(close) == JSON_TRUE);
    end(&c);
}

int sio_admin_add_commands(struct sio_admin *a)
{
    int rv = sio_namespace_on(a->ns, "emit", on_emit, a);

    if (rv == SIO_OK)
        rv = sio_namespace_on(a->ns, "join", on_join_room, a);
    if (rv == SIO_OK)
        rv = sio_namespace_on(a->ns, "leave", on_leave_room, a);
    if (rv == SIO_OK)
        rv = sio_namespace_on(a->ns, "_disconnect", on_disconnect_them, a);
    return rv;
}
