#include "peer.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#define N_EVENTS    256
#define MIN_DISCARD 4096 /* from here the kernel throws away, below we copy */

static const uint8_t mask[4] = {0x5a, 0x13, 0xc7, 0x2e};

int peer_pool_init(struct peer_pool *pool, const char *host, int port)
{
    pool->addr =
        (struct sockaddr_in){.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    if (inet_pton(AF_INET, host, &pool->addr.sin_addr) != 1) {
        errno = EINVAL;
        return -1;
    }
    if (pool->path == NULL)
        pool->path = "/socket.io/?";
    pool->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    return pool->epoll_fd < 0 ? -1 : 0;
}

void peer_pool_fini(struct peer_pool *pool)
{
    close(pool->epoll_fd);
}

void peer_pool_port(struct peer_pool *pool, int port)
{
    pool->addr.sin_port = htons((uint16_t)port);
}

static void watch(struct peer *p, int op)
{
    struct epoll_event ev = {.events =
                                 (p->deaf && p->state == PEER_READY ? 0 : EPOLLIN) |
                                 (p->watching_out ? EPOLLOUT : 0),
                             .data.ptr = p};

    epoll_ctl(p->pool->epoll_fd, op, p->fd, &ev);
}

int peer_dial(struct peer *p, struct peer_pool *pool)
{
    int one = 1;

    *p = (struct peer){.pool = pool, .deaf = p->deaf, .sent_ns = p->sent_ns};
    p->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (p->fd < 0)
        return -1;
    setsockopt(p->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    if (connect(p->fd, (struct sockaddr *)&pool->addr, sizeof pool->addr) < 0 &&
        errno != EINPROGRESS) {
        close(p->fd);
        p->fd = -1;
        return -1;
    }
    p->watching_out = true;
    watch(p, EPOLL_CTL_ADD);
    return 0;
}

void peer_close(struct peer *p)
{
    if (p->fd < 0 || p->state == PEER_CLOSED)
        return;
    close(p->fd);
    p->fd = -1;
    p->state = PEER_CLOSED;
}

static void lost(struct peer *p)
{
    if (p->state == PEER_READY)
        p->pool->n_closed++;
    else
        p->pool->n_failed++;
    peer_close(p);
    if (p->pool->on_closed != NULL)
        p->pool->on_closed(p, p->pool->user);
}

/* ---- out ---- */

static void push(struct peer *p)
{
    while (p->out_len > 0) {
        ssize_t n = send(p->fd, p->out, p->out_len, MSG_NOSIGNAL);

        if (n < 0) {
            if (errno == EAGAIN)
                break;
            lost(p);
            return;
        }
        p->out += n;
        p->out_len -= (size_t)n;
    }
    if (p->watching_out != (p->out_len > 0)) {
        p->watching_out = p->out_len > 0;
        watch(p, EPOLL_CTL_MOD);
    }
}

size_t peer_frame(uint8_t *out, const char *text, size_t len)
{
    size_t n = 0;

    out[n++] = 0x81;
    if (len < 126) {
        out[n++] = (uint8_t)(0x80 | len);
    } else {
        int bytes = len <= 0xffff ? 2 : 8;

        out[n++] = bytes == 2 ? 0xfe : 0xff;
        for (int i = bytes - 1; i >= 0; i--)
            out[n++] = (uint8_t)((uint64_t)len >> (8 * i));
    }
    memcpy(out + n, mask, 4);
    n += 4;
    for (size_t i = 0; i < len; i++)
        out[n + i] = (uint8_t)text[i] ^ mask[i & 3];
    return n + len;
}

void peer_frame_patch(uint8_t *frame, size_t offset, const char *text, size_t len)
{
    size_t n = 6 + ((frame[1] & 0x7f) == 126 ? 2 : (frame[1] & 0x7f) == 127 ? 8 : 0);

    for (size_t i = 0; i < len; i++)
        frame[n + offset + i] = (uint8_t)text[i] ^ mask[(offset + i) & 3];
}

bool peer_send(struct peer *p, const uint8_t *frame, size_t len)
{
    if (p->out_len > 0 || p->fd < 0)
        return false;
    p->out = frame;
    p->out_len = len;
    push(p);
    return true;
}

bool peer_send_text(struct peer *p, const char *text, size_t len)
{
    if (p->out_len > 0 || len > 200)
        return false;
    return peer_send(p, p->small, peer_frame(p->small, text, len));
}

/* ---- in ---- */

static void on_connected(struct peer *p)
{
    p->state = PEER_UPGRADING;
    p->out = p->small;
    p->out_len = (size_t)snprintf((char *)p->small, sizeof p->small,
                                  "GET %sEIO=4&transport=websocket HTTP/1.1\r\n"
                                  "Host: 127.0.0.1\r\nUpgrade: websocket\r\n"
                                  "Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
                                  "Sec-WebSocket-Key: x3JJHMbDL1EzLkh9GBhXDw==\r\n\r\n",
                                  p->pool->path);
    push(p);
}

static void on_text(struct peer *p, const uint8_t *text, size_t len, uint64_t total)
{
    switch (p->state) {
    case PEER_OPENING:
        if (text[0] != '0')
            break;
        p->state = PEER_JOINING;
        peer_send_text(p, "40", 2);
        break;
    case PEER_JOINING:
        if (len < 2 || memcmp(text, "40", 2) != 0)
            break;
        p->state = PEER_READY;
        if (p->deaf)
            watch(p, EPOLL_CTL_MOD);
        if (p->pool->on_ready != NULL)
            p->pool->on_ready(p, p->pool->user);
        break;
    case PEER_READY:
        if (total == 1 && text[0] == '2') {
            peer_send_text(p, "3", 1);
            break;
        }
        p->events++;
        if (p->pool->on_message != NULL)
            p->pool->on_message(p, text, len, total, p->pool->user);
        break;
    case PEER_DIALLING:
    case PEER_UPGRADING:
    case PEER_CLOSED: break;
    }
}

/* Size of the header of the frame that begins at b; 0: not all there. */
static size_t frame_head(const uint8_t *b, size_t n, uint64_t *len)
{
    size_t size;

    if (n < 2)
        return 0;
    *len = b[1] & 0x7f;
    size = *len == 126 ? 4 : *len == 127 ? 10 : 2;
    if (n < size)
        return 0;
    if (size > 2) {
        *len = 0;
        for (size_t i = 2; i < size; i++)
            *len = *len << 8 | b[i];
    }
    return size;
}

static void end_of_message(struct peer *p)
{
    uint8_t opcode = p->head[0] & 0x0f;
    uint64_t len;
    size_t size = frame_head(p->head, p->head_len, &len);
    size_t have = p->head_len - size;

    p->head_len = 0;
    if (opcode == 1 && len > 0)
        on_text(p, p->head + size, have < len ? have : (size_t)len, len);
    else if (opcode == 8)
        lost(p);
}

/* Takes received bytes: fills head[], and skips the payload behind it. */
static void take(struct peer *p, const uint8_t *b, size_t n)
{
    while (n > 0 && p->state != PEER_CLOSED) {
        uint64_t len;
        size_t size, room, k;

        if (p->left > 0) {
            k = n < p->left ? n : (size_t)p->left;
            p->left -= k;
            b += k;
            n -= k;
            if (p->left == 0)
                end_of_message(p);
            continue;
        }
        size = frame_head(p->head, p->head_len, &len);
        if (size == 0) {
            p->head[p->head_len++] = *b++;
            n--;
            size = frame_head(p->head, p->head_len, &len);
            if (size == 0 || len > 0)
                continue;
            end_of_message(p);
            continue;
        }
        room = PEER_HEAD - p->head_len;
        k = n < room ? n : room;
        if (k > len - (p->head_len - size))
            k = (size_t)(len - (p->head_len - size));
        memcpy(p->head + p->head_len, b, k);
        p->head_len += (uint32_t)k;
        b += k;
        n -= k;
        if (p->head_len - size == len)
            end_of_message(p);
        else if (p->head_len == PEER_HEAD)
            p->left = len - (p->head_len - size);
    }
}

static void on_reply(struct peer *p, const uint8_t *b, size_t n)
{
    const uint8_t *end = memmem(b, n, "\r\n\r\n", 4);

    /* The head of the reply comes in one piece on the loopback; anything else is a fault. */
    if (end == NULL || n < 12 || memcmp(b, "HTTP/1.1 101", 12) != 0) {
        lost(p);
        return;
    }
    p->state = PEER_OPENING;
    end += 4;
    take(p, end, n - (size_t)(end - b));
}

static void on_readable(struct peer *p)
{
    uint8_t buf[65536];
    bool discard = p->left >= MIN_DISCARD;
    size_t want = discard ? p->left : sizeof buf;
    ssize_t n = recv(p->fd, discard ? NULL : buf, want, discard ? MSG_TRUNC : 0);

    if (n < 0 && errno == EAGAIN)
        return;
    if (n <= 0) {
        lost(p);
        return;
    }
    if (discard) {
        p->left -= (uint64_t)n;
        if (p->left == 0)
            end_of_message(p);
    } else if (p->state == PEER_UPGRADING) {
        on_reply(p, buf, (size_t)n);
    } else {
        take(p, buf, (size_t)n);
    }
}

void peer_pool_poll(struct peer_pool *pool, int timeout_ms)
{
    struct epoll_event ev[N_EVENTS];
    int n = epoll_wait(pool->epoll_fd, ev, N_EVENTS, timeout_ms);

    for (int i = 0; i < n; i++) {
        struct peer *p = ev[i].data.ptr;

        if (p->state == PEER_DIALLING && (ev[i].events & EPOLLOUT) != 0)
            on_connected(p);
        else if (p->state != PEER_CLOSED && (ev[i].events & EPOLLOUT) != 0)
            push(p);
        if (p->state == PEER_CLOSED)
            continue;
        if ((ev[i].events & EPOLLIN) != 0)
            on_readable(p);
        else if ((ev[i].events & (EPOLLERR | EPOLLHUP)) != 0)
            lost(p);
    }
}
