#include <config.h>

#include "http/proxy.h"

#include <stdlib.h>

#include "base/base64.h"
#include "base/buf.h"
#include "base/list.h"
#include "base/mem.h"
#include "base/str.h"
#include "http/parser.h"
#include "http/url.h"
#include "net/conn.h"

#define MAX_HEAD     (16 * 1024)
#define MAX_FIELDS   100
#define MAX_INTERIM  8 /* 1xx replies before the real one */
#define MAX_REQUEST  8192
#define DEFAULT_PORT 80

struct http_proxy {
    uint32_t refs;
    uint16_t port;
    char *host;
    char *login; /* base64 of user:password; NULL: none */
};

/* Which proxy. */

/* user:password, decoded and then in base64. */
static int set_login(struct http_proxy *p, const struct http_url *u)
{
    size_t max = u->user.len + 1 + u->password.len;
    char *plain = mem_array(max, 1);
    size_t n;
    int rv = SIO_ERR_NOMEM;

    if (!plain)
        return SIO_ERR_NOMEM;
    n = str_percent_decode(u->user, plain, false);
    plain[n++] = ':';
    if (u->password.ptr)
        n += str_percent_decode(u->password, plain + n, false);
    p->login = mem_alloc(base64_encoded_len(n) + 1);
    if (p->login) {
        base64_encode((const uint8_t *)plain, n, p->login);
        rv = SIO_OK;
    }
    mem_free(plain);
    return rv;
}

static struct http_proxy *no_memory(struct http_proxy *p, struct sio_diag *diag)
{
    http_proxy_unref(p);
    sio_diag_set(diag, SIO_ERR_NOMEM, "out of memory");
    return NULL;
}

static struct http_proxy *from_url(const struct http_url *u, struct sio_diag *diag)
{
    struct http_proxy *p = mem_new(struct http_proxy);

    if (!p)
        return no_memory(NULL, diag);
    p->refs = 1;
    p->port = u->port_given ? u->port : DEFAULT_PORT;
    p->host = mem_strndup(u->host.ptr, u->host.len);
    if (!p->host || (u->user.ptr && set_login(p, u) < 0))
        return no_memory(p, diag);
    return p;
}

static bool has_scheme(struct sio_str url)
{
    size_t colon = str_find(url, ':');

    return url.len - colon >= 3 && memcmp(url.ptr + colon, "://", 3) == 0;
}

struct http_proxy *http_proxy_new(struct sio_str url, struct sio_diag *diag)
{
    struct http_proxy *p = NULL;
    struct http_url parts;
    struct wbuf w;

    wbuf_init(&w, MAX_REQUEST);
    if (!has_scheme(url))
        wbuf_add_cstr(&w, "http://");
    wbuf_add_str(&w, url);
    if (w.error < 0)
        sio_diag_set(diag, w.error, "%s", sio_strerror(w.error));
    else if (http_url_parse(wbuf_str(&w), &parts, diag) < 0)
        ; /* diag says why */
    else if (!str_ieq(parts.scheme, SIO_STR("http")))
        sio_diag_set(diag, SIO_ERR_INVAL, "only http:// proxies are supported");
    else
        p = from_url(&parts, diag);
    wbuf_fini(&w);
    return p;
}

struct http_proxy *http_proxy_ref(struct http_proxy *p)
{
    p->refs++;
    return p;
}

void http_proxy_unref(struct http_proxy *p)
{
    if (!p || --p->refs)
        return;
    mem_free(p->login);
    mem_free(p->host);
    mem_free(p);
}

const char *http_proxy_host(const struct http_proxy *p)
{
    return p->host;
}

uint16_t http_proxy_port(const struct http_proxy *p)
{
    return p->port;
}

/* Which servers are reached without one. */

/* Bits in front that two addresses have in common; 0 for two families. */
static unsigned common_bits(const struct net_addr *a, const struct net_addr *b)
{
    bool v4 = a->sa.sa_family == AF_INET;
    const uint8_t *p = v4 ? (const uint8_t *)&a->in.sin_addr : a->in6.sin6_addr.s6_addr;
    const uint8_t *q = v4 ? (const uint8_t *)&b->in.sin_addr : b->in6.sin6_addr.s6_addr;
    unsigned n = v4 ? 32 : 128;

    if (a->sa.sa_family != b->sa.sa_family)
        return 0;
    for (unsigned i = 0; i < n; i++)
        if ((p[i / 8] ^ q[i / 8]) & (0x80 >> i % 8))
            return i;
    return n;
}

static bool parse_address(struct sio_str text, struct net_addr *out)
{
    char copy[NET_ADDR_SIZE];

    if (text.len >= sizeof(copy))
        return false;
    memcpy(copy, text.ptr, text.len);
    copy[text.len] = '\0';
    return net_addr_parse(copy, 0, out);
}

/* An address or a network. */
static bool covers(struct sio_str entry, const struct net_addr *addr)
{
    struct sio_str bits = entry;
    struct sio_str net = str_cut(&bits, '/');
    struct net_addr base;
    unsigned width;
    uint64_t n;

    if (!parse_address(net, &base) || base.sa.sa_family != addr->sa.sa_family)
        return false;
    width = base.sa.sa_family == AF_INET ? 32 : 128;
    n = width;
    if (bits.ptr && str_to_u64(bits, width, &n) < 0)
        return false;
    return common_bits(&base, addr) >= n;
}

/* The name, or one below it. */
static bool is_below(struct sio_str host, struct sio_str name)
{
    struct sio_str tail = host;

    if (name.len > 0 && name.ptr[0] == '.') {
        name.ptr++;
        name.len--;
    }
    if (name.len == 0 || name.len > host.len)
        return false;
    tail.ptr += host.len - name.len;
    tail.len = name.len;
    return str_ieq(tail, name) && (name.len == host.len || tail.ptr[-1] == '.');
}

/* Cuts ":port" and brackets off.  False: the port is another one, or none at all. */
static bool cut_port(struct sio_str *entry, uint16_t port)
{
    bool bracket = entry->len > 0 && entry->ptr[0] == '[';
    size_t end = str_find(*entry, bracket ? ']' : ':');
    struct sio_str name = {entry->ptr + bracket, end - bracket};
    struct sio_str rest = {entry->ptr + end, entry->len - end};
    uint64_t n;

    if (rest.len == 0) /* no port; nor the end of a bracket */
        return !bracket;
    if (bracket) {
        rest.ptr++;
        rest.len--;
    } else if (str_find((struct sio_str){rest.ptr + 1, rest.len - 1}, ':') !=
               rest.len - 1) {
        return true; /* more than one ':': an IPv6 address */
    }
    *entry = name;
    if (rest.len == 0)
        return true;
    rest.ptr++;
    rest.len--;
    return str_to_u64(rest, UINT16_MAX, &n) == SIO_OK && n == port;
}

static bool entry_names(struct sio_str entry, struct sio_str host,
                        const struct net_addr *addr, uint16_t port)
{
    if (str_eq_cstr(entry, "*"))
        return true;
    if (!cut_port(&entry, port))
        return false;
    return addr ? covers(entry, addr) : is_below(host, entry);
}

bool http_proxy_bypassed(struct sio_str list, const char *host, uint16_t port)
{
    struct sio_str name = sio_str_from(host);
    struct net_addr addr;
    bool numeric = net_addr_parse(host, port, &addr);

    if (name.len > 1 && name.ptr[name.len - 1] == '.')
        name.len--;
    for (struct sio_str rest = list; rest.ptr;) {
        struct sio_str entries = str_trim(str_cut(&rest, ','));

        while (entries.ptr) {
            struct sio_str entry = str_cut(&entries, ' ');

            if (entry.len && entry_names(entry, name, numeric ? &addr : NULL, port))
                return true;
        }
    }
    return false;
}

/* The first of the variables that says something. */
static const char *first_set(const char *const *names, size_t n, const char **name)
{
    for (size_t i = 0; i < n; i++) {
        const char *value = secure_getenv(names[i]);

        *name = names[i];
        if (value && *value)
            return value;
    }
    return NULL;
}

int http_proxy_from_env(bool tls, const char *host, uint16_t port,
                        struct http_proxy **out, struct sio_diag *diag)
{
    static const char *const for_tls[] = {"https_proxy", "HTTPS_PROXY", "all_proxy",
                                          "ALL_PROXY"};
    static const char *const for_plain[] = {"http_proxy", "HTTP_PROXY", "all_proxy",
                                            "ALL_PROXY"};
    static const char *const in_cgi[] = {"http_proxy", "all_proxy", "ALL_PROXY"};
    static const char *const exceptions[] = {"no_proxy", "NO_PROXY"};
    const char *name, *url, *list;
    struct sio_diag why = {.text = ""};

    *out = NULL;
    if (tls)
        url = first_set(for_tls, N_ELEMENTS(for_tls), &name);
    else if (secure_getenv("REQUEST_METHOD"))
        url = first_set(in_cgi, N_ELEMENTS(in_cgi), &name);
    else
        url = first_set(for_plain, N_ELEMENTS(for_plain), &name);
    if (!url)
        return SIO_OK;
    *out = http_proxy_new(sio_str_from(url), &why);
    if (!*out)
        return sio_diag_set(diag, SIO_ERR_INVAL, "%s: %s", name, why.text);
    list = first_set(exceptions, N_ELEMENTS(exceptions), &name);
    if (list && http_proxy_bypassed(sio_str_from(list), host, port)) {
        http_proxy_unref(*out);
        *out = NULL;
    }
    return SIO_OK;
}

/* CONNECT. */

struct tunnel {
    struct net_tunnel base;
    struct wbuf request;
    struct http_parser *parser;
    unsigned n_interim;
    bool has_login;
};

static struct tunnel *tunnel_of(struct net_tunnel *t)
{
    return container_of(t, struct tunnel, base);
}

static struct sio_str tunnel_request(struct net_tunnel *base)
{
    return wbuf_str(&tunnel_of(base)->request);
}

static int new_parser(struct tunnel *t)
{
    static const struct http_parser_limits limits = {.max_head = MAX_HEAD,
                                                     .max_fields = MAX_FIELDS};

    http_parser_free(t->parser);
    t->parser = http_parser_new(true, &limits, NULL, NULL);
    return t->parser ? SIO_OK : SIO_ERR_NOMEM;
}

static int refused(const struct tunnel *t, int status, struct sio_diag *diag)
{
    if (status != 407)
        return sio_diag_set(diag, SIO_ERR_REFUSED,
                            "CONNECT was answered with status %d", status);
    return sio_diag_set(diag, SIO_ERR_REFUSED,
                        t->has_login ? "it does not accept the login (status 407)"
                                     : "it wants a login (status 407)");
}

static int failed(const struct tunnel *t, struct sio_diag *diag)
{
    int error = http_parser_error(t->parser);

    if (error == SIO_ERR_PARSE)
        return sio_diag_set(diag, SIO_ERR_PROTOCOL, "the answer is not HTTP/1.1");
    return sio_diag_set(diag, error, "%s",
                        error == SIO_ERR_TOO_BIG ? "the answer is too large"
                                                 : sio_strerror(error));
}

/* A head was read; left bytes are behind it. */
static int on_head(const struct tunnel *t, size_t left, struct sio_diag *diag)
{
    int status = http_parser_head(t->parser)->status;

    if (status / 100 == 1 && status != 101) {
        http_parser_skip_body(t->parser); /* whatever its fields say */
        return 0;
    }
    if (status / 100 != 2)
        return refused(t, status, diag);
    /* Whoever is behind the proxy waits for us to speak. */
    if (left > 0)
        return sio_diag_set(diag, SIO_ERR_PROTOCOL, "more came than an answer");
    return 1;
}

static int on_interim(struct tunnel *t, struct sio_diag *diag)
{
    if (++t->n_interim > MAX_INTERIM)
        return sio_diag_set(diag, SIO_ERR_TOO_BIG, "too many interim answers");
    return new_parser(t);
}

static int tunnel_answer(struct net_tunnel *base, const uint8_t *data, size_t len,
                         struct sio_diag *diag)
{
    struct tunnel *t = tunnel_of(base);
    enum http_parser_step step;
    int rv = 0;

    do {
        size_t used;

        step = http_parser_feed(t->parser, data, len, &used);
        data += used;
        len -= used;
        switch (step) {
        case HTTP_PARSER_MORE: return 0;
        case HTTP_PARSER_HEAD: rv = on_head(t, len, diag); break;
        case HTTP_PARSER_DONE: rv = on_interim(t, diag); break;
        case HTTP_PARSER_FAILED: return failed(t, diag);
        }
    } while (rv == 0 && (len > 0 || step == HTTP_PARSER_HEAD));
    return rv;
}

static void tunnel_free(struct net_tunnel *base)
{
    struct tunnel *t = tunnel_of(base);

    http_parser_free(t->parser);
    wbuf_fini(&t->request);
    mem_free(t);
}

static const struct net_tunnel_ops tunnel_ops = {
    .request = tunnel_request,
    .answer = tunnel_answer,
    .free = tunnel_free,
};

static void write_request(const struct http_proxy *p, const char *host, uint16_t port,
                          struct wbuf *w)
{
    bool ipv6 = strchr(host, ':') != NULL;
    const char *before = ipv6 ? "[" : "", *after = ipv6 ? "]" : "";

    wbuf_addf(w, "CONNECT %s%s%s:%u HTTP/1.1\r\n", before, host, after, (unsigned)port);
    wbuf_addf(w, "Host: %s%s%s:%u\r\n", before, host, after, (unsigned)port);
    if (p->login)
        wbuf_addf(w, "Proxy-Authorization: Basic %s\r\n", p->login);
    wbuf_add_cstr(w, "\r\n");
}

struct net_tunnel *http_proxy_tunnel(const struct http_proxy *p, const char *host,
                                     uint16_t port)
{
    struct tunnel *t = mem_new(struct tunnel);

    if (!t)
        return NULL;
    t->base.ops = &tunnel_ops;
    t->has_login = p->login != NULL;
    wbuf_init(&t->request, MAX_REQUEST);
    write_request(p, host, port, &t->request);
    if (t->request.error < 0 || new_parser(t) < 0) {
        tunnel_free(&t->base);
        return NULL;
    }
    return &t->base;
}
