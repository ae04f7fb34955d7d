#include <config.h>

#include "engineio/client_impl.h"

#include "base/base64.h"
#include "base/mem.h"
#include "base/random.h"
#include "base/str.h"

#define HANDSHAKE_MAX_BODY 4096 /* of a refusal */
#define HANDSHAKE_MAX      1024
#define PROBE_MS           10000
#define HIGH_BYTES         (256 * 1024)
/* What the kernel may hold back: who paces what is sent must not fill its megabytes. */
#define UNSENT_BYTES (32 * 1024)

static bool is_probe(const struct eio_client *c)
{
    return c->probe != EIO_CLIENT_NO_PROBE;
}

void eio_client_websocket_drop(struct eio_client *c)
{
    struct ws *ws = c->ws;

    c->ws = NULL; /* so that its on_close is not ours any more */
    if (ws)
        ws_abort(ws);
}

/* The upgrade does not come about; polling goes on. */
static void end_probe(struct eio_client *c)
{
    bool paused = c->probe == EIO_CLIENT_PROBE_PAUSING;

    net_timer_stop(&c->probe_timer);
    c->probe = EIO_CLIENT_NO_PROBE;
    http_client_free(c->handshake);
    c->handshake = NULL;
    eio_client_websocket_drop(c);
    if (!paused)
        return;
    eio_client_wake(c);
    if (eio_client_poll(c) < 0)
        eio_client_end(c, SIO_ERR_NOMEM, "transport error", "out of memory");
}

static void on_probe_timeout(struct net_timer *timer, void *user)
{
    (void)timer;
    end_probe(user);
}

/* Frames. */

static int send_text(struct eio_client *c, const char *packet)
{
    struct sio_slice s = {NULL, (const uint8_t *)packet, strlen(packet)};

    return ws_send(c->ws, WS_TEXT, &s, 1);
}

/* Pongs of a server that does not read are not heaped up: one waits, for on_drain. */
void eio_client_pong(struct eio_client *c)
{
    c->pong_due = ws_pending(c->ws) >= HIGH_BYTES;
    if (!c->pong_due && send_text(c, "3") < 0)
        eio_client_end(c, SIO_ERR_NOMEM, "transport error", "out of memory");
}

static int send_part(struct eio_client *c, struct eio_msg *msg, uint32_t part)
{
    struct sio_slice few[8];
    struct sio_slice *slices = few;
    enum ws_opcode opcode = msg->parts[part].text ? WS_TEXT : WS_BINARY;
    uint32_t n = msg->parts[part].n_slices;
    int rv;

    if (n > sizeof(few) / sizeof(few[0])) {
        slices = mem_array(n, sizeof(*slices));
        if (!slices)
            return SIO_ERR_NOMEM;
    }
    n = (uint32_t)eio_msg_body(msg, part, slices);
    rv = msg->no_compress || msg->bytes < c->deflate_min_bytes
             ? ws_send(c->ws, opcode, slices, n)
             : ws_send_deflated(c->ws, opcode, slices, n);
    if (slices != few)
        mem_free(slices);
    return rv;
}

void eio_client_websocket_flush(struct eio_client *c)
{
    struct eio_msg *msg;
    uint32_t part;

    if (!c->ws)
        return;
    if (c->pong_due && c->state == EIO_CLIENT_OPEN)
        eio_client_pong(c);
    if (!c->ws)
        return;
    while (ws_pending(c->ws) < HIGH_BYTES &&
           (msg = eio_queue_front(&c->queue, &part))) {
        if (send_part(c, msg, part) < 0) {
            eio_client_end(c, SIO_ERR_NOMEM, "transport error", "out of memory");
            return;
        }
        eio_queue_sent(&c->queue, 1);
    }
    if (c->state == EIO_CLIENT_CLOSING && eio_queue_empty(&c->queue))
        ws_close(c->ws, WS_CLOSE_NORMAL, NULL);
}

/* The requests under way have ended: the WebSocket is in charge from here on. */
static void finish_upgrade(struct eio_client *c)
{
    if (send_text(c, "5") < 0) {
        end_probe(c);
        return;
    }
    net_timer_stop(&c->probe_timer);
    c->probe = EIO_CLIENT_NO_PROBE;
    c->transport = EIO_CLIENT_ON_WEBSOCKET;
    http_client_free(c->get);
    http_client_free(c->post);
    c->get = c->post = NULL;
    if (c->pong_due)
        eio_client_pong(c);
    if (c->state != EIO_CLIENT_CLOSED)
        eio_client_wake(c);
}

void eio_client_upgrade_continue(struct eio_client *c)
{
    if (eio_client_polling_idle(c))
        finish_upgrade(c);
}

static void on_probe_packet(struct eio_client *c, const struct eio_packet *p)
{
    if (c->probe != EIO_CLIENT_PROBE_SENT || p->type != EIO_PACKET_PONG ||
        !eio_packet_is_probe(p)) {
        end_probe(c);
        return;
    }
    c->probe = EIO_CLIENT_PROBE_PAUSING;
    eio_client_upgrade_continue(c);
}

static void on_message(struct ws *ws, bool text, struct sio_slice msg, void *user)
{
    struct eio_client *c = user;
    struct sio_str str = {(const char *)msg.ptr, msg.len};
    struct eio_packet packet;

    if (ws != c->ws)
        return;
    if (!text && !is_probe(c) && c->state != EIO_CLIENT_CONNECTING) {
        if (c->state == EIO_CLIENT_OPEN)
            c->ops->on_message(c, false, msg, c->user);
        return;
    }
    if (!text || eio_packet_parse(str, &packet) < 0) {
        if (is_probe(c))
            end_probe(c);
        else
            eio_client_end(c, SIO_ERR_PARSE, "parse error",
                           "the server sent a packet that is not valid");
        return;
    }
    if (is_probe(c))
        on_probe_packet(c, &packet);
    else
        eio_client_packet(c, &packet, msg);
}

/* All is with the kernel. */
static void on_drain(struct ws *ws, void *user)
{
    struct eio_client *c = user;

    if (ws != c->ws || is_probe(c))
        return;
    eio_client_websocket_flush(c);
    eio_client_check_flushed(c);
}

/* WebSocket does not work here; polling may. */
static bool fall_back(struct eio_client *c)
{
    if (c->state != EIO_CLIENT_CONNECTING || c->transports != EIO_CLIENT_DEFAULT)
        return false;
    http_client_free(c->handshake);
    c->handshake = NULL;
    c->transport = EIO_CLIENT_ON_POLLING;
    return eio_client_poll(c) == SIO_OK;
}

/* Why the WebSocket ended, in words. */
static void tell_close(struct eio_client *c, bool failed, int code)
{
    const char *what = "the server broke the WebSocket protocol";
    int error = SIO_ERR_PROTOCOL;

    if (!failed && code == WS_CLOSE_ABNORMAL) {
        eio_client_end(c, SIO_ERR_CLOSED, "transport close",
                       "the server ended the connection");
        return;
    }
    if (!failed) {
        eio_client_fail(c, SIO_ERR_CLOSED, "transport close",
                        "the server closed the WebSocket, code %d", code);
        return;
    }
    if (code == WS_CLOSE_INTERNAL) {
        eio_client_end(c, SIO_ERR_NOMEM, "transport error", "out of memory");
        return;
    }
    if (code == WS_CLOSE_UTF8) {
        what = "the server sent text that is not UTF-8";
    } else if (code == WS_CLOSE_TOO_BIG) {
        what = "the server sent a message that is too large";
        error = SIO_ERR_TOO_BIG;
    }
    eio_client_fail(c, error, "transport error", "%s, code %d", what, code);
}

static void on_close(struct ws *ws, int code, void *user)
{
    struct eio_client *c = user;

    if (ws != c->ws)
        return;
    c->ws = NULL;
    if (is_probe(c))
        end_probe(c);
    else if (c->state == EIO_CLIENT_CLOSING)
        eio_client_end(c, SIO_OK, "io client disconnect", "closed");
    else if (fall_back(c))
        return;
    else
        tell_close(c, ws_failed(ws), code);
}

static const struct ws_ops ws_ops = {
    .on_message = on_message,
    .on_drain = on_drain,
    .on_close = on_close,
};

/* The handshake. */

static bool field_is(const struct http_head *head, const char *name, const char *value)
{
    struct sio_str v;
    size_t i = 0;

    return http_head_find(head, name, &i, &v) && str_ieq(v, sio_str_from(value));
}

/* What the server makes of our offer, if there was one.  NULL, or what is wrong. */
static const char *check_extensions(const struct eio_client *c,
                                    const struct http_head *head,
                                    struct ws_deflate_params *agreed, bool *deflate)
{
    struct sio_str v, more;
    size_t i = 0;

    *deflate = http_head_find(head, "sec-websocket-extensions", &i, &v);
    if (!*deflate)
        return NULL;
    if (!c->deflate)
        return "WebSocket handshake: the server uses an extension that was not offered";
    if (http_head_find(head, "sec-websocket-extensions", &i, &more) ||
        ws_deflate_answer(v, &c->deflate_opts, agreed) < 0)
        return "WebSocket handshake: the server's extensions are not what was offered";
    return NULL;
}

/* NULL, or what is wrong with the reply (RFC 6455, 4.1). */
static const char *check_reply(struct eio_client *c, const struct http_head *head)
{
    struct sio_str v;
    char accept[29];
    size_t i = 0;

    if (!field_is(head, "upgrade", "websocket"))
        return "WebSocket handshake: the reply changes to another protocol";
    if (ws_accept_key(sio_str_from(c->ws_key), accept) < 0)
        return "out of memory";
    if (!http_head_find(head, "sec-websocket-accept", &i, &v) ||
        !str_eq_cstr(v, accept))
        return "WebSocket handshake: the reply's key is wrong";
    i = 0;
    if (http_head_find(head, "sec-websocket-protocol", &i, &v))
        return "WebSocket handshake: the server chose a protocol that was not offered";
    return NULL;
}

static int take_connection(struct eio_client *c, struct http_client *http,
                           const struct ws_deflate_params *deflate)
{
    struct ws_options opts = {.max_message = c->max_message, .deflate = deflate};
    struct sio_str rest;
    struct net_conn *conn = http_client_take_conn(http, &rest);

    c->ws = ws_client_new(conn, rest, &opts, &ws_ops, c);
    if (!c->ws) {
        net_conn_set_ops(conn, NULL, NULL);
        net_conn_abort(conn, SIO_ERR_NOMEM);
        return SIO_ERR_NOMEM;
    }
    /* So on_drain tells when the kernel has everything. */
    net_conn_set_marks(conn, 1, 0);
    net_conn_set_unsent(conn, UNSENT_BYTES);
    return SIO_OK;
}

static void send_probe(struct eio_client *c)
{
    if (send_text(c, "2probe") < 0)
        end_probe(c);
    else
        c->probe = EIO_CLIENT_PROBE_SENT;
}

/* Errors after which polling would fare no better. */
static bool is_final(const struct http_client *http, int error)
{
    if (error == SIO_ERR_TIMEOUT) /* a proxy may swallow the handshake */
        return !http_client_reached(http);

    return error == SIO_ERR_RESOLVE || error == SIO_ERR_REFUSED ||
           error == SIO_ERR_TLS || error == SIO_ERR_IO || error == SIO_ERR_NOMEM;
}

/* A 101 has come.  NULL: the WebSocket is there; else what is wrong with it. */
static const char *on_switched(struct eio_client *c, struct http_client *http,
                               const struct http_head *head)
{
    struct ws_deflate_params agreed;
    bool deflate;
    const char *wrong = check_reply(c, head);

    if (!wrong)
        wrong = check_extensions(c, head, &agreed, &deflate);
    if (!wrong && take_connection(c, http, deflate ? &agreed : NULL) < 0)
        wrong = "out of memory";
    return wrong;
}

static void on_handshake(struct http_client *http,
                         const struct http_client_reply *reply, int error,
                         const char *why, void *user)
{
    struct eio_client *c = user;
    const char *wrong = NULL;

    if (reply)
        eio_client_cookies(c, reply->head);
    if (reply && reply->status == 101) {
        wrong = on_switched(c, http, reply->head);
        if (!wrong) {
            if (is_probe(c))
                send_probe(c);
            return;
        }
    }
    if (is_probe(c))
        end_probe(c);
    else if (!reply && is_final(http, error))
        eio_client_end(c, error, "transport error", why);
    else if (fall_back(c))
        return;
    else if (!reply)
        eio_client_fail(c, error, "transport error", "WebSocket handshake: %s", why);
    else if (wrong)
        eio_client_end(c, SIO_ERR_PROTOCOL, "transport error", wrong);
    else
        eio_client_refused(c, "WebSocket handshake", reply);
}

static void make_key(char key[25])
{
    uint8_t bytes[16];

    random_bytes(bytes, sizeof(bytes));
    base64_encode(bytes, sizeof(bytes), key);
    key[24] = '\0';
}

static void write_handshake(const struct eio_client *c, struct wbuf *w)
{
    wbuf_init(w, HANDSHAKE_MAX);
    wbuf_addf(w,
              "Connection: Upgrade\r\nUpgrade: websocket\r\n"
              "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: %s\r\n",
              c->ws_key);
    if (c->deflate) {
        wbuf_add_cstr(w, "Sec-WebSocket-Extensions: ");
        ws_deflate_offer(&c->deflate_opts, w);
        wbuf_add_cstr(w, "\r\n");
    }
    wbuf_add_byte(w, '\0');
}

int eio_client_websocket(struct eio_client *c)
{
    struct http_client_request r = {.method = "GET", .upgrade = true};
    struct wbuf fields;
    int rv;

    if (c->transports == EIO_CLIENT_DEFAULT) /* the rest is for polling */
        r.timeout_ms = c->connect_timeout_ms / 2;
    c->handshake = eio_client_http(c, HANDSHAKE_MAX_BODY);
    if (!c->handshake)
        return SIO_ERR_NOMEM;
    make_key(c->ws_key);
    write_handshake(c, &fields);
    rv = fields.error;
    if (rv == SIO_OK)
        rv = eio_client_request(c, c->handshake, "websocket", wbuf_str(&fields).ptr, &r,
                                on_handshake);
    wbuf_fini(&fields);
    return rv;
}

void eio_client_upgrade(struct eio_client *c)
{
    net_timer_init(&c->probe_timer, c->loop, on_probe_timeout, c);
    c->probe = EIO_CLIENT_PROBE_SHAKING;
    if (net_timer_start(&c->probe_timer, PROBE_MS) < 0 || eio_client_websocket(c) < 0)
        end_probe(c);
}
