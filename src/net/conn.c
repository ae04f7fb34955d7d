/*
 * conn.c - reading, the output queue, and the end of a connection
 */
#include <config.h>

#include "net/conn_impl.h"

#include <arpa/inet.h>
#include <assert.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/mem.h"

#define CONN_HIGH         (256 * 1024)
#define CONN_LOW          (64 * 1024)
#define CONN_MAX_IOV      64
#define CONN_FLUSH_MS     30000
#define CONN_HANDSHAKE_MS 10000

static void on_events(struct net_io *io, uint32_t events);
static void on_ready(struct net_task *task);
static void on_flush(struct net_task *task);
static void on_reap(struct net_task *task);
static void on_timer(struct net_timer *timer, void *user);

/* The output queue. */

/* Makes room for n more slices behind the last one. */
static int queue_reserve(struct conn_queue *q, size_t n)
{
    size_t cap = q->cap ? q->cap : 8;
    struct sio_slice *v;

    if (n > UINT32_MAX / 4 - q->n)
        return SIO_ERR_NOMEM;
    if (q->head + q->n + n <= q->cap)
        return SIO_OK;
    if (q->n + n <= q->cap / 2) {
        memmove(q->v, q->v + q->head, q->n * sizeof(*q->v));
        q->head = 0;
        return SIO_OK;
    }
    while (cap < q->n + n)
        cap *= 2;
    v = mem_raw(cap * sizeof(*v));
    if (!v)
        return SIO_ERR_NOMEM;
    if (q->n)
        memcpy(v, q->v + q->head, q->n * sizeof(*v));
    mem_free(q->v);
    q->v = v;
    q->head = 0;
    q->cap = (uint32_t)cap;
    return SIO_OK;
}

static void queue_clear(struct conn_queue *q)
{
    for (uint32_t i = 0; i < q->n; i++)
        sio_buf_unref(q->v[q->head + i].buf);
    mem_free(q->v);
    *q = (struct conn_queue){0};
}

/* The first len bytes are sent. */
static void queue_sent(struct conn_queue *q, size_t len)
{
    q->bytes -= len;
    while (len) {
        struct sio_slice *first = &q->v[q->head];

        if (len < first->len) {
            first->ptr += len;
            first->len -= len;
            return;
        }
        len -= first->len;
        sio_buf_unref(first->buf);
        q->head++;
        q->n--;
    }
    if (!q->n)
        queue_clear(q);
}

static size_t queue_iov(const struct conn_queue *q, struct iovec *iov, size_t max,
                        size_t *total)
{
    size_t n = q->n < max ? q->n : max;

    *total = 0;
    for (size_t i = 0; i < n; i++) {
        const struct sio_slice *s = &q->v[q->head + i];

        iov[i] =
            (struct iovec){.iov_base = (void *)(uintptr_t)s->ptr, .iov_len = s->len};
        *total += s->len;
    }
    return n;
}

/*
 * The next bytes of the queue in one piece, at most max; copied to scratch if need be.
 */
static const uint8_t *queue_piece(const struct conn_queue *q, uint8_t *scratch,
                                  size_t max, size_t *len)
{
    const struct sio_slice *s = &q->v[q->head];
    size_t n = 0;

    if (s->len >= max || q->n == 1) {
        *len = s->len < max ? s->len : max;
        return s->ptr;
    }
    for (uint32_t i = 0; i < q->n && n < max; i++) {
        size_t part = s[i].len < max - n ? s[i].len : max - n;

        memcpy(scratch + n, s[i].ptr, part);
        n += part;
    }
    *len = n;
    return scratch;
}

/* Borrowed slices are copied into one buf, in order. */
static int queue_copies(const struct sio_slice *slices, size_t n, struct sio_buf **out)
{
    size_t len = 0;

    *out = NULL;
    for (size_t i = 0; i < n; i++)
        if (!slices[i].buf)
            len += slices[i].len;
    if (!len)
        return SIO_OK;
    *out = sio_buf_new(len);
    return *out ? SIO_OK : SIO_ERR_NOMEM;
}

static int queue_add(struct conn_queue *q, const struct sio_slice *slices, size_t n)
{
    struct sio_buf *copies;
    size_t used = 0;

    if (queue_reserve(q, n) < 0 || queue_copies(slices, n, &copies) < 0)
        return SIO_ERR_NOMEM;
    for (size_t i = 0; i < n; i++) {
        struct sio_slice *to = &q->v[q->head + q->n];

        if (!slices[i].len)
            continue;
        *to = slices[i];
        if (to->buf) {
            sio_buf_ref(to->buf);
        } else {
            to->buf = sio_buf_ref(copies);
            to->ptr = copies->data + used;
            memcpy(copies->data + used, slices[i].ptr, slices[i].len);
            used += slices[i].len;
        }
        q->bytes += to->len;
        q->n++;
    }
    sio_buf_unref(copies);
    return SIO_OK;
}

/* Beginning and end. */

struct net_conn *conn_new(struct net_loop *loop)
{
    struct net_conn *c = mem_new(struct net_conn);

    if (!c)
        return NULL;
    c->io.fd = -1;
    c->io.on_events = on_events;
    c->loop = loop;
    c->high = CONN_HIGH;
    c->low = CONN_LOW;
    c->work.run = on_flush;
    c->ready.run = on_ready;
    list_init(&c->work.link);
    list_init(&c->ready.link);
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
    list_remove(&c->ready.link);
    tls_session_free(c->tls);
    queue_clear(&c->out);
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
    list_remove(&c->ready.link);
    list_remove(&c->work.link);
    queue_clear(&c->out);
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

/* A system call failed with err. */
static void fail_errno(struct net_conn *c, const char *what, int err)
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

/* Which events are wanted.  One epoll_ctl, and only for a change. */

static bool has_left(const struct net_conn *c)
{
    return c->tls && tls_session_left(c->tls).len > 0;
}

static uint32_t wanted_events(const struct net_conn *c)
{
    uint32_t out = c->blocked ? EPOLLOUT : 0;

    if (c->eof)
        return out;
    if (c->state != CONN_OPEN || !c->paused)
        return out | EPOLLIN;
    return c->eof_told ? out : out | EPOLLRDHUP;
}

static void update_events(struct net_conn *c)
{
    if (c->state == CONN_DIALING || c->state == CONN_CLOSED)
        return;
    if (net_io_change(c->loop, &c->io, wanted_events(c)) < 0)
        fail_errno(c, "epoll", errno);
}

/* Writing. */

/* Sends n bytes of out.  Returns what the kernel took, or -1 after ending c. */
static ssize_t send_some(struct net_conn *c, const struct msghdr *msg, size_t total)
{
    ssize_t n;

    do /* one slice, as most often: sendmsg would cost more than send */
        n = msg->msg_iovlen == 1 ? send(c->io.fd, msg->msg_iov[0].iov_base,
                                        msg->msg_iov[0].iov_len, MSG_NOSIGNAL)
                                 : sendmsg(c->io.fd, msg, MSG_NOSIGNAL);
    while (n < 0 && errno == EINTR);
    if (n < 0 && errno != EAGAIN && errno != ENOBUFS) {
        fail_errno(c, "send", errno);
        return -1;
    }
    if (n < 0)
        n = 0;
    c->bytes_out += (size_t)n;
    c->blocked = (size_t)n < total;
    return n;
}

static void write_plain(struct net_conn *c)
{
    while (c->out.n && !c->blocked) {
        struct iovec iov[CONN_MAX_IOV];
        struct msghdr msg = {.msg_iov = iov};
        size_t total;
        ssize_t n;

        msg.msg_iovlen = queue_iov(&c->out, iov, CONN_MAX_IOV, &total);
        n = send_some(c, &msg, total);
        if (n < 0)
            return;
        queue_sent(&c->out, (size_t)n);
    }
}

static ssize_t send_piece(struct net_conn *c, const void *p, size_t len)
{
    struct iovec iov = {.iov_base = (void *)(uintptr_t)p, .iov_len = len};
    struct msghdr msg = {.msg_iov = &iov, .msg_iovlen = 1};

    return send_some(c, &msg, len);
}

/* Sends the scratch space; what is not taken is kept.  False: c has ended. */
static bool send_scratch(struct net_conn *c)
{
    struct loop_tls *scratch = c->loop->tls;
    size_t from = 0;
    int rv = SIO_OK;

    if (scratch->out_len && !c->blocked) {
        ssize_t n = send_piece(c, scratch->out, scratch->out_len);

        if (n < 0) {
            scratch->out_len = 0;
            return false;
        }
        from = (size_t)n;
    }
    if (from < scratch->out_len)
        rv = tls_session_keep(c->tls, from);
    scratch->out_len = 0;
    if (rv < 0)
        conn_fail(c, rv, "TLS: %s", sio_strerror(rv));
    return rv == SIO_OK;
}

/* What an earlier turn left over.  False: c has ended. */
static bool send_left(struct net_conn *c)
{
    struct sio_str left = tls_session_left(c->tls);
    ssize_t n;

    if (!left.len || c->blocked)
        return true;
    n = send_piece(c, left.ptr, left.len);
    if (n < 0)
        return false;
    tls_session_left_sent(c->tls, (size_t)n);
    return true;
}

static void write_tls(struct net_conn *c)
{
    struct loop_tls *scratch = c->loop->tls;

    if (!send_left(c))
        return;
    while (c->out.n && !c->blocked) {
        while (c->out.n && tls_session_has_room(c->tls)) {
            size_t len;
            const uint8_t *p =
                queue_piece(&c->out, scratch->plain, LOOP_TLS_PLAIN_SIZE, &len);

            if (tls_session_write(c->tls, p, len) < 0) {
                scratch->out_len = 0;
                conn_fail(c, SIO_ERR_TLS, "TLS: %s", tls_session_diag(c->tls));
                return;
            }
            queue_sent(&c->out, len);
        }
        if (!send_scratch(c))
            return;
    }
}

/* All is sent: FIN, and wait for the peer's. */
static void begin_linger(struct net_conn *c)
{
    if (c->tls && !c->notified) {
        c->notified = true;
        tls_session_shutdown(c->tls);
        if (!send_scratch(c) || has_left(c))
            return;
    }
    if (c->eof || !c->linger_ms) {
        conn_finish(c, SIO_OK);
        return;
    }
    shutdown(c->io.fd, SHUT_WR);
    c->state = CONN_LINGER;
    if (net_timer_start(&c->timer, c->linger_ms) < 0)
        conn_finish(c, SIO_OK);
}

static void check_drained(struct net_conn *c)
{
    if (c->full && net_conn_pending(c) <= c->low) {
        c->full = false;
        c->drain_due = true;
        loop_ready(c->loop, &c->ready);
    }
}

static void flush(struct net_conn *c)
{
    if (c->state == CONN_OPEN || c->state == CONN_FLUSHING) {
        if (c->tls)
            write_tls(c);
        else
            write_plain(c);
    } else if (c->state == CONN_HANDSHAKE) {
        send_left(c);
    }
    if (c->state == CONN_OPEN)
        check_drained(c);
    else if (c->state == CONN_FLUSHING && !net_conn_pending(c))
        begin_linger(c);
    update_events(c);
}

static void on_flush(struct net_task *task)
{
    flush(container_of(task, struct net_conn, work));
}

/* Reading. */

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
    update_events(c);
}

/* Returns the number of bytes, or 0 when there are none to handle. */
static size_t receive(struct net_conn *c, uint8_t *p, size_t room)
{
    ssize_t n = recv(c->io.fd, p, room, 0);

    if (n > 0) {
        c->bytes_in += (size_t)n;
        return (size_t)n;
    }
    if (n == 0)
        on_peer_end(c);
    else if (errno != EAGAIN && errno != EINTR)
        fail_errno(c, "receive", errno);
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

    if (!send_scratch(c))
        return 0;
    if (rv < 0)
        conn_fail(c, rv, "%s", tls_session_diag(c->tls));
    else
        update_events(c);
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
    if (!send_scratch(c) || (opened && !announce_open(c)))
        return;
    if (len && c->state == CONN_OPEN && c->paused) {
        if (tls_session_hold(c->tls, loop->buffer, len) < 0)
            rv = SIO_ERR_NOMEM;
    } else {
        deliver(c, loop->buffer, len);
    }
    if (rv < 0)
        conn_fail(c, rv, "TLS: %s", tls_session_diag(c->tls));
    else if (eof && c->state != CONN_CLOSED)
        on_peer_end(c);
    else
        update_events(c);
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
    fail_errno(c, "connection", err ? err : ECONNRESET);
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
        update_events(c);
    }
}

static void on_events(struct net_io *io, uint32_t events)
{
    struct net_conn *c = container_of(io, struct net_conn, io);

    if (c->state == CONN_DIALING) {
        conn_dial_events(c, events);
        return;
    }
    if (events & EPOLLOUT) {
        c->blocked = false;
        flush(c);
    }
    if (c->state != CONN_CLOSED && (events & ~(uint32_t)EPOLLOUT))
        on_readable(c, events);
}

/* Held input of a connection that was resumed, and on_drain. */
static void on_ready(struct net_task *task)
{
    struct net_conn *c = container_of(task, struct net_conn, ready);
    struct sio_buf *held;

    if (c->drain_due && c->state == CONN_OPEN) {
        c->drain_due = false;
        if (c->ops->on_drain)
            c->ops->on_drain(c, c->user);
    }
    if (!c->tls || c->paused || c->state != CONN_OPEN)
        return;
    held = tls_session_held_take(c->tls);
    if (held)
        deliver(c, held->data, held->len);
    sio_buf_unref(held);
}

void conn_connected(struct net_conn *c)
{
    if (!c->tls) {
        update_events(c);
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
        update_events(c);
}

/* For the owner. */

void net_conn_set_ops(struct net_conn *c, const struct net_conn_ops *ops, void *user)
{
    c->ops = ops;
    c->user = user;
}

int net_conn_send(struct net_conn *c, const struct sio_slice *slices, size_t n)
{
    int rv;

    if (c->state > CONN_OPEN)
        return SIO_ERR_CLOSED;
    rv = queue_add(&c->out, slices, n);
    if (rv < 0)
        return rv;
    if (net_conn_pending(c) >= c->high)
        c->full = true;
    if (c->state == CONN_OPEN && !c->blocked)
        loop_flush(c->loop, &c->work);
    return SIO_OK;
}

int net_conn_send_bytes(struct net_conn *c, const void *p, size_t len)
{
    struct sio_slice s = {.ptr = p, .len = len};

    return net_conn_send(c, &s, 1);
}

size_t net_conn_pending(const struct net_conn *c)
{
    return c->out.bytes + (c->tls ? tls_session_left(c->tls).len : 0);
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

bool net_conn_full(const struct net_conn *c)
{
    return net_conn_pending(c) >= c->high;
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
    if (c->tls)
        loop_ready(c->loop, &c->ready);
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

uint64_t net_conn_bytes_in(const struct net_conn *c)
{
    return c->bytes_in;
}

uint64_t net_conn_bytes_out(const struct net_conn *c)
{
    return c->bytes_out;
}
