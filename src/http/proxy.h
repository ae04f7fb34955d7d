/*
 * http/proxy.h - the HTTP proxy between a client and its server: which one, and CONNECT
 *
 * Every connection goes through CONNECT, plain ones too, so that a proxy sees, keeps and
 * changes nothing.  (RFC 9110, 9.3.6)
 */
#ifndef HTTP_PROXY_H
#define HTTP_PROXY_H

#include <stdbool.h>
#include <stdint.h>

#include <sioc/bytes.h>

struct net_tunnel;

/* Unchanged once made; counted. */
struct http_proxy;

/*
 * From "http://[user:password@]host[:port]", percent-encoded; without a scheme it is http,
 * without a port 80.  NULL with a sentence in diag that never shows the URL.
 */
struct http_proxy *http_proxy_new(struct sio_str url, struct sio_diag *diag);
struct http_proxy *http_proxy_ref(struct http_proxy *p);
void http_proxy_unref(struct http_proxy *p); /* NULL is allowed */

/*
 * What the environment says for a server, as curl reads it: https_proxy, HTTPS_PROXY for
 * TLS, else http_proxy, HTTP_PROXY (not in a CGI program, where a request's field sets it);
 * then all_proxy, ALL_PROXY; none where no_proxy or NO_PROXY names the server.  *out NULL:
 * no proxy.  SIO_OK, or SIO_ERR_INVAL with diag (a URL that is none, or no memory).
 */
int http_proxy_from_env(bool tls, const char *host, uint16_t port,
                        struct http_proxy **out, struct sio_diag *diag);

/*
 * Whether a list, separated by commas or blanks, names the server.  An entry is `*`, a
 * name (which stands for the names below it too, with or without a dot in front), an
 * address, or a network as 192.0.2.0/24; names and addresses maybe with a port, IPv6 then
 * in brackets.
 */
bool http_proxy_bypassed(struct sio_str list, const char *host, uint16_t port);

const char *http_proxy_host(const struct http_proxy *p);
uint16_t http_proxy_port(const struct http_proxy *p);

/* For net_connect_options.tunnel.  NULL: out of memory. */
struct net_tunnel *http_proxy_tunnel(const struct http_proxy *p, const char *host,
                                     uint16_t port);

#endif
