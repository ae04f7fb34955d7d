/*
 * cluster/python.h - what processes with python-socketio say to each other
 *
 * Reads bytes and gives values, writes an answer; no I/O.  One JSON object a message:
 *
 *     {"method": "emit", "event": "e", "data": [...], "binary": false, "namespace": "/",
 *      "room": null, "skip_sid": null, "callback": null, "host_id": "..."}
 *
 * (PubSubManager of the Python package python-socketio 5.14 and later.  Versions before
 * that write pickle, which is a program for who reads it, and is never read here.)
 */
#ifndef CLUSTER_PYTHON_H
#define CLUSTER_PYTHON_H

#include "cluster/codec.h"
#include "socketio/packet.h"

enum sio_python_method {
    SIO_PYTHON_EMIT,
    SIO_PYTHON_CALLBACK, /* an answer to somebody's emit; nothing of it is read */
    SIO_PYTHON_DISCONNECT,
    SIO_PYTHON_ENTER_ROOM,
    SIO_PYTHON_LEAVE_ROOM,
    SIO_PYTHON_CLOSE_ROOM,
};

/* What an answer repeats, as JSON; ptr NULL: none is wanted. */
struct sio_python_callback {
    struct sio_str room, nsp, id;
};
/* Bytes of each of them. */
#define SIO_PYTHON_MAX_ECHO 1024

/* Bytes may go with an event in as many pieces. */
#define SIO_PYTHON_MAX_ATTACHMENTS 4096

/*
 * A message that has come.  All texts are UTF-8 and live as long as the message, and the
 * bytes that it was read from.
 */
struct sio_python_msg {
    /* uid: host_id.  rooms: none for everybody.  except: skip_sid.  sid. */
    struct sio_cluster_msg base;
    enum sio_python_method method;
    struct sio_str nsp;            /* "/" where none is given */
    struct sio_str event;          /* ptr NULL: none, as for the next ones */
    struct sio_packet args;        /* of an emit, as an answer without id */
    struct sio_slice *attachments; /* args.n_attachments of them */
    struct sio_python_callback callback;

    /* For the reader's own use. */
    struct sio_str data;
    bool binary;
    struct wbuf args_text;   /* arguments that came without brackets */
    struct sio_buf *decoded; /* all attachments' bytes */
};

/*
 * Reads one message; sio_python_msg_fini ends it, whatever came out.  SIO_OK;
 * SIO_ERR_UNSUPPORTED: no JSON object, such as pickle; SIO_ERR_PARSE: no message;
 * SIO_ERR_PROTOCOL: a reserved name, a placeholder without its bytes; SIO_ERR_TOO_BIG;
 * SIO_ERR_NOMEM.
 */
int sio_python_read(struct sio_slice in, struct sio_python_msg *out);
void sio_python_msg_fini(struct sio_python_msg *msg);

/*
 * Shows the event of an emit: fn is called once, unless this returns SIO_ERR_NOMEM.
 */
int sio_python_show(const struct sio_python_msg *msg,
                    void (*fn)(struct sio_event *e, void *user), void *user);

/*
 * The answer of a client, for the process host_id, behind what w holds.  SIO_OK;
 * SIO_ERR_UNSUPPORTED: e has bytes, which this message cannot say; SIO_ERR_NOMEM.
 */
int sio_python_write_callback(struct wbuf *w, struct sio_str host_id,
                              const struct sio_python_callback *callback,
                              const struct sio_event *e);

#endif
