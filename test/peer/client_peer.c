/*
 * client_peer.c - our Socket.IO client against a server of another make
 *
 * Usage: client_peer URL TRANSPORT [CA-FILE]
 * TRANSPORT: default, upgrade, websocket, polling.  The server speaks the echo contract:
 * `auth` on connection, `message` -> `message-back`, `message-with-ack`, `ask` (it emits
 * `question` with an ack and sends what comes as `answer`), and `drop`, after which it
 * cuts the transport.  Prints "ok TRANSPORT-IN-USE", or "not ok: ..." and ends with 1.
 */
#include <config.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <sioc/sioc.h>

#define N_BURST     300
#define BIG         900000
#define DEADLINE_MS 20000

struct peer {
    struct net_loop *loop;
    struct sio_client *client;
    struct sio_client_socket *root;
    struct sio_client_socket *custom;
    struct net_timer deadline;
    struct sio_buf *big;
    unsigned n_connects;
    unsigned n_auth;
    unsigned n_burst;
    unsigned n_disconnects;
    bool back;
    bool binary_back;
    bool acked;
    bool timed_out;
    bool answered;
    bool flushed;
    bool dropped;
    bool late_ack;
    bool offline_sent;
    bool offline_back;
};

static void fail(const char *what)
{
    printf("not ok: %s\n", what);
    exit(1);
}

static void check(bool condition, const char *what)
{
    if (!condition)
        fail(what);
}

static bool arg_is(struct sio_event *e, size_t i, const char *json)
{
    struct sio_str a = sio_event_arg(e, i);

    return a.ptr && a.len == strlen(json) && memcmp(a.ptr, json, a.len) == 0;
}

static void emit(struct sio_client_socket *s, struct sio_message *m)
{
    check(sio_client_socket_emit(s, m) == SIO_OK, "emit");
    sio_message_free(m);
}

static struct sio_message *numbered(const char *event, unsigned n)
{
    struct sio_message *m = sio_message_new(event);
    char text[16];

    snprintf(text, sizeof(text), "%u", n);
    sio_message_add_raw(m, sio_str_from(text));
    return m;
}

static void on_closed(void *user)
{
    struct peer *p = user;

    net_loop_stop(p->loop);
}

static void finish(struct peer *p)
{
    const char *transport = sio_client_transport(p->client);

    if (!p->back || !p->binary_back || !p->acked || !p->timed_out || !p->answered ||
        !p->flushed || p->n_burst < N_BURST || p->n_auth < 2)
        return;
    if (!p->dropped) {
        p->dropped = true;
        emit(p->root, sio_message_new("drop"));
        return;
    }
    if (!p->offline_back || !p->late_ack || p->n_connects < 4)
        return;
    check(p->n_disconnects == 2, "a disconnect for each namespace");
    printf("ok %s\n", transport);
    fflush(stdout);
    p->offline_back = false;
    sio_client_close(p->client, on_closed, p);
}

static void on_flushed(int status, void *user)
{
    struct peer *p = user;

    check(status == SIO_OK, "flushed");
    p->flushed = true;
    finish(p);
}

static void on_ack(int status, struct sio_event *e, void *user)
{
    struct peer *p = user;

    check(status == SIO_OK, "ack");
    check(arg_is(e, 0, "\"x\""), "ack's first argument");
    check(sio_event_n_attachments(e) == 1, "ack's attachment");
    check(sio_event_attachment(e, 0).len == 5, "ack's attachment's length");
    p->acked = true;
    finish(p);
}

static void on_no_ack(int status, struct sio_event *e, void *user)
{
    struct peer *p = user;

    check(status == SIO_ERR_TIMEOUT && !e, "an ack that never comes");
    p->timed_out = true;
    finish(p);
}

static void on_late_ack(int status, struct sio_event *e, void *user)
{
    struct peer *p = user;

    (void)e;
    check(status == SIO_ERR_CLOSED, "an ack that the disconnection ends");
    p->late_ack = true;
    finish(p);
}

static void on_message_back(struct sio_client_socket *s, struct sio_event *e,
                            void *user)
{
    struct peer *p = user;
    char text[16];

    (void)s;
    if (arg_is(e, 0, "\"text\"")) {
        check(arg_is(e, 1, "{\"a\":[1,2.5,null,true],\"\\u00e1\":\"\xc3\xa1\"}") ||
                  arg_is(e, 1, "{\"a\":[1,2.5,null,true],\"\xc3\xa1\":\"\xc3\xa1\"}") ||
                  arg_is(e, 1, "{\"a\":[1,2.5,null,true],\"\\u00e1\":\"\\u00e1\"}"),
              "message-back's JSON");
        p->back = true;
    } else if (arg_is(e, 0, "\"binary\"")) {
        struct sio_slice got = sio_event_attachment(e, 0);

        check(sio_event_n_attachments(e) == 1 && got.len == BIG &&
                  memcmp(got.ptr, sio_buf_data(p->big), BIG) == 0,
              "message-back's attachment");
        p->binary_back = true;
    } else if (arg_is(e, 0, "\"offline\"")) {
        p->offline_back = true;
    } else {
        snprintf(text, sizeof(text), "%u", p->n_burst);
        check(arg_is(e, 0, text), "the burst's order");
        p->n_burst++;
    }
    finish(p);
}

static void on_auth(struct sio_client_socket *s, struct sio_event *e, void *user)
{
    struct peer *p = user;

    (void)s;
    check(arg_is(e, 0, "{\"token\":\"secret\"}"), "auth");
    p->n_auth++;
    finish(p);
}

static void on_question(struct sio_client_socket *s, struct sio_event *e, void *user)
{
    struct sio_message *m = sio_message_new("");

    (void)s;
    (void)user;
    check(sio_event_wants_ack(e), "question wants an ack");
    sio_message_add_string(m, SIO_STR("yes"));
    check(sio_event_ack(e, m) == SIO_OK, "answer");
    sio_message_free(m);
}

static void on_answer(struct sio_client_socket *s, struct sio_event *e, void *user)
{
    struct peer *p = user;

    (void)s;
    check(arg_is(e, 0, "\"yes\""), "the answer");
    p->answered = true;
    finish(p);
}

static void say_all(struct peer *p)
{
    struct sio_slice five = {NULL, (const uint8_t *)"\0\1\2\3\xff", 5};
    struct sio_message *m = sio_message_new("message");

    sio_message_add_string(m, SIO_STR("text"));
    sio_message_add_raw(m,
                        SIO_STR("{\"a\":[1,2.5,null,true],\"\\u00e1\":\"\xc3\xa1\"}"));
    emit(p->root, m);
    m = sio_message_new("message");
    sio_message_add_string(m, SIO_STR("binary"));
    sio_message_add_binary(m, sio_slice_of(p->big));
    emit(p->custom, m);
    m = sio_message_new("message-with-ack");
    sio_message_add_string(m, SIO_STR("x"));
    sio_message_add_binary(m, five);
    check(sio_client_socket_emit_ack(p->root, m, 10000, on_ack, p) == SIO_OK,
          "emit_ack");
    sio_message_free(m);
    m = sio_message_new("nobody-listens");
    check(sio_client_socket_emit_ack(p->root, m, 200, on_no_ack, p) == SIO_OK,
          "emit_ack");
    check(sio_client_socket_emit_ack(p->root, m, 0, on_late_ack, p) == SIO_OK,
          "emit_ack");
    sio_message_free(m);
    m = sio_message_new("ask");
    sio_message_add_string(m, SIO_STR("really?"));
    emit(p->root, m);
    for (unsigned i = 0; i < N_BURST; i++)
        emit(p->root, numbered("message", i));
    check(sio_client_on_flushed(p->client, on_flushed, p) == SIO_OK, "on_flushed");
}

static void on_connect(struct sio_client_socket *s, void *user)
{
    struct peer *p = user;

    check(sio_client_socket_id(s).len > 0, "socket id");
    p->n_connects++;
    if (p->n_connects == 2)
        say_all(p);
    finish(p);
}

static void on_disconnect(struct sio_client_socket *s, const char *reason, void *user)
{
    struct peer *p = user;
    struct sio_message *m;

    (void)reason;
    if (p->dropped && !p->offline_sent && s == p->root) {
        p->offline_sent = true;
        m = sio_message_new("message");
        sio_message_add_string(m, SIO_STR("offline"));
        emit(s, m);
    }
    if (p->n_connects < 4)
        p->n_disconnects++;
}

static struct sio_str auth_of(struct sio_client_socket *s, void *user)
{
    (void)s;
    (void)user;
    return SIO_STR("{\"token\":\"secret\"}");
}

static const struct sio_client_socket_ops ops = {
    .on_connect = on_connect,
    .on_disconnect = on_disconnect,
    .auth = auth_of,
};

static void on_down(struct sio_client *c, int error, const char *why,
                    uint32_t retry_in_ms, void *user)
{
    struct peer *p = user;

    (void)c;
    fprintf(stderr, "down: %s: %s (again in %u ms)\n", sio_strerror(error), why,
            (unsigned)retry_in_ms);
    check(p->dropped, why);
}

static void on_deadline(struct net_timer *timer, void *user)
{
    struct peer *p = user;

    (void)timer;
    fprintf(stderr,
            "connects=%u auth=%u back=%d binary=%d acked=%d timeout=%d answer=%d "
            "flushed=%d burst=%u dropped=%d offline=%d late=%d pending=%zu\n",
            p->n_connects, p->n_auth, p->back, p->binary_back, p->acked, p->timed_out,
            p->answered, p->flushed, p->n_burst, p->dropped, p->offline_back,
            p->late_ack, sio_client_pending(p->client));
    fail("not finished in time");
}

static enum sio_client_transports transports_of(const char *name)
{
    if (strcmp(name, "upgrade") == 0)
        return SIO_TRANSPORTS_UPGRADE;
    if (strcmp(name, "websocket") == 0)
        return SIO_TRANSPORTS_WEBSOCKET;
    return strcmp(name, "polling") == 0 ? SIO_TRANSPORTS_POLLING
                                        : SIO_TRANSPORTS_DEFAULT;
}

static void listen_to(struct peer *p, struct sio_client_socket *s)
{
    check(s != NULL, "socket");
    sio_client_socket_on(s, "auth", on_auth, p);
    sio_client_socket_on(s, "message-back", on_message_back, p);
    sio_client_socket_on(s, "question", on_question, p);
    sio_client_socket_on(s, "answer", on_answer, p);
}

static void to_stderr(enum sio_log_level level, const char *line, size_t len,
                      void *user)
{
    (void)level;
    (void)user;
    fprintf(stderr, "%.*s\n", (int)len, line);
}

static void take_options(struct sio_client_options *o, char **argv)
{
    if (argv[0] && argv[1] && strcmp(argv[0], "--parser") == 0) {
        if (strcmp(argv[1], "msgpack") == 0)
            o->parser = SIO_PARSER_MSGPACK;
        else
            check(strcmp(argv[1], "json") == 0, "parser");
        argv += 2;
    }
    o->tls_ca_file = argv[0];
}

int main(int argc, char **argv)
{
    struct net_loop_options lo = {.log = to_stderr, .log_level = SIO_LOG_DEBUG};
    struct sio_diag diag;
    struct peer p = {.loop = net_loop_new(&lo, &diag)};
    struct sio_client_options o = {
        .url = argv[1],
        .reconnect_delay_ms = 50,
        .on_down = on_down,
        .user = &p,
    };

    if (argc < 3)
        fail("usage: client_peer URL TRANSPORT [--parser NAME] [CA-FILE]");
    o.transports = transports_of(argv[2]);
    take_options(&o, argv + 3);
    p.big = sio_buf_new(BIG);
    check(p.loop && p.big, "memory");
    for (size_t i = 0; i < BIG; i++)
        sio_buf_data(p.big)[i] = (uint8_t)(i * 7 + i / 251);
    p.client = sio_client_new(p.loop, &o, &diag);
    if (!p.client)
        fail(diag.text);
    listen_to(&p, p.root = sio_client_join(p.client, "/", &ops, &p));
    listen_to(&p, p.custom = sio_client_join(p.client, "/custom", &ops, &p));
    net_timer_init(&p.deadline, p.loop, on_deadline, &p);
    net_timer_start(&p.deadline, DEADLINE_MS);
    check(sio_client_connect(p.client) == SIO_OK, "connect");
    check(net_loop_run(p.loop) == SIO_OK, "run");
    sio_client_free(p.client);
    net_loop_free(p.loop);
    sio_buf_unref(p.big);
    return 0;
}
