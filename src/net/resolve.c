#include <config.h>

#include "net/resolve.h"

#include <netdb.h>
#include <string.h>

#include "base/list.h"
#include "base/mem.h"
#include "net/worker.h"

struct net_lookup {
    struct net_job job;
    net_lookup_cb cb; /* NULL: cancelled; used by the loop's thread only */
    void *user;
    uint16_t port;
    char *host;

    /* The thread's, until it is done. */
    size_t n;
    struct net_addr addrs[NET_LOOKUP_MAX_ADDRS];
    const char *error;
};

static void lookup_free(struct net_lookup *l)
{
    mem_free(l->host);
    mem_free(l);
}

static struct net_lookup *lookup_of(struct net_job *job)
{
    return container_of(job, struct net_lookup, job);
}

static void on_found(struct net_job *job)
{
    struct net_lookup *l = lookup_of(job);

    if (l->cb)
        l->cb(l->addrs, l->n, l->n ? NULL : l->error, l->user);
    lookup_free(l);
}

static void on_dropped(struct net_job *job)
{
    lookup_free(lookup_of(job));
}

static void collect(struct net_lookup *l, const struct addrinfo *ai)
{
    for (; ai && l->n < NET_LOOKUP_MAX_ADDRS; ai = ai->ai_next) {
        struct net_addr *a = &l->addrs[l->n];

        net_addr_set(a, ai->ai_addr, ai->ai_addrlen);
        if (!a->len)
            continue;
        if (a->sa.sa_family == AF_INET6)
            a->in6.sin6_port = htons(l->port);
        else
            a->in.sin_port = htons(l->port);
        l->n++;
    }
}

static void look_up(struct net_job *job)
{
    static const struct addrinfo hints = {.ai_flags = AI_ADDRCONFIG,
                                          .ai_socktype = SOCK_STREAM};
    struct net_lookup *l = lookup_of(job);
    struct addrinfo *ai = NULL;
    int rv = getaddrinfo(l->host, NULL, &hints, &ai);

    if (rv == 0) {
        collect(l, ai);
        freeaddrinfo(ai);
        l->error = "no address";
    } else {
        l->error = gai_strerror(rv); /* constant text */
    }
}

struct net_lookup *net_lookup_start(struct net_loop *loop, const char *host,
                                    uint16_t port, net_lookup_cb cb, void *user)
{
    struct net_lookup *l = mem_new(struct net_lookup);

    if (!l)
        return NULL;
    l->job = (struct net_job){.work = look_up, .done = on_found, .drop = on_dropped};
    l->cb = cb;
    l->user = user;
    l->port = port;
    l->host = mem_strndup(host, strlen(host));
    if (!l->host || net_job_start(loop, &l->job) < 0) {
        lookup_free(l);
        return NULL;
    }
    return l;
}

void net_lookup_cancel(struct net_lookup *l)
{
    if (l)
        l->cb = NULL;
}
