/* A configuration file is taken or refused with a sentence, whatever stands in it. */
#include <config.h>

#include <assert.h>

#include "hub/config.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct hub_config c;
    struct sio_diag diag = {""};
    int rv;

    hub_config_defaults(&c);
    rv = hub_config_parse(&c, "x", (struct sio_str){(const char *)data, size}, &diag);
    assert(rv == SIO_OK || diag.text[0]);
    for (size_t i = 0; i < c.n_cameras; i++)
        assert(c.cameras[i].ip && c.cameras[i].ip[0]);
    hub_config_fini(&c);
    return 0;
}
