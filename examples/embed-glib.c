/*
 * embed-glib - a Socket.IO server inside GLib's main loop, as a GTK program would have it
 *
 *     cc -o embed-glib embed-glib.c $(pkg-config --cflags --libs libsioc glib-2.0)
 *     ./embed-glib 3000
 *
 * GLib watches one descriptor, and lets the loop run once whenever it is readable.  All
 * else is as ever: GLib's own timer, once a second, tells every client how often it rang.
 */
#include <glib-unix.h>

#include "embed.h"

struct app {
    struct embed server;
    GMainLoop *main;
};

static gboolean on_readable(gint fd, GIOCondition condition, gpointer user)
{
    struct app *app = user;

    (void)fd;
    (void)condition;
    if (net_loop_run_once(app->server.loop, 0) < 0)
        g_main_loop_quit(app->main);
    return G_SOURCE_CONTINUE;
}

static gboolean on_tick(gpointer user)
{
    struct app *app = user;

    embed_tick(&app->server);
    return G_SOURCE_CONTINUE;
}

static gboolean on_signal(gpointer user)
{
    struct app *app = user;

    g_main_loop_quit(app->main);
    return G_SOURCE_CONTINUE;
}

int main(int argc, char **argv)
{
    struct app app = {.main = g_main_loop_new(NULL, FALSE)};
    bool started = embed_start(&app.server, argc, argv);

    if (started) {
        guint watch =
            g_unix_fd_add(net_loop_fd(app.server.loop), G_IO_IN, on_readable, &app);

        g_timeout_add_seconds(1, on_tick, &app);
        g_unix_signal_add(SIGINT, on_signal, &app);
        g_unix_signal_add(SIGTERM, on_signal, &app);
        g_main_loop_run(app.main);
        g_source_remove(watch);
    }
    embed_stop(&app.server);
    g_main_loop_unref(app.main);
    return !started;
}
