/*
 * base/mem.h - allocation, in one place
 *
 * Memory is zeroed.  NULL means out of memory and costs only who asked.
 */
#ifndef BASE_MEM_H
#define BASE_MEM_H

#include <stddef.h>

void *mem_alloc(size_t size);
void *mem_raw(size_t size);             /* not zeroed: for what is filled at once */
void *mem_array(size_t n, size_t size); /* checks n * size */

/* Grows or shrinks an array to n items; what is new is not zeroed. */
void *mem_resize(void *p, size_t n, size_t size);
void mem_free(void *p);

/* NUL-terminated copy of len bytes. */
char *mem_strndup(const char *s, size_t len);

#define mem_new(type) ((type *)mem_alloc(sizeof(type)))

/*
 * Tells the C library to keep large blocks instead of giving them back to the
 * kernel at each free.  A program calls it once, first thing in main: touching
 * fresh pages for every picture costs more than everything else together.
 */
void mem_tune(void);

/* Gives unused memory back to the kernel; for idle moments. */
void mem_trim(void);

#endif
