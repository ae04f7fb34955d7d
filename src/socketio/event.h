/*
 * socketio/event.h - the inside of sio_event: what a handler is called with
 *
 * Lives on the stack of whoever dispatches; nothing is allocated unless a handler asks
 * for a tree or the name holds escapes.
 */
#ifndef SOCKETIO_EVENT_H
#define SOCKETIO_EVENT_H

#include <sioc/message.h>

#include "base/list.h"
#include "socketio/parser.h"

struct sio_replier;

struct sio_replier_ops {
    /* Sends an answer.  SIO_OK or an error, as eio_session_send. */
    int (*send)(struct sio_replier *r, struct eio_msg *msg);
    struct sio_str (*nsp)(struct sio_replier *r);
    const struct sio_parser *(*parser)(struct sio_replier *r);
};

/*
 * What answers the acks that the other side asked for: a socket of a server or of a
 * client.
 */
struct sio_replier {
    const struct sio_replier_ops *ops; /* NULL: it has ended */
    struct list taken;                 /* struct sio_ack, until they are answered */
    uint32_t n_taken;
};

void sio_replier_init(struct sio_replier *r, const struct sio_replier_ops *ops);

/* The socket has ended: taken acks stay their takers', and answer nobody. */
void sio_replier_end(struct sio_replier *r);

struct sio_event {
    const struct sio_packet *packet;
    struct sio_slice text; /* the packet's; buf NULL while it is borrowed */
    const struct sio_slice *attachments;
    size_t first; /* items in front of the arguments: 1 in an event, for its name */
    struct sio_str name;
    struct wbuf name_buf;    /* where a name with escapes was decoded */
    struct json_iter cursor; /* behind the items that the packet's parser cut */
    struct sio_str cursor_item;
    size_t cursor_at; /* number of items that the cursor has given; 0: not started */
    cJSON **trees;
    struct sio_replier *replier; /* NULL: no answer is wanted any more */
};

/*
 * An event or an answer from a parsed packet whose attachments are there.  text holds
 * the packet.  replier NULL: cannot be answered.  All is borrowed.  SIO_OK or
 * SIO_ERR_NOMEM.
 */
int sio_event_init(struct sio_event *e, const struct sio_packet *packet,
                   struct sio_slice text, const struct sio_slice *attachments,
                   struct sio_replier *replier);
void sio_event_fini(struct sio_event *e);

/*
 * The raw text of all arguments from the first one on, joined by ',' as they arrived;
 * empty past the end.
 */
struct sio_slice sio_event_args(const struct sio_event *e, size_t first);

#endif
