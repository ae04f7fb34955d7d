#include <config.h>

#include "socketio/tree.h"

#include "base/json.h"

static int write_scalar(struct wbuf *w, const cJSON *v)
{
    if (cJSON_IsNull(v))
        wbuf_add_cstr(w, "null");
    else if (cJSON_IsFalse(v))
        wbuf_add_cstr(w, "false");
    else if (cJSON_IsTrue(v))
        wbuf_add_cstr(w, "true");
    else if (cJSON_IsNumber(v))
        json_write_double(w, v->valuedouble);
    else if (cJSON_IsString(v))
        json_write_string(w, sio_str_from(v->valuestring));
    else if (cJSON_IsRaw(v) && v->valuestring)
        wbuf_add_cstr(w, v->valuestring);
    else
        return SIO_ERR_INVAL;
    return SIO_OK;
}

static void write_end(struct wbuf *w, const cJSON *v)
{
    wbuf_add_byte(w, cJSON_IsObject(v) ? '}' : ']');
}

int sio_tree_write(struct wbuf *w, const cJSON *value)
{
    const cJSON *open[JSON_MAX_DEPTH]; /* the containers around v */
    const cJSON *v = value;
    size_t depth = 0;

    for (;;) {
        if (depth > 0 && cJSON_IsObject(open[depth - 1])) {
            json_write_string(w, sio_str_from(v->string));
            wbuf_add_byte(w, ':');
        }
        if (cJSON_IsObject(v) || cJSON_IsArray(v)) {
            if (depth == JSON_MAX_DEPTH)
                return SIO_ERR_TOO_BIG;
            wbuf_add_byte(w, cJSON_IsObject(v) ? '{' : '[');
            if (v->child) {
                open[depth++] = v;
                v = v->child;
                continue;
            }
            write_end(w, v);
        } else if (write_scalar(w, v) < 0) {
            return SIO_ERR_INVAL;
        }
        while (depth > 0 && !v->next) {
            v = open[--depth];
            write_end(w, v);
        }
        if (depth == 0)
            return w->error;
        v = v->next;
        wbuf_add_byte(w, ',');
    }
}
