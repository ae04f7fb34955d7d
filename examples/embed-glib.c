/*
 * embed-glib - a Socket.IO server inside GLib's main loop, as a GTK program would have it
 *
 *     cc -o embed-glib embed-glib.c $(pkg-config --cflags --libs libsioc glib-2.0)
 *     ./embed-glib 3000
 *
 * GLib watches one descriptor, and lets the loop run once whenever it is readable.  All
 * else is as ever: GLib's own timer, once a second, tells every client how often it rang.
 */
#include <stdio.h>
#include <stdlib.h>

#include <glib-unix.h>
#include <sioc/sioc.h>

struct app {
    GMainLoop *main;
    struct net_loop *loop;
    struct sio_server *server;
    struct sio_namespace *ns;
    int ticks;
};

static gboolean on_readable(gint fd, GIOCondition condition, gpointer user)
{
    struct app *app = user;

    (void)fd;
    (void)condition;
    if (net_loop_run_once(app->loop, 0) < 0)
        g_main_loop_quit(app->main);
    return G_SOURCE_CONTINUE;
}

static gboolean on_tick(gpointer user)
{
    struct app *app = user;

    sio_namespace_emitf(app->ns, NULL, "tick", "i", ++app->ticks);
    return G_SOURCE_CONTINUE;
}

static gboolean on_signal(gpointer user)
{
    struct app *app = user;

    g_main_loop_quit(app->main);
    return G_SOURCE_CONTINUE;
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

int main(int argc, char **argv)
{
    struct app app = {.main = g_main_loop_new(NULL, FALSE)};
    struct sio_diag diag = {""};
    int port = start(&app, argc > 1 ? atoi(argv[1]) : 3000, &diag);

    if (port > 0) {
        guint watch = g_unix_fd_add(net_loop_fd(app.loop), G_IO_IN, on_readable, &app);

        printf("listening on http://127.0.0.1:%d/\n", port);
        fflush(stdout);
        g_timeout_add_seconds(1, on_tick, &app);
        g_unix_signal_add(SIGINT, on_signal, &app);
        g_unix_signal_add(SIGTERM, on_signal, &app);
        g_main_loop_run(app.main);
        g_source_remove(watch);
    } else {
        fprintf(stderr, "embed-glib: %s\n", diag.text);
    }
    sio_server_free(app.server);
    net_loop_free(app.loop);
    g_main_loop_unref(app.main);
    return port <= 0;
}
