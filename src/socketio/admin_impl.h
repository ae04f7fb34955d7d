/*
 * socketio/admin_impl.h - the inside of the admin namespace
 *
 * While nobody is in it nothing is hooked up: no timer, no listener, no observer.
 */
#ifndef SOCKETIO_ADMIN_IMPL_H
#define SOCKETIO_ADMIN_IMPL_H

#include <sioc/admin.h>

#include "base/buf.h"
#include "socketio/admin_auth.h"
#include "socketio/observer.h"

struct sio_admin {
    struct sio_observer observer; /* the server's, while a UI sees single events */
    struct sio_server *server;
    struct sio_namespace *ns;
    struct sio_admin_auth *auth; /* NULL: everybody may join */
    bool read_only;
    bool development;
    char *server_id;
    char host[256];
    uint64_t started_ms;

    unsigned n_uis;
    struct net_timer tick;        /* while there are some */
    struct eio_server_stats seen; /* at the last one */
};

/* Who does what the UI asks for: handlers of its events.  SIO_OK, SIO_ERR_NOMEM. */
int sio_admin_add_commands(struct sio_admin *a);

/* What the UI is shown, as JSON.  Errors stay in w. */
void sio_admin_write_socket(struct wbuf *w, const struct sio_socket *s);
void sio_admin_write_sockets(struct wbuf *w, struct sio_server *server);
void sio_admin_write_stats(struct wbuf *w, struct sio_admin *a);
void sio_admin_write_features(struct wbuf *w, const struct sio_admin *a);
void sio_admin_write_event(struct wbuf *w, const struct sio_event *e);
void sio_admin_write_now(struct wbuf *w);

#endif
