/*
 * Calls that concern many sockets: answers collected, lists, moves, side emits.  Of one
 * server alone, and of two that an adapter of the test's connects.
 */
#include <config.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "alloc_fail.h"
#include "base/mem.h"
#include "sio_world.h"
#include "socketio/ack.h"
#include "socketio/message.h"
#include "socketio/namespace.h"
#include "socketio/readback.h"
#include "socketio/rooms.h"
#include "socketio/server.h"

/* An adapter that calls the same namespace of another server. */
struct pair {
    struct sio_rooms rooms;
    struct pairs *all;
    struct pair *other;             /* NULL: nobody is there */
    struct sio_answers *unanswered; /* a part that is never ended but by free */
    struct sio_fetch *unfetched;
    struct asking *asking; /* what the other's sockets are being asked */
};

struct asking {
    struct pair *pair; /* NULL: it was freed */
    struct sio_answers *answers;
};

struct pairs {
    struct pair *made[8];
    size_t n;
    bool deaf; /* the other server never answers */
};

static struct pair *pair_of(struct sio_adapter *a)
{
    return container_of(container_of(a, struct sio_rooms, base), struct pair, rooms);
}

static struct sio_target here(const struct sio_target *target)
{
    static const struct sio_target all;
    struct sio_target local = target ? *target : all;

    local.local = true;
    local.except_socket = NULL;
    return local;
}

static void pair_free(struct sio_adapter *a)
{
    struct pair *p = pair_of(a);

    if (p->unanswered)
        sio_answers_end(p->unanswered, SIO_ERR_CLOSED);
    if (p->asking) {
        sio_answers_end(p->asking->answers, SIO_ERR_CLOSED);
        p->asking->pair = NULL;
    }
    if (p->unfetched)
        sio_fetch_end(p->unfetched, SIO_ERR_CLOSED);
    if (p->other)
        p->other->other = NULL;
    for (size_t i = 0; i < p->all->n; i++)
        if (p->all->made[i] == p)
            p->all->made[i] = NULL;
    sio_rooms_fini(&p->rooms);
    mem_free(p);
}

static int pair_broadcast(struct sio_adapter *a, const struct sio_target *target,
                          struct sio_message *m)
{
    struct pair *p = pair_of(a);
    struct sio_target local = here(target);

    if (p->other && !(target && target->local))
        sio_namespace_emit(p->other->rooms.base.ns, &local, m);
    return sio_rooms_broadcast(a, target, m);
}

static int pair_join(struct sio_adapter *a, const struct sio_target *target,
                     const struct sio_str *rooms, size_t n)
{
    struct pair *p = pair_of(a);
    struct sio_target local = here(target);

    return sio_namespace_join_all(p->other->rooms.base.ns, &local, rooms, n);
}

static int pair_leave(struct sio_adapter *a, const struct sio_target *target,
                      const struct sio_str *rooms, size_t n)
{
    struct pair *p = pair_of(a);
    struct sio_target local = here(target);

    return sio_namespace_leave_all(p->other->rooms.base.ns, &local, rooms, n);
}

static int pair_disconnect(struct sio_adapter *a, const struct sio_target *target,
                           bool close)
{
    struct pair *p = pair_of(a);
    struct sio_target local = here(target);

    return sio_namespace_disconnect_all(p->other->rooms.base.ns, &local, close);
}

static void on_asked(int status, const struct sio_answers *answers, void *user)
{
    struct asking *q = user;

    for (size_t i = 0; q->pair && i < sio_answers_n(answers); i++)
        sio_answers_add(q->answers, sio_answers_id(answers, i),
                        sio_answers_status(answers, i), sio_answers_event(answers, i));
    if (q->pair) {
        q->pair->asking = NULL;
        sio_answers_end(q->answers, status);
    }
    mem_free(q);
}

static int pair_ask(struct sio_adapter *a, const struct sio_target *target,
                    struct sio_message *m, uint32_t timeout_ms,
                    struct sio_answers *answers)
{
    struct pair *p = pair_of(a);
    struct sio_target local = here(target);
    struct asking *q;
    int rv;

    (void)timeout_ms;
    if (p->all->deaf) {
        sio_answers_begin(answers);
        p->unanswered = answers;
        return SIO_OK;
    }
    q = mem_new(struct asking);
    if (!q)
        return SIO_ERR_NOMEM;
    sio_answers_begin(answers);
    p->asking = q;
    q->pair = p;
    q->answers = answers;
    rv = sio_namespace_emit_ack(p->other->rooms.base.ns, &local, m, 0, on_asked, q);
    if (rv < 0) {
        p->asking = NULL;
        mem_free(q);
        sio_answers_end(answers, rv);
    }
    return SIO_OK;
}

static void on_fetched(int status, const struct sio_fetched *list, size_t n, void *user)
{
    for (size_t i = 0; i < n; i++)
        sio_fetch_add(user, &list[i]);
    sio_fetch_end(user, status);
}

static int pair_fetch(struct sio_adapter *a, const struct sio_target *target,
                      struct sio_fetch *fetch)
{
    struct pair *p = pair_of(a);
    struct sio_target local = here(target);
    int rv;

    sio_fetch_begin(fetch);
    if (p->all->deaf) {
        p->unfetched = fetch;
        return SIO_OK;
    }
    rv = sio_namespace_fetch(p->other->rooms.base.ns, &local, on_fetched, fetch);
    if (rv < 0)
        sio_fetch_end(fetch, rv);
    return SIO_OK;
}

/* A side emit on its way to the other server, and back. */
struct side {
    struct sio_replier replier;
    struct pair *to;
    struct sio_answers *answers;
};

static const struct sio_parser *side_parser(struct sio_replier *r)
{
    (void)r;
    return &sio_parser_json;
}

static struct sio_str side_nsp(struct sio_replier *r)
{
    (void)r;
    return SIO_STR("/");
}

static void on_side_answer(struct sio_event *e, void *user)
{
    sio_answers_add(user, SIO_STR("other"), SIO_OK, e);
}

static int side_send(struct sio_replier *r, struct eio_msg *msg)
{
    struct side *side = container_of(r, struct side, replier);

    return sio_readback(msg, &sio_parser_json, on_side_answer, side->answers);
}

static const struct sio_replier_ops side_ops = {side_send, side_nsp, side_parser};

static void on_side_event(struct sio_event *e, void *user)
{
    struct side *side = user;

    if (side->answers)
        e->replier = &side->replier;
    sio_namespace_side_receive(side->to->rooms.base.ns, e);
}

static int pair_side_emit(struct sio_adapter *a, struct sio_message *m,
                          uint32_t timeout_ms, struct sio_answers *answers)
{
    struct pair *p = pair_of(a);
    struct side side = {.to = p->other, .answers = answers};
    struct eio_msg *msg;
    int rv = sio_message_encode(m, &sio_parser_json, SIO_PACKET_EVENT, SIO_STR("/"),
                                answers != NULL, 1, &msg);

    (void)timeout_ms;
    if (rv < 0)
        return rv;
    sio_replier_init(&side.replier, &side_ops);
    if (answers)
        sio_answers_begin(answers);
    rv = sio_readback(msg, &sio_parser_json, on_side_event, &side);
    eio_msg_unref(msg);
    if (answers)
        sio_answers_end(answers, rv);
    return SIO_OK;
}

static const struct sio_adapter_ops pair_ops = {
    .free = pair_free,
    .join = sio_rooms_join,
    .leave = sio_rooms_leave,
    .leave_all = sio_rooms_leave_all,
    .in = sio_rooms_in,
    .room_size = sio_rooms_size,
    .broadcast = pair_broadcast,
    .sockets = sio_rooms_sockets,
    .rooms = sio_rooms_of_socket,
    .remote_join = pair_join,
    .remote_leave = pair_leave,
    .remote_disconnect = pair_disconnect,
    .remote_ask = pair_ask,
    .remote_fetch = pair_fetch,
    .remote_side_emit = pair_side_emit,
};

/* Connected to the first of the same name that is alone. */
static struct sio_adapter *make_pair(struct sio_namespace *ns, void *user)
{
    struct pairs *all = user;
    struct pair *p = mem_new(struct pair);

    if (!p)
        return NULL;
    sio_rooms_init(&p->rooms, &pair_ops, ns);
    p->all = all;
    for (size_t i = 0; i < all->n && !p->other; i++)
        if (all->made[i] && !all->made[i]->other) {
            p->other = all->made[i];
            p->other->other = p;
        }
    all->made[all->n++] = p;
    return &p->rooms.base;
}

/* One server, or two. */

struct two {
    struct pairs pairs;
    struct sio_world a;
    struct sio_world b;
};

static void two_open(struct two *t)
{
    struct sio_server_options opts = {.adapter = make_pair, .adapter_user = &t->pairs};

    memset(&t->pairs, 0, sizeof(t->pairs));
    sio_world_open(&t->a, &opts);
    sio_world_open(&t->b, &opts);
}

static void world_end(struct sio_world *w)
{
    sio_server_free(w->server);
    net_loop_run_once(w->loop, 0);
    net_loop_free(w->loop);
}

static void two_close(struct two *t)
{
    world_end(&t->a);
    world_end(&t->b);
    fake_reset();
}

/* Notes "answers(status) [id's last character or '-']:status:first argument ..." */
static void on_answers(int status, const struct sio_answers *answers, void *user)
{
    struct sio_world *w = user;
    char text[300];
    size_t len = 0;

    text[0] = '\0';
    for (size_t i = 0; i < sio_answers_n(answers); i++) {
        struct sio_event *e = sio_answers_event(answers, i);
        struct sio_str arg = e ? sio_event_arg(e, 0) : SIO_STR("-");

        assert_int_not_equal(sio_answers_id(answers, i).len, 0);
        assert_int_equal(e != NULL, sio_answers_status(answers, i) == SIO_OK);
        len += (size_t)snprintf(text + len, sizeof(text) - len, "%s%.*s",
                                i > 0 ? "," : "", (int)arg.len, arg.ptr);
    }
    assert_null(sio_answers_event(answers, sio_answers_n(answers)));
    assert_null(sio_answers_id(answers, sio_answers_n(answers)).ptr);
    sio_world_note(w,
                   status == SIO_OK            ? "all"
                   : status == SIO_ERR_TIMEOUT ? "timeout"
                   : status == SIO_ERR_CLOSED  ? "closed"
                                               : "error",
                   sio_str_from(text));
}

static void a_question_to_nobody_is_answered_at_once(void **state)
{
    struct sio_message *m = sio_message_new("q");
    struct sio_world w;

    (void)state;
    sio_world_open(&w, NULL);
    assert_int_equal(sio_namespace_emit_ack(w.ns, NULL, m, 10, on_answers, &w), SIO_OK);
    sio_world_expect(&w, "all()");
    assert_int_equal(sio_namespace_side_emit(w.ns, m, 10, on_answers, &w), SIO_OK);
    sio_world_expect(&w, "all()");
    assert_int_equal(sio_namespace_side_emit(w.ns, m, 10, NULL, NULL), SIO_OK);
    sio_message_free(m);
    sio_world_close(&w);
}

static void on_nothing(int status, struct sio_event *e, void *user)
{
    (void)status;
    (void)e;
    (void)user;
}

static void answers_are_collected_under_one_id(void **state)
{
    struct sio_message *m = sio_message_new("q");
    struct eio_session *a, *b;
    struct sio_socket *first;
    struct sio_world w;

    (void)state;
    sio_world_open(&w, NULL);
    a = sio_world_join(&w, "", &first);
    b = sio_world_join(&w, "", NULL);
    sio_socket_emit_ack(first, m, 0, on_nothing, NULL);
    assert_string_equal(fake_sent(a), "20[\"q\"]");
    assert_int_equal(sio_namespace_emit_ack(w.ns, NULL, m, 0, on_answers, &w), SIO_OK);
    assert_string_equal(fake_sent(a), "21[\"q\"]");
    assert_string_equal(fake_sent(b), "21[\"q\"]");
    fake_text(a, "31[1]");
    fake_text(a, "31[2]"); /* nobody waits for a second */
    fake_text(a, "30[0]");
    sio_world_expect(&w, "");
    fake_text(b, "61-1[{\"_placeholder\":true,\"num\":0}]");
    fake_binary(b, "xyz", 3);
    assert_true(strcmp(w.log, "all(1,{\"_placeholder\":true,\"num\":0})") == 0 ||
                strcmp(w.log, "all({\"_placeholder\":true,\"num\":0},1)") == 0);
    w.log[0] = '\0';
    sio_socket_emit_ack(first, m, 0, on_nothing, NULL);
    assert_string_equal(fake_sent(a), "22[\"q\"]");
    sio_message_free(m);
    sio_world_close(&w);
}

struct nosy {
    bool asked;
    unsigned n_answers;
};

static void count_answer(int status, struct sio_event *e, void *user)
{
    (void)e;
    ((struct nosy *)user)->n_answers += status == SIO_OK;
}

/* Asks a question of its own when it hears of one. */
static void ask_too(struct sio_socket *s, struct sio_event *e, void *user)
{
    struct sio_message *m = sio_message_new("mine");
    struct nosy *n = user;

    (void)e;
    if (!n->asked) {
        n->asked = true;
        assert_int_equal(sio_socket_emit_ack(s, m, 0, count_answer, n), SIO_OK);
    }
    sio_message_free(m);
}

static void a_listener_that_asks_takes_no_id_away(void **state)
{
    struct sio_message *m = sio_message_new("q");
    struct eio_session *a;
    struct nosy n = {0};
    struct sio_world w;

    (void)state;
    sio_world_open(&w, NULL);
    a = sio_world_join(&w, "", NULL);
    sio_namespace_on_any_outgoing(w.ns, ask_too, &n);
    assert_int_equal(sio_namespace_emit_ack(w.ns, NULL, m, 0, on_answers, &w), SIO_OK);
    assert_string_equal(fake_sent(a), "20[\"mine\"]|21[\"q\"]");
    fake_text(a, "31[1]");
    sio_world_expect(&w, "all(1)");
    assert_int_equal(n.n_answers, 0);
    fake_text(a, "30[]");
    assert_int_equal(n.n_answers, 1);
    sio_message_free(m);
    sio_world_close(&w);
}

static void a_partial_result_comes_in_time(void **state)
{
    struct sio_message *m = sio_message_new("q");
    struct sio_target target = {0};
    struct eio_session *a, *b;
    struct sio_world w;
    struct sio_str room = SIO_STR_INIT("r");
    struct sio_socket *s;

    (void)state;
    sio_world_open(&w, NULL);
    a = sio_world_join(&w, "", &s);
    sio_socket_join(s, room);
    b = sio_world_join(&w, "", &s);
    sio_socket_join(s, room);
    sio_world_join(&w, "", &s);
    target.rooms = &room;
    target.n_rooms = 1;
    assert_int_equal(sio_namespace_emit_ack(w.ns, &target, m, 5, on_answers, &w),
                     SIO_OK);
    fake_text(a, "30[1]");
    while (w.log[0] == '\0')
        net_loop_run_once(w.loop, -1);
    sio_world_expect(&w, "timeout(1,-)");
    fake_text(b, "30[2]");
    sio_world_expect(&w, "");
    assert_int_equal(fake_closed(b), -1);
    sio_message_free(m);
    sio_world_close(&w);
}

static void who_leaves_is_not_waited_for(void **state)
{
    struct sio_message *m = sio_message_new("q");
    struct eio_session *a, *b;
    struct sio_world w;

    (void)state;
    sio_world_open(&w, NULL);
    a = sio_world_join(&w, "", NULL);
    sio_namespace_emit_ack(w.ns, NULL, m, 0, on_answers, &w);
    fake_close(a, EIO_CLOSE_TRANSPORT_CLOSE);
    sio_world_expect(&w, "closed(-) disconnect(transport close)");
    b = sio_world_join(&w, "", NULL);
    fake_fail_send(b);
    sio_namespace_emit_ack(w.ns, NULL, m, 0, on_answers, &w);
    sio_world_expect(&w, "error(-)");
    sio_world_turn(&w);
    w.log[0] = '\0';

    /* The server ends with its sockets. */
    sio_world_join(&w, "", NULL);
    sio_namespace_emit_ack(w.ns, NULL, m, 0, on_answers, &w);
    sio_server_free(w.server);
    sio_world_expect(&w, "closed(-) disconnect(server shutting down)");
    w.server = NULL;
    sio_message_free(m);
    sio_world_close(&w);
}

static void a_socket_that_owes_too_many_is_not_asked(void **state)
{
    struct sio_message *m = sio_message_new("q");
    struct sio_socket *s;
    struct sio_world w;

    (void)state;
    sio_world_open(&w, NULL);
    sio_world_join(&w, "", &s);
    for (int i = 0; i < SIO_ACKS_MAX; i++)
        assert_int_equal(sio_socket_emit_ack(s, m, 0, on_nothing, NULL), SIO_OK);
    assert_int_equal(sio_namespace_emit_ack(w.ns, NULL, m, 0, on_answers, &w), SIO_OK);
    sio_world_expect(&w, "error(-)");
    sio_message_free(m);
    sio_world_close(&w);
}

static void a_parent_asks_the_sockets_of_all_children(void **state)
{
    struct sio_message *m = sio_message_new("q");
    struct sio_namespace *parent;
    struct eio_session *a, *b;
    struct sio_world w;

    (void)state;
    sio_world_open(&w, NULL);
    parent = sio_server_pattern(w.server, "^/d", &sio_world_ops, &w);
    a = sio_world_join(&w, "/da", NULL);
    b = sio_world_join(&w, "/db", NULL);
    assert_int_equal(sio_namespace_emit_ack(parent, NULL, m, 0, on_answers, &w),
                     SIO_OK);
    assert_string_equal(fake_sent(a), "2/da,0[\"q\"]");
    fake_text(a, "3/da,0[\"a\"]");
    fake_text(b, "3/db,0[\"b\"]");
    sio_world_expect(&w, "all(\"a\",\"b\")");
    assert_int_equal(sio_namespace_side_emit(parent, m, 0, NULL, NULL), SIO_ERR_INVAL);
    sio_message_free(m);
    sio_world_close(&w);
}

/* Lists */

struct fetched {
    int calls;
    int status;
    size_t n;
    size_t n_local;
    char text[2000]; /* of the first */
};

static void on_fetch(int status, const struct sio_fetched *list, size_t n, void *user)
{
    struct fetched *f = user;
    size_t len = 0;

    f->calls++;
    f->status = status;
    f->n = n;
    f->n_local = 0;
    for (size_t i = 0; i < n; i++)
        f->n_local += list[i].socket != NULL;
    f->text[0] = '\0';
    if (n == 0)
        return;
    for (size_t i = 0; i < list[0].n_rooms; i++)
        len += (size_t)snprintf(f->text + len, sizeof(f->text) - len, "%.*s ",
                                (int)list[0].rooms[i].len, list[0].rooms[i].ptr);
    snprintf(f->text + len, sizeof(f->text) - len, "%.*s %.*s %.*s",
             (int)list[0].nsp.len, list[0].nsp.ptr, (int)list[0].attributes.len,
             list[0].attributes.ptr ? list[0].attributes.ptr : "",
             (int)list[0].handshake.len, list[0].handshake.ptr);
}

static void a_list_shows_what_a_socket_is(void **state)
{
    struct fetched f = {0};
    char text[1000];
    struct sio_socket *s;
    struct sio_world w;

    (void)state;
    sio_world_open(&w, NULL);
    sio_world_join(&w, "", &s);
    sio_socket_join(s, SIO_STR("r"));
    sio_socket_set_attributes(s, SIO_STR("{\"user\":7}"));
    assert_int_equal(sio_namespace_fetch(w.ns, NULL, on_fetch, &f), SIO_OK);
    assert_int_equal(f.calls, 1);
    assert_int_equal(f.status, SIO_OK);
    assert_int_equal(f.n, 1);
    assert_int_equal(f.n_local, 1);
    snprintf(text, sizeof(text),
             "%.*s r / {\"user\":7} "
             "{\"headers\":{\"host\":\"hub.example\",\"x-two\":\"\\\"1\\\"\"},"
             "\"query\":{\"EIO\":\"4\",\"token\":\"c\"},\"address\":\"192.0.2.1\","
             "\"secure\":false,\"xdomain\":false,\"issued\":1700000000123,"
             "\"time\":\"Tue Nov 14 2023 22:13:20 GMT+0000\","
             "\"url\":\"/socket.io/?EIO=4&token=a%%20b&token=c\"}",
             (int)sio_socket_id(s).len, sio_socket_id(s).ptr);
    assert_string_equal(f.text, text);
    sio_world_close(&w);
}

/* Moves */

static void all_of_a_target_join_leave_and_go(void **state)
{
    struct sio_str names[] = {SIO_STR_INIT("a"), SIO_STR_INIT("b")};
    struct sio_target target = {.rooms = names, .n_rooms = 1};
    struct sio_str rooms[4];
    struct sio_socket *s, *other;
    struct eio_session *session, *last;
    struct sio_world w;

    (void)state;
    sio_world_open(&w, NULL);
    session = sio_world_join(&w, "", &s);
    last = sio_world_join(&w, "", &other);
    assert_int_equal(sio_namespace_join_all(w.ns, NULL, names, 2), SIO_OK);
    assert_int_equal(sio_namespace_room_size(w.ns, names[1]), 2);
    sio_socket_leave(other, names[0]);
    assert_int_equal(sio_namespace_leave_all(w.ns, &target, &names[1], 1), SIO_OK);
    assert_true(sio_socket_in(other, names[1]));
    assert_false(sio_socket_in(s, names[1]));

    /* Names that go while they are used. */
    assert_int_equal(sio_socket_rooms(s, rooms, 4), 2);
    target.rooms = &rooms[1];
    assert_int_equal(sio_namespace_leave_all(w.ns, &target, &rooms[1], 1), SIO_OK);
    assert_int_equal(sio_socket_rooms(s, rooms, 4), 1);
    sio_socket_join(s, SIO_STR("c"));
    assert_int_equal(sio_socket_rooms(s, rooms, 4), 2);
    target.rooms = &rooms[1];
    w.log[0] = '\0';
    assert_int_equal(sio_namespace_disconnect_all(w.ns, &target, false), SIO_OK);
    sio_world_expect(&w, "disconnect(server namespace disconnect)");
    assert_int_equal(fake_closed(session), -1);
    assert_int_equal(sio_namespace_disconnect_all(w.ns, NULL, true), SIO_OK);
    assert_int_equal(fake_closed(last), EIO_CLOSE_FORCED);
    sio_world_close(&w);
}

/* Two servers */

static void two_servers_act_as_one(void **state)
{
    struct sio_str room = SIO_STR_INIT("r");
    struct sio_target target = {.rooms = &room, .n_rooms = 1};
    struct sio_message *m = sio_message_new("m");
    struct eio_session *in_a, *in_b;
    struct fetched f = {0};
    struct two t;

    (void)state;
    two_open(&t);
    in_a = sio_world_join(&t.a, "", NULL);
    in_b = sio_world_join(&t.b, "", NULL);
    assert_int_equal(sio_namespace_join_all(t.a.ns, NULL, &room, 1), SIO_OK);
    assert_int_equal(sio_namespace_room_size(t.b.ns, room), 1);
    assert_int_equal(sio_namespace_emit(t.a.ns, &target, m), 1);
    assert_string_equal(fake_sent(in_b), "2[\"m\"]");
    target.local = true;
    assert_int_equal(sio_namespace_emit(t.a.ns, &target, m), 1);
    assert_string_equal(fake_sent(in_b), "");
    fake_sent(in_a);
    target.local = false;

    assert_int_equal(sio_namespace_emit_ack(t.a.ns, &target, m, 0, on_answers, &t.a),
                     SIO_OK);
    fake_text(in_b, "30[\"b\"]");
    fake_text(in_a, "30[\"a\"]");
    sio_world_expect(&t.a, "all(\"a\",\"b\")");

    assert_int_equal(sio_namespace_fetch(t.a.ns, &target, on_fetch, &f), SIO_OK);
    assert_int_equal(f.n, 2);
    assert_int_equal(f.n_local, 1);
    target.local = true;
    assert_int_equal(sio_namespace_fetch(t.a.ns, &target, on_fetch, &f), SIO_OK);
    assert_int_equal(f.n, 1);
    target.local = false;

    assert_int_equal(sio_namespace_leave_all(t.a.ns, NULL, &room, 1), SIO_OK);
    assert_int_equal(sio_namespace_room_size(t.b.ns, room), 0);
    assert_int_equal(sio_namespace_disconnect_all(t.a.ns, NULL, true), SIO_OK);
    assert_int_equal(fake_closed(in_b), EIO_CLOSE_FORCED);
    sio_message_free(m);
    two_close(&t);
}

/* A client of Socket.IO 2 has the same id when it joins again. */
static void a_list_shows_no_socket_that_has_gone(void **state)
{
    struct fetched f = {0};
    struct eio_session *a;
    struct pair *pair;
    struct two t;

    (void)state;
    two_open(&t);
    pair = t.pairs.made[0];
    a = fake_open_3(sio_server_engine(t.a.server));
    t.pairs.deaf = true;
    assert_int_equal(sio_namespace_fetch(t.a.ns, NULL, on_fetch, &f), SIO_OK);
    assert_int_equal(f.calls, 0);
    fake_text(a, "1");
    fake_text(a, "0");
    assert_int_equal(sio_namespace_n_sockets(t.a.ns), 1);
    sio_fetch_end(pair->unfetched, SIO_OK);
    pair->unfetched = NULL;
    assert_int_equal(f.calls, 1);
    assert_int_equal(f.n, 0);
    two_close(&t);
}

static void on_side(struct sio_namespace *ns, struct sio_event *e, void *user)
{
    struct sio_message *m = sio_message_new("");

    (void)ns;
    sio_world_note(user, "side", sio_event_name(e));
    sio_message_add_string(m, SIO_STR("here"));
    if (sio_event_wants_ack(e))
        sio_event_ack(e, m);
    sio_message_free(m);
}

static void a_side_emit_reaches_the_other_servers(void **state)
{
    struct sio_message *m = sio_message_new("hello");
    struct two t;

    (void)state;
    two_open(&t);
    sio_namespace_on_side_emit(t.a.ns, on_side, &t.a);
    sio_namespace_on_side_emit(t.b.ns, on_side, &t.b);
    assert_int_equal(sio_namespace_side_emit(t.a.ns, m, 0, on_answers, &t.a), SIO_OK);
    sio_world_expect(&t.b, "side(hello)");
    sio_world_expect(&t.a, "all(\"here\")");
    assert_int_equal(sio_namespace_side_emit(t.a.ns, m, 0, NULL, NULL), SIO_OK);
    sio_world_expect(&t.b, "side(hello)");
    sio_world_expect(&t.a, "");
    sio_namespace_on_side_emit(t.b.ns, NULL, NULL);
    assert_int_equal(sio_namespace_side_emit(t.a.ns, m, 0, on_answers, &t.a), SIO_OK);
    sio_world_expect(&t.a, "all()");
    sio_message_free(m);
    two_close(&t);
}

static void a_server_that_never_answers_delays_nobody_for_ever(void **state)
{
    struct sio_message *m = sio_message_new("q");
    struct fetched f = {0};
    struct eio_session *a;
    struct two t;

    (void)state;
    two_open(&t);
    a = sio_world_join(&t.a, "", NULL);
    t.pairs.deaf = true;
    assert_int_equal(sio_namespace_emit_ack(t.a.ns, NULL, m, 5, on_answers, &t.a),
                     SIO_OK);
    fake_text(a, "30[1]");
    while (t.a.log[0] == '\0')
        net_loop_run_once(t.a.loop, -1);
    sio_world_expect(&t.a, "timeout(1)");

    /* Freed while a part is owed: told once, with what there is. */
    assert_int_equal(sio_namespace_fetch(t.a.ns, NULL, on_fetch, &f), SIO_OK);
    assert_int_equal(f.calls, 0);
    fake_close(a, EIO_CLOSE_TRANSPORT_CLOSE);
    sio_server_free(t.a.server);
    t.a.server = NULL;
    assert_int_equal(f.calls, 1);
    assert_int_equal(f.status, SIO_ERR_CLOSED);
    assert_int_equal(f.n, 0);
    sio_message_free(m);
    two_close(&t);
}

struct stubborn {
    struct sio_namespace *ns;
    struct sio_message *m;
    int calls;
    int refused;
};

static void on_fetch_again(int status, const struct sio_fetched *list, size_t n,
                           void *user)
{
    (void)status;
    (void)list;
    (void)n;
    ++*(int *)user;
}

static void ask_again(int status, const struct sio_answers *answers, void *user)
{
    struct stubborn *s = user;

    (void)answers;
    s->calls++;
    assert_int_equal(status, SIO_ERR_CLOSED);
    s->refused = sio_namespace_emit_ack(s->ns, NULL, s->m, 0, ask_again, s);
    assert_int_equal(sio_namespace_side_emit(s->ns, s->m, 0, ask_again, s),
                     SIO_ERR_CLOSED);
    assert_int_equal(sio_namespace_fetch(s->ns, NULL, on_fetch_again, &s->calls),
                     SIO_ERR_CLOSED);
}

static void who_asks_again_at_the_end_is_refused(void **state)
{
    struct stubborn s = {.m = sio_message_new("q")};
    struct two t;

    (void)state;
    two_open(&t);
    s.ns = t.a.ns;
    t.pairs.deaf = true;
    assert_int_equal(sio_namespace_emit_ack(s.ns, NULL, s.m, 0, ask_again, &s), SIO_OK);
    assert_int_equal(s.calls, 0);
    sio_server_free(t.a.server);
    t.a.server = NULL;
    assert_int_equal(s.calls, 1);
    assert_int_equal(s.refused, SIO_ERR_CLOSED);
    sio_message_free(s.m);
    two_close(&t);
}

static void on_count(int status, const struct sio_answers *answers, void *user)
{
    (void)status;
    (void)answers;
    ++*(int *)user;
}

static void calls_end_once_without_memory(void **state)
{
    (void)state;
    alloc_fail_each(n)
    {
        struct sio_str room = SIO_STR_INIT("r");
        struct sio_message *m;
        struct eio_session *a, *b;
        struct fetched f = {0};
        int asked, fetched, count = 0;
        struct two t;

        alloc_fail_pause();
        two_open(&t);
        a = sio_world_join(&t.a, "", NULL);
        b = sio_world_join(&t.b, "", NULL);
        m = sio_message_new("q");
        sio_message_add_string(m, SIO_STR("some text"));
        alloc_fail_resume();
        asked = sio_namespace_emit_ack(t.a.ns, NULL, m, 0, on_count, &count);
        fake_text(a, "30[1]");
        fake_text(b, "30[2]");
        fetched = sio_namespace_fetch(t.a.ns, NULL, on_fetch, &f);
        sio_namespace_join_all(t.a.ns, NULL, &room, 1);
        sio_namespace_leave_all(t.a.ns, NULL, &room, 1);
        sio_namespace_side_emit(t.a.ns, m, 0, NULL, NULL);
        alloc_fail_pause();
        sio_message_free(m);
        two_close(&t);
        assert_int_equal(count, asked == SIO_OK);
        assert_int_equal(f.calls, fetched == SIO_OK);
        alloc_fail_resume();
    }
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_question_to_nobody_is_answered_at_once),
        cmocka_unit_test(answers_are_collected_under_one_id),
        cmocka_unit_test(a_listener_that_asks_takes_no_id_away),
        cmocka_unit_test(a_partial_result_comes_in_time),
        cmocka_unit_test(who_leaves_is_not_waited_for),
        cmocka_unit_test(a_socket_that_owes_too_many_is_not_asked),
        cmocka_unit_test(a_parent_asks_the_sockets_of_all_children),
        cmocka_unit_test(a_list_shows_what_a_socket_is),
        cmocka_unit_test(all_of_a_target_join_leave_and_go),
        cmocka_unit_test(two_servers_act_as_one),
        cmocka_unit_test(a_list_shows_no_socket_that_has_gone),
        cmocka_unit_test(a_side_emit_reaches_the_other_servers),
        cmocka_unit_test(a_server_that_never_answers_delays_nobody_for_ever),
        cmocka_unit_test(who_asks_again_at_the_end_is_refused),
        cmocka_unit_test(calls_end_once_without_memory),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
