#include <config.h>

#include "agent/probe.h"

#include <errno.h>
#include <netdb.h>
#include <poll.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"

#define CANCEL_LATENCY_MS 100

static enum agent_outcome say(struct sio_diag *why, enum agent_outcome outcome,
                              const struct agent_target *t, const char *text)
{
    sio_diag_set(why, SIO_ERR_IO, "%s port %u: %s", t->host, (unsigned)t->port, text);
    return outcome;
}

static enum agent_outcome outcome_of_errno(int error)
{
    switch (error) {
    case ECONNREFUSED: return AGENT_CLOSED;
    case ENOMEM: return AGENT_NO_MEMORY;
    default: return AGENT_SILENT;
    }
}

/* Waits for a connection that is being made; 0 or an errno. */
static int wait_connected(int fd, const struct agent_capture *c)
{
    struct pollfd p = {.fd = fd, .events = POLLOUT};

    while (!agent_capture_over(c)) {
        int n = poll(&p, 1, CANCEL_LATENCY_MS);
        int error = 0;
        socklen_t len = sizeof(error);

        if (n < 0 && errno != EINTR)
            return errno;
        if (n <= 0)
            continue;
        if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &len) < 0)
            return errno;
        return error;
    }
    return ETIMEDOUT;
}

static int try_address(const struct addrinfo *a, const struct agent_capture *c)
{
    int error = 0;
    int fd = socket(a->ai_family, a->ai_socktype | SOCK_NONBLOCK | SOCK_CLOEXEC,
                    a->ai_protocol);

    if (fd < 0)
        return errno;
    if (connect(fd, a->ai_addr, a->ai_addrlen) < 0)
        error = errno == EINPROGRESS ? wait_connected(fd, c) : errno;
    close(fd);
    return error;
}

enum agent_outcome agent_probe(const struct agent_capture *c, struct sio_diag *why)
{
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICSERV};
    struct addrinfo *list = NULL;
    char port[8];
    int error = EHOSTUNREACH;
    int rv;

    snprintf(port, sizeof(port), "%u", (unsigned)c->target.port);
    rv = getaddrinfo(c->target.host, port, &hints, &list);
    if (rv == EAI_MEMORY)
        return say(why, AGENT_NO_MEMORY, &c->target, "out of memory");
    if (rv != 0)
        return say(why, AGENT_SILENT, &c->target, gai_strerror(rv));
    for (const struct addrinfo *a = list; a; a = a->ai_next) {
        error = try_address(a, c);
        if (error == 0 || agent_capture_over(c))
            break;
    }
    freeaddrinfo(list);
    if (error == 0)
        return AGENT_PICTURE;
    if (atomic_load(c->cancel))
        return say(why, AGENT_CANCELLED, &c->target, "cancelled");
    return say(why, outcome_of_errno(error), &c->target, strerror(error));
}
