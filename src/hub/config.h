/*
 * hub/config.h - what the hub is told: file, `.env`, environment, command line
 *
 * Later ones win.  nuchubd.conf(5) describes the file.
 */
#ifndef HUB_CONFIG_H
#define HUB_CONFIG_H

#include <stdbool.h>

#include <sioc/bytes.h>
#include <sioc/loop.h>

#include "hub/programs.h"

#define HUB_ID_MAX     128 /* bytes of a nuc_id and of an ip */
#define HUB_NOMBRE_MAX 256 /* bytes of a camera's name */

enum hub_mode { HUB_MODE_RUN, HUB_MODE_CHECK, HUB_MODE_HELP, HUB_MODE_VERSION };

/* Whether other hubs are one with this one, and which adapter of Node's they speak like. */
enum hub_cluster_mode { HUB_CLUSTER_OFF, HUB_CLUSTER_PUBSUB, HUB_CLUSTER_SHARDED };

/* Who else gets pictures: hubs fetch them, all other servers of the cluster are sent them. */
enum hub_cluster_pictures { HUB_PICTURES_HUBS, HUB_PICTURES_ALL };

#define HUB_CLUSTER_NAME_MAX 32  /* bytes: as of an engine's sid_prefix */
#define HUB_CLUSTER_KEY_MAX  128 /* bytes */

struct hub_camera_config {
    char *ip;
    char *nombre; /* or NULL */
    char *nuc;    /* or NULL */
};

struct hub_nuc_config {
    char *id;
    char *token; /* or NULL */
};

struct hub_config {
    enum hub_mode mode;
    char *host;           /* or NULL: every address */
    uint64_t port;        /* 0: the kernel chooses */
    char *state_dir;      /* or NULL */
    char *intrusos_dir;   /* NULL: below state_dir; */
    char *intrusos_dir_2; /* NULL: there is no second one; */
    char *videos_dir;
    char *cercas_dir;
    char *programs[HUB_N_PROGRAMS]; /* command lines, or NULL */
    char *www_dir;                  /* a built frontend, or NULL: the built-in page */
    char *www_api;                  /* the address that its pages are told, or NULL */
    char *tls_cert;                 /* both or neither */
    char *tls_key;
    char *token; /* that agents must show; or NULL */
    char *redis_url;
    char *admin_user;      /* of the Admin UI; both or neither */
    char *admin_hash_file; /* a bcrypt hash */
    uint64_t log_level;    /* enum sio_log_level */

    uint64_t cluster;               /* enum hub_cluster_mode */
    uint64_t cluster_subscriptions; /* enum sio_cluster_subscriptions */
    uint64_t cluster_pictures;      /* enum hub_cluster_pictures */
    char *cluster_key;              /* or NULL: the library's */
    char *cluster_name;             /* or NULL: the host's */
    char *cluster_python;           /* a channel, or NULL */

    bool allow_eio3;            /* clients of Socket.IO 2 */
    bool admin_write;           /* the Admin UI may also change something */
    bool admin_events;          /* and sees sockets and events one by one */
    bool compression;           /* of JSON and pages, and of replies to polls */
    bool websocket_compression; /* permessage-deflate, to who offers it */
    bool metrics;               /* GET /metrics, for Prometheus */
    char *session_cookie;       /* its name, or NULL: none */
    char *origins;              /* separated by blanks; NULL: any */
    bool refuse_origins;        /* others are not only kept from reading */

    uint64_t max_payload_bytes; /* of a message */
    uint64_t max_queue_bytes;   /* waiting for one viewer */
    uint64_t max_store_bytes;
    uint64_t max_sessions;
    uint64_t recovery_s; /* how long a client may be away; 0: no recovery */
    uint64_t max_cameras;
    uint64_t trusted_proxies; /* in front of the hub */
    uint64_t live_width;      /* pixels */
    uint64_t live_quality;    /* JPEG, 1 to 100 */
    uint64_t live_fps;
    uint64_t live_grace_s;     /* an agent streams on when the last viewer has gone */
    uint64_t live_max_streams; /* over HTTP, of all viewers */
    uint64_t live_viewer_streams; /* of one */
    uint64_t live_shared;         /* viewers that one address may stand for */
    uint64_t stale_s;             /* a picture older than this is not "activa" */
    uint64_t interval_s; /* between pictures, until it is known from arrivals */

    char *file; /* that was read; or NULL */
    struct hub_camera_config *cameras;
    size_t n_cameras;
    struct hub_nuc_config *nucs;
    size_t n_nucs;
};

/* The defaults: a hub without cameras, on port 8080.  Cannot fail. */
void hub_config_defaults(struct hub_config *c);

/*
 * Reads everything.  envp is as environ.  SIO_OK, or an error with a diag that names
 * the place and never a token; hub_config_fini is due in both cases.  With
 * HUB_MODE_HELP and _VERSION nothing but mode is set.
 */
int hub_config_init(struct hub_config *c, int argc, char *const argv[],
                    char *const envp[], struct sio_diag *diag);
void hub_config_fini(struct hub_config *c);

/* Reads a configuration file from memory; name is for errors. */
int hub_config_parse(struct hub_config *c, const char *name, struct sio_str text,
                     struct sio_diag *diag);

/* True for what may be part of a cluster_name. */
bool hub_config_is_cluster_name_char(char c);

/* The text of --help. */
const char *hub_config_usage(void);

#endif
