/*
 * Set-Cookie values of a server that cannot be trusted, one a line.  What is carried stays
 * within its bounds and cannot break out of the field.
 */
#include <stdlib.h>
#include <string.h>

#include "base/str.h"
#include "http/cookies.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(int condition)
{
    if (!condition)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct http_cookies *jar = http_cookies_new();
    struct http_cookies_request r = {
        .host = "a.hub.test", .path = "/socket.io/", .now_s = 1700000000};
    struct sio_str rest = {(const char *)data, size};
    struct sio_str text;
    struct wbuf w;

    check(jar != NULL);
    while (size > 0 && rest.ptr) {
        http_cookies_set(jar, &r, str_cut(&rest, '\n'));
        r.secure = !r.secure;
    }
    wbuf_init(&w, HTTP_COOKIES_MAX * (HTTP_COOKIE_MAX_BYTES + 2));
    http_cookies_write(jar, &r, &w);
    check(w.error == SIO_OK);
    text = wbuf_str(&w);
    for (size_t i = 0; i < text.len; i++)
        check((unsigned char)text.ptr[i] >= ' ' && text.ptr[i] != 0x7f);
    wbuf_fini(&w);
    http_cookies_free(jar);
    return 0;
}
