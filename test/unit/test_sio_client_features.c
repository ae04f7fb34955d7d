/*
 * What a client does beyond sending and receiving: retries, listeners to every event,
 * recovery, auth, and control of its attempts.
 */
#include <config.h>

#include "client_world.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "alloc_fail.h"
#include "socketio/client_impl.h"

/* How often the server was sent the text. */
static unsigned n_posted(const struct world *w, const char *text)
{
    unsigned n = 0;

    for (const char *p = w->server.posted; (p = strstr(p, text)); p += strlen(text))
        n++;
    return n;
}

/* The server answers the poll that waits, or the next one. */
static void say_when_polled(struct world *w, const char *body)
{
    run_until(w, w->server.poll);
    say_body(w->server.poll, body);
    w->server.poll = NULL;
}

/* The server closes the session; the next one begins with that body. */
static void lose(struct world *w, size_t next)
{
    run_until(w, w->server.poll);
    w->server.n_gets = next;
    say_when_polled(w, "1");
}

static const char *const session[] = {OPEN, JOINED, NULL};

/* Retries. */

static void an_event_is_sent_again_until_it_is_answered(void **state)
{
    struct sio_client_options o = {.retries = 5, .ack_timeout_ms = 10};
    struct world *w = joined(&o, session);

    (void)state;
    assert_int_equal(emit_text(w, "one", 1, true), SIO_OK);
    assert_int_equal(emit_text(w, "two", 1, false), SIO_OK);
    run_until(w, n_posted(w, "420[\"one\",\"x\"]") == 2);
    assert_int_equal(n_posted(w, "two"), 0);
    assert_int_equal(w->n_acks, 0);
    say_when_polled(w, "430[]");
    run_until(w, w->n_acks);
    assert_int_equal(w->ack_status, SIO_OK);
    run_until(w, n_posted(w, "421[\"two\",\"x\"]") == 1);
    say_when_polled(w, "431[]");
    run_until(w, sio_client_pending(w->client) == 0);
    free_world(w);
    assert_int_equal(w->n_acks, 1);
}

static void an_event_is_given_up_after_its_retries(void **state)
{
    struct sio_client_options o = {.retries = 2, .ack_timeout_ms = 5};
    struct world *w = joined(&o, session);

    (void)state;
    assert_int_equal(emit_text(w, "one", 1, true), SIO_OK);
    assert_int_equal(emit_text(w, "two", 1, false), SIO_OK);
    run_until(w, w->n_acks);
    assert_int_equal(w->ack_status, SIO_ERR_TIMEOUT);
    run_until(w, n_posted(w, "\"two\""));
    assert_int_equal(n_posted(w, "\"one\""), 3);
    free_world(w);
}

static void what_is_not_answered_survives_a_reconnection_in_order(void **state)
{
    static const char *const bodies[] = {OPEN, JOINED, NULL, OPEN, JOINED, NULL};
    struct sio_client_options o = {.retries = 3, .ack_timeout_ms = 60000};
    struct world *w = joined(&o, bodies);

    (void)state;
    assert_int_equal(emit_text(w, "one", 1, true), SIO_OK);
    assert_int_equal(emit_text(w, "two", 1, true), SIO_OK);
    run_until(w, n_posted(w, "\"one\""));
    lose(w, 3);
    run_until(w, w->n_joins == 2 && n_posted(w, "\"one\"") == 2);
    assert_int_equal(w->n_acks, 0);
    assert_int_equal(emit_text(w, "three", 1, false), SIO_OK);
    say_when_polled(w, "430[]");
    run_until(w, n_posted(w, "\"two\""));
    say_when_polled(w, "431[]");
    run_until(w, n_posted(w, "\"three\""));
    assert_int_equal(w->n_acks, 2);
    assert_int_equal(w->ack_status, SIO_OK);
    free_world(w);
}

static void a_connection_that_is_lost_ends_the_last_try(void **state)
{
    static const char *const bodies[] = {OPEN, JOINED, NULL,   OPEN, JOINED,
                                         NULL, OPEN,   JOINED, NULL};
    struct sio_client_options o = {.retries = 1, .ack_timeout_ms = 60000};
    struct world *w = joined(&o, bodies);

    (void)state;
    assert_int_equal(emit_text(w, "one", 1, true), SIO_OK);
    for (unsigned i = 1; i <= 2; i++) {
        run_until(w, n_posted(w, "\"one\"") == i);
        lose(w, 3 * i);
    }
    run_until(w, w->n_acks);
    assert_int_equal(w->ack_status, SIO_ERR_CLOSED);
    assert_int_equal(sio_client_pending(w->client), 0);
    free_world(w);
}

static void retried_events_are_bounded(void **state)
{
    struct sio_client_options o = {
        .retries = 1, .ack_timeout_ms = 60000, .max_queue_bytes = 10000};
    struct world *w = joined(&o, session);

    (void)state;
    assert_int_equal(emit_text(w, "giant", 20000, false), SIO_ERR_FULL);
    assert_int_equal(emit_text(w, "one", 6000, false), SIO_OK);
    assert_int_equal(emit_text(w, "two", 6000, false), SIO_ERR_FULL);
    free_world(w);

    o.offline = SIO_OFFLINE_NEWEST;
    w = new_world();
    o.transports = SIO_TRANSPORTS_POLLING;
    assert_true(begin(w, &o));
    assert_int_equal(emit_text(w, "one", 6000, true), SIO_OK);
    assert_int_equal(emit_text(w, "two", 6000, false), SIO_OK);
    assert_int_equal(w->n_acks, 1);
    assert_int_equal(w->ack_status, SIO_ERR_FULL);
    w->server.bodies = session;
    run_until(w, n_posted(w, "\"two\""));
    assert_int_equal(n_posted(w, "\"one\""), 0);
    free_world(w);

    w = new_world();
    assert_true(begin(w, &o));
    assert_int_equal(emit_text(w, "one", 6000, true), SIO_OK);
    w->frees_in_callbacks = true;
    assert_int_equal(emit_text(w, "two", 6000, true), SIO_ERR_CLOSED);
    assert_int_equal(w->n_acks, 1);
    free_world(w);

    o.offline = SIO_OFFLINE_DROP;
    w = new_world();
    assert_true(begin(w, &o));
    assert_int_equal(emit_text(w, "one", 1, true), SIO_ERR_CLOSED);
    free_world(w);
    assert_int_equal(w->n_acks, 0);
}

static void volatile_events_are_not_retried(void **state)
{
    struct sio_client_options o = {.retries = 3, .ack_timeout_ms = 5};
    struct world *w = joined(&o, session);
    struct sio_message *m = sio_message_new("fleeting");

    (void)state;
    sio_message_set_volatile(m);
    run_until(w, sio_client_pending(w->client) == 0);
    assert_int_equal(sio_client_socket_emit(w->socket, m), SIO_OK);
    assert_int_equal(emit_text(w, "kept", 1, false), SIO_OK);
    run_until(w, n_posted(w, "\"kept\"") == 3);
    assert_int_equal(n_posted(w, "42[\"fleeting\"]"), 1);
    sio_message_free(m);
    free_world(w);
}

static void whoever_waits_for_a_retry_is_told_of_the_end(void **state)
{
    struct sio_client_options o = {.retries = 3};
    struct world *w = joined(&o, session);

    (void)state;
    for (unsigned i = 0; i < 3; i++)
        assert_int_equal(emit_text(w, "x", 1, true), SIO_OK);
    free_world(w);
    assert_int_equal(w->n_acks, 3);
    assert_int_equal(w->ack_status, SIO_ERR_CLOSED);
}

/* Listeners to every event. */

struct trace {
    char text[512];
    struct trace *takes_off; /* the listener of that trace, when told */
    bool frees;
    struct world *world;
};

static void note(struct trace *t, struct sio_event *e)
{
    struct sio_str name = sio_event_name(e);
    size_t len = strlen(t->text);

    snprintf(t->text + len, sizeof(t->text) - len, "%.*s/%zu/%zu ", (int)name.len,
             name.ptr, sio_event_n_args(e), sio_event_n_attachments(e));
}

static void on_any(struct sio_client_socket *s, struct sio_event *e, void *user)
{
    struct trace *t = user;

    note(t, e);
    if (t->takes_off)
        sio_client_socket_off_any(s, on_any, t->takes_off);
    if (t->frees) {
        sio_client_free(t->world->client);
        t->world->client = NULL;
    }
}

static void on_named(struct sio_client_socket *s, struct sio_event *e, void *user)
{
    (void)s;
    note(user, e);
}

static void every_event_is_told_before_its_handler(void **state)
{
    struct sio_client_options o = {0};
    struct world *w = joined(&o, session);
    struct trace all = {.text = ""}, first = {.takes_off = &all}, named = {.text = ""};

    (void)state;
    assert_int_equal(sio_client_socket_on_any(w->socket, on_any, &all), SIO_OK);
    assert_int_equal(sio_client_socket_on(w->socket, "b", on_named, &named), SIO_OK);
    assert_int_equal(sio_client_socket_on(w->socket, "connect", on_named, &named),
                     SIO_ERR_INVAL);
    say_when_polled(w, "42[\"a\",1]\x1e"
                       "42[\"b\"]");
    run_until(w, named.text[0]);
    assert_string_equal(all.text, "a/1/0 b/0/0 ");
    assert_string_equal(named.text, "b/0/0 ");
    assert_int_equal(w->n_events, 1);

    assert_int_equal(sio_client_socket_prepend_any(w->socket, on_any, &first), SIO_OK);
    sio_client_socket_off(w->socket, "b");
    say_when_polled(w, "42[\"b\"]\x1e"
                       "42[\"c\"]");
    run_until(w, w->n_events == 3);
    assert_string_equal(first.text, "b/0/0 c/0/0 ");
    assert_string_equal(all.text, "a/1/0 b/0/0 "); /* taken off before it was told */
    assert_string_equal(named.text, "b/0/0 ");
    sio_client_socket_off_any(w->socket, NULL, NULL);
    say_when_polled(w, "42[\"d\"]");
    run_until(w, w->n_events == 4);
    assert_string_equal(first.text, "b/0/0 c/0/0 ");
    free_world(w);
}

static void a_listener_may_free_the_client(void **state)
{
    struct sio_client_options o = {0};
    struct world *w = joined(&o, session);
    struct trace frees = {.frees = true, .world = w}, later = {.text = ""};

    (void)state;
    assert_int_equal(sio_client_socket_on_any(w->socket, on_any, &frees), SIO_OK);
    assert_int_equal(sio_client_socket_on_any(w->socket, on_any, &later), SIO_OK);
    say_when_polled(w, "42[\"a\"]");
    run_until(w, !w->client);
    assert_string_equal(later.text, "");
    assert_int_equal(w->n_events, 0);
    free_world(w);
}

static void what_is_sent_is_told_when_it_is_sent(void **state)
{
    struct sio_client_options o = {.transports = SIO_TRANSPORTS_POLLING};
    struct world *w = new_world();
    struct sio_message *m = sio_message_new("bytes");
    struct trace out = {.text = ""};

    (void)state;
    w->server.bodies = session;
    assert_true(begin(w, &o));
    assert_int_equal(sio_client_socket_on_any_outgoing(w->socket, on_any, &out),
                     SIO_OK);
    assert_int_equal(emit_text(w, "kept", 1, true), SIO_OK);
    assert_string_equal(out.text, "");
    run_until(w, w->n_joins);
    assert_string_equal(out.text, "kept/1/0 ");
    sio_message_add_binary(m, (struct sio_slice){NULL, (const uint8_t *)"abc", 3});
    sio_message_add_raw(m, SIO_STR("7"));
    assert_int_equal(sio_client_socket_emit(w->socket, m), SIO_OK);
    assert_string_equal(out.text, "kept/1/0 bytes/2/1 ");
    sio_client_socket_off_any_outgoing(w->socket, on_any, &out);
    assert_int_equal(emit_text(w, "unheard", 1, false), SIO_OK);
    assert_string_equal(out.text, "kept/1/0 bytes/2/1 ");
    sio_message_free(m);
    free_world(w);
}

static void leave(struct sio_client_socket *s, struct sio_event *e, void *user)
{
    (void)e;
    (void)user;
    sio_client_socket_disconnect(s);
}

static void who_leaves_while_it_asks_is_told_once(void **state)
{
    struct sio_client_options o = {0};
    struct world *w = joined(&o, session);

    (void)state;
    assert_int_equal(sio_client_socket_on_any_outgoing(w->socket, leave, NULL), SIO_OK);
    assert_int_equal(emit_text(w, "one", 1, true), SIO_OK);
    assert_int_equal(w->n_acks, 1);
    assert_int_equal(w->ack_status, SIO_ERR_CLOSED);
    assert_int_equal(emit_text(w, "two", 1, false), SIO_OK); /* kept */
    free_world(w);
    assert_int_equal(w->n_acks, 1);
}

/* Recovery. */

static void it_asks_the_server_to_go_on_where_it_was(void **state)
{
    static const char *const bodies[] = {OPEN,
                                         "40{\"sid\":\"a\",\"pid\":\"secret\"}",
                                         NULL,
                                         OPEN,
                                         "40{\"sid\":\"a\",\"pid\":\"secret\"}",
                                         NULL,
                                         OPEN,
                                         "40{\"sid\":\"b\",\"pid\":\"other\"}",
                                         NULL,
                                         OPEN,
                                         "40{\"sid\":\"c\"}",
                                         NULL};
    struct sio_client_options o = {0};
    struct world *w = joined(&o, bodies);

    (void)state;
    assert_false(sio_client_socket_recovered(w->socket));
    assert_int_equal(sio_client_socket_set_auth(w->socket, SIO_STR("{ \"t\" : 1 }")),
                     SIO_OK);
    say_when_polled(w, "42[\"x\",1,\"offset-1\"]\x1e"
                       "427[\"asks\",\"no offset\"]\x1e"
                       "42[\"y\",\"later\",2]");
    run_until(w, w->n_events == 3);
    lose(w, 3);
    run_until(w, w->n_joins == 2);
    assert_int_equal(
        n_posted(w, "40{\"pid\":\"secret\",\"offset\":\"offset-1\",\"t\":1}"), 1);
    assert_true(sio_client_socket_recovered(w->socket));
    lose(w, 6);
    run_until(w, w->n_joins == 3);
    assert_false(sio_client_socket_recovered(w->socket));
    lose(w, 9);
    run_until(w, w->n_joins == 4);
    assert_int_equal(n_posted(w, "40{\"pid\":\"other\",\"offset\":\"offset-1\""), 1);
    assert_false(sio_client_socket_recovered(w->socket));
    free_world(w);
}

static void a_pid_that_is_none_is_not_kept(void **state)
{
    static const char *const pids[] = {"7", "\"\"", "{}", "null", "\"a\\u0041\""};

    (void)state;
    for (size_t i = 0; i < N_ELEMENTS(pids); i++) {
        char joined_packet[64];
        const char *bodies[] = {OPEN, joined_packet, NULL, OPEN, JOINED, NULL};
        struct sio_client_options o = {0};
        struct world *w;

        snprintf(joined_packet, sizeof(joined_packet), "40{\"sid\":\"a\",\"pid\":%s}",
                 pids[i]);
        w = joined(&o, bodies);
        lose(w, 3);
        run_until(w, w->n_joins == 2);
        assert_int_equal(n_posted(w, "|40|"), 1);
        free_world(w);
    }
}

/* Auth. */

static struct sio_client_socket *asked;

static void auth_later(struct sio_client_socket *s, void *user)
{
    (void)user;
    asked = s;
}

static void auth_may_come_later(void **state)
{
    static const struct sio_client_socket_ops ops = {.auth_later = auth_later};
    struct sio_client_options o = {0};
    struct world *w = joined(&o, session);
    struct sio_client_socket *s;

    (void)state;
    asked = NULL;
    s = sio_client_join(w->client, "/late", &ops, w);
    assert_ptr_equal(asked, s);
    assert_int_equal(sio_client_socket_give_auth(s, SIO_STR("[1]")), SIO_ERR_INVAL);
    assert_int_equal(n_posted(w, "/late"), 0);
    assert_int_equal(sio_client_socket_give_auth(s, SIO_STR("{\"a\":1}")), SIO_OK);
    assert_int_equal(sio_client_socket_give_auth(s, SIO_STR("{}")), SIO_ERR_CLOSED);
    run_until(w, n_posted(w, "40/late,{\"a\":1}"));
    free_world(w);
}

static void auth_that_never_comes_ends_the_attempt(void **state)
{
    static const struct sio_client_socket_ops ops = {.auth_later = auth_later};
    struct sio_client_options o = {.connect_timeout_ms = 50, .no_reconnect = true};
    struct world *w = joined(&o, session);

    (void)state;
    assert_non_null(sio_client_join(w->client, "/late", &ops, w));
    run_until(w, w->n_downs);
    assert_string_equal(w->why, "the application gave no auth in time");
    assert_int_equal(sio_client_socket_give_auth(asked, SIO_STR("{}")), SIO_ERR_CLOSED);
    free_world(w);
}

static void auth_by_value_must_be_an_object(void **state)
{
    struct sio_client_options o = {0};
    struct world *w = joined(&o, session);

    (void)state;
    assert_int_equal(sio_client_socket_set_auth(w->socket, SIO_STR("7")),
                     SIO_ERR_INVAL);
    assert_int_equal(sio_client_socket_set_auth(w->socket, SIO_STR("{")),
                     SIO_ERR_INVAL);
    assert_int_equal(sio_client_socket_set_auth(w->socket, SIO_STR("{}")), SIO_OK);
    assert_int_equal(sio_client_socket_set_auth(w->socket, (struct sio_str){NULL, 0}),
                     SIO_OK);
    free_world(w);
}

/* Attempts. */

static unsigned last_attempt, n_attempts, n_ups;

static void on_attempt(struct sio_client *c, uint32_t n, void *user)
{
    (void)c;
    (void)user;
    last_attempt = n;
    n_attempts++;
}

static void on_up(struct sio_client *c, void *user)
{
    (void)user;
    assert_true(sio_client_connected(c));
    n_ups++;
}

static void attempts_are_told_and_may_have_an_end(void **state)
{
    struct world *w = new_world();
    struct sio_client_options o = {.transports = SIO_TRANSPORTS_POLLING,
                                   .reconnect_delay_ms = 2,
                                   .reconnect_delay_max_ms = 4,
                                   .reconnect_jitter_percent = -1,
                                   .reconnect_attempts = 3,
                                   .on_attempt = on_attempt,
                                   .on_up = on_up};
    static const uint32_t delays[] = {2, 4, 4, 0};

    (void)state;
    n_attempts = n_ups = 0;
    w->server.raw = "HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n";
    assert_true(begin(w, &o));
    for (unsigned i = 0; i < 4; i++) {
        run_until(w, w->n_downs == i + 1);
        assert_int_equal(last_attempt, i);
        assert_int_equal(w->retry_ms, delays[i]);
    }
    assert_int_equal(n_attempts, 4);
    assert_int_equal(n_ups, 0);

    w->server.raw = NULL; /* by hand it starts anew */
    w->server.bodies = session;
    assert_int_equal(sio_client_connect(w->client), SIO_OK);
    run_until(w, w->n_joins);
    assert_int_equal(last_attempt, 0);
    assert_int_equal(n_ups, 1);
    free_world(w);
}

static void a_namespace_may_be_left_and_joined_again(void **state)
{
    struct sio_client_options o = {0};
    struct world *w = joined(&o, session);

    (void)state;
    sio_client_socket_disconnect(w->socket);
    assert_int_equal(w->n_leaves, 1);
    assert_string_equal(w->last, "io client disconnect");
    run_until(w, n_posted(w, "|41|"));
    assert_true(sio_client_connected(w->client));
    assert_int_equal(sio_client_socket_connect(w->socket), SIO_OK);
    run_until(w, n_posted(w, "|40|") == 1); /* the first one began the text */
    say_when_polled(w, JOINED);
    run_until(w, w->n_joins == 2);
    free_world(w);
}

static void one_that_was_left_while_joining_ignores_the_answer(void **state)
{
    static const char *const bodies[] = {OPEN, NULL};
    struct sio_client_options o = {.transports = SIO_TRANSPORTS_POLLING};
    struct world *w = new_world();

    (void)state;
    w->server.bodies = bodies;
    assert_true(begin(w, &o));
    run_until(w, n_posted(w, "40|"));
    sio_client_socket_disconnect(w->socket);
    say_when_polled(w, JOINED);
    run_until(w, n_posted(w, "41|"));
    assert_int_equal(w->n_joins, 0);
    assert_int_equal(w->n_leaves, 0);

    /* And once more, but wanted again before the answer. */
    assert_int_equal(sio_client_socket_connect(w->socket), SIO_OK);
    run_until(w, n_posted(w, "40|") == 2);
    sio_client_socket_disconnect(w->socket);
    assert_int_equal(sio_client_socket_connect(w->socket), SIO_OK);
    say_when_polled(w, JOINED);
    run_until(w, w->n_joins);
    assert_int_equal(n_posted(w, "40|"), 2);
    assert_int_equal(w->n_downs, 0);
    free_world(w);
}

/* Transports and cookies. */

static void cookies_are_kept_from_one_attempt_to_the_next(void **state)
{
    static const char *const bodies[] = {OPEN, JOINED, NULL, OPEN, JOINED, NULL};
    struct sio_client_options o = {.transports = SIO_TRANSPORTS_POLLING};
    struct world *w = new_world();

    (void)state;
    more_fields = "Set-Cookie: server=7; Path=/; HttpOnly\r\n"
                  "Set-Cookie: tls=8; Secure\r\nSet-Cookie: old=9; Max-Age=0\r\n";
    w->server.bodies = bodies;
    assert_true(begin(w, &o));
    run_until(w, w->n_joins && w->server.poll);
    assert_non_null(strstr(w->server.last_get, "\r\nCookie: server=7\r\n"));
    more_fields = "";
    lose(w, 3);
    run_until(w, w->n_joins == 2);
    assert_non_null(strstr(w->server.last_get, "\r\nCookie: server=7\r\n"));
    free_world(w);
}

static void where_polling_does_not_work_websocket_may(void **state)
{
    static const char frames[] = "\x81\x45"
                                 "0{\"sid\":\"abc\",\"upgrades\":[],\"pingInterval\":"
                                 "25000,\"pingTimeout\":20000}"
                                 "\x81\x0f" JOINED;
    static const char *const bodies[] = {"no polling here", NULL};

    (void)state;
    for (unsigned tries = 0; tries < 2; tries++) {
        struct sio_client_options o = {.transports = SIO_TRANSPORTS_UPGRADE,
                                       .try_all_transports = tries,
                                       .no_reconnect = true};
        struct world *w = new_world();

        w->server.bodies = bodies;
        w->server.refuse_polls = true;
        w->server.ws = frames;
        w->server.ws_len = sizeof(frames) - 1;
        assert_true(begin(w, &o));
        run_until(w, w->n_joins || w->n_downs);
        assert_int_equal(w->n_joins, tries);
        if (tries)
            assert_string_equal(sio_client_transport(w->client), "websocket");
        else
            assert_string_equal(w->why, "poll: the server answered with status 403");
        free_world(w);
    }
}

/* One pong is enough for a server that does not read, once it does. */
static void pongs_do_not_heap_up(void **state)
{
    static const char frames[] = "\x81\x45"
                                 "0{\"sid\":\"abc\",\"upgrades\":[],\"pingInterval\":"
                                 "25000,\"pingTimeout\":20000}"
                                 "\x81\x0f" JOINED;
    static const size_t large = 16 << 20;
    struct sio_client_options o = {.transports = SIO_TRANSPORTS_WEBSOCKET,
                                   .max_queue_bytes = 32 << 20};
    struct world *w = new_world();
    size_t n_bytes, n_pending;

    (void)state;
    w->server.ws = frames;
    w->server.ws_len = sizeof(frames) - 1;
    assert_true(begin(w, &o));
    run_until(w, w->n_joins && sio_client_pending(w->client) == 0);
    for (int turn = 0; turn < 10; turn++)
        net_loop_run_once(w->loop, 1);
    n_bytes = w->server.n_ws_bytes;
    net_conn_pause(w->server.ws_conn);
    assert_int_equal(emit_text(w, "x", large, false), SIO_OK);
    for (int turn = 0; turn < 100; turn++)
        net_loop_run_once(w->loop, 0);
    n_pending = sio_client_pending(w->client);
    assert_true(n_pending > 1 << 20);
    for (int i = 0; i < 1000; i++)
        net_conn_send_bytes(w->server.ws_conn,
                            "\x81\x01"
                            "2",
                            3);
    net_conn_send_bytes(w->server.ws_conn,
                        "\x81\x07"
                        "42[\"x\"]",
                        9);
    run_until(w, w->n_events == 1);
    assert_true(sio_client_pending(w->client) <= n_pending);
    net_conn_resume(w->server.ws_conn);
    run_until(w, w->server.n_ws_bytes >= n_bytes + large + 24 + 7);
    assert_int_equal(w->server.n_ws_bytes, n_bytes + large + 24 + 7);
    free_world(w);
}

static void a_compressed_reply_that_nobody_asked_for_is_refused(void **state)
{
    static const char *const bodies[] = {"\x1f\x8b", NULL};
    struct sio_client_options o = {.transports = SIO_TRANSPORTS_POLLING,
                                   .no_reconnect = true};
    struct world *w = new_world();

    (void)state;
    more_fields = "Content-Encoding: gzip\r\n";
    w->server.bodies = bodies;
    assert_true(begin(w, &o));
    run_until(w, w->n_downs);
    assert_string_equal(w->why,
                        "poll: the reply is compressed, which was not asked for");
    assert_null(strstr(w->server.last_get, "Accept-Encoding"));
    free_world(w);
}

static void out_of_memory_is_survived_with_retries_and_listeners(void **state)
{
    static const char *const bodies[] = {OPEN,
                                         "40{\"sid\":\"a\",\"pid\":\"p\"}\x1e"
                                         "42[\"x\",\"off\"]",
                                         "430[]",
                                         "1",
                                         OPEN,
                                         JOINED,
                                         NULL};

    (void)state;
    alloc_fail_each(n)
    {
        struct sio_client_options o = {.transports = SIO_TRANSPORTS_POLLING,
                                       .retries = 2};
        struct trace t = {.text = ""};
        struct world *w;

        alloc_fail_pause();
        w = new_world();
        alloc_fail_resume();
        w->server.bodies = bodies;
        if (begin(w, &o)) {
            (void)sio_client_socket_on_any(w->socket, on_any, &t);
            (void)sio_client_socket_on_any_outgoing(w->socket, on_any, &t);
            (void)sio_client_socket_set_auth(w->socket, SIO_STR("{\"a\":1}"));
            (void)emit_text(w, "x", 5000, true);
            run_until(w, w->n_joins == 2 || w->n_downs == 2 || w->server.n_gets == 6);
        }
        free_world(w);
    }
}

static void a_delay_is_never_none(void **state)
{
    struct sio_client c = {
        .config = {.delay_ms = 1, .delay_max_ms = 1, .jitter_percent = 100}};

    (void)state;
    for (unsigned i = 0; i < 1000; i++)
        assert_in_range(sio_client_backoff(&c, 0), 1, 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_event_is_sent_again_until_it_is_answered),
        cmocka_unit_test(a_delay_is_never_none),
        cmocka_unit_test(an_event_is_given_up_after_its_retries),
        cmocka_unit_test(what_is_not_answered_survives_a_reconnection_in_order),
        cmocka_unit_test(a_connection_that_is_lost_ends_the_last_try),
        cmocka_unit_test(retried_events_are_bounded),
        cmocka_unit_test(volatile_events_are_not_retried),
        cmocka_unit_test(whoever_waits_for_a_retry_is_told_of_the_end),
        cmocka_unit_test(every_event_is_told_before_its_handler),
        cmocka_unit_test(a_listener_may_free_the_client),
        cmocka_unit_test(what_is_sent_is_told_when_it_is_sent),
        cmocka_unit_test(who_leaves_while_it_asks_is_told_once),
        cmocka_unit_test(it_asks_the_server_to_go_on_where_it_was),
        cmocka_unit_test(a_pid_that_is_none_is_not_kept),
        cmocka_unit_test(auth_may_come_later),
        cmocka_unit_test(auth_that_never_comes_ends_the_attempt),
        cmocka_unit_test(auth_by_value_must_be_an_object),
        cmocka_unit_test(attempts_are_told_and_may_have_an_end),
        cmocka_unit_test(a_namespace_may_be_left_and_joined_again),
        cmocka_unit_test(one_that_was_left_while_joining_ignores_the_answer),
        cmocka_unit_test(cookies_are_kept_from_one_attempt_to_the_next),
        cmocka_unit_test(where_polling_does_not_work_websocket_may),
        cmocka_unit_test(pongs_do_not_heap_up),
        cmocka_unit_test(a_compressed_reply_that_nobody_asked_for_is_refused),
        cmocka_unit_test(out_of_memory_is_survived_with_retries_and_listeners),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
