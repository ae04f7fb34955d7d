#include <config.h>

#include <stdio.h>

#include "base/clock.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/str.h"
#include "hub/hub_impl.h"
#include "hub/picture.h"

/* A camera has this long to give a fresh picture. */
#define FRESH_TIMEOUT_MS 20000

/*
 * A request that waits: for the store, or before that for a fresh picture.  The client
 * may go away meanwhile.
 */
struct snapshot_call {
    struct hub *hub;
    struct http_request *request; /* NULL: gone */
    struct list link;             /* in hub.waiting, while it waits for a picture */
    struct net_timer deadline;
    char ip[HUB_ID_MAX];
    size_t ip_len;
};

static struct sio_str ip_of(const struct snapshot_call *call)
{
    return (struct sio_str){call->ip, call->ip_len};
}

static void free_call(struct snapshot_call *call)
{
    list_remove(&call->link);
    net_timer_stop(&call->deadline);
    mem_free(call);
}

static void on_abort(struct http_request *r, void *user)
{
    struct snapshot_call *call = http_request_data(r);

    (void)user;
    if (!call)
        return;
    call->request = NULL;
    /* Who waits for a picture only is not waited for. */
    if (!list_empty(&call->link))
        free_call(call);
}

static void fail(struct snapshot_call *call, int status, struct sio_str error)
{
    struct http_request *r = call->request;
    struct wbuf w;

    http_request_set_data(r, NULL);
    free_call(call);
    wbuf_init(&w, HUB_REPLY_MAX);
    wbuf_add_cstr(&w, "{\"success\":false,\"error\":");
    hub_api_write_raw(&w, error, "\"La cámara no dio una imagen\"");
    wbuf_add_byte(&w, '}');
    if (w.error < 0)
        http_reply_error(r, 500, "Error interno");
    else
        http_reply_bytes(r, status, "application/json", wbuf_str(&w).ptr, w.len);
    wbuf_fini(&w);
}

static void on_deadline(struct net_timer *timer, void *user)
{
    (void)timer;
    fail(user, 504, SIO_STR("\"La cámara no respondió a tiempo\""));
}

/* NULL: answered. */
static struct snapshot_call *new_call(struct http_request *r, struct hub *hub)
{
    struct sio_str ip = http_request_param(r, 0);
    struct snapshot_call *call;

    if (!hub_registry_check_ip(ip)) {
        http_reply_error(r, 404, "No hay snapshot disponible");
        return NULL;
    }
    call = mem_new(struct snapshot_call);
    if (!call) {
        http_reply_error(r, 500, "Error interno");
        return NULL;
    }
    call->hub = hub;
    call->request = r;
    list_init(&call->link);
    net_timer_init(&call->deadline, hub->loop, on_deadline, call);
    memcpy(call->ip, ip.ptr, ip.len);
    call->ip_len = ip.len;
    http_request_set_data(r, call);
    return call;
}

static void get_picture(struct snapshot_call *call, store_get_cb cb)
{
    char key[HUB_KEY_MAX];

    store_get(call->hub->store, hub_key(key, HUB_KEY_SNAPSHOT, ip_of(call)), cb, call);
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
    if (status == SIO_ERR_TIMEOUT) {
        http_reply_error(r, 503, "El almacén no responde a tiempo");
        return false;
    }
    if (status < 0) {
        http_reply_error(r, 500,
                         status == SIO_ERR_PARSE ? "Error al procesar snapshot"
                                                 : "Error al leer el snapshot");
        return false;
    }
    hub_picture_read((struct sio_str){(const char *)entry->value.ptr, entry->value.len},
                     p);
    if (!hub_picture_image(p, image)) {
        http_reply_error(r, 404, "Snapshot sin imagen");
        return false;
    }
    return true;
}

static void reply_snapshot(struct snapshot_call *call, const struct store_entry *entry,
                           const struct hub_picture *p, struct sio_str image)
{
    bool prefixed = str_starts(image, SIO_STR("data:"));
    bool fresh = entry->age_ms <= call->hub->config->stale_s * 1000;
    struct sio_slice body[3];
    struct wbuf head, tail;

    wbuf_init(&head, 4096);
    wbuf_init(&tail, 4096);
    wbuf_add_cstr(&head, "{\"success\":true,\"ip\":");
    json_write_string(&head, ip_of(call));
    wbuf_add_cstr(&head,
                  prefixed ? ",\"image\":\"" : ",\"image\":\"data:image/jpeg;base64,");
    wbuf_add_cstr(&tail, "\",\"estado\":");
    if (fresh)
        hub_api_write_raw(&tail, p->estado, "\"activa\"");
    else
        wbuf_add_cstr(&tail, "\"sin_acceso\"");
    wbuf_add_cstr(&tail, ",\"timestamp\":");
    hub_api_write_raw(&tail, p->timestamp, "null");
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
        http_reply(call->request, 200, "application/json", body, N_ELEMENTS(body));
    }
    wbuf_fini(&head);
    wbuf_fini(&tail);
}

static void on_snapshot_found(int status, const struct store_entry *entry, void *user)
{
    struct snapshot_call *call = user;
    struct hub_picture p;
    struct sio_str image;

    if (call->request && read_image(call->request, status, entry, &p, &image))
        reply_snapshot(call, entry, &p, image);
    free_call(call);
}

/*
 * A fresh one: the agent is asked, and whoever waits is answered when it comes.
 */

/* Somebody waits already: then the agent has been asked. */
static bool is_asked(const struct hub *hub, struct sio_str ip)
{
    const struct snapshot_call *call;

    list_for_each (call, struct snapshot_call, link, &hub->waiting)
        if (str_eq(ip_of(call), ip))
            return true;
    return false;
}

/* Who cannot be asked, or cannot answer any more, is not waited for.  True: answered. */
static bool fail_if_vain(struct snapshot_call *call)
{
    const struct hub *hub = call->hub;
    const struct hub_nuc *nuc = hub_registry_agent_of(&hub->registry, ip_of(call));

    if (!nuc)
        fail(call, 503, SIO_STR("\"El NUC de la cámara no está conectado\""));
    else if (hub_nuc_is_remote(nuc) && !hub_peers_up(&hub->peers))
        fail(call, 503, SIO_STR("\"No hay conexión con el hub de la cámara\""));
    else
        return false;
    return true;
}

static void wait_for_fresh(struct snapshot_call *call)
{
    struct hub *hub = call->hub;
    bool asked = is_asked(hub, ip_of(call));

    if (fail_if_vain(call))
        return;
    if ((!asked &&
         hub_live_send_capture(hub, hub_registry_agent_of(&hub->registry, ip_of(call)),
                               ip_of(call)) < 0) ||
        net_timer_start(&call->deadline, FRESH_TIMEOUT_MS) < 0) {
        fail(call, 500, SIO_STR("\"Error interno\""));
        return;
    }
    list_append(&hub->waiting, &call->link);
}

/* Takes who waits for this camera off the list, one by one; NULL: no more. */
static struct snapshot_call *next_waiting(struct hub *hub, struct sio_str ip)
{
    struct snapshot_call *call;

    list_for_each (call, struct snapshot_call, link, &hub->waiting) {
        if (!str_eq(ip_of(call), ip))
            continue;
        list_remove(&call->link);
        net_timer_stop(&call->deadline);
        return call;
    }
    return NULL;
}

void hub_snapshot_arrived(struct hub *hub, struct sio_str ip)
{
    struct snapshot_call *call;

    while ((call = next_waiting(hub, ip)) != NULL)
        get_picture(call, on_snapshot_found);
}

void hub_snapshot_failed(struct hub *hub, struct sio_str ip, struct sio_str error)
{
    struct snapshot_call *call;

    while ((call = next_waiting(hub, ip)) != NULL)
        fail(call, 502, error);
}

void hub_snapshot_give_up(struct hub *hub)
{
    struct snapshot_call *call;

    list_for_each (call, struct snapshot_call, link, &hub->waiting)
        fail_if_vain(call);
}

static bool is_first_of_its_camera(const struct snapshot_call *call)
{
    const struct list *waiting = &call->hub->waiting;

    for (const struct list *l = call->link.prev; l != waiting; l = l->prev)
        if (str_eq(ip_of(container_of(l, struct snapshot_call, link)), ip_of(call)))
            return false;
    return true;
}

void hub_snapshot_ask_again(struct hub *hub, struct hub_nuc *nuc)
{
    const struct snapshot_call *call;

    list_for_each (call, struct snapshot_call, link, &hub->waiting)
        if (hub_registry_agent_of(&hub->registry, ip_of(call)) == nuc &&
            is_first_of_its_camera(call))
            hub_live_send_capture(hub, nuc, ip_of(call));
}

static void on_snapshot(struct http_request *r, void *user)
{
    struct snapshot_call *call = new_call(r, user);
    struct sio_str fresh;

    if (!call)
        return;
    /* No picture is taken for who does not want to see it. */
    if (!http_request_is_head(r) && http_request_query_get(r, "fresh", &fresh) &&
        str_eq_cstr(fresh, "1"))
        wait_for_fresh(call);
    else
        get_picture(call, on_snapshot_found);
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
static struct sio_buf *jpeg_of(struct snapshot_call *call,
                               const struct store_entry *entry, struct sio_str image,
                               int *error)
{
    struct sio_str ip = {call->ip, call->ip_len};
    struct hub_camera *c = hub_registry_find_camera(&call->hub->registry, ip);
    struct sio_buf *jpeg;

    if (c && c->jpeg && c->jpeg_version == entry->version)
        return sio_buf_ref(c->jpeg);
    jpeg = hub_image_jpeg(image, error);
    if (c && jpeg)
        hub_registry_keep_jpeg(c, jpeg, entry->version,
                               net_loop_now_ms(call->hub->loop));
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

static void reply_jpeg(struct snapshot_call *call, const struct store_entry *entry,
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
    struct snapshot_call *call = user;
    struct hub_picture p;
    struct sio_str image;

    if (call->request && read_image(call->request, status, entry, &p, &image))
        reply_jpeg(call, entry, image);
    free_call(call);
}

static void on_jpeg(struct http_request *r, void *user)
{
    struct snapshot_call *call = new_call(r, user);

    if (call)
        get_picture(call, on_jpeg_found);
}

int hub_snapshot_route(struct hub *hub)
{
    static const struct hub_route routes[] = {
        {HTTP_GET,
         "/api/camaras/:/snapshot",
         {.on_request = on_snapshot, .on_abort = on_abort}},
        {HTTP_GET,
         "/api/camaras/:/snapshot.jpg",
         {.on_request = on_jpeg, .on_abort = on_abort}},
    };

    return hub_api_add_routes(hub, routes, N_ELEMENTS(routes));
}
