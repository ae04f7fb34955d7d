/*
 * Clients of Socket.IO 2, over an Engine.IO that is played.
 */
#include <config.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "alloc_fail.h"
#include "base/list.h"
#include "base/map.h"
#include "fake_eio.h"
#include "socketio/server.h"
#include "socketio/v2.h"

#define SID "sid-of-twenty-chars-"

struct world {
    struct net_loop *loop;
    struct sio_server *server;
    struct sio_namespace *ns;
    struct sio_namespace *x;
    struct sio_socket *last;
    const char *refusal;
    struct sio_str refusal_data;
    char log[256];
};

static void note(struct world *w, const char *what, struct sio_str arg)
{
    size_t n = strlen(w->log);

    if (!arg.ptr)
        arg = SIO_STR("none");
    snprintf(w->log + n, sizeof(w->log) - n, "%s(%.*s)", what, (int)arg.len, arg.ptr);
}

static void expect_log(struct world *w, const char *text)
{
    assert_string_equal(w->log, text);
    w->log[0] = '\0';
}

static const char *on_join(struct sio_socket *s, struct sio_str auth,
                           struct sio_str *data, void *user)
{
    struct world *w = user;

    (void)s;
    (void)auth;
    *data = w->refusal_data;
    return w->refusal;
}

static void on_connect(struct sio_socket *s, struct sio_str auth, void *user)
{
    struct world *w = user;

    note(w, "connect", auth);
    w->last = s;
}

static void on_disconnect(struct sio_socket *s, enum sio_disconnect_reason reason,
                          void *user)
{
    (void)s;
    note(user, "disconnect", sio_str_from(sio_disconnect_reason_text(reason)));
}

static void on_event(struct sio_socket *s, struct sio_event *e, void *user)
{
    (void)s;
    note(user, "event", sio_event_name(e));
}

static const struct sio_namespace_ops ops = {on_join, on_connect, on_disconnect,
                                             on_event};

static void world_open_prefixed(struct world *w, const char *sid_prefix)
{
    const struct sio_server_options opts = {
        .engine = {.allow_eio3 = true, .sid_prefix = sid_prefix}};

    memset(w, 0, sizeof(*w));
    w->loop = net_loop_new(NULL, NULL);
    w->server = sio_server_new(w->loop, &opts, NULL);
    w->ns = sio_server_namespace(w->server, "/", &ops, w);
    w->x = sio_server_namespace(w->server, "/x", &ops, w);
    assert_non_null(w->x);
}

static void world_open(struct world *w)
{
    world_open_prefixed(w, NULL);
}

static void world_close(struct world *w)
{
    sio_server_free(w->server);
    net_loop_run_once(w->loop, 0);
    net_loop_free(w->loop);
    fake_reset();
}

static void assert_id(struct world *w, const char *id)
{
    struct sio_str got = sio_socket_id(w->last);

    assert_int_equal(got.len, strlen(id));
    assert_memory_equal(got.ptr, id, got.len);
    assert_ptr_equal(sio_namespace_find(sio_socket_namespace(w->last), got), w->last);
}

static void is_in_the_first_namespace_from_the_start(void **state)
{
    struct eio_session *s;
    struct world w;

    (void)state;
    world_open(&w);
    s = fake_open_3(sio_server_engine(w.server));
    assert_string_equal(fake_sent(s), "0");
    expect_log(&w, "connect(none)");
    assert_id(&w, SID);
    fake_text(s, "2[\"hello\"]");
    expect_log(&w, "event(hello)");
    assert_int_equal(fake_closed(s), -1);
    fake_text(s, "0");
    assert_int_equal(fake_closed(s), EIO_CLOSE_FORCED);
    world_close(&w);
}

static void asks_for_other_namespaces_with_a_query(void **state)
{
    struct eio_session *s;
    struct world w;

    (void)state;
    world_open(&w);
    s = fake_open_3(sio_server_engine(w.server));
    expect_log(&w, "connect(none)");
    fake_sent(s);
    fake_text(s, "0/x?token=a%22b&n=1&token=%E2%82%AC+,");
    assert_string_equal(fake_sent(s), "0/x,");
    expect_log(&w, "connect({\"n\":\"1\",\"token\":\"\xe2\x82\xac \"})");
    assert_id(&w, "/x#" SID);
    fake_text(s, "2/x,[\"a\"]");
    fake_text(s, "2/x?token=1,[\"b\"]");
    fake_text(s, "51-/x,[\"c\",{\"_placeholder\":true,\"num\":0}]");
    fake_binary(s, "x", 1);
    expect_log(&w, "event(a)event(b)event(c)");
    fake_text(s, "1/x,");
    expect_log(&w, "disconnect(client namespace disconnect)");
    fake_text(s, "0/x");
    assert_string_equal(fake_sent(s), "0/x,");
    expect_log(&w, "connect(none)");
    assert_id(&w, "/x#" SID);
    sio_socket_disconnect(w.last, false);
    assert_string_equal(fake_sent(s), "1/x,");
    world_close(&w);
}

static void ids_are_sids_with_their_prefix(void **state)
{
    struct eio_session *s;
    struct world w;

    (void)state;
    world_open_prefixed(&w, "hub-1");
    s = fake_open_3(sio_server_engine(w.server));
    expect_log(&w, "connect(none)");
    assert_id(&w, "hub-1." SID);
    fake_text(s, "0/x,");
    expect_log(&w, "connect(none)");
    assert_id(&w, "/x#hub-1." SID);
    fake_text(s, "1/x,");
    expect_log(&w, "disconnect(client namespace disconnect)");
    fake_open(
        sio_server_engine(w.server)); /* others' have nothing to do with the sid */
    expect_log(&w, "");
    world_close(&w);
}

static void refusals_are_bare(void **state)
{
    struct eio_session *s;
    struct world w;

    (void)state;
    world_open(&w);
    w.refusal = "no \"entry\"";
    s = fake_open_3(sio_server_engine(w.server));
    assert_string_equal(fake_sent(s), "4\"no \\\"entry\\\"\"");
    assert_int_equal(fake_closed(s), -1);
    w.refusal_data = SIO_STR("{\"code\":1}");
    fake_text(s, "0/x,");
    assert_string_equal(fake_sent(s), "4/x,{\"code\":1}");
    fake_text(s, "0/nowhere?a=1,");
    assert_string_equal(fake_sent(s), "4/nowhere,\"Invalid namespace\"");
    expect_log(&w, "");
    w.refusal = NULL;
    fake_text(s, "0");
    assert_string_equal(fake_sent(s), "0");
    expect_log(&w, "connect(none)");
    world_close(&w);
}

static void others_are_as_ever(void **state)
{
    struct eio_session *s;
    struct world w;

    (void)state;
    world_open(&w);
    s = fake_open(sio_server_engine(w.server));
    assert_string_equal(fake_sent(s), "");
    fake_text(s, "0/x?a=1,");
    assert_string_equal(fake_sent(s), "4/x?a=1,{\"message\":\"Invalid namespace\"}");
    world_close(&w);
}

static void queries_become_objects(void **state)
{
    static const struct {
        const char *nsp;
        const char *json; /* NULL: refused */
    } cases[] = {
        {"/x", ""},
        {"/x?", "{}"},
        {"/x?&&", "{}"},
        {"/x?a", "{\"a\":\"\"}"},
        {"/x?a=", "{\"a\":\"\"}"},
        {"/x?=1", "{\"\":\"1\"}"},
        {"/x?a=b=c?d", "{\"a\":\"b=c?d\"}"},
        {"/x?a=1&b=2&a=3", "{\"b\":\"2\",\"a\":\"3\"}"},
        {"/x?a=1&%61=2", "{\"a\":\"2\"}"},
        {"/x?a=%00%1f%5c", "{\"a\":\"\\u0000\\u001f\\\\\"}"},
        {"/x?a=%", "{\"a\":\"%\"}"},
        {"/x?a=%ff", NULL},
        {"/x?%c0%80=1", NULL},
    };

    (void)state;
    for (size_t i = 0; i < N_ELEMENTS(cases); i++) {
        struct wbuf w;
        int rv;

        wbuf_init(&w, 1000);
        rv = sio_v2_auth(sio_str_from(cases[i].nsp), &w);
        assert_int_equal(rv, cases[i].json ? SIO_OK : SIO_ERR_PARSE);
        if (cases[i].json) {
            assert_int_equal(w.len, strlen(cases[i].json));
            assert_memory_equal(wbuf_str(&w).ptr, cases[i].json, w.len);
        }
        wbuf_fini(&w);
    }
}

static void a_query_has_a_bound(void **state)
{
    char nsp[300] = "/x?a";
    struct wbuf w;

    (void)state;
    wbuf_init(&w, 10000);
    for (int i = 1; i < 64; i++)
        strcat(nsp, "&a");
    assert_int_equal(sio_v2_auth(sio_str_from(nsp), &w), SIO_OK);
    assert_int_equal(w.len, strlen("{\"a\":\"\"}"));
    strcat(nsp, "&a");
    assert_int_equal(sio_v2_auth(sio_str_from(nsp), &w), SIO_ERR_TOO_BIG);
    wbuf_fini(&w);
}

static void survives_each_failing_allocation(void **state)
{
    static const char text[] = "0/x?token=1,";
    const struct sio_slice packet = {NULL, (const uint8_t *)text, sizeof(text) - 1};

    (void)state;
    alloc_fail_each(n)
    {
        struct eio_session *s;
        struct world w;

        alloc_fail_pause();
        world_open(&w);
        s = fake_open_3(sio_server_engine(w.server));
        alloc_fail_resume();
        fake_text_slice(s, packet);
        alloc_fail_pause();
        if (sio_namespace_n_sockets(w.x) == 0)
            assert_true(fake_was_cut(s));
        world_close(&w);
        alloc_fail_resume();
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(is_in_the_first_namespace_from_the_start),
        cmocka_unit_test(asks_for_other_namespaces_with_a_query),
        cmocka_unit_test(ids_are_sids_with_their_prefix),
        cmocka_unit_test(refusals_are_bare),
        cmocka_unit_test(others_are_as_ever),
        cmocka_unit_test(queries_become_objects),
        cmocka_unit_test(a_query_has_a_bound),
        cmocka_unit_test(survives_each_failing_allocation),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
