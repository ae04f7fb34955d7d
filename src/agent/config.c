#include <config.h>

#include "agent/config.h"

#include <stdio.h>

#include "base/envfile.h"
#include "base/list.h"
#include "base/mem.h"
#include "base/str.h"
#include "http/url.h"

#define ENV_FILE        ".env"
#define MAX_CAMERAS     256
#define NAME_MAX_BYTES  128
#define TOKEN_MAX_BYTES 1024
#define INTERVAL_MIN_MS 200
#define LIVE_WIDTH_MIN  160
#define LIVE_WIDTH_MAX  3840
#define INTERVAL_MAX_MS (24 * 60 * 60 * 1000)

enum key {
    KEY_SERVER,
    KEY_NUC_ID,
    KEY_TOKEN,
    KEY_CAMERAS,
    KEY_USER,
    KEY_PASSWORD,
    KEY_INTERVAL,
    KEY_CA_FILE,
    KEY_ON_REQUEST,
    KEY_TRANSPORT,
    KEY_LOG_LEVEL,
    KEY_LIVE_TEXT,
    KEY_LIVE_WIDTH,
    KEY_KEEP_WARM,
    N_KEYS,
};

static const struct {
    const char *env;
    const char *flag; /* NULL: none, since a command line is seen by everyone */
} keys[N_KEYS] = {
    [KEY_SERVER] = {"SERVER_URL", "--server"},
    [KEY_NUC_ID] = {"NUC_ID", "--nuc-id"},
    [KEY_TOKEN] = {"NUCHUB_TOKEN", NULL},
    [KEY_CAMERAS] = {"CAMARAS_IPS", "--cameras"},
    [KEY_USER] = {"USUARIO_CAMARAS", NULL},
    [KEY_PASSWORD] = {"CONTRASENA_CAMARAS", NULL},
    [KEY_INTERVAL] = {"INTERVALO_SNAPSHOT", "--interval"},
    [KEY_CA_FILE] = {"NUCHUB_CA_FILE", "--ca-file"},
    [KEY_ON_REQUEST] = {"NUCHUB_ON_REQUEST", "--on-request"},
    [KEY_TRANSPORT] = {"NUCHUB_TRANSPORT", "--transport"},
    [KEY_LOG_LEVEL] = {"NUCHUB_LOG_LEVEL", "--log-level"},
    [KEY_LIVE_TEXT] = {"NUCHUB_LIVE_TEXT", "--live-text"},
    [KEY_LIVE_WIDTH] = {"NUCHUB_LIVE_WIDTH", "--live-width"},
    [KEY_KEEP_WARM] = {"NUCHUB_KEEP_WARM", "--keep-warm"},
};

struct value {
    char *text;       /* NULL: not given */
    char origin[160]; /* ".env:3", "environment", "command line" */
};

struct reader {
    struct value values[N_KEYS];
    const char *env_file;
    bool env_file_given;
    struct sio_diag *diag;
};

const char *agent_config_usage(void)
{
    return "Usage: nuchub-agent [OPTION]...\n"
           "Takes pictures of cameras and sends them to a hub.\n"
           "\n"
           "  --server URL       the hub: http, https, ws or wss     SERVER_URL\n"
           "  --nuc-id NAME      this agent's name                   NUC_ID\n"
           "  --cameras LIST     address or NAME=URL, with commas    CAMARAS_IPS\n"
           "  --interval SECONDS between pictures (30)               "
           "INTERVALO_SNAPSHOT\n"
           "  --ca-file FILE     trust these CAs, not the system's   NUCHUB_CA_FILE\n"
           "  --on-request WHICH cameras the hub may ask for: listed,\n"
           "                     private (listed and private networks;\n"
           "                     the default), any                   "
           "NUCHUB_ON_REQUEST\n"
           "  --transport WHICH  auto, upgrade, websocket, polling   NUCHUB_TRANSPORT\n"
           "  --live-text on|off date, time and name in live pictures (off)\n"
           "                                                         NUCHUB_LIVE_TEXT\n"
           "  --live-width N     of live pictures, at most (1280)    "
           "NUCHUB_LIVE_WIDTH\n"
           "  --keep-warm LIST   cameras whose video is held open, so\n"
           "                     that a picture comes at once; or all\n"
           "                                                         NUCHUB_KEEP_WARM\n"
           "  --log-level LEVEL  error, warn, info, debug            NUCHUB_LOG_LEVEL\n"
           "  --env-file FILE    instead of .env in this directory\n"
           "  --check-config     say what is wrong, or that nothing is\n"
           "  --help, --version\n"
           "\n"
           "The name on the right is the environment variable.  Only there, or in the\n"
           ".env file, are USUARIO_CAMARAS and CONTRASENA_CAMARAS, the login of "
           "cameras\n"
           "that name none, and NUCHUB_TOKEN, which the hub may ask for: a command "
           "line\n"
           "can be seen by every user of the machine.\n";
}

static void free_secret(char *s)
{
    if (s)
        explicit_bzero(s, strlen(s));
    mem_free(s);
}

static int set_value(struct reader *r, enum key key, const char *text,
                     const char *origin)
{
    struct value *v = &r->values[key];
    char *copy = mem_strndup(text, strlen(text));

    if (!copy)
        return sio_diag_set(r->diag, SIO_ERR_NOMEM, "out of memory");
    free_secret(v->text);
    v->text = copy;
    snprintf(v->origin, sizeof(v->origin), "%s", origin);
    return SIO_OK;
}

/* --- where values come from ------------------------------------------------------- */

static int on_assignment(const char *name, const char *value, unsigned line, void *user)
{
    struct reader *r = user;
    char origin[160];

    for (size_t i = 0; i < N_KEYS; i++) {
        if (strcmp(name, keys[i].env) != 0)
            continue;
        snprintf(origin, sizeof(origin), "%s:%u", r->env_file, line);
        return set_value(r, (enum key)i, value, origin);
    }
    return SIO_OK; /* the hub reads the same file */
}

static int read_env_file(struct reader *r)
{
    int rv = envfile_read(r->env_file, on_assignment, r, r->diag);

    return rv == SIO_ERR_NOT_FOUND && !r->env_file_given ? SIO_OK : rv;
}

static int read_environment(struct reader *r, char *const envp[])
{
    for (size_t i = 0; i < N_KEYS; i++) {
        size_t len = strlen(keys[i].env);

        for (size_t j = 0; envp[j]; j++) {
            int rv;

            if (strncmp(envp[j], keys[i].env, len) != 0 || envp[j][len] != '=')
                continue;
            rv = set_value(r, (enum key)i, envp[j] + len + 1, "environment");
            if (rv < 0)
                return rv;
        }
    }
    return SIO_OK;
}

/* `--name value` and `--name=value`: the value, with *i moved to the last word used. */
static const char *flag_value(const char *name, int argc, char *const argv[], int *i)
{
    size_t len = strlen(name);

    if (strncmp(argv[*i], name, len) != 0)
        return NULL;
    if (argv[*i][len] == '=')
        return argv[*i] + len + 1;
    if (argv[*i][len] == '\0' && *i + 1 < argc)
        return argv[++*i];
    return NULL;
}

static int read_flag(struct reader *r, int argc, char *const argv[], int *i)
{
    const char *word = argv[*i];
    const char *value;

    for (size_t k = 0; k < N_KEYS; k++) {
        if (!keys[k].flag || !(value = flag_value(keys[k].flag, argc, argv, i)))
            continue;
        if (k == KEY_CAMERAS && strchr(value, '@'))
            return sio_diag_set(
                r->diag, SIO_ERR_INVAL,
                "--cameras: a login does not belong on the command line, "
                "where every user can see it; use CAMARAS_IPS");
        return set_value(r, (enum key)k, value, "command line");
    }
    value = flag_value("--env-file", argc, argv, i);
    if (value) {
        r->env_file = value;
        r->env_file_given = true;
        return SIO_OK;
    }
    /* The word may be a mistyped option with a password in it. */
    return sio_diag_set(r->diag, SIO_ERR_INVAL,
                        "%.*s: unknown option, or its value is missing; see --help",
                        (int)strcspn(word, "="), word);
}

/* Options are read first, for they name the file, and count last. */
static int read_flags(struct reader *r, struct agent_config *c, int argc,
                      char *const argv[])
{
    for (int i = 1; i < argc; i++) {
        int rv = SIO_OK;

        if (strcmp(argv[i], "--help") == 0)
            c->mode = AGENT_MODE_HELP;
        else if (strcmp(argv[i], "--version") == 0)
            c->mode = AGENT_MODE_VERSION;
        else if (strcmp(argv[i], "--check-config") == 0)
            c->mode = AGENT_MODE_CHECK;
        else
            rv = read_flag(r, argc, argv, &i);
        if (rv < 0)
            return rv;
        if (c->mode == AGENT_MODE_HELP || c->mode == AGENT_MODE_VERSION)
            return SIO_OK;
    }
    return SIO_OK;
}

/* --- what values mean --------------------------------------------------------------- */

static int wrong(const struct reader *r, enum key key, const char *text)
{
    return sio_diag_set(r->diag, SIO_ERR_INVAL, "%s: %s: %s", r->values[key].origin,
                        keys[key].env, text);
}

/* One of a few words; its index, or -1. */
static int pick(const char *word, const char *const *words, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (strcmp(word, words[i]) == 0)
            return (int)i;
    return -1;
}

/* Seconds with at most three decimals, as milliseconds. */
static int parse_seconds(const char *text, uint32_t *ms)
{
    struct sio_str rest = str_trim(sio_str_from(text));
    struct sio_str whole = str_cut(&rest, '.');
    uint64_t seconds;
    uint64_t fraction = 0;

    if (str_to_u64(whole, INTERVAL_MAX_MS / 1000, &seconds) < 0)
        return SIO_ERR_PARSE;
    if (rest.ptr) {
        if (rest.len > 3 || str_to_u64(rest, 999, &fraction) < 0)
            return SIO_ERR_PARSE;
        for (size_t i = rest.len; i < 3; i++)
            fraction *= 10;
    }
    *ms = (uint32_t)(seconds * 1000 + fraction);
    return *ms >= INTERVAL_MIN_MS && *ms <= INTERVAL_MAX_MS ? SIO_OK : SIO_ERR_PARSE;
}

static int apply_numbers(struct agent_config *c, const struct reader *r)
{
    const char *text = r->values[KEY_INTERVAL].text;
    uint64_t n;

    if (text && parse_seconds(text, &c->interval_ms) < 0)
        return wrong(r, KEY_INTERVAL, "is not a number of seconds from 0.2 to 86400");
    text = r->values[KEY_LIVE_WIDTH].text;
    if (!text)
        return SIO_OK;
    if (str_to_u64(sio_str_from(text), LIVE_WIDTH_MAX, &n) < 0 || n < LIVE_WIDTH_MIN)
        return wrong(r, KEY_LIVE_WIDTH, "is not a number of pixels from 160 to 3840");
    c->live_width = (uint32_t)n;
    return SIO_OK;
}

static int apply_choices(struct agent_config *c, const struct reader *r)
{
    static const char *const switches[] = {"off", "on"};
    static const char *const requests[] = {"private", "listed", "any"};
    static const char *const transports[] = {"auto", "upgrade", "websocket", "polling"};
    static const char *const levels[] = {"error", "warn", "info", "debug"};
    const char *text;
    int i;

    if ((text = r->values[KEY_ON_REQUEST].text)) {
        if ((i = pick(text, requests, N_ELEMENTS(requests))) < 0)
            return wrong(r, KEY_ON_REQUEST, "is none of listed, private, any");
        c->on_request = (enum agent_on_request)i;
    }
    if ((text = r->values[KEY_TRANSPORT].text)) {
        if ((i = pick(text, transports, N_ELEMENTS(transports))) < 0)
            return wrong(r, KEY_TRANSPORT,
                         "is none of auto, upgrade, websocket, polling");
        c->transports = (enum sio_client_transports)i;
    }
    if ((text = r->values[KEY_LOG_LEVEL].text)) {
        if ((i = pick(text, levels, N_ELEMENTS(levels))) < 0)
            return wrong(r, KEY_LOG_LEVEL, "is none of error, warn, info, debug");
        c->log_level = (enum sio_log_level)i;
    }
    if ((text = r->values[KEY_LIVE_TEXT].text)) {
        if ((i = pick(text, switches, N_ELEMENTS(switches))) < 0)
            return wrong(r, KEY_LIVE_TEXT, "is none of on, off");
        c->live_text = i == 1;
    }
    return apply_numbers(c, r);
}

static char *take_text(struct reader *r, enum key key, const char *otherwise)
{
    char *text = r->values[key].text;

    r->values[key].text = NULL;
    if (text || !otherwise)
        return text;
    return mem_strndup(otherwise, strlen(otherwise));
}

static int check_server(const struct reader *r)
{
    struct http_url url;
    struct sio_diag diag = {""};

    if (http_url_parse(sio_str_from(r->values[KEY_SERVER].text), &url, &diag) < 0)
        return wrong(r, KEY_SERVER, diag.text);
    if (str_ieq(url.scheme, SIO_STR("rtsp")) || str_ieq(url.scheme, SIO_STR("rtsps")))
        return wrong(r, KEY_SERVER, "a hub's address begins with http:// or https://");
    if (url.user.ptr)
        return wrong(r, KEY_SERVER, "must not hold a user name");
    if (url.path.len > 1 || url.query.ptr)
        return wrong(r, KEY_SERVER, "must end behind the host and port");
    return SIO_OK;
}

static int apply_texts(struct agent_config *c, struct reader *r)
{
    struct value *server = &r->values[KEY_SERVER];
    struct value *nuc = &r->values[KEY_NUC_ID];

    if (!server->text || !server->text[0])
        return sio_diag_set(r->diag, SIO_ERR_INVAL,
                            "SERVER_URL is not set: the address of the hub");
    if (check_server(r) < 0)
        return SIO_ERR_INVAL;
    if (nuc->text && (!nuc->text[0] || strlen(nuc->text) > NAME_MAX_BYTES))
        return wrong(r, KEY_NUC_ID, "must have 1 to 128 bytes");
    if (r->values[KEY_TOKEN].text &&
        strlen(r->values[KEY_TOKEN].text) > TOKEN_MAX_BYTES)
        return wrong(r, KEY_TOKEN, "must have at most 1024 bytes");
    c->server_url = take_text(r, KEY_SERVER, NULL);
    c->nuc_id = take_text(r, KEY_NUC_ID, "nuc_sede1");
    c->token = take_text(r, KEY_TOKEN, NULL);
    c->ca_file = take_text(r, KEY_CA_FILE, NULL);
    c->password = take_text(r, KEY_PASSWORD, "");
    /* Without a password no login is sent: a refused one counts against the account. */
    c->user = take_text(r, KEY_USER, c->password && c->password[0] ? "admin" : "");
    if (!c->nuc_id || !c->user || !c->password)
        return sio_diag_set(r->diag, SIO_ERR_NOMEM, "out of memory");
    if (c->ca_file && !c->ca_file[0]) {
        mem_free(c->ca_file);
        c->ca_file = NULL;
    }
    return SIO_OK;
}

static bool is_listed(const struct agent_config *c, struct sio_str id)
{
    for (size_t i = 0; i < c->n_cameras; i++)
        if (str_eq_cstr(id, c->cameras[i].id))
            return true;
    return false;
}

static int add_camera(struct agent_config *c, const struct camera_entry *entry,
                      struct sio_diag *diag)
{
    bool login = c->user[0] && c->password[0];
    struct agent_source *grown;
    int rv;

    if (is_listed(c, entry->id))
        return sio_diag_set(diag, SIO_ERR_EXISTS, "%.*s is there twice",
                            STR_ARG(entry->id));
    if (c->n_cameras == MAX_CAMERAS)
        return sio_diag_set(diag, SIO_ERR_TOO_BIG, "more than %d cameras", MAX_CAMERAS);
    grown = mem_resize(c->cameras, c->n_cameras + 1, sizeof(*grown));
    if (!grown)
        return sio_diag_set(diag, SIO_ERR_NOMEM, "out of memory");
    c->cameras = grown;
    rv = agent_source_init(&grown[c->n_cameras], entry, login ? c->user : "",
                           login ? c->password : "", diag);
    if (rv < 0)
        return rv;
    c->n_cameras++;
    return SIO_OK;
}

bool agent_config_keeps_warm(const struct agent_config *c, const char *id)
{
    struct sio_str rest = sio_str_from(c->keep_warm);

    if (c->keep_warm && strcmp(c->keep_warm, "all") == 0)
        return true;
    while (rest.ptr)
        if (str_eq_cstr(str_trim(str_cut(&rest, ',')), id))
            return true;
    return false;
}

static int check_warm(struct agent_config *c, struct reader *r)
{
    struct sio_str rest;

    c->keep_warm = take_text(r, KEY_KEEP_WARM, NULL);
    if (!c->keep_warm || strcmp(c->keep_warm, "all") == 0)
        return SIO_OK;
    for (rest = sio_str_from(c->keep_warm); rest.ptr;) {
        struct sio_str id = str_trim(str_cut(&rest, ','));

        if (id.len > 0 && !is_listed(c, id))
            return wrong(r, KEY_KEEP_WARM, "names a camera that is not in CAMARAS_IPS");
    }
    return SIO_OK;
}

static int apply_cameras(struct agent_config *c, struct reader *r)
{
    const struct value *v = &r->values[KEY_CAMERAS];
    struct sio_str rest = sio_str_from(v->text);
    struct camera_entry entry;
    struct sio_diag why;
    unsigned number = 0;
    int rv;

    while ((rv = camera_list_next(&rest, &entry, &why)) != 0) {
        number++;
        if (rv > 0)
            rv = add_camera(c, &entry, &why);
        if (rv < 0)
            return sio_diag_set(r->diag, rv, "%s: CAMARAS_IPS: entry %u: %s", v->origin,
                                number, why.text);
    }
    if (c->n_cameras == 0)
        return sio_diag_set(r->diag, SIO_ERR_INVAL,
                            "CAMARAS_IPS is not set: no cameras to take pictures of");
    return check_warm(c, r);
}

static int read_all(struct agent_config *c, struct reader *r, int argc,
                    char *const argv[], char *const envp[])
{
    struct value flags[N_KEYS];
    int rv = read_flags(r, c, argc, argv);

    if (rv < 0 || c->mode == AGENT_MODE_HELP || c->mode == AGENT_MODE_VERSION)
        return rv;
    memcpy(flags, r->values, sizeof(flags));
    memset(r->values, 0, sizeof(r->values));
    rv = read_env_file(r);
    if (rv == SIO_OK)
        rv = read_environment(r, envp);
    for (size_t i = 0; i < N_KEYS; i++) {
        if (!flags[i].text)
            continue;
        free_secret(r->values[i].text);
        r->values[i] = flags[i];
    }
    if (rv == SIO_OK)
        rv = apply_choices(c, r);
    if (rv == SIO_OK)
        rv = apply_texts(c, r);
    if (rv == SIO_OK)
        rv = apply_cameras(c, r);
    return rv;
}

int agent_config_init(struct agent_config *c, int argc, char *const argv[],
                      char *const envp[], struct sio_diag *diag)
{
    struct reader r = {.env_file = ENV_FILE, .diag = diag};
    int rv;

    *c = (struct agent_config){
        .interval_ms = 30000, .live_width = 1280, .log_level = SIO_LOG_INFO};
    rv = read_all(c, &r, argc, argv, envp);
    for (size_t i = 0; i < N_KEYS; i++)
        free_secret(r.values[i].text);
    return rv;
}

void agent_config_fini(struct agent_config *c)
{
    for (size_t i = 0; i < c->n_cameras; i++)
        agent_source_fini(&c->cameras[i]);
    mem_free(c->cameras);
    mem_free(c->server_url);
    mem_free(c->nuc_id);
    mem_free(c->ca_file);
    mem_free(c->keep_warm);
    mem_free(c->user);
    free_secret(c->token);
    free_secret(c->password);
    *c = (struct agent_config){0};
}
