#include <config.h>

#include "engineio/packet.h"

#include <inttypes.h>

#include "base/base64.h"
#include "base/json.h"
#include "base/str.h"
#include "base/utf8.h"

int eio_packet_parse(struct sio_str text, struct eio_packet *out)
{
    if (text.len == 0 || text.ptr[0] < '0' || text.ptr[0] > '0' + EIO_PACKET_NOOP)
        return SIO_ERR_PARSE;
    out->type = (enum eio_packet_type)(text.ptr[0] - '0');
    out->base64 = false;
    out->binary = false;
    out->data.ptr = text.ptr + 1;
    out->data.len = text.len - 1;
    return SIO_OK;
}

bool eio_packet_is_probe(const struct eio_packet *p)
{
    return (p->type == EIO_PACKET_PING || p->type == EIO_PACKET_PONG) &&
           str_eq_cstr(p->data, "probe");
}

int eio_payload_next(struct sio_str *rest, struct eio_packet *out)
{
    struct sio_str text;

    if (!rest->ptr)
        return 0;
    text = str_cut(rest, EIO_PACKET_SEPARATOR);
    if (text.len > 0 && text.ptr[0] == EIO_PACKET_BASE64) {
        out->type = EIO_PACKET_MESSAGE;
        out->base64 = true;
        out->binary = false;
        out->data.ptr = text.ptr + 1;
        out->data.len = text.len - 1;
        return 1;
    }
    if (eio_packet_parse(text, out) < 0 || !utf8_check(text.ptr, text.len))
        return SIO_ERR_PARSE;
    return 1;
}

int eio_packet_decode(const struct eio_packet *p, struct sio_buf **out)
{
    struct sio_buf *b;
    size_t room = p->data.len / 4 * 3;
    size_t len;
    int rv;

    /*
     * Its padding tells the length beforehand, so that the buf has it from the
     * start.
     */
    if (p->data.len % 4 != 0)
        return SIO_ERR_PARSE;
    b = sio_buf_new(room);
    if (!b)
        return SIO_ERR_NOMEM;
    rv = base64_decode(p->data.ptr, p->data.len, sio_buf_data(b), &len);
    if (rv < 0) {
        sio_buf_unref(b);
        return rv;
    }
    b->len = (uint32_t)len;
    *out = b;
    return SIO_OK;
}

void eio_open_write(struct wbuf *w, const struct eio_open *o)
{
    wbuf_addf(w,
              "0{\"sid\":\"%.*s\",\"upgrades\":[%s],\"pingInterval\":%" PRIu32
              ",\"pingTimeout\":%" PRIu32 ",\"maxPayload\":%" PRIu32 "}",
              STR_ARG(o->sid), o->can_upgrade ? "\"websocket\"" : "",
              o->ping_interval_ms, o->ping_timeout_ms, o->max_payload);
}

static bool read_sid(struct sio_str object, struct sio_str *out)
{
    struct sio_str raw;

    if (!json_get(object, "sid", &raw) || json_type(raw) != JSON_STRING)
        return false;
    if (!json_string_plain(raw, out) || out->len == 0 || out->len > EIO_SID_MAX)
        return false;
    for (size_t i = 0; i < out->len; i++)
        if (out->ptr[i] <= ' ' || out->ptr[i] >= 0x7f)
            return false;
    return true;
}

static bool read_upgrades(struct sio_str object, bool *has_websocket)
{
    struct sio_str list, key, item;
    struct json_iter it;

    *has_websocket = false;
    if (!json_get(object, "upgrades", &list) || json_type(list) != JSON_ARRAY)
        return false;
    it = json_iter(list);
    while (json_next(&it, &key, &item)) {
        if (json_type(item) != JSON_STRING)
            return false;
        if (json_string_eq(item, SIO_STR("websocket")))
            *has_websocket = true;
    }
    return true;
}

/* A whole number from min to max. */
static bool read_number(struct sio_str object, const char *name, uint32_t min,
                        uint32_t max, uint32_t *out)
{
    struct sio_str raw;
    double d;

    if (!json_get(object, name, &raw) || !json_number(raw, &d))
        return false;
    if (!(d >= min && d <= max) || d != (double)(uint32_t)d)
        return false;
    *out = (uint32_t)d;
    return true;
}

int eio_open_parse(struct sio_str json, struct eio_open *out)
{
    struct sio_str raw;

    json = str_trim(json);
    if (json_check(json) < 0 || json_type(json) != JSON_OBJECT)
        return SIO_ERR_PARSE;
    out->max_payload = 0;
    if (!read_sid(json, &out->sid) || !read_upgrades(json, &out->can_upgrade) ||
        !read_number(json, "pingInterval", 1, INT32_MAX, &out->ping_interval_ms) ||
        !read_number(json, "pingTimeout", 1, INT32_MAX, &out->ping_timeout_ms))
        return SIO_ERR_PARSE;
    if (json_get(json, "maxPayload", &raw) &&
        !read_number(json, "maxPayload", 1, UINT32_MAX, &out->max_payload))
        return SIO_ERR_PARSE;
    return SIO_OK;
}
