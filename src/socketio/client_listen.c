/*
 * client_listen.c - who hears of a client's events: handlers by name, and listeners to
 * all that comes in or goes out
 */
#include <config.h>

#include "socketio/client_impl.h"

#include "base/list.h"
#include "base/mem.h"
#include "base/str.h"
#include "socketio/readback.h"

struct handler {
    struct list link;
    char *event;
    sio_client_event_cb cb;
    void *user;
};

struct listener {
    struct list link;
    sio_client_event_cb cb; /* NULL: taken off during a walk */
    void *user;
};

void sio_client_listen_init(struct sio_client_socket *s)
{
    list_init(&s->handlers);
    list_init(&s->any);
    list_init(&s->any_out);
}

static void free_handler(struct handler *h)
{
    list_remove(&h->link);
    mem_free(h->event);
    mem_free(h);
}

static void free_listeners(struct list *all)
{
    while (!list_empty(all)) {
        struct listener *l = container_of(all->next, struct listener, link);

        list_remove(&l->link);
        mem_free(l);
    }
}

void sio_client_listen_fini(struct sio_client_socket *s)
{
    while (!list_empty(&s->handlers))
        free_handler(container_of(s->handlers.next, struct handler, link));
    free_listeners(&s->any);
    free_listeners(&s->any_out);
}

/* Handlers. */

static struct handler *find_handler(struct sio_client_socket *s, struct sio_str event)
{
    struct handler *h;

    list_for_each (h, struct handler, link, &s->handlers)
        if (str_eq_cstr(event, h->event))
            return h;
    return NULL;
}

int sio_client_socket_on(struct sio_client_socket *s, const char *event,
                         sio_client_event_cb cb, void *user)
{
    struct sio_str name = sio_str_from(event);
    struct handler *h = find_handler(s, name);

    if (sio_event_name_reserved(name))
        return SIO_ERR_INVAL;
    if (!h) {
        h = mem_new(struct handler);
        if (!h)
            return SIO_ERR_NOMEM;
        h->event = mem_strndup(name.ptr, name.len);
        if (!h->event) {
            mem_free(h);
            return SIO_ERR_NOMEM;
        }
        list_append(&s->handlers, &h->link);
    }
    h->cb = cb;
    h->user = user;
    return SIO_OK;
}

void sio_client_socket_off(struct sio_client_socket *s, const char *event)
{
    struct handler *h = find_handler(s, sio_str_from(event));

    if (h)
        free_handler(h);
}

/* Listeners. */

static int add(struct list *all, bool in_front, sio_client_event_cb cb, void *user)
{
    struct listener *l = mem_new(struct listener);

    if (!l)
        return SIO_ERR_NOMEM;
    l->cb = cb;
    l->user = user;
    if (in_front)
        list_prepend(all, &l->link);
    else
        list_append(all, &l->link);
    return SIO_OK;
}

static void sweep(struct list *all)
{
    struct listener *l;

    list_for_each (l, struct listener, link, all)
        if (!l->cb) {
            list_remove(&l->link);
            mem_free(l);
        }
}

/* A walk may stand on any of them, so they are freed behind the last walk. */
static void take_off(struct sio_client_socket *s, struct list *all,
                     sio_client_event_cb cb, void *user)
{
    struct listener *l;

    list_for_each (l, struct listener, link, all)
        if (!cb || (l->cb == cb && l->user == user))
            l->cb = NULL;
    if (!s->n_walks)
        sweep(all);
}

static void tell(struct sio_client_socket *s, struct list *all, struct sio_event *e)
{
    struct listener *l;

    s->n_walks++;
    list_for_each (l, struct listener, link, all)
        if (l->cb && s->state == SIO_CLIENT_SOCKET_JOINED)
            l->cb(s, e, l->user);
    if (--s->n_walks)
        return;
    sweep(&s->any);
    sweep(&s->any_out);
}

int sio_client_socket_on_any(struct sio_client_socket *s, sio_client_event_cb cb,
                             void *user)
{
    return add(&s->any, false, cb, user);
}

int sio_client_socket_prepend_any(struct sio_client_socket *s, sio_client_event_cb cb,
                                  void *user)
{
    return add(&s->any, true, cb, user);
}

void sio_client_socket_off_any(struct sio_client_socket *s, sio_client_event_cb cb,
                               void *user)
{
    take_off(s, &s->any, cb, user);
}

int sio_client_socket_on_any_outgoing(struct sio_client_socket *s,
                                      sio_client_event_cb cb, void *user)
{
    return add(&s->any_out, false, cb, user);
}

int sio_client_socket_prepend_any_outgoing(struct sio_client_socket *s,
                                           sio_client_event_cb cb, void *user)
{
    return add(&s->any_out, true, cb, user);
}

void sio_client_socket_off_any_outgoing(struct sio_client_socket *s,
                                        sio_client_event_cb cb, void *user)
{
    take_off(s, &s->any_out, cb, user);
}

void sio_client_listen_event(struct sio_client_socket *s, struct sio_event *e)
{
    struct handler *h;

    if (!list_empty(&s->any))
        tell(s, &s->any, e);
    if (s->state != SIO_CLIENT_SOCKET_JOINED)
        return;
    h = find_handler(s, sio_event_name(e));
    if (h)
        h->cb(s, e, h->user);
    else if (s->ops->on_event)
        s->ops->on_event(s, e, s->user);
}

static void tell_outgoing(struct sio_event *e, void *user)
{
    struct sio_client_socket *s = user;

    tell(s, &s->any_out, e);
}

/* Listeners are told nothing of an event that cannot be read back for want of memory. */
void sio_client_listen_outgoing(struct sio_client_socket *s, const struct eio_msg *msg)
{
    (void)sio_readback(msg, s->client->codec.parser, tell_outgoing, s);
}
