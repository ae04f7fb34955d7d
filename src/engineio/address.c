#include <config.h>

#include "engineio/address.h"

#include <string.h>

#include "base/list.h"
#include "base/mem.h"

struct eio_address {
    struct map_node node;
    uint32_t n;
    char text[];
};

static struct eio_address *find(const struct map *addresses, struct sio_str address)
{
    struct map_node *node = map_find(addresses, address);

    return node ? container_of(node, struct eio_address, node) : NULL;
}

uint32_t eio_addresses_count(const struct map *addresses, struct sio_str address)
{
    const struct eio_address *a = find(addresses, address);

    return a ? a->n : 0;
}

int eio_address_take(struct map *addresses, struct sio_str address,
                     struct eio_address **out)
{
    struct eio_address *a = find(addresses, address);

    if (!a) {
        a = mem_alloc(sizeof(*a) + address.len);
        if (!a)
            return SIO_ERR_NOMEM;
        memcpy(a->text, address.ptr, address.len);
        if (map_add(addresses, &a->node, (struct sio_str){a->text, address.len}) < 0) {
            mem_free(a);
            return SIO_ERR_NOMEM;
        }
    }
    a->n++;
    *out = a;
    return SIO_OK;
}

void eio_address_drop(struct map *addresses, struct eio_address *a)
{
    if (!a || --a->n > 0)
        return;
    map_remove(addresses, &a->node);
    mem_free(a);
}
