/*
 * permessage-deflate in both directions.  What can be inflated in two pieces is the same
 * as in one, and never more than the bound; what was deflated comes back, twice on one
 * connection.  The first byte chooses window and takeover, the next two where is cut.
 */
#include <config.h>

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "http/frame.h"
#include "http/ws_deflate.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define MAX_MESSAGE 20000

static struct ws_deflate *new_deflate(uint8_t choice)
{
    const struct ws_deflate_params p = {
        .out_bits = (uint8_t)(9 + choice % 7),
        .in_bits = (uint8_t)(9 + choice % 7),
        .level = (uint8_t)(1 + choice / 7 % 9),
        .out_no_takeover = choice & 64,
        .in_no_takeover = choice & 64,
    };
    struct ws_deflate *d = ws_deflate_new(&p);

    if (!d)
        abort();
    return d;
}

/* The message cut in two; the text of out is the result where it is SIO_OK. */
static int unpack(struct ws_deflate *d, const uint8_t *data, size_t size, size_t cut,
                  struct wbuf *out)
{
    int rv;

    wbuf_init(out, MAX_MESSAGE);
    rv = ws_deflate_unpack(d, data, cut, out);
    if (rv == SIO_OK)
        rv = ws_deflate_unpack(d, data + cut, size - cut, out);
    if (rv == SIO_OK)
        rv = ws_deflate_unpack_end(d, out);
    assert(out->len <= MAX_MESSAGE && out->cap <= MAX_MESSAGE);
    return rv;
}

static void inflate_twice(uint8_t choice, const uint8_t *data, size_t size, size_t cut)
{
    struct ws_deflate *one = new_deflate(choice);
    struct ws_deflate *two = new_deflate(choice);
    struct wbuf a, b;
    int whole = unpack(one, data, size, size, &a);
    int pieces = unpack(two, data, size, cut, &b);

    /* zlib sees a distance beyond the window only where that far a byte is gone. */
    assert(whole == pieces || whole == SIO_ERR_PARSE || pieces == SIO_ERR_PARSE);
    if (whole == SIO_OK && pieces == SIO_OK) {
        assert(a.len == b.len);
        assert(memcmp(wbuf_str(&a).ptr, wbuf_str(&b).ptr, a.len) == 0);
    }
    wbuf_fini(&a);
    wbuf_fini(&b);
    ws_deflate_free(one);
    ws_deflate_free(two);
}

static void there_and_back(struct ws_deflate *from, struct ws_deflate *to,
                           const uint8_t *data, size_t size, size_t cut)
{
    const struct sio_slice slices[] = {{NULL, data, cut},
                                       {NULL, data + cut, size - cut}};
    struct sio_buf *frame;
    struct wbuf out;
    size_t len;
    int rv = ws_deflate_pack(from, slices, 2, &frame);

    if (rv == SIO_ERR_TOO_BIG)
        return; /* it would have grown; both sides go on */
    assert(rv == SIO_OK);
    len = sio_buf_len(frame) - WS_FRAME_HEAD_MAX;
    assert(len <= size);
    rv =
        unpack(to, sio_buf_data(frame) + WS_FRAME_HEAD_MAX, len, cut % (len + 1), &out);
    assert(rv == SIO_OK && out.len == size);
    assert(memcmp(wbuf_str(&out).ptr, data, size) == 0);
    wbuf_fini(&out);
    sio_buf_unref(frame);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct ws_deflate *from, *to;
    uint8_t choice;
    size_t cut;

    if (size < 4 || size > MAX_MESSAGE)
        return 0;
    choice = data[0];
    cut = (size_t)(data[1] << 8 | data[2]) % (size - 2);
    data += 3;
    size -= 3;
    inflate_twice(choice, data, size, cut);
    from = new_deflate(choice);
    to = new_deflate(choice);
    there_and_back(from, to, data, size, cut);
    there_and_back(from, to, data, cut, cut / 2);
    there_and_back(from, to, data, size, size - cut);
    ws_deflate_free(from);
    ws_deflate_free(to);
    return 0;
}
