#include <config.h>

#include "engineio/client_impl.h"

#include "base/buf.h"
#include "base/mem.h"
#include "base/str.h"

#define POST_MAX_REPLY   4096
#define POST_MAX_DEFAULT 1000000 /* where the server does not say */

/* A payload as slices: packets joined by 0x1e. */
struct payload {
    struct sio_slice *slices;
    size_t n;
    size_t cap;
    size_t bytes;
    uint32_t n_packets;
    uint32_t n_parts; /* of the queue */
};

static int payload_reserve(struct payload *p, size_t more)
{
    struct sio_slice *slices;
    size_t cap = p->cap ? p->cap * 2 : 32;

    if (p->n + more <= p->cap)
        return SIO_OK;
    while (cap < p->n + more)
        cap *= 2;
    slices = mem_resize(p->slices, cap, sizeof(*slices));
    if (!slices)
        return SIO_ERR_NOMEM;
    p->slices = slices;
    p->cap = cap;
    return SIO_OK;
}

static const struct sio_slice separator = {NULL, (const uint8_t *)"\x1e", 1};

/* One packet that is all ours. */
static int add_control(struct payload *p, const char *packet)
{
    if (payload_reserve(p, 2) < 0)
        return SIO_ERR_NOMEM;
    if (p->n_packets++) {
        p->slices[p->n++] = separator;
        p->bytes++;
    }
    p->slices[p->n++] = (struct sio_slice){NULL, (const uint8_t *)packet, 1};
    p->bytes++;
    return SIO_OK;
}

/* 1: added.  0: the payload is full. */
static int add_part(struct payload *p, struct eio_msg *msg, uint32_t part, size_t max)
{
    size_t before = p->n, n, bytes = 0;

    if (payload_reserve(p, msg->parts[part].n_slices + 1) < 0)
        return SIO_ERR_NOMEM;
    if (p->n_packets) {
        p->slices[p->n++] = separator;
        bytes++;
    }
    if (eio_msg_payload(msg, part, p->slices + p->n, &n) < 0)
        return SIO_ERR_NOMEM;
    for (size_t i = 0; i < n; i++)
        bytes += p->slices[p->n + i].len;
    /* A single packet that is too large goes alone: the server has the last word. */
    if (p->n_packets && p->bytes + bytes > max) {
        p->n = before;
        return 0;
    }
    p->n += n;
    p->bytes += bytes;
    p->n_packets++;
    p->n_parts++;
    return 1;
}

static int collect(struct eio_client *c, struct payload *p)
{
    size_t max = c->max_payload ? c->max_payload : POST_MAX_DEFAULT;
    struct eio_msg *msg;
    uint32_t it = 0, part;
    int rv = 1;

    if (c->pong_due && add_control(p, "3") < 0)
        return SIO_ERR_NOMEM;
    while (rv > 0 && (msg = eio_queue_walk(&c->queue, &it, &part)))
        for (; rv > 0 && part < msg->n_parts; part++)
            rv = p->n_packets < EIO_PAYLOAD_MAX_PACKETS ? add_part(p, msg, part, max)
                                                        : 0;
    if (rv < 0)
        return rv;
    if (rv > 0 && c->state == EIO_CLIENT_CLOSING &&
        p->n_packets < EIO_PAYLOAD_MAX_PACKETS) {
        c->close_sent = true;
        return add_control(p, "1");
    }
    return SIO_OK;
}

static void mark_sent(struct eio_queue *q, uint32_t n_parts)
{
    while (n_parts > 0) {
        uint32_t part, n;
        const struct eio_msg *msg = eio_queue_front(q, &part);

        n = msg->n_parts - part < n_parts ? msg->n_parts - part : n_parts;
        eio_queue_sent(q, n);
        n_parts -= n;
    }
}

static void on_posted(struct http_client *http, const struct http_client_reply *reply,
                      int error, const char *why, void *user)
{
    struct eio_client *c = user;

    (void)http;
    c->post_bytes = 0;
    if (reply)
        eio_client_cookies(c, reply->head);
    if (!reply) {
        eio_client_fail(c, error, "transport error", "POST: %s", why);
        return;
    }
    if (c->state == EIO_CLIENT_CLOSING && c->close_sent) {
        eio_client_end(c, SIO_OK, "io client disconnect", "closed");
        return;
    }
    if (reply->status != 200) {
        eio_client_refused(c, "POST", reply);
        return;
    }
    if (c->probe == EIO_CLIENT_PROBE_PAUSING) {
        eio_client_upgrade_continue(c);
        return;
    }
    eio_client_check_flushed(c);
    if (c->state != EIO_CLIENT_CLOSED)
        eio_client_polling_flush(c);
}

static int post(struct eio_client *c, const struct payload *p)
{
    struct http_client_request r = {
        .method = "POST",
        .type = "text/plain; charset=UTF-8",
        .body = p->slices,
        .n_body = p->n,
        .timeout_ms = c->watch_ms,
    };

    if (!c->post)
        c->post = eio_client_http(c, POST_MAX_REPLY);
    if (!c->post)
        return SIO_ERR_NOMEM;
    return eio_client_request(c, c->post, "polling", "", &r, on_posted);
}

void eio_client_polling_flush(struct eio_client *c)
{
    struct payload p = {0};
    int rv;

    if ((c->post && http_client_busy(c->post)) || c->probe == EIO_CLIENT_PROBE_PAUSING)
        return;
    rv = collect(c, &p);
    if (rv == SIO_OK && p.n_packets)
        rv = post(c, &p);
    if (rv == SIO_OK && p.n_packets) {
        c->post_bytes = p.bytes;
        c->pong_due = false;
        mark_sent(&c->queue, p.n_parts);
    }
    mem_free(p.slices);
    if (rv < 0)
        eio_client_end(c, rv, "transport error", sio_strerror(rv));
}

static void on_payload(struct eio_client *c, struct sio_slice body)
{
    struct sio_str rest = {(const char *)body.ptr, body.len};
    struct eio_packet packet;
    int rv;

    if (!body.len) {
        eio_client_end(c, SIO_ERR_CLOSED, "transport close",
                       "the server ended the poll without a packet");
        return;
    }
    while ((rv = eio_payload_next(&rest, &packet)) == 1) {
        eio_client_packet(c, &packet, body);
        if (c->state == EIO_CLIENT_CLOSED)
            return;
    }
    if (rv < 0)
        eio_client_end(c, rv, "parse error",
                       "a poll brought a packet that is not valid");
}

/* Polling does not work here; WebSocket may.  False: it is not to be tried. */
static bool try_websocket(struct eio_client *c)
{
    if (c->state != EIO_CLIENT_CONNECTING || c->transports != EIO_CLIENT_UPGRADE ||
        !c->try_all)
        return false;
    return eio_client_begin(c, EIO_CLIENT_ON_WEBSOCKET) == SIO_OK;
}

static bool is_coded(const struct http_head *head)
{
    struct sio_str coding;
    size_t i = 0;

    return http_head_find(head, "content-encoding", &i, &coding) &&
           !str_ieq(coding, SIO_STR("identity"));
}

static void on_polled(struct http_client *http, const struct http_client_reply *reply,
                      int error, const char *why, void *user)
{
    struct eio_client *c = user;

    (void)http;
    if (reply)
        eio_client_cookies(c, reply->head);
    if ((!reply || reply->status != 200) && try_websocket(c))
        return;
    if (!reply) {
        eio_client_fail(c, error, "transport error", "poll: %s", why);
        return;
    }
    if (reply->status != 200) {
        eio_client_refused(c, "poll", reply);
        return;
    }
    if (is_coded(reply->head)) {
        eio_client_end(c, SIO_ERR_PROTOCOL, "transport error",
                       "poll: the reply is compressed, which was not asked for");
        return;
    }
    on_payload(c, reply->body);
    if (c->state == EIO_CLIENT_CLOSED)
        return;
    if (c->probe == EIO_CLIENT_PROBE_PAUSING)
        eio_client_upgrade_continue(c);
    else if (eio_client_poll(c) < 0)
        eio_client_end(c, SIO_ERR_NOMEM, "transport error", "out of memory");
}

int eio_client_poll(struct eio_client *c)
{
    struct http_client_request r = {.method = "GET"};

    if (!c->get)
        c->get = eio_client_http(c, c->max_message);
    if (!c->get)
        return SIO_ERR_NOMEM;
    if (http_client_busy(c->get))
        return SIO_OK;
    return eio_client_request(c, c->get, "polling", "", &r, on_polled);
}

bool eio_client_polling_idle(const struct eio_client *c)
{
    return !(c->get && http_client_busy(c->get)) &&
           !(c->post && http_client_busy(c->post));
}
