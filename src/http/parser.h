/*
 * http/parser.h - reads one HTTP/1.1 message (RFC 9112), request or response, without I/O
 *
 * The one place that knows llhttp, which does the syntax, in its strict form.  What it
 * leaves open is decided here: methods it has no name for are read (the router answers
 * 405), and a lone CR, a lone LF, a folded field, a field twice that must stand once, and
 * codings other than chunked are refused, since two readers that disagree about where a
 * message ends are how requests are smuggled.
 *
 * A parser is fed any split of the input and stops behind the head and behind the message,
 * so whatever follows is still the caller's.  The head is copied once into one block,
 * fields are offsets into it.
 */
#ifndef HTTP_PARSER_H
#define HTTP_PARSER_H

#include <stdbool.h>

#include <sioc/bytes.h>

struct http_parser;

/* A field of the head: offsets into http_head.text. */
struct http_field {
    uint32_t name;
    uint32_t value;
    uint32_t value_len;
    uint16_t name_len;
};

/* A parsed head.  Texts are borrowed from the parser. */
struct http_head {
    char *text; /* method, target and fields, one behind the other */
    uint32_t text_len;
    uint32_t text_cap;
    struct http_field *fields;
    uint32_t n_fields;
    uint32_t fields_cap;
    uint32_t target; /* offset; the method stands before it */
    uint32_t target_len;
    uint16_t method_len;
    uint16_t status; /* of a response */
    uint8_t minor;   /* HTTP/1.minor */
    bool keep_alive; /* as the version and Connection say */
    bool chunked;
    bool expect_continue;
    bool has_length;         /* Content-Length was there */
    bool upgrade;            /* Connection has `upgrade` and Upgrade is there */
    uint64_t content_length; /* 0 unless has_length */
};

struct sio_str http_head_method(const struct http_head *h);
struct sio_str http_head_target(const struct http_head *h);

/* The first field of that name from index *i on, which moves behind it.  False: none. */
bool http_head_find(const struct http_head *h, const char *name, size_t *i,
                    struct sio_str *value);

struct http_parser_limits {
    uint32_t max_head;   /* bytes of the head */
    uint32_t max_target; /* bytes of the target; 0: max_head */
    uint32_t max_fields;
};

/* Gets the body piece by piece, borrowed.  Not SIO_OK ends the parsing with that error. */
typedef int (*http_body_cb)(const uint8_t *data, size_t len, void *user);

/* limits is copied.  NULL: out of memory. */
struct http_parser *http_parser_new(bool response,
                                    const struct http_parser_limits *limits,
                                    http_body_cb on_body, void *user);
void http_parser_free(struct http_parser *p);

enum http_parser_step {
    HTTP_PARSER_MORE, /* all is taken, more is needed */
    HTTP_PARSER_HEAD, /* the head is complete */
    HTTP_PARSER_DONE, /* the message is complete; not to be fed again */
    HTTP_PARSER_FAILED,
};

/*
 * Takes bytes of data and sets *used to how many; stops early behind the head and behind
 * the message.  After HTTP_PARSER_HEAD feed the rest (len 0 is good: a message without a
 * body is then done).
 */
enum http_parser_step http_parser_feed(struct http_parser *p, const uint8_t *data,
                                       size_t len, size_t *used);

/* The input has ended: HTTP_PARSER_DONE if that is how this message ends, else FAILED. */
enum http_parser_step http_parser_finish(struct http_parser *p);

/*
 * A response to HEAD or CONNECT, or an upgrade: no body follows.  Call between HEAD and the
 * rest.
 */
void http_parser_skip_body(struct http_parser *p);

const struct http_head *http_parser_head(const struct http_parser *p);

/*
 * After FAILED: the status to answer with (400, 414, 417, 431, 501, 505; 500 when out
 * of memory), and the error: SIO_ERR_PARSE, _TOO_BIG, _NOMEM, or what on_body returned.
 */
int http_parser_status(const struct http_parser *p);
int http_parser_error(const struct http_parser *p);

#endif
