/*
 * conformance - a server that protocol test suites talk to
 *
 * Socket.IO: the namespaces "/" and "/custom" echo; further events show what else the
 * library can do (`contract` lists them).  With --raw-engine: each Engine.IO message
 * goes back as it came.  Uses only the public headers.
 */
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <sioc/admin.h>
#include <sioc/http.h>

#include "conformance.h"

static const char *on_request(struct eio_request *r, void *user)
{
    struct sio_str deny;

    (void)user;
    if (eio_request_query(r, "deny", &deny) && is_id(deny, "1"))
        return "Forbidden";
    return NULL;
}

/* The raw echo */

static void on_raw_message(struct eio_session *s, bool text, struct sio_slice msg,
                           void *user)
{
    struct eio_part part = {.text = text, .slices = &msg, .n_slices = 1};
    struct eio_msg *echo = eio_msg_new(&part, 1, NULL);

    (void)user;
    if (echo)
        eio_session_send(s, echo);
    eio_msg_unref(echo);
}

static void on_raw_close(struct eio_session *s, enum eio_close_reason reason,
                         void *user)
{
    (void)s;
    (void)reason;
    (void)user;
}

static const struct eio_session_ops raw_ops = {on_raw_message, on_raw_close};

static void on_raw_session(struct eio_session *s, void *user)
{
    eio_session_set_ops(s, &raw_ops, user);
}

/* The program */

struct options {
    struct sio_server_options server;
    struct eio_listen_options listen;
    struct sio_admin_options admin;
    struct sio_cluster_options cluster;
    const char *name;
    bool raw;
};

enum {
    OPT_PORT = 1,
    OPT_PATH,
    OPT_PING_INTERVAL,
    OPT_PING_TIMEOUT,
    OPT_MAX_PAYLOAD,
    OPT_CONNECT_TIMEOUT,
    OPT_UPGRADE_TIMEOUT,
    OPT_PARSER,
    OPT_RECOVERY,
    OPT_ADMIN,
    OPT_ADMIN_FIGURES,
    OPT_RAW_ENGINE,
    OPT_DEFLATE,
    OPT_DEFLATE_ALONE,
    OPT_COOKIE,
    OPT_SID_PREFIX,
    OPT_TRUSTED_PROXIES,
    OPT_CLIENT_DIR,
    OPT_ALLOW_EIO3,
    OPT_JSONP,
    OPT_REDIS,
    OPT_REDIS_MODE,
    OPT_REDIS_SUBSCRIPTIONS,
    OPT_REDIS_KEY,
    OPT_REDIS_TIMEOUT,
    OPT_PYTHON_CHANNEL,
    OPT_NAME,
    OPT_TLS_CERT,
    OPT_TLS_KEY,
    OPT_HELP,
};

static const struct option long_options[] = {
    {"port", required_argument, NULL, OPT_PORT},
    {"path", required_argument, NULL, OPT_PATH},
    {"ping-interval", required_argument, NULL, OPT_PING_INTERVAL},
    {"ping-timeout", required_argument, NULL, OPT_PING_TIMEOUT},
    {"max-payload", required_argument, NULL, OPT_MAX_PAYLOAD},
    {"connect-timeout", required_argument, NULL, OPT_CONNECT_TIMEOUT},
    {"upgrade-timeout", required_argument, NULL, OPT_UPGRADE_TIMEOUT},
    {"parser", required_argument, NULL, OPT_PARSER},
    {"recovery", optional_argument, NULL, OPT_RECOVERY},
    {"admin", required_argument, NULL, OPT_ADMIN},
    {"admin-figures", no_argument, NULL, OPT_ADMIN_FIGURES},
    {"raw-engine", no_argument, NULL, OPT_RAW_ENGINE},
    {"deflate", no_argument, NULL, OPT_DEFLATE},
    {"deflate-alone", no_argument, NULL, OPT_DEFLATE_ALONE},
    {"cookie", no_argument, NULL, OPT_COOKIE},
    {"sid-prefix", required_argument, NULL, OPT_SID_PREFIX},
    {"trusted-proxies", required_argument, NULL, OPT_TRUSTED_PROXIES},
    {"client-dir", required_argument, NULL, OPT_CLIENT_DIR},
    {"allow-eio3", no_argument, NULL, OPT_ALLOW_EIO3},
    {"jsonp", no_argument, NULL, OPT_JSONP},
    {"redis", required_argument, NULL, OPT_REDIS},
    {"redis-mode", required_argument, NULL, OPT_REDIS_MODE},
    {"redis-subscriptions", required_argument, NULL, OPT_REDIS_SUBSCRIPTIONS},
    {"redis-key", required_argument, NULL, OPT_REDIS_KEY},
    {"redis-timeout", required_argument, NULL, OPT_REDIS_TIMEOUT},
    {"python-channel", required_argument, NULL, OPT_PYTHON_CHANNEL},
    {"name", required_argument, NULL, OPT_NAME},
    {"tls-cert", required_argument, NULL, OPT_TLS_CERT},
    {"tls-key", required_argument, NULL, OPT_TLS_KEY},
    {"help", no_argument, NULL, OPT_HELP},
    {0},
};

static void usage(FILE *f)
{
    fputs("usage: conformance [options]\n"
          "Listens on 127.0.0.1.  Times in milliseconds, sizes in bytes.\n"
          "  --port N              0: any (3000)\n"
          "  --path PATH           /socket.io/, with --raw-engine /engine.io/\n"
          "  --ping-interval N     25000\n"
          "  --ping-timeout N      20000\n"
          "  --max-payload N       1000000\n"
          "  --connect-timeout N   45000\n"
          "  --upgrade-timeout N   10000\n"
          "  --parser NAME         json or msgpack (json)\n"
          "  --recovery[=N]        connection state recovery, for so long (120000)\n"
          "  --admin HASH          /admin for the Admin UI, user admin, bcrypt hash\n"
          "  --admin-figures       figures only, and nothing to change\n"
          "  --raw-engine          echo Engine.IO messages, no Socket.IO\n"
          "  --deflate             compress on WebSocket what a client offers to\n"
          "  --deflate-alone       the same, each message on its own\n"
          "  --cookie              the sid in a cookie, \"io\"\n"
          "  --sid-prefix NAME     sids are NAME, a dot and something random\n"
          "  --trusted-proxies N   that add to X-Forwarded-For (0)\n"
          "  --client-dir DIR      serve the JavaScript client that is in DIR\n"
          "  --allow-eio3          clients of Socket.IO 2, too; they may poll by "
          "scripts\n"
          "  --jsonp               polling by scripts, too\n"
          "  --redis URL           act as one with the other servers on that Redis\n"
          "  --redis-mode MODE     pubsub or sharded (pubsub)\n"
          "  --redis-subscriptions MODE  of sharded: dynamic, static or\n"
          "                        dynamic-private (dynamic)\n"
          "  --redis-key KEY       the beginning of the channels (socket.io)\n"
          "  --redis-timeout N     for answers of other servers (5000)\n"
          "  --python-channel NAME clients get what python-socketio emits there\n"
          "  --name NAME           what it answers to other servers (conformance)\n"
          "  --tls-cert FILE --tls-key FILE\n",
          f);
}

static uint32_t number(const char *name, const char *text, uint32_t max)
{
    char *end;
    unsigned long long n;

    errno = 0;
    n = strtoull(text, &end, 10);
    if (errno || end == text || *end || text[0] == '-' || n > max) {
        fprintf(stderr, "conformance: --%s: not a number up to %" PRIu32 ": %s\n", name,
                max, text);
        exit(2);
    }
    return (uint32_t)n;
}

static enum sio_parser_kind parser_kind(const char *name)
{
    if (strcmp(name, "json") == 0)
        return SIO_PARSER_JSON;
    if (strcmp(name, "msgpack") == 0)
        return SIO_PARSER_MSGPACK;
    fprintf(stderr, "conformance: --parser: not json or msgpack: %s\n", name);
    exit(2);
}

static enum sio_cluster_mode cluster_mode(const char *name)
{
    if (strcmp(name, "pubsub") == 0)
        return SIO_CLUSTER_PUBSUB;
    if (strcmp(name, "sharded") == 0)
        return SIO_CLUSTER_SHARDED;
    fprintf(stderr, "conformance: --redis-mode: not pubsub or sharded: %s\n", name);
    exit(2);
}

static enum sio_cluster_subscriptions cluster_subscriptions(const char *name)
{
    if (strcmp(name, "dynamic") == 0)
        return SIO_CLUSTER_DYNAMIC;
    if (strcmp(name, "static") == 0)
        return SIO_CLUSTER_STATIC;
    if (strcmp(name, "dynamic-private") == 0)
        return SIO_CLUSTER_DYNAMIC_PRIVATE;
    fprintf(stderr, "conformance: --redis-subscriptions: not known: %s\n", name);
    exit(2);
}

static bool take_cluster_option(struct options *o, int opt, const char *name)
{
    switch (opt) {
    case OPT_REDIS: o->cluster.redis_url = optarg; break;
    case OPT_REDIS_MODE: o->cluster.mode = cluster_mode(optarg); break;
    case OPT_REDIS_SUBSCRIPTIONS:
        o->cluster.subscriptions = cluster_subscriptions(optarg);
        break;
    case OPT_REDIS_KEY: o->cluster.key = optarg; break;
    case OPT_REDIS_TIMEOUT:
        o->cluster.request_timeout_ms = number(name, optarg, INT32_MAX);
        break;
    case OPT_PYTHON_CHANNEL: o->cluster.python_channel = optarg; break;
    case OPT_NAME: o->name = optarg; break;
    default: return false;
    }
    return true;
}

static const struct eio_cookie cookie = {.http_only = true};

static void take_option(struct options *o, int opt, const char *name)
{
    struct eio_server_options *engine = &o->server.engine;

    switch (opt) {
    case OPT_PORT: o->listen.port = (uint16_t)number(name, optarg, UINT16_MAX); break;
    case OPT_PATH: engine->path = optarg; break;
    case OPT_PING_INTERVAL:
        engine->ping_interval_ms = number(name, optarg, INT32_MAX);
        break;
    case OPT_PING_TIMEOUT:
        engine->ping_timeout_ms = number(name, optarg, INT32_MAX);
        break;
    case OPT_MAX_PAYLOAD: engine->max_payload = number(name, optarg, INT32_MAX); break;
    case OPT_CONNECT_TIMEOUT:
        o->server.connect_timeout_ms = number(name, optarg, INT32_MAX);
        break;
    case OPT_UPGRADE_TIMEOUT:
        engine->upgrade_timeout_ms = number(name, optarg, INT32_MAX);
        break;
    case OPT_PARSER: o->server.parser = parser_kind(optarg); break;
    case OPT_RECOVERY:
        o->server.recovery.max_away_ms =
            optarg ? number(name, optarg, INT32_MAX) : 120000;
        break;
    case OPT_ADMIN:
        o->admin.username = "admin";
        o->admin.password_hash = optarg;
        break;
    case OPT_ADMIN_FIGURES: o->admin.read_only = true; break;
    case OPT_RAW_ENGINE: o->raw = true; break;
    case OPT_DEFLATE:
    case OPT_DEFLATE_ALONE:
        engine->deflate.enabled = true;
        engine->deflate.min_bytes = 1; /* for tests: all of them */
        engine->deflate.server_no_context_takeover = opt == OPT_DEFLATE_ALONE;
        engine->deflate.client_no_context_takeover = opt == OPT_DEFLATE_ALONE;
        break;
    case OPT_CLIENT_DIR: o->server.client_dir = optarg; break;
    case OPT_COOKIE: engine->cookie = &cookie; break;
    case OPT_SID_PREFIX: engine->sid_prefix = optarg; break;
    case OPT_TRUSTED_PROXIES:
        engine->trusted_proxies = number(name, optarg, INT32_MAX);
        break;
    case OPT_ALLOW_EIO3: engine->allow_eio3 = engine->jsonp = true; break;
    case OPT_JSONP: engine->jsonp = true; break;
    case OPT_TLS_CERT: o->listen.tls_cert_file = optarg; break;
    case OPT_TLS_KEY: o->listen.tls_key_file = optarg; break;
    case OPT_HELP: usage(stdout); exit(0);
    default: usage(stderr); exit(2);
    }
}

static void parse_options(struct options *o, int argc, char **argv)
{
    int opt, i = 0;

    memset(o, 0, sizeof(*o));
    o->listen.host = "127.0.0.1";
    o->listen.port = 3000;
    o->server.engine.cors = true;
    o->server.engine.allow_request = on_request;
    /* A burst to a slow reader is part of the tests. */
    o->server.engine.max_queue_bytes = 64 << 20;
    o->name = "conformance";
    while ((opt = getopt_long(argc, argv, "", long_options, &i)) != -1) {
        const char *name = opt > 0 && opt < OPT_HELP ? long_options[i].name : "";

        if (!take_cluster_option(o, opt, name))
            take_option(o, opt, name);
    }
    if (optind < argc) {
        usage(stderr);
        exit(2);
    }
}

/* What a balancer asks for to know that the server is there. */
static int add_status(struct app *app)
{
    static const char text[] = "{\"status\":\"ok\"}";

    return sio_http_page(sio_server_http(app->server), "/api/status",
                         "application/json", text, sizeof(text) - 1);
}

static int attach_admin(struct app *app, const struct options *o, struct sio_diag *diag)
{
    struct sio_admin_options admin = o->admin;

    if (!admin.username)
        return SIO_OK;
    admin.development = !admin.read_only;
    return sio_admin_attach(app->server, &admin, diag);
}

static int join_cluster(struct app *app, struct options *o, struct sio_diag *diag)
{
    app->name = o->name;
    if (!o->cluster.redis_url)
        return SIO_OK;
    app->cluster = sio_cluster_new(app->loop, &o->cluster, diag);
    if (!app->cluster)
        return SIO_ERR_INVAL;
    o->server.adapter = sio_cluster_adapter;
    o->server.adapter_user = app->cluster;
    return SIO_OK;
}

static int start(struct app *app, struct options *o, struct sio_diag *diag)
{
    struct eio_server_options engine = o->server.engine;
    int rv;

    if (o->raw) {
        engine.on_session = on_raw_session;
        engine.user = app;
        app->engine = eio_server_new(app->loop, &engine, diag);
        return app->engine ? eio_server_listen(app->engine, &o->listen, diag)
                           : SIO_ERR_INVAL;
    }
    app->recovery = o->server.recovery.max_away_ms > 0;
    rv = join_cluster(app, o, diag);
    if (rv < 0)
        return rv;
    app->server = sio_server_new(app->loop, &o->server, diag);
    if (!app->server)
        return SIO_ERR_INVAL;
    rv = add_namespaces(app);
    if (rv == SIO_OK)
        rv = add_status(app);
    if (rv < 0)
        return sio_diag_set(diag, rv, "%s", sio_strerror(rv));
    rv = attach_admin(app, o, diag);
    if (rv < 0)
        return rv;
    return sio_server_listen(app->server, &o->listen, diag);
}

static void on_shut_down(void *user)
{
    net_loop_stop(((struct app *)user)->loop);
}

static void shut_down(void *arg)
{
    struct app *app = arg;

    if (app->server)
        sio_server_shutdown(app->server, 1000, on_shut_down, app);
    else
        eio_server_shutdown(app->engine, 1000, on_shut_down, app);
}

static sigset_t end_signals(void)
{
    sigset_t set;

    sigemptyset(&set);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGTERM);
    return set;
}

/* The loop has one thread; signals wait in another and come over by a post. */
static void *wait_for_signal(void *arg)
{
    struct app *app = arg;
    sigset_t set = end_signals();
    int signo;

    if (sigwait(&set, &signo) == 0)
        net_loop_post(app->loop, shut_down, app);
    return NULL;
}

int main(int argc, char **argv)
{
    struct app app = {0};
    struct options o;
    struct sio_diag diag = {""};
    sigset_t set = end_signals();
    pthread_t thread;
    int rv;

    parse_options(&o, argc, argv);
    pthread_sigmask(SIG_BLOCK, &set, NULL);
    app.loop = net_loop_new(NULL, &diag);
    rv = app.loop ? start(&app, &o, &diag) : SIO_ERR_NOMEM;
    if (rv >= 0 && pthread_create(&thread, NULL, wait_for_signal, &app) == 0) {
        printf("listening on port %d\n", rv);
        fflush(stdout);
        rv = net_loop_run(app.loop);
        pthread_kill(thread, SIGTERM); /* ends the wait if the loop ended by itself */
        pthread_join(thread, NULL);
    } else {
        fprintf(stderr, "conformance: %s\n", diag.text);
        rv = SIO_ERR_IO;
    }
    end_joins(&app);
    sio_server_free(app.server);
    sio_cluster_free(app.cluster);
    if (app.engine)
        eio_server_free(app.engine);
    if (app.loop)
        net_loop_free(app.loop);
    free_watches(&app);
    return rv < 0;
}
