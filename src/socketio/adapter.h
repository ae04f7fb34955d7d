/*
 * socketio/adapter.h - who is in which room, and how calls reach other servers
 *
 * A namespace has one.  The memory adapter (rooms.h) knows this server's sockets; one
 * that connects servers begins with it, takes over its functions, and adds those that
 * reach the others (sio_server_options.adapter makes it).
 *
 * What such an adapter receives from another server it gives to the namespace as a
 * call whose target is local: sio_namespace_emit, _emit_ack, _fetch, _join_all,
 * _leave_all, _disconnect_all; and a side emit to sio_namespace_side_receive.
 */
#ifndef SOCKETIO_ADAPTER_H
#define SOCKETIO_ADAPTER_H

#include <sioc/server.h>

#include "base/list.h"

struct sio_adapter;
struct sio_fetch;

/* Sockets that a target names; they live at least to the end of the turn. */
struct sio_socket_list {
    struct sio_socket **items;
    size_t n;
    size_t cap;
};

struct sio_adapter_ops {
    /* What it still owes to collections (below) it ends first. */
    void (*free)(struct sio_adapter *a);

    /*
     * A socket comes to the namespace, and so into the room of its id; leave_all follows.
     * SIO_ERR_NOMEM: it does not come.  NULL: there is nothing to do.
     */
    int (*enter)(struct sio_adapter *a, struct sio_socket *s);
    /* SIO_OK, also for a socket that is in the room already; SIO_ERR_NOMEM. */
    int (*join)(struct sio_adapter *a, struct sio_socket *s, struct sio_str room);
    void (*leave)(struct sio_adapter *a, struct sio_socket *s, struct sio_str room);
    void (*leave_all)(struct sio_adapter *a, struct sio_socket *s);
    bool (*in)(struct sio_adapter *a, const struct sio_socket *s, struct sio_str room);
    size_t (*room_size)(struct sio_adapter *a, struct sio_str room);

    /*
     * Also to other servers, unless the target is local.  Calls no handler.  Returns
     * the number of sockets reached here, or an error.
     */
    int (*broadcast)(struct sio_adapter *a, const struct sio_target *target,
                     struct sio_message *m);

    /*
     * Appends this server's to out, whose items the caller frees.  SIO_OK or
     * SIO_ERR_NOMEM.
     */
    int (*sockets)(struct sio_adapter *a, const struct sio_target *target,
                   struct sio_socket_list *out);

    /* Appends the names of the rooms of s, which live as long as it is in them. */
    int (*rooms)(struct sio_adapter *a, const struct sio_socket *s, struct sio_str *out,
                 size_t max);

    /*
     * The rest is NULL where this server is alone.  It concerns the other servers only:
     * what is to be done here the namespace does itself.  A local target does not come
     * here.  All arguments are borrowed.  SIO_OK: on its way; an error: no other server
     * was told, and nothing is owed.
     */
    int (*remote_join)(struct sio_adapter *a, const struct sio_target *target,
                       const struct sio_str *rooms, size_t n);
    int (*remote_leave)(struct sio_adapter *a, const struct sio_target *target,
                        const struct sio_str *rooms, size_t n);
    int (*remote_disconnect)(struct sio_adapter *a, const struct sio_target *target,
                             bool close);

    /*
     * These collect what the others answer.  Before it returns SIO_OK the adapter takes
     * a part in the collection (sio_answers_begin, sio_fetch_begin: one, or one for
     * each server).  Into that it adds what comes, and ends each part exactly once,
     * also when a server goes or never answers, before or after this returns.  The
     * collection tells its result when all parts have ended or its time is over; what
     * is added later is dropped, and the parts are still to be ended.  timeout_ms is the
     * collection's time; 0: the adapter has one of its own.
     */
    int (*remote_ask)(struct sio_adapter *a, const struct sio_target *target,
                      struct sio_message *m, uint32_t timeout_ms,
                      struct sio_answers *answers);
    int (*remote_fetch)(struct sio_adapter *a, const struct sio_target *target,
                        struct sio_fetch *fetch);
    /* answers NULL: none are wanted. */
    int (*remote_side_emit)(struct sio_adapter *a, struct sio_message *m,
                            uint32_t timeout_ms, struct sio_answers *answers);
};

struct sio_adapter {
    const struct sio_adapter_ops *ops;
    struct sio_namespace *ns;
};

/* Collections, for adapters. */

void sio_answers_begin(struct sio_answers *answers);
/*
 * The answer of one socket, or of one server: all is copied.  e NULL unless status is
 * SIO_OK.  SIO_OK or SIO_ERR_NOMEM: the collection's status says so.
 */
int sio_answers_add(struct sio_answers *answers, struct sio_str id, int status,
                    const struct sio_event *e);
/* status: SIO_OK, or why the part is not whole. */
void sio_answers_end(struct sio_answers *answers, int status);

void sio_fetch_begin(struct sio_fetch *fetch);
int sio_fetch_add(struct sio_fetch *fetch, const struct sio_fetched *socket);
void sio_fetch_end(struct sio_fetch *fetch, int status);

/*
 * For what another server asks: as sio_namespace_emit_ack, but tells of each answer as it
 * comes, and keeps none.
 */
struct sio_ask_ops {
    /* First: n sockets are asked.  Those that go will not answer. */
    void (*on_asked)(size_t n, void *user);
    void (*on_answer)(struct sio_event *e, void *user);
    /* Last. */
    void (*on_end)(void *user);
};
int sio_namespace_ask(struct sio_namespace *ns, const struct sio_target *target,
                      struct sio_message *m, uint32_t timeout_ms,
                      const struct sio_ask_ops *ops, void *user);

/* An event of another server has come; e may want an answer.  Calls the handler. */
void sio_namespace_side_receive(struct sio_namespace *ns, struct sio_event *e);

#endif
