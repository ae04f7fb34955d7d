#include <config.h>

#include "http/ws_handshake.h"

#include "base/base64.h"
#include "base/buf.h"
#include "base/str.h"
#include "http/connection.h"

#define GUID "258EAFA5-E914-47DA-95CA-C5AB0DC85B11" /* RFC 6455, 1.3 */

int ws_accept_key(struct sio_str key, char out[29])
{
    char text[64];
    uint8_t digest[20];
    int rv;

    if (key.len + sizeof(GUID) > sizeof(text))
        return SIO_ERR_INVAL;
    memcpy(text, key.ptr, key.len);
    memcpy(text + key.len, GUID, sizeof(GUID) - 1);
    rv = net_sha1(text, key.len + sizeof(GUID) - 1, digest);
    if (rv < 0)
        return rv;
    base64_encode(digest, sizeof(digest), out);
    out[28] = '\0';
    return SIO_OK;
}

const char *ws_handshake_check(const struct http_request *r, int *status)
{
    struct sio_str key = http_request_field(r, "Sec-WebSocket-Key");
    uint8_t nonce[18];
    size_t len;

    *status = 400;
    if (http_request_method(r) != HTTP_GET)
        return "Method is not GET";
    if (!http_request_wants_upgrade(r, "websocket"))
        return "No WebSocket upgrade";
    if (!str_eq_cstr(http_request_field(r, "Sec-WebSocket-Version"), "13")) {
        *status = 426;
        return "WebSocket version is not 13";
    }
    if (key.len != 24 || base64_decode(key.ptr, key.len, nonce, &len) != SIO_OK ||
        len != 16)
        return "Sec-WebSocket-Key is not 16 bytes in base64";
    return NULL;
}

int ws_handshake_answer(struct http_request *r)
{
    char key[29];
    struct wbuf w;
    struct sio_str text;
    int rv = ws_accept_key(http_request_field(r, "Sec-WebSocket-Key"), key);

    if (rv < 0)
        return rv;
    wbuf_init(&w, UINT32_MAX);
    wbuf_add_str(&w, SIO_STR("HTTP/1.1 101 Switching Protocols\r\n"
                             "Upgrade: websocket\r\nConnection: Upgrade\r\n"
                             "Sec-WebSocket-Accept: "));
    wbuf_add_cstr(&w, key);
    wbuf_add_str(&w, SIO_STR("\r\n"));
    wbuf_add_str(&w, wbuf_str(&r->fields));
    wbuf_add_str(&w, SIO_STR("\r\n"));
    text = wbuf_str(&w);
    rv = r->fields.error ? r->fields.error : w.error;
    if (rv == SIO_OK)
        rv = net_conn_send_bytes(http_request_conn(r), text.ptr, text.len);
    wbuf_fini(&w);
    return rv;
}
