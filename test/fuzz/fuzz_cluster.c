/*
 * Whatever is said on the channels of a cluster, this server tells whoever waits exactly
 * once, and frees all it had.  The first byte chooses: bit 0, sharded or classic; bits 1
 * and 2, the channel; bit 3, whether the connection is lost behind it; bits 4 and 5, the
 * subscriptions of sharded.  Twenty times 'A', 'F' or 'S' become the ids of the questions
 * that are open.
 */
#include <config.h>

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <sioc/cluster.h>

#include "../unit/fake_bus.h"
#include "../unit/fake_eio.h"
#include "cluster/questions.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct world {
    struct net_loop *loop;
    struct sio_cluster *cluster;
    struct sio_server *server;
    struct sio_namespace *ns;
    struct eio_session *session;
    unsigned n_asked;
    unsigned n_told;
};

static void on_answers(int status, const struct sio_answers *answers, void *user)
{
    (void)status;
    for (size_t i = 0; i < sio_answers_n(answers); i++) {
        struct sio_event *e = sio_answers_event(answers, i);

        if (e)
            (void)sio_event_arg(e, 0);
    }
    ((struct world *)user)->n_told++;
}

static void on_fetched(int status, const struct sio_fetched *list, size_t n, void *user)
{
    (void)status;
    for (size_t i = 0; i < n; i++)
        assert(list[i].id.ptr || list[i].id.len == 0);
    ((struct world *)user)->n_told++;
}

static void on_side(struct sio_namespace *ns, struct sio_event *e, void *user)
{
    struct sio_message *m = sio_message_new("");

    (void)ns;
    (void)user;
    sio_message_add_event(m, e, 0);
    if (sio_event_wants_ack(e))
        (void)sio_event_ack(e, m);
    sio_message_free(m);
}

static void open_world(struct world *w, uint8_t choice)
{
    struct sio_cluster_options opts = {
        .redis_url = "redis://localhost",
        .mode = choice & 1 ? SIO_CLUSTER_SHARDED : SIO_CLUSTER_PUBSUB,
        .subscriptions = (enum sio_cluster_subscriptions)((choice >> 4 & 3) % 3)};
    struct sio_server_options server = {.adapter = sio_cluster_adapter};

    w->loop = net_loop_new(NULL, NULL);
    w->cluster = sio_cluster_new(w->loop, &opts, NULL);
    assert(w->cluster);
    server.adapter_user = w->cluster;
    w->server = sio_server_new(w->loop, &server, NULL);
    w->ns = sio_server_namespace(w->server, "/", NULL, NULL);
    assert(w->ns);
    sio_namespace_on_side_emit(w->ns, on_side, NULL);
    w->session = fake_open(sio_server_engine(w->server));
    fake_text(w->session, "0");
    (void)sio_namespace_join_all(w->ns, NULL, &SIO_STR("room"), 1);
}

static void ask(struct world *w)
{
    struct sio_message *m = sio_message_new("q");

    w->n_asked += sio_namespace_emit_ack(w->ns, NULL, m, 0, on_answers, w) == SIO_OK;
    w->n_asked += sio_namespace_fetch(w->ns, NULL, on_fetched, w) == SIO_OK;
    w->n_asked += sio_namespace_side_emit(w->ns, m, 0, on_answers, w) == SIO_OK;
    sio_message_free(m);
    fake_text(w->session, "30[1]");
    fake_bus_others(2);
    fake_bus_run();
    assert(w->n_asked == 3 && w->n_told == 0);
}

static void insert_ids(const struct sio_cluster *c, uint8_t *bytes, size_t len)
{
    static const char letters[] = "AFS"; /* as in enum cluster_question_kind */
    struct cluster_question *q;

    list_for_each (q, struct cluster_question, in_cluster, &c->open) {
        char dummy[RANDOM_ID_LEN];

        memset(dummy, letters[q->kind], sizeof(dummy));
        for (size_t i = 0; i + sizeof(dummy) <= len; i++)
            if (memcmp(bytes + i, dummy, sizeof(dummy)) == 0)
                memcpy(bytes + i, q->id, sizeof(dummy));
    }
}

static void say(struct world *w, uint8_t choice, const uint8_t *data, size_t size)
{
    static const char *const classic[] = {"socket.io#/#", "socket.io#/#room#",
                                          "socket.io-request#/#",
                                          "socket.io-response#/#"};
    bool sharded = choice & 1;
    uint8_t *copy = malloc(size + 1);
    char channel[64];

    memcpy(copy, data, size);
    insert_ids(w->cluster, copy, size);
    snprintf(channel, sizeof(channel), "%s", classic[choice >> 1 & 3]);
    if (sharded && (choice >> 1 & 3) > 1)
        snprintf(channel, sizeof(channel), "socket.io#/#%.20s#",
                 sio_cluster_uid(w->cluster).ptr);
    (sharded ? fake_bus_say_shard : fake_bus_say)(channel, copy, size);
    fake_bus_run();
    free(copy);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct world w = {.n_told = 0};

    if (size == 0)
        return 0;
    open_world(&w, data[0]);
    ask(&w);
    say(&w, data[0], data + 1, size - 1);
    fake_text(w.session, "31[\"again\"]"); /* if it was asked */
    fake_bus_run();
    say(&w, data[0], data + 1, size - 1);
    if (data[0] & 8) {
        fake_bus_down();
        assert(w.n_told == w.n_asked);
    }
    sio_server_free(w.server);
    assert(w.n_told == w.n_asked);
    sio_cluster_free(w.cluster);
    net_loop_run_once(w.loop, 0);
    net_loop_free(w.loop);
    assert(fake_bus_n_topics() == 0);
    fake_bus_reset();
    fake_reset();
    return 0;
}
