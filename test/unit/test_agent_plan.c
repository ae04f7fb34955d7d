#include <config.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "agent/plan.h"

#define MINUTE UINT64_C(60000)

struct fixture {
    struct agent_source source;
    struct agent_memory memory;
    char order[AGENT_ATTEMPTS_MAX + 1]; /* of the attempts of a round: "0123" */
    char error[2000];
};

static void set_up(struct fixture *f, const char *list)
{
    struct sio_str rest = sio_str_from(list);
    struct camera_entry entry;

    memset(f, 0, sizeof(*f));
    assert_int_equal(camera_list_next(&rest, &entry, NULL), 1);
    assert_int_equal(agent_source_init(&f->source, &entry, "admin", "secret", NULL),
                     SIO_OK);
}

/*
 * One round at now_ms in which attempt i comes to outcomes[i]; sets order and error.
 */
static void go_round(struct fixture *f, const enum agent_outcome *outcomes,
                     uint64_t now_ms)
{
    struct agent_plan plan;
    struct wbuf w;
    size_t n = 0;
    int i;

    agent_plan_init(&plan, &f->source, &f->memory, now_ms);
    while ((i = agent_plan_next(&plan)) >= 0) {
        assert_true(n < AGENT_ATTEMPTS_MAX);
        f->order[n++] = (char)('0' + i);
        agent_plan_result(&plan, i, outcomes[i], now_ms);
    }
    f->order[n] = '\0';
    wbuf_init(&w, sizeof(f->error) - 1);
    agent_plan_error(&plan, &w);
    memcpy(f->error, wbuf_str(&w).ptr, wbuf_str(&w).len);
    f->error[wbuf_str(&w).len] = '\0';
    wbuf_fini(&w);
}

static void what_worked_is_tried_first(void **state)
{
    static const enum agent_outcome outcomes[8] = {
        AGENT_NO_PICTURE, AGENT_NO_PICTURE, AGENT_NO_PICTURE,
        AGENT_NO_PICTURE, AGENT_NO_PICTURE, AGENT_PICTURE,
    };
    static const enum agent_outcome changed[8] = {
        AGENT_NO_PICTURE, AGENT_PICTURE,    AGENT_NO_PICTURE,
        AGENT_NO_PICTURE, AGENT_NO_PICTURE, AGENT_NO_PICTURE,
    };
    struct fixture f;

    (void)state;
    set_up(&f, "192.0.2.7");
    go_round(&f, outcomes, 0);
    assert_string_equal(f.order, "012345");
    go_round(&f, outcomes, 1);
    assert_string_equal(f.order, "5");
    go_round(&f, changed, 2);
    assert_string_equal(f.order, "501");
    go_round(&f, changed, 3);
    assert_string_equal(f.order, "1");
    agent_source_fini(&f.source);
}

static void a_closed_or_silent_port_is_tried_once_a_round(void **state)
{
    static const enum agent_outcome closed[8] = {
        [0] = AGENT_CLOSED, [4] = AGENT_CLOSED};
    static const enum agent_outcome silent[8] = {
        [0] = AGENT_SILENT, [4] = AGENT_SILENT};
    struct fixture f;

    (void)state;
    set_up(&f, "192.0.2.7");
    go_round(&f, closed, 0);
    assert_string_equal(f.order, "04");
    assert_string_equal(f.error,
                        "El puerto 554 (RTSP) está cerrado en 192.0.2.7. Verifica "
                        "configuración de la cámara.");
    go_round(&f, silent, 0);
    assert_string_equal(f.order, "04");
    assert_string_equal(f.error,
                        "La cámara 192.0.2.7 no responde al ping. Verifica que esté "
                        "encendida y en la red.");
    agent_source_fini(&f.source);
}

static void a_slow_path_does_not_hide_the_others_for_ever(void **state)
{
    static const enum agent_outcome outcomes[8] = {
        AGENT_TIMEOUT, AGENT_PICTURE, AGENT_TIMEOUT, AGENT_TIMEOUT, AGENT_CLOSED,
    };
    struct fixture f;

    (void)state;
    set_up(&f, "192.0.2.7");
    go_round(&f, outcomes, 0);
    assert_string_equal(f.order, "04");
    go_round(&f, outcomes, 0);
    assert_string_equal(f.order, "1");
    agent_source_fini(&f.source);
}

static void no_picture_names_all_addresses(void **state)
{
    static const enum agent_outcome outcomes[8] = {
        AGENT_NO_PICTURE, AGENT_NO_PICTURE, AGENT_NO_PICTURE,
        AGENT_NO_PICTURE, AGENT_CLOSED,
    };
    struct fixture f;

    (void)state;
    set_up(&f, "192.0.2.7");
    go_round(&f, outcomes, 0);
    assert_string_equal(
        f.error,
        "No se pudo conectar a 192.0.2.7. URLs intentadas: "
        "http://192.0.2.7/ISAPI/Streaming/channels/101/picture, "
        "http://192.0.2.7/ISAPI/Streaming/channels/1/picture, "
        "http://192.0.2.7/cgi-bin/snapshot.cgi?channel=1, "
        "http://192.0.2.7/Streaming/channels/101/picture, "
        "192.0.2.7:554/Streaming/Channels/101, 192.0.2.7:554/Streaming/Channels/1, "
        "192.0.2.7:554/h264/ch1/main/av_stream, 192.0.2.7:554/Streaming/Channels/102\n"
        "   Verifica: IP (192.0.2.7), credenciales (usuario: admin), y que la cámara "
        "esté "
        "encendida");
    agent_source_fini(&f.source);
}

static void a_refused_login_is_not_repeated_for_longer_and_longer(void **state)
{
    static const enum agent_outcome outcomes[8] = {
        [0] = AGENT_REFUSED, [4] = AGENT_REFUSED};
    static const uint64_t tried_min[] = {0, 10, 30, 70, 130, 190};
    struct fixture f;
    size_t next = 0;

    (void)state;
    set_up(&f, "192.0.2.7");
    for (uint64_t ms = 0; ms <= 190 * MINUTE; ms += MINUTE / 2) {
        bool due = ms == tried_min[next] * MINUTE;

        go_round(&f, outcomes, ms);
        assert_string_equal(f.order, due ? "04" : "");
        assert_non_null(strstr(f.error, "rechaza las credenciales (usuario: admin)"));
        next += due;
    }
    assert_int_equal(next, 6);
    agent_source_fini(&f.source);
}

static void a_picture_clears_the_refusals(void **state)
{
    static const enum agent_outcome refused[1] = {AGENT_REFUSED};
    static const enum agent_outcome good[1] = {AGENT_PICTURE};
    struct fixture f;

    (void)state;
    set_up(&f, "a=http://192.0.2.7/x");
    go_round(&f, refused, 0);
    go_round(&f, good, 10 * MINUTE);
    assert_string_equal(f.order, "0");
    go_round(&f, refused, 11 * MINUTE);
    go_round(&f, good, 20 * MINUTE);
    assert_string_equal(f.order, "");
    go_round(&f, good, 21 * MINUTE);
    assert_string_equal(f.order, "0");
    agent_source_fini(&f.source);
}

static void rtsp_is_asked_where_http_refuses(void **state)
{
    static const enum agent_outcome outcomes[8] = {
        [0] = AGENT_REFUSED, [4] = AGENT_PICTURE};
    struct fixture f;

    (void)state;
    set_up(&f, "192.0.2.7");
    go_round(&f, outcomes, 0);
    assert_string_equal(f.order, "04");
    go_round(&f, outcomes, 60 * MINUTE);
    assert_string_equal(f.order, "4");
    agent_source_fini(&f.source);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_worked_is_tried_first),
        cmocka_unit_test(a_closed_or_silent_port_is_tried_once_a_round),
        cmocka_unit_test(a_slow_path_does_not_hide_the_others_for_ever),
        cmocka_unit_test(no_picture_names_all_addresses),
        cmocka_unit_test(a_refused_login_is_not_repeated_for_longer_and_longer),
        cmocka_unit_test(a_picture_clears_the_refusals),
        cmocka_unit_test(rtsp_is_asked_where_http_refuses),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
