/*
 * store/redis_impl.h - the inside of the Redis store
 */
#ifndef STORE_REDIS_IMPL_H
#define STORE_REDIS_IMPL_H

#include "base/list.h"
#include "base/map.h"
#include "net/loop.h"
#include "redis/nodes.h"
#include "store/store.h"

struct redis_store;

/* Who waits for a value, or for a list. */
struct redis_waiter {
    struct list link;
    union {
        store_get_cb get;
        store_list_cb list;
    };
    void *user;
};

/*
 * What is known of a key beside its value, which only memory has.  It lives while memory
 * has a value, or something is under way.
 */
struct redis_key {
    struct map_node node;
    struct redis_store *store;
    struct list write;         /* in store->writes, while it waits to be written */
    struct list check;         /* in store->checks */
    struct list wanted;        /* in store->wanted, while it waits to be fetched */
    struct list stale;         /* in store->stale, once somebody said so */
    struct list waiters;       /* redis_waiter, for the fetch that is under way */
    struct net_timer deadline; /* of those who wait */
    uint64_t checked_ms;       /* when memory and Redis had the same, last */
    struct sio_buf *got;       /* of a fetch whose second answer is due */
    size_t n_writing;          /* bytes */
    unsigned n_commands;       /* whose answers are due */
    int got_status;
    uint32_t lifetime_s;
    bool fetched;   /* memory has what Redis had, not what was put here */
    bool unwritten; /* Redis has not said that it has what was put here */
    bool writing;
    bool writing_own; /* and not what was fetched */
    bool again;       /* to be written once more when that is done */
    bool outdated;    /* Redis has something newer than memory */
    bool missed;      /* Redis may not have what was put: look, and write it if so */
    bool fetching;
    bool overtaken; /* by a put, since the fetch began */
    bool refetch;   /* what is on its way may be outdated already */
    bool listed;    /* fetched for a list */
    char name[];
};

/* One walk through the names of a kind. */
struct redis_scan {
    struct redis_store *store;
    const struct store_redis_kind *kind;
    struct list waiters;
    struct net_timer deadline;
    uint64_t done_ms;
    uint32_t node; /* whose names are walked through (redis/nodes.h) */
    unsigned n_rounds;
    bool known;   /* done_ms means something */
    bool running; /* names or values are still to come */
    bool walked;  /* all names have come */
};

struct redis_store {
    struct store base;
    struct net_loop *loop;
    const struct log *log;
    struct redis_url url;
    struct redis_nodes *nodes;
    struct store *front; /* memory */
    struct map keys;
    struct list writes;        /* to be written, longest waiting first */
    struct list checks;        /* all keys, longest unchecked first */
    struct list wanted;        /* to be fetched for lists */
    struct list stale;         /* keys that may be outdated since the last walk */
    struct redis_key *refused; /* the last one that was; NULL: it takes writes */
    struct net_timer tick;
    struct net_timer pause; /* after a write was refused */
    struct redis_scan scans[STORE_REDIS_MAX_KINDS];
    size_t n_scans;
    size_t n_writes; /* under way */
    size_t write_bytes;
    size_t n_checks;
    size_t n_listed; /* fetches for lists, under way */
    size_t max_bytes;
    size_t max_value;
    size_t max_keys;
    void (*on_written)(struct sio_str key, void *user);
    void *user;
    bool closing;
};

/* redis.c */

/* What memory has: borrowed until it changes.  False: nothing. */
bool redis_front_get(struct redis_store *rs, struct sio_str name,
                     struct store_entry *out);
struct redis_key *redis_key_find(struct redis_store *rs, struct sio_str name);
/* Finds or makes.  NULL: out of memory, no kind of ours, or too many keys. */
struct redis_key *redis_key_get(struct redis_store *rs, struct sio_str name);
/* Frees it if nobody needs it any more. */
void redis_key_release(struct redis_key *key);
/*
 * theirs: for how many ms what Redis has still lives.  True: what memory has is newer, was
 * put while there was no connection, and is written now.
 */
bool redis_key_keep(struct redis_key *key, int64_t theirs);
/* Memory and Redis have the same now. */
void redis_key_checked(struct redis_key *key);
const struct store_redis_kind *redis_kind_of(const struct redis_store *rs,
                                             struct sio_str name);

/* redis_read.c */
void redis_read_init(struct redis_store *rs, const struct store_redis_options *opts);
void redis_read_key_init(struct redis_key *key);
void redis_read_get(struct store *s, struct sio_str name, store_get_cb cb, void *user);
void redis_read_list(struct store *s, struct sio_str prefix, store_list_cb cb,
                     void *user);
void redis_read_stale(struct store *s, struct sio_str name);
/* The connection is gone, or the store ends: nothing is fetched any more. */
void redis_read_stop(struct redis_store *rs);

#endif
