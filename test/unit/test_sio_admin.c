#include <config.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <sioc/admin.h>

#include "alloc_fail.h"
#include "base/list.h"
#include "fake_eio.h"
#include "socketio/admin_auth.h"
#include "socketio/namespace.h"
#include "socketio/server.h"

/* bcrypt of "open sesame", cheap (cost 4). */
#define HASH "$2b$04$abcdefghijklmnopqrstuu/LVz6MZlItEy42I2juLihZ66HnQx/cy"

struct world {
    struct net_loop *loop;
    struct sio_server *server;
    struct sio_namespace *ns;
    struct sio_socket *last;
};

static void on_connect(struct sio_socket *s, struct sio_str auth, void *user)
{
    (void)auth;
    ((struct world *)user)->last = s;
}

static const struct sio_namespace_ops ops = {.on_connect = on_connect};

static void world_open(struct world *w)
{
    struct sio_server_options opts = {0};

    memset(w, 0, sizeof(*w));
    w->loop = net_loop_new(NULL, NULL);
    w->server = sio_server_new(w->loop, &opts, NULL);
    w->ns = sio_server_namespace(w->server, "/", &ops, w);
    assert_non_null(w->ns);
}

static void world_close(struct world *w)
{
    sio_server_free(w->server);
    net_loop_run_once(w->loop, 0);
    net_loop_free(w->loop);
    fake_reset();
}

static struct eio_session *join(struct world *w, const char *packet)
{
    struct eio_session *s = fake_open(sio_server_engine(w->server));

    fake_text(s, packet);
    return s;
}

/* What was sent, once something was: an answer that a worker is to give. */
static const char *wait_for(struct world *w, struct eio_session *s)
{
    const char *sent = fake_sent(s);

    for (unsigned i = 0; i < 1000 && !sent[0]; i++) {
        net_loop_run_once(w->loop, 1000);
        sent = fake_sent(s);
    }
    return sent;
}

static void wants_a_name_and_a_hash(void **state)
{
    static const char *const bad[] = {
        "",
        "secret",
        "$1$abcdefgh$abcdefghijklmnopqrstuv",
        "$2b$04$abcdefghijklmnopqrstuu/LVz6MZlItEy42I2juLihZ66HnQx/c",
        "$2b$04$abcdefghijklmnopqrstuu/LVz6MZlItEy42I2juLihZ66HnQx/cyy",
        "$2b$04$abcdefghijklmnopqrstuu/LVz6MZlItEy42I2juLihZ66HnQx/c:",
        "$2b$44$abcdefghijklmnopqrstuu/LVz6MZlItEy42I2juLihZ66HnQx/cy",
        "$2c$04$abcdefghijklmnopqrstuu/LVz6MZlItEy42I2juLihZ66HnQx/cy",
    };
    static const struct sio_admin_options wrong[] = {
        {0},
        {.username = "a"},
        {.password_hash = HASH},
        {.username = "a", .password_hash = HASH, .no_auth = true},
        {.username = "a", .no_auth = true},
        {.username = "a", .password_hash = HASH, .name = "admin"},
        {.username = "a", .password_hash = HASH, .name = "/a,b"},
    };
    struct sio_admin_options good = {.username = "a", .password_hash = HASH};
    struct sio_diag diag;
    struct world w;

    (void)state;
    world_open(&w);
    for (size_t i = 0; i < N_ELEMENTS(wrong); i++)
        assert_int_equal(sio_admin_attach(w.server, &wrong[i], &diag), SIO_ERR_INVAL);
    for (size_t i = 0; i < N_ELEMENTS(bad); i++) {
        struct sio_admin_options o = {.username = "a", .password_hash = bad[i]};

        assert_int_equal(sio_admin_attach(w.server, &o, &diag), SIO_ERR_INVAL);
        assert_true(!bad[i][0] || !strstr(diag.text, bad[i]));
    }
    good.name = "/";
    assert_int_equal(sio_admin_attach(w.server, &good, &diag), SIO_ERR_EXISTS);
    good.name = NULL;
    assert_int_equal(sio_admin_attach(w.server, &good, &diag), SIO_OK);
    assert_int_equal(sio_admin_attach(w.server, &good, &diag), SIO_ERR_EXISTS);
    world_close(&w);
}

static void is_hooked_up_while_somebody_looks(void **state)
{
    struct sio_admin_options o = {.no_auth = true, .development = true};
    struct eio_session *one, *two, *client;
    struct sio_namespace *late;
    struct world w;

    (void)state;
    world_open(&w);
    assert_int_equal(sio_admin_attach(w.server, &o, NULL), SIO_OK);
    client = join(&w, "0");
    fake_sent(client);
    assert_null(w.server->observer);
    assert_null(w.ns->hooks);

    one = join(&w, "0/admin,");
    assert_non_null(strstr(fake_sent(one), "2/admin,[\"all_sockets\",[{\"id\":"));
    assert_non_null(w.server->observer);
    assert_int_equal(w.ns->n_out, 1);
    two = join(&w, "0/admin,");
    assert_int_equal(w.ns->n_out, 1);
    late = sio_server_namespace(w.server, "/late", &ops, &w);
    assert_int_equal(late->n_out, 1);
    fake_sent(one);
    fake_text(client, "2[\"hello\",1]");
    assert_int_equal(
        strncmp(fake_sent(one), "2/admin,[\"event_received\",\"/\",\"", 31), 0);
    sio_socket_join(w.last, SIO_STR("room"));
    assert_non_null(strstr(fake_sent(one), "[\"room_joined\",\"/\",\"room\""));
    fake_close(client, EIO_CLOSE_PING_TIMEOUT);
    assert_non_null(strstr(fake_sent(one), "\"ping timeout\""));

    fake_close(two, EIO_CLOSE_TRANSPORT_CLOSE);
    assert_non_null(w.server->observer);
    fake_close(one, EIO_CLOSE_TRANSPORT_CLOSE);
    assert_null(w.server->observer);
    assert_int_equal(w.ns->n_out + late->n_out, 0);
    client = join(&w, "0");
    fake_text(client, "2[\"hello\"]");
    world_close(&w);
}

static void a_filter_that_says_nobody_is_not_everybody(void **state)
{
    struct sio_admin_options o = {.no_auth = true};
    static const char *const nobody[] = {"[\"a\"]", "1", "false", "\"a\\u0000\"",
                                         "\"elsewhere\""};
    static const char *const everybody[] = {",null", ",\"\"", ""};
    struct eio_session *ui, *client;
    char command[100];
    struct world w;

    (void)state;
    world_open(&w);
    assert_int_equal(sio_admin_attach(w.server, &o, NULL), SIO_OK);
    ui = join(&w, "0/admin,");
    client = join(&w, "0");
    for (size_t i = 0; i < N_ELEMENTS(nobody); i++) {
        snprintf(command, sizeof(command), "2/admin,[\"_disconnect\",\"/\",false,%s]",
                 nobody[i]);
        fake_text(ui, command);
        assert_int_equal(sio_namespace_n_sockets(w.ns), 1);
    }
    for (size_t i = 0; i < N_ELEMENTS(everybody); i++) {
        snprintf(command, sizeof(command), "2/admin,[\"_disconnect\",\"/\",false%s]",
                 everybody[i]);
        fake_text(ui, command);
        assert_int_equal(sio_namespace_n_sockets(w.ns), 0);
        fake_text(client, "0");
    }
    world_close(&w);
}

static void tells_the_same_to_all_who_may_not_join(void **state)
{
    struct sio_admin_options o = {.username = "a", .password_hash = HASH};
    static const char *const bad[] = {
        "0/admin,",
        "0/admin,{\"username\":\"a\"}",
        "0/admin,{\"username\":\"a\",\"password\":\"\"}",
        "0/admin,{\"username\":\"a\",\"password\":\"open\"}",
        "0/admin,{\"username\":\"b\",\"password\":\"open sesame\"}",
        "0/admin,{\"username\":\"a\",\"password\":\"open sesame\\u0000\"}",
    };
    struct eio_session *s;
    struct world w;

    (void)state;
    world_open(&w);
    assert_int_equal(sio_admin_attach(w.server, &o, NULL), SIO_OK);
    for (size_t i = 0; i < N_ELEMENTS(bad); i++)
        assert_string_equal(wait_for(&w, join(&w, bad[i])),
                            "4/admin,{\"message\":\"invalid credentials\"}");
    s = join(&w, "0/admin,{\"username\":\"a\",\"password\":\"open sesame\"}");
    assert_non_null(strstr(wait_for(&w, s), "2/admin,[\"session\",\""));
    world_close(&w);
}

static void bounds_the_attempts_that_wait(void **state)
{
    static const char packet[] =
        "0/admin,{\"username\":\"a\",\"password\":\"open sesame\"}";
    struct sio_admin_options o = {.username = "a", .password_hash = HASH};
    struct eio_session *s[16];
    unsigned n_refused = 0;
    struct world w;

    (void)state;
    world_open(&w);
    assert_int_equal(sio_admin_attach(w.server, &o, NULL), SIO_OK);
    for (size_t i = 0; i < N_ELEMENTS(s); i++) {
        s[i] = join(&w, packet);
        n_refused +=
            strcmp(fake_sent(s[i]), "4/admin,{\"message\":\"too many attempts\"}") == 0;
    }
    assert_int_equal(n_refused, N_ELEMENTS(s) - 9); /* one at work, eight wait */
    assert_non_null(strstr(wait_for(&w, s[8]), "\"session\""));

    /* And the server may end in the middle of it. */
    join(&w, packet);
    join(&w, packet);
    world_close(&w);
}

static void forgets_the_oldest_session(void **state)
{
    struct net_loop *loop = net_loop_new(NULL, NULL);
    struct sio_admin_auth *a = sio_admin_auth_new(loop, "a", HASH);
    char ids[40][RANDOM_ID_LEN + 1];
    unsigned n_known = 0;

    (void)state;
    assert_false(sio_admin_session_known(a, SIO_STR("")));
    assert_false(sio_admin_session_known(
        a, SIO_STR("\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0")));
    for (size_t i = 0; i < N_ELEMENTS(ids); i++)
        sio_admin_session_new(a, ids[i]);
    for (size_t i = 0; i < N_ELEMENTS(ids); i++)
        n_known += sio_admin_session_known(a, sio_str_from(ids[i]));
    assert_int_equal(n_known, 32);
    assert_true(sio_admin_session_known(a, sio_str_from(ids[39])));
    sio_admin_auth_free(a);
    net_loop_free(loop);
}

static void lives_on_without_memory(void **state)
{
    struct sio_admin_options o = {.no_auth = true, .development = true};

    (void)state;
    alloc_fail_each(n)
    {
        struct eio_session *ui, *client;
        struct world w;

        alloc_fail_pause();
        world_open(&w);
        alloc_fail_resume();
        if (sio_admin_attach(w.server, &o, NULL) == SIO_OK) {
            ui = fake_open(sio_server_engine(w.server));
            if (ui)
                fake_text(ui, "0/admin,");
            client = fake_open(sio_server_engine(w.server));
            if (client) {
                fake_text(client, "0");
                fake_text(client, "2[\"hello\",1]");
            }
            if (ui)
                fake_text(ui, "2/admin,[\"emit\",\"/\",\"\",\"hi\",1]");
        } else {
            assert_null(sio_server_find(w.server, SIO_STR("/admin")));
        }
        alloc_fail_pause();
        world_close(&w);
        alloc_fail_resume();
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(wants_a_name_and_a_hash),
        cmocka_unit_test(is_hooked_up_while_somebody_looks),
        cmocka_unit_test(a_filter_that_says_nobody_is_not_everybody),
        cmocka_unit_test(tells_the_same_to_all_who_may_not_join),
        cmocka_unit_test(bounds_the_attempts_that_wait),
        cmocka_unit_test(forgets_the_oldest_session),
        cmocka_unit_test(lives_on_without_memory),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
