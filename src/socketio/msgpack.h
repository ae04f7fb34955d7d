/*
 * socketio/msgpack.h - MessagePack: read, write, and to and from JSON
 *
 * The reader is a cursor: it gives one token after another, slices of its input, and
 * builds nothing.  It is ours because msgpack-c's unpacker makes a tree (24 bytes a
 * value in zones of its own), reserves what an array announces and fails on more than
 * 32 levels; a relay needs neither tree nor copy, and a peer may nest as deeply as in
 * JSON.  Used by the parser of that name, and for messages between servers.
 * (MessagePack specification, "Formats")
 */
#ifndef SOCKETIO_MSGPACK_H
#define SOCKETIO_MSGPACK_H

#include <stdbool.h>
#include <stdint.h>

#include <sioc/bytes.h>

#include "base/buf.h"

/*
 * Reading
 */

/* Those up to STRING may be keys. */
enum sio_msgpack_kind {
    SIO_MSGPACK_NIL,
    SIO_MSGPACK_BOOL,
    SIO_MSGPACK_UINT,
    SIO_MSGPACK_INT, /* less than 0 */
    SIO_MSGPACK_DOUBLE,
    SIO_MSGPACK_STRING, /* what the peer calls text; not checked */
    SIO_MSGPACK_BINARY,
    SIO_MSGPACK_EXT,
    SIO_MSGPACK_ARRAY, /* n items follow */
    SIO_MSGPACK_MAP,   /* n keys and values follow, by turns */
};

struct sio_msgpack_token {
    enum sio_msgpack_kind kind;
    bool fixed;             /* EXT: in the form that says no length */
    int8_t ext;             /* EXT: its type */
    uint32_t n;             /* ARRAY, MAP */
    uint64_t u;             /* UINT; BOOL: 0 or 1 */
    int64_t i;              /* INT */
    double d;               /* DOUBLE */
    struct sio_slice bytes; /* STRING, BINARY, EXT: part of the input */
};

struct sio_msgpack_reader {
    struct sio_buf *buf; /* the input's, or NULL */
    const uint8_t *p;
    const uint8_t *end;
};

static inline struct sio_msgpack_reader sio_msgpack_reader(struct sio_slice in)
{
    struct sio_msgpack_reader r = {in.buf, in.ptr, in.ptr};

    if (in.len > 0)
        r.end += in.len;
    return r;
}

static inline bool sio_msgpack_at_end(const struct sio_msgpack_reader *r)
{
    return r->p == r->end;
}

/*
 * The next token.  SIO_OK or SIO_ERR_PARSE: cut off, a byte that means nothing, or a
 * count that what is left cannot hold.
 */
int sio_msgpack_next(struct sio_msgpack_reader *r, struct sio_msgpack_token *t);

/* Passes one value, whatever is in it; nothing limits its depth, nothing is kept. */
int sio_msgpack_skip(struct sio_msgpack_reader *r);

/* True for UINT, and for a DOUBLE that is exactly one (some peers have one number). */
bool sio_msgpack_uint(const struct sio_msgpack_token *t, uint64_t *out);

/* True for a STRING of these characters. */
bool sio_msgpack_string_eq(const struct sio_msgpack_token *t, const char *text);

/*
 * Writing: each in its shortest form.  w->error tells of a failure.
 */
void sio_msgpack_add_nil(struct wbuf *w);
void sio_msgpack_add_bool(struct wbuf *w, bool b);
void sio_msgpack_add_uint(struct wbuf *w, uint64_t n);
void sio_msgpack_add_int(struct wbuf *w, int64_t n);
void sio_msgpack_add_double(struct wbuf *w, double d); /* an integer, if it is one */
void sio_msgpack_add_string(struct wbuf *w, struct sio_str utf8);
void sio_msgpack_add_array(struct wbuf *w, uint32_t n);
void sio_msgpack_add_map(struct wbuf *w, uint32_t n);
void sio_msgpack_add_binary_head(struct wbuf *w, uint32_t len); /* the bytes follow */

/*
 * To JSON
 */

/* Binary values in the order of their placeholders; {.max = n} to begin with. */
struct sio_msgpack_bins {
    struct sio_slice *items; /* parts of the input; freed by sio_msgpack_bins_fini */
    uint32_t n;
    uint32_t cap;
    uint32_t max;
    bool lookalike; /* some map has a key "_placeholder" */
};
void sio_msgpack_bins_fini(struct sio_msgpack_bins *b);

/*
 * Writes one value behind what json holds, and a placeholder where bytes are.  What
 * JSON does not have becomes what JavaScript makes of it: NaN null, dates their ISO
 * text, `undefined` (ext 0, one byte) null in an array and nothing in a map, another
 * ext an array of its type and bytes.  A key that is a number, a truth or nil becomes
 * text; text that is not UTF-8 gets U+FFFD.  SIO_OK; SIO_ERR_PARSE; SIO_ERR_TOO_BIG:
 * deeper than JSON_MAX_DEPTH, more than bins->max, more than json may hold;
 * SIO_ERR_NOMEM.
 */
int sio_msgpack_to_json(struct sio_msgpack_reader *r, struct wbuf *json,
                        struct sio_msgpack_bins *bins);

/*
 * From JSON
 */

/* Bytes that are not copied stand in front of bytes[at]. */
struct sio_msgpack_ref {
    size_t at;
    struct sio_slice slice; /* borrowed from whoever gave the attachments */
};

struct sio_msgpack_writer {
    struct wbuf bytes;
    size_t copy_max; /* attachments in a buf, over this size, are not copied */
    struct sio_msgpack_ref *refs;
    uint32_t n_refs;
    uint32_t cap_refs;
};
void sio_msgpack_writer_init(struct sio_msgpack_writer *w, size_t copy_max);
void sio_msgpack_writer_fini(struct sio_msgpack_writer *w);

/*
 * Writes a JSON value; placeholders become the attachments they name.  Integers that
 * 64 bits hold stay exact.  SIO_OK; SIO_ERR_PARSE, SIO_ERR_TOO_BIG: not JSON, or too
 * deep; SIO_ERR_PROTOCOL: more placeholders than attachments; SIO_ERR_NOMEM.
 */
int sio_msgpack_add_json(struct sio_msgpack_writer *w, struct sio_str json,
                         const struct sio_slice *attachments, uint32_t n);

/*
 * Moves what was written into *bytes and gives all of it in order, as slices of it and
 * of what was not copied.  out has room for 2 * n_refs + 1; returns their number.
 */
size_t sio_msgpack_slices(const struct sio_msgpack_writer *w, struct sio_buf *bytes,
                          struct sio_slice *out);

#endif
