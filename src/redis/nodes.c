#include <config.h>

#include "redis/nodes_impl.h"

#include "base/buf.h"
#include "base/mem.h"
#include "base/str.h"

#define MAX_HOPS 5

/* A command, in a cluster: it is kept until it is answered, as it may have to be said again. */
struct op {
    struct list link; /* in node->held */
    struct redis_node *node;
    redis_reply_cb cb;
    void *user;
    size_t len;
    unsigned n_hops;
    bool asking;
    struct sio_str left; /* of redis_encoding */
    size_t n;
    struct sio_slice slices[];
};

/* Commands. */

static void op_free(struct op *op)
{
    list_remove(&op->link);
    for (size_t i = 0; i < op->n; i++)
        sio_buf_unref(op->slices[i].buf);
    mem_free(op);
}

static void op_end(struct op *op, int status, const struct redis_reply *reply)
{
    op->node->nodes->speaker = op->node->id;
    if (op->cb)
        op->cb(status, reply, op->user);
    op_free(op);
}

static struct op *op_new(const struct redis_encoding *e, redis_reply_cb cb, void *user)
{
    struct op *op = mem_alloc(sizeof(*op) + e->n * sizeof(op->slices[0]));

    if (!op)
        return NULL;
    list_init(&op->link);
    op->cb = cb;
    op->user = user;
    op->left = e->left;
    op->n = e->n;
    for (size_t i = 0; i < e->n; i++) {
        op->slices[i] = e->slices[i];
        sio_buf_ref(e->slices[i].buf);
        op->len += e->slices[i].len;
    }
    return op;
}

static void on_answer(int status, const struct redis_reply *reply, void *user);

/* An error: the op is still the caller's. */
static int op_send(struct op *op, struct redis_node *node)
{
    static const struct sio_slice word = {NULL, (const uint8_t *)"ASKING", 6};
    const struct redis_request asking = {.args = &word, .n = 1};
    int rv;

    op->node = node;
    if (redis_node_is_up(node)) {
        rv = op->asking ? redis_conn_request(node->conn, &asking, NULL, NULL) : SIO_OK;
        return rv < 0 ? rv
                      : redis_conn_send(node->conn, op->slices, op->n, op->left,
                                        on_answer, op);
    }
    if (node->lost)
        return SIO_ERR_CLOSED;
    rv = redis_node_open(node);
    if (rv == SIO_OK) {
        list_append(&node->held, &op->link);
        node->held_bytes += op->len;
    }
    return rv;
}

/* True: it has gone to where it was sent. */
static bool follow(struct op *op, const struct redis_reply *reply)
{
    struct redis_nodes *n = op->node->nodes;
    struct redis_redirect redirect;
    struct redis_node *to;
    struct sio_str text;

    if (!redis_reply_text(reply, &text))
        return false;
    if (!redis_redirect_read(text, &redirect)) {
        if (redis_error_passes(text))
            redis_nodes_doubt(n);
        return false;
    }
    to = redis_map_node(n, &redirect.to, op->node);
    if (!to)
        return false;
    if (!redirect.ask)
        redis_map_move(n, redirect.slot, to);
    if (op->n_hops >= MAX_HOPS)
        return false;
    op->n_hops++;
    op->asking = redirect.ask;
    if (op_send(op, to) < 0)
        op_end(op, SIO_ERR_CLOSED, NULL);
    return true;
}

static void on_answer(int status, const struct redis_reply *reply, void *user)
{
    struct op *op = user;

    if (status != SIO_ERR_REFUSED || !op->node->nodes->map || !follow(op, reply))
        op_end(op, status, reply);
}

static int request(struct redis_node *node, const struct redis_request *r,
                   unsigned n_hops, redis_reply_cb cb, void *user)
{
    struct redis_encoding e;
    struct op *op;
    int rv = redis_request_encode(&e, r);

    if (rv == SIO_OK) {
        op = op_new(&e, cb, user);
        rv = op ? SIO_OK : SIO_ERR_NOMEM;
    }
    if (rv == SIO_OK) {
        op->n_hops = n_hops;
        rv = op_send(op, node);
        if (rv < 0)
            op_free(op);
    }
    redis_encoding_fini(&e);
    return rv;
}

uint32_t redis_nodes_where(const struct redis_nodes *n, struct sio_str key)
{
    uint16_t owner = REDIS_MAX_NODES;

    if (n->map && key.ptr)
        owner = n->map->owner[redis_slot_of(key)];
    return owner < REDIS_MAX_NODES ? owner : n->home;
}

int redis_nodes_request(struct redis_nodes *n, struct sio_str key,
                        const struct redis_request *r, redis_reply_cb cb, void *user)
{
    struct redis_node *node;

    if (!n->up)
        return SIO_ERR_CLOSED;
    if (!n->map)
        return redis_conn_request(n->seed.conn, r, cb, user);
    node = n->map->nodes[redis_nodes_where(n, key)];
    node->keyed |= key.ptr != NULL;
    return request(node, r, 0, cb, user);
}

int redis_nodes_request_at(struct redis_nodes *n, uint32_t id,
                           const struct redis_request *r, redis_reply_cb cb, void *user)
{
    struct redis_node *node = redis_nodes_get(n, id);

    if (!n->up)
        return SIO_ERR_CLOSED;
    if (!n->map)
        return redis_conn_request(n->seed.conn, r, cb, user);
    return node ? request(node, r, MAX_HOPS, cb, user) : SIO_ERR_CLOSED;
}

uint32_t redis_nodes_speaker(const struct redis_nodes *n)
{
    return n->speaker;
}

/* Nodes. */

static void end_held(struct redis_node *node)
{
    struct list held;

    list_init(&held);
    list_splice(&held, &node->held);
    node->held_bytes = 0;
    while (!list_empty(&held)) /* op_end takes it off */
        op_end(container_of(held.next, struct op, link), SIO_ERR_CLOSED, NULL);
}

static void send_held(struct redis_node *node)
{
    struct list held;

    list_init(&held);
    list_splice(&held, &node->held);
    node->held_bytes = 0;
    while (!list_empty(&held)) {
        struct op *op = container_of(held.next, struct op, link);

        list_remove(&op->link);
        if (op_send(op, node) < 0)
            op_end(op, SIO_ERR_CLOSED, NULL);
    }
}

static void go_down(struct redis_nodes *n)
{
    n->up = false;
    for (uint32_t i = 0; i < n->map->end; i++)
        if (n->map->nodes[i])
            end_held(n->map->nodes[i]);
    n->ops->on_down(n, n->user);
}

void redis_nodes_look_for_home(struct redis_nodes *n)
{
    for (uint32_t i = 0; i < n->map->end; i++) {
        uint32_t id = (n->home + i) % n->map->end;
        struct redis_node *node = n->map->nodes[id];

        if (!node || !redis_node_is_up(node))
            continue;
        n->home = id;
        if (!n->up) {
            n->up = true;
            n->map->changed = false; /* that is what it means */
            n->ops->on_up(n, n->user);
        }
        return;
    }
    if (n->up)
        go_down(n);
}

static void lose(struct redis_node *node)
{
    struct redis_nodes *n = node->nodes;
    bool first = !node->lost;

    node->lost = true;
    redis_nodes_doubt(n);
    if (!n->up || !first)
        return;
    if (node->id == n->home)
        redis_nodes_look_for_home(n);
    if (n->up && n->ops->on_lost)
        n->ops->on_lost(n, node->id, n->user);
}

/* The seed says again what it is: the rest may have been another world's. */
static int settle_kind(struct redis_node *node)
{
    struct redis_nodes *n = node->nodes;
    bool is_cluster = redis_conn_is_cluster(node->conn);

    if (n->up || node != &n->seed || is_cluster == (n->map != NULL))
        return SIO_OK;
    if (is_cluster)
        return redis_map_new(n);
    redis_map_free(n);
    return SIO_OK;
}

static int on_up(struct redis_conn *c, void *user)
{
    struct redis_node *node = user;
    struct redis_nodes *n = node->nodes;
    int rv = settle_kind(node);

    (void)c;
    if (rv < 0)
        return rv;
    if (!n->map) {
        n->up = true;
        n->ops->on_up(n, n->user);
        return SIO_OK;
    }
    n->map->changed |= node->lost;
    node->lost = false;
    send_held(node);
    redis_map_tend(n);
    return SIO_OK;
}

static void on_down(struct redis_conn *c, void *user)
{
    struct redis_node *node = user;
    struct redis_nodes *n = node->nodes;

    (void)c;
    if (n->map) {
        lose(node);
    } else if (n->up) {
        n->up = false;
        n->ops->on_down(n, n->user);
    }
}

static void on_failed(struct redis_conn *c, void *user)
{
    struct redis_node *node = user;

    (void)c;
    if (!node->nodes->map)
        return;
    lose(node);
    end_held(node);
}

static void on_push(struct redis_conn *c, const struct redis_reply *reply, void *user)
{
    struct redis_node *node = user;

    (void)c;
    node->nodes->ops->on_push(node->nodes, node->id, reply, node->nodes->user);
}

int redis_node_open(struct redis_node *node)
{
    static const struct redis_conn_ops ops = {
        .on_up = on_up,
        .on_down = on_down,
        .on_failed = on_failed,
    };
    static const struct redis_conn_ops listening_ops = {
        .on_up = on_up,
        .on_down = on_down,
        .on_failed = on_failed,
        .on_push = on_push,
    };
    struct redis_nodes *n = node->nodes;
    struct redis_conn_options opts = n->opts;

    if (node->conn)
        return SIO_OK;
    opts.url = &node->url;
    node->conn =
        redis_conn_new(n->loop, &opts, n->ops->on_push ? &listening_ops : &ops, node);
    return node->conn ? SIO_OK : SIO_ERR_NOMEM;
}

void redis_node_drop(struct redis_node *node)
{
    redis_conn_free(node->conn);
    node->conn = NULL;
    end_held(node);
    lose(node);
    node->lost = false;
}

void redis_node_free(struct redis_node *node)
{
    redis_node_drop(node);
    if (node == &node->nodes->seed)
        return;
    mem_free(node->url.host);
    mem_free(node);
}

/* The whole. */

struct redis_nodes *redis_nodes_new(struct net_loop *loop,
                                    const struct redis_conn_options *opts,
                                    const struct redis_nodes_ops *ops, void *user)
{
    struct redis_nodes *n = mem_new(struct redis_nodes);

    if (!n)
        return NULL;
    n->loop = loop;
    n->opts = *opts;
    n->ops = ops;
    n->user = user;
    n->seed.nodes = n;
    n->seed.url = *opts->url;
    list_init(&n->seed.held);
    if (n->opts.tls)
        net_tls_ref(n->opts.tls);
    if (redis_node_open(&n->seed) == SIO_OK)
        return n;
    redis_nodes_free(n);
    return NULL;
}

void redis_nodes_free(struct redis_nodes *n)
{
    if (!n)
        return;
    n->up = false;
    redis_map_free(n);
    redis_node_free(&n->seed);
    net_tls_unref(n->opts.tls);
    mem_free(n);
}

bool redis_nodes_is_up(const struct redis_nodes *n)
{
    return n->up;
}

static const struct redis_node *node_at(const struct redis_nodes *n, uint32_t id)
{
    return n->map ? n->map->nodes[id] : &n->seed;
}

static uint32_t end_of_nodes(const struct redis_nodes *n)
{
    return n->map ? n->map->end : 1;
}

bool redis_nodes_is_whole(const struct redis_nodes *n)
{
    for (uint32_t i = 0; i < end_of_nodes(n); i++) {
        const struct redis_node *node = node_at(n, i);

        if (node && node->lost && node->keyed && node->n_slots > 0)
            return false;
    }
    return n->up;
}

uint64_t redis_nodes_silent_ms(const struct redis_nodes *n)
{
    uint64_t most = 0;

    for (uint32_t i = 0; i < end_of_nodes(n); i++) {
        const struct redis_node *node = node_at(n, i);
        uint64_t ms = node && node->conn ? redis_conn_silent_ms(node->conn) : 0;

        most = ms > most ? ms : most;
    }
    return most;
}

size_t redis_nodes_unsent(const struct redis_nodes *n)
{
    size_t sum = 0;

    for (uint32_t i = 0; i < end_of_nodes(n); i++) {
        const struct redis_node *node = node_at(n, i);

        if (node)
            sum += node->held_bytes + (node->conn ? redis_conn_unsent(node->conn) : 0);
    }
    return sum;
}

uint32_t redis_nodes_next(const struct redis_nodes *n, uint32_t id, bool replicas)
{
    for (uint32_t i = id + 1; i < end_of_nodes(n); i++) {
        const struct redis_node *node = node_at(n, i);

        if (node && (!n->map || node->n_slots > 0 || (replicas && node->known)))
            return i;
    }
    return REDIS_NO_NODE;
}

void redis_nodes_doubt(struct redis_nodes *n)
{
    if (!n->map)
        return;
    n->map->doubt = true;
    redis_map_tend(n);
}
