/*
 * The Engine.IO server over loopback, seen by a raw peer: an echo server with a short
 * heartbeat, and every rule of the protocol that a client can meet.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "eio_peer.h"

#include <sioc/engineio.h>

#include "alloc_fail.h"
#include "base/list.h"

#define PATH    "/engine.io/"
#define POLLING PATH "?EIO=4&transport=polling"

/* One of everything that a test needs; made anew for each. */
static struct {
    struct net_loop *loop;
    struct eio_server *server;
    uint16_t port;
    struct peer *peers[8]; /* hung up at the end */
    size_t n_peers;

    struct eio_session *session; /* the last one opened */
    int n_sessions;
    int n_closed;
    enum eio_close_reason reason;
    bool close_on_message;
    bool silent;
    char got[4096]; /* texts received, each with ';' behind it */
    bool shut_down;
} fix;

static struct peer_reply reply;

static void on_message(struct eio_session *s, bool text, struct sio_slice msg,
                       void *user)
{
    struct eio_msg *echo;
    size_t at = strlen(fix.got);

    (void)user;
    if (text && at + msg.len + 2 < sizeof(fix.got)) {
        memcpy(fix.got + at, msg.ptr, msg.len);
        strcpy(fix.got + at + msg.len, ";");
    }
    if (fix.close_on_message) {
        eio_session_close(s, EIO_CLOSE_FORCED);
        return;
    }
    if (fix.silent)
        return;
    echo = text ? eio_msg_text((const char *)msg.ptr, msg.len)
                : eio_msg_binary(msg.ptr, msg.len);
    if (!echo || eio_session_send(s, echo) < 0)
        eio_session_abort(s, EIO_CLOSE_TRANSPORT_ERROR);
    eio_msg_unref(echo);
}

static void on_close(struct eio_session *s, enum eio_close_reason reason, void *user)
{
    (void)user;
    if (s == fix.session)
        fix.session = NULL;
    fix.n_closed++;
    fix.reason = reason;
}

static const struct eio_session_ops session_ops = {on_message, on_close};

static void on_session(struct eio_session *s, void *user)
{
    (void)user;
    fix.session = s;
    fix.n_sessions++;
    eio_session_set_ops(s, &session_ops, NULL);
}

static const char *allow(struct eio_request *r, void *user)
{
    struct sio_str value;

    (void)user;
    if (!eio_request_query(r, "deny", &value))
        return NULL;
    return value.len == 1 ? "not \"you\"" : "no";
}

static void start(const struct eio_server_options *changes)
{
    struct eio_server_options opts = {0};
    struct eio_listen_options listen = {.host = "127.0.0.1"};
    struct sio_diag diag;
    int port;

    if (changes)
        opts = *changes;
    opts.on_session = on_session;
    opts.allow_request = allow;
    fix.loop = net_loop_new(NULL, &diag);
    assert_non_null(fix.loop);
    fix.server = eio_server_new(fix.loop, &opts, &diag);
    assert_non_null(fix.server);
    port = eio_server_listen(fix.server, &listen, &diag);
    assert_true(port > 0);
    fix.port = (uint16_t)port;
}

static int setup(void **state)
{
    (void)state;
    alarm(60);
    memset(&fix, 0, sizeof(fix));
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    for (size_t i = 0; i < fix.n_peers; i++)
        peer_hang_up(fix.peers[i]);
    eio_server_free(fix.server);
    net_loop_free(fix.loop);
    return 0;
}

static struct peer *dial(void)
{
    assert_true(fix.n_peers < N_ELEMENTS(fix.peers));
    return fix.peers[fix.n_peers++] = peer_dial(fix.loop, fix.port);
}

static void request(struct peer *p, const char *method, const char *target,
                    const char *fields, const void *body, size_t len)
{
    char head[2048];

    snprintf(head, sizeof(head), "%s %s HTTP/1.1\r\nHost: example.test\r\n%s", method,
             target, fields ? fields : "");
    peer_puts(p, head);
    if (body) {
        snprintf(head, sizeof(head), "Content-Length: %zu\r\n\r\n", len);
        peer_puts(p, head);
        peer_send(p, body, len);
    } else {
        peer_puts(p, "\r\n");
    }
}

/* The target of a request of an open session. */
static const char *target_of(const char *sid)
{
    static char target[128];

    snprintf(target, sizeof(target), POLLING "&sid=%s", sid);
    return target;
}

/* A poll that the server has seen, so that what comes next finds it waiting. */
static void get(struct peer *p, const char *sid)
{
    request(p, "GET", target_of(sid), NULL, NULL, 0);
    peer_settle(p);
}

static void post(struct peer *p, const char *sid, const char *body)
{
    request(p, "POST", target_of(sid), NULL, body, strlen(body));
}

static void expect(struct peer *p, int status, const char *body)
{
    peer_reply(p, &reply);
    assert_int_equal(reply.status, status);
    assert_string_equal(reply.body, body);
}

#define BAD_REQUEST "{\"code\":3,\"message\":\"Bad request\"}"
#define UNKNOWN_SID "{\"code\":1,\"message\":\"Session ID unknown\"}"

/* The sid is closed: a poll of it is refused. */
static void expect_gone(struct peer *p, const char *sid)
{
    get(p, sid);
    expect(p, 400, UNKNOWN_SID);
    assert_null(fix.session);
    assert_int_equal(fix.n_closed, 1);
}

/* Opens a session over polling; its sid in a buffer of the caller's. */
struct sid {
    char text[32];
};

static struct sid open_polling(struct peer *p)
{
    struct sid sid;

    request(p, "GET", POLLING, NULL, NULL, 0);
    peer_reply(p, &reply);
    assert_int_equal(reply.status, 200);
    assert_int_equal(sscanf(reply.body, "0{\"sid\":\"%31[^\"]\"", sid.text), 1);
    return sid;
}

static void ws_request(struct peer *p, const char *target)
{
    request(
        p, "GET", target,
        "Upgrade: websocket\r\nConnection: keep-alive, Upgrade\r\n"
        "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n",
        NULL, 0);
}

static void ws_open(struct peer *p, const char *sid)
{
    char target[128];

    snprintf(target, sizeof(target), PATH "?EIO=4&transport=websocket%s%s",
             sid ? "&sid=" : "", sid ? sid : "");
    ws_request(p, target);
    peer_head(p, &reply);
    assert_int_equal(reply.status, 101);
    assert_string_equal(peer_field(&reply, "Sec-WebSocket-Accept"),
                        "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
}

static void expect_text(struct peer *p, const char *text)
{
    assert_int_equal(peer_read_frame(p, &reply), 1);
    assert_string_equal(reply.body, text);
}

/* A server, and a session over WebSocket; reply has its open packet. */
static struct peer *start_websocket(const struct eio_server_options *changes)
{
    struct peer *p;

    start(changes);
    p = dial();
    ws_open(p, NULL);
    assert_int_equal(peer_read_frame(p, &reply), 1);
    return p;
}

/* A server, and a session that *p has opened over polling. */
static struct sid start_polling(const struct eio_server_options *changes,
                                struct peer **p)
{
    start(changes);
    *p = dial();
    return open_polling(*p);
}

/* A WebSocket that is tried, and may upgrade now. */
static struct peer *probe(const char *sid)
{
    struct peer *p = dial();

    ws_open(p, sid);
    peer_text(p, "2probe");
    expect_text(p, "3probe");
    return p;
}

static void expect_ws_close(struct peer *p, int code)
{
    assert_int_equal(peer_read_frame(p, &reply), 8);
    assert_int_equal((uint8_t)reply.body[0] << 8 | (uint8_t)reply.body[1], code);
    peer_frame(p, 8, reply.body, 2);
    assert_int_equal(peer_read_frame(p, &reply), -1);
}

static void run_until(const bool *done)
{
    while (!*done)
        assert_int_equal(net_loop_run_once(fix.loop, 5), SIO_OK);
}

static void run_until_closed(int n)
{
    while (fix.n_closed < n)
        assert_int_equal(net_loop_run_once(fix.loop, 5), SIO_OK);
}

static const struct eio_server_options quick = {.ping_interval_ms = 300,
                                                .ping_timeout_ms = 200};

/* Requests */

static void refuses_requests_in_the_order_of_the_checks(void **state)
{
    static const struct {
        const char *method;
        const char *target;
        int status;
        const char *body;
    } cases[] = {
        {"GET", PATH "?EIO=4", 400, "{\"code\":0,\"message\":\"Transport unknown\"}"},
        {"POST", PATH "?transport=Polling&sid=x", 400,
         "{\"code\":0,\"message\":\"Transport unknown\"}"},
        {"GET", PATH "?EIO=4&transport=polling&sid=unknown", 400, UNKNOWN_SID},
        {"PUT", PATH "?EIO=3&transport=websocket&sid=unknown", 400, UNKNOWN_SID},
        {"POST", PATH "?EIO=3&transport=websocket&deny=1", 400,
         "{\"code\":2,\"message\":\"Bad handshake method\"}"},
        {"OPTIONS", POLLING, 400, "{\"code\":2,\"message\":\"Bad handshake method\"}"},
        {"GET", PATH "?EIO=3&transport=websocket&deny=1", 400, BAD_REQUEST},
        {"GET", PATH "?EIO=3&transport=polling&deny=1", 403,
         "{\"code\":4,\"message\":\"not \\\"you\\\"\"}"},
        {"GET", PATH "?EIO=3&transport=polling", 400,
         "{\"code\":5,\"message\":\"Unsupported protocol version\"}"},
        {"GET", PATH "?transport=polling&sid=", 400,
         "{\"code\":5,\"message\":\"Unsupported protocol version\"}"},
        {"GET", PATH "?transport=polling&EIO=44", 400,
         "{\"code\":5,\"message\":\"Unsupported protocol version\"}"},
    };
    struct peer *p;

    (void)state;
    start(NULL);
    p = dial();
    for (size_t i = 0; i < N_ELEMENTS(cases); i++) {
        request(p, cases[i].method, cases[i].target, NULL,
                strcmp(cases[i].method, "POST") == 0 ? "4x" : NULL, 2);
        expect(p, cases[i].status, cases[i].body);
        assert_string_equal(peer_field(&reply, "Content-Type"), "application/json");
        assert_string_equal(peer_field(&reply, "Cache-Control"), "no-store");
    }
    assert_int_equal(fix.n_sessions, 0);
}

static void reads_queries_as_browsers_write_them(void **state)
{
    static const char *const good[] = {
        PATH "?t=abc&transport=polling&EIO=4",
        PATH "?EIO=3&transport=x&EIO=4&transport=polling",
        PATH "?transport=%70olling&%45IO=%34",
        PATH "sub?EIO=4&&transport=polling&a&=b&c=%zz%&d==",
    };
    struct peer *p;

    (void)state;
    start(NULL);
    p = dial();
    for (size_t i = 0; i < N_ELEMENTS(good); i++) {
        request(p, "GET", good[i], NULL, NULL, 0);
        peer_reply(p, &reply);
        assert_int_equal(reply.status, 200);
    }
    assert_int_equal(fix.n_sessions, 4);
    request(p, "GET", "/engine.iox/?EIO=4&transport=polling", NULL, NULL, 0);
    peer_reply(p, &reply);
    assert_int_equal(reply.status, 404);
    request(p, "GET", "/engine.io?EIO=4&transport=polling", NULL, NULL, 0);
    peer_reply(p, &reply);
    assert_int_equal(reply.status, 404);
}

static void refuses_an_upgrade_in_plain_text_and_closes(void **state)
{
    static const struct {
        const char *target;
        int status;
        const char *body;
    } cases[] = {
        {PATH "?EIO=4&transport=x", 400, "Transport unknown"},
        {PATH "?EIO=4&transport=websocket&sid=x", 400, "Session ID unknown"},
        {PATH "?EIO=4&transport=polling", 400, "Bad request"},
        {PATH "?EIO=4&transport=websocket&deny=10", 403, "no"},
        {PATH "?EIO=3&transport=websocket", 400, "Unsupported protocol version"},
    };

    (void)state;
    start(NULL);
    for (size_t i = 0; i < N_ELEMENTS(cases); i++) {
        struct peer *p = dial();

        ws_request(p, cases[i].target);
        expect(p, cases[i].status, cases[i].body);
        assert_string_equal(peer_field(&reply, "Connection"), "close");
        assert_string_equal(peer_field(&reply, "Content-Type"), "text/html");
        peer_wait_eof(p);
    }
}

static void another_method_on_a_session_is_405_and_it_lives_on(void **state)
{
    static const char *const methods[] = {"PUT", "DELETE", "PATCH"};
    struct peer *p;
    struct sid sid;

    (void)state;
    sid = start_polling(NULL, &p);
    for (size_t i = 0; i < N_ELEMENTS(methods); i++) {
        request(p, methods[i], target_of(sid.text), NULL, NULL, 0);
        peer_reply(p, &reply);
        assert_int_equal(reply.status, 405);
    }
    post(p, sid.text, "4still");
    expect(p, 200, "ok");
    get(p, sid.text);
    expect(p, 200, "4still");
}

static void answers_cross_origin_requests_where_told_to(void **state)
{
    static const struct eio_server_options opts = {.cors = true,
                                                   .cors_credentials = true};
    static const char origin[] = "Origin: http://a.example.test\r\n";
    struct peer *p;

    (void)state;
    start(&opts);
    p = dial();
    request(p, "OPTIONS", POLLING "&sid=unknown",
            "Origin: http://a.example.test\r\nAccess-Control-Request-Method: POST\r\n"
            "Access-Control-Request-Headers: content-type\r\n",
            NULL, 0);
    peer_head(p, &reply);
    assert_int_equal(reply.status, 204);
    assert_string_equal(peer_field(&reply, "Access-Control-Allow-Methods"),
                        "OPTIONS, GET, POST");
    assert_string_equal(peer_field(&reply, "Access-Control-Allow-Origin"),
                        "http://a.example.test");
    assert_string_equal(peer_field(&reply, "Access-Control-Allow-Headers"),
                        "content-type");
    request(p, "GET", POLLING, origin, NULL, 0);
    peer_reply(p, &reply);
    assert_int_equal(reply.status, 200);
    assert_string_equal(peer_field(&reply, "Access-Control-Allow-Origin"),
                        "http://a.example.test");
    assert_string_equal(peer_field(&reply, "Access-Control-Allow-Credentials"), "true");
    request(p, "GET", PATH "?EIO=4", origin, NULL, 0);
    peer_reply(p, &reply);
    assert_int_equal(reply.status, 400);
    assert_string_equal(peer_field(&reply, "Access-Control-Allow-Origin"),
                        "http://a.example.test");
}

static void keeps_what_the_opening_request_said(void **state)
{
    struct sio_str value;
    struct peer *p;

    (void)state;
    start(NULL);
    p = dial();
    request(p, "GET", POLLING "&nuc_id=first&nuc_id=a%2Bb+c&empty=&flag",
            "X-One: 1\r\n", NULL, 0);
    peer_reply(p, &reply);
    assert_non_null(fix.session);
    assert_true(eio_session_query(fix.session, "nuc_id", &value));
    assert_int_equal(value.len, 5);
    assert_memory_equal(value.ptr, "a+b c", 5);
    assert_true(eio_session_query(fix.session, "empty", &value));
    assert_int_equal(value.len, 0);
    assert_true(eio_session_query(fix.session, "flag", &value));
    assert_false(eio_session_query(fix.session, "missing", &value));
    value = eio_session_field(fix.session, "x-ONE");
    assert_int_equal(value.len, 1);
    assert_null(eio_session_field(fix.session, "x-two").ptr);
    value = eio_session_handshake(fix.session)->address;
    assert_memory_equal(value.ptr, "127.0.0.1", value.len);
    assert_false(eio_session_handshake(fix.session)->secure);
}

static void limits_the_number_of_sessions(void **state)
{
    static const struct eio_server_options opts = {.max_sessions = 1};
    struct peer *p;
    struct sid sid;

    (void)state;
    sid = start_polling(&opts, &p);
    request(p, "GET", POLLING, NULL, NULL, 0);
    peer_reply(p, &reply);
    assert_int_equal(reply.status, 503);
    post(p, sid.text, "1");
    expect(p, 200, "ok");
    open_polling(p);
}

/* Handshake */

static void the_open_packet_says_what_it_has_to(void **state)
{
    static const struct eio_server_options opts = {
        .ping_interval_ms = 300, .ping_timeout_ms = 200, .max_payload = 1234};
    char sid[32];
    char want[256];
    struct peer *p;

    (void)state;
    start(&opts);
    p = dial();
    request(p, "GET", POLLING, NULL, NULL, 0);
    peer_reply(p, &reply);
    assert_string_equal(peer_field(&reply, "Content-Type"),
                        "text/plain; charset=UTF-8");
    assert_string_equal(peer_field(&reply, "Cache-Control"), "no-store");
    assert_int_equal(sscanf(reply.body, "0{\"sid\":\"%31[^\"]\"", sid), 1);
    assert_int_equal(strlen(sid), 20);
    snprintf(want, sizeof(want),
             "0{\"sid\":\"%s\",\"upgrades\":[\"websocket\"],\"pingInterval\":300,"
             "\"pingTimeout\":200,\"maxPayload\":1234}",
             sid);
    assert_string_equal(reply.body, want);
    ws_open(p, NULL);
    assert_int_equal(peer_read_frame(p, &reply), 1);
    assert_int_equal(sscanf(reply.body, "0{\"sid\":\"%31[^\"]\"", sid), 1);
    snprintf(
        want, sizeof(want),
        "0{\"sid\":\"%s\",\"upgrades\":[],\"pingInterval\":300,\"pingTimeout\":200,"
        "\"maxPayload\":1234}",
        sid);
    assert_string_equal(reply.body, want);
}

static void offers_no_upgrade_where_there_is_none(void **state)
{
    static const struct eio_server_options opts = {.no_upgrade = true};
    struct peer *p;
    struct sid sid;
    char target[128];

    (void)state;
    sid = start_polling(&opts, &p);
    assert_non_null(strstr(reply.body, "\"upgrades\":[]"));
    snprintf(target, sizeof(target), PATH "?EIO=4&transport=websocket&sid=%s",
             sid.text);
    ws_request(p, target);
    peer_reply(p, &reply);
    assert_int_equal(reply.status, 400);
    assert_int_equal(fix.n_closed, 0);
}

static void a_transport_that_is_off_is_unknown(void **state)
{
    static const struct eio_server_options opts = {.no_polling = true};
    struct peer *p;

    (void)state;
    start(&opts);
    p = dial();
    request(p, "GET", POLLING, NULL, NULL, 0);
    expect(p, 400, "{\"code\":0,\"message\":\"Transport unknown\"}");
    ws_open(p, NULL);
    peer_read_frame(p, &reply);
    peer_text(p, "4x");
    expect_text(p, "4x");
}

/* Polling */

static void echoes_over_polling(void **state)
{
    struct peer *poll, *p;
    struct sid sid;

    (void)state;
    sid = start_polling(NULL, &p);
    poll = dial();
    get(poll, sid.text);
    post(p, sid.text,
         "4hello\x1e"
         "4\xe2\x82\xac\x1e"
         "bAQID\x1e"
         "4");
    expect(p, 200, "ok");
    assert_string_equal(peer_field(&reply, "Content-Type"), "text/html");
    expect(poll, 200,
           "4hello\x1e"
           "4\xe2\x82\xac\x1e"
           "bAQID\x1e"
           "4");
    assert_string_equal(peer_field(&reply, "Content-Type"),
                        "text/plain; charset=UTF-8");
}

static void gives_at_most_16_packets_a_reply(void **state)
{
    struct peer *p;
    struct sid sid;
    char body[256] = "";
    int n = 0;

    (void)state;
    sid = start_polling(NULL, &p);
    for (int i = 0; i < 40; i++)
        snprintf(body + strlen(body), sizeof(body) - strlen(body), "%s4%c",
                 i ? "\x1e" : "", 'A' + i);
    post(p, sid.text, body);
    expect(p, 200, "ok");
    while (n < 40) {
        int here = 1;

        get(p, sid.text);
        peer_reply(p, &reply);
        for (const char *c = reply.body; *c; c++)
            here += *c == 0x1e;
        assert_int_equal(here, n < 32 ? 16 : 8);
        assert_int_equal(reply.body[1], 'A' + n);
        n += here;
    }
}

static void attachments_stay_in_order_over_replies(void **state)
{
    static const struct sio_slice text = {NULL, (const uint8_t *)"head", 4};
    static const struct sio_slice bytes = {NULL, (const uint8_t *)"xyz", 3};
    struct eio_part parts[20] = {{true, &text, 1}};
    struct eio_msg *msg;
    struct peer *p;
    struct sid sid;

    (void)state;
    for (size_t i = 1; i < N_ELEMENTS(parts); i++)
        parts[i] = (struct eio_part){false, &bytes, 1};
    sid = start_polling(NULL, &p);
    msg = eio_msg_new(parts, N_ELEMENTS(parts), NULL);
    assert_int_equal(eio_session_send(fix.session, msg), SIO_OK);
    eio_msg_unref(msg);
    msg = eio_msg_text("next", 4);
    assert_int_equal(eio_session_send(fix.session, msg), SIO_OK);
    eio_msg_unref(msg);
    get(p, sid.text);
    peer_reply(p, &reply);
    assert_int_equal(reply.len, 5 + 15 * 6);
    assert_memory_equal(reply.body,
                        "4head\x1e"
                        "beHl6\x1e",
                        12);
    get(p, sid.text);
    expect(p, 200,
           "beHl6\x1e"
           "beHl6\x1e"
           "beHl6\x1e"
           "beHl6\x1e"
           "4next");
}

static void what_one_turn_emits_is_one_reply(void **state)
{
    struct peer *p;
    struct sid sid;

    (void)state;
    sid = start_polling(NULL, &p);
    get(p, sid.text);
    for (char c = 'a'; c < 'd'; c++) {
        struct eio_msg *msg = eio_msg_text(&c, 1);

        assert_int_equal(eio_session_send(fix.session, msg), SIO_OK);
        eio_msg_unref(msg);
    }
    expect(p, 200,
           "4a\x1e"
           "4b\x1e"
           "4c");
}

static void a_bad_packet_closes_after_those_before_it(void **state)
{
    static const struct {
        const char *body;
        enum eio_close_reason reason;
    } bad[] = {
        {"4a\x1e"
         "abc",
         EIO_CLOSE_PARSE_ERROR},
        {"4a\x1e", EIO_CLOSE_PARSE_ERROR},
        {"4a\x1e"
         "4\xff",
         EIO_CLOSE_PARSE_ERROR},
        {"4a\x1e"
         "bA",
         EIO_CLOSE_PARSE_ERROR},
        {"4a\x1e"
         "9",
         EIO_CLOSE_PARSE_ERROR},
        {"4a\x1e"
         "2",
         EIO_CLOSE_TRANSPORT_ERROR},
        {"4a\x1e"
         "6",
         EIO_CLOSE_TRANSPORT_ERROR},
        {"4a\x1e"
         "0{}",
         EIO_CLOSE_TRANSPORT_ERROR},
    };
    struct peer *poll, *p;

    (void)state;
    start(NULL);
    fix.silent = true;
    poll = dial();
    p = dial();
    for (size_t i = 0; i < N_ELEMENTS(bad); i++) {
        struct sid sid = open_polling(p);

        get(poll, sid.text);
        post(p, sid.text, bad[i].body);
        expect(p, 400, BAD_REQUEST);
        expect(poll, 200, "1");
        assert_string_equal(fix.got, "a;");
        assert_int_equal(fix.reason, bad[i].reason);
        expect_gone(p, sid.text);
        fix.n_closed = 0;
        fix.got[0] = '\0';
    }
}

static void an_empty_post_is_a_parse_error(void **state)
{
    struct peer *p;
    struct sid sid;

    (void)state;
    sid = start_polling(NULL, &p);
    post(p, sid.text, "");
    expect(p, 400, BAD_REQUEST);
    expect_gone(p, sid.text);
    assert_int_equal(fix.reason, EIO_CLOSE_PARSE_ERROR);
}

static void a_second_poll_ends_both(void **state)
{
    struct peer *first, *second;
    struct sid sid;

    (void)state;
    sid = start_polling(NULL, &second);
    first = dial();
    get(first, sid.text);
    get(second, sid.text);
    expect(second, 400, BAD_REQUEST);
    expect(first, 200, "1");
    expect_gone(second, sid.text);
    assert_int_equal(fix.reason, EIO_CLOSE_TRANSPORT_ERROR);
}

static void a_second_post_ends_both(void **state)
{
    struct peer *first, *second;
    struct sid sid;
    char head[256];

    (void)state;
    sid = start_polling(NULL, &second);
    first = dial();
    snprintf(
        head, sizeof(head),
        "POST %s HTTP/1.1\r\nHost: example.test\r\nContent-Length: 10\r\n\r\n4half",
        target_of(sid.text));
    peer_puts(first, head);
    peer_settle(first);
    post(second, sid.text, "4x");
    expect(second, 400, BAD_REQUEST);
    peer_puts(first, "other");
    peer_reply(first, &reply);
    assert_int_equal(reply.status, 400);
    assert_string_equal(fix.got, "");
    expect_gone(second, sid.text);
}

static void binary_content_type_is_refused(void **state)
{
    struct peer *p;
    struct sid sid;

    (void)state;
    sid = start_polling(NULL, &p);
    request(p, "POST", target_of(sid.text),
            "Content-Type: application/octet-stream\r\n", "4x", 2);
    peer_reply(p, &reply);
    assert_int_equal(reply.status, 400);
    p = dial();
    expect_gone(p, sid.text);
}

static void too_large_a_post_is_413_and_polling_goes_on(void **state)
{
    static const struct eio_server_options opts = {.max_payload = 100};
    static const char chunk[] =
        "40\r\n4aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\r\n";
    struct peer *p, *poll;
    struct sid sid;
    char head[256];

    (void)state;
    sid = start_polling(&opts, &poll);
    p = dial();
    get(poll, sid.text);
    snprintf(head, sizeof(head),
             "POST %s HTTP/1.1\r\nHost: example.test\r\nContent-Length: 101\r\n\r\n",
             target_of(sid.text));
    peer_puts(p, head);
    peer_reply(p, &reply);
    assert_int_equal(reply.status, 413);
    p = dial();
    snprintf(
        head, sizeof(head),
        "POST %s HTTP/1.1\r\nHost: example.test\r\nTransfer-Encoding: chunked\r\n\r\n",
        target_of(sid.text));
    peer_puts(p, head);
    peer_puts(p, chunk);
    peer_puts(p, chunk); /* the end of the body never comes */
    peer_reply(p, &reply);
    assert_int_equal(reply.status, 413);
    p = dial();
    post(p, sid.text, "4still here");
    expect(p, 200, "ok");
    expect(poll, 200, "4still here");
    assert_int_equal(fix.n_closed, 0);
}

static void a_client_that_drops_its_poll_is_gone_at_once(void **state)
{
    struct peer *p, *other;
    struct sid sid;

    (void)state;
    sid = start_polling(NULL, &other);
    p = peer_dial(fix.loop, fix.port);
    get(p, sid.text);
    peer_hang_up(p);
    run_until_closed(1);
    assert_int_equal(fix.reason, EIO_CLOSE_TRANSPORT_ERROR);
    expect_gone(other, sid.text);
}

static void a_client_that_drops_its_post_is_gone_at_once(void **state)
{
    struct peer *p, *other;
    struct sid sid;
    char head[256];

    (void)state;
    sid = start_polling(NULL, &other);
    p = peer_dial(fix.loop, fix.port);
    snprintf(
        head, sizeof(head),
        "POST %s HTTP/1.1\r\nHost: example.test\r\nContent-Length: 10\r\n\r\n4half",
        target_of(sid.text));
    peer_puts(p, head);
    peer_settle(p);
    peer_hang_up(p);
    run_until_closed(1);
    assert_int_equal(fix.reason, EIO_CLOSE_TRANSPORT_ERROR);
    assert_string_equal(fix.got, "");
    expect_gone(other, sid.text);
}

static void a_close_packet_lets_the_poll_go_with_a_noop(void **state)
{
    struct peer *poll, *p;
    struct sid sid;

    (void)state;
    sid = start_polling(NULL, &p);
    poll = dial();
    get(poll, sid.text);
    post(p, sid.text, "1");
    expect(p, 200, "ok");
    expect(poll, 200, "6");
    expect_gone(p, sid.text);
    assert_int_equal(fix.reason, EIO_CLOSE_TRANSPORT_CLOSE);
}

static void closing_sends_what_waits_and_a_close_packet(void **state)
{
    struct peer *p;
    struct sid sid;
    struct eio_msg *msg;

    (void)state;
    sid = start_polling(NULL, &p);
    msg = eio_msg_text("last", 4);
    eio_session_send(fix.session, msg);
    eio_msg_unref(msg);
    eio_session_close(fix.session, EIO_CLOSE_FORCED);
    assert_int_equal(fix.n_closed, 1);
    assert_int_equal(fix.reason, EIO_CLOSE_FORCED);
    post(p, sid.text, "4too late");
    expect(p, 200, "ok");
    assert_string_equal(fix.got, "");
    get(p, sid.text);
    expect(p, 200, "4last");
    get(p, sid.text);
    expect(p, 200, "1");
    expect_gone(p, sid.text);
}

static void a_client_that_is_closed_may_say_goodbye_first(void **state)
{
    struct peer *p;
    struct sid sid;

    (void)state;
    sid = start_polling(NULL, &p);
    eio_session_close(fix.session, EIO_CLOSE_FORCED);
    post(p, sid.text,
         "4too late\x1e"
         "1");
    expect(p, 200, "ok");
    assert_string_equal(fix.got, "");
    expect_gone(p, sid.text);
    assert_int_equal(fix.reason, EIO_CLOSE_FORCED);
}

static void a_handler_may_close_in_the_middle_of_a_batch(void **state)
{
    struct peer *p, *poll;
    struct sid sid;

    (void)state;
    sid = start_polling(NULL, &p);
    fix.close_on_message = true;
    poll = dial();
    get(poll, sid.text);
    post(p, sid.text,
         "4one\x1e"
         "4two");
    expect(p, 200, "ok");
    expect(poll, 200, "1");
    assert_string_equal(fix.got, "one;");
    expect_gone(p, sid.text);
}

static void pipelined_requests_wait_behind_a_poll(void **state)
{
    struct peer *p, *other;
    struct sid sid;

    (void)state;
    sid = start_polling(NULL, &p);
    other = dial();
    get(p, sid.text);
    request(p, "GET", PATH "?EIO=4", NULL, NULL, 0);
    post(other, sid.text, "4x");
    expect(other, 200, "ok");
    expect(p, 200, "4x");
    peer_reply(p, &reply);
    assert_int_equal(reply.status, 400);
}

/* Heartbeat */

static void pings_ride_on_the_poll_and_pongs_keep_alive(void **state)
{
    struct peer *poll, *p;
    struct sid sid;

    (void)state;
    sid = start_polling(&quick, &p);
    poll = dial();
    for (int i = 0; i < 3; i++) {
        get(poll, sid.text);
        expect(poll, 200, "2");
        post(p, sid.text, "3");
        expect(p, 200, "ok");
    }
    assert_int_equal(fix.n_closed, 0);
}

static void only_a_pong_keeps_a_session_alive(void **state)
{
    struct peer *p;

    (void)state;
    p = start_websocket(&quick);
    fix.silent = true;
    while (fix.n_closed == 0) {
        peer_text(p, "4x");
        peer_turn(p);
    }
    assert_int_equal(fix.reason, EIO_CLOSE_PING_TIMEOUT);
    expect_text(p, "2");
    expect_ws_close(p, 1011);
}

static void a_session_past_its_deadline_is_unknown(void **state)
{
    struct peer *p;
    struct sid sid;

    (void)state;
    sid = start_polling(&quick, &p);
    run_until_closed(1);
    assert_int_equal(fix.reason, EIO_CLOSE_PING_TIMEOUT);
    expect_gone(p, sid.text);
}

static void a_ping_of_the_client_is_an_error(void **state)
{
    struct peer *p;

    (void)state;
    p = start_websocket(NULL);
    peer_text(p, "2");
    expect_ws_close(p, 1002);
    assert_int_equal(fix.reason, EIO_CLOSE_TRANSPORT_ERROR);
}

static void a_pong_that_nobody_asked_for_is_accepted(void **state)
{
    struct peer *p;

    (void)state;
    p = start_websocket(NULL);
    peer_text(p, "3");
    peer_text(p, "4x");
    expect_text(p, "4x");
}

/* WebSocket */

static void echoes_over_websocket(void **state)
{
    static char large[70000];
    struct peer *p;

    (void)state;
    p = start_websocket(NULL);
    peer_text(p, "4hello");
    expect_text(p, "4hello");
    peer_frame(p, 2, "\0\1\2", 3);
    assert_int_equal(peer_read_frame(p, &reply), 2);
    assert_int_equal(reply.len, 3);
    assert_memory_equal(reply.body, "\0\1\2", 3);
    memset(large, 'x', sizeof(large) - 1);
    large[0] = '4';
    peer_text(p, large);
    expect_text(p, large);
    peer_frame(p, 9, "control", 7);
    assert_int_equal(peer_read_frame(p, &reply), 10);
    assert_string_equal(eio_session_transport(fix.session), "websocket");
}

static void bad_frames_close_a_websocket(void **state)
{
    static const struct {
        const char *text;
        enum eio_close_reason reason;
    } bad[] = {
        {"", EIO_CLOSE_PARSE_ERROR},
        {"abc", EIO_CLOSE_PARSE_ERROR},
        {"bAAAA", EIO_CLOSE_PARSE_ERROR},
        {"6", EIO_CLOSE_TRANSPORT_ERROR},
    };

    (void)state;
    start(NULL);
    for (size_t i = 0; i < N_ELEMENTS(bad); i++) {
        struct peer *p = dial();

        ws_open(p, NULL);
        peer_read_frame(p, &reply);
        peer_text(p, bad[i].text);
        expect_ws_close(p, 1002);
        assert_int_equal(fix.reason, bad[i].reason);
        assert_int_equal(fix.n_closed, i + 1);
    }
}

static void a_close_packet_closes_a_websocket(void **state)
{
    struct peer *p;

    (void)state;
    p = start_websocket(NULL);
    peer_text(p, "1");
    expect_ws_close(p, 1000);
    assert_int_equal(fix.reason, EIO_CLOSE_TRANSPORT_CLOSE);
}

static void the_end_of_a_websocket_is_the_end_of_the_session(void **state)
{
    struct peer *p;

    (void)state;
    p = start_websocket(NULL);
    peer_frame(p, 8, "\x03\xe8", 2);
    assert_int_equal(peer_read_frame(p, &reply), 8);
    run_until_closed(1);
    assert_int_equal(fix.reason, EIO_CLOSE_TRANSPORT_CLOSE);
    p = peer_dial(fix.loop, fix.port);
    ws_open(p, NULL);
    peer_read_frame(p, &reply);
    peer_hang_up(p);
    run_until_closed(2);
    assert_int_equal(fix.reason, EIO_CLOSE_TRANSPORT_CLOSE);
    p = dial();
    ws_open(p, NULL);
    peer_read_frame(p, &reply);
    peer_frame(p, 8, "\x03\xf1",
               2); /* 1009: what the client could not take is its word */
    assert_int_equal(peer_read_frame(p, &reply), 8);
    run_until_closed(3);
    assert_int_equal(fix.reason, EIO_CLOSE_TRANSPORT_CLOSE);
    p = dial();
    ws_open(p, NULL);
    peer_read_frame(p, &reply);
    peer_frame(p, 8, "\x03\xe7", 2); /* 999: there is no such code */
    expect_ws_close(p, 1002);
    run_until_closed(4);
    assert_int_equal(fix.reason, EIO_CLOSE_TRANSPORT_ERROR);
}

static void too_large_a_frame_ends_with_1009(void **state)
{
    static const struct eio_server_options opts = {.max_payload = 100};
    char text[102];
    struct peer *p;

    (void)state;
    p = start_websocket(&opts);
    memset(text, '4', sizeof(text));
    peer_frame(p, 1, text, 100);
    assert_int_equal(peer_read_frame(p, &reply), 1);
    assert_int_equal(reply.len, 100);
    peer_frame(p, 1, text, 101);
    expect_ws_close(p, 1009);
    assert_int_equal(fix.reason, EIO_CLOSE_TRANSPORT_ERROR);
}

static void a_session_on_websocket_takes_no_poll_and_no_second_websocket(void **state)
{
    struct peer *p, *other;
    struct sid sid;

    (void)state;
    start(NULL);
    p = dial();
    other = dial();
    ws_open(p, NULL);
    peer_read_frame(p, &reply);
    assert_int_equal(sscanf(reply.body, "0{\"sid\":\"%31[^\"]\"", sid.text), 1);
    get(other, sid.text);
    expect(other, 400, BAD_REQUEST);
    post(other, sid.text, "4x");
    expect(other, 400, BAD_REQUEST);
    other = dial();
    ws_open(other, sid.text);
    expect_ws_close(other, 1000);
    peer_text(p, "4alive");
    expect_text(p, "4alive");
    assert_int_equal(fix.n_closed, 0);
}

/* Upgrade */

static void upgrades_in_order_and_without_loss(void **state)
{
    struct peer *p, *poll, *ws;
    struct sid sid;
    struct eio_msg *msg;

    (void)state;
    sid = start_polling(NULL, &p);
    poll = dial();
    get(poll, sid.text);
    ws = probe(sid.text);
    post(p, sid.text, "4during");
    expect(p, 200, "ok");
    expect(poll, 200, "4during"); /* polling is still in charge */
    get(poll, sid.text);
    expect(poll, 200, "6"); /* let go, so that the client can stop polling */
    post(p, sid.text,
         "4before\x1e"
         "bAQID");
    expect(p, 200, "ok");
    assert_string_equal(eio_session_transport(fix.session), "polling");
    msg = eio_msg_text("queued", 6);
    eio_session_send(fix.session, msg);
    eio_msg_unref(msg);
    peer_text(ws, "5");
    peer_text(ws, "4after");
    expect_text(ws, "4before");
    assert_int_equal(peer_read_frame(ws, &reply), 2);
    assert_memory_equal(reply.body, "\1\2\3", 3);
    expect_text(ws, "4queued");
    expect_text(ws, "4after");
    assert_string_equal(eio_session_transport(fix.session), "websocket");
    get(poll, sid.text);
    expect(poll, 400, BAD_REQUEST);
    assert_int_equal(fix.n_closed, 0);
}

/* The client had stopped polling when the ping became due. */
static void a_ping_that_found_no_poll_goes_over_the_websocket(void **state)
{
    static const struct eio_server_options opts = {.ping_interval_ms = 20};
    struct peer *p, *ws;
    struct sid sid;
    uint64_t due;

    (void)state;
    sid = start_polling(&opts, &p);
    due = net_loop_now_ms(fix.loop) + 25;
    ws = probe(sid.text);
    while (net_loop_now_ms(fix.loop) < due)
        peer_turn(ws);
    peer_text(ws, "5");
    expect_text(ws, "2");
}

static void a_poll_that_still_waits_ends_with_the_upgrade(void **state)
{
    struct peer *poll, *ws;
    struct sid sid;

    (void)state;
    sid = start_polling(NULL, &poll);
    ws = dial();
    get(poll, sid.text);
    ws_open(ws, sid.text);
    peer_text(ws, "5");
    expect(poll, 200, "6");
    peer_text(ws, "4x");
    expect_text(ws, "4x");
}

static void a_failed_probe_leaves_polling_as_it_was(void **state)
{
    static const char *const bad[] = {"4hello", "2", "2Probe", "3probe", "x", "", "1"};
    struct peer *p;
    struct sid sid;

    (void)state;
    sid = start_polling(NULL, &p);
    for (size_t i = 0; i <= N_ELEMENTS(bad); i++) {
        struct peer *ws = peer_dial(fix.loop, fix.port);

        ws_open(ws, sid.text);
        if (i < N_ELEMENTS(bad)) {
            peer_text(ws, bad[i]);
            assert_int_equal(peer_read_frame(ws, &reply), 8);
        } else {
            peer_frame(ws, 2, "5", 1); /* binary: a message, not "5" */
            assert_int_equal(peer_read_frame(ws, &reply), 8);
        }
        peer_hang_up(ws);
        post(p, sid.text, "4x");
        expect(p, 200, "ok");
        get(p, sid.text);
        expect(p, 200, "4x");
    }
    assert_int_equal(fix.n_closed, 0);
    {
        struct peer *ws = dial();

        ws_open(ws, sid.text); /* and another attempt is welcome */
        peer_text(ws, "2probe");
        expect_text(ws, "3probe");
        peer_text(ws, "5");
        peer_text(ws, "4y");
        expect_text(ws, "4y");
    }
}

static void a_probe_that_takes_too_long_is_closed(void **state)
{
    static const struct eio_server_options opts = {.upgrade_timeout_ms = 50};
    struct peer *p, *ws;
    struct sid sid;

    (void)state;
    sid = start_polling(&opts, &p);
    ws = probe(sid.text);
    expect_ws_close(ws, 1000);
    post(p, sid.text, "4x");
    expect(p, 200, "ok");
    assert_int_equal(fix.n_closed, 0);
}

/* A peer that reads nothing is not answered for ever. */
static void a_probe_that_does_not_read_is_closed(void **state)
{
    static const struct eio_server_options opts = {.upgrade_timeout_ms = 600000};
    static char frames[12 * 4096];
    struct peer *p, *ws;
    struct sid sid;
    size_t n_answered = 0;

    (void)state;
    sid = start_polling(&opts, &p);
    ws = dial();
    ws_open(ws, sid.text);
    for (size_t at = 0; at < sizeof(frames); at += 12)
        memcpy(frames + at,
               "\x81\x86\0\0\0\0"
               "2probe",
               12);
    for (int i = 0; i < 400; i++) {
        peer_send(ws, frames, sizeof(frames));
        net_loop_run_once(fix.loop, 0);
    }
    peer_frame(ws, 8, "\x03\xe8", 2);
    while (!ws->eof) {
        ws->len = 0;
        if (!peer_recv(ws))
            peer_turn(ws);
        n_answered += ws->len / 8;
    }
    assert_true(n_answered < 400 * 4096);
    post(p, sid.text, "4x");
    expect(p, 200, "ok");
    assert_int_equal(fix.n_closed, 0);
}

static void only_one_websocket_may_probe(void **state)
{
    struct peer *p, *ws, *second;
    struct sid sid;

    (void)state;
    sid = start_polling(NULL, &p);
    ws = dial();
    second = dial();
    ws_open(ws, sid.text);
    ws_open(second, sid.text);
    expect_ws_close(second, 1000);
    peer_text(ws, "2probe");
    expect_text(ws, "3probe");
    peer_text(ws, "5");
    peer_text(ws, "4x");
    expect_text(ws, "4x");
}

static void the_end_of_a_session_ends_its_probe(void **state)
{
    struct peer *p, *ws;
    struct sid sid;

    (void)state;
    sid = start_polling(NULL, &p);
    ws = probe(sid.text);
    post(p, sid.text, "1");
    expect(p, 200, "ok");
    expect_ws_close(ws, 1000);
    expect_gone(p, sid.text);
}

/* Polling with a WebSocket on trial, and a session that was closed after "last". */
struct closing {
    struct peer *poll, *ws;
    struct sid sid;
};

static struct closing close_while_probing(void)
{
    struct closing c = {.poll = dial()};
    struct eio_msg *msg = eio_msg_text("last", 4);

    c.sid = open_polling(c.poll);
    c.ws = probe(c.sid.text);
    assert_non_null(msg);
    assert_int_equal(eio_session_send(fix.session, msg), SIO_OK);
    eio_msg_unref(msg);
    eio_session_close(fix.session, EIO_CLOSE_FORCED);
    assert_int_equal(fix.n_closed, 1);
    return c;
}

static void expect_last_words(const struct closing *c)
{
    get(c->poll, c->sid.text);
    expect(c->poll, 200, "4last");
    get(c->poll, c->sid.text);
    expect(c->poll, 200, "1");
}

static void a_session_closed_while_probing_ends_by_the_upgrade(void **state)
{
    struct closing c;

    (void)state;
    start(NULL);
    c = close_while_probing();
    peer_text(c.ws, "5");
    expect_text(c.ws, "4last");
    expect_ws_close(c.ws, 1000);
    expect_gone(c.poll, c.sid.text);
}

static void a_session_closed_while_probing_ends_by_a_poll(void **state)
{
    struct closing c;

    (void)state;
    start(NULL);
    c = close_while_probing();
    expect_last_words(&c);
    expect_ws_close(c.ws, 1000);
    expect_gone(c.poll, c.sid.text);
}

static void a_session_closed_while_probing_outlives_the_probe(void **state)
{
    static const struct eio_server_options opts = {.upgrade_timeout_ms = 50};
    struct closing c;

    (void)state;
    start(&opts);
    c = close_while_probing();
    expect_ws_close(c.ws, 1000); /* too late */
    expect_last_words(&c);
    fix.n_closed = 0;
    c = close_while_probing();
    peer_frame(c.ws, 8, "\x03\xe8", 2);
    expect_ws_close(c.ws, 1000); /* given up by the client */
    expect_last_words(&c);
}

/* Limits and ends */

static void a_client_that_does_not_read_is_cut_at_its_limit(void **state)
{
    static const struct eio_server_options opts = {.max_queue_bytes = 1 << 20};
    struct sio_buf *b = sio_buf_new(100000);
    struct sio_slice s;
    struct eio_part part = {.text = false, .slices = &s, .n_slices = 1};
    struct eio_msg *msg;
    size_t peak = 0;
    int rv = SIO_OK;

    (void)state;
    start_websocket(&opts);
    memset(sio_buf_data(b), 'x', 100000);
    s = sio_slice_of(b);
    msg = eio_msg_new(&part, 1, NULL);
    while (fix.session && rv == SIO_OK) {
        rv = eio_session_send(fix.session, msg);
        if (eio_session_pending(fix.session) > peak)
            peak = eio_session_pending(fix.session);
        net_loop_run_once(fix.loop, 0);
    }
    assert_int_equal(rv, SIO_ERR_FULL);
    run_until_closed(1);
    assert_int_equal(fix.reason, EIO_CLOSE_TRANSPORT_ERROR);
    assert_true(peak <= (1 << 20) + (256 << 10) + 100100);
    eio_msg_unref(msg);
    assert_int_equal(sio_buf_data(b)[0], 'x');
    sio_buf_unref(b);
}

static void a_slow_client_gets_the_newest_of_each_key(void **state)
{
    static const struct eio_server_options opts = {.max_queue_bytes = 1 << 20};
    struct eio_server_stats stats;
    struct peer *p;
    char *text = malloc(200000);
    int last = -1;

    (void)state;
    p = start_websocket(&opts);
    memset(text, '.', 200000);
    for (int i = 0; i < 500; i++) {
        struct sio_slice s = {NULL, (const uint8_t *)text, 200000};
        struct eio_part part = {.text = true, .slices = &s, .n_slices = 1};
        struct eio_msg_options keyed = {.replace_key = 1};
        struct eio_msg *msg;

        text[0] = (char)('a' + i / 100);
        text[1] = (char)('0' + i / 10 % 10);
        text[2] = (char)('0' + i % 10);
        msg = eio_msg_new(&part, 1, &keyed);
        assert_int_equal(eio_session_send(fix.session, msg), SIO_OK);
        eio_msg_unref(msg);
        net_loop_run_once(fix.loop, 0);
    }
    eio_server_stats(fix.server, &stats);
    assert_true(stats.n_dropped > 400);
    while (last < 499) {
        int n;

        assert_int_equal(peer_read_frame(p, &reply), 1);
        n = (reply.body[1] - 'a') * 100 + (reply.body[2] - '0') * 10 + reply.body[3] -
            '0';
        assert_true(n > last);
        last = n;
    }
    assert_int_equal(fix.n_closed, 0);
    free(text);
}

static void volatile_messages_need_a_client_that_waits(void **state)
{
    static const struct sio_slice s = {NULL, (const uint8_t *)"v", 1};
    static const struct eio_part part = {.text = true, .slices = &s, .n_slices = 1};
    static const struct eio_msg_options opts = {.is_volatile = true};
    struct eio_msg *msg = eio_msg_new(&part, 1, &opts);
    struct peer *p;
    struct sid sid;

    (void)state;
    sid = start_polling(NULL, &p);
    assert_int_equal(eio_session_send(fix.session, msg), SIO_OK);
    assert_int_equal(eio_session_pending(fix.session), 0);
    get(p, sid.text);
    assert_int_equal(eio_session_send(fix.session, msg), SIO_OK);
    expect(p, 200, "4v");
    eio_msg_unref(msg);
}

static void an_abort_cuts_the_connection(void **state)
{
    struct peer *poll, *ws, *p;
    struct sid sid;

    (void)state;
    sid = start_polling(NULL, &p);
    poll = dial();
    ws = dial();
    get(poll, sid.text);
    eio_session_abort(fix.session, EIO_CLOSE_FORCED);
    assert_int_equal(fix.n_closed, 1);
    assert_false(peer_need(poll, 1));
    expect_gone(p, sid.text);
    ws_open(ws, NULL);
    peer_read_frame(ws, &reply);
    eio_session_abort(fix.session, EIO_CLOSE_FORCED);
    assert_int_equal(fix.n_closed, 2);
    assert_int_equal(peer_read_frame(ws, &reply), -1);
}

static void on_shut_down(void *user)
{
    *(bool *)user = true;
}

static void shuts_down_gracefully(void **state)
{
    struct peer *poll, *ws, *late;
    struct sid sid;

    (void)state;
    start(NULL);
    poll = dial();
    ws = dial();
    late = dial();
    ws_open(ws, NULL);
    peer_read_frame(ws, &reply);
    sid = open_polling(poll);
    get(poll, sid.text);
    sid = open_polling(late);
    eio_server_shutdown(fix.server, 5000, on_shut_down, &fix.shut_down);
    assert_int_equal(fix.n_closed, 3);
    assert_int_equal(fix.reason, EIO_CLOSE_SHUTDOWN);
    assert_false(fix.shut_down);
    expect_ws_close(ws, 1001);
    expect(poll, 200, "1");
    request(late, "GET", POLLING, NULL, NULL, 0);
    peer_reply(late, &reply);
    assert_int_equal(reply.status, 503);
    assert_false(fix.shut_down);
    get(late, sid.text);
    expect(late, 200, "1");
    for (size_t i = 0; i < fix.n_peers; i++)
        shutdown(fix.peers[i]->fd, SHUT_RDWR);
    run_until(&fix.shut_down);
}

static void a_shutdown_does_not_wait_for_ever(void **state)
{
    (void)state;
    start(NULL);
    open_polling(dial()); /* never fetches its close packet */
    eio_server_shutdown(fix.server, 50, on_shut_down, &fix.shut_down);
    run_until(&fix.shut_down);
}

static void counts_what_it_does(void **state)
{
    struct eio_server_stats stats;
    struct peer *p;

    (void)state;
    p = start_websocket(NULL);
    peer_text(p, "4abc");
    expect_text(p, "4abc");
    eio_server_stats(fix.server, &stats);
    assert_int_equal(stats.n_sessions, 1);
    assert_int_equal(stats.n_websocket, 1);
    assert_int_equal(stats.n_opened, 1);
    assert_int_equal(stats.messages_in, 1);
    assert_int_equal(stats.messages_out, 1);
    assert_int_equal(stats.bytes_in, 3);
    peer_text(p, "1");
    expect_ws_close(p, 1000);
    eio_server_stats(fix.server, &stats);
    assert_int_equal(stats.n_sessions, 0);
    assert_int_equal(stats.n_websocket, 0);
}

static void refuses_options_that_make_no_sense(void **state)
{
    static const struct eio_server_options bad[] = {
        {.path = "engine.io/"},
        {.path = "/engine.io"},
        {.path = ""},
        {.no_polling = true, .no_websocket = true},
        {.max_payload = (size_t)UINT32_MAX + 1},
    };
    static const struct eio_listen_options half = {.tls_cert_file = "cert.pem"};
    struct sio_diag diag;

    (void)state;
    start(NULL);
    for (size_t i = 0; i < N_ELEMENTS(bad); i++) {
        diag.text[0] = '\0';
        assert_null(eio_server_new(fix.loop, &bad[i], &diag));
        assert_true(diag.text[0] != '\0');
    }
    assert_int_equal(eio_server_listen(fix.server, &half, &diag), SIO_ERR_INVAL);
}

/* Runs until the peer has heard something or is cut off. */
static void run_until_heard(struct peer *p)
{
    size_t len = p->len;

    while (p->len == len && !p->eof)
        if (!peer_recv(p))
            peer_turn(p);
}

/* A session over either transport, with an allocation failing somewhere: true if it lived. */
static bool lives_with_failure(unsigned n, bool websocket)
{
    bool lived = false;
    struct peer *p;
    struct sid sid;

    alloc_fail_at(0);
    p = peer_dial(fix.loop, fix.port);
    alloc_fail_at(n);
    if (websocket)
        ws_request(p, PATH "?EIO=4&transport=websocket");
    else
        request(p, "GET", POLLING, NULL, NULL, 0);
    run_until_heard(p);
    if (!websocket && p->len > 0) {
        peer_reply(p, &reply);
        if (reply.status == 200) {
            assert_int_equal(sscanf(reply.body, "0{\"sid\":\"%31[^\"]\"", sid.text), 1);
            post(p, sid.text,
                 "4text\x1e"
                 "bAQID");
            run_until_heard(p);
            lived = p->len > 12 && memcmp(p->buf, "HTTP/1.1 200", 12) == 0;
        }
    }
    if (websocket && p->len > 12 && memcmp(p->buf, "HTTP/1.1 101", 12) == 0) {
        peer_puts(p, "\x81\x82\1\1\1\1"
                     "5y"); /* masked: 4x */
        while (!p->eof && !memmem(p->buf, p->len,
                                  "\x81\x02"
                                  "4x",
                                  4))
            run_until_heard(p);
        lived = !p->eof;
    }
    peer_hang_up(p);
    return lived;
}

static void a_failing_allocation_costs_one_session(void **state)
{
    (void)state;
    start(&quick);
    for (int websocket = 0; websocket < 2; websocket++) {
        bool lived = false;

        alloc_fail_each(n) lived = lives_with_failure(n, websocket);
        assert_true(lived);
        assert_true(lives_with_failure(0, websocket));
    }
    run_until_closed(fix.n_sessions);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(refuses_requests_in_the_order_of_the_checks),
        TEST(reads_queries_as_browsers_write_them),
        TEST(refuses_an_upgrade_in_plain_text_and_closes),
        TEST(another_method_on_a_session_is_405_and_it_lives_on),
        TEST(answers_cross_origin_requests_where_told_to),
        TEST(keeps_what_the_opening_request_said),
        TEST(limits_the_number_of_sessions),
        TEST(the_open_packet_says_what_it_has_to),
        TEST(offers_no_upgrade_where_there_is_none),
        TEST(a_transport_that_is_off_is_unknown),
        TEST(echoes_over_polling),
        TEST(gives_at_most_16_packets_a_reply),
        TEST(attachments_stay_in_order_over_replies),
        TEST(what_one_turn_emits_is_one_reply),
        TEST(a_bad_packet_closes_after_those_before_it),
        TEST(an_empty_post_is_a_parse_error),
        TEST(a_second_poll_ends_both),
        TEST(a_second_post_ends_both),
        TEST(binary_content_type_is_refused),
        TEST(too_large_a_post_is_413_and_polling_goes_on),
        TEST(a_client_that_drops_its_poll_is_gone_at_once),
        TEST(a_client_that_drops_its_post_is_gone_at_once),
        TEST(a_close_packet_lets_the_poll_go_with_a_noop),
        TEST(closing_sends_what_waits_and_a_close_packet),
        TEST(a_client_that_is_closed_may_say_goodbye_first),
        TEST(a_handler_may_close_in_the_middle_of_a_batch),
        TEST(pipelined_requests_wait_behind_a_poll),
        TEST(pings_ride_on_the_poll_and_pongs_keep_alive),
        TEST(only_a_pong_keeps_a_session_alive),
        TEST(a_session_past_its_deadline_is_unknown),
        TEST(a_ping_of_the_client_is_an_error),
        TEST(a_pong_that_nobody_asked_for_is_accepted),
        TEST(echoes_over_websocket),
        TEST(bad_frames_close_a_websocket),
        TEST(a_close_packet_closes_a_websocket),
        TEST(the_end_of_a_websocket_is_the_end_of_the_session),
        TEST(too_large_a_frame_ends_with_1009),
        TEST(a_session_on_websocket_takes_no_poll_and_no_second_websocket),
        TEST(upgrades_in_order_and_without_loss),
        TEST(a_ping_that_found_no_poll_goes_over_the_websocket),
        TEST(a_poll_that_still_waits_ends_with_the_upgrade),
        TEST(a_failed_probe_leaves_polling_as_it_was),
        TEST(a_probe_that_takes_too_long_is_closed),
        TEST(a_probe_that_does_not_read_is_closed),
        TEST(only_one_websocket_may_probe),
        TEST(the_end_of_a_session_ends_its_probe),
        TEST(a_session_closed_while_probing_ends_by_the_upgrade),
        TEST(a_session_closed_while_probing_ends_by_a_poll),
        TEST(a_session_closed_while_probing_outlives_the_probe),
        TEST(a_client_that_does_not_read_is_cut_at_its_limit),
        TEST(a_slow_client_gets_the_newest_of_each_key),
        TEST(volatile_messages_need_a_client_that_waits),
        TEST(an_abort_cuts_the_connection),
        TEST(shuts_down_gracefully),
        TEST(a_shutdown_does_not_wait_for_ever),
        TEST(counts_what_it_does),
        TEST(refuses_options_that_make_no_sense),
        TEST(a_failing_allocation_costs_one_session),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
