/* Certificates: make, sign, read, look into. */
#include "wire/pki_internal.h"
#include "base/codec.h"
#include "base/time.h"

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <stdlib.h>
#include <time.h>

#define PEM_MAX_BYTES (256 * KIB)
#define BACKDATED_MS  (5 * MINUTE_MS) /* clocks differ */

struct pki_cert *pki_cert_wrap(X509 *x509)
{
    struct pki_cert *c = xnew(struct pki_cert);
    GENERAL_NAMES *sans = X509_get_ext_d2i(x509, NID_subject_alt_name, NULL, NULL);

    atomic_init(&c->references, 1);
    c->x509 = x509;
    pki_names_read(&c->names, X509_get_subject_name(x509), sans);
    GENERAL_NAMES_free(sans);
    return c;
}

struct pki_cert *pki_cert_read(struct str pem, struct error *err)
{
    BIO *bio;
    X509 *x509;

    if (pem.n > PEM_MAX_BYTES)
        return fail_null(err, ERR_TOO_LARGE, "certificates have more than %zu bytes", PEM_MAX_BYTES);
    bio = BIO_new_mem_buf(pem.p ? pem.p : "", (int)pem.n);
    x509 = PEM_read_bio_X509(bio, NULL, NULL, NULL);
    BIO_free(bio);
    if (!x509) {
        pki_fail(err, ERR_BAD_REQUEST, "not a certificate in PEM");
        return NULL;
    }
    return pki_cert_wrap(x509);
}

void pki_cert_pem(const struct pki_cert *c, struct buf *to)
{
    BIO *bio = BIO_new(BIO_s_mem());
    char *p;
    long n;

    PEM_write_bio_X509(bio, c->x509);
    n = BIO_get_mem_data(bio, &p);
    buf_add_bytes(to, p, (size_t)n);
    BIO_free(bio);
}

struct pki_cert *pki_cert_ref(struct pki_cert *c)
{
    atomic_fetch_add(&c->references, 1);
    return c;
}

void pki_cert_free(struct pki_cert *c)
{
    if (!c || atomic_fetch_sub(&c->references, 1) != 1)
        return;
    X509_free(c->x509);
    pki_names_done(&c->names);
    free(c);
}

void pki_cert_sha256(const struct pki_cert *c, char ret_hex[65])
{
    unsigned char *der = NULL;
    int n = i2d_X509(c->x509, &der);

    sha256_hex((struct str){ (const char *)der, (size_t)MAX(n, 0) }, ret_hex);
    OPENSSL_free(der);
}

void pki_cert_public_key_sha256(const struct pki_cert *c, char ret_hex[65])
{
    unsigned char *der = NULL;
    int n = i2d_X509_PUBKEY(X509_get_X509_PUBKEY(c->x509), &der);

    sha256_hex((struct str){ (const char *)der, (size_t)MAX(n, 0) }, ret_hex);
    OPENSSL_free(der);
}

static int64_t wall_ms_of(const ASN1_TIME *t)
{
    struct tm tm = { 0 };

    return ASN1_TIME_to_tm(t, &tm) == 1 ? (int64_t)timegm(&tm) * SECOND_MS : 0;
}

bool pki_cert_is_signed_by(const struct pki_cert *c, const struct pki_cert *ca)
{
    bool is = X509_verify(c->x509, X509_get0_pubkey(ca->x509)) == 1;

    ERR_clear_error();
    return is;
}

int64_t pki_cert_not_before_ms(const struct pki_cert *c)
{
    return wall_ms_of(X509_get0_notBefore(c->x509));
}

int64_t pki_cert_not_after_ms(const struct pki_cert *c)
{
    return wall_ms_of(X509_get0_notAfter(c->x509));
}

struct str pki_cert_common_name(const struct pki_cert *c)
{
    return c->names.common_name;
}

size_t pki_cert_organizations_count(const struct pki_cert *c)
{
    return c->names.organizations_count;
}

struct str pki_cert_organization(const struct pki_cert *c, size_t i)
{
    return c->names.organizations[i];
}

bool pki_cert_has_san(const struct pki_cert *c, struct str dns_name_or_ip)
{
    for (size_t i = 0; i < c->names.sans_count; i++)
        if (str_eq_nocase(c->names.sans[i], dns_name_or_ip))
            return true;
    return false;
}

/* --- making them --- */

static bool add_extension(X509 *x509, X509 *issuer, int nid, const char *value)
{
    X509V3_CTX ctx;
    X509_EXTENSION *e;
    bool ok;

    X509V3_set_ctx(&ctx, issuer, x509, NULL, NULL, 0);
    e = X509V3_EXT_conf_nid(NULL, &ctx, nid, value);
    ok = e && X509_add_ext(x509, e, -1) == 1;
    X509_EXTENSION_free(e);
    return ok;
}

static X509 *blank(EVP_PKEY *subject_key, int64_t from_ms, int64_t to_ms)
{
    unsigned char serial[16];
    BIGNUM *n;
    X509 *x509 = X509_new();

    RAND_bytes(serial, sizeof(serial));
    serial[0] = (serial[0] & 0x7f) | 0x40; /* positive and never short: RFC 5280, 4.1.2.2 */
    n = BN_bin2bn(serial, sizeof(serial), NULL);
    BN_to_ASN1_INTEGER(n, X509_get_serialNumber(x509));
    BN_free(n);
    X509_set_version(x509, X509_VERSION_3);
    ASN1_TIME_set(X509_getm_notBefore(x509), (time_t)(from_ms / SECOND_MS));
    ASN1_TIME_set(X509_getm_notAfter(x509), (time_t)(to_ms / SECOND_MS));
    X509_set_pubkey(x509, subject_key);
    return x509;
}

struct pki_cert *pki_ca_new(const struct pki_key *key, struct str common_name, int64_t now_ms, int64_t lifetime_ms)
{
    struct pki_request r = { .common_name = common_name };
    X509 *x509 = blank(key->pkey, now_ms - BACKDATED_MS, now_ms + lifetime_ms);
    X509_NAME *subject = pki_subject(&r);
    bool ok;

    X509_set_subject_name(x509, subject);
    X509_set_issuer_name(x509, subject);
    X509_NAME_free(subject);
    ok = add_extension(x509, x509, NID_basic_constraints, "critical,CA:TRUE,pathlen:0") &&
         add_extension(x509, x509, NID_key_usage, "critical,digitalSignature,keyCertSign,cRLSign") &&
         add_extension(x509, x509, NID_subject_key_identifier, "hash") && X509_sign(x509, key->pkey, EVP_sha256()) > 0;
    assert(ok);
    return pki_cert_wrap(x509);
}

static const char *usage_text(unsigned uses)
{
    if ((uses & PKI_SERVER) && (uses & PKI_CLIENT))
        return "serverAuth,clientAuth";
    return uses & PKI_SERVER ? "serverAuth" : "clientAuth";
}

struct pki_cert *pki_sign(const struct pki_cert *ca, const struct pki_key *ca_key, const struct pki_key *subject_key,
                          const struct pki_request *request, struct error *err)
{
    int64_t to_ms = MIN(request->now_ms + request->lifetime_ms, pki_cert_not_after_ms(ca));
    X509 *x509;
    X509_NAME *subject;
    GENERAL_NAMES *sans;
    AUTO_ERROR struct error sans_err = { 0 };
    bool ok;

    sans = pki_general_names(request, &sans_err);
    if (!sans && request->sans_count) {
        error_move(err, &sans_err);
        return NULL;
    }
    x509 = blank(subject_key->pkey, request->now_ms - BACKDATED_MS, to_ms);
    subject = pki_subject(request);
    X509_set_subject_name(x509, subject);
    X509_NAME_free(subject);
    X509_set_issuer_name(x509, X509_get_subject_name(ca->x509));
    ok = add_extension(x509, ca->x509, NID_basic_constraints, "critical,CA:FALSE") &&
         add_extension(x509, ca->x509, NID_key_usage,
                       EVP_PKEY_is_a(subject_key->pkey, "RSA") ? "critical,digitalSignature,keyEncipherment"
                                                               : "critical,digitalSignature") &&
         add_extension(x509, ca->x509, NID_ext_key_usage, usage_text(request->uses)) &&
         add_extension(x509, ca->x509, NID_authority_key_identifier, "keyid") &&
         (!sans || X509_add1_ext_i2d(x509, NID_subject_alt_name, sans, 0, 0) == 1) &&
         X509_sign(x509, ca_key->pkey, EVP_sha256()) > 0;
    GENERAL_NAMES_free(sans);
    if (!ok) {
        X509_free(x509);
        pki_fail(err, ERR_INTERNAL, "sign a certificate");
        return NULL;
    }
    return pki_cert_wrap(x509);
}
