#include <config.h>

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "agent/capture.h"
#include "agent/config.h"
#include "agent/footprint.h"
#include "agent/uplink.h"
#include "base/list.h"
#include "base/log.h"
#include "net/loop.h"

#define GOODBYE_MS 3000
#define THREADS_S  2

enum { EXIT_CONFIG = 2 };

struct agent {
    struct agent_config config;
    struct net_loop *loop;
    struct agent_uplink *uplink;
    struct net_timer goodbye;
    bool stopping;
};

static void on_closed(void *user)
{
    struct agent *a = user;

    net_loop_stop(a->loop);
}

static void on_goodbye_late(struct net_timer *timer, void *user)
{
    (void)timer;
    on_closed(user);
}

/* The first signal says good-bye to the hub, the second does not wait for it. */
static void on_signal(int signo, void *user)
{
    struct agent *a = user;

    log_info(net_loop_log(a->loop), "signal=%d stopping", signo);
    if (a->stopping || net_timer_start(&a->goodbye, GOODBYE_MS) < 0) {
        net_loop_stop(a->loop);
        return;
    }
    a->stopping = true;
    agent_uplink_close(a->uplink, on_closed, a);
}

static void on_alarm(int signo)
{
    (void)signo;
    _exit(EXIT_SUCCESS);
}

/*
 * Threads end soon, save one that looks up a name: nothing interrupts the system's
 * resolver, which may wait for minutes.
 */
static void bound_end(void)
{
    signal(SIGALRM, on_alarm);
    alarm(THREADS_S);
}

static int start(struct agent *a, struct sio_diag *diag)
{
    static const int signals[] = {SIGTERM, SIGINT};
    /* Under systemd lines carry their level. */
    bool journal = getenv("JOURNAL_STREAM") != NULL;
    struct net_loop_options opts = {
        .log = log_to_stderr,
        .log_user = journal ? a : NULL,
        .log_level = a->config.log_level,
    };
    int rv;

    a->loop = net_loop_new(&opts, diag);
    if (!a->loop)
        return SIO_ERR_IO;
    net_timer_init(&a->goodbye, a->loop, on_goodbye_late, a);
    rv = net_loop_signals(a->loop, signals, N_ELEMENTS(signals), on_signal, a);
    if (rv < 0)
        return sio_diag_set(diag, rv, "signals: %s", sio_strerror(rv));
    a->uplink = agent_uplink_new(a->loop, &a->config, diag);
    return a->uplink ? SIO_OK : SIO_ERR_INVAL;
}

static int run(struct agent *a)
{
    struct sio_diag diag = {""};
    int rv = start(a, &diag);

    if (rv == SIO_OK && a->config.mode == AGENT_MODE_CHECK) {
        printf("nuchub-agent: the configuration is good\n");
    } else if (rv == SIO_OK) {
        log_info(net_loop_log(a->loop),
                 "starting hub=%s nuc_id=%s cameras=%zu version=%s",
                 a->config.server_url, a->config.nuc_id, a->config.n_cameras,
                 PACKAGE_VERSION);
        rv = agent_uplink_connect(a->uplink, &diag);
        if (rv == SIO_OK && (rv = net_loop_run(a->loop)) < 0)
            sio_diag_set(&diag, rv, "%s", sio_strerror(rv));
        bound_end();
    }
    if (rv < 0)
        fprintf(stderr, "nuchub-agent: %s\n", diag.text);
    if (a->uplink)
        agent_uplink_stop(a->uplink);
    if (a->loop) {
        net_timer_stop(&a->goodbye);
        net_loop_free(a->loop);
    }
    agent_uplink_free(a->uplink);
    return rv < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}

int main(int argc, char *argv[])
{
    struct agent a = {0};
    struct sio_diag diag = {""};
    int status = EXIT_SUCCESS;

    agent_footprint_tune();
    agent_capture_setup();
    signal(SIGPIPE, SIG_IGN);
    if (agent_config_init(&a.config, argc, argv, environ, &diag) < 0) {
        fprintf(stderr, "nuchub-agent: %s\n", diag.text);
        agent_config_fini(&a.config);
        return EXIT_CONFIG;
    }
    switch (a.config.mode) {
    case AGENT_MODE_HELP: fputs(agent_config_usage(), stdout); break;
    case AGENT_MODE_VERSION: puts("nuchub-agent " PACKAGE_VERSION); break;
    case AGENT_MODE_CHECK:
    case AGENT_MODE_RUN: status = run(&a); break;
    }
    agent_config_fini(&a.config);
    return status;
}
