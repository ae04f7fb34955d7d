/*
 * base/map.h - hash map from bytes to items; the link lives in the item
 *
 * The hash is keyed with a random seed, so that peers cannot choose names that
 * collide.  The key's bytes are the item's and stay put while it is in the map.
 */
#ifndef BASE_MAP_H
#define BASE_MAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <sioc/bytes.h>

struct map_node {
    struct map_node *next;
    struct sio_str key;
    uint32_t hash;
};

struct map {
    struct map_node **slots; /* NULL while empty */
    uint32_t n_slots;        /* a power of two */
    uint32_t n_items;
    uint64_t seed[2];
};

void map_init(struct map *m);

/* Frees the slots.  The items are their owner's. */
void map_fini(struct map *m);

struct map_node *map_find(const struct map *m, struct sio_str key);

/*
 * Adds node under key.  SIO_OK, SIO_ERR_EXISTS or SIO_ERR_NOMEM (both: nothing
 * changed).
 */
int map_add(struct map *m, struct map_node *node, struct sio_str key);

/* Removes node, which must be in m. */
void map_remove(struct map *m, struct map_node *node);

/*
 * Walks in no order: `for (n = map_first(m, &pos); n; n = map_next(m, &pos))`.
 * The node just returned may be removed, no other, and nothing added.
 */
struct map_pos {
    uint32_t slot;
    struct map_node *next;
};
struct map_node *map_first(const struct map *m, struct map_pos *pos);
struct map_node *map_next(const struct map *m, struct map_pos *pos);

#endif
