/*
 * REDIS_URL: what is taken has a place to connect to, what is refused holds nothing.
 */
#include <config.h>

#include <stdlib.h>
#include <string.h>

#include "redis/url.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct sio_str text = {(const char *)data, size};
    struct redis_url u;
    struct sio_diag diag = {.text = ""};
    int rv = redis_url_parse(text, &u, &diag);

    if (rv == SIO_OK && (!u.host == !u.path || (u.host && u.port == 0) ||
                         (u.path && u.path[0] != '/') || (u.user && !u.password) ||
                         (u.key_file && !u.cert_file) || (!u.tls && u.ca_file)))
        abort();
    if (rv < 0 && (u.host || u.path || u.user || u.password || !diag.text[0]))
        abort();
    redis_url_fini(&u);
    return 0;
}
