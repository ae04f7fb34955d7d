/*
 * hub/registry.h - who is there: connected NUCs by nuc_id, cameras by ip
 *
 * Pictures are not here but in the store.  A camera is known from the configuration or
 * since something was heard of it; a NUC is known while a socket of it is connected.
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

/* An agent's socket, in the struct of whoever knows sockets. */
struct hub_nuc_socket {
    struct list link;    /* in nuc.sockets; list_init at the start */
    struct hub_nuc *nuc; /* NULL: not attached */
};

struct hub_nuc {
    struct map_node node;
    struct list link;        /* in registry.nucs, in order of connection */
    struct list sockets;     /* of nuc_socket, newest last; never empty */
    struct list cameras;     /* of camera.agent_link */
    struct sio_buf *camaras; /* as registered, JSON; NULL: not yet */
    int64_t connected_us;    /* since 1970 */
    int64_t heartbeat_us;
    bool streams;                       /* it can send live pictures */
    char ip_local[HUB_ADDRESS_MAX + 1]; /* its own address, as it says; or "" */
    char red[HUB_ADDRESS_MAX + 1];      /* its network, 192.168.77.0/24; or "" */
    char id[];
};

struct hub_camera {
    struct map_node node;
    struct list link;       /* in registry.cameras, by id */
    struct list agent_link; /* in nuc.cameras */
    struct hub_nuc *agent;  /* who sends it, while connected; or NULL */
    uint32_t id;            /* 1, 2, ...: never used again */
    bool configured;
    char *nombre; /* configured, or NULL */
    char *nuc;    /* configured, or NULL */

    /* To notice an agent that has stopped sending (EVENTS: "capture_snapshot"). */
    uint64_t heard_ms;    /* last picture, error or registration */
    uint64_t asked_ms;    /* last time that a picture was asked for; 0: none since */
    uint32_t interval_ms; /* between pictures, estimated */
    uint32_t n_asked;     /* in vain, since it was last heard of */

    /* The picture as bytes, made when first asked for, of that version in the store. */
    struct sio_buf *jpeg;
    uint64_t jpeg_version;
    char ip[];
};

struct hub_registry {
    struct map nucs_by_id;
    struct list nucs;
    struct map cameras_by_ip;
    struct list cameras;
    uint32_t last_id;
    size_t max_cameras;
    uint32_t default_interval_ms;
};

/*
 * Takes the cameras of the configuration.  SIO_OK or SIO_ERR_NOMEM (fini is due then
 * too).
 */
int hub_registry_init(struct hub_registry *r, const struct hub_config *config);
void hub_registry_fini(struct hub_registry *r);

/*
 * Attaches a socket to the NUC of that id, which is made if it is not there.  NULL when
 * out of memory.  Detaching the last socket ends the NUC.
 */
struct hub_nuc *hub_registry_attach(struct hub_registry *r, struct hub_nuc_socket *s,
                                    struct sio_str id, int64_t now_us);
void hub_registry_detach(struct hub_registry *r, struct hub_nuc_socket *s);
struct hub_nuc *hub_registry_find_nuc(const struct hub_registry *r, struct sio_str id);
size_t hub_registry_n_nucs(const struct hub_registry *r);

/*
 * Notes what the NUC registered (checked JSON) and whose cameras these are.  SIO_OK;
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

/*
 * A picture (or an error) of the camera has come from agent (NULL: from nobody known).
 */
void hub_registry_heard(struct hub_camera *c, struct hub_nuc *agent, bool picture,
                        uint64_t now_ms);

/*
 * True if the camera's agent is there and has sent neither picture nor error for two
 * intervals: then it should be asked, and is noted as asked.
 */
bool hub_registry_should_ask(struct hub_camera *c, uint64_t now_ms);

/* Drops the decoded picture. */
void hub_registry_drop_jpeg(struct hub_camera *c);

#endif
