#include <config.h>

#include "socketio/ack.h"

#include "base/mem.h"

struct waiting {
    struct list link;
    struct sio_acks *acks;
    uint64_t id;
    sio_ack_cb cb;
    void *user;
    struct net_timer timer;
};

void sio_acks_init(struct sio_acks *acks)
{
    list_init(&acks->waiting);
    acks->next_id = 0;
    acks->n = 0;
}

uint64_t sio_acks_reserve(struct sio_acks *acks)
{
    return acks->next_id++;
}

static void forget(struct waiting *w)
{
    net_timer_stop(&w->timer);
    list_remove(&w->link);
    w->acks->n--;
    mem_free(w);
}

/* What waited is gone before its callback runs, which may end the socket. */
static void tell(struct waiting *w, int status, struct sio_event *e)
{
    sio_ack_cb cb = w->cb;
    void *user = w->user;

    forget(w);
    cb(status, e, user);
}

static void on_timeout(struct net_timer *timer, void *user)
{
    (void)timer;
    tell(user, SIO_ERR_TIMEOUT, NULL);
}

int sio_acks_add(struct sio_acks *acks, struct net_loop *loop, uint32_t timeout_ms,
                 sio_ack_cb cb, void *user, uint64_t *id)
{
    struct waiting *w;

    if (acks->n >= SIO_ACKS_MAX)
        return SIO_ERR_FULL;
    w = mem_new(struct waiting);
    if (!w)
        return SIO_ERR_NOMEM;
    w->acks = acks;
    w->cb = cb;
    w->user = user;
    net_timer_init(&w->timer, loop, on_timeout, w);
    if (timeout_ms > 0) {
        int rv = net_timer_start(&w->timer, timeout_ms);

        if (rv < 0) {
            mem_free(w);
            return rv;
        }
    }
    w->id = acks->next_id++;
    acks->n++;
    list_append(&acks->waiting, &w->link);
    *id = w->id;
    return SIO_OK;
}

/*
 * Answers mostly come in the order of the questions, so the first one is nearly
 * always it.
 */
static struct waiting *find(struct sio_acks *acks, uint64_t id)
{
    struct waiting *w;

    list_for_each (w, struct waiting, link, &acks->waiting) {
        if (w->id == id)
            return w;
        if (w->id > id)
            break;
    }
    return NULL;
}

void sio_acks_drop(struct sio_acks *acks, uint64_t id)
{
    struct waiting *w = find(acks, id);

    if (w)
        forget(w);
}

bool sio_acks_answer(struct sio_acks *acks, uint64_t id, struct sio_event *e)
{
    struct waiting *w = find(acks, id);

    if (!w)
        return false;
    tell(w, SIO_OK, e);
    return true;
}

void sio_acks_fail(struct sio_acks *acks, uint64_t id, int status)
{
    struct waiting *w = find(acks, id);

    if (w)
        tell(w, status, NULL);
}

void sio_acks_end(struct sio_acks *acks)
{
    struct list now;

    list_init(&now);
    list_splice(&now, &acks->waiting);
    while (!list_empty(&now))
        tell(container_of(now.next, struct waiting, link), SIO_ERR_CLOSED, NULL);
}
