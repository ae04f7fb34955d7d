#include <config.h>

#include "agent/capture.h"

#include <limits.h>
#include <stdio.h>

#include <libavcodec/avcodec.h>
#include <libavutil/opt.h>

#include "agent/ffmpeg.h"
#include "agent/redact.h"
#include "base/buf.h"
#include "base/list.h"
#include "base/mem.h"

#define MAX_HTTP_BYTES (16 * 1024 * 1024)
#define READ_CHUNK     (32 * 1024)
#define USER_AGENT     "nuchub-agent"
#define URL_SIZE       4096
/* Of one block: the plane of a picture of AGENT_MAX_PIXELS. */
#define MAX_ALLOC (AGENT_MAX_PIXELS + 16 * 1024 * 1024)

/*
 * FFmpeg's log callback has no argument of ours, so the attempt that a thread is
 * busy with is kept per thread.
 */
static _Thread_local struct agent_attempt *current;

void agent_ffmpeg_enter(struct agent_attempt *a)
{
    current = a;
}

static void on_av_log(void *object, int level, const char *fmt, va_list args)
{
    int prefix = 0;
    char line[URL_SIZE + 256]; /* whole, lest a login be cut off before its end */
    size_t len;

    if (!current || level > AV_LOG_WARNING)
        return;
    av_log_format_line2(object, level, fmt, args, line, sizeof(line), &prefix);
    agent_redact(line);
    len = strlen(line);
    while (len > 0 && line[len - 1] == ' ')
        len--;
    if (len >= sizeof(current->last_line))
        len = sizeof(current->last_line) - 1;
    memcpy(current->last_line, line, len);
    current->last_line[len] = '\0';
}

void agent_capture_setup(void)
{
    av_log_set_callback(on_av_log);
    av_max_alloc(MAX_ALLOC); /* it makes room for what a camera merely announces */
}

/* --- addresses -------------------------------------------------------------------- */

static void add_encoded(struct wbuf *w, const char *s)
{
    static const char hex[] = "0123456789ABCDEF";

    for (; *s; s++) {
        uint8_t c = (uint8_t)*s;

        if ((c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') ||
            (c >= 'a' && c <= 'z') || c == '-' || c == '.' || c == '_') {
            wbuf_add_byte(w, c);
        } else {
            wbuf_add_byte(w, '%');
            wbuf_add_byte(w, (uint8_t)hex[c >> 4]);
            wbuf_add_byte(w, (uint8_t)hex[c & 15]);
        }
    }
}

/* The URL with credentials: made here, for FFmpeg alone, and wiped by forget_url. */
static struct sio_buf *make_url(const char *scheme, const struct agent_target *t)
{
    bool v6 = strchr(t->host, ':') != NULL;
    struct wbuf w;

    wbuf_init(&w, URL_SIZE);
    wbuf_addf(&w, "%s://", scheme);
    if (t->user[0]) {
        add_encoded(&w, t->user);
        wbuf_add_byte(&w, ':');
        add_encoded(&w, t->password);
        wbuf_add_byte(&w, '@');
    }
    wbuf_addf(&w, v6 ? "[%s]:%u" : "%s:%u", t->host, (unsigned)t->port);
    wbuf_add_cstr(&w, t->path);
    wbuf_add_byte(&w, '\0');
    return wbuf_take(&w);
}

static void forget_url(struct sio_buf *url)
{
    if (url)
        explicit_bzero(sio_buf_data(url), sio_buf_len(url));
    sio_buf_unref(url);
}

/* --- errors ----------------------------------------------------------------------- */

static enum agent_outcome outcome_of(const struct agent_attempt *a, int rv)
{
    switch (rv) {
    case AVERROR_HTTP_UNAUTHORIZED:
    case AVERROR_HTTP_FORBIDDEN: return AGENT_REFUSED;
    case AVERROR(ENOMEM): return AGENT_NO_MEMORY;
    case AVERROR(ECONNREFUSED): return AGENT_CLOSED;
    case AVERROR(EHOSTUNREACH):
    case AVERROR(ENETUNREACH): return AGENT_SILENT;
    case AVERROR(ETIMEDOUT): return AGENT_TIMEOUT;
    default: break;
    }
    if (a->redirected)
        return AGENT_NO_PICTURE;
    if (atomic_load(a->c->cancel))
        return AGENT_CANCELLED;
    return agent_capture_over(a->c) ? AGENT_TIMEOUT : AGENT_NO_PICTURE;
}

enum agent_outcome agent_ffmpeg_fail(const struct agent_attempt *a, int rv,
                                     struct sio_diag *why)
{
    enum agent_outcome outcome = outcome_of(a, rv);
    char text[AV_ERROR_MAX_STRING_SIZE];

    if (a->redirected)
        snprintf(text, sizeof(text), "sent to another host");
    else if (outcome == AGENT_TIMEOUT)
        snprintf(text, sizeof(text), "no picture in time");
    else
        av_strerror(rv, text, sizeof(text));
    sio_diag_set(why, SIO_ERR_IO, "%s%s%s", text, a->last_line[0] ? ": " : "",
                 a->last_line);
    return outcome;
}

static enum agent_outcome say(enum agent_outcome outcome, struct sio_diag *why,
                              const char *text)
{
    sio_diag_set(why, SIO_ERR_IO, "%s", text);
    return outcome;
}

/* What agent_jpeg_* returned. */
static enum agent_outcome outcome_of_jpeg(int rv, struct sio_diag *why)
{
    if (rv == SIO_OK)
        return AGENT_PICTURE;
    if (rv == SIO_ERR_NOMEM)
        return say(AGENT_NO_MEMORY, why, "out of memory");
    return say(AGENT_NO_PICTURE, why,
               rv == SIO_ERR_TOO_BIG ? "the picture does not get small enough"
                                     : "the picture cannot be decoded");
}

/* --- HTTP ------------------------------------------------------------------------- */

static int on_interrupt_http(void *user)
{
    const struct agent_attempt *a = user;

    return agent_capture_over(a->c);
}

static int http_open(struct agent_attempt *a, AVIOContext **io)
{
    AVIOInterruptCB interrupt = {on_interrupt_http, a};
    AVDictionary *opts = NULL;
    struct sio_buf *url = make_url("http", &a->c->target);
    int rv = AVERROR(ENOMEM);

    if (!url)
        return rv;
    av_dict_set(&opts, "protocol_whitelist", "http,tcp", 0);
    av_dict_set(&opts, "user_agent", USER_AGENT, 0);
    av_dict_set(&opts, "seekable", "0", 0); /* no Range field */
    av_dict_set(&opts, "icy", "0", 0);
    /* A camera is near; a proxy of the environment would get its credentials. */
    av_dict_set(&opts, "http_proxy", "none", 0);
    rv = avio_open2(io, (const char *)sio_buf_data(url), AVIO_FLAG_READ, &interrupt,
                    &opts);
    av_dict_free(&opts);
    forget_url(url);
    return rv;
}

/*
 * FFmpeg follows redirections, without the credentials where the host changes.  A
 * picture from elsewhere is not this camera's.
 */
static bool http_is_elsewhere(AVIOContext *io, const struct agent_target *t)
{
    char host[256] = "";
    uint8_t *location = NULL;
    int port = -1;

    if (av_opt_get(io, "location", AV_OPT_SEARCH_CHILDREN, &location) < 0 || !location)
        return false;
    av_url_split(NULL, 0, NULL, 0, host, sizeof(host), &port, NULL, 0,
                 (char *)location);
    explicit_bzero(location, strlen((char *)location));
    av_free(location);
    return strcmp(host, t->host) != 0;
}

static int http_read(AVIOContext *io, struct wbuf *w)
{
    for (;;) {
        uint8_t *room = wbuf_extend(w, READ_CHUNK);
        int n;

        if (!room)
            return w->error == SIO_ERR_NOMEM ? AVERROR(ENOMEM) : AVERROR(EFBIG);
        n = avio_read_partial(io, room, READ_CHUNK);
        w->len -= READ_CHUNK - (size_t)(n > 0 ? n : 0);
        if (n == AVERROR_EOF || n == 0)
            return 0;
        if (n < 0)
            return n;
    }
}

static enum agent_outcome http_finish(const struct agent_capture *c, struct wbuf *w,
                                      struct sio_buf **jpeg, struct sio_diag *why)
{
    struct sio_str body = wbuf_str(w);
    struct agent_jpeg_shape shape;
    struct sio_buf *b;
    enum agent_outcome outcome;

    if (agent_jpeg_check((const uint8_t *)body.ptr, body.len, &shape) < 0)
        return say(AGENT_NO_PICTURE, why, "the answer is not a JPEG picture");
    w->len = shape.len; /* without what some cameras append */
    b = wbuf_take(w);
    if (!b)
        return say(AGENT_NO_MEMORY, why, "out of memory");
    outcome = outcome_of_jpeg(agent_jpeg_fit(&b, &shape, &c->limits), why);
    if (outcome == AGENT_PICTURE)
        *jpeg = b;
    else
        sio_buf_unref(b);
    return outcome;
}

static enum agent_outcome http_take(const struct agent_capture *c,
                                    struct sio_buf **jpeg, struct sio_diag *why)
{
    struct agent_attempt a = {.c = c};
    AVIOContext *io = NULL;
    enum agent_outcome outcome;
    struct wbuf w;
    int rv;

    agent_ffmpeg_enter(&a);
    wbuf_init(&w, MAX_HTTP_BYTES);
    rv = http_open(&a, &io);
    if (rv >= 0 && http_is_elsewhere(io, &c->target)) {
        a.redirected = true;
        rv = AVERROR_EXIT;
    }
    if (rv >= 0)
        rv = http_read(io, &w);
    avio_closep(&io);
    outcome = rv < 0 ? agent_ffmpeg_fail(&a, rv, why) : http_finish(c, &w, jpeg, why);
    wbuf_fini(&w);
    agent_ffmpeg_enter(NULL);
    return outcome;
}

const struct capture_ops agent_capture_http = {
    .name = "http",
    .timeout_ms = 6000,
    .take = http_take,
};

/* --- RTSP ------------------------------------------------------------------------- */

/*
 * FFmpeg follows a redirection with the credentials of the first address, so it is
 * stopped: it asks here before it connects.
 */
static int on_interrupt_rtsp(void *user)
{
    struct agent_attempt *a = user;
    const AVFormatContext *f = a->rtsp;

    if (f && f->url && !a->redirected) {
        char host[256] = "";

        av_url_split(NULL, 0, NULL, 0, host, sizeof(host), NULL, NULL, 0, f->url);
        a->redirected = strcmp(host, a->c->target.host) != 0;
    }
    return a->redirected || agent_capture_over(a->c);
}

int agent_ffmpeg_open_rtsp(struct agent_attempt *a)
{
    AVFormatContext *f = avformat_alloc_context();
    struct sio_buf *url = make_url("rtsp", &a->c->target);
    AVDictionary *opts = NULL;
    int rv = AVERROR(ENOMEM);

    if (!f || !url)
        goto free_all;
    f->interrupt_callback = (AVIOInterruptCB){on_interrupt_rtsp, a};
    f->flags |= AVFMT_FLAG_NOBUFFER;
    f->protocol_whitelist = av_strdup("tcp");
    f->max_streams = 16;
    av_dict_set(&opts, "rtsp_transport", "tcp", 0);
    av_dict_set(&opts, "allowed_media_types", "video", 0);
    av_dict_set(&opts, "user_agent", USER_AGENT, 0);
    a->rtsp = f;
    /* On failure FFmpeg frees f. */
    rv = avformat_open_input(&f, (const char *)sio_buf_data(url),
                             av_find_input_format("rtsp"), &opts);
    a->rtsp = f;
    f = NULL;
free_all:
    avformat_free_context(f);
    av_dict_free(&opts);
    forget_url(url);
    return rv;
}

int agent_ffmpeg_find_video(const AVFormatContext *f)
{
    for (unsigned i = 0; i < f->nb_streams; i++) {
        const AVCodecParameters *par = f->streams[i]->codecpar;

        if (par->codec_type == AVMEDIA_TYPE_VIDEO &&
            avcodec_find_decoder(par->codec_id))
            return (int)i;
    }
    return -1;
}

/* One key frame is decoded: one thread, no frames in between, little memory. */
static int rtsp_open_decoder(const AVStream *st, AVCodecContext **out)
{
    const AVCodec *codec = avcodec_find_decoder(st->codecpar->codec_id);
    AVCodecContext *dec = avcodec_alloc_context3(codec);
    int rv;

    if (!dec)
        return AVERROR(ENOMEM);
    dec->thread_count = 1;
    dec->skip_frame = AVDISCARD_NONKEY;
    dec->max_pixels = AGENT_MAX_PIXELS;
    rv = avcodec_parameters_to_context(dec, st->codecpar);
    if (rv >= 0)
        rv = avcodec_open2(dec, codec, NULL);
    if (rv < 0)
        avcodec_free_context(&dec);
    else
        *out = dec;
    return rv;
}

/*
 * Decodes pkt alone.  1 with frame filled, 0 if it is not a whole picture, or an
 * error that ends the attempt.
 */
static int rtsp_decode(AVCodecContext *dec, const AVPacket *pkt, AVFrame *frame)
{
    int rv = avcodec_send_packet(dec, pkt);

    if (rv >= 0)
        rv = avcodec_send_packet(dec, NULL); /* do not wait for frames that follow */
    if (rv >= 0)
        rv = avcodec_receive_frame(dec, frame);
    if (rv >= 0 && frame->decode_error_flags == 0 &&
        !(frame->flags & AV_FRAME_FLAG_CORRUPT))
        return 1;
    av_frame_unref(frame);
    avcodec_flush_buffers(dec);
    return rv == AVERROR(ENOMEM) ? rv : 0;
}

static int rtsp_read_frame(struct agent_attempt *a, AVFrame *frame)
{
    int video = agent_ffmpeg_find_video(a->rtsp);
    AVCodecContext *dec = NULL;
    AVPacket *pkt = av_packet_alloc();
    int rv = AVERROR(ENOMEM);

    if (!pkt)
        return rv;
    rv = video < 0 ? AVERROR_STREAM_NOT_FOUND
                   : rtsp_open_decoder(a->rtsp->streams[video], &dec);
    while (rv >= 0) {
        rv = agent_capture_over(a->c) ? AVERROR_EXIT : av_read_frame(a->rtsp, pkt);
        if (rv < 0)
            break;
        if (pkt->stream_index == video && (pkt->flags & AV_PKT_FLAG_KEY))
            rv = rtsp_decode(dec, pkt, frame);
        av_packet_unref(pkt);
        if (rv == 1)
            break;
    }
    avcodec_free_context(&dec);
    av_packet_free(&pkt);
    return rv;
}

static enum agent_outcome rtsp_take(const struct agent_capture *c,
                                    struct sio_buf **jpeg, struct sio_diag *why)
{
    struct agent_attempt a = {.c = c};
    AVFrame *frame = av_frame_alloc();
    enum agent_outcome outcome;
    int rv;

    agent_ffmpeg_enter(&a);
    rv = frame ? agent_ffmpeg_open_rtsp(&a) : AVERROR(ENOMEM);
    if (rv >= 0)
        rv = rtsp_read_frame(&a, frame);
    avformat_close_input(&a.rtsp);
    if (rv < 0) {
        outcome = agent_ffmpeg_fail(&a, rv, why);
        av_frame_free(&frame);
    } else {
        /* The session has ended before the encoder's memory is needed. */
        outcome =
            outcome_of_jpeg(agent_jpeg_encode_frame(frame, &c->limits, jpeg), why);
    }
    agent_ffmpeg_enter(NULL);
    return outcome;
}

const struct capture_ops agent_capture_rtsp = {
    .name = "rtsp",
    .timeout_ms = 12000,
    .take = rtsp_take,
};
