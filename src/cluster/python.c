#include <config.h>

#include "cluster/python.h"

#include "base/base64.h"
#include "base/json.h"
#include "base/list.h"
#include "base/mem.h"
#include "base/str.h"
#include "cluster/fields.h"
#include "socketio/event.h"

/*
 * Fields.
 */

static struct sio_python_msg *python_of(struct sio_cluster_msg *base)
{
    return container_of(base, struct sio_python_msg, base);
}

static size_t count_items(struct sio_str value)
{
    struct json_iter it = json_iter(value);
    struct sio_str key, item;
    size_t n = 0;

    while (json_next(&it, &key, &item))
        n++;
    return n;
}

/*
 * One name, or a list.  An empty list is nobody's name, and must not become everybody:
 * Python's servers fail on it, too.
 */
static int take_names(struct sio_cluster_msg *m, struct sio_str value,
                      struct sio_cluster_names *out)
{
    enum json_type type = json_type(value);

    if (type == JSON_NULL || (type == JSON_ARRAY && count_items(value) > 0))
        return sio_cluster_take_names(m, value, out);
    if (type != JSON_STRING && type != JSON_NUMBER)
        return SIO_ERR_PARSE;
    if (!out->items)
        out->items = mem_array(1, sizeof(*out->items));
    if (!out->items)
        return SIO_ERR_NOMEM;
    out->n = 1;
    out->items[0] = value;
    return type == JSON_NUMBER ? SIO_OK
                               : sio_cluster_take_string(m, value, &out->items[0]);
}

static int take_method(struct sio_python_msg *m, struct sio_str value)
{
    static const struct sio_str methods[] = {
        [SIO_PYTHON_EMIT] = SIO_STR_INIT("emit"),
        [SIO_PYTHON_CALLBACK] = SIO_STR_INIT("callback"),
        [SIO_PYTHON_DISCONNECT] = SIO_STR_INIT("disconnect"),
        [SIO_PYTHON_ENTER_ROOM] = SIO_STR_INIT("enter_room"),
        [SIO_PYTHON_LEAVE_ROOM] = SIO_STR_INIT("leave_room"),
        [SIO_PYTHON_CLOSE_ROOM] = SIO_STR_INIT("close_room"),
    };

    if (json_type(value) != JSON_STRING)
        return SIO_ERR_PARSE;
    for (size_t i = 0; i < N_ELEMENTS(methods); i++) {
        if (json_string_eq(value, methods[i])) {
            m->method = (enum sio_python_method)i;
            return SIO_OK;
        }
    }
    return SIO_ERR_PARSE;
}

static int take_event(struct sio_cluster_msg *m, struct sio_str value)
{
    return sio_cluster_take_text(m, value, &python_of(m)->event);
}

static int take_data(struct sio_cluster_msg *m, struct sio_str value)
{
    python_of(m)->data = value;
    return SIO_OK;
}

static int take_binary(struct sio_cluster_msg *m, struct sio_str value)
{
    python_of(m)->binary = json_type(value) == JSON_TRUE;
    return SIO_OK;
}

static int take_nsp(struct sio_cluster_msg *m, struct sio_str value)
{
    return sio_cluster_take_text(m, value, &python_of(m)->nsp);
}

static int take_sid(struct sio_cluster_msg *m, struct sio_str value)
{
    return sio_cluster_take_text(m, value, &m->sid);
}

static int take_room(struct sio_cluster_msg *m, struct sio_str value)
{
    return take_names(m, value, &m->rooms);
}

/* Nobody to skip is an empty list, too. */
static int take_skip(struct sio_cluster_msg *m, struct sio_str value)
{
    if (json_type(value) == JSON_ARRAY)
        return sio_cluster_take_names(m, value, &m->except);
    return take_names(m, value, &m->except);
}

static bool take_scalar(struct json_iter *it, struct sio_str *out)
{
    struct sio_str key;

    return json_next(it, &key, out) && out->len <= SIO_PYTHON_MAX_ECHO &&
           (json_type(*out) == JSON_STRING || json_type(*out) == JSON_NUMBER);
}

/* What could not be repeated is not answered: the event counts for more. */
static int take_callback(struct sio_cluster_msg *m, struct sio_str value)
{
    struct sio_python_callback *c = &python_of(m)->callback;
    struct json_iter it = json_iter(value);

    if (json_type(value) != JSON_ARRAY || count_items(value) != 3 ||
        !take_scalar(&it, &c->room) || !take_scalar(&it, &c->nsp) ||
        !take_scalar(&it, &c->id))
        memset(c, 0, sizeof(*c));
    return SIO_OK;
}

static const struct sio_cluster_field fields[] = {
    {SIO_STR_INIT("event"), take_event},
    {SIO_STR_INIT("data"), take_data},
    {SIO_STR_INIT("binary"), take_binary},
    {SIO_STR_INIT("namespace"), take_nsp},
    {SIO_STR_INIT("room"), take_room},
    {SIO_STR_INIT("skip_sid"), take_skip},
    {SIO_STR_INIT("sid"), take_sid},
    {SIO_STR_INIT("callback"), take_callback},
    {SIO_STR_INIT("host_id"), sio_cluster_take_uid},
    {SIO_STR_INIT(""), NULL},
};

static int take_fields(struct sio_python_msg *m, struct sio_str object)
{
    struct sio_str method;
    int rv;

    if (!json_get(object, "method", &method))
        return SIO_ERR_PARSE;
    rv = take_method(m, method);
    /* An answer is never for this server, which asks nothing. */
    if (rv < 0 || m->method == SIO_PYTHON_CALLBACK)
        return rv;
    rv = sio_cluster_text_room(&m->base, object);
    return rv < 0 ? rv : sio_cluster_take_object(&m->base, object, fields);
}

/*
 * Arguments.
 */

/* The bytes of one attachment, behind those before it. */
static int decode_attachment(struct sio_python_msg *m, struct sio_str value, size_t *at,
                             struct sio_slice *out)
{
    uint8_t *to = sio_buf_data(m->decoded) + *at;
    struct sio_str base64;
    int rv;

    if (json_type(value) != JSON_STRING)
        return SIO_ERR_PARSE;
    rv = sio_cluster_take_string(&m->base, value, &base64);
    if (rv < 0)
        return rv;
    *out = (struct sio_slice){m->decoded, to, 0};
    rv = base64_decode(base64.ptr, base64.len, to, &out->len);
    *at += out->len;
    return rv;
}

/* data is [what has placeholders, base64, base64...]. */
static int take_attachments(struct sio_python_msg *m, struct sio_str *args)
{
    size_t n = count_items(m->data);
    struct json_iter it = json_iter(m->data);
    struct sio_str key, value;
    size_t at = 0;
    int rv = SIO_OK;

    if (json_type(m->data) != JSON_ARRAY || !json_next(&it, &key, args))
        return SIO_ERR_PARSE;
    n--;
    if (n > SIO_PYTHON_MAX_ATTACHMENTS)
        return SIO_ERR_TOO_BIG;
    m->attachments = mem_array(n + 1, sizeof(*m->attachments));
    m->decoded = sio_buf_new(m->data.len);
    if (!m->attachments || !m->decoded)
        return SIO_ERR_NOMEM;
    for (size_t i = 0; i < n && rv == SIO_OK && json_next(&it, &key, &value); i++)
        rv = decode_attachment(m, value, &at, &m->attachments[i]);
    m->args.n_attachments = (uint32_t)n;
    return rv;
}

/*
 * A list is a list of arguments, anything else (as versions before 5.15.1 write it) is
 * the only one.  None alone stands for no argument at all.
 */
static int make_list(struct sio_python_msg *m, struct sio_str args, struct sio_str *out)
{
    struct json_iter it = json_iter(args);
    struct sio_str key, first;

    *out = args;
    if (json_type(args) == JSON_ARRAY) {
        if (count_items(args) != 1)
            return SIO_OK;
        json_next(&it, &key, &first);
        if (json_type(first) == JSON_NULL)
            *out = SIO_STR("[]");
        return SIO_OK;
    }
    if (json_type(args) == JSON_NULL) {
        *out = SIO_STR("[]");
        return SIO_OK;
    }
    wbuf_add_byte(&m->args_text, '[');
    wbuf_add_str(&m->args_text, args);
    wbuf_add_byte(&m->args_text, ']');
    *out = wbuf_str(&m->args_text);
    return m->args_text.error;
}

static int take_args(struct sio_python_msg *m)
{
    struct sio_packet *p = &m->args;
    struct sio_str args = m->data.ptr ? m->data : SIO_STR("null");
    int rv = SIO_OK;

    p->type = SIO_PACKET_ACK;
    if (m->binary) {
        p->type = SIO_PACKET_BINARY_ACK;
        rv = take_attachments(m, &args);
    }
    if (rv == SIO_OK)
        rv = make_list(m, args, &p->json);
    if (rv == SIO_OK)
        rv = json_array_cut(p->json, p->items, SIO_PACKET_ITEMS, &p->n_items);
    return rv == SIO_OK && m->binary ? sio_packet_check_placeholders(p) : rv;
}

/*
 * Messages.
 */

/* Clients hang up on names that are reserved. */
static int check_event(struct sio_str name)
{
    if (!name.ptr)
        return SIO_ERR_PARSE;
    if (memchr(name.ptr, '\0', name.len) || sio_event_name_reserved(name))
        return SIO_ERR_PROTOCOL;
    return SIO_OK;
}

/* What a method cannot do without. */
static int check(struct sio_python_msg *m)
{
    bool one_room = m->base.rooms.n == 1;
    int rv;

    switch (m->method) {
    case SIO_PYTHON_EMIT: rv = check_event(m->event); return rv < 0 ? rv : take_args(m);
    case SIO_PYTHON_CALLBACK: return SIO_OK;
    case SIO_PYTHON_DISCONNECT: return m->base.sid.ptr ? SIO_OK : SIO_ERR_PARSE;
    case SIO_PYTHON_ENTER_ROOM:
    case SIO_PYTHON_LEAVE_ROOM:
        return m->base.sid.ptr && one_room ? SIO_OK : SIO_ERR_PARSE;
    case SIO_PYTHON_CLOSE_ROOM: return one_room ? SIO_OK : SIO_ERR_PARSE;
    }
    return SIO_ERR_PARSE;
}

int sio_python_read(struct sio_slice in, struct sio_python_msg *out)
{
    struct sio_str json = {(const char *)in.ptr, in.len};
    int rv;

    memset(out, 0, sizeof(*out));
    sio_cluster_msg_init(&out->base);
    wbuf_init(&out->args_text, UINT32_MAX);
    if (in.len == 0 || in.ptr[0] != '{')
        return SIO_ERR_UNSUPPORTED;
    rv = sio_cluster_check_object(json);
    if (rv == SIO_OK)
        rv = take_fields(out, json);
    if (rv < 0)
        return rv;
    if (!out->nsp.ptr)
        out->nsp = SIO_STR("/");
    return check(out);
}

void sio_python_msg_fini(struct sio_python_msg *m)
{
    sio_cluster_msg_fini(&m->base);
    mem_free(m->attachments);
    sio_buf_unref(m->decoded);
    wbuf_fini(&m->args_text);
}

int sio_python_show(const struct sio_python_msg *m,
                    void (*fn)(struct sio_event *e, void *user), void *user)
{
    struct sio_slice text = {NULL, (const uint8_t *)m->args.json.ptr, m->args.json.len};
    struct sio_event e;
    int rv = sio_event_init(&e, &m->args, text, m->attachments, NULL);

    /* Its packet holds arguments only, as an answer's does; the name stood elsewhere. */
    e.name = m->event;
    if (rv == SIO_OK)
        fn(&e, user);
    sio_event_fini(&e);
    return rv;
}

int sio_python_write_callback(struct wbuf *w, struct sio_str host_id,
                              const struct sio_python_callback *callback,
                              const struct sio_event *e)
{
    struct sio_slice args = sio_event_args(e, 0);

    if (sio_event_n_attachments(e) > 0)
        return SIO_ERR_UNSUPPORTED;
    wbuf_add_cstr(w, "{\"method\":\"callback\",\"host_id\":");
    json_write_string(w, host_id);
    wbuf_add_cstr(w, ",\"sid\":");
    wbuf_add_str(w, callback->room);
    wbuf_add_cstr(w, ",\"namespace\":");
    wbuf_add_str(w, callback->nsp);
    wbuf_add_cstr(w, ",\"id\":");
    wbuf_add_str(w, callback->id);
    wbuf_add_cstr(w, ",\"args\":[");
    wbuf_add(w, args.ptr, args.len);
    wbuf_add_cstr(w, "]}");
    return w->error;
}
