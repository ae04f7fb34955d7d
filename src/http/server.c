#include <config.h>

#include "http/server.h"

#include "base/mem.h"
#include "http/connection.h"

#define DEFAULT_HEAD_BYTES       (16 * 1024)
#define DEFAULT_FIELDS           100
#define DEFAULT_HEAD_TIMEOUT_MS  10000
#define DEFAULT_BODY_TIMEOUT_MS  20000
#define DEFAULT_IDLE_TIMEOUT_MS  75000
#define DEFAULT_WRITE_TIMEOUT_MS 60000

static void fill_in(uint32_t *number, uint32_t otherwise)
{
    if (*number == 0)
        *number = otherwise;
}

static void on_drained(struct net_task *task)
{
    struct http_server *s = container_of(task, struct http_server, drained);
    void (*cb)(void *user) = s->on_drained;

    s->on_drained = NULL;
    if (cb)
        cb(s->drained_user);
}

struct http_server *http_server_new(struct net_loop *loop,
                                    const struct http_server_options *opts)
{
    struct http_server *s = mem_new(struct http_server);

    if (!s)
        return NULL;
    s->loop = loop;
    if (opts)
        s->opts = *opts;
    fill_in(&s->opts.max_head_bytes, DEFAULT_HEAD_BYTES);
    fill_in(&s->opts.max_fields, DEFAULT_FIELDS);
    fill_in(&s->opts.head_timeout_ms, DEFAULT_HEAD_TIMEOUT_MS);
    fill_in(&s->opts.body_timeout_ms, DEFAULT_BODY_TIMEOUT_MS);
    fill_in(&s->opts.idle_timeout_ms, DEFAULT_IDLE_TIMEOUT_MS);
    fill_in(&s->opts.write_timeout_ms, DEFAULT_WRITE_TIMEOUT_MS);
    http_router_init(&s->router);
    list_init(&s->conns);
    list_init(&s->drained.link);
    s->drained.run = on_drained;
    return s;
}

static void stop_listening(struct http_server *s)
{
    for (size_t i = 0; i < s->n_listeners; i++)
        net_listener_free(s->listeners[i]);
    mem_free(s->listeners);
    s->listeners = NULL;
    s->n_listeners = 0;
}

void http_server_free(struct http_server *s)
{
    if (!s)
        return;
    stop_listening(s);
    s->on_drained = NULL;
    while (!list_empty(&s->conns))
        http_conn_abort(container_of(s->conns.next, struct http_conn, link));
    list_remove(&s->drained.link);
    http_router_fini(&s->router);
    mem_free(s);
}

int http_server_listen(struct http_server *s, const struct net_listen_options *opts,
                       struct sio_diag *diag)
{
    struct net_listener **all =
        mem_resize(s->listeners, s->n_listeners + 1, sizeof(struct net_listener *));
    struct net_listener *l;

    if (!all)
        return sio_diag_set(diag, SIO_ERR_NOMEM, "out of memory");
    s->listeners = all;
    l = net_listener_new(s->loop, opts, http_conn_accept, s, diag);
    if (!l)
        return SIO_ERR_IO;
    all[s->n_listeners++] = l;
    return net_listener_port(l);
}

void http_server_set_tls(struct http_server *s, struct net_tls *tls)
{
    for (size_t i = 0; i < s->n_listeners; i++)
        net_listener_set_tls(s->listeners[i], tls);
}

void http_server_conn_gone(struct http_server *s)
{
    s->n_conns--;
    if (s->draining && s->n_conns == 0 && s->on_drained)
        net_loop_defer(s->loop, &s->drained);
}

void http_server_drain(struct http_server *s, void (*cb)(void *user), void *user)
{
    struct http_conn *c;

    s->draining = true;
    s->on_drained = cb;
    s->drained_user = user;
    stop_listening(s);
    list_for_each (c, struct http_conn, link, &s->conns)
        http_conn_drain(c);
    if (s->n_conns == 0 && cb)
        net_loop_defer(s->loop, &s->drained);
}

int http_server_route(struct http_server *s, unsigned methods, const char *pattern,
                      const struct http_handler *handler, void *user)
{
    return http_router_add(&s->router, false, methods, pattern, handler, user);
}

int http_server_route_first(struct http_server *s, unsigned methods,
                            const char *pattern, const struct http_handler *handler,
                            void *user)
{
    return http_router_add(&s->router, true, methods, pattern, handler, user);
}

void http_server_stats(const struct http_server *s, struct http_server_stats *out)
{
    out->n_requests = s->n_requests;
    out->n_accepted = s->n_accepted;
    out->n_conns = s->n_conns;
}
