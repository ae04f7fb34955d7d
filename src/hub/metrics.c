/*
 * metrics.c - GET /metrics: counters for Prometheus (text format 0.0.4)
 */
#include <config.h>

#include <inttypes.h>

#include <sioc/cluster.h>

#include "base/buf.h"
#include "base/json.h"
#include "hub/hub_impl.h"

#define METRICS_TYPE "text/plain; version=0.0.4; charset=utf-8"

static void head(struct wbuf *w, const char *name, const char *type, const char *help)
{
    wbuf_addf(w, "# HELP nuchub_%s %s\n# TYPE nuchub_%s %s\n", name, help, name, type);
}

static void gauge(struct wbuf *w, const char *name, const char *help, uint64_t value)
{
    head(w, name, "gauge", help);
    wbuf_addf(w, "nuchub_%s %" PRIu64 "\n", name, value);
}

static void counter(struct wbuf *w, const char *name, const char *help, uint64_t value)
{
    head(w, name, "counter", help);
    wbuf_addf(w, "nuchub_%s %" PRIu64 "\n", name, value);
}

static void labelled(struct wbuf *w, const char *name, const char *label,
                     const char *value, uint64_t n)
{
    wbuf_addf(w, "nuchub_%s{%s=\"%s\"} %" PRIu64 "\n", name, label, value, n);
}

static void write_sessions(struct wbuf *w, const struct eio_server_stats *s)
{
    static const char *const codes[EIO_N_REFUSALS] = {
        "unknown_transport", "unknown_sid", "bad_method",
        "bad_request",       "forbidden",   "unsupported_version",
    };

    head(w, "sessions", "gauge", "Sessions that are open, by transport.");
    labelled(w, "sessions", "transport", "websocket", s->n_websocket);
    labelled(w, "sessions", "transport", "polling", s->n_sessions - s->n_websocket);
    counter(w, "sessions_opened_total", "Sessions since the start.", s->n_opened);
    counter(w, "upgrades_total", "Sessions that went from polling to WebSocket.",
            s->n_upgraded);
    head(w, "messages_total", "counter", "Engine.IO messages, by direction.");
    labelled(w, "messages_total", "direction", "in", s->messages_in);
    labelled(w, "messages_total", "direction", "out", s->messages_out);
    head(w, "message_bytes_total", "counter", "Bytes of these messages.");
    labelled(w, "message_bytes_total", "direction", "in", s->bytes_in);
    labelled(w, "message_bytes_total", "direction", "out", s->bytes_out);
    counter(w, "messages_replaced_total",
            "Messages that a newer one took the place of, or that had no room.",
            s->n_dropped);
    head(w, "refused_total", "counter", "Engine.IO requests that were refused.");
    for (size_t i = 0; i < EIO_N_REFUSALS; i++)
        labelled(w, "refused_total", "reason", codes[i], s->n_refused[i]);
}

static void write_http(struct wbuf *w, const struct http_server_stats *s)
{
    counter(w, "http_requests_total", "HTTP requests, polls among them.",
            s->n_requests);
    counter(w, "connections_accepted_total", "Connections since the start.",
            s->n_accepted);
    gauge(w, "connections", "Connections that are open.", s->n_conns);
}

/* How long each camera has been silent: what an alarm is set on. */
static void write_cameras(struct wbuf *w, const struct hub *hub)
{
    const struct hub_registry *r = &hub->registry;
    uint64_t now_ms = net_loop_now_ms(hub->loop);
    const struct hub_camera *c;

    gauge(w, "nucs", "NUCs that are connected.", hub_registry_n_nucs(r));
    gauge(w, "cameras", "Cameras that are known.", r->cameras_by_ip.n_items);
    head(w, "camera_silent_seconds", "gauge",
         "Since a picture or an error of the camera came, by ip.");
    list_for_each (c, struct hub_camera, link, &r->cameras) {
        wbuf_add_cstr(w, "nuchub_camera_silent_seconds{ip=");
        json_write_string(w, sio_str_from(c->ip));
        wbuf_addf(w, "} %" PRIu64 "\n", (now_ms - c->heard_ms) / 1000);
    }
}

static void write_store(struct wbuf *w, const struct hub *hub)
{
    enum store_state state = store_state(hub->store);

    if (state == STORE_LOCAL)
        return;
    gauge(w, "redis_up", "Redis is there.", state != STORE_DOWN);
    gauge(w, "redis_takes_writes", "Redis is there and takes pictures.",
          state == STORE_UP);
}

/* Of the Socket.IO server: events and calls, not what hubs say to each other. */
static void write_adapter(struct wbuf *w, const struct sio_cluster *cluster)
{
    static const char crossed[] = "cluster_messages_total";
    static const char lost[] = "cluster_messages_lost_total";
    struct sio_cluster_stats s;

    sio_cluster_stats(cluster, &s);
    head(w, crossed, "counter", "Messages between servers, by direction.");
    labelled(w, crossed, "direction", "in", s.n_received);
    labelled(w, crossed, "direction", "out", s.n_sent);
    head(w, lost, "counter", "Those that other servers did not get, by reason.");
    labelled(w, lost, "reason", "no_redis", s.n_dropped);
    labelled(w, lost, "reason", "too_big", s.n_too_big);
    labelled(w, lost, "reason", "connection_lost", s.n_lost);
    counter(w, "cluster_messages_rejected_total",
            "Those that came, and were none or too large.", s.n_rejected);
    counter(w, "cluster_timeouts_total",
            "Answers of servers that did not come in time.", s.n_timeouts);
}

static void write_cluster(struct wbuf *w, const struct hub *hub)
{
    const struct hub_peers_stats *s = &hub->peers.stats;

    if (!hub->cluster)
        return;
    gauge(w, "cluster_up", "The other hubs can be heard.", hub_peers_up(&hub->peers));
    gauge(w, "hubs", "Hubs that act as one, this one included.",
          hub_peers_n(&hub->peers));
    counter(w, "cluster_unsent_total",
            "Messages between hubs that other hubs did not get.", s->n_unsent);
    counter(w, "cluster_rejected_total", "What came, and was no message between hubs.",
            s->n_rejected);
    counter(w, "cluster_missed_total",
            "Changes of other hubs that were missed, and asked for.", s->n_gaps);
    write_adapter(w, hub->cluster);
}

static void on_metrics(struct http_request *r, void *user)
{
    struct hub *hub = user;
    struct eio_server_stats engine;
    struct http_server_stats http;
    struct wbuf w;

    eio_server_stats(sio_server_engine(hub->sio), &engine);
    http_server_stats(hub->http, &http);
    wbuf_init(&w, HUB_REPLY_MAX);
    write_sessions(&w, &engine);
    write_http(&w, &http);
    write_cameras(&w, hub);
    gauge(&w, "live_streams", "Live pictures that are sent over HTTP.",
          hub->live.n_streams);
    write_store(&w, hub);
    write_cluster(&w, hub);
    hub_api_reply_text(r, METRICS_TYPE, &w);
}

int hub_metrics_route(struct hub *hub)
{
    static const struct http_handler handler = {.on_request = on_metrics};

    if (!hub->config->metrics)
        return SIO_OK;
    return http_server_route(hub->http, HTTP_GET, "/metrics", &handler, hub);
}
