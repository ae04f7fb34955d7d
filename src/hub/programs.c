#include <config.h>

#include "hub/programs.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/camera_list.h"
#include "base/mem.h"
#include "base/str.h"
#include "hub/hub_impl.h"

#define MAX_ARGUMENTS 16

static const struct {
    const char *pattern;
    const char *name; /* in the configuration, and in the log */
    const char *message;
    bool camera;
} programs[HUB_N_PROGRAMS] = {
    [HUB_PROGRAM_DETECTAR] = {"/api/ejecutar/detectar-camaras", "run_detectar_camaras",
                              "Script iniciado", false},
    [HUB_PROGRAM_CERCAS] = {"/api/ejecutar/configurar-cercas", "run_configurar_cercas",
                            "Configurador iniciado", false},
    [HUB_PROGRAM_VIGILANCIA] = {"/api/ejecutar/vigilancia/:", "run_vigilancia",
                                "Vigilancia iniciada para cámara ", true},
    [HUB_PROGRAM_MONITOREO] = {"/api/ejecutar/monitoreo", "run_monitoreo",
                               "Monitoreo múltiple iniciado", false},
    [HUB_PROGRAM_MONITOREO_CERCAS] = {"/api/ejecutar/monitoreo-cercas",
                                      "run_monitoreo_cercas",
                                      "Monitoreo con cercas iniciado", false},
};

/* A command line, split at blanks; text owns the words. */
struct command {
    char *text;
    char *argv[MAX_ARGUMENTS + 2]; /* one more for the camera, and NULL */
    size_t n;
};

static int command_init(struct command *c, const char *line)
{
    char *rest = NULL;

    c->n = 0;
    c->text = mem_strndup(line, strlen(line));
    if (!c->text)
        return SIO_ERR_NOMEM;
    for (char *word = strtok_r(c->text, " \t", &rest); word;
         word = strtok_r(NULL, " \t", &rest)) {
        if (c->n == MAX_ARGUMENTS)
            return SIO_ERR_TOO_BIG;
        c->argv[c->n++] = word;
    }
    c->argv[c->n] = NULL;
    return c->n > 0 && c->argv[0][0] == '/' ? SIO_OK : SIO_ERR_INVAL;
}

int hub_programs_check(const struct hub *hub, struct sio_diag *diag)
{
    for (size_t i = 0; i < HUB_N_PROGRAMS; i++) {
        const char *line = hub->config->programs[i];
        struct command c;
        int rv;

        if (!line)
            continue;
        rv = command_init(&c, line);
        if (rv < 0)
            sio_diag_set(diag, rv,
                         "%s must begin with a whole path, and have at most %d words",
                         programs[i].name, MAX_ARGUMENTS);
        else if (access(c.argv[0], X_OK) < 0)
            rv =
                sio_diag_errno(diag, SIO_ERR_IO, "%s: %s", programs[i].name, c.argv[0]);
        mem_free(c.text);
        if (rv < 0)
            return rv;
    }
    return SIO_OK;
}

/*
 * What a program gets to know: no secret of the hub's own environment.
 */

#define N_PASSED 5

static char *make_variable(const char *name, const char *value)
{
    size_t size = strlen(name) + strlen(value) + 2;
    char *text = mem_alloc(size);

    if (text)
        snprintf(text, size, "%s=%s", name, value);
    return text;
}

static void free_environment(char **envp)
{
    for (size_t i = 0; envp[i]; i++)
        mem_free(envp[i]);
}

/* envp has room for all; ends with NULL. */
static int make_environment(const struct hub *hub, char **envp)
{
    static const char *const passed[N_PASSED] = {"PATH", "HOME", "LANG", "LC_ALL",
                                                 "TZ"};
    const struct {
        const char *name;
        const char *value;
    } own[] = {
        {"CERCAS_DIR", hub->cercas.path},
        {"INTRUSOS_DIR", hub->alerts.pictures[0].path},
        {"VIDEOS_DIR", hub->alerts.videos.path},
    };
    size_t n = 0;

    envp[0] = NULL;
    for (size_t i = 0; i < N_PASSED + N_ELEMENTS(own); i++) {
        const char *name = i < N_PASSED ? passed[i] : own[i - N_PASSED].name;
        const char *value = i < N_PASSED ? getenv(name) : own[i - N_PASSED].value;

        if (!value)
            continue;
        envp[n] = make_variable(name, value);
        if (!envp[n]) {
            free_environment(envp);
            return SIO_ERR_NOMEM;
        }
        envp[++n] = NULL;
    }
    return SIO_OK;
}

/* In a process group of its own, with default signals; what it says is the hub's log. */
static int spawn(char *const argv[], char *const envp[], pid_t *pid)
{
    posix_spawn_file_actions_t files;
    posix_spawnattr_t attr;
    sigset_t none, all;
    int error;

    sigemptyset(&none);
    sigfillset(&all);
    error = posix_spawn_file_actions_init(&files);
    if (error != 0)
        return error;
    error = posix_spawnattr_init(&attr);
    if (error == 0) {
        posix_spawn_file_actions_addopen(&files, 0, "/dev/null", O_RDONLY, 0);
        posix_spawn_file_actions_adddup2(&files, 2, 1);
        posix_spawnattr_setflags(&attr, POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGMASK |
                                            POSIX_SPAWN_SETSIGDEF);
        posix_spawnattr_setsigmask(&attr, &none);
        posix_spawnattr_setsigdefault(&attr, &all);
        error = posix_spawn(pid, argv[0], &files, &attr, argv, envp);
        posix_spawnattr_destroy(&attr);
    }
    posix_spawn_file_actions_destroy(&files);
    return error;
}

static int start(struct hub *hub, enum hub_program which, char *ip, pid_t *pid)
{
    char *envp[N_PASSED + 4];
    struct command c;
    int rv = command_init(&c, hub->config->programs[which]);

    if (rv == SIO_OK && ip) {
        c.argv[c.n++] = ip;
        c.argv[c.n] = NULL;
    }
    if (rv == SIO_OK)
        rv = make_environment(hub, envp);
    if (rv == SIO_OK) {
        errno = spawn(c.argv, envp, pid);
        if (errno != 0) {
            log_warn(hub->log, "program=%s cannot be started: %m",
                     programs[which].name);
            rv = SIO_ERR_IO;
        }
        free_environment(envp);
    }
    mem_free(c.text);
    return rv;
}

/*
 * Requests.
 */

static void reply_started(struct http_request *r, enum hub_program which,
                          struct sio_str ip)
{
    struct wbuf text;

    wbuf_init(&text, HUB_REPLY_MAX);
    wbuf_addf(&text, "%s%.*s", programs[which].message, STR_ARG(ip));
    hub_api_reply_message(r, &text, NULL);
}

/* One that runs for the same camera, or else a free place; NULL: neither. */
static struct hub_running *find_place(struct hub *hub, enum hub_program which,
                                      struct sio_str ip)
{
    struct hub_running *free_one = NULL;

    for (size_t i = 0; i < HUB_PROGRAMS_MAX; i++) {
        struct hub_running *p = &hub->programs.running[i];

        if (p->pid == 0)
            free_one = p;
        else if (p->which == which && str_eq(sio_str_from(p->ip ? p->ip : ""), ip))
            return p;
    }
    return free_one;
}

static void run(struct http_request *r, struct hub *hub, enum hub_program which,
                struct sio_str ip)
{
    struct hub_running *place;
    char *copy = NULL;

    hub_programs_reap(hub);
    place = find_place(hub, which, ip);
    if (!place) {
        http_reply_error(r, 503, "Demasiados programas en marcha");
        return;
    }
    if (place->pid != 0) { /* the page asks whenever it opens a view */
        reply_started(r, which, ip);
        return;
    }
    if (ip.len > 0)
        copy = mem_strndup(ip.ptr, ip.len);
    if ((ip.len > 0 && !copy) || start(hub, which, copy, &place->pid) < 0) {
        mem_free(copy);
        place->pid = 0;
        http_reply_error(r, 500, "No se pudo iniciar el programa");
        return;
    }
    place->which = which;
    place->ip = copy;
    log_info(hub->log, "program=%s pid=%d started", programs[which].name,
             (int)place->pid);
    reply_started(r, which, ip);
}

static void on_request(struct http_request *r, void *user)
{
    const struct hub_program_route *route = user;
    const bool camera = programs[route->which].camera;
    struct sio_str ip = camera ? http_request_param(r, 0) : (struct sio_str){"", 0};

    /* A name that begins with '-' would be an option of the program's. */
    if (camera && (!camera_id_check(ip) || ip.ptr[0] == '-'))
        http_reply_error(r, 400, "Nombre de cámara no válido");
    else if (!route->hub->config->programs[route->which])
        http_reply_error(r, 501, "El servidor no tiene este programa");
    else
        run(r, route->hub, route->which, ip);
}

int hub_programs_route(struct hub *hub)
{
    static const struct http_handler handler = {.on_request = on_request,
                                                .max_body = 65536};

    for (size_t i = 0; i < HUB_N_PROGRAMS; i++) {
        struct hub_program_route *route = &hub->programs.routes[i];
        int rv;

        *route = (struct hub_program_route){hub, (enum hub_program)i};
        rv = http_server_route(hub->http, HTTP_POST, programs[i].pattern, &handler,
                               route);
        if (rv < 0)
            return rv;
    }
    return SIO_OK;
}

void hub_programs_reap(struct hub *hub)
{
    for (size_t i = 0; i < HUB_PROGRAMS_MAX; i++) {
        struct hub_running *p = &hub->programs.running[i];
        int status;

        if (p->pid == 0 || waitpid(p->pid, &status, WNOHANG) == 0)
            continue;
        log_info(hub->log, "program=%s pid=%d ended", programs[p->which].name,
                 (int)p->pid);
        mem_free(p->ip);
        *p = (struct hub_running){0};
    }
}

void hub_programs_fini(struct hub *hub)
{
    for (size_t i = 0; i < HUB_PROGRAMS_MAX; i++) {
        struct hub_running *p = &hub->programs.running[i];

        if (p->pid != 0)
            kill(-p->pid, SIGTERM);
        mem_free(p->ip);
        *p = (struct hub_running){0};
    }
}
