/*
 * agent/capture.h - taking one picture
 *
 * A kind of source is a constant table.  `take` runs on a camera's own thread, may
 * block until the deadline, keeps nothing between calls, and touches nothing but its
 * arguments.  So a dead camera costs its own thread and nobody else.
 */
#ifndef AGENT_CAPTURE_H
#define AGENT_CAPTURE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include <sioc/bytes.h>

#include "agent/jpeg.h"

enum agent_outcome {
    AGENT_PICTURE,    /* the only good one */
    AGENT_SILENT,     /* no such host, or nothing answers there */
    AGENT_CLOSED,     /* the host is there, the port is not open */
    AGENT_TIMEOUT,    /* connected, but no picture before the deadline */
    AGENT_REFUSED,    /* 401 or 403: it does not take the credentials */
    AGENT_NO_PICTURE, /* another status, or bytes that are no picture */
    AGENT_CANCELLED,  /* the agent ends */
    AGENT_NO_MEMORY,
};

/* What a camera speaks at one port. */
enum agent_service { AGENT_SERVICE_TEST, AGENT_SERVICE_HTTP, AGENT_SERVICE_RTSP };

/* Where the picture is asked for; all borrowed, NUL-terminated. */
struct agent_target {
    const char *camera; /* its id, for the test pattern */
    const char *host;   /* without brackets */
    uint16_t port;
    const char *path;     /* begins with '/' and holds the query */
    const char *user;     /* as they are, not percent-encoded; */
    const char *password; /* both "" for none */
};

struct agent_capture {
    struct agent_target target;
    struct agent_jpeg_limits limits;
    uint64_t deadline_ns;      /* clock_mono_ns */
    const atomic_bool *cancel; /* looked at while waiting */
};

struct capture_ops {
    const char *name;    /* "http", "rtsp", "test" */
    uint32_t timeout_ms; /* a fair time for one attempt */

    /*
     * AGENT_PICTURE with *jpeg owned by the caller; otherwise *jpeg is untouched and
     * why holds a sentence without credentials.
     */
    enum agent_outcome (*take)(const struct agent_capture *c, struct sio_buf **jpeg,
                               struct sio_diag *why);
};

extern const struct capture_ops agent_capture_http; /* capture_ffmpeg.c */
extern const struct capture_ops agent_capture_rtsp; /* capture_ffmpeg.c */
extern const struct capture_ops agent_capture_test; /* capture_test.c */

const struct capture_ops *agent_capture_ops(enum agent_service service);

/* True when the deadline has passed or the agent ends: stop waiting. */
bool agent_capture_over(const struct agent_capture *c);

/*
 * Keeps FFmpeg from writing to stderr, since its lines may hold addresses with passwords,
 * and from taking more memory at once than a large picture needs.  Once, before threads are
 * made.
 */
void agent_capture_setup(void);

#endif
