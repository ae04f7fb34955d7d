#include <config.h>

#include "http/router.h"

#include <assert.h>
#include <string.h>

#include "base/list.h"
#include "base/mem.h"
#include "base/str.h"

static const struct {
    enum http_method method;
    struct sio_str name;
} methods[] = {
    {HTTP_DELETE, SIO_STR_INIT("DELETE")}, {HTTP_GET, SIO_STR_INIT("GET")},
    {HTTP_HEAD, SIO_STR_INIT("HEAD")},     {HTTP_OPTIONS, SIO_STR_INIT("OPTIONS")},
    {HTTP_PATCH, SIO_STR_INIT("PATCH")},   {HTTP_POST, SIO_STR_INIT("POST")},
    {HTTP_PUT, SIO_STR_INIT("PUT")},
};

enum http_method http_method_parse(struct sio_str name)
{
    for (size_t i = 0; i < N_ELEMENTS(methods); i++) {
        if (str_eq(name, methods[i].name))
            return methods[i].method;
    }
    return HTTP_OTHER;
}

size_t http_allow_write(unsigned allowed, char out[HTTP_ALLOW_SIZE])
{
    size_t len = 0;

    if (allowed & HTTP_GET)
        allowed |= HTTP_HEAD;
    allowed |= HTTP_OPTIONS;
    for (size_t i = 0; i < N_ELEMENTS(methods); i++) {
        if (!(allowed & methods[i].method))
            continue;
        if (len > 0) {
            out[len++] = ',';
            out[len++] = ' ';
        }
        memcpy(out + len, methods[i].name.ptr, methods[i].name.len);
        len += methods[i].name.len;
    }
    return len;
}

void http_router_init(struct http_router *router)
{
    *router = (struct http_router){0};
}

void http_router_fini(struct http_router *router)
{
    for (size_t i = 0; i < router->n; i++)
        mem_free(router->routes[i].pattern);
    mem_free(router->routes);
    http_router_init(router);
}

int http_router_add(struct http_router *router, bool first, unsigned allowed,
                    const char *pattern, const struct http_handler *handler, void *user)
{
    struct http_route *routes =
        mem_resize(router->routes, router->n + 1, sizeof(*routes));
    char *copy = mem_strndup(pattern, strlen(pattern));

    assert(pattern[0] == '/');
    if (routes)
        router->routes = routes;
    if (!routes || !copy) {
        mem_free(copy);
        return SIO_ERR_NOMEM;
    }
    if (first && router->n > 0)
        memmove(routes + 1, routes, router->n * sizeof(*routes));
    routes[first ? 0 : router->n] = (struct http_route){
        .methods = allowed,
        .pattern = copy,
        .n_literal = strcspn(pattern, ":*"),
        .handler = handler,
        .user = user,
    };
    router->n++;
    return SIO_OK;
}

/* A '/' inside a segment comes as %2F; what holds one is no parameter. */
static bool has_coded_slash(struct sio_str segment)
{
    for (size_t i = 0; i + 2 < segment.len; i++) {
        if (segment.ptr[i] == '%' && segment.ptr[i + 1] == '2' &&
            (segment.ptr[i + 2] | 0x20) == 'f')
            return true;
    }
    return false;
}

static bool route_matches(const struct http_route *route, struct sio_str path,
                          struct http_match *match)
{
    const char *pattern = route->pattern + route->n_literal;
    size_t at = route->n_literal;

    match->n_params = 0;
    if (path.len < at || memcmp(path.ptr, route->pattern, at) != 0)
        return false;
    for (; *pattern && *pattern != '*'; pattern++) {
        struct sio_str rest = {path.ptr + at, path.len - at};

        if (*pattern != ':') {
            if (rest.len == 0 || *rest.ptr != *pattern)
                return false;
            at++;
            continue;
        }
        rest.len = str_find(rest, '/');
        if (rest.len == 0 || has_coded_slash(rest))
            return false;
        assert(match->n_params < HTTP_MAX_PARAMS);
        match->params[match->n_params++] = rest;
        at += rest.len;
    }
    return *pattern == '*' || at == path.len;
}

static bool takes(const struct http_route *route, enum http_method method)
{
    if (method == HTTP_HEAD && (route->methods & HTTP_GET))
        return true;
    return (route->methods & method) != 0;
}

void http_router_find(const struct http_router *router, struct sio_str path,
                      enum http_method method, struct http_match *match)
{
    *match = (struct http_match){0};
    for (size_t i = 0; i < router->n; i++) {
        const struct http_route *route = &router->routes[i];

        if (!route_matches(route, path, match))
            continue;
        if (!match->first)
            match->first = route;
        match->methods |= route->methods;
        if (takes(route, method)) {
            match->route = route;
            return;
        }
    }
    match->n_params = 0;
}

unsigned http_router_methods(const struct http_router *router)
{
    unsigned all = 0;

    for (size_t i = 0; i < router->n; i++)
        all |= router->routes[i].methods;
    return all;
}
