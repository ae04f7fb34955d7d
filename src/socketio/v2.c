#include <config.h>

#include "socketio/v2.h"

#include <string.h>

#include "base/json.h"
#include "base/mem.h"
#include "base/str.h"
#include "base/utf8.h"
#include "engineio/server.h"
#include "socketio/client_conn.h"
#include "socketio/namespace.h"

#define MAX_PARAMETERS 64

struct parameter {
    struct sio_str name;
    struct sio_str value;
};

struct sio_str sio_v2_name(struct sio_str nsp)
{
    return str_cut(&nsp, '?');
}

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

int sio_v2_auth(struct sio_str nsp, struct wbuf *w)
{
    struct parameter list[MAX_PARAMETERS];
    char *text;
    int rv;

    str_cut(&nsp, '?');
    if (!nsp.ptr)
        return SIO_OK;
    /* Decoding only shortens. */
    text = mem_raw(nsp.len + 1);
    if (!text)
        return SIO_ERR_NOMEM;
    rv = cut_query(nsp, text, list);
    if (rv >= 0)
        rv = write_parameters(w, list, rv);
    mem_free(text);
    return rv;
}

void sio_v2_refusal(struct wbuf *w, const char *message, struct sio_str data)
{
    if (data.ptr)
        wbuf_add_str(w, data);
    else
        json_write_string(w, sio_str_from(message));
}

size_t sio_v2_id_room(const struct sio_namespace *ns)
{
    struct sio_str name = sio_namespace_name(ns);

    return name.len > 1 ? name.len + 1 + RANDOM_ID_LEN : 0;
}

void sio_v2_id_set(struct sio_socket *s)
{
    struct sio_str name = sio_namespace_name(s->ns);
    struct sio_str sid = eio_session_sid(s->conn->session);

    s->has_v2_id = sio_v2_id_room(s->ns) > 0;
    if (!s->has_v2_id) {
        memcpy(s->id, sid.ptr, RANDOM_ID_LEN);
        return;
    }
    memcpy(s->v2_id, name.ptr, name.len);
    s->v2_id[name.len] = '#';
    memcpy(s->v2_id + name.len + 1, sid.ptr, RANDOM_ID_LEN);
}
