/*
 * engineio/address.h - how many sessions each address has, where that is bounded
 */
#ifndef ENGINEIO_ADDRESS_H
#define ENGINEIO_ADDRESS_H

#include "base/map.h"

/* An address with sessions. */
struct eio_address;

/* Sessions of an address in a map of them. */
uint32_t eio_addresses_count(const struct map *addresses, struct sio_str address);

/* One more; *out is to be dropped when it ends.  SIO_OK or SIO_ERR_NOMEM. */
int eio_address_take(struct map *addresses, struct sio_str address,
                     struct eio_address **out);

/* One less; the last frees it.  a may be NULL. */
void eio_address_drop(struct map *addresses, struct eio_address *a);

#endif
