/*
 * fake_eio.h - stands in for the Engine.IO server: sessions without transports
 *
 * A test plays the client: it opens sessions, lets messages arrive, and reads what
 * was sent.  Linked instead of engineio/server.c and session.c.
 */
#ifndef TEST_FAKE_EIO_H
#define TEST_FAKE_EIO_H

#include <sioc/engineio.h>

/*
 * A client connects; the pointer is good until fake_reset.  All have the same handshake:
 * see eio_session_handshake and eio_session_field_at there.
 */
struct eio_session *fake_open(struct eio_server *engine);

/*
 * The same with protocol 3; its sid is "sid-of-twenty-chars-", behind "hub-1." where the
 * options have a sid_prefix.
 */
struct eio_session *fake_open_3(struct eio_server *engine);

/* A text or binary message arrives; borrowed, or as a slice. */
void fake_text(struct eio_session *s, const char *text);
void fake_text_slice(struct eio_session *s, struct sio_slice text);
void fake_binary(struct eio_session *s, const void *p, size_t len);

/* The client goes. */
void fake_close(struct eio_session *s, enum eio_close_reason reason);

/*
 * All that was sent since the last call, without the '4' of each: "a|b|<3 bytes>" for
 * two texts and an attachment.  Good until the next call.
 */
const char *fake_sent(struct eio_session *s);

/* Why it closed; -1: it is open.  True if it was cut without a word. */
int fake_closed(const struct eio_session *s);
bool fake_was_cut(const struct eio_session *s);

/* The next message to s finds the queue full and ends the session then and there. */
void fake_fail_send(struct eio_session *s);

/* Frees what sessions and texts are left. */
void fake_reset(void);

#endif
