/*
 * Connections, plain and TLS: each test runs over both, a listener and a dialled
 * connection on the loopback.  The certificates are made here.
 */
#include <config.h>

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

#include "alloc_fail.h"
#include "base/buf.h"
#include "net/conn_impl.h"
#include "net/listener.h"

/* Certificates: a CA, and what it signs. */

struct identity {
    X509 *cert;
    EVP_PKEY *key;
};

static char folder[] = "/tmp/test_net_conn.XXXXXX";

static void add_extension(X509 *cert, X509 *issuer, int nid, const char *value)
{
    X509V3_CTX v3;
    X509_EXTENSION *ext;

    X509V3_set_ctx(&v3, issuer, cert, NULL, NULL, 0);
    ext = X509V3_EXT_conf_nid(NULL, &v3, nid, value);
    assert_non_null(ext);
    assert_int_equal(X509_add_ext(cert, ext, -1), 1);
    X509_EXTENSION_free(ext);
}

/* issuer NULL: signs itself. */
static struct identity make_identity(const char *name, const char *san,
                                     const struct identity *issuer, long from_s,
                                     long to_s)
{
    static long serial = 1;
    struct identity id = {.cert = X509_new(), .key = EVP_EC_gen("P-256")};
    X509_NAME *subject = X509_get_subject_name(id.cert);

    X509_set_version(id.cert, 2);
    ASN1_INTEGER_set(X509_get_serialNumber(id.cert), serial++);
    X509_gmtime_adj(X509_getm_notBefore(id.cert), from_s);
    X509_gmtime_adj(X509_getm_notAfter(id.cert), to_s);
    X509_set_pubkey(id.cert, id.key);
    X509_NAME_add_entry_by_txt(subject, "CN", MBSTRING_ASC, (const uint8_t *)name, -1,
                               -1, 0);
    X509_set_issuer_name(id.cert,
                         X509_get_subject_name(issuer ? issuer->cert : id.cert));
    if (!san)
        add_extension(id.cert, id.cert, NID_basic_constraints, "critical,CA:TRUE");
    else
        add_extension(id.cert, issuer ? issuer->cert : id.cert, NID_subject_alt_name,
                      san);
    assert_true(X509_sign(id.cert, issuer ? issuer->key : id.key, EVP_sha256()) > 0);
    return id;
}

static const char *path_of(const char *name)
{
    static char path[4][128];
    static unsigned next;
    char *p = path[next++ % 4];

    snprintf(p, sizeof(path[0]), "%s/%s", folder, name);
    return p;
}

static void save(const char *name, const struct identity *id)
{
    char file[64];
    FILE *f;

    snprintf(file, sizeof(file), "%s.pem", name);
    f = fopen(path_of(file), "w");
    assert_non_null(f);
    PEM_write_X509(f, id->cert);
    fclose(f);
    snprintf(file, sizeof(file), "%s.key", name);
    f = fopen(path_of(file), "w");
    assert_non_null(f);
    PEM_write_PrivateKey(f, id->key, NULL, NULL, 0, NULL, NULL);
    fclose(f);
}

static void free_identity(struct identity *id)
{
    X509_free(id->cert);
    EVP_PKEY_free(id->key);
}

static const char *const identities[] = {"ca", "good", "old", "other", "self"};

static int make_certificates(void **state)
{
    struct identity ca, id[4];

    (void)state;
    if (!mkdtemp(folder))
        return -1;
    ca = make_identity("Test CA", NULL, NULL, -3600, 86400);
    id[0] =
        make_identity("good", "DNS:localhost,IP:127.0.0.1,IP:::1", &ca, -3600, 86400);
    id[1] = make_identity("old", "DNS:localhost", &ca, -86400, -3600);
    id[2] = make_identity("other", "DNS:other.test,IP:192.0.2.7", &ca, -3600, 86400);
    id[3] = make_identity("self", "DNS:localhost", NULL, -3600, 86400);
    save("ca", &ca);
    for (int i = 0; i < 4; i++) {
        save(identities[i + 1], &id[i]);
        free_identity(&id[i]);
    }
    free_identity(&ca);
    return 0;
}

static int remove_certificates(void **state)
{
    (void)state;
    for (size_t i = 0; i < N_ELEMENTS(identities); i++) {
        char file[64];

        snprintf(file, sizeof(file), "%s.pem", identities[i]);
        unlink(path_of(file));
        snprintf(file, sizeof(file), "%s.key", identities[i]);
        unlink(path_of(file));
    }
    return rmdir(folder);
}

/* Two ends and what happens to them. */

struct end {
    struct net_conn *conn; /* NULL: none yet, or ended */
    struct world *world;
    size_t got;
    uint32_t sum; /* of what came */
    unsigned n_opens, n_drains, n_eofs, n_closes;
    int error;
    char diag[256];
    bool echoes;
    bool aborts_on_data;
    bool pauses_on_data;
};

struct world {
    struct net_loop *loop;
    struct net_tls *server_tls;
    struct net_tls *client_tls;
    struct net_listener *listener;
    struct end server;
    struct end client;
    unsigned n_accepts;
    struct net_timer deadline;
};

static uint32_t add_up(uint32_t sum, const uint8_t *p, size_t len)
{
    for (size_t i = 0; i < len; i++)
        sum = sum * 31 + p[i];
    return sum;
}

static void on_open(struct net_conn *c, void *user)
{
    struct end *e = user;

    assert_ptr_equal(e->conn, c);
    e->n_opens++;
}

static void on_data(struct net_conn *c, uint8_t *data, size_t len, void *user)
{
    struct end *e = user;

    assert_true(len > 0);
    e->sum = add_up(e->sum, data, len);
    e->got += len;
    memset(data, 0xee, len); /* the buffer is ours */
    if (e->aborts_on_data)
        net_conn_abort(c, SIO_OK);
    else if (e->pauses_on_data)
        net_conn_pause(c);
    else if (e->echoes)
        assert_int_equal(net_conn_send_bytes(c, data, len), SIO_OK);
}

static void on_drain(struct net_conn *c, void *user)
{
    struct end *e = user;

    assert_false(net_conn_full(c));
    e->n_drains++;
}

static void on_eof(struct net_conn *c, void *user)
{
    struct end *e = user;

    (void)c;
    e->n_eofs++;
}

static void on_close(struct net_conn *c, int error, void *user)
{
    struct end *e = user;

    e->conn = NULL;
    e->n_closes++;
    e->error = error;
    snprintf(e->diag, sizeof(e->diag), "%s", net_conn_diag(c));
}

static const struct net_conn_ops ops = {
    .on_open = on_open,
    .on_data = on_data,
    .on_drain = on_drain,
    .on_eof = on_eof,
    .on_close = on_close,
};

static void on_accept(struct net_conn *c, void *user)
{
    struct world *w = user;

    w->n_accepts++;
    if (w->server.conn) {
        net_conn_abort(c, SIO_OK);
        return;
    }
    w->server.conn = c;
    net_conn_set_ops(c, &ops, &w->server);
}

static void on_deadline(struct net_timer *timer, void *user)
{
    (void)timer;
    (void)user;
    fprintf(stderr, "the test waits in vain\n");
    abort();
}

/* Runs until the condition holds. */
#define run_until(w, condition)                                         \
    do {                                                                \
        while (!(condition))                                            \
            assert_int_equal(net_loop_run_once((w)->loop, -1), SIO_OK); \
    } while (0)

static struct world *new_world(const char *identity)
{
    static struct world w;
    struct sio_diag diag;
    struct net_listen_options lo = {.host = NULL};
    struct net_tls_client_options co = {0};

    w = (struct world){.loop = net_loop_new(NULL, NULL)};
    w.server.world = w.client.world = &w;
    if (identity) {
        char cert[64], key[64];

        snprintf(cert, sizeof(cert), "%s.pem", identity);
        snprintf(key, sizeof(key), "%s.key", identity);
        co.ca_file = path_of("ca.pem");
        w.server_tls = net_tls_server_new(path_of(cert), path_of(key), &diag);
        w.client_tls = net_tls_client_new(&co, &diag);
        assert_non_null(w.server_tls);
        assert_non_null(w.client_tls);
        lo.tls = w.server_tls;
    }
    w.listener = net_listener_new(w.loop, &lo, on_accept, &w, &diag);
    assert_non_null(w.listener);
    net_timer_init(&w.deadline, w.loop, on_deadline, NULL);
    net_timer_start(&w.deadline, 30000);
    return &w;
}

static void dial(struct world *w, const char *host, const char *tls_name)
{
    struct net_connect_options o = {
        .host = host,
        .port = net_listener_port(w->listener),
        .tls = w->client_tls,
        .tls_name = tls_name,
    };

    w->client.conn = net_conn_connect(w->loop, &o, &ops, &w->client);
    assert_non_null(w->client.conn);
}

static void free_world(struct world *w)
{
    net_timer_stop(&w->deadline);
    net_listener_free(w->listener);
    net_loop_free(w->loop);
    net_tls_unref(w->server_tls);
    net_tls_unref(w->client_tls);
    assert_null(w->server.conn);
    assert_null(w->client.conn);
}

/* state: NULL for plain, or the identity of the server. */
static struct world *connected(void **state)
{
    struct world *w = new_world(*state);

    dial(w, "127.0.0.1", NULL);
    run_until(w, w->client.n_opens && w->server.conn);
    return w;
}

static struct sio_buf *noise(size_t len, uint32_t *sum)
{
    struct sio_buf *b = sio_buf_new(len);
    uint32_t x = 12345;

    assert_non_null(b);
    for (size_t i = 0; i < len; i++) {
        x = x * 1664525 + 1013904223;
        b->data[i] = (uint8_t)(x >> 24);
    }
    *sum = add_up(0, b->data, len);
    return b;
}

static void small_buffer(struct net_conn *c)
{
    int size = 8192;

    setsockopt(c->io.fd, SOL_SOCKET, SO_SNDBUF, &size, sizeof(size));
}

/* Tests over plain and TLS. */

static void bytes_arrive_in_order_through_short_writes(void **state)
{
    enum { LEN = 3000001 };
    struct world *w = connected(state);
    uint32_t sum;
    struct sio_buf *b = noise(LEN, &sum);

    small_buffer(w->client.conn);
    for (size_t at = 0, n = 1; at < LEN; at += n, n = n * 3 % 50021 + 1) {
        struct sio_slice s[3];
        size_t len = n < LEN - at ? n : LEN - at;

        s[0] = (struct sio_slice){b, b->data + at, len / 2};
        s[1] = (struct sio_slice){NULL, b->data + at + len / 2, len - len / 2};
        s[2] = (struct sio_slice){NULL, NULL, 0};
        assert_int_equal(net_conn_send(w->client.conn, s, 3), SIO_OK);
    }
    assert_int_equal(net_conn_pending(w->client.conn), LEN);
    assert_true(net_conn_full(w->client.conn));
    run_until(w, w->server.got == LEN && w->client.n_drains);
    assert_int_equal(w->server.sum, sum);
    assert_int_equal(net_conn_pending(w->client.conn), 0);
    assert_int_equal(w->client.n_drains, 1);
    assert_int_equal(b->refs, 1); /* nothing holds it any more */
    assert_null(w->client.conn->out.v);
    sio_buf_unref(b);
    free_world(w);
}

static void more_pieces_than_one_call_takes_arrive_in_order(void **state)
{
    enum { LEN = 7 * 5000 };
    struct world *w = connected(state);
    uint32_t sum;
    struct sio_buf *b = noise(LEN, &sum);

    for (size_t at = 0; at < LEN; at += 7) {
        struct sio_slice s = {b, b->data + at, 7};

        assert_int_equal(net_conn_send(w->client.conn, &s, 1), SIO_OK);
    }
    run_until(w, w->server.got == LEN);
    assert_int_equal(w->server.sum, sum);
    assert_int_equal(b->refs, 1);
    sio_buf_unref(b);
    free_world(w);
}

static void an_echo_of_everything_comes_back(void **state)
{
    enum { LEN = 700000 };
    struct world *w = connected(state);
    uint32_t sum;
    struct sio_buf *b = noise(LEN, &sum);
    struct sio_slice s = sio_slice_of(b);

    w->server.echoes = true;
    assert_int_equal(net_conn_send(w->client.conn, &s, 1), SIO_OK);
    run_until(w, w->client.got == LEN);
    assert_int_equal(net_conn_bytes_out(w->client.conn) >= LEN, 1);
    assert_int_equal(w->client.n_closes, 0);
    sio_buf_unref(b);
    free_world(w);
}

static void a_paused_connection_gets_nothing_until_it_is_resumed(void **state)
{
    struct world *w = connected(state);
    struct end *s = &w->server;
    size_t before;

    s->pauses_on_data = true;
    net_conn_pause(s->conn);
    for (int i = 0; i < 5; i++) {
        before = s->got;
        assert_int_equal(net_conn_send_bytes(w->client.conn, "abc", 3), SIO_OK);
        run_until(w, !net_conn_pending(w->client.conn));
        for (int turn = 0; turn < 20; turn++)
            net_loop_run_once(w->loop, 0);
        assert_int_equal(s->got, before);
        net_conn_resume(s->conn);
        run_until(w, s->got >= (size_t)(i + 1) * 3);
    }
    free_world(w);
}

/* However it came to be full: TLS adds to what was sent, and marks move. */
static void whoever_saw_it_full_is_told_when_it_is_not(void **state)
{
    struct world *w = connected(state);

    assert_int_equal(net_conn_send_bytes(w->server.conn, "abc", 3), SIO_OK);
    assert_false(net_conn_full(w->server.conn));
    net_conn_set_marks(w->server.conn, 2, 1);
    assert_true(net_conn_full(w->server.conn));
    run_until(w, w->server.n_drains == 1);
    free_world(w);
}

static void the_end_of_the_peer_is_seen_while_paused(void **state)
{
    struct world *w = connected(state);

    net_conn_pause(w->server.conn);
    net_loop_run_once(w->loop, 0);
    net_conn_close(w->client.conn, 5000);
    run_until(w, w->server.n_eofs == 1);
    for (int turn = 0; turn < 5; turn++)
        net_loop_run_once(w->loop, 0);
    assert_int_equal(w->server.n_eofs, 1);
    assert_int_equal(w->server.n_closes, 0);
    net_conn_close(w->server.conn, 0);
    run_until(w, w->client.n_closes && w->server.n_closes);
    assert_int_equal(w->client.error, SIO_OK);
    assert_int_equal(w->server.error, SIO_OK);
    free_world(w);
}

static void close_sends_what_is_queued_first(void **state)
{
    enum { LEN = 1000000 };
    struct world *w = connected(state);
    uint32_t sum;
    struct sio_buf *b = noise(LEN, &sum);
    struct sio_slice s = sio_slice_of(b);

    small_buffer(w->server.conn);
    assert_int_equal(net_conn_send(w->server.conn, &s, 1), SIO_OK);
    net_conn_close(w->server.conn, 5000);
    assert_int_equal(net_conn_send_bytes(w->server.conn, "x", 1), SIO_ERR_CLOSED);
    run_until(w, w->client.n_eofs);
    assert_int_equal(w->client.got, LEN);
    assert_int_equal(w->client.sum, sum);
    net_conn_close(w->client.conn, 0);
    run_until(w, w->server.n_closes);
    assert_int_equal(w->server.error, SIO_OK);
    assert_int_equal(w->server.n_closes, 1);
    sio_buf_unref(b);
    free_world(w);
}

static void a_peer_that_does_not_answer_fin_is_dropped_after_the_linger(void **state)
{
    struct world *w = connected(state);

    net_conn_close(w->server.conn, 20);
    run_until(w, w->server.n_closes);
    assert_int_equal(w->server.error, SIO_OK);
    assert_int_equal(w->client.n_closes, 0);
    free_world(w);
}

static void abort_inside_on_data_ends_both(void **state)
{
    struct world *w = connected(state);

    w->server.aborts_on_data = true;
    net_conn_send_bytes(w->client.conn, "x", 1);
    run_until(w, w->server.n_closes && (w->client.n_eofs || w->client.n_closes));
    assert_int_equal(w->server.n_closes, 1);
    assert_int_equal(w->server.error, SIO_OK);
    free_world(w);
}

static void a_reset_by_the_peer_is_an_end(void **state)
{
    struct world *w = connected(state);
    struct linger rst = {.l_onoff = 1};

    setsockopt(w->client.conn->io.fd, SOL_SOCKET, SO_LINGER, &rst, sizeof(rst));
    net_conn_abort(w->client.conn, SIO_OK);
    run_until(w, w->server.n_closes);
    assert_int_equal(w->server.error, SIO_ERR_CLOSED);
    assert_string_not_equal(w->server.diag, "");
    free_world(w);
}

static void a_reset_is_seen_while_paused(void **state)
{
    struct world *w = connected(state);
    struct linger rst = {.l_onoff = 1};

    net_conn_pause(w->server.conn);
    net_loop_run_once(w->loop, 0);
    setsockopt(w->client.conn->io.fd, SOL_SOCKET, SO_LINGER, &rst, sizeof(rst));
    net_conn_abort(w->client.conn, SIO_OK);
    run_until(w, w->server.n_closes);
    assert_int_equal(w->server.error, SIO_ERR_CLOSED);
    free_world(w);
}

static void a_deadline_ends_the_connection(void **state)
{
    struct world *w = connected(state);

    assert_int_equal(net_conn_deadline(w->server.conn, 10), SIO_OK);
    assert_int_equal(net_conn_deadline(w->server.conn, 0), SIO_OK);
    assert_int_equal(net_conn_deadline(w->client.conn, 5), SIO_OK);
    run_until(w, w->client.n_closes);
    assert_int_equal(w->client.error, SIO_ERR_TIMEOUT);
    free_world(w);
}

static void the_loop_ends_what_is_left(void **state)
{
    struct world *w = connected(state);

    net_conn_send_bytes(w->client.conn, "x", 1);
    free_world(w);
    assert_int_equal(w->client.n_closes, 1);
    assert_int_equal(w->client.error, SIO_ERR_CLOSED);
    assert_int_equal(w->server.n_closes, 1);
}

static void out_of_memory_costs_only_the_connection(void **state)
{
    struct world *w = new_world(*state);

    alloc_fail_each(n)
    {
        struct net_connect_options o = {
            .host = "127.0.0.1",
            .port = net_listener_port(w->listener),
            .tls = w->client_tls,
        };

        w->client = (struct end){.world = w};
        w->client.conn = net_conn_connect(w->loop, &o, &ops, &w->client);
        if (!w->client.conn)
            continue;
        if (net_conn_send_bytes(w->client.conn, "x", 1) < 0)
            net_conn_abort(w->client.conn, SIO_ERR_NOMEM);
        run_until(w, w->client.n_closes || w->client.n_eofs || w->server.got);
        if (w->client.conn)
            net_conn_abort(w->client.conn, SIO_OK);
        if (w->server.conn)
            net_conn_abort(w->server.conn, SIO_OK);
        w->server = (struct end){.world = w};
        net_loop_run_once(w->loop, 0);
    }
    free_world(w);
}

/* Dialling. */

static void names_are_looked_up(void **state)
{
    struct world *w = new_world(*state);

    dial(w, "localhost", NULL);
    run_until(w, w->client.n_opens);
    free_world(w);
}

static void a_lookup_may_be_abandoned(void **state)
{
    struct world *w = new_world(*state);

    dial(w, "localhost", NULL);
    net_loop_run_once(w->loop, 0); /* the lookup has begun */
    net_conn_abort(w->client.conn, SIO_OK);
    assert_int_equal(w->client.n_closes, 1);
    dial(w, "localhost", NULL);
    net_loop_run_once(w->loop, 0);
    free_world(w); /* with the loop gone, its result is dropped */
    assert_int_equal(w->client.n_opens, 0);
}

static void an_unknown_name_is_said(void **state)
{
    struct world *w = new_world(NULL);

    (void)state;
    dial(w, "no-such-name.invalid", NULL);
    run_until(w, w->client.n_closes);
    assert_int_equal(w->client.error, SIO_ERR_RESOLVE);
    assert_non_null(strstr(w->client.diag, "no-such-name.invalid"));
    free_world(w);
}

static void a_refusal_is_said(void **state)
{
    struct world *w = new_world(NULL);
    struct net_connect_options o = {.host = "127.0.0.1", .port = 1};

    (void)state;
    w->client.conn = net_conn_connect(w->loop, &o, &ops, &w->client);
    assert_int_equal(w->client.n_closes, 0); /* never before it returns */
    run_until(w, w->client.n_closes);
    assert_int_equal(w->client.error, SIO_ERR_REFUSED);
    assert_string_equal(w->client.diag, "127.0.0.1 port 1: Connection refused");
    free_world(w);
}

static void ipv6_and_ipv4_share_a_listener(void **state)
{
    struct world *w = new_world(*state);
    char text[NET_ADDR_SIZE];

    dial(w, "127.0.0.1", NULL);
    run_until(w, w->server.conn && w->client.n_opens);
    net_addr_format(net_conn_peer(w->server.conn), text);
    assert_string_equal(text, "127.0.0.1");
    net_conn_abort(w->client.conn, SIO_OK);
    net_conn_abort(w->server.conn, SIO_OK);
    dial(w, "::1", NULL);
    run_until(w, w->client.n_closes == 2 || (w->server.conn && w->client.n_opens == 2));
    if (w->server.conn) { /* else there is no IPv6 here */
        net_addr_format(net_conn_peer(w->server.conn), text);
        assert_string_equal(text, "::1");
        assert_true(net_addr_port(net_conn_peer(w->server.conn)) > 0);
    }
    free_world(w);
}

/* One of the two is refused, whichever comes first. */
static void the_next_address_is_tried(void **state)
{
    static const char *const hosts[] = {"127.0.0.1", "::1"};

    for (size_t i = 0; i < N_ELEMENTS(hosts); i++) {
        struct world *w = new_world(*state);
        struct net_listen_options lo = {.host = hosts[i], .tls = w->server_tls};
        struct net_listener *l = net_listener_new(w->loop, &lo, on_accept, w, NULL);

        if (l) { /* else there is no IPv6 here */
            net_listener_free(w->listener);
            w->listener = l;
            dial(w, "localhost", NULL);
            run_until(w, w->client.n_opens || w->client.n_closes);
            /* A name may have an IPv4 address only. */
            assert_true(w->client.n_opens || i == 1);
        }
        free_world(w);
    }
}

static void a_silent_peer_is_given_up(void **state)
{
    struct world *w = new_world(NULL);
    struct net_connect_options o = {.host = "127.0.0.1", .timeout_ms = 50};
    struct net_listen_options lo = {.host = "127.0.0.1"};
    struct net_listener *quiet;

    (void)state;
    /* Accepts, and says nothing: a TLS handshake that never ends. */
    quiet = net_listener_new(w->loop, &lo, on_accept, w, NULL);
    o.port = net_listener_port(quiet);
    o.tls =
        net_tls_client_new(&(struct net_tls_client_options){.insecure = true}, NULL);
    w->client.conn = net_conn_connect(w->loop, &o, &ops, &w->client);
    run_until(w, w->client.n_closes);
    assert_int_equal(w->client.error, SIO_ERR_TIMEOUT);
    assert_string_equal(w->client.diag,
                        "TLS handshake with 127.0.0.1: no answer in time");
    net_tls_unref(o.tls);
    net_listener_free(quiet);
    free_world(w);
}

/* Accepting. */

static void accepting_rests_without_descriptors(void **state)
{
    struct world *w = new_world(NULL);
    struct rlimit before, low;
    int fds[1024], n = 0;

    (void)state;
    getrlimit(RLIMIT_NOFILE, &before);
    low = before;
    low.rlim_cur = 128;
    setrlimit(RLIMIT_NOFILE, &low);
    dial(w, "127.0.0.1", NULL);
    net_loop_run_once(w->loop, 0); /* the descriptor of this side is there */
    while (n < 1024 && (fds[n] = dup(0)) >= 0)
        n++;
    assert_int_equal(errno, EMFILE);
    run_until(w, w->client.n_opens);
    for (int turn = 0; turn < 10; turn++)
        net_loop_run_once(w->loop, 0);
    assert_int_equal(w->n_accepts, 0);
    while (n > 0)
        close(fds[--n]);
    run_until(w, w->server.conn);
    setrlimit(RLIMIT_NOFILE, &before);
    free_world(w);
}

static void accepting_stops_at_the_limit(void **state)
{
    struct world *w = new_world(NULL);
    struct net_listen_options lo = {.host = "127.0.0.1", .max_conns = 1};
    struct end second = {.world = w};
    struct net_connect_options o = {.host = "127.0.0.1"};

    (void)state;
    net_listener_free(w->listener);
    w->listener = net_listener_new(w->loop, &lo, on_accept, w, NULL);
    o.port = net_listener_port(w->listener);
    dial(w, "127.0.0.1", NULL);
    run_until(w, w->server.conn && w->client.n_opens);
    second.conn = net_conn_connect(w->loop, &o, &ops, &second);
    run_until(w, second.n_opens); /* by the kernel */
    for (int turn = 0; turn < 10; turn++)
        net_loop_run_once(w->loop, 0);
    assert_int_equal(w->n_accepts, 1);
    assert_int_equal(net_listener_n_conns(w->listener), 1);
    net_conn_abort(w->server.conn, SIO_OK);
    run_until(w, w->n_accepts == 2);
    net_conn_abort(second.conn, SIO_OK);
    free_world(w);
}

static void a_port_that_is_taken_is_said(void **state)
{
    struct world *w = new_world(NULL);
    struct net_listen_options lo = {.host = "127.0.0.1"};
    struct sio_diag diag;

    (void)state;
    lo.port = net_listener_port(w->listener);
    assert_null(net_listener_new(w->loop, &lo, on_accept, w, &diag));
    assert_non_null(strstr(diag.text, "Address already in use"));
    lo.host = "nowhere";
    assert_null(net_listener_new(w->loop, &lo, on_accept, w, &diag));
    assert_string_equal(diag.text, "listen: \"nowhere\" is no address");
    free_world(w);
}

static void connections_outlive_their_listener(void **state)
{
    struct world *w = connected(state);

    net_listener_free(w->listener);
    w->listener = NULL;
    net_conn_send_bytes(w->client.conn, "x", 1);
    run_until(w, w->server.got == 1);
    net_conn_abort(w->server.conn, SIO_OK);
    free_world(w);
}

static void an_idle_connection_is_small(void **state)
{
    (void)state;
    assert_true(sizeof(struct net_conn) < 400);
}

/* Certificates. */

static void refuse(const char *identity, const char *host, const char *tls_name,
                   const char *why)
{
    struct world *w = new_world(identity);

    dial(w, host, tls_name);
    run_until(w, w->client.n_closes);
    assert_int_equal(w->client.error, SIO_ERR_TLS);
    assert_string_equal(w->client.diag, why);
    assert_int_equal(w->client.n_opens, 0);
    for (int turn = 0; turn < 5; turn++)
        net_loop_run_once(w->loop, 0);
    assert_int_equal(w->n_accepts, 0);
    free_world(w);
}

static void bad_certificates_are_refused_in_clear_words(void **state)
{
    (void)state;
    refuse("old", "localhost", NULL,
           "certificate of localhost refused: it has expired");
    refuse(
        "self", "localhost", NULL,
        "certificate of localhost refused: it is self-signed and not among the trusted "
        "ones");
    refuse("other", "localhost", NULL,
           "certificate of localhost refused: it is for another name");
    refuse("other", "127.0.0.1", NULL,
           "certificate of 127.0.0.1 refused: it is for another name");
    refuse("good", "127.0.0.1", "other.test",
           "certificate of other.test refused: it is for another name");
}

static void another_ca_is_not_trusted(void **state)
{
    struct world *w = new_world("good");
    struct net_tls_client_options o = {.ca_file = path_of("self.pem")};

    (void)state;
    net_tls_unref(w->client_tls);
    w->client_tls = net_tls_client_new(&o, NULL);
    dial(w, "localhost", NULL);
    run_until(w, w->client.n_closes);
    assert_string_equal(
        w->client.diag,
        "certificate of localhost refused: it is signed by an unknown CA");
    free_world(w);
}

static void ssl_cert_file_is_trusted(void **state)
{
    struct world *w = new_world("good");
    struct sio_diag diag;

    (void)state;
    net_tls_unref(w->client_tls);
    setenv("SSL_CERT_FILE", path_of("ca.pem"), 1);
    w->client_tls = net_tls_client_new(NULL, &diag);
    assert_non_null(w->client_tls);
    dial(w, "localhost", NULL);
    run_until(w, w->client.n_opens);
    setenv("SSL_CERT_FILE", path_of("nothing"), 1);
    assert_null(net_tls_client_new(NULL, &diag));
    assert_non_null(strstr(diag.text, "No such file"));
    unsetenv("SSL_CERT_FILE");
    free_world(w);
}

static void an_address_in_the_certificate_is_a_name(void **state)
{
    struct world *w = new_world("other");

    (void)state;
    dial(w, "127.0.0.1", "192.0.2.7");
    run_until(w, w->client.n_opens);
    free_world(w);
}

static void bad_files_are_said(void **state)
{
    struct sio_diag diag;
    struct net_tls_client_options o = {0};

    (void)state;
    assert_null(net_tls_server_new(path_of("nothing"), path_of("good.key"), &diag));
    assert_non_null(strstr(diag.text, "No such file"));
    assert_null(net_tls_server_new(path_of("good.pem"), path_of("good.pem"), &diag));
    assert_non_null(strstr(diag.text, "key "));
    assert_null(net_tls_server_new(path_of("good.pem"), path_of("old.key"), &diag));
    assert_non_null(strstr(diag.text, "is not that of certificate"));
    o.ca_file = path_of("nothing");
    assert_null(net_tls_client_new(&o, &diag));
    assert_non_null(strstr(diag.text, "CA file"));
}

static void a_plain_server_is_no_tls_server(void **state)
{
    struct world *w = new_world(NULL);

    (void)state;
    w->client_tls =
        net_tls_client_new(&(struct net_tls_client_options){.insecure = true}, NULL);
    w->server.echoes = true;
    dial(w, "127.0.0.1", NULL);
    run_until(w, w->client.n_closes);
    assert_int_equal(w->client.error, SIO_ERR_TLS);
    assert_int_equal(w->client.n_opens, 0);
    free_world(w);
}

static void a_plain_client_is_no_tls_client(void **state)
{
    struct world *w = new_world("good");

    (void)state;
    net_tls_unref(w->client_tls);
    w->client_tls = NULL;
    dial(w, "127.0.0.1", NULL);
    net_conn_send_bytes(w->client.conn, "GET / HTTP/1.1\r\n\r\n", 18);
    run_until(w, w->client.n_closes || w->client.n_eofs);
    assert_int_equal(w->n_accepts, 0);
    free_world(w);
}

static void a_handshake_under_way_ends_with_the_listener(void **state)
{
    struct world *w = new_world("good");

    (void)state;
    net_tls_unref(w->client_tls);
    w->client_tls = NULL; /* says nothing */
    dial(w, "127.0.0.1", NULL);
    run_until(w, w->client.n_opens && net_listener_n_conns(w->listener) == 1);
    net_listener_free(w->listener);
    w->listener = NULL;
    free_world(w);
}

#define PLAIN_AND_TLS(f)                                       \
    {#f, f, NULL, NULL, NULL},                                 \
    {                                                          \
#f " (TLS)", f, NULL, NULL, (void *)(uintptr_t) "good" \
    }

int main(void)
{
    const struct CMUnitTest tests[] = {
        PLAIN_AND_TLS(bytes_arrive_in_order_through_short_writes),
        PLAIN_AND_TLS(more_pieces_than_one_call_takes_arrive_in_order),
        PLAIN_AND_TLS(an_echo_of_everything_comes_back),
        PLAIN_AND_TLS(a_paused_connection_gets_nothing_until_it_is_resumed),
        PLAIN_AND_TLS(whoever_saw_it_full_is_told_when_it_is_not),
        PLAIN_AND_TLS(the_end_of_the_peer_is_seen_while_paused),
        PLAIN_AND_TLS(close_sends_what_is_queued_first),
        PLAIN_AND_TLS(a_peer_that_does_not_answer_fin_is_dropped_after_the_linger),
        PLAIN_AND_TLS(abort_inside_on_data_ends_both),
        PLAIN_AND_TLS(a_reset_by_the_peer_is_an_end),
        PLAIN_AND_TLS(a_reset_is_seen_while_paused),
        PLAIN_AND_TLS(a_deadline_ends_the_connection),
        PLAIN_AND_TLS(the_loop_ends_what_is_left),
        PLAIN_AND_TLS(out_of_memory_costs_only_the_connection),
        PLAIN_AND_TLS(names_are_looked_up),
        PLAIN_AND_TLS(a_lookup_may_be_abandoned),
        PLAIN_AND_TLS(ipv6_and_ipv4_share_a_listener),
        PLAIN_AND_TLS(the_next_address_is_tried),
        PLAIN_AND_TLS(connections_outlive_their_listener),
        cmocka_unit_test(an_unknown_name_is_said),
        cmocka_unit_test(a_refusal_is_said),
        cmocka_unit_test(a_silent_peer_is_given_up),
        cmocka_unit_test(accepting_rests_without_descriptors),
        cmocka_unit_test(accepting_stops_at_the_limit),
        cmocka_unit_test(a_port_that_is_taken_is_said),
        cmocka_unit_test(an_idle_connection_is_small),
        cmocka_unit_test(bad_certificates_are_refused_in_clear_words),
        cmocka_unit_test(another_ca_is_not_trusted),
        cmocka_unit_test(ssl_cert_file_is_trusted),
        cmocka_unit_test(an_address_in_the_certificate_is_a_name),
        cmocka_unit_test(bad_files_are_said),
        cmocka_unit_test(a_plain_server_is_no_tls_server),
        cmocka_unit_test(a_plain_client_is_no_tls_client),
        cmocka_unit_test(a_handshake_under_way_ends_with_the_listener),
    };

    return cmocka_run_group_tests(tests, make_certificates, remove_certificates);
}
