/* What the codec accepts, it writes so that it reads back the same. */
#include <config.h>

#include <assert.h>
#include <stdlib.h>

#include "base/str.h"
#include "engineio/msg.h"
#include "socketio/event.h"
#include "socketio/message.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { MAX_ATTACHMENTS = 10 };

/* The text of a message behind the '4', in one piece that the caller frees. */
static struct sio_str text_of(const struct eio_msg *msg)
{
    struct sio_slice slices[8];
    size_t n = eio_msg_body(msg, 0, slices);
    size_t len = 0;
    char *p = malloc(msg->bytes);

    assert(p && n <= 8);
    for (size_t i = 0; i < n; i++) {
        memcpy(p + len, slices[i].ptr, slices[i].len);
        len += slices[i].len;
    }
    memmove(p, p + 1, len - 1);
    return (struct sio_str){p, len - 1};
}

static void check_same(const struct sio_packet *a, const struct eio_msg *msg)
{
    struct sio_str text = text_of(msg);
    struct sio_packet b;

    assert(sio_packet_parse(text, MAX_ATTACHMENTS, &b) == SIO_OK);
    assert(a->type == b.type && a->n_attachments == b.n_attachments);
    assert(a->has_id == b.has_id && a->id == b.id);
    assert(str_eq(a->nsp, b.nsp));
    assert(a->n_items == b.n_items);
    for (size_t i = 0; i < a->n_items && i < SIO_PACKET_ITEMS; i++)
        assert(str_eq(a->items[i], b.items[i]));
    free((char *)text.ptr);
}

/* The same through an event and a message, as an echo goes. */
static void relay(const struct sio_packet *p, struct sio_slice text)
{
    struct sio_slice attachments[MAX_ATTACHMENTS] = {{NULL, (const uint8_t *)"", 0}};
    struct sio_message *m = sio_message_new("relay");
    struct sio_event e;
    struct eio_msg *msg = NULL;
    int rv;

    for (size_t i = 0; i < MAX_ATTACHMENTS; i++)
        attachments[i] = text;
    assert(m && sio_event_init(&e, p, text, attachments, NULL) == SIO_OK);
    for (size_t i = 0; i < sio_event_n_args(&e); i++) {
        struct sio_str arg = sio_event_arg(&e, i);

        assert(json_check(arg) == SIO_OK);
        assert(sio_event_placeholder(&e, arg) < (int)p->n_attachments);
    }
    sio_message_add_binary(m, (struct sio_slice){NULL, (const uint8_t *)"x", 1});
    assert(sio_message_add_event(m, &e, 0) == SIO_OK);
    rv = sio_message_encode(m, &sio_parser_json, SIO_PACKET_ACK, p->nsp, true, 1, &msg);
    assert(rv == SIO_OK || (rv == SIO_ERR_PROTOCOL && p->n_attachments == 0));
    if (rv == SIO_OK && p->n_attachments < MAX_ATTACHMENTS) {
        struct sio_str got = text_of(msg);
        struct sio_packet b;

        assert(sio_packet_parse(got, MAX_ATTACHMENTS, &b) == SIO_OK);
        assert(b.n_items == 1 + sio_event_n_args(&e));
        free((char *)got.ptr);
    }
    eio_msg_unref(msg);
    sio_message_free(m);
    sio_event_fini(&e);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct sio_str text = {(const char *)data, size};
    struct sio_packet p;
    struct eio_msg *msg;

    if (sio_packet_parse(text, MAX_ATTACHMENTS, &p) < 0)
        return 0;
    if (p.n_items > 0)
        relay(&p, (struct sio_slice){NULL, data, size});
    if (sio_packet_is_binary(text))
        return 0;
    msg = sio_packet_msg(&sio_parser_json, p.type, p.nsp, p.has_id, p.id, p.json);
    assert(msg);
    check_same(&p, msg);
    eio_msg_unref(msg);
    return 0;
}
