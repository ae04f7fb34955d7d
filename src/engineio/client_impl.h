/*
 * engineio/client_impl.h - the inside of eio_client, for its three files
 */
#ifndef ENGINEIO_CLIENT_IMPL_H
#define ENGINEIO_CLIENT_IMPL_H

#include "engineio/client.h"
#include "engineio/packet.h"
#include "engineio/queue.h"
#include "http/client.h"
#include "http/websocket.h"
#include "http/ws_deflate.h"

enum eio_client_state {
    EIO_CLIENT_CONNECTING,
    EIO_CLIENT_OPEN,
    EIO_CLIENT_CLOSING, /* sends what waits, then ends */
    EIO_CLIENT_CLOSED,
};

/* The transport in charge.  While connecting: the one that is tried. */
enum eio_client_transport { EIO_CLIENT_ON_POLLING, EIO_CLIENT_ON_WEBSOCKET };

/* An upgrade: a WebSocket beside polling, which stays in charge until the end. */
enum eio_client_probe {
    EIO_CLIENT_NO_PROBE,
    EIO_CLIENT_PROBE_SHAKING, /* the WebSocket's handshake */
    EIO_CLIENT_PROBE_SENT,    /* "2probe" is sent */
    EIO_CLIENT_PROBE_PAUSING, /* "3probe" came: the requests under way end first */
};

struct eio_client {
    struct net_loop *loop;
    const struct eio_client_ops *ops;
    void *user;
    struct net_task work;   /* sends the queue; once freed: reap */
    struct net_timer watch; /* connecting, heartbeat, closing */
    struct net_timer probe_timer;

    char *host;
    uint16_t port;
    struct net_tls *tls;
    struct http_proxy *proxy;
    char *path;
    char *query;
    char *fields;
    enum eio_client_transports transports;
    size_t max_message;
    uint32_t connect_timeout_ms;
    char *tls_name;
    struct http_cookies *cookies; /* borrowed */
    bool try_all;
    bool deflate;
    size_t deflate_min_bytes;
    struct ws_deflate_options deflate_opts;

    enum eio_client_state state;
    enum eio_client_transport transport;
    enum eio_client_probe probe;
    char *sid; /* percent-encoded; NULL: not open yet */
    uint32_t watch_ms;
    uint32_t max_payload;
    bool pong_due;   /* goes before all else: with the next POST, or when ws has room */
    bool close_sent; /* polling: the close packet is in a POST */
    bool freed;      /* by eio_client_free */
    bool dirty;      /* on_flushed is due when nothing is pending */

    struct eio_queue queue;
    size_t post_bytes; /* in the POST under way */
    struct http_client *get;
    struct http_client *post;
    struct http_client *handshake;
    char ws_key[25];
    struct ws *ws; /* in charge, or the probe */
};

/* client.c */

/* Ends c: transports go, on_close is called.  c is valid until the end of the turn. */
void eio_client_end(struct eio_client *c, int error, const char *reason,
                    const char *why);
/* The same with a formatted sentence. */
void eio_client_fail(struct eio_client *c, int error, const char *reason,
                     const char *fmt, ...) SIOC_PRINTF(4, 5);
/* A packet of the transport in charge; msg holds its bytes. */
void eio_client_packet(struct eio_client *c, const struct eio_packet *p,
                       struct sio_slice msg);
/* Tells on_flushed if it is due. */
void eio_client_check_flushed(struct eio_client *c);
/* Sends the queue at the end of the turn. */
void eio_client_wake(struct eio_client *c);

/*
 * Sends r on http, with the target and the fields that all requests share and more_fields
 * ("Name: value\r\n..." or "") behind them.  As http_client_send.
 */
int eio_client_request(struct eio_client *c, struct http_client *http,
                       const char *transport, const char *more_fields,
                       struct http_client_request *r, http_client_cb cb);
struct http_client *eio_client_http(struct eio_client *c, size_t max_body);
/* Remembers what Set-Cookie says. */
void eio_client_cookies(struct eio_client *c, const struct http_head *head);
/* Begins with a transport.  SIO_OK, SIO_ERR_NOMEM. */
int eio_client_begin(struct eio_client *c, enum eio_client_transport transport);
/* A reply that is not what was asked for, as a sentence. */
void eio_client_refused(struct eio_client *c, const char *what,
                        const struct http_client_reply *reply);

/* client_polling.c */
int eio_client_poll(struct eio_client *c);
void eio_client_polling_flush(struct eio_client *c);
bool eio_client_polling_idle(const struct eio_client *c);

/* client_websocket.c */
int eio_client_websocket(struct eio_client *c);
void eio_client_websocket_flush(struct eio_client *c);
void eio_client_websocket_drop(struct eio_client *c);
void eio_client_pong(struct eio_client *c);
/* Begins to probe; failing is no error, polling goes on. */
void eio_client_upgrade(struct eio_client *c);
/* A request has ended while pausing. */
void eio_client_upgrade_continue(struct eio_client *c);

#endif
