/*
 * engineio/jsonp.h - polling for browsers that cannot read replies of other origins
 *
 * A GET is answered with a script, a POST is the form that a browser submits:
 *
 *     ___eio[<index>]("<payload, as a string of JavaScript>");
 *     d=<payload, percent-encoded>
 *
 * Reads bytes and gives values; no I/O.  (Engine.IO protocol 3, "JSONP")
 */
#ifndef ENGINEIO_JSONP_H
#define ENGINEIO_JSONP_H

#include <stdbool.h>

#include <sioc/bytes.h>

#include "base/buf.h"

/* The `j` of a query: digits, as many as a page can have callbacks. */
#define EIO_JSONP_INDEX_MAX 999999999u
bool eio_jsonp_index(struct sio_str text, uint32_t *index);

/*
 * Writes the script.  The payload is UTF-8, joined of slices.  Errors are w's.
 */
void eio_jsonp_write(struct wbuf *w, uint32_t index, const struct sio_slice *payload,
                     size_t n);

/*
 * The payload that a form carries, owned by the caller.  The client writes a new line
 * as the two characters \n, and one more \ in front where the payload has these two.
 * SIO_OK, SIO_ERR_PARSE (no d, or not UTF-8), SIO_ERR_NOMEM.
 */
int eio_jsonp_form(struct sio_str form, struct sio_buf **out);

#endif
