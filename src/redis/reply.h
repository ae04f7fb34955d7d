/*
 * redis/reply.h - what a Redis answers, and the reader that makes it of bytes
 *
 * The one place that knows hiredis.  A reply is bounded in bytes and in items: what is
 * larger ends the reading, so a peer that is no honest Redis costs a bounded amount.
 */
#ifndef REDIS_REPLY_H
#define REDIS_REPLY_H

#include <stdbool.h>

#include <sioc/bytes.h>

/* An answer; borrowed until the callback returns that got it. */
struct redis_reply;

bool redis_reply_is_error(const struct redis_reply *r);
/* Text of a string, status or error; false: it is something else. */
bool redis_reply_text(const struct redis_reply *r, struct sio_str *out);
bool redis_reply_integer(const struct redis_reply *r, int64_t *out);
/* Items of an array; 0: none, or no array. */
size_t redis_reply_count(const struct redis_reply *r);
const struct redis_reply *redis_reply_at(const struct redis_reply *r, size_t i);

struct redis_reader;

/* Replies of more than max_bytes are an error.  NULL: out of memory. */
struct redis_reader *redis_reader_new(size_t max_bytes);
/* NULL is allowed. */
void redis_reader_free(struct redis_reader *r);

/* SIO_OK, or an error that stays. */
int redis_reader_feed(struct redis_reader *r, const void *data, size_t len);

/*
 * 1: *out is the next reply, good until the next call; 0: it is not complete; or an error
 * that stays.
 */
int redis_reader_next(struct redis_reader *r, const struct redis_reply **out);

/* What was wrong, after an error. */
const char *redis_reader_error(const struct redis_reader *r);

#endif
