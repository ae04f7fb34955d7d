#include <config.h>

#include "base/buf.h"
#include "base/json.h"
#include "base/str.h"
#include "engineio/jsonp.h"
#include "engineio/server_impl.h"
#include "http/cors.h"

static const struct eio_verdict accepted = {0, EIO_REFUSE_REQUEST, NULL};
static const struct eio_verdict forbidden = {403, EIO_REFUSE_FORBIDDEN, NULL};

static struct eio_verdict refused(enum eio_refusal code)
{
    return (struct eio_verdict){400, code, NULL};
}

const char *eio_refusal_text(enum eio_refusal code)
{
    switch (code) {
    case EIO_REFUSE_TRANSPORT: return "Transport unknown";
    case EIO_REFUSE_SID: return "Session ID unknown";
    case EIO_REFUSE_METHOD: return "Bad handshake method";
    case EIO_REFUSE_REQUEST: return "Bad request";
    case EIO_REFUSE_FORBIDDEN: return "Forbidden";
    case EIO_REFUSE_VERSION: return "Unsupported protocol version";
    }
    return "";
}

void eio_refuse(struct http_request *r, int status, enum eio_refusal code,
                const char *text)
{
    struct sio_slice slice;
    struct sio_buf *body;
    struct wbuf w;

    wbuf_init(&w, 4096);
    wbuf_addf(&w, "{\"code\":%d,\"message\":", (int)code);
    json_write_string(&w, sio_str_from(text ? text : eio_refusal_text(code)));
    wbuf_add_byte(&w, '}');
    body = wbuf_take(&w);
    wbuf_fini(&w);
    http_reply_field(r, "Cache-Control", SIO_STR("no-store"));
    if (!body) {
        http_reply_bytes(r, status, NULL, NULL, 0);
        return;
    }
    slice = sio_slice_of(body);
    http_reply(r, status, "application/json", &slice, 1);
    sio_buf_unref(body);
}

void eio_refuse_upgrade(struct http_request *r, int status, const char *text)
{
    if (status == 426)
        http_reply_field(r, "Sec-WebSocket-Version", SIO_STR("13"));
    http_reply_close(r);
    http_reply_bytes(r, status, "text/html", text, strlen(text));
}

void eio_request_refuse(struct eio_server *server, struct eio_request *q,
                        const struct eio_verdict *v)
{
    const struct eio_server_options *opts = &server->opts;
    const char *text = v->text ? v->text : eio_refusal_text(v->code);

    server->sessions.stats.n_refused[v->code]++;
    if (opts->on_refused)
        opts->on_refused(q, (int)v->code, text, opts->user);
    if (q->upgrade)
        eio_refuse_upgrade(q->http, v->status, text);
    else
        eio_refuse(q->http, v->status, v->code, text);
}

bool eio_request_query(struct eio_request *r, const char *name, struct sio_str *value)
{
    return http_request_query_get(r->http, name, value);
}

struct sio_str eio_request_field(struct eio_request *r, const char *name)
{
    return http_request_field(r->http, name);
}

int eio_request_add_field(struct eio_request *r, const char *name, struct sio_str value)
{
    return http_reply_field(r->http, name, value);
}

/* The address in an item of X-Forwarded-For; false: it is none. */
static bool read_address(struct sio_str item, char out[NET_ADDR_SIZE])
{
    struct net_addr a;
    char text[NET_ADDR_SIZE];

    item = str_trim(item);
    if (item.len == 0 || item.len >= sizeof(text))
        return false;
    memcpy(text, item.ptr, item.len);
    text[item.len] = '\0';
    if (!net_addr_parse(text, 0, &a))
        return false;
    net_addr_format(&a, out);
    return true;
}

/*
 * Each proxy that is trusted has put the address of who asked it at the end: of as many
 * items the first counts, and nothing before it, which anybody may have made up.
 */
static void find_address(struct eio_request *q)
{
    struct sio_str list = http_request_field(q->http, "X-Forwarded-For");

    net_addr_format(net_conn_peer(http_request_conn(q->http)), q->address);
    for (uint32_t i = 0; i < q->trusted_proxies && list.len > 0; i++) {
        size_t at = list.len;

        while (at > 0 && list.ptr[at - 1] != ',')
            at--;
        if (!read_address((struct sio_str){list.ptr + at, list.len - at}, q->address))
            return;
        list.len = at > 0 ? at - 1 : 0;
    }
}

struct sio_str eio_request_address(struct eio_request *r)
{
    if (r->address[0] == '\0')
        find_address(r);
    return sio_str_from(r->address);
}

/* True if the text may stand in a field (RFC 9110, 5.5). */
static bool is_field_value(struct sio_str s)
{
    for (size_t i = 0; i < s.len; i++) {
        unsigned char c = (unsigned char)s.ptr[i];

        if ((c < ' ' && c != '\t') || c == 0x7f)
            return false;
    }
    return true;
}

static bool is_get(const struct http_request *r)
{
    return http_request_method(r) == HTTP_GET && !http_request_is_head(r);
}

enum eio_form eio_form_3_of(struct http_request *r)
{
    struct sio_str b64;
    bool asked = http_request_query_get(r, "b64", &b64) && b64.len > 0;

    return asked ? EIO_FORM_3_BASE64 : EIO_FORM_3;
}

/* The protocol of a new session.  Where 3 is spoken, what is not 4 is 3. */
static bool read_version(const struct eio_server *server, struct eio_request *q)
{
    struct sio_str version;

    q->form = EIO_FORM_4;
    if (http_request_query_get(q->http, "EIO", &version) && str_eq_cstr(version, "4"))
        return true;
    q->form = q->jsonp ? EIO_FORM_3_BASE64 : eio_form_3_of(q->http);
    return server->opts.allow_eio3;
}

/* Polling by scripts, where it is on.  False: a callback that cannot be. */
static bool read_script(const struct eio_server *server, struct eio_request *q)
{
    struct sio_str j;

    q->jsonp =
        server->opts.jsonp && !q->websocket && http_request_query_get(q->http, "j", &j);
    return !q->jsonp || eio_jsonp_index(j, &q->script);
}

/* A page of an origin that is not listed may not even try, whatever browsers enforce. */
static bool origin_is_refused(const struct eio_server *server,
                              const struct eio_request *q)
{
    struct sio_str origin = http_request_field(q->http, "Origin");

    return server->opts.refuse_origins && origin.ptr &&
           !http_cors_allows(&server->cors, origin);
}

/* Whether there is room for one more session. */
static struct eio_verdict judge_room(struct eio_server *server, struct eio_request *q)
{
    uint32_t max = server->opts.max_sessions_per_address;

    if (server->draining)
        return (struct eio_verdict){503, EIO_REFUSE_FORBIDDEN, "Server shutting down"};
    if (server->sessions.by_sid.n_items >= server->opts.max_sessions)
        return (struct eio_verdict){503, EIO_REFUSE_FORBIDDEN, "Too many sessions"};
    if (max > 0 &&
        eio_addresses_count(&server->sessions.addresses, eio_request_address(q)) >= max)
        return (struct eio_verdict){429, EIO_REFUSE_FORBIDDEN,
                                    "Too many sessions from this address"};
    return accepted;
}

/* The last checks of a request that wants a session. */
static struct eio_verdict judge_opening(struct eio_server *server,
                                        struct eio_request *q)
{
    const struct eio_server_options *opts = &server->opts;
    const char *text;

    if (!is_get(q->http))
        return refused(EIO_REFUSE_METHOD);
    if (q->websocket != q->upgrade || !read_script(server, q))
        return refused(EIO_REFUSE_REQUEST);
    if (origin_is_refused(server, q))
        return forbidden;
    text = opts->allow_request ? opts->allow_request(q, opts->user) : NULL;
    if (text)
        return (struct eio_verdict){403, EIO_REFUSE_FORBIDDEN, text};
    if (!read_version(server, q))
        return refused(EIO_REFUSE_VERSION);
    return judge_room(server, q);
}

/* The checks of a request with the sid of a session. */
static struct eio_verdict judge_known(const struct eio_server *server,
                                      const struct eio_request *q)
{
    const struct eio_session *s = q->session;

    if (q->upgrade) {
        if (!is_get(q->http) || !q->websocket || server->opts.no_upgrade)
            return refused(EIO_REFUSE_REQUEST);
        return origin_is_refused(server, q) ? forbidden : accepted;
    }
    if (q->websocket || s->transport->ops != &eio_polling_ops)
        return refused(EIO_REFUSE_REQUEST);
    if (!is_get(q->http) && http_request_method(q->http) != HTTP_POST)
        return (struct eio_verdict){405, EIO_REFUSE_METHOD, NULL};
    return origin_is_refused(server, q) ? forbidden : accepted;
}

struct eio_verdict eio_judge(struct eio_server *server, struct eio_request *q)
{
    struct sio_str transport, sid, origin;
    bool polling;

    q->trusted_proxies = server->opts.trusted_proxies;
    q->upgrade = http_request_wants_upgrade(q->http, "websocket");
    if (!http_request_query_get(q->http, "transport", &transport))
        return refused(EIO_REFUSE_TRANSPORT);
    polling = str_eq_cstr(transport, "polling");
    q->websocket = str_eq_cstr(transport, "websocket");
    if ((polling && server->opts.no_polling) ||
        (q->websocket && server->opts.no_websocket) || (!polling && !q->websocket))
        return refused(EIO_REFUSE_TRANSPORT);

    origin = http_request_field(q->http, "Origin");
    if (origin.ptr && !is_field_value(origin))
        return refused(EIO_REFUSE_REQUEST);

    if (!http_request_query_get(q->http, "sid", &sid) || sid.len == 0)
        return judge_opening(server, q);
    q->session = eio_sessions_find(&server->sessions, sid);
    if (!q->session)
        return refused(EIO_REFUSE_SID);
    return judge_known(server, q);
}
