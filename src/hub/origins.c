#include <config.h>

#include "hub/origins.h"

#include <stdbool.h>
#include <string.h>

#include "base/mem.h"

#define BLANKS " \t"

/* As browsers write it: scheme and authority, no slash behind them (RFC 6454, 6.2). */
static bool is_origin(const char *s)
{
    const char *host = strstr(s, "://");

    return host && host != s && host[3] != '\0' && !strpbrk(host + 3, "/?#,;\"");
}

int hub_origins_parse(const char *text, const char *const **out, struct sio_diag *diag)
{
    size_t len, max, n = 0;
    const char **list;
    char *copy, *rest;

    *out = NULL;
    if (!text)
        return SIO_OK;
    len = strlen(text) + 1;
    max = len / 2 + 1; /* items, and the NULL behind them */
    list = mem_alloc(max * sizeof(*list) + len);
    if (!list)
        return sio_diag_set(diag, SIO_ERR_NOMEM, "out of memory");
    copy = (char *)(list + max);
    memcpy(copy, text, len);
    for (char *item = strtok_r(copy, BLANKS, &rest); item;
         item = strtok_r(NULL, BLANKS, &rest)) {
        if (!is_origin(item)) {
            sio_diag_set(diag, SIO_ERR_INVAL, "origins: \"%s\" is not an origin", item);
            mem_free(list);
            return SIO_ERR_INVAL;
        }
        list[n++] = item;
    }
    *out = list;
    return SIO_OK;
}
