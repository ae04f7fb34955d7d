#include <config.h>

#include "cluster/local.h"

#include "base/mem.h"
#include "socketio/event.h"
#include "socketio/namespace.h"
#include "socketio/readback.h"

/* A server may want no answer any more after this time. */
#define SIDE_HOLD_MS 60000
/* Nobody waits longer for clients. */
#define MAX_ASK_MS 3600000

struct sio_target cluster_local_target(const struct sio_cluster_msg *msg)
{
    struct sio_target target = {.rooms = msg->rooms.items,
                                .n_rooms = msg->rooms.n,
                                .except = msg->except.items,
                                .n_except = msg->except.n,
                                .local = true};

    return target;
}

int cluster_local_message(const struct sio_cluster_msg *msg, const struct sio_event *e,
                          struct sio_message **out)
{
    struct sio_str name = sio_event_name(e);
    struct sio_message *m;
    char *text;

    if (memchr(name.ptr, '\0', name.len))
        return SIO_ERR_PROTOCOL;
    text = mem_strndup(name.ptr, name.len);
    m = text ? sio_message_new(text) : NULL;
    mem_free(text);
    if (!m)
        return SIO_ERR_NOMEM;
    if (msg->is_volatile)
        sio_message_set_volatile(m);
    if (msg->no_compress)
        sio_message_set_no_compress(m);
    (void)sio_message_add_event(m, e, 0); /* what sends it tells of a failure */
    *out = m;
    return SIO_OK;
}

int cluster_local_emit(struct sio_namespace *ns, const struct sio_cluster_msg *msg,
                       const struct sio_event *e)
{
    struct sio_target target = cluster_local_target(msg);
    struct sio_message *m;
    int rv = cluster_local_message(msg, e, &m);

    if (rv < 0)
        return rv;
    rv = sio_namespace_emit(ns, &target, m);
    sio_message_free(m);
    return rv;
}

/* Who asks, kept until the answers are there; the namespace and its adapter stay. */
struct asking {
    struct cluster_adapter *adapter;
    struct cluster_origin from;
    char text[];
};

static void copy_origin(const struct cluster_origin *from, struct cluster_origin *to,
                        char *text)
{
    to->uid = (struct sio_str){text, from->uid.len};
    to->request_id = (struct sio_str){text + from->uid.len, from->request_id.len};
    if (from->uid.len > 0)
        memcpy(text, from->uid.ptr, from->uid.len);
    memcpy(text + from->uid.len, from->request_id.ptr, from->request_id.len);
}

static void on_asked(size_t n, void *user)
{
    struct asking *q = user;

    q->adapter->answers->count(q->adapter, &q->from, (uint32_t)n);
}

static void on_answer(struct sio_event *e, void *user)
{
    struct asking *q = user;

    q->adapter->answers->ack(q->adapter, &q->from, e);
}

static void on_end(void *user)
{
    struct asking *q = user;

    q->adapter->cluster->n_foreign--;
    mem_free(q);
}

static const struct sio_ask_ops ask_ops = {on_asked, on_answer, on_end};

static uint32_t ask_time(const struct cluster_adapter *a,
                         const struct sio_cluster_msg *msg)
{
    if (msg->timeout_ms == 0)
        return a->cluster->request_timeout_ms;
    return msg->timeout_ms < MAX_ASK_MS ? msg->timeout_ms : MAX_ASK_MS;
}

int cluster_local_ask(struct cluster_adapter *a, const struct cluster_origin *from,
                      const struct sio_cluster_msg *msg, const struct sio_event *e)
{
    struct sio_target target = cluster_local_target(msg);
    struct sio_message *m;
    struct asking *q;
    int rv;

    if (a->cluster->n_foreign >= CLUSTER_MAX_FOREIGN)
        return SIO_ERR_FULL;
    rv = cluster_local_message(msg, e, &m);
    if (rv < 0)
        return rv;
    q = mem_alloc(sizeof(*q) + from->uid.len + from->request_id.len);
    rv = SIO_ERR_NOMEM;
    if (q) {
        q->adapter = a;
        copy_origin(from, &q->from, q->text);
        a->cluster->n_foreign++;
        rv = sio_namespace_ask(a->rooms.base.ns, &target, m, ask_time(a, msg), &ask_ops,
                               q);
        if (rv < 0)
            on_end(q);
    }
    sio_message_free(m);
    return rv;
}

/*
 * Side emits: whoever handles one may take the ack and answer it later.
 */
struct side {
    struct sio_replier replier;
    struct cluster_adapter *adapter;
    struct list link; /* in the adapter's */
    struct net_timer timer;
    struct cluster_origin from;
    char text[];
};

static struct side *side_of(struct sio_replier *r)
{
    return container_of(r, struct side, replier);
}

static void side_free(struct side *s)
{
    sio_replier_end(&s->replier);
    net_timer_stop(&s->timer);
    list_remove(&s->link);
    s->adapter->cluster->n_foreign--;
    mem_free(s);
}

static void on_side_timeout(struct net_timer *timer, void *user)
{
    (void)timer;
    side_free(user);
}

/* The answer as it will be told, and whether it could be. */
struct told {
    struct side *side;
    int status;
};

static void tell(struct sio_event *e, void *user)
{
    struct told *t = user;

    t->status = t->side->adapter->answers->side(t->side->adapter, &t->side->from, e);
}

static int side_send(struct sio_replier *r, struct eio_msg *msg)
{
    struct told t = {side_of(r), SIO_OK};
    int rv = sio_readback(msg, &sio_parser_json, tell, &t);

    /* The one answer; freed at the end of the turn, not below the replier's feet. */
    if (net_timer_start(&t.side->timer, 0) < 0)
        rv = SIO_ERR_NOMEM;
    return rv < 0 ? rv : t.status;
}

static struct sio_str side_nsp(struct sio_replier *r)
{
    return sio_namespace_name(side_of(r)->adapter->rooms.base.ns);
}

static const struct sio_parser *side_parser(struct sio_replier *r)
{
    (void)r;
    return &sio_parser_json;
}

static const struct sio_replier_ops side_ops = {side_send, side_nsp, side_parser};

static struct side *side_new(struct cluster_adapter *a,
                             const struct cluster_origin *from)
{
    struct side *s;

    if (a->cluster->n_foreign >= CLUSTER_MAX_FOREIGN)
        return NULL;
    s = mem_alloc(sizeof(*s) + from->uid.len + from->request_id.len);
    if (!s)
        return NULL;
    net_timer_init(&s->timer, a->cluster->loop, on_side_timeout, s);
    if (net_timer_start(&s->timer, SIDE_HOLD_MS) < 0) {
        mem_free(s);
        return NULL;
    }
    sio_replier_init(&s->replier, &side_ops);
    s->adapter = a;
    copy_origin(from, &s->from, s->text);
    list_append(&a->sides, &s->link);
    a->cluster->n_foreign++;
    return s;
}

void cluster_local_side(struct cluster_adapter *a, const struct cluster_origin *from,
                        struct sio_event *e)
{
    struct side *s = from ? side_new(a, from) : NULL;

    e->replier = s ? &s->replier : NULL;
    sio_namespace_side_receive(a->rooms.base.ns, e);
    /* Nobody took the ack: nobody will answer. */
    if (s && e->replier)
        side_free(s);
    e->replier = NULL;
}

void cluster_local_end(struct cluster_adapter *a)
{
    while (!list_empty(&a->sides))
        side_free(container_of(a->sides.next, struct side, link));
}
