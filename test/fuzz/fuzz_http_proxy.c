/*
 * What a proxy may answer, whole and in pieces; URLs of proxies; lists of exceptions.
 */
#include <stdlib.h>
#include <string.h>

#include "http/proxy.h"
#include "net/conn.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int feed(const struct http_proxy *p, const uint8_t *data, size_t len,
                size_t step)
{
    struct net_tunnel *t = http_proxy_tunnel(p, "hub.test", 443);
    struct sio_diag diag;
    int rv = 0;

    if (!t)
        abort();
    while (rv == 0 && len > 0) {
        size_t n = step < len ? step : len;

        rv = t->ops->answer(t, data, n, &diag);
        data += n;
        len -= n;
    }
    t->ops->free(t);
    return rv;
}

/* Only where the answer ends early do pieces matter: what is behind it is then unseen. */
static void answers(const uint8_t *data, size_t size, size_t step)
{
    struct http_proxy *p = http_proxy_new(SIO_STR("user:secret@proxy.test"), NULL);
    int whole, pieces;

    if (!p)
        abort();
    whole = feed(p, data, size, size ? size : 1);
    pieces = feed(p, data, size, step);
    if (whole != pieces && whole != SIO_ERR_PROTOCOL)
        abort();
    http_proxy_unref(p);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char *const hosts[] = {"hub.test", "192.0.2.7", "2001:db8::7"};
    struct sio_str text;
    struct sio_diag diag;

    if (size < 2)
        return 0;
    text = (struct sio_str){(const char *)data + 2, size - 2};
    switch (data[0] % 3) {
    case 0: answers(data + 2, size - 2, 1 + data[1]); break;
    case 1: http_proxy_unref(http_proxy_new(text, &diag)); break;
    default: (void)http_proxy_bypassed(text, hosts[data[1] % 3], 443); break;
    }
    return 0;
}
