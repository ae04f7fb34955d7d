#include <config.h>

#include "hub/peers_wire.h"

#include "base/buf.h"
#include "base/str.h"
#include "base/utf8.h"

static const char *const type_names[HUB_WIRE_N_TYPES] = {
    [HUB_WIRE_BEAT] = "beat",       [HUB_WIRE_NUC] = "nuc",
    [HUB_WIRE_GONE] = "gone",       [HUB_WIRE_STATE] = "state",
    [HUB_WIRE_BYE] = "bye",         [HUB_WIRE_PICTURE] = "picture",
    [HUB_WIRE_ERROR] = "error",     [HUB_WIRE_ASK] = "ask",
    [HUB_WIRE_CAPTURE] = "capture", [HUB_WIRE_WATCH] = "watch",
    [HUB_WIRE_UNWATCH] = "unwatch", [HUB_WIRE_FRAME] = "frame",
    [HUB_WIRE_LOST] = "lost",
};

/*
 * Members of an object, by name.
 */

enum kind { KIND_TEXT, KIND_NUMBER, KIND_BOOL, KIND_STRING, KIND_ARRAY, KIND_ANY };

struct member {
    const char *name;
    enum kind kind;
    size_t offset;
    uint64_t max; /* of a number, of bytes of text */
};

/* Text that may stand in a log line, decoded. */
static int read_text(struct sio_str raw, char *out, size_t max)
{
    struct wbuf w;
    int rv;

    out[0] = '\0';
    if (json_type(raw) != JSON_STRING)
        return SIO_ERR_PARSE;
    wbuf_init(&w, max);
    json_string_decode(raw, &w);
    rv = w.error;
    for (size_t i = 0; rv == SIO_OK && i < w.len; i++)
        if (w.buf->data[i] < 0x20 || w.buf->data[i] == 0x7f)
            rv = SIO_ERR_PARSE;
    if (rv == SIO_OK && w.len > 0) {
        memcpy(out, w.buf->data, w.len);
        out[w.len] = '\0';
    }
    wbuf_fini(&w);
    return rv;
}

static int read_member(const struct member *m, struct sio_str value, char *to)
{
    enum json_type type = json_type(value);

    switch (m->kind) {
    case KIND_TEXT: return read_text(value, to, m->max);
    case KIND_NUMBER: return str_to_u64(value, m->max, (uint64_t *)(void *)to);
    case KIND_BOOL:
        *(bool *)to = type == JSON_TRUE;
        return type == JSON_TRUE || type == JSON_FALSE ? SIO_OK : SIO_ERR_PARSE;
    case KIND_STRING:
        if (type != JSON_STRING || value.len > m->max)
            return type == JSON_NULL ? SIO_OK : SIO_ERR_PARSE;
        break;
    case KIND_ARRAY:
        if (type != JSON_ARRAY)
            return SIO_ERR_PARSE;
        break;
    case KIND_ANY: break;
    }
    *(struct sio_str *)(void *)to = value;
    return SIO_OK;
}

/* One pass over the object; what is named twice counts as it was named last. */
static int read_object(struct sio_str object, const struct member *members, size_t n,
                       void *out)
{
    struct json_iter it = json_iter(object);
    struct sio_str key, value;
    int rv = json_type(object) == JSON_OBJECT ? SIO_OK : SIO_ERR_PARSE;

    while (rv == SIO_OK && json_next(&it, &key, &value))
        for (size_t i = 0; i < n && rv == SIO_OK; i++)
            if (json_string_eq(key, sio_str_from(members[i].name)))
                rv = read_member(&members[i], value, (char *)out + members[i].offset);
    return rv == SIO_ERR_NOMEM || rv == SIO_OK ? rv : SIO_ERR_PARSE;
}

/*
 * Messages.
 */

#define MEMBER(kind, field, max)                                \
    {                                                           \
#field, kind, offsetof(struct hub_wire_msg, field), max \
    }

static bool is_id(const char *s)
{
    for (const char *p = s; *p; p++)
        if (!((*p >= '0' && *p <= '9') || (*p >= 'a' && *p <= 'z') ||
              (*p >= 'A' && *p <= 'Z') || *p == '-' || *p == '_'))
            return false;
    return strlen(s) == RANDOM_ID_LEN;
}

/* What it cannot do without. */
static bool is_complete(const struct hub_wire_msg *m)
{
    bool has_ip = hub_registry_check_ip(sio_str_from(m->ip));

    switch (m->type) {
    case HUB_WIRE_NUC: return m->nucs.ptr != NULL;
    case HUB_WIRE_STATE:
        return m->nucs.ptr && m->part < m->parts && m->parts <= HUB_WIRE_PARTS_MAX;
    case HUB_WIRE_GONE: return m->nuc[0] != '\0';
    case HUB_WIRE_CAPTURE: return m->nuc[0] != '\0' && has_ip;
    case HUB_WIRE_PICTURE:
    case HUB_WIRE_ERROR:
    case HUB_WIRE_WATCH:
    case HUB_WIRE_UNWATCH: return has_ip;
    default: return true;
    }
}

static int read_checked(struct sio_str text, struct hub_wire_msg *out)
{
    static const struct member members[] = {
        MEMBER(KIND_TEXT, hub, RANDOM_ID_LEN),
        MEMBER(KIND_TEXT, name, HUB_WIRE_NAME_MAX),
        MEMBER(KIND_TEXT, nuc, HUB_ID_MAX),
        MEMBER(KIND_TEXT, ip, HUB_ID_MAX),
        MEMBER(KIND_NUMBER, config, HUB_WIRE_MAX_INT),
        MEMBER(KIND_NUMBER, version, HUB_WIRE_MAX_INT),
        MEMBER(KIND_NUMBER, part, HUB_WIRE_MAX_INT),
        MEMBER(KIND_NUMBER, parts, HUB_WIRE_MAX_INT),
        {"tag", KIND_NUMBER, offsetof(struct hub_wire_msg, notice.tag),
         HUB_WIRE_MAX_INT},
        {"put", KIND_NUMBER, offsetof(struct hub_wire_msg, notice.put),
         HUB_WIRE_MAX_INT},
        MEMBER(KIND_BOOL, hello, 0),
        MEMBER(KIND_BOOL, shown, 0),
        MEMBER(KIND_STRING, error, HUB_WIRE_ERROR_MAX),
        MEMBER(KIND_ARRAY, nucs, 0),
        MEMBER(KIND_ARRAY, heard, 0),
    };
    struct sio_str type;
    int rv;

    *out = (struct hub_wire_msg){.type = HUB_WIRE_N_TYPES};
    if (text.len < 2 || text.ptr[0] != '{' || text.ptr[text.len - 1] != '}' ||
        !utf8_check(text.ptr, text.len) || json_check(text) < 0)
        return SIO_ERR_PARSE;
    rv = read_object(text, members, N_ELEMENTS(members), out);
    if (rv < 0)
        return rv;
    if (!is_id(out->hub) || !json_get(text, "type", &type) ||
        json_type(type) != JSON_STRING)
        return SIO_ERR_PARSE;
    for (size_t i = 0; i < N_ELEMENTS(type_names); i++)
        if (json_string_eq(type, sio_str_from(type_names[i])))
            out->type = (enum hub_wire_type)i;
    return out->type != HUB_WIRE_N_TYPES && is_complete(out) ? SIO_OK : SIO_ERR_PARSE;
}

int hub_wire_read(struct sio_str text, struct hub_wire_msg *out)
{
    int rv = text.len <= HUB_WIRE_MAX ? read_checked(text, out) : SIO_ERR_TOO_BIG;

    if (rv == SIO_OK && (out->type == HUB_WIRE_FRAME || out->type == HUB_WIRE_LOST))
        rv = SIO_ERR_PARSE;
    return rv;
}

int hub_wire_read_frame(struct sio_slice body, struct hub_wire_msg *out,
                        struct sio_slice *jpeg)
{
    struct sio_str head = {(const char *)body.ptr, body.len};
    int rv;

    if (head.len > HUB_WIRE_HEAD_MAX)
        head.len = HUB_WIRE_HEAD_MAX;
    head.len = str_find(head, '\n');
    if (head.len >= body.len || head.len >= HUB_WIRE_HEAD_MAX)
        return SIO_ERR_PARSE;
    rv = read_checked(head, out);
    if (rv == SIO_OK && out->type != HUB_WIRE_FRAME && out->type != HUB_WIRE_LOST)
        rv = SIO_ERR_PARSE;
    *jpeg =
        (struct sio_slice){body.buf, body.ptr + head.len + 1, body.len - head.len - 1};
    return rv;
}

/*
 * Items.
 */

#undef MEMBER
#define MEMBER(kind, name, field, max)                        \
    {                                                         \
        name, kind, offsetof(struct hub_wire_nuc, field), max \
    }

int hub_wire_read_nuc(struct sio_str item, struct hub_wire_nuc *out)
{
    static const struct member members[] = {
        MEMBER(KIND_TEXT, "nuc", id, HUB_ID_MAX),
        MEMBER(KIND_TEXT, "ip_local", ip_local, HUB_ADDRESS_MAX),
        MEMBER(KIND_TEXT, "red", red, HUB_ADDRESS_MAX),
        MEMBER(KIND_NUMBER, "epoch", epoch, HUB_EPOCH_MAX),
        MEMBER(KIND_NUMBER, "connected", connected_us, HUB_WIRE_MAX_INT),
        MEMBER(KIND_NUMBER, "heartbeat", heartbeat_us, HUB_WIRE_MAX_INT),
        MEMBER(KIND_BOOL, "streams", streams, 0),
        MEMBER(KIND_ANY, "camaras", camaras, 0),
    };
    int rv;

    *out = (struct hub_wire_nuc){.epoch = 0};
    rv = read_object(item, members, N_ELEMENTS(members), out);
    if (rv < 0)
        return rv;
    return out->id[0] != '\0' && out->camaras.len <= HUB_CAMARAS_MAX_BYTES
               ? SIO_OK
               : SIO_ERR_PARSE;
}

int hub_wire_read_heard(struct sio_str item, char nuc[HUB_ID_MAX + 1], uint64_t *us)
{
    struct json_iter it = json_iter(item);
    struct sio_str key, id, number;

    if (json_type(item) != JSON_ARRAY || !json_next(&it, &key, &id) ||
        !json_next(&it, &key, &number) || read_text(id, nuc, HUB_ID_MAX) < 0)
        return SIO_ERR_PARSE;
    return str_to_u64(number, HUB_WIRE_MAX_INT, us) < 0 ? SIO_ERR_PARSE : SIO_OK;
}

/*
 * Writers.
 */

void hub_wire_begin(struct wbuf *w, enum hub_wire_type type, const char *hub)
{
    wbuf_addf(w, "{\"type\":\"%s\",\"hub\":\"%s\"", type_names[type], hub);
}

void hub_wire_text(struct wbuf *w, const char *name, const char *value)
{
    wbuf_addf(w, ",\"%s\":", name);
    json_write_string(w, sio_str_from(value));
}

void hub_wire_number(struct wbuf *w, const char *name, uint64_t value)
{
    wbuf_addf(w, ",\"%s\":%llu", name, (unsigned long long)value);
}

void hub_wire_true(struct wbuf *w, const char *name)
{
    wbuf_addf(w, ",\"%s\":true", name);
}

void hub_wire_end(struct wbuf *w)
{
    wbuf_add_byte(w, '}');
}

/* What one agent nests too deep must not make all of its hub's state unreadable. */
static bool nests_too_deep(struct sio_str json)
{
    struct sio_str token;
    int depth = 0;

    while (json_token(&json, &token)) {
        if (token.ptr[0] == '[' || token.ptr[0] == '{')
            depth++;
        else if (token.ptr[0] == ']' || token.ptr[0] == '}')
            depth--;
        if (depth > HUB_WIRE_MAX_DEPTH)
            return true;
    }
    return false;
}

static uint64_t positive(int64_t us)
{
    return us > 0 ? (uint64_t)us : 0;
}

void hub_wire_nuc(struct wbuf *w, const char *id, const struct hub_claim *c)
{
    struct sio_str camaras = {NULL, 0};

    wbuf_add_cstr(w, "{\"nuc\":");
    json_write_string(w, sio_str_from(id));
    hub_wire_number(w, "epoch", c->epoch);
    hub_wire_number(w, "connected", positive(c->connected_us));
    hub_wire_number(w, "heartbeat", positive(c->heartbeat_us));
    if (c->streams)
        hub_wire_true(w, "streams");
    hub_wire_text(w, "ip_local", c->ip_local);
    hub_wire_text(w, "red", c->red);
    if (c->camaras)
        camaras = (struct sio_str){(const char *)c->camaras->data, c->camaras->len};
    if (camaras.ptr && !nests_too_deep(camaras)) {
        wbuf_add_cstr(w, ",\"camaras\":");
        wbuf_add_str(w, camaras);
    }
    wbuf_add_byte(w, '}');
}

void hub_wire_heard(struct wbuf *w, const char *id, int64_t us)
{
    wbuf_add_byte(w, '[');
    json_write_string(w, sio_str_from(id));
    wbuf_addf(w, ",%llu]", (unsigned long long)positive(us));
}
