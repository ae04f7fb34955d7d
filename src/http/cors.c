#include <config.h>

#include "http/cors.h"

#include "base/str.h"

#define MAX_ASKED  64
#define MAX_ORIGIN 512

/* What is reflected must not be able to be more than an origin. */
static bool origin_is_legal(struct sio_str origin)
{
    for (size_t i = 0; i < origin.len; i++) {
        unsigned char c = (unsigned char)origin.ptr[i];

        if (c <= ' ' || c >= 0x7f || c == ',' || c == ';')
            return false;
    }
    return origin.len > 0 && origin.len <= MAX_ORIGIN;
}

bool http_cors_allows(const struct http_cors *cors, struct sio_str origin)
{
    if (!origin.ptr || !origin_is_legal(origin))
        return false;
    if (!cors->origins)
        return true;
    for (const char *const *o = cors->origins; *o; o++) {
        if (str_eq_cstr(origin, *o))
            return true;
    }
    return false;
}

void http_cors_write(const struct http_cors *cors, struct sio_str origin,
                     struct wbuf *w)
{
    if (!cors->enabled)
        return;
    if (!origin.ptr && !cors->origins) {
        wbuf_add_str(w, SIO_STR("Access-Control-Allow-Origin: *\r\n"));
        return;
    }
    wbuf_add_str(w, SIO_STR("Vary: Origin\r\n"));
    if (!http_cors_allows(cors, origin))
        return;
    wbuf_add_str(w, SIO_STR("Access-Control-Allow-Origin: "));
    wbuf_add_str(w, origin);
    wbuf_add_str(w, SIO_STR("\r\n"));
    if (cors->credentials)
        wbuf_add_str(w, SIO_STR("Access-Control-Allow-Credentials: true\r\n"));
}

static bool is_token(struct sio_str s)
{
    for (size_t i = 0; i < s.len; i++) {
        char c = s.ptr[i];

        if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
              (c >= '0' && c <= '9') || c == '-' || c == '_'))
            return false;
    }
    return s.len > 0;
}

static int compare(struct sio_str a, struct sio_str b)
{
    int rv = memcmp(a.ptr, b.ptr, a.len < b.len ? a.len : b.len);

    if (rv != 0)
        return rv;
    return a.len < b.len ? -1 : a.len > b.len;
}

/* The names that were asked for, in order; returns their number. */
static size_t sort_names(struct sio_str asked, struct sio_str names[MAX_ASKED])
{
    size_t n = 0;

    for (struct sio_str rest = asked; rest.ptr && n < MAX_ASKED;) {
        struct sio_str name = str_trim(str_cut(&rest, ','));
        size_t i = n;

        if (!is_token(name))
            continue;
        for (; i > 0 && compare(names[i - 1], name) > 0; i--)
            names[i] = names[i - 1];
        names[i] = name;
        n++;
    }
    return n;
}

void http_cors_write_preflight(const struct http_cors *cors, struct sio_str asked,
                               struct wbuf *w)
{
    struct sio_str names[MAX_ASKED];
    size_t n = sort_names(asked, names);

    wbuf_add_str(w, SIO_STR("Access-Control-Allow-Methods: "
                            "DELETE, GET, HEAD, OPTIONS, PATCH, POST, PUT\r\n"));
    if (n > 0)
        wbuf_add_str(w, SIO_STR("Access-Control-Allow-Headers: "));
    for (size_t i = 0; i < n; i++) {
        wbuf_add_str(w, names[i]);
        wbuf_add_str(w, i + 1 < n ? SIO_STR(", ") : SIO_STR("\r\n"));
    }
    if (cors->max_age_s > 0) {
        wbuf_add_str(w, SIO_STR("Access-Control-Max-Age: "));
        wbuf_add_u64(w, cors->max_age_s);
        wbuf_add_str(w, SIO_STR("\r\n"));
    }
}
