/*
 * socketio/request.h - a question to many, whose answers come in parts
 *
 * It tells its result exactly once: when all parts have ended, when its time is over,
 * or when the server ends.  Its memory lives until all parts have ended.
 */
#ifndef SOCKETIO_REQUEST_H
#define SOCKETIO_REQUEST_H

#include <sioc/server.h>

#include "base/list.h"

struct sio_request;

struct sio_request_ops {
    /* The result; parts may still be under way. */
    void (*tell)(struct sio_request *r, int status);
    void (*free)(struct sio_request *r);
};

struct sio_request {
    const struct sio_request_ops *ops;
    struct sio_namespace *ns; /* held */
    struct list link;         /* in the server's, until it has told */
    uint32_t n_parts;
    bool told;
    int status; /* SIO_OK, or the first thing that went wrong */
    struct net_timer timer;
};

/* With one part, its maker's. */
void sio_request_init(struct sio_request *r, struct sio_namespace *ns,
                      const struct sio_request_ops *ops);

/* SIO_OK, SIO_ERR_NOMEM.  timeout_ms 0: none. */
int sio_request_start(struct sio_request *r, uint32_t timeout_ms);

void sio_request_begin(struct sio_request *r);
void sio_request_end(struct sio_request *r, int status);

/* Its maker gives it up untold; the maker's is the only part. */
void sio_request_drop(struct sio_request *r);

/* The server ends: SIO_ERR_CLOSED for who still waits. */
void sio_requests_close(struct list *requests);

#endif
