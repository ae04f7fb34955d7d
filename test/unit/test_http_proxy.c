/*
 * Which proxy a client uses, and what it makes of the proxy's answer.
 */
#include <config.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "alloc_fail.h"
#include "base/list.h"
#include "http/proxy.h"
#include "net/conn.h"

static struct http_proxy *from_text(const char *url)
{
    struct sio_diag diag;
    struct http_proxy *p = http_proxy_new(sio_str_from(url), &diag);

    if (!p)
        fail_msg("%s: %s", url, diag.text);
    return p;
}

static void expect_request(const char *url, const char *host, uint16_t port,
                           const char *request)
{
    struct http_proxy *p = from_text(url);
    struct net_tunnel *t = http_proxy_tunnel(p, host, port);
    struct sio_str text;

    assert_non_null(t);
    text = t->ops->request(t);
    assert_int_equal(text.len, strlen(request));
    assert_memory_equal(text.ptr, request, text.len);
    t->ops->free(t);
    http_proxy_unref(p);
}

static void connect_names_the_server_and_shows_the_login(void **state)
{
    (void)state;
    expect_request("http://proxy.test:3128", "hub.test", 443,
                   "CONNECT hub.test:443 HTTP/1.1\r\nHost: hub.test:443\r\n\r\n");
    expect_request(
        "proxy.test", "2001:db8::1", 80,
        "CONNECT [2001:db8::1]:80 HTTP/1.1\r\nHost: [2001:db8::1]:80\r\n\r\n");
    expect_request("http://us%40er:pa%3ass%25@proxy.test", "h", 1,
                   "CONNECT h:1 HTTP/1.1\r\nHost: h:1\r\n"
                   "Proxy-Authorization: Basic dXNAZXI6cGE6c3Ml\r\n\r\n");
    expect_request("user@proxy.test:1", "h", 1,
                   "CONNECT h:1 HTTP/1.1\r\nHost: h:1\r\n"
                   "Proxy-Authorization: Basic dXNlcjo=\r\n\r\n");
}

static void a_url_that_is_none_is_refused_without_being_shown(void **state)
{
    static const struct {
        const char *url;
        const char *why;
    } bad[] = {
        {"https://secret:secret@proxy.test", "only http:// proxies"},
        {"socks5://secret:secret@proxy.test", "begins with none of"},
        {"http://secret:secret@proxy.test:0", "port"},
        {"http://secret:secret@", "host is missing"},
        {"http://sec ret@proxy.test", "character"},
        {"", "host is missing"},
    };

    (void)state;
    for (size_t i = 0; i < N_ELEMENTS(bad); i++) {
        struct sio_diag diag;

        assert_null(http_proxy_new(sio_str_from(bad[i].url), &diag));
        assert_non_null(strstr(diag.text, bad[i].why));
        assert_null(strstr(diag.text, "secret"));
    }
}

static void a_list_says_which_servers_need_no_proxy(void **state)
{
    static const struct {
        const char *list;
        const char *host;
        uint16_t port;
        bool bypassed;
    } cases[] = {
        {"", "hub.test", 80, false},
        {"*", "hub.test", 80, true},
        {" , *", "192.0.2.1", 80, true},
        {"hub.test", "hub.test", 80, true},
        {"HUB.test", "hub.TEST", 80, true},
        {"hub.test", "hub.test.", 80, true},
        {"test", "hub.test", 80, true},
        {".test", "hub.test", 80, true},
        {".hub.test", "hub.test", 80, true},
        {"ub.test", "hub.test", 80, false},
        {".", "hub.test", 80, false},
        {"hub.test.other", "hub.test", 80, false},
        {"a.test,b.test", "b.test", 80, true},
        {"a.test b.test", "b.test", 80, true},
        {"a.test,\tb.test ,c.test", "b.test", 80, true},
        {"hub.test:81", "hub.test", 80, false},
        {"hub.test:80", "hub.test", 80, true},
        {"hub.test:", "hub.test", 80, false},
        {"hub.test:x", "hub.test", 80, false},
        {"192.0.2.1", "192.0.2.1", 80, true},
        {"192.0.2.1:80", "192.0.2.1", 80, true},
        {"192.0.2.1:81", "192.0.2.1", 80, false},
        {"192.0.2.0/24", "192.0.2.200", 80, true},
        {"192.0.2.0/24", "192.0.3.200", 80, false},
        {"192.0.2.128/25", "192.0.2.127", 80, false},
        {"192.0.2.128/25", "192.0.2.128", 80, true},
        {"0.0.0.0/0", "192.0.2.1", 80, true},
        {"0.0.0.0/0", "2001:db8::1", 80, false},
        {"192.0.2.0/33", "192.0.2.0", 80, false},
        {"192.0.2.0/", "192.0.2.0", 80, false},
        {"192.0.2.0/24", "hub.test", 80, false},
        {"2.1", "192.0.2.1", 80, false},
        {"2001:db8::/32", "2001:db8:ffff::1", 80, true},
        {"2001:db8::/32", "2001:db9::1", 80, false},
        {"2001:db8::1", "2001:db8::1", 80, true},
        {"[2001:db8::1]", "2001:db8::1", 80, true},
        {"[2001:db8::1]:80", "2001:db8::1", 80, true},
        {"[2001:db8::1]:81", "2001:db8::1", 80, false},
        {"[2001:db8::1", "2001:db8::1", 80, false},
        {"[]", "2001:db8::1", 80, false},
        {"::/0", "::1", 80, true},
        {"[", "hub.test", 80, false},
        {":80", "hub.test", 80, false},
    };

    (void)state;
    for (size_t i = 0; i < N_ELEMENTS(cases); i++)
        if (http_proxy_bypassed(sio_str_from(cases[i].list), cases[i].host,
                                cases[i].port) != cases[i].bypassed)
            fail_msg("\"%s\" and %s port %u", cases[i].list, cases[i].host,
                     (unsigned)cases[i].port);
}

static void forget_environment(void)
{
    static const char *const names[] = {
        "http_proxy", "HTTP_PROXY", "https_proxy", "HTTPS_PROXY",    "all_proxy",
        "ALL_PROXY",  "no_proxy",   "NO_PROXY",    "REQUEST_METHOD",
    };

    for (size_t i = 0; i < N_ELEMENTS(names); i++)
        unsetenv(names[i]);
}

static void expect_proxy(bool tls, const char *host)
{
    struct http_proxy *p;
    struct sio_diag diag;

    assert_int_equal(http_proxy_from_env(tls, "hub.test", 80, &p, &diag), SIO_OK);
    if (host)
        assert_string_equal(http_proxy_host(p), host);
    else
        assert_null(p);
    http_proxy_unref(p);
}

static void the_environment_names_the_proxy(void **state)
{
    struct http_proxy *p;
    struct sio_diag diag;

    (void)state;
    forget_environment();
    expect_proxy(true, NULL);
    setenv("ALL_PROXY", "all.test", 1);
    expect_proxy(true, "all.test");
    expect_proxy(false, "all.test");
    setenv("HTTP_PROXY", "http://plain.test:1", 1);
    expect_proxy(false, "plain.test");
    expect_proxy(true, "all.test");
    setenv("HTTPS_PROXY", "http://tls.test", 1);
    expect_proxy(true, "tls.test");
    setenv("https_proxy", "http://lower.test", 1);
    expect_proxy(true, "lower.test");
    setenv("https_proxy", "", 1);
    expect_proxy(true, "tls.test");
    setenv("REQUEST_METHOD", "GET", 1);
    expect_proxy(false, "all.test"); /* HTTP_PROXY may be the field "Proxy" */
    setenv("NO_PROXY", "other.test,hub.test", 1);
    expect_proxy(true, NULL);
    setenv("no_proxy", "other.test", 1);
    expect_proxy(true, "tls.test");
    setenv("HTTPS_PROXY", "ftp://secret@x.test", 1);
    assert_int_equal(http_proxy_from_env(true, "hub.test", 80, &p, &diag),
                     SIO_ERR_INVAL);
    assert_non_null(strstr(diag.text, "HTTPS_PROXY: "));
    assert_null(strstr(diag.text, "secret"));
    forget_environment();
}

/* The last result of feeding the text in pieces of at most step bytes. */
static int feed(const char *proxy, const char *text, size_t step, struct sio_diag *diag)
{
    struct http_proxy *p = from_text(proxy);
    struct net_tunnel *t = http_proxy_tunnel(p, "hub.test", 443);
    size_t len = strlen(text);
    int rv = 0;

    for (size_t at = 0; rv == 0 && at < len; at += step)
        rv = t->ops->answer(t, (const uint8_t *)text + at,
                            step < len - at ? step : len - at, diag);
    t->ops->free(t);
    http_proxy_unref(p);
    return rv;
}

static void answers_are_understood_in_any_pieces(void **state)
{
    static const struct {
        const char *proxy;
        const char *text;
        int rv;
        const char *why;
    } cases[] = {
        {"p", "HTTP/1.1 200 Connection established\r\n\r\n", 1, ""},
        {"p", "HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n", 1, ""},
        {"p", "HTTP/1.1 204 None\r\nTransfer-Encoding: chunked\r\n\r\n", 1, ""},
        {"p", "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\n\r\n", 1, ""},
        {"p", "HTTP/1.1 103 Early\r\nContent-Length: 3\r\n\r\nHTTP/1.1 200 OK\r\n\r\n",
         1, ""},
        {"p", "HTTP/1.1 100 C\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n",
         SIO_ERR_PROTOCOL, "not HTTP/1.1"},
        {"p", "HTTP/1.1 200 O", 0, ""},
        {"p", "HTTP/1.1 407 Login\r\n\r\n", SIO_ERR_REFUSED, "it wants a login"},
        {"u:p@p", "HTTP/1.1 407 Login\r\n\r\n", SIO_ERR_REFUSED,
         "not accept the login"},
        {"p", "HTTP/1.1 502 Bad\r\nContent-Length: 3\r\n\r\nbad", SIO_ERR_REFUSED,
         "status 502"},
        {"p", "HTTP/1.1 302 Found\r\nLocation: /\r\n\r\n", SIO_ERR_REFUSED,
         "status 302"},
        {"p", "HTTP/1.1 20 OK\r\n\r\n", SIO_ERR_PROTOCOL, "not HTTP/1.1"},
        {"p", "SSH-2.0-OpenSSH\r\n", SIO_ERR_PROTOCOL, "not HTTP/1.1"},
    };

    (void)state;
    for (size_t i = 0; i < N_ELEMENTS(cases); i++)
        for (size_t step = 1; step <= strlen(cases[i].text); step++) {
            struct sio_diag diag = {.text = ""};
            int rv = feed(cases[i].proxy, cases[i].text, step, &diag);

            if (rv != cases[i].rv || !strstr(diag.text, cases[i].why))
                fail_msg("\"%s\" in pieces of %zu: %d, \"%s\"", cases[i].text, step, rv,
                         diag.text);
        }
}

static void answers_are_bounded(void **state)
{
    struct sio_diag diag = {.text = ""};
    char *text = malloc(40000);

    (void)state;
    assert_non_null(text);
    strcpy(text, "HTTP/1.1 200 OK\r\nA: ");
    memset(text + strlen(text), 'x', 30000);
    text[30000] = '\0';
    assert_int_equal(feed("p", text, 1000, &diag), SIO_ERR_TOO_BIG);
    assert_string_equal(diag.text, "the answer is too large");
    *text = '\0';
    for (int i = 0; i < 20; i++)
        strcat(text, "HTTP/1.1 100 Continue\r\n\r\n");
    assert_int_equal(feed("p", text, 7, &diag), SIO_ERR_TOO_BIG);
    assert_string_equal(diag.text, "too many interim answers");
    assert_int_equal(feed("p", "HTTP/1.1 200 OK\r\n\r\nHTTP/1.1", 1000, &diag),
                     SIO_ERR_PROTOCOL);
    assert_string_equal(diag.text, "more came than an answer");
    free(text);
}

static void out_of_memory_is_told(void **state)
{
    (void)state;
    alloc_fail_each(n)
    {
        struct sio_diag diag;
        struct http_proxy *p = http_proxy_new(SIO_STR("http://u:p@proxy.test"), &diag);
        struct net_tunnel *t = p ? http_proxy_tunnel(p, "hub.test", 443) : NULL;

        if (t)
            t->ops->free(t);
        http_proxy_unref(p);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(connect_names_the_server_and_shows_the_login),
        cmocka_unit_test(a_url_that_is_none_is_refused_without_being_shown),
        cmocka_unit_test(a_list_says_which_servers_need_no_proxy),
        cmocka_unit_test(the_environment_names_the_proxy),
        cmocka_unit_test(answers_are_understood_in_any_pieces),
        cmocka_unit_test(answers_are_bounded),
        cmocka_unit_test(out_of_memory_is_told),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
