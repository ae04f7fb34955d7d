/*
 * socketio/bundle.h - the JavaScript client for browsers, served from memory
 */
#ifndef SOCKETIO_BUNDLE_H
#define SOCKETIO_BUNDLE_H

#include "http/routes.h"

/*
 * Reads the client's files that are in dir and serves them below path.  An error with diag
 * filled: there is no such folder, none of the files is in it, out of memory.
 */
int sio_bundle_serve(struct sio_http *http, const char *dir, const char *path,
                     struct sio_diag *diag);

#endif
