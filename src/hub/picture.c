#include <config.h>

#include "hub/picture.h"

#include "base/base64.h"
#include "base/buf.h"
#include "base/json.h"
#include "base/list.h"
#include "base/str.h"

#define PREFIX_MAX 64 /* bytes in front of the base64 */

void hub_picture_read(struct sio_str object, struct hub_picture *out)
{
    const struct {
        struct sio_str name;
        struct sio_str *value;
    } members[] = {
        {SIO_STR("nuc_id"), &out->nuc_id},       {SIO_STR("ip"), &out->ip},
        {SIO_STR("image"), &out->image},         {SIO_STR("estado"), &out->estado},
        {SIO_STR("timestamp"), &out->timestamp},
    };
    struct json_iter it = json_iter(object);
    struct sio_str key, value;

    *out = (struct hub_picture){.exact = true};
    while (json_next(&it, &key, &value)) {
        size_t i = 0;

        while (i < N_ELEMENTS(members) && !json_string_eq(key, members[i].name))
            i++;
        if (i == N_ELEMENTS(members) || members[i].value->ptr)
            out->exact = false;
        if (i < N_ELEMENTS(members))
            *members[i].value = value;
    }
}

bool hub_picture_image(const struct hub_picture *p, struct sio_str *text)
{
    return p->image.ptr && json_type(p->image) == JSON_STRING &&
           json_string_plain(p->image, text) && text->len > 0;
}

struct sio_str hub_image_base64(struct sio_str text)
{
    struct sio_str head = {text.ptr, text.len < PREFIX_MAX ? text.len : PREFIX_MAX};
    struct sio_str marker = SIO_STR(";base64");
    size_t comma = str_find(head, ',');

    if (!str_starts(text, SIO_STR("data:")) || comma == head.len ||
        comma < marker.len ||
        !str_starts((struct sio_str){text.ptr + comma - marker.len, marker.len},
                    marker))
        return text;
    return (struct sio_str){text.ptr + comma + 1, text.len - comma - 1};
}

/*
 * Browsers take base64 without its padding, so do we: the whole groups of four go
 * one way, and what is left is padded here.
 */
static size_t cut_tail(struct sio_str *base64, char tail[4])
{
    size_t left = base64->len % 4;

    if (left == 0)
        return 0;
    base64->len -= left;
    memset(tail, '=', 4);
    memcpy(tail, base64->ptr + base64->len, left);
    return 4;
}

bool hub_image_check(struct sio_str text)
{
    struct sio_str base64 = hub_image_base64(text);
    char tail[4];
    size_t n;

    if (text.len < HUB_IMAGE_MIN_CHARS || base64.len == 0)
        return false;
    /* Padded in full or not at all. */
    if (base64.len % 4 != 0 && str_find(base64, '=') < base64.len)
        return false;
    n = cut_tail(&base64, tail);
    return base64_check(base64.ptr, base64.len) && base64_check(tail, n);
}

bool hub_image_is_jpeg(const uint8_t *p, size_t len)
{
    return len > 3 && p[0] == 0xff && p[1] == 0xd8 && p[2] == 0xff;
}

struct sio_buf *hub_image_jpeg(struct sio_str text, int *error)
{
    struct sio_str base64 = hub_image_base64(text);
    size_t len = 0, tail_len = 0;
    char tail[4];
    size_t n = cut_tail(&base64, tail);
    struct sio_buf *b = sio_buf_new(base64.len / 4 * 3 + n);

    if (!b) {
        *error = SIO_ERR_NOMEM;
        return NULL;
    }
    if (base64_decode(base64.ptr, base64.len, b->data, &len) < 0 ||
        base64_decode(tail, n, b->data + len, &tail_len) < 0 ||
        !hub_image_is_jpeg(b->data, len + tail_len)) {
        *error = SIO_ERR_PARSE;
        sio_buf_unref(b);
        return NULL;
    }
    b->len = (uint32_t)(len + tail_len);
    return b;
}
