#include <config.h>

#include "socketio/describe.h"

#include <time.h>

#include "base/json.h"
#include "base/list.h"
#include "base/str.h"
#include "socketio/query.h"

/* Fields are few and bounded in number (http/parser.h). */
static bool came_before(const struct eio_session *s, size_t i, struct sio_str name)
{
    struct sio_str other, value;

    for (size_t j = 0; j < i && eio_session_field_at(s, j, &other, &value); j++)
        if (str_ieq(other, name))
            return true;
    return false;
}

static bool is_secret(struct sio_str name)
{
    return str_ieq(name, SIO_STR("cookie")) ||
           str_ieq(name, SIO_STR("authorization")) ||
           str_ieq(name, SIO_STR("proxy-authorization"));
}

/* A field's name is a token: no character of it has to be escaped. */
static void write_lower(struct wbuf *w, struct sio_str name)
{
    wbuf_add_byte(w, '"');
    for (size_t i = 0; i < name.len; i++) {
        char c = name.ptr[i];

        wbuf_add_byte(w, (uint8_t)(c >= 'A' && c <= 'Z' ? c - 'A' + 'a' : c));
    }
    wbuf_add_byte(w, '"');
}

static void write_headers(struct wbuf *w, const struct eio_session *s)
{
    struct sio_str name, value;
    const char *comma = "";

    wbuf_add_cstr(w, "{\"headers\":{");
    for (size_t i = 0; eio_session_field_at(s, i, &name, &value); i++) {
        if (is_secret(name) || came_before(s, i, name))
            continue;
        wbuf_add_cstr(w, comma);
        write_lower(w, name);
        wbuf_add_byte(w, ':');
        json_write_string(w, value);
        comma = ",";
    }
    wbuf_add_byte(w, '}');
}

/* Parameters in which applications are known to carry secrets. */
static bool is_secret_parameter(struct sio_str raw)
{
    static const char *const names[] = {"access_token", "api_key",  "apikey", "auth",
                                        "key",          "password", "secret", "token"};
    char text[3 * 16]; /* decoded it is no longer than raw */
    struct sio_str name = {text, 0};

    if (raw.len > sizeof(text))
        return false;
    name.len = str_percent_decode(raw, text, true);
    for (size_t i = 0; i < N_ELEMENTS(names); i++)
        if (str_ieq(name, sio_str_from(names[i])))
            return true;
    return false;
}

/* The same query without them. */
static void write_public(struct wbuf *w, struct sio_str query)
{
    while (query.ptr) {
        struct sio_str parameter = str_cut(&query, '&');
        struct sio_str rest = parameter;

        if (is_secret_parameter(str_cut(&rest, '=')))
            continue;
        if (w->len > 0)
            wbuf_add_byte(w, '&');
        wbuf_add_str(w, parameter);
    }
}

static void write_query(struct wbuf *w, struct sio_str query)
{
    size_t at;

    wbuf_add_cstr(w, ",\"query\":");
    at = w->len;
    if (sio_query_write(query, w) < 0 && w->error == SIO_OK) {
        w->len = at;
        wbuf_add_cstr(w, "{}");
    }
}

/* As a browser's Date prints itself. */
static void write_time(struct wbuf *w, int64_t time_ms)
{
    time_t seconds = (time_t)(time_ms / 1000);
    char text[64] = "";
    struct tm tm;

    if (gmtime_r(&seconds, &tm))
        strftime(text, sizeof(text), "%a %b %d %Y %H:%M:%S GMT+0000", &tm);
    wbuf_addf(w, ",\"issued\":%lld,\"time\":\"%s\"", (long long)time_ms, text);
}

static void write_url(struct wbuf *w, const char *path, struct sio_str query)
{
    struct wbuf url;

    wbuf_init(&url, UINT32_MAX);
    wbuf_add_cstr(&url, path);
    wbuf_add_byte(&url, '?');
    wbuf_add_str(&url, query);
    wbuf_add_cstr(w, ",\"url\":");
    json_write_string(w, wbuf_str(&url));
    if (w->error == SIO_OK)
        w->error = url.error;
    wbuf_fini(&url);
}

int sio_describe_handshake(struct wbuf *w, const struct eio_session *s,
                           const char *path, bool hide_secrets)
{
    const struct eio_handshake *h = eio_session_handshake(s);
    struct sio_str query = h->query;
    struct wbuf public;

    wbuf_init(&public, UINT32_MAX);
    if (hide_secrets) {
        write_public(&public, query);
        query = wbuf_str(&public);
    }
    write_headers(w, s);
    write_query(w, query);
    wbuf_add_cstr(w, ",\"address\":");
    json_write_string(w, h->address);
    wbuf_addf(w, ",\"secure\":%s,\"xdomain\":%s", h->secure ? "true" : "false",
              eio_session_field(s, "origin").ptr ? "true" : "false");
    write_time(w, h->time_ms);
    write_url(w, path, query);
    wbuf_add_byte(w, '}');
    if (w->error == SIO_OK)
        w->error = public.error;
    wbuf_fini(&public);
    return w->error;
}
