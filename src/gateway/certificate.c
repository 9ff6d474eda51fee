/* Certificates of tenants, taken apart and written anew. */
#include "gateway/certificate.h"

#include "base/secret.h"
#include "wire/pki.h"
#include "wire/tls.h"

#include <string.h>

#define CHAIN_MAX 10

static struct str next_block(struct str *rest)
{
    static const char begin[] = "-----BEGIN CERTIFICATE-----", end[] = "-----END CERTIFICATE-----";
    const char *from = rest->n ? memmem(rest->p, rest->n, begin, sizeof(begin) - 1) : NULL;
    const char *to = from ? memmem(from, rest->n - (size_t)(from - rest->p), end, sizeof(end) - 1) : NULL;
    struct str block = STR_NONE;

    if (to) {
        block = (struct str){ from, (size_t)(to - from) + sizeof(end) - 1 };
        *rest = str_from(*rest, (size_t)(block.p - rest->p) + block.n);
    }
    return block;
}

static bool add_chain(struct str pem, struct buf *to)
{
    struct str block;
    size_t count = 0;

    while ((block = next_block(&pem)).n) {
        struct pki_cert *c = count++ < CHAIN_MAX ? pki_cert_read(block, NULL) : NULL;
        if (!c)
            return false;
        pki_cert_pem(c, to);
        pki_cert_free(c);
    }
    return count > 0;
}

bool certificate_clean(struct str chain_pem, struct str key_pem, struct buf *to)
{
    AUTO_SECRET struct secret given = { 0 };
    AUTO_SECRET struct secret clean = { 0 };
    AUTO_BUF struct buf chain = BUF_MAX(256 * KIB);
    struct tls_context *works;
    struct pki_key *key;

    secret_set(&given, key_pem);
    key = pki_key_read(&given, NULL);
    if (!key || !add_chain(chain_pem, &chain)) {
        pki_key_free(key);
        return false;
    }
    pki_key_pem(key, &clean);
    pki_key_free(key);
    works = tls_context_new_server(
        &(struct tls_server_options){ .certificate_pem = buf_str(&chain), .key_pem = &clean }, NULL);
    if (!works)
        return false;
    tls_context_unref(works);
    buf_add(to, buf_str(&chain));
    buf_add(to, secret_reveal(&clean));
    return true;
}
