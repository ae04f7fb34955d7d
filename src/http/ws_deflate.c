#include <config.h>

#include "http/ws_deflate.h"

#include "base/mem.h"
#include "base/str.h"
#include "http/deflate.h"
#include "http/frame.h"

#define NAME     "permessage-deflate"
#define MAX_BITS DEFLATE_MAX_BITS

struct ws_deflate {
    struct ws_deflate_params params;
    struct deflater *out; /* NULL until needed; with takeover it stays */
    struct inflater *in;
};

/* One parameter of an extension (RFC 6455, 9.1). */
struct param {
    struct sio_str name;
    struct sio_str value; /* ptr NULL: none */
};

/* What the parameters of permessage-deflate say. */
struct terms {
    bool server_no_takeover;
    bool client_no_takeover;
    bool has_client_bits;
    uint8_t server_bits; /* 0: not said */
    uint8_t client_bits;
};

static bool is_token_char(char c)
{
    return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') ||
           (c != '\0' && strchr("!#$%&'*+-.^_`|~", c));
}

static void skip_blanks(struct sio_str *s)
{
    while (s->len > 0 && (s->ptr[0] == ' ' || s->ptr[0] == '\t')) {
        s->ptr++;
        s->len--;
    }
}

/* Cuts a token off *s; empty: there is none. */
static struct sio_str take_token(struct sio_str *s)
{
    struct sio_str token = {s->ptr, 0};

    while (token.len < s->len && is_token_char(s->ptr[token.len]))
        token.len++;
    s->ptr += token.len;
    s->len -= token.len;
    return token;
}

static bool take_char(struct sio_str *s, char c)
{
    skip_blanks(s);
    if (s->len == 0 || s->ptr[0] != c)
        return false;
    s->ptr++;
    s->len--;
    return true;
}

/* "; name", "; name=token" or "; name=\"token\"".  False: the text is not so. */
static bool take_param(struct sio_str *s, struct param *p)
{
    bool quoted;

    skip_blanks(s);
    *p = (struct param){.name = take_token(s)};
    if (p->name.len == 0)
        return false;
    if (!take_char(s, '='))
        return true;
    quoted = take_char(s, '"');
    skip_blanks(s);
    p->value = take_token(s);
    if (p->value.len == 0)
        return false;
    return !quoted || (s->len > 0 && s->ptr[0] == '"' && take_char(s, '"'));
}

/* 8 to 15, without a leading zero (RFC 7692, 7.1.2); 0: not that. */
static uint8_t window_bits(struct sio_str s)
{
    uint64_t n;

    if (s.len == 0 || s.ptr[0] == '0' || str_to_u64(s, MAX_BITS, &n) < 0 || n < 8)
        return 0;
    return (uint8_t)n;
}

static bool set_once(bool *flag)
{
    bool first = !*flag;

    *flag = true;
    return first;
}

/* Adds a parameter to t; false: unknown, twice, or with a wrong value. */
static bool add_param(struct terms *t, const struct param *p)
{
    if (str_eq_cstr(p->name, "server_no_context_takeover"))
        return !p->value.ptr && set_once(&t->server_no_takeover);
    if (str_eq_cstr(p->name, "client_no_context_takeover"))
        return !p->value.ptr && set_once(&t->client_no_takeover);
    if (str_eq_cstr(p->name, "server_max_window_bits")) {
        if (t->server_bits != 0)
            return false;
        t->server_bits = window_bits(p->value);
        return t->server_bits != 0;
    }
    if (str_eq_cstr(p->name, "client_max_window_bits")) {
        t->client_bits = window_bits(p->value);
        return set_once(&t->has_client_bits) && (!p->value.ptr || t->client_bits != 0);
    }
    return false;
}

/*
 * Cuts an extension off *s, with the comma behind it.  1: ours and well-formed, in t; 0:
 * another, or one to decline; SIO_ERR_PARSE.  *s has a NULL ptr after the last.
 */
static int take_extension(struct sio_str *s, struct terms *t)
{
    struct sio_str name;
    struct param p;
    bool good;

    *t = (struct terms){0};
    skip_blanks(s);
    name = take_token(s);
    if (name.len == 0)
        return SIO_ERR_PARSE;
    good = str_ieq(name, SIO_STR(NAME));
    while (take_char(s, ';')) {
        if (!take_param(s, &p))
            return SIO_ERR_PARSE;
        good = good && add_param(t, &p);
    }
    if (s->len == 0)
        s->ptr = NULL;
    else if (!take_char(s, ','))
        return SIO_ERR_PARSE;
    return good;
}

static uint8_t lower(uint8_t a, uint8_t b)
{
    return a < b ? a : b;
}

static void write_bits(struct wbuf *w, const char *name, uint8_t bits)
{
    wbuf_addf(w, "; %s=%u", name, bits);
}

/* The answer to an offer that can be met: what we really do. */
static void agree(const struct terms *t, const struct ws_deflate_options *opts,
                  struct ws_deflate_params *p, struct wbuf *w)
{
    uint8_t client_bits = t->client_bits ? t->client_bits : MAX_BITS;

    *p = (struct ws_deflate_params){
        .out_bits = opts->window_bits,
        .in_bits = client_bits,
        .level = opts->level,
        .out_no_takeover = t->server_no_takeover || opts->server_no_context_takeover,
        .in_no_takeover = t->client_no_takeover || opts->client_no_context_takeover,
    };
    if (t->server_bits != 0)
        p->out_bits = lower(p->out_bits, t->server_bits);
    if (t->has_client_bits)
        p->in_bits = lower(client_bits, opts->window_bits);
    wbuf_add_str(w, SIO_STR(NAME));
    if (p->out_no_takeover)
        wbuf_add_str(w, SIO_STR("; server_no_context_takeover"));
    if (p->in_no_takeover)
        wbuf_add_str(w, SIO_STR("; client_no_context_takeover"));
    if (t->server_bits != 0 || p->out_bits < MAX_BITS)
        write_bits(w, "server_max_window_bits", p->out_bits);
    if (t->has_client_bits && p->in_bits < MAX_BITS)
        write_bits(w, "client_max_window_bits", p->in_bits);
}

int ws_deflate_accept(struct sio_str offers, const struct ws_deflate_options *opts,
                      struct ws_deflate_params *p, struct wbuf *w)
{
    struct terms t, chosen = {0};
    bool found = false;

    /* To the end, so that a broken list is seen as such; its items may be empty. */
    while (offers.ptr) {
        int rv;

        while (take_char(&offers, ','))
            ;
        if (offers.len == 0)
            break;
        rv = take_extension(&offers, &t);
        if (rv < 0)
            return rv;
        /* We have no compressor for a window of 8 bits. */
        if (rv > 0 && !found && t.server_bits != 8) {
            chosen = t;
            found = true;
        }
    }
    if (!found)
        return 0;
    agree(&chosen, opts, p, w);
    return w->error < 0 ? w->error : 1;
}

void ws_deflate_offer(const struct ws_deflate_options *opts, struct wbuf *w)
{
    wbuf_add_str(w, SIO_STR(NAME));
    if (opts->server_no_context_takeover)
        wbuf_add_str(w, SIO_STR("; server_no_context_takeover"));
    if (opts->client_no_context_takeover)
        wbuf_add_str(w, SIO_STR("; client_no_context_takeover"));
    if (opts->window_bits < MAX_BITS)
        write_bits(w, "server_max_window_bits", opts->window_bits);
    wbuf_add_str(w, SIO_STR("; client_max_window_bits"));
    if (opts->window_bits < MAX_BITS)
        wbuf_addf(w, "=%u", opts->window_bits);
}

int ws_deflate_answer(struct sio_str answer, const struct ws_deflate_options *opts,
                      struct ws_deflate_params *p)
{
    struct terms t;

    if (take_extension(&answer, &t) != 1 || answer.ptr)
        return SIO_ERR_PARSE;
    if ((t.has_client_bits && t.client_bits == 0) ||
        (opts->server_no_context_takeover && !t.server_no_takeover) ||
        t.server_bits > opts->window_bits ||
        (opts->window_bits < MAX_BITS && t.server_bits == 0))
        return SIO_ERR_PARSE;
    *p = (struct ws_deflate_params){
        .out_bits = opts->window_bits,
        .in_bits = t.server_bits ? t.server_bits : MAX_BITS,
        .level = opts->level,
        .out_no_takeover = t.client_no_takeover || opts->client_no_context_takeover,
        .in_no_takeover = t.server_no_takeover,
    };
    if (t.client_bits != 0)
        p->out_bits = lower(p->out_bits, t.client_bits);
    if (p->out_bits < DEFLATE_MIN_BITS)
        p->out_bits = 0;
    return SIO_OK;
}

struct ws_deflate *ws_deflate_new(const struct ws_deflate_params *p)
{
    struct ws_deflate *d = mem_new(struct ws_deflate);

    if (d)
        d->params = *p;
    return d;
}

void ws_deflate_free(struct ws_deflate *d)
{
    if (!d)
        return;
    deflater_free(d->out);
    inflater_free(d->in);
    mem_free(d);
}

const struct ws_deflate_params *ws_deflate_params(const struct ws_deflate *d)
{
    return &d->params;
}

/* Room for a header, then the message compressed. */
static int make_frame(struct deflater *deflater, const struct sio_slice *slices,
                      size_t n, struct sio_buf **frame)
{
    struct wbuf w;
    size_t total = 0;
    int rv;

    *frame = NULL;
    for (size_t i = 0; i < n; i++)
        total += slices[i].len;
    wbuf_init(&w, WS_FRAME_HEAD_MAX + total);
    wbuf_reserve(&w, WS_FRAME_HEAD_MAX + total / 2);
    wbuf_extend(&w, WS_FRAME_HEAD_MAX);
    rv = w.error < 0 ? w.error : deflater_message(deflater, slices, n, &w);
    if (rv == SIO_OK)
        *frame = wbuf_take(&w);
    wbuf_fini(&w);
    return rv < 0 ? rv : *frame ? SIO_OK : SIO_ERR_NOMEM;
}

int ws_deflate_pack(struct ws_deflate *d, const struct sio_slice *slices, size_t n,
                    struct sio_buf **frame)
{
    int rv;

    if (!d->out)
        d->out = deflater_new(d->params.level, d->params.out_bits);
    if (!d->out)
        return SIO_ERR_NOMEM;
    rv = make_frame(d->out, slices, n, frame);
    if (d->params.out_no_takeover) {
        deflater_free(d->out);
        d->out = NULL;
    }
    return rv;
}

int ws_deflate_frame(int level, int bits, enum ws_opcode opcode,
                     const struct sio_slice *slices, size_t n, struct sio_slice *frame)
{
    struct deflater *deflater = deflater_new(level, bits);
    uint8_t head[WS_HEAD_MAX];
    struct sio_buf *b;
    size_t len, head_len;
    uint8_t *p;
    int rv;

    if (!deflater)
        return SIO_ERR_NOMEM;
    rv = make_frame(deflater, slices, n, &b);
    deflater_free(deflater);
    if (rv < 0)
        return rv;
    len = sio_buf_len(b) - WS_FRAME_HEAD_MAX;
    head_len = ws_frame_head(head, opcode, len);
    head[0] |= WS_FRAME_PACKED;
    p = sio_buf_data(b) + WS_FRAME_HEAD_MAX - head_len;
    memcpy(p, head, head_len);
    *frame = (struct sio_slice){b, p, head_len + len};
    return SIO_OK;
}

int ws_deflate_unpack(struct ws_deflate *d, const uint8_t *p, size_t len,
                      struct wbuf *out)
{
    if (!d->in)
        d->in = inflater_new(d->params.in_bits);
    return d->in ? inflater_feed(d->in, p, len, out) : SIO_ERR_NOMEM;
}

int ws_deflate_unpack_end(struct ws_deflate *d, struct wbuf *out)
{
    int rv = d->in ? inflater_end(d->in, out) : SIO_OK;

    if (d->params.in_no_takeover) {
        inflater_free(d->in);
        d->in = NULL;
    }
    return rv;
}
