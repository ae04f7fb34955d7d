/*
 * tls.c - OpenSSL, behind net/tls.h and net/tls_session.h
 *
 * The BIO under each SSL reads what tls_session_feed was given and writes to the
 * loop's scratch space.  OpenSSL copies what it reads of an unfinished record into a
 * buffer of its own, which SSL_MODE_RELEASE_BUFFERS gives back, so neither side of
 * the BIO ever has anything to keep.
 */
#include <config.h>

#include "net/tls.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>

#include "base/list.h"
#include "base/mem.h"
#include "net/conn.h"
#include "net/tls_session.h"

/* Header, tag and padding of a record, and then some. */
#define TLS_RECORD_OVERHEAD 512
/* What a peer can make us answer (key updates) while it does not read. */
#define TLS_LEFT_MAX  (2 * LOOP_TLS_OUT_SIZE)
#define TLS_DIAG_SIZE 256

struct net_tls {
    unsigned refs;
    bool server;
    bool insecure;
    bool any_name;
    SSL_CTX *ssl_ctx;
    BIO_METHOD *bio_method;
};

struct tls_session {
    struct net_tls *tls;
    struct loop_tls *scratch;
    SSL *ssl;
    const uint8_t *in;
    size_t in_len;
    uint8_t *left; /* ciphertext from left_from on waits; NULL: none */
    size_t left_from;
    size_t left_len;
    char *name; /* to verify; NULL: server */
    char *diag;
};

/* The BIO. */

static int bio_read(BIO *bio, char *p, size_t len, size_t *n)
{
    struct tls_session *s = BIO_get_data(bio);

    BIO_clear_retry_flags(bio);
    if (!s->in_len) {
        BIO_set_retry_read(bio);
        *n = 0;
        return -1;
    }
    *n = len < s->in_len ? len : s->in_len;
    memcpy(p, s->in, *n);
    s->in += *n;
    s->in_len -= *n;
    return 1;
}

static int bio_write(BIO *bio, const char *p, size_t len, size_t *n)
{
    struct tls_session *s = BIO_get_data(bio);
    struct loop_tls *scratch = s->scratch;

    BIO_clear_retry_flags(bio);
    if (len > sizeof(scratch->out) - scratch->out_len) {
        *n = 0;
        return 0; /* an endless answer: ends the connection */
    }
    memcpy(scratch->out + scratch->out_len, p, len);
    scratch->out_len += len;
    *n = len;
    return 1;
}

static long bio_ctrl(BIO *bio, int cmd, long num, void *ptr)
{
    (void)bio;
    (void)num;
    (void)ptr;
    return cmd == BIO_CTRL_FLUSH ? 1 : 0;
}

static BIO_METHOD *bio_method_new(void)
{
    BIO_METHOD *m = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "net");

    if (m &&
        (!BIO_meth_set_read_ex(m, bio_read) || !BIO_meth_set_write_ex(m, bio_write) ||
         !BIO_meth_set_ctrl(m, bio_ctrl))) {
        BIO_meth_free(m);
        return NULL;
    }
    return m;
}

/* Setting up. */

/*
 * The reason for the error that came first: in our words where OpenSSL's say little, else
 * in those, or the system's.
 */
static const char *reason(void)
{
    unsigned long e = ERR_peek_error();
    const char *text = ERR_reason_error_string(e);

    if (ERR_GET_LIB(e) == ERR_LIB_SSL)
        switch (ERR_GET_REASON(e)) {
        case SSL_R_UNSUPPORTED_PROTOCOL:
        case SSL_R_TLSV1_ALERT_PROTOCOL_VERSION:
            return "the two have no version of TLS in common";
        case SSL_R_TLSV13_ALERT_CERTIFICATE_REQUIRED:
            return "the peer wants a certificate of ours";
        case SSL_R_TLSV1_ALERT_UNKNOWN_CA:
            return "the peer does not know the CA of our certificate";
        default: break;
        }
    if (e && ERR_SYSTEM_ERROR(e))
        return strerror(ERR_GET_REASON(e));
    return text ? text : "unknown error";
}

/* A key that wants a passphrase is an error: nobody is there to be asked. */
static int no_passphrase(char *buf, int size, int rwflag, void *user)
{
    (void)buf;
    (void)size;
    (void)rwflag;
    (void)user;
    return -1;
}

static int load_certificate(SSL_CTX *ctx, const char *cert_file, const char *key_file,
                            struct sio_diag *diag)
{
    ERR_clear_error();
    if (SSL_CTX_use_certificate_chain_file(ctx, cert_file) != 1)
        return sio_diag_set(diag, SIO_ERR_TLS, "certificate %s: %s", cert_file,
                            reason());
    if (SSL_CTX_use_PrivateKey_file(ctx, key_file, SSL_FILETYPE_PEM) == 1 &&
        SSL_CTX_check_private_key(ctx) == 1)
        return SIO_OK;
    if (ERR_GET_REASON(ERR_peek_error()) == X509_R_KEY_VALUES_MISMATCH)
        return sio_diag_set(diag, SIO_ERR_TLS, "key %s is not that of certificate %s",
                            key_file, cert_file);
    return sio_diag_set(diag, SIO_ERR_TLS, "key %s: %s", key_file, reason());
}

static int select_alpn(SSL *ssl, const unsigned char **out, unsigned char *outlen,
                       const unsigned char *in, unsigned int inlen, void *user)
{
    static const unsigned char ours[] = "\x08http/1.1";
    unsigned char *chosen;

    (void)ssl;
    (void)user;
    if (SSL_select_next_proto(&chosen, outlen, ours, sizeof(ours) - 1, in, inlen) !=
        OPENSSL_NPN_NEGOTIATED)
        return SSL_TLSEXT_ERR_NOACK;
    *out = chosen;
    return SSL_TLSEXT_ERR_OK;
}

static struct net_tls *tls_new(const SSL_METHOD *method, bool server)
{
    struct net_tls *tls = mem_new(struct net_tls);

    if (!tls)
        return NULL;
    tls->refs = 1;
    tls->server = server;
    tls->bio_method = bio_method_new();
    tls->ssl_ctx = SSL_CTX_new(method);
    if (!tls->bio_method || !tls->ssl_ctx) {
        net_tls_unref(tls);
        return NULL;
    }
    SSL_CTX_set_min_proto_version(tls->ssl_ctx, TLS1_2_VERSION);
    SSL_CTX_set_options(tls->ssl_ctx, SSL_OP_NO_COMPRESSION | SSL_OP_NO_RENEGOTIATION);
    SSL_CTX_set_mode(tls->ssl_ctx, SSL_MODE_RELEASE_BUFFERS);
    SSL_CTX_set_session_cache_mode(tls->ssl_ctx, SSL_SESS_CACHE_OFF);
    SSL_CTX_set_default_passwd_cb(tls->ssl_ctx, no_passphrase);
    return tls;
}

struct net_tls *net_tls_server_new(const char *cert_file, const char *key_file,
                                   struct sio_diag *diag)
{
    struct net_tls *tls = tls_new(TLS_server_method(), true);

    if (!tls) {
        sio_diag_set(diag, SIO_ERR_NOMEM, "TLS: out of memory");
        return NULL;
    }
    SSL_CTX_set_alpn_select_cb(tls->ssl_ctx, select_alpn, NULL);
    SSL_CTX_set_num_tickets(tls->ssl_ctx, 1);
    if (load_certificate(tls->ssl_ctx, cert_file, key_file, diag) < 0) {
        net_tls_unref(tls);
        return NULL;
    }
    return tls;
}

/* The system's CAs, or those of SSL_CERT_FILE (which OpenSSL would skip in silence). */
static int trust_system(SSL_CTX *ctx, struct sio_diag *diag)
{
    const char *file = secure_getenv("SSL_CERT_FILE");

    if (file && *file && access(file, R_OK) < 0)
        return sio_diag_errno(diag, SIO_ERR_TLS, "CA file %s (SSL_CERT_FILE)", file);
    if (SSL_CTX_set_default_verify_paths(ctx) != 1)
        return sio_diag_set(diag, SIO_ERR_TLS, "the system's CAs: %s", reason());
    return SIO_OK;
}

static int set_trust(SSL_CTX *ctx, const struct net_tls_client_options *o,
                     struct sio_diag *diag)
{
    ERR_clear_error();
    if (o->insecure) {
        SSL_CTX_set_verify(ctx, SSL_VERIFY_NONE, NULL);
        return SIO_OK;
    }
    SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER, NULL);
    if (!o->ca_file)
        return trust_system(ctx, diag);
    if (SSL_CTX_load_verify_locations(ctx, o->ca_file, NULL) != 1)
        return sio_diag_set(diag, SIO_ERR_TLS, "CA file %s: %s", o->ca_file, reason());
    return SIO_OK;
}

struct net_tls *net_tls_client_new(const struct net_tls_client_options *opts,
                                   struct sio_diag *diag)
{
    static const struct net_tls_client_options none;
    static const unsigned char alpn[] = "\x08http/1.1";
    struct net_tls *tls = tls_new(TLS_client_method(), false);
    int rv;

    if (!opts)
        opts = &none;
    if (!tls) {
        sio_diag_set(diag, SIO_ERR_NOMEM, "TLS: out of memory");
        return NULL;
    }
    tls->insecure = opts->insecure;
    tls->any_name = opts->any_name;
    if (opts->only_tls_1_3)
        SSL_CTX_set_min_proto_version(tls->ssl_ctx, TLS1_3_VERSION);
    if (!opts->no_alpn)
        SSL_CTX_set_alpn_protos(tls->ssl_ctx, alpn, sizeof(alpn) - 1);
    rv = set_trust(tls->ssl_ctx, opts, diag);
    if (rv == SIO_OK && opts->cert_file)
        rv = load_certificate(tls->ssl_ctx, opts->cert_file,
                              opts->key_file ? opts->key_file : opts->cert_file, diag);
    if (rv < 0) {
        net_tls_unref(tls);
        return NULL;
    }
    return tls;
}

struct net_tls *net_tls_ref(struct net_tls *tls)
{
    tls->refs++;
    return tls;
}

void net_tls_unref(struct net_tls *tls)
{
    if (!tls || --tls->refs)
        return;
    SSL_CTX_free(tls->ssl_ctx);
    BIO_meth_free(tls->bio_method);
    mem_free(tls);
}

/* Sessions. */

/* The name to verify: an address is compared with the certificate's addresses. */
static int set_name(struct tls_session *s, const char *name)
{
    X509_VERIFY_PARAM *param = SSL_get0_param(s->ssl);
    struct net_addr addr;

    s->name = mem_strndup(name, strlen(name));
    if (!s->name)
        return SIO_ERR_NOMEM;
    if (net_addr_parse(name, 0, &addr)) {
        char text[NET_ADDR_SIZE];

        net_addr_format(&addr, text);
        return s->tls->any_name || X509_VERIFY_PARAM_set1_ip_asc(param, text) == 1
                   ? SIO_OK
                   : SIO_ERR_NOMEM;
    }
    if (SSL_set_tlsext_host_name(s->ssl, name) != 1)
        return SIO_ERR_NOMEM;
    if (s->tls->any_name)
        return SIO_OK;
    X509_VERIFY_PARAM_set_hostflags(param, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
    return X509_VERIFY_PARAM_set1_host(param, name, 0) == 1 ? SIO_OK : SIO_ERR_NOMEM;
}

struct tls_session *tls_session_new(struct net_tls *tls, struct loop_tls *scratch,
                                    const char *name)
{
    struct tls_session *s = mem_new(struct tls_session);
    BIO *bio;

    if (!s)
        return NULL;
    s->tls = net_tls_ref(tls);
    s->scratch = scratch;
    s->ssl = SSL_new(tls->ssl_ctx);
    bio = s->ssl ? BIO_new(tls->bio_method) : NULL;
    if (!bio)
        goto fail;
    BIO_set_data(bio, s);
    BIO_set_init(bio, 1);
    SSL_set_bio(s->ssl, bio, bio);
    if (tls->server) {
        SSL_set_accept_state(s->ssl);
        return s;
    }
    SSL_set_connect_state(s->ssl);
    if (set_name(s, name) < 0)
        goto fail;
    return s;

fail:
    tls_session_free(s);
    ERR_clear_error();
    return NULL;
}

void tls_session_free(struct tls_session *s)
{
    if (!s)
        return;
    SSL_free(s->ssl);
    net_tls_unref(s->tls);
    mem_free(s->left);
    mem_free(s->name);
    mem_free(s->diag);
    mem_free(s);
}

void tls_session_feed(struct tls_session *s, const uint8_t *p, size_t len)
{
    s->in = p;
    s->in_len = len;
}

static int fail(struct tls_session *s, const char *text)
{
    mem_free(s->diag);
    s->diag = mem_strndup(text, strlen(text));
    ERR_clear_error();
    return SIO_ERR_TLS;
}

/* What an operator must know of a certificate that was not accepted. */
static int fail_verify(struct tls_session *s, long result)
{
    char text[TLS_DIAG_SIZE];
    const char *why;

    switch (result) {
    case X509_V_ERR_CERT_HAS_EXPIRED: why = "it has expired"; break;
    case X509_V_ERR_CERT_NOT_YET_VALID:
        why = "it is not valid yet (is the clock right?)";
        break;
    case X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT:
        why = "it is self-signed and not among the trusted ones";
        break;
    case X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN:
    case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT:
    case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY:
    case X509_V_ERR_UNABLE_TO_VERIFY_LEAF_SIGNATURE:
        why = "it is signed by an unknown CA";
        break;
    case X509_V_ERR_HOSTNAME_MISMATCH:
    case X509_V_ERR_IP_ADDRESS_MISMATCH: why = "it is for another name"; break;
    default: why = X509_verify_cert_error_string(result); break;
    }
    snprintf(text, sizeof(text), "certificate of %s refused: %s", s->name, why);
    return fail(s, text);
}

static int fail_handshake(struct tls_session *s)
{
    long verify = SSL_get_verify_result(s->ssl);
    char text[TLS_DIAG_SIZE];
    int lib = ERR_GET_LIB(ERR_peek_last_error());
    int why = ERR_GET_REASON(ERR_peek_last_error());

    if (lib == ERR_LIB_SSL && why == SSL_R_CERTIFICATE_VERIFY_FAILED &&
        verify != X509_V_OK)
        return fail_verify(s, verify);
    if (lib == ERR_LIB_SSL &&
        (why == SSL_R_WRONG_VERSION_NUMBER || why == SSL_R_HTTP_REQUEST)) {
        snprintf(text, sizeof(text),
                 "TLS handshake%s%s: the peer does not speak TLS here",
                 s->name ? " with " : "", s->name ? s->name : "");
        return fail(s, text);
    }
    snprintf(text, sizeof(text), "TLS handshake%s%s: %s", s->name ? " with " : "",
             s->name ? s->name : "", reason());
    return fail(s, text);
}

int tls_session_handshake(struct tls_session *s)
{
    int rv;

    ERR_clear_error();
    rv = SSL_do_handshake(s->ssl);
    if (rv == 1)
        return 1;
    return SSL_get_error(s->ssl, rv) == SSL_ERROR_WANT_READ ? 0 : fail_handshake(s);
}

int tls_session_read(struct tls_session *s, uint8_t *p, size_t room, size_t *len,
                     bool *eof)
{
    int rv;

    *len = 0;
    ERR_clear_error();
    for (;;) {
        size_t n;

        assert(*len < room);
        rv = SSL_read_ex(s->ssl, p + *len, room - *len, &n);
        if (rv != 1)
            break;
        *len += n;
    }
    switch (SSL_get_error(s->ssl, rv)) {
    case SSL_ERROR_WANT_READ: return SIO_OK;
    case SSL_ERROR_ZERO_RETURN: *eof = true; return SIO_OK;
    default: return fail(s, reason());
    }
}

bool tls_session_has_room(const struct tls_session *s)
{
    return s->scratch->out_len + LOOP_TLS_PLAIN_SIZE + TLS_RECORD_OVERHEAD <=
           sizeof(s->scratch->out);
}

int tls_session_write(struct tls_session *s, const uint8_t *p, size_t len)
{
    size_t n;

    ERR_clear_error();
    return SSL_write_ex(s->ssl, p, len, &n) == 1 ? SIO_OK : fail(s, reason());
}

void tls_session_shutdown(struct tls_session *s)
{
    ERR_clear_error();
    (void)SSL_shutdown(s->ssl);
    ERR_clear_error();
}

struct sio_str tls_session_left(const struct tls_session *s)
{
    if (!s->left)
        return (struct sio_str){NULL, 0};
    return (struct sio_str){(const char *)s->left + s->left_from,
                            s->left_len - s->left_from};
}

void tls_session_left_sent(struct tls_session *s, size_t n)
{
    s->left_from += n;
    if (s->left_from < s->left_len)
        return;
    mem_free(s->left);
    s->left = NULL;
    s->left_from = s->left_len = 0;
}

int tls_session_keep(struct tls_session *s, size_t from)
{
    struct sio_str old = tls_session_left(s);
    size_t add = s->scratch->out_len - from;
    uint8_t *left;

    if (old.len + add > TLS_LEFT_MAX)
        return SIO_ERR_TOO_BIG;
    left = mem_array(old.len + add, 1);
    if (!left)
        return SIO_ERR_NOMEM;
    if (old.len)
        memcpy(left, old.ptr, old.len);
    memcpy(left + old.len, s->scratch->out + from, add);
    mem_free(s->left);
    s->left = left;
    s->left_from = 0;
    s->left_len = old.len + add;
    return SIO_OK;
}

const char *tls_session_diag(const struct tls_session *s)
{
    return s->diag ? s->diag : "failed";
}

int net_sha1(const void *p, size_t len, uint8_t out[20])
{
    return EVP_Digest(p, len, out, NULL, EVP_sha1(), NULL) == 1 ? SIO_OK
                                                                : SIO_ERR_NOMEM;
}
