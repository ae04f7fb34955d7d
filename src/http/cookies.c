#include <config.h>

#include "http/cookies.h"

#include <string.h>
#include <time.h>

#include "base/list.h"
#include "base/mem.h"
#include "base/str.h"

#define NEVER       INT64_MAX
#define MAX_AGE_S   (400LL * 24 * 3600)
#define MAX_PATH    1024
#define DATE_TOKENS 16

struct cookie {
    struct list link;
    size_t name_len;
    char *pair; /* name=value */
    char *path;
    bool secure;
    int64_t expires_s;
};

struct http_cookies {
    struct list all; /* oldest first */
    unsigned n;
};

struct http_cookies *http_cookies_new(void)
{
    struct http_cookies *jar = mem_new(struct http_cookies);

    if (jar)
        list_init(&jar->all);
    return jar;
}

static void drop(struct http_cookies *jar, struct cookie *c)
{
    list_remove(&c->link);
    jar->n--;
    mem_free(c->pair);
    mem_free(c->path);
    mem_free(c);
}

void http_cookies_free(struct http_cookies *jar)
{
    if (!jar)
        return;
    while (!list_empty(&jar->all))
        drop(jar, container_of(jar->all.next, struct cookie, link));
    mem_free(jar);
}

/* Dates, as loosely as RFC 6265, 5.1.1 wants. */

struct date {
    bool has_time, has_day, has_month, has_year;
    struct tm tm;
};

/* At most max digits in front; cuts them off.  -1: none, or more. */
static int cut_number(struct sio_str *s, size_t max)
{
    int n = 0;
    size_t i = 0;

    for (; i < s->len && s->ptr[i] >= '0' && s->ptr[i] <= '9'; i++) {
        if (i == max)
            return -1;
        n = n * 10 + (s->ptr[i] - '0');
    }
    s->ptr += i;
    s->len -= i;
    return i ? n : -1;
}

static bool read_time(struct sio_str s, struct tm *tm)
{
    int part[3];

    for (int i = 0; i < 3; i++) {
        part[i] = cut_number(&s, 2);
        if (part[i] < 0 || (i < 2 && (s.len == 0 || s.ptr[0] != ':')))
            return false;
        if (i < 2) {
            s.ptr++;
            s.len--;
        }
    }
    tm->tm_hour = part[0];
    tm->tm_min = part[1];
    tm->tm_sec = part[2];
    return true;
}

static int month_of(struct sio_str s)
{
    static const char *const names[] = {"jan", "feb", "mar", "apr", "may", "jun",
                                        "jul", "aug", "sep", "oct", "nov", "dec"};

    if (s.len < 3)
        return -1;
    s.len = 3;
    for (int i = 0; i < 12; i++)
        if (str_ieq(s, sio_str_from(names[i])))
            return i;
    return -1;
}

static void read_date_token(struct sio_str token, struct date *d)
{
    struct sio_str rest = token;
    int n;

    if (!d->has_time && read_time(token, &d->tm)) {
        d->has_time = true;
        return;
    }
    n = cut_number(&rest, 4);
    if (!d->has_day && n > 0 && token.len - rest.len <= 2) {
        d->has_day = true;
        d->tm.tm_mday = n;
    } else if (!d->has_month && month_of(token) >= 0) {
        d->has_month = true;
        d->tm.tm_mon = month_of(token);
    } else if (!d->has_year && n >= 0 && token.len - rest.len >= 2) {
        d->has_year = true;
        d->tm.tm_year = n < 70 ? n + 100 : n < 100 ? n : n - 1900;
    }
}

static bool is_delimiter(char c)
{
    bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');

    return !letter && c != ':' && (c < '0' || c > '9');
}

/* False: no date. */
static bool read_date(struct sio_str s, int64_t *seconds)
{
    struct date d = {.has_time = false};

    for (size_t at = 0, n = 0; at < s.len && n < DATE_TOKENS; at++) {
        size_t from = at;

        while (at < s.len && !is_delimiter(s.ptr[at]))
            at++;
        if (at > from) {
            read_date_token((struct sio_str){s.ptr + from, at - from}, &d);
            n++;
        }
    }
    if (!d.has_time || !d.has_day || !d.has_month || !d.has_year || d.tm.tm_mday > 31 ||
        d.tm.tm_year < -299 || d.tm.tm_hour > 23 || d.tm.tm_min > 59 ||
        d.tm.tm_sec > 59)
        return false;
    *seconds = (int64_t)timegm(&d.tm);
    return true;
}

/* Set-Cookie. */

struct attributes {
    struct sio_str domain;
    struct sio_str path;
    bool secure;
    bool has_age;
    int64_t expires_s;
};

static void read_age(struct sio_str s, int64_t now_s, struct attributes *a)
{
    bool negative = s.len > 0 && s.ptr[0] == '-';
    uint64_t age = 0;
    int rv;

    if (negative) {
        s.ptr++;
        s.len--;
    }
    rv = str_to_u64(s, MAX_AGE_S, &age);
    if (rv == SIO_ERR_PARSE)
        return;
    if (rv == SIO_ERR_TOO_BIG)
        age = MAX_AGE_S;
    a->has_age = true;
    a->expires_s = negative || age == 0 ? INT64_MIN : now_s + (int64_t)age;
}

static void read_attributes(struct sio_str rest, int64_t now_s, struct attributes *a)
{
    a->expires_s = NEVER;
    while (rest.ptr) {
        struct sio_str value = str_cut(&rest, ';');
        struct sio_str name = str_trim(str_cut(&value, '='));

        value = value.ptr ? str_trim(value) : SIO_STR("");
        if (str_ieq(name, SIO_STR("domain")))
            a->domain = value;
        else if (str_ieq(name, SIO_STR("path")))
            a->path = value;
        else if (str_ieq(name, SIO_STR("secure")))
            a->secure = true;
        else if (str_ieq(name, SIO_STR("max-age")))
            read_age(value, now_s, a);
        else if (str_ieq(name, SIO_STR("expires")) && !a->has_age)
            (void)read_date(value, &a->expires_s);
    }
}

/* The host itself, or a domain that it lies in (RFC 6265, 5.1.3). */
static bool domain_covers(struct sio_str domain, const char *host)
{
    struct sio_str name = sio_str_from(host), tail;

    if (domain.len > 0 && domain.ptr[0] == '.') {
        domain.ptr++;
        domain.len--;
    }
    if (domain.len == 0 || str_ieq(domain, name))
        return true;
    if (domain.len >= name.len || strspn(host, "0123456789.") == name.len)
        return false;
    tail = (struct sio_str){host + name.len - domain.len, domain.len};
    return tail.ptr[-1] == '.' && str_ieq(tail, domain);
}

/* Up to the last '/' of the request's path (RFC 6265, 5.1.4). */
static struct sio_str default_path(const char *path)
{
    const char *slash = strrchr(path, '/');

    if (!slash || slash == path)
        return SIO_STR("/");
    return (struct sio_str){path, (size_t)(slash - path)};
}

static bool has_control(struct sio_str s)
{
    for (size_t i = 0; i < s.len; i++)
        if ((unsigned char)s.ptr[i] < ' ' || s.ptr[i] == 0x7f)
            return true;
    return false;
}

static bool prefix_allows(struct sio_str pair, const struct attributes *a)
{
    if (str_starts(pair, SIO_STR("__Host-")))
        return a->secure && a->domain.len == 0 && str_eq_cstr(a->path, "/");
    return a->secure || !str_starts(pair, SIO_STR("__Secure-"));
}

static struct cookie *find(const struct http_cookies *jar, struct sio_str name,
                           struct sio_str path)
{
    struct cookie *c;

    list_for_each (c, struct cookie, link, &jar->all)
        if (str_eq(name, (struct sio_str){c->pair, c->name_len}) &&
            str_eq_cstr(path, c->path))
            return c;
    return NULL;
}

static void keep(struct http_cookies *jar, struct sio_str pair, size_t name_len,
                 const struct attributes *a)
{
    struct cookie *c = mem_new(struct cookie);

    if (!c)
        return;
    c->pair = mem_strndup(pair.ptr, pair.len);
    c->path = mem_strndup(a->path.ptr, a->path.len);
    if (!c->pair || !c->path) {
        mem_free(c->pair);
        mem_free(c->path);
        mem_free(c);
        return;
    }
    c->name_len = name_len;
    c->secure = a->secure;
    c->expires_s = a->expires_s;
    if (jar->n == HTTP_COOKIES_MAX)
        drop(jar, container_of(jar->all.next, struct cookie, link));
    list_append(&jar->all, &c->link);
    jar->n++;
}

void http_cookies_set(struct http_cookies *jar, const struct http_cookies_request *r,
                      struct sio_str value)
{
    struct attributes a = {.secure = false};
    struct sio_str rest = value;
    struct sio_str pair = str_trim(str_cut(&rest, ';'));
    size_t name_len = str_find(pair, '=');
    struct cookie *old;

    read_attributes(rest, r->now_s, &a);
    if (name_len == 0 || name_len == pair.len || pair.len > HTTP_COOKIE_MAX_BYTES ||
        a.path.len > MAX_PATH || has_control(pair) || (a.secure && !r->secure) ||
        !domain_covers(a.domain, r->host) || !prefix_allows(pair, &a))
        return;
    if (a.path.len == 0 || a.path.ptr[0] != '/')
        a.path = default_path(r->path);
    old = find(jar, (struct sio_str){pair.ptr, name_len}, a.path);
    if (old && old->secure && !r->secure)
        return;
    if (old)
        drop(jar, old);
    if (a.expires_s > r->now_s)
        keep(jar, pair, name_len, &a);
}

/* RFC 6265, 5.1.4. */
static bool path_covers(const char *cookie, const char *path)
{
    size_t len = strlen(cookie);

    return strncmp(path, cookie, len) == 0 &&
           (path[len] == '\0' || cookie[len - 1] == '/' || path[len] == '/');
}

void http_cookies_write(const struct http_cookies *jar,
                        const struct http_cookies_request *r, struct wbuf *w)
{
    const char *between = "";
    struct cookie *c;

    list_for_each (c, struct cookie, link, &jar->all) {
        if (c->expires_s <= r->now_s || (c->secure && !r->secure) ||
            !path_covers(c->path, r->path))
            continue;
        wbuf_add_cstr(w, between);
        wbuf_add_cstr(w, c->pair);
        between = "; ";
    }
}
