#include <config.h>

#include "hub/alerts.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/base64.h"
#include "base/clock.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/str.h"
#include "hub/hub_impl.h"

/* Files that a list shows; those behind are the oldest. */
#define LIST_MAX 10000
/* A picture that is sent as base64. */
#define BASE64_MAX (32 * 1024 * 1024)
/* Of a video that does not say it. */
#define DEFAULT_DURATION 5.0

/*
 * Names.
 */

static const struct {
    const char *suffix;
    const char *type;
    enum hub_alert_kind kind;
} suffixes[] = {
    {".jpg", "image/jpeg", HUB_ALERT_PICTURE},
    {".jpeg", "image/jpeg", HUB_ALERT_PICTURE},
    {".png", "image/png", HUB_ALERT_PICTURE},
    {".mp4", "video/mp4", HUB_ALERT_VIDEO},
    {".mov", "video/quicktime", HUB_ALERT_VIDEO},
    {".avi", "video/x-msvideo", HUB_ALERT_VIDEO},
};

static struct sio_str last_bytes(struct sio_str s, size_t n)
{
    return (struct sio_str){s.ptr + s.len - n, n};
}

const char *hub_alert_type(enum hub_alert_kind kind, struct sio_str file)
{
    for (size_t i = 0; i < N_ELEMENTS(suffixes); i++) {
        struct sio_str suffix = sio_str_from(suffixes[i].suffix);

        if (suffixes[i].kind == kind && file.len > suffix.len &&
            str_ieq(last_bytes(file, suffix.len), suffix))
            return suffixes[i].type;
    }
    return NULL;
}

static bool is_number(struct sio_str s, size_t digits, unsigned min, unsigned max)
{
    uint64_t n;

    return s.len == digits && str_to_u64(s, max, &n) == SIO_OK && n >= min;
}

/* Cuts what is behind the last '_' off *s; false if there is none. */
static bool cut_last(struct sio_str *s, struct sio_str *part)
{
    for (size_t i = s->len; i-- > 0;) {
        if (s->ptr[i] != '_')
            continue;
        *part = (struct sio_str){s->ptr + i + 1, s->len - i - 1};
        s->len = i;
        return true;
    }
    return false;
}

/* KIND_LINE_YYYYMMDD_HHMMSS; the line's name may hold '_' itself. */
static bool parse_name(struct sio_str stem, struct sio_str *date, struct sio_str *time,
                       struct sio_str *linea)
{
    if (!cut_last(&stem, time) || !cut_last(&stem, date))
        return false;
    *linea = stem;
    str_cut(linea, '_');
    return linea->ptr && is_number(*date, 8, 0, 99999999) &&
           is_number((struct sio_str){date->ptr + 4, 2}, 2, 1, 12) &&
           is_number(last_bytes(*date, 2), 2, 1, 31) &&
           is_number((struct sio_str){time->ptr, time->len < 2 ? 0 : 2}, 2, 0, 23) &&
           is_number(*time, 6, 0, 235960) &&
           is_number((struct sio_str){time->ptr + 2, 2}, 2, 0, 59) &&
           is_number(last_bytes(*time, 2), 2, 0, 60);
}

void hub_alert_name_parse(struct sio_str file, struct hub_alert_name *out)
{
    struct sio_str stem = file;
    struct sio_str date, time;

    while (stem.len > 0 && stem.ptr[stem.len - 1] != '.')
        stem.len--;
    stem.len = stem.len > 0 ? stem.len - 1 : file.len;
    if (!parse_name(stem, &date, &time, &out->linea)) {
        snprintf(out->fecha, sizeof(out->fecha), "%s", HUB_ALERT_UNKNOWN);
        snprintf(out->hora, sizeof(out->hora), "%s", HUB_ALERT_UNKNOWN);
        out->linea = SIO_STR(HUB_ALERT_UNKNOWN);
        return;
    }
    snprintf(out->fecha, sizeof(out->fecha), "%.4s-%.2s-%.2s", date.ptr, date.ptr + 4,
             date.ptr + 6);
    snprintf(out->hora, sizeof(out->hora), "%.2s:%.2s:%.2s", time.ptr, time.ptr + 2,
             time.ptr + 4);
}

/*
 * Where the files of a kind are: one folder, or two that are searched in order.
 */

static const struct words {
    const char *list; /* of the reply */
    const char *missing;
    const char *noun;
    const char *deleted;
} words[] = {
    [HUB_ALERT_PICTURE] = {"imagenes", "Imagen no encontrada", "Imagen", "eliminada"},
    [HUB_ALERT_VIDEO] = {"videos", "Video no encontrado", "Video", "eliminado"},
};

static const struct hub_folder *folders_of(const struct hub_alerts *a,
                                           enum hub_alert_kind kind, size_t *n)
{
    *n = kind == HUB_ALERT_PICTURE ? N_ELEMENTS(a->pictures) : 1;
    return kind == HUB_ALERT_PICTURE ? a->pictures : &a->videos;
}

/*
 * Lists.
 */

struct entry {
    char *name;
    int64_t mtime_us;
    uint64_t size;
    double seconds; /* videos */
    uint32_t id;    /* order of reading */
};

struct listing {
    enum hub_alert_kind kind;
    struct hub_durations *durations;
    int before; /* the folder whose files are listed already, or -1 */
    struct entry *entries;
    size_t n;
    size_t cap;
};

static double duration_of(const struct listing *l, int dir, const char *name,
                          const struct stat *st)
{
    double seconds = hub_durations_get(l->durations, dir, name, st);

    return seconds >= 0 && seconds < 1e6 ? seconds : DEFAULT_DURATION;
}

static int grow(struct listing *l)
{
    size_t cap = l->cap ? 2 * l->cap : 64;
    struct entry *more = mem_resize(l->entries, cap, sizeof(*more));

    if (!more)
        return SIO_ERR_NOMEM;
    l->entries = more;
    l->cap = cap;
    return SIO_OK;
}

static int on_listed(const char *name, const struct stat *st, int dir, void *user)
{
    struct listing *l = user;
    struct sio_str text = sio_str_from(name);
    struct entry *e;

    if (!hub_alert_type(l->kind, text) || hub_folder_has(l->before, name))
        return SIO_OK;
    if (l->n == l->cap && grow(l) < 0)
        return SIO_ERR_NOMEM;
    e = &l->entries[l->n];
    e->name = mem_strndup(text.ptr, text.len);
    if (!e->name)
        return SIO_ERR_NOMEM;
    e->mtime_us = (int64_t)st->st_mtim.tv_sec * 1000000 + st->st_mtim.tv_nsec / 1000;
    e->size = (uint64_t)st->st_size;
    e->seconds = l->kind == HUB_ALERT_VIDEO ? duration_of(l, dir, name, st) : 0;
    e->id = (uint32_t)++l->n;
    return SIO_OK;
}

static int newest_first(const void *a, const void *b)
{
    const struct entry *x = a;
    const struct entry *y = b;

    if (x->mtime_us != y->mtime_us)
        return x->mtime_us < y->mtime_us ? 1 : -1;
    return x->id < y->id ? -1 : 1;
}

static void write_member(struct wbuf *w, const char *name, struct sio_str text)
{
    wbuf_addf(w, ",\"%s\":", name);
    json_write_string(w, text);
}

static void write_entry(struct wbuf *w, const struct listing *l, const struct entry *e)
{
    char modified[CLOCK_LOCAL_SIZE];
    struct sio_str file = sio_str_from(e->name);
    struct hub_alert_name name;

    hub_alert_name_parse(file, &name);
    wbuf_addf(w, "{\"id\":%u,\"tamano\":%llu", e->id, (unsigned long long)e->size);
    write_member(w, "archivo", file);
    write_member(w, "fecha", sio_str_from(name.fecha));
    write_member(w, "hora", sio_str_from(name.hora));
    write_member(w, "linea", name.linea);
    write_member(w, "modificado",
                 (struct sio_str){modified, clock_format_local(e->mtime_us, modified)});
    if (l->kind == HUB_ALERT_VIDEO)
        wbuf_addf(w, ",\"duracion\":%.0f", e->seconds);
    wbuf_add_byte(w, '}');
}

static void reply_list(struct http_request *r, struct listing *l)
{
    size_t n = l->n < LIST_MAX ? l->n : LIST_MAX;
    struct wbuf w;

    if (l->n > 0)
        qsort(l->entries, l->n, sizeof(*l->entries), newest_first);
    wbuf_init(&w, HUB_REPLY_MAX);
    wbuf_addf(&w, "{\"success\":true,\"%s\":[", words[l->kind].list);
    for (size_t i = 0; i < n; i++) {
        if (i > 0)
            wbuf_add_byte(&w, ',');
        write_entry(&w, l, &l->entries[i]);
    }
    wbuf_addf(&w, "],\"total\":%zu}", n);
    hub_api_reply(r, &w);
}

static void on_list(struct http_request *r, void *user)
{
    const struct hub_alert_place *p = user;
    struct listing l = {
        .kind = p->kind, .durations = &p->hub->alerts.durations, .before = -1};
    size_t n;
    const struct hub_folder *folders = folders_of(&p->hub->alerts, p->kind, &n);
    int rv;

    if (p->kind == HUB_ALERT_VIDEO)
        hub_durations_begin(l.durations, clock_wall_us());
    rv = hub_folder_each(&folders[0], on_listed, &l);
    if (rv == SIO_OK && n > 1) {
        l.before = hub_folder_fd(&folders[0]);
        rv = hub_folder_each(&folders[1], on_listed, &l);
        if (l.before >= 0)
            close(l.before);
    }
    if (p->kind == HUB_ALERT_VIDEO)
        hub_durations_end(l.durations);
    if (rv == SIO_OK)
        reply_list(r, &l);
    else
        http_reply_error(r, 500, "No se pudo leer la carpeta");
    for (size_t i = 0; i < l.n; i++)
        mem_free(l.entries[i].name);
    mem_free(l.entries);
}

/*
 * One file.
 */

/* Opens what the path names, or answers. */
static bool open_named(struct http_request *r, const struct hub_alert_place *p,
                       struct http_file *f)
{
    struct sio_str name = http_request_param(r, 0);
    size_t n;
    const struct hub_folder *folders = folders_of(&p->hub->alerts, p->kind, &n);
    int rv = SIO_ERR_NOT_FOUND;

    if (hub_alert_type(p->kind, name))
        for (size_t i = 0; i < n && rv == SIO_ERR_NOT_FOUND; i++)
            rv = hub_folder_open(&folders[i], name, f);
    if (rv == SIO_OK)
        return true;
    if (rv == SIO_ERR_NOT_FOUND)
        http_reply_error(r, 404, words[p->kind].missing);
    else
        http_reply_error(r, 500, "No se pudo leer el archivo");
    return false;
}

/* With the name, if it has no character that a quoted string would have to escape. */
static void write_disposition(struct sio_str name, char *out, size_t size)
{
    bool plain = true;

    for (size_t i = 0; i < name.len; i++)
        if ((unsigned char)name.ptr[i] >= 0x7f || name.ptr[i] == '"')
            plain = false;
    if (plain)
        snprintf(out, size, "inline; filename=\"%.*s\"", STR_ARG(name));
    else
        snprintf(out, size, "inline");
}

static void on_file(struct http_request *r, void *user)
{
    const struct hub_alert_place *p = user;
    struct sio_str name = http_request_param(r, 0);
    char disposition[320];
    struct http_file_options opts = {
        .type = hub_alert_type(p->kind, name),
        .cache = "private, max-age=86400",
        .disposition = disposition,
    };
    struct http_file f;

    if (open_named(r, p, &f)) {
        write_disposition(name, disposition, sizeof(disposition));
        http_reply_field(r, "X-Content-Type-Options", SIO_STR("nosniff"));
        http_reply_file(r, &f, &opts);
    }
}

static void write_base64(struct wbuf *w, struct sio_str name, const char *type,
                         struct sio_buf *bytes)
{
    char *out;

    wbuf_add_cstr(w, "{\"success\":true,\"archivo\":");
    json_write_string(w, name);
    wbuf_addf(w, ",\"image\":\"data:%s;base64,", type);
    out = (char *)wbuf_extend(w, base64_encoded_len(bytes->len));
    if (out)
        base64_encode(bytes->data, bytes->len, out);
    wbuf_add_cstr(w, "\"}");
}

static void on_base64(struct http_request *r, void *user)
{
    struct sio_str name = http_request_param(r, 0);
    struct sio_buf *bytes;
    struct http_file f;
    struct wbuf w;

    if (!open_named(r, user, &f))
        return;
    bytes = http_file_read(&f, BASE64_MAX);
    http_file_close(&f);
    if (!bytes) {
        http_reply_error(r, 500, "No se pudo leer la imagen");
        return;
    }
    wbuf_init(&w, HUB_REPLY_MAX);
    write_base64(&w, name, hub_alert_type(HUB_ALERT_PICTURE, name), bytes);
    hub_api_reply(r, &w);
    sio_buf_unref(bytes);
}

static void reply_deleted(struct http_request *r, const struct hub_alert_place *p,
                          struct sio_str name)
{
    struct wbuf text;

    wbuf_init(&text, HUB_REPLY_MAX);
    wbuf_addf(&text, "%s %.*s %s", words[p->kind].noun, STR_ARG(name),
              words[p->kind].deleted);
    hub_api_reply_message(r, &text, NULL);
}

static void on_delete(struct http_request *r, void *user)
{
    const struct hub_alert_place *p = user;
    struct sio_str name = http_request_param(r, 0);
    size_t n;
    const struct hub_folder *folders = folders_of(&p->hub->alerts, p->kind, &n);
    int rv = SIO_ERR_NOT_FOUND;

    if (hub_alert_type(p->kind, name))
        for (size_t i = 0; i < n && rv == SIO_ERR_NOT_FOUND; i++)
            rv = hub_folder_remove(&folders[i], name);
    if (rv == SIO_OK)
        reply_deleted(r, p, name);
    else if (rv == SIO_ERR_NOT_FOUND)
        http_reply_error(r, 404, words[p->kind].missing);
    else
        http_reply_error(r, 500, "No se pudo eliminar el archivo");
}

void hub_alerts_init(struct hub_alerts *a)
{
    hub_durations_init(&a->durations);
}

void hub_alerts_fini(struct hub_alerts *a)
{
    hub_durations_fini(&a->durations);
    for (size_t i = 0; i < N_ELEMENTS(a->pictures); i++)
        hub_folder_fini(&a->pictures[i]);
    hub_folder_fini(&a->videos);
}

int hub_alerts_route(struct hub *hub)
{
    static const struct http_handler list = {.on_request = on_list};
    static const struct http_handler file = {.on_request = on_file};
    static const struct http_handler base64 = {.on_request = on_base64};
    static const struct http_handler gone = {.on_request = on_delete};
    struct hub_alert_place *picture = &hub->alerts.places[0];
    struct hub_alert_place *video = &hub->alerts.places[1];
    const struct {
        unsigned methods;
        const char *pattern;
        const struct http_handler *handler;
        struct hub_alert_place *place;
    } routes[] = {
        {HTTP_GET, "/api/intrusos", &list, picture},
        {HTTP_GET, "/api/intrusos/:", &file, picture},
        {HTTP_DELETE, "/api/intrusos/:", &gone, picture},
        {HTTP_GET, "/api/intrusos/:/base64", &base64, picture},
        {HTTP_GET, "/api/videos", &list, video},
        {HTTP_GET, "/api/videos/:", &file, video},
        {HTTP_DELETE, "/api/videos/:", &gone, video},
    };

    *picture = (struct hub_alert_place){hub, HUB_ALERT_PICTURE};
    *video = (struct hub_alert_place){hub, HUB_ALERT_VIDEO};
    for (size_t i = 0; i < N_ELEMENTS(routes); i++) {
        int rv = http_server_route(hub->http, routes[i].methods, routes[i].pattern,
                                   routes[i].handler, routes[i].place);

        if (rv < 0)
            return rv;
    }
    return SIO_OK;
}
