/*
 * hub/peers.h - the other hubs, where several act as one
 *
 * Each hub keeps what the others say of their NUCs as claims in its registry, so that no
 * request ever asks another hub.  A change is told at once, under a version that grows by
 * one; a beat each second repeats the version.  Who missed one, or does not know a hub yet,
 * asks it, and then it tells everybody all that it has.
 *
 * Nothing that is lost, doubled or late does harm: the newest claim counts, and versions
 * show what is missing.  A hub that is silent for SILENT_MS has died, but only while this
 * hub hears itself: when it does not, it is Redis that is away, or this hub that stood
 * still, and the others are kept as they were for AWAY_MS.
 */
#ifndef HUB_PEERS_H
#define HUB_PEERS_H

#include "cluster/bus.h"
#include "hub/peers_wire.h"
#include "hub/registry.h"
#include "net/loop.h"

#define HUB_PEERS_BEAT_MS   1000
#define HUB_PEERS_SILENT_MS 4000
#define HUB_PEERS_AWAY_MS   60000
#define HUB_PEERS_MAX       64 /* hubs beside this one */
#define HUB_PEERS_KEY_MAX   HUB_CLUSTER_KEY_MAX

struct hub_peer {
    struct map_node node;
    struct list link;   /* in peers.all */
    struct list claims; /* struct hub_claim.peer_link */
    uint64_t heard_ms;
    uint64_t asked_ms; /* 0: not */
    uint64_t version;  /* what is known of it, if known */
    bool known;
    uint64_t state;     /* the version of the state whose parts come */
    uint64_t next_part; /* of that; 0: none comes */
    char name[HUB_WIRE_NAME_MAX + 1];
    char id[RANDOM_ID_LEN + 1];
};

struct hub_peers_ops {
    /* Redis is there (again): what was said meanwhile was missed. */
    void (*on_up)(void *user);
    /* A NUC has gone from the registry because another hub, or its word, has. */
    void (*on_left)(void *user);
    /* It left or died: nothing it wanted is wanted any more. */
    void (*on_gone)(struct hub_peer *peer, void *user);
    /* What is not about who is there: pictures, questions, live view. */
    void (*on_message)(struct hub_peer *from, const struct hub_wire_msg *m, void *user);
};

struct hub_peers_stats {
    uint64_t n_rejected; /* what was no message */
    uint64_t n_unsent;
    uint64_t n_gaps;   /* messages that were missed */
    uint64_t n_states; /* told */
};

struct hub_peers {
    struct net_loop *loop;
    const struct log *log;
    struct cluster_bus *bus;
    struct hub_registry *registry;
    const struct hub_peers_ops *ops;
    void *user;
    const char *id;
    const char *name;
    uint64_t config;
    char key[HUB_PEERS_KEY_MAX + 1];
    struct cluster_topic everybody;
    struct cluster_topic myself;
    struct cluster_bus_watcher watcher;
    struct map by_id;
    struct list all;
    struct net_timer beat;
    struct net_timer tell;  /* the state */
    uint64_t version;       /* of what was said of this hub's NUCs */
    int64_t beat_us;        /* heartbeats up to then have been told */
    uint64_t told_ms;       /* the state; 0: never */
    uint64_t self_heard_ms; /* 0: never */
    bool answering;         /* the next beat is for a hub that said hello */
    bool stopped;
    struct log_limit limit_rejected;
    struct log_limit limit_hubs;
    struct hub_peers_stats stats;
};

struct hub_peers_options {
    struct cluster_bus *bus;
    struct hub_registry *registry; /* made with the same id */
    const struct hub_peers_ops *ops;
    void *user;
    const char *key;  /* of the channels */
    const char *id;   /* RANDOM_ID_LEN characters, borrowed */
    const char *name; /* for people, borrowed */
    uint64_t config;  /* a fingerprint of what should be the same on all hubs */
};

/* Says hello as soon as there is a Redis.  SIO_OK, or SIO_ERR_NOMEM (fini is due). */
int hub_peers_init(struct hub_peers *p, struct net_loop *loop,
                   const struct hub_peers_options *opts);
/* Says bye, once; hears and says nothing any more. */
void hub_peers_stop(struct hub_peers *p);
/* Stops, and forgets the others with their claims.  All zero is allowed. */
void hub_peers_fini(struct hub_peers *p);

/* A NUC has come to this hub, or registered; its last socket here is going. */
void hub_peers_tell(struct hub_peers *p, const struct hub_nuc *nuc);
void hub_peers_tell_gone(struct hub_peers *p, const struct hub_nuc *nuc);

/*
 * A message of this hub: begin, members, and hub_peers_send, which ends and frees it.  to
 * NULL: to all.  SIO_OK, or why nobody was told.
 */
void hub_peers_begin(struct hub_peers *p, struct wbuf *w, enum hub_wire_type type);
int hub_peers_send(struct hub_peers *p, struct hub_peer *to, struct wbuf *w);

/* For peers.c: the beat, and all that this hub has (peers_say.c). */
void hub_peers_beat(struct hub_peers *p, bool hello);
void hub_peers_tell_state(struct hub_peers *p);

/* Redis is there, and passes on what this hub says. */
bool hub_peers_up(const struct hub_peers *p);
/* Hubs, this one included. */
size_t hub_peers_n(const struct hub_peers *p);

/* Counts what was no message, and says so now and then. */
void hub_peers_reject(struct hub_peers *p, struct sio_str channel);

#endif
