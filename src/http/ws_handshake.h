/*
 * http/ws_handshake.h - the server's side of the WebSocket handshake, beside what
 * http/websocket.h declares
 */
#ifndef HTTP_WS_HANDSHAKE_H
#define HTTP_WS_HANDSHAKE_H

#include "http/websocket.h"

/* Queues the 101, with the fields that http_reply_field has added to r. */
int ws_handshake_answer(struct http_request *r);

#endif
