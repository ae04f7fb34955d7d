#include <config.h>

#include "hub/live.h"

#include "base/mem.h"
#include "base/str.h"
#include "hub/hub_impl.h"
#include "hub/picture.h"

#define TICK_MS 500
/* A streaming agent that sends nothing for so long has lost the camera. */
#define STREAM_SILENT_MS 10000
/* An agent that was asked for a picture is asked again after this without an answer. */
#define ASK_TIMEOUT_MS 20000
/*
 * Of cameras that no agent has; those that one has are bounded by the registry.  A page
 * asks for what it knows, before the agents are back, so it cannot be none.
 */
#define UNKNOWN_MAX 256
/* While live pictures come as close as this, a snapshot is older than the last one. */
#define MOVING_MS 2000
/* The picture is sent again now and then: else proxies take the stream for dead. */
#define REPEAT_MS 10000

static const uint8_t connecting_jpg[] = {
#include "src/hub/page/conectando.jpg.inc"
};
static const uint8_t lost_jpg[] = {
#include "src/hub/page/sin_acceso.jpg.inc"
};

static uint64_t now_ms(const struct hub *hub)
{
    return net_loop_now_ms(hub->loop);
}

static struct sio_str ip_of(const struct hub_live_camera *c)
{
    return (struct sio_str){c->ip, c->ip_len};
}

static struct hub_nuc *nuc_of(struct hub *hub, const struct hub_live_camera *c)
{
    return hub_registry_agent_of(&hub->registry, ip_of(c));
}

/*
 * Showing.
 */

static void show(struct hub *hub, struct hub_live_camera *c, struct sio_buf *jpeg,
                 enum hub_live_view view)
{
    sio_buf_ref(jpeg);
    sio_buf_unref(c->frame);
    c->frame = jpeg;
    c->view = view;
    c->number++;
    c->shown_ms = now_ms(hub);
    hub_live_http_show(c);
    hub_live_events_show(hub, c);
}

bool hub_live_frame(struct hub *hub, struct sio_str ip, struct sio_buf *jpeg)
{
    struct hub_live_camera *c = hub_live_find(hub, ip);

    if (!c)
        return false;
    c->frame_ms = now_ms(hub);
    c->asked_ms = 0;
    c->streamed = c->started_ms != 0;
    show(hub, c, jpeg, HUB_LIVE_SHOWN);
    hub_relay_show(hub, c);
    return true;
}

static bool is_moving(const struct hub *hub, const struct hub_live_camera *c)
{
    return c->started_ms != 0 && c->view == HUB_LIVE_SHOWN &&
           c->frame_ms >= c->started_ms && now_ms(hub) - c->frame_ms < MOVING_MS;
}

void hub_live_snapshot(struct hub *hub, struct sio_str ip, struct sio_str image)
{
    struct hub_live_camera *c = hub_live_find(hub, ip);
    struct sio_buf *jpeg;
    int error;

    if (!c || is_moving(hub, c))
        return;
    jpeg = hub_image_jpeg(image, &error);
    if (jpeg)
        hub_live_frame(hub, ip, jpeg);
    sio_buf_unref(jpeg);
}

static void lose(struct hub *hub, struct hub_live_camera *c)
{
    if (c->view == HUB_LIVE_LOST)
        return;
    show(hub, c, hub->live.lost, HUB_LIVE_LOST);
    hub_relay_show(hub, c);
}

void hub_live_lost(struct hub *hub, struct sio_str ip)
{
    struct hub_live_camera *c = hub_live_find(hub, ip);

    if (!c)
        return;
    /* Until the pause is over, so that a camera that is away is not asked all the time. */
    if (c->asked_ms != 0)
        c->asked_ms = now_ms(hub) - ASK_TIMEOUT_MS + STREAM_SILENT_MS / 2;
    lose(hub, c);
}

void hub_live_snapshot_failed(struct hub *hub, struct sio_str ip)
{
    const struct hub_live_camera *c = hub_live_find(hub, ip);

    if (c && !is_moving(hub, c))
        hub_live_lost(hub, ip);
}

void hub_live_agents_changed(struct hub *hub)
{
    struct hub_live_camera *c;

    list_for_each (c, struct hub_live_camera, link, &hub->live.cameras) {
        c->started_ms = 0;
        c->asked_ms = 0;
    }
}

/*
 * Where pictures come from.
 */

/* Tells an agent that streams, or asks another one; or has its hub do so. */
static void want(struct hub *hub, struct hub_live_camera *c)
{
    struct hub_nuc *nuc = nuc_of(hub, c);
    bool remote = nuc && hub_nuc_is_remote(nuc);
    uint64_t now = now_ms(hub);

    if (!remote)
        hub_relay_unwatch(hub, c);
    if (!nuc) {
        c->started_ms = 0;
        c->asked_ms = 0;
    } else if (remote) {
        hub_relay_watch(hub, c, nuc);
    } else if (nuc->now->streams) {
        if (c->started_ms == 0 && hub_live_send_start(hub, nuc, c) == SIO_OK)
            c->started_ms = now;
    } else if (c->asked_ms == 0 || now - c->asked_ms >= ASK_TIMEOUT_MS) {
        if (hub_live_send_capture(hub, nuc, ip_of(c)) == SIO_OK)
            c->asked_ms = now;
    }
}

/* Pictures that are only pushed may be as old as in a list of cameras. */
static uint64_t patience_ms(struct hub *hub, const struct hub_live_camera *c)
{
    if (c->started_ms != 0 || c->streamed || c->frame_ms == 0)
        return STREAM_SILENT_MS;
    return hub->config->stale_s * 1000;
}

static void look_at(struct hub *hub, struct hub_live_camera *c)
{
    uint64_t now = now_ms(hub);
    uint64_t since = c->frame_ms ? c->frame_ms : c->shown_ms;

    want(hub, c);
    if (since < c->started_ms) /* the first picture may be an older snapshot */
        since = c->started_ms;
    if (c->view == HUB_LIVE_WAITING ? now - since >= STREAM_SILENT_MS
                                    : now - since >= patience_ms(hub, c))
        lose(hub, c);
    if (now - c->shown_ms >= REPEAT_MS)
        show(hub, c, c->frame, c->view);
}

/*
 * Cameras.
 */

static bool watched(struct hub *hub, struct hub_live_camera *c)
{
    return !list_empty(&c->streams) || hub_live_events_watched(hub, c) ||
           hub_relay_is_watched(hub, c);
}

static void close_camera(struct hub *hub, struct hub_live_camera *c)
{
    struct hub_nuc *nuc = nuc_of(hub, c);

    if (c->started_ms != 0 && nuc && !hub_nuc_is_remote(nuc))
        hub_live_send_stop(hub, nuc, ip_of(c));
    hub_relay_end(hub, c);
    log_debug(hub->log, "ip=%s live view ends", c->ip);
    map_remove(&hub->live.by_ip, &c->node);
    list_remove(&c->link);
    hub->live.n_unknown -= c->unknown;
    sio_buf_unref(c->frame);
    mem_free(c);
}

static void on_tick(struct net_timer *timer, void *user)
{
    struct hub *hub = user;
    uint64_t now = now_ms(hub);
    struct list *next;

    for (struct list *l = hub->live.cameras.next; l != &hub->live.cameras; l = next) {
        struct hub_live_camera *c = container_of(l, struct hub_live_camera, link);

        next = l->next;
        if (watched(hub, c)) {
            c->left_ms = 0;
            look_at(hub, c);
        } else if (c->left_ms == 0) {
            c->left_ms = now;
            hub_relay_unwatch(hub, c); /* the grace is for agents */
        } else if (now - c->left_ms >= hub->config->live_grace_s * 1000) {
            close_camera(hub, c);
        }
    }
    if (!list_empty(&hub->live.cameras))
        net_timer_start(timer, TICK_MS);
}

struct hub_live_camera *hub_live_find(struct hub *hub, struct sio_str ip)
{
    struct map_node *node = map_find(&hub->live.by_ip, ip);

    return node ? container_of(node, struct hub_live_camera, node) : NULL;
}

static struct hub_live_camera *new_camera(struct hub *hub, struct sio_str ip)
{
    struct hub_live_camera *c = mem_alloc(sizeof(*c) + ip.len + 1);

    if (!c)
        return NULL;
    memcpy(c->ip, ip.ptr, ip.len);
    c->ip_len = ip.len;
    list_init(&c->streams);
    list_init(&c->link);
    list_init(&c->leases);
    c->frame = sio_buf_ref(hub->live.connecting);
    c->shown_ms = now_ms(hub);
    if (map_add(&hub->live.by_ip, &c->node, ip_of(c)) < 0) {
        sio_buf_unref(c->frame);
        mem_free(c);
        return NULL;
    }
    list_append(&hub->live.cameras, &c->link);
    return c;
}

/* The newest snapshot, until something moves. */
struct first_picture {
    struct hub *hub;
    size_t ip_len;
    char ip[HUB_ID_MAX];
};

static void on_first_picture(int status, const struct store_entry *entry, void *user)
{
    struct first_picture *first = user;
    struct hub *hub = first->hub;
    struct sio_str ip = {first->ip, first->ip_len};
    struct hub_live_camera *c = hub_live_find(hub, ip);
    struct hub_picture p;
    struct sio_str image;
    struct sio_buf *jpeg;
    int error;

    mem_free(first);
    if (status < 0 || !c || c->view != HUB_LIVE_WAITING ||
        entry->age_ms > hub->config->stale_s * 1000)
        return;
    hub_picture_read((struct sio_str){(const char *)entry->value.ptr, entry->value.len},
                     &p);
    jpeg = hub_picture_image(&p, &image) ? hub_image_jpeg(image, &error) : NULL;
    if (!jpeg)
        return;
    c->frame_ms = now_ms(hub) - entry->age_ms;
    show(hub, c, jpeg, HUB_LIVE_SHOWN);
    sio_buf_unref(jpeg);
}

static void get_first_picture(struct hub *hub, struct sio_str ip)
{
    struct first_picture *first = mem_new(struct first_picture);
    char key[HUB_KEY_MAX];

    if (!first) /* the next picture is the first */
        return;
    first->hub = hub;
    memcpy(first->ip, ip.ptr, ip.len);
    first->ip_len = ip.len;
    store_get(hub->store, hub_key(key, HUB_KEY_SNAPSHOT, ip), on_first_picture, first);
}

struct hub_live_camera *hub_live_open(struct hub *hub, struct sio_str ip)
{
    struct hub_live_camera *c = hub_live_find(hub, ip);
    bool unknown;

    if (c)
        return c;
    unknown = !hub_registry_find_camera(&hub->registry, ip);
    if (unknown && hub->live.n_unknown >= UNKNOWN_MAX)
        return NULL;
    c = new_camera(hub, ip);
    if (!c)
        return NULL;
    c->unknown = unknown;
    hub->live.n_unknown += unknown;
    if (!net_timer_running(&hub->live.tick) &&
        net_timer_start(&hub->live.tick, TICK_MS) < 0) {
        close_camera(hub, c);
        return NULL;
    }
    log_debug(hub->log, "ip=%s live view begins", c->ip);
    get_first_picture(hub, ip);
    want(hub, c);
    return c;
}

int hub_live_init(struct hub *hub)
{
    struct hub_live *live = &hub->live;

    map_init(&live->by_ip); /* names that anybody chooses: with a seed */
    map_init(&live->viewers);
    map_init(&live->given);
    net_timer_init(&live->tick, hub->loop, on_tick, hub);
    live->connecting = sio_buf_copy(connecting_jpg, sizeof(connecting_jpg));
    live->lost = sio_buf_copy(lost_jpg, sizeof(lost_jpg));
    if (!live->connecting || !live->lost || hub_live_http_init(hub) < 0 ||
        hub_live_events_init(hub) < 0)
        return SIO_ERR_NOMEM;
    return SIO_OK;
}

void hub_live_fini(struct hub *hub)
{
    struct hub_live *live = &hub->live;

    net_timer_stop(&live->tick);
    hub_live_http_fini(hub);
    while (!list_empty(&live->cameras)) {
        struct hub_live_camera *c =
            container_of(live->cameras.next, struct hub_live_camera, link);

        c->started_ms = 0; /* there is nobody to tell */
        close_camera(hub, c);
    }
    map_fini(&live->by_ip);
    sio_buf_unref(live->connecting);
    sio_buf_unref(live->lost);
}
