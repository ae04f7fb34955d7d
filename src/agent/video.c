#include <config.h>

#include "agent/video.h"

#include <libavcodec/avcodec.h>

#include "agent/ffmpeg.h"
#include "base/clock.h"
#include "base/mem.h"

/*
 * So far behind the best that was seen, for so long, decoding is too slow: only key frames
 * then.  What waited while the machine was busy with something else is decoded sooner.
 */
#define LATE_US   700000
#define SLOW_US   500000
#define INTIME_US 200000
/* A camera's clock may be so much slower than ours, and its time stamps may jump. */
#define DRIFT_PER_S 1000 /* us */
#define JUMP_US     5000000
/* Nothing at all for so long: the camera has gone.  Key frames may be much farther apart. */
#define SILENT_NS  (10 * UINT64_C(1000000000))
#define PICTURE_NS (60 * UINT64_C(1000000000))

struct agent_video {
    struct agent_attempt attempt;
    struct agent_capture *c;
    AVCodecContext *decoder;
    AVPacket *packet;
    int stream;
    bool started;   /* a key frame was decoded */
    int64_t lag_us; /* smallest distance of clock and time stamp so far */
    bool has_lag;
    int64_t minded_us; /* when that was looked at last */
    int64_t late_us;   /* since when no packet was in time; 0: the last one was */
};

static int open_decoder(struct agent_video *v)
{
    const AVStream *st = v->attempt.rtsp->streams[v->stream];
    const AVCodec *codec = avcodec_find_decoder(st->codecpar->codec_id);
    int rv;

    v->decoder = avcodec_alloc_context3(codec);
    v->packet = av_packet_alloc();
    if (!v->decoder || !v->packet)
        return AVERROR(ENOMEM);
    v->decoder->thread_count = 1;
    v->decoder->flags |= AV_CODEC_FLAG_LOW_DELAY;
    v->decoder->max_pixels = AGENT_MAX_PIXELS;
    rv = avcodec_parameters_to_context(v->decoder, st->codecpar);
    return rv < 0 ? rv : avcodec_open2(v->decoder, codec, NULL);
}

enum agent_outcome agent_video_open(struct agent_capture *c, struct agent_video **out,
                                    struct sio_diag *why)
{
    struct agent_video *v = mem_new(struct agent_video);
    enum agent_outcome outcome;
    int rv;

    if (!v)
        return AGENT_NO_MEMORY;
    v->attempt.c = c;
    v->c = c;
    agent_ffmpeg_enter(&v->attempt);
    rv = agent_ffmpeg_open_rtsp(&v->attempt);
    if (rv >= 0) {
        v->stream = agent_ffmpeg_find_video(v->attempt.rtsp);
        rv = v->stream < 0 ? AVERROR_STREAM_NOT_FOUND : open_decoder(v);
    }
    if (rv >= 0) {
        *out = v;
        return AGENT_PICTURE;
    }
    outcome = agent_ffmpeg_fail(&v->attempt, rv, why);
    agent_video_close(v);
    return outcome;
}

/*
 * A camera's clock has its own origin; the smallest distance that was seen stands for no
 * delay at all.  Its speed is its own, too, so that distance creeps; and who is late all
 * the time, with nothing to decode but key frames, is not late: the time stamps have jumped.
 */
static void mind_delay(struct agent_video *v, const AVPacket *p)
{
    const AVStream *st = v->attempt.rtsp->streams[v->stream];
    int64_t at = p->pts != AV_NOPTS_VALUE ? p->pts : p->dts;
    int64_t now = (int64_t)(clock_mono_ns() / 1000);
    int64_t lag;

    if (at == AV_NOPTS_VALUE)
        return;
    lag = now - av_rescale_q(at, st->time_base, (AVRational){1, 1000000});
    v->lag_us += (now - v->minded_us) / (1000000 / DRIFT_PER_S);
    v->minded_us = now;
    if (!v->has_lag || lag < v->lag_us ||
        (v->late_us != 0 && now - v->late_us > JUMP_US))
        v->lag_us = lag;
    v->has_lag = true;
    if (lag - v->lag_us <= LATE_US)
        v->late_us = 0;
    else if (v->late_us == 0)
        v->late_us = now;
    else if (now - v->late_us > SLOW_US)
        v->decoder->skip_frame = AVDISCARD_NONKEY;
    /* Frames in between need all those since the key frame. */
    if (lag - v->lag_us < INTIME_US && (p->flags & AV_PKT_FLAG_KEY))
        v->decoder->skip_frame = AVDISCARD_DEFAULT;
}

/* 1 with a picture, 0 without, or an error that ends the session. */
static int decode(struct agent_video *v, AVFrame *frame)
{
    int rv;

    if (v->packet->stream_index != v->stream)
        return 0;
    if (!v->started && !(v->packet->flags & AV_PKT_FLAG_KEY))
        return 0;
    mind_delay(v, v->packet);
    rv = avcodec_send_packet(v->decoder, v->packet);
    if (rv < 0)
        return rv == AVERROR(ENOMEM) ? rv : 0; /* a damaged packet */
    rv = avcodec_receive_frame(v->decoder, frame);
    if (rv < 0)
        return rv == AVERROR(ENOMEM) ? rv : 0;
    v->started = true;
    if (frame->decode_error_flags == 0 && !(frame->flags & AV_FRAME_FLAG_CORRUPT))
        return 1;
    av_frame_unref(frame);
    return 0;
}

enum agent_outcome agent_video_next(struct agent_video *v, AVFrame *frame,
                                    struct sio_diag *why)
{
    uint64_t give_up_ns = clock_mono_ns() + PICTURE_NS;
    int rv = 0;

    while (rv == 0) {
        uint64_t silent_ns = clock_mono_ns() + SILENT_NS;

        v->c->deadline_ns = silent_ns < give_up_ns ? silent_ns : give_up_ns;
        rv = av_read_frame(v->attempt.rtsp, v->packet);
        /* FFmpeg's parser holds a frame back until the next one comes, or the end. */
        if (rv >= 0)
            rv = agent_capture_over(v->c) ? AVERROR_EXIT : decode(v, frame);
        av_packet_unref(v->packet);
    }
    return rv > 0 ? AGENT_PICTURE : agent_ffmpeg_fail(&v->attempt, rv, why);
}

void agent_video_close(struct agent_video *v)
{
    if (!v)
        return;
    av_packet_free(&v->packet);
    avcodec_free_context(&v->decoder);
    avformat_close_input(&v->attempt.rtsp);
    agent_ffmpeg_enter(NULL);
    mem_free(v);
}
