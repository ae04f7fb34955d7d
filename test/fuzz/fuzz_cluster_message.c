/* Whatever comes on a sharded channel is read, or refused; what is read can be shown. */
#include <config.h>

#include "cluster/message.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void on_event(struct sio_event *e, void *user)
{
    static const struct sio_sharded_sender from = {SIO_STR_INIT("u"),
                                                   SIO_STR_INIT("/")};
    size_t *n = user;
    struct sio_cluster_msg again;
    struct wbuf w;

    for (size_t i = 0; i < sio_event_n_args(e); i++)
        *n += sio_event_arg(e, i).len;
    /* What is shown can be said again, and is understood. */
    wbuf_init(&w, UINT32_MAX);
    if (sio_sharded_write_answer(&w, &from, SIO_SHARDED_ACK, SIO_STR("q"), e) ==
        SIO_OK) {
        struct sio_str s = wbuf_str(&w);
        int rv = sio_sharded_read(
            (struct sio_slice){NULL, (const uint8_t *)s.ptr, s.len}, &again);

        if (rv != SIO_OK && rv != SIO_ERR_TOO_BIG)
            __builtin_trap();
        sio_cluster_msg_fini(&again);
    }
    wbuf_fini(&w);
}

static int on_socket(const struct sio_fetched *s, void *user)
{
    size_t *n = user;

    for (size_t i = 0; i < s->n_rooms; i++)
        *n += s->rooms[i].len;
    return SIO_OK;
}

static void look(const struct sio_cluster_msg *m)
{
    size_t n = m->uid.len + m->nsp.len;

    for (size_t i = 0; i < m->rooms.n; i++)
        n += m->rooms.items[i].len;
    for (size_t i = 0; i < m->names.n; i++)
        n += m->names.items[i].len;
    if (m->type == SIO_SHARDED_BROADCAST || m->type == SIO_SHARDED_SIDE_EMIT ||
        m->type == SIO_SHARDED_SIDE_ANSWER || m->type == SIO_SHARDED_ACK)
        (void)sio_sharded_show(m, on_event, &n);
    if (m->sockets.ptr)
        (void)sio_cluster_each_socket(m->sockets, m->nsp, on_socket, &n);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct sio_cluster_msg m;

    if (sio_sharded_read((struct sio_slice){NULL, data, size}, &m) == SIO_OK)
        look(&m);
    sio_cluster_msg_fini(&m);
    return 0;
}
