/*
 * embed.h - the server of embed-glib and embed-uv, which knows nothing of either
 *
 * Clients are told how often the other loop's timer rang, and may ask with "hello".
 */
#ifndef EXAMPLES_EMBED_H
#define EXAMPLES_EMBED_H

#include <stdio.h>
#include <stdlib.h>

#include <sioc/sioc.h>

struct embed {
    struct net_loop *loop;
    struct sio_server *server;
    struct sio_namespace *ns;
    int ticks;
};

static inline void embed_on_hello(struct sio_socket *s, struct sio_event *e, void *user)
{
    const struct embed *em = user;

    (void)s;
    sio_event_ackf(e, "i", em->ticks);
}

static inline int embed_listen(struct embed *em, int port, struct sio_diag *diag)
{
    static const struct sio_namespace_ops ops = {0};
    struct sio_server_options opts = {.engine = {.cors = true}};
    struct eio_listen_options where = {.host = "127.0.0.1", .port = (uint16_t)port};

    em->loop = net_loop_new(NULL, diag);
    if (!em->loop)
        return SIO_ERR_IO;
    em->server = sio_server_new(em->loop, &opts, diag);
    if (!em->server)
        return SIO_ERR_INVAL;
    em->ns = sio_server_namespace(em->server, "/", &ops, em);
    if (!em->ns || sio_namespace_on(em->ns, "hello", embed_on_hello, em) < 0)
        return sio_diag_set(diag, SIO_ERR_NOMEM, "out of memory");
    return sio_server_listen(em->server, &where, diag);
}

/* Listens, and says where, or why not.  In both cases embed_stop is to follow. */
static inline bool embed_start(struct embed *em, int argc, char **argv)
{
    struct sio_diag diag = {""};
    int port = embed_listen(em, argc > 1 ? atoi(argv[1]) : 3000, &diag);

    if (port > 0)
        printf("listening on http://127.0.0.1:%d/\n", port);
    else
        fprintf(stderr, "%s: %s\n", argv[0], diag.text);
    fflush(stdout);
    return port > 0;
}

static inline void embed_tick(struct embed *em)
{
    sio_namespace_emitf(em->ns, NULL, "tick", "i", ++em->ticks);
}

static inline void embed_stop(struct embed *em)
{
    sio_server_free(em->server);
    net_loop_free(em->loop);
}

#endif
