/*
 * nuchubd - the hub
 */
#include <config.h>

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>

#include "base/list.h"
#include "base/log.h"
#include "base/mem.h"
#include "hub/hub.h"
#include "net/loop.h"

#define SHUTDOWN_MS 5000

enum { EXIT_CONFIG = 2 };

extern char **environ;

/* One for the program: what a signal needs. */
struct program {
    struct net_loop *loop;
    struct hub *hub;
    bool stopping;
};

static int fail(const struct sio_diag *diag, int status)
{
    fprintf(stderr, "nuchubd: %s\n", diag->text);
    return status;
}

static void on_down(void *user)
{
    struct program *p = user;

    net_loop_stop(p->loop);
}

/* The first signal ends gracefully, a second one at once; SIGHUP renews. */
static void on_signal(int signo, void *user)
{
    struct program *p = user;

    if (signo == SIGHUP) {
        hub_reload(p->hub);
        return;
    }
    if (p->stopping) {
        net_loop_stop(p->loop);
        return;
    }
    p->stopping = true;
    log_info(net_loop_log(p->loop), "stopping signal=%d", signo);
    hub_shutdown(p->hub, SHUTDOWN_MS, on_down, p);
}

/* A client is a file: as many as the system allows, not as a shell has them (1024). */
static void allow_files(void)
{
    struct rlimit files;

    if (getrlimit(RLIMIT_NOFILE, &files) < 0)
        return;
    files.rlim_cur = files.rlim_max;
    setrlimit(RLIMIT_NOFILE, &files);
}

static int run(const struct hub_config *config)
{
    static const int signals[] = {SIGTERM, SIGINT, SIGHUP};
    struct net_loop_options opts = {
        .log = log_to_stderr,
        .log_user = getenv("JOURNAL_STREAM"),
        .log_level = (enum sio_log_level)config->log_level,
    };
    struct program p = {0};
    struct sio_diag diag = {""};
    int status = EXIT_FAILURE;

    allow_files();
    signal(SIGPIPE, SIG_IGN);
    signal(SIGXFSZ, SIG_IGN); /* a file that may not grow is a write that fails */
    p.loop = net_loop_new(&opts, &diag);
    if (!p.loop)
        return fail(&diag, EXIT_FAILURE);
    if (net_loop_signals(p.loop, signals, N_ELEMENTS(signals), on_signal, &p) < 0)
        sio_diag_set(&diag, SIO_ERR_IO, "cannot wait for signals");
    else
        p.hub = hub_new(p.loop, config, &diag);
    if (!p.hub)
        fail(&diag, EXIT_FAILURE);
    else if (net_loop_run(p.loop) == SIO_OK)
        status = EXIT_SUCCESS;
    hub_free(p.hub);
    net_loop_free(p.loop);
    return status;
}

static int check_config(const struct hub_config *config)
{
    struct sio_diag diag = {""};
    struct net_loop *loop = net_loop_new(NULL, &diag);
    int rv = loop ? hub_check(loop, config, &diag) : SIO_ERR_IO;

    net_loop_free(loop);
    if (rv < 0)
        return fail(&diag, EXIT_CONFIG);
    printf("configuration is good: %s, port %d, %zu cameras, %zu NUCs\n",
           config->file ? config->file : "no file", (int)config->port,
           config->n_cameras, config->n_nucs);
    return EXIT_SUCCESS;
}

int main(int argc, char **argv)
{
    struct hub_config config;
    struct sio_diag diag = {""};
    int status = EXIT_SUCCESS;

    mem_tune();
    if (hub_config_init(&config, argc, argv, environ, &diag) < 0) {
        hub_config_fini(&config);
        return fail(&diag, EXIT_CONFIG);
    }
    switch (config.mode) {
    case HUB_MODE_HELP: fputs(hub_config_usage(), stdout); break;
    case HUB_MODE_VERSION: puts("nuchubd " PACKAGE_VERSION); break;
    case HUB_MODE_CHECK: status = check_config(&config); break;
    case HUB_MODE_RUN: status = run(&config); break;
    }
    hub_config_fini(&config);
    return status;
}
