/*
 * hub/picture.h - the JSON object that a picture travels and is stored as
 *
 *     {"nuc_id","ip","image","estado","timestamp"}
 *
 * The image is base64, bare or behind "data:...;base64,", and is never copied to be
 * looked at.
 */
#ifndef HUB_PICTURE_H
#define HUB_PICTURE_H

#include <stdbool.h>

#include <sioc/bytes.h>

#define HUB_IMAGE_MIN_CHARS 100

/* Members of a checked object as raw JSON; ptr NULL: missing. */
struct hub_picture {
    struct sio_str nuc_id;
    struct sio_str ip;
    struct sio_str image;
    struct sio_str estado;
    struct sio_str timestamp;
    bool exact; /* no other member and none twice */
};

void hub_picture_read(struct sio_str object, struct hub_picture *out);

/*
 * The image between its quotes.  False: there is none, or it is no text, as it may be in
 * what other programs have stored.
 */
bool hub_picture_image(const struct hub_picture *p, struct sio_str *text);

/* True for text that may be shown as an image: base64, padded or not, long enough. */
bool hub_image_check(struct sio_str text);

/* The base64 itself: what stands behind a "data:...;base64," if there is one. */
struct sio_str hub_image_base64(struct sio_str text);

/*
 * The bytes of a checked image.  NULL with *error SIO_ERR_NOMEM, or SIO_ERR_PARSE if
 * they are no JPEG.  The caller owns the buf.
 */
struct sio_buf *hub_image_jpeg(struct sio_str text, int *error);

/* True for bytes that begin as a JPEG does. */
bool hub_image_is_jpeg(const uint8_t *p, size_t len);

#endif
