#include <config.h>

#include "redis/tls.h"

int redis_tls_new(const struct redis_url *u, struct net_tls **out,
                  struct sio_diag *diag)
{
    const struct net_tls_client_options opts = {
        .ca_file = u->ca_file,
        .cert_file = u->cert_file,
        .key_file = u->key_file,
        .insecure = u->insecure,
        .any_name = u->any_name,
        .no_alpn = true,
    };

    *out = u->tls ? net_tls_client_new(&opts, diag) : NULL;
    return u->tls && !*out ? SIO_ERR_TLS : SIO_OK;
}
