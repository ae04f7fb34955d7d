#include <config.h>

#include "base/json.h"

#include "base/json_impl.h"
#include "base/utf8.h"

static void write_special(struct wbuf *w, uint8_t c)
{
    switch (c) {
    case '"': wbuf_add(w, "\\\"", 2); break;
    case '\\': wbuf_add(w, "\\\\", 2); break;
    case '\b': wbuf_add(w, "\\b", 2); break;
    case '\f': wbuf_add(w, "\\f", 2); break;
    case '\n': wbuf_add(w, "\\n", 2); break;
    case '\r': wbuf_add(w, "\\r", 2); break;
    case '\t': wbuf_add(w, "\\t", 2); break;
    default: wbuf_addf(w, "\\u%04x", c); break;
    }
}

static void write_valid(struct wbuf *w, const uint8_t *p, const uint8_t *end)
{
    while (p < end) {
        const uint8_t *q = json_find_special(p, end);

        wbuf_add(w, p, (size_t)(q - p));
        if (q < end)
            write_special(w, *q++);
        p = q;
    }
}

/* Length of the whole character at p, 0 if there is none. */
static size_t char_len(const uint8_t *p, const uint8_t *end)
{
    size_t len = *p < 0x80 ? 1 : *p < 0xe0 ? 2 : *p < 0xf0 ? 3 : 4;

    if (len > (size_t)(end - p) || !utf8_check(p, len))
        return 0;
    return len;
}

void json_write_string(struct wbuf *w, struct sio_str text)
{
    const uint8_t *p = (const uint8_t *)text.ptr;
    const uint8_t *end = text.len > 0 ? p + text.len : p;

    wbuf_add_byte(w, '"');
    if (utf8_check(p, text.len)) {
        write_valid(w, p, end);
        p = end;
    }
    while (p < end) {
        size_t len = char_len(p, end);

        if (len > 0)
            write_valid(w, p, p + len);
        else
            wbuf_add(w, "\xef\xbf\xbd", 3);
        p += len > 0 ? len : 1;
    }
    wbuf_add_byte(w, '"');
}
