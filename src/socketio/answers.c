/*
 * answers.c - a question to many sockets, or servers, and what each answered
 */
#include <config.h>

#include "base/mem.h"
#include "socketio/ack.h"
#include "socketio/client_conn.h"
#include "socketio/event.h"
#include "socketio/message.h"
#include "socketio/namespace.h"
#include "socketio/parent.h"
#include "socketio/request.h"
#include "socketio/server.h"
#include "socketio/socket.h"

/* Where nothing has come yet. */
#define PENDING 1

struct answer {
    struct sio_str id; /* text is the collection's, or the answer's own */
    int status;
    struct sio_event *event; /* kept */
};

/* A socket that was asked. */
struct asked {
    struct sio_answers *answers;
    struct sio_waiting waiting;
};

struct sio_answers {
    struct sio_request request;
    sio_answers_cb cb;
    void *user;
    const struct sio_ask_ops *ops; /* NULL: answers are kept, for cb */
    struct answer *items;          /* of the sockets here, n_asked, then of others */
    size_t n;
    size_t cap;
    struct asked *asked; /* in one block with the ids */
    size_t n_asked;
};

size_t sio_answers_n(const struct sio_answers *a)
{
    return a->n;
}

struct sio_str sio_answers_id(const struct sio_answers *a, size_t i)
{
    return i < a->n ? a->items[i].id : (struct sio_str){NULL, 0};
}

int sio_answers_status(const struct sio_answers *a, size_t i)
{
    return i < a->n ? a->items[i].status : SIO_ERR_INVAL;
}

struct sio_event *sio_answers_event(const struct sio_answers *a, size_t i)
{
    return i < a->n ? a->items[i].event : NULL;
}

static struct sio_answers *answers_of(struct sio_request *r)
{
    return container_of(r, struct sio_answers, request);
}

/* Who has not answered by now does not count any more. */
static void stop_waiting(struct sio_answers *a, int status)
{
    for (size_t i = 0; i < a->n_asked; i++)
        if (a->items[i].status == PENDING) {
            a->items[i].status = status;
            sio_acks_take(&a->asked[i].waiting);
            sio_request_end(&a->request, SIO_OK);
        }
}

static void tell(struct sio_request *r, int status)
{
    struct sio_answers *a = answers_of(r);

    stop_waiting(a, status);
    a->cb(status, a, a->user);
}

static void answers_free(struct sio_request *r)
{
    struct sio_answers *a = answers_of(r);

    for (size_t i = 0; i < a->n; i++) {
        sio_event_free(a->items[i].event);
        if (i >= a->n_asked)
            mem_free((char *)a->items[i].id.ptr);
    }
    mem_free(a->items);
    mem_free(a->asked);
    mem_free(a);
}

static const struct sio_request_ops request_ops = {tell, answers_free};

static void nothing(int status, const struct sio_answers *answers, void *user)
{
    (void)status;
    (void)answers;
    (void)user;
}

static struct sio_answers *answers_new(struct sio_namespace *ns, sio_answers_cb cb,
                                       void *user)
{
    struct sio_answers *a = mem_new(struct sio_answers);

    if (!a)
        return NULL;
    a->cb = cb ? cb : nothing;
    a->user = user;
    sio_request_init(&a->request, ns, &request_ops);
    return a;
}

/* Of other servers */

void sio_answers_begin(struct sio_answers *a)
{
    sio_request_begin(&a->request);
}

void sio_answers_end(struct sio_answers *a, int status)
{
    sio_request_end(&a->request, status);
}

static bool grow(struct sio_answers *a)
{
    size_t cap = a->cap + a->cap / 2 + 8;
    struct answer *items;

    if (a->n < a->cap)
        return true;
    items = mem_resize(a->items, cap, sizeof(*items));
    if (!items)
        return false;
    a->items = items;
    a->cap = cap;
    return true;
}

static int add(struct sio_answers *a, struct sio_str id, int status,
               const struct sio_event *e)
{
    struct answer answer = {.status = status};
    char *text = mem_strndup(id.ptr, id.len);

    if (!text || !grow(a)) {
        mem_free(text);
        return SIO_ERR_NOMEM;
    }
    answer.id = (struct sio_str){text, id.len};
    answer.event = e ? sio_event_keep(e) : NULL;
    if (e && !answer.event)
        answer.status = SIO_ERR_NOMEM;
    a->items[a->n++] = answer;
    return answer.status == SIO_ERR_NOMEM ? SIO_ERR_NOMEM : SIO_OK;
}

int sio_answers_add(struct sio_answers *a, struct sio_str id, int status,
                    const struct sio_event *e)
{
    int rv;

    if (a->request.told)
        return SIO_OK;
    rv = add(a, id, status, e);
    if (a->request.status == SIO_OK)
        a->request.status = rv < 0 ? rv : status;
    return rv;
}

/* Of this server's sockets */

static void on_answer(int status, struct sio_event *e, void *user)
{
    struct asked *asked = user;
    struct sio_answers *a = asked->answers;
    struct answer *answer = &a->items[asked - a->asked];

    answer->status = status;
    if (e && a->ops) {
        a->ops->on_answer(e, a->user);
    } else if (e) {
        answer->event = sio_event_keep(e);
        if (!answer->event)
            answer->status = SIO_ERR_NOMEM;
    }
    sio_request_end(&a->request, answer->status);
}

/* Room for one answer of each, with their ids. */
static int make_room(struct sio_answers *a, const struct sio_socket_list *list)
{
    size_t size = 0;
    char *text;

    for (size_t i = 0; i < list->n; i++)
        size += sio_socket_id(list->items[i]).len;
    a->items = mem_array(list->n + 1, sizeof(*a->items));
    a->asked = mem_alloc(list->n * sizeof(*a->asked) + size + 1);
    if (!a->items || !a->asked)
        return SIO_ERR_NOMEM;
    a->cap = list->n + 1;
    a->n = a->n_asked = list->n;
    text = (char *)(a->asked + list->n);
    for (size_t i = 0; i < list->n; i++) {
        struct sio_str id = sio_socket_id(list->items[i]);

        memcpy(text, id.ptr, id.len);
        a->items[i].id = (struct sio_str){text, id.len};
        a->items[i].status = SIO_ERR_CLOSED;
        text += id.len;
    }
    return SIO_OK;
}

static int ask(struct sio_answers *a, size_t i, struct sio_socket *s,
               struct eio_msg *msg, uint64_t id)
{
    struct asked *asked = &a->asked[i];
    int rv;

    if (s->state != SIO_SOCKET_JOINED)
        return SIO_ERR_CLOSED;
    asked->answers = a;
    asked->waiting.cb = on_answer;
    asked->waiting.user = asked;
    rv = sio_acks_put(&s->acks, &asked->waiting, id);
    if (rv < 0)
        return rv;
    rv = sio_conn_send(s->conn, msg);
    if (rv < 0) {
        sio_acks_take(&asked->waiting);
        return rv;
    }
    sio_request_begin(&a->request);
    return PENDING;
}

/* Before the id is chosen: a listener may ask a question of its own. */
static int tell_listeners(struct sio_namespace *ns, const struct sio_socket_list *list,
                          struct sio_message *m)
{
    struct eio_msg *msg;
    int rv = sio_message_encode(m, ns->server->codec.parser, SIO_PACKET_EVENT,
                                sio_namespace_name(ns), false, 0, &msg);

    if (rv < 0)
        return rv;
    sio_namespace_tell(ns, list, msg);
    eio_msg_unref(msg);
    return SIO_OK;
}

/*
 * Asks the sockets of one namespace, which are those from first to end in the list,
 * with one encoding: its id is one that none of them has used.
 */
static int ask_some(struct sio_answers *a, const struct sio_socket_list *list,
                    size_t first, size_t end, struct sio_message *m)
{
    struct sio_namespace *ns = list->items[first]->ns;
    struct sio_socket_list part = {.items = list->items + first, .n = end - first};
    struct eio_msg *msg;
    uint64_t id = 0;
    int rv = sio_namespace_listens(ns) ? tell_listeners(ns, &part, m) : SIO_OK;

    if (rv < 0)
        return rv;
    for (size_t i = first; i < end; i++)
        if (list->items[i]->acks.next_id > id)
            id = list->items[i]->acks.next_id;
    rv = sio_message_encode(m, ns->server->codec.parser, SIO_PACKET_EVENT,
                            sio_namespace_name(ns), true, id, &msg);
    if (rv < 0)
        return rv;
    for (size_t i = first; i < end; i++) {
        a->items[i].status = ask(a, i, list->items[i], msg, id);
        if (a->items[i].status < 0 && a->request.status == SIO_OK)
            a->request.status = a->items[i].status;
    }
    eio_msg_unref(msg);
    return SIO_OK;
}

static int ask_all(struct sio_answers *a, const struct sio_socket_list *list,
                   struct sio_message *m)
{
    size_t first = 0;

    while (first < list->n) {
        size_t end = first + 1;
        int rv;

        while (end < list->n && list->items[end]->ns == list->items[first]->ns)
            end++;
        rv = ask_some(a, list, first, end, m);
        if (rv < 0)
            return rv;
        first = end;
    }
    return SIO_OK;
}

static int ask_others(struct sio_answers *a, struct sio_namespace *ns,
                      const struct sio_target *target, struct sio_message *m,
                      uint32_t timeout_ms)
{
    struct sio_namespace *at;
    int rv = SIO_OK;

    if (target && target->local)
        return SIO_OK;
    for (at = sio_namespace_next(ns, NULL); at && rv == SIO_OK;
         at = sio_namespace_next(ns, at))
        if (at->adapter->ops->remote_ask)
            rv = at->adapter->ops->remote_ask(at->adapter, target, m, timeout_ms, a);
    return rv;
}

/* Asks those of this server.  With an error a is gone. */
static int ask_here(struct sio_answers *a, struct sio_namespace *ns,
                    const struct sio_target *target, struct sio_message *m,
                    uint32_t timeout_ms, int *status)
{
    struct sio_socket_list list = {0};
    int rv = sio_namespace_list(ns, target, &list);

    if (rv == SIO_OK)
        rv = make_room(a, &list);
    if (rv == SIO_OK)
        rv = sio_request_start(&a->request, timeout_ms);
    if (rv == SIO_OK)
        rv = ask_all(a, &list, m);
    mem_free(list.items);
    *status = rv;
    if (rv == SIO_OK || a->request.n_parts > 1)
        return SIO_OK;
    sio_request_drop(&a->request);
    return rv;
}

int sio_namespace_emit_ack(struct sio_namespace *ns, const struct sio_target *target,
                           struct sio_message *m, uint32_t timeout_ms,
                           sio_answers_cb cb, void *user)
{
    struct sio_answers *a;
    int rv, status;

    if (!ns->server->engine) /* who is told so may ask again at once */
        return SIO_ERR_CLOSED;
    a = answers_new(ns, cb, user);
    if (!a)
        return SIO_ERR_NOMEM;
    rv = ask_here(a, ns, target, m, timeout_ms, &status);
    if (rv < 0)
        return rv;
    if (status == SIO_OK)
        status = ask_others(a, ns, target, m, timeout_ms);
    sio_request_end(&a->request, status);
    return SIO_OK;
}

static void on_asked_all(int status, const struct sio_answers *a, void *user)
{
    (void)status;
    a->ops->on_end(user);
}

int sio_namespace_ask(struct sio_namespace *ns, const struct sio_target *target,
                      struct sio_message *m, uint32_t timeout_ms,
                      const struct sio_ask_ops *ops, void *user)
{
    struct sio_answers *a = answers_new(ns, on_asked_all, user);
    size_t n = 0;
    int rv, status;

    if (!a)
        return SIO_ERR_NOMEM;
    a->ops = ops;
    rv = ask_here(a, ns, target, m, timeout_ms, &status);
    if (rv < 0)
        return rv;
    for (size_t i = 0; i < a->n_asked; i++)
        n += a->items[i].status == PENDING;
    ops->on_asked(n, user);
    sio_request_end(&a->request, status);
    return SIO_OK;
}

/* Between servers */

/* The others cannot be reached now; nothing is wrong with what they should be told. */
static bool is_result(int status)
{
    return status == SIO_ERR_CLOSED || status == SIO_ERR_TIMEOUT ||
           status == SIO_ERR_FULL;
}

int sio_namespace_side_emit(struct sio_namespace *ns, struct sio_message *m,
                            uint32_t timeout_ms, sio_answers_cb cb, void *user)
{
    struct sio_adapter *adapter = ns->adapter;
    bool alone = adapter && !adapter->ops->remote_side_emit;
    struct sio_answers *a;
    int rv;

    if (!adapter)
        return SIO_ERR_INVAL;
    if (!ns->server->engine)
        return SIO_ERR_CLOSED;
    if (!cb)
        return alone ? SIO_OK : adapter->ops->remote_side_emit(adapter, m, 0, NULL);
    a = answers_new(ns, cb, user);
    if (!a)
        return SIO_ERR_NOMEM;
    rv = sio_request_start(&a->request, timeout_ms);
    if (rv == SIO_OK && !alone)
        rv = adapter->ops->remote_side_emit(adapter, m, timeout_ms, a);
    if (rv < 0 && !is_result(rv)) {
        sio_request_drop(&a->request);
        return rv;
    }
    sio_request_end(&a->request, rv);
    return SIO_OK;
}

void sio_namespace_on_side_emit(struct sio_namespace *ns, sio_side_cb cb, void *user)
{
    ns->on_side = cb;
    ns->side_user = user;
}

void sio_namespace_side_receive(struct sio_namespace *ns, struct sio_event *e)
{
    const struct sio_namespace *listener = ns;

    if (!ns->on_side && ns->parent)
        listener = ns->parent;
    if (listener->on_side)
        listener->on_side(ns, e, listener->side_user);
}
