/*
 * socketio/v2.h - what clients of Socket.IO 2 want otherwise
 *
 * They come by Engine.IO 3 (allow_eio3), and are told apart by it.  All that differs is
 * here and where struct sio_conn's `v2` is asked:
 *
 *  - They are in "/" from the start: the server joins them, and says `40`.
 *  - `40/custom?token=1,`: the query behind a namespace is the auth, of texts.
 *  - `40/custom,`: the answer has no payload.  The client knows its id, which is the
 *    sid, and "/custom#<sid>" in other namespaces.
 *  - `44/custom,"why"`: a refusal is its data where there is some, else a bare text.
 *
 * (Socket.IO protocol 4; the server "socket.io" where its connection's protocol is 3)
 */
#ifndef SOCKETIO_V2_H
#define SOCKETIO_V2_H

#include "base/buf.h"
#include "socketio/socket.h"

/* The name of a namespace, without a query. */
struct sio_str sio_v2_name(struct sio_str nsp);

/*
 * Writes the query as an object; of a name that is there twice the last value.  Nothing
 * where there is no query.  SIO_OK; SIO_ERR_PARSE: not UTF-8; SIO_ERR_TOO_BIG: more
 * than 64 parameters; SIO_ERR_NOMEM.
 */
int sio_v2_auth(struct sio_str nsp, struct wbuf *w);

/* The payload of a refusal; data ptr NULL: none. */
void sio_v2_refusal(struct wbuf *w, const char *message, struct sio_str data);

/* The id of a socket in ns; what does not fit in the socket lies behind it. */
size_t sio_v2_id_room(const struct sio_conn *conn, const struct sio_namespace *ns);
void sio_v2_id_set(struct sio_socket *s);
/* Of a socket that has v2_sid_len. */
struct sio_str sio_v2_id(const struct sio_socket *s);

#endif
