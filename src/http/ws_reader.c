#include <config.h>

#include "http/ws_reader.h"

#include <wslay/wslay.h>

#include "base/list.h"
#include "base/mem.h"
#include "base/random.h"
#include "base/utf8.h"
#include "http/mask.h"

struct ws_reader {
    wslay_event_context_ptr wslay;
    ws_reader_send_cb send;
    void *user;
    const uint8_t *in; /* not yet read by wslay */
    size_t in_len;
    bool closed; /* by a good close frame */
    int error;
    struct ws_frame frame;
    uint8_t head_len;
    uint8_t n_held;
    uint8_t held[WS_FRAME_HEAD_MAX + WS_CONTROL_MAX];
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
    .on_msg_recv_callback = on_msg,
};

struct ws_reader *ws_reader_new(bool client, const struct ws_frame *f,
                                const uint8_t *head, size_t head_len,
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
    r->send = send;
    r->user = user;
    r->frame = *f;
    r->head_len = (uint8_t)head_len;
    ws_reader_feed(r, head, head_len);
    return r;
}

void ws_reader_free(struct ws_reader *r)
{
    if (!r)
        return;
    wslay_event_context_free(r->wslay);
    mem_free(r);
}

static int answer(struct ws_reader *r)
{
    int rv = 0;

    if (wslay_event_want_write(r->wslay))
        rv = wslay_event_send(r->wslay);
    if (r->error < 0)
        return r->error;
    if (rv != 0)
        return SIO_ERR_NOMEM; /* nothing else is left: limits were checked before */
    if (!wslay_event_get_close_sent(r->wslay))
        return 0;
    return r->closed && wslay_event_get_close_received(r->wslay)
               ? wslay_event_get_status_code_received(r->wslay)
               : wslay_event_get_status_code_sent(r->wslay);
}

static int show(struct ws_reader *r)
{
    r->in = r->held;
    r->in_len = r->n_held;
    if (wslay_event_recv(r->wslay) != 0 && r->error == SIO_OK)
        r->error = SIO_ERR_NOMEM;
    return answer(r);
}

/* A close frame whose code wslay does not know yet: answered with the same. */
static int show_close(struct ws_reader *r)
{
    uint8_t payload[WS_CONTROL_MAX];
    size_t len = (size_t)r->frame.len;
    unsigned code;

    ws_mask(payload, r->held + r->head_len, len, r->frame.mask, 0);
    code = len >= 2 ? (unsigned)payload[0] << 8 | payload[1] : 0;
    if (code < 1012 || code > 1014 || !utf8_check(payload + 2, len - 2))
        return show(r);
    if (wslay_event_queue_close(r->wslay, (uint16_t)code, payload + 2, len - 2) != 0)
        return SIO_ERR_NOMEM;
    r->closed = true;
    return answer(r);
}

void ws_reader_feed(struct ws_reader *r, const uint8_t *p, size_t len)
{
    memcpy(r->held + r->n_held, p, len);
    r->n_held += (uint8_t)len;
}

int ws_reader_end(struct ws_reader *r, bool *broken)
{
    int rv = r->frame.opcode == WS_CLOSE ? show_close(r) : show(r);

    *broken = rv > 0 && !r->closed;
    return rv;
}
