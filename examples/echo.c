/*
 * echo - sends every event back to who sent it, and answers acks with the arguments
 *
 *     cc -o echo echo.c $(pkg-config --cflags --libs libsioc)
 *     ./echo 3000
 *
 * Nothing is parsed and made again on the way: text and attachments that arrive are those
 * that leave.
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

#include <sioc/sioc.h>

static void on_event(struct sio_socket *s, struct sio_event *e, void *user)
{
    struct sio_str name = sio_event_name(e);
    char event[128];
    struct sio_message *m;

    (void)user;
    snprintf(event, sizeof(event), "%.*s", (int)name.len, name.ptr);
    m = sio_message_new(event);
    if (!m)
        return;
    sio_message_add_event(m, e, 0);
    if (sio_event_wants_ack(e))
        sio_event_ack(e, m);
    else
        sio_socket_emit(s, m);
    sio_message_free(m);
}

static void on_signal(int signo, void *loop)
{
    (void)signo;
    net_loop_stop(loop);
}

int main(int argc, char **argv)
{
    static const int signals[] = {SIGINT, SIGTERM};
    static const struct sio_namespace_ops ops = {.on_event = on_event};
    struct sio_server_options opts = {.engine = {.cors = true}};
    struct eio_listen_options where = {
        .host = "127.0.0.1", .port = (uint16_t)(argc > 1 ? atoi(argv[1]) : 3000)};
    struct sio_diag diag = {"out of memory"};
    struct net_loop *loop = net_loop_new(NULL, &diag);
    struct sio_server *server = loop ? sio_server_new(loop, &opts, &diag) : NULL;
    int port = -1;

    if (server && sio_server_namespace(server, "/", &ops, NULL))
        port = sio_server_listen(server, &where, &diag);
    if (port > 0) {
        printf("listening on http://127.0.0.1:%d/\n", port);
        fflush(stdout);
        net_loop_signals(loop, signals, 2, on_signal, loop);
        net_loop_run(loop);
    } else {
        fprintf(stderr, "echo: %s\n", diag.text);
    }
    sio_server_free(server);
    net_loop_free(loop);
    return port <= 0;
}
