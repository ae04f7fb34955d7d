/*
 * redis_read.c - the Redis store: what memory lacks is fetched
 *
 * What comes from Redis was put there by somebody else: it has to be JSON in UTF-8
 * before it enters memory, for whoever reads a store trusts its texts.
 */
#include <config.h>

#include "store/redis_impl.h"

#include "base/buf.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/str.h"
#include "base/utf8.h"

#define READ_MS     2000 /* whoever asks waits no longer */
#define LIST_MS     1000 /* a list this old needs no new walk */
#define MAX_ROUNDS  200  /* of one walk, each over some SCAN_COUNT names */
#define SCAN_COUNT  "1000"
#define MAX_LISTED  16 /* values that are fetched for lists at a time */
#define MAX_NAME    512
#define NO_KEY      (-2) /* what PTTL says */
#define NO_LIFETIME (-1)

static struct redis_store *redis_of(struct store *s)
{
    return container_of(s, struct redis_store, base);
}

static struct redis_waiter *add_waiter(struct list *waiters, void *user)
{
    struct redis_waiter *w = mem_new(struct redis_waiter);

    if (!w)
        return NULL;
    w->user = user;
    list_append(waiters, &w->link);
    return w;
}

/* One value. */

/* What memory has, or status where it has nothing. */
static void answer_get(struct redis_store *rs, struct sio_str name, int status,
                       store_get_cb cb, void *user)
{
    struct store_entry entry;

    if (rs->closing)
        cb(SIO_ERR_CLOSED, NULL, user);
    else if (redis_front_get(rs, name, &entry))
        cb(SIO_OK, &entry, user);
    else
        cb(status, NULL, user);
}

static void answer_waiters(struct redis_key *key, int status)
{
    struct redis_store *rs = key->store;

    net_timer_stop(&key->deadline);
    key->n_commands++; /* it stays while its waiters are told */
    while (!list_empty(&key->waiters)) {
        struct redis_waiter *w =
            container_of(key->waiters.next, struct redis_waiter, link);
        store_get_cb cb = w->get;
        void *user = w->user;

        list_remove(&w->link);
        mem_free(w);
        answer_get(rs, key->node.key, status, cb, user);
    }
    key->n_commands--;
}

static void on_deadline(struct net_timer *timer, void *user)
{
    (void)timer;
    answer_waiters(user, SIO_ERR_TIMEOUT);
}

void redis_read_key_init(struct redis_key *key)
{
    net_timer_init(&key->deadline, key->store->loop, on_deadline, key);
}

static void walk_on(struct redis_store *rs);
static int fetch(struct redis_key *key);

/* Into memory, with the age that it has.  SIO_OK, or why it does not exist. */
static int take_in(struct redis_key *key, int64_t theirs_ms)
{
    int64_t lifetime_ms = (int64_t)key->lifetime_s * 1000;
    int64_t age_ms = 0;

    if (key->got_status < 0 || theirs_ms == NO_KEY)
        return key->got_status < 0 ? key->got_status : SIO_ERR_NOT_FOUND;
    if (theirs_ms != NO_LIFETIME && theirs_ms < lifetime_ms)
        age_ms = lifetime_ms - theirs_ms;
    return store_memory_put_aged(key->store->front, key->node.key,
                                 sio_slice_of(key->got), key->lifetime_s,
                                 (uint32_t)age_ms);
}

static void end_fetch(struct redis_key *key, int status)
{
    struct redis_store *rs = key->store;

    key->fetching = false;
    sio_buf_unref(key->got);
    key->got = NULL;
    if (key->listed)
        rs->n_listed--;
    key->listed = false;
    answer_waiters(key, status);
    redis_key_release(key);
    walk_on(rs);
}

static void on_lives(int status, const struct redis_reply *reply, void *user)
{
    struct redis_key *key = user;
    struct store_entry entry;
    int64_t theirs_ms;

    key->n_commands--;
    if (status < 0 || !redis_reply_integer(reply, &theirs_ms)) {
        end_fetch(key, SIO_ERR_NOT_FOUND);
        return;
    }
    if ((key->overtaken && redis_front_get(key->store, key->node.key, &entry)) ||
        redis_key_keep(key, theirs_ms)) {
        status = SIO_OK;
    } else {
        status = take_in(key, theirs_ms);
        if (status == SIO_OK) {
            key->missed = false;
            key->fetched = true;
            key->unwritten = false;
        }
        redis_key_checked(key);
    }
    key->outdated = key->refetch;
    /* Who waits may be waiting for what was put there since. */
    if (!key->refetch || list_empty(&key->waiters) || fetch(key) < 0)
        end_fetch(key, status);
}

static int check_value(struct sio_str text, size_t max)
{
    if (text.len == 0)
        return SIO_ERR_NOT_FOUND;
    if (text.len > max)
        return SIO_ERR_TOO_BIG;
    return utf8_check(text.ptr, text.len) ? json_check(text) : SIO_ERR_PARSE;
}

static void on_value(int status, const struct redis_reply *reply, void *user)
{
    struct redis_key *key = user;
    struct sio_str text;

    key->n_commands--;
    sio_buf_unref(key->got);
    key->got = NULL;
    if (status == SIO_ERR_CLOSED)
        key->got_status = SIO_ERR_NOT_FOUND;
    else if (status < 0 || !redis_reply_text(reply, &text))
        key->got_status = SIO_ERR_PARSE; /* no string */
    else
        key->got_status = check_value(text, key->store->max_value);
    if (key->got_status == SIO_OK) {
        text = json_trim(text);
        key->got = sio_buf_copy(text.ptr, text.len);
        key->got_status = key->got ? SIO_OK : SIO_ERR_NOMEM;
    }
}

/*
 * GETRANGE and not GET: no more comes than is wanted.  PTTL behind it: what it tells of
 * is at least as new.
 */
static int fetch(struct redis_key *key)
{
    struct redis_store *rs = key->store;
    char max[STR_U64_SIZE];
    struct sio_slice args[4] = {
        redis_arg(SIO_STR("GETRANGE")), redis_arg(key->node.key),
        redis_arg(SIO_STR("0")),
        redis_arg((struct sio_str){max, str_from_u64(rs->max_value, max)})};
    struct redis_request r = {.args = args, .n = 4};
    int rv = redis_nodes_request(rs->nodes, key->node.key, &r, on_value, key);

    if (rv < 0)
        return rv;
    key->n_commands++;
    key->got_status = SIO_ERR_NOT_FOUND; /* where slots move, PTTL may overtake it */
    args[0] = redis_arg(SIO_STR("PTTL"));
    r.n = 2;
    rv = redis_nodes_request(rs->nodes, key->node.key, &r, on_lives, key);
    if (rv < 0)
        return rv; /* the first answer will be for nobody */
    key->n_commands++;
    key->fetching = true;
    key->overtaken = key->refetch = false;
    return SIO_OK;
}

/* Who asks now would wait in vain: somebody else has. */
static bool is_late(const struct redis_store *rs)
{
    return redis_nodes_silent_ms(rs->nodes) >= READ_MS;
}

static bool is_known(struct redis_store *rs, struct sio_str name)
{
    struct store_entry entry;
    const struct redis_key *key = redis_key_find(rs, name);

    return redis_front_get(rs, name, &entry) && !(key && key->outdated);
}

/* True: cb is called when the value is there, or too late. */
static bool wait_for(struct redis_key *key, store_get_cb cb, void *user)
{
    struct redis_waiter *w;
    int rv = SIO_OK;

    if (is_late(key->store) ||
        (key->fetching && !key->listed && !net_timer_running(&key->deadline)))
        return false;
    w = add_waiter(&key->waiters, user);
    if (!w)
        return false;
    w->get = cb;
    if (!net_timer_running(&key->deadline))
        rv = net_timer_start(&key->deadline, READ_MS);
    if (rv == SIO_OK && !key->fetching)
        rv = fetch(key);
    if (rv < 0) {
        answer_waiters(key, rv == SIO_ERR_CLOSED ? SIO_ERR_NOT_FOUND : SIO_ERR_NOMEM);
        redis_key_release(key);
    }
    return true;
}

void redis_read_get(struct store *s, struct sio_str name, store_get_cb cb, void *user)
{
    struct redis_store *rs = redis_of(s);
    struct redis_key *key = NULL;

    if (rs->closing || !redis_nodes_is_up(rs->nodes) || is_known(rs, name)) {
        answer_get(rs, name, SIO_ERR_NOT_FOUND, cb, user);
        return;
    }
    key = redis_key_get(rs, name);
    if (!key)
        answer_get(rs, name, SIO_ERR_NOT_FOUND, cb, user);
    else if (!wait_for(key, cb, user)) {
        redis_key_release(key);
        answer_get(rs, name, SIO_ERR_TIMEOUT, cb, user);
    }
}

/* Lists. */

static void answer_list(struct redis_scan *scan)
{
    struct redis_store *rs = scan->store;

    net_timer_stop(&scan->deadline);
    while (!list_empty(&scan->waiters)) {
        struct redis_waiter *w =
            container_of(scan->waiters.next, struct redis_waiter, link);
        store_list_cb cb = w->list;
        void *user = w->user;

        list_remove(&w->link);
        mem_free(w);
        if (rs->closing)
            cb(SIO_ERR_CLOSED, NULL, user);
        else
            store_list(rs->front, scan->kind->prefix, cb, user);
    }
}

static void on_list_deadline(struct net_timer *timer, void *user)
{
    (void)timer;
    answer_list(user);
}

static void end_scan(struct redis_scan *scan)
{
    scan->running = false;
    if (scan->n_rounds > 0) {
        scan->known = redis_nodes_is_up(scan->store->nodes);
        scan->done_ms = net_loop_now_ms(scan->store->loop);
    }
    answer_list(scan);
}

/* Lists are no reason to push out of memory what is in it. */
static bool has_room(const struct redis_store *rs)
{
    struct store_memory_stats stats;

    store_memory_stats(rs->front, &stats);
    return stats.bytes < rs->max_bytes / 4 * 3;
}

static void fetch_wanted(struct redis_store *rs)
{
    while (!list_empty(&rs->wanted) && rs->n_listed < MAX_LISTED) {
        struct redis_key *key = container_of(rs->wanted.next, struct redis_key, wanted);

        list_remove(&key->wanted);
        if (!key->fetching && !is_known(rs, key->node.key) && has_room(rs) &&
            fetch(key) == SIO_OK) {
            key->listed = true;
            rs->n_listed++;
        } else {
            redis_key_release(key);
        }
    }
}

static void walk_on(struct redis_store *rs)
{
    fetch_wanted(rs);
    if (!list_empty(&rs->wanted) || rs->n_listed > 0)
        return;
    for (size_t i = 0; i < rs->n_scans; i++)
        if (rs->scans[i].running && rs->scans[i].walked)
            end_scan(&rs->scans[i]);
}

static void want(struct redis_scan *scan, struct sio_str name)
{
    struct redis_store *rs = scan->store;
    struct redis_key *key;

    if (name.len > MAX_NAME || !str_starts(name, scan->kind->prefix) ||
        is_known(rs, name))
        return;
    key = redis_key_get(rs, name);
    if (key && !key->fetching && !list_linked(&key->wanted))
        list_append(&rs->wanted, &key->wanted);
}

static void on_names(int status, const struct redis_reply *reply, void *user);

static int walk(struct redis_scan *scan, struct sio_str cursor)
{
    struct sio_slice args[6] = {
        redis_arg(SIO_STR("SCAN")),  redis_arg(cursor),
        redis_arg(SIO_STR("MATCH")), redis_arg(SIO_STR("")),
        redis_arg(SIO_STR("COUNT")), redis_arg(SIO_STR(SCAN_COUNT)),
    };
    char pattern[64];
    size_t len = scan->kind->prefix.len;

    if (len >= sizeof(pattern))
        return SIO_ERR_TOO_BIG;
    memcpy(pattern, scan->kind->prefix.ptr, len);
    pattern[len] = '*';
    args[3] = redis_arg((struct sio_str){pattern, len + 1});
    scan->n_rounds++;
    return redis_nodes_request_at(scan->store->nodes, scan->node,
                                  &(struct redis_request){.args = args, .n = 6},
                                  on_names, scan);
}

/* True: on to the names of the next node.  False: there is none any more. */
static bool walk_next(struct redis_scan *scan)
{
    do {
        scan->node = redis_nodes_next(scan->store->nodes, scan->node, false);
    } while (scan->node != REDIS_NO_NODE && walk(scan, SIO_STR("0")) < 0);
    return scan->node != REDIS_NO_NODE;
}

static void on_names(int status, const struct redis_reply *reply, void *user)
{
    struct redis_scan *scan = user;
    struct sio_str cursor, name;
    const struct redis_reply *names;

    bool more = false; /* of this node */

    if (status == SIO_OK && redis_reply_count(reply) == 2 &&
        redis_reply_text(redis_reply_at(reply, 0), &cursor)) {
        names = redis_reply_at(reply, 1);
        for (size_t i = 0; i < redis_reply_count(names); i++)
            if (redis_reply_text(redis_reply_at(names, i), &name))
                want(scan, name);
        more = !str_eq_cstr(cursor, "0") && scan->n_rounds < MAX_ROUNDS &&
               walk(scan, cursor) == SIO_OK;
    }
    scan->walked = !more && !walk_next(scan);
    walk_on(scan->store);
}

static struct redis_scan *scan_of(struct redis_store *rs, struct sio_str prefix)
{
    for (size_t i = 0; i < rs->n_scans; i++)
        if (str_eq(rs->scans[i].kind->prefix, prefix))
            return &rs->scans[i];
    return NULL;
}

/* All names have been asked for a moment ago. */
static bool is_recent(const struct redis_scan *scan)
{
    return scan->known && net_loop_now_ms(scan->store->loop) - scan->done_ms < LIST_MS;
}

/* Those that have become stale since are wanted; true: there are some. */
static bool want_stale(struct redis_scan *scan)
{
    struct redis_key *key;

    list_for_each (key, struct redis_key, stale, &scan->store->stale) {
        if (!key->outdated)
            list_remove(&key->stale);
        else
            want(scan, key->node.key);
    }
    return !list_empty(&scan->store->wanted);
}

/* Memory answers where nothing is to be had, or asked for a moment ago. */
static bool memory_will_do(struct redis_scan *scan)
{
    if (!redis_nodes_is_up(scan->store->nodes) || is_late(scan->store))
        return true;
    if (scan->running) /* late already, or to be waited for */
        return !net_timer_running(&scan->deadline);
    return is_recent(scan) && !want_stale(scan);
}

/* Somebody waits: begins with what is wanted, or with all names. */
static void begin_scan(struct redis_scan *scan)
{
    scan->n_rounds = 0;
    scan->running = true;
    scan->walked = is_recent(scan);
    scan->node = REDIS_NO_NODE;
    if (net_timer_start(&scan->deadline, READ_MS) < 0 ||
        (!scan->walked && !walk_next(scan)))
        end_scan(scan);
    else if (scan->walked)
        walk_on(scan->store);
}

void redis_read_list(struct store *s, struct sio_str prefix, store_list_cb cb,
                     void *user)
{
    struct redis_store *rs = redis_of(s);
    struct redis_scan *scan = scan_of(rs, prefix);
    struct redis_waiter *w = NULL;

    if (rs->closing) {
        cb(SIO_ERR_CLOSED, NULL, user);
        return;
    }
    if (scan && !memory_will_do(scan))
        w = add_waiter(&scan->waiters, user);
    if (!w) {
        store_list(rs->front, prefix, cb, user);
        return;
    }
    w->list = cb;
    if (!scan->running)
        begin_scan(scan);
}

/* Others have put something. */

void redis_read_stale(struct store *s, struct sio_str name)
{
    struct redis_store *rs = redis_of(s);
    struct redis_key *key = redis_key_find(rs, name);

    /* Where ours is still to be written, or compared first, Redis may have nothing newer. */
    if (!key || list_linked(&key->write) || key->again ||
        (key->missed && !key->fetched))
        return;
    key->outdated = true;
    key->refetch = key->fetching;
    if (!list_linked(&key->stale))
        list_append(&rs->stale, &key->stale);
}

/* Beginning and end. */

void redis_read_init(struct redis_store *rs, const struct store_redis_options *opts)
{
    rs->n_scans = opts->n_kinds;
    for (size_t i = 0; i < opts->n_kinds; i++) {
        struct redis_scan *scan = &rs->scans[i];

        scan->store = rs;
        scan->kind = &opts->kinds[i];
        list_init(&scan->waiters);
        net_timer_init(&scan->deadline, rs->loop, on_list_deadline, scan);
    }
}

void redis_read_stop(struct redis_store *rs)
{
    while (!list_empty(&rs->wanted)) {
        struct redis_key *key = container_of(rs->wanted.next, struct redis_key, wanted);

        list_remove(&key->wanted);
        redis_key_release(key);
    }
    for (size_t i = 0; i < rs->n_scans; i++) {
        rs->scans[i].running = false;
        rs->scans[i].known = false;
        answer_list(&rs->scans[i]);
    }
}
