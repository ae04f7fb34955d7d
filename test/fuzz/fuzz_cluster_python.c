/*
 * Whatever comes on Python's channel is read, or refused; the arguments of what was read
 * can be sent, and an answer that is written is a message again.
 */
#include <config.h>

#include <stdlib.h>

#include "cluster/python.h"
#include "engineio/msg.h"
#include "socketio/event.h"
#include "socketio/message.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void add_args(struct sio_event *e, void *user)
{
    (void)sio_message_add_event(user, e, 0);
}

static void send_it(const struct sio_python_msg *m)
{
    struct sio_message *message = sio_message_new("e");
    struct eio_msg *msg;

    if (!message)
        return;
    if (sio_python_show(m, add_args, message) < 0 ||
        sio_message_encode_plain(message, &sio_parser_json, SIO_STR("/"), &msg) < 0)
        abort();
    if (msg->n_parts != m->args.n_attachments + 1)
        abort();
    eio_msg_unref(msg);
    sio_message_free(message);
}

static void answer(struct sio_event *e, void *user)
{
    const struct sio_python_msg *m = user;
    struct sio_python_msg again;
    struct wbuf w;

    wbuf_init(&w, UINT32_MAX);
    if (sio_python_write_callback(&w, m->base.uid, &m->callback, e) == SIO_OK) {
        struct sio_slice in = {NULL, w.buf->data, w.len};

        if (sio_python_read(in, &again) < 0 || again.method != SIO_PYTHON_CALLBACK)
            abort();
        sio_python_msg_fini(&again);
    }
    wbuf_fini(&w);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct sio_python_msg m;

    if (sio_python_read((struct sio_slice){NULL, data, size}, &m) == SIO_OK &&
        m.method == SIO_PYTHON_EMIT) {
        send_it(&m);
        if (m.callback.id.ptr)
            (void)sio_python_show(&m, answer, &m);
    }
    sio_python_msg_fini(&m);
    return 0;
}
