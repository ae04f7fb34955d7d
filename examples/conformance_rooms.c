/*
 * conformance_rooms.c - rooms, broadcasts, and calls to everybody in a room
 */
#include "conformance.h"

/* Rooms */

static void on_join_room(struct sio_socket *s, struct sio_event *e, void *user)
{
    const char *room = text_arg(e, 0);

    (void)user;
    if (room)
        sio_socket_join(s, str(room));
    answer_nothing(e);
}

static void on_leave_room(struct sio_socket *s, struct sio_event *e, void *user)
{
    const char *room = text_arg(e, 0);

    (void)user;
    if (room)
        sio_socket_leave(s, str(room));
    answer_nothing(e);
}

static void on_rooms(struct sio_socket *s, struct sio_event *e, void *user)
{
    struct sio_str rooms[64];
    size_t n = sio_socket_rooms(s, rooms, 64);
    cJSON *list = cJSON_CreateArray();

    (void)user;
    for (size_t i = 0; i < n && i < 64; i++)
        add_text(list, rooms[i]);
    answer(e, list);
}

/* Sends args from `first` on as the event that the argument before them names. */
static void emit_args(struct sio_socket *s, struct sio_event *e, size_t first,
                      const struct sio_target *target)
{
    const char *event = text_arg(e, first - 1);
    struct sio_message *m = event ? sio_message_new(event) : NULL;

    if (m) {
        sio_message_add_event(m, e, first);
        sio_namespace_emit(sio_socket_namespace(s), target, m);
    }
    sio_message_free(m);
}

static void on_to_room(struct sio_socket *s, struct sio_event *e, void *user)
{
    const cJSON *arg = sio_event_json(e, 0);
    struct sio_str rooms[16];
    struct sio_target target = {.rooms = rooms, .except_socket = s};
    const cJSON *item;

    (void)user;
    if (cJSON_IsString(arg))
        rooms[target.n_rooms++] = str(arg->valuestring);
    if (cJSON_IsArray(arg))
        cJSON_ArrayForEach(item, arg) if (cJSON_IsString(item) && target.n_rooms < 16)
            rooms[target.n_rooms++] = str(item->valuestring);
    if (target.n_rooms > 0)
        emit_args(s, e, 2, &target);
}

static void on_in_room(struct sio_socket *s, struct sio_event *e, void *user)
{
    struct sio_str room = str(text_arg(e, 0));
    struct sio_target target = {.rooms = &room, .n_rooms = 1};

    (void)user;
    if (room.ptr)
        emit_args(s, e, 2, &target);
}

static void on_to_except(struct sio_socket *s, struct sio_event *e, void *user)
{
    struct sio_str room = str(text_arg(e, 0));
    struct sio_str except = str(text_arg(e, 1));
    struct sio_target target = {.rooms = &room,
                                .n_rooms = 1,
                                .except = &except,
                                .n_except = 1,
                                .except_socket = s};

    (void)user;
    if (room.ptr && except.ptr)
        emit_args(s, e, 3, &target);
}

static void on_broadcast(struct sio_socket *s, struct sio_event *e, void *user)
{
    struct sio_target target = {.except_socket = s};

    (void)user;
    emit_args(s, e, 1, &target);
}

static void on_fetched(int status, const struct sio_fetched *sockets, size_t n,
                       void *user)
{
    struct sio_message *m = sio_message_new("");
    cJSON *list = cJSON_CreateArray();

    (void)status;
    for (size_t i = 0; i < n; i++)
        add_text(list, sockets[i].id);
    if (m && sio_message_add_json(m, list) == SIO_OK)
        sio_ack_send(user, m);
    else
        sio_ack_free(user);
    sio_message_free(m);
    cJSON_Delete(list);
}

static void on_fetch(struct sio_socket *s, struct sio_event *e, void *user)
{
    struct sio_str room = str(text_arg(e, 0));
    struct sio_target target = {.rooms = &room, .n_rooms = room.ptr != NULL};
    struct sio_ack *ack = sio_event_take_ack(e);

    (void)user;
    if (ack &&
        sio_namespace_fetch(sio_socket_namespace(s), &target, on_fetched, ack) < 0)
        sio_ack_free(ack);
}

static void on_disconnect_room(struct sio_socket *s, struct sio_event *e, void *user)
{
    struct sio_str room = str(text_arg(e, 0));
    struct sio_target target = {.rooms = &room, .n_rooms = 1};

    (void)user;
    if (room.ptr)
        sio_namespace_disconnect_all(sio_socket_namespace(s), &target, false);
}

/* What makes a difference only where there are several servers */

static void on_sockets_join(struct sio_socket *s, struct sio_event *e, void *user)
{
    struct sio_str room = str(text_arg(e, 0)), other = str(text_arg(e, 1));
    struct sio_target target = {.rooms = &room, .n_rooms = 1};

    (void)user;
    if (room.ptr && other.ptr)
        sio_namespace_join_all(sio_socket_namespace(s), &target, &other, 1);
    answer_nothing(e);
}

static void on_sockets_leave(struct sio_socket *s, struct sio_event *e, void *user)
{
    struct sio_str room = str(text_arg(e, 0)), other = str(text_arg(e, 1));
    struct sio_target target = {.rooms = &room, .n_rooms = 1};

    (void)user;
    if (room.ptr && other.ptr)
        sio_namespace_leave_all(sio_socket_namespace(s), &target, &other, 1);
    answer_nothing(e);
}

static void on_local(struct sio_socket *s, struct sio_event *e, void *user)
{
    struct sio_target target = {.local = true};

    (void)user;
    emit_args(s, e, 1, &target);
}

/* Answers with an error or null, and a list of the other servers' answers. */
static void on_side_answers(int status, const struct sio_answers *answers, void *user)
{
    struct sio_message *m = sio_message_new("");
    const char *comma = "";

    if (!m) {
        sio_ack_free(user);
        return;
    }
    if (status == SIO_OK)
        sio_message_add_raw(m, str("null"));
    else
        sio_message_add_string(m, str(sio_strerror(status)));
    sio_message_begin(m);
    sio_message_text(m, str("["));
    for (size_t i = 0; i < sio_answers_n(answers); i++) {
        struct sio_event *e = sio_answers_event(answers, i);

        if (!e || sio_event_n_args(e) == 0)
            continue;
        sio_message_text(m, str(comma));
        sio_message_text(m, sio_event_arg(e, 0));
        comma = ",";
    }
    sio_message_text(m, str("]"));
    sio_message_end(m);
    sio_ack_send(user, m);
    sio_message_free(m);
}

/* Another server's `side`: to the clients here, and answered with this one's name. */
static void on_side(struct sio_namespace *ns, struct sio_event *e, void *user)
{
    const struct app *app = user;
    struct sio_target target = {.local = true};
    struct sio_message *m = sio_message_new("side");

    if (m && is_id(sio_event_name(e), "side")) {
        sio_message_add_event(m, e, 0);
        sio_namespace_emit(ns, &target, m);
    }
    sio_message_free(m);
    answer(e, cJSON_CreateString(app->name));
}

static void on_side_emit(struct sio_socket *s, struct sio_event *e, void *user)
{
    struct sio_message *m = sio_message_new("side");
    struct sio_ack *ack = sio_event_take_ack(e);

    (void)user;
    if (m)
        sio_message_add_event(m, e, 0);
    if (!m || !ack ||
        sio_namespace_side_emit(sio_socket_namespace(s), m, 0, on_side_answers, ack) <
            0)
        sio_ack_free(ack);
    sio_message_free(m);
}

/* The end */

static void on_kick(struct sio_socket *s, struct sio_event *e, void *user)
{
    (void)e;
    (void)user;
    sio_socket_disconnect(s, false);
}

static void on_kick_close(struct sio_socket *s, struct sio_event *e, void *user)
{
    (void)e;
    (void)user;
    sio_socket_disconnect(s, true);
}

int add_room_events(struct sio_namespace *ns, struct app *app)
{
    static const struct event_handler list[] = {
        {"join", on_join_room},
        {"leave", on_leave_room},
        {"rooms", on_rooms},
        {"to-room", on_to_room},
        {"in-room", on_in_room},
        {"to-except", on_to_except},
        {"broadcast", on_broadcast},
        {"fetch", on_fetch},
        {"disconnect-room", on_disconnect_room},
        {"sockets-join", on_sockets_join},
        {"sockets-leave", on_sockets_leave},
        {"local", on_local},
        {"side-emit", on_side_emit},
        {"kick", on_kick},
        {"kick-close", on_kick_close},
    };

    sio_namespace_on_side_emit(ns, on_side, app);
    return add_handlers(ns, list, sizeof(list) / sizeof(list[0]), app);
}
