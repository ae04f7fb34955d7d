/*
 * socketio/parent.h - namespaces that come to be when somebody joins them
 *
 * A parent is listed in its server, asked whether a name is one of its children's, and
 * makes those.  A child goes from the server at the end of the turn in which nobody
 * uses it any more, if its parent says so, or if nobody ever joined it.
 */
#ifndef SOCKETIO_PARENT_H
#define SOCKETIO_PARENT_H

#include <sioc/server.h>

#include "base/list.h"

struct sio_family;

/*
 * The namespace that a client wants to join, made if a parent has it.  NULL with
 * *refusal set: why not.
 */
struct sio_namespace *sio_server_open(struct sio_server *server, struct sio_str name,
                                      struct sio_str auth, const char **refusal);

/*
 * Walks the children of a parent, and is ns itself once where that is none: start with
 * at NULL.  Children do not go during a turn.
 */
struct sio_namespace *sio_namespace_next(const struct sio_namespace *ns,
                                         const struct sio_namespace *at);

/* Walks the parents of a server: start with at NULL. */
struct sio_namespace *sio_server_next_parent(const struct sio_server *server,
                                             const struct sio_namespace *at);

/* Its children have gone.  NULL is allowed. */
void sio_family_free(struct sio_family *family);

/* A child is its parent's no more.  Harmless for others. */
void sio_family_leave(struct sio_namespace *ns);

/* Nobody uses ns any more: a child may go. */
void sio_namespace_unused(struct sio_namespace *ns);

/* Frees the parents of a server, whose children have gone. */
void sio_server_free_parents(struct sio_server *server);

#endif
