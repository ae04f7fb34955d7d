/*
 * registry.c - NUCs, and who claims them
 */
#include <config.h>

#include "hub/registry.h"

#include <assert.h>

#include "base/buf.h"
#include "base/json.h"
#include "base/mem.h"

/*
 * NUCs.
 */

struct hub_nuc *hub_registry_find_nuc(const struct hub_registry *r, struct sio_str id)
{
    struct map_node *n = map_find(&r->nucs_by_id, id);

    return n ? container_of(n, struct hub_nuc, node) : NULL;
}

size_t hub_registry_n_nucs(const struct hub_registry *r)
{
    return r->nucs_by_id.n_items;
}

/* The later connection; of two that know nothing of each other, any, but the same one. */
static bool is_newer(const struct hub_claim *a, const struct hub_claim *b)
{
    if (a->epoch != b->epoch)
        return a->epoch > b->epoch;
    return strcmp(a->hub, b->hub) > 0;
}

static bool connected_before(const struct hub_nuc *a, const struct hub_nuc *b)
{
    if (a->now->connected_us != b->now->connected_us)
        return a->now->connected_us < b->now->connected_us;
    return strcmp(a->id, b->id) < 0;
}

static struct hub_nuc *nuc_at(struct list *link)
{
    return container_of(link, struct hub_nuc, link);
}

static bool is_in_place(const struct hub_registry *r, const struct hub_nuc *nuc)
{
    struct list *before = nuc->link.prev, *behind = nuc->link.next;

    return list_linked(&nuc->link) &&
           (before == &r->nucs || connected_before(nuc_at(before), nuc)) &&
           (behind == &r->nucs || connected_before(nuc, nuc_at(behind)));
}

/* In order of connection: nearly always at the end, or where it was. */
static void place(struct hub_registry *r, struct hub_nuc *nuc)
{
    struct list *behind;

    if (is_in_place(r, nuc))
        return;
    list_remove(&nuc->link);
    behind = r->nucs.prev;
    while (behind != &r->nucs && connected_before(nuc, nuc_at(behind)))
        behind = behind->prev;
    list_prepend(behind, &nuc->link);
}

/* The cameras that are listed are this NUC's. */
static void take_cameras(struct hub_registry *r, struct hub_nuc *nuc, uint64_t now_ms)
{
    const struct sio_buf *b = nuc->now->camaras;
    struct sio_str list = {b ? (const char *)b->data : "null", b ? b->len : 4};
    struct json_iter it = json_iter(list);
    struct sio_str key, value, ip;

    if (json_type(list) != JSON_ARRAY)
        return;
    while (json_next(&it, &key, &value)) {
        struct hub_camera *c;

        if (json_type(value) != JSON_STRING || !json_string_plain(value, &ip) ||
            !hub_registry_check_ip(ip))
            continue;
        c = hub_registry_camera(r, ip, now_ms);
        if (!c)
            break;
        hub_registry_set_agent(c, nuc);
        c->heard_ms = now_ms;
        c->n_asked = 0;
        c->asked_ms = 0;
    }
}

static struct hub_nuc *new_nuc(struct hub_registry *r, struct sio_str id)
{
    struct hub_nuc *nuc = mem_alloc(sizeof(*nuc) + id.len + 1);

    if (!nuc)
        return NULL;
    memcpy(nuc->id, id.ptr, id.len);
    if (map_add(&r->nucs_by_id, &nuc->node, (struct sio_str){nuc->id, id.len}) < 0) {
        mem_free(nuc);
        return NULL;
    }
    list_init(&nuc->link);
    list_init(&nuc->sockets);
    list_init(&nuc->cameras);
    list_init(&nuc->claims);
    list_init(&nuc->own.link);
    list_init(&nuc->own.peer_link);
    nuc->own.nuc = nuc;
    nuc->own.hub = r->hub;
    return nuc;
}

static void free_claim(struct hub_registry *r, struct hub_claim *c)
{
    list_remove(&c->link);
    list_remove(&c->peer_link);
    if (c->peer) {
        r->n_remote--;
        r->n_remote_bytes -= c->camaras ? c->camaras->len : 0;
    }
    sio_buf_unref(c->camaras);
    c->camaras = NULL;
    if (c->peer)
        mem_free(c);
}

static void free_nuc(struct hub_registry *r, struct hub_nuc *nuc)
{
    struct hub_nuc_socket *s;
    struct hub_camera *camera;
    struct hub_claim *claim;

    list_for_each (s, struct hub_nuc_socket, link, &nuc->sockets) {
        list_remove(&s->link);
        s->nuc = NULL;
    }
    list_for_each (camera, struct hub_camera, agent_link, &nuc->cameras) {
        list_remove(&camera->agent_link);
        camera->agent = NULL;
    }
    list_for_each (claim, struct hub_claim, link, &nuc->claims)
        free_claim(r, claim);
    free_claim(r, &nuc->own);
    map_remove(&r->nucs_by_id, &nuc->node);
    list_remove(&nuc->link);
    mem_free(nuc);
}

/* Finds out whose it is, after a claim has come, changed or gone. */
static void settle(struct hub_registry *r, struct hub_nuc *nuc, uint64_t now_ms)
{
    bool was_remote = nuc->now && nuc->now->peer;
    struct hub_claim *before = nuc->now;
    struct hub_claim *c;

    nuc->now = NULL;
    list_for_each (c, struct hub_claim, link, &nuc->claims)
        if (!nuc->now || is_newer(c, nuc->now))
            nuc->now = c;
    if (nuc->now)
        place(r, nuc);
    else
        nuc->now = &nuc->own; /* for whoever is told that it goes */
    if (nuc->now != before && !list_empty(&nuc->claims))
        take_cameras(r, nuc, now_ms);
    if (r->on_moved && (was_remote || nuc->now->peer) && nuc->now != before)
        r->on_moved(nuc, r->moved_user);
    if (list_empty(&nuc->claims))
        free_nuc(r, nuc);
}

/* Later than all that is known; of what is not, the clocks of the hubs decide. */
static uint64_t next_epoch(const struct hub_nuc *nuc, int64_t now_us)
{
    uint64_t epoch = now_us > 0 ? (uint64_t)now_us : 0;
    struct hub_claim *c;

    list_for_each (c, struct hub_claim, link, &nuc->claims)
        if (c->epoch >= epoch)
            epoch = c->epoch + 1;
    return epoch < HUB_EPOCH_MAX ? epoch : HUB_EPOCH_MAX;
}

struct hub_nuc *hub_registry_attach(struct hub_registry *r, struct hub_nuc_socket *s,
                                    struct sio_str id, int64_t now_us, uint64_t now_ms)
{
    struct hub_nuc *nuc = hub_registry_find_nuc(r, id);

    assert(!s->nuc);
    if (!nuc)
        nuc = new_nuc(r, id);
    if (!nuc)
        return NULL;
    nuc->own.heartbeat_us = now_us;
    nuc->own.epoch = next_epoch(nuc, now_us);
    if (nuc->now != &nuc->own)
        nuc->own.connected_us = now_us;
    s->nuc = nuc;
    list_append(&nuc->sockets, &s->link);
    if (!list_linked(&nuc->own.link))
        list_append(&nuc->claims, &nuc->own.link);
    settle(r, nuc, now_ms);
    return nuc;
}

bool hub_registry_is_last(const struct hub_nuc_socket *s)
{
    return s->nuc && s->nuc->sockets.next == &s->link &&
           s->nuc->sockets.prev == &s->link;
}

void hub_registry_detach(struct hub_registry *r, struct hub_nuc_socket *s,
                         uint64_t now_ms)
{
    struct hub_nuc *nuc = s->nuc;

    if (!nuc)
        return;
    list_remove(&s->link);
    s->nuc = NULL;
    if (!list_empty(&nuc->sockets))
        return;
    list_remove(&nuc->own.link);
    if (!list_empty(&nuc->claims)) {
        sio_buf_unref(nuc->own.camaras);
        nuc->own.camaras = NULL;
        nuc->own.streams = false;
        nuc->own.ip_local[0] = nuc->own.red[0] = '\0';
    }
    settle(r, nuc, now_ms);
}

int hub_registry_set_camaras(struct hub_registry *r, struct hub_nuc *nuc,
                             struct sio_str camaras, uint64_t now_ms)
{
    struct sio_buf *copy;

    if (camaras.len > HUB_CAMARAS_MAX_BYTES)
        return SIO_ERR_TOO_BIG;
    copy = sio_buf_copy(camaras.ptr, camaras.len);
    if (!copy)
        return SIO_ERR_NOMEM;
    sio_buf_unref(nuc->own.camaras);
    nuc->own.camaras = copy;
    if (nuc->now == &nuc->own)
        take_cameras(r, nuc, now_ms);
    return SIO_OK;
}

/*
 * What other hubs claim.
 */

struct hub_claim *hub_registry_find_claim(const struct hub_registry *r,
                                          const struct hub_peer *peer,
                                          struct sio_str id)
{
    struct hub_nuc *nuc = hub_registry_find_nuc(r, id);
    struct hub_claim *c;

    if (nuc)
        list_for_each (c, struct hub_claim, link, &nuc->claims)
            if (c->peer == peer)
                return c;
    return NULL;
}

static struct hub_claim *new_claim(struct hub_registry *r, struct hub_peer *peer,
                                   struct sio_str id)
{
    struct hub_nuc *nuc = hub_registry_find_nuc(r, id);
    struct hub_claim *c = mem_new(struct hub_claim);

    if (c && !nuc)
        nuc = new_nuc(r, id);
    if (!nuc || !c) {
        mem_free(c);
        return NULL;
    }
    c->nuc = nuc;
    c->peer = peer;
    list_init(&c->peer_link);
    list_append(&nuc->claims, &c->link);
    r->n_remote++;
    return c;
}

/* True if the list is another one now. */
static bool set_remote_camaras(struct hub_registry *r, struct hub_claim *c,
                               struct sio_buf *camaras)
{
    struct sio_buf *old = c->camaras;
    bool same = old && camaras && old->len == camaras->len &&
                memcmp(old->data, camaras->data, old->len) == 0;

    r->n_remote_bytes -= old ? old->len : 0;
    r->n_remote_bytes += camaras ? camaras->len : 0;
    c->camaras = camaras;
    sio_buf_unref(old);
    return camaras && !same;
}

static void copy_address(char to[HUB_ADDRESS_MAX + 1], const char *from)
{
    size_t len = strlen(from);

    len = len <= HUB_ADDRESS_MAX ? len : 0;
    memcpy(to, from, len);
    to[len] = '\0';
}

int hub_registry_claim(struct hub_registry *r, struct hub_peer *peer, const char *hub,
                       struct list *peer_claims, const struct hub_report *report,
                       uint64_t now_ms)
{
    struct hub_claim *c = hub_registry_find_claim(r, peer, report->id);
    struct sio_buf *camaras = NULL;
    bool other, moves;

    if ((!c && r->n_remote >= HUB_REMOTE_MAX) ||
        report->camaras.len > HUB_CAMARAS_MAX_BYTES ||
        r->n_remote_bytes + report->camaras.len > HUB_REMOTE_MAX_BYTES)
        return SIO_ERR_TOO_BIG;
    if (report->camaras.ptr)
        camaras = sio_buf_copy(report->camaras.ptr, report->camaras.len);
    if (report->camaras.ptr && !camaras)
        return SIO_ERR_NOMEM;
    if (!c)
        c = new_claim(r, peer, report->id);
    if (!c) {
        sio_buf_unref(camaras);
        return SIO_ERR_NOMEM;
    }
    if (!list_linked(&c->peer_link))
        list_append(peer_claims, &c->peer_link);
    moves = c->streams != report->streams;
    c->hub = hub;
    c->epoch = report->epoch;
    c->connected_us = report->connected_us;
    c->heartbeat_us = report->heartbeat_us;
    c->streams = report->streams;
    copy_address(c->ip_local, report->ip_local);
    copy_address(c->red, report->red);
    other = set_remote_camaras(r, c, camaras);
    if (c->nuc->now == c && other)
        take_cameras(r, c->nuc, now_ms);
    moves = c->nuc->now == c && (moves || other);
    settle(r, c->nuc, now_ms);
    if (moves && c->nuc->now == c && r->on_moved)
        r->on_moved(c->nuc, r->moved_user);
    return SIO_OK;
}

void hub_registry_unclaim(struct hub_registry *r, struct hub_claim *c, uint64_t now_ms)
{
    struct hub_nuc *nuc = c->nuc;

    list_remove(&c->link);
    settle(r, nuc, now_ms);
    free_claim(r, c);
}

/*
 * Begin and end.
 */

int hub_registry_init(struct hub_registry *r, const struct hub_config *config,
                      const char *hub)
{
    *r = (struct hub_registry){
        .max_cameras = (size_t)config->max_cameras,
        .default_interval_ms = (uint32_t)config->interval_s * 1000,
        .hub = hub,
    };
    map_init(&r->nucs_by_id);
    map_init(&r->cameras_by_ip);
    list_init(&r->nucs);
    list_init(&r->cameras);
    return hub_registry_add_configured(r, config);
}

void hub_registry_fini(struct hub_registry *r)
{
    struct hub_nuc *nuc;

    list_for_each (nuc, struct hub_nuc, link, &r->nucs)
        free_nuc(r, nuc);
    hub_registry_drop_cameras(r);
    map_fini(&r->nucs_by_id);
    map_fini(&r->cameras_by_ip);
}
