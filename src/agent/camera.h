/*
 * agent/camera.h - one camera: a thread that takes its pictures
 *
 * The thread waits until a picture is wanted, makes one round (plan.h), and leaves
 * the result in the camera's single slot; what was still there is freed.  All functions
 * are for the loop's thread.
 */
#ifndef AGENT_CAMERA_H
#define AGENT_CAMERA_H

#include <sioc/loop.h>

#include "agent/logins.h"
#include "agent/source.h"

struct agent_camera;

/* One round's result: a picture, or a text for the hub. */
struct agent_result {
    struct sio_buf *jpeg;  /* or NULL */
    struct sio_buf *error; /* UTF-8; NULL if there is a picture */
    int64_t wall_us;       /* when it was taken */
    struct sio_buf *why;   /* for the log: what came of each attempt; or NULL */
};
void agent_result_free(struct agent_result *r);

/* A result waits in the slot; called on the loop's thread. */
typedef void (*agent_camera_cb)(struct agent_camera *camera, void *user);

struct agent_camera_options {
    struct agent_logins *logins; /* borrowed, outlives the camera */
    struct agent_jpeg_limits limits;
    agent_camera_cb on_result;
    void *user;
};

/* Starts the thread.  source is moved, also on failure.  NULL with diag. */
struct agent_camera *agent_camera_new(struct net_loop *loop,
                                      struct agent_source *source,
                                      const struct agent_camera_options *opts,
                                      struct sio_diag *diag);

/* Wants a picture.  A round that has begun already serves: requests are not counted. */
void agent_camera_request(struct agent_camera *c);

/* Takes what is in the slot, or NULL. */
struct agent_result *agent_camera_take(struct agent_camera *c);

/* For the rounds from now on. */
void agent_camera_set_max_bytes(struct agent_camera *c, size_t max_bytes);

/* True while a round is wanted, under way, or its result not yet told. */
bool agent_camera_is_busy(struct agent_camera *c);

/* Borrowed, as long as the camera. */
const struct agent_source *agent_camera_source(const struct agent_camera *c);

const char *agent_camera_id(const struct agent_camera *c);

/* The user's own data; NULL at first. */
void agent_camera_set_data(struct agent_camera *c, void *data);
void *agent_camera_data(const struct agent_camera *c);

/* Lets a round under way end soon and be forgotten; for all cameras before the first stop. */
void agent_camera_cancel(struct agent_camera *c);

/*
 * Ends the thread and waits for it (a round under way ends within some 100 ms, save in
 * the system's resolver).  Then agent_camera_free, once the loop can call no more:
 * when the camera is not busy, or behind net_loop_free.
 */
void agent_camera_stop(struct agent_camera *c);
void agent_camera_free(struct agent_camera *c);

#endif
