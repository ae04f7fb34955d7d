#include <config.h>

#include "http/ws_reader.h"

#include <wslay/wslay.h>

#include "base/buf.h"
#include "base/list.h"
#include "base/mem.h"
#include "base/random.h"

#define DEFAULT_FRAGMENTS 16384

struct ws_reader {
    wslay_event_context_ptr wslay;
    const struct ws_options *opts;
    ws_reader_send_cb send;
    void *user;
    const uint8_t *in; /* of the present frame, not yet read by wslay */
    size_t in_len;
    struct wbuf message;
    uint64_t announced; /* bytes of the message's frames so far */
    uint32_t n_fragments;
    bool in_message;
    bool text;
    bool control; /* the present frame is one */
    bool closed;  /* by a good close frame */
    int error;
};

static ssize_t on_recv(wslay_event_context_ptr wslay, uint8_t *buf, size_t len,
                       int flags, void *user)
{
    struct ws_reader *r = user;
    size_t n = len < r->in_len ? len : r->in_len;

    (void)flags;
    if (n == 0) {
        wslay_event_set_error(wslay, WSLAY_ERR_WOULDBLOCK);
        return -1;
    }
    memcpy(buf, r->in, n);
    r->in += n;
    r->in_len -= n;
    return (ssize_t)n;
}

static ssize_t on_send(wslay_event_context_ptr wslay, const uint8_t *data, size_t len,
                       int flags, void *user)
{
    struct ws_reader *r = user;
    int rv = r->send(data, len, r->user);

    (void)flags;
    if (rv < 0) {
        r->error = rv;
        wslay_event_set_error(wslay, WSLAY_ERR_CALLBACK_FAILURE);
        return -1;
    }
    return (ssize_t)len;
}

static int on_mask(wslay_event_context_ptr wslay, uint8_t *buf, size_t len, void *user)
{
    (void)wslay;
    (void)user;
    random_bytes(buf, len);
    return 0;
}

static void on_chunk(wslay_event_context_ptr wslay,
                     const struct wslay_event_on_frame_recv_chunk_arg *arg, void *user)
{
    struct ws_reader *r = user;

    (void)wslay;
    if (!r->control)
        wbuf_add(&r->message, arg->data, arg->data_length);
}

static void on_msg(wslay_event_context_ptr wslay,
                   const struct wslay_event_on_msg_recv_arg *arg, void *user)
{
    struct ws_reader *r = user;

    (void)wslay;
    if (arg->opcode == WSLAY_CONNECTION_CLOSE)
        r->closed = true;
}

static const struct wslay_event_callbacks callbacks = {
    .recv_callback = on_recv,
    .send_callback = on_send,
    .genmask_callback = on_mask,
    .on_frame_recv_chunk_callback = on_chunk,
    .on_msg_recv_callback = on_msg,
};

struct ws_reader *ws_reader_new(bool client, const struct ws_options *opts,
                                ws_reader_send_cb send, void *user)
{
    struct ws_reader *r = mem_new(struct ws_reader);
    int rv;

    if (!r)
        return NULL;
    rv = client ? wslay_event_context_client_init(&r->wslay, &callbacks, r)
                : wslay_event_context_server_init(&r->wslay, &callbacks, r);
    if (rv != 0) {
        mem_free(r);
        return NULL;
    }
    wslay_event_config_set_no_buffering(r->wslay, 1);
    /* Ours counts the message, and is no limit for control frames. */
    wslay_event_config_set_max_recv_msg_length(r->wslay, UINT64_MAX >> 1);
    r->opts = opts;
    r->send = send;
    r->user = user;
    wbuf_init(&r->message, opts->max_message);
    return r;
}

void ws_reader_free(struct ws_reader *r)
{
    if (!r)
        return;
    wslay_event_context_free(r->wslay);
    wbuf_fini(&r->message);
    mem_free(r);
}

bool ws_reader_in_message(const struct ws_reader *r)
{
    return r && r->in_message;
}

int ws_reader_begin(struct ws_reader *r, const struct ws_frame *f)
{
    uint32_t max = r->opts->max_fragments ? r->opts->max_fragments : DEFAULT_FRAGMENTS;

    r->control = ws_frame_is_control(f);
    if (r->control)
        return 0;
    if (f->opcode != WS_CONTINUATION) {
        r->text = f->opcode == WS_TEXT;
        r->announced = 0;
        r->n_fragments = 0;
    }
    r->in_message = true;
    if (f->len > r->opts->max_message - r->announced)
        return WS_CLOSE_TOO_BIG;
    r->announced += f->len;
    return ++r->n_fragments > max ? WS_CLOSE_POLICY : 0;
}

/* How it ended, once wslay has sent a close frame. */
static int end_code(const struct ws_reader *r)
{
    if (r->closed)
        return wslay_event_get_status_code_received(r->wslay);
    return wslay_event_get_status_code_sent(r->wslay);
}

int ws_reader_feed(struct ws_reader *r, const uint8_t *p, size_t len)
{
    int rv;

    r->in = p;
    r->in_len = len;
    rv = wslay_event_recv(r->wslay);
    if (rv == 0 && wslay_event_want_write(r->wslay))
        rv = wslay_event_send(r->wslay);
    if (r->error < 0)
        return r->error;
    if (rv != 0 || r->message.error)
        return SIO_ERR_NOMEM; /* nothing else is left: limits were checked before */
    return wslay_event_get_close_sent(r->wslay) ? end_code(r) : 0;
}

struct sio_buf *ws_reader_take(struct ws_reader *r, bool *text)
{
    r->in_message = false;
    *text = r->text;
    return wbuf_take(&r->message);
}
