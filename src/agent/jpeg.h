/*
 * agent/jpeg.h - is it a JPEG, and making one
 */
#ifndef AGENT_JPEG_H
#define AGENT_JPEG_H

#include <stddef.h>
#include <stdint.h>

#include <sioc/bytes.h>

struct agent_jpeg_limits {
    uint32_t max_width; /* pixels; wider pictures are scaled down */
    uint32_t quality;   /* 1 to 100, with the meaning of the IJG library */
    size_t max_bytes;   /* larger ones are made again, with less of both */
};

/* What stands in the frame header of a JPEG. */
struct agent_jpeg_shape {
    uint16_t width;
    uint16_t height;
    size_t len; /* up to and with the end marker; what follows is no picture */
};

/*
 * Walks the markers of a foreign file from SOI to the first scan, and looks for the
 * end marker.  SIO_OK, or SIO_ERR_PARSE for what is no JPEG, is cut off, or is empty.
 * No decoding.  (ITU T.81, B.1 and B.2)
 */
int agent_jpeg_check(const uint8_t *p, size_t len, struct agent_jpeg_shape *shape);

/*
 * The quantisation tables that the IJG library uses for a quality: T.81 K.1 and K.2,
 * scaled.  In natural (not zigzag) order.
 */
void agent_jpeg_tables(uint32_t quality, uint16_t luma[64], uint16_t chroma[64]);

/* A picture in memory: 4:2:0, full range, width and height even. */
struct agent_image {
    uint32_t width;
    uint32_t height;
    uint8_t *plane[3]; /* Y, Cb, Cr */
    size_t stride[3];
};

/* Encodes image within limits.  SIO_OK with *out owned by the caller, or an error. */
int agent_jpeg_encode_image(const struct agent_image *image,
                            const struct agent_jpeg_limits *limits,
                            struct sio_buf **out);

/*
 * The same for a decoded frame of any pixel format.  The frame is moved: it is freed
 * as soon as its pixels are converted, to keep the peak low.
 */
struct AVFrame;
int agent_jpeg_encode_frame(struct AVFrame *frame,
                            const struct agent_jpeg_limits *limits,
                            struct sio_buf **out);

/*
 * Makes a checked JPEG fit the limits: *jpeg stays as it is, or is decoded, scaled
 * and replaced.  SIO_OK, SIO_ERR_PARSE (cannot be decoded), SIO_ERR_TOO_BIG, NOMEM.
 */
int agent_jpeg_fit(struct sio_buf **jpeg, const struct agent_jpeg_shape *shape,
                   const struct agent_jpeg_limits *limits);

#endif
