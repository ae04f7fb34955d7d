#include <config.h>

#include "http/ws_impl.h"

#include "base/mem.h"
#include "base/random.h"
#include "http/mask.h"
#include "http/ws_handshake.h"

#define CLOSE_TIMEOUT_MS 5000  /* for the peer's close frame */
#define FLUSH_MS         30000 /* for the peer to take what waits before ours */
#define MAX_FRAGMENTS    16384
#define LINGER_MS        2000
#define MAX_REASON       123
#define N_SLICES         16

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

/* Of a connection that only flushes and waits for the peer's end. */
static const struct net_conn_ops ended_ops;

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

void ws_finish(struct ws *ws, int code)
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

void ws_fail(struct ws *ws, int code)
{
    if (ws->state == WS_OPEN)
        send_close(ws, code, NULL);
    ws->failed = true;
    ws_finish(ws, code);
}

static void receive_rest(struct ws *ws)
{
    struct sio_buf *rest = ws->rest;

    ws->rest = NULL;
    if (rest)
        ws_receive(ws, sio_buf_data(rest), sio_buf_len(rest));
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
    ws_receive(ws, data, len);
}

static void on_drain(struct net_conn *c, void *user)
{
    struct ws *ws = user;

    if (ws->state == WS_CLOSING)
        (void)net_conn_deadline(c, ws->close_timeout_ms); /* it runs: cannot fail */
    else if (ws->state == WS_OPEN && ws->ops->on_drain)
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
    uint32_t ms = ws_full(ws) ? FLUSH_MS : ws->close_timeout_ms;

    if (ws->state != WS_OPEN)
        return;
    send_close(ws, code, reason);
    ws->state = WS_CLOSING;
    if (net_conn_deadline(ws->conn, ms) < 0)
        ws_finish(ws, code);
}

void ws_abort(struct ws *ws)
{
    if (ws->state != WS_ENDED)
        net_conn_abort(ws->conn, SIO_ERR_CLOSED);
}
