/* The wide reader says what a plain one says, and pieces say what the whole says. */
#include <config.h>

#include <assert.h>

#include "base/utf8.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Length of the character at p (Unicode, table 3-7), or 0. */
static size_t plain_char(const uint8_t *p, size_t left)
{
    uint32_t c;
    size_t n = p[0] < 0x80   ? 1
               : p[0] < 0xc0 ? 0
               : p[0] < 0xe0 ? 2
               : p[0] < 0xf0 ? 3
                             : 4;

    if (n == 1)
        return 1;
    if (n == 0 || p[0] > 0xf4 || n > left)
        return 0;
    c = p[0] & (0x7fu >> n);
    for (size_t i = 1; i < n; i++) {
        if ((p[i] & 0xc0) != 0x80)
            return 0;
        c = c << 6 | (p[i] & 0x3fu);
    }
    if (c < (n == 2   ? 0x80u
             : n == 3 ? 0x800u
                      : 0x10000u) ||
        c > 0x10ffff || (c >= 0xd800 && c <= 0xdfff))
        return 0;
    return n;
}

static bool plain_check(const uint8_t *p, size_t len)
{
    while (len > 0) {
        size_t n = plain_char(p, len);

        if (n == 0)
            return false;
        p += n;
        len -= n;
    }
    return true;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct utf8 u = {0};
    size_t cut;
    bool whole;

    if (size == 0)
        return 0;
    cut = data[0] % size;
    data++;
    size--;
    whole = utf8_check(data, size);
    assert(whole == plain_check(data, size));
    assert(whole == (utf8_feed(&u, data, cut) &&
                     utf8_feed(&u, data + cut, size - cut) && utf8_done(&u)));
    return 0;
}
