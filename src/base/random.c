#include <config.h>

#include "base/random.h"

#include <errno.h>
#include <stdlib.h>
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

void random_id(char out[RANDOM_ID_LEN + 1])
{
    uint8_t bytes[15];

    random_bytes(bytes, sizeof(bytes));
    base64url_encode(bytes, sizeof(bytes), out);
    out[RANDOM_ID_LEN] = '\0';
}
