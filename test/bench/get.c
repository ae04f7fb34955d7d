/*
 * get.c - GET requests over connections that stay open, one at a time on each
 */
#include "bench.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#define WARM_UP    1000
#define N_EVENTS   256
#define TIMEOUT_MS 20000

struct get {
    int epoll_fd;
    char request[512];
    size_t request_len;
    int n_done;
};

struct get_conn {
    int fd;
    size_t left; /* of the body */
};

static int dial(struct get *g, struct get_conn *c, const struct sockaddr_in *addr)
{
    struct epoll_event ev = {.events = EPOLLIN, .data.ptr = c};
    int one = 1;

    c->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (c->fd < 0)
        return -1;
    setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    if (connect(c->fd, (const struct sockaddr *)addr, sizeof *addr) < 0)
        return -1;
    return epoll_ctl(g->epoll_fd, EPOLL_CTL_ADD, c->fd, &ev);
}

static int ask(const struct get *g, const struct get_conn *c)
{
    return send(c->fd, g->request, g->request_len, MSG_NOSIGNAL) ==
                   (ssize_t)g->request_len
               ? 0
               : -1;
}

/* A reply's head comes in one piece on the loopback; its body may take several. */
static int on_readable(struct get *g, struct get_conn *c)
{
    char buf[65536 + 1];
    ssize_t n = recv(c->fd, buf, sizeof buf - 1, 0);
    const char *body, *length;

    if (n <= 0)
        return -1;
    buf[n] = '\0';
    if (c->left == 0) {
        if (strncmp(buf, "HTTP/1.1 200", 12) != 0)
            return -1;
        body = strstr(buf, "\r\n\r\n");
        length = strcasestr(buf, "\r\nContent-Length:");
        if (body == NULL || length == NULL)
            return -1;
        c->left = strtoul(length + 17, NULL, 10);
        n -= body + 4 - buf;
    }
    if ((size_t)n > c->left)
        return -1;
    c->left -= (size_t)n;
    if (c->left > 0)
        return 0;
    g->n_done++;
    return ask(g, c);
}

static int until(struct get *g, int n)
{
    struct epoll_event ev[N_EVENTS];

    while (g->n_done < n) {
        int k = epoll_wait(g->epoll_fd, ev, N_EVENTS, TIMEOUT_MS);

        if (k <= 0)
            return -1;
        for (int i = 0; i < k; i++) {
            if (on_readable(g, ev[i].data.ptr) < 0)
                return -1;
        }
    }
    return 0;
}

static int measure(struct get *g, const struct bench_options *o)
{
    uint64_t cpu, begun, wall;
    int n;

    if (until(g, WARM_UP) < 0)
        return -1;
    n = g->n_done;
    begun = now_ns();
    cpu = proc_cpu_ns(&o->server);
    if (until(g, n + o->count) < 0)
        return -1;
    cpu = proc_cpu_ns(&o->server) - cpu;
    wall = now_ns() - begun;
    n = g->n_done - n;
    printf("requests=%d cpu_us_per_request=%.2f requests_per_s=%.0f\n", n,
           (double)cpu / 1e3 / n, n / ((double)wall / 1e9));
    return 0;
}

int bench_get(const struct bench_options *o)
{
    struct get g = {.epoll_fd = epoll_create1(EPOLL_CLOEXEC)};
    struct sockaddr_in addr = {.sin_family = AF_INET,
                               .sin_port = htons((uint16_t)o->port)};
    struct get_conn *conns = calloc((size_t)o->conns, sizeof conns[0]);
    int rv = -1, n = 0;

    g.request_len = (size_t)snprintf(g.request, sizeof g.request,
                                     "GET %s HTTP/1.1\r\nHost: 127.0.0.1\r\n"
                                     "Accept: */*\r\n\r\n",
                                     o->path);
    if (conns == NULL || g.epoll_fd < 0 || g.request_len >= sizeof g.request ||
        inet_pton(AF_INET, o->host, &addr.sin_addr) != 1)
        goto out;
    for (; n < o->conns; n++) {
        if (dial(&g, &conns[n], &addr) < 0 || ask(&g, &conns[n]) < 0)
            goto out;
    }
    rv = measure(&g, o);
out:
    if (rv < 0)
        fprintf(stderr, "bench: get: stopped after %d replies\n", g.n_done);
    for (int i = 0; i < n; i++)
        close(conns[i].fd);
    close(g.epoll_fd);
    free(conns);
    return rv;
}
