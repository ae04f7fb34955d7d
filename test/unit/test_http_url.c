#include <config.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/list.h"
#include "base/str.h"
#include "http/url.h"

static int parse(const char *text, struct http_url *u)
{
    struct sio_diag diag;

    return http_url_parse(sio_str_from(text), u, &diag);
}

static void reads_all_parts(void **state)
{
    struct http_url u;

    (void)state;
    assert_int_equal(parse("HTTPS://me:p@ss@hub.example.test:8443/a/b?c=d", &u),
                     SIO_OK);
    assert_true(u.tls);
    assert_true(str_eq_cstr(u.user, "me"));
    assert_true(str_eq_cstr(u.password, "p@ss"));
    assert_true(str_eq_cstr(u.host, "hub.example.test"));
    assert_int_equal(u.port, 8443);
    assert_true(u.port_given);
    assert_true(str_eq_cstr(u.path, "/a/b"));
    assert_true(str_eq_cstr(u.query, "c=d"));
}

static void knows_the_ports_of_schemes(void **state)
{
    static const struct {
        const char *text;
        uint16_t port;
    } cases[] = {{"http://a", 80}, {"https://a", 443}, {"ws://a/", 80},
                 {"wss://a", 443}, {"rtsp://a", 554},  {"http://a:1", 1}};

    (void)state;
    for (size_t i = 0; i < N_ELEMENTS(cases); i++) {
        struct http_url u;

        assert_int_equal(parse(cases[i].text, &u), SIO_OK);
        assert_int_equal(u.port, cases[i].port);
        assert_null(u.user.ptr);
        assert_null(u.query.ptr);
    }
}

static void reads_ipv6_in_brackets(void **state)
{
    struct http_url u;

    (void)state;
    assert_int_equal(parse("ws://[2001:db8::1]:81/x", &u), SIO_OK);
    assert_true(u.ipv6);
    assert_true(str_eq_cstr(u.host, "2001:db8::1"));
    assert_int_equal(u.port, 81);
}

static void refuses_what_is_no_url_of_ours(void **state)
{
    static const char *const bad[] = {
        "",
        "example.test",
        "ftp://a",
        "http:/a",
        "http:a",
        "http://",
        "http:///x",
        "http://:80",
        "http://a:",
        "http://a:0",
        "http://a:65536",
        "http://a:8x",
        "http://a:+8",
        "http://a b",
        "http://a\r\n",
        "http://a/\x80",
        "http://a/#f",
        "http://[::1",
        "http://[::g]",
        "http://[192.0.2.1]",
        "http://[::1]x",
        "http://a..b",
        "http://.a",
        "http://a_\\b",
        "http://me@",
    };

    (void)state;
    for (size_t i = 0; i < N_ELEMENTS(bad); i++) {
        struct http_url u;

        if (parse(bad[i], &u) != SIO_ERR_PARSE)
            fail_msg("accepted: %s", bad[i]);
    }
}

static void never_shows_what_it_refuses(void **state)
{
    struct http_url u;
    struct sio_diag diag;

    (void)state;
    assert_int_equal(http_url_parse(SIO_STR("http://me:secret@a:x/"), &u, &diag),
                     SIO_ERR_PARSE);
    assert_null(strstr(diag.text, "secret"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_all_parts),
        cmocka_unit_test(knows_the_ports_of_schemes),
        cmocka_unit_test(reads_ipv6_in_brackets),
        cmocka_unit_test(refuses_what_is_no_url_of_ours),
        cmocka_unit_test(never_shows_what_it_refuses),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
