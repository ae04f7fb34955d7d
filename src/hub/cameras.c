/*
 * cameras.c - GET /api/camaras, GET /api/camaras/detectar
 */
#include <config.h>

#include <stdio.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/json.h"
#include "base/mem.h"
#include "hub/hub_impl.h"
#include "hub/picture.h"

/*
 * A request that waits for the store.  The client may go away meanwhile.
 */

struct call {
    struct hub *hub;
    struct http_request *request; /* NULL: gone */
    bool failed;                  /* out of memory on the way */
    unsigned n_lists;             /* under way */
    struct map rows;
    void (*write)(struct call *call, struct wbuf *w);
};

/* What the store has of one camera. */
struct row {
    struct map_node node;
    struct sio_slice picture; /* held; buf NULL: none */
    struct sio_slice error;
    uint32_t age_ms; /* of the picture */
    char ip[];
};

static struct call *new_call(struct http_request *r, struct hub *hub)
{
    struct call *call = mem_new(struct call);

    if (!call) {
        http_reply_error(r, 500, "Error interno");
        return NULL;
    }
    call->hub = hub;
    call->request = r;
    map_init(&call->rows);
    http_request_set_data(r, call);
    return call;
}

static void free_call(struct call *call)
{
    struct map_pos pos;
    struct map_node *n;

    for (n = map_first(&call->rows, &pos); n; n = map_next(&call->rows, &pos)) {
        struct row *row = container_of(n, struct row, node);

        sio_buf_unref(row->picture.buf);
        sio_buf_unref(row->error.buf);
        mem_free(row);
    }
    map_fini(&call->rows);
    mem_free(call);
}

static void on_abort(struct http_request *r, void *user)
{
    struct call *call = http_request_data(r);

    (void)user;
    if (call)
        call->request = NULL;
}

static struct row *row_of(struct call *call, struct sio_str ip)
{
    struct map_node *n = map_find(&call->rows, ip);
    struct row *row;

    if (n)
        return container_of(n, struct row, node);
    row = mem_alloc(sizeof(*row) + ip.len + 1);
    if (!row)
        return NULL;
    memcpy(row->ip, ip.ptr, ip.len);
    if (map_add(&call->rows, &row->node, (struct sio_str){row->ip, ip.len}) < 0) {
        mem_free(row);
        return NULL;
    }
    return row;
}

/* Adds one entry of the store; the key is prefix and ip. */
static void add_entry(struct call *call, const struct store_entry *entry,
                      size_t prefix_len, bool picture)
{
    struct sio_str ip = {entry->key.ptr + prefix_len, entry->key.len - prefix_len};
    uint64_t now_ms = net_loop_now_ms(call->hub->loop);
    struct row *row = NULL;

    /* What other programs put there may be no camera of ours. */
    if (!hub_registry_check_ip(ip) ||
        !hub_registry_camera(&call->hub->registry, ip, now_ms))
        return;
    row = row_of(call, ip);
    if (!row ||
        sio_slice_hold(entry->value, picture ? &row->picture : &row->error) < 0) {
        call->failed = true;
        return;
    }
    if (picture)
        row->age_ms = entry->age_ms;
}

/* Pictures and errors are asked for at the same time: the store may be slow. */
static void end_list(struct call *call)
{
    struct wbuf w;

    if (--call->n_lists > 0)
        return;
    if (call->request && call->failed) {
        http_reply_error(call->request, 500, "Error interno");
    } else if (call->request) {
        wbuf_init(&w, HUB_REPLY_MAX);
        call->write(call, &w);
        hub_api_reply(call->request, &w);
    }
    free_call(call);
}

/* A store that is down has no pictures: an empty list. */
static void on_picture_listed(int status, const struct store_entry *entry, void *user)
{
    (void)status;
    if (entry)
        add_entry(user, entry, strlen(HUB_KEY_SNAPSHOT), true);
    else
        end_list(user);
}

/* Without the errors there is less to say, but enough. */
static void on_error_listed(int status, const struct store_entry *entry, void *user)
{
    (void)status;
    if (entry)
        add_entry(user, entry, strlen(HUB_KEY_ESTADO), false);
    else
        end_list(user);
}

static bool is_fresh(const struct call *call, const struct row *row)
{
    return row && row->picture.buf && row->age_ms <= call->hub->config->stale_s * 1000;
}

static void write_nombre(struct wbuf *w, const struct hub_camera *c)
{
    char text[16 + HUB_ID_MAX];

    if (c->nombre) {
        json_write_string(w, sio_str_from(c->nombre));
        return;
    }
    snprintf(text, sizeof(text), "Cámara %s", c->ip);
    json_write_string(w, sio_str_from(text));
}

static struct hub_picture picture_of(const struct row *row)
{
    struct hub_picture p = {0};
    struct sio_str text;

    if (row && row->picture.buf)
        hub_picture_read(
            (struct sio_str){(const char *)row->picture.ptr, row->picture.len}, &p);
    /* Another program may have stored what is none. */
    if (!hub_picture_image(&p, &text))
        p.image = (struct sio_str){NULL, 0};
    return p;
}

/* Calls write for each camera that it wants, in order of id; returns their number. */
static size_t write_cameras(struct call *call, struct wbuf *w,
                            bool (*write)(struct call *call, struct wbuf *w,
                                          const struct hub_camera *c,
                                          const struct row *row, const char *comma))
{
    struct hub_camera *c;
    size_t n = 0;

    list_for_each (c, struct hub_camera, link, &call->hub->registry.cameras) {
        struct map_node *node = map_find(&call->rows, sio_str_from(c->ip));
        struct row *row = node ? container_of(node, struct row, node) : NULL;

        if (write(call, w, c, row, n > 0 ? "," : ""))
            n++;
    }
    return n;
}

static bool write_listed(struct call *call, struct wbuf *w, const struct hub_camera *c,
                         const struct row *row, const char *comma)
{
    struct hub_picture p = picture_of(row);

    if (!p.image.ptr)
        return false;
    wbuf_addf(w, "%s{\"id\":%llu,\"ip\":", comma, (unsigned long long)c->id);
    json_write_string(w, sio_str_from(c->ip));
    wbuf_add_cstr(w, ",\"nombre\":");
    write_nombre(w, c);
    wbuf_add_cstr(w, ",\"estado\":");
    if (is_fresh(call, row))
        hub_api_write_raw(w, p.estado, "\"activa\"");
    else
        wbuf_add_cstr(w, "\"sin_acceso\"");
    wbuf_add_cstr(w, ",\"nuc_id\":");
    hub_api_write_raw(w, p.nuc_id, "null");
    wbuf_add_cstr(w, ",\"resolucion\":null,\"tiene_snapshot\":true,\"timestamp\":");
    hub_api_write_raw(w, p.timestamp, "null");
    wbuf_add_byte(w, '}');
    return true;
}

static void write_camaras(struct call *call, struct wbuf *w)
{
    size_t n;

    wbuf_add_cstr(w, "{\"success\":true,\"camaras\":[");
    n = write_cameras(call, w, write_listed);
    wbuf_addf(w, "],\"total\":%zu}", n);
}

/* The configured NUC, else that of a picture that counts. */
static void write_nuc_of(struct wbuf *w, const struct hub_camera *c,
                         const struct hub_picture *p, bool counts)
{
    if (c->nuc)
        json_write_string(w, sio_str_from(c->nuc));
    else if (counts)
        hub_api_write_raw(w, p->nuc_id, "null");
    else
        wbuf_add_cstr(w, "null");
}

static bool write_detected(struct call *call, struct wbuf *w,
                           const struct hub_camera *c, const struct row *row,
                           const char *comma)
{
    struct hub_picture p = picture_of(row);
    bool fresh = is_fresh(call, row);
    struct sio_str error = {NULL, 0};

    if (!c->configured && !p.image.ptr)
        return false;
    if (row && row->error.buf && !fresh)
        json_get((struct sio_str){(const char *)row->error.ptr, row->error.len},
                 "error", &error);
    wbuf_addf(w, "%s{\"id\":%llu,\"ip\":", comma, (unsigned long long)c->id);
    json_write_string(w, sio_str_from(c->ip));
    wbuf_add_cstr(w, ",\"nombre\":");
    write_nombre(w, c);
    wbuf_add_cstr(w, ",\"estado\":");
    if (!fresh)
        wbuf_add_cstr(w, "\"sin_acceso\"");
    else if (c->configured)
        wbuf_add_cstr(w, "\"activa\"");
    else
        hub_api_write_raw(w, p.estado, "\"activa\"");
    wbuf_add_cstr(w, ",\"nuc_id\":");
    write_nuc_of(w, c, &p, fresh || !c->configured);
    wbuf_addf(
        w, ",\"configurada\":%s,\"resolucion\":null,\"tiene_snapshot\":%s,\"error\":",
        c->configured ? "true" : "false", p.image.ptr ? "true" : "false");
    hub_api_write_raw(w, error, "null");
    wbuf_add_byte(w, '}');
    return true;
}

static const char *ip_local_of(const struct hub_nuc *nuc)
{
    return nuc->now->ip_local;
}

static const char *red_of(const struct hub_nuc *nuc)
{
    return nuc->now->red;
}

/* What the connected agents say of themselves, in one text that the app prints. */
static void write_networks(struct wbuf *w, const struct hub_registry *r,
                           const char *(*of)(const struct hub_nuc *nuc))
{
    const struct hub_nuc *nuc;
    struct wbuf text;

    wbuf_init(&text, HUB_REPLY_MAX);
    list_for_each (nuc, struct hub_nuc, link, &r->nucs) {
        if (of(nuc)[0] == '\0')
            continue;
        wbuf_add_cstr(&text, text.len > 0 ? ", " : "");
        wbuf_add_cstr(&text, of(nuc));
    }
    json_write_string(w, wbuf_str(&text));
    wbuf_fini(&text);
}

static void write_detectar(struct call *call, struct wbuf *w)
{
    const struct hub_config *config = call->hub->config;
    bool configured = config->file || config->n_cameras > 0;
    size_t n;

    wbuf_add_cstr(w, "{\"success\":true,\"camaras\":[");
    n = write_cameras(call, w, write_detected);
    /* Nothing is scanned: the networks are those that the agents told of. */
    wbuf_addf(w, "],\"total\":%zu,\"total_dispositivos\":%zu,\"ip_local\":", n, n);
    write_networks(w, &call->hub->registry, ip_local_of);
    wbuf_add_cstr(w, ",\"red\":");
    write_networks(w, &call->hub->registry, red_of);
    wbuf_addf(w, ",\"modo\":\"%s\",\"timestamp\":",
              configured ? "configurado" : "automatico");
    hub_api_write_time(w, clock_wall_us());
    wbuf_add_byte(w, '}');
}

static void list_cameras(struct http_request *r, struct hub *hub,
                         void (*write)(struct call *call, struct wbuf *w))
{
    struct call *call = new_call(r, hub);

    if (!call)
        return;
    call->write = write;
    call->n_lists = 2;
    store_list(hub->store, SIO_STR(HUB_KEY_SNAPSHOT), on_picture_listed, call);
    store_list(hub->store, SIO_STR(HUB_KEY_ESTADO), on_error_listed, call);
}

static void on_camaras(struct http_request *r, void *user)
{
    list_cameras(r, user, write_camaras);
}

static void on_detectar(struct http_request *r, void *user)
{
    list_cameras(r, user, write_detectar);
}

int hub_cameras_route(struct hub *hub)
{
    static const struct hub_route routes[] = {
        {HTTP_GET, "/api/camaras", {.on_request = on_camaras, .on_abort = on_abort}},
        {HTTP_GET,
         "/api/camaras/detectar",
         {.on_request = on_detectar, .on_abort = on_abort}},
    };

    return hub_api_add_routes(hub, routes, N_ELEMENTS(routes));
}
