#include <config.h>

#include "engineio/transport.h"

#include "base/base64.h"
#include "base/list.h"
#include "base/mem.h"
#include "base/str.h"
#include "engineio/session.h"

struct polling {
    struct eio_transport base;
    struct http_request *poll; /* the waiting GET, or NULL; borrowed */
    struct http_request
        *post; /* the POST whose body is on its way, or NULL; borrowed */
    bool ping_due;
};

/* Slices of a reply that need no allocation: 16 small packets and a large one. */
#define REPLY_SLICES 48

/* A reply to a poll while it is put together. */
struct reply {
    uint32_t n_queued; /* packets from the queue */
    bool closes;       /* the close packet is its last */
    size_t max_slices;
    struct sio_slice *slices;
    size_t n;
    uint32_t n_packets;
};

static struct polling *polling_of(struct eio_transport *t)
{
    return container_of(t, struct polling, base);
}

static const struct polling *const_polling_of(const struct eio_transport *t)
{
    return (const struct polling *)(const void *)t;
}

struct eio_transport *eio_polling_new(struct eio_session *s)
{
    struct polling *p = mem_new(struct polling);

    if (!p)
        return NULL;
    p->base.ops = &eio_polling_ops;
    p->base.session = s;
    return &p->base;
}

int eio_polling_reply(struct http_request *r, const struct sio_slice *body, size_t n)
{
    http_reply_field(r, "Cache-Control", SIO_STR("no-store"));
    return http_reply(r, 200, "text/plain; charset=UTF-8", body, n);
}

/* A reply of one packet that carries nothing. */
static int reply_packet(struct http_request *r, enum eio_packet_type type)
{
    const uint8_t packet = (uint8_t)('0' + type);
    struct sio_slice body = {NULL, &packet, 1};

    return eio_polling_reply(r, &body, 1);
}

static void reply_ok(struct http_request *r)
{
    http_reply_field(r, "Cache-Control", SIO_STR("no-store"));
    http_reply_bytes(r, 200, "text/html", "ok", 2);
}

/* Takes the waiting GET out of p, so that nothing answers it twice. */
static struct http_request *take_poll(struct polling *p)
{
    struct http_request *r = p->poll;

    p->poll = NULL;
    if (r)
        http_request_set_data(r, NULL);
    return r;
}

/*
 * Lets go of both requests and frees p.  A POST that is left is answered when its
 * body is there.
 */
static struct http_request *dissolve(struct polling *p, struct http_request **post)
{
    struct http_request *poll = take_poll(p);

    if (p->post)
        http_request_set_data(p->post, NULL);
    if (post)
        *post = p->post;
    mem_free(p);
    return poll;
}

static bool polling_writable(const struct eio_transport *t)
{
    return const_polling_of(t)->poll != NULL;
}

/* What is emitted in one turn goes in one reply, so it is always queued. */
static int polling_send(struct eio_transport *t, struct eio_msg *msg)
{
    (void)t;
    (void)msg;
    return SIO_ERR_AGAIN;
}

static const uint8_t separator = EIO_PACKET_SEPARATOR;
static const uint8_t ping_packet = '0' + EIO_PACKET_PING;
static const uint8_t close_packet = '0' + EIO_PACKET_CLOSE;

static void add_separator(struct reply *reply)
{
    if (reply->n_packets++ > 0)
        reply->slices[reply->n++] = (struct sio_slice){NULL, &separator, 1};
}

static void add_packet(struct reply *reply, const uint8_t *type)
{
    add_separator(reply);
    reply->slices[reply->n++] = (struct sio_slice){NULL, type, 1};
}

/* Decides what goes in the next reply, and how many slices that takes at most. */
static void plan_reply(const struct polling *p, struct reply *reply)
{
    struct eio_session *s = p->base.session;
    uint32_t room = EIO_PAYLOAD_MAX_PACKETS - p->ping_due;
    struct eio_msg *msg;
    uint32_t part;
    uint32_t it = 0;

    reply->max_slices = 4; /* a ping and a close packet */
    while (room > 0 && (msg = eio_queue_walk(&s->queue, &it, &part))) {
        for (; part < msg->n_parts && room > 0; part++) {
            reply->max_slices += 1 + msg->parts[part].n_slices;
            reply->n_queued++;
            room--;
        }
    }
    /* With room left, the queue has been walked to its end. */
    reply->closes = s->state == EIO_CLOSING && room > 0;
}

static int fill_reply(const struct polling *p, struct reply *reply)
{
    uint32_t left = reply->n_queued;
    struct eio_msg *msg;
    uint32_t part;
    uint32_t it = 0;

    if (p->ping_due)
        add_packet(reply, &ping_packet);
    while (left > 0 && (msg = eio_queue_walk(&p->base.session->queue, &it, &part))) {
        for (; part < msg->n_parts && left > 0; part++, left--) {
            size_t n;

            add_separator(reply);
            if (eio_msg_payload(msg, part, &reply->slices[reply->n], &n) < 0)
                return SIO_ERR_NOMEM;
            reply->n += n;
        }
    }
    if (reply->closes)
        add_packet(reply, &close_packet);
    return SIO_OK;
}

/* Takes from the queue what a reply has carried. */
static void mark_sent(struct eio_queue *q, uint32_t n_packets)
{
    while (n_packets > 0) {
        uint32_t part;
        uint32_t left = eio_queue_front(q, &part)->n_parts - part;
        uint32_t n = left < n_packets ? left : n_packets;

        eio_queue_sent(q, n);
        n_packets -= n;
    }
}

/* Answers the waiting GET as planned. */
static int answer_poll(struct polling *p, struct reply *reply)
{
    int rv = fill_reply(p, reply);

    if (rv < 0)
        return rv;
    p->ping_due = false;
    rv = eio_polling_reply(take_poll(p), reply->slices, reply->n);
    if (rv == SIO_OK)
        mark_sent(&p->base.session->queue, reply->n_queued);
    return rv;
}

static void polling_flush(struct eio_transport *t)
{
    struct polling *p = polling_of(t);
    struct eio_session *s = t->session;
    struct sio_slice small[REPLY_SLICES];
    struct reply reply = {.slices = small};
    int rv = SIO_ERR_NOMEM;

    if (!p->poll)
        return;
    plan_reply(p, &reply);
    if (reply.n_queued == 0 && !p->ping_due && !reply.closes)
        return;
    if (reply.max_slices > REPLY_SLICES)
        reply.slices = mem_array(reply.max_slices, sizeof(*reply.slices));
    if (reply.slices)
        rv = answer_poll(p, &reply);
    if (reply.slices != small)
        mem_free(reply.slices);
    if (rv < 0) {
        eio_session_fail(s, EIO_CLOSE_TRANSPORT_ERROR);
    } else if (reply.closes) {
        eio_session_drained(s);
        dissolve(p, NULL);
    }
}

static void polling_ping(struct eio_transport *t)
{
    polling_of(t)->ping_due = true;
    polling_flush(t);
}

static void polling_finish(struct eio_transport *t, enum eio_close_reason reason)
{
    (void)reason;
    polling_flush(t);
}

/* A client that said goodbye itself is let go with a noop. */
static void polling_close(struct eio_transport *t, enum eio_close_reason reason)
{
    struct http_request *poll = dissolve(polling_of(t), NULL);

    if (poll)
        reply_packet(poll, reason == EIO_CLOSE_TRANSPORT_CLOSE ? EIO_PACKET_NOOP
                                                               : EIO_PACKET_CLOSE);
}

static void polling_abort(struct eio_transport *t)
{
    struct http_request *post;
    struct http_request *poll = dissolve(polling_of(t), &post);

    if (poll)
        net_conn_abort(http_request_conn(poll), SIO_ERR_CLOSED);
    if (post)
        net_conn_abort(http_request_conn(post), SIO_ERR_CLOSED);
}

/* A reply that was handed over is the connection's, and small or soon taken. */
static size_t polling_pending(const struct eio_transport *t)
{
    (void)t;
    return 0;
}

const struct eio_transport_ops eio_polling_ops = {
    .name = "polling",
    .writable = polling_writable,
    .send = polling_send,
    .flush = polling_flush,
    .ping = polling_ping,
    .finish = polling_finish,
    .close = polling_close,
    .abort = polling_abort,
    .pending = polling_pending,
};

void eio_polling_get(struct eio_transport *t, struct http_request *r)
{
    struct polling *p = polling_of(t);

    if (p->poll) {
        eio_session_fail(t->session, EIO_CLOSE_TRANSPORT_ERROR);
        eio_refuse(r, 400, EIO_REFUSE_REQUEST, NULL);
        return;
    }
    p->poll = r;
    http_request_set_data(r, t);
    polling_flush(t);
}

void eio_polling_release(struct eio_transport *t)
{
    struct polling *p = polling_of(t);
    struct eio_session *s = t->session;

    polling_flush(t);
    if (s->transport == t && p->poll)
        reply_packet(take_poll(p), EIO_PACKET_NOOP);
}

bool eio_polling_retire(struct eio_transport *t)
{
    bool ping_due = polling_of(t)->ping_due;
    struct http_request *poll = dissolve(polling_of(t), NULL);

    if (poll)
        reply_packet(poll, EIO_PACKET_NOOP);
    return ping_due;
}

static bool is_octet_stream(const struct http_request *r)
{
    struct sio_str type = http_request_field(r, "Content-Type");

    if (!type.ptr)
        return false;
    return str_ieq(str_trim(str_cut(&type, ';')), SIO_STR("application/octet-stream"));
}

void eio_polling_post_head(struct eio_transport *t, struct http_request *r)
{
    struct polling *p = polling_of(t);

    if (p->post || is_octet_stream(r)) {
        eio_session_fail(t->session, EIO_CLOSE_TRANSPORT_ERROR);
        eio_refuse(r, 400, EIO_REFUSE_REQUEST, NULL);
        return;
    }
    p->post = r;
    http_request_set_data(r, t);
}

/* The packets of a POST in order, until one is bad or ends the session. */
static int receive_payload(struct eio_session *s, struct sio_slice body)
{
    struct sio_str rest = {body.len > 0 ? (const char *)body.ptr : "", body.len};
    struct eio_packet packet;
    int rv;

    while ((rv = eio_payload_next(&rest, &packet)) > 0) {
        rv = eio_session_receive(s, &packet, body.buf);
        if (rv < 0 || s->state != EIO_OPEN)
            break;
    }
    return rv;
}

void eio_polling_post(struct http_request *r)
{
    struct eio_transport *t = http_request_data(r);
    struct eio_session *s;
    int rv = SIO_OK;

    if (!t) {
        eio_refuse(r, 400, EIO_REFUSE_SID, NULL);
        return;
    }
    s = t->session;
    polling_of(t)->post = NULL;
    http_request_set_data(r, NULL);
    if (s->state == EIO_OPEN)
        rv = receive_payload(s, http_request_body(r));
    if (rv < 0)
        eio_refuse(r, 400, EIO_REFUSE_REQUEST, NULL);
    else
        reply_ok(r);
    if (rv < 0)
        eio_session_fail(s, eio_session_reason_of(rv));
}

void eio_polling_aborted(struct http_request *r)
{
    struct eio_transport *t = http_request_data(r);
    struct polling *p;

    if (!t)
        return;
    p = polling_of(t);
    if (r == p->poll)
        p->poll = NULL;
    if (r == p->post)
        p->post = NULL;
    /* Too much in one POST was refused with 413, and polling can go on after it. */
    if (http_request_abort_status(r) != 413)
        eio_session_fail(t->session, EIO_CLOSE_TRANSPORT_ERROR);
}
