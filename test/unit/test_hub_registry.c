#include <config.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "alloc_fail.h"
#include "base/buf.h"
#include "base/str.h"
#include "hub/registry.h"

#define SECOND ((uint64_t)1000)

static char first[] = "192.0.2.1", second[] = "192.0.2.2";
static char nombre[] = "Entrada", sede[] = "sede";
static struct hub_camera_config configured[] = {{first, nombre, sede},
                                                {second, NULL, NULL}};

static void init(struct hub_registry *r)
{
    struct hub_config config;

    hub_config_defaults(&config);
    config.cameras = configured;
    config.n_cameras = 2;
    config.max_cameras = 4;
    assert_int_equal(hub_registry_init(r, &config, ""), SIO_OK);
}

static struct hub_nuc_socket *new_socket(struct hub_nuc_socket *s)
{
    *s = (struct hub_nuc_socket){.nuc = NULL};
    list_init(&s->link);
    return s;
}

static void a_nuc_stays_while_one_of_its_sockets_does(void **state)
{
    struct hub_registry r;
    struct hub_nuc_socket a, b;
    struct hub_nuc *nuc;

    (void)state;
    init(&r);
    nuc = hub_registry_attach(&r, new_socket(&a), SIO_STR("sede"), 1, 0);
    assert_ptr_equal(hub_registry_attach(&r, new_socket(&b), SIO_STR("sede"), 2, 0),
                     nuc);
    assert_int_equal(hub_registry_n_nucs(&r), 1);
    hub_registry_detach(&r, &b, 0);
    assert_ptr_equal(hub_registry_find_nuc(&r, SIO_STR("sede")), nuc);
    hub_registry_detach(&r, &a, 0);
    assert_int_equal(hub_registry_n_nucs(&r), 0);
    hub_registry_detach(&r, &a, 0);
    hub_registry_fini(&r);
}

static void a_camera_keeps_its_id(void **state)
{
    struct hub_registry r;

    (void)state;
    init(&r);
    assert_int_equal(hub_registry_find_camera(&r, SIO_STR("192.0.2.1"))->id, 1);
    assert_int_equal(hub_registry_find_camera(&r, SIO_STR("192.0.2.2"))->id, 2);
    assert_int_equal(hub_registry_camera(&r, SIO_STR("patio"), 0)->id, 3);
    assert_int_equal(hub_registry_camera(&r, SIO_STR("patio"), 0)->id, 3);
    assert_int_equal(hub_registry_camera(&r, SIO_STR("192.0.2.1"), 0)->id, 1);
    hub_registry_fini(&r);
}

static void the_camera_silent_for_longest_makes_room(void **state)
{
    struct hub_registry r;
    struct hub_nuc_socket s;
    struct hub_nuc *nuc;

    (void)state;
    init(&r);
    nuc = hub_registry_attach(&r, new_socket(&s), SIO_STR("sede"), 1, 0);
    assert_non_null(hub_registry_camera(&r, SIO_STR("a"), 10));
    assert_non_null(hub_registry_camera(&r, SIO_STR("b"), 5));
    assert_non_null(hub_registry_camera(&r, SIO_STR("c"), 20));
    assert_null(hub_registry_find_camera(&r, SIO_STR("b")));
    assert_non_null(hub_registry_find_camera(&r, SIO_STR("a")));
    hub_registry_heard(hub_registry_find_camera(&r, SIO_STR("a")), nuc, true, 30);
    hub_registry_heard(hub_registry_find_camera(&r, SIO_STR("c")), nuc, true, 30);
    assert_null(hub_registry_camera(&r, SIO_STR("d"), 40)); /* all are somebody's */
    hub_registry_detach(&r, &s, 0);
    assert_non_null(hub_registry_camera(&r, SIO_STR("d"), 50));
    hub_registry_fini(&r);
}

static void refuses_names_that_no_path_can_have(void **state)
{
    (void)state;
    assert_true(hub_registry_check_ip(SIO_STR("192.0.2.1")));
    assert_true(hub_registry_check_ip(SIO_STR("cámara 2")));
    assert_false(hub_registry_check_ip(SIO_STR("")));
    assert_false(hub_registry_check_ip(SIO_STR("a/b")));
    assert_false(hub_registry_check_ip(SIO_STR("a\nb")));
    assert_false(hub_registry_check_ip(SIO_STR("a\0b")));
    assert_false(hub_registry_check_ip(SIO_STR("\xff")));
}

static void registering_names_a_nucs_cameras(void **state)
{
    struct hub_registry r;
    struct hub_nuc_socket s;
    struct hub_nuc *nuc;
    struct sio_str list = SIO_STR("[\"192.0.2.2\",5,{\"a\":1},\"a/b\",\"nueva\"]");

    (void)state;
    init(&r);
    nuc = hub_registry_attach(&r, new_socket(&s), SIO_STR("sede"), 1, 0);
    assert_int_equal(hub_registry_set_camaras(&r, nuc, list, 0), SIO_OK);
    assert_int_equal(nuc->now->camaras->len, list.len);
    assert_memory_equal(nuc->now->camaras->data, list.ptr, list.len);
    assert_ptr_equal(hub_registry_find_camera(&r, SIO_STR("192.0.2.2"))->agent, nuc);
    assert_ptr_equal(hub_registry_find_camera(&r, SIO_STR("nueva"))->agent, nuc);
    assert_null(hub_registry_find_camera(&r, SIO_STR("a/b")));
    assert_int_equal(hub_registry_set_camaras(&r, nuc, SIO_STR("null"), 0), SIO_OK);
    hub_registry_detach(&r, &s, 0);
    assert_null(hub_registry_find_camera(&r, SIO_STR("nueva"))->agent);
    hub_registry_fini(&r);
}

static void an_agent_silent_for_two_intervals_is_asked(void **state)
{
    struct hub_registry r;
    struct hub_nuc_socket s;
    struct hub_nuc *nuc;
    struct hub_camera *c;
    uint64_t now = 1000 * SECOND;

    (void)state;
    init(&r);
    nuc = hub_registry_attach(&r, new_socket(&s), SIO_STR("sede"), 1, 0);
    c = hub_registry_camera(&r, SIO_STR("patio"), now);
    assert_false(hub_registry_should_ask(c, now + 3600 * SECOND)); /* whom? */
    hub_registry_heard(c, nuc, true, now);
    assert_false(hub_registry_should_ask(c, now + 60 * SECOND));
    assert_true(hub_registry_should_ask(c, now + 61 * SECOND));
    assert_false(hub_registry_should_ask(c, now + 62 * SECOND)); /* once */
    assert_true(hub_registry_should_ask(c, now + 61 * SECOND + 121 * SECOND));
    hub_registry_heard(c, nuc, false,
                       now + 200 * SECOND); /* an error is a sign of life */
    assert_false(hub_registry_should_ask(c, now + 259 * SECOND));
    assert_true(hub_registry_should_ask(c, now + 261 * SECOND));
    hub_registry_detach(&r, &s, 0);
    hub_registry_fini(&r);
}

static void the_interval_is_learnt_from_arrivals(void **state)
{
    struct hub_registry r;
    struct hub_nuc_socket s;
    struct hub_nuc *nuc;
    struct hub_camera *c;
    uint64_t now = 1000 * SECOND;

    (void)state;
    init(&r);
    nuc = hub_registry_attach(&r, new_socket(&s), SIO_STR("sede"), 1, 0);
    c = hub_registry_camera(&r, SIO_STR("patio"), now);
    for (int i = 0; i < 40; i++)
        hub_registry_heard(c, nuc, true, now += 5 * SECOND);
    assert_in_range(c->interval_ms, 4900, 5100);
    assert_true(hub_registry_should_ask(c, now + 11 * SECOND));
    /* The answer to a question is not the agent's pace. */
    hub_registry_heard(c, nuc, true, now + 12 * SECOND);
    assert_in_range(c->interval_ms, 4900, 5100);
    hub_registry_detach(&r, &s, 0);
    hub_registry_fini(&r);
}

static void a_picture_is_not_kept_as_bytes_for_ever(void **state)
{
    struct hub_registry r;
    struct hub_camera *c, *d;
    struct sio_buf *b = sio_buf_copy("x", 1);

    (void)state;
    init(&r);
    c = hub_registry_camera(&r, SIO_STR("a"), 0);
    d = hub_registry_camera(&r, SIO_STR("b"), 0);
    hub_registry_keep_jpeg(c, b, 1, 10 * SECOND);
    hub_registry_keep_jpeg(c, b, 2, 20 * SECOND);
    hub_registry_keep_jpeg(d, b, 3, 50 * SECOND);
    sio_buf_unref(b);
    hub_registry_drop_old_jpegs(&r, 79 * SECOND);
    assert_ptr_equal(c->jpeg, b);
    assert_int_equal(c->jpeg_version, 2);
    hub_registry_drop_old_jpegs(&r, 80 * SECOND);
    assert_null(c->jpeg);
    assert_ptr_equal(d->jpeg, b);
    hub_registry_fini(&r);
}

static void survives_the_want_of_memory(void **state)
{
    (void)state;
    alloc_fail_each(n)
    {
        struct hub_registry r;
        struct hub_nuc_socket s;
        struct hub_config config;
        struct hub_nuc *nuc;

        hub_config_defaults(&config);
        config.cameras = configured;
        config.n_cameras = 2;
        if (hub_registry_init(&r, &config, "") == SIO_OK) {
            nuc = hub_registry_attach(&r, new_socket(&s), SIO_STR("sede"), 1, 0);
            if (nuc)
                hub_registry_set_camaras(&r, nuc, SIO_STR("[\"a\",\"b\"]"), 1);
        }
        hub_registry_fini(&r);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_nuc_stays_while_one_of_its_sockets_does),
        cmocka_unit_test(a_camera_keeps_its_id),
        cmocka_unit_test(the_camera_silent_for_longest_makes_room),
        cmocka_unit_test(refuses_names_that_no_path_can_have),
        cmocka_unit_test(registering_names_a_nucs_cameras),
        cmocka_unit_test(an_agent_silent_for_two_intervals_is_asked),
        cmocka_unit_test(the_interval_is_learnt_from_arrivals),
        cmocka_unit_test(a_picture_is_not_kept_as_bytes_for_ever),
        cmocka_unit_test(survives_the_want_of_memory),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
