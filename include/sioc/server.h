/*
 * sioc/server.h - Socket.IO server (Socket.IO protocol, revision 5)
 *
 *     server -> namespaces -> sockets -> rooms
 *
 * A client is one Engine.IO session; each namespace that it joins makes a socket with
 * an id of its own.  A violation of the protocol ends the client's connection.
 *
 * What a client asks for passes, in this order:
 *
 *     joining:  middleware of the namespace (sio_namespace_use), then on_join
 *     an event: listeners (on_any), event middleware (use_event), one handler
 *
 * Each first of the namespace, then of the socket; of a child namespace, first of its
 * parent.  What is not used costs nothing.
 *
 * Clients of Socket.IO 2 come by Engine.IO 3 (engine.allow_eio3) and see the server of
 * their time: they are in "/" as soon as they are connected, `auth` is the query of a
 * namespace, and a refusal reaches them as its data or else as its message.
 *
 * Everything is called on the loop's thread, and calls back there.  Handlers may end,
 * move and send to anybody.  A socket pointer is good until its on_disconnect returns;
 * who keeps one longer keeps the id instead, and looks it up.
 */
#ifndef SIOC_SERVER_H
#define SIOC_SERVER_H

#include <sioc/engineio.h>
#include <sioc/message.h>
#include <sioc/parser.h>

#ifdef __cplusplus
extern "C" {
#endif

struct sio_server;
struct sio_namespace;
struct sio_socket;
struct sio_adapter;

/*
 * Connection state recovery: a client whose connection broke gets its id, its rooms and
 * what it missed when it comes back in time.
 *
 * Each event that is neither volatile nor asks for an ack is then kept for those who
 * may miss it, for max_away_ms and the time that the heartbeat takes to see a broken
 * connection, and has one more argument for every client, its offset.  The oldest go
 * when there are too many; who missed one of those, or more than max_queue_bytes
 * together, starts anew.  max_packets holds for each namespace, the other limits for all
 * together; where events have to go, then in a namespace that has more than its share.
 */
struct sio_recovery_options {
    uint32_t max_away_ms; /* 0: no recovery at all */
    size_t max_bytes;     /* of events kept; 0: 16 MiB */
    uint32_t max_packets; /* of a namespace that are kept; 0: 10000 */
    uint32_t max_waiting; /* who may come back; 0: 10000.  The oldest go. */
    /* Who comes back is not asked again: on_join and middleware are passed over. */
    bool no_join;
};

struct sio_server_options {
    /* path NULL: "/socket.io/".  on_session is ours; user is the other hooks'. */
    struct eio_server_options engine;
    uint32_t connect_timeout_ms; /* until the first namespace is joined; 0: 45000 */
    uint32_t max_attachments;    /* per packet; 0: 10, with SIO_PARSER_MSGPACK 256 */
    uint32_t max_namespaces;     /* joined per client; 0: 64 */
    /*
     * What a packet and those of its attachments that are there may hold, and what the
     * auth of all a client's namespaces that wait for middleware may; 0: 4 x max_payload.
     */
    size_t max_binary_bytes;
    enum sio_parser_kind parser; /* what all clients use; 0: SIO_PARSER_JSON */
    struct sio_recovery_options recovery;
    /*
     * Makes what connects each namespace to the same one on other servers; NULL: this
     * server is alone.  Called while a namespace is made, which then owns the result;
     * NULL fails it.
     */
    struct sio_adapter *(*adapter)(struct sio_namespace *ns, void *user);
    void *adapter_user;
    /*
     * A folder with the JavaScript client, as its package has it in "dist": socket.io.js,
     * .min.js, .esm.min.js, .msgpack.min.js and their .map.  What is there is read at the
     * start, and served below path: "/socket.io/socket.io.js".  NULL: none.
     */
    const char *client_dir;
};

/*
 * opts is copied; what it points to (origins, the hooks' user) stays the
 * caller's.  NULL with diag filled.
 */
SIOC_API struct sio_server *sio_server_new(struct net_loop *loop,
                                           const struct sio_server_options *opts,
                                           struct sio_diag *diag);
/*
 * Cuts all connections (on_disconnect: SHUTDOWN) and frees, namespaces included.  Not
 * from a handler.  NULL is allowed.
 */
SIOC_API void sio_server_free(struct sio_server *server);
/* As eio_server_listen, eio_server_shutdown. */
SIOC_API int sio_server_listen(struct sio_server *server,
                               const struct eio_listen_options *opts,
                               struct sio_diag *diag);
SIOC_API void sio_server_shutdown(struct sio_server *server, uint32_t timeout_ms,
                                  void (*cb)(void *user), void *user);
/* The Engine.IO server below, for its statistics; borrowed. */
SIOC_API struct eio_server *sio_server_engine(struct sio_server *server);
/* Where pages and other HTTP replies are added: <sioc/http.h>; borrowed. */
SIOC_API struct sio_http *sio_server_http(struct sio_server *server);

/*
 * Reasons that a socket ends with, as the protocol's other implementations name them.
 */
enum sio_disconnect_reason {
    SIO_DISCONNECT_CLIENT, /* "client namespace disconnect" */
    SIO_DISCONNECT_SERVER, /* "server namespace disconnect" */
    SIO_DISCONNECT_TRANSPORT_CLOSE,
    SIO_DISCONNECT_TRANSPORT_ERROR,
    SIO_DISCONNECT_PARSE_ERROR,
    SIO_DISCONNECT_PING_TIMEOUT,
    SIO_DISCONNECT_FORCED,        /* "forced close": a violation, a missed deadline */
    SIO_DISCONNECT_FORCED_SERVER, /* "forced server close": by the application */
    SIO_DISCONNECT_SHUTDOWN,      /* "server shutting down" */
};
/* The texts above; a constant. */
SIOC_API const char *sio_disconnect_reason_text(enum sio_disconnect_reason reason);

struct sio_namespace_ops {
    /*
     * Someone wants to join; auth is the payload's raw JSON, an object, or ptr NULL.
     * Returns NULL to accept, or the message of the CONNECT_ERROR; *data may be set
     * to a raw JSON text (copied after the return).  The socket can be sent to only
     * after it was accepted; if it is refused, it ends with the return, without
     * on_disconnect.  May be NULL: all are accepted.
     */
    const char *(*on_join)(struct sio_socket *s, struct sio_str auth,
                           struct sio_str *data, void *user);

    /*
     * Joined; the CONNECT reply is queued before anything emitted here, as is what a
     * recovered socket missed.
     */
    void (*on_connect)(struct sio_socket *s, struct sio_str auth, void *user);

    /*
     * The end of a socket, exactly once.  It is still in its rooms; it can no longer
     * be sent to.  It is told also when the client may still come back: that is then
     * another socket, with the same id.
     */
    void (*on_disconnect)(struct sio_socket *s, enum sio_disconnect_reason reason,
                          void *user);

    /*
     * Every event that has no handler of its own, after reserved names were refused.
     * May be NULL.
     */
    void (*on_event)(struct sio_socket *s, struct sio_event *e, void *user);
};

/*
 * Makes a namespace ("/" or "/name"; exists from the start, joined by nobody).  ops
 * are borrowed.  NULL: exists already, bad name, out of memory.
 */
SIOC_API struct sio_namespace *sio_server_namespace(struct sio_server *server,
                                                    const char *name,
                                                    const struct sio_namespace_ops *ops,
                                                    void *user);
/*
 * Borrowed, lives as long as the server, but for a child of a parent (see
 * sio_namespace_hold); NULL: there is none of that name.
 */
SIOC_API struct sio_namespace *sio_server_find(struct sio_server *server,
                                               struct sio_str name);

/*
 * A parent: namespaces that come to be when a client first joins one whose name
 * matches.  A child is a namespace of its own, with its own sockets and rooms; ops,
 * user, handlers, listeners and middleware are the parent's, those added later too, but
 * a handler that the child has for a name comes in place of the parent's.  Names have
 * at most 255 bytes, without NUL.  A namespace that exists is found before any parent
 * is asked, and parents are asked in the order in which they were made.
 *
 * On the parent, sio_namespace_emit, _each, _each_of, _find, _n_sockets and the like
 * are about all its children.
 *
 * sio_server_pattern matches a POSIX extended regular expression, "^/room-[0-9]+$".
 * sio_server_dynamic asks match, which sees the auth object of the one who comes first
 * (ptr NULL: none); who comes later is not asked about: who may join is middleware's to
 * say.  NULL: a bad pattern, out of memory.
 */
SIOC_API struct sio_namespace *sio_server_pattern(struct sio_server *server,
                                                  const char *pattern,
                                                  const struct sio_namespace_ops *ops,
                                                  void *user);
typedef bool (*sio_match_cb)(struct sio_str name, struct sio_str auth, void *user);
SIOC_API struct sio_namespace *sio_server_dynamic(struct sio_server *server,
                                                  sio_match_cb match,
                                                  const struct sio_namespace_ops *ops,
                                                  void *user);

/*
 * Bounds the children of a parent: at most max (0: 10000); who would make one more is
 * refused with "Too many namespaces".  Strangers may choose names, so a parent that
 * anybody may use needs remove_empty: a child then goes when its last socket has gone,
 * at the end of the turn, and its pointer with it.  Without, only a child that nobody
 * ever joined goes (everybody was refused).
 */
SIOC_API void sio_namespace_set_children(struct sio_namespace *parent, uint32_t max,
                                         bool remove_empty);
SIOC_API size_t sio_namespace_n_children(const struct sio_namespace *parent);
/* The parent, NULL: it is no child. */
SIOC_API struct sio_namespace *sio_namespace_parent(const struct sio_namespace *ns);
/*
 * A child does not go before as many releases as holds; a namespace that is no child
 * does not go anyway.  For who keeps its pointer.
 */
SIOC_API void sio_namespace_hold(struct sio_namespace *ns);
SIOC_API void sio_namespace_release(struct sio_namespace *ns);

/*
 * A handler for one event name.  A second one for the same name replaces the first.
 * SIO_OK, SIO_ERR_NOMEM, SIO_ERR_INVAL (a name reserved by the protocol).  A handler
 * may close anything; its event stays good until it returns.
 */
typedef void (*sio_event_cb)(struct sio_socket *s, struct sio_event *e, void *user);
SIOC_API int sio_namespace_on(struct sio_namespace *ns, const char *event,
                              sio_event_cb cb, void *user);
/* Takes the handler off; harmless when there is none. */
SIOC_API void sio_namespace_off(struct sio_namespace *ns, const char *event);
/* The same for one socket, whose handler comes in place of its namespace's. */
SIOC_API int sio_socket_on(struct sio_socket *s, const char *event, sio_event_cb cb,
                           void *user);
SIOC_API void sio_socket_off(struct sio_socket *s, const char *event);

/*
 * Middleware: asked, one after the other, about everybody who wants to join, before
 * on_join.  s cannot be sent to yet; its session, id and data can be used.  auth is as
 * in on_join.  The middleware, or whoever it gives j to, says sio_join_accept or
 * sio_join_refuse exactly once, now or later, and then forgets j.  s is dead when the
 * client has left meanwhile, has asked anew, or was refused because connect_timeout_ms
 * have passed: j is still to be ended, which then does nothing.  Of one client at most
 * max_namespaces are undecided at a time, dead ones too; who asks for more is refused.
 * Middleware cannot be taken off again.  SIO_OK, SIO_ERR_NOMEM.
 */
struct sio_join;
typedef void (*sio_join_cb)(struct sio_socket *s, struct sio_str auth,
                            struct sio_join *j, void *user);
SIOC_API int sio_namespace_use(struct sio_namespace *ns, sio_join_cb cb, void *user);
SIOC_API void sio_join_accept(struct sio_join *j);
/*
 * The message and data (a raw JSON text, or ptr NULL) of the CONNECT_ERROR; both are
 * copied.
 */
SIOC_API void sio_join_refuse(struct sio_join *j, const char *message,
                              struct sio_str data);
/* Who wants to join; NULL: has left, or waits no more. */
SIOC_API struct sio_socket *sio_join_socket(const struct sio_join *j);

/*
 * Event middleware: sees each event before its handler.  True passes it on.  False
 * ends it here; to say why, the middleware answers the ack, or emits something.  SIO_OK,
 * SIO_ERR_NOMEM.
 */
typedef bool (*sio_use_event_cb)(struct sio_socket *s, struct sio_event *e, void *user);
SIOC_API int sio_namespace_use_event(struct sio_namespace *ns, sio_use_event_cb cb,
                                     void *user);
SIOC_API int sio_socket_use_event(struct sio_socket *s, sio_use_event_cb cb,
                                  void *user);

/*
 * Listeners to every event that comes in, called before middleware and handler, whether
 * or not there is one; behind (or in front of, prepend) those that listen already.  Off
 * takes off that of the same cb and user, or all for a NULL cb, also during a call.
 * SIO_OK, SIO_ERR_NOMEM.
 */
SIOC_API int sio_namespace_on_any(struct sio_namespace *ns, sio_event_cb cb,
                                  void *user);
SIOC_API int sio_namespace_prepend_any(struct sio_namespace *ns, sio_event_cb cb,
                                       void *user);
SIOC_API void sio_namespace_off_any(struct sio_namespace *ns, sio_event_cb cb,
                                    void *user);
SIOC_API int sio_socket_on_any(struct sio_socket *s, sio_event_cb cb, void *user);
SIOC_API int sio_socket_prepend_any(struct sio_socket *s, sio_event_cb cb, void *user);
SIOC_API void sio_socket_off_any(struct sio_socket *s, sio_event_cb cb, void *user);

/*
 * The same for every event that is sent, once for each socket that it goes to, before
 * it is queued: inside sio_socket_emit, sio_namespace_emit and their like, which
 * therefore call handlers once somebody listens.  Answers to acks are not told.
 */
SIOC_API int sio_namespace_on_any_outgoing(struct sio_namespace *ns, sio_event_cb cb,
                                           void *user);
SIOC_API int sio_namespace_prepend_any_outgoing(struct sio_namespace *ns,
                                                sio_event_cb cb, void *user);
SIOC_API void sio_namespace_off_any_outgoing(struct sio_namespace *ns, sio_event_cb cb,
                                             void *user);
SIOC_API int sio_socket_on_any_outgoing(struct sio_socket *s, sio_event_cb cb,
                                        void *user);
SIOC_API int sio_socket_prepend_any_outgoing(struct sio_socket *s, sio_event_cb cb,
                                             void *user);
SIOC_API void sio_socket_off_any_outgoing(struct sio_socket *s, sio_event_cb cb,
                                          void *user);

/* Its name, "/" included; and how many sockets have joined. */
SIOC_API struct sio_str sio_namespace_name(const struct sio_namespace *ns);
SIOC_API size_t sio_namespace_n_sockets(const struct sio_namespace *ns);
/*
 * Walks the sockets that are there now; fn returning false stops.  fn may disconnect
 * anybody; who is gone is not visited.  SIO_OK, or SIO_ERR_NOMEM: nobody was visited.
 */
SIOC_API int sio_namespace_each(struct sio_namespace *ns,
                                bool (*fn)(struct sio_socket *s, void *user),
                                void *user);
/* The joined socket of that id, borrowed; NULL: it has gone. */
SIOC_API struct sio_socket *sio_namespace_find(struct sio_namespace *ns,
                                               struct sio_str id);

/*
 * Known to other clients too: not the session's secret.  Borrowed.  Of a client of
 * Socket.IO 2 it is the secret, since that protocol makes it of nothing else; behind
 * the namespace's name and '#' where that is not "/".
 */
SIOC_API struct sio_str sio_socket_id(const struct sio_socket *s);
SIOC_API struct sio_namespace *sio_socket_namespace(const struct sio_socket *s);
/*
 * The connection: handshake, transport, number.  Good in on_disconnect too, not after
 * it.
 */
SIOC_API struct eio_session *sio_socket_session(const struct sio_socket *s);
/*
 * The application's pointer, NULL at first.  destroy, which may be NULL, is called for
 * it once: when another pointer takes its place, or when the socket has ended, after
 * on_disconnect (with recovery: when it cannot be recovered any more, if only in
 * sio_server_free).  Without destroy it stays the application's.
 */
SIOC_API void sio_socket_set_data(struct sio_socket *s, void *data,
                                  void (*destroy)(void *data));
SIOC_API void *sio_socket_data(const struct sio_socket *s);
/*
 * True if this socket goes on where another one of that id was cut off.  It has the
 * same rooms and attributes, and the same data if that has a destroy; other data is not
 * kept, nor are handlers and listeners of the socket's own.  In on_join and middleware
 * the rooms are not entered yet; whoever is refused may try again.  It is settled in
 * on_connect: where middleware took its time, too much may have been sent meanwhile.
 */
SIOC_API bool sio_socket_recovered(const struct sio_socket *s);
/*
 * What others are shown of it (sio_namespace_fetch): a JSON text, copied; ptr NULL: none
 * any more.  SIO_OK, SIO_ERR_PARSE, SIO_ERR_TOO_BIG (nested too deeply), SIO_ERR_NOMEM.
 */
SIOC_API int sio_socket_set_attributes(struct sio_socket *s, struct sio_str json);
/* Borrowed until it is set again; ptr NULL: none. */
SIOC_API struct sio_str sio_socket_attributes(const struct sio_socket *s);

/*
 * Queues m for one socket.  m stays the caller's and may be sent again.  SIO_OK,
 * SIO_ERR_CLOSED, what went wrong when m was built, or as eio_session_send.
 */
SIOC_API int sio_socket_emit(struct sio_socket *s, struct sio_message *m);
/* The same in one call, see sio_message_newf.  Also SIO_ERR_NOMEM, SIO_ERR_INVAL. */
SIOC_API int sio_socket_emitf(struct sio_socket *s, const char *event,
                              const char *format, ...);
/*
 * timeout_ms 0: none.  cb is called exactly once, later, unless this returns an
 * error: as above, or SIO_ERR_FULL when 4096 answers are awaited from this socket
 * already.
 */
SIOC_API int sio_socket_emit_ack(struct sio_socket *s, struct sio_message *m,
                                 uint32_t timeout_ms, sio_ack_cb cb, void *user);

/*
 * Leaves the namespace: packet 41 to the client, which then stays away until it is asked
 * to come back.  close: all namespaces of the connection, each with its 41, and the
 * connection ends when the client has got what was sent (on_disconnect: FORCED_SERVER).
 * Either way what it was is not recovered.
 */
SIOC_API void sio_socket_disconnect(struct sio_socket *s, bool close);
/*
 * Cuts the TCP connection without a word, so that the client reconnects by itself, and is
 * recovered where that is on (on_disconnect: FORCED_SERVER).
 */
SIOC_API void sio_socket_abort(struct sio_socket *s);

/*
 * Rooms exist while somebody is in them.  Each socket is in the room of its own id,
 * and does not leave it.  sio_socket_join: SIO_OK, SIO_ERR_NOMEM, SIO_ERR_CLOSED (not
 * joined to its namespace yet, or no more).
 */
SIOC_API int sio_socket_join(struct sio_socket *s, struct sio_str room);
SIOC_API void sio_socket_leave(struct sio_socket *s, struct sio_str room);
SIOC_API bool sio_socket_in(const struct sio_socket *s, struct sio_str room);
/*
 * Fills out with at most max rooms, its own id first (borrowed: until it leaves).
 * Returns how many it is in.
 */
SIOC_API size_t sio_socket_rooms(const struct sio_socket *s, struct sio_str *out,
                                 size_t max);

/*
 * Whom a broadcast reaches: everybody in any of rooms (none given: in the namespace),
 * each once.
 */
struct sio_target {
    const struct sio_str *rooms;
    size_t n_rooms;
    const struct sio_str *except; /* rooms, socket ids among them */
    size_t n_except;
    const struct sio_socket *except_socket; /* the sender, or NULL */
    bool local; /* those of this server only, where there is an adapter */
};
/*
 * target NULL: everybody.  Encodes once.  Calls no handler: a connection that cannot
 * take the message ends with this turn.  Returns the number of sockets of this server,
 * or an error.
 */
SIOC_API int sio_namespace_emit(struct sio_namespace *ns,
                                const struct sio_target *target, struct sio_message *m);
/* The same in one call, see sio_message_newf. */
SIOC_API int sio_namespace_emitf(struct sio_namespace *ns,
                                 const struct sio_target *target, const char *event,
                                 const char *format, ...);
/* Walks whom it would reach, as sio_namespace_each. */
SIOC_API int sio_namespace_each_of(struct sio_namespace *ns,
                                   const struct sio_target *target,
                                   bool (*fn)(struct sio_socket *s, void *user),
                                   void *user);
/* How many sockets are in the room. */
SIOC_API size_t sio_namespace_room_size(struct sio_namespace *ns, struct sio_str room);

/*
 * Answers that were collected, borrowed by the callback that gets them.
 */
struct sio_answers;
SIOC_API size_t sio_answers_n(const struct sio_answers *a);
/* Whose: a socket's id; "" where another server does not say whose it is. */
SIOC_API struct sio_str sio_answers_id(const struct sio_answers *a, size_t i);
/* SIO_OK; SIO_ERR_TIMEOUT; SIO_ERR_CLOSED: left; else why it could not be asked. */
SIOC_API int sio_answers_status(const struct sio_answers *a, size_t i);
/* The answer; NULL unless SIO_OK. */
SIOC_API struct sio_event *sio_answers_event(const struct sio_answers *a, size_t i);
/*
 * Exactly once.  status SIO_OK: all have answered; SIO_ERR_TIMEOUT: some had not when
 * the time was over; SIO_ERR_CLOSED: all answered but those that left meanwhile; else
 * the error of somebody who could not be asked, or SIO_ERR_CLOSED, SIO_ERR_FULL where
 * the other servers could not.  answers holds what there is.
 */
typedef void (*sio_answers_cb)(int status, const struct sio_answers *answers,
                               void *user);
/*
 * Asks everybody whom sio_namespace_emit would reach, with one encoding, and collects
 * the answers.  timeout_ms 0: until all have answered or left, on other servers as long
 * as the adapter waits.  Unless this returns an error (SIO_ERR_NOMEM, SIO_ERR_CLOSED: the
 * server is being freed, what went wrong when m was built), cb is called exactly once; where nobody is asked, before this
 * returns.
 */
SIOC_API int sio_namespace_emit_ack(struct sio_namespace *ns,
                                    const struct sio_target *target,
                                    struct sio_message *m, uint32_t timeout_ms,
                                    sio_answers_cb cb, void *user);

/*
 * What follows acts on sockets of all servers, where there is an adapter.
 */

/* A socket as others see it. */
struct sio_fetched {
    struct sio_str id;
    struct sio_str nsp;
    const struct sio_str *rooms; /* its own id first */
    size_t n_rooms;
    /*
     * JSON object: headers (without cookie and authorization), query, address, secure,
     * xdomain, issued (ms since 1970), time, url.
     */
    struct sio_str handshake;
    struct sio_str attributes; /* JSON; ptr NULL: none */
    struct sio_socket *socket; /* NULL: it is another server's */
};
/*
 * Exactly once; all is borrowed.  status SIO_OK; SIO_ERR_TIMEOUT: a server has not
 * answered; SIO_ERR_CLOSED, SIO_ERR_FULL: the others could not be asked; SIO_ERR_NOMEM:
 * some are missing.
 */
typedef void (*sio_fetch_cb)(int status, const struct sio_fetched *list, size_t n,
                             void *user);
/*
 * Lists whom target names.  Unless this returns an error (SIO_ERR_NOMEM, SIO_ERR_CLOSED:
 * the server is being freed), cb is called exactly once, without an adapter before this returns.
 */
SIOC_API int sio_namespace_fetch(struct sio_namespace *ns,
                                 const struct sio_target *target, sio_fetch_cb cb,
                                 void *user);

/*
 * Lets all whom target names enter, or leave, rooms; disconnects them, as
 * sio_socket_disconnect.  SIO_OK, SIO_ERR_NOMEM (some have not), or an error of the
 * adapter.
 */
SIOC_API int sio_namespace_join_all(struct sio_namespace *ns,
                                    const struct sio_target *target,
                                    const struct sio_str *rooms, size_t n);
SIOC_API int sio_namespace_leave_all(struct sio_namespace *ns,
                                     const struct sio_target *target,
                                     const struct sio_str *rooms, size_t n);
SIOC_API int sio_namespace_disconnect_all(struct sio_namespace *ns,
                                          const struct sio_target *target, bool close);

/*
 * Sends an event to the other servers, not to their clients.  cb (NULL: no answers are
 * wanted) gets one answer of each, as in sio_namespace_emit_ack; alone, none, before
 * this returns.  timeout_ms 0: as long as the adapter waits.
 */
SIOC_API int sio_namespace_side_emit(struct sio_namespace *ns, struct sio_message *m,
                                     uint32_t timeout_ms, sio_answers_cb cb,
                                     void *user);
/* Called for what another server sends so; may answer it.  NULL: nobody listens. */
typedef void (*sio_side_cb)(struct sio_namespace *ns, struct sio_event *e, void *user);
SIOC_API void sio_namespace_on_side_emit(struct sio_namespace *ns, sio_side_cb cb,
                                         void *user);

#ifdef __cplusplus
}
#endif
#endif
