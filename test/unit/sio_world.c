#include <config.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "sio_world.h"

void sio_world_note(struct sio_world *w, const char *what, struct sio_str arg)
{
    size_t n = strlen(w->log);

    snprintf(w->log + n, sizeof(w->log) - n, "%s%s(%.*s)", n ? " " : "", what,
             (int)arg.len, arg.ptr ? arg.ptr : "");
}

void sio_world_expect(struct sio_world *w, const char *text)
{
    assert_string_equal(w->log, text);
    w->log[0] = '\0';
}

static void on_connect(struct sio_socket *s, struct sio_str auth, void *user)
{
    struct sio_world *w = user;

    (void)auth;
    w->last = s;
    sio_world_note(w, "connect", sio_namespace_name(sio_socket_namespace(s)));
}

static void on_disconnect(struct sio_socket *s, enum sio_disconnect_reason reason,
                          void *user)
{
    (void)s;
    sio_world_note(user, "disconnect",
                   sio_str_from(sio_disconnect_reason_text(reason)));
}

static void on_event(struct sio_socket *s, struct sio_event *e, void *user)
{
    (void)s;
    sio_world_note(user, "event", sio_event_name(e));
}

const struct sio_namespace_ops sio_world_ops = {
    .on_connect = on_connect,
    .on_disconnect = on_disconnect,
    .on_event = on_event,
};

void sio_world_open(struct sio_world *w, const struct sio_server_options *opts)
{
    static const struct sio_server_options none;

    memset(w, 0, sizeof(*w));
    w->loop = net_loop_new(NULL, NULL);
    w->server = sio_server_new(w->loop, opts ? opts : &none, NULL);
    assert_non_null(w->server);
    w->ns = sio_server_namespace(w->server, "/", &sio_world_ops, w);
    assert_non_null(w->ns);
}

void sio_world_close(struct sio_world *w)
{
    sio_server_free(w->server);
    net_loop_run_once(w->loop, 0);
    net_loop_free(w->loop);
    fake_reset();
}

struct eio_session *sio_world_session(struct sio_world *w)
{
    return fake_open(sio_server_engine(w->server));
}

struct eio_session *sio_world_join(struct sio_world *w, const char *name,
                                   struct sio_socket **s)
{
    struct eio_session *session = sio_world_session(w);
    char packet[300];

    snprintf(packet, sizeof(packet), "0%s", name);
    fake_text(session, packet);
    fake_sent(session);
    w->log[0] = '\0';
    if (s)
        *s = w->last;
    return session;
}

void sio_world_turn(struct sio_world *w)
{
    net_loop_run_once(w->loop, 0);
}
