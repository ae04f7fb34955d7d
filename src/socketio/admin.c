#include <config.h>

#include <sioc/admin.h>

#include <unistd.h>

#include "base/json.h"
#include "base/list.h"
#include "base/mem.h"
#include "engineio/server.h"
#include "socketio/admin_impl.h"
#include "socketio/client_conn.h"
#include "socketio/join.h"
#include "socketio/namespace.h"
#include "socketio/parent.h"
#include "socketio/server.h"
#include "socketio/socket.h"

#define DEFAULT_NAME "/admin"
#define TICK_MS      2000

/* Telling the UIs */

static void begin_args(struct wbuf *w)
{
    wbuf_init(w, UINT32_MAX);
}

/*
 * Sends an event with arguments that w holds, joined by ','; to one UI, or s NULL: to
 * all.  A UI that cannot be told for want of memory shows less.  Ends w.
 */
static void tell(struct sio_admin *a, struct sio_socket *s, const char *event,
                 struct wbuf *w, bool is_volatile)
{
    struct sio_message *m = w->error < 0 ? NULL : sio_message_new(event);

    if (m) {
        sio_message_add_raw(m, wbuf_str(w));
        if (is_volatile)
            sio_message_set_volatile(m);
        if (s)
            sio_socket_emit(s, m);
        else
            sio_namespace_emit(a->ns, NULL, m);
    }
    sio_message_free(m);
    wbuf_fini(w);
}

static void tell_stats(struct sio_admin *a)
{
    struct wbuf w;

    begin_args(&w);
    sio_admin_write_stats(&w, a);
    tell(a, NULL, "server_stats", &w, false);
}

static void on_tick(struct net_timer *timer, void *user)
{
    struct sio_admin *a = user;

    tell_stats(a);
    net_timer_start(timer, TICK_MS);
}

/* Events, one by one */

static void tell_event(struct sio_admin *a, const char *what, struct sio_socket *s,
                       const struct sio_event *e)
{
    struct wbuf w;

    begin_args(&w);
    json_write_string(&w, sio_namespace_name(s->ns));
    wbuf_add_byte(&w, ',');
    json_write_string(&w, sio_socket_id(s));
    wbuf_add_byte(&w, ',');
    sio_admin_write_event(&w, e);
    wbuf_add_byte(&w, ',');
    sio_admin_write_now(&w);
    tell(a, NULL, what, &w, true);
}

static void on_received(struct sio_socket *s, struct sio_event *e, void *user)
{
    tell_event(user, "event_received", s, e);
}

static void on_sent(struct sio_socket *s, struct sio_event *e, void *user)
{
    tell_event(user, "event_sent", s, e);
}

/* A namespace of which a listener could not be hung on shows less. */
static void listen_to(struct sio_admin *a, struct sio_namespace *ns)
{
    if (ns == a->ns || ns->parent)
        return;
    sio_namespace_on_any(ns, on_received, a);
    sio_namespace_on_any_outgoing(ns, on_sent, a);
}

static void stop_listening_to(struct sio_admin *a, struct sio_namespace *ns)
{
    sio_namespace_off_any(ns, on_received, a);
    sio_namespace_off_any_outgoing(ns, on_sent, a);
}

/* All namespaces that have listeners of their own, parents included. */
static void for_all(struct sio_admin *a,
                    void (*fn)(struct sio_admin *a, struct sio_namespace *ns))
{
    struct sio_server *server = a->server;
    struct sio_namespace *parent = NULL;
    struct map_pos pos;
    struct map_node *node;

    for (node = map_first(&server->namespaces, &pos); node;
         node = map_next(&server->namespaces, &pos))
        fn(a, container_of(node, struct sio_namespace, node));
    while ((parent = sio_server_next_parent(server, parent)) != NULL)
        fn(a, parent);
}

/* The observer */

static struct sio_admin *admin_of(struct sio_observer *o)
{
    return container_of(o, struct sio_admin, observer);
}

static void on_joined(struct sio_observer *o, struct sio_socket *s)
{
    struct wbuf w;

    begin_args(&w);
    sio_admin_write_socket(&w, s);
    wbuf_add_byte(&w, ',');
    sio_admin_write_now(&w);
    tell(admin_of(o), NULL, "socket_connected", &w, false);
}

static void on_ended(struct sio_observer *o, struct sio_socket *s,
                     enum sio_disconnect_reason reason)
{
    struct wbuf w;

    begin_args(&w);
    json_write_string(&w, sio_namespace_name(s->ns));
    wbuf_add_byte(&w, ',');
    json_write_string(&w, sio_socket_id(s));
    wbuf_addf(&w, ",\"%s\",", sio_disconnect_reason_text(reason));
    sio_admin_write_now(&w);
    tell(admin_of(o), NULL, "socket_disconnected", &w, false);
}

static void on_upgraded(struct sio_observer *o, struct sio_socket *s)
{
    struct wbuf w;

    begin_args(&w);
    wbuf_add_cstr(&w, "{\"id\":");
    json_write_string(&w, sio_socket_id(s));
    wbuf_add_cstr(&w, ",\"nsp\":");
    json_write_string(&w, sio_namespace_name(s->ns));
    wbuf_addf(&w, ",\"transport\":\"%s\"}",
              eio_session_transport(sio_socket_session(s)));
    tell(admin_of(o), NULL, "socket_updated", &w, false);
}

static void on_room(struct sio_observer *o, struct sio_socket *s, struct sio_str room,
                    bool joined)
{
    struct wbuf w;

    begin_args(&w);
    json_write_string(&w, sio_namespace_name(s->ns));
    wbuf_add_byte(&w, ',');
    json_write_string(&w, room);
    wbuf_add_byte(&w, ',');
    json_write_string(&w, sio_socket_id(s));
    wbuf_add_byte(&w, ',');
    sio_admin_write_now(&w);
    tell(admin_of(o), NULL, joined ? "room_joined" : "room_left", &w, false);
}

static void on_namespace_made(struct sio_observer *o, struct sio_namespace *ns)
{
    listen_to(admin_of(o), ns);
}

static const struct sio_observer_ops observer_ops = {
    .joined = on_joined,
    .ended = on_ended,
    .upgraded = on_upgraded,
    .room = on_room,
    .namespace_made = on_namespace_made,
};

static void on_upgrade(struct eio_session *session, void *user)
{
    struct sio_conn *c = user;
    struct sio_observer *o = c->server->observer;
    struct sio_socket *s;

    (void)session;
    list_for_each (s, struct sio_socket, link, &c->sockets)
        if (o && s->state == SIO_SOCKET_JOINED)
            o->ops->upgraded(o, s);
}

/* The first UI has come, and the last one has gone. */

static void begin(struct sio_admin *a)
{
    eio_server_stats(a->server->engine, &a->seen);
    net_timer_start(&a->tick, TICK_MS); /* without memory for it: no figures */
    if (!a->development)
        return;
    a->server->observer = &a->observer;
    eio_server_on_upgrade(a->server->engine, on_upgrade);
    for_all(a, listen_to);
}

static void end(struct sio_admin *a)
{
    net_timer_stop(&a->tick);
    if (!a->development)
        return;
    a->server->observer = NULL;
    if (a->server->engine)
        eio_server_on_upgrade(a->server->engine, NULL);
    for_all(a, stop_listening_to);
}

/* The namespace */

static void tell_session(struct sio_admin *a, struct sio_socket *s)
{
    const char *id = sio_socket_data(s);
    struct wbuf w;

    if (!id)
        return;
    begin_args(&w);
    json_write_string(&w, sio_str_from(id));
    tell(a, s, "session", &w, false);
    sio_socket_set_data(s, NULL, NULL);
}

static void on_connect(struct sio_socket *s, struct sio_str auth, void *user)
{
    struct sio_admin *a = user;
    struct wbuf w;

    (void)auth;
    tell_session(a, s);
    begin_args(&w);
    sio_admin_write_features(&w, a);
    tell(a, s, "config", &w, false);
    if (a->development) {
        begin_args(&w);
        sio_admin_write_sockets(&w, a->server);
        tell(a, s, "all_sockets", &w, false);
    }
    if (a->n_uis++ == 0)
        begin(a);
    tell_stats(a);
}

static void on_disconnect(struct sio_socket *s, enum sio_disconnect_reason reason,
                          void *user)
{
    struct sio_admin *a = user;

    (void)s;
    (void)reason;
    if (--a->n_uis == 0)
        end(a);
}

static const struct sio_namespace_ops ops = {.on_connect = on_connect,
                                             .on_disconnect = on_disconnect};

/* Who may join */

static void refuse(struct sio_join *j, const char *message)
{
    sio_join_refuse(j, message, (struct sio_str){NULL, 0});
}

/* A login is worth a session, which the UI is told when it has joined. */
static void on_checked(int status, void *user)
{
    struct sio_join *j = user;
    struct sio_socket *s = sio_join_socket(j);
    struct sio_admin *a;
    char *id;

    if (status != SIO_OK || !s) {
        refuse(j, "invalid credentials");
        return;
    }
    a = s->ns->user;
    id = mem_alloc(RANDOM_ID_LEN + 1);
    if (id) {
        sio_admin_session_new(a->auth, id);
        sio_socket_set_data(s, id, mem_free);
    }
    sio_join_accept(j);
}

static bool get_text(struct sio_str auth, const char *name, struct wbuf *w)
{
    struct sio_str raw;

    wbuf_init(w, UINT32_MAX);
    if (!auth.ptr || !json_get(auth, name, &raw) || json_type(raw) != JSON_STRING)
        return false;
    json_string_decode(raw, w);
    return w->error == SIO_OK && w->len > 0;
}

static bool has_session(struct sio_admin *a, struct sio_str auth)
{
    struct wbuf id;
    bool known = get_text(auth, "sessionId", &id) &&
                 sio_admin_session_known(a->auth, wbuf_str(&id));

    wbuf_fini(&id);
    return known;
}

static void check(struct sio_admin *a, struct sio_socket *s, struct sio_str auth,
                  struct sio_join *j)
{
    struct sio_str address = eio_session_handshake(sio_socket_session(s))->address;
    struct wbuf name, password;
    bool complete = get_text(auth, "username", &name);
    int rv = SIO_ERR_REFUSED;

    complete &= get_text(auth, "password", &password);
    if (complete)
        rv = sio_admin_auth_check(a->auth, address, wbuf_str(&name),
                                  wbuf_str(&password), on_checked, j);
    if (password.buf)
        explicit_bzero(sio_buf_data(password.buf), password.len);
    wbuf_fini(&password);
    wbuf_fini(&name);
    if (rv < 0)
        refuse(j, rv == SIO_ERR_FULL ? "too many attempts" : "invalid credentials");
}

static void on_wish(struct sio_socket *s, struct sio_str auth, struct sio_join *j,
                    void *user)
{
    struct sio_admin *a = user;

    if (!a->auth || has_session(a, auth))
        sio_join_accept(j);
    else
        check(a, s, auth, j);
}

/* Attaching */

static void admin_free(struct sio_admin *a)
{
    net_timer_stop(&a->tick);
    if (a->server->observer == &a->observer)
        a->server->observer = NULL;
    sio_admin_auth_free(a->auth);
    mem_free(a->server_id);
    mem_free(a);
}

static int check_options(struct sio_server *server, const struct sio_admin_options *o,
                         const char *name, struct sio_diag *diag)
{
    bool has_name = o->username && o->password_hash;

    if (server->admin || sio_server_find(server, sio_str_from(name)))
        return sio_diag_set(diag, SIO_ERR_EXISTS, "there is a namespace %s already",
                            name);
    if (o->no_auth == has_name || (o->no_auth && (o->username || o->password_hash)))
        return sio_diag_set(diag, SIO_ERR_INVAL,
                            "the admin namespace needs a user name and the hash of a "
                            "password, or to be open to everybody");
    if (has_name && !sio_admin_hash_valid(o->password_hash))
        return sio_diag_set(diag, SIO_ERR_INVAL,
                            "the hash of the admin's password is not bcrypt's");
    return SIO_OK;
}

static struct sio_admin *admin_new(struct sio_server *server,
                                   const struct sio_admin_options *o)
{
    struct sio_admin *a = mem_new(struct sio_admin);
    const char *id;

    if (!a)
        return NULL;
    a->server = server;
    a->observer.ops = &observer_ops;
    a->read_only = o->read_only;
    a->development = o->development;
    a->started_ms = net_loop_now_ms(server->loop);
    net_timer_init(&a->tick, server->loop, on_tick, a);
    if (gethostname(a->host, sizeof(a->host) - 1) < 0)
        a->host[0] = '\0';
    id = o->server_id ? o->server_id : a->host;
    a->server_id = mem_strndup(id, strlen(id));
    if (!o->no_auth)
        a->auth = sio_admin_auth_new(server->loop, o->username, o->password_hash);
    if (!a->server_id || (!o->no_auth && !a->auth)) {
        admin_free(a);
        return NULL;
    }
    return a;
}

int sio_admin_attach(struct sio_server *server, const struct sio_admin_options *opts,
                     struct sio_diag *diag)
{
    const char *name = opts->name ? opts->name : DEFAULT_NAME;
    int rv = check_options(server, opts, name, diag);
    struct sio_admin *a;

    if (rv < 0)
        return rv;
    if (!sio_nsp_valid(sio_str_from(name)))
        return sio_diag_set(diag, SIO_ERR_INVAL, "not a namespace: %s", name);
    a = admin_new(server, opts);
    if (!a)
        return sio_diag_set(diag, SIO_ERR_NOMEM, "out of memory");
    a->ns = sio_server_namespace(server, name, &ops, a);
    rv = a->ns ? sio_namespace_use(a->ns, on_wish, a) : SIO_ERR_NOMEM;
    if (rv == SIO_OK && !a->read_only)
        rv = sio_admin_add_commands(a);
    if (rv < 0) {
        if (a->ns) {
            map_remove(&server->namespaces, &a->ns->node);
            sio_namespace_free(a->ns);
        }
        admin_free(a);
        return sio_diag_set(diag, rv, "out of memory");
    }
    /* What a UI missed it is shown when it comes back. */
    sio_recovery_free(a->ns->recovery);
    a->ns->recovery = NULL;
    server->admin = a;
    server->free_admin = admin_free;
    return SIO_OK;
}
