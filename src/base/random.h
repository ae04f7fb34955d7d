/*
 * base/random.h - from the kernel's generator
 */
#ifndef BASE_RANDOM_H
#define BASE_RANDOM_H

#include <stddef.h>
#include <stdint.h>

/* Never fails: a kernel that has no randomness ends the process. */
void random_bytes(void *p, size_t len);
uint64_t random_u64(void);

/*
 * Random bytes fetched ahead, so that each small need is not a system call.  Zeroed at the
 * start; for one thread.  What was given out is wiped.
 */
struct random_pool {
    uint8_t bytes[256];
    uint32_t n_left;
};

/* len at most the pool's size. */
void random_pool_take(struct random_pool *pool, void *p, size_t len);

/* 15 random bytes as 20 characters of URL-safe base64, and a NUL. */
#define RANDOM_ID_LEN 20
void random_id(struct random_pool *pool, char out[RANDOM_ID_LEN + 1]);

#endif
