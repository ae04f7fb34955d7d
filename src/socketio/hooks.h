/*
 * socketio/hooks.h - what an application hung on a namespace or a socket
 *
 * Handlers by event name, and chains of callbacks that are gone through in order:
 * middleware, listeners.  Made when the first is hung; NULL until then, so that who
 * uses none pays one pointer.
 */
#ifndef SOCKETIO_HOOKS_H
#define SOCKETIO_HOOKS_H

#include <sioc/server.h>

#include "base/list.h"
#include "base/map.h"

enum sio_chain {
    SIO_CHAIN_JOIN,  /* middleware */
    SIO_CHAIN_EVENT, /* event middleware */
    SIO_CHAIN_ANY,
    SIO_CHAIN_ANY_OUT,
    SIO_N_CHAINS,
};

struct sio_hook {
    struct list link;
    bool off; /* taken off while somebody walked */
    union {
        sio_join_cb join;
        sio_use_event_cb use;
        sio_event_cb any;
    } cb;
    void *user;
};

struct sio_handler {
    struct map_node node;
    sio_event_cb cb;
    void *user;
    char name[];
};

struct sio_hooks {
    struct map handlers;
    struct list chains[SIO_N_CHAINS]; /* struct sio_hook.link */
    unsigned n_walks;                 /* that are under way */
    struct sio_buf *attributes;       /* of a socket: JSON, or NULL */
};

/* *h, made if it is NULL.  NULL: out of memory. */
struct sio_hooks *sio_hooks_need(struct sio_hooks **h);
void sio_hooks_free(struct sio_hooks *h); /* NULL is allowed */

/* SIO_OK, SIO_ERR_NOMEM, SIO_ERR_INVAL (a reserved name). */
int sio_hooks_on(struct sio_hooks **h, const char *event, sio_event_cb cb, void *user);
void sio_hooks_off(struct sio_hooks *h, const char *event);

/* NULL: there is none; h may be NULL. */
const struct sio_handler *sio_hooks_handler(const struct sio_hooks *h,
                                            struct sio_str event);

/* Adds hook's callback and user to a chain.  SIO_OK, SIO_ERR_NOMEM. */
int sio_hooks_add(struct sio_hooks **h, enum sio_chain chain, bool in_front,
                  struct sio_hook hook);

/* Takes listeners off; cb NULL: all.  Returns how many. */
size_t sio_hooks_off_any(struct sio_hooks *h, enum sio_chain chain, sio_event_cb cb,
                         void *user);

static inline bool sio_hooks_has(const struct sio_hooks *h, enum sio_chain chain)
{
    return h && !list_empty(&h->chains[chain]);
}

/* How many listen. */
size_t sio_hooks_n(const struct sio_hooks *h, enum sio_chain chain);

/*
 * Calls a chain of listeners, or of event middleware, in order, those that are there
 * now.  False: the event goes no further, since the socket has ended or a middleware
 * said so.  The chain is not empty.
 */
bool sio_hooks_run(struct sio_hooks *h, enum sio_chain chain, struct sio_socket *s,
                   struct sio_event *e);

#endif
