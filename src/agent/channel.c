#include <config.h>

#include "agent/messages.h"
#include "agent/uplink_impl.h"
#include "base/mem.h"
#include "base/str.h"

#define MAX_WIDTH    1920
#define QUALITY      85
#define MAX_GUESTS   8    /* cameras that are not in the list, asked for by the hub */
#define WARM_WAIT_MS 2000 /* then the picture is taken in the usual way */

/* --- results ------------------------------------------------------------------------- */

void channel_answer(struct channel *ch)
{
    struct waiting *w;

    list_for_each (w, struct waiting, link, &ch->waiting) {
        list_remove(&w->link);
        sio_ack_send(w->ack, NULL);
        mem_free(w);
    }
    ch->n_waiting = 0;
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
    uplink_pump(u);
}

void channel_request(struct channel *ch)
{
    if (ch->warm && agent_feed_is_playing(ch->warm)) {
        agent_feed_want(ch->warm);
        if (net_timer_running(&ch->warm_timer) ||
            net_timer_start(&ch->warm_timer, WARM_WAIT_MS) == SIO_OK)
            return;
    }
    agent_camera_request(ch->camera);
}

struct agent_result *channel_take(struct channel *ch)
{
    struct agent_result *r = ch->fresh;

    ch->fresh = NULL;
    return r ? r : agent_camera_take(ch->camera);
}

/* --- cameras that are kept warm -------------------------------------------------------- */

static void on_warm_picture(struct agent_feed *f, void *user)
{
    struct channel *ch = user;
    struct agent_uplink *u = ch->uplink;
    int64_t wall_us;
    struct sio_buf *jpeg = agent_feed_take(f, &wall_us);
    struct agent_result *r = jpeg && u->joined ? mem_new(struct agent_result) : NULL;

    if (!r) { /* the timer, if it runs, sees to it that there is one */
        sio_buf_unref(jpeg);
        return;
    }
    net_timer_stop(&ch->warm_timer);
    r->jpeg = jpeg;
    r->wall_us = wall_us;
    agent_result_free(ch->fresh);
    ch->fresh = r;
    if (!list_linked(&ch->ready))
        list_append(&u->ready, &ch->ready);
    uplink_pump(u);
}

/* Pictures are then taken in the usual way, and that way says what is wrong. */
static void on_warm_error(struct agent_feed *f, const char *why, void *user)
{
    struct channel *ch = user;

    (void)f;
    log_debug(uplink_log(ch->uplink), "camera=%s warm why=\"%s\"",
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

int channel_keep_warm(struct channel *ch, struct sio_diag *diag)
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
    channel_request(ch);
}

struct channel *channel_find(struct agent_uplink *u, struct sio_str id)
{
    struct channel *ch;

    list_for_each (ch, struct channel, link, &u->channels)
        if (str_eq_cstr(id, agent_camera_id(ch->camera)))
            return ch;
    return NULL;
}

struct channel *channel_new(struct agent_uplink *u, struct agent_source *source,
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

void channel_free(struct channel *ch)
{
    channel_answer(ch);
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
    channel_free(oldest);
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

struct channel *channel_new_guest(struct agent_uplink *u, struct sio_str id,
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
    return channel_new(u, &source, true, NULL);
}

/* --- with the connection ----------------------------------------------------------------- */

void channel_start(struct channel *ch, uint32_t again_ms)
{
    struct agent_uplink *u = ch->uplink;
    const struct agent_feed_shape shape = warm_shape(u);

    agent_camera_set_max_bytes(ch->camera, u->max_jpeg);
    if (ch->guest)
        return;
    if (ch->warm)
        agent_feed_set_shape(ch->warm, &shape);
    channel_request(ch);
    net_timer_start(&ch->timer, again_ms);
}

void channel_stop(struct channel *ch)
{
    net_timer_stop(&ch->timer);
    net_timer_stop(&ch->warm_timer);
    list_remove(&ch->ready);
    agent_result_free(ch->fresh);
    ch->fresh = NULL;
    agent_result_free(agent_camera_take(ch->camera));
    channel_answer(ch); /* nobody hears it; the acks are freed */
}
