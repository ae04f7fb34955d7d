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

#include <uv.h>

#include "embed.h"

struct app {
    struct embed server;
    uv_poll_t poll;
    uv_timer_t timer;
    uv_signal_t sigint, sigterm;
};

static void on_readable(uv_poll_t *handle, int status, int events)
{
    struct app *app = handle->data;

    (void)events;
    if (status < 0 || net_loop_run_once(app->server.loop, 0) < 0)
        uv_stop(handle->loop);
}

static void on_tick(uv_timer_t *handle)
{
    struct app *app = handle->data;

    embed_tick(&app->server);
}

static void on_signal(uv_signal_t *handle, int signo)
{
    (void)signo;
    uv_stop(handle->loop);
}

static void watch(uv_loop_t *uv, struct app *app)
{
    uv_poll_init(uv, &app->poll, net_loop_fd(app->server.loop));
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
    struct app app = {.server = {.loop = NULL}};
    bool started = embed_start(&app.server, argc, argv);

    if (started) {
        watch(uv, &app);
        uv_run(uv, UV_RUN_DEFAULT);
        unwatch(uv, &app);
    }
    embed_stop(&app.server);
    return !started;
}
