/*
 * engineio/server_impl.h - the inside of eio_server: who is let in (admission.c), and
 * what becomes of a request that is (server.c)
 */
#ifndef ENGINEIO_SERVER_IMPL_H
#define ENGINEIO_SERVER_IMPL_H

#include "engineio/server.h"
#include "engineio/session.h"
#include "http/routes.h"

struct eio_server {
    struct eio_sessions sessions;
    struct eio_server_options opts; /* numbers filled in */
    char *pattern;                  /* path + "*" */
    struct http_server *http;
    bool owns_http;
    struct http_cors cors;
    struct http_handler handler;
    struct sio_http routes; /* that the application adds */
    char *cookie;           /* Set-Cookie without the sid, or NULL */

    /* Graceful end. */
    bool draining;
    void (*on_done)(void *user); /* still owed, or NULL */
    void *done_user;
    struct net_timer deadline;
    struct net_task check;
};

/* A request while it is judged. */
struct eio_request {
    struct http_request *http;
    struct eio_session *session; /* that its sid names, or NULL */
    bool has_sid;
    bool websocket; /* transport=websocket */
    bool upgrade;   /* asks for a WebSocket */
    bool jsonp;     /* asks for scripts */
    uint32_t script;
    enum eio_form form;
    uint32_t trusted_proxies;
    char address[NET_ADDR_SIZE]; /* empty until it is asked for */
};

/* Why a request is refused; text NULL: the code's own. */
struct eio_verdict {
    int status; /* 0: not refused */
    enum eio_refusal code;
    const char *text;
};

/*
 * Reads what decides about the request, and judges: the order of checks is the
 * protocol's.
 */
struct eio_verdict eio_judge(struct eio_server *server, struct eio_request *q);

/* Counts the refusal, tells on_refused, and answers. */
void eio_request_refuse(struct eio_server *server, struct eio_request *q,
                        const struct eio_verdict *v);

#endif
