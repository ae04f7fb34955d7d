/*
 * Whatever a server says, a client that does not come back ends exactly once, and all
 * it had is freed.  The first byte chooses: bit 0, raw bytes on polling, or frames
 * behind a good WebSocket handshake; bits 1-7, how many of the others are sent apart
 * from the rest.
 */
#include <config.h>

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <sioc/client.h>

#include "http/websocket.h"
#include "net/listener.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define MAX_TURNS 1000

struct world {
    struct net_loop *loop;
    const uint8_t *data;
    size_t size;
    size_t cut;
    struct net_conn *first; /* only to compare */
    bool frames;
    bool said;
    unsigned n_downs;
    char in[8192];
    size_t in_len;
};

static void say(struct world *w, struct net_conn *c)
{
    char accept[29], head[256];
    const char *key = strstr(w->in, "Sec-WebSocket-Key: ");

    w->said = true;
    w->first = c;
    if (w->frames && key &&
        ws_accept_key((struct sio_str){key + 19, 24}, accept) == SIO_OK) {
        snprintf(head, sizeof(head),
                 "HTTP/1.1 101 X\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                 "Sec-WebSocket-Accept: %s\r\n\r\n",
                 accept);
        (void)net_conn_send_bytes(c, head, strlen(head));
    }
    (void)net_conn_send_bytes(c, w->data, w->cut);
}

static void on_data(struct net_conn *c, uint8_t *data, size_t len, void *user)
{
    struct world *w = user;

    if (w->said) { /* the answer to what was said, or another request */
        if (c != w->first)
            net_conn_abort(c, SIO_OK);
        return;
    }
    if (len > sizeof(w->in) - 1 - w->in_len)
        len = sizeof(w->in) - 1 - w->in_len;
    memcpy(w->in + w->in_len, data, len);
    w->in_len += len;
    w->in[w->in_len] = '\0';
    if (strstr(w->in, "\r\n\r\n"))
        say(w, c);
}

/* All of the first piece is with the kernel. */
static void on_drain(struct net_conn *c, void *user)
{
    struct world *w = user;

    if (w->cut < w->size)
        (void)net_conn_send_bytes(c, w->data + w->cut, w->size - w->cut);
    w->cut = w->size;
    net_conn_close(c, 0);
}

static const struct net_conn_ops ops = {.on_data = on_data, .on_drain = on_drain};

static void on_accept(struct net_conn *c, void *user)
{
    net_conn_set_marks(c, 1, 0);
    net_conn_set_ops(c, &ops, user);
}

static void on_down(struct sio_client *c, int error, const char *why,
                    uint32_t retry_in_ms, void *user)
{
    struct world *w = user;

    (void)c;
    assert(error < 0 && why && retry_in_ms == 0);
    w->n_downs++;
}

static void on_event(struct sio_client_socket *s, struct sio_event *e, void *user)
{
    (void)s;
    (void)user;
    for (size_t i = 0; i < sio_event_n_args(e); i++)
        assert(sio_event_arg(e, i).ptr);
    if (sio_event_wants_ack(e))
        (void)sio_event_ack(e, NULL);
}

static const struct sio_client_socket_ops socket_ops = {.on_event = on_event};

static struct sio_client *new_client(struct world *w, uint16_t port)
{
    char url[64];
    struct sio_client_options o = {
        .url = url,
        .proxy = "",
        .transports = w->frames ? SIO_TRANSPORTS_WEBSOCKET : SIO_TRANSPORTS_POLLING,
        .no_reconnect = true,
        .max_message = 1 << 16,
        .connect_timeout_ms = 5,
        .on_down = on_down,
        .user = w,
    };
    struct sio_client *c;

    snprintf(url, sizeof(url), "http://127.0.0.1:%u", (unsigned)port);
    c = sio_client_new(w->loop, &o, NULL);
    assert(c && sio_client_join(c, "/", &socket_ops, w));
    assert(sio_client_connect(c) == SIO_OK);
    return c;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct world w = {.loop = net_loop_new(NULL, NULL)};
    struct net_listen_options lo = {.host = "127.0.0.1"};
    struct net_listener *l = net_listener_new(w.loop, &lo, on_accept, &w, NULL);
    struct sio_client *c;

    assert(l);
    if (size > 0) {
        w.frames = data[0] & 1;
        w.data = data + 1;
        w.size = size - 1;
        w.cut = (size_t)(data[0] >> 1) < w.size ? (size_t)(data[0] >> 1) : w.size;
    }
    c = new_client(&w, net_listener_port(l));
    for (int turn = 0; turn < MAX_TURNS && !w.n_downs; turn++)
        assert(net_loop_run_once(w.loop, -1) == SIO_OK);
    assert(w.n_downs == 1);
    sio_client_free(c);
    net_listener_free(l);
    net_loop_free(w.loop);
    return 0;
}
