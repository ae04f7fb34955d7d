/*
 * conn.c - the beginning and the end of a connection
 */
#include <config.h>

#include "net/conn_impl.h"

#include <assert.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/mem.h"

#define CONN_HIGH     (256 * 1024)
#define CONN_LOW      (64 * 1024)
#define CONN_FLUSH_MS 30000

static void on_reap(struct net_task *task);
static void on_timer(struct net_timer *timer, void *user);

struct net_conn *conn_new(struct net_loop *loop)
{
    struct net_conn *c = mem_new(struct net_conn);

    if (!c)
        return NULL;
    c->io.fd = -1;
    c->io.on_events = conn_on_events;
    c->loop = loop;
    c->high = CONN_HIGH;
    c->low = CONN_LOW;
    c->work.run = conn_on_flush;
    c->drain.run = conn_on_drained;
    list_init(&c->work.link);
    list_init(&c->drain.link);
    list_append(&loop->conns, &c->all);
    net_timer_init(&c->timer, loop, on_timer, c);
    return c;
}

void conn_discard(struct net_conn *c)
{
    assert(c->io.fd < 0 && !c->dial);
    net_timer_stop(&c->timer);
    list_remove(&c->all);
    list_remove(&c->work.link);
    list_remove(&c->drain.link);
    tls_session_free(c->tls);
    conn_queue_clear(&c->out);
    mem_free(c->diag);
    mem_free(c);
}

static void on_reap(struct net_task *task)
{
    conn_discard(container_of(task, struct net_conn, work));
}

static void close_fd(struct net_conn *c)
{
    if (c->io.fd < 0)
        return;
    loop_io_forget(c->loop, &c->io);
    close(c->io.fd);
    c->io.fd = -1;
}

void conn_finish(struct net_conn *c, int error)
{
    const struct net_conn_ops *ops = c->ops;

    if (c->state == CONN_CLOSED)
        return;
    c->state = CONN_CLOSED;
    close_fd(c);
    conn_dial_free(c->dial);
    c->dial = NULL;
    net_timer_stop(&c->timer);
    list_remove(&c->all);
    list_remove(&c->drain.link);
    list_remove(&c->work.link);
    conn_queue_clear(&c->out);
    c->work.run = on_reap;
    net_loop_reap(c->loop, &c->work);
    if (c->listener)
        listener_conn_ended(c->listener);
    c->listener = NULL;
    if (ops && ops->on_close)
        ops->on_close(c, error, c->user);
}

void conn_fail(struct net_conn *c, int error, const char *fmt, ...)
{
    char text[256];
    va_list ap;

    if (c->state == CONN_CLOSED)
        return;
    va_start(ap, fmt);
    vsnprintf(text, sizeof(text), fmt, ap);
    va_end(ap);
    mem_free(c->diag);
    c->diag = mem_strndup(text, strlen(text)); /* NULL: then there is no sentence */
    if (!c->ops)
        log_debug(&c->loop->log, "net: connection ended before it was open: %s", text);
    conn_finish(c, error);
}

void conn_fail_errno(struct net_conn *c, const char *what, int err)
{
    int error = SIO_ERR_IO;

    if (c->state ==
        CONN_LINGER) { /* all was sent: how the peer ends is its own affair */
        conn_finish(c, SIO_OK);
        return;
    }
    if (err == ECONNRESET || err == EPIPE)
        error = SIO_ERR_CLOSED;
    else if (err == ETIMEDOUT)
        error = SIO_ERR_TIMEOUT;
    conn_fail(c, error, "%s: %s", what, strerror(err));
}

static void on_timer(struct net_timer *timer, void *user)
{
    struct net_conn *c = user;

    (void)timer;
    switch (c->state) {
    case CONN_HANDSHAKE:
        conn_fail(c, SIO_ERR_TIMEOUT, "TLS handshake: no answer in time");
        break;
    case CONN_LINGER: conn_finish(c, SIO_OK); break;
    case CONN_DIALING:
    case CONN_OPEN:
    case CONN_FLUSHING:
    case CONN_CLOSED: conn_fail(c, SIO_ERR_TIMEOUT, "deadline passed"); break;
    }
}

/* For the owner. */

void net_conn_set_ops(struct net_conn *c, const struct net_conn_ops *ops, void *user)
{
    c->ops = ops;
    c->user = user;
}

void net_conn_set_marks(struct net_conn *c, size_t high, size_t low)
{
    c->high = high;
    c->low = low;
}

void net_conn_set_unsent(struct net_conn *c, uint32_t bytes)
{
    /* Where this fails there is a longer delay, and nothing else. */
    (void)!setsockopt(c->io.fd, IPPROTO_TCP, TCP_NOTSENT_LOWAT, &bytes, sizeof(bytes));
}

/* Both only note it: pausing and resuming in one turn costs no system call. */
void net_conn_pause(struct net_conn *c)
{
    c->paused = true;
    if (c->state == CONN_OPEN)
        loop_flush(c->loop, &c->work);
}

void net_conn_resume(struct net_conn *c)
{
    if (!c->paused)
        return;
    c->paused = false;
    if (c->state != CONN_OPEN)
        return;
    loop_flush(c->loop, &c->work);
}

void net_conn_close(struct net_conn *c, uint32_t linger_ms)
{
    if (c->state > CONN_OPEN)
        return;
    if (c->state != CONN_OPEN) {
        conn_finish(c, SIO_OK);
        return;
    }
    c->state = CONN_FLUSHING;
    c->linger_ms = linger_ms;
    if (net_timer_start(&c->timer, CONN_FLUSH_MS) < 0) {
        conn_finish(c, SIO_ERR_NOMEM);
        return;
    }
    loop_flush(c->loop, &c->work);
}

void net_conn_abort(struct net_conn *c, int error)
{
    conn_finish(c, error);
}

int net_conn_deadline(struct net_conn *c, uint32_t ms)
{
    if (c->state > CONN_OPEN)
        return SIO_ERR_CLOSED;
    if (ms)
        return net_timer_start(&c->timer, ms);
    net_timer_stop(&c->timer);
    return SIO_OK;
}

struct net_loop *net_conn_loop(struct net_conn *c)
{
    return c->loop;
}

const struct net_addr *net_conn_peer(const struct net_conn *c)
{
    return &c->peer;
}

bool net_conn_is_tls(const struct net_conn *c)
{
    return c->tls != NULL;
}

const char *net_conn_diag(const struct net_conn *c)
{
    return c->diag ? c->diag : "";
}

uint64_t net_conn_bytes_out(const struct net_conn *c)
{
    return c->bytes_out;
}
