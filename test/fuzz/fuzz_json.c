/* What the scanner passes can be walked, decoded and written, and passes again. */
#include <config.h>

#include <assert.h>

#include "base/json.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* All strings and numbers of the array or object, and of what is in it. */
static void walk(struct sio_str text, struct wbuf *w)
{
    struct sio_str stack[JSON_MAX_DEPTH * 4];
    size_t n = 0;

    stack[n++] = text;
    while (n > 0) {
        struct json_iter it = json_iter(stack[--n]);
        struct sio_str key, value;
        double d;

        while (json_next(&it, &key, &value)) {
            assert(json_check(value) == SIO_OK);
            if (key.ptr)
                json_string_decode(key, w);
            if (json_type(value) == JSON_STRING)
                json_string_decode(value, w);
            else if (json_number(value, &d))
                json_write_double(w, d);
            else if (n < sizeof(stack) / sizeof(stack[0]))
                stack[n++] = value;
        }
    }
}

static size_t blanks(struct sio_str s)
{
    size_t i = 0;

    while (i < s.len && strchr(" \t\r\n", s.ptr[i]) && s.ptr[i])
        i++;
    return i;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct sio_str text = {(const char *)data, size};
    struct sio_str items[4], plain;
    struct wbuf w;
    size_t n;
    int rv = json_check(text);

    wbuf_init(&w, 1 << 24);
    if (json_array_cut(text, items, 4, &n) == SIO_OK)
        assert(rv == SIO_OK);
    else
        assert(rv != SIO_OK || data[blanks(text)] != '[');
    if (rv == SIO_OK)
        walk(text, &w);
    wbuf_fini(&w);

    /* Any bytes can be written as a string. */
    wbuf_init(&w, 1 << 24);
    json_write_string(&w, text);
    assert(w.error == SIO_OK && json_check(wbuf_str(&w)) == SIO_OK);
    (void)json_string_plain(wbuf_str(&w), &plain);
    wbuf_fini(&w);
    return 0;
}
