#include <config.h>

#include "hub/durations.h"

#include <string.h>

#include "base/mem.h"
#include "hub/mp4.h"

/* Two writes may get the same time from the kernel, or from another host's clock. */
#define SETTLED_NS INT64_C(2000000000)

struct duration {
    struct map_node node;
    uint64_t size;
    uint64_t inode;
    int64_t mtime_ns;
    double seconds;
    uint32_t round;
    char name[];
};

static struct duration *duration_of(struct map_node *node)
{
    return container_of(node, struct duration, node);
}

void hub_durations_init(struct hub_durations *d)
{
    *d = (struct hub_durations){0};
    map_init(&d->by_name);
}

static void forget(struct hub_durations *d, struct duration *v)
{
    map_remove(&d->by_name, &v->node);
    mem_free(v);
}

/* All but what was seen in this round, or all. */
static void sweep(struct hub_durations *d, bool all)
{
    struct map_node *node;
    struct map_pos pos;

    for (node = map_first(&d->by_name, &pos); node; node = map_next(&d->by_name, &pos))
        if (all || duration_of(node)->round != d->round)
            forget(d, duration_of(node));
}

void hub_durations_fini(struct hub_durations *d)
{
    sweep(d, true);
    map_fini(&d->by_name);
}

void hub_durations_begin(struct hub_durations *d, int64_t now_us)
{
    d->round++;
    d->n_seen = 0;
    d->now_ns = now_us * 1000;
}

void hub_durations_end(struct hub_durations *d)
{
    if (d->n_seen < d->by_name.n_items)
        sweep(d, false);
}

static bool is_same(const struct duration *v, const struct stat *st)
{
    return v->size == (uint64_t)st->st_size && v->inode == (uint64_t)st->st_ino &&
           v->mtime_ns ==
               (int64_t)st->st_mtim.tv_sec * 1000000000 + st->st_mtim.tv_nsec;
}

static struct duration *new_duration(struct hub_durations *d, struct sio_str name)
{
    struct duration *v;

    if (d->by_name.n_items >= HUB_DURATIONS_MAX)
        return NULL;
    v = mem_alloc(sizeof(*v) + name.len);
    if (!v)
        return NULL;
    memcpy(v->name, name.ptr, name.len);
    if (map_add(&d->by_name, &v->node, (struct sio_str){v->name, name.len}) < 0) {
        mem_free(v);
        return NULL;
    }
    return v;
}

/* v: what was known of it before, or NULL. */
static void keep(struct hub_durations *d, struct duration *v, struct sio_str name,
                 const struct http_file *f, double seconds)
{
    if (f->mtime_ns > d->now_ns - SETTLED_NS)
        return;
    if (!v)
        v = new_duration(d, name);
    if (!v)
        return;
    v->size = f->size;
    v->inode = f->inode;
    v->mtime_ns = f->mtime_ns;
    v->seconds = seconds;
    v->round = d->round;
    d->n_seen++;
}

double hub_durations_get(struct hub_durations *d, int dir_fd, const char *name,
                         const struct stat *st)
{
    struct sio_str text = sio_str_from(name);
    struct map_node *node = map_find(&d->by_name, text);
    struct duration *v = node ? duration_of(node) : NULL;
    struct http_file f;
    double seconds;

    if (v && is_same(v, st)) {
        d->n_seen += v->round != d->round;
        v->round = d->round;
        return v->seconds;
    }
    if (http_file_open(dir_fd, name, &f) < 0)
        return -1;
    seconds = hub_mp4_duration(&f);
    keep(d, v, text, &f, seconds);
    http_file_close(&f);
    return seconds;
}
