#include <config.h>

#include "http/coding.h"

#include "base/str.h"
#include "http/deflate.h"

#define LEVEL  1 /* of replies made in passing: most of the gain for the least time */
#define UNSAID (-1)

/* Thousandths; 0 where it is not a weight (RFC 9110, 12.4.2). */
static int parse_weight(struct sio_str s)
{
    int q, unit = 100;

    if (s.len == 0 || s.len > 5 || (s.ptr[0] != '0' && s.ptr[0] != '1') ||
        (s.len > 1 && s.ptr[1] != '.'))
        return 0;
    q = (s.ptr[0] - '0') * 1000;
    for (size_t i = 2; i < s.len; i++, unit /= 10) {
        if (s.ptr[i] < '0' || s.ptr[i] > '9')
            return 0;
        q += (s.ptr[i] - '0') * unit;
    }
    return q <= 1000 ? q : 0;
}

/* The weight of an item, of which *name becomes the coding's name. */
static int take_weight(struct sio_str item, struct sio_str *name)
{
    struct sio_str rest = item;
    struct sio_str value;

    *name = str_trim(str_cut(&rest, ';'));
    if (!rest.ptr)
        return 1000;
    value = rest;
    if (!str_ieq(str_trim(str_cut(&value, '=')), SIO_STR("q")) || !value.ptr)
        return 0;
    return parse_weight(str_trim(value));
}

struct http_codings http_codings_parse(struct sio_str accept)
{
    int gzip = UNSAID, deflate = UNSAID, identity = UNSAID, others = UNSAID;

    while (accept.ptr) {
        struct sio_str name;
        int q = take_weight(str_cut(&accept, ','), &name);

        if (str_ieq(name, SIO_STR("gzip")) || str_ieq(name, SIO_STR("x-gzip")))
            gzip = q;
        else if (str_ieq(name, SIO_STR("deflate")))
            deflate = q;
        else if (str_ieq(name, SIO_STR("identity")))
            identity = q;
        else if (str_eq_cstr(name, "*"))
            others = q;
    }
    gzip = gzip == UNSAID ? others : gzip;
    deflate = deflate == UNSAID ? others : deflate;
    identity = identity == UNSAID && others == 0 ? 0 : identity;
    if (gzip > 0 && gzip >= deflate && gzip >= identity)
        return (struct http_codings){HTTP_GZIP, identity == 0};
    if (deflate > 0 && deflate >= identity)
        return (struct http_codings){HTTP_DEFLATE, identity == 0};
    return (struct http_codings){HTTP_IDENTITY, identity == 0};
}

const char *http_coding_name(enum http_coding coding)
{
    switch (coding) {
    case HTTP_GZIP: return "gzip";
    case HTTP_DEFLATE: return "deflate";
    case HTTP_IDENTITY: break;
    }
    return "identity";
}

void http_coded_fini(struct http_coded *c)
{
    for (size_t i = 0; i < HTTP_N_CODINGS; i++) {
        sio_buf_unref(c->form[i]);
        c->form[i] = NULL;
    }
}

struct sio_buf *http_code(enum http_coding coding, const struct sio_slice *body,
                          size_t n, struct http_coded *kept)
{
    struct sio_buf *b = kept ? kept->form[coding] : NULL;

    if (b)
        return sio_buf_ref(b);
    b = deflate_whole(coding == HTTP_GZIP ? DEFLATE_GZIP : DEFLATE_ZLIB, LEVEL, body,
                      n);
    if (b && kept)
        kept->form[coding] = sio_buf_ref(b);
    return b;
}
