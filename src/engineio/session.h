/*
 * engineio/session.h - a session: its state, its queue, its heartbeat
 *
 *     OPENING -> OPEN -> CLOSING -> CLOSED
 *
 * The table below owns the sessions; a session that is CLOSED has left it and is
 * freed at the end of the turn.  A session past its deadline is unknown, whether
 * its timer has run or not.
 */
#ifndef ENGINEIO_SESSION_H
#define ENGINEIO_SESSION_H

#include "base/map.h"
#include "base/random.h"
#include "engineio/address.h"
#include "engineio/packet.h"
#include "engineio/queue.h"
#include "engineio/server.h"
#include "engineio/transport.h"
#include "http/ws_deflate.h"
#include "net/loop.h"

enum eio_state { EIO_OPENING, EIO_OPEN, EIO_CLOSING, EIO_CLOSED };
enum eio_upgrade { EIO_UPGRADE_NONE, EIO_UPGRADE_PROBING, EIO_UPGRADE_DONE };

/* Longest sid_prefix. */
#define EIO_SID_PREFIX_MAX 32

/* The sessions of a server, and what they share. */
struct eio_sessions {
    struct net_loop *loop;
    struct map by_sid;
    struct map addresses;  /* of sessions, where they are counted */
    struct list open;      /* struct eio_session.link, state OPEN */
    struct list closing;   /* the same, state CLOSING */
    struct list lingering; /* WebSockets that their sessions have left */
    uint32_t last_number;
    uint32_t ping_interval_ms;
    uint32_t ping_timeout_ms;
    uint32_t upgrade_timeout_ms;
    size_t max_payload;
    size_t max_queue_bytes;
    size_t poll_compress_min; /* bytes of a reply to a poll; 0: never */
    bool deflate;             /* agreed to where a WebSocket offers it */
    size_t deflate_min_bytes;
    struct ws_deflate_options deflate_opts;
    char sid_prefix[EIO_SID_PREFIX_MAX + 2]; /* with its dot; empty: none */
    uint8_t sid_prefix_len;
    struct eio_server_stats stats;
    struct log_limit warned;

    /*
     * A session or lingering WebSocket has gone; to be looked at later
     * (eio_sessions_idle), not in the call.
     */
    void (*on_gone)(struct eio_sessions *table);

    eio_upgrade_cb on_upgrade; /* or NULL */
};

struct eio_probe;

struct eio_session {
    struct map_node node;
    uint8_t form;    /* enum eio_form of its messages; not 4's: protocol 3 */
    uint8_t reason;  /* CLOSING: enum eio_close_reason, why */
    bool pinged : 1; /* a ping is out; protocol 3: always, the client pings */
    bool doomed : 1; /* ends with this turn: its queue could not take a message */
    bool held : 1;   /* nothing is written yet; see eio_session_hold */
    uint32_t number;
    enum eio_state state;
    enum eio_upgrade upgrade;
    struct list link;
    struct eio_sessions *table;
    struct eio_transport *transport; /* in charge; NULL before OPEN and when CLOSED */
    struct eio_probe *probe;         /* while PROBING */
    struct eio_queue queue;
    const struct eio_session_ops *ops;
    void *user;
    struct net_timer timer; /* next ping, or the deadline */
    uint64_t deadline_ns;
    struct net_task turn_end;
    struct net_task reap;
    struct eio_address *address; /* NULL: not counted */
    struct sio_buf *request;     /* copy of the opening request; see handshake.c */
    uint32_t fields_at;          /* where its fields begin */
    struct eio_handshake handshake;
    char sid[]; /* the table's prefix and RANDOM_ID_LEN characters */
};

/* The caller sets the numbers before the first session. */
void eio_sessions_init(struct eio_sessions *table, struct net_loop *loop);
void eio_sessions_fini(struct eio_sessions *table);
bool eio_sessions_idle(const struct eio_sessions *table);

/* Borrowed; NULL: unknown, or past its deadline (then it has ended). */
struct eio_session *eio_sessions_find(struct eio_sessions *table, struct sio_str sid);

/* A new one, OPENING, its heartbeat counted from now.  NULL: out of memory. */
struct eio_session *eio_session_new(struct eio_sessions *table, enum eio_form form);

/* Its open packet, with the type character.  can_upgrade: offered. */
void eio_session_write_open(const struct eio_session *s, bool can_upgrade,
                            struct wbuf *w);

/* OPENING -> OPEN, with its first transport (moved). */
void eio_session_opened(struct eio_session *s, struct eio_transport *t);

/*
 * Protocol 3 over WebSocket: the open packet waits in the queue, and all else behind it,
 * until the 101 is surely another segment.  Clients of that time add their listener
 * when they have seen the 101, and miss what came with it.  OPENING, its queue
 * empty.  SIO_OK or SIO_ERR_NOMEM.
 */
int eio_session_hold(struct eio_session *s, struct sio_str open_packet);

/* OPENING -> CLOSED: nobody has heard of it. */
void eio_session_discard(struct eio_session *s);

/*
 * A packet that the transport in charge received; buf keeps its bytes alive, or
 * NULL. SIO_OK (the session may have ended); SIO_ERR_PARSE, SIO_ERR_PROTOCOL,
 * SIO_ERR_NOMEM: the caller is to fail the session.
 */
int eio_session_receive(struct eio_session *s, const struct eio_packet *p,
                        struct sio_buf *buf);

/*
 * Queues a packet that is no message behind what waits.  If it cannot, the session ends
 * with this turn.
 */
void eio_session_queue(struct eio_session *s, struct sio_str packet);

/* The packet of a text frame, as the session's protocol has it. */
int eio_session_parse(const struct eio_session *s, struct sio_str text,
                      struct eio_packet *out);

/* A binary frame.  Results as eio_session_receive. */
int eio_session_receive_binary(struct eio_session *s, struct sio_slice bytes);

/* The reason to fail a session for, from an error of eio_session_receive. */
enum eio_close_reason eio_session_reason_of(int error);

/*
 * Ends at once: the client is told if its transport can do so now; what is queued
 * is dropped. Harmless when the session has ended.
 */
void eio_session_fail(struct eio_session *s, enum eio_close_reason reason);

/* Sends what waits, as far as the transport can take it.  May end the session. */
void eio_session_flush(struct eio_session *s);

/*
 * Called by a transport's finish, when the close packet is out: s forgets it, and
 * it ends itself.
 */
void eio_session_drained(struct eio_session *s);

/*
 * The session moves to another transport; what is queued goes there.  Returns the
 * old one, moved to the caller.
 */
struct eio_transport *eio_session_switch(struct eio_session *s,
                                         struct eio_transport *t);

#endif
