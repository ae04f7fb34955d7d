/*
 * cluster.c - many servers that act as one: what all adapters share
 */
#include <config.h>

#include "cluster/cluster.h"

#include "base/mem.h"
#include "base/str.h"
#include "cluster/codec.h"
#include "cluster/local.h"
#include "cluster/questions.h"
#include "socketio/namespace.h"
#include "socketio/server.h"

#define DEFAULT_KEY                "socket.io"
#define DEFAULT_REQUEST_TIMEOUT_MS 5000

/* Room for what stands around a packet, and around a message. */
#define MESSAGE_ROOM          65536

#define COMPLAINTS_PER_MINUTE 5
#define TOO_BIG_PER_MINUTE    1

/* Answers that are published now reach nobody. */
static void on_down(struct cluster_bus *bus, void *user)
{
    (void)bus;
    cluster_questions_close(user);
}

static const struct cluster_bus_ops bus_ops = {.on_down = on_down};

static int take_options(struct sio_cluster *c, const struct sio_cluster_options *opts)
{
    const char *key = opts->key ? opts->key : DEFAULT_KEY;

    c->mode = opts->mode;
    c->subscriptions = opts->subscriptions;
    c->direct_answers = opts->direct_answers;
    c->request_timeout_ms = opts->request_timeout_ms ? opts->request_timeout_ms
                                                     : DEFAULT_REQUEST_TIMEOUT_MS;
    c->max_sent = opts->max_unsent ? opts->max_unsent : CLUSTER_BUS_MAX_UNSENT;
    if (c->max_sent > CLUSTER_BUS_MAX_MESSAGE)
        c->max_sent = CLUSTER_BUS_MAX_MESSAGE;
    c->max_sent -= c->max_sent > MESSAGE_ROOM ? MESSAGE_ROOM : 0;
    random_id(net_loop_random(c->loop), c->uid);
    c->key = mem_strndup(key, strlen(key));
    return c->key ? SIO_OK : SIO_ERR_NOMEM;
}

static int start(struct sio_cluster *c, const struct sio_cluster_options *opts,
                 struct sio_diag *diag)
{
    struct cluster_bus_options bus = {.url = sio_str_from(opts->redis_url),
                                      .max_unsent = opts->max_unsent};

    if (take_options(c, opts) < 0)
        return sio_diag_set(diag, SIO_ERR_NOMEM, "out of memory");
    c->bus = cluster_bus_new(c->loop, &bus, diag);
    if (!c->bus)
        return SIO_ERR_INVAL;
    cluster_bus_watch(c->bus, &c->watcher);
    if (!opts->python_channel)
        return SIO_OK;
    c->python = cluster_python_new(c, opts->python_channel, diag);
    return c->python ? SIO_OK : SIO_ERR_INVAL;
}

struct sio_cluster *sio_cluster_new(struct net_loop *loop,
                                    const struct sio_cluster_options *opts,
                                    struct sio_diag *diag)
{
    struct sio_cluster *c;

    if (!opts->redis_url) {
        sio_diag_set(diag, SIO_ERR_INVAL, "a cluster needs the URL of a Redis");
        return NULL;
    }
    c = mem_new(struct sio_cluster);
    if (!c) {
        sio_diag_set(diag, SIO_ERR_NOMEM, "out of memory");
        return NULL;
    }
    c->loop = loop;
    map_init(&c->adapters);
    map_init(&c->questions);
    list_init(&c->open);
    list_init(&c->watcher.link);
    c->watcher.ops = &bus_ops;
    c->watcher.user = c;
    if (start(c, opts, diag) < 0) {
        sio_cluster_free(c);
        return NULL;
    }
    return c;
}

void sio_cluster_free(struct sio_cluster *c)
{
    if (!c)
        return;
    cluster_python_free(c->python);
    cluster_bus_unwatch(&c->watcher);
    cluster_bus_free(c->bus);
    map_fini(&c->adapters);
    map_fini(&c->questions);
    mem_free(c->key);
    mem_free(c);
}

struct sio_adapter *sio_cluster_adapter(struct sio_namespace *ns, void *cluster)
{
    struct sio_cluster *c = cluster;

    return c->mode == SIO_CLUSTER_SHARDED ? cluster_sharded_new(c, ns)
                                          : cluster_pubsub_new(c, ns);
}

bool sio_cluster_is_up(const struct sio_cluster *c)
{
    return cluster_bus_is_up(c->bus);
}

struct sio_str sio_cluster_uid(const struct sio_cluster *c)
{
    return (struct sio_str){c->uid, RANDOM_ID_LEN};
}

void sio_cluster_stats(const struct sio_cluster *c, struct sio_cluster_stats *out)
{
    struct cluster_bus_stats bus;

    cluster_bus_stats(c->bus, &bus);
    *out = c->stats;
    out->n_lost = bus.n_lost;
}

struct cluster_bus *sio_cluster_bus(struct sio_cluster *c)
{
    return c->bus;
}

/* For adapters. */

static int set_channel(struct cluster_adapter *a)
{
    struct sio_str nsp = sio_namespace_name(a->rooms.base.ns);
    size_t key_len = strlen(a->cluster->key);
    char *text = mem_alloc(key_len + nsp.len + 2);

    if (!text)
        return SIO_ERR_NOMEM;
    memcpy(text, a->cluster->key, key_len);
    text[key_len] = '#';
    memcpy(text + key_len + 1, nsp.ptr, nsp.len);
    text[key_len + 1 + nsp.len] = '#';
    a->channel = (struct sio_str){text, key_len + nsp.len + 2};
    return SIO_OK;
}

int cluster_adapter_init(struct cluster_adapter *a, struct sio_cluster *c,
                         const struct sio_adapter_ops *ops,
                         const struct cluster_words *words,
                         const struct cluster_answer_ops *answers,
                         struct sio_namespace *ns)
{
    int rv;

    sio_rooms_init(&a->rooms, ops, ns);
    a->cluster = c;
    a->words = words;
    a->answers = answers;
    list_init(&a->questions);
    list_init(&a->sides);
    rv = set_channel(a);
    if (rv == SIO_OK)
        rv = map_add(&c->adapters, &a->node, sio_namespace_name(ns));
    if (rv < 0) {
        mem_free((char *)a->channel.ptr);
        sio_rooms_fini(&a->rooms);
    }
    return rv;
}

void cluster_adapter_fini(struct cluster_adapter *a)
{
    map_remove(&a->cluster->adapters, &a->node);
    cluster_local_end(a);
    cluster_questions_end(a);
    mem_free((char *)a->channel.ptr);
    sio_rooms_fini(&a->rooms);
}

struct sio_namespace *cluster_namespace(const struct sio_cluster *c,
                                        struct sio_str name)
{
    struct map_node *node = map_find(&c->adapters, name);

    return node ? container_of(node, struct cluster_adapter, node)->rooms.base.ns
                : NULL;
}

/* Nobody would take it, and some would lose their connection by it. */
static int refuse_too_big(struct sio_cluster *c, struct sio_str channel, size_t len,
                          size_t max)
{
    c->stats.n_too_big++;
    if (log_limit(&c->too_big, net_loop_now_ms(c->loop), TOO_BIG_PER_MINUTE))
        log_warn(net_loop_log(c->loop),
                 "cluster: not sent to other servers channel=%.*s bytes=%zu max=%zu",
                 STR_ARG(channel), len, max);
    return SIO_ERR_TOO_BIG;
}

int cluster_publish(struct sio_cluster *c, enum cluster_topic_kind kind,
                    struct sio_str channel, struct wbuf *w,
                    const struct sio_cluster_refs *refs, size_t max)
{
    struct sio_slice slices[SIO_CLUSTER_MAX_SLICES];
    size_t len = w->len;
    int rv = w->error;
    struct sio_buf *buf;

    for (size_t i = 0; refs && i < refs->n; i++)
        len += refs->items[i].slice.len;
    if (max > c->max_sent)
        max = c->max_sent;
    if (rv == SIO_OK && len > max)
        return refuse_too_big(c, channel, len, max);
    buf = rv == SIO_OK ? wbuf_take(w) : NULL;

    if (buf) {
        size_t n = sio_cluster_slices(refs, buf, slices);

        rv = cluster_bus_publish(c->bus, kind, channel, slices, n, NULL, NULL);
        sio_buf_unref(buf);
    } else if (rv == SIO_OK) {
        rv = SIO_ERR_NOMEM;
    }
    if (rv == SIO_OK)
        c->stats.n_sent++;
    else
        c->stats.n_dropped++;
    return rv;
}

void cluster_add_channel(struct wbuf *w, const struct cluster_adapter *a,
                         struct sio_str name)
{
    wbuf_add_str(w, a->channel);
    wbuf_add_str(w, name);
    wbuf_add_byte(w, '#');
}

int cluster_publish_to(struct cluster_adapter *a, enum cluster_topic_kind kind,
                       struct sio_str name, struct wbuf *w,
                       const struct sio_cluster_refs *refs, size_t max)
{
    struct wbuf channel;
    int rv;

    wbuf_init(&channel, UINT32_MAX);
    cluster_add_channel(&channel, a, name);
    rv = channel.error;
    if (rv == SIO_OK)
        rv = cluster_publish(a->cluster, kind, wbuf_str(&channel), w, refs, max);
    wbuf_fini(&channel);
    return rv;
}

size_t cluster_max_message(const struct cluster_adapter *a)
{
    size_t packet = a->rooms.base.ns->server->codec.max_bytes;

    return packet < SIZE_MAX - MESSAGE_ROOM ? packet + MESSAGE_ROOM : packet;
}

void cluster_reject(struct sio_cluster *c, struct sio_str channel, int why)
{
    c->stats.n_rejected++;
    if (log_limit(&c->complaints, net_loop_now_ms(c->loop), COMPLAINTS_PER_MINUTE))
        log_warn(net_loop_log(c->loop), "cluster: rejected channel=%.*s why=\"%s\"",
                 STR_ARG(channel), sio_strerror(why));
}
