/*
 * engineio/handshake.h - a compact copy of the request that opened a session
 */
#ifndef ENGINEIO_HANDSHAKE_H
#define ENGINEIO_HANDSHAKE_H

#include "engineio/session.h"

/* Copies what the session's owner may ask for.  SIO_OK or SIO_ERR_NOMEM. */
int eio_handshake_copy(struct eio_session *s, const struct http_request *r,
                       struct sio_str address, bool secure);

#endif
