/*
 * replay.c - runs a fuzz target once for every file of its corpus
 *
 * Stands in for libFuzzer, so that make check replays what fuzzing has found.
 * Without arguments the files are those of $srcdir/test/fuzz/corpus/NAME, where the
 * program is fuzz_NAME; an argument is a file or a directory.
 */
#include <config.h>

#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/*
 * The input lies in a block of just its size, so that a sanitizer or valgrind sees a
 * read behind its end.
 */
static int replay_file(const char *path, size_t size)
{
    FILE *file = fopen(path, "rb");
    uint8_t *data = malloc(size > 0 ? size : 1);
    int rv = -1;

    if (file && data && fread(data, 1, size, file) == size) {
        LLVMFuzzerTestOneInput(data, size);
        rv = 0;
    } else {
        fprintf(stderr, "%s: %s\n", path, strerror(errno));
    }
    free(data);
    if (file)
        fclose(file);
    return rv;
}

/* Returns the number of inputs, or -1. */
static int replay_directory(const char *path)
{
    DIR *dir = opendir(path);
    struct dirent *entry;
    int n = 0;

    if (!dir) {
        fprintf(stderr, "%s: %s\n", path, strerror(errno));
        return -1;
    }
    while (n >= 0 && (entry = readdir(dir))) {
        char name[PATH_MAX];
        struct stat st;

        if (snprintf(name, sizeof(name), "%s/%s", path, entry->d_name) >=
                (int)sizeof(name) ||
            stat(name, &st) < 0 || !S_ISREG(st.st_mode))
            continue;
        n = replay_file(name, (size_t)st.st_size) < 0 ? -1 : n + 1;
    }
    closedir(dir);
    return n;
}

/* Returns the number of inputs, or -1. */
static int replay(const char *path)
{
    struct stat st;

    if (stat(path, &st) < 0) {
        fprintf(stderr, "%s: %s\n", path, strerror(errno));
        return -1;
    }
    if (S_ISDIR(st.st_mode))
        return replay_directory(path);
    return replay_file(path, (size_t)st.st_size) < 0 ? -1 : 1;
}

static int replay_own_corpus(const char *program)
{
    const char *base = strrchr(program, '/');
    const char *srcdir = getenv("srcdir");
    char path[PATH_MAX];

    base = base ? base + 1 : program;
    if (strncmp(base, "fuzz_", 5) == 0)
        base += 5;
    if (snprintf(path, sizeof(path), "%s/test/fuzz/corpus/%s", srcdir ? srcdir : ".",
                 base) >= (int)sizeof(path))
        return -1;
    return replay(path);
}

int main(int argc, char **argv)
{
    int total = 0;

    if (argc < 2)
        total = replay_own_corpus(argv[0]);
    for (int i = 1; i < argc && total >= 0; i++) {
        int n = replay(argv[i]);

        total = n < 0 ? -1 : total + n;
    }
    if (total <= 0) {
        printf("1..1\nnot ok 1 - a corpus that can be read\n");
        return 1;
    }
    printf("1..1\nok 1 - %d inputs\n", total);
    return 0;
}
