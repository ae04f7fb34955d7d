#include <config.h>

#include "hub/config_settings.h"

#include <assert.h>
#include <stdio.h>

#include "base/list.h"
#include "base/mem.h"
#include "base/str.h"

#define MIB ((uint64_t)1024 * 1024)

#define TEXT(name, env, flag, member)                                               \
    {                                                                               \
        name, env, flag, KIND_TEXT, offsetof(struct hub_config, member), 0, 0, NULL \
    }
#define NUMBER(name, env, flag, kind, member, min, max)                            \
    {                                                                              \
        name, env, flag, kind, offsetof(struct hub_config, member), min, max, NULL \
    }
#define CHOICE(name, flag, member, choices)                                       \
    {                                                                             \
        name, NULL, flag, KIND_CHOICE, offsetof(struct hub_config, member), 0, 0, \
            choices                                                               \
    }

static const char *const levels[] = {"error", "warn", "info", "debug", NULL};
static const char *const cluster_modes[] = {"off", "pubsub", "sharded", NULL};
static const char *const subscriptions[] = {"dynamic", "static", "dynamic-private",
                                            NULL};
static const char *const cluster_pictures[] = {"hubs", "all", NULL};

static const struct hub_setting settings[] = {
    TEXT("host", NULL, NULL, host),
    NUMBER("port", "PORT", "port", KIND_NUMBER, port, 0, 65535),
    TEXT("state_dir", NULL, "state-dir", state_dir),
    TEXT("intrusos_dir", NULL, NULL, intrusos_dir),
    TEXT("intrusos_dir_2", NULL, NULL, intrusos_dir_2),
    TEXT("videos_dir", NULL, NULL, videos_dir),
    TEXT("cercas_dir", NULL, NULL, cercas_dir),
    TEXT("run_detectar_camaras", NULL, NULL, programs[HUB_PROGRAM_DETECTAR]),
    TEXT("run_configurar_cercas", NULL, NULL, programs[HUB_PROGRAM_CERCAS]),
    TEXT("run_vigilancia", NULL, NULL, programs[HUB_PROGRAM_VIGILANCIA]),
    TEXT("run_monitoreo", NULL, NULL, programs[HUB_PROGRAM_MONITOREO]),
    TEXT("run_monitoreo_cercas", NULL, NULL, programs[HUB_PROGRAM_MONITOREO_CERCAS]),
    TEXT("www", NULL, "www", www_dir),
    TEXT("www_api", NULL, "www-api", www_api),
    TEXT("tls_cert", NULL, "tls-cert", tls_cert),
    TEXT("tls_key", NULL, "tls-key", tls_key),
    {"token", "NUCHUB_TOKEN", NULL, KIND_SECRET, offsetof(struct hub_config, token), 0,
     0, NULL},
    {"redis_url", "REDIS_URL", NULL, KIND_SECRET,
     offsetof(struct hub_config, redis_url), 0, 0, NULL},
    CHOICE("cluster", "cluster", cluster, cluster_modes),
    CHOICE("cluster_subscriptions", NULL, cluster_subscriptions, subscriptions),
    CHOICE("cluster_pictures", NULL, cluster_pictures, cluster_pictures),
    TEXT("cluster_key", NULL, NULL, cluster_key),
    TEXT("cluster_name", NULL, "cluster-name", cluster_name),
    TEXT("cluster_python", NULL, NULL, cluster_python),
    CHOICE("log_level", "log-level", log_level, levels),
    NUMBER("allow_eio3", NULL, NULL, KIND_SWITCH, allow_eio3, 0, 0),
    NUMBER("compression", NULL, NULL, KIND_SWITCH, compression, 0, 0),
    NUMBER("websocket_compression", NULL, NULL, KIND_SWITCH, websocket_compression, 0,
           0),
    NUMBER("metrics", NULL, NULL, KIND_SWITCH, metrics, 0, 0),
    TEXT("session_cookie", NULL, NULL, session_cookie),
    TEXT("origins", NULL, NULL, origins),
    NUMBER("refuse_origins", NULL, NULL, KIND_SWITCH, refuse_origins, 0, 0),
    TEXT("admin_user", NULL, NULL, admin_user),
    TEXT("admin_hash_file", NULL, NULL, admin_hash_file),
    NUMBER("admin_write", NULL, NULL, KIND_SWITCH, admin_write, 0, 0),
    NUMBER("admin_events", NULL, NULL, KIND_SWITCH, admin_events, 0, 0),
    NUMBER("recovery", NULL, NULL, KIND_NUMBER, recovery_s, 0, 86400),
    NUMBER("max_payload", NULL, NULL, KIND_SIZE, max_payload_bytes, 1000000, 256 * MIB),
    NUMBER("max_queue", NULL, NULL, KIND_SIZE, max_queue_bytes, 65536, 1024 * MIB),
    NUMBER("max_store", NULL, NULL, KIND_SIZE, max_store_bytes, MIB, 65536 * MIB),
    NUMBER("max_sessions", NULL, NULL, KIND_NUMBER, max_sessions, 1, 1000000),
    NUMBER("max_cameras", NULL, NULL, KIND_NUMBER, max_cameras, 1, HUB_LISTED_MAX),
    NUMBER("trusted_proxies", NULL, NULL, KIND_NUMBER, trusted_proxies, 0, 16),
    NUMBER("live_width", NULL, NULL, KIND_NUMBER, live_width, 160, 3840),
    NUMBER("live_quality", NULL, NULL, KIND_NUMBER, live_quality, 1, 100),
    NUMBER("live_fps", NULL, NULL, KIND_NUMBER, live_fps, 1, 30),
    NUMBER("live_grace", NULL, NULL, KIND_NUMBER, live_grace_s, 0, 3600),
    NUMBER("live_max_streams", NULL, NULL, KIND_NUMBER, live_max_streams, 1, 100000),
    NUMBER("live_viewer_streams", NULL, NULL, KIND_NUMBER, live_viewer_streams, 2,
           1000),
    NUMBER("live_shared", NULL, NULL, KIND_NUMBER, live_shared, 1, 1000),
    NUMBER("stale_after", NULL, NULL, KIND_NUMBER, stale_s, 1, 86400),
    NUMBER("interval", NULL, NULL, KIND_NUMBER, interval_s, 1, 3600),
};

int hub_setting_text(char **to, struct sio_str value)
{
    char *copy = NULL;

    /* An empty value takes back what an earlier place said. */
    if (value.len > 0) {
        copy = mem_strndup(value.ptr, value.len);
        if (!copy)
            return SIO_ERR_NOMEM;
    }
    mem_free(*to);
    *to = copy;
    return SIO_OK;
}

static int parse_number(struct sio_str value, const struct hub_setting *s,
                        uint64_t *out)
{
    uint64_t unit = 1;
    uint64_t n;

    if (s->kind == KIND_SIZE && value.len > 0) {
        char last = value.ptr[value.len - 1];

        unit = last == 'K' ? 1024 : last == 'M' ? MIB : last == 'G' ? 1024 * MIB : 1;
        if (unit > 1)
            value.len--;
    }
    if (str_to_u64(value, s->max / unit, &n) < 0 || n * unit < s->min)
        return SIO_ERR_INVAL;
    *out = n * unit;
    return SIO_OK;
}

/* As a configuration has it: 64K, 1G. */
static void format_size(uint64_t n, char *out, size_t size)
{
    static const char units[] = {'K', 'M', 'G'};
    size_t unit = 0;

    while (unit < sizeof(units) && n % 1024 == 0) {
        n /= 1024;
        unit++;
    }
    snprintf(out, size, "%llu%.*s", (unsigned long long)n, unit > 0,
             &units[unit > 0 ? unit - 1 : 0]);
}

static int parse_choice(struct sio_str value, const char *const *choices, uint64_t *out)
{
    for (size_t i = 0; choices[i]; i++) {
        if (str_eq_cstr(value, choices[i])) {
            *out = i;
            return SIO_OK;
        }
    }
    return SIO_ERR_INVAL;
}

/* "a, b or c" */
static void list_choices(const char *const *choices, char *out, size_t size)
{
    size_t len = 0;

    out[0] = '\0';
    for (size_t i = 0; choices[i] && len < size; i++) {
        const char *before = i == 0 ? "" : choices[i + 1] ? ", " : " or ";
        int n = snprintf(out + len, size - len, "%s%s", before, choices[i]);

        len += n > 0 ? (size_t)n : 0;
    }
}

static int parse_switch(struct sio_str value, bool *out)
{
    *out = str_eq_cstr(value, "yes");
    return *out || str_eq_cstr(value, "no") ? SIO_OK : SIO_ERR_INVAL;
}

int hub_setting_set(struct hub_config *c, const struct hub_setting *s,
                    struct sio_str value, const char *where, struct sio_diag *diag)
{
    void *member = (char *)c + s->offset;
    char list[64], most[32];
    int rv = SIO_ERR_INVAL;

    switch (s->kind) {
    case KIND_TEXT:
    case KIND_SECRET:
        rv = hub_setting_text(member, value);
        if (rv < 0)
            return sio_diag_set(diag, rv, "%s: out of memory", where);
        return SIO_OK;
    case KIND_SIZE:
        if (parse_number(value, s, member) == SIO_OK)
            return SIO_OK;
        format_size(s->min, list, sizeof(list));
        format_size(s->max, most, sizeof(most));
        return sio_diag_set(diag, rv, "%s: %s must be a size from %s to %s", where,
                            s->name, list, most);
    case KIND_NUMBER:
        if (parse_number(value, s, member) == SIO_OK)
            return SIO_OK;
        return sio_diag_set(diag, rv, "%s: %s must be a number from %llu to %llu",
                            where, s->name, (unsigned long long)s->min,
                            (unsigned long long)s->max);
    case KIND_CHOICE:
        if (parse_choice(value, s->choices, member) == SIO_OK)
            return SIO_OK;
        list_choices(s->choices, list, sizeof(list));
        return sio_diag_set(diag, rv, "%s: %s must be %s", where, s->name, list);
    case KIND_SWITCH:
        if (parse_switch(value, member) == SIO_OK)
            return SIO_OK;
        return sio_diag_set(diag, rv, "%s: %s must be yes or no", where, s->name);
    }
    return rv;
}

const struct hub_setting *hub_settings(size_t *n)
{
    static_assert(N_ELEMENTS(settings) <= HUB_SETTINGS_MAX, "make it larger");
    *n = N_ELEMENTS(settings);
    return settings;
}

const struct hub_setting *hub_setting_find(struct sio_str name)
{
    for (size_t i = 0; i < N_ELEMENTS(settings); i++)
        if (str_eq_cstr(name, settings[i].name))
            return &settings[i];
    return NULL;
}
