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

void sio_cluster_msg_init(struct sio_cluster_msg *m);

/* Room for all texts of m that have escapes: so none moves.  json is all of m. */
int sio_cluster_text_room(struct sio_cluster_msg *m, struct sio_str json);

/*
 * MessagePack.  SIO_OK, SIO_ERR_PARSE, SIO_ERR_TOO_BIG, SIO_ERR_NOMEM.
 */

/* Passes one value, which *packet then is. */
int sio_cluster_keep(struct sio_msgpack_reader *r, struct sio_slice *packet);
/* One value as JSON, without bytes. */
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

#endif
