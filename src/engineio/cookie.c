#include <config.h>

#include "engineio/cookie.h"

#include <sioc/engineio.h>

#include "base/buf.h"
#include "base/mem.h"

#define DEFAULT_NAME "io"

static bool is_name(const char *name)
{
    for (const char *p = name; *p; p++)
        if (*p <= ' ' || *p >= 0x7f || strchr("()<>@,;:\\\"/[]?={}", *p))
            return false;
    return *name != '\0';
}

/* What an attribute may hold (RFC 6265, 4.1.1). */
static bool is_value(const char *value)
{
    for (const char *p = value; *p; p++)
        if (*p < ' ' || *p >= 0x7f || *p == ';')
            return false;
    return true;
}

static bool is_same_site(const char *value)
{
    return strcmp(value, "Strict") == 0 || strcmp(value, "Lax") == 0 ||
           strcmp(value, "None") == 0;
}

static int check(const struct eio_cookie *c, struct sio_diag *diag)
{
    if (c->name && !is_name(c->name))
        return sio_diag_set(diag, SIO_ERR_INVAL, "cookie: the name is not a token");
    if ((c->path && !is_value(c->path)) || (c->domain && !is_value(c->domain)))
        return sio_diag_set(diag, SIO_ERR_INVAL, "cookie: bad path or domain");
    if (c->same_site && !is_same_site(c->same_site))
        return sio_diag_set(diag, SIO_ERR_INVAL,
                            "cookie: same_site is \"Strict\", \"Lax\" or \"None\"");
    /* Browsers drop it otherwise. */
    if (c->same_site && strcmp(c->same_site, "None") == 0 && !c->secure)
        return sio_diag_set(diag, SIO_ERR_INVAL,
                            "cookie: same_site \"None\" needs secure");
    return SIO_OK;
}

int eio_cookie_make(const struct eio_cookie *c, char **out, struct sio_diag *diag)
{
    struct sio_str text;
    struct wbuf w;
    int rv = check(c, diag);

    if (rv < 0)
        return rv;
    wbuf_init(&w, UINT32_MAX);
    wbuf_addf(&w, "%s=; Path=%s", c->name ? c->name : DEFAULT_NAME,
              c->path ? c->path : "/");
    if (c->domain)
        wbuf_addf(&w, "; Domain=%s", c->domain);
    if (c->max_age_s > 0)
        wbuf_addf(&w, "; Max-Age=%u", c->max_age_s);
    if (c->http_only)
        wbuf_add_str(&w, SIO_STR("; HttpOnly"));
    if (c->secure)
        wbuf_add_str(&w, SIO_STR("; Secure"));
    wbuf_addf(&w, "; SameSite=%s", c->same_site ? c->same_site : "Lax");
    text = wbuf_str(&w);
    *out = w.error < 0 ? NULL : mem_strndup(text.ptr, text.len);
    wbuf_fini(&w);
    return *out ? SIO_OK : sio_diag_set(diag, SIO_ERR_NOMEM, "out of memory");
}

void eio_cookie_add(struct http_request *r, const char *cookie, const char *sid)
{
    size_t at = strcspn(cookie, "=") + 1;
    struct wbuf w;

    wbuf_init(&w, UINT32_MAX);
    wbuf_add(&w, cookie, at);
    wbuf_add_cstr(&w, sid);
    wbuf_add_cstr(&w, cookie + at);
    if (w.error == SIO_OK)
        http_reply_field(r, "Set-Cookie", wbuf_str(&w));
    wbuf_fini(&w);
}
