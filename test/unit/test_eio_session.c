/*
 * A session without a network: its states, heartbeat and queue, over a transport that
 * only writes down what it is told.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "alloc_fail.h"
#include "base/list.h"
#include "engineio/session.h"

struct fake {
    struct eio_transport base;
    bool writable;
    int send_result;
    int flush_result;
    char log[256]; /* one letter a call */
    enum eio_close_reason reason;
};

static struct {
    struct net_loop *loop;
    struct eio_sessions table;
    struct eio_session *session;
    struct fake fake;
    int n_closed;
    int n_messages;
    enum eio_close_reason reason;
    int n_gone;
    void (*in_close)(struct eio_session *s);
} fix;

static void note(struct eio_transport *t, char c)
{
    struct fake *f = container_of(t, struct fake, base);
    size_t n = strlen(f->log);

    if (n < sizeof(f->log) - 1)
        f->log[n] = c;
}

static bool fake_writable(const struct eio_transport *t)
{
    return ((const struct fake *)(const void *)t)->writable;
}

static int fake_send(struct eio_transport *t, struct eio_msg *msg)
{
    (void)msg;
    note(t, 's');
    return container_of(t, struct fake, base)->send_result;
}

/* Takes everything, if it is writable. */
static int fake_flush(struct eio_transport *t)
{
    struct eio_queue *q = &t->session->queue;
    struct eio_msg *msg;
    uint32_t part;

    note(t, 'f');
    while (fake_writable(t) && (msg = eio_queue_front(q, &part)))
        eio_queue_sent(q, msg->n_parts - part);
    return container_of(t, struct fake, base)->flush_result;
}

static void fake_heartbeat(struct eio_transport *t)
{
    note(t, 'p');
}

static void fake_finish(struct eio_transport *t, enum eio_close_reason reason)
{
    note(t, 'F');
    container_of(t, struct fake, base)->reason = reason;
}

static void fake_close(struct eio_transport *t, enum eio_close_reason reason)
{
    note(t, 'C');
    container_of(t, struct fake, base)->reason = reason;
}

static void fake_abort(struct eio_transport *t)
{
    note(t, 'A');
}

static size_t fake_pending(const struct eio_transport *t)
{
    (void)t;
    return 7;
}

static const struct eio_transport_ops fake_ops = {
    .name = "fake",
    .writable = fake_writable,
    .send = fake_send,
    .flush = fake_flush,
    .heartbeat = fake_heartbeat,
    .finish = fake_finish,
    .close = fake_close,
    .abort = fake_abort,
    .pending = fake_pending,
};

static void on_message(struct eio_session *s, bool text, struct sio_slice msg,
                       void *user)
{
    (void)s;
    (void)text;
    (void)msg;
    (void)user;
    fix.n_messages++;
}

static void on_close(struct eio_session *s, enum eio_close_reason reason, void *user)
{
    (void)user;
    fix.n_closed++;
    fix.reason = reason;
    if (fix.in_close)
        fix.in_close(s);
}

static const struct eio_session_ops session_ops = {on_message, on_close};

static void on_gone(struct eio_sessions *table)
{
    (void)table;
    fix.n_gone++;
}

static void open_session_3(uint32_t interval_ms, uint32_t timeout_ms, bool is_3)
{
    fix.table.ping_interval_ms = interval_ms;
    fix.table.ping_timeout_ms = timeout_ms;
    fix.table.max_queue_bytes = 1000;
    fix.session = eio_session_new(&fix.table, is_3 ? EIO_FORM_3 : EIO_FORM_4);
    assert_non_null(fix.session);
    fix.fake.base.ops = &fake_ops;
    fix.fake.base.session = fix.session;
    fix.fake.send_result = SIO_ERR_AGAIN;
    eio_session_opened(fix.session, &fix.fake.base);
    eio_session_set_ops(fix.session, &session_ops, NULL);
}

static void open_session(uint32_t interval_ms, uint32_t timeout_ms)
{
    open_session_3(interval_ms, timeout_ms, false);
}

static struct eio_session *find(void)
{
    return eio_sessions_find(&fix.table,
                             (struct sio_str){fix.session->sid, RANDOM_ID_LEN});
}

static void turn(void)
{
    assert_int_equal(net_loop_run_once(fix.loop, 1), SIO_OK);
}

static int setup(void **state)
{
    (void)state;
    memset(&fix, 0, sizeof(fix));
    fix.loop = net_loop_new(NULL, NULL);
    assert_non_null(fix.loop);
    eio_sessions_init(&fix.table, fix.loop);
    fix.table.on_gone = on_gone;
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    while (!list_empty(&fix.table.open))
        eio_session_abort(container_of(fix.table.open.next, struct eio_session, link),
                          EIO_CLOSE_SHUTDOWN);
    while (!list_empty(&fix.table.closing))
        eio_session_abort(
            container_of(fix.table.closing.next, struct eio_session, link),
            EIO_CLOSE_SHUTDOWN);
    assert_true(eio_sessions_idle(&fix.table));
    eio_sessions_fini(&fix.table);
    net_loop_free(fix.loop);
    return 0;
}

/* Pushes one text and lets go of it. */
static int send_text(const char *text, bool is_volatile)
{
    struct sio_slice s = {NULL, (const uint8_t *)text, strlen(text)};
    struct eio_part part = {true, &s, 1};
    struct eio_msg_options opts = {.is_volatile = is_volatile};
    struct eio_msg *msg = eio_msg_new(&part, 1, &opts);
    int rv = eio_session_send(fix.session, msg);

    eio_msg_unref(msg);
    return rv;
}

static int receive(const char *text)
{
    struct eio_packet p;

    assert_int_equal(eio_packet_parse(sio_str_from(text), &p), SIO_OK);
    return eio_session_receive(fix.session, &p, NULL);
}

static void is_found_by_its_sid(void **state)
{
    (void)state;
    open_session(25000, 20000);
    assert_int_equal(strlen(fix.session->sid), 20);
    assert_ptr_equal(find(), fix.session);
    assert_null(eio_sessions_find(&fix.table, SIO_STR("unknown")));
    assert_null(eio_sessions_find(&fix.table, SIO_STR("")));
    assert_int_equal(fix.table.stats.n_sessions, 1);
}

static void closing_lets_the_transport_finish(void **state)
{
    (void)state;
    open_session(25000, 20000);
    eio_session_close(fix.session, EIO_CLOSE_FORCED);
    assert_string_equal(fix.fake.log, "F");
    assert_int_equal(fix.n_closed, 1);
    assert_int_equal(fix.reason, EIO_CLOSE_FORCED);
    assert_ptr_equal(find(), fix.session); /* for the poll that fetches the rest */
    assert_int_equal(send_text("x", false), SIO_ERR_CLOSED);
    eio_session_drained(fix.session);
    assert_null(find());
    assert_int_equal(fix.n_gone, 1);
    assert_int_equal(fix.n_closed, 1);
}

static void failing_ends_at_once(void **state)
{
    (void)state;
    open_session(25000, 20000);
    send_text("lost", false);
    eio_session_fail(fix.session, EIO_CLOSE_PARSE_ERROR);
    assert_string_equal(fix.fake.log, "sC");
    assert_int_equal(fix.reason, EIO_CLOSE_PARSE_ERROR);
    assert_null(find());
    assert_int_equal(fix.table.stats.n_sessions, 0);
}

static void nothing_happens_after_the_end(void **state)
{
    (void)state;
    open_session(25000, 20000);
    eio_session_abort(fix.session, EIO_CLOSE_TRANSPORT_ERROR);
    eio_session_abort(fix.session, EIO_CLOSE_FORCED);
    eio_session_close(fix.session, EIO_CLOSE_FORCED);
    eio_session_fail(fix.session, EIO_CLOSE_FORCED);
    assert_int_equal(send_text("x", false), SIO_ERR_CLOSED);
    assert_string_equal(fix.fake.log, "A");
    assert_int_equal(fix.n_closed, 1);
    assert_int_equal(fix.reason, EIO_CLOSE_TRANSPORT_ERROR);
}

static void end_again(struct eio_session *s)
{
    struct eio_msg *msg = eio_msg_text("x", 1);

    assert_int_equal(eio_session_send(s, msg), SIO_ERR_CLOSED);
    assert_string_equal(eio_session_transport(s), "fake");
    assert_int_equal(eio_session_pending(s), 7);
    eio_session_close(s, EIO_CLOSE_FORCED);
    eio_session_abort(s, EIO_CLOSE_FORCED);
    eio_msg_unref(msg);
}

static void on_close_may_end_it_again(void **state)
{
    (void)state;
    fix.in_close = end_again;
    open_session(25000, 20000);
    eio_session_close(fix.session, EIO_CLOSE_FORCED);
    assert_string_equal(fix.fake.log, "A");
    assert_int_equal(fix.n_closed, 1);
    fix.fake.log[0] = '\0';
    open_session(25000, 20000);
    eio_session_fail(fix.session, EIO_CLOSE_FORCED);
    assert_string_equal(fix.fake.log, "C");
    assert_int_equal(fix.n_closed, 2);
}

static void a_deadline_counts_without_its_timer(void **state)
{
    (void)state;
    open_session(20, 20);
    net_timer_stop(&fix.session->timer);
    while (net_loop_now_ns(fix.loop) < fix.session->deadline_ns) {
        assert_ptr_equal(find(), fix.session);
        turn();
    }
    assert_null(find());
    assert_int_equal(fix.reason, EIO_CLOSE_PING_TIMEOUT);
}

static void pings_once_and_then_times_out(void **state)
{
    (void)state;
    open_session(10, 500); /* who sleeps through both sends no ping */
    while (fix.n_closed == 0)
        turn();
    assert_string_equal(fix.fake.log, "pC");
    assert_int_equal(fix.reason, EIO_CLOSE_PING_TIMEOUT);
}

static void a_pong_counts_from_its_arrival(void **state)
{
    uint64_t before, now;

    (void)state;
    open_session(10, 500);
    while (!fix.session->pinged)
        turn();
    before = fix.session->deadline_ns;
    now = net_loop_now_ns(fix.loop);
    assert_int_equal(receive("3"), SIO_OK);
    assert_true(fix.session->deadline_ns > before);
    assert_int_equal(fix.session->deadline_ns, now + UINT64_C(510) * 1000000);
    assert_false(fix.session->pinged);
    while (!fix.session->pinged)
        turn();
    assert_string_equal(fix.fake.log, "pp");
}

static void in_protocol_3_the_client_pings(void **state)
{
    uint64_t before;

    (void)state;
    open_session_3(25000, 20000, true);
    assert_int_equal(eio_session_protocol(fix.session), 3);
    before = fix.session->deadline_ns;
    turn();
    assert_int_equal(receive("2"), SIO_OK);
    assert_string_equal(fix.fake.log, "p");
    assert_true(fix.session->deadline_ns >= before);
    assert_int_equal(receive("3"), SIO_ERR_PROTOCOL);
    fix.table.ping_interval_ms = fix.table.ping_timeout_ms = 10;
    assert_int_equal(receive("2"), SIO_OK);
    while (fix.n_closed == 0)
        turn();
    assert_string_equal(fix.fake.log, "ppC");
    assert_int_equal(fix.reason, EIO_CLOSE_PING_TIMEOUT);
}

static void in_protocol_3_binary_has_a_type(void **state)
{
    static const uint8_t bytes[] = {4, 1, 2};

    (void)state;
    open_session_3(25000, 20000, true);
    assert_int_equal(
        eio_session_receive_binary(fix.session, (struct sio_slice){NULL, bytes, 3}),
        SIO_OK);
    assert_int_equal(fix.table.stats.bytes_in, 2);
    assert_int_equal(
        eio_session_receive_binary(fix.session, (struct sio_slice){NULL, bytes + 1, 2}),
        SIO_ERR_PARSE);
    assert_int_equal(
        eio_session_receive_binary(fix.session, (struct sio_slice){NULL, bytes, 0}),
        SIO_ERR_PARSE);
    assert_int_equal(fix.n_messages, 1);
}

static void queued_packets_are_bounded_too(void **state)
{
    (void)state;
    open_session_3(25000, 20000, true);
    for (int i = 0; i < 100; i++)
        eio_session_queue(fix.session, SIO_STR("3"));
    assert_true(eio_session_pending(fix.session) < 1100);
    assert_int_equal(fix.n_closed, 0);
    turn();
    assert_int_equal(fix.n_closed, 1);
    assert_int_equal(fix.reason, EIO_CLOSE_TRANSPORT_ERROR);
}

static void what_is_held_goes_out_later_in_order(void **state)
{
    struct eio_msg *msg;
    uint32_t part;

    (void)state;
    open_session_3(25000, 20000, true);
    assert_int_equal(eio_session_hold(fix.session, SIO_STR("0{}")), SIO_OK);
    assert_int_equal(send_text("x", false), SIO_OK);
    msg = eio_queue_front(&fix.session->queue, &part);
    assert_int_equal(msg->bytes, 5);
    while (fix.session->held) {
        assert_string_equal(fix.fake.log, "");
        turn();
    }
    assert_string_equal(fix.fake.log, "f");
    assert_int_equal(fix.n_closed, 0);
}

static void what_is_held_makes_way_for_what_is_large(void **state)
{
    char large[2001];

    (void)state;
    memset(large, 'x', sizeof(large));
    large[2000] = 0;
    open_session_3(25000, 20000, true);
    fix.fake.writable = true;
    assert_int_equal(eio_session_hold(fix.session, SIO_STR("0{}")), SIO_OK);
    assert_int_equal(send_text(large, false), SIO_OK);
    assert_false(fix.session->held);
    turn();
    assert_int_equal(fix.n_closed, 0);
}

static void messages_of_a_turn_are_flushed_once(void **state)
{
    (void)state;
    open_session(25000, 20000);
    fix.fake.writable = true;
    for (int i = 0; i < 5; i++)
        assert_int_equal(send_text("x", false), SIO_OK);
    assert_string_equal(fix.fake.log, "s");
    turn();
    assert_string_equal(fix.fake.log, "sf");
    assert_int_equal(fix.table.stats.messages_out, 5);
    assert_int_equal(eio_session_pending(fix.session), 7);
}

static void what_the_transport_takes_is_not_queued(void **state)
{
    (void)state;
    open_session(25000, 20000);
    fix.fake.send_result = SIO_OK;
    assert_int_equal(send_text("x", false), SIO_OK);
    assert_true(eio_queue_empty(&fix.session->queue));
}

static void nothing_passes_what_waits(void **state)
{
    (void)state;
    open_session(25000, 20000);
    assert_int_equal(send_text("x", false), SIO_OK);
    fix.fake.send_result = SIO_OK;
    assert_int_equal(send_text("y", false), SIO_OK);
    assert_string_equal(fix.fake.log,
                        "s"); /* the second was not offered past the first */
}

static void volatile_messages_are_dropped_while_it_cannot_write(void **state)
{
    (void)state;
    open_session(25000, 20000);
    assert_int_equal(send_text("x", true), SIO_OK);
    assert_true(eio_queue_empty(&fix.session->queue));
    assert_int_equal(fix.table.stats.n_dropped, 1);
    fix.fake.writable = true;
    assert_int_equal(send_text("x", true), SIO_OK);
    assert_false(eio_queue_empty(&fix.session->queue));
}

static void too_much_ends_it_with_the_turn(void **state)
{
    int rv;

    (void)state;
    open_session(25000, 20000);
    do {
        rv = send_text("something", false);
    } while (rv == SIO_OK);
    assert_int_equal(rv, SIO_ERR_FULL);
    assert_true(fix.session->queue.bytes <= 1000);
    assert_int_equal(fix.n_closed, 0); /* not under the feet of the sender */
    assert_int_equal(send_text("x", false), SIO_ERR_CLOSED);
    turn();
    assert_int_equal(fix.n_closed, 1);
    assert_int_equal(fix.reason, EIO_CLOSE_TRANSPORT_ERROR);
    assert_null(strchr(fix.fake.log, 'f'));
    assert_int_equal(fix.fake.log[strlen(fix.fake.log) - 1], 'A');
}

static void a_waiting_client_is_served_before_it_is_too_much(void **state)
{
    (void)state;
    open_session(25000, 20000);
    fix.fake.writable = true;
    for (int i = 0; i < 100; i++)
        assert_int_equal(send_text("something", false), SIO_OK);
    turn();
    assert_int_equal(fix.n_closed, 0);
    assert_true(eio_queue_empty(&fix.session->queue));
}

static void a_client_that_cannot_be_served_ends_with_the_turn(void **state)
{
    int rv;

    (void)state;
    open_session(25000, 20000);
    fix.fake.writable = true;
    fix.fake.flush_result = SIO_ERR_NOMEM;
    do {
        rv = send_text("something", false);
    } while (rv == SIO_OK);
    assert_int_equal(rv, SIO_ERR_NOMEM);
    assert_int_equal(fix.n_closed, 0); /* not under the feet of the sender */
    turn();
    assert_int_equal(fix.n_closed, 1);
    assert_int_equal(fix.reason, EIO_CLOSE_TRANSPORT_ERROR);
}

static void knows_which_packets_a_client_may_send(void **state)
{
    (void)state;
    open_session(25000, 20000);
    assert_int_equal(receive("4text"), SIO_OK);
    assert_int_equal(fix.n_messages, 1);
    assert_int_equal(receive("5"), SIO_OK);
    assert_int_equal(receive("3probe"), SIO_OK);
    assert_int_equal(receive("0{}"), SIO_ERR_PROTOCOL);
    assert_int_equal(receive("2"), SIO_ERR_PROTOCOL);
    assert_int_equal(receive("6"), SIO_ERR_PROTOCOL);
    assert_int_equal(fix.n_closed, 0);
    assert_int_equal(receive("1"), SIO_OK);
    assert_int_equal(fix.reason, EIO_CLOSE_TRANSPORT_CLOSE);
    assert_int_equal(fix.n_messages, 1);
}

static void a_closing_session_is_given_up_in_time(void **state)
{
    (void)state;
    open_session(25000, 20000);
    eio_session_close(fix.session, EIO_CLOSE_FORCED);
    fix.session->deadline_ns = net_loop_now_ns(fix.loop); /* 30 s later */
    assert_null(find());
    assert_string_equal(fix.fake.log, "FA");
    assert_int_equal(fix.n_closed, 1);
}

static void survives_each_failing_allocation(void **state)
{
    struct eio_session *s = NULL;

    (void)state;
    alloc_fail_each(i)
    {
        s = eio_session_new(&fix.table, EIO_FORM_4);
        if (s)
            eio_session_discard(s);
        assert_int_equal(fix.table.by_sid.n_items, 0);
    }
    assert_non_null(s);
    turn();
}

static void no_memory_to_queue_ends_it_with_the_turn(void **state)
{
    struct eio_msg *msg = eio_msg_text("x", 1);

    (void)state;
    open_session(25000, 20000);
    alloc_fail_at(1);
    assert_int_equal(eio_session_send(fix.session, msg), SIO_ERR_NOMEM);
    eio_msg_unref(msg);
    turn();
    assert_int_equal(fix.n_closed, 1);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(is_found_by_its_sid),
        TEST(closing_lets_the_transport_finish),
        TEST(failing_ends_at_once),
        TEST(nothing_happens_after_the_end),
        TEST(on_close_may_end_it_again),
        TEST(a_deadline_counts_without_its_timer),
        TEST(pings_once_and_then_times_out),
        TEST(a_pong_counts_from_its_arrival),
        TEST(in_protocol_3_the_client_pings),
        TEST(in_protocol_3_binary_has_a_type),
        TEST(queued_packets_are_bounded_too),
        TEST(what_is_held_goes_out_later_in_order),
        TEST(what_is_held_makes_way_for_what_is_large),
        TEST(messages_of_a_turn_are_flushed_once),
        TEST(what_the_transport_takes_is_not_queued),
        TEST(nothing_passes_what_waits),
        TEST(volatile_messages_are_dropped_while_it_cannot_write),
        TEST(too_much_ends_it_with_the_turn),
        TEST(a_waiting_client_is_served_before_it_is_too_much),
        TEST(a_client_that_cannot_be_served_ends_with_the_turn),
        TEST(knows_which_packets_a_client_may_send),
        TEST(a_closing_session_is_given_up_in_time),
        TEST(survives_each_failing_allocation),
        TEST(no_memory_to_queue_ends_it_with_the_turn),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
