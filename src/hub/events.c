#include <config.h>

#include <stdio.h>

#include "base/base64.h"
#include "base/buf.h"
#include "base/clock.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/str.h"
#include "base/utf8.h"
#include "hub/hub_impl.h"
#include "hub/picture.h"

#define ROOM_VIEWERS    SIO_STR("viewers")
#define TOKEN_MAX       1024
#define FIELD_MAX       256  /* bytes of estado and timestamp, as JSON */
#define ERROR_MAX       4096 /* bytes of a snapshot_error's text, as JSON */
#define BAD_LINES       10   /* a minute */
#define REPLACE_PICTURE ((uint64_t)1 << 32) /* above the ids of cameras */

/* An agent's socket.  A viewer's has no data. */
struct agent {
    struct hub_nuc_socket nuc_socket;
    struct sio_socket *socket;
};

static struct agent *agent_of(struct sio_socket *s)
{
    return sio_socket_data(s);
}

static struct hub_nuc *nuc_of(struct sio_socket *s)
{
    struct agent *agent = agent_of(s);

    return agent ? agent->nuc_socket.nuc : NULL;
}

struct hub_nuc *hub_events_nuc(struct sio_socket *s)
{
    return nuc_of(s);
}

void hub_events_ignore(struct hub *hub, struct sio_socket *s, const struct sio_event *e,
                       const char *what)
{
    struct hub_nuc *nuc = nuc_of(s);

    if (log_limit(&hub->limit_bad, net_loop_now_ms(hub->loop), BAD_LINES))
        log_warn(hub->log, "nuc_id=%s event=%.*s ignored: %s", nuc ? nuc->id : "-",
                 STR_ARG(sio_event_name(e)), what);
}

/*
 * Who connects.  The auth payload counts if it is an object with members; then the
 * query (EVENTS, 2.1).
 */

struct identity {
    char nuc_id[HUB_ID_MAX + 1]; /* "" for a viewer */
    char token[TOKEN_MAX + 1];
    bool refused; /* a nuc_id that cannot be one */
};

/* The characters of a raw string; false if they do not fit, or one is NUL. */
static bool copy_string(struct sio_str raw, char *out, size_t max)
{
    struct wbuf w;
    bool ok;

    wbuf_init(&w, max);
    json_string_decode(raw, &w);
    ok = w.error == SIO_OK && (w.len == 0 || !memchr(w.buf->data, '\0', w.len));
    if (ok)
        memcpy(out, wbuf_str(&w).ptr, w.len);
    out[ok ? w.len : 0] = '\0';
    wbuf_fini(&w);
    return ok;
}

static bool copy_text(struct sio_str text, char *out, size_t max)
{
    bool ok = text.len <= max && str_find(text, '\0') == text.len;

    if (ok && text.len > 0)
        memcpy(out, text.ptr, text.len);
    out[ok ? text.len : 0] = '\0';
    return ok;
}

static bool is_clean(const char *id)
{
    for (const char *p = id; *p; p++)
        if ((unsigned char)*p < 0x20 || *p == 0x7f)
            return false;
    return utf8_check(id, strlen(id));
}

static void read_identity(struct sio_socket *s, struct sio_str auth,
                          struct identity *out)
{
    struct eio_session *session = sio_socket_session(s);
    struct json_iter it = json_iter(auth);
    struct sio_str key, value;
    bool good = true;

    *out = (struct identity){.refused = false};
    if (auth.ptr && json_next(&it, &key, &value)) {
        if (json_get(auth, "nuc_id", &value) && json_type(value) == JSON_STRING)
            good = copy_string(value, out->nuc_id, HUB_ID_MAX);
        if (json_get(auth, "token", &value) && json_type(value) == JSON_STRING)
            copy_string(value, out->token, TOKEN_MAX);
    } else {
        if (eio_session_query(session, "nuc_id", &value))
            good = copy_text(value, out->nuc_id, HUB_ID_MAX);
        if (eio_session_query(session, "token", &value))
            copy_text(value, out->token, TOKEN_MAX);
    }
    out->refused = !good || !is_clean(out->nuc_id);
    /* What the server answers to those that have no name. */
    if (strcmp(out->nuc_id, "unknown") == 0)
        out->nuc_id[0] = '\0';
}

/* In a time that does not tell how much of it is right. */
static bool same_secret(const char *a, const char *b)
{
    size_t len = strlen(a);
    unsigned char diff = 0;

    if (strlen(b) != len)
        return false;
    for (size_t i = 0; i < len; i++)
        diff |= (unsigned char)(a[i] ^ b[i]);
    return diff == 0;
}

static bool token_is_right(const struct hub *hub, const struct identity *who)
{
    const char *expected = hub->config->token;

    if (hub->open)
        return true;
    for (size_t i = 0; i < hub->config->n_nucs; i++)
        if (hub->config->nucs[i].token &&
            strcmp(hub->config->nucs[i].id, who->nuc_id) == 0)
            expected = hub->config->nucs[i].token;
    return expected && same_secret(expected, who->token);
}

static const char *on_join(struct sio_socket *s, struct sio_str auth,
                           struct sio_str *data, void *user)
{
    struct hub *hub = user;
    struct identity who;
    const char *refusal = NULL;

    (void)data;
    read_identity(s, auth, &who);
    if (who.refused)
        refusal = "nuc_id no válido";
    else if (who.nuc_id[0] && !token_is_right(hub, &who))
        refusal = "No autorizado";
    if (refusal && log_limit(&hub->limit_bad, net_loop_now_ms(hub->loop), BAD_LINES))
        log_warn(hub->log, "nuc_id=%s address=%.*s refused: %s", who.nuc_id,
                 STR_ARG(eio_session_handshake(sio_socket_session(s))->address),
                 who.refused ? "not a name" : "wrong token");
    explicit_bzero(who.token, sizeof(who.token));
    return refusal;
}

/* One argument, an object of status, nuc_id and, if there is one, message. */
static int emit_status(struct sio_socket *s, const char *event, const char *nuc_id,
                       const char *message)
{
    struct sio_message *m = sio_message_new(event);
    struct wbuf w;
    int rv;

    wbuf_init(&w, 4096);
    wbuf_add_cstr(&w, "{\"status\":\"ok\",\"nuc_id\":");
    json_write_string(&w, sio_str_from(nuc_id));
    if (message) {
        wbuf_add_cstr(&w, ",\"message\":");
        json_write_string(&w, sio_str_from(message));
    }
    wbuf_add_byte(&w, '}');
    rv = m && !w.error ? SIO_OK : SIO_ERR_NOMEM;
    if (rv == SIO_OK) {
        sio_message_add_raw(m, wbuf_str(&w));
        rv = sio_socket_emit(s, m);
    }
    wbuf_fini(&w);
    sio_message_free(m);
    return rv;
}

static int attach_agent(struct hub *hub, struct sio_socket *s, const char *nuc_id)
{
    struct agent *agent = mem_new(struct agent);
    struct hub_nuc *nuc;

    if (!agent)
        return SIO_ERR_NOMEM;
    agent->socket = s;
    list_init(&agent->nuc_socket.link);
    nuc = hub_registry_attach(&hub->registry, &agent->nuc_socket, sio_str_from(nuc_id),
                              clock_wall_us());
    if (!nuc) {
        mem_free(agent);
        return SIO_ERR_NOMEM;
    }
    sio_socket_set_data(s, agent, NULL);
    log_info(hub->log, "nuc_id=%s connected address=%.*s", nuc->id,
             STR_ARG(eio_session_handshake(sio_socket_session(s))->address));
    return SIO_OK;
}

static void on_connect(struct sio_socket *s, struct sio_str auth, void *user)
{
    struct hub *hub = user;
    struct identity who;
    int rv;

    read_identity(s, auth, &who);
    explicit_bzero(who.token, sizeof(who.token));
    if (who.nuc_id[0])
        rv = attach_agent(hub, s, who.nuc_id);
    else
        rv = sio_socket_join(s, ROOM_VIEWERS);
    if (rv == SIO_OK)
        rv = emit_status(s, "connected", who.nuc_id[0] ? who.nuc_id : "unknown",
                         "Conectado al servidor central");
    /* Cut, not told to go: then both kinds come back. */
    if (rv == SIO_ERR_NOMEM)
        sio_socket_abort(s);
}

static void on_disconnect(struct sio_socket *s, enum sio_disconnect_reason reason,
                          void *user)
{
    struct hub *hub = user;
    struct agent *agent = agent_of(s);

    if (!agent)
        return;
    log_info(hub->log, "nuc_id=%s disconnected reason=\"%s\"",
             agent->nuc_socket.nuc ? agent->nuc_socket.nuc->id : "-",
             sio_disconnect_reason_text(reason));
    sio_socket_set_data(s, NULL, NULL);
    hub_registry_detach(&hub->registry, &agent->nuc_socket);
    mem_free(agent);
    hub_live_agents_changed(hub);
    hub_snapshot_agent_left(hub);
}

/*
 * Events.
 */

/* The one argument that must be an object.  Where it is not, there is no ack either. */
bool hub_events_payload(struct hub *hub, struct sio_socket *s, struct sio_event *e,
                        struct sio_str *object)
{
    *object = sio_event_arg(e, 0);
    if (sio_event_n_args(e) == 1 && json_type(*object) == JSON_OBJECT)
        return true;
    hub_events_ignore(hub, s, e, "not one object");
    return false;
}

/* The ip as text: a string, or a number as it is written. */
static bool read_ip(struct sio_str raw, char *out)
{
    enum json_type type = raw.ptr ? json_type(raw) : JSON_NULL;
    bool ok = false;

    if (type == JSON_STRING)
        ok = copy_string(raw, out, HUB_ID_MAX);
    else if (type == JSON_NUMBER)
        ok = copy_text(raw, out, HUB_ID_MAX);
    return ok && hub_registry_check_ip(sio_str_from(out));
}

bool hub_events_read_ip(struct sio_str object, char out[HUB_ID_MAX + 1])
{
    struct sio_str raw = {NULL, 0};

    json_get(object, "ip", &raw);
    return read_ip(raw, out);
}

static void acknowledge(struct sio_event *e)
{
    if (sio_event_wants_ack(e))
        sio_event_ack(e, NULL);
}

/*
 * Agents are those that connected as one.  Where no token is configured, others may
 * send pictures too, as they always could.
 */
static bool may_send(const struct hub *hub, struct sio_socket *s)
{
    return hub->open || agent_of(s) != NULL;
}

static void touch(struct hub_nuc *nuc)
{
    if (nuc)
        nuc->heartbeat_us = clock_wall_us();
}

/* What newer agents say of themselves; what is missing or odd is left empty. */
static void read_further_fields(struct sio_str object, struct hub_nuc *nuc)
{
    struct json_iter it;
    struct sio_str key, value;

    nuc->streams = false;
    nuc->ip_local[0] = nuc->red[0] = '\0';
    if (json_get(object, "ip_local", &value) && json_type(value) == JSON_STRING &&
        copy_string(value, nuc->ip_local, HUB_ADDRESS_MAX) && !is_clean(nuc->ip_local))
        nuc->ip_local[0] = '\0';
    if (json_get(object, "red", &value) && json_type(value) == JSON_STRING &&
        copy_string(value, nuc->red, HUB_ADDRESS_MAX) && !is_clean(nuc->red))
        nuc->red[0] = '\0';
    if (!json_get(object, "capacidades", &value) || json_type(value) != JSON_ARRAY)
        return;
    for (it = json_iter(value); json_next(&it, &key, &value);)
        if (json_type(value) == JSON_STRING && json_string_eq(value, SIO_STR("stream")))
            nuc->streams = true;
}

static void on_nuc_register(struct sio_socket *s, struct sio_event *e, void *user)
{
    struct hub *hub = user;
    struct hub_nuc *nuc = nuc_of(s);
    struct sio_str object, id;
    struct sio_str camaras = SIO_STR("[]");
    enum json_type type;
    int rv;

    if (!hub_events_payload(hub, s, e, &object))
        return;
    /* Only for itself. */
    if (!nuc || !json_get(object, "nuc_id", &id) || json_type(id) != JSON_STRING ||
        !json_string_eq(id, sio_str_from(nuc->id))) {
        acknowledge(e);
        return;
    }
    read_further_fields(object, nuc);
    json_get(object, "camaras", &camaras);
    rv = hub_registry_set_camaras(&hub->registry, nuc, camaras,
                                  net_loop_now_ms(hub->loop));
    if (rv < 0) {
        hub_events_ignore(hub, s, e, sio_strerror(rv));
        return;
    }
    /* Stored, but not confirmed: what has no length. */
    type = json_type(camaras);
    if (type != JSON_ARRAY && type != JSON_OBJECT && type != JSON_STRING)
        return;
    log_info(hub->log, "nuc_id=%s registered", nuc->id);
    hub_live_agents_changed(hub);
    emit_status(s, "registered", nuc->id, NULL);
    acknowledge(e);
}

/*
 * estado and timestamp pass through as they are, if they are small and no containers.
 */
static bool passes(struct sio_str raw)
{
    enum json_type type = raw.ptr ? json_type(raw) : JSON_OBJECT;

    return type != JSON_OBJECT && type != JSON_ARRAY && raw.len <= FIELD_MAX;
}

/* The name that a picture carries: the socket's own, or what a nameless sender says. */
static void write_nuc_id(struct wbuf *w, const struct hub_nuc *nuc, struct sio_str raw)
{
    if (nuc)
        json_write_string(w, sio_str_from(nuc->id));
    else if (passes(raw))
        wbuf_add_str(w, raw);
    else
        wbuf_add_cstr(w, "null");
}

static void write_now(struct wbuf *w)
{
    char text[CLOCK_LOCAL_SIZE];
    size_t len = clock_format_local(clock_wall_us(), text);

    json_write_string(w, (struct sio_str){text, len});
}

/* A picture that arrived, before it is taken. */
struct arrival {
    struct hub_nuc *nuc;
    struct hub_picture in;
    char ip[HUB_ID_MAX + 1];
    struct sio_slice
        jpeg; /* where the image came as an attachment; len 0: it did not */
};

/*
 * The object to store and pass on.  Agents send what is wanted already: then it is a
 * slice of what arrived.  Everything else is written anew.
 */
static bool can_pass(const struct arrival *a)
{
    struct sio_str plain;

    return a->in.exact && a->jpeg.len == 0 && json_string_plain(a->in.image, &plain) &&
           passes(a->in.estado) && passes(a->in.timestamp) && a->in.nuc_id.ptr &&
           (a->nuc ? json_type(a->in.nuc_id) == JSON_STRING &&
                         json_string_eq(a->in.nuc_id, sio_str_from(a->nuc->id))
                   : passes(a->in.nuc_id));
}

static void write_image(struct wbuf *w, const struct arrival *a)
{
    uint8_t *to;

    wbuf_add_byte(w, '"');
    if (a->jpeg.len > 0) {
        to = wbuf_extend(w, base64_encoded_len(a->jpeg.len));
        if (to)
            base64_encode(a->jpeg.ptr, a->jpeg.len, (char *)to);
    } else {
        json_string_decode(a->in.image, w); /* base64 needs no escapes */
    }
    wbuf_add_byte(w, '"');
}

static struct sio_buf *rewrite(const struct hub *hub, const struct arrival *a)
{
    struct wbuf w;
    struct sio_buf *b;

    wbuf_init(&w, (size_t)hub->config->max_payload_bytes * 2);
    wbuf_reserve(&w, a->in.image.len + a->jpeg.len / 2 * 3 + 1024);
    wbuf_add_cstr(&w, "{\"nuc_id\":");
    write_nuc_id(&w, a->nuc, a->in.nuc_id);
    wbuf_add_cstr(&w, ",\"ip\":");
    wbuf_add_str(&w, a->in.ip);
    wbuf_add_cstr(&w, ",\"image\":");
    write_image(&w, a);
    wbuf_add_cstr(&w, ",\"estado\":");
    if (passes(a->in.estado))
        wbuf_add_str(&w, a->in.estado);
    else
        wbuf_add_cstr(&w, "\"activa\"");
    wbuf_add_cstr(&w, ",\"timestamp\":");
    if (passes(a->in.timestamp))
        wbuf_add_str(&w, a->in.timestamp);
    else
        write_now(&w);
    wbuf_add_byte(&w, '}');
    b = wbuf_take(&w);
    wbuf_fini(&w);
    return b;
}

/* NULL: the image may be taken; else what is wrong with it. */
static const char *check_image(struct sio_event *e, struct arrival *a)
{
    struct sio_str raw = a->in.image;
    struct sio_str plain;
    struct wbuf w;
    bool good;
    int attachment;

    if (!raw.ptr)
        return "no image";
    attachment = sio_event_placeholder(e, raw);
    if (attachment >= 0) {
        a->jpeg = sio_event_attachment(e, (size_t)attachment);
        return hub_image_is_jpeg(a->jpeg.ptr, a->jpeg.len) ? NULL
                                                           : "bytes that are no JPEG";
    }
    if (json_type(raw) != JSON_STRING)
        return "an image that is no text";
    if (json_string_plain(raw, &plain))
        return hub_image_check(plain) ? NULL : "an image that is no base64";
    wbuf_init(&w, raw.len);
    json_string_decode(raw, &w);
    good = w.error == SIO_OK && hub_image_check(wbuf_str(&w));
    wbuf_fini(&w);
    return good ? NULL : "an image that is no base64";
}

/* A part of value as a slice of its own. */
static struct sio_slice part(struct sio_slice value, struct sio_str text)
{
    return (struct sio_slice){value.buf, (const uint8_t *)text.ptr, text.len};
}

/* To viewers, in the order of fields that they have always got. */
static int emit_update(struct hub *hub, struct sio_slice value, uint32_t camera_id)
{
    struct sio_str text = {(const char *)value.ptr, value.len};
    struct sio_str rooms[] = {ROOM_VIEWERS};
    struct sio_target target = {.rooms = rooms, .n_rooms = 1};
    struct hub_picture p;
    struct sio_message *m;
    int rv;

    if (sio_namespace_room_size(hub->ns, rooms[0]) == 0)
        return SIO_OK;
    m = sio_message_new("snapshot_update");
    if (!m)
        return SIO_ERR_NOMEM;
    hub_picture_read(text, &p);
    sio_message_begin(m);
    sio_message_text(m, SIO_STR("{\"nuc_id\":"));
    sio_message_text(m, p.nuc_id);
    sio_message_text(m, SIO_STR(",\"ip\":"));
    sio_message_text(m, p.ip);
    sio_message_text(m, SIO_STR(",\"image\":"));
    sio_message_slice(m, part(value, p.image));
    sio_message_text(m, SIO_STR(",\"estado\":"));
    sio_message_text(m, p.estado);
    sio_message_text(m, SIO_STR(",\"timestamp\":"));
    sio_message_text(m, p.timestamp);
    sio_message_text(m, SIO_STR("}"));
    sio_message_end(m);
    sio_message_set_replace_key(m, REPLACE_PICTURE | camera_id);
    if (!hub->config->websocket_compression) /* it takes a quarter off, and much time */
        sio_message_set_no_compress(m);
    rv = sio_namespace_emit(hub->ns, &target, m);
    sio_message_free(m);
    return rv;
}

static struct hub_camera *camera_for(struct hub *hub, const char *ip)
{
    uint64_t now_ms = net_loop_now_ms(hub->loop);
    struct hub_camera *c =
        hub_registry_camera(&hub->registry, sio_str_from(ip), now_ms);

    if (!c && log_limit(&hub->limit_full, now_ms, 1))
        log_warn(hub->log, "ip=%s ignored: there are max_cameras already", ip);
    return c;
}

static void show_live(struct hub *hub, const char *ip, struct sio_slice value)
{
    struct hub_picture p;
    struct sio_str image;

    hub_picture_read((struct sio_str){(const char *)value.ptr, value.len}, &p);
    if (json_string_plain(p.image, &image))
        hub_live_snapshot(hub, sio_str_from(ip), image);
}

static void keep_picture(struct hub *hub, const struct arrival *a,
                         struct sio_slice value)
{
    struct hub_camera *c = camera_for(hub, a->ip);
    char key[HUB_KEY_MAX];
    int rv;

    if (!c)
        return;
    rv = store_put(hub->store, hub_key(key, "snapshot:", sio_str_from(a->ip)), value,
                   HUB_SNAPSHOT_LIFETIME_S);
    if (rv < 0 && log_limit(&hub->limit_full, net_loop_now_ms(hub->loop), 1))
        log_warn(hub->log, "ip=%s not stored: %s", a->ip, sio_strerror(rv));
    hub->picture_ms = net_loop_now_ms(hub->loop);
    hub->trimmed = false;
    hub_registry_drop_jpeg(c);
    hub_registry_heard(c, a->nuc, true, hub->picture_ms);
    emit_update(hub, value, c->id);
    show_live(hub, a->ip, value);
    hub_snapshot_arrived(hub, sio_str_from(a->ip));
}

static void take_snapshot(struct hub *hub, struct sio_socket *s, struct sio_event *e,
                          struct sio_str object)
{
    struct arrival a = {.nuc = nuc_of(s)};
    struct sio_buf *written;
    const char *wrong;

    hub_picture_read(object, &a.in);
    wrong = read_ip(a.in.ip, a.ip) ? check_image(e, &a) : "no ip";
    if (wrong) {
        hub_events_ignore(hub, s, e, wrong);
        return;
    }
    touch(a.nuc);
    if (can_pass(&a)) {
        keep_picture(hub, &a, sio_event_slice(e, object));
        return;
    }
    written = rewrite(hub, &a);
    if (written)
        keep_picture(hub, &a, sio_slice_of(written));
    else
        hub_events_ignore(hub, s, e, "out of memory");
    sio_buf_unref(written);
}

static void on_snapshot(struct sio_socket *s, struct sio_event *e, void *user)
{
    struct hub *hub = user;
    struct sio_str object;

    if (!hub_events_payload(hub, s, e, &object))
        return;
    if (may_send(hub, s))
        take_snapshot(hub, s, e, object);
    acknowledge(e);
}

/* What is stored under "estado:<ip>". */
static struct sio_buf *write_estado(const struct hub_nuc *nuc, struct sio_str object,
                                    const char *ip)
{
    struct sio_str nuc_id = {NULL, 0};
    struct sio_str error;
    struct sio_buf *b;
    struct wbuf w;

    json_get(object, "nuc_id", &nuc_id);
    wbuf_init(&w, 4 * ERROR_MAX);
    wbuf_add_cstr(&w, "{\"nuc_id\": ");
    write_nuc_id(&w, nuc, nuc_id);
    wbuf_add_cstr(&w, ", \"ip\": ");
    json_write_string(&w, sio_str_from(ip));
    wbuf_add_cstr(&w, ", \"estado\": \"sin_acceso\", \"error\": ");
    if (json_get(object, "error", &error) && error.len <= ERROR_MAX)
        wbuf_add_str(&w, error);
    else
        wbuf_add_cstr(&w, "null");
    wbuf_add_cstr(&w, ", \"timestamp\": ");
    write_now(&w);
    wbuf_add_byte(&w, '}');
    b = wbuf_take(&w);
    wbuf_fini(&w);
    return b;
}

static void take_error(struct hub *hub, struct sio_socket *s, struct sio_event *e,
                       struct sio_str object)
{
    char ip[HUB_ID_MAX + 1];
    char key[HUB_KEY_MAX];
    struct sio_str raw = {NULL, 0};
    struct sio_str error = {NULL, 0};
    struct hub_nuc *nuc = nuc_of(s);
    struct hub_camera *c;
    struct sio_buf *value;

    json_get(object, "ip", &raw);
    if (!read_ip(raw, ip)) {
        hub_events_ignore(hub, s, e, "no ip");
        return;
    }
    if (json_get(object, "error", &error) &&
        (json_type(error) != JSON_STRING || error.len > ERROR_MAX))
        error = (struct sio_str){NULL, 0};
    c = camera_for(hub, ip);
    value = write_estado(nuc, object, ip);
    if (c && value) {
        store_put(hub->store, hub_key(key, "estado:", sio_str_from(ip)),
                  sio_slice_of(value), HUB_ESTADO_LIFETIME_S);
        hub_registry_heard(c, nuc, false, net_loop_now_ms(hub->loop));
        hub_live_lost(hub, sio_str_from(ip));
        hub_snapshot_failed(hub, sio_str_from(ip), error);
        log_debug(hub->log, "nuc_id=%s ip=%s snapshot_error", nuc ? nuc->id : "-", ip);
    }
    sio_buf_unref(value);
}

static void on_snapshot_error(struct sio_socket *s, struct sio_event *e, void *user)
{
    struct hub *hub = user;
    struct sio_str object;

    if (!hub_events_payload(hub, s, e, &object))
        return;
    if (may_send(hub, s))
        take_error(hub, s, e, object);
    acknowledge(e);
}

static void on_pong(struct sio_socket *s, struct sio_event *e, void *user)
{
    struct sio_str object;

    if (!hub_events_payload(user, s, e, &object))
        return;
    touch(nuc_of(s));
    acknowledge(e);
}

/* To everybody, the sender included. */
static void on_event(struct sio_socket *s, struct sio_event *e, void *user)
{
    struct hub *hub = user;
    struct sio_message *m;

    if (sio_event_n_args(e) != 1) {
        hub_events_ignore(hub, s, e, "not one argument");
        return;
    }
    m = may_send(hub, s) ? sio_message_new("event_update") : NULL;
    if (m) {
        if (json_type(sio_event_arg(e, 0)) != JSON_NULL)
            sio_message_add_event(m, e, 0);
        sio_namespace_emit(hub->ns, NULL, m);
        sio_message_free(m);
    }
    acknowledge(e);
}

/*
 * To agents.
 */

int hub_events_send(struct hub_nuc *nuc, struct sio_message *m)
{
    struct hub_nuc_socket *newest =
        container_of(nuc->sockets.prev, struct hub_nuc_socket, link);

    return sio_socket_emit(container_of(newest, struct agent, nuc_socket)->socket, m);
}

static void ask(struct hub *hub, struct hub_camera *c)
{
    if (hub_live_send_capture(hub, c->agent, sio_str_from(c->ip)) == SIO_OK)
        log_debug(hub->log, "nuc_id=%s ip=%s capture_snapshot silent_ms=%llu",
                  c->agent->id, c->ip,
                  (unsigned long long)(net_loop_now_ms(hub->loop) - c->heard_ms));
}

void hub_events_ask(struct hub *hub)
{
    uint64_t now_ms = net_loop_now_ms(hub->loop);
    struct hub_camera *c;

    list_for_each (c, struct hub_camera, link, &hub->registry.cameras)
        if (hub_registry_should_ask(c, now_ms))
            ask(hub, c);
}

static bool drop_agent(struct sio_socket *s, void *user)
{
    (void)user;
    if (agent_of(s))
        sio_socket_abort(s);
    return true;
}

void hub_events_drop_agents(struct hub *hub)
{
    sio_namespace_each(hub->ns, drop_agent, NULL);
}

int hub_events_init(struct hub *hub)
{
    static const struct sio_namespace_ops ops = {
        .on_join = on_join,
        .on_connect = on_connect,
        .on_disconnect = on_disconnect,
    };
    static const struct {
        const char *name;
        sio_event_cb cb;
    } events[] = {
        {"nuc_register", on_nuc_register},
        {"snapshot", on_snapshot},
        {"snapshot_error", on_snapshot_error},
        {"pong", on_pong},
        {"event", on_event},
    };

    hub->ns = sio_server_namespace(hub->sio, "/", &ops, hub);
    if (!hub->ns)
        return SIO_ERR_NOMEM;
    for (size_t i = 0; i < N_ELEMENTS(events); i++)
        if (sio_namespace_on(hub->ns, events[i].name, events[i].cb, hub) < 0)
            return SIO_ERR_NOMEM;
    return SIO_OK;
}
