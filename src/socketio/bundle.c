#include <config.h>

#include "socketio/bundle.h"

#include <fcntl.h>
#include <unistd.h>

#include "base/buf.h"
#include "http/file.h"

#define MAX_FILE (8 << 20)

#define SCRIPT   "text/javascript; charset=utf-8"
#define MAP      "application/json; charset=utf-8"

static const struct {
    const char *name, *type;
} files[] = {
    {"socket.io.js", SCRIPT},
    {"socket.io.js.map", MAP},
    {"socket.io.min.js", SCRIPT},
    {"socket.io.min.js.map", MAP},
    {"socket.io.esm.min.js", SCRIPT},
    {"socket.io.esm.min.js.map", MAP},
    {"socket.io.msgpack.min.js", SCRIPT},
    {"socket.io.msgpack.min.js.map", MAP},
};

/* A file of the folder, or NULL. */
static struct sio_buf *read_file(int dir_fd, const char *name)
{
    struct http_file f;
    struct sio_buf *b;

    if (http_file_open(dir_fd, name, &f) < 0)
        return NULL;
    b = http_file_read(&f, MAX_FILE);
    http_file_close(&f);
    return b;
}

static int serve(struct sio_http *http, const char *path, size_t i, struct sio_buf *b)
{
    struct wbuf w;
    int rv;

    wbuf_init(&w, UINT32_MAX);
    wbuf_add_cstr(&w, path);
    wbuf_add(&w, files[i].name, strlen(files[i].name) + 1);
    rv = w.error;
    if (rv == SIO_OK)
        rv = sio_http_page_first(http, wbuf_str(&w).ptr, files[i].type, b);
    wbuf_fini(&w);
    return rv;
}

int sio_bundle_serve(struct sio_http *http, const char *dir, const char *path,
                     struct sio_diag *diag)
{
    int dir_fd = open(dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
    int n = 0, rv = SIO_OK;

    if (dir_fd < 0)
        return sio_diag_errno(diag, SIO_ERR_IO, "the JavaScript client in %s", dir);
    for (size_t i = 0; i < N_ELEMENTS(files) && rv == SIO_OK; i++) {
        struct sio_buf *b = read_file(dir_fd, files[i].name);

        if (!b)
            continue;
        rv = serve(http, path, i, b);
        sio_buf_unref(b);
        n++;
    }
    close(dir_fd);
    if (rv < 0)
        return sio_diag_set(diag, rv, "out of memory");
    if (n == 0)
        return sio_diag_set(diag, SIO_ERR_NOT_FOUND, "%s: no socket.io.js in it", dir);
    return SIO_OK;
}
