#include <config.h>

#include "http/parser.h"

#include <llhttp.h>
#include <string.h>

#include "base/list.h"
#include "base/mem.h"
#include "base/str.h"

#define MAX_METHOD   32
#define FIRST_TEXT   384
#define FIRST_FIELDS 16
/* Chunk sizes, extensions and trailers may cost this many bytes for each of the body. */
#define MAX_OVERHEAD_PER_BYTE 8

enum stage { AT_START, IN_METHOD, IN_HEAD, IN_BODY, AT_END, AT_ERROR };

struct http_parser {
    llhttp_t llhttp;
    struct http_head head;
    struct http_parser_limits limits;
    http_body_cb on_body;
    void *user;
    uint64_t body_bytes;
    uint64_t overhead_bytes; /* of the body's framing */
    uint32_t head_bytes;
    uint16_t status;
    int16_t error;
    enum stage stage;
    uint8_t last;     /* byte of the head, for what may follow it */
    bool target_done; /* a head that is too long has a long target, or long fields */
    bool response;
    bool head_done;
    bool message_done;
};

static int fail(struct http_parser *p, int error, int status)
{
    if (p->error == SIO_OK) {
        p->error = (int16_t)error;
        p->status = (uint16_t)status;
    }
    return HPE_USER;
}

static struct http_parser *parser_of(llhttp_t *l)
{
    return container_of(l, struct http_parser, llhttp);
}

static int add_text(struct http_parser *p, const char *s, size_t len)
{
    struct http_head *h = &p->head;

    if (len > h->text_cap - h->text_len) {
        size_t cap = h->text_cap ? (size_t)h->text_cap * 2 : FIRST_TEXT;
        char *text;

        while (cap < h->text_len + len)
            cap *= 2;
        text = mem_resize(h->text, cap, 1);
        if (!text)
            return fail(p, SIO_ERR_NOMEM, 500);
        h->text = text;
        h->text_cap = (uint32_t)cap;
    }
    if (len > 0) /* the text may be NULL still */
        memcpy(h->text + h->text_len, s, len);
    h->text_len += (uint32_t)len;
    return HPE_OK;
}

static int on_url(llhttp_t *l, const char *at, size_t len)
{
    struct http_parser *p = parser_of(l);

    if (len > p->limits.max_target - p->head.target_len)
        return fail(p, SIO_ERR_TOO_BIG, 414);
    p->head.target_len += (uint32_t)len;
    return add_text(p, at, len);
}

static int on_url_complete(llhttp_t *l)
{
    struct http_parser *p = parser_of(l);

    p->target_done = true;
    /* A fragment is no part of a target (RFC 9112, 3.2). */
    if (memchr(p->head.text + p->head.target, '#', p->head.target_len))
        return fail(p, SIO_ERR_PARSE, 400);
    return HPE_OK;
}

static int add_field(struct http_parser *p)
{
    struct http_head *h = &p->head;

    if (h->n_fields == p->limits.max_fields)
        return fail(p, SIO_ERR_TOO_BIG, 431);
    if (h->n_fields == h->fields_cap) {
        uint32_t cap = h->fields_cap ? h->fields_cap * 2 : FIRST_FIELDS;
        struct http_field *f = mem_resize(h->fields, cap, sizeof(*f));

        if (!f)
            return fail(p, SIO_ERR_NOMEM, 500);
        h->fields = f;
        h->fields_cap = cap;
    }
    h->fields[h->n_fields++] = (struct http_field){.name = h->text_len};
    return HPE_OK;
}

/* The field being read: its value has not begun. */
static bool in_name(const struct http_head *h)
{
    return h->n_fields > 0 && h->fields[h->n_fields - 1].value == 0;
}

static int on_header_field(llhttp_t *l, const char *at, size_t len)
{
    struct http_parser *p = parser_of(l);
    struct http_field *f;

    if (p->head_done) /* a trailer; nobody asks for them */
        return HPE_OK;
    if (!in_name(&p->head) && add_field(p) != HPE_OK)
        return HPE_USER;
    f = &p->head.fields[p->head.n_fields - 1];
    if (len > (size_t)(UINT16_MAX - f->name_len))
        return fail(p, SIO_ERR_TOO_BIG, 431);
    f->name_len += (uint16_t)len;
    return add_text(p, at, len);
}

static int on_header_field_complete(llhttp_t *l)
{
    struct http_parser *p = parser_of(l);
    struct http_field *f;

    if (p->head_done)
        return HPE_OK;
    if (!in_name(&p->head))
        return fail(p, SIO_ERR_PARSE, 400);
    f = &p->head.fields[p->head.n_fields - 1];
    if (f->name_len == 0)
        return fail(p, SIO_ERR_PARSE, 400);
    f->value = p->head.text_len;
    return HPE_OK;
}

static int on_header_value(llhttp_t *l, const char *at, size_t len)
{
    struct http_parser *p = parser_of(l);

    if (p->head_done || p->head.n_fields == 0)
        return HPE_OK;
    p->head.fields[p->head.n_fields - 1].value_len += (uint32_t)len;
    return add_text(p, at, len);
}

static struct sio_str field_name(const struct http_head *h, const struct http_field *f)
{
    return (struct sio_str){h->text + f->name, f->name_len};
}

/* White space behind a value is not part of it. */
static void trim_values(struct http_head *h)
{
    for (uint32_t i = 0; i < h->n_fields; i++) {
        struct http_field *f = &h->fields[i];

        while (f->value_len > 0 && (h->text[f->value + f->value_len - 1] == ' ' ||
                                    h->text[f->value + f->value_len - 1] == '\t'))
            f->value_len--;
    }
}

/* uri-host [ ":" port ], roughly: what cannot be one never comes through. */
static bool host_is_legal(struct sio_str v)
{
    for (size_t i = 0; i < v.len; i++) {
        unsigned char c = (unsigned char)v.ptr[i];

        if (c <= ' ' || c >= 0x7f || strchr("/\\?#@,\"<>^`{|}", c))
            return false;
    }
    return true;
}

/* Exactly one Host in HTTP/1.1, at most one in HTTP/1.0 (RFC 9112, 3.2). */
static int check_host(struct http_parser *p)
{
    size_t i = 0;
    struct sio_str v;

    if (!http_head_find(&p->head, "host", &i, &v))
        return p->head.minor == 0 ? HPE_OK : fail(p, SIO_ERR_PARSE, 400);
    if (!host_is_legal(v) || http_head_find(&p->head, "host", &i, &v))
        return fail(p, SIO_ERR_PARSE, 400);
    return HPE_OK;
}

/* Chunked and nothing else, once, and not in HTTP/1.0 (RFC 9112, 6.1). */
static int check_codings(struct http_parser *p)
{
    size_t i = 0;
    struct sio_str v;

    if (!http_head_find(&p->head, "transfer-encoding", &i, &v))
        return HPE_OK;
    if (p->head.minor == 0 ||
        http_head_find(&p->head, "content-length", &(size_t){0}, &v))
        return fail(p, SIO_ERR_PARSE, 400);
    i = 0;
    http_head_find(&p->head, "transfer-encoding", &i, &v);
    if (!str_ieq(v, SIO_STR("chunked")))
        return fail(p, SIO_ERR_UNSUPPORTED, 501);
    if (http_head_find(&p->head, "transfer-encoding", &i, &v))
        return fail(p, SIO_ERR_PARSE, 400);
    p->head.chunked = true;
    return HPE_OK;
}

/* Only 100-continue is known (RFC 9110, 10.1.1), and HTTP/1.0 cannot mean it. */
static int check_expect(struct http_parser *p)
{
    size_t i = 0;
    struct sio_str v;

    if (p->head.minor == 0)
        return HPE_OK;
    while (http_head_find(&p->head, "expect", &i, &v)) {
        if (!str_ieq(v, SIO_STR("100-continue")))
            return fail(p, SIO_ERR_UNSUPPORTED, 417);
        p->head.expect_continue = true;
    }
    return HPE_OK;
}

static int on_headers_complete(llhttp_t *l)
{
    struct http_parser *p = parser_of(l);
    struct http_head *h = &p->head;

    if (l->http_major == 0)
        return fail(p, SIO_ERR_PARSE, 400);
    if (l->http_major != 1 || l->http_minor > 1)
        return fail(p, SIO_ERR_UNSUPPORTED, 505);
    if (p->response && (l->status_code < 100 || l->status_code > 999))
        return fail(p, SIO_ERR_PARSE, 400);
    h->minor = l->http_minor;
    h->status = l->status_code;
    h->upgrade = l->upgrade;
    h->has_length = (l->flags & F_CONTENT_LENGTH) != 0;
    h->content_length = h->has_length ? l->content_length : 0;
    h->keep_alive = llhttp_should_keep_alive(l) != 0;
    l->upgrade = 0; /* whether the protocol changes is decided above, not by llhttp */
    p->head_done = true;
    trim_values(h);
    if (check_codings(p) != HPE_OK ||
        (!p->response && (check_host(p) != HPE_OK || check_expect(p) != HPE_OK)))
        return HPE_USER;
    return HPE_PAUSED;
}

static int on_body(llhttp_t *l, const char *at, size_t len)
{
    struct http_parser *p = parser_of(l);
    int rv;

    p->body_bytes += len;
    rv = p->on_body((const uint8_t *)at, len, p->user);
    return rv == SIO_OK ? HPE_OK : fail(p, rv, 500);
}

static int on_message_complete(llhttp_t *l)
{
    parser_of(l)->message_done = true;
    return HPE_PAUSED;
}

static const llhttp_settings_t settings = {
    .on_url = on_url,
    .on_url_complete = on_url_complete,
    .on_header_field = on_header_field,
    .on_header_field_complete = on_header_field_complete,
    .on_header_value = on_header_value,
    .on_headers_complete = on_headers_complete,
    .on_body = on_body,
    .on_message_complete = on_message_complete,
};

static enum http_parser_step set_failed(struct http_parser *p)
{
    fail(p, SIO_ERR_PARSE, 400);
    p->stage = AT_ERROR;
    return HTTP_PARSER_FAILED;
}

static enum http_parser_step too_long(struct http_parser *p)
{
    fail(p, SIO_ERR_TOO_BIG, p->target_done || p->response ? 431 : 414);
    return set_failed(p);
}

static bool is_token_char(uint8_t c)
{
    return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') ||
           (c != 0 && strchr("!#$%&'*+-.^_`|~", c));
}

/* Empty lines before a request are skipped (RFC 9112, 2.2). */
static enum http_parser_step skip_lines(struct http_parser *p, const uint8_t *data,
                                        size_t len, size_t *used)
{
    size_t i = 0;

    for (; i < len; i++) {
        bool lf_due = p->last == '\r';

        if (data[i] != '\r' && data[i] != '\n' && !lf_due)
            break;
        if ((data[i] == '\n') != lf_due)
            return set_failed(p);
        p->last = data[i];
        if (++p->head_bytes > p->limits.max_head)
            return too_long(p);
    }
    *used += i;
    if (i < len) {
        p->last = 0;
        p->stage = p->response ? IN_HEAD : IN_METHOD;
    }
    return HTTP_PARSER_MORE;
}

/*
 * The method is read here, because llhttp refuses those that it has no name for, and
 * treats some specially; it is shown a GET.
 */
static enum http_parser_step read_method(struct http_parser *p, const uint8_t *data,
                                         size_t len, size_t *used)
{
    struct http_head *h = &p->head;
    size_t i = 0;

    while (i < len && is_token_char(data[i]))
        i++;
    if (h->method_len + i > MAX_METHOD)
        return set_failed(p);
    if (add_text(p, (const char *)data, i) != HPE_OK)
        return set_failed(p);
    h->method_len += (uint16_t)i;
    *used += i;
    p->head_bytes += (uint32_t)i;
    if (i == len)
        return HTTP_PARSER_MORE;
    if (data[i] != ' ' || h->method_len == 0)
        return set_failed(p);
    ++*used;
    p->head_bytes++;
    h->target = h->text_len;
    p->last = '\n'; /* what begins here begins with no blank either */
    p->stage = IN_HEAD;
    return llhttp_execute(&p->llhttp, "GET ", 4) == HPE_OK ? HTTP_PARSER_MORE
                                                           : set_failed(p);
}

/*
 * Lines end with CR LF, and no line begins with a blank (RFC 9112, 2.2 and 5.2).  llhttp
 * lets some of that pass.
 */
static bool lines_are_strict(struct http_parser *p, const uint8_t *data, size_t len)
{
    while (len > 0) {
        const uint8_t *cr = memchr(data, '\r', len);
        size_t n = cr ? (size_t)(cr - data) + 1 : len;

        if (p->last == '\r') /* the line feed is due */
            n = 1;
        if ((p->last == '\r') != (*data == '\n') ||
            (p->last == '\n' && (*data == ' ' || *data == '\t')) ||
            memchr(data + 1, '\n', n - 1))
            return false;
        p->last = data[n - 1];
        data += n;
        len -= n;
    }
    return true;
}

static size_t bytes_used(struct http_parser *p, llhttp_errno_t err, const uint8_t *data,
                         size_t len)
{
    const char *pos = llhttp_get_error_pos(&p->llhttp);

    if (err == HPE_OK || !pos)
        return len;
    return (size_t)(pos - (const char *)data);
}

static enum http_parser_step read_head(struct http_parser *p, const uint8_t *data,
                                       size_t len, size_t *used)
{
    size_t room = p->limits.max_head - p->head_bytes;
    size_t n = len < room ? len : room;
    llhttp_errno_t err = llhttp_execute(&p->llhttp, (const char *)data, n);

    n = bytes_used(p, err, data, n);
    if (!lines_are_strict(p, data, n)) { /* it came before whatever llhttp found */
        p->error = SIO_OK;
        return set_failed(p);
    }
    if (err == HPE_INVALID_VERSION)
        fail(p, SIO_ERR_UNSUPPORTED, 505);
    if (err != HPE_OK && err != HPE_PAUSED)
        return set_failed(p);
    *used += n;
    p->head_bytes += (uint32_t)n;
    if (err == HPE_OK)
        return n < len ? too_long(p) : HTTP_PARSER_MORE;
    llhttp_resume(&p->llhttp);
    p->stage = IN_BODY;
    return HTTP_PARSER_HEAD;
}

static enum http_parser_step read_body(struct http_parser *p, const uint8_t *data,
                                       size_t len, size_t *used)
{
    uint64_t before = p->body_bytes;
    llhttp_errno_t err = llhttp_execute(&p->llhttp, (const char *)data, len);
    size_t n;

    if (err != HPE_OK && err != HPE_PAUSED)
        return set_failed(p);
    n = bytes_used(p, err, data, len);
    *used += n;
    p->overhead_bytes += n - (p->body_bytes - before);
    if (p->overhead_bytes >
        p->limits.max_head + p->body_bytes * MAX_OVERHEAD_PER_BYTE) {
        fail(p, SIO_ERR_TOO_BIG, 400);
        return set_failed(p);
    }
    if (!p->message_done)
        return HTTP_PARSER_MORE;
    p->stage = AT_END;
    return HTTP_PARSER_DONE;
}

enum http_parser_step http_parser_feed(struct http_parser *p, const uint8_t *data,
                                       size_t len, size_t *used)
{
    static const uint8_t none[1];
    enum http_parser_step step = HTTP_PARSER_MORE;

    *used = 0;
    if (len == 0)
        data = none; /* llhttp wants a pointer */
    if (p->stage == IN_BODY)
        return read_body(p, data, len, used);
    if (p->stage == AT_START)
        step = skip_lines(p, data, len, used);
    if (step == HTTP_PARSER_MORE && p->stage == IN_METHOD)
        step = read_method(p, data + *used, len - *used, used);
    if (step == HTTP_PARSER_MORE && p->stage == IN_HEAD && *used < len)
        step = read_head(p, data + *used, len - *used, used);
    if (p->stage == AT_ERROR)
        step = HTTP_PARSER_FAILED;
    return step;
}

enum http_parser_step http_parser_finish(struct http_parser *p)
{
    llhttp_errno_t err;

    if (p->stage == AT_END)
        return HTTP_PARSER_DONE;
    if (p->stage != IN_BODY)
        return set_failed(p);
    err = llhttp_finish(&p->llhttp);
    if ((err != HPE_OK && err != HPE_PAUSED) || !p->message_done)
        return set_failed(p);
    p->stage = AT_END;
    return HTTP_PARSER_DONE;
}

void http_parser_skip_body(struct http_parser *p)
{
    p->llhttp.flags |= F_SKIPBODY;
}

struct http_parser *http_parser_new(bool response,
                                    const struct http_parser_limits *limits,
                                    http_body_cb body_cb, void *user)
{
    struct http_parser *p = mem_new(struct http_parser);

    if (!p)
        return NULL;
    llhttp_init(&p->llhttp, response ? HTTP_RESPONSE : HTTP_REQUEST, &settings);
    p->limits = *limits;
    if (p->limits.max_target == 0)
        p->limits.max_target = p->limits.max_head;
    p->on_body = body_cb;
    p->user = user;
    p->response = response;
    p->target_done = response;
    return p;
}

void http_parser_free(struct http_parser *p)
{
    if (!p)
        return;
    mem_free(p->head.text);
    mem_free(p->head.fields);
    mem_free(p);
}

const struct http_head *http_parser_head(const struct http_parser *p)
{
    return &p->head;
}

int http_parser_status(const struct http_parser *p)
{
    return p->status;
}

int http_parser_error(const struct http_parser *p)
{
    return p->error;
}

/* A response without fields has no text at all. */
static struct sio_str text_at(const struct http_head *h, uint32_t at, uint32_t len)
{
    return (struct sio_str){len > 0 ? h->text + at : "", len};
}

struct sio_str http_head_method(const struct http_head *h)
{
    return text_at(h, 0, h->method_len);
}

struct sio_str http_head_target(const struct http_head *h)
{
    return text_at(h, h->target, h->target_len);
}

bool http_head_find(const struct http_head *h, const char *name, size_t *i,
                    struct sio_str *value)
{
    struct sio_str wanted = sio_str_from(name);

    for (; *i < h->n_fields; ++*i) {
        const struct http_field *f = &h->fields[*i];

        if (f->name_len == wanted.len && str_ieq(field_name(h, f), wanted)) {
            *value = (struct sio_str){h->text + f->value, f->value_len};
            ++*i;
            return true;
        }
    }
    return false;
}
