/* TLS sessions: bytes through OpenSSL, by a BIO that reads what was fed and writes into a buffer. */
#include "wire/tls_internal.h"
#include "base/codec.h"

#include <openssl/err.h>
#include <stdlib.h>

#define OUTPUT_MAX_BYTES (64 * MIB)
#define NAMES_MAX        64 /* organizations taken from a client's certificate */

static int bio_read(BIO *bio, char *to, int n)
{
    struct tls *t = BIO_get_data(bio);
    size_t fit = MIN((size_t)MAX(n, 0), t->in.n);

    BIO_clear_retry_flags(bio);
    if (!fit) {
        BIO_set_retry_read(bio);
        return -1;
    }
    memcpy(to, t->in.p, fit);
    t->in = str_from(t->in, fit);
    return (int)fit;
}

static int bio_write(BIO *bio, const char *from, int n)
{
    struct tls *t = BIO_get_data(bio);

    BIO_clear_retry_flags(bio);
    buf_add_bytes(&t->out, from, (size_t)MAX(n, 0));
    return n;
}

static long bio_ctrl(BIO *bio, int command, long number, void *p)
{
    (void)bio, (void)number, (void)p;
    return command == BIO_CTRL_FLUSH;
}

static int bio_create(BIO *bio)
{
    BIO_set_init(bio, 1);
    return 1;
}

static BIO_METHOD *bio_method;

static __attribute__((constructor)) void make_bio_method(void)
{
    bio_method = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "klein bytes");
    BIO_meth_set_read(bio_method, bio_read);
    BIO_meth_set_write(bio_method, bio_write);
    BIO_meth_set_ctrl(bio_method, bio_ctrl);
    BIO_meth_set_create(bio_method, bio_create);
}

struct tls *tls_new(struct tls_context *c, struct str host, bool alpn_http1)
{
    struct tls *t = xnew(struct tls);
    BIO *bio = BIO_new(bio_method);

    t->context = tls_context_ref(c);
    t->out.max = OUTPUT_MAX_BYTES;
    t->ssl = SSL_new(c->ctx);
    BIO_set_data(bio, t);
    SSL_set_bio(t->ssl, bio, bio);
    SSL_set_app_data(t->ssl, t);
    if (c->server) {
        SSL_set_accept_state(t->ssl);
    } else {
        SSL_set_connect_state(t->ssl);
        tls_context_prepare_client(t, host, alpn_http1);
    }
    return t;
}

void tls_free(struct tls *t)
{
    if (!t)
        return;
    /* Without this OpenSSL takes the end for an attack and forgets the session's ticket. */
    if (t->state != TLS_FAILED)
        SSL_set_shutdown(t->ssl, SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN);
    SSL_free(t->ssl);
    tls_context_unref(t->context);
    buf_done(&t->out);
    buf_done(&t->kept);
    for (size_t i = 0; i < t->peer.organizations_count; i++)
        free((void *)t->peer.organizations[i].p);
    free(t->peer.organizations);
    free((void *)t->peer.common_name.p);
    free(t->expected_host);
    free(t);
}

enum tls_state tls_state(const struct tls *t)
{
    return t->state;
}

static int tls_fail(struct tls *t, struct error *err)
{
    unsigned long e = ERR_peek_error();
    long verify = SSL_get_verify_result(t->ssl);
    const char *reason = e ? ERR_reason_error_string(e) : NULL;

    t->state = TLS_FAILED;
    ERR_clear_error();
    if (!t->context->server && verify != X509_V_OK)
        return fail(err, ERR_UNAUTHORIZED, "the server's certificate did not verify: %s",
                    X509_verify_cert_error_string(verify));
    return fail(err, ERR_UNAVAILABLE, "TLS: %s", reason ? reason : "broken stream");
}

static int step(struct tls *t, struct error *err)
{
    int r;

    if (t->state != TLS_HANDSHAKE)
        return 0;
    ERR_clear_error();
    r = SSL_do_handshake(t->ssl);
    if (r == 1) {
        t->state = TLS_OPEN;
        return 0;
    }
    switch (SSL_get_error(t->ssl, r)) {
    case SSL_ERROR_WANT_READ:
    case SSL_ERROR_WANT_WRITE:
        return 0;
    default:
        return tls_fail(t, err);
    }
}

int tls_feed(struct tls *t, struct str cipher, struct error *err)
{
    if (t->kept.n) {
        buf_add(&t->kept, cipher);
        t->in = buf_str(&t->kept);
    } else {
        t->in = cipher;
    }
    return step(t, err);
}

void tls_keep(struct tls *t)
{
    if (!t->in.n) {
        buf_done(&t->kept);
    } else if (t->kept.n) {
        buf_drop(&t->kept, t->kept.n - t->in.n);
    } else {
        t->kept.max = OUTPUT_MAX_BYTES;
        buf_add(&t->kept, t->in);
    }
    t->in = STR_NONE;
}

bool tls_has_kept(const struct tls *t)
{
    return t->kept.n > 0 || SSL_pending(t->ssl) > 0;
}

ptrdiff_t tls_read(struct tls *t, char *to, size_t n, struct error *err)
{
    int r;

    if (step(t, err) < 0)
        return -1;
    if (t->state != TLS_OPEN)
        return 0;
    ERR_clear_error();
    r = SSL_read(t->ssl, to, (int)MIN(n, (size_t)INT32_MAX));
    if (r > 0)
        return r;
    switch (SSL_get_error(t->ssl, r)) {
    case SSL_ERROR_WANT_READ:
    case SSL_ERROR_WANT_WRITE:
        return 0;
    case SSL_ERROR_ZERO_RETURN:
        t->state = TLS_CLOSED;
        return 0;
    default:
        return tls_fail(t, err);
    }
}

int tls_write(struct tls *t, struct str plain, struct error *err)
{
    int r;

    if (!plain.n)
        return 0;
    ERR_clear_error();
    r = SSL_write(t->ssl, plain.p, (int)MIN(plain.n, (size_t)INT32_MAX));
    if (r != (int)plain.n)
        return tls_fail(t, err);
    return t->out.full ? fail(err, ERR_TOO_LARGE, "more than %zu bytes wait to be sent", OUTPUT_MAX_BYTES) : 0;
}

void tls_shutdown(struct tls *t)
{
    ERR_clear_error();
    if (t->state == TLS_OPEN || t->state == TLS_CLOSED)
        SSL_shutdown(t->ssl);
    ERR_clear_error();
}

struct buf *tls_output(struct tls *t)
{
    return &t->out;
}

static struct str name_text(X509_NAME_ENTRY *e)
{
    unsigned char *utf8 = NULL;
    int n = ASN1_STRING_to_UTF8(&utf8, X509_NAME_ENTRY_get_data(e));
    struct str text = STR_NONE;

    /* A zero byte inside would let "admin\0x" pass as "admin" somewhere: such a name is no name. */
    if (n > 0 && !memchr(utf8, 0, (size_t)n))
        text = (struct str){ xstrndup((const char *)utf8, (size_t)n), (size_t)n };
    if (n >= 0)
        OPENSSL_free(utf8);
    return text;
}

static void read_subject(struct tls_peer *peer, const X509 *x509)
{
    const X509_NAME *subject = X509_get_subject_name(x509);

    for (int i = 0; i < X509_NAME_entry_count(subject); i++) {
        X509_NAME_ENTRY *e = X509_NAME_get_entry(subject, i);
        int nid = OBJ_obj2nid(X509_NAME_ENTRY_get_object(e));

        if (nid == NID_commonName && !peer->common_name.n) {
            peer->common_name = name_text(e);
        } else if (nid == NID_organizationName && peer->organizations_count < NAMES_MAX) {
            struct str text = name_text(e);

            if (!text.n)
                continue;
            peer->organizations =
                xrealloc(peer->organizations, (peer->organizations_count + 1) * sizeof(*peer->organizations));
            peer->organizations[peer->organizations_count++] = text;
        }
    }
}

const struct tls_peer *tls_peer(struct tls *t)
{
    X509 *x509;
    unsigned char *der = NULL;
    int n;
    long verify;

    if (t->peer_read || t->state == TLS_HANDSHAKE)
        return &t->peer;
    t->peer_read = true;
    x509 = SSL_get0_peer_certificate(t->ssl);
    if (!x509)
        return &t->peer;
    t->peer.certificate = true;
    verify = t->first_verify_error ? t->first_verify_error : SSL_get_verify_result(t->ssl);
    if (verify != X509_V_OK)
        t->peer.error = X509_verify_cert_error_string(verify);
    else if (X509_cmp_current_time(X509_get0_notAfter(x509)) < 0)
        t->peer.error = "certificate has expired"; /* a resumed session remembers the verdict of its first handshake */
    n = i2d_X509(x509, &der);
    sha256_hex((struct str){ (const char *)der, (size_t)MAX(n, 0) }, t->peer.sha256_hex);
    OPENSSL_free(der);
    read_subject(&t->peer, x509);
    return &t->peer;
}

bool tls_is_http2(const struct tls *t)
{
    const unsigned char *p = NULL;
    unsigned n = 0;

    SSL_get0_alpn_selected(t->ssl, &p, &n);
    return n == 2 && memcmp(p, "h2", 2) == 0;
}

bool tls_is_resumed(const struct tls *t)
{
    return SSL_session_reused(t->ssl);
}
