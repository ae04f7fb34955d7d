/*
 * The simple client against a server on a thread of its own.
 */
#include <config.h>

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include <sioc/sioc.h>

/* The server. */

struct server {
    struct net_loop *loop;
    struct sio_server *server;
    pthread_t thread;
    char url[64];
};

static void on_echo(struct sio_socket *s, struct sio_event *e, void *user)
{
    struct sio_message *m = sio_message_new("back");

    (void)user;
    sio_message_add_event(m, e, 0);
    if (sio_event_wants_ack(e))
        sio_event_ack(e, m);
    else
        sio_socket_emit(s, m);
    sio_message_free(m);
}

static void on_silent(struct sio_socket *s, struct sio_event *e, void *user)
{
    (void)s;
    (void)e;
    (void)user;
}

static void on_question_answered(int status, struct sio_event *e, void *user)
{
    struct sio_socket *s = user;
    struct sio_message *m;

    if (status != SIO_OK)
        return;
    m = sio_message_new("answered");
    sio_message_add_event(m, e, 0);
    sio_socket_emit(s, m);
    sio_message_free(m);
}

static void on_ask(struct sio_socket *s, struct sio_event *e, void *user)
{
    struct sio_message *m = sio_message_new("question");

    (void)e;
    (void)user;
    sio_socket_emit_ack(s, m, 5000, on_question_answered, s);
    sio_message_free(m);
}

static void on_burst(struct sio_socket *s, struct sio_event *e, void *user)
{
    (void)e;
    (void)user;
    for (int i = 0; i < 10; i++) {
        struct sio_message *m = sio_message_newf("n", "i", i);

        sio_socket_emit(s, m);
        sio_message_free(m);
    }
}

static void on_kick(struct sio_socket *s, struct sio_event *e, void *user)
{
    (void)e;
    (void)user;
    sio_socket_disconnect(s, false);
}

static void on_cut(struct sio_socket *s, struct sio_event *e, void *user)
{
    (void)e;
    (void)user;
    sio_socket_abort(s);
}

static const char *refuse(struct sio_socket *s, struct sio_str auth,
                          struct sio_str *data, void *user)
{
    (void)s;
    (void)data;
    (void)user;
    return auth.ptr && memmem(auth.ptr, auth.len, "secret", 6) ? NULL : "go away";
}

static void *run(void *user)
{
    net_loop_run(((struct server *)user)->loop);
    return NULL;
}

static void stop(void *user)
{
    net_loop_stop(user);
}

static void start_server(struct server *v)
{
    static const struct sio_namespace_ops open_ops = {.on_join = NULL};
    static const struct sio_namespace_ops closed_ops = {.on_join = refuse};
    struct sio_server_options o = {.connect_timeout_ms = 5000};
    struct eio_listen_options where = {.host = "127.0.0.1"};
    struct sio_namespace *ns;

    v->loop = net_loop_new(NULL, NULL);
    v->server = sio_server_new(v->loop, &o, NULL);
    assert_non_null(v->server);
    ns = sio_server_namespace(v->server, "/", &open_ops, NULL);
    assert_non_null(ns);
    assert_non_null(sio_server_namespace(v->server, "/closed", &closed_ops, NULL));
    sio_namespace_on(ns, "echo", on_echo, NULL);
    sio_namespace_on(ns, "silent", on_silent, NULL);
    sio_namespace_on(ns, "ask", on_ask, NULL);
    sio_namespace_on(ns, "burst", on_burst, NULL);
    sio_namespace_on(ns, "kick", on_kick, NULL);
    sio_namespace_on(ns, "cut", on_cut, NULL);
    snprintf(v->url, sizeof(v->url), "http://127.0.0.1:%d",
             sio_server_listen(v->server, &where, NULL));
    assert_int_equal(pthread_create(&v->thread, NULL, run, v), 0);
}

static void stop_server(struct server *v)
{
    assert_int_equal(net_loop_post(v->loop, stop, v->loop), SIO_OK);
    pthread_join(v->thread, NULL);
    sio_server_free(v->server);
    net_loop_free(v->loop);
}

/* The client. */

static struct sio_simple *dial(const struct server *v, struct sio_simple_options *o)
{
    struct sio_diag diag = {.text = ""};
    struct sio_simple *s;

    o->client.url = v->url;
    o->client.proxy = "";
    o->client.reconnect_delay_ms = 1;
    s = sio_simple_connect(o, &diag);
    if (!s)
        fail_msg("%s", diag.text);
    return s;
}

static int emit(struct sio_simple *s, const char *event)
{
    struct sio_message *m = sio_message_newf(event, "s", "x");
    int rv = sio_simple_emit(s, m);

    sio_message_free(m);
    return rv;
}

static void expect_event(struct sio_simple *s, const char *name, const char *arg)
{
    struct sio_event *e;

    assert_int_equal(sio_simple_receive(s, 10000, &e), SIO_OK);
    assert_int_equal(sio_event_name(e).len, strlen(name));
    assert_memory_equal(sio_event_name(e).ptr, name, strlen(name));
    if (arg) {
        assert_int_equal(sio_event_arg(e, 0).len, strlen(arg));
        assert_memory_equal(sio_event_arg(e, 0).ptr, arg, strlen(arg));
    }
}

static int call(struct sio_simple *s, const char *event, uint32_t timeout_ms,
                struct sio_event **answer)
{
    struct sio_message *m = sio_message_newf(event, "i", 7);
    int rv = sio_simple_call(s, m, timeout_ms, answer);

    sio_message_free(m);
    return rv;
}

static void events_go_out_and_come_in(void **state)
{
    struct sio_simple_options o = {.timeout_ms = 10000};
    struct sio_simple *s = dial(*state, &o);
    struct sio_event *e;

    assert_true(sio_simple_connected(s));
    assert_string_equal(sio_simple_why(s), "");
    assert_int_equal(sio_simple_receive(s, 0, &e), SIO_ERR_TIMEOUT);
    assert_null(e);
    assert_int_equal(emit(s, "echo"), SIO_OK);
    assert_int_equal(emit(s, "echo"), SIO_OK);
    expect_event(s, "back", "\"x\"");
    expect_event(s, "back", "\"x\"");
    assert_int_equal(sio_simple_receive(s, 20, &e), SIO_ERR_TIMEOUT);
    sio_simple_disconnect(s);
}

static void a_call_returns_the_answer_or_the_end_of_its_time(void **state)
{
    struct sio_simple_options o = {.client.transports = SIO_TRANSPORTS_POLLING};
    struct sio_simple *s = dial(*state, &o);
    struct sio_event *answer;

    assert_int_equal(call(s, "echo", 0, &answer), SIO_OK);
    assert_memory_equal(sio_event_arg(answer, 0).ptr, "7", 1);
    assert_int_equal(call(s, "silent", 20, &answer), SIO_ERR_TIMEOUT);
    assert_null(answer);
    assert_int_equal(call(s, "echo", 5000, &answer), SIO_OK);
    assert_int_equal(sio_event_n_args(answer), 1);
    sio_simple_disconnect(s);
    sio_simple_disconnect(NULL);
}

static void what_the_server_asks_is_answered(void **state)
{
    struct sio_simple_options o = {.timeout_ms = 10000};
    struct sio_simple *s = dial(*state, &o);
    struct sio_message *m = sio_message_newf("", "s", "yes");

    assert_int_equal(sio_simple_answer(s, m), SIO_ERR_NOT_FOUND);
    assert_int_equal(emit(s, "ask"), SIO_OK);
    expect_event(s, "question", NULL);
    assert_true(sio_simple_wants_answer(s));
    assert_int_equal(sio_simple_answer(s, m), SIO_OK);
    assert_false(sio_simple_wants_answer(s));
    assert_int_equal(sio_simple_answer(s, m), SIO_ERR_NOT_FOUND);
    expect_event(s, "answered", "\"yes\"");
    sio_message_free(m);
    sio_simple_disconnect(s);
}

static void what_is_not_taken_is_bounded(void **state)
{
    struct sio_simple_options o = {.max_events = 3};
    struct sio_simple *s = dial(*state, &o);
    struct sio_event *answer;

    assert_int_equal(emit(s, "burst"), SIO_OK);
    assert_int_equal(call(s, "echo", 0, &answer), SIO_OK); /* behind the burst */
    expect_event(s, "n", "7");
    expect_event(s, "n", "8");
    expect_event(s, "n", "9");
    assert_int_equal(sio_simple_receive(s, 0, &answer), SIO_ERR_TIMEOUT);
    assert_int_equal(emit(s, "burst"), SIO_OK); /* some are left at the end */
    assert_int_equal(call(s, "echo", 0, &answer), SIO_OK);
    sio_simple_disconnect(s);
}

static void a_lost_connection_comes_back_by_itself(void **state)
{
    struct sio_simple_options o = {.timeout_ms = 10000};
    struct sio_simple *s = dial(*state, &o);
    struct sio_event *answer;

    for (int i = 0; i < 3; i++) {
        assert_int_equal(call(s, "cut", 0, &answer), SIO_ERR_CLOSED);
        assert_null(answer);
        assert_int_equal(call(s, "echo", 0, &answer), SIO_OK);
    }
    assert_true(sio_simple_why(s)[0] != '\0');
    sio_simple_disconnect(s);
}

static void a_disconnect_of_the_server_is_the_end(void **state)
{
    struct sio_simple_options o = {.timeout_ms = 10000};
    struct sio_simple *s = dial(*state, &o);
    struct sio_event *e;

    assert_int_equal(emit(s, "kick"), SIO_OK);
    assert_int_equal(sio_simple_receive(s, 10000, &e), SIO_ERR_CLOSED);
    assert_string_equal(sio_simple_why(s), "io server disconnect");
    assert_int_equal(emit(s, "echo"), SIO_ERR_CLOSED);
    assert_int_equal(call(s, "echo", 0, &e), SIO_ERR_CLOSED);
    assert_int_equal(sio_simple_reconnect(s), SIO_OK);
    assert_int_equal(call(s, "echo", 0, &e), SIO_OK);
    sio_simple_disconnect(s);
}

static void who_cannot_connect_is_told_why(void **state)
{
    struct server *v = *state;
    struct sio_simple_options o = {.client = {.url = v->url, .proxy = ""},
                                   .nsp = "/closed"};
    struct sio_diag diag;
    struct sio_simple *s;

    assert_null(sio_simple_connect(&o, &diag));
    assert_string_equal(diag.text, "the server refused: go away");
    o.auth = SIO_STR("7");
    assert_null(sio_simple_connect(&o, &diag));
    o.auth = SIO_STR("{\"token\":\"secret\"}");
    s = sio_simple_connect(&o, &diag);
    assert_non_null(s);
    sio_simple_disconnect(s);

    o.nsp = "bad";
    assert_null(sio_simple_connect(&o, &diag));
    o.nsp = "/";
    o.client.url = "nonsense";
    assert_null(sio_simple_connect(&o, &diag));
    o.client.url = "http://127.0.0.1:1";
    o.client.no_reconnect = true;
    assert_null(sio_simple_connect(&o, &diag));
    assert_non_null(strstr(diag.text, "Connection refused"));
    o.client.no_reconnect = false;
    o.timeout_ms = 20;
    assert_null(sio_simple_connect(&o, NULL));
}

static void retries_bring_a_call_through_a_lost_connection(void **state)
{
    struct sio_simple_options o = {.client = {.retries = 5, .ack_timeout_ms = 5000},
                                   .timeout_ms = 10000};
    struct sio_simple *s = dial(*state, &o);
    struct sio_event *answer;

    /* Each try is cut off; what stands behind it goes through. */
    assert_int_equal(call(s, "cut", 10000, &answer), SIO_ERR_CLOSED);
    assert_int_equal(call(s, "echo", 10000, &answer), SIO_OK);
    sio_simple_disconnect(s);
}

static void *talk(void *user)
{
    struct sio_simple_options o = {.timeout_ms = 20000};
    struct sio_simple *s = dial(user, &o);
    struct sio_event *answer;
    intptr_t n = 0;

    for (int i = 0; i < 50; i++)
        n += call(s, "echo", 0, &answer) == SIO_OK;
    sio_simple_disconnect(s);
    return (void *)n;
}

static void each_thread_may_have_its_own(void **state)
{
    pthread_t threads[4];

    for (int i = 0; i < 4; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, talk, *state), 0);
    for (int i = 0; i < 4; i++) {
        void *n;

        pthread_join(threads[i], &n);
        assert_int_equal((intptr_t)n, 50);
    }
}

int main(void)
{
    struct CMUnitTest tests[] = {
        cmocka_unit_test(events_go_out_and_come_in),
        cmocka_unit_test(a_call_returns_the_answer_or_the_end_of_its_time),
        cmocka_unit_test(what_the_server_asks_is_answered),
        cmocka_unit_test(what_is_not_taken_is_bounded),
        cmocka_unit_test(a_lost_connection_comes_back_by_itself),
        cmocka_unit_test(a_disconnect_of_the_server_is_the_end),
        cmocka_unit_test(who_cannot_connect_is_told_why),
        cmocka_unit_test(retries_bring_a_call_through_a_lost_connection),
        cmocka_unit_test(each_thread_may_have_its_own),
    };
    struct server v;
    int rv;

    alarm(120); /* a wait without an end */
    start_server(&v);
    for (size_t i = 0; i < sizeof(tests) / sizeof(tests[0]); i++)
        tests[i].initial_state = &v;
    rv = cmocka_run_group_tests(tests, NULL, NULL);
    stop_server(&v);
    return rv;
}
