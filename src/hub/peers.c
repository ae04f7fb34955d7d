#include <config.h>

#include "hub/peers.h"

#include <stdio.h>

#include "base/clock.h"
#include "base/mem.h"
#include "base/str.h"

#define ASK_AGAIN_MS   500
#define TELL_SOON_MS   20  /* who asks meanwhile is answered too */
#define TELL_AGAIN_MS  500 /* not more often, however many ask */
#define ANSWER_MS      10
#define RETURN_MS      2500 /* not to have heard oneself for so long is an absence */
#define REJECTED_LINES 4    /* a minute */
#define HUB_LINES      100  /* a minute */

static uint64_t now_ms(const struct hub_peers *p)
{
    return net_loop_now_ms(p->loop);
}

static void on_tell(struct net_timer *timer, void *user)
{
    (void)timer;
    hub_peers_tell_state(user);
}

static void on_asked(struct hub_peers *p)
{
    uint64_t now = now_ms(p);
    uint64_t wait = TELL_SOON_MS;

    if (p->told_ms != 0 && now - p->told_ms < TELL_AGAIN_MS)
        wait = TELL_AGAIN_MS - (now - p->told_ms);
    if (!net_timer_running(&p->tell))
        net_timer_start(&p->tell, wait); /* without memory: it asks again */
}

static void ask(struct hub_peers *p, struct hub_peer *peer)
{
    struct wbuf w;

    if (peer->asked_ms != 0 && now_ms(p) - peer->asked_ms < ASK_AGAIN_MS)
        return;
    peer->asked_ms = now_ms(p);
    hub_peers_begin(p, &w, HUB_WIRE_ASK);
    hub_peers_send(p, peer, &w);
}

/*
 * Who is there.
 */

static struct hub_peer *find_peer(const struct hub_peers *p, const char *id)
{
    struct map_node *n = map_find(&p->by_id, sio_str_from(id));

    return n ? container_of(n, struct hub_peer, node) : NULL;
}

static struct hub_peer *new_peer(struct hub_peers *p, const char *id)
{
    struct hub_peer *peer;

    if (p->by_id.n_items >= HUB_PEERS_MAX) {
        if (log_limit(&p->limit_rejected, now_ms(p), REJECTED_LINES))
            log_warn(p->log, "hub id=%s ignored: there are %d others already", id,
                     HUB_PEERS_MAX);
        return NULL;
    }
    peer = mem_new(struct hub_peer);
    if (!peer)
        return NULL;
    memcpy(peer->id, id, sizeof(peer->id));
    list_init(&peer->claims);
    if (map_add(&p->by_id, &peer->node, sio_str_from(peer->id)) < 0) {
        mem_free(peer);
        return NULL;
    }
    list_append(&p->all, &peer->link);
    return peer;
}

static struct hub_claim *claim_at(struct list *link)
{
    return container_of(link, struct hub_claim, peer_link);
}

static void forget(struct hub_peers *p, struct hub_peer *peer)
{
    while (!list_empty(&peer->claims))
        hub_registry_unclaim(p->registry, claim_at(peer->claims.next), now_ms(p));
    map_remove(&p->by_id, &peer->node);
    list_remove(&peer->link);
    p->ops->on_gone(peer, p->user);
    mem_free(peer);
    p->ops->on_left(p->user);
}

/* This hub hears itself, so who is silent is silent. */
static void forget_silent(struct hub_peers *p)
{
    struct hub_peer *peer;

    list_for_each (peer, struct hub_peer, link, &p->all) {
        if (p->self_heard_ms < peer->heard_ms + HUB_PEERS_SILENT_MS)
            continue;
        if (log_limit(&p->limit_hubs, now_ms(p), HUB_LINES))
            log_warn(p->log, "hub name=%s id=%s died: silent for %llu ms", peer->name,
                     peer->id, (unsigned long long)(p->self_heard_ms - peer->heard_ms));
        forget(p, peer);
    }
}

static void on_self(struct hub_peers *p)
{
    struct hub_peer *peer;

    if (now_ms(p) - p->self_heard_ms > RETURN_MS) {
        /* The others were away from here, or this from them: they get their time. */
        list_for_each (peer, struct hub_peer, link, &p->all)
            peer->heard_ms = now_ms(p);
    }
    p->self_heard_ms = now_ms(p);
    forget_silent(p);
}

static void forget_all(struct hub_peers *p, const char *why)
{
    if (list_empty(&p->all))
        return;
    log_warn(p->log, "hubs=%u forgotten: %s", p->by_id.n_items, why);
    while (!list_empty(&p->all))
        forget(p, container_of(p->all.next, struct hub_peer, link));
}

static void on_beat(struct net_timer *timer, void *user)
{
    struct hub_peers *p = user;

    p->answering = false;
    hub_peers_beat(p, false);
    if (p->self_heard_ms != 0 && now_ms(p) - p->self_heard_ms > HUB_PEERS_AWAY_MS)
        forget_all(p, "Redis is away");
    net_timer_start(timer, HUB_PEERS_BEAT_MS); /* it has its place: cannot fail */
}

/* Soon, once for all that say hello at the time. */
static void answer_hello(struct hub_peers *p)
{
    if (p->answering)
        return;
    p->answering = true;
    net_timer_start(&p->beat, ANSWER_MS);
}

/*
 * Hearing.
 */

static void missed(struct hub_peers *p, struct hub_peer *peer)
{
    p->stats.n_gaps++;
    peer->known = false;
    ask(p, peer);
}

/* SIO_OK, also for what is no NUC; SIO_ERR_NOMEM. */
static int take_nuc(struct hub_peers *p, struct hub_peer *peer, struct sio_str item)
{
    struct hub_wire_nuc nuc;
    struct hub_claim *claim;
    int rv = hub_wire_read_nuc(item, &nuc);
    struct hub_report report = {
        .id = sio_str_from(nuc.id),
        .epoch = nuc.epoch,
        .connected_us = (int64_t)nuc.connected_us,
        .heartbeat_us = (int64_t)nuc.heartbeat_us,
        .streams = nuc.streams,
        .ip_local = nuc.ip_local,
        .red = nuc.red,
        .camaras = nuc.camaras,
    };

    if (rv == SIO_OK)
        rv = hub_registry_claim(p->registry, peer, peer->id, &peer->claims, &report,
                                now_ms(p));
    if (rv == SIO_ERR_NOMEM)
        return rv;
    if (rv < 0) {
        hub_peers_reject(p, SIO_STR("hubs"));
        return SIO_OK;
    }
    claim = hub_registry_find_claim(p->registry, peer, report.id);
    if (claim)
        claim->listed = true;
    return SIO_OK;
}

static int take_nucs(struct hub_peers *p, struct hub_peer *peer, struct sio_str nucs)
{
    struct json_iter it = json_iter(nucs);
    struct sio_str key, item;
    int rv = SIO_OK;

    while (rv == SIO_OK && json_next(&it, &key, &item))
        rv = take_nuc(p, peer, item);
    return rv;
}

/* True if this change follows on what is known. */
static bool is_next(struct hub_peers *p, struct hub_peer *peer, uint64_t version)
{
    if (!peer->known || version <= peer->version)
        return false; /* the state that was asked for has it, or had it */
    if (version > peer->version + 1) {
        missed(p, peer);
        return false;
    }
    peer->version = version;
    return true;
}

static void unlist_all(struct hub_peer *peer)
{
    struct hub_claim *c;

    list_for_each (c, struct hub_claim, peer_link, &peer->claims)
        c->listed = false;
}

static void unclaim_unlisted(struct hub_peers *p, struct hub_peer *peer)
{
    struct hub_claim *c;

    list_for_each (c, struct hub_claim, peer_link, &peer->claims)
        if (!c->listed)
            hub_registry_unclaim(p->registry, c, now_ms(p));
}

static void take_state(struct hub_peers *p, struct hub_peer *peer,
                       const struct hub_wire_msg *m)
{
    if (peer->known && m->version <= peer->version)
        return; /* somebody else asked */
    if (m->part == 0) {
        peer->state = m->version;
        peer->next_part = 0;
        peer->known = false;
        unlist_all(peer);
    }
    if (m->version != peer->state || m->part != peer->next_part)
        return; /* one was lost: at the next beat it is asked for again */
    if (take_nucs(p, peer, m->nucs) < 0)
        return; /* so, too */
    peer->next_part++;
    if (peer->next_part < m->parts)
        return;
    peer->next_part = 0;
    peer->known = true;
    peer->version = m->version;
    peer->asked_ms = 0;
    unclaim_unlisted(p, peer);
    p->ops->on_left(p->user);
}

static void take_heard(struct hub_peers *p, struct hub_peer *peer, struct sio_str heard)
{
    struct json_iter it = json_iter(heard);
    struct sio_str key, item;
    char nuc[HUB_ID_MAX + 1];
    uint64_t us;

    while (heard.ptr && json_next(&it, &key, &item)) {
        struct hub_claim *c = NULL;

        if (hub_wire_read_heard(item, nuc, &us) == SIO_OK)
            c = hub_registry_find_claim(p->registry, peer, sio_str_from(nuc));
        if (c)
            c->heartbeat_us = (int64_t)us;
    }
}

/* Once for each: what its operator should know. */
static void greet(struct hub_peers *p, struct hub_peer *peer,
                  const struct hub_wire_msg *m)
{
    memcpy(peer->name, m->name, sizeof(peer->name));
    if (!log_limit(&p->limit_hubs, now_ms(p), HUB_LINES))
        return;
    log_info(p->log, "hub name=%s id=%s is there hubs=%zu", peer->name, peer->id,
             hub_peers_n(p));
    if (strcmp(peer->name, p->name) == 0)
        log_warn(p->log,
                 "hub id=%s has this hub's cluster_name, %s: a balancer cannot "
                 "tell them apart",
                 peer->id, p->name);
    if (m->config != p->config)
        log_warn(p->log,
                 "hub name=%s id=%s has other cameras in its configuration: their "
                 "ids and names differ",
                 peer->name, peer->id);
}

static void take_beat(struct hub_peers *p, struct hub_peer *peer,
                      const struct hub_wire_msg *m)
{
    if (peer->name[0] == '\0' && m->name[0] != '\0')
        greet(p, peer, m);
    if (m->hello)
        answer_hello(p);
    if (!peer->known)
        ask(p, peer);
    else if (m->version != peer->version)
        missed(p, peer);
    take_heard(p, peer, m->heard);
}

static void take_gone(struct hub_peers *p, struct hub_peer *peer,
                      const struct hub_wire_msg *m)
{
    struct hub_claim *c;

    if (!is_next(p, peer, m->version))
        return;
    c = hub_registry_find_claim(p->registry, peer, sio_str_from(m->nuc));
    if (!c)
        return;
    hub_registry_unclaim(p->registry, c, now_ms(p));
    p->ops->on_left(p->user);
}

static void take(struct hub_peers *p, struct hub_peer *peer,
                 const struct hub_wire_msg *m)
{
    switch (m->type) {
    case HUB_WIRE_BEAT: take_beat(p, peer, m); break;
    case HUB_WIRE_NUC:
        if (is_next(p, peer, m->version) && take_nucs(p, peer, m->nucs) < 0)
            peer->known = false; /* asked for at the next beat */
        break;
    case HUB_WIRE_GONE: take_gone(p, peer, m); break;
    case HUB_WIRE_STATE: take_state(p, peer, m); break;
    case HUB_WIRE_ASK: on_asked(p); break;
    case HUB_WIRE_BYE:
        log_info(p->log, "hub name=%s id=%s has left", peer->name, peer->id);
        forget(p, peer);
        break;
    default: p->ops->on_message(peer, m, p->user); break;
    }
}

void hub_peers_reject(struct hub_peers *p, struct sio_str channel)
{
    p->stats.n_rejected++;
    if (log_limit(&p->limit_rejected, now_ms(p), REJECTED_LINES))
        log_warn(p->log, "channel=%.*s ignored: not a message between hubs",
                 STR_ARG(channel));
}

static void on_published(struct cluster_topic *t, struct sio_str channel,
                         struct sio_slice body, void *user)
{
    struct hub_peers *p = user;
    struct hub_wire_msg m;
    struct hub_peer *peer;
    int rv;

    (void)t;
    if (p->stopped)
        return;
    rv = hub_wire_read((struct sio_str){(const char *)body.ptr, body.len}, &m);
    if (rv < 0) {
        if (rv != SIO_ERR_NOMEM) /* else as if it had been lost */
            hub_peers_reject(p, channel);
        return;
    }
    if (strcmp(m.hub, p->id) == 0) {
        on_self(p);
        return;
    }
    peer = find_peer(p, m.hub);
    if (!peer && m.type != HUB_WIRE_BYE)
        peer = new_peer(p, m.hub);
    if (!peer)
        return;
    peer->heard_ms = now_ms(p);
    take(p, peer, &m);
}

/*
 * Begin and end.
 */

static void on_up(struct cluster_bus *bus, void *user)
{
    struct hub_peers *p = user;

    (void)bus;
    hub_peers_beat(p, true);
    p->ops->on_up(p->user);
}

static void on_down(struct cluster_bus *bus, void *user)
{
    (void)bus;
    (void)user;
}

int hub_peers_init(struct hub_peers *p, struct net_loop *loop,
                   const struct hub_peers_options *opts)
{
    static const struct cluster_bus_ops ops = {.on_up = on_up, .on_down = on_down};
    char channel[sizeof(p->key) + RANDOM_ID_LEN + 16];
    int rv;

    *p = (struct hub_peers){
        .loop = loop,
        .log = net_loop_log(loop),
        .bus = opts->bus,
        .registry = opts->registry,
        .ops = opts->ops,
        .user = opts->user,
        .id = opts->id,
        .name = opts->name,
        .config = opts->config,
        .watcher = {.ops = &ops, .user = p},
    };
    snprintf(p->key, sizeof(p->key), "%s", opts->key);
    map_init(&p->by_id);
    list_init(&p->all);
    list_init(&p->watcher.link);
    net_timer_init(&p->beat, loop, on_beat, p);
    net_timer_init(&p->tell, loop, on_tell, p);
    cluster_bus_watch(p->bus, &p->watcher);
    snprintf(channel, sizeof(channel), "%s:hubs", p->key);
    rv = cluster_bus_listen(p->bus, &p->everybody, CLUSTER_CHANNEL,
                            sio_str_from(channel), on_published, p);
    snprintf(channel, sizeof(channel), "%s:hub:%s", p->key, p->id);
    if (rv == SIO_OK)
        rv = cluster_bus_listen(p->bus, &p->myself, CLUSTER_CHANNEL,
                                sio_str_from(channel), on_published, p);
    if (rv == SIO_OK)
        rv = net_timer_start(&p->beat, HUB_PEERS_BEAT_MS);
    return rv;
}

void hub_peers_stop(struct hub_peers *p)
{
    struct wbuf w;

    if (!p->bus || p->stopped)
        return;
    hub_peers_begin(p, &w, HUB_WIRE_BYE);
    hub_peers_send(p, NULL, &w);
    p->stopped = true;
    net_timer_stop(&p->beat);
    net_timer_stop(&p->tell);
    cluster_bus_unlisten(p->bus, &p->everybody);
    cluster_bus_unlisten(p->bus, &p->myself);
    cluster_bus_unwatch(&p->watcher);
}

void hub_peers_fini(struct hub_peers *p)
{
    if (!p->bus)
        return;
    hub_peers_stop(p);
    while (!list_empty(&p->all))
        forget(p, container_of(p->all.next, struct hub_peer, link));
    map_fini(&p->by_id);
    p->bus = NULL;
}

bool hub_peers_up(const struct hub_peers *p)
{
    return cluster_bus_is_up(p->bus) && p->self_heard_ms != 0 &&
           now_ms(p) - p->self_heard_ms <= RETURN_MS;
}

size_t hub_peers_n(const struct hub_peers *p)
{
    return 1 + p->by_id.n_items;
}
