/*
 * What <sioc/http.h> adds to a server: pages and routes beside Socket.IO.
 */
#include <config.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include <sioc/http.h>
#include <sioc/server.h>

#include "base/str.h"
#include "loopback.h"

struct fixture {
    struct net_loop *loop;
    struct sio_server *server;
    struct sio_http *http;
    uint16_t port;
    struct sio_http_request *held;
    unsigned n_aborts;
};

static int setup(void **state)
{
    static const struct sio_server_options opts = {.engine = {.cors = true}};
    static const struct eio_listen_options where = {.host = "127.0.0.1"};
    struct fixture *f = calloc(1, sizeof(*f));
    int port;

    assert_non_null(f);
    f->loop = net_loop_new(NULL, NULL);
    assert_non_null(f->loop);
    f->server = sio_server_new(f->loop, &opts, NULL);
    assert_non_null(f->server);
    f->http = sio_server_http(f->server);
    port = sio_server_listen(f->server, &where, NULL);
    assert_true(port > 0);
    f->port = (uint16_t)port;
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;

    sio_server_free(f->server);
    net_loop_free(f->loop);
    free(f);
    return 0;
}

/* Sends a request and returns the whole reply. */
static char *ask(struct fixture *f, const char *first, const char *rest)
{
    struct peer p;
    char *all;

    peer_connect(&p, f->loop, f->port);
    peer_send_text(&p, first);
    peer_send_text(&p, " HTTP/1.1\r\nHost: a\r\nConnection: close\r\n");
    peer_send_text(&p, rest);
    peer_wait_end(&p);
    all = strdup(p.data);
    assert_non_null(all);
    peer_close(&p);
    return all;
}

static void expect(struct fixture *f, const char *first, const char *rest,
                   const char *status, const char *part)
{
    char *reply = ask(f, first, rest);

    if (strncmp(reply + strlen("HTTP/1.1 "), status, 3) != 0 || !strstr(reply, part))
        fail_msg("%s\ngave: %s\nnot %s with: %s", first, reply, status, part);
    free(reply);
}

static void a_page_is_served_with_its_type(void **state)
{
    struct fixture *f = *state;
    char html[] = "<p>hello";

    assert_int_equal(sio_http_page(f->http, "/", "text/html", html, 8), SIO_OK);
    memset(html, 'x', sizeof(html)); /* it was copied */
    expect(f, "GET /", "\r\n", "200", "\r\nContent-Type: text/html\r\n");
    expect(f, "GET /", "\r\n", "200", "\r\nContent-Length: 8\r\n\r\n<p>hello");
    expect(f, "GET /?a=b", "\r\n", "200", "<p>hello");
    expect(f, "HEAD /", "\r\n", "200", "\r\nContent-Length: 8\r\n\r\n");
    expect(f, "POST /", "Content-Length: 0\r\n\r\n", "405", "Allow: GET, HEAD, OPTION");
    expect(f, "GET /other", "\r\n", "404", "");
}

static void a_page_may_be_empty(void **state)
{
    struct fixture *f = *state;

    assert_int_equal(sio_http_page(f->http, "/e", "text/plain", "", 0), SIO_OK);
    expect(f, "GET /e", "\r\n", "200", "\r\nContent-Length: 0\r\n\r\n");
}

static void a_page_that_the_client_has_is_not_sent_again(void **state)
{
    struct fixture *f = *state;
    char *reply, *tag, *end;
    char field[128];

    assert_int_equal(sio_http_page(f->http, "/a", "text/plain", "one", 3), SIO_OK);
    assert_int_equal(sio_http_page(f->http, "/b", "text/plain", "two", 3), SIO_OK);
    reply = ask(f, "GET /a", "\r\n");
    tag = strstr(reply, "\r\nETag: ");
    assert_non_null(tag);
    tag += 8;
    end = strstr(tag, "\r\n");
    assert_non_null(end);
    *end = '\0';

    snprintf(field, sizeof(field), "If-None-Match: \"x\", %s\r\n\r\n", tag);
    expect(f, "GET /a", field, "304", "\r\nETag: W/");
    snprintf(field, sizeof(field), "If-None-Match: %s\r\n\r\n", tag + 2);
    expect(f, "GET /a", field, "304", "\r\nETag: W/"); /* compared weakly */
    expect(f, "GET /b", field, "200", "two");
    expect(f, "GET /a", "If-None-Match: *\r\n\r\n", "304", "");
    expect(f, "GET /a", "If-None-Match: \"x\"\r\n\r\n", "200", "one");
    free(reply);
}

static void a_large_page_is_compressed_for_who_takes_it(void **state)
{
    struct fixture *f = *state;
    char text[3001];

    memset(text, 'x', sizeof(text) - 1);
    text[sizeof(text) - 1] = '\0';
    assert_int_equal(sio_http_page(f->http, "/l", "text/plain", text, 3000), SIO_OK);
    assert_int_equal(sio_http_page(f->http, "/s", "text/plain", text, 300), SIO_OK);
    expect(f, "GET /l", "Accept-Encoding: gzip\r\n\r\n", "200",
           "\r\nContent-Encoding: gzip\r\n");
    expect(f, "GET /l", "Accept-Encoding: deflate\r\n\r\n", "200",
           "\r\nContent-Encoding: deflate\r\n");
    expect(f, "HEAD /l", "Accept-Encoding: gzip\r\n\r\n", "200",
           "\r\nContent-Encoding: gzip\r\n");
    expect(f, "GET /l", "Accept-Encoding: gzip\r\n\r\n", "200",
           "\r\nVary: Accept-Encoding\r\n");
    expect(f, "GET /l", "\r\n", "200", "\r\nVary: Accept-Encoding\r\n");
    expect(f, "GET /l", "If-None-Match: *\r\n\r\n", "304",
           "\r\nVary: Accept-Encoding\r\n");
    expect(f, "GET /l", "Accept-Encoding: gzip;q=0\r\n\r\n", "200", text);
    expect(f, "GET /s", "Accept-Encoding: gzip\r\n\r\n", "200",
           "\r\nContent-Length: 300\r\n");
    expect(f, "GET /s", "Accept-Encoding: gzip, identity;q=0\r\n\r\n", "200",
           "\r\nContent-Encoding: gzip\r\n");
}

static void a_file_is_read_when_it_is_added(void **state)
{
    struct fixture *f = *state;
    struct sio_diag diag = {""};
    char name[] = "/tmp/sioc-test-XXXXXX";
    int fd = mkstemp(name);

    assert_true(fd >= 0);
    assert_int_equal(write(fd, "file", 4), 4);
    close(fd);
    assert_int_equal(sio_http_file(f->http, "/f", "text/plain", name, &diag), SIO_OK);
    assert_int_equal(sio_http_file(f->http, "f", "text/plain", name, &diag),
                     SIO_ERR_INVAL);
    unlink(name);
    expect(f, "GET /f", "\r\n", "200", "\r\n\r\nfile");
    assert_int_equal(sio_http_file(f->http, "/g", "text/plain", name, &diag),
                     SIO_ERR_NOT_FOUND);
    assert_non_null(strstr(diag.text, name));
    expect(f, "GET /g", "\r\n", "404", "");
}

static void on_echo(struct sio_http_request *r, void *user)
{
    struct sio_str name = {0};
    struct sio_str room = sio_http_request_param(r, 0);
    struct sio_str agent = sio_http_request_field(r, "user-agent");
    struct sio_slice body = sio_http_request_body(r);
    char text[256];

    (void)user;
    assert_null(sio_http_request_data(r));
    assert_null(sio_http_request_param(r, 1).ptr);
    assert_null(sio_http_request_field(r, "x-none").ptr);
    sio_http_request_query(r, "name", &name);
    snprintf(text, sizeof(text), "%d %.*s %.*s %.*s %.*s", sio_http_request_method(r),
             STR_ARG(room), STR_ARG(name), STR_ARG(agent), (int)body.len, body.ptr);
    assert_int_equal(sio_http_reply_field(r, "X-Bad", SIO_STR("a\r\nb")),
                     SIO_ERR_INVAL);
    assert_int_equal(sio_http_reply_field(r, "X-Good", SIO_STR("yes")), SIO_OK);
    assert_int_equal(sio_http_reply_bytes(r, 201, "text/plain", text, strlen(text)),
                     SIO_OK);
}

static void a_route_sees_the_request_and_answers(void **state)
{
    static const struct sio_http_handler echo = {.on_request = on_echo, .max_body = 9};
    struct fixture *f = *state;

    assert_int_equal(
        sio_http_route(f->http, SIO_HTTP_POST | SIO_HTTP_PUT, "/rooms/:", &echo, NULL),
        SIO_OK);
    expect(f, "POST /rooms/a%20b?name=x%26y",
           "User-Agent: me\r\nContent-Length: 4\r\n\r\nbody", "201",
           "\r\n\r\n32 a b x&y me body");
    expect(f, "PUT /rooms/1", "Content-Length: 0\r\n\r\n", "201",
           "\r\nX-Good: yes\r\n");
    expect(f, "POST /rooms/1", "Content-Length: 10\r\n\r\n", "413", "");
    expect(f, "POST /rooms/", "Content-Length: 0\r\n\r\n", "404", "");
    expect(f, "GET /rooms/1", "\r\n", "405", "\r\nAllow: OPTIONS, POST, PUT\r\n");
}

static void on_slice(struct sio_http_request *r, void *user)
{
    assert_int_equal(sio_http_reply(r, 200, NULL, sio_slice_of(user)), SIO_OK);
}

static void a_reply_may_share_its_bytes(void **state)
{
    static const struct sio_http_handler handler = {.on_request = on_slice};
    struct sio_buf *b = sio_buf_new(100000);
    struct fixture *f = *state;
    char *reply;

    memset(sio_buf_data(b), 'x', 100000);
    assert_int_equal(sio_http_route(f->http, SIO_HTTP_ANY, "/x/*", &handler, b),
                     SIO_OK);
    reply = ask(f, "GET /x/y/z", "\r\n");
    assert_non_null(strstr(reply, "\r\nContent-Length: 100000\r\n"));
    assert_int_equal(strlen(strstr(reply, "\r\n\r\n")), 100004);
    free(reply);
    sio_buf_unref(b);
}

static void on_later(struct sio_http_request *r, void *user)
{
    struct fixture *f = user;

    assert_null(f->held);
    f->held = r;
    sio_http_request_set_data(r, f);
}

static void on_abort(struct sio_http_request *r, void *user)
{
    struct fixture *f = user;

    assert_ptr_equal(f->held, r);
    assert_ptr_equal(sio_http_request_data(r), f);
    f->held = NULL;
    f->n_aborts++;
}

static const struct sio_http_handler later = {.on_request = on_later,
                                              .on_abort = on_abort};

/* A request that the server holds, to answer it later. */
static void ask_later(struct fixture *f, struct peer *p)
{
    assert_int_equal(sio_http_route(f->http, SIO_HTTP_GET, "/later", &later, f),
                     SIO_OK);
    peer_connect(p, f->loop, f->port);
    peer_send_text(p, "GET /later HTTP/1.1\r\nHost: a\r\n\r\n");
    RUN_WHILE(f->loop, !f->held);
}

static void an_answer_may_come_later(void **state)
{
    struct fixture *f = *state;
    struct peer p;

    ask_later(f, &p);
    assert_int_equal(sio_http_reply_bytes(f->held, 200, NULL, "now", 3), SIO_OK);
    f->held = NULL;
    peer_wait_text(&p, "\r\n\r\nnow");
    peer_close(&p);
    loop_settle(f->loop);
    assert_int_equal(f->n_aborts, 0);
}

static void who_answers_later_hears_that_nobody_waits(void **state)
{
    struct fixture *f = *state;
    struct peer p;

    ask_later(f, &p);
    peer_close(&p);
    RUN_WHILE(f->loop, f->held);
    assert_int_equal(f->n_aborts, 1);
}

static void a_server_that_is_freed_tells_who_answers_later(void **state)
{
    struct fixture *f = *state;
    struct peer p;

    ask_later(f, &p);
    sio_server_free(f->server);
    f->server = NULL;
    assert_int_equal(f->n_aborts, 1);
    peer_close(&p);
}

static void patterns_that_mean_nothing_are_refused(void **state)
{
    static const char *const bad[] = {"",    "a",          "/a*b", "/x:",    "/:x",
                                      "/*/", "/:/:/:/:/:", "x/",   "/a/:b/c"};
    struct fixture *f = *state;

    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        assert_int_equal(sio_http_route(f->http, SIO_HTTP_GET, bad[i], &later, f),
                         SIO_ERR_INVAL);
    assert_int_equal(sio_http_route(f->http, SIO_HTTP_GET, "/:/:/:/:/*", &later, f),
                     SIO_OK);
    assert_int_equal(sio_http_page(f->http, "a", "text/plain", "x", 1), SIO_ERR_INVAL);
    assert_int_equal(sio_http_page(f->http, "/:", "text/plain", "x", 1), SIO_ERR_INVAL);
    assert_int_equal(sio_http_page(f->http, "/*", "text/plain", "x", 1), SIO_ERR_INVAL);
}

static void socket_io_stays_what_it_is(void **state)
{
    struct fixture *f = *state;

    assert_int_equal(sio_http_route(f->http, SIO_HTTP_ANY, "/*", &later, f), SIO_OK);
    expect(f, "GET /socket.io/?EIO=4&transport=polling", "\r\n", "200", "\r\n\r\n0{");
    assert_null(f->held);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(a_page_is_served_with_its_type),
        TEST(a_page_may_be_empty),
        TEST(a_page_that_the_client_has_is_not_sent_again),
        TEST(a_large_page_is_compressed_for_who_takes_it),
        TEST(a_file_is_read_when_it_is_added),
        TEST(a_route_sees_the_request_and_answers),
        TEST(a_reply_may_share_its_bytes),
        TEST(an_answer_may_come_later),
        TEST(who_answers_later_hears_that_nobody_waits),
        TEST(a_server_that_is_freed_tells_who_answers_later),
        TEST(patterns_that_mean_nothing_are_refused),
        TEST(socket_io_stays_what_it_is),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
