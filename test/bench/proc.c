#include "proc.h"

#include <ctype.h>
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

uint64_t now_ns(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

int proc_set_parse(struct proc_set *s, const char *text)
{
    s->n = 0;
    while (*text != '\0') {
        char *end;
        long pid = strtol(text, &end, 10);

        if (end == text || pid < 1 || s->n == PROC_MAX || (*end != '\0' && *end != ','))
            return -1;
        s->pid[s->n++] = (pid_t)pid;
        text = *end == ',' ? end + 1 : end;
    }
    return s->n > 0 ? 0 : -1;
}

static int read_file(const char *path, char *buf, size_t size)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t n;

    if (fd < 0)
        return -1;
    n = read(fd, buf, size - 1);
    close(fd);
    if (n < 0)
        return -1;
    buf[n] = '\0';
    return 0;
}

static uint64_t ticks_ns(pid_t pid)
{
    char path[64], buf[1024];
    unsigned long user, system;
    const char *p;

    snprintf(path, sizeof path, "/proc/%d/stat", (int)pid);
    if (read_file(path, buf, sizeof buf) < 0 || (p = strrchr(buf, ')')) == NULL)
        return 0;
    if (sscanf(p + 1, " %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %lu %lu", &user,
               &system) != 2)
        return 0;
    return (uint64_t)(user + system) * (1000000000u / (uint64_t)sysconf(_SC_CLK_TCK));
}

static uint64_t threads_ns(pid_t pid)
{
    char path[64 + 256], buf[128];
    uint64_t sum = 0;
    struct dirent *e;
    DIR *dir;

    snprintf(path, sizeof path, "/proc/%d/task", (int)pid);
    dir = opendir(path);
    if (dir == NULL)
        return 0;
    while ((e = readdir(dir)) != NULL) {
        if (!isdigit((unsigned char)e->d_name[0]))
            continue;
        snprintf(path, sizeof path, "/proc/%d/task/%s/schedstat", (int)pid, e->d_name);
        if (read_file(path, buf, sizeof buf) == 0)
            sum += strtoull(buf, NULL, 10);
    }
    closedir(dir);
    return sum;
}

uint64_t proc_cpu_ns(const struct proc_set *s)
{
    uint64_t sum = 0;

    for (int i = 0; i < s->n; i++) {
        uint64_t ns = threads_ns(s->pid[i]);

        sum += ns > 0 ? ns : ticks_ns(s->pid[i]);
    }
    return sum;
}

static uint64_t status_kb(const struct proc_set *s, const char *field)
{
    char path[64], buf[4096];
    uint64_t sum = 0;

    for (int i = 0; i < s->n; i++) {
        const char *p;

        snprintf(path, sizeof path, "/proc/%d/status", (int)s->pid[i]);
        if (read_file(path, buf, sizeof buf) == 0 && (p = strstr(buf, field)) != NULL)
            sum += strtoull(p + strlen(field), NULL, 10);
    }
    return sum;
}

uint64_t proc_rss(const struct proc_set *s)
{
    return status_kb(s, "VmRSS:") * 1024;
}

uint64_t proc_peak(const struct proc_set *s)
{
    return status_kb(s, "VmHWM:") * 1024;
}

void proc_peak_reset(const struct proc_set *s)
{
    char path[64];

    for (int i = 0; i < s->n; i++) {
        int fd;

        snprintf(path, sizeof path, "/proc/%d/clear_refs", (int)s->pid[i]);
        fd = open(path, O_WRONLY | O_CLOEXEC);
        if (fd < 0)
            continue;
        if (write(fd, "5", 1) < 0) /* kernels before 4.0: the peak is since the start */
            perror(path);
        close(fd);
    }
}
