#include <config.h>

#include "hub/fences.h"

#include <stdio.h>

#include "base/camera_list.h"
#include "base/json.h"
#include "base/str.h"
#include "base/utf8.h"
#include "hub/hub_impl.h"

#define FILE_PREFIX "config_cercas_"
#define FILE_SUFFIX ".json"
#define FILE_SIZE   (sizeof(FILE_PREFIX) + HUB_ID_MAX + sizeof(FILE_SUFFIX))
#define BACKUP      ".bak"

static const char *const colors[] = {"Amarillo", "Naranja", "Magenta", "Cyan",
                                     "Verde",    "Rojo",    "Azul"};
static const char *const coordinates[] = {"x1", "y1", "x2", "y2"};

/*
 * Writing: as Python's json.dump(indent=2) lays it out, which is what is there.
 */

/* Non-ASCII as \uXXXX, in UTF-16. */
static void write_ascii(struct wbuf *w, struct sio_str utf8)
{
    struct wbuf plain;
    struct sio_str s;

    wbuf_init(&plain, UINT32_MAX);
    json_write_string(&plain, utf8);
    s = wbuf_str(&plain);
    for (size_t i = 0; i < s.len;) {
        unsigned char c = (unsigned char)s.ptr[i];
        size_t n = c < 0x80 ? 1 : c < 0xe0 ? 2 : c < 0xf0 ? 3 : 4;
        uint32_t code = c & (0x7fu >> (n > 1 ? n : 0));

        for (size_t k = 1; k < n; k++)
            code = code << 6 | ((unsigned char)s.ptr[i + k] & 0x3f);
        if (n == 1)
            wbuf_add_byte(w, c);
        else if (code < 0x10000)
            wbuf_addf(w, "\\u%04x", code);
        else
            wbuf_addf(w, "\\u%04x\\u%04x", 0xd7c0 + (code >> 10),
                      0xdc00 + (code & 0x3ff));
        i += n;
    }
    if (plain.error < 0)
        w->error = plain.error;
    wbuf_fini(&plain);
}

static void write_raw_string(struct wbuf *w, struct sio_str raw)
{
    struct wbuf text;

    wbuf_init(&text, UINT32_MAX);
    json_string_decode(raw, &text);
    write_ascii(w, wbuf_str(&text));
    if (text.error < 0)
        w->error = text.error;
    wbuf_fini(&text);
}

/* One line of a POST; SIO_ERR_PARSE with a diag that says what is wrong with it. */
static int write_line(struct sio_str line, size_t number, struct wbuf *w,
                      struct sio_diag *diag)
{
    struct sio_str value;
    double d;

    if (json_type(line) != JSON_OBJECT)
        return sio_diag_set(diag, SIO_ERR_PARSE, "Línea %zu: no es un objeto", number);
    wbuf_add_cstr(w, "    [\n");
    for (size_t i = 0; i < N_ELEMENTS(coordinates); i++) {
        if (!json_get(line, coordinates[i], &value) || !json_number(value, &d) ||
            !(d >= 0 && d <= 100))
            return sio_diag_set(diag, SIO_ERR_PARSE,
                                "Línea %zu: %s debe ser un número de 0 a 100", number,
                                coordinates[i]);
        wbuf_add_cstr(w, "      ");
        json_write_double(w, d);
        wbuf_add_cstr(w, ",\n");
    }
    if (!json_get(line, "nombre", &value) || json_type(value) != JSON_STRING ||
        value.len > HUB_FENCE_NAME + 2)
        return sio_diag_set(diag, SIO_ERR_PARSE,
                            "Línea %zu: nombre debe ser un texto de hasta %d bytes",
                            number, HUB_FENCE_NAME);
    wbuf_add_cstr(w, "      ");
    write_raw_string(w, value);
    d = 0;
    if (json_get(line, "color_index", &value) &&
        (!json_number(value, &d) || !(d >= -1e9 && d <= 1e9) ||
         d != (double)(long long)d))
        return sio_diag_set(diag, SIO_ERR_PARSE,
                            "Línea %zu: color_index debe ser un número entero", number);
    wbuf_addf(w, ",\n      %lld\n    ]", (long long)d);
    return SIO_OK;
}

int hub_fences_write(struct sio_str body, struct sio_str ip, struct wbuf *file,
                     struct sio_diag *diag)
{
    struct sio_str lines = SIO_STR("[]");
    struct sio_str key, line;
    struct json_iter it;
    size_t n = 0;

    body = json_trim(body);
    if (!utf8_check(body.ptr, body.len) || json_check(body) < 0 ||
        json_type(body) != JSON_OBJECT)
        return sio_diag_set(diag, SIO_ERR_PARSE, "El cuerpo no es un objeto JSON");
    if (json_get(body, "lineas", &lines) && json_type(lines) != JSON_ARRAY)
        return sio_diag_set(diag, SIO_ERR_PARSE, "lineas debe ser una lista");
    wbuf_add_cstr(file, "{\n  \"lineas\": [");
    for (it = json_iter(lines); json_next(&it, &key, &line);) {
        int rv;

        if (++n > HUB_FENCES_MAX)
            return sio_diag_set(diag, SIO_ERR_PARSE, "Más de %d líneas",
                                HUB_FENCES_MAX);
        wbuf_add_cstr(file, n > 1 ? ",\n" : "\n");
        rv = write_line(line, n, file, diag);
        if (rv < 0)
            return rv;
    }
    wbuf_add_cstr(file, n > 0 ? "\n  ],\n  \"camara\": " : "],\n  \"camara\": ");
    write_ascii(file, ip);
    wbuf_add_cstr(file, "\n}");
    return file->error < 0 ? file->error : (int)n;
}

/*
 * Reading.
 */

static bool read_line(struct sio_str line, struct hub_fence *f)
{
    struct sio_str items[6];
    size_t n;
    double color = 0;
    double d;

    if (json_array_cut(line, items, N_ELEMENTS(items), &n) < 0 || n < 5)
        return false;
    for (size_t i = 0; i < N_ELEMENTS(f->at); i++) {
        if (!json_number(items[i], &d))
            return false;
        f->at[i] = items[i];
    }
    f->nombre = items[4];
    if (n > 5 && (!json_number(items[5], &color) || !(color > -1e15 && color < 1e15)))
        return false;
    f->color_index = (int64_t)color;
    f->color = (unsigned)(((f->color_index % 7) + 7) % 7);
    return json_type(f->nombre) == JSON_STRING;
}

static int find_lines(struct sio_str file, struct sio_str *lines)
{
    if (!utf8_check(file.ptr, file.len) || json_check(file) < 0 ||
        json_type(file) != JSON_OBJECT || !json_get(file, "lineas", lines) ||
        json_type(*lines) != JSON_ARRAY)
        return SIO_ERR_PARSE;
    return SIO_OK;
}

int hub_fences_read(struct sio_str file,
                    void (*fn)(const struct hub_fence *f, void *user), void *user)
{
    struct hub_fence f;
    struct json_iter it;
    struct sio_str lines, key, line;
    int n = 0;

    if (find_lines(file, &lines) < 0)
        return SIO_ERR_PARSE;
    /* A line of another form is a detector's business; the others are still shown. */
    for (it = json_iter(lines); json_next(&it, &key, &line);) {
        if (!read_line(line, &f))
            continue;
        if (fn)
            fn(&f, user);
        n++;
    }
    return n;
}

/*
 * The API.
 */

/* The file of a camera, or NULL: not a camera's name; answered. */
static const char *file_name(struct http_request *r, struct sio_str ip,
                             char out[FILE_SIZE])
{
    size_t n = strlen(FILE_PREFIX);

    if (!camera_id_check(ip)) {
        http_reply_error(r, 400, "Nombre de cámara no válido");
        return NULL;
    }
    memcpy(out, FILE_PREFIX, n);
    for (size_t i = 0; i < ip.len; i++)
        out[n++] = ip.ptr[i] == '.' ? '_' : ip.ptr[i];
    memcpy(out + n, FILE_SUFFIX, sizeof(FILE_SUFFIX));
    return out;
}

/* The file's bytes, owned by the caller.  SIO_ERR_NOT_FOUND, SIO_ERR_IO. */
static int read_file(const struct hub *hub, const char *name, struct sio_buf **out)
{
    struct http_file f;
    int rv = hub_folder_open(&hub->cercas, sio_str_from(name), &f);

    if (rv < 0)
        return rv;
    *out = http_file_read(&f, HUB_FENCES_FILE);
    http_file_close(&f);
    return *out ? SIO_OK : SIO_ERR_IO;
}

static struct sio_str text_of(const struct sio_buf *b)
{
    return json_trim((struct sio_str){(const char *)b->data, b->len});
}

static void write_fence(const struct hub_fence *f, void *user)
{
    struct wbuf *w = user;

    if (w->len > 0 && w->buf->data[w->len - 1] == '}')
        wbuf_add_byte(w, ',');
    wbuf_add_cstr(w, "{\"nombre\":");
    wbuf_add_str(w, f->nombre);
    for (size_t i = 0; i < N_ELEMENTS(f->at); i++) {
        wbuf_addf(w, ",\"%s\":", coordinates[i]);
        wbuf_add_str(w, f->at[i]);
    }
    wbuf_addf(w, ",\"color_index\":%u,\"color\":\"%s\",\"activa\":true}", f->color,
              colors[f->color]);
}

static void on_get(struct http_request *r, void *user)
{
    struct sio_str ip = http_request_param(r, 0);
    char name[FILE_SIZE];
    struct sio_buf *file = NULL;
    struct wbuf w;
    int n = 0;
    int rv;

    if (!file_name(r, ip, name))
        return;
    rv = read_file(user, name, &file);
    wbuf_init(&w, HUB_REPLY_MAX);
    wbuf_add_cstr(&w, "{\"success\":true,\"camara\":");
    json_write_string(&w, ip);
    wbuf_add_cstr(&w, ",\"cercas\":[");
    if (rv == SIO_OK)
        n = hub_fences_read(text_of(file), write_fence, &w);
    wbuf_addf(&w, "],\"total\":%d}", n);
    if (n < 0 || (rv < 0 && rv != SIO_ERR_NOT_FOUND)) {
        wbuf_fini(&w);
        http_reply_error(r, 500, "No se pudo leer el archivo de cercas");
    } else {
        hub_api_reply(r, &w);
    }
    sio_buf_unref(file);
}

static int write_file(const struct hub *hub, const char *name, struct sio_str bytes)
{
    char backup[FILE_SIZE + sizeof(BACKUP)];

    snprintf(backup, sizeof(backup), "%s%s", name, BACKUP);
    return hub_folder_write(&hub->cercas, name, backup, bytes);
}

static void reply_not_written(struct http_request *r, const struct hub *hub, int error)
{
    if (error == SIO_ERR_NOT_FOUND) {
        http_reply_error(r, 503, "El servidor no tiene carpeta de cercas");
        return;
    }
    log_error(hub->log, "cercas: cannot write to folder %s: %m", hub->cercas.path);
    http_reply_error(r, 500, "No se pudieron guardar las cercas");
}

/* Other types can be posted by any page without asking: no preflight. */
static bool is_json(struct sio_str type)
{
    struct sio_str rest = type;

    return type.ptr &&
           str_ieq(str_trim(str_cut(&rest, ';')), SIO_STR("application/json"));
}

static void on_post(struct http_request *r, void *user)
{
    const struct hub *hub = user;
    struct sio_str ip = http_request_param(r, 0);
    struct sio_slice body = http_request_body(r);
    char name[FILE_SIZE];
    struct sio_diag diag;
    struct wbuf w, message;
    int n, rv;

    if (!file_name(r, ip, name))
        return;
    if (!is_json(http_request_field(r, "Content-Type"))) {
        http_reply_error(r, 415, "El cuerpo debe ser application/json");
        return;
    }
    wbuf_init(&w, HUB_FENCES_FILE);
    n = hub_fences_write((struct sio_str){(const char *)body.ptr, body.len}, ip, &w,
                         &diag);
    if (n == SIO_ERR_PARSE) {
        http_reply_error(r, 400, diag.text);
    } else if (n < 0) {
        http_reply_error(r, 500, "Error interno");
    } else {
        rv = write_file(hub, name, wbuf_str(&w));
        if (rv < 0) {
            reply_not_written(r, hub, rv);
        } else {
            wbuf_init(&message, HUB_REPLY_MAX);
            wbuf_addf(&message, "Guardadas %d cercas para cámara %.*s", n, STR_ARG(ip));
            hub_api_reply_message(r, &message, name);
        }
    }
    wbuf_fini(&w);
}

/* The file without the lines of that name; the others are kept as they stand. */
static int without(struct sio_str file, struct sio_str nombre, struct sio_str ip,
                   struct wbuf *w)
{
    struct sio_str lines, key, line;
    struct json_iter it;
    bool any = false;

    if (find_lines(file, &lines) < 0)
        return SIO_ERR_PARSE;
    wbuf_add_cstr(w, "{\n  \"lineas\": [");
    for (it = json_iter(lines); json_next(&it, &key, &line);) {
        struct sio_str items[5];
        size_t n;

        if (json_array_cut(line, items, N_ELEMENTS(items), &n) == SIO_OK && n >= 5 &&
            json_type(items[4]) == JSON_STRING && json_string_eq(items[4], nombre))
            continue;
        wbuf_add_cstr(w, any ? ",\n    " : "\n    ");
        wbuf_add_str(w, line);
        any = true;
    }
    wbuf_add_cstr(w, any ? "\n  ],\n  \"camara\": " : "],\n  \"camara\": ");
    write_ascii(w, ip);
    wbuf_add_cstr(w, "\n}");
    return w->error;
}

static void on_delete(struct http_request *r, void *user)
{
    const struct hub *hub = user;
    struct sio_str ip = http_request_param(r, 0);
    struct sio_str nombre = http_request_param(r, 1);
    struct sio_buf *file = NULL;
    struct wbuf w, message;
    char name[FILE_SIZE];
    int rv;

    if (!file_name(r, ip, name))
        return;
    rv = read_file(hub, name, &file);
    if (rv == SIO_ERR_NOT_FOUND) {
        http_reply_error(r, 404, "Archivo de configuración no encontrado");
        return;
    }
    wbuf_init(&w, HUB_FENCES_FILE);
    if (rv == SIO_OK)
        rv = without(text_of(file), nombre, ip, &w);
    sio_buf_unref(file);
    if (rv < 0) {
        http_reply_error(r, 500, "No se pudo leer el archivo de cercas");
    } else if ((rv = write_file(hub, name, wbuf_str(&w))) < 0) {
        reply_not_written(r, hub, rv);
    } else {
        wbuf_init(&message, HUB_REPLY_MAX);
        wbuf_addf(&message, "Cerca %.*s eliminada de cámara %.*s", STR_ARG(nombre),
                  STR_ARG(ip));
        hub_api_reply_message(r, &message, NULL);
    }
    wbuf_fini(&w);
}

/*
 * The list of all.
 */

struct listing {
    const struct hub *hub;
    struct wbuf w;
    size_t n;
};

/* The camera that the file names, else the one that its own name stands for. */
static void write_camera(struct wbuf *w, struct sio_str file, struct sio_str stem)
{
    struct sio_str camara;

    if (json_get(file, "camara", &camara) && json_type(camara) == JSON_STRING) {
        wbuf_add_str(w, camara);
        return;
    }
    wbuf_add_byte(w, '"');
    for (size_t i = 0; i < stem.len; i++)
        wbuf_add_byte(w, stem.ptr[i] == '_' ? '.' : (uint8_t)stem.ptr[i]);
    wbuf_add_byte(w, '"');
}

static int on_listed(const char *name, const struct stat *st, int dir, void *user)
{
    struct listing *l = user;
    struct sio_str stem = sio_str_from(name);
    size_t around = strlen(FILE_PREFIX) + strlen(FILE_SUFFIX);
    struct sio_buf *file;
    int n;

    (void)st;
    (void)dir;
    if (stem.len <= around || !str_starts(stem, SIO_STR(FILE_PREFIX)) ||
        strcmp(name + stem.len - strlen(FILE_SUFFIX), FILE_SUFFIX) != 0)
        return SIO_OK;
    stem.ptr += strlen(FILE_PREFIX);
    stem.len -= around;
    if (!camera_id_check(stem) || read_file(l->hub, name, &file) < 0)
        return SIO_OK;
    n = hub_fences_read(text_of(file), NULL, NULL);
    if (n >= 0) { /* one bad file must not hide the others */
        wbuf_add_cstr(&l->w, l->n++ > 0 ? ",{\"camara\":" : "{\"camara\":");
        write_camera(&l->w, text_of(file), stem);
        wbuf_addf(&l->w, ",\"archivo\":\"%s\",\"total_cercas\":%d}", name, n);
    }
    sio_buf_unref(file);
    return SIO_OK;
}

static void on_list(struct http_request *r, void *user)
{
    struct listing l = {.hub = user};

    wbuf_init(&l.w, HUB_REPLY_MAX);
    wbuf_add_cstr(&l.w, "{\"success\":true,\"configuraciones\":[");
    if (hub_folder_each(&l.hub->cercas, on_listed, &l) < 0) {
        wbuf_fini(&l.w);
        http_reply_error(r, 500, "No se pudo leer la carpeta");
        return;
    }
    wbuf_addf(&l.w, "],\"total_camaras\":%zu}", l.n);
    hub_api_reply(r, &l.w);
}

int hub_fences_route(struct hub *hub)
{
    static const struct hub_route routes[] = {
        {HTTP_GET, "/api/cercas", {.on_request = on_list}},
        {HTTP_GET, "/api/cercas/:", {.on_request = on_get}},
        {HTTP_POST,
         "/api/cercas/:",
         {.on_request = on_post, .max_body = HUB_FENCES_BYTES}},
        {HTTP_DELETE, "/api/cercas/:/:", {.on_request = on_delete, .max_body = 4096}},
    };

    return hub_api_add_routes(hub, routes, N_ELEMENTS(routes));
}
