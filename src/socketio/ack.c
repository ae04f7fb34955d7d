#include <config.h>

#include "socketio/ack.h"

#include "base/mem.h"

/* One that this file made. */
struct timed {
    struct sio_waiting waiting;
    struct net_timer timer;
};

void sio_acks_init(struct sio_acks *acks)
{
    list_init(&acks->waiting);
    acks->next_id = 0;
    acks->n = 0;
    acks->on_timeout = NULL;
}

uint64_t sio_acks_reserve(struct sio_acks *acks)
{
    return acks->next_id++;
}

void sio_acks_take(struct sio_waiting *w)
{
    list_remove(&w->link);
    w->acks->n--;
}

static void forget(struct sio_waiting *w)
{
    sio_acks_take(w);
    if (w->timed) {
        struct timed *t = container_of(w, struct timed, waiting);

        net_timer_stop(&t->timer);
        mem_free(t);
    }
}

/* What waited is gone before its callback runs, which may end the socket. */
static void tell(struct sio_waiting *w, int status, struct sio_event *e)
{
    sio_ack_cb cb = w->cb;
    void *user = w->user;

    forget(w);
    cb(status, e, user);
}

static void on_timeout(struct net_timer *timer, void *user)
{
    struct sio_waiting *w = user;

    (void)timer;
    if (w->acks->on_timeout)
        w->acks->on_timeout(w->acks, w->id);
    tell(w, SIO_ERR_TIMEOUT, NULL);
}

int sio_acks_put(struct sio_acks *acks, struct sio_waiting *w, uint64_t id)
{
    if (acks->n >= SIO_ACKS_MAX)
        return SIO_ERR_FULL;
    w->acks = acks;
    w->id = id;
    acks->next_id = id + 1;
    acks->n++;
    list_append(&acks->waiting, &w->link);
    return SIO_OK;
}

int sio_acks_add(struct sio_acks *acks, struct net_loop *loop, uint32_t timeout_ms,
                 sio_ack_cb cb, void *user, uint64_t *id)
{
    struct timed *t;
    int rv = SIO_OK;

    if (acks->n >= SIO_ACKS_MAX)
        return SIO_ERR_FULL;
    t = mem_new(struct timed);
    if (!t)
        return SIO_ERR_NOMEM;
    t->waiting.timed = true;
    t->waiting.cb = cb;
    t->waiting.user = user;
    net_timer_init(&t->timer, loop, on_timeout, &t->waiting);
    if (timeout_ms > 0)
        rv = net_timer_start(&t->timer, timeout_ms);
    if (rv < 0) {
        mem_free(t);
        return rv;
    }
    *id = acks->next_id;
    return sio_acks_put(acks, &t->waiting, *id);
}

/*
 * Answers mostly come in the order of the questions, so the first one is nearly
 * always it.
 */
static struct sio_waiting *find(struct sio_acks *acks, uint64_t id)
{
    struct sio_waiting *w;

    list_for_each (w, struct sio_waiting, link, &acks->waiting) {
        if (w->id == id)
            return w;
        if (w->id > id)
            break;
    }
    return NULL;
}

bool sio_acks_drop(struct sio_acks *acks, uint64_t id)
{
    struct sio_waiting *w = find(acks, id);

    if (!w)
        return false;
    forget(w);
    return true;
}

bool sio_acks_answer(struct sio_acks *acks, uint64_t id, struct sio_event *e)
{
    struct sio_waiting *w = find(acks, id);

    if (!w)
        return false;
    tell(w, SIO_OK, e);
    return true;
}

void sio_acks_fail(struct sio_acks *acks, uint64_t id, int status)
{
    struct sio_waiting *w = find(acks, id);

    if (w)
        tell(w, status, NULL);
}

void sio_acks_end(struct sio_acks *acks)
{
    struct list now;

    list_init(&now);
    list_splice(&now, &acks->waiting);
    while (!list_empty(&now))
        tell(container_of(now.next, struct sio_waiting, link), SIO_ERR_CLOSED, NULL);
}
