#include <config.h>

#include "fake_redis.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/list.h"
#include "base/mem.h"

struct net_conn {
    struct list all;
    const struct net_conn_ops *ops;
    void *user;
    bool open;
    bool ended;
};

static struct {
    struct net_conn *slots[FAKE_REDIS_SLOTS];
    struct list all;
    size_t held;
} fake;

/* The linker gives these names their meaning. */
struct net_conn *__wrap_net_conn_connect(struct net_loop *loop,
                                         const struct net_connect_options *opts,
                                         const struct net_conn_ops *ops, void *user);
int __wrap_net_conn_send(struct net_conn *c, const struct sio_slice *slices, size_t n);
void __wrap_net_conn_abort(struct net_conn *c, int error);
size_t __wrap_net_conn_pending(const struct net_conn *c);
uint64_t __wrap_net_conn_bytes_out(const struct net_conn *c);
const char *__wrap_net_conn_diag(const struct net_conn *c);
int __real_net_timer_start(struct net_timer *timer, uint64_t delay_ms);
int __wrap_net_timer_start(struct net_timer *timer, uint64_t delay_ms);

struct net_conn *__wrap_net_conn_connect(struct net_loop *loop,
                                         const struct net_connect_options *opts,
                                         const struct net_conn_ops *ops, void *user)
{
    struct net_conn *c = mem_new(struct net_conn);
    unsigned slot = 0;

    (void)loop;
    (void)opts;
    if (!fake.all.next)
        list_init(&fake.all);
    while (slot < FAKE_REDIS_SLOTS && fake.slots[slot])
        slot++;
    assert(c);
    if (slot == FAKE_REDIS_SLOTS) { /* out of memory, as it were */
        mem_free(c);
        return NULL;
    }
    c->ops = ops;
    c->user = user;
    fake.slots[slot] = c;
    list_append(&fake.all, &c->all);
    return c;
}

int __wrap_net_conn_send(struct net_conn *c, const struct sio_slice *slices, size_t n)
{
    uint8_t sum = 0;

    assert(c->open && !c->ended);
    for (size_t i = 0; i < n; i++) /* all of it is there to be read */
        for (size_t k = 0; k < slices[i].len; k++)
            sum = (uint8_t)(sum + slices[i].ptr[k]);
    (void)*(volatile uint8_t *)&sum;
    return SIO_OK;
}

void __wrap_net_conn_abort(struct net_conn *c, int error)
{
    assert(!c->ended);
    c->ended = true;
    for (unsigned i = 0; i < FAKE_REDIS_SLOTS; i++)
        if (fake.slots[i] == c)
            fake.slots[i] = NULL;
    c->ops->on_close(c, error, c->user);
}

size_t __wrap_net_conn_pending(const struct net_conn *c)
{
    (void)c;
    return fake.held;
}

uint64_t __wrap_net_conn_bytes_out(const struct net_conn *c)
{
    (void)c;
    return 0;
}

const char *__wrap_net_conn_diag(const struct net_conn *c)
{
    (void)c;
    return "";
}

/* The first wait before another try is none, so that there is one within an input. */
int __wrap_net_timer_start(struct net_timer *timer, uint64_t delay_ms)
{
    return __real_net_timer_start(timer, delay_ms <= 100 ? 0 : delay_ms);
}

struct net_conn *fake_redis_conn(unsigned slot)
{
    return fake.slots[slot];
}

void fake_redis_open(struct net_conn *c)
{
    if (!c || c->open)
        return;
    c->open = true;
    c->ops->on_open(c, c->user);
}

void fake_redis_feed(struct net_conn *c, const void *data, size_t len)
{
    uint8_t *copy;

    if (!c || !c->open || len == 0)
        return;
    copy = malloc(len); /* so that reading beyond it is seen */
    assert(copy);
    memcpy(copy, data, len);
    c->ops->on_data(c, copy, len, c->user);
    free(copy);
}

void fake_redis_close(struct net_conn *c)
{
    if (c)
        __wrap_net_conn_abort(c, SIO_ERR_CLOSED);
}

void fake_redis_hold(size_t bytes)
{
    fake.held = bytes;
}

void fake_redis_reset(void)
{
    struct net_conn *c;

    fake.held = 0;
    memset(fake.slots, 0, sizeof(fake.slots));
    if (!fake.all.next)
        return;
    list_for_each (c, struct net_conn, all, &fake.all) {
        list_remove(&c->all);
        mem_free(c);
    }
}
