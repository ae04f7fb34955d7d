/* What hubs say is read or refused; what is read lies in the text and fits its bounds. */
#include <config.h>

#include <assert.h>

#include "base/utf8.h"
#include "hub/peers_wire.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void look_at_items(const struct hub_wire_msg *m)
{
    struct json_iter it = json_iter(m->nucs);
    struct hub_wire_nuc nuc;
    struct sio_str key, item;
    char id[HUB_ID_MAX + 1];
    uint64_t us;

    while (m->nucs.ptr && json_next(&it, &key, &item)) {
        if (hub_wire_read_nuc(item, &nuc) < 0)
            continue;
        assert(nuc.id[0] != '\0' && strlen(nuc.id) <= HUB_ID_MAX);
        assert(nuc.epoch <= HUB_EPOCH_MAX);
        assert(!nuc.camaras.ptr || json_check(nuc.camaras) == SIO_OK);
    }
    it = json_iter(m->heard);
    while (m->heard.ptr && json_next(&it, &key, &item))
        if (hub_wire_read_heard(item, id, &us) == SIO_OK)
            assert(strlen(id) <= HUB_ID_MAX && us <= HUB_WIRE_MAX_INT);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct sio_slice jpeg;
    struct hub_wire_msg m;

    if (hub_wire_read((struct sio_str){(const char *)data, size}, &m) == SIO_OK) {
        assert(strlen(m.hub) == RANDOM_ID_LEN);
        assert(utf8_check(m.ip, strlen(m.ip)) && utf8_check(m.nuc, strlen(m.nuc)));
        look_at_items(&m);
    }
    if (hub_wire_read_frame((struct sio_slice){NULL, data, size}, &m, &jpeg) == SIO_OK)
        assert(jpeg.ptr > data && jpeg.ptr + jpeg.len == data + size);
    return 0;
}
