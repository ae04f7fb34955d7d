/*
 * embed-uv - a Socket.IO server inside libuv's loop
 *
 *     cc -o embed-uv embed-uv.c $(pkg-config --cflags --libs libsioc libuv)
 *     ./embed-uv 3000
 *
 * libuv watches one descriptor, and lets the loop run once whenever it is readable.  All
 * else is as ever: libuv's own timer, once a second, tells every client how often it rang.
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

#include <sioc/sioc.h>
#include <uv.h>

struct app {
    struct net_loop *loop;
    struct sio_server *server;
    struct sio_namespace *ns;
    int ticks;
    uv_poll_t poll;
    uv_timer_t timer;
    uv_signal_t sigint, sigterm;
};

static void on_readable(uv_poll_t *handle, int status, int events)
{
    struct app *app = handle->data;

    (void)events;
    if (status < 0 || net_loop_run_once(app->loop, 0) < 0)
        uv_stop(handle->loop);
}

static void on_tick(uv_timer_t *handle)
{
    struct app *app = handle->data;

    sio_namespace_emitf(app->ns, NULL, "tick", "i", ++app->ticks);
}

static void on_signal(uv_signal_t *handle, int signo)
{
    (void)signo;
    uv_stop(handle->loop);
}

static void on_hello(struct sio_socket *s, struct sio_event *e, void *user)
{
    struct app *app = user;

    (void)s;
    sio_event_ackf(e, "i", app->ticks);
}

/* Returns the port, or an error. */
static int start(struct app *app, int port, struct sio_diag *diag)
{
    static const struct sio_namespace_ops ops = {0};
    struct sio_server_options opts = {.engine = {.cors = true}};
    struct eio_listen_options where = {.host = "127.0.0.1", .port = (uint16_t)port};

    app->loop = net_loop_new(NULL, diag);
    if (!app->loop)
        return SIO_ERR_IO;
    app->server = sio_server_new(app->loop, &opts, diag);
    if (!app->server)
        return SIO_ERR_INVAL;
    app->ns = sio_server_namespace(app->server, "/", &ops, app);
    if (!app->ns || sio_namespace_on(app->ns, "hello", on_hello, app) < 0)
        return sio_diag_set(diag, SIO_ERR_NOMEM, "out of memory");
    return sio_server_listen(app->server, &where, diag);
}

static void watch(uv_loop_t *uv, struct app *app)
{
    uv_poll_init(uv, &app->poll, net_loop_fd(app->loop));
    uv_timer_init(uv, &app->timer);
    uv_signal_init(uv, &app->sigint);
    uv_signal_init(uv, &app->sigterm);
    app->poll.data = app->timer.data = app;
    uv_poll_start(&app->poll, UV_READABLE, on_readable);
    uv_timer_start(&app->timer, on_tick, 1000, 1000);
    uv_signal_start(&app->sigint, on_signal, SIGINT);
    uv_signal_start(&app->sigterm, on_signal, SIGTERM);
}

static void unwatch(uv_loop_t *uv, struct app *app)
{
    uv_close((uv_handle_t *)&app->poll, NULL);
    uv_close((uv_handle_t *)&app->timer, NULL);
    uv_close((uv_handle_t *)&app->sigint, NULL);
    uv_close((uv_handle_t *)&app->sigterm, NULL);
    uv_run(uv, UV_RUN_DEFAULT);
    uv_loop_close(uv);
}

int main(int argc, char **argv)
{
    uv_loop_t *uv = uv_default_loop();
    struct app app = {.loop = NULL};
    struct sio_diag diag = {""};
    int port = start(&app, argc > 1 ? atoi(argv[1]) : 3000, &diag);

    if (port > 0) {
        printf("listening on http://127.0.0.1:%d/\n", port);
        fflush(stdout);
        watch(uv, &app);
        uv_run(uv, UV_RUN_DEFAULT);
        unwatch(uv, &app);
    } else {
        fprintf(stderr, "embed-uv: %s\n", diag.text);
    }
    sio_server_free(app.server);
    net_loop_free(app.loop);
    return port <= 0;
}
