#include <config.h>

#include "socketio/join.h"

#include <stdio.h>

#include "base/mem.h"
#include "socketio/namespace.h"
#include "socketio/parent.h"
#include "socketio/recovery.h"
#include "socketio/server.h"
#include "socketio/socket.h"
#include "socketio/v2.h"

enum verdict { UNDECIDED, ACCEPTED, REFUSED };

struct sio_join {
    struct list link;          /* in its connection's, while that is there */
    struct sio_socket *socket; /* NULL: it has ended */
    struct sio_hooks *hooks;   /* whose chain this is in */
    struct list *at;           /* the middleware that decides now */
    bool own;                  /* in the namespace's chain, not its parent's */
    bool calling;              /* on the stack: go_on looks at the verdict, and frees */
    enum verdict verdict;
    struct net_timer timer;
    char *auth; /* what the CONNECT said, until the socket has ended */
    size_t auth_len;
};

static void write_refusal(struct wbuf *w, const char *message, struct sio_str data)
{
    wbuf_add_cstr(w, "{\"message\":");
    json_write_string(w, sio_str_from(message));
    if (data.ptr) {
        wbuf_add_cstr(w, ",\"data\":");
        wbuf_add_str(w, data);
    }
    wbuf_add_byte(w, '}');
}

void sio_conn_refuse(struct sio_conn *c, struct sio_str nsp, const char *message,
                     struct sio_str data)
{
    struct wbuf w;
    int rv;

    wbuf_init(&w, UINT32_MAX);
    if (c->v2)
        sio_v2_refusal(&w, message, data);
    else
        write_refusal(&w, message, data);
    rv = w.error;
    if (rv == SIO_OK)
        rv = sio_conn_send_packet(c, SIO_PACKET_CONNECT_ERROR, nsp, wbuf_str(&w));
    if (rv == SIO_ERR_NOMEM)
        sio_conn_fail(c, rv);
    wbuf_fini(&w);
}

static int send_connect(struct sio_conn *c, const struct sio_socket *s)
{
    char json[2 * RANDOM_ID_LEN + 32];
    struct sio_str text = {json, 0};

    if (c->v2)
        text.ptr = NULL;
    else if (s->ticket)
        text.len =
            (size_t)snprintf(json, sizeof(json), "{\"sid\":\"%s\",\"pid\":\"%s\"}",
                             s->id, s->ticket->pid);
    else
        text.len = (size_t)snprintf(json, sizeof(json), "{\"sid\":\"%s\"}", s->id);
    return sio_conn_send_packet(c, SIO_PACKET_CONNECT, sio_namespace_name(s->ns), text);
}

static void refuse(struct sio_socket *s, const char *message, struct sio_str data)
{
    struct sio_conn *c = s->conn;

    if (s->state != SIO_SOCKET_JOINING)
        return;
    if (!c->closed)
        sio_conn_refuse(c, sio_namespace_name(s->ns), message, data);
    sio_socket_discard(s);
}

/* The namespace has said yes. */
static void welcome(struct sio_socket *s, struct sio_str auth)
{
    struct sio_namespace *ns = s->ns;
    struct sio_conn *c = s->conn;
    int rv = sio_socket_admit(s);

    if (rv < 0) {
        sio_socket_discard(s);
        sio_conn_fail(c, rv);
        return;
    }
    net_timer_stop(&c->deadline);
    rv = send_connect(c, s);
    if (s->ticket)
        sio_recovery_replay(s);
    if (c->server->observer)
        c->server->observer->ops->joined(c->server->observer, s);
    if (ns->ops && ns->ops->on_connect)
        ns->ops->on_connect(s, auth, ns->user);
    if (rv == SIO_ERR_NOMEM && !c->closed)
        sio_conn_fail(c, rv);
}

/* Behind the middleware; a handler may also end the connection here. */
static void decide(struct sio_socket *s, struct sio_str auth)
{
    struct sio_namespace *ns = s->ns;
    struct sio_str data = {NULL, 0};
    const char *refusal = NULL;

    if (ns->ops && ns->ops->on_join)
        refusal = ns->ops->on_join(s, auth, &data, ns->user);
    if (s->state != SIO_SOCKET_JOINING)
        return;
    if (refusal || s->conn->closed)
        refuse(s, refusal, data);
    else
        welcome(s, auth);
}

static void forget_auth(struct sio_join *j)
{
    mem_free(j->auth);
    j->auth = NULL;
    j->auth_len = 0;
}

static void detach(struct sio_join *j)
{
    net_timer_stop(&j->timer);
    j->socket->join = NULL;
    j->socket = NULL;
}

static void join_free(struct sio_join *j)
{
    if (j->socket)
        detach(j);
    list_remove(&j->link);
    mem_free(j->auth);
    mem_free(j);
}

/* Middleware may take long: a client that comes and goes leaves little behind. */
void sio_join_detach(struct sio_join *j)
{
    detach(j);
    if (!j->calling)
        forget_auth(j);
}

/* To the next middleware.  False: there is none. */
static bool step(struct sio_join *j)
{
    struct sio_namespace *ns = j->socket->ns;

    for (;;) {
        if (j->hooks) {
            j->at = j->at ? j->at->next : j->hooks->chains[SIO_CHAIN_JOIN].next;
            if (j->at != &j->hooks->chains[SIO_CHAIN_JOIN])
                return true;
        }
        if (j->own)
            return false;
        j->own = true;
        j->hooks = ns->hooks;
        j->at = NULL;
    }
}

static struct sio_str auth_of(const struct sio_join *j)
{
    return (struct sio_str){j->auth, j->auth_len};
}

static void on_timeout(struct net_timer *timer, void *user)
{
    struct sio_join *j = user;

    (void)timer;
    refuse(j->socket, "Timed out", (struct sio_str){NULL, 0});
}

/* One middleware.  Returns its verdict, UNDECIDED if it takes its time. */
static enum verdict ask(struct sio_join *j)
{
    const struct sio_hook *hook = container_of(j->at, struct sio_hook, link);

    j->calling = true;
    j->verdict = UNDECIDED;
    hook->cb.join(j->socket, auth_of(j), j, hook->user);
    j->calling = false;
    if (!j->socket)
        forget_auth(j);
    return j->verdict;
}

/* Until somebody takes time, refuses, or nobody is left to be asked. */
static void go_on(struct sio_join *j)
{
    while (j->socket && step(j)) {
        enum verdict v = ask(j);

        if (v == UNDECIDED) {
            if (j->socket && !net_timer_running(&j->timer) &&
                net_timer_start(&j->timer,
                                j->socket->conn->server->connect_timeout_ms) < 0)
                refuse(j->socket, "Out of memory", (struct sio_str){NULL, 0});
            return;
        }
        if (v == REFUSED) {
            join_free(j);
            return;
        }
    }
    if (j->socket) {
        struct sio_socket *s = j->socket;

        detach(j);
        decide(s, auth_of(j));
    }
    join_free(j);
}

void sio_join_accept(struct sio_join *j)
{
    j->verdict = ACCEPTED;
    if (!j->calling)
        go_on(j);
}

void sio_join_refuse(struct sio_join *j, const char *message, struct sio_str data)
{
    struct sio_socket *s = j->socket;

    j->verdict = REFUSED;
    if (s) {
        detach(j);
        refuse(s, message, data);
    }
    if (!j->calling)
        join_free(j);
}

struct sio_socket *sio_join_socket(const struct sio_join *j)
{
    return j->socket;
}

static bool has_middleware(const struct sio_namespace *ns)
{
    return sio_hooks_has(ns->hooks, SIO_CHAIN_JOIN) ||
           (ns->parent && sio_hooks_has(ns->parent->hooks, SIO_CHAIN_JOIN));
}

/* What one client lets middleware do is bounded, also what it has given up since. */
static bool may_wait(const struct sio_conn *c, struct sio_str auth)
{
    size_t left = c->server->codec.max_bytes;
    uint32_t n = 0;
    struct sio_join *j;

    list_for_each (j, struct sio_join, link, &c->joins) {
        left -= j->auth_len;
        n++;
    }
    return n < c->server->max_namespaces && auth.len <= left;
}

static struct sio_join *join_new(struct sio_socket *s, struct sio_str auth)
{
    struct sio_join *j = mem_new(struct sio_join);

    if (!j)
        return NULL;
    if (auth.len > 0) {
        j->auth = mem_strndup(auth.ptr, auth.len);
        if (!j->auth) {
            mem_free(j);
            return NULL;
        }
    }
    j->auth_len = auth.len;
    net_timer_init(&j->timer, s->conn->server->loop, on_timeout, j);
    j->own = !s->ns->parent;
    j->hooks = j->own ? s->ns->hooks : s->ns->parent->hooks;
    j->socket = s;
    s->join = j;
    list_append(&s->conn->joins, &j->link);
    return j;
}

/* Out of memory. */
static void give_up(struct sio_socket *s)
{
    struct sio_conn *c = s->conn;

    sio_socket_discard(s);
    sio_conn_fail(c, SIO_ERR_NOMEM);
}

void sio_join_begin(struct sio_conn *c, struct sio_namespace *ns, struct sio_str auth)
{
    struct sio_socket *s = sio_socket_new(c, ns);
    bool recovers = ns->recovery && !c->v2; /* whose clients know no pid */
    struct sio_join *j;

    if (!s) {
        sio_namespace_unused(ns); /* a child just made goes again */
        sio_conn_fail(c, SIO_ERR_NOMEM);
        return;
    }
    if (recovers && sio_recovery_open(s, auth) < 0) {
        give_up(s);
        return;
    }
    if (s->recovered && c->server->recovery.options.no_join) {
        welcome(s, auth);
        return;
    }
    if (!has_middleware(ns)) {
        decide(s, auth);
        return;
    }
    if (!may_wait(c, auth)) {
        refuse(s, "Too much at once", (struct sio_str){NULL, 0});
        return;
    }
    j = join_new(s, auth);
    if (j)
        go_on(j);
    else
        give_up(s);
}
