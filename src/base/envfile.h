/*
 * base/envfile.h - `.env` files: NAME=value, a line each
 *
 * `#` begins a comment at the start of a line or behind a blank; a leading `export`
 * is allowed.  A value may stand in single quotes (taken as it is) or in double
 * quotes (\\, \", \n, \t are replaced); without quotes blanks at its ends are
 * dropped.  Nothing is expanded.
 */
#ifndef BASE_ENVFILE_H
#define BASE_ENVFILE_H

#include <sioc/bytes.h>

#define ENVFILE_MAX_BYTES (64 * 1024)

/* name and value are NUL-terminated and borrowed.  A negative result ends the reading. */
typedef int (*envfile_cb)(const char *name, const char *value, unsigned line,
                          void *user);

/*
 * Parses len bytes, calling cb for each assignment in order.  SIO_OK, what cb
 * returned, SIO_ERR_TOO_BIG, SIO_ERR_NOMEM, or SIO_ERR_PARSE with `FILE:LINE: ...` in
 * diag, which never shows a value.
 */
int envfile_parse(const char *file, const char *text, size_t len, envfile_cb cb,
                  void *user, struct sio_diag *diag);

/* Reads the file, then as above.  SIO_ERR_NOT_FOUND if there is none, SIO_ERR_IO. */
int envfile_read(const char *file, envfile_cb cb, void *user, struct sio_diag *diag);

#endif
