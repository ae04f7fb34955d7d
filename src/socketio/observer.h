/*
 * socketio/observer.h - who is told of everything that happens on a server
 *
 * The admin namespace, while somebody looks at it.  At other times the server has no
 * observer, and asking costs one comparison.
 */
#ifndef SOCKETIO_OBSERVER_H
#define SOCKETIO_OBSERVER_H

#include <sioc/server.h>

struct sio_observer;

/* None of them ends a socket or changes who is where. */
struct sio_observer_ops {
    void (*joined)(struct sio_observer *o, struct sio_socket *s);
    void (*ended)(struct sio_observer *o, struct sio_socket *s,
                  enum sio_disconnect_reason reason);
    void (*upgraded)(struct sio_observer *o, struct sio_socket *s);
    void (*room)(struct sio_observer *o, struct sio_socket *s, struct sio_str room,
                 bool joined);
    void (*namespace_made)(struct sio_observer *o, struct sio_namespace *ns);
};

struct sio_observer {
    const struct sio_observer_ops *ops;
};

#endif
