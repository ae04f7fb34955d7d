/*
 * agent/ffmpeg.h - what the files that call FFmpeg's libraries share
 */
#ifndef AGENT_FFMPEG_H
#define AGENT_FFMPEG_H

#include <libavformat/avformat.h>

#include "agent/capture.h"

/* One attempt at a camera; FFmpeg's callbacks get it. */
struct agent_attempt {
    const struct agent_capture *c;
    AVFormatContext *rtsp; /* while there is one */
    bool redirected;
    char last_line[160]; /* what FFmpeg said last */
};

/* This thread is busy with a from now on, NULL: with none.  FFmpeg's lines go there. */
void agent_ffmpeg_enter(struct agent_attempt *a);

/* Opens a->rtsp.  0 or an AVERROR; close with avformat_close_input. */
int agent_ffmpeg_open_rtsp(struct agent_attempt *a);

/* The first stream that we can decode; -1 if there is none. */
int agent_ffmpeg_find_video(const AVFormatContext *f);

/* What an AVERROR stands for, with a sentence. */
enum agent_outcome agent_ffmpeg_fail(const struct agent_attempt *a, int rv,
                                     struct sio_diag *why);

#define AGENT_MAX_PIXELS (8192 * 8192)

#endif
