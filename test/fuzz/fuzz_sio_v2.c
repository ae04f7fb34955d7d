/*
 * The namespace of a client of Socket.IO 2, with a query.  What it becomes is an object
 * of texts, or nothing.
 */
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "socketio/v2.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(int condition)
{
    if (!condition)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char nothing[1] = "";
    struct sio_str nsp = {size ? (const char *)data : nothing, size};
    struct sio_str name = sio_v2_name(nsp);
    struct wbuf w;

    check(name.ptr == nsp.ptr && !memchr(name.ptr, '?', name.len));
    wbuf_init(&w, UINT32_MAX);
    if (sio_v2_auth(nsp, &w) == SIO_OK) {
        struct sio_str json = wbuf_str(&w);

        check((json.len == 0) == (name.len == nsp.len));
        if (json.len > 0) {
            struct json_iter it = json_iter(json);
            struct sio_str key, value;

            check(json_check(json) == SIO_OK && json_type(json) == JSON_OBJECT);
            while (json_next(&it, &key, &value))
                check(json_type(value) == JSON_STRING);
        }
    }
    wbuf_fini(&w);
    return 0;
}
