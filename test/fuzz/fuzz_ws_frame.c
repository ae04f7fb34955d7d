/*
 * What a WebSocket receives in two pieces has the same effect as in one: messages, frames
 * sent, close code.  The first byte chooses the role and whether messages may be
 * compressed, the next two where the rest is cut.
 *
 * The connection is a fake that takes notes; the linker puts it in the real one's place.
 */
#include <config.h>

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/list.h"
#include "http/websocket.h"
#include "http/ws_deflate.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define MAX_MESSAGE 5000

/* In the place of the layer below: just what a WebSocket asks of it. */
struct net_conn {
    const struct net_conn_ops *ops;
    void *user;
    struct net_task *reap;
    uint64_t hash; /* of all that happened */
    size_t n_messages;
    int code;
    bool client;
    bool closed;
};

static void fold(struct net_conn *c, const void *p, size_t len)
{
    const uint8_t *bytes = p;

    for (size_t i = 0; i < len; i++)
        c->hash = (c->hash ^ bytes[i]) * 0x100000001b3u;
}

/* The linker gives these names their meaning. */
void __wrap_net_conn_set_ops(struct net_conn *c, const struct net_conn_ops *ops,
                             void *user);
int __wrap_net_conn_send(struct net_conn *c, const struct sio_slice *slices, size_t n);
int __wrap_net_conn_send_bytes(struct net_conn *c, const void *p, size_t len);
int __wrap_net_conn_deadline(struct net_conn *c, uint32_t ms);
void __wrap_net_conn_close(struct net_conn *c, uint32_t linger_ms);
struct net_loop *__wrap_net_conn_loop(struct net_conn *c);
bool __wrap_net_conn_full(struct net_conn *c);
size_t __wrap_net_conn_pending(const struct net_conn *c);
void __wrap_net_loop_reap(struct net_loop *loop, struct net_task *task);
struct random_pool *__wrap_net_loop_random(struct net_loop *loop);

void __wrap_net_conn_set_ops(struct net_conn *c, const struct net_conn_ops *ops,
                             void *user)
{
    c->ops = ops;
    c->user = user;
}

int __wrap_net_conn_send(struct net_conn *c, const struct sio_slice *slices, size_t n)
{
    assert(!c->closed);
    for (size_t i = 0; i < n; i++)
        __wrap_net_conn_send_bytes(c, slices[i].ptr, slices[i].len);
    return SIO_OK;
}

int __wrap_net_conn_send_bytes(struct net_conn *c, const void *p, size_t len)
{
    assert(!c->closed);
    if (c->client) /* the mask is random */
        fold(c, &len, sizeof(len));
    else
        fold(c, p, len);
    return SIO_OK;
}

int __wrap_net_conn_deadline(struct net_conn *c, uint32_t ms)
{
    (void)c;
    (void)ms;
    return SIO_OK;
}

void __wrap_net_conn_close(struct net_conn *c, uint32_t linger_ms)
{
    (void)linger_ms;
    assert(!c->closed);
    c->closed = true;
}

/* The loop is only handed back to net_loop_reap. */
struct net_loop *__wrap_net_conn_loop(struct net_conn *c)
{
    return (struct net_loop *)(void *)c;
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

struct random_pool *__wrap_net_loop_random(struct net_loop *loop)
{
    static struct random_pool pool;

    (void)loop;
    return &pool;
}

void __wrap_net_loop_reap(struct net_loop *loop, struct net_task *task)
{
    ((struct net_conn *)(void *)loop)->reap = task;
}

static void on_message(struct ws *ws, bool text, struct sio_slice msg, void *user)
{
    struct net_conn *c = user;

    (void)ws;
    assert(msg.len <= MAX_MESSAGE);
    fold(c, &(bool){text}, 1);
    fold(c, msg.ptr, msg.len);
    c->n_messages++;
}

static void on_close(struct ws *ws, int code, void *user)
{
    struct net_conn *c = user;

    (void)ws;
    assert(c->code == 0);
    c->code = code;
}

static const struct ws_ops ops = {.on_message = on_message, .on_close = on_close};
static const struct ws_deflate_params deflate = {
    .out_bits = 9, .in_bits = 9, .level = 1};
static const struct ws_options plain = {.max_message = MAX_MESSAGE, .max_fragments = 9};
static const struct ws_options deflating = {
    .max_message = MAX_MESSAGE, .max_fragments = 9, .deflate = &deflate};

/* The bytes are unmasked where they lie: each piece is a copy of its own size. */
static void feed(struct net_conn *c, const uint8_t *data, size_t len)
{
    uint8_t *copy;

    if (c->closed || len == 0)
        return;
    copy = malloc(len);
    if (!copy)
        abort();
    memcpy(copy, data, len);
    c->ops->on_data(c, copy, len, c->user);
    free(copy);
}

static struct net_conn receive(uint8_t choice, const uint8_t *data, size_t size,
                               size_t cut)
{
    const struct ws_options *options = choice & 2 ? &deflating : &plain;
    struct net_conn c = {.client = choice & 1};
    struct ws *ws;

    if (c.client) {
        ws = ws_client_new(&c, (struct sio_str){0}, options, &ops, &c);
    } else {
        ws = ws_server_new(&c, (struct sio_str){0}, options, &ops, &c);
    }
    if (!ws)
        abort();
    feed(&c, data, cut);
    feed(&c, data + cut, size - cut);
    if (!c.closed) {
        c.closed = true;
        c.ops->on_close(&c, SIO_ERR_CLOSED, c.user);
    }
    assert(c.code != 0);
    c.reap->run(c.reap);
    return c;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct net_conn whole, cut;
    uint8_t choice;
    size_t at;

    if (size < 3)
        return 0;
    choice = data[0];
    at = (size_t)(data[1] << 8 | data[2]) % (size - 2);
    data += 3;
    size -= 3;
    whole = receive(choice, data, size, size);
    cut = receive(choice, data, size, at);
    assert(whole.code == cut.code && whole.n_messages == cut.n_messages);
    assert(whole.hash == cut.hash);
    return 0;
}
