/*
 * net/tls.h - TLS, the one place that knows OpenSSL
 *
 * A net_tls is what a certificate and a trust store give; it is shared by the
 * connections made with it and counted.
 */
#ifndef NET_TLS_H
#define NET_TLS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <sioc/error.h>

struct net_tls;

/* Server side: PEM certificate chain and key.  TLS 1.2 and later, ALPN http/1.1. */
struct net_tls *net_tls_server_new(const char *cert_file, const char *key_file,
                                   struct sio_diag *diag);

struct net_tls_client_options {
    /* Trusted instead of the system's CAs; NULL: the system's, or SSL_CERT_FILE. */
    const char *ca_file;
    const char *cert_file; /* client certificate, or NULL */
    const char *key_file;
    bool insecure;     /* no verification at all */
    bool any_name;     /* the chain is verified, the name is not */
    bool no_alpn;      /* what is spoken is not HTTP */
    bool only_tls_1_3; /* else 1.2 and later */
};
/* Client side: verifies chain and host name (RFC 6125), sends SNI. opts may be NULL. */
struct net_tls *net_tls_client_new(const struct net_tls_client_options *opts,
                                   struct sio_diag *diag);

struct net_tls *net_tls_ref(struct net_tls *tls);
void net_tls_unref(struct net_tls *tls);

/* SHA-1 for the layers above.  SIO_OK or SIO_ERR_NOMEM. */
int net_sha1(const void *p, size_t len, uint8_t out[20]);

#endif
