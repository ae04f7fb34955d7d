/*
 * dial.c - from a name to a connected descriptor
 *
 * Addresses are tried one after another; each gets an equal share of the time that is
 * left, so that one that never answers does not use up the others' turn.  Where there is a
 * proxy, that is who is dialled, and it is asked for the rest of the way.
 */
#include <config.h>

#include "net/conn_impl.h"

#include <arpa/inet.h>
#include <assert.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <string.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/mem.h"
#include "net/resolve.h"

#define DIAL_TIMEOUT_MS   10000
#define DIAL_MIN_SHARE_MS 250

struct conn_dial {
    struct net_conn *conn;
    char *host;
    char *tls_name;
    uint16_t port;
    bool is_path;              /* host is the path of a Unix socket */
    struct net_tunnel *tunnel; /* NULL: none */
    size_t n_said;             /* bytes of its request that the kernel has */
    bool tunnelling;
    struct net_task start;
    struct net_timer total;   /* until the connection is open */
    struct net_timer attempt; /* for the present address */
    struct net_lookup *lookup;
    size_t n;
    size_t next; /* address to try */
    struct net_addr addrs[NET_LOOKUP_MAX_ADDRS];
    int error; /* of the last address */
    char why[128];
};

static void try_next(struct conn_dial *d);

void conn_dial_free(struct conn_dial *d)
{
    if (!d)
        return;
    net_lookup_cancel(d->lookup);
    net_timer_stop(&d->total);
    net_timer_stop(&d->attempt);
    list_remove(&d->start.link);
    if (d->tunnel)
        d->tunnel->ops->free(d->tunnel);
    mem_free(d->tls_name);
    mem_free(d->host);
    mem_free(d);
}

static int error_of(int err)
{
    switch (err) {
    case ECONNREFUSED: return SIO_ERR_REFUSED;
    case ETIMEDOUT: return SIO_ERR_TIMEOUT;
    case ENOMEM:
    case ENOBUFS: return SIO_ERR_NOMEM;
    default: return SIO_ERR_IO;
    }
}

static const char *role(const struct conn_dial *d)
{
    return d->tunnel ? "proxy " : "";
}

/* The present address does not work: remembers why, and goes on. */
static void attempt_failed(struct conn_dial *d, int error, const char *why)
{
    struct net_conn *c = d->conn;
    char addr[NET_ADDR_SIZE];

    net_timer_stop(&d->attempt);
    if (c->io.fd >= 0) {
        loop_io_forget(c->loop, &c->io);
        close(c->io.fd);
        c->io.fd = -1;
    }
    net_addr_format(&c->peer, addr);
    d->error = error;
    snprintf(d->why, sizeof(d->why), "%s%s port %u: %s", role(d), addr,
             (unsigned)d->port, why);
    try_next(d);
}

static void on_attempt_timeout(struct net_timer *timer, void *user)
{
    (void)timer;
    attempt_failed(user, SIO_ERR_TIMEOUT, "no answer");
}

static void on_total_timeout(struct net_timer *timer, void *user)
{
    struct conn_dial *d = user;
    struct net_conn *c = d->conn;

    (void)timer;
    if (d->lookup)
        conn_fail(c, SIO_ERR_TIMEOUT, "looking up %s%s: no answer in time", role(d),
                  d->host);
    else if (c->state == CONN_HANDSHAKE)
        conn_fail(c, SIO_ERR_TIMEOUT, "TLS handshake with %s: no answer in time",
                  d->tls_name);
    else
        conn_fail(c, SIO_ERR_TIMEOUT, "connecting to %s%s: no answer in time", role(d),
                  d->host);
}

static uint64_t share_ms(const struct conn_dial *d)
{
    uint64_t now = d->conn->loop->now_ns;
    uint64_t left = d->total.due_ns > now ? (d->total.due_ns - now) / 1000000 : 0;
    uint64_t share = left / (d->n - d->next + 1);

    return share > DIAL_MIN_SHARE_MS ? share : DIAL_MIN_SHARE_MS;
}

/* Begins to connect to c->peer.  0, or errno. */
static int connect_peer(struct conn_dial *d)
{
    struct net_conn *c = d->conn;
    int one = 1;

    c->io.fd =
        socket(c->peer.sa.sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (c->io.fd < 0)
        return errno;
    setsockopt(c->io.fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
    if (connect(c->io.fd, &c->peer.sa, c->peer.len) < 0 && errno != EINPROGRESS)
        return errno;
    if (net_io_add(c->loop, &c->io, EPOLLOUT) < 0)
        return errno;
    return net_timer_start(&d->attempt, share_ms(d)) < 0 ? ENOMEM : 0;
}

/* A Unix socket answers at once or not at all.  0, or errno. */
static int connect_path(struct conn_dial *d)
{
    struct net_conn *c = d->conn;
    struct sockaddr_un un = {.sun_family = AF_UNIX};
    size_t len = strlen(d->host);

    if (len >= sizeof(un.sun_path))
        return ENAMETOOLONG;
    memcpy(un.sun_path, d->host, len);
    c->io.fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (c->io.fd < 0 ||
        connect(c->io.fd, (struct sockaddr *)(void *)&un, sizeof(un)) < 0)
        return errno;
    return net_io_add(c->loop, &c->io, EPOLLOUT) < 0 ? errno : 0;
}

static void try_path(struct conn_dial *d)
{
    struct net_conn *c = d->conn;
    int err = connect_path(d);

    if (!err)
        return;
    if (c->io.fd >= 0)
        close(c->io.fd);
    c->io.fd = -1;
    conn_fail(c, error_of(err), "%s: %s", d->host, strerror(err));
}

static void try_next(struct conn_dial *d)
{
    struct net_conn *c = d->conn;

    while (d->next < d->n) {
        char addr[NET_ADDR_SIZE];
        int err;

        c->peer = d->addrs[d->next++];
        err = connect_peer(d);
        if (!err)
            return;
        if (c->io.fd >= 0)
            close(c->io.fd);
        c->io.fd = -1;
        net_addr_format(&c->peer, addr);
        d->error = error_of(err);
        snprintf(d->why, sizeof(d->why), "%s%s port %u: %s", role(d), addr,
                 (unsigned)d->port, strerror(err));
    }
    conn_fail(c, d->error, "%s", d->why);
}

/* The proxy. */

static void tunnel_failed(struct conn_dial *d, int error, const char *why)
{
    conn_fail(d->conn, error, "proxy %s port %u: %s", d->host, (unsigned)d->port, why);
}

static void tunnel_say(struct conn_dial *d)
{
    struct net_conn *c = d->conn;
    struct sio_str text = d->tunnel->ops->request(d->tunnel);
    ssize_t n =
        send(c->io.fd, text.ptr + d->n_said, text.len - d->n_said, MSG_NOSIGNAL);

    if (n < 0 && errno != EAGAIN && errno != EINTR) {
        tunnel_failed(d, error_of(errno), strerror(errno));
        return;
    }
    if (n > 0)
        d->n_said += (size_t)n;
    if (d->n_said == text.len && net_io_change(c->loop, &c->io, EPOLLIN) < 0)
        tunnel_failed(d, SIO_ERR_IO, strerror(errno));
}

static void tunnel_hear(struct conn_dial *d)
{
    struct net_conn *c = d->conn;
    struct sio_diag why = {.text = ""};
    ssize_t n = recv(c->io.fd, c->loop->buffer, NET_LOOP_BUFFER_SIZE, 0);
    int rv;

    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (n <= 0) {
        tunnel_failed(d, n < 0 ? SIO_ERR_IO : SIO_ERR_CLOSED,
                      n < 0 ? strerror(errno) : "it closed the connection");
        return;
    }
    rv = d->tunnel->ops->answer(d->tunnel, c->loop->buffer, (size_t)n, &why);
    if (rv < 0)
        tunnel_failed(d, rv, why.text[0] ? why.text : sio_strerror(rv));
    else if (rv > 0)
        conn_connected(c);
}

static void tunnel_events(struct conn_dial *d, uint32_t events)
{
    if (events & EPOLLOUT)
        tunnel_say(d);
    else
        tunnel_hear(d);
}

void conn_dial_events(struct net_conn *c, uint32_t events)
{
    struct conn_dial *d = c->dial;
    int err = 0;
    socklen_t len = sizeof(err);

    if (d->tunnelling) {
        tunnel_events(d, events);
        return;
    }
    if (getsockopt(c->io.fd, SOL_SOCKET, SO_ERROR, &err, &len) < 0)
        err = errno;
    if (err) {
        attempt_failed(d, error_of(err), strerror(err));
        return;
    }
    net_timer_stop(&d->attempt);
    d->tunnelling = d->tunnel != NULL;
    if (d->tunnelling)
        tunnel_say(d);
    else
        conn_connected(c);
}

static void on_addresses(const struct net_addr *addrs, size_t n, const char *error,
                         void *user)
{
    struct conn_dial *d = user;

    d->lookup = NULL;
    if (error) {
        conn_fail(d->conn, SIO_ERR_RESOLVE, "looking up %s%s: %s", role(d), d->host,
                  error);
        return;
    }
    memcpy(d->addrs, addrs, n * sizeof(*addrs));
    d->n = n;
    try_next(d);
}

static void on_start(struct net_task *task)
{
    struct conn_dial *d = container_of(task, struct conn_dial, start);

    if (d->is_path) {
        try_path(d);
        return;
    }
    if (net_addr_parse(d->host, d->port, &d->addrs[0])) {
        d->n = 1;
        try_next(d);
        return;
    }
    d->lookup = net_lookup_start(d->conn->loop, d->host, d->port, on_addresses, d);
    if (!d->lookup)
        conn_fail(d->conn, SIO_ERR_RESOLVE, "looking up %s: too many lookups", d->host);
}

static struct conn_dial *dial_new(struct net_conn *c,
                                  const struct net_connect_options *o)
{
    const char *host = o->path ? o->path : o->host;
    const char *name = o->tls_name ? o->tls_name : host;
    struct conn_dial *d = mem_new(struct conn_dial);

    if (!d)
        return NULL;
    d->conn = c;
    d->port = o->port;
    d->start.run = on_start;
    list_init(&d->start.link);
    net_timer_init(&d->total, c->loop, on_total_timeout, d);
    net_timer_init(&d->attempt, c->loop, on_attempt_timeout, d);
    d->is_path = o->path != NULL;
    d->host = mem_strndup(host, strlen(host));
    d->tls_name = mem_strndup(name, strlen(name));
    if (!d->host || !d->tls_name ||
        net_timer_start(&d->total, o->timeout_ms ? o->timeout_ms : DIAL_TIMEOUT_MS) <
            0) {
        conn_dial_free(d);
        return NULL;
    }
    return d;
}

static struct tls_session *session_new(struct net_loop *loop,
                                       const struct net_connect_options *o)
{
    struct loop_tls *scratch = loop_tls(loop);

    if (!scratch)
        return NULL;
    return tls_session_new(o->tls, scratch, o->tls_name ? o->tls_name : o->host);
}

struct net_conn *net_conn_connect(struct net_loop *loop,
                                  const struct net_connect_options *opts,
                                  const struct net_conn_ops *ops, void *user)
{
    struct net_conn *c = conn_new(loop);

    if (!c)
        goto no_tunnel;
    c->state = CONN_DIALING;
    if (opts->tls) {
        c->tls = session_new(loop, opts);
        if (!c->tls)
            goto discard;
    }
    c->dial = dial_new(c, opts);
    if (!c->dial)
        goto discard;
    c->dial->tunnel = opts->tunnel;
    net_conn_set_ops(c, ops, user);
    net_loop_defer(loop, &c->dial->start);
    return c;

discard:
    conn_discard(c);
no_tunnel:
    if (opts->tunnel)
        opts->tunnel->ops->free(opts->tunnel);
    return NULL;
}
