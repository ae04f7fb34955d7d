#include <config.h>

#include "loopback.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* Turns of 10 ms each before a wait has failed. */
#define MAX_TURNS 3000

void peer_connect(struct peer *p, struct net_loop *loop, uint16_t port)
{
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(port)};
    int on = 1;

    *p = (struct peer){.loop = loop, .cap = 1};
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    p->data = calloc(1, 1);
    p->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(p->fd >= 0);
    assert_int_equal(connect(p->fd, (struct sockaddr *)&to, sizeof(to)), 0);
    setsockopt(p->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
}

void peer_close(struct peer *p)
{
    close(p->fd);
    free(p->data);
    p->fd = -1;
}

static void turn(struct net_loop *loop, int timeout_ms)
{
    assert_int_equal(net_loop_run_once(loop, timeout_ms), SIO_OK);
}

/* Takes what has come. */
static void take(struct peer *p)
{
    ssize_t n = 1;

    while (n > 0) {
        if (p->cap - p->len < 65536) {
            p->cap = p->cap * 2 + 65536;
            p->data = realloc(p->data, p->cap);
            assert_non_null(p->data);
        }
        n = recv(p->fd, p->data + p->len, p->cap - p->len - 1, MSG_DONTWAIT);
        if (n > 0)
            p->len += (size_t)n;
        p->data[p->len] = '\0';
    }
    if (n == 0 || (errno != EAGAIN && errno != EINTR))
        p->ended = true;
}

void peer_send(struct peer *p, const void *data, size_t len)
{
    const char *at = data;

    for (int turns = 0; len > 0; turns++) {
        ssize_t n = send(p->fd, at, len, MSG_DONTWAIT | MSG_NOSIGNAL);

        assert_true(turns < MAX_TURNS);
        if (n > 0) {
            at += n;
            len -= (size_t)n;
        } else if (errno != EAGAIN) {
            return; /* it has hung up; the test sees that when it reads */
        }
        turn(p->loop, 0);
    }
}

void peer_send_text(struct peer *p, const char *text)
{
    peer_send(p, text, strlen(text));
}

void peer_end(struct peer *p)
{
    shutdown(p->fd, SHUT_WR);
}

static void wait_for(struct peer *p, size_t len, const char *text)
{
    for (int turns = 0; turns < MAX_TURNS; turns++) {
        take(p);
        if (len > 0 && p->len >= len)
            return;
        if (text && strstr(p->data, text))
            return;
        if (p->ended && (len > 0 || text))
            fail_msg("ended after: %s", p->data);
        if (p->ended)
            return;
        turn(p->loop, turns < 10 ? 0 : 10);
    }
    fail_msg("waited in vain; came: %s", p->data);
}

void peer_wait_len(struct peer *p, size_t len)
{
    wait_for(p, len, NULL);
}

void peer_wait_text(struct peer *p, const char *text)
{
    wait_for(p, 0, text);
}

void peer_wait_end(struct peer *p)
{
    wait_for(p, 0, NULL);
}

void loop_until(struct net_loop *loop, const bool *flag)
{
    for (int turns = 0; turns < MAX_TURNS && !*flag; turns++)
        turn(loop, 10);
    assert_true(*flag);
}

void loop_settle(struct net_loop *loop)
{
    struct pollfd pfd = {.fd = net_loop_fd(loop), .events = POLLIN};

    for (int turns = 0; turns < MAX_TURNS && poll(&pfd, 1, 0) > 0; turns++)
        turn(loop, 0);
}
