/*
 * addr.c - Internet addresses
 */
#include <config.h>

#include "net/conn.h"

#include <arpa/inet.h>
#include <netdb.h>
#include <string.h>

/* IPv4 in IPv6, as a socket that serves both gives it, becomes IPv4. */
static void unmap(struct net_addr *a)
{
    struct sockaddr_in in = {.sin_family = AF_INET};

    if (!IN6_IS_ADDR_V4MAPPED(&a->in6.sin6_addr))
        return;
    in.sin_port = a->in6.sin6_port;
    memcpy(&in.sin_addr, &a->in6.sin6_addr.s6_addr[12], sizeof(in.sin_addr));
    a->in = in;
    a->len = sizeof(in);
}

void net_addr_set(struct net_addr *a, const struct sockaddr *sa, socklen_t len)
{
    memset(a, 0, sizeof(*a));
    if (sa->sa_family == AF_INET && len >= sizeof(a->in)) {
        memcpy(&a->in, sa, sizeof(a->in));
        a->len = sizeof(a->in);
    } else if (sa->sa_family == AF_INET6 && len >= sizeof(a->in6)) {
        memcpy(&a->in6, sa, sizeof(a->in6));
        a->len = sizeof(a->in6);
        unmap(a);
    } else {
        a->sa.sa_family = sa->sa_family;
    }
}

bool net_addr_parse(const char *host, uint16_t port, struct net_addr *out)
{
    /* AI_NUMERICHOST: no lookup, but zones (fe80::1%eth0) are understood. */
    static const struct addrinfo hints = {.ai_flags = AI_NUMERICHOST,
                                          .ai_socktype = SOCK_STREAM};
    struct addrinfo *ai;

    if (getaddrinfo(host, NULL, &hints, &ai) != 0)
        return false;
    net_addr_set(out, ai->ai_addr, ai->ai_addrlen);
    freeaddrinfo(ai);
    if (out->sa.sa_family == AF_INET6)
        out->in6.sin6_port = htons(port);
    else
        out->in.sin_port = htons(port);
    return out->len > 0;
}

void net_addr_format(const struct net_addr *a, char out[NET_ADDR_SIZE])
{
    out[0] = '\0';
    if (a->sa.sa_family == AF_INET)
        inet_ntop(AF_INET, &a->in.sin_addr, out, NET_ADDR_SIZE);
    else if (a->sa.sa_family == AF_INET6)
        inet_ntop(AF_INET6, &a->in6.sin6_addr, out, NET_ADDR_SIZE);
}

uint16_t net_addr_port(const struct net_addr *a)
{
    if (a->sa.sa_family == AF_INET)
        return ntohs(a->in.sin_port);
    return a->sa.sa_family == AF_INET6 ? ntohs(a->in6.sin6_port) : 0;
}
