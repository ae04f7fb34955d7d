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
#include "hub/config_settings.h"
#include "store/store.h"

#define DEFAULT_FILE   NUC_SYSCONFDIR "/nuchub/nuchubd.conf"
#define FILE_MAX_BYTES (1024 * 1024)

#define MIB            ((uint64_t)1024 * 1024)

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

    if (c->n_cameras == HUB_LISTED_MAX)
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

    if (c->n_nucs == HUB_LISTED_MAX)
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
    unsigned number = 1;
    int rv = camera_list_next(&list, &entry, &why);

    if (rv > 0)
        clear_cameras(c);
    for (; rv > 0; rv = camera_list_next(&list, &entry, &why)) {
        int added = find_camera(c, entry.id) ? SIO_OK : add_camera(c, entry.id);

        if (added < 0)
            return sio_diag_set(diag, added, "%s: %s", where, sio_strerror(added));
        number++;
    }
    if (rv < 0)
        return sio_diag_set(diag, rv, "%s: entry %u: %s", where, number, why.text);
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

/* A key of a named section.  The value may be a token: it is not shown. */
static int set_named(struct file_reader *f, struct sio_str key, char **member,
                     struct sio_str value, size_t max)
{
    int rv;

    if (*member)
        return fail(f, "a second", key);
    if (!is_name(value, max))
        return fail(f, "empty, too long or not text: the value of", key);
    rv = hub_setting_text(member, value);
    return rv < 0 ? fail_rv(f, rv) : SIO_OK;
}

static int read_key(struct file_reader *f, struct sio_str key, struct sio_str value)
{
    struct hub_config *c = f->config;
    const struct hub_setting *setting;
    char where[128];

    switch (f->section) {
    case SECTION_CAMERA:
        if (str_eq_cstr(key, "nombre"))
            return set_named(f, key, &c->cameras[c->n_cameras - 1].nombre, value,
                             HUB_NOMBRE_MAX);
        if (str_eq_cstr(key, "nuc"))
            return set_named(f, key, &c->cameras[c->n_cameras - 1].nuc, value,
                             HUB_ID_MAX);
        break;
    case SECTION_NUC:
        if (str_eq_cstr(key, "token"))
            return set_named(f, key, &c->nucs[c->n_nucs - 1].token, value, 1024);
        break;
    case SECTION_MAIN:
        snprintf(where, sizeof(where), "%s:%u", f->name, f->line);
        setting = hub_setting_find(key);
        if (setting)
            return hub_setting_set(c, setting, value, where, f->diag);
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
    const struct hub_setting *settings;
    char where[128];
    size_t n;

    if (e->file)
        snprintf(where, sizeof(where), "%s:%u: %s", e->file, line, name);
    else
        snprintf(where, sizeof(where), "%s", name);
    if (strcmp(name, "CAMARAS_IPS") == 0)
        return set_camera_list(e->config, text, where, e->diag);
    /* Of systemd's StateDirectory=; what the file says is meant more. */
    if (!e->file && strcmp(name, "STATE_DIRECTORY") == 0 && !e->config->state_dir)
        return hub_setting_text(&e->config->state_dir, str_cut(&text, ':'));
    settings = hub_settings(&n);
    for (size_t i = 0; i < n; i++)
        if (settings[i].env && strcmp(name, settings[i].env) == 0 &&
            (text.len > 0 || settings[i].kind == KIND_SECRET))
            return hub_setting_set(e->config, &settings[i], text, where, e->diag);
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
    const char *values[HUB_SETTINGS_MAX];
};

static void list_options(struct option *options)
{
    size_t n = 0, n_settings;
    const struct hub_setting *settings = hub_settings(&n_settings);

    options[n++] = (struct option){"config", required_argument, NULL, OPT_CONFIG};
    options[n++] = (struct option){"check-config", no_argument, NULL, OPT_CHECK};
    options[n++] = (struct option){"help", no_argument, NULL, 'h'};
    options[n++] = (struct option){"version", no_argument, NULL, 'V'};
    for (size_t i = 0; i < n_settings; i++)
        if (settings[i].flag)
            options[n++] = (struct option){settings[i].flag, required_argument, NULL,
                                           OPT_FIRST_SETTING + (int)i};
    options[n] = (struct option){0};
}

static int read_arguments(struct hub_config *c, int argc, char *const argv[],
                          struct command_line *line, struct sio_diag *diag)
{
    struct option options[HUB_SETTINGS_MAX + 5];
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
    size_t n;
    const struct hub_setting *settings = hub_settings(&n);

    for (size_t i = 0; i < n; i++) {
        char where[64];
        int rv;

        if (!line->values[i])
            continue;
        snprintf(where, sizeof(where), "--%s", settings[i].flag);
        rv = hub_setting_set(c, &settings[i], sio_str_from(line->values[i]), where,
                             diag);
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
    if (c->www_api && !c->www_dir)
        return sio_diag_set(diag, SIO_ERR_INVAL, "www_api needs www");
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
    size_t n;
    const struct hub_setting *settings = hub_settings(&n);

    for (size_t i = 0; i < n; i++) {
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
