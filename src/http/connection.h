/*
 * http/connection.h - the inside of the server: connections and their requests
 *
 * A connection has at most one request at a time.  A request has two halves that
 * end independently: its input (head, body) and its output (waiting, streaming, done).
 * When both are over the next one begins with the bytes that were held back.  Between
 * requests a connection holds no buffer and no parser.
 *
 * Handlers run inside consume(); what they answer is noticed when they return.  An
 * answer from elsewhere continues in a deferred task, so that no handler of a next
 * request ever runs inside http_reply.
 */
#ifndef HTTP_CONNECTION_H
#define HTTP_CONNECTION_H

#include "base/buf.h"
#include "http/parser.h"
#include "http/router.h"
#include "http/server.h"

/* After the last reply the peer has this long to take it and to end its side. */
#define HTTP_LINGER_MS 2000

struct http_server {
    struct net_loop *loop;
    struct http_server_options opts; /* defaults filled in */
    struct http_router router;
    struct net_listener **listeners;
    size_t n_listeners;
    struct list conns;
    size_t n_conns;
    uint64_t n_requests;
    uint64_t n_accepted;

    /* Graceful end. */
    bool draining;
    void (*on_drained)(void *user); /* still owed, or NULL */
    void *drained_user;
    struct net_task drained;
};

struct http_conn {
    struct list link; /* of server->conns */
    struct http_server *server;
    struct net_conn *conn;        /* NULL once it has ended or was taken */
    struct http_request *request; /* NULL between requests */
    struct net_timer timer;       /* runs until at most the next deadline */
    struct net_task advance;
    struct net_task reap;

    /* Input that nobody has read yet: in the loop's buffer, or in held. */
    uint8_t *in;
    size_t in_len;
    struct sio_buf *held;

    uint64_t since_ms; /* start of the present wait of the input */
    uint64_t out_ms;   /* the kernel last took output, or had taken all */
    uint64_t out_bytes;
    bool busy;    /* inside consume() */
    bool closing; /* no more requests; the output is flushed */
    bool paused;
};

enum http_output { HTTP_OUT_WAITING, HTTP_OUT_STREAM, HTTP_OUT_DONE };

/* Memory that lives as long as its request. */
struct http_scratch {
    struct http_scratch *next;
    char data[];
};

struct http_request {
    struct http_conn *c;
    struct http_parser *parser;
    const struct http_handler *handler; /* NULL: the server answers by itself */
    void *user;                         /* the handler's */
    const struct http_cors *cors;
    void *data;
    enum http_method method;
    enum http_output out;
    struct sio_str path;
    struct sio_str query;
    struct sio_str params[HTTP_MAX_PARAMS]; /* decoded */
    unsigned n_params;
    struct http_scratch **scratch; /* &scratch_list: reached from a const request too */
    struct http_scratch *scratch_list;

    /* Input. */
    bool head_done;
    bool in_done;
    bool told; /* the handler knows of it */
    int abort_status;
    uint64_t body_bytes; /* that came */
    struct wbuf body;

    /* Output. */
    struct wbuf fields;
    bool compress; /* the body, from compress_min bytes on */
    size_t compress_min;
    struct http_coded *kept;
    bool close;        /* the connection ends with this reply */
    bool chunked;      /* the stream's form: chunks, */
    bool sized;        /* or a length; neither: to the end of the connection */
    uint64_t out_left; /* of a stream whose length was promised */
    void (*on_drain)(struct http_request *r, void *user);
    void *drain_user;
    struct http_download *download; /* the file that is being sent, or NULL */
};

/* A connection just accepted; user is the server. */
void http_conn_accept(struct net_conn *conn, void *user);

/* Ends it at once: on_abort of its request, on_close. */
void http_conn_abort(struct http_conn *c);

/* A drain has begun: closes it if it is idle. */
void http_conn_drain(struct http_conn *c);

/* Queues output.  On an error the connection has been aborted, and r is dead. */
int http_conn_send(struct http_conn *c, const struct sio_slice *slices, size_t n);

/* The reply of c's request is complete (or cut): goes on, now or in a deferred task. */
void http_conn_replied(struct http_conn *c);

/* True if the request's unread body is worth reading and dropping to keep the connection. */
bool http_conn_may_go_on(const struct http_request *r);

/* Lets go of the net_conn.  The rest of the input stays readable until the turn ends. */
void http_conn_release(struct http_conn *c);

/* Splits the target and finds the route.  0, or the status to refuse it with. */
int http_request_locate(struct http_request *r);
void http_request_free(struct http_request *r);
void *http_request_alloc(const struct http_request *r, size_t size);

/* Of file.c: closes the file.  NULL is allowed. */
void http_download_free(struct http_download *d);
const struct http_head *http_request_head(const struct http_request *r);

/* Answers with an error of the server's own. */
void http_reply_status(struct http_request *r, int status);

/* Answers OPTIONS for a known path, and preflights. */
void http_reply_options(struct http_request *r, unsigned methods);

/* The server's count of connections fell. */
void http_server_conn_gone(struct http_server *s);

#endif
