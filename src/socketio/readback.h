/*
 * socketio/readback.h - an encoded event as its receiver will see it
 *
 * For listeners to what goes out: they are rare, so an event is read back for them
 * instead of kept for them.
 */
#ifndef SOCKETIO_READBACK_H
#define SOCKETIO_READBACK_H

#include "socketio/event.h"

/*
 * Calls fn once with the event in msg, as the parser wrote it.  SIO_OK, SIO_ERR_NOMEM:
 * fn was not called.
 */
int sio_readback(const struct eio_msg *msg, const struct sio_parser *parser,
                 void (*fn)(struct sio_event *e, void *user), void *user);

#endif
