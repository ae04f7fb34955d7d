/*
 * JSON becomes one whole MessagePack value, whose JSON becomes it again.
 */
#include <config.h>

#include <assert.h>

#include "base/json.h"
#include "base/str.h"
#include "socketio/msgpack.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { N_ATTACHMENTS = 2 };

/* The value's JSON; its bytes go to bins. */
static void to_json(struct sio_str packed, struct wbuf *json,
                    struct sio_msgpack_bins *bins)
{
    struct sio_slice in = {NULL, (const uint8_t *)packed.ptr, packed.len};
    struct sio_msgpack_reader r = sio_msgpack_reader(in);
    struct sio_msgpack_reader skip = r;

    wbuf_init(json, UINT32_MAX);
    *bins = (struct sio_msgpack_bins){.max = N_ATTACHMENTS};
    assert(sio_msgpack_to_json(&r, json, bins) == SIO_OK);
    assert(sio_msgpack_at_end(&r));
    assert(sio_msgpack_skip(&skip) == SIO_OK && sio_msgpack_at_end(&skip));
}

static void check_again(const struct wbuf *json, const struct sio_msgpack_bins *bins)
{
    struct sio_msgpack_writer w;
    struct sio_msgpack_bins more;
    struct wbuf back;

    sio_msgpack_writer_init(&w, SIZE_MAX);
    assert(sio_msgpack_add_json(&w, wbuf_str(json), bins->items, bins->n) == SIO_OK);
    to_json(wbuf_str(&w.bytes), &back, &more);
    assert(str_eq(wbuf_str(json), wbuf_str(&back)));
    assert(more.n == bins->n);
    wbuf_fini(&back);
    sio_msgpack_bins_fini(&more);
    sio_msgpack_writer_fini(&w);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct sio_str text = {(const char *)data, size};
    struct sio_slice attachments[N_ATTACHMENTS] = {{NULL, data, size},
                                                   {NULL, data, size / 2}};
    struct sio_msgpack_writer w;
    struct sio_msgpack_bins bins;
    struct wbuf json;
    int rv;

    sio_msgpack_writer_init(&w, SIZE_MAX);
    rv = sio_msgpack_add_json(&w, text, attachments, N_ATTACHMENTS);
    if (rv == SIO_OK) {
        to_json(wbuf_str(&w.bytes), &json, &bins);
        /* Infinity comes back as null; a placeholder is one level of its own. */
        if (json_check(wbuf_str(&json)) == SIO_OK)
            check_again(&json, &bins);
        wbuf_fini(&json);
        sio_msgpack_bins_fini(&bins);
    }
    assert((rv == SIO_ERR_PARSE || rv == SIO_ERR_TOO_BIG) == (json_check(text) < 0));
    sio_msgpack_writer_fini(&w);
    return 0;
}
