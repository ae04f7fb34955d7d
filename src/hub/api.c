#include <config.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/json.h"
#include "base/str.h"
#include "hub/hub_impl.h"

#define JSON_TYPE "application/json"

struct sio_str hub_key(char *key, const char *prefix, struct sio_str ip)
{
    size_t len = strlen(prefix);

    memcpy(key, prefix, len);
    memcpy(key + len, ip.ptr, ip.len);
    return (struct sio_str){key, len + ip.len};
}

/*
 * Replies.
 */

#define ERROR_BODY(text) SIO_STR("{\"success\":false,\"error\":\"" text "\"}")

struct sio_str hub_api_error_body(int status)
{
    switch (status) {
    case 400: return ERROR_BODY("Petición no válida");
    case 404: return ERROR_BODY("No encontrado");
    case 405: return ERROR_BODY("Método no permitido");
    case 408: return ERROR_BODY("Tiempo de espera agotado");
    case 413: return ERROR_BODY("Petición demasiado grande");
    case 414: return ERROR_BODY("Dirección demasiado larga");
    case 431: return ERROR_BODY("Cabeceras demasiado grandes");
    case 503: return ERROR_BODY("Servidor ocupado");
    default: return ERROR_BODY("Error interno");
    }
}

void hub_api_reply(struct http_request *r, struct wbuf *w)
{
    hub_api_reply_text(r, JSON_TYPE, w);
}

void hub_api_reply_text(struct http_request *r, const char *type, struct wbuf *w)
{
    struct sio_buf *b = wbuf_take(w);
    struct sio_slice body;

    wbuf_fini(w);
    if (!b) {
        http_reply_error(r, 500, "Error interno");
        return;
    }
    body = sio_slice_of(b);
    http_reply_field(r, "Cache-Control", SIO_STR("no-store"));
    http_reply_compress(r, HUB_COMPRESS_MIN, NULL);
    http_reply(r, 200, type, &body, 1);
    sio_buf_unref(b);
}

void hub_api_reply_message(struct http_request *r, struct wbuf *text,
                           const char *archivo)
{
    struct wbuf w;

    wbuf_init(&w, HUB_REPLY_MAX);
    wbuf_add_cstr(&w, "{\"success\":true,\"message\":");
    json_write_string(&w, wbuf_str(text));
    if (archivo) {
        wbuf_add_cstr(&w, ",\"archivo\":");
        json_write_string(&w, sio_str_from(archivo));
    }
    wbuf_add_byte(&w, '}');
    if (text->error < 0)
        w.error = text->error;
    wbuf_fini(text);
    hub_api_reply(r, &w);
}

/*
 * What proxies in front say of the client.  The last one adds to the right, so the
 * n-th from there is what the farthest that is trusted saw.
 */

struct sio_str hub_api_client_address(const struct hub *hub, struct http_request *r,
                                      char out[NET_ADDR_SIZE])
{
    struct sio_str list = http_request_field(r, "X-Forwarded-For");
    uint64_t n = hub->config->trusted_proxies;
    size_t end = list.len;

    while (n > 0 && list.ptr) {
        size_t at = end;

        while (at > 0 && list.ptr[at - 1] != ',')
            at--;
        if (--n == 0 || at == 0)
            return str_trim((struct sio_str){list.ptr + at, end - at});
        end = at - 1;
    }
    net_addr_format(net_conn_peer(http_request_conn(r)), out);
    return sio_str_from(out);
}

bool hub_api_is_secure(const struct hub *hub, struct http_request *r)
{
    struct sio_str proto = http_request_field(r, "X-Forwarded-Proto");

    if (hub->config->trusted_proxies > 0 && proto.ptr)
        return str_ieq(str_trim(proto), SIO_STR("https"));
    return net_conn_is_tls(http_request_conn(r));
}

void hub_api_write_raw(struct wbuf *w, struct sio_str raw, const char *otherwise)
{
    if (raw.ptr)
        wbuf_add_str(w, raw);
    else
        wbuf_add_cstr(w, otherwise);
}

void hub_api_write_time(struct wbuf *w, int64_t wall_us)
{
    char text[CLOCK_LOCAL_SIZE];
    size_t len = clock_format_local(wall_us, text);

    json_write_string(w, (struct sio_str){text, len});
}

/*
 * /api/status, /api/nucs
 */

static const char *redis_text(const struct hub *hub)
{
    switch (store_state(hub->store)) {
    case STORE_UP: return "conectado";
    case STORE_DOWN: return "desconectado";
    case STORE_REFUSED: return "rechaza";
    case STORE_LOCAL: break;
    }
    return "no_configurado";
}

static const char *cluster_text(const struct hub *hub)
{
    if (!hub->cluster)
        return "no_configurado";
    return hub_peers_up(&hub->peers) ? "conectado" : "desconectado";
}

static void on_status(struct http_request *r, void *user)
{
    struct hub *hub = user;
    struct wbuf w;

    wbuf_init(&w, 1024);
    wbuf_addf(&w,
              "{\"status\":\"online\",\"arquitectura\":\"hikvision-style\","
              "\"nucs_conectados\":%zu,\"usar_config_file\":%s,\"redis\":\"%s\","
              "\"cluster\":\"%s\",\"hubs\":%zu,\"timestamp\":",
              hub_registry_n_nucs(&hub->registry), hub->config->file ? "true" : "false",
              redis_text(hub), cluster_text(hub),
              hub->cluster ? hub_peers_n(&hub->peers) : 1);
    hub_api_write_time(&w, clock_wall_us());
    wbuf_add_byte(&w, '}');
    hub_api_reply(r, &w);
}

static void write_nuc(struct wbuf *w, const struct hub_nuc *nuc)
{
    const struct hub_claim *claim = nuc->now;

    wbuf_add_cstr(w, "{\"nuc_id\":");
    json_write_string(w, sio_str_from(nuc->id));
    wbuf_add_cstr(w, ",\"camaras\":");
    if (claim->camaras)
        wbuf_add(w, claim->camaras->data, claim->camaras->len);
    else
        wbuf_add_cstr(w, "[]");
    wbuf_add_cstr(w, ",\"conectado\":true,\"connected_at\":");
    hub_api_write_time(w, claim->connected_us);
    wbuf_addf(w, ",\"last_heartbeat\":%lld.%06d}",
              (long long)(claim->heartbeat_us / 1000000),
              (int)(claim->heartbeat_us % 1000000));
}

static void on_nucs(struct http_request *r, void *user)
{
    struct hub *hub = user;
    struct hub_nuc *nuc;
    const char *comma = "";
    struct wbuf w;

    wbuf_init(&w, HUB_REPLY_MAX);
    wbuf_add_cstr(&w, "{\"success\":true,\"nucs\":[");
    list_for_each (nuc, struct hub_nuc, link, &hub->registry.nucs) {
        wbuf_add_cstr(&w, comma);
        write_nuc(&w, nuc);
        comma = ",";
    }
    wbuf_addf(&w, "],\"total\":%zu}", hub_registry_n_nucs(&hub->registry));
    hub_api_reply(r, &w);
}

int hub_api_add_routes(struct hub *hub, const struct hub_route *table, size_t n)
{
    int rv = SIO_OK;

    for (size_t i = 0; i < n && rv == SIO_OK; i++)
        rv = http_server_route(hub->http, table[i].methods, table[i].pattern,
                               &table[i].handler, hub);
    return rv;
}

int hub_api_route(struct hub *hub)
{
    static const struct hub_route routes[] = {
        {HTTP_GET, "/api/status", {.on_request = on_status}},
        {HTTP_GET, "/api/nucs", {.on_request = on_nucs}},
    };

    return hub_api_add_routes(hub, routes, N_ELEMENTS(routes));
}
