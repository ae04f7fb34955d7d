#include <config.h>

#include "base/mem.h"
#include "base/str.h"
#include "http/connection.h"

const struct http_head *http_request_head(const struct http_request *r)
{
    return http_parser_head(r->parser);
}

void *http_request_alloc(const struct http_request *r, size_t size)
{
    struct http_scratch *block = mem_raw(sizeof(*block) + size);

    if (!block)
        return NULL;
    block->next = *r->scratch;
    *r->scratch = block;
    return block->data;
}

void http_request_free(struct http_request *r)
{
    while (r->scratch_list) {
        struct http_scratch *block = r->scratch_list;

        r->scratch_list = block->next;
        mem_free(block);
    }
    wbuf_fini(&r->body);
    wbuf_fini(&r->fields);
    http_download_free(r->download);
    http_parser_free(r->parser);
    mem_free(r);
}

/* Drops scheme and authority of an absolute-form target (RFC 9112, 3.2.2). */
static bool make_origin_form(struct sio_str *target)
{
    static const struct sio_str http = SIO_STR_INIT("http://");
    static const struct sio_str https = SIO_STR_INIT("https://");
    size_t skip = 0;

    if (target->len > 0 && (target->ptr[0] == '/' || str_eq_cstr(*target, "*")))
        return true;
    if (target->len > http.len &&
        str_ieq((struct sio_str){target->ptr, http.len}, http))
        skip = http.len;
    else if (target->len > https.len &&
             str_ieq((struct sio_str){target->ptr, https.len}, https))
        skip = https.len;
    else
        return false;
    while (skip < target->len && target->ptr[skip] != '/' && target->ptr[skip] != '?')
        skip++;
    target->ptr += skip;
    target->len -= skip;
    return true;
}

static int split_target(struct http_request *r)
{
    struct sio_str target = http_head_target(http_request_head(r));
    size_t mark;

    if (!make_origin_form(&target))
        return 400;
    mark = str_find(target, '?');
    r->path = (struct sio_str){target.ptr, mark};
    if (mark < target.len)
        r->query = (struct sio_str){target.ptr + mark + 1, target.len - mark - 1};
    if (r->path.len == 0) /* "http://host", "http://host?q" */
        r->path = SIO_STR("/");
    return 0;
}

static int decode_params(struct http_request *r, const struct http_match *match)
{
    for (unsigned i = 0; i < match->n_params; i++) {
        struct sio_str raw = match->params[i];
        char *text;

        r->params[i] = raw;
        if (memchr(raw.ptr, '%', raw.len)) {
            text = http_request_alloc(r, raw.len);
            if (!text)
                return 500;
            r->params[i] = (struct sio_str){text, str_percent_decode(raw, text, false)};
        }
    }
    r->n_params = match->n_params;
    return 0;
}

/* A path that is known, by a method that no route takes. */
static void answer_method(struct http_request *r, unsigned methods)
{
    char allow[HTTP_ALLOW_SIZE];

    if (r->method == HTTP_OPTIONS) {
        http_reply_options(r, methods);
        return;
    }
    http_reply_field(r, "Allow",
                     (struct sio_str){allow, http_allow_write(methods, allow)});
    http_reply_status(r, 405);
}

int http_request_locate(struct http_request *r)
{
    const struct http_router *router = &r->c->server->router;
    struct http_match match;
    int status = split_target(r);

    r->method = http_method_parse(http_head_method(http_request_head(r)));
    if (status != 0)
        return status;
    if (str_eq_cstr(r->path, "*")) {
        if (r->method != HTTP_OPTIONS)
            return 400;
        http_reply_options(r, http_router_methods(router));
        return 0;
    }
    http_router_find(router, r->path, r->method, &match);
    if (!match.first)
        return 404;
    if (match.first->handler->cors)
        r->cors = match.first->handler->cors;
    if (match.route && match.route->handler->cors)
        r->cors = match.route->handler->cors;
    if (!match.route ||
        (r->method == HTTP_OPTIONS && !match.route->handler->raw_options)) {
        answer_method(r, match.methods);
        return 0;
    }
    r->handler = match.route->handler;
    r->user = match.route->user;
    return decode_params(r, &match);
}

enum http_method http_request_method(const struct http_request *r)
{
    return r->method;
}

bool http_request_is_head(const struct http_request *r)
{
    return r->method == HTTP_HEAD;
}

struct sio_str http_request_path(const struct http_request *r)
{
    return r->path;
}

struct sio_str http_request_query(const struct http_request *r)
{
    return r->query;
}

struct sio_str http_request_param(const struct http_request *r, unsigned i)
{
    return i < r->n_params ? r->params[i] : (struct sio_str){0};
}

struct sio_str http_request_field(const struct http_request *r, const char *name)
{
    const struct http_head *h = http_request_head(r);
    struct sio_str first, next, all;
    size_t total, from, i = 0;
    char *text;

    if (!http_head_find(h, name, &i, &first))
        return (struct sio_str){0};
    from = i;
    total = first.len;
    while (http_head_find(h, name, &i, &next))
        total += 2 + next.len;
    if (total == first.len)
        return first;

    text = http_request_alloc(r, total);
    if (!text)
        return first;
    all = (struct sio_str){text, first.len};
    memcpy(text, first.ptr, first.len);
    while (http_head_find(h, name, &from, &next)) {
        memcpy(text + all.len, ", ", 2);
        memcpy(text + all.len + 2, next.ptr, next.len);
        all.len += 2 + next.len;
    }
    return all;
}

bool http_request_field_at(const struct http_request *r, size_t i, struct sio_str *name,
                           struct sio_str *value)
{
    const struct http_head *h = http_request_head(r);

    if (i >= h->n_fields)
        return false;
    *name = (struct sio_str){h->text + h->fields[i].name, h->fields[i].name_len};
    *value = (struct sio_str){h->text + h->fields[i].value, h->fields[i].value_len};
    return true;
}

/* s without percent codes, in scratch where it has any. */
static bool decode(const struct http_request *r, struct sio_str s, struct sio_str *out)
{
    char *text;

    *out = s;
    if (s.len == 0 || (!memchr(s.ptr, '%', s.len) && !memchr(s.ptr, '+', s.len)))
        return true;
    text = http_request_alloc(r, s.len);
    if (!text)
        return false;
    *out = (struct sio_str){text, str_percent_decode(s, text, true)};
    return true;
}

bool http_request_query_get(struct http_request *r, const char *name,
                            struct sio_str *value)
{
    struct sio_str wanted = sio_str_from(name);
    bool found = false;
    struct sio_str raw = {0};

    for (struct sio_str rest = r->query; rest.ptr;) {
        struct sio_str item = str_cut(&rest, '&');
        size_t mark = str_find(item, '=');
        struct sio_str key;

        /* Decoding never makes a key longer. */
        if (mark < wanted.len || !decode(r, (struct sio_str){item.ptr, mark}, &key) ||
            !str_eq(key, wanted))
            continue;
        found = true;
        raw = (struct sio_str){item.ptr + item.len, 0};
        if (mark < item.len)
            raw = (struct sio_str){item.ptr + mark + 1, item.len - mark - 1};
    }
    return found && decode(r, raw, value);
}

struct sio_slice http_request_body(const struct http_request *r)
{
    struct sio_str s = wbuf_str(&r->body);

    return (struct sio_slice){r->body.buf, (const uint8_t *)s.ptr, s.len};
}

bool http_request_wants_upgrade(const struct http_request *r, const char *protocol)
{
    return http_request_head(r)->minor >= 1 &&
           str_list_has(http_request_field(r, "Connection"), SIO_STR("upgrade")) &&
           str_list_has(http_request_field(r, "Upgrade"), sio_str_from(protocol));
}

struct net_conn *http_request_conn(struct http_request *r)
{
    return r->c->conn;
}

int http_request_abort_status(const struct http_request *r)
{
    return r->abort_status;
}

void http_request_set_data(struct http_request *r, void *data)
{
    r->data = data;
}

void *http_request_data(const struct http_request *r)
{
    return r->data;
}

struct net_conn *http_request_take_conn(struct http_request *r, struct sio_str *rest)
{
    struct http_conn *c = r->c;
    struct net_conn *conn = c->conn;

    *rest = (struct sio_str){(const char *)c->in, c->in_len};
    if (c->paused)
        net_conn_resume(conn);
    http_conn_release(c);
    return conn;
}
