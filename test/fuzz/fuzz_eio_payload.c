/*
 * Polling payloads.  What is read, written again, is what came: packets joined by
 * 0x1e; and a binary packet that decodes encodes to the same text.
 */
#include <stdlib.h>
#include <string.h>

#include "base/base64.h"
#include "engineio/packet.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(int condition)
{
    if (!condition)
        abort();
}

static void check_binary(const struct eio_packet *p)
{
    struct sio_buf *b;
    char *text;

    if (eio_packet_decode(p, &b) < 0)
        return;
    text = malloc(base64_encoded_len(sio_buf_len(b)) + 1);
    if (text) {
        check(base64_encoded_len(sio_buf_len(b)) == p->data.len);
        base64_encode(sio_buf_data(b), sio_buf_len(b), text);
        /* Bits that padding leaves over need not be zero: the last group may differ. */
        if (p->data.len > 4)
            check(memcmp(text, p->data.ptr, p->data.len - 4) == 0);
        free(text);
    }
    sio_buf_unref(b);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char nothing[1] = "";
    struct sio_str rest = {size ? (const char *)data : nothing, size};
    struct eio_packet p;
    size_t at = 0;
    int rv;

    while ((rv = eio_payload_next(&rest, &p)) > 0) {
        check(p.base64 || (p.type >= EIO_PACKET_OPEN && p.type <= EIO_PACKET_NOOP));
        check((const char *)data + at + 1 == p.data.ptr);
        check(memchr(p.data.ptr, EIO_PACKET_SEPARATOR, p.data.len) == NULL);
        at += 1 + p.data.len + 1;
        if (p.base64)
            check_binary(&p);
    }
    check(rv < 0 || at == size + 1);
    return 0;
}
