#include <config.h>

#include "base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "base/mem.h"

#define CHUNK 16384

/* Twice the room; what was read may be secret and is not left behind. */
static int grow(char **text, size_t len, size_t *cap)
{
    size_t larger = *cap * 2 + CHUNK + 1;
    char *copy = mem_raw(larger);

    if (!copy)
        return SIO_ERR_NOMEM;
    if (len > 0) {
        memcpy(copy, *text, len);
        explicit_bzero(*text, len);
    }
    mem_free(*text);
    *text = copy;
    *cap = larger;
    return SIO_OK;
}

/* Until the end or max + 1 bytes, which shows that there is more than max. */
static int read_all(int fd, size_t max, char **text, size_t *len)
{
    size_t cap = 0;

    while (*len <= max) {
        ssize_t n;

        if (cap - *len < CHUNK + 1 && grow(text, *len, &cap) < 0)
            return SIO_ERR_NOMEM;
        n = read(fd, *text + *len, CHUNK);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return SIO_ERR_IO;
        if (n == 0) {
            (*text)[*len] = '\0';
            return SIO_OK;
        }
        *len += (size_t)n;
    }
    return SIO_ERR_TOO_BIG;
}

int file_read(const char *path, size_t max, char **out, size_t *len,
              struct sio_diag *diag)
{
    char *text = NULL;
    int rv;
    int fd = open(path, O_RDONLY | O_CLOEXEC);

    if (fd < 0)
        return sio_diag_errno(diag, errno == ENOENT ? SIO_ERR_NOT_FOUND : SIO_ERR_IO,
                              "%s", path);
    *len = 0;
    rv = read_all(fd, max, &text, len);
    if (rv == SIO_ERR_IO)
        sio_diag_errno(diag, rv, "%s", path);
    else if (rv == SIO_ERR_TOO_BIG)
        sio_diag_set(diag, rv, "%s: larger than %zu bytes", path, max);
    else if (rv < 0)
        sio_diag_set(diag, rv, "%s: out of memory", path);
    close(fd);
    if (rv < 0) {
        if (text)
            explicit_bzero(text, *len);
        mem_free(text);
        return rv;
    }
    *out = text;
    return SIO_OK;
}
