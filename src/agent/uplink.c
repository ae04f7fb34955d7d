#include <config.h>

#include "agent/uplink.h"

#include "agent/messages.h"
#include "agent/redact.h"
#include "agent/uplink_impl.h"
#include "base/clock.h"
#include "base/mem.h"

#define QUEUE_MAX_BYTES (32 * 1024 * 1024)

/* --- sending ------------------------------------------------------------------------ */

bool uplink_emit(struct agent_uplink *u, struct sio_message *m)
{
    int rv = m ? sio_client_socket_emit(u->socket, m) : SIO_ERR_NOMEM;

    sio_message_free(m);
    if (rv < 0 && uplink_may_log(u))
        log_warn(uplink_log(u), "message dropped error=\"%s\"", sio_strerror(rv));
    return rv == SIO_OK;
}

/* A line when a camera begins to work or fails, not for each picture. */
static void log_result(struct channel *ch, const struct agent_result *r)
{
    const struct log *log = uplink_log(ch->uplink);
    const char *id = agent_camera_id(ch->camera);
    int len = r->why ? (int)sio_buf_len(r->why) : 0;
    const char *why = len > 0 ? (const char *)sio_buf_data(r->why) : "";

    if (!r->jpeg && ch->state != CHANNEL_BAD)
        log_warn(log, "camera=%s state=sin_acceso why=\"%.*s\"", id, len, why);
    else if (len > 0)
        log_debug(log, "camera=%s why=\"%.*s\"", id, len, why);
    if (r->jpeg && ch->state != CHANNEL_GOOD)
        log_info(log, "camera=%s state=activa bytes=%zu", id, sio_buf_len(r->jpeg));
    ch->state = r->jpeg ? CHANNEL_GOOD : CHANNEL_BAD;
}

static void on_flushed(int status, void *user)
{
    struct agent_uplink *u = user;

    u->sending = false;
    if (status == SIO_OK)
        uplink_pump(u);
}

static void send_picture(struct channel *ch, struct agent_result *r)
{
    struct agent_uplink *u = ch->uplink;

    if (!uplink_emit(u, agent_message_snapshot(u->config->nuc_id,
                                               agent_camera_id(ch->camera), r->jpeg,
                                               r->wall_us)))
        return;
    u->sending = true;
    if (sio_client_on_flushed(u->client, on_flushed, u) < 0)
        u->sending = false;
}

static void send_result(struct channel *ch)
{
    struct agent_result *r = channel_take(ch);
    struct sio_buf *error = r ? r->error : NULL;

    if (!r)
        return;
    if (r->jpeg && sio_buf_len(r->jpeg) > ch->uplink->max_jpeg) {
        /* The hub that the picture was made for took larger ones. */
        agent_result_free(r);
        channel_request(ch);
        return;
    }
    log_result(ch, r);
    if (r->jpeg)
        send_picture(ch, r);
    else if (error)
        uplink_send_error(
            ch->uplink, agent_camera_id(ch->camera),
            (struct sio_str){(char *)sio_buf_data(error), sio_buf_len(error)},
            r->wall_us);
    channel_answer(ch);
    agent_result_free(r);
}

void uplink_pump(struct agent_uplink *u)
{
    while (u->joined && !u->sending && !list_empty(&u->ready)) {
        struct channel *ch = container_of(u->ready.next, struct channel, ready);

        list_remove(&ch->ready);
        send_result(ch);
    }
}

/* --- the connection ----------------------------------------------------------------- */

static void send_register(struct agent_uplink *u)
{
    const char **ids = mem_array(u->n_channels, 2 * sizeof(*ids));
    struct agent_network network;
    struct channel *ch;
    size_t n = 0;

    if (!ids) {
        uplink_emit(u, NULL);
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
    uplink_emit(u, agent_message_register(u->config->nuc_id, ids, n, &network,
                                          clock_wall_us()));
    mem_free(ids);
}

/* After the first pictures, cameras have their turns spread over the interval. */
static void start_channels(struct agent_uplink *u)
{
    uint64_t n_listed = u->n_channels - u->n_guests;
    uint64_t n = 0;
    struct channel *ch;

    list_for_each (ch, struct channel, link, &u->channels) {
        n += !ch->guest;
        channel_start(ch, (uint32_t)(u->config->interval_ms * n / n_listed));
    }
}

static void on_connect(struct sio_client_socket *s, void *user)
{
    struct agent_uplink *u = user;

    (void)s;
    u->joined = true;
    u->sending = false;
    u->max_jpeg =
        agent_message_max_jpeg(sio_client_max_payload(u->client), u->config->nuc_id);
    log_info(uplink_log(u), "hub=%s connected transport=%s", u->hub,
             sio_client_transport(u->client));
    send_register(u);
    start_channels(u);
}

/* No pictures are taken that nobody would see; the next connection begins afresh. */
static void leave(struct agent_uplink *u)
{
    struct channel *ch;

    u->joined = false;
    if (u->live)
        agent_live_stop_all(u->live);
    list_for_each (ch, struct channel, link, &u->channels)
        channel_stop(ch);
}

static void on_disconnect(struct sio_client_socket *s, const char *reason, void *user)
{
    struct agent_uplink *u = user;

    (void)s;
    log_info(uplink_log(u), "hub=%s disconnected reason=\"%s\"", u->hub, reason);
    leave(u);
}

static void on_connect_error(struct sio_client_socket *s, struct sio_str message,
                             struct sio_str data, void *user)
{
    struct agent_uplink *u = user;

    (void)s;
    (void)data;
    log_error(uplink_log(u), "hub=%s refused=\"%.*s\"", u->hub,
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
        log_warn(uplink_log(u), "hub=%s down why=\"%s\" retry_ms=%u", u->hub, why,
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
    .on_event = uplink_on_event,
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
    u->socket = sio_client_join(u->client, "/", &socket_ops, u);
    if (!u->socket)
        return sio_diag_set(diag, SIO_ERR_NOMEM, "out of memory");
    return SIO_OK;
}

static int make_channels(struct agent_uplink *u, struct sio_diag *diag)
{
    struct agent_config *config = u->config;

    for (size_t i = 0; i < config->n_cameras; i++)
        if (!channel_new(u, &config->cameras[i], false, diag))
            return SIO_ERR_IO;
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

int agent_uplink_connect(struct agent_uplink *u, struct sio_diag *diag)
{
    struct channel *ch;
    int rv;

    list_for_each (ch, struct channel, link, &u->channels)
        if (agent_config_keeps_warm(u->config, agent_camera_id(ch->camera)) &&
            channel_keep_warm(ch, diag) < 0)
            return SIO_ERR_IO;
    rv = sio_client_connect(u->client);
    return rv < 0 ? sio_diag_set(diag, rv, "%s", sio_strerror(rv)) : SIO_OK;
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
    list_for_each (ch, struct channel, link, &u->channels) {
        agent_camera_cancel(ch->camera);
        if (ch->warm)
            agent_feed_end(ch->warm);
    }
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
        channel_free(ch);
    agent_logins_free(u->logins);
    sio_buf_unref(u->auth);
    mem_free(u->hub);
    mem_free(u);
}
