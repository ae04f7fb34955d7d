/*
 * The client against a server that says what each test wants, mostly what no server
 * should say.
 */
#include <config.h>

#include "client_world.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "alloc_fail.h"

/* What a server must not say. */

struct hostile {
    const char *says;
    const char *why;
};

/* A client that does not come back says why it ended. */
static void expect_down(struct world *w, struct sio_client_options *o, const char *says,
                        const char *why)
{
    o->no_reconnect = true;
    assert_true(begin(w, o));
    run_until(w, w->n_downs);
    if (!strstr(w->why, why)) {
        print_error("says \"%.60s\": \"%s\", not \"%s\"\n", says, w->why, why);
        fail();
    }
    assert_int_equal(w->retry_ms, 0);
    assert_true(w->error < 0);
    assert_false(sio_client_connected(w->client));
    free_world(w);
}

static void replies_that_are_no_open_packet_end_the_attempt(void **state)
{
    static const struct hostile cases[] = {
        {"x", "not HTTP"},
        {"HTTP/1.1 103 Early\r\nContent-Length: 1\r\n\r\nHTTP/1.1 200 "
         "OK\r\nContent-Length: 1\r\n\r\n9",
         "poll brought a packet that is not valid"},
        {"HTTP/1.1 20 OK\r\n\r\n0", "not HTTP"},
        {"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n0",
         "not HTTP"},
        {"HTTP/2.0 200 OK\r\n\r\n", "not HTTP"},
        {"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n0{", "without a whole reply"},
        {"HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\n0{", "too large"},
        {"HTTP/1.1 200 OK\r\nContent-Length: 99999999999999999999999\r\n\r\n0{",
         "not HTTP"},
        {"HTTP/1.1 200 OK\r\n\r\n", "without a packet"},
        {"HTTP/1.1 302 Found\r\nLocation: http://other.test/\r\nContent-Length: "
         "0\r\n\r\n",
         "redirects to http://other.test/"},
        {"HTTP/1.1 400 Bad\r\nContent-Length: 2\r\n\r\n{}", "status 400"},
        {"HTTP/1.1 101 Yes\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n",
         "without being asked"},
        {"HTTP/1.1 200 OK\r\n\r\n4hello", "did not begin with an open packet"},
        {"HTTP/1.1 200 OK\r\n\r\nbAAAA", "did not begin with an open packet"},
        {"HTTP/1.1 200 OK\r\n\r\n9", "not valid"},
        {"HTTP/1.1 200 OK\r\n\r\n\x1e", "not valid"},
        {"HTTP/1.1 200 OK\r\n\r\n0", "open packet is not valid"},
        {"HTTP/1.1 200 OK\r\n\r\n0{}", "open packet is not valid"},
        {"HTTP/1.1 200 OK\r\n\r\n0[]", "open packet is not valid"},
        {"HTTP/1.1 200 OK\r\n\r\n0{\"sid\":\"a\",\"upgrades\":[],\"pingInterval\":-1,"
         "\"pingTimeout\":1}",
         "open packet is not valid"},
        {"HTTP/1.1 200 OK\r\n\r\n0{\"sid\":\"a\",\"upgrades\":[],\"pingInterval\":1e99,"
         "\"pingTimeout\":1}",
         "open packet is not valid"},
        {"HTTP/1.1 200 OK\r\n\r\n0{\"sid\":\"a b\\r\\n\",\"upgrades\":[],"
         "\"pingInterval\":1,\"pingTimeout\":1}",
         "open packet is not valid"},
        {"HTTP/1.1 200 OK\r\n\r\n0{\"sid\":\"a\",\"upgrades\":7,\"pingInterval\":1,"
         "\"pingTimeout\":1}",
         "open packet is not valid"},
    };

    (void)state;
    for (size_t i = 0; i < N_ELEMENTS(cases); i++) {
        struct world *w = new_world();
        struct sio_client_options o = {.transports = SIO_TRANSPORTS_POLLING};

        w->server.raw = cases[i].says;
        expect_down(w, &o, cases[i].says, cases[i].why);
    }
}

static void endless_replies_are_bounded(void **state)
{
    static const struct hostile cases[] = {
        {"HTTP/1.1 200 OK\r\nA: b\r\nA: b\r\nA: b\r\nA: b\r\nA: b\r\n"
         "A-name-that-does-not-end: with a value that does not",
         "too large"},
        {"HTTP/1.1 100 Continue\r\n\r\n", "too many interim replies"},
        {"HTTP/1.1 200 OK\r\n\r\n4xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx",
         "too large"},
    };

    (void)state;
    for (size_t i = 0; i < N_ELEMENTS(cases); i++) {
        struct world *w = new_world();
        struct sio_client_options o = {.transports = SIO_TRANSPORTS_POLLING,
                                       .max_message = 4096};

        w->server.raw = cases[i].says;
        w->server.endless = true;
        expect_down(w, &o, cases[i].says, cases[i].why);
    }
}

static void packets_that_break_the_protocol_end_the_connection(void **state)
{
    static const struct hostile cases[] = {
        {OPEN, "opened the session twice"},
        {"1", "closed the session"},
        {"", "without a packet"},
        {"4", "not valid"},
        {"49", "not valid"},
        {"42", "not valid"},
        {"42{}", "not valid"},
        {"42[", "not valid"},
        {"42[\"connect\"]", "not valid"},
        {"40", "no socket id"},
        {"40{}", "no socket id"},
        {"40{\"sid\":7}", "no socket id"},
        {"40{\"sid\":\"\"}", "no socket id"},
        {JOINED "\x1e" JOINED, "connected a namespace twice"},
        {"b!", "not base64"},
        {"bAAAA", "belong to no packet"},
        {"451-[\"x\",{\"_placeholder\":true,\"num\":0}]\x1e"
         "42[\"y\"]",
         "where an attachment was due"},
        {"451-[\"x\",{\"_placeholder\":true,\"num\":7}]", "not valid"},
        {"451-[\"x\",{\"_placeholder\":true,\"num\":-1}]", "not valid"},
        {"45999999-[\"x\"]", "not valid"},
        {"4599999999999999999999999-[\"x\"]", "not valid"},
        {"45-[\"x\"]", "not valid"},
    };

    (void)state;
    for (size_t i = 0; i < N_ELEMENTS(cases); i++) {
        const char *const bodies[] = {OPEN, cases[i].says, NULL};
        struct world *w = new_world();
        struct sio_client_options o = {.transports = SIO_TRANSPORTS_POLLING};

        w->server.bodies = bodies;
        expect_down(w, &o, cases[i].says, cases[i].why);
    }
}

static void deep_json_is_refused(void **state)
{
    enum { DEPTH = 20000 };
    char *deep = malloc(DEPTH + 16);
    const char *const bodies[] = {OPEN, deep, NULL};
    struct world *w = new_world();
    struct sio_client_options o = {.transports = SIO_TRANSPORTS_POLLING};

    (void)state;
    assert_non_null(deep);
    strcpy(deep, "42[\"x\",");
    memset(deep + 7, '[', DEPTH);
    deep[7 + DEPTH] = '\0';
    w->server.bodies = bodies;
    expect_down(w, &o, "[[[", "not valid");
    free(deep);
}

static void handshakes_of_websocket_are_checked(void **state)
{
    static const struct hostile cases[] = {
        {"HTTP/1.1 101 X\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n",
         "key is wrong"},
        {"HTTP/1.1 101 X\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
         "Sec-WebSocket-Accept: AAAAAAAAAAAAAAAAAAAAAAAAAAA=\r\n\r\n",
         "key is wrong"},
        {"HTTP/1.1 101 X\r\nUpgrade: other\r\nConnection: Upgrade\r\n\r\n",
         "another protocol"},
        {"HTTP/1.1 101 X\r\n\r\n", "without being asked"},
        {"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", "status 200"},
        {"HTTP/1.1 301 Moved\r\nLocation: https://x.test/\r\nContent-Length: 0\r\n\r\n",
         "redirects to https://x.test/"},
    };

    (void)state;
    for (size_t i = 0; i < N_ELEMENTS(cases); i++) {
        struct world *w = new_world();
        struct sio_client_options o = {.transports = SIO_TRANSPORTS_WEBSOCKET};

        w->server.ws = "";
        w->server.ws_fields = cases[i].says;
        expect_down(w, &o, cases[i].says, cases[i].why);
    }
}

static void frames_that_break_the_protocol_end_the_connection(void **state)
{
#define FRAMES(literal, why)              \
    {                                     \
        literal, sizeof(literal) - 1, why \
    }
    static const struct {
        const char *frames;
        size_t len;
        const char *why;
    } cases[] = {
        FRAMES("\x81\x81xxxx0", "code 1002"), /* masked */
        FRAMES("\xc1\x01"
               "0",
               "code 1002"), /* RSV */
        FRAMES("\x83\x01"
               "0",
               "code 1002"),                                             /* opcode */
        FRAMES("\x81\x7f\x00\x00\x00\xff\x00\x00\x00\x00", "code 1009"), /* giant */
        FRAMES("\x81\x02"
               "0\xff",
               "code 1007"), /* UTF-8 */
        FRAMES("\x88\x01"
               "x",
               "code 1002"),
        FRAMES("\x88\x00", "code 1005"),
        FRAMES("\x82\x01"
               "0",
               "not valid"), /* binary before the open packet */
        FRAMES("\x81\x00", "not valid"),
        FRAMES("\x81\x03"
               "0{}",
               "open packet is not valid"),
    };

    (void)state;
    for (size_t i = 0; i < N_ELEMENTS(cases); i++) {
        struct world *w = new_world();
        struct sio_client_options o = {.transports = SIO_TRANSPORTS_WEBSOCKET};

        w->server.ws = cases[i].frames;
        w->server.ws_len = cases[i].len;
        expect_down(w, &o, cases[i].why, cases[i].why);
    }
}

/* From one transport to the other. */

static void where_websocket_does_not_work_polling_does(void **state)
{
    static const char *const bodies[] = {"no WebSocket here", OPEN, JOINED, NULL};
    struct world *w = new_world();
    struct sio_client_options o = {0};

    (void)state;
    w->server.bodies = bodies;
    assert_true(begin(w, &o));
    run_until(w, w->n_joins);
    assert_string_equal(sio_client_transport(w->client), "polling");
    assert_int_equal(w->n_downs, 0);
    free_world(w);
}

static void where_websocket_is_swallowed_polling_is_tried(void **state)
{
    static const char *const bodies[] = {OPEN, JOINED, NULL};
    struct world *w = new_world();
    struct sio_client_options o = {.connect_timeout_ms = 1000};

    (void)state;
    w->server.mute_ws = true;
    w->server.bodies = bodies;
    assert_true(begin(w, &o));
    run_until(w, w->n_joins);
    assert_int_equal(w->n_downs, 0);
    free_world(w);
}

static void a_failed_upgrade_leaves_polling_as_it_was(void **state)
{
#define PROBE(literal)               \
    {                                \
        literal, sizeof(literal) - 1 \
    }
    static const struct {
        const char *frames;
        size_t len;
    } cases[] = {
        PROBE("\x81\x06"
              "3probX"),
        PROBE("\x81\x01"
              "6"),
        PROBE("\x82\x06"
              "3probe"),
        PROBE("\x88\x00"),
        PROBE("\x81\x81xxxx3"),
    };
    static const char *const bodies[] = {
        "0{\"sid\":\"abc\",\"upgrades\":[\"websocket\"],\"pingInterval\":25000,"
        "\"pingTimeout\":20000}",
        JOINED, NULL};

    (void)state;
    for (size_t i = 0; i < N_ELEMENTS(cases); i++) {
        struct world *w = new_world();
        struct sio_client_options o = {.transports = SIO_TRANSPORTS_UPGRADE};

        w->server.bodies = bodies;
        w->server.ws = cases[i].frames;
        w->server.ws_len = cases[i].len;
        assert_true(begin(w, &o));
        run_until(w, w->n_joins && w->server.n_upgrades && w->server.n_ws_gone);
        run_until(w, w->server.poll);
        say_body(w->server.poll, "42[\"still\"]");
        run_until(w, w->n_events);
        assert_string_equal(sio_client_transport(w->client), "polling");
        assert_int_equal(w->n_downs, 0);
        free_world(w);
    }
}

/* The server holds the poll, as it must, until the client has seen "3probe". */
static void an_upgrade_waits_for_the_poll_and_keeps_order(void **state)
{
    static const char *const bodies[] = {
        "0{\"sid\":\"abc\",\"upgrades\":[\"websocket\"],\"pingInterval\":25000,"
        "\"pingTimeout\":20000}",
        JOINED, NULL};
    struct world *w = new_world();
    struct sio_client_options o = {.transports = SIO_TRANSPORTS_UPGRADE};

    (void)state;
    w->server.bodies = bodies;
    w->server.ws = "\x81\x06"
                   "3probe";
    w->server.ws_len = 8;
    assert_true(begin(w, &o));
    run_until(w, w->n_joins && w->server.n_upgrades && w->server.poll);
    for (int turn = 0; turn < 10; turn++) /* "3probe" arrives; the poll still waits */
        net_loop_run_once(w->loop, 1);
    assert_string_equal(sio_client_transport(w->client), "polling");
    say_body(w->server.poll, "42[\"last by polling\"]");
    run_until(w, strcmp(sio_client_transport(w->client), "websocket") == 0);
    assert_int_equal(w->n_events, 1);
    assert_int_equal(w->n_downs, 0);
    free_world(w);
}

/* What is harmless. */

static void late_and_unknown_packets_are_ignored(void **state)
{
    static const char *const bodies[] = {OPEN,
                                         "42[\"early\"]\x1e"
                                         "42/other,[\"x\"]\x1e"
                                         "6\x1e"
                                         "3\x1e" JOINED,
                                         "4312345[]\x1e"
                                         "40/other,{\"sid\":\"q\"}\x1e"
                                         "42[\"last\"]",
                                         NULL};
    struct sio_client_options o = {.offline = SIO_OFFLINE_KEEP};
    struct world *w = joined(&o, bodies);

    (void)state;
    run_until(w, w->n_events == 2);
    assert_string_equal(w->last, "last");
    assert_int_equal(w->n_downs, 0);
    free_world(w);
}

static void a_ping_is_answered_before_what_waits(void **state)
{
    static const char *const bodies[] = {OPEN, "2\x1e" JOINED, NULL};
    struct sio_client_options o = {.offline = SIO_OFFLINE_KEEP};
    struct world *w = joined(&o, bodies);
    struct sio_message *m = sio_message_new("hello");

    (void)state;
    assert_int_equal(sio_client_socket_emit(w->socket, m), SIO_OK);
    sio_message_free(m);
    run_until(w, strstr(w->server.posted, "hello"));
    assert_non_null(strstr(w->server.posted, "3\x1e"
                                             "42[\"hello\"]|"));
    free_world(w);
}

/* Coming back. */

static void the_delay_doubles_to_its_bound(void **state)
{
    struct world *w = new_world();
    struct sio_client_options o = {.transports = SIO_TRANSPORTS_POLLING,
                                   .reconnect_delay_ms = 4,
                                   .reconnect_delay_max_ms = 16};

    (void)state;
    w->server.raw = "HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n";
    assert_true(begin(w, &o));
    for (unsigned i = 0, delay = 4; i < 8; i++, delay = delay < 16 ? delay * 2 : 16) {
        run_until(w, w->n_downs == i + 1);
        assert_in_range(w->retry_ms, delay / 2, delay + delay / 2);
    }
    free_world(w);
}

static void the_client_comes_back_and_joins_again(void **state)
{
    static const char *const bodies[] = {OPEN, JOINED, "1",    OPEN, JOINED,
                                         "1",  OPEN,   JOINED, NULL};
    struct sio_client_options o = {.offline = SIO_OFFLINE_KEEP};
    struct world *w = joined(&o, bodies);

    (void)state;
    w->emits_on_leave = "held";
    run_until(w, w->n_joins == 3 && strstr(w->server.posted, "42[\"held\"]"));
    assert_int_equal(w->n_downs, 2);
    assert_int_equal(w->n_leaves, 2);
    assert_string_equal(w->last, "transport close");
    free_world(w);
}

static void silence_ends_the_connection(void **state)
{
    static const char *const bodies[] = {
        "0{\"sid\":\"abc\",\"upgrades\":[],\"pingInterval\":10,\"pingTimeout\":10}",
        JOINED, NULL};
    struct sio_client_options o = {.no_reconnect = true};
    struct world *w = joined(&o, bodies);

    (void)state;
    run_until(w, w->n_downs);
    assert_int_equal(w->error, SIO_ERR_TIMEOUT);
    assert_string_equal(w->last, "ping timeout");
    assert_string_equal(w->why, "no ping from the server for 20 ms");
    free_world(w);
}

static void a_server_that_never_answers_connect_is_left(void **state)
{
    static const char *const bodies[] = {OPEN, NULL};
    struct world *w = new_world();
    struct sio_client_options o = {.transports = SIO_TRANSPORTS_POLLING,
                                   .connect_timeout_ms = 30};

    (void)state;
    w->server.bodies = bodies;
    expect_down(w, &o, "nothing", "did not answer the request to join");
}

static void a_server_that_never_answers_at_all_is_left(void **state)
{
    struct world *w = new_world();
    struct sio_client_options o = {.transports = SIO_TRANSPORTS_POLLING,
                                   .connect_timeout_ms = 20};

    (void)state;
    expect_down(w, &o, "nothing", "did not open a session in time");
}

static void after_a_disconnect_packet_it_stays_out_unless_asked(void **state)
{
    static const char *const bodies[] = {OPEN,
                                         JOINED "\x1e"
                                                "41",
                                         "42[\"x\"]", "6", NULL};
    struct sio_client_options o = {.offline = SIO_OFFLINE_KEEP};
    struct world *w = joined(&o, bodies);

    (void)state;
    run_until(w, w->server.n_gets == 4);
    run_until(w, w->server.poll);
    assert_int_equal(w->n_joins, 1);
    assert_int_equal(w->n_leaves, 1);
    assert_int_equal(w->n_events, 0);
    assert_string_equal(w->last, "io server disconnect");
    assert_true(sio_client_connected(w->client));
    free_world(w);
}

static void after_a_disconnect_packet_or_a_refusal_it_tries_again_if_asked(void **state)
{
    static const char *const bodies[] = {OPEN,
                                         JOINED "\x1e"
                                                "41",
                                         "44{\"message\":\"no\",\"data\":{\"a\":1}}",
                                         NULL};
    struct sio_client_options o = {.reconnect_after_server_disconnect = true};
    struct world *w = joined(&o, bodies);

    (void)state;
    while (!strstr(w->server.posted, "|40|"))
        net_loop_run_once(w->loop, -1);
    if (!w->n_refusals) /* the refusal came while it was out */
        say_body(w->server.poll, "44{\"message\":\"no\",\"data\":{\"a\":1}}");
    run_until(w, w->n_refusals);
    assert_string_equal(w->last, "no {\"a\":1}");
    run_until(w, w->server.poll);
    run_until(w, strstr(strstr(w->server.posted, "|40|") + 1, "|40|"));
    say_body(w->server.poll, JOINED);
    run_until(w, w->n_joins == 2);
    assert_int_equal(w->n_downs, 0);
    free_world(w);
}

/* What is emitted while there is no connection. */

static struct world *offline(enum sio_client_offline policy)
{
    struct world *w = new_world();
    struct sio_client_options o = {
        .transports = SIO_TRANSPORTS_POLLING,
        .offline = policy,
        .max_queue_bytes = 10000,
    };

    assert_true(begin(w, &o));
    return w;
}

static void offline_events_are_kept_up_to_a_bound(void **state)
{
    static const char *const bodies[] = {OPEN, JOINED, NULL};
    struct world *w = offline(SIO_OFFLINE_KEEP);

    (void)state;
    assert_int_equal(emit_text(w, "first", 4000, false), SIO_OK);
    assert_int_equal(emit_text(w, "second", 4000, false), SIO_OK);
    assert_int_equal(emit_text(w, "third", 4000, false), SIO_ERR_FULL);
    assert_true(sio_client_pending(w->client) > 8000);
    assert_int_equal(emit_text(w, "giant", 20000, false), SIO_ERR_FULL);
    w->server.bodies = bodies;
    run_until(w, strstr(w->server.posted, "second"));
    assert_true(strstr(w->server.posted, "first") < strstr(w->server.posted, "second"));
    assert_null(strstr(w->server.posted, "third"));
    free_world(w);
}

static void offline_events_may_make_room_for_newer_ones(void **state)
{
    static const char *const bodies[] = {OPEN, JOINED, NULL};
    struct world *w = offline(SIO_OFFLINE_NEWEST);

    (void)state;
    assert_int_equal(emit_text(w, "first", 4000, true), SIO_OK);
    assert_int_equal(emit_text(w, "second", 4000, false), SIO_OK);
    assert_int_equal(w->n_acks, 0);
    assert_int_equal(emit_text(w, "third", 4000, false), SIO_OK);
    assert_int_equal(w->n_acks, 1);
    assert_int_equal(w->ack_status, SIO_ERR_FULL);
    w->server.bodies = bodies;
    run_until(w, strstr(w->server.posted, "third"));
    assert_null(strstr(w->server.posted, "first"));
    assert_non_null(strstr(w->server.posted, "second"));
    free_world(w);
}

static void offline_events_may_be_dropped(void **state)
{
    struct world *w = offline(SIO_OFFLINE_DROP);

    (void)state;
    assert_int_equal(emit_text(w, "first", 1, true), SIO_ERR_CLOSED);
    assert_int_equal(sio_client_pending(w->client), 0);
    assert_int_equal(sio_client_on_flushed(w->client, on_flushed, w), SIO_ERR_CLOSED);
    free_world(w);
    assert_int_equal(w->n_acks, 0);
}

static void note_status(int status, struct sio_event *e, void *user)
{
    assert_null(e);
    *(int *)user = status;
}

static void what_nobody_waits_for_any_more_is_not_sent(void **state)
{
    static const char *const bodies[] = {OPEN, NULL};
    struct world *w = offline(SIO_OFFLINE_KEEP);
    struct sio_message *m = sio_message_new("late");
    int status = SIO_OK;

    (void)state;
    w->server.bodies = bodies;
    assert_int_equal(emit_text(w, "before", 1, true), SIO_OK);
    assert_int_equal(sio_client_socket_emit_ack(w->socket, m, 1, note_status, &status),
                     SIO_OK);
    sio_message_free(m);
    assert_int_equal(emit_text(w, "behind", 1, false), SIO_OK);
    run_until(w, status);
    assert_int_equal(status, SIO_ERR_TIMEOUT);
    run_until(w, w->server.poll);
    say_body(w->server.poll, JOINED);
    run_until(w, strstr(w->server.posted, "behind"));
    assert_non_null(strstr(w->server.posted, "before"));
    assert_null(strstr(w->server.posted, "late"));
    free_world(w);
}

static void flushed_is_told_when_nothing_waits(void **state)
{
    static const char *const bodies[] = {OPEN, JOINED, NULL};
    struct sio_client_options o = {.offline = SIO_OFFLINE_KEEP};
    struct world *w = joined(&o, bodies);

    (void)state;
    assert_int_equal(sio_client_on_flushed(w->client, on_flushed, w), SIO_OK);
    assert_int_equal(w->n_flushed, 0);
    run_until(w, w->n_flushed == 1);
    assert_int_equal(emit_text(w, "x", 50000, false), SIO_OK);
    assert_int_equal(sio_client_on_flushed(w->client, on_flushed, w), SIO_OK);
    run_until(w, w->n_flushed == 2);
    assert_int_equal(sio_client_pending(w->client), 0);
    free_world(w);
}

/* Ends. */

static void on_closed(void *user)
{
    ((struct world *)user)->n_closed++;
}

static void close_says_goodbye(void **state)
{
    static const char *const bodies[] = {OPEN, JOINED, NULL};
    struct sio_client_options o = {.offline = SIO_OFFLINE_KEEP};
    struct world *w = joined(&o, bodies);

    (void)state;
    assert_int_equal(emit_text(w, "last-words", 1, true), SIO_OK);
    sio_client_close(w->client, on_closed, w);
    assert_int_equal(w->n_closed, 0);
    run_until(w, w->n_closed);
    assert_non_null(strstr(w->server.posted, "last-words"));
    assert_non_null(strstr(w->server.posted, "41\x1e"
                                             "1|"));
    assert_string_equal(w->last, "io client disconnect");
    assert_int_equal(w->ack_status, SIO_ERR_CLOSED);
    assert_int_equal(w->n_downs, 0);
    free_world(w);
    assert_int_equal(w->n_closed, 1);
    assert_int_equal(w->n_acks, 1);
}

/* Else each ping would put the end off. */
static void a_server_that_pings_does_not_keep_a_client_that_closes(void **state)
{
    static const char *const bodies[] = {OPEN, JOINED, NULL};
    struct sio_client_options o = {0};
    struct world *w = joined(&o, bodies);

    (void)state;
    run_until(w, w->server.poll);
    w->server.mute_posts = true;
    sio_client_close(w->client, on_closed, w);
    run_until(w, strstr(w->server.posted, "1|")); /* which is not answered */
    say_body(w->server.poll, "2");
    run_until(w, w->n_closed);
    free_world(w);
}

static void close_works_before_there_is_a_connection(void **state)
{
    struct world *w = offline(SIO_OFFLINE_KEEP);

    (void)state;
    sio_client_close(w->client, on_closed, w);
    run_until(w, w->n_closed);
    free_world(w);

    w = offline(SIO_OFFLINE_KEEP);
    run_until(w, w->server.poll); /* while the session opens */
    sio_client_close(w->client, on_closed, w);
    run_until(w, w->n_closed);
    free_world(w);
}

static const char *const busy[] = {OPEN, JOINED, "42[\"x\"]", "41", "1", NULL};

/* Each callback in turn is the one that ends the client. */
static void meddle_everywhere(bool frees)
{
    for (unsigned nth = 1; nth <= 5; nth++) {
        struct world *w = new_world();
        struct sio_client_options o = {.transports = SIO_TRANSPORTS_POLLING,
                                       .reconnect_after_server_disconnect = true};
        unsigned n = 0;

        w->server.bodies = busy;
        assert_true(begin(w, &o));
        while (w->client && n < nth && w->server.n_gets < 5) {
            unsigned before = w->n_joins + w->n_events + w->n_leaves + w->n_downs;

            w->frees_in_callbacks = frees && n + 1 == nth;
            w->closes_in_callbacks = !frees && n + 1 == nth;
            net_loop_run_once(w->loop, -1);
            n += w->n_joins + w->n_events + w->n_leaves + w->n_downs - before;
        }
        w->frees_in_callbacks = w->closes_in_callbacks = false;
        for (int turn = 0; turn < 20; turn++)
            net_loop_run_once(w->loop, 1);
        free_world(w);
    }
}

static void it_may_be_closed_in_any_callback(void **state)
{
    (void)state;
    meddle_everywhere(false);
}

static void it_may_be_freed_in_any_callback(void **state)
{
    (void)state;
    meddle_everywhere(true);
}

static void out_of_memory_is_survived(void **state)
{
    static const char *const bodies[] = {
        OPEN, "42[\"early\"]\x1e" JOINED,
        "451-[\"x\",{\"_placeholder\":true,\"num\":0}]\x1e"
        "bAAAA",
        NULL};

    (void)state;
    alloc_fail_each(n)
    {
        struct world *w;
        struct sio_client_options o = {.transports = SIO_TRANSPORTS_POLLING};

        alloc_fail_pause();
        w = new_world();
        alloc_fail_resume();
        w->server.bodies = bodies;
        if (begin(w, &o)) {
            run_until(w, w->n_downs || w->n_events == 2 || w->server.n_gets == 3);
            if (w->n_joins)
                (void)emit_text(w, "x", 5000, true);
            for (int turn = 0; turn < 5; turn++)
                net_loop_run_once(w->loop, 0);
        }
        free_world(w);
    }
}

static void options_are_checked(void **state)
{
    static const struct hostile urls[] = {
        {NULL, "no URL"},
        {"rtsp://x.test/", "must begin with http"},
        {"http://user:secret@x.test/", "user name"},
        {"http://x.test/path", "end behind the host"},
        {"http://x.test/?q", "end behind the host"},
        {"nonsense", ""},
    };
    static const char *const bad_fields[] = {"A: b\r\nC: d", NULL};
    struct net_loop *loop = net_loop_new(NULL, NULL);
    struct sio_client_options o = {0};
    struct sio_diag diag;

    (void)state;
    for (size_t i = 0; i < N_ELEMENTS(urls); i++) {
        o.url = urls[i].says;
        assert_null(sio_client_new(loop, &o, &diag));
        assert_non_null(strstr(diag.text, urls[i].why));
        assert_null(strstr(diag.text, "secret"));
    }
    o.url = "http://x.test";
    o.path = "no-slash";
    assert_null(sio_client_new(loop, &o, &diag));
    o.path = NULL;
    o.query = "a b";
    assert_null(sio_client_new(loop, &o, &diag));
    o.query = NULL;
    o.extra_fields = bad_fields;
    assert_null(sio_client_new(loop, &o, &diag));
    net_loop_free(loop);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(replies_that_are_no_open_packet_end_the_attempt),
        cmocka_unit_test(endless_replies_are_bounded),
        cmocka_unit_test(packets_that_break_the_protocol_end_the_connection),
        cmocka_unit_test(deep_json_is_refused),
        cmocka_unit_test(handshakes_of_websocket_are_checked),
        cmocka_unit_test(frames_that_break_the_protocol_end_the_connection),
        cmocka_unit_test(where_websocket_does_not_work_polling_does),
        cmocka_unit_test(where_websocket_is_swallowed_polling_is_tried),
        cmocka_unit_test(a_failed_upgrade_leaves_polling_as_it_was),
        cmocka_unit_test(an_upgrade_waits_for_the_poll_and_keeps_order),
        cmocka_unit_test(late_and_unknown_packets_are_ignored),
        cmocka_unit_test(a_ping_is_answered_before_what_waits),
        cmocka_unit_test(the_delay_doubles_to_its_bound),
        cmocka_unit_test(the_client_comes_back_and_joins_again),
        cmocka_unit_test(silence_ends_the_connection),
        cmocka_unit_test(a_server_that_never_answers_connect_is_left),
        cmocka_unit_test(a_server_that_never_answers_at_all_is_left),
        cmocka_unit_test(after_a_disconnect_packet_it_stays_out_unless_asked),
        cmocka_unit_test(
            after_a_disconnect_packet_or_a_refusal_it_tries_again_if_asked),
        cmocka_unit_test(offline_events_are_kept_up_to_a_bound),
        cmocka_unit_test(offline_events_may_make_room_for_newer_ones),
        cmocka_unit_test(offline_events_may_be_dropped),
        cmocka_unit_test(what_nobody_waits_for_any_more_is_not_sent),
        cmocka_unit_test(flushed_is_told_when_nothing_waits),
        cmocka_unit_test(close_says_goodbye),
        cmocka_unit_test(a_server_that_pings_does_not_keep_a_client_that_closes),
        cmocka_unit_test(close_works_before_there_is_a_connection),
        cmocka_unit_test(it_may_be_closed_in_any_callback),
        cmocka_unit_test(it_may_be_freed_in_any_callback),
        cmocka_unit_test(out_of_memory_is_survived),
        cmocka_unit_test(options_are_checked),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
