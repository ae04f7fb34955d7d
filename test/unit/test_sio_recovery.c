#include <config.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "alloc_fail.h"
#include "base/list.h"
#include "base/random.h"
#include "fake_eio.h"
#include "socketio/namespace.h"
#include "socketio/server.h"
#include "socketio/socket.h"

/* A server with the namespaces "/" and "/x". */
struct world {
    struct net_loop *loop;
    struct sio_server *server;
    struct sio_namespace *ns;
    struct sio_namespace *x;
    struct sio_socket *last; /* that has joined */
    bool recovered;          /* what it said in on_connect */
    bool asked;              /* on_join was called for it */
    unsigned n_ended;
    const char *refusal;
};

/* What a client knows of itself. */
struct client {
    struct eio_session *session;
    char sid[RANDOM_ID_LEN + 1];
    char pid[RANDOM_ID_LEN + 1];
    char offset[64];
};

static const char *on_join(struct sio_socket *s, struct sio_str auth,
                           struct sio_str *data, void *user)
{
    struct world *w = user;

    (void)s;
    (void)auth;
    (void)data;
    w->asked = true;
    return w->refusal;
}

static void on_connect(struct sio_socket *s, struct sio_str auth, void *user)
{
    struct world *w = user;

    (void)auth;
    w->last = s;
    w->recovered = sio_socket_recovered(s);
}

static void on_disconnect(struct sio_socket *s, enum sio_disconnect_reason reason,
                          void *user)
{
    struct world *w = user;

    (void)s;
    (void)reason;
    w->n_ended++;
}

static const struct sio_namespace_ops ops = {on_join, on_connect, on_disconnect, NULL};

static void world_open(struct world *w, struct sio_server_options opts)
{
    memset(w, 0, sizeof(*w));
    if (opts.recovery.max_away_ms == 0)
        opts.recovery.max_away_ms = 60000;
    w->loop = net_loop_new(NULL, NULL);
    w->server = sio_server_new(w->loop, &opts, NULL);
    w->ns = sio_server_namespace(w->server, "/", &ops, w);
    w->x = sio_server_namespace(w->server, "/x", &ops, w);
    assert_non_null(w->x);
}

static void world_close(struct world *w)
{
    sio_server_free(w->server);
    net_loop_run_once(w->loop, 0);
    net_loop_free(w->loop);
    fake_reset();
}

static void set_text(char *out, size_t size, const char *from, const char *mark)
{
    const char *at = strstr(from, mark);

    assert_non_null(at);
    at += strlen(mark);
    snprintf(out, size, "%.*s", (int)strcspn(at, "\""), at);
}

/* What arrives at a client, which remembers the offset of the last event. */
static const char *receive(struct client *c)
{
    const char *sent = fake_sent(c->session);
    const char *end = strrchr(sent, ']');
    const char *at = end;

    if (at && at - sent > 2 && at[-1] == '"') {
        for (at -= 2; *at != '"'; at--)
            ;
        snprintf(c->offset, sizeof(c->offset), "%.*s", (int)(end - 1 - (at + 1)),
                 at + 1);
    }
    return sent;
}

/* Connects; the reply is read, what follows it is left in *rest (or NULL). */
static void join(struct world *w, struct client *c, const char *packet,
                 const char **rest)
{
    const char *sent;

    w->last = NULL;
    w->asked = false;
    c->session = fake_open(sio_server_engine(w->server));
    fake_text(c->session, packet);
    sent = receive(c);
    set_text(c->sid, sizeof(c->sid), sent, "\"sid\":\"");
    set_text(c->pid, sizeof(c->pid), sent, "\"pid\":\"");
    sent += strcspn(sent, "|");
    if (rest)
        *rest = sent;
}

/* Comes back with what it knows; the rest as join. */
static void come_back(struct world *w, struct client *c, const char **rest)
{
    char packet[256];

    snprintf(packet, sizeof(packet), "0{\"pid\":\"%s\",\"offset\":\"%s\"}", c->pid,
             c->offset);
    join(w, c, packet, rest);
}

static void send_event(struct sio_namespace *ns, const char *event, const char *room)
{
    struct sio_str name = sio_str_from(room);
    struct sio_target target = {.rooms = &name, .n_rooms = room != NULL};
    struct sio_message *m = sio_message_new(event);

    if (m)
        sio_namespace_emit(ns, &target, m);
    sio_message_free(m);
}

/* A client that is in the room and has had one event. */
static void settle(struct world *w, struct client *c, const char *room)
{
    join(w, c, "0", NULL);
    if (room)
        sio_socket_join(w->last, sio_str_from(room));
    send_event(w->ns, "first", c->sid);
    receive(c);
    assert_int_not_equal(c->offset[0], '\0');
}

/* The text with the offsets of this history cut out: `2["a"]|2["b"]`. */
static const char *plain(const struct sio_namespace *ns, const char *text)
{
    static char out[4096];
    const struct sio_history *h = &ns->recovery->history;
    char mark[16];
    const char *at;

    snprintf(mark, sizeof(mark), ",\"%.*s", SIO_HISTORY_TAG_LEN, h->tag);
    out[0] = '\0';
    while ((at = strstr(text, mark)) != NULL) {
        strncat(out, text, (size_t)(at - text));
        text = at + strlen(mark);
        text += strcspn(text, "\"") + 1;
    }
    return strcat(out, text);
}

static void count_up(void *data)
{
    (*(int *)data)++;
}

static void on_answer(int status, struct sio_event *e, void *user)
{
    (void)status;
    (void)e;
    (void)user;
}

static void gives_each_event_an_offset(void **state)
{
    static const uint8_t byte = 1;
    struct sio_message *m = sio_message_new("m");
    struct sio_message *binary = sio_message_new("b");
    struct client c = {0};
    char expected[256];
    struct world w;

    (void)state;
    world_open(&w, (struct sio_server_options){0});
    join(&w, &c, "0", NULL);
    assert_string_not_equal(c.sid, c.pid);
    sio_message_add_raw(m, SIO_STR("1"));

    /* Another one each time, the same message or not. */
    for (unsigned i = 0; i < 4; i++) {
        if (i % 2)
            sio_namespace_emit(w.ns, NULL, m);
        else
            sio_socket_emit(w.last, m);
        snprintf(expected, sizeof(expected), "2[\"m\",1,\"%.*s%u\"]",
                 SIO_HISTORY_TAG_LEN, w.ns->recovery->history.tag, i);
        assert_string_equal(fake_sent(c.session), expected);
    }

    /* Behind all arguments, in front of the attachments. */
    sio_message_add_binary(binary, (struct sio_slice){NULL, &byte, 1});
    sio_namespace_emit(w.ns, NULL, binary);
    snprintf(expected, sizeof(expected),
             "51-[\"b\",{\"_placeholder\":true,\"num\":0},\"%.*s4\"]|<1 bytes>",
             SIO_HISTORY_TAG_LEN, w.ns->recovery->history.tag);
    assert_string_equal(fake_sent(c.session), expected);

    /* Not where it is of no use. */
    sio_socket_emit_ack(w.last, m, 0, on_answer, NULL);
    assert_string_equal(fake_sent(c.session), "20[\"m\",1]");
    sio_message_set_volatile(m);
    sio_socket_emit(w.last, m);
    sio_namespace_emit(w.ns, NULL, m);
    assert_string_equal(plain(w.ns, fake_sent(c.session)), "2[\"m\",1]|2[\"m\",1]");
    assert_int_equal(w.ns->recovery->history.next, 5);
    sio_message_free(m);
    sio_message_free(binary);
    world_close(&w);
}

static void sends_what_was_missed(struct world *w, const char *sid)
{
    static const uint8_t bytes[3];
    struct sio_str room = SIO_STR("room"), other = SIO_STR("other");
    struct sio_target without = {
        .rooms = &room, .n_rooms = 1, .except = &other, .n_except = 1};
    struct sio_message *m = sio_message_new("quick");

    send_event(w->ns, "all", NULL);
    send_event(w->ns, "room", "room");
    send_event(w->ns, "elsewhere", "elsewhere");
    send_event(w->ns, "own", sid);
    send_event(w->x, "x", NULL);
    sio_message_set_volatile(m);
    sio_namespace_emit(w->ns, NULL, m);
    sio_message_free(m);
    m = sio_message_new("but not other");
    sio_namespace_emit(w->ns, &without, m);
    sio_message_free(m);
    m = sio_message_new("bytes");
    sio_message_add_binary(m, (struct sio_slice){NULL, bytes, 3});
    sio_namespace_emit(w->ns, &(struct sio_target){.rooms = &room, .n_rooms = 1}, m);
    sio_message_free(m);
}

static void a_client_goes_on_where_it_was(void **state)
{
    struct sio_str rooms[4];
    struct client c = {0};
    const char *rest;
    char sid[32], pid[32];
    int destroyed = 0;
    struct world w;

    (void)state;
    world_open(&w, (struct sio_server_options){0});
    settle(&w, &c, "room");
    assert_false(w.recovered);
    sio_socket_join(w.last, SIO_STR("other"));
    sio_socket_set_data(w.last, &destroyed, count_up);
    assert_int_equal(sio_socket_set_attributes(w.last, SIO_STR("{\"a\":1}")), SIO_OK);
    snprintf(sid, sizeof(sid), "%s", c.sid);
    snprintf(pid, sizeof(pid), "%s", c.pid);

    /* Sent, but never received; then cut off. */
    send_event(w.ns, "on its way", "room");
    fake_close(c.session, EIO_CLOSE_TRANSPORT_CLOSE);
    assert_int_equal(w.n_ended, 1);
    assert_int_equal(sio_namespace_n_sockets(w.ns), 0);
    sends_what_was_missed(&w, sid);

    come_back(&w, &c, &rest);
    assert_true(w.recovered);
    assert_string_equal(c.sid, sid);
    assert_string_equal(c.pid, pid);
    assert_string_equal(plain(w.ns, rest),
                        "|2[\"on its way\"]|2[\"all\"]|2[\"room\"]|2[\"own\"]|"
                        "51-[\"bytes\",{\"_placeholder\":true,\"num\":0}]|<3 bytes>");
    assert_int_equal(sio_socket_rooms(w.last, rooms, 4), 3);
    assert_true(sio_socket_in(w.last, SIO_STR("room")));
    assert_true(sio_socket_in(w.last, SIO_STR("other")));
    assert_ptr_equal(sio_socket_data(w.last), &destroyed);
    assert_int_equal(destroyed, 0);
    assert_int_equal(sio_socket_attributes(w.last).len, strlen("{\"a\":1}"));

    /* And once more, with the offset that the replay brought. */
    send_event(w.ns, "live", "room");
    assert_string_equal(plain(w.ns, receive(&c)), "2[\"live\"]");
    fake_close(c.session, EIO_CLOSE_PING_TIMEOUT);
    come_back(&w, &c, &rest);
    assert_true(w.recovered);
    assert_string_equal(rest, "");
    fake_text(c.session, "1");
    assert_int_equal(destroyed, 1);
    world_close(&w);
    assert_int_equal(destroyed, 1);
}

static void keeps_other_data_from_nobody(void **state)
{
    struct client c = {0};
    int data = 0;
    struct world w;

    (void)state;
    world_open(&w, (struct sio_server_options){0});
    settle(&w, &c, NULL);
    sio_socket_set_data(w.last, &data, NULL);
    fake_close(c.session, EIO_CLOSE_TRANSPORT_ERROR);
    come_back(&w, &c, NULL);
    assert_true(w.recovered);
    assert_null(sio_socket_data(w.last));
    world_close(&w);
}

static void end_by(struct world *w, struct client *c, enum sio_disconnect_reason why)
{
    switch (why) {
    case SIO_DISCONNECT_CLIENT: fake_text(c->session, "1"); break;
    case SIO_DISCONNECT_SERVER: sio_socket_disconnect(w->last, false); break;
    case SIO_DISCONNECT_TRANSPORT_CLOSE:
        fake_close(c->session, EIO_CLOSE_TRANSPORT_CLOSE);
        break;
    case SIO_DISCONNECT_TRANSPORT_ERROR:
        fake_close(c->session, EIO_CLOSE_TRANSPORT_ERROR);
        break;
    case SIO_DISCONNECT_PARSE_ERROR:
        fake_close(c->session, EIO_CLOSE_PARSE_ERROR);
        break;
    case SIO_DISCONNECT_PING_TIMEOUT:
        fake_close(c->session, EIO_CLOSE_PING_TIMEOUT);
        break;
    case SIO_DISCONNECT_FORCED: fake_text(c->session, "nonsense"); break;
    case SIO_DISCONNECT_FORCED_SERVER: sio_socket_abort(w->last); break;
    case SIO_DISCONNECT_SHUTDOWN: fake_close(c->session, EIO_CLOSE_SHUTDOWN); break;
    }
}

static void only_a_fault_can_be_recovered_from(void **state)
{
    static const bool can[] = {
        [SIO_DISCONNECT_CLIENT] = false,
        [SIO_DISCONNECT_SERVER] = false,
        [SIO_DISCONNECT_TRANSPORT_CLOSE] = true,
        [SIO_DISCONNECT_TRANSPORT_ERROR] = true,
        [SIO_DISCONNECT_PARSE_ERROR] = false,
        [SIO_DISCONNECT_PING_TIMEOUT] = true,
        [SIO_DISCONNECT_FORCED] = true,
        [SIO_DISCONNECT_FORCED_SERVER] = true,
        [SIO_DISCONNECT_SHUTDOWN] = true,
    };
    struct world w;

    (void)state;
    world_open(&w, (struct sio_server_options){0});
    for (unsigned i = 0; i < N_ELEMENTS(can); i++) {
        struct client c = {0};
        int destroyed = 0;

        settle(&w, &c, NULL);
        sio_socket_set_data(w.last, &destroyed, count_up);
        end_by(&w, &c, (enum sio_disconnect_reason)i);
        assert_int_equal(destroyed, !can[i]);
        come_back(&w, &c, NULL);
        assert_int_equal(w.recovered, can[i]);
        fake_text(c.session, "1");
        assert_int_equal(destroyed, 1);
    }
    world_close(&w);
}

/* Unlike one whose connection was cut. */
static void who_was_sent_away_starts_anew(void **state)
{
    struct client c = {0};
    struct world w;

    (void)state;
    world_open(&w, (struct sio_server_options){0});
    settle(&w, &c, NULL);
    sio_socket_disconnect(w.last, true);
    come_back(&w, &c, NULL);
    assert_false(w.recovered);
    world_close(&w);
}

/* Joins with this auth, as a client that starts anew. */
SIOC_PRINTF(3, 4)
static void expect_anew(struct world *w, const struct client *before, const char *fmt,
                        ...)
{
    static char packet[40000];
    struct client c = {0};
    va_list args;

    va_start(args, fmt);
    vsnprintf(packet, sizeof(packet), fmt, args);
    va_end(args);
    join(w, &c, packet, NULL);
    assert_non_null(w->last);
    assert_false(w->recovered);
    assert_string_not_equal(c.sid, before->sid);
    assert_string_not_equal(c.pid, before->pid);
    fake_text(c.session, "1/x,");
    fake_close(c.session, EIO_CLOSE_FORCED);
}

static void who_presents_something_else_starts_anew(void **state)
{
    static char huge[30000];
    struct client c = {0};
    struct world w;

    (void)state;
    world_open(&w, (struct sio_server_options){0});
    settle(&w, &c, NULL);
    memset(huge, 'A', sizeof(huge) - 1);

    /* Still there. */
    expect_anew(&w, &c, "0{\"pid\":\"%s\",\"offset\":\"%s\"}", c.pid, c.offset);
    fake_close(c.session, EIO_CLOSE_TRANSPORT_CLOSE);

    expect_anew(&w, &c, "0{\"pid\":\"%s\"}", c.pid);
    expect_anew(&w, &c, "0{\"offset\":\"%s\"}", c.offset);
    expect_anew(&w, &c, "0{\"pid\":\"%s\",\"offset\":null}", c.pid);
    expect_anew(&w, &c, "0{\"pid\":\"%s\",\"offset\":0}", c.pid);
    expect_anew(&w, &c, "0{\"pid\":\"%s\",\"offset\":[\"%s\"]}", c.pid, c.offset);
    expect_anew(&w, &c, "0{\"pid\":[\"%s\"],\"offset\":\"%s\"}", c.pid, c.offset);
    expect_anew(&w, &c, "0{\"pid\":{\"a\":1},\"offset\":\"%s\"}", c.offset);
    expect_anew(&w, &c, "0{\"pid\":\"\",\"offset\":\"%s\"}", c.offset);
    expect_anew(&w, &c, "0{\"pid\":\"%.19s\",\"offset\":\"%s\"}", c.pid, c.offset);
    expect_anew(&w, &c, "0{\"pid\":\"%s\\u0000\",\"offset\":\"%s\"}", c.pid, c.offset);
    expect_anew(&w, &c, "0{\"pid\":\"%s\",\"offset\":\"%s\"}", huge, c.offset);
    expect_anew(&w, &c, "0{\"pid\":\"%s\",\"offset\":\"%s\"}", c.pid, huge);
    expect_anew(&w, &c, "0{\"pid\":\"%s\",\"offset\":\"%s0\"}", c.pid, c.offset);
    expect_anew(&w, &c, "0{\"pid\":\"%s\",\"offset\":\"\"}", c.pid);
    expect_anew(&w, &c, "0{\"pid\":\"%s\",\"offset\":\"%s\"}", c.sid, c.offset);
    expect_anew(&w, &c, "0/x,{\"pid\":\"%s\",\"offset\":\"%s\"}", c.pid, c.offset);
    expect_anew(&w, &c, "0{\"pid\":\"%s\",\"offset\":\"%.*s0\"}", c.pid,
                SIO_HISTORY_TAG_LEN, w.x->recovery->history.tag);

    /* None of that has hurt who the pid belongs to. */
    come_back(&w, &c, NULL);
    assert_true(w.recovered);
    fake_close(c.session, EIO_CLOSE_TRANSPORT_CLOSE);

    /* It counts once. */
    {
        struct client twin = c;

        come_back(&w, &c, NULL);
        assert_true(w.recovered);
        come_back(&w, &twin, NULL);
        assert_false(w.recovered);
    }
    world_close(&w);
}

static void a_client_that_stays_away_is_forgotten(void **state)
{
    struct client c = {0};
    int destroyed = 0;
    struct world w;

    (void)state;
    world_open(&w, (struct sio_server_options){.recovery.max_away_ms = 1});
    settle(&w, &c, NULL);
    sio_socket_set_data(w.last, &destroyed, count_up);
    fake_close(c.session, EIO_CLOSE_TRANSPORT_CLOSE);
    for (unsigned i = 0; i < 1000 && !destroyed; i++)
        net_loop_run_once(w.loop, 1000);
    assert_int_equal(destroyed, 1);

    /* With nobody to come back nothing is kept. */
    assert_int_equal(w.ns->recovery->history.n, 0);
    assert_int_equal(w.ns->recovery->n_tickets, 0);
    come_back(&w, &c, NULL);
    assert_false(w.recovered);
    world_close(&w);
}

static void old_events_are_dropped_by_themselves(void **state)
{
    struct client c = {0};
    struct world w;

    (void)state;
    /* Long enough for the client to come back on a machine that is busy. */
    world_open(&w, (struct sio_server_options){.recovery.max_away_ms = 500,
                                               .engine.ping_interval_ms = 1,
                                               .engine.ping_timeout_ms = 1});
    settle(&w, &c, NULL);
    assert_int_equal(w.ns->recovery->history.n, 1);
    for (unsigned i = 0; i < 1000 && w.ns->recovery->history.n > 0; i++)
        net_loop_run_once(w.loop, 1000);
    assert_int_equal(w.ns->recovery->history.n, 0);

    /* Its client has missed nothing. */
    fake_close(c.session, EIO_CLOSE_TRANSPORT_CLOSE);
    come_back(&w, &c, NULL);
    assert_true(w.recovered);
    world_close(&w);
}

static void bounds_what_waits(void **state)
{
    struct client c[3] = {0};
    int destroyed[3] = {0};
    struct world w;

    (void)state;
    world_open(&w, (struct sio_server_options){.recovery.max_waiting = 2,
                                               .recovery.max_packets = 5});
    for (unsigned i = 0; i < 3; i++) {
        settle(&w, &c[i], NULL);
        sio_socket_set_data(w.last, &destroyed[i], count_up);
    }
    for (unsigned i = 0; i < 3; i++)
        fake_close(c[i].session, EIO_CLOSE_TRANSPORT_CLOSE);
    assert_int_equal(destroyed[0], 1);
    assert_int_equal(destroyed[1] + destroyed[2], 0);
    come_back(&w, &c[0], NULL);
    assert_false(w.recovered);

    /* Five packets back, and six. */
    for (unsigned i = 0; i < 5; i++)
        send_event(w.ns, "e", "nobody");
    come_back(&w, &c[2], NULL);
    assert_true(w.recovered);
    come_back(&w, &c[1], NULL);
    assert_false(w.recovered);
    assert_int_equal(destroyed[1], 0); /* until its time */
    world_close(&w);
    for (unsigned i = 0; i < 3; i++)
        assert_int_equal(destroyed[i], 1);
}

static void the_bounds_are_those_of_all_namespaces(void **state)
{
    static const char *const packets[] = {"0/x,", "0", "0"};
    struct client c[3] = {0};
    int destroyed[3] = {0};
    struct world w;

    (void)state;
    world_open(&w, (struct sio_server_options){.recovery.max_waiting = 2,
                                               .recovery.max_bytes = 2000});
    for (unsigned i = 0; i < 3; i++) {
        join(&w, &c[i], packets[i], NULL);
        sio_socket_set_data(w.last, &destroyed[i], count_up);
    }
    for (unsigned i = 0; i < 100; i++)
        send_event(i % 2 ? w.x : w.ns, "e", NULL);
    assert_in_range(w.ns->recovery->history.bytes + w.x->recovery->history.bytes, 1500,
                    2000);
    for (unsigned i = 0; i < 3; i++)
        fake_close(c[i].session, EIO_CLOSE_TRANSPORT_CLOSE);
    assert_int_equal(destroyed[0], 1);
    assert_int_equal(destroyed[1] + destroyed[2], 0);
    world_close(&w);
}

static void who_missed_too_much_starts_anew(void **state)
{
    struct client c = {0}, d = {0};
    struct world w;

    (void)state;
    world_open(&w, (struct sio_server_options){.engine.max_queue_bytes = 1000});
    settle(&w, &c, NULL);
    settle(&w, &d, "calm");
    fake_close(c.session, EIO_CLOSE_TRANSPORT_CLOSE);
    fake_close(d.session, EIO_CLOSE_TRANSPORT_CLOSE);
    for (unsigned i = 0; i < 100; i++)
        send_event(w.ns, "event", c.sid);
    come_back(&w, &c, NULL);
    assert_false(w.recovered);
    come_back(&w, &d, NULL);
    assert_true(w.recovered);
    world_close(&w);
}

static void what_no_one_can_miss_is_not_kept(void **state)
{
    struct client c = {0};
    struct world w;

    (void)state;
    world_open(&w, (struct sio_server_options){0});
    send_event(w.ns, "e", NULL);
    assert_int_equal(w.ns->recovery->history.n, 0);
    settle(&w, &c, "room");
    send_event(w.ns, "e", "elsewhere");
    assert_int_equal(w.ns->recovery->history.n, 1);
    send_event(w.ns, "e", "room");
    assert_int_equal(w.ns->recovery->history.n, 2);
    fake_text(c.session, "1");
    assert_int_equal(w.ns->recovery->history.n, 0);
    world_close(&w);
}

static void an_event_that_met_a_full_queue_was_missed(void **state)
{
    struct client c = {0};
    const char *rest;
    struct world w;

    (void)state;
    world_open(&w, (struct sio_server_options){0});
    settle(&w, &c, "room");
    fake_fail_send(c.session);
    send_event(w.ns, "too much", "room");
    send_event(w.ns, "after it", "room");
    assert_int_equal(fake_closed(c.session), EIO_CLOSE_TRANSPORT_ERROR);
    net_loop_run_once(w.loop, 0);
    assert_int_equal(w.n_ended, 1);
    come_back(&w, &c, &rest);
    assert_true(w.recovered);
    assert_string_equal(plain(w.ns, rest), "|2[\"too much\"]|2[\"after it\"]");
    world_close(&w);
}

static void the_namespace_is_asked_again(void **state)
{
    struct client c = {0};
    const char *rest;
    char packet[256];
    int destroyed = 0;
    struct world w;

    (void)state;
    world_open(&w, (struct sio_server_options){0});
    settle(&w, &c, "room");
    sio_socket_set_data(w.last, &destroyed, count_up);
    fake_close(c.session, EIO_CLOSE_TRANSPORT_CLOSE);
    send_event(w.ns, "missed", "room");

    w.refusal = "not now";
    snprintf(packet, sizeof(packet), "0{\"pid\":\"%s\",\"offset\":\"%s\"}", c.pid,
             c.offset);
    c.session = fake_open(sio_server_engine(w.server));
    fake_text(c.session, packet);
    assert_string_equal(fake_sent(c.session), "4{\"message\":\"not now\"}");
    assert_int_equal(destroyed, 0);
    w.refusal = NULL;
    come_back(&w, &c, &rest);
    assert_true(w.recovered && w.asked);
    assert_ptr_equal(sio_socket_data(w.last), &destroyed);
    assert_string_equal(plain(w.ns, rest), "|2[\"missed\"]");
    world_close(&w);
    assert_int_equal(destroyed, 1);

    world_open(&w, (struct sio_server_options){.recovery.no_join = true});
    settle(&w, &c, NULL);
    assert_true(w.asked);
    fake_close(c.session, EIO_CLOSE_TRANSPORT_CLOSE);
    come_back(&w, &c, NULL);
    assert_true(w.recovered && !w.asked);
    world_close(&w);
}

/* Middleware that answers when the test says so. */
static void take_time(struct sio_socket *s, struct sio_str auth, struct sio_join *j,
                      void *user)
{
    (void)s;
    (void)auth;
    *(struct sio_join **)user = j;
}

static void middleware_may_take_its_time(void **state)
{
    struct client c = {0};
    struct sio_join *j = NULL;
    char packet[256];
    struct world w;

    (void)state;
    world_open(&w, (struct sio_server_options){.recovery.max_packets = 5});
    settle(&w, &c, "room");
    assert_int_equal(sio_namespace_use(w.ns, take_time, &j), SIO_OK);
    fake_close(c.session, EIO_CLOSE_TRANSPORT_CLOSE);
    snprintf(packet, sizeof(packet), "0{\"pid\":\"%s\",\"offset\":\"%s\"}", c.pid,
             c.offset);

    /* The connection breaks meanwhile, and nothing is lost. */
    send_event(w.ns, "one", "room");
    c.session = fake_open(sio_server_engine(w.server));
    fake_text(c.session, packet);
    assert_true(sio_socket_recovered(sio_join_socket(j)));
    fake_close(c.session, EIO_CLOSE_TRANSPORT_CLOSE);
    sio_join_accept(j);

    /* What is sent meanwhile was missed, too. */
    c.session = fake_open(sio_server_engine(w.server));
    fake_text(c.session, packet);
    send_event(w.ns, "two", "room");
    sio_join_accept(j);
    assert_true(w.recovered);
    assert_non_null(strstr(plain(w.ns, receive(&c)), "|2[\"one\"]|2[\"two\"]"));

    /* If that is too much, the client starts anew. */
    fake_close(c.session, EIO_CLOSE_TRANSPORT_CLOSE);
    snprintf(packet, sizeof(packet), "0{\"pid\":\"%s\",\"offset\":\"%s\"}", c.pid,
             c.offset);
    c.session = fake_open(sio_server_engine(w.server));
    fake_text(c.session, packet);
    for (unsigned i = 0; i < 6; i++)
        send_event(w.ns, "more", "room");
    sio_join_accept(j);
    assert_false(w.recovered);
    assert_false(sio_socket_in(w.last, SIO_STR("room")));
    assert_null(strstr(fake_sent(c.session), c.pid));
    world_close(&w);
}

static void a_child_namespace_waits_for_its_clients(void **state)
{
    struct client c = {0};
    struct sio_namespace *parent;
    char packet[256];
    struct world w;

    (void)state;
    world_open(&w, (struct sio_server_options){0});
    parent = sio_server_pattern(w.server, "^/child$", &ops, &w);
    sio_namespace_set_children(parent, 0, true);
    join(&w, &c, "0/child,", NULL);
    send_event(parent, "first", NULL);
    receive(&c);
    fake_close(c.session, EIO_CLOSE_TRANSPORT_CLOSE);
    net_loop_run_once(w.loop, 0);
    assert_int_equal(sio_namespace_n_children(parent), 1);
    snprintf(packet, sizeof(packet), "0/child,{\"pid\":\"%s\",\"offset\":\"%s\"}",
             c.pid, c.offset);
    join(&w, &c, packet, NULL);
    assert_true(w.recovered);
    w.server->recovery.options.max_away_ms = 1;
    fake_close(c.session, EIO_CLOSE_TRANSPORT_CLOSE);
    for (unsigned i = 0; i < 1000 && sio_namespace_n_children(parent) > 0; i++)
        net_loop_run_once(w.loop, 1000);
    assert_int_equal(sio_namespace_n_children(parent), 0);
    world_close(&w);
}

static void look_around(void *data)
{
    struct sio_namespace *parent = data;

    assert_int_equal(sio_namespace_n_sockets(parent), 0);
    assert_in_range(sio_namespace_n_children(parent), 0, 1);
}

static void data_that_goes_with_the_server_may_look_at_what_is_left(void **state)
{
    struct sio_namespace *parent;
    struct client c = {0};
    struct world w;

    (void)state;
    world_open(&w, (struct sio_server_options){0});
    parent = sio_server_pattern(w.server, "^/child-[12]$", &ops, &w);
    join(&w, &c, "0/child-1,", NULL);
    sio_socket_set_data(w.last, parent, look_around);
    join(&w, &c, "0/child-2,", NULL);
    sio_socket_set_data(w.last, parent, look_around);
    assert_int_equal(sio_namespace_n_children(parent), 2);
    world_close(&w);
}

static void is_off_unless_asked_for(void **state)
{
    struct sio_server_options opts = {0};
    struct client c = {0};
    struct world w = {0};

    (void)state;
    w.loop = net_loop_new(NULL, NULL);
    w.server = sio_server_new(w.loop, &opts, NULL);
    w.ns = sio_server_namespace(w.server, "/", &ops, &w);
    assert_null(w.ns->recovery);
    c.session = fake_open(sio_server_engine(w.server));
    fake_text(c.session, "0{\"pid\":\"a\",\"offset\":\"b\"}");
    assert_null(strstr(fake_sent(c.session), "pid"));
    send_event(w.ns, "e", NULL);
    assert_string_equal(fake_sent(c.session), "2[\"e\"]");
    world_close(&w);
}

/* One allocation fails: a client may start anew, but has no gap. */
static void live(struct world *w)
{
    char packet[256];
    struct client c = {0};
    const char *sent;
    int destroyed = 0;

    c.session = fake_open(sio_server_engine(w->server));
    if (!c.session)
        return;
    fake_text(c.session, "0");
    if (!w->last || fake_closed(c.session) >= 0)
        return;
    sio_socket_join(w->last, SIO_STR("room"));
    sio_socket_set_data(w->last, &destroyed, count_up);
    sio_socket_set_attributes(w->last, SIO_STR("1"));
    send_event(w->ns, "first", "room");
    alloc_fail_pause();
    sent = receive(&c);
    set_text(c.sid, sizeof(c.sid), sent, "\"sid\":\"");
    set_text(c.pid, sizeof(c.pid), sent, "\"pid\":\"");
    alloc_fail_resume();
    fake_close(c.session, EIO_CLOSE_TRANSPORT_CLOSE);
    send_event(w->ns, "second", NULL);
    send_event(w->ns, "third", c.sid);

    snprintf(packet, sizeof(packet), "0{\"pid\":\"%s\",\"offset\":\"%s\"}", c.pid,
             c.offset);
    c.session = fake_open(sio_server_engine(w->server));
    if (c.session) {
        w->recovered = false;
        fake_text(c.session, packet);
        alloc_fail_pause();
        if (w->recovered && fake_closed(c.session) < 0)
            assert_ptr_equal(sio_socket_data(w->last), &destroyed);
        alloc_fail_resume();
        fake_close(c.session, EIO_CLOSE_PARSE_ERROR);
    }
    net_loop_run_once(w->loop, 0);
    sio_server_free(w->server);
    w->server = NULL;
    assert_int_equal(destroyed, 1);
}

static void lives_on_without_memory(void **state)
{
    struct sio_server_options opts = {.recovery.max_away_ms = 60000};

    (void)state;
    alloc_fail_each(n)
    {
        struct world w = {0};

        alloc_fail_at(0);
        w.loop = net_loop_new(NULL, NULL);
        alloc_fail_at(n);
        w.server = sio_server_new(w.loop, &opts, NULL);
        if (w.server)
            w.ns = sio_server_namespace(w.server, "/", &ops, &w);
        if (w.ns)
            live(&w);
        world_close(&w);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(gives_each_event_an_offset),
        cmocka_unit_test(a_client_goes_on_where_it_was),
        cmocka_unit_test(keeps_other_data_from_nobody),
        cmocka_unit_test(only_a_fault_can_be_recovered_from),
        cmocka_unit_test(who_was_sent_away_starts_anew),
        cmocka_unit_test(who_presents_something_else_starts_anew),
        cmocka_unit_test(a_client_that_stays_away_is_forgotten),
        cmocka_unit_test(old_events_are_dropped_by_themselves),
        cmocka_unit_test(bounds_what_waits),
        cmocka_unit_test(the_bounds_are_those_of_all_namespaces),
        cmocka_unit_test(who_missed_too_much_starts_anew),
        cmocka_unit_test(what_no_one_can_miss_is_not_kept),
        cmocka_unit_test(an_event_that_met_a_full_queue_was_missed),
        cmocka_unit_test(the_namespace_is_asked_again),
        cmocka_unit_test(middleware_may_take_its_time),
        cmocka_unit_test(a_child_namespace_waits_for_its_clients),
        cmocka_unit_test(data_that_goes_with_the_server_may_look_at_what_is_left),
        cmocka_unit_test(is_off_unless_asked_for),
        cmocka_unit_test(lives_on_without_memory),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
