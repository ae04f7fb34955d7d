#include <config.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "agent/redact.h"
#include "agent/source.h"
#include "base/list.h"

static int read_entry(const char *text, struct agent_source *s, struct sio_diag *diag)
{
    struct sio_str rest = sio_str_from(text);
    struct camera_entry entry;
    int rv = camera_list_next(&rest, &entry, diag);

    return rv == 1 ? agent_source_init(s, &entry, "admin", "secret", diag) : rv;
}

static void assert_shown(const char *entry, const char *const *shown, size_t n)
{
    struct agent_source s;
    struct sio_diag diag = {""};

    if (read_entry(entry, &s, &diag) < 0)
        fail_msg("%s: %s", entry, diag.text);
    assert_int_equal(s.n_attempts, n);
    for (size_t i = 0; i < n; i++) {
        struct wbuf w;

        wbuf_init(&w, 1000);
        agent_source_show(&s, i, &w);
        wbuf_add_byte(&w, '\0');
        assert_string_equal(wbuf_str(&w).ptr, shown[i]);
        wbuf_fini(&w);
    }
    agent_source_fini(&s);
}

static void an_address_has_four_http_and_four_rtsp_paths(void **state)
{
    static const char *const shown[] = {
        "http://192.0.2.7/ISAPI/Streaming/channels/101/picture",
        "http://192.0.2.7/ISAPI/Streaming/channels/1/picture",
        "http://192.0.2.7/cgi-bin/snapshot.cgi?channel=1",
        "http://192.0.2.7/Streaming/channels/101/picture",
        "192.0.2.7:554/Streaming/Channels/101",
        "192.0.2.7:554/Streaming/Channels/1",
        "192.0.2.7:554/h264/ch1/main/av_stream",
        "192.0.2.7:554/Streaming/Channels/102",
    };

    (void)state;
    assert_shown("192.0.2.7", shown, N_ELEMENTS(shown));
}

static void ports_and_whole_addresses_can_be_given(void **state)
{
    static const char *const http_port[] = {
        "http://192.0.2.7:8080/ISAPI/Streaming/channels/101/picture",
        "http://192.0.2.7:8080/ISAPI/Streaming/channels/1/picture",
        "http://192.0.2.7:8080/cgi-bin/snapshot.cgi?channel=1",
        "http://192.0.2.7:8080/Streaming/channels/101/picture",
    };
    static const char *const whole[] = {"[2001:db8::7]:8554/live"};
    static const char *const two[] = {"http://cam.example.test:81/x.jpg",
                                      "cam.example.test:554/y"};
    static const char *const test[] = {"test://"};

    (void)state;
    assert_shown("patio=http://192.0.2.7:8080/", http_port, N_ELEMENTS(http_port));
    assert_shown("patio = rtsp://u:p@[2001:db8::7]:8554/live", whole, 1);
    assert_shown("a=http://cam.example.test:81/x.jpg|rtsp://u@cam.example.test/y", two,
                 2);
    assert_shown("test://puerta", test, 1);
}

static void a_login_in_a_path_is_not_shown(void **state)
{
    static const char *const shown[] = {"http://192.0.2.7/snap?",
                                        "192.0.2.7:554/user="};

    (void)state;
    assert_shown("a=http://192.0.2.7/snap?user=u&pwd=p|"
                 "rtsp://192.0.2.7/user=u&password=p&channel=1",
                 shown, N_ELEMENTS(shown));
}

static void a_login_is_decoded_and_the_default_used_otherwise(void **state)
{
    struct agent_source s;
    struct agent_target t;

    (void)state;
    assert_int_equal(read_entry("a=rtsp://us%40er:p%3Aa%2C%40ss@192.0.2.7/x", &s, NULL),
                     SIO_OK);
    t = agent_source_target(&s, 0);
    assert_string_equal(t.user, "us@er");
    assert_string_equal(t.password, "p:a,@ss");
    assert_string_equal(t.camera, "a");
    agent_source_fini(&s);
    assert_int_equal(read_entry("192.0.2.7:81", &s, NULL), SIO_OK);
    t = agent_source_target(&s, 0);
    assert_string_equal(t.user, "admin");
    assert_string_equal(t.password, "secret");
    assert_int_equal(t.port, 81);
    assert_string_equal(t.camera, "192.0.2.7:81");
    agent_source_fini(&s);
}

static void wrong_entries_are_refused_without_showing_them(void **state)
{
    static const char *const bad[] = {
        "rtsp://admin:hunter2@192.0.2.7/x",
        "a=ftp://admin:hunter2@192.0.2.7/x",
        "a=192.0.2.7",
        "a=",
        "=http://192.0.2.7",
        "a/b=http://192.0.2.7",
        "a=http://",
        "a=http:///x",
        "a=http://admin:hunter2@/x",
        "a=http://192.0.2.7:0/x",
        "a=http://192.0.2.7:65536/x",
        "a=http://192.0.2.7:x/x",
        "a=http://192.0.2.7/x y",
        "a=http://192.0.2.7/x\ny",
        "a=http://192.0.2.7?x",
        "a=http://-o/x",
        "a=http://[::1/x",
        "a=http://[::1]x/x",
        "a=http://h|",
        "a=http://h|http://h|http://h|http://h|http://h",
        "a=http://u%0aser:hunter2@192.0.2.7/x",
        "a=http://u%3as:hunter2@192.0.2.7/x",
        "a=test://x",
        "test://a/b",
        "...",
        "192.0.2.7:70000",
    };

    (void)state;
    for (size_t i = 0; i < N_ELEMENTS(bad); i++) {
        struct agent_source s;
        struct sio_diag diag = {""};

        if (read_entry(bad[i], &s, &diag) >= 0)
            fail_msg("accepted: %s", bad[i]);
        assert_null(strstr(diag.text, "hunter2"));
        assert_true(diag.text[0] != '\0');
    }
}

static void private_networks_are_told_from_the_rest(void **state)
{
    static const char *const inside[] = {"10.1.2.3",   "172.16.0.1",   "172.31.255.255",
                                         "127.0.0.5",  "192.168.77.1", "169.254.1.1",
                                         "100.64.0.1", "::1",          "fe80::1",
                                         "fd00::1"};
    static const char *const outside[] = {"192.0.2.7",   "172.32.0.1", "11.0.0.1",
                                          "2001:db8::1", "localhost",  "192.168.1",
                                          "100.128.0.1", "0x7f.1",     "2130706433"};

    (void)state;
    for (size_t i = 0; i < N_ELEMENTS(inside); i++)
        assert_true(agent_source_is_private(inside[i]));
    for (size_t i = 0; i < N_ELEMENTS(outside); i++)
        assert_false(agent_source_is_private(outside[i]));
}

static void addresses_in_text_lose_their_login(void **state)
{
    char text[] = "open rtsp://u:p@192.0.2.7/x and\nhttp://a:b/c@d:81/e, http://h/";
    char path[] =
        "http://u:p@192.0.2.7/s?a=b&c: no; 'rtsp://h/user=u&password=p/x' http://h?";

    (void)state;
    agent_redact(text);
    assert_string_equal(text, "open rtsp://192.0.2.7/x and http://d:81/e, http://h/");
    agent_redact(path);
    assert_string_equal(path, "http://192.0.2.7/s? no; 'rtsp://h/user=' http://h?");
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_address_has_four_http_and_four_rtsp_paths),
        cmocka_unit_test(ports_and_whole_addresses_can_be_given),
        cmocka_unit_test(a_login_in_a_path_is_not_shown),
        cmocka_unit_test(a_login_is_decoded_and_the_default_used_otherwise),
        cmocka_unit_test(wrong_entries_are_refused_without_showing_them),
        cmocka_unit_test(private_networks_are_told_from_the_rest),
        cmocka_unit_test(addresses_in_text_lose_their_login),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
