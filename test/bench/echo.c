/*
 * echo.c - many connections, each sends an event and waits for its acknowledgement
 */
#include "bench.h"
#include "peer.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define WARM_UP       1000
#define MAX_SILENT_NS 20000000000u

struct echo {
    const struct bench_options *o;
    struct peer_pool pool;
    struct peer *peers;
    uint8_t frame[256];
    size_t frame_len;
    int n_ready, n_acks;
};

static void on_ready(struct peer *p, void *user)
{
    struct echo *e = user;

    (void)p;
    e->n_ready++;
}

static void on_message(struct peer *p, const uint8_t *head, size_t head_len,
                       uint64_t len, void *user)
{
    struct echo *e = user;

    (void)len;
    if (head_len < 4 || memcmp(head, "430[", 4) != 0)
        return;
    e->n_acks++;
    peer_send(p, e->frame, e->frame_len);
}

/* Until n acks came in all; -1 when the server falls silent. */
static int until(struct echo *e, int n)
{
    uint64_t last = now_ns();

    while (e->n_acks < n) {
        int before = e->n_acks;

        peer_pool_poll(&e->pool, 1000);
        if (e->n_acks != before)
            last = now_ns();
        else if (now_ns() - last > MAX_SILENT_NS)
            return -1;
        if (e->pool.n_failed + e->pool.n_closed > 0)
            return -1;
    }
    return 0;
}

static int start_peers(struct echo *e)
{
    uint64_t deadline = now_ns() + MAX_SILENT_NS;

    for (int i = 0; i < e->o->conns; i++) {
        if (peer_dial(&e->peers[i], &e->pool) < 0)
            return -1;
        while (e->n_ready <= i && e->pool.n_failed == 0 && now_ns() < deadline)
            peer_pool_poll(&e->pool, 100);
        if (e->n_ready <= i)
            return -1;
    }
    return 0;
}

static int measure(struct echo *e)
{
    uint64_t cpu, begun, wall;
    int n;

    for (int i = 0; i < e->o->conns; i++)
        peer_send(&e->peers[i], e->frame, e->frame_len);
    if (until(e, WARM_UP) < 0)
        return -1;
    n = e->n_acks;
    begun = now_ns();
    cpu = proc_cpu_ns(&e->o->server);
    if (until(e, n + e->o->count) < 0)
        return -1;
    cpu = proc_cpu_ns(&e->o->server) - cpu;
    wall = now_ns() - begun;
    n = e->n_acks - n;
    printf("messages=%d cpu_us_per_message=%.2f messages_per_s=%.0f\n", n,
           (double)cpu / 1e3 / n, n / ((double)wall / 1e9));
    return 0;
}

int bench_echo(const struct bench_options *o)
{
    struct echo e = {.o = o};
    char text[128];
    int rv = -1;

    e.frame_len = peer_frame(
        e.frame, text,
        (size_t)snprintf(text, sizeof text,
                         "420[\"%s\",{\"nuc_id\":\"bench\",\"n\":12345}]", o->event));
    e.peers = calloc((size_t)o->conns, sizeof e.peers[0]);
    e.pool.on_ready = on_ready;
    e.pool.on_message = on_message;
    e.pool.user = &e;
    if (e.peers == NULL || peer_pool_init(&e.pool, o->host, o->port) < 0)
        goto out;
    rv = start_peers(&e) < 0 || measure(&e) < 0 ? -1 : 0;
    if (rv < 0)
        fprintf(stderr, "bench: echo: %d ready, %d acks, %d failed, %d closed\n",
                e.n_ready, e.n_acks, e.pool.n_failed, e.pool.n_closed);
    for (int i = 0; i < e.n_ready; i++)
        peer_close(&e.peers[i]);
    peer_pool_fini(&e.pool);
out:
    free(e.peers);
    return rv;
}
