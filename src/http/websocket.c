#include <config.h>

#include "http/websocket.h"

#include <stdio.h>

#include "base/base64.h"
#include "base/mem.h"
#include "base/random.h"
#include "base/str.h"
#include "http/connection.h"
#include "http/frame.h"
#include "http/mask.h"
#include "http/ws_reader.h"

#define GUID             "258EAFA5-E914-47DA-95CA-C5AB0DC85B11" /* RFC 6455, 1.3 */
#define CLOSE_TIMEOUT_MS 5000 /* for the peer's close frame */
#define LINGER_MS        2000
#define MAX_REASON       123
#define N_SLICES         16

enum ws_state {
    WS_OPEN,
    WS_CLOSING, /* our close frame is out; the peer's is awaited */
    WS_ENDED,
};

/* What becomes of the payload of the present frame. */
enum ws_payload {
    WS_PAYLOAD_NONE, /* between frames */
    WS_PAYLOAD_FAST, /* a whole message: unmasked here */
    WS_PAYLOAD_READER,
    WS_PAYLOAD_DROPPED,
};

struct ws {
    struct net_conn *conn; /* NULL when ended */
    const struct ws_ops *ops;
    void *user;
    struct ws_options opts;
    struct ws_reader *reader; /* NULL unless needed */
    struct sio_buf *rest;     /* what came behind the handshake */
    struct net_task begin;    /* handles rest */
    struct net_task reap;

    enum ws_state state;
    enum ws_payload payload;
    struct ws_frame frame;
    uint64_t got;        /* bytes of its payload */
    struct sio_buf *buf; /* a message that did not come at once */
    struct utf8 utf8;
    bool client;
    uint16_t close_code; /* that we sent */
    uint8_t head_len;
    uint8_t head[WS_FRAME_HEAD_MAX]; /* of a header cut by the end of the input */
};

int ws_accept_key(struct sio_str key, char out[29])
{
    char text[64];
    uint8_t digest[20];
    int rv;

    if (key.len + sizeof(GUID) > sizeof(text))
        return SIO_ERR_INVAL;
    memcpy(text, key.ptr, key.len);
    memcpy(text + key.len, GUID, sizeof(GUID) - 1);
    rv = net_sha1(text, key.len + sizeof(GUID) - 1, digest);
    if (rv < 0)
        return rv;
    base64_encode(digest, sizeof(digest), out);
    out[28] = '\0';
    return SIO_OK;
}

const char *ws_handshake_check(const struct http_request *r, int *status)
{
    struct sio_str key = http_request_field(r, "Sec-WebSocket-Key");
    uint8_t nonce[18];
    size_t len;

    *status = 400;
    if (http_request_method(r) != HTTP_GET)
        return "Method is not GET";
    if (!http_request_wants_upgrade(r, "websocket"))
        return "No WebSocket upgrade";
    if (!str_eq_cstr(http_request_field(r, "Sec-WebSocket-Version"), "13")) {
        *status = 426;
        return "WebSocket version is not 13";
    }
    if (key.len != 24 || base64_decode(key.ptr, key.len, nonce, &len) != SIO_OK ||
        len != 16)
        return "Sec-WebSocket-Key is not 16 bytes in base64";
    return NULL;
}

static void on_reap(struct net_task *task)
{
    struct ws *ws = container_of(task, struct ws, reap);

    list_remove(&ws->begin.link);
    ws_reader_free(ws->reader);
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
    struct net_conn *conn = ws->conn;

    net_conn_deadline(conn, 0);
    net_conn_close(conn, LINGER_MS);
    end(ws, code);
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

static void end_reader(struct ws *ws)
{
    const struct ws_frame *f = &ws->frame;

    if (f->fin && !ws_frame_is_control(f)) {
        bool text;
        struct sio_buf *message = ws_reader_take(ws->reader, &text);

        if (!message) {
            fail(ws, WS_CLOSE_INTERNAL);
            return;
        }
        deliver(ws, text, sio_slice_of(message));
        sio_buf_unref(message);
    }
    if (ws->state != WS_ENDED && !ws_reader_in_message(ws->reader)) {
        ws_reader_free(ws->reader);
        ws->reader = NULL;
    }
}

static void end_frame(struct ws *ws, const uint8_t *bytes)
{
    enum ws_payload payload = ws->payload;

    ws->payload = WS_PAYLOAD_NONE;
    switch (payload) {
    case WS_PAYLOAD_FAST: end_fast(ws, bytes); break;
    case WS_PAYLOAD_READER: end_reader(ws); break;
    case WS_PAYLOAD_DROPPED: /* the peer's answer to our close frame ends the handshake */
        if (ws->frame.opcode == WS_CLOSE)
            finish(ws, ws->close_code);
        break;
    case WS_PAYLOAD_NONE: break;
    }
}

/* What the reader returned.  False: the connection has ended. */
static bool take_verdict(struct ws *ws, int rv)
{
    if (rv == 0)
        return true;
    if (rv > 0)
        finish(ws, rv);
    else if (rv <= -WS_CLOSE_NORMAL)
        fail(ws, -rv);
    else
        fail(ws, WS_CLOSE_INTERNAL);
    return false;
}

static int reader_send(const uint8_t *p, size_t len, void *user)
{
    struct ws *ws = user;

    return net_conn_send_bytes(ws->conn, p, len);
}

static bool begin_reader(struct ws *ws, const uint8_t *head, size_t head_len)
{
    if (!ws->reader)
        ws->reader = ws_reader_new(ws->client, &ws->opts, reader_send, ws);
    if (!ws->reader) {
        fail(ws, WS_CLOSE_INTERNAL);
        return false;
    }
    return take_verdict(ws, ws_reader_begin(ws->reader, &ws->frame, head, head_len));
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
    if (f->opcode == WS_PONG || (f->opcode == WS_PING && net_conn_full(ws->conn)))
        return WS_PAYLOAD_DROPPED;
    if (ws_frame_is_control(f) || !f->fin || f->opcode == WS_CONTINUATION)
        return WS_PAYLOAD_READER;
    return WS_PAYLOAD_FAST;
}

/* The header is complete; it lies at head. */
static void begin_frame(struct ws *ws, const uint8_t *head, size_t head_len)
{
    ws->got = 0;
    ws->utf8 = (struct utf8){0};
    ws->payload = judge_frame(ws);
    if (ws->payload == WS_PAYLOAD_FAST && ws->frame.len > ws->opts.max_message) {
        fail(ws, WS_CLOSE_TOO_BIG);
        return;
    }
    if (ws->payload == WS_PAYLOAD_READER && !begin_reader(ws, head, head_len))
        return;
    if (ws->frame.len == 0)
        end_frame(ws, head);
}

/* Both return how many bytes they took. */
static size_t take_head(struct ws *ws, const uint8_t *p, size_t len)
{
    const struct ws_frame_rules rules = {ws->client, ws_reader_in_message(ws->reader)};
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

static size_t take_payload(struct ws *ws, uint8_t *p, size_t len)
{
    uint64_t left = ws->frame.len - ws->got;
    size_t n = len < left ? len : (size_t)left;

    if (ws->payload == WS_PAYLOAD_FAST) {
        take_fast(ws, p, n);
        return n;
    }
    ws->got += n;
    if (ws->payload == WS_PAYLOAD_READER &&
        !take_verdict(ws, ws_reader_feed(ws->reader, p, n)))
        return n;
    if (n == left)
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

    if (ws && rest.len > 0)
        ws->rest = sio_buf_copy(rest.ptr, rest.len);
    if (!ws || (rest.len > 0 && !ws->rest)) {
        mem_free(ws);
        return NULL;
    }
    ws->conn = conn;
    ws->client = client;
    ws->opts = *opts;
    if (ws->opts.close_timeout_ms == 0)
        ws->opts.close_timeout_ms = CLOSE_TIMEOUT_MS;
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

static int send_accept(struct http_request *r, const char *extra_fields)
{
    char key[29];
    struct wbuf w;
    struct sio_str text;
    int rv = ws_accept_key(http_request_field(r, "Sec-WebSocket-Key"), key);

    if (rv < 0)
        return rv;
    wbuf_init(&w, 16 * 1024);
    wbuf_add_str(&w, SIO_STR("HTTP/1.1 101 Switching Protocols\r\n"
                             "Upgrade: websocket\r\nConnection: Upgrade\r\n"
                             "Sec-WebSocket-Accept: "));
    wbuf_add_cstr(&w, key);
    wbuf_add_str(&w, SIO_STR("\r\n"));
    if (extra_fields)
        wbuf_add_cstr(&w, extra_fields);
    wbuf_add_str(&w, SIO_STR("\r\n"));
    text = wbuf_str(&w);
    rv = w.error;
    if (rv == SIO_OK)
        rv = net_conn_send_bytes(http_request_conn(r), text.ptr, text.len);
    wbuf_fini(&w);
    return rv;
}

struct ws *ws_accept(struct http_request *r, const char *extra_fields,
                     const struct ws_options *opts, const struct ws_ops *ops,
                     void *user)
{
    int rv = send_accept(r, extra_fields);
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
    if (net_conn_deadline(ws->conn, ws->opts.close_timeout_ms) < 0)
        finish(ws, code);
}

void ws_abort(struct ws *ws)
{
    if (ws->state != WS_ENDED)
        net_conn_abort(ws->conn, SIO_ERR_CLOSED);
}
