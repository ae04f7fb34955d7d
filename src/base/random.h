/*
 * random.h - from the kernel's generator
 */
#ifndef BASE_RANDOM_H
#define BASE_RANDOM_H

#include <stddef.h>
#include <stdint.h>

/* Never fails: a kernel that has no randomness ends the process. */
void random_bytes(void *p, size_t len);
uint64_t random_u64(void);

/* 15 random bytes as 20 characters of URL-safe base64, and a NUL. */
#define RANDOM_ID_LEN 20
void random_id(char out[RANDOM_ID_LEN + 1]);

#endif
