/*
 * hub/www.h - a frontend built by somebody else: a folder with an index.html
 *
 * Every path that names no file, and looks like none, gets index.html; nothing below
 * /api or /socket.io ever does.
 */
#ifndef HUB_WWW_H
#define HUB_WWW_H

#include <sioc/bytes.h>

struct hub;

struct hub_www {
    const char *dir; /* borrowed from the configuration; NULL: not in use */
    char *told;      /* what index.html gets behind its <head>, or NULL */
};

/* The last of the hub's routes.  SIO_OK, or an error with diag. */
int hub_www_init(struct hub_www *www, struct hub *hub, struct sio_diag *diag);
void hub_www_fini(struct hub_www *www);

/* The media type of a file name; never NULL. */
const char *hub_www_type(struct sio_str name);

#endif
