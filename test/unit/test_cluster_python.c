/*
 * What processes with python-socketio say: its bytes, those of older versions, rubbish.
 */
#include <config.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "alloc_fail.h"
#include "base/str.h"
#include "cluster/python.h"
#include "engineio/msg.h"
#include "socketio/event.h"
#include "socketio/message.h"

#define BYTES(literal) \
    ((struct sio_slice){NULL, (const uint8_t *)(literal), sizeof(literal) - 1})

#define assert_text(str, text) assert_true(str_eq_cstr((str), (text)))

#define HOST                   ", \"host_id\": \"9b4c\"}"
#define NOBODY                                                                   \
    ", \"namespace\": \"/\", \"room\": null, \"skip_sid\": null, \"callback\": " \
    "null" HOST

static int read_text(const char *text, struct sio_python_msg *m)
{
    struct sio_slice in = {NULL, (const uint8_t *)text, strlen(text)};

    return sio_python_read(in, m);
}

/* Arguments as "arg|arg|n attachments". */
static void note(struct sio_event *e, void *user)
{
    char *log = user;
    size_t n = 0;

    for (size_t i = 0; i < sio_event_n_args(e); i++) {
        struct sio_str arg = sio_event_arg(e, i);

        n += (size_t)snprintf(log + n, 512 - n, "%.*s|", STR_ARG(arg));
    }
    snprintf(log + n, 512 - n, "%zu", sio_event_n_attachments(e));
}

static void assert_args(const char *text, const char *args)
{
    struct sio_python_msg m;
    char log[512] = "";

    assert_int_equal(read_text(text, &m), SIO_OK);
    assert_int_equal(m.method, SIO_PYTHON_EMIT);
    assert_int_equal(sio_python_show(&m, note, log), SIO_OK);
    assert_string_equal(log, args);
    sio_python_msg_fini(&m);
}

/* As python-socketio 5.16 writes them. */
static void reads_whom_an_emit_is_for(void **state)
{
    struct sio_python_msg m;

    (void)state;
    assert_int_equal(read_text("{\"method\": \"emit\", \"event\": \"e\", \"data\": "
                               "[{\"a\": 1}], \"binary\": false" NOBODY,
                               &m),
                     SIO_OK);
    assert_text(m.event, "e");
    assert_text(m.nsp, "/");
    assert_text(m.base.uid, "9b4c");
    assert_int_equal(m.base.rooms.n, 0);
    assert_int_equal(m.base.except.n, 0);
    assert_null(m.callback.id.ptr);
    sio_python_msg_fini(&m);

    assert_int_equal(
        read_text("{\"method\": \"emit\", \"event\": \"\\u00e9\\u2028\\\"\", \"data\": "
                  "[[1, 2]], \"binary\": false, \"namespace\": \"/chat\", \"room\": "
                  "[\"a\\n\", \"b\"], \"skip_sid\": [\"s1\", \"s2\"], \"callback\": "
                  "[\"r\\u00f3\", \"/chat\", 12]" HOST,
                  &m),
        SIO_OK);
    assert_text(m.event, "\xc3\xa9\xe2\x80\xa8\"");
    assert_text(m.nsp, "/chat");
    assert_int_equal(m.base.rooms.n, 2);
    assert_text(m.base.rooms.items[0], "a\n");
    assert_text(m.base.rooms.items[1], "b");
    assert_int_equal(m.base.except.n, 2);
    assert_text(m.base.except.items[1], "s2");
    assert_text(m.callback.room, "\"r\\u00f3\"");
    assert_text(m.callback.id, "12");
    sio_python_msg_fini(&m);

    assert_int_equal(
        read_text("{\"method\": \"emit\", \"event\": \"e\", \"data\": [], \"binary\": "
                  "false, \"namespace\": \"/\", \"room\": 7, \"skip_sid\": \"s\", "
                  "\"callback\": null" HOST,
                  &m),
        SIO_OK);
    assert_int_equal(m.base.rooms.n, 1);
    assert_text(m.base.rooms.items[0], "7");
    assert_int_equal(m.base.except.n, 1);
    sio_python_msg_fini(&m);
}

#define EMIT "{\"method\": \"emit\", \"event\": \"e\", \"data\": "

static void reads_arguments(void **state)
{
    (void)state;
    assert_args(EMIT "[{\"a\": 1}], \"binary\": false" NOBODY, "{\"a\": 1}|0");
    assert_args(EMIT "[1, \"x\"], \"binary\": false" NOBODY, "1|\"x\"|0");
    assert_args(EMIT "[[1, 2]], \"binary\": false" NOBODY, "[1, 2]|0");
    assert_args(EMIT "[], \"binary\": false" NOBODY, "0");
    /* emit('e') */
    assert_args(EMIT "[null], \"binary\": false" NOBODY, "0");
    assert_args(EMIT "[null, null], \"binary\": false" NOBODY, "null|null|0");
    /* Of 5.14: what is no list is the only argument. */
    assert_args(EMIT "{\"a\": 1}" NOBODY, "{\"a\": 1}|0");
    assert_args(EMIT "\"x\"" NOBODY, "\"x\"|0");
    assert_args(EMIT "null" NOBODY, "0");
    assert_args("{\"method\":\"emit\",\"event\":\"e\"}", "0");
    /* What looks like bytes in an event without bytes is none. */
    assert_args(EMIT "[{\"_placeholder\": true, \"num\": 3}]" NOBODY,
                "{\"_placeholder\": true, \"num\": 3}|0");
}

#define PLACE(n) "{\"_placeholder\": true, \"num\": " #n "}"

static void reads_bytes(void **state)
{
    struct sio_python_msg m;

    (void)state;
    assert_int_equal(read_text(EMIT "[[{\"b\": " PLACE(0) ", \"c\": [" PLACE(
                                   1) "]}], "
                                      "\"AAEC\", \"eHl6\"], \"binary\": true" NOBODY,
                               &m),
                     SIO_OK);
    assert_int_equal(m.args.n_attachments, 2);
    assert_int_equal(m.attachments[0].len, 3);
    assert_memory_equal(m.attachments[0].ptr, "\x00\x01\x02", 3);
    assert_memory_equal(m.attachments[1].ptr, "xyz", 3);
    sio_python_msg_fini(&m);

    assert_args(EMIT "[[" PLACE(0) "], \"\"], \"binary\": true" NOBODY, PLACE(0) "|1");
    /* Of 5.14.2. */
    assert_args(EMIT "[" PLACE(0) ", \"AA==\"], \"binary\": true" NOBODY,
                PLACE(0) "|1");
    /* A writer that escapes more than it must. */
    assert_args(EMIT "[[" PLACE(0) "], \"\\/\\/8=\"], \"binary\": true" NOBODY,
                PLACE(0) "|1");
}

static void refuses_bytes_that_do_not_fit(void **state)
{
    static const struct {
        const char *data;
        int error;
    } bad[] = {
        {"[[" PLACE(1) "], \"AA==\"]", SIO_ERR_PROTOCOL},
        {"[[" PLACE(-1) "], \"AA==\"]", SIO_ERR_PROTOCOL},
        {"[[{\"_placeholder\": true}], \"AA==\"]", SIO_ERR_PROTOCOL},
        {"[[" PLACE(0) "], \"AA=\"]", SIO_ERR_PARSE},
        {"[[" PLACE(0) "], \"A A=\"]", SIO_ERR_PARSE},
        {"[[" PLACE(0) "], 5]", SIO_ERR_PARSE},
        {"[]", SIO_ERR_PARSE},
        {"{}", SIO_ERR_PARSE},
        {"null", SIO_ERR_PARSE},
    };
    struct sio_python_msg m;
    char text[512];

    (void)state;
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        snprintf(text, sizeof(text), EMIT "%s, \"binary\": true}", bad[i].data);
        assert_int_equal(read_text(text, &m), bad[i].error);
        sio_python_msg_fini(&m);
    }
}

static void reads_other_methods(void **state)
{
    struct sio_python_msg m;

    (void)state;
    assert_int_equal(read_text("{\"method\": \"disconnect\", \"sid\": \"s1\", "
                               "\"namespace\": \"/chat\"" HOST,
                               &m),
                     SIO_OK);
    assert_int_equal(m.method, SIO_PYTHON_DISCONNECT);
    assert_text(m.base.sid, "s1");
    assert_text(m.nsp, "/chat");
    sio_python_msg_fini(&m);
    assert_int_equal(read_text("{\"method\": \"enter_room\", \"sid\": \"s1\", "
                               "\"room\": \"r\", \"namespace\": \"/\"" HOST,
                               &m),
                     SIO_OK);
    assert_int_equal(m.method, SIO_PYTHON_ENTER_ROOM);
    assert_text(m.base.rooms.items[0], "r");
    sio_python_msg_fini(&m);
    assert_int_equal(read_text("{\"method\": \"leave_room\", \"sid\": \"s1\", "
                               "\"room\": 4, \"namespace\": \"/\"" HOST,
                               &m),
                     SIO_OK);
    assert_int_equal(m.method, SIO_PYTHON_LEAVE_ROOM);
    sio_python_msg_fini(&m);
    assert_int_equal(read_text("{\"method\": \"close_room\", \"room\": \"r\", "
                               "\"namespace\": \"/\"" HOST,
                               &m),
                     SIO_OK);
    assert_int_equal(m.method, SIO_PYTHON_CLOSE_ROOM);
    sio_python_msg_fini(&m);
    /* An answer to somebody else: nothing in it matters. */
    assert_int_equal(read_text("{\"sid\": [], \"room\": {}, \"method\": \"callback\", "
                               "\"id\": 3, \"args\": [1]}",
                               &m),
                     SIO_OK);
    assert_int_equal(m.method, SIO_PYTHON_CALLBACK);
    sio_python_msg_fini(&m);
}

/* A callback that cannot be repeated does not cost the event. */
static void passes_over_callbacks_that_are_none(void **state)
{
    static const char *const bad[] = {"null",
                                      "[\"r\", \"/\"]",
                                      "[[], \"/\", 1]",
                                      "[\"r\", \"/\", {}]",
                                      "[\"r\", \"/\", 1, 2]",
                                      "7"};
    struct sio_python_msg m;
    char text[2048];

    (void)state;
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        snprintf(text, sizeof(text), EMIT "[1], \"callback\": %s}", bad[i]);
        assert_int_equal(read_text(text, &m), SIO_OK);
        assert_null(m.callback.room.ptr);
        assert_null(m.callback.id.ptr);
        sio_python_msg_fini(&m);
    }
    snprintf(text, sizeof(text), EMIT "[1], \"callback\": [\"%01100d\", \"/\", 1]}", 0);
    assert_int_equal(read_text(text, &m), SIO_OK);
    assert_null(m.callback.id.ptr);
    sio_python_msg_fini(&m);
}

static void never_reads_pickle(void **state)
{
    struct sio_python_msg m;

    (void)state;
    assert_int_equal(sio_python_read(BYTES("\x80\x04\x95\x10\x00{}"), &m),
                     SIO_ERR_UNSUPPORTED);
    sio_python_msg_fini(&m);
    assert_int_equal(sio_python_read(BYTES("(dp0\nS'method'\np1\n"), &m),
                     SIO_ERR_UNSUPPORTED);
    sio_python_msg_fini(&m);
    assert_int_equal(sio_python_read(BYTES(""), &m), SIO_ERR_UNSUPPORTED);
    sio_python_msg_fini(&m);
    assert_int_equal(sio_python_read(BYTES(" {\"method\":\"callback\"}"), &m),
                     SIO_ERR_UNSUPPORTED);
    sio_python_msg_fini(&m);
}

static void refuses_rubbish(void **state)
{
    static const struct {
        const char *text;
        int error;
    } bad[] = {
        {"{", SIO_ERR_PARSE},
        {"{}", SIO_ERR_PARSE},
        {"{\"method\": 1}", SIO_ERR_PARSE},
        {"{\"method\": \"eval\"}", SIO_ERR_PARSE},
        {"{\"method\": \"emit\"}", SIO_ERR_PARSE},
        {"{\"method\": \"emit\", \"event\": 1}", SIO_ERR_PARSE},
        {"{\"method\": \"emit\", \"event\": \"a\\u0000b\"}", SIO_ERR_PROTOCOL},
        {"{\"method\": \"emit\", \"event\": \"disconnect\"}", SIO_ERR_PROTOCOL},
        {"{\"method\": \"emit\", \"event\": \"conn\\u0065ct\"}", SIO_ERR_PROTOCOL},
        {"{\"method\": \"emit\", \"event\": \"\xff\"}", SIO_ERR_PARSE},
        {EMIT "NaN}", SIO_ERR_PARSE},
        /* None of these may become everybody. */
        {EMIT "[], \"room\": []}", SIO_ERR_PARSE},
        {EMIT "[], \"room\": [null]}", SIO_ERR_PARSE},
        {EMIT "[], \"room\": [[]]}", SIO_ERR_PARSE},
        {EMIT "[], \"room\": {}}", SIO_ERR_PARSE},
        {EMIT "[], \"room\": false}", SIO_ERR_PARSE},
        {EMIT "[], \"namespace\": 1}", SIO_ERR_PARSE},
        {"{\"method\": \"disconnect\"}", SIO_ERR_PARSE},
        {"{\"method\": \"disconnect\", \"sid\": null}", SIO_ERR_PARSE},
        {"{\"method\": \"enter_room\", \"sid\": \"s\"}", SIO_ERR_PARSE},
        {"{\"method\": \"enter_room\", \"room\": \"r\"}", SIO_ERR_PARSE},
        {"{\"method\": \"close_room\", \"room\": null}", SIO_ERR_PARSE},
        {"{\"method\": \"close_room\", \"room\": [\"a\", \"b\"]}", SIO_ERR_PARSE},
    };
    struct sio_python_msg m;

    (void)state;
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        assert_int_equal(read_text(bad[i].text, &m), bad[i].error);
        sio_python_msg_fini(&m);
    }
}

/* A list of n items, as one message. */
static char *with_items(const char *head, const char *item, size_t n, const char *tail)
{
    size_t size = strlen(head) + n * (strlen(item) + 1) + strlen(tail) + 1;
    char *text = malloc(size);
    char *p = text;

    assert_non_null(text);
    p = stpcpy(p, head);
    for (size_t i = 0; i < n; i++) {
        p = stpcpy(p, item);
        *p++ = ',';
    }
    stpcpy(p - 1, tail);
    return text;
}

static void bounds_what_it_takes(void **state)
{
    struct sio_python_msg m;
    char *text =
        with_items(EMIT "1, \"room\": [", "\"r\"", SIO_CLUSTER_MAX_NAMES + 1, "]}");

    (void)state;
    assert_int_equal(read_text(text, &m), SIO_ERR_TOO_BIG);
    sio_python_msg_fini(&m);
    free(text);
    text = with_items(EMIT "[[],", "\"\"", SIO_PYTHON_MAX_ATTACHMENTS + 1,
                      "], \"binary\": true}");
    assert_int_equal(read_text(text, &m), SIO_ERR_TOO_BIG);
    sio_python_msg_fini(&m);
    free(text);
    text = with_items(EMIT, "[", 200, "}");
    assert_true(read_text(text, &m) < 0);
    sio_python_msg_fini(&m);
    free(text);
}

#define ALL                                                                       \
    EMIT "[[{\"b\\n\": " PLACE(                                                   \
        0) "}], \"AAEC\"], \"binary\": true, \"namespace\": "                     \
           "\"/c\\u00e9\", \"room\": [\"a\\n\", \"b\"], \"skip_sid\": [\"s1\"], " \
           "\"callback\": [\"a\", \"/c\", 3]" HOST

/* Every cut of a good message is none. */
static void takes_nothing_of_a_part(void **state)
{
    struct sio_slice all = BYTES(ALL);
    struct sio_python_msg m;

    (void)state;
    for (size_t len = 1; len < all.len; len++) {
        struct sio_slice cut = {NULL, all.ptr, len};

        assert_int_equal(sio_python_read(cut, &m), SIO_ERR_PARSE);
        sio_python_msg_fini(&m);
    }
}

struct answer {
    struct wbuf w;
    struct sio_python_callback callback;
    int status;
};

static void answer(struct sio_event *e, void *user)
{
    struct answer *a = user;

    a->status = sio_python_write_callback(&a->w, SIO_STR("9b\"4c"), &a->callback, e);
}

static void assert_answer(const char *text, int status, const char *expected)
{
    struct sio_python_msg m;
    struct answer a = {.status = 1};

    wbuf_init(&a.w, UINT32_MAX);
    assert_int_equal(read_text(text, &m), SIO_OK);
    a.callback = m.callback;
    assert_int_equal(sio_python_show(&m, answer, &a), SIO_OK);
    assert_int_equal(a.status, status);
    if (status == SIO_OK)
        assert_text(wbuf_str(&a.w), expected);
    wbuf_fini(&a.w);
    sio_python_msg_fini(&m);
}

static void writes_answers(void **state)
{
    (void)state;
    assert_answer(EMIT "[\"a\", {\"b\": 1}], \"callback\": [\"sid1\", \"/\", 3]}",
                  SIO_OK,
                  "{\"method\":\"callback\",\"host_id\":\"9b\\\"4c\",\"sid\":\"sid1\","
                  "\"namespace\":\"/\",\"id\":3,\"args\":[\"a\", {\"b\": 1}]}");
    assert_answer(EMIT "[], \"callback\": [7, \"/\\u00e9\", \"x\"]}", SIO_OK,
                  "{\"method\":\"callback\",\"host_id\":\"9b\\\"4c\",\"sid\":7,"
                  "\"namespace\":\"/\\u00e9\",\"id\":\"x\",\"args\":[]}");
    assert_answer(ALL, SIO_ERR_UNSUPPORTED, NULL);
}

/* What was read can be sent: as text and bytes that clients understand. */
static void add_args(struct sio_event *e, void *user)
{
    (void)sio_message_add_event(user, e, 0);
}

static void what_was_read_can_be_sent(void **state)
{
    static const char expected[] = "51-/c\xc3\xa9,[\"e\",{\"b\\n\": " PLACE(0) "}]";
    struct sio_message *message = sio_message_new("e");
    struct sio_slice slices[8];
    struct sio_python_msg m;
    struct eio_msg *msg;
    char text[512] = "";
    size_t at = 0;
    size_t n;

    (void)state;
    assert_int_equal(read_text(ALL, &m), SIO_OK);
    assert_int_equal(sio_python_show(&m, add_args, message), SIO_OK);
    assert_int_equal(sio_message_encode_plain(message, &sio_parser_json, m.nsp, &msg),
                     SIO_OK);
    sio_python_msg_fini(&m);
    sio_message_free(message);
    assert_int_equal(msg->n_parts, 2);
    n = eio_msg_body(msg, 0, slices);
    for (size_t i = 0; i < n; i++) {
        memcpy(text + at, slices[i].ptr, slices[i].len);
        at += slices[i].len;
    }
    assert_string_equal(text + 1, expected); /* behind Engine.IO's type */
    n = eio_msg_body(msg, 1, slices);
    assert_int_equal(n, 1);
    assert_memory_equal(slices[0].ptr, "\x00\x01\x02", 3);
    eio_msg_unref(msg);
}

static void survives_want_of_memory(void **state)
{
    static const char *const texts[] = {ALL, EMIT "{\"a\": 1}, \"event\": \"\\n\"}"};

    (void)state;
    for (size_t i = 0; i < 2; i++) {
        alloc_fail_each(n)
        {
            struct sio_python_msg m;
            char log[512] = "";
            int rv = read_text(texts[i], &m);

            if (rv == SIO_OK)
                rv = sio_python_show(&m, note, log);
            assert_true(rv == SIO_OK || rv == SIO_ERR_NOMEM);
            sio_python_msg_fini(&m);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_whom_an_emit_is_for),
        cmocka_unit_test(reads_arguments),
        cmocka_unit_test(reads_bytes),
        cmocka_unit_test(refuses_bytes_that_do_not_fit),
        cmocka_unit_test(reads_other_methods),
        cmocka_unit_test(passes_over_callbacks_that_are_none),
        cmocka_unit_test(never_reads_pickle),
        cmocka_unit_test(refuses_rubbish),
        cmocka_unit_test(bounds_what_it_takes),
        cmocka_unit_test(takes_nothing_of_a_part),
        cmocka_unit_test(writes_answers),
        cmocka_unit_test(what_was_read_can_be_sent),
        cmocka_unit_test(survives_want_of_memory),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
