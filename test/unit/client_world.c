#include <config.h>

#include "client_world.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "alloc_fail.h"
#include "http/websocket.h"

/* The server. */

static void say(struct net_conn *c, const char *text)
{
    (void)net_conn_send_bytes(c, text, strlen(text));
}

const char *more_fields = "";

void say_body(struct net_conn *c, const char *body)
{
    char head[1024];

    snprintf(head, sizeof(head), "HTTP/1.1 200 OK\r\nContent-Length: %zu\r\n%s\r\n",
             strlen(body), more_fields);
    say(c, head);
    say(c, body);
}

static void answer_upgrade(struct visit *v)
{
    struct server *s = v->server;
    const char *key = strstr(v->in, "Sec-WebSocket-Key: ");
    char accept[29], head[512];

    v->upgraded = true;
    s->n_upgrades++;
    s->ws_conn = v->conn;
    assert_non_null(key);
    assert_int_equal(ws_accept_key((struct sio_str){key + 19, 24}, accept), SIO_OK);
    snprintf(head, sizeof(head),
             "HTTP/1.1 101 Switching\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
             "Sec-WebSocket-Accept: %s\r\n\r\n",
             accept);
    say(v->conn, s->ws_fields ? s->ws_fields : head);
    (void)net_conn_send_bytes(v->conn, s->ws, s->ws_len);
}

static void answer_get(struct visit *v)
{
    struct server *s = v->server;

    snprintf(s->last_get, sizeof(s->last_get), "%.4000s", v->in);
    if (s->mute_ws && strstr(v->in, "transport=websocket"))
        return;
    if (s->refuse_polls && strstr(v->in, "transport=polling"))
        say(v->conn, "HTTP/1.1 403 No\r\nContent-Length: 0\r\n\r\n");
    else if (s->ws && strstr(v->in, "transport=websocket"))
        answer_upgrade(v);
    else if (s->bodies && s->bodies[s->n_gets])
        say_body(v->conn, s->bodies[s->n_gets++]);
    else
        s->poll = v->conn;
}

/* Takes one request out of v->in.  False: none is complete. */
static bool take_request(struct visit *v)
{
    char *end = strstr(v->in, "\r\n\r\n");
    const char *length = strstr(v->in, "Content-Length: ");
    size_t body = length && length < end ? strtoul(length + 16, NULL, 10) : 0;
    size_t all;

    if (!end || v->len < (size_t)(end + 4 - v->in) + body)
        return false;
    all = (size_t)(end + 4 - v->in) + body;
    if (strncmp(v->in, "POST", 4) == 0) {
        strncat(v->server->posted, end + 4, body);
        strcat(v->server->posted, "|");
        if (!v->server->mute_posts)
            say_body(v->conn, "ok");
    } else {
        answer_get(v);
    }
    memmove(v->in, v->in + all, v->len - all + 1);
    v->len -= all;
    return true;
}

static void on_request(struct net_conn *c, uint8_t *data, size_t len, void *user)
{
    struct visit *v = user;

    alloc_fail_pause();
    if (v->upgraded) { /* frames, of which nothing is asked */
        v->server->n_ws_bytes += len;
        len = 0;
    }
    if (len > sizeof(v->in) - v->len - 1)
        len = sizeof(v->in) - v->len - 1;
    memcpy(v->in + v->len, data, len);
    v->len += len;
    v->in[v->len] = '\0';
    if (v->server->raw && strstr(v->in, "\r\n\r\n")) {
        say(c, v->server->raw);
        if (!v->server->endless)
            net_conn_close(c, 1000);
    } else if (!v->server->raw) {
        while (take_request(v))
            continue;
    }
    alloc_fail_resume();
}

static void on_more(struct net_conn *c, void *user)
{
    struct visit *v = user;

    if (v->server->endless && v->len)
        say(c, v->server->raw);
}

static void on_gone(struct net_conn *c, int error, void *user)
{
    struct visit *v = user;

    (void)error;
    if (v->server->poll == c)
        v->server->poll = NULL;
    v->server->n_ws_gone += v->upgraded;
    free(v);
}

static const struct net_conn_ops visit_ops = {
    .on_data = on_request,
    .on_drain = on_more,
    .on_close = on_gone,
};

static void on_visit(struct net_conn *c, void *user)
{
    struct visit *v;

    alloc_fail_pause();
    v = calloc(1, sizeof(*v));
    alloc_fail_resume();
    v->conn = c;
    v->server = user;
    v->server->n_visits++;
    net_conn_set_marks(c, 1, 0);
    net_conn_set_ops(c, &visit_ops, v);
}

/* The client's side. */

static void meddle(struct world *w)
{
    if (w->frees_in_callbacks) {
        sio_client_free(w->client);
        w->client = NULL;
    } else if (w->closes_in_callbacks) {
        sio_client_close(w->client, NULL, NULL);
    }
}

static void on_down(struct sio_client *c, int error, const char *why,
                    uint32_t retry_in_ms, void *user)
{
    struct world *w = user;

    (void)c;
    w->n_downs++;
    w->error = error;
    w->retry_ms = retry_in_ms;
    snprintf(w->why, sizeof(w->why), "%s", why);
    meddle(w);
}

static void on_connect(struct sio_client_socket *s, void *user)
{
    struct world *w = user;

    assert_true(sio_client_socket_connected(s));
    w->n_joins++;
    meddle(w);
}

static void on_connect_error(struct sio_client_socket *s, struct sio_str message,
                             struct sio_str data, void *user)
{
    struct world *w = user;

    (void)s;
    w->n_refusals++;
    snprintf(w->last, sizeof(w->last), "%.*s %.*s", (int)message.len,
             message.len ? message.ptr : "", (int)data.len, data.len ? data.ptr : "");
    meddle(w);
}

static void on_disconnect(struct sio_client_socket *s, const char *reason, void *user)
{
    struct world *w = user;

    w->n_leaves++;
    snprintf(w->last, sizeof(w->last), "%s", reason);
    if (w->emits_on_leave) {
        struct sio_message *m = sio_message_new(w->emits_on_leave);

        (void)sio_client_socket_emit(s, m);
        sio_message_free(m);
    }
    meddle(w);
}

static void on_event(struct sio_client_socket *s, struct sio_event *e, void *user)
{
    struct world *w = user;
    struct sio_str name = sio_event_name(e);

    (void)s;
    w->n_events++;
    snprintf(w->last, sizeof(w->last), "%.*s", (int)name.len, name.ptr);
    meddle(w);
}

static void on_ack(int status, struct sio_event *e, void *user)
{
    struct world *w = user;

    assert_true((status == SIO_OK) == (e != NULL));
    w->n_acks++;
    w->ack_status = status;
    meddle(w);
}

void on_flushed(int status, void *user)
{
    struct world *w = user;

    w->n_flushed += status == SIO_OK;
}

static const struct sio_client_socket_ops socket_ops = {
    .on_connect = on_connect,
    .on_connect_error = on_connect_error,
    .on_disconnect = on_disconnect,
    .on_event = on_event,
};

static void on_deadline(struct net_timer *timer, void *user)
{
    struct world *w = user;

    (void)timer;
    fprintf(stderr,
            "the test waits in vain: downs=%u joins=%u events=%u gets=%zu why=%s\n",
            w->n_downs, w->n_joins, w->n_events, w->server.n_gets, w->why);
    abort();
}

struct world *new_world(void)
{
    static struct world w;
    struct net_listen_options lo = {.host = "127.0.0.1"};

    more_fields = "";
    w = (struct world){.loop = net_loop_new(NULL, NULL)};
    assert_non_null(w.loop);
    w.server.listener = net_listener_new(w.loop, &lo, on_visit, &w.server, NULL);
    assert_non_null(w.server.listener);
    net_timer_init(&w.deadline, w.loop, on_deadline, &w);
    net_timer_start(&w.deadline, 20000);
    return &w;
}

/* False: out of memory. */
bool begin(struct world *w, struct sio_client_options *o)
{
    static char url[64];

    snprintf(url, sizeof(url), "http://127.0.0.1:%u",
             (unsigned)net_listener_port(w->server.listener));
    o->url = url;
    o->on_down = on_down;
    o->user = w;
    if (!o->proxy)
        o->proxy = ""; /* whatever the environment says */
    if (!o->reconnect_delay_ms)
        o->reconnect_delay_ms = 1;
    w->client = sio_client_new(w->loop, o, NULL);
    if (!w->client)
        return false;
    w->socket = sio_client_join(w->client, "/", &socket_ops, w);
    return w->socket && sio_client_connect(w->client) == SIO_OK;
}

void free_world(struct world *w)
{
    net_timer_stop(&w->deadline);
    sio_client_free(w->client);
    net_listener_free(w->server.listener);
    net_loop_free(w->loop);
}

struct world *joined(struct sio_client_options *o, const char *const *bodies)
{
    struct world *w = new_world();

    w->server.bodies = bodies;
    o->transports = SIO_TRANSPORTS_POLLING;
    assert_true(begin(w, o));
    run_until(w, w->n_joins);
    return w;
}

int emit_text(struct world *w, const char *event, size_t len, bool ack)
{
    struct sio_message *m = sio_message_new(event);
    char *text = malloc(len + 1);
    int rv;

    if (!m || !text) {
        sio_message_free(m);
        free(text);
        return SIO_ERR_NOMEM;
    }
    memset(text, 'x', len);
    sio_message_add_string(m, (struct sio_str){text, len});
    rv = ack ? sio_client_socket_emit_ack(w->socket, m, 0, on_ack, w)
             : sio_client_socket_emit(w->socket, m);
    sio_message_free(m);
    free(text);
    return rv;
}
