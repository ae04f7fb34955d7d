#include <config.h>

#include <stdio.h>

#include "agent/messages.h"
#include "agent/uplink_impl.h"
#include "base/clock.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/str.h"

#define MAX_WAITING    16
#define LIVE_MAX_BYTES (2 * 1024 * 1024)

void uplink_send_error(struct agent_uplink *u, const char *id, struct sio_str text,
                       int64_t wall_us)
{
    uplink_emit(
        u, agent_message_error("snapshot_error", u->config->nuc_id, id, text, wall_us));
}

/* The name in {"ip": name}, decoded into w; len 0 if there is none. */
static struct sio_str read_ip(struct sio_event *e, struct wbuf *w)
{
    struct sio_str arg = sio_event_arg(e, 0);
    struct sio_str ip;

    if (arg.ptr && json_type(arg) == JSON_OBJECT && json_get(arg, "ip", &ip) &&
        json_type(ip) == JSON_STRING)
        json_string_decode(ip, w);
    return wbuf_str(w);
}

static void wait_for_result(struct channel *ch, struct sio_event *e)
{
    struct waiting *w = NULL;

    if (!sio_event_wants_ack(e))
        return;
    if (ch->n_waiting < MAX_WAITING)
        w = mem_new(struct waiting);
    if (w)
        w->ack = sio_event_take_ack(e);
    if (!w || !w->ack) {
        mem_free(w);
        sio_event_ack(e, NULL);
        return;
    }
    list_append(&ch->waiting, &w->link);
    ch->n_waiting++;
}

static void refuse_capture(struct agent_uplink *u, struct sio_str id,
                           const char *reason)
{
    char name[CAMERA_ID_MAX + 1];
    char text[256];

    snprintf(name, sizeof(name), "%.*s", STR_ARG(id));
    snprintf(text, sizeof(text), "Error al capturar de %s: %s", name, reason);
    uplink_send_error(u, name, sio_str_from(text), clock_wall_us());
    if (uplink_may_log(u))
        log_warn(uplink_log(u), "camera=%s capture_snapshot refused", name);
}

static void on_capture(struct agent_uplink *u, struct sio_event *e)
{
    const char *reason = NULL;
    struct channel *ch = NULL;
    struct sio_str id;
    struct wbuf w;

    wbuf_init(&w, CAMERA_ID_MAX);
    id = read_ip(e, &w);
    if (w.error == SIO_OK && camera_id_check(id)) {
        ch = channel_find(u, id);
        if (!ch)
            ch = channel_new_guest(u, id, &reason);
        if (!ch)
            refuse_capture(u, id, reason);
    } else if (uplink_may_log(u)) {
        log_warn(uplink_log(u), "capture_snapshot without a valid ip");
    }
    wbuf_fini(&w);
    if (!ch) {
        if (sio_event_wants_ack(e))
            sio_event_ack(e, NULL);
        return;
    }
    ch->asked_ms = net_loop_now_ms(u->loop);
    wait_for_result(ch, e);
    channel_request(ch);
}

/* A number of the event's object within bounds; otherwise, what stands for it. */
static uint32_t read_number(struct sio_event *e, const char *name, uint32_t min,
                            uint32_t max, uint32_t otherwise)
{
    struct sio_str arg = sio_event_arg(e, 0);
    struct sio_str value;
    double d;

    if (!arg.ptr || json_type(arg) != JSON_OBJECT || !json_get(arg, name, &value) ||
        !json_number(value, &d) || !(d >= min))
        return otherwise;
    return d < max ? (uint32_t)d : max;
}

static void answer_start(struct sio_event *e, const char *reason)
{
    struct sio_message *m;

    if (!sio_event_wants_ack(e))
        return;
    m = sio_message_new("");
    if (m && !reason)
        sio_message_add_raw(m, SIO_STR("{\"ok\":true}"));
    if (m && reason) {
        sio_message_begin(m);
        sio_message_text(m, SIO_STR("{\"ok\":false,\"error\":\""));
        sio_message_text(m, sio_str_from(reason));
        sio_message_text(m, SIO_STR("\"}"));
        sio_message_end(m);
    }
    sio_event_ack(e, m);
    sio_message_free(m);
}

static void on_stream_start(struct agent_uplink *u, struct sio_event *e)
{
    const struct agent_feed_shape shape = {
        .max_width = read_number(e, "ancho", 160, 3840, 1280),
        .quality = read_number(e, "calidad", 1, 100, 70),
        .fps = read_number(e, "fps", 1, 30, 15),
        .max_bytes = u->max_jpeg < LIVE_MAX_BYTES ? u->max_jpeg : LIVE_MAX_BYTES,
    };
    const char *reason = "dirección no válida";
    struct channel *ch = NULL;
    struct sio_str id;
    struct wbuf w;

    wbuf_init(&w, CAMERA_ID_MAX);
    id = read_ip(e, &w);
    if (w.error == SIO_OK && camera_id_check(id)) {
        ch = channel_find(u, id);
        if (!ch)
            ch = channel_new_guest(u, id, &reason);
    }
    if (ch) {
        reason = NULL;
        ch->asked_ms = net_loop_now_ms(u->loop);
        if (agent_live_start(u->live, agent_camera_source(ch->camera), &shape) < 0)
            reason = "demasiadas vistas en vivo";
    }
    if (reason && uplink_may_log(u))
        log_warn(uplink_log(u), "stream_start refused");
    wbuf_fini(&w);
    answer_start(e, reason);
}

static void on_stream_stop(struct agent_uplink *u, struct sio_event *e)
{
    struct sio_str id;
    struct channel *ch;
    struct wbuf w;

    wbuf_init(&w, CAMERA_ID_MAX);
    id = read_ip(e, &w);
    ch = w.error == SIO_OK ? channel_find(u, id) : NULL;
    if (ch)
        agent_live_stop(u->live, agent_camera_id(ch->camera));
    wbuf_fini(&w);
    if (sio_event_wants_ack(e))
        sio_event_ack(e, NULL);
}

void uplink_on_event(struct sio_client_socket *s, struct sio_event *e, void *user)
{
    struct agent_uplink *u = user;
    struct sio_str name = sio_event_name(e);

    (void)s;
    if (str_eq_cstr(name, "capture_snapshot")) {
        on_capture(u, e);
        return;
    }
    if (str_eq_cstr(name, "stream_start")) {
        on_stream_start(u, e);
        return;
    }
    if (str_eq_cstr(name, "stream_stop")) {
        on_stream_stop(u, e);
        return;
    }
    if (str_eq_cstr(name, "ping"))
        uplink_emit(u, agent_message_pong(u->config->nuc_id, clock_wall_us()));
    else if (str_eq_cstr(name, "registered"))
        log_info(uplink_log(u), "hub=%s registered", u->hub);
    if (sio_event_wants_ack(e))
        sio_event_ack(e, NULL);
}
