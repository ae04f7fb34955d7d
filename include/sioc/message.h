/*
 * sioc/message.h - what an event carries, in and out
 *
 * Going out: a sio_message is an event with its arguments, made once and sent to one
 * socket or to thousands.  Arguments are cJSON values, raw JSON text, bytes that are
 * already in a buf (a relay never reparses), or binary.  Coming in: a sio_event gives
 * the arguments as raw JSON text, checked, and as cJSON where asked.
 */
#ifndef SIOC_MESSAGE_H
#define SIOC_MESSAGE_H

#include <stdbool.h>

#include <cjson/cJSON.h>

#include <sioc/bytes.h>
#include <sioc/loop.h>

#ifdef __cplusplus
extern "C" {
#endif

struct sio_message;

/*
 * An event with no arguments so far.  The first time that it is sent it is encoded
 * and ends growing: more arguments are then refused with SIO_ERR_INVAL, as is sending
 * one of the protocol's own names (connect, connect_error, disconnect, disconnecting,
 * newListener, removeListener).  NULL when out of memory.  The caller frees.
 */
SIOC_API struct sio_message *sio_message_new(const char *event);
SIOC_API void sio_message_free(struct sio_message *m); /* NULL is allowed */

/*
 * Each adds one argument.  A failure (out of memory, cJSON that cannot be printed) is
 * kept and returned by whatever sends the message; so the results may be ignored.  A
 * tree is printed with numbers in their shortest form, at most 128 levels deep; its
 * strings end at the first NUL, as cJSON's do.
 */
SIOC_API int sio_message_add_json(struct sio_message *m, const cJSON *value);
SIOC_API int sio_message_add_raw(struct sio_message *m,
                                 struct sio_str json); /* valid JSON, copied */
SIOC_API int sio_message_add_string(struct sio_message *m, struct sio_str utf8);
SIOC_API int sio_message_add_binary(struct sio_message *m,
                                    struct sio_slice bytes); /* referenced */

/*
 * Messages in one call: format has a letter for each argument.
 *
 *     s  const char *      a text; NULL is null
 *     S  struct sio_str    a text, or
 *     r  struct sio_str    one that is JSON already
 *     i  int
 *     I  int64_t
 *     f  double
 *     b  int               true or false
 *     n                    null; takes nothing
 *     j  const cJSON *
 *     B  struct sio_slice  binary
 *
 * Blanks are skipped.  What does not fit the letters goes wrong as with printf, and no
 * compiler looks.  There are also sio_socket_emitf, sio_namespace_emitf and
 * sio_client_socket_emitf.
 */

/* A message for the caller to send and free.  NULL: unknown letter, out of memory. */
SIOC_API struct sio_message *sio_message_newf(const char *event, const char *format,
                                              ...);

/* Adds to a message.  As the functions above; SIO_ERR_INVAL for an unknown letter. */
SIOC_API int sio_message_addf(struct sio_message *m, const char *format, ...);

/*
 * One argument in pieces, for text that is relayed without a copy: begin, then any of
 * text (copied), slice (referenced) and attachment (writes the placeholder), then
 * end.  The pieces joined must be one JSON value.
 */
SIOC_API void sio_message_begin(struct sio_message *m);
SIOC_API void sio_message_text(struct sio_message *m, struct sio_str piece);
SIOC_API void sio_message_slice(struct sio_message *m, struct sio_slice piece);
SIOC_API void sio_message_attachment(struct sio_message *m, struct sio_slice bytes);
SIOC_API int sio_message_end(struct sio_message *m);

/* See struct eio_msg_options. */
SIOC_API void sio_message_set_volatile(struct sio_message *m);
SIOC_API void sio_message_set_replace_key(struct sio_message *m, uint64_t key);
SIOC_API void sio_message_set_no_compress(struct sio_message *m);

/* An event or the answer to an ack, borrowed by the handler that gets it. */
struct sio_event;

/* Decoded; of an event whose name is a number, its digits; "" for an ack. */
SIOC_API struct sio_str sio_event_name(const struct sio_event *e);
SIOC_API size_t sio_event_n_args(const struct sio_event *e);
/*
 * The i-th argument as it arrived (placeholders included); ptr NULL past the end.
 * Cheap in any order for the first few, in ascending order for all.
 */
SIOC_API struct sio_str sio_event_arg(struct sio_event *e, size_t i);
/*
 * A tree of it, owned by the event, made on first use.  NULL: past the end, out of
 * memory.  cJSON's strings end at the first NUL and its numbers are doubles; the raw
 * text has all.
 */
SIOC_API const cJSON *sio_event_json(struct sio_event *e, size_t i);
/*
 * The bytes of sub, a part of some argument's text, as a slice to hold: large
 * messages are shared, not copied.
 */
SIOC_API struct sio_slice sio_event_slice(const struct sio_event *e,
                                          struct sio_str sub);
SIOC_API size_t sio_event_n_attachments(const struct sio_event *e);
SIOC_API struct sio_slice sio_event_attachment(const struct sio_event *e, size_t i);
/*
 * If value, an argument or a part of one, is a placeholder, its attachment's index;
 * else -1.
 */
SIOC_API int sio_event_placeholder(const struct sio_event *e, struct sio_str value);

/*
 * A copy that outlives the handler, without the wish for an ack; large text and
 * attachments are shared.  NULL: out of memory.  The caller frees.
 */
SIOC_API struct sio_event *sio_event_keep(const struct sio_event *e);
SIOC_API void sio_event_free(struct sio_event *e); /* a kept one; NULL is allowed */

/*
 * Adds all arguments from the first one on to m, attachments included: a relay.
 * Large text and attachments are referenced, nothing is parsed again.  An event
 * without attachments whose text holds what looks like a placeholder cannot go with
 * attachments: sending m is then SIO_ERR_PROTOCOL.
 */
SIOC_API int sio_message_add_event(struct sio_message *m, const struct sio_event *e,
                                   size_t first);

/*
 * The sender's wish for an ack.  Answer at once with sio_event_ack, or take it and
 * answer later.  An event that is neither answered nor taken when the handler returns
 * is answered by nobody.
 */
SIOC_API bool sio_event_wants_ack(const struct sio_event *e);
/*
 * m: arguments of the answer (its event name is not sent), or NULL for none.
 * Borrowed.
 */
SIOC_API int sio_event_ack(struct sio_event *e, struct sio_message *m);

/*
 * The same with a format, see sio_message_newf.  SIO_OK and nothing else where no ack is
 * asked for.
 */
SIOC_API int sio_event_ackf(struct sio_event *e, const char *format, ...);

struct sio_ack; /* a taken ack; outlives its socket safely */
/* NULL: none is wanted, 4096 are taken from this socket already, out of memory. */
SIOC_API struct sio_ack *sio_event_take_ack(struct sio_event *e);
/* Answers and frees; SIO_ERR_CLOSED when the socket has gone (freed all the same). */
SIOC_API int sio_ack_send(struct sio_ack *ack, struct sio_message *m);
SIOC_API void sio_ack_free(struct sio_ack *ack); /* never answers */

/*
 * The answer to an emit with ack, exactly once: status SIO_OK with e; SIO_ERR_TIMEOUT
 * or SIO_ERR_CLOSED (a client's also SIO_ERR_FULL) with e == NULL.
 */
typedef void (*sio_ack_cb)(int status, struct sio_event *e, void *user);

#ifdef __cplusplus
}
#endif
#endif
