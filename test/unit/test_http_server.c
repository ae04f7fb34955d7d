/*
 * The server over real sockets: what it answers, byte for byte where that matters.
 */
#include <config.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <sys/socket.h>

#include "base/list.h"
#include "base/str.h"
#include "http/server.h"
#include "loopback.h"

struct fixture {
    struct net_loop *loop;
    struct http_server *server;
    uint16_t port;
    struct http_request *held; /* of /later or /stream */
    bool answered_head;
    bool refuse_in_head;
    unsigned n_aborts;
    int abort_status;
    unsigned n_drains;
    bool drained;
};

static void on_hello(struct http_request *r, void *user)
{
    (void)user;
    http_reply_bytes(r, 200, "text/plain", "hello", 5);
}

static void on_param(struct http_request *r, void *user)
{
    struct sio_str p = http_request_param(r, 0);

    (void)user;
    http_reply_bytes(r, 200, "text/plain", p.ptr, p.len);
}

static void on_query(struct http_request *r, void *user)
{
    struct sio_str v = {0};

    (void)user;
    if (http_request_query_get(r, "k", &v))
        http_reply_bytes(r, 200, "text/plain", v.ptr, v.len);
    else
        http_reply_error(r, 400, "no \"k\"");
}

static void on_echo(struct http_request *r, void *user)
{
    struct sio_slice body = http_request_body(r);

    (void)user;
    http_reply(r, 200, "text/plain", &body, 1);
}

static void on_fields(struct http_request *r, void *user)
{
    struct sio_str v = http_request_field(r, "x-many");

    (void)user;
    assert_int_equal(http_reply_field(r, "X-Bad", SIO_STR("a\r\nb")), SIO_ERR_INVAL);
    assert_int_equal(http_reply_field(r, "X-Bad\n", SIO_STR("a")), SIO_ERR_INVAL);
    assert_int_equal(http_reply_field(r, "X-Good", SIO_STR("yes")), SIO_OK);
    http_reply_bytes(r, 200, "text/plain", v.ptr, v.len);
}

static void on_later(struct http_request *r, void *user)
{
    struct fixture *f = user;

    assert_null(f->held);
    f->held = r;
}

static void on_abort(struct http_request *r, void *user)
{
    struct fixture *f = user;

    if (f->held == r)
        f->held = NULL;
    f->n_aborts++;
    f->abort_status = http_request_abort_status(r);
}

static void on_head(struct http_request *r, void *user)
{
    struct fixture *f = user;

    if (f->refuse_in_head)
        http_reply_error(r, 403, "no");
    f->answered_head = f->refuse_in_head;
}

static void on_drain(struct http_request *r, void *user)
{
    struct fixture *f = user;

    (void)r;
    f->n_drains++;
}

static void on_stream(struct http_request *r, void *user)
{
    struct fixture *f = user;

    if (http_stream_begin(r, 200, "text/plain", on_drain, f) == SIO_OK)
        f->held = r;
}

static void on_nothing(struct http_request *r, void *user)
{
    (void)user;
    http_reply_bytes(r, 204, NULL, NULL, 0);
}

static void on_big(struct http_request *r, void *user)
{
    struct sio_buf *b = sio_buf_new(3000000);
    struct sio_slice all = sio_slice_of(b);

    (void)user;
    memset(sio_buf_data(b), 'x', 3000000);
    http_reply(r, 200, "text/plain", &all, 1);
    sio_buf_unref(b);
}

static const char *const origins[] = {"http://good.example.test", NULL};
static const struct http_cors listed = {
    .enabled = true, .credentials = true, .origins = origins};

static const struct http_handler hello = {.on_request = on_hello};
static const struct http_handler param = {.on_request = on_param};
static const struct http_handler query = {.on_request = on_query};
static const struct http_handler echo = {.on_head = on_head,
                                         .on_request = on_echo,
                                         .on_abort = on_abort,
                                         .max_body = 100000};
static const struct http_handler fields = {.on_request = on_fields};
static const struct http_handler later = {.on_request = on_later, .on_abort = on_abort};
static const struct http_handler stream = {.on_request = on_stream,
                                           .on_abort = on_abort};
static const struct http_handler nothing = {.on_request = on_nothing};
static const struct http_handler big = {.on_request = on_big};
static const struct http_handler own_cors = {.on_request = on_hello, .cors = &listed};
static const struct http_handler raw = {.on_request = on_hello, .raw_options = true};

static void start(struct fixture *f, const struct http_server_options *opts)
{
    const struct net_listen_options listen = {.host = "127.0.0.1"};
    const struct {
        unsigned methods;
        const char *pattern;
        const struct http_handler *handler;
    } routes[] = {
        {HTTP_GET, "/hello", &hello},   {HTTP_GET, "/p/:/end", &param},
        {HTTP_GET, "/q", &query},       {HTTP_POST | HTTP_PUT, "/echo", &echo},
        {HTTP_GET, "/fields", &fields}, {HTTP_GET, "/later", &later},
        {HTTP_GET, "/stream", &stream}, {HTTP_GET, "/nothing", &nothing},
        {HTTP_GET, "/big", &big},       {HTTP_GET, "/cors", &own_cors},
        {HTTP_ANY, "/raw/*", &raw},
    };
    int port;

    f->loop = net_loop_new(NULL, NULL);
    assert_non_null(f->loop);
    f->server = http_server_new(f->loop, opts);
    assert_non_null(f->server);
    for (size_t i = 0; i < N_ELEMENTS(routes); i++)
        assert_int_equal(http_server_route(f->server, routes[i].methods,
                                           routes[i].pattern, routes[i].handler, f),
                         SIO_OK);
    port = http_server_listen(f->server, &listen, NULL);
    assert_true(port > 0);
    f->port = (uint16_t)port;
}

static int setup(void **state)
{
    static const struct http_server_options opts = {
        .cors = {.enabled = true, .max_age_s = 600},
        .max_head_bytes = 4096,
    };
    struct fixture *f = calloc(1, sizeof(*f));

    start(f, &opts);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;

    http_server_free(f->server);
    net_loop_free(f->loop);
    free(f);
    return 0;
}

/* Sends all of text on a new connection and returns all that comes until its end. */
static char *talk(struct fixture *f, const char *text)
{
    struct peer p;
    char *all;

    peer_connect(&p, f->loop, f->port);
    peer_send_text(&p, text);
    peer_wait_end(&p);
    all = strdup(p.data);
    peer_close(&p);
    return all;
}

#define END "Host: a\r\nConnection: close\r\n\r\n"

static void expect_start(struct fixture *f, const char *request, const char *want)
{
    char *reply = talk(f, request);

    if (strncmp(reply, want, strlen(want)) != 0)
        fail_msg("%s\ngave: %s\nnot: %s", request, reply, want);
    free(reply);
}

static void expect_part(struct fixture *f, const char *request, const char *want)
{
    char *reply = talk(f, request);

    if (!strstr(reply, want))
        fail_msg("%s\ngave: %s\nwithout: %s", request, reply, want);
    free(reply);
}

static unsigned count(const char *text, const char *what)
{
    unsigned n = 0;

    for (const char *at = text; (at = strstr(at, what)) != NULL; at += strlen(what))
        n++;
    return n;
}

static void answers_and_says_that_it_closes(void **state)
{
    char *reply = talk(*state, "GET /hello HTTP/1.1\r\n" END);

    assert_int_equal(strncmp(reply, "HTTP/1.1 200 OK\r\nDate: ", 23), 0);
    assert_non_null(strstr(reply, "\r\nContent-Type: text/plain\r\n"));
    assert_non_null(strstr(reply, "\r\nConnection: close\r\n"));
    assert_non_null(strstr(reply, "\r\nContent-Length: 5\r\n\r\nhello"));
    assert_int_equal(count(reply, "Content-Length"), 1);
    free(reply);
}

static void keeps_a_connection_open_and_pipelines_in_order(void **state)
{
    char *reply =
        talk(*state, "GET /q?k=1 HTTP/1.1\r\nHost: a\r\n\r\n"
                     "GET /q?k=2 HTTP/1.1\r\nHost: a\r\n\r\n"
                     "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\n"
                     "abcGET /q?k=4 HTTP/1.1\r\n" END);
    const char *one = strstr(reply, "\r\n\r\n1HTTP");
    const char *two = strstr(reply, "\r\n\r\n2HTTP");
    const char *three = strstr(reply, "\r\n\r\nabcHTTP");
    const char *four = strstr(reply, "\r\n\r\n4");

    assert_true(one && two && three && four);
    assert_true(one < two && two < three && three < four);
    assert_int_equal(count(reply, "Connection: close"), 1);
    free(reply);
}

static void a_waiting_request_holds_back_those_behind_it(void **state)
{
    struct fixture *f = *state;
    struct peer p;
    struct peer other;

    peer_connect(&p, f->loop, f->port);
    peer_send_text(&p,
                   "GET /later HTTP/1.1\r\nHost: a\r\n\r\nGET /hello HTTP/1.1\r\n" END);
    /* Another connection is served meanwhile. */
    peer_connect(&other, f->loop, f->port);
    peer_send_text(&other, "GET /hello HTTP/1.1\r\n" END);
    peer_wait_end(&other);
    peer_close(&other);
    assert_non_null(f->held);
    assert_int_equal(p.len, 0);

    http_reply_bytes(f->held, 200, "text/plain", "first", 5);
    peer_wait_end(&p);
    assert_non_null(strstr(p.data, "\r\n\r\nfirstHTTP/1.1 200 OK"));
    assert_int_equal(f->n_aborts, 0);
    peer_close(&p);
}

/* The kernel's buffers fill up, ours does not: the server stops reading. */
static void what_is_sent_behind_a_waiting_request_is_bounded(void **state)
{
    static const char junk[65536] = "GET /hello HTTP/1.1\r\n";
    struct fixture *f = *state;
    struct peer p;
    const struct linger reset = {.l_onoff = 1}; /* a FIN would wait behind all that */
    size_t total = 0;
    int refused = 0;

    peer_connect(&p, f->loop, f->port);
    peer_send_text(&p, "GET /later HTTP/1.1\r\nHost: a\r\n\r\n");
    while (refused < 50) {
        ssize_t n = send(p.fd, junk, sizeof(junk), MSG_DONTWAIT | MSG_NOSIGNAL);

        total += n > 0 ? (size_t)n : 0;
        refused = n > 0 ? 0 : refused + 1;
        assert_true(total < 64u << 20);
        assert_int_equal(net_loop_run_once(f->loop, 0), SIO_OK);
    }
    assert_non_null(f->held);
    setsockopt(p.fd, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset));
    peer_close(&p);
    RUN_WHILE(f->loop, f->held)
    assert_int_equal(f->n_aborts, 1);
}

/* The table of routes may move meanwhile. */
static void routes_may_be_added_while_a_request_waits(void **state)
{
    struct fixture *f = *state;
    struct peer p;

    peer_connect(&p, f->loop, f->port);
    peer_send_text(&p, "GET /later HTTP/1.1\r\nHost: a\r\n\r\n");
    RUN_WHILE(f->loop, !f->held)
    for (int i = 0; i < 100; i++)
        assert_int_equal(http_server_route(f->server, HTTP_GET, "/more", &hello, f),
                         SIO_OK);
    peer_close(&p);
    RUN_WHILE(f->loop, f->held)
    assert_int_equal(f->n_aborts, 1);
}

static void http_1_0_closes_unless_asked(void **state)
{
    struct fixture *f = *state;
    char *reply = talk(f, "GET /hello HTTP/1.0\r\n\r\n");

    assert_non_null(strstr(reply, "\r\nConnection: close\r\n"));
    free(reply);
    reply = talk(f, "GET /hello HTTP/1.0\r\nConnection: keep-alive\r\n\r\n"
                    "GET /hello HTTP/1.0\r\n\r\n");
    assert_int_equal(count(reply, "\r\nConnection: keep-alive\r\n"), 1);
    assert_int_equal(count(reply, "hello"), 2);
    free(reply);
}

static void head_has_the_head_of_get_and_no_body(void **state)
{
    struct fixture *f = *state;
    char *get = talk(f, "GET /hello HTTP/1.1\r\n" END);
    char *head = talk(f, "HEAD /hello HTTP/1.1\r\n" END);

    get[strlen(get) - 5] = '\0';
    assert_string_equal(head, get);
    free(get);
    free(head);
}

static void takes_an_absolute_target(void **state)
{
    struct fixture *f = *state;

    expect_part(f, "GET http://any.example.test/hello HTTP/1.1\r\n" END,
                "\r\n\r\nhello");
    expect_part(f, "GET HTTPS://a:1/q?k=7 HTTP/1.1\r\n" END, "\r\n\r\n7");
    expect_start(f, "GET http://a?x HTTP/1.1\r\n" END, "HTTP/1.1 404 ");
    expect_start(f, "GET hello HTTP/1.1\r\n" END, "HTTP/1.1 400 ");
    expect_start(f, "CONNECT a:80 HTTP/1.1\r\n" END, "HTTP/1.1 400 ");
}

static void answers_unknown_paths_with_404_as_json(void **state)
{
    static const char *const paths[] = {"/",          "/hellox",      "/hello/",
                                        "/Hello",     "/p//end",      "/p/a",
                                        "/p/a/b/end", "/p/a%2Fb/end", "/raw"};

    for (size_t i = 0; i < N_ELEMENTS(paths); i++) {
        char request[256];
        char *reply;

        snprintf(request, sizeof(request), "GET %s HTTP/1.1\r\n" END, paths[i]);
        reply = talk(*state, request);
        assert_int_equal(strncmp(reply, "HTTP/1.1 404 Not Found\r\n", 24), 0);
        assert_non_null(strstr(reply, "\r\nContent-Type: application/json\r\n"));
        assert_non_null(strstr(reply, "\r\nCache-Control: no-store\r\n"));
        assert_non_null(strstr(reply, "\r\n\r\n{\"success\":false,\"error\":"));
        free(reply);
    }
}

static void answers_other_methods_with_405_and_allow(void **state)
{
    struct fixture *f = *state;

    expect_start(f, "BREW /hello HTTP/1.1\r\n" END,
                 "HTTP/1.1 405 Method Not Allowed\r\n");
    expect_part(f, "BREW /hello HTTP/1.1\r\n" END, "\r\nAllow: GET, HEAD, OPTIONS\r\n");
    expect_part(f, "GET /echo HTTP/1.1\r\n" END, "\r\nAllow: OPTIONS, POST, PUT\r\n");
    expect_part(f, "GET /echo HTTP/1.1\r\n" END, "\r\n\r\n{\"success\":false,");
    /* Its body is read and dropped, and the connection stays. */
    expect_part(f,
                "POST /hello HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nGET "
                "GET /hello HTTP/1.1\r\n" END,
                "\r\n\r\nhello");
}

static void a_body_that_nobody_wants_is_dropped_up_to_a_bound(void **state)
{
    struct fixture *f = *state;
    static char text[100000] = "POST /hello HTTP/1.1\r\nHost: a\r\n"
                               "Transfer-Encoding: chunked\r\n\r\n";
    char *reply;

    expect_part(f,
                "POST /hello HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
                "2\r\n{}\r\n0\r\n\r\nGET /hello HTTP/1.1\r\n" END,
                "\r\n\r\nhello");
    strcat(text, "11000\r\n");
    memset(text + strlen(text), 'x', 0x11000);
    strcat(text, "\r\n0\r\n\r\nGET /hello HTTP/1.1\r\n" END);
    reply = talk(f, text);
    assert_int_equal(strncmp(reply, "HTTP/1.1 405 ", 13), 0);
    assert_int_equal(count(reply, "HTTP/1.1 "), 1);
    free(reply);
}

static void decodes_parameters_and_queries(void **state)
{
    struct fixture *f = *state;

    expect_part(f, "GET /p/192.0.2.7/end?t=1 HTTP/1.1\r\n" END, "\r\n\r\n192.0.2.7");
    expect_part(f, "GET /p/a%20%C3%B1+%zz/end HTTP/1.1\r\n" END,
                "\r\n\r\na \xc3\xb1+%zz");
    expect_part(f, "GET /q?x=1&k=a%20b+c&%6B=last=1 HTTP/1.1\r\n" END,
                "\r\n\r\nlast=1");
    expect_part(f, "GET /q?k HTTP/1.1\r\n" END, "Content-Length: 0\r\n");
    expect_part(f, "GET /q?kk=1&&=& HTTP/1.1\r\n" END,
                "\r\n\r\n{\"success\":false,\"error\":\"no \\\"k\\\"\"}");
}

static void joins_fields_and_refuses_bad_ones(void **state)
{
    expect_part(*state,
                "GET /fields HTTP/1.1\r\nX-Many: a\r\nX-MANY:\r\nx-many: c\r\n" END,
                "\r\n\r\na, , c");
    expect_part(*state, "GET /fields HTTP/1.1\r\n" END, "\r\nX-Good: yes\r\n");
}

static void reads_bodies_that_come_in_any_form(void **state)
{
    static const char chunked[] =
        "POST /echo HTTP/1.1\r\nTransfer-Encoding: chunked\r\n" END
        "5\r\nhello\r\n6;x=y\r\n world\r\n0\r\n\r\n";
    struct fixture *f = *state;
    struct peer p;

    expect_part(f, chunked, "\r\n\r\nhello world");
    expect_part(f, "POST /echo HTTP/1.1\r\nContent-Length: 0\r\n" END,
                "\r\nContent-Length: 0\r\n\r\n");
    expect_part(f, "POST /echo HTTP/1.1\r\n" END, "\r\nContent-Length: 0\r\n\r\n");

    peer_connect(&p, f->loop, f->port);
    for (size_t i = 0; i < sizeof(chunked) - 1; i++)
        peer_send(&p, chunked + i, 1);
    peer_wait_end(&p);
    assert_non_null(strstr(p.data, "\r\n\r\nhello world"));
    peer_close(&p);
}

static void tells_the_client_to_go_on(void **state)
{
    struct fixture *f = *state;
    struct peer p;

    peer_connect(&p, f->loop, f->port);
    peer_send_text(&p, "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n"
                       "Expect: 100-continue\r\n\r\n");
    peer_wait_text(&p, "HTTP/1.1 100 Continue\r\n\r\n");
    peer_send_text(&p, "ok");
    peer_wait_text(&p, "\r\n\r\nok");
    peer_close(&p);

    /* Not when the body is here already, and not when it is refused. */
    expect_start(
        f,
        "POST /echo HTTP/1.1\r\nContent-Length: 2\r\nExpect: 100-continue\r\n" END "ok",
        "HTTP/1.1 200 OK");
    expect_start(f,
                 "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 100001\r\n"
                 "Expect: 100-continue\r\n\r\n",
                 "HTTP/1.1 413 ");
    expect_start(f, "POST /echo HTTP/1.1\r\nExpect: more\r\n" END, "HTTP/1.1 417 ");
}

static void refuses_a_body_as_soon_as_it_is_too_big(void **state)
{
    struct fixture *f = *state;
    struct peer p;

    expect_start(f, "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 100001\r\n\r\n",
                 "HTTP/1.1 413 Content Too Large\r\n");
    assert_int_equal(f->n_aborts, 1);
    assert_int_equal(f->abort_status, 413);

    peer_connect(&p, f->loop, f->port);
    peer_send_text(
        &p, "POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
            "fffff\r\n");
    for (int i = 0; i < 25 && !p.ended; i++) {
        static const char zeros[4096];

        peer_send(&p, zeros, sizeof(zeros));
    }
    peer_wait_end(&p);
    assert_int_equal(strncmp(p.data, "HTTP/1.1 413 ", 13), 0);
    assert_int_equal(f->n_aborts, 2);
    peer_close(&p);
}

static void a_handler_may_refuse_before_the_body(void **state)
{
    struct fixture *f = *state;

    f->refuse_in_head = true;
    /* A small body is dropped, and the connection goes on. */
    expect_part(f,
                "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc"
                "GET /hello HTTP/1.1\r\n" END,
                "\r\n\r\nhello");
    /* For a large one the connection ends. */
    expect_part(f, "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 99999\r\n\r\n",
                "\r\nConnection: close\r\n");
    assert_int_equal(f->n_aborts, 0);
}

static void refuses_what_breaks_the_syntax_and_closes(void **state)
{
    static const struct {
        const char *text;
        const char *want;
    } bad[] = {
        {"garbage\r\n\r\n", "HTTP/1.1 400 Bad Request\r\n"},
        {"\x16\x03\x01\x02", "HTTP/1.1 400 "},
        {"GET /hello HTTP/1.1\r\n\r\n", "HTTP/1.1 400 "},
        {"GET /hello HTTP/9.9\r\nHost: a\r\n\r\n", "HTTP/1.1 505 "},
        {"POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: x\r\n\r\n",
         "HTTP/1.1 400 "},
        {"POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: "
         "2\r\n\r\n",
         "HTTP/1.1 400 "},
        {"POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n"
         "Transfer-Encoding: chunked\r\n\r\n",
         "HTTP/1.1 400 "},
        {"POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip\r\n\r\n",
         "HTTP/1.1 "},
        {"POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n",
         "HTTP/1.1 400 "},
    };
    struct fixture *f = *state;

    for (size_t i = 0; i < N_ELEMENTS(bad); i++) {
        char *reply = talk(f, bad[i].text);

        if (strncmp(reply, bad[i].want, strlen(bad[i].want)) != 0)
            fail_msg("%s\ngave: %s", bad[i].text, reply);
        assert_non_null(strstr(reply, "\r\nConnection: close\r\n"));
        assert_non_null(strstr(reply, "\r\nAccess-Control-Allow-Origin: *\r\n"));
        assert_int_equal(count(reply, "HTTP/1.1"), 1);
        free(reply);
    }
    /* The last one had been told to the handler. */
    assert_int_equal(f->n_aborts, 1);
    assert_int_equal(f->abort_status, 400);
}

static void bounds_head_and_target(void **state)
{
    struct fixture *f = *state;
    char text[9000] = "GET /";

    memset(text + 5, 'x', 3000);
    strcpy(text + 3005, " HTTP/1.1\r\n" END);
    expect_start(f, text, "HTTP/1.1 414 URI Too Long\r\n");

    strcpy(text, "GET /hello HTTP/1.1\r\nA: ");
    memset(text + strlen(text), 'x', 8000);
    expect_start(f, text, "HTTP/1.1 431 ");
}

/* With an origin, without, and for errors. */
static void carries_cors_fields_on_every_reply(void **state)
{
    static const char *const requests[] = {
        "GET /hello HTTP/1.1\r\nOrigin: http://app.example.test\r\n" END,
        "GET /nowhere HTTP/1.1\r\nOrigin: http://app.example.test\r\n" END,
        "PUT /hello HTTP/1.1\r\nOrigin: http://app.example.test\r\n" END,
        "OPTIONS /hello HTTP/1.1\r\nOrigin: http://app.example.test\r\n" END,
        "GET /nothing HTTP/1.1\r\nOrigin: http://app.example.test\r\n" END,
    };

    for (size_t i = 0; i < N_ELEMENTS(requests); i++) {
        char *reply = talk(*state, requests[i]);

        assert_int_equal(
            count(reply,
                  "\r\nAccess-Control-Allow-Origin: http://app.example.test\r\n"),
            1);
        assert_int_equal(count(reply, "\r\nVary: Origin\r\n"), 1);
        assert_int_equal(count(reply, "Allow-Credentials"), 0);
        free(reply);
    }
    expect_part(*state, "GET /hello HTTP/1.1\r\n" END,
                "\r\nAccess-Control-Allow-Origin: *\r\n");
}

static void answers_preflights_of_every_known_path(void **state)
{
    static const char *const paths[] = {"/hello", "/echo", "/p/x/end", "/later"};

    for (size_t i = 0; i < N_ELEMENTS(paths); i++) {
        char request[512];
        char *reply;

        snprintf(
            request, sizeof(request),
            "OPTIONS %s HTTP/1.1\r\nOrigin: http://app.example.test\r\n"
            "Access-Control-Request-Method: GET\r\n"
            "Access-Control-Request-Headers: x-b,content-type, X-A,,bad name\r\n" END,
            paths[i]);
        reply = talk(*state, request);
        assert_int_equal(strncmp(reply, "HTTP/1.1 204 No Content\r\n", 25), 0);
        assert_int_equal(count(reply, "\r\nAllow: "), 1);
        assert_int_equal(count(reply,
                               "\r\nAccess-Control-Allow-Methods: DELETE, GET, HEAD, "
                               "OPTIONS, PATCH, POST, PUT\r\n"),
                         1);
        assert_int_equal(
            count(reply,
                  "\r\nAccess-Control-Allow-Headers: X-A, content-type, x-b\r\n"),
            1);
        assert_int_equal(count(reply, "\r\nAccess-Control-Max-Age: 600\r\n"), 1);
        assert_string_equal(strstr(reply, "\r\n\r\n"), "\r\n\r\n");
        free(reply);
    }
    expect_part(*state, "OPTIONS /hello HTTP/1.1\r\n" END,
                "\r\nAllow: GET, HEAD, OPTIONS\r\n");
    expect_start(*state,
                 "OPTIONS /nowhere HTTP/1.1\r\nOrigin: http://app.example.test\r\n"
                 "Access-Control-Request-Method: GET\r\n" END,
                 "HTTP/1.1 404 ");
    expect_start(*state, "OPTIONS * HTTP/1.1\r\n" END, "HTTP/1.1 200 OK\r\n");
    expect_part(*state, "OPTIONS /raw/x HTTP/1.1\r\n" END, "\r\n\r\nhello");
}

static void a_list_of_origins_lets_only_those_through(void **state)
{
    char *good =
        talk(*state, "GET /cors HTTP/1.1\r\nOrigin: http://good.example.test\r\n" END);
    char *bad =
        talk(*state, "GET /cors HTTP/1.1\r\nOrigin: http://evil.example.test\r\n" END);

    assert_non_null(
        strstr(good, "Access-Control-Allow-Origin: http://good.example.test\r\n"));
    assert_non_null(strstr(good, "Access-Control-Allow-Credentials: true\r\n"));
    assert_null(strstr(bad, "Access-Control-Allow"));
    assert_non_null(strstr(bad, "Vary: Origin\r\n"));
    free(good);
    free(bad);
}

static void never_reflects_what_is_no_origin(void **state)
{
    char *reply = talk(*state, "GET /hello HTTP/1.1\r\nOrigin: a b, <c>\r\n" END);

    assert_null(strstr(reply, "a b"));
    assert_int_equal(strncmp(reply, "HTTP/1.1 200 ", 13), 0);
    free(reply);
}

static void no_content_says_no_length(void **state)
{
    char *reply = talk(*state, "GET /nothing HTTP/1.1\r\n" END);

    assert_int_equal(strncmp(reply, "HTTP/1.1 204 No Content\r\n", 25), 0);
    assert_null(strstr(reply, "Content-Length"));
    free(reply);
}

static void sends_large_replies_whole(void **state)
{
    struct fixture *f = *state;
    struct peer p;
    const char *body;

    peer_connect(&p, f->loop, f->port);
    peer_send_text(&p, "GET /big HTTP/1.1\r\n" END);
    peer_wait_end(&p);
    body = strstr(p.data, "\r\n\r\n");
    assert_non_null(body);
    assert_int_equal(p.len - (size_t)(body + 4 - p.data), 3000000);
    peer_close(&p);
}

static void a_client_that_does_not_read_is_not_answered_further(void **state)
{
    struct fixture *f = *state;
    struct http_server_stats stats;
    struct peer p;

    peer_connect(&p, f->loop, f->port);
    for (int i = 0; i < 19; i++)
        peer_send_text(&p, "GET /big HTTP/1.1\r\nHost: a\r\n\r\n");
    peer_send_text(&p, "GET /big HTTP/1.1\r\n" END);
    loop_settle(f->loop);
    http_server_stats(f->server, &stats);
    assert_true(stats.n_requests < 20);
    peer_wait_end(&p);
    assert_int_equal(count(p.data, "HTTP/1.1 200 OK\r\n"), 20);
    assert_true(p.len > 20 * 3000000);
    http_server_stats(f->server, &stats);
    assert_int_equal(stats.n_requests, 20);
    peer_close(&p);
}

static void a_client_that_leaves_aborts_what_waits(void **state)
{
    struct fixture *f = *state;

    for (int half = 0; half < 2; half++) {
        struct peer p;

        peer_connect(&p, f->loop, f->port);
        peer_send_text(&p, "GET /later HTTP/1.1\r\nHost: a\r\n\r\n");
        RUN_WHILE(f->loop, !f->held)
        if (half)
            peer_end(&p);
        else
            peer_close(&p);
        RUN_WHILE(f->loop, f->held)
        if (half) {
            peer_wait_end(&p);
            peer_close(&p);
        }
        assert_int_equal(f->abort_status, 0);
    }
    assert_int_equal(f->n_aborts, 2);
}

static void the_last_reply_reaches_a_client_that_half_closed(void **state)
{
    struct fixture *f = *state;
    struct peer p;

    peer_connect(&p, f->loop, f->port);
    peer_send_text(&p, "GET /hello HTTP/1.1\r\nHost: a\r\n\r\nGET /he");
    peer_end(&p);
    peer_wait_end(&p);
    assert_non_null(strstr(p.data, "\r\n\r\nhello"));
    peer_close(&p);
}

static void streams_in_chunks(void **state)
{
    struct fixture *f = *state;
    const struct sio_slice parts[] = {{NULL, (const uint8_t *)"ab", 2},
                                      {NULL, (const uint8_t *)"c", 1}};
    struct peer p;

    peer_connect(&p, f->loop, f->port);
    peer_send_text(
        &p, "GET /stream HTTP/1.1\r\nHost: a\r\n\r\nGET /hello HTTP/1.1\r\n" END);
    peer_wait_text(&p, "\r\nTransfer-Encoding: chunked\r\n\r\n");
    assert_int_equal(http_stream_send(f->held, parts, 2), SIO_OK);
    assert_int_equal(http_stream_send(f->held, parts, 0), SIO_OK);
    peer_wait_text(&p, "\r\n\r\n3\r\nabc\r\n");
    http_stream_end(f->held);
    peer_wait_end(&p);
    assert_non_null(strstr(p.data, "abc\r\n0\r\n\r\nHTTP/1.1 200 OK\r\n"));
    assert_int_equal(f->n_aborts, 0);
    peer_close(&p);
}

static void streams_to_http_1_0_until_the_end(void **state)
{
    struct fixture *f = *state;
    const struct sio_slice part = {NULL, (const uint8_t *)"abc", 3};
    struct peer p;

    peer_connect(&p, f->loop, f->port);
    peer_send_text(&p, "GET /stream HTTP/1.0\r\n\r\n");
    peer_wait_text(&p, "\r\nConnection: close\r\n\r\n");
    assert_int_equal(http_stream_send(f->held, &part, 1), SIO_OK);
    http_stream_end(f->held);
    peer_wait_end(&p);
    assert_non_null(strstr(p.data, "\r\n\r\nabc"));
    assert_null(strstr(p.data, "chunked"));
    peer_close(&p);
}

static void a_cut_stream_has_no_last_chunk(void **state)
{
    struct fixture *f = *state;
    const struct sio_slice part = {NULL, (const uint8_t *)"abc", 3};
    struct peer p;

    peer_connect(&p, f->loop, f->port);
    peer_send_text(&p, "GET /stream HTTP/1.1\r\nHost: a\r\n\r\n");
    peer_wait_text(&p, "chunked");
    assert_int_equal(http_stream_send(f->held, &part, 1), SIO_OK);
    http_stream_cut(f->held);
    peer_wait_end(&p);
    assert_non_null(strstr(p.data, "3\r\nabc\r\n"));
    assert_null(strstr(p.data, "0\r\n\r\n"));
    assert_int_equal(f->n_aborts, 0);
    peer_close(&p);
}

static void head_of_a_stream_is_answered_at_once(void **state)
{
    struct fixture *f = *state;

    expect_part(f, "HEAD /stream HTTP/1.1\r\n" END,
                "\r\nTransfer-Encoding: chunked\r\n");
    assert_null(f->held);
}

static void a_stream_tells_when_there_is_room_and_when_it_is_over(void **state)
{
    struct fixture *f = *state;
    struct sio_buf *b = sio_buf_new(1 << 20);
    const struct sio_slice part = sio_slice_of(b);
    struct peer p;

    memset(sio_buf_data(b), 'x', 1 << 20);
    peer_connect(&p, f->loop, f->port);
    peer_send_text(&p, "GET /stream HTTP/1.1\r\nHost: a\r\n\r\n");
    peer_wait_text(&p, "chunked");
    for (int i = 0; i < 16; i++)
        assert_int_equal(http_stream_send(f->held, &part, 1), SIO_OK);
    loop_settle(f->loop);
    assert_true(http_stream_pending(f->held) > 0);
    assert_int_equal(f->n_drains, 0);
    peer_wait_len(&p, 16u << 20);
    loop_settle(f->loop);
    assert_int_equal(f->n_drains, 1);
    assert_int_equal(http_stream_pending(f->held), 0);
    peer_close(&p);
    RUN_WHILE(f->loop, f->n_aborts == 0)
    sio_buf_unref(b);
}

static int setup_hasty(void **state)
{
    static const struct http_server_options opts = {
        .head_timeout_ms = 60,
        .body_timeout_ms = 60,
        .idle_timeout_ms = 60,
        .write_timeout_ms = 60,
    };
    struct fixture *f = calloc(1, sizeof(*f));

    start(f, &opts);
    *state = f;
    return 0;
}

static void slow_heads_and_bodies_get_408(void **state)
{
    struct fixture *f = *state;

    expect_start(f, "GET /hel", "HTTP/1.1 408 Request Timeout\r\n");
    expect_start(f, "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nabc",
                 "HTTP/1.1 408 ");
    assert_int_equal(f->n_aborts, 1);
    assert_int_equal(f->abort_status, 408);
}

static void idle_connections_are_closed_without_a_word(void **state)
{
    struct fixture *f = *state;

    expect_start(f, "", "");
    expect_part(f, "GET /hello HTTP/1.1\r\nHost: a\r\n\r\n", "\r\n\r\nhello");
}

static void a_waiting_request_has_no_deadline(void **state)
{
    struct fixture *f = *state;
    struct peer p;
    uint64_t until;

    peer_connect(&p, f->loop, f->port);
    peer_send_text(&p, "GET /later HTTP/1.1\r\nHost: a\r\n\r\n");
    RUN_WHILE(f->loop, !f->held)
    until = net_loop_now_ms(f->loop) + 200;
    RUN_WHILE(f->loop, net_loop_now_ms(f->loop) < until)
    assert_non_null(f->held);
    http_reply_bytes(f->held, 200, "text/plain", "late", 4);
    peer_wait_text(&p, "late");
    peer_close(&p);
}

static void who_does_not_read_is_cut(void **state)
{
    struct fixture *f = *state;
    struct sio_buf *b = sio_buf_new(16 << 20);
    const struct sio_slice part = sio_slice_of(b);
    struct peer p;

    memset(sio_buf_data(b), 'x', 16 << 20);
    peer_connect(&p, f->loop, f->port);
    peer_send_text(&p, "GET /stream HTTP/1.1\r\nHost: a\r\n\r\n");
    RUN_WHILE(f->loop, !f->held)
    assert_int_equal(http_stream_send(f->held, &part, 1), SIO_OK);
    RUN_WHILE(f->loop, f->n_aborts == 0)
    peer_close(&p);
    sio_buf_unref(b);
}

static void note_drained(void *user)
{
    struct fixture *f = user;

    f->drained = true;
}

static void drains_idle_and_busy_connections(void **state)
{
    struct fixture *f = *state;
    struct peer idle;
    struct peer busy;

    peer_connect(&idle, f->loop, f->port);
    peer_send_text(&idle, "GET /hello HTTP/1.1\r\nHost: a\r\n\r\n");
    peer_wait_text(&idle, "hello");
    peer_connect(&busy, f->loop, f->port);
    peer_send_text(&busy, "GET /later HTTP/1.1\r\nHost: a\r\n\r\n");
    RUN_WHILE(f->loop, !f->held)

    http_server_drain(f->server, note_drained, f);
    peer_wait_end(&idle);
    peer_close(&idle);
    assert_false(f->drained);
    http_reply_bytes(f->held, 200, "text/plain", "bye", 3);
    peer_wait_end(&busy);
    assert_non_null(strstr(busy.data, "\r\nConnection: close\r\n"));
    peer_close(&busy);
    loop_until(f->loop, &f->drained);
}

static void counts(void **state)
{
    struct fixture *f = *state;
    struct http_server_stats stats;

    free(talk(f, "GET /hello HTTP/1.1\r\nHost: a\r\n\r\nGET /hello HTTP/1.1\r\n" END));
    loop_settle(f->loop);
    http_server_stats(f->server, &stats);
    assert_int_equal(stats.n_requests, 2);
    assert_int_equal(stats.n_accepted, 1);
    assert_int_equal(stats.n_conns, 0);
}

#define TEST(name)       cmocka_unit_test_setup_teardown(name, setup, teardown)
#define HASTY_TEST(name) cmocka_unit_test_setup_teardown(name, setup_hasty, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(answers_and_says_that_it_closes),
        TEST(keeps_a_connection_open_and_pipelines_in_order),
        TEST(a_waiting_request_holds_back_those_behind_it),
        TEST(what_is_sent_behind_a_waiting_request_is_bounded),
        TEST(routes_may_be_added_while_a_request_waits),
        TEST(http_1_0_closes_unless_asked),
        TEST(head_has_the_head_of_get_and_no_body),
        TEST(takes_an_absolute_target),
        TEST(answers_unknown_paths_with_404_as_json),
        TEST(answers_other_methods_with_405_and_allow),
        TEST(a_body_that_nobody_wants_is_dropped_up_to_a_bound),
        TEST(decodes_parameters_and_queries),
        TEST(joins_fields_and_refuses_bad_ones),
        TEST(reads_bodies_that_come_in_any_form),
        TEST(tells_the_client_to_go_on),
        TEST(refuses_a_body_as_soon_as_it_is_too_big),
        TEST(a_handler_may_refuse_before_the_body),
        TEST(refuses_what_breaks_the_syntax_and_closes),
        TEST(bounds_head_and_target),
        TEST(carries_cors_fields_on_every_reply),
        TEST(answers_preflights_of_every_known_path),
        TEST(a_list_of_origins_lets_only_those_through),
        TEST(never_reflects_what_is_no_origin),
        TEST(no_content_says_no_length),
        TEST(sends_large_replies_whole),
        TEST(a_client_that_does_not_read_is_not_answered_further),
        TEST(a_client_that_leaves_aborts_what_waits),
        TEST(the_last_reply_reaches_a_client_that_half_closed),
        TEST(streams_in_chunks),
        TEST(streams_to_http_1_0_until_the_end),
        TEST(a_cut_stream_has_no_last_chunk),
        TEST(head_of_a_stream_is_answered_at_once),
        TEST(a_stream_tells_when_there_is_room_and_when_it_is_over),
        HASTY_TEST(slow_heads_and_bodies_get_408),
        HASTY_TEST(idle_connections_are_closed_without_a_word),
        HASTY_TEST(a_waiting_request_has_no_deadline),
        HASTY_TEST(who_does_not_read_is_cut),
        TEST(drains_idle_and_busy_connections),
        TEST(counts),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
