/*
 * base/file.h - a whole file, bounded
 */
#ifndef BASE_FILE_H
#define BASE_FILE_H

#include <stddef.h>

#include <sioc/error.h>

/*
 * Reads at most max bytes; *out (NUL-terminated behind *len) is the caller's to
 * mem_free.  SIO_ERR_NOT_FOUND if there is no such file, SIO_ERR_IO, SIO_ERR_TOO_BIG,
 * SIO_ERR_NOMEM, with diag filled.
 */
int file_read(const char *path, size_t max, char **out, size_t *len,
              struct sio_diag *diag);

#endif
