/*
 * base/log.h - one line per event: lower case, key=value, never a secret
 */
#ifndef BASE_LOG_H
#define BASE_LOG_H

#include <stdbool.h>
#include <stdint.h>

#include <sioc/loop.h>

struct log {
    enum sio_log_level level;
    sio_log_cb write; /* NULL: silent */
    void *user;
};

/* Formats at most 1023 bytes; control characters become '?'. */
void log_write(const struct log *log, enum sio_log_level level, const char *fmt, ...)
    SIOC_PRINTF(3, 4);

#define log_at(to, lvl, ...)                          \
    do {                                              \
        const struct log *to_ = (to);                 \
        if (to_ && to_->write && (lvl) <= to_->level) \
            log_write(to_, (lvl), __VA_ARGS__);       \
    } while (0)
#define log_error(to, ...) log_at(to, SIO_LOG_ERROR, __VA_ARGS__)
#define log_warn(to, ...)  log_at(to, SIO_LOG_WARN, __VA_ARGS__)
#define log_info(to, ...)  log_at(to, SIO_LOG_INFO, __VA_ARGS__)
#define log_debug(to, ...) log_at(to, SIO_LOG_DEBUG, __VA_ARGS__)

/*
 * For lines that a peer can cause: at most burst lines a minute.  Zeroed at the
 * start.  Use: `if (log_limit(&x->limit, now_ms)) log_warn(...)`.  Suppressed lines are
 * counted in suppressed; the caller may print and clear it.
 */
struct log_limit {
    uint64_t minute;
    uint32_t n;
    uint32_t suppressed;
};
bool log_limit(struct log_limit *l, uint64_t now_ms, uint32_t burst);

/*
 * A sink for programs: to stderr, with systemd's "<n>" priority prefix when user !=
 * NULL.
 */
void log_to_stderr(enum sio_log_level level, const char *line, size_t len, void *user);

#endif
