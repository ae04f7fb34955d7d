/*
 * redis/url.h - where a Redis is, as REDIS_URL says it
 *
 *     redis://[user][:password@]host[:port][/db]
 *     rediss://...                                      the same over TLS
 *     unix://[user][:password@]/path/of/socket[?db=N]
 *
 * User and password may be percent-encoded.  `db`, `username` and `password` may also
 * stand in the query, and with rediss:// these, which have the names that redis-py gave
 * them:
 *
 *     ssl_cert_reqs=none|optional|required   none: whoever answers is trusted (required)
 *     ssl_check_hostname=false               the certificate may be for another name
 *     ssl_ca_certs=FILE                      trusted in place of the system's CAs
 *     ssl_certfile=FILE, ssl_keyfile=FILE    a certificate of ours
 *
 * Other things there are for other clients and count for nothing.
 */
#ifndef REDIS_URL_H
#define REDIS_URL_H

#include <stdbool.h>

#include <sioc/bytes.h>

struct redis_url {
    char *host;     /* name or address; NULL: a Unix socket */
    char *path;     /* of the socket; NULL: TCP */
    char *user;     /* or NULL */
    char *password; /* or NULL; never to be logged */
    uint16_t port;
    uint32_t db;
    bool tls;
    bool insecure;   /* nothing of the certificate is verified */
    bool any_name;   /* all but its name is */
    char *ca_file;   /* or NULL */
    char *cert_file; /* or NULL */
    char *key_file;  /* or NULL */
};

/*
 * SIO_OK: the caller ends out with redis_url_fini.  SIO_ERR_PARSE or SIO_ERR_NOMEM with a
 * sentence in diag that shows nothing of the text; then out is empty.
 */
int redis_url_parse(struct sio_str text, struct redis_url *out, struct sio_diag *diag);

void redis_url_fini(struct redis_url *u);

#endif
