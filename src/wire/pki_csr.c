/* Certificate signing requests: PKCS#10 as in RFC 2986. */
#include "wire/pki_internal.h"

#include <openssl/err.h>
#include <openssl/pem.h>
#include <stdlib.h>

#define CSR_MAX_BYTES (16 * KIB)

struct pki_csr {
    X509_REQ *req;
    struct pki_names names;
};

struct pki_csr *pki_csr_read(struct str pem, struct error *err)
{
    struct pki_csr *csr;
    BIO *bio;
    X509_REQ *req;
    EVP_PKEY *key;
    STACK_OF(X509_EXTENSION) * extensions;
    GENERAL_NAMES *sans;

    if (pem.n > CSR_MAX_BYTES)
        return fail_null(err, ERR_TOO_LARGE, "a signing request has more than %zu bytes", CSR_MAX_BYTES);
    bio = BIO_new_mem_buf(pem.p ? pem.p : "", (int)pem.n);
    req = PEM_read_bio_X509_REQ(bio, NULL, NULL, NULL);
    BIO_free(bio);
    key = req ? X509_REQ_get0_pubkey(req) : NULL;
    if (!key || X509_REQ_verify(req, key) != 1) {
        X509_REQ_free(req);
        pki_fail(err, ERR_BAD_REQUEST,
                 key ? "the signing request is not signed by its own key" : "not a signing request in PEM");
        return NULL;
    }
    csr = xnew(struct pki_csr);
    csr->req = req;
    extensions = X509_REQ_get_extensions(req);
    sans = X509V3_get_d2i(extensions, NID_subject_alt_name, NULL, NULL);
    pki_names_read(&csr->names, X509_REQ_get_subject_name(req), sans);
    GENERAL_NAMES_free(sans);
    sk_X509_EXTENSION_pop_free(extensions, X509_EXTENSION_free);
    ERR_clear_error();
    return csr;
}

void pki_csr_free(struct pki_csr *csr)
{
    if (!csr)
        return;
    X509_REQ_free(csr->req);
    pki_names_done(&csr->names);
    free(csr);
}

struct str pki_csr_common_name(const struct pki_csr *csr)
{
    return csr->names.common_name;
}

size_t pki_csr_organizations_count(const struct pki_csr *csr)
{
    return csr->names.organizations_count;
}

struct str pki_csr_organization(const struct pki_csr *csr, size_t i)
{
    return csr->names.organizations[i];
}

size_t pki_csr_sans_count(const struct pki_csr *csr)
{
    return csr->names.sans_count;
}

struct str pki_csr_san(const struct pki_csr *csr, size_t i)
{
    return csr->names.sans[i];
}

struct pki_key *pki_csr_key(const struct pki_csr *csr)
{
    return pki_key_wrap(X509_REQ_get_pubkey(csr->req));
}

void pki_csr_new(const struct pki_key *key, const struct pki_request *request, struct buf *to_pem)
{
    X509_REQ *req = X509_REQ_new();
    X509_NAME *subject = pki_subject(request);
    GENERAL_NAMES *sans = pki_general_names(request, NULL);
    BIO *bio = BIO_new(BIO_s_mem());
    char *p;
    long n;

    X509_REQ_set_version(req, X509_REQ_VERSION_1);
    X509_REQ_set_subject_name(req, subject);
    X509_REQ_set_pubkey(req, key->pkey);
    if (sans) {
        STACK_OF(X509_EXTENSION) *extensions = NULL;

        X509V3_add1_i2d(&extensions, NID_subject_alt_name, sans, 0, 0);
        X509_REQ_add_extensions(req, extensions);
        sk_X509_EXTENSION_pop_free(extensions, X509_EXTENSION_free);
    }
    X509_REQ_sign(req, key->pkey, EVP_sha256());
    PEM_write_bio_X509_REQ(bio, req);
    n = BIO_get_mem_data(bio, &p);
    buf_add_bytes(to_pem, p, (size_t)n);
    BIO_free(bio);
    GENERAL_NAMES_free(sans);
    X509_NAME_free(subject);
    X509_REQ_free(req);
}
