/*
 * broadcast.c - one publisher, many viewers
 *
 * Without a rate the next picture leaves when every reading viewer has the last one, so
 * that nothing is dropped and all is counted.  With a rate pictures leave on time, and
 * viewers may miss some; latency is from the first byte sent to the last one received.
 */
#include "bench.h"
#include "peer.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SEQ_DIGITS    8
#define MAX_SILENT_NS 20000000000u

struct broadcast {
    const struct bench_options *o;
    struct peer_pool pool;
    struct peer *peers; /* viewers, then those that never read, then the publisher */
    int n_peers, n_ready, n_viewers;
    uint8_t *frame;
    size_t frame_len, seq_at;
    int n_sent;
    int n_due; /* viewers that have not received the picture sent last */
    uint64_t n_received, bytes, last_ns;
    uint64_t *sent_ns; /* of each picture */
    uint32_t *us;      /* latencies */
    size_t n_us, max_us;
};

static void on_ready(struct peer *p, void *user)
{
    struct broadcast *b = user;

    (void)p;
    b->n_ready++;
}

static void on_message(struct peer *p, const uint8_t *head, size_t head_len,
                       uint64_t len, void *user)
{
    struct broadcast *b = user;
    const uint8_t *at;
    char digits[SEQ_DIGITS + 1] = "";
    int seq;

    if (len < (uint64_t)b->o->size || p - b->peers >= b->n_viewers)
        return;
    at = memmem(head, head_len, "/9j/", 4);
    if (at == NULL || at + 4 + SEQ_DIGITS > head + head_len)
        return;
    memcpy(digits, at + 4, SEQ_DIGITS);
    seq = atoi(digits);
    if (seq < 0 || seq >= b->n_sent)
        return;
    b->last_ns = now_ns();
    b->n_received++;
    b->bytes += len;
    if (seq == b->n_sent - 1)
        b->n_due--;
    if (b->n_us < b->max_us)
        b->us[b->n_us++] = (uint32_t)((b->last_ns - b->sent_ns[seq]) / 1000);
}

static int make_picture(struct broadcast *b)
{
    static const char after[] =
        "\",\"timestamp\":\"2026-01-02T03:04:05.678901\",\"estado\":\"activa\"}]";
    static const char set[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    size_t size = (size_t)b->o->size, n;
    char *text = malloc(size + 256);

    b->frame = malloc(size + 256 + 14);
    if (text == NULL || b->frame == NULL) {
        free(text);
        return -1;
    }
    n = (size_t)snprintf(
        text, 128, "42[\"%s\",{\"nuc_id\":\"bench\",\"ip\":\"192.0.2.1\",\"image\":\"",
        b->o->event);
    b->seq_at = n + 4;
    for (size_t i = 0; i < size; i++)
        text[n + i] = set[(i * 2654435761u >> 7) & 63];
    memcpy(text + n, "/9j/00000000", 12);
    n += size;
    memcpy(text + n, after, sizeof after - 1);
    n += sizeof after - 1;
    b->frame_len = peer_frame(b->frame, text, n);
    free(text);
    return 0;
}

static int start_peers(struct broadcast *b)
{
    uint64_t deadline = now_ns() + MAX_SILENT_NS;

    for (int i = 0; i < b->n_peers; i++) {
        b->peers[i].deaf = i >= b->n_viewers && i < b->n_peers - 1;
        if (i < b->n_peers - 1)
            peer_pool_port(&b->pool, b->o->ports[i % b->o->n_ports]);
        else
            peer_pool_port(&b->pool, b->o->port);
        if (peer_dial(&b->peers[i], &b->pool) < 0)
            return -1;
        while (b->n_ready <= i && b->pool.n_failed == 0 && now_ns() < deadline)
            peer_pool_poll(&b->pool, 100);
    }
    return b->n_ready == b->n_peers ? 0 : -1;
}

static bool due(const struct broadcast *b, uint64_t begun_ns)
{
    if (b->o->rate == 0)
        return b->n_due == 0;
    return now_ns() >=
           begun_ns + (uint64_t)b->n_sent * (1000000000u / (unsigned)b->o->rate);
}

static void send_picture(struct broadcast *b)
{
    char digits[16];
    struct peer *publisher = &b->peers[b->n_peers - 1];

    if (publisher->out_len > 0)
        return; /* the server is behind: the picture before is not gone yet */
    snprintf(digits, sizeof digits, "%08d", b->n_sent % 100000000);
    peer_frame_patch(b->frame, b->seq_at, digits, SEQ_DIGITS);
    b->sent_ns[b->n_sent] = now_ns();
    b->n_due = b->n_viewers;
    b->n_sent++;
    peer_send(publisher, b->frame, b->frame_len);
}

static int run(struct broadcast *b)
{
    uint64_t begun = now_ns();

    b->last_ns = begun;
    while (b->n_sent < b->o->count || b->n_due > 0) {
        if (b->n_sent < b->o->count && due(b, begun))
            send_picture(b);
        peer_pool_poll(&b->pool, b->o->rate > 0 ? 1 : 100);
        if (now_ns() - b->last_ns > MAX_SILENT_NS || b->pool.n_failed > 0)
            return -1;
    }
    return 0;
}

static int by_value(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

    return x < y ? -1 : x > y;
}

static void report(struct broadcast *b, uint64_t cpu_ns, uint64_t wall_ns)
{
    double gb = (double)b->bytes / 1e9;

    qsort(b->us, b->n_us, sizeof b->us[0], by_value);
    printf("pictures=%d delivered=%llu gb=%.3f cpu_s_per_gb=%.3f us_per_picture=%.1f "
           "us_per_delivery=%.2f wall_s=%.2f latency_p50_us=%u latency_p99_us=%u "
           "peak_mb=%.1f closed=%d\n",
           b->n_sent, (unsigned long long)b->n_received, gb,
           gb > 0 ? (double)cpu_ns / 1e9 / gb : 0, (double)cpu_ns / 1e3 / b->n_sent,
           b->n_received > 0 ? (double)cpu_ns / 1e3 / (double)b->n_received : 0,
           (double)wall_ns / 1e9, b->n_us > 0 ? b->us[b->n_us / 2] : 0,
           b->n_us > 0 ? b->us[b->n_us * 99 / 100] : 0,
           (double)proc_peak(&b->o->server) / 1e6, b->pool.n_closed);
}

int bench_broadcast(const struct bench_options *o)
{
    struct broadcast b = {
        .o = o, .n_viewers = o->conns, .n_peers = o->conns + o->slow + 1};
    uint64_t cpu, begun;
    int rv = -1;

    b.max_us = (size_t)o->conns * (size_t)o->count;
    b.peers = calloc((size_t)b.n_peers, sizeof b.peers[0]);
    b.sent_ns = calloc((size_t)o->count + 1, sizeof b.sent_ns[0]);
    b.us = calloc(b.max_us + 1, sizeof b.us[0]);
    if (b.peers == NULL || b.sent_ns == NULL || b.us == NULL || make_picture(&b) < 0)
        goto out;
    b.pool.on_ready = on_ready;
    b.pool.on_message = on_message;
    b.pool.user = &b;
    if (o->n_ports == 0 || peer_pool_init(&b.pool, o->host, o->port) < 0 ||
        start_peers(&b) < 0) {
        fprintf(stderr, "bench: only %d of %d connected\n", b.n_ready, b.n_peers);
        goto out;
    }
    proc_peak_reset(&o->server);
    cpu = proc_cpu_ns(&o->server);
    begun = now_ns();
    rv = run(&b);
    report(&b, proc_cpu_ns(&o->server) - cpu, now_ns() - begun);
    if (rv < 0)
        fprintf(stderr, "bench: stopped: %d viewers still wait for picture %d\n",
                b.n_due, b.n_sent - 1);
    for (int i = 0; i < b.n_peers; i++)
        peer_close(&b.peers[i]);
    peer_pool_fini(&b.pool);
out:
    free(b.frame);
    free(b.us);
    free(b.sent_ns);
    free(b.peers);
    return rv;
}
