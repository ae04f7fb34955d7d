#include <config.h>

#include "hub/peers.h"

#include <stdio.h>

#include "base/buf.h"
#include "base/clock.h"

#define HEARD_MAX ((size_t)64 * 1024) /* bytes of heartbeats in a beat */

void hub_peers_begin(struct hub_peers *p, struct wbuf *w, enum hub_wire_type type)
{
    wbuf_init(w, HUB_WIRE_MAX);
    hub_wire_begin(w, type, p->id);
}

int hub_peers_send(struct hub_peers *p, struct hub_peer *to, struct wbuf *w)
{
    char channel[HUB_PEERS_KEY_MAX + RANDOM_ID_LEN + 16];
    struct sio_slice body;
    struct sio_buf *b;
    int rv = SIO_ERR_NOMEM;

    hub_wire_end(w);
    b = wbuf_take(w);
    wbuf_fini(w);
    if (to)
        snprintf(channel, sizeof(channel), "%s:hub:%s", p->key, to->id);
    else
        snprintf(channel, sizeof(channel), "%s:hubs", p->key);
    if (b && p->stopped) {
        rv = SIO_ERR_CLOSED;
    } else if (b) {
        body = sio_slice_of(b);
        rv = cluster_bus_publish(p->bus, CLUSTER_CHANNEL, sio_str_from(channel), &body,
                                 1, NULL, NULL);
    }
    if (rv < 0)
        p->stats.n_unsent++;
    sio_buf_unref(b);
    return rv;
}

/* What is not sent here shows in the next beat's version. */
void hub_peers_tell(struct hub_peers *p, const struct hub_nuc *nuc)
{
    struct wbuf w;

    hub_peers_begin(p, &w, HUB_WIRE_NUC);
    hub_wire_number(&w, "version", ++p->version);
    wbuf_add_cstr(&w, ",\"nucs\":[");
    hub_wire_nuc(&w, nuc->id, &nuc->own);
    wbuf_add_byte(&w, ']');
    hub_peers_send(p, NULL, &w);
}

void hub_peers_tell_gone(struct hub_peers *p, const struct hub_nuc *nuc)
{
    struct wbuf w;

    hub_peers_begin(p, &w, HUB_WIRE_GONE);
    hub_wire_number(&w, "version", ++p->version);
    hub_wire_text(&w, "nuc", nuc->id);
    hub_peers_send(p, NULL, &w);
}

static struct hub_nuc *nuc_at(struct list *link)
{
    return container_of(link, struct hub_nuc, link);
}

static bool is_own(const struct hub_nuc *nuc)
{
    return list_linked(&nuc->own.link);
}

static void begin_beat(struct hub_peers *p, struct wbuf *w)
{
    hub_peers_begin(p, w, HUB_WIRE_BEAT);
    hub_wire_text(w, "name", p->name);
    hub_wire_number(w, "config", p->config);
    hub_wire_number(w, "version", p->version);
}

/* The version, and what was heard of agents since the last one. */
void hub_peers_beat(struct hub_peers *p, bool hello)
{
    struct list *nucs = &p->registry->nucs;
    int64_t since = p->beat_us;
    struct list *l = nucs->next;

    p->beat_us = clock_wall_us();
    do {
        const char *comma = "";
        struct wbuf w;

        begin_beat(p, &w);
        if (hello)
            hub_wire_true(&w, "hello");
        wbuf_add_cstr(&w, ",\"heard\":[");
        for (; l != nucs && w.len < HEARD_MAX; l = l->next) {
            const struct hub_nuc *nuc = nuc_at(l);

            if (!is_own(nuc) || nuc->own.heartbeat_us < since)
                continue;
            wbuf_add_cstr(&w, comma);
            hub_wire_heard(&w, nuc->id, nuc->own.heartbeat_us);
            comma = ",";
        }
        wbuf_add_byte(&w, ']');
        hub_peers_send(p, NULL, &w);
        hello = false;
    } while (l != nucs);
}

static size_t n_parts(const struct hub_peers *p)
{
    size_t bytes = 0, n = 1;
    struct hub_nuc *nuc;

    list_for_each (nuc, struct hub_nuc, link, &p->registry->nucs) {
        size_t len = nuc->own.camaras ? nuc->own.camaras->len + 1024 : 1024;

        if (!is_own(nuc))
            continue;
        if (bytes > 0 && bytes + len > HUB_WIRE_PART) {
            bytes = 0;
            n++;
        }
        bytes += len;
    }
    return n;
}

/* All that this hub has.  In one go: Redis keeps the order. */
void hub_peers_tell_state(struct hub_peers *p)
{
    struct list *nucs = &p->registry->nucs;
    struct list *l = nucs->next;
    size_t parts = n_parts(p);

    p->told_ms = net_loop_now_ms(p->loop);
    p->stats.n_states++;
    for (size_t part = 0; part < parts; part++) {
        const char *comma = "";
        size_t bytes = 0;
        struct wbuf w;

        hub_peers_begin(p, &w, HUB_WIRE_STATE);
        hub_wire_number(&w, "version", p->version);
        hub_wire_number(&w, "part", part);
        hub_wire_number(&w, "parts", parts);
        wbuf_add_cstr(&w, ",\"nucs\":[");
        for (; l != nucs; l = l->next) {
            const struct hub_nuc *nuc = nuc_at(l);
            size_t len = nuc->own.camaras ? nuc->own.camaras->len + 1024 : 1024;

            if (!is_own(nuc))
                continue;
            if (bytes > 0 && bytes + len > HUB_WIRE_PART)
                break;
            bytes += len;
            wbuf_add_cstr(&w, comma);
            hub_wire_nuc(&w, nuc->id, &nuc->own);
            comma = ",";
        }
        wbuf_add_byte(&w, ']');
        if (hub_peers_send(p, NULL, &w) < 0)
            return; /* who waits for it asks again */
    }
}
