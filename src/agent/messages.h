/*
 * agent/messages.h - the events that go to the hub
 *
 * Names, fields and their order are those of the agents in the field.  Times are local,
 * without a zone.  Each function returns a message that the caller frees, or NULL when
 * out of memory.
 */
#ifndef AGENT_MESSAGES_H
#define AGENT_MESSAGES_H

#include <sioc/message.h>

#include "agent/network.h"

/*
 * ["nuc_register",{"nuc_id","camaras":[...],"timestamp","capacidades":["stream"],
 * "ip_local","red","version"}]; ids are camera names.  ip_local and red may be "".
 */
struct sio_message *agent_message_register(const char *nuc_id, const char *const *ids,
                                           size_t n_ids,
                                           const struct agent_network *network,
                                           int64_t wall_us);

/* ["frame",{"nuc_id","ip","timestamp","image":<jpeg>}], for live view. */
struct sio_message *agent_message_frame(const char *nuc_id, const char *id,
                                        struct sio_buf *jpeg, int64_t wall_us);

/*
 * ["snapshot",{"nuc_id","ip","image","timestamp","estado":"activa"}]; the picture is
 * written as base64 once, into the buf that the message refers to.
 */
struct sio_message *agent_message_snapshot(const char *nuc_id, const char *id,
                                           struct sio_buf *jpeg, int64_t wall_us);

/* ["snapshot_error",{"nuc_id","ip","error","timestamp"}]; event "stream_error": of live
 * view. */
struct sio_message *agent_message_error(const char *event, const char *nuc_id,
                                        const char *id, struct sio_str error,
                                        int64_t wall_us);

/* ["pong",{"nuc_id","timestamp"}] */
struct sio_message *agent_message_pong(const char *nuc_id, int64_t wall_us);

/* {"nuc_id","token"}, for the CONNECT packet; token may be NULL.  Owned by the caller. */
struct sio_buf *agent_message_auth(const char *nuc_id, const char *token);

/*
 * The largest JPEG whose snapshot message has at most max_payload bytes.  max_payload 0
 * (the hub did not say) stands for 1 000 000, the limit of the hubs that do not say it.
 */
size_t agent_message_max_jpeg(size_t max_payload, const char *nuc_id);

#endif
