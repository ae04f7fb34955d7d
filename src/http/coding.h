/*
 * http/coding.h - content codings of replies: which one a client takes, and the forms
 * that are kept (RFC 9110, 8.4.1 and 12.5.3)
 */
#ifndef HTTP_CODING_H
#define HTTP_CODING_H

#include "base/buf.h"

enum http_coding { HTTP_GZIP, HTTP_DEFLATE, HTTP_IDENTITY };
#define HTTP_N_CODINGS 2 /* that change the bytes */

/* What a client said about codings. */
struct http_codings {
    enum http_coding best;
    bool no_identity; /* it refuses the bytes as they are */
};

/*
 * Reads Accept-Encoding (ptr NULL: there is none, and nothing is changed).  Of codings that
 * it likes the same, gzip is taken before deflate, and both before identity.  Items that
 * are not well-formed count as refused.
 */
struct http_codings http_codings_parse(struct sio_str accept);

/* As it stands in Content-Encoding. */
const char *http_coding_name(enum http_coding coding);

/*
 * The coded forms of a body that is sent more than once, each made when it is first asked
 * for.  Zeroed memory holds none.
 */
struct http_coded {
    struct sio_buf *form[HTTP_N_CODINGS];
};
void http_coded_fini(struct http_coded *c);

/*
 * The body in a coding that changes it; the caller owns it.  kept may be NULL.  NULL: it
 * would not be smaller, or out of memory.
 */
struct sio_buf *http_code(enum http_coding coding, const struct sio_slice *body,
                          size_t n, struct http_coded *kept);

#endif
