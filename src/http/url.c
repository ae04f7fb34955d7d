#include <config.h>

#include "http/url.h"

#include <arpa/inet.h>
#include <string.h>

#include "base/list.h"
#include "base/str.h"

#define MAX_URL  2048
#define MAX_HOST 253

static const struct {
    const char *name;
    uint16_t port;
    bool tls;
} schemes[] = {
    {"http", 80, false}, {"https", 443, true}, {"ws", 80, false},
    {"wss", 443, true},  {"rtsp", 554, false}, {"rtsps", 322, true},
};

static int refuse(struct sio_diag *diag, const char *why)
{
    return sio_diag_set(diag, SIO_ERR_PARSE, "URL: %s", why);
}

static struct sio_str slice(struct sio_str s, size_t from, size_t to)
{
    return (struct sio_str){s.ptr + from, to - from};
}

static bool bytes_are_legal(struct sio_str s)
{
    for (size_t i = 0; i < s.len; i++) {
        unsigned char c = (unsigned char)s.ptr[i];

        if (c <= ' ' || c >= 0x7f || strchr("\"<>\\^`{|}#", c))
            return false;
    }
    return true;
}

static int cut_scheme(struct sio_str *rest, struct http_url *u, struct sio_diag *diag)
{
    size_t colon = str_find(*rest, ':');
    struct sio_str scheme = slice(*rest, 0, colon);

    for (size_t i = 0; i < N_ELEMENTS(schemes); i++) {
        if (!str_ieq(scheme, sio_str_from(schemes[i].name)))
            continue;
        if (rest->len < colon + 3 || memcmp(rest->ptr + colon, "://", 3) != 0)
            break;
        u->scheme = scheme;
        u->port = schemes[i].port;
        u->tls = schemes[i].tls;
        *rest = slice(*rest, colon + 3, rest->len);
        return SIO_OK;
    }
    return refuse(diag, "begins with none of http://, https://, ws://, wss://");
}

static void cut_user(struct sio_str *authority, struct http_url *u)
{
    size_t at = authority->len;
    size_t colon;
    struct sio_str user;

    while (at > 0 && authority->ptr[at - 1] != '@')
        at--;
    if (at == 0)
        return;
    user = slice(*authority, 0, at - 1);
    *authority = slice(*authority, at, authority->len);
    colon = str_find(user, ':');
    u->user = slice(user, 0, colon);
    if (colon < user.len)
        u->password = slice(user, colon + 1, user.len);
}

static bool is_ipv6(struct sio_str s)
{
    char text[INET6_ADDRSTRLEN];
    struct in6_addr addr;

    if (s.len == 0 || s.len >= sizeof(text))
        return false;
    memcpy(text, s.ptr, s.len);
    text[s.len] = '\0';
    return inet_pton(AF_INET6, text, &addr) == 1;
}

/* Letters, digits, '-', '_' in labels of 1 to 63, one dot at the end allowed. */
static bool is_host_name(struct sio_str s)
{
    size_t label = 0;

    if (s.len == 0 || s.len > MAX_HOST || s.ptr[0] == '.')
        return false;
    for (size_t i = 0; i < s.len; i++) {
        char c = s.ptr[i];
        bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');

        if (c == '.' && label > 0)
            label = 0;
        else if ((letter || (c >= '0' && c <= '9') || c == '-' || c == '_') &&
                 label < 63)
            label++;
        else
            return false;
    }
    return true;
}

static int cut_host(struct sio_str *authority, struct http_url *u,
                    struct sio_diag *diag)
{
    size_t end;

    if (authority->len > 0 && authority->ptr[0] == '[') {
        end = str_find(*authority, ']');
        if (end == authority->len)
            return refuse(diag, "'[' without ']'");
        u->host = slice(*authority, 1, end);
        u->ipv6 = true;
        if (!is_ipv6(u->host))
            return refuse(diag, "no IPv6 address in the brackets");
        *authority = slice(*authority, end + 1, authority->len);
        return SIO_OK;
    }
    end = str_find(*authority, ':');
    u->host = slice(*authority, 0, end);
    if (!is_host_name(u->host))
        return refuse(diag, "the host is missing or not a name");
    *authority = slice(*authority, end, authority->len);
    return SIO_OK;
}

static int read_port(struct sio_str rest, struct http_url *u, struct sio_diag *diag)
{
    uint64_t port;

    if (rest.len == 0)
        return SIO_OK;
    if (rest.ptr[0] != ':' || rest.len > 6 ||
        str_to_u64(slice(rest, 1, rest.len), UINT16_MAX, &port) != SIO_OK || port == 0)
        return refuse(diag, "the port is not a number from 1 to 65535");
    u->port = (uint16_t)port;
    u->port_given = true;
    return SIO_OK;
}

int http_url_parse(struct sio_str text, struct http_url *out, struct sio_diag *diag)
{
    struct sio_str rest = text;
    struct sio_str authority;
    size_t end = 0;
    size_t mark;
    int rv;

    memset(out, 0, sizeof(*out));
    if (text.len > MAX_URL)
        return refuse(diag, "too long");
    if (!bytes_are_legal(text))
        return refuse(diag, "has a character that must not be in one");
    rv = cut_scheme(&rest, out, diag);
    if (rv < 0)
        return rv;

    while (end < rest.len && rest.ptr[end] != '/' && rest.ptr[end] != '?')
        end++;
    authority = slice(rest, 0, end);
    cut_user(&authority, out);
    rv = cut_host(&authority, out, diag);
    if (rv < 0)
        return rv;
    rv = read_port(authority, out, diag);
    if (rv < 0)
        return rv;

    rest = slice(rest, end, rest.len);
    mark = str_find(rest, '?');
    out->path = slice(rest, 0, mark);
    if (mark < rest.len)
        out->query = slice(rest, mark + 1, rest.len);
    return SIO_OK;
}
