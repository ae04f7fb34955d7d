#include <config.h>

#include "hub/folder.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/utf8.h"

#define NAME_MAX_BYTES 255

static int set_path(struct hub_folder *f, const char *configured, const char *state_dir,
                    const char *sub)
{
    size_t len;

    if (configured) {
        f->path = mem_strndup(configured, strlen(configured));
        return f->path ? SIO_OK : SIO_ERR_NOMEM;
    }
    len = strlen(state_dir) + strlen(sub) + 2;
    f->path = mem_alloc(len);
    if (!f->path)
        return SIO_ERR_NOMEM;
    snprintf(f->path, len, "%s/%s", state_dir, sub);
    return SIO_OK;
}

/* The folder and those above it. */
static int make_folders(const char *path)
{
    char *copy = mem_strndup(path, strlen(path));
    int rv = SIO_OK;

    if (!copy)
        return SIO_ERR_NOMEM;
    for (char *p = copy + 1; rv == SIO_OK; p++) {
        const char end = *p;

        if (end != '/' && end != '\0')
            continue;
        *p = '\0';
        if (mkdir(copy, end == '\0' ? 0750 : 0755) < 0 && errno != EEXIST)
            rv = SIO_ERR_IO;
        *p = end;
        if (end == '\0')
            break;
    }
    mem_free(copy);
    return rv;
}

int hub_folder_fd(const struct hub_folder *f)
{
    return f->path ? open(f->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;
}

int hub_folder_init(struct hub_folder *f, const char *configured, const char *state_dir,
                    const char *sub, struct sio_diag *diag)
{
    int fd;
    int rv;

    f->path = NULL;
    if (!configured && !state_dir)
        return SIO_OK;
    rv = set_path(f, configured, state_dir, sub);
    if (rv < 0)
        return sio_diag_set(diag, rv, "out of memory");
    rv = make_folders(f->path);
    if (rv < 0)
        return sio_diag_errno(diag, rv, "cannot make folder %s", f->path);
    fd = hub_folder_fd(f);
    if (fd < 0)
        return sio_diag_errno(diag, SIO_ERR_IO, "cannot read folder %s", f->path);
    close(fd);
    return SIO_OK;
}

void hub_folder_fini(struct hub_folder *f)
{
    mem_free(f->path);
    f->path = NULL;
}

bool hub_folder_name_ok(struct sio_str name)
{
    if (name.len == 0 || name.len > NAME_MAX_BYTES || name.ptr[0] == '.' ||
        !utf8_check(name.ptr, name.len))
        return false;
    for (size_t i = 0; i < name.len; i++) {
        unsigned char c = (unsigned char)name.ptr[i];

        if (c < ' ' || c == 0x7f || c == '/' || c == '\\')
            return false;
    }
    return true;
}

/*
 * The folder's descriptor, and name with a NUL behind it.  SIO_ERR_NOT_FOUND: no such
 * file; SIO_ERR_IO: that cannot be told now.
 */
static int enter(const struct hub_folder *f, struct sio_str name,
                 char text[NAME_MAX_BYTES + 1])
{
    int dir;

    if (!f->path || !hub_folder_name_ok(name))
        return SIO_ERR_NOT_FOUND;
    memcpy(text, name.ptr, name.len);
    text[name.len] = '\0';
    dir = hub_folder_fd(f);
    if (dir >= 0)
        return dir;
    return errno == ENOENT ? SIO_ERR_NOT_FOUND : SIO_ERR_IO;
}

int hub_folder_open(const struct hub_folder *f, struct sio_str name,
                    struct http_file *out)
{
    char text[NAME_MAX_BYTES + 1];
    int dir = enter(f, name, text);
    int rv;

    if (dir < 0)
        return dir;
    rv = http_file_open(dir, text, out);
    close(dir);
    return rv;
}

static bool is_regular(int dir, const char *name, struct stat *st)
{
    return fstatat(dir, name, st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISREG(st->st_mode);
}

bool hub_folder_has(int dir_fd, const char *name)
{
    struct stat st;

    return is_regular(dir_fd, name, &st);
}

int hub_folder_remove(const struct hub_folder *f, struct sio_str name)
{
    char text[NAME_MAX_BYTES + 1];
    int dir = enter(f, name, text);
    struct stat st;
    int rv = SIO_OK;

    if (dir < 0)
        return dir;
    if (!is_regular(dir, text, &st))
        rv = SIO_ERR_NOT_FOUND;
    else if (unlinkat(dir, text, 0) < 0)
        rv = errno == ENOENT ? SIO_ERR_NOT_FOUND : SIO_ERR_IO;
    close(dir);
    return rv;
}

int hub_folder_each(const struct hub_folder *f, hub_folder_cb fn, void *user)
{
    int fd = hub_folder_fd(f);
    DIR *dir = fd >= 0 ? fdopendir(fd) : NULL;
    const struct dirent *entry;
    struct stat st;
    int rv = SIO_OK;

    if (!dir) {
        if (fd >= 0)
            close(fd);
        return f->path && errno != ENOENT ? SIO_ERR_IO : SIO_OK;
    }
    while (rv == SIO_OK && (entry = readdir(dir)) != NULL)
        if (hub_folder_name_ok(sio_str_from(entry->d_name)) &&
            is_regular(fd, entry->d_name, &st))
            rv = fn(entry->d_name, &st, fd, user);
    closedir(dir);
    return rv;
}

/*
 * Writing.
 */

static bool write_all(int fd, struct sio_str bytes)
{
    while (bytes.len > 0) {
        ssize_t n = write(fd, bytes.ptr, bytes.len);

        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return false;
        bytes.ptr += n;
        bytes.len -= (size_t)n;
    }
    return true;
}

/* A new file with the bytes, on the disk when this returns. */
static bool write_new(int dir, const char *name, struct sio_str bytes)
{
    int fd =
        openat(dir, name, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0640);
    bool ok;

    if (fd < 0)
        return false;
    ok = write_all(fd, bytes) && fsync(fd) == 0;
    return close(fd) == 0 && ok;
}

/* The old file gets a second name; where that cannot be had there is no backup. */
static void keep_old(int dir, const char *name, const char *backup)
{
    if (unlinkat(dir, backup, 0) == 0 || errno == ENOENT)
        (void)!linkat(dir, name, dir, backup, 0);
}

int hub_folder_write(const struct hub_folder *f, const char *name, const char *backup,
                     struct sio_str bytes)
{
    char temp[NAME_MAX_BYTES + 1];
    int dir = hub_folder_fd(f);
    int rv = SIO_OK;

    if (dir < 0)
        return f->path ? SIO_ERR_IO : SIO_ERR_NOT_FOUND;
    if ((size_t)snprintf(temp, sizeof(temp), ".%s.tmp", name) >= sizeof(temp)) {
        rv = SIO_ERR_INVAL;
    } else if (!write_new(dir, temp, bytes)) {
        rv = SIO_ERR_IO;
    } else {
        if (backup)
            keep_old(dir, name, backup);
        if (renameat(dir, temp, dir, name) < 0 || fsync(dir) < 0)
            rv = SIO_ERR_IO;
    }
    if (rv < 0) {
        const int error = errno;

        unlinkat(dir, temp, 0);
        close(dir);
        errno = error; /* of what went wrong */
        return rv;
    }
    close(dir);
    return SIO_OK;
}
