/*
 * Polling by scripts.  The input is a form; its payload, written as a script in two
 * slices and read back as a string of JSON, is the payload.
 */
#include <config.h>

#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "engineio/jsonp.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(int condition)
{
    if (!condition)
        abort();
}

static int contains(struct sio_str s, const char *what)
{
    return memmem(s.ptr, s.len, what, strlen(what)) != NULL;
}

static void check_script(struct sio_buf *payload, size_t cut)
{
    static const char head[] = "___eio[12](";
    const struct sio_slice whole = sio_slice_of(payload);
    struct sio_slice slices[] = {{NULL, whole.ptr, cut},
                                 {NULL, whole.ptr + cut, whole.len - cut}};
    struct wbuf script, text;
    struct sio_str s;

    wbuf_init(&script, UINT32_MAX);
    wbuf_init(&text, UINT32_MAX);
    eio_jsonp_write(&script, 12, slices, 2);
    s = wbuf_str(&script);
    check(script.error == SIO_OK && s.len > sizeof(head) + 2);
    check(!contains(s, "</") && !contains(s, "\xe2\x80\xa8") && !contains(s, "\n"));
    check(memcmp(s.ptr, head, sizeof(head) - 1) == 0);
    check(memcmp(s.ptr + s.len - 2, ");", 2) == 0);
    s.ptr += sizeof(head) - 1;
    s.len -= sizeof(head) - 1 + 2;
    check(json_check(s) == SIO_OK && json_type(s) == JSON_STRING);
    json_string_decode(s, &text);
    check(wbuf_str(&text).len == whole.len);
    check(whole.len == 0 || memcmp(wbuf_str(&text).ptr, whole.ptr, whole.len) == 0);
    wbuf_fini(&script);
    wbuf_fini(&text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct sio_buf *payload;

    if (size == 0)
        return 0;
    if (eio_jsonp_form((struct sio_str){(const char *)data + 1, size - 1}, &payload) <
        0)
        return 0;
    check(sio_buf_len(payload) <= size);
    check_script(payload, data[0] % (sio_buf_len(payload) + 1));
    sio_buf_unref(payload);
    return 0;
}
