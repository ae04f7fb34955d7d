/*
 * http/cookies.h - the cookies of one server (RFC 6265), bounded
 *
 * Balancers find a client's server again by a cookie, so a client keeps what it is given
 * for as long as it lives.
 */
#ifndef HTTP_COOKIES_H
#define HTTP_COOKIES_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"

/* Cookies kept at most, and bytes of a name and value; the oldest one makes room. */
#define HTTP_COOKIES_MAX      16
#define HTTP_COOKIE_MAX_BYTES 4096

struct http_cookies;

struct http_cookies *http_cookies_new(void); /* NULL: out of memory */
void http_cookies_free(struct http_cookies *jar);

/* The request that is made or was answered. */
struct http_cookies_request {
    const char *host;
    const char *path;
    bool secure;   /* over TLS */
    int64_t now_s; /* since 1970 */
};

/*
 * Takes a Set-Cookie value: keeps, replaces or (expired) drops that cookie.  What is not
 * to be believed is ignored: another site's domain, Secure without TLS.
 */
void http_cookies_set(struct http_cookies *jar, const struct http_cookies_request *r,
                      struct sio_str value);

/* Writes "a=b; c=d", all that the request is to carry; nothing where that is none. */
void http_cookies_write(const struct http_cookies *jar,
                        const struct http_cookies_request *r, struct wbuf *w);

#endif
