#include <config.h>

#include "engineio/transport.h"

#include "base/base64.h"
#include "base/list.h"
#include "base/mem.h"
#include "base/str.h"
#include "engineio/jsonp.h"
#include "engineio/payload3.h"
#include "engineio/session.h"

struct polling {
    struct eio_transport base;
    struct http_request *poll; /* the waiting GET, or NULL; borrowed */
    struct http_request
        *post;       /* the POST whose body is on its way, or NULL; borrowed */
    uint32_t script; /* JSONP: index of the page's callback, plus 1; 0: no JSONP */
    bool ping_due;
};

/* How this client is answered. */
struct style {
    bool protocol_3;
    uint32_t script; /* as in struct polling */
};

/* Slices of a reply that need no allocation: 16 small packets and a large one. */
#define REPLY_SLICES 48

/* A reply to a poll while it is put together. */
struct reply {
    struct style style;
    uint32_t n_queued; /* packets from the queue */
    bool closes;       /* it is a close packet */
    bool binary;       /* protocol 3: the binary shape of a payload */
    size_t max_slices;
    struct sio_slice *slices;
    size_t n;
    uint32_t n_packets;
    struct eio_msg *only; /* the message that is all of it, or NULL */
    bool no_compress;     /* one of its messages says so */
    /* Protocol 3: of each packet. */
    char heads[EIO_PAYLOAD_MAX_PACKETS][EIO_PAYLOAD3_HEAD_MAX];
};

static struct polling *polling_of(struct eio_transport *t)
{
    return container_of(t, struct polling, base);
}

static const struct polling *const_polling_of(const struct eio_transport *t)
{
    return (const struct polling *)(const void *)t;
}

static struct style style_of(const struct polling *p)
{
    return (struct style){eio_session_protocol(p->base.session) == 3, p->script};
}

struct eio_transport *eio_polling_new(struct eio_session *s, const uint32_t *script)
{
    struct polling *p = mem_new(struct polling);

    if (!p)
        return NULL;
    p->base.ops = &eio_polling_ops;
    p->base.session = s;
    p->script = script ? *script + 1 : 0;
    return &p->base;
}

/* A payload as the answer to a GET. */
static int reply_payload(struct http_request *r, bool binary,
                         const struct sio_slice *body, size_t n)
{
    http_reply_field(r, "Cache-Control", SIO_STR("no-store"));
    return http_reply(r, 200,
                      binary ? "application/octet-stream" : "text/plain; charset=UTF-8",
                      body, n);
}

/* The same as a script.  Its type is what servers have always called it. */
static int reply_script(struct http_request *r, uint32_t index,
                        const struct sio_slice *payload, size_t n)
{
    struct sio_slice body;
    struct sio_buf *script;
    struct wbuf w;
    int rv;

    wbuf_init(&w, UINT32_MAX);
    eio_jsonp_write(&w, index, payload, n);
    script = wbuf_take(&w);
    wbuf_fini(&w);
    if (!script) {
        http_reply_error(r, 500, "Out of memory");
        return SIO_ERR_NOMEM;
    }
    body = sio_slice_of(script);
    rv = reply_payload(r, false, &body, 1);
    sio_buf_unref(script);
    return rv;
}

static int reply_styled(struct http_request *r, struct style style, bool binary,
                        const struct sio_slice *payload, size_t n)
{
    if (style.script > 0)
        return reply_script(r, style.script - 1, payload, n);
    return reply_payload(r, binary, payload, n);
}

/* A reply of one packet that is no message. */
static int reply_packet(struct http_request *r, struct style style,
                        struct sio_str packet)
{
    char head[EIO_PAYLOAD3_HEAD_MAX];
    struct sio_slice body[] = {
        {NULL, (const uint8_t *)head, 0},
        {NULL, (const uint8_t *)packet.ptr, packet.len},
    };

    if (!style.protocol_3)
        return reply_styled(r, style, false, &body[1], 1);
    body[0].len = eio_payload3_head(head, eio_payload3_units(packet.ptr, packet.len));
    return reply_styled(r, style, false, body, 2);
}

static int reply_type(struct http_request *r, struct style style,
                      enum eio_packet_type type)
{
    const char packet = (char)('0' + type);

    return reply_packet(r, style, (struct sio_str){&packet, 1});
}

int eio_polling_open(struct eio_transport *t, struct http_request *r,
                     struct sio_str packet)
{
    return reply_packet(r, style_of(polling_of(t)), packet);
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

/* What stands in front of a packet: a separator, or what protocol 3 says of it. */
static void add_front(struct reply *reply, bool text, size_t len)
{
    uint32_t i = reply->n_packets++;
    struct sio_slice s = {NULL, &separator, 1};

    if (reply->style.protocol_3) {
        char *head = reply->heads[i];

        s.ptr = (const uint8_t *)head;
        s.len = reply->binary ? eio_payload3_head_binary(head, text, len)
                              : eio_payload3_head(head, len);
    } else if (i == 0) {
        return;
    }
    reply->slices[reply->n++] = s;
}

static void add_packet(struct reply *reply, const uint8_t *type)
{
    add_front(reply, true, 1);
    reply->slices[reply->n++] = (struct sio_slice){NULL, type, 1};
}

static int add_message(struct reply *reply, struct eio_msg *msg, uint32_t part)
{
    bool text = msg->parts[part].text;
    size_t len = 0;
    size_t n;

    if (!reply->style.protocol_3) {
        add_front(reply, text, 0);
        if (eio_msg_payload(msg, part, &reply->slices[reply->n], &n) < 0)
            return SIO_ERR_NOMEM;
        reply->n += n;
        return SIO_OK;
    }
    len = reply->binary ? eio_msg_body_len(msg, part) : eio_msg_body_units(msg, part);
    add_front(reply, text, len);
    reply->n += eio_msg_body(msg, part, &reply->slices[reply->n]);
    return SIO_OK;
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
            reply->binary |= reply->style.protocol_3 && !msg->parts[part].text;
            reply->n_queued++;
            room--;
        }
    }
    /*
     * Not behind messages: clients hand these on after they have read the whole payload,
     * and the last of them may say why it ends.
     */
    reply->closes = s->state == EIO_CLOSING && reply->n_queued == 0 && !p->ping_due;
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
        reply->only = reply->n_packets == 0 && part == 0 ? msg : NULL;
        reply->no_compress |= msg->no_compress;
        for (; part < msg->n_parts && left > 0; part++, left--)
            if (add_message(reply, msg, part) < 0)
                return SIO_ERR_NOMEM;
    }
    if (reply->closes)
        add_packet(reply, &close_packet);
    if (reply->only && reply->n_packets < reply->only->n_parts)
        reply->only = NULL;
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

/*
 * What is broadcast to many that poll is, for most of them, a reply of its own, and
 * compressed once.
 */
static void allow_compression(const struct polling *p, struct reply *reply)
{
    size_t min_bytes = p->base.session->table->poll_compress_min;
    struct eio_msg *msg = reply->only;

    if (reply->style.protocol_3 || reply->style.script > 0)
        msg = NULL; /* its bytes depend on more than the message */
    if (min_bytes > 0 && !reply->no_compress)
        http_reply_compress(p->poll, min_bytes, msg ? &msg->coded : NULL);
}

/* Answers the waiting GET as planned. */
static int answer_poll(struct polling *p, struct reply *reply)
{
    int rv = fill_reply(p, reply);

    if (rv < 0)
        return rv;
    p->ping_due = false;
    allow_compression(p, reply);
    rv = reply_styled(take_poll(p), reply->style, reply->binary, reply->slices,
                      reply->n);
    if (rv == SIO_OK)
        mark_sent(&p->base.session->queue, reply->n_queued);
    return rv;
}

/* The heads need no clearing. */
static void begin_reply(const struct polling *p, struct reply *reply,
                        struct sio_slice *slices)
{
    reply->style = style_of(p);
    reply->n_queued = 0;
    reply->binary = false;
    reply->slices = slices;
    reply->n = 0;
    reply->n_packets = 0;
    reply->only = NULL;
    reply->no_compress = false;
}

static int polling_flush(struct eio_transport *t)
{
    struct polling *p = polling_of(t);
    struct sio_slice small[REPLY_SLICES];
    struct reply reply;
    int rv = SIO_ERR_NOMEM;

    if (!p->poll)
        return SIO_OK;
    begin_reply(p, &reply, small);
    plan_reply(p, &reply);
    if (reply.n_queued == 0 && !p->ping_due && !reply.closes)
        return SIO_OK;
    if (reply.max_slices > REPLY_SLICES)
        reply.slices = mem_array(reply.max_slices, sizeof(*reply.slices));
    if (reply.slices)
        rv = answer_poll(p, &reply);
    if (reply.slices != small)
        mem_free(reply.slices);
    if (rv == SIO_OK && reply.closes) {
        eio_session_drained(t->session);
        dissolve(p, NULL);
    }
    return rv;
}

/* A pong keeps its place among the answers to what came with the ping. */
static void polling_heartbeat(struct eio_transport *t)
{
    if (style_of(polling_of(t)).protocol_3) {
        eio_session_queue(t->session, SIO_STR("3"));
        return;
    }
    polling_of(t)->ping_due = true;
    eio_session_flush(t->session);
}

static void polling_finish(struct eio_transport *t, enum eio_close_reason reason)
{
    (void)reason;
    eio_session_flush(t->session);
}

/* A client that said goodbye itself is let go with a noop. */
static void polling_close(struct eio_transport *t, enum eio_close_reason reason)
{
    struct style style = style_of(polling_of(t));
    struct http_request *poll = dissolve(polling_of(t), NULL);

    if (poll)
        reply_type(poll, style,
                   reason == EIO_CLOSE_TRANSPORT_CLOSE ? EIO_PACKET_NOOP
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
    .heartbeat = polling_heartbeat,
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
    eio_session_flush(t->session);
}

void eio_polling_release(struct eio_transport *t)
{
    struct polling *p = polling_of(t);
    struct eio_session *s = t->session;

    eio_session_flush(s);
    if (s->transport == t && p->poll)
        reply_type(take_poll(p), style_of(p), EIO_PACKET_NOOP);
}

bool eio_polling_retire(struct eio_transport *t)
{
    bool ping_due = polling_of(t)->ping_due;
    struct style style = style_of(polling_of(t));
    struct http_request *poll = dissolve(polling_of(t), NULL);

    if (poll)
        reply_type(poll, style, EIO_PACKET_NOOP);
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

    if (p->post || (!style_of(p).protocol_3 && is_octet_stream(r))) {
        eio_session_fail(t->session, EIO_CLOSE_TRANSPORT_ERROR);
        eio_refuse(r, 400, EIO_REFUSE_REQUEST, NULL);
        return;
    }
    p->post = r;
    http_request_set_data(r, t);
}

/* Reads the next packet of a payload. */
typedef int (*next_packet)(struct sio_str *rest, struct eio_packet *out);

/* The packets of a POST in order, until one is bad or ends the session. */
static int receive_payload(struct eio_session *s, struct sio_slice body,
                           next_packet next)
{
    struct sio_str rest = {body.len > 0 ? (const char *)body.ptr : "", body.len};
    struct eio_packet packet;
    int rv;

    while ((rv = next(&rest, &packet)) > 0) {
        rv = eio_session_receive(s, &packet, body.buf);
        if (rv < 0 || s->state == EIO_CLOSED)
            break;
    }
    return rv;
}

static int receive_form(struct eio_session *s, struct sio_slice form, next_packet next)
{
    struct sio_buf *payload;
    int rv =
        eio_jsonp_form((struct sio_str){(const char *)form.ptr, form.len}, &payload);

    if (rv < 0)
        return rv;
    rv = receive_payload(s, sio_slice_of(payload), next);
    sio_buf_unref(payload);
    return rv;
}

static int receive_post(struct eio_session *s, struct style style,
                        const struct http_request *r)
{
    struct sio_slice body = http_request_body(r);
    next_packet next = style.protocol_3 ? eio_payload3_next : eio_payload_next;

    if (style.script > 0)
        return receive_form(s, body, next);
    if (style.protocol_3 && is_octet_stream(r))
        next = eio_payload3_next_binary;
    return receive_payload(s, body, next);
}

void eio_polling_post(struct http_request *r)
{
    struct eio_transport *t = http_request_data(r);
    struct eio_session *s;
    struct style style;
    int rv = SIO_OK;

    if (!t) {
        eio_refuse(r, 400, EIO_REFUSE_SID, NULL);
        return;
    }
    s = t->session;
    style = style_of(polling_of(t));
    polling_of(t)->post = NULL;
    http_request_set_data(r, NULL);
    if (s->state != EIO_CLOSED)
        rv = receive_post(s, style, r);
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
