/*
 * A request read in two pieces is read as in one: the same head, body and end, or none.  The
 * first byte chooses request or response, the next two where the rest is cut.
 */
#include <config.h>

#include <assert.h>
#include <stdlib.h>

#include "base/list.h"
#include "http/parser.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define MAX_BODY 300

/* All that a parser said, folded into numbers. */
struct outcome {
    uint64_t hash;
    size_t body;
    size_t used;
    int status;
    int error;
    bool done;
};

static void fold(struct outcome *o, const void *p, size_t len)
{
    const uint8_t *bytes = p;

    for (size_t i = 0; i < len; i++)
        o->hash = (o->hash ^ bytes[i]) * 0x100000001b3u;
}

static int on_body(const uint8_t *p, size_t len, void *user)
{
    struct outcome *o = user;

    if (len > MAX_BODY - o->body) /* how much of it was folded depends on the pieces */
        return SIO_ERR_TOO_BIG;
    o->body += len;
    fold(o, p, len);
    return SIO_OK;
}

static void fold_head(struct outcome *o, const struct http_head *h)
{
    struct sio_str method = http_head_method(h);
    struct sio_str target = http_head_target(h);

    fold(o, method.ptr, method.len);
    fold(o, target.ptr, target.len);
    fold(o, &h->status, sizeof(h->status));
    fold(o, &h->content_length, sizeof(h->content_length));
    fold(o, &(bool){h->keep_alive}, 1);
    for (uint32_t i = 0; i < h->n_fields; i++) {
        const struct http_field *f = &h->fields[i];

        assert(f->name + f->name_len <= h->text_len);
        assert(f->value + f->value_len <= h->text_len);
        fold(o, h->text + f->name, f->name_len);
        fold(o, h->text + f->value, f->value_len);
    }
}

/* Returns false when the parser takes no more. */
static bool feed(struct http_parser *p, struct outcome *o, const uint8_t *data,
                 size_t len)
{
    enum http_parser_step step;

    do {
        size_t used;

        step = http_parser_feed(p, data, len, &used);
        assert(used <= len);
        data += used;
        len -= used;
        o->used += used;
        if (step == HTTP_PARSER_HEAD)
            fold_head(o, http_parser_head(p));
    } while (step == HTTP_PARSER_HEAD);
    assert(step != HTTP_PARSER_MORE || len == 0);
    o->done = step == HTTP_PARSER_DONE;
    o->status = http_parser_status(p);
    o->error = http_parser_error(p);
    assert((step == HTTP_PARSER_FAILED) == (o->error != SIO_OK));
    return step == HTTP_PARSER_MORE;
}

static struct outcome parse(bool response, const uint8_t *data, size_t size, size_t cut)
{
    static const struct http_parser_limits limits = {
        .max_head = 600, .max_target = 100, .max_fields = 8};
    struct outcome o = {0};
    struct http_parser *p = http_parser_new(response, &limits, on_body, &o);

    if (!p)
        abort();
    if (feed(p, &o, data, cut))
        feed(p, &o, data + cut, size - cut);
    http_parser_free(p);
    return o;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct outcome whole, cut;
    bool response;
    size_t at;

    if (size < 3)
        return 0;
    response = data[0] & 1;
    at = (size_t)(data[1] << 8 | data[2]) % (size - 2);
    data += 3;
    size -= 3;
    whole = parse(response, data, size, size);
    cut = parse(response, data, size, at);
    /* Of several faults the pieces may show another one first. */
    assert((whole.error == SIO_OK) == (cut.error == SIO_OK));
    if (whole.error == SIO_OK)
        assert(whole.done == cut.done && whole.hash == cut.hash &&
               whole.used == cut.used);
    return 0;
}
