#include <config.h>

#include "emit/lines.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <unistd.h>

#include "base/json.h"
#include "base/utf8.h"
#include "net/loop.h"

#define MAX_LINE ((size_t)64 * 1024 * 1024)
#define CHUNK    65536

struct reader {
    const struct emit_args *args;
    const struct emit_lines_ops *ops;
    struct wbuf line; /* what has come of it */
    size_t number;
    size_t *n_bad;
};

static void reject(struct reader *r, const char *why)
{
    fprintf(stderr, "nuchub-emit: line %zu: %s\n", r->number, why);
    ++*r->n_bad;
}

/* The results are kept in m, and told when it is sent. */
static void add_arguments(struct sio_message *m, struct sio_str json)
{
    struct json_iter it = json_iter(json);
    struct sio_str key, value;

    if (json_type(json) != JSON_ARRAY)
        (void)sio_message_add_raw(m, json);
    else
        while (json_next(&it, &key, &value))
            (void)sio_message_add_raw(m, value);
}

/* JSON's white space around it does not matter, so a carriage return does not either. */
static struct sio_str trim(struct sio_str s)
{
    while (s.len > 0 && strchr(" \t\r", s.ptr[0])) {
        s.ptr++;
        s.len--;
    }
    while (s.len > 0 && strchr(" \t\r", s.ptr[s.len - 1]))
        s.len--;
    return s;
}

static int send_line(struct reader *r, struct sio_str line)
{
    struct sio_message *m;
    int rv;

    r->number++;
    line = trim(line);
    if (line.len == 0)
        return SIO_OK;
    if (!utf8_check(line.ptr, line.len) || json_check(line) < 0) {
        reject(r, "not JSON");
        return SIO_OK;
    }
    m = sio_message_new(r->args->event);
    if (!m)
        return SIO_ERR_NOMEM;
    if (r->args->is_volatile)
        sio_message_set_volatile(m);
    add_arguments(m, line);
    rv = r->ops->send(m, r->ops->user);
    sio_message_free(m);
    return rv;
}

static int end_line(struct reader *r)
{
    int rv = r->line.error;

    if (rv == SIO_OK)
        rv = send_line(r, wbuf_str(&r->line));
    else if (rv == SIO_ERR_TOO_BIG) {
        r->number++;
        reject(r, "too long");
        rv = SIO_OK;
    }
    wbuf_fini(&r->line);
    wbuf_init(&r->line, MAX_LINE);
    return rv;
}

static int take(struct reader *r, const char *bytes, size_t len)
{
    const char *end;
    int rv = SIO_OK;

    while (rv == SIO_OK && (end = memchr(bytes, '\n', len))) {
        wbuf_add(&r->line, bytes, (size_t)(end - bytes));
        len -= (size_t)(end - bytes) + 1;
        bytes = end + 1;
        rv = end_line(r);
    }
    if (rv == SIO_OK)
        wbuf_add(&r->line, bytes, len);
    return rv;
}

/* 1: there may be more. */
static int read_some(struct reader *r)
{
    char bytes[CHUNK];
    ssize_t n = read(STDIN_FILENO, bytes, sizeof(bytes));
    int rv;

    if (n < 0)
        return errno == EINTR || errno == EAGAIN ? 1 : SIO_ERR_IO;
    if (n == 0)
        return r->line.len > 0 || r->line.error < 0 ? end_line(r) : SIO_OK;
    rv = take(r, bytes, (size_t)n);
    return rv < 0 ? rv : 1;
}

static int serve(struct net_loop *loop, struct reader *r)
{
    struct pollfd fds[] = {{STDIN_FILENO, POLLIN, 0}, {net_loop_fd(loop), POLLIN, 0}};
    int rv = 1;

    if (fds[1].fd < 0)
        return SIO_ERR_IO;
    while (rv > 0) {
        if (poll(fds, 2, -1) < 0 && errno != EINTR)
            return SIO_ERR_IO;
        if (fds[0].revents)
            rv = read_some(r);
        if (rv >= 0 && net_loop_run_once(loop, 0) < 0)
            return SIO_ERR_IO;
    }
    return rv;
}

int emit_lines(struct net_loop *loop, const struct emit_args *args,
               const struct emit_lines_ops *ops, size_t *n_bad)
{
    struct reader r = {.args = args, .ops = ops, .n_bad = n_bad};
    int rv;

    wbuf_init(&r.line, MAX_LINE);
    rv = serve(loop, &r);
    wbuf_fini(&r.line);
    return rv;
}
