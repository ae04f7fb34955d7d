/*
 * resolve.c - one detached thread a lookup
 *
 * A lookup belongs to its thread until that has posted it to the loop, and to the
 * loop's thread from then on.  Between the two stands the resolver, which is counted
 * because threads may outlive the loop: its `loop` is NULL by then.
 */
#include <config.h>

#include "net/resolve.h"

#include <netdb.h>
#include <signal.h>
#include <string.h>

#include "base/mem.h"
#include "net/loop_impl.h"

#define LOOKUP_MAX_THREADS 16
#define LOOKUP_STACK_SIZE  (256 * 1024)

struct loop_resolver {
    pthread_mutex_t lock;
    struct net_loop *loop; /* NULL: freed */
    unsigned refs;         /* the loop and each thread */
};

struct net_lookup {
    struct net_post post;
    struct loop_resolver *resolver;
    net_lookup_cb cb; /* NULL: cancelled; used by the loop's thread only */
    void *user;
    uint16_t port;
    char *host;

    /* The thread's, until posted. */
    size_t n;
    struct net_addr addrs[NET_LOOKUP_MAX_ADDRS];
    const char *error;
};

static void resolver_unref(struct loop_resolver *r)
{
    bool last;

    pthread_mutex_lock(&r->lock);
    last = --r->refs == 0;
    pthread_mutex_unlock(&r->lock);
    if (!last)
        return;
    pthread_mutex_destroy(&r->lock);
    mem_free(r);
}

/*
 * The loop's resolver with one more reference.  NULL: no memory, or too many threads.
 */
static struct loop_resolver *resolver_ref(struct net_loop *loop)
{
    struct loop_resolver *r = loop->resolver;
    bool room;

    if (!r) {
        r = mem_new(struct loop_resolver);
        if (!r)
            return NULL;
        pthread_mutex_init(&r->lock, NULL);
        r->loop = loop;
        r->refs = 1;
        loop->resolver = r;
    }
    pthread_mutex_lock(&r->lock);
    room = r->refs <= LOOKUP_MAX_THREADS;
    if (room)
        r->refs++;
    pthread_mutex_unlock(&r->lock);
    return room ? r : NULL;
}

void loop_resolver_free(struct net_loop *loop)
{
    struct loop_resolver *r = loop->resolver;

    if (!r)
        return;
    pthread_mutex_lock(&r->lock);
    r->loop = NULL;
    pthread_mutex_unlock(&r->lock);
    loop->resolver = NULL;
    resolver_unref(r);
}

static void lookup_free(struct net_lookup *l)
{
    mem_free(l->host);
    mem_free(l);
}

static void on_found(void *arg)
{
    struct net_lookup *l = arg;

    if (l->cb)
        l->cb(l->addrs, l->n, l->n ? NULL : l->error, l->user);
    lookup_free(l);
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

static void *lookup_thread(void *arg)
{
    static const struct addrinfo hints = {.ai_flags = AI_ADDRCONFIG,
                                          .ai_socktype = SOCK_STREAM};
    struct net_lookup *l = arg;
    struct loop_resolver *r = l->resolver;
    struct addrinfo *ai = NULL;
    int rv = getaddrinfo(l->host, NULL, &hints, &ai);

    if (rv == 0) {
        collect(l, ai);
        freeaddrinfo(ai);
        l->error = "no address";
    } else {
        l->error = gai_strerror(rv); /* constant text */
    }
    pthread_mutex_lock(&r->lock);
    if (r->loop)
        loop_post(r->loop, &l->post);
    else
        lookup_free(l);
    pthread_mutex_unlock(&r->lock);
    resolver_unref(r);
    return NULL;
}

/* Signals are for the threads that asked for them. */
static int start_thread(struct net_lookup *l)
{
    pthread_attr_t attr;
    pthread_t thread;
    sigset_t all, before;
    int rv;

    if (pthread_attr_init(&attr) != 0)
        return SIO_ERR_NOMEM;
    pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
    pthread_attr_setstacksize(&attr, LOOKUP_STACK_SIZE);
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    rv = pthread_create(&thread, &attr, lookup_thread, l);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    pthread_attr_destroy(&attr);
    return rv == 0 ? SIO_OK : SIO_ERR_NOMEM;
}

struct net_lookup *net_lookup_start(struct net_loop *loop, const char *host,
                                    uint16_t port, net_lookup_cb cb, void *user)
{
    struct net_lookup *l = mem_new(struct net_lookup);

    if (!l)
        return NULL;
    l->host = mem_strndup(host, strlen(host));
    l->resolver = l->host ? resolver_ref(loop) : NULL;
    if (!l->resolver)
        goto free_lookup;
    l->post.fn = on_found;
    l->post.arg = l;
    l->cb = cb;
    l->user = user;
    l->port = port;
    if (start_thread(l) < 0)
        goto unref_resolver;
    return l;

unref_resolver:
    resolver_unref(l->resolver);
free_lookup:
    lookup_free(l);
    return NULL;
}

void net_lookup_cancel(struct net_lookup *l)
{
    if (l)
        l->cb = NULL;
}
