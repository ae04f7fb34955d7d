#include <config.h>

#include <ifaddrs.h>
#include <net/if.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/json.h"
#include "hub/hub_impl.h"
#include "net/conn.h"

/*
 * /api/ip: the addresses that this machine has.  Nobody outside is asked, so a public
 * one is known only where an interface has it.
 */

enum address_kind {
    IP_LOCAL,
    IP_PUBLICA,
    IP_TAILSCALE,
    IP_WIREGUARD,
    IP_ZEROTIER,
    N_IPS
};

static const char *const address_names[N_IPS] = {
    [IP_LOCAL] = "local",         [IP_PUBLICA] = "publica",
    [IP_TAILSCALE] = "tailscale", [IP_WIREGUARD] = "wireguard",
    [IP_ZEROTIER] = "zerotier",
};

/* RFC 1918, link-local, and what carriers share (RFC 6598). */
static bool is_private(const struct sockaddr_in *in)
{
    uint32_t a = ntohl(in->sin_addr.s_addr);

    return a >> 24 == 10 || a >> 20 == 0xac1 || a >> 16 == 0xc0a8 ||
           a >> 16 == 0xa9fe || a >> 22 == 0x191;
}

static enum address_kind kind_of(const struct ifaddrs *i)
{
    if (strncmp(i->ifa_name, "tailscale", 9) == 0)
        return IP_TAILSCALE;
    if (strncmp(i->ifa_name, "wg", 2) == 0)
        return IP_WIREGUARD;
    if (strncmp(i->ifa_name, "zt", 2) == 0)
        return IP_ZEROTIER;
    return is_private((const struct sockaddr_in *)(const void *)i->ifa_addr)
               ? IP_LOCAL
               : IP_PUBLICA;
}

/* The first IPv4 address of each kind; "" where there is none. */
static void find_addresses(char out[N_IPS][NET_ADDR_SIZE])
{
    struct ifaddrs *all;

    for (size_t i = 0; i < N_IPS; i++)
        out[i][0] = '\0';
    if (getifaddrs(&all) < 0)
        return;
    for (const struct ifaddrs *i = all; i; i = i->ifa_next) {
        struct net_addr addr;
        char *text;

        if (!i->ifa_addr || i->ifa_addr->sa_family != AF_INET ||
            !(i->ifa_flags & IFF_UP) || (i->ifa_flags & IFF_LOOPBACK))
            continue;
        text = out[kind_of(i)];
        if (text[0] != '\0')
            continue;
        net_addr_set(&addr, i->ifa_addr, sizeof(struct sockaddr_in));
        net_addr_format(&addr, text);
    }
    freeifaddrs(all);
}

static void write_text_or_null(struct wbuf *w, const char *text)
{
    if (text && text[0] != '\0')
        json_write_string(w, sio_str_from(text));
    else
        wbuf_add_cstr(w, "null");
}

static void on_ip(struct http_request *r, void *user)
{
    static const enum address_kind order[] = {IP_TAILSCALE, IP_ZEROTIER, IP_LOCAL,
                                              IP_PUBLICA};
    const struct hub *hub = user;
    char ips[N_IPS][NET_ADDR_SIZE];
    const char *best = "";
    char url[NET_ADDR_SIZE + 32];
    struct wbuf w;

    find_addresses(ips);
    for (size_t i = 0; i < N_ELEMENTS(order) && best[0] == '\0'; i++)
        best = ips[order[i]];
    snprintf(url, sizeof(url), "%s://%s:%d", hub->config->tls_cert ? "https" : "http",
             best, hub->port);
    wbuf_init(&w, HUB_REPLY_MAX);
    wbuf_add_cstr(&w, "{\"success\":true,\"ips\":{");
    for (size_t i = 0; i < N_IPS; i++) {
        wbuf_addf(&w, "%s\"%s\":", i > 0 ? "," : "", address_names[i]);
        write_text_or_null(&w, ips[i]);
    }
    wbuf_add_cstr(&w, "},\"ip_recomendada\":");
    write_text_or_null(&w, best);
    wbuf_add_cstr(&w, ",\"url_recomendada\":");
    write_text_or_null(&w, best[0] != '\0' ? url : NULL);
    wbuf_add_cstr(&w, ",\"timestamp\":");
    hub_api_write_time(&w, clock_wall_us());
    wbuf_add_byte(&w, '}');
    hub_api_reply(r, &w);
}

/*
 * What is configured.  Tokens and addresses of the VPN are nobody's business.
 */

static const char *mode_of(const struct hub_config *c)
{
    return c->n_cameras > 0 ? "configurado" : "automatico";
}

static void write_ips(struct wbuf *w, const struct hub_config *c)
{
    wbuf_add_byte(w, '[');
    for (size_t i = 0; i < c->n_cameras; i++) {
        wbuf_add_cstr(w, i > 0 ? "," : "");
        json_write_string(w, sio_str_from(c->cameras[i].ip));
    }
    wbuf_add_byte(w, ']');
}

static void write_details(struct wbuf *w, const struct hub_config *c)
{
    char nombre[16 + HUB_ID_MAX];

    wbuf_add_byte(w, '[');
    for (size_t i = 0; i < c->n_cameras; i++) {
        const struct hub_camera_config *camera = &c->cameras[i];

        snprintf(nombre, sizeof(nombre), "Cámara %s", camera->ip);
        wbuf_addf(w, "%s{\"ip\":", i > 0 ? "," : "");
        json_write_string(w, sio_str_from(camera->ip));
        wbuf_add_cstr(w, ",\"nombre\":");
        json_write_string(w, sio_str_from(camera->nombre ? camera->nombre : nombre));
        wbuf_add_cstr(w, ",\"nuc\":");
        write_text_or_null(w, camera->nuc);
        wbuf_add_byte(w, '}');
    }
    wbuf_add_byte(w, ']');
}

static void on_configuradas(struct http_request *r, void *user)
{
    const struct hub_config *c = ((const struct hub *)user)->config;
    struct wbuf w;

    wbuf_init(&w, HUB_REPLY_MAX);
    wbuf_add_cstr(&w, "{\"success\":true,\"camaras_configuradas\":");
    write_ips(&w, c);
    wbuf_add_cstr(&w, ",\"camaras_detalladas\":");
    write_details(&w, c);
    wbuf_addf(&w, ",\"modo\":\"%s\",\"total\":%zu,\"usando_config_file\":%s}",
              mode_of(c), c->n_cameras, c->file ? "true" : "false");
    hub_api_reply(r, &w);
}

static void write_nucs(struct wbuf *w, const struct hub_config *c)
{
    wbuf_add_byte(w, '[');
    for (size_t i = 0; i < c->n_nucs; i++) {
        wbuf_addf(w, "%s{\"id\":", i > 0 ? "," : "");
        json_write_string(w, sio_str_from(c->nucs[i].id));
        wbuf_add_cstr(w, ",\"url\":null}"); /* agents dial: they have no address */
    }
    wbuf_addf(w, "],\"total\":%zu", c->n_nucs);
}

static void on_configuracion(struct http_request *r, void *user)
{
    const struct hub_config *c = ((const struct hub *)user)->config;
    struct wbuf w;

    wbuf_init(&w, HUB_REPLY_MAX);
    wbuf_add_cstr(&w, "{\"success\":true,\"camaras\":{\"configuradas\":");
    write_ips(&w, c);
    wbuf_addf(&w, ",\"total\":%zu", c->n_cameras);
    if (c->file) {
        wbuf_add_cstr(&w, ",\"detalladas\":");
        write_details(&w, c);
    }
    wbuf_add_cstr(&w, "},\"nucs\":{\"nucs\":");
    write_nucs(&w, c);
    wbuf_addf(&w, "},\"modo\":\"%s\",\"usando_config_file\":%s}",
              c->file ? mode_of(c) : "variables_entorno", c->file ? "true" : "false");
    hub_api_reply(r, &w);
}

/* Of the older server's other mode, in which it asked NUCs by itself. */
static void on_test_nuc(struct http_request *r, void *user)
{
    (void)user;
    http_reply_error(r, 400, "No está en modo proxy");
}

int hub_info_route(struct hub *hub)
{
    static const struct hub_route routes[] = {
        {HTTP_GET, "/api/ip", {.on_request = on_ip}},
        {HTTP_GET, "/api/camaras/configuradas", {.on_request = on_configuradas}},
        {HTTP_GET, "/api/configuracion", {.on_request = on_configuracion}},
        {HTTP_GET, "/api/test/nuc", {.on_request = on_test_nuc}},
    };

    return hub_api_add_routes(hub, routes, N_ELEMENTS(routes));
}
