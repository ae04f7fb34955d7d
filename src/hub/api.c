#include <config.h>

#include <stdio.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/str.h"
#include "hub/hub_impl.h"
#include "hub/picture.h"

#define JSON_TYPE "application/json"

struct sio_str hub_key(char *key, const char *prefix, struct sio_str ip)
{
    size_t len = strlen(prefix);

    memcpy(key, prefix, len);
    memcpy(key + len, ip.ptr, ip.len);
    return (struct sio_str){key, len + ip.len};
}

/*
 * Replies.
 */

#define ERROR_BODY(text) SIO_STR("{\"success\":false,\"error\":\"" text "\"}")

struct sio_str hub_api_error_body(int status)
{
    switch (status) {
    case 400: return ERROR_BODY("Petición no válida");
    case 404: return ERROR_BODY("No encontrado");
    case 405: return ERROR_BODY("Método no permitido");
    case 408: return ERROR_BODY("Tiempo de espera agotado");
    case 413: return ERROR_BODY("Petición demasiado grande");
    case 414: return ERROR_BODY("Dirección demasiado larga");
    case 431: return ERROR_BODY("Cabeceras demasiado grandes");
    case 503: return ERROR_BODY("Servidor ocupado");
    default: return ERROR_BODY("Error interno");
    }
}

void hub_api_reply(struct http_request *r, struct wbuf *w)
{
    struct sio_buf *b = wbuf_take(w);
    struct sio_slice body;

    wbuf_fini(w);
    if (!b) {
        http_reply_error(r, 500, "Error interno");
        return;
    }
    body = sio_slice_of(b);
    http_reply_field(r, "Cache-Control", SIO_STR("no-store"));
    http_reply_compress(r, HUB_COMPRESS_MIN, NULL);
    http_reply(r, 200, JSON_TYPE, &body, 1);
    sio_buf_unref(b);
}

void hub_api_write_time(struct wbuf *w, int64_t wall_us)
{
    char text[CLOCK_LOCAL_SIZE];
    size_t len = clock_format_local(wall_us, text);

    json_write_string(w, (struct sio_str){text, len});
}

/*
 * /api/status, /api/nucs
 */

static void on_status(struct http_request *r, void *user)
{
    struct hub *hub = user;
    struct wbuf w;

    wbuf_init(&w, 1024);
    wbuf_addf(&w,
              "{\"status\":\"online\",\"arquitectura\":\"hikvision-style\","
              "\"nucs_conectados\":%zu,\"usar_config_file\":%s,\"timestamp\":",
              hub_registry_n_nucs(&hub->registry),
              hub->config->file ? "true" : "false");
    hub_api_write_time(&w, clock_wall_us());
    wbuf_add_byte(&w, '}');
    hub_api_reply(r, &w);
}

static void write_nuc(struct wbuf *w, const struct hub_nuc *nuc)
{
    wbuf_add_cstr(w, "{\"nuc_id\":");
    json_write_string(w, sio_str_from(nuc->id));
    wbuf_add_cstr(w, ",\"camaras\":");
    if (nuc->camaras)
        wbuf_add(w, nuc->camaras->data, nuc->camaras->len);
    else
        wbuf_add_cstr(w, "[]");
    wbuf_add_cstr(w, ",\"conectado\":true,\"connected_at\":");
    hub_api_write_time(w, nuc->connected_us);
    wbuf_addf(w, ",\"last_heartbeat\":%lld.%06d}",
              (long long)(nuc->heartbeat_us / 1000000),
              (int)(nuc->heartbeat_us % 1000000));
}

static void on_nucs(struct http_request *r, void *user)
{
    struct hub *hub = user;
    struct hub_nuc *nuc;
    const char *comma = "";
    struct wbuf w;

    wbuf_init(&w, HUB_REPLY_MAX);
    wbuf_add_cstr(&w, "{\"success\":true,\"nucs\":[");
    list_for_each (nuc, struct hub_nuc, link, &hub->registry.nucs) {
        wbuf_add_cstr(&w, comma);
        write_nuc(&w, nuc);
        comma = ",";
    }
    wbuf_addf(&w, "],\"total\":%zu}", hub_registry_n_nucs(&hub->registry));
    hub_api_reply(r, &w);
}

/*
 * A request that waits for the store.  The client may go away meanwhile.
 */

struct call {
    struct hub *hub;
    struct http_request *request; /* NULL: gone */
    char ip[HUB_ID_MAX];
    size_t ip_len;
    bool failed;     /* out of memory on the way */
    struct map rows; /* lists only */
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

/*
 * /api/camaras, /api/camaras/detectar
 */

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

static void on_error_listed(int status, const struct store_entry *entry, void *user)
{
    struct call *call = user;
    struct wbuf w;

    (void)status; /* without the errors there is less to say, but enough */
    if (entry) {
        add_entry(call, entry, strlen("estado:"), false);
        return;
    }
    if (call->request && call->failed) {
        http_reply_error(call->request, 500, "Error interno");
    } else if (call->request) {
        wbuf_init(&w, HUB_REPLY_MAX);
        call->write(call, &w);
        hub_api_reply(call->request, &w);
    }
    free_call(call);
}

static void on_picture_listed(int status, const struct store_entry *entry, void *user)
{
    struct call *call = user;

    (void)status; /* a store that is down has no pictures: an empty list */
    if (entry)
        add_entry(call, entry, strlen("snapshot:"), true);
    else
        store_list(call->hub->store, SIO_STR("estado:"), on_error_listed, call);
}

static bool is_fresh(const struct call *call, const struct row *row)
{
    return row && row->picture.buf && row->age_ms <= call->hub->config->stale_s * 1000;
}

static void write_raw(struct wbuf *w, struct sio_str raw, const char *otherwise)
{
    if (raw.ptr)
        wbuf_add_str(w, raw);
    else
        wbuf_add_cstr(w, otherwise);
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

    if (row && row->picture.buf)
        hub_picture_read(
            (struct sio_str){(const char *)row->picture.ptr, row->picture.len}, &p);
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
    wbuf_addf(w, "%s{\"id\":%u,\"ip\":", comma, c->id);
    json_write_string(w, sio_str_from(c->ip));
    wbuf_add_cstr(w, ",\"nombre\":");
    write_nombre(w, c);
    wbuf_add_cstr(w, ",\"estado\":");
    if (is_fresh(call, row))
        write_raw(w, p.estado, "\"activa\"");
    else
        wbuf_add_cstr(w, "\"sin_acceso\"");
    wbuf_add_cstr(w, ",\"nuc_id\":");
    write_raw(w, p.nuc_id, "null");
    wbuf_add_cstr(w, ",\"resolucion\":null,\"tiene_snapshot\":true,\"timestamp\":");
    write_raw(w, p.timestamp, "null");
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
        write_raw(w, p->nuc_id, "null");
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
    wbuf_addf(w, "%s{\"id\":%u,\"ip\":", comma, c->id);
    json_write_string(w, sio_str_from(c->ip));
    wbuf_add_cstr(w, ",\"nombre\":");
    write_nombre(w, c);
    wbuf_add_cstr(w, ",\"estado\":");
    if (!fresh)
        wbuf_add_cstr(w, "\"sin_acceso\"");
    else if (c->configured)
        wbuf_add_cstr(w, "\"activa\"");
    else
        write_raw(w, p.estado, "\"activa\"");
    wbuf_add_cstr(w, ",\"nuc_id\":");
    write_nuc_of(w, c, &p, fresh || !c->configured);
    wbuf_addf(
        w, ",\"configurada\":%s,\"resolucion\":null,\"tiene_snapshot\":%s,\"error\":",
        c->configured ? "true" : "false", p.image.ptr ? "true" : "false");
    write_raw(w, error, "null");
    wbuf_add_byte(w, '}');
    return true;
}

static const char *ip_local_of(const struct hub_nuc *nuc)
{
    return nuc->ip_local;
}

static const char *red_of(const struct hub_nuc *nuc)
{
    return nuc->red;
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
    store_list(hub->store, SIO_STR("snapshot:"), on_picture_listed, call);
}

static void on_camaras(struct http_request *r, void *user)
{
    list_cameras(r, user, write_camaras);
}

static void on_detectar(struct http_request *r, void *user)
{
    list_cameras(r, user, write_detectar);
}

/*
 * /api/camaras/<ip>/snapshot
 */

static void get_picture(struct http_request *r, struct hub *hub, store_get_cb cb)
{
    struct sio_str ip = http_request_param(r, 0);
    char key[HUB_KEY_MAX];
    struct call *call;

    if (ip.len > HUB_ID_MAX) {
        http_reply_error(r, 404, "No hay snapshot disponible");
        return;
    }
    call = new_call(r, hub);
    if (!call)
        return;
    memcpy(call->ip, ip.ptr, ip.len);
    call->ip_len = ip.len;
    store_get(hub->store, hub_key(key, "snapshot:", ip), cb, call);
}

/*
 * The image of what the store gave, text between the quotes; else answers.
 */
static bool read_image(struct http_request *r, int status,
                       const struct store_entry *entry, struct hub_picture *p,
                       struct sio_str *image)
{
    if (status == SIO_ERR_NOT_FOUND) {
        http_reply_error(r, 404, "No hay snapshot disponible");
        return false;
    }
    if (status < 0) {
        http_reply_error(r, 500, "Error al leer el snapshot");
        return false;
    }
    hub_picture_read((struct sio_str){(const char *)entry->value.ptr, entry->value.len},
                     p);
    if (!p->image.ptr || !json_string_plain(p->image, image) || image->len == 0) {
        http_reply_error(r, 404, "Snapshot sin imagen");
        return false;
    }
    return true;
}

static void reply_snapshot(struct call *call, const struct store_entry *entry,
                           const struct hub_picture *p, struct sio_str image)
{
    bool prefixed = str_starts(image, SIO_STR("data:"));
    bool fresh = entry->age_ms <= call->hub->config->stale_s * 1000;
    struct sio_slice body[3];
    struct wbuf head, tail;

    wbuf_init(&head, 4096);
    wbuf_init(&tail, 4096);
    wbuf_add_cstr(&head, "{\"success\":true,\"ip\":");
    json_write_string(&head, (struct sio_str){call->ip, call->ip_len});
    wbuf_add_cstr(&head,
                  prefixed ? ",\"image\":\"" : ",\"image\":\"data:image/jpeg;base64,");
    wbuf_add_cstr(&tail, "\",\"estado\":");
    if (fresh)
        write_raw(&tail, p->estado, "\"activa\"");
    else
        wbuf_add_cstr(&tail, "\"sin_acceso\"");
    wbuf_add_cstr(&tail, ",\"timestamp\":");
    write_raw(&tail, p->timestamp, "null");
    wbuf_add_byte(&tail, '}');
    if (head.error || tail.error) {
        http_reply_error(call->request, 500, "Error interno");
    } else {
        /* Borrowed bytes are copied, the image is not. */
        body[0] = (struct sio_slice){NULL, head.buf->data, head.len};
        body[1] =
            (struct sio_slice){entry->value.buf, (const uint8_t *)image.ptr, image.len};
        body[2] = (struct sio_slice){NULL, tail.buf->data, tail.len};
        http_reply_field(call->request, "Cache-Control", SIO_STR("no-store"));
        http_reply(call->request, 200, JSON_TYPE, body, N_ELEMENTS(body));
    }
    wbuf_fini(&head);
    wbuf_fini(&tail);
}

static void on_snapshot_found(int status, const struct store_entry *entry, void *user)
{
    struct call *call = user;
    struct hub_picture p;
    struct sio_str image;

    if (call->request && read_image(call->request, status, entry, &p, &image))
        reply_snapshot(call, entry, &p, image);
    free_call(call);
}

static void on_snapshot(struct http_request *r, void *user)
{
    get_picture(r, user, on_snapshot_found);
}

/*
 * /api/camaras/<ip>/snapshot.jpg
 */

/* True if the list of If-None-Match holds the tag (RFC 9110, 13.1.2). */
static bool lists_tag(struct sio_str list, struct sio_str tag)
{
    while (list.ptr) {
        struct sio_str item = str_trim(str_cut(&list, ','));

        if (str_starts(item, SIO_STR("W/")))
            item = (struct sio_str){item.ptr + 2, item.len - 2};
        if (str_eq(item, tag) || str_eq_cstr(item, "*"))
            return true;
    }
    return false;
}

/* True if the client has what it asks for (RFC 9110, 13.2.2). */
static bool is_unchanged(const struct http_request *r, struct sio_str tag,
                         int64_t time_s)
{
    struct sio_str field = http_request_field(r, "If-None-Match");

    if (field.ptr)
        return lists_tag(field, tag);
    field = http_request_field(r, "If-Modified-Since");
    return field.ptr && clock_parse_http(field.ptr, field.len) >= time_s;
}

/* The bytes, kept with the camera for the next request.  NULL: *error is set. */
static struct sio_buf *jpeg_of(struct call *call, const struct store_entry *entry,
                               struct sio_str image, int *error)
{
    struct sio_str ip = {call->ip, call->ip_len};
    struct hub_camera *c = hub_registry_find_camera(&call->hub->registry, ip);
    struct sio_buf *jpeg;

    if (c && c->jpeg && c->jpeg_version == entry->version)
        return sio_buf_ref(c->jpeg);
    jpeg = hub_image_jpeg(image, error);
    if (c && jpeg) {
        hub_registry_drop_jpeg(c);
        c->jpeg = sio_buf_ref(jpeg);
        c->jpeg_version = entry->version;
    }
    return jpeg;
}

static void add_validators(struct http_request *r, struct sio_str etag, int64_t time_s)
{
    char date[CLOCK_HTTP_SIZE];
    size_t len = clock_format_http(time_s, date);

    http_reply_field(r, "ETag", etag);
    http_reply_field(r, "Last-Modified", (struct sio_str){date, len});
    http_reply_field(r, "Cache-Control", SIO_STR("private, no-cache"));
}

static void reply_jpeg(struct call *call, const struct store_entry *entry,
                       struct sio_str image)
{
    struct http_request *r = call->request;
    char tag[64];
    struct sio_slice body;
    struct sio_buf *jpeg;
    int error = SIO_OK;
    int n = snprintf(tag, sizeof(tag), "\"%s-%llu\"", call->hub->boot,
                     (unsigned long long)entry->version);
    struct sio_str etag = {tag, (size_t)n};

    /* Who has the tag has the picture: nothing is decoded. */
    if (is_unchanged(r, etag, entry->time_s)) {
        add_validators(r, etag, entry->time_s);
        http_reply(r, 304, NULL, NULL, 0);
        return;
    }
    jpeg = jpeg_of(call, entry, image, &error);
    if (!jpeg) {
        if (error == SIO_ERR_PARSE)
            http_reply_error(r, 404, "La imagen no es un JPEG");
        else
            http_reply_error(r, 500, "Error interno");
        return;
    }
    add_validators(r, etag, entry->time_s);
    body = sio_slice_of(jpeg);
    http_reply(r, 200, "image/jpeg", &body, 1);
    sio_buf_unref(jpeg);
}

static void on_jpeg_found(int status, const struct store_entry *entry, void *user)
{
    struct call *call = user;
    struct hub_picture p;
    struct sio_str image;

    if (call->request && read_image(call->request, status, entry, &p, &image))
        reply_jpeg(call, entry, image);
    free_call(call);
}

static void on_jpeg(struct http_request *r, void *user)
{
    get_picture(r, user, on_jpeg_found);
}

/*
 * Routes.
 */

int hub_api_init(struct hub *hub)
{
    static const struct {
        const char *pattern;
        struct http_handler handler;
    } routes[] = {
        {"/api/status", {.on_request = on_status}},
        {"/api/nucs", {.on_request = on_nucs}},
        {"/api/camaras", {.on_request = on_camaras, .on_abort = on_abort}},
        {"/api/camaras/detectar", {.on_request = on_detectar, .on_abort = on_abort}},
        {"/api/camaras/:/snapshot", {.on_request = on_snapshot, .on_abort = on_abort}},
        {"/api/camaras/:/snapshot.jpg", {.on_request = on_jpeg, .on_abort = on_abort}},
    };

    for (size_t i = 0; i < N_ELEMENTS(routes); i++) {
        int rv = http_server_route(hub->http, HTTP_GET, routes[i].pattern,
                                   &routes[i].handler, hub);

        if (rv < 0)
            return rv;
    }
    return SIO_OK;
}
