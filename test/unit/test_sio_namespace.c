/*
 * Namespaces of a Socket.IO server: parents and children, middleware, listeners.
 */
#include <config.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "alloc_fail.h"
#include "base/list.h"
#include "base/mem.h"
#include "sio_world.h"

#define NO_DATA ((struct sio_str){NULL, 0})

/* Parents and children */

static void a_pattern_makes_namespaces_as_they_are_joined(void **state)
{
    struct sio_namespace *parent, *child;
    struct eio_session *s;
    struct sio_world w;

    (void)state;
    sio_world_open(&w, NULL);
    parent = sio_server_pattern(w.server, "^/dyn-[0-9]+$", &sio_world_ops, &w);
    assert_non_null(parent);
    s = sio_world_session(&w);
    fake_text(s, "0/dyn-x,");
    assert_string_equal(fake_sent(s), "4/dyn-x,{\"message\":\"Invalid namespace\"}");
    fake_text(s, "0/dyn-101,");
    sio_world_expect(&w, "connect(/dyn-101)");
    child = sio_server_find(w.server, SIO_STR("/dyn-101"));
    assert_ptr_equal(sio_namespace_parent(child), parent);
    assert_ptr_equal(sio_socket_namespace(w.last), child);
    assert_null(sio_namespace_parent(parent));
    fake_text(s, "2/dyn-101,[\"hello\"]");
    sio_world_expect(&w, "event(hello)");
    sio_world_join(&w, "/dyn-101", NULL);
    sio_world_join(&w, "/dyn-2", NULL);
    assert_int_equal(sio_namespace_n_children(parent), 2);
    assert_int_equal(sio_namespace_n_sockets(child), 2);
    assert_int_equal(sio_namespace_n_sockets(parent), 3);
    assert_null(sio_server_pattern(w.server, "^/([a-z", &sio_world_ops, &w));
    sio_world_close(&w);
}

static bool match(struct sio_str name, struct sio_str auth, void *user)
{
    sio_world_note(user, "match", auth);
    return name.len == 3;
}

static void a_function_sees_name_and_auth_of_the_first(void **state)
{
    struct sio_namespace_ops ops = sio_world_ops;
    struct eio_session *s;
    struct sio_world w;

    (void)state;
    sio_world_open(&w, NULL);
    assert_non_null(sio_server_dynamic(w.server, match, &ops, &w));
    assert_non_null(sio_server_pattern(w.server, "^/ab", &ops, &w));
    s = sio_world_session(&w);
    fake_text(s, "0/ab,{\"a\":1}");
    sio_world_expect(&w, "match({\"a\":1}) connect(/ab)");
    fake_text(sio_world_session(&w), "0/ab,{\"a\":2}");
    sio_world_expect(&w, "connect(/ab)");
    fake_text(s, "0/abc");
    sio_world_expect(&w, "match() connect(/abc)");
    fake_text(s, "0/none");
    sio_world_expect(&w, "match()");
    sio_world_close(&w);
}

static void refuses_names_that_no_pattern_should_see(void **state)
{
    char packet[400];
    struct eio_session *s;
    struct sio_world w;

    (void)state;
    sio_world_open(&w, NULL);
    sio_server_dynamic(w.server, match, &sio_world_ops, &w);
    s = sio_world_session(&w);
    packet[0] = '0';
    packet[1] = '/';
    memset(packet + 2, 'x', 255);
    packet[257] = '\0';
    fake_text(s, packet);
    sio_world_expect(&w, "");
    packet[256] = '\0';
    fake_text(s, packet);
    sio_world_expect(&w, "match()");
    fake_text_slice(s, (struct sio_slice){NULL, (const uint8_t *)"0/\0b", 4});
    sio_world_expect(&w, "");
    sio_world_close(&w);
}

static void on_own(struct sio_socket *s, struct sio_event *e, void *user)
{
    (void)s;
    sio_world_note(user, "own", sio_event_name(e));
}

static void on_parents(struct sio_socket *s, struct sio_event *e, void *user)
{
    (void)s;
    sio_world_note(user, "parents", sio_event_name(e));
}

static void on_sockets(struct sio_socket *s, struct sio_event *e, void *user)
{
    (void)s;
    sio_world_note(user, "sockets", sio_event_name(e));
}

static void the_nearest_handler_is_called(void **state)
{
    struct sio_namespace *parent, *child;
    struct sio_socket *socket;
    struct eio_session *s;
    struct sio_world w;

    (void)state;
    sio_world_open(&w, NULL);
    parent = sio_server_pattern(w.server, "^/d", &sio_world_ops, &w);
    s = sio_world_join(&w, "/d1", &socket);
    child = sio_socket_namespace(socket);
    assert_int_equal(sio_namespace_on(parent, "a", on_parents, &w), SIO_OK);
    fake_text(s, "2/d1,[\"a\"]");
    assert_int_equal(sio_namespace_on(child, "a", on_own, &w), SIO_OK);
    fake_text(s, "2/d1,[\"a\"]");
    assert_int_equal(sio_socket_on(socket, "a", on_sockets, &w), SIO_OK);
    fake_text(s, "2/d1,[\"a\"]");
    sio_world_expect(&w, "parents(a) own(a) sockets(a)");
    sio_socket_off(socket, "a");
    fake_text(s, "2/d1,[\"a\"]");
    sio_namespace_off(child, "a");
    fake_text(s, "2/d1,[\"a\"]");
    sio_namespace_off(parent, "a");
    fake_text(s, "2/d1,[\"a\"]");
    sio_world_expect(&w, "own(a) parents(a) event(a)");
    sio_namespace_off(parent, "a");
    sio_socket_off(socket, "b");
    assert_int_equal(sio_socket_on(socket, "connect", on_sockets, &w), SIO_ERR_INVAL);
    sio_world_close(&w);
}

static bool count(struct sio_socket *s, void *user)
{
    (void)s;
    ++*(int *)user;
    return true;
}

static void a_parent_stands_for_all_its_children(void **state)
{
    struct sio_str room = SIO_STR_INIT("room");
    struct sio_target target = {.rooms = &room, .n_rooms = 1};
    struct sio_message *m = sio_message_new("all");
    struct eio_session *a, *b, *other;
    struct sio_namespace *parent;
    struct sio_socket *in_b;
    struct sio_world w;
    int n = 0;

    (void)state;
    sio_world_open(&w, NULL);
    parent = sio_server_pattern(w.server, "^/d", &sio_world_ops, &w);
    assert_int_equal(sio_namespace_emit(parent, NULL, m), 0);
    a = sio_world_join(&w, "/da", NULL);
    b = sio_world_join(&w, "/db", &in_b);
    other = sio_world_join(&w, "/", NULL);
    assert_int_equal(sio_socket_join(in_b, room), SIO_OK);
    assert_int_equal(sio_namespace_emit(parent, NULL, m), 2);
    assert_int_equal(sio_namespace_emit(parent, &target, m), 1);
    assert_string_equal(fake_sent(a), "2/da,[\"all\"]");
    assert_string_equal(fake_sent(b), "2/db,[\"all\"]|2/db,[\"all\"]");
    assert_string_equal(fake_sent(other), "");
    assert_int_equal(sio_namespace_each(parent, count, &n), SIO_OK);
    assert_int_equal(n, 2);
    assert_ptr_equal(sio_namespace_find(parent, sio_socket_id(in_b)), in_b);
    assert_int_equal(sio_namespace_room_size(parent, room), 1);
    sio_message_free(m);
    sio_world_close(&w);
}

static void empty_children_go_if_the_parent_says_so(void **state)
{
    struct sio_namespace *parent, *child;
    struct eio_session *s;
    struct sio_world w;

    (void)state;
    sio_world_open(&w, NULL);
    parent = sio_server_pattern(w.server, "^/d", &sio_world_ops, &w);
    fake_close(sio_world_join(&w, "/d1", NULL), EIO_CLOSE_TRANSPORT_CLOSE);
    sio_world_turn(&w);
    assert_int_equal(sio_namespace_n_children(parent), 1);

    sio_namespace_set_children(parent, 0, true);
    s = sio_world_join(&w, "/d2", NULL);
    fake_text(s, "1/d2,");
    fake_text(s, "0/d2"); /* comes back in the same turn */
    sio_world_turn(&w);
    assert_int_equal(sio_namespace_n_children(parent), 2);
    child = sio_server_find(w.server, SIO_STR("/d2"));
    sio_namespace_hold(child);
    fake_text(s, "1/d2,");
    sio_world_turn(&w);
    assert_ptr_equal(sio_server_find(w.server, SIO_STR("/d2")), child);
    sio_namespace_release(child);
    sio_world_turn(&w);
    assert_null(sio_server_find(w.server, SIO_STR("/d2")));
    assert_int_equal(sio_namespace_n_children(parent), 1);
    fake_text(s, "0/d2");
    assert_int_equal(sio_namespace_n_children(parent), 2);
    sio_world_close(&w);
}

static void the_number_of_children_is_bounded(void **state)
{
    struct sio_namespace *parent;
    struct eio_session *s;
    struct sio_world w;

    (void)state;
    sio_world_open(&w, NULL);
    parent = sio_server_pattern(w.server, "^/d", &sio_world_ops, &w);
    sio_namespace_set_children(parent, 2, true);
    s = sio_world_session(&w);
    fake_text(s, "0/d1");
    fake_text(s, "0/d2");
    fake_sent(s);
    fake_text(s, "0/d3");
    assert_string_equal(fake_sent(s), "4/d3,{\"message\":\"Too many namespaces\"}");
    fake_text(s, "1/d1,");
    sio_world_turn(&w);
    w.log[0] = '\0';
    fake_text(s, "0/d3");
    sio_world_expect(&w, "connect(/d3)");
    sio_world_close(&w);
}

/* Middleware */

static struct sio_join *waiting;

static void accept(struct sio_socket *s, struct sio_str auth, struct sio_join *j,
                   void *user)
{
    struct sio_message *m = sio_message_new("too early");

    assert_ptr_equal(sio_join_socket(j), s);
    assert_int_equal(sio_socket_emit(s, m), SIO_ERR_CLOSED);
    sio_message_free(m);
    sio_world_note(user, "accept", auth);
    sio_join_accept(j);
}

static void refuse(struct sio_socket *s, struct sio_str auth, struct sio_join *j,
                   void *user)
{
    (void)s;
    (void)auth;
    sio_world_note(user, "refuse", NO_DATA);
    sio_join_refuse(j, "no", SIO_STR("{\"code\":\"E\"}"));
}

static void take_time(struct sio_socket *s, struct sio_str auth, struct sio_join *j,
                      void *user)
{
    (void)s;
    sio_world_note(user, "later", auth);
    waiting = j;
}

static void kick(struct sio_socket *s, struct sio_str auth, struct sio_join *j,
                 void *user)
{
    (void)auth;
    (void)user;
    sio_socket_disconnect(s, true);
    assert_null(sio_join_socket(j));
    sio_join_accept(j);
}

static void middleware_is_asked_in_order(void **state)
{
    struct sio_namespace *parent;
    struct eio_session *s;
    struct sio_world w;

    (void)state;
    sio_world_open(&w, NULL);
    parent = sio_server_pattern(w.server, "^/d", &sio_world_ops, &w);
    assert_int_equal(sio_namespace_use(w.ns, accept, &w), SIO_OK);
    s = sio_world_session(&w);
    fake_text(s, "0{\"t\":1}");
    sio_world_expect(&w, "accept({\"t\":1}) connect(/)");
    assert_int_equal(sio_namespace_use(w.ns, accept, &w), SIO_OK);
    assert_int_equal(sio_namespace_use(w.ns, refuse, &w), SIO_OK);
    assert_int_equal(sio_namespace_use(w.ns, accept, &w), SIO_OK);
    s = sio_world_session(&w);
    fake_text(s, "0");
    sio_world_expect(&w, "accept() accept() refuse()");
    assert_string_equal(fake_sent(s),
                        "4{\"message\":\"no\",\"data\":{\"code\":\"E\"}}");
    assert_int_equal(fake_closed(s), -1);
    assert_int_equal(sio_namespace_n_sockets(w.ns), 1);

    /* A child's: its parent's first.  Who was refused leaves no child behind. */
    assert_int_equal(sio_namespace_use(parent, refuse, &w), SIO_OK);
    fake_text(s, "0/d1");
    sio_world_expect(&w, "refuse()");
    assert_int_equal(sio_namespace_n_children(parent), 1);
    sio_world_turn(&w);
    assert_int_equal(sio_namespace_n_children(parent), 0);
    sio_world_close(&w);
}

static void a_child_asks_its_parents_middleware_first(void **state)
{
    struct sio_namespace *parent;
    struct sio_world w;

    (void)state;
    sio_world_open(&w, NULL);
    parent = sio_server_pattern(w.server, "^/d", &sio_world_ops, &w);
    sio_world_join(&w, "/d1", NULL);
    sio_namespace_use(sio_socket_namespace(w.last), take_time, &w);
    fake_text(sio_world_session(&w), "0/d1");
    sio_world_expect(&w, "later()");
    sio_join_accept(waiting);
    sio_world_expect(&w, "connect(/d1)");
    sio_namespace_use(parent, accept, &w);
    fake_text(sio_world_session(&w), "0/d1");
    sio_world_expect(&w, "accept() later()");
    sio_join_refuse(waiting, "no", NO_DATA);
    sio_world_close(&w);
}

static void middleware_may_take_its_time(void **state)
{
    struct eio_session *s;
    const char *sent;
    struct sio_world w;

    (void)state;
    sio_world_open(&w, NULL);
    sio_namespace_use(w.ns, take_time, &w);
    sio_namespace_use(w.ns, accept, &w);
    s = sio_world_session(&w);
    fake_text(s, "0{\"t\":1}");
    sio_world_expect(&w, "later({\"t\":1})");
    sio_world_turn(&w);
    assert_string_equal(fake_sent(s), "");
    sio_join_accept(waiting);
    sio_world_expect(&w, "accept({\"t\":1}) connect(/)");
    sent = fake_sent(s);
    assert_int_equal(strncmp(sent, "0{\"sid\":\"", 9), 0);

    s = sio_world_session(&w);
    fake_text(s, "0");
    w.log[0] = '\0';
    sio_join_refuse(waiting, "later no", NO_DATA);
    assert_string_equal(fake_sent(s), "4{\"message\":\"later no\"}");
    fake_text(s, "0"); /* may try again */
    sio_world_expect(&w, "later()");
    sio_join_accept(waiting);
    sio_world_close(&w);
}

static void a_client_that_leaves_meanwhile_harms_nobody(void **state)
{
    static const enum eio_close_reason reason = EIO_CLOSE_TRANSPORT_CLOSE;
    struct eio_session *s;
    struct sio_world w;

    (void)state;
    sio_world_open(&w, NULL);
    sio_namespace_use(w.ns, take_time, &w);
    s = sio_world_session(&w);
    fake_text(s, "0");
    fake_close(s, reason);
    assert_null(sio_join_socket(waiting));
    sio_world_turn(&w);
    sio_join_accept(waiting);
    sio_world_expect(&w, "later()");

    s = sio_world_session(&w);
    fake_text(s, "0");
    fake_text(s, "1"); /* gives up */
    assert_int_equal(fake_closed(s), -1);
    sio_world_turn(&w);
    sio_join_refuse(waiting, "no", NO_DATA);
    assert_string_equal(fake_sent(s), "");

    /* An event too early. */
    fake_text(s, "0");
    fake_text(s, "2[\"a\"]");
    assert_int_equal(fake_closed(s), EIO_CLOSE_FORCED);
    sio_join_accept(waiting);
    w.log[0] = '\0';

    fake_text(sio_world_session(&w), "0");
    sio_server_free(w.server);
    assert_null(sio_join_socket(waiting));
    sio_join_accept(waiting);
    sio_world_expect(&w, "later()");
    w.server = NULL;
    sio_world_close(&w);
}

/*
 * A client whose user disconnects while it waits says nothing, and CONNECT again when he
 * connects again.
 */
static void who_asks_again_while_it_waits_is_asked_about_anew(void **state)
{
    struct sio_server_options opts = {.max_namespaces = 3};
    struct sio_join *old[3];
    struct eio_session *s;
    struct sio_world w;

    (void)state;
    sio_world_open(&w, &opts);
    sio_namespace_use(w.ns, take_time, &w);
    s = sio_world_session(&w);
    for (int i = 0; i < 3; i++) {
        fake_text(s, "0");
        old[i] = waiting;
        assert_non_null(sio_join_socket(old[i]));
        assert_true(i == 0 || !sio_join_socket(old[i - 1]));
    }
    assert_int_equal(fake_closed(s), -1);
    sio_join_accept(old[0]);
    assert_string_equal(fake_sent(s), "");
    sio_join_accept(old[2]);
    assert_int_equal(strncmp(fake_sent(s), "0{\"sid\"", 7), 0);
    assert_int_equal(sio_namespace_n_sockets(w.ns), 1);
    fake_text(s, "0"); /* now it has joined */
    assert_int_equal(fake_closed(s), EIO_CLOSE_FORCED);
    sio_join_accept(old[1]);

    /* It cannot have more under way than it may join. */
    s = sio_world_session(&w);
    for (int i = 0; i < 3; i++) {
        fake_text(s, "0");
        old[i] = waiting;
        fake_text(s, "1");
    }
    fake_text(s, "0");
    assert_string_equal(fake_sent(s), "4{\"message\":\"Too much at once\"}");
    sio_join_refuse(old[1], "", NO_DATA);
    fake_text(s, "0");
    assert_string_equal(fake_sent(s), "");
    fake_close(s, EIO_CLOSE_TRANSPORT_CLOSE);
    sio_world_turn(&w);
    sio_join_accept(waiting);
    sio_join_accept(old[0]);
    sio_join_accept(old[2]);
    sio_world_close(&w);
}

static struct eio_session *connect_with(struct eio_session *s, const char *name,
                                        size_t size)
{
    char *text = mem_alloc(size + 100);
    int n = snprintf(text, 100, "0%s,{\"t\":\"", name);

    memset(text + n, 'x', size);
    memcpy(text + n + size, "\"}", 3);
    fake_text(s, text);
    mem_free(text);
    return s;
}

static void what_waits_for_middleware_is_bounded(void **state)
{
    struct sio_server_options opts = {.max_binary_bytes = 1000};
    struct sio_namespace *parent;
    struct eio_session *s;
    struct sio_world w;

    (void)state;
    sio_world_open(&w, &opts);
    parent = sio_server_pattern(w.server, "^/d", &sio_world_ops, &w);
    sio_namespace_use(parent, take_time, &w);
    s = connect_with(sio_world_session(&w), "/d1", 600);
    assert_string_equal(fake_sent(s), "");
    connect_with(s, "/d2", 600);
    assert_string_equal(fake_sent(s), "4/d2,{\"message\":\"Too much at once\"}");
    sio_join_accept(waiting);
    fake_sent(s);
    connect_with(s, "/d2", 600);
    assert_string_equal(fake_sent(s), "");
    assert_int_equal(fake_closed(s), -1);

    sio_join_accept(waiting);
    sio_world_close(&w);
}

static void middleware_may_end_the_connection(void **state)
{
    struct eio_session *s;
    struct sio_world w;

    (void)state;
    sio_world_open(&w, NULL);
    sio_namespace_use(w.ns, kick, &w);
    sio_namespace_use(w.ns, accept, &w);
    s = sio_world_session(&w);
    fake_text(s, "0");
    assert_int_equal(fake_closed(s), EIO_CLOSE_FORCED);
    sio_world_expect(&w, "");
    sio_world_close(&w);
}

static void who_is_never_answered_is_refused_in_time(void **state)
{
    struct sio_server_options opts = {.connect_timeout_ms = 20};
    struct eio_session *s;
    struct sio_world w;

    (void)state;
    sio_world_open(&w, &opts);
    sio_namespace_use(sio_server_namespace(w.server, "/x", &sio_world_ops, &w),
                      take_time, &w);
    s = sio_world_join(&w, "/", NULL);
    fake_text(s, "0/x");
    while (sio_join_socket(waiting))
        net_loop_run_once(w.loop, -1);
    assert_string_equal(fake_sent(s), "4/x,{\"message\":\"Timed out\"}");
    assert_int_equal(fake_closed(s), -1);
    w.log[0] = '\0';
    sio_join_accept(waiting);
    sio_world_expect(&w, "");

    /* Who has joined nothing is closed altogether. */
    s = sio_world_session(&w);
    fake_text(s, "0/x");
    while (fake_closed(s) < 0)
        net_loop_run_once(w.loop, -1);
    assert_null(sio_join_socket(waiting));
    sio_join_accept(waiting);
    sio_world_close(&w);
}

static void joins_that_never_end_count_as_namespaces(void **state)
{
    struct sio_server_options opts = {.max_namespaces = 2};
    struct sio_join *first;
    struct eio_session *s;
    struct sio_world w;

    (void)state;
    sio_world_open(&w, &opts);
    sio_namespace_use(sio_server_pattern(w.server, "^/d", &sio_world_ops, &w),
                      take_time, &w);
    s = sio_world_session(&w);
    fake_text(s, "0/d1");
    first = waiting;
    fake_text(s, "0/d2");
    fake_text(s, "0/d3");
    assert_string_equal(fake_sent(s), "4/d3,{\"message\":\"Too many namespaces\"}");
    sio_join_accept(first);
    sio_join_accept(waiting);
    assert_int_equal(sio_namespace_n_sockets(sio_server_find(w.server, SIO_STR("/d2"))),
                     1);
    sio_world_close(&w);
}

/* Event middleware and listeners */

static bool pass(struct sio_socket *s, struct sio_event *e, void *user)
{
    (void)s;
    sio_world_note(user, "pass", sio_event_name(e));
    return true;
}

static bool drop_b(struct sio_socket *s, struct sio_event *e, void *user)
{
    struct sio_message *m;

    (void)s;
    (void)user;
    if (strncmp(sio_event_name(e).ptr, "b", 1) != 0)
        return true;
    m = sio_message_new("");
    sio_message_add_string(m, SIO_STR("forbidden"));
    if (sio_event_wants_ack(e))
        sio_event_ack(e, m);
    sio_message_free(m);
    return false;
}

static void event_middleware_passes_drops_or_answers(void **state)
{
    struct sio_socket *socket;
    struct eio_session *s;
    struct sio_world w;

    (void)state;
    sio_world_open(&w, NULL);
    s = sio_world_join(&w, "", &socket);
    assert_int_equal(sio_namespace_use_event(w.ns, drop_b, &w), SIO_OK);
    assert_int_equal(sio_socket_use_event(socket, pass, &w), SIO_OK);
    fake_text(s, "2[\"a\"]");
    sio_world_expect(&w, "pass(a) event(a)");
    fake_text(s, "25[\"b\"]");
    sio_world_expect(&w, "");
    assert_string_equal(fake_sent(s), "35[\"forbidden\"]");
    sio_world_close(&w);
}

static void note_1(struct sio_socket *s, struct sio_event *e, void *user)
{
    (void)s;
    sio_world_note(user, "1", sio_event_name(e));
}

static void note_2(struct sio_socket *s, struct sio_event *e, void *user)
{
    (void)s;
    sio_world_note(user, "2", sio_event_arg(e, 0));
}

static void once(struct sio_socket *s, struct sio_event *e, void *user)
{
    struct sio_world *w = user;

    sio_world_note(w, "once", sio_event_name(e));
    sio_namespace_off_any(w->ns, NULL, NULL);
    sio_socket_off_any(s, NULL, NULL);
    sio_socket_on_any(s, note_1, w);
}

static void end_socket(struct sio_socket *s, struct sio_event *e, void *user)
{
    (void)e;
    (void)user;
    sio_socket_disconnect(s, false);
}

static void listeners_hear_all_that_comes_in(void **state)
{
    struct sio_socket *socket;
    struct eio_session *s;
    struct sio_world w;

    (void)state;
    sio_world_open(&w, NULL);
    s = sio_world_join(&w, "", &socket);
    assert_int_equal(sio_namespace_on_any(w.ns, note_1, &w), SIO_OK);
    assert_int_equal(sio_namespace_prepend_any(w.ns, note_2, &w), SIO_OK);
    assert_int_equal(sio_socket_on_any(socket, note_2, &w), SIO_OK);
    assert_int_equal(sio_socket_prepend_any(socket, note_1, &w), SIO_OK);
    fake_text(s, "2[\"a\",7]");
    sio_world_expect(&w, "2(7) 1(a) 1(a) 2(7) event(a)");
    sio_namespace_off_any(w.ns, note_1, &w);
    sio_socket_off_any(socket, note_1, NULL); /* another user's */
    fake_text(s, "2[\"a\",7]");
    sio_world_expect(&w, "2(7) 1(a) 2(7) event(a)");

    assert_int_equal(sio_namespace_prepend_any(w.ns, once, &w), SIO_OK);
    fake_text(s, "2[\"a\",7]");
    sio_world_expect(&w, "once(a) 1(a) event(a)");
    assert_int_equal(sio_socket_on_any(socket, end_socket, &w), SIO_OK);
    assert_int_equal(sio_socket_on_any(socket, note_2, &w), SIO_OK);
    fake_text(s, "2[\"a\",7]");
    sio_world_expect(&w, "1(a) disconnect(server namespace disconnect)");
    sio_world_close(&w);
}

static void listeners_hear_what_goes_out(void **state)
{
    struct sio_message *m = sio_message_new("out");
    struct sio_socket *a, *b;
    struct eio_session *sa, *sb;
    struct sio_world w;

    (void)state;
    sio_message_add_binary(m, (struct sio_slice){NULL, (const uint8_t *)"xyz", 3});
    sio_world_open(&w, NULL);
    sa = sio_world_join(&w, "", &a);
    sb = sio_world_join(&w, "", &b);
    assert_int_equal(sio_namespace_on_any_outgoing(w.ns, note_1, &w), SIO_OK);
    assert_int_equal(sio_socket_on_any_outgoing(a, note_2, &w), SIO_OK);
    assert_int_equal(sio_namespace_emit(w.ns, NULL, m), 2);
    assert_non_null(strstr(w.log, "1(out) 2({\"_placeholder\":true,\"num\":0})"));
    assert_int_equal(strlen(w.log), strlen("1(out) 1(out) 2()") + 29);
    w.log[0] = '\0';
    assert_int_equal(sio_socket_emit(b, m), SIO_OK);
    sio_world_expect(&w, "1(out)");
    sio_namespace_off_any_outgoing(w.ns, note_1, &w);
    assert_int_equal(sio_socket_emit(b, m), SIO_OK);
    sio_world_expect(&w, "");
    sio_socket_off_any_outgoing(a, NULL, NULL);
    assert_int_equal(sio_namespace_emit(w.ns, NULL, m), 2);
    sio_world_expect(&w, "");
    fake_sent(sa);
    fake_sent(sb);

    /* A listener that ends the socket: the event is not sent. */
    assert_int_equal(sio_socket_prepend_any_outgoing(a, end_socket, &w), SIO_OK);
    assert_int_equal(sio_namespace_prepend_any_outgoing(w.ns, note_1, &w), SIO_OK);
    assert_int_equal(sio_socket_emit(a, m), SIO_ERR_CLOSED);
    assert_string_equal(fake_sent(sa), "1");
    sio_world_expect(&w, "1(out) disconnect(server namespace disconnect)");
    sio_message_free(m);
    sio_world_close(&w);
}

static void running_out_of_memory_costs_only_who_asks(void **state)
{
    (void)state;
    alloc_fail_each(n)
    {
        struct sio_namespace *parent;
        struct eio_session *s;
        struct sio_world w;
        bool hung;

        alloc_fail_pause();
        sio_world_open(&w, NULL);
        alloc_fail_resume();
        parent = sio_server_pattern(w.server, "^/d", &sio_world_ops, &w);
        hung = parent && sio_namespace_use(parent, accept, &w) == SIO_OK &&
               sio_namespace_use(parent, take_time, &w) == SIO_OK &&
               sio_namespace_on_any(parent, note_1, &w) == SIO_OK &&
               sio_namespace_on_any_outgoing(parent, note_1, &w) == SIO_OK &&
               sio_namespace_on(parent, "a", on_parents, &w) == SIO_OK;
        alloc_fail_pause();
        s = sio_world_session(&w);
        alloc_fail_resume();
        waiting = NULL;
        if (hung)
            fake_text(s, "0/d1");
        if (waiting)
            sio_join_accept(waiting);
        fake_text(s, "2/d1,[\"a\"]");
        if (parent) {
            struct sio_message *m = sio_message_new("x");

            if (m)
                sio_namespace_emit(parent, NULL, m);
            sio_message_free(m);
        }
        alloc_fail_pause();
        sio_world_turn(&w);
        sio_world_close(&w);
        alloc_fail_resume();
    }
}

static void a_socket_shows_attributes(void **state)
{
    struct sio_socket *s;
    struct sio_world w;

    (void)state;
    sio_world_open(&w, NULL);
    sio_world_join(&w, "", &s);
    assert_null(sio_socket_attributes(s).ptr);
    assert_int_equal(sio_socket_set_attributes(s, NO_DATA), SIO_OK);
    assert_int_equal(sio_socket_set_attributes(s, SIO_STR("{\"a\":")), SIO_ERR_PARSE);
    assert_int_equal(sio_socket_set_attributes(s, SIO_STR("{\"a\":1}")), SIO_OK);
    assert_int_equal(sio_socket_attributes(s).len, 7);
    assert_memory_equal(sio_socket_attributes(s).ptr, "{\"a\":1}", 7);
    assert_int_equal(sio_socket_set_attributes(s, NO_DATA), SIO_OK);
    assert_null(sio_socket_attributes(s).ptr);
    sio_world_close(&w);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_pattern_makes_namespaces_as_they_are_joined),
        cmocka_unit_test(a_function_sees_name_and_auth_of_the_first),
        cmocka_unit_test(refuses_names_that_no_pattern_should_see),
        cmocka_unit_test(the_nearest_handler_is_called),
        cmocka_unit_test(a_parent_stands_for_all_its_children),
        cmocka_unit_test(empty_children_go_if_the_parent_says_so),
        cmocka_unit_test(the_number_of_children_is_bounded),
        cmocka_unit_test(middleware_is_asked_in_order),
        cmocka_unit_test(a_child_asks_its_parents_middleware_first),
        cmocka_unit_test(middleware_may_take_its_time),
        cmocka_unit_test(a_client_that_leaves_meanwhile_harms_nobody),
        cmocka_unit_test(who_asks_again_while_it_waits_is_asked_about_anew),
        cmocka_unit_test(what_waits_for_middleware_is_bounded),
        cmocka_unit_test(middleware_may_end_the_connection),
        cmocka_unit_test(who_is_never_answered_is_refused_in_time),
        cmocka_unit_test(joins_that_never_end_count_as_namespaces),
        cmocka_unit_test(event_middleware_passes_drops_or_answers),
        cmocka_unit_test(listeners_hear_all_that_comes_in),
        cmocka_unit_test(listeners_hear_what_goes_out),
        cmocka_unit_test(a_socket_shows_attributes),
        cmocka_unit_test(running_out_of_memory_costs_only_who_asks),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
