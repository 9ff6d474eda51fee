/* A CA and certificates for tests: valid, expired, foreign. */
#ifndef UNIT_WIRE_CERTIFICATES_H
#define UNIT_WIRE_CERTIFICATES_H

#include "base/time.h"
#include "test.h"
#include "wire/pki.h"
#include "wire/tls.h"

struct identity {
    struct pki_key *key;
    struct pki_cert *cert;
    struct secret key_pem;
    struct buf pem;
};

static inline void identity_done(struct identity *i)
{
    pki_key_free(i->key);
    pki_cert_free(i->cert);
    secret_done(&i->key_pem);
    buf_done(&i->pem);
}

#define AUTO_IDENTITY CLEANUP(identity_done)

static inline struct identity identity_finish(struct pki_key *key, struct pki_cert *cert)
{
    struct identity i = { .key = key, .cert = cert, .pem = BUF_MAX(64 * KIB) };

    ASSERT(cert);
    pki_key_pem(key, &i.key_pem);
    pki_cert_pem(cert, &i.pem);
    return i;
}

static inline struct identity ca_make(const char *name)
{
    struct pki_key *key = pki_key_new(PKI_ECDSA_P256);

    return identity_finish(key, pki_ca_new(key, str_of(name), time_wall_ms(), 24 * HOUR_MS));
}

/* lifetime_ms may be negative down to -5 minutes: a certificate that has expired. */
static inline struct identity identity_make(const struct identity *ca, const char *name, const char *organization,
                                            unsigned uses, int64_t lifetime_ms)
{
    struct pki_key *key = pki_key_new(PKI_ECDSA_P256);
    struct str sans[] = { STR_INIT("localhost"), STR_INIT("127.0.0.1"), STR_INIT("::1") };
    struct str organizations[] = { str_of(organization) };
    struct pki_request r = { .common_name = str_of(name),
                             .organizations = organizations,
                             .organizations_count = 1,
                             .uses = uses,
                             .now_ms = time_wall_ms(),
                             .lifetime_ms = lifetime_ms };
    AUTO_ERROR struct error err = { 0 };
    struct pki_cert *cert;

    if (uses & PKI_SERVER) {
        r.sans = sans;
        r.sans_count = 3;
    }
    cert = pki_sign(ca->cert, ca->key, key, &r, &err);
    ASSERT_OK(cert, &err);
    return identity_finish(key, cert);
}

static inline struct tls_context *server_context(const struct identity *server, const struct identity *client_ca)
{
    AUTO_ERROR struct error err = { 0 };
    struct tls_server_options o = { .certificate_pem = buf_str(&server->pem), .key_pem = &server->key_pem };
    struct tls_context *c;

    if (client_ca)
        o.client_ca_pem = buf_str(&client_ca->pem);
    c = tls_context_new_server(&o, &err);
    ASSERT_OK(c, &err);
    return c;
}

static inline struct tls_context *client_context(const struct identity *ca, const struct identity *client)
{
    AUTO_ERROR struct error err = { 0 };
    struct tls_client_options o = { 0 };
    struct tls_context *c;

    if (ca)
        o.ca_pem = buf_str(&ca->pem);
    if (client) {
        o.certificate_pem = buf_str(&client->pem);
        o.key_pem = &client->key_pem;
    }
    c = tls_context_new_client(&o, &err);
    ASSERT_OK(c, &err);
    return c;
}

#endif
