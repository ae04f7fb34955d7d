/* Whatever comes on a channel is read, or refused; what is read can be shown. */
#include <config.h>

#include "cluster/codec.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void on_event(struct sio_event *e, void *user)
{
    size_t *n = user;

    for (size_t i = 0; i < sio_event_n_args(e); i++)
        *n += sio_event_arg(e, i).len;
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
    size_t n = 0;

    for (size_t i = 0; i < m->rooms.n; i++)
        n += m->rooms.items[i].len;
    if (m->packet.len > 0) {
        (void)sio_cluster_show_packet(m->packet, SIO_STR("/"), on_event, &n);
        (void)sio_cluster_show_ack(m->packet, on_event, &n);
    }
    if (m->data.ptr)
        (void)sio_cluster_show_answer(m->data, on_event, &n);
    if (m->sockets.ptr)
        (void)sio_cluster_each_socket(m->sockets, SIO_STR("/"), on_socket, &n);
}

/* The first byte says what kind of channel it came on. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct sio_cluster_msg m;
    struct sio_slice in;
    int rv;

    if (size == 0)
        return 0;
    in = (struct sio_slice){NULL, data + 1, size - 1};
    if (data[0] == 'b')
        rv = sio_cluster_read_broadcast(in, &m);
    else if (data[0] == 'q')
        rv = sio_cluster_read_request(in, &m);
    else
        rv = sio_cluster_read_response(in, &m);
    if (rv == SIO_OK)
        look(&m);
    sio_cluster_msg_fini(&m);
    return 0;
}
