/*
 * Whatever allocation fails costs at most the connection that asked: nothing leaks, and the
 * next connection is served.
 */
#include <config.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include "alloc_fail.h"
#include "base/list.h"
#include "http/websocket.h"

#define MAX_TURNS 3000

struct fixture {
    struct net_loop *loop;
    struct http_server *server;
    uint16_t port;
    int n_open; /* WebSockets */
    unsigned fail_at;
    struct net_timer crowd[128]; /* so many that one more needs memory */
};

static void on_query(struct http_request *r, void *user)
{
    struct sio_str v = {"", 0};

    (void)user;
    http_request_field(r, "x-many");
    http_request_query_get(r, "k", &v);
    http_reply_field(r, "X-A", SIO_STR("b"));
    http_reply_bytes(r, 200, "text/plain", v.ptr, v.len);
}

static void on_echo(struct http_request *r, void *user)
{
    struct sio_slice body = http_request_body(r);

    (void)user;
    http_reply(r, 200, "text/plain", &body, 1);
}

static void on_stream(struct http_request *r, void *user)
{
    const struct sio_slice part = {NULL, (const uint8_t *)"abc", 3};

    (void)user;
    if (http_stream_begin(r, 200, "text/plain", NULL, NULL) == SIO_OK &&
        http_stream_send(r, &part, 1) == SIO_OK)
        http_stream_end(r);
}

static void on_message(struct ws *ws, bool text, struct sio_slice msg, void *user)
{
    (void)user;
    ws_send(ws, text ? WS_TEXT : WS_BINARY, &msg, 1);
}

static void on_close(struct ws *ws, int code, void *user)
{
    struct fixture *f = user;

    (void)ws;
    (void)code;
    f->n_open--;
}

static const struct ws_ops ws_ops = {.on_message = on_message, .on_close = on_close};
static const struct ws_options ws_options = {.max_message = 300000};

static void on_upgrade(struct http_request *r, void *user)
{
    struct fixture *f = user;

    if (ws_accept(r, &ws_options, &ws_ops, f))
        f->n_open++;
}

/* From the handshake on an allocation fails, and a timer needs one too. */
static void on_crowded_upgrade(struct http_request *r, void *user)
{
    struct fixture *f = user;
    bool full = false;

    on_upgrade(r, user);
    for (size_t i = 0; !full; i++) {
        assert_true(i < N_ELEMENTS(f->crowd));
        alloc_fail_at(1);
        (void)net_timer_start(&f->crowd[i], 1000000);
        full = alloc_fail_done();
    }
    alloc_fail_at(f->fail_at);
}

static const struct http_handler query = {.on_request = on_query};
static const struct http_handler echo = {.on_request = on_echo, .max_body = 100000};
static const struct http_handler stream = {.on_request = on_stream};
static const struct http_handler upgrade = {.on_request = on_upgrade};
static const struct http_handler crowded = {.on_request = on_crowded_upgrade};

static int setup(void **state)
{
    static const struct http_server_options opts = {.cors = {.enabled = true}};
    const struct net_listen_options listen = {.host = "127.0.0.1"};
    struct fixture *f = calloc(1, sizeof(*f));
    int port;

    f->loop = net_loop_new(NULL, NULL);
    f->server = http_server_new(f->loop, &opts);
    http_server_route(f->server, HTTP_GET, "/q/:", &query, f);
    http_server_route(f->server, HTTP_POST, "/echo", &echo, f);
    http_server_route(f->server, HTTP_GET, "/stream", &stream, f);
    http_server_route(f->server, HTTP_GET, "/ws", &upgrade, f);
    http_server_route(f->server, HTTP_GET, "/crowded", &crowded, f);
    for (size_t i = 0; i < N_ELEMENTS(f->crowd); i++)
        net_timer_init(&f->crowd[i], f->loop, NULL, NULL);
    port = http_server_listen(f->server, &listen, NULL);
    assert_true(port > 0);
    f->port = (uint16_t)port;
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;

    http_server_free(f->server);
    net_loop_free(f->loop);
    assert_int_equal(f->n_open, 0);
    free(f);
    return 0;
}

/* Sends all and reads to the end, without allocating.  Returns how many bytes came. */
static size_t talk(struct fixture *f, const void *data, size_t len)
{
    static char sink[65536];
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(f->port)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    const char *at = data;
    size_t total = 0;
    ssize_t n = -1;

    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    assert_int_equal(connect(fd, (struct sockaddr *)&to, sizeof(to)), 0);
    for (int turns = 0; turns < MAX_TURNS && n != 0; turns++) {
        ssize_t sent = len > 0 ? send(fd, at, len, MSG_DONTWAIT | MSG_NOSIGNAL) : 0;

        if (sent > 0) {
            at += sent;
            len -= (size_t)sent;
        }
        net_loop_run_once(f->loop, turns < 20 ? 0 : 10);
        n = recv(fd, sink, sizeof(sink), MSG_DONTWAIT);
        if (n > 0)
            total += (size_t)n;
        if (n < 0 && errno != EAGAIN)
            n = 0;
    }
    assert_int_equal(n, 0);
    close(fd);
    return total;
}

/* With every allocation of it failing in turn; without a failure all of it comes. */
static void talk_failing(struct fixture *f, const void *data, size_t len)
{
    size_t want = talk(f, data, len);
    bool failed = true;

    for (unsigned n = 1; failed; n++) {
        alloc_fail_at(n);
        assert_true(talk(f, data, len) <=
                    want + 300); /* an error's body may be longer */
        failed = alloc_fail_done();
        assert_int_equal(talk(f, data, len), want);
    }
}

#define END "Host: a\r\nConnection: close\r\n\r\n"

static void requests_survive_a_failing_allocation(void **state)
{
    static const char *const requests[] = {
        "GET /q/a%20b?k=a%20b&x=%41 HTTP/1.1\r\nX-Many: a\r\nx-many: b\r\n"
        "Origin: http://app.example.test\r\n" END,
        "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello"
        "POST /echo HTTP/1.1\r\nTransfer-Encoding: chunked\r\n" END
        "3\r\nabc\r\n0\r\n\r\n",
        "GET /stream HTTP/1.1\r\n" END,
        "GET /nowhere HTTP/1.1\r\n" END,
        "OPTIONS /echo HTTP/1.1\r\nOrigin: http://app.example.test\r\n"
        "Access-Control-Request-Method: GET\r\nAccess-Control-Request-Headers: a, "
        "b\r\n" END,
        "garbage\r\n",
    };

    for (size_t i = 0; i < N_ELEMENTS(requests); i++)
        talk_failing(*state, requests[i], strlen(requests[i]));
}

#define UPGRADE                                                                    \
    " HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"        \
    "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n" \
    "\r\n"

static void websockets_survive_a_failing_allocation(void **state)
{
    static const char head[] =
        "GET /ws" UPGRADE "\x81\x82\0\0\0\0hi" /* small */
        "\x01\x81\0\0\0\0"
        "a\x89\x81\0\0\0\0p\x80\x81\0\0\0\0"
        "b"                                       /* fragments, a ping */
        "\x82\xff\0\0\0\0\0\x03\xd0\x90\0\0\0\0"; /* large: 250000 */
    static char data[sizeof(head) - 1 + 250000 + 6];

    memcpy(data, head, sizeof(head) - 1);
    memcpy(data + sizeof(data) - 6, "\x88\x80\0\0\0\0", 6);
    talk_failing(*state, data, sizeof(data));
}

static void a_websocket_ends_once_though_nothing_can_wait_for_its_end(void **state)
{
    static const char unmasked[] = "GET /crowded" UPGRADE "\x81\x02hi";
    struct fixture *f = *state;
    bool failed = true;

    for (f->fail_at = 1; failed; f->fail_at++) {
        talk(f, unmasked, sizeof(unmasked) - 1);
        failed = alloc_fail_done();
        assert_int_equal(f->n_open, 0);
        for (size_t i = 0; i < N_ELEMENTS(f->crowd); i++)
            net_timer_stop(&f->crowd[i]);
    }
    assert_true(f->fail_at > 3);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(requests_survive_a_failing_allocation, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(websockets_survive_a_failing_allocation, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(
            a_websocket_ends_once_though_nothing_can_wait_for_its_end, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
