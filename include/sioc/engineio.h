/*
 * sioc/engineio.h - Engine.IO 4 server: sessions over polling and WebSocket
 *
 * Most programs want <sioc/server.h>, which stands on this.  A session outlives
 * its transports; what is sent waits in the session's queue until a transport can
 * take it.  Rules: Engine.IO protocol, revision 4, and 3 where it is allowed.
 */
#ifndef SIOC_ENGINEIO_H
#define SIOC_ENGINEIO_H

#include <stdbool.h>

#include <sioc/bytes.h>
#include <sioc/loop.h>

#ifdef __cplusplus
extern "C" {
#endif

struct eio_server;
struct eio_session;

/*
 * One message, text or binary, or a text with its attachments, encoded once and
 * shared by every session that it is sent to.  Counted; unchanged once made.
 */
struct eio_msg;

struct eio_msg_options {
    /*
     * Not 0: a message that waits in a session's queue under the same key is
     * dropped when this one is queued behind it.  For state of which only the
     * newest counts.
     */
    uint64_t replace_key;
    bool is_volatile; /* dropped where the transport cannot take it now */
    bool no_compress; /* sent as it is: compressed already, or never worth it */
};

/*
 * A part: its bytes are the slices joined.  Large bufs are referenced, small and
 * borrowed bytes copied.
 */
struct eio_part {
    bool text;
    const struct sio_slice *slices;
    size_t n_slices;
};

/*
 * Makes a message of n parts (1 to 65535), sent back to back: a text and its
 * attachments. opts may be NULL.  Text is the caller's to keep valid UTF-8.  NULL
 * when out of memory or over 4 GiB.  The caller owns the reference.
 */
SIOC_API struct eio_msg *eio_msg_new(const struct eio_part *parts, size_t n,
                                     const struct eio_msg_options *opts);
SIOC_API struct eio_msg *eio_msg_text(const char *p, size_t len);
SIOC_API struct eio_msg *eio_msg_binary(const void *p, size_t len);
SIOC_API struct eio_msg *eio_msg_ref(struct eio_msg *msg);
SIOC_API void eio_msg_unref(struct eio_msg *msg);

enum eio_close_reason {
    EIO_CLOSE_TRANSPORT_CLOSE, /* "transport close": the peer closed */
    /* "transport error": a bad or aborted request, too large a message, a slow reader */
    EIO_CLOSE_TRANSPORT_ERROR,
    EIO_CLOSE_PARSE_ERROR,  /* "parse error" */
    EIO_CLOSE_PING_TIMEOUT, /* "ping timeout" */
    EIO_CLOSE_FORCED,       /* "forced close": eio_session_close */
    EIO_CLOSE_SHUTDOWN,     /* "server shutting down" */
};
SIOC_API const char *eio_close_reason_text(enum eio_close_reason reason);

/*
 * What the opening request said.  Lives as long as the session, as do the texts
 * that the functions below give.
 */
struct eio_handshake {
    struct sio_str query;   /* raw, without '?' */
    struct sio_str address; /* of the peer, without port */
    bool secure;
    int64_t time_ms; /* since 1970 */
};

/* Decoded value of the last query parameter of that name; false: not there. */
SIOC_API bool eio_session_query(const struct eio_session *s, const char *name,
                                struct sio_str *value);
/* A field of the opening request, name in any case; ptr NULL: not there. */
SIOC_API struct sio_str eio_session_field(const struct eio_session *s,
                                          const char *name);
/* All fields; false past the end. */
SIOC_API bool eio_session_field_at(const struct eio_session *s, size_t i,
                                   struct sio_str *name, struct sio_str *value);

struct eio_session_ops {
    /*
     * A message; text is valid UTF-8.  Hold the slice to keep it: of a large
     * WebSocket message or a POST it shares the bytes that arrived.  May close the
     * session.
     */
    void (*on_message)(struct eio_session *s, bool text, struct sio_slice msg,
                       void *user);

    /*
     * The end, exactly once.  The session can no longer be sent to; the pointer is
     * dead when this returns.  Must not free the server.
     */
    void (*on_close)(struct eio_session *s, enum eio_close_reason reason, void *user);
};

/* A request, while one of the hooks below looks at it. */
struct eio_request;
/* Decoded value of the last query parameter of that name; false: not there. */
SIOC_API bool eio_request_query(struct eio_request *r, const char *name,
                                struct sio_str *value);
/* A field, name in any case; ptr NULL: not there. */
SIOC_API struct sio_str eio_request_field(struct eio_request *r, const char *name);
/* Of who asks, without port: the connection's, or what trusted_proxies say. */
SIOC_API struct sio_str eio_request_address(struct eio_request *r);
/*
 * Adds a field to the reply: in on_headers, or in on_refused.  SIO_OK, SIO_ERR_INVAL (CR,
 * LF or NUL in it).
 */
SIOC_API int eio_request_add_field(struct eio_request *r, const char *name,
                                   struct sio_str value);

/*
 * A cookie with the sid in the reply that opens a session, polling or WebSocket: a
 * balancer sends the client's later requests to the same server by it.  The server itself
 * never reads it.  (RFC 6265)
 */
struct eio_cookie {
    const char *name;      /* NULL: "io" */
    const char *path;      /* NULL: "/" */
    const char *domain;    /* NULL: of the server's name only */
    const char *same_site; /* "Strict", "Lax" or "None"; NULL: "Lax" */
    uint32_t max_age_s;    /* 0: until the browser ends */
    bool http_only;        /* kept from scripts, which have no use for it */
    bool secure;           /* only over TLS */
};

/*
 * permessage-deflate on WebSocket (RFC 7692), for clients that offer it.
 *
 * Context takeover, the protocol's default, finds repetitions across messages, but each
 * connection keeps its own compressor (268 kB at 15 bits) and compresses for itself.
 * With server_no_context_takeover a broadcast is compressed once for all, and nothing
 * is kept.  client_no_context_takeover asks the client for the same on its side, which
 * saves 40 kB for each client that has sent something compressed.
 */
struct eio_deflate_options {
    bool enabled;
    bool server_no_context_takeover;
    bool client_no_context_takeover;
    size_t min_bytes; /* of a message that is worth it; 0: 1024 */
    int level;        /* 1 (fast) to 9 (small); 0: 1 */
    int window_bits;  /* 9 to 15, both directions; 0: 15 */
};

struct eio_server_options {
    const char *path;            /* NULL: "/engine.io/"; begins and ends with '/' */
    uint32_t ping_interval_ms;   /* 0: 25000 */
    uint32_t ping_timeout_ms;    /* 0: 20000 */
    uint32_t upgrade_timeout_ms; /* 0: 10000 */
    size_t max_payload; /* bytes of a message or POST, below 4 GiB; 0: 1000000 */
    /*
     * What may wait in a session, beside what its connection holds (256 KiB and one
     * message).  0: 4 MiB. Above it the session is closed, "transport error".  A
     * message that finds nothing waiting always fits.
     */
    size_t max_queue_bytes;
    uint32_t max_sessions;             /* 0: 100000; above: 503 */
    uint32_t max_sessions_per_address; /* 0: no bound; above: 429 */
    /*
     * How many proxies stand in front, each of which adds the address of who asked it to
     * X-Forwarded-For.  0: the field is not believed.
     */
    uint32_t trusted_proxies;
    /*
     * Sessions of protocol 3 too, which clients of Socket.IO 2 speak: any EIO but 4 then
     * means 3.  Off: they are refused, code 5.
     */
    bool allow_eio3;
    /*
     * Polling by scripts (`j` in the query), for pages of other origins in browsers that
     * know no CORS.  Of either protocol.
     */
    bool jsonp;
    bool no_polling;
    bool no_websocket;
    bool no_upgrade;
    /*
     * Pages of other origins, any or those in origins, may read the replies; with
     * credentials those of sessions only, not what the application adds (<sioc/http.h>).
     */
    bool cors;
    bool cors_credentials;
    const char *const *origins; /* NULL-terminated, or NULL: any */
    /*
     * Requests that come from a page of another origin are refused (403, code 4),
     * WebSocket included, which browsers do not restrict by themselves.  Needs origins.
     * Clients that are no browsers send no Origin, and pass.
     */
    bool refuse_origins;
    const struct eio_cookie *cookie; /* NULL: none; what it says is copied */
    /*
     * Of several servers behind a balancer, which one this is: sids are "<sid_prefix>." and
     * something random, so that the balancer knows by the `sid` of a request, or by the
     * cookie, where its session is.  1 to 32 of A-Z, a-z, 0-9, '-' and '_'; copied.  Whoever
     * sees the page sees it.  NULL: sids have none.
     */
    const char *sid_prefix;
    struct eio_deflate_options deflate;
    /*
     * Replies to polls are compressed from so many bytes on, where the client takes
     * gzip or deflate and no message in them says no_compress.  0: 1024.
     */
    size_t poll_compress_min_bytes;
    bool no_poll_compression;

    /* NULL: all are admitted.  Returns NULL to admit, or the message of the 403. */
    const char *(*allow_request)(struct eio_request *r, void *user);

    /*
     * Before the reply to a request that has been let in, for fields of the
     * application's.  initial: it opens a session, which is not there yet.  May not
     * close sessions.
     */
    void (*on_headers)(struct eio_request *r, bool initial, void *user);

    /*
     * A request is refused: 0 unknown transport, 1 unknown sid, 2 method, 3 bad request,
     * 4 forbidden (allow_request, refuse_origins, a bound), 5 protocol version.  message
     * is what the client reads.  (Engine.IO protocol 4, "HTTP long-polling")
     */
    void (*on_refused)(struct eio_request *r, int code, const char *message,
                       void *user);

    /* A new session, open.  Sets its ops with eio_session_set_ops, or closes it. */
    void (*on_session)(struct eio_session *s, void *user);
    void *user;
};

/*
 * Listens by itself: see eio_server_listen.  NULL with diag filled.
 */
SIOC_API struct eio_server *eio_server_new(struct net_loop *loop,
                                           const struct eio_server_options *opts,
                                           struct sio_diag *diag);

/*
 * Cuts every session (on_close: "server shutting down") and frees.  Not from a
 * callback of the server's. A callback that eio_server_shutdown still owes is
 * dropped.  NULL is allowed.
 */
SIOC_API void eio_server_free(struct eio_server *server);

struct eio_listen_options {
    const char *host;          /* NULL: every address */
    uint16_t port;             /* 0: the kernel chooses */
    const char *tls_cert_file; /* both NULL: plain */
    const char *tls_key_file;
};
/*
 * Returns the port, or an error with diag filled.  May be called several times, for
 * a server of eio_server_new.
 */
SIOC_API int eio_server_listen(struct eio_server *server,
                               const struct eio_listen_options *opts,
                               struct sio_diag *diag);

/*
 * Reads a certificate and its key for the handshakes that begin from now on, at all
 * places with TLS where the server listens: before the old one expires.  SIO_OK; else the
 * old one stays, and diag says why.
 */
SIOC_API int eio_server_set_certificate(struct eio_server *server,
                                        const char *tls_cert_file,
                                        const char *tls_key_file,
                                        struct sio_diag *diag);

/* Where pages and other HTTP replies are added: <sioc/http.h>; borrowed. */
struct sio_http;
SIOC_API struct sio_http *eio_server_http(struct eio_server *server);

/*
 * Graceful end: no new sessions (503), each session is closed with SHUTDOWN, and
 * what is on its way is sent, for at most timeout_ms.  Then cb, once, from the
 * loop.  Once per server.
 */
SIOC_API void eio_server_shutdown(struct eio_server *server, uint32_t timeout_ms,
                                  void (*cb)(void *user), void *user);

/* Who is told of messages and of the end; ops are borrowed as long as the session. */
SIOC_API void eio_session_set_ops(struct eio_session *s,
                                  const struct eio_session_ops *ops, void *user);
/* Borrowed, lives as long as the session. */
SIOC_API const struct eio_handshake *eio_session_handshake(const struct eio_session *s);
/* "polling" or "websocket". */
SIOC_API const char *eio_session_transport(const struct eio_session *s);
/* The protocol's revision: 4, or 3 where allow_eio3 is set. */
SIOC_API int eio_session_protocol(const struct eio_session *s);
/* For logs; not the sid. */
SIOC_API uint32_t eio_session_number(const struct eio_session *s);

/*
 * Queues a reference.  SIO_OK (also for a volatile message that was dropped);
 * SIO_ERR_CLOSED; SIO_ERR_NOMEM; SIO_ERR_FULL: over max_queue_bytes.  After the
 * last two the session ends, with this turn of the loop: a client never sees a gap.
 */
SIOC_API int eio_session_send(struct eio_session *s, struct eio_msg *msg);

/* Bytes that wait in the session and its transport. */
SIOC_API size_t eio_session_pending(const struct eio_session *s);

/*
 * Sends what waits, then a close packet (WebSocket: a close frame), and ends.  A
 * polling client that does not ask gets 30 s to fetch it.  on_close comes before
 * this returns.
 */
SIOC_API void eio_session_close(struct eio_session *s, enum eio_close_reason reason);

/* Ends without a word: cuts the TCP connection.  Clients reconnect after it. */
SIOC_API void eio_session_abort(struct eio_session *s, enum eio_close_reason reason);

#define EIO_N_REFUSALS 6

struct eio_server_stats {
    size_t n_sessions;
    size_t n_websocket;
    uint64_t n_opened;
    uint64_t n_upgraded;
    uint64_t messages_in, messages_out;
    uint64_t bytes_in, bytes_out;
    uint64_t n_dropped;                 /* volatile or replaced */
    uint64_t n_refused[EIO_N_REFUSALS]; /* by the code of on_refused */
};
SIOC_API void eio_server_stats(const struct eio_server *server,
                               struct eio_server_stats *out);

#ifdef __cplusplus
}
#endif
#endif
