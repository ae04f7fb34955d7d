/*
 * Every input is fed whole, byte by byte and cut at each position, with the same result.
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

#include "base/list.h"
#include "base/str.h"
#include "http/parser.h"

/* What a message came to, as one text. */
struct outcome {
    char text[4096];
    size_t len;
    size_t body_max;
};

static void note(struct outcome *o, const char *p, size_t len)
{
    assert_true(len < sizeof(o->text) - o->len);
    if (len > 0) /* p may be NULL */
        memcpy(o->text + o->len, p, len);
    o->len += len;
    o->text[o->len] = '\0';
}

static void note_str(struct outcome *o, const char *label, struct sio_str s)
{
    note(o, label, strlen(label));
    note(o, s.ptr, s.len);
    note(o, "\n", 1);
}

static int on_body(const uint8_t *data, size_t len, void *user)
{
    struct outcome *o = user;

    if (len > o->body_max)
        return SIO_ERR_TOO_BIG;
    o->body_max -= len;
    note(o, (const char *)data, len);
    return SIO_OK;
}

static void note_head(struct outcome *o, const struct http_head *h)
{
    char flags[128];

    note_str(o, "method ", http_head_method(h));
    note_str(o, "target ", http_head_target(h));
    snprintf(flags, sizeof(flags), "status %u minor %u%s%s%s%s length %llu\n",
             h->status, h->minor, h->keep_alive ? " keep" : "",
             h->chunked ? " chunked" : "", h->expect_continue ? " expect" : "",
             h->upgrade ? " upgrade" : "", (unsigned long long)h->content_length);
    note(o, flags, strlen(flags));
    for (uint32_t i = 0; i < h->n_fields; i++) {
        const struct http_field *f = &h->fields[i];

        note_str(o, "field ", (struct sio_str){h->text + f->name, f->name_len});
        note_str(o, "value ", (struct sio_str){h->text + f->value, f->value_len});
    }
}

static const struct http_parser_limits limits = {
    .max_head = 1024, .max_target = 256, .max_fields = 20};

/* Feeds one piece, which lies in a block of its own size.  True while more is wanted. */
static bool feed_piece(struct http_parser *p, struct outcome *o, const char *data,
                       size_t len, size_t *total)
{
    uint8_t *copy = malloc(len ? len : 1);
    uint8_t *at = copy;
    bool more = true;

    if (len > 0)
        memcpy(copy, data, len);
    while (more) {
        size_t used;
        enum http_parser_step step = http_parser_feed(p, at, len, &used);

        assert_true(used <= len);
        at += used;
        len -= used;
        *total += used;
        if (step == HTTP_PARSER_HEAD)
            note_head(o, http_parser_head(p));
        if (step == HTTP_PARSER_DONE)
            note(o, "done", 4);
        if (step == HTTP_PARSER_FAILED) {
            char status[64];

            snprintf(status, sizeof(status), "failed %d %d", http_parser_status(p),
                     http_parser_error(p));
            note(o, status, strlen(status));
        }
        if (step == HTTP_PARSER_MORE)
            assert_int_equal(len, 0);
        more = step == HTTP_PARSER_HEAD;
        if (step == HTTP_PARSER_DONE || step == HTTP_PARSER_FAILED) {
            free(copy);
            return false;
        }
    }
    free(copy);
    return true;
}

/* Returns how many bytes the message took. */
static size_t parse(bool response, const char *data, size_t len, size_t cut,
                    bool bytewise, struct outcome *o)
{
    struct http_parser *p;
    size_t total = 0;
    bool more;

    *o = (struct outcome){.body_max = 256};
    p = http_parser_new(response, &limits, on_body, o);
    assert_non_null(p);
    if (bytewise) {
        more = true;
        for (size_t i = 0; i < len && more; i++)
            more = feed_piece(p, o, data + i, 1, &total);
    } else {
        more = feed_piece(p, o, data, cut, &total);
        if (more)
            feed_piece(p, o, data + cut, len - cut, &total);
    }
    http_parser_free(p);
    return total;
}

/* Feeds it in every way; the result is in o. */
static size_t parse_all(bool response, const char *data, size_t len, struct outcome *o)
{
    size_t used = parse(response, data, len, len, false, o);
    bool failed = strstr(o->text, "failed") != NULL;
    struct outcome other;

    for (size_t cut = 0; cut <= len; cut++) {
        size_t n = parse(response, data, len, cut, cut == len, &other);

        assert_string_equal(other.text, o->text);
        if (!failed)
            assert_int_equal(n, used);
    }
    return used;
}

static void expect(const char *data, const char *want, size_t left)
{
    struct outcome o;
    size_t used = parse_all(false, data, strlen(data), &o);

    assert_string_equal(o.text, want);
    assert_int_equal(strlen(data) - used, left);
}

#define HOST       "Host: a\r\n"
#define HOST_FIELD "field Host\nvalue a\n"

static void reads_a_request_and_leaves_the_rest(void **state)
{
    (void)state;
    expect(
        "GET /api/status?t=1 HTTP/1.1\r\nHost: example.test:80\r\nX-A:  b c \t\r\n"
        "Empty:\r\n\r\nGET /next",
        "method GET\ntarget /api/status?t=1\nstatus 0 minor 1 keep length 0\n"
        "field Host\nvalue example.test:80\nfield X-A\nvalue b c\nfield Empty\nvalue \n"
        "done",
        9);
}

static void skips_empty_lines_before_a_request(void **state)
{
    (void)state;
    expect("\r\n\r\nGET / HTTP/1.1\r\n" HOST "\r\n",
           "method GET\ntarget /\nstatus 0 minor 1 keep length 0\n" HOST_FIELD "done",
           0);
}

static void reads_methods_that_nobody_knows(void **state)
{
    (void)state;
    expect("BREW /pot HTTP/1.1\r\n" HOST "\r\n",
           "method BREW\ntarget /pot\nstatus 0 minor 1 keep length 0\n" HOST_FIELD
           "done",
           0);
    expect("PRI * HTTP/1.1\r\n" HOST "\r\n",
           "method PRI\ntarget *\nstatus 0 minor 1 keep length 0\n" HOST_FIELD "done",
           0);
}

static void knows_when_a_connection_stays_open(void **state)
{
    (void)state;
    expect("GET / HTTP/1.0\r\n\r\n",
           "method GET\ntarget /\nstatus 0 minor 0 length 0\ndone", 0);
    expect("GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n",
           "method GET\ntarget /\nstatus 0 minor 0 keep length 0\n"
           "field Connection\nvalue keep-alive\ndone",
           0);
    expect("GET / HTTP/1.1\r\n" HOST "Connection: foo, close\r\n\r\n",
           "method GET\ntarget /\nstatus 0 minor 1 length 0\n" HOST_FIELD
           "field Connection\nvalue foo, close\ndone",
           0);
}

static void reads_bodies_by_length_and_by_chunks(void **state)
{
    (void)state;
    expect("POST / HTTP/1.1\r\n" HOST "Content-Length: 5\r\n\r\nhelloGET",
           "method POST\ntarget /\nstatus 0 minor 1 keep length 5\n" HOST_FIELD
           "field Content-Length\nvalue 5\nhellodone",
           3);
    expect("POST / HTTP/1.1\r\n" HOST "Transfer-Encoding: Chunked\r\n\r\n"
           "3;x=\"y\"\r\nabc\r\n0A\r\n0123456789\r\n0\r\nTrailer: x\r\n\r\nGET",
           "method POST\ntarget /\nstatus 0 minor 1 keep chunked length 0\n" HOST_FIELD
           "field Transfer-Encoding\nvalue Chunked\nabc0123456789done",
           3);
}

static void keeps_what_follows_an_upgrade(void **state)
{
    (void)state;
    expect(
        "GET /ws HTTP/1.1\r\n" HOST "Upgrade: websocket\r\n"
        "Connection: keep-alive, Upgrade\r\n\r\n\x81\x80",
        "method GET\ntarget /ws\nstatus 0 minor 1 keep upgrade length 0\n" HOST_FIELD
        "field Upgrade\nvalue websocket\nfield Connection\nvalue keep-alive, Upgrade\n"
        "done",
        2);
}

static void refuses_what_has_two_meanings(void **state)
{
    static const struct {
        const char *text;
        int status;
    } bad[] = {
        {"GET / HTTP/1.1\nHost: a\n\n", 400},
        {"GET / HTTP/1.1\r\nHost: a\n\r\n", 400},
        {"GET / HTTP/1.1\r\nHost: a\r\nA: b\rC: d\r\n\r\n", 400},
        {"GET / HTTP/1.1\r\nHost: a\r\nA: b\r\n c\r\n\r\n", 400},
        {"GET / HTTP/1.1\r\nHost: a\r\nA : b\r\n\r\n", 400},
        {"GET / HTTP/1.1\r\nHost: a\r\n A: b\r\n\r\n", 400},
        {"GET / HTTP/1.1\r\n A: b\r\nHost: a\r\n\r\n", 400},
        {"GET / HTTP/1.1\r\nHost: a\r\n: b\r\n\r\n", 400},
        {"GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n", 400},
        {"GET / HTTP/1.1\r\nHost: a b\r\n\r\n", 400},
        {"GET / HTTP/1.1\r\nHost: a/b\r\n\r\n", 400},
        {"GET / HTTP/1.1\r\nA: b\r\n\r\n", 400},
        {"GET /#f HTTP/1.1\r\nHost: a\r\n\r\n", 400},
        {"GET  / HTTP/1.1\r\nHost: a\r\n\r\n", 400},
        {"GET / /x HTTP/1.1\r\nHost: a\r\n\r\n", 400},
        {"GET /\r\n\r\n", 400},
        {"garbage\r\n\r\n", 400},
        {" GET / HTTP/1.1\r\n\r\n", 400},
        {"GE\x01T / HTTP/1.1\r\n\r\n", 400},
        {"\x16\x03\x01\x02\x01\x01\xfc\x03\x03", 400},
        {"\n\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", 400},
        {"GET / FTP/1.1\r\nHost: a\r\n\r\n", 400},
        {"GET / HTTP/2.0\r\nHost: a\r\n\r\n", 505},
        {"GET / HTTP/3.7\r\nHost: a\r\n\r\n", 505},
        {"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nTransfer-Encoding: "
         "chunked\r\n"
         "\r\n",
         400},
        {"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nContent-Length: "
         "1\r\n"
         "\r\n",
         400},
        {"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
         400},
        {"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\n",
         400},
        {"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1, 1\r\n\r\n", 400},
        {"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: +1\r\n\r\n", 400},
        {"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: -1\r\n\r\n", 400},
        {"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0x1\r\n\r\n", 400},
        {"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1 2\r\n\r\n", 400},
        {"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: "
         "99999999999999999999999\r\n\r\n",
         400},
        {"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n", 501},
        {"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n"
         "Transfer-Encoding: chunked\r\n\r\n",
         400},
        {"POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n", 400},
        {"POST / HTTP/1.1\r\nHost: a\r\nExpect: tea\r\n\r\n", 417},
    };

    (void)state;
    for (size_t i = 0; i < N_ELEMENTS(bad); i++) {
        char want[32];
        struct outcome o;

        snprintf(want, sizeof(want), "failed %d", bad[i].status);
        parse_all(false, bad[i].text, strlen(bad[i].text), &o);
        if (strncmp(o.text, want, strlen(want)) != 0)
            fail_msg("%s\ngave: %s\nnot: %s", bad[i].text, o.text, want);
    }
}

static void refuses_bad_chunks(void **state)
{
    static const char *const bad[] = {
        "x\r\n",          "-1\r\n",
        "3\r\nabcd\r\n",  "3\r\nabc\n0\r\n\r\n",
        "3\nabc\r\n",     "3\rabc\r\n",
        "0x3\r\nabc\r\n", "fffffffffffffffff\r\n",
        "3 \r\nabc\r\n",  "3;\x01\r\nabc\r\n",
    };

    (void)state;
    for (size_t i = 0; i < N_ELEMENTS(bad); i++) {
        char text[512];
        struct outcome o;
        char *at;

        snprintf(text, sizeof(text),
                 "POST / HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\n\r\n%s",
                 bad[i]);
        parse_all(false, text, strlen(text), &o);
        at = strstr(o.text, "failed");
        if (!at || strncmp(at, "failed 400", 10) != 0)
            fail_msg("chunk %zu: %s", i, o.text);
    }
}

static void refuses_a_nul_in_the_head(void **state)
{
    static const char text[] = "GET / HTTP/1.1\r\nHost: a\r\nA: b\0c\r\n\r\n";
    struct outcome o;

    (void)state;
    parse_all(false, text, sizeof(text) - 1, &o);
    assert_string_equal(o.text, "failed 400 -3");
}

/* A request whose target, or whose one field, is n bytes. */
static void expect_long(const char *before, size_t n, const char *after,
                        const char *want)
{
    char *text = malloc(strlen(before) + n + strlen(after) + 1);
    struct outcome o;

    sprintf(text, "%s", before);
    memset(text + strlen(before), 'x', n);
    strcpy(text + strlen(before) + n, after);
    parse_all(false, text, strlen(text), &o);
    if (strncmp(o.text, want, strlen(want)) != 0)
        fail_msg("%zu bytes: %s", n, o.text);
    free(text);
}

static void bounds_the_head(void **state)
{
    (void)state;
    expect_long("GET /", 255, " HTTP/1.1\r\n" HOST "\r\n", "method GET");
    expect_long("GET /", 256, " HTTP/1.1\r\n" HOST "\r\n", "failed 414");
    expect_long("GET /", 3000, " HTTP/1.1\r\n" HOST "\r\n", "failed 414");
    /* 1024 bytes in all, then one more. */
    expect_long("GET / HTTP/1.1\r\n" HOST "A: ", 992, "\r\n\r\n", "method GET");
    expect_long("GET / HTTP/1.1\r\n" HOST "A: ", 993, "\r\n\r\n", "failed 431");
    expect_long("GET / HTTP/1.1\r\n" HOST, 3000, ": b\r\n\r\n", "failed 431");
    expect_long("", 33, " / HTTP/1.1\r\n" HOST "\r\n", "failed 400");
}

static void bounds_the_number_of_fields(void **state)
{
    char text[1024] = "GET / HTTP/1.1\r\n" HOST;
    struct outcome o;

    (void)state;
    for (int i = 0; i < 19; i++)
        strcat(text, "A: b\r\n");
    strcat(text, "\r\n");
    parse_all(false, text, strlen(text), &o);
    assert_non_null(strstr(o.text, "done"));
    strcpy(text + strlen(text) - 2, "A: b\r\n\r\n");
    parse_all(false, text, strlen(text), &o);
    assert_string_equal(o.text, "failed 431 -5");
}

static void bounds_empty_lines_and_what_frames_a_body(void **state)
{
    char text[4096] = "";
    struct outcome o;

    (void)state;
    for (int i = 0; i < 600; i++)
        strcat(text, "\r\n");
    parse_all(false, text, strlen(text), &o);
    assert_string_equal(o.text, "failed 414 -5");

    strcpy(text, "POST / HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\n\r\n1;");
    memset(text + strlen(text), 'e', 2000);
    parse_all(false, text, strlen(text), &o);
    assert_non_null(strstr(o.text, "failed 400 -5"));
}

static void ends_with_the_error_of_who_takes_the_body(void **state)
{
    char text[1024] = "POST / HTTP/1.1\r\n" HOST "Content-Length: 257\r\n\r\n";
    struct outcome o;

    (void)state;
    memset(text + strlen(text), 'x', 257);
    parse(false, text, strlen(text), strlen(text), false, &o);
    assert_non_null(strstr(o.text, "failed 500 -5"));
}

static void finds_fields_without_regard_to_case(void **state)
{
    static const char text[] = "GET / HTTP/1.1\r\nhOST: a\r\nX: 1\r\nx: 2\r\n\r\n";
    struct http_parser *p = http_parser_new(false, &limits, on_body, NULL);
    struct sio_str v;
    size_t used;
    size_t i = 0;

    (void)state;
    assert_int_equal(
        http_parser_feed(p, (const uint8_t *)text, sizeof(text) - 1, &used),
        HTTP_PARSER_HEAD);
    assert_true(http_head_find(http_parser_head(p), "X", &i, &v));
    assert_true(str_eq_cstr(v, "1"));
    assert_true(http_head_find(http_parser_head(p), "X", &i, &v));
    assert_true(str_eq_cstr(v, "2"));
    assert_false(http_head_find(http_parser_head(p), "X", &i, &v));
    http_parser_free(p);
}

static void reads_responses(void **state)
{
    static const char text[] = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: "
                               "websocket\r\nConnection: Upgrade\r\n"
                               "\r\n\x81";
    static const char to_eof[] = "HTTP/1.0 200 OK\r\n\r\nabc";
    struct outcome o;
    size_t total = 0;
    struct http_parser *p;

    (void)state;
    assert_int_equal(parse_all(true, text, sizeof(text) - 1, &o), sizeof(text) - 2);
    assert_non_null(strstr(o.text, "status 101 minor 1 keep upgrade"));

    o = (struct outcome){.body_max = 256};
    p = http_parser_new(true, &limits, on_body, &o);
    assert_true(feed_piece(p, &o, to_eof, sizeof(to_eof) - 1, &total));
    assert_int_equal(http_parser_finish(p), HTTP_PARSER_DONE);
    assert_non_null(strstr(o.text, "abc"));
    http_parser_free(p);
}

static void a_response_to_head_has_no_body(void **state)
{
    static const char text[] = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n";
    struct http_parser *p = http_parser_new(true, &limits, on_body, NULL);
    size_t used;

    (void)state;
    assert_int_equal(
        http_parser_feed(p, (const uint8_t *)text, sizeof(text) - 1, &used),
        HTTP_PARSER_HEAD);
    http_parser_skip_body(p);
    assert_int_equal(http_parser_feed(p, NULL, 0, &used), HTTP_PARSER_DONE);
    http_parser_free(p);
}

static void an_input_that_ends_early_fails(void **state)
{
    static const char text[] = "POST / HTTP/1.1\r\n" HOST "Content-Length: 5\r\n\r\nab";
    struct outcome o = {.body_max = 256};
    size_t total = 0;

    (void)state;
    for (size_t n = 0; n < sizeof(text); n++) {
        struct http_parser *p = http_parser_new(false, &limits, on_body, &o);

        o = (struct outcome){.body_max = 256};
        assert_true(feed_piece(p, &o, text, n, &total));
        assert_int_equal(http_parser_finish(p), HTTP_PARSER_FAILED);
        http_parser_free(p);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_a_request_and_leaves_the_rest),
        cmocka_unit_test(skips_empty_lines_before_a_request),
        cmocka_unit_test(reads_methods_that_nobody_knows),
        cmocka_unit_test(knows_when_a_connection_stays_open),
        cmocka_unit_test(reads_bodies_by_length_and_by_chunks),
        cmocka_unit_test(keeps_what_follows_an_upgrade),
        cmocka_unit_test(refuses_what_has_two_meanings),
        cmocka_unit_test(refuses_bad_chunks),
        cmocka_unit_test(refuses_a_nul_in_the_head),
        cmocka_unit_test(bounds_the_head),
        cmocka_unit_test(bounds_the_number_of_fields),
        cmocka_unit_test(bounds_empty_lines_and_what_frames_a_body),
        cmocka_unit_test(ends_with_the_error_of_who_takes_the_body),
        cmocka_unit_test(finds_fields_without_regard_to_case),
        cmocka_unit_test(reads_responses),
        cmocka_unit_test(a_response_to_head_has_no_body),
        cmocka_unit_test(an_input_that_ends_early_fails),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
