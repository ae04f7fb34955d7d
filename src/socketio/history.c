#include <config.h>

#include "socketio/history.h"

#include <assert.h>

#include "base/mem.h"
#include "engineio/msg.h"
#include "socketio/socket.h"

/* Whom an event is for: names, and their text behind them in the same block. */
struct audience {
    size_t n_rooms; /* none: everybody */
    size_t n_except;
    struct sio_str names[]; /* rooms, then who is left out */
};

struct sio_history_entry {
    struct eio_msg *msg;
    struct audience *audience; /* NULL: everybody */
    uint64_t time_ms;
    size_t bytes;
};

void sio_history_pool_init(struct sio_history_pool *pool, size_t max_bytes)
{
    list_init(&pool->histories);
    pool->n = 0;
    pool->bytes = 0;
    pool->max_bytes = max_bytes;
}

void sio_history_init(struct sio_history *h, struct sio_history_pool *pool,
                      size_t max_packets, uint64_t hold_ms, struct random_pool *random)
{
    char id[RANDOM_ID_LEN + 1];

    *h = (struct sio_history){
        .pool = pool, .max_packets = max_packets, .hold_ms = hold_ms};
    list_init(&h->link);
    random_id(random, id);
    memcpy(h->tag, id, sizeof(h->tag));
}

static struct sio_history_entry *entry_at(const struct sio_history *h, size_t i)
{
    size_t at = h->first + i;

    return &h->ring[at < h->cap ? at : at - h->cap];
}

static void free_ring(struct sio_history *h)
{
    mem_free(h->ring);
    h->ring = NULL;
    h->cap = 0;
    h->first = 0;
}

static void drop_oldest(struct sio_history *h)
{
    struct sio_history_entry *e = entry_at(h, 0);

    eio_msg_unref(e->msg);
    mem_free(e->audience);
    h->bytes -= e->bytes;
    h->pool->bytes -= e->bytes;
    h->first = h->first + 1 < h->cap ? h->first + 1 : 0;
    if (--h->n > 0)
        return;
    list_remove(&h->link);
    h->pool->n--;
    free_ring(h);
}

void sio_history_clear(struct sio_history *h)
{
    while (h->n > 0)
        drop_oldest(h);
    free_ring(h); /* that was made for an event that could not be added */
}

/* Of a full pool.  Whoever has too much is found at once the next time. */
static struct sio_history *over_its_share(struct sio_history_pool *pool)
{
    size_t share = pool->max_bytes / pool->n;
    struct sio_history *h;

    list_for_each (h, struct sio_history, link, &pool->histories)
        if (h->bytes > share)
            break;
    list_remove(&h->link);
    list_prepend(&pool->histories, &h->link);
    return h;
}

void sio_history_fini(struct sio_history *h)
{
    sio_history_clear(h);
}

void sio_history_trim(struct sio_history *h, uint64_t now_ms)
{
    while (h->n > 0 && sio_history_due(h) <= now_ms)
        drop_oldest(h);
}

uint64_t sio_history_due(const struct sio_history *h)
{
    return h->n > 0 ? entry_at(h, 0)->time_ms + h->hold_ms : UINT64_MAX;
}

size_t sio_history_offset(const struct sio_history *h, char out[SIO_HISTORY_OFFSET_MAX])
{
    memcpy(out, h->tag, sizeof(h->tag));
    return sizeof(h->tag) + str_from_u64(h->next, out + sizeof(h->tag));
}

/* Room for one more; doubles, up to max_packets. */
static int grow(struct sio_history *h)
{
    size_t cap = h->cap > 0 ? 2 * h->cap : 16;
    struct sio_history_entry *ring;

    if (cap > h->max_packets)
        cap = h->max_packets;
    ring = mem_array(cap, sizeof(*ring));
    if (!ring)
        return SIO_ERR_NOMEM;
    for (size_t i = 0; i < h->n; i++)
        ring[i] = *entry_at(h, i);
    mem_free(h->ring);
    h->ring = ring;
    h->cap = cap;
    h->first = 0;
    return SIO_OK;
}

/* Copies name behind what is in the block already. */
static char *put_name(struct audience *a, size_t i, char *text, struct sio_str name)
{
    memcpy(text, name.ptr, name.len);
    a->names[i] = (struct sio_str){text, name.len};
    return text + name.len;
}

/* *out NULL: everybody.  Adds to *bytes what it takes. */
static int audience_new(const struct sio_target *t, struct audience **out,
                        size_t *bytes)
{
    size_t n_except = t ? t->n_except + (t->except_socket != NULL) : 0;
    size_t n = t ? t->n_rooms + n_except : 0;
    size_t size = sizeof(struct audience) + n * sizeof(struct sio_str);
    char *text;
    struct audience *a;

    *out = NULL;
    if (n == 0)
        return SIO_OK;
    for (size_t i = 0; i < t->n_rooms; i++)
        size += t->rooms[i].len;
    for (size_t i = 0; i < t->n_except; i++)
        size += t->except[i].len;
    if (t->except_socket)
        size += sio_socket_id(t->except_socket).len;
    a = mem_raw(size);
    if (!a)
        return SIO_ERR_NOMEM;
    a->n_rooms = t->n_rooms;
    a->n_except = n_except;
    text = (char *)&a->names[n];
    for (size_t i = 0; i < t->n_rooms; i++)
        text = put_name(a, i, text, t->rooms[i]);
    for (size_t i = 0; i < t->n_except; i++)
        text = put_name(a, t->n_rooms + i, text, t->except[i]);
    if (t->except_socket)
        put_name(a, n - 1, text, sio_socket_id(t->except_socket));
    *out = a;
    *bytes += size;
    return SIO_OK;
}

static int add(struct sio_history *h, uint64_t now_ms, const struct sio_target *target,
               struct eio_msg *msg)
{
    struct sio_history_entry e = {.time_ms = now_ms, .bytes = sizeof(e) + msg->bytes};

    if (h->n == h->max_packets)
        drop_oldest(h);
    if ((h->n == h->cap && grow(h) < 0) ||
        audience_new(target, &e.audience, &e.bytes) < 0)
        return SIO_ERR_NOMEM;
    e.msg = eio_msg_ref(msg);
    if (h->n++ == 0) {
        list_append(&h->pool->histories, &h->link);
        h->pool->n++;
    }
    *entry_at(h, h->n - 1) = e;
    h->bytes += e.bytes;
    h->pool->bytes += e.bytes;
    return SIO_OK;
}

void sio_history_add(struct sio_history *h, uint64_t now_ms,
                     const struct sio_target *target, struct eio_msg *msg)
{
    sio_history_trim(h, now_ms);
    h->next++;
    if (add(h, now_ms, target, msg) < 0)
        sio_history_clear(h);
    while (h->pool->bytes > h->pool->max_bytes)
        drop_oldest(over_its_share(h->pool));
}

bool sio_history_covers(const struct sio_history *h, uint64_t number)
{
    return number < h->next && h->next - number - 1 <= h->n;
}

bool sio_history_find(const struct sio_history *h, struct sio_str offset,
                      uint64_t *number)
{
    struct sio_str digits = {offset.ptr + sizeof(h->tag), 0};

    if (offset.len <= sizeof(h->tag) || memcmp(offset.ptr, h->tag, sizeof(h->tag)) != 0)
        return false;
    digits.len = offset.len - sizeof(h->tag);
    if (digits.ptr[0] == '0' && digits.len > 1)
        return false;
    return str_to_u64(digits, UINT64_MAX, number) == SIO_OK &&
           sio_history_covers(h, *number);
}

static bool is_for(const struct audience *a, const struct map *rooms)
{
    bool included;

    if (!a)
        return true;
    included = a->n_rooms == 0;
    for (size_t i = 0; i < a->n_rooms && !included; i++)
        included = map_find(rooms, a->names[i]) != NULL;
    for (size_t i = 0; i < a->n_except && included; i++)
        included = map_find(rooms, a->names[a->n_rooms + i]) == NULL;
    return included;
}

struct eio_msg *sio_history_next(const struct sio_history *h, const struct map *rooms,
                                 uint64_t *number)
{
    assert(sio_history_covers(h, *number));
    while (++*number < h->next) {
        size_t i = h->n - (size_t)(h->next - *number);
        const struct sio_history_entry *e = entry_at(h, i);

        if (is_for(e->audience, rooms))
            return e->msg;
    }
    return NULL;
}
