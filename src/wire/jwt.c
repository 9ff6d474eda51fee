/* JSON Web Tokens: sign and verify; RFC 7515, RFC 7518 (ES256, RS256), RFC 7519. */
#include "wire/pki_internal.h"
#include "base/codec.h"
#include "wire/json_scan.h"

#include <openssl/ecdsa.h>
#include <openssl/err.h>

#define TOKEN_MAX_BYTES (16 * KIB)
#define ES256_SIZE      64 /* two numbers of 32 bytes */

static const char *algorithm(const struct pki_key *key)
{
    return EVP_PKEY_is_a(key->pkey, "RSA") ? "RS256" : "ES256";
}

/* OpenSSL speaks DER, JOSE two fixed numbers: RFC 7518, 3.4. */
static size_t ecdsa_der_to_raw(const unsigned char *der, size_t n, unsigned char raw[ES256_SIZE])
{
    ECDSA_SIG *sig = d2i_ECDSA_SIG(NULL, &der, (long)n);

    assert(sig);
    BN_bn2binpad(ECDSA_SIG_get0_r(sig), raw, 32);
    BN_bn2binpad(ECDSA_SIG_get0_s(sig), raw + 32, 32);
    ECDSA_SIG_free(sig);
    return ES256_SIZE;
}

static int ecdsa_raw_to_der(struct str raw, unsigned char **ret_der)
{
    ECDSA_SIG *sig = ECDSA_SIG_new();
    const unsigned char *p = (const unsigned char *)raw.p;
    int n;

    ECDSA_SIG_set0(sig, BN_bin2bn(p, 32, NULL), BN_bin2bn(p + 32, 32, NULL));
    n = i2d_ECDSA_SIG(sig, ret_der);
    ECDSA_SIG_free(sig);
    return n;
}

void jwt_sign(const struct pki_key *key, struct str claims_json, struct secret *ret_token)
{
    char id[44];
    unsigned char sig[1024], raw[ES256_SIZE];
    size_t n = sizeof(sig);
    EVP_MD_CTX *md = EVP_MD_CTX_new();
    AUTO_BUF struct buf header = BUF_MAX(256), token = BUF_MAX(64 * KIB);
    bool ok;

    pki_key_id(key, id);
    buf_addf(&header, "{\"alg\":\"%s\",\"kid\":\"%s\"}", algorithm(key), id);
    base64url_encode(&token, buf_str(&header));
    buf_add_char(&token, '.');
    base64url_encode(&token, claims_json);
    ok = EVP_DigestSignInit(md, NULL, EVP_sha256(), NULL, key->pkey) == 1 &&
         EVP_DigestSign(md, sig, &n, (const unsigned char *)token.p, token.n) == 1;
    assert(ok);
    EVP_MD_CTX_free(md);
    buf_add_char(&token, '.');
    if (EVP_PKEY_is_a(key->pkey, "RSA"))
        base64url_encode(&token, (struct str){ (const char *)sig, n });
    else
        base64url_encode(&token, (struct str){ (const char *)raw, ecdsa_der_to_raw(sig, n, raw) });
    secret_set(ret_token, buf_str(&token));
    explicit_bzero(token.p, token.n);
}

static bool signature_is_good(const struct pki_key *key, struct str signed_part, struct str signature)
{
    EVP_MD_CTX *md;
    unsigned char *der = NULL;
    int n;
    bool ok;
    bool rsa = EVP_PKEY_is_a(key->pkey, "RSA");

    if (!rsa) {
        if (signature.n != ES256_SIZE)
            return false;
        n = ecdsa_raw_to_der(signature, &der);
        if (n < 0)
            return false;
        signature = (struct str){ (const char *)der, (size_t)n };
    }
    md = EVP_MD_CTX_new();
    ok = EVP_DigestVerifyInit(md, NULL, EVP_sha256(), NULL, key->pkey) == 1 &&
         EVP_DigestVerify(md, (const unsigned char *)signature.p, signature.n, (const unsigned char *)signed_part.p,
                          signed_part.n) == 1;
    EVP_MD_CTX_free(md);
    OPENSSL_free(der);
    ERR_clear_error();
    return ok;
}

/* Three parts; the first two decoded. */
static bool split(struct str token, struct str parts[3], struct buf *header, struct buf *claims, struct buf *signature)
{
    struct str rest = token;

    for (int i = 0; i < 3; i++)
        if (!str_next(&rest, '.', &parts[i]) || !parts[i].n)
            return false;
    return rest.n == 0 && rest.p != token.p && parts[0].n + parts[1].n + parts[2].n + 2 == token.n &&
           base64url_decode(header, parts[0]) && base64url_decode(claims, parts[1]) &&
           base64url_decode(signature, parts[2]);
}

static int check_times(const struct jwt *t, int64_t now_ms, int64_t leeway_s, struct error *err)
{
    int64_t now_s = now_ms / 1000;

    if (!t->exp_s)
        return fail(err, ERR_UNAUTHORIZED, "the token has no expiry");
    if (now_s - leeway_s >= t->exp_s)
        return fail(err, ERR_UNAUTHORIZED, "the token has expired");
    if (t->nbf_s && now_s + leeway_s < t->nbf_s)
        return fail(err, ERR_UNAUTHORIZED, "the token is not valid yet");
    return 0;
}

int jwt_verify(struct str token, jwt_find_key *find, void *arg, int64_t now_ms, int64_t leeway_s, struct jwt *ret,
               struct error *err)
{
    struct str parts[3], alg, kid = STR_NONE;
    const struct pki_key *key;
    AUTO_BUF struct buf header = BUF_MAX(TOKEN_MAX_BYTES), claims = BUF_MAX(TOKEN_MAX_BYTES);
    AUTO_BUF struct buf signature = BUF_MAX(TOKEN_MAX_BYTES);
    struct jwt t = { 0 };

    if (token.n > TOKEN_MAX_BYTES)
        return fail(err, ERR_UNAUTHORIZED, "the token is longer than %zu bytes", TOKEN_MAX_BYTES);
    if (!split(token, parts, &header, &claims, &signature) || !json_scan_text(buf_str(&header), "alg", &alg) ||
        !json_scan_is_object(buf_str(&claims)))
        return fail(err, ERR_UNAUTHORIZED, "not a signed token");
    json_scan_text(buf_str(&header), "kid", &kid);
    if (json_scan_has(buf_str(&header), "crit"))
        return fail(err, ERR_UNAUTHORIZED, "the token asks for extensions");
    key = find(arg, kid);
    /* The key decides the algorithm: "none", or HMAC with a public key, never gets further. */
    if (!key || !str_is(alg, algorithm(key)))
        return fail(err, ERR_UNAUTHORIZED, "the token was not signed by a known key");
    if (!signature_is_good(key, (struct str){ token.p, parts[0].n + 1 + parts[1].n }, buf_str(&signature)))
        return fail(err, ERR_UNAUTHORIZED, "the token's signature is wrong");
    if (!json_scan_number(buf_str(&claims), "exp", &t.exp_s) || !json_scan_number(buf_str(&claims), "nbf", &t.nbf_s) ||
        !json_scan_number(buf_str(&claims), "iat", &t.iat_s))
        return fail(err, ERR_UNAUTHORIZED, "the token's times are not numbers");
    if (check_times(&t, now_ms, leeway_s, err) < 0)
        return -1;
    *ret = t;
    ret->claims = claims;
    claims = (struct buf){ 0 };
    return 0;
}

bool jwt_looks_like(struct str token)
{
    struct str parts[3];
    AUTO_BUF struct buf header = BUF_MAX(TOKEN_MAX_BYTES), claims = BUF_MAX(TOKEN_MAX_BYTES);
    AUTO_BUF struct buf signature = BUF_MAX(TOKEN_MAX_BYTES);

    return token.n <= TOKEN_MAX_BYTES && split(token, parts, &header, &claims, &signature) &&
           json_scan_is_object(buf_str(&header));
}
