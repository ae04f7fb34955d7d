/*
 * net/listener.h - accepts connections, IPv4 and IPv6, plain or TLS
 */
#ifndef NET_LISTENER_H
#define NET_LISTENER_H

#include "net/conn.h"

struct net_listener;

struct net_listen_options {
    /* An address; NULL: all, IPv6 and IPv4 (IPv4 alone where there is no IPv6). */
    const char *host;
    uint16_t port;       /* 0: the kernel chooses */
    struct net_tls *tls; /* NULL: plain; a reference is taken */
    uint32_t max_conns;  /* accepting pauses above it; 0: 65536 */
};

/*
 * A new connection; the callee calls net_conn_set_ops before it returns, or
 * net_conn_abort.  With TLS it comes after the handshake (deadline 10 s, at most 8
 * handshakes are begun per turn).
 */
typedef void (*net_accept_cb)(struct net_conn *c, void *user);

/*
 * NULL with diag filled.  Out of descriptors: accepting rests for a moment, one
 * warning.
 */
struct net_listener *net_listener_new(struct net_loop *loop,
                                      const struct net_listen_options *opts,
                                      net_accept_cb cb, void *user,
                                      struct sio_diag *diag);

/* Stops accepting.  Connections that were accepted live on. */
void net_listener_free(struct net_listener *l);

/*
 * For handshakes that begin from now on; a reference is taken.  Nothing for a plain
 * listener.
 */
void net_listener_set_tls(struct net_listener *l, struct net_tls *tls);

uint16_t net_listener_port(const struct net_listener *l);
size_t net_listener_n_conns(const struct net_listener *l);

#endif
