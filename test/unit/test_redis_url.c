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

static void refuses_without_showing(void **state)
{
    static const char *const texts[] = {
        "",
        "hush",
        "redis:hush@h",
        "http://:hush@h",
        "rediss://:hush@h",
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
        "unix:///hush/0123456789012345678901234567890123456789012345678901234567890123"
        "4567890123456789012345678901234567890123456789",
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
        cmocka_unit_test(refuses_without_showing),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
