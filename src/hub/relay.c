#include <config.h>

#include "hub/relay.h"

#include <limits.h>
#include <stdio.h>
#include <unistd.h>

#include "base/json.h"
#include "base/mem.h"
#include "base/str.h"
#include "cluster/cluster.h"
#include "hub/hub_impl.h"

/*
 * Pictures and errors that were written here: the others are told.
 */

/* What was written is read from memory: the store tells only its name. */
struct written {
    struct hub *hub;
    bool picture;
    size_t ip_len;
    char ip[HUB_ID_MAX + 1];
};

static uint64_t hash(const void *bytes, size_t len, uint64_t h) /* FNV-1a */
{
    const uint8_t *p = bytes;

    for (size_t i = 0; i < len; i++)
        h = (h ^ p[i]) * 0x100000001b3;
    return h;
}

static uint64_t small(uint64_t h)
{
    return (h & (HUB_WIRE_MAX_INT - 1)) | 1; /* never 0 */
}

/*
 * A fetched picture may be a newer one than its notice told of, so each is shown once only
 * if it is known again: by its end, where agents put the time.
 */
static uint64_t tag_of(struct sio_slice value)
{
    size_t n = value.len < 512 ? value.len : 512;

    return small(hash(value.ptr + value.len - n, n, 0xcbf29ce484222325 ^ value.len));
}

/* No two puts of any hub have the same one, though the pictures may be. */
static uint64_t put_of(const struct hub *hub, uint64_t version)
{
    return small(hash(&version, sizeof(version), hash(hub->boot, RANDOM_ID_LEN, 1)));
}

static void send_notice(const struct written *written, const struct store_entry *entry)
{
    struct hub *hub = written->hub;
    struct hub_camera *c =
        hub_registry_find_camera(&hub->registry, sio_str_from(written->ip));
    struct sio_str text = {(const char *)entry->value.ptr, entry->value.len};
    struct sio_str error;
    struct wbuf w;
    int rv;

    hub_peers_begin(&hub->peers, &w,
                    written->picture ? HUB_WIRE_PICTURE : HUB_WIRE_ERROR);
    hub_wire_text(&w, "ip", written->ip);
    if (c && c->agent)
        hub_wire_text(&w, "nuc", c->agent->id);
    if (written->picture) {
        hub_wire_number(&w, "tag", tag_of(entry->value));
        hub_wire_number(&w, "put", put_of(hub, entry->version));
        if (hub->config->cluster_pictures == HUB_PICTURES_ALL)
            hub_wire_true(&w, "shown");
    } else if (json_get(text, "error", &error) && json_type(error) == JSON_STRING &&
               error.len <= HUB_WIRE_ERROR_MAX) {
        wbuf_add_cstr(&w, ",\"error\":");
        wbuf_add_str(&w, error);
    }
    rv = hub_peers_send(&hub->peers, NULL, &w);
    if (c)
        c->untold[written->picture] = rv < 0;
}

static void on_written_read(int status, const struct store_entry *entry, void *user)
{
    struct written *written = user;

    if (status == SIO_OK && entry->value.len > 0 && !written->hub->peers.stopped)
        send_notice(written, entry);
    mem_free(written);
}

void hub_relay_written(struct sio_str key, void *user)
{
    struct hub *hub = user;
    bool picture = str_starts(key, SIO_STR(HUB_KEY_SNAPSHOT));
    size_t skip = strlen(picture ? HUB_KEY_SNAPSHOT : HUB_KEY_ESTADO);
    struct written *written;

    if (!hub->cluster || hub->peers.stopped || key.len <= skip ||
        key.len - skip > HUB_ID_MAX)
        return;
    written = mem_new(struct written);
    if (!written) /* the next picture is told of */
        return;
    written->hub = hub;
    written->picture = picture;
    written->ip_len = key.len - skip;
    memcpy(written->ip, key.ptr + skip, written->ip_len);
    store_get(hub->store, key, on_written_read, written);
}

/*
 * Pictures and errors of other hubs.
 */

struct fetch {
    struct hub *hub;
    struct hub_notice notice;
    char ip[HUB_ID_MAX + 1];
};

static void fetch(struct hub *hub, struct hub_camera *c, struct hub_notice notice);

static void on_fetched(int status, const struct store_entry *entry, void *user)
{
    struct fetch *f = user;
    struct hub *hub = f->hub;
    struct hub_notice notice = f->notice, next;
    struct hub_camera *c =
        hub_registry_find_camera(&hub->registry, sio_str_from(f->ip));
    uint64_t tag = status == SIO_OK ? tag_of(entry->value) : 0;

    mem_free(f);
    if (!c || !c->fetching || hub->peers.stopped)
        return;
    next = c->next;
    c->fetching = false;
    c->next = (struct hub_notice){0, 0};
    if (tag != 0 && tag == next.tag) {
        notice = next;
        next.tag = 0;
    }
    /* One that is shown already came again in place of the notice's. */
    if (tag != 0 && (tag == notice.tag || tag != c->shown.tag)) {
        c->shown = tag == notice.tag ? notice : (struct hub_notice){tag, 0};
        hub_arrivals_show(hub, c, entry->value);
    }
    if (next.tag != 0)
        fetch(hub, c, next);
}

/* One at a time for each camera; meanwhile only the newest notice is remembered. */
static void fetch(struct hub *hub, struct hub_camera *c, struct hub_notice notice)
{
    char key[HUB_KEY_MAX];
    struct fetch *f;

    if (c->fetching) {
        c->next = notice;
        return;
    }
    f = mem_new(struct fetch);
    if (!f)
        return;
    f->hub = hub;
    f->notice = notice;
    memcpy(f->ip, c->ip, strlen(c->ip) + 1);
    c->fetching = true;
    store_get(hub->store, hub_key(key, HUB_KEY_SNAPSHOT, sio_str_from(c->ip)),
              on_fetched, f);
}

/* What was fetched last turns out to be this one. */
static bool is_shown(struct hub_camera *c, const struct hub_notice *notice)
{
    if (c->shown.put == 0 && c->shown.tag == notice->tag)
        c->shown.put = notice->put;
    return notice->put != 0 && c->shown.put == notice->put;
}

/* Live view of another hub's agent has its own way. */
static bool is_wanted(struct hub *hub, const struct hub_wire_msg *m)
{
    const struct hub_live_camera *live = hub_live_find(hub, sio_str_from(m->ip));

    return (!m->shown && hub_arrivals_have_viewers(hub)) || (live && !live->remote);
}

static struct hub_camera *heard(struct hub *hub, const struct hub_wire_msg *m)
{
    struct hub_nuc *nuc = hub_registry_find_nuc(&hub->registry, sio_str_from(m->nuc));
    struct hub_camera *c = hub_arrivals_camera(hub, m->ip);

    if (c)
        hub_registry_heard(c, nuc, m->type == HUB_WIRE_PICTURE,
                           net_loop_now_ms(hub->loop));
    return c;
}

static void on_picture(struct hub *hub, const struct hub_wire_msg *m)
{
    struct sio_str ip = sio_str_from(m->ip);
    char key[HUB_KEY_MAX];
    struct hub_camera *c;

    store_stale(hub->store, hub_key(key, HUB_KEY_SNAPSHOT, ip));
    c = heard(hub, m);
    if (!c)
        return;
    hub_registry_drop_jpeg(c);
    if (is_wanted(hub, m) && !is_shown(c, &m->notice))
        fetch(hub, c, m->notice);
    hub_snapshot_arrived(hub, ip);
}

static void on_error(struct hub *hub, const struct hub_wire_msg *m)
{
    struct sio_str ip = sio_str_from(m->ip);
    char key[HUB_KEY_MAX];

    store_stale(hub->store, hub_key(key, HUB_KEY_ESTADO, ip));
    if (!heard(hub, m))
        return;
    hub_live_snapshot_failed(hub, ip);
    hub_snapshot_failed(hub, ip, m->error);
}

/*
 * Questions to agents.
 */

int hub_relay_capture(struct hub *hub, const struct hub_nuc *nuc, struct sio_str ip)
{
    char text[HUB_ID_MAX + 1];
    struct wbuf w;

    if (ip.len > HUB_ID_MAX)
        return SIO_ERR_INVAL;
    memcpy(text, ip.ptr, ip.len);
    text[ip.len] = '\0';
    hub_peers_begin(&hub->peers, &w, HUB_WIRE_CAPTURE);
    hub_wire_text(&w, "nuc", nuc->id);
    hub_wire_text(&w, "ip", text);
    return hub_peers_send(&hub->peers, nuc->now->peer, &w);
}

static void on_capture(struct hub *hub, const struct hub_wire_msg *m)
{
    struct hub_nuc *nuc = hub_registry_find_nuc(&hub->registry, sio_str_from(m->nuc));

    /* Where it has moved on meanwhile, who asked hears of that too. */
    if (nuc && !hub_nuc_is_remote(nuc))
        hub_live_send_capture(hub, nuc, sio_str_from(m->ip));
}

/*
 * Between peers.c and the rest of the hub.
 */

void hub_relay_nuc(struct hub *hub, const struct hub_nuc *nuc)
{
    if (hub->cluster)
        hub_peers_tell(&hub->peers, nuc);
}

void hub_relay_nuc_goes(struct hub *hub, const struct hub_nuc *nuc)
{
    if (hub->cluster)
        hub_peers_tell_gone(&hub->peers, nuc);
}

static void on_message(struct hub_peer *from, const struct hub_wire_msg *m, void *user)
{
    struct hub *hub = user;

    switch (m->type) {
    case HUB_WIRE_PICTURE: on_picture(hub, m); break;
    case HUB_WIRE_ERROR: on_error(hub, m); break;
    case HUB_WIRE_CAPTURE: on_capture(hub, m); break;
    default: hub_relay_live_message(hub, from, m); break;
    }
}

/* What others wrote meanwhile was not heard, nor what this hub wrote. */
static void on_up(void *user)
{
    static const char *const kinds[] = {HUB_KEY_ESTADO, HUB_KEY_SNAPSHOT};
    struct hub *hub = user;
    struct hub_camera *c;
    char text[HUB_KEY_MAX];

    list_for_each (c, struct hub_camera, link, &hub->registry.cameras) {
        for (size_t i = 0; i < N_ELEMENTS(kinds); i++) {
            struct sio_str key = hub_key(text, kinds[i], sio_str_from(c->ip));

            if (c->untold[i])
                hub_relay_written(key, hub);
            else if (!c->agent || hub_nuc_is_remote(c->agent))
                store_stale(hub->store, key);
        }
        hub_registry_drop_jpeg(c);
    }
}

static void on_left(void *user)
{
    hub_snapshot_give_up(user);
}

static void on_gone(struct hub_peer *peer, void *user)
{
    hub_relay_live_gone(user, peer);
}

static void on_moved(struct hub_nuc *nuc, void *user)
{
    hub_relay_live_moved(user, nuc);
    if (hub_nuc_is_remote(nuc)) /* here, once it has registered */
        hub_snapshot_ask_again(user, nuc);
}

/* The configured name, or the beginning of the host's, as it can be part of a sid. */
static void choose_name(struct hub *hub)
{
    char host[HOST_NAME_MAX + 1] = "";
    const char *name = hub->config->cluster_name;

    if (!name && gethostname(host, sizeof(host)) == 0)
        name = host;
    snprintf(hub->cluster_name, sizeof(hub->cluster_name), "%.*s", HUB_WIRE_NAME_MAX,
             name && name[0] != '\0' ? name : "hub");
    for (char *p = hub->cluster_name; *p; p++)
        if (!hub_config_is_cluster_name_char(*p))
            *p = '-';
}

/* Of the cameras, in their order: the ids are made of it. */
static uint64_t fingerprint(const struct hub_config *config)
{
    uint64_t h = 1;

    for (size_t i = 0; i < config->n_cameras; i++) {
        const struct hub_camera_config *c = &config->cameras[i];
        const char *const texts[] = {c->ip, c->nombre, c->nuc};

        for (size_t t = 0; t < N_ELEMENTS(texts); t++)
            h = hash(texts[t] ? texts[t] : "", texts[t] ? strlen(texts[t]) + 1 : 1, h);
    }
    return small(h);
}

int hub_relay_connect(struct hub *hub, struct sio_diag *diag)
{
    const struct hub_config *config = hub->config;
    const struct sio_cluster_options opts = {
        .redis_url = config->redis_url,
        .key = config->cluster_key,
        .mode = config->cluster == HUB_CLUSTER_SHARDED ? SIO_CLUSTER_SHARDED
                                                       : SIO_CLUSTER_PUBSUB,
        .subscriptions = (enum sio_cluster_subscriptions)config->cluster_subscriptions,
        .python_channel = config->cluster_python,
    };

    if (config->cluster == HUB_CLUSTER_OFF)
        return SIO_OK;
    choose_name(hub);
    hub->cluster = sio_cluster_new(hub->loop, &opts, diag);
    return hub->cluster ? SIO_OK : SIO_ERR_INVAL;
}

int hub_relay_begin(struct hub *hub, struct sio_diag *diag)
{
    static const struct hub_peers_ops ops = {
        .on_up = on_up,
        .on_left = on_left,
        .on_gone = on_gone,
        .on_message = on_message,
    };
    const char *key = hub->config->cluster_key ? hub->config->cluster_key : "socket.io";
    struct hub_peers_options opts = {
        .registry = &hub->registry,
        .ops = &ops,
        .user = hub,
        .key = key,
        .id = hub->boot,
        .name = hub->cluster_name,
        .config = fingerprint(hub->config),
    };

    if (!hub->cluster)
        return SIO_OK;
    opts.bus = sio_cluster_bus(hub->cluster);
    hub->registry.on_moved = on_moved;
    hub->registry.moved_user = hub;
    if (hub_peers_init(&hub->peers, hub->loop, &opts) < 0)
        return sio_diag_set(diag, SIO_ERR_NOMEM, "out of memory");
    log_info(hub->log, "cluster name=%s id=%s key=%s", hub->cluster_name, hub->boot,
             key);
    return SIO_OK;
}

void hub_relay_stop(struct hub *hub)
{
    if (hub->cluster)
        hub_peers_stop(&hub->peers);
}

void hub_relay_fini(struct hub *hub)
{
    if (!hub->cluster)
        return;
    hub_peers_fini(&hub->peers);
    hub->peers.stopped = true;
    hub->registry.on_moved = NULL;
}
