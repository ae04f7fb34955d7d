/*
 * client_queue.c - what waits while a namespace is not joined: events to be sent, and
 * those that a server sent too early
 */
#include <config.h>

#include "socketio/client_impl.h"

#include "base/list.h"
#include "base/mem.h"
#include "engineio/msg.h"

/* An event that waits for the namespace to be joined. */
struct held {
    struct list link;
    struct eio_msg *msg;
    bool has_ack;
    uint64_t ack_id;
};

/* An event that came before the answer to CONNECT. */
struct early {
    struct list link;
    struct sio_slice text; /* owned, as the parts */
    uint32_t n_parts;
    struct sio_slice parts[];
};

/* To be sent. */

static void free_held(struct sio_client_socket *s, struct held *h)
{
    s->client->held_bytes -= h->msg->bytes;
    list_remove(&h->link);
    eio_msg_unref(h->msg);
    mem_free(h);
}

/* Its answer will never come; whoever waits for it is told. */
static void drop_held(struct sio_client_socket *s, struct held *h)
{
    bool has_ack = h->has_ack;
    uint64_t id = h->ack_id;

    free_held(s, h);
    if (has_ack)
        sio_acks_fail(&s->acks, id, SIO_ERR_FULL);
}

static void drop_replaced(struct sio_client_socket *s, uint64_t key)
{
    struct held *h;

    if (!key)
        return;
    list_for_each (h, struct held, link, &s->offline)
        if (h->msg->replace_key == key) {
            drop_held(s, h);
            return;
        }
}

bool sio_client_has_room(const struct sio_client *c, const struct eio_msg *msg)
{
    size_t max = c->config.max_queue_bytes;
    size_t used = sio_client_pending(c);

    return used <= max && msg->bytes <= max - used;
}

int sio_client_hold(struct sio_client_socket *s, struct eio_msg *msg, bool has_ack,
                    uint64_t id)
{
    const struct sio_client_config *g = &s->client->config;
    struct held *h;

    if (g->offline == SIO_OFFLINE_DROP)
        return SIO_ERR_CLOSED;
    if (msg->is_volatile)
        return SIO_ERR_AGAIN;
    if (msg->bytes > g->max_queue_bytes)
        return SIO_ERR_FULL;
    h = mem_new(struct held);
    if (!h)
        return SIO_ERR_NOMEM;
    drop_replaced(s, msg->replace_key);
    while (g->offline == SIO_OFFLINE_NEWEST && !sio_client_has_room(s->client, msg) &&
           !list_empty(&s->offline))
        drop_held(s, container_of(s->offline.next, struct held, link));
    if (!sio_client_has_room(s->client, msg)) {
        mem_free(h);
        return SIO_ERR_FULL;
    }
    h->msg = eio_msg_ref(msg);
    h->has_ack = has_ack;
    h->ack_id = id;
    list_append(&s->offline, &h->link);
    s->client->held_bytes += msg->bytes;
    return SIO_OK;
}

void sio_client_send_held(struct sio_client_socket *s)
{
    while (!list_empty(&s->offline)) {
        struct held *h = container_of(s->offline.next, struct held, link);

        list_remove(&h->link); /* a listener may emit and so drop others */
        if (sio_client_socket_send(s, h->msg) < 0) {
            list_prepend(&s->offline, &h->link);
            return;
        }
        free_held(s, h);
    }
}

void sio_client_drop_held(struct sio_client_socket *s)
{
    while (!list_empty(&s->offline))
        free_held(s, container_of(s->offline.next, struct held, link));
}

void sio_client_forget_held(struct sio_client_socket *s, uint64_t ack_id)
{
    struct held *h;

    list_for_each (h, struct held, link, &s->offline)
        if (h->has_ack && h->ack_id == ack_id) {
            free_held(s, h);
            return;
        }
}

/* Received early. */

static void free_early(struct sio_client_socket *s, struct early *e)
{
    list_remove(&e->link);
    s->early_bytes -= sizeof(*e) + e->text.len;
    for (uint32_t i = 0; i < e->n_parts; i++) {
        s->early_bytes -= e->parts[i].len;
        sio_buf_unref(e->parts[i].buf);
    }
    sio_buf_unref(e->text.buf);
    mem_free(e);
}

int sio_client_hold_early(struct sio_client_socket *s, const struct sio_packet *p,
                          struct sio_slice text, const struct sio_slice *attachments)
{
    struct early *e = mem_alloc(sizeof(*e) + p->n_attachments * sizeof(e->parts[0]));
    int rv;

    if (!e)
        return SIO_ERR_NOMEM;
    list_init(&e->link);
    text.buf = NULL; /* copied: a reference could keep a much larger poll alive */
    rv = sio_slice_hold(text, &e->text);
    s->early_bytes += sizeof(*e) + e->text.len;
    for (; rv == SIO_OK && e->n_parts < p->n_attachments; e->n_parts++) {
        rv = sio_slice_hold(attachments[e->n_parts], &e->parts[e->n_parts]);
        s->early_bytes += e->parts[e->n_parts].len;
    }
    if (rv == SIO_OK && s->early_bytes > s->client->config.max_message)
        rv = SIO_ERR_TOO_BIG;
    if (rv < 0)
        free_early(s, e);
    else
        list_append(&s->early, &e->link);
    return rv;
}

void sio_client_handle_early(struct sio_client_socket *s)
{
    while (s->state == SIO_CLIENT_SOCKET_JOINED && !list_empty(&s->early)) {
        struct early *e = container_of(s->early.next, struct early, link);
        struct sio_str text = {(const char *)e->text.ptr, e->text.len};
        struct sio_packet p;

        list_remove(&e->link); /* its handler may leave, which drops the rest */
        /* It was parsed once already. */
        if (sio_packet_parse(text, e->n_parts, &p) == SIO_OK)
            sio_client_socket_event(s, &p, e->text, e->parts);
        free_early(s, e);
    }
}

void sio_client_drop_early(struct sio_client_socket *s)
{
    while (!list_empty(&s->early))
        free_early(s, container_of(s->early.next, struct early, link));
}
