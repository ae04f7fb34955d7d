/*
 * sioc/error.h - the errors of all layers, and the one sentence for an operator
 */
#ifndef SIOC_ERROR_H
#define SIOC_ERROR_H

#ifdef __cplusplus
extern "C" {
#endif

#if defined(__GNUC__)
#define SIOC_API               __attribute__((visibility("default")))
#define SIOC_PRINTF(fmt, args) __attribute__((format(printf, fmt, args)))
#else
#define SIOC_API
#define SIOC_PRINTF(fmt, args)
#endif

/* Functions return SIO_OK or one of the negative values. */
enum sio_error {
    SIO_OK = 0,
    SIO_ERR_NOMEM = -1,    /* out of memory */
    SIO_ERR_INVAL = -2,    /* the caller's argument is wrong */
    SIO_ERR_PARSE = -3,    /* bytes that break the syntax */
    SIO_ERR_PROTOCOL = -4, /* well-formed, but not allowed here */
    SIO_ERR_TOO_BIG = -5,  /* a limit was reached */
    SIO_ERR_CLOSED = -6,   /* the object has ended, or the peer has gone */
    SIO_ERR_TIMEOUT = -7,  /* a deadline passed */
    SIO_ERR_IO = -8,       /* the system refused; errno told why */
    SIO_ERR_TLS = -9,      /* handshake or certificate */
    SIO_ERR_RESOLVE = -10, /* no address for that name */
    SIO_ERR_REFUSED = -11, /* the peer said no */
    SIO_ERR_NOT_FOUND = -12,
    SIO_ERR_EXISTS = -13,
    SIO_ERR_FULL = -14, /* a bounded queue has no room */
    SIO_ERR_UNSUPPORTED = -15,
    SIO_ERR_AGAIN = -16, /* not now */
};

/* Returns a constant English phrase for an enum sio_error; never NULL. */
SIOC_API const char *sio_strerror(int error);

/*
 * Room for one sentence that tells an operator what went wrong, such as
 * `nuchubd.conf:12: unknown key "prot"`.  The storage is the caller's; text is
 * always NUL-terminated and cut where it does not fit.
 */
struct sio_diag {
    char text[256];
};

/*
 * Writes the sentence and returns error, so that `return sio_diag_set(...)`
 * reads well.  diag may be NULL.
 */
SIOC_API int sio_diag_set(struct sio_diag *diag, int error, const char *fmt, ...)
    SIOC_PRINTF(3, 4);

/* The same, with ": " and the text of the current errno behind it. */
SIOC_API int sio_diag_errno(struct sio_diag *diag, int error, const char *fmt, ...)
    SIOC_PRINTF(3, 4);

#ifdef __cplusplus
}
#endif
#endif
