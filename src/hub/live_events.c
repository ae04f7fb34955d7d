#include <config.h>

#include <stdio.h>

#include "base/clock.h"
#include "base/json.h"
#include "base/str.h"
#include "hub/hub_impl.h"
#include "hub/picture.h"

#define ROOM_PREFIX "live:"
#define ROOM_SIZE   (sizeof(ROOM_PREFIX) + HUB_ID_MAX)
/* Numbers of cameras, pictures and frames must not meet. */
#define REPLACE_FRAME ((uint64_t)2 << 32)
/* More rooms than this and a viewer is not looking any more. */
#define MAX_JOINED 64

static struct sio_str room_of(struct sio_str ip, char out[ROOM_SIZE])
{
    memcpy(out, ROOM_PREFIX, sizeof(ROOM_PREFIX) - 1);
    memcpy(out + sizeof(ROOM_PREFIX) - 1, ip.ptr, ip.len);
    return (struct sio_str){out, sizeof(ROOM_PREFIX) - 1 + ip.len};
}

static struct sio_str ip_of(const struct hub_live_camera *c)
{
    return (struct sio_str){c->ip, c->ip_len};
}

/*
 * To viewers.
 */

/* {"nuc_id","ip","image":<bytes>,"timestamp"}; NULL: no memory. */
static struct sio_message *frame_message(struct hub *hub,
                                         const struct hub_live_camera *c)
{
    const struct hub_camera *camera =
        hub_registry_find_camera(&hub->registry, ip_of(c));
    struct sio_message *m = sio_message_new("frame");
    struct wbuf w;

    if (!m)
        return NULL;
    wbuf_init(&w, 8 * HUB_ID_MAX + 256);
    wbuf_add_cstr(&w, "{\"nuc_id\":");
    if (camera && camera->agent)
        json_write_string(&w, sio_str_from(camera->agent->id));
    else
        wbuf_add_cstr(&w, "null");
    wbuf_add_cstr(&w, ",\"ip\":");
    json_write_string(&w, ip_of(c));
    wbuf_add_cstr(&w, ",\"timestamp\":");
    hub_api_write_time(&w, clock_wall_us());
    wbuf_add_cstr(&w, ",\"image\":");
    sio_message_begin(m);
    sio_message_text(m, wbuf_str(&w));
    sio_message_attachment(m, sio_slice_of(c->frame));
    sio_message_text(m, SIO_STR("}"));
    sio_message_set_replace_key(m, REPLACE_FRAME | (camera ? camera->number : 0));
    sio_message_set_no_compress(m); /* a JPEG is */
    if (w.error < 0 || sio_message_end(m) < 0) {
        sio_message_free(m);
        m = NULL;
    }
    wbuf_fini(&w);
    return m;
}

bool hub_live_events_watched(struct hub *hub, const struct hub_live_camera *c)
{
    char room[ROOM_SIZE];

    return sio_namespace_room_size(hub->ns, room_of(ip_of(c), room)) > 0;
}

void hub_live_events_show(struct hub *hub, struct hub_live_camera *c)
{
    char text[ROOM_SIZE];
    struct sio_str room = room_of(ip_of(c), text);
    struct sio_target target = {.rooms = &room, .n_rooms = 1, .local = true};
    struct sio_message *m;

    if (sio_namespace_room_size(hub->ns, room) == 0)
        return;
    m = frame_message(hub, c);
    if (m)
        sio_namespace_emit(hub->ns, &target, m);
    sio_message_free(m);
}

static void answer(struct sio_event *e, const char *json)
{
    struct sio_message *m;

    if (!sio_event_wants_ack(e))
        return;
    m = sio_message_new("");
    if (m) {
        sio_message_add_raw(m, sio_str_from(json));
        sio_event_ack(e, m);
    }
    sio_message_free(m);
}

static void on_join(struct sio_socket *s, struct sio_event *e, void *user)
{
    struct hub *hub = user;
    char ip[HUB_ID_MAX + 1];
    char room[ROOM_SIZE];
    struct hub_live_camera *c;
    struct sio_message *m;
    struct sio_str object;

    if (!hub_events_payload(hub, s, e, &object))
        return;
    if (!hub_events_read_ip(object, ip)) {
        answer(e, "{\"success\":false,\"error\":\"Cámara no válida\"}");
        return;
    }
    c = sio_socket_rooms(s, NULL, 0) < MAX_JOINED ? hub_live_open(hub, sio_str_from(ip))
                                                  : NULL;
    if (!c || sio_socket_join(s, room_of(ip_of(c), room)) < 0) {
        answer(e, "{\"success\":false,\"error\":\"Demasiadas vistas en vivo\"}");
        return;
    }
    answer(e, "{\"success\":true}");
    m = frame_message(hub, c);
    if (m)
        sio_socket_emit(s, m);
    sio_message_free(m);
}

static void on_leave(struct sio_socket *s, struct sio_event *e, void *user)
{
    char ip[HUB_ID_MAX + 1];
    char room[ROOM_SIZE];
    struct sio_str object;

    if (!hub_events_payload(user, s, e, &object))
        return;
    if (hub_events_read_ip(object, ip))
        sio_socket_leave(s, room_of(sio_str_from(ip), room));
    answer(e, "{\"success\":true}");
}

/*
 * From agents.
 */

static bool is_own_camera(struct hub *hub, struct sio_socket *s, const char *ip)
{
    const struct hub_nuc *nuc = hub_events_nuc(s);
    const struct hub_camera *c =
        hub_registry_find_camera(&hub->registry, sio_str_from(ip));

    if (!nuc || !c)
        return false;
    if (c->agent)
        return c->agent == nuc;
    return c->nuc && strcmp(c->nuc, nuc->id) == 0;
}

/* Only an agent, and only for a camera that is its own.  ip is "" where there is none. */
static bool read_own(struct hub *hub, struct sio_socket *s, struct sio_event *e,
                     struct sio_str *object, char ip[HUB_ID_MAX + 1])
{
    ip[0] = '\0';
    if (!hub_events_payload(hub, s, e, object))
        return false;
    if (!hub_events_read_ip(*object, ip))
        ip[0] = '\0';
    else if (is_own_camera(hub, s, ip))
        return true;
    hub_events_ignore(hub, s, e, "not a camera of this agent");
    return false;
}

/* The bytes as a buf of their own; NULL: no JPEG, or no memory. */
static struct sio_buf *image_of(struct sio_event *e, struct sio_str object)
{
    struct sio_str raw;
    struct sio_slice bytes;
    int index;

    if (!json_get(object, "image", &raw))
        return NULL;
    index = sio_event_placeholder(e, raw);
    if (index < 0)
        return NULL;
    bytes = sio_event_attachment(e, (size_t)index);
    if (!hub_image_is_jpeg(bytes.ptr, bytes.len))
        return NULL;
    if (bytes.buf && bytes.ptr == sio_buf_data(bytes.buf) &&
        bytes.len == sio_buf_len(bytes.buf))
        return sio_buf_ref(bytes.buf);
    return sio_buf_copy(bytes.ptr, bytes.len);
}

static void on_frame(struct sio_socket *s, struct sio_event *e, void *user)
{
    struct hub *hub = user;
    char ip[HUB_ID_MAX + 1];
    struct sio_str object;
    struct sio_buf *jpeg;

    if (!read_own(hub, s, e, &object, ip)) {
        /* It was the agent's, and another one has it now. */
        if (ip[0] != '\0' && hub_events_nuc(s))
            hub_live_send_stop(hub, hub_events_nuc(s), sio_str_from(ip));
        return;
    }
    /* The answer is what lets the agent send the next one. */
    if (sio_event_wants_ack(e))
        sio_event_ack(e, NULL);
    jpeg = image_of(e, object);
    if (!jpeg)
        hub_events_ignore(hub, s, e, "no JPEG");
    else if (!hub_live_frame(hub, sio_str_from(ip), jpeg))
        hub_live_send_stop(hub, hub_events_nuc(s), sio_str_from(ip));
    sio_buf_unref(jpeg);
}

static void on_stream_error(struct sio_socket *s, struct sio_event *e, void *user)
{
    struct hub *hub = user;
    char ip[HUB_ID_MAX + 1];
    struct sio_str object;

    if (!read_own(hub, s, e, &object, ip))
        return;
    hub_live_lost(hub, sio_str_from(ip));
    if (sio_event_wants_ack(e))
        sio_event_ack(e, NULL);
}

/*
 * To agents.
 */

static int send_about(struct hub_nuc *nuc, const char *event, struct sio_str ip,
                      const char *more)
{
    struct sio_message *m = sio_message_new(event);
    struct wbuf w;
    int rv = SIO_ERR_NOMEM;

    if (!m)
        return rv;
    wbuf_init(&w, 8 * HUB_ID_MAX + 256);
    wbuf_add_cstr(&w, "{\"ip\":");
    json_write_string(&w, ip);
    wbuf_add_cstr(&w, more);
    wbuf_add_byte(&w, '}');
    if (w.error == SIO_OK && sio_message_add_raw(m, wbuf_str(&w)) == SIO_OK)
        rv = hub_events_send(nuc, m);
    wbuf_fini(&w);
    sio_message_free(m);
    return rv;
}

int hub_live_send_start(struct hub *hub, struct hub_nuc *nuc,
                        const struct hub_live_camera *c)
{
    const struct hub_config *config = hub->config;
    char more[96];

    snprintf(more, sizeof(more), ",\"ancho\":%u,\"calidad\":%u,\"fps\":%u",
             (unsigned)config->live_width, (unsigned)config->live_quality,
             (unsigned)config->live_fps);
    log_debug(hub->log, "nuc_id=%s ip=%s stream_start", nuc->id, c->ip);
    return send_about(nuc, "stream_start", ip_of(c), more);
}

void hub_live_send_stop(struct hub *hub, struct hub_nuc *nuc, struct sio_str ip)
{
    log_debug(hub->log, "nuc_id=%s ip=%.*s stream_stop", nuc->id, STR_ARG(ip));
    send_about(nuc, "stream_stop", ip, "");
}

int hub_live_send_capture(struct hub *hub, struct hub_nuc *nuc, struct sio_str ip)
{
    if (hub_nuc_is_remote(nuc))
        return hub_relay_capture(hub, nuc, ip);
    return send_about(nuc, "capture_snapshot", ip, "");
}

int hub_live_events_init(struct hub *hub)
{
    static const struct hub_event events[] = {
        {"stream_join", on_join},
        {"stream_leave", on_leave},
        {"frame", on_frame},
        {"stream_error", on_stream_error},
    };

    return hub_events_add(hub, events, N_ELEMENTS(events));
}
