#include <config.h>

#include "socketio/request.h"

#include "socketio/namespace.h"
#include "socketio/server.h"

static void tell(struct sio_request *r, int status)
{
    r->told = true;
    net_timer_stop(&r->timer);
    list_remove(&r->link);
    r->ops->tell(r, status);
}

/* Not freed meanwhile: this is a part too. */
static void tell_early(struct sio_request *r, int status)
{
    r->n_parts++;
    tell(r, status);
    sio_request_end(r, SIO_OK);
}

static void on_timeout(struct net_timer *timer, void *user)
{
    (void)timer;
    tell_early(user, SIO_ERR_TIMEOUT);
}

void sio_request_init(struct sio_request *r, struct sio_namespace *ns,
                      const struct sio_request_ops *ops)
{
    r->ops = ops;
    r->ns = ns;
    r->n_parts = 1;
    list_append(&ns->server->requests, &r->link);
    net_timer_init(&r->timer, ns->server->loop, on_timeout, r);
    sio_namespace_hold(ns);
}

int sio_request_start(struct sio_request *r, uint32_t timeout_ms)
{
    return timeout_ms > 0 ? net_timer_start(&r->timer, timeout_ms) : SIO_OK;
}

void sio_request_begin(struct sio_request *r)
{
    r->n_parts++;
}

static void free_request(struct sio_request *r)
{
    struct sio_namespace *ns = r->ns;

    net_timer_stop(&r->timer);
    list_remove(&r->link);
    r->ops->free(r);
    sio_namespace_release(ns);
}

void sio_request_end(struct sio_request *r, int status)
{
    if (r->status == SIO_OK)
        r->status = status;
    if (r->n_parts == 1 && !r->told)
        tell(r, r->status);
    if (--r->n_parts == 0)
        free_request(r);
}

void sio_request_drop(struct sio_request *r)
{
    free_request(r);
}

void sio_requests_close(struct list *requests)
{
    while (!list_empty(requests))
        tell_early(container_of(requests->next, struct sio_request, link),
                   SIO_ERR_CLOSED);
}
