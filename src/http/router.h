/*
 * http/router.h - finds the handler of a path
 */
#ifndef HTTP_ROUTER_H
#define HTTP_ROUTER_H

#include "http/server.h"

#define HTTP_MAX_PARAMS 4

struct http_route {
    unsigned methods;
    char *pattern;
    size_t n_literal; /* bytes of the pattern before its first ':' or '*' */
    const struct http_handler *handler;
    void *user;
};

struct http_router {
    struct http_route *routes;
    size_t n;
};

void http_router_init(struct http_router *router);
void http_router_fini(struct http_router *router);

/* As http_server_route; first: before those that are there. */
int http_router_add(struct http_router *router, bool first, unsigned methods,
                    const char *pattern, const struct http_handler *handler,
                    void *user);

struct http_match {
    const struct http_route *route;         /* that takes the method; NULL: none does */
    const struct http_route *first;         /* that knows the path at all; NULL: 404 */
    unsigned methods;                       /* of all that know the path */
    struct sio_str params[HTTP_MAX_PARAMS]; /* as sent, of route */
    unsigned n_params;
};

void http_router_find(const struct http_router *router, struct sio_str path,
                      enum http_method method, struct http_match *match);

/* All methods of all routes, for `OPTIONS *`. */
unsigned http_router_methods(const struct http_router *router);

/* The method of a request line; HTTP_OTHER for what has no name here. */
enum http_method http_method_parse(struct sio_str name);

/* Writes the value of Allow: names in order, with HEAD where there is GET, and OPTIONS. */
#define HTTP_ALLOW_SIZE 64
size_t http_allow_write(unsigned methods, char out[HTTP_ALLOW_SIZE]);

#endif
