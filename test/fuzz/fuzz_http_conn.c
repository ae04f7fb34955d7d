/*
 * A connection of the server, from its bytes to its handlers and back: whatever comes,
 * in two pieces or one, the same requests reach the handlers, each ends exactly once, and
 * nothing is sent after the end.  Some handlers answer at once, some later, some as a
 * stream, some before the body.
 *
 * The connection below is a fake; the linker puts it in the real one's place.
 */
#include <config.h>

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/list.h"
#include "http/connection.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct net_conn {
    const struct net_conn_ops *ops;
    void *user;
    struct net_loop *loop;
    bool paused;
    bool closing;
    bool closed;
    uint64_t bytes_out;
};

/* What happened to the requests of one connection. */
struct tally {
    struct http_request *held;
    uint64_t hash; /* of the requests that were complete */
    int n_requests;
    int n_open; /* heads told and not ended */
};

void __wrap_net_conn_set_ops(struct net_conn *c, const struct net_conn_ops *ops,
                             void *user);
int __wrap_net_conn_send(struct net_conn *c, const struct sio_slice *slices, size_t n);
void __wrap_net_conn_close(struct net_conn *c, uint32_t linger_ms);
void __wrap_net_conn_abort(struct net_conn *c, int error);
void __wrap_net_conn_pause(struct net_conn *c);
void __wrap_net_conn_resume(struct net_conn *c);
size_t __wrap_net_conn_pending(const struct net_conn *c);
bool __wrap_net_conn_full(struct net_conn *c);
uint64_t __wrap_net_conn_bytes_out(const struct net_conn *c);

void __wrap_net_conn_set_ops(struct net_conn *c, const struct net_conn_ops *ops,
                             void *user)
{
    c->ops = ops;
    c->user = user;
}

int __wrap_net_conn_send(struct net_conn *c, const struct sio_slice *slices, size_t n)
{
    assert(!c->closing && !c->closed);
    for (size_t i = 0; i < n; i++)
        c->bytes_out += slices[i].len;
    return SIO_OK;
}

void __wrap_net_conn_close(struct net_conn *c, uint32_t linger_ms)
{
    (void)linger_ms;
    c->closing = true;
}

void __wrap_net_conn_abort(struct net_conn *c, int error)
{
    if (c->closed)
        return;
    c->closed = true;
    if (c->ops)
        c->ops->on_close(c, error, c->user);
}

void __wrap_net_conn_pause(struct net_conn *c)
{
    c->paused = true;
}

void __wrap_net_conn_resume(struct net_conn *c)
{
    c->paused = false;
}

size_t __wrap_net_conn_pending(const struct net_conn *c)
{
    (void)c;
    return 0;
}

bool __wrap_net_conn_full(struct net_conn *c)
{
    (void)c;
    return false;
}

uint64_t __wrap_net_conn_bytes_out(const struct net_conn *c)
{
    return c->bytes_out;
}

static void fold(struct tally *t, const void *p, size_t len)
{
    const uint8_t *bytes = p;

    for (size_t i = 0; i < len; i++)
        t->hash = (t->hash ^ bytes[i]) * 0x100000001b3u;
}

static void note(struct tally *t, struct http_request *r)
{
    struct sio_slice body = http_request_body(r);
    struct sio_str path = http_request_path(r);
    struct sio_str value;

    t->n_requests++;
    fold(t, path.ptr, path.len);
    fold(t, body.ptr, body.len);
    if (http_request_query_get(r, "k", &value))
        fold(t, value.ptr, value.len);
    value = http_request_field(r, "x-many");
    fold(t, value.ptr, value.len);
    value = http_request_param(r, 0);
    fold(t, value.ptr, value.len);
}

static void on_now(struct http_request *r, void *user)
{
    struct sio_slice body = http_request_body(r);

    note(user, r);
    http_reply_field(r, "X-A", SIO_STR("b"));
    http_reply(r, 200, "text/plain", &body, 1);
}

static void on_later(struct http_request *r, void *user)
{
    struct tally *t = user;

    assert(!t->held);
    note(t, r);
    t->held = r;
    t->n_open++;
}

static void on_refused(struct http_request *r, void *user)
{
    (void)user;
    http_reply_error(r, 403, "no");
}

static void on_stream(struct http_request *r, void *user)
{
    struct tally *t = user;

    note(t, r);
    if (http_stream_begin(r, 200, "text/plain", NULL, NULL) == SIO_OK) {
        t->held = r;
        t->n_open++;
    }
}

static void on_abort(struct http_request *r, void *user)
{
    struct tally *t = user;

    if (t->held != r) /* its body was not complete */
        return;
    t->held = NULL;
    t->n_open--;
}

static const struct http_handler now = {
    .on_request = on_now, .on_abort = on_abort, .max_body = 50};
static const struct http_handler later = {
    .on_request = on_later, .on_abort = on_abort, .max_body = 50};
static const struct http_handler refused = {.on_head = on_refused,
                                            .on_request = on_now};
static const struct http_handler stream = {.on_request = on_stream,
                                           .on_abort = on_abort};

/* Ends what waits, if it is due. */
static void answer(struct tally *t)
{
    const struct sio_slice part = {NULL, (const uint8_t *)"abc", 3};
    struct http_request *r = t->held;

    if (!r)
        return;
    t->held = NULL;
    t->n_open--;
    if (r->out == HTTP_OUT_STREAM) {
        http_stream_send(r, &part, 1);
        http_stream_end(r);
    } else {
        http_reply_bytes(r, 200, "text/plain", "late", 4);
    }
}

static void settle(struct net_conn *c, struct tally *t)
{
    do {
        answer(t);
        net_loop_run_once(c->loop, 0);
    } while (t->held || (c->paused && !c->closing && !c->closed));
}

static void feed(struct net_conn *c, struct tally *t, const uint8_t *data, size_t len)
{
    uint8_t *copy;

    if (c->closing || c->closed || len == 0)
        return;
    copy = malloc(len);
    if (!copy)
        abort();
    memcpy(copy, data, len);
    c->ops->on_data(c, copy, len, c->user);
    free(copy);
    settle(c, t);
}

static struct tally serve(struct net_loop *loop, const uint8_t *data, size_t size,
                          size_t cut)
{
    static const struct http_server_options opts = {
        .max_head_bytes = 600, .max_fields = 8, .cors = {.enabled = true}};
    struct tally t = {0};
    struct net_conn c = {.loop = loop};
    struct http_server *server = http_server_new(loop, &opts);

    if (!server || http_server_route(server, HTTP_ANY, "/now/:", &now, &t) < 0 ||
        http_server_route(server, HTTP_GET | HTTP_POST, "/later", &later, &t) < 0 ||
        http_server_route(server, HTTP_POST, "/refused", &refused, &t) < 0 ||
        http_server_route(server, HTTP_GET, "/s*", &stream, &t) < 0)
        abort();
    http_conn_accept(&c, server);
    feed(&c, &t, data, cut);
    feed(&c, &t, data + cut, size - cut);
    if (!c.closing && !c.closed)
        c.ops->on_eof(&c, c.user);
    http_server_free(server);
    assert(c.closed && !t.held && t.n_open == 0);
    net_loop_run_once(loop, 0);
    return t;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct net_loop *loop;
    struct tally whole, cut;
    size_t at;

    if (!loop)
        loop = net_loop_new(NULL, NULL);
    if (!loop)
        abort();
    if (size < 2)
        return 0;
    at = (size_t)(data[0] << 8 | data[1]) % (size - 1);
    data += 2;
    size -= 2;
    whole = serve(loop, data, size, size);
    cut = serve(loop, data, size, at);
    assert(whole.n_requests == cut.n_requests && whole.hash == cut.hash);
    return 0;
}
