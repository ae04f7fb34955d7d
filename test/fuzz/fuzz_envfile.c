/*
 * .env files and camera lists: an accepted name has its form, and no text is cut at a
 * wrong place.
 */
#include <config.h>

#include <stdlib.h>

#include "base/camera_list.h"
#include "base/envfile.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int on_assignment(const char *name, const char *value, unsigned line, void *user)
{
    struct sio_str rest = sio_str_from(value);
    struct camera_entry e;
    int rv;

    (void)user;
    if (name[0] == '\0' || line == 0)
        abort();
    while ((rv = camera_list_next(&rest, &e, NULL)) != 0)
        if (rv == 1 && !camera_id_check(e.id))
            abort();
    return SIO_OK;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    envfile_parse("f", (const char *)data, size, on_assignment, NULL, NULL);
    return 0;
}
