#include <config.h>

#include "agent/source.h"

#include <arpa/inet.h>

#include "base/list.h"
#include "base/mem.h"
#include "base/str.h"

#define HOST_MAX       255
#define PATH_MAX_BYTES 1024
#define LOGIN_MAX      128
#define HTTP_PORT      80
#define RTSP_PORT      554

static const char *const http_paths[AGENT_PATHS_MAX] = {
    "/ISAPI/Streaming/channels/101/picture",
    "/ISAPI/Streaming/channels/1/picture",
    "/cgi-bin/snapshot.cgi?channel=1",
    "/Streaming/channels/101/picture",
};

static const char *const rtsp_paths[AGENT_PATHS_MAX] = {
    "/Streaming/Channels/101",
    "/Streaming/Channels/1",
    "/h264/ch1/main/av_stream",
    "/Streaming/Channels/102",
};

bool agent_source_is_small(const char *path)
{
    return strcmp(path, rtsp_paths[AGENT_PATHS_MAX - 1]) == 0;
}

/* The pieces of one URL, as slices of it. */
struct url {
    enum agent_service service;
    bool has_login;
    struct sio_str user;
    struct sio_str password;
    struct sio_str host;
    struct sio_str port; /* ptr NULL: none */
    struct sio_str path; /* from the '/' on; len 0: none */
};

static bool is_host(struct sio_str s, bool v6)
{
    if (s.len == 0 || s.len > HOST_MAX)
        return false;
    for (size_t i = 0; i < s.len; i++) {
        char c = s.ptr[i];
        bool alnum =
            (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');

        if (!alnum && c != '.' && !(v6 ? c == ':' : c == '-' || c == '_'))
            return false;
    }
    return s.ptr[0] != '-' && s.ptr[0] != '.';
}

static bool is_path(struct sio_str s)
{
    for (size_t i = 0; i < s.len; i++)
        if (s.ptr[i] <= 0x20 || s.ptr[i] >= 0x7f)
            return false;
    return s.len <= PATH_MAX_BYTES;
}

static int parse_scheme(struct sio_str *rest, struct url *u)
{
    static const struct {
        struct sio_str text;
        enum agent_service service;
    } schemes[] = {
        {SIO_STR_INIT("http://"), AGENT_SERVICE_HTTP},
        {SIO_STR_INIT("rtsp://"), AGENT_SERVICE_RTSP},
        {SIO_STR_INIT("test://"), AGENT_SERVICE_TEST},
    };

    for (size_t i = 0; i < N_ELEMENTS(schemes); i++) {
        struct sio_str t = schemes[i].text;

        if (!str_starts(*rest, t))
            continue;
        u->service = schemes[i].service;
        *rest = (struct sio_str){rest->ptr + t.len, rest->len - t.len};
        return SIO_OK;
    }
    return SIO_ERR_PARSE;
}

/* user[:password]@ in front of the host; the last '@' counts. */
static void parse_login(struct sio_str *authority, struct url *u)
{
    const char *at = memrchr(authority->ptr, '@', authority->len);
    struct sio_str rest;

    if (!at)
        return;
    rest = (struct sio_str){authority->ptr, (size_t)(at - authority->ptr)};
    u->has_login = true;
    u->user = str_cut(&rest, ':');
    u->password = rest;
    authority->len -= u->user.len + (rest.ptr ? rest.len + 1 : 0) + 1;
    authority->ptr = at + 1;
}

static int parse_host(struct sio_str authority, struct url *u)
{
    bool v6 = authority.len > 0 && authority.ptr[0] == '[';
    struct sio_str rest = authority;

    if (v6) {
        rest = (struct sio_str){authority.ptr + 1, authority.len - 1};
        u->host = str_cut(&rest, ']');
        if (!rest.ptr || (rest.len > 0 && rest.ptr[0] != ':'))
            return SIO_ERR_PARSE;
        if (rest.len > 0)
            u->port = (struct sio_str){rest.ptr + 1, rest.len - 1};
    } else {
        u->host = str_cut(&rest, ':');
        u->port = rest;
    }
    return is_host(u->host, v6) ? SIO_OK : SIO_ERR_PARSE;
}

static int parse_url(struct sio_str text, struct url *u, struct sio_diag *diag)
{
    struct sio_str authority;
    size_t slash;

    *u = (struct url){0};
    if (parse_scheme(&text, u) < 0)
        return sio_diag_set(
            diag, SIO_ERR_PARSE,
            "the address does not begin with http://, rtsp:// or test://");
    if (u->service == AGENT_SERVICE_TEST)
        return text.len == 0
                   ? SIO_OK
                   : sio_diag_set(diag, SIO_ERR_PARSE, "nothing may follow test://");
    for (slash = 0; slash < text.len; slash++)
        if (text.ptr[slash] == '/' || text.ptr[slash] == '?')
            break;
    authority = (struct sio_str){text.ptr, slash};
    u->path = (struct sio_str){text.ptr + slash, text.len - slash};
    if (str_eq_cstr(u->path, "/"))
        u->path.len = 0;
    if (u->path.len > 0 && (u->path.ptr[0] != '/' || !is_path(u->path)))
        return sio_diag_set(diag, SIO_ERR_PARSE,
                            "the path in the address is not valid");
    parse_login(&authority, u);
    if (parse_host(authority, u) < 0)
        return sio_diag_set(diag, SIO_ERR_PARSE,
                            "the host in the address is not valid");
    return SIO_OK;
}

static char *copy(struct sio_str s)
{
    return mem_strndup(s.ptr ? s.ptr : "", s.ptr ? s.len : 0);
}

/* Decoded; NULL when out of memory, too long, or holding control characters. */
static char *copy_login(struct sio_str s)
{
    char text[LOGIN_MAX * 3];
    size_t n = 0;
    char *result = NULL;

    if (s.len > sizeof(text))
        return NULL;
    if (s.ptr)
        n = str_percent_decode(s, text, false);
    for (size_t i = 0; i < n; i++)
        if ((unsigned char)text[i] < 0x20 || text[i] == 0x7f)
            goto wipe;
    if (n <= LOGIN_MAX)
        result = mem_strndup(text, n);
wipe:
    explicit_bzero(text, sizeof(text));
    return result;
}

static int parse_port(struct sio_str text, uint16_t standard, uint16_t *port)
{
    uint64_t n;

    *port = standard;
    if (!text.ptr)
        return SIO_OK;
    if (str_to_u64(text, 65535, &n) < 0 || n == 0)
        return SIO_ERR_PARSE;
    *port = (uint16_t)n;
    return SIO_OK;
}

static void free_secret(char *s)
{
    if (s)
        explicit_bzero(s, strlen(s));
    mem_free(s);
}

void agent_source_fini(struct agent_source *s)
{
    for (size_t i = 0; i < s->n_endpoints; i++) {
        mem_free(s->endpoints[i].host);
        mem_free(s->endpoints[i].path);
        mem_free(s->endpoints[i].user);
        free_secret(s->endpoints[i].password);
    }
    *s = (struct agent_source){0};
}

static void add_attempts(struct agent_source *s, size_t endpoint)
{
    const struct agent_endpoint *e = &s->endpoints[endpoint];
    const char *const *paths =
        e->service == AGENT_SERVICE_HTTP ? http_paths : rtsp_paths;
    size_t n = e->path || e->service == AGENT_SERVICE_TEST ? 1 : AGENT_PATHS_MAX;

    for (size_t i = 0; i < n; i++) {
        struct agent_attempt *a = &s->attempts[s->n_attempts++];

        a->endpoint = (uint8_t)endpoint;
        a->path = e->path ? e->path : paths[i];
    }
}

/* On failure the endpoint is there half filled, and agent_source_fini frees it. */
static int add_endpoint(struct agent_source *s, const struct url *u, const char *user,
                        const char *password, struct sio_diag *diag)
{
    struct agent_endpoint *e;
    uint16_t standard = u->service == AGENT_SERVICE_RTSP ? RTSP_PORT : HTTP_PORT;

    if (s->n_endpoints == AGENT_ENDPOINTS_MAX)
        return sio_diag_set(diag, SIO_ERR_TOO_BIG, "more than %d addresses",
                            AGENT_ENDPOINTS_MAX);
    e = &s->endpoints[s->n_endpoints++];
    e->service = u->service;
    if (parse_port(u->port, standard, &e->port) < 0)
        return sio_diag_set(diag, SIO_ERR_PARSE,
                            "the port in the address is not valid");
    e->host = copy(u->host);
    if (u->path.len > 0 && !(e->path = copy(u->path)))
        return sio_diag_set(diag, SIO_ERR_NOMEM, "out of memory");
    e->user = u->has_login ? copy_login(u->user) : copy(sio_str_from(user));
    e->password = u->has_login ? copy_login(u->password) : copy(sio_str_from(password));
    if (!e->user || !e->password)
        return sio_diag_set(diag, SIO_ERR_PARSE,
                            "user or password is too long or not printable");
    if (strchr(e->user, ':'))
        return sio_diag_set(diag, SIO_ERR_PARSE, "a user cannot hold a ':'");
    if (!e->host)
        return sio_diag_set(diag, SIO_ERR_NOMEM, "out of memory");
    add_attempts(s, s->n_endpoints - 1u);
    return SIO_OK;
}

/* An address: HTTP, then RTSP.  One ':' stands before the HTTP port. */
static int add_address(struct agent_source *s, struct sio_str text, const char *user,
                       const char *password, struct sio_diag *diag)
{
    struct sio_str rest = text;
    struct url u = {.service = AGENT_SERVICE_HTTP};
    size_t colon = str_find(text, ':');
    bool v6 =
        colon < text.len && memchr(text.ptr + colon + 1, ':', text.len - colon - 1);
    int rv;

    u.host = v6 ? text : str_cut(&rest, ':');
    u.port = v6 ? (struct sio_str){0} : rest;
    if (!is_host(u.host, v6))
        return sio_diag_set(diag, SIO_ERR_PARSE, "not an address");
    rv = add_endpoint(s, &u, user, password, diag);
    if (rv < 0)
        return rv;
    u.service = AGENT_SERVICE_RTSP;
    u.port = (struct sio_str){0};
    return add_endpoint(s, &u, user, password, diag);
}

static int add_urls(struct agent_source *s, struct sio_str list, const char *user,
                    const char *password, struct sio_diag *diag)
{
    while (list.ptr) {
        struct url u;
        int rv = parse_url(str_trim(str_cut(&list, '|')), &u, diag);

        if (rv == SIO_OK)
            rv = add_endpoint(s, &u, user, password, diag);
        if (rv < 0)
            return rv;
    }
    return SIO_OK;
}

int agent_source_init(struct agent_source *s, const struct camera_entry *entry,
                      const char *user, const char *password, struct sio_diag *diag)
{
    int rv;

    *s = (struct agent_source){0};
    if (!camera_id_check(entry->id))
        return sio_diag_set(diag, SIO_ERR_PARSE, "not a camera's name");
    memcpy(s->id, entry->id.ptr, entry->id.len);
    rv = entry->url.len > 0 ? add_urls(s, entry->url, user, password, diag)
                            : add_address(s, entry->id, user, password, diag);
    if (rv < 0)
        agent_source_fini(s);
    return rv;
}

struct agent_target agent_source_target(const struct agent_source *s, size_t i)
{
    const struct agent_attempt *a = &s->attempts[i];
    const struct agent_endpoint *e = &s->endpoints[a->endpoint];

    return (struct agent_target){
        .camera = s->id,
        .host = e->host,
        .port = e->port,
        .path = a->path,
        .user = e->user,
        .password = e->password,
    };
}

const char *agent_source_user(const struct agent_source *s)
{
    for (size_t i = 0; i < s->n_endpoints; i++)
        if (s->endpoints[i].user[0])
            return s->endpoints[i].user;
    return "";
}

/*
 * Many cameras want the login in the path, as /snap?user=u&pwd=p or /user=u&password=p/..,
 * so of a path that is not ours nothing is shown behind the first such mark.
 */
static size_t shown_len(const struct agent_endpoint *e, const char *path)
{
    size_t len = e->path ? strcspn(path, "?=") : strlen(path);

    return path[len] ? len + 1 : len;
}

/* As the agent before us did: the scheme for HTTP only, the port where it tells more. */
void agent_source_show(const struct agent_source *s, size_t i, struct wbuf *w)
{
    struct agent_target t = agent_source_target(s, i);
    const struct agent_endpoint *e = &s->endpoints[s->attempts[i].endpoint];
    bool v6 = strchr(t.host, ':') != NULL;

    if (e->service == AGENT_SERVICE_TEST) {
        wbuf_add_cstr(w, "test://");
        return;
    }
    wbuf_addf(w, "%s%s%s%s", e->service == AGENT_SERVICE_HTTP ? "http://" : "",
              v6 ? "[" : "", t.host, v6 ? "]" : "");
    if (e->service == AGENT_SERVICE_RTSP || t.port != HTTP_PORT)
        wbuf_addf(w, ":%u", (unsigned)t.port);
    wbuf_add(w, t.path, shown_len(e, t.path));
}

static bool is_private_v4(uint32_t a)
{
    return a >> 24 == 10 || a >> 24 == 127 || a >> 20 == 0xac1 || a >> 16 == 0xc0a8 ||
           a >> 16 == 0xa9fe || a >> 22 == 0x191;
}

bool agent_source_is_private(const char *host)
{
    struct in_addr v4;
    struct in6_addr v6;

    if (inet_pton(AF_INET, host, &v4) == 1)
        return is_private_v4(ntohl(v4.s_addr));
    if (inet_pton(AF_INET6, host, &v6) != 1)
        return false;
    return IN6_IS_ADDR_LOOPBACK(&v6) || IN6_IS_ADDR_LINKLOCAL(&v6) ||
           (v6.s6_addr[0] & 0xfe) == 0xfc;
}
