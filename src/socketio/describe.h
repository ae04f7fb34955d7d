/*
 * socketio/describe.h - a client's handshake as others are shown it
 */
#ifndef SOCKETIO_DESCRIBE_H
#define SOCKETIO_DESCRIBE_H

#include <sioc/engineio.h>

#include "base/buf.h"

/*
 * Writes a JSON object: headers (lower case; of a field that is there twice the first;
 * never cookies and authorization), query, address, secure, xdomain, issued (ms since
 * 1970), time, url.  path is the server's.  hide_secrets leaves parameters of the query
 * out whose names say that they are secret.  Returns w->error.
 */
int sio_describe_handshake(struct wbuf *w, const struct eio_session *s,
                           const char *path, bool hide_secrets);

#endif
