#include <config.h>

#include "agent/messages.h"

#include "base/base64.h"
#include "base/buf.h"
#include "base/camera_list.h"
#include "base/clock.h"
#include "base/json.h"

#define TEXT_MAX_BYTES         (64 * 1024)
#define SILENT_HUB_MAX_PAYLOAD 1000000
#define PICTURE_MAX_BYTES      (6 * 1024 * 1024)

static void add_name(struct wbuf *w, const char *key, const char *value)
{
    wbuf_add_cstr(w, key);
    json_write_string(w, sio_str_from(value));
}

static void add_time(struct wbuf *w, int64_t wall_us)
{
    char text[CLOCK_LOCAL_SIZE];

    clock_format_local(wall_us, text);
    wbuf_add_cstr(w, ",\"timestamp\":\"");
    wbuf_add_cstr(w, text);
    wbuf_add_byte(w, '"');
}

/* Ends w; its text becomes the only argument of event. */
static struct sio_message *message_of(const char *event, struct wbuf *w)
{
    struct sio_message *m = NULL;

    if (w->error == SIO_OK)
        m = sio_message_new(event);
    if (m && sio_message_add_raw(m, wbuf_str(w)) < 0) {
        sio_message_free(m);
        m = NULL;
    }
    wbuf_fini(w);
    return m;
}

struct sio_message *agent_message_register(const char *nuc_id, const char *const *ids,
                                           size_t n_ids,
                                           const struct agent_network *network,
                                           int64_t wall_us)
{
    struct wbuf w;

    wbuf_init(&w, TEXT_MAX_BYTES);
    add_name(&w, "{\"nuc_id\":", nuc_id);
    wbuf_add_cstr(&w, ",\"camaras\":[");
    for (size_t i = 0; i < n_ids; i++)
        add_name(&w, i > 0 ? "," : "", ids[i]);
    wbuf_add_byte(&w, ']');
    add_time(&w, wall_us);
    wbuf_add_cstr(&w, ",\"capacidades\":[\"stream\"]");
    add_name(&w, ",\"ip_local\":", network->address);
    add_name(&w, ",\"red\":", network->network);
    wbuf_add_cstr(&w, ",\"version\":\"" PACKAGE_VERSION "\"}");
    return message_of("nuc_register", &w);
}

struct sio_message *agent_message_error(const char *event, const char *nuc_id,
                                        const char *id, struct sio_str error,
                                        int64_t wall_us)
{
    struct wbuf w;

    wbuf_init(&w, TEXT_MAX_BYTES);
    add_name(&w, "{\"nuc_id\":", nuc_id);
    add_name(&w, ",\"ip\":", id);
    wbuf_add_cstr(&w, ",\"error\":");
    json_write_string(&w, error);
    add_time(&w, wall_us);
    wbuf_add_byte(&w, '}');
    return message_of(event, &w);
}

struct sio_message *agent_message_pong(const char *nuc_id, int64_t wall_us)
{
    struct wbuf w;

    wbuf_init(&w, TEXT_MAX_BYTES);
    add_name(&w, "{\"nuc_id\":", nuc_id);
    add_time(&w, wall_us);
    wbuf_add_byte(&w, '}');
    return message_of("pong", &w);
}

static struct sio_buf *base64_of(struct sio_buf *jpeg)
{
    size_t len = sio_buf_len(jpeg);
    struct sio_buf *text = sio_buf_new(base64_encoded_len(len));

    if (text)
        base64_encode(sio_buf_data(jpeg), len, (char *)sio_buf_data(text));
    return text;
}

struct sio_message *agent_message_snapshot(const char *nuc_id, const char *id,
                                           struct sio_buf *jpeg, int64_t wall_us)
{
    struct sio_buf *image = base64_of(jpeg);
    struct sio_message *m = NULL;
    struct wbuf head;
    struct wbuf tail;

    wbuf_init(&head, TEXT_MAX_BYTES);
    wbuf_init(&tail, TEXT_MAX_BYTES);
    add_name(&head, "{\"nuc_id\":", nuc_id);
    add_name(&head, ",\"ip\":", id);
    wbuf_add_cstr(&head, ",\"image\":\"");
    wbuf_add_byte(&tail, '"');
    add_time(&tail, wall_us);
    wbuf_add_cstr(&tail, ",\"estado\":\"activa\"}");
    if (image && head.error == SIO_OK && tail.error == SIO_OK)
        m = sio_message_new("snapshot");
    if (m) {
        sio_message_begin(m);
        sio_message_text(m, wbuf_str(&head));
        sio_message_slice(m, sio_slice_of(image));
        sio_message_text(m, wbuf_str(&tail));
        if (sio_message_end(m) < 0) {
            sio_message_free(m);
            m = NULL;
        }
    }
    wbuf_fini(&tail);
    wbuf_fini(&head);
    sio_buf_unref(image);
    return m;
}

struct sio_message *agent_message_frame(const char *nuc_id, const char *id,
                                        struct sio_buf *jpeg, int64_t wall_us)
{
    struct sio_message *m = sio_message_new("frame");
    struct wbuf w;

    if (!m)
        return NULL;
    wbuf_init(&w, TEXT_MAX_BYTES);
    add_name(&w, "{\"nuc_id\":", nuc_id);
    add_name(&w, ",\"ip\":", id);
    add_time(&w, wall_us);
    wbuf_add_cstr(&w, ",\"image\":");
    sio_message_begin(m);
    sio_message_text(m, wbuf_str(&w));
    sio_message_attachment(m, sio_slice_of(jpeg));
    sio_message_text(m, SIO_STR("}"));
    if (w.error < 0 || sio_message_end(m) < 0) {
        sio_message_free(m);
        m = NULL;
    }
    wbuf_fini(&w);
    return m;
}

struct sio_buf *agent_message_auth(const char *nuc_id, const char *token)
{
    struct sio_buf *b;
    struct wbuf w;

    wbuf_init(&w, TEXT_MAX_BYTES);
    add_name(&w, "{\"nuc_id\":", nuc_id);
    if (token && token[0])
        add_name(&w, ",\"token\":", token);
    wbuf_add_byte(&w, '}');
    b = wbuf_take(&w);
    wbuf_fini(&w);
    return b;
}

size_t agent_message_max_jpeg(size_t max_payload, const char *nuc_id)
{
    /* Each byte of a name is at most \u00XX; 256 for the rest of the envelope. */
    size_t envelope = 256 + 6 * (strlen(nuc_id) + CAMERA_ID_MAX);
    size_t max;

    if (max_payload == 0)
        max_payload = SILENT_HUB_MAX_PAYLOAD;
    if (max_payload <= envelope)
        return 0;
    max = (max_payload - envelope) / 4 * 3;
    return max < PICTURE_MAX_BYTES ? max : PICTURE_MAX_BYTES;
}
