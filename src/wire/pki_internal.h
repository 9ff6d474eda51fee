/* What the files of pki share: counted wrappers around OpenSSL's objects. */
#ifndef WIRE_PKI_INTERNAL_H
#define WIRE_PKI_INTERNAL_H

#include "wire/pki.h"

#include <openssl/evp.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>
#include <stdatomic.h>

struct pki_names { /* heap texts */
    struct str common_name;
    struct str *organizations;
    size_t organizations_count, organizations_capacity;
    struct str *sans;
    size_t sans_count, sans_capacity;
};

struct pki_key {
    atomic_int references;
    EVP_PKEY *pkey;
};

struct pki_cert {
    atomic_int references;
    X509 *x509;
    struct pki_names names;
};

struct pki_key *pki_key_wrap(EVP_PKEY *pkey); /* takes it over */
struct pki_cert *pki_cert_wrap(X509 *x509);   /* takes it over */

void pki_names_read(struct pki_names *n, const X509_NAME *subject, const GENERAL_NAMES *sans);
void pki_names_done(struct pki_names *n);
X509_NAME *pki_subject(const struct pki_request *r);
/* DNS names and addresses as an extension value; NULL when there are none. */
GENERAL_NAMES *pki_general_names(const struct pki_request *r, struct error *err);
/* fail() with OpenSSL's words; empties its error queue. */
int pki_fail(struct error *err, enum error_code code, const char *what);

#endif
