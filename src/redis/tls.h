/*
 * redis/tls.h - whom a URL of a Redis lets us trust
 */
#ifndef REDIS_TLS_H
#define REDIS_TLS_H

#include "net/tls.h"
#include "redis/url.h"

/*
 * Reads the certificates that u names.  *out is the caller's, and NULL where u is without
 * TLS.  SIO_OK; SIO_ERR_TLS, SIO_ERR_NOMEM with a sentence in diag, which may name a file.
 */
int redis_tls_new(const struct redis_url *u, struct net_tls **out,
                  struct sio_diag *diag);

#endif
