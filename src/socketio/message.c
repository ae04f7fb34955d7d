#include <config.h>

#include "socketio/message.h"

#include "base/list.h"
#include "base/mem.h"
#include "base/str.h"
#include "engineio/msg.h"
#include "socketio/event.h"
#include "socketio/tree.h"

/* Large bytes that stand in front of text[at]. */
struct reference {
    size_t at;
    struct sio_slice slice; /* owned */
};

struct sio_message {
    struct wbuf text;      /* `["event",arg,arg`, references left out */
    struct sio_buf *bytes; /* the same with its `]`, once sent; text is empty then */
    size_t name_len;       /* of `["event"` */
    struct reference *refs;
    uint32_t n_refs;
    uint32_t cap_refs;
    struct sio_slice *attachments; /* owned */
    uint32_t n_attachments;
    uint32_t cap_attachments;
    bool lookalike; /* relayed text has what would be taken for a placeholder */
    int error;      /* the first that a call met */
    struct eio_msg_options options;
    struct sio_str offset;   /* one more argument of events, without its quotes */
    struct eio_msg *encoded; /* as an event without id, by a parser, for encoded_nsp */
    const struct sio_parser *encoded_by;
    char *encoded_nsp;
    size_t encoded_nsp_len;
};

struct sio_message *sio_message_new(const char *event)
{
    struct sio_message *m = mem_new(struct sio_message);
    struct sio_str name = sio_str_from(event);

    if (!m)
        return NULL;
    if (sio_event_name_reserved(name)) /* the other side would hang up */
        m->error = SIO_ERR_INVAL;
    wbuf_init(&m->text, UINT32_MAX);
    wbuf_add_byte(&m->text, '[');
    json_write_string(&m->text, name);
    m->name_len = m->text.len;
    if (m->text.error < 0) {
        sio_message_free(m);
        return NULL;
    }
    return m;
}

void sio_message_free(struct sio_message *m)
{
    if (!m)
        return;
    for (uint32_t i = 0; i < m->n_refs; i++)
        sio_buf_unref(m->refs[i].slice.buf);
    for (uint32_t i = 0; i < m->n_attachments; i++)
        sio_buf_unref(m->attachments[i].buf);
    mem_free(m->refs);
    mem_free(m->attachments);
    mem_free(m->encoded_nsp);
    eio_msg_unref(m->encoded);
    sio_buf_unref(m->bytes);
    wbuf_fini(&m->text);
    mem_free(m);
}

static void fail(struct sio_message *m, int error)
{
    if (m->error == SIO_OK)
        m->error = error;
}

/* False once the message was sent: others may hold its bytes. */
static bool may_add(struct sio_message *m)
{
    if (m->bytes)
        fail(m, SIO_ERR_INVAL);
    return m->error == SIO_OK;
}

static int result(struct sio_message *m)
{
    if (m->text.error < 0)
        fail(m, m->text.error);
    return m->error;
}

/* Room for one more item; grows by half, from 4. */
static bool grow(void **items, uint32_t n, uint32_t *cap, size_t size)
{
    uint32_t more = *cap + *cap / 2 + 4;
    void *p;

    if (n < *cap)
        return true;
    if (more < *cap)
        return false;
    p = mem_resize(*items, more, size);
    if (!p)
        return false;
    *items = p;
    *cap = more;
    return true;
}

static void add_reference(struct sio_message *m, struct sio_slice s)
{
    void *items = m->refs;

    if (!grow(&items, m->n_refs, &m->cap_refs, sizeof(*m->refs))) {
        fail(m, SIO_ERR_NOMEM);
        return;
    }
    m->refs = items;
    sio_buf_ref(s.buf);
    m->refs[m->n_refs].at = m->text.len;
    m->refs[m->n_refs].slice = s;
    m->n_refs++;
}

static void add_attachment(struct sio_message *m, struct sio_slice bytes)
{
    void *items = m->attachments;

    if (!grow(&items, m->n_attachments, &m->cap_attachments, sizeof(*m->attachments)) ||
        m->n_attachments >= UINT16_MAX - 1) {
        fail(m, SIO_ERR_NOMEM);
        return;
    }
    m->attachments = items;
    if (sio_slice_hold(bytes, &m->attachments[m->n_attachments]) < 0) {
        fail(m, SIO_ERR_NOMEM);
        return;
    }
    m->n_attachments++;
}

void sio_message_begin(struct sio_message *m)
{
    if (may_add(m))
        wbuf_add_byte(&m->text, ',');
}

void sio_message_text(struct sio_message *m, struct sio_str piece)
{
    if (may_add(m))
        wbuf_add_str(&m->text, piece);
}

void sio_message_slice(struct sio_message *m, struct sio_slice piece)
{
    if (!may_add(m))
        return;
    if (piece.buf && piece.len > EIO_MSG_COPY_MAX)
        add_reference(m, piece);
    else
        wbuf_add(&m->text, piece.ptr, piece.len);
}

void sio_message_attachment(struct sio_message *m, struct sio_slice bytes)
{
    if (!may_add(m))
        return;
    wbuf_add_cstr(&m->text, "{\"_placeholder\":true,\"num\":");
    wbuf_add_u64(&m->text, m->n_attachments);
    wbuf_add_byte(&m->text, '}');
    add_attachment(m, bytes);
}

int sio_message_end(struct sio_message *m)
{
    return result(m);
}

int sio_message_add_json(struct sio_message *m, const cJSON *value)
{
    int rv;

    sio_message_begin(m);
    if (may_add(m)) {
        rv = sio_tree_write(&m->text, value);
        if (rv < 0)
            fail(m, rv);
    }
    return sio_message_end(m);
}

int sio_message_add_raw(struct sio_message *m, struct sio_str json)
{
    sio_message_begin(m);
    sio_message_text(m, json);
    return sio_message_end(m);
}

int sio_message_add_string(struct sio_message *m, struct sio_str utf8)
{
    sio_message_begin(m);
    if (may_add(m))
        json_write_string(&m->text, utf8);
    return sio_message_end(m);
}

int sio_message_add_binary(struct sio_message *m, struct sio_slice bytes)
{
    sio_message_begin(m);
    sio_message_attachment(m, bytes);
    return sio_message_end(m);
}

/* Copies text whose placeholders count from 0 to a place where they count from base. */
static void add_renumbered(struct sio_message *m, struct sio_slice args, uint32_t base)
{
    struct sio_placeholder_walk walk;
    struct sio_slice piece = args;
    struct sio_str num;
    uint32_t index;

    sio_placeholder_walk_init(&walk,
                              (struct sio_str){(const char *)args.ptr, args.len});
    while (sio_placeholder_next(&walk, &num, &index) > 0) {
        piece.len = (size_t)((const uint8_t *)num.ptr - piece.ptr);
        sio_message_slice(m, piece);
        wbuf_add_u64(&m->text, (uint64_t)index + base);
        piece.ptr = (const uint8_t *)num.ptr + num.len;
    }
    piece.len = (size_t)(args.ptr + args.len - piece.ptr);
    sio_message_slice(m, piece);
}

static bool holds(struct sio_slice s, char c)
{
    return memchr(s.ptr, c, s.len) != NULL;
}

/*
 * In an event without attachments a placeholder is a value like others.  In a message
 * with attachments the receiver would take it for one of them, or hang up.
 */
static bool has_lookalike(struct sio_slice args)
{
    struct sio_placeholder_walk walk;
    struct sio_str num;
    uint32_t index;

    /* "_placeholder", plain or with escapes; base64 has neither character. */
    if (!holds(args, '_') && !holds(args, '\\'))
        return false;
    sio_placeholder_walk_init(&walk,
                              (struct sio_str){(const char *)args.ptr, args.len});
    return sio_placeholder_next(&walk, &num, &index) != 0;
}

int sio_message_add_event(struct sio_message *m, const struct sio_event *e,
                          size_t first)
{
    struct sio_slice args = sio_event_args(e, first);
    uint32_t base = m->n_attachments;

    if (args.len == 0)
        return result(m);
    if (sio_event_n_attachments(e) == 0 && has_lookalike(args))
        m->lookalike = true;
    sio_message_begin(m);
    if (base == 0 || sio_event_n_attachments(e) == 0)
        sio_message_slice(m, args);
    else if (may_add(m))
        add_renumbered(m, args, base);
    for (size_t i = 0; i < sio_event_n_attachments(e) && may_add(m); i++)
        add_attachment(m, sio_event_attachment(e, i));
    return sio_message_end(m);
}

void sio_message_set_volatile(struct sio_message *m)
{
    m->options.is_volatile = true;
}

bool sio_message_is_volatile(const struct sio_message *m)
{
    return m->options.is_volatile;
}

bool sio_message_no_compress(const struct sio_message *m)
{
    return m->options.no_compress;
}

void sio_message_set_no_compress(struct sio_message *m)
{
    m->options.no_compress = true;
}

void sio_message_set_replace_key(struct sio_message *m, uint64_t key)
{
    m->options.replace_key = key;
}

void sio_message_set_offset(struct sio_message *m, struct sio_str offset)
{
    m->offset = offset;
    eio_msg_unref(m->encoded);
    m->encoded = NULL;
}

bool sio_message_encoded(const struct sio_message *m)
{
    return m->encoded != NULL;
}

/* Ends the building. */
static int finish(struct sio_message *m)
{
    int rv = result(m);

    if (rv < 0 || m->bytes)
        return rv;
    if (m->lookalike && m->n_attachments > 0) {
        fail(m, SIO_ERR_PROTOCOL);
        return m->error;
    }
    wbuf_add_byte(&m->text, ']');
    rv = result(m);
    if (rv < 0)
        return rv;
    m->bytes = wbuf_take(&m->text);
    if (!m->bytes)
        fail(m, SIO_ERR_NOMEM);
    return m->error;
}

/* The run of m's text from one place to another. */
static struct sio_slice text_between(const struct sio_message *m, size_t from,
                                     size_t to)
{
    struct sio_slice s = {m->bytes, sio_buf_data(m->bytes) + from, to - from};

    return s;
}

/* Fills the pieces of the payload: text, references.  Returns their number. */
static size_t fill_json(const struct sio_message *m, bool with_name,
                        struct sio_slice *out)
{
    size_t n = 0;
    size_t at = 0;

    if (!with_name) {
        bool empty = m->bytes->len == m->name_len + 1;

        out[n++] = (struct sio_slice){NULL, (const uint8_t *)"[", 1};
        at = m->name_len + !empty; /* past the ',' behind the name */
    }
    for (uint32_t i = 0; i < m->n_refs; i++) {
        out[n++] = text_between(m, at, m->refs[i].at);
        out[n++] = m->refs[i].slice;
        at = m->refs[i].at;
    }
    if (!with_name || m->offset.len == 0) {
        out[n++] = text_between(m, at, m->bytes->len);
        return n;
    }
    out[n++] = text_between(m, at, m->bytes->len - 1);
    out[n++] = (struct sio_slice){NULL, (const uint8_t *)",\"", 2};
    out[n++] = (struct sio_slice){NULL, (const uint8_t *)m->offset.ptr, m->offset.len};
    out[n++] = (struct sio_slice){NULL, (const uint8_t *)"\"]", 2};
    return n;
}

/* The pieces of a message with few references need no allocation. */
enum { FEW_PIECES = 20 };

static int encode(const struct sio_message *m, const struct sio_parser *parser,
                  struct sio_outgoing *o, struct eio_msg **out)
{
    struct sio_slice few[FEW_PIECES];
    struct sio_slice *pieces = few;
    size_t n = 5 + 2 * (size_t)m->n_refs;
    int rv;

    if (n > FEW_PIECES) {
        pieces = mem_array(n, sizeof(*pieces));
        if (!pieces)
            return SIO_ERR_NOMEM;
    }
    o->json = pieces;
    o->n_json = fill_json(m, o->type == SIO_PACKET_EVENT, pieces);
    o->attachments = m->attachments;
    o->n_attachments = m->n_attachments;
    o->options = &m->options;
    rv = parser->encode(o, out);
    if (pieces != few)
        mem_free(pieces);
    return rv;
}

static bool cached(const struct sio_message *m, const struct sio_parser *parser,
                   struct sio_str nsp)
{
    struct sio_str of = {m->encoded_nsp, m->encoded_nsp_len};

    return m->encoded && m->encoded_by == parser && str_eq(of, nsp);
}

/*
 * Keeps an encoding for the next call; without memory for it the next call encodes
 * anew.
 */
static void keep(struct sio_message *m, const struct sio_parser *parser,
                 struct sio_str nsp, struct eio_msg *msg)
{
    char *copy = mem_strndup(nsp.ptr, nsp.len);

    if (!copy)
        return;
    mem_free(m->encoded_nsp);
    eio_msg_unref(m->encoded);
    m->encoded_by = parser;
    m->encoded_nsp = copy;
    m->encoded_nsp_len = nsp.len;
    m->encoded = eio_msg_ref(msg);
}

int sio_message_encode(struct sio_message *m, const struct sio_parser *parser,
                       enum sio_packet_type type, struct sio_str nsp, bool has_id,
                       uint64_t id, struct eio_msg **out)
{
    struct sio_outgoing o = {.type = type, .nsp = nsp, .has_id = has_id, .id = id};
    bool shared = type == SIO_PACKET_EVENT && !has_id;
    int rv;

    if (!m) {
        *out = sio_packet_msg(parser, type, nsp, has_id, id, SIO_STR("[]"));
        return *out ? SIO_OK : SIO_ERR_NOMEM;
    }
    rv = finish(m);
    if (rv < 0)
        return rv;
    if (shared && cached(m, parser, nsp)) {
        *out = eio_msg_ref(m->encoded);
        return SIO_OK;
    }
    rv = encode(m, parser, &o, out);
    if (rv == SIO_OK && shared)
        keep(m, parser, nsp, *out);
    return rv;
}

int sio_message_encode_plain(struct sio_message *m, const struct sio_parser *parser,
                             struct sio_str nsp, struct eio_msg **out)
{
    struct sio_outgoing o = {.type = SIO_PACKET_EVENT, .nsp = nsp};
    struct sio_str offset = m->offset;
    int rv = finish(m);

    if (rv < 0)
        return rv;
    m->offset = (struct sio_str){NULL, 0};
    rv = encode(m, parser, &o, out);
    m->offset = offset;
    return rv;
}
