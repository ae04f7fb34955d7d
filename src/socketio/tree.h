/*
 * socketio/tree.h - cJSON trees as JSON text
 *
 * Beside cJSON's own printer: no recursion, numbers in the shortest form that reads
 * back the same, and straight into the message.
 */
#ifndef SOCKETIO_TREE_H
#define SOCKETIO_TREE_H

#include <cjson/cJSON.h>

#include "base/buf.h"

/*
 * Appends value to w.  SIO_OK; SIO_ERR_INVAL: NULL or an invalid item;
 * SIO_ERR_TOO_BIG: nested deeper than JSON_MAX_DEPTH; SIO_ERR_NOMEM.
 */
int sio_tree_write(struct wbuf *w, const cJSON *value);

#endif
