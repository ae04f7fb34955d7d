#include <config.h>

#include "socketio/query.h"

#include "base/json.h"
#include "base/mem.h"
#include "base/str.h"
#include "base/utf8.h"

#define MAX_PARAMETERS 64

struct parameter {
    struct sio_str name;
    struct sio_str value;
};

/* Decodes to *p, which moves behind it. */
static struct sio_str decode(struct sio_str raw, char **p)
{
    struct sio_str text = {*p, raw.ptr ? str_percent_decode(raw, *p, true) : 0};

    *p += text.len;
    return text;
}

/* Takes a query apart.  Returns the number of parameters, or an error. */
static int cut_query(struct sio_str query, char *text, struct parameter *out)
{
    int n = 0;

    while (query.ptr) {
        struct sio_str value = str_cut(&query, '&');
        struct sio_str name = str_cut(&value, '=');

        if (name.len == 0 && !value.ptr)
            continue;
        if (n == MAX_PARAMETERS)
            return SIO_ERR_TOO_BIG;
        out[n].name = decode(name, &text);
        out[n].value = decode(value, &text);
        if (!utf8_check(out[n].name.ptr, out[n].name.len) ||
            !utf8_check(out[n].value.ptr, out[n].value.len))
            return SIO_ERR_PARSE;
        n++;
    }
    return n;
}

static bool comes_again(const struct parameter *list, int n, int i)
{
    for (int j = i + 1; j < n; j++)
        if (str_eq(list[i].name, list[j].name))
            return true;
    return false;
}

static int write_parameters(struct wbuf *w, const struct parameter *list, int n)
{
    const char *comma = "";

    wbuf_add_byte(w, '{');
    for (int i = 0; i < n; i++) {
        if (comes_again(list, n, i))
            continue;
        wbuf_add_cstr(w, comma);
        json_write_string(w, list[i].name);
        wbuf_add_byte(w, ':');
        json_write_string(w, list[i].value);
        comma = ",";
    }
    wbuf_add_byte(w, '}');
    return w->error;
}

int sio_query_write(struct sio_str query, struct wbuf *w)
{
    struct parameter list[MAX_PARAMETERS];
    char *text = mem_raw(query.len + 1); /* decoding only shortens */
    int rv;

    if (!text)
        return SIO_ERR_NOMEM;
    rv = cut_query(query, text, list);
    if (rv >= 0)
        rv = write_parameters(w, list, rv);
    mem_free(text);
    return rv;
}
