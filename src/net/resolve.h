/*
 * net/resolve.h - name lookup on another thread
 *
 * getaddrinfo blocks and cannot be interrupted.  Each lookup has a thread of its
 * own; one that is cancelled, or whose loop has gone, finishes by itself and its
 * result is dropped.
 */
#ifndef NET_RESOLVE_H
#define NET_RESOLVE_H

#include "net/conn.h"

#define NET_LOOKUP_MAX_ADDRS 16

struct net_lookup;

/*
 * error: NULL, or why there are no addresses.  Both are borrowed.  Called once, on the
 * loop's thread, never before net_lookup_start returns; then the lookup is dead.
 */
typedef void (*net_lookup_cb)(const struct net_addr *addrs, size_t n, const char *error,
                              void *user);

/*
 * The addresses of host with port filled in, in the order of RFC 6724.  NULL: out of
 * memory, no thread, or too many lookups are running.
 */
struct net_lookup *net_lookup_start(struct net_loop *loop, const char *host,
                                    uint16_t port, net_lookup_cb cb, void *user);

/* cb is not called any more. */
void net_lookup_cancel(struct net_lookup *l);

#endif
