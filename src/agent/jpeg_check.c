#include <config.h>

#include "agent/jpeg.h"

#include <stdbool.h>

enum {
    SOI = 0xd8,
    EOI = 0xd9,
    SOS = 0xda,
    DHT = 0xc4,
    JPG = 0xc8,
    DAC = 0xcc,
    RST0 = 0xd0,
    RST7 = 0xd7,
    TEM = 0x01,
};

static uint16_t get_u16(const uint8_t *p)
{
    return (uint16_t)(p[0] << 8 | p[1]);
}

static bool is_frame_header(uint8_t marker)
{
    return marker >= 0xc0 && marker <= 0xcf && marker != DHT && marker != JPG &&
           marker != DAC;
}

static bool stands_alone(uint8_t marker)
{
    return marker == TEM || (marker >= RST0 && marker <= RST7);
}

/* p is behind the length field of a frame header with len bytes. */
static int read_shape(const uint8_t *p, size_t len, struct agent_jpeg_shape *shape)
{
    if (len < 6)
        return SIO_ERR_PARSE;
    shape->height = get_u16(p + 1);
    shape->width = get_u16(p + 3);
    return shape->width > 0 && shape->height > 0 ? SIO_OK : SIO_ERR_PARSE;
}

/* Cameras append text or zeros behind the picture; a cut-off picture has no end. */
static size_t find_end(const uint8_t *p, size_t from, size_t len)
{
    for (size_t i = len; i >= from + 2; i--)
        if (p[i - 1] == EOI && p[i - 2] == 0xff)
            return i;
    return 0;
}

int agent_jpeg_check(const uint8_t *p, size_t len, struct agent_jpeg_shape *shape)
{
    size_t i = 2;

    *shape = (struct agent_jpeg_shape){0};
    if (len < 4 || p[0] != 0xff || p[1] != SOI)
        return SIO_ERR_PARSE;
    while (i + 4 <= len) {
        uint8_t marker = p[i + 1];
        size_t size;

        if (p[i] != 0xff)
            return SIO_ERR_PARSE;
        if (marker == 0xff) { /* fill byte */
            i++;
            continue;
        }
        i += 2;
        if (stands_alone(marker))
            continue;
        if (marker == SOI || marker == EOI || marker == 0)
            return SIO_ERR_PARSE;
        size = get_u16(p + i);
        if (size < 2 || size > len - i)
            return SIO_ERR_PARSE;
        if (is_frame_header(marker) && read_shape(p + i + 2, size - 2, shape) < 0)
            return SIO_ERR_PARSE;
        i += size;
        if (marker != SOS)
            continue;
        shape->len = find_end(p, i, len);
        return shape->width > 0 && shape->len > 0 ? SIO_OK : SIO_ERR_PARSE;
    }
    return SIO_ERR_PARSE;
}

void agent_jpeg_tables(uint32_t quality, uint16_t luma[64], uint16_t chroma[64])
{
    /* T.81, tables K.1 and K.2 */
    static const uint8_t k1[64] = {
        16, 11, 10, 16, 24,  40,  51,  61,  12, 12, 14, 19, 26,  58,  60,  55,
        14, 13, 16, 24, 40,  57,  69,  56,  14, 17, 22, 29, 51,  87,  80,  62,
        18, 22, 37, 56, 68,  109, 103, 77,  24, 35, 55, 64, 81,  104, 113, 92,
        49, 64, 78, 87, 103, 121, 120, 101, 72, 92, 95, 98, 112, 100, 103, 99,
    };
    static const uint8_t k2[64] = {
        17, 18, 24, 47, 99, 99, 99, 99, 18, 21, 26, 66, 99, 99, 99, 99,
        24, 26, 56, 99, 99, 99, 99, 99, 47, 66, 99, 99, 99, 99, 99, 99,
        99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99,
        99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99,
    };
    uint32_t scale = quality < 50 ? 5000 / (quality ? quality : 1) : 200 - 2 * quality;

    for (size_t i = 0; i < 64; i++) {
        uint32_t l = (k1[i] * scale + 50) / 100;
        uint32_t c = (k2[i] * scale + 50) / 100;

        luma[i] = (uint16_t)(l < 1 ? 1 : l > 255 ? 255 : l);
        chroma[i] = (uint16_t)(c < 1 ? 1 : c > 255 ? 255 : c);
    }
}
