/*
 * chat - a chat with rooms and nick names, and the page for it
 *
 *     cc -o chat chat.c $(pkg-config --cflags --libs libsioc)
 *     ./chat 3000 chat.html
 *     ./chat 3001 chat.html redis://localhost       (many of these are one chat)
 *
 * A client says "enter" with its nick and a room, and is answered with who is there; what
 * it then says with "say" goes to everybody in the room as "said".
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

#include <sioc/sioc.h>

struct person {
    char nick[64];
    char room[64]; /* "": in none */
};

/* Copies the i-th argument; false if it is no text, or too long. */
static bool copy_text(struct sio_event *e, size_t i, char out[64])
{
    const char *text = cJSON_GetStringValue(sio_event_json(e, i));

    return text && *text && snprintf(out, 64, "%s", text) < 64;
}

/* Sends an event with the person's nick and a text to everybody in its room. */
static void tell_room(struct sio_socket *s, const char *event, const char *text)
{
    const struct person *p = sio_socket_data(s);
    struct sio_str room = sio_str_from(p->room);
    struct sio_target everybody = {.rooms = &room, .n_rooms = 1};

    sio_namespace_emitf(sio_socket_namespace(s), &everybody, event, "ss", p->nick,
                        text);
}

/* Answers with the nicks of those who are in the room. */
static void on_who(int status, const struct sio_fetched *list, size_t n, void *user)
{
    struct sio_message *m = sio_message_new("");
    struct sio_str comma = sio_str_from("");

    (void)status; /* of other servers: with SIO_OK or not, list has who is known */
    if (m) {
        sio_message_begin(m);
        sio_message_text(m, sio_str_from("["));
        for (size_t i = 0; i < n; i++) {
            sio_message_text(m, comma);
            sio_message_text(m, list[i].attributes);
            comma = sio_str_from(",");
        }
        sio_message_text(m, sio_str_from("]"));
        sio_message_end(m);
    }
    sio_ack_send(user, m);
    sio_message_free(m);
}

/* Shows the nick, as JSON, to whoever lists the room. */
static void show_nick(struct sio_socket *s, const struct person *p)
{
    cJSON *nick = cJSON_CreateString(p->nick);
    char *json = nick ? cJSON_PrintUnformatted(nick) : NULL;

    if (json)
        sio_socket_set_attributes(s, sio_str_from(json));
    cJSON_free(json);
    cJSON_Delete(nick);
}

static void on_enter(struct sio_socket *s, struct sio_event *e, void *user)
{
    struct person *p = sio_socket_data(s), next = {"", ""};
    struct sio_str room;
    struct sio_target everybody = {.rooms = &room, .n_rooms = 1};
    struct sio_ack *ack;

    (void)user;
    if (!copy_text(e, 0, next.nick) || !copy_text(e, 1, next.room)) {
        sio_event_ackf(e, "n");
        return;
    }
    tell_room(s, "left", p->room);
    sio_socket_leave(s, sio_str_from(p->room));
    *p = next;
    room = sio_str_from(p->room);
    show_nick(s, p);
    sio_socket_join(s, room);
    tell_room(s, "entered", p->room);

    ack = sio_event_take_ack(e);
    if (ack &&
        sio_namespace_fetch(sio_socket_namespace(s), &everybody, on_who, ack) < 0)
        sio_ack_free(ack);
}

static void on_say(struct sio_socket *s, struct sio_event *e, void *user)
{
    const char *text = cJSON_GetStringValue(sio_event_json(e, 0));

    (void)user;
    if (text)
        tell_room(s, "said", text);
}

static void on_connect(struct sio_socket *s, struct sio_str auth, void *user)
{
    struct person *p = calloc(1, sizeof(*p));

    (void)auth;
    (void)user;
    sio_socket_set_data(s, p, free);
    if (!p)
        sio_socket_disconnect(s, true);
}

static void on_disconnect(struct sio_socket *s, enum sio_disconnect_reason reason,
                          void *user)
{
    (void)user;
    if (sio_socket_data(s))
        tell_room(s, "left", sio_disconnect_reason_text(reason));
}

static void on_signal(int signo, void *loop)
{
    (void)signo;
    net_loop_stop(loop);
}

/* Returns the port, or an error. */
static int start(struct sio_server *server, const char *port, const char *page,
                 struct sio_diag *diag)
{
    static const struct sio_namespace_ops ops = {.on_connect = on_connect,
                                                 .on_disconnect = on_disconnect};
    struct eio_listen_options where = {.host = "127.0.0.1",
                                       .port = (uint16_t)atoi(port)};
    struct sio_namespace *ns = sio_server_namespace(server, "/", &ops, NULL);
    int rv;

    if (!ns || sio_namespace_on(ns, "enter", on_enter, NULL) < 0 ||
        sio_namespace_on(ns, "say", on_say, NULL) < 0)
        return sio_diag_set(diag, SIO_ERR_NOMEM, "out of memory");
    rv = sio_http_file(sio_server_http(server), "/", "text/html; charset=utf-8", page,
                       diag);
    return rv < 0 ? rv : sio_server_listen(server, &where, diag);
}

/* One of many servers, where the URL of a Redis is given.  False: diag says why not. */
static bool join_others(struct net_loop *loop, const char *redis_url,
                        struct sio_cluster **cluster, struct sio_server_options *opts,
                        struct sio_diag *diag)
{
    struct sio_cluster_options options = {.redis_url = redis_url};

    if (!redis_url)
        return true;
    *cluster = sio_cluster_new(loop, &options, diag);
    opts->adapter = sio_cluster_adapter;
    opts->adapter_user = *cluster;
    return *cluster != NULL;
}

int main(int argc, char **argv)
{
    static const int signals[] = {SIGINT, SIGTERM};
    struct sio_server_options opts = {0};
    struct sio_diag diag = {"usage: chat PORT PAGE [REDIS-URL]"};
    struct net_loop *loop = net_loop_new(NULL, &diag);
    struct sio_cluster *cluster = NULL;
    struct sio_server *server = NULL;
    int port = -1;

    if (loop && (argc == 3 || argc == 4) &&
        join_others(loop, argv[3], &cluster, &opts, &diag))
        server = sio_server_new(loop, &opts, &diag);
    if (server)
        port = start(server, argv[1], argv[2], &diag);
    if (port > 0) {
        printf("listening on http://127.0.0.1:%d/\n", port);
        fflush(stdout);
        net_loop_signals(loop, signals, 2, on_signal, loop);
        net_loop_run(loop);
    } else {
        fprintf(stderr, "chat: %s\n", diag.text);
    }
    sio_server_free(server);
    sio_cluster_free(cluster);
    net_loop_free(loop);
    return port <= 0;
}
