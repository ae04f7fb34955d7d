/*
 * hub/registry.h - who is there: connected NUCs by nuc_id, cameras by ip
 *
 * Pictures are not here but in the store.  A camera is known from the configuration or
 * since something was heard of it; a NUC is known while a socket of it is connected, here
 * or, where hubs act as one (peers.h), to another hub.
 *
 * Each hub that an agent is connected to claims its NUC.  What is shown is the newest
 * claim: so an agent that moved, and whose old connection has not ended yet, is listed
 * once, and all hubs list the same.
 */
#ifndef HUB_REGISTRY_H
#define HUB_REGISTRY_H

#include <stdbool.h>
#include <stdint.h>

#include <sioc/bytes.h>

#include "base/list.h"
#include "base/map.h"
#include "hub/config.h"

#define HUB_ADDRESS_MAX       63    /* bytes of an address or network */
#define HUB_CAMARAS_MAX_BYTES 65536 /* of the list that a NUC registers */

/* Of what other hubs say, all together. */
#define HUB_REMOTE_MAX       65536
#define HUB_REMOTE_MAX_BYTES ((size_t)64 * 1024 * 1024)

/* Microseconds since 1970 up to the year 2112: room for what grows beyond the clock. */
#define HUB_EPOCH_MAX ((uint64_t)1 << 52)

struct hub_peer;

/* An agent's socket, in the struct of whoever knows sockets. */
struct hub_nuc_socket {
    struct list link;    /* in nuc.sockets; list_init at the start */
    struct hub_nuc *nuc; /* NULL: not attached */
};

/* What one hub says of a NUC. */
struct hub_claim {
    struct list link;      /* in nuc.claims */
    struct list peer_link; /* in the peer's claims */
    struct hub_nuc *nuc;
    struct hub_peer *peer; /* whose claim it is; NULL: this hub's */
    const char *hub;       /* its id, which decides between equal epochs */
    uint64_t epoch;        /* grows with each connection of the NUC, to any hub */
    bool listed;           /* for the peer's use */

    struct sio_buf *camaras; /* as registered, JSON; NULL: not yet */
    int64_t connected_us;    /* since 1970 */
    int64_t heartbeat_us;
    bool streams;                       /* it can send live pictures */
    char ip_local[HUB_ADDRESS_MAX + 1]; /* its own address, as it says; or "" */
    char red[HUB_ADDRESS_MAX + 1];      /* its network, 192.168.77.0/24; or "" */
};

struct hub_nuc {
    struct map_node node;
    struct list link;      /* in registry.nucs, in order of connection */
    struct list sockets;   /* of nuc_socket, newest last; of this hub only */
    struct list cameras;   /* of camera.agent_link */
    struct list claims;    /* never empty */
    struct hub_claim *now; /* the newest one */
    struct hub_claim own;  /* in claims while sockets is not empty */
    char id[];
};

/* A picture of another hub: what it looks like, and its number there.  0: not known. */
struct hub_notice {
    uint64_t tag;
    uint64_t put;
};

struct hub_camera {
    struct map_node node;
    struct list link;       /* in registry.cameras, by id */
    struct list agent_link; /* in nuc.cameras */
    struct hub_nuc *agent;  /* who sends it, while connected; or NULL */
    uint64_t id;            /* for the API; in a cluster the same on all hubs */
    uint32_t number;        /* 1, 2, ...: never used again */
    bool configured;
    char *nombre; /* configured, or NULL */
    char *nuc;    /* configured, or NULL */

    /* To notice an agent that has stopped sending (EVENTS: "capture_snapshot"). */
    uint64_t heard_ms;    /* last picture, error or registration */
    uint64_t asked_ms;    /* last time that a picture was asked for; 0: none since */
    uint32_t interval_ms; /* between pictures, estimated */
    uint32_t n_asked;     /* in vain, since it was last heard of */

    /* Fetching what another hub has put (relay.c). */
    bool fetching;
    struct hub_notice next; /* of the newest one that it has put since */
    bool untold[2]; /* an error, a picture: others have not heard of the last one */
    struct hub_notice shown; /* of the one that was shown last, if that is known */

    /* The picture as bytes, made when first asked for, of that version in the store. */
    struct sio_buf *jpeg;
    uint64_t jpeg_version;
    uint64_t jpeg_ms; /* when it was made */
    char ip[];
};

struct hub_registry {
    struct map nucs_by_id;
    struct list nucs;
    struct map cameras_by_ip;
    struct list cameras; /* by id */
    uint32_t last_number;
    size_t max_cameras;
    uint32_t default_interval_ms;

    /* Where there are other hubs (peers.h). */
    const char *hub;       /* the id of this one; "": there are no others */
    size_t n_remote;       /* claims of others */
    size_t n_remote_bytes; /* of their lists of cameras */
    /* The NUC is now another hub's, or was and is going. */
    void (*on_moved)(struct hub_nuc *nuc, void *user);
    void *moved_user;
};

/*
 * Takes the cameras of the configuration.  hub: this hub's id among others, borrowed; "":
 * there are no others.  SIO_OK or SIO_ERR_NOMEM (fini is due then too).
 */
int hub_registry_init(struct hub_registry *r, const struct hub_config *config,
                      const char *hub);
void hub_registry_fini(struct hub_registry *r);

/*
 * Attaches a socket to the NUC of that id, which is made if it is not there.  NULL when
 * out of memory.  Detaching the last socket ends the NUC.
 */
struct hub_nuc *hub_registry_attach(struct hub_registry *r, struct hub_nuc_socket *s,
                                    struct sio_str id, int64_t now_us, uint64_t now_ms);
void hub_registry_detach(struct hub_registry *r, struct hub_nuc_socket *s,
                         uint64_t now_ms);
/* True if it is the NUC's only one: detaching it ends this hub's claim. */
bool hub_registry_is_last(const struct hub_nuc_socket *s);
struct hub_nuc *hub_registry_find_nuc(const struct hub_registry *r, struct sio_str id);
size_t hub_registry_n_nucs(const struct hub_registry *r);

/* True if its agent is connected to another hub, as far as is known here. */
static inline bool hub_nuc_is_remote(const struct hub_nuc *nuc)
{
    return nuc->now->peer != NULL;
}

/*
 * What another hub says of a NUC, in place of what it said of it before.  The claim is in
 * peer_claims until it ends; hub is the peer's id and lives as long.  camaras: checked
 * JSON, or ptr NULL.  SIO_OK; SIO_ERR_TOO_BIG: others claim too much already; SIO_ERR_NOMEM:
 * nothing was changed, or the list of cameras is missing.
 */
struct hub_report {
    struct sio_str id;
    uint64_t epoch;
    int64_t connected_us;
    int64_t heartbeat_us;
    bool streams;
    const char *ip_local;
    const char *red;
    struct sio_str camaras;
};
int hub_registry_claim(struct hub_registry *r, struct hub_peer *peer, const char *hub,
                       struct list *peer_claims, const struct hub_report *report,
                       uint64_t now_ms);
struct hub_claim *hub_registry_find_claim(const struct hub_registry *r,
                                          const struct hub_peer *peer,
                                          struct sio_str id);
/* Ends another hub's claim; the NUC goes with the last one. */
void hub_registry_unclaim(struct hub_registry *r, struct hub_claim *c, uint64_t now_ms);

/*
 * Notes what the NUC registered here (checked JSON) and whose cameras these are.  SIO_OK;
 * SIO_ERR_TOO_BIG above HUB_CAMARAS_MAX_BYTES; SIO_ERR_NOMEM.
 */
int hub_registry_set_camaras(struct hub_registry *r, struct hub_nuc *nuc,
                             struct sio_str camaras, uint64_t now_ms);

/* True for an ip that a camera may have: it goes into paths and log lines. */
bool hub_registry_check_ip(struct sio_str ip);

struct hub_camera *hub_registry_find_camera(const struct hub_registry *r,
                                            struct sio_str ip);

/*
 * The same, and makes it if it is new.  Where there are max_cameras, the one that was
 * silent for longest makes room; a configured or connected one never does.  NULL: no
 * room, or no memory.
 */
struct hub_camera *hub_registry_camera(struct hub_registry *r, struct sio_str ip,
                                       uint64_t now_ms);

/* The NUC that has the camera, or is configured to, if it is connected; else NULL. */
struct hub_nuc *hub_registry_agent_of(const struct hub_registry *r, struct sio_str ip);

/*
 * A picture (or an error) of the camera has come from agent (NULL: from nobody known).
 */
void hub_registry_heard(struct hub_camera *c, struct hub_nuc *agent, bool picture,
                        uint64_t now_ms);

/*
 * True if the camera's agent is connected here and has sent neither picture nor error for two
 * intervals: then it should be asked, and is noted as asked.
 */
bool hub_registry_should_ask(struct hub_camera *c, uint64_t now_ms);

/*
 * The picture as bytes: a reference is taken; dropped, as it must be when there is another
 * picture; dropped of all cameras where it was made a while ago.
 */
void hub_registry_keep_jpeg(struct hub_camera *c, struct sio_buf *jpeg,
                            uint64_t version, uint64_t now_ms);
void hub_registry_drop_jpeg(struct hub_camera *c);
void hub_registry_drop_old_jpegs(struct hub_registry *r, uint64_t now_ms);

/* For registry.c: the other half of it is in registry_cameras.c. */
void hub_registry_set_agent(struct hub_camera *c, struct hub_nuc *agent);
int hub_registry_add_configured(struct hub_registry *r,
                                const struct hub_config *config);
void hub_registry_drop_cameras(struct hub_registry *r);

#endif
