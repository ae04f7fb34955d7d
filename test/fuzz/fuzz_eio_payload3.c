/*
 * Polling payloads of protocol 3.  The first byte chooses the shape; what is read,
 * written again, is what came.
 */
#include <stdlib.h>
#include <string.h>

#include "engineio/payload3.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(int condition)
{
    if (!condition)
        abort();
}

/* The packet that begins at `at` is p's: its head is the one we would write. */
static size_t check_packet(const char *at, const struct eio_packet *p, int binary)
{
    size_t front = p->base64 ? 2 : 1;
    const char *packet = p->data.ptr - front;
    size_t len = front + p->data.len;
    char head[EIO_PAYLOAD3_HEAD_MAX];
    size_t n = binary ? eio_payload3_head_binary(head, !p->binary, len)
                      : eio_payload3_head(head, eio_payload3_units(packet, len));

    check(p->type >= EIO_PACKET_OPEN && p->type <= EIO_PACKET_NOOP);
    check(!p->binary || binary);
    check(packet == at + n && memcmp(at, head, n) == 0);
    return n + len;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const char *at = (const char *)data + 1;
    struct sio_str rest;
    struct eio_packet p;
    size_t n = 0;
    int binary, rv;

    if (size == 0)
        return 0;
    binary = data[0] & 1;
    rest = (struct sio_str){at, size - 1};
    while ((rv = binary ? eio_payload3_next_binary(&rest, &p)
                        : eio_payload3_next(&rest, &p)) > 0)
        n += check_packet(at + n, &p, binary);
    check(rv < 0 || n == size - 1);
    return 0;
}
