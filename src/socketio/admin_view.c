/*
 * admin_view.c - what the admin UI is shown, as JSON
 */
#include <config.h>

#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/json.h"
#include "base/list.h"
#include "base/mem.h"
#include "socketio/admin_impl.h"
#include "socketio/describe.h"
#include "socketio/event.h"
#include "socketio/namespace.h"
#include "socketio/server.h"

/* A list that grows longer than this ends early. */
#define LIST_MAX_BYTES (2 * 1024 * 1024)

/* Longer arguments are told by their size. */
#define EVENT_MAX_BYTES 4096

static void write_rooms(struct wbuf *w, const struct sio_socket *s)
{
    size_t n = sio_socket_rooms(s, NULL, 0);
    struct sio_str *rooms = mem_array(n, sizeof(*rooms));

    if (!rooms) {
        w->error = SIO_ERR_NOMEM;
        return;
    }
    sio_socket_rooms(s, rooms, n);
    for (size_t i = 0; i < n; i++) {
        wbuf_add_byte(w, i > 0 ? ',' : '[');
        json_write_string(w, rooms[i]);
    }
    wbuf_add_byte(w, ']');
    mem_free(rooms);
}

/* The client's id is the session's number: the sid would let its reader take over. */
void sio_admin_write_socket(struct wbuf *w, const struct sio_socket *s)
{
    const struct eio_session *session = sio_socket_session(s);
    const struct sio_namespace *ns = sio_socket_namespace(s);
    struct sio_str data = sio_socket_attributes(s);

    wbuf_add_cstr(w, "{\"id\":");
    json_write_string(w, sio_socket_id(s));
    wbuf_addf(w, ",\"clientId\":\"%u\",\"transport\":\"%s\",\"nsp\":",
              eio_session_number(session), eio_session_transport(session));
    json_write_string(w, sio_namespace_name(ns));
    wbuf_add_cstr(w, ",\"data\":");
    wbuf_add_str(w, data.ptr ? data : SIO_STR("{}"));
    wbuf_add_cstr(w, ",\"handshake\":");
    sio_describe_handshake(w, session, ns->server->path, true);
    wbuf_add_cstr(w, ",\"rooms\":");
    write_rooms(w, s);
    wbuf_add_byte(w, '}');
}

static bool add_socket(struct sio_socket *s, void *user)
{
    struct wbuf *w = user;

    if (w->len > LIST_MAX_BYTES || w->error < 0)
        return false;
    if (w->len > 1)
        wbuf_add_byte(w, ',');
    sio_admin_write_socket(w, s);
    return true;
}

void sio_admin_write_sockets(struct wbuf *w, struct sio_server *server)
{
    struct map_pos pos;
    struct map_node *node;

    wbuf_add_byte(w, '[');
    for (node = map_first(&server->namespaces, &pos); node;
         node = map_next(&server->namespaces, &pos))
        if (sio_namespace_each(container_of(node, struct sio_namespace, node),
                               add_socket, w) < 0)
            w->error = SIO_ERR_NOMEM;
    wbuf_add_byte(w, ']');
}

static void write_namespaces(struct wbuf *w, const struct sio_server *server)
{
    const char *comma = "";
    struct map_pos pos;
    struct map_node *node;

    wbuf_add_cstr(w, ",\"namespaces\":[");
    for (node = map_first(&server->namespaces, &pos); node && w->len < LIST_MAX_BYTES;
         node = map_next(&server->namespaces, &pos)) {
        wbuf_add_cstr(w, comma);
        wbuf_add_cstr(w, "{\"name\":");
        json_write_string(w, node->key);
        wbuf_add_cstr(w, ",\"socketsCount\":");
        wbuf_add_u64(w,
                     container_of(node, struct sio_namespace, node)->sockets.n_items);
        wbuf_add_byte(w, '}');
        comma = ",";
    }
    wbuf_add_byte(w, ']');
}

/* What has been counted since the last time, in one bucket each. */
static void write_aggregated(struct wbuf *w, struct sio_admin *a,
                             const struct eio_server_stats *now)
{
    const struct eio_server_stats *last = &a->seen;
    const struct {
        const char *type;
        uint64_t count;
    } counts[] = {
        {"rawConnection", now->n_opened - last->n_opened},
        {"rawDisconnection",
         (now->n_opened - now->n_sessions) - (last->n_opened - last->n_sessions)},
        {"packetsIn", now->messages_in - last->messages_in},
        {"packetsOut", now->messages_out - last->messages_out},
        {"bytesIn", now->bytes_in - last->bytes_in},
        {"bytesOut", now->bytes_out - last->bytes_out},
    };
    const char *comma = "";

    wbuf_add_cstr(w, ",\"aggregatedEvents\":[");
    for (size_t i = 0; i < N_ELEMENTS(counts); i++) {
        if (counts[i].count == 0)
            continue;
        wbuf_addf(w, "%s{\"timestamp\":%lld000,\"type\":\"%s\",\"count\":", comma,
                  (long long)net_loop_wall_s(a->server->loop), counts[i].type);
        wbuf_add_u64(w, counts[i].count);
        wbuf_add_byte(w, '}');
        comma = ",";
    }
    wbuf_add_byte(w, ']');
    a->seen = *now;
}

void sio_admin_write_stats(struct wbuf *w, struct sio_admin *a)
{
    uint64_t up_ms = net_loop_now_ms(a->server->loop) - a->started_ms;
    struct eio_server_stats now;

    eio_server_stats(a->server->engine, &now);
    wbuf_add_cstr(w, "{\"serverId\":");
    json_write_string(w, sio_str_from(a->server_id));
    wbuf_add_cstr(w, ",\"hostname\":");
    json_write_string(w, sio_str_from(a->host));
    wbuf_addf(w,
              ",\"pid\":%ld,\"uptime\":%llu.%03u,\"clientsCount\":%zu,"
              "\"pollingClientsCount\":%zu",
              (long)getpid(), (unsigned long long)(up_ms / 1000),
              (unsigned)(up_ms % 1000), now.n_sessions,
              now.n_sessions - now.n_websocket);
    write_aggregated(w, a, &now);
    write_namespaces(w, a->server);
    wbuf_add_byte(w, '}');
}

void sio_admin_write_features(struct wbuf *w, const struct sio_admin *a)
{
    wbuf_add_cstr(w, "{\"supportedFeatures\":[");
    if (!a->read_only)
        wbuf_add_cstr(w, "\"EMIT\",\"JOIN\",\"LEAVE\",\"DISCONNECT\",\"MJOIN\","
                         "\"MLEAVE\",\"MDISCONNECT\",");
    wbuf_add_cstr(w, "\"AGGREGATED_EVENTS\"");
    if (a->development)
        wbuf_add_cstr(w, ",\"ALL_EVENTS\"");
    wbuf_add_cstr(w, "]}");
}

/* Its name and arguments as one array; attachments stay behind as placeholders. */
void sio_admin_write_event(struct wbuf *w, const struct sio_event *e)
{
    struct sio_slice args = sio_event_args(e, 0);

    wbuf_add_byte(w, '[');
    json_write_string(w, sio_event_name(e));
    if (args.len > EVENT_MAX_BYTES)
        wbuf_addf(w, ",\"(%zu bytes)\"", args.len);
    else if (args.len > 0) {
        wbuf_add_byte(w, ',');
        wbuf_add(w, args.ptr, args.len);
    }
    wbuf_add_byte(w, ']');
}

void sio_admin_write_now(struct wbuf *w)
{
    int64_t us = clock_wall_us();
    time_t seconds = (time_t)(us / 1000000);
    char text[32] = "";
    struct tm tm;

    if (gmtime_r(&seconds, &tm))
        strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%S", &tm);
    wbuf_addf(w, "\"%s.%03dZ\"", text, (int)(us / 1000 % 1000));
}
