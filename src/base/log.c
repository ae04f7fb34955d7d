#include <config.h>

#include "base/log.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/uio.h>

#define LINE_SIZE 1024

void log_write(const struct log *log, enum sio_log_level level, const char *fmt, ...)
{
    char line[LINE_SIZE];
    va_list ap;
    int n;
    size_t len;

    va_start(ap, fmt);
    n = vsnprintf(line, sizeof(line), fmt, ap);
    va_end(ap);
    if (n < 0)
        return;
    len = (size_t)n < sizeof(line) ? (size_t)n : sizeof(line) - 1;
    /* A peer's text must not begin a line of its own or steer a terminal. */
    for (size_t i = 0; i < len; i++)
        if ((unsigned char)line[i] < 0x20 || line[i] == 0x7f)
            line[i] = '?';
    log->write(level, line, len, log->user);
}

bool log_limit(struct log_limit *l, uint64_t now_ms, uint32_t burst)
{
    uint64_t minute = now_ms / 60000 + 1; /* 0 is "never" */

    if (l->minute != minute) {
        l->minute = minute;
        l->n = 0;
    }
    if (l->n >= burst) {
        l->suppressed++;
        return false;
    }
    l->n++;
    return true;
}

void log_to_stderr(enum sio_log_level level, const char *line, size_t len, void *user)
{
    /* sd-daemon(3): the journal reads the priority from the line's start. */
    static const char *const journal[] = {"<3>", "<4>", "<6>", "<7>"};
    static const char *const plain[] = {"error: ", "warn: ", "info: ", "debug: "};
    const char *prefix = (user ? journal : plain)[level];
    char end[] = "\n";
    struct iovec iov[3] = {
        {(void *)(uintptr_t)prefix, strlen(prefix)},
        {(void *)(uintptr_t)line, len},
        {end, 1},
    };

    /* Nobody is left to tell when this fails. */
    if (writev(2, iov, 3) < 0)
        return;
}
