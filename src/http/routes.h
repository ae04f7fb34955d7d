/*
 * http/routes.h - the inside of <sioc/http.h>: what applications add to a server
 */
#ifndef HTTP_ROUTES_H
#define HTTP_ROUTES_H

#include <sioc/http.h>

#include "base/list.h"
#include "http/server.h"

struct sio_http {
    struct http_server *server;
    struct list added; /* struct added.link */
};

void sio_http_init(struct sio_http *http, struct http_server *server);

/* Frees what the routes need; the server must not handle a request after it. */
void sio_http_fini(struct sio_http *http);

/* As sio_http_page, under whatever path is routed already; bytes are referenced. */
int sio_http_page_first(struct sio_http *http, const char *path, const char *type,
                        struct sio_buf *bytes);

#endif
