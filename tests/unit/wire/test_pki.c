/* Keys, certificates, signing requests and tokens. */
#include "certificates.h"
#include "base/codec.h"

TEST("a key survives its PEM, and its name stays the same")
{
    for (int type = PKI_ECDSA_P256; type <= PKI_RSA_2048; type++) {
        AUTO_ERROR struct error err = { 0 };
        AUTO_SECRET struct secret pem = { 0 };
        AUTO_BUF struct buf public = BUF_MAX(4096), jwk = BUF_MAX(4096);
        struct pki_key *k = pki_key_new(type), *again, *only_public;
        char a[44], b[44], c[44];

        pki_key_pem(k, &pem);
        pki_key_public_pem(k, &public);
        again = pki_key_read(&pem, &err);
        ASSERT_OK(again, &err);
        only_public = pki_key_read_public(buf_str(&public), &err);
        ASSERT_OK(only_public, &err);
        pki_key_id(k, a);
        pki_key_id(again, b);
        pki_key_id(only_public, c);
        ASSERT_INT(strlen(a), 43);
        ASSERT_STR(a, b);
        ASSERT_STR(a, c);
        pki_key_jwk(k, &jwk);
        ASSERT_CONTAINS(jwk, type == PKI_RSA_2048 ? "\"kty\":\"RSA\"" : "\"kty\":\"EC\"");
        ASSERT_CONTAINS(jwk, a);
        pki_key_free(k);
        pki_key_free(again);
        pki_key_free(only_public);
    }
}

TEST("what is no key is refused with words")
{
    AUTO_ERROR struct error err = { 0 };
    AUTO_SECRET struct secret text = { 0 };

    secret_set(&text, STR("nonsense"));
    ASSERT_FAILS(pki_key_read(&text, &err), &err, ERR_BAD_REQUEST, "not a key");
    ASSERT_FAILS(pki_key_read_public(STR(""), &err), &err, ERR_BAD_REQUEST, "not a key");
    ASSERT_FAILS(pki_cert_read(STR("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"), &err), &err,
                 ERR_BAD_REQUEST, "not a certificate");
}

TEST("a signed certificate carries names and times, and never outlives its CA")
{
    AUTO_IDENTITY struct identity ca = ca_make("test CA");
    AUTO_IDENTITY struct identity node =
        identity_make(&ca, "system:node:a", "system:nodes", PKI_CLIENT | PKI_SERVER, 1000 * HOUR_MS);
    AUTO_ERROR struct error err = { 0 };
    struct pki_cert *read = pki_cert_read(buf_str(&node.pem), &err);
    char sha256[65];

    ASSERT_OK(read, &err);
    ASSERT_STR(pki_cert_common_name(read), "system:node:a");
    ASSERT_INT(pki_cert_organizations_count(read), 1);
    ASSERT_STR(pki_cert_organization(read, 0), "system:nodes");
    ASSERT(pki_cert_has_san(read, STR("127.0.0.1")));
    ASSERT(pki_cert_has_san(read, STR("LOCALHOST")));
    ASSERT(!pki_cert_has_san(read, STR("127.0.0.2")));
    ASSERT_INT(pki_cert_not_after_ms(read), pki_cert_not_after_ms(ca.cert));
    ASSERT(pki_cert_not_before_ms(read) <= time_wall_ms() - 5 * MINUTE_MS);
    pki_cert_sha256(read, sha256);
    ASSERT_INT(strlen(sha256), 64);
    pki_cert_free(read);
}

TEST("a signing request is read back, and a forged one is refused")
{
    AUTO_BUF struct buf pem = BUF_MAX(16 * KIB);
    AUTO_ERROR struct error err = { 0 };
    struct pki_key *key = pki_key_new(PKI_ECDSA_P256), *csr_key;
    struct str o[] = { STR_INIT("system:nodes") }, sans[] = { STR_INIT("node-a"), STR_INIT("10.0.0.7") };
    struct pki_request r = {
        .common_name = STR("system:node:a"), .organizations = o, .organizations_count = 1, .sans = sans, .sans_count = 2
    };
    struct pki_csr *csr;
    char a[44], b[44];

    pki_csr_new(key, &r, &pem);
    csr = pki_csr_read(buf_str(&pem), &err);
    ASSERT_OK(csr, &err);
    ASSERT_STR(pki_csr_common_name(csr), "system:node:a");
    ASSERT_STR(pki_csr_organization(csr, 0), "system:nodes");
    ASSERT_INT(pki_csr_sans_count(csr), 2);
    ASSERT_STR(pki_csr_san(csr, 1), "10.0.0.7");
    csr_key = pki_csr_key(csr);
    pki_key_id(key, a);
    pki_key_id(csr_key, b);
    ASSERT_STR(a, b);
    pki_key_free(csr_key);
    pki_csr_free(csr);
    pem.p[pem.n / 2] = pem.p[pem.n / 2] == 'A' ? 'B' : 'A';
    ASSERT_FAILS(pki_csr_read(buf_str(&pem), &err), &err, ERR_BAD_REQUEST, "signing request");
    pki_key_free(key);
}

static const struct pki_key *find_key(void *arg, struct str kid)
{
    struct pki_key *key = arg;
    char id[44];

    pki_key_id(key, id);
    return kid.n == 0 || str_is(kid, id) ? key : NULL;
}

TEST("a token verifies with its key until it expires")
{
    for (int type = PKI_ECDSA_P256; type <= PKI_RSA_2048; type++) {
        AUTO_ERROR struct error err = { 0 };
        AUTO_SECRET struct secret token = { 0 };
        struct pki_key *key = pki_key_new(type), *other = pki_key_new(type);
        struct jwt jwt = { 0 };

        jwt_sign(key, STR("{\"sub\":\"x\",\"nbf\":1000,\"exp\":2000.5,\"iat\":1000}"), &token);
        ASSERT(jwt_looks_like(secret_reveal(&token)));
        ASSERT_OK(jwt_verify(secret_reveal(&token), find_key, key, 1999000, 0, &jwt, &err), &err);
        ASSERT_INT(jwt.exp_s, 2000);
        ASSERT_CONTAINS(jwt.claims, "\"sub\":\"x\"");
        buf_done(&jwt.claims);
        ASSERT_FAILS(jwt_verify(secret_reveal(&token), find_key, key, 2000000, 0, &jwt, &err), &err, ERR_UNAUTHORIZED,
                     "expired");
        ASSERT_OK(jwt_verify(secret_reveal(&token), find_key, key, 2000000, 10, &jwt, &err), &err);
        buf_done(&jwt.claims);
        ASSERT_FAILS(jwt_verify(secret_reveal(&token), find_key, key, 900000, 10, &jwt, &err), &err, ERR_UNAUTHORIZED,
                     "not valid yet");
        ASSERT_FAILS(jwt_verify(secret_reveal(&token), find_key, other, 1999000, 0, &jwt, &err), &err, ERR_UNAUTHORIZED,
                     "known key");
        pki_key_free(key);
        pki_key_free(other);
    }
}

static int verify_parts(struct pki_key *key, const char *header, const char *claims, const char *signature,
                        struct error *err)
{
    AUTO_BUF struct buf token = BUF_MAX(32 * KIB);
    struct jwt jwt = { 0 };
    int r;

    base64url_encode(&token, str_of(header));
    buf_add_char(&token, '.');
    base64url_encode(&token, str_of(claims));
    buf_add_char(&token, '.');
    buf_add_text(&token, signature);
    r = jwt_verify(buf_str(&token), find_key, key, 1000, 0, &jwt, err);
    buf_done(&jwt.claims);
    return r;
}

TEST("a token cannot choose its algorithm, and nonsense is no token")
{
    AUTO_ERROR struct error err = { 0 };
    struct pki_key *key = pki_key_new(PKI_ECDSA_P256);
    static const char *const headers[] = {
        "{\"alg\":\"none\"}",
        "{\"alg\":\"HS256\"}",
        "{\"alg\":\"RS256\"}",
        "{\"alg\":\"ES256\"}",
        "{\"alg\":\"ES256\",\"crit\":[\"x\"]}",
        "{\"alg\":\"none\",\"alg\":\"ES256\"}",
        "{}",
        "[]",
        "{\"alg\":",
    };
    static const char *const tokens[] = { "", ".", "..", "a.b.c", "a.b.c.d", "e30.e30.", ".e30.e30", "e30..e30" };
    struct jwt jwt;

    for (size_t i = 0; i < ARRAY_SIZE(headers); i++)
        ASSERT_FAILS(verify_parts(key, headers[i], "{\"exp\":9999999999}", "AAAA", &err), &err, ERR_UNAUTHORIZED, "");
    for (size_t i = 0; i < ARRAY_SIZE(tokens); i++)
        ASSERT_FAILS(jwt_verify(str_of(tokens[i]), find_key, key, 0, 0, &jwt, &err), &err, ERR_UNAUTHORIZED, "");
    pki_key_free(key);
}
