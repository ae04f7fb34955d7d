#include <config.h>

#include "socketio/packet.h"

#include <assert.h>

#include "base/list.h"
#include "base/mem.h"
#include "base/str.h"

/* Reads digits off the front of *s.  False if there are none or they are too many. */
static bool cut_number(struct sio_str *s, uint64_t max, uint64_t *out)
{
    struct sio_str digits = {s->ptr, 0};

    while (digits.len < s->len && s->ptr[digits.len] >= '0' &&
           s->ptr[digits.len] <= '9')
        digits.len++;
    if (digits.len == 0 || str_to_u64(digits, max, out) < 0)
        return false;
    s->ptr += digits.len;
    s->len -= digits.len;
    return true;
}

static int cut_attachments(struct sio_str *s, uint32_t max, struct sio_packet *out)
{
    uint64_t n;

    if (!cut_number(s, UINT32_MAX, &n) || s->len == 0 || s->ptr[0] != '-')
        return SIO_ERR_PARSE;
    s->ptr++;
    s->len--;
    if (n > max)
        return SIO_ERR_TOO_BIG;
    out->n_attachments = (uint32_t)n;
    return SIO_OK;
}

static void cut_nsp(struct sio_str *s, struct sio_packet *out)
{
    if (s->len == 0 || s->ptr[0] != '/') {
        out->nsp = SIO_STR("/");
        return;
    }
    out->nsp = str_cut(s, ',');
    if (!s->ptr)
        s->len = 0;
}

bool sio_event_name_reserved(struct sio_str name)
{
    static const struct sio_str reserved[] = {
        SIO_STR_INIT("connect"),     SIO_STR_INIT("connect_error"),
        SIO_STR_INIT("disconnect"),  SIO_STR_INIT("disconnecting"),
        SIO_STR_INIT("newListener"), SIO_STR_INIT("removeListener"),
    };

    for (size_t i = 0; i < N_ELEMENTS(reserved); i++)
        if (str_eq(name, reserved[i]))
            return true;
    return false;
}

/* The same for a name as it stands in JSON; an escape in it does not hide it. */
static bool raw_name_reserved(struct sio_str raw)
{
    struct wbuf w;
    struct sio_str name;
    bool reserved;

    if (json_string_plain(raw, &name))
        return sio_event_name_reserved(name);
    /* A name of 14 characters is at most 14 * 6 bytes of escapes and two quotes. */
    if (raw.len > 86)
        return false;
    wbuf_init(&w, 256);
    json_string_decode(raw, &w);
    reserved = w.error < 0 || sio_event_name_reserved(wbuf_str(&w));
    wbuf_fini(&w);
    return reserved;
}

int sio_packet_check_placeholders(const struct sio_packet *p)
{
    struct sio_placeholder_walk walk;
    struct sio_str num;
    uint32_t index;
    int rv;

    sio_placeholder_walk_init(&walk, p->json);
    while ((rv = sio_placeholder_next(&walk, &num, &index)) > 0)
        if (index >= p->n_attachments)
            return SIO_ERR_PROTOCOL;
    return rv;
}

static int parse_array(struct sio_packet *p)
{
    bool event = p->type == SIO_PACKET_EVENT || p->type == SIO_PACKET_BINARY_EVENT;
    int rv = json_array_cut(p->json, p->items, SIO_PACKET_ITEMS, &p->n_items);

    if (rv < 0)
        return rv;
    if (event) {
        enum json_type type;

        if (p->n_items == 0)
            return SIO_ERR_PARSE;
        type = json_type(p->items[0]);
        if (type != JSON_STRING && type != JSON_NUMBER)
            return SIO_ERR_PARSE;
        if (type == JSON_STRING && raw_name_reserved(p->items[0]))
            return SIO_ERR_PROTOCOL;
    }
    if (p->type == SIO_PACKET_BINARY_EVENT || p->type == SIO_PACKET_BINARY_ACK)
        return sio_packet_check_placeholders(p);
    return SIO_OK;
}

static int parse_value(const struct sio_packet *p)
{
    int rv = json_check(p->json);

    if (rv < 0)
        return rv;
    if (json_type(p->json) == JSON_OBJECT)
        return SIO_OK;
    /* Old servers say why in a bare string. */
    if (p->type == SIO_PACKET_CONNECT_ERROR && json_type(p->json) == JSON_STRING)
        return SIO_OK;
    return SIO_ERR_PARSE;
}

/* White space as JSON has it. */
static struct sio_str trim_json(struct sio_str s)
{
    static const char blanks[] = " \t\r\n";

    while (s.len > 0 && memchr(blanks, s.ptr[0], 4)) {
        s.ptr++;
        s.len--;
    }
    while (s.len > 0 && memchr(blanks, s.ptr[s.len - 1], 4))
        s.len--;
    return s;
}

static int parse_payload(struct sio_str rest, struct sio_packet *p)
{
    bool none = rest.len == 0;

    p->n_items = 0;
    p->json = none ? (struct sio_str){NULL, 0} : trim_json(rest);
    switch (p->type) {
    case SIO_PACKET_CONNECT: return none ? SIO_OK : parse_value(p);
    case SIO_PACKET_DISCONNECT: return none ? SIO_OK : SIO_ERR_PARSE;
    case SIO_PACKET_CONNECT_ERROR: return none ? SIO_ERR_PARSE : parse_value(p);
    case SIO_PACKET_EVENT:
    case SIO_PACKET_ACK:
    case SIO_PACKET_BINARY_EVENT:
    case SIO_PACKET_BINARY_ACK: return none ? SIO_ERR_PARSE : parse_array(p);
    }
    return SIO_ERR_PARSE;
}

int sio_packet_parse(struct sio_str text, uint32_t max_attachments,
                     struct sio_packet *out)
{
    struct sio_str rest = text;
    int rv;

    if (text.len == 0 || text.ptr[0] < '0' || text.ptr[0] > '0' + SIO_PACKET_BINARY_ACK)
        return SIO_ERR_PARSE;
    out->type = (enum sio_packet_type)(text.ptr[0] - '0');
    out->n_attachments = 0;
    out->has_id = false;
    out->id = 0;
    rest.ptr++;
    rest.len--;
    if (sio_packet_is_binary(text)) {
        rv = cut_attachments(&rest, max_attachments, out);
        if (rv < 0)
            return rv;
    }
    cut_nsp(&rest, out);
    if (rest.len > 0 && rest.ptr[0] >= '0' && rest.ptr[0] <= '9') {
        if (!cut_number(&rest, UINT64_MAX, &out->id))
            return SIO_ERR_PARSE;
        out->has_id = true;
    }
    return parse_payload(rest, out);
}

bool sio_nsp_valid(struct sio_str name)
{
    return name.len > 0 && name.ptr[0] == '/' && str_find(name, ',') == name.len;
}

static struct sio_slice borrowed(const void *p, size_t len)
{
    struct sio_slice s = {NULL, p, len};

    return s;
}

void sio_packet_head_make(struct sio_packet_head *h, enum sio_packet_type type,
                          uint32_t n_attachments, struct sio_str nsp, bool has_id,
                          uint64_t id)
{
    bool binary = type == SIO_PACKET_BINARY_EVENT || type == SIO_PACKET_BINARY_ACK;
    size_t n = 1;

    h->type[0] = (char)('0' + type);
    if (binary) {
        n += str_from_u64(n_attachments, h->type + n);
        h->type[n++] = '-';
    }
    h->n_slices = 0;
    h->slices[h->n_slices++] = borrowed(h->type, n);
    n = 0;
    if (nsp.len > 1) {
        h->slices[h->n_slices++] = borrowed(nsp.ptr, nsp.len);
        h->id[n++] = ',';
    }
    if (has_id)
        n += str_from_u64(id, h->id + n);
    if (n > 0)
        h->slices[h->n_slices++] = borrowed(h->id, n);
}

/* Which member's value comes. */
enum { KEY_OTHER, KEY_PLACEHOLDER, KEY_NUM };

/* Cuts the string, number or word that *s begins with, off it. */
static struct sio_str cut_scalar(struct sio_str *s)
{
    struct sio_str token = {s->ptr, 1};

    if (s->ptr[0] == '"') {
        while (token.len < s->len && s->ptr[token.len] != '"')
            token.len += s->ptr[token.len] == '\\' ? 2 : 1;
        token.len++;
    } else {
        while (token.len < s->len && !memchr(",]} \t\r\n", s->ptr[token.len], 7))
            token.len++;
    }
    assert(token.len <= s->len);
    s->ptr += token.len;
    s->len -= token.len;
    return token;
}

static void take_scalar(struct sio_placeholder_walk *w, struct sio_str token)
{
    struct sio_placeholder_frame *f;

    if (w->depth == 0)
        return;
    f = &w->frames[w->depth - 1];
    if (w->at_key) {
        w->key = json_string_eq(token, SIO_STR("_placeholder")) ? KEY_PLACEHOLDER
                 : json_string_eq(token, SIO_STR("num"))        ? KEY_NUM
                                                                : KEY_OTHER;
        w->at_key = false;
        return;
    }
    if (f->object && w->key == KEY_PLACEHOLDER)
        f->marked = str_eq_cstr(token, "true");
    if (f->object && w->key == KEY_NUM)
        f->num = token;
    w->key = KEY_OTHER;
}

static int enter(struct sio_placeholder_walk *w, bool object)
{
    struct sio_placeholder_frame *f;

    if (w->depth > 0) {
        /* A later member of the same name wins, whatever it is. */
        f = &w->frames[w->depth - 1];
        if (f->object && w->key == KEY_PLACEHOLDER)
            f->marked = false;
        if (f->object && w->key == KEY_NUM)
            f->num.ptr = NULL;
    }
    if (w->depth > JSON_MAX_DEPTH)
        return SIO_ERR_TOO_BIG;
    f = &w->frames[w->depth++];
    f->object = object;
    f->marked = false;
    f->occupied = false;
    f->num.ptr = NULL;
    f->num.len = 0;
    w->at_key = object;
    w->key = KEY_OTHER;
    return SIO_OK;
}

bool sio_placeholder_num(struct sio_str num, uint32_t *index)
{
    double d;

    if (!num.ptr || json_type(num) != JSON_NUMBER || !json_number(num, &d))
        return false;
    if (!(d >= 0 && d < (double)INT32_MAX) || d != (double)(uint32_t)d)
        return false;
    *index = (uint32_t)d;
    return true;
}

/* 1: what ended here is a placeholder. */
static int leave(struct sio_placeholder_walk *w, struct sio_str *num, uint32_t *index)
{
    struct sio_placeholder_frame *f = &w->frames[--w->depth];

    w->at_key = false;
    if (w->depth > 0 && (f->marked || f->occupied))
        w->frames[w->depth - 1].occupied = true;
    if (!f->marked)
        return 0;
    if (f->occupied || !sio_placeholder_num(f->num, index))
        return SIO_ERR_PROTOCOL;
    *num = f->num;
    return 1;
}

void sio_placeholder_walk_init(struct sio_placeholder_walk *w, struct sio_str json)
{
    /* The frames are set as they are entered: no need to clear them all. */
    w->rest = json;
    w->depth = 0;
    w->at_key = false;
    w->key = KEY_OTHER;
}

int sio_placeholder_next(struct sio_placeholder_walk *w, struct sio_str *num,
                         uint32_t *index)
{
    struct sio_str *s = &w->rest;
    int rv = 0;

    while (s->len > 0 && rv == 0) {
        char c = s->ptr[0];

        switch (c) {
        case '{':
        case '[': rv = enter(w, c == '{'); break;
        case '}':
        case ']': rv = leave(w, num, index); break;
        case ',': w->at_key = w->depth > 0 && w->frames[w->depth - 1].object; break;
        case ':':
        case ' ':
        case '\t':
        case '\r':
        case '\n': break;
        default: take_scalar(w, cut_scalar(s)); continue;
        }
        s->ptr++;
        s->len--;
    }
    return rv;
}

int64_t sio_placeholder_index(struct sio_str value)
{
    struct sio_str member;
    uint32_t index;

    if (value.len == 0 || json_type(value) != JSON_OBJECT)
        return -1;
    if (!json_get(value, "_placeholder", &member) || json_type(member) != JSON_TRUE)
        return -1;
    if (!json_get(value, "num", &member) || !sio_placeholder_num(member, &index))
        return -1;
    return index;
}

int sio_assembly_new(struct sio_slice text, uint32_t max_attachments, size_t max_bytes,
                     struct sio_assembly **out)
{
    struct sio_packet packet;
    struct sio_slice held;
    struct sio_assembly *a;
    int rv = sio_slice_hold(text, &held);

    if (rv < 0)
        return rv;
    rv = sio_packet_parse((struct sio_str){(const char *)held.ptr, held.len},
                          max_attachments, &packet);
    if (rv < 0)
        goto unhold;
    a = mem_alloc(sizeof(*a) + packet.n_attachments * sizeof(a->parts[0]));
    if (!a) {
        rv = SIO_ERR_NOMEM;
        goto unhold;
    }
    a->packet = packet;
    a->text = held;
    a->bytes = held.len;
    a->max_bytes = max_bytes;
    *out = a;
    return SIO_OK;

unhold:
    sio_buf_unref(held.buf);
    return rv;
}

void sio_assembly_free(struct sio_assembly *a)
{
    if (!a)
        return;
    for (uint32_t i = 0; i < a->n_parts; i++)
        sio_buf_unref(a->parts[i].buf);
    sio_buf_unref(a->text.buf);
    mem_free(a);
}

int sio_assembly_add(struct sio_assembly *a, struct sio_slice part)
{
    int rv;

    assert(!sio_assembly_complete(a));
    if (a->bytes > a->max_bytes || part.len > a->max_bytes - a->bytes)
        return SIO_ERR_TOO_BIG;
    rv = sio_slice_hold(part, &a->parts[a->n_parts]);
    if (rv < 0)
        return rv;
    a->bytes += part.len;
    a->n_parts++;
    return SIO_OK;
}
