/*
 * engineio/msg.h - the inside of eio_msg: a message in the forms that both
 * transports send
 *
 * All small bytes of a message lie in one buf, `head`, with the WebSocket frame
 * header in front of each part; large bufs are referenced.  So a part is a run of
 * slices, and each transport takes it from another point on:
 *
 *     text    [ws header][4][2["snapshot_update",{"image":"] [large] ["}]]
 *             ^ websocket ^ polling
 *     binary  [ws header] [large]         polling: "b" + base64, made on first use
 */
#ifndef ENGINEIO_MSG_H
#define ENGINEIO_MSG_H

#include <sioc/engineio.h>

#include "base/buf.h"
#include "http/coding.h"

/* Slices up to this size are copied: dearer to keep alive than to copy. */
#define EIO_MSG_COPY_MAX 2048

struct eio_msg_part {
    uint32_t first; /* index of its first slice */
    uint32_t n_slices;
    uint8_t ws_head; /* bytes of the frame header, at the start of the first slice */
    bool text;
    uint32_t units;         /* protocol 3: UTF-16 units of a text; 0: not counted */
    struct sio_buf *base64; /* "b" + base64; NULL until asked for */
};

/*
 * A message as it is for a kind of session.  What has no binary part is the same in
 * all forms.  Of protocol 3's, a binary part begins with the byte 4, or it is a text:
 * "b4" and base64.
 */
enum eio_form { EIO_FORM_4, EIO_FORM_3, EIO_FORM_3_BASE64 };

struct eio_msg_packed;

struct eio_msg {
    uint32_t refs;
    uint32_t n_parts;
    uint32_t n_slices;
    bool is_volatile;
    bool no_compress;
    uint8_t form; /* enum eio_form */
    uint64_t replace_key;
    size_t bytes;                  /* of its frames */
    struct sio_slice *slices;      /* of all parts, in order */
    struct eio_msg *other;         /* in another form, once asked for, or NULL */
    struct eio_msg_packed *packed; /* its frames compressed; NULL until asked for */
    struct http_coded coded;       /* all parts as a payload of protocol 4 */
    struct eio_msg_part parts[];
};

/* A packet that is no message, with its type character.  NULL: out of memory. */
struct eio_msg *eio_msg_packet(struct sio_str packet);

/*
 * WebSocket, from a server: the unmasked frames of part `from` and all behind it.
 * Borrowed; *n is their number.
 */
const struct sio_slice *eio_msg_frames(const struct eio_msg *msg, uint32_t from,
                                       size_t *n);

/* How to compress for WebSocket. */
struct eio_msg_pack {
    int level;
    int bits;         /* of the window */
    size_t min_bytes; /* smaller parts stay as they are */
};

/*
 * The same frames, each part compressed on its own where that makes it smaller: made for
 * the first receiver and kept for the others.  NULL: out of memory.
 */
const struct sio_slice *eio_msg_packed_frames(struct eio_msg *msg, uint32_t from,
                                              const struct eio_msg_pack *how,
                                              size_t *n);
void eio_msg_packed_free(struct eio_msg *msg);

/*
 * What stands inside the frame of a part: type and text, or the bytes.  For a
 * client, which masks.  out has room for n_slices of the part; returns their number.
 */
size_t eio_msg_body(const struct eio_msg *msg, uint32_t part, struct sio_slice *out);

/*
 * The message in another form, made when the first session asks, and kept: borrowed from
 * msg.  NULL: out of memory.
 */
struct eio_msg *eio_msg_form(struct eio_msg *msg, enum eio_form form);

/* Protocol 3, polling: what the head of a part's packet says, in bytes or units. */
size_t eio_msg_body_len(const struct eio_msg *msg, uint32_t part);
size_t eio_msg_body_units(struct eio_msg *msg, uint32_t part);

/*
 * Polling: the packet of a part.  out has room for n_slices of the part, *n is set to
 * their number.  SIO_OK, SIO_ERR_NOMEM (base64).
 */
int eio_msg_payload(struct eio_msg *msg, uint32_t part, struct sio_slice *out,
                    size_t *n);

#endif
