#include <config.h>

#include <stdio.h>

#include "base/mem.h"
#include "base/str.h"
#include "hub/hub_impl.h"
#include "hub/picture.h"

#define WATCH_MS     2000 /* so often the other hub is told that somebody looks here */
#define LEASE_MS     6000 /* so long it takes that for granted */
#define CHANNEL_SIZE (HUB_PEERS_KEY_MAX + HUB_ID_MAX + 16)

static struct sio_str ip_of(const struct hub_live_camera *c)
{
    return (struct sio_str){c->ip, c->ip_len};
}

static struct sio_str channel_of(const struct hub *hub, const struct hub_live_camera *c,
                                 char out[CHANNEL_SIZE])
{
    int n = snprintf(out, CHANNEL_SIZE, "%s:live:%s", hub->peers.key, c->ip);

    return (struct sio_str){out, (size_t)n};
}

/*
 * Looking at another hub's camera.
 */

/* Copied once: it came in the buffer of the connection to Redis. */
static void take_frame(struct hub *hub, struct hub_live_camera *c,
                       struct sio_slice jpeg)
{
    struct sio_buf *b;

    if (!hub_image_is_jpeg(jpeg.ptr, jpeg.len)) {
        hub_peers_reject(&hub->peers, SIO_STR("live"));
        return;
    }
    b = sio_buf_copy(jpeg.ptr, jpeg.len);
    if (b)
        hub_live_frame(hub, ip_of(c), b);
    sio_buf_unref(b);
}

static void on_frame(struct cluster_topic *t, struct sio_str channel,
                     struct sio_slice body, void *user)
{
    struct hub_live_remote *r = user;
    struct hub *hub = r->hub;
    struct hub_wire_msg m;
    struct sio_slice jpeg;

    (void)t;
    if (hub_wire_read_frame(body, &m, &jpeg) < 0 ||
        body.len > (size_t)hub->config->max_payload_bytes + HUB_WIRE_HEAD_MAX) {
        hub_peers_reject(&hub->peers, channel);
        return;
    }
    /* The hub that the agent has left may still send what it had. */
    if (!r->owner || strcmp(m.hub, r->owner->id) != 0)
        return;
    if (m.type == HUB_WIRE_FRAME)
        take_frame(hub, r->camera, jpeg);
    else
        hub_live_lost(hub, ip_of(r->camera));
}

static struct hub_live_remote *begin_remote(struct hub *hub, struct hub_live_camera *c)
{
    struct hub_live_remote *r = mem_new(struct hub_live_remote);
    char channel[CHANNEL_SIZE];

    if (!r)
        return NULL;
    r->hub = hub;
    r->camera = c;
    if (cluster_bus_listen(hub->peers.bus, &r->topic, CLUSTER_CHANNEL,
                           channel_of(hub, c, channel), on_frame, r) < 0) {
        mem_free(r);
        return NULL;
    }
    c->remote = r;
    return r;
}

static int send_about(struct hub *hub, struct hub_peer *to, enum hub_wire_type type,
                      const struct hub_live_camera *c)
{
    struct wbuf w;

    hub_peers_begin(&hub->peers, &w, type);
    hub_wire_text(&w, "ip", c->ip);
    return hub_peers_send(&hub->peers, to, &w);
}

void hub_relay_watch(struct hub *hub, struct hub_live_camera *c, struct hub_nuc *nuc)
{
    struct hub_live_remote *r = c->remote ? c->remote : begin_remote(hub, c);
    uint64_t now = net_loop_now_ms(hub->loop);

    if (!r)
        return;
    if (r->owner != nuc->now->peer) {
        if (r->owner)
            send_about(hub, r->owner, HUB_WIRE_UNWATCH, c);
        r->owner = nuc->now->peer;
        r->watched_ms = 0;
    }
    if (r->watched_ms != 0 && now - r->watched_ms < WATCH_MS)
        return;
    if (send_about(hub, r->owner, HUB_WIRE_WATCH, c) < 0)
        return;
    r->watched_ms = now;
    if (c->started_ms == 0 && nuc->now->streams)
        c->started_ms = now;
}

void hub_relay_unwatch(struct hub *hub, struct hub_live_camera *c)
{
    struct hub_live_remote *r = c->remote;

    if (!r)
        return;
    if (r->owner)
        send_about(hub, r->owner, HUB_WIRE_UNWATCH, c);
    cluster_bus_unlisten(hub->peers.bus, &r->topic);
    mem_free(r);
    c->remote = NULL;
    c->started_ms = 0;
}

/*
 * Showing this hub's cameras to others.
 */

static void drop_lease(struct hub_lease *l)
{
    list_remove(&l->link);
    mem_free(l);
}

bool hub_relay_is_watched(struct hub *hub, struct hub_live_camera *c)
{
    uint64_t now = net_loop_now_ms(hub->loop);
    struct hub_lease *l;

    list_for_each (l, struct hub_lease, link, &c->leases)
        if (now >= l->until_ms)
            drop_lease(l);
    return !list_empty(&c->leases);
}

/* A frame is under way; the camera may end before Redis has answered. */
struct published {
    struct hub *hub;
    size_t ip_len;
    char ip[HUB_ID_MAX];
};

static void on_published(int status, uint64_t n, void *user)
{
    struct published *p = user;
    struct hub *hub = p->hub;
    struct hub_live_camera *c = hub_live_find(hub, (struct sio_str){p->ip, p->ip_len});

    (void)status;
    (void)n;
    mem_free(p);
    if (!c || hub->peers.stopped)
        return;
    c->publishing = false;
    if (c->published != c->number)
        hub_relay_show(hub, c);
}

static int publish(struct hub *hub, const struct hub_live_camera *c,
                   enum hub_wire_type type, struct published *p)
{
    char channel[CHANNEL_SIZE];
    struct sio_slice parts[2];
    struct sio_buf *head;
    struct wbuf w;
    int rv = SIO_ERR_NOMEM;

    hub_peers_begin(&hub->peers, &w, type);
    hub_wire_end(&w);
    wbuf_add_byte(&w, '\n');
    head = wbuf_take(&w);
    wbuf_fini(&w);
    if (!head)
        return rv;
    parts[0] = sio_slice_of(head);
    parts[1] = sio_slice_of(c->frame);
    rv = cluster_bus_publish(hub->peers.bus, CLUSTER_CHANNEL,
                             channel_of(hub, c, channel), parts,
                             type == HUB_WIRE_FRAME ? 2 : 1, on_published, p);
    sio_buf_unref(head);
    return rv;
}

/* Once for all that look, and the next one when Redis has taken it: the newest then. */
void hub_relay_show(struct hub *hub, struct hub_live_camera *c)
{
    struct published *p;

    if (list_empty(&c->leases) || c->publishing || c->view == HUB_LIVE_WAITING ||
        hub->peers.stopped)
        return;
    p = mem_new(struct published);
    if (!p)
        return;
    p->hub = hub;
    p->ip_len = c->ip_len;
    memcpy(p->ip, c->ip, c->ip_len);
    c->publishing = true;
    c->published = c->number;
    if (publish(hub, c, c->view == HUB_LIVE_LOST ? HUB_WIRE_LOST : HUB_WIRE_FRAME, p) <
        0) {
        c->publishing = false;
        mem_free(p);
    }
}

static struct hub_lease *lease_of(struct hub_live_camera *c,
                                  const struct hub_peer *peer)
{
    struct hub_lease *l;

    list_for_each (l, struct hub_lease, link, &c->leases)
        if (l->peer == peer)
            return l;
    return NULL;
}

static void on_watch(struct hub *hub, struct hub_peer *from, struct sio_str ip)
{
    struct hub_nuc *nuc = hub_registry_agent_of(&hub->registry, ip);
    struct hub_live_camera *c;
    struct hub_lease *l;

    /* Only of agents that are here: else hubs that err would send each other in circles. */
    if (!nuc || hub_nuc_is_remote(nuc))
        return;
    c = hub_live_open(hub, ip);
    l = c ? lease_of(c, from) : NULL;
    if (c && !l) {
        l = mem_new(struct hub_lease);
        if (!l)
            return;
        l->peer = from;
        list_append(&c->leases, &l->link);
        if (c->view == HUB_LIVE_LOST)
            hub_relay_show(hub, c);
    }
    if (l)
        l->until_ms = net_loop_now_ms(hub->loop) + LEASE_MS;
}

void hub_relay_live_message(struct hub *hub, struct hub_peer *from,
                            const struct hub_wire_msg *m)
{
    struct sio_str ip = sio_str_from(m->ip);
    struct hub_live_camera *c;
    struct hub_lease *l;

    if (m->type == HUB_WIRE_WATCH) {
        on_watch(hub, from, ip);
        return;
    }
    c = hub_live_find(hub, ip);
    l = c ? lease_of(c, from) : NULL;
    if (l)
        drop_lease(l);
}

void hub_relay_live_gone(struct hub *hub, const struct hub_peer *peer)
{
    struct hub_live_camera *c;

    list_for_each (c, struct hub_live_camera, link, &hub->live.cameras) {
        struct hub_lease *l = lease_of(c, peer);

        if (l)
            drop_lease(l);
        if (c->remote && c->remote->owner == peer)
            c->remote->owner = NULL;
    }
}

static void drop_leases(struct hub_live_camera *c)
{
    struct hub_lease *l;

    list_for_each (l, struct hub_lease, link, &c->leases)
        drop_lease(l);
}

void hub_relay_live_moved(struct hub *hub, const struct hub_nuc *nuc)
{
    struct hub_live_camera *c;

    list_for_each (c, struct hub_live_camera, link, &hub->live.cameras) {
        if (hub_registry_agent_of(&hub->registry, ip_of(c)) != nuc)
            continue;
        c->started_ms = 0;
        c->asked_ms = 0;
        if (c->remote)
            c->remote->watched_ms = 0;
        if (hub_nuc_is_remote(nuc))
            drop_leases(c);
    }
}

void hub_relay_end(struct hub *hub, struct hub_live_camera *c)
{
    hub_relay_unwatch(hub, c);
    drop_leases(c);
}
