#include <config.h>

#include "base/mem.h"

#include <malloc.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

/* Above the largest message; the C library takes nothing higher than this. */
#define MMAP_THRESHOLD (32 * 1024 * 1024)
#define TRIM_THRESHOLD (64 * 1024 * 1024)

/*
 * glibc's calloc passes by the cache of recently freed blocks, malloc does not.  Above
 * this size calloc wins: it knows which pages are zero already.
 */
#define ZEROED_BY_HAND 4096

void *mem_alloc(size_t size)
{
    void *p;

    if (size > ZEROED_BY_HAND)
        return calloc(1, size);
    p = malloc(size ? size : 1);
    return p ? memset(p, 0, size) : NULL;
}

void *mem_raw(size_t size)
{
    return malloc(size ? size : 1);
}

void *mem_array(size_t n, size_t size)
{
    size_t bytes;

    return __builtin_mul_overflow(n, size, &bytes) ? NULL : mem_alloc(bytes);
}

void *mem_resize(void *p, size_t n, size_t size)
{
    size_t bytes;

    if (__builtin_mul_overflow(n, size, &bytes))
        return NULL;
    return realloc(p, bytes ? bytes : 1);
}

void mem_free(void *p)
{
    free(p);
}

char *mem_strndup(const char *s, size_t len)
{
    char *copy;

    if (len == SIZE_MAX)
        return NULL;
    copy = malloc(len + 1);
    if (!copy)
        return NULL;
    if (len > 0)
        memcpy(copy, s, len);
    copy[len] = '\0';
    return copy;
}

void mem_tune(void)
{
    mallopt(M_MMAP_THRESHOLD, MMAP_THRESHOLD);
    mallopt(M_TRIM_THRESHOLD, TRIM_THRESHOLD);
}

void mem_trim(void)
{
    malloc_trim(0);
}
