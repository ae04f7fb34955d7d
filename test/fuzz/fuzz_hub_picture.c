/* A picture's members lie in its text, and an image that passed the check has bytes. */
#include <config.h>

#include <assert.h>

#include "base/json.h"
#include "hub/picture.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_image(struct sio_str text)
{
    int error = SIO_OK;
    struct sio_buf *b;

    if (!hub_image_check(text))
        return;
    b = hub_image_jpeg(text, &error);
    assert(b || error == SIO_ERR_PARSE);
    if (b)
        assert(hub_image_is_jpeg(sio_buf_data(b), sio_buf_len(b)));
    sio_buf_unref(b);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct sio_str text = {(const char *)data, size};
    struct hub_picture p;
    struct sio_str plain;

    check_image(text);
    if (json_check(text) < 0)
        return 0;
    hub_picture_read(text, &p);
    if (!p.image.ptr)
        return 0;
    assert(p.image.ptr >= text.ptr && p.image.ptr + p.image.len <= text.ptr + text.len);
    assert(json_check(p.image) == SIO_OK);
    if (json_type(p.image) == JSON_STRING && json_string_plain(p.image, &plain))
        check_image(plain);
    return 0;
}
