#include <config.h>

#include "http/routes.h"

#include <assert.h>
#include <stdio.h>

#include "base/file.h"
#include "base/mem.h"
#include "base/str.h"
#include "http/coding.h"
#include "http/router.h"

/* The public names of the methods are ours, bit for bit. */
static_assert((int)SIO_HTTP_DELETE == HTTP_DELETE, "DELETE");
static_assert((int)SIO_HTTP_GET == HTTP_GET, "GET");
static_assert((int)SIO_HTTP_HEAD == HTTP_HEAD, "HEAD");
static_assert((int)SIO_HTTP_OPTIONS == HTTP_OPTIONS, "OPTIONS");
static_assert((int)SIO_HTTP_PATCH == HTTP_PATCH, "PATCH");
static_assert((int)SIO_HTTP_POST == HTTP_POST, "POST");
static_assert((int)SIO_HTTP_PUT == HTTP_PUT, "PUT");
static_assert((int)SIO_HTTP_OTHER == HTTP_OTHER, "OTHER");
static_assert((int)SIO_HTTP_ANY == HTTP_ANY, "ANY");

#define ETAG_SIZE    24
#define COMPRESS_MIN 1024 /* bytes of a page */
#define MAX_FILE     (64 << 20)

/* A route, and what it needs as long as the server lives. */
struct added {
    struct list link;
    struct http_handler handler;

    const struct sio_http_handler *ops; /* of sio_http_route */
    void *user;

    struct sio_buf *page; /* of sio_http_page */
    struct http_coded coded;
    char *type;
    char etag[ETAG_SIZE];
};

/*
 * sio_http_request is the name that http_request has for applications; it has no body of
 * its own.
 */
static struct http_request *inside(struct sio_http_request *r)
{
    return (struct http_request *)r;
}

static const struct http_request *inside_const(const struct sio_http_request *r)
{
    return (const struct http_request *)r;
}

static struct sio_http_request *outside(struct http_request *r)
{
    return (struct sio_http_request *)r;
}

void sio_http_init(struct sio_http *http, struct http_server *server)
{
    http->server = server;
    list_init(&http->added);
}

static void added_free(struct added *a)
{
    sio_buf_unref(a->page);
    http_coded_fini(&a->coded);
    mem_free(a->type);
    mem_free(a);
}

void sio_http_fini(struct sio_http *http)
{
    while (!list_empty(&http->added)) {
        struct added *a = container_of(http->added.next, struct added, link);

        list_remove(&a->link);
        added_free(a);
    }
}

/* Keeps a, whose route was added, or frees it. */
static int keep(struct sio_http *http, struct added *a, int rv)
{
    if (rv < 0)
        added_free(a);
    else
        list_append(&http->added, &a->link);
    return rv;
}

/* Pages */

/* FNV-1a: tells contents apart; it need not withstand anybody. */
static uint64_t digest(const uint8_t *p, size_t len)
{
    uint64_t h = UINT64_C(0xcbf29ce484222325);

    for (size_t i = 0; i < len; i++)
        h = (h ^ p[i]) * UINT64_C(0x100000001b3);
    return h;
}

static struct sio_str without_weak(struct sio_str tag)
{
    if (str_starts(tag, SIO_STR("W/")))
        return (struct sio_str){tag.ptr + 2, tag.len - 2};
    return tag;
}

/* True if the list of If-None-Match holds the tag (RFC 9110, 13.1.2). */
static bool has_tag(struct sio_str list, struct sio_str etag)
{
    while (list.ptr) {
        struct sio_str tag = str_trim(str_cut(&list, ','));

        if (str_eq(without_weak(tag), without_weak(etag)) || str_eq_cstr(tag, "*"))
            return true;
    }
    return false;
}

static void on_page(struct http_request *r, void *user)
{
    struct added *a = user;
    struct sio_str etag = sio_str_from(a->etag);
    struct sio_slice body = sio_slice_of(a->page);

    http_reply_field(r, "ETag", etag);
    http_reply_field(r, "Cache-Control", SIO_STR("no-cache"));
    http_reply_compress(r, COMPRESS_MIN, &a->coded);
    if (has_tag(http_request_field(r, "If-None-Match"), etag))
        http_reply(r, 304, NULL, NULL, 0);
    else
        http_reply(r, 200, a->type, &body, 1);
}

/* What answers with a page.  NULL: out of memory. */
static struct added *page_new(const char *type, struct sio_buf *bytes)
{
    struct added *a = mem_new(struct added);

    if (!a)
        return NULL;
    a->type = mem_strndup(type, strlen(type));
    if (!a->type) {
        mem_free(a);
        return NULL;
    }
    a->page = sio_buf_ref(bytes);
    snprintf(a->etag, sizeof(a->etag), "W/\"%016llx\"",
             (unsigned long long)digest(sio_buf_data(bytes), sio_buf_len(bytes)));
    a->handler.on_request = on_page;
    return a;
}

int sio_http_page(struct sio_http *http, const char *path, const char *type,
                  const void *bytes, size_t len)
{
    struct sio_buf *copy;
    struct added *a;

    if (path[0] != '/' || strpbrk(path, ":*"))
        return SIO_ERR_INVAL;
    copy = sio_buf_copy(bytes, len);
    if (!copy)
        return SIO_ERR_NOMEM;
    a = page_new(type, copy);
    sio_buf_unref(copy);
    if (!a)
        return SIO_ERR_NOMEM;
    return keep(http, a,
                http_server_route(http->server, HTTP_GET, path, &a->handler, a));
}

int sio_http_file(struct sio_http *http, const char *path, const char *type,
                  const char *file, struct sio_diag *diag)
{
    size_t len;
    char *text;
    int rv = file_read(file, MAX_FILE, &text, &len, diag);

    if (rv < 0)
        return rv;
    rv = sio_http_page(http, path, type, text, len);
    mem_free(text);
    return rv < 0 ? sio_diag_set(diag, rv, "%s: %s", path, sio_strerror(rv)) : SIO_OK;
}

int sio_http_page_first(struct sio_http *http, const char *path, const char *type,
                        struct sio_buf *bytes)
{
    struct added *a = page_new(type, bytes);

    if (!a)
        return SIO_ERR_NOMEM;
    return keep(http, a,
                http_server_route_first(http->server, HTTP_GET, path, &a->handler, a));
}

/* Routes */

static void on_request(struct http_request *r, void *user)
{
    const struct added *a = user;

    a->ops->on_request(outside(r), a->user);
}

static void on_abort(struct http_request *r, void *user)
{
    const struct added *a = user;

    if (a->ops->on_abort)
        a->ops->on_abort(outside(r), a->user);
}

/* As http_server_route describes it; the router trusts its caller. */
static bool is_pattern(const char *pattern)
{
    unsigned n_params = 0;

    if (pattern[0] != '/')
        return false;
    for (const char *p = pattern; *p; p++) {
        if (*p == ':' &&
            (p[-1] != '/' || (p[1] && p[1] != '/') || ++n_params > HTTP_MAX_PARAMS))
            return false;
        if (*p == '*' && p[1])
            return false;
    }
    return true;
}

int sio_http_route(struct sio_http *http, unsigned methods, const char *pattern,
                   const struct sio_http_handler *handler, void *user)
{
    struct added *a;

    if (!is_pattern(pattern))
        return SIO_ERR_INVAL;
    a = mem_new(struct added);
    if (!a)
        return SIO_ERR_NOMEM;
    a->ops = handler;
    a->user = user;
    a->handler = (struct http_handler){
        .on_request = on_request,
        .on_abort = on_abort,
        .max_body = handler->max_body,
    };
    return keep(http, a,
                http_server_route(http->server, methods, pattern, &a->handler, a));
}

enum sio_http_method sio_http_request_method(const struct sio_http_request *r)
{
    return (enum sio_http_method)http_request_method(inside_const(r));
}

struct sio_str sio_http_request_path(const struct sio_http_request *r)
{
    return http_request_path(inside_const(r));
}

struct sio_str sio_http_request_param(const struct sio_http_request *r, unsigned i)
{
    return http_request_param(inside_const(r), i);
}

bool sio_http_request_query(struct sio_http_request *r, const char *name,
                            struct sio_str *value)
{
    return http_request_query_get(inside(r), name, value);
}

struct sio_str sio_http_request_field(const struct sio_http_request *r,
                                      const char *name)
{
    return http_request_field(inside_const(r), name);
}

struct sio_slice sio_http_request_body(const struct sio_http_request *r)
{
    return http_request_body(inside_const(r));
}

void sio_http_request_set_data(struct sio_http_request *r, void *data)
{
    http_request_set_data(inside(r), data);
}

void *sio_http_request_data(const struct sio_http_request *r)
{
    return http_request_data(inside_const(r));
}

int sio_http_reply_field(struct sio_http_request *r, const char *name,
                         struct sio_str value)
{
    return http_reply_field(inside(r), name, value);
}

int sio_http_reply(struct sio_http_request *r, int status, const char *type,
                   struct sio_slice body)
{
    return http_reply(inside(r), status, type, &body, body.len > 0);
}

int sio_http_reply_bytes(struct sio_http_request *r, int status, const char *type,
                         const void *p, size_t len)
{
    return http_reply_bytes(inside(r), status, type, p, len);
}
