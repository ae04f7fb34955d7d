/*
 * base/json.h - strict JSON over (pointer, length): check, cut, read, write
 *
 * RFC 8259, nothing more: no trailing commas, no NaN, no lone control characters.
 * Nothing recurses; nesting is bounded by JSON_MAX_DEPTH.  The scanner runs once
 * over a text and keeps nothing; the readers below trust a text that the scanner
 * has passed and give slices of it.  UTF-8 is checked where bytes come in, not here.
 */
#ifndef BASE_JSON_H
#define BASE_JSON_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <sioc/bytes.h>

#include "base/buf.h"

#define JSON_MAX_DEPTH 128

enum json_type {
    JSON_NULL,
    JSON_FALSE,
    JSON_TRUE,
    JSON_NUMBER,
    JSON_STRING,
    JSON_ARRAY,
    JSON_OBJECT,
};

/*
 * Checks that all of text is one value (white space around it allowed).
 * SIO_OK, SIO_ERR_PARSE, or SIO_ERR_TOO_BIG for nesting.
 */
int json_check(struct sio_str text);

/* The text without white space around it, as the readers below want it. */
struct sio_str json_trim(struct sio_str text);

/*
 * Checks that all of text is an array and gives its first max items, without
 * white space around them; *n is the number of all items.  The one pass over an
 * event's payload.  Errors as json_check.
 */
int json_array_cut(struct sio_str text, struct sio_str *items, size_t max, size_t *n);

/* The kind of a checked value. */
enum json_type json_type(struct sio_str value);

/*
 * Walks a checked array or object: start with `struct json_iter it = json_iter(v)`.
 * key is the raw key with its quotes (ptr NULL in arrays).  A value of another
 * kind has no members.
 */
struct json_iter {
    const char *p;
    const char *end;
    bool object;
};
struct json_iter json_iter(struct sio_str value);
bool json_next(struct json_iter *it, struct sio_str *key, struct sio_str *value);

/*
 * Cuts the next token off checked text: one of []{}, a string, a number or a word;
 * what only separates them is passed.  False at the end.
 */
bool json_token(struct sio_str *rest, struct sio_str *token);

/*
 * The member of a checked object; the last one of that name wins.  False if there is
 * none.  Linear: for objects with few members.
 */
bool json_get(struct sio_str object, const char *name, struct sio_str *value);

/* A checked string with its quotes: compare, unescape. */
bool json_string_eq(struct sio_str raw, struct sio_str text);

/*
 * Writes the characters of a checked string as UTF-8 (\u0000 included; a lone
 * surrogate becomes U+FFFD) behind what w holds.
 */
void json_string_decode(struct sio_str raw, struct wbuf *w);

/*
 * True if no escape stands in the string; then the text between the quotes is in *out.
 */
bool json_string_plain(struct sio_str raw, struct sio_str *out);

/* False if the value is no number. */
bool json_number(struct sio_str value, double *out);

/* Writers. text is UTF-8; what is not valid becomes U+FFFD. */
void json_write_string(struct wbuf *w, struct sio_str text);
void json_write_double(struct wbuf *w, double d); /* shortest; not finite: null */

#endif
