/*
 * WebSocket over real sockets, in both roles.  Every input is sent whole, byte by byte and
 * cut at each position, with the same answer.
 */
#include <config.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/list.h"
#include "base/str.h"
#include "http/frame.h"
#include "http/mask.h"
#include "http/websocket.h"
#include "loopback.h"

#define MAX_MESSAGE 200000

struct fixture {
    struct net_loop *loop;
    struct http_server *server;
    uint16_t port;
    struct ws *ws; /* the last one opened, until its end */
    unsigned n_closed;
    int code; /* of the last end */
    unsigned n_messages;
    unsigned n_drains;
    bool close_on_message;
    uint32_t close_timeout_ms; /* of the next one */
    bool ended;
    char last[64]; /* start of the last message */
    size_t last_len;
};

static void on_message(struct ws *ws, bool text, struct sio_slice msg, void *user)
{
    struct fixture *f = user;

    f->n_messages++;
    f->last_len = msg.len;
    memcpy(f->last, msg.ptr, msg.len < sizeof(f->last) ? msg.len : sizeof(f->last));
    if (f->close_on_message)
        ws_close(ws, 4321, "enough");
    else
        ws_send(ws, text ? WS_TEXT : WS_BINARY, &msg, 1);
}

static void on_drain(struct ws *ws, void *user)
{
    struct fixture *f = user;

    (void)ws;
    f->n_drains++;
}

static void on_close(struct ws *ws, int code, void *user)
{
    struct fixture *f = user;

    assert_ptr_equal(f->ws, ws);
    assert_int_equal(ws_send(ws, WS_TEXT, NULL, 0), SIO_ERR_CLOSED);
    ws_close(ws, 1000, NULL); /* harmless now */
    ws_abort(ws);
    f->ws = NULL;
    f->n_closed++;
    f->code = code;
    f->ended = true;
}

static const struct ws_ops echo_ops = {
    .on_message = on_message, .on_drain = on_drain, .on_close = on_close};
static const struct ws_options options = {
    .max_message = MAX_MESSAGE, .max_fragments = 5, .close_timeout_ms = 300};

static void on_request(struct http_request *r, void *user)
{
    struct fixture *f = user;
    struct ws_options opts = options;
    int status;
    const char *refusal = ws_handshake_check(r, &status);

    if (refusal) {
        http_reply_close(r);
        http_reply_error(r, status, refusal);
        return;
    }
    f->ended = false;
    http_reply_field(r, "X-Extra", SIO_STR("yes"));
    opts.close_timeout_ms = f->close_timeout_ms;
    f->ws = ws_accept(r, &opts, &echo_ops, f);
    assert_non_null(f->ws);
}

static const struct http_handler handler = {.on_request = on_request};

static int setup(void **state)
{
    const struct net_listen_options listen = {.host = "127.0.0.1"};
    struct fixture *f = calloc(1, sizeof(*f));
    int port;

    f->loop = net_loop_new(NULL, NULL);
    f->server = http_server_new(f->loop, NULL);
    assert_int_equal(http_server_route(f->server, HTTP_ANY, "/ws", &handler, f),
                     SIO_OK);
    port = http_server_listen(f->server, &listen, NULL);
    assert_true(port > 0);
    f->port = (uint16_t)port;
    f->close_timeout_ms = options.close_timeout_ms;
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;

    http_server_free(f->server);
    net_loop_free(f->loop);
    assert_null(f->ws);
    free(f);
    return 0;
}

/* Frames as a client sends them. */
struct bytes {
    size_t len;
    uint8_t data[300000];
};

static void put(struct bytes *b, const void *p, size_t len)
{
    assert_true(len <= sizeof(b->data) - b->len);
    memcpy(b->data + b->len, p, len);
    b->len += len;
}

/* first: FIN, RSV and opcode. */
static void put_frame(struct bytes *b, uint8_t first, const void *payload, size_t len)
{
    static const uint8_t mask[4] = {0xa1, 0x02, 0xf3, 0x44};
    uint8_t head[WS_HEAD_MAX];
    size_t n = ws_frame_head(head, WS_TEXT, len);

    head[0] = first;
    head[1] |= 0x80;
    put(b, head, n);
    put(b, mask, sizeof(mask));
    put(b, payload, len);
    ws_mask(b->data + b->len - len, b->data + b->len - len, len, mask, 0);
}

#define HANDSHAKE                                                                  \
    "GET /ws HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n" \
    "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"

static void open_ws(struct fixture *f, struct peer *p)
{
    peer_connect(p, f->loop, f->port);
    peer_send_text(p, HANDSHAKE);
    peer_wait_text(p, "\r\n\r\n");
    p->len = 0;
}

/* Sends it cut at `cut` (SIZE_MAX: byte by byte), reads to the end, compares. */
static void talk(struct fixture *f, const struct bytes *in, size_t cut,
                 const void *want, size_t want_len)
{
    struct peer p;

    open_ws(f, &p);
    if (cut == SIZE_MAX) {
        for (size_t i = 0; i < in->len; i++)
            peer_send(&p, in->data + i, 1);
    } else {
        peer_send(&p, in->data, cut);
        peer_send(&p, in->data + cut, in->len - cut);
    }
    peer_wait_end(&p);
    if (p.len != want_len || memcmp(p.data, want, want_len) != 0) {
        for (size_t i = 0; i < p.len && i < 40; i++)
            print_error("%02x ", (uint8_t)p.data[i]);
        fail_msg("cut %zu: %zu bytes came, not %zu", cut, p.len, want_len);
    }
    peer_close(&p);
    assert_null(f->ws);
}

static void talk_all(struct fixture *f, const struct bytes *in, const void *want,
                     size_t want_len)
{
    for (size_t cut = 0; cut < in->len; cut++)
        talk(f, in, cut, want, want_len);
    talk(f, in, SIZE_MAX, want, want_len);
}

#define EXPECT(f, in, literal) talk_all(f, in, literal, sizeof(literal) - 1)

static struct bytes *new_bytes(void)
{
    struct bytes *b = malloc(sizeof(*b));

    b->len = 0;
    return b;
}

static void knows_the_key_of_the_standard(void **state)
{
    char out[29];

    (void)state;
    assert_int_equal(ws_accept_key(SIO_STR("dGhlIHNhbXBsZSBub25jZQ=="), out), SIO_OK);
    assert_string_equal(out, "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
}

static void accepts_a_handshake_and_keeps_what_follows_it(void **state)
{
    struct fixture *f = *state;
    struct bytes *b = new_bytes();
    struct peer p;

    put(b, HANDSHAKE, sizeof(HANDSHAKE) - 1);
    put_frame(b, 0x81, "hi", 2);
    put_frame(b, 0x88, "\x03\xe8", 2);
    for (size_t cut = 1; cut < b->len; cut++) {
        peer_connect(&p, f->loop, f->port);
        peer_send(&p, b->data, cut);
        peer_send(&p, b->data + cut, b->len - cut);
        peer_wait_end(&p);
        assert_int_equal(strncmp(p.data, "HTTP/1.1 101 Switching Protocols\r\n", 34),
                         0);
        assert_non_null(strstr(p.data,
                               "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
                               "\r\nX-Extra: yes\r\n\r\n\x81\x02hi\x88\x02\x03\xe8"));
        assert_null(strstr(p.data, "Sec-WebSocket-Extensions"));
        peer_close(&p);
    }
    free(b);
}

static void refuses_bad_handshakes(void **state)
{
#define REST "Host: a\r\nSec-WebSocket-Version: 13\r\n"
#define UP   "Upgrade: websocket\r\nConnection: Upgrade\r\n"
#define KEY  "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
    static const struct {
        const char *text;
        const char *want;
    } cases[] = {
        {"GET /ws HTTP/1.1\r\n" REST UP "\r\n", "HTTP/1.1 400 "},
        {"GET /ws HTTP/1.1\r\n" REST UP "Sec-WebSocket-Key: abc\r\n\r\n",
         "HTTP/1.1 400 "},
        {"GET /ws HTTP/1.1\r\n" REST UP
         "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25j!Q==\r\n\r\n",
         "HTTP/1.1 400 "},
        {"GET /ws HTTP/1.1\r\n" REST KEY "Upgrade: websocket\r\n\r\n", "HTTP/1.1 400 "},
        {"GET /ws HTTP/1.1\r\n" REST KEY "Connection: Upgrade\r\n\r\n",
         "HTTP/1.1 400 "},
        {"GET /ws HTTP/1.1\r\n" REST KEY "Connection: Upgrade\r\nUpgrade: h2c\r\n\r\n",
         "HTTP/1.1 400 "},
        {"POST /ws HTTP/1.1\r\n" REST UP KEY "\r\n", "HTTP/1.1 400 "},
        {"GET /ws HTTP/1.0\r\n" REST UP KEY "\r\n", "HTTP/1.1 400 "},
        {"GET /ws HTTP/1.1\r\nHost: a\r\n" UP KEY "\r\n", "HTTP/1.1 426 "},
        {"GET /ws HTTP/1.1\r\nHost: a\r\nSec-WebSocket-Version: 8\r\n" UP KEY "\r\n",
         "HTTP/1.1 426 "},
        {"GET /ws HTTP/1.1\r\n" REST KEY
         "Connection: keep-alive, uPGRADE\r\nUpgrade: h2c, WebSocket\r\n\r\n",
         "HTTP/1.1 101 "},
    };
    struct fixture *f = *state;

    for (size_t i = 0; i < N_ELEMENTS(cases); i++) {
        struct peer p;

        peer_connect(&p, f->loop, f->port);
        peer_send_text(&p, cases[i].text);
        peer_wait_text(&p, "\r\n\r\n");
        if (strncmp(p.data, cases[i].want, 13) != 0)
            fail_msg("case %zu: %s", i, p.data);
        peer_close(&p);
    }
}

static void echoes_messages_of_both_kinds(void **state)
{
    struct bytes *b = new_bytes();

    put_frame(b, 0x81, "h\xc3\xb1", 3);
    put_frame(b, 0x82, "\xff\x00", 2);
    put_frame(b, 0x81, "", 0);
    put_frame(b, 0x88,
              "\x03\xe8"
              "bye",
              5);
    EXPECT(*state, b,
           "\x81\x03h\xc3\xb1\x82\x02\xff\x00\x81\x00\x88\x05\x03\xe8"
           "bye");
    free(b);
}

static void joins_fragments_and_answers_pings_between_them(void **state)
{
    struct fixture *f = *state;
    struct bytes *b = new_bytes();

    put_frame(b, 0x01, "a\xc3", 2);
    put_frame(b, 0x89, "ping", 4);
    put_frame(b, 0x00, "", 0);
    put_frame(b, 0x8a, "pong", 4);
    put_frame(b, 0x80, "\xb1z", 2);
    put_frame(b, 0x02, "x", 1);
    put_frame(b, 0x80, "y", 1);
    put_frame(b, 0x88, "", 0);
    EXPECT(f, b,
           "\x8a\x04ping\x81\x04"
           "a\xc3\xb1z\x82\x02xy\x88\x00");
    assert_int_equal(f->code, WS_CLOSE_NONE);
    free(b);
}

static void drops_what_follows_a_close_frame(void **state)
{
    struct fixture *f = *state;
    struct bytes *b = new_bytes();

    put_frame(b, 0x88, "\x0f\xa1", 2);
    put_frame(b, 0x81, "late", 4);
    EXPECT(f, b, "\x88\x02\x0f\xa1");
    assert_int_equal(f->code, 4001);
    assert_int_equal(f->n_messages, 0);
    free(b);
}

/* One frame each, then the code that answers it. */
static void answers_violations_with_their_code(void **state)
{
    static const struct {
        const char *bytes;
        size_t len;
        uint16_t code;
    } cases[] = {
#define CASE(literal, code) {literal, sizeof(literal) - 1, code}
        CASE("\x81\x02hi", 1002),       /* not masked */
        CASE("\xc1\x80\0\0\0\0", 1002), /* reserved bits */
        CASE("\xa1\x80\0\0\0\0", 1002),
        CASE("\x92\x80\0\0\0\0", 1002),
        CASE("\x83\x80\0\0\0\0", 1002), /* reserved opcodes */
        CASE("\x8b\x80\0\0\0\0", 1002),
        CASE("\x89\xfe\x00\x7e\0\0\0\0", 1002),           /* long control frame */
        CASE("\x09\x80\0\0\0\0", 1002),                   /* fragmented control frame */
        CASE("\x80\x81\0\0\0\0x", 1002),                  /* continues nothing */
        CASE("\x01\x81\0\0\0\0x\x81\x81\0\0\0\0x", 1002), /* message in a message */
        CASE("\x82\xff\x80\0\0\0\0\0\0\0\0\0\0\0", 1002), /* top bit of the length */
        CASE("\x82\xfe\x00\x05\0\0\0\0", 1002),           /* not the shortest length */
        CASE("\x88\x81\0\0\0\0x", 1002),        /* close payload of one byte */
        CASE("\x88\x82\0\0\0\0\x00\x00", 1002), /* codes nobody may send */
        CASE("\x88\x82\0\0\0\0\x03\xe7", 1002),
        CASE("\x88\x82\0\0\0\0\x03\xec", 1002),
        CASE("\x88\x82\0\0\0\0\x03\xed", 1002),
        CASE("\x88\x82\0\0\0\0\x03\xee", 1002),
        CASE("\x88\x82\0\0\0\0\x03\xf7", 1002),
        CASE("\x88\x82\0\0\0\0\x03\xf8", 1002),
        CASE("\x88\x82\0\0\0\0\x0b\xb7", 1002),
        CASE("\x88\x82\0\0\0\0\x13\x88", 1002),
        CASE("\x88\x83\0\0\0\0\x03\xe8\xff", 1007),          /* reason is not UTF-8 */
        CASE("\x81\x81\0\0\0\0\xff", 1007),                  /* text is not UTF-8 */
        CASE("\x81\x81\0\0\0\0\xc3", 1007),                  /* cut in a character */
        CASE("\x81\x83\0\0\0\0\xed\xa0\x80", 1007),          /* a surrogate */
        CASE("\x01\x81\0\0\0\0\xc3\x00\x81\0\0\0\0x", 1007), /* over a border */
        CASE("\x01\x81\0\0\0\0\xc3\x80\x80\0\0\0\0", 1007),  /* cut at the end */
        CASE("\x01\x81\0\0\0\0\xff", 1007), /* before the message is complete */
        CASE("\x82\xff\0\0\0\0\0\x03\x0d\x41\0\0\0\0", 1009), /* announced: 200001 */
        CASE("\x82\xff\x7f\0\0\0\0\0\0\0\0\0\0\0", 1009),
        CASE("\x02\x81\0\0\0\0x\x80\xff\0\0\0\0\0\x03\x0d\x40\0\0\0\0", 1009),
        CASE("\x02\x80\0\0\0\0\x00\x80\0\0\0\0\x00\x80\0\0\0\0\x00\x80\0\0\0\0"
             "\x00\x80\0\0\0\0\x00\x80\0\0\0\0",
             1008), /* the sixth fragment */
    };
    struct fixture *f = *state;
    struct bytes *b = new_bytes();

    for (size_t i = 0; i < N_ELEMENTS(cases); i++) {
        const uint8_t want[] = {0x88, 2, (uint8_t)(cases[i].code >> 8),
                                (uint8_t)cases[i].code};

        b->len = 0;
        put(b, cases[i].bytes, cases[i].len);
        print_message("case %zu\n", i);
        talk_all(f, b, want, sizeof(want));
        assert_int_equal(f->code, cases[i].code);
    }
    assert_int_equal(f->n_messages, 0);
    free(b);
}

/* Codes that are registered, or free for applications. */
static void answers_good_close_codes_with_the_same(void **state)
{
    static const uint16_t codes[] = {1000, 1001, 1003, 1007, 1011, 1012,
                                     1013, 1014, 3000, 3999, 4000, 4999};
    struct fixture *f = *state;
    struct bytes *b = new_bytes();

    for (size_t i = 0; i < N_ELEMENTS(codes); i++) {
        const uint8_t payload[] = {(uint8_t)(codes[i] >> 8), (uint8_t)codes[i]};
        const uint8_t want[] = {0x88, 2, payload[0], payload[1]};

        b->len = 0;
        put_frame(b, 0x88, payload, 2);
        print_message("code %u\n", codes[i]);
        talk(f, b, 0, want, sizeof(want));
        assert_int_equal(f->code, codes[i]);
    }
    free(b);
}

static void large_messages_arrive_in_pieces_and_whole(void **state)
{
    struct fixture *f = *state;
    struct bytes *b = new_bytes();
    uint8_t *payload = malloc(MAX_MESSAGE);
    static const size_t cuts[] = {0,  1,    13,    14,     15,    16,
                                  77, 4096, 65536, 131072, 199999};

    for (size_t i = 0; i < MAX_MESSAGE; i++)
        payload[i] = (uint8_t)('a' + i % 26);
    put_frame(b, 0x81, payload, MAX_MESSAGE);
    put_frame(b, 0x88, "", 0);
    for (size_t i = 0; i < N_ELEMENTS(cuts); i++) {
        struct peer p;

        open_ws(f, &p);
        peer_send(&p, b->data, cuts[i]);
        peer_send(&p, b->data + cuts[i], b->len - cuts[i]);
        peer_wait_end(&p);
        assert_int_equal(p.len, 10 + MAX_MESSAGE + 2);
        assert_memory_equal(p.data + 10, payload, MAX_MESSAGE);
        peer_close(&p);
    }
    free(payload);
    free(b);
}

static void large_text_is_refused_at_its_first_bad_byte(void **state)
{
    struct fixture *f = *state;
    struct bytes *b = new_bytes();
    struct peer p;

    put(b,
        "\x81\xff\0\0\0\0\0\x01\x00\x00\0\0\0\0"
        "abc\xff",
        18);
    open_ws(f, &p);
    peer_send(&p, b->data, b->len);
    peer_wait_end(&p);
    assert_int_equal(p.len, 4);
    assert_memory_equal(p.data, "\x88\x02\x03\xef", 4);
    peer_close(&p);
    free(b);
}

static void our_close_waits_for_the_answer(void **state)
{
    struct fixture *f = *state;
    struct bytes *b = new_bytes();
    struct peer p;

    f->close_on_message = true;
    put_frame(b, 0x81, "x", 1);
    put_frame(b, 0x81, "dropped", 7);
    put_frame(b, 0x89, "dropped", 7);
    open_ws(f, &p);
    peer_send(&p, b->data, b->len);
    peer_wait_len(&p, 10);
    assert_int_equal(p.len, 10);
    assert_memory_equal(p.data,
                        "\x88\x08\x10\xe1"
                        "enough",
                        10);
    loop_settle(f->loop);
    assert_non_null(f->ws);
    b->len = 0;
    put_frame(b, 0x88, "\x10\xe1", 2);
    peer_send(&p, b->data, b->len);
    peer_wait_end(&p);
    assert_int_equal(f->code, 4321);
    assert_int_equal(f->n_messages, 1);
    peer_close(&p);
    free(b);
}

static void a_peer_that_does_not_answer_our_close_is_cut(void **state)
{
    struct fixture *f = *state;
    struct bytes *b = new_bytes();
    struct peer p;

    f->close_on_message = true;
    put_frame(b, 0x81, "x", 1);
    open_ws(f, &p);
    peer_send(&p, b->data, b->len);
    peer_wait_end(&p);
    assert_int_equal(p.len, 10);
    assert_true(f->ended);
    assert_int_equal(f->code, 4321);
    peer_close(&p);
    free(b);
}

static void on_passed(struct net_timer *timer, void *user)
{
    (void)timer;
    *(bool *)user = true;
}

/* The time for its answer begins when it has, more or less, what was sent before. */
static void a_slow_peer_gets_all_that_was_sent_before_our_close(void **state)
{
    struct fixture *f = *state;
    struct bytes *b = new_bytes();
    struct sio_buf *big = sio_buf_new(8 << 20);
    const struct sio_slice slice = sio_slice_of(big);
    struct net_timer timer;
    struct peer p;
    bool passed = false;

    memset(sio_buf_data(big), 'x', 8 << 20);
    f->close_timeout_ms = 1000;
    open_ws(f, &p);
    assert_int_equal(ws_send(f->ws, WS_BINARY, &slice, 1), SIO_OK);
    ws_close(f->ws, 1001, NULL);
    net_timer_init(&timer, f->loop, on_passed, &passed);
    net_timer_start(&timer, 2 * f->close_timeout_ms);
    loop_until(f->loop, &passed);
    assert_false(f->ended);
    peer_wait_len(&p, 10 + (8u << 20) + 4);
    put_frame(b, 0x88, "\x03\xe9", 2);
    peer_send(&p, b->data, b->len);
    peer_wait_end(&p);
    assert_int_equal(f->code, 1001);
    peer_close(&p);

    open_ws(f, &p); /* and one that takes it and does not answer is cut as ever */
    assert_int_equal(ws_send(f->ws, WS_BINARY, &slice, 1), SIO_OK);
    ws_close(f->ws, 1001, NULL);
    peer_wait_len(&p, 10 + (8u << 20) + 4);
    loop_until(f->loop, &f->ended);
    peer_close(&p);
    sio_buf_unref(big);
    free(b);
}

static void a_lost_connection_is_1006(void **state)
{
    struct fixture *f = *state;
    struct peer p;

    open_ws(f, &p);
    peer_close(&p);
    loop_until(f->loop, &f->ended);
    assert_int_equal(f->code, WS_CLOSE_ABNORMAL);

    open_ws(f, &p);
    ws_abort(f->ws);
    assert_true(f->ended);
    assert_int_equal(f->code, WS_CLOSE_ABNORMAL);
    peer_wait_end(&p);
    peer_close(&p);
    assert_int_equal(f->n_closed, 2);
}

static void a_peer_that_does_not_read_gets_no_pongs(void **state)
{
    struct fixture *f = *state;
    struct bytes *b = new_bytes();
    struct sio_buf *big = sio_buf_new(8 << 20);
    const struct sio_slice slice = sio_slice_of(big);
    struct peer p;
    size_t before;

    memset(sio_buf_data(big), 'x', 8 << 20);
    open_ws(f, &p);
    assert_int_equal(ws_send(f->ws, WS_BINARY, &slice, 1), SIO_OK);
    loop_settle(f->loop);
    assert_true(ws_full(f->ws));
    before = ws_pending(f->ws);
    for (int i = 0; i < 100; i++)
        put_frame(b, 0x89, "ping", 4);
    peer_send(&p, b->data, b->len);
    loop_settle(f->loop);
    assert_true(ws_pending(f->ws) <= before);
    peer_wait_len(&p, 10 + (8u << 20));
    loop_settle(f->loop);
    assert_int_equal(f->n_drains, 1);
    peer_close(&p);
    loop_until(f->loop, &f->ended);
    sio_buf_unref(big);
    free(b);
}

/* The client's side: the test is the server. */

static void on_client_open(struct net_conn *c, void *user)
{
    struct fixture *f = user;

    f->ended = false;
    net_conn_set_marks(c, 1, 0); /* a client may want to know when all is sent */
    f->ws = ws_client_new(c, (struct sio_str){0}, &options, &echo_ops, f);
    assert_non_null(f->ws);
}

static void dial(struct fixture *f, struct peer *p)
{
    static const struct net_conn_ops ops = {.on_open = on_client_open};
    struct sockaddr_in at = {.sin_family = AF_INET};
    socklen_t len = sizeof(at);
    struct net_connect_options to = {.host = "127.0.0.1"};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    assert_int_equal(bind(fd, (struct sockaddr *)&at, len), 0);
    assert_int_equal(listen(fd, 1), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&at, &len), 0);
    to.port = ntohs(at.sin_port);
    assert_non_null(net_conn_connect(f->loop, &to, &ops, f));
    RUN_WHILE(f->loop, !f->ws)
    *p = (struct peer){.loop = f->loop, .cap = 1, .data = calloc(1, 1)};
    p->fd = accept(fd, NULL, NULL);
    assert_true(p->fd >= 0);
    close(fd);
}

/* Reads one masked frame of the client and unmasks it. */
static size_t read_masked(struct peer *p, size_t at, struct ws_frame *f)
{
    const struct ws_frame_rules rules = {0};
    int n = 0;

    while (n == 0) {
        n = ws_frame_parse(&rules, (uint8_t *)p->data + at, p->len - at, f);
        if (n == 0)
            peer_wait_len(p, p->len + 1);
    }
    assert_true(n > 0);
    if (f->len > 0)
        peer_wait_len(p, at + (size_t)n + (size_t)f->len);
    ws_mask((uint8_t *)p->data + at + n, (uint8_t *)p->data + at + n, (size_t)f->len,
            f->mask, 0);
    return at + (size_t)n;
}

static void a_client_masks_and_takes_what_is_not_masked(void **state)
{
    struct fixture *f = *state;
    struct ws_frame frame;
    struct peer p;
    size_t at;

    dial(f, &p);
    peer_send(&p,
              "\x81\x02hi\x89\x01p\x01\x01"
              "a\x80\x01"
              "b\x88\x02\x03\xe8",
              17);
    at = read_masked(&p, 0, &frame);
    assert_int_equal(frame.opcode, WS_TEXT);
    assert_memory_equal(p.data + at, "hi", 2);
    at = read_masked(&p, at + 2, &frame);
    assert_int_equal(frame.opcode, WS_PONG);
    assert_memory_equal(p.data + at, "p", 1);
    at = read_masked(&p, at + 1, &frame);
    assert_memory_equal(p.data + at, "ab", 2);
    at = read_masked(&p, at + 2, &frame);
    assert_int_equal(frame.opcode, WS_CLOSE);
    assert_memory_equal(p.data + at, "\x03\xe8", 2);
    peer_wait_end(&p);
    peer_close(&p);
    assert_int_equal(f->code, 1000);
}

static void a_client_refuses_masked_frames(void **state)
{
    struct fixture *f = *state;
    struct ws_frame frame;
    struct peer p;
    size_t at;

    dial(f, &p);
    peer_send(&p, "\x81\x81\0\0\0\0x", 7);
    at = read_masked(&p, 0, &frame);
    assert_int_equal(frame.opcode, WS_CLOSE);
    assert_memory_equal(p.data + at, "\x03\xea", 2);
    peer_wait_end(&p);
    peer_close(&p);
    assert_int_equal(f->code, WS_CLOSE_PROTOCOL);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(knows_the_key_of_the_standard),
        TEST(accepts_a_handshake_and_keeps_what_follows_it),
        TEST(refuses_bad_handshakes),
        TEST(echoes_messages_of_both_kinds),
        TEST(joins_fragments_and_answers_pings_between_them),
        TEST(drops_what_follows_a_close_frame),
        TEST(answers_violations_with_their_code),
        TEST(answers_good_close_codes_with_the_same),
        TEST(large_messages_arrive_in_pieces_and_whole),
        TEST(large_text_is_refused_at_its_first_bad_byte),
        TEST(our_close_waits_for_the_answer),
        TEST(a_peer_that_does_not_answer_our_close_is_cut),
        TEST(a_slow_peer_gets_all_that_was_sent_before_our_close),
        TEST(a_lost_connection_is_1006),
        TEST(a_peer_that_does_not_read_gets_no_pongs),
        TEST(a_client_masks_and_takes_what_is_not_masked),
        TEST(a_client_refuses_masked_frames),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
