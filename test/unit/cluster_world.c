#include <config.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "cluster_world.h"

static void note_warning(enum sio_log_level level, const char *line, size_t len,
                         void *user)
{
    (void)level;
    (void)line;
    (void)len;
    ((struct sio_world *)user)->n_warned++;
}

struct sio_cluster *cluster_world_open(struct sio_world *w,
                                       const struct sio_cluster_options *opts,
                                       const struct sio_server_options *server)
{
    const struct net_loop_options of_loop = {
        .log = note_warning, .log_user = w, .log_level = SIO_LOG_WARN};
    struct sio_cluster_options of_cluster = {0};
    struct sio_server_options of_server = {0};
    struct sio_cluster *c;

    if (opts)
        of_cluster = *opts;
    if (server)
        of_server = *server;
    memset(w, 0, sizeof(*w));
    w->loop = net_loop_new(&of_loop, NULL);
    of_cluster.redis_url = "redis://localhost";
    c = sio_cluster_new(w->loop, &of_cluster, NULL);
    assert_non_null(c);
    of_server.adapter = sio_cluster_adapter;
    of_server.adapter_user = c;
    w->server = sio_server_new(w->loop, &of_server, NULL);
    w->ns = sio_server_namespace(w->server, "/", &sio_world_ops, w);
    assert_non_null(w->ns);
    return c;
}

void cluster_world_close(struct sio_world *w, struct sio_cluster *c)
{
    sio_server_free(w->server);
    sio_cluster_free(c);
    net_loop_run_once(w->loop, 0);
    net_loop_free(w->loop);
}

void two_open(struct two *t, const struct sio_cluster_options *opts)
{
    struct sio_cluster_options direct = {0};

    if (opts)
        direct = *opts;
    direct.direct_answers = true;
    t->of_a = cluster_world_open(&t->a, opts, NULL);
    t->of_b = cluster_world_open(&t->b, &direct, NULL);
}

void two_close(struct two *t)
{
    cluster_world_close(&t->a, t->of_a);
    cluster_world_close(&t->b, t->of_b);
    assert_int_equal(fake_bus_n_topics(), 0);
    fake_bus_reset();
    fake_reset();
}

struct sio_cluster_stats stats_of(const struct sio_cluster *c)
{
    struct sio_cluster_stats stats;

    sio_cluster_stats(c, &stats);
    return stats;
}

struct sio_message *bytes_message(const char *name)
{
    return sio_message_newf(name, "B",
                            (struct sio_slice){NULL, (const uint8_t *)"xyz", 3});
}

void expect_body(const char *text)
{
    struct sio_slice body = fake_bus_body();

    assert_int_equal(body.len, strlen(text));
    assert_memory_equal(body.ptr, text, body.len);
}

const char *status_name(int status)
{
    switch (status) {
    case SIO_OK: return "all";
    case SIO_ERR_TIMEOUT: return "timeout";
    case SIO_ERR_CLOSED: return "closed";
    case SIO_ERR_FULL: return "full";
    default: return "error";
    }
}

void note_answers(int status, const struct sio_answers *answers, void *user)
{
    char text[300] = "";
    size_t len = 0;

    for (size_t i = 0; i < sio_answers_n(answers); i++) {
        struct sio_event *e = sio_answers_event(answers, i);
        struct sio_str arg = e ? sio_event_arg(e, 0) : SIO_STR("-");

        len += (size_t)snprintf(text + len, sizeof(text) - len, "%s%.*s",
                                i > 0 ? "," : "", (int)arg.len, arg.ptr);
    }
    sio_world_note(user, status_name(status), sio_str_from(text));
}

void note_fetched(int status, const struct sio_fetched *list, size_t n, void *user)
{
    char text[300] = "";
    size_t len = 0;

    for (size_t i = 0; i < n; i++) {
        assert_int_equal(list[i].handshake.ptr[0], '{');
        len += (size_t)snprintf(text + len, sizeof(text) - len, "%s%s%zu%.*s",
                                i > 0 ? "," : "", list[i].socket ? "here" : "there",
                                list[i].n_rooms, (int)list[i].attributes.len,
                                list[i].attributes.ptr ? list[i].attributes.ptr : "");
    }
    sio_world_note(user, status_name(status), sio_str_from(text));
}

void note_side(struct sio_namespace *ns, struct sio_event *e, void *user)
{
    struct sio_message *m = sio_message_new("");

    (void)ns;
    sio_world_note(user, "side", sio_event_name(e));
    if (m)
        sio_message_add_string(m, SIO_STR("here"));
    if (m && sio_event_wants_ack(e))
        sio_event_ack(e, m);
    sio_message_free(m);
}

void run_until_noted(struct sio_world *w)
{
    while (w->log[0] == '\0')
        net_loop_run_once(w->loop, -1);
}

const struct cluster_kind pubsub_kind = {
    .n_topics = 4,
    .to_all = "socket.io-request#/#",
    .to_r = "socket.io#/#r#",
    .joins = "{\"type\":2,\"opts\":{\"rooms\":[\"r\"],\"except\":[]},"
             "\"rooms\":[\"x\",\"y\"]}",
    .leaves = "{\"type\":3,\"opts\":{\"rooms\":[],\"except\":[]},\"rooms\":[\"y\"]}",
    .lists = "{\"type\":1,\"requestId\":\"q\",\"uid\":\"n\"}",
    .asks = SIO_STR_INIT("\x85\xa3uid\xa1n\xa9requestId\xa1q\xa4type\x07"
                         "\xa6packet\x83\xa4type\x02\xa4"
                         "data\x91\xa1q\xa3nsp\xa1/\xa4opts\x80"),
};

#define NODE(type, data) \
    "{\"type\":" #type ",\"data\":{" data "},\"uid\":\"n\",\"nsp\":\"/\"}"
#define OPTS(rooms) "\"opts\":{\"rooms\":[" rooms "],\"except\":[],\"flags\":{}}"

#define SHARDED(which)                                                              \
    .opts = {.mode = SIO_CLUSTER_SHARDED, .subscriptions = (which)}, .n_topics = 2, \
    .to_all = "socket.io#/#", .side_bytes = true,                                   \
    .joins = NODE(4, OPTS("\"r\"") ",\"rooms\":[\"x\",\"y\"]"),                     \
    .leaves = NODE(5, OPTS("") ",\"rooms\":[\"y\"]"),                               \
    .lists = NODE(7, "\"requestId\":\"q\"," OPTS("")),                              \
    .asks = SIO_STR_INIT(NODE(                                                      \
        3, "\"packet\":{\"type\":2,\"data\":[\"q\"]},\"requestId\":\"q\"," OPTS("")))

const struct cluster_kind dynamic_kind = {
    SHARDED(SIO_CLUSTER_DYNAMIC),
    .n_of_room = 1,
    .to_r = "socket.io#/#r#",
};

const struct cluster_kind static_kind = {
    SHARDED(SIO_CLUSTER_STATIC),
    .to_r = "socket.io#/#",
};

const struct cluster_kind private_kind = {
    SHARDED(SIO_CLUSTER_DYNAMIC_PRIVATE),
    .n_of_room = 1,
    .n_of_socket = 1,
    .to_r = "socket.io#/#r#",
};

void kind_say_later(const struct cluster_kind *kind, struct sio_str text)
{
    if (kind->opts.mode == SIO_CLUSTER_SHARDED)
        fake_bus_say_shard(kind->to_all, text.ptr, text.len);
    else
        fake_bus_say(kind->to_all, text.ptr, text.len);
}

void kind_say(const struct cluster_kind *kind, const char *text)
{
    kind_say_later(kind, sio_str_from(text));
    fake_bus_run();
}
