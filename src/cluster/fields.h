/*
 * cluster/fields.h - the parts that messages between servers are made of
 *
 * Both kinds of messages (codec.h, message.h) have the same parts in different places.
 * MessagePack becomes JSON first, all but the packet, so that there is one reader.
 */
#ifndef CLUSTER_FIELDS_H
#define CLUSTER_FIELDS_H

#include "cluster/codec.h"
#include "socketio/msgpack.h"
#include "socketio/parser.h"

void sio_cluster_msg_init(struct sio_cluster_msg *m);

/* Room for all texts of m that have escapes: so none moves.  json is all of m. */
int sio_cluster_text_room(struct sio_cluster_msg *m, struct sio_str json);

/*
 * MessagePack.  SIO_OK, SIO_ERR_PARSE, SIO_ERR_TOO_BIG, SIO_ERR_NOMEM.
 */

/* Passes one value, which *packet then is. */
int sio_cluster_keep(struct sio_msgpack_reader *r, struct sio_slice *packet);
/* One value as JSON, where a placeholder that names nothing stands for bytes. */
int sio_cluster_add_value(struct sio_msgpack_reader *r, struct wbuf *json);
/* n members of a map as a JSON object in out->json, all but out->packet. */
int sio_cluster_map_to_json(struct sio_msgpack_reader *r, uint32_t n,
                            struct sio_cluster_msg *out);

/*
 * JSON: each takes a checked value.  SIO_OK, SIO_ERR_PARSE: it is of another kind;
 * SIO_ERR_TOO_BIG, SIO_ERR_NOMEM.
 */

/* UTF-8, and one object. */
int sio_cluster_check_object(struct sio_str json);

struct sio_cluster_field {
    struct sio_str name;
    int (*take)(struct sio_cluster_msg *m, struct sio_str value);
};
/* The members that fields names, which ends with one without take. */
int sio_cluster_take_object(struct sio_cluster_msg *m, struct sio_str object,
                            const struct sio_cluster_field *fields);

int sio_cluster_take_string(struct sio_cluster_msg *m, struct sio_str raw,
                            struct sio_str *out);
/* null: none. */
int sio_cluster_take_text(struct sio_cluster_msg *m, struct sio_str value,
                          struct sio_str *out);
int sio_cluster_take_number(struct sio_str value, uint32_t max, uint32_t *out);
int sio_cluster_take_names(struct sio_cluster_msg *m, struct sio_str value,
                           struct sio_cluster_names *out);

/* Into the field of that name. */
int sio_cluster_take_uid(struct sio_cluster_msg *m, struct sio_str value);
int sio_cluster_take_request_id(struct sio_cluster_msg *m, struct sio_str value);
int sio_cluster_take_opts(struct sio_cluster_msg *m, struct sio_str value);
int sio_cluster_take_opts_or_null(struct sio_cluster_msg *m, struct sio_str value);
int sio_cluster_take_rooms(struct sio_cluster_msg *m, struct sio_str value);
int sio_cluster_take_close(struct sio_cluster_msg *m, struct sio_str value);
int sio_cluster_take_count(struct sio_cluster_msg *m, struct sio_str value);
int sio_cluster_take_sockets(struct sio_cluster_msg *m, struct sio_str value);

/*
 * Writing, behind what w holds.  SIO_OK, SIO_ERR_NOMEM, or what went wrong when m was
 * built.
 */

/* The event as parser writes it, without Engine.IO's type; refs as in codec.h. */
int sio_cluster_add_encoded(struct wbuf *w, struct sio_cluster_refs *refs,
                            struct sio_str nsp, struct sio_message *m,
                            const struct sio_parser *parser);
/* For the above: the JSON array alone.  SIO_ERR_UNSUPPORTED: m has bytes. */
extern const struct sio_parser sio_cluster_payload_parser;
/* The first argument of an answer, as MessagePack. */
int sio_cluster_add_argument(struct wbuf *w, struct sio_event *e);
/* {rooms, except, flags} as MessagePack. */
void sio_cluster_add_opts(struct wbuf *w, const struct sio_target *target,
                          const struct sio_message *m, uint32_t timeout_ms);
/* `"rooms":[...],"except":[...]` */
void sio_cluster_add_target(struct wbuf *w, const struct sio_target *target);
/* A list, but for the `]` at its end. */
void sio_cluster_add_names(struct wbuf *w, const struct sio_str *names, size_t n);

/*
 * Showing what is inside; as sio_cluster_show_packet.
 */

/* As sio_cluster_show_event, of MessagePack. */
int sio_cluster_show_array(struct sio_slice array,
                           void (*fn)(struct sio_event *e, void *user), void *user);

#endif
