#include <config.h>

#include <stdio.h>

#include "base/str.h"
#include "hub/hub_impl.h"

/* The files of src/hub/page as C strings, made by the build. */
static const char index_html[] =
#include "src/hub/page/index.html.inc"
    ;
static const char nuchub_css[] =
#include "src/hub/page/nuchub.css.inc"
    ;
static const char nuchub_js[] =
#include "src/hub/page/nuchub.js.inc"
    ;

static const struct page_file {
    const char *path;
    const char *type;
    struct sio_str body;
} files[] = {
    {"/", "text/html; charset=utf-8", SIO_STR_INIT(index_html)},
    {"/nuchub.css", "text/css; charset=utf-8", SIO_STR_INIT(nuchub_css)},
    {"/nuchub.js", "text/javascript; charset=utf-8", SIO_STR_INIT(nuchub_js)},
};

/* The page's own files and data: pictures, nothing from elsewhere. */
#define CONTENT_POLICY                                                             \
    SIO_STR("default-src 'none'; script-src 'self'; style-src 'self'; "            \
            "img-src 'self' data:; connect-src 'self' ws: wss:; base-uri 'none'; " \
            "form-action 'none'; frame-ancestors 'self'")

static const struct page_file *find_file(struct sio_str path)
{
    for (size_t i = 0; i < N_ELEMENTS(files); i++)
        if (str_eq_cstr(path, files[i].path))
            return &files[i];
    return NULL;
}

static void on_file(struct http_request *r, void *user)
{
    const struct hub *hub = user;
    const struct page_file *file = find_file(http_request_path(r));
    struct sio_str asked = http_request_field(r, "If-None-Match");
    char tag[32];
    struct sio_str etag = {tag,
                           (size_t)snprintf(tag, sizeof(tag), "W/\"%s\"", hub->boot)};

    if (!file) { /* a path that was decoded to one of ours */
        http_reply_error(r, 404, "No encontrado");
        return;
    }
    http_reply_field(r, "ETag", etag);
    http_reply_field(r, "Cache-Control", SIO_STR("no-cache"));
    http_reply_field(r, "Content-Security-Policy", CONTENT_POLICY);
    http_reply_field(r, "X-Content-Type-Options", SIO_STR("nosniff"));
    http_reply_compress(r, HUB_COMPRESS_MIN, NULL);
    if (asked.ptr && str_eq(str_trim(asked), etag))
        http_reply(r, 304, NULL, NULL, 0);
    else
        http_reply_bytes(r, 200, file->type, file->body.ptr, file->body.len);
}

int hub_page_init(struct hub *hub)
{
    static const struct http_handler handler = {.on_request = on_file};

    for (size_t i = 0; i < N_ELEMENTS(files); i++) {
        int rv = http_server_route(hub->http, HTTP_GET, files[i].path, &handler, hub);

        if (rv < 0)
            return rv;
    }
    return SIO_OK;
}
