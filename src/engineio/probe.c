#include <config.h>

#include "engineio/probe.h"

#include <assert.h>

#include "base/mem.h"

/* How often a waiting poll is released, so that the client can stop polling. */
#define RELEASE_MS 100

struct eio_probe {
    struct eio_transport *websocket;
    enum eio_form form; /* of messages, once upgraded */
    struct net_timer timeout;
    struct net_timer release;
};

/* Rows are from, columns to.  A failed probe leaves the session as it was. */
static const bool may_go[3][3] = {
    [EIO_UPGRADE_NONE] = {[EIO_UPGRADE_PROBING] = true},
    [EIO_UPGRADE_PROBING] = {[EIO_UPGRADE_NONE] = true, [EIO_UPGRADE_DONE] = true},
};

static void set_upgrade(struct eio_session *s, enum eio_upgrade to)
{
    assert(may_go[s->upgrade][to]);
    s->upgrade = to;
}

static void on_timeout(struct net_timer *timer, void *user)
{
    (void)timer;
    eio_probe_end(user);
}

static void on_release(struct net_timer *timer, void *user)
{
    struct eio_session *s = user;

    eio_polling_release(s->transport);
    if (s->upgrade == EIO_UPGRADE_PROBING && net_timer_start(timer, RELEASE_MS) < 0)
        eio_probe_end(s);
}

void eio_probe_begin(struct eio_session *s, struct http_request *r)
{
    struct eio_probe *p = mem_new(struct eio_probe);

    if (!p) {
        http_reply_close(r);
        http_reply_error(r, 500, "Out of memory");
        return;
    }
    net_timer_init(&p->timeout, s->table->loop, on_timeout, s);
    net_timer_init(&p->release, s->table->loop, on_release, s);
    p->form = (enum eio_form)s->form;
    if (p->form != EIO_FORM_4)
        p->form = eio_form_3_of(r);
    p->websocket = eio_websocket_new(s, r);
    if (!p->websocket) {
        mem_free(p);
        return;
    }
    s->probe = p;
    set_upgrade(s, EIO_UPGRADE_PROBING);
    if (net_timer_start(&p->timeout, s->table->upgrade_timeout_ms) < 0)
        eio_probe_end(s);
}

/* Frees the attempt and gives its WebSocket to the caller. */
static struct eio_transport *take_websocket(struct eio_session *s)
{
    struct eio_probe *p = s->probe;
    struct eio_transport *t = p->websocket;

    s->probe = NULL;
    net_timer_stop(&p->timeout);
    net_timer_stop(&p->release);
    mem_free(p);
    return t;
}

/*
 * "5": the client polls no more.  A session that is closing by then could not end by a
 * poll, and what it still has to say goes this way.
 */
static void complete(struct eio_session *s)
{
    enum eio_form form = s->probe->form;
    struct eio_transport *t = take_websocket(s);
    struct eio_transport *old = eio_session_switch(s, t);
    bool pings;

    set_upgrade(s, EIO_UPGRADE_DONE);
    s->form = (uint8_t)form;
    pings = eio_polling_retire(old);
    if (s->state == EIO_CLOSING) {
        t->ops->finish(t, (enum eio_close_reason)s->reason);
        return;
    }
    if (pings)
        t->ops->heartbeat(t);
    if (s->transport == t)
        eio_session_flush(s);
    if (s->table->on_upgrade && s->transport == t)
        s->table->on_upgrade(s, s->user);
}

/* "2probe": answered; from now on polls are released. */
static int answer(struct eio_session *s)
{
    struct eio_probe *p = s->probe;
    int rv = eio_websocket_packet(p->websocket, SIO_STR("3probe"));

    if (rv == SIO_OK && !net_timer_running(&p->release))
        rv = net_timer_start(&p->release, RELEASE_MS);
    return rv;
}

void eio_probe_frame(struct eio_session *s, bool text, struct sio_slice frame)
{
    struct sio_str str = {(const char *)frame.ptr, frame.len};
    struct eio_packet packet;

    if (text && eio_packet_parse(str, &packet) == SIO_OK) {
        if (packet.type == EIO_PACKET_UPGRADE) {
            complete(s);
            return;
        }
        if (packet.type == EIO_PACKET_PING && eio_packet_is_probe(&packet) &&
            answer(s) == SIO_OK)
            return;
    }
    eio_probe_end(s);
}

void eio_probe_lost(struct eio_session *s)
{
    take_websocket(s);
    set_upgrade(s, EIO_UPGRADE_NONE);
}

void eio_probe_end(struct eio_session *s)
{
    struct eio_transport *t;

    if (!s->probe)
        return;
    t = take_websocket(s);
    set_upgrade(s, EIO_UPGRADE_NONE);
    t->ops->close(t, EIO_CLOSE_TRANSPORT_CLOSE);
}
