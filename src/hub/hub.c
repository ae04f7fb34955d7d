#include <config.h>

#include "hub/hub.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include <sioc/admin.h>
#include <sioc/cluster.h>

#include "base/file.h"
#include "base/mem.h"
#include "base/random.h"
#include "hub/fences.h"
#include "hub/hub_impl.h"
#include "hub/origins.h"
#include "net/tls.h"

#define TICK_MS             1000
#define IDLE_MS             60000
#define PREFLIGHT_MAX_AGE_S 86400
#define ADMIN_HASH_MAX      4096 /* bytes of the file */

/* Below the state directory; each is made at start where it is missing. */
static int make_folders(struct hub *hub, struct sio_diag *diag)
{
    const struct hub_config *c = hub->config;
    const char *state = c->state_dir;
    const struct {
        struct hub_folder *folder;
        const char *configured;
        const char *state_dir;
        const char *sub;
    } folders[] = {
        {&hub->alerts.pictures[0], c->intrusos_dir, state, "intrusos"},
        {&hub->alerts.pictures[1], c->intrusos_dir_2, NULL, NULL},
        {&hub->alerts.videos, c->videos_dir, state, "videos"},
        {&hub->cercas, c->cercas_dir, state, "cercas"},
    };

    for (size_t i = 0; i < N_ELEMENTS(folders); i++) {
        int rv = hub_folder_init(folders[i].folder, folders[i].configured,
                                 folders[i].state_dir, folders[i].sub, diag);

        if (rv < 0)
            return rv;
    }
    return SIO_OK;
}

static bool is_open(const struct hub_config *config)
{
    for (size_t i = 0; i < config->n_nucs; i++)
        if (config->nucs[i].token)
            return false;
    return !config->token;
}

static void on_tick(struct net_timer *timer, void *user)
{
    struct hub *hub = user;

    hub_events_ask(hub);
    hub_programs_reap(hub);
    hub_snapshot_give_up(hub);
    hub_registry_drop_old_jpegs(&hub->registry, net_loop_now_ms(hub->loop));
    /* While pictures come, their memory is used again at once. */
    if (!hub->trimmed && net_loop_now_ms(hub->loop) - hub->picture_ms > IDLE_MS) {
        hub->trimmed = true;
        mem_trim();
    }
    net_timer_start(timer, TICK_MS);
}

static void on_deadline(struct net_timer *timer, void *user);

/* The first line of the file; what it says is never shown. */
static int attach_admin(struct hub *hub, struct sio_diag *diag)
{
    const struct hub_config *config = hub->config;
    struct sio_admin_options admin = {.username = config->admin_user,
                                      .read_only = !config->admin_write,
                                      .development = config->admin_events};
    char *text;
    size_t len;
    int rv = file_read(config->admin_hash_file, ADMIN_HASH_MAX, &text, &len, diag);

    if (rv < 0)
        return rv;
    text[strcspn(text, " \t\r\n")] = '\0';
    admin.password_hash = text;
    rv = sio_admin_attach(hub->sio, &admin, diag);
    mem_free(text);
    return rv;
}

static int make_servers(struct hub *hub, struct sio_diag *diag)
{
    const struct hub_config *config = hub->config;
    const struct eio_cookie cookie = {
        .name = config->session_cookie,
        .http_only = true,
        .secure = config->tls_cert != NULL,
    };
    struct http_server_options http = {
        .cors = {.enabled = true,
                 .origins = hub->origins,
                 .max_age_s = PREFLIGHT_MAX_AGE_S},
        .no_compression = !config->compression,
        .error_body = hub_api_error_body,
    };
    struct sio_server_options sio = {
        .engine =
            {
                .max_payload = (size_t)config->max_payload_bytes,
                .max_queue_bytes = (size_t)config->max_queue_bytes,
                .max_sessions = (uint32_t)config->max_sessions,
                .allow_eio3 = config->allow_eio3,
                .cors = true,
                .cors_credentials = true,
                .origins = hub->origins,
                .refuse_origins = config->refuse_origins,
                .trusted_proxies = (uint32_t)config->trusted_proxies,
                .cookie = config->session_cookie ? &cookie : NULL,
                .sid_prefix = hub->cluster ? hub->cluster_name : NULL,
                .no_poll_compression = !config->compression,
                .deflate = {.enabled = config->websocket_compression,
                            .server_no_context_takeover = true,
                            .client_no_context_takeover = true},
            },
        .recovery = {.max_away_ms = (uint32_t)config->recovery_s * 1000},
        .adapter = hub->cluster ? sio_cluster_adapter : NULL,
        .adapter_user = hub->cluster,
    };

    hub->http = http_server_new(hub->loop, &http);
    if (!hub->http)
        return sio_diag_set(diag, SIO_ERR_NOMEM, "out of memory");
    hub->sio = sio_server_attach(hub->loop, hub->http, &sio, diag);
    if (!hub->sio)
        return SIO_ERR_NOMEM;
    if (hub_events_init(hub) < 0 || hub_api_route(hub) < 0 ||
        hub_cameras_route(hub) < 0 || hub_alerts_route(hub) < 0 ||
        hub_fences_route(hub) < 0 || hub_programs_route(hub) < 0 ||
        hub_info_route(hub) < 0 || hub_metrics_route(hub) < 0 ||
        hub_snapshot_route(hub) < 0 || hub_live_init(hub) < 0)
        return sio_diag_set(diag, SIO_ERR_NOMEM, "out of memory");
    if (config->admin_user && attach_admin(hub, diag) < 0)
        return SIO_ERR_INVAL;
    if (config->www_dir)
        return hub_www_init(&hub->www, hub, diag);
    if (hub_page_init(hub) < 0)
        return sio_diag_set(diag, SIO_ERR_NOMEM, "out of memory");
    return SIO_OK;
}

/* *out stays NULL where there is no TLS. */
static int load_certificate(const struct hub_config *config, struct net_tls **out,
                            struct sio_diag *diag)
{
    if (config->tls_cert)
        *out = net_tls_server_new(config->tls_cert, config->tls_key, diag);
    return config->tls_cert && !*out ? SIO_ERR_TLS : SIO_OK;
}

static int start_listening(struct hub *hub, struct sio_diag *diag)
{
    struct net_listen_options opts = {
        .host = hub->config->host,
        .port = (uint16_t)hub->config->port,
    };
    int rv = load_certificate(hub->config, &opts.tls, diag);

    if (rv < 0)
        return rv;
    rv = http_server_listen(hub->http, &opts, diag);
    net_tls_unref(opts.tls);
    if (rv < 0)
        return rv;
    hub->port = rv;
    return SIO_OK;
}

static void log_start(const struct hub *hub)
{
    const struct hub_config *config = hub->config;

    log_info(
        hub->log, "listening port=%d tls=%s cameras=%zu store=%s config=%s version=%s",
        hub->port, config->tls_cert ? "yes" : "no", config->n_cameras,
        hub->store->ops->name, config->file ? config->file : "none", PACKAGE_VERSION);
    if (hub->open)
        log_warn(hub->log,
                 "no token is configured: whoever reaches port %d can send pictures "
                 "in any camera's name",
                 hub->port);
}

static int make_store(struct hub *hub, struct sio_diag *diag)
{
    static const struct store_redis_kind kinds[] = {
        {SIO_STR_INIT(HUB_KEY_SNAPSHOT), HUB_SNAPSHOT_LIFETIME_S},
        {SIO_STR_INIT(HUB_KEY_ESTADO), HUB_ESTADO_LIFETIME_S},
    };
    const struct hub_config *config = hub->config;
    const struct store_redis_options redis = {
        .url = sio_str_from(config->redis_url),
        .kinds = kinds,
        .n_kinds = N_ELEMENTS(kinds),
        .max_bytes = (size_t)config->max_store_bytes,
        .max_value = (size_t)config->max_payload_bytes * 2,
        .max_keys = (size_t)config->max_cameras * 2,
        .on_written = config->cluster != HUB_CLUSTER_OFF ? hub_relay_written : NULL,
        .user = hub,
    };

    if (config->redis_url) {
        hub->store = store_redis_new(hub->loop, &redis, diag);
        return hub->store ? SIO_OK : SIO_ERR_INVAL;
    }
    hub->store = store_memory_new(hub->loop, (size_t)config->max_store_bytes);
    return hub->store ? SIO_OK : sio_diag_set(diag, SIO_ERR_NOMEM, "out of memory");
}

/* A hub that does nothing yet. */
static struct hub *make_hub(struct net_loop *loop, const struct hub_config *config,
                            struct sio_diag *diag)
{
    struct hub *hub = mem_new(struct hub);
    int rv;

    if (!hub) {
        sio_diag_set(diag, SIO_ERR_NOMEM, "out of memory");
        return NULL;
    }
    hub->loop = loop;
    hub->log = net_loop_log(loop);
    hub->config = config;
    hub->open = is_open(config);
    list_init(&hub->live.cameras);
    list_init(&hub->waiting);
    hub_alerts_init(&hub->alerts);
    random_id(net_loop_random(loop), hub->boot);
    net_timer_init(&hub->tick, loop, on_tick, hub);
    net_timer_init(&hub->deadline, loop, on_deadline, hub);
    rv = hub_registry_init(&hub->registry, config,
                           config->cluster == HUB_CLUSTER_OFF ? "" : hub->boot);
    if (rv < 0 || net_timer_start(&hub->tick, TICK_MS) < 0) {
        sio_diag_set(diag, SIO_ERR_NOMEM, "out of memory");
        hub_free(hub);
        return NULL;
    }
    return hub;
}

/* What the settings ask for, as far as it is in this process and its files. */
static int set_up(struct hub *hub, struct sio_diag *diag)
{
    int rv = hub_programs_check(hub, diag);

    if (rv == SIO_OK)
        rv = hub_origins_parse(hub->config->origins, &hub->origins, diag);
    return rv == SIO_OK ? make_servers(hub, diag) : rv;
}

int hub_check(struct net_loop *loop, const struct hub_config *config,
              struct sio_diag *diag)
{
    struct hub *hub = make_hub(loop, config, diag);
    struct net_tls *tls = NULL;
    int rv = hub ? set_up(hub, diag) : SIO_ERR_NOMEM;

    if (rv == SIO_OK)
        rv = load_certificate(config, &tls, diag);
    net_tls_unref(tls);
    hub_free(hub);
    return rv;
}

struct hub *hub_new(struct net_loop *loop, const struct hub_config *config,
                    struct sio_diag *diag)
{
    struct hub *hub = make_hub(loop, config, diag);
    int rv;

    if (!hub)
        return NULL;
    rv = make_store(hub, diag);
    if (rv == SIO_OK)
        rv = make_folders(hub, diag);
    if (rv == SIO_OK)
        rv = hub_relay_connect(hub, diag);
    if (rv == SIO_OK)
        rv = set_up(hub, diag);
    if (rv == SIO_OK)
        rv = hub_relay_begin(hub, diag);
    if (rv == SIO_OK)
        rv = start_listening(hub, diag);
    if (rv < 0) {
        hub_free(hub);
        return NULL;
    }
    log_start(hub);
    return hub;
}

void hub_free(struct hub *hub)
{
    if (!hub)
        return;
    net_timer_stop(&hub->tick);
    net_timer_stop(&hub->deadline);
    hub_relay_stop(hub);
    sio_server_free(hub->sio);
    http_server_free(hub->http);
    hub_live_fini(hub);
    hub_relay_fini(hub);
    sio_cluster_free(hub->cluster);
    store_free(hub->store);
    hub_registry_fini(&hub->registry);
    hub_programs_fini(hub);
    hub_alerts_fini(&hub->alerts);
    hub_folder_fini(&hub->cercas);
    hub_www_fini(&hub->www);
    mem_free((void *)hub->origins);
    mem_free(hub);
}

int hub_port(const struct hub *hub)
{
    return hub->port;
}

void hub_reload(struct hub *hub)
{
    const struct hub_config *config = hub->config;
    struct sio_diag diag = {""};

    if (!config->tls_cert)
        log_info(hub->log, "nothing is read again: there is no certificate");
    else if (eio_server_set_certificate(sio_server_engine(hub->sio), config->tls_cert,
                                        config->tls_key, &diag) < 0)
        log_error(hub->log, "the old certificate stays: %s", diag.text);
    else
        log_info(hub->log, "certificate read again");
}

/*
 * The end: once both servers have said that nothing is left, or time is up.
 */

static void finish(struct hub *hub)
{
    void (*cb)(void *user) = hub->on_down;

    net_timer_stop(&hub->deadline);
    hub->on_down = NULL;
    if (cb)
        cb(hub->down_user);
}

static void on_closed(void *user)
{
    struct hub *hub = user;

    if (--hub->n_closing == 0)
        finish(hub);
}

static void on_deadline(struct net_timer *timer, void *user)
{
    struct hub *hub = user;

    (void)timer;
    log_warn(hub->log, "stopping with connections that are not finished");
    finish(hub);
}

void hub_shutdown(struct hub *hub, uint32_t timeout_ms, void (*cb)(void *user),
                  void *user)
{
    if (hub->n_closing > 0)
        return;
    hub->on_down = cb;
    hub->down_user = user;
    hub->n_closing = 2;
    net_timer_stop(&hub->tick);
    net_timer_start(&hub->deadline, timeout_ms);
    hub_relay_stop(hub); /* so that an agent that comes to another hub is new there */
    hub_events_drop_agents(hub);
    hub_live_cut(hub);
    sio_server_shutdown(hub->sio, timeout_ms, on_closed, hub);
    http_server_drain(hub->http, on_closed, hub);
}
