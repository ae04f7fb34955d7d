/*
 * sessions.c - what a session costs: idle ones in memory, short ones in CPU time
 *
 * A short one goes as clients go: it joins, sends DISCONNECT and a close frame, and is
 * over when the server has closed too.
 */
#include "bench.h"
#include "peer.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define WARM_UP       200
#define MAX_SILENT_NS 20000000000u
#define SETTLE_NS     1000000000u
#define MAX_DIALLING  100

struct sessions {
    const struct bench_options *o;
    struct peer_pool pool;
    struct peer *peers;
    int n_dialled, n_ready, n_over;
    bool leave; /* as soon as one is ready */
    uint8_t goodbye[64];
    size_t goodbye_len;
};

static void on_ready(struct peer *p, void *user)
{
    struct sessions *s = user;

    s->n_ready++;
    if (s->leave)
        peer_send(p, s->goodbye, s->goodbye_len);
}

static void on_closed(struct peer *p, void *user)
{
    struct sessions *s = user;

    (void)p;
    s->n_over++;
}

static void make_goodbye(struct sessions *s)
{
    static const uint8_t close_frame[] = {0x88, 0x82, 0, 0, 0, 0, 0x03, 0xe8};

    s->goodbye_len = peer_frame(s->goodbye, "41", 2);
    memcpy(s->goodbye + s->goodbye_len, close_frame, sizeof close_frame);
    s->goodbye_len += sizeof close_frame;
}

static int init(struct sessions *s, int n_peers)
{
    s->peers = calloc((size_t)n_peers, sizeof s->peers[0]);
    s->pool.on_ready = on_ready;
    s->pool.on_closed = on_closed;
    s->pool.user = s;
    if (s->peers == NULL || peer_pool_init(&s->pool, s->o->host, s->o->port) < 0) {
        free(s->peers);
        return -1;
    }
    return 0;
}

static void fini(struct sessions *s, int n_peers)
{
    for (int i = 0; i < n_peers && i < s->n_dialled; i++)
        peer_close(&s->peers[i]);
    peer_pool_fini(&s->pool);
    free(s->peers);
}

static int open_all(struct sessions *s)
{
    uint64_t deadline = now_ns() + 3 * MAX_SILENT_NS;

    while (s->n_ready < s->o->conns && s->pool.n_failed == 0 && now_ns() < deadline) {
        while (s->n_dialled < s->o->conns && s->n_dialled - s->n_ready < MAX_DIALLING) {
            if (peer_dial(&s->peers[s->n_dialled], &s->pool) < 0)
                return -1;
            s->n_dialled++;
        }
        peer_pool_poll(&s->pool, 100);
    }
    return s->n_ready == s->o->conns ? 0 : -1;
}

int bench_idle(const struct bench_options *o)
{
    struct sessions s = {.o = o};
    uint64_t before = proc_rss(&o->server), after, end;
    int rv;

    if (init(&s, o->conns) < 0)
        return -1;
    rv = open_all(&s);
    /* The server may still give memory back; nothing is awaited but the time itself. */
    end = now_ns() + SETTLE_NS;
    while (now_ns() < end)
        peer_pool_poll(&s.pool, 50);
    after = proc_rss(&o->server);
    if (rv < 0)
        fprintf(stderr, "bench: only %d of %d sessions\n", s.n_ready, o->conns);
    else
        printf("sessions=%d bytes_per_session=%.0f rss_before_mb=%.1f rss_mb=%.1f\n",
               s.n_ready, ((double)after - (double)before) / s.n_ready,
               (double)before / 1e6, (double)after / 1e6);
    fini(&s, o->conns);
    return rv;
}

/* Keeps conns connections in work until n were made in all. */
static int make(struct sessions *s, int n)
{
    uint64_t last = now_ns();

    while (s->n_over < n) {
        int before = s->n_over;

        for (int i = 0; i < s->o->conns; i++) {
            struct peer *p = &s->peers[i];

            if ((s->n_dialled >= s->o->conns && p->state != PEER_CLOSED) ||
                s->n_dialled >= n)
                continue;
            if (peer_dial(p, &s->pool) < 0)
                return -1;
            s->n_dialled++;
        }
        peer_pool_poll(&s->pool, 100);
        if (s->n_over != before)
            last = now_ns();
        else if (now_ns() - last > MAX_SILENT_NS)
            return -1;
        if (s->pool.n_failed > 0)
            return -1;
    }
    return 0;
}

int bench_connect(const struct bench_options *o)
{
    struct sessions s = {.o = o, .leave = true};
    uint64_t cpu, begun;
    int rv = -1;

    make_goodbye(&s);
    if (init(&s, o->conns) < 0)
        return -1;
    if (make(&s, WARM_UP) < 0)
        goto out;
    cpu = proc_cpu_ns(&o->server);
    begun = now_ns();
    rv = make(&s, WARM_UP + o->count);
    if (rv == 0) {
        uint64_t wall = now_ns() - begun;

        cpu = proc_cpu_ns(&o->server) - cpu;
        printf("connections=%d cpu_us_per_connection=%.1f connections_per_s=%.0f\n",
               o->count, (double)cpu / 1e3 / o->count, o->count / ((double)wall / 1e9));
    }
out:
    if (rv < 0)
        fprintf(stderr, "bench: connect: %d made, %d failed\n", s.n_over,
                s.pool.n_failed);
    fini(&s, o->conns);
    return rv;
}
