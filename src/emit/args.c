#include <config.h>

#include "emit/args.h"

#include <getopt.h>
#include <stdlib.h>

#include "base/file.h"
#include "base/json.h"
#include "base/list.h"
#include "base/mem.h"
#include "base/str.h"
#include "base/utf8.h"
#include "redis/url.h"
#include "socketio/packet.h"

#define DEFAULT_URL        "redis://127.0.0.1:6379"
#define DEFAULT_TIMEOUT_MS 5000
#define MAX_TIMEOUT_S      3600
#define MAX_FILE           ((size_t)64 * 1024 * 1024)

/* Options without a letter. */
enum { VOLATILE = 256, JOIN, LEAVE, DISCONNECT, CLOSE, SIDE, HEARD, SUBSCRIPTIONS };

static const struct option options[] = {
    {"url", required_argument, NULL, 'u'},
    {"key", required_argument, NULL, 'k'},
    {"sharded", no_argument, NULL, 's'},
    {"subscriptions", required_argument, NULL, SUBSCRIPTIONS},
    {"namespace", required_argument, NULL, 'n'},
    {"room", required_argument, NULL, 'r'},
    {"except", required_argument, NULL, 'x'},
    {"text", required_argument, NULL, 't'},
    {"binary", required_argument, NULL, 'b'},
    {"lines", no_argument, NULL, 'l'},
    {"wait", required_argument, NULL, 'w'},
    {"volatile", no_argument, NULL, VOLATILE},
    {"join", required_argument, NULL, JOIN},
    {"leave", required_argument, NULL, LEAVE},
    {"disconnect", no_argument, NULL, DISCONNECT},
    {"close", no_argument, NULL, CLOSE},
    {"side", no_argument, NULL, SIDE},
    {"heard", no_argument, NULL, HEARD},
    {"help", no_argument, NULL, 'h'},
    {"version", no_argument, NULL, 'V'},
    {NULL, 0, NULL, 0},
};

/* '-': what is no option comes in its place, since the order of arguments matters. */
static const char letters[] = "-:u:k:sn:r:x:t:b:lw:hV";

const char *emit_args_usage(void)
{
    return "Usage: nuchub-emit [OPTION]... EVENT [JSON]...\n"
           "       nuchub-emit [OPTION]... --lines EVENT\n"
           "       nuchub-emit [OPTION]... --join ROOM | --leave ROOM | --disconnect\n"
           "Sends an event to clients of all Socket.IO servers on a Redis.\n"
           "\n"
           "  -u, --url URL        the Redis, without a password (REDIS_URL, else\n"
           "                       " DEFAULT_URL ")\n"
           "  -k, --key KEY        how the servers' channels begin (socket.io)\n"
           "  -s, --sharded        the servers have the sharded adapter\n"
           "      --subscriptions MODE  its subscriptionMode: dynamic, static or\n"
           "                       dynamic-private (dynamic)\n"
           "  -n, --namespace NSP  (/)\n"
           "  -r, --room ROOM      only to this room, or socket id; may be repeated\n"
           "  -x, --except ROOM    not to this one; may be repeated\n"
           "  -t, --text TEXT      an argument that is this text\n"
           "  -b, --binary FILE    an argument of the bytes in FILE; -: standard "
           "input\n"
           "      --volatile       who cannot take it at once does not get it\n"
           "  -l, --lines          an event for each line of standard input: a JSON\n"
           "                       array of its arguments, or its only argument\n"
           "      --side           to the servers, not to their clients\n"
           "      --join ROOM      let the sockets enter ROOM; may be repeated\n"
           "      --leave ROOM     let them leave it\n"
           "      --disconnect     disconnect them; with --close, their connection "
           "too\n"
           "  -w, --wait SECONDS   for Redis to take it (5)\n"
           "      --heard          fail with 3 where no server listens\n"
           "  -h, --help\n"
           "  -V, --version\n"
           "\n"
           "Exit status: 0 Redis has taken it, 1 it has not, 2 wrong arguments, 3 "
           "--heard.\n";
}

static int add_name(struct emit_names *names, const char *text, struct sio_diag *diag)
{
    struct sio_str *items =
        mem_resize(names->items, names->n + 1, sizeof(struct sio_str));

    if (!items)
        return sio_diag_set(diag, SIO_ERR_NOMEM, "out of memory");
    names->items = items;
    names->items[names->n++] = sio_str_from(text);
    if (!utf8_check(text, strlen(text)))
        return sio_diag_set(diag, SIO_ERR_INVAL, "a room's name is not UTF-8");
    return SIO_OK;
}

/* Every user of a machine can see its command lines. */
static int take_url(struct emit_args *out, const char *text, struct sio_diag *diag)
{
    struct redis_url url;
    struct sio_diag why;
    bool secret;
    int rv = redis_url_parse(sio_str_from(text), &url, &why);

    if (rv < 0)
        return sio_diag_set(diag, rv, "--url: %s", why.text);
    secret = url.password != NULL;
    redis_url_fini(&url);
    if (secret)
        return sio_diag_set(diag, SIO_ERR_INVAL,
                            "--url: a password is for REDIS_URL, where others do not "
                            "see it");
    out->url = text;
    return SIO_OK;
}

static int take_action(struct emit_args *out, enum emit_action action,
                       struct sio_diag *diag)
{
    if (out->has_action && out->action != action)
        return sio_diag_set(diag, SIO_ERR_INVAL,
                            "--join, --leave, --disconnect and --side exclude each "
                            "other");
    out->action = action;
    out->has_action = true;
    return SIO_OK;
}

static int take_subscriptions(struct emit_args *out, const char *text,
                              struct sio_diag *diag)
{
    static const char *const modes[] = {[SIO_CLUSTER_DYNAMIC] = "dynamic",
                                        [SIO_CLUSTER_STATIC] = "static",
                                        [SIO_CLUSTER_DYNAMIC_PRIVATE] =
                                            "dynamic-private"};

    for (size_t i = 0; i < N_ELEMENTS(modes); i++)
        if (strcmp(text, modes[i]) == 0) {
            out->subscriptions = (enum sio_cluster_subscriptions)i;
            out->sharded = true;
            return SIO_OK;
        }
    return sio_diag_set(diag, SIO_ERR_INVAL,
                        "--subscriptions: dynamic, static or dynamic-private");
}

static int take_wait(struct emit_args *out, const char *text, struct sio_diag *diag)
{
    char *end;
    double s = strtod(text, &end);

    if (end == text || *end || !(s > 0 && s <= MAX_TIMEOUT_S))
        return sio_diag_set(diag, SIO_ERR_INVAL, "--wait: no time up to %d s",
                            MAX_TIMEOUT_S);
    out->timeout_ms = (uint32_t)(s * 1000);
    if (out->timeout_ms == 0)
        out->timeout_ms = 1;
    return SIO_OK;
}

/* The event, and its arguments. */

static int need_event(const struct emit_args *out, struct sio_diag *diag)
{
    if (out->message)
        return SIO_OK;
    return sio_diag_set(diag, SIO_ERR_INVAL, "the event's name comes before arguments");
}

static int take_event(struct emit_args *out, const char *name, struct sio_diag *diag)
{
    if (!utf8_check(name, strlen(name)))
        return sio_diag_set(diag, SIO_ERR_INVAL, "the event's name is not UTF-8");
    if (sio_event_name_reserved(sio_str_from(name)))
        return sio_diag_set(diag, SIO_ERR_INVAL,
                            "\"%s\" is a name of the protocol's own events", name);
    out->event = name;
    out->message = sio_message_new(name);
    return out->message ? SIO_OK : sio_diag_set(diag, SIO_ERR_NOMEM, "out of memory");
}

static int take_json(struct emit_args *out, const char *text, struct sio_diag *diag)
{
    struct sio_str json = sio_str_from(text);

    out->n_arguments++;
    if (!utf8_check(text, json.len) || json_check(json) < 0)
        return sio_diag_set(diag, SIO_ERR_INVAL,
                            "argument %zu is not JSON (a text: --text, or in quotes)",
                            out->n_arguments);
    return sio_message_add_raw(out->message, json);
}

static int take_text(struct emit_args *out, const char *text, struct sio_diag *diag)
{
    out->n_arguments++;
    if (!utf8_check(text, strlen(text)))
        return sio_diag_set(diag, SIO_ERR_INVAL, "argument %zu is not UTF-8",
                            out->n_arguments);
    return sio_message_add_string(out->message, sio_str_from(text));
}

static int take_file(struct emit_args *out, const char *path, struct sio_diag *diag)
{
    struct sio_buf *buf;
    char *bytes;
    size_t len;
    int rv;

    if (strcmp(path, "-") == 0)
        path = "/dev/stdin";
    rv = file_read(path, MAX_FILE, &bytes, &len, diag);
    if (rv < 0)
        return rv;
    out->n_arguments++;
    buf = sio_buf_copy(bytes, len);
    mem_free(bytes);
    if (!buf)
        return sio_diag_set(diag, SIO_ERR_NOMEM, "out of memory");
    rv = sio_message_add_binary(out->message, sio_slice_of(buf));
    sio_buf_unref(buf);
    return rv;
}

static int take_argument(struct emit_args *out, int c, const char *text,
                         struct sio_diag *diag)
{
    int rv;

    if (c == 1 && !out->message)
        return take_event(out, text, diag);
    rv = need_event(out, diag);
    if (rv < 0)
        return rv;
    rv = c == 't'   ? take_text(out, text, diag)
         : c == 'b' ? take_file(out, text, diag)
                    : take_json(out, text, diag);
    if (rv == SIO_ERR_NOMEM)
        sio_diag_set(diag, rv, "out of memory");
    return rv;
}

static int take_room(struct emit_args *out, enum emit_action action, const char *room,
                     struct sio_diag *diag)
{
    int rv = take_action(out, action, diag);

    return rv < 0 ? rv : add_name(&out->names, room, diag);
}

static int take_option(struct emit_args *out, int c, char **argv, struct sio_diag *diag)
{
    switch (c) {
    case 'u': return take_url(out, optarg, diag);
    case 'k': out->key = optarg; return SIO_OK;
    case 's': out->sharded = true; return SIO_OK;
    case SUBSCRIPTIONS: return take_subscriptions(out, optarg, diag);
    case 'n': out->nsp = optarg; return SIO_OK;
    case 'r': return add_name(&out->rooms, optarg, diag);
    case 'x': return add_name(&out->except, optarg, diag);
    case 'l': out->lines = true; return SIO_OK;
    case 'w': return take_wait(out, optarg, diag);
    case VOLATILE: out->is_volatile = true; return SIO_OK;
    case JOIN: return take_room(out, EMIT_JOIN, optarg, diag);
    case LEAVE: return take_room(out, EMIT_LEAVE, optarg, diag);
    case DISCONNECT: return take_action(out, EMIT_DISCONNECT, diag);
    case CLOSE: out->close = true; return SIO_OK;
    case SIDE: return take_action(out, EMIT_SIDE, diag);
    case HEARD: out->heard = true; return SIO_OK;
    case 'h': out->mode = EMIT_HELP; return SIO_OK;
    case 'V': out->mode = EMIT_VERSION; return SIO_OK;
    case ':':
        return sio_diag_set(diag, SIO_ERR_INVAL, "%s needs a value", argv[optind - 1]);
    case '?':
        return sio_diag_set(diag, SIO_ERR_INVAL, "unknown option %s", argv[optind - 1]);
    default: return take_argument(out, c, optarg, diag);
    }
}

static int check(const struct emit_args *a, struct sio_diag *diag)
{
    bool event = a->action == EMIT_EVENT || a->action == EMIT_SIDE;

    if (event && !a->event)
        return sio_diag_set(diag, SIO_ERR_INVAL, "which event? (--help says more)");
    if (!event && a->event)
        return sio_diag_set(diag, SIO_ERR_INVAL, "no event goes with this: \"%s\"",
                            a->event);
    if (a->lines && (!event || a->n_arguments > 0))
        return sio_diag_set(diag, SIO_ERR_INVAL,
                            "--lines: the arguments are in the lines");
    if (a->close && a->action != EMIT_DISCONNECT)
        return sio_diag_set(diag, SIO_ERR_INVAL, "--close goes with --disconnect");
    if (a->action == EMIT_SIDE && (a->rooms.n > 0 || a->except.n > 0))
        return sio_diag_set(diag, SIO_ERR_INVAL, "--side: servers are in no room");
    if (!sio_nsp_valid(sio_str_from(a->nsp)) || !utf8_check(a->nsp, strlen(a->nsp)))
        return sio_diag_set(diag, SIO_ERR_INVAL,
                            "--namespace: \"/\", or '/' and a name");
    return SIO_OK;
}

int emit_args_init(struct emit_args *out, int argc, char **argv, struct sio_diag *diag)
{
    const char *url = getenv("REDIS_URL");
    int c = 0;
    int rv = SIO_OK;

    memset(out, 0, sizeof(*out));
    out->url = url && *url ? url : DEFAULT_URL;
    out->nsp = "/";
    out->timeout_ms = DEFAULT_TIMEOUT_MS;
    opterr = 0;
    while (rv == SIO_OK && out->mode == EMIT_RUN &&
           (c = getopt_long(argc, argv, letters, options, NULL)) != -1)
        rv = take_option(out, c, argv, diag);
    while (rv == SIO_OK && out->mode == EMIT_RUN && optind < argc) /* behind "--" */
        rv = take_argument(out, 1, argv[optind++], diag);
    if (rv == SIO_OK && out->mode == EMIT_RUN)
        rv = check(out, diag);
    if (rv == SIO_OK && out->message && out->is_volatile)
        sio_message_set_volatile(out->message);
    return rv;
}

void emit_args_fini(struct emit_args *a)
{
    sio_message_free(a->message);
    mem_free(a->rooms.items);
    mem_free(a->except.items);
    mem_free(a->names.items);
}
