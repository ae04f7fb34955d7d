/*
 * http/url.h - strict absolute URLs, for clients (RFC 3986, and the WHATWG's ports)
 */
#ifndef HTTP_URL_H
#define HTTP_URL_H

#include <stdbool.h>

#include <sioc/bytes.h>

/* Slices of the text that was parsed. */
struct http_url {
    struct sio_str scheme;   /* as written; compare with str_ieq */
    struct sio_str user;     /* ptr NULL: none; not decoded */
    struct sio_str password; /* ptr NULL: none; not decoded; never to be logged */
    struct sio_str host;     /* name, IPv4, or IPv6 without its brackets */
    struct sio_str path;     /* "/..." or empty, as written */
    struct sio_str query;    /* ptr NULL: none; without '?' */
    uint16_t port;           /* the scheme's where none is given */
    bool port_given;
    bool ipv6;
    bool tls; /* https, wss, rtsps */
};

/*
 * Takes http, https, ws, wss, rtsp, rtsps.  Everything is bytes 0x21..0x7e; a user part
 * ends at the last '@' of the authority; a fragment is refused.  SIO_OK or SIO_ERR_PARSE
 * with a sentence in diag that never shows the URL.
 */
int http_url_parse(struct sio_str text, struct http_url *out, struct sio_diag *diag);

#endif
