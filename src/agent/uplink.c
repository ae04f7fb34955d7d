#include <config.h>

#include "agent/uplink.h"

#include <stdio.h>

#include "agent/camera.h"
#include "agent/feed.h"
#include "agent/live.h"
#include "agent/messages.h"
#include "agent/redact.h"
#include "base/clock.h"
#include "base/json.h"
#include "base/list.h"
#include "base/mem.h"
#include "base/str.h"
#include "net/loop.h"

#define MAX_WIDTH       1920
#define QUALITY         85
#define MAX_GUESTS      8 /* cameras that are not in the list, asked for by the hub */
#define MAX_WAITING     16
#define QUEUE_MAX_BYTES (32 * 1024 * 1024)
#define WARM_WAIT_MS    2000 /* then the picture is taken in the usual way */
#define LIVE_MAX_BYTES  (2 * 1024 * 1024)

/* What the uplink knows of a camera. */
struct channel {
    struct agent_uplink *uplink;
    struct agent_camera *camera;
    struct list link;    /* in uplink->channels */
    struct list ready;   /* in uplink->ready while its slot is full */
    struct list waiting; /* struct waiting: acks due with the next result */
    struct net_timer timer;
    struct agent_feed *warm;    /* its video is held open; or NULL */
    struct agent_result *fresh; /* of that, while it waits to be sent */
    struct net_timer warm_timer;
    uint64_t asked_ms; /* of a guest: the one asked longest ago makes room */
    uint8_t n_waiting;
    bool guest;
    enum { CHANNEL_NEW, CHANNEL_GOOD, CHANNEL_BAD } state; /* as logged last */
};

struct waiting {
    struct list link;
    struct sio_ack *ack;
};

struct agent_uplink {
    struct net_loop *loop;
    struct agent_config *config;
    struct sio_client *client;
    struct sio_client_socket *socket;
    struct agent_live *live;
    struct agent_logins *logins;
    struct sio_buf *auth;
    char *hub; /* the URL as it may be shown */
    struct list channels;
    struct list ready;
    size_t n_channels;
    size_t n_guests;
    size_t max_jpeg;
    bool joined;
    bool sending; /* a picture is on its way to the kernel */
    bool closing;
    struct log_limit limit;
    struct log_limit down_limit;
};

static const struct log *log_of(const struct agent_uplink *u)
{
    return net_loop_log(u->loop);
}

static bool may_log(struct agent_uplink *u)
{
    return log_limit(&u->limit, net_loop_now_ms(u->loop), 60);
}

/* --- sending ------------------------------------------------------------------------ */

/* m is freed.  False if it could not be queued. */
static bool emit(struct agent_uplink *u, struct sio_message *m)
{
    int rv = m ? sio_client_socket_emit(u->socket, m) : SIO_ERR_NOMEM;

    sio_message_free(m);
    if (rv < 0 && may_log(u))
        log_warn(log_of(u), "message dropped error=\"%s\"", sio_strerror(rv));
    return rv == SIO_OK;
}

static void answer_waiting(struct channel *ch)
{
    struct waiting *w;

    list_for_each (w, struct waiting, link, &ch->waiting) {
        list_remove(&w->link);
        sio_ack_send(w->ack, NULL);
        mem_free(w);
    }
    ch->n_waiting = 0;
}

/* A line when a camera begins to work or fails, not for each picture. */
static void log_result(struct channel *ch, const struct agent_result *r)
{
    const struct log *log = log_of(ch->uplink);
    const char *id = agent_camera_id(ch->camera);

    if (r->jpeg) {
        if (ch->state != CHANNEL_GOOD)
            log_info(log, "camera=%s state=activa bytes=%zu", id, sio_buf_len(r->jpeg));
        ch->state = CHANNEL_GOOD;
    } else {
        if (ch->state != CHANNEL_BAD)
            log_warn(log, "camera=%s state=sin_acceso why=\"%s\"", id, r->why.text);
        ch->state = CHANNEL_BAD;
    }
}

static void pump(struct agent_uplink *u);

static void on_flushed(int status, void *user)
{
    struct agent_uplink *u = user;

    u->sending = false;
    if (status == SIO_OK)
        pump(u);
}

static void send_error(struct agent_uplink *u, const char *id, struct sio_str text,
                       int64_t wall_us)
{
    emit(u,
         agent_message_error("snapshot_error", u->config->nuc_id, id, text, wall_us));
}

static void send_picture(struct channel *ch, struct agent_result *r)
{
    struct agent_uplink *u = ch->uplink;

    if (!emit(u, agent_message_snapshot(u->config->nuc_id, agent_camera_id(ch->camera),
                                        r->jpeg, r->wall_us)))
        return;
    u->sending = true;
    if (sio_client_on_flushed(u->client, on_flushed, u) < 0)
        u->sending = false;
}

static void request(struct channel *ch)
{
    if (ch->warm && agent_feed_is_playing(ch->warm)) {
        agent_feed_want(ch->warm);
        if (net_timer_start(&ch->warm_timer, WARM_WAIT_MS) == SIO_OK)
            return;
    }
    agent_camera_request(ch->camera);
}

static struct agent_result *take_result(struct channel *ch)
{
    struct agent_result *r = ch->fresh;

    ch->fresh = NULL;
    return r ? r : agent_camera_take(ch->camera);
}

static void send_result(struct channel *ch)
{
    struct agent_result *r = take_result(ch);
    struct sio_buf *error = r ? r->error : NULL;

    if (!r)
        return;
    if (r->jpeg && sio_buf_len(r->jpeg) > ch->uplink->max_jpeg) {
        /* The hub that the picture was made for took larger ones. */
        agent_result_free(r);
        request(ch);
        return;
    }
    log_result(ch, r);
    if (r->jpeg)
        send_picture(ch, r);
    else if (error)
        send_error(ch->uplink, agent_camera_id(ch->camera),
                   (struct sio_str){(char *)sio_buf_data(error), sio_buf_len(error)},
                   r->wall_us);
    answer_waiting(ch);
    agent_result_free(r);
}

static void pump(struct agent_uplink *u)
{
    while (u->joined && !u->sending && !list_empty(&u->ready)) {
        struct channel *ch = container_of(u->ready.next, struct channel, ready);

        list_remove(&ch->ready);
        send_result(ch);
    }
}

static void on_result(struct agent_camera *camera, void *user)
{
    struct agent_uplink *u = user;
    struct channel *ch = agent_camera_data(camera);

    if (!u->joined) {
        agent_result_free(agent_camera_take(camera));
        return;
    }
    if (!list_linked(&ch->ready))
        list_append(&u->ready, &ch->ready);
    pump(u);
}

/* --- cameras that are kept warm -------------------------------------------------------- */

static void on_warm_picture(struct agent_feed *f, void *user)
{
    struct channel *ch = user;
    struct agent_uplink *u = ch->uplink;
    int64_t wall_us;
    struct sio_buf *jpeg = agent_feed_take(f, &wall_us);
    struct agent_result *r = jpeg && u->joined ? mem_new(struct agent_result) : NULL;

    net_timer_stop(&ch->warm_timer);
    if (!r) {
        sio_buf_unref(jpeg);
        return;
    }
    r->jpeg = jpeg;
    r->wall_us = wall_us;
    agent_result_free(ch->fresh);
    ch->fresh = r;
    if (!list_linked(&ch->ready))
        list_append(&u->ready, &ch->ready);
    pump(u);
}

/* Pictures are then taken in the usual way, and that way says what is wrong. */
static void on_warm_error(struct agent_feed *f, const char *why, void *user)
{
    struct channel *ch = user;

    (void)f;
    log_debug(log_of(ch->uplink), "camera=%s warm why=\"%s\"",
              agent_camera_id(ch->camera), why);
}

static void on_warm_timer(struct net_timer *timer, void *user)
{
    struct channel *ch = user;

    (void)timer;
    agent_camera_request(ch->camera);
}

static struct agent_feed_shape warm_shape(const struct agent_uplink *u)
{
    return (struct agent_feed_shape){MAX_WIDTH, QUALITY, 30, u->max_jpeg};
}

static int keep_warm(struct channel *ch, struct sio_diag *diag)
{
    struct agent_feed_options opts = {
        .source = agent_camera_source(ch->camera),
        .logins = ch->uplink->logins,
        .shape = warm_shape(ch->uplink),
        .on_picture = on_warm_picture,
        .on_error = on_warm_error,
        .user = ch,
    };

    ch->warm = agent_feed_new(ch->uplink->loop, &opts, diag);
    return ch->warm ? SIO_OK : SIO_ERR_IO;
}

/* --- cameras ------------------------------------------------------------------------ */

static void on_interval(struct net_timer *timer, void *user)
{
    struct channel *ch = user;

    net_timer_start(timer, ch->uplink->config->interval_ms);
    request(ch);
}

static struct channel *find_channel(struct agent_uplink *u, struct sio_str id)
{
    struct channel *ch;

    list_for_each (ch, struct channel, link, &u->channels)
        if (str_eq_cstr(id, agent_camera_id(ch->camera)))
            return ch;
    return NULL;
}

/* source is moved. */
static struct channel *add_channel(struct agent_uplink *u, struct agent_source *source,
                                   bool guest, struct sio_diag *diag)
{
    struct agent_camera_options opts = {
        .logins = u->logins,
        .limits = {.max_width = MAX_WIDTH,
                   .quality = QUALITY,
                   .max_bytes = u->max_jpeg},
        .on_result = on_result,
        .user = u,
    };
    struct channel *ch = mem_new(struct channel);

    if (!ch) {
        agent_source_fini(source);
        sio_diag_set(diag, SIO_ERR_NOMEM, "out of memory");
        return NULL;
    }
    ch->camera = agent_camera_new(u->loop, source, &opts, diag);
    if (!ch->camera) {
        mem_free(ch);
        return NULL;
    }
    agent_camera_set_data(ch->camera, ch);
    ch->uplink = u;
    ch->guest = guest;
    list_init(&ch->ready);
    list_init(&ch->waiting);
    net_timer_init(&ch->timer, u->loop, on_interval, ch);
    net_timer_init(&ch->warm_timer, u->loop, on_warm_timer, ch);
    list_append(&u->channels, &ch->link);
    u->n_channels++;
    u->n_guests += guest;
    return ch;
}

static void free_channel(struct channel *ch)
{
    answer_waiting(ch);
    list_remove(&ch->link);
    list_remove(&ch->ready);
    ch->uplink->n_channels--;
    ch->uplink->n_guests -= ch->guest;
    agent_feed_free(ch->warm);
    agent_result_free(ch->fresh);
    agent_camera_free(ch->camera);
    mem_free(ch);
}

/* Makes room for one guest.  False if all of them are busy. */
static bool make_room(struct agent_uplink *u)
{
    struct channel *oldest = NULL;
    struct channel *ch;

    if (u->n_guests < MAX_GUESTS)
        return true;
    list_for_each (ch, struct channel, link, &u->channels)
        if (ch->guest && !agent_camera_is_busy(ch->camera) &&
            !agent_live_uses(u->live, agent_camera_source(ch->camera)) &&
            !list_linked(&ch->ready) && (!oldest || ch->asked_ms < oldest->asked_ms))
            oldest = ch;
    if (!oldest)
        return false;
    free_channel(oldest);
    return true;
}

static bool is_allowed(const struct agent_uplink *u, const struct agent_source *source)
{
    switch (u->config->on_request) {
    case AGENT_REQUEST_ANY: return true;
    case AGENT_REQUEST_LISTED: return false;
    case AGENT_REQUEST_PRIVATE:
        return agent_source_is_private(source->endpoints[0].host);
    }
    return false;
}

/* A camera that is not in the list; NULL with a reason for the hub. */
static struct channel *add_guest(struct agent_uplink *u, struct sio_str id,
                                 const char **reason)
{
    const struct agent_config *config = u->config;
    bool login = config->user[0] && config->password[0];
    struct camera_entry entry = {.id = id};
    struct agent_source source;

    *reason = "dirección no válida";
    if (agent_source_init(&source, &entry, login ? config->user : "",
                          login ? config->password : "", NULL) < 0)
        return NULL;
    *reason = "dirección no permitida";
    if (!is_allowed(u, &source)) {
        agent_source_fini(&source);
        return NULL;
    }
    *reason = "demasiadas capturas a la vez";
    if (!make_room(u)) {
        agent_source_fini(&source);
        return NULL;
    }
    return add_channel(u, &source, true, NULL);
}

/* --- what the hub sends ------------------------------------------------------------- */

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
    send_error(u, name, sio_str_from(text), clock_wall_us());
    if (may_log(u))
        log_warn(log_of(u), "camera=%s capture_snapshot refused", name);
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
        ch = find_channel(u, id);
        if (!ch)
            ch = add_guest(u, id, &reason);
        if (!ch)
            refuse_capture(u, id, reason);
    } else if (may_log(u)) {
        log_warn(log_of(u), "capture_snapshot without a valid ip");
    }
    wbuf_fini(&w);
    if (!ch) {
        if (sio_event_wants_ack(e))
            sio_event_ack(e, NULL);
        return;
    }
    ch->asked_ms = net_loop_now_ms(u->loop);
    wait_for_result(ch, e);
    request(ch);
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
        ch = find_channel(u, id);
        if (!ch)
            ch = add_guest(u, id, &reason);
    }
    if (ch) {
        reason = NULL;
        ch->asked_ms = net_loop_now_ms(u->loop);
        if (agent_live_start(u->live, agent_camera_source(ch->camera), &shape) < 0)
            reason = "demasiadas vistas en vivo";
    }
    if (reason && may_log(u))
        log_warn(log_of(u), "stream_start refused");
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
    ch = w.error == SIO_OK ? find_channel(u, id) : NULL;
    if (ch)
        agent_live_stop(u->live, agent_camera_id(ch->camera));
    wbuf_fini(&w);
    if (sio_event_wants_ack(e))
        sio_event_ack(e, NULL);
}

static void on_event(struct sio_client_socket *s, struct sio_event *e, void *user)
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
        emit(u, agent_message_pong(u->config->nuc_id, clock_wall_us()));
    else if (str_eq_cstr(name, "registered"))
        log_info(log_of(u), "hub=%s registered", u->hub);
    if (sio_event_wants_ack(e))
        sio_event_ack(e, NULL);
}

/* --- the connection ----------------------------------------------------------------- */

static void send_register(struct agent_uplink *u)
{
    const char **ids = mem_array(u->n_channels, 2 * sizeof(*ids));
    struct agent_network network;
    struct channel *ch;
    size_t n = 0;

    if (!ids) {
        emit(u, NULL);
        return;
    }
    list_for_each (ch, struct channel, link, &u->channels) {
        if (ch->guest)
            continue;
        ids[u->n_channels + n] = agent_camera_source(ch->camera)->endpoints[0].host;
        if (!ids[u->n_channels + n]) /* the test pattern's */
            ids[u->n_channels + n] = "";
        ids[n++] = agent_camera_id(ch->camera);
    }
    agent_network_find(&network, ids + u->n_channels, n);
    emit(u,
         agent_message_register(u->config->nuc_id, ids, n, &network, clock_wall_us()));
    mem_free(ids);
}

static void on_connect(struct sio_client_socket *s, void *user)
{
    struct agent_uplink *u = user;
    struct agent_feed_shape shape;
    struct channel *ch;

    (void)s;
    u->joined = true;
    u->sending = false;
    u->max_jpeg =
        agent_message_max_jpeg(sio_client_max_payload(u->client), u->config->nuc_id);
    log_info(log_of(u), "hub=%s connected transport=%s", u->hub,
             sio_client_transport(u->client));
    send_register(u);
    shape = warm_shape(u);
    list_for_each (ch, struct channel, link, &u->channels) {
        agent_camera_set_max_bytes(ch->camera, u->max_jpeg);
        if (ch->guest)
            continue;
        if (ch->warm)
            agent_feed_set_shape(ch->warm, &shape);
        request(ch);
        net_timer_start(&ch->timer, u->config->interval_ms);
    }
}

/* No pictures are taken that nobody would see; the next connection begins afresh. */
static void leave(struct agent_uplink *u)
{
    struct channel *ch;

    u->joined = false;
    if (u->live)
        agent_live_stop_all(u->live);
    list_for_each (ch, struct channel, link, &u->channels) {
        net_timer_stop(&ch->timer);
        net_timer_stop(&ch->warm_timer);
        agent_result_free(ch->fresh);
        ch->fresh = NULL;
        list_remove(&ch->ready);
        agent_result_free(agent_camera_take(ch->camera));
        answer_waiting(ch); /* nobody hears it; the acks are freed */
    }
}

static void on_disconnect(struct sio_client_socket *s, const char *reason, void *user)
{
    struct agent_uplink *u = user;

    (void)s;
    log_info(log_of(u), "hub=%s disconnected reason=\"%s\"", u->hub, reason);
    leave(u);
}

static void on_connect_error(struct sio_client_socket *s, struct sio_str message,
                             struct sio_str data, void *user)
{
    struct agent_uplink *u = user;

    (void)s;
    (void)data;
    log_error(log_of(u), "hub=%s refused=\"%.*s\"", u->hub,
              (int)(message.len < 200 ? message.len : 200), message.ptr);
}

static void on_down(struct sio_client *c, int error, const char *why,
                    uint32_t retry_in_ms, void *user)
{
    struct agent_uplink *u = user;

    (void)c;
    (void)error;
    /* Attempts go on for ever, every few seconds. */
    if (!u->closing && log_limit(&u->down_limit, net_loop_now_ms(u->loop), 3))
        log_warn(log_of(u), "hub=%s down why=\"%s\" retry_ms=%u", u->hub, why,
                 (unsigned)retry_in_ms);
}

static struct sio_str auth_of(struct sio_client_socket *s, void *user)
{
    struct agent_uplink *u = user;

    (void)s;
    return (struct sio_str){(char *)sio_buf_data(u->auth), sio_buf_len(u->auth)};
}

static const struct sio_client_socket_ops socket_ops = {
    .on_connect = on_connect,
    .on_connect_error = on_connect_error,
    .on_disconnect = on_disconnect,
    .on_event = on_event,
    .auth = auth_of,
};

/* --- life ----------------------------------------------------------------------------- */

static int make_client(struct agent_uplink *u, struct sio_diag *diag)
{
    struct sio_client_options opts = {
        .url = u->config->server_url,
        .transports = u->config->transports,
        .offline = SIO_OFFLINE_DROP,
        .max_queue_bytes = QUEUE_MAX_BYTES,
        .reconnect_after_server_disconnect = true,
        .tls_ca_file = u->config->ca_file,
        .on_down = on_down,
        .user = u,
    };

    u->client = sio_client_new(u->loop, &opts, diag);
    if (!u->client)
        return SIO_ERR_INVAL;
    u->socket = sio_client_socket(u->client, "/", &socket_ops, u);
    if (!u->socket)
        return sio_diag_set(diag, SIO_ERR_NOMEM, "out of memory");
    return SIO_OK;
}

static int make_channels(struct agent_uplink *u, struct sio_diag *diag)
{
    struct agent_config *config = u->config;

    for (size_t i = 0; i < config->n_cameras; i++) {
        struct channel *ch = add_channel(u, &config->cameras[i], false, diag);

        if (!ch)
            return SIO_ERR_IO;
        if (agent_config_keeps_warm(config, agent_camera_id(ch->camera)) &&
            keep_warm(ch, diag) < 0)
            return SIO_ERR_IO;
    }
    return SIO_OK;
}

static int make_live(struct agent_uplink *u, struct sio_diag *diag)
{
    struct agent_live_options opts = {
        .nuc_id = u->config->nuc_id,
        .socket = u->socket,
        .logins = u->logins,
        .text = u->config->live_text,
        .max_width = u->config->live_width,
    };

    u->live = agent_live_new(u->loop, &opts);
    return u->live ? SIO_OK : sio_diag_set(diag, SIO_ERR_NOMEM, "out of memory");
}

struct agent_uplink *agent_uplink_new(struct net_loop *loop,
                                      struct agent_config *config,
                                      struct sio_diag *diag)
{
    struct agent_uplink *u = mem_new(struct agent_uplink);

    if (!u) {
        sio_diag_set(diag, SIO_ERR_NOMEM, "out of memory");
        return NULL;
    }
    u->loop = loop;
    u->config = config;
    u->max_jpeg = agent_message_max_jpeg(0, config->nuc_id);
    list_init(&u->channels);
    list_init(&u->ready);
    u->logins = agent_logins_new();
    u->auth = agent_message_auth(config->nuc_id, config->token);
    u->hub = mem_strndup(config->server_url, strlen(config->server_url));
    if (!u->logins || !u->auth || !u->hub) {
        sio_diag_set(diag, SIO_ERR_NOMEM, "out of memory");
        goto fail;
    }
    agent_redact(u->hub);
    if (make_client(u, diag) == SIO_OK && make_live(u, diag) == SIO_OK &&
        make_channels(u, diag) == SIO_OK)
        return u;

fail:
    agent_uplink_stop(u);
    agent_uplink_free(u);
    return NULL;
}

int agent_uplink_connect(struct agent_uplink *u)
{
    return sio_client_connect(u->client);
}

void agent_uplink_close(struct agent_uplink *u, void (*on_closed)(void *user),
                        void *user)
{
    u->closing = true;
    leave(u);
    sio_client_close(u->client, on_closed, user);
}

void agent_uplink_stop(struct agent_uplink *u)
{
    struct channel *ch;

    u->closing = true;
    leave(u);
    list_for_each (ch, struct channel, link, &u->channels)
        agent_camera_cancel(ch->camera);
    list_for_each (ch, struct channel, link, &u->channels) {
        if (ch->warm)
            agent_feed_stop(ch->warm);
        agent_camera_stop(ch->camera);
    }
    agent_live_end(u->live);
    if (u->client)
        sio_client_free(u->client);
    u->client = NULL;
}

void agent_uplink_free(struct agent_uplink *u)
{
    struct channel *ch;

    if (!u)
        return;
    agent_live_free(u->live);
    list_for_each (ch, struct channel, link, &u->channels)
        free_channel(ch);
    agent_logins_free(u->logins);
    sio_buf_unref(u->auth);
    mem_free(u->hub);
    mem_free(u);
}
