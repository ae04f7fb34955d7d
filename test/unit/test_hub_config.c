#include <config.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include <sioc/cluster.h>

#include <sioc/cluster.h>
#include "alloc_fail.h"
#include "base/list.h"
#include "base/mem.h"

#include "hub/config.h"
#include "hub/origins.h"

static void reads_settings_nucs_and_cameras(void **state)
{
    static const char text[] = "\xef\xbb\xbf# a comment\r\n"
                               "port = 9000\r\n"
                               "\n"
                               "; another\n"
                               "max_payload=8M\n"
                               "token = a = b\n"
                               "log_level = debug\n"
                               "cluster_subscriptions = dynamic-private\n"
                               "allow_eio3 = yes\n"
                               "compression = no\n"
                               "websocket_compression = yes\n"
                               "origins = https://a.example.test http://b\n"
                               "refuse_origins = yes\n"
                               "session_cookie = hub\n"
                               "admin_user = root\n"
                               "admin_write = yes\n"
                               "recovery = 90\n"
                               "[nuc sede-1]\n"
                               "token = secreto\n"
                               "[camara 192.0.2.7]\n"
                               "nombre = Entrada principal # 1\n"
                               "nuc = sede-1\n"
                               "[camara patio]";
    struct hub_config c;
    struct sio_diag diag;

    (void)state;
    hub_config_defaults(&c);
    assert_int_equal(hub_config_parse(&c, "x.conf", sio_str_from(text), &diag), SIO_OK);
    assert_int_equal(c.port, 9000);
    assert_int_equal(c.max_payload_bytes, 8 << 20);
    assert_string_equal(c.token, "a = b");
    assert_int_equal(c.log_level, SIO_LOG_DEBUG);
    assert_int_equal(c.cluster_subscriptions, SIO_CLUSTER_DYNAMIC_PRIVATE);
    assert_true(c.allow_eio3);
    assert_false(c.compression);
    assert_true(c.websocket_compression && c.refuse_origins);
    assert_string_equal(c.origins, "https://a.example.test http://b");
    assert_string_equal(c.session_cookie, "hub");
    assert_string_equal(c.admin_user, "root");
    assert_true(c.admin_write && !c.admin_events);
    assert_int_equal(c.recovery_s, 90);
    assert_int_equal(c.n_nucs, 1);
    assert_string_equal(c.nucs[0].token, "secreto");
    assert_int_equal(c.n_cameras, 2);
    assert_string_equal(c.cameras[0].nombre, "Entrada principal # 1");
    assert_string_equal(c.cameras[0].nuc, "sede-1");
    assert_string_equal(c.cameras[1].ip, "patio");
    assert_null(c.cameras[1].nombre);
    hub_config_fini(&c);
}

static void origins_are_cut_at_blanks(void **state)
{
    static const char *const bad[] = {"example.test", "https://", "://a", "https://a/",
                                      "https://a https://b,https://c"};
    const char *const *list;
    struct sio_diag diag;

    (void)state;
    assert_int_equal(hub_origins_parse(NULL, &list, &diag), SIO_OK);
    assert_null(list);
    assert_int_equal(hub_origins_parse(" https://a  http://b:81\t", &list, &diag),
                     SIO_OK);
    assert_string_equal(list[0], "https://a");
    assert_string_equal(list[1], "http://b:81");
    assert_null(list[2]);
    mem_free((void *)list);
    for (size_t i = 0; i < N_ELEMENTS(bad); i++)
        assert_int_equal(hub_origins_parse(bad[i], &list, &diag), SIO_ERR_INVAL);
}

static void names_file_and_line_of_an_error(void **state)
{
    static const char *const bad[][2] = {
        {"prot = 1", "x.conf:1: unknown key \"prot\""},
        {"\nport = no", "x.conf:2: port must be a number from 0 to 65535"},
        {"port = 65536", "x.conf:1: port must be a number from 0 to 65535"},
        {"port", "x.conf:1: no '=' behind \"port\""},
        {"allow_eio3 = 1", "x.conf:1: allow_eio3 must be yes or no"},
        {"log_level = loud", "x.conf:1: log_level must be error, warn, info or debug"},
        {"[camara", "x.conf:1: no ']' behind \"[camara\""},
        {"[cosa x]", "x.conf:1: unknown section \"cosa\""},
        {"[camara a/b]", "x.conf:1: not the address of a camera: \"a/b\""},
        {"[camara]", "x.conf:1: not the address of a camera: \"\""},
        {"[camara a]\n[camara a]", "x.conf:2: a second section for \"a\""},
        {"[nuc a]\n[nuc a]", "x.conf:2: a second section for \"a\""},
        {"[camara a]\nport = 1", "x.conf:2: unknown key \"port\""},
        {"[camara a]\nnombre =",
         "x.conf:2: empty, too long or not text: the value of \"nombre\""},
        {"[camara a]\nnombre = x\nnombre = y", "x.conf:3: a second \"nombre\""},
        {"[nuc a]\ntoken = secret\x01",
         "x.conf:2: empty, too long or not text: the value of \"token\""},
        {"max_queue = 32MB", "x.conf:1: max_queue must be a size from 64K to 1G"},
        {"max_payload = 1",
         "x.conf:1: max_payload must be a size from 1000000 to 256M"},
    };

    (void)state;
    for (size_t i = 0; i < N_ELEMENTS(bad); i++) {
        struct hub_config c;
        struct sio_diag diag = {""};

        hub_config_defaults(&c);
        assert_true(hub_config_parse(&c, "x.conf", sio_str_from(bad[i][0]), &diag) < 0);
        assert_string_equal(diag.text, bad[i][1]);
        hub_config_fini(&c);
    }
}

/* In an empty directory, with a file of that text. */
static int init(struct hub_config *c, const char *text, const char *const *envp,
                const char *const *args, struct sio_diag *diag)
{
    const char *argv[16] = {"nuchubd", "--config", "test.conf"};
    int argc = 3;
    FILE *file = fopen("test.conf", "w");
    int rv;

    assert_non_null(file);
    fputs(text, file);
    fclose(file);
    for (; *args; args++)
        argv[argc++] = *args;
    rv = hub_config_init(c, argc, (char **)(uintptr_t)argv, (char **)(uintptr_t)envp,
                         diag);
    unlink("test.conf");
    return rv;
}

static void later_places_win(void **state)
{
    const char *envp[] = {
        "PORT=2", "CAMARAS_IPS=192.0.2.9,patio=rtsp://u:p@192.0.2.8/x,,patio", NULL};
    const char *none[] = {NULL};
    const char *args[] = {"--port", "3", "--state-dir=/x", NULL};
    const char *no_env[] = {"PORT=", "CAMARAS_IPS= ", "OTHER=1", NULL};
    struct hub_config c;
    struct sio_diag diag = {""};

    (void)state;
    assert_int_equal(init(&c, "port=1\n[camara a]", no_env, none, &diag), SIO_OK);
    assert_int_equal(c.port, 1);
    assert_int_equal(c.n_cameras, 1);
    assert_string_equal(c.file, "test.conf");
    hub_config_fini(&c);
    assert_int_equal(init(&c, "port=1\n[camara a]", envp, none, &diag), SIO_OK);
    assert_int_equal(c.port, 2);
    assert_int_equal(c.n_cameras, 2);
    assert_string_equal(c.cameras[0].ip, "192.0.2.9");
    assert_string_equal(c.cameras[1].ip, "patio");
    hub_config_fini(&c);
    assert_int_equal(init(&c, "port=1", envp, args, &diag), SIO_OK);
    assert_int_equal(c.port, 3);
    assert_string_equal(c.state_dir, "/x");
    hub_config_fini(&c);
}

static void reads_a_dot_env_file_before_the_environment(void **state)
{
    const char *envp[] = {"PORT=2", NULL};
    const char *none[] = {NULL};
    struct hub_config c;
    struct sio_diag diag = {""};
    FILE *file = fopen(".env", "w");

    (void)state;
    assert_non_null(file);
    fputs("PORT=1\nCAMARAS_IPS=\"192.0.2.5\"\n", file);
    fclose(file);
    assert_int_equal(init(&c, "", envp, none, &diag), SIO_OK);
    assert_int_equal(c.port, 2);
    assert_int_equal(c.n_cameras, 1);
    hub_config_fini(&c);
    file = fopen(".env", "w");
    fputs("\nPORT=x\n", file);
    fclose(file);
    assert_true(init(&c, "", envp, none, &diag) < 0);
    assert_string_equal(diag.text,
                        ".env:2: PORT: port must be a number from 0 to 65535");
    hub_config_fini(&c);
    unlink(".env");
}

static void assert_refused(const char *text, const char *const *envp,
                           const char *const *args, const char *expect)
{
    struct hub_config c;
    struct sio_diag diag = {""};

    assert_true(init(&c, text, envp, args, &diag) < 0);
    assert_string_equal(diag.text, expect);
    hub_config_fini(&c);
}

static void refuses_what_does_not_go_together(void **state)
{
    const char *none[] = {NULL};
    const char *bad_list[] = {"CAMARAS_IPS=a,, rtsp://user:secret@192.0.2.1/", NULL};
    const char *no_args[] = {NULL};
    const char *unknown[] = {"--prot", NULL};
    const char *missing[] = {"--port", NULL};
    const char *extra[] = {"9000", NULL};
    const char *number[] = {"--port=x", NULL};

    (void)state;
    assert_refused("tls_cert = x", none, no_args, "tls_cert and tls_key go together");
    assert_refused("admin_user = x", none, no_args,
                   "admin_user and admin_hash_file go together");
    assert_refused("www_api = self", none, no_args, "www_api needs www");
    assert_refused("[camara a]\nnuc = b", none, no_args,
                   "camera a is of NUC \"b\", which has no [nuc] section");
    assert_refused("", none, unknown, "unknown option --prot (see --help)");
    assert_refused("", none, missing, "--port needs a value");
    assert_refused("", none, extra, "unknown argument 9000 (see --help)");
    assert_refused("", none, number, "--port: port must be a number from 0 to 65535");
    assert_refused("", bad_list, no_args,
                   "CAMARAS_IPS: entry 2: neither an address nor NAME=URL (a name has "
                   "letters, digits "
                   "and \".:_-\" only)");
}

static void help_and_version_read_nothing_else(void **state)
{
    const char *argv[] = {"nuchubd", "--config", "not-there", "--help", NULL};
    char **args = (char **)(uintptr_t)argv;
    struct hub_config c;
    struct sio_diag diag;

    (void)state;
    assert_int_equal(hub_config_init(&c, 4, args, NULL, &diag), SIO_OK);
    assert_int_equal(c.mode, HUB_MODE_HELP);
    hub_config_fini(&c);
    argv[3] = "--check-config";
    assert_int_equal(hub_config_init(&c, 4, args, NULL, &diag), SIO_ERR_NOT_FOUND);
    assert_string_equal(diag.text, "not-there: No such file or directory");
    hub_config_fini(&c);
}

static void survives_the_want_of_memory(void **state)
{
    static const char text[] =
        "token=x\n[nuc a]\ntoken=y\n[camara b]\nnombre=z\nnuc=a\n";

    (void)state;
    alloc_fail_each(n)
    {
        struct hub_config c;
        int rv;

        hub_config_defaults(&c);
        rv = hub_config_parse(&c, "x", sio_str_from(text), NULL);
        assert_true(rv == SIO_OK || rv == SIO_ERR_NOMEM);
        hub_config_fini(&c);
    }
}

static int enter_empty_directory(void **state)
{
    static char dir[] = "/tmp/test_hub_config.XXXXXX";

    *state = mkdtemp(dir);
    return *state && chdir(dir) == 0 ? 0 : -1;
}

static int leave_directory(void **state)
{
    return chdir("/") == 0 && rmdir(*state) == 0 ? 0 : -1;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_settings_nucs_and_cameras),
        cmocka_unit_test(origins_are_cut_at_blanks),
        cmocka_unit_test(names_file_and_line_of_an_error),
        cmocka_unit_test(later_places_win),
        cmocka_unit_test(reads_a_dot_env_file_before_the_environment),
        cmocka_unit_test(refuses_what_does_not_go_together),
        cmocka_unit_test(help_and_version_read_nothing_else),
        cmocka_unit_test(survives_the_want_of_memory),
    };

    return cmocka_run_group_tests(tests, enter_empty_directory, leave_directory);
}
