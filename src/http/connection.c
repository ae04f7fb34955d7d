#include <config.h>

#include "http/connection.h"

#include "base/mem.h"

/* A body that nobody wants is read to its end up to this size, to keep the connection. */
#define MAX_SWALLOW (64 * 1024)
/* A body's deadline starts again with each of these. */
#define BODY_STEP (64 * 1024)
#define NEVER     UINT64_MAX

static uint64_t now_ms(const struct http_conn *c)
{
    return net_loop_now_ms(c->server->loop);
}

bool http_conn_may_go_on(const struct http_request *r)
{
    const struct http_head *h = http_request_head(r);

    if (r->in_done)
        return true;
    if (!r->head_done || h->expect_continue)
        return false;
    /* A chunked body tells its size last; on_body stops it. */
    return h->chunked || h->content_length - r->body_bytes <= MAX_SWALLOW;
}

/* Takes the body, or drops it when the answer is given already. */
static int on_body(const uint8_t *data, size_t len, void *user)
{
    struct http_request *r = user;

    if ((r->body_bytes + len) / BODY_STEP != r->body_bytes / BODY_STEP)
        r->c->since_ms = now_ms(r->c);
    r->body_bytes += len;
    if (r->out != HTTP_OUT_WAITING)
        return r->body_bytes <= MAX_SWALLOW ? SIO_OK : SIO_ERR_TOO_BIG;
    wbuf_add(&r->body, data, len);
    if (r->body.error == SIO_ERR_TOO_BIG)
        r->abort_status = 413;
    return r->body.error;
}

static bool begin_request(struct http_conn *c)
{
    const struct http_server_options *opts = &c->server->opts;
    const struct http_parser_limits limits = {
        .max_head = opts->max_head_bytes,
        .max_target = opts->max_head_bytes / 2,
        .max_fields = opts->max_fields,
    };
    struct http_request *r = mem_new(struct http_request);

    if (r)
        r->parser = http_parser_new(false, &limits, on_body, r);
    if (!r || !r->parser) {
        mem_free(r);
        net_conn_abort(c->conn, SIO_ERR_NOMEM);
        return false;
    }
    r->c = c;
    r->cors = &opts->cors;
    r->scratch = &r->scratch_list;
    wbuf_init(&r->body, 0);
    wbuf_init(&r->fields, opts->max_head_bytes);
    c->request = r;
    c->since_ms = now_ms(c);
    c->server->n_requests++;
    return true;
}

static void drop_request(struct http_conn *c)
{
    if (c->request)
        http_request_free(c->request);
    c->request = NULL;
}

static void start_close(struct http_conn *c)
{
    c->closing = true;
    c->in_len = 0;
    net_conn_close(c->conn, HTTP_LINGER_MS);
}

static void end_request(struct http_conn *c)
{
    /* Answered before the server began to drain, it was told that it may stay. */
    bool close = c->request->close || c->server->draining;

    drop_request(c);
    c->since_ms = now_ms(c);
    if (close)
        start_close(c);
}

static void tell_abort(struct http_request *r, int status)
{
    r->out = HTTP_OUT_DONE;
    r->abort_status = status;
    if (r->told && r->handler->on_abort)
        r->handler->on_abort(r, r->user);
}

/* The server answers in the handler's place. */
static void answer_instead(struct http_request *r, int status)
{
    r->close = true;
    http_reply_status(r, status);
    tell_abort(r, status);
}

/* What the head says of the body, once the handler has seen the head and not answered. */
static void expect_body(struct http_request *r)
{
    const struct http_head *h = http_request_head(r);
    static const char go_on[] = "HTTP/1.1 100 Continue\r\n\r\n";
    const struct sio_slice slice = {NULL, (const uint8_t *)go_on, sizeof(go_on) - 1};

    wbuf_init(&r->body, r->handler->max_body);
    if (h->content_length > r->handler->max_body) {
        answer_instead(r, 413);
        return;
    }
    if (wbuf_reserve(&r->body, (size_t)h->content_length) < 0) {
        answer_instead(r, 500);
        return;
    }
    if (h->expect_continue && r->c->in_len == 0 &&
        (h->chunked || h->content_length > 0))
        http_conn_send(r->c, &slice, 1);
}

static void head_complete(struct http_request *r)
{
    int status;

    r->head_done = true;
    r->c->since_ms = now_ms(r->c);
    status = http_request_locate(r);
    if (status != 0) {
        http_reply_status(r, status);
        return;
    }
    if (r->out != HTTP_OUT_WAITING)
        return;
    if (r->handler->on_head) {
        r->told = true;
        r->handler->on_head(r, r->user);
    }
    if (r->c->conn && r->out == HTTP_OUT_WAITING)
        expect_body(r);
}

static void message_complete(struct http_request *r)
{
    r->in_done = true;
    if (r->out != HTTP_OUT_WAITING)
        return;
    r->told = true;
    r->handler->on_request(r, r->user);
}

static void input_failed(struct http_request *r)
{
    int status = r->abort_status ? r->abort_status : http_parser_status(r->parser);

    switch (r->out) {
    case HTTP_OUT_WAITING: answer_instead(r, status); break;
    case HTTP_OUT_STREAM: net_conn_abort(r->c->conn, SIO_ERR_PARSE); break;
    case HTTP_OUT_DONE: r->close = true; break;
    }
}

static bool read_on(struct http_conn *c)
{
    struct http_request *r = c->request;
    size_t used;
    enum http_parser_step step = http_parser_feed(r->parser, c->in, c->in_len, &used);

    if (used > 0) { /* else in may be NULL */
        c->in += used;
        c->in_len -= used;
    }
    switch (step) {
    case HTTP_PARSER_MORE: return false;
    case HTTP_PARSER_HEAD: head_complete(r); break;
    case HTTP_PARSER_DONE: message_complete(r); break;
    case HTTP_PARSER_FAILED: input_failed(r); break;
    }
    return true;
}

/* One step; false when nothing can be done before something happens. */
static bool advance(struct http_conn *c)
{
    struct http_request *r = c->request;

    /* Replies that the client does not read do not get company. */
    if (!r)
        return c->in_len > 0 && !net_conn_full(c->conn) && begin_request(c);
    if (r->out == HTTP_OUT_DONE && (r->in_done || r->close)) {
        end_request(c);
        return true;
    }
    if (r->in_done)
        return false;
    return read_on(c);
}

/* Keeps what is left of the input, and reads no more while something is left. */
static void keep_rest(struct http_conn *c)
{
    struct sio_buf *old = c->held;

    if (c->in_len == 0) {
        c->held = NULL;
        c->in = NULL;
    } else if (!old) {
        c->held = sio_buf_copy(c->in, c->in_len);
        if (!c->held) {
            net_conn_abort(c->conn, SIO_ERR_NOMEM);
            return;
        }
        c->in = sio_buf_data(c->held);
    }
    if (old && !c->held)
        sio_buf_unref(old);
    if (c->closing || c->paused == (c->held != NULL))
        return;
    c->paused = c->held != NULL;
    if (c->paused)
        net_conn_pause(c->conn);
    else
        net_conn_resume(c->conn);
}

static uint64_t output_due(struct http_conn *c)
{
    uint64_t bytes = net_conn_bytes_out(c->conn);

    if (net_conn_pending(c->conn) == 0)
        return NEVER;
    if (bytes != c->out_bytes) {
        c->out_bytes = bytes;
        c->out_ms = now_ms(c);
    }
    return c->out_ms + c->server->opts.write_timeout_ms;
}

static uint64_t input_due(const struct http_conn *c)
{
    const struct http_server_options *opts = &c->server->opts;
    const struct http_request *r = c->request;

    if (c->closing || (r && r->in_done) || (!r && c->in_len > 0))
        return NEVER;
    if (!r)
        return c->since_ms + opts->idle_timeout_ms;
    return c->since_ms + (r->head_done ? opts->body_timeout_ms : opts->head_timeout_ms);
}

/*
 * Sees to it that the timer runs no later than the next deadline.  A timer that is early
 * is left alone: it looks again when it fires, so a request costs no timer work.
 */
static void watch(struct http_conn *c)
{
    uint64_t due = input_due(c);
    uint64_t out = output_due(c);
    uint64_t now = now_ms(c);

    if (out < due)
        due = out;
    if (due == NEVER)
        return;
    if (net_timer_running(&c->timer) && c->timer.due_ns / 1000000 <= due)
        return;
    if (net_timer_start(&c->timer, due > now ? due - now : 0) < 0)
        net_conn_abort(c->conn, SIO_ERR_NOMEM);
}

static void leave(struct http_conn *c)
{
    c->busy = false;
    if (c->conn)
        keep_rest(c);
    if (c->conn)
        watch(c);
    if (!c->conn)
        drop_request(c);
}

static void consume(struct http_conn *c)
{
    c->busy = true;
    while (c->conn && !c->closing && advance(c))
        ;
    leave(c);
}

static void on_timer(struct net_timer *timer, void *user)
{
    struct http_conn *c = user;
    uint64_t now = now_ms(c);

    (void)timer;
    if (output_due(c) <= now) {
        net_conn_abort(c->conn, SIO_ERR_TIMEOUT);
        return;
    }
    c->busy = true;
    if (input_due(c) <= now) {
        if (!c->request) {
            start_close(c);
        } else if (c->request->out == HTTP_OUT_WAITING) {
            answer_instead(c->request, 408);
            if (c->conn)
                end_request(c);
        } else {
            net_conn_abort(c->conn, SIO_ERR_TIMEOUT);
        }
    }
    leave(c);
}

static void on_advance(struct net_task *task)
{
    struct http_conn *c = container_of(task, struct http_conn, advance);

    if (c->conn)
        consume(c);
}

static void on_reap(struct net_task *task)
{
    struct http_conn *c = container_of(task, struct http_conn, reap);

    list_remove(&c->advance.link);
    sio_buf_unref(c->held);
    mem_free(c);
}

void http_conn_release(struct http_conn *c)
{
    struct http_server *server = c->server;

    c->conn = NULL;
    if (!c->busy)
        drop_request(c);
    net_timer_stop(&c->timer);
    list_remove(&c->link);
    net_loop_reap(server->loop, &c->reap);
    http_server_conn_gone(server);
}

static void on_data(struct net_conn *conn, uint8_t *data, size_t len, void *user)
{
    struct http_conn *c = user;

    (void)conn;
    if (c->closing || len == 0)
        return;
    if (c->in_len > 0) { /* reading was stopped too late for this */
        struct sio_buf *both = sio_buf_new(c->in_len + len);

        if (!both) {
            net_conn_abort(c->conn, SIO_ERR_NOMEM);
            return;
        }
        memcpy(sio_buf_data(both), c->in, c->in_len);
        memcpy(sio_buf_data(both) + c->in_len, data, len);
        sio_buf_unref(c->held);
        c->held = both;
        data = sio_buf_data(both);
        len += c->in_len;
    }
    c->in = data;
    c->in_len = len;
    consume(c);
}

static void on_drain(struct net_conn *conn, void *user)
{
    struct http_conn *c = user;
    struct http_request *r = c->request;

    (void)conn;
    if (r && r->out == HTTP_OUT_STREAM && r->on_drain)
        r->on_drain(r, r->drain_user);
    else if (!r && c->in_len > 0)
        consume(c);
}

/*
 * The client has sent its last byte.  A reply that is on its way is still sent; whoever
 * ends his side while he waits for one is taken to be gone, since no client that
 * half-closes can be told from one that left.
 */
static void on_eof(struct net_conn *conn, void *user)
{
    struct http_conn *c = user;

    (void)conn;
    if (c->closing)
        return;
    if (c->request && c->request->out != HTTP_OUT_DONE) {
        tell_abort(c->request, 0);
        if (!c->conn)
            return;
    }
    drop_request(c);
    start_close(c);
}

static void on_close(struct net_conn *conn, int error, void *user)
{
    struct http_conn *c = user;

    (void)conn;
    (void)error;
    if (c->request && c->request->out != HTTP_OUT_DONE)
        tell_abort(c->request, 0);
    if (c->conn)
        http_conn_release(c);
}

static const struct net_conn_ops conn_ops = {
    .on_data = on_data,
    .on_drain = on_drain,
    .on_eof = on_eof,
    .on_close = on_close,
};

void http_conn_accept(struct net_conn *conn, void *user)
{
    struct http_server *server = user;
    struct http_conn *c = server->draining ? NULL : mem_new(struct http_conn);

    if (!c) {
        net_conn_abort(conn, SIO_ERR_NOMEM);
        return;
    }
    c->server = server;
    c->conn = conn;
    list_init(&c->link);
    list_init(&c->advance.link);
    list_init(&c->reap.link);
    c->advance.run = on_advance;
    c->reap.run = on_reap;
    net_timer_init(&c->timer, server->loop, on_timer, c);
    c->since_ms = c->out_ms = now_ms(c);
    list_append(&server->conns, &c->link);
    server->n_conns++;
    server->n_accepted++;
    net_conn_set_ops(conn, &conn_ops, c);
    watch(c);
}

void http_conn_abort(struct http_conn *c)
{
    net_conn_abort(c->conn, SIO_ERR_CLOSED);
}

void http_conn_drain(struct http_conn *c)
{
    if (!c->request && !c->closing)
        start_close(c);
}

int http_conn_send(struct http_conn *c, const struct sio_slice *slices, size_t n)
{
    int rv;

    if (!c->conn)
        return SIO_ERR_CLOSED;
    if (net_conn_pending(c->conn) == 0) {
        c->out_ms = now_ms(c);
        c->out_bytes = net_conn_bytes_out(c->conn);
    }
    rv = net_conn_send(c->conn, slices, n);
    if (rv < 0)
        net_conn_abort(c->conn, rv);
    else if (!c->busy) /* for the deadline */
        net_loop_defer(c->server->loop, &c->advance);
    return rv;
}

void http_conn_replied(struct http_conn *c)
{
    if (c->conn && !c->busy)
        net_loop_defer(c->server->loop, &c->advance);
}
