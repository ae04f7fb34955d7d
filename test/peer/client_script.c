/*
 * client_script.c - our Socket.IO client, told line by line what to do
 *
 * Usage: client_script URL [--OPTION VALUE]...
 * Commands come from standard input, and what happens goes to standard output, one JSON
 * array a line:
 *
 *     connect | close | quit              of the client
 *     add NSP                             a namespace more; "/" is there
 *     leave NSP | enter NSP | auth JSON   of a namespace; the auth of "/"
 *     emit NSP ["name",ARG...]            volatile NSP [...] the same, volatile
 *     bytes NSP HEX                       emits "message" with the bytes
 *     ack NSP MS ["name",ARG...]          emits with an ack
 *
 *     ["up"] ["attempt",N] ["down",ERROR,WHY,RETRY-MS] ["closed"]
 *     ["connect",NSP,ID,RECOVERED,TRANSPORT] ["disconnect",NSP,REASON]
 *     ["refused",NSP,MESSAGE,DATA] ["event",NSP,NAME,[ARG...],[HEX...]]
 *     ["any",NSP,NAME] ["any-out",NSP,NAME] ["ack",ERROR,[ARG...]] ["error",ERROR]
 *
 * An event that wants an ack is answered with its arguments.  The loop runs inside poll,
 * as it would in another program.
 */
#include <config.h>

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <sioc/sioc.h>

#include "base/buf.h"
#include "base/json.h"
#include "base/list.h"

#define MAX_LINE (1 << 20)
#define MAX_OUT  (32 << 20)

struct script {
    struct net_loop *loop;
    struct sio_client *client;
    struct sio_client_socket *sockets[16];
    char *names[16];
    size_t n_sockets;
    const char *auth;
    bool watches_all;
    bool quits;
    char in[MAX_LINE];
    size_t n_in;
};

/* Output. */

static void begin(struct wbuf *w, const char *kind)
{
    wbuf_init(w, MAX_OUT);
    wbuf_addf(w, "[\"%s\"", kind);
}

static void add_text(struct wbuf *w, struct sio_str text)
{
    wbuf_add_byte(w, ',');
    json_write_string(w, text);
}

static void add_cstr(struct wbuf *w, const char *text)
{
    add_text(w, sio_str_from(text));
}

static void end(struct wbuf *w)
{
    struct sio_str line = wbuf_str(w);

    printf("%.*s]\n", (int)line.len, line.ptr);
    fflush(stdout);
    wbuf_fini(w);
}

static void say(const char *kind)
{
    struct wbuf w;

    begin(&w, kind);
    end(&w);
}

static const char *name_of(const struct script *x, const struct sio_client_socket *s)
{
    for (size_t i = 0; i < x->n_sockets; i++)
        if (x->sockets[i] == s)
            return x->names[i];
    return "?";
}

static void add_args(struct wbuf *w, struct sio_event *e)
{
    wbuf_add_cstr(w, ",[");
    for (size_t i = 0; i < sio_event_n_args(e); i++) {
        if (i > 0)
            wbuf_add_byte(w, ',');
        wbuf_add_str(w, sio_event_arg(e, i));
    }
    wbuf_add_cstr(w, "],[");
    for (size_t i = 0; i < sio_event_n_attachments(e); i++) {
        struct sio_slice a = sio_event_attachment(e, i);

        wbuf_add_cstr(w, i > 0 ? ",\"" : "\"");
        for (size_t j = 0; j < a.len; j++)
            wbuf_addf(w, "%02x", a.ptr[j]);
        wbuf_add_byte(w, '"');
    }
    wbuf_add_byte(w, ']');
}

/* Callbacks. */

static void on_event(struct sio_client_socket *s, struct sio_event *e, void *user)
{
    struct wbuf w;

    begin(&w, "event");
    add_cstr(&w, name_of(user, s));
    add_text(&w, sio_event_name(e));
    add_args(&w, e);
    end(&w);
    if (sio_event_wants_ack(e)) {
        struct sio_message *m = sio_message_new("");

        sio_message_add_event(m, e, 0);
        (void)sio_event_ack(e, m);
        sio_message_free(m);
    }
}

static void name_only(const char *kind, struct script *x, struct sio_client_socket *s,
                      struct sio_event *e)
{
    struct wbuf w;

    begin(&w, kind);
    add_cstr(&w, name_of(x, s));
    add_text(&w, sio_event_name(e));
    end(&w);
}

static void on_any(struct sio_client_socket *s, struct sio_event *e, void *user)
{
    name_only("any", user, s, e);
}

static void on_any_out(struct sio_client_socket *s, struct sio_event *e, void *user)
{
    name_only("any-out", user, s, e);
}

static void on_connect(struct sio_client_socket *s, void *user)
{
    struct script *x = user;
    struct wbuf w;

    begin(&w, "connect");
    add_cstr(&w, name_of(x, s));
    add_text(&w, sio_client_socket_id(s));
    wbuf_add_cstr(&w, sio_client_socket_recovered(s) ? ",true" : ",false");
    add_cstr(&w, sio_client_transport(x->client));
    end(&w);
}

static void on_connect_error(struct sio_client_socket *s, struct sio_str message,
                             struct sio_str data, void *user)
{
    struct wbuf w;

    begin(&w, "refused");
    add_cstr(&w, name_of(user, s));
    add_text(&w, message);
    wbuf_add_byte(&w, ',');
    wbuf_add_str(&w, data.ptr ? data : SIO_STR("null"));
    end(&w);
}

static void on_disconnect(struct sio_client_socket *s, const char *reason, void *user)
{
    struct wbuf w;

    begin(&w, "disconnect");
    add_cstr(&w, name_of(user, s));
    add_cstr(&w, reason);
    end(&w);
}

static const struct sio_client_socket_ops ops = {
    .on_connect = on_connect,
    .on_connect_error = on_connect_error,
    .on_disconnect = on_disconnect,
    .on_event = on_event,
};

static void on_down(struct sio_client *c, int error, const char *why,
                    uint32_t retry_in_ms, void *user)
{
    struct wbuf w;

    (void)c;
    (void)user;
    begin(&w, "down");
    add_cstr(&w, sio_strerror(error));
    add_cstr(&w, why);
    wbuf_addf(&w, ",%u", (unsigned)retry_in_ms);
    end(&w);
}

static void on_attempt(struct sio_client *c, uint32_t n, void *user)
{
    struct wbuf w;

    (void)c;
    (void)user;
    begin(&w, "attempt");
    wbuf_addf(&w, ",%u", (unsigned)n);
    end(&w);
}

static void on_up(struct sio_client *c, void *user)
{
    (void)c;
    (void)user;
    say("up");
}

static void on_closed(void *user)
{
    (void)user;
    say("closed");
}

static void on_ack(int status, struct sio_event *e, void *user)
{
    struct wbuf w;

    (void)user;
    begin(&w, "ack");
    add_cstr(&w, sio_strerror(status));
    if (e)
        add_args(&w, e);
    end(&w);
}

/* Commands. */

static void check(int rv)
{
    struct wbuf w;

    if (rv == SIO_OK)
        return;
    begin(&w, "error");
    add_cstr(&w, sio_strerror(rv));
    end(&w);
}

static void fatal(const char *why)
{
    fprintf(stderr, "client_script: %s\n", why);
    exit(2);
}

/* Cuts a word off *rest. */
static const char *word(char **rest)
{
    const char *w = strsep(rest, " ");

    return w ? w : "";
}

static struct sio_client_socket *socket_of(struct script *x, const char *name)
{
    for (size_t i = 0; i < x->n_sockets; i++)
        if (strcmp(x->names[i], name) == 0)
            return x->sockets[i];
    fatal("unknown namespace");
    return NULL;
}

static void add_socket(struct script *x, const char *name)
{
    struct sio_client_socket *s;

    if (x->n_sockets == N_ELEMENTS(x->sockets))
        fatal("too many namespaces");
    x->names[x->n_sockets] = strdup(name);
    s = sio_client_join(x->client, name, &ops, x);
    x->sockets[x->n_sockets++] = s;
    if (!s)
        fatal("no socket");
    if (x->watches_all) {
        check(sio_client_socket_on_any(s, on_any, x));
        check(sio_client_socket_on_any_outgoing(s, on_any_out, x));
    }
}

/* ["name",ARG...] */
static struct sio_message *message_of(const char *json)
{
    struct json_iter it;
    struct sio_str key, value;
    struct sio_message *m = NULL;
    struct wbuf name;

    if (!json || json_check(sio_str_from(json)) < 0)
        fatal("no JSON");
    it = json_iter(sio_str_from(json));
    if (!json_next(&it, &key, &value))
        fatal("no event name");
    wbuf_init(&name, MAX_LINE);
    json_string_decode(value, &name);
    wbuf_add_byte(&name, '\0');
    m = sio_message_new(wbuf_str(&name).ptr);
    wbuf_fini(&name);
    while (json_next(&it, &key, &value))
        sio_message_add_raw(m, value);
    return m;
}

static void emit(struct sio_client_socket *s, struct sio_message *m)
{
    check(sio_client_socket_emit(s, m));
    sio_message_free(m);
}

static void emit_volatile(struct sio_client_socket *s, struct sio_message *m)
{
    sio_message_set_volatile(m);
    emit(s, m);
}

static void emit_ack(struct sio_client_socket *s, char *rest)
{
    const char *ms = word(&rest);
    struct sio_message *m = message_of(rest);

    check(sio_client_socket_emit_ack(s, m, (uint32_t)strtoul(ms, NULL, 10), on_ack,
                                     NULL));
    sio_message_free(m);
}

static void emit_bytes(struct sio_client_socket *s, const char *hex)
{
    struct sio_message *m = sio_message_new("message");
    size_t len = strlen(hex) / 2;
    struct sio_buf *b = sio_buf_new(len);
    unsigned byte;

    for (size_t i = 0; i < len && sscanf(hex + 2 * i, "%2x", &byte) == 1; i++)
        sio_buf_data(b)[i] = (uint8_t)byte;
    sio_message_add_binary(m, sio_slice_of(b));
    emit(s, m);
    sio_buf_unref(b);
}

static void on_socket_command(struct script *x, const char *verb, char *rest)
{
    struct sio_client_socket *s = socket_of(x, word(&rest));

    if (strcmp(verb, "leave") == 0)
        sio_client_socket_disconnect(s);
    else if (strcmp(verb, "enter") == 0)
        check(sio_client_socket_connect(s));
    else if (strcmp(verb, "emit") == 0)
        emit(s, message_of(rest));
    else if (strcmp(verb, "volatile") == 0)
        emit_volatile(s, message_of(rest));
    else if (strcmp(verb, "bytes") == 0)
        emit_bytes(s, rest);
    else if (strcmp(verb, "ack") == 0)
        emit_ack(s, rest);
    else
        fatal("unknown command");
}

static void on_line(struct script *x, char *line)
{
    char *rest = line;
    const char *verb = word(&rest);

    if (strcmp(verb, "connect") == 0)
        check(sio_client_connect(x->client));
    else if (strcmp(verb, "close") == 0)
        sio_client_close(x->client, on_closed, x);
    else if (strcmp(verb, "quit") == 0)
        x->quits = true;
    else if (strcmp(verb, "add") == 0)
        add_socket(x, word(&rest));
    else if (strcmp(verb, "auth") == 0)
        check(sio_client_socket_set_auth(x->sockets[0], sio_str_from(rest)));
    else
        on_socket_command(x, verb, rest);
}

static void on_input(struct script *x)
{
    ssize_t n = read(STDIN_FILENO, x->in + x->n_in, sizeof(x->in) - x->n_in);
    char *end_of_line;

    if (n <= 0) {
        x->quits = true;
        return;
    }
    x->n_in += (size_t)n;
    while ((end_of_line = memchr(x->in, '\n', x->n_in))) {
        size_t len = (size_t)(end_of_line - x->in) + 1;

        *end_of_line = '\0';
        on_line(x, x->in);
        memmove(x->in, x->in + len, x->n_in - len);
        x->n_in -= len;
    }
}

/* Options. */

static int one_of(const char *value, const char *const *names, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (strcmp(value, names[i]) == 0)
            return (int)i;
    fatal("bad value of an option");
    return -1;
}

static bool set_text(struct sio_client_options *o, const char *name, const char *value)
{
    const struct {
        const char *name;
        const char **to;
    } texts[] = {
        {"path", &o->path},      {"query", &o->query},        {"proxy", &o->proxy},
        {"ca", &o->tls_ca_file}, {"cert", &o->tls_cert_file}, {"key", &o->tls_key_file},
    };

    for (size_t i = 0; i < N_ELEMENTS(texts); i++)
        if (strcmp(name, texts[i].name) == 0) {
            *texts[i].to = value;
            return true;
        }
    return false;
}

static bool set_number(struct sio_client_options *o, const char *name,
                       const char *value)
{
    const struct {
        const char *name;
        uint32_t *to;
    } numbers[] = {
        {"timeout", &o->connect_timeout_ms},
        {"delay", &o->reconnect_delay_ms},
        {"delay-max", &o->reconnect_delay_max_ms},
        {"attempts", &o->reconnect_attempts},
        {"retries", &o->retries},
        {"ack-timeout", &o->ack_timeout_ms},
    };

    for (size_t i = 0; i < N_ELEMENTS(numbers); i++)
        if (strcmp(name, numbers[i].name) == 0) {
            *numbers[i].to = (uint32_t)strtoul(value, NULL, 10);
            return true;
        }
    return false;
}

static void set_option(struct script *x, struct sio_client_options *o, const char *name,
                       const char *value)
{
    static const char *const transports[] = {"default", "upgrade", "websocket",
                                             "polling"};
    static const char *const offline[] = {"keep", "newest", "drop"};

    if (set_text(o, name, value) || set_number(o, name, value))
        return;
    if (strcmp(name, "transport") == 0)
        o->transports = (enum sio_client_transports)one_of(value, transports,
                                                           N_ELEMENTS(transports));
    else if (strcmp(name, "offline") == 0)
        o->offline =
            (enum sio_client_offline)one_of(value, offline, N_ELEMENTS(offline));
    else if (strcmp(name, "max-queue") == 0)
        o->max_queue_bytes = strtoul(value, NULL, 10);
    else if (strcmp(name, "max-message") == 0)
        o->max_message = strtoul(value, NULL, 10);
    else if (strcmp(name, "no-reconnect") == 0)
        o->no_reconnect = true;
    else if (strcmp(name, "rejoin") == 0)
        o->reconnect_after_server_disconnect = true;
    else if (strcmp(name, "insecure") == 0)
        o->tls_insecure = true;
    else if (strcmp(name, "deflate") == 0)
        o->deflate.enabled = true;
    else if (strcmp(name, "msgpack") == 0)
        o->parser = SIO_PARSER_MSGPACK;
    else if (strcmp(name, "tls-name") == 0)
        o->tls_server_name = value;
    else if (strcmp(name, "tls-1.3") == 0)
        o->tls_min_version = SIO_TLS_1_3;
    else if (strcmp(name, "try-all") == 0)
        o->try_all_transports = true;
    else if (strcmp(name, "watch") == 0)
        x->watches_all = true;
    else if (strcmp(name, "auth") == 0)
        x->auth = value;
    else
        fatal("unknown option");
}

static void run(struct script *x)
{
    struct pollfd fds[2] = {
        {.fd = STDIN_FILENO, .events = POLLIN},
        {.fd = net_loop_fd(x->loop), .events = POLLIN},
    };

    while (!x->quits) {
        if (poll(fds, 2, -1) < 0)
            fatal("poll");
        if (fds[0].revents)
            on_input(x);
        if (net_loop_run_once(x->loop, 0) < 0)
            fatal("loop");
    }
}

int main(int argc, char **argv)
{
    static struct script x;
    struct sio_client_options o = {
        .on_down = on_down, .on_attempt = on_attempt, .on_up = on_up, .user = &x};
    struct sio_diag diag;

    if (argc < 2 || argc % 2)
        fatal("usage: client_script URL [--OPTION VALUE]...");
    o.url = argv[1];
    for (int i = 2; i < argc; i += 2)
        set_option(&x, &o, argv[i] + 2, argv[i + 1]);
    x.loop = net_loop_new(NULL, &diag);
    if (!x.loop)
        fatal(diag.text);
    x.client = sio_client_new(x.loop, &o, &diag);
    if (!x.client)
        fatal(diag.text);
    add_socket(&x, "/");
    if (x.auth)
        check(sio_client_socket_set_auth(x.sockets[0], sio_str_from(x.auth)));
    run(&x);
    sio_client_free(x.client);
    net_loop_free(x.loop);
    for (size_t i = 0; i < x.n_sockets; i++)
        free(x.names[i]);
    return 0;
}
