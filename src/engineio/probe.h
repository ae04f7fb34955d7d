/*
 * engineio/probe.h - an upgrade under way: a WebSocket that is tried beside polling
 *
 * Polling stays in charge until the client's "5"; so nothing is lost when the
 * WebSocket fails.  A session that is CLOSING keeps its attempt: the client may have
 * stopped polling.  (Engine.IO protocol 4, "Upgrade")
 */
#ifndef ENGINEIO_PROBE_H
#define ENGINEIO_PROBE_H

#include "engineio/session.h"

/*
 * Attaches the WebSocket that r asks for to s, which is on polling and not probing.
 * r is dead either way; on failure nothing else has changed.
 */
void eio_probe_begin(struct eio_session *s, struct http_request *r);

/* A frame on the WebSocket t that s is probing. */
void eio_probe_frame(struct eio_session *s, bool text, struct sio_slice frame);

/* The WebSocket has gone by itself (its transport too): polling goes on. */
void eio_probe_lost(struct eio_session *s);

/* Ends the attempt, if there is one; the WebSocket is closed. */
void eio_probe_end(struct eio_session *s);

#endif
