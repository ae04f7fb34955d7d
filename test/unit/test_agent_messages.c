#include <config.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "agent/messages.h"
#include "base/list.h"
#include "engineio/msg.h"
#include "socketio/message.h"

/* 2026-01-31T03:09:45.033140 in UTC */
#define WALL_US (INT64_C(1769828985) * 1000000 + 33140)

/* Frees m; the result holds what stands in its only frame. */
static char *text_of(struct sio_message *m)
{
    struct eio_msg *msg = NULL;
    struct sio_slice slices[16];
    struct wbuf w;
    char *text;
    size_t n;

    assert_non_null(m);
    assert_int_equal(sio_message_encode(m, &sio_parser_json, SIO_PACKET_EVENT,
                                        SIO_STR("/"), false, 0, &msg),
                     SIO_OK);
    assert_int_equal(msg->n_parts, 1);
    assert_true(msg->n_slices <= N_ELEMENTS(slices));
    n = eio_msg_body(msg, 0, slices);
    wbuf_init(&w, 10 * 1000 * 1000);
    for (size_t i = 0; i < n; i++)
        wbuf_add(&w, slices[i].ptr, slices[i].len);
    wbuf_add_byte(&w, '\0');
    text = strdup(wbuf_str(&w).ptr);
    assert_non_null(text);
    wbuf_fini(&w);
    eio_msg_unref(msg);
    sio_message_free(m);
    return text;
}

static void assert_text(struct sio_message *m, const char *expected)
{
    char *text = text_of(m);

    assert_string_equal(text, expected);
    free(text);
}

static void events_are_those_of_the_agents_in_the_field(void **state)
{
    static const char *const ids[] = {"192.0.2.7", "patio"};
    static const struct agent_network network = {"192.0.2.10", "192.0.2.0/24"};
    struct sio_buf *jpeg = sio_buf_copy("\xff\xd8\xff\xd9", 4);

    (void)state;
    assert_text(agent_message_register("nuc_1", ids, 2, &network, WALL_US),
                "42[\"nuc_register\",{\"nuc_id\":\"nuc_1\",\"camaras\":[\"192.0.2.7\","
                "\"patio\"],\"timestamp\":\"2026-01-31T03:09:45.033140\","
                "\"capacidades\":[\"stream\"],\"ip_local\":\"192.0.2.10\","
                "\"red\":\"192.0.2.0/24\",\"version\":\"" PACKAGE_VERSION "\"}]");
    assert_text(agent_message_snapshot("nuc_1", "patio", jpeg, WALL_US),
                "42[\"snapshot\",{\"nuc_id\":\"nuc_1\",\"ip\":\"patio\",\"image\":"
                "\"/9j/2Q==\",\"timestamp\":\"2026-01-31T03:09:45.033140\","
                "\"estado\":\"activa\"}]");
    assert_text(
        agent_message_error("snapshot_error", "nuc_1", "patio", SIO_STR("a\n\"b\""),
                            WALL_US),
        "42[\"snapshot_error\",{\"nuc_id\":\"nuc_1\",\"ip\":\"patio\",\"error\":"
        "\"a\\n\\\"b\\\"\",\"timestamp\":\"2026-01-31T03:09:45.033140\"}]");
    assert_text(agent_message_pong("nuc_1", WALL_US),
                "42[\"pong\",{\"nuc_id\":\"nuc_1\",\"timestamp\":"
                "\"2026-01-31T03:09:45.033140\"}]");
    sio_buf_unref(jpeg);
}

static void a_strange_name_is_still_json(void **state)
{
    struct sio_buf *auth = agent_message_auth("a\"\\\n\xc3\xb1", "");

    (void)state;
    assert_non_null(auth);
    assert_int_equal(sio_buf_len(auth),
                     strlen("{\"nuc_id\":\"a\\\"\\\\\\n\xc3\xb1\"}"));
    assert_memory_equal(sio_buf_data(auth), "{\"nuc_id\":\"a\\\"\\\\\\n\xc3\xb1\"}",
                        sio_buf_len(auth));
    sio_buf_unref(auth);
}

static void the_token_goes_with_the_name(void **state)
{
    struct sio_buf *auth = agent_message_auth("a", "s\"");

    (void)state;
    assert_non_null(auth);
    assert_int_equal(sio_buf_len(auth),
                     strlen("{\"nuc_id\":\"a\",\"token\":\"s\\\"\"}"));
    assert_memory_equal(sio_buf_data(auth), "{\"nuc_id\":\"a\",\"token\":\"s\\\"\"}",
                        sio_buf_len(auth));
    sio_buf_unref(auth);
}

/* The longest names, all of them escaped, with the largest picture. */
static void the_largest_picture_fits_the_hubs_limit(void **state)
{
    static const size_t limits[] = {0, 4096, 1000000, 1000001, 1000002, 1000003};
    char nuc[129];
    char id[129];

    (void)state;
    memset(nuc, 1, 128);
    memset(id, 1, 128);
    nuc[128] = id[128] = '\0';
    for (size_t i = 0; i < N_ELEMENTS(limits); i++) {
        size_t limit = limits[i] > 0 ? limits[i] : 1000000;
        size_t max = agent_message_max_jpeg(limits[i], nuc);
        struct sio_buf *jpeg = sio_buf_new(max);
        char *text;

        assert_non_null(jpeg);
        memset(sio_buf_data(jpeg), 0, max);
        text = text_of(agent_message_snapshot(nuc, id, jpeg, WALL_US));
        assert_true(strlen(text) <= limit);
        assert_true(strlen(text) + 600 > limit);
        free(text);
        sio_buf_unref(jpeg);
    }
    assert_int_equal(agent_message_max_jpeg(100, nuc), 0);
}

static int set_time_zone(void **state)
{
    (void)state;
    return setenv("TZ", "UTC", 1);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(events_are_those_of_the_agents_in_the_field),
        cmocka_unit_test(a_strange_name_is_still_json),
        cmocka_unit_test(the_token_goes_with_the_name),
        cmocka_unit_test(the_largest_picture_fits_the_hubs_limit),
    };

    return cmocka_run_group_tests(tests, set_time_zone, NULL);
}
