/*
 * cluster/codec.h - what servers say to each other through Redis
 *
 * Reads bytes and gives values, writes values; no I/O.  Three kinds of messages:
 *
 *     broadcast  [uid, packet, {rooms, except, flags}]   MessagePack
 *     request    {uid, requestId, type, ...}             JSON, or MessagePack where
 *     response   {requestId, type, ...}                  a packet is inside
 *
 * (The wire format of the npm packages @socket.io/redis-adapter 8, classic mode, and
 * @socket.io/redis-emitter 5.)
 */
#ifndef CLUSTER_CODEC_H
#define CLUSTER_CODEC_H

#include <sioc/server.h>

#include "base/buf.h"

/* On the wire. */
enum sio_cluster_type {
    SIO_CLUSTER_SOCKETS,
    SIO_CLUSTER_ALL_ROOMS,
    SIO_CLUSTER_JOIN,
    SIO_CLUSTER_LEAVE,
    SIO_CLUSTER_DISCONNECT,
    SIO_CLUSTER_FETCH,
    SIO_CLUSTER_SIDE_EMIT,
    SIO_CLUSTER_BROADCAST,
    SIO_CLUSTER_CLIENT_COUNT, /* only in responses */
    SIO_CLUSTER_ACK,          /* only in responses */
};

/* Names of rooms in one list. */
#define SIO_CLUSTER_MAX_NAMES 16384
/* Bytes of a uid, and of the id of a request. */
#define SIO_CLUSTER_MAX_ID 128
/* Of one packet: what a sio_message may hold. */
#define SIO_CLUSTER_MAX_ATTACHMENTS (UINT16_MAX - 1)

struct sio_cluster_names {
    struct sio_str *items;
    size_t n;
};

/*
 * A message that has come.  What is not given is empty, its ptr NULL.  All texts are
 * UTF-8 and live as long as the message, and the bytes that it was read from.
 */
struct sio_cluster_msg {
    bool has_type;
    uint32_t type;
    struct sio_str uid;
    struct sio_str nsp; /* only of message.h */
    struct sio_str request_id;
    bool has_opts;
    struct sio_cluster_names rooms;  /* whom it is for: opts.rooms */
    struct sio_cluster_names except; /* opts.except */
    bool is_volatile;                /* opts.flags.volatile */
    bool no_compress;                /* opts.flags.compress is false */
    uint32_t timeout_ms;             /* opts.flags.timeout; 0: none */
    struct sio_cluster_names names;  /* rooms: to enter, to leave, of SOCKETS */
    struct sio_str sid, room;        /* of older peers, in place of opts and names */
    bool close;
    bool has_client_count;
    uint32_t client_count;
    struct sio_str data;     /* JSON */
    struct sio_str sockets;  /* JSON, an array */
    struct sio_slice packet; /* MessagePack, part of the input */
    bool packet_is_json;     /* only of message.h */

    /* Where the texts lie; not for the reader. */
    struct wbuf json;
    struct wbuf text;
};

/*
 * Each reads one message; sio_cluster_msg_fini ends it, whatever came out.  SIO_OK;
 * SIO_ERR_PARSE: it is none, or misses what its kind has; SIO_ERR_TOO_BIG: nested too
 * deeply, more than SIO_CLUSTER_MAX_NAMES; SIO_ERR_NOMEM.
 */
int sio_cluster_read_broadcast(struct sio_slice in, struct sio_cluster_msg *out);
int sio_cluster_read_request(struct sio_slice in, struct sio_cluster_msg *out);
int sio_cluster_read_response(struct sio_slice in, struct sio_cluster_msg *out);
void sio_cluster_msg_fini(struct sio_cluster_msg *msg);

/* Whether a broadcast is of uid, without reading more of it. */
bool sio_cluster_is_from(struct sio_slice broadcast, struct sio_str uid);

/*
 * Shows the event of a broadcast: fn is called once, unless this returns an error:
 * SIO_ERR_PARSE, SIO_ERR_PROTOCOL (another namespace, a reserved name, no event),
 * SIO_ERR_TOO_BIG, SIO_ERR_NOMEM.  A packet that names no namespace is of "/".
 */
int sio_cluster_show_packet(struct sio_slice packet, struct sio_str nsp,
                            void (*fn)(struct sio_event *e, void *user), void *user);

/*
 * Shows an answer as an event without a name: of an ACK its packet, else JSON; ptr NULL:
 * an answer without arguments.  Errors as above.
 */
int sio_cluster_show_ack(struct sio_slice packet,
                         void (*fn)(struct sio_event *e, void *user), void *user);
int sio_cluster_show_answer(struct sio_str json,
                            void (*fn)(struct sio_event *e, void *user), void *user);
/* The data of a side emit, an event. */
int sio_cluster_show_event(struct sio_str json,
                           void (*fn)(struct sio_event *e, void *user), void *user);

/*
 * Walks the sockets in the response to a FETCH; fn returning less than 0 ends it.
 * SIO_OK, SIO_ERR_PARSE (one of them is none), SIO_ERR_NOMEM, or what fn returned.
 */
int sio_cluster_each_socket(struct sio_str sockets, struct sio_str nsp,
                            int (*fn)(const struct sio_fetched *s, void *user),
                            void *user);

/*
 * Writing, behind what w holds.  w->error tells of a failure, too.
 */

/* Large bytes that are not copied: each stands in front of the byte `at` of a wbuf. */
#define SIO_CLUSTER_MAX_REFS 3
struct sio_cluster_refs {
    struct {
        size_t at;
        struct sio_slice slice; /* owned */
    } items[SIO_CLUSTER_MAX_REFS];
    size_t n;
};
void sio_cluster_refs_fini(struct sio_cluster_refs *refs);

/* All of a message, whose wbuf gave bytes; refs may be NULL.  Returns the number. */
#define SIO_CLUSTER_MAX_SLICES (2 * SIO_CLUSTER_MAX_REFS + 1)
size_t sio_cluster_slices(const struct sio_cluster_refs *refs, struct sio_buf *bytes,
                          struct sio_slice out[SIO_CLUSTER_MAX_SLICES]);

/*
 * SIO_OK, SIO_ERR_NOMEM, or what went wrong when m was built.  refs, empty before, gets
 * what is large; NULL: all is copied.
 */
int sio_cluster_write_broadcast(struct wbuf *w, struct sio_cluster_refs *refs,
                                struct sio_str uid, struct sio_str nsp,
                                const struct sio_target *target, struct sio_message *m);
/* A question to all whom target names. */
int sio_cluster_write_ask(struct wbuf *w, struct sio_str uid, struct sio_str request_id,
                          struct sio_str nsp, const struct sio_target *target,
                          struct sio_message *m, uint32_t timeout_ms);
/* JOIN, LEAVE with names; DISCONNECT with close; FETCH with request_id. */
int sio_cluster_write_request(struct wbuf *w, enum sio_cluster_type type,
                              struct sio_str uid, struct sio_str request_id,
                              const struct sio_target *target,
                              const struct sio_str *names, size_t n, bool close);
/*
 * request_id ptr NULL: no answer is wanted.  SIO_ERR_UNSUPPORTED: m has bytes, which JSON
 * cannot say.
 */
int sio_cluster_write_side_emit(struct wbuf *w, struct sio_str uid,
                                struct sio_str request_id, struct sio_message *m);

/* `{"requestId":"...","KEY":[` of a list; who writes its items ends it with `]}`. */
int sio_cluster_write_list(struct wbuf *w, struct sio_str request_id, const char *key);
void sio_cluster_write_socket(struct wbuf *w, const struct sio_fetched *s);
int sio_cluster_write_count(struct wbuf *w, struct sio_str request_id, uint32_t n);
/* The first argument of an answer. */
int sio_cluster_write_ack(struct wbuf *w, struct sio_str request_id,
                          struct sio_event *e);
/* json ptr NULL: an answer without arguments. */
int sio_cluster_write_answer(struct wbuf *w, struct sio_str request_id,
                             struct sio_str json);

#endif
