/*
 * Keys, certificates and tokens over OpenSSL 3: what the server, `klein up` and joining nodes need, and no more.
 *
 * Times are wall milliseconds given by the caller; validity starts 5 minutes early, against clocks that differ.
 * Private keys leave only as struct secret. Objects are immutable and counted; functions may be called from any thread.
 * Sources: RFC 5280, RFC 2986 (CSR), RFC 7515 and 7519 (JWS, JWT), RFC 7638 (key thumbprint).
 */
#ifndef WIRE_PKI_H
#define WIRE_PKI_H

#include "base/buf.h"
#include "base/error.h"
#include "base/secret.h"

/* --- keys --- */
enum pki_key_type { PKI_ECDSA_P256, PKI_RSA_2048 };
struct pki_key;
struct pki_key *pki_key_new(enum pki_key_type type);
struct pki_key *pki_key_read(const struct secret *pem, struct error *err); /* private: PKCS#8, SEC1 or PKCS#1 */
struct pki_key *pki_key_read_public(struct str pem, struct error *err);    /* public key or certificate PEM */
void pki_key_pem(const struct pki_key *k, struct secret *ret);             /* PKCS#8 */
void pki_key_public_pem(const struct pki_key *k, struct buf *to);
struct pki_key *pki_key_ref(struct pki_key *k);
void pki_key_free(struct pki_key *k); /* drops one reference; NULL is fine */
/* Stable name of a key: base64url of SHA-256 of its public DER (as the service account issuer names keys). 43 characters. */
void pki_key_id(const struct pki_key *k, char ret[44]);
/* {"kty":"EC",...} for /openid/v1/jwks. */
void pki_key_jwk(const struct pki_key *k, struct buf *to);

/* --- certificates --- */
struct pki_cert;
struct pki_cert *pki_cert_read(struct str pem, struct error *err); /* the first one in it */
void pki_cert_pem(const struct pki_cert *c, struct buf *to);
struct pki_cert *pki_cert_ref(struct pki_cert *c);
void pki_cert_free(struct pki_cert *c);                                      /* drops one reference; NULL is fine */
void pki_cert_sha256(const struct pki_cert *c, char ret_hex[65]);            /* of the DER */
void pki_cert_public_key_sha256(const struct pki_cert *c, char ret_hex[65]); /* SubjectPublicKeyInfo: what joins pin */
int64_t pki_cert_not_before_ms(const struct pki_cert *c);
int64_t pki_cert_not_after_ms(const struct pki_cert *c);
struct str pki_cert_common_name(const struct pki_cert *c); /* the certificate's memory */
size_t pki_cert_organizations_count(const struct pki_cert *c);
struct str pki_cert_organization(const struct pki_cert *c, size_t i);
bool pki_cert_is_signed_by(const struct pki_cert *c,
                           const struct pki_cert *ca); /* by its key; dates are not looked at */
bool pki_cert_has_san(const struct pki_cert *c, struct str dns_name_or_ip);

enum pki_use { PKI_SERVER = 1, PKI_CLIENT = 2 };
struct pki_request {
    struct str common_name;
    const struct str *organizations;
    size_t organizations_count;
    const struct str *sans; /* DNS names and IP addresses, told apart by their form */
    size_t sans_count;
    unsigned uses; /* enum pki_use */
    int64_t now_ms, lifetime_ms;
};
/* A self-signed CA (path length 0). */
struct pki_cert *pki_ca_new(const struct pki_key *key, struct str common_name, int64_t now_ms, int64_t lifetime_ms);
/* Sign a certificate for `subject_key`. Never outlives the CA. Serial: 128 random bits. */
struct pki_cert *pki_sign(const struct pki_cert *ca, const struct pki_key *ca_key, const struct pki_key *subject_key,
                          const struct pki_request *request, struct error *err);

/* --- certificate signing requests (PKCS#10) --- */
struct pki_csr;
struct pki_csr *pki_csr_read(struct str pem, struct error *err); /* at most 16 KiB; signature checked */
void pki_csr_free(struct pki_csr *csr);
struct str pki_csr_common_name(const struct pki_csr *csr);
size_t pki_csr_organizations_count(const struct pki_csr *csr);
struct str pki_csr_organization(const struct pki_csr *csr, size_t i);
size_t pki_csr_sans_count(const struct pki_csr *csr);
struct str pki_csr_san(const struct pki_csr *csr, size_t i);
struct pki_key *pki_csr_key(const struct pki_csr *csr); /* a new reference */
void pki_csr_new(const struct pki_key *key, const struct pki_request *request, struct buf *to_pem);

/* --- JSON Web Tokens: ES256 and RS256; the algorithm comes from the key, a token that claims another is refused --- */

/* claims: a JSON object as text. The header is {"alg":...,"kid":pki_key_id()}. */
void jwt_sign(const struct pki_key *key, struct str claims_json, struct secret *ret_token);

struct jwt {
    struct buf claims;           /* the JSON of the payload; buf_done() it */
    int64_t exp_s, nbf_s, iat_s; /* 0: absent */
};
/* A key for a token's kid ("" when it has none), or NULL. */
typedef const struct pki_key *jwt_find_key(void *arg, struct str kid);
/*
 * Signature, algorithm, exp (required) and nbf against now with `leeway_s`. Does not look at iss, aud, sub: the caller
 * reads them from the claims. ERR_UNAUTHORIZED with a reason that tells nothing secret. Tokens over 16 KiB are refused.
 */
int jwt_verify(struct str token, jwt_find_key *find, void *arg, int64_t now_ms, int64_t leeway_s, struct jwt *ret,
               struct error *err);
/* The kid of a token that is not verified yet; for telling issuers apart. False when it is no JWT. */
bool jwt_looks_like(struct str token);

#endif
