#include <config.h>

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <sioc/error.h>

const char *sio_strerror(int error)
{
    switch ((enum sio_error)error) {
    case SIO_OK: return "no error";
    case SIO_ERR_NOMEM: return "out of memory";
    case SIO_ERR_INVAL: return "invalid argument";
    case SIO_ERR_PARSE: return "syntax error";
    case SIO_ERR_PROTOCOL: return "protocol error";
    case SIO_ERR_TOO_BIG: return "too large";
    case SIO_ERR_CLOSED: return "closed";
    case SIO_ERR_TIMEOUT: return "timed out";
    case SIO_ERR_IO: return "input/output error";
    case SIO_ERR_TLS: return "TLS error";
    case SIO_ERR_RESOLVE: return "name not resolved";
    case SIO_ERR_REFUSED: return "refused";
    case SIO_ERR_NOT_FOUND: return "not found";
    case SIO_ERR_EXISTS: return "exists already";
    case SIO_ERR_FULL: return "no room";
    case SIO_ERR_UNSUPPORTED: return "not supported";
    case SIO_ERR_AGAIN: return "try again";
    }
    return "unknown error";
}

int sio_diag_set(struct sio_diag *diag, int error, const char *fmt, ...)
{
    va_list ap;

    if (diag) {
        va_start(ap, fmt);
        vsnprintf(diag->text, sizeof(diag->text), fmt, ap);
        va_end(ap);
    }
    return error;
}

int sio_diag_errno(struct sio_diag *diag, int error, const char *fmt, ...)
{
    int saved = errno;
    char reason[128];
    size_t len;
    va_list ap;

    if (!diag)
        return error;
    va_start(ap, fmt);
    vsnprintf(diag->text, sizeof(diag->text), fmt, ap);
    va_end(ap);
    len = strlen(diag->text);
    snprintf(diag->text + len, sizeof(diag->text) - len, ": %s",
             strerror_r(saved, reason, sizeof(reason)));
    errno = saved;
    return error;
}
