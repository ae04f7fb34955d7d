#include <config.h>

#include "engineio/queue.h"

#include <assert.h>

#include "base/mem.h"

/* The key stands beside the message, so that a search touches the ring only. */
struct eio_queue_entry {
    struct eio_msg *msg; /* NULL: was replaced */
    uint64_t key;
};

/* What a message counts beside its bytes: a queue of empty ones is bounded too. */
#define MSG_OVERHEAD 64

#define RING_MIN     8u
/* An empty ring above this size is given back. */
#define RING_KEEP 64u

static size_t cost_of(const struct eio_msg *msg)
{
    return msg->bytes + MSG_OVERHEAD;
}

static struct eio_queue_entry *entry_at(const struct eio_queue *q, uint32_t i)
{
    return &q->ring[(q->head + i) & (q->cap - 1)];
}

bool eio_queue_empty(const struct eio_queue *q)
{
    return q->n == q->n_replaced;
}

/* Takes the front entry out, and those behind it that were replaced. */
static void drop_front(struct eio_queue *q)
{
    do {
        struct eio_queue_entry *e = entry_at(q, 0);

        if (e->msg) {
            q->bytes -= cost_of(e->msg);
            q->n_keyed -= e->key != 0;
            eio_msg_unref(e->msg);
        } else {
            q->n_replaced--;
        }
        q->head = (q->head + 1) & (q->cap - 1);
        q->n--;
    } while (q->n > 0 && !entry_at(q, 0)->msg);
    q->n_parts_sent = 0;
    if (q->n == 0 && q->cap > RING_KEEP) {
        mem_free(q->ring);
        q->ring = NULL;
        q->cap = 0;
    }
}

void eio_queue_fini(struct eio_queue *q)
{
    while (q->n > 0)
        drop_front(q);
    mem_free(q->ring);
    *q = (struct eio_queue){0};
}

/* Closes the gaps that replaced messages left. */
static void compact(struct eio_queue *q)
{
    uint32_t to = 0;

    for (uint32_t i = 0; i < q->n; i++)
        if (entry_at(q, i)->msg)
            *entry_at(q, to++) = *entry_at(q, i);
    q->n = to;
    q->n_replaced = 0;
}

/*
 * Room for one more entry: by closing gaps where they are half of the ring, else by
 * growing.
 */
static int make_room(struct eio_queue *q)
{
    struct eio_queue_entry *ring;
    uint32_t cap = q->cap ? q->cap * 2 : RING_MIN;

    if (q->n < q->cap)
        return SIO_OK;
    if (q->n_replaced > 0 && q->n_replaced >= q->cap / 2) {
        compact(q);
        return SIO_OK;
    }
    if (cap < q->cap)
        return SIO_ERR_NOMEM;
    ring = mem_array(cap, sizeof(*ring));
    if (!ring)
        return SIO_ERR_NOMEM;
    for (uint32_t i = 0; i < q->n; i++)
        ring[i] = *entry_at(q, i);
    mem_free(q->ring);
    q->ring = ring;
    q->cap = cap;
    q->head = 0;
    return SIO_OK;
}

/*
 * The waiting message with this key, or NULL.  One that is sent in part does not
 * count.
 */
static struct eio_queue_entry *find_key(const struct eio_queue *q, uint64_t key)
{
    if (key == 0 || q->n_keyed == 0)
        return NULL;
    for (uint32_t i = q->n_parts_sent > 0; i < q->n; i++) {
        struct eio_queue_entry *e = entry_at(q, i);

        if (e->msg && e->key == key)
            return e;
    }
    return NULL;
}

static void replace(struct eio_queue *q, struct eio_queue_entry *e)
{
    if (e == entry_at(q, 0)) {
        drop_front(q);
        return;
    }
    q->bytes -= cost_of(e->msg);
    q->n_keyed--;
    q->n_replaced++;
    eio_msg_unref(e->msg);
    e->msg = NULL;
}

int eio_queue_push(struct eio_queue *q, struct eio_msg *msg, size_t max_bytes,
                   uint64_t *n_dropped)
{
    struct eio_queue_entry *old = find_key(q, msg->replace_key);
    struct eio_queue_entry *e;

    if (old) {
        replace(q, old);
        ++*n_dropped;
    }
    if (!eio_queue_empty(q) &&
        (q->bytes > max_bytes || cost_of(msg) > max_bytes - q->bytes))
        return SIO_ERR_FULL;
    if (make_room(q) < 0)
        return SIO_ERR_NOMEM;
    q->n++;
    e = entry_at(q, q->n - 1);
    e->msg = eio_msg_ref(msg);
    e->key = msg->replace_key;
    q->n_keyed += e->key != 0;
    q->bytes += cost_of(msg);
    return SIO_OK;
}

struct eio_msg *eio_queue_front(const struct eio_queue *q, uint32_t *part)
{
    *part = q->n_parts_sent;
    return q->n > 0 ? entry_at(q, 0)->msg : NULL;
}

void eio_queue_sent(struct eio_queue *q, uint32_t n)
{
    struct eio_msg *msg = entry_at(q, 0)->msg;

    assert(n <= msg->n_parts - q->n_parts_sent);
    q->n_parts_sent += n;
    if (q->n_parts_sent == msg->n_parts)
        drop_front(q);
}

struct eio_msg *eio_queue_walk(const struct eio_queue *q, uint32_t *it, uint32_t *part)
{
    while (*it < q->n) {
        uint32_t i = (*it)++;
        struct eio_msg *msg = entry_at(q, i)->msg;

        if (msg) {
            *part = i == 0 ? q->n_parts_sent : 0;
            return msg;
        }
    }
    return NULL;
}
