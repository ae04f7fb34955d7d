/*
 * eio_peer.h - a raw HTTP and WebSocket peer that runs in turns with the loop under
 * test
 *
 * Nothing here knows the code under test: it writes bytes and reads bytes.  Waiting
 * means running the loop; a wait without end is ended by the alarm of the test
 * program.
 */
#ifndef TEST_EIO_PEER_H
#define TEST_EIO_PEER_H

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include <sioc/loop.h>

#define PEER_BUFFER (1 << 20)

struct peer {
    struct net_loop *loop;
    int fd;
    bool eof;
    size_t len;
    char buf[PEER_BUFFER];
};

struct peer_reply {
    int status;
    char head[4096];
    size_t len;
    char body[PEER_BUFFER];
};

static inline struct peer *peer_dial(struct net_loop *loop, uint16_t port)
{
    struct sockaddr_in sa = {.sin_family = AF_INET, .sin_port = htons(port)};
    struct peer *p = calloc(1, sizeof(*p));
    const int on = 1;

    assert_non_null(p);
    p->loop = loop;
    sa.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    p->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(p->fd >= 0);
    assert_int_equal(connect(p->fd, (struct sockaddr *)&sa, sizeof(sa)), 0);
    assert_int_equal(fcntl(p->fd, F_SETFL, O_NONBLOCK), 0);
    assert_int_equal(setsockopt(p->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on)), 0);
    return p;
}

static inline void peer_hang_up(struct peer *p)
{
    close(p->fd);
    free(p);
}

static inline void peer_turn(struct peer *p)
{
    assert_int_equal(net_loop_run_once(p->loop, 5), SIO_OK);
}

/* What was sent lies in the kernel already: a few turns, and the loop has seen it. */
static inline void peer_settle(struct peer *p)
{
    for (int i = 0; i < 4; i++)
        assert_int_equal(net_loop_run_once(p->loop, 0), SIO_OK);
}

static inline void peer_send(struct peer *p, const void *data, size_t len)
{
    const char *at = data;

    while (len > 0) {
        ssize_t n = send(p->fd, at, len, MSG_NOSIGNAL);

        if (n < 0 && errno != EAGAIN)
            return; /* the other side has closed: what it said is still to be read */
        if (n > 0) {
            at += n;
            len -= (size_t)n;
        } else {
            peer_turn(p);
        }
    }
}

static inline void peer_puts(struct peer *p, const char *text)
{
    peer_send(p, text, strlen(text));
}

/* Takes what has arrived; false: nothing new. */
static inline bool peer_recv(struct peer *p)
{
    ssize_t n = recv(p->fd, p->buf + p->len, PEER_BUFFER - p->len, 0);

    if (n > 0)
        p->len += (size_t)n;
    else if (n == 0 || errno != EAGAIN)
        p->eof = true;
    return n > 0;
}

/* Runs the loop until len bytes are there; false: the connection ended before. */
static inline bool peer_need(struct peer *p, size_t len)
{
    while (p->len < len && !p->eof)
        if (!peer_recv(p))
            peer_turn(p);
    return p->len >= len;
}

static inline void peer_wait_eof(struct peer *p)
{
    while (!p->eof) {
        p->len = 0;
        if (!peer_recv(p))
            peer_turn(p);
    }
}

static inline void peer_take(struct peer *p, size_t len)
{
    p->len -= len;
    memmove(p->buf, p->buf + len, p->len);
}

static inline const char *peer_field(const struct peer_reply *r, const char *name)
{
    static char value[256];
    size_t len = strlen(name);

    for (const char *p = strstr(r->head, "\r\n"); p; p = strstr(p, "\r\n")) {
        p += 2;
        if (strncasecmp(p, name, len) == 0 && p[len] == ':') {
            size_t n = strcspn(p + len + 2, "\r");

            snprintf(value, sizeof(value), "%.*s", (int)n, p + len + 2);
            return value;
        }
    }
    return NULL;
}

static inline void peer_head(struct peer *p, struct peer_reply *r)
{
    char *end;

    memset(r, 0, offsetof(struct peer_reply, body));
    for (;;) {
        end = memmem(p->buf, p->len, "\r\n\r\n", 4);
        if (end)
            break;
        assert_true(peer_need(p, p->len + 1));
    }
    assert_true((size_t)(end - p->buf) < sizeof(r->head) - 3);
    memcpy(r->head, p->buf, (size_t)(end - p->buf) + 2);
    assert_int_equal(strncmp(r->head, "HTTP/1.1 ", 9), 0);
    r->status = atoi(r->head + 9);
    peer_take(p, (size_t)(end - p->buf) + 4);
}

/* One HTTP reply with a length; the body ends in NUL for convenience. */
static inline void peer_reply(struct peer *p, struct peer_reply *r)
{
    const char *length;

    peer_head(p, r);
    length = peer_field(r, "Content-Length");
    r->len = length ? strtoul(length, NULL, 10) : 0;
    assert_true(r->len < PEER_BUFFER - 1);
    assert_true(peer_need(p, r->len));
    memcpy(r->body, p->buf, r->len);
    r->body[r->len] = '\0';
    peer_take(p, r->len);
}

/* A final frame, masked as a client has to. */
static inline void peer_frame(struct peer *p, int opcode, const void *data, size_t len)
{
    static const uint8_t mask[4] = {0x12, 0x34, 0x56, 0x78};
    uint8_t *f = malloc(len + 14);
    size_t n = 0;

    assert_non_null(f);
    f[n++] = (uint8_t)(0x80 | opcode);
    if (len < 126) {
        f[n++] = (uint8_t)(0x80 | len);
    } else if (len < 65536) {
        f[n++] = 0x80 | 126;
        f[n++] = (uint8_t)(len >> 8);
        f[n++] = (uint8_t)len;
    } else {
        f[n++] = 0x80 | 127;
        for (int i = 7; i >= 0; i--)
            f[n++] = (uint8_t)((uint64_t)len >> (8 * i));
    }
    memcpy(f + n, mask, 4);
    n += 4;
    for (size_t i = 0; i < len; i++)
        f[n + i] = ((const uint8_t *)data)[i] ^ mask[i & 3];
    peer_send(p, f, n + len);
    free(f);
}

static inline void peer_text(struct peer *p, const char *text)
{
    peer_frame(p, 1, text, strlen(text));
}

/* The next frame's opcode, -1 at the end of the connection; its data in r->body. */
static inline int peer_read_frame(struct peer *p, struct peer_reply *r)
{
    size_t head = 2;
    uint64_t len;

    if (!peer_need(p, 2))
        return -1;
    assert_int_equal(p->buf[1] & 0x80, 0);
    len = (uint8_t)p->buf[1];
    if (len >= 126) {
        size_t n = len == 126 ? 2 : 8;

        assert_true(peer_need(p, 2 + n));
        len = 0;
        for (size_t i = 0; i < n; i++)
            len = len << 8 | (uint8_t)p->buf[2 + i];
        head += n;
    }
    assert_true(len < PEER_BUFFER - 1);
    assert_true(peer_need(p, head + len));
    r->status = p->buf[0] & 0x0f;
    r->len = len;
    memcpy(r->body, p->buf + head, len);
    r->body[len] = '\0';
    peer_take(p, head + len);
    return r->status;
}

#endif
