/*
 * redis/url.h - where a Redis is, as REDIS_URL says it
 *
 *     redis://[user][:password@]host[:port][/db]
 *     unix://[user][:password@]/path/of/socket[?db=N]
 *
 * User and password may be percent-encoded.  `db`, `username` and `password` may also
 * stand in the query; other things there are for other clients and count for nothing.
 */
#ifndef REDIS_URL_H
#define REDIS_URL_H

#include <sioc/bytes.h>

struct redis_url {
    char *host;     /* name or address; NULL: a Unix socket */
    char *path;     /* of the socket; NULL: TCP */
    char *user;     /* or NULL */
    char *password; /* or NULL; never to be logged */
    uint16_t port;
    uint32_t db;
};

/*
 * SIO_OK: the caller ends out with redis_url_fini.  SIO_ERR_PARSE, SIO_ERR_UNSUPPORTED
 * (rediss://) or SIO_ERR_NOMEM with a sentence in diag that shows nothing of the text;
 * then out is empty.
 */
int redis_url_parse(struct sio_str text, struct redis_url *out, struct sio_diag *diag);

void redis_url_fini(struct redis_url *u);

#endif
