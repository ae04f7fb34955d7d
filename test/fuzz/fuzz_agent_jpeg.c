/*
 * What a camera sends as a picture: whatever the header check accepts lies within the
 * bytes and has a size, and the decoder behind it survives it.
 */
#include <config.h>

#include <stdlib.h>

#include "agent/capture.h"
#include "agent/jpeg.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    /* Narrow, so that every accepted picture goes through decoder, scaler and encoder. */
    static const struct agent_jpeg_limits limits = {32, 85, 1000000};
    struct agent_jpeg_shape shape;
    struct sio_buf *b;

    agent_capture_setup();
    if (agent_jpeg_check(data, size, &shape) < 0)
        return 0;
    if (shape.len > size || shape.width == 0 || shape.height == 0)
        abort();
    /* Large dimensions cost time and find nothing. */
    if ((size_t)shape.width * shape.height > 256 * 256)
        return 0;
    b = sio_buf_copy(data, size);
    if (b && agent_jpeg_fit(&b, &shape, &limits) == SIO_OK &&
        agent_jpeg_check(sio_buf_data(b), sio_buf_len(b), &shape) < 0)
        abort();
    sio_buf_unref(b);
    return 0;
}
