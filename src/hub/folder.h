/*
 * hub/folder.h - a folder of files that other programs read and write too
 *
 * Names come from requests, so a name is one segment and nothing is followed out of the
 * folder.  The folder is opened anew by each call: it may be replaced at any time.
 */
#ifndef HUB_FOLDER_H
#define HUB_FOLDER_H

#include <stdbool.h>
#include <sys/stat.h>

#include "http/file.h"

struct hub_folder {
    char *path; /* NULL: there is none; all is then SIO_ERR_NOT_FOUND */
};

/*
 * Takes the configured path or, where that is NULL, sub below state_dir (NULL: no
 * folder), and makes what is missing.  SIO_OK, or an error with diag.
 */
int hub_folder_init(struct hub_folder *f, const char *configured, const char *state_dir,
                    const char *sub, struct sio_diag *diag);
void hub_folder_fini(struct hub_folder *f);

/* One segment of at most 255 bytes of UTF-8, not hidden, no control characters. */
bool hub_folder_name_ok(struct sio_str name);

/* As http_file_open; SIO_ERR_IO also where the folder cannot be read. */
int hub_folder_open(const struct hub_folder *f, struct sio_str name,
                    struct http_file *out);

/*
 * To look for many names: a descriptor of the folder, which the caller closes, or -1; then
 * whether a regular file of that name is in it (in -1: never).
 */
int hub_folder_fd(const struct hub_folder *f);
bool hub_folder_has(int dir_fd, const char *name);

/* SIO_OK, SIO_ERR_NOT_FOUND (also for what is no regular file), SIO_ERR_IO. */
int hub_folder_remove(const struct hub_folder *f, struct sio_str name);

/*
 * Calls fn for each regular file whose name is in order, in the folder's order, until it
 * returns an error, which is returned then; else SIO_OK, also without a folder, or
 * SIO_ERR_IO.
 */
typedef int (*hub_folder_cb)(const char *name, const struct stat *st, int dir_fd,
                             void *user);
int hub_folder_each(const struct hub_folder *f, hub_folder_cb fn, void *user);

/*
 * Puts bytes in the place of the file called name, so that a crash at any moment leaves
 * the old or the new ones; the old file is kept as backup, if backup is not NULL.
 * SIO_OK, SIO_ERR_NOT_FOUND (no folder), SIO_ERR_IO with errno (a full disk; the old file
 * is there), SIO_ERR_INVAL.
 */
int hub_folder_write(const struct hub_folder *f, const char *name, const char *backup,
                     struct sio_str bytes);

#endif
