/*
 * conformance_namespaces.c - the namespaces: contract, greeting, middleware, listeners
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "conformance.h"

/*
 * Time between the CONNECT reply and the "auth" event.  The published suites add their
 * listener for the one when they have seen the other, and miss what came in the same
 * segment.  Whatever the client says meanwhile gets its "auth" first.
 */
#define GREETING_MS 5

/* A socket's data: the greeting that it is still to be sent, or NULL. */
struct greeting {
    struct net_timer timer;
    struct sio_socket *socket;
    struct sio_message *message;
};

static void on_contract(struct sio_socket *s, struct sio_event *e, void *user)
{
    static const char *const features[] = {
        "rooms", "broadcast",  "kick",       "ask",  "ask-room",
        "burst", "binary-out", "restricted", "deny", "whoami",
        "fetch", "reasons",    "dynamic",
    };
    const struct app *app = user;
    cJSON *o = cJSON_CreateObject();
    cJSON *list = cJSON_AddArrayToObject(o, "features");

    (void)s;
    cJSON_AddNumberToObject(o, "version", 1);
    for (size_t i = 0; i < sizeof(features) / sizeof(features[0]); i++)
        cJSON_AddItemToArray(list, cJSON_CreateString(features[i]));
    if (app->recovery)
        cJSON_AddItemToArray(list, cJSON_CreateString("recovery"));
    if (app->cluster)
        cJSON_AddItemToArray(list, cJSON_CreateString("cluster"));
    answer(e, o);
}

static void greet(struct sio_socket *s, bool send)
{
    struct greeting *g = sio_socket_data(s);

    if (!g)
        return;
    sio_socket_set_data(s, NULL, NULL);
    net_timer_stop(&g->timer);
    if (send)
        sio_socket_emit(s, g->message);
    sio_message_free(g->message);
    free(g);
}

static void on_greeting_due(struct net_timer *timer, void *user)
{
    struct greeting *g = user;

    (void)timer;
    greet(g->socket, true);
}

static void on_connect(struct sio_socket *s, struct sio_str auth, void *user)
{
    struct app *app = user;
    struct greeting *g = calloc(1, sizeof(*g));

    if (!g)
        return;
    net_timer_init(&g->timer, app->loop, on_greeting_due, g);
    g->socket = s;
    g->message = sio_message_new("auth");
    if (!g->message || net_timer_start(&g->timer, GREETING_MS) < 0) {
        sio_message_free(g->message);
        free(g);
        return;
    }
    sio_message_add_raw(g->message, auth.ptr ? auth : str("{}"));
    sio_socket_set_data(s, g, NULL);
}

/* Before any handler. */
static void greet_first(struct sio_socket *s, struct sio_event *e, void *user)
{
    (void)e;
    (void)user;
    greet(s, true);
}

static void on_disconnect(struct sio_socket *s, enum sio_disconnect_reason reason,
                          void *user)
{
    greet(s, false);
    tell_watchers(user, s, reason);
}

static const struct sio_namespace_ops ops = {
    .on_connect = on_connect,
    .on_disconnect = on_disconnect,
};

/* Middleware */

static void restricted(struct sio_socket *s, struct sio_str auth, struct sio_join *j,
                       void *user)
{
    cJSON *o = auth.ptr ? cJSON_ParseWithLength(auth.ptr, auth.len) : NULL;
    const char *token =
        cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(o, "token"));

    (void)s;
    (void)user;
    if (token && strcmp(token, "secret") == 0)
        sio_join_accept(j);
    else
        sio_join_refuse(j, "unauthorized", str("{\"code\":\"E_AUTH\"}"));
    cJSON_Delete(o);
}

/* Decides after as many milliseconds as auth.delay says, by auth.accept. */
struct slow {
    struct slow *next;
    struct app *app;
    struct net_timer timer;
    struct sio_join *join;
    bool accept;
};

static void end_join(struct slow *slow, bool accept)
{
    struct slow **at = &slow->app->slow;

    while (*at != slow)
        at = &(*at)->next;
    *at = slow->next;
    net_timer_stop(&slow->timer);
    if (accept)
        sio_join_accept(slow->join);
    else
        sio_join_refuse(slow->join, "too slow", str("null"));
    free(slow);
}

static void on_slow_due(struct net_timer *timer, void *user)
{
    struct slow *slow = user;

    (void)timer;
    end_join(slow, slow->accept);
}

void end_joins(struct app *app)
{
    while (app->slow)
        end_join(app->slow, false);
}

static void slowly(struct sio_socket *s, struct sio_str auth, struct sio_join *j,
                   void *user)
{
    cJSON *o = auth.ptr ? cJSON_ParseWithLength(auth.ptr, auth.len) : NULL;
    const cJSON *delay = cJSON_GetObjectItemCaseSensitive(o, "delay");
    struct slow *slow = calloc(1, sizeof(*slow));
    struct app *app = user;
    double ms = cJSON_IsNumber(delay) ? delay->valuedouble : 0;

    (void)s;
    if (slow) {
        net_timer_init(&slow->timer, app->loop, on_slow_due, slow);
        slow->join = j;
        slow->app = app;
        slow->accept = cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(o, "accept"));
    }
    if (slow && net_timer_start(&slow->timer,
                                ms > 0 && ms < 60000 ? (uint64_t)ms : 0) == SIO_OK) {
        slow->next = app->slow;
        app->slow = slow;
    } else {
        sio_join_refuse(j, sio_strerror(SIO_ERR_NOMEM), str(NULL));
        free(slow);
    }
    cJSON_Delete(o);
}

/* Of events: "forbidden" is answered with an error and goes no further. */
static bool strictly(struct sio_socket *s, struct sio_event *e, void *user)
{
    (void)s;
    (void)user;
    if (!is_id(sio_event_name(e), "forbidden"))
        return true;
    answer(e, cJSON_CreateString("not allowed"));
    return false;
}

/* Listeners: "seen" tells the names of the events in and out since it was asked last. */

static void note(struct sio_socket *s, const char *mark, struct sio_event *e)
{
    struct sio_str name = sio_event_name(e), before = sio_socket_attributes(s);
    char text[1024] = "[";

    if (is_id(name, "seen"))
        return;
    if (before.ptr) /* without its ']' */
        snprintf(text, sizeof(text), "%.*s,", (int)before.len - 1, before.ptr);
    snprintf(text + strlen(text), sizeof(text) - strlen(text), "\"%s%.*s\"]", mark,
             (int)name.len, name.ptr);
    sio_socket_set_attributes(s, str(text));
}

static void note_in(struct sio_socket *s, struct sio_event *e, void *user)
{
    (void)user;
    note(s, "<", e);
}

static void note_out(struct sio_socket *s, struct sio_event *e, void *user)
{
    (void)user;
    note(s, ">", e);
}

static void on_seen(struct sio_socket *s, struct sio_event *e, void *user)
{
    struct sio_message *m = sio_message_new("");

    (void)user;
    if (m && sio_socket_attributes(s).ptr)
        sio_message_add_raw(m, sio_socket_attributes(s));
    if (m && sio_event_wants_ack(e))
        sio_event_ack(e, m);
    sio_message_free(m);
    sio_socket_set_attributes(s, str(NULL));
}

static void on_children(struct sio_socket *s, struct sio_event *e, void *user)
{
    const struct app *app = user;

    (void)s;
    answer(e, cJSON_CreateNumber((double)sio_namespace_n_children(app->dynamic)));
}

/* A handler of one socket's: takes itself off. */
static void on_once(struct sio_socket *s, struct sio_event *e, void *user)
{
    (void)user;
    sio_socket_off(s, "once");
    answer(e, cJSON_CreateString("first"));
}

static void on_later(struct sio_socket *s, struct sio_event *e, void *user)
{
    (void)s;
    (void)user;
    answer(e, cJSON_CreateString("again"));
}

static void on_arm(struct sio_socket *s, struct sio_event *e, void *user)
{
    answer(e, cJSON_CreateBool(sio_socket_on(s, "once", on_once, user) == SIO_OK));
}

/* All namespaces */

static int add_events(struct sio_namespace *ns, struct app *app)
{
    static const struct event_handler list[] = {
        {"contract", on_contract}, {"children", on_children}, {"arm", on_arm},
        {"once", on_later},        {"seen", on_seen},
    };
    int rv = sio_namespace_on_any(ns, greet_first, app);

    if (rv == SIO_OK)
        rv = add_handlers(ns, list, sizeof(list) / sizeof(list[0]), app);
    if (rv == SIO_OK)
        rv = add_question_events(ns, app);
    if (rv == SIO_OK)
        rv = add_room_events(ns, app);
    if (rv == SIO_OK)
        rv = add_who_events(ns, app);
    return rv;
}

static struct sio_namespace *add_namespace(struct app *app, const char *name)
{
    struct sio_namespace *ns = sio_server_namespace(app->server, name, &ops, app);

    return ns && add_events(ns, app) == SIO_OK ? ns : NULL;
}

/* What is tried by tests of our own: slow and strict, and listeners. */
static int add_special(struct app *app)
{
    struct sio_namespace *slow = add_namespace(app, "/slow");
    struct sio_namespace *strict = add_namespace(app, "/strict");
    struct sio_namespace *heard = add_namespace(app, "/heard");

    if (!slow || sio_namespace_use(slow, slowly, app) < 0 || !strict ||
        sio_namespace_use_event(strict, strictly, app) < 0 || !heard ||
        sio_namespace_on_any(heard, note_in, app) < 0 ||
        sio_namespace_on_any_outgoing(heard, note_out, app) < 0)
        return SIO_ERR_NOMEM;
    return SIO_OK;
}

int add_namespaces(struct app *app)
{
    struct sio_namespace *ns;

    if (!add_namespace(app, "/") || !add_namespace(app, "/custom"))
        return SIO_ERR_NOMEM;
    ns = add_namespace(app, "/restricted");
    if (!ns || sio_namespace_use(ns, restricted, app) < 0)
        return SIO_ERR_NOMEM;
    ns = sio_server_pattern(app->server, "^/dyn-[0-9]+(#[a-z]+)?$", &ops, app);
    if (!ns || add_events(ns, app) < 0)
        return SIO_ERR_NOMEM;
    sio_namespace_set_children(ns, 1000, true);
    app->dynamic = ns;
    return add_special(app);
}
