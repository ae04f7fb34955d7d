/*
 * limit.c - how little a server could do: the floor for the benchmarks
 *
 * It answers the bytes that bench sends with fixed bytes, checks nothing and knows no
 * protocol: a long frame from anybody is one shared frame to all others, a short one is
 * answered with a fixed acknowledgement, a request with a fixed reply.  One thread,
 * epoll, a pointer into the shared frame per connection.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#define MAX_FRAME  (32 * 1024 * 1024)
#define LONG_FRAME 1024
#define BUF        65536

struct conn {
    int fd;
    int index; /* in limit.conns */
    int websocket;
    uint64_t left; /* of the long frame that comes in */
    size_t sent;   /* of the shared frame */
    int sending;
};

struct limit {
    int epoll_fd, listen_fd;
    struct conn **conns;
    int n_conns, max_conns;
    uint8_t *frame; /* the shared one, as it goes out */
    size_t frame_len, frame_want;
};

static const char upgrade[] =
    "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    "Sec-WebSocket-Accept: HSmrc0sMlYUkAGmm5OPpG2HaGWk=\r\n\r\n"
    "\x81\x5e"
    "0{\"sid\":\"AAAAAAAAAAAAAAAAAAAA\",\"upgrades\":[],\"pingInterval\":25000,"
    "\"pingTimeout\":20000,\"max\":1}";
static const char joined[] = "\x81\x20"
                             "40{\"sid\":\"BBBBBBBBBBBBBBBBBBBB\"}";
static const char closing[] = "\x88\x02\x03\xe8";
static const char ack[] = "\x81\x05"
                          "430[]";
static const char reply[] =
    "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 19\r\n\r\n"
    "{\"status\":\"online\"}";

static void set_events(struct limit *l, struct conn *c, uint32_t events)
{
    struct epoll_event ev = {.events = events, .data.ptr = c};

    epoll_ctl(l->epoll_fd, EPOLL_CTL_MOD, c->fd, &ev);
}

static void drop(struct limit *l, struct conn *c)
{
    close(c->fd);
    l->conns[c->index] = l->conns[--l->n_conns];
    l->conns[c->index]->index = c->index;
    free(c);
}

static void accept_one(struct limit *l)
{
    int fd = accept4(l->listen_fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    struct epoll_event ev = {.events = EPOLLIN};
    struct conn *c;
    int one = 1;

    if (fd < 0)
        return;
    c = l->n_conns < l->max_conns ? calloc(1, sizeof *c) : NULL;
    if (c == NULL) {
        close(fd);
        return;
    }
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    c->fd = fd;
    c->index = l->n_conns;
    l->conns[l->n_conns++] = c;
    ev.data.ptr = c;
    epoll_ctl(l->epoll_fd, EPOLL_CTL_ADD, fd, &ev);
}

static void put(struct conn *c, const char *bytes, size_t len)
{
    if (send(c->fd, bytes, len, MSG_NOSIGNAL) < 0)
        shutdown(c->fd, SHUT_RDWR);
}

static void push(struct limit *l, struct conn *c)
{
    while (c->sent < l->frame_len) {
        ssize_t n =
            send(c->fd, l->frame + c->sent, l->frame_len - c->sent, MSG_NOSIGNAL);

        if (n < 0) {
            if (errno == EAGAIN && !c->sending) {
                c->sending = 1;
                set_events(l, c, EPOLLIN | EPOLLOUT);
            }
            return;
        }
        c->sent += (size_t)n;
    }
    if (c->sending) {
        c->sending = 0;
        set_events(l, c, EPOLLIN);
    }
}

/* The frame is whole: it goes to everybody else, who have all had the one before. */
static void fan_out(struct limit *l, const struct conn *from)
{
    l->frame_len = l->frame_want;
    for (int i = 0; i < l->n_conns; i++) {
        struct conn *c = l->conns[i];

        if (c == from || !c->websocket)
            continue;
        c->sent = 0;
        push(l, c);
    }
}

/* Unmasks what came of the picture into the shared frame, as a server's text frame. */
static size_t begin_long(struct limit *l, struct conn *c, const uint8_t *b, size_t n)
{
    size_t head = (b[1] & 0x7f) == 127 ? 10 : 4;
    uint64_t len = 0;

    for (size_t i = 2; i < head; i++)
        len = len << 8 | b[i];
    if (len > MAX_FRAME - 10 || n < head + 4 + 160)
        return n;
    memcpy(l->frame, b, head);
    l->frame[1] &= 0x7f;
    for (size_t i = 0; i < 160; i++)
        l->frame[head + i] = b[head + 4 + i] ^ b[head + (i & 3)];
    memset(l->frame + head + 160, 'A', (size_t)len - 160);
    l->frame_want = head + (size_t)len;
    c->left = len;
    return head + 4;
}

static void on_frames(struct limit *l, struct conn *c, const uint8_t *b, size_t n)
{
    while (n > 0) {
        size_t k;

        if (c->left > 0) {
            k = n < c->left ? n : (size_t)c->left;
            c->left -= k;
            if (c->left == 0)
                fan_out(l, c);
        } else if (n < 6) {
            return;
        } else if ((b[1] & 0x7f) >= 126) {
            k = begin_long(l, c, b, n);
        } else {
            uint8_t second = b[1] == 0x80 ? 0 : (uint8_t)(b[7] ^ b[3]);

            k = 6 + (b[1] & 0x7fu);
            if (b[0] == 0x88)
                put(c, closing, sizeof closing - 1);
            else if (second == '0')
                put(c, joined, sizeof joined - 1);
            else if (second == '2')
                put(c, ack, sizeof ack - 1);
        }
        if (k > n)
            return;
        b += k;
        n -= k;
    }
}

static void on_readable(struct limit *l, struct conn *c)
{
    uint8_t buf[BUF];
    ssize_t n = recv(c->fd, buf, sizeof buf, 0);

    if (n <= 0) {
        if (n == 0 || errno != EAGAIN)
            drop(l, c);
        return;
    }
    if (c->websocket) {
        on_frames(l, c, buf, (size_t)n);
    } else if (memmem(buf, (size_t)n, "Upgrade:", 8) != NULL) {
        c->websocket = 1;
        put(c, upgrade, sizeof upgrade - 1);
    } else {
        put(c, reply, sizeof reply - 1);
    }
}

static void run(struct limit *l)
{
    struct epoll_event ev[256];

    for (;;) {
        int n = epoll_wait(l->epoll_fd, ev, 256, -1);

        for (int i = 0; i < n; i++) {
            struct conn *c = ev[i].data.ptr;

            if (c == NULL) {
                accept_one(l);
                continue;
            }
            if (ev[i].events & EPOLLOUT)
                push(l, c);
            if (ev[i].events & (EPOLLIN | EPOLLHUP | EPOLLERR))
                on_readable(l, c);
        }
    }
}

int main(int argc, char **argv)
{
    struct limit l = {.max_conns = 20000};
    struct sockaddr_in addr = {.sin_family = AF_INET,
                               .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    struct epoll_event ev = {.events = EPOLLIN};
    int one = 1;

    if (argc != 2) {
        fprintf(stderr, "usage: limit PORT\n");
        return 2;
    }
    addr.sin_port = htons((uint16_t)atoi(argv[1]));
    l.conns = calloc((size_t)l.max_conns, sizeof l.conns[0]);
    l.frame = malloc(MAX_FRAME);
    l.epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    l.listen_fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    setsockopt(l.listen_fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    if (l.conns == NULL || l.frame == NULL ||
        bind(l.listen_fd, (struct sockaddr *)&addr, sizeof addr) < 0 ||
        listen(l.listen_fd, 1024) < 0 ||
        epoll_ctl(l.epoll_fd, EPOLL_CTL_ADD, l.listen_fd, &ev) < 0) {
        perror("limit");
        return 1;
    }
    run(&l);
    return 0;
}
