/*
 * hub/hub_impl.h - the inside of the hub, for the files of this folder
 */
#ifndef HUB_HUB_IMPL_H
#define HUB_HUB_IMPL_H

#include "base/buf.h"
#include "base/log.h"
#include "http/server.h"
#include "hub/alerts.h"
#include "hub/hub.h"
#include "hub/live.h"
#include "hub/programs.h"
#include "hub/registry.h"
#include "hub/relay.h"
#include "hub/www.h"
#include "net/conn.h"
#include "socketio/server.h"
#include "store/store.h"

#define HUB_SNAPSHOT_LIFETIME_S 300
#define HUB_ESTADO_LIFETIME_S   600

/* Names in the store: one of these and the ip. */
#define HUB_KEY_SNAPSHOT "snapshot:"
#define HUB_KEY_ESTADO   "estado:"
#define HUB_KEY_MAX      (16 + HUB_ID_MAX)

struct hub {
    struct net_loop *loop;
    const struct log *log;
    const struct hub_config *config;
    const char *const *origins; /* of pages that may use the hub; NULL: any */
    struct http_server *http;
    struct sio_server *sio;
    struct sio_namespace *ns; /* "/" */
    struct store *store;
    struct hub_registry registry;
    struct sio_cluster *cluster; /* with the other hubs; NULL: this one is alone */
    struct hub_peers peers;      /* in a cluster */
    char cluster_name[HUB_WIRE_NAME_MAX + 1];
    struct hub_folder cercas;
    struct hub_alerts alerts;
    struct hub_programs programs;
    struct hub_live live;
    struct list waiting; /* requests for a fresh snapshot */
    struct hub_www www;
    struct net_timer tick; /* asks silent agents */
    uint64_t picture_ms;   /* when the last one came */
    bool trimmed;          /* since then */
    bool open;             /* no token is configured: agents need none */
    int port;
    char boot[21];               /* makes ETags of two runs differ */
    struct log_limit limit_bad;  /* what agents send wrongly */
    struct log_limit limit_full; /* no room for a camera */

    /* The end. */
    struct net_timer deadline;
    unsigned n_closing; /* servers that have not said that they are done */
    void (*on_down)(void *user);
    void *down_user;
};

/*
 * For the other files that take events (events.c).  hub_events_payload: the one argument,
 * an object; false: there is none, which is logged.  hub_events_nuc: the agent's, NULL for
 * a viewer.  hub_events_read_ip: a camera's ip, or false.  hub_events_ignore logs why.
 */
bool hub_events_payload(struct hub *hub, struct sio_socket *s, struct sio_event *e,
                        struct sio_str *object);
struct hub_nuc *hub_events_nuc(struct sio_socket *s);
bool hub_events_read_ip(struct sio_str object, char out[HUB_ID_MAX + 1]);
bool hub_events_read_raw_ip(struct sio_str raw, char out[HUB_ID_MAX + 1]);
void hub_events_ignore(struct hub *hub, struct sio_socket *s, const struct sio_event *e,
                       const char *why);

/* Adds listeners; table stays.  SIO_OK or SIO_ERR_NOMEM. */
struct hub_event {
    const char *name;
    sio_event_cb cb; /* user is the hub */
};
int hub_events_add(struct hub *hub, const struct hub_event *table, size_t n);

/* Answers who wants an ack. */
void hub_events_acknowledge(struct sio_event *e);
/* Agents may send pictures; others where no token is configured, as they always could. */
bool hub_events_may_send(const struct hub *hub, struct sio_socket *s);
/* The NUC, or NULL, has been heard of. */
void hub_events_touch(struct hub_nuc *nuc);

/* Pictures and errors that agents send (arrivals.c).  SIO_OK or SIO_ERR_NOMEM. */
#define HUB_ROOM_VIEWERS SIO_STR("viewers")
int hub_arrivals_init(struct hub *hub);

/*
 * A camera that something was heard of; NULL: there is no room, which is logged.  Whether
 * there are viewers of pictures.  What another hub has put, to this hub's viewers.
 */
struct hub_camera *hub_arrivals_camera(struct hub *hub, const char *ip);
bool hub_arrivals_have_viewers(struct hub *hub);
void hub_arrivals_show(struct hub *hub, const struct hub_camera *c,
                       struct sio_slice value);

/* To the NUC's newest socket here.  As sio_socket_emit. */
int hub_events_send(struct hub_nuc *nuc, struct sio_message *m);

/* Namespace, events, and who connects (events.c).  SIO_OK or SIO_ERR_NOMEM. */
int hub_events_init(struct hub *hub);
/* Cuts off every agent. */
void hub_events_drop_agents(struct hub *hub);
/* Asks agents that are silent for too long. */
void hub_events_ask(struct hub *hub);

/* Snapshots of one camera, and who waits for a fresh one (snapshot.c). */
int hub_snapshot_route(struct hub *hub);
void hub_snapshot_arrived(struct hub *hub, struct sio_str ip);
/* error: raw JSON, or ptr NULL. */
void hub_snapshot_failed(struct hub *hub, struct sio_str ip, struct sio_str error);
/* Who waits for what cannot come any more is told: an agent left, other hubs are silent. */
void hub_snapshot_give_up(struct hub *hub);
/* It has connected anew, here or elsewhere: who waits has asked where it was before. */
void hub_snapshot_ask_again(struct hub *hub, struct hub_nuc *nuc);

/* /api/ip, and what is configured (info.c). */
int hub_info_route(struct hub *hub);

/* /metrics, where it is wanted (metrics.c). */
int hub_metrics_route(struct hub *hub);

/* Lists of cameras (cameras.c). */
int hub_cameras_route(struct hub *hub);

/* /api/status and /api/nucs (api.c), and the built-in page (page.c). */
int hub_api_route(struct hub *hub);
int hub_page_init(struct hub *hub);

/* Adds routes; table stays.  SIO_OK or SIO_ERR_NOMEM. */
struct hub_route {
    unsigned methods;
    const char *pattern;
    struct http_handler handler; /* user is the hub */
};
int hub_api_add_routes(struct hub *hub, const struct hub_route *table, size_t n);

/* Bytes of a reply that is made in memory. */
#define HUB_REPLY_MAX (64 * 1024 * 1024)

/* JSON and pages are compressed from this size on. */
#define HUB_COMPRESS_MIN 1024

/* Answers with the JSON that w holds and frees it, or 500 if it could not be written. */
void hub_api_reply(struct http_request *r, struct wbuf *w);
/* The same with text of another type. */
void hub_api_reply_text(struct http_request *r, const char *type, struct wbuf *w);

/* `{"success":true,"message":text}`, and archivo if it is not NULL; frees text. */
void hub_api_reply_message(struct http_request *r, struct wbuf *text,
                           const char *archivo);

/*
 * The client as trusted proxies saw it, or the peer: its address (borrowed from r, or in
 * out), and whether it came over TLS.
 */
struct sio_str hub_api_client_address(const struct hub *hub, struct http_request *r,
                                      char out[NET_ADDR_SIZE]);
bool hub_api_is_secure(const struct hub *hub, struct http_request *r);

/* raw, or what stands for it where it is missing. */
void hub_api_write_raw(struct wbuf *w, struct sio_str raw, const char *otherwise);

/* The server's local time as a JSON string. */
void hub_api_write_time(struct wbuf *w, int64_t wall_us);

/* The JSON body for an error that the HTTP server answers by itself (api.c). */
struct sio_str hub_api_error_body(int status);

/* Writes prefix and ip into key, which has HUB_KEY_MAX bytes. */
struct sio_str hub_key(char *key, const char *prefix, struct sio_str ip);

#endif
