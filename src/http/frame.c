#include <config.h>

#include "http/frame.h"

#include <string.h>

#define FIN    0x80
#define RSV    0x70
#define MASKED 0x80
#define LEN_16 126
#define LEN_64 127

static uint64_t read_be(const uint8_t *p, size_t n)
{
    uint64_t v = 0;

    for (size_t i = 0; i < n; i++)
        v = v << 8 | p[i];
    return v;
}

static bool opcode_fits(const struct ws_frame_rules *rules, uint8_t opcode)
{
    switch (opcode) {
    case WS_CONTINUATION: return rules->in_message;
    case WS_TEXT:
    case WS_BINARY: return !rules->in_message;
    case WS_CLOSE:
    case WS_PING:
    case WS_PONG: return true;
    }
    return false;
}

static bool first_bytes_are_legal(const struct ws_frame_rules *rules,
                                  const struct ws_frame *f, uint8_t len7)
{
    if (f->masked == rules->client)
        return false;
    if (!ws_frame_is_control(f))
        return true;
    return f->fin && len7 <= WS_CONTROL_MAX && (f->opcode != WS_CLOSE || len7 != 1);
}

int ws_frame_parse(const struct ws_frame_rules *rules, const uint8_t *p, size_t n,
                   struct ws_frame *f)
{
    size_t len_bytes;
    size_t head;
    uint8_t len7;

    if (n == 0)
        return 0;
    f->fin = (p[0] & FIN) != 0;
    f->opcode = p[0] & 0x0f;
    f->packed = (p[0] & RSV) == WS_FRAME_PACKED && rules->may_pack &&
                (f->opcode == WS_TEXT || f->opcode == WS_BINARY);
    if (((p[0] & RSV) && !f->packed) || !opcode_fits(rules, f->opcode))
        return -WS_CLOSE_PROTOCOL;
    if (n == 1)
        return 0;
    f->masked = (p[1] & MASKED) != 0;
    len7 = p[1] & 0x7f;
    if (!first_bytes_are_legal(rules, f, len7))
        return -WS_CLOSE_PROTOCOL;

    len_bytes = len7 == LEN_64 ? 8 : len7 == LEN_16 ? 2 : 0;
    if (n < 2 + len_bytes)
        return 0;
    f->len = len_bytes ? read_be(p + 2, len_bytes) : len7;
    if ((len_bytes == 2 && f->len < LEN_16) ||
        (len_bytes == 8 && (f->len <= UINT16_MAX || f->len >> 63)))
        return -WS_CLOSE_PROTOCOL;

    head = 2 + len_bytes + (f->masked ? 4 : 0);
    if (n < head)
        return 0;
    memset(f->mask, 0, sizeof(f->mask));
    if (f->masked)
        memcpy(f->mask, p + 2 + len_bytes, sizeof(f->mask));
    return (int)head;
}

size_t ws_frame_head(uint8_t out[WS_HEAD_MAX], enum ws_opcode opcode, uint64_t len)
{
    size_t len_bytes = len > UINT16_MAX ? 8 : len >= LEN_16 ? 2 : 0;

    out[0] = (uint8_t)(FIN | opcode);
    out[1] = len_bytes == 8 ? LEN_64 : len_bytes == 2 ? LEN_16 : (uint8_t)len;
    for (size_t i = 0; i < len_bytes; i++)
        out[2 + i] = (uint8_t)(len >> 8 * (len_bytes - 1 - i));
    return 2 + len_bytes;
}
