/*
 * conn_read.c - what comes: bytes, the peer's end, the handshake's success
 */
#include <config.h>

#include "net/conn_impl.h"

#include <errno.h>
#include <string.h>

#define CONN_HANDSHAKE_MS 10000

static void deliver(struct net_conn *c, uint8_t *p, size_t len)
{
    if (c->state == CONN_OPEN && len)
        c->ops->on_data(c, p, len, c->user);
}

static void tell_eof(struct net_conn *c)
{
    if (c->state != CONN_OPEN || c->eof_told)
        return;
    c->eof_told = true;
    if (c->ops->on_eof)
        c->ops->on_eof(c, c->user);
    else
        conn_fail(c, SIO_ERR_CLOSED, "the peer closed the connection");
}

static void on_peer_end(struct net_conn *c)
{
    c->eof = true;
    switch (c->state) {
    case CONN_HANDSHAKE:
        conn_fail(c, SIO_ERR_TLS, "TLS handshake: the peer closed the connection");
        return;
    case CONN_OPEN: tell_eof(c); break;
    case CONN_LINGER: conn_finish(c, SIO_OK); return;
    case CONN_DIALING:
    case CONN_FLUSHING:
    case CONN_CLOSED: break;
    }
    conn_update_events(c);
}

/* Returns the number of bytes, or 0 when there are none to handle. */
static size_t receive(struct net_conn *c, uint8_t *p, size_t room)
{
    ssize_t n = recv(c->io.fd, p, room, 0);

    if (n > 0)
        return (size_t)n;
    if (n == 0)
        on_peer_end(c);
    else if (errno != EAGAIN && errno != EINTR)
        conn_fail_errno(c, "receive", errno);
    return 0;
}

/* Tells the owner.  False: c has ended meanwhile. */
static bool announce_open(struct net_conn *c)
{
    c->state = CONN_OPEN;
    if (c->listener) /* else it is a deadline that the owner may have set already */
        net_timer_stop(&c->timer);
    conn_dial_free(c->dial);
    c->dial = NULL;
    if (c->listener)
        listener_conn_open(c->listener, c);
    else if (c->ops->on_open)
        c->ops->on_open(c, c->user);
    if (c->state == CONN_OPEN && c->out.n)
        loop_flush(c->loop, &c->work);
    return c->state != CONN_CLOSED;
}

/* 1: open now.  0: not yet, or c has ended. */
static int shake_hands(struct net_conn *c)
{
    int rv = tls_session_handshake(c->tls);

    if (!conn_send_scratch(c))
        return 0;
    if (rv < 0)
        conn_fail(c, rv, "%s", tls_session_diag(c->tls));
    else
        conn_update_events(c);
    return rv > 0 && c->state == CONN_HANDSHAKE;
}

static void read_tls(struct net_conn *c)
{
    struct net_loop *loop = c->loop;
    bool opened = false, eof = false;
    size_t len = receive(c, loop->tls->in, LOOP_TLS_IN_SIZE);
    int rv;

    if (!len)
        return;
    tls_session_feed(c->tls, loop->tls->in, len);
    if (c->state == CONN_HANDSHAKE) {
        if (!shake_hands(c))
            return;
        opened = true;
    }
    /*
     * Decrypted whole before anybody is told, so that OpenSSL never holds back bytes.
     */
    rv = tls_session_read(c->tls, loop->buffer, NET_LOOP_BUFFER_SIZE, &len, &eof);
    if (!conn_send_scratch(c) || (opened && !announce_open(c)))
        return;
    deliver(c, loop->buffer, len);
    if (rv < 0)
        conn_fail(c, rv, "TLS: %s", tls_session_diag(c->tls));
    else if (eof && c->state != CONN_CLOSED)
        on_peer_end(c);
    else
        conn_update_events(c);
}

static void read_plain(struct net_conn *c)
{
    size_t len = receive(c, c->loop->buffer, NET_LOOP_BUFFER_SIZE);

    deliver(c, c->loop->buffer, len);
}

/* The connection's error, or that both directions are shut. */
static void on_hangup(struct net_conn *c)
{
    int err = 0;
    socklen_t len = sizeof(err);

    getsockopt(c->io.fd, SOL_SOCKET, SO_ERROR, &err, &len);
    conn_fail_errno(c, "connection", err ? err : ECONNRESET);
}

static void on_readable(struct net_conn *c, uint32_t events)
{
    bool reads = !c->eof && (c->state != CONN_OPEN || !c->paused);

    if (c->state == CONN_HANDSHAKE && c->listener && !c->greeted) {
        if (c->loop->n_handshakes >= LOOP_MAX_HANDSHAKES)
            return; /* level triggered: seen again in the next turn */
        c->loop->n_handshakes++;
        c->greeted = true;
    }
    if (reads && c->tls)
        read_tls(c);
    else if (reads)
        read_plain(c);
    else if (events & (EPOLLERR | EPOLLHUP))
        on_hangup(c);
    else if (events & EPOLLRDHUP) {
        tell_eof(c);
        conn_update_events(c);
    }
}

void conn_on_events(struct net_io *io, uint32_t events)
{
    struct net_conn *c = container_of(io, struct net_conn, io);

    if (c->state == CONN_DIALING) {
        conn_dial_events(c, events);
        return;
    }
    if (events & EPOLLOUT) {
        c->blocked = false;
        conn_flush(c);
    }
    if (c->state != CONN_CLOSED && (events & ~(uint32_t)EPOLLOUT))
        on_readable(c, events);
}

void conn_connected(struct net_conn *c)
{
    if (!c->tls) {
        conn_update_events(c);
        if (c->state != CONN_CLOSED)
            announce_open(c);
        return;
    }
    c->state = CONN_HANDSHAKE;
    if (!c->dial && net_timer_start(&c->timer, CONN_HANDSHAKE_MS) < 0) {
        conn_finish(c, SIO_ERR_NOMEM);
        return;
    }
    if (c->dial) /* a client speaks first */
        shake_hands(c);
    else
        conn_update_events(c);
}
