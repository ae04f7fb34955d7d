/*
 * python_channel.c - what processes with python-socketio want done with this server's
 * clients
 *
 * Each server listens to the channel itself, so all is done here only and nothing is
 * passed on.
 */
#include <config.h>

#include "base/map.h"
#include "base/mem.h"
#include "base/str.h"
#include "cluster/cluster.h"
#include "cluster/local.h"
#include "cluster/python.h"
#include "net/loop.h"
#include "socketio/adapter.h"

/* Python waits for ever; its own call() gives up after a minute. */
#define ANSWER_MS 300000

/* So they may be many, and leave room for what other servers ask. */
#define MAX_ASKED (CLUSTER_MAX_FOREIGN / 2)

struct cluster_python {
    struct sio_cluster *cluster;
    struct cluster_topic topic;
    bool told_pickle;
    size_t name_len;
    char name[]; /* of the channel */
};

static struct sio_str channel_of(const struct cluster_python *p)
{
    return (struct sio_str){p->name, p->name_len};
}

/*
 * Emits with a callback.  Who asked takes the first answer and knows nothing of others.
 */

struct asking {
    struct cluster_python *python;
    bool answered;
    struct sio_str host_id;
    struct sio_python_callback callback;
    char text[];
};

static void on_asked(size_t n, void *user)
{
    (void)n;
    (void)user;
}

static void on_answer(struct sio_event *e, void *user)
{
    struct asking *q = user;
    struct cluster_python *p = q->python;
    struct wbuf w;

    if (q->answered)
        return;
    q->answered = true;
    wbuf_init(&w, UINT32_MAX);
    /* Bytes cannot be said here; Python's own servers do not answer then, either. */
    if (sio_python_write_callback(&w, q->host_id, &q->callback, e) == SIO_OK)
        (void)cluster_publish(p->cluster, CLUSTER_CHANNEL, channel_of(p), &w, NULL,
                              CLUSTER_MAX_ANSWER);
    wbuf_fini(&w);
}

static void on_end(void *user)
{
    struct asking *q = user;

    q->python->cluster->n_foreign--;
    mem_free(q);
}

static const struct sio_ask_ops ask_ops = {on_asked, on_answer, on_end};

static struct sio_str keep_text(char **at, struct sio_str s)
{
    struct sio_str kept = {*at, s.len};

    memcpy(*at, s.ptr, s.len);
    *at += s.len;
    return kept;
}

static struct asking *asking_new(struct cluster_python *p,
                                 const struct sio_python_msg *m)
{
    const struct sio_python_callback *c = &m->callback;
    struct asking *q =
        mem_alloc(sizeof(*q) + m->base.uid.len + c->room.len + c->nsp.len + c->id.len);
    char *at;

    if (!q)
        return NULL;
    at = q->text;
    q->python = p;
    q->host_id = keep_text(&at, m->base.uid);
    q->callback.room = keep_text(&at, c->room);
    q->callback.nsp = keep_text(&at, c->nsp);
    q->callback.id = keep_text(&at, c->id);
    p->cluster->n_foreign++;
    return q;
}

static int ask(struct cluster_python *p, struct sio_namespace *ns,
               const struct sio_python_msg *m, const struct sio_event *e)
{
    struct sio_target target = cluster_local_target(&m->base);
    struct asking *q = asking_new(p, m);
    struct sio_message *message;
    int rv;

    if (!q)
        return SIO_ERR_NOMEM;
    rv = cluster_local_message(&m->base, e, &message);
    if (rv == SIO_OK) {
        rv = sio_namespace_ask(ns, &target, message, ANSWER_MS, &ask_ops, q);
        sio_message_free(message);
    }
    if (rv < 0)
        on_end(q);
    return rv;
}

/* Methods. */

struct emitting {
    struct cluster_python *python;
    struct sio_namespace *ns;
    const struct sio_python_msg *msg;
    int rv;
};

static void on_event(struct sio_event *e, void *user)
{
    struct emitting *em = user;
    const struct sio_python_msg *m = em->msg;
    bool asks = m->callback.id.ptr && m->base.uid.ptr;

    /* An event counts for more than its answer. */
    if (asks && em->python->cluster->n_foreign < MAX_ASKED)
        em->rv = ask(em->python, em->ns, m, e);
    else
        em->rv = cluster_local_emit(em->ns, &m->base, e);
}

/* Only sockets are skipped here, no rooms: that a room has the name means nothing. */
static void keep_sockets(struct sio_namespace *ns, struct sio_cluster_names *names)
{
    size_t n = 0;

    for (size_t i = 0; i < names->n; i++)
        if (sio_namespace_find(ns, names->items[i]))
            names->items[n++] = names->items[i];
    names->n = n;
}

static int emit(struct cluster_python *p, struct sio_namespace *ns,
                struct sio_python_msg *m)
{
    struct emitting em = {p, ns, m, SIO_OK};
    int rv;

    keep_sockets(ns, &m->base.except);
    rv = sio_python_show(m, on_event, &em);
    return rv < 0 ? rv : em.rv;
}

static int carry_out(struct cluster_python *p, struct sio_namespace *ns,
                     struct sio_python_msg *m)
{
    struct sio_target target = cluster_local_target(&m->base);
    const struct sio_str *room = m->base.rooms.items;
    struct sio_socket *s = NULL;

    if (m->base.sid.ptr)
        s = sio_namespace_find(ns, m->base.sid);
    switch (m->method) {
    case SIO_PYTHON_EMIT: return emit(p, ns, m);
    case SIO_PYTHON_CALLBACK: return SIO_OK;
    case SIO_PYTHON_DISCONNECT:
        if (s)
            sio_socket_disconnect(s, false);
        return SIO_OK;
    case SIO_PYTHON_ENTER_ROOM: return s ? sio_socket_join(s, *room) : SIO_OK;
    case SIO_PYTHON_LEAVE_ROOM:
        if (s)
            sio_socket_leave(s, *room);
        return SIO_OK;
    case SIO_PYTHON_CLOSE_ROOM: return sio_namespace_leave_all(ns, &target, room, 1);
    }
    return SIO_OK;
}

/* Messages. */

static void reject(struct cluster_python *p, int why)
{
    struct sio_cluster *c = p->cluster;

    if (why != SIO_ERR_UNSUPPORTED) {
        cluster_reject(c, channel_of(p), why);
        return;
    }
    c->stats.n_rejected++;
    if (!p->told_pickle)
        log_warn(net_loop_log(c->loop),
                 "cluster: not read channel=%s: no JSON; python-socketio before 5.14 "
                 "writes pickle",
                 p->name);
    p->told_pickle = true;
}

static bool too_big(const struct sio_cluster *c, struct sio_slice body)
{
    struct map_pos pos;
    struct map_node *first = map_first(&c->adapters, &pos);

    return first && body.len > cluster_max_message(
                                   container_of(first, struct cluster_adapter, node));
}

static void on_message(struct cluster_topic *t, struct sio_str channel,
                       struct sio_slice body, void *user)
{
    struct cluster_python *p = user;
    struct sio_cluster *c = p->cluster;
    struct sio_namespace *ns;
    struct sio_python_msg m;
    int rv;

    (void)t;
    (void)channel;
    c->stats.n_received++;
    if (too_big(c, body)) {
        cluster_reject(c, channel_of(p), SIO_ERR_TOO_BIG);
        return;
    }
    rv = sio_python_read(body, &m);
    if (rv == SIO_OK) {
        ns = cluster_namespace(c, m.nsp);
        /* Answers are for whoever asked: never this server. */
        if (!ns || m.method == SIO_PYTHON_CALLBACK ||
            str_eq(m.base.uid, sio_cluster_uid(c)))
            c->stats.n_foreign++;
        else
            rv = carry_out(p, ns, &m);
    }
    if (rv < 0)
        reject(p, rv);
    sio_python_msg_fini(&m);
}

struct cluster_python *cluster_python_new(struct sio_cluster *c, const char *channel,
                                          struct sio_diag *diag)
{
    size_t len = strlen(channel);
    struct cluster_python *p = mem_alloc(sizeof(*p) + len + 1);
    int rv = SIO_ERR_NOMEM;

    if (p) {
        memcpy(p->name, channel, len);
        p->name_len = len;
        p->cluster = c;
        rv = cluster_bus_listen(c->bus, &p->topic, CLUSTER_CHANNEL, channel_of(p),
                                on_message, p);
    }
    if (rv == SIO_OK)
        return p;
    mem_free(p);
    sio_diag_set(diag, rv, "python_channel: %s",
                 rv == SIO_ERR_INVAL ? "it has no name" : sio_strerror(rv));
    return NULL;
}

void cluster_python_free(struct cluster_python *p)
{
    if (!p)
        return;
    cluster_bus_unlisten(p->cluster->bus, &p->topic);
    mem_free(p);
}
