#include <config.h>

#include "redis/slots.h"

#include <string.h>

#include "base/str.h"

#define MAX_HOST 253

static uint16_t crc16(struct sio_str s)
{
    uint16_t crc = 0;

    for (size_t i = 0; i < s.len; i++) {
        crc ^= (uint16_t)((uint8_t)s.ptr[i] << 8);
        for (int bit = 0; bit < 8; bit++)
            crc = (uint16_t)(crc & 0x8000 ? crc << 1 ^ 0x1021 : crc << 1);
    }
    return crc;
}

uint16_t redis_slot_of(struct sio_str key)
{
    struct sio_str tag = key;

    (void)str_cut(&tag, '{');
    if (tag.ptr && str_find(tag, '}') < tag.len) {
        tag = str_cut(&tag, '}');
        key = tag.len > 0 ? tag : key;
    }
    return crc16(key) % REDIS_N_SLOTS;
}

static bool host_is_legal(struct sio_str host)
{
    for (size_t i = 0; i < host.len; i++) {
        char c = host.ptr[i];

        if ((c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') &&
            (c == '\0' || !strchr(".:-_%", c)))
            return false;
    }
    return host.len <= MAX_HOST;
}

static bool set_place(struct redis_place *out, struct sio_str host, uint64_t port)
{
    *out = (struct redis_place){host, (uint16_t)port};
    return port > 0 && port <= UINT16_MAX && host_is_legal(host);
}

bool redis_redirect_read(struct sio_str error, struct redis_redirect *out)
{
    struct sio_str kind = str_cut(&error, ' ');
    struct sio_str slot = error.ptr ? str_cut(&error, ' ') : error;
    size_t colon = error.len;
    uint64_t n, port;

    out->ask = str_eq_cstr(kind, "ASK");
    if (!error.ptr || (!out->ask && !str_eq_cstr(kind, "MOVED")) ||
        str_to_u64(slot, REDIS_N_SLOTS - 1, &n) < 0)
        return false;
    while (colon > 0 &&
           error.ptr[colon - 1] != ':') /* the last one: IPv6 has several */
        colon--;
    if (colon == 0 || str_to_u64((struct sio_str){error.ptr + colon, error.len - colon},
                                 UINT16_MAX, &port) < 0)
        return false;
    out->slot = (uint16_t)n;
    return set_place(&out->to, (struct sio_str){error.ptr, colon - 1}, port);
}

bool redis_error_passes(struct sio_str error)
{
    static const char *const kinds[] = {"CLUSTERDOWN", "TRYAGAIN", "MOVED",
                                        "ASK",         "LOADING",  "MASTERDOWN"};
    struct sio_str kind = str_cut(&error, ' ');

    for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++)
        if (str_eq_cstr(kind, kinds[i]))
            return true;
    return false;
}

static bool read_slot(const struct redis_reply *r, uint16_t *out)
{
    int64_t n;

    if (!redis_reply_integer(r, &n) || n < 0 || n >= REDIS_N_SLOTS)
        return false;
    *out = (uint16_t)n;
    return true;
}

bool redis_range_read(const struct redis_reply *item, struct redis_range *out)
{
    out->item = item;
    return redis_reply_count(item) >= 3 &&
           read_slot(redis_reply_at(item, 0), &out->first) &&
           read_slot(redis_reply_at(item, 1), &out->last) && out->first <= out->last;
}

size_t redis_range_count(const struct redis_range *r)
{
    return redis_reply_count(r->item) - 2;
}

/* The host is nil where the cluster does not know it. */
bool redis_range_node(const struct redis_range *r, size_t i, struct redis_place *out)
{
    const struct redis_reply *node = redis_reply_at(r->item, 2 + i);
    struct sio_str host = {"", 0};
    int64_t port;

    if (redis_reply_count(node) < 2)
        return false;
    redis_reply_text(redis_reply_at(node, 0), &host);
    return redis_reply_integer(redis_reply_at(node, 1), &port) && port > 0 &&
           set_place(out, host, (uint64_t)port);
}
