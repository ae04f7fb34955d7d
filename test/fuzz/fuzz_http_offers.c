/*
 * Fields that say what a peer can: Accept-Encoding, Sec-WebSocket-Extensions from either
 * side.  What a server answers is an offer that it would answer alike, and is within what
 * was asked.
 */
#include <config.h>

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "http/coding.h"
#include "http/ws_deflate.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_params(const struct ws_deflate_params *p)
{
    assert(p->out_bits == 0 || (p->out_bits >= 9 && p->out_bits <= 15));
    assert(p->in_bits >= 8 && p->in_bits <= 15);
}

static void accept_twice(struct sio_str offers, const struct ws_deflate_options *opts)
{
    struct ws_deflate_params first, second;
    struct wbuf a, b;

    wbuf_init(&a, 512);
    wbuf_init(&b, 512);
    if (ws_deflate_accept(offers, opts, &first, &a) == 1) {
        check_params(&first);
        assert(first.out_bits <= opts->window_bits);
        assert(ws_deflate_accept(wbuf_str(&a), opts, &second, &b) == 1);
        assert(first.out_bits == second.out_bits && first.in_bits == second.in_bits);
        assert(first.out_no_takeover == second.out_no_takeover);
        assert(first.in_no_takeover == second.in_no_takeover);
    }
    wbuf_fini(&a);
    wbuf_fini(&b);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct ws_deflate_options opts = {.level = 1};
    struct ws_deflate_params p;
    struct sio_str text;
    char *copy;

    if (size < 1)
        return 0;
    opts.window_bits = (uint8_t)(9 + data[0] % 7);
    opts.server_no_context_takeover = data[0] & 8;
    opts.client_no_context_takeover = data[0] & 16;
    copy = malloc(size); /* of its own size: a byte too far is seen */
    if (!copy)
        abort();
    memcpy(copy, data + 1, size - 1);
    text = (struct sio_str){copy, size - 1};
    assert(http_codings_parse(text).best <= HTTP_IDENTITY);
    accept_twice(text, &opts);
    if (ws_deflate_answer(text, &opts, &p) == SIO_OK)
        check_params(&p);
    free(copy);
    return 0;
}
