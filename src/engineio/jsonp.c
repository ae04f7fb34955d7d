#include <config.h>

#include "engineio/jsonp.h"

#include <stdio.h>
#include <string.h>

#include "base/str.h"
#include "base/utf8.h"

bool eio_jsonp_index(struct sio_str text, uint32_t *index)
{
    uint64_t n;

    if (str_to_u64(text, EIO_JSONP_INDEX_MAX, &n) < 0)
        return false;
    *index = (uint32_t)n;
    return true;
}

/*
 * What has been read of a character or of "</", which the borders of slices may cut:
 * bytes that are written once it is known what they are.
 */
struct escaper {
    struct wbuf *w;
    uint8_t held[2]; /* e2, e2 80, or '<' */
    size_t n_held;
};

static void let_go(struct escaper *e)
{
    wbuf_add(e->w, e->held, e->n_held);
    e->n_held = 0;
}

static void hold(struct escaper *e, uint8_t c)
{
    e->held[e->n_held++] = c;
}

/* True if c ends what is held, and both are written. */
static bool end_held(struct escaper *e, uint8_t c)
{
    if (e->n_held == 2 && (c == 0xa8 || c == 0xa9)) {
        wbuf_add_cstr(e->w, c == 0xa8 ? "\\u2028" : "\\u2029");
        e->n_held = 0;
        return true;
    }
    if (e->n_held == 1 && e->held[0] == '<' && c == '/') {
        wbuf_add_cstr(e->w, "<\\/");
        e->n_held = 0;
        return true;
    }
    if (e->n_held == 1 && e->held[0] == 0xe2 && c == 0x80) {
        hold(e, c);
        return true;
    }
    let_go(e);
    return false;
}

static void escape_special(struct escaper *e, uint8_t c)
{
    char text[8];

    switch (c) {
    case 0xe2:
    case '<': hold(e, c); return;
    case '"': wbuf_add_cstr(e->w, "\\\""); return;
    case '\\': wbuf_add_cstr(e->w, "\\\\"); return;
    case '\n': wbuf_add_cstr(e->w, "\\n"); return;
    case '\r': wbuf_add_cstr(e->w, "\\r"); return;
    case '\t': wbuf_add_cstr(e->w, "\\t"); return;
    default: break;
    }
    snprintf(text, sizeof(text), "\\u%04x", c);
    wbuf_add_cstr(e->w, text);
}

static bool is_special(uint8_t c)
{
    return c < ' ' || c == '"' || c == '\\' || c == '<' || c == 0xe2;
}

static void escape(struct escaper *e, const uint8_t *p, size_t len)
{
    size_t i = 0;

    while (i < len) {
        size_t from = i;

        if (e->n_held > 0 && end_held(e, p[i])) {
            i++;
            continue;
        }
        while (i < len && !is_special(p[i]))
            i++;
        wbuf_add(e->w, p + from, i - from);
        if (i < len)
            escape_special(e, p[i++]);
    }
}

void eio_jsonp_write(struct wbuf *w, uint32_t index, const struct sio_slice *payload,
                     size_t n)
{
    struct escaper e = {.w = w};

    wbuf_addf(w, "___eio[%u](\"", index);
    for (size_t i = 0; i < n; i++)
        escape(&e, payload[i].ptr, payload[i].len);
    let_go(&e);
    wbuf_add_cstr(w, "\");");
}

/* The value of d as it stands in the form; ptr NULL: there is none. */
static struct sio_str find_d(struct sio_str form)
{
    struct sio_str value = {NULL, 0};

    while (form.ptr) {
        value = str_cut(&form, '&');
        if (str_eq_cstr(str_cut(&value, '='), "d"))
            return value;
    }
    return (struct sio_str){NULL, 0};
}

/* In place: \n becomes a new line, \\n becomes \n.  Returns the length. */
static size_t restore_lines(uint8_t *p, size_t len)
{
    size_t n_slashes = 0;
    size_t n = 0;

    for (size_t i = 0; i < len; i++) {
        if (p[i] == 'n' && n_slashes == 1)
            p[n - 1] = '\n';
        else if (p[i] == 'n' && n_slashes > 1)
            p[n - 1] = 'n';
        else
            p[n++] = p[i];
        n_slashes = p[i] == '\\' ? n_slashes + 1 : 0;
    }
    return n;
}

int eio_jsonp_form(struct sio_str form, struct sio_buf **out)
{
    struct sio_str value = find_d(form);
    struct sio_buf *b;
    size_t len;

    if (!value.ptr)
        return SIO_ERR_PARSE;
    b = sio_buf_new(value.len);
    if (!b)
        return SIO_ERR_NOMEM;
    len = str_percent_decode(value, (char *)sio_buf_data(b), true);
    if (!utf8_check(sio_buf_data(b), len)) {
        sio_buf_unref(b);
        return SIO_ERR_PARSE;
    }
    b->len = (uint32_t)restore_lines(sio_buf_data(b), len);
    *out = b;
    return SIO_OK;
}
