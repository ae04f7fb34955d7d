/*
 * net/tls_session.h - one TLS connection, without any I/O
 *
 * Ciphertext is fed from memory and comes out in the loop's scratch space
 * (loop_tls.out), from where net/conn.c sends it; what the kernel does not take is
 * kept in the session.  So an idle session holds no buffers of ours.
 */
#ifndef NET_TLS_SESSION_H
#define NET_TLS_SESSION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <sioc/bytes.h>

#include "net/loop_impl.h"
#include "net/tls.h"

struct tls_session;

/* name: to verify and for SNI (client), or NULL (server).  NULL: out of memory. */
struct tls_session *tls_session_new(struct net_tls *tls, struct loop_tls *scratch,
                                    const char *name);
void tls_session_free(struct tls_session *s);

/*
 * What the peer sent; borrowed, and all taken by tls_session_handshake and
 * tls_session_read before the next turn.
 */
void tls_session_feed(struct tls_session *s, const uint8_t *p, size_t len);

/* 1: done.  0: more is needed.  SIO_ERR_TLS: see tls_session_diag. */
int tls_session_handshake(struct tls_session *s);

/*
 * Decrypts everything that was fed into p, which has room for it.  SIO_OK; *eof is set
 * when the peer has sent close_notify.  SIO_ERR_TLS.
 */
int tls_session_read(struct tls_session *s, uint8_t *p, size_t room, size_t *len,
                     bool *eof);

/* Encrypts one record, at most LOOP_TLS_PLAIN_SIZE bytes. */
int tls_session_write(struct tls_session *s, const uint8_t *p, size_t len);
/* True if the scratch space has room for another record. */
bool tls_session_has_room(const struct tls_session *s);

/* Writes close_notify. */
void tls_session_shutdown(struct tls_session *s);

/* Ciphertext that waits for the kernel. */
struct sio_str tls_session_left(const struct tls_session *s);
/* The first n bytes of it are sent. */
void tls_session_left_sent(struct tls_session *s, size_t n);
/*
 * Keeps what is in the scratch space from the byte `from` on, behind what is left
 * already.
 */
int tls_session_keep(struct tls_session *s, size_t from);

/* Why the handshake failed, as a sentence. */
const char *tls_session_diag(const struct tls_session *s);

#endif
