/*
 * Open packets of a server that cannot be trusted.  What is accepted, written and
 * read again, is the same.
 */
#include <stdlib.h>
#include <string.h>

#include "engineio/packet.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(int condition)
{
    if (!condition)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct eio_open first, second;
    struct sio_str text;
    struct wbuf w;

    if (eio_open_parse((struct sio_str){(const char *)data, size}, &first) < 0)
        return 0;
    check(first.sid.len > 0 && first.sid.len <= EIO_SID_MAX);
    check(first.ping_interval_ms > 0 && first.ping_timeout_ms > 0);
    if (first.max_payload == 0)
        first.max_payload = 1;
    wbuf_init(&w, 1024);
    eio_open_write(&w, &first);
    check(w.error == SIO_OK);
    text = wbuf_str(&w);
    check(eio_open_parse((struct sio_str){text.ptr + 1, text.len - 1}, &second) ==
          SIO_OK);
    check(first.sid.len == second.sid.len);
    check(memcmp(first.sid.ptr, second.sid.ptr, first.sid.len) == 0);
    check(first.can_upgrade == second.can_upgrade);
    check(first.ping_interval_ms == second.ping_interval_ms);
    check(first.ping_timeout_ms == second.ping_timeout_ms);
    check(first.max_payload == second.max_payload);
    wbuf_fini(&w);
    return 0;
}
