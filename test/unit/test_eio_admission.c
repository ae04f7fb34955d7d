/*
 * Who is let in, and what the hooks and options put on the reply: origins, cookies, fields,
 * refusals told and counted, a bound for each address, compression as it was agreed.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "eio_peer.h"

#include <sioc/engineio.h>
#include <sioc/http.h>

#include "base/list.h"

#define POLLING   "/engine.io/?EIO=4&transport=polling"
#define WEBSOCKET "/engine.io/?EIO=4&transport=websocket"
#define UPGRADE                                                                  \
    "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n" \
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"

static struct {
    struct net_loop *loop;
    struct eio_server *server;
    uint16_t port;
    struct peer *peer; /* of the last request */
    struct peer *kept[8];
    size_t n_kept;
    struct eio_session *session; /* the last one */
    int n_headers[2];            /* calls of on_headers: later ones, initial ones */
    int code;                    /* of the last refusal, or -1 */
    char message[64];
    char address[64]; /* that allow_request saw */
    int n_hooks;
} fix;

static struct peer_reply reply;

static void on_message(struct eio_session *s, bool text, struct sio_slice msg,
                       void *user)
{
    struct eio_msg *echo = text ? eio_msg_text((const char *)msg.ptr, msg.len)
                                : eio_msg_binary(msg.ptr, msg.len);

    (void)user;
    assert_non_null(echo);
    assert_int_equal(eio_session_send(s, echo), SIO_OK);
    eio_msg_unref(echo);
}

static void on_close(struct eio_session *s, enum eio_close_reason reason, void *user)
{
    (void)reason;
    (void)user;
    if (s == fix.session)
        fix.session = NULL;
}

static const struct eio_session_ops session_ops = {on_message, on_close};

static void on_session(struct eio_session *s, void *user)
{
    (void)user;
    fix.session = s;
    eio_session_set_ops(s, &session_ops, NULL);
}

static const char *allow(struct eio_request *r, void *user)
{
    struct sio_str address = eio_request_address(r);
    struct sio_str value;

    (void)user;
    fix.n_hooks++;
    snprintf(fix.address, sizeof(fix.address), "%.*s", (int)address.len, address.ptr);
    return eio_request_query(r, "deny", &value) ? "Go away" : NULL;
}

static void on_headers(struct eio_request *r, bool initial, void *user)
{
    (void)user;
    fix.n_headers[initial]++;
    assert_int_equal(eio_request_add_field(r, "X-A", SIO_STR("b\r\nc")), SIO_ERR_INVAL);
    assert_int_equal(eio_request_add_field(
                         r, "X-When", initial ? SIO_STR("first") : SIO_STR("later")),
                     SIO_OK);
}

static void on_refused(struct eio_request *r, int code, const char *message, void *user)
{
    (void)user;
    fix.code = code;
    snprintf(fix.message, sizeof(fix.message), "%s", message);
    eio_request_add_field(r, "Retry-After", SIO_STR("7"));
}

static int setup(void **state)
{
    (void)state;
    alarm(60);
    memset(&fix, 0, sizeof(fix));
    fix.code = -1;
    return 0;
}

static void start(struct eio_server_options opts)
{
    struct eio_listen_options listen = {.host = "127.0.0.1"};
    struct sio_diag diag = {""};
    int port;

    opts.on_session = on_session;
    opts.allow_request = allow;
    opts.on_headers = on_headers;
    opts.on_refused = on_refused;
    fix.loop = net_loop_new(NULL, &diag);
    assert_non_null(fix.loop);
    fix.server = eio_server_new(fix.loop, &opts, &diag);
    assert_non_null(fix.server);
    port = eio_server_listen(fix.server, &listen, &diag);
    assert_true(port > 0);
    fix.port = (uint16_t)port;
}

static int teardown(void **state)
{
    (void)state;
    if (fix.peer)
        peer_hang_up(fix.peer);
    while (fix.n_kept > 0)
        peer_hang_up(fix.kept[--fix.n_kept]);
    eio_server_free(fix.server);
    net_loop_free(fix.loop);
    return 0;
}

/* Asks on a connection of its own; returns the status.  fields end with \r\n each. */
static int ask(const char *method, const char *target, const char *fields)
{
    char head[2048];

    if (fix.peer)
        peer_hang_up(fix.peer);
    fix.peer = peer_dial(fix.loop, fix.port);
    snprintf(head, sizeof(head), "%s %s HTTP/1.1\r\nHost: a\r\n%s\r\n", method, target,
             fields);
    peer_puts(fix.peer, head);
    peer_head(fix.peer, &reply);
    return reply.status;
}

/* Keeps the connection of the last request open. */
static struct peer *keep(void)
{
    struct peer *p = fix.peer;

    fix.kept[fix.n_kept++] = p;
    fix.peer = NULL;
    return p;
}

static const char *with_sid(const char *target)
{
    static char text[256];
    const char *sid;

    peer_need(fix.peer, 40);
    sid = strstr(fix.peer->buf, "\"sid\":\"");
    assert_non_null(sid);
    snprintf(text, sizeof(text), "%s&sid=%.*s", target, (int)strcspn(sid + 7, "\""),
             sid + 7);
    return text;
}

static void assert_field(const char *name, const char *want)
{
    const char *value = peer_field(&reply, name);

    if (!want)
        assert_null(value);
    else if (!value || strcmp(value, want) != 0)
        fail_msg("%s: %s", name, value ? value : "(none)");
}

static const char *const origins[] = {"https://good.example.test", NULL};

static void other_origins_are_refused_on_every_way_in(void **state)
{
    static const char *const bad[] = {
        "Origin: https://bad.example.test\r\n",
        "Origin: null\r\n",
        "Origin: \r\n",
        "Origin: https://good.example.test.bad.example.test\r\n",
        "Origin: https://good.example.test, https://bad.example.test\r\n",
    };
    char fields[512];

    (void)state;
    start((struct eio_server_options){.origins = origins, .refuse_origins = true});
    for (size_t i = 0; i < N_ELEMENTS(bad); i++) {
        assert_int_equal(ask("GET", POLLING, bad[i]), 403);
        assert_int_equal(fix.code, 4);
        snprintf(fields, sizeof(fields), "%s" UPGRADE, bad[i]);
        assert_int_equal(ask("GET", WEBSOCKET, fields), 403);
    }
    assert_int_equal(fix.n_hooks, 0); /* refused before the application is asked */
    assert_int_equal(ask("GET", POLLING, "Origin: https://good.example.test\r\n"), 200);
    snprintf(fields, sizeof(fields), "%s" UPGRADE, bad[0]);
    assert_int_equal(ask("GET", with_sid(WEBSOCKET), fields), 403);
    assert_int_equal(ask("GET", POLLING, ""), 200); /* no browser */
    assert_int_equal(ask("GET", with_sid(POLLING), bad[0]), 403);
    assert_non_null(fix.session);
    assert_int_equal(ask("GET", POLLING "&sid=x", bad[0]),
                     400); /* the order of checks */
    assert_int_equal(fix.code, 1);
}

/* Pages of the application's and refusals have the same readers as sessions. */
static void only_listed_origins_read_what_else_is_served(void **state)
{
    static const char good[] = "https://good.example.test";

    (void)state;
    start((struct eio_server_options){.cors = true, .origins = origins});
    assert_int_equal(
        sio_http_page(eio_server_http(fix.server), "/page", "text/plain", "hi", 2),
        SIO_OK);
    assert_int_equal(ask("GET", "/page", "Origin: https://bad.example.test\r\n"), 200);
    assert_field("Access-Control-Allow-Origin", NULL);
    assert_int_equal(ask("GET", "/none", "Origin: https://bad.example.test\r\n"), 404);
    assert_field("Access-Control-Allow-Origin", NULL);
    assert_int_equal(ask("GET", "/page", "Origin: https://good.example.test\r\n"), 200);
    assert_field("Access-Control-Allow-Origin", good);
    assert_field("Access-Control-Allow-Credentials", NULL);
}

static void refused_origins_need_origins(void **state)
{
    struct eio_server_options opts = {.refuse_origins = true};
    struct sio_diag diag = {""};

    (void)state;
    start((struct eio_server_options){0});
    assert_null(eio_server_new(fix.loop, &opts, &diag));
    assert_true(diag.text[0]);
}

static void every_refusal_is_told_and_counted(void **state)
{
    static const struct {
        const char *method, *target, *fields;
        int status, code;
        const char *message;
    } cases[] = {
        {"GET", "/engine.io/?EIO=4&transport=x", "", 400, 0, "Transport unknown"},
        {"GET", POLLING "&sid=x", "", 400, 1, "Session ID unknown"},
        {"POST", POLLING, "Content-Length: 0\r\n", 400, 2, "Bad handshake method"},
        {"GET", WEBSOCKET, "", 400, 3, "Bad request"},
        {"GET", POLLING "&deny=1", "", 403, 4, "Go away"},
        {"GET", WEBSOCKET "&deny=1", UPGRADE, 403, 4, "Go away"},
        {"GET", "/engine.io/?EIO=2&transport=polling", "", 400, 5,
         "Unsupported protocol version"},
        {"GET", WEBSOCKET, "Upgrade: websocket\r\nConnection: upgrade\r\n", 426, 3,
         "WebSocket version is not 13"},
    };
    struct eio_server_stats stats;

    (void)state;
    start((struct eio_server_options){0});
    for (size_t i = 0; i < N_ELEMENTS(cases); i++) {
        fix.code = -1;
        assert_int_equal(ask(cases[i].method, cases[i].target, cases[i].fields),
                         cases[i].status);
        assert_int_equal(fix.code, cases[i].code);
        assert_string_equal(fix.message, cases[i].message);
        assert_field("Retry-After", "7");
        assert_field("X-When", NULL);
    }
    eio_server_stats(fix.server, &stats);
    for (int code = 0; code < EIO_N_REFUSALS; code++)
        assert_int_equal(stats.n_refused[code], code == 3 || code == 4 ? 2 : 1);
}

static void fields_are_added_to_the_first_reply_and_to_later_ones(void **state)
{
    (void)state;
    start((struct eio_server_options){0});
    assert_int_equal(ask("GET", WEBSOCKET, UPGRADE), 101);
    assert_field("X-When", "first");
    assert_int_equal(ask("GET", POLLING, ""), 200);
    assert_field("X-When", "first");
    assert_int_equal(ask("POST", with_sid(POLLING), "Content-Length: 2\r\n\r\n4x"),
                     200);
    assert_field("X-When", "later");
    assert_int_equal(fix.n_headers[true], 2);
    assert_int_equal(fix.n_headers[false], 1);
    assert_int_equal(ask("GET", POLLING "&deny=1", ""), 403);
    assert_int_equal(fix.n_headers[true], 2);
}

static void the_opening_reply_sets_a_cookie(void **state)
{
    static const struct eio_cookie cookie = {.name = "node",
                                             .path = "/app",
                                             .domain = "example.test",
                                             .same_site = "Strict",
                                             .max_age_s = 60,
                                             .http_only = true,
                                             .secure = true};
    const char *value;
    char sid[21];

    (void)state;
    start((struct eio_server_options){.cookie = &cookie});
    assert_int_equal(ask("GET", WEBSOCKET, UPGRADE), 101);
    assert_non_null(peer_field(&reply, "Set-Cookie"));
    assert_int_equal(ask("GET", POLLING, ""), 200);
    value = peer_field(&reply, "Set-Cookie");
    assert_non_null(value);
    assert_int_equal(strncmp(value, "node=", 5), 0);
    memcpy(sid, value + 5, 20);
    assert_string_equal(value + 25, "; Path=/app; Domain=example.test; Max-Age=60; "
                                    "HttpOnly; Secure; SameSite=Strict");
    value = with_sid(POLLING);
    assert_memory_equal(strstr(value, "sid=") + 4, sid, 20);
    assert_int_equal(ask("POST", value, "Content-Length: 2\r\n\r\n4x"), 200);
    assert_field("Set-Cookie", NULL);
}

static void sids_begin_with_the_prefix(void **state)
{
    static const char prefix[] = "hub-1_of_a-name-of-32-characters";
    static const struct eio_cookie cookie = {0};
    struct eio_server_options opts = {
        .sid_prefix = prefix, .cookie = &cookie, .allow_eio3 = true, .jsonp = true};
    const char *target;
    size_t len = strlen(prefix);

    (void)state;
    start(opts);
    assert_int_equal(ask("GET", POLLING, ""), 200);
    target = strstr(with_sid(POLLING), "&sid=") + 5;
    assert_int_equal(strncmp(target, prefix, len), 0);
    assert_int_equal(target[len], '.');
    assert_int_equal(strlen(target), len + 1 + 20);
    assert_int_equal(strncmp(peer_field(&reply, "Set-Cookie") + 3, target, len + 21),
                     0);
    target = with_sid(POLLING);
    assert_int_equal(ask("POST", target, "Content-Length: 2\r\n\r\n4x"), 200);
    assert_int_equal(ask("GET", target, ""), 200);
    assert_true(peer_need(fix.peer, 2));
    assert_memory_equal(fix.peer->buf, "4x", 2);
    assert_int_equal(ask("GET", "/engine.io/?EIO=4&transport=polling&sid=x", ""), 400);

    assert_int_equal(ask("GET", WEBSOCKET, UPGRADE), 101);
    assert_true(peer_need(fix.peer, 100));
    assert_non_null(memmem(fix.peer->buf, fix.peer->len, prefix, len));
    assert_int_equal(ask("GET", "/engine.io/?EIO=3&transport=polling&b64=1", ""), 200);
    assert_non_null(strstr(with_sid(""), prefix));
    assert_int_equal(ask("GET", POLLING "&j=0", ""), 200);
    assert_true(peer_need(fix.peer, 100));
    assert_non_null(memmem(fix.peer->buf, fix.peer->len, prefix, len));
}

static void a_prefix_is_checked_at_the_start(void **state)
{
    static const char *const bad[] = {
        "",     "a.b",    "a b",
        "a\"b", "a/b",    "a;b",
        "\xc3", "x\r\ny", "hub-1_of_a-name-of-33-characters-"};
    struct eio_server_options opts = {0};
    struct sio_diag diag = {""};

    (void)state;
    start((struct eio_server_options){.sid_prefix = "1"});
    for (size_t i = 0; i < N_ELEMENTS(bad); i++) {
        opts.sid_prefix = bad[i];
        assert_null(eio_server_new(fix.loop, &opts, &diag));
        assert_true(diag.text[0]);
        diag.text[0] = '\0';
    }
}

static void a_cookie_is_checked_at_the_start(void **state)
{
    static const struct eio_cookie bad[] = {
        {.name = ""},          {.name = "a b"},      {.name = "a;b"},
        {.path = "/; Secure"}, {.domain = "a\r\nb"}, {.same_site = "lax"},
        {.same_site = "None"},
    };
    struct eio_server_options opts = {0};
    struct sio_diag diag = {""};

    (void)state;
    start((struct eio_server_options){.cookie = &(struct eio_cookie){0}});
    assert_int_equal(ask("GET", POLLING, ""), 200);
    assert_int_equal(strncmp(peer_field(&reply, "Set-Cookie"), "io=", 3), 0);
    assert_non_null(strstr(peer_field(&reply, "Set-Cookie"), "; Path=/; SameSite=Lax"));
    for (size_t i = 0; i < N_ELEMENTS(bad); i++) {
        opts.cookie = &bad[i];
        assert_null(eio_server_new(fix.loop, &opts, &diag));
        assert_true(diag.text[0]);
    }
}

static void an_address_has_no_more_than_its_sessions(void **state)
{
    struct peer *first;

    (void)state;
    start((struct eio_server_options){.max_sessions_per_address = 2});
    assert_int_equal(ask("GET", WEBSOCKET, UPGRADE), 101);
    first = keep();
    assert_int_equal(ask("GET", WEBSOCKET, UPGRADE), 101);
    keep();
    assert_int_equal(ask("GET", WEBSOCKET, UPGRADE), 429);
    assert_int_equal(ask("GET", POLLING, "X-Forwarded-For: 192.0.2.1\r\n"), 429);
    assert_string_equal(fix.address, "127.0.0.1");
    peer_frame(first, 8, "\x03\xe8", 2);
    peer_wait_eof(first);
    peer_settle(first);
    assert_int_equal(ask("GET", POLLING, ""), 200);
    assert_int_equal(ask("GET", POLLING, ""), 429);
}

static void only_trusted_proxies_are_believed(void **state)
{
    static const struct {
        const char *fields, *address;
    } cases[] = {
        {"", "127.0.0.1"},
        {"X-Forwarded-For: 192.0.2.1\r\n", "192.0.2.1"},
        {"X-Forwarded-For: 192.0.2.9, 192.0.2.1, 2001:db8::1\r\n", "192.0.2.1"},
        {"X-Forwarded-For: 192.0.2.9\r\nX-Forwarded-For:192.0.2.1,192.0.2.2\r\n",
         "192.0.2.1"},
        {"X-Forwarded-For: evil, 192.0.2.2\r\n", "192.0.2.2"},
        {"X-Forwarded-For: evil\r\n", "127.0.0.1"},
        {"X-Forwarded-For: ,\r\n", "127.0.0.1"},
    };

    (void)state;
    start((struct eio_server_options){.trusted_proxies = 2,
                                      .max_sessions_per_address = 3});
    for (size_t i = 0; i < N_ELEMENTS(cases); i++) {
        assert_int_equal(ask("GET", POLLING, cases[i].fields), 200);
        assert_string_equal(fix.address, cases[i].address);
    }
    assert_int_equal(ask("GET", POLLING, cases[1].fields), 429);
    assert_int_equal(ask("GET", POLLING, "X-Forwarded-For: 192.0.2.7\r\n"), 200);
}

static void compression_is_agreed_only_where_it_is_on(void **state)
{
    (void)state;
    start((struct eio_server_options){0});
    assert_int_equal(ask("GET", WEBSOCKET,
                         UPGRADE "Sec-WebSocket-Extensions: permessage-deflate\r\n"),
                     101);
    assert_field("Sec-WebSocket-Extensions", NULL);
}

static void compressed_messages_are_shared_and_small_ones_left(void **state)
{
    static char text[3000];
    struct eio_msg_options plain = {.no_compress = true};
    struct sio_slice slice = {NULL, (const uint8_t *)text, sizeof(text)};
    struct eio_part part = {.text = true, .slices = &slice, .n_slices = 1};
    struct eio_msg *msgs[3];
    size_t want_len[] = {0, sizeof(text) + 1, 101};

    (void)state;
    memset(text, 'x', sizeof(text));
    start((struct eio_server_options){
        .deflate = {.enabled = true, .server_no_context_takeover = true}});
    assert_int_equal(ask("GET", WEBSOCKET,
                         UPGRADE "Sec-WebSocket-Extensions: permessage-deflate\r\n"),
                     101);
    assert_field("Sec-WebSocket-Extensions",
                 "permessage-deflate; server_no_context_takeover");
    assert_int_equal(peer_read_frame(fix.peer, &reply), 1);
    assert_int_equal(reply.body[0], '0');

    msgs[0] = eio_msg_new(&part, 1, NULL);
    msgs[1] = eio_msg_new(&part, 1, &plain);
    msgs[2] = eio_msg_text(text, 100);
    for (size_t i = 0; i < N_ELEMENTS(msgs); i++) {
        assert_int_equal(eio_session_send(fix.session, msgs[i]), SIO_OK);
        eio_msg_unref(msgs[i]);
        assert_true(peer_need(fix.peer, 1));
        assert_int_equal((uint8_t)fix.peer->buf[0], i == 0 ? 0xc1 : 0x81);
        assert_int_equal(peer_read_frame(fix.peer, &reply), 1);
        assert_true(i == 0 ? reply.len < 100 : reply.len == want_len[i]);
    }
}

static void a_list_of_extensions_that_is_none_is_refused(void **state)
{
    (void)state;
    start((struct eio_server_options){.deflate = {.enabled = true}});
    assert_int_equal(ask("GET", WEBSOCKET,
                         UPGRADE "Sec-WebSocket-Extensions: permessage-deflate;\r\n"),
                     400);
    assert_int_equal(ask("GET", WEBSOCKET,
                         UPGRADE "Sec-WebSocket-Extensions: permessage-deflate; x\r\n"),
                     101);
    assert_field("Sec-WebSocket-Extensions", NULL);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(other_origins_are_refused_on_every_way_in),
        TEST(only_listed_origins_read_what_else_is_served),
        TEST(refused_origins_need_origins),
        TEST(every_refusal_is_told_and_counted),
        TEST(fields_are_added_to_the_first_reply_and_to_later_ones),
        TEST(the_opening_reply_sets_a_cookie),
        TEST(sids_begin_with_the_prefix),
        TEST(a_prefix_is_checked_at_the_start),
        TEST(a_cookie_is_checked_at_the_start),
        TEST(an_address_has_no_more_than_its_sessions),
        TEST(only_trusted_proxies_are_believed),
        TEST(compression_is_agreed_only_where_it_is_on),
        TEST(compressed_messages_are_shared_and_small_ones_left),
        TEST(a_list_of_extensions_that_is_none_is_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
