#include <config.h>

#include "socketio/hooks.h"

#include "base/mem.h"
#include "socketio/packet.h"
#include "socketio/socket.h"

struct sio_hooks *sio_hooks_need(struct sio_hooks **h)
{
    if (*h)
        return *h;
    *h = mem_new(struct sio_hooks);
    if (!*h)
        return NULL;
    map_init(&(*h)->handlers);
    for (int i = 0; i < SIO_N_CHAINS; i++)
        list_init(&(*h)->chains[i]);
    return *h;
}

static void remove_hook(struct sio_hook *hook)
{
    list_remove(&hook->link);
    mem_free(hook);
}

void sio_hooks_free(struct sio_hooks *h)
{
    struct map_node *node;
    struct sio_hook *hook;
    struct map_pos pos;

    if (!h)
        return;
    for (int i = 0; i < SIO_N_CHAINS; i++)
        list_for_each (hook, struct sio_hook, link, &h->chains[i])
            remove_hook(hook);
    for (node = map_first(&h->handlers, &pos); node;
         node = map_next(&h->handlers, &pos)) {
        map_remove(&h->handlers, node);
        mem_free(container_of(node, struct sio_handler, node));
    }
    map_fini(&h->handlers);
    sio_buf_unref(h->attributes);
    mem_free(h);
}

static struct sio_handler *find(const struct sio_hooks *h, struct sio_str event)
{
    struct map_node *node = h ? map_find(&h->handlers, event) : NULL;

    return node ? container_of(node, struct sio_handler, node) : NULL;
}

const struct sio_handler *sio_hooks_handler(const struct sio_hooks *h,
                                            struct sio_str event)
{
    return find(h, event);
}

static struct sio_handler *add_handler(struct sio_hooks *h, struct sio_str name)
{
    struct sio_handler *handler = mem_alloc(sizeof(*handler) + name.len + 1);

    if (!handler)
        return NULL;
    memcpy(handler->name, name.ptr, name.len);
    name.ptr = handler->name;
    if (map_add(&h->handlers, &handler->node, name) < 0) {
        mem_free(handler);
        return NULL;
    }
    return handler;
}

int sio_hooks_on(struct sio_hooks **h, const char *event, sio_event_cb cb, void *user)
{
    struct sio_str name = sio_str_from(event);
    struct sio_handler *handler;

    if (sio_event_name_reserved(name))
        return SIO_ERR_INVAL;
    if (!sio_hooks_need(h))
        return SIO_ERR_NOMEM;
    handler = find(*h, name);
    if (!handler)
        handler = add_handler(*h, name);
    if (!handler)
        return SIO_ERR_NOMEM;
    handler->cb = cb;
    handler->user = user;
    return SIO_OK;
}

void sio_hooks_off(struct sio_hooks *h, const char *event)
{
    struct sio_handler *handler = find(h, sio_str_from(event));

    if (!handler)
        return;
    map_remove(&h->handlers, &handler->node);
    mem_free(handler);
}

int sio_hooks_add(struct sio_hooks **h, enum sio_chain chain, bool in_front,
                  struct sio_hook hook)
{
    struct sio_hook *copy = sio_hooks_need(h) ? mem_new(struct sio_hook) : NULL;

    if (!copy)
        return SIO_ERR_NOMEM;
    copy->cb = hook.cb;
    copy->user = hook.user;
    if (in_front)
        list_prepend(&(*h)->chains[chain], &copy->link);
    else
        list_append(&(*h)->chains[chain], &copy->link);
    return SIO_OK;
}

/* Frees what was taken off, once nobody can stand on it. */
static void sweep(struct sio_hooks *h)
{
    struct sio_hook *hook;

    if (h->n_walks > 0)
        return;
    for (int i = SIO_CHAIN_ANY; i < SIO_N_CHAINS; i++)
        list_for_each (hook, struct sio_hook, link, &h->chains[i])
            if (hook->off)
                remove_hook(hook);
}

size_t sio_hooks_off_any(struct sio_hooks *h, enum sio_chain chain, sio_event_cb cb,
                         void *user)
{
    struct sio_hook *hook;
    size_t n = 0;

    if (!h)
        return 0;
    list_for_each (hook, struct sio_hook, link, &h->chains[chain])
        if (!hook->off && (!cb || (hook->cb.any == cb && hook->user == user))) {
            hook->off = true;
            n++;
        }
    sweep(h);
    return n;
}

size_t sio_hooks_n(const struct sio_hooks *h, enum sio_chain chain)
{
    struct sio_hook *hook;
    size_t n = 0;

    if (h)
        list_for_each (hook, struct sio_hook, link, &h->chains[chain])
            n += !hook->off;
    return n;
}

bool sio_hooks_run(struct sio_hooks *h, enum sio_chain chain, struct sio_socket *s,
                   struct sio_event *e)
{
    struct list *at, *last;
    bool goes_on = true;

    h->n_walks++;
    /* Who is added meanwhile hears the next event, and nobody is freed. */
    last = h->chains[chain].prev;
    at = &h->chains[chain];
    do {
        struct sio_hook *hook;

        at = at->next;
        hook = container_of(at, struct sio_hook, link);
        if (hook->off)
            continue;
        if (chain == SIO_CHAIN_EVENT)
            goes_on = hook->cb.use(s, e, hook->user);
        else
            hook->cb.any(s, e, hook->user);
    } while (goes_on && at != last && s->state == SIO_SOCKET_JOINED);
    h->n_walks--;
    sweep(h);
    return goes_on && s->state == SIO_SOCKET_JOINED;
}
