/*
 * conformance - a server that protocol test suites talk to
 *
 * Socket.IO: the namespaces "/" and "/custom" echo; further events show what else the
 * library can do (`contract` lists them).  With --raw-engine: each Engine.IO message
 * goes back as it came.  Uses only the public headers.
 */
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <sioc/engineio.h>
#include <sioc/server.h>

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

/* Somebody wants to know when a socket goes. */
struct watch {
    struct watch *next;
    struct sio_namespace *ns;
    char watcher[32];
    char target[32];
};

struct app {
    struct net_loop *loop;
    struct eio_server *engine; /* with --raw-engine */
    struct sio_server *server; /* without */
    struct watch *watches;
    bool recovery;
};

static struct sio_str str(const char *s)
{
    return sio_str_from(s);
}

/* The i-th argument if it is a text, else NULL. */
static const char *text_arg(struct sio_event *e, size_t i)
{
    return cJSON_GetStringValue(sio_event_json(e, i));
}

/* The i-th argument as a number from 0 to max; 0 if it is none. */
static uint32_t number_arg(struct sio_event *e, size_t i, uint32_t max)
{
    const cJSON *v = sio_event_json(e, i);

    if (!cJSON_IsNumber(v) || !(v->valuedouble >= 0 && v->valuedouble <= max))
        return 0;
    return (uint32_t)v->valuedouble;
}

/* Sends and frees; m NULL: out of memory, then nothing is sent. */
static void send_to(struct sio_socket *s, struct sio_message *m)
{
    if (m)
        sio_socket_emit(s, m);
    sio_message_free(m);
}

/* Answers with one value and frees it. */
static void answer(struct sio_event *e, cJSON *value)
{
    struct sio_message *m = sio_message_new("");

    if (m && sio_message_add_json(m, value) == SIO_OK && sio_event_wants_ack(e))
        sio_event_ack(e, m);
    sio_message_free(m);
    cJSON_Delete(value);
}

static void answer_nothing(struct sio_event *e)
{
    if (sio_event_wants_ack(e))
        sio_event_ack(e, NULL);
}

/* The echo */

static void on_message(struct sio_socket *s, struct sio_event *e, void *user)
{
    struct sio_message *m = sio_message_new("message-back");

    (void)user;
    if (m)
        sio_message_add_event(m, e, 0);
    send_to(s, m);
}

static void on_message_with_ack(struct sio_socket *s, struct sio_event *e, void *user)
{
    struct sio_message *m;

    (void)s;
    (void)user;
    if (!sio_event_wants_ack(e))
        return;
    m = sio_message_new("");
    if (m) {
        sio_message_add_event(m, e, 0);
        sio_event_ack(e, m);
    }
    sio_message_free(m);
}

/* Rooms */

static void on_join_room(struct sio_socket *s, struct sio_event *e, void *user)
{
    const char *room = text_arg(e, 0);

    (void)user;
    if (room)
        sio_socket_join(s, str(room));
    answer_nothing(e);
}

static void on_leave_room(struct sio_socket *s, struct sio_event *e, void *user)
{
    const char *room = text_arg(e, 0);

    (void)user;
    if (room)
        sio_socket_leave(s, str(room));
    answer_nothing(e);
}

static void add_text(cJSON *list, struct sio_str s)
{
    char *copy = strndup(s.ptr, s.len);
    cJSON *item = copy ? cJSON_CreateString(copy) : NULL;

    if (item)
        cJSON_AddItemToArray(list, item);
    free(copy);
}

static void on_rooms(struct sio_socket *s, struct sio_event *e, void *user)
{
    struct sio_str rooms[64];
    size_t n = sio_socket_rooms(s, rooms, 64);
    cJSON *list = cJSON_CreateArray();

    (void)user;
    for (size_t i = 0; i < n && i < 64; i++)
        add_text(list, rooms[i]);
    answer(e, list);
}

/* Sends args from `first` on as the event that the argument before them names. */
static void emit_args(struct sio_socket *s, struct sio_event *e, size_t first,
                      const struct sio_target *target)
{
    const char *event = text_arg(e, first - 1);
    struct sio_message *m = event ? sio_message_new(event) : NULL;

    if (m) {
        sio_message_add_event(m, e, first);
        sio_namespace_emit(sio_socket_namespace(s), target, m);
    }
    sio_message_free(m);
}

static void on_to_room(struct sio_socket *s, struct sio_event *e, void *user)
{
    const cJSON *arg = sio_event_json(e, 0);
    struct sio_str rooms[16];
    struct sio_target target = {.rooms = rooms, .except_socket = s};
    const cJSON *item;

    (void)user;
    if (cJSON_IsString(arg))
        rooms[target.n_rooms++] = str(arg->valuestring);
    if (cJSON_IsArray(arg))
        cJSON_ArrayForEach(item, arg) if (cJSON_IsString(item) && target.n_rooms < 16)
            rooms[target.n_rooms++] = str(item->valuestring);
    if (target.n_rooms > 0)
        emit_args(s, e, 2, &target);
}

static void on_in_room(struct sio_socket *s, struct sio_event *e, void *user)
{
    struct sio_str room = str(text_arg(e, 0));
    struct sio_target target = {.rooms = &room, .n_rooms = 1};

    (void)user;
    if (room.ptr)
        emit_args(s, e, 2, &target);
}

static void on_to_except(struct sio_socket *s, struct sio_event *e, void *user)
{
    struct sio_str room = str(text_arg(e, 0));
    struct sio_str except = str(text_arg(e, 1));
    struct sio_target target = {.rooms = &room,
                                .n_rooms = 1,
                                .except = &except,
                                .n_except = 1,
                                .except_socket = s};

    (void)user;
    if (room.ptr && except.ptr)
        emit_args(s, e, 3, &target);
}

static void on_broadcast(struct sio_socket *s, struct sio_event *e, void *user)
{
    struct sio_target target = {.except_socket = s};

    (void)user;
    emit_args(s, e, 1, &target);
}

static bool add_id(struct sio_socket *s, void *user)
{
    add_text(user, sio_socket_id(s));
    return true;
}

static void on_fetch(struct sio_socket *s, struct sio_event *e, void *user)
{
    struct sio_str room = str(text_arg(e, 0));
    struct sio_target target = {.rooms = &room, .n_rooms = room.ptr != NULL};
    cJSON *list = cJSON_CreateArray();

    (void)user;
    sio_namespace_each_of(sio_socket_namespace(s), &target, add_id, list);
    answer(e, list);
}

static bool disconnect(struct sio_socket *s, void *user)
{
    (void)user;
    sio_socket_disconnect(s, false);
    return true;
}

static void on_disconnect_room(struct sio_socket *s, struct sio_event *e, void *user)
{
    struct sio_str room = str(text_arg(e, 0));
    struct sio_target target = {.rooms = &room, .n_rooms = 1};

    (void)user;
    if (room.ptr)
        sio_namespace_each_of(sio_socket_namespace(s), &target, disconnect, NULL);
}

static void on_kick(struct sio_socket *s, struct sio_event *e, void *user)
{
    (void)e;
    (void)user;
    sio_socket_disconnect(s, false);
}

static void on_kick_close(struct sio_socket *s, struct sio_event *e, void *user)
{
    (void)e;
    (void)user;
    sio_socket_disconnect(s, true);
}

/* Questions */

static void on_answer(int status, struct sio_event *e, void *user)
{
    struct sio_socket *s = user;
    struct sio_message *m;

    if (status == SIO_ERR_CLOSED)
        return;
    m = sio_message_new(status == SIO_OK ? "answer" : "answer-timeout");
    if (m && e)
        sio_message_add_event(m, e, 0);
    send_to(s, m);
}

static void on_ask(struct sio_socket *s, struct sio_event *e, void *user)
{
    struct sio_message *m = sio_message_new("question");

    (void)user;
    if (m) {
        sio_message_add_event(m, e, 0);
        sio_socket_emit_ack(s, m, 0, on_answer, s);
    }
    sio_message_free(m);
}

static void on_ask_timeout(struct sio_socket *s, struct sio_event *e, void *user)
{
    struct sio_message *m = sio_message_new("question");
    uint32_t ms = number_arg(e, 0, 60000);

    (void)user;
    if (m) {
        sio_message_add_string(m, str("timed"));
        sio_socket_emit_ack(s, m, ms > 0 ? ms : 1, on_answer, s);
    }
    sio_message_free(m);
}

/* A question to a room, and the answers so far. */
struct poll {
    struct sio_namespace *ns;
    char asker[32];
    uint32_t ms;
    size_t n_waiting; /* answers, and the walk that asks */
    bool failed;
    cJSON *answers;
    struct sio_message *question;
};

static void poll_step(struct poll *p)
{
    struct sio_socket *asker;
    struct sio_message *m;

    if (--p->n_waiting > 0)
        return;
    asker = sio_namespace_find(p->ns, str(p->asker));
    m = asker ? sio_message_new("answers") : NULL;
    if (m) {
        if (p->failed)
            sio_message_add_string(m, str("operation has timed out"));
        else
            sio_message_add_raw(m, str("null"));
        sio_message_add_json(m, p->answers);
        send_to(asker, m);
    }
    cJSON_Delete(p->answers);
    sio_message_free(p->question);
    free(p);
}

static void on_poll_answer(int status, struct sio_event *e, void *user)
{
    struct poll *p = user;
    cJSON *copy = status == SIO_OK ? cJSON_Duplicate(sio_event_json(e, 0), true) : NULL;

    if (status != SIO_OK)
        p->failed = true;
    if (status == SIO_OK && !copy)
        copy = cJSON_CreateNull();
    if (copy)
        cJSON_AddItemToArray(p->answers, copy);
    poll_step(p);
}

static bool poll_one(struct sio_socket *s, void *user)
{
    struct poll *p = user;

    if (sio_socket_emit_ack(s, p->question, p->ms, on_poll_answer, p) == SIO_OK)
        p->n_waiting++;
    else
        p->failed = true;
    return true;
}

static void on_ask_room(struct sio_socket *s, struct sio_event *e, void *user)
{
    struct sio_str room = str(text_arg(e, 0));
    struct sio_target target = {.rooms = &room, .n_rooms = 1};
    struct poll *p = calloc(1, sizeof(*p));
    uint32_t ms = number_arg(e, 1, 60000);

    (void)user;
    if (!p || !room.ptr) {
        free(p);
        return;
    }
    p->ns = sio_socket_namespace(s);
    snprintf(p->asker, sizeof(p->asker), "%.*s", (int)sio_socket_id(s).len,
             sio_socket_id(s).ptr);
    p->ms = ms > 0 ? ms : 1;
    p->n_waiting = 1;
    p->answers = cJSON_CreateArray();
    p->question = sio_message_new("question");
    if (p->question) {
        sio_message_add_string(p->question, str("room"));
        sio_namespace_each_of(p->ns, &target, poll_one, p);
    }
    poll_step(p);
}

/* Much, and binary */

static void on_burst(struct sio_socket *s, struct sio_event *e, void *user)
{
    uint32_t n = number_arg(e, 0, 100000);
    uint32_t size = number_arg(e, 1, 1000000);
    char *padding = calloc(1, (size_t)size + 1);

    (void)user;
    if (!padding)
        return;
    memset(padding, 'x', size);
    for (uint32_t i = 0; i < n; i++) {
        struct sio_message *m = sio_message_new("burst");
        char number[16];

        snprintf(number, sizeof(number), "%" PRIu32, i);
        if (m) {
            sio_message_add_raw(m, str(number));
            sio_message_add_string(m, (struct sio_str){padding, size});
        }
        send_to(s, m);
    }
    free(padding);
}

static void on_binary_out(struct sio_socket *s, struct sio_event *e, void *user)
{
    static const uint8_t three[] = {0, 1, 2};
    uint8_t thousand[1000];
    struct sio_message *m = sio_message_new("bin");

    (void)e;
    (void)user;
    if (!m)
        return;
    for (size_t i = 0; i < sizeof(thousand); i++)
        thousand[i] = (uint8_t)i;
    sio_message_begin(m);
    sio_message_text(m, str("{\"a\":"));
    sio_message_attachment(m, (struct sio_slice){NULL, three, sizeof(three)});
    sio_message_text(m, str(",\"list\":[1,"));
    sio_message_attachment(m, (struct sio_slice){NULL, thousand, sizeof(thousand)});
    sio_message_text(m, str("],\"text\":\"between\"}"));
    sio_message_end(m);
    sio_message_add_binary(m, (struct sio_slice){NULL, three, 0});
    send_to(s, m);
}

/* Who is there, and who went */

static void add_member(cJSON *object, struct sio_str name, struct sio_str value)
{
    char *key = strndup(name.ptr, name.len);
    char *text = strndup(value.ptr ? value.ptr : "", value.len);

    if (key && text)
        cJSON_AddStringToObject(object, key, text);
    free(key);
    free(text);
}

static cJSON *query_of(const struct eio_session *session)
{
    const struct sio_str raw = eio_session_handshake(session)->query;
    char *copy = strndup(raw.ptr ? raw.ptr : "", raw.len);
    cJSON *query = cJSON_CreateObject();
    char *rest = copy;
    char *pair;

    while (rest && (pair = strsep(&rest, "&")) != NULL) {
        const char *name = strsep(&pair, "=");
        struct sio_str value;

        if (!cJSON_HasObjectItem(query, name) &&
            eio_session_query(session, name, &value))
            add_member(query, str(name), value);
    }
    free(copy);
    return query;
}

static cJSON *headers_of(const struct eio_session *session)
{
    cJSON *headers = cJSON_CreateObject();
    struct sio_str name, value;

    for (size_t i = 0; eio_session_field_at(session, i, &name, &value); i++) {
        char *key = strndup(name.ptr, name.len);

        for (char *c = key; c && *c; c++)
            if (*c >= 'A' && *c <= 'Z')
                *c = (char)(*c - 'A' + 'a');
        if (key)
            add_member(headers, str(key), value);
        free(key);
    }
    return headers;
}

static void on_whoami(struct sio_socket *s, struct sio_event *e, void *user)
{
    const struct eio_session *session = sio_socket_session(s);
    cJSON *o = cJSON_CreateObject();

    (void)user;
    add_member(o, str("id"), sio_socket_id(s));
    add_member(o, str("nsp"), sio_namespace_name(sio_socket_namespace(s)));
    cJSON_AddStringToObject(o, "transport", eio_session_transport(session));
    cJSON_AddItemToObject(o, "query", query_of(session));
    cJSON_AddItemToObject(o, "headers", headers_of(session));
    add_member(o, str("address"), eio_session_handshake(session)->address);
    answer(e, o);
}

static void on_watch(struct sio_socket *s, struct sio_event *e, void *user)
{
    struct app *app = user;
    const char *target = text_arg(e, 0);
    bool there = target && sio_namespace_find(sio_socket_namespace(s), str(target));
    struct watch *w = there ? calloc(1, sizeof(*w)) : NULL;

    if (w) {
        w->ns = sio_socket_namespace(s);
        snprintf(w->watcher, sizeof(w->watcher), "%.*s", (int)sio_socket_id(s).len,
                 sio_socket_id(s).ptr);
        snprintf(w->target, sizeof(w->target), "%s", target);
        w->next = app->watches;
        app->watches = w;
    }
    answer(e, cJSON_CreateBool(w != NULL));
}

static void tell_watcher(const struct watch *w, enum sio_disconnect_reason reason)
{
    struct sio_socket *watcher = sio_namespace_find(w->ns, str(w->watcher));
    struct sio_message *m = watcher ? sio_message_new("left") : NULL;

    if (!m)
        return;
    sio_message_add_string(m, str(w->target));
    sio_message_add_string(m, str(sio_disconnect_reason_text(reason)));
    send_to(watcher, m);
}

static bool is_id(struct sio_str id, const char *text)
{
    return id.len == strlen(text) && memcmp(id.ptr, text, id.len) == 0;
}

static void tell_watchers(struct app *app, struct sio_socket *s,
                          enum sio_disconnect_reason reason)
{
    struct watch **at = &app->watches;

    while (*at) {
        struct watch *w = *at;
        bool target = is_id(sio_socket_id(s), w->target);

        if (target)
            tell_watcher(w, reason);
        if (target || is_id(sio_socket_id(s), w->watcher)) {
            *at = w->next;
            free(w);
        } else {
            at = &w->next;
        }
    }
}

/* The contract */

static void on_contract(struct sio_socket *s, struct sio_event *e, void *user)
{
    static const char *const features[] = {
        "rooms",      "broadcast",  "kick", "ask",    "ask-room", "burst",
        "binary-out", "restricted", "deny", "whoami", "fetch",    "reasons",
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
    answer(e, o);
}

static const struct {
    struct sio_str event;
    sio_event_cb handler;
} handlers[] = {
    {SIO_STR_INIT("message"), on_message},
    {SIO_STR_INIT("message-with-ack"), on_message_with_ack},
    {SIO_STR_INIT("contract"), on_contract},
    {SIO_STR_INIT("join"), on_join_room},
    {SIO_STR_INIT("leave"), on_leave_room},
    {SIO_STR_INIT("rooms"), on_rooms},
    {SIO_STR_INIT("to-room"), on_to_room},
    {SIO_STR_INIT("in-room"), on_in_room},
    {SIO_STR_INIT("to-except"), on_to_except},
    {SIO_STR_INIT("broadcast"), on_broadcast},
    {SIO_STR_INIT("fetch"), on_fetch},
    {SIO_STR_INIT("disconnect-room"), on_disconnect_room},
    {SIO_STR_INIT("kick"), on_kick},
    {SIO_STR_INIT("kick-close"), on_kick_close},
    {SIO_STR_INIT("ask"), on_ask},
    {SIO_STR_INIT("ask-timeout"), on_ask_timeout},
    {SIO_STR_INIT("ask-room"), on_ask_room},
    {SIO_STR_INIT("burst"), on_burst},
    {SIO_STR_INIT("binary-out"), on_binary_out},
    {SIO_STR_INIT("whoami"), on_whoami},
    {SIO_STR_INIT("watch"), on_watch},
};

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

static void on_event(struct sio_socket *s, struct sio_event *e, void *user)
{
    struct sio_str name = sio_event_name(e);

    greet(s, true);
    for (size_t i = 0; i < sizeof(handlers) / sizeof(handlers[0]); i++) {
        if (handlers[i].event.len == name.len &&
            memcmp(handlers[i].event.ptr, name.ptr, name.len) == 0) {
            handlers[i].handler(s, e, user);
            return;
        }
    }
}

static void on_disconnect(struct sio_socket *s, enum sio_disconnect_reason reason,
                          void *user)
{
    greet(s, false);
    tell_watchers(user, s, reason);
}

static const char *on_join_restricted(struct sio_socket *s, struct sio_str auth,
                                      struct sio_str *data, void *user)
{
    cJSON *o = auth.ptr ? cJSON_ParseWithLength(auth.ptr, auth.len) : NULL;
    const char *token =
        cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(o, "token"));
    bool known = token && strcmp(token, "secret") == 0;

    (void)s;
    (void)user;
    cJSON_Delete(o);
    if (known)
        return NULL;
    *data = str("{\"code\":\"E_AUTH\"}");
    return "unauthorized";
}

static const struct sio_namespace_ops open_ops = {
    .on_connect = on_connect,
    .on_disconnect = on_disconnect,
    .on_event = on_event,
};

static const struct sio_namespace_ops restricted_ops = {
    .on_join = on_join_restricted,
    .on_connect = on_connect,
    .on_disconnect = on_disconnect,
    .on_event = on_event,
};

static const char *on_request(struct eio_request *r, void *user)
{
    struct sio_str deny;

    (void)user;
    if (eio_request_query(r, "deny", &deny) && is_id(deny, "1"))
        return "Forbidden";
    return NULL;
}

static int add_namespaces(struct app *app)
{
    static const struct {
        const char *name;
        const struct sio_namespace_ops *ops;
    } namespaces[] = {
        {"/", &open_ops}, {"/custom", &open_ops}, {"/restricted", &restricted_ops}};

    for (size_t i = 0; i < sizeof(namespaces) / sizeof(namespaces[0]); i++)
        if (!sio_server_namespace(app->server, namespaces[i].name, namespaces[i].ops,
                                  app))
            return SIO_ERR_NOMEM;
    return SIO_OK;
}

/* The raw echo */

static void on_raw_message(struct eio_session *s, bool text, struct sio_slice msg,
                           void *user)
{
    struct eio_part part = {.text = text, .slices = &msg, .n_slices = 1};
    struct eio_msg *echo = eio_msg_new(&part, 1, NULL);

    (void)user;
    if (echo)
        eio_session_send(s, echo);
    eio_msg_unref(echo);
}

static void on_raw_close(struct eio_session *s, enum eio_close_reason reason,
                         void *user)
{
    (void)s;
    (void)reason;
    (void)user;
}

static const struct eio_session_ops raw_ops = {on_raw_message, on_raw_close};

static void on_raw_session(struct eio_session *s, void *user)
{
    eio_session_set_ops(s, &raw_ops, user);
}

/* The program */

struct options {
    struct sio_server_options server;
    struct eio_listen_options listen;
    bool raw;
};

enum {
    OPT_PORT = 1,
    OPT_PATH,
    OPT_PING_INTERVAL,
    OPT_PING_TIMEOUT,
    OPT_MAX_PAYLOAD,
    OPT_CONNECT_TIMEOUT,
    OPT_UPGRADE_TIMEOUT,
    OPT_PARSER,
    OPT_RECOVERY,
    OPT_RAW_ENGINE,
    OPT_DEFLATE,
    OPT_DEFLATE_ALONE,
    OPT_COOKIE,
    OPT_CLIENT_DIR,
    OPT_ALLOW_EIO3,
    OPT_JSONP,
    OPT_TLS_CERT,
    OPT_TLS_KEY,
    OPT_HELP,
};

static const struct option long_options[] = {
    {"port", required_argument, NULL, OPT_PORT},
    {"path", required_argument, NULL, OPT_PATH},
    {"ping-interval", required_argument, NULL, OPT_PING_INTERVAL},
    {"ping-timeout", required_argument, NULL, OPT_PING_TIMEOUT},
    {"max-payload", required_argument, NULL, OPT_MAX_PAYLOAD},
    {"connect-timeout", required_argument, NULL, OPT_CONNECT_TIMEOUT},
    {"upgrade-timeout", required_argument, NULL, OPT_UPGRADE_TIMEOUT},
    {"parser", required_argument, NULL, OPT_PARSER},
    {"recovery", optional_argument, NULL, OPT_RECOVERY},
    {"raw-engine", no_argument, NULL, OPT_RAW_ENGINE},
    {"deflate", no_argument, NULL, OPT_DEFLATE},
    {"deflate-alone", no_argument, NULL, OPT_DEFLATE_ALONE},
    {"cookie", no_argument, NULL, OPT_COOKIE},
    {"client-dir", required_argument, NULL, OPT_CLIENT_DIR},
    {"allow-eio3", no_argument, NULL, OPT_ALLOW_EIO3},
    {"jsonp", no_argument, NULL, OPT_JSONP},
    {"tls-cert", required_argument, NULL, OPT_TLS_CERT},
    {"tls-key", required_argument, NULL, OPT_TLS_KEY},
    {"help", no_argument, NULL, OPT_HELP},
    {0},
};

static void usage(FILE *f)
{
    fputs("usage: conformance [options]\n"
          "Listens on 127.0.0.1.  Times in milliseconds, sizes in bytes.\n"
          "  --port N              0: any (3000)\n"
          "  --path PATH           /socket.io/, with --raw-engine /engine.io/\n"
          "  --ping-interval N     25000\n"
          "  --ping-timeout N      20000\n"
          "  --max-payload N       1000000\n"
          "  --connect-timeout N   45000\n"
          "  --upgrade-timeout N   10000\n"
          "  --parser NAME         json or msgpack (json)\n"
          "  --recovery[=N]        connection state recovery, for so long (120000)\n"
          "  --raw-engine          echo Engine.IO messages, no Socket.IO\n"
          "  --deflate             compress on WebSocket what a client offers to\n"
          "  --deflate-alone       the same, each message on its own\n"
          "  --cookie              the sid in a cookie, \"io\"\n"
          "  --client-dir DIR      serve the JavaScript client that is in DIR\n"
          "  --allow-eio3          clients of Socket.IO 2, too; they may poll by "
          "scripts\n"
          "  --jsonp               polling by scripts, too\n"
          "  --tls-cert FILE --tls-key FILE\n",
          f);
}

static uint32_t number(const char *name, const char *text, uint32_t max)
{
    char *end;
    unsigned long long n;

    errno = 0;
    n = strtoull(text, &end, 10);
    if (errno || end == text || *end || text[0] == '-' || n > max) {
        fprintf(stderr, "conformance: --%s: not a number up to %" PRIu32 ": %s\n", name,
                max, text);
        exit(2);
    }
    return (uint32_t)n;
}

static enum sio_parser_kind parser_kind(const char *name)
{
    if (strcmp(name, "json") == 0)
        return SIO_PARSER_JSON;
    if (strcmp(name, "msgpack") == 0)
        return SIO_PARSER_MSGPACK;
    fprintf(stderr, "conformance: --parser: not json or msgpack: %s\n", name);
    exit(2);
}

static const struct eio_cookie cookie = {.http_only = true};

static void take_option(struct options *o, int opt, const char *name)
{
    struct eio_server_options *engine = &o->server.engine;

    switch (opt) {
    case OPT_PORT: o->listen.port = (uint16_t)number(name, optarg, UINT16_MAX); break;
    case OPT_PATH: engine->path = optarg; break;
    case OPT_PING_INTERVAL:
        engine->ping_interval_ms = number(name, optarg, INT32_MAX);
        break;
    case OPT_PING_TIMEOUT:
        engine->ping_timeout_ms = number(name, optarg, INT32_MAX);
        break;
    case OPT_MAX_PAYLOAD: engine->max_payload = number(name, optarg, INT32_MAX); break;
    case OPT_CONNECT_TIMEOUT:
        o->server.connect_timeout_ms = number(name, optarg, INT32_MAX);
        break;
    case OPT_UPGRADE_TIMEOUT:
        engine->upgrade_timeout_ms = number(name, optarg, INT32_MAX);
        break;
    case OPT_PARSER: o->server.parser = parser_kind(optarg); break;
    case OPT_RECOVERY:
        o->server.recovery.max_away_ms =
            optarg ? number(name, optarg, INT32_MAX) : 120000;
        break;
    case OPT_RAW_ENGINE: o->raw = true; break;
    case OPT_DEFLATE:
    case OPT_DEFLATE_ALONE:
        engine->deflate.enabled = true;
        engine->deflate.min_bytes = 1; /* for tests: all of them */
        engine->deflate.server_no_context_takeover = opt == OPT_DEFLATE_ALONE;
        engine->deflate.client_no_context_takeover = opt == OPT_DEFLATE_ALONE;
        break;
    case OPT_CLIENT_DIR: o->server.client_dir = optarg; break;
    case OPT_COOKIE: engine->cookie = &cookie; break;
    case OPT_ALLOW_EIO3: engine->allow_eio3 = engine->jsonp = true; break;
    case OPT_JSONP: engine->jsonp = true; break;
    case OPT_TLS_CERT: o->listen.tls_cert_file = optarg; break;
    case OPT_TLS_KEY: o->listen.tls_key_file = optarg; break;
    case OPT_HELP: usage(stdout); exit(0);
    default: usage(stderr); exit(2);
    }
}

static void parse_options(struct options *o, int argc, char **argv)
{
    int opt, i = 0;

    memset(o, 0, sizeof(*o));
    o->listen.host = "127.0.0.1";
    o->listen.port = 3000;
    o->server.engine.cors = true;
    o->server.engine.allow_request = on_request;
    /* A burst to a slow reader is part of the tests. */
    o->server.engine.max_queue_bytes = 64 << 20;
    while ((opt = getopt_long(argc, argv, "", long_options, &i)) != -1)
        take_option(o, opt, opt > 0 && opt < OPT_HELP ? long_options[i].name : "");
    if (optind < argc) {
        usage(stderr);
        exit(2);
    }
}

static int start(struct app *app, const struct options *o, struct sio_diag *diag)
{
    struct eio_server_options engine = o->server.engine;
    int rv;

    if (o->raw) {
        engine.on_session = on_raw_session;
        engine.user = app;
        app->engine = eio_server_new(app->loop, &engine, diag);
        return app->engine ? eio_server_listen(app->engine, &o->listen, diag)
                           : SIO_ERR_INVAL;
    }
    app->recovery = o->server.recovery.max_away_ms > 0;
    app->server = sio_server_new(app->loop, &o->server, diag);
    if (!app->server)
        return SIO_ERR_INVAL;
    rv = add_namespaces(app);
    if (rv < 0)
        return sio_diag_set(diag, rv, "%s", sio_strerror(rv));
    return sio_server_listen(app->server, &o->listen, diag);
}

static void on_shut_down(void *user)
{
    net_loop_stop(((struct app *)user)->loop);
}

static void shut_down(void *arg)
{
    struct app *app = arg;

    if (app->server)
        sio_server_shutdown(app->server, 1000, on_shut_down, app);
    else
        eio_server_shutdown(app->engine, 1000, on_shut_down, app);
}

static sigset_t end_signals(void)
{
    sigset_t set;

    sigemptyset(&set);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGTERM);
    return set;
}

/* The loop has one thread; signals wait in another and come over by a post. */
static void *wait_for_signal(void *arg)
{
    struct app *app = arg;
    sigset_t set = end_signals();
    int signo;

    if (sigwait(&set, &signo) == 0)
        net_loop_post(app->loop, shut_down, app);
    return NULL;
}

static void free_watches(struct app *app)
{
    while (app->watches) {
        struct watch *w = app->watches;

        app->watches = w->next;
        free(w);
    }
}

int main(int argc, char **argv)
{
    struct app app = {0};
    struct options o;
    struct sio_diag diag = {""};
    sigset_t set = end_signals();
    pthread_t thread;
    int rv;

    parse_options(&o, argc, argv);
    pthread_sigmask(SIG_BLOCK, &set, NULL);
    app.loop = net_loop_new(NULL, &diag);
    rv = app.loop ? start(&app, &o, &diag) : SIO_ERR_NOMEM;
    if (rv >= 0 && pthread_create(&thread, NULL, wait_for_signal, &app) == 0) {
        printf("listening on port %d\n", rv);
        fflush(stdout);
        rv = net_loop_run(app.loop);
        pthread_kill(thread, SIGTERM); /* ends the wait if the loop ended by itself */
        pthread_join(thread, NULL);
    } else {
        fprintf(stderr, "conformance: %s\n", diag.text);
        rv = SIO_ERR_IO;
    }
    sio_server_free(app.server);
    if (app.engine)
        eio_server_free(app.engine);
    if (app.loop)
        net_loop_free(app.loop);
    free_watches(&app);
    return rv < 0;
}
