#include <config.h>

#include "engineio/payload3.h"

#include "base/str.h"
#include "base/utf8.h"

/* Digits of a length: no body has more than 4 GiB. */
#define MAX_DIGITS 10

int eio_packet3_parse(struct sio_str text, struct eio_packet *out)
{
    if (text.len == 0 || text.ptr[0] != EIO_PACKET_BASE64)
        return eio_packet_parse(text, out);
    if (text.len < 2 || text.ptr[1] != '0' + EIO_PACKET_MESSAGE)
        return SIO_ERR_PARSE;
    out->type = EIO_PACKET_MESSAGE;
    out->base64 = true;
    out->binary = false;
    out->data.ptr = text.ptr + 2;
    out->data.len = text.len - 2;
    return SIO_OK;
}

int eio_packet3_parse_binary(struct sio_str bytes, struct eio_packet *out)
{
    if (bytes.len == 0 || bytes.ptr[0] != EIO_PAYLOAD3_MESSAGE)
        return SIO_ERR_PARSE;
    out->type = EIO_PACKET_MESSAGE;
    out->base64 = false;
    out->binary = true;
    out->data.ptr = bytes.ptr + 1;
    out->data.len = bytes.len - 1;
    return SIO_OK;
}

static bool is_continuation(uint8_t c)
{
    return (c & 0xc0) == 0x80;
}

size_t eio_payload3_units(const void *p, size_t len)
{
    const uint8_t *c = p;
    size_t n = 0;

    for (size_t i = 0; i < len; i++)
        n += (size_t)!is_continuation(c[i]) + (c[i] >= 0xf0);
    return n;
}

/*
 * Cuts n UTF-16 units off *rest.  False: there are not so many, or the last would be
 * half a character.
 */
static bool cut_units(struct sio_str *rest, uint64_t n, struct sio_str *out)
{
    size_t i = 0;

    while (i < rest->len && (n > 0 || is_continuation((uint8_t)rest->ptr[i]))) {
        uint64_t units = eio_payload3_units(&rest->ptr[i], 1);

        if (units > n)
            return false;
        n -= units;
        i++;
    }
    if (n > 0)
        return false;
    *out = (struct sio_str){rest->ptr, i};
    rest->ptr += i;
    rest->len -= i;
    return true;
}

/*
 * Cuts a length off *rest: one digit or more, each a byte from `zero` on, and then
 * `end`.  The shortest form only, and no packet is empty.
 */
static bool cut_length(struct sio_str *rest, uint8_t zero, uint8_t end, uint64_t *out)
{
    const uint8_t *p = (const uint8_t *)rest->ptr;
    size_t i = 0;

    *out = 0;
    while (i < rest->len && i < MAX_DIGITS && p[i] >= zero && p[i] <= zero + 9)
        *out = *out * 10 + (uint64_t)(p[i++] - zero);
    if (i == 0 || p[0] == zero || i == rest->len || p[i] != end)
        return false;
    rest->ptr += i + 1;
    rest->len -= i + 1;
    return true;
}

/* What is behind the last packet has a NULL ptr, unlike an empty body. */
static int found(struct sio_str *rest)
{
    if (rest->len == 0)
        rest->ptr = NULL;
    return 1;
}

int eio_payload3_next(struct sio_str *rest, struct eio_packet *out)
{
    struct sio_str text;
    uint64_t n;

    if (!rest->ptr)
        return 0;
    if (!cut_length(rest, '0', ':', &n) || !cut_units(rest, n, &text))
        return SIO_ERR_PARSE;
    if (eio_packet3_parse(text, out) < 0 || !utf8_check(text.ptr, text.len))
        return SIO_ERR_PARSE;
    return found(rest);
}

int eio_payload3_next_binary(struct sio_str *rest, struct eio_packet *out)
{
    struct sio_str packet;
    uint64_t n;
    bool text;
    int rv;

    if (!rest->ptr)
        return 0;
    if (rest->len == 0 || (uint8_t)rest->ptr[0] > 1)
        return SIO_ERR_PARSE;
    text = rest->ptr[0] == 0;
    rest->ptr++;
    rest->len--;
    if (!cut_length(rest, 0, 0xff, &n) || n > rest->len)
        return SIO_ERR_PARSE;
    packet = (struct sio_str){rest->ptr, (size_t)n};
    rest->ptr += packet.len;
    rest->len -= packet.len;
    rv = text ? eio_packet3_parse(packet, out) : eio_packet3_parse_binary(packet, out);
    if (rv < 0 || (text && !utf8_check(packet.ptr, packet.len)))
        return SIO_ERR_PARSE;
    return found(rest);
}

size_t eio_payload3_head(char out[EIO_PAYLOAD3_HEAD_MAX], size_t units)
{
    size_t n = str_from_u64(units, out);

    out[n++] = ':';
    return n;
}

size_t eio_payload3_head_binary(char out[EIO_PAYLOAD3_HEAD_MAX], bool text,
                                size_t bytes)
{
    size_t n = 1 + str_from_u64(bytes, out + 1);

    out[0] = text ? 0 : 1;
    for (size_t i = 1; i < n; i++)
        out[i] = (char)(out[i] - '0');
    out[n++] = (char)0xff;
    return n;
}
