#include <config.h>

#include "redis/reply.h"

#include <hiredis/hiredis.h>

#include "base/mem.h"

/* Of one reply, at all depths: the room for the items of an array is made before they come. */
#define MAX_ITEMS 65536

/* Of room that is not in use: it costs more to get it for each message. */
#define KEEP ((size_t)256 * 1024)

#if HIREDIS_MAJOR >= 1
typedef size_t hiredis_count;
#else
typedef int hiredis_count;
#endif

struct redis_reader {
    redisReader *reader;
    redisReply *reply; /* that redis_reader_next gave out last */
    redisReplyObjectFunctions fn;
    void *(*make_array)(const redisReadTask *task, hiredis_count n); /* hiredis's own */
    size_t n_items; /* so far, of this reply */
    size_t n_bytes;
    size_t max_bytes;
    const char *error; /* ours; NULL: what hiredis says */
};

/* Replies. */

static const redisReply *reply_of(const struct redis_reply *r)
{
    return (const redisReply *)(const void *)r;
}

bool redis_reply_is_error(const struct redis_reply *r)
{
    return r && reply_of(r)->type == REDIS_REPLY_ERROR;
}

bool redis_reply_text(const struct redis_reply *r, struct sio_str *out)
{
    int type = r ? reply_of(r)->type : REDIS_REPLY_NIL;

    if (type != REDIS_REPLY_STRING && type != REDIS_REPLY_STATUS &&
        type != REDIS_REPLY_ERROR)
        return false;
    *out = (struct sio_str){reply_of(r)->str, (size_t)reply_of(r)->len};
    return true;
}

bool redis_reply_integer(const struct redis_reply *r, int64_t *out)
{
    if (!r || reply_of(r)->type != REDIS_REPLY_INTEGER)
        return false;
    *out = reply_of(r)->integer;
    return true;
}

size_t redis_reply_count(const struct redis_reply *r)
{
    return r && reply_of(r)->type == REDIS_REPLY_ARRAY ? reply_of(r)->elements : 0;
}

const struct redis_reply *redis_reply_at(const struct redis_reply *r, size_t i)
{
    return (const struct redis_reply *)(const void *)reply_of(r)->element[i];
}

/* The reader. */

static void *make_array(const redisReadTask *task, hiredis_count n)
{
    struct redis_reader *r = task->privdata;

    if ((size_t)n > MAX_ITEMS - r->n_items) {
        r->error = "a reply has too many items";
        return NULL;
    }
    r->n_items += (size_t)n;
    return r->make_array(task, n);
}

struct redis_reader *redis_reader_new(size_t max_bytes)
{
    struct redis_reader *r = mem_new(struct redis_reader);

    if (!r)
        return NULL;
    r->max_bytes = max_bytes;
    r->reader = redisReaderCreate();
    if (!r->reader) {
        mem_free(r);
        return NULL;
    }
    r->fn = *r->reader->fn;
    r->make_array = r->fn.createArray;
    r->fn.createArray = make_array;
    r->reader->fn = &r->fn;
    r->reader->maxbuf = KEEP;
    r->reader->privdata = r;
    return r;
}

void redis_reader_free(struct redis_reader *r)
{
    if (!r)
        return;
    if (r->reply)
        freeReplyObject(r->reply);
    redisReaderFree(r->reader);
    mem_free(r);
}

int redis_reader_feed(struct redis_reader *r, const void *data, size_t len)
{
    if (r->error || redisReaderFeed(r->reader, data, len) != REDIS_OK)
        return SIO_ERR_PARSE;
    r->n_bytes += len;
    return SIO_OK;
}

/* What is complete is read first: many small replies may come together. */
static int incomplete(struct redis_reader *r)
{
    if (r->n_bytes <= r->max_bytes)
        return 0;
    r->error = "a reply is too large";
    return SIO_ERR_TOO_BIG;
}

int redis_reader_next(struct redis_reader *r, const struct redis_reply **out)
{
    void *reply = NULL;

    if (r->reply)
        freeReplyObject(r->reply);
    r->reply = NULL;
    if (r->error || redisReaderGetReply(r->reader, &reply) != REDIS_OK)
        return SIO_ERR_PARSE;
    if (!reply)
        return incomplete(r);
    r->reply = reply;
    r->n_items = 0;
    r->n_bytes = r->reader->len - r->reader->pos;
    *out = reply;
    return 1;
}

const char *redis_reader_error(const struct redis_reader *r)
{
    return r->error ? r->error : r->reader->errstr;
}
