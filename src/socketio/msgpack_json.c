#include <config.h>

#include <math.h>
#include <stdio.h>
#include <time.h>

#include "base/json.h"
#include "base/mem.h"
#include "base/str.h"
#include "socketio/msgpack.h"
#include "socketio/packet.h"

/*
 * To JSON
 */

struct to_json_frame {
    uint32_t left; /* items or members that are still to come */
    bool map;
    bool any; /* something was written in it */
};

struct to_json {
    struct sio_msgpack_reader *r;
    struct wbuf *w;
    struct sio_msgpack_bins *bins;
    unsigned depth;
    struct to_json_frame frames[JSON_MAX_DEPTH];
};

void sio_msgpack_bins_fini(struct sio_msgpack_bins *b)
{
    mem_free(b->items);
    b->items = NULL;
    b->n = 0;
    b->cap = 0;
}

static int add_bin(struct sio_msgpack_bins *b, struct sio_slice s)
{
    if (b->n == b->max)
        return SIO_ERR_TOO_BIG;
    if (b->n == b->cap) {
        uint32_t cap = b->cap + b->cap / 2 + 4;
        struct sio_slice *items = mem_resize(b->items, cap, sizeof(*items));

        if (!items)
            return SIO_ERR_NOMEM;
        b->items = items;
        b->cap = cap;
    }
    b->items[b->n++] = s;
    return SIO_OK;
}

static int write_bin(struct to_json *j, struct sio_slice s)
{
    wbuf_add_cstr(j->w, "{\"_placeholder\":true,\"num\":");
    wbuf_add_u64(j->w, j->bins->n);
    wbuf_add_byte(j->w, '}');
    return add_bin(j->bins, s);
}

/* As Date.prototype.toISOString; what it has no text for is null. */
static void write_date(struct wbuf *w, int64_t s, uint32_t ms)
{
    const int64_t max_s = 8640000000000; /* 275 760 years around 1970 */
    time_t t = (time_t)s;
    struct tm tm;
    int year;

    if (s < -max_s || s > max_s || (s == max_s && ms > 0) || !gmtime_r(&t, &tm)) {
        wbuf_add_cstr(w, "null");
        return;
    }
    year = tm.tm_year + 1900;
    if (year >= 0 && year <= 9999)
        wbuf_addf(w, "\"%04d", year);
    else
        wbuf_addf(w, "\"%+07d", year);
    wbuf_addf(w, "-%02d-%02dT%02d:%02d:%02d.%03uZ\"", tm.tm_mon + 1, tm.tm_mday,
              tm.tm_hour, tm.tm_min, tm.tm_sec, (unsigned)ms);
}

static uint64_t big_endian(const uint8_t *p, size_t n)
{
    uint64_t v = 0;

    while (n-- > 0)
        v = v << 8 | *p++;
    return v;
}

/* The specification's timestamp.  False if it is none. */
static bool write_timestamp(struct wbuf *w, const struct sio_msgpack_token *t)
{
    const uint8_t *p = t->bytes.ptr;
    uint64_t v, ns = 0;
    int64_t s;

    switch (t->bytes.len) {
    case 4: s = (int64_t)big_endian(p, 4); break;
    case 8:
        v = big_endian(p, 8);
        ns = v >> 34;
        s = (int64_t)(v & 0x3ffffffff);
        break;
    case 12:
        ns = big_endian(p, 4);
        s = (int64_t)big_endian(p + 4, 8);
        break;
    default: return false;
    }
    if (ns > 999999999)
        return false;
    write_date(w, s, (uint32_t)(ns / 1000000));
    return true;
}

/* What the reference peers call a date: milliseconds. */
static void write_js_date(struct wbuf *w, const struct sio_msgpack_token *t)
{
    int64_t ms = (int64_t)big_endian(t->bytes.ptr, 8);
    int64_t s = ms / 1000;
    int64_t rest = ms % 1000;

    if (rest < 0) {
        rest += 1000;
        s--;
    }
    write_date(w, s, (uint32_t)rest);
}

static int write_ext(struct to_json *j, const struct sio_msgpack_token *t)
{
    int rv;

    if (t->ext == 0 && !t->fixed) /* an ArrayBuffer */
        return write_bin(j, t->bytes);
    if (t->ext == 0 && t->bytes.len == 1) { /* undefined */
        wbuf_add_cstr(j->w, "null");
        return SIO_OK;
    }
    if (t->ext == 0 && t->bytes.len == 8) {
        write_js_date(j->w, t);
        return SIO_OK;
    }
    if (t->ext == -1 && write_timestamp(j->w, t))
        return SIO_OK;
    wbuf_addf(j->w, "[%d,", t->ext);
    rv = write_bin(j, t->bytes);
    wbuf_add_byte(j->w, ']');
    return rv;
}

static void write_int(struct wbuf *w, int64_t n)
{
    wbuf_add_byte(w, '-');
    wbuf_add_u64(w, -(uint64_t)n);
}

static int open_frame(struct to_json *j, const struct sio_msgpack_token *t)
{
    bool map = t->kind == SIO_MSGPACK_MAP;

    if (j->depth == JSON_MAX_DEPTH)
        return SIO_ERR_TOO_BIG;
    j->frames[j->depth++] = (struct to_json_frame){.left = t->n, .map = map};
    wbuf_add_byte(j->w, map ? '{' : '[');
    return SIO_OK;
}

static struct sio_str str_of(const struct sio_msgpack_token *t)
{
    return (struct sio_str){(const char *)t->bytes.ptr, t->bytes.len};
}

static int write_value(struct to_json *j)
{
    struct sio_msgpack_token t;
    int rv = sio_msgpack_next(j->r, &t);

    if (rv < 0)
        return rv;
    switch (t.kind) {
    case SIO_MSGPACK_NIL: wbuf_add_cstr(j->w, "null"); break;
    case SIO_MSGPACK_BOOL: wbuf_add_cstr(j->w, t.u ? "true" : "false"); break;
    case SIO_MSGPACK_UINT: wbuf_add_u64(j->w, t.u); break;
    case SIO_MSGPACK_INT: write_int(j->w, t.i); break;
    case SIO_MSGPACK_DOUBLE: json_write_double(j->w, t.d); break;
    case SIO_MSGPACK_STRING: json_write_string(j->w, str_of(&t)); break;
    case SIO_MSGPACK_BINARY: return write_bin(j, t.bytes);
    case SIO_MSGPACK_EXT: return write_ext(j, &t);
    case SIO_MSGPACK_ARRAY:
    case SIO_MSGPACK_MAP: return open_frame(j, &t);
    }
    return SIO_OK;
}

static bool is_key(const struct sio_msgpack_token *t)
{
    return t->kind <= SIO_MSGPACK_STRING;
}

static void write_key(struct to_json *j, const struct sio_msgpack_token *t)
{
    if (t->kind == SIO_MSGPACK_STRING) {
        if (sio_msgpack_string_eq(t, "_placeholder"))
            j->bins->lookalike = true;
        json_write_string(j->w, str_of(t));
        wbuf_add_byte(j->w, ':');
        return;
    }
    wbuf_add_byte(j->w, '"');
    switch (t->kind) {
    case SIO_MSGPACK_NIL: wbuf_add_cstr(j->w, "null"); break;
    case SIO_MSGPACK_BOOL: wbuf_add_cstr(j->w, t->u ? "true" : "false"); break;
    case SIO_MSGPACK_UINT: wbuf_add_u64(j->w, t->u); break;
    case SIO_MSGPACK_INT: write_int(j->w, t->i); break;
    case SIO_MSGPACK_DOUBLE: json_write_double(j->w, t->d); break;
    case SIO_MSGPACK_STRING:
    case SIO_MSGPACK_BINARY:
    case SIO_MSGPACK_EXT:
    case SIO_MSGPACK_ARRAY:
    case SIO_MSGPACK_MAP: break; /* no keys */
    }
    wbuf_add_cstr(j->w, "\":");
}

/* Passes a value that says `undefined`, if that is what comes. */
static bool pass_undefined(struct sio_msgpack_reader *r)
{
    if (r->end - r->p < 3 || r->p[0] != 0xd4 || r->p[1] != 0)
        return false;
    r->p += 3;
    return true;
}

/* Up to where a value belongs next.  0: all is closed. */
static int next_place(struct to_json *j)
{
    while (j->depth > 0) {
        struct to_json_frame *f = &j->frames[j->depth - 1];
        struct sio_msgpack_token key;
        int rv;

        if (f->left == 0) {
            wbuf_add_byte(j->w, f->map ? '}' : ']');
            j->depth--;
            continue;
        }
        f->left--;
        if (f->map) {
            rv = sio_msgpack_next(j->r, &key);
            if (rv < 0)
                return rv;
            if (!is_key(&key)) /* also where its value is passed */
                return SIO_ERR_PARSE;
            if (pass_undefined(j->r))
                continue;
        }
        if (f->any)
            wbuf_add_byte(j->w, ',');
        f->any = true;
        if (f->map)
            write_key(j, &key);
        return 1;
    }
    return 0;
}

int sio_msgpack_to_json(struct sio_msgpack_reader *r, struct wbuf *json,
                        struct sio_msgpack_bins *bins)
{
    struct to_json j; /* frames are set as they are entered */
    int rv;

    j.r = r;
    j.w = json;
    j.bins = bins;
    j.depth = 0;
    do {
        rv = write_value(&j);
        if (rv == SIO_OK)
            rv = next_place(&j);
        if (rv >= 0 && json->error < 0)
            rv = json->error;
    } while (rv > 0);
    return rv;
}

/*
 * From JSON.  MessagePack says how many items come before they come, so the text is
 * gone through twice: first each container's items are counted.
 */

/*
 * An entry for each container, in the order in which they open: its items, or which
 * attachment it is.
 */
#define ENTRY_ATTACHMENT 0x80000000u

struct shape_frame {
    size_t entry;
    uint32_t n; /* items; in an object keys and values each count */
    bool object;
    uint8_t key;        /* which member's value comes */
    bool marked;        /* "_placeholder": true */
    struct sio_str num; /* "num" */
};

struct shape {
    uint32_t *entries;
    size_t n;
    size_t cap;
    uint32_t n_attachments;
    uint32_t n_placeholders;
    unsigned depth;
    struct shape_frame frames[JSON_MAX_DEPTH];
};

enum { KEY_OTHER, KEY_PLACEHOLDER, KEY_NUM };

static int add_entry(struct shape *s)
{
    if (s->n == s->cap) {
        size_t cap = s->cap + s->cap / 2 + 16;
        uint32_t *entries = mem_resize(s->entries, cap, sizeof(*entries));

        if (!entries)
            return SIO_ERR_NOMEM;
        s->entries = entries;
        s->cap = cap;
    }
    s->n++;
    return SIO_OK;
}

static uint8_t key_of(struct sio_str token)
{
    if (json_string_eq(token, SIO_STR("_placeholder")))
        return KEY_PLACEHOLDER;
    return json_string_eq(token, SIO_STR("num")) ? KEY_NUM : KEY_OTHER;
}

/* An item of the innermost container; of the members of one name the last counts. */
static void count_item(struct shape *s, struct sio_str token)
{
    struct shape_frame *f;

    if (s->depth == 0)
        return;
    f = &s->frames[s->depth - 1];
    if (f->object && s->n_attachments > 0) {
        if (f->n % 2 == 0)
            f->key = key_of(token);
        else if (f->key == KEY_PLACEHOLDER)
            f->marked = str_eq_cstr(token, "true");
        else if (f->key == KEY_NUM)
            f->num = token;
    }
    f->n++;
}

static int open_shape(struct shape *s, bool object)
{
    int rv = add_entry(s);

    if (rv < 0)
        return rv;
    s->frames[s->depth++] = (struct shape_frame){.entry = s->n - 1, .object = object};
    return SIO_OK;
}

static int close_shape(struct shape *s)
{
    struct shape_frame *f = &s->frames[--s->depth];
    uint32_t index;

    if (f->marked && sio_placeholder_num(f->num, &index) && index < s->n_attachments) {
        s->entries[f->entry] = ENTRY_ATTACHMENT | index;
        /* One attachment in a thousand places would be a thousand times its size. */
        return ++s->n_placeholders > s->n_attachments ? SIO_ERR_PROTOCOL : SIO_OK;
    }
    s->entries[f->entry] = f->object ? f->n / 2 : f->n;
    return SIO_OK;
}

/* json is checked: brackets match, and are not too deep. */
static int measure(struct shape *s, struct sio_str json)
{
    struct sio_str token;
    int rv = SIO_OK;

    while (rv == SIO_OK && json_token(&json, &token)) {
        switch (token.ptr[0]) {
        case '{':
        case '[':
            count_item(s, token);
            rv = open_shape(s, token.ptr[0] == '{');
            break;
        case '}':
        case ']': rv = close_shape(s); break;
        default: count_item(s, token); break;
        }
    }
    return rv;
}

void sio_msgpack_writer_init(struct sio_msgpack_writer *w, size_t copy_max)
{
    *w = (struct sio_msgpack_writer){.copy_max = copy_max};
    wbuf_init(&w->bytes, UINT32_MAX);
}

void sio_msgpack_writer_fini(struct sio_msgpack_writer *w)
{
    wbuf_fini(&w->bytes);
    mem_free(w->refs);
}

static int add_ref(struct sio_msgpack_writer *w, struct sio_slice s)
{
    if (w->n_refs == w->cap_refs) {
        uint32_t cap = w->cap_refs + w->cap_refs / 2 + 4;
        struct sio_msgpack_ref *refs = mem_resize(w->refs, cap, sizeof(*refs));

        if (!refs)
            return SIO_ERR_NOMEM;
        w->refs = refs;
        w->cap_refs = cap;
    }
    w->refs[w->n_refs].at = w->bytes.len;
    w->refs[w->n_refs].slice = s;
    w->n_refs++;
    return SIO_OK;
}

static int add_attachment(struct sio_msgpack_writer *w, struct sio_slice s)
{
    if (s.len > UINT32_MAX)
        return SIO_ERR_TOO_BIG;
    sio_msgpack_add_binary_head(&w->bytes, (uint32_t)s.len);
    if (s.buf && s.len > w->copy_max)
        return add_ref(w, s);
    wbuf_add(&w->bytes, s.ptr, s.len);
    return SIO_OK;
}

/* A text with escapes is as long as it turns out, at most as it stands there. */
static void add_escaped(struct wbuf *w, struct sio_str raw)
{
    struct wbuf text;

    wbuf_init(&text, raw.len);
    json_string_decode(raw, &text);
    if (text.error < 0)
        w->error = text.error;
    else
        sio_msgpack_add_string(w, wbuf_str(&text));
    wbuf_fini(&text);
}

static bool digits_only(struct sio_str s)
{
    return s.len > 0 && s.len <= STR_U64_SIZE && s.ptr[0] >= '0' && s.ptr[0] <= '9';
}

static void add_number(struct wbuf *w, struct sio_str raw)
{
    struct sio_str digits = raw;
    bool negative = raw.ptr[0] == '-';
    uint64_t n;
    double d;

    if (negative) {
        digits.ptr++;
        digits.len--;
    }
    if (digits_only(digits) && str_to_u64(digits, UINT64_MAX, &n) == SIO_OK) {
        if (!negative) {
            sio_msgpack_add_uint(w, n);
            return;
        }
        if (n > 0 && n <= (uint64_t)INT64_MAX + 1) {
            sio_msgpack_add_int(w, (int64_t)-n);
            return;
        }
    }
    if (json_number(raw, &d))
        sio_msgpack_add_double(w, d);
    else
        w->error = SIO_ERR_NOMEM;
}

static void add_scalar(struct wbuf *w, struct sio_str raw)
{
    struct sio_str plain;

    switch (json_type(raw)) {
    case JSON_NULL: sio_msgpack_add_nil(w); break;
    case JSON_FALSE: sio_msgpack_add_bool(w, false); break;
    case JSON_TRUE: sio_msgpack_add_bool(w, true); break;
    case JSON_STRING:
        if (json_string_plain(raw, &plain))
            sio_msgpack_add_string(w, plain);
        else
            add_escaped(w, raw);
        break;
    case JSON_NUMBER: add_number(w, raw); break;
    case JSON_ARRAY:
    case JSON_OBJECT: break; /* measure and write_shape take them */
    }
}

/* Passes what is left of a container that has opened; returns the containers in it. */
static size_t pass_rest(struct sio_str *json)
{
    struct sio_str token;
    unsigned depth = 1;
    size_t n = 0;

    while (depth > 0 && json_token(json, &token)) {
        if (token.ptr[0] == '{' || token.ptr[0] == '[') {
            depth++;
            n++;
        } else if (token.ptr[0] == '}' || token.ptr[0] == ']') {
            depth--;
        }
    }
    return n;
}

static int write_shape(struct sio_msgpack_writer *w, const struct shape *s,
                       struct sio_str json, const struct sio_slice *attachments)
{
    struct sio_str token;
    size_t at = 0; /* the next container's entry */
    int rv = SIO_OK;

    while (rv == SIO_OK && json_token(&json, &token)) {
        char c = token.ptr[0];
        uint32_t entry;

        if (c == '}' || c == ']')
            continue;
        if (c != '{' && c != '[') {
            add_scalar(&w->bytes, token);
            continue;
        }
        entry = s->entries[at++];
        if (entry & ENTRY_ATTACHMENT) {
            at += pass_rest(&json);
            rv = add_attachment(w, attachments[entry & ~ENTRY_ATTACHMENT]);
        } else if (c == '{') {
            sio_msgpack_add_map(&w->bytes, entry);
        } else {
            sio_msgpack_add_array(&w->bytes, entry);
        }
    }
    return rv < 0 ? rv : w->bytes.error;
}

int sio_msgpack_add_json(struct sio_msgpack_writer *w, struct sio_str json,
                         const struct sio_slice *attachments, uint32_t n)
{
    struct shape s; /* frames are set as they are entered */
    int rv = json_check(json);

    if (rv < 0)
        return rv;
    s.entries = NULL;
    s.n = 0;
    s.cap = 0;
    s.n_attachments = n;
    s.n_placeholders = 0;
    s.depth = 0;
    rv = measure(&s, json);
    if (rv == SIO_OK)
        rv = write_shape(w, &s, json, attachments);
    mem_free(s.entries);
    return rv;
}

size_t sio_msgpack_slices(const struct sio_msgpack_writer *w, struct sio_buf *bytes,
                          struct sio_slice *out)
{
    const uint8_t *p = sio_buf_data(bytes);
    size_t at = 0;
    size_t n = 0;

    for (uint32_t i = 0; i < w->n_refs; i++) {
        out[n++] = (struct sio_slice){bytes, p + at, w->refs[i].at - at};
        out[n++] = w->refs[i].slice;
        at = w->refs[i].at;
    }
    out[n++] = (struct sio_slice){bytes, p + at, sio_buf_len(bytes) - at};
    return n;
}
