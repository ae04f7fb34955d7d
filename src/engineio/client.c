#include <config.h>

#include "engineio/client_impl.h"

#include <stdarg.h>
#include <stdio.h>

#include "base/buf.h"
#include "base/list.h"
#include "base/mem.h"
#include "base/str.h"

#define CLOSE_MS    2000
#define TARGET_MAX  16384
#define FIELDS_MAX  65536
#define DEFLATE_MIN 1024 /* bytes of a message that is worth it */

/* What a request needs. */

/* Everything but unreserved characters is encoded: the sid comes from the peer. */
static char *encode_sid(struct sio_str sid)
{
    static const char hex[] = "0123456789ABCDEF";
    char *out = mem_array(sid.len * 3 + 1, 1);
    char *p = out;

    for (size_t i = 0; out && i < sid.len; i++) {
        unsigned char c = (unsigned char)sid.ptr[i];

        if ((c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') ||
            (c >= 'A' && c <= 'Z') || c == '-' || c == '_' || c == '.' || c == '~') {
            *p++ = (char)c;
        } else {
            *p++ = '%';
            *p++ = hex[c >> 4];
            *p++ = hex[c & 15];
        }
    }
    return out;
}

static void write_target(struct eio_client *c, const char *transport, struct wbuf *w)
{
    wbuf_init(w, TARGET_MAX);
    wbuf_addf(w, "%s?EIO=4&transport=%s", c->path, transport);
    if (c->sid)
        wbuf_addf(w, "&sid=%s", c->sid);
    if (c->query)
        wbuf_addf(w, "&%s", c->query);
}

static struct http_cookies_request cookies_request(const struct eio_client *c)
{
    return (struct http_cookies_request){
        .host = c->host,
        .path = c->path,
        .secure = c->tls != NULL,
        .now_s = net_loop_wall_s(c->loop),
    };
}

/* The fields that all requests share. */
static void write_fields(struct eio_client *c, struct wbuf *w)
{
    bool ipv6 = strchr(c->host, ':') != NULL;
    uint16_t usual = c->tls ? 443 : 80;
    struct http_cookies_request r = cookies_request(c);
    struct wbuf cookies;

    wbuf_init(w, FIELDS_MAX);
    wbuf_addf(w, ipv6 ? "Host: [%s]" : "Host: %s", c->host);
    if (c->port != usual)
        wbuf_addf(w, ":%u", (unsigned)c->port);
    wbuf_add_cstr(w, "\r\n");
    wbuf_add_cstr(w, c->fields);
    wbuf_init(&cookies, FIELDS_MAX);
    http_cookies_write(c->cookies, &r, &cookies);
    if (cookies.len > 0) {
        wbuf_add_cstr(w, "Cookie: ");
        wbuf_add_str(w, wbuf_str(&cookies));
        wbuf_add_cstr(w, "\r\n");
    }
    wbuf_fini(&cookies);
}

int eio_client_request(struct eio_client *c, struct http_client *http,
                       const char *transport, const char *more_fields,
                       struct http_client_request *r, http_client_cb cb)
{
    struct wbuf target, fields;
    int rv;

    write_target(c, transport, &target);
    write_fields(c, &fields);
    wbuf_add_cstr(&fields, more_fields);
    r->target = wbuf_str(&target);
    r->fields = wbuf_str(&fields);
    rv = target.error < 0 ? target.error : fields.error;
    if (rv == SIO_OK)
        rv = http_client_send(http, r, cb, c);
    wbuf_fini(&target);
    wbuf_fini(&fields);
    return rv;
}

struct http_client *eio_client_http(struct eio_client *c, size_t max_body)
{
    struct http_client_options o = {
        .host = c->host,
        .port = c->port,
        .tls = c->tls,
        .tls_name = c->tls_name,
        .proxy = c->proxy,
        .max_body = max_body,
    };

    return http_client_new(c->loop, &o);
}

void eio_client_cookies(struct eio_client *c, const struct http_head *head)
{
    struct http_cookies_request r = cookies_request(c);
    struct sio_str value;
    size_t i = 0;

    while (http_head_find(head, "set-cookie", &i, &value))
        http_cookies_set(c->cookies, &r, value);
}

void eio_client_refused(struct eio_client *c, const char *what,
                        const struct http_client_reply *reply)
{
    struct sio_str location;
    size_t i = 0;

    if (reply->status / 100 == 3 &&
        http_head_find(reply->head, "location", &i, &location))
        eio_client_fail(c, SIO_ERR_REFUSED, "transport error",
                        "%s: the server redirects to %.*s, which is not followed", what,
                        location.len > 120 ? 120 : (int)location.len, location.ptr);
    else
        eio_client_fail(c, SIO_ERR_REFUSED, "transport error",
                        "%s: the server answered with status %d", what, reply->status);
}

/* The end. */

static void drop_transports(struct eio_client *c)
{
    http_client_free(c->get);
    http_client_free(c->post);
    http_client_free(c->handshake);
    c->get = c->post = c->handshake = NULL;
    eio_client_websocket_drop(c);
    net_timer_stop(&c->watch);
    net_timer_stop(&c->probe_timer);
    list_remove(&c->work.link);
    eio_queue_fini(&c->queue);
    c->queue = (struct eio_queue){0};
    c->probe = EIO_CLIENT_NO_PROBE;
}

void eio_client_end(struct eio_client *c, int error, const char *reason,
                    const char *why)
{
    if (c->state == EIO_CLIENT_CLOSED)
        return;
    c->state = EIO_CLIENT_CLOSED;
    /* Before the transports go: why may be theirs. */
    c->ops->on_close(c, error, reason, why, c->user);
    if (!c->freed)
        drop_transports(c);
}

void eio_client_fail(struct eio_client *c, int error, const char *reason,
                     const char *fmt, ...)
{
    char why[256];
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(why, sizeof(why), fmt, ap);
    va_end(ap);
    eio_client_end(c, error, reason, why);
}

static void on_reap(struct net_task *task)
{
    struct eio_client *c = container_of(task, struct eio_client, work);

    net_tls_unref(c->tls);
    http_proxy_unref(c->proxy);
    mem_free(c->tls_name);
    mem_free(c->host);
    mem_free(c->path);
    mem_free(c->query);
    mem_free(c->fields);
    mem_free(c->sid);
    mem_free(c);
}

void eio_client_free(struct eio_client *c)
{
    if (!c)
        return;
    c->state = EIO_CLIENT_CLOSED;
    drop_transports(c);
    c->freed = true;
    c->work.run = on_reap;
    net_loop_reap(c->loop, &c->work);
}

static void on_watch(struct net_timer *timer, void *user)
{
    struct eio_client *c = user;

    (void)timer;
    switch (c->state) {
    case EIO_CLIENT_CONNECTING:
        eio_client_end(c, SIO_ERR_TIMEOUT, "timeout",
                       "the server did not open a session in time");
        break;
    case EIO_CLIENT_OPEN:
        eio_client_fail(c, SIO_ERR_TIMEOUT, "ping timeout",
                        "no ping from the server for %u ms", (unsigned)c->watch_ms);
        break;
    case EIO_CLIENT_CLOSING:
        eio_client_end(c, SIO_OK, "io client disconnect", "closed");
        break;
    case EIO_CLIENT_CLOSED: break;
    }
}

/* Packets. */

static void on_open_packet(struct eio_client *c, const struct eio_packet *p)
{
    struct eio_open open;

    if (c->state != EIO_CLIENT_CONNECTING || p->base64) {
        eio_client_end(c, SIO_ERR_PROTOCOL, "transport error",
                       "the server opened the session twice");
        return;
    }
    if (eio_open_parse(p->data, &open) < 0) {
        eio_client_end(c, SIO_ERR_PARSE, "parse error", "the open packet is not valid");
        return;
    }
    c->sid = encode_sid(open.sid);
    /* Both are at most 24 days. */
    c->watch_ms = open.ping_interval_ms + open.ping_timeout_ms;
    c->max_payload = open.max_payload;
    if (!c->sid || net_timer_start(&c->watch, c->watch_ms) < 0) {
        eio_client_end(c, SIO_ERR_NOMEM, "transport error", "out of memory");
        return;
    }
    c->state = EIO_CLIENT_OPEN;
    if (c->transport == EIO_CLIENT_ON_POLLING && open.can_upgrade &&
        c->transports == EIO_CLIENT_UPGRADE)
        eio_client_upgrade(c);
    c->ops->on_open(c, c->user);
}

static void on_ping(struct eio_client *c)
{
    if (c->state == EIO_CLIENT_OPEN) /* else it is the bound of the close */
        (void)net_timer_start(&c->watch, c->watch_ms); /* it runs: cannot fail */
    if (c->transport == EIO_CLIENT_ON_WEBSOCKET) {
        eio_client_pong(c);
        return;
    }
    c->pong_due = true;
    eio_client_wake(c);
}

static void on_message(struct eio_client *c, const struct eio_packet *p,
                       struct sio_slice msg)
{
    struct sio_buf *decoded;
    int rv;

    if (!p->base64) {
        msg.ptr = (const uint8_t *)p->data.ptr;
        msg.len = p->data.len;
        c->ops->on_message(c, true, msg, c->user);
        return;
    }
    rv = eio_packet_decode(p, &decoded);
    if (rv < 0) {
        eio_client_end(c, rv, "parse error", "a binary message is not base64");
        return;
    }
    c->ops->on_message(c, false, sio_slice_of(decoded), c->user);
    sio_buf_unref(decoded);
}

void eio_client_packet(struct eio_client *c, const struct eio_packet *p,
                       struct sio_slice msg)
{
    if (c->state == EIO_CLIENT_CONNECTING && p->type != EIO_PACKET_OPEN) {
        eio_client_end(c, SIO_ERR_PROTOCOL, "transport error",
                       "the server did not begin with an open packet");
        return;
    }
    switch (p->type) {
    case EIO_PACKET_OPEN: on_open_packet(c, p); break;
    case EIO_PACKET_CLOSE:
        eio_client_end(c, SIO_ERR_CLOSED, "transport close",
                       "the server closed the session");
        break;
    case EIO_PACKET_PING: on_ping(c); break;
    case EIO_PACKET_MESSAGE:
        if (c->state == EIO_CLIENT_OPEN)
            on_message(c, p, msg);
        break;
    case EIO_PACKET_PONG: /* nobody asked; harmless */
    case EIO_PACKET_UPGRADE:
    case EIO_PACKET_NOOP: break;
    }
}

/* Sending. */

void eio_client_wake(struct eio_client *c)
{
    net_loop_defer(c->loop, &c->work);
}

static void on_work(struct net_task *task)
{
    struct eio_client *c = container_of(task, struct eio_client, work);

    if (c->state != EIO_CLIENT_OPEN && c->state != EIO_CLIENT_CLOSING)
        return;
    if (c->transport == EIO_CLIENT_ON_WEBSOCKET)
        eio_client_websocket_flush(c);
    else
        eio_client_polling_flush(c);
}

void eio_client_check_flushed(struct eio_client *c)
{
    if (!c->dirty || c->state != EIO_CLIENT_OPEN || eio_client_pending(c) > 0)
        return;
    c->dirty = false;
    c->ops->on_flushed(c, c->user);
}

int eio_client_send(struct eio_client *c, struct eio_msg *msg)
{
    uint64_t n_dropped = 0;
    int rv;

    if (c->state != EIO_CLIENT_OPEN)
        return SIO_ERR_CLOSED;
    rv = eio_queue_push(&c->queue, msg, SIZE_MAX, &n_dropped);
    if (rv < 0)
        return rv;
    c->dirty = true;
    eio_client_wake(c);
    return SIO_OK;
}

void eio_client_close(struct eio_client *c)
{
    if (c->state == EIO_CLIENT_CONNECTING) {
        eio_client_end(c, SIO_OK, "io client disconnect", "closed");
        return;
    }
    if (c->state != EIO_CLIENT_OPEN)
        return;
    c->state = EIO_CLIENT_CLOSING;
    (void)net_timer_start(&c->watch, CLOSE_MS); /* it runs: cannot fail */
    eio_client_wake(c);
}

void eio_client_abort(struct eio_client *c, int error, const char *reason,
                      const char *why)
{
    eio_client_end(c, error, reason, why);
}

/* Beginning. */

/* A copy, or NULL for none.  False: out of memory. */
static bool copy_text(char **to, const char *text)
{
    if (!text || !*text)
        return true;
    *to = mem_strndup(text, strlen(text));
    return *to != NULL;
}

static void set_deflate(struct eio_client *c, const struct eio_deflate_options *o)
{
    c->deflate = o->enabled;
    c->deflate_min_bytes = o->min_bytes ? o->min_bytes : DEFLATE_MIN;
    c->deflate_opts = (struct ws_deflate_options){
        .server_no_context_takeover = o->server_no_context_takeover,
        .client_no_context_takeover = o->client_no_context_takeover,
        .level = o->level ? (uint8_t)o->level : 1,
        .window_bits = o->window_bits ? (uint8_t)o->window_bits : 15,
    };
}

static int copy_options(struct eio_client *c, const struct eio_client_options *o)
{
    c->fields = mem_strndup(o->fields.len ? o->fields.ptr : "", o->fields.len);
    if (!c->fields || !copy_text(&c->host, o->host) || !copy_text(&c->path, o->path) ||
        !copy_text(&c->query, o->query) || !copy_text(&c->tls_name, o->tls_name))
        return SIO_ERR_NOMEM;
    c->port = o->port;
    c->tls = o->tls ? net_tls_ref(o->tls) : NULL;
    c->proxy = o->proxy ? http_proxy_ref(o->proxy) : NULL;
    c->cookies = o->cookies;
    c->transports = o->transports;
    c->try_all = o->try_all;
    c->max_message = o->max_message;
    c->connect_timeout_ms = o->connect_timeout_ms;
    set_deflate(c, &o->deflate);
    return SIO_OK;
}

int eio_client_begin(struct eio_client *c, enum eio_client_transport transport)
{
    c->transport = transport;
    return transport == EIO_CLIENT_ON_POLLING ? eio_client_poll(c)
                                              : eio_client_websocket(c);
}

static int begin(struct eio_client *c)
{
    bool polling =
        c->transports == EIO_CLIENT_POLLING || c->transports == EIO_CLIENT_UPGRADE;

    if (net_timer_start(&c->watch, c->connect_timeout_ms) < 0)
        return SIO_ERR_NOMEM;
    return eio_client_begin(c,
                            polling ? EIO_CLIENT_ON_POLLING : EIO_CLIENT_ON_WEBSOCKET);
}

struct eio_client *eio_client_new(struct net_loop *loop,
                                  const struct eio_client_options *opts,
                                  const struct eio_client_ops *ops, void *user)
{
    struct eio_client *c = mem_new(struct eio_client);

    if (!c)
        return NULL;
    c->loop = loop;
    c->ops = ops;
    c->user = user;
    c->work.run = on_work;
    list_init(&c->work.link);
    net_timer_init(&c->watch, loop, on_watch, c);
    net_timer_init(&c->probe_timer, loop, NULL, c);
    if (copy_options(c, opts) < 0 || begin(c) < 0) {
        eio_client_free(c);
        return NULL;
    }
    return c;
}

const char *eio_client_transport(const struct eio_client *c)
{
    if (c->state != EIO_CLIENT_OPEN && c->state != EIO_CLIENT_CLOSING)
        return "";
    return c->transport == EIO_CLIENT_ON_POLLING ? "polling" : "websocket";
}

size_t eio_client_pending(const struct eio_client *c)
{
    size_t n = c->queue.bytes + c->post_bytes;

    if (c->ws && c->transport == EIO_CLIENT_ON_WEBSOCKET)
        n += ws_pending(c->ws);
    return n;
}

size_t eio_client_max_payload(const struct eio_client *c)
{
    return c->max_payload;
}
