/*
 * http/file.h - a file as the reply to a GET or HEAD: conditions and ranges (RFC 9110,
 * 13 and 14)
 *
 * A small file is read at once; a large one in pieces, as the client takes them, so
 * that a slow download holds no more than the connection's queue.
 */
#ifndef HTTP_FILE_H
#define HTTP_FILE_H

#include "http/server.h"

struct http_file {
    int fd;
    uint64_t size;
    uint64_t inode;
    int64_t mtime_ns;
};

/*
 * Opens name in the folder of dir_fd (or AT_FDCWD, with a path) for reading.  Symbolic
 * links are not followed, and nothing but a regular file is opened.  SIO_OK;
 * SIO_ERR_NOT_FOUND, for whatever is not such a file; SIO_ERR_IO with errno.
 */
int http_file_open(int dir_fd, const char *name, struct http_file *f);
void http_file_close(struct http_file *f);

/* All of it, owned by the caller; NULL: larger than max, cannot be read, no memory. */
struct sio_buf *http_file_read(const struct http_file *f, size_t max);

struct http_file_options {
    const char *type;        /* Content-Type */
    const char *cache;       /* Cache-Control; NULL: "no-cache" */
    const char *disposition; /* Content-Disposition, or NULL */
    const char *encoding;    /* Content-Encoding that the file is in, or NULL */
};

/*
 * Answers r: 200, 206, 304, 412 or 416.  The file is moved.  One range is served; of
 * several, or of one that is turned round, none (416); a unit or syntax that is not known
 * is no range.  Returns as http_reply.
 */
int http_reply_file(struct http_request *r, struct http_file *f,
                    const struct http_file_options *opts);

/* What a Range field asks of `size` bytes. */
enum http_range { HTTP_RANGE_NONE, HTTP_RANGE_ONE, HTTP_RANGE_BAD };
enum http_range http_range_parse(struct sio_str field, uint64_t size, uint64_t *first,
                                 uint64_t *last);

#endif
