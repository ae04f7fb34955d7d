/*
 * conformance_who.c - who is there, and who went
 */
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "conformance.h"

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
        copy_id(w->watcher, s);
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

void tell_watchers(struct app *app, struct sio_socket *s,
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

void free_watches(struct app *app)
{
    while (app->watches) {
        struct watch *w = app->watches;

        app->watches = w->next;
        free(w);
    }
}

/* There with a sanitizer, whose allocator glibc does not count. */
extern size_t __sanitizer_get_current_allocated_bytes(void) __attribute__((weak));

/*
 * What a soak compares: {sessions, allocated, exact}.  Bytes; without a sanitizer those
 * that glibc keeps for reuse count as well.  And how many requests came with a sid that
 * is not known here.
 */
static void on_stats(struct sio_socket *s, struct sio_event *e, void *user)
{
    struct app *app = user;
    struct eio_server_stats stats;
    struct mallinfo2 heap = mallinfo2();
    size_t allocated = heap.uordblks + heap.hblkhd;
    cJSON *o = cJSON_CreateObject();

    (void)s;
    if (__sanitizer_get_current_allocated_bytes)
        allocated = __sanitizer_get_current_allocated_bytes();
    eio_server_stats(sio_server_engine(app->server), &stats);
    cJSON_AddBoolToObject(o, "exact", __sanitizer_get_current_allocated_bytes != NULL);
    cJSON_AddNumberToObject(o, "sessions", (double)stats.n_sessions);
    cJSON_AddNumberToObject(o, "unknown", (double)stats.n_refused[1]);
    cJSON_AddNumberToObject(o, "allocated", (double)allocated);
    answer(e, o);
}

/*
 * What crossed between servers: {up, sent, dropped, tooBig, received, rejected, foreign,
 * timeouts}.
 */
static void on_cluster(struct sio_socket *s, struct sio_event *e, void *user)
{
    const struct app *app = user;
    struct sio_cluster_stats stats = {0};
    cJSON *o = cJSON_CreateObject();

    (void)s;
    if (app->cluster)
        sio_cluster_stats(app->cluster, &stats);
    cJSON_AddBoolToObject(o, "up", app->cluster && sio_cluster_is_up(app->cluster));
    cJSON_AddNumberToObject(o, "sent", (double)stats.n_sent);
    cJSON_AddNumberToObject(o, "dropped", (double)stats.n_dropped);
    cJSON_AddNumberToObject(o, "tooBig", (double)stats.n_too_big);
    cJSON_AddNumberToObject(o, "received", (double)stats.n_received);
    cJSON_AddNumberToObject(o, "rejected", (double)stats.n_rejected);
    cJSON_AddNumberToObject(o, "foreign", (double)stats.n_foreign);
    cJSON_AddNumberToObject(o, "timeouts", (double)stats.n_timeouts);
    answer(e, o);
}

int add_who_events(struct sio_namespace *ns, struct app *app)
{
    static const struct event_handler list[] = {
        {"whoami", on_whoami},
        {"watch", on_watch},
        {"stats", on_stats},
        {"cluster", on_cluster},
    };

    return add_handlers(ns, list, sizeof(list) / sizeof(list[0]), app);
}
