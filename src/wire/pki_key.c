/* Keys: make, read, write, name. */
#include "wire/pki_internal.h"
#include "base/codec.h"

#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <stdlib.h>

#define PEM_MAX_BYTES (64 * KIB)

int pki_fail(struct error *err, enum error_code code, const char *what)
{
    unsigned long e = ERR_get_error();
    const char *reason = e ? ERR_reason_error_string(e) : NULL;

    ERR_clear_error();
    return fail(err, code, "%s%s%s", what, reason ? ": " : "", reason ? reason : "");
}

struct pki_key *pki_key_wrap(EVP_PKEY *pkey)
{
    struct pki_key *k = xnew(struct pki_key);

    atomic_init(&k->references, 1);
    k->pkey = pkey;
    return k;
}

struct pki_key *pki_key_new(enum pki_key_type type)
{
    EVP_PKEY *pkey = type == PKI_RSA_2048 ? EVP_RSA_gen(2048) : EVP_EC_gen("P-256");

    assert(pkey); /* fails only without memory or randomness */
    return pki_key_wrap(pkey);
}

/* P-256 and RSA of 2048 to 4096 bits: what jwt_sign() and every TLS peer understand. */
static bool is_supported(EVP_PKEY *pkey)
{
    int bits = EVP_PKEY_get_bits(pkey);

    if (EVP_PKEY_is_a(pkey, "RSA"))
        return bits >= 2048 && bits <= 4096;
    return EVP_PKEY_is_a(pkey, "EC") && bits == 256;
}

static struct pki_key *checked(EVP_PKEY *pkey, struct error *err)
{
    if (!pkey) {
        pki_fail(err, ERR_BAD_REQUEST, "not a key in PEM");
        return NULL;
    }
    if (!is_supported(pkey)) {
        EVP_PKEY_free(pkey);
        return fail_null(err, ERR_BAD_REQUEST, "the key is neither ECDSA P-256 nor RSA of 2048 to 4096 bits");
    }
    ERR_clear_error();
    return pki_key_wrap(pkey);
}

/* A key with a pass phrase must fail, not ask the terminal. */
static int no_pass_phrase(char *to, int n, int writing, void *arg)
{
    (void)to, (void)n, (void)writing, (void)arg;
    return -1;
}

struct pki_key *pki_key_read(const struct secret *pem, struct error *err)
{
    struct str text = secret_reveal(pem);
    BIO *bio;
    EVP_PKEY *pkey;

    if (text.n > PEM_MAX_BYTES)
        return fail_null(err, ERR_TOO_LARGE, "a key has more than %zu bytes", PEM_MAX_BYTES);
    bio = BIO_new_mem_buf(text.p ? text.p : "", (int)text.n);
    pkey = PEM_read_bio_PrivateKey(bio, NULL, no_pass_phrase, NULL);
    BIO_free(bio);
    return checked(pkey, err);
}

struct pki_key *pki_key_read_public(struct str pem, struct error *err)
{
    BIO *bio;
    EVP_PKEY *pkey = NULL;

    if (pem.n > PEM_MAX_BYTES)
        return fail_null(err, ERR_TOO_LARGE, "a key has more than %zu bytes", PEM_MAX_BYTES);
    bio = BIO_new_mem_buf(pem.p ? pem.p : "", (int)pem.n);
    if (str_contains(pem, STR("BEGIN CERTIFICATE"))) {
        X509 *x509 = PEM_read_bio_X509(bio, NULL, no_pass_phrase, NULL);

        pkey = x509 ? X509_get_pubkey(x509) : NULL;
        X509_free(x509);
    } else if (str_contains(pem, STR("PRIVATE KEY"))) {
        pkey = PEM_read_bio_PrivateKey(bio, NULL, no_pass_phrase, NULL);
    } else {
        pkey = PEM_read_bio_PUBKEY(bio, NULL, no_pass_phrase, NULL);
    }
    BIO_free(bio);
    return checked(pkey, err);
}

void pki_key_pem(const struct pki_key *k, struct secret *ret)
{
    BIO *bio = BIO_new(BIO_s_secmem());
    char *p;
    long n;

    PEM_write_bio_PKCS8PrivateKey(bio, k->pkey, NULL, NULL, 0, NULL, NULL);
    n = BIO_get_mem_data(bio, &p);
    secret_set(ret, (struct str){ p, (size_t)n });
    BIO_free(bio);
}

void pki_key_public_pem(const struct pki_key *k, struct buf *to)
{
    BIO *bio = BIO_new(BIO_s_mem());
    char *p;
    long n;

    PEM_write_bio_PUBKEY(bio, k->pkey);
    n = BIO_get_mem_data(bio, &p);
    buf_add_bytes(to, p, (size_t)n);
    BIO_free(bio);
}

struct pki_key *pki_key_ref(struct pki_key *k)
{
    atomic_fetch_add(&k->references, 1);
    return k;
}

void pki_key_free(struct pki_key *k)
{
    if (!k || atomic_fetch_sub(&k->references, 1) != 1)
        return;
    EVP_PKEY_free(k->pkey);
    free(k);
}

void pki_key_id(const struct pki_key *k, char ret[44])
{
    unsigned char *der = NULL, digest[SHA256_SIZE];
    int n = i2d_PUBKEY(k->pkey, &der);
    AUTO_BUF struct buf text = BUF_MAX(64);

    sha256((struct str){ (const char *)der, (size_t)MAX(n, 0) }, digest);
    OPENSSL_free(der);
    base64url_encode(&text, (struct str){ (const char *)digest, sizeof(digest) });
    memcpy(ret, text.p, 43);
    ret[43] = 0;
}

static void add_number(struct buf *to, const char *name, const BIGNUM *n, int width)
{
    unsigned char bytes[1024];
    int size = width ? width : BN_num_bytes(n);

    BN_bn2binpad(n, bytes, size);
    buf_addf(to, ",\"%s\":\"", name);
    base64url_encode(to, (struct str){ (const char *)bytes, (size_t)size });
    buf_add_char(to, '"');
}

void pki_key_jwk(const struct pki_key *k, struct buf *to)
{
    bool rsa = EVP_PKEY_is_a(k->pkey, "RSA");
    BIGNUM *a = NULL, *b = NULL;
    char id[44];

    pki_key_id(k, id);
    buf_addf(to, "{\"use\":\"sig\",\"kty\":\"%s\",\"kid\":\"%s\",\"alg\":\"%s\"", rsa ? "RSA" : "EC", id,
             rsa ? "RS256" : "ES256");
    if (rsa) {
        EVP_PKEY_get_bn_param(k->pkey, OSSL_PKEY_PARAM_RSA_N, &a);
        EVP_PKEY_get_bn_param(k->pkey, OSSL_PKEY_PARAM_RSA_E, &b);
        add_number(to, "n", a, 0);
        add_number(to, "e", b, 0);
    } else {
        EVP_PKEY_get_bn_param(k->pkey, OSSL_PKEY_PARAM_EC_PUB_X, &a);
        EVP_PKEY_get_bn_param(k->pkey, OSSL_PKEY_PARAM_EC_PUB_Y, &b);
        buf_add_text(to, ",\"crv\":\"P-256\"");
        add_number(to, "x", a, 32);
        add_number(to, "y", b, 32);
    }
    buf_add_char(to, '}');
    BN_free(a);
    BN_free(b);
}
