#include <config.h>

#include "base/random.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "base/base64.h"

void random_bytes(void *p, size_t len)
{
    uint8_t *to = p;

    while (len > 0) {
        ssize_t n = getrandom(to, len, 0);

        if (n < 0 && errno == EINTR)
            continue;
        /* Ids would be guessable: nothing may go on from here. */
        if (n <= 0)
            abort();
        to += n;
        len -= (size_t)n;
    }
}

uint64_t random_u64(void)
{
    uint64_t n;

    random_bytes(&n, sizeof(n));
    return n;
}

void random_pool_take(struct random_pool *pool, void *p, size_t len)
{
    uint8_t *from;

    assert(len <= sizeof(pool->bytes));
    if (pool->n_left < len) {
        random_bytes(pool->bytes, sizeof(pool->bytes));
        pool->n_left = sizeof(pool->bytes);
    }
    pool->n_left -= (uint32_t)len;
    from = pool->bytes + pool->n_left;
    memcpy(p, from, len);
    explicit_bzero(from, len);
}

void random_id(struct random_pool *pool, char out[RANDOM_ID_LEN + 1])
{
    uint8_t bytes[15];

    random_pool_take(pool, bytes, sizeof(bytes));
    base64url_encode(bytes, sizeof(bytes), out);
    out[RANDOM_ID_LEN] = '\0';
}
