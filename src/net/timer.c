/*
 * timer.c - timers in a binary heap
 *
 * heap[1] is due first; the children of heap[i] are heap[2i] and heap[2i+1].  A
 * timer knows its slot, so stopping and restarting need no search.
 */
#include <config.h>

#include "net/loop_impl.h"

#include "base/mem.h"

#define NS_PER_MS UINT64_C(1000000)

static void put(struct net_loop *loop, uint32_t slot, struct net_timer *t)
{
    loop->heap[slot] = t;
    t->heap_slot = slot;
}

static void sift_up(struct net_loop *loop, struct net_timer *t)
{
    uint32_t slot = t->heap_slot;

    while (slot > 1 && loop->heap[slot / 2]->due_ns > t->due_ns) {
        put(loop, slot, loop->heap[slot / 2]);
        slot /= 2;
    }
    put(loop, slot, t);
}

static void sift_down(struct net_loop *loop, struct net_timer *t)
{
    uint32_t slot = t->heap_slot;

    for (;;) {
        uint32_t child = slot * 2;

        if (child > loop->n_timers)
            break;
        if (child < loop->n_timers &&
            loop->heap[child + 1]->due_ns < loop->heap[child]->due_ns)
            child++;
        if (loop->heap[child]->due_ns >= t->due_ns)
            break;
        put(loop, slot, loop->heap[child]);
        slot = child;
    }
    put(loop, slot, t);
}

static void move(struct net_loop *loop, struct net_timer *t)
{
    sift_up(loop, t);
    sift_down(loop, t);
}

static int grow(struct net_loop *loop)
{
    uint32_t cap = loop->cap_timers ? loop->cap_timers * 2 : 32;
    struct net_timer **heap = mem_resize(loop->heap, cap, sizeof(*heap));

    if (!heap)
        return SIO_ERR_NOMEM;
    loop->heap = heap;
    loop->cap_timers = cap;
    return SIO_OK;
}

void net_timer_init(struct net_timer *timer, struct net_loop *loop, net_timer_cb cb,
                    void *user)
{
    *timer = (struct net_timer){.loop = loop, .cb = cb, .user = user};
}

int net_timer_start(struct net_timer *timer, uint64_t delay_ms)
{
    struct net_loop *loop = timer->loop;

    if (!loop->in_turn)
        loop->now_ns = clock_mono_ns();
    if (delay_ms > (UINT64_MAX - loop->now_ns) / NS_PER_MS)
        delay_ms = (UINT64_MAX - loop->now_ns) / NS_PER_MS;
    if (!timer->heap_slot) {
        if (loop->n_timers + 1 >= loop->cap_timers && grow(loop) < 0)
            return SIO_ERR_NOMEM;
        timer->heap_slot = ++loop->n_timers;
        loop->heap[timer->heap_slot] = timer;
    }
    /* One without delay waits for the next turn, too, or a turn might not end. */
    timer->due_ns = loop->now_ns + (delay_ms ? delay_ms * NS_PER_MS : 1);
    move(loop, timer);
    loop_changed(loop);
    return SIO_OK;
}

void net_timer_stop(struct net_timer *timer)
{
    struct net_loop *loop = timer->loop;
    uint32_t slot = timer->heap_slot;
    struct net_timer *last;

    if (!slot)
        return;
    timer->heap_slot = 0;
    last = loop->heap[loop->n_timers--];
    if (last == timer)
        return;
    put(loop, slot, last);
    move(loop, last);
}

void loop_timers_run(struct net_loop *loop)
{
    while (loop->n_timers && loop->heap[1]->due_ns <= loop->now_ns) {
        struct net_timer *t = loop->heap[1];

        net_timer_stop(t);
        t->cb(t, t->user);
    }
}

uint64_t loop_timers_next(const struct net_loop *loop)
{
    return loop->n_timers ? loop->heap[1]->due_ns : UINT64_MAX;
}
