/* TLS contexts: certificates, trust and rules, shared by many sessions. */
#include "wire/tls_internal.h"
#include "base/codec.h"

#include <arpa/inet.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <stdlib.h>

static const unsigned char alpn_both[] = "\x02h2\x08http/1.1", alpn_1[] = "\x08http/1.1";

static int context_fail(struct error *err, const char *what)
{
    unsigned long e = ERR_peek_last_error();
    const char *reason = e ? ERR_reason_error_string(e) : NULL;

    ERR_clear_error();
    return fail(err, ERR_BAD_REQUEST, "TLS: %s%s%s", what, reason ? ": " : "", reason ? reason : "");
}

static struct tls_context *context_new(bool server)
{
    struct tls_context *c = xnew(struct tls_context);

    atomic_init(&c->references, 1);
    pthread_mutex_init(&c->lock, NULL);
    c->server = server;
    c->ctx = SSL_CTX_new(server ? TLS_server_method() : TLS_client_method());
    assert(c->ctx);
    SSL_CTX_set_min_proto_version(c->ctx, TLS1_2_VERSION);
    SSL_CTX_set_options(c->ctx, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION | SSL_OP_CIPHER_SERVER_PREFERENCE);
    SSL_CTX_set_cipher_list(c->ctx, "ECDHE+AESGCM:ECDHE+CHACHA20");
    /* An idle watch must not hold 2 x 17 KiB of record buffers. */
    SSL_CTX_set_mode(c->ctx, SSL_MODE_RELEASE_BUFFERS);
    SSL_CTX_set_num_tickets(c->ctx, 1);
    return c;
}

/* A chain and its key. */
static int use_certificate(struct tls_context *c, struct str pem, const struct secret *key_pem, struct error *err)
{
    BIO *bio = BIO_new_mem_buf(pem.p ? pem.p : "", (int)pem.n);
    struct str key_text = key_pem ? secret_reveal(key_pem) : STR_NONE;
    BIO *key_bio = BIO_new_mem_buf(key_text.p ? key_text.p : "", (int)key_text.n);
    X509 *x509 = PEM_read_bio_X509(bio, NULL, NULL, NULL), *next;
    EVP_PKEY *key = PEM_read_bio_PrivateKey(key_bio, NULL, NULL, NULL);
    bool ok = x509 && key && SSL_CTX_use_certificate(c->ctx, x509) == 1 && SSL_CTX_use_PrivateKey(c->ctx, key) == 1 &&
              SSL_CTX_check_private_key(c->ctx) == 1;

    while (ok && (next = PEM_read_bio_X509(bio, NULL, NULL, NULL)))
        SSL_CTX_add0_chain_cert(c->ctx, next);
    X509_free(x509);
    EVP_PKEY_free(key);
    BIO_free(bio);
    BIO_free(key_bio);
    if (!ok)
        return context_fail(err, !x509  ? "the certificate is not PEM"
                                 : !key ? "the key is not PEM"
                                        : "certificate and key do not fit");
    ERR_clear_error();
    return 0;
}

static int trust(struct tls_context *c, struct str ca_pem, bool name_to_clients, struct error *err)
{
    BIO *bio = BIO_new_mem_buf(ca_pem.p, (int)ca_pem.n);
    X509_STORE *store = SSL_CTX_get_cert_store(c->ctx);
    X509 *x509;
    int count = 0;

    while ((x509 = PEM_read_bio_X509(bio, NULL, NULL, NULL))) {
        X509_STORE_add_cert(store, x509);
        if (name_to_clients)
            SSL_CTX_add_client_CA(c->ctx, x509);
        X509_free(x509);
        count++;
    }
    BIO_free(bio);
    if (!count)
        return context_fail(err, "the CA is not a certificate in PEM");
    ERR_clear_error();
    return 0;
}

static int choose_alpn(SSL *ssl, const unsigned char **ret, unsigned char *ret_n, const unsigned char *offered,
                       unsigned n, void *arg)
{
    struct tls_context *c = arg;
    const unsigned char *ours = c->http1_only ? alpn_1 : alpn_both;
    unsigned ours_n = c->http1_only ? sizeof(alpn_1) - 1 : sizeof(alpn_both) - 1;
    unsigned char *chosen;

    (void)ssl;
    if (SSL_select_next_proto(&chosen, ret_n, ours, ours_n, offered, n) != OPENSSL_NPN_NEGOTIATED)
        return SSL_TLSEXT_ERR_NOACK;
    *ret = chosen;
    return SSL_TLSEXT_ERR_OK;
}

/* Whatever the verdict, the handshake goes on; tls_peer() tells it, and HTTP answers 401. */
static int accept_any_client(int ok, X509_STORE_CTX *ctx)
{
    SSL *ssl = X509_STORE_CTX_get_ex_data(ctx, SSL_get_ex_data_X509_STORE_CTX_idx());
    struct tls *t = SSL_get_app_data(ssl);

    if (!ok && !t->first_verify_error)
        t->first_verify_error = X509_STORE_CTX_get_error(ctx); /* OpenSSL keeps the last, the first says more */
    return 1;
}

struct tls_context *tls_context_new_server(const struct tls_server_options *o, struct error *err)
{
    struct tls_context *c = context_new(true);

    c->http1_only = o->http1_only;
    SSL_CTX_set_alpn_select_cb(c->ctx, choose_alpn, c);
    SSL_CTX_set_session_id_context(c->ctx, (const unsigned char *)"klein", 5);
    SSL_CTX_set_session_cache_mode(c->ctx, SSL_SESS_CACHE_OFF); /* tickets hold the state */
    if (use_certificate(c, o->certificate_pem, o->key_pem, err) < 0 ||
        (o->client_ca_pem.n && trust(c, o->client_ca_pem, true, err) < 0)) {
        tls_context_unref(c);
        return NULL;
    }
    if (o->client_ca_pem.n) {
        SSL_CTX_set_verify(c->ctx, SSL_VERIFY_PEER, accept_any_client);
        SSL_CTX_set_purpose(c->ctx, X509_PURPOSE_SSL_CLIENT);
    }
    return c;
}

/* Tickets come after the handshake; the newest is kept for the next connection. */
static int keep_session(SSL *ssl, SSL_SESSION *session)
{
    struct tls *t = SSL_get_app_data(ssl);
    struct tls_context *c = t->context;

    pthread_mutex_lock(&c->lock);
    SSL_SESSION_free(c->session);
    free(c->session_host);
    c->session = session;
    c->session_host = xstrdup(t->expected_host ? t->expected_host : "");
    pthread_mutex_unlock(&c->lock);
    return 1;
}

static bool chain_has_pin(X509_STORE_CTX *ctx, const char *pin)
{
    STACK_OF(X509) *chain = X509_STORE_CTX_get0_untrusted(ctx);

    for (int i = 0; i < sk_X509_num(chain); i++) {
        X509 *x509 = sk_X509_value(chain, i);
        unsigned char *der = NULL;
        int n = i2d_X509_PUBKEY(X509_get_X509_PUBKEY(x509), &der);
        char hex[SHA256_HEX_SIZE];

        sha256_hex((struct str){ (const char *)der, (size_t)MAX(n, 0) }, hex);
        OPENSSL_free(der);
        if (X509_check_ca(x509) > 0 && strcmp(hex, pin) == 0) {
            /* From here on an ordinary verification, with this CA as the only one trusted. */
            STACK_OF(X509) *trusted = sk_X509_new_null();

            sk_X509_push(trusted, x509);
            X509_STORE_CTX_set0_trusted_stack(ctx, trusted);
            n = X509_verify_cert(ctx);
            sk_X509_free(trusted);
            return n == 1;
        }
    }
    X509_STORE_CTX_set_error(ctx, X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN);
    return false;
}

static int verify_by_pin(X509_STORE_CTX *ctx, void *arg)
{
    struct tls_context *c = arg;

    return chain_has_pin(ctx, c->pin);
}

struct tls_context *tls_context_new_client(const struct tls_client_options *o, struct error *err)
{
    struct tls_context *c = context_new(false);

    c->http1_only = o->http1_only;
    c->insecure = o->insecure;
    SSL_CTX_set_session_cache_mode(c->ctx, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
    SSL_CTX_sess_set_new_cb(c->ctx, keep_session);
    SSL_CTX_set_verify(c->ctx, o->insecure ? SSL_VERIFY_NONE : SSL_VERIFY_PEER, NULL);
    if (o->ca_sha256.n == sizeof(c->pin) - 1) {
        memcpy(c->pin, o->ca_sha256.p, o->ca_sha256.n);
        SSL_CTX_set_cert_verify_callback(c->ctx, verify_by_pin, c);
    } else if (o->ca_sha256.n) {
        fail(err, ERR_BAD_REQUEST, "a pin has 64 hex characters");
        tls_context_unref(c);
        return NULL;
    }
    if ((o->ca_pem.n && trust(c, o->ca_pem, false, err) < 0) ||
        (o->certificate_pem.n && use_certificate(c, o->certificate_pem, o->key_pem, err) < 0)) {
        tls_context_unref(c);
        return NULL;
    }
    return c;
}

void tls_context_prepare_client(struct tls *t, struct str host, bool alpn_http1)
{
    struct tls_context *c = t->context;
    unsigned char ip[16];
    bool is_ip;

    t->expected_host = str_dup(host);
    is_ip = inet_pton(AF_INET, t->expected_host, ip) == 1 || inet_pton(AF_INET6, t->expected_host, ip) == 1;
    if (c->http1_only || alpn_http1)
        SSL_set_alpn_protos(t->ssl, alpn_1, sizeof(alpn_1) - 1);
    else
        SSL_set_alpn_protos(t->ssl, alpn_both, sizeof(alpn_both) - 1);
    if (!is_ip && host.n)
        SSL_set_tlsext_host_name(t->ssl, t->expected_host);
    if (!c->insecure && is_ip)
        X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(t->ssl), t->expected_host);
    else if (!c->insecure)
        SSL_set1_host(t->ssl, t->expected_host);
    pthread_mutex_lock(&c->lock);
    if (c->session && strcmp(c->session_host, t->expected_host) == 0)
        SSL_set_session(t->ssl, c->session);
    pthread_mutex_unlock(&c->lock);
}

struct tls_context *tls_context_ref(struct tls_context *c)
{
    atomic_fetch_add(&c->references, 1);
    return c;
}

void tls_context_unref(struct tls_context *c)
{
    if (!c || atomic_fetch_sub(&c->references, 1) != 1)
        return;
    SSL_CTX_free(c->ctx);
    SSL_SESSION_free(c->session);
    free(c->session_host);
    pthread_mutex_destroy(&c->lock);
    free(c);
}
