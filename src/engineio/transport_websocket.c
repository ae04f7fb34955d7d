#include <config.h>

#include "engineio/transport.h"

#include "base/list.h"
#include "base/mem.h"
#include "engineio/probe.h"
#include "engineio/session.h"
#include "http/websocket.h"

struct websocket {
    struct eio_transport base;
    struct ws *ws; /* NULL: has closed */
    struct eio_sessions *table;
    struct list lingering; /* in the table, once the session has left */
};

static struct websocket *websocket_of(struct eio_transport *t)
{
    return container_of(t, struct websocket, base);
}

static const struct websocket *const_websocket_of(const struct eio_transport *t)
{
    return (const struct websocket *)(const void *)t;
}

static bool is_probed(const struct websocket *w)
{
    return w->base.session->transport != &w->base;
}

static void on_message(struct ws *ws, bool text, struct sio_slice msg, void *user)
{
    struct websocket *w = user;
    struct eio_session *s = w->base.session;
    struct sio_str str = {(const char *)msg.ptr, msg.len};
    struct eio_packet packet;
    int rv;

    (void)ws;
    if (!s)
        return;
    if (is_probed(w)) {
        eio_probe_frame(s, text, msg);
        return;
    }
    if (s->state != EIO_OPEN)
        return;
    if (!text) {
        rv = eio_session_receive_binary(s, msg);
    } else {
        rv = eio_session_parse(s, str, &packet);
        if (rv == SIO_OK)
            rv = eio_session_receive(s, &packet, msg.buf);
    }
    if (rv < 0)
        eio_session_fail(s, eio_session_reason_of(rv));
}

static void on_drain(struct ws *ws, void *user)
{
    struct websocket *w = user;

    (void)ws;
    if (w->base.session && !is_probed(w))
        eio_session_flush(w->base.session);
}

static void on_close(struct ws *ws, int code, void *user)
{
    struct websocket *w = user;
    struct eio_session *s = w->base.session;
    struct eio_sessions *table = w->table;

    (void)code;
    w->ws = NULL;
    if (!s) {
        list_remove(&w->lingering);
        mem_free(w);
        table->on_gone(table);
    } else if (is_probed(w)) {
        eio_probe_lost(s);
        mem_free(w);
    } else {
        eio_session_fail(s, ws_failed(ws) ? EIO_CLOSE_TRANSPORT_ERROR
                                          : EIO_CLOSE_TRANSPORT_CLOSE);
    }
}

static const struct ws_ops ws_ops = {
    .on_message = on_message,
    .on_drain = on_drain,
    .on_close = on_close,
};

/* Answers the offers of r.  1: agreed to one; 0: none; SIO_ERR_PARSE, SIO_ERR_NOMEM. */
static int agree_deflate(const struct eio_sessions *table, struct http_request *r,
                         struct ws_deflate_params *p)
{
    struct sio_str offers = http_request_field(r, "Sec-WebSocket-Extensions");
    struct wbuf answer;
    int rv;

    if (!table->deflate || !offers.ptr)
        return 0;
    wbuf_init(&answer, 256);
    rv = ws_deflate_accept(offers, &table->deflate_opts, p, &answer);
    if (rv == 1)
        http_reply_field(r, "Sec-WebSocket-Extensions", wbuf_str(&answer));
    wbuf_fini(&answer);
    return rv;
}

struct eio_transport *eio_websocket_new(struct eio_session *s, struct http_request *r)
{
    struct ws_options opts = {.max_message = s->table->max_payload};
    struct ws_deflate_params deflate;
    struct websocket *w;
    int agreed = agree_deflate(s->table, r, &deflate);

    if (agreed == SIO_ERR_PARSE) {
        eio_refuse_upgrade(r, 400, "Sec-WebSocket-Extensions is not a list");
        return NULL;
    }
    if (agreed == 1)
        opts.deflate = &deflate;
    w = agreed < 0 ? NULL : mem_new(struct websocket);
    if (!w) {
        http_reply_close(r);
        http_reply_error(r, 500, "Out of memory");
        return NULL;
    }
    w->base.ops = &eio_websocket_ops;
    w->base.session = s;
    w->table = s->table;
    list_init(&w->lingering);
    w->ws = ws_accept(r, &opts, &ws_ops, w);
    if (!w->ws) {
        mem_free(w);
        return NULL;
    }
    return &w->base;
}

int eio_websocket_packet(struct eio_transport *t, struct sio_str packet)
{
    struct ws *ws = websocket_of(t)->ws;
    struct sio_slice s = {NULL, (const uint8_t *)packet.ptr, packet.len};

    return ws_full(ws) ? SIO_ERR_FULL : ws_send(ws, WS_TEXT, &s, 1);
}

/* The session leaves w to its connection, which still has to end. */
static void leave(struct websocket *w)
{
    w->base.session = NULL;
    list_append(&w->table->lingering, &w->lingering);
}

static bool websocket_writable(const struct eio_transport *t)
{
    return !ws_full(const_websocket_of(t)->ws) && eio_queue_empty(&t->session->queue);
}

/* Each part is compressed for this client alone: with its former messages in mind. */
static int send_with_takeover(struct websocket *w, const struct eio_msg *msg,
                              uint32_t from)
{
    struct sio_slice few[8];
    struct sio_slice *body = few;
    int rv = SIO_OK;

    if (msg->n_slices > sizeof(few) / sizeof(few[0]))
        body = mem_array(msg->n_slices, sizeof(*body));
    if (!body)
        return SIO_ERR_NOMEM;
    for (uint32_t i = from; i < msg->n_parts && rv == SIO_OK; i++) {
        size_t n = eio_msg_body(msg, i, body);
        enum ws_opcode opcode = msg->parts[i].text ? WS_TEXT : WS_BINARY;
        size_t len = 0;

        for (size_t j = 0; j < n; j++)
            len += body[j].len;
        rv = len < w->table->deflate_min_bytes
                 ? ws_send(w->ws, opcode, body, n)
                 : ws_send_deflated(w->ws, opcode, body, n);
    }
    if (body != few)
        mem_free(body);
    return rv;
}

/* The path of a broadcast: a reference to each slice, and nothing else. */
static int send_frames(struct websocket *w, struct eio_msg *msg, uint32_t from)
{
    const struct ws_deflate_params *p = ws_deflated_how(w->ws);
    const struct sio_slice *frames = NULL;
    size_t n;

    if (p && !msg->no_compress && msg->bytes >= w->table->deflate_min_bytes) {
        const struct eio_msg_pack how = {p->level, p->out_bits,
                                         w->table->deflate_min_bytes};

        if (!p->out_no_takeover)
            return send_with_takeover(w, msg, from);
        frames = eio_msg_packed_frames(msg, from, &how, &n);
    }
    if (!frames)
        frames = eio_msg_frames(msg, from, &n);
    return ws_send_frames(w->ws, frames, n);
}

static int websocket_send(struct eio_transport *t, struct eio_msg *msg)
{
    struct websocket *w = websocket_of(t);

    return ws_full(w->ws) ? SIO_ERR_AGAIN : send_frames(w, msg, 0);
}

/* Moves messages to the connection: until it is full, or all of them. */
static int move_queue(struct websocket *w, bool all)
{
    struct eio_queue *q = &w->base.session->queue;
    struct eio_msg *msg;
    uint32_t part;

    while ((all || !ws_full(w->ws)) && (msg = eio_queue_front(q, &part))) {
        int rv = send_frames(w, msg, part);

        if (rv < 0)
            return rv;
        eio_queue_sent(q, msg->n_parts - part);
    }
    return SIO_OK;
}

static int websocket_flush(struct eio_transport *t)
{
    return t->session->held ? SIO_OK : move_queue(websocket_of(t), false);
}

/*
 * A ping does not wait behind the queue: there is one at a time.  A pong may have to, as
 * there are as many as the client likes: what waits is bounded.
 */
static void websocket_heartbeat(struct eio_transport *t)
{
    static const uint8_t ping[] = {0x80 | WS_TEXT, 1, '0' + EIO_PACKET_PING};
    static const uint8_t pong[] = {0x80 | WS_TEXT, 1, '0' + EIO_PACKET_PONG};
    bool pings = eio_session_protocol(t->session) == 4;
    struct sio_slice s = {NULL, pings ? ping : pong, sizeof(ping)};

    if (!pings && !websocket_writable(t))
        eio_session_queue(t->session, SIO_STR("3"));
    else if (ws_send_frames(websocket_of(t)->ws, &s, 1) < 0)
        eio_session_fail(t->session, EIO_CLOSE_TRANSPORT_ERROR);
}

static int close_code(enum eio_close_reason reason)
{
    switch (reason) {
    case EIO_CLOSE_TRANSPORT_CLOSE:
    case EIO_CLOSE_FORCED: return WS_CLOSE_NORMAL;
    case EIO_CLOSE_SHUTDOWN: return WS_CLOSE_GOING_AWAY;
    case EIO_CLOSE_TRANSPORT_ERROR:
    case EIO_CLOSE_PARSE_ERROR: return WS_CLOSE_PROTOCOL;
    case EIO_CLOSE_PING_TIMEOUT: return WS_CLOSE_INTERNAL;
    }
    return WS_CLOSE_NORMAL;
}

static void websocket_close(struct eio_transport *t, enum eio_close_reason reason)
{
    struct websocket *w = websocket_of(t);

    if (!w->ws) {
        mem_free(w);
        return;
    }
    leave(w);
    ws_close(w->ws, close_code(reason), NULL);
}

/*
 * The connection has its own deadline for a peer that does not read: the session
 * can go at once.
 */
static void websocket_finish(struct eio_transport *t, enum eio_close_reason reason)
{
    struct eio_session *s = t->session;

    if (move_queue(websocket_of(t), true) < 0) {
        eio_session_fail(s, reason);
        return;
    }
    eio_session_drained(s);
    websocket_close(t, reason);
}

static void websocket_abort(struct eio_transport *t)
{
    struct websocket *w = websocket_of(t);

    leave(w);
    ws_abort(w->ws);
}

static size_t websocket_pending(const struct eio_transport *t)
{
    const struct websocket *w = const_websocket_of(t);

    return w->ws ? ws_pending(w->ws) : 0;
}

const struct eio_transport_ops eio_websocket_ops = {
    .name = "websocket",
    .writable = websocket_writable,
    .send = websocket_send,
    .flush = websocket_flush,
    .heartbeat = websocket_heartbeat,
    .finish = websocket_finish,
    .close = websocket_close,
    .abort = websocket_abort,
    .pending = websocket_pending,
};

void eio_websocket_cut_lingering(struct eio_sessions *table)
{
    while (!list_empty(&table->lingering)) {
        struct websocket *w =
            container_of(table->lingering.next, struct websocket, lingering);

        ws_abort(w->ws);
    }
}
