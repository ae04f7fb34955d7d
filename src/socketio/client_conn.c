#include <config.h>

#include "socketio/client_conn.h"

#include "base/mem.h"
#include "base/str.h"
#include "socketio/join.h"
#include "socketio/namespace.h"
#include "socketio/parent.h"
#include "socketio/server.h"
#include "socketio/socket.h"
#include "socketio/v2.h"

/* At most so many lines a minute about what clients do wrong. */
#define VIOLATIONS_PER_MINUTE 20

/* A client that breaks the protocol is not told; its connection ends. */
static void violation(struct sio_conn *c, const char *what)
{
    struct sio_server *server = c->server;

    if (log_limit(&server->violations, net_loop_now_ms(server->loop),
                  VIOLATIONS_PER_MINUTE))
        log_warn(net_loop_log(server->loop), "session=%u violation=\"%s\"",
                 eio_session_number(c->session), what);
    eio_session_close(c->session, EIO_CLOSE_FORCED);
}

void sio_conn_fail(struct sio_conn *c, int error)
{
    if (error == SIO_ERR_NOMEM)
        eio_session_abort(c->session, EIO_CLOSE_TRANSPORT_ERROR);
    else
        violation(c, sio_strerror(error));
}

/* Joined, or about to be. */
static struct sio_socket *find_socket(const struct sio_conn *c, struct sio_str nsp)
{
    struct sio_socket *s;

    if (c->v2)
        nsp = sio_v2_name(nsp);
    list_for_each (s, struct sio_socket, link, &c->sockets)
        if (str_eq(sio_namespace_name(s->ns), nsp))
            return s;
    return NULL;
}

static void connect_to(struct sio_conn *c, struct sio_str nsp, struct sio_str auth)
{
    const char *refusal = "Too many namespaces";
    struct sio_namespace *ns = NULL;
    struct sio_socket *s = find_socket(c, nsp);

    if (s && s->state == SIO_SOCKET_JOINED) {
        violation(c, "namespace joined twice");
        return;
    }
    /* Clients that give up while they wait do not say so: they ask anew. */
    if (s)
        sio_socket_discard(s);
    if (c->n_sockets < c->server->max_namespaces)
        ns = sio_server_open(c->server, nsp, auth, &refusal);
    if (ns)
        sio_join_begin(c, ns, auth);
    else
        sio_conn_refuse(c, nsp, refusal, (struct sio_str){NULL, 0});
}

/* The same for a namespace with a query. */
static void connect_v2(struct sio_conn *c, struct sio_str nsp)
{
    struct sio_str auth = {NULL, 0};
    struct wbuf w;
    int rv;

    wbuf_init(&w, UINT32_MAX);
    rv = sio_v2_auth(nsp, &w);
    if (w.len > 0)
        auth = wbuf_str(&w);
    if (rv < 0)
        sio_conn_fail(c, rv);
    else
        connect_to(c, sio_v2_name(nsp), auth);
    wbuf_fini(&w);
}

static void on_connect(struct sio_conn *c, const struct sio_packet *p)
{
    if (c->v2)
        connect_v2(c, p->nsp);
    else
        connect_to(c, p->nsp, p->json);
}

static void on_event(struct sio_conn *c, struct sio_socket *s,
                     const struct sio_packet *p, struct sio_slice text,
                     const struct sio_slice *attachments)
{
    struct sio_event e;

    if (sio_event_init(&e, p, text, attachments, &s->replier) < 0)
        sio_conn_fail(c, SIO_ERR_NOMEM);
    else
        sio_namespace_dispatch(s->ns, s, &e);
    sio_event_fini(&e);
}

static void on_ack(struct sio_socket *s, const struct sio_packet *p,
                   struct sio_slice text, const struct sio_slice *attachments)
{
    struct sio_event e;

    if (!p->has_id)
        return;
    sio_event_init(&e, p, text, attachments, NULL);
    sio_acks_answer(&s->acks, p->id, &e);
    sio_event_fini(&e);
}

static void dispatch(struct sio_conn *c, const struct sio_packet *p,
                     struct sio_slice text, const struct sio_slice *attachments)
{
    struct sio_socket *s;

    if (p->type == SIO_PACKET_CONNECT) {
        on_connect(c, p);
        return;
    }
    s = find_socket(c, p->nsp);
    /* Who waits to join may give up, and say nothing else. */
    if (!s || (s->state != SIO_SOCKET_JOINED && p->type != SIO_PACKET_DISCONNECT)) {
        violation(c, "namespace not joined");
        return;
    }
    switch (p->type) {
    case SIO_PACKET_CONNECT:
    case SIO_PACKET_CONNECT_ERROR: violation(c, "packet that only servers send"); break;
    case SIO_PACKET_DISCONNECT: sio_socket_end(s, SIO_DISCONNECT_CLIENT); break;
    case SIO_PACKET_EVENT:
    case SIO_PACKET_BINARY_EVENT: on_event(c, s, p, text, attachments); break;
    case SIO_PACKET_ACK:
    case SIO_PACKET_BINARY_ACK: on_ack(s, p, text, attachments); break;
    }
}

/* A packet that waits must be for a namespace that was joined. */
static void check_pending(struct sio_conn *c)
{
    const struct sio_socket *s = find_socket(c, c->assembly->packet.nsp);

    if (!s || s->state != SIO_SOCKET_JOINED)
        violation(c, "namespace not joined");
}

static void on_message(struct eio_session *session, bool text, struct sio_slice msg,
                       void *user)
{
    struct sio_conn *c = user;
    struct sio_incoming in;
    int rv = sio_codec_decode(&c->server->codec, &c->assembly, text, msg, &in);

    (void)session;
    if (rv == SIO_ERR_NOMEM)
        sio_conn_fail(c, rv);
    else if (rv < 0)
        violation(c, in.why);
    else if (rv > 0)
        dispatch(c, in.packet, in.text, in.attachments);
    else
        check_pending(c);
    sio_incoming_fini(&in);
}

static enum sio_disconnect_reason reason_of(const struct sio_conn *c,
                                            enum eio_close_reason reason)
{
    switch (reason) {
    case EIO_CLOSE_TRANSPORT_CLOSE: return SIO_DISCONNECT_TRANSPORT_CLOSE;
    case EIO_CLOSE_TRANSPORT_ERROR: return SIO_DISCONNECT_TRANSPORT_ERROR;
    case EIO_CLOSE_PARSE_ERROR: return SIO_DISCONNECT_PARSE_ERROR;
    case EIO_CLOSE_PING_TIMEOUT: return SIO_DISCONNECT_PING_TIMEOUT;
    case EIO_CLOSE_FORCED:
        return c->forced ? SIO_DISCONNECT_FORCED_SERVER : SIO_DISCONNECT_FORCED;
    case EIO_CLOSE_SHUTDOWN: return SIO_DISCONNECT_SHUTDOWN;
    }
    return SIO_DISCONNECT_FORCED;
}

static void on_close(struct eio_session *session, enum eio_close_reason reason,
                     void *user)
{
    struct sio_conn *c = user;
    struct sio_server *server = c->server;

    (void)session;
    c->closed = true;
    c->reason = (uint8_t)reason_of(c, reason);
    if (server->sending == 0) {
        sio_conn_bury(c);
        return;
    }
    list_append(&server->dying, &c->link);
    net_loop_defer(server->loop, &server->bury);
}

static const struct eio_session_ops session_ops = {on_message, on_close};

static void on_deadline(struct net_timer *timer, void *user)
{
    (void)timer;
    violation(user, "no namespace joined in time");
}

static void on_reap(struct net_task *task)
{
    mem_free(container_of(task, struct sio_conn, reap));
}

void sio_conn_open(struct sio_server *server, struct eio_session *session)
{
    struct sio_conn *c = mem_new(struct sio_conn);

    if (!c) {
        eio_session_abort(session, EIO_CLOSE_TRANSPORT_ERROR);
        return;
    }
    c->server = server;
    c->session = session;
    c->v2 = eio_session_protocol(session) == 3;
    list_init(&c->sockets);
    list_init(&c->joins);
    list_init(&c->link);
    list_init(&c->reap.link);
    c->reap.run = on_reap;
    net_timer_init(&c->deadline, server->loop, on_deadline, c);
    eio_session_set_ops(session, &session_ops, c);
    if (net_timer_start(&c->deadline, server->connect_timeout_ms) < 0)
        eio_session_abort(session, EIO_CLOSE_TRANSPORT_ERROR);
    else if (c->v2)
        connect_v2(c, SIO_STR("/"));
}

void sio_conn_bury(struct sio_conn *c)
{
    list_remove(&c->link);
    net_timer_stop(&c->deadline);
    while (!list_empty(&c->sockets))
        sio_socket_end(container_of(c->sockets.next, struct sio_socket, link),
                       (enum sio_disconnect_reason)c->reason);
    while (!list_empty(&c->joins))
        list_remove(c->joins.next);
    sio_assembly_free(c->assembly);
    c->assembly = NULL;
    net_loop_reap(c->server->loop, &c->reap);
}

int sio_conn_send(struct sio_conn *c, struct eio_msg *msg)
{
    int rv;

    if (c->closed)
        return SIO_ERR_CLOSED;
    c->server->sending++;
    rv = eio_session_send(c->session, msg);
    c->server->sending--;
    return rv;
}

int sio_conn_send_packet(struct sio_conn *c, enum sio_packet_type type,
                         struct sio_str nsp, struct sio_str json)
{
    struct eio_msg *msg =
        sio_packet_msg(c->server->codec.parser, type, nsp, false, 0, json);
    int rv;

    if (!msg)
        return SIO_ERR_NOMEM;
    rv = sio_conn_send(c, msg);
    eio_msg_unref(msg);
    return rv;
}

/*
 * Each namespace is left in so many words, as it is when a socket is disconnected: a
 * client that only sees its transport close comes back.
 */
static void say_goodbye(struct sio_conn *c)
{
    const struct sio_socket *s;

    list_for_each (s, struct sio_socket, link, &c->sockets)
        if (s->state == SIO_SOCKET_JOINED)
            sio_conn_send_packet(c, SIO_PACKET_DISCONNECT, sio_namespace_name(s->ns),
                                 (struct sio_str){NULL, 0});
}

void sio_conn_close(struct sio_conn *c, bool cut)
{
    if (c->closed)
        return;
    c->forced = true;
    if (cut) {
        eio_session_abort(c->session, EIO_CLOSE_FORCED);
        return;
    }
    c->dismissed = true;
    say_goodbye(c);
    eio_session_close(c->session, EIO_CLOSE_FORCED);
}
