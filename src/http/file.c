#include <config.h>

#include "http/file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/mem.h"
#include "base/str.h"
#include "http/connection.h"

/* A body up to this is read at once; larger ones are read in pieces of it. */
#define PIECE (128 * 1024)

/* A body on its way; its request owns it. */
struct http_download {
    int fd;
    uint64_t at;
    uint64_t left;
};

int http_file_open(int dir_fd, const char *name, struct http_file *f)
{
    struct stat st;

    /* O_NONBLOCK: the open of a pipe would wait for its writer. */
    f->fd =
        openat(dir_fd, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC | O_NOCTTY);
    if (f->fd < 0) {
        if (errno == EMFILE || errno == ENFILE || errno == ENOMEM || errno == EIO)
            return SIO_ERR_IO;
        return SIO_ERR_NOT_FOUND;
    }
    if (fstat(f->fd, &st) < 0 || !S_ISREG(st.st_mode)) {
        http_file_close(f);
        return SIO_ERR_NOT_FOUND;
    }
    f->size = (uint64_t)st.st_size;
    f->inode = (uint64_t)st.st_ino;
    f->mtime_ns = (int64_t)st.st_mtim.tv_sec * 1000000000 + st.st_mtim.tv_nsec;
    return SIO_OK;
}

void http_file_close(struct http_file *f)
{
    if (f->fd >= 0)
        close(f->fd);
    f->fd = -1;
}

/*
 * Conditions.
 */

#define ETAG_SIZE 64

static struct sio_str write_etag(const struct http_file *f, char out[ETAG_SIZE])
{
    int len =
        snprintf(out, ETAG_SIZE, "\"%llx-%llx-%llx\"", (unsigned long long)f->inode,
                 (unsigned long long)f->size, (unsigned long long)f->mtime_ns);

    return (struct sio_str){out, (size_t)len};
}

/* Weak comparison: what a W/ stands before counts as well. */
static bool list_names(struct sio_str list, struct sio_str etag, bool weak)
{
    while (list.ptr) {
        struct sio_str item = str_trim(str_cut(&list, ','));

        if (str_eq_cstr(item, "*"))
            return true;
        if (weak && str_starts(item, SIO_STR("W/")))
            item = (struct sio_str){item.ptr + 2, item.len - 2};
        if (str_eq(item, etag))
            return true;
    }
    return false;
}

static int64_t mtime_s(const struct http_file *f)
{
    return f->mtime_ns / 1000000000;
}

/* False also for what is no date: then there is no condition. */
static bool changed_since(const struct http_file *f, struct sio_str date, bool *known)
{
    int64_t s = date.ptr ? clock_parse_http(date.ptr, date.len) : -1;

    *known = s >= 0;
    return *known && mtime_s(f) > s;
}

/* 0, or 304 or 412 (RFC 9110, 13.2.2, in its order). */
static int check_conditions(const struct http_request *r, const struct http_file *f,
                            struct sio_str etag)
{
    struct sio_str match = http_request_field(r, "If-Match");
    struct sio_str none_match = http_request_field(r, "If-None-Match");
    bool known;

    if (match.ptr) {
        if (!list_names(match, etag, false))
            return 412;
    } else if (changed_since(f, http_request_field(r, "If-Unmodified-Since"), &known)) {
        return 412;
    }
    if (none_match.ptr)
        return list_names(none_match, etag, true) ? 304 : 0;
    if (!changed_since(f, http_request_field(r, "If-Modified-Since"), &known) && known)
        return 304;
    return 0;
}

/* If-Range holds if it names what the client has a part of (13.1.5). */
static bool range_holds(const struct http_request *r, const struct http_file *f,
                        struct sio_str etag)
{
    struct sio_str field = http_request_field(r, "If-Range");

    if (!field.ptr)
        return true;
    if (field.len > 0 && field.ptr[0] == '"')
        return str_eq(field, etag);
    return clock_parse_http(field.ptr, field.len) == mtime_s(f);
}

/*
 * Ranges.
 */

/* Digits of any number: more than can be is UINT64_MAX. */
static bool parse_position(struct sio_str s, uint64_t *out)
{
    int rv;

    for (size_t i = 0; i < s.len; i++)
        if (s.ptr[i] < '0' || s.ptr[i] > '9')
            return false;
    rv = str_to_u64(s, UINT64_MAX, out);
    if (rv == SIO_ERR_TOO_BIG)
        *out = UINT64_MAX;
    return rv == SIO_OK || rv == SIO_ERR_TOO_BIG;
}

static enum http_range parse_suffix(struct sio_str text, uint64_t size, uint64_t *first,
                                    uint64_t *last)
{
    uint64_t n;

    if (!parse_position(text, &n))
        return HTTP_RANGE_NONE;
    if (n == 0 || size == 0)
        return HTTP_RANGE_BAD;
    *first = n < size ? size - n : 0;
    *last = size - 1;
    return HTTP_RANGE_ONE;
}

enum http_range http_range_parse(struct sio_str field, uint64_t size, uint64_t *first,
                                 uint64_t *last)
{
    struct sio_str rest = field;
    struct sio_str unit = str_trim(str_cut(&rest, '='));
    struct sio_str from, to;

    if (!rest.ptr || !str_ieq(unit, SIO_STR("bytes")))
        return HTTP_RANGE_NONE;
    if (str_find(rest, ',') < rest.len)
        return HTTP_RANGE_BAD;
    to = str_trim(rest);
    from = str_trim(str_cut(&to, '-'));
    if (!to.ptr)
        return HTTP_RANGE_NONE;
    to = str_trim(to);
    if (from.len == 0)
        return parse_suffix(to, size, first, last);
    if (!parse_position(from, first))
        return HTTP_RANGE_NONE;
    *last = UINT64_MAX;
    if (to.len > 0 && !parse_position(to, last))
        return HTTP_RANGE_NONE;
    if (*first >= size || *last < *first)
        return HTTP_RANGE_BAD;
    if (*last >= size)
        *last = size - 1;
    return HTTP_RANGE_ONE;
}

/*
 * The body.
 */

/* One piece as a buf, or NULL: the file has become shorter, or cannot be read. */
static struct sio_buf *read_piece(int fd, uint64_t at, size_t len)
{
    struct sio_buf *b = sio_buf_new(len);
    size_t got = 0;

    while (b && got < len) {
        ssize_t n =
            pread(fd, sio_buf_data(b) + got, len - got, (off_t)(at + (uint64_t)got));

        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0) {
            sio_buf_unref(b);
            return NULL;
        }
        got += (size_t)n;
    }
    return b;
}

struct sio_buf *http_file_read(const struct http_file *f, size_t max)
{
    return f->size <= max ? read_piece(f->fd, 0, (size_t)f->size) : NULL;
}

void http_download_free(struct http_download *d)
{
    if (!d)
        return;
    close(d->fd);
    mem_free(d);
}

/* Sends until the connection has enough.  r may be dead afterwards. */
static int pump(struct http_request *r)
{
    struct http_download *d = r->download;

    while (d->left > 0 && !net_conn_full(http_request_conn(r))) {
        size_t len = d->left < PIECE ? (size_t)d->left : PIECE;
        struct sio_buf *piece = read_piece(d->fd, d->at, len);
        struct sio_slice slice;
        int rv;

        if (!piece) { /* the length is promised: only a cut can tell */
            http_stream_cut(r);
            return SIO_ERR_IO;
        }
        slice = sio_slice_of(piece);
        rv = http_stream_send(r, &slice, 1);
        sio_buf_unref(piece);
        if (rv < 0)
            return rv;
        d->at += len;
        d->left -= len;
    }
    if (d->left == 0)
        http_stream_end(r);
    return SIO_OK;
}

static void on_drain(struct http_request *r, void *user)
{
    (void)user;
    pump(r);
}

static int send_large(struct http_request *r, struct http_file *f, int status,
                      const char *type, uint64_t at, uint64_t len)
{
    struct http_download *d = mem_new(struct http_download);
    int rv;

    if (!d) {
        http_file_close(f);
        return http_reply_error(r, 500, "out of memory");
    }
    *d = (struct http_download){f->fd, at, len};
    f->fd = -1;
    r->download = d;
    rv = http_stream_begin_sized(r, status, type, len, on_drain, NULL);
    return rv < 0 ? rv : pump(r);
}

static int send_small(struct http_request *r, struct http_file *f, int status,
                      const char *type, uint64_t at, size_t len)
{
    struct sio_buf *body = read_piece(f->fd, at, len);
    struct sio_slice slice;
    int rv;

    http_file_close(f);
    if (!body)
        return http_reply_error(r, 500, "the file cannot be read");
    slice = sio_slice_of(body);
    rv = http_reply(r, status, type, &slice, len > 0);
    sio_buf_unref(body);
    return rv;
}

static int send_body(struct http_request *r, struct http_file *f, int status,
                     const char *type, uint64_t at, uint64_t len)
{
    int rv;

    if (http_request_is_head(r)) {
        http_file_close(f);
        rv = http_stream_begin_sized(r, status, type, len, NULL, NULL);
        return rv == SIO_ERR_CLOSED ? SIO_OK : rv;
    }
    if (len > PIECE)
        return send_large(r, f, status, type, at, len);
    return send_small(r, f, status, type, at, (size_t)len);
}

static void add_fields(struct http_request *r, const struct http_file *f,
                       const struct http_file_options *opts, struct sio_str etag)
{
    char date[CLOCK_HTTP_SIZE];

    http_reply_field(r, "ETag", etag);
    http_reply_field(
        r, "Last-Modified",
        (struct sio_str){date,
                         clock_format_http(mtime_s(f) > 0 ? mtime_s(f) : 0, date)});
    http_reply_field(r, "Cache-Control",
                     sio_str_from(opts->cache ? opts->cache : "no-cache"));
    http_reply_field(r, "Accept-Ranges", SIO_STR("bytes"));
    if (opts->disposition)
        http_reply_field(r, "Content-Disposition", sio_str_from(opts->disposition));
    if (opts->encoding)
        http_reply_field(r, "Content-Encoding", sio_str_from(opts->encoding));
}

static void add_content_range(struct http_request *r, uint64_t first, uint64_t last,
                              uint64_t size)
{
    char text[96];
    int len =
        snprintf(text, sizeof(text), "bytes %llu-%llu/%llu", (unsigned long long)first,
                 (unsigned long long)last, (unsigned long long)size);

    http_reply_field(r, "Content-Range", (struct sio_str){text, (size_t)len});
}

static int refuse_range(struct http_request *r, struct http_file *f)
{
    char text[48];
    int len = snprintf(text, sizeof(text), "bytes */%llu", (unsigned long long)f->size);

    http_file_close(f);
    http_reply_field(r, "Content-Range", (struct sio_str){text, (size_t)len});
    http_reply_status(r, 416);
    return SIO_OK;
}

int http_reply_file(struct http_request *r, struct http_file *f,
                    const struct http_file_options *opts)
{
    char tag[ETAG_SIZE];
    struct sio_str etag = write_etag(f, tag);
    struct sio_str range = http_request_field(r, "Range");
    uint64_t first = 0;
    uint64_t last = 0;
    enum http_range kind = HTTP_RANGE_NONE;
    int status = check_conditions(r, f, etag);

    if (status == 0 && range.ptr && range_holds(r, f, etag))
        kind = http_range_parse(range, f->size, &first, &last);
    if (kind == HTTP_RANGE_BAD)
        return refuse_range(r, f);
    if (status == 412) {
        http_file_close(f);
        http_reply_status(r, 412);
        return SIO_OK;
    }
    add_fields(r, f, opts, etag);
    if (status == 304) {
        http_file_close(f);
        return http_reply(r, 304, NULL, NULL, 0);
    }
    if (kind == HTTP_RANGE_NONE)
        return send_body(r, f, 200, opts->type, 0, f->size);
    add_content_range(r, first, last, f->size);
    return send_body(r, f, 206, opts->type, first, last - first + 1);
}
