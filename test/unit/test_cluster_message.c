/*
 * The cluster message: bytes of node's sharded adapter, ours, rubbish.
 */
#include <config.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "alloc_fail.h"
#include "base/list.h"
#include "base/str.h"
#include "cluster/message.h"

#define BYTES(literal) \
    ((struct sio_slice){NULL, (const uint8_t *)(literal), sizeof(literal) - 1})
#define NONE ((struct sio_str){NULL, 0})

static struct sio_slice bytes_of(const struct wbuf *w)
{
    struct sio_str s = wbuf_str(w);

    return (struct sio_slice){NULL, (const uint8_t *)s.ptr, s.len};
}

#define assert_text(str, text) assert_true(str_eq_cstr((str), (text)))

#define assert_bytes(w, literal)                                              \
    do {                                                                      \
        assert_int_equal((w)->len, sizeof(literal) - 1);                      \
        assert_memory_equal(wbuf_str(w).ptr, (literal), sizeof(literal) - 1); \
    } while (0)

/* An event as "name|arg|arg|n attachments". */
static void note(struct sio_event *e, void *user)
{
    char *log = user;
    struct sio_str name = sio_event_name(e);
    size_t n = (size_t)snprintf(log, 512, "%.*s", STR_ARG(name));

    for (size_t i = 0; i < sio_event_n_args(e); i++) {
        struct sio_str arg = sio_event_arg(e, i);

        n += (size_t)snprintf(log + n, 512 - n, "|%.*s", STR_ARG(arg));
    }
    snprintf(log + n, 512 - n, "|%zu", sio_event_n_attachments(e));
}

#define UID "e332d038e713d0fd"

/*
 * As createShardedAdapter of @socket.io/redis-adapter 8.3 writes them.
 */
#define N_ALL                                                                      \
    "{\"type\":3,\"data\":{\"packet\":{\"type\":2,\"data\":[\"all\",1,{\"a\":"     \
    "\"\xc3\xa9\"}]},\"opts\":{\"rooms\":[],\"except\":[],\"flags\":{}}},\"uid\":" \
    "\"" UID "\",\"nsp\":\"/\"}"
#define N_TWO                                                                    \
    "{\"type\":3,\"data\":{\"packet\":{\"type\":2,\"data\":[\"two\"]},\"opts\":" \
    "{\"rooms\":[\"r\",7],\"except\":[\"s\\\"q\"],\"flags\":{\"volatile\":true," \
    "\"compress\":false}}},\"uid\":\"" UID "\",\"nsp\":\"/\"}"
#define N_ONE                                                                    \
    "\x84\xa4type\x03\xa4"                                                       \
    "data\x82\xa6packet\x82\xa4type\x02\xa4"                                     \
    "data\x93\xa3one\xc4\x03\x00\x01\x02\xa1x\xa4opts\x83\xa5rooms\x91\xa1r\xa6" \
    "except\x90\xa5"                                                             \
    "flags\x80\xa3uid\xb0" UID "\xa3nsp\xa1/"
#define N_ASK                                                                       \
    "{\"type\":3,\"data\":{\"packet\":{\"type\":2,\"data\":[\"ask\",\"q\"]},"       \
    "\"requestId\":\"d639684c95a500c9\",\"opts\":{\"rooms\":[\"r\"],\"except\":[]," \
    "\"flags\":{\"timeout\":500}}},\"uid\":\"" UID "\",\"nsp\":\"/\"}"
#define N_ASK_BYTES                                 \
    "\x84\xa4type\x03\xa4"                          \
    "data\x83\xa6packet\x82\xa4type\x02\xa4"        \
    "data\x92\xa6"                                  \
    "askbin\xc4\x01\x05\xa9requestId\xb0"           \
    "55782721c6419d52\xa4opts\x83\xa5rooms\x90\xa6" \
    "except\x90\xa5"                                \
    "flags\x81\xa7timeout\xcd\x01\xf4\xa3uid\xb0" UID "\xa3nsp\xa1/"
#define N_JOIN                                                                       \
    "{\"type\":4,\"data\":{\"opts\":{\"rooms\":[\"r\"],\"except\":[],\"flags\":{}}," \
    "\"rooms\":[\"b\",\"\xc3\xa9\"]},\"uid\":\"" UID "\",\"nsp\":\"/\"}"
#define N_DISCONNECT                                                                 \
    "{\"type\":6,\"data\":{\"opts\":{\"rooms\":[\"r\"],\"except\":[],\"flags\":{}}," \
    "\"close\":true},\"uid\":\"" UID "\",\"nsp\":\"/\"}"
#define N_FETCH                                                                      \
    "{\"type\":7,\"data\":{\"opts\":{\"rooms\":[\"r\"],\"except\":[],\"flags\":{}}," \
    "\"requestId\":\"d61774952b467caa\"},\"uid\":\"" UID "\",\"nsp\":\"/\"}"
#define N_SIDE                                                             \
    "{\"type\":9,\"data\":{\"requestId\":\"89e149a42714e0d7\",\"packet\":" \
    "[\"hello\",1]},\"uid\":\"" UID "\",\"nsp\":\"/\"}"
#define N_SIDE_BYTES                  \
    "\x84\xa4type\x09\xa4"            \
    "data\x81\xa6packet\x92\xa5hello" \
    "\xc4\x01\x09\xa3uid\xb0" UID "\xa3nsp\xa1/"
#define N_ANSWER                                                                  \
    "{\"type\":10,\"data\":{\"requestId\":\"q1\",\"packet\":\"answer\"},\"uid\":" \
    "\"" UID "\",\"nsp\":\"/\"}"
#define N_ANSWER_BYTES                              \
    "\x84\xa4type\x0a\xa4"                          \
    "data\x82\xa9requestId\xa2q2\xa6packet\xc4\x02" \
    "\x01\x02\xa3uid\xb0" UID "\xa3nsp\xa1/"
#define N_ANSWER_NONE \
    "{\"type\":10,\"data\":{\"requestId\":\"q3\"},\"uid\":\"" UID "\",\"nsp\":\"/\"}"
#define N_COUNT                                                                     \
    "{\"type\":11,\"data\":{\"requestId\":\"qx\",\"clientCount\":1},\"uid\":\"" UID \
    "\",\"nsp\":\"/\"}"
#define N_ACK_BYTES                         \
    "\x84\xa4type\x0c\xa4"                  \
    "data\x82\xa9requestId\xa2qy\xa6packet" \
    "\xc4\x01\x03\xa3uid\xb0" UID "\xa3nsp\xa1/"
#define N_SOCKETS                                                                      \
    "{\"type\":8,\"data\":{\"requestId\":\"q6\",\"sockets\":[{\"id\":\"i\","           \
    "\"handshake\":{\"time\":\"t\"},\"rooms\":[\"i\",\"room\"],\"data\":{\"n\":1}}]}," \
    "\"uid\":\"" UID "\",\"nsp\":\"/\"}"

static void read_ok(struct sio_slice in, struct sio_cluster_msg *m)
{
    assert_int_equal(sio_sharded_read(in, m), SIO_OK);
    assert_text(m->uid, UID);
    assert_text(m->nsp, "/");
}

static void shows(struct sio_slice in, enum sio_sharded_type type, const char *text)
{
    struct sio_cluster_msg m;
    char log[512] = "";

    read_ok(in, &m);
    assert_int_equal(m.type, type);
    assert_int_equal(sio_sharded_show(&m, note, log), SIO_OK);
    assert_string_equal(log, text);
    sio_cluster_msg_fini(&m);
}

static void shows_what_node_sends(void **state)
{
    (void)state;
    shows(BYTES(N_ALL), SIO_SHARDED_BROADCAST, "all|1|{\"a\":\"\xc3\xa9\"}|0");
    shows(BYTES(N_TWO), SIO_SHARDED_BROADCAST, "two|0");
    shows(BYTES(N_ONE), SIO_SHARDED_BROADCAST,
          "one|{\"_placeholder\":true,\"num\":0}|\"x\"|1");
    shows(BYTES(N_ASK), SIO_SHARDED_BROADCAST, "ask|\"q\"|0");
    shows(BYTES(N_ASK_BYTES), SIO_SHARDED_BROADCAST,
          "askbin|{\"_placeholder\":true,\"num\":0}|1");
    shows(BYTES(N_SIDE), SIO_SHARDED_SIDE_EMIT, "hello|1|0");
    shows(BYTES(N_SIDE_BYTES), SIO_SHARDED_SIDE_EMIT,
          "hello|{\"_placeholder\":true,\"num\":0}|1");
    shows(BYTES(N_ANSWER), SIO_SHARDED_SIDE_ANSWER, "|\"answer\"|0");
    shows(BYTES(N_ANSWER_BYTES), SIO_SHARDED_SIDE_ANSWER,
          "|{\"_placeholder\":true,\"num\":0}|1");
    shows(BYTES(N_ANSWER_NONE), SIO_SHARDED_SIDE_ANSWER, "|0");
    shows(BYTES(N_ACK_BYTES), SIO_SHARDED_ACK, "|{\"_placeholder\":true,\"num\":0}|1");
}

static void reads_whom_it_is_for(void **state)
{
    struct sio_cluster_msg m;

    (void)state;
    read_ok(BYTES(N_TWO), &m);
    assert_true(m.request_id.ptr == NULL);
    assert_int_equal(m.rooms.n, 2);
    assert_text(m.rooms.items[0], "r");
    assert_text(m.rooms.items[1], "7");
    assert_int_equal(m.except.n, 1);
    assert_text(m.except.items[0], "s\"q");
    assert_true(m.is_volatile && m.no_compress);
    sio_cluster_msg_fini(&m);

    read_ok(BYTES(N_ASK_BYTES), &m);
    assert_text(m.request_id, "55782721c6419d52");
    assert_int_equal(m.timeout_ms, 500);
    sio_cluster_msg_fini(&m);

    read_ok(BYTES(N_JOIN), &m);
    assert_int_equal(m.type, SIO_SHARDED_JOIN);
    assert_text(m.rooms.items[0], "r");
    assert_int_equal(m.names.n, 2);
    assert_text(m.names.items[1], "\xc3\xa9");
    sio_cluster_msg_fini(&m);

    read_ok(BYTES(N_DISCONNECT), &m);
    assert_int_equal(m.type, SIO_SHARDED_DISCONNECT);
    assert_true(m.close);
    sio_cluster_msg_fini(&m);

    read_ok(BYTES(N_FETCH), &m);
    assert_int_equal(m.type, SIO_SHARDED_FETCH);
    assert_text(m.request_id, "d61774952b467caa");
    sio_cluster_msg_fini(&m);

    read_ok(BYTES(N_COUNT), &m);
    assert_int_equal(m.type, SIO_SHARDED_CLIENT_COUNT);
    assert_int_equal(m.client_count, 1);
    sio_cluster_msg_fini(&m);
}

static int note_socket(const struct sio_fetched *s, void *user)
{
    char *log = user;
    size_t n = strlen(log);

    snprintf(log + n, 512 - n, "%.*s %zu %.*s %.*s;", STR_ARG(s->id), s->n_rooms,
             STR_ARG(s->handshake), STR_ARG(s->attributes));
    return SIO_OK;
}

static void lists(struct sio_slice in, const char *text)
{
    struct sio_cluster_msg m;
    char log[512] = "";

    read_ok(in, &m);
    assert_int_equal(m.type, SIO_SHARDED_SOCKETS);
    assert_int_equal(sio_cluster_each_socket(m.sockets, SIO_STR("/"), note_socket, log),
                     SIO_OK);
    assert_string_equal(log, text);
    sio_cluster_msg_fini(&m);
}

static void lists_sockets(void **state)
{
    (void)state;
    lists(BYTES(N_SOCKETS), "i 2 {\"time\":\"t\"} {\"n\":1};");
    /* Bytes in what the application keeps with a socket make it MessagePack. */
    lists(BYTES("\x84\xa4type\x08\xa4"
                "data\x82\xa9requestId\xa2q6\xa7sockets\x91\x84\xa2id\xa1i\xa9handshake"
                "\x80\xa5rooms\x91\xa1i\xa4"
                "data\x81\xa1"
                "b\xc4\x01\x07\xa3uid\xb0" UID "\xa3nsp\xa1/"),
          "i 1 {} {\"b\":{\"_placeholder\":true,\"num\":0}};");
}

/* Writes into w, which the caller ends. */
static const struct sio_sharded_sender me = {SIO_STR_INIT(UID), SIO_STR_INIT("/")};

static void writes_what_node_writes(void **state)
{
    struct sio_str rooms[] = {SIO_STR("r"), SIO_STR("7")};
    struct sio_str names[] = {SIO_STR("b"), SIO_STR("\xc3\xa9")};
    struct sio_target target = {.rooms = rooms, .n_rooms = 1};
    struct sio_message *all =
        sio_message_newf("all", "ir", 1, SIO_STR("{\"a\":\"\xc3\xa9\"}"));
    struct sio_message *one = sio_message_newf("one", "Bs", BYTES("\x00\x01\x02"), "x");
    struct sio_message *ask = sio_message_newf("ask", "s", "q");
    struct sio_message *ask_bytes = sio_message_newf("askbin", "B", BYTES("\x05"));
    struct sio_message *hello = sio_message_newf("hello", "i", 1);
    struct sio_message *bytes = sio_message_newf("hello", "B", BYTES("\x09"));
    struct wbuf w;

    (void)state;
    wbuf_init(&w, UINT32_MAX);
#define WRITES(call, literal)           \
    do {                                \
        assert_int_equal(call, SIO_OK); \
        assert_bytes(&w, literal);      \
        wbuf_fini(&w);                  \
        wbuf_init(&w, UINT32_MAX);      \
    } while (0)
    WRITES(sio_sharded_write_broadcast(&w, NULL, &me, NONE, NULL, all, 0), N_ALL);
    WRITES(sio_sharded_write_broadcast(&w, NULL, &me, NONE, &target, one, 0), N_ONE);
    WRITES(sio_sharded_write_broadcast(&w, NULL, &me, SIO_STR("d639684c95a500c9"),
                                       &target, ask, 500),
           N_ASK);
    WRITES(sio_sharded_write_broadcast(&w, NULL, &me, SIO_STR("55782721c6419d52"), NULL,
                                       ask_bytes, 500),
           N_ASK_BYTES);
    WRITES(sio_sharded_write_request(&w, &me, SIO_SHARDED_JOIN, NONE, &target, names, 2,
                                     false),
           N_JOIN);
    WRITES(sio_sharded_write_request(&w, &me, SIO_SHARDED_DISCONNECT, NONE, &target,
                                     NULL, 0, true),
           N_DISCONNECT);
    WRITES(sio_sharded_write_request(&w, &me, SIO_SHARDED_FETCH,
                                     SIO_STR("d61774952b467caa"), &target, NULL, 0,
                                     false),
           N_FETCH);
    WRITES(sio_sharded_write_side_emit(&w, &me, SIO_STR("89e149a42714e0d7"), hello),
           N_SIDE);
    WRITES(sio_sharded_write_side_emit(&w, &me, NONE, bytes), N_SIDE_BYTES);
    WRITES(sio_sharded_write_count(&w, &me, SIO_STR("qx"), 1), N_COUNT);
    wbuf_fini(&w);
    sio_message_free(all);
    sio_message_free(one);
    sio_message_free(ask);
    sio_message_free(ask_bytes);
    sio_message_free(hello);
    sio_message_free(bytes);
}

static void writes_flags_and_exceptions(void **state)
{
    struct sio_str rooms[] = {SIO_STR("r"), SIO_STR("7")};
    struct sio_str except[] = {SIO_STR("s\"q")};
    struct sio_target target = {
        .rooms = rooms, .n_rooms = 2, .except = except, .n_except = 1};
    struct sio_message *m = sio_message_newf("two", "");
    struct sio_cluster_msg in;
    struct wbuf w;

    (void)state;
    sio_message_set_volatile(m);
    sio_message_set_no_compress(m);
    wbuf_init(&w, UINT32_MAX);
    assert_int_equal(sio_sharded_write_broadcast(&w, NULL, &me, NONE, &target, m, 0),
                     SIO_OK);
    read_ok(bytes_of(&w), &in);
    assert_true(in.is_volatile && in.no_compress);
    assert_int_equal(in.rooms.n, 2);
    assert_text(in.except.items[0], "s\"q");
    sio_cluster_msg_fini(&in);
    wbuf_fini(&w);
    sio_message_free(m);
}

struct answering {
    struct wbuf w;
    enum sio_sharded_type type;
    const char *id;
};

static void answer(struct sio_event *e, void *user)
{
    struct answering *a = user;

    assert_int_equal(sio_sharded_write_answer(&a->w, &me, a->type,
                                              (struct sio_str){a->id, strlen(a->id)},
                                              e),
                     SIO_OK);
}

/* What comes in as an answer goes out as the same bytes. */
static void answers_as_node_does(void **state)
{
    static const struct {
        enum sio_sharded_type type;
        const char *id;
        struct sio_slice bytes;
    } cases[] = {
#define CASE(type, id, literal)                                   \
    {                                                             \
        type, id,                                                 \
        {                                                         \
            NULL, (const uint8_t *)(literal), sizeof(literal) - 1 \
        }                                                         \
    }
        CASE(SIO_SHARDED_SIDE_ANSWER, "q1", N_ANSWER),
        CASE(SIO_SHARDED_SIDE_ANSWER, "q2", N_ANSWER_BYTES),
        CASE(SIO_SHARDED_SIDE_ANSWER, "q3", N_ANSWER_NONE),
        CASE(SIO_SHARDED_ACK, "qy", N_ACK_BYTES),
#undef CASE
    };

    (void)state;
    for (size_t i = 0; i < N_ELEMENTS(cases); i++) {
        struct answering a = {.type = cases[i].type, .id = cases[i].id};
        struct sio_cluster_msg m;

        wbuf_init(&a.w, UINT32_MAX);
        read_ok(cases[i].bytes, &m);
        assert_int_equal(sio_sharded_show(&m, answer, &a), SIO_OK);
        assert_int_equal(a.w.len, cases[i].bytes.len);
        assert_memory_equal(wbuf_str(&a.w).ptr, cases[i].bytes.ptr, a.w.len);
        sio_cluster_msg_fini(&m);
        wbuf_fini(&a.w);
    }
}

static void writes_lists_of_sockets(void **state)
{
    struct sio_str rooms[] = {SIO_STR("i"), SIO_STR("room")};
    struct sio_fetched s = {.id = SIO_STR("i"),
                            .rooms = rooms,
                            .n_rooms = 2,
                            .handshake = SIO_STR("{\"time\":\"t\"}"),
                            .attributes = SIO_STR("{\"n\":1}")};
    struct wbuf w;

    (void)state;
    wbuf_init(&w, UINT32_MAX);
    sio_sharded_begin_sockets(&w, SIO_STR("q6"));
    sio_cluster_write_socket(&w, &s);
    assert_int_equal(sio_sharded_end_sockets(&w, &me), SIO_OK);
    assert_bytes(&w, N_SOCKETS);
    wbuf_fini(&w);
}

static void passes_heartbeats(void **state)
{
    static const struct sio_slice beats[] = {
#define BEAT(literal) {NULL, (const uint8_t *)(literal), sizeof(literal) - 1}
        BEAT("{\"type\":1,\"uid\":\"" UID "\",\"nsp\":\"/\"}"),
        BEAT("{\"type\":2,\"uid\":\"" UID "\",\"nsp\":\"/\"}"),
        BEAT("{\"nsp\":\"/\",\"uid\":\"" UID "\",\"type\":13,\"later\":[{}]}"),
#undef BEAT
    };
    struct sio_cluster_msg m;

    (void)state;
    for (size_t i = 0; i < N_ELEMENTS(beats); i++) {
        read_ok(beats[i], &m);
        sio_cluster_msg_fini(&m);
    }
}

#define END "},\"uid\":\"u\",\"nsp\":\"/\"}"

static void refuses_what_is_no_message(void **state)
{
    static const struct sio_slice bad[] = {
#define BAD(literal) {NULL, (const uint8_t *)(literal), sizeof(literal) - 1}
        BAD(""),
        BAD("\x80\x04\x95\x10"), /* a pickle */
        BAD("{"),
        BAD("{}"),
        BAD("[]"),
        BAD("{\"type\":2,\"uid\":\"u\"}"),
        BAD("{\"type\":2,\"nsp\":\"/\"}"),
        BAD("{\"type\":0,\"data\":{" END),
        BAD("{\"type\":14,\"data\":{" END),
        BAD("{\"type\":\"3\",\"data\":{" END),
        BAD("{\"type\":3,\"data\":{" END),
        BAD("{\"type\":3,\"data\":{\"opts\":{}" END),
        BAD("{\"type\":3,\"data\":{\"opts\":[],\"packet\":{}" END),
        BAD("{\"type\":3,\"data\":[],\"uid\":\"u\",\"nsp\":\"/\"}"),
        BAD("{\"type\":4,\"data\":{\"opts\":{\"rooms\":[[]]}" END),
        BAD("{\"type\":7,\"data\":{\"opts\":{}" END),
        BAD("{\"type\":8,\"data\":{\"requestId\":\"q\",\"sockets\":{}" END),
        BAD("{\"type\":9,\"data\":{\"requestId\":\"q\"" END),
        BAD("{\"type\":10,\"data\":{" END),
        BAD("{\"type\":11,\"data\":{\"requestId\":\"q\",\"clientCount\":-1" END),
        BAD("{\"type\":12,\"data\":{\"requestId\":5" END),
        BAD("{\"type\":2,\"data\":{},\"uid\":\"\xff\",\"nsp\":\"/\"}"),
        BAD("\xdd\xff\xff\xff\xff"),
        BAD("\xdf\xff\xff\xff\xff\xa1q"),
        BAD("\x81\x01\x02"),
        BAD("\x81\xa4"
            "data\xc0"),
        BAD("\x81\xa4"
            "data\x81\x01\x01"),
#undef BAD
    };
    struct sio_cluster_msg m;

    (void)state;
    for (size_t i = 0; i < N_ELEMENTS(bad); i++) {
        assert_int_equal(sio_sharded_read(bad[i], &m), SIO_ERR_PARSE);
        sio_cluster_msg_fini(&m);
    }
}

static void shows_nothing_but_events(void **state)
{
    static const struct sio_slice bad[] = {
#define BAD(literal) {NULL, (const uint8_t *)(literal), sizeof(literal) - 1}
#define PACKET(json) BAD("{\"type\":3,\"data\":{\"opts\":{},\"packet\":" json END)
        PACKET("5"),
        PACKET("[]"),
        PACKET("{\"type\":2}"),
        PACKET("{\"type\":2,\"data\":12}"),
        PACKET("{\"type\":2,\"data\":[]}"),
        PACKET("{\"type\":2,\"data\":[[]]}"),
        PACKET("{\"type\":2,\"data\":[\"disconnect\"]}"),
        PACKET("{\"type\":3,\"data\":[\"e\"]}"),
        PACKET("{\"type\":5,\"data\":[\"e\"]}"),
        PACKET("{\"data\":[\"e\"]}"),
#undef PACKET
        BAD("{\"type\":9,\"data\":{\"packet\":{}" END),
        BAD("{\"type\":9,\"data\":{\"packet\":[\"connect\"]" END),
        BAD("\x84\xa4type\x09\xa3uid\xa1u\xa3nsp\xa1/\xa4"
            "data\x81\xa6packet\x81\xa1q\x01"),
        BAD("\x84\xa4type\x03\xa3uid\xa1u\xa3nsp\xa1/\xa4"
            "data\x82\xa4opts\x80\xa6packet\x91\x01"),
        BAD("\x84\xa4type\x03\xa3uid\xa1u\xa3nsp\xa1/\xa4"
            "data\x82\xa4opts\x80\xa6packet\x82\xa4type\xa1x\xa4"
            "data\x91\xa1"
            "e"),
        BAD("\x84\xa4type\x03\xa3uid\xa1u\xa3nsp\xa1/\xa4"
            "data\x82\xa4opts\x80\xa6packet\x81\xa4type\x02"),
#undef BAD
    };
    struct sio_cluster_msg m;
    char log[512] = "";

    (void)state;
    for (size_t i = 0; i < N_ELEMENTS(bad); i++) {
        assert_int_equal(sio_sharded_read(bad[i], &m), SIO_OK);
        assert_true(sio_sharded_show(&m, note, log) < 0);
        assert_string_equal(log, "");
        sio_cluster_msg_fini(&m);
    }
}

static void bounds_depth_and_names(void **state)
{
    struct sio_cluster_msg m;
    struct wbuf w;

    (void)state;
    wbuf_init(&w, UINT32_MAX);
    wbuf_add_cstr(&w, "{\"type\":2,\"uid\":\"u\",\"nsp\":\"/\",\"data\":");
    for (int i = 0; i < 1000; i++)
        wbuf_add_byte(&w, '[');
    assert_int_equal(sio_sharded_read(bytes_of(&w), &m), SIO_ERR_TOO_BIG);
    sio_cluster_msg_fini(&m);
    wbuf_fini(&w);

    wbuf_init(&w, UINT32_MAX);
    wbuf_add_cstr(&w, "\x84\xa4type\x02\xa1q");
    for (int i = 0; i < 1000; i++)
        wbuf_add_byte(&w, 0x91);
    wbuf_add_byte(&w, 0xc0);
    assert_int_equal(sio_sharded_read(bytes_of(&w), &m), SIO_ERR_TOO_BIG);
    sio_cluster_msg_fini(&m);
    wbuf_fini(&w);

    wbuf_init(&w, UINT32_MAX);
    wbuf_add_cstr(&w, "{\"type\":4,\"data\":{\"opts\":{},\"rooms\":[1");
    for (int i = 0; i < SIO_CLUSTER_MAX_NAMES; i++)
        wbuf_add_cstr(&w, ",1");
    wbuf_add_cstr(&w, "]" END);
    assert_int_equal(sio_sharded_read(bytes_of(&w), &m), SIO_ERR_TOO_BIG);
    sio_cluster_msg_fini(&m);
    wbuf_fini(&w);
}

/* Every cut of a good message is none. */
static void refuses_every_cut(void **state)
{
    static const struct sio_slice all[] = {
        {NULL, (const uint8_t *)(N_ASK), sizeof(N_ASK) - 1},
        {NULL, (const uint8_t *)(N_ASK_BYTES), sizeof(N_ASK_BYTES) - 1},
        {NULL, (const uint8_t *)(N_SOCKETS), sizeof(N_SOCKETS) - 1},
    };
    struct sio_cluster_msg m;

    (void)state;
    for (size_t i = 0; i < N_ELEMENTS(all); i++)
        for (size_t len = 0; len < all[i].len; len++) {
            struct sio_slice cut = {NULL, all[i].ptr, len};

            assert_int_equal(sio_sharded_read(cut, &m), SIO_ERR_PARSE);
            sio_cluster_msg_fini(&m);
        }
}

static int read_and_show(struct sio_slice in)
{
    struct sio_cluster_msg m;
    char log[512] = "";
    int rv = sio_sharded_read(in, &m);

    if (rv == SIO_OK)
        rv = sio_sharded_show(&m, note, log);
    sio_cluster_msg_fini(&m);
    return rv;
}

static int write_one(struct sio_message *m)
{
    struct sio_str rooms[] = {SIO_STR("r")};
    struct sio_target target = {.rooms = rooms, .n_rooms = 1};
    struct wbuf w;
    int rv;

    wbuf_init(&w, UINT32_MAX);
    rv = sio_sharded_write_broadcast(&w, NULL, &me, NONE, &target, m, 0);
    wbuf_fini(&w);
    return rv;
}

static void survives_without_memory(void **state)
{
    (void)state;
    alloc_fail_each(n)
    {
        int rv = read_and_show(BYTES(N_ASK_BYTES));

        assert_true(rv == SIO_OK || rv == SIO_ERR_NOMEM);
        rv = read_and_show(BYTES(N_TWO));
        assert_true(rv == SIO_OK || rv == SIO_ERR_NOMEM);
    }
    alloc_fail_each(n)
    {
        struct sio_message *m = sio_message_newf("one", "B", BYTES("\x01"));
        int rv = m ? write_one(m) : SIO_ERR_NOMEM;

        assert_true(rv == SIO_OK || rv == SIO_ERR_NOMEM);
        sio_message_free(m);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(shows_what_node_sends),
        cmocka_unit_test(reads_whom_it_is_for),
        cmocka_unit_test(lists_sockets),
        cmocka_unit_test(writes_what_node_writes),
        cmocka_unit_test(writes_flags_and_exceptions),
        cmocka_unit_test(answers_as_node_does),
        cmocka_unit_test(writes_lists_of_sockets),
        cmocka_unit_test(passes_heartbeats),
        cmocka_unit_test(refuses_what_is_no_message),
        cmocka_unit_test(shows_nothing_but_events),
        cmocka_unit_test(bounds_depth_and_names),
        cmocka_unit_test(refuses_every_cut),
        cmocka_unit_test(survives_without_memory),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
