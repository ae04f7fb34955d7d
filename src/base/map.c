#include <config.h>

#include "base/map.h"

#include <assert.h>
#include <string.h>

#include "base/mem.h"
#include "base/random.h"
#include "base/str.h"

#define FIRST_SLOTS 8

static uint64_t rotl(uint64_t x, int n)
{
    return x << n | x >> (64 - n);
}

static void sip_round(uint64_t v[4])
{
    v[0] += v[1];
    v[1] = rotl(v[1], 13) ^ v[0];
    v[0] = rotl(v[0], 32);
    v[2] += v[3];
    v[3] = rotl(v[3], 16) ^ v[2];
    v[0] += v[3];
    v[3] = rotl(v[3], 21) ^ v[0];
    v[2] += v[1];
    v[1] = rotl(v[1], 17) ^ v[2];
    v[2] = rotl(v[2], 32);
}

/* SipHash-1-3 (Aumasson, Bernstein): the fewest rounds that hash tables rely on. */
static uint32_t hash_of(const struct map *m, struct sio_str key)
{
    uint64_t v[4] = {
        m->seed[0] ^ 0x736f6d6570736575u,
        m->seed[1] ^ 0x646f72616e646f6du,
        m->seed[0] ^ 0x6c7967656e657261u,
        m->seed[1] ^ 0x7465646279746573u,
    };
    const char *p = key.ptr;
    size_t left = key.len;
    uint64_t word;

    for (; left >= 8; p += 8, left -= 8) {
        memcpy(&word, p, 8);
        v[3] ^= word;
        sip_round(v);
        v[0] ^= word;
    }
    word = 0;
    if (left > 0)
        memcpy(&word, p, left);
    word |= (uint64_t)key.len << 56;
    v[3] ^= word;
    sip_round(v);
    v[0] ^= word;
    v[2] ^= 0xff;
    for (int i = 0; i < 3; i++)
        sip_round(v);
    word = v[0] ^ v[1] ^ v[2] ^ v[3];
    return (uint32_t)(word ^ word >> 32);
}

void map_init(struct map *m)
{
    *m = (struct map){0};
    random_bytes(m->seed, sizeof(m->seed));
}

void map_fini(struct map *m)
{
    mem_free(m->slots);
    m->slots = NULL;
    m->n_slots = 0;
    m->n_items = 0;
}

static struct map_node *find_hashed(const struct map *m, struct sio_str key,
                                    uint32_t hash)
{
    struct map_node *n;

    if (m->n_slots == 0)
        return NULL;
    for (n = m->slots[hash & (m->n_slots - 1)]; n; n = n->next)
        if (n->hash == hash && str_eq(n->key, key))
            return n;
    return NULL;
}

struct map_node *map_find(const struct map *m, struct sio_str key)
{
    if (m->n_items == 0)
        return NULL;
    return find_hashed(m, key, hash_of(m, key));
}

static int grow(struct map *m)
{
    uint32_t n_slots = m->n_slots ? m->n_slots * 2 : FIRST_SLOTS;
    struct map_node **slots;

    if (n_slots < m->n_slots)
        return SIO_ERR_NOMEM;
    slots = mem_array(n_slots, sizeof(struct map_node *));
    if (!slots)
        return SIO_ERR_NOMEM;
    for (uint32_t i = 0; i < m->n_slots; i++) {
        struct map_node *n = m->slots[i];

        while (n) {
            struct map_node *next = n->next;
            struct map_node **slot = &slots[n->hash & (n_slots - 1)];

            n->next = *slot;
            *slot = n;
            n = next;
        }
    }
    mem_free(m->slots);
    m->slots = slots;
    m->n_slots = n_slots;
    return SIO_OK;
}

int map_add(struct map *m, struct map_node *node, struct sio_str key)
{
    uint32_t hash = hash_of(m, key);
    struct map_node **slot;

    if (find_hashed(m, key, hash))
        return SIO_ERR_EXISTS;
    /* A table that cannot grow still works, with longer chains. */
    if (m->n_items >= m->n_slots && grow(m) < 0 && m->n_slots == 0)
        return SIO_ERR_NOMEM;
    node->key = key;
    node->hash = hash;
    slot = &m->slots[hash & (m->n_slots - 1)];
    node->next = *slot;
    *slot = node;
    m->n_items++;
    return SIO_OK;
}

void map_remove(struct map *m, struct map_node *node)
{
    struct map_node **link = &m->slots[node->hash & (m->n_slots - 1)];

    while (*link != node) {
        assert(*link);
        link = &(*link)->next;
    }
    *link = node->next;
    node->next = NULL;
    m->n_items--;
}

struct map_node *map_first(const struct map *m, struct map_pos *pos)
{
    *pos = (struct map_pos){0};
    return map_next(m, pos);
}

struct map_node *map_next(const struct map *m, struct map_pos *pos)
{
    struct map_node *n = pos->next;

    while (!n && pos->slot < m->n_slots)
        n = m->slots[pos->slot++];
    pos->next = n ? n->next : NULL;
    return n;
}
