/*
 * socketio/rooms.h - the memory adapter: rooms of this server's sockets
 *
 * An adapter that also knows other servers begins with a sio_rooms and has these
 * functions in its table, but for those that it replaces.
 */
#ifndef SOCKETIO_ROOMS_H
#define SOCKETIO_ROOMS_H

#include "base/map.h"
#include "socketio/adapter.h"

struct sio_rooms;

/* For an adapter that has something of its own for each room. */
struct sio_rooms_hooks {
    /* The first member comes; *data is for the adapter.  Less than 0: it does not. */
    int (*opened)(struct sio_rooms *r, struct sio_str name, void **data);
    /* The last one has left. */
    void (*closed)(struct sio_rooms *r, void *data);
};

struct sio_rooms {
    struct sio_adapter base;
    const struct sio_rooms_hooks *hooks; /* or NULL */
    struct map rooms;
    uint64_t stamp; /* of the last walk; sockets and rooms that it saw carry it */
};

/* Alone.  NULL: out of memory. */
struct sio_adapter *sio_rooms_new(struct sio_namespace *ns);

void sio_rooms_init(struct sio_rooms *r, const struct sio_adapter_ops *ops,
                    struct sio_namespace *ns);
void sio_rooms_fini(struct sio_rooms *r);

int sio_rooms_join(struct sio_adapter *a, struct sio_socket *s, struct sio_str name);
void sio_rooms_leave(struct sio_adapter *a, struct sio_socket *s, struct sio_str name);
void sio_rooms_leave_all(struct sio_adapter *a, struct sio_socket *s);
bool sio_rooms_in(struct sio_adapter *a, const struct sio_socket *s,
                  struct sio_str name);
size_t sio_rooms_size(struct sio_adapter *a, struct sio_str name);
int sio_rooms_broadcast(struct sio_adapter *a, const struct sio_target *target,
                        struct sio_message *m);
int sio_rooms_sockets(struct sio_adapter *a, const struct sio_target *target,
                      struct sio_socket_list *out);
int sio_rooms_of_socket(struct sio_adapter *a, const struct sio_socket *s,
                        struct sio_str *out, size_t max);

#endif
