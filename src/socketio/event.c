#include <config.h>

#include "socketio/event.h"

#include "base/mem.h"
#include "socketio/ack.h"
#include "socketio/message.h"

static int decode_name(struct sio_event *e)
{
    struct sio_str raw = e->packet->items[0];

    /* A number is an event's name too: it is called by its text. */
    if (json_type(raw) != JSON_STRING) {
        e->name = raw;
        return SIO_OK;
    }
    if (json_string_plain(raw, &e->name))
        return SIO_OK;
    wbuf_init(&e->name_buf, raw.len);
    json_string_decode(raw, &e->name_buf);
    e->name = wbuf_str(&e->name_buf);
    return e->name_buf.error;
}

int sio_event_init(struct sio_event *e, const struct sio_packet *packet,
                   struct sio_slice text, const struct sio_slice *attachments,
                   struct sio_replier *replier)
{
    bool answer =
        packet->type == SIO_PACKET_ACK || packet->type == SIO_PACKET_BINARY_ACK;

    e->packet = packet;
    e->text = text;
    e->attachments = attachments;
    e->first = answer ? 0 : 1;
    e->name = SIO_STR("");
    wbuf_init(&e->name_buf, 0);
    e->cursor_at = 0;
    e->trees = NULL;
    e->replier = packet->has_id && !answer ? replier : NULL;
    return answer ? SIO_OK : decode_name(e);
}

void sio_event_fini(struct sio_event *e)
{
    if (e->trees)
        for (size_t i = 0; i < sio_event_n_args(e); i++)
            cJSON_Delete(e->trees[i]);
    mem_free(e->trees);
    wbuf_fini(&e->name_buf);
}

/* An event with all that it borrows. */
struct kept {
    struct sio_event event;
    struct sio_packet packet;
    struct sio_slice text;
    uint32_t n_attachments;
    struct sio_slice attachments[];
};

/* The same part of a copy of the text. */
static struct sio_str moved(struct sio_str part, struct sio_slice from,
                            struct sio_slice to)
{
    const uint8_t *p = (const uint8_t *)part.ptr;

    if (!p || p < from.ptr || p > from.ptr + from.len)
        return part; /* a constant */
    part.ptr = (const char *)to.ptr + (p - from.ptr);
    return part;
}

static int keep(struct kept *k, const struct sio_event *e)
{
    size_t n_items = e->packet->n_items;
    int rv = sio_slice_hold(e->text, &k->text);

    for (uint32_t i = 0; i < e->packet->n_attachments && rv == SIO_OK; i++) {
        rv = sio_slice_hold(e->attachments[i], &k->attachments[i]);
        k->n_attachments += rv == SIO_OK;
    }
    if (rv < 0)
        return rv;
    k->packet = *e->packet;
    k->packet.nsp = moved(k->packet.nsp, e->text, k->text);
    k->packet.json = moved(k->packet.json, e->text, k->text);
    for (size_t i = 0; i < n_items && i < SIO_PACKET_ITEMS; i++)
        k->packet.items[i] = moved(k->packet.items[i], e->text, k->text);
    return sio_event_init(&k->event, &k->packet, k->text, k->attachments, NULL);
}

struct sio_event *sio_event_keep(const struct sio_event *e)
{
    size_t n = e->packet->n_attachments;
    struct kept *k = mem_alloc(sizeof(*k) + n * sizeof(k->attachments[0]));

    if (!k)
        return NULL;
    wbuf_init(&k->event.name_buf, 0);
    if (keep(k, e) == SIO_OK)
        return &k->event;
    sio_event_free(&k->event);
    return NULL;
}

void sio_event_free(struct sio_event *e)
{
    struct kept *k;

    if (!e)
        return;
    k = container_of(e, struct kept, event);
    sio_event_fini(e);
    for (uint32_t i = 0; i < k->n_attachments; i++)
        sio_buf_unref(k->attachments[i].buf);
    sio_buf_unref(k->text.buf);
    mem_free(k);
}

struct sio_str sio_event_name(const struct sio_event *e)
{
    return e->name;
}

size_t sio_event_n_args(const struct sio_event *e)
{
    return e->packet->n_items - e->first;
}

struct sio_str sio_event_arg(struct sio_event *e, size_t i)
{
    const struct sio_packet *p = e->packet;
    struct sio_str key;

    if (i >= p->n_items - e->first)
        return (struct sio_str){NULL, 0};
    i += e->first;
    if (i < SIO_PACKET_ITEMS)
        return p->items[i];

    /* Walking in order costs one step an argument; only going back starts anew. */
    if (e->cursor_at == 0 || e->cursor_at > i + 1) {
        e->cursor = json_iter(p->json);
        e->cursor_at = 0;
    }
    while (e->cursor_at < i + 1 && json_next(&e->cursor, &key, &e->cursor_item))
        e->cursor_at++;
    return e->cursor_item;
}

struct sio_slice sio_event_args(const struct sio_event *e, size_t first)
{
    const struct sio_packet *p = e->packet;
    struct sio_slice out = {e->text.buf, NULL, 0};
    const char *end = p->json.ptr + p->json.len - 1; /* the ']' */
    struct sio_str item;

    if (first >= p->n_items - e->first)
        return out;
    first += e->first;
    if (first < SIO_PACKET_ITEMS) {
        item = p->items[first];
    } else {
        struct json_iter it = json_iter(p->json);
        struct sio_str key;

        for (size_t i = 0; i <= first; i++)
            json_next(&it, &key, &item);
    }
    out.ptr = (const uint8_t *)item.ptr;
    out.len = (size_t)(end - item.ptr);
    return out;
}

const cJSON *sio_event_json(struct sio_event *e, size_t i)
{
    size_t n = sio_event_n_args(e);
    struct sio_str raw;

    if (i >= n)
        return NULL;
    if (!e->trees) {
        e->trees = mem_array(n, sizeof(*e->trees));
        if (!e->trees)
            return NULL;
    }
    if (!e->trees[i]) {
        raw = sio_event_arg(e, i);
        e->trees[i] = cJSON_ParseWithLength(raw.ptr, raw.len);
    }
    return e->trees[i];
}

struct sio_slice sio_event_slice(const struct sio_event *e, struct sio_str sub)
{
    struct sio_slice s = {e->text.buf, (const uint8_t *)sub.ptr, sub.len};

    return s;
}

size_t sio_event_n_attachments(const struct sio_event *e)
{
    return e->packet->n_attachments;
}

struct sio_slice sio_event_attachment(const struct sio_event *e, size_t i)
{
    if (i >= e->packet->n_attachments)
        return (struct sio_slice){NULL, NULL, 0};
    return e->attachments[i];
}

int sio_event_placeholder(const struct sio_event *e, struct sio_str value)
{
    int64_t index = e->packet->n_attachments > 0 ? sio_placeholder_index(value) : -1;

    return index < (int64_t)e->packet->n_attachments ? (int)index : -1;
}

/* An ack that a handler took to answer later. */
struct sio_ack {
    struct list link;            /* in the replier's */
    struct sio_replier *replier; /* NULL: it has ended */
    uint64_t id;
};

void sio_replier_init(struct sio_replier *r, const struct sio_replier_ops *ops)
{
    r->ops = ops;
    r->n_taken = 0;
    list_init(&r->taken);
}

void sio_replier_end(struct sio_replier *r)
{
    struct sio_ack *ack;

    r->ops = NULL;
    r->n_taken = 0;
    list_for_each (ack, struct sio_ack, link, &r->taken) {
        list_remove(&ack->link);
        ack->replier = NULL;
    }
}

static int answer(struct sio_replier *r, uint64_t id, struct sio_message *m)
{
    struct eio_msg *msg;
    int rv;

    if (!r || !r->ops)
        return SIO_ERR_CLOSED;
    rv = sio_message_encode(m, r->ops->parser(r), SIO_PACKET_ACK, r->ops->nsp(r), true,
                            id, &msg);
    if (rv < 0)
        return rv;
    rv = r->ops->send(r, msg);
    eio_msg_unref(msg);
    return rv;
}

bool sio_event_wants_ack(const struct sio_event *e)
{
    return e->replier != NULL;
}

int sio_event_ack(struct sio_event *e, struct sio_message *m)
{
    struct sio_replier *r = e->replier;

    if (!r)
        return SIO_ERR_INVAL;
    e->replier = NULL;
    return answer(r, e->packet->id, m);
}

struct sio_ack *sio_event_take_ack(struct sio_event *e)
{
    struct sio_ack *ack;

    if (!e->replier)
        return NULL;
    if (e->replier->n_taken >= SIO_ACKS_MAX)
        return NULL;
    ack = mem_new(struct sio_ack);
    if (!ack)
        return NULL;
    /* The handler may have ended the socket before. */
    if (e->replier->ops) {
        ack->replier = e->replier;
        list_append(&e->replier->taken, &ack->link);
        e->replier->n_taken++;
    }
    ack->id = e->packet->id;
    e->replier = NULL;
    return ack;
}

int sio_ack_send(struct sio_ack *ack, struct sio_message *m)
{
    struct sio_replier *r = ack->replier;
    uint64_t id = ack->id;

    sio_ack_free(ack);
    return answer(r, id, m);
}

void sio_ack_free(struct sio_ack *ack)
{
    if (!ack)
        return;
    if (ack->replier) {
        list_remove(&ack->link);
        ack->replier->n_taken--;
    }
    mem_free(ack);
}
