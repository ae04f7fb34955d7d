/*
 * listener.c - accepting
 */
#include <config.h>

#include "net/listener.h"

#include <assert.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <string.h>
#include <unistd.h>

#include "base/mem.h"
#include "net/conn_impl.h"

#define LISTENER_MAX_CONNS 65536
#define LISTENER_PER_TURN  64
#define LISTENER_BACKLOG   4096
#define LISTENER_REST_MS   100
#define LISTENER_WARNINGS  1 /* a minute */

struct net_listener {
    struct net_io io; /* fd -1: stopped */
    struct net_loop *loop;
    struct net_tls *tls;
    net_accept_cb cb;
    void *user;
    uint32_t max_conns;
    uint32_t n_conns;
    uint32_t refs; /* the owner and each connection */
    uint16_t port;
    struct net_timer rest;
    struct log_limit limit;
};

static void listener_unref(struct net_listener *l)
{
    if (--l->refs)
        return;
    net_tls_unref(l->tls);
    mem_free(l);
}

/* Accepts while there is room and no rest is needed. */
static void update_events(struct net_listener *l)
{
    bool accepts = l->n_conns < l->max_conns && !net_timer_running(&l->rest);

    if (l->io.fd >= 0)
        (void)net_io_change(l->loop, &l->io, accepts ? EPOLLIN : 0);
}

static void on_rested(struct net_timer *timer, void *user)
{
    (void)timer;
    update_events(user);
}

void listener_conn_ended(struct net_listener *l)
{
    l->n_conns--;
    update_events(l);
    listener_unref(l);
}

void listener_conn_open(struct net_listener *l, struct net_conn *c)
{
    if (l->io.fd < 0) { /* stopped while hands were shaken */
        conn_finish(c, SIO_OK);
        return;
    }
    l->cb(c, l->user);
    assert(c->ops || c->state == CONN_CLOSED);
}

/* Out of descriptors or memory: waiting connections stay in the kernel for a moment. */
static void rest(struct net_listener *l, int err)
{
    if (log_limit(&l->limit, net_loop_now_ms(l->loop), LISTENER_WARNINGS))
        log_warn(&l->loop->log, "net: accepting rests for %d ms: %s", LISTENER_REST_MS,
                 strerror(err));
    (void)net_timer_start(&l->rest, LISTENER_REST_MS);
    update_events(l);
}

static void add_conn(struct net_listener *l, int fd, const struct sockaddr *sa,
                     socklen_t len)
{
    struct net_conn *c = conn_new(l->loop);

    if (!c) {
        close(fd);
        return;
    }
    net_addr_set(&c->peer, sa, len);
    if (l->tls) {
        c->tls = tls_session_new(l->tls, l->loop->tls, NULL);
        if (!c->tls)
            goto discard;
    }
    c->io.fd = fd;
    if (net_io_add(l->loop, &c->io, EPOLLIN) < 0) {
        c->io.fd = -1;
        goto discard;
    }
    c->listener = l;
    l->n_conns++;
    l->refs++;
    conn_connected(c);
    return;

discard:
    close(fd);
    conn_discard(c);
}

/* True if another connection may be there. */
static bool accept_one(struct net_listener *l)
{
    struct sockaddr_storage sa;
    socklen_t len = sizeof(sa);
    int fd =
        accept4(l->io.fd, (struct sockaddr *)&sa, &len, SOCK_NONBLOCK | SOCK_CLOEXEC);

    if (fd >= 0) {
        add_conn(l, fd, (struct sockaddr *)&sa, len);
        return true;
    }
    switch (errno) {
    case EAGAIN: return false;
    case EMFILE:
    case ENFILE:
    case ENOBUFS:
    case ENOMEM: rest(l, errno); return false;
    default: /* that connection has gone (accept(2), "Error handling") */ return true;
    }
}

static void on_acceptable(struct net_io *io, uint32_t events)
{
    struct net_listener *l = container_of(io, struct net_listener, io);

    (void)events;
    l->refs++; /* the callback may free the listener */
    for (int i = 0; i < LISTENER_PER_TURN && l->io.fd >= 0; i++)
        if (l->n_conns >= l->max_conns || !accept_one(l))
            break;
    update_events(l);
    listener_unref(l);
}

/* An address to bind to, in IPv6 form for all. */
static int bind_address(const struct net_listen_options *o, int family,
                        struct net_addr *out, struct sio_diag *diag)
{
    const char *host = o->host ? o->host : family == AF_INET6 ? "::" : "0.0.0.0";

    if (net_addr_parse(host, o->port, out))
        return SIO_OK;
    return sio_diag_set(diag, SIO_ERR_INVAL, "listen: \"%s\" is no address", host);
}

/* Returns a listening descriptor or -1, and leaves errno. */
static int listen_fd(const struct net_addr *a, bool both)
{
    int one = 1, v6only = !both;
    int fd = socket(a->sa.sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

    if (fd < 0)
        return -1;
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
    /* Accepted sockets inherit it. */
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
    if (a->sa.sa_family == AF_INET6)
        setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &v6only, sizeof(v6only));
    if (bind(fd, &a->sa, a->len) < 0 || listen(fd, LISTENER_BACKLOG) < 0) {
        int err = errno;

        close(fd);
        errno = err;
        return -1;
    }
    return fd;
}

static int open_socket(const struct net_listen_options *o, struct sio_diag *diag)
{
    struct net_addr a;
    int fd = -1;

    if (bind_address(o, AF_INET6, &a, diag) < 0)
        return -1;
    fd = listen_fd(&a, !o->host);
    /* No IPv6 here, or switched off. */
    if (fd < 0 && !o->host && (errno == EAFNOSUPPORT || errno == EADDRNOTAVAIL)) {
        (void)bind_address(o, AF_INET, &a, NULL);
        fd = listen_fd(&a, false);
    }
    if (fd < 0)
        sio_diag_errno(diag, SIO_ERR_IO, "listen on %s port %u",
                       o->host ? o->host : "*", (unsigned)o->port);
    return fd;
}

static uint16_t bound_port(int fd)
{
    struct sockaddr_storage sa = {0};
    socklen_t len = sizeof(sa);
    struct net_addr a;

    if (getsockname(fd, (struct sockaddr *)&sa, &len) < 0)
        return 0;
    net_addr_set(&a, (struct sockaddr *)&sa, len);
    return net_addr_port(&a);
}

struct net_listener *net_listener_new(struct net_loop *loop,
                                      const struct net_listen_options *opts,
                                      net_accept_cb cb, void *user,
                                      struct sio_diag *diag)
{
    struct net_listener *l = mem_new(struct net_listener);

    if (!l || (opts->tls && !loop_tls(loop))) {
        sio_diag_set(diag, SIO_ERR_NOMEM, "listen: out of memory");
        goto free_listener;
    }
    l->io.fd = open_socket(opts, diag);
    if (l->io.fd < 0)
        goto free_listener;
    l->io.on_events = on_acceptable;
    if (net_io_add(loop, &l->io, EPOLLIN) < 0) {
        sio_diag_errno(diag, SIO_ERR_IO, "listen: epoll");
        goto close_fd;
    }
    l->loop = loop;
    l->cb = cb;
    l->user = user;
    l->refs = 1;
    l->max_conns = opts->max_conns ? opts->max_conns : LISTENER_MAX_CONNS;
    l->port = bound_port(l->io.fd);
    net_timer_init(&l->rest, loop, on_rested, l);
    if (opts->tls)
        l->tls = net_tls_ref(opts->tls);
    return l;

close_fd:
    close(l->io.fd);
free_listener:
    mem_free(l);
    return NULL;
}

void net_listener_free(struct net_listener *l)
{
    if (!l)
        return;
    net_timer_stop(&l->rest);
    loop_io_forget(l->loop, &l->io);
    close(l->io.fd);
    l->io.fd = -1;
    listener_unref(l);
}

void net_listener_set_tls(struct net_listener *l, struct net_tls *tls)
{
    if (!l->tls)
        return;
    net_tls_ref(tls);
    net_tls_unref(l->tls);
    l->tls = tls;
}

uint16_t net_listener_port(const struct net_listener *l)
{
    return l->port;
}

size_t net_listener_n_conns(const struct net_listener *l)
{
    return l->n_conns;
}
