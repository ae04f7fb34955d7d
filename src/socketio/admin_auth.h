/*
 * socketio/admin_auth.h - who may join the admin namespace
 *
 * A bcrypt hash takes a hundred milliseconds and more, so it is computed by a worker,
 * one at a time; a few wait.  Addresses that fail too often are not listened to.
 */
#ifndef SOCKETIO_ADMIN_AUTH_H
#define SOCKETIO_ADMIN_AUTH_H

#include <stdbool.h>

#include <sioc/bytes.h>

#include "base/random.h"
#include "net/loop.h"

struct sio_admin_auth;

/* True for what looks like a bcrypt hash. */
bool sio_admin_hash_valid(const char *hash);

/* The hash is valid.  NULL: out of memory. */
struct sio_admin_auth *sio_admin_auth_new(struct net_loop *loop, const char *username,
                                          const char *hash);
/* Who still waits is told SIO_ERR_CLOSED.  NULL is allowed. */
void sio_admin_auth_free(struct sio_admin_auth *a);

/*
 * Called once: later, or at once if it could not be tried (SIO_ERR_NOMEM).  SIO_OK;
 * SIO_ERR_REFUSED: not the right ones; SIO_ERR_CLOSED.
 */
typedef void (*sio_admin_auth_cb)(int status, void *user);
/*
 * Checks a name and a password.  SIO_OK: cb will be called.  SIO_ERR_FULL: too many
 * wait, or have failed from this address; SIO_ERR_NOMEM.
 */
int sio_admin_auth_check(struct sio_admin_auth *a, struct sio_str address,
                         struct sio_str username, struct sio_str password,
                         sio_admin_auth_cb cb, void *user);

/* A new session, by which its holder needs no password for a day; a NUL-terminated id. */
void sio_admin_session_new(struct sio_admin_auth *a, char id[RANDOM_ID_LEN + 1]);
bool sio_admin_session_known(const struct sio_admin_auth *a, struct sio_str id);

#endif
