/*
 * What a server may say to a client that has joined, in frames that are well-formed more
 * often than not: with retries and listeners, recovery, compression, MessagePack.  The
 * connection is then lost and comes back once; every ack is told exactly once.
 *
 * The first byte switches: 1 MessagePack, 2 compression, 4 retries, 8 a pid.  Then come
 * records: a byte (1 binary, 2 compressed, 4 not final, 8 continuation), one of length,
 * and the payload.
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

#define MAX_TURNS 2000
#define OPEN                                                    \
    "0{\"sid\":\"abc\",\"upgrades\":[],\"pingInterval\":25000," \
    "\"pingTimeout\":20000,\"maxPayload\":1000000}"

enum { MSGPACK = 1, DEFLATE = 2, RETRIES = 4, PID = 8 };

struct world {
    struct net_loop *loop;
    const uint8_t *data;
    size_t size;
    uint8_t flags;
    struct sio_client *client;
    struct net_conn *conn; /* the present one */
    unsigned n_visits;
    unsigned n_downs;
    unsigned n_emitted;
    unsigned n_acks;
    bool said; /* on the present connection */
    char in[8192];
    size_t in_len;
};

/* The server. */

static void send_frame(struct net_conn *c, uint8_t first, const void *p, size_t len)
{
    uint8_t head[4] = {first, (uint8_t)len};
    size_t n = 2;

    if (len > 125) {
        head[1] = 126;
        head[2] = (uint8_t)(len >> 8);
        head[3] = (uint8_t)len;
        n = 4;
    }
    (void)net_conn_send_bytes(c, head, n);
    (void)net_conn_send_bytes(c, p, len);
}

static void say_joined(const struct world *w, struct net_conn *c)
{
    static const char json[] = "40{\"sid\":\"xyz\"}";
    static const char with_pid[] = "40{\"sid\":\"xyz\",\"pid\":\"p\"}";
    /* {"type":0,"nsp":"/","data":{"sid":"xyz"}} */
    static const char packed[] = "\x83\xa4type\x00\xa3nsp\xa1/\xa4"
                                 "data\x81\xa3sid\xa3xyz";

    if (w->flags & MSGPACK)
        send_frame(c, 0x82, packed, sizeof(packed) - 1);
    else if (w->flags & PID)
        send_frame(c, 0x81, with_pid, strlen(with_pid));
    else
        send_frame(c, 0x81, json, strlen(json));
}

static void say_records(const struct world *w, struct net_conn *c)
{
    size_t at = 0;

    while (at + 2 <= w->size) {
        uint8_t kind = w->data[at];
        size_t len = w->data[at + 1];
        uint8_t first = kind & 8 ? 0 : kind & 1 ? 2 : 1;

        at += 2;
        if (len > w->size - at)
            len = w->size - at;
        first |= (uint8_t)(kind & 4 ? 0 : 0x80);
        first |= (uint8_t)(kind & 2 ? 0x40 : 0);
        send_frame(c, first, w->data + at, len);
        at += len;
    }
}

static void shake(struct world *w, struct net_conn *c)
{
    const char *key = strstr(w->in, "Sec-WebSocket-Key: ");
    char accept[29], head[256];

    assert(key);
    assert(ws_accept_key((struct sio_str){key + 19, 24}, accept) == SIO_OK);
    snprintf(head, sizeof(head),
             "HTTP/1.1 101 X\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
             "Sec-WebSocket-Accept: %s\r\n%s\r\n",
             accept,
             w->flags & DEFLATE ? "Sec-WebSocket-Extensions: permessage-deflate\r\n"
                                : "");
    (void)net_conn_send_bytes(c, head, strlen(head));
    send_frame(c, 0x81, OPEN, sizeof(OPEN) - 1);
    say_joined(w, c);
    if (w->n_visits == 1)
        say_records(w, c);
}

static void on_data(struct net_conn *c, uint8_t *data, size_t len, void *user)
{
    struct world *w = user;

    if (w->said || c != w->conn) /* frames, of which nothing is asked */
        return;
    if (len > sizeof(w->in) - 1 - w->in_len)
        len = sizeof(w->in) - 1 - w->in_len;
    memcpy(w->in + w->in_len, data, len);
    w->in_len += len;
    w->in[w->in_len] = '\0';
    if (!strstr(w->in, "\r\n\r\n"))
        return;
    w->said = true;
    shake(w, c);
}

static void on_drain(struct net_conn *c, void *user)
{
    if (((struct world *)user)->said)
        net_conn_close(c, 0);
}

static const struct net_conn_ops ops = {.on_data = on_data, .on_drain = on_drain};

static void on_accept(struct net_conn *c, void *user)
{
    struct world *w = user;

    w->n_visits++;
    w->conn = c;
    w->said = false;
    w->in_len = 0;
    net_conn_set_marks(c, 1, 0);
    net_conn_set_ops(c, &ops, w);
}

/* The client. */

static void on_down(struct sio_client *c, int error, const char *why,
                    uint32_t retry_in_ms, void *user)
{
    (void)c;
    (void)retry_in_ms;
    assert(error < 0 && why);
    ((struct world *)user)->n_downs++;
}

static void on_ack(int status, struct sio_event *e, void *user)
{
    assert((status == SIO_OK) == (e != NULL));
    ((struct world *)user)->n_acks++;
}

static void emit(struct world *w, struct sio_client_socket *s, const char *event)
{
    struct sio_message *m = sio_message_new(event);

    assert(m);
    sio_message_add_binary(m, (struct sio_slice){NULL, (const uint8_t *)"abc", 3});
    if (sio_client_socket_emit_ack(s, m, 0, on_ack, w) == SIO_OK)
        w->n_emitted++;
    (void)sio_client_socket_emit(s, m);
    sio_message_free(m);
}

static void on_connect(struct sio_client_socket *s, void *user)
{
    emit(user, s, "hello");
}

static void on_event(struct sio_client_socket *s, struct sio_event *e, void *user)
{
    struct sio_message *m = sio_message_new("relay");

    (void)user;
    assert(m);
    for (size_t i = 0; i < sio_event_n_args(e); i++)
        assert(sio_event_arg(e, i).ptr);
    sio_message_add_event(m, e, 0);
    if (sio_event_wants_ack(e))
        (void)sio_event_ack(e, m);
    else
        (void)sio_client_socket_emit(s, m);
    sio_message_free(m);
}

static void on_any(struct sio_client_socket *s, struct sio_event *e, void *user)
{
    (void)s;
    (void)user;
    (void)sio_event_json(e, 0);
}

static const struct sio_client_socket_ops socket_ops = {.on_connect = on_connect,
                                                        .on_event = on_event};

static void make_client(struct world *w, uint16_t port)
{
    char url[64];
    struct sio_client_options o = {
        .url = url,
        .proxy = "",
        .transports = SIO_TRANSPORTS_WEBSOCKET,
        .max_message = 1 << 16,
        .max_queue_bytes = 1 << 16,
        .connect_timeout_ms = 1000,
        .reconnect_delay_ms = 1,
        .retries = w->flags & RETRIES ? 2 : 0,
        .ack_timeout_ms = w->flags & RETRIES ? 1 : 0,
        .parser = w->flags & MSGPACK ? SIO_PARSER_MSGPACK : SIO_PARSER_JSON,
        .deflate = {.enabled = (w->flags & DEFLATE) != 0, .min_bytes = 1},
        .on_down = on_down,
        .user = w,
    };
    struct sio_client_socket *s;

    snprintf(url, sizeof(url), "http://127.0.0.1:%u", (unsigned)port);
    w->client = sio_client_new(w->loop, &o, NULL);
    assert(w->client);
    s = sio_client_join(w->client, "/", &socket_ops, w);
    assert(s && sio_client_socket_on_any(s, on_any, w) == SIO_OK);
    assert(sio_client_socket_on_any_outgoing(s, on_any, w) == SIO_OK);
    emit(w, s, "early");
    assert(sio_client_connect(w->client) == SIO_OK);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct world w = {.loop = net_loop_new(NULL, NULL)};
    struct net_listen_options lo = {.host = "127.0.0.1"};
    struct net_listener *l = net_listener_new(w.loop, &lo, on_accept, &w, NULL);

    assert(l);
    if (size > 0) {
        w.flags = data[0];
        w.data = data + 1;
        w.size = size - 1;
    }
    make_client(&w, net_listener_port(l));
    for (int turn = 0; turn < MAX_TURNS && w.n_downs < 2; turn++)
        assert(net_loop_run_once(w.loop, -1) == SIO_OK);
    assert(w.n_downs >= 2);
    sio_client_free(w.client);
    assert(w.n_acks == w.n_emitted);
    net_listener_free(l);
    net_loop_free(w.loop);
    return 0;
}
