#include <config.h>

#include <stdio.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/str.h"
#include "base/utf8.h"
#include "hub/hub_impl.h"

#define TOKEN_MAX 1024
#define BAD_LINES 10 /* a minute */

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
                              clock_wall_us(), net_loop_now_ms(hub->loop));
    if (!nuc) {
        mem_free(agent);
        return SIO_ERR_NOMEM;
    }
    sio_socket_set_data(s, agent, NULL);
    hub_relay_nuc(hub, nuc);
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
        rv = sio_socket_join(s, HUB_ROOM_VIEWERS);
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
    if (hub_registry_is_last(&agent->nuc_socket))
        hub_relay_nuc_goes(hub, agent->nuc_socket.nuc);
    hub_registry_detach(&hub->registry, &agent->nuc_socket, net_loop_now_ms(hub->loop));
    mem_free(agent);
    hub_live_agents_changed(hub);
    hub_snapshot_give_up(hub);
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
bool hub_events_read_raw_ip(struct sio_str raw, char out[HUB_ID_MAX + 1])
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
    return hub_events_read_raw_ip(raw, out);
}

void hub_events_acknowledge(struct sio_event *e)
{
    if (sio_event_wants_ack(e))
        sio_event_ack(e, NULL);
}

/*
 * Agents are those that connected as one.  Where no token is configured, others may
 * send pictures too, as they always could.
 */
bool hub_events_may_send(const struct hub *hub, struct sio_socket *s)
{
    return hub->open || agent_of(s) != NULL;
}

void hub_events_touch(struct hub_nuc *nuc)
{
    if (nuc)
        nuc->own.heartbeat_us = clock_wall_us();
}

/* What newer agents say of themselves; what is missing or odd is left empty. */
static void read_further_fields(struct sio_str object, struct hub_claim *own)
{
    struct json_iter it;
    struct sio_str key, value;

    own->streams = false;
    own->ip_local[0] = own->red[0] = '\0';
    if (json_get(object, "ip_local", &value) && json_type(value) == JSON_STRING &&
        copy_string(value, own->ip_local, HUB_ADDRESS_MAX) && !is_clean(own->ip_local))
        own->ip_local[0] = '\0';
    if (json_get(object, "red", &value) && json_type(value) == JSON_STRING &&
        copy_string(value, own->red, HUB_ADDRESS_MAX) && !is_clean(own->red))
        own->red[0] = '\0';
    if (!json_get(object, "capacidades", &value) || json_type(value) != JSON_ARRAY)
        return;
    for (it = json_iter(value); json_next(&it, &key, &value);)
        if (json_type(value) == JSON_STRING && json_string_eq(value, SIO_STR("stream")))
            own->streams = true;
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
        hub_events_acknowledge(e);
        return;
    }
    read_further_fields(object, &nuc->own);
    json_get(object, "camaras", &camaras);
    rv = hub_registry_set_camaras(&hub->registry, nuc, camaras,
                                  net_loop_now_ms(hub->loop));
    if (rv < 0) {
        hub_events_ignore(hub, s, e, sio_strerror(rv));
        return;
    }
    hub_relay_nuc(hub, nuc);
    hub_live_agents_changed(hub);
    /* Stored, but not confirmed: what has no length. */
    type = json_type(camaras);
    if (type != JSON_ARRAY && type != JSON_OBJECT && type != JSON_STRING)
        return;
    log_info(hub->log, "nuc_id=%s registered", nuc->id);
    emit_status(s, "registered", nuc->id, NULL);
    hub_snapshot_ask_again(hub, nuc);
    hub_events_acknowledge(e);
}

static void on_pong(struct sio_socket *s, struct sio_event *e, void *user)
{
    struct sio_str object;

    if (!hub_events_payload(user, s, e, &object))
        return;
    hub_events_touch(nuc_of(s));
    hub_events_acknowledge(e);
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
    m = hub_events_may_send(hub, s) ? sio_message_new("event_update") : NULL;
    if (m) {
        if (json_type(sio_event_arg(e, 0)) != JSON_NULL)
            sio_message_add_event(m, e, 0);
        sio_namespace_emit(hub->ns, NULL, m);
        sio_message_free(m);
    }
    hub_events_acknowledge(e);
}

/*
 * To agents.
 */

int hub_events_send(struct hub_nuc *nuc, struct sio_message *m)
{
    struct hub_nuc_socket *newest =
        container_of(nuc->sockets.prev, struct hub_nuc_socket, link);

    if (list_empty(&nuc->sockets))
        return SIO_ERR_CLOSED;
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

int hub_events_add(struct hub *hub, const struct hub_event *table, size_t n)
{
    int rv = SIO_OK;

    for (size_t i = 0; i < n && rv == SIO_OK; i++)
        rv = sio_namespace_on(hub->ns, table[i].name, table[i].cb, hub);
    return rv;
}

int hub_events_init(struct hub *hub)
{
    static const struct sio_namespace_ops ops = {
        .on_join = on_join,
        .on_connect = on_connect,
        .on_disconnect = on_disconnect,
    };
    static const struct hub_event events[] = {
        {"nuc_register", on_nuc_register},
        {"pong", on_pong},
        {"event", on_event},
    };

    hub->ns = sio_server_namespace(hub->sio, "/", &ops, hub);
    if (!hub->ns || hub_events_add(hub, events, N_ELEMENTS(events)) < 0)
        return SIO_ERR_NOMEM;
    return hub_arrivals_init(hub);
}
