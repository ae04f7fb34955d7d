/*
 * client - talks to a Socket.IO server from the command line
 *
 *     client URL listen [EVENT...]       prints events, one JSON object a line, for ever
 *     client URL emit EVENT [ARG...]     emits an event
 *     client URL call EVENT [ARG...]     the same, and prints the answer, a JSON array
 *
 * An ARG is JSON, or else a text: `client http://127.0.0.1:3000 call add 1 2`.  Options,
 * before the URL:
 *
 *     -n NAME   the namespace (/)
 *     -a JSON   the auth payload, an object
 *     -p PATH   where Socket.IO is on the server (/socket.io/)
 *     -H FIELD  "Name: value" for the requests; may be given up to 16 times
 *     -t polling|websocket|upgrade
 *     -w MS     how long to wait for the connection, and for an answer (10000)
 *     -k        take any certificate
 *
 * Exit code: 0, 1 when the server could not be reached, refused or did not answer, 2 for a
 * mistake in the arguments.
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <sioc/sioc.h>

#define MAX_FIELDS 16

/*
 * Between an event and the goodbye: node's server drops an event when both come in one
 * segment.
 */
#define GOODBYE_MS 200

struct app {
    struct net_loop *loop;
    struct sio_client *client;
    struct sio_client_options opts;
    const char *fields[MAX_FIELDS + 1];
    size_t n_fields;
    const char *nsp;
    const char *auth;
    uint32_t wait_ms;
    const char *command;
    char **args; /* of the command, NULL-terminated */
    int exit_code;
    bool leaving;
    struct net_timer goodbye;
};

static void on_closed(void *user)
{
    struct app *app = user;

    net_loop_stop(app->loop);
}

/* Sends what waits, and ends. */
static void leave(struct app *app)
{
    app->leaving = true;
    sio_client_close(app->client, on_closed, app);
}

static void fail(struct app *app, const char *what, struct sio_str why)
{
    if (app->leaving)
        return;
    fprintf(stderr, "client: %s%.*s\n", what, (int)why.len, why.ptr);
    app->exit_code = 1;
    leave(app);
}

static cJSON *bytes_to_json(struct sio_slice bytes)
{
    cJSON *list = cJSON_CreateArray();

    for (size_t i = 0; i < bytes.len; i++)
        cJSON_AddItemToArray(list, cJSON_CreateNumber(bytes.ptr[i]));
    return list;
}

/* The arguments as they came; binary ones stand in "attachments", as lists of bytes. */
static void print_args(struct sio_event *e)
{
    putchar('[');
    for (size_t i = 0; i < sio_event_n_args(e); i++) {
        struct sio_str arg = sio_event_arg(e, i);

        printf("%s%.*s", i ? "," : "", (int)arg.len, arg.ptr);
    }
    putchar(']');
}

static void print_attachments(struct sio_event *e)
{
    cJSON *list = cJSON_CreateArray();
    char *text;

    for (size_t i = 0; i < sio_event_n_attachments(e); i++)
        cJSON_AddItemToArray(list, bytes_to_json(sio_event_attachment(e, i)));
    text = cJSON_PrintUnformatted(list);
    if (text)
        printf(",\"attachments\":%s", text);
    cJSON_free(text);
    cJSON_Delete(list);
}

static bool is_wanted(const struct app *app, struct sio_str event)
{
    if (strcmp(app->command, "listen") != 0)
        return false;
    if (!app->args[0])
        return true;
    for (char **arg = app->args; *arg; arg++)
        if (strlen(*arg) == event.len && memcmp(*arg, event.ptr, event.len) == 0)
            return true;
    return false;
}

static void on_event(struct sio_client_socket *s, struct sio_event *e, void *user)
{
    struct sio_str name = sio_event_name(e);
    cJSON *quoted;
    char *text;

    (void)s;
    if (!is_wanted(user, name))
        return;
    text = strndup(name.ptr, name.len);
    quoted = cJSON_CreateString(text ? text : "");
    free(text);
    text = cJSON_PrintUnformatted(quoted);
    printf("{\"event\":%s,\"args\":", text ? text : "null");
    print_args(e);
    if (sio_event_n_attachments(e) > 0)
        print_attachments(e);
    puts("}");
    fflush(stdout);
    cJSON_free(text);
    cJSON_Delete(quoted);
}

static void on_answer(int status, struct sio_event *e, void *user)
{
    struct app *app = user;

    if (status < 0) {
        fail(app, "no answer: ", sio_str_from(sio_strerror(status)));
        return;
    }
    print_args(e);
    putchar('\n');
    leave(app);
}

static void on_goodbye(struct net_timer *timer, void *user)
{
    (void)timer;
    leave(user);
}

static void on_flushed(int status, void *user)
{
    struct app *app = user;

    if (status < 0)
        fail(app, "not sent: ", sio_str_from(sio_strerror(status)));
    else if (net_timer_start(&app->goodbye, GOODBYE_MS) < 0)
        leave(app);
}

/* The event with its arguments; what is no JSON is a text. */
static struct sio_message *make_message(char **args)
{
    struct sio_message *m = sio_message_new(args[0]);

    for (char **arg = args + 1; m && *arg; arg++) {
        cJSON *value = cJSON_ParseWithOpts(*arg, NULL, true);

        sio_message_addf(m, value ? "r" : "S", sio_str_from(*arg));
        cJSON_Delete(value);
    }
    return m;
}

static void on_connect(struct sio_client_socket *s, void *user)
{
    struct app *app = user;
    struct sio_message *m;
    int rv = SIO_ERR_NOMEM;

    if (strcmp(app->command, "listen") == 0)
        return;
    m = make_message(app->args);
    if (m && strcmp(app->command, "call") == 0)
        rv = sio_client_socket_emit_ack(s, m, app->wait_ms, on_answer, app);
    else if (m)
        rv = sio_client_socket_emit(s, m);
    if (rv == SIO_OK && strcmp(app->command, "emit") == 0)
        rv = sio_client_on_flushed(app->client, on_flushed, app);
    sio_message_free(m);
    if (rv < 0)
        fail(app, "not sent: ", sio_str_from(sio_strerror(rv)));
}

static void on_connect_error(struct sio_client_socket *s, struct sio_str message,
                             struct sio_str data, void *user)
{
    (void)s;
    (void)data;
    fail(user, "refused: ", message);
}

static void on_disconnect(struct sio_client_socket *s, const char *reason, void *user)
{
    (void)s;
    fail(user, "disconnected: ", sio_str_from(reason));
}

static void on_down(struct sio_client *c, int error, const char *why,
                    uint32_t retry_in_ms, void *user)
{
    (void)c;
    (void)error;
    (void)retry_in_ms;
    fail(user, "", sio_str_from(why));
}

static void on_signal(int signo, void *user)
{
    (void)signo;
    leave(user);
}

static void usage(void)
{
    fputs("usage: client [-n NAMESPACE] [-a AUTH] [-p PATH] [-H FIELD]...\n"
          "              [-t polling|websocket|upgrade] [-w MS] [-k]\n"
          "              URL listen [EVENT...] | emit EVENT [ARG...] |"
          " call EVENT [ARG...]\n",
          stderr);
    exit(2);
}

static enum sio_client_transports transports_of(const char *name)
{
    if (strcmp(name, "polling") == 0)
        return SIO_TRANSPORTS_POLLING;
    if (strcmp(name, "websocket") == 0)
        return SIO_TRANSPORTS_WEBSOCKET;
    if (strcmp(name, "upgrade") != 0)
        usage();
    return SIO_TRANSPORTS_UPGRADE;
}

static void parse(struct app *app, int argc, char **argv)
{
    int opt;

    while ((opt = getopt(argc, argv, "+n:a:p:H:t:w:k")) != -1) {
        switch (opt) {
        case 'n': app->nsp = optarg; break;
        case 'a': app->auth = optarg; break;
        case 'p': app->opts.path = optarg; break;
        case 'H':
            if (app->n_fields == MAX_FIELDS)
                usage();
            app->fields[app->n_fields++] = optarg;
            break;
        case 't': app->opts.transports = transports_of(optarg); break;
        case 'w': app->wait_ms = (uint32_t)strtoul(optarg, NULL, 10); break;
        case 'k': app->opts.tls_insecure = true; break;
        default: usage();
        }
    }
    if (argc - optind < 2)
        usage();
    app->opts.url = argv[optind];
    app->command = argv[optind + 1];
    app->args = argv + optind + 2;
    if (strcmp(app->command, "listen") != 0 &&
        ((strcmp(app->command, "emit") != 0 && strcmp(app->command, "call") != 0) ||
         !app->args[0]))
        usage();
}

/* Connects once: whoever runs this in a script wants to know when it fails. */
static int run(struct app *app, struct sio_diag *diag)
{
    static const struct sio_client_socket_ops ops = {
        .on_connect = on_connect,
        .on_connect_error = on_connect_error,
        .on_disconnect = on_disconnect,
        .on_event = on_event,
    };
    static const int signals[] = {SIGINT, SIGTERM};
    struct sio_client_socket *s;

    app->opts.extra_fields = app->fields;
    app->opts.connect_timeout_ms = app->wait_ms;
    app->opts.no_reconnect = true;
    app->opts.on_down = on_down;
    app->opts.user = app;
    app->client = sio_client_new(app->loop, &app->opts, diag);
    if (!app->client)
        return SIO_ERR_INVAL;
    s = sio_client_join(app->client, app->nsp, &ops, app);
    if (!s)
        return sio_diag_set(diag, SIO_ERR_INVAL, "no namespace: %s", app->nsp);
    if (app->auth && sio_client_socket_set_auth(s, sio_str_from(app->auth)) < 0)
        return sio_diag_set(diag, SIO_ERR_INVAL, "no JSON object: %s", app->auth);
    net_timer_init(&app->goodbye, app->loop, on_goodbye, app);
    net_loop_signals(app->loop, signals, 2, on_signal, app);
    sio_client_connect(app->client);
    return net_loop_run(app->loop);
}

int main(int argc, char **argv)
{
    struct app app = {.nsp = "/", .wait_ms = 10000};
    struct sio_diag diag = {"no loop"};

    parse(&app, argc, argv);
    app.loop = net_loop_new(NULL, &diag);
    if (!app.loop || run(&app, &diag) < 0) {
        fprintf(stderr, "client: %s\n", diag.text);
        app.exit_code = 2;
    }
    sio_client_free(app.client);
    net_loop_free(app.loop);
    return app.exit_code;
}
