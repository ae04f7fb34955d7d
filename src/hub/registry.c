#include <config.h>

#include "hub/registry.h"

#include <assert.h>

#include "base/buf.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/utf8.h"

#define MIN_INTERVAL_MS 500
#define MAX_INTERVAL_MS 600000
#define MAX_BACKOFF     5 /* doublings of the time between two questions */

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

static struct hub_nuc *new_nuc(struct hub_registry *r, struct sio_str id,
                               int64_t now_us)
{
    struct hub_nuc *nuc = mem_alloc(sizeof(*nuc) + id.len + 1);

    if (!nuc)
        return NULL;
    memcpy(nuc->id, id.ptr, id.len);
    if (map_add(&r->nucs_by_id, &nuc->node, (struct sio_str){nuc->id, id.len}) < 0) {
        mem_free(nuc);
        return NULL;
    }
    list_append(&r->nucs, &nuc->link);
    list_init(&nuc->sockets);
    list_init(&nuc->cameras);
    nuc->connected_us = now_us;
    return nuc;
}

static void free_nuc(struct hub_registry *r, struct hub_nuc *nuc)
{
    struct hub_nuc_socket *s;
    struct hub_camera *c;

    list_for_each (s, struct hub_nuc_socket, link, &nuc->sockets) {
        list_remove(&s->link);
        s->nuc = NULL;
    }
    list_for_each (c, struct hub_camera, agent_link, &nuc->cameras) {
        list_remove(&c->agent_link);
        c->agent = NULL;
    }
    map_remove(&r->nucs_by_id, &nuc->node);
    list_remove(&nuc->link);
    sio_buf_unref(nuc->camaras);
    mem_free(nuc);
}

struct hub_nuc *hub_registry_attach(struct hub_registry *r, struct hub_nuc_socket *s,
                                    struct sio_str id, int64_t now_us)
{
    struct hub_nuc *nuc = hub_registry_find_nuc(r, id);

    assert(!s->nuc);
    if (!nuc)
        nuc = new_nuc(r, id, now_us);
    if (!nuc)
        return NULL;
    nuc->heartbeat_us = now_us;
    s->nuc = nuc;
    list_append(&nuc->sockets, &s->link);
    return nuc;
}

void hub_registry_detach(struct hub_registry *r, struct hub_nuc_socket *s)
{
    struct hub_nuc *nuc = s->nuc;

    if (!nuc)
        return;
    list_remove(&s->link);
    s->nuc = NULL;
    if (list_empty(&nuc->sockets))
        free_nuc(r, nuc);
}

static void set_agent(struct hub_camera *c, struct hub_nuc *agent)
{
    if (c->agent == agent)
        return;
    list_remove(&c->agent_link);
    c->agent = agent;
    if (agent)
        list_append(&agent->cameras, &c->agent_link);
}

int hub_registry_set_camaras(struct hub_registry *r, struct hub_nuc *nuc,
                             struct sio_str camaras, uint64_t now_ms)
{
    struct json_iter it = json_iter(camaras);
    struct sio_str key, value, ip;
    struct sio_buf *copy;

    if (camaras.len > HUB_CAMARAS_MAX_BYTES)
        return SIO_ERR_TOO_BIG;
    copy = sio_buf_copy(camaras.ptr, camaras.len);
    if (!copy)
        return SIO_ERR_NOMEM;
    sio_buf_unref(nuc->camaras);
    nuc->camaras = copy;
    if (json_type(camaras) != JSON_ARRAY)
        return SIO_OK;
    while (json_next(&it, &key, &value)) {
        struct hub_camera *c;

        if (json_type(value) != JSON_STRING || !json_string_plain(value, &ip) ||
            !hub_registry_check_ip(ip))
            continue;
        c = hub_registry_camera(r, ip, now_ms);
        if (!c)
            break;
        set_agent(c, nuc);
        c->heard_ms = now_ms;
        c->n_asked = 0;
        c->asked_ms = 0;
    }
    return SIO_OK;
}

/*
 * Cameras.
 */

bool hub_registry_check_ip(struct sio_str ip)
{
    if (ip.len == 0 || ip.len > HUB_ID_MAX || !utf8_check(ip.ptr, ip.len))
        return false;
    for (size_t i = 0; i < ip.len; i++)
        if ((unsigned char)ip.ptr[i] < 0x20 || ip.ptr[i] == '/' || ip.ptr[i] == 0x7f)
            return false;
    return true;
}

struct hub_camera *hub_registry_find_camera(const struct hub_registry *r,
                                            struct sio_str ip)
{
    struct map_node *n = map_find(&r->cameras_by_ip, ip);

    return n ? container_of(n, struct hub_camera, node) : NULL;
}

void hub_registry_drop_jpeg(struct hub_camera *c)
{
    sio_buf_unref(c->jpeg);
    c->jpeg = NULL;
}

static void free_camera(struct hub_registry *r, struct hub_camera *c)
{
    map_remove(&r->cameras_by_ip, &c->node);
    list_remove(&c->link);
    list_remove(&c->agent_link);
    hub_registry_drop_jpeg(c);
    mem_free(c->nombre);
    mem_free(c->nuc);
    mem_free(c);
}

static struct hub_camera *new_camera(struct hub_registry *r, struct sio_str ip,
                                     uint64_t now_ms)
{
    struct hub_camera *c = mem_alloc(sizeof(*c) + ip.len + 1);

    if (!c)
        return NULL;
    memcpy(c->ip, ip.ptr, ip.len);
    if (map_add(&r->cameras_by_ip, &c->node, (struct sio_str){c->ip, ip.len}) < 0) {
        mem_free(c);
        return NULL;
    }
    list_append(&r->cameras, &c->link);
    list_init(&c->agent_link);
    c->id = ++r->last_id;
    c->heard_ms = now_ms;
    c->interval_ms = r->default_interval_ms;
    return c;
}

static bool make_room(struct hub_registry *r)
{
    struct hub_camera *oldest = NULL;
    struct hub_camera *c;

    list_for_each (c, struct hub_camera, link, &r->cameras)
        if (!c->configured && !c->agent && (!oldest || c->heard_ms < oldest->heard_ms))
            oldest = c;
    if (oldest)
        free_camera(r, oldest);
    return oldest != NULL;
}

struct hub_camera *hub_registry_camera(struct hub_registry *r, struct sio_str ip,
                                       uint64_t now_ms)
{
    struct hub_camera *c = hub_registry_find_camera(r, ip);

    if (c)
        return c;
    if (r->cameras_by_ip.n_items >= r->max_cameras && !make_room(r))
        return NULL;
    return new_camera(r, ip, now_ms);
}

void hub_registry_heard(struct hub_camera *c, struct hub_nuc *agent, bool picture,
                        uint64_t now_ms)
{
    uint64_t gap = now_ms - c->heard_ms;

    if (agent)
        set_agent(c, agent);
    /* An answer to a question says nothing about the agent's own pace. */
    if (picture && c->asked_ms == 0 && gap >= MIN_INTERVAL_MS && gap <= MAX_INTERVAL_MS)
        c->interval_ms = (uint32_t)((c->interval_ms * 3 + gap) / 4);
    c->heard_ms = now_ms;
    c->asked_ms = 0;
    c->n_asked = 0;
}

bool hub_registry_should_ask(struct hub_camera *c, uint64_t now_ms)
{
    uint64_t patience = (uint64_t)c->interval_ms * 2;
    uint64_t since = c->asked_ms > 0 ? c->asked_ms : c->heard_ms;

    /* A camera that stays silent is asked less and less often. */
    if (c->asked_ms > 0)
        patience <<= c->n_asked < MAX_BACKOFF ? c->n_asked : MAX_BACKOFF;
    if (!c->agent || now_ms - since <= patience)
        return false;
    c->asked_ms = now_ms;
    c->n_asked++;
    return true;
}

/*
 * Begin and end.
 */

static int add_configured(struct hub_registry *r,
                          const struct hub_camera_config *config)
{
    struct hub_camera *c = new_camera(r, sio_str_from(config->ip), 0);

    if (!c)
        return SIO_ERR_NOMEM;
    c->configured = true;
    if (config->nombre)
        c->nombre = mem_strndup(config->nombre, strlen(config->nombre));
    if (config->nuc)
        c->nuc = mem_strndup(config->nuc, strlen(config->nuc));
    if ((config->nombre && !c->nombre) || (config->nuc && !c->nuc))
        return SIO_ERR_NOMEM;
    return SIO_OK;
}

int hub_registry_init(struct hub_registry *r, const struct hub_config *config)
{
    *r = (struct hub_registry){
        .max_cameras = (size_t)config->max_cameras,
        .default_interval_ms = (uint32_t)config->interval_s * 1000,
    };
    map_init(&r->nucs_by_id);
    map_init(&r->cameras_by_ip);
    list_init(&r->nucs);
    list_init(&r->cameras);
    for (size_t i = 0; i < config->n_cameras; i++)
        if (add_configured(r, &config->cameras[i]) < 0)
            return SIO_ERR_NOMEM;
    return SIO_OK;
}

void hub_registry_fini(struct hub_registry *r)
{
    struct hub_camera *c;
    struct hub_nuc *nuc;

    list_for_each (nuc, struct hub_nuc, link, &r->nucs)
        free_nuc(r, nuc);
    list_for_each (c, struct hub_camera, link, &r->cameras)
        free_camera(r, c);
    map_fini(&r->nucs_by_id);
    map_fini(&r->cameras_by_ip);
}
