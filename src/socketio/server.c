#include <config.h>

#include "socketio/server.h"

#include "base/mem.h"
#include "engineio/server.h"
#include "socketio/bundle.h"
#include "socketio/client_conn.h"
#include "socketio/namespace.h"
#include "socketio/parent.h"
#include "socketio/request.h"

#define DEFAULT_PATH        "/socket.io/"
#define DEFAULT_MAX_PAYLOAD 1000000

const char *sio_disconnect_reason_text(enum sio_disconnect_reason reason)
{
    switch (reason) {
    case SIO_DISCONNECT_CLIENT: return "client namespace disconnect";
    case SIO_DISCONNECT_SERVER: return "server namespace disconnect";
    case SIO_DISCONNECT_TRANSPORT_CLOSE: return "transport close";
    case SIO_DISCONNECT_TRANSPORT_ERROR: return "transport error";
    case SIO_DISCONNECT_PARSE_ERROR: return "parse error";
    case SIO_DISCONNECT_PING_TIMEOUT: return "ping timeout";
    case SIO_DISCONNECT_FORCED: return "forced close";
    case SIO_DISCONNECT_FORCED_SERVER: return "forced server close";
    case SIO_DISCONNECT_SHUTDOWN: return "server shutting down";
    }
    return "";
}

static void on_session(struct eio_session *session, void *user)
{
    sio_conn_open(user, session);
}

/* The hooks get the application's pointer, not ours. */

static const char *on_request(struct eio_request *r, void *user)
{
    const struct eio_server_options *hooks = &((struct sio_server *)user)->hooks;

    return hooks->allow_request(r, hooks->user);
}

static void on_headers(struct eio_request *r, bool initial, void *user)
{
    const struct eio_server_options *hooks = &((struct sio_server *)user)->hooks;

    hooks->on_headers(r, initial, hooks->user);
}

static void on_refused(struct eio_request *r, int code, const char *message, void *user)
{
    const struct eio_server_options *hooks = &((struct sio_server *)user)->hooks;

    hooks->on_refused(r, code, message, hooks->user);
}

static void bury_dying(struct sio_server *server)
{
    while (!list_empty(&server->dying))
        sio_conn_bury(container_of(server->dying.next, struct sio_conn, link));
}

static void on_bury(struct net_task *task)
{
    bury_dying(container_of(task, struct sio_server, bury));
}

static void server_free(struct sio_server *server)
{
    mem_free(server->path);
    mem_free(server);
}

/* As others: the parser that they have beside their own knows no bound. */
static uint32_t max_attachments(const struct sio_server_options *opts)
{
    if (opts->max_attachments)
        return opts->max_attachments;
    return opts->parser == SIO_PARSER_MSGPACK ? 256 : 10;
}

/* Everything but the engine. */
static struct sio_server *server_alloc(struct net_loop *loop,
                                       const struct sio_server_options *opts)
{
    struct sio_server *server = mem_new(struct sio_server);
    size_t max_payload = opts->engine.max_payload;
    const char *path;

    if (!server)
        return NULL;
    if (max_payload == 0)
        max_payload = DEFAULT_MAX_PAYLOAD;
    server->loop = loop;
    map_init(&server->namespaces);
    list_init(&server->parents);
    list_init(&server->requests);
    list_init(&server->dying);
    list_init(&server->bury.link);
    server->bury.run = on_bury;
    server->connect_timeout_ms =
        opts->connect_timeout_ms ? opts->connect_timeout_ms : 45000;
    server->max_namespaces = opts->max_namespaces ? opts->max_namespaces : 64;
    server->codec.parser = sio_parser_of(opts->parser);
    server->codec.max_attachments = max_attachments(opts);
    server->codec.max_bytes =
        opts->max_binary_bytes ? opts->max_binary_bytes : 4 * max_payload;
    sio_recovery_common_init(&server->recovery, opts);
    server->make_adapter = opts->adapter;
    server->adapter_user = opts->adapter_user;
    server->hooks = opts->engine;
    path = opts->engine.path ? opts->engine.path : DEFAULT_PATH;
    server->path = mem_strndup(path, strlen(path));
    if (!server->path) {
        mem_free(server);
        return NULL;
    }
    return server;
}

static struct eio_server_options engine_options(struct sio_server *server,
                                                const struct sio_server_options *opts)
{
    struct eio_server_options engine = opts->engine;

    if (engine.allow_request)
        engine.allow_request = on_request;
    if (engine.on_headers)
        engine.on_headers = on_headers;
    if (engine.on_refused)
        engine.on_refused = on_refused;
    engine.on_session = on_session;
    engine.user = server;
    engine.path = server->path;
    return engine;
}

static struct sio_server *server_start(struct net_loop *loop, struct http_server *http,
                                       const struct sio_server_options *opts,
                                       struct sio_diag *diag)
{
    struct sio_server *server = server_alloc(loop, opts);
    struct eio_server_options engine;

    if (!server) {
        sio_diag_set(diag, SIO_ERR_NOMEM, "out of memory");
        return NULL;
    }
    engine = engine_options(server, opts);
    server->engine = http ? eio_server_attach(loop, http, &engine, diag)
                          : eio_server_new(loop, &engine, diag);
    if (!server->engine) {
        server_free(server);
        return NULL;
    }
    if (opts->client_dir && sio_bundle_serve(eio_server_http(server->engine),
                                             opts->client_dir, engine.path, diag) < 0) {
        sio_server_free(server);
        return NULL;
    }
    return server;
}

struct sio_server *sio_server_new(struct net_loop *loop,
                                  const struct sio_server_options *opts,
                                  struct sio_diag *diag)
{
    return server_start(loop, NULL, opts, diag);
}

struct sio_server *sio_server_attach(struct net_loop *loop, struct http_server *http,
                                     const struct sio_server_options *opts,
                                     struct sio_diag *diag)
{
    return server_start(loop, http, opts, diag);
}

void sio_server_free(struct sio_server *server)
{
    struct map_pos pos;
    struct map_node *node;

    if (!server)
        return;
    eio_server_free(server->engine);
    server->engine = NULL;
    bury_dying(server);
    sio_requests_close(&server->requests);
    if (server->admin)
        server->free_admin(server->admin);
    list_remove(&server->bury.link);
    for (node = map_first(&server->namespaces, &pos); node;
         node = map_next(&server->namespaces, &pos)) {
        map_remove(&server->namespaces, node);
        sio_namespace_free(container_of(node, struct sio_namespace, node));
    }
    map_fini(&server->namespaces);
    sio_server_free_parents(server);
    server_free(server);
}

int sio_server_listen(struct sio_server *server, const struct eio_listen_options *opts,
                      struct sio_diag *diag)
{
    return eio_server_listen(server->engine, opts, diag);
}

void sio_server_shutdown(struct sio_server *server, uint32_t timeout_ms,
                         void (*cb)(void *user), void *user)
{
    eio_server_shutdown(server->engine, timeout_ms, cb, user);
}

struct eio_server *sio_server_engine(struct sio_server *server)
{
    return server->engine;
}

struct sio_http *sio_server_http(struct sio_server *server)
{
    return eio_server_http(server->engine);
}

struct sio_namespace *sio_server_namespace(struct sio_server *server, const char *name,
                                           const struct sio_namespace_ops *ops,
                                           void *user)
{
    struct sio_str text = sio_str_from(name);
    struct sio_namespace *ns;

    if (!sio_nsp_valid(text))
        return NULL;
    ns = sio_namespace_new(server, text, ops, user, false);
    if (!ns)
        return NULL;
    if (map_add(&server->namespaces, &ns->node, sio_namespace_name(ns)) < 0) {
        sio_namespace_free(ns);
        return NULL;
    }
    if (server->observer)
        server->observer->ops->namespace_made(server->observer, ns);
    return ns;
}

struct sio_namespace *sio_server_find(struct sio_server *server, struct sio_str name)
{
    struct map_node *node = map_find(&server->namespaces, name);

    return node ? container_of(node, struct sio_namespace, node) : NULL;
}
