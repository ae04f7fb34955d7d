#include <config.h>

#include "agent/footprint.h"

#include <link.h>
#include <malloc.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/mman.h>
#include <unistd.h>

/* A library with text relocations has pages that are no longer the file's. */
static bool has_text_relocations(const struct dl_phdr_info *object)
{
    for (size_t i = 0; i < object->dlpi_phnum; i++) {
        const ElfW(Phdr) *p = &object->dlpi_phdr[i];
        const ElfW(Dyn) * d;

        if (p->p_type != PT_DYNAMIC)
            continue;
        d = (const void *)(uintptr_t)(object->dlpi_addr + p->p_vaddr);
        for (; d->d_tag != DT_NULL; d++)
            if (d->d_tag == DT_TEXTREL ||
                (d->d_tag == DT_FLAGS && (d->d_un.d_val & DF_TEXTREL)))
                return true;
    }
    return false;
}

/* Unmaps the object's read-only pages; they come back from the page cache when used. */
static int forget_pages(struct dl_phdr_info *object, size_t size, void *user)
{
    uintptr_t page = *(const uintptr_t *)user;

    (void)size;
    if (has_text_relocations(object))
        return 0;
    for (size_t i = 0; i < object->dlpi_phnum; i++) {
        const ElfW(Phdr) *p = &object->dlpi_phdr[i];
        uintptr_t begin = object->dlpi_addr + p->p_vaddr;
        uintptr_t end = begin + p->p_memsz;

        if (p->p_type != PT_LOAD || (p->p_flags & PF_W))
            continue;
        begin &= ~(page - 1);
        madvise((void *)begin, end - begin, MADV_DONTNEED); /* a hint: may fail */
    }
    return 0;
}

void agent_footprint_tune(void)
{
    uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE);

    /* Pictures are rare: their memory goes back at once, and one arena is enough. */
    mallopt(M_ARENA_MAX, 1);
    mallopt(M_MMAP_THRESHOLD, 128 * 1024);
    mallopt(M_TRIM_THRESHOLD, 256 * 1024);
    /*
     * Debian's FFmpeg brings some 130 libraries; binding them reads 16 MB of their
     * symbol tables, which nothing reads again.
     */
    dl_iterate_phdr(forget_pages, &page);
}
