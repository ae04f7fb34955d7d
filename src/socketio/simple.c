#include <config.h>

#include <sioc/simple.h>

#include <stdio.h>

#include "base/list.h"
#include "base/mem.h"
#include "base/str.h"
#include "net/loop.h"

#define DEFAULT_TIMEOUT_MS 20000
#define DEFAULT_EVENTS     1024

struct received {
    struct list link;
    struct sio_event *event;
    struct sio_ack *ack; /* NULL: no answer is wanted */
};

struct sio_simple {
    struct net_loop *loop;
    struct sio_client *client;
    struct sio_client_socket *socket;
    uint32_t timeout_ms;
    size_t max_events;
    bool retries;

    struct list events; /* received and not taken */
    size_t n_events;
    struct received *taken; /* the last one that was; NULL: none */
    struct sio_event *answer;

    struct net_timer deadline;
    bool late;
    bool over;      /* nothing will come any more, unless connected by hand */
    bool no_memory; /* an event was lost */
    char why[256];
};

/* What is awaited from the loop.  A call that was given up is freed by its callback. */
struct call {
    struct sio_simple *simple; /* NULL: given up */
    bool done;
    int status;
};

static void free_received(struct received *r)
{
    if (!r)
        return;
    sio_event_free(r->event);
    sio_ack_free(r->ack);
    mem_free(r);
}

static struct received *first_event(const struct sio_simple *s)
{
    return container_of(s->events.next, struct received, link);
}

static void drop_oldest(struct sio_simple *s)
{
    struct received *r = first_event(s);

    list_remove(&r->link);
    s->n_events--;
    free_received(r);
}

/* Callbacks. */

static void on_event(struct sio_client_socket *socket, struct sio_event *e, void *user)
{
    struct sio_simple *s = user;
    struct received *r = mem_new(struct received);

    (void)socket;
    if (r)
        r->event = sio_event_keep(e);
    if (r && r->event && sio_event_wants_ack(e))
        r->ack = sio_event_take_ack(e);
    if (!r || !r->event || (sio_event_wants_ack(e) && !r->ack)) {
        free_received(r);
        s->no_memory = true;
        return;
    }
    if (s->n_events >= s->max_events)
        drop_oldest(s);
    list_append(&s->events, &r->link);
    s->n_events++;
}

static void on_connect(struct sio_client_socket *socket, void *user)
{
    (void)socket;
    ((struct sio_simple *)user)->over = false;
}

static void on_connect_error(struct sio_client_socket *socket, struct sio_str message,
                             struct sio_str data, void *user)
{
    struct sio_simple *s = user;

    (void)socket;
    (void)data;
    snprintf(s->why, sizeof(s->why), "the server refused: %.*s",
             message.len > 200 ? 200 : (int)message.len,
             message.len ? message.ptr : "");
    s->over = true;
}

static void on_disconnect(struct sio_client_socket *socket, const char *reason,
                          void *user)
{
    struct sio_simple *s = user;

    (void)socket;
    snprintf(s->why, sizeof(s->why), "%s", reason);
    if (str_eq_cstr(sio_str_from("io server disconnect"), reason))
        s->over = true;
}

static const struct sio_client_socket_ops socket_ops = {
    .on_connect = on_connect,
    .on_connect_error = on_connect_error,
    .on_disconnect = on_disconnect,
    .on_event = on_event,
};

static void on_down(struct sio_client *c, int error, const char *why,
                    uint32_t retry_in_ms, void *user)
{
    struct sio_simple *s = user;

    (void)c;
    (void)error;
    snprintf(s->why, sizeof(s->why), "%s", why);
    if (retry_in_ms == 0)
        s->over = true;
}

static void on_late(struct net_timer *timer, void *user)
{
    (void)timer;
    ((struct sio_simple *)user)->late = true;
}

/* Running the loop. */

static int start_clock(struct sio_simple *s, uint32_t timeout_ms)
{
    s->late = false;
    return net_timer_start(&s->deadline, timeout_ms ? timeout_ms : s->timeout_ms);
}

static int turn(struct sio_simple *s)
{
    if (s->late)
        return SIO_ERR_TIMEOUT;
    return net_loop_run_once(s->loop, -1);
}

static int wait_joined(struct sio_simple *s)
{
    while (!sio_client_socket_connected(s->socket)) {
        int rv = s->over ? SIO_ERR_CLOSED : turn(s);

        if (rv < 0)
            return rv;
    }
    return SIO_OK;
}

/* What has its own callback: waits for that. */
static int wait_call(struct sio_simple *s, struct call *c)
{
    int rv = SIO_OK;

    while (!c->done && rv == SIO_OK)
        rv = turn(s);
    if (!c->done) {
        c->simple = NULL;
        return rv;
    }
    rv = c->status;
    mem_free(c);
    return rv;
}

static struct call *call_new(struct sio_simple *s)
{
    struct call *c = mem_new(struct call);

    if (c)
        c->simple = s;
    return c;
}

/* True: somebody waits for it. */
static bool call_done(struct call *c, int status)
{
    if (!c->simple) {
        mem_free(c);
        return false;
    }
    c->done = true;
    c->status = status;
    return true;
}

static void on_flushed(int status, void *user)
{
    (void)call_done(user, status);
}

static void on_answer(int status, struct sio_event *e, void *user)
{
    struct call *c = user;
    struct sio_simple *s = c->simple;

    if (!call_done(c, status) || status != SIO_OK)
        return;
    s->answer = sio_event_keep(e);
    if (!s->answer)
        c->status = SIO_ERR_NOMEM;
}

/* For the caller. */

int sio_simple_emit(struct sio_simple *s, struct sio_message *m)
{
    struct call *c;
    int rv = start_clock(s, 0);

    if (rv == SIO_OK)
        rv = wait_joined(s);
    if (rv == SIO_OK)
        rv = sio_client_socket_emit(s->socket, m);
    if (rv < 0)
        return rv;
    c = call_new(s);
    if (!c)
        return SIO_ERR_NOMEM;
    rv = sio_client_on_flushed(s->client, on_flushed, c);
    if (rv < 0) {
        mem_free(c);
        return rv;
    }
    return wait_call(s, c);
}

int sio_simple_call(struct sio_simple *s, struct sio_message *m, uint32_t timeout_ms,
                    struct sio_event **answer)
{
    struct call *c;
    int rv = start_clock(s, timeout_ms);

    sio_event_free(s->answer);
    s->answer = NULL;
    *answer = NULL;
    if (rv == SIO_OK)
        rv = wait_joined(s);
    if (rv < 0)
        return rv;
    c = call_new(s);
    if (!c)
        return SIO_ERR_NOMEM;
    /* With retries the time of a try is another one than that of the call. */
    if (!timeout_ms)
        timeout_ms = s->timeout_ms;
    rv = sio_client_socket_emit_ack(s->socket, m, s->retries ? 0 : timeout_ms,
                                    on_answer, c);
    if (rv < 0) {
        mem_free(c);
        return rv;
    }
    rv = wait_call(s, c);
    *answer = s->answer;
    return rv;
}

int sio_simple_receive(struct sio_simple *s, uint32_t timeout_ms, struct sio_event **e)
{
    int rv = SIO_OK;

    free_received(s->taken);
    s->taken = NULL;
    *e = NULL;
    if (timeout_ms == 0)
        rv = net_loop_run_once(s->loop, 0);
    else
        rv = start_clock(s, timeout_ms);
    while (rv == SIO_OK && list_empty(&s->events) && !s->no_memory) {
        if (!sio_client_socket_connected(s->socket) && s->over)
            return SIO_ERR_CLOSED;
        rv = timeout_ms ? turn(s) : SIO_ERR_TIMEOUT;
    }
    if (s->no_memory) {
        s->no_memory = false;
        return SIO_ERR_NOMEM;
    }
    if (list_empty(&s->events))
        return rv;
    s->taken = first_event(s);
    list_remove(&s->taken->link);
    s->n_events--;
    *e = s->taken->event;
    return SIO_OK;
}

bool sio_simple_wants_answer(const struct sio_simple *s)
{
    return s->taken && s->taken->ack;
}

int sio_simple_answer(struct sio_simple *s, struct sio_message *m)
{
    struct sio_ack *ack = s->taken ? s->taken->ack : NULL;
    int rv;

    if (!ack)
        return SIO_ERR_NOT_FOUND;
    s->taken->ack = NULL;
    rv = sio_ack_send(ack, m);
    if (rv == SIO_OK)
        rv = net_loop_run_once(s->loop, 0); /* so that it leaves */
    return rv;
}

bool sio_simple_connected(const struct sio_simple *s)
{
    return sio_client_socket_connected(s->socket);
}

struct sio_client_socket *sio_simple_socket(struct sio_simple *s)
{
    return s->socket;
}

struct sio_client *sio_simple_client(struct sio_simple *s)
{
    return s->client;
}

const char *sio_simple_why(const struct sio_simple *s)
{
    return s->why;
}

/* Beginning and end. */

static int build(struct sio_simple *s, const struct sio_simple_options *o,
                 struct sio_diag *diag)
{
    struct sio_client_options client = o->client;
    int rv;

    client.on_down = on_down;
    client.on_attempt = NULL;
    client.on_up = NULL;
    client.user = s;
    s->loop = net_loop_new(NULL, diag);
    if (!s->loop)
        return SIO_ERR_IO;
    net_timer_init(&s->deadline, s->loop, on_late, s);
    s->client = sio_client_new(s->loop, &client, diag);
    if (!s->client)
        return SIO_ERR_INVAL;
    s->socket = sio_client_join(s->client, o->nsp ? o->nsp : "/", &socket_ops, s);
    if (!s->socket)
        return sio_diag_set(diag, SIO_ERR_INVAL, "no namespace of that name");
    rv = sio_client_socket_set_auth(s->socket, o->auth);
    if (rv < 0)
        return sio_diag_set(diag, rv, "auth: %s", sio_strerror(rv));
    return SIO_OK;
}

int sio_simple_reconnect(struct sio_simple *s)
{
    int rv = start_clock(s, 0);

    s->over = false;
    if (rv == SIO_OK)
        rv = sio_client_connect(s->client);
    return rv == SIO_OK ? wait_joined(s) : rv;
}

static int join(struct sio_simple *s, struct sio_diag *diag)
{
    int rv = sio_simple_reconnect(s);

    return rv < 0 ? sio_diag_set(diag, rv, "%s", s->why[0] ? s->why : sio_strerror(rv))
                  : SIO_OK;
}

static void free_simple(struct sio_simple *s)
{
    if (s->loop)
        net_timer_stop(&s->deadline);
    sio_client_free(s->client);
    net_loop_free(s->loop);
    free_received(s->taken);
    while (!list_empty(&s->events))
        drop_oldest(s);
    sio_event_free(s->answer);
    mem_free(s);
}

struct sio_simple *sio_simple_connect(const struct sio_simple_options *opts,
                                      struct sio_diag *diag)
{
    struct sio_simple *s = mem_new(struct sio_simple);

    if (!s) {
        sio_diag_set(diag, SIO_ERR_NOMEM, "out of memory");
        return NULL;
    }
    list_init(&s->events);
    s->timeout_ms = opts->timeout_ms ? opts->timeout_ms : DEFAULT_TIMEOUT_MS;
    s->retries = opts->client.retries > 0;
    s->max_events = opts->max_events ? opts->max_events : DEFAULT_EVENTS;
    if (build(s, opts, diag) < 0 || join(s, diag) < 0) {
        free_simple(s);
        return NULL;
    }
    return s;
}

static void on_closed(void *user)
{
    *(bool *)user = true;
}

void sio_simple_disconnect(struct sio_simple *s)
{
    bool closed = false;

    if (!s)
        return;
    sio_client_close(s->client, on_closed, &closed);
    while (!closed && net_loop_run_once(s->loop, -1) == SIO_OK)
        continue;
    free_simple(s);
}
