/*
 * client_world.h - a client on a loop with a server that says what each test wants
 *
 * All callbacks of the client are counted; a wait without end is ended by a deadline.
 */
#ifndef TEST_CLIENT_WORLD_H
#define TEST_CLIENT_WORLD_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <sioc/client.h>

#include "base/list.h"
#include "base/mem.h"
#include "net/listener.h"

#define OPEN                                                    \
    "0{\"sid\":\"abc\",\"upgrades\":[],\"pingInterval\":25000," \
    "\"pingTimeout\":20000,\"maxPayload\":1000000}"
#define JOINED "40{\"sid\":\"xyz\"}"

struct visit {
    struct net_conn *conn;
    struct server *server;
    bool upgraded;
    char in[65536];
    size_t len;
};

struct server {
    struct net_listener *listener;
    const char *raw;           /* to the first request, and FIN; NULL: talk HTTP */
    bool endless;              /* raw is said again and again */
    const char *const *bodies; /* to one GET after the other, then silence */
    const char *ws;            /* frames after a 101 */
    size_t ws_len;
    const char *ws_fields; /* instead of the right ones */
    bool refuse_polls;     /* 403 */
    bool mute_ws;          /* handshakes are never answered */
    bool mute_posts;       /* nor are POSTs */
    size_t n_gets;
    size_t n_visits;
    size_t n_upgrades;
    size_t n_ws_gone;
    size_t n_ws_bytes;        /* that came after a 101 */
    struct net_conn *ws_conn; /* the last that was upgraded */
    char posted[65536];       /* bodies of all POSTs, joined by '|' */
    struct net_conn *poll;    /* a GET that waits */
    char last_get[4096];      /* its head */
};

struct world {
    struct net_loop *loop;
    struct server server;
    struct sio_client *client;
    struct sio_client_socket *socket;
    struct net_timer deadline;
    unsigned n_downs, n_joins, n_refusals, n_leaves, n_events, n_acks, n_flushed,
        n_closed;
    int error;
    int ack_status;
    char why[256];
    char last[256];
    uint32_t retry_ms;
    bool closes_in_callbacks;
    bool frees_in_callbacks;
    const char *emits_on_leave;
};

#define run_until(w, condition)                                         \
    do {                                                                \
        while (!(condition))                                            \
            assert_int_equal(net_loop_run_once((w)->loop, -1), SIO_OK); \
    } while (0)

/* There is one at a time. */
struct world *new_world(void);
void free_world(struct world *w);

/* Makes the client and its socket and connects.  False: out of memory. */
bool begin(struct world *w, struct sio_client_options *o);

/* A world whose client has joined "/" over polling; bodies as in struct server. */
struct world *joined(struct sio_client_options *o, const char *const *bodies);

/* Whole lines that are said with each body; none at the start. */
extern const char *more_fields;

/* The server says body as the reply to a request. */
void say_body(struct net_conn *c, const char *body);

/* Emits event with a text of len bytes, maybe with an ack. */
int emit_text(struct world *w, const char *event, size_t len, bool ack);

void on_flushed(int status, void *user);

#endif
