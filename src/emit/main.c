/*
 * nuchub-emit - sends events to the clients of all servers on a Redis
 */
#include <config.h>

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/list.h"
#include "base/mem.h"
#include "emit/args.h"
#include "emit/lines.h"
#include "net/loop.h"

enum { EXIT_USAGE = 2, EXIT_UNHEARD = 3 };

struct program {
    const struct emit_args *args;
    struct net_loop *loop;
    struct sio_emitter *emitter;
    bool flushed;
    int flush_status;
    char why[256]; /* what the log said last */
};

static int complain(int status, const char *text)
{
    fprintf(stderr, "nuchub-emit: %s\n", text);
    return status;
}

static void on_log(enum sio_log_level level, const char *line, size_t len, void *user)
{
    struct program *p = user;

    (void)level;
    snprintf(p->why, sizeof(p->why), "%.*s", (int)(len < 250 ? len : 250), line);
}

static void on_flush(int status, void *user)
{
    struct program *p = user;

    p->flushed = true;
    p->flush_status = status;
}

/* Waits until Redis has taken what was sent. */
static int flush(struct program *p)
{
    int rv = sio_emitter_flush(p->emitter, p->args->timeout_ms, on_flush, p);

    p->flushed = false;
    while (rv == SIO_OK && !p->flushed)
        rv = net_loop_run_once(p->loop, -1);
    return rv < 0 ? rv : p->flush_status;
}

static int send_now(struct program *p, struct sio_message *m)
{
    const struct emit_args *a = p->args;
    struct sio_str nsp = sio_str_from(a->nsp);
    struct sio_target target = {.rooms = a->rooms.items,
                                .n_rooms = a->rooms.n,
                                .except = a->except.items,
                                .n_except = a->except.n};

    switch (a->action) {
    case EMIT_EVENT: return sio_emitter_emit(p->emitter, nsp, &target, m);
    case EMIT_SIDE: return sio_emitter_side_emit(p->emitter, nsp, m);
    case EMIT_JOIN:
        return sio_emitter_join(p->emitter, nsp, &target, a->names.items, a->names.n);
    case EMIT_LEAVE:
        return sio_emitter_leave(p->emitter, nsp, &target, a->names.items, a->names.n);
    case EMIT_DISCONNECT:
        return sio_emitter_disconnect(p->emitter, nsp, &target, a->close);
    }
    return SIO_ERR_INVAL;
}

/* What does not fit any more waits for what is before it. */
static int send_in_turn(struct sio_message *m, void *user)
{
    struct program *p = user;
    int rv = send_now(p, m);

    if (rv != SIO_ERR_FULL)
        return rv;
    rv = flush(p);
    return rv < 0 ? rv : send_now(p, m);
}

static int failed(const struct program *p, int error)
{
    const char *what = sio_strerror(error);

    switch (error) {
    case SIO_ERR_TIMEOUT: what = "Redis has not taken it in time"; break;
    case SIO_ERR_CLOSED: what = "the connection to Redis was lost"; break;
    case SIO_ERR_REFUSED: what = "Redis refuses it"; break;
    case SIO_ERR_UNSUPPORTED:
        return complain(EXIT_USAGE, "bytes cannot be sent this way");
    default: break;
    }
    fprintf(stderr, "nuchub-emit: %s%s%s\n", what, p->why[0] ? ": " : "", p->why);
    return EXIT_FAILURE;
}

static int work(struct program *p)
{
    struct emit_lines_ops ops = {send_in_turn, p};
    size_t n_bad = 0;
    int rv = p->args->lines ? emit_lines(p->loop, p->args, &ops, &n_bad)
                            : send_in_turn(p->args->message, p);

    if (rv == SIO_OK)
        rv = flush(p);
    if (rv < 0)
        return failed(p, rv);
    if (n_bad > 0)
        return EXIT_USAGE;
    if (p->args->heard && sio_emitter_unheard(p->emitter) > 0)
        return complain(EXIT_UNHEARD, "no server listens there");
    return EXIT_SUCCESS;
}

static int run(const struct emit_args *args)
{
    struct program p = {.args = args};
    struct net_loop_options opts = {
        .log = on_log, .log_user = &p, .log_level = SIO_LOG_WARN};
    struct sio_emitter_options to = {.redis_url = args->url,
                                     .key = args->key,
                                     .mode = args->sharded ? SIO_CLUSTER_SHARDED
                                                           : SIO_CLUSTER_PUBSUB,
                                     .subscriptions = args->subscriptions};
    struct sio_diag diag = {""};
    int status;

    signal(SIGPIPE, SIG_IGN);
    p.loop = net_loop_new(&opts, &diag);
    if (!p.loop)
        return complain(EXIT_FAILURE, diag.text);
    p.emitter = sio_emitter_new(p.loop, &to, &diag);
    status = p.emitter ? work(&p) : complain(EXIT_USAGE, diag.text);
    sio_emitter_free(p.emitter);
    net_loop_free(p.loop);
    return status;
}

int main(int argc, char **argv)
{
    struct emit_args args;
    struct sio_diag diag = {""};
    int status = EXIT_SUCCESS;

    if (emit_args_init(&args, argc, argv, &diag) < 0)
        status = complain(EXIT_USAGE, diag.text);
    else if (args.mode == EMIT_HELP)
        fputs(emit_args_usage(), stdout);
    else if (args.mode == EMIT_VERSION)
        puts("nuchub-emit " PACKAGE_VERSION);
    else
        status = run(&args);
    emit_args_fini(&args);
    return status;
}
