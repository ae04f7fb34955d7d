/*
 * http/cors.h - the reply fields of the CORS protocol (Fetch standard)
 */
#ifndef HTTP_CORS_H
#define HTTP_CORS_H

#include "base/buf.h"
#include "http/server.h"

/* True if the rules name the origin, or any will do; nothing that is no origin does. */
bool http_cors_allows(const struct http_cors *cors, struct sio_str origin);

/* Fields that every reply carries.  origin: of the request, ptr NULL if there was none. */
void http_cors_write(const struct http_cors *cors, struct sio_str origin,
                     struct wbuf *w);

/* Those of a preflight beside them.  asked: Access-Control-Request-Headers. */
void http_cors_write_preflight(const struct http_cors *cors, struct sio_str asked,
                               struct wbuf *w);

#endif
