/*
 * Servers that act as one, over a bus that is the test's: what holds with each kind of
 * channels.  (test_cluster_pubsub.c, test_cluster_sharded.c: what one of them says and
 * understands)
 */
#include <config.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "alloc_fail.h"
#include "cluster_world.h"
#include "socketio/namespace.h"
#include "socketio/recovery.h"

/* A cluster */

static void a_cluster_needs_a_url(void **state)
{
    struct sio_cluster_options opts = {.redis_url = "http://localhost"};
    struct sio_diag diag = {""};
    struct net_loop *loop = net_loop_new(NULL, NULL);

    (void)state;
    assert_null(sio_cluster_new(loop, &opts, &diag));
    assert_string_equal(diag.text, "not a URL");
    opts.redis_url = NULL;
    assert_null(sio_cluster_new(loop, &opts, &diag));
    assert_string_equal(diag.text, "a cluster needs the URL of a Redis");
    opts = (struct sio_cluster_options){.redis_url = "redis://localhost",
                                        .python_channel = ""};
    assert_null(sio_cluster_new(loop, &opts, &diag));
    assert_string_equal(diag.text, "python_channel: it has no name");
    sio_cluster_free(NULL);
    net_loop_free(loop);
    fake_bus_reset();
}

static void servers_have_names(void **state)
{
    const struct cluster_kind *kind = *state;
    struct two t;
    struct sio_str a, b;

    two_open(&t, &kind->opts);
    a = sio_cluster_uid(t.of_a);
    b = sio_cluster_uid(t.of_b);
    assert_int_equal(a.len, 20);
    assert_memory_not_equal(a.ptr, b.ptr, 20);
    assert_true(sio_cluster_is_up(t.of_a));
    fake_bus_down();
    assert_false(sio_cluster_is_up(t.of_a));
    two_close(&t);
}

static void a_cluster_serves_one_server(void **state)
{
    const struct cluster_kind *kind = *state;
    struct sio_server_options opts = {.adapter = sio_cluster_adapter};
    struct sio_server *second;
    struct two t;

    two_open(&t, &kind->opts);
    opts.adapter_user = t.of_a;
    second = sio_server_new(t.a.loop, &opts, NULL);
    assert_null(sio_server_namespace(second, "/", &sio_world_ops, &t.a));
    sio_server_free(second);
    two_close(&t);
}

static void a_namespace_listens_while_it_is_there(void **state)
{
    const struct cluster_kind *kind = *state;
    struct sio_namespace *parent;
    struct sio_socket *socket;
    struct eio_session *s;
    struct two t;

    two_open(&t, &kind->opts);
    assert_int_equal(fake_bus_n_topics(), 2 * kind->n_topics);
    parent = sio_server_pattern(t.a.server, "^/d", &sio_world_ops, &t.a);
    sio_namespace_set_children(parent, 10, true);
    assert_int_equal(fake_bus_n_topics(), 2 * kind->n_topics);
    s = sio_world_join(&t.a, "/d1", &socket);
    assert_int_equal(fake_bus_n_topics(), 3 * kind->n_topics + kind->n_of_socket);
    sio_socket_join(socket, SIO_STR("r"));
    assert_int_equal(fake_bus_n_topics(),
                     3 * kind->n_topics + kind->n_of_socket + kind->n_of_room);
    fake_close(s, EIO_CLOSE_TRANSPORT_CLOSE);
    sio_world_turn(&t.a);
    assert_int_equal(fake_bus_n_topics(), 2 * kind->n_topics);
    two_close(&t);
}

/* Broadcasts */

static void a_broadcast_reaches_each_client_once(void **state)
{
    static const char bytes_sent[] =
        "51-[\"b\",{\"_placeholder\":true,\"num\":0}]|<3 bytes>";
    const struct cluster_kind *kind = *state;
    struct sio_message *m = sio_message_newf("news", "i", 1);
    struct sio_message *bytes = bytes_message("b");
    struct eio_session *in_a, *in_b;
    struct two t;

    two_open(&t, &kind->opts);
    in_a = sio_world_join(&t.a, "", NULL);
    in_b = sio_world_join(&t.b, "", NULL);
    assert_int_equal(sio_namespace_emit(t.a.ns, NULL, m), 1);
    assert_string_equal(fake_bus_channel(), "socket.io#/#");
    /* Those here do not wait for Redis. */
    assert_string_equal(fake_sent(in_a), "2[\"news\",1]");
    assert_string_equal(fake_sent(in_b), "");
    assert_int_equal(fake_bus_run(), 1);
    assert_string_equal(fake_sent(in_a), "");
    assert_string_equal(fake_sent(in_b), "2[\"news\",1]");
    assert_int_equal(stats_of(t.of_a).n_sent, 1);
    assert_int_equal(stats_of(t.of_a).n_foreign, 1);
    assert_int_equal(stats_of(t.of_a).n_received, 1);
    assert_int_equal(stats_of(t.of_b).n_received, 1);
    assert_int_equal(stats_of(t.of_b).n_foreign, 0);

    assert_int_equal(sio_namespace_emit(t.b.ns, NULL, bytes), 1);
    assert_string_equal(fake_sent(in_a), "");
    assert_string_equal(fake_sent(in_b), bytes_sent);
    assert_int_equal(fake_bus_run(), 1);
    assert_string_equal(fake_sent(in_a), bytes_sent);
    assert_string_equal(fake_sent(in_b), "");
    assert_int_equal(stats_of(t.of_a).n_sent, 1);
    assert_int_equal(stats_of(t.of_a).n_foreign, 1);
    assert_int_equal(stats_of(t.of_a).n_received, 2);
    assert_int_equal(stats_of(t.of_a).n_rejected, 0);
    sio_message_free(m);
    sio_message_free(bytes);
    two_close(&t);
}

static struct sio_slice filled(size_t len, char c)
{
    struct sio_buf *buf = sio_buf_new(len);

    assert_non_null(buf);
    memset(sio_buf_data(buf), c, len);
    return sio_slice_of(buf);
}

/* Adds a text of 5000 letters, in pieces. */
static void add_text(struct sio_message *m, char c)
{
    struct sio_slice text = filled(5000, c);

    sio_message_begin(m);
    sio_message_text(m, SIO_STR("\""));
    sio_message_slice(m, text);
    sio_message_text(m, SIO_STR("\""));
    assert_int_equal(sio_message_end(m), SIO_OK);
    sio_buf_unref(text.buf);
}

static size_t expect_run(const char *text, char c, size_t len)
{
    for (size_t i = 0; i < len; i++)
        assert_int_equal(text[i], c);
    return len;
}

/* More of it than is passed on without a copy. */
static void large_texts_arrive_as_they_were(void **state)
{
    const struct cluster_kind *kind = *state;
    struct sio_message *m = sio_message_new("texts");
    struct eio_session *in_b;
    const char *sent;
    struct two t;

    two_open(&t, &kind->opts);
    in_b = sio_world_join(&t.b, "", NULL);
    for (char c = 'a'; c < 'f'; c++)
        add_text(m, c);
    sio_namespace_emit(t.a.ns, NULL, m);
    sio_message_free(m);
    fake_bus_run();
    sent = fake_sent(in_b);
    assert_int_equal(strncmp(sent, "2[\"texts\"", 9), 0);
    sent += 9;
    for (char c = 'a'; c < 'f'; c++) {
        assert_int_equal(strncmp(sent, ",\"", 2), 0);
        sent += 2 + expect_run(sent + 2, c, 5000);
        assert_int_equal(*sent++, '"');
    }
    assert_string_equal(sent, "]");
    two_close(&t);
}

static void large_bytes_arrive_as_they_were(void **state)
{
    const struct cluster_kind *kind = *state;
    struct sio_message *m = sio_message_new("large");
    char expected[400];
    struct eio_session *in_b;
    struct two t;
    size_t len;

    two_open(&t, &kind->opts);
    in_b = sio_world_join(&t.b, "", NULL);
    len = (size_t)snprintf(expected, sizeof(expected), "55-[\"large\"");
    for (int i = 0; i < 5; i++) {
        struct sio_slice slice = filled(5000, (char)('a' + i));

        sio_message_add_binary(m, slice);
        sio_buf_unref(slice.buf);
        len += (size_t)snprintf(expected + len, sizeof(expected) - len,
                                ",{\"_placeholder\":true,\"num\":%d}", i);
    }
    snprintf(expected + len, sizeof(expected) - len,
             "]|<5000 bytes>|<5000 bytes>|<5000 bytes>|<5000 bytes>|<5000 bytes>");
    sio_namespace_emit(t.a.ns, NULL, m);
    sio_message_free(m);
    fake_bus_run();
    assert_string_equal(fake_sent(in_b), expected);
    for (char c = 'a'; c < 'f'; c++) {
        char run[5001];

        memset(run, c, 5000);
        run[5000] = '\0';
        assert_non_null(memmem(fake_bus_body().ptr, fake_bus_body().len, run, 5000));
    }
    two_close(&t);
}

/* Others would reject it: they are not even sent it. */
static void what_is_too_large_stays_here(void **state)
{
    const struct cluster_kind *kind = *state;
    const struct sio_server_options small = {.max_binary_bytes = 100000};
    struct sio_message *m = sio_message_new("large");
    struct sio_slice slice = filled(200000, 'x');
    struct eio_session *in_a, *in_b;
    struct two t;

    t.of_a = cluster_world_open(&t.a, &kind->opts, &small);
    t.of_b = cluster_world_open(&t.b, &kind->opts, &small);
    in_a = sio_world_join(&t.a, "", NULL);
    in_b = sio_world_join(&t.b, "", NULL);
    sio_message_add_binary(m, slice);
    sio_buf_unref(slice.buf);
    for (unsigned i = 1; i <= 2; i++) {
        assert_int_equal(sio_namespace_emit(t.a.ns, NULL, m), 1);
        assert_non_null(strstr(fake_sent(in_a), "|<200000 bytes>"));
        assert_int_equal(fake_bus_run(), 0);
        assert_int_equal(stats_of(t.of_a).n_too_big, i);
        assert_int_equal(t.a.n_warned, 1);
    }
    assert_int_equal(stats_of(t.of_a).n_dropped, 0);
    assert_int_equal(stats_of(t.of_a).n_sent, 0);

    /* A question is answered by those here. */
    sio_namespace_emit_ack(t.a.ns, NULL, m, 500, note_answers, &t.a);
    fake_text(in_a, "30[1]");
    sio_world_expect(&t.a, "error(1)");
    assert_int_equal(stats_of(t.of_a).n_too_big, 3);
    assert_string_equal(fake_sent(in_b), "");
    sio_message_free(m);

    /* What others take goes out. */
    m = sio_message_new("less");
    slice = filled(150000, 'x');
    sio_message_add_binary(m, slice);
    sio_buf_unref(slice.buf);
    sio_namespace_emit(t.a.ns, NULL, m);
    fake_bus_run();
    assert_non_null(strstr(fake_sent(in_b), "|<150000 bytes>"));
    sio_message_free(m);
    two_close(&t);
}

/* Nor is what Redis is never given, or what would cost the others their connection. */
static void what_the_bus_does_not_take_stays_here(void **state)
{
    const struct cluster_kind *kind = *state;
    const struct sio_server_options server = {.max_binary_bytes = 256000000};
    struct sio_cluster_options opts = kind->opts;
    struct sio_message *m;
    struct sio_slice slice;
    struct two t;

    for (int i = 0; i < 2; i++) {
        opts.max_unsent = i == 0 ? 200000 : 256000000;
        t.of_a = cluster_world_open(&t.a, &opts, &server);
        t.of_b = cluster_world_open(&t.b, &opts, &server);
        slice = filled(i == 0 ? 200000 : 32 * 1024 * 1024, 'x');
        m = sio_message_new("large");
        sio_message_add_binary(m, slice);
        sio_buf_unref(slice.buf);
        sio_namespace_emit(t.a.ns, NULL, m);
        assert_int_equal(fake_bus_run(), 0);
        assert_int_equal(stats_of(t.of_a).n_too_big, 1);
        sio_message_free(m);
        two_close(&t);
    }
}

static void a_target_holds_on_all_servers(void **state)
{
    const struct cluster_kind *kind = *state;
    struct sio_str rooms[] = {SIO_STR("r"), SIO_STR("s")};
    struct sio_target target = {.rooms = rooms, .n_rooms = 1};
    struct sio_message *m = sio_message_new("m");
    struct eio_session *b1, *b2;
    struct sio_socket *s1, *s2, *sender;
    struct two t;

    two_open(&t, &kind->opts);
    sio_world_join(&t.a, "", &sender);
    b1 = sio_world_join(&t.b, "", &s1);
    b2 = sio_world_join(&t.b, "", &s2);
    sio_socket_join(s1, rooms[0]);
    sio_socket_join(s2, rooms[1]);
    sio_socket_join(sender, rooms[0]);

    target.except_socket = sender;
    assert_int_equal(sio_namespace_emit(t.a.ns, &target, m), 0);
    assert_string_equal(fake_bus_channel(), kind->to_r);
    fake_bus_run();
    assert_string_equal(fake_sent(b1), "2[\"m\"]");
    assert_string_equal(fake_sent(b2), "");

    target.n_rooms = 2;
    target.except = rooms;
    target.n_except = 1;
    sio_namespace_emit(t.a.ns, &target, m);
    assert_string_equal(fake_bus_channel(), "socket.io#/#");
    fake_bus_run();
    assert_string_equal(fake_sent(b1), "");
    assert_string_equal(fake_sent(b2), "2[\"m\"]");

    /* An id is a room. */
    rooms[0] = sio_socket_id(s2);
    target = (struct sio_target){.rooms = rooms, .n_rooms = 1};
    sio_namespace_emit(t.a.ns, &target, m);
    fake_bus_run();
    assert_string_equal(fake_sent(b2), "2[\"m\"]");

    target.local = true;
    sio_namespace_emit(t.a.ns, &target, m);
    assert_int_equal(fake_bus_run(), 0);
    sio_message_free(m);
    two_close(&t);
}

/* Who may come back to a room gets what came meanwhile. */
static void who_is_away_is_not_forgotten(void **state)
{
    const struct cluster_kind *kind = *state;
    const struct sio_server_options recovers = {.recovery = {.max_away_ms = 10000}};
    size_t n_topics = 2 * kind->n_topics + kind->n_of_room + kind->n_of_socket;
    struct sio_str room = SIO_STR_INIT("r");
    struct sio_target target = {.rooms = &room, .n_rooms = 1};
    struct sio_message *m = sio_message_new("missed");
    struct eio_session *session;
    struct sio_socket *s;
    struct two t;

    t.of_a = cluster_world_open(&t.a, &kind->opts, &recovers);
    t.of_b = cluster_world_open(&t.b, &kind->opts, NULL);
    session = sio_world_join(&t.a, "", &s);
    sio_socket_join(s, room);
    sio_socket_join(s, SIO_STR("left"));
    sio_socket_leave(s, SIO_STR("left"));
    assert_int_equal(fake_bus_n_topics(), n_topics);
    fake_close(session, EIO_CLOSE_TRANSPORT_CLOSE);
    sio_world_turn(&t.a);
    assert_int_equal(fake_bus_n_topics(), n_topics);
    sio_namespace_emit(t.b.ns, &target, m);
    assert_string_equal(fake_bus_channel(), kind->to_r);
    fake_bus_run();
    assert_int_equal(t.a.ns->recovery->history.n, 1);

    /* Another member comes, and goes for good: the first may still come back. */
    sio_world_join(&t.a, "", &s);
    sio_socket_join(s, room);
    sio_socket_leave(s, room);
    assert_int_equal(fake_bus_n_topics(), n_topics + kind->n_of_socket);
    sio_message_free(m);
    two_close(&t);
}

/* Orders */

static void orders_are_carried_out_everywhere(void **state)
{
    const struct cluster_kind *kind = *state;
    struct sio_str room = SIO_STR_INIT("r"), other = SIO_STR_INIT("o");
    struct sio_target target = {.rooms = &room, .n_rooms = 1};
    struct sio_socket *in_a, *in_b;
    struct eio_session *session;
    struct two t;

    two_open(&t, &kind->opts);
    sio_world_join(&t.a, "", &in_a);
    session = sio_world_join(&t.b, "", &in_b);
    assert_int_equal(sio_namespace_join_all(t.a.ns, NULL, &room, 1), SIO_OK);
    assert_string_equal(fake_bus_channel(), kind->to_all);
    fake_bus_run();
    assert_true(sio_socket_in(in_a, room));
    assert_true(sio_socket_in(in_b, room));
    sio_namespace_join_all(t.b.ns, &target, &other, 1);
    fake_bus_run();
    assert_true(sio_socket_in(in_a, other));
    sio_namespace_leave_all(t.b.ns, &target, &other, 1);
    fake_bus_run();
    assert_false(sio_socket_in(in_a, other));

    /* As others say it. */
    kind_say(kind, kind->joins);
    assert_true(sio_socket_in(in_a, SIO_STR("y")));
    kind_say(kind, kind->leaves);
    assert_false(sio_socket_in(in_a, SIO_STR("y")));
    t.a.log[0] = t.b.log[0] = '\0';
    sio_namespace_disconnect_all(t.a.ns, &target, true);
    fake_bus_run();
    sio_world_expect(&t.a, "disconnect(forced server close)");
    sio_world_expect(&t.b, "disconnect(forced server close)");
    assert_int_equal(fake_closed(session), EIO_CLOSE_FORCED);
    assert_int_equal(stats_of(t.of_a).n_rejected, 0);
    two_close(&t);
}

/* Redis */

/* What nobody can be told is not even written. */
static void without_redis_nothing_is_written_for_it(void **state)
{
    const struct cluster_kind *kind = *state;
    struct sio_message *m = sio_message_newf("m", "s", "text");
    struct two t;

    two_open(&t, &kind->opts);
    fake_bus_down();
    alloc_fail_at(1);
    assert_int_equal(sio_namespace_emit(t.a.ns, NULL, m), 0);
    assert_false(alloc_fail_done());
    assert_int_equal(stats_of(t.of_a).n_dropped, 1);
    sio_message_free(m);
    two_close(&t);
}

/* Memory */

static void on_count(int status, const struct sio_answers *answers, void *user)
{
    (void)status;
    (void)answers;
    ++*(int *)user;
}

static void on_list(int status, const struct sio_fetched *list, size_t n, void *user)
{
    (void)status;
    (void)list;
    (void)n;
    ++*(int *)user;
}

static void no_call_is_lost_without_memory(void **state)
{
    const struct cluster_kind *kind = *state;

    alloc_fail_each(n)
    {
        struct sio_str room = SIO_STR_INIT("r");
        struct sio_target target = {.rooms = &room, .n_rooms = 1};
        struct sio_message *m, *text;
        struct sio_slice large;
        struct eio_session *a, *b;
        int asked, sided[2], fetched, told = 0, listed = 0;
        struct two t;

        alloc_fail_pause();
        two_open(&t, &kind->opts);
        sio_namespace_on_side_emit(t.b.ns, note_side, &t.b);
        a = sio_world_join(&t.a, "", NULL);
        b = sio_world_join(&t.b, "", NULL);
        large = filled(5000, 'z');
        m = sio_message_newf("q", "sB", "text", large);
        sio_buf_unref(large.buf);
        text = sio_message_new("s");
        alloc_fail_resume();
        sio_namespace_emit(t.a.ns, NULL, m);
        asked = sio_namespace_emit_ack(t.a.ns, NULL, m, 0, on_count, &told);
        fetched = sio_namespace_fetch(t.a.ns, NULL, on_list, &listed);
        sided[0] = sio_namespace_side_emit(t.a.ns, m, 0, on_count, &told);
        assert_true(kind->side_bytes || sided[0] < 0);
        sio_namespace_join_all(t.a.ns, NULL, &room, 1);
        fake_bus_run();
        fake_text(a, "30[1]");
        fake_text(b, "30[2]");
        sio_namespace_emit(t.a.ns, &target, m);
        fake_bus_run();
        sio_namespace_leave_all(t.a.ns, NULL, &room, 1);
        sided[1] = sio_namespace_side_emit(t.a.ns, text, 0, on_count, &told);
        fake_bus_run();
        kind_say(kind, kind->lists);
        alloc_fail_pause();
        sio_message_free(m);
        sio_message_free(text);
        two_close(&t);
        assert_int_equal(told, (asked == SIO_OK) + (sided[0] == SIO_OK) +
                                   (sided[1] == SIO_OK));
        assert_int_equal(listed, fetched == SIO_OK);
        alloc_fail_resume();
    }
}

static void a_cluster_is_made_whole_or_not_at_all(void **state)
{
    const struct cluster_kind *kind = *state;

    alloc_fail_each(n)
    {
        struct sio_cluster_options opts = kind->opts;
        struct sio_server_options server = {.adapter = sio_cluster_adapter};
        struct sio_server *s;
        struct net_loop *loop;
        struct sio_cluster *c;

        alloc_fail_pause();
        opts.redis_url = "redis://localhost";
        loop = net_loop_new(NULL, NULL);
        alloc_fail_resume();
        c = sio_cluster_new(loop, &opts, NULL);
        alloc_fail_pause();
        server.adapter_user = c;
        s = c ? sio_server_new(loop, &server, NULL) : NULL;
        alloc_fail_resume();
        if (s)
            sio_server_namespace(s, "/", &sio_world_ops, NULL);
        alloc_fail_pause();
        sio_server_free(s);
        assert_int_equal(fake_bus_n_topics(), 0);
        sio_cluster_free(c);
        net_loop_free(loop);
        fake_bus_reset();
        alloc_fail_resume();
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_cluster_needs_a_url),
        CASE(servers_have_names),
        CASE(a_cluster_serves_one_server),
        CASE(a_namespace_listens_while_it_is_there),
        CASE(a_broadcast_reaches_each_client_once),
        CASE(large_texts_arrive_as_they_were),
        CASE(large_bytes_arrive_as_they_were),
        CASE(what_is_too_large_stays_here),
        CASE(what_the_bus_does_not_take_stays_here),
        CASE(a_target_holds_on_all_servers),
        CASE(who_is_away_is_not_forgotten),
        CASE(orders_are_carried_out_everywhere),
        CASE(without_redis_nothing_is_written_for_it),
        CASE(no_call_is_lost_without_memory),
        CASE(a_cluster_is_made_whole_or_not_at_all),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
