#include <config.h>

#include "hub/mp4.h"

#include <string.h>
#include <unistd.h>

/* A file has few boxes at its top; more than this are not looked at. */
#define MAX_BOXES 64
#define BOX(a, b, c, d) \
    ((uint32_t)(a) << 24 | (uint32_t)(b) << 16 | (uint32_t)(c) << 8 | (uint32_t)(d))

static uint64_t read_be(const uint8_t *p, unsigned n)
{
    uint64_t v = 0;

    while (n-- > 0)
        v = v << 8 | *p++;
    return v;
}

static bool read_at(int fd, uint64_t at, uint8_t *out, size_t len)
{
    return pread(fd, out, len, (off_t)at) == (ssize_t)len;
}

/*
 * Looks for a box among those from *at to end; *at and *len become the place and size of
 * its content.
 */
static bool find_box(int fd, uint32_t type, uint64_t *at, uint64_t end, uint64_t *len)
{
    uint64_t pos = *at;

    for (unsigned i = 0; i < MAX_BOXES && end - pos >= 8; i++) {
        uint8_t head[16];
        uint64_t size, head_len = 8;

        if (!read_at(fd, pos, head, 8))
            return false;
        size = read_be(head, 4);
        if (size == 1) {
            head_len = 16;
            if (end - pos < 16 || !read_at(fd, pos, head, 16))
                return false;
            size = read_be(head + 8, 8);
        } else if (size == 0) {
            size = end - pos;
        }
        if (size < head_len || size > end - pos)
            return false;
        if (read_be(head + 4, 4) == type) {
            *at = pos + head_len;
            *len = size - head_len;
            return true;
        }
        pos += size;
    }
    return false;
}

double hub_mp4_duration(const struct http_file *f)
{
    uint64_t at = 0;
    uint64_t len;
    uint8_t head[32];
    uint64_t scale, units;

    if (!find_box(f->fd, BOX('m', 'o', 'o', 'v'), &at, f->size, &len) ||
        !find_box(f->fd, BOX('m', 'v', 'h', 'd'), &at, at + len, &len) ||
        len < sizeof(head) || !read_at(f->fd, at, head, sizeof(head)))
        return -1;
    if (head[0] == 1) { /* version: times of 8 bytes */
        scale = read_be(head + 20, 4);
        units = read_be(head + 24, 8);
    } else {
        scale = read_be(head + 12, 4);
        units = read_be(head + 16, 4);
    }
    return scale > 0 ? (double)units / (double)scale : -1;
}
