#include <config.h>

#include "base/base64.h"
#include "base/clock.h"
#include "base/json.h"
#include "base/str.h"
#include "hub/hub_impl.h"
#include "hub/picture.h"

#define FIELD_MAX       256  /* bytes of estado and timestamp, as JSON */
#define ERROR_MAX       4096 /* bytes of a snapshot_error's text, as JSON */
#define REPLACE_PICTURE ((uint64_t)1 << 32) /* above the numbers of cameras */

/*
 * estado and timestamp pass through as they are, if they are small and no containers.
 */
static bool passes(struct sio_str raw)
{
    enum json_type type = raw.ptr ? json_type(raw) : JSON_OBJECT;

    return type != JSON_OBJECT && type != JSON_ARRAY && raw.len <= FIELD_MAX;
}

/* The name that a picture carries: the socket's own, or what a nameless sender says. */
static void write_nuc_id(struct wbuf *w, const struct hub_nuc *nuc, struct sio_str raw)
{
    if (nuc)
        json_write_string(w, sio_str_from(nuc->id));
    else if (passes(raw))
        wbuf_add_str(w, raw);
    else
        wbuf_add_cstr(w, "null");
}

/* A picture that arrived, before it is taken. */
struct arrival {
    struct hub_nuc *nuc;
    struct hub_picture in;
    char ip[HUB_ID_MAX + 1];
    struct sio_slice
        jpeg; /* where the image came as an attachment; len 0: it did not */
};

/*
 * The object to store and pass on.  Agents send what is wanted already: then it is a
 * slice of what arrived.  Everything else is written anew.
 */
static bool can_pass(const struct arrival *a)
{
    struct sio_str plain;

    return a->in.exact && a->jpeg.len == 0 && json_string_plain(a->in.image, &plain) &&
           passes(a->in.estado) && passes(a->in.timestamp) && a->in.nuc_id.ptr &&
           (a->nuc ? json_type(a->in.nuc_id) == JSON_STRING &&
                         json_string_eq(a->in.nuc_id, sio_str_from(a->nuc->id))
                   : passes(a->in.nuc_id));
}

static void write_image(struct wbuf *w, const struct arrival *a)
{
    uint8_t *to;

    wbuf_add_byte(w, '"');
    if (a->jpeg.len > 0) {
        to = wbuf_extend(w, base64_encoded_len(a->jpeg.len));
        if (to)
            base64_encode(a->jpeg.ptr, a->jpeg.len, (char *)to);
    } else {
        json_string_decode(a->in.image, w); /* base64 needs no escapes */
    }
    wbuf_add_byte(w, '"');
}

static struct sio_buf *rewrite(const struct hub *hub, const struct arrival *a)
{
    struct wbuf w;
    struct sio_buf *b;

    wbuf_init(&w, (size_t)hub->config->max_payload_bytes * 2);
    wbuf_reserve(&w, a->in.image.len + a->jpeg.len / 2 * 3 + 1024);
    wbuf_add_cstr(&w, "{\"nuc_id\":");
    write_nuc_id(&w, a->nuc, a->in.nuc_id);
    wbuf_add_cstr(&w, ",\"ip\":");
    wbuf_add_str(&w, a->in.ip);
    wbuf_add_cstr(&w, ",\"image\":");
    write_image(&w, a);
    wbuf_add_cstr(&w, ",\"estado\":");
    if (passes(a->in.estado))
        wbuf_add_str(&w, a->in.estado);
    else
        wbuf_add_cstr(&w, "\"activa\"");
    wbuf_add_cstr(&w, ",\"timestamp\":");
    if (passes(a->in.timestamp))
        wbuf_add_str(&w, a->in.timestamp);
    else
        hub_api_write_time(&w, clock_wall_us());
    wbuf_add_byte(&w, '}');
    b = wbuf_take(&w);
    wbuf_fini(&w);
    return b;
}

/* NULL: the image may be taken; else what is wrong with it. */
static const char *check_image(struct sio_event *e, struct arrival *a)
{
    struct sio_str raw = a->in.image;
    struct sio_str plain;
    struct wbuf w;
    bool good;
    int attachment;

    if (!raw.ptr)
        return "no image";
    attachment = sio_event_placeholder(e, raw);
    if (attachment >= 0) {
        a->jpeg = sio_event_attachment(e, (size_t)attachment);
        return hub_image_is_jpeg(a->jpeg.ptr, a->jpeg.len) ? NULL
                                                           : "bytes that are no JPEG";
    }
    if (json_type(raw) != JSON_STRING)
        return "an image that is no text";
    if (json_string_plain(raw, &plain))
        return hub_image_check(plain) ? NULL : "an image that is no base64";
    wbuf_init(&w, raw.len);
    json_string_decode(raw, &w);
    good = w.error == SIO_OK && hub_image_check(wbuf_str(&w));
    wbuf_fini(&w);
    return good ? NULL : "an image that is no base64";
}

/* A part of value as a slice of its own. */
static struct sio_slice part(struct sio_slice value, struct sio_str text)
{
    return (struct sio_slice){value.buf, (const uint8_t *)text.ptr, text.len};
}

/* With recovery a viewer may come back and want it. */
bool hub_arrivals_have_viewers(struct hub *hub)
{
    return hub->config->recovery_s != 0 ||
           sio_namespace_room_size(hub->ns, HUB_ROOM_VIEWERS) > 0;
}

/* Another program may have left it out. */
static struct sio_str given(struct sio_str raw, const char *otherwise)
{
    return raw.ptr ? raw : sio_str_from(otherwise);
}

/* To viewers, in the order of fields that they have always got. */
static void emit_update(struct hub *hub, struct sio_slice value,
                        const struct hub_picture *p, uint32_t number, bool local)
{
    struct sio_str rooms[] = {HUB_ROOM_VIEWERS};
    struct sio_target target = {.rooms = rooms, .n_rooms = 1, .local = local};
    struct sio_message *m;

    if (local && !hub_arrivals_have_viewers(hub))
        return;
    m = sio_message_new("snapshot_update");
    if (!m)
        return;
    sio_message_begin(m);
    sio_message_text(m, SIO_STR("{\"nuc_id\":"));
    sio_message_text(m, given(p->nuc_id, "null"));
    sio_message_text(m, SIO_STR(",\"ip\":"));
    sio_message_text(m, given(p->ip, "null"));
    sio_message_text(m, SIO_STR(",\"image\":"));
    sio_message_slice(m, part(value, p->image));
    sio_message_text(m, SIO_STR(",\"estado\":"));
    sio_message_text(m, given(p->estado, "\"activa\""));
    sio_message_text(m, SIO_STR(",\"timestamp\":"));
    sio_message_text(m, given(p->timestamp, "null"));
    sio_message_text(m, SIO_STR("}"));
    sio_message_end(m);
    sio_message_set_replace_key(m, REPLACE_PICTURE | number);
    if (!hub->config->websocket_compression) /* it takes a quarter off, and much time */
        sio_message_set_no_compress(m);
    sio_namespace_emit(hub->ns, &target, m);
    sio_message_free(m);
}

struct hub_camera *hub_arrivals_camera(struct hub *hub, const char *ip)
{
    uint64_t now_ms = net_loop_now_ms(hub->loop);
    struct hub_camera *c =
        hub_registry_camera(&hub->registry, sio_str_from(ip), now_ms);

    if (!c && log_limit(&hub->limit_full, now_ms, 1))
        log_warn(hub->log, "ip=%s ignored: there are max_cameras already", ip);
    return c;
}

/* To viewers, and to live view. */
static void show(struct hub *hub, const struct hub_camera *c, struct sio_slice value,
                 bool local)
{
    struct sio_str image;
    struct hub_picture p;

    hub_picture_read((struct sio_str){(const char *)value.ptr, value.len}, &p);
    if (!hub_picture_image(&p, &image))
        return;
    emit_update(hub, value, &p, c->number, local);
    hub_live_snapshot(hub, sio_str_from(c->ip), image);
}

void hub_arrivals_show(struct hub *hub, const struct hub_camera *c,
                       struct sio_slice value)
{
    show(hub, c, value, true);
}

/* Viewers of servers that are no hubs get pictures from here; hubs fetch their own. */
static bool to_all_servers(const struct hub *hub)
{
    return hub->cluster && hub->config->cluster_pictures == HUB_PICTURES_ALL;
}

static void keep_picture(struct hub *hub, const struct arrival *a,
                         struct sio_slice value)
{
    struct hub_camera *c = hub_arrivals_camera(hub, a->ip);
    char key[HUB_KEY_MAX];
    int rv;

    if (!c)
        return;
    rv = store_put(hub->store, hub_key(key, HUB_KEY_SNAPSHOT, sio_str_from(a->ip)),
                   value, HUB_SNAPSHOT_LIFETIME_S);
    if (rv < 0 && log_limit(&hub->limit_full, net_loop_now_ms(hub->loop), 1))
        log_warn(hub->log, "ip=%s not stored: %s", a->ip, sio_strerror(rv));
    hub->picture_ms = net_loop_now_ms(hub->loop);
    hub->trimmed = false;
    hub_registry_drop_jpeg(c);
    hub_registry_heard(c, a->nuc, true, hub->picture_ms);
    show(hub, c, value, !to_all_servers(hub));
    hub_snapshot_arrived(hub, sio_str_from(a->ip));
}

static void take_snapshot(struct hub *hub, struct sio_socket *s, struct sio_event *e,
                          struct sio_str object)
{
    struct arrival a = {.nuc = hub_events_nuc(s)};
    struct sio_buf *written;
    const char *wrong;

    hub_picture_read(object, &a.in);
    wrong = hub_events_read_raw_ip(a.in.ip, a.ip) ? check_image(e, &a) : "no ip";
    if (wrong) {
        hub_events_ignore(hub, s, e, wrong);
        return;
    }
    hub_events_touch(a.nuc);
    if (can_pass(&a)) {
        keep_picture(hub, &a, sio_event_slice(e, object));
        return;
    }
    written = rewrite(hub, &a);
    if (written)
        keep_picture(hub, &a, sio_slice_of(written));
    else
        hub_events_ignore(hub, s, e, "out of memory");
    sio_buf_unref(written);
}

static void on_snapshot(struct sio_socket *s, struct sio_event *e, void *user)
{
    struct hub *hub = user;
    struct sio_str object;

    if (!hub_events_payload(hub, s, e, &object))
        return;
    if (hub_events_may_send(hub, s))
        take_snapshot(hub, s, e, object);
    hub_events_acknowledge(e);
}

/* What is stored under "estado:<ip>". */
static struct sio_buf *write_estado(const struct hub_nuc *nuc, struct sio_str object,
                                    const char *ip)
{
    struct sio_str nuc_id = {NULL, 0};
    struct sio_str error;
    struct sio_buf *b;
    struct wbuf w;

    json_get(object, "nuc_id", &nuc_id);
    wbuf_init(&w, 4 * ERROR_MAX);
    wbuf_add_cstr(&w, "{\"nuc_id\": ");
    write_nuc_id(&w, nuc, nuc_id);
    wbuf_add_cstr(&w, ", \"ip\": ");
    json_write_string(&w, sio_str_from(ip));
    wbuf_add_cstr(&w, ", \"estado\": \"sin_acceso\", \"error\": ");
    if (json_get(object, "error", &error) && error.len <= ERROR_MAX)
        wbuf_add_str(&w, error);
    else
        wbuf_add_cstr(&w, "null");
    wbuf_add_cstr(&w, ", \"timestamp\": ");
    hub_api_write_time(&w, clock_wall_us());
    wbuf_add_byte(&w, '}');
    b = wbuf_take(&w);
    wbuf_fini(&w);
    return b;
}

static void take_error(struct hub *hub, struct sio_socket *s, struct sio_event *e,
                       struct sio_str object)
{
    char ip[HUB_ID_MAX + 1];
    char key[HUB_KEY_MAX];
    struct sio_str raw = {NULL, 0};
    struct sio_str error = {NULL, 0};
    struct hub_nuc *nuc = hub_events_nuc(s);
    struct hub_camera *c;
    struct sio_buf *value;

    json_get(object, "ip", &raw);
    if (!hub_events_read_raw_ip(raw, ip)) {
        hub_events_ignore(hub, s, e, "no ip");
        return;
    }
    if (json_get(object, "error", &error) &&
        (json_type(error) != JSON_STRING || error.len > ERROR_MAX))
        error = (struct sio_str){NULL, 0};
    c = hub_arrivals_camera(hub, ip);
    value = write_estado(nuc, object, ip);
    if (c && value) {
        store_put(hub->store, hub_key(key, HUB_KEY_ESTADO, sio_str_from(ip)),
                  sio_slice_of(value), HUB_ESTADO_LIFETIME_S);
        hub_registry_heard(c, nuc, false, net_loop_now_ms(hub->loop));
        hub_live_snapshot_failed(hub, sio_str_from(ip));
        hub_snapshot_failed(hub, sio_str_from(ip), error);
        log_debug(hub->log, "nuc_id=%s ip=%s snapshot_error", nuc ? nuc->id : "-", ip);
    }
    sio_buf_unref(value);
}

static void on_snapshot_error(struct sio_socket *s, struct sio_event *e, void *user)
{
    struct hub *hub = user;
    struct sio_str object;

    if (!hub_events_payload(hub, s, e, &object))
        return;
    if (hub_events_may_send(hub, s))
        take_error(hub, s, e, object);
    hub_events_acknowledge(e);
}

int hub_arrivals_init(struct hub *hub)
{
    static const struct hub_event events[] = {
        {"snapshot", on_snapshot},
        {"snapshot_error", on_snapshot_error},
    };

    return hub_events_add(hub, events, N_ELEMENTS(events));
}
