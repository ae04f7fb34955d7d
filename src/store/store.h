/*
 * store/store.h - where pictures and camera errors are kept: names to JSON texts
 *
 * A store answers by callback: memory does so before the call returns, a store
 * behind a network later.  A store that is down delays nothing: writes are dropped,
 * reads fail.
 */
#ifndef STORE_STORE_H
#define STORE_STORE_H

#include <sioc/bytes.h>
#include <sioc/loop.h>

struct store;

/* What was put.  All of it is borrowed: hold the value to keep it. */
struct store_entry {
    struct sio_str key;
    struct sio_slice value;
    uint64_t version; /* no two puts of a store have the same */
    uint32_t age_ms;  /* since the put */
    int64_t time_s;   /* of the put, since 1970 */
};

/*
 * status SIO_OK with entry; SIO_ERR_NOT_FOUND; SIO_ERR_IO, SIO_ERR_TIMEOUT where the
 * store is down.  Called exactly once for each get, maybe before it returns: so a get
 * is the last thing that a function does.
 */
typedef void (*store_get_cb)(int status, const struct store_entry *entry, void *user);

/*
 * Once for each entry, in no order, then once with entry NULL and the status of the
 * whole.  Must not put while entries come.
 */
typedef void (*store_list_cb)(int status, const struct store_entry *entry, void *user);

/* Whether what is put survives: of a store behind a network. */
enum store_state {
    STORE_LOCAL,   /* there is no network */
    STORE_UP,      /* connected */
    STORE_DOWN,    /* not connected */
    STORE_REFUSED, /* connected, but it takes no writes */
};

struct store_ops {
    const char *name;

    /*
     * Keeps value (a reference is taken, or a copy made) under key for lifetime_s, in
     * place of what was there.  SIO_OK; SIO_ERR_NOMEM, SIO_ERR_TOO_BIG, SIO_ERR_IO:
     * what was there may be gone.
     */
    int (*put)(struct store *s, struct sio_str key, struct sio_slice value,
               uint32_t lifetime_s);
    void (*get)(struct store *s, struct sio_str key, store_get_cb cb, void *user);
    void (*list)(struct store *s, struct sio_str prefix, store_list_cb cb, void *user);

    /* NULL: there is nobody else who puts. */
    void (*stale)(struct store *s, struct sio_str key);

    enum store_state (*state)(const struct store *s);

    /* Answers what is still open with SIO_ERR_CLOSED, and frees. */
    void (*free)(struct store *s);
};

/* The objects of each kind begin with this. */
struct store {
    const struct store_ops *ops;
};

static inline int store_put(struct store *s, struct sio_str key, struct sio_slice value,
                            uint32_t lifetime_s)
{
    return s->ops->put(s, key, value, lifetime_s);
}

static inline void store_get(struct store *s, struct sio_str key, store_get_cb cb,
                             void *user)
{
    s->ops->get(s, key, cb, user);
}

static inline void store_list(struct store *s, struct sio_str prefix, store_list_cb cb,
                              void *user)
{
    s->ops->list(s, prefix, cb, user);
}

/*
 * Somebody else has put a value under key: whoever gets or lists it next, gets what is
 * there now.  Nothing is fetched before somebody asks.
 */
static inline void store_stale(struct store *s, struct sio_str key)
{
    if (s->ops->stale)
        s->ops->stale(s, key);
}

static inline enum store_state store_state(const struct store *s)
{
    return s->ops->state(s);
}

/* NULL is allowed. */
static inline void store_free(struct store *s)
{
    if (s)
        s->ops->free(s);
}

/*
 * The store in memory.  It holds at most max_bytes, overhead included; where that is
 * not enough the oldest entries go.  NULL when out of memory.
 */
struct store *store_memory_new(struct net_loop *loop, size_t max_bytes);

/*
 * As store_put, for what was put elsewhere age_ms ago.  SIO_ERR_NOT_FOUND: it is older
 * than its lifetime.
 */
int store_memory_put_aged(struct store *s, struct sio_str key, struct sio_slice value,
                          uint32_t lifetime_s, uint32_t age_ms);

/* What a memory store holds, for statistics and tests. */
struct store_memory_stats {
    size_t n_entries;
    size_t bytes;
    uint64_t n_dropped; /* for want of room */
};
void store_memory_stats(const struct store *s, struct store_memory_stats *out);

/*
 * The store in Redis, with a memory store in front of it (redis.c).
 *
 * All that is put is in memory first, and a read of it waits for nothing.  Each value is
 * written to Redis once, where other programs find it under the same name.  What memory
 * lacks, or what another program has put since, is fetched: once for all who ask at the
 * time, and whoever asks waits READ_MS at most.  While Redis is away memory is all there
 * is; when it is back, it gets what it lacks.
 */
struct store_redis_kind {
    struct sio_str prefix; /* of keys; none is the beginning of another */
    uint32_t lifetime_s;   /* of values that others put without one */
};

struct store_redis_options {
    struct sio_str url;                   /* redis_url.h */
    const struct store_redis_kind *kinds; /* borrowed for the store's life */
    size_t n_kinds;                       /* at most STORE_REDIS_MAX_KINDS */
    size_t max_bytes;                     /* of memory */
    size_t max_value;                     /* larger ones in Redis do not exist */
    size_t max_keys;                      /* of each kind, that others put */
    /*
     * Redis has the value that memory had a moment ago: others may be told.  May use the
     * store, must not free it.  NULL: nobody wants to know.
     */
    void (*on_written)(struct sio_str key, void *user);
    void *user;
};

#define STORE_REDIS_MAX_KINDS 4

/* NULL, with a sentence in diag: out of memory, or the URL is wrong. */
struct store *store_redis_new(struct net_loop *loop,
                              const struct store_redis_options *opts,
                              struct sio_diag *diag);

/* Whether store_redis_new takes this URL: SIO_OK, or an error and a sentence. */
int store_redis_check(struct sio_str url, struct sio_diag *diag);

#endif
