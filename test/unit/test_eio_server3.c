/*
 * The server with Engine.IO 3 and scripts on, over real connections, while allocations
 * fail and while it ends.
 */
#include <config.h>

#include "eio_peer.h"

#include <sioc/engineio.h>

#include "alloc_fail.h"
#include "base/list.h"

static struct {
    struct net_loop *loop;
    struct eio_server *server;
    uint16_t port;
    int n_sessions;
    int n_closed;
    struct eio_session *last;
    int protocol; /* of the last session */
} fix;

static struct peer_reply reply;

/* Gives back what came, and bytes behind it. */
static void on_message(struct eio_session *s, bool text, struct sio_slice msg,
                       void *user)
{
    const struct sio_slice bytes = {NULL, (const uint8_t *)"\1\2\3", 3};
    const struct eio_part parts[] = {{text, &msg, 1}, {false, &bytes, 1}};
    struct eio_msg *echo = eio_msg_new(parts, 2, NULL);

    (void)user;
    if (!echo || eio_session_send(s, echo) < 0)
        eio_session_abort(s, EIO_CLOSE_TRANSPORT_ERROR);
    eio_msg_unref(echo);
}

static void on_close(struct eio_session *s, enum eio_close_reason reason, void *user)
{
    (void)s;
    (void)reason;
    (void)user;
    fix.n_closed++;
}

static const struct eio_session_ops session_ops = {on_message, on_close};

static void on_session(struct eio_session *s, void *user)
{
    (void)user;
    fix.n_sessions++;
    fix.last = s;
    fix.protocol = eio_session_protocol(s);
    eio_session_set_ops(s, &session_ops, NULL);
}

static int setup(void **state)
{
    const struct eio_server_options opts = {.allow_eio3 = true,
                                            .jsonp = true,
                                            .max_queue_bytes = 64 << 10,
                                            .on_session = on_session};
    const struct eio_listen_options listen = {.host = "127.0.0.1"};
    int port;

    (void)state;
    alarm(60);
    memset(&fix, 0, sizeof(fix));
    fix.loop = net_loop_new(NULL, NULL);
    assert_non_null(fix.loop);
    fix.server = eio_server_new(fix.loop, &opts, NULL);
    assert_non_null(fix.server);
    port = eio_server_listen(fix.server, &listen, NULL);
    assert_true(port > 0);
    fix.port = (uint16_t)port;
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    eio_server_free(fix.server);
    net_loop_free(fix.loop);
    return 0;
}

static void get(struct peer *p, const char *query)
{
    char head[512];

    snprintf(head, sizeof(head),
             "GET /engine.io/?%s HTTP/1.1\r\nHost: example.test\r\n\r\n", query);
    peer_puts(p, head);
}

static void post(struct peer *p, const char *query, const char *body)
{
    char head[1024];

    snprintf(head, sizeof(head),
             "POST /engine.io/?%s HTTP/1.1\r\nHost: example.test\r\n"
             "Content-Length: %zu\r\n\r\n%s",
             query, strlen(body), body);
    peer_puts(p, head);
}

static void ask_for_websocket(struct peer *p)
{
    peer_puts(p, "GET /engine.io/?EIO=3&transport=websocket HTTP/1.1\r\n"
                 "Host: example.test\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                 "Sec-WebSocket-Version: 13\r\n"
                 "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n");
}

/* A way to poll, what is posted, and how the answer ends. */
struct way {
    const char *query;
    const char *body;
    struct sio_str end;
    int protocol;
};

static const struct way ways[] = {
    {"EIO=3&transport=polling", "2:4x",
     SIO_STR_INIT("\0\2\xff"
                  "4x\1\4\xff\4\1\2\3"),
     3},
    {"EIO=3&transport=polling&b64=1", "2:4x", SIO_STR_INIT("2:4x6:b4AQID"), 3},
    {"EIO=3&transport=polling&j=5", "d=2:4x",
     SIO_STR_INIT("___eio[5](\"2:4x6:b4AQID\");"), 3},
    {"EIO=4&transport=polling&j=5", "d=4x",
     SIO_STR_INIT("___eio[5](\"4x\\u001ebAQID\");"), 4},
};

/* Waits for a reply; false: the connection has ended, or the reply is a refusal. */
static bool replied(struct peer *p)
{
    if (!peer_need(p, 1))
        return false;
    peer_reply(p, &reply);
    return reply.status == 200;
}

/* True if the session lived. */
static bool polls(const struct way *way, unsigned fail_at)
{
    struct peer *p;
    char query[256];
    const char *sid;
    bool lived = false;

    alloc_fail_at(0);
    p = peer_dial(fix.loop, fix.port);
    alloc_fail_at(fail_at);
    get(p, way->query);
    if (!replied(p))
        goto hang_up;
    sid = strstr(reply.body, "sid");
    assert_non_null(sid);
    sid += strcspn(sid, ":") + 1;
    sid += strspn(sid, "\\\"");
    snprintf(query, sizeof(query), "%s&sid=%.20s", way->query, sid);
    post(p, query, way->body);
    if (!replied(p))
        goto hang_up;
    get(p, query);
    if (!replied(p))
        goto hang_up;
    lived = reply.len == way->end.len;
    assert_true(lived || reply.len == 1 || reply.len == 3 || reply.body[0] == '_');
    if (lived) {
        assert_memory_equal(reply.body, way->end.ptr, reply.len);
        assert_int_equal(fix.protocol, way->protocol);
    }
hang_up:
    peer_hang_up(p);
    return lived;
}

static void a_failing_allocation_costs_one_session_over_polling(void **state)
{
    (void)state;
    for (size_t i = 0; i < N_ELEMENTS(ways); i++) {
        bool lived = false;

        alloc_fail_each(n) lived = polls(&ways[i], n);
        assert_true(lived);
        assert_true(polls(&ways[i], 0));
    }
}

static bool speaks_over_websocket(unsigned fail_at)
{
    bool lived = false;
    struct peer *p;

    alloc_fail_at(0);
    p = peer_dial(fix.loop, fix.port);
    alloc_fail_at(fail_at);
    ask_for_websocket(p);
    if (!peer_need(p, 12) || memcmp(p->buf, "HTTP/1.1 101", 12) != 0)
        goto hang_up;
    peer_head(p, &reply);
    if (peer_read_frame(p, &reply) != 1)
        goto hang_up;
    assert_int_equal(reply.body[0], '0');
    peer_send(p,
              "\x81\x82\0\0\0\0"
              "4x",
              8); /* allocates nothing */
    if (peer_read_frame(p, &reply) != 1)
        goto hang_up;
    assert_string_equal(reply.body, "4x");
    lived = peer_read_frame(p, &reply) == 2;
    if (lived)
        assert_memory_equal(reply.body, "\4\1\2\3", 4);
hang_up:
    peer_hang_up(p);
    return lived;
}

static void a_failing_allocation_costs_one_session_over_websocket(void **state)
{
    bool lived = false;

    (void)state;
    alloc_fail_each(n) lived = speaks_over_websocket(n);
    assert_true(lived);
    assert_true(speaks_over_websocket(0));
}

/* Sees the 101 of a session whose open packet still waits. */
static struct peer *open_held(void)
{
    struct peer *p = peer_dial(fix.loop, fix.port);
    int n = fix.n_sessions;

    ask_for_websocket(p);
    while (fix.n_sessions == n)
        assert_int_equal(net_loop_run_once(fix.loop, 1), SIO_OK);
    return p;
}

static void a_client_may_go_before_its_open_packet(void **state)
{
    struct peer *p = open_held();

    (void)state;
    peer_hang_up(p);
    while (fix.n_closed == 0)
        assert_int_equal(net_loop_run_once(fix.loop, 5), SIO_OK);
    assert_true(speaks_over_websocket(0));
}

/* Each ping has its pong: they must not wait without a bound. */
static void a_client_that_pings_and_does_not_read_is_cut(void **state)
{
    struct peer *p = peer_dial(fix.loop, fix.port);
    char *bytes = calloc(1, 16 << 20);
    struct eio_msg *msg = eio_msg_binary(bytes, 16 << 20);

    (void)state;
    ask_for_websocket(p);
    peer_head(p, &reply);
    assert_int_equal(peer_read_frame(p, &reply), 1);
    assert_int_equal(eio_session_send(fix.last, msg), SIO_OK);
    peer_settle(p);
    for (int i = 0; i < 2000; i++)
        peer_text(p, "2");
    peer_settle(p);
    assert_int_equal(fix.n_closed, 1);
    eio_msg_unref(msg);
    free(bytes);
    peer_hang_up(p);
}

static void on_shut_down(void *user)
{
    *(bool *)user = true;
}

static void a_server_that_ends_says_the_open_packet_first(void **state)
{
    struct peer *p = open_held();
    bool done = false;

    (void)state;
    eio_server_shutdown(fix.server, 1000, on_shut_down, &done);
    peer_head(p, &reply);
    assert_int_equal(peer_read_frame(p, &reply), 1);
    assert_int_equal(reply.body[0], '0');
    assert_int_equal(peer_read_frame(p, &reply), 8);
    peer_frame(p, 8, reply.body, 2);
    while (!done)
        assert_int_equal(net_loop_run_once(fix.loop, 5), SIO_OK);
    peer_hang_up(p);
}

static void a_server_may_be_freed_while_an_open_packet_waits(void **state)
{
    struct peer *p = open_held();

    (void)state;
    teardown(NULL);
    assert_int_equal(fix.n_closed, 1);
    fix.server = NULL;
    fix.loop = NULL;
    peer_hang_up(p);
    setup(NULL);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_failing_allocation_costs_one_session_over_polling),
        TEST(a_failing_allocation_costs_one_session_over_websocket),
        TEST(a_client_may_go_before_its_open_packet),
        TEST(a_client_that_pings_and_does_not_read_is_cut),
        TEST(a_server_that_ends_says_the_open_packet_first),
        TEST(a_server_may_be_freed_while_an_open_packet_waits),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
