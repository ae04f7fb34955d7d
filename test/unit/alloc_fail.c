#include <config.h>

#include "alloc_fail.h"

#include <errno.h>
#include <stddef.h>

/* The linker gives these names their meaning. */
void *__real_malloc(size_t size);
void *__real_calloc(size_t n, size_t size);
void *__real_realloc(void *p, size_t size);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t n, size_t size);
void *__wrap_realloc(void *p, size_t size);

static unsigned countdown;
static bool failed;
static bool paused;

void alloc_fail_at(unsigned n)
{
    countdown = n;
    failed = false;
}

bool alloc_fail_done(void)
{
    bool was = failed;

    alloc_fail_at(0);
    return was;
}

void alloc_fail_pause(void)
{
    paused = true;
}

void alloc_fail_resume(void)
{
    paused = false;
}

static bool fails_now(void)
{
    if (paused || countdown == 0 || --countdown > 0)
        return false;
    failed = true;
    errno = ENOMEM;
    return true;
}

void *__wrap_malloc(size_t size)
{
    return fails_now() ? NULL : __real_malloc(size);
}

void *__wrap_calloc(size_t n, size_t size)
{
    return fails_now() ? NULL : __real_calloc(n, size);
}

void *__wrap_realloc(void *p, size_t size)
{
    return fails_now() ? NULL : __real_realloc(p, size);
}
