/*
 * nodes_map.c - where the slots of a cluster are, and which nodes there are
 *
 * One node after the other is asked, those that are there first: one that was cut off from
 * the others, or is none of them any more, is believed only until the next one says better.
 */
#include <config.h>

#include "redis/nodes_impl.h"

#include <string.h>

#include "base/mem.h"
#include "base/str.h"

#define LEARN_MS     1000  /* from one question to the next */
#define LEARN_NOW_MS 200   /* the same, while nobody is served */
#define ANSWER_MS    2000  /* then somebody else is asked */
#define LEARN_AGE_MS 30000 /* of what is known, while nothing happens */
#define KEEP_MS      10000 /* a node that nobody has named for so long is none */
#define CARE_MS      200
#define MAX_REPLY    ((size_t)4 * 1024 * 1024)
#define UNKNOWN      REDIS_MAX_NODES

/* Nodes. */

static bool is_at(const struct redis_node *node, struct sio_str host, uint16_t port)
{
    return node->url.host && node->url.port == port &&
           str_ieq(sio_str_from(node->url.host), host);
}

static struct redis_node *new_node(struct redis_nodes *n, uint32_t id,
                                   struct sio_str host, uint16_t port)
{
    struct redis_node *node = mem_new(struct redis_node);

    if (!node)
        return NULL;
    node->url = n->seed.url;
    node->url.path = NULL;
    node->url.port = port;
    node->url.host = mem_strndup(host.ptr, host.len);
    if (!node->url.host) {
        mem_free(node);
        return NULL;
    }
    node->nodes = n;
    node->id = id;
    list_init(&node->held);
    return node;
}

struct redis_node *redis_map_node(struct redis_nodes *n,
                                  const struct redis_place *place,
                                  struct redis_node *base)
{
    struct redis_map *m = n->map;
    struct sio_str host = place->host;
    struct redis_node *node = NULL;
    uint32_t id = UNKNOWN;

    if (host.len == 0 && !base->url.host)
        return base;
    if (host.len == 0)
        host = sio_str_from(base->url.host);
    for (uint32_t i = 0; i < REDIS_MAX_NODES && !node; i++) {
        if (m->nodes[i] && is_at(m->nodes[i], host, place->port))
            node = m->nodes[i];
        else if (!m->nodes[i] && id == UNKNOWN)
            id = i;
    }
    if (!node && id != UNKNOWN) {
        node = new_node(n, id, host, place->port);
        m->nodes[id] = node;
        if (node && m->end <= id)
            m->end = id + 1;
    }
    if (node)
        node->seen_ms = net_loop_now_ms(n->loop);
    return node;
}

void redis_map_move(struct redis_nodes *n, uint16_t slot, struct redis_node *to)
{
    struct redis_node *from = redis_nodes_get(n, n->map->owner[slot]);

    if (from)
        from->n_slots--;
    to->n_slots++;
    n->map->owner[slot] = (uint16_t)to->id;
    redis_nodes_doubt(n);
}

static void dismiss_learner(struct redis_map *m)
{
    redis_conn_free(m->learner);
    m->learner = NULL;
}

static void remove_node(struct redis_nodes *n, uint32_t id)
{
    struct redis_map *m = n->map;
    struct redis_node *node = m->nodes[id];

    if (m->asked == id) /* it reads the node's address */
        dismiss_learner(m);
    m->nodes[id] = NULL;
    redis_node_free(node);
}

static void remove_strangers(struct redis_nodes *n)
{
    uint64_t now_ms = net_loop_now_ms(n->loop);

    for (uint32_t id = 1; id < n->map->end; id++) {
        const struct redis_node *node = n->map->nodes[id];

        if (node && !node->known && node->n_slots == 0 &&
            now_ms - node->seen_ms >= KEEP_MS)
            remove_node(n, id);
    }
}

/*
 * A master that has become a replica goes on saying what is published on the channels of its
 * slots, but who listens there is not counted any more.
 */
static void leave_replicas(struct redis_nodes *n)
{
    for (uint32_t id = 0; id < n->map->end; id++) {
        struct redis_node *node = n->map->nodes[id];

        if (!node || !node->demoted)
            continue;
        node->demoted = false;
        n->map->changed = true;
        redis_node_drop(node);
    }
}

/* What a node tells. */

static uint16_t *no_owners(void)
{
    uint16_t *owner = mem_array(REDIS_N_SLOTS, sizeof(*owner));

    for (size_t i = 0; owner && i < REDIS_N_SLOTS; i++)
        owner[i] = UNKNOWN;
    return owner;
}

static void read_range(struct redis_nodes *n, const struct redis_range *range,
                       struct redis_node *teller, uint16_t *owner)
{
    struct redis_place place;

    for (size_t i = 0; i < redis_range_count(range); i++) {
        struct redis_node *node = redis_range_node(range, i, &place)
                                      ? redis_map_node(n, &place, teller)
                                      : NULL;

        if (!node)
            continue;
        node->known = true;
        for (uint32_t slot = range->first; i == 0 && slot <= range->last; slot++)
            owner[slot] = (uint16_t)node->id;
    }
}

/* The nodes are those of the last time, until they are named again. */
static void forget_known(struct redis_nodes *n)
{
    for (uint32_t id = 0; id < n->map->end; id++) {
        struct redis_node *node = n->map->nodes[id];

        if (node && node->known)
            node->seen_ms = net_loop_now_ms(n->loop);
        if (node)
            node->known = false;
    }
}

/* Returns how many slots have an owner. */
static size_t set_owners(struct redis_map *m, uint16_t *owner)
{
    uint32_t n_slots[REDIS_MAX_NODES + 1] = {0}; /* UNKNOWN is the last */

    m->changed |= memcmp(owner, m->owner, REDIS_N_SLOTS * sizeof(*owner)) != 0;
    mem_free(m->owner);
    m->owner = owner;
    for (size_t slot = 0; slot < REDIS_N_SLOTS; slot++)
        n_slots[owner[slot]]++;
    for (uint32_t id = 0; id < m->end; id++) {
        struct redis_node *node = m->nodes[id];

        if (!node)
            continue;
        node->demoted = node->n_slots > 0 && n_slots[id] == 0;
        node->n_slots = n_slots[id];
    }
    return REDIS_N_SLOTS - n_slots[UNKNOWN];
}

static void tell_learned(const struct redis_nodes *n, size_t n_slots)
{
    unsigned masters = 0;

    for (uint32_t id = 0; id < n->map->end; id++)
        masters += n->map->nodes[id] && n->map->nodes[id]->n_slots > 0;
    log_info(net_loop_log(n->loop), "redis %s is a cluster: masters=%u slots=%zu",
             n->opts.name, masters, n_slots);
}

/*
 * Each range may name all slots: more of them than slots are no map.  Who has none is no
 * member, and knows nothing.
 */
static int take_in(struct redis_nodes *n, const struct redis_reply *reply,
                   struct redis_node *teller)
{
    struct redis_map *m = n->map;
    struct redis_range range;
    uint16_t *owner;
    size_t n_named = 0, n_slots;

    if (redis_reply_count(reply) == 0 && m->learned)
        return SIO_ERR_NOT_FOUND;
    owner = no_owners();
    if (!owner)
        return SIO_ERR_NOMEM;
    forget_known(n);
    for (size_t i = 0; i < redis_reply_count(reply); i++) {
        if (!redis_range_read(redis_reply_at(reply, i), &range))
            continue;
        n_named += (size_t)range.last - range.first + 1;
        if (n_named <= REDIS_N_SLOTS)
            read_range(n, &range, teller, owner);
    }
    n_slots = set_owners(m, owner);
    if (!m->learned)
        tell_learned(n, n_slots);
    m->doubt = n_slots < REDIS_N_SLOTS;
    return SIO_OK;
}

/* It may not be asked: then MOVED tells where each key is. */
static void note_refused(struct redis_nodes *n, const struct redis_reply *reply)
{
    struct sio_str text = {"", 0};

    redis_reply_text(reply, &text);
    if (!n->map->told)
        log_error(net_loop_log(n->loop), "redis %s refuses CLUSTER SLOTS: %.*s",
                  n->opts.name, (int)(text.len < 150 ? text.len : 150), text.ptr);
    n->map->told = true;
    n->map->doubt = false;
}

static void on_slots(int status, const struct redis_reply *reply, void *user)
{
    struct redis_nodes *n = user;
    struct redis_map *m = n->map;
    struct redis_node *teller = redis_nodes_get(n, m->asked);

    m->answered = true;
    redis_map_tend(n);
    if (status == SIO_ERR_REFUSED)
        note_refused(n, reply);
    else if (status < 0 || take_in(n, reply, teller) < 0)
        return;
    m->learned = true;
    m->learned_ms = net_loop_now_ms(n->loop);
    if (!n->up) /* where no node is there, this one can be */
        (void)redis_node_open(teller);
}

/* Asking. */

static int on_learner_up(struct redis_conn *c, void *user)
{
    const struct sio_slice args[2] = {redis_arg(SIO_STR("CLUSTER")),
                                      redis_arg(SIO_STR("SLOTS"))};
    const struct redis_request r = {.args = args, .n = 2};

    return redis_conn_request(c, &r, on_slots, user);
}

static void on_learner_failed(struct redis_conn *c, void *user)
{
    struct redis_nodes *n = user;

    (void)c;
    n->map->answered = true;
    redis_map_tend(n);
}

/* 2: one that is there; 1: one that may be; 0: one that was lost. */
static int rank(const struct redis_node *node)
{
    return redis_node_is_up(node) ? 2 : !node->lost;
}

static struct redis_node *choose(const struct redis_map *m)
{
    struct redis_node *best = NULL;

    for (uint32_t i = 1; i <= m->end; i++) {
        struct redis_node *node = m->nodes[(m->asked + i) % m->end];

        if (node && (!best || rank(node) > rank(best)))
            best = node;
    }
    return best;
}

static void ask(struct redis_nodes *n)
{
    static const struct redis_conn_ops ops = {
        .on_up = on_learner_up,
        .on_down = on_learner_failed,
        .on_failed = on_learner_failed,
    };
    struct redis_map *m = n->map;
    struct redis_node *node = choose(m);
    const struct redis_conn_options opts = {
        .url = &node->url,
        .tls = n->opts.tls,
        .max_reply = MAX_REPLY,
    };

    m->asked = node->id;
    m->asked_ms = net_loop_now_ms(n->loop);
    m->answered = false;
    m->learner = redis_conn_new(n->loop, &opts, &ops, n);
}

static void look_after_learner(struct redis_nodes *n)
{
    struct redis_map *m = n->map;
    uint64_t now_ms = net_loop_now_ms(n->loop);

    if (m->learner && (m->answered || now_ms - m->asked_ms >= ANSWER_MS))
        dismiss_learner(m);
    if (m->learned && now_ms - m->learned_ms >= LEARN_AGE_MS)
        m->doubt = true;
    if (!m->learner && (m->doubt || !n->up) &&
        (m->asked_ms == 0 || now_ms - m->asked_ms >= (n->up ? LEARN_MS : LEARN_NOW_MS)))
        ask(n);
}

static void tend(struct redis_nodes *n)
{
    look_after_learner(n);
    remove_strangers(n);
    if (n->ops->on_push)
        leave_replicas(n);
    if (n->map->learned && !n->up)
        redis_nodes_look_for_home(n);
    if (!n->map->changed || !n->up)
        return;
    n->map->changed = false;
    if (n->ops->on_changed)
        n->ops->on_changed(n, n->user);
}

static void on_tend(struct net_task *task)
{
    struct redis_map *m = container_of(task, struct redis_map, tend);

    tend(m->nodes[0]->nodes);
}

static void on_care(struct net_timer *timer, void *user)
{
    (void)net_timer_start(timer, CARE_MS); /* its place has just become free */
    tend(user);
}

void redis_map_tend(struct redis_nodes *n)
{
    net_loop_defer(n->loop, &n->map->tend);
}

/* Beginning and end. */

int redis_map_new(struct redis_nodes *n)
{
    struct redis_map *m = mem_new(struct redis_map);

    if (!m)
        return SIO_ERR_NOMEM;
    m->owner = no_owners();
    net_timer_init(&m->care, n->loop, on_care, n);
    if (!m->owner || net_timer_start(&m->care, CARE_MS) < 0) {
        mem_free(m->owner);
        mem_free(m);
        return SIO_ERR_NOMEM;
    }
    list_init(&m->tend.link);
    m->tend.run = on_tend;
    m->nodes[0] = &n->seed;
    m->end = 1;
    m->doubt = true;
    n->map = m;
    n->home = 0;
    redis_map_tend(n);
    return SIO_OK;
}

void redis_map_free(struct redis_nodes *n)
{
    struct redis_map *m = n->map;

    if (!m)
        return;
    dismiss_learner(m);
    net_timer_stop(&m->care);
    list_remove(&m->tend.link);
    n->map = NULL;
    n->home = 0;
    n->seed.n_slots = 0;
    n->seed.lost = false;
    for (uint32_t id = 1; id < m->end; id++)
        if (m->nodes[id])
            redis_node_free(m->nodes[id]);
    mem_free(m->owner);
    mem_free(m);
}
