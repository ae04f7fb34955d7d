/*
 * net/conn.h - a stream connection: TCP, with or without TLS, in both directions
 *
 * The loop owns it.  It ends once: on_close is called, after which the pointer is
 * dead at the end of the turn.  Output is only queued; the loop writes it at the
 * end of the turn with one writev (plain) or one series of full records (TLS).
 */
#ifndef NET_CONN_H
#define NET_CONN_H

#include <netinet/in.h>
#include <stdbool.h>
#include <sys/socket.h>

#include <sioc/bytes.h>

#include "net/loop.h"
#include "net/tls.h"

struct net_conn;

/* An Internet address and port.  IPv4 in IPv6 (::ffff:a.b.c.d) is kept as IPv4. */
struct net_addr {
    union {
        struct sockaddr sa;
        struct sockaddr_in in;
        struct sockaddr_in6 in6;
    };
    socklen_t len;
};

/* False if host is no numeric address. */
bool net_addr_parse(const char *host, uint16_t port, struct net_addr *out);

/* From what the kernel gives; another family becomes an address without a name. */
void net_addr_set(struct net_addr *a, const struct sockaddr *sa, socklen_t len);

/* The address as text, `192.0.2.7` / `2001:db8::1`, no brackets, no port. */
#define NET_ADDR_SIZE 64
void net_addr_format(const struct net_addr *a, char out[NET_ADDR_SIZE]);
uint16_t net_addr_port(const struct net_addr *a);

struct net_conn_ops {
    /*
     * Connected; with TLS: handshake and verification done.  Not called for accepted
     * plain connections, which are open from the start.  May be NULL.
     */
    void (*on_open)(struct net_conn *c, void *user);

    /*
     * Bytes from the peer, in the loop's buffer: the callee may change them in place,
     * and takes all of them.  Not called while paused (but once with what came together
     * with the end of TLS's handshake) or after net_conn_close.
     */
    void (*on_data)(struct net_conn *c, uint8_t *data, size_t len, void *user);

    /*
     * The queue has fallen to the low mark after net_conn_full was true.  May be NULL.
     */
    void (*on_drain)(struct net_conn *c, void *user);

    /*
     * The peer sends no more (FIN, or TLS close_notify); also seen while paused, and
     * then maybe before bytes that still wait to be read.  Called at most once.  NULL:
     * the connection is closed as by net_conn_abort, SIO_ERR_CLOSED.
     */
    void (*on_eof)(struct net_conn *c, void *user);

    /*
     * The end, exactly once, also after net_conn_close and net_conn_abort.
     * error: SIO_OK (we closed it), SIO_ERR_CLOSED (peer), SIO_ERR_TIMEOUT, SIO_ERR_IO,
     * SIO_ERR_TLS, SIO_ERR_RESOLVE, SIO_ERR_REFUSED; net_conn_diag has a sentence.
     */
    void (*on_close)(struct net_conn *c, int error, void *user);
};

/*
 * What is said on a new connection before it is open, and before TLS: to a proxy, whom to
 * connect us with.  It belongs to the connection that dials.
 */
struct net_tunnel {
    const struct net_tunnel_ops *ops;
};

struct net_tunnel_ops {
    /* All that we say.  Borrowed. */
    struct sio_str (*request)(struct net_tunnel *t);

    /*
     * Bytes of the answer.  1: the way is open; 0: more is to come; else an error, with a
     * sentence in diag.
     */
    int (*answer)(struct net_tunnel *t, const uint8_t *data, size_t len,
                  struct sio_diag *diag);
    void (*free)(struct net_tunnel *t);
};

struct net_connect_options {
    const char *host; /* name or address; with a tunnel, the proxy's */
    uint16_t port;
    const char *path;     /* of a Unix socket, in place of host and port; or NULL */
    struct net_tls *tls;  /* NULL: plain; a reference is taken */
    const char *tls_name; /* SNI and the name to verify; NULL: host */
    uint32_t timeout_ms;  /* until on_open; 0: 10 s */
    struct net_tunnel *tunnel; /* NULL: none; moved, also where dialling fails */
};

/*
 * Dials.  Names are looked up on another thread; the addresses are tried in order (RFC
 * 6724's, as getaddrinfo gives them).  NULL: out of memory.  Errors come to on_close,
 * never before this returns.
 */
struct net_conn *net_conn_connect(struct net_loop *loop,
                                  const struct net_connect_options *opts,
                                  const struct net_conn_ops *ops, void *user);

/* Hands the connection to another layer (upgrade). */
void net_conn_set_ops(struct net_conn *c, const struct net_conn_ops *ops, void *user);

/*
 * Queues the slices (a reference is taken on each buf; borrowed bytes are copied).
 * SIO_OK; SIO_ERR_NOMEM (nothing queued); SIO_ERR_CLOSED (closing, nothing queued).
 */
int net_conn_send(struct net_conn *c, const struct sio_slice *slices, size_t n);
int net_conn_send_bytes(struct net_conn *c, const void *p, size_t len);

/* Bytes queued and not yet taken by the kernel. */
size_t net_conn_pending(const struct net_conn *c);

/* Marks: full at or above high, on_drain at or below low.  Default 256 KiB, 64 KiB. */
void net_conn_set_marks(struct net_conn *c, size_t high, size_t low);
bool net_conn_full(struct net_conn *c);

/*
 * Bounds what the kernel holds beyond what is on its way (TCP_NOTSENT_LOWAT), so that
 * what is pending is seen here and can still be left out.
 */
void net_conn_set_unsent(struct net_conn *c, uint32_t bytes);

/* Stops and starts reading; the peer's end is still seen. */
void net_conn_pause(struct net_conn *c);
void net_conn_resume(struct net_conn *c);

/*
 * Sends what is queued (30 s at most), then FIN (TLS: close_notify), then waits up to
 * linger_ms for the peer's FIN, reading and dropping, so that the last bytes are not
 * lost to a reset.  A connection that is not open yet ends at once: on_close runs
 * before this returns.
 */
void net_conn_close(struct net_conn *c, uint32_t linger_ms);

/* Ends at once; what is queued is dropped.  on_close runs before this returns. */
void net_conn_abort(struct net_conn *c, int error);

/*
 * One general deadline for whoever owns the connection at present: when it passes,
 * the connection ends with SIO_ERR_TIMEOUT.  0: none.  net_conn_close replaces it.
 */
int net_conn_deadline(struct net_conn *c, uint32_t ms);

struct net_loop *net_conn_loop(struct net_conn *c);
const struct net_addr *net_conn_peer(const struct net_conn *c);
bool net_conn_is_tls(const struct net_conn *c);
const char *net_conn_diag(const struct net_conn *c); /* why it ended; "" */

/* What the kernel has taken, in all. */
uint64_t net_conn_bytes_out(const struct net_conn *c);

#endif
