#include <config.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/list.h"
#include "redis/url.h"

static void check_text(const char *got, const char *wanted)
{
    if (wanted)
        assert_string_equal(got, wanted);
    else
        assert_null(got);
}

static void reads_every_form(void **state)
{
    static const struct {
        const char *text;
        struct {
            const char *host, *path, *user, *password;
            int port, db;
        } wanted;
    } cases[] = {
        {"redis://", {"localhost", NULL, NULL, NULL, 6379, 0}},
        {"redis://h", {"h", NULL, NULL, NULL, 6379, 0}},
        {"REDIS://h:7/", {"h", NULL, NULL, NULL, 7, 0}},
        {"redis://h:7/12", {"h", NULL, NULL, NULL, 7, 12}},
        {"redis://:pw@h", {"h", NULL, NULL, "pw", 6379, 0}},
        {"redis://@h", {"h", NULL, NULL, NULL, 6379, 0}},
        {"redis://u:p%40%3a%2F:@q@[::1]:8/1", {"::1", NULL, "u", "p@:/:@q", 8, 1}},
        {"redis://h?db=3&x=y&password=p%20w", {"h", NULL, NULL, "p w", 6379, 3}},
        {"redis://h/1?db=2&username=u&password=p", {"h", NULL, "u", "p", 6379, 2}},
        {"unix:///run/r.sock", {NULL, "/run/r.sock", NULL, NULL, 0, 0}},
        {"unix://:pw@/run/r%20s?db=4", {NULL, "/run/r s", NULL, "pw", 0, 4}},
    };

    (void)state;
    for (size_t i = 0; i < N_ELEMENTS(cases); i++) {
        struct redis_url u;

        assert_int_equal(redis_url_parse(sio_str_from(cases[i].text), &u, NULL),
                         SIO_OK);
        check_text(u.host, cases[i].wanted.host);
        check_text(u.path, cases[i].wanted.path);
        check_text(u.user, cases[i].wanted.user);
        check_text(u.password, cases[i].wanted.password);
        assert_int_equal(u.port, cases[i].wanted.port);
        assert_int_equal(u.db, cases[i].wanted.db);
        redis_url_fini(&u);
    }
}

static void reads_whom_to_trust(void **state)
{
    static const struct {
        const char *text;
        struct {
            bool tls, insecure, any_name;
            const char *ca_file, *cert_file, *key_file;
        } wanted;
    } cases[] = {
        {"rediss://h", {.tls = true}},
        {"REDISS://h?ssl_cert_reqs=required&ssl_check_hostname=TRUE", {.tls = true}},
        {"rediss://h?ssl_cert_reqs=optional&ssl_check_hostname=1", {.tls = true}},
        {"rediss://h?ssl_cert_reqs=none", {.tls = true, .insecure = true}},
        {"rediss://h?ssl_check_hostname=No", {.tls = true, .any_name = true}},
        {"rediss://h?ssl_cert_reqs=none&ssl_cert_reqs=required", {.tls = true}},
        {"rediss://h?ssl_ca_certs=/a%20b&ssl_certfile=c&ssl_keyfile=k&ssl_x=y",
         {.tls = true, .ca_file = "/a b", .cert_file = "c", .key_file = "k"}},
        {"rediss://h?ssl_ca_certs=", {.tls = true}},
        {"redis://h?ssl_cert_reqs=hush&ssl_ca_certs=x", {.tls = false}},
    };

    (void)state;
    for (size_t i = 0; i < N_ELEMENTS(cases); i++) {
        struct redis_url u;

        assert_int_equal(redis_url_parse(sio_str_from(cases[i].text), &u, NULL),
                         SIO_OK);
        assert_int_equal(u.port, 6379);
        assert_int_equal(u.tls, cases[i].wanted.tls);
        assert_int_equal(u.insecure, cases[i].wanted.insecure);
        assert_int_equal(u.any_name, cases[i].wanted.any_name);
        check_text(u.ca_file, cases[i].wanted.ca_file);
        check_text(u.cert_file, cases[i].wanted.cert_file);
        check_text(u.key_file, cases[i].wanted.key_file);
        redis_url_fini(&u);
    }
}

static void refuses_without_showing(void **state)
{
    static const char *const texts[] = {
        "",
        "hush",
        "redis:hush@h",
        "http://:hush@h",
        "redisss://:hush@h",
        "rediss://:hush@h:x",
        "rediss://:hush@h?ssl_cert_reqs=hush",
        "rediss://:hush@h?ssl_cert_reqs=",
        "rediss://:hush@h?ssl_check_hostname=hush",
        "rediss://:hush@h?ssl_keyfile=hush",
        "rediss://:hush@h?ssl_ca_certs=hush%00",
        "redis://:hush@h:0",
        "redis://:hush@h:65536",
        "redis://:hush@h:x",
        "redis://:hush@h/x",
        "redis://:hush@h/-1",
        "redis://:hush@h/99999999999",
        "redis://:hush@[::1",
        "redis://:hush@h?db=",
        "redis://:hush%00@h",
        "redis://:hush #@h",
        "redis://hush@h",
        "unix://hush",
        "unix://:hush@/",
        ("unix:///hush/0123456789012345678901234567890123456789012345678901234567890123"
         "4567890123456789012345678901234567890123456789"),
    };

    (void)state;
    for (size_t i = 0; i < N_ELEMENTS(texts); i++) {
        struct redis_url u;
        struct sio_diag diag = {.text = ""};

        assert_true(redis_url_parse(sio_str_from(texts[i]), &u, &diag) < 0);
        assert_true(diag.text[0] != '\0');
        assert_null(strstr(diag.text, "hush"));
        assert_null(u.password);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_every_form),
        cmocka_unit_test(reads_whom_to_trust),
        cmocka_unit_test(refuses_without_showing),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
