#include <config.h>

#include "http/ws_impl.h"

#include "http/mask.h"

#define PONG_MAX_UNSENT (256 * 1024) /* with more, the peer does not read */

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
        ws_fail(ws, WS_CLOSE_UTF8);
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
        ws_fail(ws, code != 0 ? code : WS_CLOSE_INTERNAL);
    sio_buf_unref(bytes);
}

static void end_control(struct ws *ws)
{
    struct ws_reader *r = ws->reader;
    int rv = ws_reader_end(r, &ws->failed);

    ws->reader = NULL;
    ws_reader_free(r);
    if (rv > 0)
        ws_finish(ws, rv);
    else if (rv < 0)
        ws_fail(ws, WS_CLOSE_INTERNAL);
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
            ws_finish(ws, ws->close_code);
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
        ws_fail(ws, code);
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
        ws_fail(ws, -rv);
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
            ws_fail(ws, WS_CLOSE_INTERNAL);
            return;
        }
        to = sio_buf_data(ws->buf) + ws->got;
    }
    if (f->opcode == WS_TEXT)
        good = ws_unmask_text(to, p, len, f->mask, ws->got, &ws->utf8);
    else
        ws_mask(to, p, len, f->mask, ws->got);
    if (!good) {
        ws_fail(ws, WS_CLOSE_UTF8);
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
        ws_fail(ws, code);
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

void ws_receive(struct ws *ws, uint8_t *p, size_t len)
{
    while (len > 0 && ws->state != WS_ENDED) {
        size_t n = ws->payload == WS_PAYLOAD_NONE ? take_head(ws, p, len)
                                                  : take_payload(ws, p, len);

        p += n;
        len -= n;
    }
}
