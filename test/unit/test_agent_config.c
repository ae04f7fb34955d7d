#include <config.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "agent/config.h"
#include "base/list.h"

#define MAX_WORDS 16

/* args and env are words, NULL-terminated; the program's name is put in front. */
static int read_config(struct agent_config *c, const char *const *args,
                       const char *const *env, struct sio_diag *diag)
{
    const char *argv[MAX_WORDS] = {"nuchub-agent"};
    int argc = 1;

    for (size_t i = 0; args[i]; i++)
        argv[argc++] = args[i];
    diag->text[0] = '\0';
    return agent_config_init(c, argc, (char *const *)argv, (char *const *)env, diag);
}

static void assert_error(const char *const *args, const char *const *env,
                         const char *text)
{
    struct agent_config c;
    struct sio_diag diag;

    assert_true(read_config(&c, args, env, &diag) < 0);
    assert_string_equal(diag.text, text);
    agent_config_fini(&c);
}

static char *write_file(const char *text)
{
    char *path = strdup("/tmp/test_agent_config.XXXXXX");
    int fd;

    assert_non_null(path);
    fd = mkstemp(path);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, strlen(text)), strlen(text));
    close(fd);
    return path;
}

static void the_environment_of_the_old_agent_is_understood(void **state)
{
    static const char *const args[] = {NULL};
    static const char *const env[] = {
        "HOME=/x",
        "SERVER_URL=http://hub.example.test:8080",
        "NUC_ID=nuc_1",
        "CAMARAS_IPS= 192.0.2.7, ,patio=rtsp://u:p@192.0.2.8/x ",
        "USUARIO_CAMARAS=op",
        "CONTRASENA_CAMARAS=se cret",
        "INTERVALO_SNAPSHOT=5",
        NULL,
    };
    struct agent_config c;
    struct sio_diag diag;

    (void)state;
    if (read_config(&c, args, env, &diag) < 0)
        fail_msg("%s", diag.text);
    assert_string_equal(c.server_url, "http://hub.example.test:8080");
    assert_string_equal(c.nuc_id, "nuc_1");
    assert_int_equal(c.interval_ms, 5000);
    assert_int_equal(c.n_cameras, 2);
    assert_string_equal(c.cameras[0].id, "192.0.2.7");
    assert_string_equal(c.cameras[0].endpoints[0].password, "se cret");
    assert_string_equal(c.cameras[1].id, "patio");
    assert_string_equal(c.cameras[1].endpoints[0].user, "u");
    agent_config_fini(&c);
}

static void what_is_not_given_has_a_default(void **state)
{
    static const char *const args[] = {"--server=http://h", "--cameras", "192.0.2.7",
                                       NULL};
    static const char *const env[] = {NULL};
    struct agent_config c;
    struct sio_diag diag;

    (void)state;
    assert_int_equal(read_config(&c, args, env, &diag), SIO_OK);
    assert_string_equal(c.nuc_id, "nuc_sede1");
    assert_int_equal(c.interval_ms, 30000);
    assert_int_equal(c.on_request, AGENT_REQUEST_PRIVATE);
    assert_null(c.ca_file);
    /* Without a password no login is tried. */
    assert_string_equal(c.cameras[0].endpoints[0].user, "");
    agent_config_fini(&c);
}

static void a_user_without_name_is_admin(void **state)
{
    static const char *const args[] = {NULL};
    static const char *const env[] = {"SERVER_URL=http://h", "CAMARAS_IPS=192.0.2.7",
                                      "CONTRASENA_CAMARAS=x", NULL};
    struct agent_config c;
    struct sio_diag diag;

    (void)state;
    assert_int_equal(read_config(&c, args, env, &diag), SIO_OK);
    assert_string_equal(c.cameras[0].endpoints[0].user, "admin");
    agent_config_fini(&c);
}

static void
the_command_line_wins_over_the_environment_and_that_over_the_file(void **state)
{
    char *path = write_file("# hub\nSERVER_URL=http://file\nNUC_ID='from file'\n"
                            "export INTERVALO_SNAPSHOT=7\nPORT=8080\n"
                            "CAMARAS_IPS=\"192.0.2.1,192.0.2.2\" # two\n");
    const char *args[] = {"--env-file", path, "--interval", "2.5", NULL};
    static const char *const env[] = {"SERVER_URL=http://environment",
                                      "INTERVALO_SNAPSHOT=9", NULL};
    struct agent_config c;
    struct sio_diag diag;

    (void)state;
    if (read_config(&c, args, env, &diag) < 0)
        fail_msg("%s", diag.text);
    assert_string_equal(c.server_url, "http://environment");
    assert_string_equal(c.nuc_id, "from file");
    assert_int_equal(c.interval_ms, 2500);
    assert_int_equal(c.n_cameras, 2);
    agent_config_fini(&c);
    unlink(path);
    free(path);
}

static void errors_say_where_and_what(void **state)
{
    static const char *const none[] = {NULL};
    static const char *const url[] = {"SERVER_URL=http://h", NULL};
    static const char *const bad_camera[] = {
        "SERVER_URL=http://h", "CAMARAS_IPS=192.0.2.7,rtsp://u:hunter2@192.0.2.8/x",
        NULL};
    static const char *const twice[] = {"SERVER_URL=http://h",
                                        "CAMARAS_IPS=192.0.2.7,192.0.2.7", NULL};
    static const char *const interval[] = {"--interval", "soon", NULL};
    static const char *const unknown[] = {"--password=hunter2", NULL};
    static const char *const login[] = {"--cameras", "a=rtsp://u:hunter2@h/x", NULL};

    (void)state;
    assert_error(none, none, "SERVER_URL is not set: the address of the hub");
    assert_error(none, url, "CAMARAS_IPS is not set: no cameras to take pictures of");
    assert_error(
        none, bad_camera,
        "environment: CAMARAS_IPS: entry 2: neither an address nor NAME=URL (a "
        "name has letters, digits and \".:_-\" only)");
    assert_error(none, twice,
                 "environment: CAMARAS_IPS: entry 2: 192.0.2.7 is there twice");
    assert_error(
        interval, url,
        "command line: INTERVALO_SNAPSHOT: is not a number of seconds from 0.2 to "
        "86400");
    assert_error(unknown, none,
                 "--password: unknown option, or its value is missing; see --help");
    assert_error(
        login, url,
        "--cameras: a login does not belong on the command line, where every user "
        "can see it; use CAMARAS_IPS");
}

static void errors_in_the_file_name_its_line(void **state)
{
    char *path = write_file("SERVER_URL=http://h\n\nINTERVALO_SNAPSHOT=0\n");
    const char *args[] = {"--env-file", path, NULL};
    static const char *const env[] = {NULL};
    char expected[200];

    (void)state;
    snprintf(expected, sizeof(expected),
             "%s:3: INTERVALO_SNAPSHOT: is not a number of seconds from 0.2 to 86400",
             path);
    assert_error(args, env, expected);
    unlink(path);
    free(path);
}

static void help_needs_nothing_else(void **state)
{
    static const char *const help[] = {"--help", NULL};
    static const char *const version[] = {"--version", NULL};
    static const char *const env[] = {NULL};
    struct agent_config c;
    struct sio_diag diag;

    (void)state;
    assert_int_equal(read_config(&c, help, env, &diag), SIO_OK);
    assert_int_equal(c.mode, AGENT_MODE_HELP);
    assert_int_equal(read_config(&c, version, env, &diag), SIO_OK);
    assert_int_equal(c.mode, AGENT_MODE_VERSION);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_environment_of_the_old_agent_is_understood),
        cmocka_unit_test(what_is_not_given_has_a_default),
        cmocka_unit_test(a_user_without_name_is_admin),
        cmocka_unit_test(
            the_command_line_wins_over_the_environment_and_that_over_the_file),
        cmocka_unit_test(errors_say_where_and_what),
        cmocka_unit_test(errors_in_the_file_name_its_line),
        cmocka_unit_test(help_needs_nothing_else),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
