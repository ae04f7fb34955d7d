/*
 * client_config.c - the client's options: checked, copied, and what was left out filled in
 */
#include <config.h>

#include "socketio/client_impl.h"

#include "base/buf.h"
#include "base/mem.h"
#include "base/str.h"
#include "http/url.h"

#define DEFAULT_BYTES      (16 * 1024 * 1024)
#define DEFAULT_TIMEOUT_MS 20000
#define DEFAULT_DELAY_MS   1000
#define DEFAULT_MAX_MS     5000
#define DEFAULT_ACK_MS     10000 /* of a try, where there are retries */
#define DEFAULT_JITTER     50
#define MAX_FIELDS_BYTES   16384

/* Bytes that may stand in a request line. */
static bool is_visible(const char *s)
{
    for (; *s; s++)
        if (*s <= ' ' || *s > '~' || *s == '#')
            return false;
    return true;
}

static int set_address(struct sio_client_config *g, const char *text,
                       struct sio_diag *diag)
{
    struct http_url url;

    if (!text || http_url_parse(sio_str_from(text), &url, diag) < 0)
        return text ? SIO_ERR_INVAL : sio_diag_set(diag, SIO_ERR_INVAL, "no URL given");
    if (!str_ieq(url.scheme, SIO_STR("http")) &&
        !str_ieq(url.scheme, SIO_STR("https")) && !str_ieq(url.scheme, SIO_STR("ws")) &&
        !str_ieq(url.scheme, SIO_STR("wss")))
        return sio_diag_set(diag, SIO_ERR_INVAL,
                            "the URL must begin with http, https, ws or wss");
    if (url.user.ptr)
        return sio_diag_set(diag, SIO_ERR_INVAL, "the URL must not hold a user name");
    if (url.path.len > 1 || url.query.ptr)
        return sio_diag_set(diag, SIO_ERR_INVAL,
                            "the URL must end behind the host and port");
    g->port = url.port;
    g->host = mem_strndup(url.host.ptr, url.host.len);
    return g->host ? SIO_OK : sio_diag_set(diag, SIO_ERR_NOMEM, "out of memory");
}

static int set_tls(struct sio_client_config *g, const struct sio_client_options *o,
                   struct sio_diag *diag)
{
    struct net_tls_client_options t = {
        .ca_file = o->tls_ca_file,
        .cert_file = o->tls_cert_file,
        .key_file = o->tls_key_file,
        .insecure = o->tls_insecure,
        .only_tls_1_3 = o->tls_min_version == SIO_TLS_1_3,
    };
    struct http_url url;

    if (http_url_parse(sio_str_from(o->url), &url, diag) < 0)
        return SIO_ERR_INVAL;
    if (!url.tls)
        return SIO_OK;
    g->tls = net_tls_client_new(&t, diag);
    if (!g->tls)
        return SIO_ERR_TLS;
    if (!o->tls_server_name)
        return SIO_OK;
    g->tls_name = mem_strndup(o->tls_server_name, strlen(o->tls_server_name));
    return g->tls_name ? SIO_OK : sio_diag_set(diag, SIO_ERR_NOMEM, "out of memory");
}

static int set_proxy(struct sio_client_config *g, const char *url,
                     struct sio_diag *diag)
{
    struct sio_diag why = {.text = ""};

    if (!url)
        return http_proxy_from_env(g->tls != NULL, g->host, g->port, &g->proxy, diag);
    if (!*url)
        return SIO_OK;
    g->proxy = http_proxy_new(sio_str_from(url), &why);
    return g->proxy ? SIO_OK : sio_diag_set(diag, SIO_ERR_INVAL, "proxy: %s", why.text);
}

/* The extra fields as lines. */
static int set_fields(struct sio_client_config *g, const char *const *fields,
                      struct sio_diag *diag)
{
    struct wbuf w;
    struct sio_str lines;

    wbuf_init(&w, MAX_FIELDS_BYTES);
    for (; fields && *fields; fields++) {
        const char *colon = strchr(*fields, ':');

        if (!colon || colon == *fields || strpbrk(*fields, "\r\n")) {
            wbuf_fini(&w);
            return sio_diag_set(diag, SIO_ERR_INVAL,
                                "extra field: not \"Name: value\"");
        }
        wbuf_addf(&w, "%s\r\n", *fields);
    }
    lines = wbuf_str(&w);
    if (w.error == SIO_OK)
        g->fields = mem_strndup(lines.len ? lines.ptr : "", lines.len);
    wbuf_fini(&w);
    return g->fields ? SIO_OK
                     : sio_diag_set(diag, SIO_ERR_NOMEM, "extra fields: too much");
}

static int set_target(struct sio_client_config *g, const struct sio_client_options *o,
                      struct sio_diag *diag)
{
    const char *path = o->path ? o->path : "/socket.io/";
    size_t len = strlen(path);

    if (len < 1 || path[0] != '/' || path[len - 1] != '/' || !is_visible(path) ||
        strchr(path, '?'))
        return sio_diag_set(diag, SIO_ERR_INVAL,
                            "the path must begin and end with '/'");
    if (o->query && !is_visible(o->query))
        return sio_diag_set(diag, SIO_ERR_INVAL, "the query is not encoded");
    g->path = mem_strndup(path, len);
    g->query = mem_strndup(o->query ? o->query : "", o->query ? strlen(o->query) : 0);
    return g->path && g->query ? SIO_OK
                               : sio_diag_set(diag, SIO_ERR_NOMEM, "out of memory");
}

static int set_deflate(struct sio_client_config *g, const struct eio_deflate_options *o,
                       struct sio_diag *diag)
{
    if (o->level < 0 || o->level > 9)
        return sio_diag_set(diag, SIO_ERR_INVAL, "deflate.level has to be 1 to 9");
    if (o->window_bits != 0 && (o->window_bits < 9 || o->window_bits > 15))
        return sio_diag_set(diag, SIO_ERR_INVAL,
                            "deflate.window_bits has to be 9 to 15");
    g->deflate = *o;
    return SIO_OK;
}

static int set_delays(struct sio_client_config *g, const struct sio_client_options *o,
                      struct sio_diag *diag)
{
    g->connect_timeout_ms =
        o->connect_timeout_ms ? o->connect_timeout_ms : DEFAULT_TIMEOUT_MS;
    g->delay_ms = o->reconnect_delay_ms ? o->reconnect_delay_ms : DEFAULT_DELAY_MS;
    g->delay_max_ms =
        o->reconnect_delay_max_ms ? o->reconnect_delay_max_ms : DEFAULT_MAX_MS;
    g->max_attempts = o->reconnect_attempts;
    g->jitter_percent = DEFAULT_JITTER;
    if (o->reconnect_jitter_percent)
        g->jitter_percent =
            o->reconnect_jitter_percent < 0 ? 0 : (uint32_t)o->reconnect_jitter_percent;
    if (g->jitter_percent > 100)
        return sio_diag_set(diag, SIO_ERR_INVAL, "the jitter is more than 100 percent");
    g->retries = o->retries;
    g->ack_timeout_ms = o->ack_timeout_ms;
    if (g->retries && !g->ack_timeout_ms)
        g->ack_timeout_ms = DEFAULT_ACK_MS;
    g->no_reconnect = o->no_reconnect;
    g->rejoin = o->reconnect_after_server_disconnect;
    return SIO_OK;
}

int sio_client_config_set(struct sio_client_config *g,
                          const struct sio_client_options *o, struct sio_diag *diag)
{
    int rv = set_address(g, o->url, diag);

    if (rv == SIO_OK)
        rv = set_target(g, o, diag);
    if (rv == SIO_OK)
        rv = set_fields(g, o->extra_fields, diag);
    if (rv == SIO_OK)
        rv = set_tls(g, o, diag);
    if (rv == SIO_OK)
        rv = set_proxy(g, o->proxy, diag);
    if (rv == SIO_OK)
        rv = set_delays(g, o, diag);
    if (rv == SIO_OK)
        rv = set_deflate(g, &o->deflate, diag);
    g->transports = o->transports;
    g->try_all = o->try_all_transports;
    g->offline = o->offline;
    g->max_queue_bytes = o->max_queue_bytes ? o->max_queue_bytes : DEFAULT_BYTES;
    g->max_message = o->max_message ? o->max_message : DEFAULT_BYTES;
    return rv;
}

void sio_client_config_fini(struct sio_client_config *g)
{
    net_tls_unref(g->tls);
    http_proxy_unref(g->proxy);
    mem_free(g->host);
    mem_free(g->tls_name);
    mem_free(g->path);
    mem_free(g->query);
    mem_free(g->fields);
}
