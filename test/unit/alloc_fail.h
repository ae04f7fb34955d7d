/*
 * alloc_fail.h - makes the n-th allocation of a test fail
 *
 * Linked with -Wl,--wrap=malloc,--wrap=calloc,--wrap=realloc; what the C library
 * allocates for itself is not counted.
 */
#ifndef TEST_ALLOC_FAIL_H
#define TEST_ALLOC_FAIL_H

#include <stdbool.h>

/* From now on the n-th allocation (1: the next one) fails, once; 0: none. */
void alloc_fail_at(unsigned n);

/* True if an allocation has failed since; none fails any more. */
bool alloc_fail_done(void);

/* In between, what the test allocates for itself does not count. */
void alloc_fail_pause(void);
void alloc_fail_resume(void);

/*
 * Runs what follows with the first, the second, ... allocation failing, and at last
 * with none: `alloc_fail_each(n) { ... }`.
 */
#define alloc_fail_each(n)                                          \
    for (unsigned n = 1, more_ = 1; more_ && (alloc_fail_at(n), 1); \
         more_ = alloc_fail_done(), n++)

#endif
