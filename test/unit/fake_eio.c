#include <config.h>

#include "fake_eio.h"

#include <stdio.h>
#include <stdlib.h>

#include "engineio/msg.h"
#include "engineio/server.h"

struct eio_server {
    struct eio_server_options opts;
    eio_upgrade_cb on_upgrade;
};

struct eio_session {
    const struct eio_server *server;
    const struct eio_session_ops *ops;
    void *user;
    int closed; /* reason, or -1 */
    bool cut;
    bool fails;
    int protocol;
    struct eio_msg *sent[4096];
    size_t n_sent;
    struct eio_session *next;
};

static struct eio_session *sessions;
static char *text;

struct eio_server *eio_server_new(struct net_loop *loop,
                                  const struct eio_server_options *opts,
                                  struct sio_diag *diag)
{
    struct eio_server *server = calloc(1, sizeof(*server));

    (void)loop;
    (void)diag;
    if (server)
        server->opts = *opts;
    return server;
}

struct eio_server *eio_server_attach(struct net_loop *loop, struct http_server *http,
                                     const struct eio_server_options *opts,
                                     struct sio_diag *diag)
{
    (void)http;
    return eio_server_new(loop, opts, diag);
}

static void end(struct eio_session *s, enum eio_close_reason reason, bool cut)
{
    if (s->closed >= 0)
        return;
    s->closed = (int)reason;
    s->cut = cut;
    if (s->ops)
        s->ops->on_close(s, reason, s->user);
}

struct sio_http *eio_server_http(struct eio_server *server)
{
    (void)server;
    return NULL;
}

void eio_server_free(struct eio_server *server)
{
    for (struct eio_session *s = sessions; s; s = s->next)
        if (s->server == server)
            end(s, EIO_CLOSE_SHUTDOWN, true);
    free(server);
}

int eio_server_listen(struct eio_server *server, const struct eio_listen_options *opts,
                      struct sio_diag *diag)
{
    (void)server;
    (void)opts;
    (void)diag;
    return SIO_ERR_UNSUPPORTED;
}

void eio_server_shutdown(struct eio_server *server, uint32_t timeout_ms,
                         void (*cb)(void *user), void *user)
{
    (void)server;
    (void)timeout_ms;
    cb(user);
}

void eio_session_set_ops(struct eio_session *s, const struct eio_session_ops *ops,
                         void *user)
{
    s->ops = ops;
    s->user = user;
}

uint32_t eio_session_number(const struct eio_session *s)
{
    (void)s;
    return 1;
}

int eio_session_send(struct eio_session *s, struct eio_msg *msg)
{
    if (s->closed >= 0)
        return SIO_ERR_CLOSED;
    if (s->fails) {
        end(s, EIO_CLOSE_TRANSPORT_ERROR, true);
        return SIO_ERR_FULL;
    }
    if (s->n_sent < sizeof(s->sent) / sizeof(s->sent[0]))
        s->sent[s->n_sent++] = eio_msg_ref(msg);
    return SIO_OK;
}

void eio_session_close(struct eio_session *s, enum eio_close_reason reason)
{
    end(s, reason, false);
}

void eio_session_abort(struct eio_session *s, enum eio_close_reason reason)
{
    end(s, reason, true);
}

static struct eio_session *open_session(struct eio_server *engine, int protocol)
{
    struct eio_session *s = calloc(1, sizeof(*s));

    if (!s)
        return NULL;
    s->server = engine;
    s->closed = -1;
    s->protocol = protocol;
    s->next = sessions;
    sessions = s;
    engine->opts.on_session(s, engine->opts.user);
    return s;
}

struct eio_session *fake_open(struct eio_server *engine)
{
    return open_session(engine, 4);
}

struct eio_session *fake_open_3(struct eio_server *engine)
{
    return open_session(engine, 3);
}

const struct eio_handshake *eio_session_handshake(const struct eio_session *s)
{
    static const struct eio_handshake handshake = {
        .query = SIO_STR_INIT("EIO=4&token=a%20b&token=c"),
        .address = SIO_STR_INIT("192.0.2.1"),
        .time_ms = 1700000000123,
    };

    (void)s;
    return &handshake;
}

bool eio_session_field_at(const struct eio_session *s, size_t i, struct sio_str *name,
                          struct sio_str *value)
{
    static const struct sio_str fields[][2] = {
        {SIO_STR_INIT("Host"), SIO_STR_INIT("hub.example")},
        {SIO_STR_INIT("Cookie"), SIO_STR_INIT("secret")},
        {SIO_STR_INIT("X-Two"), SIO_STR_INIT("\"1\"")},
        {SIO_STR_INIT("x-two"), SIO_STR_INIT("2")},
        {SIO_STR_INIT("AUTHORIZATION"), SIO_STR_INIT("secret")},
    };

    (void)s;
    if (i >= sizeof(fields) / sizeof(fields[0]))
        return false;
    *name = fields[i][0];
    *value = fields[i][1];
    return true;
}

struct sio_str eio_session_field(const struct eio_session *s, const char *name)
{
    (void)s;
    (void)name;
    return (struct sio_str){NULL, 0};
}

int eio_session_protocol(const struct eio_session *s)
{
    return s->protocol;
}

const char *eio_session_transport(const struct eio_session *s)
{
    (void)s;
    return "websocket";
}

void eio_server_stats(const struct eio_server *server, struct eio_server_stats *out)
{
    (void)server;
    *out = (struct eio_server_stats){.n_sessions = 3,
                                     .n_websocket = 2,
                                     .n_opened = 5,
                                     .messages_in = 7,
                                     .bytes_in = 70};
}

void eio_server_on_upgrade(struct eio_server *server, eio_upgrade_cb cb)
{
    server->on_upgrade = cb;
}

struct sio_str eio_session_sid(const struct eio_session *s)
{
    return s->server->opts.sid_prefix ? SIO_STR("hub-1.sid-of-twenty-chars-")
                                      : SIO_STR("sid-of-twenty-chars-");
}

void fake_text_slice(struct eio_session *s, struct sio_slice slice)
{
    if (s->closed < 0 && s->ops)
        s->ops->on_message(s, true, slice, s->user);
}

void fake_text(struct eio_session *s, const char *message)
{
    /* In a block of its own size, so that reading past the end shows. */
    size_t len = strlen(message);
    char *copy = malloc(len + !len);

    if (!copy)
        return;
    memcpy(copy, message, len);
    fake_text_slice(s, (struct sio_slice){NULL, (const uint8_t *)copy, len});
    free(copy);
}

void fake_binary(struct eio_session *s, const void *p, size_t len)
{
    if (s->closed < 0 && s->ops)
        s->ops->on_message(s, false, (struct sio_slice){NULL, p, len}, s->user);
}

void fake_close(struct eio_session *s, enum eio_close_reason reason)
{
    end(s, reason, false);
}

static void print_part(FILE *f, const struct eio_msg *msg, uint32_t part)
{
    struct sio_slice slices[64];
    size_t n = eio_msg_body(msg, part, slices);
    size_t len = 0;

    for (size_t i = 0; i < n; i++) {
        size_t skip = i == 0 && msg->parts[part].text; /* the '4' */

        if (msg->parts[part].text)
            fwrite(slices[i].ptr + skip, 1, slices[i].len - skip, f);
        len += slices[i].len;
    }
    if (!msg->parts[part].text)
        fprintf(f, "<%zu bytes>", len);
}

const char *fake_sent(struct eio_session *s)
{
    size_t len;
    FILE *f;

    free(text);
    f = open_memstream(&text, &len);
    for (size_t i = 0; i < s->n_sent; i++) {
        for (uint32_t part = 0; part < s->sent[i]->n_parts; part++) {
            if (i + part > 0)
                fputc('|', f);
            print_part(f, s->sent[i], part);
        }
        eio_msg_unref(s->sent[i]);
    }
    s->n_sent = 0;
    fclose(f);
    return text;
}

int fake_closed(const struct eio_session *s)
{
    return s->closed;
}

bool fake_was_cut(const struct eio_session *s)
{
    return s->cut;
}

void fake_fail_send(struct eio_session *s)
{
    s->fails = true;
}

void fake_reset(void)
{
    while (sessions) {
        struct eio_session *s = sessions;

        sessions = s->next;
        for (size_t i = 0; i < s->n_sent; i++)
            eio_msg_unref(s->sent[i]);
        free(s);
    }
    free(text);
    text = NULL;
}
