#include <config.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "alloc_fail.h"
#include "base/list.h"
#include "fake_eio.h"
#include "socketio/ack.h"
#include "socketio/client_conn.h"
#include "socketio/server.h"
#include "socketio/socket.h"

/* A server with the namespaces "/" and "/x" that writes down what it is told. */
struct world {
    struct net_loop *loop;
    struct sio_server *server;
    struct sio_namespace *ns;
    struct sio_namespace *x;
    char log[4096]; /* "connect(auth) event(args) disconnect(reason) ack(status)" */
    struct sio_socket *last;
    struct sio_ack *taken;
    const char *refusal;
    void (*in_event)(struct world *w, struct sio_socket *s, struct sio_event *e);
    void (*in_disconnect)(struct world *w, struct sio_socket *s);
};

static void note(struct world *w, const char *what, struct sio_str arg)
{
    size_t n = strlen(w->log);

    snprintf(w->log + n, sizeof(w->log) - n, "%s%s(%.*s)", n ? " " : "", what,
             (int)arg.len, arg.ptr ? arg.ptr : "");
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
    struct sio_message *m = sio_message_new("too early");

    (void)auth;
    assert_int_equal(sio_socket_emit(s, m), SIO_ERR_CLOSED);
    assert_int_equal(sio_socket_join(s, SIO_STR("room")), SIO_ERR_CLOSED);
    sio_message_free(m);
    if (w->refusal)
        *data = SIO_STR("{\"code\":1}");
    return w->refusal;
}

static void on_connect(struct sio_socket *s, struct sio_str auth, void *user)
{
    struct world *w = user;
    struct sio_message *m = sio_message_new("hello");

    note(w, "connect", auth);
    w->last = s;
    sio_socket_emit(s, m);
    sio_message_free(m);
}

static void on_disconnect(struct sio_socket *s, enum sio_disconnect_reason reason,
                          void *user)
{
    struct world *w = user;
    struct sio_message *m = sio_message_new("too late");

    assert_int_equal(sio_socket_emit(s, m), SIO_ERR_CLOSED);
    assert_true(sio_socket_join(s, SIO_STR("other")) == SIO_ERR_CLOSED);
    sio_message_free(m);
    note(w, "disconnect", sio_str_from(sio_disconnect_reason_text(reason)));
    if (w->in_disconnect)
        w->in_disconnect(w, s);
}

static void on_event(struct sio_socket *s, struct sio_event *e, void *user)
{
    struct world *w = user;

    note(w, "event", sio_event_name(e));
    if (w->in_event)
        w->in_event(w, s, e);
}

static const struct sio_namespace_ops ops = {on_join, on_connect, on_disconnect,
                                             on_event};

static void world_open(struct world *w, const struct sio_server_options *opts)
{
    static const struct sio_server_options none;

    memset(w, 0, sizeof(*w));
    w->loop = net_loop_new(NULL, NULL);
    w->server = sio_server_new(w->loop, opts ? opts : &none, NULL);
    w->ns = sio_server_namespace(w->server, "/", &ops, w);
    w->x = sio_server_namespace(w->server, "/x", &ops, w);
    assert_non_null(w->ns);
    assert_non_null(w->x);
}

static void world_close(struct world *w)
{
    sio_server_free(w->server);
    net_loop_run_once(w->loop, 0);
    net_loop_free(w->loop);
    fake_reset();
}

static struct eio_session *open_session(struct world *w)
{
    return fake_open(sio_server_engine(w->server));
}

/*
 * A client in "/"; its socket in *s (NULL allowed).  What it was sent so far is read.
 */
static struct eio_session *join(struct world *w, struct sio_socket **s)
{
    struct eio_session *session = open_session(w);

    fake_text(session, "0");
    fake_sent(session);
    w->log[0] = '\0';
    if (s)
        *s = w->last;
    return session;
}

static void welcomes_before_anything_is_emitted(void **state)
{
    struct eio_session *s;
    const char *sent;
    struct world w;

    (void)state;
    world_open(&w, NULL);
    s = open_session(&w);
    assert_string_equal(fake_sent(s), "");
    fake_text(s, "0{\"token\":1}");
    sent = fake_sent(s);
    assert_int_equal(strncmp(sent, "0{\"sid\":\"", 9), 0);
    assert_string_equal(sent + 9 + 20, "\"}|2[\"hello\"]");
    assert_memory_equal(sent + 9, sio_socket_id(w.last).ptr, 20);
    expect_log(&w, "connect({\"token\":1})");

    fake_text(s, "0/x");
    sent = fake_sent(s);
    assert_int_equal(strncmp(sent, "0/x,{\"sid\":\"", 12), 0);
    assert_string_equal(sent + 12 + 20, "\"}|2/x,[\"hello\"]");
    expect_log(&w, "connect()");
    assert_int_equal(sio_namespace_n_sockets(w.ns), 1);
    assert_int_equal(sio_namespace_n_sockets(w.x), 1);
    world_close(&w);
}

static void refuses_without_ending_the_connection(void **state)
{
    struct eio_session *s;
    struct world w;

    (void)state;
    world_open(&w, NULL);
    s = open_session(&w);
    fake_text(s, "0/nowhere,{}");
    assert_string_equal(fake_sent(s), "4/nowhere,{\"message\":\"Invalid namespace\"}");
    w.refusal = "no \"entry\"";
    fake_text(s, "0/x,{}");
    assert_string_equal(fake_sent(s),
                        "4/x,{\"message\":\"no \\\"entry\\\"\",\"data\":{\"code\":1}}");
    expect_log(&w, "");
    assert_int_equal(sio_namespace_n_sockets(w.x), 0);
    w.refusal = NULL;
    fake_text(s, "0/x,{}");
    expect_log(&w, "connect({})");
    world_close(&w);
}

static void closes_who_joins_nothing_in_time(void **state)
{
    struct sio_server_options opts = {.connect_timeout_ms = 1};
    struct eio_session *late, *in_time;
    struct world w;

    (void)state;
    world_open(&w, &opts);
    late = open_session(&w);
    in_time = join(&w, NULL);
    fake_text(late, "0/nowhere");
    while (fake_closed(late) < 0)
        net_loop_run_once(w.loop, -1);
    assert_int_equal(fake_closed(late), EIO_CLOSE_FORCED);
    assert_int_equal(fake_closed(in_time), -1);
    world_close(&w);
}

static void closes_the_whole_connection_on_a_violation(void **state)
{
    static const char *const bad[] = {
        "",
        "7",
        "x",
        "2",
        "2[",
        "2{}",
        "2[]",
        "2[null]",
        "2[\"connect\"]",
        "0",
        "0[]",
        "1{}",
        "4{\"message\":\"x\"}",
        "2/y,[\"a\"]",
        "3/y,1[]",
        "1/y",
        "3{}",
        "51-/y,[\"a\"]",
        "511-[\"a\"]",
        "51-[\"a\",{\"_placeholder\":true,\"num\":1}]",
        "5[\"a\"]",
    };
    struct eio_session *other;
    struct world w;

    (void)state;
    world_open(&w, NULL);
    other = join(&w, NULL);
    for (size_t i = 0; i < N_ELEMENTS(bad); i++) {
        struct eio_session *s = join(&w, NULL);

        fake_text(s, "0/x");
        fake_sent(s);
        w.log[0] = '\0';
        fake_text(s, bad[i]);
        if (fake_closed(s) != EIO_CLOSE_FORCED)
            fail_msg("not closed by: %s", bad[i]);
        assert_string_equal(fake_sent(s), "");
        expect_log(&w, "disconnect(forced close) disconnect(forced close)");
        net_loop_run_once(w.loop, 0);
    }
    fake_text(other, "2[\"still\"]");
    expect_log(&w, "event(still)");
    world_close(&w);
}

static void closes_on_attachments_out_of_place(void **state)
{
    struct sio_server_options opts = {.max_binary_bytes = 40};
    struct eio_session *s;
    struct world w;

    (void)state;
    world_open(&w, &opts);
    s = join(&w, NULL);
    fake_binary(s, "x", 1);
    assert_int_equal(fake_closed(s), EIO_CLOSE_FORCED);

    s = join(&w, NULL);
    fake_text(s, "52-[\"a\"]");
    fake_binary(s, "x", 1);
    fake_text(s, "2[\"a\"]");
    assert_int_equal(fake_closed(s), EIO_CLOSE_FORCED);

    s = join(&w, NULL);
    fake_text(s, "51-[\"a\"]");
    fake_binary(s, "0123456789012345678901234567890123456789", 40);
    assert_int_equal(fake_closed(s), EIO_CLOSE_FORCED);

    s = join(&w, NULL);
    w.log[0] = '\0';
    fake_text(s, "50-[\"a\"]");
    fake_text(s, "2[\"b\"]");
    fake_text(s, "51-[\"c\"]");
    fake_binary(s, "x", 1);
    expect_log(&w, "event(a) event(b) event(c)");
    world_close(&w);
}

static void tells_why_a_socket_ended(void **state)
{
    static const struct {
        enum eio_close_reason reason;
        const char *text;
    } cases[] = {
        {EIO_CLOSE_TRANSPORT_CLOSE, "disconnect(transport close)"},
        {EIO_CLOSE_TRANSPORT_ERROR, "disconnect(transport error)"},
        {EIO_CLOSE_PARSE_ERROR, "disconnect(parse error)"},
        {EIO_CLOSE_PING_TIMEOUT, "disconnect(ping timeout)"},
        {EIO_CLOSE_SHUTDOWN, "disconnect(server shutting down)"},
    };
    struct sio_socket *socket;
    struct eio_session *s;
    struct world w;

    (void)state;
    world_open(&w, NULL);
    for (size_t i = 0; i < N_ELEMENTS(cases); i++) {
        fake_close(join(&w, NULL), cases[i].reason);
        expect_log(&w, cases[i].text);
    }
    s = join(&w, NULL);
    fake_text(s, "1");
    expect_log(&w, "disconnect(client namespace disconnect)");
    assert_int_equal(fake_closed(s), -1);
    fake_text(s, "0");
    assert_int_equal(fake_closed(s), -1);
    expect_log(&w, "connect()");

    s = join(&w, &socket);
    sio_socket_disconnect(socket, false);
    expect_log(&w, "disconnect(server namespace disconnect)");
    assert_string_equal(fake_sent(s), "1");
    assert_int_equal(fake_closed(s), -1);

    s = join(&w, &socket);
    sio_socket_disconnect(socket, true);
    expect_log(&w, "disconnect(forced server close)");
    assert_string_equal(fake_sent(s), "1");
    assert_int_equal(fake_closed(s), EIO_CLOSE_FORCED);
    assert_false(fake_was_cut(s));

    s = join(&w, &socket);
    sio_socket_abort(socket);
    expect_log(&w, "disconnect(forced server close)");
    assert_true(fake_was_cut(s));
    world_close(&w);
}

static void count_up(void *data)
{
    (*(int *)data)++;
}

static void data_is_there(struct world *w, struct sio_socket *s)
{
    (void)w;
    assert_int_equal(*(int *)sio_socket_data(s), 0);
}

static void destroys_the_data_of_a_socket_once(void **state)
{
    int first = 0, second = 0;
    struct sio_socket *socket;
    struct eio_session *s;
    struct world w;

    (void)state;
    world_open(&w, NULL);
    s = join(&w, &socket);
    assert_null(sio_socket_data(socket));
    sio_socket_set_data(socket, &first, count_up);
    sio_socket_set_data(socket, &first, count_up);
    assert_int_equal(first, 0);
    sio_socket_set_data(socket, &second, count_up);
    assert_int_equal(first, 1);
    w.in_disconnect = data_is_there;
    fake_close(s, EIO_CLOSE_TRANSPORT_CLOSE);
    assert_int_equal(first, 1);
    assert_int_equal(second, 1);

    join(&w, &socket);
    sio_socket_set_data(socket, &first, NULL);
    w.in_disconnect = NULL;
    world_close(&w);
    assert_int_equal(first, 1);
}

static void answer_with_arguments(struct world *w, struct sio_socket *s,
                                  struct sio_event *e)
{
    struct sio_message *m = sio_message_new("");

    (void)w;
    (void)s;
    assert_true(sio_event_wants_ack(e));
    sio_message_add_event(m, e, 0);
    assert_int_equal(sio_event_ack(e, m), SIO_OK);
    assert_false(sio_event_wants_ack(e));
    assert_int_equal(sio_event_ack(e, m), SIO_ERR_INVAL);
    assert_null(sio_event_take_ack(e));
    sio_message_free(m);
}

static void take_ack(struct world *w, struct sio_socket *s, struct sio_event *e)
{
    (void)s;
    w->taken = sio_event_take_ack(e);
}

static void answers_acks_once_now_or_later(void **state)
{
    struct eio_session *s;
    struct world w;

    (void)state;
    world_open(&w, NULL);
    s = join(&w, NULL);
    w.in_event = answer_with_arguments;
    fake_text(s, "212[\"a\",1,{\"b\":2}]");
    assert_string_equal(fake_sent(s), "312[1,{\"b\":2}]");
    fake_text(s, "51-0[\"a\",{\"_placeholder\":true,\"num\":0}]");
    fake_binary(s, "xyz", 3);
    assert_string_equal(fake_sent(s),
                        "61-0[{\"_placeholder\":true,\"num\":0}]|<3 bytes>");

    w.in_event = take_ack;
    fake_text(s, "27[\"a\"]");
    assert_string_equal(fake_sent(s), "");
    assert_int_equal(sio_ack_send(w.taken, NULL), SIO_OK);
    assert_string_equal(fake_sent(s), "37[]");
    fake_text(s, "2[\"a\"]");
    assert_null(w.taken);
    world_close(&w);
}

static void take_ack_of_an_ended_socket(struct world *w, struct sio_socket *s,
                                        struct sio_event *e)
{
    sio_socket_disconnect(s, true);
    w->taken = sio_event_take_ack(e);
}

static void a_taken_ack_outlives_its_socket(void **state)
{
    struct eio_session *s;
    struct world w;

    (void)state;
    world_open(&w, NULL);
    w.in_event = take_ack;
    s = join(&w, NULL);
    fake_text(s, "27[\"a\"]");
    fake_close(s, EIO_CLOSE_TRANSPORT_CLOSE);
    net_loop_run_once(w.loop, 0);
    assert_int_equal(sio_ack_send(w.taken, NULL), SIO_ERR_CLOSED);

    w.in_event = take_ack_of_an_ended_socket;
    fake_text(join(&w, NULL), "27[\"a\"]");
    net_loop_run_once(w.loop, 0);
    assert_int_equal(sio_ack_send(w.taken, NULL), SIO_ERR_CLOSED);

    w.in_event = take_ack;
    fake_text(join(&w, NULL), "27[\"a\"]");
    sio_ack_free(w.taken);
    sio_ack_free(NULL);
    world_close(&w);
}

static void bounds_the_acks_that_are_taken(void **state)
{
    static struct sio_ack *taken[SIO_ACKS_MAX];
    struct eio_session *s;
    struct world w;

    (void)state;
    world_open(&w, NULL);
    w.in_event = take_ack;
    s = join(&w, NULL);
    for (size_t i = 0; i < SIO_ACKS_MAX; i++) {
        fake_text(s, "27[\"a\"]");
        taken[i] = w.taken;
        assert_non_null(taken[i]);
        w.log[0] = '\0';
    }
    fake_text(s, "27[\"a\"]");
    assert_null(w.taken);
    assert_int_equal(sio_ack_send(taken[0], NULL), SIO_OK);
    fake_text(s, "27[\"a\"]");
    assert_non_null(w.taken);
    sio_ack_free(w.taken);
    for (size_t i = 1; i < SIO_ACKS_MAX; i++)
        sio_ack_free(taken[i]);
    world_close(&w);
}

static void on_answer(int status, struct sio_event *e, void *user)
{
    struct world *w = user;
    char text[16];

    snprintf(text, sizeof(text), "%d", status);
    note(w, "ack", e ? sio_event_arg(e, 0) : sio_str_from(text));
}

static void ask(struct world *w, struct sio_socket *s, uint32_t timeout_ms)
{
    struct sio_message *m = sio_message_new("q");

    assert_int_equal(sio_socket_emit_ack(s, m, timeout_ms, on_answer, w), SIO_OK);
    sio_message_free(m);
}

static void is_answered_exactly_once(void **state)
{
    struct sio_socket *socket;
    struct eio_session *s;
    struct world w;

    (void)state;
    world_open(&w, NULL);
    s = join(&w, &socket);
    ask(&w, socket, 0);
    ask(&w, socket, 0);
    ask(&w, socket, 1);
    ask(&w, socket, 100000);
    assert_string_equal(fake_sent(s), "20[\"q\"]|21[\"q\"]|22[\"q\"]|23[\"q\"]");
    fake_text(s, "31[\"yes\"]");
    expect_log(&w, "ack(\"yes\")");
    fake_text(s, "31[\"again\"]");
    fake_text(s, "399[\"never asked\"]");
    fake_text(s, "3[\"no id\"]");
    expect_log(&w, "");
    while (!w.log[0])
        net_loop_run_once(w.loop, -1);
    expect_log(&w, "ack(-7)"); /* the one with 1 ms */
    fake_text(s, "32[\"late\"]");
    expect_log(&w, "");
    fake_close(s, EIO_CLOSE_TRANSPORT_CLOSE);
    expect_log(&w, "ack(-6) ack(-6) disconnect(transport close)");
    assert_int_equal(fake_closed(s), EIO_CLOSE_TRANSPORT_CLOSE);
    world_close(&w);
}

static void bounds_the_answers_that_are_awaited(void **state)
{
    struct sio_message *m = sio_message_new("q");
    struct sio_socket *socket;
    struct world w;

    (void)state;
    world_open(&w, NULL);
    join(&w, &socket);
    for (int i = 0; i < SIO_ACKS_MAX; i++)
        assert_int_equal(sio_socket_emit_ack(socket, m, 0, on_answer, &w), SIO_OK);
    assert_int_equal(sio_socket_emit_ack(socket, m, 0, on_answer, &w), SIO_ERR_FULL);
    sio_message_free(m);
    world_close(&w);
}

static struct sio_str rooms(const char *name)
{
    return sio_str_from(name);
}

static int emit_to(struct world *w, const struct sio_target *target)
{
    struct sio_message *m = sio_message_new("m");
    int n = sio_namespace_emit(w->ns, target, m);

    sio_message_free(m);
    return n;
}

static void reaches_each_member_of_a_target_once(void **state)
{
    struct eio_session *s[4];
    struct sio_socket *socket[4];
    struct sio_str to[3] = {rooms("a"), rooms("b"), rooms("nobody")};
    struct sio_str except[2] = {rooms("b"), rooms("nobody")};
    struct sio_target all = {0};
    struct sio_target both = {.rooms = to, .n_rooms = 3};
    struct sio_target only_a = {
        .rooms = to, .n_rooms = 1, .except = except, .n_except = 2};
    struct world w;

    (void)state;
    world_open(&w, NULL);
    for (int i = 0; i < 4; i++)
        s[i] = join(&w, &socket[i]);
    sio_socket_join(socket[0], rooms("a"));
    sio_socket_join(socket[0], rooms("a"));
    sio_socket_join(socket[1], rooms("a"));
    sio_socket_join(socket[1], rooms("b"));
    sio_socket_join(socket[2], rooms("b"));
    assert_int_equal(sio_namespace_room_size(w.ns, rooms("a")), 2);

    assert_int_equal(emit_to(&w, NULL), 4);
    assert_int_equal(emit_to(&w, &all), 4);
    assert_int_equal(emit_to(&w, &both), 3);
    assert_int_equal(emit_to(&w, &only_a), 1);
    both.except_socket = socket[1];
    assert_int_equal(emit_to(&w, &both), 2);
    both.except_socket = NULL;
    to[2] = sio_socket_id(socket[3]);
    assert_int_equal(emit_to(&w, &both), 4);
    except[0] = sio_socket_id(socket[0]);
    both.except = except;
    both.n_except = 1;
    assert_int_equal(emit_to(&w, &both), 3);
    assert_string_equal(fake_sent(s[0]),
                        "2[\"m\"]|2[\"m\"]|2[\"m\"]|2[\"m\"]|2[\"m\"]|2[\"m\"]");
    assert_string_equal(fake_sent(s[3]), "2[\"m\"]|2[\"m\"]|2[\"m\"]|2[\"m\"]");

    fake_close(s[1], EIO_CLOSE_TRANSPORT_CLOSE);
    assert_int_equal(sio_namespace_room_size(w.ns, rooms("a")), 1);
    sio_socket_leave(socket[0], rooms("a"));
    sio_socket_leave(socket[0], rooms("a"));
    sio_socket_leave(socket[0], rooms("nobody"));
    assert_int_equal(sio_namespace_room_size(w.ns, rooms("a")), 0);
    world_close(&w);
}

static void knows_the_rooms_of_a_socket(void **state)
{
    struct sio_str names[3];
    struct sio_socket *a, *b;
    struct world w;

    (void)state;
    world_open(&w, NULL);
    join(&w, &a);
    join(&w, &b);
    assert_true(sio_socket_in(a, sio_socket_id(a)));
    assert_false(sio_socket_in(a, sio_socket_id(b)));
    sio_socket_join(a, sio_socket_id(b)); /* a room like any other */
    sio_socket_join(a, sio_socket_id(a));
    sio_socket_join(a, rooms("r"));
    assert_int_equal(sio_socket_rooms(a, names, 3), 3);
    assert_memory_equal(names[0].ptr, sio_socket_id(a).ptr, 20);
    assert_memory_equal(names[1].ptr, sio_socket_id(b).ptr, 20);
    assert_memory_equal(names[2].ptr, "r", 1);
    assert_int_equal(sio_socket_rooms(a, NULL, 0), 3);
    assert_int_equal(sio_namespace_room_size(w.ns, sio_socket_id(b)), 2);
    sio_socket_leave(a, sio_socket_id(a));
    assert_true(sio_socket_in(a, sio_socket_id(a)));
    world_close(&w);
}

static void disconnect_all(struct world *w, struct sio_socket *s, struct sio_event *e);

static bool disconnect_one(struct sio_socket *s, void *user)
{
    int *n = user;

    ++*n;
    sio_socket_disconnect(s, *n % 2 == 0);
    return true;
}

/* Everybody goes while a handler of one of them runs, over and over. */
static void disconnect_all(struct world *w, struct sio_socket *s, struct sio_event *e)
{
    int n = 0;

    sio_namespace_each(w->ns, disconnect_one, &n);
    assert_int_equal(n, 5);
    assert_int_equal(sio_namespace_n_sockets(w->ns), 0);
    /* The event and the socket that the handler got are still there. */
    assert_memory_equal(sio_event_name(e).ptr, "go", 2);
    assert_int_equal(sio_event_ack(e, NULL), SIO_ERR_CLOSED);
    assert_int_equal(sio_socket_id(s).len, 20);
    assert_int_equal(emit_to(w, NULL), 0);
}

static void a_handler_may_disconnect_everybody(void **state)
{
    struct eio_session *s = NULL;
    struct world w;

    (void)state;
    world_open(&w, NULL);
    w.in_event = disconnect_all;
    for (int i = 0; i < 5; i++)
        s = join(&w, NULL);
    fake_text(s, "21[\"go\"]");
    net_loop_run_once(w.loop, 0);
    world_close(&w);
}

static bool end_first_of_room(struct sio_socket *s, void *user)
{
    sio_socket_disconnect(user, false);
    sio_socket_leave(s, SIO_STR("r"));
    return true;
}

static bool count_one(struct sio_socket *s, void *user)
{
    (void)s;
    ++*(int *)user;
    return *(int *)user < 2;
}

static void a_walk_passes_over_who_has_gone(void **state)
{
    struct sio_str r = SIO_STR("r");
    struct sio_target target = {.rooms = &r, .n_rooms = 1};
    struct sio_socket *socket[3];
    struct world w;
    int n = 0;

    (void)state;
    world_open(&w, NULL);
    for (int i = 0; i < 3; i++) {
        join(&w, &socket[i]);
        sio_socket_join(socket[i], r);
    }
    assert_int_equal(sio_namespace_each_of(w.ns, &target, count_one, &n), SIO_OK);
    assert_int_equal(n, 2);
    sio_namespace_each_of(w.ns, &target, end_first_of_room, socket[1]);
    assert_int_equal(sio_namespace_room_size(w.ns, r), 0);
    assert_int_equal(sio_namespace_n_sockets(w.ns), 2);
    world_close(&w);
}

static void disconnect_the_others(struct world *w, struct sio_socket *s)
{
    int n = 0;

    (void)s;
    sio_namespace_each(w->ns, disconnect_one, &n);
}

/*
 * A receiver's connection ends while a broadcast is on its way; its handler runs
 * after it.
 */
static void a_broadcast_calls_no_handler(void **state)
{
    struct eio_session *s[3];
    struct world w;

    (void)state;
    world_open(&w, NULL);
    for (int i = 0; i < 3; i++)
        s[i] = join(&w, NULL);
    fake_fail_send(s[1]);
    w.in_disconnect = disconnect_the_others;
    assert_int_equal(emit_to(&w, NULL), 2);
    expect_log(&w, "");
    net_loop_run_once(w.loop, 0);
    w.in_disconnect = NULL;
    assert_int_equal(strncmp(w.log, "disconnect(transport error) disconnect(", 39), 0);
    assert_int_equal(sio_namespace_n_sockets(w.ns), 0);
    world_close(&w);
}

static void own_handler(struct sio_socket *s, struct sio_event *e, void *user)
{
    (void)s;
    note(user, "own", sio_event_name(e));
}

static void finds_the_handler_of_an_event(void **state)
{
    struct eio_session *s;
    struct world w;

    (void)state;
    world_open(&w, NULL);
    assert_int_equal(sio_namespace_on(w.ns, "mine", own_handler, NULL), SIO_OK);
    assert_int_equal(sio_namespace_on(w.ns, "mine", own_handler, &w), SIO_OK);
    assert_int_equal(sio_namespace_on(w.ns, "disconnect", own_handler, &w),
                     SIO_ERR_INVAL);
    s = join(&w, NULL);
    fake_text(s, "2[\"mine\"]");
    fake_text(s, "2[\"m\\u0069ne\"]");
    fake_text(s, "2[\"mine\\u0000\"]");
    fake_text(s, "2[5]");
    assert_int_equal(strncmp(w.log, "own(mine) own(mine) event(mine", 30), 0);
    assert_null(sio_server_namespace(w.server, "x", &ops, &w));
    assert_null(sio_server_namespace(w.server, "/x,y", &ops, &w));
    assert_null(sio_server_namespace(w.server, "/x", &ops, &w));
    assert_ptr_equal(sio_server_find(w.server, SIO_STR("/x")), w.x);
    world_close(&w);
}

static void bounds_the_namespaces_of_a_client(void **state)
{
    struct sio_server_options opts = {.max_namespaces = 1};
    struct eio_session *s;
    struct world w;

    (void)state;
    world_open(&w, &opts);
    s = join(&w, NULL);
    fake_text(s, "0/x");
    assert_string_equal(fake_sent(s), "4/x,{\"message\":\"Too many namespaces\"}");
    world_close(&w);
}

static void close_own(struct world *w, struct sio_socket *s, struct sio_event *e)
{
    (void)w;
    (void)e;
    sio_socket_disconnect(s, true);
}

static void a_handler_may_close_while_attachments_are_held(void **state)
{
    struct eio_session *s;
    struct world w;

    (void)state;
    world_open(&w, NULL);
    w.in_event = close_own;
    s = join(&w, NULL);
    fake_text(s, "51-[\"a\"]");
    fake_binary(s, "x", 1);
    assert_int_equal(fake_closed(s), EIO_CLOSE_FORCED);

    s = join(&w, NULL);
    fake_text(s, "52-[\"a\"]");
    fake_binary(s, "x", 1);
    fake_close(s, EIO_CLOSE_TRANSPORT_CLOSE);
    world_close(&w);
}

/* An idle client must stay cheap; the figure of the design is 500 bytes. */
static void an_idle_client_is_small(void **state)
{
    (void)state;
    assert_true(sizeof(struct sio_conn) + sizeof(struct sio_socket) < 450);
}

/*
 * A client's life with the n-th allocation failing: it may lose its connection,
 * nothing else.
 */
static void live(struct world *w)
{
    struct sio_socket *socket = NULL;
    struct eio_session *s;
    struct sio_str room = SIO_STR("room");
    struct sio_target target = {.rooms = &room, .n_rooms = 1};

    w->last = NULL;
    s = fake_open(sio_server_engine(w->server));
    if (!s)
        return;
    fake_text(s, "0");
    socket = w->last;
    if (socket && fake_closed(s) < 0) {
        struct sio_message *m = sio_message_new("m");

        sio_socket_join(socket, room);
        if (m) {
            sio_socket_emit_ack(socket, m, 1000, on_answer, w);
            sio_namespace_emit(w->ns, &target, m);
        }
        sio_message_free(m);
        fake_text(s, "51-7[\"a\\u0062\",{\"_placeholder\":true,\"num\":0}]");
        fake_binary(s, "x", 1);
    }
    fake_close(s, EIO_CLOSE_TRANSPORT_CLOSE);
}

static void quiet_connect(struct sio_socket *s, struct sio_str auth, void *user)
{
    (void)auth;
    ((struct world *)user)->last = s;
}

static void quiet_event(struct sio_socket *s, struct sio_event *e, void *user)
{
    struct sio_message *m = sio_message_new("m");
    struct sio_ack *ack = sio_event_take_ack(e);

    (void)s;
    (void)user;
    if (m)
        sio_message_add_event(m, e, 0);
    (void)sio_event_json(e, 0);
    if (ack)
        sio_ack_send(ack, m);
    sio_message_free(m);
}

static const struct sio_namespace_ops quiet_ops = {NULL, quiet_connect, NULL,
                                                   quiet_event};

static void lives_on_without_memory(void **state)
{
    (void)state;
    alloc_fail_each(n)
    {
        struct world w = {0};

        alloc_fail_at(0);
        w.loop = net_loop_new(NULL, NULL);
        alloc_fail_at(n);
        w.server = sio_server_new(w.loop, &(struct sio_server_options){0}, NULL);
        if (w.server)
            w.ns = sio_server_namespace(w.server, "/", &quiet_ops, &w);
        if (w.ns && sio_namespace_on(w.ns, "ab", quiet_event, &w) == SIO_OK)
            live(&w);
        sio_server_free(w.server);
        net_loop_run_once(w.loop, 0);
        net_loop_free(w.loop);
        fake_reset();
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(welcomes_before_anything_is_emitted),
        cmocka_unit_test(refuses_without_ending_the_connection),
        cmocka_unit_test(closes_who_joins_nothing_in_time),
        cmocka_unit_test(closes_the_whole_connection_on_a_violation),
        cmocka_unit_test(closes_on_attachments_out_of_place),
        cmocka_unit_test(tells_why_a_socket_ended),
        cmocka_unit_test(destroys_the_data_of_a_socket_once),
        cmocka_unit_test(answers_acks_once_now_or_later),
        cmocka_unit_test(a_taken_ack_outlives_its_socket),
        cmocka_unit_test(bounds_the_acks_that_are_taken),
        cmocka_unit_test(is_answered_exactly_once),
        cmocka_unit_test(bounds_the_answers_that_are_awaited),
        cmocka_unit_test(reaches_each_member_of_a_target_once),
        cmocka_unit_test(knows_the_rooms_of_a_socket),
        cmocka_unit_test(a_handler_may_disconnect_everybody),
        cmocka_unit_test(a_walk_passes_over_who_has_gone),
        cmocka_unit_test(a_broadcast_calls_no_handler),
        cmocka_unit_test(finds_the_handler_of_an_event),
        cmocka_unit_test(bounds_the_namespaces_of_a_client),
        cmocka_unit_test(a_handler_may_close_while_attachments_are_held),
        cmocka_unit_test(an_idle_client_is_small),
        cmocka_unit_test(lives_on_without_memory),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
