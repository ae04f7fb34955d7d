#include <config.h>

#include "agent/jpeg.h"

#include <stdbool.h>

#include <libavcodec/avcodec.h>
#include <libavutil/imgutils.h>
#include <libswscale/swscale.h>

#define MIN_WIDTH  160 /* below that a picture tells nothing */
#define MAX_PIXELS (8192 * 8192)

static int error_of(int av_error)
{
    return av_error == AVERROR(ENOMEM) ? SIO_ERR_NOMEM : SIO_ERR_PARSE;
}

static uint32_t fit_width(uint32_t width, uint32_t max)
{
    if (max > 0 && width > max)
        width = max;
    return width < 2 ? 2 : width & ~1u;
}

/* A new frame of the encoder's format, or NULL. */
static AVFrame *new_frame(uint32_t width, uint32_t height)
{
    AVFrame *f = av_frame_alloc();

    if (!f)
        return NULL;
    f->format = AV_PIX_FMT_YUVJ420P;
    f->color_range = AVCOL_RANGE_JPEG;
    f->width = (int)width;
    f->height = (int)height;
    if (av_frame_get_buffer(f, 0) < 0)
        av_frame_free(&f);
    return f;
}

/* The "J" formats are the full-range ones under another name. */
static enum AVPixelFormat plain_format(enum AVPixelFormat format, bool *full_range)
{
    switch ((int)format) {
    case AV_PIX_FMT_YUVJ420P: *full_range = true; return AV_PIX_FMT_YUV420P;
    case AV_PIX_FMT_YUVJ422P: *full_range = true; return AV_PIX_FMT_YUV422P;
    case AV_PIX_FMT_YUVJ444P: *full_range = true; return AV_PIX_FMT_YUV444P;
    case AV_PIX_FMT_YUVJ440P: *full_range = true; return AV_PIX_FMT_YUV440P;
    case AV_PIX_FMT_YUVJ411P: *full_range = true; return AV_PIX_FMT_YUV411P;
    default: return format;
    }
}

/* Converts src to at most max_width.  NULL when it cannot. */
static AVFrame *convert(const AVFrame *src, uint32_t max_width)
{
    bool full = src->color_range == AVCOL_RANGE_JPEG;
    enum AVPixelFormat format = plain_format(src->format, &full);
    uint32_t width = fit_width((uint32_t)src->width, max_width);
    uint64_t height = (uint64_t)src->height * width / (uint32_t)src->width;
    const int *bt601 = sws_getCoefficients(SWS_CS_DEFAULT);
    struct SwsContext *sws;
    AVFrame *dst;

    if (height > 8192)
        return NULL;
    dst = new_frame(width, fit_width((uint32_t)height, 0));
    if (!dst)
        return NULL;
    sws = sws_getContext(src->width, src->height, format, dst->width, dst->height,
                         AV_PIX_FMT_YUV420P, SWS_AREA, NULL, NULL, NULL);
    if (!sws) {
        av_frame_free(&dst);
        return NULL;
    }
    sws_setColorspaceDetails(sws, bt601, full, bt601, 1, 0, 1 << 16, 1 << 16);
    if (sws_scale(sws, (const uint8_t *const *)src->data, src->linesize, 0, src->height,
                  dst->data, dst->linesize) != dst->height)
        av_frame_free(&dst);
    sws_freeContext(sws);
    return dst;
}

/*
 * FFmpeg's encoder multiplies its table with qscale / 8, so qscale 8 with the tables
 * of the IJG library gives what other programs call this quality.
 */
static int set_quality(AVCodecContext *enc, uint32_t quality)
{
    enc->intra_matrix = av_malloc_array(64, sizeof(uint16_t));
    enc->chroma_intra_matrix = av_malloc_array(64, sizeof(uint16_t));
    if (!enc->intra_matrix || !enc->chroma_intra_matrix)
        return AVERROR(ENOMEM);
    agent_jpeg_tables(quality, enc->intra_matrix, enc->chroma_intra_matrix);
    enc->flags |= AV_CODEC_FLAG_QSCALE;
    enc->global_quality = 8 * FF_QP2LAMBDA;
    return 0;
}

static void close_encoder(AVCodecContext **enc)
{
    if (*enc)
        av_freep(
            &(*enc)->chroma_intra_matrix); /* FFmpeg 5.1 frees the other one only */
    avcodec_free_context(enc);
}

static int open_encoder(AVCodecContext **out, const AVFrame *frame, uint32_t quality)
{
    const AVCodec *codec = avcodec_find_encoder(AV_CODEC_ID_MJPEG);
    AVCodecContext *enc = codec ? avcodec_alloc_context3(codec) : NULL;
    AVDictionary *opts = NULL;
    int rv;

    if (!enc)
        return AVERROR(ENOMEM);
    enc->width = frame->width;
    enc->height = frame->height;
    enc->pix_fmt = AV_PIX_FMT_YUVJ420P;
    enc->color_range = AVCOL_RANGE_JPEG;
    enc->time_base = (AVRational){1, 1};
    enc->sample_aspect_ratio = (AVRational){1, 1}; /* else there is no JFIF header */
    enc->flags |= AV_CODEC_FLAG_BITEXACT;          /* and no line about the encoder */
    enc->thread_count = 1;
    rv = set_quality(enc, quality);
    /* The optimal tables cost 12 MB of bookkeeping for a few percent. */
    if (rv >= 0)
        rv = av_dict_set(&opts, "huffman", "default", 0);
    if (rv >= 0)
        rv = avcodec_open2(enc, codec, &opts);
    av_dict_free(&opts);
    if (rv < 0)
        close_encoder(&enc);
    else
        *out = enc;
    return rv;
}

static int encode(AVFrame *frame, uint32_t quality, struct sio_buf **out)
{
    AVCodecContext *enc = NULL;
    AVPacket *pkt = av_packet_alloc();
    int rv = pkt ? open_encoder(&enc, frame, quality) : AVERROR(ENOMEM);

    if (rv < 0)
        goto free_packet;
    frame->quality = enc->global_quality;
    frame->pts = 0;
    rv = avcodec_send_frame(enc, frame);
    if (rv >= 0)
        rv = avcodec_receive_packet(enc, pkt);
    if (rv >= 0) {
        *out = sio_buf_copy(pkt->data, (size_t)pkt->size);
        if (!*out)
            rv = AVERROR(ENOMEM);
    }
    close_encoder(&enc);
free_packet:
    av_packet_free(&pkt);
    return rv < 0 ? error_of(rv) : SIO_OK;
}

/* Makes *frame smaller by a third. */
static int shrink(AVFrame **frame)
{
    uint32_t width = (uint32_t)(*frame)->width * 2 / 3;
    AVFrame *smaller;

    if (width < MIN_WIDTH)
        return SIO_ERR_TOO_BIG;
    smaller = convert(*frame, width);
    if (!smaller)
        return SIO_ERR_NOMEM;
    av_frame_free(frame);
    *frame = smaller;
    return SIO_OK;
}

/* *frame is in the encoder's format; it may be replaced. */
static int encode_within(AVFrame **frame, const struct agent_jpeg_limits *limits,
                         struct sio_buf **out)
{
    uint32_t quality = limits->quality;

    for (;;) {
        struct sio_buf *jpeg = NULL;
        int rv = encode(*frame, quality, &jpeg);

        if (rv < 0)
            return rv;
        if (sio_buf_len(jpeg) <= limits->max_bytes) {
            *out = jpeg;
            return SIO_OK;
        }
        sio_buf_unref(jpeg);
        if (quality > 60) {
            quality -= 15;
            continue;
        }
        rv = shrink(frame);
        if (rv < 0)
            return rv;
    }
}

int agent_jpeg_encode_frame(AVFrame *frame, const struct agent_jpeg_limits *limits,
                            struct sio_buf **out)
{
    AVFrame *pixels;
    int rv;

    if (frame->width < 1 || frame->height < 1) {
        av_frame_free(&frame);
        return SIO_ERR_PARSE;
    }
    pixels = convert(frame, limits->max_width);
    av_frame_free(&frame);
    if (!pixels)
        return SIO_ERR_NOMEM;
    rv = encode_within(&pixels, limits, out);
    av_frame_free(&pixels);
    return rv;
}

int agent_jpeg_encode_image(const struct agent_image *image,
                            const struct agent_jpeg_limits *limits,
                            struct sio_buf **out)
{
    AVFrame *f = new_frame(image->width, image->height);
    const uint8_t *planes[4] = {image->plane[0], image->plane[1], image->plane[2],
                                NULL};
    int strides[4] = {(int)image->stride[0], (int)image->stride[1],
                      (int)image->stride[2], 0};
    int rv;

    if (!f)
        return SIO_ERR_NOMEM;
    av_image_copy(f->data, f->linesize, planes, strides, AV_PIX_FMT_YUVJ420P, f->width,
                  f->height);
    rv = encode_within(&f, limits, out);
    av_frame_free(&f);
    return rv;
}

static int open_decoder(AVCodecContext **out)
{
    const AVCodec *codec = avcodec_find_decoder(AV_CODEC_ID_MJPEG);
    AVCodecContext *dec = codec ? avcodec_alloc_context3(codec) : NULL;
    int rv;

    if (!dec)
        return AVERROR(ENOMEM);
    dec->thread_count = 1;
    dec->max_pixels = MAX_PIXELS;
    rv = avcodec_open2(dec, codec, NULL);
    if (rv < 0)
        avcodec_free_context(&dec);
    else
        *out = dec;
    return rv;
}

/* The packet's copy of the bytes has the padding that decoders read beyond the end. */
static int decode(const uint8_t *p, size_t len, AVFrame **out)
{
    AVCodecContext *dec = NULL;
    AVPacket *pkt = av_packet_alloc();
    AVFrame *frame = av_frame_alloc();
    int rv = AVERROR(ENOMEM);

    if (!pkt || !frame || len > INT_MAX / 2)
        goto free_all;
    rv = av_new_packet(pkt, (int)len);
    if (rv < 0)
        goto free_all;
    memcpy(pkt->data, p, len);
    rv = open_decoder(&dec);
    if (rv < 0)
        goto free_all;
    rv = avcodec_send_packet(dec, pkt);
    if (rv >= 0)
        rv = avcodec_receive_frame(dec, frame);
    avcodec_free_context(&dec);
    if (rv >= 0) {
        *out = frame;
        frame = NULL;
    }
free_all:
    av_frame_free(&frame);
    av_packet_free(&pkt);
    return rv < 0 ? error_of(rv) : SIO_OK;
}

int agent_jpeg_fit(struct sio_buf **jpeg, const struct agent_jpeg_shape *shape,
                   const struct agent_jpeg_limits *limits)
{
    struct sio_buf *smaller = NULL;
    AVFrame *frame = NULL;
    int rv;

    if (shape->width <= limits->max_width && shape->len <= limits->max_bytes)
        return SIO_OK;
    rv = decode(sio_buf_data(*jpeg), shape->len, &frame);
    if (rv < 0)
        return rv;
    rv = agent_jpeg_encode_frame(frame, limits, &smaller);
    if (rv < 0)
        return rv;
    sio_buf_unref(*jpeg);
    *jpeg = smaller;
    return SIO_OK;
}
