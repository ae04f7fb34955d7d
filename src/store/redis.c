/*
 * redis.c - the Redis store: keys, writes, and what happens when it comes and goes
 *
 * A write goes out at once, and only the newest of a key: the queue holds names, and the
 * value is taken from memory when its turn comes.  Each key has one write under way at
 * most.  When Redis has been away, what is in memory is compared with what it has by the
 * time that each still has to live (the younger one lives longer), and only what it lacks
 * or has older is written: another hub may have newer pictures of the same camera.
 */
#include <config.h>

#include "store/redis_impl.h"

#include <stdio.h>

#include "base/buf.h"
#include "base/mem.h"
#include "base/str.h"
#include "redis/tls.h"

#define TICK_MS         1000
#define CHECK_MS        2000 /* others may have put something newer since */
#define SAME_MS         1500 /* two that were put so close together are the same */
#define MAX_CHECKS      256  /* under way */
#define MAX_WRITES      64
#define MAX_WRITE_BYTES ((size_t)4 * 1024 * 1024)
#define PAUSE_MS        1000 /* before a refused write is tried again */
#define NO_KEY          (-2) /* what PTTL says */

static struct redis_store *redis_of(struct store *s)
{
    return container_of(s, struct redis_store, base);
}

/* Keys. */

static void on_front(int status, const struct store_entry *entry, void *user)
{
    struct store_entry *out = user;

    if (status == SIO_OK)
        *out = *entry;
}

bool redis_front_get(struct redis_store *rs, struct sio_str name,
                     struct store_entry *out)
{
    *out = (struct store_entry){.key = {NULL, 0}};
    store_get(rs->front, name, on_front, out);
    return out->key.ptr != NULL;
}

const struct store_redis_kind *redis_kind_of(const struct redis_store *rs,
                                             struct sio_str name)
{
    for (size_t i = 0; i < rs->n_scans; i++)
        if (str_starts(name, rs->scans[i].kind->prefix))
            return rs->scans[i].kind;
    return NULL;
}

struct redis_key *redis_key_find(struct redis_store *rs, struct sio_str name)
{
    struct map_node *n = map_find(&rs->keys, name);

    return n ? container_of(n, struct redis_key, node) : NULL;
}

struct redis_key *redis_key_get(struct redis_store *rs, struct sio_str name)
{
    struct redis_key *key = redis_key_find(rs, name);
    const struct store_redis_kind *kind = redis_kind_of(rs, name);

    if (key)
        return key;
    if (!kind || rs->keys.n_items >= rs->max_keys * rs->n_scans)
        return NULL;
    key = mem_alloc(sizeof(*key) + name.len);
    if (!key)
        return NULL;
    memcpy(key->name, name.ptr, name.len);
    if (map_add(&rs->keys, &key->node, (struct sio_str){key->name, name.len}) < 0) {
        mem_free(key);
        return NULL;
    }
    key->store = rs;
    key->lifetime_s = kind->lifetime_s;
    key->checked_ms = net_loop_now_ms(rs->loop);
    list_init(&key->write);
    list_init(&key->check);
    list_init(&key->wanted);
    list_init(&key->stale);
    list_init(&key->waiters);
    redis_read_key_init(key);
    list_append(&rs->checks, &key->check);
    return key;
}

static void free_key(struct redis_key *key)
{
    if (key->store->refused == key)
        key->store->refused = NULL;
    map_remove(&key->store->keys, &key->node);
    list_remove(&key->write);
    list_remove(&key->check);
    list_remove(&key->wanted);
    list_remove(&key->stale);
    net_timer_stop(&key->deadline);
    sio_buf_unref(key->got);
    mem_free(key);
}

void redis_key_release(struct redis_key *key)
{
    struct store_entry entry;

    if (key->n_commands > 0 || list_linked(&key->write) || list_linked(&key->wanted) ||
        !list_empty(&key->waiters) ||
        redis_front_get(key->store, key->node.key, &entry))
        return;
    free_key(key);
}

void redis_key_checked(struct redis_key *key)
{
    key->checked_ms = net_loop_now_ms(key->store->loop);
    list_remove(&key->check);
    list_append(&key->store->checks, &key->check);
}

/* How long the value in memory still lives; 0: there is none. */
static int64_t lives_ms(struct redis_key *key, struct store_entry *entry)
{
    int64_t lifetime_ms = (int64_t)key->lifetime_s * 1000;

    if (!redis_front_get(key->store, key->node.key, entry))
        return 0;
    return lifetime_ms > entry->age_ms ? lifetime_ms - entry->age_ms : 0;
}

/* Writes. */

static void pump_writes(struct redis_store *rs);

static void queue_write(struct redis_key *key)
{
    if (key->writing)
        key->again = true;
    else if (!list_linked(&key->write))
        list_append(&key->store->writes, &key->write);
}

/* It is full, read-only, or the like: nothing that a picture less would change. */
static void on_refused(struct redis_key *key, const struct redis_reply *reply)
{
    struct redis_store *rs = key->store;
    struct sio_str text = {"", 0};

    redis_reply_text(reply, &text);
    if (!rs->refused)
        log_warn(rs->log, "redis store takes no writes: %.*s",
                 (int)(text.len < 150 ? text.len : 150), text.ptr);
    rs->refused = key;
    (void)net_timer_start(&rs->pause, PAUSE_MS);
}

static void on_written(int status, const struct redis_reply *reply, void *user)
{
    struct redis_key *key = user;
    struct redis_store *rs = key->store;
    struct sio_str ok;
    bool again;

    if (status == SIO_OK && !key->again && !redis_reply_text(reply, &ok))
        key->outdated = true; /* there was something already */
    if (status == SIO_OK && key->writing_own && rs->on_written)
        rs->on_written(key->node.key,
                       rs->user); /* while an answer is due, the key stays */
    again = key->again;
    if (status == SIO_OK && !again)
        key->unwritten = false;
    key->n_commands--;
    key->writing = key->again = false;
    rs->n_writes--;
    rs->write_bytes -= key->n_writing;
    if (status == SIO_ERR_REFUSED) {
        again = true;
        on_refused(key, reply);
    } else if (status == SIO_OK && rs->refused == key) {
        rs->refused = NULL;
        log_info(rs->log, "redis store takes writes again");
    }
    /* Without a connection: what it lacks is found out when it is back. */
    if (again && redis_nodes_is_up(rs->nodes))
        queue_write(key);
    redis_key_release(key);
    pump_writes(rs);
}

static int send_write(struct redis_key *key)
{
    struct redis_store *rs = key->store;
    struct store_entry entry;
    char ms[STR_U64_SIZE];
    uint64_t lives = (uint64_t)lives_ms(key, &entry);
    struct sio_slice args[6] = {
        redis_arg(SIO_STR("SET")),
        redis_arg(key->node.key),
        entry.value,
        redis_arg(SIO_STR("PX")),
        redis_arg((struct sio_str){ms, str_from_u64(lives, ms)}),
        redis_arg(SIO_STR("NX")),
    };
    struct redis_request r = {.args = args};

    if (lives == 0)
        return SIO_ERR_NOT_FOUND;
    key->n_writing = entry.value.len;
    key->writing_own = !key->fetched;
    /* What was fetched must not take the place of what its owner has put since. */
    r.n = key->fetched ? 6 : 5;
    return redis_nodes_request(rs->nodes, key->node.key, &r, on_written, key);
}

static bool may_write(const struct redis_store *rs)
{
    size_t max = rs->refused ? 1 : MAX_WRITES; /* the first one tries how it is */

    return redis_nodes_is_up(rs->nodes) && !net_timer_running(&rs->pause) &&
           rs->n_writes < max && rs->write_bytes < MAX_WRITE_BYTES;
}

static void pump_writes(struct redis_store *rs)
{
    while (!list_empty(&rs->writes) && may_write(rs)) {
        struct redis_key *key = container_of(rs->writes.next, struct redis_key, write);
        int rv;

        list_remove(&key->write);
        rv = send_write(key);
        if (rv == SIO_OK) {
            key->writing = true;
            key->n_commands++;
            rs->n_writes++;
            rs->write_bytes += key->n_writing;
        } else {
            key->missed |= rv != SIO_ERR_NOT_FOUND; /* a later check will find it */
            redis_key_release(key);
        }
    }
}

static void on_pause(struct net_timer *timer, void *user)
{
    (void)timer;
    pump_writes(user);
}

static int redis_put(struct store *s, struct sio_str name, struct sio_slice value,
                     uint32_t lifetime_s)
{
    struct redis_store *rs = redis_of(s);
    int rv = store_put(rs->front, name, value, lifetime_s);
    struct redis_key *key = rv == SIO_OK ? redis_key_get(rs, name) : NULL;

    if (!key) /* in memory only */
        return rv;
    key->lifetime_s = lifetime_s;
    key->outdated = key->fetched = false;
    key->overtaken = key->unwritten = true;
    redis_key_checked(key);
    if (!redis_nodes_is_up(rs->nodes)) {
        key->missed = true;
        return SIO_OK;
    }
    queue_write(key);
    pump_writes(rs);
    return SIO_OK;
}

/* Checks: does Redis have what memory has? */

static void pump_checks(struct redis_store *rs);

/* Redis lacks what memory has, or has an older one, which lives no more than theirs ms. */
static bool is_owed(const struct redis_key *key, int64_t ours, int64_t theirs)
{
    return key->missed && theirs <= ours + SAME_MS &&
           (key->unwritten || theirs == NO_KEY || theirs + SAME_MS < ours);
}

static void compare(struct redis_key *key, int64_t theirs)
{
    struct store_entry entry;
    int64_t ours = lives_ms(key, &entry);

    if (ours == 0 || key->writing || list_linked(&key->write) || key->fetching)
        return;
    if (theirs > ours + SAME_MS)
        key->outdated = true;
    else if (is_owed(key, ours, theirs))
        queue_write(key);
    key->missed = false;
}

bool redis_key_keep(struct redis_key *key, int64_t theirs)
{
    struct store_entry entry;
    int64_t ours = lives_ms(key, &entry);

    if (ours == 0 || !is_owed(key, ours, theirs))
        return false;
    key->missed = false;
    queue_write(key);
    pump_writes(key->store);
    return true;
}

static void on_checked(int status, const struct redis_reply *reply, void *user)
{
    struct redis_key *key = user;
    struct redis_store *rs = key->store;
    int64_t theirs;

    key->n_commands--;
    rs->n_checks--;
    if (status == SIO_OK && redis_reply_integer(reply, &theirs))
        compare(key, theirs);
    redis_key_release(key);
    pump_writes(rs);
    pump_checks(rs);
}

static void check(struct redis_key *key)
{
    struct redis_store *rs = key->store;
    struct sio_slice args[2] = {redis_arg(SIO_STR("PTTL")), redis_arg(key->node.key)};
    const struct redis_request r = {.args = args, .n = 2};

    redis_key_checked(key);
    if (key->n_commands == 0 && !list_linked(&key->write) &&
        redis_nodes_request(rs->nodes, key->node.key, &r, on_checked, key) == SIO_OK) {
        key->n_commands++;
        rs->n_checks++;
    }
}

static void pump_checks(struct redis_store *rs)
{
    uint64_t now_ms = net_loop_now_ms(rs->loop);

    while (redis_nodes_is_up(rs->nodes) && rs->n_checks < MAX_CHECKS &&
           !list_empty(&rs->checks)) {
        struct redis_key *key = container_of(rs->checks.next, struct redis_key, check);
        struct store_entry entry;

        if (now_ms - key->checked_ms < CHECK_MS)
            break;
        if (redis_front_get(rs, key->node.key, &entry)) {
            check(key);
        } else {
            redis_key_checked(key);
            redis_key_release(key);
        }
    }
}

/* Without a connection only what has run out is let go. */
static void let_go(struct redis_store *rs)
{
    struct redis_key *key;

    list_for_each (key, struct redis_key, check, &rs->checks)
        redis_key_release(key);
}

static void on_tick(struct net_timer *timer, void *user)
{
    struct redis_store *rs = user;

    (void)net_timer_start(timer, TICK_MS); /* its place has just become free */
    if (redis_nodes_is_up(rs->nodes)) {
        pump_writes(rs);
        pump_checks(rs);
    } else {
        let_go(rs);
    }
}

/* The connections. */

/* Redis may lack anything: all of memory is due. */
static void on_up(struct redis_nodes *n, void *user)
{
    struct redis_store *rs = user;
    struct redis_key *key;

    (void)n;
    list_for_each (key, struct redis_key, check, &rs->checks) {
        key->checked_ms = net_loop_now_ms(rs->loop) - CHECK_MS;
        key->missed = true;
    }
    pump_checks(rs);
}

static void on_down(struct redis_nodes *n, void *user)
{
    struct redis_store *rs = user;

    (void)n;
    while (!list_empty(&rs->writes)) {
        struct redis_key *key = container_of(rs->writes.next, struct redis_key, write);

        list_remove(&key->write);
        redis_key_release(key);
    }
    net_timer_stop(&rs->pause);
    rs->refused = NULL;
    redis_read_stop(rs);
}

/* The store. */

static enum store_state redis_state(const struct store *s)
{
    const struct redis_store *rs = (const struct redis_store *)(const void *)s;

    if (!redis_nodes_is_whole(rs->nodes))
        return STORE_DOWN;
    return rs->refused ? STORE_REFUSED : STORE_UP;
}

static void redis_free(struct store *s)
{
    struct redis_store *rs = redis_of(s);
    struct redis_key *key;

    rs->closing = true;
    net_timer_stop(&rs->tick);
    redis_nodes_free(rs->nodes);
    rs->nodes = NULL;
    redis_read_stop(rs);
    net_timer_stop(&rs->pause);
    list_for_each (key, struct redis_key, check, &rs->checks)
        free_key(key);
    map_fini(&rs->keys);
    store_free(rs->front);
    redis_url_fini(&rs->url);
    mem_free(rs);
}

static const struct store_ops redis_ops = {
    .name = "redis",
    .put = redis_put,
    .get = redis_read_get,
    .list = redis_read_list,
    .stale = redis_read_stale,
    .state = redis_state,
    .free = redis_free,
};

static struct redis_store *new_store(struct net_loop *loop,
                                     const struct store_redis_options *opts)
{
    struct redis_store *rs = mem_new(struct redis_store);

    if (!rs)
        return NULL;
    rs->base.ops = &redis_ops;
    rs->loop = loop;
    rs->log = net_loop_log(loop);
    rs->max_bytes = opts->max_bytes;
    rs->max_value = opts->max_value;
    rs->max_keys = opts->max_keys;
    rs->on_written = opts->on_written;
    rs->user = opts->user;
    map_init(&rs->keys);
    list_init(&rs->writes);
    list_init(&rs->checks);
    list_init(&rs->wanted);
    list_init(&rs->stale);
    net_timer_init(&rs->tick, loop, on_tick, rs);
    net_timer_init(&rs->pause, loop, on_pause, rs);
    redis_read_init(rs, opts);
    return rs;
}

static int open_store(struct redis_store *rs, struct sio_str url, struct sio_diag *diag)
{
    static const struct redis_nodes_ops ops = {
        .on_up = on_up,
        .on_down = on_down,
        .on_changed = on_up,
    };
    struct redis_conn_options conn_opts = {.url = &rs->url, .name = "store"};
    int rv = redis_url_parse(url, &rs->url, diag);

    if (rv == SIO_OK)
        rv = redis_tls_new(&rs->url, &conn_opts.tls, diag);
    if (rv < 0)
        return rv;
    rs->front = store_memory_new(rs->loop, rs->max_bytes);
    rs->nodes = redis_nodes_new(rs->loop, &conn_opts, &ops, rs);
    net_tls_unref(conn_opts.tls);
    if (rs->front && rs->nodes && net_timer_start(&rs->tick, TICK_MS) == SIO_OK)
        return SIO_OK;
    return sio_diag_set(diag, SIO_ERR_NOMEM, "out of memory");
}

struct store *store_redis_new(struct net_loop *loop,
                              const struct store_redis_options *opts,
                              struct sio_diag *diag)
{
    struct redis_store *rs = new_store(loop, opts);

    if (!rs) {
        sio_diag_set(diag, SIO_ERR_NOMEM, "out of memory");
        return NULL;
    }
    if (open_store(rs, opts->url, diag) == SIO_OK)
        return &rs->base;
    redis_free(&rs->base);
    return NULL;
}

int store_redis_check(struct sio_str url, struct sio_diag *diag)
{
    struct net_tls *tls = NULL;
    struct redis_url u;
    int rv = redis_url_parse(url, &u, diag);

    if (rv < 0)
        return rv;
    rv = redis_tls_new(&u, &tls, diag);
    net_tls_unref(tls);
    redis_url_fini(&u);
    return rv;
}
