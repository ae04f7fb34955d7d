/*
 * The uplink with real cameras (test patterns on their threads) and a client that only
 * notes what it is given: it stands here in place of the library's.
 */
#include <config.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "agent/capture.h"
#include "agent/uplink.h"
#include "base/list.h"
#include "engineio/msg.h"
#include "socketio/event.h"
#include "socketio/message.h"

#define MAX_SENT  256
#define MAX_TURNS 400
#define TURN_MS   25

struct sio_client_socket {
    const struct sio_client_socket_ops *ops;
    void *user;
};

struct sio_client {
    struct sio_client_socket socket;
    size_t max_payload;
    bool connected;
    void (*on_flushed)(int status, void *user);
    void *flushed_user;
    char *sent[MAX_SENT]; /* events and answers in order */
    size_t n_sent;
    sio_ack_cb acks[MAX_SENT]; /* of frames that wait for the hub's answer */
    void *ack_users[MAX_SENT];
    size_t n_acks;
};

/* What the library's functions would be found in; one test runs at a time. */
static struct sio_client client;

static void note(struct sio_message *m, enum sio_packet_type type, bool has_id,
                 uint64_t id)
{
    struct sio_slice slices[16];
    struct eio_msg *msg = NULL;
    struct wbuf w;

    assert_true(client.n_sent < MAX_SENT);
    assert_int_equal(
        sio_message_encode(m, &sio_parser_json, type, SIO_STR("/"), has_id, id, &msg),
        SIO_OK);
    wbuf_init(&w, 10 * 1000 * 1000);
    for (size_t i = 0, n = eio_msg_body(msg, 0, slices); i < n; i++)
        wbuf_add(&w, slices[i].ptr, slices[i].len);
    wbuf_add_byte(&w, '\0');
    client.sent[client.n_sent] = strdup(wbuf_str(&w).ptr);
    assert_non_null(client.sent[client.n_sent]);
    client.n_sent++;
    wbuf_fini(&w);
    eio_msg_unref(msg);
}

struct sio_client *sio_client_new(struct net_loop *loop,
                                  const struct sio_client_options *opts,
                                  struct sio_diag *diag)
{
    (void)loop;
    (void)opts;
    (void)diag;
    return &client;
}

void sio_client_free(struct sio_client *c)
{
    (void)c;
}

struct sio_client_socket *sio_client_join(struct sio_client *c, const char *name,
                                          const struct sio_client_socket_ops *ops,
                                          void *user)
{
    assert_string_equal(name, "/");
    c->socket = (struct sio_client_socket){ops, user};
    return &c->socket;
}

int sio_client_connect(struct sio_client *c)
{
    (void)c;
    return SIO_OK;
}

void sio_client_close(struct sio_client *c, void (*cb)(void *user), void *user)
{
    (void)c;
    cb(user);
}

const char *sio_client_transport(const struct sio_client *c)
{
    (void)c;
    return "websocket";
}

size_t sio_client_max_payload(const struct sio_client *c)
{
    return c->max_payload;
}

int sio_client_socket_emit(struct sio_client_socket *s, struct sio_message *m)
{
    (void)s;
    if (!client.connected)
        return SIO_ERR_CLOSED;
    note(m, SIO_PACKET_EVENT, false, 0);
    return SIO_OK;
}

int sio_client_socket_emit_ack(struct sio_client_socket *s, struct sio_message *m,
                               uint32_t timeout_ms, sio_ack_cb cb, void *user)
{
    (void)s;
    assert_true(timeout_ms > 0);
    if (!client.connected)
        return SIO_ERR_CLOSED;
    assert_true(client.n_acks < MAX_SENT);
    note(m, SIO_PACKET_EVENT, true, 1);
    client.acks[client.n_acks] = cb;
    client.ack_users[client.n_acks++] = user;
    return SIO_OK;
}

/* The answer to the frame that waits longest. */
static void answer_frame(int status)
{
    sio_ack_cb cb = client.acks[0];
    void *user = client.ack_users[0];

    assert_true(client.n_acks > 0);
    client.n_acks--;
    memmove(client.acks, client.acks + 1, client.n_acks * sizeof(client.acks[0]));
    memmove(client.ack_users, client.ack_users + 1,
            client.n_acks * sizeof(client.ack_users[0]));
    cb(status, NULL, user);
}

int sio_client_on_flushed(struct sio_client *c, void (*cb)(int status, void *user),
                          void *user)
{
    assert_null(c->on_flushed); /* one picture at a time */
    c->on_flushed = cb;
    c->flushed_user = user;
    return SIO_OK;
}

/* --- the hub's side ----------------------------------------------------------------- */

struct hub {
    struct agent_config config;
    struct net_loop *loop;
    struct agent_uplink *uplink;
};

static void set_up(struct hub *h, const char *cameras, const char *interval)
{
    const char *argv[] = {"nuchub-agent",   "--server=http://hub.example.test",
                          "--nuc-id=nuc_1", "--cameras",
                          cameras,          "--interval",
                          interval,         "--env-file=/dev/null"};
    static char *const no_env[] = {NULL};
    struct sio_diag diag = {""};

    memset(h, 0, sizeof(*h));
    memset(&client, 0, sizeof(client));
    if (agent_config_init(&h->config, N_ELEMENTS(argv), (char *const *)argv, no_env,
                          &diag) < 0)
        fail_msg("%s", diag.text);
    h->loop = net_loop_new(NULL, NULL);
    assert_non_null(h->loop);
    h->uplink = agent_uplink_new(h->loop, &h->config, &diag);
    assert_non_null(h->uplink);
    assert_int_equal(agent_uplink_connect(h->uplink, &diag), SIO_OK);
}

static void forget_sent(void)
{
    for (size_t i = 0; i < client.n_sent; i++)
        free(client.sent[i]);
    client.n_sent = 0;
}

static void tear_down(struct hub *h)
{
    while (client.n_acks > 0)
        answer_frame(SIO_ERR_CLOSED);
    agent_uplink_stop(h->uplink);
    net_loop_free(h->loop);
    agent_uplink_free(h->uplink);
    agent_config_fini(&h->config);
    forget_sent();
}

static void connect_hub(void)
{
    client.connected = true;
    client.socket.ops->on_connect(&client.socket, client.socket.user);
}

static void flush(int status)
{
    void (*cb)(int, void *) = client.on_flushed;

    client.on_flushed = NULL;
    if (cb)
        cb(status, client.flushed_user);
}

static void disconnect_hub(void)
{
    client.connected = false;
    while (client.n_acks > 0)
        answer_frame(SIO_ERR_CLOSED);
    client.socket.ops->on_disconnect(&client.socket, "transport close",
                                     client.socket.user);
    flush(SIO_ERR_CLOSED);
}

static size_t count_sent(const char *part)
{
    size_t n = 0;

    for (size_t i = 0; i < client.n_sent; i++)
        n += strstr(client.sent[i], part) != NULL;
    return n;
}

/* Turns the loop until part was sent n times; false when it was not after 10 s. */
static bool wait_sent(struct hub *h, const char *part, size_t n, bool flushing)
{
    for (int i = 0; i < MAX_TURNS && count_sent(part) < n; i++) {
        net_loop_run_once(h->loop, TURN_MS);
        if (flushing)
            flush(SIO_OK);
    }
    return count_sent(part) >= n;
}

static int send_answer(struct sio_replier *r, struct eio_msg *msg)
{
    struct sio_slice slices[16];
    char text[100] = "";
    size_t len = 0;

    (void)r;
    for (size_t i = 0, n = eio_msg_body(msg, 0, slices); i < n; i++) {
        assert_true(len + slices[i].len < sizeof(text));
        memcpy(text + len, slices[i].ptr, slices[i].len);
        len += slices[i].len;
    }
    client.sent[client.n_sent++] = strdup(text);
    return SIO_OK;
}

static struct sio_str answer_nsp(struct sio_replier *r)
{
    (void)r;
    return SIO_STR("/");
}

static const struct sio_parser *answer_parser(struct sio_replier *r)
{
    (void)r;
    return &sio_parser_json;
}

static const struct sio_replier_ops replier_ops = {send_answer, answer_nsp,
                                                   answer_parser};

/* Lets the hub send a packet; r must live until its acks are answered. */
static void receive(struct sio_replier *r, const char *text)
{
    struct sio_packet packet;
    struct sio_event e;
    struct sio_slice slice = {NULL, (const uint8_t *)text, strlen(text)};

    assert_int_equal(sio_packet_parse(sio_str_from(text), 0, &packet), SIO_OK);
    assert_int_equal(sio_event_init(&e, &packet, slice, NULL, r), SIO_OK);
    client.socket.ops->on_event(&client.socket, &e, client.socket.user);
    sio_event_fini(&e);
}

/* --- tests -------------------------------------------------------------------------- */

static void each_connection_registers_and_brings_pictures_at_once(void **state)
{
    struct hub h;

    (void)state;
    set_up(&h, "test://a,test://b", "3600");
    assert_int_equal(client.n_sent, 0);
    for (int i = 0; i < 3; i++) {
        connect_hub();
        assert_int_equal(client.n_sent, 1);
        assert_non_null(strstr(client.sent[0],
                               "42[\"nuc_register\",{\"nuc_id\":\"nuc_1\","
                               "\"camaras\":[\"a\",\"b\"],\"timestamp\":"));
        assert_true(wait_sent(&h, "42[\"snapshot\",{\"nuc_id\":\"nuc_1\",\"ip\":\"a\"",
                              1, true));
        assert_true(wait_sent(&h, "42[\"snapshot\",{\"nuc_id\":\"nuc_1\",\"ip\":\"b\"",
                              1, true));
        assert_int_equal(client.n_sent, 3);
        disconnect_hub();
        forget_sent();
    }
    tear_down(&h);
}

static void the_auth_object_names_the_nuc(void **state)
{
    struct sio_str auth;
    struct hub h;

    (void)state;
    set_up(&h, "test://", "3600");
    auth = client.socket.ops->auth(&client.socket, client.socket.user);
    assert_int_equal(auth.len, strlen("{\"nuc_id\":\"nuc_1\"}"));
    assert_memory_equal(auth.ptr, "{\"nuc_id\":\"nuc_1\"}", auth.len);
    tear_down(&h);
}

static void pictures_come_at_every_interval(void **state)
{
    struct hub h;

    (void)state;
    set_up(&h, "test://", "0.2");
    connect_hub();
    assert_true(wait_sent(&h, "\"snapshot\"", 4, true));
    tear_down(&h);
}

/* The kernel takes nothing: the first picture waits there, and no second is queued. */
static void cameras_have_their_turns_spread_over_the_interval(void **state)
{
    struct hub h;

    (void)state;
    set_up(&h, "test://a,test://b,test://c,test://d", "8");
    connect_hub();
    assert_true(wait_sent(&h, "\"snapshot\"", 4, true));
    assert_true(wait_sent(&h, "\"ip\":\"a\"", 2, true));
    for (int i = 0; i < 12; i++) { /* 2 s are there until the next one */
        net_loop_run_once(h.loop, TURN_MS);
        flush(SIO_OK);
    }
    assert_int_equal(count_sent("\"snapshot\""), 5);
    tear_down(&h);
}

static void a_slow_link_gets_one_picture_at_a_time(void **state)
{
    struct hub h;

    (void)state;
    set_up(&h, "test://a,test://b", "0.2");
    connect_hub();
    assert_true(wait_sent(&h, "\"snapshot\"", 1, false));
    for (int i = 0; i < 20; i++)
        net_loop_run_once(h.loop, TURN_MS);
    assert_int_equal(count_sent("\"snapshot\""), 1);
    flush(SIO_OK);
    assert_int_equal(count_sent("\"snapshot\""), 2);
    tear_down(&h);
}

static void nothing_is_sent_while_there_is_no_hub(void **state)
{
    struct hub h;

    (void)state;
    set_up(&h, "test://", "0.2");
    connect_hub();
    disconnect_hub();
    forget_sent();
    for (int i = 0; i < 20; i++)
        net_loop_run_once(h.loop, TURN_MS);
    assert_int_equal(client.n_sent, 0);
    tear_down(&h);
}

static void a_ping_is_answered_before_its_ack(void **state)
{
    struct sio_replier r;
    struct hub h;

    (void)state;
    set_up(&h, "test://", "3600");
    connect_hub();
    forget_sent();
    sio_replier_init(&r, &replier_ops);
    receive(&r, "25[\"ping\",{}]");
    assert_int_equal(client.n_sent, 2);
    assert_non_null(
        strstr(client.sent[0], "42[\"pong\",{\"nuc_id\":\"nuc_1\",\"timestamp\":"));
    assert_string_equal(client.sent[1], "435[]");
    receive(&r, "26[\"otro\",{\"a\":1}]");
    assert_string_equal(client.sent[2], "436[]");
    sio_replier_end(&r);
    tear_down(&h);
}

static void a_capture_is_acknowledged_when_it_is_done(void **state)
{
    struct sio_replier r;
    struct hub h;

    (void)state;
    set_up(&h, "test://a", "3600");
    connect_hub();
    assert_true(wait_sent(&h, "\"snapshot\"", 1, true));
    forget_sent();
    sio_replier_init(&r, &replier_ops);
    receive(&r, "27[\"capture_snapshot\",{\"ip\":\"a\"}]");
    receive(&r, "28[\"capture_snapshot\",{\"ip\":\"\\u0061\"}]");
    assert_int_equal(client.n_sent, 0);
    assert_true(wait_sent(&h, "438[]", 1, true));
    assert_int_equal(client.n_sent, 3);
    assert_non_null(strstr(client.sent[0], "42[\"snapshot\""));
    assert_string_equal(client.sent[1], "437[]");
    assert_string_equal(client.sent[2], "438[]");
    sio_replier_end(&r);
    tear_down(&h);
}

/* Acks that are due when the connection ends are let go; asan would see a leak. */
static void a_lost_connection_drops_waiting_acks(void **state)
{
    struct sio_replier r;
    struct hub h;

    (void)state;
    set_up(&h, "test://a", "3600");
    connect_hub();
    sio_replier_init(&r, &replier_ops);
    receive(&r, "27[\"capture_snapshot\",{\"ip\":\"a\"}]");
    sio_replier_end(&r);
    disconnect_hub();
    assert_int_equal(count_sent("437[]"), 0);
    tear_down(&h);
}

static void only_private_addresses_are_captured_on_request(void **state)
{
    static const char *const wrong[] = {
        "21[\"capture_snapshot\"]",
        "21[\"capture_snapshot\",{}]",
        "21[\"capture_snapshot\",\"a\"]",
        "21[\"capture_snapshot\",{\"ip\":5}]",
        "21[\"capture_snapshot\",{\"ip\":\"\"}]",
        "21[\"capture_snapshot\",{\"ip\":\"127.0.0.1/x\"}]",
        "21[\"capture_snapshot\",{\"ip\":\"test://x\"}]",
        "21[\"capture_snapshot\",{\"ip\":\"u:p@127.0.0.1\"}]",
        "21[\"capture_snapshot\",{\"ip\":\"a\\u0000b\"}]",
    };
    struct sio_replier r;
    struct hub h;

    (void)state;
    set_up(&h, "test://a", "3600");
    connect_hub();
    assert_true(wait_sent(&h, "\"snapshot\"", 1, true));
    sio_replier_init(&r, &replier_ops);
    for (size_t i = 0; i < N_ELEMENTS(wrong); i++) {
        forget_sent();
        receive(&r, wrong[i]);
        assert_int_equal(client.n_sent, 1);
        assert_string_equal(client.sent[0], "431[]");
    }
    forget_sent();
    receive(&r, "22[\"capture_snapshot\",{\"ip\":\"192.0.2.7\"}]");
    assert_int_equal(client.n_sent, 2);
    assert_non_null(strstr(client.sent[0],
                           "42[\"snapshot_error\",{\"nuc_id\":\"nuc_1\","
                           "\"ip\":\"192.0.2.7\",\"error\":\"Error al "
                           "capturar de 192.0.2.7: dirección no "
                           "permitida\",\"timestamp\":"));
    /* Nothing listens on these ports of the loopback. */
    forget_sent();
    receive(&r, "23[\"capture_snapshot\",{\"ip\":\"127.77.7.7:9\"}]");
    assert_true(wait_sent(&h, "433[]", 1, true));
    assert_non_null(strstr(client.sent[0],
                           "42[\"snapshot_error\",{\"nuc_id\":\"nuc_1\","
                           "\"ip\":\"127.77.7.7:9\",\"error\":\"El puerto "
                           "554 (RTSP) está cerrado en 127.77.7.7:9. "));
    sio_replier_end(&r);
    tear_down(&h);
}

/* More guests than there is room for: each is served, the oldest make room. */
static void guests_make_room_for_each_other(void **state)
{
    struct sio_replier r;
    struct hub h;

    (void)state;
    set_up(&h, "test://a", "3600");
    connect_hub();
    sio_replier_init(&r, &replier_ops);
    for (unsigned i = 1; i <= 30; i++) {
        char text[100];
        char ack[20];

        snprintf(text, sizeof(text),
                 "2%u[\"capture_snapshot\",{\"ip\":\"127.77.7.%u:9\"}]", i, i);
        snprintf(ack, sizeof(ack), "43%u[]", i);
        receive(&r, text);
        assert_true(wait_sent(&h, ack, 1, true));
    }
    assert_int_equal(count_sent("snapshot_error"), 30);
    assert_int_equal(count_sent("está cerrado"), 30);
    sio_replier_end(&r);
    tear_down(&h);
}

static void a_small_hub_gets_small_pictures(void **state)
{
    struct hub h;

    (void)state;
    set_up(&h, "test://a", "3600");
    client.max_payload = 16000;
    connect_hub();
    assert_true(wait_sent(&h, "\"snapshot\"", 1, true));
    for (size_t i = 0; i < client.n_sent; i++)
        assert_true(strlen(client.sent[i]) <= 16000);
    disconnect_hub();
    forget_sent();
    client.max_payload = 1000000;
    connect_hub();
    assert_true(wait_sent(&h, "\"snapshot\"", 1, true));
    assert_true(strlen(client.sent[client.n_sent - 1]) > 16000);
    tear_down(&h);
}

#define FRAME "[\"frame\",{\"nuc_id\":\"nuc_1\",\"ip\":\"a\""

static void turn_for_a_while(struct hub *h)
{
    for (int i = 0; i < 12; i++)
        net_loop_run_once(h->loop, TURN_MS);
}

static void live_pictures_wait_for_the_hub(void **state)
{
    struct sio_replier r;
    struct hub h;

    (void)state;
    set_up(&h, "test://a", "3600");
    connect_hub();
    sio_replier_init(&r, &replier_ops);
    receive(&r, "27[\"stream_start\",{\"ip\":\"a\",\"ancho\":320,\"fps\":30}]");
    assert_int_equal(count_sent("37[{\"ok\":true}]"), 1);
    assert_true(wait_sent(&h, FRAME, 3, true));
    turn_for_a_while(&h);
    assert_int_equal(client.n_acks, 3); /* no more under way */
    /* A hub that does not answer in time gets one at a time. */
    while (client.n_acks > 0)
        answer_frame(SIO_ERR_TIMEOUT);
    assert_true(wait_sent(&h, FRAME, 4, true));
    turn_for_a_while(&h);
    assert_int_equal(client.n_acks, 1);
    receive(&r, "2[\"stream_stop\",{\"ip\":\"a\"}]");
    answer_frame(SIO_OK);
    forget_sent();
    turn_for_a_while(&h);
    assert_int_equal(count_sent(FRAME), 0);
    sio_replier_end(&r);
    tear_down(&h);
}

static void live_view_ends_with_the_connection(void **state)
{
    struct sio_replier r;
    struct hub h;

    (void)state;
    set_up(&h, "test://a", "3600");
    connect_hub();
    sio_replier_init(&r, &replier_ops);
    receive(&r, "2[\"stream_start\",{\"ip\":\"a\"}]");
    assert_true(wait_sent(&h, FRAME, 1, true));
    disconnect_hub();
    forget_sent();
    connect_hub();
    turn_for_a_while(&h);
    assert_int_equal(count_sent(FRAME), 0);
    receive(&r, "2[\"stream_start\",{\"ip\":\"a\"}]"); /* while the old one ends */
    assert_true(wait_sent(&h, FRAME, 1, true));
    receive(&r, "28[\"stream_start\",{\"ip\":\"a/b\"}]");
    receive(&r, "28[\"stream_start\",{\"ip\":5}]");
    receive(&r, "28[\"stream_start\"]");
    receive(&r, "28[\"stream_start\",{\"ip\":\"198.51.100.7\"}]"); /* not private */
    assert_int_equal(count_sent("38[{\"ok\":false"), 4);
    sio_replier_end(&r);
    tear_down(&h);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_connection_registers_and_brings_pictures_at_once),
        cmocka_unit_test(the_auth_object_names_the_nuc),
        cmocka_unit_test(pictures_come_at_every_interval),
        cmocka_unit_test(cameras_have_their_turns_spread_over_the_interval),
        cmocka_unit_test(a_slow_link_gets_one_picture_at_a_time),
        cmocka_unit_test(nothing_is_sent_while_there_is_no_hub),
        cmocka_unit_test(a_ping_is_answered_before_its_ack),
        cmocka_unit_test(a_capture_is_acknowledged_when_it_is_done),
        cmocka_unit_test(a_lost_connection_drops_waiting_acks),
        cmocka_unit_test(only_private_addresses_are_captured_on_request),
        cmocka_unit_test(guests_make_room_for_each_other),
        cmocka_unit_test(a_small_hub_gets_small_pictures),
        cmocka_unit_test(live_pictures_wait_for_the_hub),
        cmocka_unit_test(live_view_ends_with_the_connection),
    };

    agent_capture_setup();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
