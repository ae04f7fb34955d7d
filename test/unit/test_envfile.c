#include <config.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/camera_list.h"
#include "base/envfile.h"
#include "base/list.h"
#include "base/str.h"

struct seen {
    char text[1000];
};

static int on_assignment(const char *name, const char *value, unsigned line, void *user)
{
    struct seen *s = user;
    size_t n = strlen(s->text);

    snprintf(s->text + n, sizeof(s->text) - n, "%u %s=[%s]\n", line, name, value);
    return strcmp(name, "STOP") == 0 ? SIO_ERR_INVAL : SIO_OK;
}

static void assignments_are_read_as_they_are_usually_written(void **state)
{
    static const char text[] = "\xef\xbb\xbf# comment\r\n"
                               "A=1\r\n"
                               "\n"
                               "  export B = two words # comment\n"
                               "C='single # \\n \"'\n"
                               "D=\"double \\\"quoted\\\" \\\\ \\n\" # comment\n"
                               "E=\n"
                               "F=a#b\n"
                               "G=# all comment\n"
                               "exported=x";
    struct seen seen = {""};

    (void)state;
    assert_int_equal(
        envfile_parse("f", text, sizeof(text) - 1, on_assignment, &seen, NULL), SIO_OK);
    assert_string_equal(seen.text, "2 A=[1]\n"
                                   "4 B=[two words]\n"
                                   "5 C=[single # \\n \"]\n"
                                   "6 D=[double \"quoted\" \\ \n]\n"
                                   "7 E=[]\n"
                                   "8 F=[a#b]\n"
                                   "9 G=[]\n"
                                   "10 exported=[x]\n");
}

static void mistakes_name_file_and_line_but_no_value(void **state)
{
    static const struct {
        struct sio_str text;
        const char *error;
    } bad[] = {
        {SIO_STR_INIT("A=1\nsecret"), "f.env:2: no '='"},
        {SIO_STR_INIT("1A=secret"), "f.env:1: what stands before '=' is not a name"},
        {SIO_STR_INIT("=secret"), "f.env:1: what stands before '=' is not a name"},
        {SIO_STR_INIT("A='secret"), "f.env:1: the quote is not closed"},
        {SIO_STR_INIT("A='secret' x"), "f.env:1: something follows the closing quote"},
        {SIO_STR_INIT("A=sec\0ret"), "f.env:1: a NUL character"},
    };

    (void)state;
    for (size_t i = 0; i < N_ELEMENTS(bad); i++) {
        struct seen seen = {""};
        struct sio_diag diag = {""};

        assert_int_equal(envfile_parse("f.env", bad[i].text.ptr, bad[i].text.len,
                                       on_assignment, &seen, &diag),
                         SIO_ERR_PARSE);
        assert_string_equal(diag.text, bad[i].error);
    }
}

static void the_reader_can_stop(void **state)
{
    static const char text[] = "A=1\nSTOP=1\nB=1\n";
    struct seen seen = {""};

    (void)state;
    assert_int_equal(
        envfile_parse("f", text, sizeof(text) - 1, on_assignment, &seen, NULL),
        SIO_ERR_INVAL);
    assert_string_equal(seen.text, "1 A=[1]\n2 STOP=[1]\n");
}

static void a_file_that_is_not_there_is_told_apart(void **state)
{
    struct sio_diag diag = {""};

    (void)state;
    assert_int_equal(envfile_read("/nonexistent/.env", on_assignment, NULL, &diag),
                     SIO_ERR_NOT_FOUND);
    assert_int_equal(envfile_read("/", on_assignment, NULL, &diag), SIO_ERR_IO);
}

static void a_camera_list_gives_names_and_addresses(void **state)
{
    struct sio_str rest =
        SIO_STR(" 192.0.2.7 ,,a.b:c_d-e=rtsp://u:p@h/x=y, test://,test://n");
    static const char *const expected[][2] = {
        {"192.0.2.7", ""},
        {"a.b:c_d-e", "rtsp://u:p@h/x=y"},
        {"test", "test://"},
        {"n", "test://"},
    };
    struct camera_entry e;

    (void)state;
    for (size_t i = 0; i < N_ELEMENTS(expected); i++) {
        assert_int_equal(camera_list_next(&rest, &e, NULL), 1);
        assert_true(str_eq_cstr(e.id, expected[i][0]));
        assert_true(str_eq_cstr(e.url, expected[i][1]));
    }
    assert_int_equal(camera_list_next(&rest, &e, NULL), 0);
}

static void a_wrong_entry_does_not_hide_the_next(void **state)
{
    struct sio_str rest = SIO_STR("a/b,c");
    struct camera_entry e;

    (void)state;
    assert_int_equal(camera_list_next(&rest, &e, NULL), SIO_ERR_PARSE);
    assert_int_equal(camera_list_next(&rest, &e, NULL), 1);
    assert_true(str_eq_cstr(e.id, "c"));
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(assignments_are_read_as_they_are_usually_written),
        cmocka_unit_test(mistakes_name_file_and_line_but_no_value),
        cmocka_unit_test(the_reader_can_stop),
        cmocka_unit_test(a_file_that_is_not_there_is_told_apart),
        cmocka_unit_test(a_camera_list_gives_names_and_addresses),
        cmocka_unit_test(a_wrong_entry_does_not_hide_the_next),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
