#include <config.h>

#include "redis/url.h"

#include "base/list.h"
#include "base/mem.h"
#include "base/str.h"

#define MAX_URL      2048
#define MAX_HOST     253
#define MAX_PATH     107 /* what sockaddr_un holds */
#define DEFAULT_PORT 6379

static int refuse(struct sio_diag *diag, const char *why)
{
    return sio_diag_set(diag, SIO_ERR_PARSE, "%s", why);
}

static int no_memory(struct sio_diag *diag)
{
    return sio_diag_set(diag, SIO_ERR_NOMEM, "out of memory");
}

static void free_text(char *s)
{
    if (s)
        explicit_bzero(s, strlen(s));
    mem_free(s);
}

static struct sio_str behind(struct sio_str s, size_t n)
{
    return (struct sio_str){s.ptr + n, s.len - n};
}

static bool bytes_are_legal(struct sio_str s)
{
    for (size_t i = 0; i < s.len; i++)
        if (s.ptr[i] <= ' ' || s.ptr[i] >= 0x7f || s.ptr[i] == '#')
            return false;
    return true;
}

/* Takes the place of what was there; an empty text is none. */
static int set_decoded(char **to, struct sio_str text, struct sio_diag *diag)
{
    char *copy = mem_alloc(text.len + 1);
    size_t len;

    if (!copy)
        return no_memory(diag);
    len = str_percent_decode(text, copy, false);
    copy[len] = '\0';
    if (strlen(copy) != len) {
        free_text(copy);
        return refuse(diag, "a NUL in user, password or path");
    }
    free_text(*to);
    *to = len > 0 ? copy : NULL;
    if (len == 0)
        mem_free(copy);
    return SIO_OK;
}

static int set_db(struct redis_url *u, struct sio_str text, struct sio_diag *diag)
{
    uint64_t n;

    if (str_to_u64(text, INT32_MAX, &n) < 0)
        return refuse(diag, "the database is not a number");
    u->db = (uint32_t)n;
    return SIO_OK;
}

/* Cuts `user:password@` off; it ends at the last '@' in front of the path. */
static int cut_user(struct sio_str *rest, size_t end, struct redis_url *u,
                    struct sio_diag *diag)
{
    size_t at = end;
    struct sio_str name, password;
    int rv;

    while (at > 0 && rest->ptr[at - 1] != '@')
        at--;
    if (at == 0)
        return SIO_OK;
    password = (struct sio_str){rest->ptr, at - 1};
    *rest = behind(*rest, at);
    name = str_cut(&password, ':');
    rv = set_decoded(&u->user, name, diag);
    if (rv == SIO_OK && password.ptr)
        rv = set_decoded(&u->password, password, diag);
    return rv;
}

static size_t end_of_authority(struct sio_str s)
{
    size_t n = 0;

    while (n < s.len && s.ptr[n] != '/' && s.ptr[n] != '?')
        n++;
    return n;
}

/* As redis-py takes it: any case, any of the usual words. */
static int set_bool(bool *to, struct sio_str text, struct sio_diag *diag)
{
    static const char *const words[] = {"0", "f", "false", "n", "no",
                                        "1", "t", "true",  "y", "yes"};

    for (size_t i = 0; i < N_ELEMENTS(words); i++) {
        if (!str_ieq(text, sio_str_from(words[i])))
            continue;
        *to = i >= N_ELEMENTS(words) / 2;
        return SIO_OK;
    }
    return refuse(diag, "ssl_check_hostname is neither true nor false");
}

static int set_trust(struct redis_url *u, struct sio_str text, struct sio_diag *diag)
{
    u->insecure = str_eq_cstr(text, "none");
    if (u->insecure || str_eq_cstr(text, "optional") || str_eq_cstr(text, "required"))
        return SIO_OK;
    return refuse(diag, "ssl_cert_reqs is none of none, optional and required");
}

static int read_tls_field(struct redis_url *u, struct sio_str name,
                          struct sio_str value, struct sio_diag *diag)
{
    bool check = true;
    int rv = SIO_OK;

    if (str_eq_cstr(name, "ssl_cert_reqs"))
        return set_trust(u, value, diag);
    if (str_eq_cstr(name, "ssl_ca_certs"))
        return set_decoded(&u->ca_file, value, diag);
    if (str_eq_cstr(name, "ssl_certfile"))
        return set_decoded(&u->cert_file, value, diag);
    if (str_eq_cstr(name, "ssl_keyfile"))
        return set_decoded(&u->key_file, value, diag);
    if (str_eq_cstr(name, "ssl_check_hostname")) {
        rv = set_bool(&check, value, diag);
        u->any_name = !check;
    }
    return rv;
}

static int read_field(struct redis_url *u, struct sio_str name, struct sio_str value,
                      struct sio_diag *diag)
{
    if (str_eq_cstr(name, "db"))
        return set_db(u, value, diag);
    if (str_eq_cstr(name, "username"))
        return set_decoded(&u->user, value, diag);
    if (str_eq_cstr(name, "password"))
        return set_decoded(&u->password, value, diag);
    return u->tls ? read_tls_field(u, name, value, diag) : SIO_OK;
}

static int read_query(struct redis_url *u, struct sio_str query, struct sio_diag *diag)
{
    int rv = SIO_OK;

    while (query.ptr && rv == SIO_OK) {
        struct sio_str value = str_cut(&query, '&');
        struct sio_str name = str_cut(&value, '=');

        if (value.ptr)
            rv = read_field(u, name, value, diag);
    }
    return rv;
}

static int read_port(struct redis_url *u, struct sio_str text, struct sio_diag *diag)
{
    uint64_t port;

    if (text.len == 0)
        return SIO_OK;
    if (text.ptr[0] != ':' || str_to_u64(behind(text, 1), UINT16_MAX, &port) < 0 ||
        port == 0)
        return refuse(diag, "the port is not a number from 1 to 65535");
    u->port = (uint16_t)port;
    return SIO_OK;
}

static int read_host(struct redis_url *u, struct sio_str text, struct sio_diag *diag)
{
    size_t end = str_find(text, ':');
    struct sio_str host;

    if (text.len > 0 && text.ptr[0] == '[') {
        end = str_find(text, ']');
        if (end == text.len)
            return refuse(diag, "'[' without ']'");
        host = (struct sio_str){text.ptr + 1, end - 1};
        end++;
    } else {
        host = (struct sio_str){text.ptr, end};
    }
    if (host.len == 0)
        host = SIO_STR("localhost");
    if (host.len > MAX_HOST)
        return refuse(diag, "the host is too long");
    u->host = mem_strndup(host.ptr, host.len);
    if (!u->host)
        return no_memory(diag);
    return read_port(u, behind(text, end), diag);
}

static int read_tcp(struct redis_url *u, struct sio_str rest, struct sio_diag *diag)
{
    size_t end = end_of_authority(rest);
    struct sio_str path, authority;
    int rv;

    u->port = DEFAULT_PORT;
    path = behind(rest, end);
    rv = cut_user(&rest, end, u, diag);
    if (rv < 0)
        return rv;
    authority = (struct sio_str){rest.ptr, (size_t)(path.ptr - rest.ptr)};
    rv = read_host(u, authority, diag);
    if (rv < 0)
        return rv;
    rest = path;
    path = str_cut(&rest, '?');
    if (path.len > 1)
        rv = set_db(u, behind(path, 1), diag);
    return rv < 0 ? rv : read_query(u, rest, diag);
}

static int read_unix(struct redis_url *u, struct sio_str rest, struct sio_diag *diag)
{
    struct sio_str path;
    int rv = cut_user(&rest, end_of_authority(rest), u, diag);

    if (rv < 0)
        return rv;
    path = str_cut(&rest, '?');
    if (path.len < 2 || path.ptr[0] != '/')
        return refuse(diag, "unix:// needs the socket's absolute path");
    rv = set_decoded(&u->path, path, diag);
    if (rv < 0)
        return rv;
    if (strlen(u->path) > MAX_PATH)
        return refuse(diag, "the socket's path is too long");
    return read_query(u, rest, diag);
}

static int read_url(struct redis_url *u, struct sio_str text, struct sio_diag *diag)
{
    static const char bad_scheme[] =
        "begins with none of redis://, rediss:// and unix://";
    size_t colon = str_find(text, ':');
    struct sio_str scheme = {text.ptr, colon};
    struct sio_str rest = behind(text, colon);

    if (text.len > MAX_URL)
        return refuse(diag, "too long");
    if (!bytes_are_legal(text))
        return refuse(diag, "has a character that must be percent-encoded");
    if (!str_starts(rest, SIO_STR("://")))
        return refuse(diag, bad_scheme);
    rest = behind(rest, 3);
    if (str_ieq(scheme, SIO_STR("unix")))
        return read_unix(u, rest, diag);
    u->tls = str_ieq(scheme, SIO_STR("rediss"));
    if (u->tls || str_ieq(scheme, SIO_STR("redis")))
        return read_tcp(u, rest, diag);
    return refuse(diag, bad_scheme);
}

int redis_url_parse(struct sio_str text, struct redis_url *out, struct sio_diag *diag)
{
    int rv;

    memset(out, 0, sizeof(*out));
    rv = read_url(out, text, diag);
    if (rv == SIO_OK && out->user && !out->password)
        rv = refuse(diag, "a user without a password");
    if (rv == SIO_OK && out->key_file && !out->cert_file)
        rv = refuse(diag, "ssl_keyfile without ssl_certfile");
    if (rv < 0)
        redis_url_fini(out);
    return rv;
}

void redis_url_fini(struct redis_url *u)
{
    free_text(u->host);
    free_text(u->path);
    free_text(u->user);
    free_text(u->password);
    free_text(u->ca_file);
    free_text(u->cert_file);
    free_text(u->key_file);
    memset(u, 0, sizeof(*u));
}
