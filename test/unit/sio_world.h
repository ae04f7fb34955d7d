/*
 * sio_world.h - a Socket.IO server over fake sessions, and a log of what it tells
 */
#ifndef TEST_SIO_WORLD_H
#define TEST_SIO_WORLD_H

#include <sioc/server.h>

#include "fake_eio.h"

struct sio_world {
    struct net_loop *loop;
    struct sio_server *server;
    struct sio_namespace *ns; /* "/" */
    struct sio_socket *last;  /* that connected */
    unsigned n_warned;        /* lines of a cluster's log */
    char log[4096];           /* "connect(/x) event(a) disconnect(reason)" */
};

/* Writes those three down; user is the world. */
extern const struct sio_namespace_ops sio_world_ops;

/* opts may be NULL. */
void sio_world_open(struct sio_world *w, const struct sio_server_options *opts);
void sio_world_close(struct sio_world *w);

/* Adds "what(arg)" to the log; asserts that the log is text, and empties it. */
void sio_world_note(struct sio_world *w, const char *what, struct sio_str arg);
void sio_world_expect(struct sio_world *w, const char *text);

struct eio_session *sio_world_session(struct sio_world *w);
/*
 * A new session that has joined name; its socket in *s (NULL allowed).  What was sent
 * and logged so far is read.
 */
struct eio_session *sio_world_join(struct sio_world *w, const char *name,
                                   struct sio_socket **s);

/* Lets a turn end: what was closed is freed. */
void sio_world_turn(struct sio_world *w);

#endif
