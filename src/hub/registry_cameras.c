/*
 * registry_cameras.c - the cameras of the registry
 */
#include <config.h>

#include "hub/registry.h"

#include <arpa/inet.h>

#include "base/buf.h"
#include "base/mem.h"
#include "base/utf8.h"

#define MIN_INTERVAL_MS 500
#define MAX_INTERVAL_MS 600000
#define MAX_BACKOFF     5     /* doublings of the time between two questions */
#define JPEG_MS         60000 /* a picture is kept as bytes for so long */

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

struct hub_nuc *hub_registry_agent_of(const struct hub_registry *r, struct sio_str ip)
{
    const struct hub_camera *c = hub_registry_find_camera(r, ip);

    if (c && !c->agent && c->nuc)
        return hub_registry_find_nuc(r, sio_str_from(c->nuc));
    return c ? c->agent : NULL;
}

void hub_registry_keep_jpeg(struct hub_camera *c, struct sio_buf *jpeg,
                            uint64_t version, uint64_t now_ms)
{
    hub_registry_drop_jpeg(c);
    c->jpeg = sio_buf_ref(jpeg);
    c->jpeg_version = version;
    c->jpeg_ms = now_ms;
}

void hub_registry_drop_jpeg(struct hub_camera *c)
{
    sio_buf_unref(c->jpeg);
    c->jpeg = NULL;
}

void hub_registry_drop_old_jpegs(struct hub_registry *r, uint64_t now_ms)
{
    struct hub_camera *c;

    list_for_each (c, struct hub_camera, link, &r->cameras)
        if (c->jpeg && now_ms - c->jpeg_ms >= JPEG_MS)
            hub_registry_drop_jpeg(c);
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

/*
 * The id that a camera has on every hub, without any of them asking another: of an IPv4
 * address its number, of a name a hash above all of these (53 bits: JSON's readers have
 * doubles).
 */
static uint64_t common_id(const struct hub_camera *c)
{
    uint64_t hash = 0xcbf29ce484222325; /* FNV-1a */
    struct in_addr v4;

    if (inet_pton(AF_INET, c->ip, &v4) == 1 && ntohl(v4.s_addr) >> 24 != 0)
        return ntohl(v4.s_addr);
    for (const char *p = c->ip; *p; p++)
        hash = (hash ^ (unsigned char)*p) * 0x100000001b3;
    return ((uint64_t)1 << 32) + (hash & (((uint64_t)1 << 52) - 1));
}

static struct hub_camera *camera_at(struct list *link)
{
    return container_of(link, struct hub_camera, link);
}

/* In order of id; where two names have the same one, the later takes the next free. */
static void place_camera(struct hub_registry *r, struct hub_camera *c)
{
    struct list *behind = r->cameras.prev;

    while (behind != &r->cameras && camera_at(behind)->id > c->id)
        behind = behind->prev;
    while (behind != &r->cameras && camera_at(behind)->id == c->id) {
        c->id++;
        if (behind->next != &r->cameras && camera_at(behind->next)->id == c->id)
            behind = behind->next;
    }
    list_prepend(behind, &c->link);
}

static struct hub_camera *new_camera(struct hub_registry *r, struct sio_str ip,
                                     uint64_t now_ms, bool configured)
{
    struct hub_camera *c = mem_alloc(sizeof(*c) + ip.len + 1);

    if (!c)
        return NULL;
    memcpy(c->ip, ip.ptr, ip.len);
    if (map_add(&r->cameras_by_ip, &c->node, (struct sio_str){c->ip, ip.len}) < 0) {
        mem_free(c);
        return NULL;
    }
    list_init(&c->agent_link);
    c->number = ++r->last_number;
    c->configured = configured;
    c->id = configured || r->hub[0] == '\0' ? c->number : common_id(c);
    place_camera(r, c);
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
    return new_camera(r, ip, now_ms, false);
}

void hub_registry_heard(struct hub_camera *c, struct hub_nuc *agent, bool picture,
                        uint64_t now_ms)
{
    uint64_t gap = now_ms - c->heard_ms;

    if (agent)
        hub_registry_set_agent(c, agent);
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
    if (!c->agent || hub_nuc_is_remote(c->agent) || now_ms - since <= patience)
        return false;
    c->asked_ms = now_ms;
    c->n_asked++;
    return true;
}

void hub_registry_set_agent(struct hub_camera *c, struct hub_nuc *agent)
{
    if (c->agent == agent)
        return;
    list_remove(&c->agent_link);
    c->agent = agent;
    if (agent)
        list_append(&agent->cameras, &c->agent_link);
}

static int add_configured(struct hub_registry *r,
                          const struct hub_camera_config *config)
{
    struct hub_camera *c = new_camera(r, sio_str_from(config->ip), 0, true);

    if (!c)
        return SIO_ERR_NOMEM;
    if (config->nombre)
        c->nombre = mem_strndup(config->nombre, strlen(config->nombre));
    if (config->nuc)
        c->nuc = mem_strndup(config->nuc, strlen(config->nuc));
    if ((config->nombre && !c->nombre) || (config->nuc && !c->nuc))
        return SIO_ERR_NOMEM;
    return SIO_OK;
}

int hub_registry_add_configured(struct hub_registry *r, const struct hub_config *config)
{
    int rv = SIO_OK;

    for (size_t i = 0; i < config->n_cameras && rv == SIO_OK; i++)
        rv = add_configured(r, &config->cameras[i]);
    return rv;
}

void hub_registry_drop_cameras(struct hub_registry *r)
{
    struct hub_camera *c;

    list_for_each (c, struct hub_camera, link, &r->cameras)
        free_camera(r, c);
}
