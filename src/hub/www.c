#include <config.h>

#include "hub/www.h"

#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/str.h"
#include "hub/hub_impl.h"

#define PATH_MAX_BYTES  1024
#define INDEX_MAX_BYTES (4 * 1024 * 1024)
#define API_MAX_BYTES   256

/* A build puts a digest into a file's name, so what is under that name never changes. */
#define FOR_EVER "public, max-age=31536000, immutable"

const char *hub_www_type(struct sio_str name)
{
    static const char *const types[][2] = {
        {".html", "text/html; charset=utf-8"},
        {".js", "text/javascript; charset=utf-8"},
        {".mjs", "text/javascript; charset=utf-8"},
        {".css", "text/css; charset=utf-8"},
        {".json", "application/json"},
        {".map", "application/json"},
        {".webmanifest", "application/manifest+json"},
        {".txt", "text/plain; charset=utf-8"},
        {".xml", "application/xml"},
        {".svg", "image/svg+xml"},
        {".png", "image/png"},
        {".jpg", "image/jpeg"},
        {".jpeg", "image/jpeg"},
        {".gif", "image/gif"},
        {".webp", "image/webp"},
        {".ico", "image/x-icon"},
        {".woff", "font/woff"},
        {".woff2", "font/woff2"},
        {".ttf", "font/ttf"},
        {".otf", "font/otf"},
        {".wasm", "application/wasm"},
        {".mp4", "video/mp4"},
        {".pdf", "application/pdf"},
    };

    for (size_t i = 0; i < N_ELEMENTS(types); i++) {
        struct sio_str suffix = sio_str_from(types[i][0]);
        struct sio_str end = {name.ptr + name.len - suffix.len, suffix.len};

        if (name.len > suffix.len && str_ieq(end, suffix))
            return types[i][1];
    }
    return "application/octet-stream";
}

/* A segment with eight hexadecimal digits or more in a row, some of them digits. */
static bool has_digest(struct sio_str name)
{
    size_t run = 0;
    bool digit = false;

    for (size_t i = 0; i < name.len; i++) {
        char c = name.ptr[i];

        if ((c >= '0' && c <= '9') || (c >= 'a' && c <= 'f')) {
            digit |= c <= '9';
            if (++run >= 8 && digit)
                return true;
        } else {
            run = 0;
            digit = false;
        }
    }
    return false;
}

static bool accepts(const struct http_request *r, struct sio_str coding)
{
    struct sio_str rest = http_request_field(r, "Accept-Encoding");

    while (rest.ptr) {
        struct sio_str params = str_cut(&rest, ',');
        struct sio_str name = str_trim(str_cut(&params, ';'));

        if (str_ieq(name, coding)) {
            params = params.ptr ? str_trim(params) : params;
            return !params.ptr || !(str_eq_cstr(params, "q=0") ||
                                    str_starts(params, SIO_STR("q=0.0")));
        }
    }
    return false;
}

/*
 * Opens path, which begins with '/', below the folder, one segment at a time, so that no
 * link and no ".." leads out.
 */
static int open_below(const char *dir, struct sio_str path, const char *suffix,
                      struct http_file *f)
{
    char name[PATH_MAX_BYTES];
    int fd = open(dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
    int rv = SIO_ERR_NOT_FOUND;

    str_cut(&path, '/');
    while (fd >= 0 && path.ptr) {
        struct sio_str segment = str_cut(&path, '/');
        int next;

        if (!hub_folder_name_ok(segment))
            break;
        snprintf(name, sizeof(name), "%.*s%s", STR_ARG(segment),
                 path.ptr ? "" : suffix);
        if (!path.ptr) {
            rv = http_file_open(fd, name, f);
            break;
        }
        next = openat(fd, name, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        close(fd);
        fd = next;
    }
    if (fd >= 0)
        close(fd);
    return rv;
}

/* The file itself, or its compressed form lying beside it. */
static int open_best(const struct hub_www *www, const struct http_request *r,
                     struct sio_str path, struct http_file *f, const char **encoding)
{
    static const char *const forms[][2] = {{"br", ".br"}, {"gzip", ".gz"}};

    for (size_t i = 0; i < N_ELEMENTS(forms); i++) {
        if (accepts(r, sio_str_from(forms[i][0])) &&
            open_below(www->dir, path, forms[i][1], f) == SIO_OK) {
            *encoding = forms[i][0];
            return SIO_OK;
        }
    }
    *encoding = NULL;
    return open_below(www->dir, path, "", f);
}

static void add_common(struct http_request *r)
{
    http_reply_field(r, "X-Content-Type-Options", SIO_STR("nosniff"));
    http_reply_field(r, "Vary", SIO_STR("Accept-Encoding"));
}

/* Where to insert: behind the first "<head>", or at the start. */
static size_t head_end(struct sio_str html)
{
    static const struct sio_str tag = SIO_STR_INIT("<head");

    for (size_t i = 0; i + tag.len < html.len; i++) {
        struct sio_str at = {html.ptr + i, tag.len};
        struct sio_str rest = {html.ptr + i, html.len - i};
        char after = html.ptr[i + tag.len];
        size_t end = str_find(rest, '>');

        if (str_ieq(at, tag) && (after == '>' || after == ' ') && end < rest.len)
            return i + end + 1;
    }
    return 0;
}

/* index.html with a line of ours in it. */
static void reply_told_index(struct http_request *r, const struct hub_www *www,
                             struct http_file *f)
{
    struct sio_buf *b = http_file_read(f, INDEX_MAX_BYTES);
    struct sio_slice all[3];
    size_t cut;

    if (!b) {
        http_reply_error(r, 500, "Error interno");
    } else {
        cut = head_end((struct sio_str){(const char *)sio_buf_data(b), sio_buf_len(b)});
        all[0] = (struct sio_slice){b, sio_buf_data(b), cut};
        all[1] =
            (struct sio_slice){NULL, (const uint8_t *)www->told, strlen(www->told)};
        all[2] = (struct sio_slice){b, sio_buf_data(b) + cut, sio_buf_len(b) - cut};
        add_common(r);
        http_reply_field(r, "Cache-Control", SIO_STR("no-cache"));
        http_reply(r, 200, "text/html; charset=utf-8", all, 3);
    }
    sio_buf_unref(b);
    http_file_close(f);
}

static void reply_index(struct http_request *r, struct hub *hub)
{
    const struct hub_www *www = &hub->www;
    struct http_file_options opts = {.type = "text/html; charset=utf-8"};
    struct sio_str path = SIO_STR("/index.html");
    struct http_file f;
    int rv = www->told ? open_below(www->dir, path, "", &f)
                       : open_best(www, r, path, &f, &opts.encoding);

    if (rv < 0) {
        http_reply_error(r, 404, "No encontrado");
        return;
    }
    hub_live_http_greet(hub, r);
    if (www->told) {
        reply_told_index(r, www, &f);
    } else {
        add_common(r);
        http_reply_file(r, &f, &opts);
    }
}

static bool is_below(struct sio_str path, const char *folder)
{
    struct sio_str f = sio_str_from(folder);

    return str_starts(path, f) && (path.len == f.len || path.ptr[f.len] == '/');
}

/* The last segment of a file has a dot in it; that of a page's own route has none. */
static bool looks_like_file(struct sio_str path)
{
    for (size_t i = path.len; i-- > 0 && path.ptr[i] != '/';)
        if (path.ptr[i] == '.')
            return true;
    return false;
}

static void reply_path(struct http_request *r, struct hub *hub, struct sio_str path)
{
    const struct hub_www *www = &hub->www;
    struct http_file_options opts = {.type = hub_www_type(path)};
    struct http_file f;

    if (path.len == 1 || str_eq_cstr(path, "/index.html")) {
        reply_index(r, hub);
    } else if (open_best(www, r, path, &f, &opts.encoding) == SIO_OK) {
        opts.cache = has_digest(path) ? FOR_EVER : NULL;
        add_common(r);
        http_reply_file(r, &f, &opts);
    } else if (looks_like_file(path)) {
        http_reply_error(r, 404, "No encontrado");
    } else {
        reply_index(r, hub);
    }
}

static void on_request(struct http_request *r, void *user)
{
    struct hub *hub = user;
    struct sio_str raw = http_request_path(r);
    char text[PATH_MAX_BYTES];
    struct sio_str path = {text, 0};

    if (raw.len < sizeof(text))
        path.len = str_percent_decode(raw, text, false);
    if (path.len == 0 || is_below(path, "/api") || is_below(path, "/socket.io")) {
        http_reply_error(r, 404, "No encontrado");
    } else if (!(http_request_method(r) & (HTTP_GET | HTTP_HEAD))) {
        http_reply_field(r, "Allow", SIO_STR("OPTIONS, HEAD, GET"));
        http_reply_error(r, 405, "Método no permitido");
    } else {
        reply_path(r, hub, path);
    }
}

/* An origin goes into a script: nothing that could end a string. */
static bool is_origin(struct sio_str s)
{
    if (!str_starts(s, SIO_STR("http://")) && !str_starts(s, SIO_STR("https://")))
        return false;
    for (size_t i = 0; i < s.len; i++)
        if (!((s.ptr[i] >= 'a' && s.ptr[i] <= 'z') ||
              (s.ptr[i] >= 'A' && s.ptr[i] <= 'Z') ||
              (s.ptr[i] >= '0' && s.ptr[i] <= '9') || strchr("-._:/[]", s.ptr[i])))
            return false;
    return s.len <= API_MAX_BYTES;
}

static int make_told(struct hub_www *www, const char *api, struct sio_diag *diag)
{
    static const char form[] = "<script>globalThis.process={env:{REACT_APP_API_URL:"
                               "%s%s%s}}</script>";
    bool self = strcmp(api, "self") == 0;
    size_t size = sizeof(form) + API_MAX_BYTES;

    if (!self && !is_origin(sio_str_from(api)))
        return sio_diag_set(diag, SIO_ERR_INVAL,
                            "www_api must be \"self\" or an address such as "
                            "https://hub.example");
    www->told = mem_alloc(size);
    if (!www->told)
        return sio_diag_set(diag, SIO_ERR_NOMEM, "out of memory");
    snprintf(www->told, size, form, self ? "" : "\"", self ? "location.origin" : api,
             self ? "" : "\"");
    return SIO_OK;
}

int hub_www_init(struct hub_www *www, struct hub *hub, struct sio_diag *diag)
{
    static const struct http_handler handler = {.on_request = on_request};
    const struct hub_config *config = hub->config;
    struct http_file f;
    int rv = SIO_OK;

    www->dir = config->www_dir;
    if (open_below(www->dir, SIO_STR("/index.html"), "", &f) < 0)
        return sio_diag_set(diag, SIO_ERR_NOT_FOUND, "www: there is no %s/index.html",
                            www->dir);
    http_file_close(&f);
    if (config->www_api)
        rv = make_told(www, config->www_api, diag);
    if (rv == SIO_OK && http_server_route(hub->http, HTTP_ANY, "/*", &handler, hub) < 0)
        rv = sio_diag_set(diag, SIO_ERR_NOMEM, "out of memory");
    return rv;
}

void hub_www_fini(struct hub_www *www)
{
    mem_free(www->told);
    www->told = NULL;
}
