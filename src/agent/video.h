/*
 * agent/video.h - a camera's video as it comes: one RTSP session, decoded
 *
 * Blocking, for a thread of its own.  What cannot be decoded in time is left out, so that
 * the newest picture is never an old one.
 */
#ifndef AGENT_VIDEO_H
#define AGENT_VIDEO_H

#include "agent/capture.h"

struct AVFrame;
struct agent_video;

/*
 * Opens the session before c's deadline; c is borrowed until the close.  AGENT_PICTURE
 * with *out, or why not.
 */
enum agent_outcome agent_video_open(struct agent_capture *c, struct agent_video **out,
                                    struct sio_diag *why);

/*
 * Waits for the next picture, for the first key frame if need be: as long as the camera
 * sends anything, c's deadline is moved.  AGENT_PICTURE: in frame, the caller's to unref;
 * else the session is over.
 */
enum agent_outcome agent_video_next(struct agent_video *v, struct AVFrame *frame,
                                    struct sio_diag *why);

void agent_video_close(struct agent_video *v); /* NULL is allowed */

#endif
