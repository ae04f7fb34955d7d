/*
 * socketio/query.h - a query string as a JSON object of texts
 */
#ifndef SOCKETIO_QUERY_H
#define SOCKETIO_QUERY_H

#include "base/buf.h"

/*
 * Writes a query (without '?') as an object; of a name that is there twice the last
 * value.  SIO_OK; SIO_ERR_PARSE: not UTF-8; SIO_ERR_TOO_BIG: more than 64 parameters;
 * SIO_ERR_NOMEM.
 */
int sio_query_write(struct sio_str query, struct wbuf *w);

#endif
