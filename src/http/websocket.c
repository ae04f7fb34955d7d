#include <config.h>

#include "http/websocket.h"

#include "base/mem.h"
#include "base/random.h"
#include "http/connection.h"
#include "http/frame.h"
#include "http/mask.h"
#include "http/ws_handshake.h"
#include "http/ws_message.h"
#include "http/ws_reader.h"

#define CLOSE_TIMEOUT_MS 5000 /* for the peer's close frame */
#define MAX_FRAGMENTS    16384
#define LINGER_MS        2000
#define MAX_REASON       123
#define N_SLICES         16
#define PONG_MAX_UNSENT  (256 * 1024) /* with more, the peer does not read */

enum ws_state {
    WS_OPEN,
    WS_CLOSING, /* our close frame is out; the peer's is awaited */
    WS_ENDED,
};

/* What becomes of the payload of the present frame. */
enum ws_payload {
    WS_PAYLOAD_NONE, /* between frames */
    WS_PAYLOAD_FAST, /* a whole message as it is: unmasked where it lies */
    WS_PAYLOAD_MESSAGE,
    WS_PAYLOAD_CONTROL,
    WS_PAYLOAD_DROPPED,
};

struct ws {
    struct net_conn *conn; /* NULL when ended */
    const struct ws_ops *ops;
    void *user;
    struct ws_message_limits limits;
    uint32_t close_timeout_ms;
    struct ws_deflate *deflate; /* NULL: not agreed */
    struct ws_message *message; /* in the making, or NULL */
    struct ws_reader *reader;   /* of the present control frame, or NULL */
    struct sio_buf *rest;       /* what came behind the handshake */
    struct net_task begin;      /* handles rest */
    struct net_task reap;

    enum ws_state state;
    enum ws_payload payload;
    struct ws_frame frame;
    uint64_t got;        /* bytes of its payload */
    struct sio_buf *buf; /* a message that did not come at once */
    struct utf8 utf8;
    bool client;
    bool failed;
    uint16_t close_code; /* that we sent */
    uint8_t head_len;
    uint8_t head[WS_FRAME_HEAD_MAX]; /* of a header cut by the end of the input */
};

static void on_reap(struct net_task *task)
{
    struct ws *ws = container_of(task, struct ws, reap);

    list_remove(&ws->begin.link);
    ws_reader_free(ws->reader);
    ws_message_free(ws->message);
    ws_deflate_free(ws->deflate);
    sio_buf_unref(ws->buf);
    sio_buf_unref(ws->rest);
    mem_free(ws);
}

/* A connection that only flushes and waits for the peer's end. */
static void ignore_data(struct net_conn *c, uint8_t *data, size_t len, void *user)
{
    (void)c;
    (void)data;
    (void)len;
    (void)user;
}

static void ignore_close(struct net_conn *c, int error, void *user)
{
    (void)c;
    (void)error;
    (void)user;
}

static const struct net_conn_ops ended_ops = {
    .on_data = ignore_data,
    .on_close = ignore_close,
};

/* Lets go of the connection and tells the end, once.  Returns the connection. */
static struct net_conn *end(struct ws *ws, int code)
{
    struct net_conn *conn = ws->conn;

    ws->state = WS_ENDED;
    ws->conn = NULL;
    net_conn_set_ops(conn, &ended_ops, NULL);
    net_loop_reap(net_conn_loop(conn), &ws->reap);
    ws->ops->on_close(ws, code, ws->user);
    return conn;
}

/* The close handshake is over, or an error was answered. */
static void finish(struct ws *ws, int code)
{
    struct net_conn *conn = end(ws, code); /* first: the close may end it at once */

    net_conn_deadline(conn, 0);
    net_conn_close(conn, LINGER_MS);
}

/* A frame of a client: its payload is masked in a copy. */
static int send_masked(struct ws *ws, enum ws_opcode opcode,
                       const struct sio_slice *slices, size_t n, size_t total)
{
    struct sio_buf *b = sio_buf_new(WS_FRAME_HEAD_MAX + total);
    struct sio_slice frame;
    uint8_t mask[4];
    uint8_t *p;
    size_t at = 0;
    int rv;

    if (!b)
        return SIO_ERR_NOMEM;
    p = sio_buf_data(b);
    p += ws_frame_head(p, opcode, total);
    sio_buf_data(b)[1] |= 0x80;
    random_pool_take(net_loop_random(net_conn_loop(ws->conn)), mask, sizeof(mask));
    memcpy(p, mask, sizeof(mask));
    p += sizeof(mask);
    for (size_t i = 0; i < n; i++) {
        ws_mask(p + at, slices[i].ptr, slices[i].len, mask, at);
        at += slices[i].len;
    }
    frame =
        (struct sio_slice){b, sio_buf_data(b), (size_t)(p - sio_buf_data(b)) + total};
    rv = net_conn_send(ws->conn, &frame, 1);
    sio_buf_unref(b);
    return rv;
}

static int send_plain(struct ws *ws, enum ws_opcode opcode,
                      const struct sio_slice *slices, size_t n, size_t total)
{
    struct sio_slice few[N_SLICES];
    struct sio_slice *all = n + 1 > N_SLICES ? mem_array(n + 1, sizeof(*all)) : few;
    uint8_t head[WS_HEAD_MAX];
    int rv;

    if (!all)
        return SIO_ERR_NOMEM;
    all[0] = (struct sio_slice){NULL, head, ws_frame_head(head, opcode, total)};
    if (n > 0)
        memcpy(all + 1, slices, n * sizeof(*all));
    rv = net_conn_send(ws->conn, all, n + 1);
    if (all != few)
        mem_free(all);
    return rv;
}

int ws_send(struct ws *ws, enum ws_opcode opcode, const struct sio_slice *slices,
            size_t n)
{
    size_t total = 0;

    if (ws->state != WS_OPEN)
        return SIO_ERR_CLOSED;
    for (size_t i = 0; i < n; i++)
        total += slices[i].len;
    return ws->client ? send_masked(ws, opcode, slices, n, total)
                      : send_plain(ws, opcode, slices, n, total);
}

/* The frame of a compressed message, which has room for a header. */
static int send_packed(struct ws *ws, enum ws_opcode opcode, struct sio_buf *b)
{
    uint8_t *payload = sio_buf_data(b) + WS_FRAME_HEAD_MAX;
    size_t len = sio_buf_len(b) - WS_FRAME_HEAD_MAX;
    uint8_t head[WS_FRAME_HEAD_MAX];
    size_t head_len = ws_frame_head(head, opcode, len);
    struct sio_slice frame;

    head[0] |= WS_FRAME_PACKED;
    if (ws->client) {
        uint8_t *mask = head + head_len;

        head[1] |= 0x80;
        random_pool_take(net_loop_random(net_conn_loop(ws->conn)), mask, 4);
        ws_mask(payload, payload, len, mask, 0);
        head_len += 4;
    }
    memcpy(payload - head_len, head, head_len);
    frame = (struct sio_slice){b, payload - head_len, head_len + len};
    return net_conn_send(ws->conn, &frame, 1);
}

int ws_send_deflated(struct ws *ws, enum ws_opcode opcode,
                     const struct sio_slice *slices, size_t n)
{
    struct sio_buf *frame;
    int rv;

    if (ws->state != WS_OPEN)
        return SIO_ERR_CLOSED;
    if (!ws->deflate || ws_deflate_params(ws->deflate)->out_bits == 0)
        return ws_send(ws, opcode, slices, n);
    rv = ws_deflate_pack(ws->deflate, slices, n, &frame);
    if (rv == SIO_ERR_TOO_BIG)
        return ws_send(ws, opcode, slices, n);
    if (rv < 0)
        return rv;
    rv = send_packed(ws, opcode, frame);
    sio_buf_unref(frame);
    return rv;
}

bool ws_failed(const struct ws *ws)
{
    return ws->failed;
}

const struct ws_deflate_params *ws_deflated_how(const struct ws *ws)
{
    return ws->deflate ? ws_deflate_params(ws->deflate) : NULL;
}

int ws_send_frames(struct ws *ws, const struct sio_slice *slices, size_t n)
{
    if (ws->state != WS_OPEN)
        return SIO_ERR_CLOSED;
    return net_conn_send(ws->conn, slices, n);
}

static void send_close(struct ws *ws, int code, const char *reason)
{
    uint8_t payload[2 + MAX_REASON] = {(uint8_t)(code >> 8), (uint8_t)code};
    size_t len = reason ? strnlen(reason, MAX_REASON) : 0;
    const struct sio_slice slice = {NULL, payload, 2 + len};

    if (len > 0)
        memcpy(payload + 2, reason, len);
    ws->close_code = (uint16_t)code;
    ws_send(ws, WS_CLOSE, &slice, 1); /* out of memory: the peer sees just the end */
}

/* The peer broke a rule, or we cannot go on. */
static void fail(struct ws *ws, int code)
{
    if (ws->state == WS_OPEN)
        send_close(ws, code, NULL);
    ws->failed = true;
    finish(ws, code);
}

static void deliver(struct ws *ws, bool text, struct sio_slice msg)
{
    if (ws->state == WS_OPEN)
        ws->ops->on_message(ws, text, msg, ws->user);
}

/* The payload of a fast frame is complete. */
static void end_fast(struct ws *ws, const uint8_t *bytes)
{
    struct sio_buf *buf = ws->buf;
    bool text = ws->frame.opcode == WS_TEXT;

    ws->buf = NULL;
    if (text && !utf8_done(&ws->utf8))
        fail(ws, WS_CLOSE_UTF8);
    else
        deliver(ws, text, (struct sio_slice){buf, bytes, (size_t)ws->frame.len});
    sio_buf_unref(buf);
}

static void end_message(struct ws *ws)
{
    struct ws_message *m = ws->message;
    struct sio_buf *bytes;
    bool text;
    int code;

    if (!ws->frame.fin)
        return;
    code = ws_message_end(m);
    bytes = code == 0 ? ws_message_take(m, &text) : NULL;
    ws->message = NULL;
    ws_message_free(m);
    if (bytes)
        deliver(ws, text, sio_slice_of(bytes));
    else
        fail(ws, code != 0 ? code : WS_CLOSE_INTERNAL);
    sio_buf_unref(bytes);
}

static void end_control(struct ws *ws)
{
    struct ws_reader *r = ws->reader;
    int rv = ws_reader_end(r, &ws->failed);

    ws->reader = NULL;
    ws_reader_free(r);
    if (rv > 0)
        finish(ws, rv);
    else if (rv < 0)
        fail(ws, WS_CLOSE_INTERNAL);
}

static void end_frame(struct ws *ws, const uint8_t *bytes)
{
    enum ws_payload payload = ws->payload;

    ws->payload = WS_PAYLOAD_NONE;
    switch (payload) {
    case WS_PAYLOAD_FAST: end_fast(ws, bytes); break;
    case WS_PAYLOAD_MESSAGE: end_message(ws); break;
    case WS_PAYLOAD_CONTROL: end_control(ws); break;
    case WS_PAYLOAD_DROPPED: /* the peer's answer to our close frame ends the handshake */
        if (ws->frame.opcode == WS_CLOSE)
            finish(ws, ws->close_code);
        break;
    case WS_PAYLOAD_NONE: break;
    }
}

static int reader_send(const uint8_t *p, size_t len, void *user)
{
    struct ws *ws = user;

    return net_conn_send_bytes(ws->conn, p, len);
}

/* These return 0 or the code to close with. */
static int begin_control(struct ws *ws, const uint8_t *head, size_t head_len)
{
    ws->reader = ws_reader_new(ws->client, &ws->frame, head, head_len, reader_send, ws);
    return ws->reader ? 0 : WS_CLOSE_INTERNAL;
}

static int begin_message(struct ws *ws)
{
    if (!ws->message)
        ws->message = ws_message_new(&ws->frame, &ws->limits, ws->deflate);
    return ws->message ? ws_message_begin(ws->message, &ws->frame) : WS_CLOSE_INTERNAL;
}

static int begin_payload(struct ws *ws, const uint8_t *head, size_t head_len)
{
    switch (ws->payload) {
    case WS_PAYLOAD_FAST:
        return ws->frame.len > ws->limits.max_bytes ? WS_CLOSE_TOO_BIG : 0;
    case WS_PAYLOAD_MESSAGE: return begin_message(ws);
    case WS_PAYLOAD_CONTROL: return begin_control(ws, head, head_len);
    case WS_PAYLOAD_DROPPED:
    case WS_PAYLOAD_NONE: break;
    }
    return 0;
}

/*
 * Decides about a frame.  A peer that pings and does not read what we send gets no more
 * pongs: RFC 6455 (5.5.3) asks only for the latest to be answered.
 */
static enum ws_payload judge_frame(const struct ws *ws)
{
    const struct ws_frame *f = &ws->frame;

    if (ws->state == WS_CLOSING)
        return WS_PAYLOAD_DROPPED;
    if (f->opcode == WS_PONG ||
        (f->opcode == WS_PING && net_conn_pending(ws->conn) >= PONG_MAX_UNSENT))
        return WS_PAYLOAD_DROPPED;
    if (ws_frame_is_control(f))
        return WS_PAYLOAD_CONTROL;
    if (!f->fin || f->opcode == WS_CONTINUATION || f->packed)
        return WS_PAYLOAD_MESSAGE;
    return WS_PAYLOAD_FAST;
}

/* The header is complete; it lies at head. */
static void begin_frame(struct ws *ws, const uint8_t *head, size_t head_len)
{
    int code;

    ws->got = 0;
    ws->utf8 = (struct utf8){0};
    ws->payload = judge_frame(ws);
    code = begin_payload(ws, head, head_len);
    if (code != 0)
        fail(ws, code);
    else if (ws->frame.len == 0)
        end_frame(ws, head);
}

/* Both return how many bytes they took. */
static size_t take_head(struct ws *ws, const uint8_t *p, size_t len)
{
    const struct ws_frame_rules rules = {ws->client, ws->message, ws->deflate};
    const uint8_t *head = p;
    size_t had = ws->head_len;
    size_t n = len;
    int rv;

    if (had > 0) {
        n = sizeof(ws->head) - had < len ? sizeof(ws->head) - had : len;
        memcpy(ws->head + had, p, n);
        head = ws->head;
    }
    rv = ws_frame_parse(&rules, head, had + n, &ws->frame);
    if (rv == 0) { /* fewer bytes than the longest header has */
        if (had == 0)
            memcpy(ws->head, p, n);
        ws->head_len = (uint8_t)(had + n);
        return n;
    }
    ws->head_len = 0;
    if (rv < 0) {
        fail(ws, -rv);
        return len;
    }
    begin_frame(ws, head, (size_t)rv);
    return (size_t)rv - had;
}

/* Unmasks in place what is wholly here, else into a buf of the announced length. */
static void take_fast(struct ws *ws, uint8_t *p, size_t len)
{
    const struct ws_frame *f = &ws->frame;
    uint8_t *to = p;
    bool good = true;

    if (len < f->len) {
        if (!ws->buf)
            ws->buf = sio_buf_new((size_t)f->len);
        if (!ws->buf) {
            fail(ws, WS_CLOSE_INTERNAL);
            return;
        }
        to = sio_buf_data(ws->buf) + ws->got;
    }
    if (f->opcode == WS_TEXT)
        good = ws_unmask_text(to, p, len, f->mask, ws->got, &ws->utf8);
    else
        ws_mask(to, p, len, f->mask, ws->got);
    if (!good) {
        fail(ws, WS_CLOSE_UTF8);
        return;
    }
    ws->got += len;
    if (ws->got == f->len)
        end_frame(ws, ws->buf ? sio_buf_data(ws->buf) : p);
}

/* A piece of a payload that is not a fast one's. */
static bool take_piece(struct ws *ws, uint8_t *p, size_t len)
{
    int code = 0;

    if (ws->payload == WS_PAYLOAD_CONTROL) {
        ws_reader_feed(ws->reader, p, len);
    } else if (ws->payload == WS_PAYLOAD_MESSAGE) {
        ws_mask(p, p, len, ws->frame.mask, ws->got);
        code = ws_message_feed(ws->message, p, len);
    }
    ws->got += len;
    if (code != 0)
        fail(ws, code);
    return code == 0;
}

static size_t take_payload(struct ws *ws, uint8_t *p, size_t len)
{
    uint64_t left = ws->frame.len - ws->got;
    size_t n = len < left ? len : (size_t)left;

    if (ws->payload == WS_PAYLOAD_FAST)
        take_fast(ws, p, n);
    else if (take_piece(ws, p, n) && n == left)
        end_frame(ws, p);
    return n;
}

static void receive(struct ws *ws, uint8_t *p, size_t len)
{
    while (len > 0 && ws->state != WS_ENDED) {
        size_t n = ws->payload == WS_PAYLOAD_NONE ? take_head(ws, p, len)
                                                  : take_payload(ws, p, len);

        p += n;
        len -= n;
    }
}

static void receive_rest(struct ws *ws)
{
    struct sio_buf *rest = ws->rest;

    ws->rest = NULL;
    if (rest)
        receive(ws, sio_buf_data(rest), sio_buf_len(rest));
    sio_buf_unref(rest);
}

static void on_begin(struct net_task *task)
{
    receive_rest(container_of(task, struct ws, begin));
}

static void on_data(struct net_conn *c, uint8_t *data, size_t len, void *user)
{
    struct ws *ws = user;

    (void)c;
    receive_rest(ws);
    receive(ws, data, len);
}

static void on_drain(struct net_conn *c, void *user)
{
    struct ws *ws = user;

    (void)c;
    if (ws->state == WS_OPEN && ws->ops->on_drain)
        ws->ops->on_drain(ws, ws->user);
}

static void on_close(struct net_conn *c, int error, void *user)
{
    struct ws *ws = user;

    (void)c;
    (void)error;
    end(ws, ws->state == WS_CLOSING ? ws->close_code : WS_CLOSE_ABNORMAL);
}

static const struct net_conn_ops conn_ops = {
    .on_data = on_data,
    .on_drain = on_drain,
    .on_close = on_close,
};

static struct ws *new_ws(struct net_conn *conn, bool client, struct sio_str rest,
                         const struct ws_options *opts, const struct ws_ops *ops,
                         void *user)
{
    struct ws *ws = mem_new(struct ws);

    if (!ws)
        return NULL;
    if (rest.len > 0)
        ws->rest = sio_buf_copy(rest.ptr, rest.len);
    if (opts->deflate)
        ws->deflate = ws_deflate_new(opts->deflate);
    if ((rest.len > 0 && !ws->rest) || (opts->deflate && !ws->deflate)) {
        ws_deflate_free(ws->deflate);
        sio_buf_unref(ws->rest);
        mem_free(ws);
        return NULL;
    }
    ws->conn = conn;
    ws->client = client;
    ws->limits.max_bytes = opts->max_message;
    ws->limits.max_fragments =
        opts->max_fragments ? opts->max_fragments : MAX_FRAGMENTS;
    ws->close_timeout_ms =
        opts->close_timeout_ms ? opts->close_timeout_ms : CLOSE_TIMEOUT_MS;
    ws->ops = ops;
    ws->user = user;
    ws->begin.run = on_begin;
    ws->reap.run = on_reap;
    list_init(&ws->begin.link);
    list_init(&ws->reap.link);
    net_conn_set_ops(conn, &conn_ops, ws);
    if (ws->rest)
        net_loop_defer(net_conn_loop(conn), &ws->begin);
    return ws;
}

struct ws *ws_accept(struct http_request *r, const struct ws_options *opts,
                     const struct ws_ops *ops, void *user)
{
    int rv = ws_handshake_answer(r);
    struct sio_str rest;
    struct net_conn *conn = http_request_take_conn(r, &rest);
    struct ws *ws = rv < 0 ? NULL : new_ws(conn, false, rest, opts, ops, user);

    if (!ws) {
        net_conn_set_ops(conn, &ended_ops, NULL);
        net_conn_abort(conn, SIO_ERR_NOMEM);
    }
    return ws;
}

struct ws *ws_server_new(struct net_conn *c, struct sio_str rest,
                         const struct ws_options *opts, const struct ws_ops *ops,
                         void *user)
{
    return new_ws(c, false, rest, opts, ops, user);
}

struct ws *ws_client_new(struct net_conn *c, struct sio_str rest,
                         const struct ws_options *opts, const struct ws_ops *ops,
                         void *user)
{
    return new_ws(c, true, rest, opts, ops, user);
}

bool ws_full(const struct ws *ws)
{
    return ws->conn && net_conn_full(ws->conn);
}

size_t ws_pending(const struct ws *ws)
{
    return ws->conn ? net_conn_pending(ws->conn) : 0;
}

void ws_close(struct ws *ws, int code, const char *reason)
{
    if (ws->state != WS_OPEN)
        return;
    send_close(ws, code, reason);
    ws->state = WS_CLOSING;
    if (net_conn_deadline(ws->conn, ws->close_timeout_ms) < 0)
        finish(ws, code);
}

void ws_abort(struct ws *ws)
{
    if (ws->state != WS_ENDED)
        net_conn_abort(ws->conn, SIO_ERR_CLOSED);
}
