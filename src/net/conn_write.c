/*
 * conn_write.c - the output queue, and how it is written
 */
#include <config.h>

#include "net/conn_impl.h"

#include <errno.h>
#include <string.h>
#include <sys/uio.h>

#include "base/buf.h"
#include "base/mem.h"

#define CONN_MAX_IOV 1024 /* what Linux takes at once */

/* The output queue. */

static void queue_free(struct conn_queue *q)
{
    if (q->v != &q->one)
        mem_free(q->v);
}

/* Makes room for n more slices behind the last one. */
static int queue_reserve(struct conn_queue *q, size_t n)
{
    size_t cap = q->cap > 1 ? q->cap : 8;
    struct sio_slice *v;

    if (n > UINT32_MAX / 4 - q->n)
        return SIO_ERR_NOMEM;
    if (q->head + q->n + n <= q->cap)
        return SIO_OK;
    if (!q->cap && n == 1) {
        q->v = &q->one;
        q->cap = 1;
        return SIO_OK;
    }
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
    queue_free(q);
    q->v = v;
    q->head = 0;
    q->cap = (uint32_t)cap;
    return SIO_OK;
}

void conn_queue_clear(struct conn_queue *q)
{
    for (uint32_t i = 0; i < q->n; i++)
        sio_buf_unref(q->v[q->head + i].buf);
    queue_free(q);
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
        conn_queue_clear(q);
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

/* Which events are wanted. */

static uint32_t wanted_events(const struct net_conn *c)
{
    uint32_t out = c->blocked ? EPOLLOUT : 0;

    if (c->eof)
        return out;
    if (c->state != CONN_OPEN || !c->paused)
        return out | EPOLLIN;
    return c->eof_told ? out : out | EPOLLRDHUP;
}

void conn_update_events(struct net_conn *c)
{
    if (c->state == CONN_DIALING || c->state == CONN_CLOSED)
        return;
    if (net_io_change(c->loop, &c->io, wanted_events(c)) < 0)
        conn_fail_errno(c, "epoll", errno);
}

/* Writing. */

/* Of len bytes the kernel took n, or set errno.  Returns n, or -1 after ending c. */
static ssize_t sent(struct net_conn *c, ssize_t n, size_t len)
{
    if (n < 0 && errno != EAGAIN && errno != ENOBUFS && errno != EINTR) {
        conn_fail_errno(c, "send", errno);
        return -1;
    }
    if (n < 0)
        n = 0;
    c->bytes_out += (size_t)n;
    c->blocked = (size_t)n < len;
    return n;
}

static ssize_t send_piece(struct net_conn *c, const void *p, size_t len)
{
    return sent(c, send(c->io.fd, p, len, MSG_NOSIGNAL), len);
}

static ssize_t send_many(struct net_conn *c)
{
    struct iovec iov[CONN_MAX_IOV];
    struct msghdr msg = {.msg_iov = iov};
    size_t total;

    msg.msg_iovlen = queue_iov(&c->out, iov, CONN_MAX_IOV, &total);
    return sent(c, sendmsg(c->io.fd, &msg, MSG_NOSIGNAL), total);
}

static void write_plain(struct net_conn *c)
{
    while (c->out.n && !c->blocked) {
        const struct sio_slice *first = &c->out.v[c->out.head];
        /* One, as most often: sendmsg would cost more than send. */
        ssize_t n =
            c->out.n == 1 ? send_piece(c, first->ptr, first->len) : send_many(c);

        if (n < 0)
            return;
        queue_sent(&c->out, (size_t)n);
    }
}

bool conn_send_scratch(struct net_conn *c)
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
        if (!conn_send_scratch(c))
            return;
    }
}

static bool has_left(const struct net_conn *c)
{
    return c->tls && tls_session_left(c->tls).len > 0;
}

/* All is sent: FIN, and wait for the peer's. */
static void begin_linger(struct net_conn *c)
{
    if (c->tls && !c->notified) {
        c->notified = true;
        tls_session_shutdown(c->tls);
        if (!conn_send_scratch(c) || has_left(c))
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
        loop_ready(c->loop, &c->drain);
    }
}

void conn_on_drained(struct net_task *task)
{
    struct net_conn *c = container_of(task, struct net_conn, drain);

    if (c->state == CONN_OPEN && c->ops->on_drain)
        c->ops->on_drain(c, c->user);
}

void conn_flush(struct net_conn *c)
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
    conn_update_events(c);
}

void conn_on_flush(struct net_task *task)
{
    conn_flush(container_of(task, struct net_conn, work));
}

int net_conn_send(struct net_conn *c, const struct sio_slice *slices, size_t n)
{
    int rv;

    if (c->state > CONN_OPEN)
        return SIO_ERR_CLOSED;
    rv = queue_add(&c->out, slices, n);
    if (rv < 0)
        return rv;
    (void)net_conn_full(c);
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

bool net_conn_full(struct net_conn *c)
{
    /* Sending is not the only way over the mark: TLS adds to what waits. */
    if (net_conn_pending(c) < c->high)
        return false;
    c->full = true;
    return true;
}
