#include <config.h>

#include <stdio.h>

#include "base/json.h"
#include "base/mem.h"
#include "http/coding.h"
#include "http/connection.h"
#include "http/cors.h"

/* Room for what the server writes itself into a head. */
#define HEAD_ROOM 512
/* A body up to this is copied behind the head: one run of bytes, one reference less. */
#define MAX_COPIED_BODY 4096
#define N_SLICES        16

static bool is_field_text(const char *p, size_t len)
{
    return !memchr(p, '\r', len) && !memchr(p, '\n', len) && !memchr(p, '\0', len);
}

int http_reply_field(struct http_request *r, const char *name, struct sio_str value)
{
    size_t name_len = strlen(name);

    if (name_len == 0 || !is_field_text(name, name_len) ||
        (value.len > 0 && !is_field_text(value.ptr, value.len)))
        return SIO_ERR_INVAL;
    wbuf_add(&r->fields, name, name_len);
    wbuf_add_str(&r->fields, SIO_STR(": "));
    wbuf_add_str(&r->fields, value);
    wbuf_add_str(&r->fields, SIO_STR("\r\n"));
    return SIO_OK;
}

void http_reply_close(struct http_request *r)
{
    r->close = true;
}

static struct sio_str origin_of(const struct http_request *r)
{
    struct sio_str origin = {0};
    size_t i = 0;

    if (r->head_done && r->cors->enabled)
        http_head_find(http_request_head(r), "origin", &i, &origin);
    return origin;
}

static void write_status_line(struct wbuf *w, int status)
{
    wbuf_add_str(w, SIO_STR("HTTP/1.1 "));
    wbuf_add_u64(w, (uint64_t)status);
    wbuf_add_byte(w, ' ');
    wbuf_add_cstr(w, http_status_text(status));
    wbuf_add_str(w, SIO_STR("\r\nDate: "));
}

/* HTTP/1.1 stays open unless told, HTTP/1.0 ends unless told. */
static void write_connection(struct http_request *r, struct wbuf *w)
{
    const struct http_head *h = http_request_head(r);

    if (!h->keep_alive || r->c->server->draining || !http_conn_may_go_on(r))
        r->close = true;
    if (r->close)
        wbuf_add_str(w, SIO_STR("Connection: close\r\n"));
    else if (h->minor == 0)
        wbuf_add_str(w, SIO_STR("Connection: keep-alive\r\n"));
}

/* Everything but the field that says where the body ends, and the empty line. */
static void write_head(struct http_request *r, struct wbuf *w, int status,
                       const char *type, size_t room)
{
    struct sio_str origin = origin_of(r);
    struct sio_str fields = wbuf_str(&r->fields);
    size_t type_len = type ? strlen(type) : 0;

    wbuf_init(w, UINT32_MAX);
    wbuf_reserve(w, HEAD_ROOM + origin.len + fields.len + type_len + room);
    if (r->fields.error)
        w->error = r->fields.error;
    write_status_line(w, status);
    wbuf_add(w, net_loop_http_date(r->c->server->loop), 29);
    wbuf_add_str(w, SIO_STR("\r\n"));
    if (type) {
        wbuf_add_str(w, SIO_STR("Content-Type: "));
        wbuf_add(w, type, type_len);
        wbuf_add_str(w, SIO_STR("\r\n"));
    }
    wbuf_add_str(w, fields);
    http_cors_write(r->cors, origin, w);
    write_connection(r, w);
}

/* These have no body and say no length (RFC 9110, 8.6). */
static bool has_no_length(int status)
{
    return status < 200 || status == 204 || status == 304;
}

/* Sends head, then the slices of body that did not go into it.  r is answered after this. */
static int send_whole(struct http_request *r, struct wbuf *head,
                      const struct sio_slice *body, size_t n)
{
    struct http_conn *c = r->c;
    struct sio_slice few[N_SLICES];
    struct sio_slice *all = few;
    int rv = head->error;

    if (n + 1 > N_SLICES)
        all = mem_array(n + 1, sizeof(*all));
    if (!all)
        rv = SIO_ERR_NOMEM;
    r->out = HTTP_OUT_DONE;
    if (rv == SIO_OK) {
        all[0] = (struct sio_slice){head->buf, head->buf->data, head->len};
        if (n > 0)
            memcpy(all + 1, body, n * sizeof(*all));
        rv = http_conn_send(c, all, n + 1);
    } else if (c->conn) {
        net_conn_abort(c->conn, rv);
    }
    if (all != few)
        mem_free(all);
    wbuf_fini(head);
    if (rv == SIO_OK)
        http_conn_replied(c);
    return rv;
}

void http_reply_compress(struct http_request *r, size_t min_bytes,
                         struct http_coded *kept)
{
    r->compress = !r->c->server->opts.no_compression;
    r->compress_min = min_bytes;
    r->kept = kept;
}

/* The body in the coding that the client likes best; NULL: it stays as it is. */
static struct sio_buf *code_body(struct http_request *r, int status,
                                 const struct sio_slice *body, size_t n, size_t total)
{
    struct http_codings client;
    struct sio_buf *coded;

    if (!r->compress)
        return NULL;
    client = http_codings_parse(http_request_field(r, "Accept-Encoding"));
    if (total < r->compress_min && status != 304 && !client.no_identity)
        return NULL;
    http_reply_field(r, "Vary", SIO_STR("Accept-Encoding"));
    if (has_no_length(status) || client.best == HTTP_IDENTITY)
        return NULL;
    coded = http_code(client.best, body, n, r->kept);
    if (coded)
        http_reply_field(r, "Content-Encoding",
                         sio_str_from(http_coding_name(client.best)));
    return coded;
}

static int reply_as_is(struct http_request *r, int status, const char *type,
                       const struct sio_slice *body, size_t n, size_t total)
{
    struct wbuf head;
    bool copied = total <= MAX_COPIED_BODY;

    write_head(r, &head, status, type, copied ? total : 0);
    if (!has_no_length(status)) {
        wbuf_add_str(&head, SIO_STR("Content-Length: "));
        wbuf_add_u64(&head, total);
        wbuf_add_str(&head, SIO_STR("\r\n"));
    }
    wbuf_add_str(&head, SIO_STR("\r\n"));
    if (r->method == HTTP_HEAD || has_no_length(status))
        n = 0;
    if (!copied)
        return send_whole(r, &head, body, n);
    for (size_t i = 0; i < n; i++)
        wbuf_add(&head, body[i].ptr, body[i].len);
    return send_whole(r, &head, NULL, 0);
}

int http_reply(struct http_request *r, int status, const char *type,
               const struct sio_slice *body, size_t n)
{
    struct sio_buf *coded;
    struct sio_slice slice;
    size_t total = 0;
    int rv;

    for (size_t i = 0; i < n; i++)
        total += body[i].len;
    coded = code_body(r, status, body, n, total);
    if (!coded)
        return reply_as_is(r, status, type, body, n, total);
    slice = sio_slice_of(coded);
    rv = reply_as_is(r, status, type, &slice, 1, slice.len);
    sio_buf_unref(coded);
    return rv;
}

int http_reply_bytes(struct http_request *r, int status, const char *type,
                     const void *p, size_t len)
{
    const struct sio_slice body = {NULL, p, len};

    return http_reply(r, status, type, &body, len > 0);
}

static int reply_json(struct http_request *r, int status, struct sio_str body)
{
    http_reply_field(r, "Cache-Control", SIO_STR("no-store"));
    return http_reply_bytes(r, status, "application/json", body.ptr, body.len);
}

int http_reply_error(struct http_request *r, int status, const char *text)
{
    struct wbuf w;
    int rv;

    wbuf_init(&w, UINT32_MAX);
    wbuf_add_str(&w, SIO_STR("{\"success\":false,\"error\":"));
    json_write_string(&w, sio_str_from(text));
    wbuf_add_str(&w, SIO_STR("}\n"));
    if (w.error)
        r->fields.error = w.error; /* shows when the head is written */
    rv = reply_json(r, status, wbuf_str(&w));
    wbuf_fini(&w);
    return rv;
}

void http_reply_status(struct http_request *r, int status)
{
    const struct http_server_options *opts = &r->c->server->opts;

    if (opts->error_body)
        reply_json(r, status, opts->error_body(status));
    else
        http_reply_error(r, status, http_status_text(status));
}

void http_reply_options(struct http_request *r, unsigned methods)
{
    char allow[HTTP_ALLOW_SIZE];
    bool preflight =
        origin_of(r).ptr && http_request_field(r, "Access-Control-Request-Method").ptr;

    http_reply_field(r, "Allow",
                     (struct sio_str){allow, http_allow_write(methods, allow)});
    if (preflight)
        http_cors_write_preflight(
            r->cors, http_request_field(r, "Access-Control-Request-Headers"),
            &r->fields);
    http_reply_bytes(r, preflight ? 204 : 200, NULL, NULL, 0);
}

/* Says where the body ends, then sends the head. */
static int begin_stream(struct http_request *r, struct wbuf *head)
{
    struct sio_slice slice;
    int rv;

    if (r->chunked)
        wbuf_add_str(head, SIO_STR("Transfer-Encoding: chunked\r\n"));
    if (r->sized) {
        wbuf_add_str(head, SIO_STR("Content-Length: "));
        wbuf_add_u64(head, r->out_left);
        wbuf_add_str(head, SIO_STR("\r\n"));
    }
    wbuf_add_str(head, SIO_STR("\r\n"));
    if (r->method == HTTP_HEAD || head->error) {
        rv = send_whole(r, head, NULL, 0);
        return rv < 0 ? rv : SIO_ERR_CLOSED;
    }
    slice = (struct sio_slice){head->buf, head->buf->data, head->len};
    r->out = HTTP_OUT_DONE; /* a failure shows in the result, not in on_abort */
    rv = http_conn_send(r->c, &slice, 1);
    if (rv == SIO_OK)
        r->out = HTTP_OUT_STREAM;
    wbuf_fini(head);
    return rv;
}

int http_stream_begin(struct http_request *r, int status, const char *type,
                      void (*on_drain)(struct http_request *r, void *user), void *user)
{
    struct wbuf head;

    r->on_drain = on_drain;
    r->drain_user = user;
    r->chunked = http_request_head(r)->minor > 0;
    if (!r->chunked)
        r->close = true;
    write_head(r, &head, status, type, 0);
    return begin_stream(r, &head);
}

int http_stream_begin_sized(struct http_request *r, int status, const char *type,
                            uint64_t length,
                            void (*on_drain)(struct http_request *r, void *user),
                            void *user)
{
    struct wbuf head;

    r->on_drain = on_drain;
    r->drain_user = user;
    r->sized = true;
    r->out_left = length;
    write_head(r, &head, status, type, 0);
    return begin_stream(r, &head);
}

/* A chunk (RFC 9112, 7.1) around the slices; an empty one would be the last. */
static int send_chunk(struct http_conn *c, const struct sio_slice *slices, size_t n,
                      size_t total)
{
    struct sio_slice few[N_SLICES];
    struct sio_slice *all = n + 2 > N_SLICES ? mem_array(n + 2, sizeof(*all)) : few;
    char size[20];
    int len = snprintf(size, sizeof(size), "%zx\r\n", total);
    int rv;

    if (!all) {
        net_conn_abort(c->conn, SIO_ERR_NOMEM);
        return SIO_ERR_NOMEM;
    }
    all[0] = (struct sio_slice){NULL, (const uint8_t *)size, (size_t)len};
    memcpy(all + 1, slices, n * sizeof(*all));
    all[n + 1] = (struct sio_slice){NULL, (const uint8_t *)"\r\n", 2};
    rv = http_conn_send(c, all, n + 2);
    if (all != few)
        mem_free(all);
    return rv;
}

int http_stream_send(struct http_request *r, const struct sio_slice *slices, size_t n)
{
    size_t total = 0;

    if (r->out != HTTP_OUT_STREAM || !r->c->conn)
        return SIO_ERR_CLOSED;
    for (size_t i = 0; i < n; i++)
        total += slices[i].len;
    if (total == 0)
        return SIO_OK;
    if (r->chunked)
        return send_chunk(r->c, slices, n, total);
    if (r->sized && total > r->out_left)
        return SIO_ERR_TOO_BIG;
    r->out_left -= r->sized ? total : 0;
    return http_conn_send(r->c, slices, n);
}

size_t http_stream_pending(const struct http_request *r)
{
    return r->c->conn ? net_conn_pending(r->c->conn) : 0;
}

void http_stream_end(struct http_request *r)
{
    struct http_conn *c = r->c;
    const struct sio_slice last = {NULL, (const uint8_t *)"0\r\n\r\n", 5};

    if (r->out != HTTP_OUT_STREAM)
        return;
    r->out = HTTP_OUT_DONE;
    if (r->chunked && http_conn_send(c, &last, 1) < 0)
        return;
    if (r->sized && r->out_left > 0)
        r->close = true;
    http_conn_replied(c);
}

void http_stream_cut(struct http_request *r)
{
    if (r->out != HTTP_OUT_STREAM)
        return;
    r->out = HTTP_OUT_DONE;
    r->close = true;
    http_conn_replied(r->c);
}
