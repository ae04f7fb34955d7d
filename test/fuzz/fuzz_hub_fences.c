/* What was accepted from a request is a file that reads back with as many lines. */
#include <config.h>

#include <assert.h>

#include "base/json.h"
#include "base/str.h"
#include "hub/fences.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_fence(const struct hub_fence *f, void *user)
{
    (void)user;
    assert(f->color < 7);
    assert(json_type(f->nombre) == JSON_STRING);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct sio_str text = {(const char *)data, size};
    struct sio_diag diag;
    struct wbuf file;
    int n;

    hub_fences_read(text, check_fence, NULL);
    wbuf_init(&file, 2 * HUB_FENCES_BYTES);
    n = hub_fences_write(text, SIO_STR("192.0.2.65"), &file, &diag);
    if (n >= 0)
        assert(hub_fences_read(wbuf_str(&file), check_fence, NULL) == n);
    wbuf_fini(&file);
    return 0;
}
