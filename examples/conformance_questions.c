/*
 * conformance_questions.c - echo, questions with acks, much at once, binary
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "conformance.h"

/* The echo */

static void on_message(struct sio_socket *s, struct sio_event *e, void *user)
{
    struct sio_message *m = sio_message_new("message-back");

    (void)user;
    if (m)
        sio_message_add_event(m, e, 0);
    send_to(s, m);
}

static void on_message_with_ack(struct sio_socket *s, struct sio_event *e, void *user)
{
    struct sio_message *m;

    (void)s;
    (void)user;
    if (!sio_event_wants_ack(e))
        return;
    m = sio_message_new("");
    if (m) {
        sio_message_add_event(m, e, 0);
        sio_event_ack(e, m);
    }
    sio_message_free(m);
}

/* Questions */

static void on_answer(int status, struct sio_event *e, void *user)
{
    struct sio_socket *s = user;
    struct sio_message *m;

    if (status == SIO_ERR_CLOSED)
        return;
    m = sio_message_new(status == SIO_OK ? "answer" : "answer-timeout");
    if (m && e)
        sio_message_add_event(m, e, 0);
    send_to(s, m);
}

static void on_ask(struct sio_socket *s, struct sio_event *e, void *user)
{
    struct sio_message *m = sio_message_new("question");

    (void)user;
    if (m) {
        sio_message_add_event(m, e, 0);
        sio_socket_emit_ack(s, m, 0, on_answer, s);
    }
    sio_message_free(m);
}

static void on_ask_timeout(struct sio_socket *s, struct sio_event *e, void *user)
{
    struct sio_message *m = sio_message_new("question");
    uint32_t ms = number_arg(e, 0, 60000);

    (void)user;
    if (m) {
        sio_message_add_string(m, str("timed"));
        sio_socket_emit_ack(s, m, ms > 0 ? ms : 1, on_answer, s);
    }
    sio_message_free(m);
}

/* A question to a room, and who asked. */
struct poll {
    struct sio_namespace *ns; /* held */
    char asker[ID_SIZE];
};

static void on_poll_answers(int status, const struct sio_answers *answers, void *user)
{
    struct poll *p = user;
    struct sio_socket *asker = sio_namespace_find(p->ns, str(p->asker));
    struct sio_message *m = asker ? sio_message_new("answers") : NULL;
    const char *comma = "";

    if (m && status == SIO_OK)
        sio_message_add_raw(m, str("null"));
    else if (m)
        sio_message_add_string(m, str("operation has timed out"));
    if (m) {
        sio_message_begin(m);
        sio_message_text(m, str("["));
        for (size_t i = 0; i < sio_answers_n(answers); i++) {
            struct sio_event *e = sio_answers_event(answers, i);

            if (!e)
                continue;
            sio_message_text(m, str(comma));
            sio_message_text(m,
                             sio_event_n_args(e) ? sio_event_arg(e, 0) : str("null"));
            comma = ",";
        }
        sio_message_text(m, str("]"));
        sio_message_end(m);
        send_to(asker, m);
    }
    sio_namespace_release(p->ns);
    free(p);
}

static void on_ask_room(struct sio_socket *s, struct sio_event *e, void *user)
{
    struct sio_str room = str(text_arg(e, 0));
    struct sio_target target = {.rooms = &room, .n_rooms = 1};
    struct sio_message *m = sio_message_new("question");
    struct poll *p = room.ptr ? calloc(1, sizeof(*p)) : NULL;
    uint32_t ms = number_arg(e, 1, 60000);

    (void)user;
    if (!m || !p) {
        sio_message_free(m);
        free(p);
        return;
    }
    p->ns = sio_socket_namespace(s);
    copy_id(p->asker, s);
    sio_namespace_hold(p->ns);
    sio_message_add_string(m, str("room"));
    if (sio_namespace_emit_ack(p->ns, &target, m, ms > 0 ? ms : 1, on_poll_answers, p) <
        0) {
        sio_namespace_release(p->ns);
        free(p);
    }
    sio_message_free(m);
}

/* Much, and binary */

static void on_burst(struct sio_socket *s, struct sio_event *e, void *user)
{
    uint32_t n = number_arg(e, 0, 100000);
    uint32_t size = number_arg(e, 1, 1000000);
    char *padding = calloc(1, (size_t)size + 1);

    (void)user;
    if (!padding)
        return;
    memset(padding, 'x', size);
    for (uint32_t i = 0; i < n; i++) {
        struct sio_message *m = sio_message_new("burst");
        char number[16];

        snprintf(number, sizeof(number), "%" PRIu32, i);
        if (m) {
            sio_message_add_raw(m, str(number));
            sio_message_add_string(m, (struct sio_str){padding, size});
        }
        send_to(s, m);
    }
    free(padding);
}

static void on_binary_out(struct sio_socket *s, struct sio_event *e, void *user)
{
    static const uint8_t three[] = {0, 1, 2};
    uint8_t thousand[1000];
    struct sio_message *m = sio_message_new("bin");

    (void)e;
    (void)user;
    if (!m)
        return;
    for (size_t i = 0; i < sizeof(thousand); i++)
        thousand[i] = (uint8_t)i;
    sio_message_begin(m);
    sio_message_text(m, str("{\"a\":"));
    sio_message_attachment(m, (struct sio_slice){NULL, three, sizeof(three)});
    sio_message_text(m, str(",\"list\":[1,"));
    sio_message_attachment(m, (struct sio_slice){NULL, thousand, sizeof(thousand)});
    sio_message_text(m, str("],\"text\":\"between\"}"));
    sio_message_end(m);
    sio_message_add_binary(m, (struct sio_slice){NULL, three, 0});
    send_to(s, m);
}

int add_question_events(struct sio_namespace *ns, struct app *app)
{
    static const struct event_handler list[] = {
        {"message", on_message},
        {"message-with-ack", on_message_with_ack},
        {"ask", on_ask},
        {"ask-timeout", on_ask_timeout},
        {"ask-room", on_ask_room},
        {"burst", on_burst},
        {"binary-out", on_binary_out},
    };

    return add_handlers(ns, list, sizeof(list) / sizeof(list[0]), app);
}
