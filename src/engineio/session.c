#include <config.h>

#include "engineio/session.h"

#include <assert.h>

#include "base/mem.h"
#include "engineio/payload3.h"
#include "engineio/probe.h"
#include "engineio/server.h"

/* How long a polling client has to fetch what is left and the close packet. */
#define CLOSING_MS 30000

/* Lines a minute about clients that do not read. */
#define MAX_WARNINGS 20

/* Between a WebSocket's 101 and the open packet, protocol 3. */
#define HOLD_MS   5

#define NS_PER_MS UINT64_C(1000000)

/* Rows are from, columns to.  A session only moves forward. */
static const bool may_go[4][4] = {
    [EIO_OPENING] = {[EIO_OPEN] = true, [EIO_CLOSED] = true},
    [EIO_OPEN] = {[EIO_CLOSING] = true, [EIO_CLOSED] = true},
    [EIO_CLOSING] = {[EIO_CLOSED] = true},
};

static const char *const state_name[] = {"opening", "open", "closing", "closed"};

static void set_state(struct eio_session *s, enum eio_state to)
{
    assert(may_go[s->state][to]);
    log_debug(net_loop_log(s->table->loop), "session=%u state=%s", s->number,
              state_name[to]);
    s->state = to;
}

const char *eio_close_reason_text(enum eio_close_reason reason)
{
    switch (reason) {
    case EIO_CLOSE_TRANSPORT_CLOSE: return "transport close";
    case EIO_CLOSE_TRANSPORT_ERROR: return "transport error";
    case EIO_CLOSE_PARSE_ERROR: return "parse error";
    case EIO_CLOSE_PING_TIMEOUT: return "ping timeout";
    case EIO_CLOSE_FORCED: return "forced close";
    case EIO_CLOSE_SHUTDOWN: return "server shutting down";
    }
    return "";
}

/*
 * Starts the session's timer for a point in time; rounds up, since timers count
 * whole ms.
 */
static int timer_until(struct eio_session *s, uint64_t due_ns)
{
    uint64_t now_ns = net_loop_now_ns(s->table->loop);
    uint64_t left_ns = due_ns > now_ns ? due_ns - now_ns : 0;

    return net_timer_start(&s->timer, (left_ns + NS_PER_MS - 1) / NS_PER_MS);
}

static bool is_protocol_3(const struct eio_session *s)
{
    return s->form != EIO_FORM_4;
}

/*
 * The next ping and the deadline, both counted from now: the opening, or the client's
 * part of the heartbeat.
 */
static int heartbeat_restart(struct eio_session *s)
{
    uint64_t now_ns = net_loop_now_ns(s->table->loop);
    uint64_t ping_ns = now_ns + s->table->ping_interval_ms * NS_PER_MS;

    s->pinged = is_protocol_3(s);
    s->deadline_ns = ping_ns + s->table->ping_timeout_ms * NS_PER_MS;
    if (s->held)
        return SIO_OK; /* the timer is for something else, and soon done */
    return timer_until(s, s->pinged ? s->deadline_ns : ping_ns);
}

/* The deadline has passed; whoever comes first, timer or request, ends the session. */
static void expire(struct eio_session *s)
{
    if (s->state == EIO_OPEN)
        eio_session_fail(s, EIO_CLOSE_PING_TIMEOUT);
    else
        eio_session_abort(s, EIO_CLOSE_TRANSPORT_ERROR);
}

static void on_timer(struct net_timer *timer, void *user)
{
    struct eio_session *s = user;

    (void)timer;
    if (net_loop_now_ns(s->table->loop) >= s->deadline_ns) {
        expire(s);
        return;
    }
    if (s->state == EIO_OPEN && s->held) {
        s->held = false;
        eio_session_flush(s);
    } else if (s->state == EIO_OPEN && !s->pinged) {
        s->pinged = true;
        s->transport->ops->heartbeat(s->transport);
    }
    if (s->state != EIO_CLOSED && timer_until(s, s->deadline_ns) < 0)
        eio_session_fail(s, EIO_CLOSE_TRANSPORT_ERROR);
}

static void free_session(struct net_task *task)
{
    struct eio_session *s = container_of(task, struct eio_session, reap);

    list_remove(&s->turn_end.link);
    sio_buf_unref(s->request);
    mem_free(s);
}

/* The end of a turn in which messages were queued. */
static void on_turn_end(struct net_task *task)
{
    struct eio_session *s = container_of(task, struct eio_session, turn_end);

    if (s->state == EIO_CLOSED)
        return;
    if (s->doomed)
        eio_session_abort(s, EIO_CLOSE_TRANSPORT_ERROR);
    else
        eio_session_flush(s);
}

void eio_sessions_init(struct eio_sessions *table, struct net_loop *loop)
{
    table->loop = loop;
    map_init(&table->by_sid);
    map_init(&table->addresses);
    list_init(&table->open);
    list_init(&table->closing);
    list_init(&table->lingering);
}

void eio_sessions_fini(struct eio_sessions *table)
{
    map_fini(&table->by_sid);
    map_fini(&table->addresses);
}

bool eio_sessions_idle(const struct eio_sessions *table)
{
    return table->by_sid.n_items == 0 && list_empty(&table->lingering);
}

struct eio_session *eio_sessions_find(struct eio_sessions *table, struct sio_str sid)
{
    struct map_node *node = map_find(&table->by_sid, sid);
    struct eio_session *s;

    if (!node)
        return NULL;
    s = container_of(node, struct eio_session, node);
    if (net_loop_now_ns(table->loop) >= s->deadline_ns) {
        expire(s);
        return NULL;
    }
    return s;
}

struct eio_session *eio_session_new(struct eio_sessions *table, enum eio_form form)
{
    struct eio_session *s =
        mem_alloc(sizeof(*s) + table->sid_prefix_len + RANDOM_ID_LEN + 1);

    if (!s)
        return NULL;
    s->table = table;
    s->number = ++table->last_number;
    s->form = (uint8_t)form;
    list_init(&s->link);
    list_init(&s->turn_end.link);
    list_init(&s->reap.link);
    s->turn_end.run = on_turn_end;
    s->reap.run = free_session;
    net_timer_init(&s->timer, table->loop, on_timer, s);
    memcpy(s->sid, table->sid_prefix, table->sid_prefix_len);
    random_id(net_loop_random(table->loop), s->sid + table->sid_prefix_len);
    if (heartbeat_restart(s) < 0)
        goto free_session;
    if (map_add(&table->by_sid, &s->node, eio_session_sid(s)) < 0)
        goto stop_timer;
    return s;

stop_timer:
    net_timer_stop(&s->timer);
free_session:
    mem_free(s);
    return NULL;
}

void eio_session_write_open(const struct eio_session *s, bool can_upgrade,
                            struct wbuf *w)
{
    struct eio_open o = {
        .sid = eio_session_sid(s),
        .can_upgrade = can_upgrade,
        .ping_interval_ms = s->table->ping_interval_ms,
        .ping_timeout_ms = s->table->ping_timeout_ms,
        .max_payload = (uint32_t)s->table->max_payload,
    };

    eio_open_write(w, &o);
}

/* The transport in charge is the one that statistics count. */
static void set_transport(struct eio_session *s, struct eio_transport *t)
{
    struct eio_server_stats *stats = &s->table->stats;

    if (s->transport && s->transport->ops == &eio_websocket_ops)
        stats->n_websocket--;
    if (t && t->ops == &eio_websocket_ops)
        stats->n_websocket++;
    s->transport = t;
}

void eio_session_opened(struct eio_session *s, struct eio_transport *t)
{
    set_state(s, EIO_OPEN);
    set_transport(s, t);
    list_append(&s->table->open, &s->link);
    s->table->stats.n_sessions++;
    s->table->stats.n_opened++;
}

int eio_session_hold(struct eio_session *s, struct sio_str open_packet)
{
    struct eio_msg *msg = eio_msg_packet(open_packet);
    int rv;

    if (!msg)
        return SIO_ERR_NOMEM;
    rv = eio_queue_push(&s->queue, msg, SIZE_MAX, &s->table->stats.n_dropped);
    eio_msg_unref(msg);
    if (rv == SIO_OK)
        rv = net_timer_start(&s->timer, HOLD_MS);
    s->held = rv == SIO_OK;
    return rv;
}

/* Takes s out of everything; its memory lives to the end of the turn. */
static void leave_table(struct eio_session *s)
{
    list_remove(&s->link);
    map_remove(&s->table->by_sid, &s->node);
    eio_address_drop(&s->table->addresses, s->address);
    net_timer_stop(&s->timer);
    eio_queue_fini(&s->queue);
    net_loop_reap(s->table->loop, &s->reap);
}

void eio_session_discard(struct eio_session *s)
{
    set_state(s, EIO_CLOSED);
    leave_table(s);
}

static void report(struct eio_session *s, enum eio_close_reason reason)
{
    s->table->stats.n_sessions--;
    log_debug(net_loop_log(s->table->loop), "session=%u closed=\"%s\"", s->number,
              eio_close_reason_text(reason));
    if (s->ops)
        s->ops->on_close(s, reason, s->user);
}

/*
 * To CLOSED by a transport's close or abort.  The owner hears first, while the session
 * still has its transport's name.
 */
static void end(struct eio_session *s, enum eio_close_reason reason, bool cut)
{
    bool was_open = s->state == EIO_OPEN;
    struct eio_transport *t = s->transport;

    eio_probe_end(s);
    set_state(s, EIO_CLOSED);
    leave_table(s);
    if (was_open)
        report(s, reason);
    set_transport(s, NULL);
    if (cut)
        t->ops->abort(t);
    else
        t->ops->close(t, reason);
    s->table->on_gone(s->table);
}

void eio_session_fail(struct eio_session *s, enum eio_close_reason reason)
{
    if (s->state == EIO_OPEN || s->state == EIO_CLOSING)
        end(s, reason, false);
}

void eio_session_abort(struct eio_session *s, enum eio_close_reason reason)
{
    if (s->state == EIO_OPEN || s->state == EIO_CLOSING)
        end(s, reason, true);
}

void eio_session_flush(struct eio_session *s)
{
    if (s->transport->ops->flush(s->transport) < 0)
        eio_session_fail(s, EIO_CLOSE_TRANSPORT_ERROR);
}

void eio_session_close(struct eio_session *s, enum eio_close_reason reason)
{
    if (s->state != EIO_OPEN)
        return;
    set_state(s, EIO_CLOSING);
    s->reason = (uint8_t)reason;
    list_remove(&s->link);
    list_append(&s->table->closing, &s->link);
    s->deadline_ns = net_loop_now_ns(s->table->loop) + CLOSING_MS * NS_PER_MS;
    if (timer_until(s, s->deadline_ns) < 0)
        s->deadline_ns =
            0; /* no timer: the next request, or the server's end, finds it */
    report(s, reason);
    if (s->state == EIO_CLOSING)
        s->transport->ops->finish(s->transport, reason);
}

void eio_session_drained(struct eio_session *s)
{
    eio_probe_end(s);
    set_state(s, EIO_CLOSED);
    leave_table(s);
    set_transport(s, NULL);
    s->table->on_gone(s->table);
}

struct eio_transport *eio_session_switch(struct eio_session *s, struct eio_transport *t)
{
    struct eio_transport *old = s->transport;

    set_transport(s, t);
    s->table->stats.n_upgraded++;
    log_debug(net_loop_log(s->table->loop), "session=%u transport=%s", s->number,
              t->ops->name);
    return old;
}

static void deliver(struct eio_session *s, bool text, struct sio_slice msg)
{
    s->table->stats.messages_in++;
    s->table->stats.bytes_in += msg.len;
    if (s->ops)
        s->ops->on_message(s, text, msg, s->user);
}

static int receive_message(struct eio_session *s, const struct eio_packet *p,
                           struct sio_buf *buf)
{
    struct sio_slice msg = {buf, (const uint8_t *)p->data.ptr, p->data.len};
    struct sio_buf *decoded = NULL;
    int rv;

    if (p->base64) {
        rv = eio_packet_decode(p, &decoded);
        if (rv < 0)
            return rv;
        msg = sio_slice_of(decoded);
    }
    deliver(s, !p->base64 && !p->binary, msg);
    sio_buf_unref(decoded);
    return SIO_OK;
}

/* Protocol 3: the client's ping is answered, and nothing else keeps it alive. */
static int receive_ping(struct eio_session *s)
{
    int rv;

    if (!is_protocol_3(s))
        return SIO_ERR_PROTOCOL;
    rv = heartbeat_restart(s);
    if (rv == SIO_OK)
        s->transport->ops->heartbeat(s->transport);
    return rv;
}

static int receive_pong(struct eio_session *s)
{
    return is_protocol_3(s) ? SIO_ERR_PROTOCOL : heartbeat_restart(s);
}

int eio_session_receive(struct eio_session *s, const struct eio_packet *p,
                        struct sio_buf *buf)
{
    /* Who is told to go may say that it goes, and nothing else. */
    if (s->state == EIO_CLOSING && p->type != EIO_PACKET_CLOSE)
        return SIO_OK;
    switch (p->type) {
    case EIO_PACKET_MESSAGE: return receive_message(s, p, buf);
    case EIO_PACKET_PING: return receive_ping(s);
    case EIO_PACKET_PONG: return receive_pong(s);
    case EIO_PACKET_CLOSE:
        eio_session_fail(s, EIO_CLOSE_TRANSPORT_CLOSE);
        return SIO_OK;
    case EIO_PACKET_UPGRADE: return SIO_OK; /* outside a probe it has nothing to say */
    case EIO_PACKET_OPEN:
    case EIO_PACKET_NOOP: return SIO_ERR_PROTOCOL; /* a server's words */
    }
    return SIO_ERR_PARSE;
}

int eio_session_parse(const struct eio_session *s, struct sio_str text,
                      struct eio_packet *out)
{
    return is_protocol_3(s) ? eio_packet3_parse(text, out)
                            : eio_packet_parse(text, out);
}

int eio_session_receive_binary(struct eio_session *s, struct sio_slice bytes)
{
    struct sio_str str = {(const char *)bytes.ptr, bytes.len};
    struct eio_packet packet;

    if (is_protocol_3(s)) {
        if (eio_packet3_parse_binary(str, &packet) < 0)
            return SIO_ERR_PARSE;
        bytes.ptr++;
        bytes.len--;
    }
    deliver(s, false, bytes);
    return SIO_OK;
}

enum eio_close_reason eio_session_reason_of(int error)
{
    return error == SIO_ERR_PARSE ? EIO_CLOSE_PARSE_ERROR : EIO_CLOSE_TRANSPORT_ERROR;
}

/*
 * The client would see a gap: the session ends, but not under the feet of who is
 * sending.
 */
static int doom(struct eio_session *s, int error)
{
    struct eio_sessions *table = s->table;

    if (log_limit(&table->warned, net_loop_now_ms(table->loop), MAX_WARNINGS))
        log_warn(net_loop_log(table->loop), "session=%u cut off waiting_bytes=%zu: %s",
                 s->number, s->queue.bytes, sio_strerror(error));
    s->doomed = true;
    net_loop_defer(table->loop, &s->turn_end);
    return error;
}

static int enqueue(struct eio_session *s, struct eio_msg *msg)
{
    struct eio_sessions *table = s->table;
    int rv =
        eio_queue_push(&s->queue, msg, table->max_queue_bytes, &table->stats.n_dropped);

    if (rv != SIO_ERR_FULL || (!s->held && !s->transport->ops->writable(s->transport)))
        return rv;
    /*
     * A client that waits for data need not wait for the end of the turn.  Nobody is
     * called from here: whoever sends may be walking through sessions.
     */
    s->held = false;
    if (s->transport->ops->flush(s->transport) < 0)
        return SIO_ERR_NOMEM;
    return eio_queue_push(&s->queue, msg, table->max_queue_bytes,
                          &table->stats.n_dropped);
}

static int enqueue_and_flush(struct eio_session *s, struct eio_msg *msg)
{
    int rv = enqueue(s, msg);

    if (rv == SIO_OK && s->transport->ops->writable(s->transport))
        net_loop_defer(s->table->loop, &s->turn_end);
    return rv;
}

void eio_session_queue(struct eio_session *s, struct sio_str packet)
{
    struct eio_msg *msg = eio_msg_packet(packet);
    int rv = msg ? enqueue_and_flush(s, msg) : SIO_ERR_NOMEM;

    eio_msg_unref(msg);
    if (rv < 0)
        doom(s, rv);
}

int eio_session_send(struct eio_session *s, struct eio_msg *msg)
{
    struct eio_server_stats *stats = &s->table->stats;
    struct eio_transport *t = s->transport;
    int rv = SIO_ERR_AGAIN;

    if (s->state != EIO_OPEN || s->doomed)
        return SIO_ERR_CLOSED;
    if (is_protocol_3(s)) {
        msg = eio_msg_form(msg, (enum eio_form)s->form);
        if (!msg)
            return doom(s, SIO_ERR_NOMEM);
    }
    if (eio_queue_empty(&s->queue))
        rv = t->ops->send(t, msg);
    if (rv == SIO_ERR_AGAIN) {
        if (msg->is_volatile && !t->ops->writable(t)) {
            stats->n_dropped++;
            return SIO_OK;
        }
        rv = enqueue_and_flush(s, msg);
    }
    if (rv == SIO_ERR_CLOSED)
        return rv;
    if (rv < 0)
        return doom(s, rv);
    stats->messages_out++;
    stats->bytes_out += msg->bytes;
    return SIO_OK;
}

size_t eio_session_pending(const struct eio_session *s)
{
    return s->queue.bytes +
           (s->transport ? s->transport->ops->pending(s->transport) : 0);
}

void eio_session_set_ops(struct eio_session *s, const struct eio_session_ops *ops,
                         void *user)
{
    s->ops = ops;
    s->user = user;
}

const struct eio_handshake *eio_session_handshake(const struct eio_session *s)
{
    return &s->handshake;
}

const char *eio_session_transport(const struct eio_session *s)
{
    return s->transport ? s->transport->ops->name : "";
}

int eio_session_protocol(const struct eio_session *s)
{
    return is_protocol_3(s) ? 3 : 4;
}

struct sio_str eio_session_sid(const struct eio_session *s)
{
    return (struct sio_str){s->sid, s->table->sid_prefix_len + RANDOM_ID_LEN};
}

uint32_t eio_session_number(const struct eio_session *s)
{
    return s->number;
}
