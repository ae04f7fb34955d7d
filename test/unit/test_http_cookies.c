/*
 * Which cookies a client keeps, and which requests carry them.
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

#include "alloc_fail.h"
#include "base/list.h"
#include "http/cookies.h"

#define NOW 1700000000 /* 14 Nov 2023 22:13:20 */

static struct http_cookies_request request(const char *path, bool secure)
{
    return (struct http_cookies_request){
        .host = "a.hub.test", .path = path, .secure = secure, .now_s = NOW};
}

/* What a request carries; good until the next call. */
static const char *carried(const struct http_cookies *jar,
                           const struct http_cookies_request *r)
{
    static char text[HTTP_COOKIES_MAX * (HTTP_COOKIE_MAX_BYTES + 2) + 1];
    struct sio_str s;
    struct wbuf w;

    wbuf_init(&w, sizeof(text) - 1);
    http_cookies_write(jar, r, &w);
    assert_int_equal(w.error, SIO_OK);
    s = wbuf_str(&w);
    snprintf(text, sizeof(text), "%.*s", (int)s.len, s.len ? s.ptr : "");
    wbuf_fini(&w);
    return text;
}

/* What the same request carries once the server has said it. */
static const char *after(const char *set_cookie, bool secure)
{
    struct http_cookies_request r = request("/socket.io/", secure);
    struct http_cookies *jar = http_cookies_new();
    const char *text;

    assert_non_null(jar);
    http_cookies_set(jar, &r, sio_str_from(set_cookie));
    text = carried(jar, &r);
    http_cookies_free(jar);
    return text;
}

static void a_cookie_is_kept_by_the_rules(void **state)
{
    static const struct {
        const char *says;
        const char *plain; /* carried without TLS */
        const char *tls;
    } cases[] = {
        {"a=b", "a=b", "a=b"},
        {" a=b ; Path=/", "a=b", "a=b"},
        {"a=", "a=", "a="},
        {"a=b=c", "a=b=c", "a=b=c"},
        {"a=\"quoted value\"", "a=\"quoted value\"", "a=\"quoted value\""},
        {"", "", ""},
        {"a", "", ""},
        {"=b", "", ""},
        {";a=b", "", ""},
        {"a=b\x01", "", ""},
        {"a=b; Secure", "", "a=b"},
        {"a=b; secure=x; HttpOnly; SameSite=Lax; Unknown", "", "a=b"},
        {"__Secure-a=b", "", ""},
        {"__Secure-a=b; Secure", "", "__Secure-a=b"},
        {"__Host-a=b; Secure; Path=/", "", "__Host-a=b"},
        {"__Host-a=b; Secure", "", ""},
        {"__Host-a=b; Secure; Path=/; Domain=hub.test", "", ""},
        {"a=b; Domain=a.hub.test", "a=b", "a=b"},
        {"a=b; Domain=.HUB.test", "a=b", "a=b"},
        {"a=b; Domain=", "a=b", "a=b"},
        {"a=b; Domain=b.hub.test", "", ""},
        {"a=b; Domain=ub.test", "", ""},
        {"a=b; Domain=x.a.hub.test", "", ""},
        {"a=b; Path=/socket.io", "a=b", "a=b"},
        {"a=b; Path=/socket.io/", "a=b", "a=b"},
        {"a=b; Path=/socket", "", ""},
        {"a=b; Path=/other", "", ""},
        {"a=b; Path=relative", "a=b", "a=b"},
        {"a=b; Max-Age=10", "a=b", "a=b"},
        {"a=b; Max-Age=0", "", ""},
        {"a=b; Max-Age=-1", "", ""},
        {"a=b; Max-Age=99999999999999999999999", "a=b", "a=b"},
        {"a=b; Max-Age=x", "a=b", "a=b"},
        {"a=b; Expires=Tue, 14 Nov 2023 22:13:19 GMT", "", ""},
        {"a=b; Expires=Tue, 14 Nov 2023 22:13:21 GMT", "a=b", "a=b"},
        {"a=b; Expires=Tuesday, 14-Nov-23 22:13:19 GMT", "", ""},
        {"a=b; Expires=Thu Jan 1 00:00:00 1970", "", ""},
        {"a=b; Expires=Thu, 01-Jan-1970 00:00:01 GMT", "", ""},
        {"a=b; Expires=31 Dec 69 1:2:3", "a=b", "a=b"},
        {"a=b; Expires=31 Dec 1969 25:00:00", "a=b", "a=b"}, /* no date */
        {"a=b; Expires=nonsense", "a=b", "a=b"},
        {"a=b; Expires=Thu, 01 Jan 1970 00:00:00 GMT; Max-Age=5", "a=b", "a=b"},
        {"a=b; Max-Age=5; Expires=Thu, 01 Jan 1970 00:00:00 GMT", "a=b", "a=b"},
    };

    (void)state;
    for (size_t i = 0; i < N_ELEMENTS(cases); i++) {
        if (strcmp(after(cases[i].says, false), cases[i].plain) != 0)
            fail_msg("\"%s\": \"%s\"", cases[i].says, after(cases[i].says, false));
        if (strcmp(after(cases[i].says, true), cases[i].tls) != 0)
            fail_msg("\"%s\", TLS: \"%s\"", cases[i].says, after(cases[i].says, true));
    }
}

static void a_cookie_is_replaced_dropped_and_grows_old(void **state)
{
    struct http_cookies_request r = request("/socket.io/", true);
    struct http_cookies *jar = http_cookies_new();

    (void)state;
    http_cookies_set(jar, &r, SIO_STR("a=1; Secure"));
    http_cookies_set(jar, &r, SIO_STR("b=2; Max-Age=60"));
    http_cookies_set(jar, &r, SIO_STR("a=3; Path=/"));
    assert_string_equal(carried(jar, &r), "a=1; b=2; a=3");
    http_cookies_set(jar, &r, SIO_STR("b=4; Max-Age=60"));
    assert_string_equal(carried(jar, &r), "a=1; a=3; b=4");
    r.secure = false;
    assert_string_equal(carried(jar, &r), "a=3; b=4");
    http_cookies_set(jar, &r, SIO_STR("a=stolen")); /* over a secure one */
    r.secure = true;
    assert_string_equal(carried(jar, &r), "a=1; a=3; b=4");
    http_cookies_set(jar, &r, SIO_STR("a=; Path=/; Max-Age=0"));
    assert_string_equal(carried(jar, &r), "a=1; b=4");
    r.now_s += 60;
    assert_string_equal(carried(jar, &r), "a=1");
    r.path = "/elsewhere/";
    assert_string_equal(carried(jar, &r), "");
    http_cookies_free(jar);
}

static void there_is_a_bound(void **state)
{
    struct http_cookies_request r = request("/", false);
    struct http_cookies *jar = http_cookies_new();
    char *large = malloc(HTTP_COOKIE_MAX_BYTES + 2);

    (void)state;
    assert_non_null(large);
    for (unsigned i = 0; i < HTTP_COOKIES_MAX + 2; i++) {
        char text[16];

        snprintf(text, sizeof(text), "c%u=x", i);
        http_cookies_set(jar, &r, sio_str_from(text));
    }
    assert_int_equal(strncmp(carried(jar, &r), "c2=x; c3=x; ", 12), 0);
    http_cookies_free(jar);

    memset(large, 'x', HTTP_COOKIE_MAX_BYTES + 1);
    large[1] = '=';
    large[HTTP_COOKIE_MAX_BYTES + 1] = '\0';
    assert_string_equal(after(large, false), "");
    large[HTTP_COOKIE_MAX_BYTES] = '\0';
    assert_string_equal(after(large, false), large);
    free(large);
}

static void out_of_memory_loses_a_cookie(void **state)
{
    (void)state;
    alloc_fail_each(n)
    {
        struct http_cookies_request r = request("/", false);
        struct http_cookies *jar = http_cookies_new();

        if (jar)
            http_cookies_set(jar, &r, SIO_STR("a=b"));
        http_cookies_free(jar);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_cookie_is_kept_by_the_rules),
        cmocka_unit_test(a_cookie_is_replaced_dropped_and_grows_old),
        cmocka_unit_test(there_is_a_bound),
        cmocka_unit_test(out_of_memory_loses_a_cookie),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
