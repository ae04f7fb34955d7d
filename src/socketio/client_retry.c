/*
 * client_retry.c - events that are sent again until the server answers
 *
 * One is under way at a time, so they arrive in order; an answer that got lost makes
 * one arrive twice.  A try that is sent again has the id of the first, so that a late
 * answer to that one counts.
 */
#include <config.h>

#include "socketio/client_impl.h"

#include "base/list.h"
#include "base/mem.h"
#include "engineio/msg.h"

struct unacked {
    struct list link;
    struct eio_msg *msg;
    uint64_t id;
    uint32_t timeout_ms; /* of a try */
    uint32_t n_tries;
    sio_ack_cb cb; /* NULL: nobody wants to know */
    void *user;
};

static struct unacked *first(const struct sio_client_socket *s)
{
    return list_empty(&s->unacked)
               ? NULL
               : container_of(s->unacked.next, struct unacked, link);
}

/* Takes it out, then tells. */
static void finish(struct sio_client_socket *s, struct unacked *u, int status,
                   struct sio_event *e)
{
    sio_ack_cb cb = u->cb;
    void *user = u->user;

    if (u == first(s)) {
        s->trying = false;
        net_timer_stop(&s->try_timer);
    }
    s->client->held_bytes -= u->msg->bytes;
    list_remove(&u->link);
    eio_msg_unref(u->msg);
    mem_free(u);
    if (cb)
        cb(status, e, user);
}

static int try_first(struct sio_client_socket *s)
{
    struct unacked *u = first(s);
    int rv;

    if (!u || s->trying || s->state != SIO_CLIENT_SOCKET_JOINED)
        return SIO_OK;
    rv = net_timer_start(&s->try_timer, u->timeout_ms);
    if (rv < 0)
        return rv;
    s->trying = true;
    u->n_tries++;
    rv = sio_client_socket_send(s, u->msg);
    /* A listener may have made it leave: it is tried when it is back. */
    return rv == SIO_ERR_CLOSED ? SIO_OK : rv;
}

void sio_client_retry_resume(struct sio_client_socket *s)
{
    if (try_first(s) < 0)
        sio_client_no_memory(s->client);
}

static void on_no_answer(struct net_timer *timer, void *user)
{
    struct sio_client_socket *s = user;
    struct unacked *u = first(s);

    (void)timer;
    s->trying = false;
    if (u->n_tries > s->client->config.retries)
        finish(s, u, SIO_ERR_TIMEOUT, NULL);
    sio_client_retry_resume(s);
}

void sio_client_retry_init(struct sio_client_socket *s)
{
    list_init(&s->unacked);
    net_timer_init(&s->try_timer, s->client->loop, on_no_answer, s);
}

/* The oldest that is not under way makes room.  False: there is none. */
static bool drop_oldest(struct sio_client_socket *s)
{
    struct unacked *u = first(s);
    struct list *next = u && s->trying ? u->link.next : s->unacked.next;

    if (next == &s->unacked)
        return false;
    finish(s, container_of(next, struct unacked, link), SIO_ERR_FULL, NULL);
    return true;
}

static int make_room(struct sio_client_socket *s, const struct eio_msg *msg)
{
    const struct sio_client_config *g = &s->client->config;

    if (g->offline == SIO_OFFLINE_DROP && s->state != SIO_CLIENT_SOCKET_JOINED)
        return SIO_ERR_CLOSED;
    if (msg->bytes > g->max_queue_bytes)
        return SIO_ERR_FULL;
    while (!sio_client_has_room(s->client, msg))
        if (g->offline != SIO_OFFLINE_NEWEST || !drop_oldest(s))
            return SIO_ERR_FULL;
    return s->client->freed ? SIO_ERR_CLOSED : SIO_OK; /* by who was dropped */
}

int sio_client_retry_add(struct sio_client_socket *s, struct eio_msg *msg, uint64_t id,
                         uint32_t timeout_ms, sio_ack_cb cb, void *user)
{
    int rv = make_room(s, msg);
    struct unacked *u = rv == SIO_OK ? mem_new(struct unacked) : NULL;

    if (!u)
        return rv < 0 ? rv : SIO_ERR_NOMEM;
    u->msg = eio_msg_ref(msg);
    u->id = id;
    u->timeout_ms = timeout_ms;
    u->cb = cb;
    u->user = user;
    list_append(&s->unacked, &u->link);
    s->client->held_bytes += msg->bytes;
    rv = try_first(s);
    if (rv == SIO_OK)
        return SIO_OK;
    u->cb = NULL;
    finish(s, u, rv, NULL);
    return rv;
}

bool sio_client_retry_answer(struct sio_client_socket *s, uint64_t id,
                             struct sio_event *e)
{
    struct unacked *u = first(s);

    if (!u || u->id != id || !u->n_tries)
        return false;
    finish(s, u, SIO_OK, e);
    sio_client_retry_resume(s);
    return true;
}

void sio_client_retry_pause(struct sio_client_socket *s)
{
    struct unacked *u = first(s);

    s->trying = false;
    net_timer_stop(&s->try_timer);
    if (u && u->n_tries > s->client->config.retries)
        finish(s, u, SIO_ERR_CLOSED, NULL);
}

void sio_client_retry_end(struct sio_client_socket *s)
{
    struct list now;

    net_timer_stop(&s->try_timer);
    list_init(&now);
    list_splice(&now, &s->unacked);
    while (!list_empty(&now))
        finish(s, container_of(now.next, struct unacked, link), SIO_ERR_CLOSED, NULL);
}
