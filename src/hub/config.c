#include <config.h>

#include "hub/config.h"

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/camera_list.h"
#include "base/envfile.h"
#include "base/file.h"
#include "base/list.h"
#include "base/mem.h"
#include "base/str.h"
#include "base/utf8.h"
#include "store/store.h"

#define DEFAULT_FILE   NUC_SYSCONFDIR "/nuchub/nuchubd.conf"
#define FILE_MAX_BYTES (1024 * 1024)
#define MAX_LISTED     65536 /* cameras or NUCs */

#define MIB            ((uint64_t)1024 * 1024)

/*
 * Settings, by the name that each has in the file, the environment, the command line.
 */

enum kind { KIND_TEXT, KIND_SECRET, KIND_NUMBER, KIND_SIZE, KIND_CHOICE, KIND_SWITCH };

struct setting {
    const char *name;
    const char *env;  /* or NULL */
    const char *flag; /* or NULL */
    enum kind kind;
    size_t offset;
    uint64_t min;
    uint64_t max;
    const char *const *choices; /* up to a NULL; stored as their number */
};

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
static const char *const cluster_pictures[] = {"hubs", "all", NULL};

static const struct setting settings[] = {
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
    NUMBER("max_cameras", NULL, NULL, KIND_NUMBER, max_cameras, 1, MAX_LISTED),
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

static int set_text(char **to, struct sio_str value)
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

static int parse_number(struct sio_str value, const struct setting *s, uint64_t *out)
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

/* where: what an error begins with, such as `nuchubd.conf:12` or `PORT`. */
static int set(struct hub_config *c, const struct setting *s, struct sio_str value,
               const char *where, struct sio_diag *diag)
{
    void *member = (char *)c + s->offset;
    char list[64];
    int rv = SIO_ERR_INVAL;

    switch (s->kind) {
    case KIND_TEXT:
    case KIND_SECRET:
        rv = set_text(member, value);
        if (rv < 0)
            return sio_diag_set(diag, rv, "%s: out of memory", where);
        return SIO_OK;
    case KIND_NUMBER:
    case KIND_SIZE:
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

/*
 * Lists of cameras and NUCs.
 */

/* Text that may stand in a log line and in a list: no control characters. */
static bool is_name(struct sio_str s, size_t max)
{
    if (s.len == 0 || s.len > max || !utf8_check(s.ptr, s.len))
        return false;
    for (size_t i = 0; i < s.len; i++)
        if ((unsigned char)s.ptr[i] < 0x20 || s.ptr[i] == 0x7f)
            return false;
    return true;
}

static struct hub_camera_config *find_camera(struct hub_config *c, struct sio_str ip)
{
    for (size_t i = 0; i < c->n_cameras; i++)
        if (str_eq_cstr(ip, c->cameras[i].ip))
            return &c->cameras[i];
    return NULL;
}

static struct hub_nuc_config *find_nuc(struct hub_config *c, struct sio_str id)
{
    for (size_t i = 0; i < c->n_nucs; i++)
        if (str_eq_cstr(id, c->nucs[i].id))
            return &c->nucs[i];
    return NULL;
}

static int add_camera(struct hub_config *c, struct sio_str ip)
{
    struct hub_camera_config *larger;

    if (c->n_cameras == MAX_LISTED)
        return SIO_ERR_TOO_BIG;
    larger = mem_resize(c->cameras, c->n_cameras + 1, sizeof(*larger));
    if (!larger)
        return SIO_ERR_NOMEM;
    c->cameras = larger;
    larger[c->n_cameras] = (struct hub_camera_config){0};
    larger[c->n_cameras].ip = mem_strndup(ip.ptr, ip.len);
    if (!larger[c->n_cameras].ip)
        return SIO_ERR_NOMEM;
    c->n_cameras++;
    return SIO_OK;
}

static int add_nuc(struct hub_config *c, struct sio_str id)
{
    struct hub_nuc_config *larger;

    if (c->n_nucs == MAX_LISTED)
        return SIO_ERR_TOO_BIG;
    larger = mem_resize(c->nucs, c->n_nucs + 1, sizeof(*larger));
    if (!larger)
        return SIO_ERR_NOMEM;
    c->nucs = larger;
    larger[c->n_nucs] = (struct hub_nuc_config){0};
    larger[c->n_nucs].id = mem_strndup(id.ptr, id.len);
    if (!larger[c->n_nucs].id)
        return SIO_ERR_NOMEM;
    c->n_nucs++;
    return SIO_OK;
}

static void clear_cameras(struct hub_config *c)
{
    for (size_t i = 0; i < c->n_cameras; i++) {
        mem_free(c->cameras[i].ip);
        mem_free(c->cameras[i].nombre);
        mem_free(c->cameras[i].nuc);
    }
    mem_free(c->cameras);
    c->cameras = NULL;
    c->n_cameras = 0;
}

/* CAMARAS_IPS: takes the place of the file's cameras, if it names any. */
static int set_camera_list(struct hub_config *c, struct sio_str list, const char *where,
                           struct sio_diag *diag)
{
    struct camera_entry entry;
    struct sio_diag why;
    int rv = camera_list_next(&list, &entry, &why);

    if (rv > 0)
        clear_cameras(c);
    for (; rv > 0; rv = camera_list_next(&list, &entry, &why)) {
        int added = find_camera(c, entry.id) ? SIO_OK : add_camera(c, entry.id);

        if (added < 0)
            return sio_diag_set(diag, added, "%s: %s", where, sio_strerror(added));
    }
    if (rv < 0)
        return sio_diag_set(diag, rv, "%s: %s", where, why.text);
    return SIO_OK;
}

/*
 * The file.
 */

enum section { SECTION_MAIN, SECTION_NUC, SECTION_CAMERA };

struct file_reader {
    struct hub_config *config;
    const char *name;
    unsigned line;
    enum section section; /* a named one: the last of its list */
    struct sio_diag *diag;
};

static int fail(const struct file_reader *f, const char *what, struct sio_str name)
{
    return sio_diag_set(f->diag, SIO_ERR_PARSE, "%s:%u: %s \"%.*s\"", f->name, f->line,
                        what, (int)(name.len < 64 ? name.len : 64), name.ptr);
}

static int fail_rv(const struct file_reader *f, int rv)
{
    return sio_diag_set(f->diag, rv, "%s:%u: %s", f->name, f->line, sio_strerror(rv));
}

/*
 * `[nuc ID]` and `[camara IP]`; a camera's ip is a path segment, so it has few
 * characters.
 */
static int read_section(struct file_reader *f, struct sio_str line)
{
    struct sio_str rest = {line.ptr + 1, line.len - 1};
    struct sio_str word, name;
    int rv;

    if (line.len < 2 || line.ptr[line.len - 1] != ']')
        return fail(f, "no ']' behind", line);
    rest.len--;
    word = str_cut(&rest, ' ');
    name = rest.ptr ? str_trim(rest) : (struct sio_str){"", 0};
    if (str_eq_cstr(word, "nuc")) {
        if (!is_name(name, HUB_ID_MAX))
            return fail(f, "not the name of a NUC:", name);
        if (find_nuc(f->config, name))
            return fail(f, "a second section for", name);
        f->section = SECTION_NUC;
        rv = add_nuc(f->config, name);
    } else if (str_eq_cstr(word, "camara")) {
        if (!camera_id_check(name))
            return fail(f, "not the address of a camera:", name);
        if (find_camera(f->config, name))
            return fail(f, "a second section for", name);
        f->section = SECTION_CAMERA;
        rv = add_camera(f->config, name);
    } else {
        return fail(f, "unknown section", word);
    }
    return rv < 0 ? fail_rv(f, rv) : SIO_OK;
}

static int set_named(struct file_reader *f, char **member, struct sio_str value,
                     size_t max)
{
    int rv;

    if (!is_name(value, max))
        return fail_rv(f, SIO_ERR_INVAL);
    if (*member)
        return fail_rv(f, SIO_ERR_EXISTS);
    rv = set_text(member, value);
    return rv < 0 ? fail_rv(f, rv) : SIO_OK;
}

static int read_key(struct file_reader *f, struct sio_str key, struct sio_str value)
{
    struct hub_config *c = f->config;
    char where[128];

    switch (f->section) {
    case SECTION_CAMERA:
        if (str_eq_cstr(key, "nombre"))
            return set_named(f, &c->cameras[c->n_cameras - 1].nombre, value,
                             HUB_NOMBRE_MAX);
        if (str_eq_cstr(key, "nuc"))
            return set_named(f, &c->cameras[c->n_cameras - 1].nuc, value, HUB_ID_MAX);
        break;
    case SECTION_NUC:
        if (str_eq_cstr(key, "token"))
            return set_named(f, &c->nucs[c->n_nucs - 1].token, value, 1024);
        break;
    case SECTION_MAIN:
        snprintf(where, sizeof(where), "%s:%u", f->name, f->line);
        for (size_t i = 0; i < N_ELEMENTS(settings); i++)
            if (str_eq_cstr(key, settings[i].name))
                return set(c, &settings[i], value, where, f->diag);
        break;
    }
    return fail(f, "unknown key", key);
}

static int read_line(struct file_reader *f, struct sio_str line)
{
    struct sio_str rest, key;

    if (line.len > 0 && line.ptr[line.len - 1] == '\r')
        line.len--;
    line = str_trim(line);
    if (line.len == 0 || line.ptr[0] == '#' || line.ptr[0] == ';')
        return SIO_OK;
    if (memchr(line.ptr, '\0', line.len))
        return fail_rv(f, SIO_ERR_PARSE);
    if (line.ptr[0] == '[')
        return read_section(f, line);
    rest = line;
    key = str_trim(str_cut(&rest, '='));
    if (!rest.ptr)
        return fail(f, "no '=' behind", key);
    return read_key(f, key, str_trim(rest));
}

int hub_config_parse(struct hub_config *c, const char *name, struct sio_str text,
                     struct sio_diag *diag)
{
    struct file_reader f = {.config = c, .name = name, .diag = diag};
    int rv = SIO_OK;

    if (str_starts(text, SIO_STR("\xef\xbb\xbf")))
        text = (struct sio_str){text.ptr + 3, text.len - 3};
    while (text.ptr && rv == SIO_OK) {
        f.line++;
        rv = read_line(&f, str_cut(&text, '\n'));
    }
    return rv;
}

static int read_file(struct hub_config *c, const char *path, struct sio_diag *diag)
{
    char *text;
    size_t len;
    int rv = file_read(path, FILE_MAX_BYTES, &text, &len, diag);

    if (rv < 0)
        return rv;
    rv = hub_config_parse(c, path, (struct sio_str){text, len}, diag);
    explicit_bzero(text, len);
    mem_free(text);
    if (rv < 0)
        return rv;
    c->file = mem_strndup(path, strlen(path));
    return c->file ? SIO_OK : sio_diag_set(diag, SIO_ERR_NOMEM, "out of memory");
}

/*
 * The environment.
 */

struct env_reader {
    struct hub_config *config;
    const char *file; /* NULL: the process's own */
    struct sio_diag *diag;
};

static int on_variable(const char *name, const char *value, unsigned line, void *user)
{
    struct env_reader *e = user;
    struct sio_str text = sio_str_from(value);
    char where[128];

    if (e->file)
        snprintf(where, sizeof(where), "%s:%u: %s", e->file, line, name);
    else
        snprintf(where, sizeof(where), "%s", name);
    if (strcmp(name, "CAMARAS_IPS") == 0)
        return set_camera_list(e->config, text, where, e->diag);
    /* Of systemd's StateDirectory=; what the file says is meant more. */
    if (!e->file && strcmp(name, "STATE_DIRECTORY") == 0 && !e->config->state_dir)
        return set_text(&e->config->state_dir, str_cut(&text, ':'));
    for (size_t i = 0; i < N_ELEMENTS(settings); i++)
        if (settings[i].env && strcmp(name, settings[i].env) == 0 &&
            (text.len > 0 || settings[i].kind == KIND_SECRET))
            return set(e->config, &settings[i], text, where, e->diag);
    return SIO_OK;
}

static int read_environment(struct hub_config *c, char *const envp[],
                            struct sio_diag *diag)
{
    struct env_reader e = {c, NULL, diag};
    int rv = SIO_OK;

    for (size_t i = 0; envp && envp[i] && rv >= 0; i++) {
        char name[64];
        const char *equals = strchr(envp[i], '=');

        if (!equals || (size_t)(equals - envp[i]) >= sizeof(name))
            continue;
        memcpy(name, envp[i], (size_t)(equals - envp[i]));
        name[equals - envp[i]] = '\0';
        rv = on_variable(name, equals + 1, 0, &e);
    }
    return rv;
}

static int read_env_file(struct hub_config *c, struct sio_diag *diag)
{
    struct env_reader e = {c, ".env", diag};
    int rv = envfile_read(".env", on_variable, &e, diag);

    return rv == SIO_ERR_NOT_FOUND ? SIO_OK : rv;
}

/*
 * The command line.
 */

enum { OPT_CONFIG = 256, OPT_CHECK, OPT_FIRST_SETTING };

static const char usage[] =
    "Usage: nuchubd [OPTION]...\n"
    "Passes the pictures of cameras on to viewers: Socket.IO, HTTP.\n"
    "\n"
    "  --port N          TCP port (8080)\n"
    "  --config FILE     configuration, nuchubd.conf(5)\n"
    "                    (" DEFAULT_FILE ", if there is one)\n"
    "  --state-dir DIR   where files are kept; made if missing\n"
    "  --www DIR         serves the frontend that is built in DIR\n"
    "  --www-api ORIGIN  tells its pages where the API is; self: here\n"
    "  --cluster MODE    acts as one with the other hubs of REDIS_URL: pubsub,\n"
    "                    sharded, off (default)\n"
    "  --cluster-name N  what this one is called among them (the host's name)\n"
    "  --tls-cert FILE   certificate chain, PEM\n"
    "  --tls-key FILE    its key, PEM\n"
    "  --log-level LEVEL error, warn, info (default) or debug\n"
    "  --check-config    says whether the configuration is good, and ends\n"
    "  --help            this text\n"
    "  --version\n"
    "\n"
    "Environment, also from the file .env: PORT, CAMARAS_IPS, NUCHUB_TOKEN,\n"
    "REDIS_URL.\n";

const char *hub_config_usage(void)
{
    return usage;
}

/* What --config said, and the place of each setting's last argument. */
struct command_line {
    const char *file;
    const char *values[N_ELEMENTS(settings)];
};

static void list_options(struct option *options)
{
    size_t n = 0;

    options[n++] = (struct option){"config", required_argument, NULL, OPT_CONFIG};
    options[n++] = (struct option){"check-config", no_argument, NULL, OPT_CHECK};
    options[n++] = (struct option){"help", no_argument, NULL, 'h'};
    options[n++] = (struct option){"version", no_argument, NULL, 'V'};
    for (size_t i = 0; i < N_ELEMENTS(settings); i++)
        if (settings[i].flag)
            options[n++] = (struct option){settings[i].flag, required_argument, NULL,
                                           OPT_FIRST_SETTING + (int)i};
    options[n] = (struct option){0};
}

static int read_arguments(struct hub_config *c, int argc, char *const argv[],
                          struct command_line *line, struct sio_diag *diag)
{
    struct option options[N_ELEMENTS(settings) + 5];
    int opt;

    list_options(options);
    optind = 0; /* glibc: starts over */
    opterr = 0;
    while ((opt = getopt_long(argc, argv, ":hV", options, NULL)) != -1) {
        switch (opt) {
        case 'h': c->mode = HUB_MODE_HELP; return SIO_OK;
        case 'V': c->mode = HUB_MODE_VERSION; return SIO_OK;
        case OPT_CHECK: c->mode = HUB_MODE_CHECK; break;
        case OPT_CONFIG: line->file = optarg; break;
        case ':':
            return sio_diag_set(diag, SIO_ERR_INVAL, "%s needs a value",
                                argv[optind - 1]);
        case '?':
            return sio_diag_set(diag, SIO_ERR_INVAL, "unknown option %s (see --help)",
                                argv[optind - 1]);
        default: line->values[opt - OPT_FIRST_SETTING] = optarg; break;
        }
    }
    if (optind < argc)
        return sio_diag_set(diag, SIO_ERR_INVAL, "unknown argument %s (see --help)",
                            argv[optind]);
    return SIO_OK;
}

static int use_arguments(struct hub_config *c, const struct command_line *line,
                         struct sio_diag *diag)
{
    for (size_t i = 0; i < N_ELEMENTS(settings); i++) {
        char where[64];
        int rv;

        if (!line->values[i])
            continue;
        snprintf(where, sizeof(where), "--%s", settings[i].flag);
        rv = set(c, &settings[i], sio_str_from(line->values[i]), where, diag);
        if (rv < 0)
            return rv;
    }
    return SIO_OK;
}

bool hub_config_is_cluster_name_char(char c)
{
    return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') ||
           c == '-' || c == '_';
}

static bool is_cluster_name(const char *name)
{
    for (const char *p = name; *p; p++)
        if (!hub_config_is_cluster_name_char(*p))
            return false;
    return strlen(name) <= HUB_CLUSTER_NAME_MAX;
}

static int check_cluster(const struct hub_config *c, struct sio_diag *diag)
{
    if (c->cluster != HUB_CLUSTER_OFF && !c->redis_url)
        return sio_diag_set(diag, SIO_ERR_INVAL, "cluster needs REDIS_URL");
    if (c->cluster_name && !is_cluster_name(c->cluster_name))
        return sio_diag_set(diag, SIO_ERR_INVAL,
                            "cluster_name must be 1 to %d of A-Z, a-z, 0-9, - and _",
                            HUB_CLUSTER_NAME_MAX);
    if (c->cluster_key && strlen(c->cluster_key) > HUB_CLUSTER_KEY_MAX)
        return sio_diag_set(diag, SIO_ERR_INVAL, "cluster_key has more than %d bytes",
                            HUB_CLUSTER_KEY_MAX);
    return SIO_OK;
}

/* What no single place can know. */
static int check_all(struct hub_config *c, struct sio_diag *diag)
{
    struct sio_diag why;

    if (c->redis_url && store_redis_check(sio_str_from(c->redis_url), &why) < 0)
        return sio_diag_set(diag, SIO_ERR_INVAL, "REDIS_URL: %s", why.text);
    if (check_cluster(c, diag) < 0)
        return SIO_ERR_INVAL;
    if (!c->tls_cert != !c->tls_key)
        return sio_diag_set(diag, SIO_ERR_INVAL, "tls_cert and tls_key go together");
    if (!c->admin_user != !c->admin_hash_file)
        return sio_diag_set(diag, SIO_ERR_INVAL,
                            "admin_user and admin_hash_file go together");
    if (c->refuse_origins && !c->origins)
        return sio_diag_set(diag, SIO_ERR_INVAL, "refuse_origins needs origins");
    if (c->n_cameras > c->max_cameras)
        return sio_diag_set(diag, SIO_ERR_INVAL,
                            "%zu cameras are configured, but max_cameras is %llu",
                            c->n_cameras, (unsigned long long)c->max_cameras);
    for (size_t i = 0; i < c->n_cameras; i++)
        if (c->cameras[i].nuc && !find_nuc(c, sio_str_from(c->cameras[i].nuc)))
            return sio_diag_set(
                diag, SIO_ERR_INVAL,
                "camera %s is of NUC \"%s\", which has no [nuc] section",
                c->cameras[i].ip, c->cameras[i].nuc);
    return SIO_OK;
}

void hub_config_defaults(struct hub_config *c)
{
    *c = (struct hub_config){
        .port = 8080,
        .log_level = SIO_LOG_INFO,
        .compression = true,
        .max_payload_bytes = 16 * MIB,
        .max_queue_bytes = 32 * MIB,
        .max_store_bytes = 512 * MIB,
        .max_sessions = 100000,
        .max_cameras = 4096,
        .live_width = 1280,
        .live_quality = 70,
        .live_fps = 15,
        .live_grace_s = 5,
        .live_max_streams = 1000,
        .live_viewer_streams = 5,
        .live_shared = 4,
        .stale_s = 60,
        .interval_s = 30,
    };
}

int hub_config_init(struct hub_config *c, int argc, char *const argv[],
                    char *const envp[], struct sio_diag *diag)
{
    struct command_line line = {0};
    int rv;

    hub_config_defaults(c);
    rv = read_arguments(c, argc, argv, &line, diag);
    if (rv < 0 || c->mode == HUB_MODE_HELP || c->mode == HUB_MODE_VERSION)
        return rv;
    rv = read_file(c, line.file ? line.file : DEFAULT_FILE, diag);
    if (rv == SIO_ERR_NOT_FOUND && !line.file)
        rv = SIO_OK;
    if (rv >= 0)
        rv = read_env_file(c, diag);
    if (rv >= 0)
        rv = read_environment(c, envp, diag);
    if (rv >= 0)
        rv = use_arguments(c, &line, diag);
    if (rv >= 0)
        rv = check_all(c, diag);
    return rv < 0 ? rv : SIO_OK;
}

static void free_secret(char *s)
{
    if (s)
        explicit_bzero(s, strlen(s));
    mem_free(s);
}

void hub_config_fini(struct hub_config *c)
{
    for (size_t i = 0; i < N_ELEMENTS(settings); i++) {
        char **text = (char **)(void *)((char *)c + settings[i].offset);

        if (settings[i].kind == KIND_TEXT || settings[i].kind == KIND_SECRET) {
            free_secret(*text);
            *text = NULL;
        }
    }
    for (size_t i = 0; i < c->n_nucs; i++) {
        mem_free(c->nucs[i].id);
        free_secret(c->nucs[i].token);
    }
    mem_free(c->nucs);
    clear_cameras(c);
    mem_free(c->file);
    hub_config_defaults(c);
}
