/*
 * hub/peers_wire.h - what hubs that act as one say to each other
 *
 * Each message is one JSON object.  On the channel <key>:hubs all hubs hear it, on
 * <key>:hub:<id> one:
 *
 *     {"type":"beat","hub":ID,"name":TEXT,"config":N,"version":N,"hello":BOOL,
 *      "heard":[[NUC_ID,US]...]}
 *     {"type":"nuc","hub":ID,"version":N,"nucs":[NUC]}         it came, or changed
 *     {"type":"gone","hub":ID,"version":N,"nuc":NUC_ID}        no socket of it is left
 *     {"type":"state","hub":ID,"version":N,"part":I,"parts":N,"nucs":[NUC...]}
 *     {"type":"bye","hub":ID}
 *     {"type":"picture","hub":ID,"ip":IP,"nuc":NUC_ID,"tag":N,"put":N,"shown":BOOL}
 *     {"type":"error","hub":ID,"ip":IP,"nuc":NUC_ID,"error":TEXT}
 *     {"type":"ask","hub":ID}                                  to one: tell your state
 *     {"type":"capture","hub":ID,"nuc":NUC_ID,"ip":IP}         to one: ask that agent
 *     {"type":"watch","hub":ID,"ip":IP}                        to one: send live pictures
 *     {"type":"unwatch","hub":ID,"ip":IP}
 *
 *     NUC: {"nuc":NUC_ID,"epoch":N,"connected":US,"heartbeat":US,"streams":BOOL,
 *           "ip_local":TEXT,"red":TEXT,"camaras":JSON}
 *
 * On <key>:live:<ip> there is a line, and behind it a JPEG or nothing:
 *
 *     {"type":"frame","hub":ID}\n<JPEG>
 *     {"type":"lost","hub":ID}\n
 *
 * hub is who says it.  Unknown members are passed over.  This is a pure codec: what is read
 * is checked, small and bounded, whoever sent it.
 */
#ifndef HUB_PEERS_WIRE_H
#define HUB_PEERS_WIRE_H

#include "base/json.h"
#include "base/random.h"
#include "hub/registry.h"

#define HUB_WIRE_MAX       ((size_t)1024 * 1024) /* bytes of a message */
#define HUB_WIRE_HEAD_MAX  256                   /* of what stands before a JPEG */
#define HUB_WIRE_PART      ((size_t)256 * 1024)  /* a state is cut there */
#define HUB_WIRE_PARTS_MAX 65536
#define HUB_WIRE_NAME_MAX  HUB_CLUSTER_NAME_MAX
#define HUB_WIRE_ERROR_MAX 4096                  /* of an error, as JSON */
#define HUB_WIRE_MAX_INT   ((uint64_t)1 << 53)   /* what every JSON reader can hold */
#define HUB_WIRE_MAX_DEPTH (JSON_MAX_DEPTH - 16) /* of the JSON that agents register */

enum hub_wire_type {
    HUB_WIRE_BEAT,
    HUB_WIRE_NUC,
    HUB_WIRE_GONE,
    HUB_WIRE_STATE,
    HUB_WIRE_BYE,
    HUB_WIRE_PICTURE,
    HUB_WIRE_ERROR,
    HUB_WIRE_ASK,
    HUB_WIRE_CAPTURE,
    HUB_WIRE_WATCH,
    HUB_WIRE_UNWATCH,
    HUB_WIRE_FRAME,
    HUB_WIRE_LOST,
    HUB_WIRE_N_TYPES,
};

/* Text is "" and numbers 0 where they are missing. */
struct hub_wire_msg {
    enum hub_wire_type type;
    char hub[RANDOM_ID_LEN + 1]; /* always there */
    char name[HUB_WIRE_NAME_MAX + 1];
    char nuc[HUB_ID_MAX + 1];
    char ip[HUB_ID_MAX + 1];
    uint64_t config; /* a fingerprint of the cameras that are configured there */
    uint64_t version;
    uint64_t part;
    uint64_t parts;
    struct hub_notice notice; /* tag, put */
    bool hello;
    bool shown;
    struct sio_str error; /* a JSON string; else ptr NULL */
    struct sio_str nucs;  /* raw arrays, borrowed from the text; else ptr NULL */
    struct sio_str heard;
};

/*
 * SIO_OK; SIO_ERR_NOMEM; SIO_ERR_TOO_BIG; SIO_ERR_PARSE: no such message, or what its type
 * must have is missing.
 */
int hub_wire_read(struct sio_str text, struct hub_wire_msg *out);

/* The head of a frame; *jpeg is what stands behind it. */
int hub_wire_read_frame(struct sio_slice body, struct hub_wire_msg *out,
                        struct sio_slice *jpeg);

/* An item of nucs.  The text is the struct's. */
struct hub_wire_nuc {
    char id[HUB_ID_MAX + 1];
    char ip_local[HUB_ADDRESS_MAX + 1];
    char red[HUB_ADDRESS_MAX + 1];
    uint64_t epoch;
    uint64_t connected_us;
    uint64_t heartbeat_us;
    bool streams;
    struct sio_str camaras; /* or ptr NULL */
};
int hub_wire_read_nuc(struct sio_str item, struct hub_wire_nuc *out);

/* An item of heard. */
int hub_wire_read_heard(struct sio_str item, char nuc[HUB_ID_MAX + 1], uint64_t *us);

/*
 * Writers.  Each message is begun, gets members, and ends with '}'; w->error says in the
 * end whether it was.
 */
void hub_wire_begin(struct wbuf *w, enum hub_wire_type type, const char *hub);
void hub_wire_text(struct wbuf *w, const char *name, const char *value);
void hub_wire_number(struct wbuf *w, const char *name, uint64_t value);
void hub_wire_true(struct wbuf *w, const char *name); /* false is left out */
void hub_wire_end(struct wbuf *w);

/* An item of nucs; of heard. */
void hub_wire_nuc(struct wbuf *w, const char *id, const struct hub_claim *c);
void hub_wire_heard(struct wbuf *w, const char *id, int64_t us);

#endif
