/*
 * engineio/cookie.h - the cookie that tells a balancer where a session lives (RFC 6265)
 */
#ifndef ENGINEIO_COOKIE_H
#define ENGINEIO_COOKIE_H

#include "http/server.h"

struct eio_cookie;

/*
 * Checks the cookie and writes it without its value, "io=; Path=/; ...", once for all;
 * *out is the caller's.  SIO_ERR_INVAL, SIO_ERR_NOMEM with diag filled.
 */
int eio_cookie_make(const struct eio_cookie *c, char **out, struct sio_diag *diag);

/* Adds it, with the sid, to the reply that opens the session. */
void eio_cookie_add(struct http_request *r, const char *cookie, const char *sid);

#endif
